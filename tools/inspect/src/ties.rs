//! The ties between records and the chunks they cite.
//!
//! A record cites stored bytes by digest and length and never says where they lie; a tie holds when
//! a frame with that payload verifies on at least one present disk. Lists of chunks in the clear are
//! followed, so that every byte of a large object is tied to its record.

use std::collections::{BTreeSet, HashMap};

use stele_format::digest::Digest;
use stele_format::record::{EntryKind, SegmentSpan, StoredEntry};
use stele_format::units::SegmentId;

/// The journal frame whose record cites something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CitedBy {
    /// Journal segment.
    pub segment: SegmentId,
    /// Frame in it.
    pub frame: u32,
}

#[derive(Debug, Clone, Copy)]
struct Citation {
    by: CitedBy,
    bytes: u32,
    found: bool,
    list: bool,
    span: SegmentSpan,
}

/// Where chunks that were not found may have lain.
#[derive(Debug, Default)]
pub struct LostIn {
    /// What any of them may have lain in, ascending, none overlapping.
    spans: Vec<SegmentSpan>,
    /// The same of lists: what one of them cites is not known.
    of_lists: Vec<SegmentSpan>,
}

impl LostIn {
    /// Whether one of them may have lain in a place whose own header names this payload, which no record cites.
    #[must_use]
    pub fn may_be_at(&self, segment: SegmentId, payload: Option<Digest>) -> bool {
        let spans = match payload {
            Some(_) => &self.of_lists,
            None => &self.spans,
        };
        let begun = spans.partition_point(|span| span.first() <= segment);
        let last = spans[..begun].last();
        last.is_some_and(|span| span.contains(segment))
    }
}

/// Spans laid over each other.
fn united(mut spans: Vec<SegmentSpan>) -> Vec<SegmentSpan> {
    spans.sort_unstable_by_key(|span| span.first());
    spans.dedup_by(|next, span| {
        let meets = span.contains(next.first());
        if meets {
            *span = span.join(*next);
        }
        meets
    });
    spans
}

/// Every chunk that records cite, and which of them were found.
#[derive(Debug, Default)]
pub struct Citations {
    cited: HashMap<Digest, Citation>,
    has_lists: bool,
    /// Frames no record cites directly; kept only when lists may cite them.
    others: HashMap<Digest, u32>,
    lists: HashMap<Digest, Vec<StoredEntry>>,
    length_faults: Vec<(Digest, CitedBy)>,
}

impl Citations {
    /// A record cites an entry.
    pub fn cite(&mut self, entry: &StoredEntry, by: CitedBy, span: SegmentSpan) {
        let list = entry.kind == EntryKind::ClearList;
        self.has_lists |= list;
        let fresh = Citation {
            by,
            bytes: entry.stored_bytes,
            found: false,
            list,
            span,
        };
        let known = self.cited.entry(entry.digest).or_insert(fresh);
        known.list |= list;
        if known.bytes != entry.stored_bytes {
            self.length_faults.push((entry.digest, by));
        }
    }

    /// A data frame with this payload verifies.
    pub fn found(&mut self, payload: Digest, bytes: u32) {
        match self.cited.get_mut(&payload) {
            Some(citation) => {
                if citation.bytes != bytes && !citation.found {
                    self.length_faults.push((payload, citation.by));
                }
                citation.found = true;
            }
            None if self.has_lists => {
                self.others.insert(payload, bytes);
            }
            None => {}
        }
    }

    /// Whether list frames need to be read at all.
    #[must_use]
    pub fn wants_lists(&self) -> bool {
        self.has_lists
    }

    /// A data frame holds this list.
    pub fn found_list(&mut self, payload: Digest, entries: Vec<StoredEntry>) {
        self.lists.insert(payload, entries);
    }

    /// Follows every cited list, once all data frames are known.
    pub fn follow_lists(&mut self) {
        let mut open: Vec<(Digest, CitedBy, SegmentSpan)> = self
            .cited
            .iter()
            .filter(|(_, citation)| citation.list)
            .map(|(digest, citation)| (*digest, citation.by, citation.span))
            .collect();
        while let Some((list, by, span)) = open.pop() {
            // Removed, so that lists naming each other cannot keep this going.
            for entry in self.lists.remove(&list).unwrap_or_default() {
                self.cite(&entry, by, span);
                if let Some(bytes) = self.others.remove(&entry.digest) {
                    self.found(entry.digest, bytes);
                }
                if entry.kind == EntryKind::ClearList {
                    open.push((entry.digest, by, span));
                }
            }
        }
        self.others = HashMap::new();
    }

    /// Chunks of a record that may have lain in one of these segments are not expected any more.
    pub fn give_up(&mut self, segments: &BTreeSet<SegmentId>) {
        for citation in self.cited.values_mut().filter(|citation| !citation.found) {
            let span = citation.span.first()..=citation.span.last();
            citation.found = segments.range(span).next().is_some();
        }
    }

    /// Chunks cited, each once.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cited.len() as u64
    }

    /// Whether a record cites this payload.
    #[must_use]
    pub fn is_cited(&self, payload: Digest) -> bool {
        self.cited.contains_key(&payload)
    }

    /// Citing frames of chunks that were not found, with how many each cites, in order.
    #[must_use]
    pub fn lost(&self) -> Vec<(CitedBy, u64)> {
        let mut lost: HashMap<CitedBy, u64> = HashMap::new();
        for citation in self.cited.values().filter(|citation| !citation.found) {
            *lost.entry(citation.by).or_default() += 1;
        }
        let mut lost: Vec<(CitedBy, u64)> = lost.into_iter().collect();
        lost.sort_unstable();
        lost
    }

    /// Where those that were not found may have lain: nowhere but between the segments that their records name.
    #[must_use]
    pub fn lost_in(&self) -> LostIn {
        let lost = || self.cited.values().filter(|citation| !citation.found);
        let lists = lost().filter(|citation| citation.list);
        LostIn {
            spans: united(lost().map(|citation| citation.span).collect()),
            of_lists: united(lists.map(|citation| citation.span).collect()),
        }
    }

    /// Citing frames that state another length than the stored bytes have.
    #[must_use]
    pub fn wrong_lengths(&self) -> Vec<CitedBy> {
        let mut frames: Vec<CitedBy> = self.length_faults.iter().map(|(_, by)| *by).collect();
        frames.sort_unstable();
        frames.dedup();
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::{Citations, CitedBy};
    use stele_format::digest::Digest;
    use stele_format::record::{EntryKind, SegmentSpan, StoredEntry};
    use stele_format::units::SegmentId;

    const BY: CitedBy = CitedBy {
        segment: SegmentId::new(1),
        frame: 7,
    };

    const SPAN: SegmentSpan = SegmentSpan::of(SegmentId::new(2));

    fn entry(kind: EntryKind, name: &str) -> StoredEntry {
        StoredEntry {
            kind,
            digest: Digest::of(name.as_bytes()),
            stored_bytes: 100,
        }
    }

    #[test]
    fn a_chunk_counts_as_found_only_with_its_length() {
        let mut ties = Citations::default();
        ties.cite(&entry(EntryKind::Chunk, "a"), BY, SPAN);
        ties.cite(&entry(EntryKind::Chunk, "b"), BY, SPAN);
        assert_eq!(ties.lost(), vec![(BY, 2)]);
        ties.found(Digest::of(b"a"), 100);
        ties.found(Digest::of(b"b"), 99);
        assert_eq!((ties.lost(), ties.wrong_lengths()), (vec![], vec![BY]));
    }

    #[test]
    fn lists_are_followed_whatever_the_order_of_the_frames() {
        let mut ties = Citations::default();
        ties.cite(&entry(EntryKind::ClearList, "list"), BY, SPAN);
        ties.found(Digest::of(b"a"), 100);
        ties.found(Digest::of(b"list"), 100);
        let inner = [entry(EntryKind::Chunk, "a"), entry(EntryKind::Chunk, "b")];
        let itself = entry(EntryKind::ClearList, "list");
        ties.found_list(Digest::of(b"list"), [inner.to_vec(), vec![itself]].concat());
        ties.follow_lists();
        assert_eq!(ties.lost(), vec![(BY, 1)]);
        assert_eq!(ties.count(), 3);
        assert!(ties.is_cited(Digest::of(b"b")) && !ties.is_cited(Digest::of(b"c")));
    }

    #[test]
    fn what_lay_in_a_segment_that_was_given_up_is_not_missed() {
        let mut ties = Citations::default();
        ties.cite(&entry(EntryKind::ClearList, "list"), BY, SPAN);
        ties.found_list(Digest::of(b"list"), vec![entry(EntryKind::Chunk, "a")]);
        ties.follow_lists();
        ties.give_up(&[SegmentId::new(1), SegmentId::new(3)].into());
        assert_eq!(ties.lost(), vec![(BY, 2)]);
        ties.give_up(&[SegmentId::new(2)].into());
        assert_eq!(ties.lost(), vec![]);
    }

    #[test]
    fn what_is_lost_lay_where_its_record_says_and_under_its_own_name() {
        let span = |first, last| SegmentSpan::new(SegmentId::new(first), SegmentId::new(last));
        let mut ties = Citations::default();
        for (name, kind, span) in [
            ("a", EntryKind::Chunk, span(7, 9)),
            ("b", EntryKind::Chunk, span(2, 3)),
            ("c", EntryKind::Chunk, span(3, 5)),
            ("d", EntryKind::Chunk, span(2, 2)),
            ("found", EntryKind::Chunk, span(11, 11)),
            ("list", EntryKind::ClearList, span(8, 8)),
        ] {
            ties.cite(&entry(kind, name), BY, span.unwrap());
        }
        ties.found(Digest::of(b"found"), 100);
        let lost = ties.lost_in();
        let other = Some(Digest::of(b"cited by nobody"));
        for segment in 1..13 {
            let (lies, id) = (
                [2, 3, 4, 5, 7, 8, 9].contains(&segment),
                SegmentId::new(segment),
            );
            assert_eq!(lost.may_be_at(id, None), lies, "{segment}");
            assert_eq!(lost.may_be_at(id, other), segment == 8, "{segment}");
        }
    }
}
