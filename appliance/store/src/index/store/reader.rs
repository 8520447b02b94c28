//! Reading rows while a commit is written.
//!
//! Invariant: a [`View`] lives only while redb is open, and goes when a newer one is there: it keeps the
//! pages that commits replace from being used again.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

    fn bundle(&self, query: Query) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::new(self.generation);
        for (table, key) in query.gets {
            let value = self.get(table, &key)?;
            bundle.add_get(table, key, value);
        }
        for scan in query.scans {
            let scanned = self.scan(&scan)?;
            bundle.add_scan(scan, scanned);
        }
        Ok(bundle)
    }
}

/// What readers see, and what they say of it.
#[derive(Default)]
pub(super) struct Seen {
    /// None once nothing is answered any more.
    pub(super) view: Option<View>,
    /// A reader came upon a page that no mirror can give.
    pub(super) damaged: bool,
}

/// The view that a store and its readers share.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<RwLock<Seen>>);

impl Shared {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the queries under way; the next ones wait for what is done with it.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Seen> {
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
        let seen = self.read();
        guarded(|| look(seen.view.as_ref().ok_or(Failure)?))
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

    /// The rows asked for. After a failure nothing is answered any more, and the store gives the file up as
    /// soon as it is asked or dropped.
    #[must_use]
    pub fn answer(&self, query: Query) -> IndexReply {
        let reply = self.shared.answer(query);
        if matches!(reply, IndexReply::Failed { .. }) {
            let mut seen = self.shared.write();
            seen.damaged |= seen.view.take().is_some();
        }
        reply
    }
}

impl Shared {
    pub(super) fn answer(&self, query: Query) -> IndexReply {
        let id = query.id;
        match self.look(|view| view.bundle(query)) {
            Ok(bundle) => IndexReply::Answer { id, bundle },
            Err(error) => IndexReply::Failed {
                query: Some(id),
                error,
            },
        }
    }
}
