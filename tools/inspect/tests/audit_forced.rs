//! A vault that was forced open: by whom, for which log, with which disks, and what it may do soon after.

mod support;

use stele_format::label::{MemberState, VaultFlags};
use stele_format::record::{
    Body, EpochReason, EpochStart, ForcedOpen, LockMode, MemberChange, RecordHeader,
};
use stele_format::statement::{Act, Origin, Verb};
use stele_format::units::{DiskId, Epoch, Generation, LogIndex, Opening, Sequence};
use stele_inspect::audit::report::AuditReport;

use crate::support::people::{Book, DAY, HOUR, POOL, STAFF};

fn disk(number: u8) -> DiskId {
    DiskId::from_bytes([number; 16])
}

/// How a vault is forced open; the default is as it must be.
struct Plan {
    asks: &'static str,
    approves: &'static str,
    asked: u32,
    recorded: u32,
    /// Records that the request's head is behind its own.
    behind: u64,
    epochs: u32,
    /// A record stands between the request and its approval.
    between: bool,
    active: &'static [u8],
    /// The record of the opening is there.
    opens: bool,
    /// The log ends after so many of its records.
    ends: u8,
    /// Each of them is of an epoch of its own.
    scattered: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            asks: "fay",
            approves: "anna",
            asked: 1,
            recorded: 1,
            behind: 0,
            epochs: 1024,
            between: false,
            active: &[1],
            opens: true,
            ends: 6,
            scattered: false,
        }
    }
}

/// Two people ask for it, and it is done.
fn force(book: &mut Book, plan: &Plan) -> LogIndex {
    book.epoch += plan.epochs;
    let act = Act::ForceOpen {
        opening: Opening::new(plan.asked),
        lost: 2,
        disks: vec![disk(1)],
    };
    let mut request = book.request(plan.asks, act);
    request.head.size -= plan.behind;
    let asked = book.ask_as(plan.asks, request);
    let next = |book: &mut Book| book.epoch += u32::from(plan.scattered);
    if plan.between {
        book.version();
    }
    if plan.ends == 1 {
        return asked.index;
    }
    next(book);
    book.answer(plan.approves, Verb::Approve, &asked);
    if plan.ends == 2 {
        return asked.index;
    }
    if plan.opens {
        let body = ForcedOpen {
            request: asked.index,
            opening: Opening::new(plan.recorded),
            last: Sequence::new(20),
            durable: Sequence::new(22),
            left: vec![disk(2), disk(3)],
        };
        book.record(RecordHeader::default(), Body::ForcedOpen(body));
    }
    if plan.ends == 3 {
        return asked.index;
    }
    let start = EpochStart {
        reason: EpochReason::Start,
        previous: Epoch::new(1),
        abandoned: Vec::new(),
    };
    book.record(RecordHeader::default(), Body::Epoch(start));
    if plan.ends == 4 {
        return asked.index;
    }
    let members = (1..=3).map(|number| {
        let active = plan.active.contains(&number);
        let state = if active {
            MemberState::Active
        } else {
            MemberState::Absent
        };
        (disk(number), state)
    });
    let change = MemberChange {
        generation: Generation::new(9),
        members: members.collect(),
    };
    book.record(RecordHeader::default(), Body::Member(change));
    book.origin = Origin::of(POOL).after(Opening::new(plan.recorded));
    asked.index
}

fn names(report: &AuditReport) -> Vec<&'static str> {
    let mut names: Vec<_> = report.unlawful.iter().map(|finding| finding.name).collect();
    names.dedup();
    names
}

fn check(plan: &Plan, expected: &[&str]) {
    let mut book = Book::founded();
    book.version();
    force(&mut book, plan);
    let report = book.report();
    assert_eq!(names(&report), expected, "{:#?}", report.unlawful);
    let counted = usize::from(matches!(expected, [] | ["forced-members"]));
    assert_eq!(report.openings.len(), counted);
}

#[test]
fn two_people_open_it_for_the_log_and_the_disks_that_are_here() {
    check(&Plan::default(), &[]);
    let unapproved = ["requester-role", "request-unknown", "forced-unapproved"];
    let plan = Plan {
        asks: "axel",
        ..Plan::default()
    };
    check(&plan, &unapproved);
    for (approves, breach) in [
        ("fay", "approver-is-requester"),
        ("finn", "approver-same-role"),
        ("olga", "approver-role"),
    ] {
        let plan = Plan {
            approves,
            ..Plan::default()
        };
        check(&plan, &[breach, "forced-unapproved"]);
    }
    let plan = Plan {
        active: &[1, 2],
        ..Plan::default()
    };
    check(&plan, &["forced-members"]);
    let plan = Plan {
        recorded: 2,
        ..Plan::default()
    };
    check(&plan, &["forced-number"]);
    let plan = Plan {
        epochs: 1023,
        ..Plan::default()
    };
    check(
        &plan,
        &["forced-epoch", "request-unknown", "forced-unapproved"],
    );
    let plan = Plan {
        between: true,
        ..Plan::default()
    };
    let scattered = ["forced-alone", "request-over", "forced-unapproved"];
    check(&plan, &scattered);
    let plan = Plan {
        opens: false,
        ..Plan::default()
    };
    check(&plan, &["forced-alone"]);
}

#[test]
fn nothing_of_it_is_missing_where_the_log_ends_and_all_is_of_one_epoch() {
    for (ends, breach) in [
        (1, "forced-alone"),
        (2, "forced-alone"),
        (3, "forced-members"),
        (4, "forced-members"),
    ] {
        let plan = Plan {
            ends,
            ..Plan::default()
        };
        check(&plan, &[breach]);
    }
    let plan = Plan {
        scattered: true,
        ..Plan::default()
    };
    let scattered = ["forced-alone", "request-over", "forced-unapproved"];
    check(&plan, &scattered);
}

#[test]
fn nobody_vetoes_or_executes_it() {
    for verb in [Verb::Veto, Verb::Execute] {
        let mut book = Book::founded();
        book.epoch += 1024;
        let act = Act::ForceOpen {
            opening: Opening::new(1),
            lost: 0,
            disks: vec![disk(1)],
        };
        let asked = book.ask("fay", act);
        book.answer("anna", verb, &asked);
        assert_eq!(names(&book.report()), ["forced-alone"], "{verb:?}");
    }
}

#[test]
fn a_request_counts_for_the_log_right_before_it_alone() {
    let mut book = Book::founded();
    let earlier = book.head();
    book.version();
    let act = Act::ForceOpen {
        opening: Opening::new(1),
        lost: 0,
        disks: vec![disk(1)],
    };
    book.epoch += 1024;
    let mut request = book.request("fay", act);
    request.head = earlier;
    book.ask_as("fay", request);
    assert_eq!(names(&book.report()), ["forced-head"]);
}

#[test]
fn a_number_is_used_once() {
    let mut book = Book::founded();
    force(&mut book, &Plan::default());
    let second = Plan {
        asked: 2,
        recorded: 2,
        ..Plan::default()
    };
    force(&mut book, &second);
    force(&mut book, &second);
    let report = book.report();
    assert_eq!(
        names(&report),
        ["forced-number", "request-unknown", "forced-unapproved"]
    );
    let openings: Vec<u32> = report.openings.iter().map(|one| one.opening).collect();
    assert_eq!(openings, [1, 2]);
    assert!(report.openings[0].surely_lost);
}

#[test]
fn the_log_has_another_name_after_it_and_what_was_open_is_dead() {
    let mut book = Book::founded();
    let versions = book.crowd(300);
    let act = book.erase_act(&versions[..1]);
    let open = book.ask("olga", act);
    force(&mut book, &Plan::default());
    book.answer("anna", Verb::Approve, &open);
    book.origin = Origin::of(POOL);
    let person = support::people::name("oleg");
    book.ask("fay", Act::Suspend { person });
    let report = book.report();
    assert_eq!(names(&report), ["request-over", "statement-other-log"]);
}

#[test]
fn no_request_that_frees_is_executed_for_seven_days() {
    for (waits, expected) in [(80 * HOUR, &["forced-rest"][..]), (7 * DAY, &[])] {
        let mut book = Book::founded();
        let versions = book.crowd(300);
        force(&mut book, &Plan::default());
        book.wait(waits - 73 * HOUR);
        let act = book.erase_act(&versions[..1]);
        let asked = book.ask("olga", act);
        book.answer("anna", Verb::Approve, &asked);
        book.wait(73 * HOUR);
        book.answer("olga", Verb::Execute, &asked);
        assert_eq!(names(&book.report()), expected);
    }
}

#[test]
fn no_client_uses_a_right_for_seven_days() {
    for (waits, expected) in [(7 * DAY - HOUR, &["forced-rest"][..]), (7 * DAY, &[])] {
        let mut book = Book::blank(VaultFlags::EVALUATION);
        book.found(&STAFF, &[]);
        let version = book.locked(LockMode::Governance, 400 * DAY);
        force(&mut book, &Plan::default());
        book.wait(waits);
        book.retention(&version, LockMode::None, 0);
        assert_eq!(names(&book.report()), expected);
    }
}

#[test]
fn nothing_is_destroyed_for_seven_days() {
    for (waits, expected) in [(7 * DAY - HOUR, &["forced-rest"][..]), (7 * DAY, &[])] {
        let mut book = Book::founded();
        let versions = book.crowd(300);
        let act = book.erase_act(&versions[..1]);
        let asked = book.ask("olga", act);
        book.answer("anna", Verb::Approve, &asked);
        book.wait(73 * HOUR);
        book.answer("olga", Verb::Execute, &asked);
        force(&mut book, &Plan::default());
        book.wait(waits);
        book.tombstone(&asked, &versions[..1]);
        assert_eq!(names(&book.report()), expected);
    }
}
