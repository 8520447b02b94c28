//! Disks that are filled while segments are given up, closed or cannot be read, and while the disk
//! itself fails: what takes part afterwards holds everything it must.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::{Loss, Plan};
use stele_format::frame::FrameHeader;
use stele_format::label::{LabelCopy, LabelCopyBytes, LabelPhase, read_best};
use stele_format::limits::LABEL_COPY_BYTES;
use stele_format::units::{ByteCount, Generation};
use stele_store::engine::Engine;
use stele_store::heal::pace::Rates;
use stele_store::limits::LAG_MS_MAX;
use stele_store::pool::MemberState;
use stele_store::recovery::read_label;
use support::steps::turns;
use support::{DISK_BYTES, Rig, Running, content, name};

/// Inline, one chunk, several chunks.
const SIZES: [usize; 4] = [1, 100_000, 300_000, 2_500_000];

fn put_all(vault: &mut Running, round: usize) {
    for (number, bytes) in SIZES.into_iter().enumerate() {
        let seed = 10 * round + number;
        vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
    }
}

fn check_all(vault: &mut Running, rounds: usize) {
    for round in 0..rounds {
        for (number, bytes) in SIZES.into_iter().enumerate() {
            let seed = 10 * round + number;
            let got = vault.get(&name("b", &format!("k{seed}")), None, None);
            assert!(got.unwrap() == content(seed, bytes), "object {seed}");
        }
    }
}

/// A vault that holds something, stopped.
fn filled(disks: usize) -> Rig {
    let mut rig = Rig::create(disks);
    let mut vault = rig.start();
    vault.bucket("b", false);
    put_all(&mut vault, 0);
    vault.stop();
    rig
}

fn number(disk: usize) -> Option<u16> {
    Some(u16::try_from(disk).unwrap() + 1)
}

fn all_active(engine: &Engine) -> bool {
    let status = engine.status();
    let active = |disk: &stele_store::status::DiskStatus| disk.state == MemberState::Active;
    status.heal.fill.is_none() && status.disks.iter().all(active)
}

/// Every frame that a disk holds.
fn frames_on(rig: &Rig, disk: usize) -> Vec<FrameHeader> {
    let frames = rig.frames_of(true).into_iter().chain(rig.frames_of(false));
    frames
        .filter(|frame| rig.disks_of(frame).contains(&disk))
        .collect()
}

fn assert_holds(rig: &Rig, disk: usize, frames: &[FrameHeader]) {
    let has = frames_on(rig, disk);
    let lacks: Vec<_> = frames
        .iter()
        .filter(|frame| !has.contains(frame))
        .map(|frame| (frame.segment.get(), frame.frame_index.get()))
        .collect();
    assert_eq!(lacks, [], "frames the disk lacks");
}

#[test]
fn a_fill_ends_although_segments_were_allocated_and_given_up() {
    for lost in 0..3 {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        // Past half of a segment of either kind its successor is allocated.
        for seed in 0..30 {
            vault.put(&name("b", &format!("j{seed}")), &content(seed, 100_000));
        }
        vault.put(&name("b", "d"), &content(1, 2_500_000));
        rig.handles[lost].as_ref().unwrap().fail_writes_from(0);
        put_all(&mut vault, 0);
        turns(&mut vault);
        assert_eq!(vault.engine.status().state.word(), "degraded");
        let fresh = SimDiskHandle::new(DISK_BYTES, 41);
        vault.attach(number(lost), &fresh).unwrap();
        put_all(&mut vault, 1);
        vault.until("it takes part", all_active);
        check_all(&mut vault, 2);
        let free = |vault: &Running| -> Vec<u64> {
            let disks = vault.engine.status().disks;
            disks.iter().map(|disk| disk.free_bytes).collect()
        };
        let before = free(&vault);
        vault.stop();
        rig.handles[lost] = Some(fresh);
        let vault = rig.start();
        // What was given up is free at once, not only after the next start. A start takes one segment.
        let segment = u64::from(support::PARAMS.segment_units * support::PARAMS.unit_bytes);
        for (before, after) in before.iter().zip(free(&vault)) {
            assert!(
                after <= before + segment,
                "{after} bytes are free, {before} were"
            );
        }
        vault.stop();
    }
}

#[test]
fn a_fill_ends_although_the_first_frame_of_a_start_failed() {
    let cases = (0..3).flat_map(|lost| (0..16).map(move |writes| (lost, writes)));
    for (lost, writes) in cases {
        let mut rig = filled(3);
        let handle = rig.handles[lost].clone().unwrap();
        handle.fail_writes_from(writes);
        let mut vault = rig.start();
        let expelled = vault.engine.status().disks[lost].state == MemberState::Expelled;
        if !expelled {
            continue;
        }
        handle.set_plan(Plan::default());
        let fresh = SimDiskHandle::new(DISK_BYTES, 42);
        vault.attach(number(lost), &fresh).unwrap();
        vault.until("it takes part", all_active);
        check_all(&mut vault, 1);
        vault.stop();
    }
}

#[test]
fn a_vault_that_calls_a_filled_disk_a_member_can_lose_another_at_once() {
    for other in [0, 1] {
        let mut rig = filled(3);
        rig.handles[2] = None;
        let mut vault = rig.start();
        let fresh = SimDiskHandle::new(DISK_BYTES, 48);
        vault.attach(number(2), &fresh).unwrap();
        vault.until("it takes part", all_active);
        rig.handles[2] = Some(fresh);
        let handles = rig.handles.iter().flatten();
        handles.for_each(|handle| handle.crash(Loss::All));
        drop(vault);
        rig.handles[other] = None;
        let mut vault = rig.start();
        assert_eq!(
            vault.engine.status().read_only,
            None,
            "without disk {other}"
        );
        put_all(&mut vault, 1);
        check_all(&mut vault, 2);
        vault.stop();
    }
}

#[test]
fn a_segment_that_is_still_being_sealed_is_copied_when_it_is_sealed() {
    let mut rig = filled(4);
    let held = frames_on(&rig, 2);
    rig.handles[2] = None;
    rig.options.ahead_bytes = 0;
    let mut vault = rig.start();
    turns(&mut vault);
    let fresh = SimDiskHandle::new(DISK_BYTES, 43);
    vault.attach(number(2), &fresh).unwrap();
    // The journal moves on, and one copy of what it leaves is not sealed for a while.
    fresh.hang(true);
    let hung = rig.handles[0].clone().unwrap();
    hung.hang(true);
    let open = rig.frames_of(true).last().unwrap().segment;
    for seed in 0..45 {
        vault.put(&name("b", &format!("j{seed}")), &content(seed, 100_000));
    }
    assert!(rig.frames_of(true).last().unwrap().segment > open);
    fresh.hang(false);
    (0..300).for_each(|_| vault.turn());
    let fill = vault.engine.status().heal.fill;
    assert_eq!(fill.map(|(disk, _)| disk), number(2));
    hung.hang(false);
    vault.until("it takes part", all_active);
    vault.stop();
    rig.handles[2] = Some(fresh);
    assert_holds(&rig, 2, &held);
    check_all(&mut rig.start(), 1);
}

#[test]
fn what_a_fill_could_not_read_is_copied_as_soon_as_it_can_be_read() {
    let mut rig = filled(3);
    let data = rig.frames_of(false);
    let [lost, source] = rig.disks_of(&data[0])[..] else {
        panic!("two copies")
    };
    let held = frames_on(&rig, lost);
    rig.handles[lost] = None;
    // Only what the fill reads is under way on the disk that hangs.
    rig.options.ahead_bytes = 0;
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 44);
    vault.attach(number(lost), &fresh).unwrap();
    vault.until("its data is copied", |engine| {
        engine.status().heal.segment == Some(data[0].segment)
    });
    let source = rig.handles[source].clone().unwrap();
    source.hang(true);
    // What the segment before had under way on the new disk is answered meanwhile.
    (0..50).for_each(|_| vault.turn());
    vault.pass(LAG_MS_MAX + 2_000);
    source.hang(false);
    vault.until("it takes part", all_active);
    vault.until("nothing is lost", |engine| {
        engine.status().state.word() == "ok"
    });
    vault.stop();
    rig.handles[lost] = Some(fresh);
    assert_holds(&rig, lost, &held);
}

#[test]
fn a_disk_without_a_vote_is_a_source_where_no_other_is() {
    let mut rig = filled(4);
    let data = rig.frames_of(false);
    let [lost, stale] = rig.disks_of(&data[0])[..] else {
        panic!("two copies")
    };
    let held: Vec<_> = frames_on(&rig, lost)
        .into_iter()
        .filter(|frame| !frame.lane.is_journal())
        .collect();
    let away = rig.handles[stale].take();
    let mut vault = rig.start();
    put_all(&mut vault, 1);
    vault.stop();
    rig.handles[stale] = away;
    rig.handles[lost] = None;
    let mut vault = rig.start();
    assert_eq!(vault.engine.status().disks[stale].state, MemberState::Stale);
    assert_eq!(vault.engine.status().read_only, None);
    let fresh = SimDiskHandle::new(DISK_BYTES, 45);
    vault.attach(number(lost), &fresh).unwrap();
    vault.until("it takes part", |engine| {
        let status = engine.status();
        status.heal.fill.is_none() && status.disks[lost].state == MemberState::Active
    });
    vault.stop();
    rig.handles[lost] = Some(fresh);
    assert_holds(&rig, lost, &held);
}

#[test]
fn what_a_failed_fill_had_begun_takes_nothing_from_the_next_one() {
    let mut rig = Rig::create(3);
    let slow = Rates {
        idle_bytes_per_s: 1 << 20,
        busy_bytes_per_s: 1 << 20,
    };
    rig.options.heal.fill = slow;
    let mut vault = rig.start();
    vault.bucket("b", false);
    put_all(&mut vault, 0);
    vault.stop();
    let held = frames_on(&rig, 2);
    rig.handles[2] = None;
    let mut vault = rig.start();
    let first = SimDiskHandle::new(DISK_BYTES, 46);
    vault.attach(number(2), &first).unwrap();
    vault.until("it is being filled", |engine| {
        let fill = engine.status().heal.fill;
        fill.is_some_and(|(_, progress)| progress.segments_done > 0)
            && engine.status().heal.segment.is_some()
    });
    first.vanish();
    vault.until("it failed", |engine| engine.status().heal.fill.is_none());
    let second = SimDiskHandle::new(DISK_BYTES, 47);
    vault.attach(number(2), &second).unwrap();
    vault.until("it takes part", all_active);
    vault.stop();
    rig.handles[2] = Some(second);
    assert_holds(&rig, 2, &held);
}

/// Two of four disks fail, and one of them is replaced.
#[test]
fn the_journal_is_filled_before_data_and_what_has_one_copy_before_what_has_two() {
    let mut rig = Rig::create(4);
    for round in 0..5 {
        let mut vault = rig.start();
        if round == 0 {
            vault.bucket("b", false);
        }
        put_all(&mut vault, round);
        vault.stop();
    }
    let slow = Rates {
        idle_bytes_per_s: 1 << 20,
        busy_bytes_per_s: 1 << 20,
    };
    rig.options.heal.fill = slow;
    let mut vault = rig.start();
    for lost in [3, 0] {
        rig.handles[lost].as_ref().unwrap().fail_writes_from(0);
        put_all(&mut vault, 5 + lost);
        turns(&mut vault);
        assert_eq!(vault.engine.status().read_only, None);
    }
    let fresh = SimDiskHandle::new(DISK_BYTES, 48);
    vault.attach(number(3), &fresh).unwrap();
    let mut order = Vec::new();
    while vault.engine.status().heal.fill.is_some() {
        vault.turn();
        let heal = vault.engine.status().heal;
        let filled = heal.segment.filter(|_| heal.fill.is_some());
        if filled.is_some() && order.last() != filled.as_ref() {
            order.extend(filled);
        }
    }
    vault.stop();
    rig.handles[3] = None;
    rig.handles[0] = None;
    // What each segment is, and how many of the disks that are left have it.
    let mut ranks = std::collections::BTreeMap::new();
    for journal in [true, false] {
        for frame in rig.frames_of(journal) {
            ranks.insert(frame.segment, (!journal, rig.disks_of(&frame).len()));
        }
    }
    let order: Vec<_> = order
        .iter()
        .filter_map(|segment| ranks.get(segment))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    for rank in [(false, 1), (false, 2), (true, 1)] {
        assert!(order.contains(&&rank), "{rank:?} is not in {order:?}");
    }
}

/// The newest label of a disk that is no promise, and its highest generation, while it is in use.
fn generations(handle: &SimDiskHandle) -> (u64, u64) {
    let read = LabelCopy::ALL.map(|copy| {
        let offset = copy.offset(ByteCount::new(DISK_BYTES));
        (
            copy,
            offset,
            handle.peek(offset.get(), LABEL_COPY_BYTES as usize),
        )
    });
    let copies = read.each_ref().map(|(copy, offset, bytes)| LabelCopyBytes {
        copy: *copy,
        offset: *offset,
        bytes,
    });
    let reading = read_best(&copies).unwrap();
    let label = reading.dynamic.map(|label| label.generation.get());
    (label.unwrap_or_default(), reading.highest.get())
}

#[test]
fn labels_do_not_leap_ahead_of_what_all_disks_that_take_part_know() {
    let mut rig = filled(4);
    let back = rig.handles[3].take().unwrap();
    rig.start().stop();
    // It has seen more starts than the others, all cut short.
    let reading = read_label(&mut back.open()).unwrap();
    let ahead = generations(rig.handles[0].as_ref().unwrap()).1 + 40;
    let mut label = reading.dynamic.unwrap();
    label.generation = Generation::new(ahead);
    label.phase = LabelPhase::Promise;
    let geometry = reading.fixed.geometry;
    for copy in LabelCopy::ALL {
        let at = label.place(&geometry, copy).offset.get();
        back.tamper(at, &label.encode(&geometry, copy).unwrap());
    }
    let mut vault = rig.start();
    vault.attach(number(3), &back).unwrap();
    let members: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    for _ in 0..20_000 {
        vault.turn();
        let known: Vec<(u64, u64)> = members.iter().map(generations).collect();
        for (label, _) in &known {
            let least = known.iter().map(|(_, highest)| *highest).min().unwrap();
            assert!(*label <= least + 1, "{known:?}");
        }
        if generations(&members[0]).0 > ahead && all_active(&vault.engine) {
            break;
        }
    }
    assert!(
        generations(&members[0]).0 > ahead,
        "{:?}",
        vault.engine.status()
    );
    check_all(&mut vault, 1);
    vault.stop();
    let mut vault = rig.start();
    check_all(&mut vault, 1);
}
