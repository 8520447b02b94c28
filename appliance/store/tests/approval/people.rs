//! O8 and how people change.

use stele_format::statement::{Act, Role};
use stele_store::policy::approval::{Accepted, StatementRefusal};
use stele_store::policy::people::Standing;

use crate::authenticator::SoftKey;
use crate::world::{World, enrol, name, public, suspend};

const ANNA: (&str, u64) = ("anna", 3);
const ARNO: (&str, u64) = ("arno", 4);
const FRED: (&str, u64) = ("fred", 6);
const FRAN: (&str, u64) = ("fran", 7);

fn remove(who: &str) -> Act {
    Act::Remove { person: name(who) }
}

fn remove_key(who: &str, seed: u64) -> Act {
    Act::RemoveKey {
        person: name(who),
        key: public(&SoftKey::new(seed)),
    }
}

#[test]
fn o8_no_act_leaves_fewer_people_than_the_minimum() {
    for act in [suspend("fran"), remove("fran"), remove_key("fran", 7)] {
        let refused = World::founded().request(FRED, act);
        let below = StatementRefusal::BelowMinimum {
            role: Role::Officer,
            min: 2,
        };
        assert_eq!(refused, Err(below));
    }
    // One of three approvers and one of two operators may go, the next may not.
    let mut world = World::founded();
    world.carry_out(suspend("axel"), FRED, ANNA).unwrap();
    world.carry_out(suspend("otis"), FRED, ANNA).unwrap();
    for (act, role, min) in [
        (suspend("arno"), Role::Approver, 2),
        (remove("oona"), Role::Operator, 1),
    ] {
        assert_eq!(
            world.request(FRED, act),
            Err(StatementRefusal::BelowMinimum { role, min })
        );
    }
}

/// Two requests that are each allowed, and together are not.
#[test]
fn o8_the_minimum_is_judged_again_when_an_act_takes_effect() {
    let mut world = World::founded();
    let one = world.request(FRED, suspend("axel")).unwrap();
    let two = world.request(FRED, suspend("arno")).unwrap();
    assert_eq!(world.approve(ANNA, one), Ok(Accepted::TookEffect(one.0)));
    assert_eq!(
        world.approve(ANNA, two),
        Err(StatementRefusal::BelowMinimum {
            role: Role::Approver,
            min: 2
        })
    );
    assert_eq!(
        world.fold.people().get(&name("arno")).unwrap().standing,
        Standing::Active
    );
}

#[test]
fn o8_a_raised_minimum_holds_and_nothing_lowers_the_built_in_one() {
    let policy = |what: &str, value: &str| Act::Policy {
        name: name(what),
        value: name(value),
    };
    let mut world = World::founded();
    for (what, value) in [
        ("operators-min", "0"),
        ("approvers-min", "1"),
        ("officers-min", "1"),
        ("officers-min", "02"),
        ("erase-approvals", "0"),
        ("erase-approvals", "3"),
        ("erase-cooling-hours", "71"),
        ("people-cooling-hours", "167"),
        ("plain-keys", "yes"),
        ("plain-keys", "no"),
        ("something", "1"),
    ] {
        let refused = world.request(FRED, policy(what, value));
        assert_eq!(refused, Err(StatementRefusal::Policy), "{what} {value}");
    }
    assert!(matches!(
        world.request(FRED, policy("officers-min", "3")),
        Err(StatementRefusal::BelowMinimum { .. })
    ));
    world
        .carry_out(policy("approvers-min", "3"), FRED, ANNA)
        .unwrap();
    assert!(matches!(
        world.request(FRED, suspend("axel")),
        Err(StatementRefusal::BelowMinimum { min: 3, .. })
    ));
}

#[test]
fn a_name_and_a_key_are_used_once_for_ever() {
    let mut world = World::founded();
    world.carry_out(remove("axel"), FRED, ANNA).unwrap();
    for (act, expected) in [
        (
            enrol("axel", Role::Auditor, 90),
            StatementRefusal::NameTaken(name("axel")),
        ),
        (enrol("nina", Role::Auditor, 5), StatementRefusal::KeyTaken),
        (enrol("nina", Role::Auditor, 3), StatementRefusal::KeyTaken),
        (
            Act::Resume {
                person: name("axel"),
            },
            StatementRefusal::Inactive(name("axel")),
        ),
        (suspend("nobody"), StatementRefusal::Unknown(name("nobody"))),
        (
            Act::Resume {
                person: name("anna"),
            },
            StatementRefusal::NotSuspended(name("anna")),
        ),
        (
            remove_key("anna", 4),
            StatementRefusal::ForeignKey(name("anna")),
        ),
    ] {
        assert_eq!(world.request(FRED, act), Err(expected));
    }
}

#[test]
fn a_person_has_at_most_two_keys() {
    let mut world = World::founded();
    let add = |seed| Act::AddKey {
        person: name("anna"),
        key: public(&SoftKey::new(seed)),
    };
    world.carry_out(add(90), FRED, ARNO).unwrap();
    assert_eq!(
        world.request(FRED, add(91)),
        Err(StatementRefusal::KeysFull(name("anna")))
    );
    world.carry_out(remove_key("anna", 3), FRED, ARNO).unwrap();
    world.carry_out(add(91), FRED, ARNO).unwrap();
    let plain = Act::Enrol {
        person: name("nina"),
        role: Role::Auditor,
        key: stele_format::sshsig::PublicKey::from_blob(&SoftKey::plain(92).blob("")).unwrap(),
    };
    assert_eq!(world.request(FRED, plain), Err(StatementRefusal::PlainKey));
}

/// Everybody but fred, who signs, was silent since the founding; the world begins 100 days after it.
#[test]
fn a_review_suspends_unused_keys_as_far_as_enough_people_stay() {
    let mut world = World::founded();
    let suspended = world.review(FRED).unwrap().suspended;
    let standing = |who| world.fold.people().get(&name(who)).unwrap().keys[0].standing;
    assert_eq!(standing("fred"), Standing::Active);
    assert_eq!(standing("fran"), Standing::Active, "two officers stay");
    assert_eq!(
        standing("carl"),
        Standing::Active,
        "custodians sign nothing"
    );
    assert_eq!(standing("uwe"), Standing::Suspended);
    assert_eq!(world.fold.people().active_count(Role::Operator), 1);
    assert_eq!(world.fold.people().active_count(Role::Approver), 2);
    assert_eq!(suspended.len(), 3);
    // A second one finds the same and changes nothing more.
    assert!(world.review(FRED).unwrap().suspended.is_empty());
    for who in [("oona", 1), ANNA, ("carl", 8)] {
        assert!(World::founded().review(who).is_err());
    }
    World::founded().review(("uwe", 9)).unwrap();
}

#[test]
fn a_key_used_within_ninety_days_is_not_suspended() {
    let mut world = World::founded();
    world.hold(("otis", 2)).unwrap();
    world.hold(("oona", 1)).unwrap();
    world.now += 90 * 86_400_000 - 1;
    world.review(FRAN).unwrap();
    assert_eq!(world.fold.people().active_count(Role::Operator), 2);
    world.now += 1;
    world.review(FRAN).unwrap();
    assert_eq!(world.fold.people().active_count(Role::Operator), 1);
}
