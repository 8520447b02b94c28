//! Lists and their size, holds, sessions, and what a screen sees.

use stele_format::digest::Digest;
use stele_format::statement::{Kind, Nonce, Role, Session, Statement};
use stele_format::units::UnixMillis;
use stele_store::policy::approval::{Accepted, RequestState, StatementRefusal, verified};
use stele_store::policy::limits::DAY_MS;

use crate::authenticator::SoftKey;
use crate::world::{World, erase_of, name, origin, second};

const OONA: (&str, u64) = ("oona", 1);
const ANNA: (&str, u64) = ("anna", 3);
const ARNO: (&str, u64) = ("arno", 4);
const FRED: (&str, u64) = ("fred", 6);
const UWE: (&str, u64) = ("uwe", 9);

#[test]
fn a_large_list_needs_two_approvers_and_seven_days() {
    for (versions, count, large) in [
        (1_000_000, 1000, false),
        (1_000_000, 1001, true),
        (1000, 10, false),
        (1000, 11, true),
        (0, 1, true),
    ] {
        let mut world = World::founded();
        world.facts.versions = versions;
        world.facts.scope_count = Some(count);
        let request = world.request(OONA, erase_of(count, false)).unwrap();
        let first = world.approve(ANNA, request).unwrap();
        assert_eq!(
            first == Accepted::Supported(request.0),
            large,
            "{versions} {count}"
        );
        if large {
            assert!(world.approve(ANNA, request).is_err());
            world.approve(ARNO, request).unwrap();
        }
        world.after_days(3);
        assert_eq!(world.execute(OONA, request).is_err(), large);
        world.after_days(4);
        assert_eq!(world.execute(OONA, request).is_ok(), large);
    }
}

/// A list that grows between request and execution is another list.
#[test]
fn a_scope_cannot_be_made_larger_after_it_was_approved() {
    let mut world = World::founded();
    for scope_count in [None, Some(9), Some(11)] {
        world.facts.scope_count = scope_count;
        assert!(matches!(
            world.request(OONA, erase_of(10, false)),
            Err(StatementRefusal::ScopeUnknown | StatementRefusal::ScopeCount { .. })
        ));
    }
    world.facts.scope_count = Some(10);
    let small = world.request(OONA, erase_of(10, false)).unwrap();
    world.facts.scope_count = Some(5000);
    let large = world.request(OONA, erase_of(5000, false)).unwrap();
    // The approval of the small one, pointed at the large one.
    assert_eq!(
        world.approve(ANNA, (large.0, small.1)),
        Err(StatementRefusal::DigestDiffers(large.0))
    );
    // What the vault counts later does not make the large one small.
    world.facts.versions = u64::MAX;
    assert_eq!(world.approve(ANNA, large), Ok(Accepted::Supported(large.0)));
}

#[test]
fn holds_are_free_for_three_roles() {
    for (who, may) in [
        (OONA, true),
        (ANNA, true),
        (FRED, true),
        (("carl", 8), false),
        (UWE, false),
    ] {
        assert_eq!(World::founded().hold(who).is_ok(), may, "{who:?}");
    }
    let mut world = World::founded();
    world.facts.scope_count = None;
    assert_eq!(world.hold(OONA), Err(StatementRefusal::ScopeUnknown));
}

#[test]
fn a_session_answers_one_challenge_in_time_and_is_recorded_once() {
    let mut world = World::founded();
    let wall = world.now;
    let challenge = Nonce([8; 32]);
    let session = |nonce, at| {
        let kind = Kind::Session(Session {
            nonce,
            at: second(at),
            ask: Digest([9; 32]),
            by: name("uwe"),
        });
        let text = Statement::new(origin(), kind).unwrap().to_text();
        let signature = SoftKey::new(9).sign(&text);
        verified(&text, &[signature]).unwrap()
    };
    let ask = |(statement, signatures): (Statement, Vec<_>)| {
        world
            .fold
            .session(&statement, &signatures, &challenge, UnixMillis::new(wall))
    };
    assert_eq!(
        ask(session(challenge, wall)),
        Ok((name("uwe"), Role::Auditor))
    );
    for (nonce, at) in [
        (Nonce([7; 32]), wall),
        (challenge, wall - 301_000),
        (challenge, wall + 301_000),
    ] {
        assert_eq!(ask(session(nonce, at)), Err(StatementRefusal::NoSession));
    }
    // The record's wall clock counts here, which this world has a month ahead.
    let (statement, _) = session(challenge, wall + 30 * DAY_MS);
    let text = statement.to_text();
    let mut submit = || world.submit(text.clone(), vec![SoftKey::new(9).sign(&text)]);
    assert_eq!(submit().unwrap().accepted, Accepted::Acted);
    assert_eq!(submit(), Err(StatementRefusal::Used));
}

#[test]
fn a_screen_sees_who_signed_what_is_missing_and_until_when() {
    let mut world = World::founded();
    world.facts.scope_count = Some(2000);
    let request = world.request(OONA, erase_of(2000, true)).unwrap();
    world.approve(ANNA, request).unwrap();
    let views = world.fold.requests(world.time());
    let view = &views[0];
    assert_eq!(views.len(), 1);
    assert!(view.large);
    assert_eq!(view.requested_by, (name("oona"), Role::Operator));
    assert_eq!(view.approved_by, [(name("anna"), Role::Approver)]);
    assert_eq!(view.missing, [(Role::Approver, 1), (Role::Officer, 1)]);
    assert_eq!(view.approve_before.get(), world.now + 3 * DAY_MS);
    assert_eq!(view.execute_from, None);
    world.approve(FRED, request).unwrap();
    world.approve(ARNO, request).unwrap();
    let view = world.fold.request(request.0, world.time()).unwrap();
    assert_eq!(view.state, RequestState::Cooling);
    assert_eq!(view.execute_from.unwrap().get(), world.now + 7 * DAY_MS);
    assert_eq!(view.execute_before.unwrap().get(), world.now + 10 * DAY_MS);
    assert_eq!(view.digest, request.1);
}
