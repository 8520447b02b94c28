//! Every row comes back from its bytes, and from no others.

use super::*;
use crate::policy::{BucketKind, FilterForm, LifecycleRule, OwnerId, PrefixRule};

fn location() -> RecordLocation {
    RecordLocation {
        segment: SegmentId::new(3),
        offset: ByteOffset::new(4096),
        bytes: 777,
        header_digest: Digest::of(b"header"),
    }
}

/// Comes back from its bytes, and from no others.
fn check<R: TableRow + Clone + PartialEq + fmt::Debug>(row: &R) {
    let bytes = row.encode();
    assert_eq!(R::decode(&bytes).as_ref(), Ok(row));
    let malformed = Err(RowError { table: R::TABLE });
    for end in 0..bytes.len() {
        assert_eq!(R::decode(&bytes[..end]), malformed, "cut at {end}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(R::decode(&longer), malformed);
    let mut newer = bytes;
    newer[0] = ROW_VERSION + 1;
    assert_eq!(R::decode(&newer), malformed);
}

fn retentions() -> [Option<Retention>; 3] {
    let until = UnixMillis::new(99);
    [
        None,
        Some(Retention {
            mode: Mode::Governance,
            until,
        }),
        Some(Retention {
            mode: Mode::Compliance,
            until,
        }),
    ]
}

fn version_row(retention: Option<Retention>, hold: Option<bool>) -> VersionRow {
    VersionRow {
        version: VersionId::from_bytes([9; 16]),
        marker: hold.is_none(),
        released: hold.map(|on| Released {
            reason: u8::from(on),
            at: UnixMillis::new(3),
        }),
        content_bytes: ByteCount::new(1 << 40),
        etag: "0123456789abcdef-1".into(),
        modified: UnixMillis::new(1),
        stored: UnixMillis::new(2),
        retention,
        hold,
        unheld: hold.map(|on| UnixMillis::new(u64::from(on))),
        key_index: KeyIndex::new(77),
        location: location(),
        parts: 10_000,
        tags: hold.map(|_| location()),
        rehomed: None,
        other_leaves: Leaves::default(),
        closed: false,
        span: SegmentSpan::new(SegmentId::new(2), SegmentId::new(5)),
    }
}

#[test]
fn version_and_name_rows_come_back() {
    for retention in retentions() {
        for hold in [None, Some(false), Some(true)] {
            let row = version_row(retention, hold);
            check(&row);
            let object = ObjectId::from_bytes([4; 16]);
            check(&NameRow {
                object,
                current: Some(Current::of(&row)),
            });
            check(&NameRow {
                object,
                current: None,
            });
        }
    }
}

#[test]
fn upload_and_part_rows_come_back() {
    for (retention, object) in retentions().into_iter().zip([None, Some([1; 16]), None]) {
        check(&UploadRow {
            bucket: BucketId::from_bytes([2; 16]),
            object: object.map(ObjectId::from_bytes),
            name: b"a/b\0c".to_vec(),
            started: UnixMillis::new(8),
            began: UnixMillis::new(9),
            retention,
            hold: retention.map(|_| true),
            key_index: KeyIndex::new(6),
            location: location(),
            announced: object.map(|_| (2, true)),
            replaced: Leaves::default(),
        });
    }
    check(&UploadNameRow {
        started: UnixMillis::new(4),
    });
    for checksums in [vec![], vec![(1, vec![1, 2, 3, 4]), (4, vec![0; 32])]] {
        let (etag, content_bytes) = (String::new(), ByteCount::new(5));
        let (modified, key_index) = (UnixMillis::new(6), KeyIndex::new(7));
        let location = location();
        check(&PartRow {
            etag,
            content_bytes,
            modified,
            location,
            key_index,
            checksums,
            span: None,
        });
    }
}

#[test]
fn small_rows_come_back() {
    check(&ObjectRow {
        bucket: BucketId::from_bytes([3; 16]),
        name: vec![0xFF, 0],
    });
    let (segment, offset) = (SegmentId::new(1), ByteOffset::new(2));
    check(&ChunkRow {
        segment,
        offset,
        total_bytes: 3,
    });
    check(&ConfigRow {
        location: location(),
    });
}

#[test]
fn no_row_prints_a_name() {
    let name = "jane-doe";
    let bucket = BucketRow {
        name: name.into(),
        kind: BucketKind::Plain,
        default: None,
        created: UnixMillis::new(1),
        owner: OwnerId::default(),
        rules: vec![PrefixRule {
            prefix: name.into(),
            days: 1,
        }],
        lifecycle: vec![LifecycleRule {
            id: name.into(),
            form: FilterForm::Prefix,
            prefix: name.into(),
            bytes_min: 0,
            bytes_below: 0,
            disabled: false,
            upload_days: Some(1),
            current: None,
            noncurrent: None,
        }],
        max_days: None,
        deleted: false,
    };
    let upload = UploadRow {
        bucket: BucketId::ZERO,
        object: None,
        name: name.into(),
        started: UnixMillis::new(1),
        began: UnixMillis::new(1),
        retention: None,
        hold: None,
        key_index: KeyIndex::new(1),
        location: location(),
        announced: None,
        replaced: Leaves::default(),
    };
    let object = ObjectRow {
        bucket: BucketId::ZERO,
        name: name.into(),
    };
    let printed = format!("{bucket:?} {upload:?} {object:?}");
    assert!(!printed.contains(name), "{printed}");
}
