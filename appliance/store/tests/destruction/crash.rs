//! K6: power lost at any step of a destruction leaves it done or not done, and nothing else lost.

use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_format::statement::{Cut, Verb};
use stele_format::units::{KeyIndex, LogIndex, VersionId};
use stele_store::policy::approval::RequestState;
use stele_store::request::{Command, ObjectName, RequestId};

use crate::erase::keys_on;
use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{DAY_MS, census, founded, list, put, rehome, ripe, say, view, work_off};

struct Case {
    rig: Rig,
    request: LogIndex,
    /// Name, seed, length, version.
    doomed: Vec<(ObjectName, usize, usize, VersionId)>,
    staying: Vec<(ObjectName, usize, usize, VersionId)>,
    leaves: Vec<KeyIndex>,
    month: bool,
}

/// A vault in which an erasure was executed and nothing of it is done.
fn case(month: bool) -> Case {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let (mut doomed, mut staying) = (Vec::new(), Vec::new());
    for seed in 0..9_usize {
        let object = name("b", &format!("o{seed}"));
        let bytes = if seed == 3 { 1_500_000 } else { 300 + seed };
        let version = put(&mut vault, &object, seed, bytes, 1);
        let entry = (object, seed, bytes, version);
        if seed % 2 == 1 {
            doomed.push(entry);
        } else {
            staying.push(entry);
        }
    }
    vault.sleep(if month { 40 } else { 3 } * DAY_MS);
    let versions: Vec<VersionId> = doomed.iter().map(|one| one.3).collect();
    let rows = census(&mut vault);
    let leaf = |version: &VersionId| {
        rows.iter()
            .find(|row| row.version == *version)
            .unwrap()
            .leaf
    };
    let leaves: Vec<KeyIndex> = versions.iter().map(leaf).collect();
    let cut = if month {
        Cut::Month(leaves[0].parts().unwrap().month)
    } else {
        Cut::Leaves
    };
    let erase = list(&mut vault, &versions, cut, false);
    let request = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, request, "oona").unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    Case {
        rig,
        request,
        doomed,
        staying,
        leaves,
        month,
    }
}

/// Asks and waits for an answer, or for the power to fail.
fn ask(rig: &Rig, vault: &mut Running, command: Command) -> bool {
    let id: RequestId = vault.send(command);
    for _ in 0..20_000 {
        if !rig.power.is_on() {
            return false;
        }
        if let Some(reply) = vault.replies.remove(&id) {
            return reply.is_ok();
        }
        vault.turn();
    }
    panic!("no answer");
}

/// Everything from the first step of the erasure to the record that it is done, until the power fails.
fn run(case: &mut Case, cut: Option<u64>) -> (u64, Vec<u64>) {
    let Ok(mut vault) = case.rig.try_start() else {
        panic!("the vault opens before anything happens");
    };
    let from = case.rig.power.steps();
    case.rig.power.note_changes();
    if let Some(steps) = cut {
        case.rig.power.cut_after(steps);
    }
    let request = case.request;
    let mut go_on = true;
    if case.month {
        let after = None;
        go_on = ask(&case.rig, &mut vault, Command::Rehome { request, after });
    }
    for ordinal in 0..u32::try_from(case.doomed.len().div_ceil(3)).unwrap() {
        let command = Command::Tombstone { request, ordinal };
        go_on = go_on && ask(&case.rig, &mut vault, command);
    }
    drop(vault);
    if go_on && let Ok(mut vault) = case.rig.try_start() {
        turns(&mut vault);
    }
    (from, case.rig.power.take_changes())
}

/// What stays is whole, and each doomed version is whole or gone.
fn check(case: &Case, vault: &mut Running, done: bool, what: &str) {
    for (object, seed, bytes, version) in &case.staying {
        let read = vault.get(object, Some(*version), None);
        assert!(
            read.is_ok_and(|read| read == content(*seed, *bytes)),
            "{what}: {seed} stays"
        );
    }
    for (object, seed, bytes, version) in &case.doomed {
        match vault.get(object, Some(*version), None) {
            Ok(read) => {
                assert!(!done, "{what}: {seed} is gone");
                assert!(read == content(*seed, *bytes), "{what}: {seed} is whole");
            }
            Err(refusal) => {
                let gone = matches!(
                    refusal,
                    stele_store::request::Refusal::NoSuchVersion
                        | stele_store::request::Refusal::NoSuchKey { .. }
                );
                assert!(gone, "{what}: {seed}: {refusal}");
            }
        }
    }
}

fn power_lost_at_every_step(month: bool, every: usize) {
    let mut case = case(month);
    let disks: Vec<SimDiskHandle> = case.rig.handles.iter().flatten().cloned().collect();
    let fresh: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    let (from, changes) = run(&mut case, None);
    assert!(changes.len() > 60, "{} steps", changes.len());
    for at in changes.iter().step_by(every) {
        let what = format!("after step {}", at - from);
        disks
            .iter()
            .zip(&fresh)
            .for_each(|(disk, was)| disk.restore(was));
        run(&mut case, Some(at - from));
        case.rig.power.restore();
        disks.iter().for_each(|disk| disk.crash(Loss::Seeded));
        let mut vault = case.rig.start();
        // A start that finds the keys gone says so in its first records.
        turns(&mut vault);
        let state = view(&mut vault).requests[0].state;
        let done = state == RequestState::Executed;
        check(&case, &mut vault, done, &what);
        if done {
            vault.stop();
            let keys = keys_on(&case.rig);
            assert!(
                case.leaves.iter().all(|leaf| !keys.tree.has_leaf(*leaf)),
                "{what}"
            );
            continue;
        }
        assert_eq!(state, RequestState::Executing, "{what}");
        if case.month {
            rehome(&mut vault, case.request);
        }
        let worked = work_off(&mut vault, case.request);
        assert!(worked.is_ok(), "{what}: {worked:?}");
        drop(vault);
        let mut vault = case.rig.start();
        turns(&mut vault);
        check(&case, &mut vault, true, &what);
        assert_eq!(
            view(&mut vault).requests[0].state,
            RequestState::Executed,
            "{what}: {worked:?}"
        );
        vault.stop();
        let keys = keys_on(&case.rig);
        assert!(
            case.leaves.iter().all(|leaf| !keys.tree.has_leaf(*leaf)),
            "{what}"
        );
    }
}

#[test]
fn k6_power_lost_at_any_step_of_an_erasure_leaves_it_done_or_not_done() {
    power_lost_at_every_step(false, 1);
}

#[test]
fn k6_power_lost_at_any_step_of_a_month_leaves_it_done_or_not_done() {
    power_lost_at_every_step(true, 3);
}
