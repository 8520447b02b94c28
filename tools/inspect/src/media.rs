//! Bytes at a place to verified structures, with what is wrong in words an operator can read.

use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use stele_format::segment::{SegmentExpectation, SegmentHeader, SegmentSeal};
use stele_format::units::{ByteOffset, PoolId, SegmentId};

/// A block as a distance on a disk.
pub const BLOCK: u64 = BLOCK_BYTES as u64;
/// A block as a length in memory.
pub const BLOCK_LEN: usize = BLOCK_BYTES as usize;
/// A frame header as a length in memory.
pub const FRAME_HEADER_LEN: usize = FRAME_HEADER_BYTES as usize;
/// Longest single write below a segment's write head: segment header and first frame together.
pub const WRITE_BYTES_MAX: u64 = FRAME_BYTES_MAX as u64 + BLOCK;

/// A 32-bit size as a length in memory.
#[must_use]
pub fn length(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The frame header at `offset` of a segment.
///
/// # Errors
/// What is wrong, in words.
pub fn frame_header(
    bytes: &[u8],
    pool: PoolId,
    segment: SegmentId,
    offset: u64,
) -> Result<FrameHeader, String> {
    let bytes = bytes.get(..FRAME_HEADER_LEN).unwrap_or(bytes);
    let expect = FrameExpectation::at(pool, segment, ByteOffset::new(offset));
    let header = FrameHeader::decode(bytes).map_err(|error| error.to_string())?;
    header.verify(expect).map_err(|error| error.to_string())
}

/// The frame header at a first frame's place, whatever segment it names.
#[must_use]
pub fn first_frame(bytes: &[u8], pool: PoolId) -> Option<FrameHeader> {
    let bytes = bytes.get(..FRAME_HEADER_LEN)?;
    let segment = FrameHeader::decode(bytes).ok()?.claims().segment;
    frame_header(bytes, pool, segment, BLOCK).ok()
}

/// The segment header of a block, whatever segment it names.
///
/// # Errors
/// What is wrong, in words.
pub fn segment_header(block: &[u8], pool: PoolId) -> Result<SegmentHeader, String> {
    let header = SegmentHeader::decode(block).map_err(|error| error.to_string())?;
    let segment = header.claims().segment;
    let expect = SegmentExpectation::new(pool, segment);
    header.verify(expect).map_err(|error| error.to_string())
}

/// The seal of a segment whose header may be unknown, read from `offset` of it.
#[must_use]
pub fn segment_seal(
    block: &[u8],
    pool: PoolId,
    segment: SegmentId,
    header: Option<&SegmentHeader>,
    offset: u64,
) -> Option<SegmentSeal> {
    let seal = SegmentSeal::decode(block).ok()?;
    match header {
        Some(header) => seal.verify(header, ByteOffset::new(offset)).ok(),
        None => {
            let seal = seal
                .identify(&SegmentExpectation::new(pool, segment))
                .ok()?;
            (seal.own_offset().get() == offset).then_some(seal)
        }
    }
}
