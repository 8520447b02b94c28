//! H8 and attack 8: a witness cosigns one history of a log, whatever is brought and whenever it is killed.
#![allow(clippy::unwrap_used, reason = "a test may stop on surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use stele_format::checkpoint::{Checkpoint, LogKey, Origin, UnverifiedCheckpoint, WitnessKey};
use stele_format::tree::proof::Proofs;
use stele_format::tree::{TreeHash, leaf_hash};
use stele_format::units::{Opening, PoolId};
use stele_witness::error::Refusal;
use stele_witness::judge::cosign;
use stele_witness::key::Pair;
use stele_witness::state::State;
use tempfile::TempDir;

const POOL: PoolId = PoolId::from_bytes([0xab; 16]);
const NOW: u64 = 1_796_000_000;

fn log_secret() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn log_key() -> LogKey {
    LogKey::new(Origin::of(POOL), log_secret().verifying_key().as_bytes()).unwrap()
}

/// Records of a log: the first `shared` are those of every log here.
fn log(shared: u64, own: &str, records: u64) -> Proofs {
    let leaf = |record: u64| {
        let whose = if record < shared { "shared" } else { own };
        leaf_hash(format!("{whose} {record}").as_bytes())
    };
    Proofs::of_log((0..records).map(leaf).collect())
}

fn signed(size: u64, root: TreeHash) -> String {
    let checkpoint = Checkpoint {
        origin: Origin::of(POOL),
        size,
        root,
    };
    let signature = log_secret().sign(checkpoint.to_string().as_bytes());
    checkpoint.note(&log_key(), &signature.to_bytes())
}

fn checkpoint(log: &Proofs, size: u64) -> String {
    signed(size, log.root(size).unwrap())
}

/// As `stele-inspect prove --consistency` writes it.
fn proof(log: &Proofs, older: u64, newer: u64) -> String {
    let mut text = String::new();
    for (word, size) in [("older", older), ("newer", newer)] {
        text += &format!("{word} {size} {}\n", log.root(size).unwrap().to_base64());
    }
    for hash in log.consistency(older, newer).unwrap() {
        text += &format!("{}\n", hash.to_base64());
    }
    text
}

struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        Pair::make("witness.example/w1", &bench.path("key")).unwrap();
        bench.state().trust(&log_key()).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn pair(&self) -> Pair {
        Pair::read(&self.path("key")).unwrap()
    }

    fn state(&self) -> State {
        State::open(&self.path("state")).unwrap()
    }

    fn cosign_at(
        &self,
        note: &str,
        proof: Option<&str>,
        seconds: u64,
    ) -> Result<UnverifiedCheckpoint, Refusal> {
        cosign(&self.state(), &self.pair(), note, proof, seconds)
    }

    fn cosign(&self, note: &str, proof: Option<&str>) -> Result<UnverifiedCheckpoint, Refusal> {
        self.cosign_at(note, proof, NOW)
    }

    /// The file that holds what is known of the log.
    fn known(&self) -> PathBuf {
        self.path("state").join(format!("{POOL}.log"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stele-witness"))
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

fn evidence(kept: &Path) -> (String, String) {
    let read = |name| fs::read_to_string(kept.join(name)).unwrap();
    (read("seen"), read("offered"))
}

#[test]
fn what_a_witness_says_verifies_by_the_text_of_the_standard_alone() {
    let bench = Bench::new();
    let log = log(0, "a", 20);
    let note = checkpoint(&log, 9);
    let cosigned = bench.cosign(&note, None).unwrap();
    let line = cosigned.text().strip_prefix(&note).unwrap();
    let (name, base64) = line
        .strip_prefix("\u{2014} ")
        .and_then(|line| line.trim_end().split_once(' '))
        .unwrap();
    assert_eq!(name, "witness.example/w1");
    let signed = decode_base64(base64);
    let (id, rest) = signed.split_at(4);
    let (time, signature) = rest.split_at(8);
    let text = bench.pair().public().to_string();
    let key = decode_base64(text.splitn(3, '+').nth(2).unwrap());
    assert_eq!(key[0], 4);
    let digest = Sha256::digest([b"witness.example/w1\n", key.as_slice()].concat());
    assert_eq!(id, &digest[..4]);
    assert_eq!(time, NOW.to_be_bytes());
    let body = note.split_once("\n\n").unwrap().0;
    let message = format!("cosignature/v1\ntime {NOW}\n{body}\n");
    let key = VerifyingKey::from_bytes(key[1..].try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
    key.verify_strict(message.as_bytes(), &signature).unwrap();
}

fn decode_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff).try_into().unwrap());
        }
    }
    out
}

#[test]
fn a_log_that_grows_is_cosigned_with_a_proof_and_not_without() {
    let bench = Bench::new();
    let log = log(0, "a", 40);
    bench.cosign(&checkpoint(&log, 9), None).unwrap();
    let newer = checkpoint(&log, 33);
    let missing = bench.cosign(&newer, None).unwrap_err();
    assert!(matches!(missing, Refusal::ProofMissing { .. }), "{missing}");
    assert!(missing.to_string().contains("--consistency 9 33"));
    let of_others = bench.cosign(&newer, Some(&proof(&log, 8, 33)));
    assert!(matches!(of_others, Err(Refusal::ProofSizes { .. })));
    let broken = bench.cosign(&newer, Some("older 9\n"));
    assert!(matches!(broken, Err(Refusal::ProofForm)));
    let cosigned = bench.cosign(&newer, Some(&proof(&log, 9, 33))).unwrap();
    let time = cosigned.cosigned(bench.pair().public()).unwrap().unwrap();
    assert_eq!(time.get(), NOW * 1_000);
    // Seen again, later.
    let again = bench.cosign_at(&newer, None, NOW + 60).unwrap();
    assert!(again.cosigned(bench.pair().public()).unwrap() > Some(time));
}

#[test]
fn h8_a_fork_is_refused_and_both_notes_are_kept() {
    for size in [9, 20] {
        let bench = Bench::new();
        let (one, other) = (log(5, "a", 40), log(5, "b", 40));
        let seen = bench.cosign(&checkpoint(&one, 9), None).unwrap();
        let forked = checkpoint(&other, size);
        let proof = (size > 9).then(|| proof(&other, 9, size));
        let refused = bench.cosign(&forked, proof.as_deref()).unwrap_err();
        let Refusal::Forked { kept, .. } = &refused else {
            panic!("{refused}")
        };
        assert!(refused.is_finding());
        let (first, second) = evidence(kept);
        assert_eq!((first.as_str(), second), (seen.text(), forked.clone()));
        // The evidence convinces whoever has the log's key: it signed both.
        for note in [first.as_str(), &forked] {
            UnverifiedCheckpoint::parse(note)
                .and_then(|note| note.verify(&log_key()))
                .unwrap();
        }
        if let Some(proof) = proof {
            assert_eq!(fs::read_to_string(kept.join("proof")).unwrap(), proof);
        }
        // Asked again it keeps nothing more, and the true history goes on.
        assert!(bench.cosign(&forked, None).is_err());
        let kept = fs::read_dir(bench.path("state")).unwrap();
        let kept = kept.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains("evidence")
        });
        assert_eq!(kept.count(), 1, "{size}");
        let proof = self::proof(&one, 9, 30);
        bench.cosign(&checkpoint(&one, 30), Some(&proof)).unwrap();
    }
}

#[test]
fn attack_08_a_vault_that_was_put_back_gets_no_cosignature() {
    let bench = Bench::new();
    let one = log(0, "a", 40);
    bench.cosign(&checkpoint(&one, 30), None).unwrap();
    let before = fs::read(bench.known()).unwrap();
    let refused = bench.cosign(&checkpoint(&one, 12), None).unwrap_err();
    assert!(matches!(
        refused,
        Refusal::RolledBack {
            seen: 30,
            offered: 12,
            ..
        }
    ));
    assert!(refused.is_finding());
    assert_eq!(fs::read(bench.known()).unwrap(), before);
    // It grew again, and has another history: no proof exists, and one that is made up shows nothing.
    let other = log(12, "b", 60);
    let grown = checkpoint(&other, 50);
    for proof in [proof(&other, 30, 50), proof(&log(0, "a", 60), 30, 50)] {
        let refused = bench.cosign(&grown, Some(&proof)).unwrap_err();
        assert!(matches!(refused, Refusal::Forked { .. }), "{refused}");
    }
    assert_eq!(fs::read(bench.known()).unwrap(), before);
}

#[test]
fn what_was_not_signed_by_the_key_of_a_known_log_is_not_looked_at() {
    let bench = Bench::new();
    let one = log(0, "a", 20);
    let note = checkpoint(&one, 9);
    let unsigned = note.replace("\n9\n", "\n8\n");
    let refused = bench.cosign(&unsigned, None);
    assert!(matches!(refused, Err(Refusal::Checkpoint(_))));
    let stranger = TempDir::new().unwrap();
    let state = State::open(stranger.path()).unwrap();
    let unknown = cosign(&state, &bench.pair(), &note, None, NOW);
    assert!(matches!(unknown, Err(Refusal::Unknown(_))));
    drop(state);
    let other = SigningKey::from_bytes(&[8; 32]);
    let other = LogKey::new(Origin::of(POOL), other.verifying_key().as_bytes()).unwrap();
    let state = bench.state();
    assert!(matches!(state.trust(&other), Err(Refusal::OtherKey(_))));
    state.trust(&log_key()).unwrap();
}

/// Its key is made known once more, as `stele checkpoint --key` prints it; what was seen under the name before stays.
#[test]
fn a_log_that_was_forced_open_is_another_one() {
    let bench = Bench::new();
    let one = log(0, "a", 20);
    bench.cosign(&checkpoint(&one, 9), None).unwrap();
    let renamed = log_key().after(Opening::new(1));
    let forced = Checkpoint {
        origin: renamed.origin(),
        size: 7,
        root: one.root(7).unwrap(),
    };
    let signature = log_secret().sign(forced.to_string().as_bytes()).to_bytes();
    let linked = forced.note_of(&[(&log_key(), &signature), (&renamed, &signature)]);
    let unknown = bench.cosign(&linked, None);
    assert!(matches!(unknown, Err(Refusal::Unknown(_))));
    let key = format!("{renamed}@6");
    let trusted = bench.run(&["trust", "--state", "state", &key]);
    assert!(trusted.status.success(), "{trusted:?}");
    bench.cosign(&linked, None).unwrap();
    let old = bench.state().log(Origin::of(POOL)).unwrap().seen.unwrap();
    assert_eq!(old.note.claims().size, 9);
}

#[test]
fn no_time_is_stated_before_one_that_was() {
    let bench = Bench::new();
    let one = log(0, "a", 20);
    bench.cosign(&checkpoint(&one, 9), None).unwrap();
    let back = bench.cosign_at(&checkpoint(&one, 9), None, NOW - 1);
    assert!(matches!(back, Err(Refusal::ClockBack)));
    let proof = proof(&one, 9, 20);
    let back = bench.cosign_at(&checkpoint(&one, 20), Some(&proof), NOW - 1);
    assert!(matches!(back, Err(Refusal::ClockBack)));
    bench
        .cosign_at(&checkpoint(&one, 20), Some(&proof), NOW)
        .unwrap();
}

/// What a kill can leave: nothing, a piece of the new state beside the old one, or the new state without an answer.
#[test]
fn h8_wherever_a_witness_is_killed_it_signs_no_second_history() {
    let one = log(5, "a", 40);
    let other = log(5, "b", 40);
    let proof = proof(&one, 9, 30);
    let bench = Bench::new();
    bench.cosign(&checkpoint(&one, 9), None).unwrap();
    let before = fs::read(bench.known()).unwrap();
    let answer = bench.cosign(&checkpoint(&one, 30), Some(&proof)).unwrap();
    let after = fs::read(bench.known()).unwrap();
    // What is given out is what is on disk.
    assert!(
        String::from_utf8(after.clone())
            .unwrap()
            .ends_with(answer.text())
    );
    for cut in 0..=after.len() {
        // Killed before the state was replaced: it is the old one, and the same question is answered.
        fs::write(bench.known(), &before).unwrap();
        fs::write(bench.known().with_extension("new"), &after[..cut]).unwrap();
        let state = bench.state();
        let seen = state.log(Origin::of(POOL)).unwrap().seen.unwrap();
        assert_eq!(seen.checkpoint.size, 9);
    }
    let again = bench.cosign(&checkpoint(&one, 30), Some(&proof)).unwrap();
    assert_eq!(again.text(), answer.text());
    // Killed between state and answer: nobody got the note, and still no other history is signed.
    fs::write(bench.known(), &after).unwrap();
    let refused = bench.cosign(&checkpoint(&other, 30), None);
    assert!(matches!(refused, Err(Refusal::Forked { .. })));
    let again = bench.cosign(&checkpoint(&one, 30), None).unwrap();
    assert_eq!(again.claims(), answer.claims());
    // A damaged state is never taken for none.
    for cut in 1..after.len() {
        fs::write(bench.known(), &after[..cut]).unwrap();
        let refused = bench.cosign(&checkpoint(&other, 30), None);
        assert!(refused.is_err(), "cut at {cut}");
    }
}

#[test]
fn the_program_says_by_its_exit_status_what_it_found() {
    let bench = Bench::new();
    let one = log(5, "a", 40);
    bench.write("log", &log_key().to_string());
    bench.write("first", &checkpoint(&one, 9));
    bench.write("second", &checkpoint(&one, 30));
    bench.write("proof", &proof(&one, 9, 30));
    bench.write("fork", &checkpoint(&log(5, "b", 40), 30));
    let key = bench.run(&["keygen", "--name", "w.example/2", "--key", "own"]);
    assert!(key.status.success());
    let key = String::from_utf8(key.stdout).unwrap();
    let key = WitnessKey::parse(key.trim_end()).unwrap();
    let twice = bench.run(&["keygen", "--name", "w.example/2", "--key", "own"]);
    assert_eq!(twice.status.code(), Some(2));
    let shown = bench.run(&["key", "--key", "own"]);
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), format!("{key}\n"));
    let log_key = log_key().to_string();
    let trust = bench.run(&["trust", "--state", "own-state", &log_key]);
    assert!(trust.status.success());
    let cosign = |more: &[&str]| {
        let all = [&["cosign", "--key", "own", "--state", "own-state"], more].concat();
        bench.run(&all)
    };
    let first = cosign(&["first"]);
    assert_eq!(first.status.code(), Some(0));
    let note = UnverifiedCheckpoint::parse(&String::from_utf8(first.stdout).unwrap()).unwrap();
    assert!(note.cosigned(&key).unwrap().is_some());
    assert_eq!(cosign(&["second"]).status.code(), Some(2));
    let second = cosign(&["second", "--proof", "proof"]);
    assert_eq!(second.status.code(), Some(0));
    let fork = cosign(&["fork"]);
    assert_eq!(fork.status.code(), Some(1));
    assert!(fork.stdout.is_empty());
    assert!(String::from_utf8_lossy(&fork.stderr).contains("TWO HISTORIES"));
    assert_eq!(cosign(&["first"]).status.code(), Some(1));
}

#[test]
fn a_key_is_for_its_owner_alone_and_read_as_it_was_written() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let path = bench.path("key");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    for wrong in [
        text.replace("v1", "v2"),
        text.replace("name ", "name  "),
        text.replace("seed ", "seed 0"),
        format!("{text}more\n"),
        text[..text.len() - 2].to_owned(),
    ] {
        fs::write(&path, &wrong).unwrap();
        assert!(matches!(Pair::read(&path), Err(Refusal::Key(_))), "{wrong}");
    }
}
