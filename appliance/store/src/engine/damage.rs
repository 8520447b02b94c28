//! What no copy can give is named before it is refused: by segment and number of the frame, as
//! `stele-inspect` names it, so that an operator can compare the two.
//!
//! Rows know at which byte something lies, and not in which frame. So the frame headers up to that
//! byte are read, from any copy that shows them.

use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use stele_format::units::{ByteOffset, FrameIndex, PoolId, SegmentId};

use super::Engine;
use super::reads::ReadFor;
use crate::index::rows::RecordLocation;
use crate::request::{DamagePlace, Refusal, RequestId, StreamId};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Who is told, once the damage has a name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    /// Who asked for a piece of a download.
    Piece(RequestId, StreamId),
    /// All who wait for a list of a download.
    List(StreamId),
    /// A request that needs a record.
    Request(RequestId),
}

/// Where the bytes lie that no copy can give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    segment: SegmentId,
    offset: u64,
    /// Whether the frame begins there: chunks are found by their frames, records inside of theirs.
    begins: bool,
}

impl Lost {
    pub(super) fn record(location: &RecordLocation) -> Self {
        Self {
            segment: location.segment,
            offset: location.offset.get(),
            begins: false,
        }
    }

    pub(super) fn chunk(segment: SegmentId, offset: u64) -> Self {
        Self {
            segment,
            offset,
            begins: true,
        }
    }

    /// The bytes in which the frame's header, and mostly the one before it, must stand.
    fn window(&self) -> (u64, usize) {
        let end = (self.offset / BLOCK + 1) * BLOCK;
        let start = end.saturating_sub(u64::from(FRAME_BYTES_MAX)).max(BLOCK);
        (
            start,
            usize::try_from(end.saturating_sub(start)).unwrap_or(0),
        )
    }

    /// The number of the frame, if the headers in these bytes of a copy tell it.
    fn frame_in(&self, pool: PoolId, window: &[u8]) -> Option<FrameIndex> {
        let (start, _) = self.window();
        // The first frame stands behind the segment header and needs no witness.
        let first = (start == BLOCK).then_some((FrameIndex::ZERO, BLOCK));
        let mut next = first;
        for (at, block) in (start..).step_by(BLOCK_BYTES as usize).zip(blocks(window)) {
            let Some(header) = header_at(pool, self.segment, at, block) else {
                continue;
            };
            if header.end_offset().get() > self.offset {
                return Some(header.frame_index);
            }
            let behind = header.frame_index.get().saturating_add(1);
            next = Some((FrameIndex::new(behind), header.end_offset().get()));
        }
        // Its own header is lost too: it is the frame behind the last that was found.
        next.filter(|(_, begin)| !self.begins || *begin == self.offset)
            .map(|(index, _)| index)
    }
}

fn blocks(bytes: &[u8]) -> std::slice::ChunksExact<'_, u8> {
    bytes.chunks_exact(BLOCK_BYTES as usize)
}

fn header_at(pool: PoolId, segment: SegmentId, at: u64, block: &[u8]) -> Option<FrameHeader> {
    let expect = FrameExpectation::at(pool, segment, ByteOffset::new(at));
    let header = block.get(..stele_format::limits::FRAME_HEADER_BYTES as usize)?;
    FrameHeader::decode(header).ok()?.verify(expect).ok()
}

impl Engine {
    /// Finds the name of what is lost, then tells.
    pub(super) fn name_damage(&mut self, told: Told, lost: Lost) {
        let (offset, bytes) = lost.window();
        let purpose = ReadFor::Name { told, lost };
        self.start_read(purpose, lost.segment, offset, bytes);
    }

    /// A copy showed the headers around the damage. False if they do not tell which frame it is.
    pub(super) fn named(&mut self, told: Told, lost: Lost, window: &[u8]) -> bool {
        let frame = lost.frame_in(self.pool.id, window);
        if let Some(frame) = frame {
            self.tell_damage(told, lost, DamagePlace::Frame(frame.get()));
        }
        frame.is_some()
    }

    /// No copy shows which frame it is.
    pub(super) fn unnamed(&mut self, told: Told, lost: Lost) {
        self.tell_damage(told, lost, DamagePlace::Byte(lost.offset));
    }

    fn tell_damage(&mut self, told: Told, lost: Lost, place: DamagePlace) {
        let segment = lost.segment.get();
        self.refuse_read(told, &Refusal::Damaged { segment, place });
    }

    /// Tells those who wait for a read that it will give nothing.
    pub(super) fn refuse_read(&mut self, told: Told, refusal: &Refusal) {
        self.counters.reads_refused += 1;
        match told {
            Told::Piece(request, stream) => self.break_off(stream, &[request], refusal),
            Told::List(stream) => self.not_expanded(stream, refusal),
            Told::Request(request) => self.finish(request, Err(refusal.clone())),
        }
    }
}
