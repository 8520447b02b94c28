//! What records say of where copies lie. `known` tells that the snapshot a replay began with was taken after
//! the record: where that says a segment lies, later records are in it, and earlier ones are not news.

use stele_format::record::{Alloc, MoveStep, Relocate, Trim};
use stele_format::units::{Epoch, SegmentId, Sequence, UnixMillis};

use crate::pool::{Place, Pool, SegmentInfo};

/// A copy moves; true as for [`note_alloc`]. Where it was and where it goes stay the segment's: what is found there by headers never
/// belongs to another.
pub(super) fn note_relocate(pool: &mut Pool, relocate: &Relocate, known: bool) -> bool {
    if known {
        return false;
    }
    let to = Place {
        disk: relocate.to.disk,
        first_unit: relocate.to.first_unit,
    };
    let units = pool.segments.get(&relocate.segment).map(|info| info.units);
    let reused = units.is_some_and(|units| pool.reuse(&[to], units));
    match relocate.step {
        MoveStep::Begun => pool.set_aside(relocate.segment, to),
        MoveStep::Done => pool.relocate(relocate.segment, relocate.from, to),
    }
    reused
}

/// Segments are given up, or copies of them were wiped.
pub(super) fn note_trim(pool: &mut Pool, trim: &Trim, known: bool) {
    if !known {
        return pool.note_trim(trim);
    }
    // An earlier record may have entered it again.
    for segment in trim.segments() {
        pool.segments.remove(segment);
    }
}

/// A segment was allocated; its header may or may not have reached the disks. True if its units were another's that
/// was given up.
pub(super) fn note_alloc(pool: &mut Pool, alloc: &Alloc, at: UnixMillis, known: bool) -> bool {
    let next = SegmentId::new(alloc.segment.get() + 1);
    pool.next_segment = pool.next_segment.max(next);
    if known && pool.segments.contains_key(&alloc.segment) {
        return false;
    }
    let placed = alloc.placements.iter();
    let places: Vec<Place> = placed
        .map(|placed| Place {
            disk: placed.disk,
            first_unit: placed.first_unit,
        })
        .collect();
    let reused = !known && pool.reuse(&places, alloc.units.get());
    // The record decides where the copies lie; what was found by headers may be a stray write.
    let info = pool
        .segments
        .get_or_insert_with(alloc.segment, || SegmentInfo {
            lane: alloc.lane,
            epoch: Epoch::ZERO,
            units: alloc.units.get(),
            first_sequence: Sequence::ZERO,
            data_end: None,
            stated: None,
            places: Vec::new(),
            aside: Vec::new(),
            written: at,
            verified: UnixMillis::ZERO,
            first_read: None,
            flaw: None,
        });
    info.places = places;
    reused
}

#[cfg(test)]
mod tests {
    use stele_format::record::{Alloc, MoveStep, Placed, Relocate};
    use stele_format::units::{
        DiskId, Epoch, Generation, LaneId, Opening, PoolId, SegmentId, Sequence, UnitCount,
        UnitIndex, UnixMillis,
    };

    use super::{note_alloc, note_relocate};
    use crate::pool::space::{Freed, FreedCopy};
    use crate::pool::{Member, Place, Pool, SegmentInfo};

    const SEGMENT: SegmentId = SegmentId::new(5);

    fn disk(number: u8) -> DiskId {
        DiskId::new([number; 16])
    }

    fn place(number: u8) -> Place {
        Place {
            disk: disk(number),
            first_unit: UnitIndex::new(u32::from(number)),
        }
    }

    fn placed(number: u8) -> Placed {
        let Place { disk, first_unit } = place(number);
        Placed { disk, first_unit }
    }

    fn pool(places: &[u8]) -> Pool {
        let info = SegmentInfo {
            lane: LaneId::JOURNAL,
            epoch: Epoch::new(1),
            units: 4,
            first_sequence: Sequence::FIRST,
            data_end: Some(4096),
            stated: None,
            places: places.iter().map(|number| place(*number)).collect(),
            aside: Vec::new(),
            written: UnixMillis::ZERO,
            verified: UnixMillis::ZERO,
            first_read: None,
            flaw: None,
        };
        Pool {
            id: PoolId::new([1; 16]),
            members: (1..=3)
                .map(|number| Member::new(disk(number), u16::from(number), None))
                .collect(),
            generation: Generation::ZERO,
            in_force: Generation::ZERO,
            opening: Opening::ZERO,
            unit_bytes: 4096,
            segment_units: 4,
            flags: 0,
            created: UnixMillis::ZERO,
            segments: [(SEGMENT, info)].into_iter().collect(),
            freed: Freed::default(),
            doubted: None,
            unread: crate::pool::unread::Unread::default(),
            next_segment: SegmentId::new(6),
            now_ms: 0,
        }
    }

    fn done(from: u8, to: u8) -> Relocate {
        Relocate {
            segment: SEGMENT,
            lane: LaneId::JOURNAL,
            from: disk(from),
            to: placed(to),
            step: MoveStep::Done,
        }
    }

    fn places(pool: &Pool) -> &[Place] {
        &pool.segments[&SEGMENT].places
    }

    #[test]
    fn records_older_than_the_snapshot_do_not_move_what_it_knows() {
        // Begun on 1 and 2; 2 went to 3; disk 2 came back, and 1 went to it.
        let mut pool = pool(&[2, 3]);
        let alloc = Alloc {
            segment: SEGMENT,
            lane: LaneId::JOURNAL,
            units: UnitCount::new(4),
            placements: [placed(1), placed(2)].into_iter().collect(),
        };
        note_alloc(&mut pool, &alloc, UnixMillis::ZERO, true);
        assert_eq!(places(&pool), [place(2), place(3)]);
        for moved in [done(2, 3), done(1, 2)] {
            note_relocate(&mut pool, &moved, true);
            assert_eq!(places(&pool), [place(2), place(3)]);
        }
        let mut pool = self::pool(&[1, 2]);
        for moved in [done(2, 3), done(1, 2)] {
            note_relocate(&mut pool, &moved, false);
        }
        assert_eq!(places(&pool), [place(2), place(3)]);
    }

    #[test]
    fn units_that_a_copy_moves_to_are_no_longer_those_of_what_was_given_up() {
        let mut pool = pool(&[1, 2]);
        let copy = |number| FreedCopy {
            place: place(number),
            units: 4,
            wiped: true,
        };
        let gone = SegmentId::new(3);
        pool.freed.segments.insert(gone, vec![copy(1), copy(3)]);
        assert!(!note_relocate(&mut pool, &done(2, 3), true));
        assert!(note_relocate(&mut pool, &done(2, 3), false));
        assert_eq!(pool.freed.segments[&gone], [copy(1)]);
    }

    #[test]
    fn two_copies_never_lie_on_one_disk() {
        let mut pool = pool(&[2, 3]);
        note_relocate(&mut pool, &done(2, 3), false);
        assert_eq!(places(&pool), [place(2), place(3)]);
    }
}
