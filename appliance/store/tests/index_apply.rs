//! What facts do to rows, case by case.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

use std::collections::BTreeMap;

use stele_format::digest::Digest;
use stele_format::units::{
    BucketId, ByteCount, ByteOffset, KeyIndex, LogIndex, ObjectId, SegmentId, UnixMillis, UploadId,
    VersionId,
};
use stele_store::index::rows::{
    BucketRow, ChunkRow, ConfigRow, Leaves, NameRow, ObjectRow, PartRow, RecordLocation, Released,
    TableRow, UploadRow, VersionRow,
};
use stele_store::index::{ApplyError, Fact, MergedScan, Rows, RowsError, Scan, Table, apply, keys};
use stele_store::policy::{BucketKind, Mode, OwnerId, Retention};

/// Rows in one plain map.
#[derive(Default, Clone, PartialEq, Eq)]
struct PlainRows(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Rows for PlainRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, scan: &Scan) -> Result<MergedScan, RowsError> {
        let rows = self.0.range((scan.table, scan.from.clone())..);
        let rows = rows.filter(|((table, key), _)| *table == scan.table && scan.contains(key));
        let rows: Vec<_> = rows
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        Ok(MergedScan { rows, resume: None })
    }

    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert((table, key), value);
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.0.remove(&(table, key));
    }
}

impl PlainRows {
    /// Applies facts that must succeed; each of them once more must change nothing.
    fn with(mut self, facts: &[Fact]) -> Self {
        for fact in facts {
            apply(fact, &mut self).unwrap();
            let once = self.clone();
            apply(fact, &mut self).unwrap();
            assert!(self == once, "{fact:?} again changed something");
        }
        self
    }

    fn row<R: TableRow>(&self, key: Vec<u8>) -> Option<R> {
        self.0
            .get(&(R::TABLE, key))
            .map(|value| R::decode(value).unwrap())
    }

    fn count(&self, table: Table) -> usize {
        self.0.keys().filter(|(of, _)| *of == table).count()
    }

    fn current(&self) -> Option<VersionId> {
        let row: NameRow = self.row(keys::name(BUCKET, NAME)).unwrap();
        row.current.map(|current| current.version)
    }
}

const BUCKET: BucketId = BucketId::from_bytes([1; 16]);
const OBJECT: ObjectId = ObjectId::from_bytes([2; 16]);
const NAME: &[u8] = b"a/b";

fn location(at: u64) -> RecordLocation {
    RecordLocation {
        segment: SegmentId::new(1),
        offset: ByteOffset::new(at),
        bytes: 192,
        header_digest: Digest::ZERO,
    }
}

fn version_id(at: u64) -> VersionId {
    VersionId::new(LogIndex::new(at), [5; 8])
}

fn upload_id(at: u64) -> UploadId {
    UploadId::new(LogIndex::new(at), [6; 8])
}

fn version_row(at: u64) -> VersionRow {
    VersionRow {
        version: version_id(at),
        marker: false,
        released: None,
        content_bytes: ByteCount::new(at),
        etag: "e".into(),
        modified: UnixMillis::new(at),
        stored: UnixMillis::new(at),
        retention: None,
        hold: None,
        unheld: None,
        key_index: KeyIndex::new(at),
        location: location(at),
        parts: 0,
        tags: None,
        rehomed: None,
        other_leaves: Leaves::default(),
        closed: false,
        span: None,
    }
}

fn added(at: u64) -> Fact {
    let (name, row) = (NAME.to_vec(), version_row(at));
    Fact::VersionAdded {
        bucket: BUCKET,
        name,
        object: OBJECT,
        row,
        completes: None,
    }
}

/// What [`released`] leaves in the row of the first version.
const RELEASED: Option<Released> = Some(Released {
    reason: 1,
    at: UnixMillis::new(1),
});

fn released(at: u64) -> Fact {
    Fact::Released {
        object: OBJECT,
        version: version_id(at),
        reason: 1,
        at: UnixMillis::new(at),
    }
}

fn opened(at: u64) -> Fact {
    let row = UploadRow {
        bucket: BUCKET,
        object: None,
        name: NAME.to_vec(),
        started: UnixMillis::new(at),
        began: UnixMillis::new(at),
        retention: None,
        hold: None,
        key_index: KeyIndex::new(at),
        location: location(at),
        announced: None,
        replaced: Leaves::default(),
    };
    Fact::UploadOpened {
        upload: upload_id(at),
        row,
    }
}

fn part(upload: u64, number: u16, etag: &str) -> Fact {
    let row = PartRow {
        etag: etag.into(),
        content_bytes: ByteCount::new(1),
        modified: UnixMillis::new(1),
        location: location(1),
        key_index: KeyIndex::new(1),
        checksums: Vec::new(),
        span: None,
    };
    Fact::PartAdded {
        bucket: BUCKET,
        upload: upload_id(upload),
        number,
        row,
    }
}

#[test]
fn a_new_version_becomes_the_current_one() {
    let rows = PlainRows::default().with(&[added(1), added(2)]);
    assert_eq!(rows.current(), Some(version_id(2)));
    let object: ObjectRow = rows.row(keys::object(OBJECT)).unwrap();
    assert_eq!((object.bucket, object.name.as_slice()), (BUCKET, NAME));
    assert_eq!(
        rows.row::<VersionRow>(keys::version(OBJECT, version_id(1))),
        Some(version_row(1))
    );
}

#[test]
fn an_older_version_added_late_does_not_become_the_current_one() {
    let rows = PlainRows::default().with(&[added(2), added(1)]);
    assert_eq!(rows.current(), Some(version_id(2)));
}

#[test]
fn releasing_the_current_version_brings_back_the_newest_one_left() {
    let check = |facts: &[Fact], current: Option<u64>| {
        let rows = PlainRows::default()
            .with(&[added(1), added(2), added(3)])
            .with(facts);
        assert_eq!(rows.current(), current.map(version_id), "{facts:?}");
        assert_eq!(rows.count(Table::Objects), 1, "the object id must stay");
    };
    check(&[released(3)], Some(2));
    check(&[released(2), released(3)], Some(1));
    check(&[released(1)], Some(3));
    check(&[released(3), released(1), released(2)], None);
    check(&[released(3), released(1), released(2), added(9)], Some(9));
}

#[test]
fn adding_a_version_again_keeps_what_happened_to_it_since() {
    let retention = Some(Retention {
        mode: Mode::Compliance,
        until: UnixMillis::new(5),
    });
    let version = version_id(1);
    let facts = [
        added(1),
        Fact::RetentionSet {
            object: OBJECT,
            version,
            retention,
        },
        Fact::HoldSet {
            object: OBJECT,
            version,
            on: true,
            at: UnixMillis::new(7),
        },
        released(1),
        added(1),
    ];
    let rows = PlainRows::default().with(&facts);
    let row: VersionRow = rows.row(keys::version(OBJECT, version)).unwrap();
    assert_eq!(
        (row.retention, row.hold, row.released),
        (retention, Some(true), RELEASED)
    );
    assert_eq!(rows.current(), None);
}

#[test]
fn a_second_release_keeps_the_first_reason() {
    let again = Fact::Released {
        object: OBJECT,
        version: version_id(1),
        reason: 2,
        at: UnixMillis::new(2),
    };
    let rows = PlainRows::default().with(&[added(1), released(1), again]);
    let row: VersionRow = rows.row(keys::version(OBJECT, version_id(1))).unwrap();
    assert_eq!(row.released, RELEASED);
}

fn unreleased(at: u64) -> Fact {
    Fact::Unreleased {
        object: OBJECT,
        version: version_id(at),
    }
}

#[test]
fn an_undone_release_leaves_the_rows_as_they_were() {
    let both = PlainRows::default().with(&[added(1), added(2)]);
    for at in [1, 2] {
        let rows = both.clone().with(&[released(at), unreleased(at)]);
        assert!(rows == both, "version {at}");
        assert!(rows.with(&[unreleased(at)]) == both, "version {at} twice");
    }
    let all = [released(2), released(1), unreleased(1), unreleased(2)];
    assert!(both.clone().with(&all) == both, "the older one first");
}

#[test]
fn an_undone_release_makes_a_version_current_only_if_none_is_newer() {
    let rows = PlainRows::default().with(&[added(1), released(1), added(2), unreleased(1)]);
    assert_eq!(rows.current(), Some(version_id(2)));
    let rows = rows.with(&[released(2)]);
    assert_eq!(rows.current(), Some(version_id(1)));
}

#[test]
fn an_upload_leaves_nothing_behind_however_it_ends() {
    let completed = Fact::VersionAdded {
        bucket: BUCKET,
        name: NAME.to_vec(),
        object: OBJECT,
        row: version_row(9),
        completes: Some(upload_id(1)),
    };
    let aborted = Fact::UploadAborted {
        upload: upload_id(1),
    };
    for end in [completed, aborted] {
        let facts = [
            opened(1),
            opened(2),
            part(1, 1, "a"),
            part(1, 7, "b"),
            part(2, 1, "c"),
        ];
        let rows = PlainRows::default().with(&facts).with(&[end]);
        let counts = [Table::Uploads, Table::UploadNames, Table::Parts].map(|at| rows.count(at));
        assert_eq!(
            counts,
            [1, 1, 1],
            "the other upload must stay, and nothing of this one"
        );
        assert!(rows.row::<UploadRow>(keys::upload(upload_id(2))).is_some());
    }
}

#[test]
fn a_part_replaces_the_one_with_its_number() {
    let rows = PlainRows::default().with(&[opened(1), part(1, 3, "old"), part(1, 3, "new")]);
    let row: PartRow = rows.row(keys::part(upload_id(1), 3)).unwrap();
    assert_eq!((row.etag.as_str(), rows.count(Table::Parts)), ("new", 1));
}

#[test]
fn buckets_configurations_and_chunks_are_put_and_a_deleted_bucket_stays_known() {
    let row = BucketRow {
        name: "b".into(),
        kind: BucketKind::Plain,
        default: None,
        created: UnixMillis::new(1),
        owner: OwnerId::default(),
        rules: Vec::new(),
        lifecycle: Vec::new(),
        max_days: None,
        deleted: false,
    };
    let chunk = ChunkRow {
        segment: SegmentId::new(1),
        offset: ByteOffset::new(2),
        total_bytes: 4096,
    };
    let digest = Digest::of(b"chunk");
    let rows = PlainRows::default().with(&[
        Fact::BucketPut {
            id: BUCKET,
            row: row.clone(),
        },
        Fact::BucketDeleted { id: BUCKET },
        Fact::ConfigPut {
            name: "tls".into(),
            location: location(1),
        },
        Fact::ConfigPut {
            name: "tls".into(),
            location: location(2),
        },
        Fact::ChunkPlaced { digest, row: chunk },
    ]);
    assert_eq!(
        rows.row(keys::bucket(BUCKET)),
        Some(BucketRow {
            deleted: true,
            ..row
        })
    );
    assert_eq!(
        rows.row(keys::config("tls")),
        Some(ConfigRow {
            location: location(2)
        })
    );
    assert_eq!(rows.row(keys::chunk(&digest)), Some(chunk));
}

#[test]
fn facts_that_do_not_follow_from_the_rows_are_refused_and_change_nothing() {
    let other_object = ObjectId::from_bytes([9; 16]);
    let other_version = VersionId::new(LogIndex::new(1), [0xEE; 8]);
    let (name, row) = (NAME.to_vec(), version_row(2));
    let twin = Fact::VersionAdded {
        bucket: BUCKET,
        name: name.clone(),
        object: OBJECT,
        row: VersionRow {
            version: other_version,
            ..version_row(1)
        },
        completes: None,
    };
    let second_object = Fact::VersionAdded {
        bucket: BUCKET,
        name,
        object: other_object,
        row,
        completes: Some(upload_id(4)),
    };
    let missing = |table| move |error: &ApplyError| matches!(error, ApplyError::Missing { table: of, .. } if *of == table);
    let conflict = |table| move |error: &ApplyError| matches!(error, ApplyError::Conflict { table: of, .. } if *of == table);
    type Expect = Box<dyn Fn(&ApplyError) -> bool>;
    let cases: Vec<(Fact, Expect)> = vec![
        (released(5), Box::new(missing(Table::Versions))),
        (
            Fact::HoldSet {
                object: other_object,
                version: version_id(1),
                on: true,
                at: UnixMillis::new(7),
            },
            Box::new(missing(Table::Versions)),
        ),
        (
            Fact::RetentionSet {
                object: OBJECT,
                version: other_version,
                retention: None,
            },
            Box::new(conflict(Table::Versions)),
        ),
        (
            Fact::TagsSet {
                object: other_object,
                version: version_id(1),
                location: location(9),
            },
            Box::new(missing(Table::Versions)),
        ),
        (part(8, 1, "x"), Box::new(missing(Table::Uploads))),
        (
            Fact::BucketDeleted { id: BUCKET },
            Box::new(missing(Table::Buckets)),
        ),
        (twin, Box::new(conflict(Table::Versions))),
        (second_object, Box::new(conflict(Table::Names))),
    ];
    for (fact, expect) in cases {
        let mut rows = PlainRows::default().with(&[added(1), opened(4)]);
        let before = rows.clone();
        let error = apply(&fact, &mut rows).unwrap_err();
        assert!(expect(&error), "{fact:?}: {error}");
        assert!(rows == before, "{fact:?} changed rows");
    }
}

#[test]
fn a_row_that_does_not_decode_stops_the_fact() {
    let mut rows = PlainRows::default().with(&[added(1)]);
    rows.put(
        Table::Versions,
        keys::version(OBJECT, version_id(1)),
        vec![1, 2, 3],
    );
    let error = apply(&released(1), &mut rows).unwrap_err();
    assert!(matches!(error, ApplyError::Row(error) if error.table == Table::Versions));
}
