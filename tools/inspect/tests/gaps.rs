//! Journal frames that were durable and lie nowhere any more, with nothing left in their place to look at.

mod support;

use stele_format::units::{Epoch, LaneId, SegmentId, Sequence};
use stele_inspect::verdict::Verdict;
use support::check::{blank, check, frame, segment};
use support::{Open, SEGMENT_UNITS, UNIT, Vault, sample};

/// The sample, gone on with by another start: journal segment 5 after 3.
fn gone_on(disks: usize) -> Vault {
    let mut vault = sample(disks);
    let old = vault.segments[&3].clone();
    vault.epoch = Epoch::new(2);
    let on = old.disks.clone();
    let alloc = vault.alloc_next(LaneId::JOURNAL, &on);
    let mut new = vault.open(LaneId::JOURNAL, &on, Some(&old));
    let epoch = vault.epoch_start(Vec::new());
    vault.records(&mut new, vec![epoch, alloc]);
    let marker = vault.marker();
    vault.records(&mut new, vec![marker]);
    vault.segments.insert(5, new);
    vault
}

fn wipe_on(vault: &mut Vault, open: &Open, disks: &[usize], from: usize) {
    let end = open.start() + (UNIT * SEGMENT_UNITS) as usize;
    for disk in disks {
        blank(vault, *disk, from, end - from);
    }
}

/// Nothing from this frame on, or from the header on, is left of a segment.
fn wipe(vault: &mut Vault, number: u64, frame: Option<usize>) {
    let open = vault.segments[&number].clone();
    let from = frame.map_or(open.start(), |frame| open.frame_at(frame));
    wipe_on(vault, &open, &open.disks, from);
}

#[test]
fn a_journal_segment_that_no_disk_holds_is_damage() {
    for disks in [1, 3] {
        let mut vault = gone_on(disks);
        check("whole", &vault, &[]);
        wipe(&mut vault, 3, None);
        let places: Vec<_> = (0..disks).map(|disk| segment(disk, 3)).collect();
        let report = check("in the middle", &vault, &places);
        assert!(report.damage.iter().all(|damage| !damage.good_copy));
    }
}

#[test]
fn several_that_no_disk_holds_are_named_by_the_last() {
    let mut vault = gone_on(1);
    wipe(&mut vault, 1, None);
    wipe(&mut vault, 3, None);
    check("the first two", &vault, &[segment(0, 3)]);
}

#[test]
fn the_end_of_an_open_journal_segment_is_missed_where_the_journal_goes_on() {
    for disks in [1, 3] {
        let mut vault = gone_on(disks);
        wipe(&mut vault, 3, Some(2));
        let places: Vec<_> = (0..disks).map(|disk| frame(disk, 3, 2)).collect();
        check("two frames", &vault, &places);
    }
}

#[test]
fn what_is_named_where_it_lies_is_not_named_again() {
    let mut vault = gone_on(3);
    wipe(&mut vault, 3, Some(3));
    let at = vault.segments[&3].frame_at(3);
    vault.images[1][at + 100] = 7;
    check("something is left of it", &vault, &[frame(1, 3, 3)]);
}

#[test]
fn the_journal_must_reach_what_labels_call_durable() {
    let ends_with = |last: u64| {
        let mut vault = sample(2);
        vault.label(|label| {
            label.journal_segment = SegmentId::new(3);
            label.watermark = Sequence::new(last);
        });
        vault
    };
    check("it does", &ends_with(8), &[]);
    let mut vault = ends_with(6);
    wipe(&mut vault, 3, Some(2));
    check("no more is called durable", &vault, &[]);
    let mut vault = ends_with(7);
    wipe(&mut vault, 3, Some(2));
    check("one more", &vault, &[frame(0, 3, 2), frame(1, 3, 2)]);
    let mut vault = ends_with(8);
    wipe(&mut vault, 3, None);
    check("all of it", &vault, &[segment(0, 3), segment(1, 3)]);
    wipe(&mut vault, 1, None);
    check("everything", &vault, &[segment(0, 3), segment(1, 3)]);
}

#[test]
fn frames_that_nothing_proves_durable_may_be_missing() {
    let mut vault = sample(3);
    let old = vault.segments[&3].clone();
    vault.committed = 6;
    let mut next = vault.open(LaneId::JOURNAL, &old.disks, Some(&old));
    let marker = vault.marker();
    vault.records(&mut next, vec![marker]);
    wipe(&mut vault, 3, Some(3));
    check("a cut kept the later of two writes", &vault, &[]);
}

#[test]
fn a_disk_that_is_not_here_may_hold_what_is_missing() {
    let mut vault = sample(3);
    let old = vault.segments[&3].clone();
    vault.label(|label| label.watermark = Sequence::new(8));
    wipe_on(&mut vault, &old, &[0, 1], old.frame_at(2));
    let report = vault.verify_disks(&[0, 1]);
    assert_eq!(report.verdict, Verdict::Clean, "{report:#?}");
    let note = "missing disks may hold them";
    assert!(report.notes.iter().any(|text| text.contains(note)));
}
