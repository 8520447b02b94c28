//! Keys are cut only where the index can be made anew: with the whole journal.

use stele_device::sim::disk::SimDiskHandle;
use stele_format::statement::{Cut, Verb};
use stele_store::policy::approval::RequestState;
use stele_store::recovery::Postponed;
use stele_store::request::Refusal;
use stele_store::status::Alarm;

use crate::erase::keys_on;
use crate::support::steps::turns;
use crate::support::{Running, content, name};
use crate::world::{DAY_MS, census, founded, list, put, ripe, say, view, work_off};

fn is_postponed(vault: &Running) -> bool {
    let mut alarms = vault.engine.status().alarms.into_iter();
    alarms.any(|alarm| {
        matches!(
            alarm,
            Alarm::CutPostponed {
                why: Postponed::JournalAway
            }
        )
    })
}

/// The three disks that have the beginning of the journal are away while a list is worked off, and come back later; or a
/// blank disk takes the place of the first of them before.
fn keys_are_cut_once_it_is_whole(blank_first: bool) {
    let (mut rig, mut vault) = founded(7);
    vault.bucket("b", true);
    let doomed = put(&mut vault, &name("b", "doomed"), 1, 1_000, 1);
    let staying = put(&mut vault, &name("b", "staying"), 2, 600, 400);
    vault.sleep(3 * DAY_MS);
    let rows = census(&mut vault);
    let leaf = rows.iter().find(|row| row.version == doomed).unwrap().leaf;
    let erase = list(&mut vault, &[doomed], Cut::Leaves, false);
    let request = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, request, "oona").unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();

    let away = rig.disks_of(&rig.frames_of(true)[0]);
    assert_eq!(away.len(), 3);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    for disk in &away {
        rig.handles[*disk] = None;
    }
    let mut vault = rig.start();
    work_off(&mut vault, request).unwrap();
    assert!(!vault.engine.is_cut_wanted());
    for _ in 0..2 {
        drop(vault);
        rig.crash();
        vault = rig.start();
        assert!(vault.engine.status().takes_writes());
        assert!(is_postponed(&vault));
        assert!(!vault.engine.is_cut_wanted());
        let gone = vault.get(&name("b", "doomed"), Some(doomed), None);
        assert_eq!(gone.unwrap_err(), Refusal::NoSuchVersion);
        assert_eq!(view(&mut vault).requests[0].state, RequestState::Executing);
    }

    let mut all = all;
    let mut back = away[0];
    if blank_first {
        let fresh = SimDiskHandle::new(crate::support::DISK_BYTES, 77);
        vault.attach(Some(number(back)), &fresh).unwrap();
        vault.until("the blank disk takes part", |engine| engine.is_cut_wanted());
        drop(vault);
        rig.crash();
        rig.handles[back] = Some(fresh.clone());
        all[back] = fresh;
        vault = rig.start();
        assert!(vault.engine.status().takes_writes());
        assert!(is_postponed(&vault), "it has none of it");
        assert!(!vault.engine.is_cut_wanted(), "nor is that asked again");
        back = away[1];
    }
    vault.attach(Some(number(back)), &all[back]).unwrap();
    vault.until("it takes part", |engine| engine.is_cut_wanted());
    drop(vault);
    rig.crash();
    rig.handles = all.into_iter().map(Some).collect();
    let mut vault = rig.start();
    assert!(!is_postponed(&vault));
    turns(&mut vault);
    assert_eq!(view(&mut vault).requests[0].state, RequestState::Executed);
    let read = vault.get(&name("b", "staying"), Some(staying), None);
    assert_eq!(read.unwrap(), content(2, 600));
    vault.stop();
    rig.handles = rig
        .handles
        .into_iter()
        .enumerate()
        .map(|(disk, handle)| handle.filter(|_| disk == back || !away.contains(&disk)))
        .collect();
    assert!(!keys_on(&rig).tree.has_leaf(leaf));
}

fn number(disk: usize) -> u16 {
    u16::try_from(disk).unwrap() + 1
}

#[test]
fn keys_are_cut_once_the_whole_journal_is_on_disks_that_take_part() {
    keys_are_cut_once_it_is_whole(false);
}

#[test]
fn a_blank_disk_in_the_place_of_one_that_is_away_does_not_have_keys_cut() {
    keys_are_cut_once_it_is_whole(true);
}
