//! Witnesses: keys that are not the vault's and cosign its checkpoints, with the time at which they did.
//! C2SP `tlog-cosignature`, Ed25519 (`cosignature/v1`).
//!
//! ```text
//! cosignature/v1
//! time <seconds since 1970>
//! <the three lines of the checkpoint>
//! ```
//!
//! A line of the note carries the key's id, the time (8 bytes, big-endian) and the signature over these lines.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::{
    Checkpoint, CheckpointError, SIGNATURE_MARK, UnverifiedCheckpoint, from_base64, to_base64,
};
use crate::limits::{NOTE_SIGNATURES_MAX, STATEMENT_SECONDS_END, WITNESS_NAME_CHARS_MAX};
use crate::units::UnixMillis;

/// Ed25519 with a time, in key ids and in key texts.
const COSIGNATURE_V1: u8 = 0x04;
/// Bytes of the time before a signature.
const TIME_BYTES: usize = 8;

/// The key of a witness. `Display` prints it as C2SP `signed-note` spells verifier keys:
/// `<name>+<8 hex of the key's id>+<base64 of the type and the key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    /// A point that was verified to be one.
    point: [u8; 32],
}

impl WitnessKey {
    /// A key of the witness of this name.
    ///
    /// # Errors
    /// When the name has characters that key names do not have, or the bytes are no Ed25519 key, or one
    /// under which everything would verify.
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, CheckpointError> {
        let refused = CheckpointError::WitnessKey;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'+';
        if name.is_empty() || name.len() > WITNESS_NAME_CHARS_MAX || !name.bytes().all(plain) {
            return Err(refused);
        }
        let key = VerifyingKey::from_bytes(public).map_err(|_| refused)?;
        // Every key has one spelling, so that two witnesses are never one key.
        if key.is_weak() || key.as_bytes() != public {
            return Err(refused);
        }
        Ok(Self {
            name: name.to_owned(),
            point: *public,
        })
    }

    /// Reads exactly what `Display` prints.
    ///
    /// # Errors
    /// When it is no key of a witness.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let refused = CheckpointError::WitnessKey;
        let (name, rest) = text.split_once('+').ok_or(refused)?;
        let (_, key) = rest.split_once('+').ok_or(refused)?;
        let bytes = from_base64(key).ok_or(refused)?;
        let public = match bytes.split_first() {
            Some((&COSIGNATURE_V1, public)) => public.try_into().map_err(|_| refused)?,
            _ => return Err(refused),
        };
        let parsed = Self::new(name, &public)?;
        (parsed.to_string() == text)
            .then_some(parsed)
            .ok_or(refused)
    }

    /// The name its lines have.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    #[must_use]
    pub const fn point(&self) -> &[u8; 32] {
        &self.point
    }

    /// What signature lines call it by.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', COSIGNATURE_V1])
            .chain_update(self.point)
            .finalize();
        let [a, b, c, d, ..]: [u8; 32] = digest.into();
        [a, b, c, d]
    }

    /// The time in a line's signature, if this key signed the checkpoint at that time.
    fn verify(
        &self,
        checkpoint: &Checkpoint,
        signed: &[u8],
    ) -> Result<UnixMillis, CheckpointError> {
        let refused = CheckpointError::Cosignature;
        let (time, signature) = signed.split_first_chunk::<TIME_BYTES>().ok_or(refused)?;
        let seconds = u64::from_be_bytes(*time);
        if seconds == 0 || seconds >= STATEMENT_SECONDS_END {
            return Err(refused);
        }
        let signature = Signature::from_slice(signature).map_err(|_| refused)?;
        let text = checkpoint.cosigned_text(seconds);
        VerifyingKey::from_bytes(&self.point)
            .and_then(|key| key.verify_strict(text.as_bytes(), &signature))
            .map_err(|_| refused)?;
        Ok(UnixMillis::new(seconds * 1_000))
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = [&[COSIGNATURE_V1], self.point.as_slice()].concat();
        write!(f, "{}+{id:08x}+{}", self.name, to_base64(&key))
    }
}

impl Checkpoint {
    /// What a witness signs at this time.
    #[must_use]
    pub fn cosigned_text(&self, seconds: u64) -> String {
        format!("cosignature/v1\ntime {seconds}\n{self}")
    }
}

impl UnverifiedCheckpoint {
    /// When the witness of this key cosigned what the note says; none if it has no line of that key.
    ///
    /// # Errors
    /// When it has such a line and it does not verify, or more than one.
    pub fn cosigned(&self, key: &WitnessKey) -> Result<Option<UnixMillis>, CheckpointError> {
        let id = key.id();
        let mut lines = self
            .signatures
            .iter()
            .filter(|line| line.name == key.name && line.key_id == id);
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => key.verify(&self.claims, &line.signature).map(Some),
            // A key that signs twice in one note tells two times.
            (Some(_), Some(_)) => Err(CheckpointError::Cosignature),
        }
    }

    /// The note with the line of a witness, given its signature over [`Checkpoint::cosigned_text`].
    ///
    /// # Errors
    /// When the note has a line of that key, or as many as a note may have, or the signature is another.
    pub fn with_cosignature(
        &self,
        key: &WitnessKey,
        seconds: u64,
        signature: &[u8; 64],
    ) -> Result<Self, CheckpointError> {
        if self.cosigned(key)?.is_some() || self.signatures.len() >= NOTE_SIGNATURES_MAX {
            return Err(CheckpointError::Cosignature);
        }
        let signed = [&key.id(), seconds.to_be_bytes().as_slice(), signature].concat();
        let text = format!(
            "{}{SIGNATURE_MARK}{} {}\n",
            self.text,
            key.name,
            to_base64(&signed)
        );
        let cosigned = Self::parse(&text)?;
        cosigned.cosigned(key)?;
        Ok(cosigned)
    }
}
