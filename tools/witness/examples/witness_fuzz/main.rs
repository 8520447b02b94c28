//! Mutates what a witness is brought beside a checkpoint; checkpoints are the format's own target.
//!
//! `cargo run --release -p stele-witness --example witness_fuzz -- consistency CASES SEED`

#[path = "../../../../appliance/format/examples/text_fuzz/drive.rs"]
mod drive;

use std::process::ExitCode;

use stele_format::tree::proof::{PROOF_HASHES_MAX, Proofs, verify_consistency};
use stele_format::tree::{TreeHash, leaf_hash};
use stele_witness::proof::Consistency;

/// Records of the longer log.
const RECORDS: u64 = 13;

fn main() -> ExitCode {
    drive::main(&[drive::Reader {
        name: "consistency",
        run: consistency,
        samples: (1..=RECORDS).map(sample).collect(),
        words: &[
            b"older ",
            b"newer ",
            b"\n",
            b" ",
            b"=",
            b"AAAA",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
            b"18446744073709551615",
            b"\r\n",
            b"\xff",
        ],
    }])
}

fn proofs() -> Proofs {
    let leaves = (0..RECORDS).map(|record| leaf_hash(&record.to_le_bytes()));
    Proofs::of_log(leaves.collect())
}

fn root(size: u64) -> TreeHash {
    proofs().root(size).unwrap_or(TreeHash([0; 32]))
}

/// What `stele-inspect prove --consistency` writes.
fn sample(older: u64) -> Vec<u8> {
    let path = proofs().consistency(older, RECORDS).unwrap_or_default();
    let mut text = format!(
        "older {older} {}\nnewer {RECORDS} {}\n",
        root(older).to_base64(),
        root(RECORDS).to_base64()
    );
    for hash in path {
        text.push_str(&hash.to_base64());
        text.push('\n');
    }
    text.into_bytes()
}

/// What is read is bounded, and proves nothing about roots that it does not prove.
fn consistency(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let Ok(proof) = Consistency::parse(text) else {
        return;
    };
    assert!(proof.path.len() <= PROOF_HASHES_MAX, "a long path");
    let (older, newer) = (proof.older, proof.newer);
    let other = TreeHash([7; 32]);
    for (one, two) in [(other, root(RECORDS)), (root(older.min(RECORDS)), other)] {
        let proved = verify_consistency((older, &one), (newer, &two), &proof.path);
        let trivial = older == newer && one == two;
        assert!(proved.is_err() || trivial, "it proves another history");
    }
}
