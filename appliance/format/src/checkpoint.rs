//! Checkpoints: size and root of the log, signed. C2SP `tlog-checkpoint` in a C2SP `signed-note`.
//!
//! ```text
//! stele/<32 hex of the pool's id>
//! <records, decimal>
//! <root, base64>
//!
//! — stele/<32 hex> <base64 of 4 bytes of the key's id and the Ed25519 signature>
//! ```
//!
//! What is read is [`UnverifiedCheckpoint`] until the log's own key has verified it.

mod certificate;
mod history;
mod key;
mod witness;

use core::fmt;

use thiserror::Error;

pub use certificate::Certificate;
pub use history::{KeyFrom, KeyHistory, LogTurn};
pub use key::LogKey;
pub use witness::WitnessKey;

use crate::limits::{LOG_RECORDS_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};
use crate::tree::TreeHash;
use crate::units::{Opening, PoolId};

/// Before every signature line: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// Before the id of the pool in an origin.
const ORIGIN_PREFIX: &str = "stele/";

/// Why a checkpoint, its key or its signature is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Larger than any checkpoint.
    #[error("the checkpoint is longer than {NOTE_BYTES_MAX} bytes")]
    Long,
    /// Not the form of a signed note.
    #[error("it is not a signed note with a text, an empty line and signatures")]
    Note,
    /// The first line is no log of a vault.
    #[error("its first line names no log of a vault")]
    Origin,
    /// The second line is not a number of records.
    #[error("its second line is not a number of records")]
    Size,
    /// The third line is not a root.
    #[error("its third line is not the root of a log")]
    Root,
    /// Not a key for verifying a log.
    #[error("it is not the key of a log: NAME+HASH+KEY")]
    Key,
    /// Of another log than the key.
    #[error("it is of another log than the key")]
    OtherLog,
    /// Only a key signed it that does not count for a log of this size.
    #[error("at {size} records another key of the log counts than the one that signed it")]
    Retired {
        /// Records.
        size: u64,
    },
    /// No line has a signature by this key.
    #[error("the log's key has not signed it")]
    Unsigned,
    /// The signature by this key does not fit.
    #[error("the signature is not one of the log's key over this text")]
    Signature,
    /// Not a key for verifying a witness.
    #[error("it is not the key of a witness (cosignature/v1): NAME+HASH+KEY")]
    WitnessKey,
    /// The line of a witness does not fit.
    #[error("the cosignature is not one of the witness's key over this checkpoint and its time")]
    Cosignature,
}

/// The name of a vault's log: `stele/` and the id of its pool; after a forced opening `/` and the count of them behind
/// it, since one that lost its end gives numbers anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pool: PoolId,
    opening: Opening,
}

impl Origin {
    /// The log of this pool.
    #[must_use]
    pub const fn of(pool: PoolId) -> Self {
        let opening = Opening::ZERO;
        Self { pool, opening }
    }

    /// The log of the same pool after this many forced openings.
    #[must_use]
    pub const fn after(self, opening: Opening) -> Self {
        Self { opening, ..self }
    }

    /// The pool.
    #[must_use]
    pub const fn pool(self) -> PoolId {
        self.pool
    }

    /// How often the vault was forced open.
    #[must_use]
    pub const fn opening(self) -> Opening {
        self.opening
    }

    /// Reads exactly what `Display` prints.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(ORIGIN_PREFIX)?;
        let Some((pool, opening)) = rest.split_once('/') else {
            return PoolId::parse_hex(rest).map(Self::of);
        };
        let opening = Opening::new(u32::try_from(parse_decimal(opening)?).ok()?);
        let known = opening.in_range() && !opening.is_zero();
        let origin = Self::of(PoolId::parse_hex(pool)?);
        known.then(|| origin.after(opening))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ORIGIN_PREFIX}{}", self.pool)?;
        if self.opening.is_zero() {
            return Ok(());
        }
        write!(f, "/{}", self.opening)
    }
}

/// Size and root of a log at one moment. `Display` prints the text that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub origin: Origin,
    /// Records in it.
    pub size: u64,
    /// Root of the tree over their headers.
    pub root: TreeHash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = to_base64(self.root.as_bytes());
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)
    }
}

impl Checkpoint {
    /// The signed note, given the signature of `key` over the text.
    #[must_use]
    pub fn note(&self, key: &LogKey, signature: &[u8; 64]) -> String {
        self.note_of(&[(key, signature)])
    }

    /// The note with the signatures of several keys of the log, in this order.
    #[must_use]
    pub fn note_of(&self, signed: &[(&LogKey, &[u8; 64])]) -> String {
        let mut note = format!("{self}\n");
        for (key, signature) in signed {
            let signed = [key.id().as_slice(), signature.as_slice()].concat();
            let line = format!("{SIGNATURE_MARK}{} {}\n", key.origin(), to_base64(&signed));
            note.push_str(&line);
        }
        note
    }

    /// Reads the text that is signed: three lines and nothing else.
    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let mut line = |error| lines.next().ok_or(error);
        let origin = Origin::parse(line(CheckpointError::Origin)?);
        let size = parse_decimal(line(CheckpointError::Size)?);
        let root = parse_hash(line(CheckpointError::Root)?);
        if (lines.next(), lines.next()) != (Some(""), None) {
            return Err(CheckpointError::Note);
        }
        Ok(Self {
            origin: origin.ok_or(CheckpointError::Origin)?,
            size: size
                .filter(|size| *size <= LOG_RECORDS_MAX)
                .ok_or(CheckpointError::Size)?,
            root: root.ok_or(CheckpointError::Root)?,
        })
    }
}

/// A signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SignatureLine {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

/// A checkpoint whose signature nobody has looked at. Lines of witnesses may follow that of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedCheckpoint {
    text: String,
    claims: Checkpoint,
    signatures: Vec<SignatureLine>,
}

impl UnverifiedCheckpoint {
    /// Reads a signed note, strictly: what is read prints to the same bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(CheckpointError::Long);
        }
        let note = CheckpointError::Note;
        let (body, lines) = text.split_once("\n\n").ok_or(note)?;
        let lines = lines.strip_suffix('\n').ok_or(note)?;
        let claims = Checkpoint::parse(&format!("{body}\n"))?;
        let signatures: Option<Vec<SignatureLine>> = lines.split('\n').map(signature).collect();
        let signatures = signatures.ok_or(note)?;
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(note);
        }
        Ok(Self {
            text: text.to_owned(),
            claims,
            signatures,
        })
    }

    /// What it says, unverified.
    #[must_use]
    pub const fn claims(&self) -> &Checkpoint {
        &self.claims
    }

    /// The whole note.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says, if the log's key signed it.
    ///
    /// # Errors
    /// When it is of another log, or not signed by this key.
    pub fn verify(&self, key: &LogKey) -> Result<Checkpoint, CheckpointError> {
        if self.claims.origin != key.origin() {
            return Err(CheckpointError::OtherLog);
        }
        self.signed_by(key)
    }

    /// What it says of a log that goes on after forced openings, if a key known for it before them signed that too: so
    /// the new name of the log is told by the old key.
    ///
    /// # Errors
    /// When it is not of the same log after more forced openings, or not signed by this key.
    pub fn verify_linked(&self, key: &LogKey) -> Result<Checkpoint, CheckpointError> {
        let (new, old) = (self.claims.origin, key.origin());
        if new.pool() != old.pool() || new.opening() <= old.opening() {
            return Err(CheckpointError::OtherLog);
        }
        self.signed_by(key)
    }

    fn signed_by(&self, key: &LogKey) -> Result<Checkpoint, CheckpointError> {
        let (name, id) = (key.origin().to_string(), key.id());
        let mut ours = self
            .signatures
            .iter()
            .filter(|line| line.name == name && line.key_id == id)
            .peekable();
        ours.peek().ok_or(CheckpointError::Unsigned)?;
        let text = self.claims.to_string();
        // A note with one good and one bad line of the same key is refused: nobody wrote it.
        for line in ours {
            key.verify(text.as_bytes(), &line.signature)?;
        }
        Ok(self.claims)
    }
}

fn signature(line: &str) -> Option<SignatureLine> {
    let (name, base64) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let refused = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(refused) {
        return None;
    }
    let bytes = from_base64(base64)?;
    let (key_id, signature) = bytes.split_first_chunk::<4>()?;
    (!signature.is_empty()).then(|| SignatureLine {
        name: name.to_owned(),
        key_id: *key_id,
        signature: signature.to_vec(),
    })
}

/// Standard base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

/// Standard base64 with padding, behind what is there.
pub(crate) fn append_base64(bytes: &[u8], text: &mut String) {
    base64_simd::STANDARD.encode_append(bytes, text);
}

/// Standard base64 with padding; any other spelling of the same bytes is refused.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = base64_simd::STANDARD.decode_to_vec(text).ok()?;
    (to_base64(&bytes) == text).then_some(bytes)
}

/// A hash in base64.
pub(crate) fn parse_hash(text: &str) -> Option<TreeHash> {
    from_base64(text)?.try_into().ok().map(TreeHash)
}

/// A number without leading zeroes or signs.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
