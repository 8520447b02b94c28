//! Where copies lie, in a log that lost records which may say so.
//!
//! A lost record may have moved a copy, or given a segment up and its units to another one since. So a copy that is
//! found in units of nobody takes the place of one whose disk is not here; and of two segments that seem to hold the same
//! units the one that does not begin there forgets its copy, before anything that heals it writes over the other.
//! Units that were given up before are not wiped any more: what lies there by now may be on record nowhere.

use std::collections::BTreeMap;

use stele_format::units::{DiskId, SegmentId};

use super::scan::Found;
use crate::pool::{Place, Pool};

/// A copy of a segment that was written.
#[derive(Debug, Clone, Copy)]
struct Held {
    segment: SegmentId,
    place: Place,
    end_unit: u32,
    /// Whether its last unit is known.
    closed: bool,
    /// Whether the segment begins there.
    seen: bool,
}

/// Has copies count where they are found, and not where another one is; `found` says what begins where.
pub(super) fn settle(pool: &mut Pool, found: &Found) {
    for (segment, places) in found {
        for place in places {
            take_in(pool, *segment, *place);
        }
    }
    let held = held(pool, found);
    for (segment, place) in held.values().flat_map(|all| losers(all)) {
        let Some(info) = pool.segments.get_mut(&segment) else {
            continue;
        };
        if info.places == [place] && info.lane.is_journal() {
            continue;
        }
        info.places.retain(|one| *one != place);
        info.aside.retain(|one| *one != place);
        if info.places.is_empty() {
            pool.segments.remove(&segment);
        }
    }
    pool.keep_what_is_in_doubt();
    pool.count_units();
}

/// A copy that no record names, or whose move no record ends, stands in for one that is not here. Elsewhere its units
/// are held for it, unless they are another's.
fn take_in(pool: &mut Pool, segment: SegmentId, place: Place) {
    let Some(info) = pool.segments.get(&segment) else {
        return;
    };
    let units = info.units;
    let known = info.all_places().any(|one| *one == place);
    if info.places.contains(&place) || !known && pool.is_held(&place, units) {
        return;
    }
    let beside = info.places.iter().any(|one| one.disk == place.disk);
    let is_here = |one: &Place| pool.active().any(|member| member.disk == one.disk);
    let away = info.places.iter().position(|one| !is_here(one));
    let Some(info) = pool.segments.get_mut(&segment) else {
        return;
    };
    let away = away.filter(|_| !beside);
    match away.and_then(|at| info.places.get_mut(at)) {
        Some(away) => {
            let left = std::mem::replace(away, place);
            info.aside.retain(|one| *one != place);
            info.aside.push(left);
            // It may not be whole, or not be any more.
            info.was_copied(info.unread_since());
        }
        None if !known => info.aside.push(place),
        None => {}
    }
}

/// Every copy, by disk and in the order of its units.
fn held(pool: &Pool, found: &Found) -> BTreeMap<DiskId, Vec<Held>> {
    let mut held: BTreeMap<DiskId, Vec<Held>> = BTreeMap::new();
    let written = pool.segments.iter().filter(|(_, info)| info.is_written());
    for (segment, info) in written {
        let places = found.get(segment).map_or(&[][..], Vec::as_slice);
        for place in info.all_places() {
            held.entry(place.disk).or_default().push(Held {
                segment: *segment,
                place: *place,
                end_unit: place.first_unit.get().saturating_add(info.units),
                closed: info.data_end.is_some(),
                seen: places.contains(place),
            });
        }
    }
    for copies in held.values_mut() {
        copies.sort_by_key(|one| (one.place.first_unit, one.segment));
    }
    held
}

/// The copies of one disk that do not hold what they seem to.
fn losers(copies: &[Held]) -> Vec<(SegmentId, Place)> {
    let mut lost = Vec::new();
    for (number, one) in copies.iter().enumerate() {
        let behind = copies.iter().skip(number + 1);
        let within = behind.take_while(|other| other.place.first_unit.get() < one.end_unit);
        for other in within.filter(|other| other.segment != one.segment) {
            if let Some(loser) = loser(one, other) {
                lost.push((loser.segment, loser.place));
            }
        }
    }
    lost
}

/// Of two copies that overlap, of which `behind` begins no earlier, the one that is not there.
fn loser<'h>(one: &'h Held, behind: &'h Held) -> Option<&'h Held> {
    let same = one.place.first_unit == behind.place.first_unit;
    let newer = one.segment > behind.segment;
    match (one.seen, behind.seen) {
        (true, true) => None,
        // How far it reaches is found out by what lies behind it; what was there before it was not any more.
        (_, false) if !same && !one.closed => newer.then_some(behind),
        (_, true) if !same && !one.closed => None,
        (true, false) => Some(behind),
        (false, true) => Some(one),
        // Numbers only grow: it is the older one.
        (false, false) => Some(if newer { behind } else { one }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stele_format::units::{
        DiskId, Epoch, Generation, LaneId, Opening, PoolId, SegmentId, Sequence, UnitIndex,
        UnixMillis,
    };

    use super::settle;
    use crate::pool::space::{Freed, FreedCopy};
    use crate::pool::{Member, MemberState, Place, Pool, SegmentInfo};

    /// Disk and first unit.
    type At = (u8, u32);

    /// Number, units, whether it is closed, its copies, and where it begins.
    type Segment<'a> = (u64, u32, bool, &'a [At], &'a [At]);

    fn place((disk, first_unit): At) -> Place {
        Place {
            disk: DiskId::new([disk; 16]),
            first_unit: UnitIndex::new(first_unit),
        }
    }

    fn info((_, units, closed, at, _): &Segment<'_>) -> SegmentInfo {
        SegmentInfo {
            lane: LaneId::new(1),
            epoch: Epoch::new(1),
            units: *units,
            first_sequence: Sequence::FIRST,
            data_end: closed.then_some(4096),
            stated: None,
            places: at.iter().copied().map(place).collect(),
            aside: Vec::new(),
            written: UnixMillis::ZERO,
            verified: UnixMillis::ZERO,
            first_read: None,
            flaw: None,
        }
    }

    fn pool(segments: &[Segment<'_>]) -> Pool {
        let member = |number: u8| {
            let disk = DiskId::new([number; 16]);
            let mut member = Member::new(disk, u16::from(number), None);
            member.state = MemberState::Active;
            member
        };
        Pool {
            id: PoolId::new([1; 16]),
            members: (1..=3).map(member).collect(),
            generation: Generation::ZERO,
            in_force: Generation::ZERO,
            opening: Opening::ZERO,
            unit_bytes: 4096,
            segment_units: 8,
            flags: 0,
            created: UnixMillis::ZERO,
            segments: segments
                .iter()
                .map(|one| (SegmentId::new(one.0), info(one)))
                .collect(),
            freed: Freed::default(),
            doubted: None,
            unread: crate::pool::unread::Unread::default(),
            next_segment: SegmentId::new(9),
            now_ms: 0,
        }
    }

    fn check(what: &str, segments: &[Segment<'_>], left: &[(u64, &[At])]) {
        let mut pool = pool(segments);
        let found = segments.iter().map(|(id, _, _, _, seen)| {
            let places = seen.iter().copied().map(place).collect();
            (SegmentId::new(*id), places)
        });
        settle(&mut pool, &found.collect());
        let places = |at: &[At]| at.iter().copied().map(place).collect::<Vec<Place>>();
        let expected: BTreeMap<u64, Vec<Place>> =
            left.iter().map(|(id, at)| (*id, places(at))).collect();
        let segments = pool.segments.iter();
        let found: BTreeMap<u64, Vec<Place>> = segments
            .map(|(id, info)| (id.get(), info.places.clone()))
            .collect();
        assert_eq!(found, expected, "{what}");
    }

    #[test]
    fn of_two_segments_in_one_place_the_one_stays_that_is_there() {
        let both: &[At] = &[(1, 0), (2, 0)];
        check(
            "side by side",
            &[
                (3, 4, true, both, both),
                (5, 4, true, &[(1, 4), (3, 0)], &[]),
            ],
            &[(3, both), (5, &[(1, 4), (3, 0)])],
        );
        check(
            "given up, and its units given to another",
            &[(3, 4, true, both, &[]), (5, 4, true, both, both)],
            &[(5, both)],
        );
        check(
            "a copy moved away",
            &[
                (3, 4, true, &[(1, 0), (2, 0)], &[(2, 0)]),
                (5, 4, true, &[(1, 0), (3, 0)], &[(1, 0), (3, 0)]),
            ],
            &[(3, &[(2, 0)]), (5, &[(1, 0), (3, 0)])],
        );
        check(
            "the newer one was never written there",
            &[
                (3, 4, true, both, both),
                (5, 4, true, &[(1, 0), (3, 0)], &[(3, 0)]),
            ],
            &[(3, both), (5, &[(3, 0)])],
        );
        check(
            "nothing can be read there",
            &[
                (3, 4, true, both, &[(2, 0)]),
                (5, 4, true, &[(1, 0), (3, 0)], &[(3, 0)]),
            ],
            &[(3, &[(2, 0)]), (5, &[(1, 0), (3, 0)])],
        );
        check(
            "both begin there",
            &[
                (3, 4, true, both, both),
                (5, 4, true, &[(1, 2), (3, 0)], &[(1, 2), (3, 0)]),
            ],
            &[(3, both), (5, &[(1, 2), (3, 0)])],
        );
        check(
            "its end is not known",
            &[
                (3, 4, false, both, both),
                (5, 4, true, &[(1, 2), (3, 0)], &[(1, 2), (3, 0)]),
            ],
            &[(3, both), (5, &[(1, 2), (3, 0)])],
        );
        check(
            "what was there before an open one",
            &[
                (3, 4, true, &[(1, 2), (3, 0)], &[(3, 0)]),
                (5, 4, false, both, both),
            ],
            &[(3, &[(3, 0)]), (5, both)],
        );
    }

    #[test]
    fn a_copy_that_no_record_names_stands_in_for_one_that_is_away() {
        // Disk 4 is none of the pool.
        let (there, moved): (&[At], &[At]) = (&[(1, 0), (4, 0)], &[(1, 0), (2, 0)]);
        check("moved", &[(3, 4, true, there, moved)], &[(3, moved)]);
        let others: &[At] = &[(2, 2)];
        check(
            "in another's units",
            &[(3, 4, true, there, moved), (5, 4, true, others, others)],
            &[(3, there), (5, others)],
        );
        let both: &[At] = &[(1, 0), (3, 0)];
        let stray: &[At] = &[(1, 0), (2, 0), (3, 0)];
        check("all are here", &[(3, 4, true, both, stray)], &[(3, both)]);
    }

    #[test]
    fn units_that_were_given_up_before_are_not_wiped() {
        let at: &[At] = &[(1, 8), (2, 8)];
        let mut pool = pool(&[(5, 4, true, at, at)]);
        let info = pool.segments.get_mut(&SegmentId::new(5)).unwrap();
        info.first_sequence = Sequence::first_of(Opening::new(2));
        let copy = |at| FreedCopy {
            place: place(at),
            units: 4,
            wiped: false,
        };
        let (before, later) = (SegmentId::new(3), SegmentId::new(6));
        for gone in [before, later] {
            pool.freed.segments.insert(gone, vec![copy((1, 4))]);
        }
        pool.doubted = Some(SegmentId::new(5));
        settle(&mut pool, &BTreeMap::new());
        let left: Vec<SegmentId> = pool.freed.segments.into_keys().collect();
        assert_eq!(left, [later]);
    }
}
