//! H7 for an auditor: another key for the log needs people and the key before, and what each of both signs counts from a
//! record on, without a word from the vault.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use stele_format::checkpoint::{
    Checkpoint, CheckpointError, KeyFrom, KeyHistory, LogKey, Origin, UnverifiedCheckpoint,
};
use stele_format::label::VaultFlags;
use stele_format::record::{Body, KeyChange, RecordHeader};
use stele_format::statement::{Act, LogPublic};
use stele_format::units::LogIndex;
use stele_inspect::prove::{Claim, Refusal, prove, receipt};
use support::people::{Asked, Book, DAY, STAFF};

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> [u8; 32] {
    signing(seed).verifying_key().to_bytes()
}

fn key(seed: u8) -> LogKey {
    LogKey::new(Origin::of(support::POOL), &public(seed)).unwrap()
}

fn act(seed: u8) -> Act {
    Act::LogKey {
        key: LogPublic(public(seed)),
    }
}

fn change(request: LogIndex, old: u8, new: u8, by: u8) -> Body {
    let (old, new) = (public(old), public(new));
    let text = KeyChange::text(Origin::of(support::POOL), request, &old, &new);
    Body::LogKey(KeyChange {
        request,
        old,
        new,
        signature: signing(by).sign(text.as_bytes()).to_bytes(),
    })
}

fn founded() -> Book {
    let mut book = Book::keeping(VaultFlags::SINGLE_DISK);
    book.found(&STAFF, &[]);
    book
}

fn executed(book: &mut Book, seed: u8) -> Asked {
    book.through("fay", &["anna", "finn"], act(seed), 7 * DAY)
}

fn record(book: &mut Book, body: Body) -> LogIndex {
    book.record(RecordHeader::default(), body)
}

#[test]
fn two_keys_after_one_another_are_lawful_and_listed() {
    let mut book = founded();
    let mut at = Vec::new();
    for (old, new) in [(1, 2), (2, 3)] {
        let asked = executed(&mut book, new);
        at.push(record(&mut book, change(asked.index, old, new, old)).get() + 1);
    }
    let report = book.lawful();
    let listed: Vec<(String, u64)> = report
        .log_keys
        .iter()
        .map(|line| (line.key.clone(), line.from))
        .collect();
    let expected = [(1, 0), (2, at[0]), (3, at[1])];
    assert_eq!(
        listed,
        expected.map(|(seed, from)| (key(seed).to_string(), from))
    );
}

#[test]
fn a_key_without_leave_signature_or_order_is_named() {
    let mut book = founded();
    let asked = book.ask("fay", act(2));
    let index = record(&mut book, change(asked.index, 1, 2, 1));
    book.breaks("log-key-unapproved", index);

    let mut book = founded();
    let asked = executed(&mut book, 2);
    let index = record(&mut book, change(asked.index, 1, 3, 1));
    book.breaks("log-key-unapproved", index);

    let mut book = founded();
    let asked = executed(&mut book, 2);
    let index = record(&mut book, change(asked.index, 1, 2, 2));
    book.breaks("log-key-signature", index);

    let mut book = founded();
    let asked = executed(&mut book, 2);
    record(&mut book, change(asked.index, 1, 2, 1));
    let index = record(&mut book, change(asked.index, 1, 2, 1));
    book.breaks("log-key-unapproved", index);

    let mut book = founded();
    let asked = executed(&mut book, 2);
    record(&mut book, change(asked.index, 1, 2, 1));
    let asked = executed(&mut book, 3);
    let index = record(&mut book, change(asked.index, 1, 3, 1));
    book.breaks("log-key-stranger", index);

    // Back to the first key, which nobody asked for as a key before.
    let mut book = founded();
    let asked = executed(&mut book, 2);
    record(&mut book, change(asked.index, 1, 2, 1));
    let asked = executed(&mut book, 1);
    let index = record(&mut book, change(asked.index, 2, 1, 2));
    book.breaks("log-key-again", index);

    let mut book = founded();
    book.ask("fay", act(2));
    let asked = book.ask("finn", act(2));
    book.breaks("log-key-again", asked.index);

    // One approval is too few.
    for approver in ["anna", "finn"] {
        let mut book = founded();
        let asked = book.ask("fay", act(2));
        book.answer(approver, stele_format::statement::Verb::Approve, &asked);
        book.wait(7 * DAY);
        let index = book.answer("fay", stele_format::statement::Verb::Execute, &asked);
        let found = book.unlawful();
        assert_eq!(found, [("execute-unapproved", index.get())], "{approver}");
    }
}

fn note(size: u64, root: stele_format::TreeHash, seeds: &[u8]) -> UnverifiedCheckpoint {
    let checkpoint = Checkpoint {
        origin: Origin::of(support::POOL),
        size,
        root,
    };
    let signed: Vec<(LogKey, [u8; 64])> = seeds
        .iter()
        .map(|seed| {
            let signature = signing(*seed).sign(checkpoint.to_string().as_bytes());
            (key(*seed), signature.to_bytes())
        })
        .collect();
    let signed: Vec<(&LogKey, &[u8; 64])> = signed.iter().map(|(k, s)| (k, s)).collect();
    UnverifiedCheckpoint::parse(&checkpoint.note_of(&signed)).unwrap()
}

#[test]
fn each_key_counts_for_its_sizes_alone_and_the_log_tells_the_second() {
    let mut book = founded();
    let asked = executed(&mut book, 2);
    let at = record(&mut book, change(asked.index, 1, 2, 1)).get();
    record(&mut book, Body::Enacted(LogIndex::new(0)));
    let vault = book.write(2);
    let headers = book.headers();
    let root = |size: u64| {
        let mut frontier = stele_format::tree::Frontier::new();
        for header in &headers[..usize::try_from(size).unwrap()] {
            frontier.push(header.leaf_hash());
        }
        frontier.root()
    };
    let claim = Claim::Inclusion {
        record: 0,
        version: None,
        size: None,
    };
    let first = KeyHistory::from(&key(1));
    let both = KeyHistory::new(vec![
        KeyFrom {
            key: key(1),
            from: 0,
        },
        KeyFrom {
            key: key(2),
            from: at + 1,
        },
    ])
    .unwrap();
    for (size, seeds, counts) in [
        (at, &[1][..], true),
        (at, &[2], false),
        (at + 1, &[1], false),
        (at + 1, &[2], true),
        (at + 1, &[1, 2], true),
        (at + 2, &[1], false),
        (at + 2, &[2], true),
    ] {
        let what = format!("{size} by {seeds:?}");
        let note = note(size, root(size), seeds);
        let proven = prove(
            &vault.sources(),
            Duration::ZERO,
            claim,
            Some((&note, &first)),
        );
        match (&proven, counts) {
            (Ok(text), true) => assert!(receipt(text, &both).is_ok(), "{what}"),
            (Err(Refusal::Checkpoint(CheckpointError::Retired { .. })), false) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(both.verify(&note).is_ok(), counts, "{what}");
        // With the first key alone an auditor who does not have the log takes the old signature only.
        assert_eq!(first.verify(&note).is_ok(), seeds.contains(&1), "{what}");
    }
}

#[test]
fn keys_are_read_as_they_are_printed() {
    let later = KeyFrom {
        key: key(2),
        from: 71,
    };
    for one in [
        KeyFrom {
            key: key(1),
            from: 0,
        },
        later,
    ] {
        assert_eq!(KeyFrom::parse(&one.to_string()), Ok(one));
    }
    for wrong in ["", "@1", "x@1"] {
        assert!(KeyFrom::parse(wrong).is_err(), "{wrong}");
    }
    for end in ["@0", "@", "@01", "@-1", "@1@2"] {
        assert!(
            KeyFrom::parse(&format!("{}{end}", key(1))).is_err(),
            "{end}"
        );
    }
    let twice = vec![
        later,
        KeyFrom {
            key: key(1),
            from: 71,
        },
    ];
    assert_eq!(KeyHistory::new(twice), Err(CheckpointError::Key));
}
