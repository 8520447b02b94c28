//! Space of what was destroyed comes back, whole segments at a time, and nothing else goes with it.

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_format::digest::Digest;
use stele_format::record::{Body, Trim};
use stele_format::statement::{Cut, Verb};
use stele_format::units::{LogIndex, SegmentId, VersionId};
use stele_store::pool::MemberState;
use stele_store::recovery::OpenOptions;
use stele_store::request::{Command, ObjectName};

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{DAY_MS, complete, founded, list, part, put, ripe, say, upload, view, work_off};

const LARGE: usize = 3_500_000;

/// An object, its seed and length.
type Stored = (ObjectName, usize, usize, VersionId);

fn store(vault: &mut Running, seed: usize, bytes: usize) -> Stored {
    let object = name("b", &format!("o{seed}"));
    let version = put(vault, &object, seed, bytes, 1);
    (object, seed, bytes, version)
}

fn check(vault: &mut Running, staying: &[Stored], what: &str) {
    for (object, seed, bytes, version) in staying {
        let read = vault.get(object, Some(*version), None);
        assert!(
            read.is_ok_and(|read| read == content(*seed, *bytes)),
            "{what}: {seed} stays"
        );
    }
}

/// Free bytes of each disk.
fn free(vault: &Running) -> Vec<u64> {
    let disks = vault.engine.status().disks;
    disks.iter().map(|disk| disk.free_bytes).collect()
}

/// Two people want these destroyed, and it is executed.
fn execute(vault: &mut Running, doomed: &[Stored]) -> LogIndex {
    vault.sleep(3 * DAY_MS);
    let versions: Vec<VersionId> = doomed.iter().map(|one| one.3).collect();
    let erase = list(vault, &versions, Cut::Leaves, false);
    let request = ripe(vault, erase);
    say(vault, Verb::Execute, request, "oona").unwrap();
    request
}

/// Everything is done, and the vault runs again.
fn destroy(rig: &mut Rig, mut vault: Running, doomed: &[Stored]) -> Running {
    let request = execute(&mut vault, doomed);
    work_off(&mut vault, request).unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    settle(&mut vault);
    vault
}

fn settle(vault: &mut Running) {
    for _ in 0..5 {
        turns(vault);
    }
}

fn trims(rig: &Rig) -> Vec<Trim> {
    let records = rig.records().into_iter();
    records
        .filter_map(|body| match body {
            Body::Trim(trim) => Some(trim),
            _ => None,
        })
        .collect()
}

fn given_up(rig: &Rig) -> Vec<SegmentId> {
    let begun = trims(rig).into_iter().filter_map(|trim| match trim {
        Trim::Begun { segments, .. } => Some(segments),
        Trim::Done { .. } => None,
    });
    begun.flatten().collect()
}

/// Payloads of data frames that lie anywhere on the disks.
fn frames(rig: &Rig) -> Vec<Digest> {
    let frames = rig.frames_of(false);
    frames.iter().map(|frame| frame.payload_digest).collect()
}

/// Starts again from the journal alone.
fn rebuilt(rig: &mut Rig) -> Running {
    rig.options.new_index = true;
    let vault = rig.start();
    rig.options.new_index = OpenOptions::default().new_index;
    assert!(vault.report.index_rebuilt);
    vault
}

#[test]
fn segments_of_what_was_destroyed_are_wiped_and_used_again() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let before = free(&vault);
    let doomed: Vec<Stored> = (0..6).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let mut staying: Vec<Stored> = (6..8).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let full = free(&vault);
    assert!(full.iter().sum::<u64>() + 5 * (LARGE as u64) < before.iter().sum());
    let old = frames(&rig);
    let mut vault = destroy(&mut rig, vault, &doomed);
    check(&mut vault, &staying, "wiped");
    let after = free(&vault);
    let gained = after.iter().sum::<u64>() - full.iter().sum::<u64>();
    assert!(gained >= 2 * 4 * (4 << 20), "{full:?} {after:?}");
    // No byte of what was given up is left: of its frames only those beside something that stays.
    let left = frames(&rig);
    let gone = old.iter().filter(|payload| !left.contains(payload));
    assert!(gone.count() >= 16);
    // The units are used again, by data and by the journal, and every start finds its way.
    for round in 0..4 {
        for seed in 0..4 {
            let seed = 100 * (round + 1) + seed;
            staying.push(store(&mut vault, seed, LARGE / 2));
        }
        check(&mut vault, &staying, "used again");
        drop(vault);
        rig.crash();
        vault = if round % 2 == 0 {
            rig.start()
        } else {
            rebuilt(&mut rig)
        };
        settle(&mut vault);
        check(&mut vault, &staying, "after a crash");
    }
    vault.stop();
    // What is free is the same for whoever reads the whole journal.
    let vault = rig.start();
    let known = free(&vault);
    vault.stop();
    let mut vault = rebuilt(&mut rig);
    settle(&mut vault);
    let read = free(&vault);
    vault.stop();
    for (known, read) in known.iter().zip(&read) {
        assert!(known.abs_diff(*read) <= 2 * (8 << 20), "{known} {read}");
    }
}

#[test]
fn a_segment_stays_as_long_as_anything_of_it_does() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    // All in one segment; and over several, one part of an upload that is not completed.
    let doomed = [store(&mut vault, 1, 700_000)];
    let mut staying = vec![store(&mut vault, 2, 700_000)];
    let open = name("b", "open");
    let id = upload(&mut vault, &open);
    let parts = [part(&mut vault, &open, id, 1, 9, 5_300_000)];
    staying.push(store(&mut vault, 3, LARGE));
    staying.push(store(&mut vault, 4, LARGE));
    let mut vault = destroy(&mut rig, vault, &doomed);
    assert_eq!(given_up(&rig), []);
    check(&mut vault, &staying, "beside it");
    let version = complete(&mut vault, &open, id, &parts);
    staying.push((open, 9, 5_300_000, version));
    check(&mut vault, &staying, "completed");
    // The parts are the version's now.
    let doomed = [staying.remove(0)];
    let mut vault = destroy(&mut rig, vault, &doomed);
    check(&mut vault, &staying, "completed and beside it");
    let mut vault = {
        vault.stop();
        rebuilt(&mut rig)
    };
    check(&mut vault, &staying, "rebuilt");
}

#[test]
fn what_was_never_part_of_anything_goes_with_it() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed = [store(&mut vault, 1, 200_000)];
    let left = name("b", "left");
    let id = upload(&mut vault, &left);
    let _ = part(&mut vault, &left, id, 1, 9, 9_000_000);
    vault
        .ask(Command::AbortUpload {
            name: left,
            upload: id,
        })
        .unwrap();
    let staying = [store(&mut vault, 3, LARGE), store(&mut vault, 4, LARGE)];
    let mut vault = destroy(&mut rig, vault, &doomed);
    assert!(given_up(&rig).len() >= 2, "{:?}", trims(&rig));
    check(&mut vault, &staying, "beside it");
}

#[test]
fn long_lists_of_chunks_hold_their_segments() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed = [store(&mut vault, 1, 200_000)];
    let staying = [store(&mut vault, 2, 66 << 20)];
    let mut vault = destroy(&mut rig, vault, &doomed);
    check(&mut vault, &staying, "beside it");
    vault.stop();
    let mut vault = rebuilt(&mut rig);
    check(&mut vault, &staying, "rebuilt");
}

#[test]
fn a_copy_on_a_disk_that_is_away_waits_for_it() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed: Vec<Stored> = (0..5).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let staying: Vec<Stored> = (6..9).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let old = frames(&rig);
    let request = execute(&mut vault, &doomed);
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let away = rig.handles[2].take();
    let mut vault = rig.start();
    work_off(&mut vault, request).unwrap();
    drop(vault);
    let mut vault = rig.start();
    settle(&mut vault);
    check(&mut vault, &staying, "one away");
    assert!(!given_up(&rig).is_empty());
    // It comes back: stale, filled, and wiped.
    rig.handles[2] = away;
    let there = frames(&rig);
    assert_eq!(old.iter().filter(|old| !there.contains(old)).count(), 0);
    vault.stop();
    let mut vault = rig.start();
    let handle = rig.handles[2].clone().unwrap();
    let slot = vault.disks.len();
    assert!(slot == 3);
    vault.disks[2] = None;
    vault.attach(Some(3), &handle).unwrap();
    vault.until("it takes part", |engine| {
        engine
            .status()
            .disks
            .iter()
            .all(|disk| disk.state == MemberState::Active)
    });
    settle(&mut vault);
    check(&mut vault, &staying, "back");
    let left = frames(&rig);
    let gone = old.iter().filter(|payload| !left.contains(payload));
    assert!(gone.count() >= 12, "{:?}", trims(&rig));
    vault.stop();
    let mut vault = rebuilt(&mut rig);
    check(&mut vault, &staying, "rebuilt");
}

struct Case {
    rig: Rig,
    doomed: Vec<Stored>,
    staying: Vec<Stored>,
}

/// A vault whose list is worked off to its end, to be started again.
fn case() -> Case {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed: Vec<Stored> = (0..3).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let staying: Vec<Stored> = (6..8).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let request = execute(&mut vault, &doomed);
    rig.clock_ms = view(&mut vault).now.get();
    work_off(&mut vault, request).unwrap();
    vault.stop();
    Case {
        rig,
        doomed,
        staying,
    }
}

/// The start that cuts, everything that comes of it, and something new in the space it brings.
fn run(case: &mut Case, cut: Option<u64>) -> (u64, Vec<u64>) {
    let from = case.rig.power.steps();
    case.rig.power.note_changes();
    if let Some(steps) = cut {
        case.rig.power.cut_after(steps);
    }
    if let Ok(mut vault) = case.rig.try_start() {
        for _ in 0..3 {
            turns(&mut vault);
        }
        if case.rig.power.is_on() {
            let object = name("b", "new");
            if let Ok(stream) = vault.open_put(&object, crate::support::steps::object()) {
                let _ = vault.send(crate::support::steps::put_data(stream, 50, 1_000_000));
                turns(&mut vault);
            }
        }
    }
    (from, case.rig.power.take_changes())
}

#[test]
fn power_lost_at_any_step_of_giving_space_back_loses_nothing() {
    let mut case = case();
    let disks: Vec<SimDiskHandle> = case.rig.handles.iter().flatten().cloned().collect();
    let fresh: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let (from, changes) = run(&mut case, None);
    assert!(changes.len() > 60, "{} steps", changes.len());
    for (round, at) in changes.iter().step_by(5).enumerate() {
        let what = format!("after step {}", at - from);
        disks
            .iter()
            .zip(&fresh)
            .for_each(|(disk, was)| disk.restore(was));
        run(&mut case, Some(at - from));
        case.rig.power.restore();
        disks.iter().for_each(|disk| disk.crash(Loss::Seeded));
        let mut vault = if round % 3 == 2 {
            rebuilt(&mut case.rig)
        } else {
            case.rig.start()
        };
        settle(&mut vault);
        check(&mut vault, &case.staying, &what);
        let state = view(&mut vault).requests[0].state;
        assert_eq!(
            state,
            stele_store::policy::approval::RequestState::Executed,
            "{what}"
        );
        // The space is there in the end, and holds what is put into it.
        let mut more = Vec::new();
        for seed in 20..22 {
            more.push(store(&mut vault, seed, LARGE));
        }
        drop(vault);
        disks.iter().for_each(|disk| disk.crash(Loss::Seeded));
        let mut vault = case.rig.start();
        settle(&mut vault);
        check(&mut vault, &case.staying, &what);
        check(&mut vault, &more, &what);
        let (object, _, _, version) = &case.doomed[0];
        assert!(vault.get(object, Some(*version), None).is_err());
        drop(vault);
        if round % 16 == 0 {
            assert!(!given_up(&case.rig).is_empty(), "{what}");
        }
    }
}

/// Stores until the vault is full.
fn fill(vault: &mut Running, from: usize, bytes: usize) -> Vec<Stored> {
    let mut stored = Vec::new();
    for seed in from..from + 400 {
        let object = name("b", &format!("o{seed}"));
        let stream = vault.open_put(&object, crate::support::steps::object());
        let Ok(stream) = stream else { break };
        if vault.feed(stream, &content(seed, bytes)).is_err() {
            break;
        }
        let Ok(done) = vault.commit(stream) else {
            break;
        };
        stored.push((object, seed, bytes, done.version.unwrap()));
    }
    stored
}

#[test]
fn units_are_used_again_only_when_every_start_knows_that_they_may() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed: Vec<Stored> = (0..8).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let mut staying = fill(&mut vault, 100, LARGE);
    assert!(staying.len() > 4);
    let request = execute(&mut vault, &doomed);
    work_off(&mut vault, request).unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    // Nobody waits for anything: what comes back is used as soon as it may be, by both lanes.
    for round in 1..200 {
        let bytes = [90_000, LARGE][round % 2];
        staying.extend(fill(&mut vault, round * 1_000, bytes));
        vault.turn();
    }
    let used = staying.iter().filter(|one| one.1 >= 1_000);
    let used: usize = used.map(|one| one.2).sum();
    assert!(used > 8 << 20, "{used}");
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    assert!(!vault.report.index_rebuilt);
    assert!(vault.engine.status().read_only.is_none());
    check(&mut vault, &staying, "after a crash");
}

#[test]
fn what_moves_after_space_came_back_is_whole_on_either_copy() {
    let (mut rig, mut vault) = founded(4);
    vault.bucket("b", true);
    let doomed: Vec<Stored> = (0..14).map(|seed| store(&mut vault, seed, LARGE)).collect();
    let mut staying = fill(&mut vault, 100, LARGE);
    let mut vault = destroy(&mut rig, vault, &doomed);
    // What was on the fourth disk goes where it can.
    vault.drain(4).unwrap();
    vault.until("it is empty", |engine| {
        engine.status().disks[3].state == MemberState::Drained
    });
    vault.stop();
    for round in 1..4 {
        let mut vault = rebuilt(&mut rig);
        settle(&mut vault);
        staying.extend(fill(&mut vault, round * 1_000, LARGE));
        check(&mut vault, &staying, "moved");
        vault.stop();
    }
    // On either copy: whichever disk is away.
    let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let stopped: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    for number in 0..3 {
        let states = disks.iter().zip(&stopped);
        states.for_each(|(disk, was)| disk.restore(was));
        let away = rig.handles[number].take();
        let mut vault = rig.start();
        check(&mut vault, &staying, "on either copy");
        drop(vault);
        rig.handles[number] = away;
    }
}
