//! Sealed chunks: the bulk of all data, one AES-256-GCM message per chunk under the chunk's own
//! random key.
//!
//! A chunk key encrypts exactly one message, so the nonce is zero. Plaintext is padded with zeros
//! to a multiple of 4 KiB before sealing, so that stored lengths say little. Two providers give
//! the same bytes: [`AwsLc`] for speed and [`Reference`] to check it by.
//!
//! Opening fails with [`OpenError`] and leaves zeros, never unverified plaintext.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use stele_device::entropy::Entropy;
use stele_format::limits::CHUNK_PLAIN_BYTES_MAX;
use zeroize::Zeroizing;

pub use super::message::{OpenError, TAG_BYTES};
use super::secret::Secret32;

/// Chunks are padded to a multiple of this before sealing.
pub const PAD_BYTES: usize = 4096;

/// [`CHUNK_PLAIN_BYTES_MAX`] as a length in memory.
const PLAIN_BYTES_MAX: usize = CHUNK_PLAIN_BYTES_MAX as usize;

/// Authenticated with every chunk.
const ASSOCIATED: &[u8] = b"stele chunk v1";
const NONCE: [u8; 12] = [0; 12];

/// The random key of one chunk; kept in the manifest, used for one message.
#[derive(Debug)]
pub struct ChunkKey(Secret32);

impl ChunkKey {
    /// Fresh from `entropy`.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        Self(Secret32::random(entropy))
    }

    /// A key read from a manifest.
    #[must_use]
    pub fn copy_of(bytes: &[u8; 32]) -> Self {
        Self(Secret32::copy_of(bytes))
    }

    /// A copy for a manifest.
    #[must_use]
    pub fn to_manifest(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.0.expose())
    }

    /// The key, for a cipher.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// The tag did not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authentication tag does not match")]
pub struct TagMismatch;

/// AES-256-GCM over one buffer, with a zero nonce and the associated data of chunks.
pub trait BulkAead: Send + Sync {
    /// Its name on screens.
    fn name(&self) -> &'static str;

    /// Encrypts `text` in place and gives the tag.
    fn seal_in_place(&self, key: &ChunkKey, text: &mut [u8]) -> [u8; TAG_BYTES];

    /// Decrypts `text` in place.
    ///
    /// # Errors
    /// [`TagMismatch`]; `text` then holds nothing of use.
    fn open_in_place(
        &self,
        key: &ChunkKey,
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), TagMismatch>;
}

/// AWS-LC through `aws-lc-rs`: the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct AwsLc;

impl AwsLc {
    fn key(key: &ChunkKey) -> LessSafeKey {
        let unbound = UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has 32 bytes");
        LessSafeKey::new(unbound)
    }

    fn nonce() -> aws_lc_rs::aead::Nonce {
        aws_lc_rs::aead::Nonce::assume_unique_for_key(NONCE)
    }
}

impl BulkAead for AwsLc {
    fn name(&self) -> &'static str {
        "aws-lc"
    }

    fn seal_in_place(&self, key: &ChunkKey, text: &mut [u8]) -> [u8; TAG_BYTES] {
        let sealed = Self::key(key)
            .seal_in_place_separate_tag(Self::nonce(), Aad::from(ASSOCIATED), text)
            .expect("a chunk is far below the limit of the cipher");
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(sealed.as_ref());
        tag
    }

    fn open_in_place(
        &self,
        key: &ChunkKey,
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), TagMismatch> {
        Self::key(key)
            .open_in_place_separate_tag(Self::nonce(), Aad::from(ASSOCIATED), tag, text)
            .map(drop)
            .map_err(|_| TagMismatch)
    }
}

/// The pure Rust `aes-gcm`: slower, and the oracle for the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl Reference {
    fn cipher(key: &ChunkKey) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(key.expose()).expect("the key has 32 bytes")
    }
}

impl BulkAead for Reference {
    fn name(&self) -> &'static str {
        "aes-gcm"
    }

    fn seal_in_place(&self, key: &ChunkKey, text: &mut [u8]) -> [u8; TAG_BYTES] {
        Self::cipher(key)
            .encrypt_inout_detached(&Nonce::from(NONCE), ASSOCIATED, text.into())
            .expect("a chunk is far below the limit of the cipher")
            .into()
    }

    fn open_in_place(
        &self,
        key: &ChunkKey,
        text: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), TagMismatch> {
        Self::cipher(key)
            .decrypt_inout_detached(
                &Nonce::from(NONCE),
                ASSOCIATED,
                text.into(),
                &Tag::from(*tag),
            )
            .map_err(|_| TagMismatch)
    }
}

/// Stored bytes of a chunk of `plain_len` plaintext bytes: padded, plus the tag.
#[must_use]
pub const fn stored_len(plain_len: usize) -> usize {
    plain_len.next_multiple_of(PAD_BYTES) + TAG_BYTES
}

/// Seals the first `plain_len` bytes of `buffer` in place: pads, encrypts, appends the tag. Gives
/// the stored length.
///
/// # Panics
/// If `plain_len` is 0 or above [`CHUNK_PLAIN_BYTES_MAX`], or `buffer` is shorter than
/// [`stored_len`]: an empty chunk is never stored, and a caller with wrong sizes must not go on.
pub fn seal_chunk(
    aead: &dyn BulkAead,
    key: &ChunkKey,
    buffer: &mut [u8],
    plain_len: usize,
) -> usize {
    assert!(
        (1..=PLAIN_BYTES_MAX).contains(&plain_len),
        "chunk of {plain_len} bytes"
    );
    let stored_len = stored_len(plain_len);
    assert!(buffer.len() >= stored_len, "no room for {stored_len} bytes");
    let (text, room) = buffer.split_at_mut(stored_len - TAG_BYTES);
    text[plain_len..].fill(0);
    let tag = aead.seal_in_place(key, text);
    room[..TAG_BYTES].copy_from_slice(&tag);
    stored_len
}

/// Opens the stored bytes of a chunk in place: the first `plain_len` bytes are then its plaintext.
///
/// # Errors
/// [`OpenError::Truncated`] if `stored` has not the length of `plain_len` plaintext bytes;
/// [`OpenError::Tampered`] if tag or padding do not verify, and `stored` is all zeros then.
pub fn open_chunk(
    aead: &dyn BulkAead,
    key: &ChunkKey,
    stored: &mut [u8],
    plain_len: usize,
) -> Result<(), OpenError> {
    if !(1..=PLAIN_BYTES_MAX).contains(&plain_len) || stored.len() != stored_len(plain_len) {
        return Err(OpenError::Truncated);
    }
    let (text, tag) = stored
        .split_last_chunk_mut::<TAG_BYTES>()
        .ok_or(OpenError::Truncated)?;
    let opened = aead.open_in_place(key, text, tag);
    if opened.is_err() || text[plain_len..].iter().any(|byte| *byte != 0) {
        stored.fill(0);
        return Err(OpenError::Tampered { chunk: 0 });
    }
    Ok(())
}
