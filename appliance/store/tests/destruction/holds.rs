//! Holds that come and go beside a list that people signed: nothing goes in the shadow of a hold that was just
//! lifted, and a hold that a crash cut short is put on all of its list.

use std::sync::Arc;

use stele_format::digest::Digest;
use stele_format::record::Body;
use stele_format::statement::{Act, Cut, Hold, Kind, Nonce, ReleaseHold, Verb};
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use stele_store::policy::approval::Accepted;
use stele_store::policy::{Asker, Client, Grants, Kept, OwnerId, Quotas, Rate, Rights};
use stele_store::request::{Answer, Command, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, Running, name};
use crate::world::{
    DAY_MS, census, founded, list, person, put, request, ripe, say, state, tombstone, view,
    work_off,
};

const WEEK_MS: u64 = 7 * DAY_MS;

/// States a hold on a list, and puts it on nothing yet.
fn hold_case(vault: &mut Running, case: &[u8], versions: &[VersionId]) -> LogIndex {
    let listed = list(vault, versions, Cut::Leaves, false);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&view(vault).log_records.to_le_bytes());
    let kind = Kind::Hold(Hold {
        case: Digest::of(case),
        scope: listed.scope,
        count: listed.count,
        nonce: Nonce(nonce),
        by: person("anna"),
    });
    let (statement, accepted) = state(vault, kind, &["anna"]).unwrap();
    assert_eq!(accepted, Accepted::Held);
    statement
}

fn place(vault: &mut Running, statement: LogIndex, ordinal: u32) -> Result<(u32, bool), Refusal> {
    match vault.ask(Command::PlaceHolds { statement, ordinal })? {
        Answer::Held { versions, last } => Ok((versions, last)),
        other => panic!("unexpected {other:?}"),
    }
}

fn approved(vault: &mut Running, act: Act, by: &str) -> LogIndex {
    let asked = request(vault, act, by).unwrap();
    say(vault, Verb::Approve, asked, "anna").unwrap();
    say(vault, Verb::Approve, asked, "axel").unwrap();
    asked
}

/// A client with the right to it switches a hold.
fn switch(vault: &mut Running, object: &str, on: bool) {
    vault.asker = Some(Asker::Client(Arc::new(Client {
        key_id: "AKHOLDS".to_owned(),
        owner: OwnerId::new("").unwrap(),
        grants: Grants::all(),
        scopes: Vec::new(),
        quotas: Arc::new(Quotas::default()),
        rate: Rate::default(),
        special: Rights {
            hold_off: true,
            ..Rights::default()
        },
    })));
    let command = Command::SetHold {
        name: name("b", object),
        version: None,
        on,
    };
    vault.ask(command).unwrap();
    vault.asker = None;
}

fn held(vault: &mut Running) -> usize {
    census(vault).iter().filter(|row| row.lock.hold).count()
}

/// A list and the release of a hold on it may be signed side by side. The one is carried out at the moment of the
/// other, and its cooling-off starts anew for what was held: by a client, by a case that was put on its versions, and
/// by one that was only stated.
#[test]
fn a_list_rests_anew_for_versions_whose_hold_went() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let names = ["client", "placed", "stated", "free"];
    let versions: Vec<VersionId> = names
        .iter()
        .zip(0..)
        .map(|(object, seed)| put(&mut vault, &name("b", object), seed, 100, 1))
        .collect();
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &versions, Cut::Leaves, false);
    let erasure = approved(&mut vault, Act::Erase(erase), "oona");
    switch(&mut vault, "client", true);
    let statement = hold_case(&mut vault, b"placed", &versions[1..2]);
    assert_eq!(place(&mut vault, statement, 0), Ok((1, true)));
    hold_case(&mut vault, b"stated", &versions[2..3]);
    let releases: Vec<LogIndex> = view(&mut vault)
        .cases
        .iter()
        .map(|case| ReleaseHold {
            case: case.case,
            scope: case.scope,
            count: case.count,
        })
        .map(|release| approved(&mut vault, Act::ReleaseHold(release), "sara"))
        .collect();
    vault.sleep(WEEK_MS);
    for request in releases {
        say(&mut vault, Verb::Execute, request, "sara").unwrap();
        let cases = view(&mut vault).cases;
        assert!(cases.iter().any(|case| case.released.is_none()));
        let lift = Command::ReleaseHolds {
            request,
            ordinal: 0,
        };
        vault.ask(lift).unwrap();
    }
    let cases = view(&mut vault).cases;
    assert!(cases.iter().all(|case| case.released.is_some()));
    switch(&mut vault, "client", false);
    assert_eq!(held(&mut vault), 0);
    let went = view(&mut vault).now;
    say(&mut vault, Verb::Execute, erasure, "oona").unwrap();
    turns(&mut vault);
    // A start reads the same from the log.
    rig.clock_ms = view(&mut vault).now.get();
    drop(vault);
    let mut vault = rig.start();
    let first = tombstone(&mut vault, erasure, 0).unwrap();
    assert_eq!((first.destroyed, first.last), (0, false));
    let earliest = UnixMillis::new(went.get() + WEEK_MS - DAY_MS);
    let latest = UnixMillis::new(went.get() + WEEK_MS);
    assert_eq!(first.kept.len(), 3);
    for (_, why) in first.kept {
        let Kept::Unheld { until } = why else {
            panic!("kept for another reason: {why:?}")
        };
        assert!((earliest..=latest).contains(&until), "{until:?} {latest:?}");
    }
    let second = tombstone(&mut vault, erasure, 1).unwrap();
    assert_eq!((second.destroyed, second.kept.len()), (1, 0));
    drop(vault);
    // Whoever asks again has the rest behind them.
    let mut vault = rig.start();
    turns(&mut vault);
    let erase = list(&mut vault, &versions[..3], Cut::Leaves, false);
    let again = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, again, "oona").unwrap();
    assert_eq!(work_off(&mut vault, again), Ok((3, 0)));
    vault.stop();
}

/// A list that was executed and whose hold went so long ago that the whole rest is over goes at once.
#[test]
fn the_rest_after_a_hold_is_that_of_the_list_and_no_longer() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions = [
        put(&mut vault, &name("b", "early"), 1, 100, 1),
        put(&mut vault, &name("b", "late"), 2, 100, 1),
    ];
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &versions, Cut::Leaves, false);
    let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    switch(&mut vault, "early", true);
    switch(&mut vault, "early", false);
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    say(&mut vault, Verb::Approve, asked, "axel").unwrap();
    vault.sleep(DAY_MS);
    switch(&mut vault, "late", true);
    switch(&mut vault, "late", false);
    vault.sleep(6 * DAY_MS);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    let done = tombstone(&mut vault, asked, 0).unwrap();
    assert_eq!((done.destroyed, done.kept.len()), (1, 1));
    assert!(matches!(done.kept[0].1, Kept::Unheld { .. }));
    assert_eq!(done.kept[0].0.version, versions[1]);
    vault.stop();
}

fn enacted(rig: &Rig, of: LogIndex) -> usize {
    let records = rig.records().into_iter();
    records.filter(|body| *body == Body::Enacted(of)).count()
}

/// What a hold was not yet put on when the vault went down is known to the next start, until all of it is.
#[test]
fn a_hold_that_a_crash_cut_short_is_known_until_it_is_on_all_of_its_list() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..7_usize)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 100, 1))
        .collect();
    let statement = hold_case(&mut vault, b"case", &versions);
    assert_eq!(place(&mut vault, statement, 0), Ok((3, false)));
    // The end of the list says nothing while its middle is missing.
    let early = place(&mut vault, statement, 2);
    assert!(
        matches!(early, Err(Refusal::OutOfOrder { .. })),
        "{early:?}"
    );
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    assert_eq!(held(&mut vault), 3);
    assert!(!view(&mut vault).cases[0].placed);
    for (ordinal, done) in [(0, (0, false)), (1, (3, false)), (2, (1, true))] {
        assert_eq!(place(&mut vault, statement, ordinal), Ok(done));
    }
    assert!(view(&mut vault).cases[0].placed);
    // Asked again it says nothing a second time.
    assert_eq!(place(&mut vault, statement, 2), Ok((0, true)));
    drop(vault);
    let mut vault = rig.start();
    assert!(view(&mut vault).cases[0].placed);
    assert_eq!(held(&mut vault), 7);
    vault.stop();
    assert_eq!(enacted(&rig, statement), 1);
}

#[test]
fn of_a_long_hold_the_piece_that_is_missing_is_named() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..2_300_usize)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 10, 1))
        .collect();
    let statement = hold_case(&mut vault, b"case", &versions);
    // Pieces of three.
    let (last, missing) = (766, 700);
    for ordinal in (0..last).filter(|ordinal| *ordinal != missing) {
        assert_eq!(place(&mut vault, statement, ordinal), Ok((3, false)));
    }
    let early = place(&mut vault, statement, last);
    assert_eq!(early, Err(Refusal::OutOfOrder { ordinal: missing }));
    assert_eq!(place(&mut vault, statement, missing), Ok((3, false)));
    assert_eq!(place(&mut vault, statement, last), Ok((2, true)));
    assert_eq!(held(&mut vault), 2_300);
    assert!(view(&mut vault).cases[0].placed);
    vault.stop();
}
