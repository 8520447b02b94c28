//! What client keys with a special right may do, and what was refused to everybody else.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use stele_format::digest::Digest;
use stele_format::label::VaultFlags;
use stele_format::record::{
    Attempt, Attempted, Body, ClientTag, LockMode, RecordHeader, ReleaseReason, VersionRef,
};
use stele_format::statement::{Act, ClientKey, GrantRights, Second, SpecialRights};
use stele_format::units::{BucketId, UnixMillis};
use support::people::{Book, DAY};

/// Versions enough that a few are no large list.
const CROWD: usize = 400;

fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(CROWD);
    (book, versions)
}

const CLIENT: &str = "STELE1";

fn grant(hold_off: bool, governance_bypass: bool, until: u64) -> Act {
    Act::Grant(GrantRights {
        client: ClientKey::new(CLIENT).unwrap(),
        rights: SpecialRights {
            hold_off,
            governance_bypass,
            lock_admin: false,
        },
        until: Second::of(UnixMillis::new(until)).unwrap(),
    })
}

/// A client shortens a GOVERNANCE retention, deletes under one, and lifts a hold.
fn take_liberties(book: &mut Book, client: &str) -> [u64; 3] {
    book.client = ClientTag::new(client).unwrap_or_default();
    let until = book.now + 100 * DAY;
    let version = book.stored(LockMode::Governance, until, false);
    let held = book.stored(LockMode::None, 0, true);
    [
        book.release(&version, ReleaseReason::ClientDelete).get(),
        book.retention(&version, LockMode::Governance, until - DAY)
            .get(),
        book.hold(&held, false).get(),
    ]
}

/// The key that has the right, another one, and nobody that is named.
#[test]
fn only_the_key_that_was_granted_a_right_may_use_it() {
    for (client, lawful) in [
        (CLIENT, true),
        ("STELE2", false),
        ("STELE", false),
        ("", false),
    ] {
        let (mut book, _) = vault();
        let until = book.now + 20 * DAY;
        book.through("fay", &["anna"], grant(true, true, until), 8 * DAY);
        let liberties = take_liberties(&mut book, client);
        if lawful {
            let report = book.lawful();
            assert_eq!(report.by_right.len(), liberties.len());
            assert!(
                report
                    .by_right
                    .iter()
                    .all(|line| line.what.contains(client))
            );
        } else {
            let unlawful: Vec<u64> = book.unlawful().iter().map(|(_, index)| *index).collect();
            assert_eq!(unlawful, liberties, "{client}");
        }
    }
}

#[test]
fn what_was_refused_is_summed_up_and_is_no_breach() {
    let (mut book, _) = vault();
    let now = UnixMillis::new(book.now);
    let attempt = |by: Attempted, what: &str, count| Attempt {
        by,
        what: what.to_owned(),
        why: "locked".to_owned(),
        count,
        first_ms: now,
        last_ms: now,
    };
    let client = ClientTag::new(CLIENT).unwrap();
    let version = book.locked(LockMode::Compliance, DAY);
    let by = Attempted::Client {
        client,
        bucket: BucketId::new([7; 16]),
        first: version,
    };
    let statement = Attempted::Statement {
        person: "anna".to_owned(),
        fingerprint: String::new(),
        first: Digest::of(b"text"),
    };
    let records = [
        vec![
            attempt(by.clone(), "delete-version", 3),
            attempt(statement, "approve", 1),
        ],
        vec![
            attempt(by, "delete-version", 4),
            attempt(Attempted::Deletes { client }, "deletes", 1_001),
        ],
    ];
    let indexes: Vec<u64> = records
        .map(|body| {
            book.record(RecordHeader::default(), Body::Refused(body))
                .get()
        })
        .to_vec();
    let report = book.lawful();
    let lines: Vec<_> = report
        .refused
        .iter()
        .map(|line| {
            (
                line.what.as_str(),
                line.count,
                line.client.as_deref(),
                line.person.as_deref(),
                line.version,
            )
        })
        .collect();
    let made = version.version.ordinal().get();
    assert_eq!(
        lines,
        [
            ("approve", 1, None, Some("anna"), None),
            ("delete-version", 7, Some(CLIENT), None, Some(made)),
        ]
    );
    assert_eq!(report.refused[1].index, indexes[0]);
    let alarms: Vec<_> = report
        .alarms
        .iter()
        .map(|line| (line.name, line.index))
        .collect();
    assert_eq!(alarms, [("delete-rate", indexes[1])]);
}

#[test]
fn without_a_right_in_force_no_client_lifts_holds_or_governance() {
    for granted in [false, true] {
        let (mut book, _) = vault();
        if granted {
            let until = book.now + 10 * DAY;
            book.through("fay", &["anna"], grant(true, true, until), 8 * DAY);
            book.wait(2 * DAY);
        }
        let [released, lowered, lifted] = take_liberties(&mut book, CLIENT);
        assert_eq!(
            book.unlawful(),
            [
                ("locked-released", released),
                ("governance-lowered", lowered),
                ("hold-lifted", lifted)
            ]
        );
    }
}

#[test]
fn what_a_granted_right_has_done_is_said_and_not_called_unlawful() {
    for evaluation in [false, true] {
        let flags = if evaluation {
            VaultFlags::EVALUATION
        } else {
            VaultFlags::SINGLE_DISK
        };
        let mut book = Book::blank(flags);
        book.found(&support::people::STAFF, &[]);
        if !evaluation {
            let until = book.now + 20 * DAY;
            book.through("fay", &["anna"], grant(true, true, until), 8 * DAY);
        }
        let liberties = take_liberties(&mut book, CLIENT);
        let report = book.lawful();
        let said: Vec<u64> = report.by_right.iter().map(|line| line.index).collect();
        assert_eq!(said, liberties);
        assert_eq!(report.grants.len(), usize::from(!evaluation));
    }
}

#[test]
fn one_right_is_not_the_other() {
    let (mut book, _) = vault();
    let until = book.now + 20 * DAY;
    book.through("fay", &["anna"], grant(false, true, until), 8 * DAY);
    let [_, _, lifted] = take_liberties(&mut book, CLIENT);
    assert_eq!(book.unlawful(), [("hold-lifted", lifted)]);
}
