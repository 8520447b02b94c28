//! Who may ask, approve, veto and execute: every pair of roles, every rule about people, keys and time.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use stele_format::digest::Digest;
use stele_format::record::VersionRef;
use stele_format::statement::{
    Act, Answer, BucketDefault, ClientKey, GrantRights, Kind, ReleaseHold, Role, Second,
    SpecialRights, Verb,
};
use stele_format::units::{BucketId, DiskId, LogIndex, UnixMillis};
use support::people::{Asked, Book, DAY, HOUR, STAFF, Token, name};

fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(400);
    (book, versions)
}

/// One act of every kind, on something that makes it possible.
fn acts(book: &mut Book, list: &[VersionRef]) -> Vec<Act> {
    let scope = book.list(list);
    let release = Act::ReleaseHold(ReleaseHold {
        case: Digest::of(b"case"),
        scope,
        count: list.len() as u64,
    });
    let mut early = book.erase(list);
    early.governance = true;
    let to = Second::of(UnixMillis::new(book.now + 40 * DAY)).unwrap();
    let key = book.public("nina");
    let second = book.public("olga-2");
    let first = book.public("oleg");
    vec![
        book.erase_act(list),
        Act::Erase(early),
        release,
        Act::Grant(GrantRights {
            client: ClientKey::new("STELE1").unwrap(),
            rights: SpecialRights {
                hold_off: true,
                governance_bypass: false,
                lock_admin: true,
            },
            until: to,
        }),
        Act::LowerDefault {
            bucket: BucketId::new([1; 16]),
            default: BucketDefault::None,
        },
        Act::Enrol {
            person: name("nina"),
            role: Role::Auditor,
            key,
        },
        Act::AddKey {
            person: name("olga"),
            key: second,
        },
        Act::RemoveKey {
            person: name("oleg"),
            key: first,
        },
        Act::Suspend {
            person: name("oleg"),
        },
        Act::Remove {
            person: name("oleg"),
        },
        Act::Resume {
            person: name("oleg"),
        },
        Act::Policy {
            name: name("erase-cooling-hours"),
            value: name("100"),
        },
        Act::Clock { by_hours: 24 },
        Act::Reinitialise {
            disk: DiskId::from_bytes([1; 16]),
            label: Digest::ZERO,
        },
    ]
}

/// What the plan allows, written once more and by hand: act, who asks, who approves.
fn allowed(act: &Act, asks: Role, approves: Role) -> bool {
    match act.name() {
        "erase" => asks == Role::Operator && approves == Role::Approver,
        "suspend" | "remove" | "remove-key" => {
            (asks == Role::Officer && approves == Role::Approver)
                || (asks == Role::Approver && approves == Role::Officer)
        }
        _ => asks == Role::Officer && approves == Role::Approver,
    }
}

/// A person of a role who is not touched by any of the acts.
fn of(role: Role) -> &'static str {
    match role {
        Role::Operator => "olga",
        Role::Approver => "anna",
        Role::Officer => "fay",
        Role::Custodian => "cora",
        Role::Auditor => "udo",
    }
}

#[test]
fn exactly_the_allowed_pairs_of_roles_execute() {
    let count = {
        let (mut book, versions) = vault();
        acts(&mut book, &versions[..2]).len()
    };
    for number in 0..count {
        for asks in Role::ALL {
            for approves in Role::ALL {
                let (mut book, versions) = vault();
                let act = acts(&mut book, &versions[..2]).remove(number);
                let early = matches!(&act, Act::Erase(erase) if erase.governance);
                book.wall_ahead = 50 * DAY;
                if act.name() == "resume" {
                    let person = name("oleg");
                    book.through("finn", &["axel"], Act::Suspend { person }, 0);
                }
                let asked = book.ask(of(asks), act.clone());
                let second = if asks == approves {
                    other(approves)
                } else {
                    of(approves)
                };
                book.answer(second, Verb::Approve, &asked);
                if early {
                    book.answer("finn", Verb::Approve, &asked);
                }
                let rest = match act.name() {
                    "suspend" | "remove" | "remove-key" => None,
                    "erase" | "reinitialise" => Some(73 * HOUR),
                    _ => Some(7 * DAY),
                };
                if let Some(rest) = rest {
                    book.wait(rest);
                    book.answer("anke", Verb::Execute, &asked);
                }
                let report = book.report();
                let executed = report.requests.iter().any(|request| {
                    request.index == asked.index.get() && request.state == "executed"
                });
                let expected = allowed(&act, asks, approves);
                let cell = format!("{} {asks} {approves}: {:?}", act.name(), report.unlawful);
                assert_eq!(executed, expected, "{cell}");
                assert_eq!(report.unlawful.is_empty(), expected, "{cell}");
            }
        }
    }
}

/// Another person of the same role.
fn other(role: Role) -> &'static str {
    match role {
        Role::Operator => "oleg",
        Role::Approver => "axel",
        Role::Officer => "finn",
        Role::Custodian | Role::Auditor => of(role),
    }
}

fn asked(book: &mut Book, versions: &[VersionRef]) -> Asked {
    let act = book.erase_act(versions);
    book.ask("olga", act)
}

#[test]
fn nobody_approves_their_own_request_or_twice() {
    let (mut book, versions) = vault();
    let asked = asked(&mut book, &versions[..2]);
    let own = book.answer("olga", Verb::Approve, &asked);
    let peer = book.answer("oleg", Verb::Approve, &asked);
    book.answer("anna", Verb::Approve, &asked);
    let twice = book.answer("anna", Verb::Approve, &asked);
    assert_eq!(
        book.unlawful(),
        [
            ("approver-is-requester", own.get()),
            ("approver-same-role", peer.get()),
            ("statement-twice", twice.get()),
        ]
    );
}

#[test]
fn one_person_with_two_keys_is_one_person() {
    let (mut book, versions) = vault();
    let key = book.public("anna-2");
    let person = name("anna");
    book.through("fay", &["axel"], Act::AddKey { person, key }, 8 * DAY);
    book.wait(31 * DAY);
    let asked = asked(&mut book, &versions[..10]);
    book.answer("anna", Verb::Approve, &asked);
    let answer = Kind::Answer(Answer {
        verb: Verb::Approve,
        request: asked.index,
        digest: asked.digest,
        by: name("anna"),
    });
    let text = book.text(answer);
    let signature = book.token("anna-2").sign(&text);
    let again = book.statement(text, vec![signature]);
    book.breaks("statement-twice", again);
}

#[test]
fn a_large_list_needs_two_approvers_and_seven_days() {
    for (count, large) in [(4, false), (5, true)] {
        for approvers in [&["anna"][..], &["anna", "axel"][..]] {
            for wait in [73 * HOUR, 8 * DAY] {
                // More approvals than are needed are refused.
                if approvers.len() == 2 && !large {
                    continue;
                }
                let (mut book, versions) = vault();
                let asked = asked(&mut book, &versions[..count]);
                for approver in approvers {
                    book.answer(approver, Verb::Approve, &asked);
                }
                book.wait(wait);
                let execute = book.answer("olga", Verb::Execute, &asked);
                let rule = match (large, approvers.len(), wait > 4 * DAY) {
                    (false, _, true) => Some("execute-late"),
                    (true, 1, _) => Some("execute-unapproved"),
                    (true, _, false) => Some("execute-early"),
                    (false, _, false) | (true, _, true) => None,
                };
                match rule {
                    Some(rule) => book.breaks(rule, execute),
                    None => drop(book.lawful()),
                }
            }
        }
    }
}

#[test]
fn more_than_a_thousand_versions_are_a_large_list_in_any_vault() {
    for (count, rule) in [(1000, None), (1001, Some("execute-unapproved"))] {
        let mut book = Book::founded();
        let versions = book.crowd(100_100);
        let asked = asked(&mut book, &versions[..count]);
        book.answer("anna", Verb::Approve, &asked);
        book.wait(73 * HOUR);
        let execute = book.answer("olga", Verb::Execute, &asked);
        match rule {
            Some(rule) => book.breaks(rule, execute),
            None => drop(book.lawful()),
        }
    }
}

#[test]
fn every_window_has_two_ends() {
    for (approve, execute, rule) in [
        (72 * HOUR - 1, 72 * HOUR, None),
        (72 * HOUR, 72 * HOUR, Some("approval-late")),
        (HOUR, 72 * HOUR - 1, Some("execute-early")),
        (HOUR, 144 * HOUR - 1, None),
        (HOUR, 144 * HOUR, Some("execute-late")),
    ] {
        let (mut book, versions) = vault();
        let asked = asked(&mut book, &versions[..2]);
        book.wait(approve);
        book.answer("anna", Verb::Approve, &asked);
        book.wait(execute);
        book.answer("olga", Verb::Execute, &asked);
        let report = book.report();
        let first = report.unlawful.first().map(|line| line.name);
        assert_eq!(first, rule, "{approve} {execute}");
    }
}

#[test]
fn a_veto_stops_at_every_step_and_only_by_those_who_may() {
    for (person, may) in STAFF.map(|(person, role)| {
        (
            person,
            matches!(role, Role::Officer | Role::Approver | Role::Auditor),
        )
    }) {
        for approved in [false, true] {
            let (mut book, versions) = vault();
            let asked = asked(&mut book, &versions[..2]);
            if approved {
                book.answer("axel", Verb::Approve, &asked);
            }
            let veto = book.answer(person, Verb::Veto, &asked);
            if !approved {
                book.answer("anke", Verb::Approve, &asked);
            }
            book.wait(73 * HOUR);
            let execute = book.answer("olga", Verb::Execute, &asked);
            let broken = book.unlawful();
            if may {
                assert_eq!(
                    broken.last(),
                    Some(&("request-over", execute.get())),
                    "{person}"
                );
            } else {
                assert_eq!(broken, [("veto-role", veto.get())], "{person}");
            }
        }
    }
}

#[test]
fn only_those_whom_the_row_names_execute() {
    for (person, role) in STAFF {
        let (mut book, versions) = vault();
        let asked = asked(&mut book, &versions[..2]);
        book.answer("axel", Verb::Approve, &asked);
        book.wait(73 * HOUR);
        let execute = book.answer(person, Verb::Execute, &asked);
        if !matches!(role, Role::Operator | Role::Approver) {
            book.breaks("execute-role", execute);
        } else {
            book.lawful();
        }
    }
}

/// A new approver `nina`, asked for by fay, approved by anna, enrolled for so long.
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

#[test]
fn a_new_key_decides_nothing_about_destruction_for_thirty_days() {
    for (ago, free) in [(30 * DAY - 1, false), (30 * DAY, true)] {
        let (mut book, versions) = vault();
        enrolled(&mut book, Role::Approver, ago);
        let first = asked(&mut book, &versions[..2]);
        let approve = book.answer("nina", Verb::Approve, &first);
        if free {
            book.lawful();
        } else {
            book.breaks("key-quarantine", approve);
        }
    }
    let (mut book, versions) = vault();
    enrolled(&mut book, Role::Operator, DAY);
    let first = asked(&mut book, &versions[..2]);
    book.answer("axel", Verb::Approve, &first);
    book.wait(73 * HOUR);
    let execute = book.answer("nina", Verb::Execute, &first);
    book.breaks("key-quarantine", execute);
}

#[test]
fn a_new_key_may_approve_what_destroys_nothing() {
    let (mut book, _) = vault();
    enrolled(&mut book, Role::Approver, DAY);
    let act = Act::Suspend {
        person: name("oleg"),
    };
    book.through("finn", &["nina"], act, HOUR);
    book.lawful();
}

#[test]
fn who_brought_a_person_in_does_not_decide_with_them() {
    for (approver, rule) in [("anna", Some("enrolled-by-the-other")), ("axel", None)] {
        let (mut book, versions) = vault();
        enrolled(&mut book, Role::Operator, 31 * DAY);
        let act = book.erase_act(&versions[..2]);
        let asked = book.ask("nina", act);
        let approve = book.answer(approver, Verb::Approve, &asked);
        match rule {
            Some(rule) => book.breaks(rule, approve),
            None => drop(book.lawful()),
        }
    }
}

#[test]
fn a_request_dies_with_the_key_or_the_person_that_signed() {
    let remove = |book: &mut Book, person: &str| Act::RemoveKey {
        person: name(person),
        key: book.public(person),
    };
    for person in ["olga", "anna"] {
        for whole in [false, true] {
            let (mut book, versions) = vault();
            let asked = asked(&mut book, &versions[..2]);
            book.answer("anna", Verb::Approve, &asked);
            let act = if whole {
                Act::Suspend {
                    person: name(person),
                }
            } else {
                remove(&mut book, person)
            };
            book.through("fay", &["axel"], act, HOUR);
            book.wait(73 * HOUR);
            let execute = book.answer("oleg", Verb::Execute, &asked);
            let stone = book.tombstone(&asked, &versions[..2]);
            assert_eq!(
                book.unlawful(),
                [
                    ("execute-dead", execute.get()),
                    ("tombstone-over", stone.get())
                ]
            );
        }
    }
}

#[test]
fn suspended_and_removed_people_sign_nothing_and_resumed_ones_do() {
    let (mut book, versions) = vault();
    let suspend = Act::Suspend {
        person: name("oleg"),
    };
    book.through("anna", &["fay"], suspend, HOUR);
    let act = book.erase_act(&versions[..2]);
    let suspended = book.ask("oleg", act);
    let resume = Act::Resume {
        person: name("oleg"),
    };
    book.through("fay", &["anna"], resume, 8 * DAY);
    let act = book.erase_act(&versions[..2]);
    book.ask("oleg", act);
    let remove = Act::Remove {
        person: name("oleg"),
    };
    book.through("fay", &["anna"], remove, HOUR);
    let act = book.erase_act(&versions[..2]);
    let removed = book.ask("oleg", act);
    let report = book.report();
    let broken: Vec<_> = report
        .unlawful
        .iter()
        .map(|line| (line.name, line.index))
        .collect();
    let name = "person-inactive";
    assert_eq!(
        broken,
        [(name, suspended.index.get()), (name, removed.index.get())]
    );
    let oleg = report
        .people
        .iter()
        .find(|person| person.name == "oleg")
        .unwrap();
    assert_eq!(oleg.state, "removed");
}

#[test]
fn the_minimum_set_stays() {
    for (first, second, role) in [("fay", "finn", "officer"), ("olga", "oleg", "operator")] {
        let (mut book, _) = vault();
        let suspend = |person: &str| Act::Suspend {
            person: name(person),
        };
        let mut last = LogIndex::ZERO;
        for person in [second, first] {
            let asked = book.ask("anna", suspend(person));
            last = book.answer("fay", Verb::Approve, &asked);
        }
        let report = book.report();
        let line = report.unlawful.first().unwrap();
        assert_eq!(line.name, "minimum-set");
        assert!(line.what.contains(role), "{}", line.what);
        assert!(line.index <= last.get());
    }
}

#[test]
fn keys_and_names_are_nobody_elses() {
    let (mut book, _) = vault();
    let known = book.public("olga");
    let fresh = book.public("nina");
    let plain = Token::plain("file").public();
    let enrol = |person: &str, key| Act::Enrol {
        person: name(person),
        role: Role::Auditor,
        key,
    };
    let add = |person: &str, key| Act::AddKey {
        person: name(person),
        key,
    };
    let second = book.public("oleg-2");
    let third = book.public("oleg-3");
    let mut expected = Vec::new();
    for (act, rule) in [
        (enrol("olga", fresh), Some("person-known")),
        (enrol("nina", known), Some("key-known")),
        (enrol("nina", plain), Some("plain-key")),
        (add("oleg", second), None),
        (add("oleg", third), Some("keys-full")),
        (add("nobody", third), Some("person-unknown")),
    ] {
        match rule {
            // What cannot be is not even asked for.
            Some(rule) => expected.push((rule, book.ask("fay", act).index.get())),
            None => drop(book.through("fay", &["anna"], act, 8 * DAY)),
        }
    }
    assert_eq!(book.unlawful(), expected);
}
