//! Cosignatures of witnesses: C2SP `tlog-cosignature` for Ed25519.
#![allow(clippy::unwrap_used, reason = "a test may stop on surprise")]

use ed25519_dalek::{Signer, SigningKey};
use stele_format::checkpoint::{
    Checkpoint, CheckpointError, LogKey, Origin, UnverifiedCheckpoint, WitnessKey,
};
use stele_format::tree::leaf_hash;
use stele_format::units::{PoolId, UnixMillis};

const POOL: PoolId = PoolId::from_bytes([0xab; 16]);
const SECONDS: u64 = 1_796_000_000;

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn witness(seed: u8) -> WitnessKey {
    WitnessKey::new(
        "witness.example/w1",
        signing(seed).verifying_key().as_bytes(),
    )
    .unwrap()
}

fn note() -> UnverifiedCheckpoint {
    let checkpoint = Checkpoint {
        origin: Origin::of(POOL),
        size: 109_482,
        root: leaf_hash(b"root"),
    };
    let key = LogKey::new(checkpoint.origin, signing(7).verifying_key().as_bytes()).unwrap();
    let signature = signing(7).sign(checkpoint.to_string().as_bytes());
    UnverifiedCheckpoint::parse(&checkpoint.note(&key, &signature.to_bytes())).unwrap()
}

fn cosign(note: &UnverifiedCheckpoint, seed: u8, seconds: u64) -> UnverifiedCheckpoint {
    let text = note.claims().cosigned_text(seconds);
    let signature = signing(seed).sign(text.as_bytes()).to_bytes();
    note.with_cosignature(&witness(seed), seconds, &signature)
        .unwrap()
}

#[test]
fn a_cosignature_says_when_its_witness_saw_the_checkpoint() {
    let cosigned = cosign(&note(), 9, SECONDS);
    let time = UnixMillis::new(SECONDS * 1_000);
    assert_eq!(cosigned.cosigned(&witness(9)), Ok(Some(time)));
    assert_eq!(cosigned.cosigned(&witness(8)), Ok(None));
    assert_eq!(cosigned.claims(), note().claims());
    // What is signed is the text of the standard, and nothing more.
    let text = cosigned.claims().cosigned_text(SECONDS);
    assert!(text.starts_with("cosignature/v1\ntime 1796000000\nstele/abababab"));
    assert!(text.ends_with("=\n"));
    let both = cosign(&cosigned, 8, SECONDS + 1);
    assert_eq!(both.cosigned(&witness(9)), Ok(Some(time)));
    assert!(both.cosigned(&witness(8)).unwrap() > Some(time));
}

#[test]
fn no_change_of_a_byte_leaves_a_cosignature_that_verifies() {
    let text = cosign(&note(), 9, SECONDS).text().to_owned();
    let log = text.len() - note().text().len();
    // Every byte but those of the log's own line, which is verified apart.
    let own = text.find("\u{2014} stele/").unwrap();
    let own = own..own + (note().text().len() - own);
    assert!(log > 0);
    for place in (0..text.len()).filter(|place| !own.contains(place)) {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let time = UnverifiedCheckpoint::parse(&changed).and_then(|n| n.cosigned(&witness(9)));
            assert!(!matches!(time, Ok(Some(_))), "byte {place}, bit {bit}");
        }
    }
}

#[test]
fn a_note_has_one_line_of_a_witness() {
    let cosigned = cosign(&note(), 9, SECONDS);
    let again = cosigned.claims().cosigned_text(SECONDS + 1);
    let signature = signing(9).sign(again.as_bytes()).to_bytes();
    let refused = cosigned.with_cosignature(&witness(9), SECONDS + 1, &signature);
    assert_eq!(refused.unwrap_err(), CheckpointError::Cosignature);
    let line = cosigned.text().strip_prefix(note().text()).unwrap();
    let twice = UnverifiedCheckpoint::parse(&format!("{}{line}", cosigned.text())).unwrap();
    let refused = twice.cosigned(&witness(9));
    assert_eq!(refused, Err(CheckpointError::Cosignature));
    // A signature of another time is none.
    let wrong = note().with_cosignature(&witness(9), SECONDS, &signature);
    assert_eq!(wrong.unwrap_err(), CheckpointError::Cosignature);
}

#[test]
fn a_key_of_a_witness_is_read_as_it_is_printed_and_in_no_other_spelling() {
    let text = witness(9).to_string();
    assert!(text.starts_with("witness.example/w1+"));
    assert_eq!(WitnessKey::parse(&text), Ok(witness(9)));
    for place in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[place] ^= 1;
        let other = String::from_utf8_lossy(&other).into_owned();
        assert_ne!(WitnessKey::parse(&other), Ok(witness(9)), "{other}");
    }
    let point = *signing(9).verifying_key().as_bytes();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let long = "n".repeat(129);
    for (name, key) in [
        ("", point),
        ("a b", point),
        ("a+b", point),
        ("ü", point),
        (&long, point),
        ("w", neutral),
    ] {
        let refused = WitnessKey::new(name, &key);
        assert_eq!(refused, Err(CheckpointError::WitnessKey), "{name}");
    }
    // The key of a log is no key of a witness.
    let log = LogKey::new(Origin::of(POOL), &point).unwrap().to_string();
    assert_eq!(WitnessKey::parse(&log), Err(CheckpointError::WitnessKey));
}
