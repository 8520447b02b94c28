//! An approved list: gone from S3 and from the keys, and nothing else is.

use stele_device::disk::Disk;
use stele_device::keyprovider::KeyError;
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::keyprovider::SimCounter;
use stele_format::record::{Body, Scope, VersionRef};
use stele_format::statement::{Act, Cut, Verb};
use stele_format::units::{KeyIndex, Month, UnixMillis, VersionId};
use stele_store::keys::copies::{CopyState, KeyDisk, LoadError, Loaded, load};
use stele_store::keys::state::KeyState;
use stele_store::policy::approval::{Accepted, RequestState};
use stele_store::policy::{Kept, Mode};
use stele_store::recovery::read_label;
use stele_store::request::{Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, content, name};
use crate::world::{
    DAY_MS, census, founded, founded_in, list, put, put_as, rehome, request, ripe, say, tombstone,
    view, work_off,
};

/// The key state as the disks have it.
pub fn keys_on(rig: &Rig) -> KeyState {
    let loaded = copies_on(rig).unwrap();
    for copy in &loaded.copies {
        assert_eq!(copy.state, CopyState::Current, "{copy:?}");
    }
    loaded.state
}

fn copies_on(rig: &Rig) -> Result<Loaded, LoadError> {
    let mut disks: Vec<Box<dyn Disk>> = rig
        .handles
        .iter()
        .flatten()
        .map(|handle| Box::new(handle.open()) as Box<dyn Disk>)
        .collect();
    let labels: Vec<_> = disks
        .iter_mut()
        .map(|disk| read_label(&mut **disk).unwrap().fixed)
        .collect();
    let pool = labels[0].pool;
    let given = disks
        .iter_mut()
        .zip(&labels)
        .map(|(disk, label)| KeyDisk::new(&mut **disk, label.disk, &label.geometry));
    load(&rig.keys(), pool, given)
}

fn leaf_of(rows: &[stele_store::request::CensusRow], version: VersionId) -> KeyIndex {
    let row = rows.iter().find(|row| row.version == version);
    row.unwrap().leaf
}

#[test]
fn what_two_people_approved_is_gone_with_its_keys_and_its_neighbours_are_not() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    // Inline, in the data lane, and two versions of one name.
    let small = put(&mut vault, &name("b", "small"), 1, 1_000, 1);
    let large = put(&mut vault, &name("b", "large"), 2, 3 << 20, 1);
    let old = put(&mut vault, &name("b", "twice"), 3, 500, 1);
    let new = put(&mut vault, &name("b", "twice"), 4, 600, 1);
    let locked = put(&mut vault, &name("b", "locked"), 5, 700, 400);
    vault.sleep(3 * DAY_MS);
    let rows = census(&mut vault);
    assert_eq!(rows.len(), 5);
    let doomed = [small, large, old];
    let erase = list(&mut vault, &doomed, Cut::Leaves, false);
    assert_eq!(erase.bytes, 1_000 + (3 << 20) + 500);
    let request = ripe(&mut vault, erase);
    assert_eq!(
        say(&mut vault, Verb::Execute, request, "oona"),
        Ok(Accepted::Executed(request))
    );
    assert!(!vault.engine.is_cut_wanted());
    assert_eq!(work_off(&mut vault, request), Ok((3, 0)));
    assert!(vault.engine.is_cut_wanted());
    // Gone for everybody at once, its keys with the next start.
    assert_eq!(
        vault.get(&name("b", "small"), None, None).unwrap_err(),
        Refusal::NoSuchKey { marker: None }
    );
    let before = keys_on_a_copy(&rig);
    assert!(
        doomed
            .iter()
            .all(|version| before.tree.has_leaf(leaf_of(&rows, *version)))
    );
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    assert!(vault.report.index_rebuilt);
    assert_eq!(vault.report.unexplained_versions, 0);
    for object in ["small", "large"] {
        let gone = vault.get(&name("b", object), None, None).unwrap_err();
        assert_eq!(gone, Refusal::NoSuchKey { marker: None }, "{object}");
    }
    let gone = vault.get(&name("b", "twice"), Some(old), None);
    assert_eq!(gone.unwrap_err(), Refusal::NoSuchVersion);
    assert_eq!(
        vault.get(&name("b", "twice"), None, None).unwrap(),
        content(4, 600)
    );
    assert_eq!(
        vault.get(&name("b", "locked"), None, None).unwrap(),
        content(5, 700)
    );
    let left: Vec<VersionId> = census(&mut vault).iter().map(|row| row.version).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&new) && left.contains(&locked));
    turns(&mut vault);
    let state = |vault: &mut crate::support::Running| view(vault).requests[0].state;
    assert_eq!(state(&mut vault), RequestState::Executed);
    vault.stop();
    let after = keys_on(&rig);
    assert!(after.generation > before.generation);
    assert!(after.index_key.expose() != before.index_key.expose());
    for row in &rows {
        let kept = !doomed.contains(&row.version);
        assert_eq!(after.tree.has_leaf(row.leaf), kept, "{row:?}");
    }
    let destroyed = rig.records().into_iter().filter_map(|body| match body {
        Body::Destroyed(destroyed) => Some(destroyed),
        _ => None,
    });
    let destroyed: Vec<_> = destroyed.collect();
    assert_eq!(destroyed.len(), 1);
    assert_eq!(destroyed[0].request, request);
    // A clean stop writes one more, with the head of the log.
    let stated = destroyed[0].generation;
    assert!(before.generation < stated && stated < after.generation);
    assert_eq!(
        (destroyed[0].disks.len(), destroyed[0].absent.len()),
        (3, 0)
    );
    // Nothing is cut, and nothing made anew, by a start that has nothing to do.
    let mut vault = rig.start();
    assert!(!vault.report.index_rebuilt);
    assert_eq!(state(&mut vault), RequestState::Executed);
    assert_eq!(
        vault.get(&name("b", "locked"), None, None).unwrap(),
        content(5, 700)
    );
    vault.stop();
    assert!(keys_on(&rig).index_key.expose() == after.index_key.expose());
}

/// Without waiting for the disks to be let go.
fn keys_on_a_copy(rig: &Rig) -> KeyState {
    keys_on(rig)
}

#[test]
fn a_month_is_cut_as_a_whole_and_what_stays_has_later_keys_first() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let mut doomed = Vec::new();
    let mut staying = Vec::new();
    for number in 0..10_usize {
        let object = name("b", &format!("o{number}"));
        let version = put(&mut vault, &object, number, 100 + number * 40_000, 1);
        if number % 3 == 0 {
            staying.push((object, number, version));
        } else {
            doomed.push(version);
        }
    }
    vault
        .ask(Command::SetTags {
            name: staying[1].0.clone(),
            version: None,
            tags: vec![("kept".to_owned(), "yes".to_owned())],
        })
        .unwrap();
    let rows = census(&mut vault);
    let month = rows[0].leaf.parts().unwrap().month;
    assert!(
        rows.iter()
            .all(|row| row.leaf.parts().unwrap().month == month)
    );
    vault.sleep(40 * DAY_MS);
    let erase = list(&mut vault, &doomed, Cut::Month(month), false);
    let request = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, request, "otto").unwrap();
    assert_eq!(rehome(&mut vault, request), 4);
    // Again changes nothing.
    assert_eq!(rehome(&mut vault, request), 0);
    assert_eq!(work_off(&mut vault, request), Ok((6, 0)));
    drop(vault);
    rig.crash();
    let check = |rig: &mut Rig| {
        let mut vault = rig.start();
        assert_eq!(vault.report.unexplained_versions, 0);
        for (object, seed, version) in &staying {
            let expected = content(*seed, 100 + seed * 40_000);
            let read = vault.get(object, Some(*version), None).unwrap();
            assert!(read == expected, "{seed}");
        }
        let info = vault.ask(Command::Head {
            name: staying[1].0.clone(),
            version: None,
        });
        let stele_store::request::Answer::Object(info) = info.unwrap() else {
            panic!("no object")
        };
        assert_eq!(info.metadata.tags.len(), 1);
        assert_eq!(info.metadata.user, [("n".to_owned(), "3".to_owned())]);
        let rows = census(&mut vault);
        assert_eq!(rows.len(), 4);
        assert!(
            rows.iter()
                .all(|row| row.leaf.parts().unwrap().month > month)
        );
        vault.stop();
    };
    check(&mut rig);
    let keys = keys_on(&rig);
    // One hole for the whole month, or two, instead of one for each version.
    assert!(keys.tree.seed_count() < 40, "{}", keys.tree.seed_count());
    assert!(rows.iter().all(|row| !keys.tree.has_leaf(row.leaf)));
    // Also from the journal alone, where the first manifest of what stays does not open any more.
    for handle in rig.handles.iter().take(2).flatten() {
        let noise = vec![0x5a_u8; 64 << 10];
        (0..16).for_each(|part| handle.tamper((1 << 20) + (256 << 10) + part * (64 << 10), &noise));
    }
    check(&mut rig);
}

#[test]
fn a_month_that_is_not_over_is_not_cut() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.sleep(3 * DAY_MS);
    let later = view(&mut vault).now.get() + 40 * DAY_MS;
    let month = Month::of(UnixMillis::new(later)).unwrap();
    let erase = list(&mut vault, &[version], Cut::Month(month), false);
    let request = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, request, "oona").unwrap();
    assert_eq!(
        tombstone(&mut vault, request, 0),
        Err(Refusal::MonthNotOver)
    );
    vault.stop();
}

/// What is locked or held when the list is worked off stays, whoever signed; the rest of the list goes.
#[test]
fn what_was_locked_after_it_was_signed_is_kept_and_named() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let held = put(&mut vault, &name("b", "held"), 1, 100, 1);
    let extended = put(&mut vault, &name("b", "extended"), 2, 100, 1);
    let free = put(&mut vault, &name("b", "free"), 3, 100, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[held, extended, free], Cut::Leaves, false);
    let request = ripe(&mut vault, erase);
    vault
        .ask(Command::SetHold {
            name: name("b", "held"),
            version: Some(held),
            on: true,
        })
        .unwrap();
    let until = UnixMillis::new(view(&mut vault).now.get() + 9 * DAY_MS);
    vault
        .ask(Command::SetRetention {
            name: name("b", "extended"),
            version: Some(extended),
            retention: Some(stele_store::policy::Retention {
                mode: Mode::Compliance,
                until,
            }),
            bypass: false,
        })
        .unwrap();
    say(&mut vault, Verb::Execute, request, "oona").unwrap();
    let done = tombstone(&mut vault, request, 0).unwrap();
    assert_eq!((done.destroyed, done.last), (1, true));
    let kept: Vec<Kept> = done.kept.iter().map(|(_, why)| *why).collect();
    assert_eq!(kept, [Kept::Hold, Kept::Retained { until }]);
    assert_eq!(
        vault.get(&name("b", "held"), None, None).unwrap(),
        content(1, 100)
    );
    assert_eq!(
        vault.get(&name("b", "extended"), None, None).unwrap(),
        content(2, 100)
    );
    vault.get(&name("b", "free"), None, None).unwrap_err();
    vault.stop();
}

/// O6: COMPLIANCE retention and holds stand against the signatures of everybody.
#[test]
fn o6_nobody_together_destroys_what_compliance_or_a_hold_keeps() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let locked = put(&mut vault, &name("b", "locked"), 1, 100, 30);
    let govern = name("b", "govern");
    let governance = put_as(&mut vault, &govern, 2, 100, Some((Mode::Governance, 30)));
    let held = put(&mut vault, &name("b", "held"), 3, 100, 1);
    vault
        .ask(Command::SetHold {
            name: name("b", "held"),
            version: None,
            on: true,
        })
        .unwrap();
    vault.sleep(3 * DAY_MS);
    for (version, early, refused) in [
        (locked, false, true),
        (locked, true, true),
        (held, false, true),
        (held, true, true),
        (governance, false, true),
        (governance, true, false),
    ] {
        let erase = list(&mut vault, &[version], Cut::Leaves, early);
        let asked = request(&mut vault, Act::Erase(erase), "oona");
        let is_refused = matches!(
            asked,
            Err(Refusal::ScopeKept { .. } | Refusal::Statement(_))
        );
        assert_eq!(is_refused, refused, "{version:?} {early}: {asked:?}");
    }
    vault.stop();
}

#[test]
fn an_early_end_of_governance_needs_an_officer_too() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let govern = name("b", "govern");
    let version = put_as(&mut vault, &govern, 2, 100, Some((Mode::Governance, 300)));
    let erase = list(&mut vault, &[version], Cut::Leaves, true);
    let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    for (who, accepted) in [
        ("anna", Accepted::Supported(asked)),
        ("axel", Accepted::Supported(asked)),
        ("sara", Accepted::Approved(asked)),
    ] {
        assert_eq!(say(&mut vault, Verb::Approve, asked, who), Ok(accepted));
    }
    vault.sleep(7 * DAY_MS);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    drop(vault);
    let mut vault = rig.start();
    vault.get(&govern, None, None).unwrap_err();
    vault.stop();
}

#[test]
fn nothing_is_destroyed_without_an_executed_request_or_twice() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let refused = |done: Result<_, Refusal>| matches!(done, Err(Refusal::Statement(_)));
    let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    assert!(refused(tombstone(&mut vault, asked, 0)));
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    say(&mut vault, Verb::Approve, asked, "axel").unwrap();
    assert!(refused(tombstone(&mut vault, asked, 0)));
    vault.sleep(7 * DAY_MS);
    assert!(refused(tombstone(&mut vault, asked, 0)));
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    let first = tombstone(&mut vault, asked, 0).unwrap();
    assert_eq!((first.destroyed, first.last), (1, true));
    // Asked again it changes nothing.
    let again = tombstone(&mut vault, asked, 0).unwrap();
    assert_eq!((again.destroyed, again.last), (0, true));
    assert_eq!(tombstone(&mut vault, asked, 1), Err(Refusal::BadScope));
    vault.stop();
}

#[test]
fn a_wall_clock_that_left_suspends_destruction() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    vault.wall_jumps(30 * DAY_MS);
    assert_eq!(tombstone(&mut vault, asked, 0), Err(Refusal::ClockSuspends));
    assert_eq!(
        vault.get(&name("b", "o"), None, None).unwrap(),
        content(1, 100)
    );
    vault.stop();
}

/// K1: every byte the disks ever held is put back, and the keys do not come back with them.
#[test]
fn k1_of_an_anchored_vault_no_earlier_disk_opens_anything_again() {
    let counter = SimCounter::new(5);
    let rig = Rig::create_on(&[crate::support::DISK_BYTES; 3], Some(counter.clone()));
    let (mut rig, mut vault) = founded_in(rig);
    vault.bucket("b", true);
    let doomed = put(&mut vault, &name("b", "doomed"), 1, 900_000, 1);
    put(&mut vault, &name("b", "kept"), 2, 1_000, 400);
    vault.sleep(3 * DAY_MS);
    let leaf = leaf_of(&census(&mut vault), doomed);
    let erase = list(&mut vault, &[doomed], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let disks: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let earlier: Vec<_> = disks.iter().map(SimDiskHandle::snapshot).collect();
    assert!(keys_on(&rig).tree.has_leaf(leaf));
    let stood = counter.value();
    let mut vault = rig.start();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(
        vault.get(&name("b", "kept"), None, None).unwrap(),
        content(2, 1_000)
    );
    vault.stop();
    assert!(!keys_on(&rig).tree.has_leaf(leaf));
    let destroyed = rig.records().into_iter().find_map(|body| match body {
        Body::Destroyed(destroyed) => Some(destroyed),
        _ => None,
    });
    let anchor = destroyed.unwrap().anchor.unwrap();
    assert!(stood < anchor && anchor <= counter.value());
    for (disk, was) in disks.iter().zip(&earlier) {
        disk.restore(was);
    }
    match copies_on(&rig) {
        Err(LoadError::Shut { error, .. }) => assert_eq!(error, KeyError::Superseded),
        other => panic!("the old disks open: {other:?}"),
    }
    assert!(rig.try_start().is_err());
}

/// A disk that was away while keys were cut has old ones; it is given the new state before anything else.
#[test]
fn a_disk_that_was_away_is_named_and_gets_the_new_key_state_when_it_is_back() {
    let (mut rig, mut vault) = founded(4);
    vault.bucket("b", true);
    let doomed = put(&mut vault, &name("b", "doomed"), 1, 900_000, 1);
    vault.sleep(3 * DAY_MS);
    let leaf = leaf_of(&census(&mut vault), doomed);
    let erase = list(&mut vault, &[doomed], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let away = rig.handles[3].take();
    let mut vault = rig.start();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    vault.stop();
    let destroyed = rig.records().into_iter().find_map(|body| match body {
        Body::Destroyed(destroyed) => Some(destroyed),
        _ => None,
    });
    let destroyed = destroyed.unwrap();
    assert_eq!((destroyed.disks.len(), destroyed.absent.len()), (3, 1));
    rig.handles[3] = away;
    let mut vault = rig.start();
    let handle = rig.handles[3].clone().unwrap();
    vault.attach(Some(4), &handle).unwrap();
    vault.until("it is filled", |engine| {
        engine.status().disks[3].state == stele_store::pool::MemberState::Active
            && engine.status().heal.fill.is_none()
    });
    vault.stop();
    assert!(!keys_on(&rig).tree.has_leaf(leaf));
}

/// The parts an object was made of have keys of their own, also those that were replaced.
#[test]
fn a_multipart_object_takes_the_keys_of_its_parts_along() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let object = name("b", "parts");
    let upload = crate::world::upload(&mut vault, &object);
    let first = 5 << 20;
    crate::world::part(&mut vault, &object, upload, 1, 1, first);
    let etags = [
        crate::world::part(&mut vault, &object, upload, 1, 2, first),
        crate::world::part(&mut vault, &object, upload, 2, 3, 1_000),
    ];
    let before = rig.keyed_records();
    let version = crate::world::complete(&mut vault, &object, upload, &etags);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    drop(vault);
    let mut vault = rig.start();
    assert_eq!(vault.report.unexplained_versions, 0);
    turns(&mut vault);
    vault.stop();
    // Upload, three parts, and the object itself.
    let keyed = rig.keyed_records();
    assert_eq!((before.len(), keyed.len()), (4, 5));
    let keys = keys_on(&rig);
    assert!(
        keyed.iter().all(|leaf| !keys.tree.has_leaf(*leaf)),
        "{keyed:?}"
    );
}

/// A list is what was signed: no piece of it is replaced, added, left out or taken out of order.
#[test]
fn a_recorded_list_cannot_become_another_one() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..8_usize)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 100, 1))
        .collect();
    vault.sleep(3 * DAY_MS);
    // Five versions in pieces of three.
    let erase = list(&mut vault, &versions[..5], Cut::Leaves, false);
    let digest = erase.scope;
    let rows = census(&mut vault);
    let other: Vec<VersionRef> = rows
        .iter()
        .filter(|row| row.version == versions[7])
        .map(|row| VersionRef {
            object: row.object,
            version: row.version,
        })
        .collect();
    for (ordinal, pieces) in [(0, 2), (1, 2), (0, 1), (2, 3), (7, 8)] {
        let scope = Scope {
            digest,
            ordinal,
            pieces,
            entries: other.clone(),
        };
        let refused = vault.ask(Command::PutScope(scope)).map(|_| ());
        assert_eq!(refused, Err(Refusal::BadScope), "{ordinal} of {pieces}");
    }
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(
        tombstone(&mut vault, asked, 1),
        Err(Refusal::OutOfOrder { ordinal: 0 })
    );
    assert_eq!(tombstone(&mut vault, asked, 0).unwrap().destroyed, 3);
    // A start in the middle cuts nothing and ends nothing.
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(view(&mut vault).requests[0].state, RequestState::Executing);
    assert!(!vault.engine.is_cut_wanted());
    assert_eq!(tombstone(&mut vault, asked, 1).unwrap().destroyed, 2);
    assert!(vault.engine.is_cut_wanted());
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(view(&mut vault).requests[0].state, RequestState::Executed);
    vault.stop();
    let keys = keys_on(&rig);
    for row in &rows {
        let kept = !versions[..5].contains(&row.version);
        assert_eq!(keys.tree.has_leaf(row.leaf), kept, "{row:?}");
    }
}

/// What had its manifest sealed again takes the earlier key along when it is destroyed itself.
#[test]
fn a_version_with_a_later_key_takes_its_first_one_along() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let held = put(&mut vault, &name("b", "held"), 1, 100, 1);
    let listed = put(&mut vault, &name("b", "listed"), 2, 100, 1);
    let staying = put(&mut vault, &name("b", "staying"), 3, 100, 1);
    let rows = census(&mut vault);
    let month = leaf_of(&rows, held).parts().unwrap().month;
    vault.sleep(40 * DAY_MS);
    let erase = list(&mut vault, &[held, listed], Cut::Month(month), false);
    let asked = ripe(&mut vault, erase);
    let hold = Command::SetHold {
        name: name("b", "held"),
        version: None,
        on: true,
    };
    vault.ask(hold).unwrap();
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    // What is held now stays although it is on the list.
    assert_eq!(rehome(&mut vault, asked), 2);
    assert_eq!(work_off(&mut vault, asked), Ok((1, 1)));
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(
        vault.get(&name("b", "held"), None, None).unwrap(),
        content(1, 100)
    );
    let erase = list(&mut vault, &[staying], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(
        vault.get(&name("b", "held"), None, None).unwrap(),
        content(1, 100)
    );
    vault.stop();
    let keys = keys_on(&rig);
    assert!(!keys.tree.has_leaf(leaf_of(&rows, held)));
    assert!(!keys.tree.has_leaf(leaf_of(&rows, listed)));
    assert!(!keys.tree.has_leaf(leaf_of(&rows, staying)));
}
