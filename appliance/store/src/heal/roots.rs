//! Header, footer and seal of a segment: chosen from the copies by what verifies.

use stele_format::digest::Digest;
use stele_format::frame::FrameHeader;
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::segment::{Footer, FooterEntry, SegmentExpectation, SegmentHeader, SegmentSeal};

use super::Identity;
use super::frames::Framed;
use crate::pool::stated::Stated;
use crate::segment::ending;

const BLOCK: usize = BLOCK_BYTES as usize;

/// The seal block of a segment that verifies, and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) seal: SegmentSeal,
    pub(crate) bytes: Vec<u8>,
}

/// The segment header in this block, if it is one of the segment's copies.
pub(crate) fn header(identity: &Identity, block: &[u8]) -> Option<SegmentHeader> {
    let expect = SegmentExpectation {
        lane: Some(identity.lane),
        ..SegmentExpectation::new(identity.pool, identity.segment)
    };
    SegmentHeader::decode(block).ok()?.verify(expect).ok()
}

/// The seal in this block, if it is that of a segment of so many units.
pub(crate) fn seal(identity: &Identity, block: &[u8]) -> Option<Sealed> {
    let expect = SegmentExpectation {
        lane: Some(identity.lane),
        ..SegmentExpectation::new(identity.pool, identity.segment)
    };
    let seal = SegmentSeal::decode(block).ok()?.identify(&expect).ok()?;
    let ends = seal.own_offset().get() + u64::from(BLOCK_BYTES) == identity.bytes();
    ends.then(|| Sealed {
        seal,
        bytes: block.to_vec(),
    })
}

/// Whether this block is one that verifies as anything, of whatever segment.
pub(crate) fn is_intact(block: &[u8]) -> bool {
    let frame = block.get(..FRAME_HEADER_BYTES as usize);
    SegmentHeader::decode(block).is_ok()
        || SegmentSeal::decode(block).is_ok()
        || frame.is_some_and(|header| FrameHeader::decode(header).is_ok())
}

/// The footer in these bytes, if it is the one this seal names.
pub(crate) fn footer(seal: &SegmentSeal, bytes: &[u8]) -> Option<Footer> {
    Footer::decode(bytes).ok()?.verify(seal).ok()
}

/// The footer as it was written, from the frames themselves, if it is the one this seal names.
pub(crate) fn footer_of(seal: &SegmentSeal, frames: &[Framed]) -> Option<Vec<u8>> {
    let footer = Footer {
        segment: seal.segment,
        entries: entries(frames)?,
    };
    let (bytes, digest) = footer.encode().ok()?;
    (digest == seal.footer_digest).then_some(bytes)
}

/// The seal as it was written, from the frames themselves and the digest of the last one, if it is the one that a
/// record states: then these are all frames there were.
pub(crate) fn seal_of(
    identity: &Identity,
    header: &SegmentHeader,
    stated: &Stated,
    (frames, chain): (&[Framed], Digest),
) -> Option<Sealed> {
    let log = stated.log.as_deref().cloned();
    let (made, _) = ending(header, entries(frames)?, chain, &log)?;
    if made.digest() != stated.digest {
        return None;
    }
    seal(identity, &made.encode())
}

fn entries(frames: &[Framed]) -> Option<Vec<FooterEntry>> {
    let block = u64::from(BLOCK_BYTES);
    let entry = |frame: &Framed| {
        Some(FooterEntry {
            offset_blocks: u32::try_from(frame.offset / block).ok()?,
            total_blocks: frame.bytes / BLOCK_BYTES,
            sequence: frame.sequence,
            payload_digest: frame.payload,
        })
    };
    frames.iter().map(entry).collect()
}

/// Where the footer lies and how many bytes are read of it.
pub(crate) fn footer_place(seal: &SegmentSeal) -> (u64, usize) {
    let bytes = (seal.footer_bytes as usize).next_multiple_of(BLOCK);
    (seal.footer_offset.get(), bytes)
}

/// The bytes between footer and seal, which are zero: offset and length.
pub(crate) fn gap(identity: &Identity, seal: &SegmentSeal) -> (u64, u64) {
    let (offset, bytes) = footer_place(seal);
    let start = offset + bytes as u64;
    (
        start,
        (identity.bytes() - u64::from(BLOCK_BYTES)).saturating_sub(start),
    )
}
