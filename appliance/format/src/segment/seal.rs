//! Closing a segment: the footer lists its frames, the seal block says where everything ends.
//!
//! Invariants: footer entries are contiguous in place and in sequence; the seal lies in the last
//! block of the last unit kept, so one read at a known place tells a sealed segment.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::{
    FIRST_FRAME_OFFSET, FOOTER_MAGIC, SEAL_MAGIC, SegmentError, SegmentExpectation, SegmentHeader,
    block_digest, unit_bytes_allowed,
};
use crate::codec::{
    DecodeError, EncodeError, FORMAT_VERSION, Fault, Unverified, block_ceil, check_start, is_blank,
    length, media_struct, read_block, read_raw, require, seal_block, size32,
};
use crate::digest::Digest;
use crate::frame::FrameHeader;
use crate::limits::{BLOCK, BLOCK_BYTES, FRAME_BYTES_MAX, FRONTIER_NODES_MAX};
use crate::tree::{Frontier, TreeHash};
use crate::units::{ByteCount, ByteOffset, Epoch, LaneId, PoolId, SegmentId, Sequence, UnitCount};

media_struct! {
    RawFooter as "FooterHead", 24, {
        magic: [u8; 8],
        version: U16,
        reserved: [u8; 2],
        entry_count: U32,
        segment: U64,
    }
}

media_struct! {
    RawEntry as "FooterEntry", 48, {
        offset_blocks: U32,
        total_blocks: U32,
        sequence: U64,
        payload_digest: [u8; 32],
    }
}

media_struct! {
    RawSeal as "SegmentSeal", 4096, {
        magic: [u8; 8],
        version: U16,
        lane: U16,
        frontier_count: U16,
        reserved_a: [u8; 2],
        pool: [u8; 16],
        segment: U64,
        epoch: U32,
        units: U32,
        unit_bytes: U32,
        frame_count: U32,
        first_sequence: U64,
        last_sequence: U64,
        data_end: U64,
        footer_offset: U64,
        footer_bytes: U32,
        reserved_b: [u8; 4],
        footer_digest: [u8; 32],
        chain_head: [u8; 32],
        log_size: U64,
        log_root: [u8; 32],
        frontier: [[u8; 32]; FRONTIER_NODES_MAX],
        reserved_c: [u8; 1816],
        digest: [u8; 32],
    }
}

pub(super) const STRUCTURES: [crate::codec::Structure; 3] = [
    RawFooter::STRUCTURE,
    RawEntry::STRUCTURE,
    RawSeal::STRUCTURE,
];

const HEAD_BYTES: usize = RawFooter::STRUCTURE.bytes;
const ENTRY_BYTES: usize = RawEntry::STRUCTURE.bytes;
const DIGEST_BYTES: usize = 32;

/// A frame as the footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FooterEntry {
    /// Place in the segment, in blocks of 4 KiB.
    pub offset_blocks: u32,
    /// Length, in blocks of 4 KiB.
    pub total_blocks: u32,
    /// Sequence of the frame.
    pub sequence: Sequence,
    /// Digest of its payload.
    pub payload_digest: Digest,
}

impl FooterEntry {
    /// The entry for a frame.
    #[must_use]
    pub fn of(frame: &FrameHeader) -> Self {
        let blocks = frame.segment_offset.get() / u64::from(BLOCK_BYTES);
        Self {
            offset_blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            total_blocks: frame.total_bytes / BLOCK_BYTES,
            sequence: frame.sequence,
            payload_digest: frame.payload_digest,
        }
    }

    /// Place in the segment.
    #[must_use]
    pub fn offset(&self) -> ByteOffset {
        ByteOffset::new(u64::from(self.offset_blocks) * u64::from(BLOCK_BYTES))
    }

    /// Length of the frame with its padding.
    #[must_use]
    pub fn bytes(&self) -> ByteCount {
        ByteCount::new(u64::from(self.total_blocks) * u64::from(BLOCK_BYTES))
    }

    /// True when `next` is the frame right after this one.
    fn leads_to(&self, next: &Self) -> bool {
        self.offset_blocks.checked_add(self.total_blocks) == Some(next.offset_blocks)
            && self.sequence.next() == Some(next.sequence)
    }
}

/// The frames of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Segment.
    pub segment: SegmentId,
    /// Frames in order.
    pub entries: Vec<FooterEntry>,
}

fn entries_fit(entries: &[FooterEntry]) -> bool {
    let first = entries
        .first()
        .is_none_or(|entry| entry.offset() == FIRST_FRAME_OFFSET);
    let blocks = 1..=FRAME_BYTES_MAX / BLOCK_BYTES;
    let sizes = entries
        .iter()
        .all(|entry| blocks.contains(&entry.total_blocks));
    let order = entries
        .iter()
        .zip(entries.iter().skip(1))
        .all(|(a, b)| a.leads_to(b));
    first && sizes && order
}

impl Footer {
    /// Length up to and including the digest, as the seal states it.
    #[must_use]
    pub fn bytes_for(entry_count: usize) -> usize {
        entry_count
            .saturating_mul(ENTRY_BYTES)
            .saturating_add(HEAD_BYTES + DIGEST_BYTES)
    }

    /// Head, entries, digest, and zeroes to a whole block; with the digest, which the seal quotes.
    ///
    /// # Errors
    /// When the entries are not contiguous in place and sequence from the first frame's place on.
    pub fn encode(&self) -> Result<(Vec<u8>, Digest), EncodeError> {
        if !entries_fit(&self.entries) {
            return Err(EncodeError::new(
                RawFooter::STRUCTURE.name,
                "entries",
                Fault::Value,
            ));
        }
        let mut head = RawFooter::new_zeroed();
        head.magic = FOOTER_MAGIC;
        head.version = FORMAT_VERSION.into();
        head.entry_count = size32(self.entries.len()).into();
        head.segment = self.segment.get().into();
        let bytes = Self::bytes_for(self.entries.len());
        let mut out = Vec::with_capacity(bytes.next_multiple_of(BLOCK));
        out.extend_from_slice(head.as_bytes());
        for entry in &self.entries {
            let raw = RawEntry {
                offset_blocks: entry.offset_blocks.into(),
                total_blocks: entry.total_blocks.into(),
                sequence: entry.sequence.get().into(),
                payload_digest: entry.payload_digest.0,
            };
            out.extend_from_slice(raw.as_bytes());
        }
        let digest = Digest::of(&out);
        out.extend_from_slice(digest.as_bytes());
        out.resize(bytes.next_multiple_of(BLOCK), 0);
        Ok((out, digest))
    }

    /// Reads a footer with its padding.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self, Digest>, DecodeError> {
        let noun = RawFooter::STRUCTURE.name;
        let refuse = |field, offset, what| DecodeError::new(noun, field, offset, what);
        let short = |field, offset| move || refuse(field, offset, Fault::Short);
        let head = bytes.get(..HEAD_BYTES).ok_or_else(short("", 0))?;
        if is_blank(bytes) {
            return Err(refuse("", 0, Fault::Blank));
        }
        check_start(noun, &FOOTER_MAGIC, head)?;
        let head: RawFooter = read_raw(&RawFooter::STRUCTURE, head)?;
        let total = Self::bytes_for(length(head.entry_count.get()));
        let end = total.saturating_sub(DIGEST_BYTES);
        let content = bytes.get(..end).ok_or_else(short("entries", HEAD_BYTES))?;
        let digest = bytes.get(end..total).ok_or_else(short("digest", end))?;
        let padding = bytes.get(total..).unwrap_or_default();
        let computed = Digest::of(content);
        if computed.as_bytes() != digest {
            return Err(refuse("digest", end, Fault::Digest));
        }
        require!(is_blank(&head.reserved), RawFooter.reserved, Reserved);
        if bytes.len() != total.next_multiple_of(BLOCK) {
            return Err(refuse("padding", total, Fault::Long));
        }
        if !is_blank(padding) {
            return Err(refuse("padding", total, Fault::Reserved));
        }
        let mut entries = Vec::with_capacity(length(head.entry_count.get()));
        for raw in content
            .get(HEAD_BYTES..)
            .unwrap_or_default()
            .chunks_exact(ENTRY_BYTES)
        {
            let raw: RawEntry = read_raw(&RawEntry::STRUCTURE, raw)?;
            entries.push(FooterEntry {
                offset_blocks: raw.offset_blocks.get(),
                total_blocks: raw.total_blocks.get(),
                sequence: Sequence::new(raw.sequence.get()),
                payload_digest: Digest(raw.payload_digest),
            });
        }
        if !entries_fit(&entries) {
            return Err(refuse("entries", HEAD_BYTES, Fault::Value));
        }
        let value = Self {
            segment: SegmentId::new(head.segment.get()),
            entries,
        };
        Ok(Unverified {
            value,
            place: computed,
        })
    }
}

impl Unverified<Footer, Digest> {
    /// Accepts the footer when it is the one the seal quotes and its frames are those it counts.
    ///
    /// # Errors
    /// `FooterMismatch` otherwise.
    pub fn verify(self, seal: &SegmentSeal) -> Result<Footer, SegmentError> {
        let footer = self.value;
        let sequences = footer.entries.first().zip(footer.entries.last());
        let sequences_fit = match sequences {
            None => seal.frame_count == 0,
            Some((first, last)) => {
                first.sequence == seal.first_sequence
                    && last.sequence == seal.last_sequence
                    && last.offset().checked_add(last.bytes().get()) == Some(seal.data_end)
            }
        };
        let fits = self.place == seal.footer_digest
            && footer.segment == seal.segment
            && size32(footer.entries.len()) == seal.frame_count
            && sequences_fit;
        if fits {
            Ok(footer)
        } else {
            Err(SegmentError::FooterMismatch)
        }
    }
}

/// What a sealed segment says at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSeal {
    /// Pool.
    pub pool: PoolId,
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// Epoch that sealed it.
    pub epoch: Epoch,
    /// Units kept; the rest was given back.
    pub units: UnitCount,
    /// Size of a unit.
    pub unit_bytes: u32,
    /// Frames.
    pub frame_count: u32,
    /// Sequence of the first frame (of the header, when there is no frame).
    pub first_sequence: Sequence,
    /// Sequence of the last frame; the one before the first when there is no frame.
    pub last_sequence: Sequence,
    /// Where the last frame ends.
    pub data_end: ByteOffset,
    /// Where the footer starts.
    pub footer_offset: ByteOffset,
    /// Length of the footer up to and including its digest.
    pub footer_bytes: u32,
    /// The footer's digest.
    pub footer_digest: Digest,
    /// Digest of the last frame header; of the segment header when there is no frame.
    pub chain_head: Digest,
    /// The record tree: after the last record of a journal segment; for a data lane as known when
    /// sealing, or none.
    pub log: Option<Frontier>,
}

impl SegmentSeal {
    /// The block.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut raw = RawSeal::new_zeroed();
        raw.magic = SEAL_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.lane = self.lane.get().into();
        raw.pool = self.pool.to_bytes();
        raw.segment = self.segment.get().into();
        raw.epoch = self.epoch.get().into();
        raw.units = self.units.get().into();
        raw.unit_bytes = self.unit_bytes.into();
        raw.frame_count = self.frame_count.into();
        raw.first_sequence = self.first_sequence.get().into();
        raw.last_sequence = self.last_sequence.get().into();
        raw.data_end = self.data_end.get().into();
        raw.footer_offset = self.footer_offset.get().into();
        raw.footer_bytes = self.footer_bytes.into();
        raw.footer_digest = self.footer_digest.0;
        raw.chain_head = self.chain_head.0;
        if let Some(log) = &self.log {
            raw.frontier_count = u16::try_from(log.nodes().len()).unwrap_or(u16::MAX).into();
            raw.log_size = log.size().into();
            raw.log_root = log.root().0;
            for (to, from) in raw.frontier.iter_mut().zip(log.nodes()) {
                *to = from.0;
            }
        }
        seal_block(&raw)
    }

    /// The block's digest, which the SEAL record quotes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        block_digest(&self.encode())
    }

    /// Size of the sealed segment.
    #[must_use]
    pub const fn bytes(&self) -> ByteCount {
        ByteCount::new(self.units.get() as u64 * self.unit_bytes as u64)
    }

    /// Where the seal block lies in its segment.
    #[must_use]
    pub const fn own_offset(&self) -> ByteOffset {
        ByteOffset::new(self.bytes().get().saturating_sub(BLOCK_BYTES as u64))
    }

    /// Reads the block.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self>, DecodeError> {
        let raw: RawSeal = read_block(&RawSeal::STRUCTURE, &SEAL_MAGIC, bytes)?;
        require!(is_blank(&raw.reserved_a), RawSeal.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawSeal.reserved_b, Reserved);
        require!(is_blank(&raw.reserved_c), RawSeal.reserved_c, Reserved);
        let value = Self {
            pool: PoolId::new(raw.pool),
            segment: SegmentId::new(raw.segment.get()),
            lane: LaneId::new(raw.lane.get()),
            epoch: Epoch::new(raw.epoch.get()),
            units: UnitCount::new(raw.units.get()),
            unit_bytes: raw.unit_bytes.get(),
            frame_count: raw.frame_count.get(),
            first_sequence: Sequence::new(raw.first_sequence.get()),
            last_sequence: Sequence::new(raw.last_sequence.get()),
            data_end: ByteOffset::new(raw.data_end.get()),
            footer_offset: ByteOffset::new(raw.footer_offset.get()),
            footer_bytes: raw.footer_bytes.get(),
            footer_digest: Digest(raw.footer_digest),
            chain_head: Digest(raw.chain_head),
            log: decode_log(&raw)?,
        };
        require!(!value.segment.is_zero(), RawSeal.segment, Value);
        require!(value.epoch.in_range(), RawSeal.epoch, Limit);
        require!(value.segment.in_range(), RawSeal.segment, Limit);
        require!(
            unit_bytes_allowed(value.unit_bytes),
            RawSeal.unit_bytes,
            Value
        );
        require!(!value.units.is_zero(), RawSeal.units, Value);
        require!(
            !value.first_sequence.is_zero(),
            RawSeal.first_sequence,
            Value
        );
        let after_last = value
            .last_sequence
            .next()
            .and_then(|n| n.since(value.first_sequence));
        let frames = u64::from(value.frame_count);
        require!(after_last == Some(frames), RawSeal.last_sequence, Value);
        check_places(&value)?;
        Ok(Unverified::of(value))
    }
}

/// Frames, footer and seal lie in this order and do not overlap.
fn check_places(seal: &SegmentSeal) -> Result<(), DecodeError> {
    let block = u64::from(BLOCK_BYTES);
    let (data_end, footer) = (seal.data_end.get(), seal.footer_offset.get());
    require!(data_end.is_multiple_of(block), RawSeal.data_end, Value);
    require!(
        data_end >= FIRST_FRAME_OFFSET.get(),
        RawSeal.data_end,
        Value
    );
    require!(
        footer.is_multiple_of(block) && footer >= data_end,
        RawSeal.footer_offset,
        Value
    );
    let bytes = Footer::bytes_for(length(seal.frame_count));
    require!(
        length(seal.footer_bytes) == bytes,
        RawSeal.footer_bytes,
        Value
    );
    let end = block_ceil(u64::from(seal.footer_bytes)).and_then(|len| footer.checked_add(len));
    let fits = end.is_some_and(|end| end <= seal.own_offset().get());
    require!(fits, RawSeal.footer_offset, Value);
    Ok(())
}

fn decode_log(raw: &RawSeal) -> Result<Option<Frontier>, DecodeError> {
    let count = usize::from(raw.frontier_count.get());
    require!(count <= FRONTIER_NODES_MAX, RawSeal.frontier_count, Limit);
    let (used, unused) = raw
        .frontier
        .split_at_checked(count)
        .unwrap_or((&raw.frontier, &[]));
    require!(is_blank(unused.as_bytes()), RawSeal.frontier, Reserved);
    let nodes = used.iter().copied().map(TreeHash).collect();
    let frontier = Frontier::from_parts(raw.log_size.get(), nodes);
    require!(frontier.is_some(), RawSeal.frontier_count, Count);
    let frontier = frontier.unwrap_or_default();
    let root = TreeHash(raw.log_root);
    if frontier.size() == 0 && root == TreeHash::ZERO {
        return Ok(None);
    }
    require!(frontier.root() == root, RawSeal.log_root, Digest);
    Ok(Some(frontier))
}

impl Unverified<SegmentSeal> {
    /// Accepts the seal when it is that of this segment and lies at this offset in it.
    ///
    /// # Errors
    /// What differs.
    pub fn verify(
        self,
        header: &SegmentHeader,
        read_from: ByteOffset,
    ) -> Result<SegmentSeal, SegmentError> {
        let seal = self.identify(&SegmentExpectation {
            pool: header.pool,
            segment: header.segment,
            lane: Some(header.lane),
            disk: None,
        })?;
        let fits = seal.unit_bytes == header.unit_bytes
            && seal.units <= header.units
            && seal.first_sequence == header.first_sequence
            && seal.epoch >= header.epoch
            && (seal.frame_count > 0 || seal.chain_head == header.digest());
        if !fits {
            return Err(SegmentError::SealMismatch);
        }
        if seal.own_offset() == read_from {
            Ok(seal)
        } else {
            Err(SegmentError::Misplaced)
        }
    }

    /// Accepts the seal by name alone, for a reader whose segment header is damaged.
    ///
    /// # Errors
    /// What differs.
    pub fn identify(self, expect: &SegmentExpectation) -> Result<SegmentSeal, SegmentError> {
        let seal = self.value;
        if seal.pool != expect.pool {
            return Err(SegmentError::Pool(seal.pool));
        }
        if seal.segment != expect.segment {
            return Err(SegmentError::Segment(seal.segment));
        }
        match expect.lane {
            Some(lane) if lane != seal.lane => Err(SegmentError::Lane(seal.lane)),
            _ => Ok(seal),
        }
    }
}
