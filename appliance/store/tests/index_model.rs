//! The index against a model that keeps everything in plain vectors: random facts, applied live and
//! directly, with commits at random moments, must list as the model lists, and the file must equal
//! the fold over all facts.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

#[path = "index_model/acts.rs"]
mod acts;
#[path = "index_model/places.rs"]
mod places;
#[path = "index_model/wishes.rs"]
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_format::record::VersionRef;
use stele_format::units::{
    BucketId, ByteCount, KeyIndex, LogIndex, ObjectId, UnixMillis, UploadId, VersionId,
};
use stele_store::index::apply::{check, first_reads};
use stele_store::index::list::{ListWish, ObjectLister, PartLister, UploadLister, VersionLister};
use stele_store::index::rows::{Leaves, PartRow, Released, UploadRow, VersionRow};
use stele_store::index::{
    ApplyError, Bundle, DirectRows, Fact, IndexOptions, IndexReply, IndexRequest, IndexStore,
    LiveRows, Memtable, MergedScan, Query, QueryId, RowsError, Scan, SnapshotMeta, Table, Verified,
    apply,
};
use stele_store::policy::{Mode, Retention};

use acts::{Act, an_act};
use places::{bucket_id, location};
use wishes::a_wish;

const AREA_BYTES: u64 = 4 << 20;
const KEY: [u8; 64] = [0x42; 64];

type ModelUpload = (BucketId, Vec<u8>, BTreeMap<u16, String>, Vec<KeyIndex>);

/// Everything that happened, in plain form.
#[derive(Default)]
struct Model {
    facts: Vec<Fact>,
    objects: BTreeMap<(BucketId, Vec<u8>), ObjectId>,
    versions: BTreeMap<(BucketId, Vec<u8>), Vec<VersionRow>>,
    uploads: BTreeMap<UploadId, ModelUpload>,
}

impl Model {
    fn log_index(&self) -> LogIndex {
        LogIndex::new(self.facts.len() as u64)
    }

    fn object(&mut self, bucket: BucketId, name: &[u8]) -> ObjectId {
        let fresh = self.log_index().get().to_be_bytes();
        let id = ObjectId::from_bytes(std::array::from_fn(|at| fresh[at % 8]));
        *self.objects.entry((bucket, name.to_vec())).or_insert(id)
    }

    fn version_row(&self, marker: bool) -> VersionRow {
        let index = self.log_index();
        VersionRow {
            version: VersionId::new(index, [7; 8]),
            marker,
            released: None,
            content_bytes: ByteCount::new(index.get() * 3),
            etag: format!("{index}"),
            modified: UnixMillis::new(1000 + index.get()),
            stored: UnixMillis::new(1000 + index.get()),
            retention: None,
            hold: None,
            unheld: None,
            key_index: KeyIndex::new(index.get()),
            location: location(index),
            parts: 0,
            tags: None,
            rehomed: None,
            other_leaves: Leaves::default(),
            closed: false,
            span: None,
        }
    }

    fn add(
        &mut self,
        bucket: BucketId,
        name: &[u8],
        marker: bool,
        completes: Option<UploadId>,
    ) -> Fact {
        let (row, object) = (self.version_row(marker), self.object(bucket, name));
        self.versions
            .entry((bucket, name.to_vec()))
            .or_default()
            .push(row.clone());
        Fact::VersionAdded {
            bucket,
            name: name.to_vec(),
            object,
            row,
            completes,
        }
    }

    /// The version a number chooses.
    fn pick(&mut self, at: u8) -> Option<(ObjectId, &mut VersionRow)> {
        let count = self.versions.values().map(Vec::len).sum::<usize>();
        let at = usize::from(at).checked_rem(count)?;
        let objects = &self.objects;
        self.versions
            .iter_mut()
            .flat_map(|(name, rows)| rows.iter_mut().map(move |row| (name, row)))
            .nth(at)
            .map(|(name, row)| (objects[name], row))
    }

    fn pick_upload(&self, at: u8) -> Option<UploadId> {
        let at = usize::from(at).checked_rem(self.uploads.len())?;
        self.uploads.keys().nth(at).copied()
    }

    /// The fact an act comes to, and the change of the model; none when nothing can be chosen.
    fn fact(&mut self, act: &Act) -> Option<Fact> {
        Some(match act {
            Act::Add {
                bucket,
                name,
                marker,
            } => self.add(bucket_id(*bucket), name, *marker, None),
            Act::Release(at) => {
                let (object, row) = self.pick(*at)?;
                let (reason, now) = (at % 3, UnixMillis::new(u64::from(*at)));
                row.released = row.released.or(Some(Released { reason, at: now }));
                Fact::Released {
                    object,
                    version: row.version,
                    reason,
                    at: now,
                }
            }
            Act::Unrelease(at) => {
                let (object, row) = self.pick(*at)?;
                row.released = None;
                Fact::Unreleased {
                    object,
                    version: row.version,
                }
            }
            Act::Retain(at) => {
                let (object, row) = self.pick(*at)?;
                let until = UnixMillis::new(u64::from(*at));
                row.retention = Some(Retention {
                    mode: Mode::Governance,
                    until,
                });
                Fact::RetentionSet {
                    object,
                    version: row.version,
                    retention: row.retention,
                }
            }
            Act::Hold(at, on) => {
                let (object, row) = self.pick(*at)?;
                row.switch_hold(*on, UnixMillis::new(u64::from(*at)));
                Fact::HoldSet {
                    object,
                    version: row.version,
                    on: *on,
                    at: UnixMillis::new(u64::from(*at)),
                }
            }
            Act::Tags(at) => {
                let place = location(self.log_index());
                let (object, row) = self.pick(*at)?;
                row.tags = Some(place);
                Fact::TagsSet {
                    object,
                    version: row.version,
                    location: place,
                }
            }
            Act::Rehome(at) => {
                let place = location(self.log_index());
                let leaf = KeyIndex::new(1 << 40 | self.log_index().get());
                let (object, row) = self.pick(*at)?;
                row.rehomed = Some(place);
                let before = row.other_leaves.iter().chain([row.key_index]);
                row.other_leaves = Leaves::of(before);
                row.key_index = leaf;
                row.tags = None;
                Fact::Rehomed {
                    object,
                    version: row.version,
                    key_index: leaf,
                    location: place,
                    content: None,
                }
            }
            Act::Destroy(picks) => self.destroy(picks)?,
            Act::Open { bucket, name } => {
                let upload = UploadId::new(self.log_index(), [9; 8]);
                let bucket = bucket_id(*bucket);
                let leaves = vec![KeyIndex::new(3)];
                self.uploads
                    .insert(upload, (bucket, name.clone(), BTreeMap::new(), leaves));
                Fact::UploadOpened {
                    upload,
                    row: self.upload_row(bucket, name),
                }
            }
            Act::Part { upload, number } => {
                let (upload, row) = (self.pick_upload(*upload)?, self.part_row());
                let (bucket, _, parts, leaves) = self.uploads.get_mut(&upload)?;
                parts.insert(*number, row.etag.clone());
                leaves.push(row.key_index);
                Fact::PartAdded {
                    bucket: *bucket,
                    upload,
                    number: *number,
                    row,
                }
            }
            Act::Complete(at) => {
                let upload = self.pick_upload(*at)?;
                let (bucket, name, _, leaves) = self.uploads.remove(&upload)?;
                let fact = self.add(bucket, &name, false, Some(upload));
                let added = self.versions.get_mut(&(bucket, name))?.last_mut()?;
                added.other_leaves = Leaves::of(leaves);
                fact
            }
            Act::Abort(at) => {
                let upload = self.pick_upload(*at)?;
                self.uploads.remove(&upload);
                Fact::UploadAborted { upload }
            }
            Act::Repeat => return self.facts.last().cloned(),
            Act::Freeze | Act::Commit => return None,
        })
    }

    fn destroy(&mut self, picks: &[u8]) -> Option<Fact> {
        let mut entries = Vec::new();
        for at in picks {
            let Some((object, row)) = self.pick(*at) else {
                break;
            };
            let version = row.version;
            entries.push(VersionRef { object, version });
            for rows in self.versions.values_mut() {
                rows.retain(|row| row.version != version);
            }
        }
        self.versions.retain(|_, rows| !rows.is_empty());
        let versions = &self.versions;
        self.objects.retain(|name, _| versions.contains_key(name));
        entries.sort_by_key(|entry| entry.version.ordinal());
        (!entries.is_empty()).then(|| Fact::Tombstoned {
            request: self.log_index(),
            ordinal: 0,
            at: UnixMillis::new(1),
            last: true,
            month: None,
            entries,
        })
    }

    fn upload_row(&self, bucket: BucketId, name: &[u8]) -> UploadRow {
        UploadRow {
            bucket,
            object: self.objects.get(&(bucket, name.to_vec())).copied(),
            name: name.to_vec(),
            started: UnixMillis::new(self.log_index().get()),
            began: UnixMillis::new(self.log_index().get()),
            retention: None,
            hold: Some(true),
            key_index: KeyIndex::new(3),
            location: location(self.log_index()),
            announced: Some((2, false)),
            replaced: Leaves::default(),
        }
    }

    fn part_row(&self) -> PartRow {
        let index = self.log_index();
        PartRow {
            etag: format!("part {index}"),
            content_bytes: ByteCount::new(5),
            modified: UnixMillis::new(6),
            location: location(index),
            key_index: KeyIndex::new(1_000 + 2 * index.get()),
            checksums: vec![(4, vec![1, 2, 3])],
            span: None,
        }
    }

    /// Unreleased versions of a name, newest first.
    fn shown(&self, bucket: BucketId, name: &[u8]) -> Vec<&VersionRow> {
        let rows = self.versions.get(&(bucket, name.to_vec()));
        let rows = rows.into_iter().flatten().rev();
        rows.filter(|row| row.released.is_none()).collect()
    }
}

/// The index under test.
struct Subject {
    store: IndexStore,
    memtable: Memtable,
}

impl Subject {
    fn new() -> Self {
        let disk = SimDiskHandle::new(AREA_BYTES, 1);
        let areas: Vec<Box<dyn Area>> = vec![Box::new(disk.area(0, AREA_BYTES).unwrap())];
        let options = IndexOptions {
            cache_bytes: 1 << 20,
            start: 1,
            copying: stele_store::index::MirrorCopying::USUAL,
        };
        let store = IndexStore::create(areas, &KEY, options).unwrap();
        Self {
            store,
            memtable: Memtable::new(),
        }
    }

    fn apply(&mut self, fact: &Fact, live: bool) {
        if live {
            let bundle = self.fetch(fact);
            apply(fact, &mut LiveRows::new(&mut self.memtable, &bundle)).unwrap();
        } else {
            apply(fact, &mut DirectRows::new(&mut self.memtable, &self.store)).unwrap();
        }
    }

    /// Asks for what the fact needs until it is enough, as the engine does.
    fn fetch(&mut self, fact: &Fact) -> Bundle {
        let (mut gets, mut scans) = first_reads(fact);
        for _ in 0..100 {
            let (more_gets, more_scans) = (gets.clone(), scans.clone());
            let query = IndexRequest::Query(Query {
                id: QueryId(1),
                gets: more_gets,
                scans: more_scans,
            });
            let IndexReply::Answer { bundle, .. } = self.store.execute(query) else {
                panic!("the query failed");
            };
            match check(fact, &LiveRows::new(&mut self.memtable, &bundle)) {
                Ok(()) => return bundle,
                Err(ApplyError::Rows(RowsError::NotFetched(table, key))) => gets.push((table, key)),
                Err(ApplyError::Rows(RowsError::NotScanned(scan))) => scans.push(scan),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("{fact:?} never had enough");
    }

    fn freeze(&mut self) {
        let _ = self.memtable.freeze();
    }

    fn commit(&mut self, next: LogIndex) {
        if !self.memtable.is_frozen() {
            self.freeze();
        }
        // Frozen already or just now: either way what is frozen is committed.
        let Some(rows) = self.memtable.frozen() else {
            panic!("nothing is frozen");
        };
        let meta = SnapshotMeta {
            next,
            ..SnapshotMeta::default()
        };
        let reply = self.store.execute(IndexRequest::Commit { rows, meta });
        assert!(matches!(reply, IndexReply::Committed { .. }), "{reply:?}");
        drop(self.memtable.drop_frozen());
        assert_eq!(&self.store.verify().unwrap(), self.store.triple());
        // Further rows are read again between the commits.
        let read = self.store.verify_on(5).unwrap();
        assert!(!matches!(read, Verified::Otherwise { .. }), "{read:?}");
    }

    fn read(&self, scans: Vec<Scan>) -> Vec<MergedScan> {
        let read = |scan: &Scan| {
            self.memtable
                .merge_scan(scan, &self.store.scan(scan).unwrap())
        };
        scans.iter().map(read).collect()
    }
}

/// Runs a lister to its end.
macro_rules! run {
    ($subject:expr, $lister:expr) => {{
        let mut lister = $lister;
        let mut steps = 0;
        loop {
            let scans = lister.next();
            if scans.is_empty() {
                break lister.finish();
            }
            lister.feed($subject.read(scans)).unwrap();
            steps += 1;
            assert!(steps < 1000, "the listing does not end");
        }
    }};
}

/// Entries of a page in order: rows and rolled-up prefixes.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Entry<R> {
    Prefix(Vec<u8>),
    Row(R),
}

/// A page as the model sees it: entries, and whether others follow.
type Expected<R> = (Vec<Entry<R>>, bool);

/// What a page must show of sorted rows. `after` says which rows lie behind the marker.
fn expected<R: Clone>(
    rows: &[(Vec<u8>, R)],
    wish: &ListWish,
    after: impl Fn(&[u8], &R) -> bool,
) -> Expected<R> {
    let width = wish.delimiter.len();
    let roll = |name: &[u8]| {
        let rest = &name[wish.prefix.len()..];
        let at = rest
            .windows(width.max(1))
            .position(|part| width > 0 && part == wish.delimiter)?;
        Some(name[..wish.prefix.len() + at + width].to_vec())
    };
    let mut entries: Vec<Entry<R>> = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, row) in rows
        .iter()
        .filter(|(name, _)| name.starts_with(&wish.prefix))
    {
        match roll(name) {
            // A marker behind or inside the prefix excludes it.
            Some(prefix) if wish.after.as_ref().is_some_and(|after| *after >= prefix) => {}
            Some(prefix) if seen.insert(prefix.clone()) => entries.push(Entry::Prefix(prefix)),
            None if after(name, row) => entries.push(Entry::Row(row.clone())),
            _ => {}
        }
    }
    let more = entries.len() > wish.entries_max && wish.entries_max > 0;
    entries.truncate(wish.entries_max);
    (entries, more)
}

/// Rows and prefixes of a page in one order, by the name of each.
fn entries<R: Clone>(
    rows: &[R],
    prefixes: &[Vec<u8>],
    name: impl Fn(&R) -> Vec<u8>,
) -> Vec<Entry<R>> {
    let mut entries: Vec<(Vec<u8>, Entry<R>)> = Vec::new();
    entries.extend(rows.iter().map(|row| (name(row), Entry::Row(row.clone()))));
    entries.extend(
        prefixes
            .iter()
            .map(|prefix| (prefix.clone(), Entry::Prefix(prefix.clone()))),
    );
    entries.sort_by(|one, two| one.0.cmp(&two.0));
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Pages until the listing ends, each compared with the model.
fn check_objects(subject: &Subject, model: &Model, bucket: BucketId, wish: &ListWish) {
    let rows: Vec<_> = model
        .versions
        .keys()
        .filter(|(of, _)| *of == bucket)
        .filter_map(|(_, name)| {
            let current = *model.shown(bucket, name).first()?;
            (!current.marker).then(|| (name.clone(), (name.clone(), current.version)))
        })
        .collect();
    let mut wish = wish.clone();
    loop {
        let behind = |name: &[u8], _: &_| wish.after.as_deref().is_none_or(|after| name > after);
        let page = run!(subject, ObjectLister::new(bucket, &wish));
        let found: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.name.clone(), row.current.version))
            .collect();
        let found = entries(&found, &page.common_prefixes, |row| row.0.clone());
        assert_eq!(
            (found, page.next.is_some()),
            expected(&rows, &wish, behind),
            "{wish:?}"
        );
        match page.next {
            None => return,
            next => wish.after = next,
        }
    }
}

fn check_versions(subject: &Subject, model: &Model, bucket: BucketId, wish: &ListWish) {
    let mut rows = Vec::new();
    for (_, name) in model.versions.keys().filter(|(of, _)| *of == bucket) {
        for (at, row) in model.shown(bucket, name).into_iter().enumerate() {
            rows.push((name.clone(), (name.clone(), row.clone(), at == 0)));
        }
    }
    let (mut wish, mut after_version) = (wish.clone(), None::<VersionId>);
    loop {
        let behind = |name: &[u8], row: &(Vec<u8>, VersionRow, bool)| {
            let Some(after) = wish.after.as_deref() else {
                return true;
            };
            let older = after_version.is_some_and(|version| row.1.version < version);
            name > after || (name == after && older)
        };
        let page = run!(subject, VersionLister::new(bucket, &wish, after_version));
        let found: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.name.clone(), row.row.clone(), row.latest))
            .collect();
        let found = entries(&found, &page.common_prefixes, |row| row.0.clone());
        assert_eq!(
            (found, page.next.is_some()),
            expected(&rows, &wish, behind),
            "{wish:?}"
        );
        let Some((name, version)) = page.next else {
            return;
        };
        (wish.after, after_version) = (Some(name), version);
    }
}

fn check_uploads(subject: &Subject, model: &Model, bucket: BucketId, wish: &ListWish) {
    let mut rows: Vec<_> = model
        .uploads
        .iter()
        .filter(|(_, (of, ..))| *of == bucket)
        .map(|(upload, (_, name, ..))| (name.clone(), (name.clone(), *upload)))
        .collect();
    rows.sort();
    let (mut wish, mut after_upload) = (wish.clone(), None::<UploadId>);
    loop {
        let behind = |name: &[u8], row: &(Vec<u8>, UploadId)| {
            let Some(after) = wish.after.as_deref() else {
                return true;
            };
            name > after || (name == after && after_upload.is_some_and(|upload| row.1 > upload))
        };
        let page = run!(subject, UploadLister::new(bucket, &wish, after_upload));
        let found: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.name.clone(), row.upload))
            .collect();
        let found = entries(&found, &page.common_prefixes, |row| row.0.clone());
        assert_eq!(
            (found, page.next.is_some()),
            expected(&rows, &wish, behind),
            "{wish:?}"
        );
        let Some((name, upload)) = page.next else {
            return;
        };
        (wish.after, after_upload) = (Some(name), upload);
    }
}

fn check_parts(subject: &Subject, model: &Model, parts_max: usize) {
    for (upload, (_, _, parts, _)) in &model.uploads {
        let mut after = 0;
        loop {
            let page = run!(subject, PartLister::new(*upload, after, parts_max));
            let found: Vec<_> = page
                .rows
                .iter()
                .map(|(number, row)| (*number, row.etag.clone()))
                .collect();
            let behind: Vec<_> = parts.range(after + 1..).collect();
            let more = behind.len() > parts_max && parts_max > 0;
            let wanted: Vec<_> = behind
                .iter()
                .take(parts_max)
                .map(|(at, etag)| (**at, (*etag).clone()))
                .collect();
            assert_eq!((found, page.next.is_some()), (wanted, more));
            match page.next {
                None => break,
                Some(next) => after = next,
            }
        }
    }
}

/// All rows of the file.
fn dump(store: &IndexStore) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in Table::ALL {
        let whole = Scan {
            table,
            from: Vec::new(),
            end: None,
            limit: usize::MAX,
        };
        let scanned = store.scan(&whole).unwrap();
        assert!(scanned.exhausted);
        let found = scanned.rows.into_iter();
        rows.extend(found.map(|(key, value)| (table, key, value)));
    }
    rows
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 96, ..Default::default() })]

    #[test]
    fn the_index_lists_what_happened_and_equals_the_fold_over_all_facts(
        acts in vec((an_act(), any::<bool>()), 1..60),
        wishes in vec(a_wish(), 6),
    ) {
        let (mut model, mut subject) = (Model::default(), Subject::new());
        for (act, live) in &acts {
            match act {
                Act::Freeze => subject.freeze(),
                Act::Commit => subject.commit(model.log_index()),
                act => {
                    let Some(fact) = model.fact(act) else { continue };
                    subject.apply(&fact, *live);
                    model.facts.push(fact);
                }
            }
        }
        for wish in &wishes {
            for bucket in [bucket_id(0), bucket_id(1)] {
                check_objects(&subject, &model, bucket, wish);
                check_versions(&subject, &model, bucket, wish);
                check_uploads(&subject, &model, bucket, wish);
            }
            check_parts(&subject, &model, wish.entries_max);
        }
        subject.commit(model.log_index());
        subject.commit(model.log_index());
        let mut fold = Subject::new();
        model.facts.iter().for_each(|fact| fold.apply(fact, false));
        fold.commit(model.log_index());
        prop_assert_eq!(dump(&subject.store), dump(&fold.store));
        prop_assert_eq!(subject.store.triple(), fold.store.triple());
        prop_assert_eq!(&subject.store.verify().unwrap(), fold.store.triple());
    }
}
