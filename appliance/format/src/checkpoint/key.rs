//! The public half of a log's key, as C2SP `signed-note` spells it.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::{CheckpointError, Origin, from_base64, to_base64};
use crate::units::Opening;

/// Ed25519, in key ids and in key texts.
const ED25519: u8 = 0x01;

/// The key that verifies the checkpoints of one log. `Display` prints it as people keep it:
/// `<origin>+<8 hex of the key's id>+<base64 of the type and the key>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKey {
    origin: Origin,
    key: VerifyingKey,
}

impl LogKey {
    /// A key of this log.
    ///
    /// # Errors
    /// When the bytes are no Ed25519 key, or one under which everything would verify.
    pub fn new(origin: Origin, public: &[u8; 32]) -> Result<Self, CheckpointError> {
        let key = VerifyingKey::from_bytes(public).map_err(|_| CheckpointError::Key)?;
        if key.is_weak() {
            return Err(CheckpointError::Key);
        }
        Ok(Self { origin, key })
    }

    /// Reads exactly what `Display` prints.
    ///
    /// # Errors
    /// When it is no key of a vault's log.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let refused = CheckpointError::Key;
        let (origin, rest) = text.split_once('+').ok_or(refused)?;
        let (_, key) = rest.split_once('+').ok_or(refused)?;
        let origin = Origin::parse(origin).ok_or(refused)?;
        let bytes = from_base64(key).ok_or(refused)?;
        let public = match bytes.split_first() {
            Some((&ED25519, public)) => public.try_into().map_err(|_| refused)?,
            _ => return Err(refused),
        };
        let parsed = Self::new(origin, &public)?;
        (parsed.to_string() == text)
            .then_some(parsed)
            .ok_or(refused)
    }

    /// The log.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The same key for the log after this many forced openings.
    #[must_use]
    pub const fn after(self, opening: Opening) -> Self {
        let origin = self.origin.after(opening);
        Self { origin, ..self }
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// What signature lines call it by.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(self.origin.to_string())
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        let [a, b, c, d, ..]: [u8; 32] = digest.into();
        [a, b, c, d]
    }

    /// Whether this is the key's signature over the text.
    pub(crate) fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), CheckpointError> {
        let signature = Signature::from_slice(signature).map_err(|_| CheckpointError::Signature)?;
        self.key
            .verify_strict(text, &signature)
            .map_err(|_| CheckpointError::Signature)
    }
}

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{id:08x}+{}", self.origin, to_base64(&key))
    }
}
