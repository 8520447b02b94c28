//! Lists as the log has them, and months: what an auditor reads holds at every moment.

use stele_format::digest::Digest;
use stele_format::record::{Body, Scope, VersionRef, scope_digest};
use stele_format::statement::{Cut, Verb};
use stele_format::units::VersionId;
use stele_store::policy::Kept;
use stele_store::request::{Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{
    DAY_MS, census, founded, list, put, rehome, ripe, say, tombstone, view, work_off,
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
