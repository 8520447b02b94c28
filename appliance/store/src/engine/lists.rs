//! Lists of versions that people named: read and checked once, and kept while they are worked off piece by piece.
//!
//! A list may have a million versions. What is done for a page of them may neither read all of it again nor hold the
//! rows of all of it at once.

use std::cell::RefCell;
use std::sync::Arc;

use stele_format::digest::Digest;
use stele_format::record::VersionRef;
use stele_format::units::{UnixMillis, VersionId};

use crate::limits::SCOPE_VERSION_COUNT_MAX;

/// Versions of all lists that are kept at once.
const KEPT_VERSION_COUNT_MAX: usize = 2 * SCOPE_VERSION_COUNT_MAX;

/// A whole list: what was digested, in the order of its versions.
#[derive(Debug)]
pub(crate) struct List {
    entries: Vec<VersionRef>,
    /// Where each piece begins.
    begins: Vec<usize>,
}

impl List {
    /// A list from its pieces. The caller has checked that their versions ascend.
    pub(crate) fn of(pieces: impl Iterator<Item = Vec<VersionRef>>) -> Self {
        let (mut entries, mut begins) = (Vec::new(), Vec::new());
        for piece in pieces {
            begins.push(entries.len());
            entries.extend(piece);
        }
        Self { entries, begins }
    }

    pub(crate) fn entries(&self) -> &[VersionRef] {
        &self.entries
    }

    /// What is in a piece and in those behind it.
    pub(crate) fn left_from(&self, ordinal: usize) -> &[VersionRef] {
        let begin = self.begins.get(ordinal).copied();
        let rest = begin.and_then(|begin| self.entries.get(begin..));
        rest.unwrap_or_default()
    }

    pub(crate) fn pieces(&self) -> usize {
        self.begins.len()
    }

    pub(crate) fn contains(&self, version: VersionId) -> bool {
        is_among(&self.entries, version)
    }

    /// The piece that has a version.
    pub(crate) fn piece_of(&self, version: VersionId) -> Option<u32> {
        let at = place_of(&self.entries, version)?;
        let begun = self.begins.partition_point(|begin| *begin <= at);
        u32::try_from(begun.checked_sub(1)?).ok()
    }
}

/// Whether a version is one of these, which ascend.
pub(crate) fn is_among(entries: &[VersionRef], version: VersionId) -> bool {
    place_of(entries, version).is_some()
}

fn place_of(entries: &[VersionRef], version: VersionId) -> Option<usize> {
    let at = entries.binary_search_by_key(&version.ordinal(), |entry| entry.version.ordinal());
    at.ok().filter(|at| {
        entries
            .get(*at)
            .is_some_and(|entry| entry.version == version)
    })
}

/// The lists that were read last, by their digests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists(RefCell<Vec<(Digest, Arc<List>)>>);

impl Lists {
    /// A list that is kept.
    pub(crate) fn get(&self, digest: Digest) -> Option<Arc<List>> {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(of, _)| *of == digest)?;
        let found = kept.remove(at);
        let list = Arc::clone(&found.1);
        kept.push(found);
        Some(list)
    }

    /// Keeps a list, in the place of those that nobody asked for longest.
    pub(crate) fn keep(&self, digest: Digest, list: List) -> Arc<List> {
        let list = Arc::new(list);
        let mut kept = self.0.borrow_mut();
        kept.push((digest, Arc::clone(&list)));
        let versions = |kept: &[(Digest, Arc<List>)]| {
            kept.iter()
                .map(|(_, list)| list.entries.len())
                .sum::<usize>()
        };
        while kept.len() > 1 && versions(&kept) > KEPT_VERSION_COUNT_MAX {
            kept.remove(0);
        }
        list
    }

    /// Something was worked off to its end: mostly nobody asks for its list again.
    pub(crate) fn forget(&self) {
        self.0.borrow_mut().clear();
    }
}

/// What running cases hold.
pub(crate) struct Held(Vec<Arc<List>>);

impl Held {
    pub(crate) fn by(lists: Vec<Arc<List>>) -> Self {
        Self(lists)
    }

    pub(crate) fn contains(&self, version: VersionId) -> bool {
        self.0.iter().any(|list| list.contains(version))
    }
}

/// Lists of cases that were released, and when.
pub(crate) struct Freed(Vec<(Arc<List>, UnixMillis)>);

impl Freed {
    pub(crate) fn at(lists: Vec<(Arc<List>, UnixMillis)>) -> Self {
        Self(lists)
    }

    /// When the last of them that holds a version was.
    pub(crate) fn of(&self, version: VersionId) -> Option<UnixMillis> {
        let holding = self.0.iter().filter(|(list, _)| list.contains(version));
        holding.map(|(_, at)| *at).max()
    }
}

/// How far a decision has come in the rows of a list. It is made anew for each page of them, and goes on where it was.
pub(crate) struct Walk {
    pub(crate) list: Digest,
    pub(crate) done: usize,
    pub(crate) sums: Sums,
}

impl Walk {
    pub(crate) fn of(list: Digest) -> Self {
        Self {
            list,
            done: 0,
            sums: Sums::default(),
        }
    }
}

/// What is summed up on the way.
#[derive(Clone)]
pub(crate) struct Sums {
    pub(crate) bytes: u64,
    pub(crate) leaves: u64,
    pub(crate) oldest: UnixMillis,
    pub(crate) newest: UnixMillis,
    /// The latest end of retention.
    pub(crate) latest: Option<UnixMillis>,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            bytes: 0,
            leaves: 0,
            oldest: UnixMillis::new(u64::MAX),
            newest: UnixMillis::ZERO,
            latest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stele_format::units::{LogIndex, ObjectId};

    fn entry(record: u64, tag: u8) -> VersionRef {
        VersionRef {
            object: ObjectId::new([tag; 16]),
            version: VersionId::new(LogIndex::new(record), [tag; 8]),
        }
    }

    #[test]
    fn a_list_knows_its_versions_and_what_is_left_of_it_by_pieces() {
        let pieces = [vec![entry(1, 1), entry(4, 2)], vec![entry(9, 3)]];
        let list = List::of(pieces.into_iter());
        assert!(list.contains(entry(4, 2).version));
        assert!(!list.contains(entry(4, 7).version), "of the same record");
        assert!(!list.contains(entry(5, 2).version));
        assert_eq!(list.left_from(1), [entry(9, 3)]);
        assert!(list.left_from(2).is_empty());
        assert!(!is_among(list.left_from(1), entry(4, 2).version));
    }

    #[test]
    fn of_lists_that_are_too_many_those_that_nobody_asked_for_go() {
        let lists = Lists::default();
        let digest = |number| Digest([number; 32]);
        let large = |tag| {
            let count = u64::try_from(SCOPE_VERSION_COUNT_MAX).expect("fits");
            List::of(std::iter::once(
                (0..count).map(|at| entry(at, tag)).collect(),
            ))
        };
        lists.keep(digest(1), large(1));
        lists.keep(digest(2), large(2));
        assert!(lists.get(digest(1)).is_some());
        lists.keep(digest(3), large(3));
        assert!(lists.get(digest(2)).is_none(), "asked for longest ago");
        assert!(lists.get(digest(1)).is_some() && lists.get(digest(3)).is_some());
        lists.forget();
        assert!(lists.get(digest(1)).is_none());
    }
}
