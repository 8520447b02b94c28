//! What a request may look at while it decides, and how it says what it still needs.
//!
//! Deciding is restartable: it reads rows and records through a [`View`]; what is not at hand is
//! collected as a [`Need`], fetched, and the decision is made again from the start. So the rules read
//! as straight lines although nothing in the engine ever waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use stele_format::units::{BucketId, ObjectId, SegmentId, UploadId, VersionId};

use super::commands::list::Lister;
use super::lists::Walk;
use crate::index::apply::Effect;
use crate::index::rows::{
    NameRow, PartRow, RecordLocation, Table, TableRow, UploadRow, VersionRow,
};
use crate::index::{
    ApplyError, Bundle, Fact, LiveRows, Memtable, MergedScan, Rows, RowsError, Scan, keys,
};
use crate::read::VerifiedRecord;
use crate::request::Refusal;

/// Something to fetch before deciding.
pub(crate) enum Need {
    /// A row.
    Row(Table, Vec<u8>),
    /// A range of rows.
    Range(Scan),
    /// A record of the journal.
    Record(RecordLocation),
    /// Chunk lists too long for a manifest, to be moved to list chunks.
    Lists(crate::read::Content),
}

/// Why deciding stopped.
pub(crate) enum Stop {
    /// Fetch this and decide again.
    Need(Vec<Need>),
    /// No.
    Refuse(Refusal),
    /// This record does not open, although it verifies.
    Damaged(RecordLocation),
    /// The index contradicts itself or the journal.
    Index(ApplyError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refuse(refusal)
    }
}

impl From<crate::policy::Refusal> for Stop {
    fn from(refusal: crate::policy::Refusal) -> Self {
        Stop::Refuse(Refusal::Policy(refusal))
    }
}

impl From<crate::index::rows::RowError> for Stop {
    fn from(error: crate::index::rows::RowError) -> Self {
        Stop::Index(ApplyError::Row(error))
    }
}

/// What was fetched for one request so far.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) bundle: Bundle,
    pub(crate) records: BTreeMap<(SegmentId, u64), Arc<VerifiedRecord>>,
    /// How far a listing of a bucket has come: it alone goes on where it was, since it may read much more than it shows.
    pub(crate) lister: RefCell<Option<(BucketId, Lister)>>,
    /// How far the decision has come in the rows of a list of versions.
    pub(crate) walk: RefCell<Option<Walk>>,
    /// Nothing of the bundle is wanted any more: it is replaced by what comes next.
    pub(crate) is_used_up: Cell<bool>,
}

impl Gathered {
    /// With nothing fetched yet.
    pub(crate) fn new(bundle: Bundle) -> Self {
        Self {
            bundle,
            ..Self::default()
        }
    }

    /// Takes rows in that were asked for.
    pub(crate) fn take_in(&mut self, bundle: Bundle) {
        if self.is_used_up.take() {
            self.bundle = bundle;
        } else {
            self.bundle.merge(bundle);
        }
    }
}

/// The index and the journal as one request sees them.
pub(crate) struct View<'a> {
    pub(crate) memtable: &'a Memtable,
    pub(crate) gathered: &'a Gathered,
    /// Collected while a decision goes on although something is missing.
    pub(crate) needs: RefCell<Vec<Need>>,
}

impl<'a> View<'a> {
    /// A view for one attempt at a decision.
    pub(crate) fn new(memtable: &'a Memtable, gathered: &'a Gathered) -> Self {
        Self {
            memtable,
            gathered,
            needs: RefCell::new(Vec::new()),
        }
    }

    /// A row, if it exists.
    pub(crate) fn row<R: TableRow>(&self, key: Vec<u8>) -> Result<Option<R>, Stop> {
        let found = match self.memtable.overlay_get(R::TABLE, &key) {
            Some(value) => value,
            None => match self.gathered.bundle.get(R::TABLE, &key) {
                Some(value) => value,
                None => return Err(Stop::Need(vec![Need::Row(R::TABLE, key)])),
            },
        };
        Ok(found.map(R::decode).transpose()?)
    }

    /// A range of rows, the memtable laid over the file.
    pub(crate) fn scan(&self, scan: &Scan) -> Result<MergedScan, Stop> {
        self.known(scan)
            .ok_or_else(|| Stop::Need(vec![Need::Range(scan.clone())]))
    }

    /// The same, if it was fetched.
    pub(crate) fn known(&self, scan: &Scan) -> Option<MergedScan> {
        let base = self.gathered.bundle.covered(scan)?;
        Some(self.memtable.merge_scan(scan, &base))
    }

    /// Whether any row has a prefix: the first ones of the file may be deleted in memory.
    pub(crate) fn has_any(&self, table: Table, prefix: Vec<u8>) -> Result<bool, Stop> {
        let mut scan = Scan::prefix(table, prefix, crate::limits::SCAN_ROW_COUNT);
        loop {
            let merged = self.scan(&scan)?;
            match merged.resume {
                _ if !merged.rows.is_empty() => return Ok(true),
                None => return Ok(false),
                Some(resume) => scan.from = resume,
            }
        }
    }

    /// Every row with a prefix.
    pub(crate) fn prefix<R: TableRow>(&self, prefix: Vec<u8>) -> Result<Vec<(Vec<u8>, R)>, Stop> {
        let mut scan = Scan::prefix(R::TABLE, prefix, crate::limits::SCAN_ROW_COUNT);
        let mut rows = Vec::new();
        loop {
            let merged = self.scan(&scan)?;
            for (key, value) in merged.rows {
                rows.push((key, R::decode(&value)?));
            }
            match merged.resume {
                None => return Ok(rows),
                Some(resume) => scan.from = resume,
            }
        }
    }

    /// The row of a name.
    pub(crate) fn name(&self, bucket: BucketId, name: &[u8]) -> Result<Option<NameRow>, Stop> {
        self.row(keys::name(bucket, name))
    }

    /// A version of an object that is not released, by its full id.
    pub(crate) fn version(
        &self,
        object: ObjectId,
        version: VersionId,
    ) -> Result<Option<VersionRow>, Stop> {
        let row: Option<VersionRow> = self.row(keys::version(object, version))?;
        Ok(row.filter(|row| row.version == version && row.is_shown()))
    }

    /// The newest version of an object, whatever became of it.
    pub(crate) fn newest(&self, object: ObjectId) -> Result<Option<VersionRow>, Stop> {
        let mut scan = Scan::prefix(Table::Versions, keys::object(object), 1);
        loop {
            let merged = self.scan(&scan)?;
            if let Some((_, value)) = merged.rows.first() {
                return Ok(Some(VersionRow::decode(value)?));
            }
            match merged.resume {
                None => return Ok(None),
                Some(resume) => scan.from = resume,
            }
        }
    }

    /// An upload of this very name.
    pub(crate) fn upload(
        &self,
        bucket: BucketId,
        name: &[u8],
        upload: UploadId,
    ) -> Result<UploadRow, Stop> {
        let row: Option<UploadRow> = self.row(keys::upload(upload))?;
        row.filter(|row| row.bucket == bucket && row.name == name)
            .ok_or(Stop::Refuse(Refusal::NoSuchUpload))
    }

    /// Every part of an upload by number.
    pub(crate) fn parts(&self, upload: UploadId) -> Result<BTreeMap<u16, PartRow>, Stop> {
        let rows = self.prefix::<PartRow>(keys::upload(upload))?;
        Ok(rows
            .into_iter()
            .filter_map(|(key, row)| Some((keys::part_of(&key)?, row)))
            .collect())
    }

    /// A record of the journal, verified. Missing ones are noted, so that a caller who wants many
    /// may go on and fetch all at once with [`View::settle`].
    pub(crate) fn record(&self, location: &RecordLocation) -> Option<Arc<VerifiedRecord>> {
        let key = (location.segment, location.offset.get());
        let found = self.gathered.records.get(&key).cloned();
        if found.is_none() {
            self.needs.borrow_mut().push(Need::Record(*location));
        }
        found
    }

    /// Stops if anything noted is missing.
    pub(crate) fn settle(&self) -> Result<(), Stop> {
        let needs = std::mem::take(&mut *self.needs.borrow_mut());
        if needs.is_empty() {
            Ok(())
        } else {
            Err(Stop::Need(needs))
        }
    }

    /// Makes sure that applying a fact later will find every row it reads.
    pub(crate) fn foresee(&self, fact: &Fact) -> Result<(), Stop> {
        let (gets, scans) = crate::index::apply::first_reads(fact);
        let missing_get = |(table, key): &(Table, Vec<u8>)| {
            self.memtable.overlay_get(*table, key).is_none()
                && self.gathered.bundle.get(*table, key).is_none()
        };
        let mut needs: Vec<Need> = gets
            .into_iter()
            .filter(missing_get)
            .map(|(table, key)| Need::Row(table, key))
            .collect();
        needs.extend(
            scans
                .into_iter()
                .filter(|scan| self.gathered.bundle.covered(scan).is_none())
                .map(Need::Range),
        );
        if !needs.is_empty() {
            return Err(Stop::Need(needs));
        }
        match crate::index::apply::check(fact, &Foresight(self)) {
            Ok(()) => Ok(()),
            Err(ApplyError::Rows(RowsError::NotScanned(scan))) => {
                Err(Stop::Need(vec![Need::Range(scan)]))
            }
            Err(ApplyError::Rows(RowsError::NotFetched(table, key))) => {
                Err(Stop::Need(vec![Need::Row(table, key)]))
            }
            Err(error) => Err(Stop::Index(error)),
        }
    }
}

/// Reads of a fact that is only being checked.
struct Foresight<'a, 'b>(&'a View<'b>);

impl Rows for Foresight<'_, '_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        let view = self.0;
        let found = match view.memtable.overlay_get(table, key) {
            Some(value) => Some(value),
            None => view.gathered.bundle.get(table, key),
        };
        found
            .map(|value| value.map(<[u8]>::to_vec))
            .ok_or_else(|| RowsError::NotFetched(table, key.to_vec()))
    }

    fn scan(&self, scan: &Scan) -> Result<MergedScan, RowsError> {
        self.0
            .scan(scan)
            .map_err(|_| RowsError::NotScanned(scan.clone()))
    }

    fn put(&mut self, _: Table, _: Vec<u8>, _: Vec<u8>) {}

    fn delete(&mut self, _: Table, _: Vec<u8>) {}
}

/// Applies a fact with what its request had fetched. A version that was only just numbered cannot be
/// in the file, which the bundle is told first.
pub(crate) fn apply_live(
    fact: &Fact,
    memtable: &mut Memtable,
    bundle: &mut Bundle,
) -> Result<Effect, ApplyError> {
    if let Fact::VersionAdded { object, row, .. } = fact {
        bundle.add_get(Table::Versions, keys::version(*object, row.version), None);
    }
    let mut rows = LiveRows::new(memtable, bundle);
    crate::index::apply(fact, &mut rows)
}
