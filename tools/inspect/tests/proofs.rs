//! Proofs from disks: that they verify, and that nothing is proven of a log somebody has touched.
#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use stele_format::TreeHash;
use stele_format::checkpoint::{
    Certificate, Checkpoint, CheckpointError, KeyFrom, KeyHistory, LogKey, Origin,
    UnverifiedCheckpoint,
};
use stele_format::digest::Digest;
use stele_format::proof::{Receipt, ReceiptError};
use stele_format::record::{Body, ForcedOpen, Marker, RecordHeader, encode_record};
use stele_format::tree::Frontier;
use stele_format::tree::proof::{Proofs, verify_consistency, verify_inclusion};
use stele_format::units::{Epoch, LogIndex, Opening, PoolId, Sequence};
use stele_inspect::headers::{HeaderFault, HeaderWalk};
use stele_inspect::prove::{Claim, Refusal, prove, receipt};
use support::{Draft, Vault, disk_id, sample};

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
                HeaderFault::Short { .. } | HeaderFault::GivenUp { .. } => {
                    panic!("nothing is missing")
                }
            };
            assert_eq!(named, place as u64, "bit {bit}");
        }
    }
}

/// Records 3 to 5 of nine were given up, and record 6 repeats the tree: what lies behind is proven, and nothing before.
#[test]
fn behind_given_up_records_things_are_proven_from_the_next_tree_on() {
    let headers = log(9);
    let whole = Proofs::of_log(headers.iter().map(RecordHeader::leaf_hash).collect());
    let root = |size| whole.root(size).unwrap();
    let mut tree = Frontier::new();
    let before = headers.iter().take(6);
    before.for_each(|header| tree.push(header.leaf_hash()));
    let walk = |wanted, checkpoint: Option<u64>| {
        let mut walk = HeaderWalk::wanting(wanted);
        headers.iter().take(3).for_each(|header| walk.take(header));
        walk.give_up();
        walk.take_up(&tree, headers[6].previous_header);
        headers.iter().skip(6).for_each(|header| walk.take(header));
        let checkpoint = checkpoint.map(|size| Checkpoint {
            size,
            root: root(size),
            ..self::checkpoint(&headers)
        });
        walk.end(checkpoint.as_ref())
    };
    let proven = walk(Some(7), Some(9)).unwrap();
    let leaf = headers[7].leaf_hash();
    assert_eq!(proven.found, Some(headers[7]));
    let path = proven.proofs.inclusion(7, 9).unwrap();
    assert_eq!(verify_inclusion(&leaf, 7, 9, &path, &root(9)), Ok(()));
    for older in 6..9 {
        let path = proven.proofs.consistency(older, 9).unwrap();
        let (older, newer) = ((older, &root(older)), (9, &root(9)));
        assert_eq!(verify_consistency(older, newer, &path), Ok(()));
    }
    assert!(proven.proofs.consistency(5, 9).is_err());
    for (wanted, checkpoint) in [(Some(1), None), (Some(1), Some(9)), (None, Some(5))] {
        let refused = walk(wanted, checkpoint).unwrap_err();
        assert_eq!(refused, HeaderFault::GivenUp { index: 3 });
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

/// The sample, forced open for the first time in its newest record but one. A proof does not ask whether that was
/// lawful, nor where its frame lies; the audit and the verifier do.
fn forced() -> (Vault, u64) {
    let mut vault = sample(3);
    let mut journal = vault.segments[&3].clone();
    let body = Body::ForcedOpen(ForcedOpen {
        request: LogIndex::new(1),
        opening: Opening::new(1),
        last: Sequence::new(20),
        durable: Sequence::new(22),
        left: vec![disk_id(7)],
        lost: Vec::new(),
    });
    let at = vault.log.next_index().get();
    vault.records(&mut journal, vec![Draft::of(body)]);
    let marker = vault.marker();
    vault.records(&mut journal, vec![marker]);
    vault.segments.insert(3, journal);
    (vault, at)
}

fn key_after(number: u32) -> LogKey {
    key(PoolId::from_bytes([5; 16])).after(Opening::new(number))
}

/// A checkpoint of the vault's first so many records under the name of the first of these keys, signed by all of them.
fn note_of(vault: &Vault, size: u64, keys: &[LogKey]) -> UnverifiedCheckpoint {
    let text = ask(vault, of_first(size), None).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("size "));
    let (_, root) = line.and_then(|line| line.split_once(' ')).unwrap();
    let checkpoint = Checkpoint {
        origin: keys[0].origin(),
        size,
        root: TreeHash::from_base64(root).unwrap(),
    };
    let signature = signing().sign(checkpoint.to_string().as_bytes());
    let signature = signature.to_bytes();
    let signed: Vec<_> = keys.iter().map(|key| (key, &signature)).collect();
    UnverifiedCheckpoint::parse(&checkpoint.note_of(&signed)).unwrap()
}

fn of_first(size: u64) -> Claim {
    Claim::Inclusion {
        record: 5,
        version: None,
        size: Some(size),
    }
}

/// What the disks prove under a note, for whoever knows these keys.
fn receipt_of(
    vault: &Vault,
    note: &UnverifiedCheckpoint,
    keys: &KeyHistory,
) -> Result<String, Refusal> {
    prove(&vault.sources(), Duration::ZERO, all(5), Some((note, keys)))
}

#[test]
fn the_disks_tell_the_name_of_the_log_after_a_forced_opening_to_who_knows_the_key_before_it() {
    let (vault, at) = forced();
    let (old, renamed) = (key_after(0), key_after(1));
    let known = KeyHistory::from(&old);
    for (keys, size, counts) in [
        (&[old][..], at, true),
        (&[renamed], at, false),
        (&[renamed], at + 1, true),
        (&[renamed], at + 2, true),
        (&[renamed, old], at + 2, true),
        (&[key_after(2)], at + 2, false),
    ] {
        let what = format!("{size} under {}", keys[0].origin());
        let proven = receipt_of(&vault, &note_of(&vault, size, keys), &known);
        match (proven, counts) {
            (Ok(text), true) => {
                let origin = Receipt::verify(&text, &keys[0]).unwrap().checkpoint.origin;
                assert_eq!(origin, keys[0].origin(), "{what}");
            }
            (Err(Refusal::Checkpoint(CheckpointError::Unsigned)), false) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_receipt_after_a_forced_opening_is_believed_by_the_word_of_the_key_before_it() {
    let (vault, at) = forced();
    let (old, renamed) = (key_after(0), key_after(1));
    let text = |keys: &[LogKey]| {
        let note = note_of(&vault, at + 2, keys);
        receipt_of(&vault, &note, &KeyHistory::from(&renamed)).unwrap()
    };
    let (linked, alone) = (text(&[renamed, old]), text(&[renamed]));
    let known = KeyHistory::from(&old);
    let said = receipt(&linked, &known).unwrap();
    let log = format!("5 of {} of log {}\n", at + 2, renamed.origin());
    assert!(said.contains(&log), "{said}");
    let refused = receipt(&alone, &known);
    let unsigned = ReceiptError::Checkpoint(CheckpointError::Unsigned);
    assert!(
        matches!(&refused, Err(Refusal::Receipt(error)) if *error == unsigned),
        "{refused:?}"
    );
    // Who wrote down both names needs no link, and takes the new one for no log of fewer records.
    let both = |from| {
        let later = KeyFrom { key: renamed, from };
        KeyHistory::new(vec![KeyFrom { key: old, from: 0 }, later]).unwrap()
    };
    assert!(receipt(&alone, &both(at + 1)).is_ok());
    assert!(receipt(&alone, &both(at + 3)).is_err());
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

#[test]
fn the_program_believes_a_linked_receipt_with_the_key_before_a_forced_opening() {
    let (vault, at) = forced();
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("receipt").to_str().unwrap().to_owned();
    let (old, renamed) = (key_after(0), key_after(1));
    let judged = |keys: &[LogKey]| {
        let note = note_of(&vault, at + 2, keys);
        let text = receipt_of(&vault, &note, &KeyHistory::from(&renamed)).unwrap();
        fs::write(&file, text).unwrap();
        run(&["receipt", &file, "--key", &old.to_string()])
    };
    let believed = judged(&[renamed, old]);
    assert_eq!(believed.status.code(), Some(0));
    let said = String::from_utf8(believed.stdout).unwrap();
    assert!(said.contains(&format!("{}\n", renamed.origin())), "{said}");
    let alone = judged(&[renamed]);
    assert_eq!(alone.status.code(), Some(2));
    let said = String::from_utf8(alone.stderr).unwrap();
    assert!(said.contains("the receipt is not believed"), "{said}");
}
