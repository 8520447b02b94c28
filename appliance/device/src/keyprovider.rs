//! The key provider: whatever holds the outermost key of a vault and seals its key state.
//!
//! All providers of this crate write the same sealed form, so that one exam and one set of vectors
//! fits them:
//!
//! | offset | bytes | content |
//! |---|---|---|
//! | 0 | 4 | `SKP1` |
//! | 4 | 32 | salt, random for each message |
//! | 36 | 32 | commitment |
//! | 68 | n | AES-256-GCM ciphertext |
//! | 68+n | 16 | tag |
//!
//! Message key (32), nonce (12) and commitment (32) are the first 76 bytes of the BLAKE3 XOF in
//! key derivation mode (context `"stele-device key provider v1"`) over master key and salt. The
//! salt makes each message key new, so a nonce cannot repeat; the commitment tells a wrong key
//! from damage, and no sealed form opens under two keys. The associated data is the first 36 bytes
//! followed by the caller's context.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use crate::limits::SEAL_BYTES_MAX;

/// What the sealed form is longer than the plaintext, bytes.
pub const SEALED_OVERHEAD_BYTES: usize = CIPHERTEXT_AT + TAG_BYTES;

/// Length of a master key, bytes.
pub(crate) const MASTER_BYTES: usize = 32;
/// Length of the salt, bytes.
pub(crate) const SALT_BYTES: usize = 32;

const MAGIC: &[u8; 4] = b"SKP1";
const COMMITMENT_AT: usize = MAGIC.len() + SALT_BYTES;
const CIPHERTEXT_AT: usize = COMMITMENT_AT + 32;
const TAG_BYTES: usize = 16;
const DERIVATION_CONTEXT: &str = "stele-device key provider v1";

/// What kind of thing holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// A file beside the data: for evaluation only.
    KeyFile,
    /// A key made from a seed, known to everyone: for simulations only.
    Sim,
}

impl std::fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProviderKind::KeyFile => "key file",
            ProviderKind::Sim => "simulated key",
        })
    }
}

/// Why sealing or opening failed. Says nothing of key or content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Sealed by another key (or its salt or commitment is damaged).
    #[error("sealed by another key")]
    WrongKey,
    /// The key is right, but the sealed bytes or the context are not those that were sealed.
    #[error("sealed bytes are damaged or stand in the wrong place")]
    Tampered,
    /// Not a sealed form of this version.
    #[error("not a sealed form of this version")]
    Malformed,
    /// The plaintext is longer than a provider seals.
    #[error("message is longer than {SEAL_BYTES_MAX} bytes")]
    TooLong,
    /// The provider cannot work now.
    #[error("key provider is unavailable")]
    Unavailable,
}

/// Seals small secrets under a key that never leaves the provider.
pub trait KeyProvider: Send {
    /// Seals `plaintext`; opening needs the same `context`, which is not stored.
    ///
    /// # Errors
    /// `TooLong`, or `Unavailable` when the provider cannot work.
    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Opens what `seal` made.
    ///
    /// # Errors
    /// Tells a wrong key from damage; see `KeyError`.
    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError>;

    /// What holds the key.
    fn kind(&self) -> ProviderKind;
}

/// The master key of a provider; wiped when dropped, never shown.
pub(crate) struct Master(pub(crate) Zeroizing<[u8; MASTER_BYTES]>);

/// What one salt derives.
struct Derived {
    cipher: Aes256Gcm,
    nonce: [u8; 12],
    commitment: [u8; 32],
}

impl Master {
    fn derive(&self, salt: &[u8]) -> Derived {
        let mut hasher = blake3::Hasher::new_derive_key(DERIVATION_CONTEXT);
        hasher.update(self.0.as_slice()).update(salt);
        let mut stream = hasher.finalize_xof();
        let mut key = Zeroizing::new([0; 32]);
        let (mut nonce, mut commitment) = ([0; 12], [0; 32]);
        stream.fill(key.as_mut_slice());
        stream.fill(&mut nonce);
        stream.fill(&mut commitment);
        // By slice: a key by value would leave a copy behind.
        let cipher = Aes256Gcm::new_from_slice(key.as_slice()).expect("the key has 32 bytes");
        Derived {
            cipher,
            nonce,
            commitment,
        }
    }

    /// Seals under a salt that was never used with this key before.
    pub(crate) fn seal(
        &self,
        salt: &[u8; SALT_BYTES],
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        if plaintext.len() > SEAL_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        let derived = self.derive(salt);
        let mut sealed = Vec::with_capacity(SEALED_OVERHEAD_BYTES + plaintext.len());
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(salt);
        let associated = [sealed.as_slice(), context].concat();
        sealed.extend_from_slice(&derived.commitment);
        let payload = Payload {
            msg: plaintext,
            aad: &associated,
        };
        let ciphertext = derived
            .cipher
            .encrypt(&Nonce::from(derived.nonce), payload)
            .map_err(|_| KeyError::TooLong)?;
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens what `seal` made.
    pub(crate) fn open(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if sealed.len() < SEALED_OVERHEAD_BYTES || !sealed.starts_with(MAGIC) {
            return Err(KeyError::Malformed);
        }
        let (header, ciphertext) = sealed.split_at(CIPHERTEXT_AT);
        let (prefix, commitment) = header.split_at(COMMITMENT_AT);
        let derived = self.derive(&prefix[MAGIC.len()..]);
        // The commitment is public, so comparing it needs no constant time.
        if derived.commitment != commitment {
            return Err(KeyError::WrongKey);
        }
        let associated = [prefix, context].concat();
        let payload = Payload {
            msg: ciphertext,
            aad: &associated,
        };
        let plaintext = derived.cipher.decrypt(&Nonce::from(derived.nonce), payload);
        plaintext
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Tampered)
    }
}

#[cfg(test)]
mod tests;
