//! The frames of a segment: where they lie, in which runs they are read, and whether bytes are theirs.

use std::collections::VecDeque;

use stele_format::digest::Digest;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use stele_format::segment::FooterEntry;
use stele_format::units::{ByteOffset, Sequence};

use super::Identity;
use crate::limits::HEAL_RUN_BYTES_MAX;

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

/// Judges each piece of a run as one copy gave it.
pub(crate) fn judge(identity: &Identity, run: &Run, bytes: &[u8]) -> Vec<bool> {
    let verifies = |piece: &Piece| {
        let Some(bytes) = bytes.get(run.range(piece)) else {
            return false;
        };
        match piece {
            Piece::Frame(frame) => is_frame(identity, frame, bytes),
            Piece::Zeros { .. } => bytes.iter().all(|byte| *byte == 0),
        }
    };
    run.pieces.iter().map(verifies).collect()
}

fn is_frame(identity: &Identity, frame: &Framed, bytes: &[u8]) -> bool {
    header_at(identity, frame.offset, bytes).is_some_and(|header| {
        Framed::of_header(&header) == *frame && header.check_payload(bytes).is_ok()
    })
}

fn header_at(identity: &Identity, offset: u64, bytes: &[u8]) -> Option<FrameHeader> {
    let expect = FrameExpectation {
        lane: Some(identity.lane),
        ..FrameExpectation::at(identity.pool, identity.segment, ByteOffset::new(offset))
    };
    let header = bytes.get(..FRAME_HEADER_BYTES as usize)?;
    FrameHeader::decode(header).ok()?.verify(expect).ok()
}

/// Finds frames by their headers, where no footer lists them: a segment that a crash left open.
#[derive(Debug, Clone)]
pub(crate) struct Discovery {
    pub(crate) frames: Vec<Framed>,
    chain: Option<Digest>,
    next: u64,
    end: u64,
}

impl Discovery {
    /// Of the frames between the segment header, whose digest the first must quote if it is known, and `end`.
    pub(crate) fn new(header: Option<Digest>, end: u64) -> Self {
        Self {
            frames: Vec::new(),
            chain: header,
            next: u64::from(BLOCK_BYTES),
            end,
        }
    }

    /// Where the next header should be, and how much to read there; none when all were found.
    pub(crate) fn wants(&self) -> Option<(u64, usize)> {
        let left = self.end.saturating_sub(self.next);
        let bytes = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(HEAL_RUN_BYTES_MAX);
        (bytes >= BLOCK_BYTES as usize).then_some((self.next, bytes))
    }

    /// Takes what a copy gave at [`Discovery::wants`]. False when not even the first header is one.
    pub(crate) fn take(&mut self, identity: &Identity, bytes: &[u8]) -> bool {
        let start = self.next;
        while let Ok(at) = usize::try_from(self.next - start)
            && let Some(bytes) = bytes.get(at..at + FRAME_HEADER_BYTES as usize)
            && let Some(header) = header_at(identity, self.next, bytes)
            && self
                .chain
                .is_none_or(|chain| chain == header.previous_header)
            && header.end_offset().get() <= self.end
            && header.total_bytes <= FRAME_BYTES_MAX
        {
            self.chain = Some(header.digest());
            self.next = header.end_offset().get();
            self.frames.push(Framed::of_header(&header));
        }
        self.next > start
    }
}
