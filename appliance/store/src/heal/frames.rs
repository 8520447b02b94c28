//! The frames of a segment: where they lie, in which runs they are read, and whether bytes are theirs.

use std::collections::VecDeque;

use stele_format::digest::Digest;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::FRAME_HEADER_BYTES;
use stele_format::segment::FooterEntry;
use stele_format::units::{ByteOffset, Sequence};

use super::Identity;
use crate::limits::HEAL_RUN_BYTES_MAX;

/// What a disk writes in one go: after a power cut a sector is as before or as written.
const SECTOR: usize = 512;

/// A frame as the footer, or its own header on a copy that verified, describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
    pub(crate) sequence: Sequence,
    pub(crate) payload: Digest,
}

impl Framed {
    /// The frames a footer lists.
    pub(crate) fn of_footer(entries: &[FooterEntry]) -> Vec<Self> {
        (0_u32..)
            .zip(entries)
            .map(|(number, entry)| Self {
                number,
                offset: entry.offset().get(),
                bytes: u32::try_from(entry.bytes().get()).unwrap_or(u32::MAX),
                sequence: entry.sequence,
                payload: entry.payload_digest,
            })
            .collect()
    }

    /// A frame by its own header.
    pub(crate) fn of_header(header: &FrameHeader) -> Self {
        Self {
            number: header.frame_index.get(),
            offset: header.segment_offset.get(),
            bytes: header.total_bytes,
            sequence: header.sequence,
            payload: header.payload_digest,
        }
    }
}

/// A part of a segment that verifies or not as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A frame.
    Frame(Framed),
    /// Bytes that are zero: the gap between footer and seal.
    Zeros {
        /// First byte, in the segment.
        offset: u64,
        /// How many.
        bytes: u32,
    },
}

impl Piece {
    /// First byte in the segment.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Piece::Frame(frame) => frame.offset,
            Piece::Zeros { offset, .. } => *offset,
        }
    }

    /// Length.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Piece::Frame(frame) => frame.bytes as usize,
            Piece::Zeros { bytes, .. } => *bytes as usize,
        }
    }
}

/// Pieces read at once, back to back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
    pub(crate) pieces: Vec<Piece>,
}

impl Run {
    /// Where a piece lies in the bytes of the run.
    pub(crate) fn range(&self, piece: &Piece) -> std::ops::Range<usize> {
        let start =
            usize::try_from(piece.offset().saturating_sub(self.offset)).unwrap_or(usize::MAX);
        start..start.saturating_add(piece.bytes())
    }
}

/// Groups pieces into runs of at most [`HEAL_RUN_BYTES_MAX`] bytes; a larger frame is a run of its own.
pub(crate) fn runs(pieces: impl IntoIterator<Item = Piece>) -> VecDeque<Run> {
    let mut runs: VecDeque<Run> = VecDeque::new();
    for piece in pieces {
        match runs.back_mut() {
            Some(run)
                if run.offset + run.bytes as u64 == piece.offset()
                    && run.bytes + piece.bytes() <= HEAL_RUN_BYTES_MAX =>
            {
                run.bytes += piece.bytes();
                run.pieces.push(piece);
            }
            _ => runs.push_back(Run {
                offset: piece.offset(),
                bytes: piece.bytes(),
                pieces: vec![piece],
            }),
        }
    }
    runs
}

/// A range that must be zero, in pieces that fit a run.
pub(crate) fn zeros(offset: u64, bytes: u64) -> impl Iterator<Item = Piece> {
    let most = HEAL_RUN_BYTES_MAX as u64;
    (0..bytes.div_ceil(most)).map(move |number| Piece::Zeros {
        offset: offset + number * most,
        bytes: u32::try_from((bytes - number * most).min(most)).unwrap_or(u32::MAX),
    })
}

/// What a piece is as one copy gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It verifies.
    Good,
    /// Some of its sectors were never written: no flush of it ever completed there.
    Torn,
    /// Anything else.
    Bad,
}

impl Judgement {
    /// What a worker said of each piece.
    pub(crate) fn of(good: &[bool], torn: &[bool]) -> Vec<Self> {
        let judged = |(good, torn): (&bool, &bool)| match (good, torn) {
            (true, _) => Self::Good,
            (false, true) => Self::Torn,
            (false, false) => Self::Bad,
        };
        good.iter().zip(torn).map(judged).collect()
    }
}

/// Judges each piece of a run as one copy gave it.
pub(crate) fn judge(identity: &Identity, run: &Run, bytes: &[u8]) -> Vec<Judgement> {
    let judged = |piece: &Piece| match (piece, bytes.get(run.range(piece))) {
        (_, None) => Judgement::Bad,
        (Piece::Frame(frame), Some(bytes)) => judge_frame(identity, frame, bytes),
        (Piece::Zeros { .. }, Some(bytes)) if bytes.iter().all(|byte| *byte == 0) => {
            Judgement::Good
        }
        (Piece::Zeros { .. }, Some(_)) => Judgement::Bad,
    };
    run.pieces.iter().map(judged).collect()
}

fn judge_frame(identity: &Identity, frame: &Framed, bytes: &[u8]) -> Judgement {
    if is_blank(bytes) {
        return Judgement::Torn;
    }
    let header = header_at(identity, frame.offset, bytes);
    let Some(header) = header.filter(|header| Framed::of_header(header) == *frame) else {
        return Judgement::Bad;
    };
    if header.check_payload(bytes).is_ok() {
        return Judgement::Good;
    }
    let used = FRAME_HEADER_BYTES as usize + header.payload_bytes as usize;
    // The last sector counts as far as it is used: what ends a chunk is never all zeros.
    let mut sectors = bytes[..used.min(bytes.len())].chunks(SECTOR);
    if sectors.any(|sector| sector.iter().all(|byte| *byte == 0)) {
        Judgement::Torn
    } else {
        Judgement::Bad
    }
}

/// Whether these bytes are those that belong there, but for sectors that were never written.
pub(crate) fn is_torn(found: &[u8], good: &[u8]) -> bool {
    let mut sectors = found.chunks(SECTOR).zip(good.chunks(SECTOR));
    let blank = |sector: &[u8]| sector.iter().all(|byte| *byte == 0);
    found.len() == good.len() && sectors.all(|(found, good)| found == good || blank(found))
}

/// Whether nothing was ever written where a header, which lies in one sector, would begin.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().take(SECTOR).all(|byte| *byte == 0)
}

/// The frame header at the beginning of these bytes, if it is one of this place.
pub(crate) fn header_at(identity: &Identity, offset: u64, bytes: &[u8]) -> Option<FrameHeader> {
    let expect = FrameExpectation {
        lane: Some(identity.lane),
        ..FrameExpectation::at(identity.pool, identity.segment, ByteOffset::new(offset))
    };
    let header = bytes.get(..FRAME_HEADER_BYTES as usize)?;
    FrameHeader::decode(header).ok()?.verify(expect).ok()
}
