//! The rules of FORMAT.md that a fold easily reads in two ways: each with the case that tells the readings apart.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use stele_format::record::{ReleaseReason, VersionRef};
use stele_format::statement::{Act, ClientKey, GrantRights, Role, Second, SpecialRights, Verb};
use stele_format::units::UnixMillis;
use support::people::{Asked, Book, DAY, HOUR, Token, name};

fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(400);
    (book, versions)
}

fn asked(book: &mut Book, versions: &[VersionRef]) -> Asked {
    let act = book.erase_act(versions);
    book.ask("olga", act)
}

/// A new person `nina`, asked for by fay, approved by anna, enrolled for so long.
fn enrolled(book: &mut Book, role: Role, ago: u64) {
    let key = book.public("nina");
    let act = Act::Enrol {
        person: name("nina"),
        role,
        key,
    };
    book.through("fay", &["anna"], act, 8 * DAY);
    book.wait(ago);
}

/// How somebody stands at the end.
fn state_of(book: Book, person: &str) -> &'static str {
    let report = book.report();
    let mut people = report.people.iter();
    people.find(|one| one.name == person).unwrap().state
}

#[test]
fn what_takes_power_away_takes_effect_with_the_approval_and_is_never_executed() {
    let person = || name("oleg");
    for (act, state) in [
        (Act::Suspend { person: person() }, "suspended"),
        (Act::Remove { person: person() }, "removed"),
    ] {
        let (mut book, _) = vault();
        let asked = book.ask("fay", act);
        book.answer("anna", Verb::Approve, &asked);
        assert_eq!(state_of(book, "oleg"), state);
    }
    let (mut book, _) = vault();
    let asked = book.ask("fay", Act::Suspend { person: person() });
    book.answer("anna", Verb::Approve, &asked);
    let execute = book.answer("anna", Verb::Execute, &asked);
    book.breaks("request-over", execute);
}

#[test]
fn a_resumed_key_waits_again_and_is_tied_to_who_resumed_it() {
    for (wait, approver, rule) in [
        (30 * DAY - 1, "axel", Some("key-quarantine")),
        (30 * DAY, "axel", None),
        (30 * DAY, "anna", Some("enrolled-by-the-other")),
    ] {
        let (mut book, versions) = vault();
        let person = || name("oleg");
        book.through("finn", &["axel"], Act::Suspend { person: person() }, 0);
        book.through("fay", &["anna"], Act::Resume { person: person() }, 8 * DAY);
        book.wait(wait - 73 * HOUR);
        // Asking is free, deciding is not.
        let act = book.erase_act(&versions[..2]);
        let asked = book.ask(
            if rule == Some("enrolled-by-the-other") {
                "oleg"
            } else {
                "olga"
            },
            act,
        );
        let approve = book.answer(approver, Verb::Approve, &asked);
        book.wait(73 * HOUR);
        if rule == Some("enrolled-by-the-other") {
            book.breaks("enrolled-by-the-other", approve);
            continue;
        }
        let execute = book.answer("oleg", Verb::Execute, &asked);
        match rule {
            Some(rule) => book.breaks(rule, execute),
            None => drop(book.lawful()),
        }
    }
}

#[test]
fn a_removed_key_never_comes_back_under_any_type_or_name() {
    let (mut book, _) = vault();
    let key = book.public("oleg");
    let plain = Token::plain("oleg").public();
    let second = book.public("oleg-2");
    let person = || name("oleg");
    let add = |key| Act::AddKey {
        person: name("oleg"),
        key,
    };
    book.through("fay", &["anna"], add(second), 8 * DAY);
    let remove = Act::RemoveKey {
        person: person(),
        key,
    };
    book.through("fay", &["anna"], remove, 0);
    let again = book.ask("fay", add(key));
    let elsewhere = book.ask(
        "fay",
        Act::Enrol {
            person: name("nina"),
            role: Role::Auditor,
            key,
        },
    );
    let file = book.ask("fay", add(plain));
    assert_eq!(
        book.unlawful(),
        [
            ("key-known", again.index.get()),
            ("key-known", elsewhere.index.get()),
            ("plain-key", file.index.get()),
        ]
    );
}

#[test]
fn approvers_who_brought_each_other_in_do_not_approve_one_request() {
    for (second, rule) in [("anna", Some("enrolled-by-the-other")), ("axel", None)] {
        let (mut book, versions) = vault();
        // Anna approves the enrolment of nina.
        enrolled(&mut book, Role::Approver, 31 * DAY);
        let asked = asked(&mut book, &versions[..5]);
        book.answer("nina", Verb::Approve, &asked);
        let approve = book.answer(second, Verb::Approve, &asked);
        match rule {
            Some(rule) => book.breaks(rule, approve),
            None => drop(book.lawful()),
        }
    }
}

#[test]
fn a_further_key_ties_only_what_it_signs() {
    for (signs, rule) in [("olga", None), ("olga-2", Some("enrolled-by-the-other"))] {
        let (mut book, versions) = vault();
        let key = book.public("olga-2");
        let person = name("olga");
        book.through("fay", &["anna"], Act::AddKey { person, key }, 8 * DAY);
        let act = book.erase_act(&versions[..2]);
        let request = book.request("olga", act);
        let asked = book.ask_as(signs, request);
        let approve = book.answer("anna", Verb::Approve, &asked);
        match rule {
            Some(rule) => book.breaks(rule, approve),
            None => drop(book.lawful()),
        }
    }
}

#[test]
fn policies_raise_what_is_needed_and_have_bounds() {
    let set = |policy: &str, value: &str| Act::Policy {
        name: name(policy),
        value: name(value),
    };
    let (mut book, versions) = vault();
    book.through("fay", &["anna"], set("erase-approvals", "2"), 8 * DAY);
    book.through("fay", &["anna"], set("erase-cooling-hours", "100"), 8 * DAY);
    let asked = asked(&mut book, &versions[..2]);
    book.answer("anna", Verb::Approve, &asked);
    let lacking = book.answer("olga", Verb::Execute, &asked);
    book.answer("axel", Verb::Approve, &asked);
    book.wait(100 * HOUR - 1);
    let early = book.answer("oleg", Verb::Execute, &asked);
    book.wait(1);
    book.answer("anke", Verb::Execute, &asked);
    let mut expected = vec![
        ("execute-unapproved", lacking.get()),
        ("execute-early", early.get()),
    ];
    for (policy, value, rule) in [
        ("erase-approvals", "3", "policy-value"),
        ("erase-cooling-hours", "71", "policy-value"),
        ("people-cooling-hours", "2161", "policy-value"),
        ("plain-keys", "yes", "policy-value"),
        ("anything", "1", "policy-value"),
        ("officers-min", "3", "minimum-set"),
    ] {
        let asked = book.ask("fay", set(policy, value));
        expected.push((rule, asked.index.get()));
    }
    assert_eq!(book.unlawful(), expected);
}

#[test]
fn a_statement_that_does_not_count_leaves_no_trace() {
    let (mut book, versions) = vault();
    let first = asked(&mut book, &versions[..2]);
    book.wait(72 * HOUR);
    let late = book.answer("anna", Verb::Approve, &first);
    let again = book.answer("anna", Verb::Approve, &first);
    let veto = book.answer("udo", Verb::Veto, &first);
    assert_eq!(
        book.unlawful(),
        [
            ("approval-late", late.get()),
            ("approval-late", again.get()),
            ("request-over", veto.get()),
        ]
    );
}

#[test]
fn no_more_than_256_requests_are_open_and_lapsed_ones_do_not_count() {
    let (mut book, _) = vault();
    let suspend = || Act::Suspend {
        person: name("oleg"),
    };
    for _ in 0..256 {
        book.ask("fay", suspend());
    }
    let one_more = book.ask("fay", suspend());
    book.wait(72 * HOUR);
    book.ask("fay", suspend());
    book.breaks("requests-too-many", one_more.index);
}

#[test]
fn what_was_done_is_stated_once_and_only_of_what_was_executed() {
    let (mut book, _) = vault();
    let until = Second::of(UnixMillis::new(book.now + 40 * DAY)).unwrap();
    let grant = Act::Grant(GrantRights {
        client: ClientKey::new("STELE1").unwrap(),
        rights: SpecialRights {
            hold_off: true,
            governance_bypass: false,
            lock_admin: false,
        },
        until,
    });
    let waiting = book.ask("fay", grant.clone());
    let early = book.enacted(waiting.index);
    let done = book.through("finn", &["anna"], grant, 8 * DAY);
    book.enacted(done.index);
    let twice = book.enacted(done.index);
    let person = name("oleg");
    let people = book.through("fay", &["anna"], Act::Suspend { person }, 0);
    let people = book.enacted(people.index);
    let rule = "enacted-without-leave";
    assert_eq!(
        book.unlawful(),
        [early, twice, people].map(|index| (rule, index.get()))
    );
}

/// Destruction minds a hold from its statement on; clients mind it once it is on the version.
#[test]
fn a_deletion_before_the_hold_of_a_case_is_on_the_version_is_an_alarm() {
    let (client, rule) = (ReleaseReason::ClientDelete, ReleaseReason::Expired);
    for (held, why) in [(false, client), (true, client), (false, rule), (true, rule)] {
        let (mut book, versions) = vault();
        book.put_case("olga", "case 7", &versions[..1]);
        if held {
            book.hold(&versions[0], true);
        }
        let index = book.release(&versions[0], why);
        if held {
            assert_eq!(book.unlawful(), [("locked-released", index.get())]);
            continue;
        }
        let alarms = book.lawful().alarms;
        let alarms = alarms.iter().map(|line| (line.name, line.index));
        let alarms: Vec<_> = alarms
            .filter(|(name, _)| *name == "case-released")
            .collect();
        assert_eq!(alarms, [("case-released", index.get())]);
    }
}
