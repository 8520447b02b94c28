//! Healing from outside: what rots is written again, what was lost is filled again, and neither a
//! crash nor a second failing disk in between costs a byte.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_store::engine::{DiskRefusal, Engine};
use stele_store::heal::schedule::Due;
use stele_store::index::MirrorCopying;
use stele_store::index::message::MirrorState;
use stele_store::pool::MemberState;
use support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

/// Inline, one chunk, several chunks.
const SIZES: [usize; 4] = [1, 100_000, 300_000, 3_000_000];
const HOUR_MS: u64 = 3_600_000;

/// A vault that holds something, stopped.
fn filled() -> Rig {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    put_all(&mut vault, 0);
    vault.stop();
    rig
}

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
            let got = vault
                .get(&name("b", &format!("k{seed}")), None, None)
                .unwrap();
            assert!(got == content(seed, bytes), "object {seed}");
        }
    }
}

/// Where the units of a disk begin: the first two have an index area.
fn units_start(number: usize) -> u64 {
    let keys = (1 << 20) + 2 * u64::from(PARAMS.keystate_bytes);
    let index = keys.next_multiple_of(u64::from(PARAMS.unit_bytes));
    index + if number < 2 { PARAMS.index_bytes } else { 0 }
}

/// All units of a disk.
fn units(rig: &Rig, number: usize) -> Vec<u8> {
    let start = units_start(number);
    let bytes = usize::try_from(DISK_BYTES - start - (512 << 10)).unwrap();
    rig.handles[number].as_ref().unwrap().peek(start, bytes)
}

/// Flips a bit in every `stride`th used block of the segments.
fn rot(rig: &Rig, number: usize, stride: usize) -> usize {
    let start = units_start(number);
    let bytes = units(rig, number);
    let used = bytes
        .chunks(4096)
        .enumerate()
        .filter(|(_, block)| block.iter().any(|byte| *byte != 0));
    let hit: Vec<usize> = used.map(|(number, _)| number).step_by(stride).collect();
    let handle = rig.handles[number].as_ref().unwrap();
    for block in &hit {
        handle.rot(start + *block as u64 * 4096 + 77, 4);
    }
    hit.len()
}

fn is_whole(engine: &Engine) -> bool {
    engine.status().state.word() == "ok"
}

fn is_ok(vault: &Running) -> bool {
    vault.engine.status().state.word() == "ok"
}

#[test]
fn rot_on_one_disk_is_found_and_written_again_without_a_reader() {
    for victim in 0..3 {
        let mut rig = filled();
        let mut vault = rig.start();
        let before = units(&rig, victim);
        assert!(rot(&rig, victim, 3) > 10);
        vault.sleep(13 * HOUR_MS);
        vault.until("a pass over every closed segment", |engine| {
            let heal = engine.status().heal;
            heal.segment.is_none() && heal.counts.segments >= 4
        });
        let heal = vault.engine.status().heal;
        assert!(
            heal.counts.repaired > 0 && heal.counts.lost.is_empty(),
            "{heal:?}"
        );
        check_all(&mut vault, 1);
        vault.stop();
        let after = units(&rig, victim);
        let differs = before
            .iter()
            .zip(&after)
            .filter(|(a, b)| a != b && **a != 0)
            .count();
        assert_eq!(differs, 0, "every byte that was there is there again");
    }
}

#[test]
fn a_copy_that_a_reader_finds_bad_is_written_again_at_once() {
    let mut rig = filled();
    let mut vault = rig.start();
    rot(&rig, 2, 1);
    (0..4).for_each(|_| check_all(&mut vault, 1));
    let counters = vault.engine.status().counters;
    assert!(counters.reads_repaired_from_other_copy > 0, "{counters:?}");
    vault.until("repair", |engine| engine.status().heal.counts.repaired > 0);
    vault.until("nothing left to do", |engine| {
        engine.status().heal.segment.is_none()
    });
    assert!(vault.engine.status().heal.counts.lost.is_empty());
    vault.stop();
}

#[test]
fn what_rots_on_every_copy_is_named_and_the_rest_stays_right() {
    let mut rig = filled();
    let mut vault = rig.start();
    // Data lies on two of three disks: the same blocks go bad on all.
    for disk in 0..3 {
        rot(&rig, disk, 1);
    }
    vault.sleep(HOUR_MS);
    vault.until("a pass", |engine| engine.status().heal.counts.segments >= 2);
    let heal = vault.engine.status().heal;
    assert!(!heal.counts.lost.is_empty());
    assert_eq!(vault.engine.status().state.word(), "suspect");
    assert_eq!(
        heal.counts.repaired, 0,
        "nothing is written from what does not verify"
    );
}

/// What one copy cannot give is noticed when another can; what none can, too.
#[test]
fn what_a_reader_gets_from_no_copy_is_read_again_at_once_and_named() {
    let mut rig = filled();
    let mut vault = rig.start();
    for disk in 0..3 {
        rot(&rig, disk, 1);
    }
    let read = vault.get(&name("b", "k2"), None, None);
    assert!(read.is_err(), "every copy is rotten");
    // Nothing is due for hours.
    vault.until("it is named", |engine| {
        !engine.status().heal.counts.lost.is_empty()
    });
    assert_eq!(vault.engine.status().state.word(), "suspect");
    vault.until("rest", |engine| engine.status().heal.segment.is_none());
    // Asked for again and again, it is not read again and again.
    let before = vault.engine.status().heal.counts.segments;
    for _ in 0..5 {
        assert!(vault.get(&name("b", "k2"), None, None).is_err());
    }
    vault.sleep(1_000);
    assert_eq!(vault.engine.status().heal.counts.segments, before);
}

/// Disks whose writes fail are not written any more; what they hold may be all there is.
#[test]
fn a_vault_whose_disks_took_no_writes_any_more_still_gives_what_they_hold() {
    for spared in 0..3 {
        let mut rig = filled();
        let mut vault = rig.start();
        let handles = rig.handles.iter().flatten().enumerate();
        for (_, handle) in handles.filter(|(disk, _)| *disk != spared) {
            handle.fail_writes_from(0);
        }
        if let Ok(stream) = vault.open_put(&name("b", "new"), support::steps::object()) {
            vault.feed(stream, &content(99, 400_000)).ok();
            vault.commit(stream).unwrap_err();
        }
        let status = vault.engine.status();
        assert_eq!(status.state.word(), "readonly", "{status:?}");
        let states = status.disks.iter().map(|disk| disk.state);
        let expelled = states.filter(|state| *state == MemberState::Expelled);
        assert_eq!(expelled.count(), 2);
        check_all(&mut vault, 1);
    }
}

/// A large disk takes days to fill, and what is written meanwhile has the fewest copies.
#[test]
fn what_was_never_read_again_for_most_of_a_day_does_not_wait_for_a_disk_to_be_filled() {
    let mut rig = filled();
    let mut vault = rig.start();
    (1..6).for_each(|round| put_all(&mut vault, round));
    vault.stop();
    rig.handles[0] = None;
    let mut vault = rig.start();
    (6..12).for_each(|round| put_all(&mut vault, round));
    vault.stop();
    let mut vault = rig.start();
    vault.sleep(19 * HOUR_MS);
    let fresh = SimDiskHandle::new(DISK_BYTES, 99);
    vault.attach(Some(1), &fresh).unwrap();
    let left = |engine: &Engine| {
        let fill = engine.status().heal.fill;
        fill.map_or(0, |(_, fill)| fill.segments - fill.segments_done)
    };
    vault.until("something is copied", |engine| {
        let fill = engine.status().heal.fill;
        fill.is_some_and(|(_, fill)| fill.segments_done > 0)
    });
    assert!(left(&vault.engine) > 4);
    // All that was read, but for what was copied.
    let read_again = |engine: &Engine| {
        let heal = engine.status().heal;
        let copied = heal.fill.map_or(0, |(_, fill)| fill.segments_done);
        heal.counts.segments - copied
    };
    let before = read_again(&vault.engine);
    vault.until("nearly all is copied", |engine| left(engine) < 3);
    assert!(left(&vault.engine) > 0);
    assert!(read_again(&vault.engine) > before);
    vault.until("the disk is filled", is_whole);
    check_all(&mut vault, 12);
}

#[test]
fn reading_again_filling_a_disk_and_storing_go_on_at_once() {
    let mut rig = filled();
    rig.options.heal.due = Due {
        settle_ms: 0,
        open_ms: 0,
        interval_ms: 0,
    };
    rig.handles[0] = None;
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 99);
    vault.attach(Some(1), &fresh).unwrap();
    let mut rounds = 1;
    let (mut scrubbed, mut copied) = (0, 0);
    while vault.engine.status().heal.fill.is_some() || rounds < 4 {
        put_all(&mut vault, rounds);
        rounds += 1;
        check_all(&mut vault, rounds);
        let heal = vault.engine.status().heal;
        let fill = heal.fill.map_or(0, |(_, fill)| fill.segments_done);
        copied = copied.max(fill);
        scrubbed = scrubbed.max(heal.counts.verified_bytes);
        assert!(rounds < 60, "{heal:?}");
    }
    assert!(scrubbed > 0 && copied > 0, "{scrubbed} {copied}");
    vault.until("it takes part and nothing is wrong", is_whole);
    let counts = vault.engine.status().heal.counts;
    assert!(counts.repaired == 0 && !counts.has_losses(), "{counts:?}");
    check_all(&mut vault, rounds);
    vault.stop();
    rig.handles[0] = Some(fresh);
    rig.handles[2] = None;
    check_all(&mut rig.start(), rounds);
}

#[test]
fn a_lost_disk_is_replaced_and_holds_all_the_lost_one_held() {
    for lost in 0..3 {
        let mut rig = filled();
        rig.handles[lost] = None;
        let mut vault = rig.start();
        put_all(&mut vault, 1);
        assert!(!is_ok(&vault));
        let fresh = SimDiskHandle::new(DISK_BYTES, 99);
        let number = u16::try_from(lost).unwrap() + 1;
        vault.attach(Some(number), &fresh).unwrap();
        // The vault serves meanwhile.
        put_all(&mut vault, 2);
        vault.until("the new disk takes part", |engine| {
            engine.status().state.word() == "ok" && engine.status().heal.fill.is_none()
        });
        put_all(&mut vault, 3);
        check_all(&mut vault, 4);
        let counts = vault.engine.status().heal.counts;
        assert_eq!(counts.repaired, 0, "nothing was bad: {counts:?}");
        vault.stop();
        rig.handles[lost] = Some(fresh);
        // Now any other may go.
        for other in (0..3).filter(|other| *other != lost) {
            let taken = rig.handles[other].take();
            let mut vault = rig.start();
            check_all(&mut vault, 4);
            vault.stop();
            rig.handles[other] = taken;
            let mut vault = rig.start();
            let returned = rig.handles[other].clone().unwrap();
            vault
                .attach(Some(u16::try_from(other).unwrap() + 1), &returned)
                .unwrap();
            vault.until("the returned disk takes part", |engine| {
                engine.status().state.word() == "ok"
            });
            check_all(&mut vault, 4);
            vault.stop();
        }
        let mut vault = rig.start();
        assert!(is_ok(&vault), "{:?}", vault.engine.status());
        check_all(&mut vault, 4);
        vault.stop();
    }
}

#[test]
fn the_index_of_a_replaced_disk_is_a_mirror_again_after_the_next_start() {
    let pieces = MirrorCopying {
        whole_bytes_max: 0,
        piece_pages: 5,
    };
    for copying in [MirrorCopying::USUAL, pieces] {
        let mut rig = filled();
        rig.options.mirror_copying = copying;
        rig.handles[0] = None;
        let mut vault = rig.start();
        let fresh = SimDiskHandle::new(DISK_BYTES, 21);
        vault.attach(Some(1), &fresh).unwrap();
        vault.until("it takes part", is_whole);
        drop(vault);
        rig.crash();
        rig.handles[0] = Some(fresh);
        let mut vault = rig.start();
        vault.until("two mirrors", |engine| {
            let index = engine.status().index.unwrap();
            index.mirrors == [MirrorState::Active, MirrorState::Active]
        });
    }
}

#[test]
fn a_disk_that_comes_back_is_given_only_what_it_lacks() {
    let mut rig = filled();
    let away = rig.handles[2].take();
    let mut vault = rig.start();
    put_all(&mut vault, 1);
    vault.stop();
    rig.handles[2] = away;
    let mut vault = rig.start();
    let handle = rig.handles[2].clone().unwrap();
    vault.attach(Some(3), &handle).unwrap();
    vault.until("it is filled", |engine| {
        engine
            .status()
            .heal
            .fill
            .is_some_and(|(_, p)| p.segments_done > 0)
    });
    let mut written = 0;
    for _ in 0..100_000 {
        match vault.engine.status().heal.fill {
            Some((3, progress)) => written = progress.bytes_written,
            _ => break,
        }
        vault.turn();
    }
    vault.until("it takes part", |engine| {
        engine.status().state.word() == "ok"
    });
    assert!(
        written < 1 << 20,
        "{written} bytes were written to a disk that held nearly all"
    );
    check_all(&mut vault, 2);
    vault.stop();
}

#[test]
fn a_crash_while_a_disk_is_filled_loses_nothing() {
    for turns in (0..40).chain((40..400).step_by(9)) {
        let mut rig = filled();
        rig.handles[1] = None;
        let mut vault = rig.start();
        let fresh = SimDiskHandle::with(
            "fresh",
            DISK_BYTES,
            5,
            &rig.handles[0].as_ref().unwrap().power(),
        );
        vault.attach(Some(2), &fresh).unwrap();
        (0..turns).for_each(|_| vault.turn());
        drop(vault);
        rig.crash();
        fresh.crash(stele_device::sim::fault::Loss::Seeded);
        rig.handles[1] = Some(fresh.clone());
        let mut vault = rig.start();
        check_all(&mut vault, 1);
        if !is_ok(&vault) {
            let joining = vault.attach(Some(2), &fresh);
            assert_eq!(joining, Ok(()), "after {turns} turns");
            vault.until("it takes part", |engine| {
                engine.status().state.word() == "ok"
            });
        }
        put_all(&mut vault, 1);
        vault.stop();
        rig.handles[0] = None;
        let mut vault = rig.start();
        check_all(&mut vault, 2);
        vault.stop();
    }
}

#[test]
fn a_second_disk_pulled_while_one_is_filled_costs_nothing_that_was_acknowledged() {
    for turns in [1, 4, 20, 60] {
        let mut rig = filled();
        rig.handles[0] = None;
        let mut vault = rig.start();
        let fresh = SimDiskHandle::new(DISK_BYTES, 11);
        vault.attach(Some(1), &fresh).unwrap();
        (0..turns).for_each(|_| vault.turn());
        let pulled = rig.handles[1].clone().unwrap();
        pulled.vanish();
        (0..400).for_each(|_| vault.turn());
        let status = vault.engine.status();
        let why = status.read_only.map(|why| why.to_string());
        // Once the first takes part the third makes two of it.
        let filled = status.disks[0].state == MemberState::Active;
        let named = why
            .as_ref()
            .is_some_and(|why| why.contains("plug in disk 2"));
        assert!(filled || named, "{turns}: {why:?}");
        drop(vault);
        pulled.come_back();
        rig.handles[0] = Some(fresh.clone());
        let mut vault = rig.start();
        check_all(&mut vault, 1);
        vault.stop();
    }
}

#[test]
fn a_pool_takes_a_further_disk_and_uses_it() {
    let mut rig = filled();
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 12);
    vault.attach(None, &fresh).unwrap();
    vault.until("four disks", |engine| {
        let disks = engine.status().disks;
        disks.len() == 4 && disks.iter().all(|disk| disk.state == MemberState::Active)
    });
    put_all(&mut vault, 1);
    vault.stop();
    rig.handles.push(Some(fresh));
    let mut vault = rig.start();
    assert!(is_ok(&vault));
    put_all(&mut vault, 2);
    check_all(&mut vault, 3);
    vault.stop();
    assert!(units(&rig, 3).iter().any(|byte| *byte != 0));
}

#[test]
fn disks_that_cannot_join_are_refused_by_reason() {
    let mut rig = filled();
    let mut vault = rig.start();
    let fresh = SimDiskHandle::new(DISK_BYTES, 13);
    let healthy = Err(DiskRefusal::Healthy { number: 2 });
    assert_eq!(vault.attach(Some(2), &fresh), healthy);
    assert_eq!(
        vault.attach(Some(9), &fresh),
        Err(DiskRefusal::NoSuchDisk { number: 9 })
    );
    vault.stop();
    rig.handles[1] = None;
    let mut vault = rig.start();
    let small = SimDiskHandle::new(20 << 20, 14);
    assert!(matches!(
        vault.attach(Some(2), &small),
        Err(DiskRefusal::TooSmall { .. })
    ));
    vault.attach(Some(2), &fresh).unwrap();
    let second = SimDiskHandle::new(DISK_BYTES, 15);
    assert_eq!(
        vault.attach(None, &second),
        Err(DiskRefusal::Filling { number: 2 })
    );
}
