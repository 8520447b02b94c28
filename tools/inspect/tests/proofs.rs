//! Proofs from disks: that they verify, and that nothing is proven of a log somebody has touched.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use stele_format::TreeHash;
use stele_format::checkpoint::{
    Certificate, Checkpoint, KeyHistory, LogKey, Origin, UnverifiedCheckpoint,
};
use stele_format::digest::Digest;
use stele_format::proof::Receipt;
use stele_format::record::{Body, Marker, RecordHeader, encode_record};
use stele_format::tree::Frontier;
use stele_format::tree::proof::Proofs;
use stele_format::units::{Epoch, LogIndex, PoolId};
use stele_inspect::headers::{HeaderFault, HeaderWalk};
use stele_inspect::prove::{Claim, Refusal, prove};
use support::{Vault, sample};

fn signing() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn key(pool: PoolId) -> LogKey {
    LogKey::new(Origin::of(pool), signing().verifying_key().as_bytes()).unwrap()
}

fn note(checkpoint: &Checkpoint) -> UnverifiedCheckpoint {
    let signature = signing().sign(checkpoint.to_string().as_bytes());
    let key = key(checkpoint.origin.pool());
    let text = checkpoint.note(&key, &signature.to_bytes());
    UnverifiedCheckpoint::parse(&text).unwrap()
}

/// Headers of a log, each with something in every field that may have it.
fn log(records: u64) -> Vec<RecordHeader> {
    let mut previous = Digest::ZERO;
    (0..records)
        .map(|index| {
            let body = Body::Marker(Marker {
                log: Frontier::new(),
            });
            let header = RecordHeader {
                record_type: body.record_type(),
                epoch: Epoch::new(1),
                log_index: LogIndex::new(index),
                previous_header: previous,
                ..RecordHeader::default()
            };
            let header = encode_record(header, &body, &[], &mut Vec::new()).unwrap();
            previous = header.chain_digest();
            header
        })
        .collect()
}

fn checkpoint(headers: &[RecordHeader]) -> Checkpoint {
    let proofs = Proofs::of_log(headers.iter().map(RecordHeader::leaf_hash).collect());
    let size = proofs.size();
    let root = proofs.root(size).unwrap();
    let origin = Origin::of(PoolId::from_bytes([5; 16]));
    Checkpoint { origin, size, root }
}

/// What is said of a log with these headers, some of which may be unreadable.
fn walk(headers: &[Option<RecordHeader>], checkpoint: &Checkpoint) -> Result<(), HeaderFault> {
    let mut walk = HeaderWalk::default();
    for header in headers {
        match header {
            Some(header) => walk.take(header),
            None => walk.lost(),
        }
    }
    walk.end(Some(checkpoint)).map(|_| ())
}

fn some(headers: &[RecordHeader]) -> Vec<Option<RecordHeader>> {
    headers.iter().copied().map(Some).collect()
}

#[test]
fn a_flip_of_any_bit_of_any_header_names_that_header() {
    let headers = log(9);
    let checkpoint = checkpoint(&headers);
    assert_eq!(walk(&some(&headers), &checkpoint), Ok(()));
    for (place, header) in headers.iter().enumerate() {
        for bit in 0..192 * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut touched = some(&headers);
            touched[place] = RecordHeader::decode(&bytes).ok().map(|h| *h.claims());
            let named = match walk(&touched, &checkpoint).unwrap_err() {
                HeaderFault::Bad { index } | HeaderFault::Other { index, .. } => index,
                HeaderFault::Short { .. } => panic!("nothing is missing"),
            };
            assert_eq!(named, place as u64, "bit {bit}");
        }
    }
}

#[test]
fn records_that_are_removed_swapped_or_doubled_are_named() {
    let headers = log(9);
    let checkpoint = checkpoint(&headers);
    for place in 0..8 {
        let mut removed = some(&headers);
        removed.remove(place);
        let mut swapped = some(&headers);
        swapped.swap(place, place + 1);
        let mut doubled = some(&headers);
        doubled.insert(place + 1, doubled[place]);
        let expected = |index: usize| {
            Err(HeaderFault::Bad {
                index: index as u64,
            })
        };
        assert_eq!(walk(&removed, &checkpoint), expected(place));
        assert_eq!(walk(&swapped, &checkpoint), expected(place));
        assert_eq!(walk(&doubled, &checkpoint), expected(place + 1));
    }
}

#[test]
fn a_log_cut_after_a_checkpoint_is_seen_by_whoever_kept_it() {
    let headers = log(9);
    let kept = checkpoint(&headers);
    let cut = walk(&some(&headers[..8]), &kept);
    assert_eq!(
        cut,
        Err(HeaderFault::Short {
            size: 9,
            records: 8
        })
    );
    assert_eq!(
        walk(&some(&headers[..8]), &checkpoint(&headers[..8])),
        Ok(())
    );
}

#[test]
fn another_history_of_the_same_length_is_not_that_of_the_checkpoint() {
    let kept = checkpoint(&log(9));
    let mut other = log(9);
    let mut previous = Digest::ZERO;
    for header in &mut other {
        header.epoch = Epoch::new(2);
        header.previous_header = previous;
        previous = header.chain_digest();
    }
    let said = walk(&some(&other), &kept);
    assert_eq!(said, Err(HeaderFault::Other { size: 9, index: 8 }));
}

fn ask(vault: &Vault, claim: Claim, kept: Option<&Checkpoint>) -> Result<String, Refusal> {
    let note = kept.map(note);
    let keys = kept.map(|checkpoint| KeyHistory::from(&key(checkpoint.origin.pool())));
    prove(
        &vault.sources(),
        Duration::ZERO,
        claim,
        note.as_ref().zip(keys.as_ref()),
    )
}

fn all(record: u64) -> Claim {
    Claim::Inclusion {
        record,
        version: None,
        size: None,
    }
}

/// The checkpoint of the sample as it is on its disks.
fn of_disks(vault: &Vault) -> Checkpoint {
    let report = vault.verify();
    Checkpoint {
        origin: Origin::of(PoolId::from_bytes([5; 16])),
        size: report.totals.log_size,
        root: TreeHash::parse_hex(&report.totals.log_root.unwrap()).unwrap(),
    }
}

#[test]
fn every_record_on_the_disks_has_a_receipt_under_the_checkpoint() {
    let vault = sample(3);
    let kept = of_disks(&vault);
    assert!(kept.size > 10);
    for record in 0..kept.size {
        let text = ask(&vault, all(record), Some(&kept)).unwrap();
        let receipt = Receipt::verify(&text, &key(kept.origin.pool())).unwrap();
        assert_eq!(receipt.header.log_index.get(), record);
        assert_eq!(receipt.checkpoint, kept);
    }
    let none = ask(&vault, all(kept.size), Some(&kept));
    assert!(matches!(none, Err(Refusal::Proof(_))), "{none:?}");
    let other = Checkpoint {
        root: TreeHash::ZERO,
        ..kept
    };
    let refused = ask(&vault, all(0), Some(&other));
    assert!(matches!(
        refused,
        Err(Refusal::Headers(HeaderFault::Other { .. }))
    ));
}

#[test]
fn a_damaged_log_proves_nothing_and_names_its_first_bad_record() {
    let clean = sample(3);
    let mut vault = clean.clone();
    // The second frame of the journal, a byte of a record header, on every disk.
    let at = vault.segments[&1].frame_at(1) + 256 + 100;
    for disk in 0..3 {
        vault.flip(disk, at);
    }
    let refused = ask(&vault, all(0), None).unwrap_err();
    let Refusal::Headers(HeaderFault::Bad { index }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(index, 4, "the first frame has four records");
    // One copy alone is no damage to what is proven.
    let mut vault = clean.clone();
    vault.flip(0, at);
    assert_eq!(
        ask(&vault, all(0), None).unwrap(),
        ask(&clean, all(0), None).unwrap()
    );
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stele-inspect"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_program_verifies_certificates_with_the_logs_key_alone() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("certificate").to_str().unwrap().to_owned();
    let origin = Origin::of(PoolId::from_bytes([4; 16]));
    let key = key(origin.pool());
    let lines = ["destroyed     1 versions".to_owned()];
    let certificate = Certificate::new(origin, &lines).unwrap();
    let signature = signing().sign(certificate.text().as_bytes()).to_bytes();
    let note = certificate.note(&key, &signature);
    let judged = |text: &str| {
        fs::write(&file, text).unwrap();
        run(&["certificate", &file, "--key", &key.to_string()])
    };
    let believed = judged(&note);
    assert_eq!(believed.status.code(), Some(0));
    let said = String::from_utf8(believed.stdout).unwrap();
    assert!(said.ends_with("destroyed     1 versions\n"), "{said}");
    let forged = judged(&note.replace("1 versions", "2 versions"));
    assert_eq!(forged.status.code(), Some(2));
    let said = String::from_utf8(forged.stderr).unwrap();
    assert!(said.contains("the certificate is not believed"), "{said}");
}

#[test]
fn the_program_proves_and_verifies_receipts() {
    let vault = sample(3);
    let temp = tempfile::tempdir().unwrap();
    let file = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    for (number, image) in vault.images.iter().enumerate() {
        fs::write(file(&format!("{number}.disk")), image).unwrap();
    }
    let kept = of_disks(&vault);
    fs::write(file("checkpoint"), note(&kept).text()).unwrap();
    let key = key(kept.origin.pool()).to_string();
    let disks = temp.path().to_str().unwrap();
    let checkpoint = file("checkpoint");
    let proved = run(&[
        "prove",
        disks,
        "--record",
        "5",
        "--checkpoint",
        &checkpoint,
        "--key",
        &key,
    ]);
    assert_eq!(proved.status.code(), Some(0));
    fs::write(file("receipt"), &proved.stdout).unwrap();
    let verified = run(&["receipt", &file("receipt"), "--key", &key]);
    assert_eq!(verified.status.code(), Some(0));
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(said.contains(&format!("5 of {}", kept.size)), "{said}");
    let mut spoiled = proved.stdout.clone();
    spoiled[40] ^= 1;
    fs::write(file("receipt"), &spoiled).unwrap();
    assert_eq!(
        run(&["receipt", &file("receipt"), "--key", &key])
            .status
            .code(),
        Some(2)
    );
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("version       "));
    let version = line.unwrap();
    let by_version = run(&[
        "prove",
        disks,
        "--version-id",
        version,
        "--checkpoint",
        &checkpoint,
        "--key",
        &key,
    ]);
    assert_eq!(by_version.status.code(), Some(0));
    assert_eq!(by_version.stdout, proved.stdout);
    let (ordinal, _) = version.split_at(16);
    let other = run(&[
        "prove",
        disks,
        "--version-id",
        &format!("{ordinal}0123456789abcdef"),
    ]);
    assert_eq!(other.status.code(), Some(2));
    let consistent = run(&["prove", disks, "--consistency", "3", "9"]);
    assert_eq!(consistent.status.code(), Some(0));
    assert!(
        String::from_utf8(consistent.stdout)
            .unwrap()
            .starts_with("older 3 ")
    );
    assert_eq!(
        run(&["prove", disks, "--consistency", "0", "9"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(run(&["prove", disks]).status.code(), Some(2));
}
