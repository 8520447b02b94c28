//! A vault that was forced open: by whom, for which log, with which disks, and what it may do soon after.

mod support;

use stele_format::TreeHash;
use stele_format::digest::Digest;
use stele_format::label::{MemberState, VaultFlags};
use stele_format::record::{
    Body, EpochReason, EpochStart, ForcedOpen, LockMode, LostSpan, Marker, MemberChange,
    RecordHeader, Tombstone, VersionRef,
};
use stele_format::statement::{Act, Kind, Nonce, Origin, Review, Verb};
use stele_format::units::{
    ByteOffset, DiskId, Epoch, Generation, LogIndex, Month, Opening, SegmentId, Sequence,
    UnixMillis,
};
use stele_inspect::audit::Auditor;
use stele_inspect::audit::report::{AuditReport, FindingLine};

use crate::support::people::{Asked, Book, DAY, HOUR, POOL, STAFF, name};

fn disk(number: u8) -> DiskId {
    DiskId::from_bytes([number; 16])
}

/// How a vault is forced open; the default is as it must be.
struct Plan {
    asks: &'static str,
    approves: &'static str,
    asked: u32,
    recorded: u32,
    /// First and last of the records in the middle of the log that the request gives up.
    given_up: Vec<(u64, u64)>,
    /// Those that the record says are lost.
    lost: Vec<(u64, u64)>,
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
            given_up: Vec::new(),
            lost: Vec::new(),
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

/// The records from the first to the last, in a frame of their own.
fn lost((first, last): (u64, u64)) -> LostSpan {
    LostSpan {
        first: Sequence::new(first),
        next: Sequence::new(first + 1),
        chain: Digest::ZERO,
        first_record: LogIndex::new(first),
        next_record: LogIndex::new(last + 1),
        previous: Digest::ZERO,
        segment: SegmentId::new(1),
        offset: ByteOffset::new(4096),
    }
}

/// Two people ask for it, and it is done.
fn force(book: &mut Book, plan: &Plan) -> LogIndex {
    book.epoch += plan.epochs;
    let act = Act::ForceOpen {
        opening: Opening::new(plan.asked),
        lost: 2,
        missing: plan
            .given_up
            .iter()
            .map(|span| lost(*span).records())
            .collect(),
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
            lost: plan.lost.iter().map(|span| lost(*span)).collect(),
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
        forgetful: Vec::new(),
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
    for (given_up, lost, expected) in [
        (&[(3, 3), (5, 8)][..], &[(3, 3), (5, 8)][..], &[][..]),
        (&[(3, 3)], &[(3, 4)], &["forced-missing"]),
        (&[(3, 3)], &[], &["forced-missing"]),
        (&[], &[(3, 3)], &["forced-missing"]),
    ] {
        let plan = Plan {
            given_up: given_up.to_vec(),
            lost: lost.to_vec(),
            ..Plan::default()
        };
        check(&plan, expected);
    }
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
            missing: Vec::new(),
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
        missing: Vec::new(),
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

#[test]
fn what_lies_before_lost_records_is_never_destroyed() {
    let lost = &[(3, 3)][..];
    for (lost, expected) in [(lost, &["tombstone-doubted"][..]), (&[], &[])] {
        let mut book = Book::founded();
        let versions = book.crowd(300);
        let plan = Plan {
            given_up: lost.to_vec(),
            lost: lost.to_vec(),
            ..Plan::default()
        };
        force(&mut book, &plan);
        let later = book.crowd(1);
        for chosen in [&later[..], &versions[..1]] {
            book.wait(7 * DAY);
            let act = book.erase_act(chosen);
            let asked = book.ask("olga", act);
            book.answer("anna", Verb::Approve, &asked);
            book.wait(73 * HOUR);
            book.answer("olga", Verb::Execute, &asked);
            book.tombstone(&asked, chosen);
        }
        assert_eq!(names(&book.report()), expected);
    }
}

/// Of records that are missing those that people name.
type Named = fn((u64, u64)) -> Vec<(u64, u64)>;

/// What happens in these records no auditor is told.
fn lose(book: &mut Book, happens: impl FnOnce(&mut Book)) -> (u64, u64) {
    let auditor = std::mem::replace(&mut book.auditor, Auditor::new(POOL));
    let first = book.walk.next_index().get();
    happens(book);
    book.auditor = auditor;
    (first, book.walk.next_index().get() - 1)
}

/// A destruction that nobody asked for.
fn destroy(book: &mut Book, versions: &[VersionRef]) -> LogIndex {
    let asked = Asked {
        index: LogIndex::new(1),
        digest: Digest::ZERO,
    };
    book.tombstone(&asked, versions)
}

fn found(lines: &[FindingLine]) -> Vec<(&'static str, u64)> {
    lines.iter().map(|line| (line.name, line.index)).collect()
}

/// The vault is forced open without these records, by a request that names them and a record of it.
fn force_without(book: &mut Book, named: &[(u64, u64)], recorded: &[(u64, u64)]) {
    let plan = Plan {
        given_up: named.to_vec(),
        lost: recorded.to_vec(),
        ..Plan::default()
    };
    force(book, &plan);
}

#[test]
fn behind_an_opening_that_gave_up_what_is_missing_things_are_decided_again() {
    let named: [Named; 5] = [
        |lost| vec![lost],
        |(first, last)| vec![(first, first), (first + 1, last)],
        |(first, last)| vec![(first + 1, last)],
        |(first, last)| vec![(first, last - 1)],
        |_| Vec::new(),
    ];
    for (number, named) in named.into_iter().enumerate() {
        let mut book = Book::founded();
        let versions = book.crowd(9);
        let missing = lose(&mut book, |book| drop(book.crowd(3)));
        let between = destroy(&mut book, &versions[..1]).get();
        let named = named(missing);
        force_without(&mut book, &named, &named);
        book.wait(8 * DAY);
        let later = book.version();
        let behind = destroy(&mut book, &[later]).get();
        let report = book.report();
        let unlawful = found(&report.unlawful);
        let undecided = found(&report.undecided);
        assert!(
            undecided.contains(&("tombstone-without-request", between)),
            "{undecided:?}"
        );
        let what = ("tombstone-without-request", behind);
        let decided = number < 2;
        assert_eq!(unlawful.contains(&what), decided, "{number}: {unlawful:?}");
        assert_eq!(
            undecided.contains(&what),
            !decided,
            "{number}: {undecided:?}"
        );
        assert_eq!(report.records_missing, !decided, "{number}");
    }
}

#[test]
fn a_log_of_which_people_gave_up_what_is_missing_is_lawful() {
    let mut book = Book::founded();
    let first = lose(&mut book, |book| drop(book.crowd(3)));
    book.crowd(2);
    let second = lose(&mut book, |book| drop(book.crowd(1)));
    let marker = Body::Marker(Marker {
        log: book.walk.frontier().clone(),
    });
    book.record(RecordHeader::default(), marker);
    force_without(&mut book, &[first, second], &[first, second]);
    book.version();
    let report = book.report();
    assert_eq!(
        (report.verdict, report.records_missing),
        (0, false),
        "{report:#?}"
    );
    assert_eq!(report.openings[0].missing, [first, second]);
    assert!(report.alarms.is_empty(), "{:#?}", report.alarms);
}

#[test]
fn without_two_people_who_gave_them_up_records_stay_missing() {
    for (approves, decided) in [("anna", true), ("fay", false), ("nobody", false)] {
        let mut book = Book::founded();
        let missing = lose(&mut book, |book| drop(book.crowd(3)));
        let plan = Plan {
            approves,
            given_up: vec![missing],
            lost: vec![missing],
            ..Plan::default()
        };
        force(&mut book, &plan);
        let report = book.report();
        assert_eq!(report.records_missing, !decided, "{approves}");
        assert_eq!(report.verdict, if decided { 0 } else { 2 }, "{approves}");
    }
}

#[test]
fn behind_damage_that_hides_its_records_nothing_is_decided_again() {
    let mut book = Book::founded();
    book.auditor.gap();
    let missing = lose(&mut book, |book| drop(book.crowd(3)));
    force_without(&mut book, &[missing], &[missing]);
    let later = book.version();
    destroy(&mut book, &[later]);
    let report = book.report();
    assert_eq!((names(&report), report.records_missing), (vec![], true));
}

#[test]
fn what_was_given_up_otherwise_than_named_is_unlawful_whatever_else_is_missing() {
    let mut book = Book::founded();
    let (first, last) = lose(&mut book, |book| drop(book.crowd(3)));
    force_without(&mut book, &[(first, last)], &[(first, last - 1)]);
    assert_eq!(names(&book.report()), ["forced-missing"]);
}

#[test]
fn a_doubted_version_that_is_destroyed_is_unlawful_whatever_else_is_missing() {
    let mut book = Book::founded();
    let versions = book.crowd(9);
    let missing = lose(&mut book, |book| drop(book.crowd(3)));
    force_without(&mut book, &[missing], &[missing]);
    let later = book.version();
    book.auditor.gap();
    destroy(&mut book, &[versions[0], later]);
    let report = book.report();
    assert_eq!(names(&report), ["tombstone-doubted"]);
    let undecided = found(&report.undecided);
    assert!(
        undecided
            .iter()
            .any(|(name, _)| *name == "tombstone-without-request")
    );
}

#[test]
fn the_keys_of_a_month_stay_where_records_are_lost() {
    for (lost, expected) in [(true, &["month-doubted"][..]), (false, &[])] {
        let mut book = Book::founded();
        let missing = lose(&mut book, |book| drop(book.crowd(2)));
        if lost {
            force_without(&mut book, &[missing], &[missing]);
        }
        book.auditor.gap();
        book.tombstone_as(Tombstone {
            request: LogIndex::new(1),
            ordinal: 0,
            last: true,
            month: Month::of(UnixMillis::new(book.now)),
            entries: Vec::new(),
        });
        assert_eq!(names(&book.report()), expected);
    }
}

#[test]
fn the_head_that_people_sign_is_compared_from_the_record_on_that_repeats_the_tree() {
    for (marks, wrong, expected) in [
        (true, true, &["head-unknown"][..]),
        (true, false, &[]),
        (false, true, &[]),
    ] {
        let mut book = Book::founded();
        let missing = lose(&mut book, |book| drop(book.crowd(3)));
        force_without(&mut book, &[missing], &[missing]);
        if marks {
            let marker = Body::Marker(Marker {
                log: book.walk.frontier().clone(),
            });
            book.record(RecordHeader::default(), marker);
        }
        let mut review = Review {
            head: book.head(),
            nonce: Nonce([9; 16]),
            by: name("udo"),
        };
        if wrong {
            review.head.root = TreeHash::ZERO;
        }
        book.say("udo", Kind::Review(review));
        let report = book.report();
        assert_eq!(names(&report), expected);
        let compared = report
            .alarms
            .iter()
            .filter(|alarm| alarm.name == "head-old");
        let untold = 1 + usize::from(!marks);
        assert_eq!(compared.count(), untold, "{:#?}", report.alarms);
    }
}
