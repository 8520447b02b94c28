//! Proofs that leave the vault: `c2sp.org/tlog-proof@v1`, and receipts, which are such proofs with
//! the record's header in them.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64 of the record's 192-byte header>
//! index <the record's index>
//! <base64 of a hash>                      the leaf's sibling first, none to 64 lines
//!
//! <checkpoint>
//! ```

use core::fmt;

use thiserror::Error;

use crate::checkpoint::{
    Checkpoint, CheckpointError, KeyHistory, UnverifiedCheckpoint, append_base64, from_base64,
    parse_decimal, parse_hash,
};
use crate::codec::DecodeError;
use crate::limits::{PROOF_BYTES_MAX, RECORD_HEADER_BYTES};
use crate::record::RecordHeader;
use crate::tree::proof::{PROOF_HASHES_MAX, ProofError, verify_inclusion};
use crate::tree::{TreeHash, leaf_hash};

/// The text of a receipt from the value of the header that carries it, base64. None where it is not that.
#[must_use]
pub fn from_header_value(value: &str) -> Option<String> {
    String::from_utf8(from_base64(value)?).ok()
}

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof or receipt is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// Larger than any proof.
    #[error("the proof is longer than {PROOF_BYTES_MAX} bytes")]
    Long,
    /// Not the form of a proof.
    #[error("it is not a c2sp.org/tlog-proof@v1")]
    Form,
    /// It has no record header in it.
    #[error("it has no record header in it, so it is no receipt")]
    NoHeader,
    /// What it has is no record header.
    #[error("its record header cannot be read: {0}")]
    Header(#[from] DecodeError),
    /// The header is of another record than the proof.
    #[error("its record header is that of record {header}, its proof that of record {proof}")]
    OtherRecord {
        /// In the header.
        header: u64,
        /// In the proof.
        proof: u64,
    },
    /// The checkpoint is not believed.
    #[error("its checkpoint is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes prove nothing.
    #[error("{0}")]
    Proof(#[from] ProofError),
}

/// A proof that some leaf is record `index` of a log. `Display` prints the text. Nothing in it is
/// believed before `verify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// What the format leaves to its users; empty for nothing.
    pub extra: Vec<u8>,
    /// The record's index.
    pub index: u64,
    /// Its inclusion proof.
    pub path: Vec<TreeHash>,
    /// The checkpoint it is included in.
    pub checkpoint: UnverifiedCheckpoint,
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = self.checkpoint.text();
        f.write_str(&proof_text(&self.extra, self.index, &self.path, note))
    }
}

/// Bytes of a proof's text beside its base64 and its checkpoint, at most: first line, `extra `, `index ` with
/// twenty digits, line ends.
const PROOF_WORDS_BYTES_MAX: usize = FIRST_LINE.len() + 40;
/// A line with a hash.
const HASH_LINE_BYTES: usize = 45;

/// One buffer for the whole text: a receipt is made for every object that is stored.
fn proof_text(extra: &[u8], index: u64, path: &[TreeHash], note: &str) -> String {
    let hashes_bytes = path.len() * HASH_LINE_BYTES;
    let extra_bytes = extra.len().div_ceil(3) * 4;
    let bytes = PROOF_WORDS_BYTES_MAX + extra_bytes + hashes_bytes + note.len();
    let mut text = String::with_capacity(bytes);
    text.push_str(FIRST_LINE);
    text.push('\n');
    if !extra.is_empty() {
        text.push_str("extra ");
        append_base64(extra, &mut text);
        text.push('\n');
    }
    text.push_str("index ");
    text.push_str(&index.to_string());
    text.push('\n');
    for hash in path {
        append_base64(hash.as_bytes(), &mut text);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(note);
    text
}

impl LogProof {
    /// Reads a proof, strictly: what is read prints to the same bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(ReceiptError::Long);
        }
        let form = ReceiptError::Form;
        let (head, note) = text.split_once("\n\n").ok_or(form)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(form);
        }
        let mut extra = Vec::new();
        if let Some(base64) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            extra = from_base64(base64)
                .filter(|bytes| !bytes.is_empty())
                .ok_or(form)?;
            lines.next();
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(parse_decimal).ok_or(form)?;
        let path: Option<Vec<TreeHash>> = lines.map(parse_hash).collect();
        let path = path.ok_or(form)?;
        if path.len() > PROOF_HASHES_MAX {
            return Err(form);
        }
        Ok(Self {
            extra,
            index,
            path,
            checkpoint: UnverifiedCheckpoint::parse(note)?,
        })
    }

    /// Verifies that `leaf` is in the log of these keys; the checkpoint that says so.
    ///
    /// # Errors
    /// What is wrong with the checkpoint or the proof.
    pub fn verify(
        &self,
        keys: impl Into<KeyHistory>,
        leaf: &TreeHash,
    ) -> Result<Checkpoint, ReceiptError> {
        let checkpoint = keys.into().verify(&self.checkpoint)?;
        let (size, root) = (checkpoint.size, &checkpoint.root);
        verify_inclusion(leaf, self.index, size, &self.path, root)?;
        Ok(checkpoint)
    }
}

/// A record that is proven to be in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The record's header.
    pub header: RecordHeader,
    /// The checkpoint that includes it.
    pub checkpoint: Checkpoint,
}

impl Receipt {
    /// The text of a receipt for the record with this header: its inclusion proof in the log of the checkpoint
    /// whose note this is. Nothing is verified.
    #[must_use]
    pub fn text(
        header: &[u8; RECORD_HEADER_BYTES as usize],
        index: u64,
        path: &[TreeHash],
        note: &str,
    ) -> String {
        proof_text(header, index, path, note)
    }

    /// Reads and verifies a receipt, with the log's only key or with all it had.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(text: &str, keys: impl Into<KeyHistory>) -> Result<Self, ReceiptError> {
        let proof = LogProof::parse(text)?;
        if proof.extra.is_empty() {
            return Err(ReceiptError::NoHeader);
        }
        let header = RecordHeader::decode(&proof.extra)?;
        let checkpoint = proof.verify(keys, &leaf_hash(&proof.extra))?;
        // The bytes are a leaf of the log: what they say is what the vault recorded.
        let header = *header.claims();
        if header.log_index.get() != proof.index {
            return Err(ReceiptError::OtherRecord {
                header: header.log_index.get(),
                proof: proof.index,
            });
        }
        Ok(Self { header, checkpoint })
    }
}
