//! Key-state area: two copies per disk, each a header block and a body only the key provider can
//! open.
//!
//! Invariants: copies are written one after the other, each flushed before the next, so one is
//! whole at any time; the header's digest of the body tells a torn body from a finished one.

use thiserror::Error;
use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32, U64};

use crate::codec::{
    DecodeError, EncodeError, FORMAT_VERSION, Fault, Unverified, block_ceil, is_blank, length,
    media_struct, read_block, require, seal_block, size32,
};
use crate::digest::Digest;
use crate::limits::{BLOCK, BLOCK_BYTES, KEYSTATE_COPIES, KEYSTATE_COPY_BYTES};
use crate::units::{DiskId, Generation, PoolId};

/// First bytes of a key-state copy.
pub const KEYSTATE_MAGIC: [u8; 8] = *b"STELEKEY";
/// Longest sealed body on a product disk.
pub const KEYSTATE_BODY_BYTES_MAX: u32 = KEYSTATE_COPY_BYTES - BLOCK_BYTES;

media_struct! {
    RawKeyState as "KeyStateHeader", 4096, {
        magic: [u8; 8],
        version: U16,
        copy: U16,
        body_bytes: U32,
        pool: [u8; 16],
        disk: [u8; 16],
        generation: U64,
        reserved_a: [u8; 8],
        body_digest: [u8; 32],
        reserved_b: [u8; 3968],
        digest: [u8; 32],
    }
}

pub(crate) const STRUCTURES: [crate::codec::Structure; 1] = [RawKeyState::STRUCTURE];

/// Header of a key-state copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStateHeader {
    /// Pool.
    pub pool: PoolId,
    /// Disk this copy is on.
    pub disk: DiskId,
    /// Copy: 0 or 1.
    pub copy: u16,
    /// Number of this write; the higher of two intact copies counts.
    pub generation: Generation,
    /// Length of the sealed body, padding not counted.
    pub body_bytes: u32,
    /// Digest of the sealed body, padding not counted.
    pub body_digest: Digest,
}

/// Where a key-state copy was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStateExpectation {
    /// Pool.
    pub pool: PoolId,
    /// Disk.
    pub disk: DiskId,
    /// Copy: 0 or 1.
    pub copy: u16,
}

/// Why a key-state copy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyStateError {
    /// The bytes are no key state.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A valid copy of another disk, pool or place.
    #[error("key state of disk {disk} of pool {pool}, copy {copy}")]
    Foreign {
        /// Pool it belongs to.
        pool: PoolId,
        /// Disk it belongs to.
        disk: DiskId,
        /// Copy it is.
        copy: u16,
    },
    /// The body is torn or damaged.
    #[error("the key-state body does not match its header")]
    Body,
}

impl KeyStateHeader {
    /// The whole copy: header block, body, zeroes to the end of its last block.
    ///
    /// # Errors
    /// When the body is empty or longer than a copy holds.
    pub fn encode(
        place: KeyStateExpectation,
        generation: Generation,
        body: &[u8],
    ) -> Result<Vec<u8>, EncodeError> {
        let refuse = |field, what| EncodeError::new(RawKeyState::STRUCTURE.name, field, what);
        let body_bytes = size32(body.len());
        if body.is_empty() || body_bytes > KEYSTATE_BODY_BYTES_MAX {
            return Err(refuse("body_bytes", Fault::Limit));
        }
        if place.copy >= KEYSTATE_COPIES {
            return Err(refuse("copy", Fault::Value));
        }
        let mut raw = RawKeyState::new_zeroed();
        raw.magic = KEYSTATE_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.copy = place.copy.into();
        raw.body_bytes = body_bytes.into();
        raw.pool = place.pool.to_bytes();
        raw.disk = place.disk.to_bytes();
        raw.generation = generation.get().into();
        raw.body_digest = Digest::of(body).0;
        let mut out = seal_block(&raw).to_vec();
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        Ok(out)
    }

    /// Reads the header block.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(block: &[u8]) -> Result<Unverified<Self>, DecodeError> {
        let raw: RawKeyState = read_block(&RawKeyState::STRUCTURE, &KEYSTATE_MAGIC, block)?;
        require!(is_blank(&raw.reserved_a), RawKeyState.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawKeyState.reserved_b, Reserved);
        require!(raw.copy.get() < KEYSTATE_COPIES, RawKeyState.copy, Value);
        let body_bytes = raw.body_bytes.get();
        require!(body_bytes > 0, RawKeyState.body_bytes, Value);
        require!(
            body_bytes <= KEYSTATE_BODY_BYTES_MAX,
            RawKeyState.body_bytes,
            Limit
        );
        let generation = Generation::new(raw.generation.get());
        require!(generation.in_range(), RawKeyState.generation, Limit);
        Ok(Unverified::of(Self {
            pool: PoolId::new(raw.pool),
            disk: DiskId::new(raw.disk),
            copy: raw.copy.get(),
            generation,
            body_bytes,
            body_digest: Digest(raw.body_digest),
        }))
    }

    /// Length of the body with its padding, as it lies after the header block.
    #[must_use]
    pub fn padded_body_bytes(&self) -> usize {
        length(self.body_bytes).next_multiple_of(BLOCK)
    }

    /// Length of the copy: header block, body, padding.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        block_ceil(u64::from(self.body_bytes))
            .unwrap_or(u64::MAX)
            .saturating_add(BLOCK as u64)
    }

    /// Takes the sealed body out of the bytes after the header block, padding included.
    ///
    /// # Errors
    /// `Body` when bytes are missing, padding is not zero or the digest differs.
    pub fn check_body<'a>(&self, after_header: &'a [u8]) -> Result<&'a [u8], KeyStateError> {
        let padded = after_header
            .get(..self.padded_body_bytes())
            .ok_or(KeyStateError::Body)?;
        let (body, padding) = padded
            .split_at_checked(length(self.body_bytes))
            .ok_or(KeyStateError::Body)?;
        if is_blank(padding) && Digest::of(body) == self.body_digest {
            Ok(body)
        } else {
            Err(KeyStateError::Body)
        }
    }
}

impl Unverified<KeyStateHeader> {
    /// Accepts the header when it belongs to this place.
    ///
    /// # Errors
    /// `Foreign` otherwise.
    pub fn verify(self, expect: KeyStateExpectation) -> Result<KeyStateHeader, KeyStateError> {
        let KeyStateHeader {
            pool, disk, copy, ..
        } = self.value;
        if (KeyStateExpectation { pool, disk, copy }) == expect {
            Ok(self.value)
        } else {
            Err(KeyStateError::Foreign { pool, disk, copy })
        }
    }
}
