//! Reading rows while a commit is written.
//!
//! Invariant: a [`View`] lives only while redb is open, and goes when a newer one is there: it keeps the
//! pages that commits replace from being used again.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use redb::{Database, ReadOnlyTable, ReadableDatabase};

use super::{Bytes, Failure, definition, guarded};
use crate::index::bundle::{Bundle, Scan, Scanned};
use crate::index::message::{IndexError, IndexReply, Query};
use crate::index::rows::Table;

/// The rows as a commit left them.
pub(super) struct View {
    tables: Vec<ReadOnlyTable<Bytes, Bytes>>,
    generation: u64,
}

impl View {
    /// Of the last commit, which was the `generation`-th since the file was opened.
    pub(super) fn of(database: &Database, generation: u64) -> Result<Self, Failure> {
        let view = database.begin_read()?;
        let tables = Table::ALL.iter().map(|table| {
            let table = view.open_table(definition(*table));
            table.map_err(Failure::from)
        });
        Ok(Self {
            tables: tables.collect::<Result<_, _>>()?,
            generation,
        })
    }

    pub(super) fn table(&self, table: Table) -> Result<&ReadOnlyTable<Bytes, Bytes>, Failure> {
        self.tables.get(table.position()).ok_or(Failure)
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.table(table)?.get(key)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    pub(super) fn scan(&self, scan: &Scan) -> Result<Scanned, Failure> {
        if scan.is_empty() {
            return Ok(Scanned {
                rows: Vec::new(),
                exhausted: true,
            });
        }
        let end = scan
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(scan.from.as_slice()), end);
        let mut range = self.table(scan.table)?.range::<&[u8]>(bounds)?;
        let mut rows = Vec::new();
        while rows.len() < scan.limit {
            let Some(row) = range.next() else {
                return Ok(Scanned {
                    rows,
                    exhausted: true,
                });
            };
            let (key, value) = row?;
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        let exhausted = range.next().transpose()?.is_none();
        Ok(Scanned { rows, exhausted })
    }

    fn bundle(&self, query: &Query) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::new(self.generation);
        for (table, key) in &query.gets {
            bundle.add_get(*table, key.clone(), self.get(*table, key)?);
        }
        for scan in &query.scans {
            bundle.add_scan(scan.clone(), self.scan(scan)?);
        }
        Ok(bundle)
    }
}

/// The view that a store and its readers share; none while the file is closed.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<RwLock<Option<View>>>);

impl Shared {
    /// Waits for the queries under way; the next ones wait for what is done with it.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Option<View>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at rows.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub(super) fn look<T>(
        &self,
        look: impl FnOnce(&View) -> Result<T, Failure>,
    ) -> Result<T, IndexError> {
        let view = self.0.read().unwrap_or_else(PoisonError::into_inner);
        guarded(|| look(view.as_ref().ok_or(Failure)?))
    }

    /// The rows asked for.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub(super) fn answer(&self, query: &Query) -> Result<IndexReply, IndexError> {
        let bundle = self.look(|view| view.bundle(query))?;
        Ok(IndexReply::Answer {
            id: query.id,
            bundle,
        })
    }
}

/// Answers queries on another thread than the one that commits. What it answers may be older than a commit
/// that was confirmed meanwhile; its generation says so.
pub struct IndexReader {
    shared: Shared,
}

impl IndexReader {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// The rows asked for.
    ///
    /// # Errors
    /// The query, which the store must be asked then: redb reads nothing any more once a write has failed, also
    /// where the file only has to be given more room, and a reader cannot tell that from damage.
    pub fn answer(&self, query: Query) -> Result<IndexReply, Query> {
        self.shared.answer(&query).map_err(|_| query)
    }
}
