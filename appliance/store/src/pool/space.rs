//! Data segments that were given up: no reader wants them any more, and their units become free copy by copy.
//!
//! A copy holds its units until it is wiped, a record says so, and a snapshot of the index was taken after that: a
//! start that begins from an older one would take the units for the segment's and not look for another there.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::Trim;
use stele_format::units::{DiskId, Generation, SegmentId};

use super::{MemberState, Place, Pool, SegmentInfo};

/// One copy of a segment that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreedCopy {
    /// Where it lies.
    pub place: Place,
    /// Units it holds there.
    pub units: u32,
    /// Whether a record says that it reads as zeros.
    pub wiped: bool,
}

/// Segments that were given up, and the search that found them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freed {
    /// Copies that hold their units still.
    pub segments: BTreeMap<SegmentId, Vec<FreedCopy>>,
    /// The key state up to which the search for such segments took destruction into account.
    pub searched: Generation,
}

impl Freed {
    /// The same without what is wiped: whoever starts from a snapshot that has it may use its units.
    #[must_use]
    pub fn unwiped(mut self) -> Self {
        for copies in self.segments.values_mut() {
            copies.retain(|copy| !copy.wiped);
        }
        self.segments.retain(|_, copies| !copies.is_empty());
        self
    }

    /// Every copy.
    pub fn copies(&self) -> impl Iterator<Item = (SegmentId, &FreedCopy)> {
        let all = self.segments.iter();
        all.flat_map(|(segment, copies)| copies.iter().map(move |copy| (*segment, copy)))
    }

    /// Whether a copy waits for a snapshot.
    #[must_use]
    pub fn has_wiped(&self) -> bool {
        self.copies().any(|(_, copy)| copy.wiped)
    }

    /// Copies that wait for a snapshot.
    #[must_use]
    pub fn wiped(&self) -> BTreeSet<(SegmentId, DiskId)> {
        let wiped = self.copies().filter(|(_, copy)| copy.wiped);
        wiped
            .map(|(segment, copy)| (segment, copy.place.disk))
            .collect()
    }
}

impl Pool {
    /// A record says that segments are given up, or wiped.
    pub(crate) fn note_trim(&mut self, trim: &Trim) {
        match trim {
            Trim::Begun { segments, through } => {
                segments.iter().for_each(|segment| self.give_up(*segment));
                self.freed.searched = self.freed.searched.max(through.unwrap_or_default());
            }
            Trim::Done { segments, disk } => {
                segments
                    .iter()
                    .for_each(|segment| self.note_wiped(*segment, *disk));
            }
        }
    }

    /// Nobody reads this segment from here on. The journal is never given up.
    fn give_up(&mut self, segment: SegmentId) {
        let is_data = |info: &SegmentInfo| !info.lane.is_journal();
        if !self.segments.get(&segment).is_some_and(is_data) {
            return;
        }
        let Some(info) = self.segments.remove(&segment) else {
            return;
        };
        let copies: Vec<FreedCopy> = info
            .all_places()
            .map(|place| FreedCopy {
                place: *place,
                units: info.units.min(self.room_at(place)),
                wiped: false,
            })
            .filter(|copy| copy.units > 0)
            .collect();
        if !copies.is_empty() {
            self.freed.segments.insert(segment, copies);
        }
    }

    /// Units from a place to where the next known segment begins on its disk.
    fn room_at(&self, place: &Place) -> u32 {
        let first = place.first_unit.get();
        let known = self.segments.values().flat_map(|info| info.all_places());
        let others = known.chain(self.freed.copies().map(|(_, copy)| &copy.place));
        let begins = others.filter(|other| other.disk == place.disk);
        let behind = begins.map(|other| other.first_unit.get());
        behind
            .filter(|begin| *begin >= first)
            .min()
            .map_or(u32::MAX, |begin| begin - first)
    }

    /// The copies of a segment on a disk read as zeros.
    fn note_wiped(&mut self, segment: SegmentId, disk: DiskId) {
        let copies = self.freed.segments.get_mut(&segment);
        for copy in copies.into_iter().flatten() {
            copy.wiped |= copy.place.disk == disk;
        }
    }

    /// A snapshot knows that these are wiped: their units are free.
    pub(crate) fn release(&mut self, wiped: &BTreeSet<(SegmentId, DiskId)>) {
        for (segment, disk) in wiped {
            let Some(copies) = self.freed.segments.get_mut(segment) else {
                continue;
            };
            let gone: Vec<FreedCopy> = copies
                .extract_if(.., |copy| copy.wiped && copy.place.disk == *disk)
                .collect();
            for copy in gone {
                self.mark(&[copy.place], 0, copy.units, false);
            }
        }
        self.freed.segments.retain(|_, copies| !copies.is_empty());
    }

    /// Units were given to another segment, so they were free: what is known of their last holder is over.
    pub(crate) fn reuse(&mut self, places: &[Place], units: u32) {
        let meets = |copy: &FreedCopy| {
            places.iter().any(|place| {
                let (a, b) = (place.first_unit.get(), copy.place.first_unit.get());
                place.disk == copy.place.disk && a < b + copy.units && b < a + units
            })
        };
        for copies in self.freed.segments.values_mut() {
            copies.retain(|copy| !meets(copy));
        }
        self.freed.segments.retain(|_, copies| !copies.is_empty());
    }

    /// Bytes that wait to be wiped, or for the snapshot after it, over all disks that take part.
    #[must_use]
    pub(crate) fn freed_bytes(&self) -> u64 {
        let here = |disk: DiskId| {
            let member = self.member(disk);
            member.is_some_and(|member| member.state == MemberState::Active)
        };
        let copies = self
            .freed
            .copies()
            .filter(|(_, copy)| here(copy.place.disk));
        let units: u64 = copies.map(|(_, copy)| u64::from(copy.units)).sum();
        units * u64::from(self.unit_bytes)
    }
}
