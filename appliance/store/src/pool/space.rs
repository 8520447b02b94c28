//! Data segments that were given up: no reader wants them any more, and their units become free copy by copy.
//!
//! A copy holds its units until it is wiped, a record says so, and a snapshot of the index was taken after that: a
//! start that begins from an older one would take the units for the segment's and not look for another there.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::Trim;
use stele_format::units::{DiskId, Generation, SegmentId};

use super::held::Held;
use super::{MemberState, Place, Pool, SegmentInfo};
use crate::limits::LOOK_ONE_BY_ONE_MAX;

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
    /// The same without what is wiped.
    #[must_use]
    pub fn unwiped(&self) -> Self {
        let mut freed = self.clone();
        for copies in freed.segments.values_mut() {
            copies.retain(|copy| !copy.wiped);
        }
        freed.segments.retain(|_, copies| !copies.is_empty());
        freed
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

/// First units of what lies on each disk.
#[derive(Debug, Default)]
pub(crate) struct Beginnings(BTreeMap<DiskId, BTreeSet<u32>>);

impl Beginnings {
    /// Units from a place to where the next thing begins on its disk.
    pub(crate) fn room_at(&self, place: &Place) -> u32 {
        let first = place.first_unit.get();
        let of_disk = self.0.get(&place.disk);
        let next = of_disk.and_then(|begins| begins.range(first.saturating_add(1)..).next());
        next.map_or(u32::MAX, |next| next - first)
    }
}

pub(super) fn overlap(a: &Place, a_units: u32, b: &Place, b_units: u32) -> bool {
    let (from, to) = (a.first_unit.get(), b.first_unit.get());
    a.disk == b.disk && from < to.saturating_add(b_units) && to < from.saturating_add(a_units)
}

impl Pool {
    /// A record says that segments are given up, or wiped.
    pub(crate) fn note_trim(&mut self, trim: &Trim) {
        match trim {
            Trim::Begun { segments, through } => {
                self.give_up(segments);
                self.freed.searched = self.freed.searched.max(through.unwrap_or_default());
            }
            Trim::Done { segments, disk } => {
                segments
                    .iter()
                    .for_each(|segment| self.note_wiped(*segment, *disk));
            }
        }
    }

    /// Nobody reads these segments from here on. The journal is never given up.
    fn give_up(&mut self, segments: &[SegmentId]) {
        let is_data = |info: &SegmentInfo| !info.lane.is_journal();
        let begins = self.beginnings();
        for segment in segments {
            if !self.segments.get(segment).is_some_and(is_data) {
                continue;
            }
            let Some(info) = self.segments.remove(segment) else {
                continue;
            };
            let copies: Vec<FreedCopy> = info
                .all_places()
                .map(|place| FreedCopy {
                    place: *place,
                    units: info.units.min(begins.room_at(place)),
                    wiped: false,
                })
                .filter(|copy| copy.units > 0)
                .collect();
            if !copies.is_empty() {
                self.freed.segments.insert(*segment, copies);
            }
        }
    }

    /// Where everything that was ever begun begins.
    pub(crate) fn beginnings(&self) -> Beginnings {
        let mut begins = Beginnings::default();
        let written = self.segments.values().filter(|info| info.is_written());
        let places = written.flat_map(SegmentInfo::all_places);
        let freed = self.freed.copies().map(|(_, copy)| &copy.place);
        for place in places.chain(freed) {
            let of_disk = begins.0.entry(place.disk).or_default();
            of_disk.insert(place.first_unit.get());
        }
        begins
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
        let held = (wiped.len() > LOOK_ONE_BY_ONE_MAX).then(|| Held::by(self));
        for (segment, disk) in wiped {
            let Some(copies) = self.freed.segments.get_mut(segment) else {
                continue;
            };
            let gone: Vec<FreedCopy> = copies
                .extract_if(.., |copy| copy.wiped && copy.place.disk == *disk)
                .collect();
            for copy in gone {
                // Nothing should be there; if anything is, it stays.
                let is_held = match &held {
                    Some(held) => held.meets(&copy.place, copy.units),
                    None => self.is_held(&copy.place, copy.units),
                };
                if !is_held {
                    self.mark(&[copy.place], 0, copy.units, false);
                }
            }
        }
        self.freed.segments.retain(|_, copies| !copies.is_empty());
    }

    /// Units were given to another segment, so they were free: what is known of their last holder is over. True
    /// if anything was known.
    pub(crate) fn reuse(&mut self, places: &[Place], units: u32) -> bool {
        let meets = |copy: &FreedCopy| {
            places
                .iter()
                .any(|place| overlap(place, units, &copy.place, copy.units))
        };
        let mut known = false;
        self.freed.segments.retain(|_, copies| {
            let before = copies.len();
            copies.retain(|copy| !meets(copy));
            known |= copies.len() < before;
            !copies.is_empty()
        });
        known
    }

    /// Whether a segment that was written, or was and is given up, holds units another one was only promised.
    #[must_use]
    pub fn is_overlaid(&self, segment: SegmentId) -> bool {
        let Some(info) = self.segments.get(&segment) else {
            return false;
        };
        let others = self.segments.iter();
        let written = others.filter(|(id, other)| **id != segment && other.is_written());
        let held =
            written.flat_map(|(_, other)| other.all_places().map(|place| (place, other.units)));
        let freed = self.freed.copies();
        let freed = freed.map(|(_, copy)| (&copy.place, copy.units));
        let meets = |(other, units): (&Place, u32)| {
            let mut places = info.places.iter();
            places.any(|place| overlap(place, info.units, other, units))
        };
        held.chain(freed).any(meets)
    }

    /// What was given up before the log lost records is not wiped: a record may be lost of what lies there by now.
    pub(crate) fn keep_what_is_in_doubt(&mut self) {
        if let Some(doubted) = self.doubted {
            let freed = &mut self.freed.segments;
            freed.retain(|segment, _| *segment >= doubted);
        }
    }

    /// Whether a segment holds any of these units.
    pub(crate) fn is_held(&self, place: &Place, units: u32) -> bool {
        self.segments.values().any(|info| {
            info.all_places()
                .any(|other| overlap(place, units, other, info.units))
        })
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
