//! Copies of segments that moved to another disk, as RELOCATE records tell it.
//!
//! A segment's header names the disks it was begun on, wherever its copies lie later. The place that a
//! copy left and the place of a move that was only begun stay the segment's, and count for nothing.

use std::collections::HashMap;

use stele_format::record::{MoveStep, Placed, Relocate};
use stele_format::units::{DiskId, SegmentId};

/// All moves, in the order of the log.
#[derive(Debug, Default)]
pub struct Moves(HashMap<SegmentId, Vec<Relocate>>);

impl Moves {
    /// Takes in the next record.
    pub fn take(&mut self, record: &Relocate) {
        self.0.entry(record.segment).or_default().push(*record);
    }

    /// The segments that moved, or began to.
    pub fn segments(&self) -> impl Iterator<Item = SegmentId> {
        self.0.keys().copied()
    }

    /// The places that copies of a segment moved to, or were to move to.
    pub fn new_places(&self, segment: SegmentId) -> impl Iterator<Item = Placed> {
        self.of(segment).iter().map(|moved| moved.to)
    }

    fn of(&self, segment: SegmentId) -> &[Relocate] {
        self.0.get(&segment).map_or(&[], Vec::as_slice)
    }

    fn ended(&self, segment: SegmentId) -> impl Iterator<Item = &Relocate> {
        let moves = self.of(segment).iter();
        moves.filter(|moved| moved.step == MoveStep::Done)
    }

    /// The disks whose copies count, of a segment that was begun on these.
    #[must_use]
    pub fn holders(&self, segment: SegmentId, begun_on: &[DiskId]) -> Vec<DiskId> {
        let mut holders = begun_on.to_vec();
        for moved in self.ended(segment) {
            if let Some(holder) = holders.iter_mut().find(|holder| **holder == moved.from) {
                *holder = moved.to.disk;
            }
        }
        holders
    }

    /// The places whose copies count, of a segment that was allocated these.
    #[must_use]
    pub fn places(&self, segment: SegmentId, allocated: &[Placed]) -> Vec<Placed> {
        let mut places = allocated.to_vec();
        for moved in self.ended(segment) {
            if let Some(place) = places.iter_mut().find(|place| place.disk == moved.from) {
                *place = moved.to;
            }
        }
        places
    }

    /// Whether a copy has come to this disk.
    #[must_use]
    pub fn has_come(&self, segment: SegmentId, disk: DiskId) -> bool {
        self.ended(segment).any(|moved| moved.to.disk == disk)
    }

    /// Whether what a disk holds of a segment counts for nothing: it left, or has not come yet.
    #[must_use]
    pub fn is_aside(&self, segment: SegmentId, begun_on: &[DiskId], disk: DiskId) -> bool {
        let moves = self.of(segment);
        let touches = |moved: &Relocate| moved.to.disk == disk || moved.from == disk;
        moves.iter().any(touches) && !self.holders(segment, begun_on).contains(&disk)
    }
}
