//! Copies whose place only records tell: those that moved, and those that the survey did not see.

use std::collections::BTreeSet;
use std::ops::Bound;

use stele_format::record::{Alloc, Placed};
use stele_format::units::{DiskId, SegmentId, UnitCount};

use crate::journal::{Closed, Log};
use crate::media::BLOCK;
use crate::pool::Pool;
use crate::survey::{CopyAt, Header, Survey};

/// Leaves out what moved copies left behind, and what a move that was only begun has written. Returns
/// the segments.
pub(crate) fn leave_out_moved(pool: &Pool<'_>, survey: &mut Survey, log: &Log) -> Vec<SegmentId> {
    let mut changed = Vec::new();
    for segment in log.moves.segments() {
        for place in log.moves.new_places(segment) {
            if let Some(disk) = pool.position(place.disk) {
                survey.note_move(disk, place.first_unit);
            }
        }
        let begun_on: Vec<DiskId> = match (log.allocs.get(&segment), survey.header_of(segment)) {
            (Some(alloc), _) => alloc.placements.iter().map(|placed| placed.disk).collect(),
            (None, Some(header)) => header.disks.as_slice().to_vec(),
            (None, None) => continue,
        };
        let aside = |copy: &CopyAt| {
            let disk = pool.disks[copy.disk].labels.disk();
            log.moves.is_aside(segment, &begun_on, disk)
        };
        if survey.leave_out(segment, aside) {
            changed.push(segment);
        }
    }
    changed
}

/// Adds copies that ALLOC records name and the survey did not see. Returns their segments.
pub(crate) fn add_allocated(pool: &Pool<'_>, survey: &mut Survey, log: &Log) -> Vec<SegmentId> {
    let mut added = Vec::new();
    let given_up: BTreeSet<SegmentId> = log.space.given_up().collect();
    for alloc in log.allocs.values() {
        let never_used =
            matches!(log.closed.get(&alloc.segment), Some(Closed::Abandoned(end)) if *end <= BLOCK);
        for placed in log.moves.places(alloc.segment, &alloc.placements) {
            let Some(disk) = pool.position(placed.disk) else {
                continue;
            };
            let known = survey.knows(alloc.segment, disk, placed.first_unit);
            if known || never_used || given_up.contains(&alloc.segment) {
                continue;
            }
            let copy = survey.look_for(pool, disk, placed.first_unit, alloc.segment);
            let overlaid = copy.header == Header::Taken || was_given_again(log, alloc, placed);
            let unused = overlaid || copy.header == Header::Blank;
            if !survey.segments.contains_key(&alloc.segment) && unused {
                continue;
            }
            match overlaid {
                true => drop(survey.add_overlaid(alloc.segment, copy)),
                false => survey.add(alloc.segment, copy),
            }
            added.push(alloc.segment);
        }
    }
    added
}

/// Whether a later segment was allocated the unit where a copy should begin: the segment was never written, and
/// its units were free again, which no record says. What was closed gets free by records alone, and a copy that
/// moved came later than its segment was allocated.
fn was_given_again(log: &Log, alloc: &Alloc, copy: Placed) -> bool {
    if log.closed.contains_key(&alloc.segment) || log.moves.has_come(alloc.segment, copy.disk) {
        return false;
    }
    let covers = |units: UnitCount, place: &Placed| {
        let first = place.first_unit.get();
        place.disk == copy.disk
            && (first..first.saturating_add(units.get())).contains(&copy.first_unit.get())
    };
    let later = log
        .allocs
        .range((Bound::Excluded(alloc.segment), Bound::Unbounded));
    later
        .map(|(_, other)| other)
        .any(|other| other.placements.iter().any(|at| covers(other.units, at)))
}
