//! The only mutator of the index.
//!
//! [`apply`] decides first and writes afterwards: when it fails it has changed nothing, so that a
//! caller who lacks a row can fetch it and try again. Applying the same fact twice changes nothing
//! the second time.

mod destruction;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use stele_format::units::{BucketId, ObjectId, UploadId, VersionId};

use crate::index::bundle::{MergedScan, Row, Scan};
use crate::index::fact::Fact;
use crate::index::keys;
use crate::index::rows::{BucketRow, PartRow};
use crate::index::rows::{
    ConfigRow, Current, Leaves, NameRow, ObjectRow, Released, RowError, ScopeRow, Table, TableRow,
    UploadNameRow, UploadRow, VersionRow,
};

/// Versions read in one step when the current one is released.
const SUCCESSOR_ROWS: usize = 16;
/// Versions of an object read at once, at most, where those before were all released.
const SUCCESSOR_ROWS_MAX: usize = 4_096;

/// Parts read in one step when an upload ends.
const PART_ROWS: usize = 1024;

/// Why rows cannot be read.
#[derive(thiserror::Error)]
pub enum RowsError {
    /// The row is neither in the memtable nor in what was asked of the file. Ask for it first.
    #[error("a row of table {0:?} was not fetched before it was needed")]
    NotFetched(Table, Vec<u8>),
    /// The same for a range of rows.
    #[error("rows of table {table:?} were not fetched before they were needed", table = .0.table)]
    NotScanned(Scan),
    /// What was asked of the file is older than the memtable's base. Ask again.
    #[error("rows were fetched before the last commit of the index")]
    Stale,
    /// The file cannot be read.
    #[error("the index file cannot be read: {0}")]
    File(#[from] crate::index::message::IndexError),
}

/// Keys can hold names, so they are left out.
impl fmt::Debug for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsError({self})")
    }
}

/// Rows that [`apply`] reads and writes.
pub trait Rows {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`RowsError`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError>;

    /// Rows of a range; the answer says where to go on.
    ///
    /// # Errors
    /// [`RowsError`].
    fn scan(&self, scan: &Scan) -> Result<MergedScan, RowsError>;

    /// Sets a value.
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>);

    /// Removes a key.
    fn delete(&mut self, table: Table, key: Vec<u8>);

    /// All rows whose key begins with `prefix`.
    ///
    /// # Errors
    /// [`RowsError`].
    fn scan_prefix(&self, table: Table, prefix: Vec<u8>) -> Result<Vec<Row>, RowsError> {
        let mut scan = Scan::prefix(table, prefix, PART_ROWS);
        let mut rows = Vec::new();
        loop {
            let merged = self.scan(&scan)?;
            rows.extend(merged.rows);
            match merged.resume {
                None => return Ok(rows),
                Some(resume) => scan.from = resume,
            }
        }
    }
}

/// Why a fact was not applied. Except for [`ApplyError::Rows`] this means that index and journal
/// contradict each other: the index must be rebuilt, and if that does not help, the line stops.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A stored row does not decode.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The fact speaks of a row that is not there.
    #[error("the index lacks a row of table {table:?} that the fact '{fact}' speaks of")]
    Missing {
        /// The table.
        table: Table,
        /// Kind of the fact.
        fact: &'static str,
    },
    /// The fact contradicts a row.
    #[error("the fact '{fact}' contradicts a row of table {table:?}")]
    Conflict {
        /// The table.
        table: Table,
        /// Kind of the fact.
        fact: &'static str,
    },
}

/// A row to write; no value deletes.
type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// What applying a fact showed beside the rows it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Bytes and versions that a bucket gained or lost, beside what the fact itself brings.
    pub usage: Vec<(BucketId, i128, i64)>,
    /// Versions that nothing opens: more or fewer.
    pub closed: i64,
}

impl Effect {
    fn usage(&mut self, bucket: BucketId, bytes: i128, versions: i64) {
        if bytes != 0 || versions != 0 {
            self.usage.push((bucket, bytes, versions));
        }
    }
}

/// Applies `fact` to `rows`.
///
/// # Errors
/// [`ApplyError`]; nothing was changed then.
pub fn apply(fact: &Fact, rows: &mut dyn Rows) -> Result<Effect, ApplyError> {
    let (changes, effect) = changes(fact, rows)?;
    for (table, key, value) in changes {
        match value {
            Some(value) => rows.put(table, key, value),
            None => rows.delete(table, key),
        }
    }
    Ok(effect)
}

/// Whether [`apply`] would find every row it needs, without changing any.
///
/// # Errors
/// As [`apply`].
pub fn check(fact: &Fact, rows: &dyn Rows) -> Result<(), ApplyError> {
    changes(fact, rows).map(|_| ())
}

fn changes(fact: &Fact, rows: &dyn Rows) -> Result<(Vec<Change>, Effect), ApplyError> {
    let context = Context {
        rows,
        fact: fact.kind(),
        effect: RefCell::default(),
    };
    let changes = context.changes(fact)?;
    Ok((changes, context.effect.into_inner()))
}

impl Context<'_> {
    fn changes(&self, fact: &Fact) -> Result<Vec<Change>, ApplyError> {
        let context = self;
        match fact {
            Fact::BucketPut { id, row } => Ok(vec![put(keys::bucket(*id), row)]),
            Fact::BucketDeleted { id } => context.bucket_deleted(*id),
            Fact::ConfigPut { name, location } => Ok(vec![put(
                keys::config(name),
                &ConfigRow {
                    location: *location,
                },
            )]),
            Fact::VersionAdded {
                bucket,
                name,
                object,
                row,
                completes,
            } => context.version_added(*bucket, name, *object, row, *completes),
            Fact::RetentionSet {
                object,
                version,
                retention,
            } => context.version_changed(*object, *version, |row| row.retention = *retention),
            Fact::HoldSet {
                object,
                version,
                on,
                at,
            } => context.version_changed(*object, *version, |row| row.switch_hold(*on, *at)),
            Fact::TagsSet {
                object,
                version,
                location,
            } => context.version_changed(*object, *version, |row| row.tags = Some(*location)),
            Fact::Released {
                object,
                version,
                reason,
                at,
            } => {
                let how = Released {
                    reason: *reason,
                    at: *at,
                };
                context.released(*object, *version, how)
            }
            Fact::Unreleased { object, version } => context.unreleased(*object, *version),
            Fact::UploadOpened { upload, row } => {
                let mut changes = vec![put(keys::upload(*upload), row)];
                if !row.is_closed() {
                    let started = row.started;
                    let name_key = keys::upload_name(row.bucket, &row.name, *upload);
                    changes.push(put(name_key, &UploadNameRow { started }));
                }
                Ok(changes)
            }
            Fact::PartAdded {
                upload,
                number,
                row,
                ..
            } => context.part_added(*upload, *number, row),
            Fact::UploadAborted { upload } => Ok(context.upload_ended(*upload)?.changes),
            Fact::VersionClosed {
                bucket,
                object,
                row,
                completes,
            } => context.version_closed(*bucket, *object, row, *completes),
            Fact::Rehomed {
                object,
                version,
                key_index,
                location,
                content,
            } => context.rehomed(
                *object,
                *version,
                (*key_index, *location),
                content.as_deref(),
            ),
            Fact::StatementMade { index, row } => Ok(vec![put(keys::statement(*index), row)]),
            Fact::ScopePiece {
                digest,
                ordinal,
                row,
            } => {
                // What was recorded first counts: people may have signed it.
                let key = keys::scope(digest, *ordinal);
                Ok(match self.find::<ScopeRow>(&key)? {
                    Some(_) => Vec::new(),
                    None => vec![put(key, row)],
                })
            }
            Fact::Tombstoned {
                request,
                ordinal,
                at,
                last,
                month,
                entries,
            } => context.tombstoned(&destruction::Piece {
                request: *request,
                ordinal: *ordinal,
                at: *at,
                last: *last,
                month: *month,
                entries,
            }),
            Fact::Enacted { request, row } => Ok(vec![put(keys::destroyed(*request), row)]),
            Fact::Destroyed { request, row } => Ok(vec![put(keys::destroyed(*request), row)]),
            Fact::Cosigned { index, row } => Ok(vec![put(keys::statement(*index), row)]),
            Fact::ForcedOpen { index, row } => Ok(vec![put(keys::statement(*index), row)]),
            Fact::ChunkPlaced { digest, row } => Ok(vec![put(keys::chunk(digest), row)]),
        }
    }
}

fn put<R: TableRow>(key: Vec<u8>, row: &R) -> Change {
    (R::TABLE, key, Some(row.encode()))
}

/// What is left to do and to know of an upload that ended.
#[derive(Default)]
struct EndedUpload {
    changes: Vec<Change>,
    /// The leaves of it and of its parts.
    leaves: Leaves,
    /// Bytes of its parts.
    part_bytes: i128,
}

/// Reads and judges on behalf of one fact.
struct Context<'a> {
    rows: &'a dyn Rows,
    fact: &'static str,
    effect: RefCell<Effect>,
}

impl Context<'_> {
    fn find<R: TableRow>(&self, key: &[u8]) -> Result<Option<R>, ApplyError> {
        let value = self.rows.get(R::TABLE, key)?;
        Ok(value.map(|value| R::decode(&value)).transpose()?)
    }

    fn require<R: TableRow>(&self, key: &[u8]) -> Result<R, ApplyError> {
        self.find(key)?.ok_or(ApplyError::Missing {
            table: R::TABLE,
            fact: self.fact,
        })
    }

    fn conflict(&self, table: Table) -> ApplyError {
        ApplyError::Conflict {
            table,
            fact: self.fact,
        }
    }

    fn bucket_deleted(&self, id: BucketId) -> Result<Vec<Change>, ApplyError> {
        let key = keys::bucket(id);
        let row: BucketRow = self.require(&key)?;
        Ok(vec![put(
            key,
            &BucketRow {
                deleted: true,
                ..row
            },
        )])
    }

    fn version_added(
        &self,
        bucket: BucketId,
        name: &[u8],
        object: ObjectId,
        row: &VersionRow,
        completes: Option<UploadId>,
    ) -> Result<Vec<Change>, ApplyError> {
        let version_key = keys::version(object, row.version);
        if let Some(known) = self.find::<VersionRow>(&version_key)? {
            // Applied before; later facts may have changed the row since.
            let same = known.version == row.version;
            return if same {
                Ok(Vec::new())
            } else {
                Err(self.conflict(Table::Versions))
            };
        }
        let name_key = keys::name(bucket, name);
        let name_row = self.find::<NameRow>(&name_key)?;
        if name_row
            .as_ref()
            .is_some_and(|name_row| name_row.object != object)
        {
            return Err(self.conflict(Table::Names));
        }
        let mut changes = Vec::new();
        let mut row = row.clone();
        if let Some(upload) = completes {
            let ended = self.upload_ended(upload)?;
            changes.extend(ended.changes);
            row.other_leaves = ended.leaves;
            // Parts were counted as they came, but for those that nothing opens any more.
            let bytes = i128::from(row.content_bytes.get()) - ended.part_bytes;
            self.effect.borrow_mut().usage(bucket, bytes.max(0), 0);
        }
        let row = &row;
        changes.push(put(version_key, row));
        if name_row.is_none() {
            let object_row = ObjectRow {
                bucket,
                name: name.to_vec(),
            };
            changes.push(put(keys::object(object), &object_row));
        }
        let newest = name_row
            .and_then(|name_row| name_row.current)
            .filter(|current| current.version.ordinal() > row.version.ordinal())
            .unwrap_or_else(|| Current::of(row));
        changes.push(put(
            name_key,
            &NameRow {
                object,
                current: Some(newest),
            },
        ));
        Ok(changes)
    }

    /// Finds a version by its full id: another one in its place is a contradiction.
    fn version(&self, object: ObjectId, version: VersionId) -> Result<VersionRow, ApplyError> {
        let row: VersionRow = self.require(&keys::version(object, version))?;
        if row.version == version {
            Ok(row)
        } else {
            Err(self.conflict(Table::Versions))
        }
    }

    fn version_changed(
        &self,
        object: ObjectId,
        version: VersionId,
        change: impl FnOnce(&mut VersionRow),
    ) -> Result<Vec<Change>, ApplyError> {
        let mut row = self.version(object, version)?;
        change(&mut row);
        Ok(vec![put(keys::version(object, version), &row)])
    }

    fn released(
        &self,
        object: ObjectId,
        version: VersionId,
        how: Released,
    ) -> Result<Vec<Change>, ApplyError> {
        let row = self.version(object, version)?;
        if row.released.is_some() {
            return Ok(Vec::new());
        }
        let key = keys::version(object, version);
        let mut changes = vec![put(
            key.clone(),
            &VersionRow {
                released: Some(how),
                ..row
            },
        )];
        let object_row: ObjectRow = self.require(&keys::object(object))?;
        if object_row.name.is_empty() {
            // Nothing has opened a manifest of it yet.
            return Ok(changes);
        }
        let name_key = keys::name(object_row.bucket, &object_row.name);
        let name_row: NameRow = self.require(&name_key)?;
        if name_row
            .current
            .as_ref()
            .is_some_and(|current| current.version == version)
        {
            let current = self.newest_after(object, &key)?;
            changes.push(put(
                name_key,
                &NameRow {
                    current,
                    ..name_row
                },
            ));
        }
        Ok(changes)
    }

    /// The version is where its number puts it among those of its name, as if it had never been released.
    fn unreleased(&self, object: ObjectId, version: VersionId) -> Result<Vec<Change>, ApplyError> {
        let mut row = self.version(object, version)?;
        if row.released.take().is_none() {
            return Ok(Vec::new());
        }
        let mut changes = vec![put(keys::version(object, version), &row)];
        let object_row: ObjectRow = self.require(&keys::object(object))?;
        if object_row.name.is_empty() || !row.is_shown() {
            // What opens its manifest names it then.
            return Ok(changes);
        }
        let name_key = keys::name(object_row.bucket, &object_row.name);
        let name_row: NameRow = self.require(&name_key)?;
        let newer = |current: &Current| current.version.ordinal() > version.ordinal();
        if !name_row.current.as_ref().is_some_and(newer) {
            let current = Some(Current::of(&row));
            changes.push(put(name_key, &NameRow { object, current }));
        }
        Ok(changes)
    }

    /// The newest version that is not released and older than the one at `key`.
    fn newest_after(&self, object: ObjectId, key: &[u8]) -> Result<Option<Current>, ApplyError> {
        let mut scan = Scan::prefix(Table::Versions, keys::object(object), SUCCESSOR_ROWS);
        scan.from = keys::successor(key);
        loop {
            let merged = self.rows.scan(&scan)?;
            for (_, value) in &merged.rows {
                let row = VersionRow::decode(value)?;
                if row.is_shown() {
                    return Ok(Some(Current::of(&row)));
                }
            }
            match merged.resume {
                None => return Ok(None),
                // Very many may have been released.
                Some(resume) => {
                    scan.from = resume;
                    scan.limit = SUCCESSOR_ROWS_MAX.min(scan.limit * 2);
                }
            }
        }
    }

    fn part_added(
        &self,
        upload: UploadId,
        number: u16,
        row: &PartRow,
    ) -> Result<Vec<Change>, ApplyError> {
        let upload_key = keys::upload(upload);
        let mut upload_row: UploadRow = self.require(&upload_key)?;
        let key = keys::part(upload, number);
        let replaced = self.find::<PartRow>(&key)?.map(|before| before.key_index);
        let mut changes = vec![put(key, row)];
        if let Some(leaf) = replaced.filter(|leaf| *leaf != row.key_index) {
            upload_row.replaced = Leaves::of(upload_row.replaced.iter().chain([leaf]));
            changes.push(put(upload_key, &upload_row));
        }
        Ok(changes)
    }

    /// Forgets an upload and its parts, and gives their leaves; nothing when it has ended before.
    fn upload_ended(&self, upload: UploadId) -> Result<EndedUpload, ApplyError> {
        let key = keys::upload(upload);
        let Some(row) = self.find::<UploadRow>(&key)? else {
            return Ok(EndedUpload::default());
        };
        let parts = self.rows.scan_prefix(Table::Parts, key.clone())?;
        let mut leaves = vec![row.key_index];
        leaves.extend(row.replaced.iter());
        let mut part_bytes = 0;
        for (_, value) in &parts {
            let part = PartRow::decode(value)?;
            leaves.push(part.key_index);
            part_bytes += i128::from(part.content_bytes.get());
        }
        let name_key = keys::upload_name(row.bucket, &row.name, upload);
        let mut changes = vec![
            (Table::Uploads, key, None),
            (Table::UploadNames, name_key, None),
        ];
        changes.extend(parts.into_iter().map(|(key, _)| (Table::Parts, key, None)));
        Ok(EndedUpload {
            changes,
            leaves: Leaves::of(leaves),
            part_bytes,
        })
    }
}

/// What [`apply`] is sure to read for a fact: gets and scans to ask of the file beforehand. Rows
/// that follow from these answers are named by the error of [`check`].
#[must_use]
pub fn first_reads(fact: &Fact) -> (Vec<(Table, Vec<u8>)>, Vec<Scan>) {
    let parts = |upload: UploadId| Scan::prefix(Table::Parts, keys::upload(upload), PART_ROWS);
    match fact {
        Fact::BucketPut { .. } | Fact::ConfigPut { .. } | Fact::UploadOpened { .. } => {
            (Vec::new(), Vec::new())
        }
        Fact::ChunkPlaced { .. }
        | Fact::StatementMade { .. }
        | Fact::Destroyed { .. }
        | Fact::Enacted { .. }
        | Fact::Cosigned { .. }
        | Fact::ForcedOpen { .. } => (Vec::new(), Vec::new()),
        Fact::ScopePiece {
            digest, ordinal, ..
        } => (
            vec![(Table::Scopes, keys::scope(digest, *ordinal))],
            Vec::new(),
        ),
        Fact::VersionClosed {
            object,
            row,
            completes,
            ..
        } => {
            let mut gets = vec![
                (Table::Versions, keys::version(*object, row.version)),
                (Table::Objects, keys::object(*object)),
            ];
            gets.extend(completes.map(|upload| (Table::Uploads, keys::upload(upload))));
            (gets, completes.map(parts).into_iter().collect())
        }
        Fact::Rehomed {
            object, version, ..
        } => (
            vec![(Table::Versions, keys::version(*object, *version))],
            Vec::new(),
        ),
        Fact::Tombstoned {
            request,
            ordinal,
            entries,
            ..
        } => {
            let mut objects: BTreeMap<ObjectId, usize> = BTreeMap::new();
            for entry in entries {
                *objects.entry(entry.object).or_default() += 1;
            }
            let mut gets = vec![(Table::Tombstones, keys::tombstone(*request, *ordinal))];
            gets.extend(
                objects
                    .keys()
                    .map(|object| (Table::Objects, keys::object(*object))),
            );
            gets.extend(
                entries
                    .iter()
                    .map(|entry| (Table::Versions, keys::version(entry.object, entry.version))),
            );
            let scans = objects
                .into_iter()
                .map(|(object, gone)| destruction::versions_scan(object, gone));
            (gets, scans.collect())
        }
        Fact::BucketDeleted { id } => (vec![(Table::Buckets, keys::bucket(*id))], Vec::new()),
        Fact::VersionAdded {
            bucket,
            name,
            object,
            row,
            completes,
        } => {
            let mut gets = vec![
                (Table::Versions, keys::version(*object, row.version)),
                (Table::Names, keys::name(*bucket, name)),
            ];
            gets.extend(completes.map(|upload| (Table::Uploads, keys::upload(upload))));
            (gets, completes.map(parts).into_iter().collect())
        }
        Fact::RetentionSet {
            object, version, ..
        }
        | Fact::HoldSet {
            object, version, ..
        }
        | Fact::TagsSet {
            object, version, ..
        } => (
            vec![(Table::Versions, keys::version(*object, *version))],
            Vec::new(),
        ),
        Fact::Released {
            object, version, ..
        } => {
            let key = keys::version(*object, *version);
            let mut scan = Scan::prefix(Table::Versions, keys::object(*object), SUCCESSOR_ROWS);
            scan.from.clone_from(&key);
            (
                vec![
                    (Table::Objects, keys::object(*object)),
                    (Table::Versions, key),
                ],
                vec![scan],
            )
        }
        Fact::Unreleased { object, version } => (
            vec![
                (Table::Objects, keys::object(*object)),
                (Table::Versions, keys::version(*object, *version)),
            ],
            Vec::new(),
        ),
        Fact::PartAdded { upload, number, .. } => (
            vec![
                (Table::Uploads, keys::upload(*upload)),
                (Table::Parts, keys::part(*upload, *number)),
            ],
            Vec::new(),
        ),
        Fact::UploadAborted { upload } => (
            vec![(Table::Uploads, keys::upload(*upload))],
            vec![parts(*upload)],
        ),
    }
}
