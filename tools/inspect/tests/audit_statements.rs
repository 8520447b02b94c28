//! What a statement must be: founded, signed, for this log, about something that is there; and the clocks.

mod support;

use stele_format::digest::Digest;
use stele_format::label::VaultFlags;
use stele_format::record::{Body, ClockEvent, ClockEventKind, RecordHeader, VersionRef};
use stele_format::statement::{
    Act, Head, Kind, LaterAct, Nonce, Origin, Review, Role, Second, Session, Statement, Verb,
};
use stele_format::units::{LogIndex, PoolId, UnixMillis};
use support::people::{Asked, Book, DAY, STAFF, Token, name};

fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(400);
    (book, versions)
}

fn asked(book: &mut Book, versions: &[VersionRef]) -> Asked {
    let act = book.erase_act(versions);
    book.ask("olga", act)
}

#[test]
fn a_founding_is_signed_by_all_large_enough_and_once() {
    let mut book = Book::blank(VaultFlags::SINGLE_DISK);
    let before = book.put_case_text("olga");
    let small = book.found(&STAFF[2..], &[]);
    let signers: Vec<&str> = STAFF[1..].iter().map(|(person, _)| *person).collect();
    let unsigned = book.found_by(&STAFF, &[], &signers);
    book.found(&STAFF, &[]);
    let twice = book.found(&STAFF, &[("other", "1")]);
    assert_eq!(
        book.unlawful(),
        [
            ("not-founded", before.get()),
            ("found-too-small", small.get()),
            ("found-unsigned", unsigned.get()),
            ("found-twice", twice.get()),
        ]
    );
}

#[test]
fn keys_in_files_are_for_evaluation_vaults_that_say_so() {
    for (flags, policies, rule) in [
        (VaultFlags::EVALUATION, &[("plain-keys", "yes")][..], None),
        (VaultFlags::EVALUATION, &[][..], Some("plain-key")),
        (
            VaultFlags::SINGLE_DISK,
            &[("plain-keys", "yes")][..],
            Some("plain-key"),
        ),
    ] {
        let mut book = Book::blank(flags);
        book.tokens.insert("olga".to_owned(), Token::plain("olga"));
        let found = book.found(&STAFF, policies);
        match rule {
            Some(rule) => book.breaks(rule, found),
            None => drop(book.lawful()),
        }
    }
}

#[test]
fn the_founding_alone_says_whether_keys_in_files_count() {
    let mut book = Book::blank(VaultFlags::EVALUATION);
    book.found(&STAFF, &[("plain-keys", "yes")]);
    let set = Act::Policy {
        name: name("plain-keys"),
        value: name("no"),
    };
    let asked = book.ask("fay", set);
    book.breaks("policy-value", asked.index);
}

#[test]
fn a_session_is_by_somebody_active_about_now_and_once() {
    let (mut book, _) = vault();
    let session = |book: &mut Book, by: &str, nonce: u8, off: i64| {
        let at = (book.now / 1000).checked_add_signed(off).unwrap();
        let session = Kind::Session(Session {
            nonce: Nonce([nonce; 32]),
            at: Second::new(at).unwrap(),
            ask: Digest::of(b"question"),
            by: name(by),
        });
        book.say(by, session)
    };
    // Whatever their role, and in any of the five minutes.
    session(&mut book, "cora", 1, 0);
    session(&mut book, "olga", 2, 300);
    session(&mut book, "olga", 3, -300);
    let late = session(&mut book, "olga", 4, 301);
    let twice = session(&mut book, "olga", 2, 300);
    let stranger = session(&mut book, "nina", 5, 0);
    assert_eq!(
        book.unlawful(),
        [
            ("session-time", late.get()),
            ("statement-twice", twice.get()),
            ("person-unknown", stranger.get()),
        ]
    );
}

#[test]
fn a_security_key_must_be_touched_and_know_by_whom() {
    for flags in [0, 1, 4] {
        let (mut book, versions) = vault();
        book.token("olga").flags = flags;
        let act = book.erase_act(&versions[..2]);
        let asked = book.ask("olga", act);
        book.breaks("signature-without-person", asked.index);
    }
}

#[test]
fn a_counter_that_goes_back_only_alarms() {
    let (mut book, versions) = vault();
    book.token("olga").counter = 40;
    asked(&mut book, &versions[..1]);
    book.token("olga").counter = 10;
    let back = asked(&mut book, &versions[..2]);
    let report = book.lawful();
    let alarms: Vec<_> = report
        .alarms
        .iter()
        .map(|line| (line.name, line.index))
        .collect();
    assert_eq!(alarms, [("counter-back", back.index.get())]);
}

#[test]
fn what_is_signed_is_this_text_by_this_person_for_this_log() {
    let (mut book, _) = vault();
    let review = Review {
        head: book.head(),
        nonce: Nonce([1; 16]),
        by: name("fay"),
    };
    let text = book.text(Kind::Review(review.clone()));
    let other = text.replace("0101", "0102");
    let forged = book.token("fay").sign(&other);
    let forged = book.statement(text.clone(), vec![forged]);
    let finn = book.token("finn").sign(&text);
    let stranger = book.statement(text.clone(), vec![finn]);
    let none = book.statement(text.clone(), Vec::new());
    let garbage = book.statement(text.clone(), vec![vec![1, 2, 3]]);
    let elsewhere = Origin::of(PoolId::from_bytes([9; 16]));
    let elsewhere = Statement::new(elsewhere, Kind::Review(review))
        .unwrap()
        .to_text();
    let signed = book.token("fay").sign(&elsewhere);
    let elsewhere = book.statement(elsewhere, vec![signed]);
    let noise = book.statement("hello\n".to_owned(), Vec::new());
    let session = Kind::Session(Session {
        nonce: Nonce([2; 32]),
        at: Second::new(1).unwrap(),
        ask: Digest::of(b"question"),
        by: name("fay"),
    });
    let session = book.say("fay", session);
    assert_eq!(
        book.unlawful(),
        [
            ("signature-invalid", forged.get()),
            ("signature-stranger", stranger.get()),
            ("signature-count", none.get()),
            ("signature-invalid", garbage.get()),
            ("statement-other-log", elsewhere.get()),
            ("statement-text", noise.get()),
            ("session-time", session.get()),
        ]
    );
}

#[test]
fn what_people_saw_of_the_log_must_be_this_log() {
    let (mut book, versions) = vault();
    let act = book.erase_act(&versions[..2]);
    let mut request = book.request("olga", act);
    let past = request.head;
    book.crowd(5);
    let known = book.ask_as("olga", request.clone());
    request.nonce = Nonce([9; 16]);
    request.head = Head {
        size: past.size - 1,
        ..past
    };
    let other = book.ask_as("olga", request.clone());
    request.head = Head {
        size: past.size + 1000,
        ..book.head()
    };
    let future = book.ask_as("olga", request);
    assert_ne!(known.index, other.index);
    let name = "head-unknown";
    assert_eq!(
        book.unlawful(),
        [(name, other.index.get()), (name, future.index.get())]
    );
}

#[test]
fn a_head_from_long_ago_is_said_and_not_judged() {
    let (mut book, versions) = vault();
    let act = book.erase_act(&versions[..2]);
    let request = book.request("olga", act);
    book.crowd((1 << 16) + 1);
    book.ask_as("olga", request);
    assert_eq!(book.lawful().alarms[0].name, "head-old");
}

#[test]
fn answers_name_a_request_and_its_text() {
    let (mut book, versions) = vault();
    let mut asked = asked(&mut book, &versions[..2]);
    asked.digest = Digest::of(b"another text");
    let text = book.answer("anna", Verb::Approve, &asked);
    asked.index = LogIndex::new(3);
    let nothing = book.answer("anna", Verb::Approve, &asked);
    assert_eq!(
        book.unlawful(),
        [
            ("request-digest", text.get()),
            ("request-unknown", nothing.get())
        ]
    );
}

#[test]
fn acts_of_later_versions_are_refused() {
    let (mut book, _) = vault();
    let asked = book.ask("fay", Act::Later(LaterAct::Tape));
    book.breaks("act-unknown", asked.index);
}

#[test]
fn holds_and_reviews_are_for_those_who_act_and_those_who_look() {
    for (person, role) in STAFF {
        let (mut book, versions) = vault();
        let hold = book.put_case(person, "case", &versions[..1]);
        let review = Kind::Review(Review {
            head: book.head(),
            nonce: Nonce([1; 16]),
            by: name(person),
        });
        let review = book.say(person, review);
        let mut expected = Vec::new();
        if matches!(role, Role::Custodian | Role::Auditor) {
            expected.push(("hold-role", hold.get()));
        }
        if !matches!(role, Role::Officer | Role::Auditor) {
            expected.push(("review-role", review.get()));
        }
        assert_eq!(book.unlawful(), expected, "{person}");
    }
}

#[test]
fn a_review_suspends_unused_keys_but_never_below_the_minimum() {
    let (mut book, versions) = vault();
    book.wait(89 * DAY);
    asked(&mut book, &versions[..1]);
    book.wait(DAY);
    let review = Kind::Review(Review {
        head: book.head(),
        nonce: Nonce([1; 16]),
        by: name("fay"),
    });
    book.say("fay", review);
    let report = book.lawful();
    let suspended = report
        .people
        .iter()
        .filter(|person| person.keys[0].state == "suspended");
    let suspended: Vec<&str> = suspended.map(|person| person.name.as_str()).collect();
    // Two approvers and two officers stay; of keys unused for the same time the lower point goes first. The
    // custodian has nothing to sign.
    let lowest = ["anke", "anna", "axel"].into_iter();
    let lowest = lowest.min_by_key(|person| *Token::new(person).public().point());
    assert_eq!(suspended, [lowest.unwrap(), "oleg", "udo"]);
}

#[test]
fn the_clock_goes_forward_alone_or_as_far_as_was_approved() {
    let clock = |kind, before, request| {
        Body::Clock(ClockEvent {
            kind,
            before_ms: UnixMillis::new(before),
            request,
        })
    };
    let plain = RecordHeader::default();
    let (hour, approved) = (DAY / 24, 40 * DAY);
    // Moved by, how far the wall clock is ahead of that or behind it, the rule.
    let table = [
        (approved, (0, 0), None),
        (approved + hour, (0, 0), None),
        (approved + hour + 1, (DAY, 0), Some("clock-beyond")),
        (approved, (0, hour), None),
        (approved, (0, hour + 1), Some("clock-beyond")),
        (0, (0, DAY), None),
    ];
    for (moved, (ahead, behind), rule) in table {
        let (mut book, _) = vault();
        book.wall_ahead = 50 * DAY;
        let act = Act::Clock { by_hours: 40 * 24 };
        let asked = book.through("fay", &["anna"], act, 8 * DAY);
        let before = book.now;
        book.now += moved;
        (book.wall_ahead, book.wall_behind) = (ahead, behind);
        let index = book.record(
            plain,
            clock(ClockEventKind::Corrected, before, Some(asked.index)),
        );
        let again = book.record(
            plain,
            clock(ClockEventKind::Corrected, book.now, Some(asked.index)),
        );
        let mut expected: Vec<_> = rule.map(|rule| (rule, index.get())).into_iter().collect();
        expected.push(("clock-unapproved", again.get()));
        assert_eq!(book.unlawful(), expected);
    }
    let (mut book, _) = vault();
    book.wall_ahead = DAY;
    book.ask("fay", Act::Clock { by_hours: 24 });
    let second = book.ask("fay", Act::Clock { by_hours: 1 });
    book.breaks("clock-again", second.index);
    for (ahead, rule) in [
        (23 * DAY / 24, None),
        (23 * DAY / 24 - 1, Some("clock-time")),
    ] {
        let (mut book, _) = vault();
        book.wall_ahead = ahead + 1;
        let asked = book.ask("fay", Act::Clock { by_hours: 24 });
        let expected: Vec<_> = rule
            .map(|rule| (rule, asked.index.get()))
            .into_iter()
            .collect();
        assert_eq!(book.unlawful(), expected);
    }
    let (mut book, _) = vault();
    let now = book.now;
    let simulated = book.record(plain, clock(ClockEventKind::Simulated, now, None));
    let unapproved = book.record(plain, clock(ClockEventKind::Corrected, now, None));
    let left = book.record(plain, clock(ClockEventKind::WallLeft, now, None));
    let before = book.record(plain, clock(ClockEventKind::WallReturned, now - 1, None));
    book.now -= 1;
    let back = book.record(plain, clock(ClockEventKind::WallReturned, now, None));
    let report = book.report();
    let broken: Vec<_> = report
        .unlawful
        .iter()
        .map(|line| (line.name, line.index))
        .collect();
    assert_eq!(
        broken,
        [
            ("clock-simulated", simulated.get()),
            ("clock-unapproved", unapproved.get()),
            ("clock-before", before.get()),
            ("clock-back", back.get()),
            ("clock-before", back.get()),
        ]
    );
    assert_eq!(
        (report.alarms[0].name, report.alarms[0].index),
        ("wall-clock-left", left.get())
    );
}

#[test]
fn a_clock_is_not_set_before_the_request_is_executed() {
    let (mut book, _) = vault();
    book.wall_ahead = 41 * DAY;
    let asked = book.ask("fay", Act::Clock { by_hours: 40 * 24 });
    book.answer("anna", Verb::Approve, &asked);
    let event = ClockEvent {
        kind: ClockEventKind::Corrected,
        before_ms: UnixMillis::new(book.now),
        request: Some(asked.index),
    };
    book.wait(DAY);
    let set = book.record(RecordHeader::default(), Body::Clock(event));
    book.breaks("clock-unapproved", set);
}

#[test]
fn an_unknown_policy_is_refused() {
    let mut book = Book::blank(VaultFlags::SINGLE_DISK);
    let found = book.found(&STAFF, &[("approvals", "3")]);
    book.breaks("policy-value", found);
}
