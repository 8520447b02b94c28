//! What approved requests do beside destruction: holds by case, rights of clients, defaults, the clock.

use std::sync::Arc;

use stele_format::digest::Digest;
use stele_format::record::{Body, ClockEventKind};
use stele_format::statement::{
    Act, BucketDefault, ClientKey, Cut, DefaultMode, DefaultPeriod, GrantRights, Hold, Kind, Nonce,
    ReleaseHold, Second, SpecialRights, Verb,
};
use stele_format::units::{LogIndex, UnixMillis, VersionId};
use stele_store::policy::approval::{Accepted, RequestState, StatementRefusal};
use stele_store::policy::{Asker, Client, Grants, Mode, OwnerId, Period, Quotas, Rate, Rights};
use stele_store::recovery::CreateParams;
use stele_store::request::{Answer, Command, ObjectName, Refusal};

use crate::support::steps::turns;
use crate::support::{DISK_BYTES, PARAMS, Rig, Running, name};
use crate::world::{
    DAY_MS, census, founded, founded_in, list, person, put, put_as, request, say, state, view,
};

const WEEK_MS: u64 = 7 * DAY_MS;

fn one_time(vault: &mut Running) -> Nonce<16> {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&view(vault).log_records.to_le_bytes());
    Nonce(nonce)
}

fn place(vault: &mut Running, case: &str, versions: &[VersionId], by: &str) -> LogIndex {
    let erase = list(vault, versions, Cut::Leaves, false);
    let kind = Kind::Hold(Hold {
        case: Digest::of(case.as_bytes()),
        scope: erase.scope,
        count: erase.count,
        nonce: one_time(vault),
        by: person(by),
    });
    let (statement, accepted) = state(vault, kind, &[by]).unwrap();
    assert_eq!(accepted, Accepted::Held);
    work(vault, |ordinal| Command::PlaceHolds { statement, ordinal });
    statement
}

/// Works off the pieces of a list of holds; how many versions changed.
fn work(vault: &mut Running, command: impl Fn(u32) -> Command) -> u32 {
    let mut changed = 0;
    for ordinal in 0.. {
        match vault.ask(command(ordinal)).unwrap() {
            Answer::Held { versions, last } => {
                changed += versions;
                if last {
                    break;
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    changed
}

fn held(vault: &mut Running) -> Vec<VersionId> {
    let rows = census(vault).into_iter();
    rows.filter(|row| row.lock.hold)
        .map(|row| row.version)
        .collect()
}

/// Approved, rested and executed.
fn execute(vault: &mut Running, act: Act) -> LogIndex {
    let asked = request(vault, act, "sara").unwrap();
    if say(vault, Verb::Approve, asked, "anna") == Ok(Accepted::Supported(asked)) {
        say(vault, Verb::Approve, asked, "axel").unwrap();
    }
    vault.sleep(WEEK_MS);
    assert_eq!(
        say(vault, Verb::Execute, asked, "sara"),
        Ok(Accepted::Executed(asked))
    );
    turns(vault);
    asked
}

#[test]
fn holds_of_a_case_are_lifted_by_two_people_and_not_where_another_case_holds() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..8_usize)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 100, 1))
        .collect();
    place(&mut vault, "first", &versions[..6], "oona");
    place(&mut vault, "second", &versions[4..], "anna");
    assert_eq!(held(&mut vault).len(), 8);
    drop(vault);
    let mut vault = rig.start();
    assert_eq!(held(&mut vault).len(), 8);
    let cases = view(&mut vault).cases;
    let counts: Vec<(u64, bool)> = cases
        .iter()
        .map(|case| (case.count, case.released.is_some()))
        .collect();
    assert_eq!(counts, [(6, false), (4, false)]);
    let release = ReleaseHold {
        case: cases[0].case,
        scope: cases[0].scope,
        count: cases[0].count,
    };
    // Nobody lifts them without the request.
    let lift = |request| move |ordinal| Command::ReleaseHolds { request, ordinal };
    let asked = request(&mut vault, Act::ReleaseHold(release.clone()), "sara").unwrap();
    for early in [
        vault.ask(lift(asked)(0)).map(|_| ()),
        vault.ask(lift(cases[0].statement)(0)).map(|_| ()),
    ] {
        assert!(matches!(early, Err(Refusal::Statement(_))), "{early:?}");
    }
    say(&mut vault, Verb::Veto, asked, "sven").unwrap();
    let asked = execute(&mut vault, Act::ReleaseHold(release));
    assert_eq!(held(&mut vault).len(), 8);
    assert_eq!(work(&mut vault, lift(asked)), 4);
    let still = held(&mut vault);
    assert_eq!(still.len(), 4);
    assert!(versions[4..].iter().all(|version| still.contains(version)));
    turns(&mut vault);
    // It is done once, also after a start.
    drop(vault);
    let mut vault = rig.start();
    let again = vault.ask(lift(asked)(0)).map(|_| ());
    assert!(matches!(again, Err(Refusal::Statement(_))), "{again:?}");
    let cases = view(&mut vault).cases;
    assert!(cases[0].released.is_some() && cases[1].released.is_none());
    vault.stop();
}

fn client(key_id: &str) -> Asker {
    Asker::Client(Arc::new(Client {
        key_id: key_id.to_owned(),
        owner: OwnerId::new("").unwrap(),
        grants: Grants::all(),
        scopes: Vec::new(),
        quotas: Arc::new(Quotas::default()),
        rate: Rate::default(),
        special: Rights::default(),
    }))
}

#[test]
fn a_granted_right_works_for_its_key_and_its_time_alone() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let [first, second] = ["first", "second"].map(|key| {
        let object = name("b", key);
        let version = put_as(&mut vault, &object, 1, 100, Some((Mode::Governance, 300)));
        (object, version)
    });
    let until = UnixMillis::new(view(&mut vault).now.get() + 20 * DAY_MS);
    execute(
        &mut vault,
        Act::Grant(GrantRights {
            client: ClientKey::new("AKGRANTED").unwrap(),
            rights: SpecialRights {
                hold_off: false,
                governance_bypass: true,
                lock_admin: false,
            },
            until: Second::not_before(until).unwrap(),
        }),
    );
    drop(vault);
    let mut vault = rig.start();
    let delete = |(object, version): &(ObjectName, VersionId)| Command::Delete {
        name: object.clone(),
        version: Some(*version),
        bypass: true,
    };
    vault.asker = Some(client("AKOTHER"));
    assert!(vault.ask(delete(&first)).is_err());
    vault.asker = Some(client("AKGRANTED"));
    assert!(vault.ask(delete(&first)).is_ok(), "within its time");
    vault.asker = None;
    // What is allowed must be in the log before the end, so the last minute counts no more.
    let left = until.get() - view(&mut vault).now.get();
    for ms in [left - 30_000, 20 * DAY_MS] {
        vault.asker = None;
        turns(&mut vault);
        vault.sleep(ms);
        vault.asker = Some(client("AKGRANTED"));
        assert!(vault.ask(delete(&second)).is_err(), "its time is over");
    }
    vault.stop();
}

#[test]
fn a_bucket_default_is_lowered_by_two_people_and_what_is_stored_keeps_its_lock() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", false);
    let stored = put_as(&mut vault, &name("b", "o"), 1, 100, None);
    let info = |vault: &mut Running| match vault.ask(Command::HeadBucket { name: "b".into() }) {
        Ok(Answer::Bucket(info)) => info,
        other => panic!("unexpected {other:?}"),
    };
    let before = info(&mut vault);
    let lock = census(&mut vault)[0].lock;
    let default = BucketDefault::Period(DefaultMode::Governance, DefaultPeriod::Days(2));
    execute(
        &mut vault,
        Act::LowerDefault {
            bucket: before.id,
            default,
        },
    );
    let check = |vault: &mut Running| {
        let lowered = Some((Mode::Governance, Period::Days(2)));
        assert_eq!(info(vault).default, lowered);
        let rows = census(vault);
        assert_eq!((rows[0].version, rows[0].lock), (stored, lock));
    };
    check(&mut vault);
    drop(vault);
    let mut vault = rig.start();
    check(&mut vault);
    vault.stop();
}

#[test]
fn two_people_set_compliance_time_forward_to_the_wall_clock_and_no_further() {
    let (mut rig, mut vault) = founded(3);
    // The box was off for three days, which is less than the request rests.
    vault.wall_jumps(3 * DAY_MS);
    turns(&mut vault);
    let now = view(&mut vault);
    assert!(now.time.wall_alarm);
    let too_far = Act::Clock {
        by_hours: 3 * 24 + 2,
    };
    match request(&mut vault, too_far, "sara") {
        Err(Refusal::Statement(refusal)) => assert_eq!(*refusal, StatementRefusal::ClockTime),
        other => panic!("unexpected {other:?}"),
    }
    // Both go on while the request rests, and the hour begun is not gone beyond the wall clock.
    execute(&mut vault, Act::Clock { by_hours: 3 * 24 });
    let after = view(&mut vault);
    assert!(after.now.get() > now.now.get() + 9 * DAY_MS);
    assert!(after.now.get().abs_diff(vault.now.wall.get()) < 1_000);
    assert!(!after.time.wall_alarm);
    turns(&mut vault);
    vault.stop();
    let kinds: Vec<ClockEventKind> = rig
        .records()
        .into_iter()
        .filter_map(|body| match body {
            Body::Clock(event) => Some(event.kind),
            _ => None,
        })
        .collect();
    assert_eq!(
        kinds[..2],
        [ClockEventKind::WallLeft, ClockEventKind::Corrected]
    );
    rig.clock_ms = after.now.get();
    let mut vault = rig.start();
    assert!(view(&mut vault).now >= after.now);
    vault.stop();
}

#[test]
fn a_simulated_clock_is_set_forward_and_keeps_what_it_was_told() {
    let params = CreateParams {
        simulated_clock: true,
        ..PARAMS
    };
    let rig = Rig::create_as(&params, &[DISK_BYTES; 3], None);
    let (mut rig, mut vault) = founded_in(rig);
    let before = view(&mut vault).now.get();
    let by_ms = 400 * DAY_MS;
    vault.ask(Command::AdvanceClock { by_ms }).unwrap();
    vault.wall_jumps(by_ms);
    let after = view(&mut vault).now.get();
    assert!(after >= before + by_ms);
    let too_far = vault.ask(Command::AdvanceClock { by_ms: u64::MAX });
    assert!(matches!(too_far, Err(Refusal::ClockTooFar)));
    drop(vault);
    rig.crash();
    rig.clock_ms = after;
    let mut vault = rig.start();
    assert!(view(&mut vault).now.get() >= before + by_ms);
    vault.stop();
}

/// The effect of a request that a crash cut short is made up by the next start, once.
#[test]
fn an_executed_request_takes_effect_over_a_crash() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", false);
    let id = match vault.ask(Command::HeadBucket { name: "b".into() }) {
        Ok(Answer::Bucket(info)) => info.id,
        other => panic!("unexpected {other:?}"),
    };
    let act = Act::LowerDefault {
        bucket: id,
        default: BucketDefault::None,
    };
    let asked = request(&mut vault, act, "sara").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    vault.sleep(WEEK_MS);
    // The statement is durable, and nothing after it.
    say(&mut vault, Verb::Execute, asked, "sara").unwrap();
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    turns(&mut vault);
    let request = view(&mut vault).requests.pop().unwrap();
    assert_eq!(request.state, RequestState::Executed);
    let Ok(Answer::Bucket(info)) = vault.ask(Command::HeadBucket { name: "b".into() }) else {
        panic!("no bucket")
    };
    assert_eq!(info.default, None);
    vault.stop();
    let enacted = |rig: &Rig| {
        let records = rig.records().into_iter();
        records
            .filter(|body| matches!(body, Body::Enacted(_)))
            .count()
    };
    assert_eq!(enacted(&rig), 1);
    rig.start().stop();
    assert_eq!(enacted(&rig), 1);
}

/// A hold counts from the moment it is stated, before it was put on the versions of its list.
#[test]
fn a_stated_hold_keeps_what_is_not_yet_put_under_it() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let asked = crate::world::ripe(&mut vault, erase.clone());
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    let kind = Kind::Hold(Hold {
        case: Digest::of(b"case"),
        scope: erase.scope,
        count: 1,
        nonce: one_time(&mut vault),
        by: person("sara"),
    });
    state(&mut vault, kind, &["sara"]).unwrap();
    let done = crate::world::tombstone(&mut vault, asked, 0).unwrap();
    assert_eq!(done.destroyed, 0);
    assert_eq!(done.kept[0].1, stele_store::policy::Kept::Hold);
    vault.stop();
}

/// Two lists of one case are two holds: releasing the one leaves the other.
#[test]
fn releasing_one_list_of_a_case_leaves_what_another_list_of_it_holds() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..3_usize)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 100, 1))
        .collect();
    place(&mut vault, "case", &versions[..2], "oona");
    place(&mut vault, "case", &versions[1..], "oona");
    let cases = view(&mut vault).cases;
    let asked = execute(
        &mut vault,
        Act::ReleaseHold(ReleaseHold {
            case: cases[0].case,
            scope: cases[0].scope,
            count: cases[0].count,
        }),
    );
    let request = asked;
    assert_eq!(
        work(&mut vault, |ordinal| Command::ReleaseHolds {
            request,
            ordinal
        }),
        1
    );
    let mut still = held(&mut vault);
    still.sort_by_key(|version| version.ordinal());
    assert_eq!(still, versions[1..]);
    vault.stop();
}
