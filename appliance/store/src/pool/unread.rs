//! Data segments of which a start found nothing, since copies of them were away: all, or all but one that is blank, as
//! where a blank disk took the place of another.
//!
//! The index lacks what they hold until a start has one: the engine asks for that start as soon as a disk of theirs
//! takes part again that was away.

use std::collections::BTreeMap;

use stele_format::units::{DiskId, SegmentId};

use super::{Place, Pool, SegmentInfo};
use crate::engine::LEFT_BEHIND;

/// The segments, with the disks of theirs that were away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread(BTreeMap<SegmentId, Vec<DiskId>>);

impl Unread {
    /// Whether this is one of them.
    pub(crate) fn has(&self, segment: SegmentId) -> bool {
        self.0.contains_key(&segment)
    }

    /// All of them, ascending.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentId> + '_ {
        self.0.keys().copied()
    }
}

impl Pool {
    /// A start could not read this segment.
    pub(crate) fn note_unread(&mut self, segment: SegmentId) {
        let places = self.segments.get(&segment).map(|info| &info.places);
        let disks = places.into_iter().flatten().map(|place| place.disk);
        let away = disks.filter(|disk| self.active_slot(*disk).is_none());
        let away = away.collect();
        self.unread.0.insert(segment, away);
    }

    /// Disks that were away when a segment could not be read, and take no part yet.
    pub(crate) fn still_away(&self, segment: SegmentId) -> impl Iterator<Item = DiskId> + '_ {
        let away = self.unread.0.get(&segment).into_iter().flatten().copied();
        away.filter(|disk| self.active_slot(*disk).is_none())
    }

    /// Whether no copy of a segment is on a disk that takes part. Then nothing can be said of what it holds.
    pub(crate) fn is_away(&self, segment: SegmentId) -> bool {
        let info = self.segments.get(&segment);
        info.is_some_and(|info| {
            let mut places = info.places.iter();
            !places.any(|place| self.active_slot(place.disk).is_some())
        })
    }

    /// The journal as an index is made anew from it: without what people gave up with disks that were left behind.
    pub(crate) fn journal_segments(&self) -> impl Iterator<Item = (SegmentId, &SegmentInfo)> {
        let left = |place: &Place| {
            let member = self.member(place.disk);
            member.is_none_or(|member| member.reason == Some(LEFT_BEHIND))
        };
        let counts = move |info: &SegmentInfo| {
            let begun = info.is_written() && info.data_end != Some(0);
            info.lane.is_journal() && begun && !info.places.iter().all(left)
        };
        let since = self.doubted.unwrap_or(SegmentId::ZERO);
        let segments = self.segments.range(since..).map(|(id, info)| (*id, info));
        segments.filter(move |(_, info)| counts(info))
    }

    /// Whether a part of the journal is on no disk that takes part: no index can be made anew then.
    pub(crate) fn lacks_journal(&self) -> bool {
        let mut journal = self.journal_segments();
        journal.any(|(id, _)| self.is_away(id))
    }

    /// Whether each copy of a segment is on a disk that takes part.
    pub(crate) fn is_all_here(&self, segment: SegmentId) -> bool {
        let info = self.segments.get(&segment);
        info.is_some_and(|info| {
            let mut places = info.places.iter();
            places.all(|place| self.active_slot(place.disk).is_some())
        })
    }

    /// Whether a disk takes part by now that was away when a segment of it could not be read. One that came blank shows
    /// no more than those it was filled from: it counts only where the disk that is `leaving` waits for such a segment.
    pub(crate) fn has_unread_here(&self, leaving: Option<DiskId>) -> bool {
        let active = |disk: &DiskId| self.active_slot(*disk).and_then(|_| self.member(*disk));
        let mut unread = self.unread.0.iter();
        unread.any(|(segment, away)| {
            let asked = leaving.is_some_and(|disk| self.lies_on(*segment, disk));
            let mut came = away.iter().filter_map(active);
            self.segments.contains_key(segment) && came.any(|disk| asked || !disk.came_blank)
        })
    }
}
