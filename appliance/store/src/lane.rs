//! The data lane: sealed chunks into segments with two copies.
//!
//! A chunk is durable when its write completed and a later flush completed on every copy; only then
//! may a record cite it. A segment is written only after the record that allocates it is durable. When
//! a disk fails, the open segment is closed and every chunk not yet durable is written again
//! elsewhere; a failed flush is never retried and believed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stele_device::buffer::{Buffer, BufferMut};
use stele_device::disk::Op;
use stele_format::digest::Digest;
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::units::{Epoch, LaneId, SegmentId, Sequence, UnixMillis};

use crate::engine::DiskSlot;
use crate::engine::io::{Io, Purpose};
use crate::flush::{FlushNumber, Flushes};
use crate::heal::frames::Framed;
use crate::index::rows::ChunkRow;
use crate::limits::UNFLUSHED_CHUNK_COUNT_MAX;
use crate::plants::{Plant, on};
use crate::pool::{Place, Pool};
use crate::segment::{FrameFacts, LogState, NewSegment, SealedSegment, SegmentWriter};

/// The one data lane of a pool of up to three disks.
pub const DATA_LANE: LaneId = LaneId::new(1);

/// Copies of a data segment.
pub const DATA_COPIES: usize = 2;

/// A chunk given to the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A sealed chunk (or a clear chunk list) with room for the frame header before it.
pub struct SealedChunk {
    /// The buffer.
    pub buffer: BufferMut,
    /// Stored bytes after the room for the header.
    pub stored_len: usize,
    /// Their digest.
    pub digest: Digest,
    /// A clear chunk list.
    pub list: bool,
}

/// What happened in the lane that the engine must act on.
#[derive(Debug)]
pub enum LaneEvent {
    /// A segment was allocated; say so in the journal, then call [`Lane::allocated`].
    Allocate {
        /// The segment.
        segment: SegmentId,
        /// Its places.
        places: Vec<Place>,
        /// Its units.
        units: u32,
    },
    /// A chunk is durable on every copy.
    Durable {
        /// The chunk.
        ticket: Ticket,
        /// Its digest.
        digest: Digest,
        /// Where it lies.
        row: ChunkRow,
    },
    /// A segment was closed and its seal is durable.
    Sealed {
        /// The segment.
        segment: SegmentId,
        /// Its seal.
        sealed: Box<SealedSegment>,
    },
    /// No space for another segment.
    Full,
}

enum CopyState {
    Writing,
    Written,
    Flushing(FlushNumber),
    Durable,
}

impl CopyState {
    fn is_taken_for_durable() -> bool {
        on(Plant::ChunkUnflushed)
    }
}

enum Content {
    Chunk {
        ticket: Ticket,
        stored_len: usize,
        digest: Digest,
        list: bool,
        frame: Buffer,
        row: ChunkRow,
    },
    /// A frame whose chunk is written again elsewhere; here it only goes before the seal.
    Frame,
    Seal {
        sealed: Box<SealedSegment>,
    },
}

/// A segment that takes no more, until its frames are durable and its seal may be written.
struct Closing {
    segment: SegmentId,
    sealed: Box<SealedSegment>,
    places: Vec<Place>,
}

struct Unflushed {
    segment: SegmentId,
    content: Content,
    copies: BTreeMap<DiskSlot, CopyState>,
}

impl Unflushed {
    /// The chunk it is, if it is one.
    fn ticket(&self) -> Option<Ticket> {
        match &self.content {
            Content::Chunk { ticket, .. } => Some(*ticket),
            Content::Frame | Content::Seal { .. } => None,
        }
    }

    /// Whether it is the first chunk of its segment, before which the segment header stands.
    fn is_first(&self) -> bool {
        matches!(&self.content, Content::Chunk { row, .. } if row.offset.get() == u64::from(BLOCK_BYTES))
    }
}

/// A write of one copy.
struct InFlight {
    key: u64,
    slot: DiskSlot,
}

struct Prepared {
    segment: SegmentId,
    places: Vec<Place>,
    durable: bool,
}

/// What is wished of a chunk. Either way a disk that has written it flushes without waiting for more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Somebody waits for it.
    Soon,
    /// Nobody does any more: it must only not keep the lane from coming to rest.
    Gone,
}

/// One data lane.
pub struct Lane {
    id: LaneId,
    writer: Option<SegmentWriter>,
    prepared: Option<Prepared>,
    waiting: VecDeque<(Ticket, SealedChunk)>,
    unflushed: BTreeMap<u64, Unflushed>,
    closing: Vec<Closing>,
    writes: BTreeMap<u64, InFlight>,
    next_number: u64,
    next_sequence: Sequence,
    previous_segment: SegmentId,
    previous_chain: Digest,
    /// What is wished of chunks; most are in no hurry. Kept by chunk, so that a wish cannot be lost
    /// between its saying and the write.
    wishes: BTreeMap<Ticket, Wish>,
    full: bool,
}

/// What the lane needs of its surroundings for one step.
pub(crate) struct LaneContext<'a> {
    pub(crate) pool: &'a mut Pool,
    pub(crate) io: &'a mut Io,
    pub(crate) flushes: &'a mut Flushes,
    pub(crate) epoch: Epoch,
    pub(crate) compliance: UnixMillis,
    pub(crate) events: &'a mut Vec<LaneEvent>,
}

impl Lane {
    /// A lane that opens a new segment for its first chunk.
    #[must_use]
    pub fn new(id: LaneId, next_sequence: Sequence, previous: SegmentId) -> Self {
        Self {
            id,
            writer: None,
            prepared: None,
            waiting: VecDeque::new(),
            unflushed: BTreeMap::new(),
            closing: Vec::new(),
            writes: BTreeMap::new(),
            next_number: 0,
            next_sequence,
            previous_segment: previous,
            previous_chain: Digest::ZERO,
            wishes: BTreeMap::new(),
            full: false,
        }
    }

    /// Takes a chunk; it is written as soon as a segment is open.
    pub fn add(&mut self, chunk: SealedChunk) -> Ticket {
        let ticket = Ticket(self.number());
        self.waiting.push_back((ticket, chunk));
        ticket
    }

    /// Somebody waits for this chunk: it is flushed as soon as it is written.
    pub fn hurry(&mut self, ticket: Ticket) {
        self.wishes.insert(ticket, Wish::Soon);
    }

    /// Nobody waits for this chunk any more. It is dropped; but if it is being written already, its
    /// frame is finished, since later ones of the segment follow it.
    pub fn forget(&mut self, ticket: Ticket) {
        let waited = self.waiting.len();
        self.waiting.retain(|(other, _)| *other != ticket);
        if self.waiting.len() < waited {
            self.wishes.remove(&ticket);
        } else {
            self.wishes.insert(ticket, Wish::Gone);
        }
    }

    /// The record that allocates a segment is durable.
    pub fn allocated(&mut self, segment: SegmentId) {
        if let Some(prepared) = self.prepared.as_mut().filter(|p| p.segment == segment) {
            prepared.durable = true;
        }
    }

    /// Whether nothing waits to be written or flushed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unflushed.is_empty() && self.closing.is_empty()
    }

    /// Chunks, seals, writes and wishes it keeps.
    #[must_use]
    pub fn held(&self) -> usize {
        let on_their_way = self.waiting.len() + self.unflushed.len() + self.closing.len();
        on_their_way + self.writes.len() + self.wishes.len()
    }

    /// Data segments whose frames are not all durable and in the index.
    #[must_use]
    pub fn open_segments(&self) -> Vec<SegmentId> {
        let mut open: Vec<SegmentId> = self
            .writer
            .iter()
            .map(SegmentWriter::id)
            .chain(self.prepared.iter().map(|prepared| prepared.segment))
            .chain(self.unflushed.values().map(|unflushed| unflushed.segment))
            .chain(self.closing.iter().map(|closing| closing.segment))
            .collect();
        open.sort_unstable();
        open.dedup();
        open
    }

    /// The open segment.
    pub(crate) fn segment(&self) -> Option<SegmentId> {
        self.writer.as_ref().map(SegmentWriter::id)
    }

    /// Whether this is the open segment, and all its frames are durable on every copy.
    pub(crate) fn is_durable(&self, segment: SegmentId) -> bool {
        let (open, mut unflushed) = (self.writer.as_ref(), self.unflushed.values());
        open.is_some_and(|writer| writer.id() == segment && !writer.is_empty())
            && !unflushed.any(|unflushed| unflushed.segment == segment)
    }

    /// The frames of the open segment.
    pub(crate) fn frames(&self) -> Vec<Framed> {
        let writer = self.writer.as_ref();
        writer.map_or_else(Vec::new, |writer| {
            writer.frames_through(writer.next_sequence())
        })
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Places what waits, asks for flushes and says what became durable.
    pub(crate) fn pump(&mut self, context: &mut LaneContext<'_>) {
        while let Some((_, chunk)) = self.waiting.front() {
            let frame = frame_bytes(chunk.stored_len);
            let writer = self.writer.as_ref();
            if !writer.is_some_and(|writer| writer.fits(frame)) && !self.open_next(context) {
                break;
            }
            if let Some((ticket, chunk)) = self.waiting.pop_front() {
                self.place(ticket, chunk, context);
            }
        }
        self.prepare_early(context);
        self.seal_closed(context);
        self.ask_for_flushes(context.flushes);
        context.flushes.pump(context.io);
        if on(Plant::ChunkUnflushed) {
            self.report_durable(context);
        }
    }

    /// Opens the prepared segment, or asks for one.
    fn open_next(&mut self, context: &mut LaneContext<'_>) -> bool {
        match &self.prepared {
            Some(prepared) if prepared.durable => {}
            Some(_) => return false,
            None => {
                self.prepare(context);
                return false;
            }
        }
        self.close(context);
        let Some(prepared) = self.prepared.take() else {
            return false;
        };
        self.writer = Some(SegmentWriter::new(NewSegment {
            pool: context.pool.id,
            segment: prepared.segment,
            lane: self.id,
            epoch: context.epoch,
            unit_bytes: context.pool.unit_bytes,
            units: context.pool.segment_units,
            first_sequence: self.next_sequence,
            previous_segment: self.previous_segment,
            previous_chain: self.previous_chain,
            compliance: context.compliance,
            places: prepared.places,
        }));
        true
    }

    fn prepare(&mut self, context: &mut LaneContext<'_>) {
        let room = context.pool.has_room_for_data();
        let Some(places) = context.pool.choose(DATA_COPIES).filter(|_| room) else {
            // Said whenever chunks wait: those who sent them are refused.
            if !self.full || !self.waiting.is_empty() {
                context.events.push(LaneEvent::Full);
            }
            self.full = true;
            return;
        };
        self.full = false;
        let segment = context.pool.take(
            self.id,
            context.epoch,
            self.next_sequence,
            &places,
            context.compliance,
        );
        context.events.push(LaneEvent::Allocate {
            segment,
            places: places.clone(),
            units: context.pool.segment_units,
        });
        self.prepared = Some(Prepared {
            segment,
            places,
            durable: false,
        });
    }

    /// Past half of a segment its successor is allocated, so that no chunk waits for it.
    fn prepare_early(&mut self, context: &mut LaneContext<'_>) {
        let writer = self.writer.as_ref();
        let half_full = writer.is_some_and(|w| w.next_offset().get() > w.capacity() / 2);
        if half_full && self.prepared.is_none() && !self.full {
            self.prepare(context);
        }
    }

    fn place(&mut self, ticket: Ticket, chunk: SealedChunk, context: &mut LaneContext<'_>) {
        let Some(writer) = self.writer.as_mut() else {
            return;
        };
        let facts = FrameFacts {
            epoch: context.epoch,
            record_count: 0,
            list: chunk.list,
            committed_through: Sequence::default(),
            compliance: context.compliance,
        };
        let placed = writer.place(chunk.buffer, chunk.stored_len, chunk.digest, facts);
        let segment = writer.id();
        let places = writer.places.clone();
        self.next_sequence = writer.next_sequence();
        let row = ChunkRow {
            segment,
            offset: placed.frame_offset,
            total_bytes: placed.header.total_bytes,
        };
        let content = Content::Chunk {
            ticket,
            stored_len: chunk.stored_len,
            digest: chunk.digest,
            list: chunk.list,
            frame: placed.bytes.clone(),
            row,
        };
        self.write(
            segment,
            content,
            &places,
            &[(placed.write_offset, placed.bytes)],
            context,
        );
    }

    fn write(
        &mut self,
        segment: SegmentId,
        content: Content,
        places: &[Place],
        pieces: &[(u64, Buffer)],
        context: &mut LaneContext<'_>,
    ) {
        let key = self.number();
        let mut copies = BTreeMap::new();
        for place in places {
            let Some((slot, base)) = context.pool.locate_active(place) else {
                continue;
            };
            copies.insert(slot, CopyState::Writing);
            for (offset, bytes) in pieces {
                let number = self.number();
                self.writes.insert(number, InFlight { key, slot });
                let op = Op::Write {
                    offset: base + offset,
                    data: bytes.clone(),
                };
                context.io.submit(slot, op, Purpose::Lane(number));
            }
        }
        let unflushed = Unflushed {
            segment,
            content,
            copies,
        };
        // What no disk takes is not written, and must not count as durable everywhere.
        if !unflushed.copies.is_empty() {
            self.unflushed.insert(key, unflushed);
        }
    }

    /// Closes the open segment: the rest of its units is free, and footer and seal follow when all
    /// its frames are durable.
    pub(crate) fn close(&mut self, context: &mut LaneContext<'_>) {
        let Some(writer) = self.writer.take() else {
            return;
        };
        self.previous_segment = writer.id();
        self.previous_chain = writer.lane_chain();
        if writer.is_empty() {
            context.pool.drop_segment(writer.id());
            return;
        }
        let sealed = writer.seal(&LogState::None);
        let (id, end) = (writer.id(), sealed.data_end.get());
        let at = context.compliance;
        context.pool.trim(id, sealed.units_kept, end, at);
        self.closing.push(Closing {
            segment: writer.id(),
            sealed: Box::new(sealed),
            places: writer.places,
        });
    }

    /// Writes the seals of closed segments that have no frame under way.
    fn seal_closed(&mut self, context: &mut LaneContext<'_>) {
        let busy: BTreeSet<SegmentId> = self.unflushed.values().map(|u| u.segment).collect();
        let ready =
            |closing: &mut Closing| !busy.contains(&closing.segment) || on(Plant::SealBeforeFrames);
        let ready: Vec<Closing> = self.closing.extract_if(.., ready).collect();
        for Closing {
            segment,
            sealed,
            places,
        } in ready
        {
            let pieces = [sealed.footer.clone(), sealed.block.clone()];
            self.write(segment, Content::Seal { sealed }, &places, &pieces, context);
        }
    }

    /// A write completed on a disk.
    pub fn written(&mut self, slot: DiskSlot, number: u64) {
        let Some(InFlight { key, .. }) = self.writes.remove(&number) else {
            return;
        };
        // A seal has two pieces a disk.
        if self
            .writes
            .values()
            .any(|other| other.key == key && other.slot == slot)
        {
            return;
        }
        let copy = self.unflushed.get_mut(&key);
        if let Some(state) = copy.and_then(|unflushed| unflushed.copies.get_mut(&slot)) {
            *state = CopyState::Written;
        }
    }

    fn ask_for_flushes(&mut self, flushes: &mut Flushes) {
        let mut written: BTreeMap<DiskSlot, (u32, bool)> = BTreeMap::new();
        // A seal is rare, and the lane is not at rest before it is durable.
        let wished = |unflushed: &Unflushed| {
            let ticket = unflushed.ticket();
            ticket.is_none_or(|ticket| self.wishes.contains_key(&ticket))
        };
        let in_hurry = self
            .unflushed
            .values()
            .filter(|unflushed| wished(unflushed));
        let in_hurry: BTreeSet<SegmentId> = in_hurry.map(|unflushed| unflushed.segment).collect();
        for unflushed in self.unflushed.values() {
            // Nothing of a segment counts before its first chunk does, whoever waits for that one.
            let first = unflushed.is_first() && in_hurry.contains(&unflushed.segment);
            let now = wished(unflushed) || first;
            for (slot, state) in &unflushed.copies {
                if matches!(state, CopyState::Written) {
                    let (count, wanted) = written.entry(*slot).or_default();
                    *count += 1;
                    *wanted |= now;
                }
            }
        }
        for (slot, (count, wanted)) in written {
            if !wanted && count < UNFLUSHED_CHUNK_COUNT_MAX {
                continue;
            }
            let number = flushes.want(slot);
            for unflushed in self.unflushed.values_mut() {
                if let Some(state) = unflushed.copies.get_mut(&slot)
                    && matches!(state, CopyState::Written)
                {
                    *state = CopyState::Flushing(number);
                }
            }
        }
    }

    /// A flush completed on a disk: what it covered is durable there.
    pub(crate) fn flushed(&mut self, slot: DiskSlot, context: &mut LaneContext<'_>) {
        for unflushed in self.unflushed.values_mut() {
            if let Some(state) = unflushed.copies.get_mut(&slot)
                && let CopyState::Flushing(number) = state
                && context.flushes.is_done(slot, *number)
            {
                *state = CopyState::Durable;
            }
        }
        self.report_durable(context);
    }

    fn report_durable(&mut self, context: &mut LaneContext<'_>) {
        let mut durable = Vec::new();
        // The segment header is written with the first frame: nothing may be cited that has none before it.
        let mut without_header = BTreeSet::new();
        for (key, unflushed) in &self.unflushed {
            let flushed = unflushed.copies.values().all(|state| {
                matches!(state, CopyState::Durable) || CopyState::is_taken_for_durable()
            });
            if !flushed && unflushed.is_first() {
                without_header.insert(unflushed.segment);
            }
            if flushed && !without_header.contains(&unflushed.segment) {
                durable.push(*key);
            }
        }
        for key in durable {
            let Some(unflushed) = self.unflushed.remove(&key) else {
                continue;
            };
            if let Some(ticket) = unflushed.ticket() {
                self.wishes.remove(&ticket);
            }
            match unflushed.content {
                Content::Chunk {
                    ticket,
                    digest,
                    row,
                    ..
                } => context.events.push(LaneEvent::Durable {
                    ticket,
                    digest,
                    row,
                }),
                Content::Frame => {}
                Content::Seal { sealed } => context.events.push(LaneEvent::Sealed {
                    segment: unflushed.segment,
                    sealed,
                }),
            }
        }
    }

    /// A disk is too slow: as if it were lost, but that it keeps what it has. What its copy of the
    /// closed segment then lacks is written again when that segment is read again.
    /// It gets no seal, nor one of a segment closed before that still waits for its own: a seal says
    /// that everything before it is there.
    pub(crate) fn leave(&mut self, slot: DiskSlot, context: &mut LaneContext<'_>) {
        let disk = context.pool.member_at(slot).map(|member| member.disk);
        let on_it = |place: &Place| Some(place.disk) == disk;
        if let Some(writer) = self.writer.as_mut().filter(|w| w.places.iter().any(on_it)) {
            writer.places.retain(|place| !on_it(place));
            self.close(context);
        }
        for closing in &mut self.closing {
            closing.places.retain(|place| !on_it(place));
        }
        self.expel(slot, context);
    }

    /// No further chunk goes to a disk: what is open there is closed, and ends there as it began.
    pub(crate) fn turn_from(&mut self, slot: DiskSlot, context: &mut LaneContext<'_>) {
        let disk = context.pool.member_at(slot).map(|member| member.disk);
        let there = |places: &[Place]| places.iter().any(|place| Some(place.disk) == disk);
        let unused = self.prepared.take_if(|prepared| there(&prepared.places));
        if let Some(prepared) = unused {
            context.pool.drop_segment(prepared.segment);
        }
        if self.writer.as_ref().is_some_and(|w| there(&w.places)) {
            self.close(context);
        }
    }

    /// A disk is not believed any more: the open segment is closed on what remains, and chunks not
    /// yet durable everywhere are written again in a new segment. The frames they leave behind are
    /// finished on the other copy, whose seal will name them.
    pub(crate) fn expel(&mut self, slot: DiskSlot, context: &mut LaneContext<'_>) {
        self.writes.retain(|_, write| write.slot != slot);
        let affected: Vec<u64> = self
            .unflushed
            .iter()
            .filter(|(_, unflushed)| unflushed.copies.contains_key(&slot))
            .map(|(key, _)| *key)
            .collect();
        self.turn_from(slot, context);
        for key in affected.into_iter().rev() {
            let Some(unflushed) = self.unflushed.get_mut(&key) else {
                continue;
            };
            unflushed.copies.remove(&slot);
            if let Content::Chunk {
                ticket,
                stored_len,
                digest,
                list,
                frame,
                ..
            } = &unflushed.content
            {
                if self.wishes.get(ticket) == Some(&Wish::Gone) {
                    self.wishes.remove(ticket);
                } else {
                    let chunk = reframe(frame, *stored_len, *digest, *list);
                    self.waiting.push_front((*ticket, chunk));
                }
                unflushed.content = Content::Frame;
            }
        }
        self.unflushed
            .retain(|_, unflushed| !unflushed.copies.is_empty());
        self.report_durable(context);
    }
}

/// The chunk of a frame (perhaps with a segment header before it) in a buffer of its own.
fn reframe(frame: &Buffer, stored_len: usize, digest: Digest, list: bool) -> SealedChunk {
    let total = frame_bytes(stored_len);
    let skip = frame.len() - total;
    let mut buffer = BufferMut::zeroed(total);
    buffer.copy_from_slice(&frame[skip..]);
    SealedChunk {
        buffer,
        stored_len,
        digest,
        list,
    }
}

fn frame_bytes(stored_len: usize) -> usize {
    (FRAME_HEADER_BYTES as usize + stored_len).next_multiple_of(BLOCK_BYTES as usize)
}
