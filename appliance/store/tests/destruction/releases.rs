//! Releases that are taken back while a list has the version: what is being destroyed stays gone.

use stele_format::statement::{Cut, Verb};
use stele_format::units::{LogIndex, VersionId};
use stele_store::policy::approval::RequestState;
use stele_store::request::{Command, ObjectName, Refusal};

use crate::support::{Rig, Running, name};
use crate::world::{DAY_MS, census, founded, list, put, ripe, say, tombstone, view, work_off};

fn release(vault: &mut Running, name: &ObjectName, version: VersionId) {
    let command = Command::Delete {
        name: name.clone(),
        version: Some(version),
        bypass: false,
    };
    vault.ask(command).unwrap();
}

fn undo(vault: &mut Running, name: &ObjectName, version: VersionId) -> Result<(), Refusal> {
    let name = name.clone();
    vault
        .ask(Command::Unrelease { name, version })
        .map(|_done| ())
}

/// Keys of one version each, all released, and a ripe request for all but the last.
fn doomed() -> (Rig, Running, Vec<(ObjectName, VersionId)>, LogIndex) {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let mut all = Vec::new();
    for seed in 0..5 {
        let object = name("b", &format!("o{seed}"));
        let version = put(&mut vault, &object, seed, 100, 1);
        all.push((object, version));
    }
    vault.sleep(3 * DAY_MS);
    for (object, version) in &all {
        release(&mut vault, object, *version);
    }
    let listed: Vec<VersionId> = all[..4].iter().map(|(_, version)| *version).collect();
    let erase = list(&mut vault, &listed, Cut::Leaves, false);
    let request = ripe(&mut vault, erase);
    (rig, vault, all, request)
}

#[test]
fn what_is_on_a_list_that_is_worked_off_does_not_come_back() {
    let (_rig, mut vault, all, request) = doomed();
    say(&mut vault, Verb::Execute, request, "oona").unwrap();
    let refused = Refusal::BeingDestroyed { request };
    for (object, version) in &all[..4] {
        let undone = undo(&mut vault, object, *version);
        assert_eq!(undone, Err(refused.clone()));
    }
    // What is on no list does.
    let (object, version) = &all[4];
    undo(&mut vault, object, *version).unwrap();
    // A list has three versions to the piece.
    tombstone(&mut vault, request, 0).unwrap();
    let gone = undo(&mut vault, &all[0].0, all[0].1);
    assert_eq!(gone, Err(Refusal::NoSuchVersion));
    let undone = undo(&mut vault, &all[3].0, all[3].1);
    assert_eq!(undone, Err(refused));
    work_off(&mut vault, request).unwrap();
    let left: Vec<VersionId> = census(&mut vault).iter().map(|row| row.version).collect();
    assert_eq!(left, [*version]);
}

#[test]
fn a_list_destroys_what_it_names_although_its_release_was_undone_and_a_veto_keeps_it() {
    for vetoed in [false, true] {
        let (_rig, mut vault, all, request) = doomed();
        let (object, version) = &all[0];
        undo(&mut vault, object, *version).unwrap();
        let (last, by) = match vetoed {
            true => (Verb::Veto, "sara"),
            false => (Verb::Execute, "oona"),
        };
        say(&mut vault, last, request, by).unwrap();
        let destroyed = work_off(&mut vault, request);
        let rows = census(&mut vault);
        let row = rows.iter().find(|row| row.version == *version);
        if vetoed {
            assert!(destroyed.is_err());
            assert_eq!(row.map(|row| row.released), Some(false));
        } else {
            assert_eq!(destroyed, Ok((4, 0)));
            assert_eq!(row, None);
        }
        let state = view(&mut vault).requests[0].state;
        assert_eq!(state == RequestState::Vetoed, vetoed, "{state:?}");
    }
}
