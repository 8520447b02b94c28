//! Copies that moved to another disk: the new place counts, the old one does not, and damage is found
//! where it is.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_format::label::MemberState;
use stele_format::record::{Body, MoveStep, Placed, Relocate};
use stele_format::units::{LaneId, SegmentId, UnitIndex};
use stele_inspect::verdict::{DiskState, Verdict};
use support::check::{blank, check, frame, segment};
use support::{DATA, Draft, Open, SEGMENT_UNITS, UNIT, Vault, disk_id, noise, sample};

/// The disk that copies leave, and the one they go to, which holds nothing else.
const FROM: usize = 1;
const TO: usize = 3;
const SEGMENT_BYTES: usize = SEGMENT_UNITS as usize * UNIT as usize;
const DONE: &[MoveStep] = &[MoveStep::Begun, MoveStep::Done];

/// Where a copy goes: other units than it came from.
fn goes_to(open: &Open) -> Open {
    Open {
        unit: 16 - open.unit,
        ..open.clone()
    }
}

fn step(open: &Open, step: MoveStep) -> Draft {
    Draft::of(Body::Relocate(Relocate {
        segment: open.id(),
        lane: open.header.lane,
        from: disk_id(FROM),
        to: Placed {
            disk: disk_id(TO),
            first_unit: UnitIndex::new(goes_to(open).unit),
        },
        step,
    }))
}

fn copy(vault: &mut Vault, open: &Open) {
    let bytes = vault.images[FROM][open.start()..open.start() + SEGMENT_BYTES].to_vec();
    let at = u64::try_from(goes_to(open).start()).unwrap();
    vault.put(TO, at, &bytes);
}

/// A vault in which these segments went so far; all of them are copied.
fn moved(segments: &[u64], steps: &[MoveStep]) -> Vault {
    let mut vault = sample(4);
    let mut journal = vault.segments[&3].clone();
    for step_now in steps {
        let of = |number| step(&vault.segments[number], *step_now);
        let drafts = segments.iter().map(of).collect();
        vault.records(&mut journal, drafts);
    }
    vault.segments.insert(3, journal);
    for number in segments {
        let open = vault.segments[number].clone();
        copy(&mut vault, &open);
    }
    vault
}

/// All that lies where a copy was.
fn wipe_old(vault: &mut Vault, number: u64) {
    let start = vault.segments[&number].start();
    blank(vault, FROM, start, SEGMENT_BYTES);
}

#[test]
fn a_copy_that_moved_counts_at_its_new_place_alone() {
    let mut vault = moved(&[1, 2], DONE);
    check("both places hold it", &vault, &[]);
    let old = vault.segments[&2].frame_at(1) + 100;
    vault.flip(FROM, old);
    check("damage where it was", &vault, &[]);
    wipe_old(&mut vault, 1);
    wipe_old(&mut vault, 2);
    check("nothing is left where it was", &vault, &[]);
}

#[test]
fn units_that_a_later_segment_took_are_its_own_also_when_it_moved() {
    let mut vault = sample(4);
    let mut journal = vault.segments[&3].clone();
    let (unit, alloc) = (vault.next_unit, vault.alloc_next(DATA, &[0, FROM]));
    vault.records(&mut journal, vec![alloc]);
    // It has a copy on the first disk only, and was given up.
    vault.writing = vec![0];
    let mut data = vault.open(DATA, &[0, FROM], None);
    vault.frame(&mut data, &noise(9000, 4321), 0, false);
    vault.writing = vec![0, FROM, 2, TO];
    vault.next_unit = unit;
    let alloc = vault.alloc_next(LaneId::JOURNAL, &[FROM, 2]);
    vault.records(&mut journal, vec![alloc]);
    let mut later = vault.open(LaneId::JOURNAL, &[FROM, 2], Some(&journal));
    for step_now in DONE {
        let moves = step(&later, *step_now);
        vault.records(&mut later, vec![moves]);
    }
    copy(&mut vault, &later);
    check("the later one moved", &vault, &[]);
}

#[test]
fn units_that_an_older_segment_moved_to_are_its_own() {
    let mut vault = sample(4);
    let mut journal = vault.segments[&3].clone();
    let older = vault.segments[&2].clone();
    // A segment that was to have a copy there, and was given up.
    let unit = goes_to(&older).unit;
    let alloc = vault.alloc(vault.next_segment, DATA, unit, &[2, TO]);
    vault.records(&mut journal, vec![alloc]);
    let free = std::mem::replace(&mut vault.next_unit, unit);
    vault.writing = vec![2];
    let mut given_up = vault.open(DATA, &[2, TO], None);
    vault.frame(&mut given_up, &noise(9000, 4321), 0, false);
    vault.writing = vec![0, FROM, 2, TO];
    vault.next_unit = free;
    for step_now in DONE {
        let moves = step(&older, *step_now);
        vault.records(&mut journal, vec![moves]);
    }
    copy(&mut vault, &older);
    check("the older one moved", &vault, &[]);
}

#[test]
fn damage_in_a_copy_that_moved_is_found_where_it_is() {
    for (number, damaged) in [(1, 2), (2, 1)] {
        let mut vault = moved(&[1, 2], DONE);
        let new = goes_to(&vault.segments[&number]);
        vault.flip(TO, new.frame_at(damaged) + 100);
        let at = u32::try_from(damaged).unwrap();
        check("a frame", &vault, &[frame(TO, number, at)]);
        let mut vault = moved(&[1, 2], DONE);
        blank(&mut vault, TO, new.start(), SEGMENT_BYTES);
        check("all of it", &vault, &[segment(TO, number)]);
    }
}

#[test]
fn a_move_that_was_only_begun_changes_nothing() {
    let mut vault = moved(&[2], &[MoveStep::Begun]);
    check("copied", &vault, &[]);
    let new = goes_to(&vault.segments[&2]);
    vault.flip(TO, new.frame_at(1) + 100);
    check("copied in part", &vault, &[]);
    blank(&mut vault, TO, new.start(), SEGMENT_BYTES);
    check("not copied", &vault, &[]);
    wipe_old(&mut vault, 2);
    check("the old place counts", &vault, &[segment(FROM, 2)]);
}

#[test]
fn a_copy_on_a_disk_that_no_record_names_is_damage() {
    let vault = moved(&[2], &[]);
    check("a stray copy", &vault, &[segment(TO, 2)]);
}

#[test]
fn a_drained_disk_may_be_wiped_or_taken_out() {
    let mut vault = moved(&[1, 2, 3, 4], DONE);
    vault.writing = vec![0, 2, TO];
    let journal = SegmentId::new(3);
    vault.label(|label| {
        label.journal_segment = journal;
        label.members[FROM].state = MemberState::Drained;
    });
    for bytes in [None, Some(0), Some(1)] {
        let segments = vault.segments[&1].start()..vault.segments[&1].start() + 4 * SEGMENT_BYTES;
        match bytes {
            None => {}
            Some(0) => vault.images[FROM][segments].fill(0),
            Some(_) => vault.images[FROM][segments].copy_from_slice(&noise(4 * SEGMENT_BYTES, 7)),
        }
        let report = check("with it", &vault, &[]);
        assert_eq!(report.disks[FROM].state, DiskState::Stale);
        let notes = &report.disks[FROM].notes;
        assert!(notes[0].starts_with("drained: "), "{notes:?}");
        let without = vault.verify_disks(&[0, 2, TO]);
        assert_eq!(without.verdict, Verdict::Clean, "{without:#?}");
    }
    // What it held is missed at the new place.
    let new = goes_to(&vault.segments[&2]);
    vault.flip(TO, new.frame_at(0) + 100);
    check("the new place counts", &vault, &[frame(TO, 2, 0)]);
}

/// A copy counts on a disk that the labels call drained.
fn left_behind() -> Vault {
    let mut vault = moved(&[1, 3, 4], DONE);
    vault.writing = vec![0, 2, TO];
    let journal = SegmentId::new(3);
    vault.label(|label| {
        label.journal_segment = journal;
        label.members[FROM].state = MemberState::Drained;
    });
    vault
}

#[test]
fn a_copy_that_counts_on_a_drained_disk_is_damage() {
    let vault = left_behind();
    check("it was left behind", &vault, &[segment(FROM, 2)]);
    let without = vault.verify_disks(&[0, 2, TO]);
    assert_eq!(without.verdict, Verdict::Damage, "{without:#?}");
}

#[test]
fn a_copy_on_a_drained_disk_is_no_damage_while_its_move_may_be_on_a_disk_that_is_away() {
    let vault = left_behind();
    let without = vault.verify_disks(&[0, FROM, TO]);
    assert_ne!(without.verdict, Verdict::Damage, "{without:#?}");
}
