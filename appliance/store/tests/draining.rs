//! Disks that are drained while the vault serves: what they held lies on others before they go, whatever
//! is cut off in between, and nothing is lost with them.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::{Loss, Plan};
use stele_format::geometry::DiskGeometry;
use stele_format::record::{Body, MoveStep};
use stele_format::units::{ByteCount, UnitCount};
use stele_store::engine::{DRAINED, DrainRefusal, Engine};
use stele_store::pool::MemberState;
use support::steps::turns;
use support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

/// Inline, one chunk, several chunks.
const SIZES: [usize; 4] = [1, 100_000, 300_000, 2_500_000];
/// The disk that is drained.
const LEAVES: usize = 3;
const NUMBER: u16 = 4;

fn put_all(vault: &mut Running, round: usize) {
    for (number, bytes) in SIZES.into_iter().enumerate() {
        let seed = 10 * round + number;
        vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
    }
}

fn check_all(vault: &mut Running, rounds: usize, what: &str) {
    for round in 0..rounds {
        for (number, bytes) in SIZES.into_iter().enumerate() {
            let seed = 10 * round + number;
            let got = vault.get(&name("b", &format!("k{seed}")), None, None);
            assert!(
                got.unwrap() == content(seed, bytes),
                "{what}: object {seed}"
            );
        }
    }
}

/// A vault that was started a few times, so that every disk holds something of either kind; stopped.
fn filled(disks: usize, rounds: usize) -> Rig {
    let mut rig = Rig::create(disks);
    for round in 0..rounds {
        let mut vault = rig.start();
        if round == 0 {
            vault.bucket("b", false);
        }
        put_all(&mut vault, round);
        vault.stop();
    }
    rig
}

fn state(engine: &Engine) -> MemberState {
    engine.status().disks[LEAVES].state
}

fn is_drained(engine: &Engine) -> bool {
    state(engine) == MemberState::Drained && engine.status().heal.drain.is_none()
}

fn all(rig: &Rig) -> Vec<SimDiskHandle> {
    rig.handles.iter().flatten().cloned().collect()
}

/// The index is gone: everything is read from the segments themselves.
fn forget_index(rig: &Rig) {
    let geometry = DiskGeometry {
        disk_bytes: ByteCount::new(DISK_BYTES),
        index_bytes: ByteCount::new(PARAMS.index_bytes),
        keystate_bytes: PARAMS.keystate_bytes,
        unit_bytes: PARAMS.unit_bytes,
        segment_units: UnitCount::new(PARAMS.segment_units),
    };
    for handle in rig.handles.iter().take(2).flatten() {
        handle.tamper(geometry.index_offset().get(), &vec![0; 1 << 20]);
    }
}

/// Everything reads back without the drained disk, from the index and without it, and without one more.
fn check_without(rig: &mut Rig, rounds: usize, what: &str) {
    rig.handles[LEAVES] = None;
    let kept = all(rig);
    let after: Vec<_> = kept.iter().map(SimDiskHandle::snapshot).collect();
    let others: Vec<usize> = (0..rig.handles.len())
        .filter(|disk| *disk != LEAVES)
        .collect();
    for rebuilt in [false, true] {
        for more in std::iter::once(None).chain(others.iter().copied().map(Some)) {
            kept.iter()
                .zip(&after)
                .for_each(|(disk, was)| disk.restore(was));
            let what = format!("{what}, rebuilt {rebuilt}, without {more:?}");
            if rebuilt {
                forget_index(rig);
            }
            let lost = more.and_then(|more| rig.handles[more].take().map(|handle| (more, handle)));
            let mut vault = rig.start();
            assert_eq!(vault.report.index_rebuilt, rebuilt, "{what}");
            assert_eq!(vault.engine.status().read_only, None, "{what}");
            assert_eq!(state(&vault.engine), MemberState::Drained, "{what}");
            check_all(&mut vault, rounds, &what);
            if more.is_none() {
                assert_eq!(vault.engine.status().state.word(), "ok", "{what}");
            }
            put_all(&mut vault, 90);
            drop(vault);
            if let Some((more, handle)) = lost {
                rig.handles[more] = Some(handle);
            }
        }
    }
    kept.iter()
        .zip(&after)
        .for_each(|(disk, was)| disk.restore(was));
}

#[test]
fn a_disk_is_drained_while_clients_write_and_nothing_is_lost_with_it() {
    let mut rig = filled(5, 4);
    let mut vault = rig.start();
    vault.drain(NUMBER).unwrap();
    let progress = vault.engine.status().heal.drain.unwrap();
    assert_eq!(progress.0, NUMBER);
    assert!(progress.1.segments > 0 && progress.1.bytes > 0);
    put_all(&mut vault, 4);
    check_all(&mut vault, 5, "meanwhile");
    vault.until("it is drained", is_drained);
    assert_eq!(vault.engine.status().state.word(), "ok");
    put_all(&mut vault, 5);
    check_all(&mut vault, 6, "afterwards");
    vault.stop();
    let ended = |body: &&Body| matches!(body, Body::Relocate(r) if r.step == MoveStep::Done);
    assert!(rig.records().iter().filter(ended).count() > 1);
    check_without(&mut rig, 6, "drained");
}

#[test]
fn nothing_is_written_to_a_drained_disk_that_stays_attached() {
    let mut rig = filled(5, 3);
    let mut vault = rig.start();
    vault.drain(NUMBER).unwrap();
    vault.until("it is drained", is_drained);
    let bytes = |rig: &Rig| {
        let handle = rig.handles[LEAVES].as_ref().unwrap();
        handle.peek(0, usize::try_from(DISK_BYTES).unwrap())
    };
    let before = bytes(&rig);
    put_all(&mut vault, 3);
    vault.stop();
    let mut vault = rig.start();
    assert_eq!(state(&vault.engine), MemberState::Drained);
    put_all(&mut vault, 4);
    check_all(&mut vault, 5, "with the disk attached");
    vault.stop();
    assert!(bytes(&rig) == before);
}

#[test]
fn a_drained_disk_comes_back_as_it_is_and_is_drained_again() {
    let mut rig = filled(5, 3);
    let handle = rig.handles[LEAVES].clone().unwrap();
    let mut vault = rig.start();
    for round in [3, 4] {
        vault.drain(NUMBER).unwrap();
        vault.until("it is drained", is_drained);
        vault.attach(Some(NUMBER), &handle).unwrap();
        vault.until("it takes part", |engine| {
            state(engine) == MemberState::Active && engine.status().heal.fill.is_none()
        });
        put_all(&mut vault, round);
        vault.stop();
        forget_index(&rig);
        vault = rig.start();
        assert!(vault.report.index_rebuilt);
        check_all(&mut vault, round + 1, "with what it had");
    }
    vault.drain(NUMBER).unwrap();
    vault.until("it is drained", is_drained);
    vault.stop();
    check_without(&mut rig, 5, "drained again");
}

#[test]
fn a_drain_cut_at_any_step_goes_on_when_asked_again() {
    let mut rig = filled(5, 3);
    let disks = all(&rig);
    let fresh: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let handles = rig.handles.clone();
    let (from, changes) = run_drain(&mut rig, None);
    assert!(changes.len() > 100, "{} steps", changes.len());
    for (number, at) in changes.iter().enumerate().step_by(13) {
        disks
            .iter()
            .zip(&fresh)
            .for_each(|(disk, was)| disk.restore(was));
        rig.handles.clone_from(&handles);
        let loss = if number % 2 == 0 {
            Loss::All
        } else {
            Loss::Seeded
        };
        run_drain(&mut rig, Some(at - from));
        rig.power.restore();
        disks.iter().for_each(|disk| disk.crash(loss));
        if number % 3 == 0 {
            forget_index(&rig);
        }
        let what = format!("cut at {number} of {}", changes.len());
        let mut vault = rig.start();
        check_all(&mut vault, 3, &what);
        bring_back(&rig, &mut vault);
        if state(&vault.engine) != MemberState::Drained {
            vault
                .drain(NUMBER)
                .unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
            put_all(&mut vault, 3);
            vault.until(&what, is_drained);
        } else {
            put_all(&mut vault, 3);
        }
        check_all(&mut vault, 4, &what);
        drop(vault);
        rig.crash();
        check_without(&mut rig, 4, &what);
    }
}

/// A disk whose writes failed in the last moments was expelled in them.
fn bring_back(rig: &Rig, vault: &mut Running) {
    for disk in vault.engine.status().disks {
        if disk.state == MemberState::Stale {
            let handle = rig.handles[usize::from(disk.number) - 1].clone().unwrap();
            vault.attach(Some(disk.number), &handle).unwrap();
            let member = usize::from(disk.number) - 1;
            vault.until("it is filled", |engine| {
                engine.status().disks[member].state == MemberState::Active
                    && engine.status().heal.fill.is_none()
            });
        }
    }
}

/// Starts, and drains so many steps far, or to the end; the step at which that began, and those that change
/// a disk.
fn run_drain(rig: &mut Rig, steps: Option<u64>) -> (u64, Vec<u64>) {
    let mut vault = rig.start();
    turns(&mut vault);
    let from = rig.power.steps();
    rig.power.note_changes();
    if let Some(steps) = steps {
        rig.power.cut_after(steps);
    }
    vault.drain(NUMBER).unwrap();
    for _ in 0..20_000 {
        if is_drained(&vault.engine) || !rig.power.is_on() {
            break;
        }
        vault.turn();
    }
    if rig.power.is_on() {
        turns(&mut vault);
    }
    (from, rig.power.take_changes())
}

/// Whether an operator is told that the disk may be pulled out.
fn may_be_pulled(engine: &Engine) -> bool {
    let status = engine.status();
    let reason = status.disks[LEAVES].reason;
    is_drained(engine) && status.read_only.is_none() && reason == Some(DRAINED)
}

/// Whether a start with only these disks writes.
fn writes_with(rig: &mut Rig, here: &[usize]) -> bool {
    let handles = rig.handles.clone();
    let kept: Vec<_> = handles
        .iter()
        .flatten()
        .map(|h| (h, h.snapshot()))
        .collect();
    for (at, handle) in rig.handles.iter_mut().enumerate() {
        handle.take_if(|_| !here.contains(&at));
    }
    let mut vault = rig.start();
    let writes = vault.engine.status().read_only.is_none();
    if writes {
        check_all(&mut vault, 2, "with some disks");
    }
    drop(vault);
    kept.iter().for_each(|(handle, was)| handle.restore(was));
    rig.handles.clone_from(&handles);
    writes
}

#[test]
fn of_four_disks_three_remain_and_more_than_half_of_those_in_force_decides() {
    let mut rig = filled(4, 2);
    let disks = all(&rig);
    let fresh: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let (from, changes) = run_drain(&mut rig, None);
    assert!(
        !writes_with(&mut rig, &[0, LEAVES]),
        "a drained disk has a vote"
    );
    let mut told = Vec::new();
    for at in changes.iter().rev().take(60) {
        disks
            .iter()
            .zip(&fresh)
            .for_each(|(disk, was)| disk.restore(was));
        let said = drain_until(&mut rig, at - from);
        rig.power.restore();
        disks.iter().for_each(|disk| disk.crash(Loss::All));
        assert!(writes_with(&mut rig, &[0, 1, 2, LEAVES]), "all are here");
        if said {
            assert!(writes_with(&mut rig, &[0, 1, 2]), "without it");
            for one in 0..LEAVES {
                let two: Vec<usize> = (0..LEAVES).filter(|at| *at != one).collect();
                assert!(writes_with(&mut rig, &two), "without it and disk {one}");
            }
            // Without the first two disks there is no index, and no start at all.
            for one in 0..2 {
                let drained_too = &[one, LEAVES];
                assert!(!writes_with(&mut rig, &[one]), "one of three");
                assert!(!writes_with(&mut rig, drained_too), "the drained one");
            }
        }
        told.push(said);
    }
    assert!(told.contains(&true) && told.contains(&false), "{told:?}");
}

/// Drains until the power fails after so many steps; whether the disk might be pulled out by then.
fn drain_until(rig: &mut Rig, steps: u64) -> bool {
    let mut vault = rig.start();
    turns(&mut vault);
    rig.power.cut_after(steps);
    vault.drain(NUMBER).unwrap();
    let mut said = false;
    for _ in 0..20_000 {
        if !rig.power.is_on() {
            return said;
        }
        said |= may_be_pulled(&vault.engine);
        vault.turn();
    }
    panic!("the power stays on");
}

#[test]
fn what_cannot_be_drained_is_refused_and_nothing_changes() {
    let mut rig = filled(3, 1);
    let mut vault = rig.start();
    let too_few = DrainRefusal::TooFew {
        number: 3,
        disks: 3,
    };
    assert_eq!(vault.drain(3), Err(too_few));
    assert_eq!(vault.drain(9), Err(DrainRefusal::NoSuchDisk { number: 9 }));
    drop(vault);
    let mut rig = filled(5, 1);
    let mut vault = rig.start();
    assert_eq!(vault.drain(1), Err(DrainRefusal::Index { number: 1 }));
    vault.drain(NUMBER).unwrap();
    assert_eq!(vault.drain(5), Err(DrainRefusal::Busy { number: NUMBER }));
    vault.until("it is drained", is_drained);
    let gone = DrainRefusal::Drained { number: NUMBER };
    assert_eq!(vault.drain(NUMBER), Err(gone));
    rig.handles[2].as_ref().unwrap().vanish();
    turns(&mut vault);
    put_all(&mut vault, 1);
    turns(&mut vault);
    let other = DrainRefusal::OtherMissing { number: 3 };
    assert_eq!(vault.drain(5), Err(other));
}

#[test]
fn a_disk_that_holds_more_than_the_others_can_take_is_not_drained() {
    let small = 40 << 20;
    let mut rig = Rig::create_with(&[small, small, small, DISK_BYTES]);
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..9 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 2_500_000));
    }
    let refused = vault.drain(NUMBER);
    let lacks =
        matches!(refused, Err(DrainRefusal::NoRoom { missing_bytes, .. }) if missing_bytes > 0);
    assert!(lacks, "{refused:?}");
    turns(&mut vault);
    assert_eq!(state(&vault.engine), MemberState::Active);
}

#[test]
fn a_drain_ends_where_a_disk_fails_and_the_vault_goes_on() {
    for lost in [LEAVES, 4, 2] {
        let mut rig = filled(5, 3);
        let mut vault = rig.start();
        vault.drain(NUMBER).unwrap();
        for _ in 0..20 {
            vault.turn();
        }
        let handle = rig.handles[lost].clone().unwrap();
        handle.fail_writes_from(0);
        put_all(&mut vault, 3);
        vault.until("it has ended", |engine| {
            engine.status().heal.drain.is_none()
        });
        check_all(&mut vault, 4, "afterwards");
        handle.set_plan(Plan::default());
        drop(vault);
        rig.crash();
        let mut vault = rig.start();
        check_all(&mut vault, 4, "after a restart");
    }
}
