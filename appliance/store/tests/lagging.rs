//! Disks that lag behind the others: what goes on without them, and what they are not given.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::record::{Abandoned, Body};
use stele_format::segment::SegmentSeal;
use stele_format::units::SegmentId;
use stele_store::limits::{HEDGE_MS, LAG_MS_MAX, LANE_SLOW_MS, SLOW_MS};
use stele_store::pool::MemberState;
use stele_store::request::{Answer, Command, Refusal};
use support::steps::{CHUNK, assert_at_rest, commit, object, open_get, put_data, turns};
use support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

fn free_bytes(vault: &Running) -> Vec<u64> {
    let disks = vault.engine.status().disks;
    disks.iter().map(|disk| disk.free_bytes).collect()
}

#[test]
fn the_data_lane_stays_on_a_slow_disk_when_no_other_has_room() {
    let mut rig = Rig::create_with(&[DISK_BYTES, DISK_BYTES, 40 << 20]);
    let mut vault = rig.start();
    vault.bucket("b", false);
    // The journal fills the smallest disk.
    let mut seed = 0;
    while free_bytes(&vault)[2] >= 4 << 20 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 120_000));
        seed += 1;
    }
    turns(&mut vault);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.ask(put_data(stream, 0, CHUNK)).unwrap();
    turns(&mut vault);
    let before = free_bytes(&vault);
    rig.handles[1].as_ref().unwrap().hang(true);
    vault.ask(put_data(stream, 1, CHUNK)).unwrap();
    let waiting = vault.send(commit(stream));
    for _ in 0..2 * LANE_SLOW_MS {
        vault.turn();
    }
    // One segment may be asked for ahead of need.
    let segment = u64::from(PARAMS.segment_units * PARAMS.unit_bytes);
    let after = free_bytes(&vault);
    let spent = |disk: usize| before[disk] - after[disk];
    assert!(
        (0..3).all(|disk| spent(disk) <= segment),
        "{before:?} {after:?}"
    );
    rig.handles[1].as_ref().unwrap().hang(false);
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Stored(_)))), "{answer:?}");
    assert_eq!(vault.engine.status().state.word(), "ok");
}

#[test]
fn a_disk_that_the_data_lane_left_gets_no_seal_of_a_segment_closed_before() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    // Past half of the first segment the second one is there to move on to.
    for seed in 0..2 {
        vault.ask(put_data(stream, seed, CHUNK)).unwrap();
    }
    turns(&mut vault);
    let first = rig.frames_of(false)[0].segment;
    let slow_at = rig.disks_of(&rig.frames_of(false)[0])[0];
    let slow = rig.handles[slow_at].clone().unwrap();
    slow.hang(true);
    for seed in 2..4 {
        vault.ask(put_data(stream, seed, CHUNK)).unwrap();
    }
    assert_eq!(
        vault.seals, 0,
        "the first segment is closed and not yet sealed"
    );
    for _ in 0..2 * LANE_SLOW_MS {
        vault.turn();
    }
    slow.hang(false);
    vault.commit(stream).unwrap();
    assert_at_rest(&mut vault);
    let holders = sealed_on(&rig, first);
    assert_eq!(holders.len(), 1, "only one copy of it is whole");
    assert_ne!(holders[0], slow_at);
    let whole: Vec<u8> = (0..4).flat_map(|seed| content(seed, CHUNK)).collect();
    assert!(vault.get(&name("b", "k"), None, None).unwrap() == whole);
}

#[test]
fn a_slow_worker_is_not_held_against_the_disk_that_gave_its_bytes() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(3, CHUNK));
    let Ok(Answer::Opened { stream, .. }) = vault.ask(open_get()) else {
        panic!("not opened")
    };
    vault.busy = Some(Vec::new());
    let waiting = vault.send(Command::NextData { stream });
    for _ in 0..3 * HEDGE_MS {
        vault.turn();
    }
    assert_eq!(vault.busy.as_ref().map(Vec::len), Some(1));
    vault.work();
    turns(&mut vault);
    let answer = vault.replies.remove(&waiting);
    assert!(matches!(answer, Some(Ok(Answer::Data(_)))), "{answer:?}");
    assert_eq!(vault.engine.status().counters.reads_hedged, 0);
}

/// Objects that ride in the journal.
fn put_small(vault: &mut Running, seeds: std::ops::Range<usize>) {
    for seed in seeds {
        vault.put(&name("b", &format!("s{seed}")), &content(seed, 500));
    }
}

fn check_small(vault: &mut Running, seeds: std::ops::Range<usize>) {
    for seed in seeds {
        let got = vault.get(&name("b", &format!("s{seed}")), None, None);
        assert!(got.unwrap() == content(seed, 500), "object {seed}");
    }
}

/// Disks that hold the newest frame of the journal.
fn newest_on(rig: &Rig) -> Vec<usize> {
    rig.disks_of(rig.frames_of(true).last().unwrap())
}

#[test]
fn the_journal_goes_on_in_a_new_segment_without_a_copy_that_lags_far_behind() {
    for hung in 0..3 {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        put_small(&mut vault, 0..10);
        turns(&mut vault);
        let before = vault.engine.status();
        let slow = rig.handles[hung].clone().unwrap();
        slow.hang(true);
        let first = rig.frames_of(true).last().unwrap().segment;
        let mut others: Vec<usize> = (0..3).filter(|disk| *disk != hung).collect();
        for seed in 10..200 {
            put_small(&mut vault, seed..seed + 1);
            // Acknowledged at two, all the while.
            if seed % 15 == 0 {
                let frames = rig.frames_of(true);
                let object = frames.iter().rfind(|frame| frame.payload_bytes > 500);
                assert_eq!(rig.disks_of(object.unwrap()), others);
            }
        }
        assert!(rig.frames_of(true).last().unwrap().segment > first);
        assert_eq!(vault.engine.status().state.word(), "ok");
        assert_eq!(vault.engine.status().epoch, before.epoch);
        check_small(&mut vault, 0..200);
        // Power is lost before the disk has caught up; any one disk may be gone afterwards.
        drop(vault);
        rig.crash();
        slow.hang(false);
        others.push(hung);
        for gone in others {
            let taken = rig.handles[gone].take();
            let mut vault = rig.start();
            check_small(&mut vault, 0..200);
            assert_eq!(vault.engine.status().read_only, None);
            drop(vault);
            rig.crash();
            rig.handles[gone] = taken;
            let returned = rig.handles[gone].clone().unwrap();
            let mut vault = rig.start();
            if vault.engine.status().state.word() != "ok" {
                vault
                    .attach(Some(u16::try_from(gone).unwrap() + 1), &returned)
                    .unwrap();
                vault.until("it takes part", |engine| {
                    engine.status().state.word() == "ok"
                });
            }
            vault.stop();
        }
    }
}

/// A vault whose journal has left disk 1, which has caught up since.
fn caught_up(rig: &mut Rig) -> (Running, SimDiskHandle) {
    let mut vault = rig.start();
    vault.bucket("b", false);
    let slow = rig.handles[1].clone().unwrap();
    slow.hang(true);
    put_small(&mut vault, 0..150);
    slow.hang(false);
    vault.until("it has caught up", |engine| engine.is_idle());
    (vault, slow)
}

#[test]
fn a_disk_that_has_caught_up_takes_the_journal_again() {
    let mut rig = Rig::create(3);
    let (mut vault, _) = caught_up(&mut rig);
    put_small(&mut vault, 150..151);
    turns(&mut vault);
    assert_eq!(newest_on(&rig), [0, 2], "not at once");
    for _ in 0..2 * SLOW_MS {
        vault.turn();
    }
    put_small(&mut vault, 151..152);
    turns(&mut vault);
    assert_eq!(newest_on(&rig), [0, 1, 2]);
    vault.stop();
    // Now it alone and one other hold everything.
    for gone in [0, 2] {
        let taken = rig.handles[gone].take();
        check_small(&mut rig.start(), 0..152);
        rig.handles[gone] = taken;
        rig.crash();
    }
}

/// An object that may be refused.
fn try_put(vault: &mut Running) -> Result<(), Refusal> {
    let stream = vault.open_put(&name("b", "k"), object())?;
    vault.feed(stream, &content(0, 500))?;
    vault.commit(stream).map(drop)
}

#[test]
fn a_disk_that_fails_while_another_is_slow_ends_nothing_but_this_start() {
    for failed in [0, 2] {
        let mut rig = Rig::create(3);
        let (mut vault, slow) = caught_up(&mut rig);
        assert!(!vault.engine.is_journal_stranded());
        rig.handles[failed].as_ref().unwrap().fail_writes_from(0);
        // A start may find it on the other one.
        assert_eq!(try_put(&mut vault), Err(Refusal::Undecided));
        assert_eq!(try_put(&mut vault), Err(Refusal::Rebuilding));
        assert_eq!(vault.engine.status().read_only, None);
        assert!(vault.engine.is_move_wanted(), "disk {failed}");
        drop(vault);
        let mut vault = rig.start();
        assert_eq!(vault.engine.status().read_only, None, "disk {failed}");
        put_small(&mut vault, 150..160);
        check_small(&mut vault, 0..160);
        // One more is too many, for a start too.
        slow.fail_writes_from(0);
        assert!(try_put(&mut vault).is_err());
        assert!(vault.engine.status().read_only.is_some());
        assert!(!vault.engine.is_journal_stranded());
    }
}

#[test]
fn a_vault_is_not_started_again_for_a_disk_that_does_not_catch_up() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let slow = rig.handles[1].clone().unwrap();
    slow.hang(true);
    put_small(&mut vault, 0..150);
    rig.handles[0].as_ref().unwrap().fail_writes_from(0);
    assert!(try_put(&mut vault).is_err());
    vault.turn();
    assert!(vault.engine.is_journal_stranded());
    assert!(!vault.engine.is_move_wanted(), "it has writes to finish");
    for _ in 0..2 * LAG_MS_MAX {
        vault.turn();
    }
    // It is put out, and no start would help.
    assert!(!vault.engine.is_journal_stranded());
    assert!(vault.engine.status().read_only.is_some());
    check_small(&mut vault, 0..10);
}

#[test]
fn a_disk_that_lags_for_ever_costs_less_space_each_time() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let slow = rig.handles[1].clone().unwrap();
    let (mut seed, mut switches) = (0, 0);
    let mut segment = rig.frames_of(true).last().unwrap().segment;
    // Ten minutes in which the disk takes nothing for 20 s of every 25.
    for _ in 0..24 {
        slow.hang(true);
        for _ in 0..80 {
            put_small(&mut vault, seed..seed + 1);
            seed += 1;
        }
        vault.pass(20_000);
        slow.hang(false);
        (0..5_000).for_each(|_| vault.turn());
        put_small(&mut vault, seed..seed + 1);
        seed += 1;
        turns(&mut vault);
        let newest = rig.frames_of(true).last().unwrap().segment;
        switches += u32::from(newest > segment);
        segment = newest;
    }
    assert!(switches <= 16, "{switches} times in another segment");
    assert_eq!(vault.engine.status().disks[1].state, MemberState::Active);
    check_small(&mut vault, 0..seed);
}

#[test]
fn a_disk_that_lags_for_ever_is_replaced_like_any_other() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    rig.handles[2].as_ref().unwrap().hang(true);
    put_small(&mut vault, 0..150);
    vault.until("it is put out", |engine| {
        engine.status().disks[2].state == MemberState::Expelled
    });
    put_small(&mut vault, 150..160);
    let fresh = SimDiskHandle::new(DISK_BYTES, 61);
    vault.attach(Some(3), &fresh).unwrap();
    vault.until("it takes part", |engine| {
        engine.status().state.word() == "ok"
    });
    check_small(&mut vault, 0..160);
    vault.stop();
}

/// The disks that hold a seal of a segment.
fn sealed_on(rig: &Rig, segment: SegmentId) -> Vec<usize> {
    let sealed = |handle: &SimDiskHandle| {
        let mut blocks = (0..DISK_BYTES).step_by(4096);
        blocks.any(|at| {
            let seal = SegmentSeal::decode(&handle.peek(at, 4096));
            seal.is_ok_and(|seal| seal.claims().segment == segment)
        })
    };
    let disks = (0..).zip(&rig.handles);
    disks
        .filter(|(_, handle)| handle.as_ref().is_some_and(sealed))
        .map(|(disk, _)| disk)
        .collect()
}

fn states_seal_of(rig: &Rig, segment: SegmentId) -> bool {
    let records = rig.records();
    let mut seals = records.iter().filter_map(|body| match body {
        Body::Seal(seal) => Some(seal.segment),
        _ => None,
    });
    seals.any(|sealed| sealed == segment)
}

/// A vault of five disks whose journal has left a segment because one disk of it hangs: that segment, and
/// that disk.
fn left_behind(rig: &mut Rig) -> (Running, SegmentId, usize) {
    let mut vault = rig.start();
    vault.bucket("b", false);
    put_small(&mut vault, 0..1);
    turns(&mut vault);
    let left = *rig.frames_of(true).last().unwrap();
    let slow = rig.disks_of(&left)[0];
    rig.handles[slow].as_ref().unwrap().hang(true);
    put_small(&mut vault, 1..150);
    assert!(newest_on(rig).iter().all(|disk| *disk != slow));
    (vault, left.segment, slow)
}

#[test]
fn a_record_says_that_a_journal_segment_is_sealed_once_its_last_copy_is() {
    let mut rig = Rig::create(5);
    let (mut vault, left, slow) = left_behind(&mut rig);
    assert_eq!(sealed_on(&rig, left).len(), 2, "the others have it");
    assert!(!states_seal_of(&rig, left));
    rig.handles[slow].as_ref().unwrap().hang(false);
    turns(&mut vault);
    assert_eq!(sealed_on(&rig, left).len(), 3);
    assert!(states_seal_of(&rig, left));
}

#[test]
fn a_disk_that_leaves_the_pool_does_not_hold_back_what_is_sealed_on_the_others() {
    let mut rig = Rig::create(5);
    let (mut vault, left, slow) = left_behind(&mut rig);
    vault.until("it is put out", |engine| {
        engine.status().disks[slow].state == MemberState::Expelled
    });
    turns(&mut vault);
    assert!(states_seal_of(&rig, left));
}

/// What the journal says of a segment that it left without a seal.
fn abandoned(rig: &Rig, segment: SegmentId) -> Option<Abandoned> {
    let ends = rig.records().into_iter().flat_map(|body| match body {
        Body::Epoch(epoch) => epoch.abandoned,
        _ => Vec::new(),
    });
    ends.into_iter().find(|end| end.segment == segment)
}

/// Whether it says so, and where it ends.
fn is_named(rig: &Rig, segment: SegmentId) -> bool {
    let frames = rig.frames_of(true);
    let mut frames = frames.iter().filter(|frame| frame.segment == segment);
    let last = frames.next_back().unwrap();
    abandoned(rig, segment)
        .is_some_and(|end| (end.data_end, end.last_sequence) == (last.end_offset(), last.sequence))
}

#[test]
fn a_journal_segment_that_was_left_before_a_snapshot_is_named_unless_a_record_states_its_seal() {
    let mut named = 0;
    for turn in 0..24 {
        let mut rig = Rig::create(4);
        rig.options.snapshot_rows = 1;
        let mut vault = rig.start();
        vault.bucket("b", false);
        put_small(&mut vault, 0..3);
        let left = *rig.frames_of(true).last().unwrap();
        let slow = rig.handles[rig.disks_of(&left)[0]].clone().unwrap();
        // The journal goes on elsewhere when a disk joins; one of its disks takes nothing any more from some moment on.
        let joins = SimDiskHandle::new(DISK_BYTES, 61);
        vault.attach(None, &joins).unwrap();
        (0..turn).for_each(|_| vault.turn());
        slow.hang(true);
        for number in 0..6 {
            let name = format!("other-{number}");
            vault.send(Command::CreateBucket { name, lock: false });
            turns(&mut vault);
        }
        drop(vault);
        rig.crash();
        slow.hang(false);
        let newest = rig.frames_of(true).last().unwrap().segment;
        let is_stated = states_seal_of(&rig, left.segment);
        let vault = rig.start();
        assert_eq!(vault.engine.status().read_only, None, "turn {turn}");
        if newest > left.segment && !is_stated {
            assert!(is_named(&rig, left.segment), "turn {turn}");
            named += 1;
        }
    }
    assert!(named > 0, "a seal was on its way");
}

#[test]
fn a_journal_segment_that_a_cut_left_without_its_record_keeps_all_its_frames() {
    let mut rig = Rig::create(5);
    let (vault, left, slow) = left_behind(&mut rig);
    drop(vault);
    rig.crash();
    rig.handles[slow].as_ref().unwrap().hang(false);
    assert!(!states_seal_of(&rig, left));
    let mut vault = rig.start();
    assert_eq!(vault.engine.status().read_only, None);
    assert!(is_named(&rig, left));
    // What is written from now on takes no unit of it.
    for seed in 0..20 {
        vault.put(&name("b", &format!("l{seed}")), &content(seed, 2 * CHUNK));
    }
    check_small(&mut vault, 0..150);
    vault.sleep(24 * 3_600_000);
    vault.until("all is read again", |engine| {
        engine.status().heal.oldest_unverified_ms < 3_600_000
    });
    assert_eq!(vault.engine.status().state.word(), "ok");
    vault.stop();
    rig.options.new_index = true;
    let mut vault = rig.start();
    check_small(&mut vault, 0..150);
    for seed in 0..20 {
        let got = vault.get(&name("b", &format!("l{seed}")), None, None);
        assert!(got.unwrap() == content(seed, 2 * CHUNK));
    }
}
