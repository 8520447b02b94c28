//! What crashes, restarts and absent disks leave behind: notes, and damage only where it is proven.

mod support;

use stele_format::label::{DynamicLabel, LabelCopy, LabelPhase, MemberState};
use stele_format::record::{Abandoned, EntryKind, Placement, SegmentSpan};
use stele_format::units::{ByteOffset, Epoch, LaneId, SegmentId, Sequence, UnitCount};
use stele_inspect::verdict::{Area, DiskState};
use support::check::{blank, check, frame, segment};
use support::{DATA, Open, UNIT, Vault, entry, geometry, noise, on_lane, sample};

/// The vault goes on with fewer disks and says so in the labels.
fn go_on_without(vault: &mut Vault, left: usize) {
    vault.writing.retain(|disk| *disk != left);
    for _ in 0..3 {
        vault.label(|label| label.members[left].state = MemberState::Absent);
    }
    let mut journal = vault.segments[&3].clone();
    let draft = vault.inline_commit(0, &noise(100, 77));
    vault.records(&mut journal, vec![draft]);
    vault.segments.insert(3, journal);
}

#[test]
fn a_stale_disk_is_shown_and_not_blamed_for_what_it_missed() {
    let mut vault = sample(3);
    go_on_without(&mut vault, 2);
    let report = check("stale", &vault, &[]);
    assert_eq!(report.disks[2].state, DiskState::Stale);
    assert!(
        report.disks[2]
            .notes
            .iter()
            .any(|note| note.contains("ends before"))
    );
    let at = vault.segments[&1].frame_at(1) + 400;
    vault.flip(2, at);
    check("stale and rotten", &vault, &[frame(2, 1, 1)]);
}

#[test]
fn a_frame_that_a_crash_cut_short_is_no_damage() {
    let vault = sample(3);
    let last = vault.segments[&3].frame_at(3);
    for (name, cuts) in [
        ("one copy lacks it", vec![(0, 0, 4096)]),
        ("two copies lack it", vec![(0, 0, 4096), (1, 0, 4096)]),
        (
            "all copies lack it",
            vec![(0, 0, 4096), (1, 0, 4096), (2, 0, 4096)],
        ),
        ("header sector lost", vec![(0, 0, 512)]),
        (
            "header lost everywhere",
            vec![(0, 0, 512), (1, 0, 512), (2, 0, 512)],
        ),
    ] {
        let mut crashed = vault.clone();
        for (disk, offset, bytes) in cuts {
            blank(&mut crashed, disk, last + offset, bytes);
        }
        check(name, &crashed, &[]);
    }
    let mut torn = sample(3);
    let mut journal = torn.segments[&3].clone();
    let draft = torn.inline_commit(0, &noise(30_000, 8));
    torn.records(&mut journal, vec![draft]);
    let at = journal.frame_at(4);
    for (disk, offset) in [(0, 1024), (1, 20_480), (2, 0)] {
        blank(&mut torn, disk, at + offset, 512);
    }
    let report = check("payload sectors lost on every copy", &torn, &[]);
    assert!(
        report.disks[0].notes[0].contains("unfinished"),
        "{report:#?}"
    );
}

#[test]
fn one_of_three_copies_may_lag_but_not_two_and_not_after_a_clean_stop() {
    let vault = sample(3);
    let journal = vault.segments[&3].clone();
    let acknowledged = journal.frame_at(2);
    let rest = journal.end_at() - acknowledged;
    let mut lagging = vault.clone();
    blank(&mut lagging, 2, acknowledged, rest);
    let report = check("one lags", &lagging, &[]);
    assert!(
        report.disks[2].notes[0].contains("caught up"),
        "{report:#?}"
    );

    let mut far = lagging.clone();
    let sealed = &vault.segments[&1];
    blank(
        &mut far,
        2,
        journal.start(),
        journal.end_at() - journal.start(),
    );
    blank(
        &mut far,
        2,
        sealed.frame_at(3),
        sealed.start() + 65_536 - sealed.frame_at(3),
    );
    check("one lags behind the end of the sealed segment", &far, &[]);

    let mut hole = vault.clone();
    blank(
        &mut hole,
        2,
        journal.frame_at(1),
        journal.frame_at(2) - journal.frame_at(1),
    );
    check("a hole is no lag", &hole, &[frame(2, 3, 1)]);

    let mut two = lagging.clone();
    blank(&mut two, 1, acknowledged, rest);
    check("two lag", &two, &[frame(1, 3, 2), frame(2, 3, 2)]);

    let mut stopped = lagging.clone();
    stopped.label(|label| label.clean_stop = true);
    check(
        "after a clean stop",
        &stopped,
        &[frame(2, 3, 2), frame(2, 3, 3)],
    );
}

#[test]
fn with_two_disks_no_copy_may_lag() {
    let mut vault = sample(2);
    let journal = vault.segments[&3].clone();
    blank(
        &mut vault,
        1,
        journal.frame_at(2),
        journal.end_at() - journal.frame_at(2),
    );
    check("lag of two", &vault, &[frame(1, 3, 2)]);
}

/// A start after a crash: the journal goes on in a new segment of a new epoch.
fn restart(vault: &mut Vault) -> (Open, Open) {
    let mut old = vault.segments[&3].clone();
    let draft = vault.inline_commit(0, &noise(9000, 21));
    let log = vault.log.clone();
    vault.records(&mut old, vec![draft]);
    let torn = old.frame_at(4);
    for disk in 0..vault.images.len() {
        blank(vault, disk, torn + 1024, 512);
    }
    vault.log = log;
    old.frames.truncate(4);
    old.end = old.frames[3].end_offset().get();
    vault.committed = old.next_sequence().get() - 1;
    vault.epoch = Epoch::new(2);
    let disks = old.disks.clone();
    let abandoned = Abandoned {
        segment: old.id(),
        lane: LaneId::JOURNAL,
        data_end: ByteOffset::new(old.end),
        units_kept: UnitCount::new(1),
        last_sequence: Sequence::new(old.next_sequence().get() - 1),
    };
    let open_data = &vault.segments[&4];
    let abandoned_data = Abandoned {
        segment: open_data.id(),
        lane: DATA,
        data_end: ByteOffset::new(open_data.end),
        units_kept: UnitCount::new(1),
        last_sequence: Sequence::new(5),
    };
    let alloc = vault.alloc_next(LaneId::JOURNAL, &disks);
    let mut new = vault.open(LaneId::JOURNAL, &disks, Some(&old));
    let epoch = vault.epoch_start(vec![abandoned, abandoned_data]);
    vault.records(&mut new, vec![epoch, alloc]);
    let marker = vault.marker();
    vault.records(&mut new, vec![marker]);
    vault.label(|_| {});
    (old, new)
}

#[test]
fn a_tail_that_a_later_start_gave_up_is_a_note() {
    let mut vault = sample(3);
    let (old, new) = restart(&mut vault);
    let report = check("abandoned tail", &vault, &[]);
    assert!(
        report.disks[0]
            .notes
            .iter()
            .any(|note| note.contains("abandoned")),
        "{report:#?}"
    );
    assert_eq!(report.totals.log_size, vault.log.next_index().get());
    assert_eq!(
        report.totals.log_root,
        Some(vault.log.frontier().root().to_string())
    );

    let mut rotten_tail = vault.clone();
    rotten_tail.flip(1, old.end_at() + 5);
    check("flip behind the stated end", &rotten_tail, &[]);

    let mut lagging = vault.clone();
    blank(
        &mut lagging,
        2,
        old.frame_at(3),
        old.end_at() - old.frame_at(3),
    );
    check("recovery repairs every copy", &lagging, &[frame(2, 3, 3)]);

    let mut rotten = vault.clone();
    rotten.flip(0, old.frame_at(3) + 300);
    rotten.flip(1, new.frame_at(1) + 300);
    check(
        "flips before the end",
        &rotten,
        &[frame(0, 3, 3), frame(1, 5, 1)],
    );
}

#[test]
fn a_footer_that_a_cut_tore_is_no_frame_where_the_journal_went_on_in_another_segment() {
    let mut vault = sample(3);
    let old = vault.segments[&3].clone();
    let alloc = vault.alloc_next(LaneId::JOURNAL, &old.disks);
    let mut new = vault.open(LaneId::JOURNAL, &old.disks, Some(&old));
    vault.records(&mut new, vec![alloc]);
    for _ in 0..2 {
        let marker = vault.marker();
        vault.records(&mut new, vec![marker]);
    }
    // The first sector is lost. That the next frames were durable says nothing of this place.
    let (disk, footer) = (1, old.end_at() + 512);
    let at = u64::try_from(footer).unwrap();
    let mut torn = vault.clone();
    torn.put(disk, at, &noise(24, 5));
    check("a torn footer", &torn, &[]);
    // The frames before it are missed as ever.
    let last = old.frames.len() - 1;
    for disk in 0..3 {
        blank(
            &mut torn,
            disk,
            old.frame_at(last),
            old.end_at() - old.frame_at(last),
        );
    }
    let lost = u32::try_from(last).unwrap();
    check("frames before it are lost", &torn, &[frame(1, 3, lost)]);
}

#[test]
fn a_start_that_failed_leaves_a_segment_beside_the_journal() {
    let mut vault = sample(3);
    let old = vault.segments[&3].clone();
    vault.epoch = Epoch::new(2);
    vault.writing = vec![0];
    let mut failed = vault.open(LaneId::JOURNAL, &[0, 1, 2], Some(&old));
    let (log, committed) = (vault.log.clone(), vault.committed);
    let epoch = vault.epoch_start(Vec::new());
    vault.records(&mut failed, vec![epoch]);
    (vault.log, vault.committed, vault.writing) = (log, committed, vec![0, 1, 2]);
    check("the failed start is the newest", &vault, &[]);
    vault.epoch = Epoch::new(3);
    let mut new = vault.open(LaneId::JOURNAL, &[0, 1, 2], Some(&old));
    let epoch = vault.epoch_start(Vec::new());
    vault.records(&mut new, vec![epoch]);
    let marker = vault.marker();
    vault.records(&mut new, vec![marker]);
    let report = check("a later start went on", &vault, &[]);
    assert_eq!(
        report.totals.log_root,
        Some(vault.log.frontier().root().to_string())
    );
    assert_eq!(report.totals.log_size, vault.log.next_index().get());
}

#[test]
fn a_start_that_was_cut_after_a_clean_stop_leaves_a_frame_on_one_disk() {
    let mut vault = sample(3);
    let old = vault.segments[&3].clone();
    vault.label(|label| label.clean_stop = true);
    vault.label(|label| label.phase = LabelPhase::Promise);
    vault.epoch = Epoch::new(2);
    vault.label(|label| label.phase = LabelPhase::Begin);
    vault.writing = vec![2];
    let mut begun = vault.open(LaneId::JOURNAL, &[0, 1, 2], Some(&old));
    let committed = vault.committed;
    let epoch = vault.epoch_start(Vec::new());
    vault.records(&mut begun, vec![epoch]);
    vault.committed = committed;
    check("on one disk of three", &vault, &[]);
}

#[test]
fn uncited_data_at_the_end_of_an_open_segment_is_no_damage() {
    let mut vault = sample(3);
    let mut data = vault.segments[&4].clone();
    for seed in 0..3 {
        vault.frame(&mut data, &noise(20_000, 300 + seed), 0, false);
    }
    check("complete", &vault, &[]);
    let mut torn = vault.clone();
    blank(&mut torn, 0, data.frame_at(2) + 4096, 1024);
    blank(&mut torn, 1, data.frame_at(3), 24_576);
    check("lost in flight, later frames kept", &torn, &[]);
    let mut rotten = vault.clone();
    rotten.flip(0, data.frame_at(3) + 9000);
    check(
        "changed, and followed by frames",
        &rotten,
        &[frame(0, 4, 3)],
    );
}

#[test]
fn a_write_cut_short_is_taken_for_a_lost_chunk_only_where_that_may_have_lain() {
    let mut vault = sample(3);
    let mut data = vault.segments[&4].clone();
    vault.frame(&mut data, &noise(20_000, 300), 0, false);
    let (header, payload) = ((0, 512), (4096, 1024));
    let elsewhere = Placement::DataLane(SegmentSpan::of(SegmentId::new(2)));
    let (chunk, list) = (EntryKind::Chunk, EntryKind::ClearList);
    let (at_record, at_write) = (vec![frame(0, 3, 4)], vec![frame(0, 4, 2), frame(1, 4, 2)]);
    for (name, lost, placement, cut, expected) in [
        (
            "its header names another",
            chunk,
            on_lane(),
            payload,
            &at_record,
        ),
        ("it may be it", chunk, on_lane(), header, &at_write),
        ("it lies elsewhere", chunk, elsewhere, header, &at_record),
        ("a list may name it", list, on_lane(), payload, &at_write),
        ("a list elsewhere", list, elsewhere, payload, &at_record),
    ] {
        let mut torn = vault.clone();
        let mut journal = torn.segments[&3].clone();
        let commit = torn.commit(0, placement, &[entry(lost, &noise(8000, 1234))]);
        torn.records(&mut journal, vec![commit]);
        for disk in [0, 1] {
            blank(&mut torn, disk, data.frame_at(2) + cut.0, cut.1);
        }
        check(name, &torn, expected);
    }
}

#[test]
fn a_label_write_cut_short_is_a_note() {
    let vault = sample(3);
    let next = |vault: &Vault, disk| {
        let mut later = vault.clone();
        later.generation += 1;
        later.label_of(disk, &|_: &mut DynamicLabel| {})
    };
    let mut half = vault.clone();
    half.put_label(0, &next(&vault, 0), LabelCopy::A);
    let place = next(&vault, 0).place(&geometry(), LabelCopy::C);
    let whole = next(&vault, 0).encode(&geometry(), LabelCopy::C).unwrap();
    half.put(0, place.offset.get(), &whole[..1024]);
    let report = check("one disk began the next generation", &half, &[]);
    assert_eq!(report.totals.generation, 3);
    assert!(
        report.disks[1].notes[0].contains("behind that of another disk"),
        "{report:#?}"
    );

    let mut torn = vault.clone();
    torn.put(2, place_of(&vault, 2, LabelCopy::B), &whole[..512]);
    check("torn block of the next generation", &torn, &[]);
}

/// Once the ring has gone round, a label that was cut short has sectors of an older one.
#[test]
fn a_label_write_cut_short_over_an_older_label_is_a_note() {
    for stopped in [false, true] {
        let mut older = sample(3);
        older.committed -= 1;
        while older.generation < 70 {
            older.label(|_| {});
        }
        older.committed += 1;
        older.generation += 1;
        let label =
            |disk| older.label_of(disk, &|label: &mut DynamicLabel| label.clean_stop = stopped);
        let mut first = older.clone();
        for copy in LabelCopy::ALL {
            first.put_label(1, &label(1), copy);
            first.put_label(2, &label(2), copy);
        }
        first.put_label(0, &label(0), LabelCopy::A);
        let place = label(0).place(&geometry(), LabelCopy::C).offset.get();
        let whole = label(0).encode(&geometry(), LabelCopy::C).unwrap();
        let mut torn = first.clone();
        torn.put(0, place + 512, &whole[512..]);
        check("the first sector of C is older", &torn, &[]);
        torn.put_label(0, &label(0), LabelCopy::B);
        let damage = [(0, Area::Label, None, None)];
        check("C was durable before B was written", &torn, &damage);
        first.put_label(0, &label(0), LabelCopy::C);
        let place = label(0).place(&geometry(), LabelCopy::B).offset.get();
        let whole = label(0).encode(&geometry(), LabelCopy::B).unwrap();
        let mut torn = first.clone();
        torn.put(0, place + 512, &whole[512..]);
        check("the first sector of B is older", &torn, &[]);
        let damage = if stopped { &damage[..] } else { &[] };
        first.put(0, place, &whole);
        first.flip(0, usize::try_from(place).unwrap() + 50);
        check("one bit of B", &first, damage);
    }
}

fn place_of(vault: &Vault, disk: usize, copy: LabelCopy) -> u64 {
    let mut later = vault.clone();
    later.generation += 1;
    later
        .label_of(disk, &|_: &mut DynamicLabel| {})
        .place(&geometry(), copy)
        .offset
        .get()
}

#[test]
fn the_leftover_of_a_torn_label_write_stays_a_note_after_later_generations() {
    let mut vault = sample(3);
    vault.label(|_| {});
    let label = vault.label_of(0, &|_: &mut DynamicLabel| {});
    let place = label.place(&geometry(), LabelCopy::B);
    let at = usize::try_from(place.offset.get()).unwrap();
    blank(&mut vault, 0, at + 3584, 512);
    vault.label(|_| {});
    vault.label(|_| {});
    check("last sector never written", &vault, &[]);
    vault.flip(0, at + 50);
    check("and changed since", &vault, &[(0, Area::Label, None, None)]);
}

/// A label is cut short on a disk that is away from the next start, which gives the generation to another label.
#[test]
fn the_leftover_of_a_generation_that_others_used_otherwise_is_a_note() {
    for older in [false, true] {
        let mut vault = sample(3);
        vault.committed -= 1;
        while older && vault.generation < 70 {
            vault.label(|_| {});
        }
        vault.committed += 1;
        vault.generation += 1;
        let behind = |label: &mut DynamicLabel| label.members[1].state = MemberState::Stale;
        let cut = vault.label_of(2, &behind);
        let place = cut.place(&geometry(), LabelCopy::A);
        let whole = cut.encode(&geometry(), LabelCopy::A).unwrap();
        let at = place.offset.get();
        let start = usize::try_from(at).unwrap();
        let before = vault.images[2][start..start + 4096].to_vec();
        vault.put(2, at + 512, &whole[512..]);
        vault.generation -= 1;
        vault.writing = vec![0, 1];
        vault.label(|_| {});
        vault.writing = vec![0, 1, 2];
        vault.label(|_| {});
        vault.label(|_| {});
        check("sectors of another label", &vault, &[]);
        let damage = [(2, Area::Label, None, None)];
        let mut rotten = vault.clone();
        rotten.put(2, at, &before);
        rotten.flip(2, start + 562);
        check("one bit where it was never written", &rotten, &damage);
    }
}

#[test]
fn a_first_write_torn_on_every_copy_is_no_damage_while_nothing_cites_it() {
    let mut vault = sample(3);
    let mut journal = vault.segments[&3].clone();
    let alloc = vault.alloc_next(DATA, &[0, 1]);
    vault.records(&mut journal, vec![alloc]);
    let mut data = vault.open(DATA, &[0, 1], None);
    let chunk = noise(9000, 4321);
    vault.frame(&mut data, &chunk, 0, false);
    let mut torn = vault.clone();
    blank(&mut torn, 0, data.start(), 512);
    blank(&mut torn, 1, data.start(), 16_384);
    check("header lost, frame kept on one disk", &torn, &[]);
    blank(&mut torn, 0, data.frame_at(0) + 1024, 512);
    check("header and payload torn", &torn, &[]);
    let commit = vault.commit(0, on_lane(), &[entry(EntryKind::Chunk, &chunk)]);
    vault.records(&mut journal, vec![commit]);
    blank(&mut vault, 0, data.start(), 512);
    blank(&mut vault, 1, data.start(), 4096);
    check(
        "cited, but no header left",
        &vault,
        &[segment(0, 5), segment(1, 5)],
    );
}

#[test]
fn an_allocated_place_that_a_later_segment_took_was_given_up() {
    let mut vault = sample(3);
    let mut journal = vault.segments[&3].clone();
    let alloc = vault.alloc_next(DATA, &[0, 1]);
    vault.records(&mut journal, vec![alloc]);
    vault.writing = vec![0];
    let mut data = vault.open(DATA, &[0, 1], None);
    vault.frame(&mut data, &noise(9000, 4321), 0, false);
    vault.writing = vec![0, 1, 2];
    vault.next_unit -= 2;
    let alloc = vault.alloc_next(LaneId::JOURNAL, &[1, 2]);
    vault.records(&mut journal, vec![alloc]);
    let mut later = vault.open(LaneId::JOURNAL, &[1, 2], Some(&journal));
    let marker = vault.marker();
    vault.records(&mut later, vec![marker]);
    check("taken from its third unit on", &vault, &[]);
    let mut again = sample(3);
    let mut journal = again.segments[&3].clone();
    let first = again.alloc_next(DATA, &[0, 1]);
    let unit = again.next_unit;
    again.records(&mut journal, vec![first]);
    again.writing = vec![0];
    let mut data = again.open(DATA, &[0, 1], None);
    let chunk = noise(9000, 4321);
    again.frame(&mut data, &chunk, 0, false);
    again.writing = vec![0, 1, 2];
    again.next_unit = unit;
    let alloc = again.alloc_next(LaneId::JOURNAL, &[1, 2]);
    again.records(&mut journal, vec![alloc]);
    let mut later = again.open(LaneId::JOURNAL, &[1, 2], Some(&journal));
    let marker = again.marker();
    again.records(&mut later, vec![marker]);
    check("taken from its first unit on", &again, &[]);
    let commit = again.commit(0, on_lane(), &[entry(EntryKind::Chunk, &chunk)]);
    again.records(&mut later, vec![commit]);
    check("taken although cited", &again, &[frame(1, 5, 0)]);
}

#[test]
fn an_allocated_place_amid_a_later_segment_without_a_header_was_given_up() {
    let mut vault = sample(3);
    let mut journal = vault.segments[&3].clone();
    let unit = vault.next_unit;
    vault.next_unit += 2;
    let never_written = vault.alloc_next(DATA, &[0, 1]);
    vault.records(&mut journal, vec![never_written]);
    vault.next_segment += 1;
    vault.next_unit = unit;
    let alloc = vault.alloc_next(DATA, &[0, 1]);
    vault.records(&mut journal, vec![alloc]);
    let mut later = vault.open(DATA, &[0, 1], None);
    vault.frame(&mut later, &noise(9000, 4321), 0, false);
    let large = noise(usize::try_from(3 * UNIT).unwrap(), 1234);
    vault.frame(&mut later, &large, 0, false);
    for disk in [0, 1] {
        blank(&mut vault, disk, later.start(), 4096);
    }
    check("the first write torn on both copies", &vault, &[]);
    for disk in [0, 1] {
        blank(&mut vault, disk, later.frame_at(0), 512);
    }
    check("and the header of the first frame too", &vault, &[]);
}
