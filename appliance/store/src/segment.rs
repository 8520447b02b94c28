//! The life of an open segment: where its next frame goes, and its seal.
//!
//! Invariants: bytes below the write head are never written again except by repair with identical
//! content; every copy of a segment holds the same bytes; a sealed segment has no writer.

use stele_device::buffer::{Buffer, BufferMut};
use stele_format::digest::Digest;
use stele_format::frame::{FrameDraft, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::segment::{Footer, FooterEntry, SegmentDisks, SegmentHeader, SegmentSeal};
use stele_format::tree::Frontier;
use stele_format::units::{
    ByteOffset, Epoch, FrameIndex, LaneId, PoolId, SegmentId, Sequence, UnitCount, UnixMillis,
};

use crate::heal::frames::Framed;
use crate::pool::Place;

const BLOCK: usize = BLOCK_BYTES as usize;
const HEADER: usize = FRAME_HEADER_BYTES as usize;

/// What every frame of a segment states about its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct FrameFacts {
    /// The epoch; a segment may outlive the one it began in.
    pub epoch: Epoch,
    /// Records in the payload; 0 on data lanes.
    pub record_count: u16,
    /// Payload is a clear chunk list.
    pub list: bool,
    /// Highest journal frame known durable; none on data lanes.
    pub committed_through: Sequence,
    /// The compliance clock.
    pub compliance: UnixMillis,
}

/// The log as a seal repeats it: the tree's frontier, none on data lanes.
pub type LogState = Option<Frontier>;

/// An open segment.
#[derive(Debug, Clone)]
pub struct SegmentWriter {
    /// Its header as written.
    pub header: SegmentHeader,
    /// Where its copies lie.
    pub places: Vec<Place>,
    next_offset: u64,
    next_sequence: Sequence,
    chain: Digest,
    entries: Vec<FooterEntry>,
    header_written: bool,
}

/// What a new segment needs to know.
#[derive(Debug, Clone)]
pub struct NewSegment {
    /// The pool.
    pub pool: PoolId,
    /// Its id, never used before.
    pub segment: SegmentId,
    /// Its lane.
    pub lane: LaneId,
    /// The epoch that writes it.
    pub epoch: Epoch,
    /// Bytes per unit.
    pub unit_bytes: u32,
    /// Its length in units.
    pub units: u32,
    /// The first frame's sequence.
    pub first_sequence: Sequence,
    /// The lane's segment before it.
    pub previous_segment: SegmentId,
    /// The lane's last frame header digest.
    pub previous_chain: Digest,
    /// The compliance clock.
    pub compliance: UnixMillis,
    /// Where its copies will lie.
    pub places: Vec<Place>,
}

/// A frame with its place.
#[derive(Debug, Clone)]
pub struct PlacedFrame {
    /// Byte offset in the segment at which `bytes` go (the segment header comes along with the
    /// first frame).
    pub write_offset: u64,
    /// What to write, a multiple of a block.
    pub bytes: Buffer,
    /// Byte offset of the frame itself.
    pub frame_offset: ByteOffset,
    /// The frame's header.
    pub header: FrameHeader,
}

impl SegmentWriter {
    /// An open segment with nothing in it.
    #[must_use]
    pub fn new(new: NewSegment) -> Self {
        let disks: Vec<_> = new.places.iter().map(|place| place.disk).collect();
        let disks = SegmentDisks::new(&disks).expect("places are on one to four distinct disks");
        let header = SegmentHeader {
            pool: new.pool,
            segment: new.segment,
            lane: new.lane,
            epoch: new.epoch,
            units: UnitCount::new(new.units),
            unit_bytes: new.unit_bytes,
            first_sequence: new.first_sequence,
            previous_segment: new.previous_segment,
            previous_chain: new.previous_chain,
            compliance_ms: new.compliance,
            disks,
        };
        let chain = header.digest();
        Self {
            header,
            places: new.places,
            next_offset: u64::from(BLOCK_BYTES),
            next_sequence: new.first_sequence,
            chain,
            entries: Vec::new(),
            header_written: false,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.header.segment
    }

    /// The digest the next frame must name as its predecessor.
    #[must_use]
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// The digest the next segment of the lane must name: the last frame's, or what came before.
    #[must_use]
    pub fn lane_chain(&self) -> Digest {
        if self.entries.is_empty() {
            self.header.previous_chain
        } else {
            self.chain
        }
    }

    /// Sequence of the next frame.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.next_sequence
    }

    /// Offset of the next frame.
    #[must_use]
    pub fn next_offset(&self) -> ByteOffset {
        ByteOffset::new(self.next_offset)
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its frames up to a sequence.
    pub(crate) fn frames_through(&self, last: Sequence) -> Vec<Framed> {
        let count = self.entries.partition_point(|entry| entry.sequence <= last);
        Framed::of_footer(self.entries.get(..count).unwrap_or_default())
    }

    /// Bytes of the whole segment as allocated.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.header.bytes().get()
    }

    /// Whether a frame of so many bytes fits before footer and seal.
    #[must_use]
    pub fn fits(&self, frame_bytes: usize) -> bool {
        let footer = Footer::bytes_for(self.entries.len() + 1).next_multiple_of(BLOCK) as u64;
        self.next_offset + frame_bytes as u64 + footer + u64::from(BLOCK_BYTES) <= self.capacity()
    }

    /// Gives a frame its place. `frame` holds room for the header, then the payload; `payload_len`
    /// bytes of it count. The caller has asked [`SegmentWriter::fits`].
    pub fn place(
        &mut self,
        mut frame: BufferMut,
        payload_len: usize,
        payload_digest: Digest,
        facts: FrameFacts,
    ) -> PlacedFrame {
        let total = (HEADER + payload_len).next_multiple_of(BLOCK);
        frame[HEADER + payload_len..total].fill(0);
        let header = self.frame_header(payload_len, payload_digest, facts);
        frame[..HEADER].copy_from_slice(&header.encode());
        let frame_offset = ByteOffset::new(self.next_offset);
        let (write_offset, bytes) = if self.header_written {
            (self.next_offset, frame.freeze().slice(0..total))
        } else {
            let mut whole = BufferMut::zeroed(BLOCK + total);
            whole[..BLOCK].copy_from_slice(&self.header.encode());
            whole[BLOCK..].copy_from_slice(&frame[..total]);
            (0, whole.freeze())
        };
        self.header_written = true;
        self.entries.push(FooterEntry::of(&header));
        self.chain = header.digest();
        self.next_offset += total as u64;
        self.next_sequence = Sequence::new(self.next_sequence.get() + 1);
        PlacedFrame {
            write_offset,
            bytes,
            frame_offset,
            header,
        }
    }

    fn frame_header(
        &self,
        payload_len: usize,
        payload_digest: Digest,
        facts: FrameFacts,
    ) -> FrameHeader {
        let draft = FrameDraft {
            list: facts.list,
            pool: self.header.pool,
            segment: self.header.segment,
            frame_index: FrameIndex::new(u32::try_from(self.entries.len()).unwrap_or(u32::MAX)),
            lane: self.header.lane,
            record_count: facts.record_count,
            sequence: self.next_sequence,
            epoch: facts.epoch,
            segment_offset: ByteOffset::new(self.next_offset),
            committed_through: facts.committed_through,
            compliance_ms: facts.compliance,
            previous_header: self.chain,
        };
        let payload_bytes = u32::try_from(payload_len).unwrap_or(u32::MAX);
        draft
            .seal_digest(payload_bytes, payload_digest)
            .expect("frames keep within the limits of a frame")
    }

    /// Closes the segment: the bytes of footer and seal, where they go, and how many units the
    /// segment keeps. The rest of its units is free again.
    #[must_use]
    pub fn seal(&self, log: &LogState) -> SealedSegment {
        let (seal, footer) = ending(&self.header, self.entries.clone(), self.chain, log)
            .expect("frames of a segment fit its footer");
        let mut footer_bytes = BufferMut::zeroed(footer.len());
        footer_bytes.copy_from_slice(&footer);
        let mut seal_bytes = BufferMut::zeroed(BLOCK);
        seal_bytes.copy_from_slice(&seal.encode());
        SealedSegment {
            footer: (self.next_offset, footer_bytes.freeze()),
            block: (seal.own_offset().get(), seal_bytes.freeze()),
            units_kept: seal.units.get(),
            data_end: seal.data_end,
            digest: seal.digest(),
        }
    }
}

/// Seal and footer of a segment that holds these frames, the last of which has this digest: nothing else determines
/// them but the log. None where a segment cannot hold so much.
pub(crate) fn ending(
    header: &SegmentHeader,
    entries: Vec<FooterEntry>,
    chain: Digest,
    log: &LogState,
) -> Option<(SegmentSeal, Vec<u8>)> {
    let data_end = entries.last().map_or(u64::from(BLOCK_BYTES), |last| {
        last.offset().get() + last.bytes().get()
    });
    let count = entries.len();
    let frame_count = u32::try_from(count).ok()?;
    let units = units_to_seal(data_end, count, u64::from(header.unit_bytes));
    let behind = header
        .first_sequence
        .get()
        .checked_add(u64::from(frame_count))?;
    let last = behind.checked_sub(1)?;
    let footer = Footer {
        segment: header.segment,
        entries,
    };
    let (footer, footer_digest) = footer.encode().ok()?;
    let seal = SegmentSeal {
        pool: header.pool,
        segment: header.segment,
        lane: header.lane,
        epoch: header.epoch,
        units: UnitCount::new(u32::try_from(units).ok()?),
        unit_bytes: header.unit_bytes,
        frame_count,
        first_sequence: header.first_sequence,
        last_sequence: Sequence::new(last),
        data_end: ByteOffset::new(data_end),
        footer_offset: ByteOffset::new(data_end),
        footer_bytes: u32::try_from(Footer::bytes_for(count)).ok()?,
        footer_digest,
        chain_head: chain,
        log: log.clone(),
    };
    Some((seal, footer))
}

/// Units that a segment of so many frames keeps, whose last one ends there: room for footer and seal too.
pub(crate) fn units_to_seal(data_end: u64, frame_count: usize, unit_bytes: u64) -> u64 {
    let footer = Footer::bytes_for(frame_count).next_multiple_of(BLOCK);
    let needed = data_end + footer as u64 + BLOCK as u64;
    needed.div_ceil(unit_bytes).max(1)
}

/// What closing a segment writes and says.
#[derive(Debug, Clone)]
pub struct SealedSegment {
    /// Offset and bytes of the footer.
    pub footer: (u64, Buffer),
    /// Offset and bytes of the seal block.
    pub block: (u64, Buffer),
    /// Units the segment keeps.
    pub units_kept: u32,
    /// End of its frames.
    pub data_end: ByteOffset,
    /// The seal block's digest.
    pub digest: Digest,
}
