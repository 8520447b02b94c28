//! Segment: header block, frames, and once sealed a footer and a seal block at the very end.
//!
//! Invariants: the same bytes on every disk that holds a copy; each segment verifies alone (the
//! first frame quotes the header's digest) and quotes the end of its predecessor; zero bytes
//! between frames, footer and seal.

mod seal;

use thiserror::Error;
use zerocopy::FromZeros;
use zerocopy::little_endian::{U16, U32, U64};

pub use self::seal::{Footer, FooterEntry, SegmentSeal};
use crate::codec::{
    DecodeError, FORMAT_VERSION, Unverified, is_blank, media_struct, read_block, refuse, require,
    seal_block,
};
use crate::digest::Digest;
use crate::limits::{BLOCK, BLOCK_BYTES, COPIES_MAX, UNIT_BYTES, UNIT_BYTES_MIN};
use crate::units::{
    ByteCount, ByteOffset, DiskId, Epoch, LaneId, PoolId, SegmentId, Sequence, UnitCount,
    UnixMillis,
};

/// First bytes of a segment.
pub const HEADER_MAGIC: [u8; 8] = *b"STELESEG";
/// First bytes of a footer.
pub const FOOTER_MAGIC: [u8; 8] = *b"STELEFTR";
/// First bytes of a seal block.
pub const SEAL_MAGIC: [u8; 8] = *b"STELESEA";
/// Where the first frame of a segment lies.
pub const FIRST_FRAME_OFFSET: ByteOffset = ByteOffset::new(BLOCK_BYTES as u64);

/// Disks that hold the copies of a segment, in order; at least 1, at most `COPIES_MAX`, distinct.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentDisks {
    count: u16,
    disks: [DiskId; COPIES_MAX],
}

impl SegmentDisks {
    /// The disks in order; `None` when there are none or too many, or one twice or zero.
    #[must_use]
    pub fn new(disks: &[DiskId]) -> Option<Self> {
        let mut all = [DiskId::ZERO; COPIES_MAX];
        for (index, (to, from)) in all.iter_mut().zip(disks).enumerate() {
            let twice = disks.iter().take(index).any(|before| before == from);
            if from.is_zero() || twice {
                return None;
            }
            *to = *from;
        }
        let count = u16::try_from(disks.len()).ok()?;
        (1..=COPIES_MAX)
            .contains(&disks.len())
            .then_some(Self { count, disks: all })
    }

    /// The disks in order.
    #[must_use]
    pub fn as_slice(&self) -> &[DiskId] {
        self.disks
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }
}

impl core::fmt::Debug for SegmentDisks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

media_struct! {
    RawHeader as "SegmentHeader", 4096, {
        magic: [u8; 8],
        version: U16,
        lane: U16,
        copies: U16,
        reserved_a: [u8; 2],
        pool: [u8; 16],
        segment: U64,
        epoch: U32,
        units: U32,
        unit_bytes: U32,
        reserved_b: [u8; 4],
        first_sequence: U64,
        previous_segment: U64,
        compliance_ms: U64,
        previous_chain: [u8; 32],
        disks: [[u8; 16]; COPIES_MAX],
        reserved_c: [u8; 3888],
        digest: [u8; 32],
    }
}

/// Every structure of segments, for the layout test.
pub(crate) const STRUCTURES: [crate::codec::Structure; 4] = [
    RawHeader::STRUCTURE,
    seal::STRUCTURES[0],
    seal::STRUCTURES[1],
    seal::STRUCTURES[2],
];

/// What a segment says about itself before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Pool.
    pub pool: PoolId,
    /// Segment.
    pub segment: SegmentId,
    /// Lane the frames belong to.
    pub lane: LaneId,
    /// Epoch that writes it.
    pub epoch: Epoch,
    /// Units allocated; a seal may give some back.
    pub units: UnitCount,
    /// Size of a unit.
    pub unit_bytes: u32,
    /// Sequence of its first frame.
    pub first_sequence: Sequence,
    /// Segment of the lane before this one, or none.
    pub previous_segment: SegmentId,
    /// Digest of the lane's last frame header before this segment; zero for the first.
    pub previous_chain: Digest,
    /// Compliance clock when it was opened.
    pub compliance_ms: UnixMillis,
    /// Disks that hold the copies.
    pub disks: SegmentDisks,
}

/// What the reader of a segment looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentExpectation {
    /// Pool.
    pub pool: PoolId,
    /// Segment.
    pub segment: SegmentId,
    /// Lane, where known.
    pub lane: Option<LaneId>,
    /// Disk the bytes were read from, which must be among the copies, where known.
    pub disk: Option<DiskId>,
}

impl SegmentExpectation {
    /// Any lane, any disk.
    #[must_use]
    pub const fn new(pool: PoolId, segment: SegmentId) -> Self {
        Self {
            pool,
            segment,
            lane: None,
            disk: None,
        }
    }
}

/// Why the framing of a segment cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// The bytes are not the structure.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A valid structure of another pool.
    #[error("belongs to pool {0}")]
    Pool(PoolId),
    /// A valid structure of another segment.
    #[error("belongs to segment {0}")]
    Segment(SegmentId),
    /// A valid structure of another lane.
    #[error("belongs to lane {0}")]
    Lane(LaneId),
    /// The disk is not among the segment's copies.
    #[error("disk {0} is not among the copies")]
    Disk(DiskId),
    /// The seal contradicts the segment's header.
    #[error("the seal contradicts the segment header")]
    SealMismatch,
    /// The footer contradicts the seal.
    #[error("the footer contradicts the seal")]
    FooterMismatch,
    /// The seal is not at the end of its last unit.
    #[error("the seal is not where it says")]
    Misplaced,
}

fn unit_bytes_allowed(bytes: u32) -> bool {
    bytes.is_power_of_two() && (UNIT_BYTES_MIN..=UNIT_BYTES).contains(&bytes)
}

impl SegmentHeader {
    /// The block.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut raw = RawHeader::new_zeroed();
        raw.magic = HEADER_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.lane = self.lane.get().into();
        raw.copies = self.disks.count.into();
        raw.pool = self.pool.to_bytes();
        raw.segment = self.segment.get().into();
        raw.epoch = self.epoch.get().into();
        raw.units = self.units.get().into();
        raw.unit_bytes = self.unit_bytes.into();
        raw.first_sequence = self.first_sequence.get().into();
        raw.previous_segment = self.previous_segment.get().into();
        raw.compliance_ms = self.compliance_ms.get().into();
        raw.previous_chain = self.previous_chain.0;
        for (to, from) in raw.disks.iter_mut().zip(self.disks.as_slice()) {
            *to = from.to_bytes();
        }
        seal_block(&raw)
    }

    /// The block's digest, which the first frame quotes as its predecessor.
    #[must_use]
    pub fn digest(&self) -> Digest {
        block_digest(&self.encode())
    }

    /// Size of the segment before any trimming.
    #[must_use]
    pub const fn bytes(&self) -> ByteCount {
        ByteCount::new(self.units.get() as u64 * self.unit_bytes as u64)
    }

    /// Reads the block.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self>, DecodeError> {
        let raw: RawHeader = read_block(&RawHeader::STRUCTURE, &HEADER_MAGIC, bytes)?;
        require!(is_blank(&raw.reserved_a), RawHeader.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawHeader.reserved_b, Reserved);
        require!(is_blank(&raw.reserved_c), RawHeader.reserved_c, Reserved);
        let copies = usize::from(raw.copies.get());
        require!((1..=COPIES_MAX).contains(&copies), RawHeader.copies, Value);
        let disks = raw.disks.map(DiskId::new);
        let (used, unused) = disks.split_at_checked(copies).unwrap_or((&disks, &[]));
        require!(
            unused.iter().all(DiskId::is_zero),
            RawHeader.disks,
            Reserved
        );
        let Some(disks) = SegmentDisks::new(used) else {
            refuse!(RawHeader.disks, Value)
        };
        let value = Self {
            pool: PoolId::new(raw.pool),
            segment: SegmentId::new(raw.segment.get()),
            lane: LaneId::new(raw.lane.get()),
            epoch: Epoch::new(raw.epoch.get()),
            units: UnitCount::new(raw.units.get()),
            unit_bytes: raw.unit_bytes.get(),
            first_sequence: Sequence::new(raw.first_sequence.get()),
            previous_segment: SegmentId::new(raw.previous_segment.get()),
            previous_chain: Digest(raw.previous_chain),
            compliance_ms: UnixMillis::new(raw.compliance_ms.get()),
            disks,
        };
        require!(!value.segment.is_zero(), RawHeader.segment, Value);
        require!(value.epoch.in_range(), RawHeader.epoch, Limit);
        require!(value.segment.in_range(), RawHeader.segment, Limit);
        require!(
            value.first_sequence.in_range(),
            RawHeader.first_sequence,
            Limit
        );
        require!(
            value.compliance_ms.in_range(),
            RawHeader.compliance_ms,
            Limit
        );
        require!(!value.epoch.is_zero(), RawHeader.epoch, Value);
        require!(!value.units.is_zero(), RawHeader.units, Value);
        require!(
            u32::try_from(value.bytes().get()).is_ok(),
            RawHeader.units,
            Limit
        );
        require!(
            unit_bytes_allowed(value.unit_bytes),
            RawHeader.unit_bytes,
            Value
        );
        require!(
            !value.first_sequence.is_zero(),
            RawHeader.first_sequence,
            Value
        );
        require!(
            value.previous_segment < value.segment,
            RawHeader.previous_segment,
            Value
        );
        Ok(Unverified::of(value))
    }
}

impl Unverified<SegmentHeader> {
    /// Accepts the header when it is the one looked for.
    ///
    /// # Errors
    /// What differs.
    pub fn verify(self, expect: SegmentExpectation) -> Result<SegmentHeader, SegmentError> {
        let header = self.value;
        if header.pool != expect.pool {
            return Err(SegmentError::Pool(header.pool));
        }
        if header.segment != expect.segment {
            return Err(SegmentError::Segment(header.segment));
        }
        if expect.lane.is_some_and(|lane| lane != header.lane) {
            return Err(SegmentError::Lane(header.lane));
        }
        match expect.disk {
            Some(disk) if !header.disks.as_slice().contains(&disk) => Err(SegmentError::Disk(disk)),
            _ => Ok(header),
        }
    }
}

/// Digest field of a 4 KiB root structure.
#[must_use]
pub fn block_digest(block: &[u8; BLOCK]) -> Digest {
    let digest = block.last_chunk::<32>().copied().unwrap_or_default();
    Digest(digest)
}
