//! Rows changed since the last durable commit, and the two ways to see them over the file.
//!
//! `active` takes writes. A commit freezes it: the frozen rows go to the thread that commits and stay
//! visible here until the file says that it holds them. Only then [`Memtable::drop_frozen`] forgets
//! them, and counts one generation: bundles read before are stale from then on.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use crate::index::apply::{Rows, RowsError};
use crate::index::bundle::{Bundle, MergedScan, Row, Scan, Scanned};
use crate::index::keys::successor;
use crate::index::limits::ENTRY_OVERHEAD_BYTES;
use crate::index::rows::Table;
use crate::index::store::IndexStore;

/// Changes by table and key; no value deletes.
#[derive(Clone, Default)]
struct Changes {
    tables: [BTreeMap<Vec<u8>, Option<Vec<u8>>>; Table::COUNT],
    entries: usize,
    bytes: usize,
}

impl Changes {
    fn of(&self, table: Table) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.tables[table.position()]
    }

    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        let key_bytes = key.len() + ENTRY_OVERHEAD_BYTES;
        self.bytes += value.as_ref().map_or(0, Vec::len);
        match self.tables[table.position()].insert(key, value) {
            Some(old) => self.bytes -= old.map_or(0, |old| old.len()),
            None => {
                self.entries += 1;
                self.bytes += key_bytes;
            }
        }
    }
}

/// Rows on their way to the file, in the order of their keys.
#[derive(Default)]
pub struct FrozenRows {
    changes: Changes,
}

impl fmt::Debug for FrozenRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FrozenRows({} rows, {} bytes)",
            self.rows(),
            self.bytes()
        )
    }
}

impl FrozenRows {
    /// Number of changed rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.changes.entries
    }

    /// What they occupy in memory, about.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.changes.bytes
    }

    /// The changes of a table, ascending; no value deletes.
    pub fn changes(&self, table: Table) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes
            .of(table)
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}

/// The rows in memory.
#[derive(Default)]
pub struct Memtable {
    active: Changes,
    frozen: Option<Arc<FrozenRows>>,
    generation: u64,
}

impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memtable")
            .field("rows", &self.rows())
            .field("bytes", &self.bytes())
            .field("frozen", &self.frozen)
            .field("generation", &self.generation)
            .finish()
    }
}

impl Memtable {
    /// An empty memtable over a file that has just been opened or made.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changed rows that no commit has taken yet.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.active.entries
    }

    /// What active and frozen rows occupy in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.active.bytes + self.frozen.as_ref().map_or(0, |frozen| frozen.bytes())
    }

    /// Whether a commit is under way.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// The rows of the commit under way.
    #[must_use]
    pub fn frozen(&self) -> Option<Arc<FrozenRows>> {
        self.frozen.clone()
    }

    /// Commits that the file below has confirmed.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether `bundle` together with this memtable tells the present.
    #[must_use]
    pub const fn is_current(&self, bundle: &Bundle) -> bool {
        bundle.generation() >= self.generation
    }

    /// Hands the active rows over to a commit. None while another commit is under way.
    #[must_use]
    pub fn freeze(&mut self) -> Option<Arc<FrozenRows>> {
        if self.frozen.is_some() {
            return None;
        }
        let changes = std::mem::take(&mut self.active);
        let frozen = Arc::new(FrozenRows { changes });
        self.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    /// Forgets the frozen rows, since the file holds them now, and gives them to whoever has the time to free them.
    pub fn drop_frozen(&mut self) -> Option<Arc<FrozenRows>> {
        let frozen = self.frozen.take();
        self.generation += u64::from(frozen.is_some());
        frozen
    }

    /// Takes the frozen rows back after a commit that failed: they are active again, below what was
    /// changed meanwhile.
    pub fn unfreeze(&mut self) {
        let Some(frozen) = self.frozen.take() else {
            return;
        };
        let newer = std::mem::take(&mut self.active);
        self.active = Arc::try_unwrap(frozen)
            .map_or_else(|shared| shared.changes.clone(), |frozen| frozen.changes);
        for table in Table::ALL {
            for (key, value) in newer.of(table) {
                self.active.set(table, key.clone(), value.clone());
            }
        }
    }

    /// Sets or, with no value, deletes a row.
    pub fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.active.set(table, key, value);
    }

    /// What memory knows of a key: the outer none means nothing, the inner one a deleted row.
    #[must_use]
    pub fn overlay_get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        self.layers()
            .find_map(|changes| changes.of(table).get(key))
            .map(Option::as_deref)
    }

    /// Lays the rows in memory over what the file holds in the range of `scan`.
    #[must_use]
    pub fn merge_scan(&self, scan: &Scan, base: &Scanned) -> MergedScan {
        if scan.is_empty() || scan.limit == 0 {
            return MergedScan::default();
        }
        // The base knows nothing behind its last row unless it reached the end of the range.
        let covered_end = if base.exhausted {
            scan.end.clone()
        } else {
            base.rows.last().map(|(key, _)| successor(key))
        };
        if covered_end.as_ref().is_some_and(|end| *end <= scan.from) {
            return MergedScan {
                rows: Vec::new(),
                resume: Some(scan.from.clone()),
            };
        }
        let overlay = self.overlay(scan.table, &scan.from, covered_end.as_deref());
        let mut rows = merge(&base.rows, overlay, scan.limit + 1);
        let cut = rows.len() > scan.limit;
        rows.truncate(scan.limit);
        let resume = match (cut, base.exhausted) {
            (true, _) => rows.last().map(|(key, _)| successor(key)),
            (false, true) => None,
            (false, false) => covered_end,
        };
        MergedScan { rows, resume }
    }

    /// Active, then frozen changes.
    fn layers(&self) -> impl Iterator<Item = &Changes> {
        std::iter::once(&self.active).chain(self.frozen.iter().map(|frozen| &frozen.changes))
    }

    /// Changes in a range of keys, newest wins.
    fn overlay(&self, table: Table, from: &[u8], end: Option<&[u8]>) -> Overlay<'_> {
        let bounds = (
            Bound::Included(from),
            end.map_or(Bound::Unbounded, Bound::Excluded),
        );
        let frozen = self.frozen.as_ref();
        Overlay {
            newer: self.active.of(table).range::<[u8], _>(bounds).peekable(),
            older: frozen.map(|rows| rows.changes.of(table).range::<[u8], _>(bounds).peekable()),
        }
    }
}

type ChangeRange<'a> = Peekable<btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>>;

/// Two layers of changes as one ascending sequence; where both have a key, the newer one counts.
struct Overlay<'a> {
    newer: ChangeRange<'a>,
    older: Option<ChangeRange<'a>>,
}

impl<'a> Iterator for Overlay<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let older_key = self
            .older
            .as_mut()
            .and_then(|older| older.peek())
            .map(|(key, _)| *key);
        let order = match (self.newer.peek(), older_key) {
            (_, None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((newer, _)), Some(older)) => (*newer).cmp(older),
        };
        if order != Ordering::Less {
            let older = self.older.as_mut().and_then(Iterator::next);
            if order == Ordering::Greater {
                return older.map(|(key, value)| (key.as_slice(), value.as_deref()));
            }
        }
        self.newer
            .next()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}

/// The first `count` rows of `base` under `overlay`, both ascending.
fn merge(base: &[Row], overlay: Overlay<'_>, count: usize) -> Vec<Row> {
    let mut base = base.iter().peekable();
    let mut overlay = overlay.peekable();
    let mut rows = Vec::new();
    while rows.len() < count {
        let order = match (base.peek(), overlay.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((below, _)), Some((above, _))) => below.as_slice().cmp(above),
        };
        if order == Ordering::Less {
            rows.extend(base.next().cloned());
            continue;
        }
        if order == Ordering::Equal {
            base.next();
        }
        if let Some((key, Some(value))) = overlay.next() {
            rows.push((key.to_vec(), value.to_vec()));
        }
    }
    rows
}

/// Rows for the live engine: memory over what was asked of the file beforehand.
pub struct LiveRows<'a> {
    memtable: &'a mut Memtable,
    bundle: &'a Bundle,
}

impl<'a> LiveRows<'a> {
    /// Lays `memtable` over `bundle`.
    pub fn new(memtable: &'a mut Memtable, bundle: &'a Bundle) -> Self {
        Self { memtable, bundle }
    }
}

impl Rows for LiveRows<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        if let Some(known) = self.memtable.overlay_get(table, key) {
            return Ok(known.map(<[u8]>::to_vec));
        }
        if !self.memtable.is_current(self.bundle) {
            return Err(RowsError::Stale);
        }
        let known = self
            .bundle
            .get(table, key)
            .ok_or(RowsError::NotFetched(table, key.to_vec()))?;
        Ok(known.map(<[u8]>::to_vec))
    }

    fn scan(&self, scan: &Scan) -> Result<MergedScan, RowsError> {
        if !self.memtable.is_current(self.bundle) {
            return Err(RowsError::Stale);
        }
        if scan.is_empty() {
            return Ok(MergedScan::default());
        }
        let base = self
            .bundle
            .covered(scan)
            .ok_or_else(|| RowsError::NotScanned(scan.clone()))?;
        Ok(self.memtable.merge_scan(scan, &base))
    }

    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.memtable.set(table, key, Some(value));
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.memtable.set(table, key, None);
    }
}

/// Rows for replay and for tools that own the file: memory over direct reads.
pub struct DirectRows<'a> {
    memtable: &'a mut Memtable,
    store: &'a IndexStore,
}

impl<'a> DirectRows<'a> {
    /// Lays `memtable` over `store`.
    pub fn new(memtable: &'a mut Memtable, store: &'a IndexStore) -> Self {
        Self { memtable, store }
    }
}

impl Rows for DirectRows<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        match self.memtable.overlay_get(table, key) {
            Some(known) => Ok(known.map(<[u8]>::to_vec)),
            None => Ok(self.store.get(table, key)?),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<MergedScan, RowsError> {
        Ok(self.memtable.merge_scan(scan, &self.store.scan(scan)?))
    }

    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.memtable.set(table, key, Some(value));
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.memtable.set(table, key, None);
    }
}
