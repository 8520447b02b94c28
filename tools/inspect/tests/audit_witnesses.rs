//! What witnesses said, and destruction that came without them.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use ed25519_dalek::{Signer, SigningKey};
use stele_format::checkpoint::{Checkpoint, LogKey, Origin, UnverifiedCheckpoint, WitnessKey};
use stele_format::label::VaultFlags;
use stele_format::record::{Body, LockMode, RecordHeader, VersionRef};
use stele_format::statement::{Act, Head};
use stele_format::tree::leaf_hash;
use stele_format::units::{LogIndex, PoolId};
use support::people::{Asked, Book, DAY, HOUR, POOL, STAFF, name};

fn witness(seed: u8) -> WitnessKey {
    let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
    WitnessKey::new(&format!("witness.example/w{seed}"), key.as_bytes()).unwrap()
}

fn add(person: &str, seed: u8) -> Act {
    Act::Witness {
        name: name(person),
        key: witness(seed),
    }
}

fn agree(book: &mut Book, act: Act) -> Asked {
    book.through("fay", &["anna"], act, 8 * DAY)
}

/// A vault with a witness and versions enough that a few are no large list.
fn vault() -> (Book, Vec<VersionRef>) {
    let mut book = Book::founded();
    let versions = book.crowd(400);
    agree(&mut book, add("branch", 41));
    (book, versions)
}

/// A checkpoint of this head, signed by some log's key and by a witness.
fn note(pool: PoolId, head: Head, seed: u8, millis: u64) -> UnverifiedCheckpoint {
    let checkpoint = Checkpoint {
        origin: Origin::of(pool),
        size: head.size,
        root: head.root,
    };
    let own = SigningKey::from_bytes(&[1; 32]);
    let key = LogKey::new(checkpoint.origin, own.verifying_key().as_bytes()).unwrap();
    let signature = own.sign(checkpoint.to_string().as_bytes()).to_bytes();
    let bare = UnverifiedCheckpoint::parse(&checkpoint.note(&key, &signature)).unwrap();
    let seconds = millis / 1_000;
    let text = checkpoint.cosigned_text(seconds);
    let signature = SigningKey::from_bytes(&[seed; 32]).sign(text.as_bytes());
    bare.with_cosignature(&witness(seed), seconds, &signature.to_bytes())
        .unwrap()
}

fn record(book: &mut Book, note: &str) -> LogIndex {
    book.record(RecordHeader::default(), Body::Cosigned(note.to_owned()))
}

fn heard_at(book: &mut Book, seed: u8, millis: u64) -> LogIndex {
    let note = note(POOL, book.head(), seed, millis);
    record(book, note.text())
}

fn heard(book: &mut Book, seed: u8) -> LogIndex {
    let now = book.now;
    heard_at(book, seed, now)
}

fn approved(book: &mut Book, list: &[VersionRef]) -> Asked {
    let act = book.erase_act(list);
    book.through("olga", &["anna"], act, 73 * HOUR)
}

#[test]
fn c7_a_destruction_within_30_days_of_a_witness_is_lawful() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    heard(&mut book, 41);
    book.wait(30 * DAY - 1_000);
    book.tombstone(&asked, &versions[..1]);
    let report = book.lawful();
    let [line] = report.witnesses.as_slice() else {
        panic!("{report:#?}")
    };
    assert_eq!((line.name.as_str(), line.state), ("branch", "listened-to"));
    assert_eq!(line.key, witness(41).to_string());
    assert!(line.heard.is_some());
}

#[test]
fn c7_a_destruction_after_30_days_of_silence_is_named() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    heard(&mut book, 41);
    book.wait(30 * DAY + 1_000);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-witness", stone);
}

#[test]
fn c7_a_destruction_before_a_witness_was_ever_heard_is_named() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-witness", stone);
}

#[test]
fn c7_an_old_cosignature_that_came_late_ends_no_silence() {
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    let then = book.now - 31 * DAY;
    heard_at(&mut book, 41, then);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-witness", stone);
    // Nor does one with a time far ahead of compliance time, recorded long ago.
    let (mut book, versions) = vault();
    let asked = approved(&mut book, &versions[..1]);
    book.wall_ahead = 400 * DAY;
    let then = book.now + 400 * DAY;
    heard_at(&mut book, 41, then);
    book.wall_ahead = 0;
    book.wait(31 * DAY);
    let stone = book.tombstone(&asked, &versions[..1]);
    book.breaks("tombstone-witness", stone);
}

#[test]
fn c7_what_no_witness_has_seen_the_end_of_is_still_retained() {
    for (late, lawful) in [(0, false), (DAY, true)] {
        let (mut book, _) = vault();
        let version = book.locked(LockMode::Compliance, 2 * HOUR);
        let until = book.now + 2 * HOUR;
        let list = [version];
        book.wait(3 * HOUR);
        let asked = approved(&mut book, &list);
        // Two seconds beside the margin, since cosignatures know seconds alone.
        heard_at(&mut book, 41, until + late + if lawful { 2_000 } else { 0 });
        let stone = book.tombstone(&asked, &list);
        if lawful {
            book.lawful();
        } else {
            book.breaks("tombstone-compliance", stone);
        }
    }
}

#[test]
fn c7_one_that_was_removed_is_neither_needed_nor_listened_to() {
    let (mut book, versions) = vault();
    agree(&mut book, add("auditor", 42));
    let of_branch = Act::RemoveWitness {
        name: name("branch"),
    };
    agree(&mut book, of_branch);
    let asked = approved(&mut book, &versions[..1]);
    let nothing = heard(&mut book, 41);
    let stone = book.tombstone(&asked, &versions[..1]);
    let expected = [
        ("cosigned-nothing", nothing.get()),
        ("tombstone-witness", stone.get()),
    ];
    assert_eq!(book.unlawful(), expected);
    let (mut book, versions) = vault();
    let of_branch = Act::RemoveWitness {
        name: name("branch"),
    };
    agree(&mut book, of_branch);
    let asked = approved(&mut book, &versions[..1]);
    book.tombstone(&asked, &versions[..1]);
    let report = book.lawful();
    assert_eq!(report.witnesses[0].state, "removed");
}

#[test]
fn each_thing_wrong_with_a_cosigned_checkpoint_has_its_name() {
    let (mut book, _) = vault();
    let now = book.now;
    let head = book.head();
    let good = note(POOL, head, 41, now);
    let mut wrong = Vec::new();
    let mut expect = |rule, index: LogIndex| wrong.push((rule, index.get()));
    expect("cosigned-invalid", record(&mut book, "no note"));
    let text = good.text();
    let broken = format!("{}A{}", &text[..text.len() - 20], &text[text.len() - 19..]);
    expect("cosigned-invalid", record(&mut book, &broken));
    let other = note(PoolId::from_bytes([9; 16]), head, 41, now);
    expect("cosigned-other-log", record(&mut book, other.text()));
    let forked = Head {
        root: leaf_hash(b"another history"),
        ..head
    };
    let forked = note(POOL, forked, 41, now);
    expect("cosigned-head", record(&mut book, forked.text()));
    let longer = Head {
        size: head.size + 100,
        ..head
    };
    let longer = note(POOL, longer, 41, now);
    expect("cosigned-head", record(&mut book, longer.text()));
    let stranger = heard(&mut book, 42);
    expect("cosigned-nothing", stranger);
    let ahead = heard_at(&mut book, 41, now + DAY + 2_000);
    expect("cosigned-ahead", ahead);
    record(&mut book, good.text());
    expect("cosigned-nothing", record(&mut book, good.text()));
    assert_eq!(book.unlawful(), wrong);
}

#[test]
fn a_witness_is_known_once_and_removed_once() {
    let (mut book, _) = vault();
    let of_branch = || Act::RemoveWitness {
        name: name("branch"),
    };
    agree(&mut book, of_branch());
    let expected = [
        ("witness-unknown", book.ask("fay", of_branch()).index.get()),
        (
            "witness-known",
            book.ask("fay", add("branch", 42)).index.get(),
        ),
        (
            "witness-known",
            book.ask("fay", add("other", 41)).index.get(),
        ),
    ];
    assert_eq!(book.unlawful(), expected);
}

#[test]
fn with_a_simulated_clock_a_witness_counts_as_if_it_followed() {
    let mut book = Book::blank(VaultFlags::SIMULATED_CLOCK);
    book.found(&STAFF, &[]);
    let versions = book.crowd(400);
    agree(&mut book, add("branch", 41));
    let asked = approved(&mut book, &versions[..1]);
    let long_ago = book.now - 400 * DAY;
    heard_at(&mut book, 41, long_ago);
    book.tombstone(&asked, &versions[..1]);
    book.lawful();
}
