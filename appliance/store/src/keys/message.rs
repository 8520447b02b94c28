//! Sealed messages: small plaintexts (manifests, configuration) under a leaf key or the box key.
//!
//! The form is C2SP chunked-encryption with HKDF-Expand over SHA-512 and AES-256-GCM:
//! salt (24) | commitment (32) | chunks of 16 KiB, each followed by its tag (16). The last chunk is
//! always shorter than 16 KiB, if need be empty, so a cut-off message shows. The salt and the
//! context enter the key derivation: a key index used twice still gives a new key, and a message
//! moved to another record does not open. The commitment tells a wrong key from damage, and stops
//! one ciphertext from opening under two keys.
//!
//! Opening fails with [`OpenError`]; sealing cannot fail.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hmac::{Hmac, Mac};
use sha2::Sha512;
use stele_format::units::{BucketId, KeyIndex, ObjectId, PoolId, VersionId};
use zeroize::Zeroizing;

use super::secret::Secret32;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 24;
/// Bytes of a commitment.
pub const COMMITMENT_BYTES: usize = 32;
/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;
/// Plaintext bytes of every chunk but the last.
pub const MESSAGE_CHUNK_BYTES: usize = 16 << 10;

/// Bytes before the first chunk.
const HEAD_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES;
const SEALED_CHUNK_BYTES: usize = MESSAGE_CHUNK_BYTES + TAG_BYTES;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const DERIVED_BYTES: usize = KEY_BYTES + NONCE_BYTES + COMMITMENT_BYTES;
const HASH_BYTES: usize = 64;
const CONTEXT_BYTES: usize = 74;

/// Starts the derivation: the form and its cipher, closed by a zero byte.
const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";

/// What a message belongs to; only things that are fixed before its record has a place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    /// The pool.
    pub pool: PoolId,
    /// Number of the record type that carries it.
    pub record_type: u16,
    /// Bucket of the record header; zero where the record has none.
    pub bucket: BucketId,
    /// Object of the record header; zero where the record has none.
    pub object: ObjectId,
    /// Version or upload of the record header; zero where the record has none.
    pub version: VersionId,
    /// Leaf it is sealed under; zero for the box key.
    pub key_index: KeyIndex,
}

impl SealContext {
    /// The bytes that enter the derivation: pool (16), record type (2), bucket (16), object (16),
    /// version (16), key index (8); numbers little-endian.
    #[must_use]
    pub fn bytes(&self) -> [u8; CONTEXT_BYTES] {
        let mut bytes = [0; CONTEXT_BYTES];
        bytes[..16].copy_from_slice(self.pool.as_bytes());
        bytes[16..18].copy_from_slice(&self.record_type.to_le_bytes());
        bytes[18..34].copy_from_slice(self.bucket.as_bytes());
        bytes[34..50].copy_from_slice(self.object.as_bytes());
        bytes[50..66].copy_from_slice(self.version.as_bytes());
        bytes[66..].copy_from_slice(&self.key_index.get().to_le_bytes());
        bytes
    }
}

/// Why sealed bytes do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The commitment differs: another key, another context, or damage before the first chunk.
    #[error("the key or the place does not belong to these sealed bytes")]
    WrongKey,
    /// The length is not one that sealing gives.
    #[error("the sealed bytes are cut off or have a wrong length")]
    Truncated,
    /// A chunk is not what was sealed.
    #[error("chunk {chunk} of the sealed bytes was altered")]
    Tampered {
        /// Its number, from 0.
        chunk: u64,
    },
}

/// Length of a message of `plain` bytes once sealed.
#[must_use]
pub const fn sealed_len(plain: usize) -> usize {
    let chunks = plain / MESSAGE_CHUNK_BYTES + 1;
    HEAD_BYTES + plain + chunks * TAG_BYTES
}

/// Length of the plaintext in `sealed` bytes; none if sealing never gives that length.
#[must_use]
pub const fn plain_len(sealed: usize) -> Option<usize> {
    if sealed < HEAD_BYTES + TAG_BYTES {
        return None;
    }
    let body = sealed - HEAD_BYTES;
    let full = body / SEALED_CHUNK_BYTES;
    let last = body % SEALED_CHUNK_BYTES;
    if last < TAG_BYTES {
        None
    } else {
        Some(full * MESSAGE_CHUNK_BYTES + last - TAG_BYTES)
    }
}

/// Seals `plaintext` for `context` under `key` (a leaf key or the box key).
///
/// `salt` comes fresh from entropy for every message.
#[must_use]
pub fn seal_message(
    key: &Secret32,
    salt: &[u8; SALT_BYTES],
    context: &SealContext,
    plaintext: &[u8],
) -> Vec<u8> {
    let derived = Derived::new(key, salt, context);
    let mut sealed = Vec::with_capacity(sealed_len(plaintext.len()));
    sealed.extend_from_slice(salt);
    sealed.extend_from_slice(derived.commitment());
    let (full, last) = plaintext.as_chunks::<MESSAGE_CHUNK_BYTES>();
    let chunks = full
        .iter()
        .map(<[u8; MESSAGE_CHUNK_BYTES]>::as_slice)
        .chain([last]);
    for (number, chunk) in (0..).zip(chunks) {
        let start = sealed.len();
        sealed.extend_from_slice(chunk);
        let tag = derived
            .cipher
            .encrypt_inout_detached(&derived.nonce(number), &[], (&mut sealed[start..]).into())
            .expect("16 KiB is far below the limit of the cipher");
        sealed.extend_from_slice(&tag);
    }
    sealed
}

/// Opens what [`seal_message`] gave for the same key and context.
///
/// # Errors
/// [`OpenError`]; nothing of a message that fails is handed out.
pub fn open_message(
    key: &Secret32,
    context: &SealContext,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let plain_len = plain_len(sealed.len()).ok_or(OpenError::Truncated)?;
    let (salt, rest) = sealed
        .split_first_chunk::<SALT_BYTES>()
        .ok_or(OpenError::Truncated)?;
    let (commitment, body) = rest
        .split_first_chunk::<COMMITMENT_BYTES>()
        .ok_or(OpenError::Truncated)?;
    let derived = Derived::new(key, salt, context);
    verify_slices_are_equal(derived.commitment(), commitment).map_err(|_| OpenError::WrongKey)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(plain_len));
    for (number, chunk) in (0..).zip(body.chunks(SEALED_CHUNK_BYTES)) {
        let (text, tag) = chunk
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(OpenError::Truncated)?;
        let start = plain.len();
        plain.extend_from_slice(text);
        let place = &mut plain[start..];
        derived
            .cipher
            .decrypt_inout_detached(&derived.nonce(number), &[], place.into(), &Tag::from(*tag))
            .map_err(|_| OpenError::Tampered { chunk: number })?;
    }
    Ok(plain)
}

/// What key, salt and context give.
struct Derived {
    cipher: Aes256Gcm,
    bytes: Zeroizing<[u8; DERIVED_BYTES]>,
}

impl Derived {
    fn new(key: &Secret32, salt: &[u8; SALT_BYTES], context: &SealContext) -> Self {
        let bytes = expand(key, &[LABEL, salt, &context.bytes()]);
        let cipher = Aes256Gcm::new_from_slice(&bytes[..KEY_BYTES]).expect("the key has 32 bytes");
        Self { cipher, bytes }
    }

    fn commitment(&self) -> &[u8] {
        &self.bytes[KEY_BYTES + NONCE_BYTES..]
    }

    /// Base nonce xor the chunk number as a big-endian number of the same width.
    fn nonce(&self, number: u64) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.bytes[KEY_BYTES..KEY_BYTES + NONCE_BYTES]);
        for (byte, count) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= count;
        }
        nonce.into()
    }
}

/// HKDF-Expand (RFC 5869) with HMAC-SHA-512; `info` is the concatenation of its pieces.
fn expand(key: &Secret32, info: &[&[u8]]) -> Zeroizing<[u8; DERIVED_BYTES]> {
    let keyed = Hmac::<Sha512>::new_from_slice(key.expose()).expect("HMAC takes any key length");
    let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
    let mut block = Zeroizing::new([0; HASH_BYTES]);
    for (number, output) in (1..).zip(derived.chunks_mut(HASH_BYTES)) {
        let mut mac = keyed.clone();
        if number > 1 {
            mac.update(block.as_slice());
        }
        for piece in info {
            mac.update(piece);
        }
        mac.update(&[number]);
        block.copy_from_slice(&mac.finalize().into_bytes());
        output.copy_from_slice(&block[..output.len()]);
    }
    derived
}

#[cfg(test)]
mod tests {
    use super::{Secret32, expand};

    /// RFC 5869 defines no vectors for SHA-512; this one was computed with Python's `hmac` module.
    #[test]
    fn expansion_agrees_with_an_independent_hkdf() {
        let key = Secret32::copy_of(&std::array::from_fn(|at| u8::try_from(at).expect("small")));
        let derived = expand(&key, &[b"one ", b"info"]);
        let hex: String = derived.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, second) = hex.split_at(76);
        assert_eq!(
            first,
            "b2999c665bf47ff4044755032711451ecd0d596f8143f0a6d575fdc581debb06e01e2710f182"
        );
        assert_eq!(
            second,
            "422c33736664ffadfe1eb6100447faaeb67122adbb1157b830bcf215369de58c801b3f1c7ab9"
        );
    }
}
