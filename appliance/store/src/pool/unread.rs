//! Data segments that a start could not read since no copy of them was here.
//!
//! The index lacks what they hold until a start has one: the engine asks for that start as soon as a disk of theirs
//! takes part again.

use std::collections::BTreeSet;

use stele_format::units::SegmentId;

use super::Pool;

/// The segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread(BTreeSet<SegmentId>);

impl Unread {
    /// A start could not read this one.
    pub(crate) fn note(&mut self, segment: SegmentId) {
        self.0.insert(segment);
    }

    /// All of them, ascending.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentId> + '_ {
        self.0.iter().copied()
    }
}

impl Pool {
    /// Whether no copy of a segment is on a disk that takes part. Then nothing can be said of what it holds.
    pub(crate) fn is_away(&self, segment: SegmentId) -> bool {
        let info = self.segments.get(&segment);
        info.is_some_and(|info| {
            let mut places = info.places.iter();
            !places.any(|place| self.active_slot(place.disk).is_some())
        })
    }

    /// Whether each copy of a segment is on a disk that takes part.
    pub(crate) fn is_all_here(&self, segment: SegmentId) -> bool {
        let info = self.segments.get(&segment);
        info.is_some_and(|info| {
            let mut places = info.places.iter();
            places.all(|place| self.active_slot(place.disk).is_some())
        })
    }

    /// Whether a copy is here by now of a segment that the start could not read.
    pub(crate) fn has_unread_here(&self) -> bool {
        let here = |segment| self.segments.contains_key(&segment) && !self.is_away(segment);
        self.unread.segments().any(here)
    }
}
