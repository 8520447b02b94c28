//! The mark of a disk that is being wiped: what remains of its label until all of it is blank.
//!
//! Invariants: it is durable before anything else of the disk is overwritten, and goes last; a disk that
//! bears one has no label, however much of its labels can still be read; all of a mark is in the block's first
//! sector, so that a write cut short leaves all of it or nothing.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::{LabelCopy, LabelError, LabelPlace, check_place};
use crate::codec::{
    DecodeError, FORMAT_VERSION, Fault, Unverified, check_start, is_blank, media_struct, read_raw,
    refuse, require,
};
use crate::digest::Digest;
use crate::geometry::DiskGeometry;
use crate::limits::{BLOCK, COUNTING_MAX};
use crate::units::{ByteCount, ByteOffset, DiskId, LogIndex, PoolId, UnitCount};

/// First bytes of the mark.
pub const WIPE_MAGIC: [u8; 8] = *b"STELEWIP";
/// Copies whose block 0 becomes the mark: one at each end of the disk.
pub const WIPE_COPIES: [LabelCopy; 2] = [LabelCopy::A, LabelCopy::D];

/// A disk that is being wiped, for which request, and how it was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WipeMark {
    /// The pool it was of, whose people asked for this.
    pub pool: PoolId,
    /// The disk it was.
    pub disk: DiskId,
    /// Record of the request.
    pub request: LogIndex,
    /// Digest of the label it had.
    pub label: Digest,
    /// Where things lay.
    pub geometry: DiskGeometry,
}

media_struct! {
    RawWipe as "WipeMark", 4096, {
        magic: [u8; 8],
        version: U16,
        copy: U16,
        reserved_a: [u8; 4],
        own_offset: U64,
        pool: [u8; 16],
        disk: [u8; 16],
        request: U64,
        label: [u8; 32],
        disk_bytes: U64,
        index_bytes: U64,
        unit_bytes: U32,
        segment_units: U32,
        keystate_bytes: U32,
        reserved_b: [u8; 356],
        digest: [u8; 32],
        reserved_c: [u8; 3584],
    }
}

pub(super) const STRUCTURE: crate::codec::Structure = RawWipe::STRUCTURE;

/// Where the digest lies: behind all that it covers, in the same sector.
const DIGEST_OFFSET: usize = core::mem::offset_of!(RawWipe, digest);

/// Makes the digest of a mark right.
pub(crate) fn seal_mark(block: &mut [u8; BLOCK]) {
    let (content, rest) = block.split_at_mut(DIGEST_OFFSET);
    if let Some(digest) = rest.first_chunk_mut::<32>() {
        *digest = Digest::of(content).0;
    }
}

impl WipeMark {
    /// The block for one copy.
    #[must_use]
    pub fn encode(&self, copy: LabelCopy) -> [u8; BLOCK] {
        let geometry = &self.geometry;
        let mut raw = RawWipe::new_zeroed();
        raw.magic = WIPE_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.copy = copy.get().into();
        raw.own_offset = self.place(copy).offset.get().into();
        raw.pool = self.pool.to_bytes();
        raw.disk = self.disk.to_bytes();
        raw.request = self.request.get().into();
        raw.label = self.label.0;
        raw.disk_bytes = geometry.disk_bytes.get().into();
        raw.index_bytes = geometry.index_bytes.get().into();
        raw.unit_bytes = geometry.unit_bytes.into();
        raw.segment_units = geometry.segment_units.get().into();
        raw.keystate_bytes = geometry.keystate_bytes.into();
        let mut block = [0; BLOCK];
        block.copy_from_slice(raw.as_bytes());
        seal_mark(&mut block);
        block
    }

    /// Where the mark lies in a copy.
    #[must_use]
    pub fn place(&self, copy: LabelCopy) -> LabelPlace {
        LabelPlace {
            copy,
            block: 0,
            offset: self.geometry.label_block_offset(copy, 0),
        }
    }

    /// Reads a block.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self, LabelPlace>, DecodeError> {
        let raw: RawWipe = read_raw(&RawWipe::STRUCTURE, bytes)?;
        if is_blank(bytes) {
            return Err(DecodeError::new(STRUCTURE.name, "", 0, Fault::Blank));
        }
        check_start(STRUCTURE.name, &WIPE_MAGIC, bytes)?;
        let content = bytes.get(..DIGEST_OFFSET).unwrap_or_default();
        require!(Digest::of(content).0 == raw.digest, RawWipe.digest, Digest);
        require!(is_blank(&raw.reserved_a), RawWipe.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawWipe.reserved_b, Reserved);
        require!(is_blank(&raw.reserved_c), RawWipe.reserved_c, Reserved);
        let copy = LabelCopy::new(raw.copy.get()).filter(|copy| WIPE_COPIES.contains(copy));
        let Some(copy) = copy else {
            refuse!(RawWipe.copy, Value)
        };
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(raw.disk_bytes.get()),
            index_bytes: ByteCount::new(raw.index_bytes.get()),
            keystate_bytes: raw.keystate_bytes.get(),
            unit_bytes: raw.unit_bytes.get(),
            segment_units: UnitCount::new(raw.segment_units.get()),
        };
        require!(geometry.check().is_ok(), RawWipe.disk_bytes, Value);
        require!(raw.request.get() <= COUNTING_MAX, RawWipe.request, Limit);
        let value = Self {
            pool: PoolId::new(raw.pool),
            disk: DiskId::new(raw.disk),
            request: LogIndex::new(raw.request.get()),
            label: Digest(raw.label),
            geometry,
        };
        require!(!value.pool.is_zero(), RawWipe.pool, Value);
        require!(!value.disk.is_zero(), RawWipe.disk, Value);
        let place = LabelPlace {
            copy,
            block: 0,
            offset: ByteOffset::new(raw.own_offset.get()),
        };
        require!(place == value.place(copy), RawWipe.own_offset, Value);
        Ok(Unverified { value, place })
    }
}

impl Unverified<WipeMark, LabelPlace> {
    /// Accepts the mark when it lies where it says.
    ///
    /// # Errors
    /// `Misplaced` when the block belongs elsewhere.
    pub fn verify(self, place: LabelPlace) -> Result<WipeMark, LabelError> {
        check_place(self.place, place)?;
        Ok(self.value)
    }
}
