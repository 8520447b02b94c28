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
//! followed by the caller's context. Providers with an anchor put a header of their own before it.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use crate::limits::SEAL_BYTES_MAX;

/// What the sealed form without an anchor is longer than the plaintext, bytes.
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
    /// Keys that only one TPM opens, and only while its counter stands where they were made for.
    Tpm,
}

impl std::fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProviderKind::KeyFile => "key file",
            ProviderKind::Sim => "simulated key",
            ProviderKind::Tpm => "tpm",
        })
    }
}

/// What keeps old sealed bytes from opening again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorKind {
    /// Nothing: whoever kept old sealed bytes opens them.
    None,
    /// A counter in memory: for simulations only.
    Sim,
    /// A counter inside a TPM that nobody can set back.
    Tpm,
}

impl std::fmt::Display for AnchorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AnchorKind::None => "none",
            AnchorKind::Sim => "simulated",
            AnchorKind::Tpm => "tpm",
        })
    }
}

/// An anchor and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What it is.
    pub kind: AnchorKind,
    /// The counter, which only rises; 0 without an anchor.
    pub value: u64,
}

impl Anchor {
    /// Nothing holds old sealed bytes shut.
    pub const NONE: Anchor = Anchor {
        kind: AnchorKind::None,
        value: 0,
    };

    /// Whether advancing makes older sealed bytes unreadable.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        self.kind != AnchorKind::None
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
    /// The anchor has advanced since it was sealed; nothing opens it ever again.
    #[error("sealed before the anchor advanced: it never opens again")]
    Superseded,
    /// Sealed for a value that the anchor does not have yet.
    #[error("sealed for a value that the anchor does not have yet")]
    NotYet,
    /// The machine runs other software than the one it was sealed for.
    #[error("sealed for a machine in another state: its platform registers differ")]
    OtherPlatform,
    /// The provider cannot work now.
    #[error("key provider is unavailable")]
    Unavailable,
}

/// Seals small secrets under a key that never leaves the provider.
///
/// A provider may have an *anchor*: a counter that only rises and survives everything. What is sealed
/// opens at one value of it. To make every older sealed state unreadable, a vault
///
/// 1. seals the new state with `seal_next`,
/// 2. writes it everywhere *beside* the old one, flushes, and reads it back,
/// 3. calls `advance` with it,
/// 4. overwrites what is left of the old one.
///
/// What opens, with the anchor at *v* before step 3:
///
/// | after | sealed before, by `seal` | of `seal_next` | if it ends here |
/// |---|---|---|---|
/// | nothing | opens | | nothing happened |
/// | 1, 2 | opens | `NotYet` | the old state counts; begin again at 1 |
/// | 3 failed | opens, or `Superseded` | `NotYet`, or opens | exactly one of the two; call 3 again with the same bytes |
/// | 3 | `Superseded` for ever | opens | the new state counts |
/// | 3 again | `Superseded` | opens | the same: `advance` moves the anchor to its argument, never past it |
///
/// * `seal` seals for the present value, as often as one likes; all of these open until the anchor
///   advances. So a state is gone only once the anchor has advanced, not when a newer one is saved.
/// * After `seal_next` nothing else is saved before step 3: what `seal` made in between dies in it.
/// * A vault that overwrites every copy of the old state in step 2 has none that opens if it ends there.
/// * Several forms of `seal_next` of one value open alike after step 3. The last one is what counts.
/// * `advance` refuses, and changes nothing, when its argument is not of this provider, is older than the
///   anchor (`Superseded`), or is more than one step ahead of it (`NotYet`). It does not see damage inside
///   the sealed message: hence step 2.
/// * Without an anchor `seal_next` is `seal`, `advance` does nothing and says so by what it returns, and
///   every sealed form opens for ever: the caller's generation alone decides which counts.
pub trait KeyProvider: Send {
    /// Seals `plaintext` for the present value of the anchor; opening needs the same `context`, which is
    /// not stored.
    ///
    /// # Errors
    /// `TooLong`, or `Unavailable` when the provider cannot work.
    fn seal(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Seals `plaintext` for the value that the anchor has after the next `advance`.
    ///
    /// # Errors
    /// As `seal`.
    fn seal_next(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Moves the anchor, durably, to the value that `sealed` of `seal_next` is for, and says where it
    /// stands then. Where it stands there already, this is a success and changes nothing.
    ///
    /// # Errors
    /// As the table of this trait says. After `Unavailable` it may or may not have moved.
    fn advance(&self, sealed: &[u8]) -> Result<Anchor, KeyError>;

    /// Opens what `seal` or `seal_next` made.
    ///
    /// # Errors
    /// Tells a wrong key from damage and old from new; see `KeyError`.
    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError>;

    /// Where the anchor stands.
    ///
    /// # Errors
    /// `Unavailable` when the provider cannot work.
    fn anchor(&self) -> Result<Anchor, KeyError>;

    /// Whether there is an anchor at all.
    fn is_anchored(&self) -> bool;

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

    /// Whether it was sealed under this key, as far as can be told without opening it.
    pub(crate) fn recognise(&self, sealed: &[u8]) -> Result<(), KeyError> {
        self.derive_for(sealed).map(|_| ())
    }

    fn derive_for(&self, sealed: &[u8]) -> Result<Derived, KeyError> {
        if sealed.len() < SEALED_OVERHEAD_BYTES || !sealed.starts_with(MAGIC) {
            return Err(KeyError::Malformed);
        }
        let derived = self.derive(&sealed[MAGIC.len()..COMMITMENT_AT]);
        // The commitment is public, so comparing it needs no constant time.
        if derived.commitment != sealed[COMMITMENT_AT..CIPHERTEXT_AT] {
            return Err(KeyError::WrongKey);
        }
        Ok(derived)
    }

    /// Opens what `seal` made.
    pub(crate) fn open(
        &self,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let derived = self.derive_for(sealed)?;
        let (header, ciphertext) = sealed.split_at(CIPHERTEXT_AT);
        let associated = [&header[..COMMITMENT_AT], context].concat();
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

pub mod tpm;

#[cfg(test)]
mod tests;
