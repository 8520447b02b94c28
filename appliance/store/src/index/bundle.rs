//! Questions to the index file and their answers.
//!
//! The file lives on threads of its own, so the engine asks first ([`Scan`], gets), receives a
//! [`Bundle`], and lays the memtable over it when it needs the rows. A bundle says which snapshot it
//! was read from; under a memtable that has dropped rows since, it is stale and must be asked again.

use std::collections::BTreeMap;
use std::fmt;

use crate::index::keys::successor;
use crate::index::rows::Table;

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A question for the rows of a range of keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// First key, included.
    pub from: Vec<u8>,
    /// Last key, excluded; none for the end of the table.
    pub end: Option<Vec<u8>>,
    /// Rows at most.
    pub limit: usize,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan({:?}, at most {})", self.table, self.limit)
    }
}

impl Scan {
    /// All rows whose key begins with `prefix`, at most `limit`.
    #[must_use]
    pub fn prefix(table: Table, prefix: Vec<u8>, limit: usize) -> Self {
        let end = crate::index::keys::prefix_end(&prefix);
        Self {
            table,
            from: prefix,
            end,
            limit,
        }
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Whether no key can lie in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.from)
    }
}

/// What the file holds in a range.
#[derive(Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The rows, ascending.
    pub rows: Vec<Row>,
    /// Whether the range holds no further rows.
    pub exhausted: bool,
}

impl fmt::Debug for Scanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Scanned({} rows, exhausted {})",
            self.rows.len(),
            self.exhausted
        )
    }
}

/// What file and memtable together hold in a range.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MergedScan {
    /// The rows, ascending; can be empty although more follow.
    pub rows: Vec<Row>,
    /// Where to go on reading; none when the range holds no further rows.
    pub resume: Option<Vec<u8>>,
}

impl fmt::Debug for MergedScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "MergedScan({} rows, more {})",
            self.rows.len(),
            self.resume.is_some()
        )
    }
}

/// Answers read from one snapshot of the file.
#[derive(Clone, Default)]
pub struct Bundle {
    generation: u64,
    gets: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    scans: Vec<(Scan, Scanned)>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("generation", &self.generation)
            .field("gets", &self.gets.len())
            .field("scans", &self.scans)
            .finish()
    }
}

impl Bundle {
    /// An empty bundle of the snapshot after `generation` commits.
    #[must_use]
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Commits of the file, counted since it was opened, at the time of reading.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds the answer to a get.
    pub fn add_get(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.gets.insert((table, key), value);
    }

    /// Adds the answer to a scan.
    pub fn add_scan(&mut self, scan: Scan, scanned: Scanned) {
        self.scans.push((scan, scanned));
    }

    /// Takes the answers of another bundle in. The whole is as old as its oldest part.
    pub fn merge(&mut self, other: Bundle) {
        self.generation = self.generation.min(other.generation);
        self.gets.extend(other.gets);
        self.scans.extend(other.scans);
    }

    /// The answers to the scans, in the order asked.
    #[must_use]
    pub fn scans(&self) -> &[(Scan, Scanned)] {
        &self.scans
    }

    /// The value of `key`; the outer none means that the bundle does not know.
    #[must_use]
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        // The map's key owns its bytes, so a borrowed look-up walks the few entries of the range.
        let exact = self.gets.range((table, key.to_vec())..).next();
        if let Some(((found_table, found), value)) = exact
            && *found_table == table
            && found == key
        {
            return Some(value.as_deref());
        }
        self.scans
            .iter()
            .filter(|(scan, _)| scan.table == table)
            .find_map(|(scan, scanned)| {
                if !scan.contains(key) {
                    return None;
                }
                match scanned
                    .rows
                    .binary_search_by(|(row, _)| row.as_slice().cmp(key))
                {
                    Ok(at) => scanned
                        .rows
                        .get(at)
                        .map(|(_, value)| Some(value.as_slice())),
                    Err(at) if at < scanned.rows.len() || scanned.exhausted => Some(None),
                    Err(_) => None,
                }
            })
    }

    /// The part of `wanted` that one of the scans covers; none when the bundle does not know the
    /// first key of it.
    #[must_use]
    pub fn covered(&self, wanted: &Scan) -> Option<Scanned> {
        self.scans
            .iter()
            .find_map(|(scan, scanned)| covered_by(scan, scanned, wanted))
    }
}

/// Cuts the answer to `scan` down to what it says about `wanted`.
fn covered_by(scan: &Scan, scanned: &Scanned, wanted: &Scan) -> Option<Scanned> {
    if scan.table != wanted.table || wanted.from < scan.from {
        return None;
    }
    // Exclusive end of what the answer knows; none is the end of the table.
    let known_end = if scanned.exhausted {
        scan.end.clone()
    } else {
        Some(successor(&scanned.rows.last()?.0))
    };
    if known_end.as_ref().is_some_and(|end| wanted.from >= *end) {
        return None;
    }
    let rows: Vec<Row> = scanned
        .rows
        .iter()
        .filter(|(key, _)| wanted.contains(key))
        .cloned()
        .collect();
    let reaches_end = match (&known_end, &wanted.end) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(known), Some(end)) => end <= known,
    };
    if rows.is_empty() && !reaches_end {
        return None;
    }
    Some(Scanned {
        rows,
        exhausted: reaches_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(from: &[u8], end: Option<&[u8]>, limit: usize) -> Scan {
        let end = end.map(<[u8]>::to_vec);
        Scan {
            table: Table::Names,
            from: from.to_vec(),
            end,
            limit,
        }
    }

    fn bundle(from: &[u8], end: Option<&[u8]>, keys: &[&[u8]], exhausted: bool) -> Bundle {
        let mut bundle = Bundle::new(0);
        let rows = keys
            .iter()
            .map(|key| (key.to_vec(), b"v".to_vec()))
            .collect();
        bundle.add_scan(scan(from, end, keys.len()), Scanned { rows, exhausted });
        bundle
    }

    #[test]
    fn a_get_is_answered_by_a_scan_that_covers_it() {
        let open = bundle(b"b", None, &[b"b", b"d"], false);
        let check = |bundle: &Bundle, key: &[u8], expected: Option<Option<&[u8]>>| {
            assert_eq!(bundle.get(Table::Names, key), expected, "{key:?}");
        };
        check(&open, b"a", None);
        check(&open, b"b", Some(Some(b"v")));
        check(&open, b"c", Some(None));
        check(&open, b"d", Some(Some(b"v")));
        check(&open, b"e", None);
        assert_eq!(open.get(Table::Objects, b"b"), None);
        let ended = bundle(b"b", Some(b"f"), &[b"b", b"d"], true);
        check(&ended, b"e", Some(None));
        check(&ended, b"f", None);
    }

    #[test]
    fn a_scan_is_answered_as_far_as_a_wider_scan_reached() {
        let open = bundle(b"b", None, &[b"b", b"d", b"f"], false);
        let check = |wanted: Scan, expected: Option<(&[&[u8]], bool)>| {
            let found = open.covered(&wanted).map(|scanned| {
                (
                    scanned
                        .rows
                        .into_iter()
                        .map(|(key, _)| key)
                        .collect::<Vec<_>>(),
                    scanned.exhausted,
                )
            });
            let expected = expected.map(|(keys, done)| {
                (
                    keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>(),
                    done,
                )
            });
            assert_eq!(found, expected);
        };
        check(scan(b"a", None, 9), None);
        check(scan(b"c", None, 9), Some((&[b"d", b"f"], false)));
        check(scan(b"c", Some(b"d"), 9), Some((&[], true)));
        check(scan(b"c", Some(b"f\0"), 9), Some((&[b"d", b"f"], true)));
        check(scan(b"g", None, 9), None);
    }
}
