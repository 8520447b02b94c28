//! What an auditor asks of holds, approvals and the log, over the real engine: `worm_NN` is the number of the
//! statement.

use stele_format::digest::Digest;
use stele_format::record::{Body, RecordHeader, VersionRef};
use stele_format::sshsig::PublicKey;
use stele_format::statement::{
    Act, Answer as Said, ClientKey, Cut, GrantRights, Hold, Kind, LaterAct, ReleaseHold, Role,
    Second, SpecialRights, Statement, Verb,
};
use stele_format::units::{DiskId, LogIndex, Opening, UnixMillis, VersionId};
use stele_store::policy::approval::{Accepted, StatementRefusal};
use stele_store::request::{Answer, Command, Refusal};

use crate::authenticator::SoftKey;
use crate::support::steps::turns;
use crate::support::{Running, content, name};
use crate::world::{
    DAY_MS, FOUNDERS, census, founded, list, person, put, request, ripe, say, state, view, work_off,
};

fn refusal<T: std::fmt::Debug>(result: Result<T, Refusal>) -> StatementRefusal {
    match result {
        Err(Refusal::Statement(refusal)) => *refusal,
        other => panic!("unexpected {other:?}"),
    }
}

/// Places a hold and puts the versions under it; its record.
fn place(vault: &mut Running, case: &[u8], versions: &[VersionId], by: &str) -> LogIndex {
    let erase = list(vault, versions, Cut::Leaves, false);
    let hold = Kind::Hold(Hold {
        nonce: stele_format::statement::Nonce([1; 16]),
        case: Digest::of(case),
        scope: erase.scope,
        count: erase.count,
        by: person(by),
    });
    let (statement, accepted) = state(vault, hold, &[by]).unwrap();
    assert_eq!(accepted, Accepted::Held);
    for ordinal in 0.. {
        match vault.ask(Command::PlaceHolds { statement, ordinal }) {
            Ok(Answer::Held { last: true, .. }) => break,
            Ok(Answer::Held { .. }) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    statement
}

fn is_held(vault: &mut Running, version: VersionId) -> bool {
    let rows = census(vault);
    let row = rows.iter().find(|row| row.version == version).unwrap();
    row.lock.hold
}

#[test]
fn worm_16_a_hold_has_case_placer_time_and_scope_and_all_are_listed() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let versions: Vec<VersionId> = (0..5_usize)
        .map(|seed| put(&mut vault, &name("b", &format!("o{seed}")), seed, 100, 1))
        .collect();
    let mut placed = Vec::new();
    for (case, by, of) in [("first", "oona", 0..3), ("second", "sven", 2..5)] {
        vault.sleep(DAY_MS);
        let at = view(&mut vault).now;
        let scope = list(&mut vault, &versions[of.clone()], Cut::Leaves, false).scope;
        let statement = place(&mut vault, case.as_bytes(), &versions[of], by);
        placed.push((
            statement,
            Digest::of(case.as_bytes()),
            scope,
            person(by),
            at,
        ));
    }
    for restart in [false, true] {
        let cases = view(&mut vault).cases;
        assert_eq!(cases.len(), placed.len());
        for (seen, (statement, case, scope, by, at)) in cases.iter().zip(&placed) {
            assert_eq!((seen.statement, seen.case), (*statement, *case));
            assert_eq!((seen.scope, seen.count), (*scope, 3));
            assert_eq!((&seen.by, seen.released), (by, None));
            assert!((0..60_000).contains(&(seen.at.get() - at.get())));
        }
        if !restart {
            drop(vault);
            rig.crash();
            vault = rig.start();
        }
    }
}

#[test]
fn worm_17_a_hold_is_released_by_two_people_alone_and_the_log_has_both() {
    let (rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    place(&mut vault, b"case", &[version], "oona");
    let case = view(&mut vault).cases.pop().unwrap();
    let release = ReleaseHold {
        case: case.case,
        scope: case.scope,
        count: case.count,
    };
    let asked = request(&mut vault, Act::ReleaseHold(release), "sara").unwrap();
    let lift = |request| Command::ReleaseHolds {
        request,
        ordinal: 0,
    };
    // Whoever asked does not approve, and neither does another officer or an operator.
    let own = refusal(say(&mut vault, Verb::Approve, asked, "sara"));
    assert_eq!(own, StatementRefusal::SamePerson(person("sara")));
    for other in ["sven", "oona"] {
        let refused = refusal(say(&mut vault, Verb::Approve, asked, other));
        assert!(matches!(refused, StatementRefusal::WrongRole { .. }));
    }
    refusal(say(&mut vault, Verb::Execute, asked, "sara"));
    refusal(vault.ask(lift(asked)));
    assert!(is_held(&mut vault, version));
    // In a vault of one version every list is a large one.
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    say(&mut vault, Verb::Approve, asked, "axel").unwrap();
    refusal(vault.ask(lift(asked)));
    vault.sleep(7 * DAY_MS);
    say(&mut vault, Verb::Execute, asked, "sara").unwrap();
    vault.ask(lift(asked)).unwrap();
    assert!(!is_held(&mut vault, version));
    turns(&mut vault);
    vault.stop();
    let said: Vec<String> = statements(&rig.records())
        .iter()
        .map(|one| match one.kind() {
            Kind::Request(request) => format!("request {}", request.by),
            Kind::Answer(answer) => format!("{} {}", answer.verb.name(), answer.by),
            other => other.name().to_owned(),
        })
        .collect();
    assert_eq!(
        said,
        [
            "found",
            "hold",
            "request sara",
            "approve anna",
            "approve axel",
            "execute sara"
        ]
    );
}

fn statements(records: &[Body]) -> Vec<Statement> {
    let texts = records.iter().filter_map(|body| match body {
        Body::Statement(statement) => Some(Statement::parse(&statement.text).unwrap()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn worm_18_approvals_are_of_others_expire_and_are_for_one_request() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let version = put(&mut vault, &name("b", "o"), 1, 100, 1);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[version], Cut::Leaves, false);
    let first = request(&mut vault, Act::Erase(erase.clone()), "oona").unwrap();
    let second = request(&mut vault, Act::Erase(erase), "otto").unwrap();
    let own = refusal(say(&mut vault, Verb::Approve, first, "oona"));
    assert_eq!(own, StatementRefusal::SamePerson(person("oona")));
    // As many as the rules ask for, not the same one twice.
    let supported = say(&mut vault, Verb::Approve, first, "anna");
    assert_eq!(supported, Ok(Accepted::Supported(first)));
    refusal(say(&mut vault, Verb::Approve, first, "anna"));
    // The approval of one request, moved to the other.
    let of = |vault: &mut Running, request| {
        let requests = view(vault).requests;
        let found = requests.iter().find(|one| one.request == request);
        found.unwrap().digest
    };
    let moved = Said {
        verb: Verb::Approve,
        request: second,
        digest: of(&mut vault, first),
        by: person("axel"),
    };
    let refused = refusal(state(&mut vault, Kind::Answer(moved), &["axel"]));
    assert_eq!(refused, StatementRefusal::DigestDiffers(second));
    vault.sleep(3 * DAY_MS);
    for late in [first, second] {
        let refused = refusal(say(&mut vault, Verb::Approve, late, "axel"));
        assert!(matches!(refused, StatementRefusal::ApprovalLate { .. }));
    }
}

#[test]
fn worm_19_people_change_by_people_and_not_below_the_minimum() {
    let (_rig, mut vault) = founded(3);
    let key = PublicKey::from_blob(&SoftKey::new(77).blob("ssh:")).unwrap();
    let enrol = || Act::Enrol {
        person: person("abel"),
        role: Role::Approver,
        key,
    };
    let asked = request(&mut vault, enrol(), "sara").unwrap();
    refusal(say(&mut vault, Verb::Approve, asked, "sara"));
    refusal(say(&mut vault, Verb::Approve, asked, "sven"));
    say(&mut vault, Verb::Approve, asked, "anna").unwrap();
    let early = refusal(say(&mut vault, Verb::Execute, asked, "sara"));
    assert!(matches!(early, StatementRefusal::Cooling { .. }));
    assert_eq!(view(&mut vault).persons.len(), FOUNDERS.len());
    // Two approvers and two officers are the fewest.
    for (role, who) in [(Role::Approver, "anna"), (Role::Officer, "sven")] {
        let remove = Act::Remove {
            person: person(who),
        };
        let refused = refusal(request(&mut vault, remove, "sara"));
        let below =
            matches!(refused, StatementRefusal::BelowMinimum { role: of, .. } if of == role);
        assert!(below, "{refused:?}");
    }
    vault.sleep(7 * DAY_MS);
    say(&mut vault, Verb::Execute, asked, "sara").unwrap();
    assert_eq!(view(&mut vault).persons.len(), FOUNDERS.len() + 1);
    let remove = Act::Remove {
        person: person("axel"),
    };
    request(&mut vault, remove, "sara").unwrap();
}

#[test]
fn worm_21_what_lowers_protection_needs_two_people_or_is_not_there() {
    let (_rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let until = UnixMillis::new(view(&mut vault).now.get() + 20 * DAY_MS);
    let key = PublicKey::from_blob(&SoftKey::new(77).blob("ssh:")).unwrap();
    let acts = [
        Act::Grant(GrantRights {
            client: ClientKey::new("AK").unwrap(),
            rights: SpecialRights {
                hold_off: true,
                governance_bypass: true,
                lock_admin: true,
            },
            until: Second::of(until).unwrap(),
        }),
        Act::Enrol {
            person: person("abel"),
            role: Role::Operator,
            key,
        },
        Act::AddKey {
            person: person("oona"),
            key,
        },
        Act::Policy {
            name: person("erase-cooling-hours"),
            value: person("100"),
        },
    ];
    for act in acts {
        // One person's word: it is asked for, and nothing has changed.
        let asked = request(&mut vault, act, "sara").unwrap();
        refusal(say(&mut vault, Verb::Execute, asked, "sara"));
        refusal(say(&mut vault, Verb::Approve, asked, "sara"));
    }
    let now = view(&mut vault);
    assert!(now.grants.is_empty() && now.persons.len() == FOUNDERS.len());
    for later in [LaterAct::Tape, LaterAct::Firmware, LaterAct::Forward] {
        let refused = refusal(request(&mut vault, Act::Later(later), "sara"));
        assert!(matches!(refused, StatementRefusal::NotInThisVersion(_)));
    }
    let disks = vec![DiskId::from_bytes([1; 16])];
    let opening = Opening::new(1);
    let lost = 0;
    let act = Act::ForceOpen {
        opening,
        lost,
        missing: Vec::new(),
        disks,
    };
    let refused = refusal(request(&mut vault, act, "sara"));
    assert_eq!(refused, StatementRefusal::NoForcedOpening);
}

#[test]
fn worm_31_the_log_keeps_every_record_also_of_what_was_destroyed() {
    let (mut rig, mut vault) = founded(3);
    vault.bucket("b", true);
    let doomed = put(&mut vault, &name("b", "doomed"), 1, 900_000, 1);
    put(&mut vault, &name("b", "kept"), 2, 1_000, 400);
    vault.sleep(3 * DAY_MS);
    let erase = list(&mut vault, &[doomed], Cut::Leaves, false);
    let asked = ripe(&mut vault, erase);
    say(&mut vault, Verb::Execute, asked, "oona").unwrap();
    rig.clock_ms = view(&mut vault).now.get();
    vault.stop();
    let before = rig.log();
    let mut vault = rig.start();
    assert_eq!(work_off(&mut vault, asked), Ok((1, 0)));
    drop(vault);
    let mut vault = rig.start();
    turns(&mut vault);
    vault.get(&name("b", "doomed"), None, None).unwrap_err();
    let kept = vault.get(&name("b", "kept"), None, None).unwrap();
    assert!(kept == content(2, 1_000));
    vault.stop();
    let after = rig.log();
    assert!(after.len() > before.len());
    assert!(after[..before.len()] == before[..]);
    let of = |header: &RecordHeader| header.version == doomed;
    assert!(after.iter().any(|(header, _)| of(header)));
    let tombstones = after.iter().filter_map(|(_, body)| match body {
        Body::Tombstone(tombstone) => Some(&tombstone.entries),
        _ => None,
    });
    let named: Vec<VersionRef> = tombstones.flatten().copied().collect();
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].version, doomed);
}
