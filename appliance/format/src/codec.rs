//! Bytes to values: `Unverified`, decode errors, and what all fixed structures share.
//!
//! Invariants: decoding checks everything that can be checked without context (length, magic,
//! version, digest, zero reserve, ranges); only `verify` against an expectation gives a value that
//! may be trusted. A decoder never panics, whatever the bytes.

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::digest::Digest;
use crate::limits::{BLOCK, BLOCK_DIGEST_OFFSET};

/// Version of every structure this crate writes and the only one it reads.
pub const FORMAT_VERSION: u16 = 1;

/// A value read from media, internally consistent, but not yet known to be what was asked for.
///
/// `C` is what the bytes claim about their own place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "only a verified value may be used"]
pub struct Unverified<T, C = ()> {
    pub(crate) value: T,
    pub(crate) place: C,
}

impl<T> Unverified<T> {
    pub(crate) const fn of(value: T) -> Self {
        Self { value, place: () }
    }
}

impl<T, C> Unverified<T, C> {
    /// What the bytes claim, for searches and reports; never a base for decisions.
    pub const fn claims(&self) -> &T {
        &self.value
    }

    /// Where the bytes claim to lie.
    pub const fn claimed_place(&self) -> &C {
        &self.place
    }
}

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Fault {
    /// Fewer bytes than the structure has.
    #[error("too few bytes")]
    Short,
    /// More bytes than the structure has.
    #[error("too many bytes")]
    Long,
    /// All bytes are zero: nothing was ever written here.
    #[error("blank")]
    Blank,
    /// Some other structure, or noise.
    #[error("wrong magic")]
    Magic,
    /// A version this reader does not know.
    #[error("unknown version")]
    Version,
    /// The content does not have the digest it should have.
    #[error("digest mismatch")]
    Digest,
    /// Reserved bytes are not zero.
    #[error("reserved bytes in use")]
    Reserved,
    /// A field has a value that the format does not allow.
    #[error("value not allowed")]
    Value,
    /// A length or number is above its limit.
    #[error("limit exceeded")]
    Limit,
    /// A number of entries does not fit the rest.
    #[error("wrong count")]
    Count,
    /// An incompatible feature this reader does not have.
    #[error("unknown incompatible feature")]
    Feature,
    /// The digest is right but another encoding of the same values was expected.
    #[error("not the deterministic encoding")]
    NotCanonical,
    /// CBOR: an integer or length that is longer than necessary.
    #[error("integer not in shortest form")]
    NonMinimal,
    /// CBOR: indefinite length.
    #[error("indefinite length")]
    Indefinite,
    /// CBOR: map keys out of order.
    #[error("map keys out of order")]
    KeyOrder,
    /// CBOR: a map key twice.
    #[error("map key twice")]
    DuplicateKey,
    /// CBOR: bytes after the document.
    #[error("bytes after the end")]
    Trailing,
    /// CBOR: nested too deeply.
    #[error("nested too deeply")]
    Depth,
    /// CBOR: negative integers, tags, floats and simple values are not used.
    #[error("unsupported type")]
    Unsupported,
    /// CBOR: another type than the field has.
    #[error("wrong type")]
    Type,
    /// CBOR: a text string that is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// CBOR: a required map key is absent.
    #[error("key missing")]
    MissingKey,
    /// CBOR: a map key the structure does not have.
    #[error("unknown key")]
    UnknownKey,
}

/// Why bytes are not the structure they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{noun}: {what} ({field}, offset {offset})")]
pub struct DecodeError {
    /// Structure, as FORMAT.md names it.
    pub noun: &'static str,
    /// Field, as FORMAT.md names it.
    pub field: &'static str,
    /// Byte offset of the field in the structure.
    pub offset: usize,
    /// The fault.
    pub what: Fault,
}

impl DecodeError {
    pub(crate) const fn new(
        noun: &'static str,
        field: &'static str,
        offset: usize,
        what: Fault,
    ) -> Self {
        Self {
            noun,
            field,
            offset,
            what,
        }
    }

    /// True when the place was never written.
    #[must_use]
    pub const fn is_blank(&self) -> bool {
        matches!(self.what, Fault::Blank)
    }
}

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{noun}: {field} cannot be written: {what}")]
pub struct EncodeError {
    /// Structure, as FORMAT.md names it.
    pub noun: &'static str,
    /// Field at fault.
    pub field: &'static str,
    /// The fault.
    pub what: Fault,
}

impl EncodeError {
    pub(crate) const fn new(noun: &'static str, field: &'static str, what: Fault) -> Self {
        Self { noun, field, what }
    }
}

/// True when every byte is zero: a place that was never written.
#[must_use]
pub fn is_blank(bytes: &[u8]) -> bool {
    // Groups without a branch inside become wide instructions.
    let (groups, rest) = bytes.as_chunks::<256>();
    let blank = |group: &[u8; 256]| group.iter().fold(0, |seen, byte| seen | byte) == 0;
    groups.iter().all(blank) && rest.iter().all(|&byte| byte == 0)
}

/// Rounds up to whole blocks; `None` on overflow.
#[must_use]
pub const fn block_ceil(bytes: u64) -> Option<u64> {
    match bytes.checked_add(BLOCK as u64 - 1) {
        Some(sum) => Some(sum / BLOCK as u64 * BLOCK as u64),
        None => None,
    }
}

/// A 32-bit size as a length in memory.
pub(crate) fn length(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A length in memory as a 32-bit size; too large ones saturate and then fail their limit.
pub(crate) fn size32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// One field of a fixed structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, as in FORMAT.md.
    pub name: &'static str,
    /// Byte offset in the structure.
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}

/// A fixed structure of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Name, as in FORMAT.md.
    pub name: &'static str,
    /// Size in bytes.
    pub bytes: usize,
    /// Fields in order, without gaps.
    pub fields: &'static [Field],
}

/// Declares the bytes of a structure: all fields unaligned and little-endian, no padding, the size
/// asserted when compiling, and a description for the layout test.
macro_rules! media_struct {
    ($(#[$doc:meta])* $name:ident as $noun:literal, $bytes:expr, {
        $($field:ident: $ty:ty),* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
            zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub(crate) struct $name {
            $(pub(crate) $field: $ty),*
        }

        const _: () = assert!(size_of::<$name>() == $bytes);

        impl $name {
            pub(crate) const STRUCTURE: $crate::codec::Structure = $crate::codec::Structure {
                name: $noun,
                bytes: $bytes,
                fields: &[$($crate::codec::Field {
                    name: stringify!($field),
                    offset: core::mem::offset_of!($name, $field),
                    bytes: size_of::<$ty>(),
                }),*],
            };
        }
    };
}

/// Leaves the function with a decode error at a field.
macro_rules! refuse {
    ($raw:ident.$field:ident, $what:ident) => {
        return Err($crate::codec::DecodeError::new(
            $raw::STRUCTURE.name,
            stringify!($field),
            core::mem::offset_of!($raw, $field),
            $crate::codec::Fault::$what,
        )
        .into())
    };
}

/// Leaves the function with a decode error at a field unless the condition holds.
macro_rules! require {
    ($condition:expr, $raw:ident.$field:ident, $what:ident) => {
        if !$condition {
            $crate::codec::refuse!($raw.$field, $what);
        }
    };
}

pub(crate) use {media_struct, refuse, require};

/// Reads a fixed structure from exactly its bytes.
pub(crate) fn read_raw<T>(structure: &Structure, bytes: &[u8]) -> Result<T, DecodeError>
where
    T: FromBytes + KnownLayout + Immutable,
{
    let what = if bytes.len() < structure.bytes {
        Fault::Short
    } else {
        Fault::Long
    };
    T::read_from_bytes(bytes).map_err(|_| DecodeError::new(structure.name, "", 0, what))
}

/// Reads a 4 KiB root structure: length, blank, magic, version, digest, in this order.
pub(crate) fn read_block<T>(
    structure: &Structure,
    magic: &[u8; 8],
    bytes: &[u8],
) -> Result<T, DecodeError>
where
    T: FromBytes + KnownLayout + Immutable,
{
    let raw = read_raw(structure, bytes)?;
    let refuse = |field, offset, what| Err(DecodeError::new(structure.name, field, offset, what));
    if is_blank(bytes) {
        return refuse("", 0, Fault::Blank);
    }
    check_start(structure.name, magic, bytes)?;
    let (content, digest) = bytes
        .split_at_checked(BLOCK_DIGEST_OFFSET)
        .unwrap_or((bytes, &[]));
    if Digest::of(content).as_bytes() != digest {
        return refuse("digest", BLOCK_DIGEST_OFFSET, Fault::Digest);
    }
    Ok(raw)
}

/// Checks magic and version, which every structure starts with.
pub(crate) fn check_start(
    noun: &'static str,
    magic: &[u8; 8],
    bytes: &[u8],
) -> Result<(), DecodeError> {
    if bytes.get(..8) != Some(magic.as_slice()) {
        return Err(DecodeError::new(noun, "magic", 0, Fault::Magic));
    }
    if bytes.get(8..10) != Some(FORMAT_VERSION.to_le_bytes().as_slice()) {
        return Err(DecodeError::new(noun, "version", 8, Fault::Version));
    }
    Ok(())
}

/// Fills in the digest of a 4 KiB root structure.
pub(crate) fn seal_block<T: IntoBytes + Immutable>(raw: &T) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (content, digest) = block.split_at_mut(BLOCK_DIGEST_OFFSET);
    for (to, from) in content.iter_mut().zip(raw.as_bytes()) {
        *to = *from;
    }
    digest.copy_from_slice(Digest::of(content).as_bytes());
    block
}
