//! Checkpoints, keys, proofs and receipts as texts: what is printed is read, and nothing else is.

use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use stele_format::checkpoint::{
    Certificate, Checkpoint, CheckpointError, KeyHistory, LogKey, LogTurn, Origin,
    UnverifiedCheckpoint,
};
use stele_format::digest::Digest;
use stele_format::proof::{LogProof, Receipt, ReceiptError};
use stele_format::record::{Body, Marker, RecordHeader, encode_record};
use stele_format::tree::proof::Proofs;
use stele_format::tree::{Frontier, leaf_hash};
use stele_format::units::{Epoch, LogIndex, Opening, PoolId};

const POOL: PoolId = PoolId::from_bytes([0xab; 16]);

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn key() -> LogKey {
    LogKey::new(Origin::of(POOL), signing().verifying_key().as_bytes()).expect("valid")
}

fn note(checkpoint: &Checkpoint) -> String {
    let signature = signing().sign(checkpoint.to_string().as_bytes());
    checkpoint.note(&key(), &signature.to_bytes())
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: Origin::of(POOL),
        size: 109_482,
        root: leaf_hash(b"root"),
    }
}

#[test]
fn a_checkpoint_is_read_as_it_was_signed() {
    let text = note(&checkpoint());
    let read = UnverifiedCheckpoint::parse(&text).expect("valid");
    assert_eq!(read.text(), text);
    assert_eq!(read.verify(&key()), Ok(checkpoint()));
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[0], "stele/abababababababababababababababab");
    assert_eq!(lines[1], "109482");
    assert_eq!((lines[3], lines.len()), ("", 6));
}

#[test]
fn a_key_is_read_as_it_is_printed_and_in_no_other_spelling() {
    let text = key().to_string();
    assert_eq!(LogKey::parse(&text), Ok(key()));
    for place in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[place] ^= 1;
        let other = String::from_utf8_lossy(&other).into_owned();
        assert_ne!(LogKey::parse(&other), Ok(key()), "{other}");
    }
    let neutral = LogKey::new(Origin::of(POOL), &{
        let mut point = [0; 32];
        point[0] = 1;
        point
    });
    assert_eq!(neutral, Err(CheckpointError::Key));
}

#[test]
fn no_change_of_a_byte_leaves_a_checkpoint_that_verifies() {
    let text = note(&checkpoint());
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let verified = UnverifiedCheckpoint::parse(&changed).and_then(|n| n.verify(&key()));
            assert!(verified.is_err(), "byte {place}, bit {bit}");
        }
    }
}

#[test]
fn other_forms_of_a_note_are_refused() {
    let text = note(&checkpoint());
    let (body, signature) = text.split_once("\n\n").expect("valid");
    let refused = |text: &str| UnverifiedCheckpoint::parse(text).unwrap_err();
    assert_eq!(
        refused(&format!("{body}\nmore\n\n{signature}")),
        CheckpointError::Note
    );
    assert_eq!(
        refused(&text.replace("109482", "0109482")),
        CheckpointError::Size
    );
    assert_eq!(
        refused(&text.replace("109482", "+109482")),
        CheckpointError::Size
    );
    assert_eq!(
        refused(&text.replace("109482", "1152921504606846977")),
        CheckpointError::Size
    );
    assert_eq!(
        refused(&text.replace("stele/", "stela/")),
        CheckpointError::Origin
    );
    assert_eq!(refused(&text.replace('\n', "\r\n")), CheckpointError::Note);
    assert_eq!(refused(body), CheckpointError::Note);
    assert_eq!(refused(&format!("{body}\n\n")), CheckpointError::Note);
    assert_eq!(refused(&format!("{text}\n")), CheckpointError::Note);
    assert_eq!(
        refused(&format!("{body}\n\n{}", signature.repeat(17))),
        CheckpointError::Note
    );
    assert_eq!(refused(&"x".repeat(9000)), CheckpointError::Long);
}

#[test]
fn lines_of_witnesses_are_kept_and_do_not_count() {
    let text = note(&checkpoint());
    let (body, signature) = text.split_once("\n\n").expect("valid");
    let witness = "\u{2014} witness.example/w1 3q2+78r+utre\n";
    let both = format!("{body}\n\n{witness}{signature}");
    let read = UnverifiedCheckpoint::parse(&both).expect("valid");
    assert_eq!(
        (read.text(), read.verify(&key())),
        (both.as_str(), Ok(checkpoint()))
    );
    let only = UnverifiedCheckpoint::parse(&format!("{body}\n\n{witness}")).expect("valid");
    assert_eq!(only.verify(&key()), Err(CheckpointError::Unsigned));
}

#[test]
fn the_key_of_another_vault_verifies_nothing() {
    let public = *signing().verifying_key().as_bytes();
    let other = LogKey::new(Origin::of(PoolId::from_bytes([1; 16])), &public).expect("valid");
    let read = UnverifiedCheckpoint::parse(&note(&checkpoint())).expect("valid");
    assert_eq!(read.verify(&other), Err(CheckpointError::OtherLog));
    let public = *SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes();
    let other = LogKey::new(Origin::of(POOL), &public).expect("valid");
    assert_eq!(read.verify(&other), Err(CheckpointError::Unsigned));
}

/// Headers of a log of so many records, and the receipt of one of them.
fn receipt(size: u64, index: u64) -> (String, RecordHeader) {
    let mut previous = Digest::ZERO;
    let mut headers = Vec::new();
    for log_index in (0..size).map(LogIndex::new) {
        let body = Body::Marker(Marker {
            log: Frontier::new(),
        });
        let mut bytes = Vec::new();
        let header = RecordHeader {
            record_type: body.record_type(),
            epoch: Epoch::new(1),
            log_index,
            previous_header: previous,
            ..RecordHeader::default()
        };
        let header = encode_record(header, &body, &[], &mut bytes).expect("valid");
        previous = header.chain_digest();
        headers.push(header);
    }
    let proofs = Proofs::of_log(headers.iter().map(RecordHeader::leaf_hash).collect());
    let checkpoint = Checkpoint {
        size,
        root: proofs.root(size).expect("valid"),
        ..checkpoint()
    };
    let header = headers[usize::try_from(index).expect("valid")];
    let path = proofs.inclusion(index, size).expect("valid");
    let note = note(&checkpoint);
    (Receipt::text(&header.encode(), index, &path, &note), header)
}

#[test]
fn a_receipt_is_a_proof_that_has_its_record_in_it() {
    let (text, header) = receipt(13, 9);
    let proof = LogProof::parse(&text).expect("valid");
    assert_eq!((proof.to_string(), proof.index), (text.clone(), 9));
    assert!(proof.verify(&key(), &header.leaf_hash()).is_ok());
    let receipt = Receipt::verify(&text, &key()).expect("valid");
    assert_eq!((receipt.header, receipt.checkpoint.size), (header, 13));
    let bare = LogProof {
        extra: Vec::new(),
        ..proof
    };
    let read = LogProof::parse(&bare.to_string());
    assert_eq!(read.as_ref(), Ok(&bare));
    assert!(bare.verify(&key(), &header.leaf_hash()).is_ok());
    assert_eq!(
        Receipt::verify(&bare.to_string(), &key()),
        Err(ReceiptError::NoHeader)
    );
}

#[test]
fn no_bit_of_a_receipt_can_change() {
    let (text, _) = receipt(7, 4);
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                let verified = Receipt::verify(&changed, &key());
                assert!(verified.is_err(), "byte {place}, bit {bit}");
            }
        }
    }
}

#[test]
fn other_forms_of_a_proof_are_refused() {
    let (text, _) = receipt(7, 4);
    let refused = |text: &str| LogProof::parse(text).unwrap_err();
    assert_eq!(refused(&text.replace("@v1", "@v2")), ReceiptError::Form);
    assert_eq!(
        refused(&text.replace("index 4", "index 04")),
        ReceiptError::Form
    );
    assert_eq!(refused(&text.replace("index 4\n", "")), ReceiptError::Form);
    let extra = text.split('\n').nth(1).expect("valid");
    assert_eq!(refused(&text.replace(extra, "extra ")), ReceiptError::Form);
    assert_eq!(
        refused(&text.replace(extra, &format!("{extra}\n{extra}"))),
        ReceiptError::Form
    );
    assert_eq!(refused(&"x".repeat(20_000)), ReceiptError::Long);
}

proptest! {
    /// Whatever is read is printed as it was: no text has a second spelling.
    #[test]
    fn what_is_read_prints_to_the_same_bytes(
        at in 0_usize..700,
        cut in 0_usize..4,
        put in "[\n =+/A-Za-z0-9\u{2014}]{0,4}",
    ) {
        let (text, _) = receipt(7, 4);
        let (at, cut) = (at.min(text.len()), cut.min(text.len().saturating_sub(at)));
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + cut..)) else {
            return Ok(());
        };
        let changed = format!("{before}{put}{after}");
        if let Ok(proof) = LogProof::parse(&changed) {
            prop_assert_eq!(proof.to_string(), changed.clone());
        }
        let (_, note) = changed.split_once("\n\n").unwrap_or_default();
        if let Ok(read) = UnverifiedCheckpoint::parse(note) {
            prop_assert!(note.starts_with(&read.claims().to_string()));
        }
    }
}

fn certificate() -> (Certificate, String) {
    let lines = [
        "destroyed     1 versions",
        "method        cryptographic erase",
    ];
    let lines = lines.map(str::to_owned);
    let certificate = Certificate::new(Origin::of(POOL), &lines).expect("of the form");
    let signature = signing().sign(certificate.text().as_bytes()).to_bytes();
    let note = certificate.note(&key(), &signature);
    (certificate, note)
}

#[test]
fn a_certificate_is_read_as_it_was_signed_and_no_change_of_a_byte_verifies() {
    let (certificate, note) = certificate();
    assert_eq!(Certificate::verify(&note, &key()), Ok(certificate));
    let begin = "stele-certificate v1\nlog stele/abababababababababababababababab\ndestroyed";
    assert!(note.starts_with(begin), "{note}");
    for place in 0..note.len() {
        for bit in 0..8 {
            let mut other = note.clone().into_bytes();
            other[place] ^= 1 << bit;
            if let Ok(other) = String::from_utf8(other) {
                let read = Certificate::verify(&other, &key());
                assert!(read.is_err(), "{place} {bit} {other}");
            }
        }
    }
}

#[test]
fn a_certificate_is_no_checkpoint_and_has_one_line_of_the_logs_key() {
    let (_, note) = certificate();
    assert!(UnverifiedCheckpoint::parse(&note).is_err());
    let refused = |note: &str| Certificate::verify(note, &key()).expect_err("refused");
    assert_eq!(refused(&self::note(&checkpoint())), CheckpointError::Note);
    let (text, line) = note.split_once("\n\n").expect("a note");
    assert_eq!(refused(text), CheckpointError::Note);
    let twice = format!("{text}\n\n{line}{line}");
    assert_eq!(refused(&twice), CheckpointError::Note);
    let other = LogKey::new(
        Origin::of(PoolId::from_bytes([1; 16])),
        signing().verifying_key().as_bytes(),
    );
    let other = Certificate::verify(&note, &other.expect("valid"));
    assert_eq!(other, Err(CheckpointError::OtherLog));
    for lines in [
        vec![],
        vec![""],
        vec!["a\nb"],
        vec!["a\x1bb"],
        vec!["a", "", "b"],
    ] {
        let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        assert_eq!(
            Certificate::new(Origin::of(POOL), &lines),
            None,
            "{lines:?}"
        );
    }
}

#[test]
fn the_origin_of_a_log_that_was_forced_open_has_one_spelling() {
    let origin = Origin::of(POOL).after(Opening::new(12));
    let text = "stele/abababababababababababababababab/12";
    assert_eq!(origin.to_string(), text);
    assert_eq!(Origin::parse(text), Some(origin));
    assert_eq!(origin.after(Opening::ZERO), Origin::of(POOL));
    for wrong in ["/0", "/012", "/", "/x", "/-1", "/1048576", "/1/2", "/ 1"] {
        let text = format!("stele/{POOL}{wrong}");
        assert_eq!(Origin::parse(&text), None, "{text}");
    }
}

fn signed_by(checkpoint: &Checkpoint, keys: &[LogKey]) -> UnverifiedCheckpoint {
    let signature = signing().sign(checkpoint.to_string().as_bytes()).to_bytes();
    let signed: Vec<_> = keys.iter().map(|key| (key, &signature)).collect();
    UnverifiedCheckpoint::parse(&checkpoint.note_of(&signed)).expect("valid")
}

#[test]
fn the_name_after_a_forced_opening_is_believed_by_the_word_of_the_key_before_it() {
    let before = KeyHistory::from(&key());
    let renamed = key().after(Opening::new(1));
    let forced = Checkpoint {
        origin: renamed.origin(),
        ..checkpoint()
    };
    let linked = signed_by(&forced, &[key(), renamed]);
    assert_eq!(before.verify(&linked), Ok(forced));
    let alone = signed_by(&forced, &[renamed]);
    assert_eq!(before.verify(&alone), Err(CheckpointError::Unsigned));
    // A key of the name after it says nothing of the one before.
    let after = KeyHistory::from(&renamed);
    let plain = signed_by(&checkpoint(), &[renamed, key()]);
    assert_eq!(after.verify(&plain), Err(CheckpointError::OtherLog));
}

#[test]
fn both_names_of_a_log_count_each_for_what_was_signed_under_it() {
    let turn = [(100, LogTurn::Opening(Opening::new(1)))];
    let keys = KeyHistory::from(&key()).followed(&turn);
    let renamed = key().after(Opening::new(1));
    assert_eq!(keys.keys()[1].to_string(), format!("{renamed}@101"));
    let check = |key: LogKey, size: u64, counts: bool| {
        let checkpoint = Checkpoint {
            origin: key.origin(),
            size,
            ..checkpoint()
        };
        let verified = keys.verify(&signed_by(&checkpoint, &[key]));
        assert_eq!(verified.is_ok(), counts, "{key} at {size}: {verified:?}");
    };
    check(key(), 90, true);
    // Of the end that was lost: it proves what was lost.
    check(key(), 200, true);
    check(renamed, 101, true);
    check(renamed, 100, false);
    // No name comes back.
    let back = keys.clone().followed(&[(300, turn[0].1)]);
    assert_eq!(back, keys);
    let mut mixed = keys.keys().to_vec();
    mixed[0].from = 500;
    assert_eq!(KeyHistory::new(mixed), Err(CheckpointError::Key));
}
