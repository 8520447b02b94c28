//! Lists as the log has them, and months: what an auditor reads holds at every moment.

use stele_format::digest::Digest;
use stele_format::record::{Body, Scope, VersionRef, scope_digest};
use stele_format::statement::{Act, Cut, Erase, Verb};
use stele_format::units::VersionId;
use stele_store::policy::Kept;
use stele_store::request::{Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{
    DAY_MS, census, founded, list, put, rehome, request, ripe, say, tombstone, view, work_off,
};

/// Entries of so many new versions, in the order of lists.
fn entries(vault: &mut Running, count: usize) -> Vec<VersionRef> {
    for seed in 0..count {
        put(vault, &name("b", &format!("o{seed}")), seed, 100, 1);
    }
    let mut rows = census(vault);
    rows.sort_by_key(|row| row.version.ordinal());
    let entry = |row: &stele_store::request::CensusRow| VersionRef {
        object: row.object,
        version: row.version,
    };
    rows.iter().map(entry).collect()
}

fn record(
    vault: &mut Running,
    (digest, entries): (Digest, &[VersionRef]),
    (ordinal, pieces): (u32, u32),
) -> Result<(), Refusal> {
    let scope = Scope {
        digest,
        ordinal,
        pieces,
        entries: entries.to_vec(),
    };
    vault.ask(Command::PutScope(scope)).map(drop)
}

#[test]
fn a_list_is_recorded_in_order_and_only_as_what_its_digest_says() {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let all = entries(&mut vault, 4);
    let digest = scope_digest(&all);
    let early = record(&mut vault, (digest, &all[2..]), (1, 2));
    assert_eq!(early, Err(Refusal::OutOfOrder { ordinal: 0 }));
    record(&mut vault, (digest, &all[..2]), (0, 2)).unwrap();
    for wrong in [&all[3..], &all[1..]] {
        let refused = record(&mut vault, (digest, wrong), (1, 2));
        assert_eq!(refused, Err(Refusal::BadScope));
    }
    record(&mut vault, (digest, &all[2..]), (1, 2)).unwrap();
    // Again changes nothing.
    record(&mut vault, (digest, &all[..2]), (0, 2)).unwrap();
    let foreign = Digest::of(b"another list");
    let refused = record(&mut vault, (foreign, &all), (0, 1));
    assert_eq!(refused, Err(Refusal::BadScope));
    vault.stop();
    let lists = rig.records().into_iter().filter_map(|body| match body {
        Body::Scope(scope) => Some((scope.digest, scope.ordinal)),
        _ => None,
    });
    let lists: Vec<_> = lists.collect();
    assert_eq!(lists, [(digest, 0), (digest, 1), (digest, 0)]);
}

/// Versions of a month that is over, and a request for some of them that is ripe.
fn month(rig: (Rig, Running), staying: usize) -> (Rig, Running, Vec<VersionId>, Cut) {
    let (rig, mut vault) = rig;
    vault.bucket("b", true);
    let all = entries(&mut vault, 6);
    let doomed = all[staying..].iter().map(|entry| entry.version).collect();
    let rows = census(&mut vault);
    let cut = Cut::Month(rows[0].leaf.parts().unwrap().month);
    vault.sleep(40 * DAY_MS);
    (rig, vault, doomed, cut)
}

/// The leaves of the month that versions have.
fn left_in(vault: &mut Running, cut: Cut) -> usize {
    let rows = census(vault);
    let in_month = |row: &&stele_store::request::CensusRow| {
        row.leaf.parts().map(|leaf| Cut::Month(leaf.month)) == Some(cut)
    };
    rows.iter().filter(in_month).count()
}

#[test]
fn the_last_piece_of_a_month_waits_until_what_stays_has_later_keys() {
    let (mut rig, mut vault, doomed, cut) = month(founded(3), 2);
    let erase = list(&mut vault, &doomed, cut, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    // Four versions in pieces of three.
    assert_eq!(tombstone(&mut vault, asked, 0).unwrap().destroyed, 3);
    assert_eq!(
        tombstone(&mut vault, asked, 1),
        Err(Refusal::MonthLives),
        "nothing was moved"
    );
    assert_eq!(rehome(&mut vault, asked), 2);
    // A start knows of no pass.
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    assert_eq!(tombstone(&mut vault, asked, 1), Err(Refusal::MonthLives));
    assert_eq!(rehome(&mut vault, asked), 0);
    let done = tombstone(&mut vault, asked, 1).unwrap();
    assert_eq!((done.destroyed, done.last), (1, true));
    assert_eq!(left_in(&mut vault, cut), 0);
    vault.stop();
}

#[test]
fn what_is_kept_of_a_list_gets_later_keys_before_its_month_is_cut() {
    let (mut rig, mut vault, doomed, cut) = month(founded(3), 2);
    let erase = list(&mut vault, &doomed, cut, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(rehome(&mut vault, asked), 2);
    // One of the first piece is held, and one of the last.
    for object in ["o2", "o5"] {
        let hold = Command::SetHold {
            name: name("b", object),
            version: None,
            on: true,
        };
        vault.ask(hold).unwrap();
    }
    let first = tombstone(&mut vault, asked, 0).unwrap();
    assert_eq!(first.destroyed, 2);
    assert_eq!(first.kept[0].1, Kept::Hold);
    assert_eq!(tombstone(&mut vault, asked, 1), Err(Refusal::MonthLives));
    assert_eq!(rehome(&mut vault, asked), 2);
    assert_eq!(work_off(&mut vault, asked), Ok((0, 1)));
    assert_eq!(left_in(&mut vault, cut), 0);
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    for (object, seed) in [("o0", 0), ("o1", 1), ("o2", 2), ("o5", 5)] {
        let read = vault.get(&name("b", object), None, None);
        assert_eq!(read.unwrap(), content(seed, 100), "{object}");
    }
    assert!(vault.get(&name("b", "o3"), None, None).is_err());
    vault.stop();
}

/// More versions than are looked at in one go.
const MANY: usize = 2_300;

#[test]
fn of_a_long_list_every_version_is_judged_before_people_are_asked() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let days = |seed| if seed == MANY - 100 { 400 } else { 1 };
    let versions: Vec<VersionId> = (0..MANY)
        .map(|seed| {
            put(
                &mut vault,
                &name("b", &format!("o{seed}")),
                seed,
                10,
                days(seed),
            )
        })
        .collect();
    vault.sleep(3 * DAY_MS);
    let locked = versions[MANY - 100];
    let erase = list(&mut vault, &versions, Cut::Leaves, false);
    let refused = request(&mut vault, Act::Erase(erase), "oona");
    let kept =
        matches!(refused, Err(Refusal::ScopeKept { record, .. }) if record == locked.ordinal());
    assert!(kept, "{refused:?}");
    let rest: Vec<VersionId> = versions.into_iter().filter(|one| *one != locked).collect();
    let erase = list(&mut vault, &rest, Cut::Leaves, false);
    let other = Erase {
        bytes: erase.bytes + 1,
        ..erase.clone()
    };
    let differs = request(&mut vault, Act::Erase(other), "oona");
    assert_eq!(differs, Err(Refusal::ScopeDiffers));
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    let destroyed = u32::try_from(rest.len()).unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((destroyed, 0)));
    let left = census(&mut vault);
    assert_eq!(
        left.iter().map(|row| row.version).collect::<Vec<_>>(),
        [locked]
    );
    vault.stop();
}

/// Each request fits the key state, and both together do not.
#[test]
fn leaves_that_are_to_be_cut_count_until_they_are() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..7_000)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 0, 1))
        .collect();
    vault.sleep(3 * DAY_MS);
    let (first, second) = versions.split_at(3_500);
    let ask = |vault: &mut Running, versions| {
        let erase = list(vault, versions, Cut::Leaves, false);
        let asked = ripe(vault, erase);
        say(vault, Verb::Execute, asked, "oona").unwrap();
        asked
    };
    let (first, second) = (ask(&mut vault, first), ask(&mut vault, second));
    assert_eq!(work_off(&mut vault, first), Ok((3_500, 0)));
    assert_eq!(work_off(&mut vault, second), Err(Refusal::KeyStateFull));
    // The start cuts the ones that wait for it.
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    turns(&mut vault);
    assert_eq!(work_off(&mut vault, second), Ok((3_500, 0)));
    vault.stop();
}
