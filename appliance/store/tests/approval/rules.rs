//! O2 to O7: one person, one text, one moment; touches; vetoes; new keys and compromised ones.

use stele_format::Digest;
use stele_format::statement::{Act, Answer, Erase, Kind, Origin, Role, Statement, Verb};
use stele_format::units::{LogIndex, PoolId, UnixMillis};
use stele_store::policy::approval::{Accepted, RequestState, StatementRefusal, verified};
use stele_store::policy::limits::DAY_MS;

use crate::authenticator::{SoftKey, UP, UV, Wish};
use crate::world::{
    START, World, enrol, erase, erase_of, name, origin, public, release_hold, second, suspend,
};

const OONA: (&str, u64) = ("oona", 1);
const ANNA: (&str, u64) = ("anna", 3);
const ARNO: (&str, u64) = ("arno", 4);
const AXEL: (&str, u64) = ("axel", 5);
const FRED: (&str, u64) = ("fred", 6);
const FRAN: (&str, u64) = ("fran", 7);
const UWE: (&str, u64) = ("uwe", 9);

fn state(world: &World, request: (LogIndex, Digest)) -> RequestState {
    world.fold.request(request.0, world.time()).unwrap().state
}

#[test]
fn o2_one_person_with_two_keys_is_one_person() {
    let mut world = World::founded();
    let second_key = Act::AddKey {
        person: name("fred"),
        key: public(&SoftKey::new(60)),
    };
    world.carry_out(second_key, FRAN, ANNA).unwrap();
    world.after_days(31);
    let request = world.request(FRED, suspend("uwe")).unwrap();
    assert_eq!(
        world.approve(("fred", 60), request),
        Err(StatementRefusal::SamePerson(name("fred")))
    );
    // And not as somebody else.
    assert_eq!(
        world.approve(("anna", 60), request),
        Err(StatementRefusal::ForeignKey(name("anna")))
    );
    let large = world.request(OONA, erase_of(10, false));
    world.approve(ANNA, large.unwrap()).unwrap();
}

#[test]
fn o3_a_text_counts_once_and_only_as_it_was_signed_for_this_log() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    let recorded = world.log.last().unwrap().clone();
    // Replayed.
    assert_eq!(
        world.submit(recorded.text.clone(), recorded.signatures.clone()),
        Err(StatementRefusal::Used)
    );
    // Edited.
    let edited = recorded.text.replace("count 10", "count 11");
    assert!(matches!(
        world.submit(edited, recorded.signatures.clone()),
        Err(StatementRefusal::Signature(_))
    ));
    // Another log's, soundly signed there.
    let other = Origin::of(PoolId::new([4; 16]));
    let text = recorded
        .text
        .replace(&origin().to_string(), &other.to_string());
    let signature = SoftKey::new(1).sign(&text);
    assert_eq!(
        world.submit(text, vec![signature]),
        Err(StatementRefusal::OtherLog)
    );
    // Another request's digest, and a request that is none.
    let answer = |request, digest| {
        Kind::Answer(Answer {
            verb: Verb::Approve,
            request,
            digest,
            by: name("anna"),
        })
    };
    let anna = SoftKey::new(3);
    assert_eq!(
        world.state(answer(request.0, Digest([1; 32])), &[&anna]),
        Err(StatementRefusal::DigestDiffers(request.0))
    );
    let nothing = LogIndex::new(1);
    assert_eq!(
        world.state(answer(nothing, request.1), &[&anna]),
        Err(StatementRefusal::NoRequest(nothing))
    );
    // Unsigned, and signed twice.
    for keys in [vec![], vec![&anna, &anna]] {
        assert_eq!(
            world.state(answer(request.0, request.1), &keys),
            Err(StatementRefusal::OneSigner)
        );
    }
}

/// A verified signature is of one text, whatever it is presented with.
#[test]
fn o3_a_signature_of_one_text_does_not_carry_another() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    let text = |verb| {
        let kind = Kind::Answer(Answer {
            verb,
            request: request.0,
            digest: request.1,
            by: name("anna"),
        });
        Statement::new(origin(), kind).unwrap().to_text()
    };
    let veto = text(Verb::Veto);
    let (_, signatures) = verified(&veto, &[SoftKey::new(3).sign(&veto)]).unwrap();
    let approve = Statement::parse(&text(Verb::Approve)).unwrap();
    let at = world.log[1].at;
    assert_eq!(
        world.fold.judge(&approve, &signatures, at, world.facts),
        Err(StatementRefusal::OtherText)
    );
}

#[test]
fn o3_early_late_and_second_answers_are_refused() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    // Not before it is approved.
    assert!(matches!(
        world.execute(OONA, request),
        Err(StatementRefusal::WrongPhase {
            phase: "requested",
            ..
        })
    ));
    let mut late = world.clone();
    late.after_hours(72);
    assert!(matches!(
        late.approve(ANNA, request),
        Err(StatementRefusal::ApprovalLate { until, .. }) if until == late.time()
    ));
    assert_eq!(state(&late, request), RequestState::Expired);
    assert!(late.veto(ANNA, request).is_err());
    world.now += 72 * 3_600_000 - 1;
    assert_eq!(
        world.approve(ANNA, request),
        Ok(Accepted::Approved(request.0))
    );
    assert!(matches!(
        world.approve(ARNO, request),
        Err(StatementRefusal::WrongPhase {
            phase: "cooling",
            ..
        })
    ));
    world.after_hours(72);
    assert!(world.fold.execute(request.0, world.time()).is_err());
    assert_eq!(
        world.execute(OONA, request),
        Ok(Accepted::Executed(request.0))
    );
    assert!(matches!(
        world.execute(ANNA, request),
        Err(StatementRefusal::WrongPhase {
            phase: "executing",
            ..
        })
    ));
    let approved = world.fold.execute(request.0, world.time()).unwrap();
    assert_eq!((approved.request(), approved.act()), (request.0, &erase()));
    world.fold.mark_begun(request.0).unwrap();
    // A start after a crash goes on.
    assert_eq!(world.fold.unfinished().collect::<Vec<_>>(), [request.0]);
    assert!(world.fold.execute(request.0, world.time()).is_ok());
    world.fold.mark_executed(request.0).unwrap();
    assert_eq!(world.fold.unfinished().count(), 0);
    assert!(world.fold.execute(request.0, world.time()).is_err());
    assert!(world.fold.mark_begun(request.0).is_err());
    assert_eq!(state(&world, request), RequestState::Executed);
}

#[test]
fn o3_an_effect_without_an_executed_request_is_seen() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    assert!(world.fold.mark_begun(request.0).is_err());
    assert!(world.fold.mark_executed(request.0).is_err());
    assert!(world.fold.mark_begun(LogIndex::new(3)).is_err());
    world.approve(ANNA, request).unwrap();
    assert!(world.fold.mark_begun(request.0).is_err());
}

#[test]
fn o4_a_touch_alone_does_not_count() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    let kind = Kind::Answer(Answer {
        verb: Verb::Approve,
        request: request.0,
        digest: request.1,
        by: name("anna"),
    });
    let text = Statement::new(origin(), kind).unwrap().to_text();
    for flags in [0, UP, UV, UP | UV] {
        let wish = Wish {
            flags,
            counter: 900,
            ..Wish::default()
        };
        let signature = SoftKey::new(3).sign_as(text.as_bytes(), &wish);
        let outcome = world.submit(text.clone(), vec![signature]);
        if flags == UP | UV {
            outcome.unwrap();
        } else {
            assert_eq!(outcome, Err(StatementRefusal::NotVerified), "{flags}");
        }
    }
    // The key's own plain twin does not stand in for it.
    let plain = SoftKey::plain(4).sign(&text.replace("by anna", "by arno"));
    assert_eq!(
        world.submit(text.replace("by anna", "by arno"), vec![plain]),
        Err(StatementRefusal::ForeignKey(name("arno")))
    );
}

/// Statements may arrive out of order, so a count that goes back raises an alarm and refuses nothing.
#[test]
fn o4_a_counter_that_goes_back_alarms() {
    let mut world = World::founded();
    let sign = |world: &mut World, counter| {
        let act = erase();
        let before = world.next;
        let request = stele_format::statement::Request {
            act,
            head: stele_format::statement::Head {
                size: before,
                root: stele_format::tree::TreeHash([1; 32]),
            },
            nonce: world.nonce(),
            reason: Digest([9; 32]),
            by: name("oona"),
        };
        let text = Statement::new(origin(), Kind::Request(request))
            .unwrap()
            .to_text();
        let wish = Wish {
            counter,
            ..Wish::default()
        };
        let signature = SoftKey::new(1).sign_as(text.as_bytes(), &wish);
        world.submit(text, vec![signature]).unwrap().alarms
    };
    assert!(sign(&mut world, 500).is_empty());
    let alarms = sign(&mut world, 500);
    assert_eq!((alarms[0].seen, alarms[0].shown), (500, 500));
    assert_eq!(alarms[0].person, name("oona"));
    assert_eq!(sign(&mut world, 499)[0].shown, 499);
    // A key that never counts.
    assert!(sign(&mut world, 0).is_empty());
    assert!(sign(&mut world, 501).is_empty());
}

#[test]
fn o5_a_veto_ends_a_request_in_every_state_before_its_execution() {
    for vetoer in [FRED, ANNA, AXEL, UWE] {
        for stage in 0..3 {
            let mut world = World::founded();
            let request = world.request(OONA, erase()).unwrap();
            if stage > 0 {
                world.approve(ANNA, request).unwrap();
            }
            if stage > 1 {
                world.after_hours(72);
            }
            assert_eq!(world.veto(vetoer, request), Ok(Accepted::Vetoed(request.0)));
            assert_eq!(state(&world, request), RequestState::Vetoed);
            world.after_hours(72);
            assert!(world.approve(ARNO, request).is_err());
            assert!(world.execute(OONA, request).is_err());
            assert!(world.veto(FRAN, request).is_err());
            assert!(world.fold.execute(request.0, world.time()).is_err());
        }
    }
}

#[test]
fn o5_operators_and_custodians_have_no_veto_and_execution_cannot_be_vetoed() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    for who in [OONA, ("otis", 2), ("carl", 8)] {
        assert!(matches!(
            world.veto(who, request),
            Err(StatementRefusal::WrongRole { what: "veto", .. })
        ));
    }
    world.approve(ANNA, request).unwrap();
    world.after_hours(72);
    world.execute(OONA, request).unwrap();
    assert!(matches!(
        world.veto(FRED, request),
        Err(StatementRefusal::WrongPhase {
            phase: "executing",
            ..
        })
    ));
}

#[test]
fn o6_a_list_with_running_retention_is_refused_unless_it_says_so() {
    let mut world = World::founded();
    let now = world.now;
    let until = |ms, governance| {
        let Act::Erase(erase) = erase_of(10, governance) else {
            unreachable!()
        };
        Act::Erase(Erase {
            latest_retention: Some(second(ms)),
            ..erase
        })
    };
    assert_eq!(
        world.request(OONA, until(now + 1000, false)),
        Err(StatementRefusal::RetentionRuns {
            until: UnixMillis::new(now + 1000)
        })
    );
    world.request(OONA, until(now, false)).unwrap();
    let early = world.request(OONA, until(now + 1000, true)).unwrap();
    // Which then takes an officer too.
    assert_eq!(world.approve(ANNA, early), Ok(Accepted::Supported(early.0)));
    assert_eq!(
        world.approve(ARNO, early),
        Err(StatementRefusal::NotNeeded(Role::Approver))
    );
    assert_eq!(world.approve(FRAN, early), Ok(Accepted::Approved(early.0)));
}

#[test]
fn o7_a_new_key_neither_approves_nor_executes_destruction_for_thirty_days() {
    let mut world = World::founded();
    let key = Act::AddKey {
        person: name("anna"),
        key: public(&SoftKey::new(70)),
    };
    world.carry_out(key, FRED, ARNO).unwrap();
    let until = UnixMillis::new(world.now + 30 * DAY_MS);
    let new = ("anna", 70);
    let refused = Err(StatementRefusal::Quarantined { until });
    let request = world.request(OONA, erase()).unwrap();
    assert_eq!(world.approve(new, request), refused);
    let hold = world.request(FRAN, release_hold()).unwrap();
    assert_eq!(world.approve(new, hold), refused);
    world.approve(ANNA, request).unwrap();
    world.after_days(3);
    assert_eq!(world.execute(new, request), refused);
    world.execute(ANNA, request).unwrap();
    // What is no destruction it may approve, unless somebody asks who brought it in.
    let person = world
        .request(FRAN, enrol("nina", Role::Auditor, 71))
        .unwrap();
    assert_eq!(world.approve(new, person), Ok(Accepted::Approved(person.0)));
    let person = world
        .request(FRED, enrol("nils", Role::Auditor, 72))
        .unwrap();
    assert_eq!(
        world.approve(new, person),
        Err(StatementRefusal::Enrolled {
            one: name("fred"),
            other: name("anna")
        })
    );
    assert_eq!(
        world.approve(ANNA, person),
        Ok(Accepted::Approved(person.0))
    );
    // To the millisecond.
    world.now = until.get() - 1;
    let request = world.request(OONA, erase()).unwrap();
    assert_eq!(world.approve(new, request), refused);
    world.now += 1;
    assert_eq!(
        world.approve(new, request),
        Ok(Accepted::Approved(request.0))
    );
}

#[test]
fn o7_a_resumed_key_waits_again() {
    let mut world = World::founded();
    world.carry_out(suspend("anna"), FRED, ARNO).unwrap();
    let request = world.request(OONA, erase()).unwrap();
    assert_eq!(
        world.approve(ANNA, request),
        Err(StatementRefusal::Inactive(name("anna")))
    );
    world
        .carry_out(
            Act::Resume {
                person: name("anna"),
            },
            FRED,
            ARNO,
        )
        .unwrap();
    let request = world.request(OONA, erase()).unwrap();
    assert!(matches!(
        world.approve(ANNA, request),
        Err(StatementRefusal::Quarantined { .. })
    ));
}

#[test]
fn a_friend_who_was_added_does_not_approve_with_those_who_added_them() {
    let mut world = World::founded();
    world
        .carry_out(enrol("olaf", Role::Operator, 80), FRED, ANNA)
        .unwrap();
    world
        .carry_out(enrol("abel", Role::Approver, 81), FRED, ANNA)
        .unwrap();
    world.after_days(31);
    let enrolled = |one: &str, other: &str| {
        Err(StatementRefusal::Enrolled {
            one: name(one),
            other: name(other),
        })
    };
    // The friend asks, who approved their enrolment approves.
    let request = world.request(("olaf", 80), erase()).unwrap();
    assert_eq!(world.approve(ANNA, request), enrolled("anna", "olaf"));
    // Not with a further key either, that others signed for.
    let further = Act::AddKey {
        person: name("olaf"),
        key: public(&SoftKey::new(82)),
    };
    world.carry_out(further, FRAN, AXEL).unwrap();
    let again = world.request(("olaf", 82), erase()).unwrap();
    assert_eq!(world.approve(ANNA, again), enrolled("anna", "olaf"));
    assert_eq!(world.approve(AXEL, again), enrolled("axel", "olaf"));
    let request = world.request(("olaf", 80), erase()).unwrap();
    // Two friends of the same people are no friends of each other.
    let other = world.request(("olaf", 80), erase()).unwrap();
    assert_eq!(
        world.approve(("abel", 81), other),
        Ok(Accepted::Approved(other.0))
    );
    assert_eq!(
        world.approve(ARNO, request),
        Ok(Accepted::Approved(request.0))
    );
    // Who asked for the enrolment asks, the friend approves.
    let hold = world.request(FRED, release_hold()).unwrap();
    assert_eq!(world.approve(("abel", 81), hold), enrolled("fred", "abel"));
    // The friend as the second approver beside their enroller.
    let large = world.request(OONA, erase_of(10, true)).unwrap();
    world.approve(FRED, large).unwrap();
    assert_eq!(world.approve(("abel", 81), large), enrolled("fred", "abel"));
}

#[test]
fn a_compromised_key_ends_what_it_supported_at_once() {
    let removals = [
        (suspend("anna"), "anna"),
        (
            Act::Remove {
                person: name("anna"),
            },
            "anna",
        ),
        (
            Act::RemoveKey {
                person: name("oona"),
                key: public(&SoftKey::new(1)),
            },
            "oona",
        ),
    ];
    for (removal, who) in removals {
        for days in [0, 1, 3] {
            let mut world = World::founded();
            let request = world.request(OONA, erase()).unwrap();
            world.approve(ANNA, request).unwrap();
            let other = world.request(("otis", 2), erase()).unwrap();
            world.approve(ARNO, other).unwrap();
            world.after_days(days);
            world.carry_out(removal.clone(), FRED, AXEL).unwrap();
            let view = world.fold.request(request.0, world.time()).unwrap();
            assert_eq!(view.state, RequestState::Dead);
            assert_eq!(view.ended_by, Some(name(who)));
            world.now = START + 103 * DAY_MS;
            assert!(world.execute(("otis", 2), request).is_err());
            assert!(world.fold.execute(request.0, world.time()).is_err());
            // What it did not support goes on.
            world.execute(("otis", 2), other).unwrap();
        }
    }
}

/// What was executed was executed: a start after a crash finishes it, whoever left since.
#[test]
fn leaving_does_not_stop_what_was_executed() {
    let mut world = World::founded();
    let request = world.request(OONA, erase()).unwrap();
    world.approve(ANNA, request).unwrap();
    world.after_days(3);
    world.execute(OONA, request).unwrap();
    world.carry_out(suspend("anna"), FRED, AXEL).unwrap();
    assert!(world.fold.execute(request.0, world.time()).is_ok());
}
