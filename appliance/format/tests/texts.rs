//! Readers of texts and signatures: each understands its samples and holds for changed ones. `cargo xtask fuzz` runs more.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

#[path = "shared/authenticator.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod authenticator;
#[path = "../examples/text_fuzz/drive.rs"]
#[allow(dead_code, reason = "a test bounds no memory of its process")]
mod drive;
#[path = "../examples/text_fuzz/readers.rs"]
mod readers;
#[path = "../examples/text_fuzz/samples.rs"]
mod samples;

use stele_format::checkpoint::{Certificate, LogKey, UnverifiedCheckpoint};
use stele_format::proof::Receipt;
use stele_format::sshsig::{STATEMENT_NAMESPACE, Signature};
use stele_format::statement::Statement;

#[test]
fn samples_are_understood_and_verify() {
    let key = samples::log_key();
    assert_eq!(LogKey::parse(&key.to_string()), Ok(key));
    for (number, note) in samples::checkpoints().iter().enumerate() {
        let note = UnverifiedCheckpoint::parse(note).unwrap();
        let verified = note.verify(&key).or_else(|_| note.verify_linked(&key));
        assert!(verified.is_ok(), "{number}");
        let cosigned = note.cosigned(&samples::witness_key());
        assert_eq!(cosigned.unwrap().is_some(), number < 2, "{number}");
    }
    for receipt in samples::receipts() {
        assert!(Receipt::verify(&receipt, &key).is_ok());
    }
    for certificate in samples::certificates() {
        assert!(Certificate::verify(&certificate, &key).is_ok());
    }
    for statement in samples::statements() {
        assert!(Statement::parse(&statement).is_ok(), "{statement}");
    }
    for (number, bytes) in samples::signatures().iter().enumerate() {
        let signature = match str::from_utf8(bytes) {
            Ok(text) if number >= 4 => Signature::from_armour(text),
            _ => Signature::decode(bytes),
        };
        let verified = signature
            .unwrap()
            .verify(samples::SIGNED, STATEMENT_NAMESPACE);
        assert!(verified.is_ok(), "{number}");
    }
}

#[test]
fn readers_of_texts_hold_for_changed_samples() {
    for reader in readers::all() {
        for sample in &reader.samples {
            (reader.run)(sample);
        }
        drive::drive(&reader, 0..2_000, 1).unwrap();
    }
}
