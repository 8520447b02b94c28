//! What an operator is told of disks: that one left, that the vault became read-only, that something was mended
//! or lost, and that a disk is slow.

use stele_device::sim::disk::SimDiskHandle;
use stele_store::engine::{DiskSlot, Event};
use stele_store::heal::pace::Rates;
use stele_store::heal::schedule::Due;
use stele_store::index::{IndexError, IndexReply, IndexRequest};
use stele_store::limits::{HEDGE_MS, LAG_FRAME_COUNT_MAX, LANE_SLOW_MS, SLOW_MS, SLOW_WINDOW_MS};
use stele_store::pool::MemberState;
use stele_store::request::ReadOnlyReason;
use stele_store::status::{Alarm, DiskStatus};

use crate::support::steps::{self, turns};
use crate::support::{Rig, Running, content, name};

const HOUR_MS: u64 = 3_600_000;

fn alarms(vault: &Running) -> Vec<Alarm> {
    vault.engine.status().alarms
}

fn disk(vault: &Running, at: usize) -> DiskStatus {
    vault.engine.status().disks[at].clone()
}

/// Asks for a write that may not be answered.
fn touch(vault: &mut Running) {
    if let Ok(stream) = vault.open_put(&name("b", "touched"), steps::object()) {
        drop(vault.feed(stream, &content(2, 10_000)));
        vault.send(steps::commit(stream));
    }
    turns(vault);
}

/// The index takes no snapshot, as where its area is full.
fn fail_snapshot(vault: &mut Running, number: u64) {
    vault.index_busy = Some(Vec::new());
    let snapshot = |vault: &Running| {
        let requests = vault.index_busy.iter().flatten();
        let mut commits = requests.filter(|one| matches!(one, IndexRequest::Commit { .. }));
        commits.next().is_some()
    };
    for at in 0..200 {
        vault.bucket(&format!("b{number}-{at}"), false);
        if snapshot(vault) {
            break;
        }
    }
    assert!(snapshot(vault));
    let (commits, others): (Vec<_>, Vec<_>) = vault
        .asked_of_index()
        .into_iter()
        .partition(|one| matches!(one, IndexRequest::Commit { .. }));
    for _ in commits {
        vault.event(Event::Index(IndexReply::Failed {
            query: None,
            error: IndexError::Full,
        }));
    }
    vault.answer_index(others);
}

#[test]
fn an_alarm_says_that_the_index_takes_no_snapshot_once_until_it_takes_one_again() {
    let mut rig = Rig::create(1);
    rig.options.snapshot_rows = 20;
    let mut vault = rig.start();
    turns(&mut vault);
    let told = |vault: &Running| {
        let all = alarms(vault);
        let all = all.iter();
        all.filter(|alarm| matches!(alarm, Alarm::NoSnapshot { .. }))
            .count()
    };
    assert_eq!(told(&vault), 0);
    fail_snapshot(&mut vault, 1);
    fail_snapshot(&mut vault, 2);
    assert_eq!(told(&vault), 1);
    // One that succeeds in between makes the next failure news.
    for at in 0..200 {
        vault.bucket(&format!("c{at}"), false);
    }
    fail_snapshot(&mut vault, 3);
    assert_eq!(told(&vault), 2);
}

#[test]
fn an_alarm_says_which_disk_left_and_why_and_another_one_that_the_vault_became_read_only() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    assert_eq!(alarms(&vault), []);
    rig.handles[1].as_ref().unwrap().vanish();
    touch(&mut vault);
    let told = vault.engine.take_new_alarms();
    let [Alarm::DiskLeft { number, why, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*number, *why), (2, "it is gone"));
    rig.handles[0].as_ref().unwrap().vanish();
    touch(&mut vault);
    touch(&mut vault);
    let told = vault.engine.take_new_alarms();
    let [
        Alarm::DiskLeft { number: 1, .. },
        Alarm::ReadOnly { why, .. },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    let ReadOnlyReason::TooFewDisks { missing, .. } = why else {
        panic!("{why:?}")
    };
    assert!(missing.starts_with("disk 1 "), "{missing}");
    assert!(disk(&vault, 0).wanted && !disk(&vault, 1).wanted);
    assert_eq!(alarms(&vault).len(), 3);
}

/// Rots every stored byte of a disk's copies of data.
fn rot(rig: &Rig, disks: &[usize]) {
    for frame in rig.frames_of(false) {
        for (at, offset) in rig.places_of(&frame) {
            if disks.contains(&at) {
                rig.handles[at].as_ref().unwrap().rot(offset + 77, 4);
            }
        }
    }
}

/// A vault of three disks with some data, that was sealed by a stop.
fn sealed() -> (Rig, Running) {
    sealed_and_read(Due::default())
}

/// The same, read again when this says.
fn sealed_and_read(due: Due) -> (Rig, Running) {
    let mut rig = Rig::create(3);
    rig.options.heal.due = due;
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..3 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 300_000));
    }
    vault.stop();
    let vault = rig.start();
    (rig, vault)
}

fn read_again(vault: &mut Running) {
    vault.sleep(13 * HOUR_MS);
    let before = vault.engine.status().heal.counts.segments;
    vault.until("a pass over every segment", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.counts.segments >= before + 4
    });
}

#[test]
fn an_alarm_says_once_a_day_on_which_disk_something_was_written_again() {
    let (rig, mut vault) = sealed();
    let victim = rig.disks_of(&rig.frames_of(false)[0])[0];
    let told = |vault: &Running| {
        let alarms = alarms(vault).into_iter();
        let of = alarms.filter_map(|alarm| match alarm {
            Alarm::Repaired { number, .. } => Some(usize::from(number) - 1),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    rot(&rig, &[victim]);
    read_again(&mut vault);
    assert!(vault.engine.status().heal.counts.repaired > 0);
    assert_eq!(told(&vault), [victim]);
    rot(&rig, &[victim]);
    for seed in 0..3 {
        for _ in 0..3 {
            vault
                .get(&name("b", &format!("k{seed}")), None, None)
                .unwrap();
        }
    }
    vault.until("it is mended", |engine| {
        engine.status().heal.segment.is_none()
    });
    assert_eq!(told(&vault), [victim], "once a day");
}

#[test]
fn an_alarm_says_that_disks_are_wrong_in_the_same_way() {
    for (masks, expected) in [([4, 4], true), ([4, 2], false)] {
        let (rig, mut vault) = sealed();
        for frame in rig.frames_of(false) {
            for ((at, offset), mask) in rig.places_of(&frame).into_iter().zip(masks) {
                rig.handles[at].as_ref().unwrap().rot(offset + 77, mask);
            }
        }
        read_again(&mut vault);
        let told = alarms(&vault);
        let alike = |alarm: &&Alarm| matches!(alarm, Alarm::WrongAlike { .. });
        assert_eq!(told.iter().any(|one| alike(&one)), expected, "{told:?}");
        assert!(!vault.engine.status().heal.counts.lost.is_empty());
    }
}

#[test]
fn an_alarm_says_that_something_is_on_no_disk_any_more() {
    let (rig, mut vault) = sealed();
    rot(&rig, &[0, 1, 2]);
    read_again(&mut vault);
    let lost = vault.engine.status().heal.counts.lost;
    assert!(!lost.is_empty());
    let alarms = alarms(&vault);
    let told = alarms.iter().find_map(|alarm| match alarm {
        Alarm::Lost {
            segment, pieces, ..
        } => Some((*segment, *pieces)),
        _ => None,
    });
    let (segment, pieces) = told.unwrap_or_else(|| panic!("{alarms:?}"));
    assert!(lost.iter().any(|lost| lost.segment == segment));
    assert!(pieces > 0);
}

/// Whatever the log says of when it was read: nobody takes it for whole before it was looked for again. What is whole by
/// then is known to be so after that, over starts as well.
#[test]
fn what_is_lost_is_known_from_the_first_moment_of_the_next_start() {
    for clean in [true, false] {
        let (mut rig, mut vault) = sealed();
        let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
        let copies = rig.copies_of(&rig.frames_of(false)[0]);
        let flip = || {
            for (disk, at) in &copies {
                disks[*disk].rot(at + 77, 4);
            }
        };
        flip();
        read_again(&mut vault);
        let named = |vault: &Running| vault.engine.status().heal.counts.lost;
        let lost = named(&vault);
        assert_eq!(lost.len(), 1, "{clean}");
        // The log says that it was read again.
        vault.sleep(HOUR_MS);
        let mut again = |vault: Running| {
            match clean {
                true => vault.stop(),
                false => drop(vault),
            }
            rig.crash();
            let vault = rig.start();
            (vault.engine.status().state.word(), vault)
        };
        let (state, vault) = again(vault);
        assert_eq!(state, "suspect", "{clean}");
        let (state, mut vault) = again(vault);
        assert_eq!(state, "suspect", "{clean}: nothing was read in between");
        vault.until("it is named", |engine| {
            engine.status().heal.counts.lost == lost
        });
        assert_eq!(vault.engine.status().heal.counts.lost_before, 0);
        // As it was.
        let (state, vault) = again(vault);
        assert_eq!(state, "suspect", "{clean}");
        drop(vault);
        rig.crash();
        flip();
        let mut vault = rig.start();
        assert_eq!(vault.engine.status().state.word(), "suspect", "{clean}");
        vault.until("it is read again", |engine| {
            engine.status().state.word() == "ok"
        });
        vault.sleep(HOUR_MS);
        match clean {
            true => vault.stop(),
            false => drop(vault),
        }
        rig.crash();
        let vault = rig.start();
        assert_eq!(vault.engine.status().state.word(), "ok", "{clean}");
    }
}

/// What fills a disk that has nearly everything reads no frame of it, and says nothing of what is lost there.
#[test]
fn a_disk_that_comes_back_ends_no_loss_unless_it_gives_what_was_lost() {
    for gives in [false, true] {
        let (mut rig, mut vault) = sealed();
        let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
        let copies = rig.copies_of(&rig.frames_of(false)[0]);
        let flip = |(disk, at): &(usize, u64)| disks[*disk].rot(at + 77, 4);
        copies.iter().for_each(flip);
        read_again(&mut vault);
        assert_eq!(vault.engine.status().heal.counts.lost.len(), 1, "{gives}");
        vault.stop();
        let (back, _) = copies[1];
        rig.handles[back] = None;
        let mut vault = rig.start();
        vault.put(&name("b", "meanwhile"), &content(9, 2_000));
        assert!(
            vault.engine.status().heal.counts.has_losses(),
            "{gives}: away"
        );
        if gives {
            flip(&copies[1]);
        }
        let number = u16::try_from(back).unwrap() + 1;
        vault.attach(Some(number), &disks[back]).unwrap();
        vault.until("it takes part", |engine| {
            let status = engine.status();
            let active = |disk: &DiskStatus| disk.state == MemberState::Active;
            status.disks.iter().all(active) && status.heal.fill.is_none()
        });
        let state = |vault: &Running| vault.engine.status().state.word();
        if gives {
            vault.until("it is read again", |engine| {
                engine.status().state.word() == "ok"
            });
            assert_eq!(vault.engine.status().heal.counts.repaired, 1);
        } else {
            assert_eq!(state(&vault), "suspect");
            vault.sleep(HOUR_MS);
            assert_eq!(vault.engine.status().heal.counts.lost.len(), 1);
        }
        drop(vault);
        rig.crash();
        rig.handles[back] = Some(disks[back].clone());
        let expected = if gives { "ok" } else { "suspect" };
        let mut vault = rig.start();
        vault.sleep(HOUR_MS);
        assert_eq!(state(&vault), expected);
    }
}

/// What was told to be lost, newest last.
fn losses(vault: &Running) -> Vec<usize> {
    let of = |alarm: Alarm| match alarm {
        Alarm::Lost { pieces, .. } => Some(pieces),
        _ => None,
    };
    alarms(vault).into_iter().filter_map(of).collect()
}

#[test]
fn what_is_found_lost_within_the_hour_is_told_when_the_hour_is_over() {
    let (rig, mut vault) = sealed_and_read(Due {
        interval_ms: HOUR_MS / 6,
        ..Due::default()
    });
    let frames = rig.frames_of(false);
    rig.rot_everywhere(&frames[0], 77);
    read_again(&mut vault);
    assert_eq!(losses(&vault), [1]);
    for frame in &frames[1..] {
        rig.rot_everywhere(frame, 77);
    }
    vault.sleep(HOUR_MS / 5);
    vault.until("all of it is read again", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.counts.lost.len() == frames.len()
    });
    let lost = frames.len();
    assert_eq!(losses(&vault), [1], "the hour is not over");
    vault.sleep(HOUR_MS);
    assert_eq!(losses(&vault), [1, lost]);
    vault.sleep(2 * HOUR_MS);
    assert_eq!(losses(&vault), [1, lost], "nothing is new");
}

#[test]
fn a_disk_that_the_journal_does_without_is_shown_as_slow_until_it_is_back() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    assert_eq!(disk(&vault, 1).slow, None);
    let handle = rig.handles[1].clone().unwrap();
    let before = vault.engine.compliance();
    handle.hang(true);
    for seed in 0..2 * LAG_FRAME_COUNT_MAX {
        vault.put(&name("b", &format!("s{seed}")), &content(seed, 500));
    }
    let slow = disk(&vault, 1).slow.unwrap();
    assert!(slow.left_out && slow.since >= before, "{slow:?} {before:?}");
    assert_eq!(disk(&vault, 1).state, MemberState::Active);
    assert_eq!(disk(&vault, 0).slow, None);
    handle.hang(false);
    turns(&mut vault);
    vault.pass(2 * SLOW_MS);
    turns(&mut vault);
    assert_eq!(disk(&vault, 1).slow, None, "it is back");
}

#[test]
fn a_disk_whose_reads_are_hedged_is_shown_as_slow_for_a_while() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, 300_000));
    turns(&mut vault);
    let on = rig.disks_of(&rig.frames_of(false)[0])[0];
    let handle = rig.handles[on].clone().unwrap();
    handle.hang(true);
    for _ in 0..3 {
        vault.get(&name("b", "k"), None, None).unwrap();
    }
    assert!(vault.engine.status().counters.reads_hedged > 0);
    let slow = disk(&vault, on).slow.unwrap();
    assert!(!slow.left_out);
    handle.hang(false);
    turns(&mut vault);
    vault.pass(SLOW_MS + HEDGE_MS);
    assert_eq!(disk(&vault, on).slow, None);
}

/// Somebody saw twice that this disk is not where it was opened.
fn astray(vault: &mut Running, at: u16, alone: bool) {
    let slot = DiskSlot(at);
    vault.event(Event::Astray { slot, alone });
    turns(vault);
}

#[test]
fn a_disk_that_is_not_at_its_place_leaves_where_the_others_can_do_without_it() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    // Several at once are no failure: somebody moved the vault's directory.
    astray(&mut vault, 2, false);
    assert_eq!(disk(&vault, 2).state, MemberState::Active);
    let told = vault.engine.take_new_alarms();
    assert!(
        matches!(told[..], [Alarm::DiskAstray { number: 3, .. }]),
        "{told:?}"
    );
    // While one is not there the others can do without no further one.
    astray(&mut vault, 1, true);
    assert_eq!(disk(&vault, 1).state, MemberState::Active);
    drop(vault.engine.take_new_alarms());
    vault.event(Event::Back { slot: DiskSlot(2) });
    astray(&mut vault, 1, true);
    assert_eq!(disk(&vault, 1).state, MemberState::Expelled);
    let told = vault.engine.take_new_alarms();
    assert!(
        matches!(told[..], [Alarm::DiskLeft { number: 2, .. }]),
        "{told:?}"
    );
    // Without it nothing could be written, and it still works.
    astray(&mut vault, 0, true);
    assert_eq!(disk(&vault, 0).state, MemberState::Active);
    let told = vault.engine.take_new_alarms();
    assert!(
        matches!(told[..], [Alarm::DiskAstray { number: 1, .. }]),
        "{told:?}"
    );
    vault.put(&name("b", "k"), &content(1, 10_000));
}

#[test]
fn a_disk_that_is_not_at_its_place_leaves_as_soon_as_the_others_can_do_without_it() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    rig.handles[1].as_ref().unwrap().vanish();
    touch(&mut vault);
    assert_eq!(disk(&vault, 1).state, MemberState::Expelled);
    drop(vault.engine.take_new_alarms());
    for _ in 0..3 {
        astray(&mut vault, 2, true);
    }
    let told = vault.engine.take_new_alarms();
    assert!(
        matches!(told[..], [Alarm::DiskAstray { number: 3, .. }]),
        "once: {told:?}"
    );
    assert_eq!(disk(&vault, 2).state, MemberState::Active);
    assert!(disk(&vault, 2).astray);
    // It comes back, and goes again: that is told again.
    let slot = DiskSlot(2);
    vault.event(Event::Back { slot });
    assert!(!disk(&vault, 2).astray);
    astray(&mut vault, 2, true);
    assert_eq!(vault.engine.take_new_alarms().len(), 1);
    // Once another disk has all it has, it leaves.
    let fresh = SimDiskHandle::new(crate::support::DISK_BYTES, 55);
    vault.attach(Some(2), &fresh).unwrap();
    vault.until("the second one is filled", |engine| {
        engine.status().disks[1].state == MemberState::Active
    });
    turns(&mut vault);
    astray(&mut vault, 2, true);
    assert_eq!(disk(&vault, 2).state, MemberState::Expelled);
    assert!(!disk(&vault, 2).astray, "it left");
    let told = vault.engine.take_new_alarms();
    assert!(
        matches!(told[..], [Alarm::DiskLeft { number: 3, .. }]),
        "{told:?}"
    );
}

#[test]
fn a_disk_that_is_not_at_its_place_stays_while_a_bad_copy_elsewhere_is_not_mended() {
    let mut rig = Rig::create(3);
    rig.options.heal.scrub = Rates {
        idle_bytes_per_s: 1,
        busy_bytes_per_s: 1,
    };
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(1, 300_000));
    turns(&mut vault);
    let [(bad, at), (good, _)] = rig.copies_of(&rig.frames_of(false)[0])[..] else {
        panic!("two copies")
    };
    rig.handles[bad].as_ref().unwrap().rot(at + 5_000, 1);
    for _ in 0..4 {
        vault.get(&name("b", "k"), None, None).unwrap();
    }
    let status = vault.engine.status();
    assert!(status.counters.reads_repaired_from_other_copy > 0);
    assert_eq!(status.heal.counts.repaired, 0, "it is read slowly");
    let slot = u16::try_from(good).unwrap();
    astray(&mut vault, slot, true);
    assert_eq!(disk(&vault, good).state, MemberState::Active);
    // One run is read, written and read back; the budget is paid back in between.
    vault.sleep(1_000 * HOUR_MS);
    turns(&mut vault);
    vault.sleep(1_000 * HOUR_MS);
    vault.until("it is mended", |engine| {
        engine.status().heal.counts.repaired > 0
    });
    astray(&mut vault, slot, true);
    assert_eq!(disk(&vault, good).state, MemberState::Expelled);
    assert_eq!(
        vault.get(&name("b", "k"), None, None),
        Ok(content(1, 300_000))
    );
}

/// The disk takes nothing for a while that the others take, and is quick again.
fn stall(vault: &mut Running, handle: &SimDiskHandle, seed: usize) {
    handle.hang(true);
    vault.put(&name("b", &format!("stall{seed}")), &content(seed, 500));
    vault.pass(LANE_SLOW_MS + 1_000);
    handle.hang(false);
    turns(vault);
    vault.pass(SLOW_MS + 2_000);
}

/// What was told of slow disks, in order: the number of one that is, and none where one is no more.
fn told_of_slow(vault: &mut Running) -> Vec<Option<(u16, usize)>> {
    let of = |alarm| match alarm {
        Alarm::DiskSlow { number, times, .. } => Some(Some((number, times))),
        Alarm::DiskQuick { .. } => Some(None),
        _ => None,
    };
    let told = vault.engine.take_new_alarms().into_iter();
    told.filter_map(of).collect()
}

#[test]
fn a_disk_that_is_slow_three_times_within_an_hour_is_told_of_once_and_then_that_it_is_quick() {
    let mut rig = Rig::create(4);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    let handle = rig.handles[1].clone().unwrap();
    for seed in 0..2 {
        stall(&mut vault, &handle, seed);
        assert_eq!(told_of_slow(&mut vault), [], "{seed}");
        assert_eq!(vault.engine.status().state.word(), "ok");
    }
    stall(&mut vault, &handle, 2);
    let often = 3;
    assert_eq!(told_of_slow(&mut vault), [Some((2, often))]);
    assert_eq!(disk(&vault, 1).slow_suspect, Some(often));
    assert_eq!(disk(&vault, 0).slow_suspect, None);
    assert_eq!(vault.engine.status().state.word(), "suspect");
    // Once an hour at most.
    stall(&mut vault, &handle, 3);
    assert_eq!(told_of_slow(&mut vault), []);
    turns(&mut vault);
    vault.sleep(SLOW_WINDOW_MS);
    turns(&mut vault);
    assert_eq!(told_of_slow(&mut vault), [None]);
    assert_eq!(disk(&vault, 1).slow_suspect, None);
    assert_eq!(vault.engine.status().state.word(), "ok");
}

#[test]
fn nobody_is_to_blame_where_every_disk_waits() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    turns(&mut vault);
    let handles: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    for _ in 0..4 {
        handles.iter().for_each(|handle| handle.hang(true));
        let stream = vault.open_put(&name("b", "k"), steps::object()).unwrap();
        vault.feed(stream, &content(1, 500)).unwrap();
        vault.send(steps::commit(stream));
        vault.pass(LANE_SLOW_MS + 1_000);
        handles.iter().for_each(|handle| handle.hang(false));
        turns(&mut vault);
        vault.pass(SLOW_MS + 2_000);
    }
    assert_eq!(told_of_slow(&mut vault), []);
    assert_eq!(vault.engine.status().state.word(), "ok");
}

/// Who was told to have been written again, and who in vain, by number.
fn told_of_repairs(vault: &mut Running) -> (Vec<u16>, Vec<u16>) {
    let (mut mended, mut in_vain) = (Vec::new(), Vec::new());
    for alarm in vault.engine.take_new_alarms() {
        match alarm {
            Alarm::Repaired { number, .. } => mended.push(number),
            Alarm::NotMended { number, .. } => in_vain.push(number),
            _ => {}
        }
    }
    (mended, in_vain)
}

#[test]
fn what_a_disk_does_not_give_although_it_took_it_again_is_no_repair_and_is_not_tried_all_the_time()
{
    let (rig, mut vault) = sealed();
    let (victim, at) = rig.copies_of(&rig.frames_of(false)[0])[0];
    let handle = rig.handles[victim].clone().unwrap();
    let number = u16::try_from(victim).unwrap() + 1;
    handle.rot(at + 77, 4);
    handle.stick(at..at + 4096);
    read_again(&mut vault);
    let status = vault.engine.status();
    assert_eq!(status.heal.counts.repaired, 0);
    assert_eq!(disk(&vault, victim).unmended, 1);
    assert_eq!(status.state.word(), "suspect");
    assert_eq!(told_of_repairs(&mut vault), (vec![], vec![number]));
    // Readers meet it and get the other copy; it is not written again each time.
    let tries = handle.counters().faults;
    assert!(tries > 0);
    for _ in 0..9 {
        vault.get(&name("b", "k0"), None, None).unwrap();
    }
    turns(&mut vault);
    assert_eq!(handle.counters().faults, tries);
    assert!(status.heal.counts.lost.is_empty());
    // Once the disk keeps it, the next look says so.
    handle.unstick();
    vault.sleep(25 * HOUR_MS);
    vault.until("it is mended", |engine| {
        engine.status().heal.counts.repaired == 1
    });
    turns(&mut vault);
    assert_eq!(disk(&vault, victim).unmended, 0);
    assert_eq!(told_of_repairs(&mut vault), (vec![number], vec![]));
    assert_eq!(vault.engine.status().state.word(), "ok");
}

#[test]
fn a_header_that_a_disk_does_not_keep_is_no_repair_and_the_disk_can_be_pulled_out() {
    let (rig, mut vault) = sealed();
    let frame = &rig.frames_of(false)[0];
    let (victim, at) = rig.copies_of(frame)[0];
    let header = at - frame.segment_offset.get();
    let handle = rig.handles[victim].clone().unwrap();
    handle.rot(header + 9, 1);
    handle.stick(header..header + 4096);
    read_again(&mut vault);
    assert_eq!(vault.engine.status().heal.counts.repaired, 0);
    assert_eq!(disk(&vault, victim).unmended, 1);
    // As the alarm says. The others can do without it: what is not mended lies on it alone.
    let (victim, other) = (u16::try_from(victim).unwrap(), rig.copies_of(frame)[1].0);
    let other = u16::try_from(other).unwrap();
    astray(&mut vault, other, true);
    assert_eq!(disk(&vault, usize::from(other)).state, MemberState::Active);
    vault.event(Event::Back {
        slot: DiskSlot(other),
    });
    astray(&mut vault, victim, true);
    assert_eq!(
        disk(&vault, usize::from(victim)).state,
        MemberState::Expelled
    );
}
