//! People over the real engine: what is judged is what is recorded, and a start folds the log to what it was. And
//! the attacks that go by way of people.

use stele_format::digest::Digest;
use stele_format::record::{Attempted, Body};
use stele_format::sshsig::PublicKey;
use stele_format::statement::{
    Act, Answer as Said, Cut, Erase, Head, Hold, Kind, Nonce, Request, Role, Statement, Verb,
};
use stele_format::units::{LogIndex, UnixMillis};
use stele_store::policy::approval::{Accepted, RequestState, StatementRefusal};
use stele_store::request::{Answer, Command, PeopleView, Refusal};

use crate::authenticator::{SoftKey, UP, Wish};
use crate::support::locks::lose_index;
use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};
use crate::world::{DAY_MS, founded, list, person, put, request, ripe, say, state, view, work_off};

/// A friend of somebody's, with a key of their own.
const FRIEND: u64 = 77;

fn friend_key() -> PublicKey {
    PublicKey::from_blob(&SoftKey::new(FRIEND).blob("ssh:")).unwrap()
}

/// States a text with these signatures.
fn send(vault: &mut Running, text: &str, signatures: Vec<Vec<u8>>) -> Result<Accepted, Refusal> {
    let command = Command::State {
        text: text.to_owned(),
        signatures,
        note: None,
    };
    match vault.ask(command)? {
        Answer::Stated { accepted, .. } => Ok(accepted.unwrap()),
        other => panic!("unexpected {other:?}"),
    }
}

fn text_of(vault: &mut Running, kind: Kind) -> String {
    Statement::new(view(vault).origin, kind).unwrap().to_text()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Refusal>) -> StatementRefusal {
    match result {
        Err(Refusal::Statement(refusal)) => *refusal,
        other => panic!("unexpected {other:?}"),
    }
}

fn answer_of(vault: &mut Running, verb: Verb, request: LogIndex, by: &str) -> String {
    let requests = view(vault).requests;
    let found = requests.iter().find(|one| one.request == request).unwrap();
    let answer = Said {
        verb,
        request,
        digest: found.digest,
        by: person(by),
    };
    text_of(vault, Kind::Answer(answer))
}

/// An officer and an approver have the friend enrolled.
fn enrol_friend(vault: &mut Running, role: Role) {
    let act = Act::Enrol {
        person: person("friend"),
        role,
        key: friend_key(),
    };
    let asked = request(vault, act, "sara").unwrap();
    say(vault, Verb::Approve, asked, "anna").unwrap();
    vault.sleep(7 * DAY_MS);
    say(vault, Verb::Execute, asked, "sara").unwrap();
}

fn friend_says(vault: &mut Running, verb: Verb, request: LogIndex) -> Result<Accepted, Refusal> {
    let text = answer_of(vault, verb, request, "friend");
    let signature = SoftKey::new(FRIEND).sign(&text);
    send(vault, &text, vec![signature])
}

/// A vault with a version whose retention is over, and the list of it.
fn with_list() -> (Rig, Running, Erase) {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    (rig, vault, erase)
}

/// What people see that no clock changes between two looks.
fn seen(vault: &mut Running) -> String {
    // Neither the times of this moment nor the length of the log, which a start makes longer.
    let PeopleView {
        origin,
        policies,
        persons,
        requests,
        cases,
        grants,
        versions,
        ..
    } = view(vault);
    format!("{origin:?} {policies:?} {persons:?} {requests:#?} {cases:?} {grants:?} {versions}")
}

/// Requests in every state, a hold, a new person and one who is suspended.
fn busy() -> (Rig, Running) {
    let (rig, mut vault, erase) = with_list();
    let act = || Act::Erase(erase.clone());
    request(&mut vault, act(), "oona").unwrap();
    vault.sleep(4 * DAY_MS);
    enrol_friend(&mut vault, Role::Operator);
    let vetoed = request(&mut vault, act(), "otto").unwrap();
    say(&mut vault, Verb::Veto, vetoed, "sven").unwrap();
    let executed = ripe(&mut vault, erase.clone());
    let dead = request(&mut vault, act(), "otto").unwrap();
    let hold = Kind::Hold(Hold {
        nonce: stele_format::statement::Nonce([1; 16]),
        case: Digest::of(b"case"),
        scope: erase.scope,
        count: erase.count,
        by: person("axel"),
    });
    state(&mut vault, hold, &["axel"]).unwrap();
    say(&mut vault, Verb::Execute, executed, "oona").unwrap();
    let ready = ripe(&mut vault, erase.clone());
    let suspend = Act::Suspend {
        person: person("otto"),
    };
    let suspended = request(&mut vault, suspend, "sara").unwrap();
    let took = say(&mut vault, Verb::Approve, suspended, "anna");
    assert_eq!(took, Ok(Accepted::TookEffect(suspended)));
    let cooling = request(&mut vault, act(), "oona").unwrap();
    say(&mut vault, Verb::Approve, cooling, "anna").unwrap();
    say(&mut vault, Verb::Approve, cooling, "axel").unwrap();
    let open = request(&mut vault, act(), "oona").unwrap();
    let states: Vec<RequestState> = view(&mut vault)
        .requests
        .iter()
        .map(|one| one.state)
        .collect();
    for (request, state) in [
        (vetoed, RequestState::Vetoed),
        (executed, RequestState::Executing),
        (dead, RequestState::Expired),
        (ready, RequestState::Executable),
        (cooling, RequestState::Cooling),
        (open, RequestState::Requested),
    ] {
        let requests = view(&mut vault).requests;
        let found = requests.iter().find(|one| one.request == request).unwrap();
        assert_eq!(found.state, state, "{states:?}");
    }
    (rig, vault)
}

#[test]
fn o9_a_start_folds_the_log_to_the_same_people_requests_and_holds() {
    for ending in ["stop", "crash", "lost index"] {
        let (mut rig, mut vault) = busy();
        let before = seen(&mut vault);
        rig.clock_ms = view(&mut vault).now.get();
        match ending {
            "crash" => {
                drop(vault);
                rig.crash();
            }
            _ => vault.stop(),
        }
        if ending == "lost index" {
            lose_index(&rig);
        }
        let mut vault = rig.start();
        assert_eq!(vault.report.index_rebuilt, ending == "lost index");
        assert_eq!(seen(&mut vault), before, "after {ending}");
        vault.stop();
    }
}

fn recorded(rig: &Rig) -> Vec<(String, Vec<Vec<u8>>)> {
    let records = rig.records().into_iter();
    let statements = records.filter_map(|body| match body {
        Body::Statement(statement) => Some((statement.text, statement.signatures)),
        _ => None,
    });
    statements.collect()
}

/// O3: the record is what was signed, byte for byte; what is refused leaves none.
#[test]
fn o3_what_is_judged_is_recorded_and_what_is_refused_is_not() {
    let (rig, mut vault, erase) = with_list();
    let now = view(&mut vault);
    let kind = |act: Act, by: &str| {
        Kind::Request(Request {
            act,
            head: Head {
                size: now.log_records,
                root: now.log_root,
            },
            nonce: Nonce([9; 16]),
            reason: Digest::of(b"reason"),
            by: person(by),
        })
    };
    let text = text_of(&mut vault, kind(Act::Erase(erase.clone()), "oona"));
    let key = SoftKey::new(1);
    let touch = key.sign_as(
        text.as_bytes(),
        &Wish {
            flags: UP,
            ..Wish::default()
        },
    );
    let edited = text.replace("count 1", "count 2");
    let other_log = text.replacen("stele/", "stele/0", 1);
    let by_approver = text_of(&mut vault, kind(Act::Erase(erase), "anna"));
    // O4: a touch without the person's mark; O3: edited, of another log, signed by another, by nobody, or twice.
    for (text, signatures) in [
        (&text, vec![touch]),
        (&edited, vec![key.sign(&text)]),
        (&other_log, vec![key.sign(&other_log)]),
        (&text, vec![SoftKey::new(2).sign(&text)]),
        (&text, Vec::new()),
        (&text, vec![key.sign(&text), key.sign(&text)]),
        (&by_approver, vec![SoftKey::new(3).sign(&by_approver)]),
    ] {
        let refused = send(&mut vault, text, signatures);
        assert!(matches!(refused, Err(Refusal::Statement(_))), "{refused:?}");
    }
    let good = key.sign(&text);
    let accepted = send(&mut vault, &text, vec![good.clone()]);
    assert_eq!(accepted, Ok(Accepted::Requested));
    let again = refusal(send(&mut vault, &text, vec![good.clone()]));
    assert_eq!(again, StatementRefusal::Used);
    turns(&mut vault);
    vault.stop();
    let recorded = recorded(&rig);
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[1], (text, vec![good]));
}

/// O6: with who is named, which key signed, and why.
#[test]
fn o6_what_was_refused_to_people_is_in_the_log() {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let locked = put(&mut vault, &name("b", "locked"), 1, 100, 30);
    let free = put(&mut vault, &name("b", "free"), 2, 100, 1);
    vault.sleep(3 * DAY_MS);
    let locked = list(&mut vault, &[locked], Cut::Leaves, false);
    let free = list(&mut vault, &[free], Cut::Leaves, false);
    request(&mut vault, Act::Erase(locked), "oona").unwrap_err();
    for _ in 0..3 {
        request(&mut vault, Act::Erase(free.clone()), "anna").unwrap_err();
    }
    let asked = request(&mut vault, Act::Erase(free), "oona").unwrap();
    let answer = answer_of(&mut vault, Verb::Approve, asked, "anna");
    send(&mut vault, &answer, vec![SoftKey::new(99).sign(&answer)]).unwrap_err();
    vault.stop();
    let records = rig.records().into_iter();
    let refused = records.filter_map(|body| match body {
        Body::Refused(attempts) => Some(attempts),
        _ => None,
    });
    let mut said = Vec::new();
    for attempt in refused.flatten() {
        let Attempted::Statement {
            person,
            fingerprint,
            first,
        } = attempt.by
        else {
            panic!("{attempt:?}")
        };
        assert!(fingerprint.starts_with("SHA256:") && !first.is_zero());
        said.push((attempt.what, attempt.why, person, attempt.count));
    }
    let mut said: Vec<_> = said
        .iter()
        .map(|(what, why, person, count)| (what.as_str(), why.as_str(), person.as_str(), *count))
        .collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            ("approve", "foreign-key", "anna", 1),
            ("erase", "list-kept", "oona", 1),
            ("erase", "wrong-role", "anna", 3),
        ]
    );
}

#[test]
fn attack_15_a_stolen_key_is_taken_away_at_once_and_what_it_approved_dies() {
    let (mut rig, mut vault, erase) = with_list();
    let asked = ripe(&mut vault, erase.clone());
    // Two approvers are the fewest, so that there must be another one.
    enrol_friend(&mut vault, Role::Approver);
    let suspend = Act::Suspend {
        person: person("axel"),
    };
    // That week took the first request's time; a fresh one shows the moment.
    let fresh = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    say(&mut vault, Verb::Approve, fresh, "axel").unwrap();
    let revoke = request(&mut vault, suspend, "sara").unwrap();
    say(&mut vault, Verb::Approve, revoke, "anna").unwrap();
    let state_of = |vault: &mut Running, request| {
        let requests = view(vault).requests;
        let found = requests.iter().find(|one| one.request == request);
        found.unwrap().state
    };
    assert_eq!(state_of(&mut vault, fresh), RequestState::Dead);
    assert_ne!(state_of(&mut vault, asked), RequestState::Executable);
    drop(vault);
    let mut vault = rig.start();
    assert_eq!(state_of(&mut vault, fresh), RequestState::Dead);
    refusal(say(&mut vault, Verb::Approve, fresh, "anna"));
    refusal(vault.ask(Command::Tombstone {
        request: fresh,
        ordinal: 0,
    }));
    assert_eq!(
        vault.get(&name("b", "o"), None, None).unwrap(),
        content(1, 100)
    );
}

#[test]
fn attack_16_an_approval_is_neither_replayed_nor_moved_to_another_list() {
    let (_rig, mut vault, erase) = with_list();
    let first = request(&mut vault, Act::Erase(erase.clone()), "oona").unwrap();
    let text = answer_of(&mut vault, Verb::Approve, first, "anna");
    let signature = SoftKey::new(3).sign(&text);
    send(&mut vault, &text, vec![signature.clone()]).unwrap();
    let again = refusal(send(&mut vault, &text, vec![signature.clone()]));
    assert_eq!(again, StatementRefusal::Used);
    // A list that grew, under the approval of the small one.
    let other = put(&mut vault, &name("b", "other"), 2, 100, 1);
    vault.sleep(3 * DAY_MS);
    let larger = list(&mut vault, &[other], Cut::Leaves, false);
    let second = request(&mut vault, Act::Erase(larger), "oona").unwrap();
    let moved = text.replace(
        &format!("request {}", first.get()),
        &format!("request {}", second.get()),
    );
    assert_ne!(moved, text);
    let refused = refusal(send(&mut vault, &moved, vec![signature]));
    assert!(
        matches!(refused, StatementRefusal::Signature(_)),
        "{refused:?}"
    );
    let signed_again = vec![SoftKey::new(3).sign(&moved)];
    let refused = refusal(send(&mut vault, &moved, signed_again));
    assert_eq!(refused, StatementRefusal::DigestDiffers(second));
    assert_eq!(erase.count, 1);
}

#[test]
fn attack_17_a_friend_who_is_brought_in_destroys_nothing_for_thirty_days() {
    let (mut rig, mut vault, erase) = with_list();
    let started = view(&mut vault).now.get();
    enrol_friend(&mut vault, Role::Approver);
    assert!(view(&mut vault).now.get() >= started + 7 * DAY_MS);
    for days in 0..31 {
        vault.sleep(if days == 0 { 0 } else { DAY_MS });
        let asked = request(&mut vault, Act::Erase(erase.clone()), "oona").unwrap();
        let result = friend_says(&mut vault, Verb::Approve, asked);
        if days < 30 {
            let refused = refusal(result);
            assert!(
                matches!(refused, StatementRefusal::Quarantined { .. }),
                "day {days}: {refused:?}"
            );
        } else {
            assert_eq!(result, Ok(Accepted::Supported(asked)));
        }
        say(&mut vault, Verb::Veto, asked, "sven").unwrap();
        if days == 15 {
            rig.clock_ms = view(&mut vault).now.get();
            vault.stop();
            vault = rig.start();
        }
    }
    // And never together with who brought them in.
    let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    let refused = refusal(friend_says(&mut vault, Verb::Approve, asked));
    assert!(matches!(refused, StatementRefusal::Enrolled { .. }));
}

/// Whoever could only take part in a recovery, and whoever is nobody here, gets nothing done by signing.
#[test]
fn attack_18_custodians_and_strangers_ask_for_nothing_and_approve_nothing() {
    let (rig, mut vault, erase) = with_list();
    enrol_friend(&mut vault, Role::Custodian);
    let asked = request(&mut vault, Act::Erase(erase.clone()), "oona").unwrap();
    for verb in [Verb::Approve, Verb::Veto, Verb::Execute] {
        let refused = refusal(friend_says(&mut vault, verb, asked));
        let early = verb == Verb::Execute && matches!(refused, StatementRefusal::WrongPhase { .. });
        let role = matches!(refused, StatementRefusal::WrongRole { .. });
        assert!(role || early, "{verb:?}: {refused:?}");
    }
    let now = view(&mut vault);
    for by in ["friend", "stranger"] {
        let kind = Kind::Request(Request {
            act: Act::Erase(erase.clone()),
            head: Head {
                size: now.log_records,
                root: now.log_root,
            },
            nonce: Nonce([3; 16]),
            reason: Digest::of(b"reason"),
            by: person(by),
        });
        let text = text_of(&mut vault, kind);
        let refused = refusal(send(
            &mut vault,
            &text,
            vec![SoftKey::new(FRIEND).sign(&text)],
        ));
        let expected = match by {
            "friend" => matches!(refused, StatementRefusal::WrongRole { .. }),
            _ => refused == StatementRefusal::Unknown(person("stranger")),
        };
        assert!(expected, "{by}: {refused:?}");
    }
    turns(&mut vault);
    vault.stop();
    // The founding, three about the friend, and the one that was asked for.
    assert_eq!(recorded(&rig).len(), 5);
}

/// What screens show of statements is plain: no text with anything else in it is ever recorded.
#[test]
fn attack_29_no_statement_carries_what_a_terminal_obeys() {
    let (rig, mut vault, erase) = with_list();
    let key = SoftKey::new(1);
    let now = view(&mut vault);
    let kind = Kind::Request(Request {
        act: Act::Erase(erase),
        head: Head {
            size: now.log_records,
            root: now.log_root,
        },
        nonce: Nonce([4; 16]),
        reason: Digest::of(b"reason"),
        by: person("oona"),
    });
    let text = text_of(&mut vault, kind);
    let bad = [
        text.replace("by oona", "by oo\u{1b}[2Jna"),
        text.replace("by oona", "by oona\r"),
        text.replace("by oona", "by o\u{202e}ona"),
        text.replace("by oona", "by Oona"),
        text.replace("cut leaves", "cut leaves\u{0}"),
        text.replace('\n', "\r\n"),
        format!("{text}\u{7}"),
        format!("\u{feff}{text}"),
    ];
    for text in bad {
        let signature = key.sign(&text);
        let refused = refusal(send(&mut vault, &text, vec![signature]));
        assert!(matches!(refused, StatementRefusal::Text(_)), "{text:?}");
    }
    turns(&mut vault);
    vault.stop();
    assert_eq!(recorded(&rig).len(), 1);
}

#[test]
fn attack_23_a_vault_that_clients_filled_still_takes_statements() {
    let (mut rig, mut vault, erase) = with_list();
    let mut filled = 0;
    let refused = loop {
        let object = name("b", &format!("flood{filled}"));
        let stream = match vault.open_put(&object, crate::support::steps::object()) {
            Ok(stream) => stream,
            Err(refused) => break refused,
        };
        let fed = vault.feed(stream, &content(filled, 3_000_000));
        if let Err(refused) = fed.and_then(|()| vault.commit(stream).map(drop)) {
            break refused;
        }
        filled += 1;
        assert!(filled < 1_000, "never full");
    };
    assert_eq!(refused, Refusal::Full);
    // What a flood cannot take: reads, holds, and everything that people do.
    let kept = vault.get(&name("b", "o"), None, None).unwrap();
    assert!(kept == content(1, 100));
    let hold = Command::SetHold {
        name: name("b", "flood0"),
        version: None,
        on: true,
    };
    vault.ask(hold).unwrap();
    let asked = request(&mut vault, Act::Erase(erase), "oona").unwrap();
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    say(&mut vault, Verb::Approve, asked, "axel").unwrap();
    vault.sleep(7 * DAY_MS);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let mut vault = rig.start();
    turns(&mut vault);
    vault.get(&name("b", "o"), None, None).unwrap_err();
    let flood = vault.get(&name("b", "flood0"), None, None).unwrap();
    assert!(flood == content(0, 3_000_000));
    assert!(view(&mut vault).now > UnixMillis::new(0));
    vault.stop();
}
