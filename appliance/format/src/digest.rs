//! BLAKE3-256: the one digest of everything but the record tree.
//!
//! Two uses are kept apart by domain: plain BLAKE3 over stored bytes, and a derived key for the
//! chain of record headers.

use core::fmt;

use crate::units::{parse_hex, write_hex};

/// Context of the record chain, for BLAKE3 in key derivation mode.
pub const RECORD_CHAIN_CONTEXT: &str = "stele 2026 record chain v1";

/// A BLAKE3-256 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// All zero: none, where a field says so.
    pub const ZERO: Self = Self([0; 32]);

    /// Plain BLAKE3 of stored bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Link of the record chain: what the next record header quotes of this one.
    #[must_use]
    pub fn chain(record_header: &[u8]) -> Self {
        Self(blake3::derive_key(RECORD_CHAIN_CONTEXT, record_header))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// True when all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Reads exactly 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse_hex(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
