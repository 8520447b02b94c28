//! Frame: a 256-byte header, the payload, zeroes to a whole block.
//!
//! Invariants: the header digest covers the header, the header covers the payload by digest, and
//! each header quotes its predecessor's; so a segment verifies from its own header on. Own place
//! and names stand in the header, so bytes that belong elsewhere are not accepted.

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use crate::codec::{
    DecodeError, FORMAT_VERSION, Fault, Unverified, block_ceil, check_start, is_blank, length,
    media_struct, read_raw, require, size32,
};
use crate::digest::Digest;
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_RECORDS_MAX};
use crate::segment::{FIRST_FRAME_OFFSET, SegmentHeader};
use crate::units::{
    ByteOffset, Epoch, FrameIndex, LaneId, PoolId, SegmentId, Sequence, UnixMillis,
};

/// First bytes of a frame.
pub const FRAME_MAGIC: [u8; 8] = *b"STELEFRM";

const HEADER: usize = 256;
/// The header digest covers the header up to here.
const DIGESTED: usize = 192;
const FLAG_LIST: u32 = 1;

media_struct! {
    RawFrame as "FrameHeader", 256, {
        magic: [u8; 8],
        version: U16,
        header_bytes: U16,
        flags: U32,
        pool: [u8; 16],
        segment: U64,
        frame_index: U32,
        lane: U16,
        record_count: U16,
        sequence: U64,
        epoch: U32,
        reserved_a: [u8; 4],
        segment_offset: U64,
        total_bytes: U32,
        payload_bytes: U32,
        committed_through: U64,
        compliance_ms: U64,
        previous_header: [u8; 32],
        payload_digest: [u8; 32],
        reserved_b: [u8; 32],
        header_digest: [u8; 32],
        reserved_c: [u8; 32],
    }
}

const _: () = assert!(core::mem::offset_of!(RawFrame, header_digest) == DIGESTED);

pub(crate) const STRUCTURES: [crate::codec::Structure; 1] = [RawFrame::STRUCTURE];

/// What a writer decides about a frame; lengths and digests follow from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameDraft {
    /// Pool.
    pub pool: PoolId,
    /// Segment.
    pub segment: SegmentId,
    /// Number in the segment, from 0.
    pub frame_index: FrameIndex,
    /// Lane.
    pub lane: LaneId,
    /// Records in the payload; 0 on data lanes.
    pub record_count: u16,
    /// The payload is a clear chunk list (data lanes only).
    pub list: bool,
    /// Number in the lane.
    pub sequence: Sequence,
    /// Epoch.
    pub epoch: Epoch,
    /// Own place in the segment.
    pub segment_offset: ByteOffset,
    /// Newest journal frame known durable on the quorum when this was built (journal only).
    pub committed_through: Sequence,
    /// Compliance clock.
    pub compliance_ms: UnixMillis,
    /// Digest of the frame header before, or of the segment header for the first frame.
    pub previous_header: Digest,
}

/// Header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Pool.
    pub pool: PoolId,
    /// Segment.
    pub segment: SegmentId,
    /// Number in the segment, from 0.
    pub frame_index: FrameIndex,
    /// Lane.
    pub lane: LaneId,
    /// Records in the payload; 0 on data lanes.
    pub record_count: u16,
    /// The payload is a clear chunk list (data lanes only).
    pub list: bool,
    /// Number in the lane.
    pub sequence: Sequence,
    /// Epoch.
    pub epoch: Epoch,
    /// Own place in the segment.
    pub segment_offset: ByteOffset,
    /// Length with header and padding, whole blocks.
    pub total_bytes: u32,
    /// Length of the payload.
    pub payload_bytes: u32,
    /// Newest journal frame known durable on the quorum when this was built (journal only).
    pub committed_through: Sequence,
    /// Compliance clock.
    pub compliance_ms: UnixMillis,
    /// Digest of the frame header before, or of the segment header for the first frame.
    pub previous_header: Digest,
    /// Digest of the payload without padding.
    pub payload_digest: Digest,
}

/// What the reader of a frame looks for; `None` accepts anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameExpectation {
    /// Pool.
    pub pool: PoolId,
    /// Segment.
    pub segment: SegmentId,
    /// Where the bytes were read, in the segment.
    pub segment_offset: ByteOffset,
    /// Lane.
    pub lane: Option<LaneId>,
    /// Epoch.
    pub epoch: Option<Epoch>,
    /// Number in the segment.
    pub frame_index: Option<FrameIndex>,
    /// Number in the lane.
    pub sequence: Option<Sequence>,
    /// Digest of the header before.
    pub previous_header: Option<Digest>,
    /// Digest of the payload, when a record promised it.
    pub payload_digest: Option<Digest>,
}

impl FrameExpectation {
    /// A frame of this segment at this place, whatever else it says.
    #[must_use]
    pub const fn at(pool: PoolId, segment: SegmentId, segment_offset: ByteOffset) -> Self {
        Self {
            pool,
            segment,
            segment_offset,
            lane: None,
            epoch: None,
            frame_index: None,
            sequence: None,
            previous_header: None,
            payload_digest: None,
        }
    }
}

/// Why a frame cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The bytes are no frame header.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A valid frame of another pool.
    #[error("belongs to pool {0}")]
    Pool(PoolId),
    /// A valid frame of another segment.
    #[error("belongs to segment {0}")]
    Segment(SegmentId),
    /// A valid frame of another place in the segment.
    #[error("belongs to offset {0}")]
    Misplaced(ByteOffset),
    /// A valid frame of another lane.
    #[error("belongs to lane {0}")]
    Lane(LaneId),
    /// A valid frame of another epoch.
    #[error("belongs to epoch {0}")]
    Epoch(Epoch),
    /// A valid frame with another number in the segment.
    #[error("is frame {0} of its segment")]
    Index(FrameIndex),
    /// A valid frame with another number in the lane.
    #[error("is frame {0} of its lane")]
    Sequence(Sequence),
    /// The header does not quote its predecessor.
    #[error("does not continue the chain")]
    Chain,
    /// Another payload than was promised.
    #[error("is not the payload looked for")]
    Payload,
    /// The payload does not match the header.
    #[error("the payload is damaged")]
    PayloadDamaged,
    /// Bytes between payload and end of frame are not zero.
    #[error("the padding is damaged")]
    PaddingDamaged,
    /// Fewer bytes than the frame has.
    #[error("the frame is cut short")]
    Short,
    /// The payload cannot be framed: empty, or too long for one frame.
    #[error("a payload of {0} bytes cannot be framed")]
    Unframable(u64),
}

impl FrameDraft {
    /// The header for a payload.
    ///
    /// # Errors
    /// `Unframable` when the payload is empty or too long; `Decode` when the draft contradicts
    /// itself.
    pub fn seal(&self, payload: &[u8]) -> Result<FrameHeader, FrameError> {
        self.seal_digest(size32(payload.len()), Digest::of(payload))
    }

    /// The same for a payload that was digested elsewhere.
    ///
    /// # Errors
    /// As `seal`.
    pub fn seal_digest(
        &self,
        payload_bytes: u32,
        payload_digest: Digest,
    ) -> Result<FrameHeader, FrameError> {
        let total = FrameHeader::total_bytes_for(payload_bytes);
        let Some(total_bytes) = total else {
            return Err(FrameError::Unframable(u64::from(payload_bytes)));
        };
        let header = FrameHeader {
            pool: self.pool,
            segment: self.segment,
            frame_index: self.frame_index,
            lane: self.lane,
            record_count: self.record_count,
            list: self.list,
            sequence: self.sequence,
            epoch: self.epoch,
            segment_offset: self.segment_offset,
            total_bytes,
            payload_bytes,
            committed_through: self.committed_through,
            compliance_ms: self.compliance_ms,
            previous_header: self.previous_header,
            payload_digest,
        };
        header.check()?;
        Ok(header)
    }
}

impl FrameHeader {
    /// Length of a frame with this payload; `None` when it cannot be framed.
    #[must_use]
    pub fn total_bytes_for(payload_bytes: u32) -> Option<u32> {
        let bytes = block_ceil(u64::from(payload_bytes) + u64::from(FRAME_HEADER_BYTES))?;
        let total = u32::try_from(bytes).ok()?;
        (payload_bytes > 0 && total <= FRAME_BYTES_MAX).then_some(total)
    }

    fn to_raw(self) -> RawFrame {
        let mut raw = RawFrame::new_zeroed();
        raw.magic = FRAME_MAGIC;
        raw.version = FORMAT_VERSION.into();
        raw.header_bytes = 256.into();
        raw.flags = if self.list { FLAG_LIST } else { 0 }.into();
        raw.pool = self.pool.to_bytes();
        raw.segment = self.segment.get().into();
        raw.frame_index = self.frame_index.get().into();
        raw.lane = self.lane.get().into();
        raw.record_count = self.record_count.into();
        raw.sequence = self.sequence.get().into();
        raw.epoch = self.epoch.get().into();
        raw.segment_offset = self.segment_offset.get().into();
        raw.total_bytes = self.total_bytes.into();
        raw.payload_bytes = self.payload_bytes.into();
        raw.committed_through = self.committed_through.get().into();
        raw.compliance_ms = self.compliance_ms.get().into();
        raw.previous_header = self.previous_header.0;
        raw.payload_digest = self.payload_digest.0;
        raw.header_digest = header_digest(raw.as_bytes()).0;
        raw
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out.copy_from_slice(self.to_raw().as_bytes());
        out
    }

    /// The header digest, which the next frame quotes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(self.to_raw().header_digest)
    }

    /// Appends the whole frame: header, payload, padding.
    pub fn write_frame(&self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.encode());
        out.extend_from_slice(payload);
        out.resize(start + length(self.total_bytes), 0);
    }

    /// Where the next frame starts.
    #[must_use]
    pub const fn end_offset(&self) -> ByteOffset {
        ByteOffset::new(
            self.segment_offset
                .get()
                .saturating_add(self.total_bytes as u64),
        )
    }

    /// Reads a header: exactly 256 bytes.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self>, DecodeError> {
        let noun = RawFrame::STRUCTURE.name;
        let raw: RawFrame = read_raw(&RawFrame::STRUCTURE, bytes)?;
        if is_blank(bytes) {
            return Err(DecodeError::new(noun, "", 0, Fault::Blank));
        }
        check_start(noun, &FRAME_MAGIC, bytes)?;
        let digest = header_digest(bytes);
        require!(
            digest.0 == raw.header_digest,
            RawFrame.header_digest,
            Digest
        );
        require!(raw.header_bytes.get() == 256, RawFrame.header_bytes, Value);
        require!(raw.flags.get() & !FLAG_LIST == 0, RawFrame.flags, Value);
        require!(is_blank(&raw.reserved_a), RawFrame.reserved_a, Reserved);
        require!(is_blank(&raw.reserved_b), RawFrame.reserved_b, Reserved);
        require!(is_blank(&raw.reserved_c), RawFrame.reserved_c, Reserved);
        let header = Self {
            pool: PoolId::new(raw.pool),
            segment: SegmentId::new(raw.segment.get()),
            frame_index: FrameIndex::new(raw.frame_index.get()),
            lane: LaneId::new(raw.lane.get()),
            record_count: raw.record_count.get(),
            list: raw.flags.get() == FLAG_LIST,
            sequence: Sequence::new(raw.sequence.get()),
            epoch: Epoch::new(raw.epoch.get()),
            segment_offset: ByteOffset::new(raw.segment_offset.get()),
            total_bytes: raw.total_bytes.get(),
            payload_bytes: raw.payload_bytes.get(),
            committed_through: Sequence::new(raw.committed_through.get()),
            compliance_ms: UnixMillis::new(raw.compliance_ms.get()),
            previous_header: Digest(raw.previous_header),
            payload_digest: Digest(raw.payload_digest),
        };
        header.check()?;
        Ok(Unverified::of(header))
    }

    /// Rules between fields, the same for writer and reader.
    fn check(&self) -> Result<(), DecodeError> {
        let journal = self.lane.is_journal();
        require!(!self.segment.is_zero(), RawFrame.segment, Value);
        require!(!self.sequence.is_zero(), RawFrame.sequence, Value);
        require!(!self.epoch.is_zero(), RawFrame.epoch, Value);
        require!(self.epoch.in_range(), RawFrame.epoch, Limit);
        require!(self.segment.in_range(), RawFrame.segment, Limit);
        require!(self.sequence.in_range(), RawFrame.sequence, Limit);
        require!(self.compliance_ms.in_range(), RawFrame.compliance_ms, Limit);
        require!(
            self.record_count <= FRAME_RECORDS_MAX,
            RawFrame.record_count,
            Limit
        );
        require!(
            journal == (self.record_count > 0),
            RawFrame.record_count,
            Value
        );
        require!(!(journal && self.list), RawFrame.flags, Value);
        let offset = self.segment_offset.get();
        let placed = offset >= FIRST_FRAME_OFFSET.get();
        let first = offset == FIRST_FRAME_OFFSET.get();
        let aligned = offset.is_multiple_of(u64::from(BLOCK_BYTES));
        require!(placed && aligned, RawFrame.segment_offset, Value);
        require!(
            first == self.frame_index.is_zero(),
            RawFrame.frame_index,
            Value
        );
        require!(self.payload_bytes > 0, RawFrame.payload_bytes, Value);
        let total = Self::total_bytes_for(self.payload_bytes);
        require!(total == Some(self.total_bytes), RawFrame.total_bytes, Value);
        let committed = self.committed_through;
        let before = committed < self.sequence && (journal || committed.is_zero());
        require!(before, RawFrame.committed_through, Value);
        Ok(())
    }

    /// Takes the payload out of the frame's bytes (header, payload, padding; more may follow).
    ///
    /// # Errors
    /// `Short`, `PayloadDamaged` or `PaddingDamaged`.
    pub fn check_payload<'a>(&self, frame: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let frame = frame
            .get(..length(self.total_bytes))
            .ok_or(FrameError::Short)?;
        let body = frame.get(HEADER..).ok_or(FrameError::Short)?;
        let (payload, padding) = body
            .split_at_checked(length(self.payload_bytes))
            .ok_or(FrameError::Short)?;
        if Digest::of(payload) != self.payload_digest {
            return Err(FrameError::PayloadDamaged);
        }
        if is_blank(padding) {
            Ok(payload)
        } else {
            Err(FrameError::PaddingDamaged)
        }
    }
}

fn header_digest(header: &[u8]) -> Digest {
    Digest::of(header.get(..DIGESTED).unwrap_or(header))
}

impl Unverified<FrameHeader> {
    /// Accepts the header when it is the one looked for.
    ///
    /// # Errors
    /// What differs.
    pub fn verify(self, expect: FrameExpectation) -> Result<FrameHeader, FrameError> {
        let header = self.value;
        let differs = |is: bool, error: FrameError| if is { Err(error) } else { Ok(()) };
        differs(header.pool != expect.pool, FrameError::Pool(header.pool))?;
        differs(
            header.segment != expect.segment,
            FrameError::Segment(header.segment),
        )?;
        let misplaced = header.segment_offset != expect.segment_offset;
        differs(misplaced, FrameError::Misplaced(header.segment_offset))?;
        differs(
            expect.lane.is_some_and(|x| x != header.lane),
            FrameError::Lane(header.lane),
        )?;
        differs(
            expect.epoch.is_some_and(|x| x != header.epoch),
            FrameError::Epoch(header.epoch),
        )?;
        let index = expect.frame_index.is_some_and(|x| x != header.frame_index);
        differs(index, FrameError::Index(header.frame_index))?;
        let sequence = expect.sequence.is_some_and(|x| x != header.sequence);
        differs(sequence, FrameError::Sequence(header.sequence))?;
        let chain = expect
            .previous_header
            .is_some_and(|x| x != header.previous_header);
        differs(chain, FrameError::Chain)?;
        let payload = expect
            .payload_digest
            .is_some_and(|x| x != header.payload_digest);
        differs(payload, FrameError::Payload)?;
        Ok(header)
    }
}

/// Walks the frames of one segment in order: says what the next must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentWalk {
    pool: PoolId,
    segment: SegmentId,
    lane: LaneId,
    epoch: Epoch,
    offset: ByteOffset,
    index: FrameIndex,
    sequence: Sequence,
    previous: Digest,
}

impl SegmentWalk {
    /// Starts before the first frame.
    #[must_use]
    pub fn new(header: &SegmentHeader) -> Self {
        Self {
            pool: header.pool,
            segment: header.segment,
            lane: header.lane,
            epoch: header.epoch,
            offset: FIRST_FRAME_OFFSET,
            index: FrameIndex::ZERO,
            sequence: header.first_sequence,
            previous: header.digest(),
        }
    }

    /// What the next frame must be.
    #[must_use]
    pub const fn expectation(&self) -> FrameExpectation {
        FrameExpectation {
            pool: self.pool,
            segment: self.segment,
            segment_offset: self.offset,
            lane: Some(self.lane),
            epoch: Some(self.epoch),
            frame_index: Some(self.index),
            sequence: Some(self.sequence),
            previous_header: Some(self.previous),
            payload_digest: None,
        }
    }

    /// Steps over a verified frame.
    pub fn advance(&mut self, frame: &FrameHeader) {
        self.offset = frame.end_offset();
        self.index = FrameIndex::new(frame.frame_index.get().saturating_add(1));
        self.sequence = Sequence::new(frame.sequence.get().saturating_add(1));
        self.previous = frame.digest();
    }

    /// Where the next frame would start.
    #[must_use]
    pub const fn offset(&self) -> ByteOffset {
        self.offset
    }

    /// Frames seen.
    #[must_use]
    pub const fn frame_count(&self) -> u32 {
        self.index.get()
    }

    /// Sequence the next frame would have.
    #[must_use]
    pub const fn next_sequence(&self) -> Sequence {
        self.sequence
    }

    /// What the next frame would quote.
    #[must_use]
    pub const fn chain_head(&self) -> Digest {
        self.previous
    }
}
