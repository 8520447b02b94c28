//! The journal: drafts become records, records become frames, frames become true.
//!
//! Group commit by natural batching: while a frame is being flushed, drafts gather; the next frame
//! takes them all. One frame is in flight; the next is built when a quorum of disks has flushed it,
//! and states in `committed_through` that it is durable.
//!
//! **The durable moment** is in [`Journal::acknowledge`]: when the flush of a frame has completed on
//! the quorum, its records are true and stay true; before that, they never happened.

mod next;
mod room;

use std::collections::{BTreeSet, VecDeque};

use stele_device::entropy::Entropy;
use stele_format::digest::Digest;
use stele_format::limits::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_RECORDS_MAX};
use stele_format::record::{Body, RecordType};
use stele_format::tree::Frontier;
use stele_format::units::{Epoch, LaneId, SegmentId, Sequence, UnixMillis};

use crate::ahead::Ahead;
use crate::away::Away;
use crate::copies::{Carried, Copies};
use crate::draft::Draft;
use crate::engine::DiskSlot;
use crate::engine::io::Io;
use crate::fact::epoch_body_of_writer;
use crate::heal::frames::Framed;
use crate::keys::chunk::BulkAead;
use crate::keys::counter::KeyCounter;
use crate::keys::state::KeyState;
use crate::limits::{IDLE_MARKER_MS, UNSETTLED_COUNT_MAX};
use crate::plants::{Plant, on};
use crate::pool::{Place, Pool};
use crate::position;
pub use crate::position::JournalPosition;
use crate::recovery::table::quorum;
use crate::segment::{FrameFacts, LogState, NewSegment, SegmentWriter};
use crate::sequence::{LogHead, Sequenced, Sequencing, sequence};
use room::{FrameRoom, frame_bytes};

/// Copies of a journal segment.
pub const JOURNAL_COPIES: usize = 3;
/// Room kept at the end of a segment for the record that allocates the next one.
const SWITCH_ROOM_BYTES: usize = 64 << 10;

struct Flight {
    sequence: Sequence,
    records: Vec<Sequenced>,
    after: JournalPosition,
    marker_only: bool,
}

/// What the journal needs of its surroundings for one step.
pub(crate) struct JournalContext<'a> {
    pub(crate) pool: &'a mut Pool,
    pub(crate) io: &'a mut Io,
    pub(crate) keys: &'a KeyState,
    pub(crate) entropy: &'a mut dyn Entropy,
    pub(crate) aead: &'a dyn BulkAead,
    pub(crate) compliance: UnixMillis,
    pub(crate) wall: UnixMillis,
}

/// The journal.
pub struct Journal {
    writer: SegmentWriter,
    prepared: Option<next::Prepared>,
    pub(crate) copies: Copies,
    pub(crate) ahead: Ahead,
    away: Away,
    owed: Vec<next::Owed>,
    sealing: Vec<next::Sealing>,
    /// Segments that were left, and of which no durable record says that they are sealed.
    unstated: BTreeSet<SegmentId>,
    own: VecDeque<Draft>,
    queue: VecDeque<Draft>,
    flight: Option<Flight>,
    log: LogHead,
    counter: KeyCounter,
    started: Epoch,
    acknowledged: Sequence,
    applied: JournalPosition,
    /// Positions after acknowledged frames that some copy may still lack, and the last one before.
    unsettled: VecDeque<JournalPosition>,
    quiet_since_ms: Option<u64>,
    payload: Vec<u8>,
    room: FrameRoom,
    full: bool,
    switched: bool,
    /// The open segment is to be closed as soon as its successor is allocated.
    renew: bool,
    /// Disks that took part when the open segment was begun on them.
    opened_on: usize,
    closed: bool,
    bytes_since_snapshot: u64,
    /// Compliance time of the newest record.
    newest: UnixMillis,
}

impl Journal {
    /// A journal whose segment holds what recovery or creation has written into it.
    pub(crate) fn new(
        writer: SegmentWriter,
        log: LogHead,
        epoch: Epoch,
        slots: &[DiskSlot],
        compliance: UnixMillis,
    ) -> Self {
        let acknowledged = Sequence::new(writer.next_sequence().get() - 1);
        let applied = JournalPosition {
            segment: writer.id(),
            offset: writer.next_offset(),
            sequence: writer.next_sequence(),
            chain: writer.chain(),
            compliance,
            log: log.clone(),
        };
        let mut copies = Copies::default();
        copies.set_members(slots, acknowledged);
        Self {
            writer,
            prepared: None,
            copies,
            ahead: Ahead::new(0),
            away: Away::default(),
            owed: Vec::new(),
            sealing: Vec::new(),
            unstated: BTreeSet::new(),
            own: VecDeque::new(),
            queue: VecDeque::new(),
            flight: None,
            log,
            counter: KeyCounter::new(epoch),
            started: epoch,
            acknowledged,
            unsettled: VecDeque::from([applied.clone()]),
            applied,
            quiet_since_ms: None,
            payload: Vec::new(),
            room: FrameRoom::default(),
            full: false,
            switched: false,
            renew: false,
            opened_on: slots.len(),
            closed: false,
            bytes_since_snapshot: 0,
            newest: compliance,
        }
    }

    /// A journal that is only read: it has no disks and takes nothing.
    pub(crate) fn read_only(pool: &Pool, position: &JournalPosition, epoch: Epoch) -> Self {
        let places = pool
            .members
            .first()
            .map(|member| Place {
                disk: member.disk,
                first_unit: stele_format::units::UnitIndex::ZERO,
            })
            .into_iter()
            .collect();
        let writer = SegmentWriter::new(NewSegment {
            pool: pool.id,
            segment: position.segment,
            lane: LaneId::JOURNAL,
            epoch,
            unit_bytes: pool.unit_bytes,
            units: 1,
            first_sequence: position.sequence,
            previous_segment: SegmentId::NONE,
            previous_chain: position.chain,
            compliance: position.compliance,
            places,
        });
        let mut journal = Self::new(
            writer,
            position.log.clone(),
            epoch,
            &[],
            position.compliance,
        );
        journal.closed = true;
        journal
    }

    /// Keeps zeros written so many bytes ahead of the head; 0 for not at all.
    pub(crate) fn keep_ahead(&mut self, bytes: u64) {
        self.ahead = Ahead::new(bytes);
    }

    /// Queues a record of a request.
    pub(crate) fn push(&mut self, draft: Draft) {
        self.queue.push_back(draft);
    }

    /// Queues a record of the engine itself, before those of requests. A closed journal takes none:
    /// what it says is found by recovery too.
    pub(crate) fn push_own(&mut self, draft: Draft) {
        if !self.closed {
            self.own.push_back(draft);
        }
    }

    /// Highest frame acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> Sequence {
        self.acknowledged
    }

    /// The log including what is in flight.
    #[must_use]
    pub fn log(&self) -> &LogHead {
        &self.log
    }

    /// The log as the frame in flight makes it.
    pub(crate) fn flying(&self) -> Option<&LogHead> {
        self.flight.as_ref().map(|flight| &flight.after.log)
    }

    /// Position after the last frame whose records were handed out for applying.
    #[must_use]
    pub fn applied(&self) -> &JournalPosition {
        &self.applied
    }

    /// The open segment.
    #[must_use]
    pub fn segment(&self) -> SegmentId {
        self.writer.id()
    }

    /// Copies that acknowledge a frame of the open segment, as recovery will judge it.
    pub(crate) fn quorum(&self) -> usize {
        quorum(self.opened_on)
    }

    /// The epoch keys are counted in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.counter.epoch()
    }

    /// The epoch the last start began. Labels state it: an epoch that begins because keys ran out is no
    /// change of what takes part.
    pub(crate) fn started(&self) -> Epoch {
        self.started
    }

    /// Whether footer and seal of every segment but the open one are durable on every copy.
    pub(crate) fn is_sealed_everywhere(&self) -> bool {
        let first = self.writer.header.first_sequence;
        self.copies
            .durable_everywhere()
            .is_none_or(|through| through >= first)
    }

    /// Whether no further segment could be allocated.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Bytes written since the last snapshot began.
    #[must_use]
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.bytes_since_snapshot
    }

    /// A snapshot begins.
    pub fn snapshot_begins(&mut self) {
        self.bytes_since_snapshot = 0;
    }

    /// Whether the segment was switched since this was last asked.
    pub fn take_switched(&mut self) -> bool {
        std::mem::take(&mut self.switched)
    }

    /// The frames of the open segment that every copy of it has flushed.
    pub(crate) fn durable_frames(&self) -> Vec<Framed> {
        let through = self.copies.durable_everywhere().unwrap_or_default();
        self.writer.frames_through(through)
    }

    /// Whether there are any of these.
    pub(crate) fn has_durable_frames(&self) -> bool {
        let first = self.writer.header.first_sequence;
        let through = self.copies.durable_everywhere();
        !self.writer.is_empty() && through.is_some_and(|through| through >= first)
    }

    /// Whether nothing waits and nothing is in flight, on any disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flight.is_none()
            && self.own.is_empty()
            && self.queue.is_empty()
            && self.copies.is_idle()
            && self.ahead.is_idle()
    }

    /// Records that are not true yet.
    #[must_use]
    pub fn held(&self) -> usize {
        let flying = self
            .flight
            .as_ref()
            .map_or(0, |flight| flight.records.len());
        self.own.len() + self.queue.len() + flying
    }

    /// Builds and submits the next frame if none is in flight and something waits.
    pub(crate) fn pump(&mut self, context: &mut JournalContext<'_>) {
        self.give_back(context.pool);
        if !self.closed {
            self.leave_laggards(context);
            let (head, capacity) = (self.writer.next_offset().get(), self.writer.capacity());
            let places = &self.writer.places;
            self.ahead
                .extend(head, capacity, places, context.pool, context.io);
        }
        if self.flight.is_none() && !self.closed && !self.must_wait() {
            self.build(context);
        }
        self.copies.pump(context.io, &self.ahead);
    }

    fn build(&mut self, context: &mut JournalContext<'_>) {
        self.prepare_early(context);
        if self.renew
            && self
                .prepared
                .as_ref()
                .is_some_and(|prepared| prepared.durable)
        {
            self.switch(context);
        }
        self.note_sealed();
        self.count_epoch();
        let (own, others, bytes) = self.select(self.payload_budget());
        if own + others == 0 {
            return;
        }
        if self.writer.fits(frame_bytes(bytes) + SWITCH_ROOM_BYTES) {
            self.frame(own, others, context);
        } else if self
            .prepared
            .as_ref()
            .is_some_and(|prepared| prepared.durable)
        {
            self.switch(context);
            let (own, others, _) = self.select(self.payload_budget());
            // What was to be said of the segment that is full now may have been all.
            if own + others > 0 {
                self.frame(own, others, context);
            }
        } else {
            self.prepare(context);
            let (own, _, bytes) = self.select(SWITCH_ROOM_BYTES / 2);
            if own > 0 && self.writer.fits(frame_bytes(bytes)) {
                self.frame(own, 0, context);
            }
        }
    }

    fn payload_budget(&self) -> usize {
        let eighth = usize::try_from(self.writer.capacity() / 8).unwrap_or(usize::MAX);
        eighth.min(FRAME_BYTES_MAX as usize) - FRAME_HEADER_BYTES as usize
    }

    /// How many own and other drafts fit the budget, and their bytes at most. At least one request's are taken.
    ///
    /// All records of a request go into one frame: a cut between two frames would leave half of it true,
    /// and readers would see that half.
    fn select(&self, budget: usize) -> (usize, usize, usize) {
        let (mut own, mut others, mut bytes) = (0, 0, 0);
        let (mut count, mut sum) = (0, 0);
        for draft in self.own.iter().chain(&self.queue) {
            count += 1;
            sum += draft.bytes_max();
            if draft.goes_on() {
                continue;
            }
            if own + others > 0 && (sum > budget || count > usize::from(FRAME_RECORDS_MAX)) {
                break;
            }
            own = count.min(self.own.len());
            others = count - own;
            bytes = sum;
        }
        (own, others, bytes)
    }

    fn frame(&mut self, own: usize, others: usize, context: &mut JournalContext<'_>) {
        let drafts: Vec<Draft> = self
            .own
            .drain(..own)
            .chain(self.queue.drain(..others))
            .collect();
        let marker_only = drafts.iter().all(|draft| draft.kind == RecordType::Marker);
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        let mut with = Sequencing {
            pool: context.pool.id,
            keys: context.keys,
            entropy: &mut *context.entropy,
            aead: context.aead,
            epoch: self.counter.epoch(),
            compliance: context.compliance,
            wall: context.wall,
            newest: self.newest,
            segment: self.writer.id(),
            payload_offset: self.writer.next_offset().get() + u64::from(FRAME_HEADER_BYTES),
        };
        self.newest = context.compliance;
        let records: Vec<Sequenced> = drafts
            .into_iter()
            .map(|draft| {
                sequence(
                    draft,
                    &mut self.log,
                    &mut self.counter,
                    &mut with,
                    &mut payload,
                )
            })
            .collect();
        self.submit(&payload, records, marker_only, context);
        self.payload = payload;
    }

    fn submit(
        &mut self,
        payload: &[u8],
        records: Vec<Sequenced>,
        marker_only: bool,
        context: &mut JournalContext<'_>,
    ) {
        let frame = self.room.frame(payload);
        let facts = FrameFacts {
            epoch: self.counter.epoch(),
            record_count: u16::try_from(records.len()).unwrap_or(FRAME_RECORDS_MAX),
            list: false,
            committed_through: self.acknowledged,
            compliance: context.compliance,
        };
        let placed = self
            .writer
            .place(frame, payload.len(), Digest::of(payload), facts);
        self.bytes_since_snapshot += placed.bytes.len() as u64;
        for place in &self.writer.places {
            if let Some((slot, base)) = context.pool.locate_active(place) {
                let offset = base + placed.write_offset;
                let frame = Carried::Frame(placed.header.sequence);
                self.copies.push(slot, offset, placed.bytes.clone(), frame);
            }
        }
        self.flight = Some(Flight {
            sequence: placed.header.sequence,
            records,
            marker_only,
            after: JournalPosition {
                segment: self.writer.id(),
                offset: self.writer.next_offset(),
                sequence: self.writer.next_sequence(),
                chain: self.writer.chain(),
                compliance: context.compliance,
                log: self.log.clone(),
            },
        });
    }

    /// Hands out the records of the frame in flight once a quorum of disks has flushed it, and the tree
    /// before them.
    pub(crate) fn acknowledge(
        &mut self,
        quorum: usize,
        now_ms: u64,
    ) -> Option<(Frontier, Vec<Sequenced>)> {
        let quorum = if on(Plant::AckAtOneCopy) { 1 } else { quorum };
        let early = u64::from(on(Plant::AckOneFrameEarly));
        let durable = Sequence::new(self.copies.durable_through(quorum)?.get() + early);
        let flight = self.flight.take_if(|flight| flight.sequence <= durable)?;
        // Here, and nowhere else, the frame's records become true.
        self.acknowledged = flight.sequence;
        let before = std::mem::replace(&mut self.applied, flight.after);
        if self.unsettled.len() >= UNSETTLED_COUNT_MAX {
            position::thin(&mut self.unsettled);
        }
        self.unsettled.push_back(self.applied.clone());
        self.settle();
        self.quiet_since_ms = (!flight.marker_only).then_some(now_ms);
        Some((before.log.frontier, flight.records))
    }

    /// Forgets positions behind which every copy is complete, but for the last.
    fn settle(&mut self) {
        let Some(everywhere) = self.copies.durable_everywhere() else {
            return;
        };
        while self
            .unsettled
            .get(1)
            .is_some_and(|next| next.sequence.get() <= everywhere.get() + 1)
        {
            self.unsettled.pop_front();
        }
    }

    /// The newest position before which every copy of the journal is complete.
    #[must_use]
    pub fn settled(&self) -> &JournalPosition {
        self.unsettled.front().unwrap_or(&self.applied)
    }

    /// After a quiet while one marker frame closes the window in which the last acknowledged frame
    /// has no other witness than itself.
    pub(crate) fn tick(&mut self, now_ms: u64, pool: &mut Pool) {
        self.take_back(now_ms, pool);
        let quiet =
            !self.closed && self.flight.is_none() && self.own.is_empty() && self.queue.is_empty();
        let due = self
            .quiet_since_ms
            .is_some_and(|since| now_ms.saturating_sub(since) >= IDLE_MARKER_MS);
        if quiet && due {
            self.quiet_since_ms = None;
            self.push_own(Draft::of_engine(RecordType::Marker, marker(&self.log)));
        }
    }

    /// Whether no frame can be built any more for want of a segment.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        let waits = !self.own.is_empty() || !self.queue.is_empty();
        self.full && waits && self.flight.is_none() && self.prepared.is_none()
    }

    /// Takes the drafts of requests back that no segment has room for.
    pub(crate) fn refused_for_space(&mut self) -> Vec<Draft> {
        if self.is_stuck() {
            self.queue.drain(..).collect()
        } else {
            Vec::new()
        }
    }

    /// Takes every queued draft of a request back, because nothing can be made true any more. Frames
    /// on their way to disks that remain go on: one more copy of the truth harms nobody.
    pub(crate) fn give_up(&mut self) -> Vec<Draft> {
        self.closed = true;
        self.own.clear();
        self.queue.drain(..).collect()
    }

    /// Origins of what is in flight when nothing can be acknowledged any more.
    pub(crate) fn give_up_flight(&mut self) -> Vec<Sequenced> {
        self.flight
            .take()
            .map(|flight| flight.records)
            .unwrap_or_default()
    }

    /// Writes footer and seal of the open segment, on a clean stop.
    pub(crate) fn close(&mut self, context: &mut JournalContext<'_>) {
        self.closed = true;
        self.own.clear();
        self.sealing.clear();
        let sealed = self.writer.seal(&log_state(&self.log));
        self.push_seal(&sealed, context);
        let (id, end) = (self.writer.id(), sealed.data_end.get());
        let at = context.compliance;
        context.pool.trim(id, sealed.units_kept, end, at);
        self.copies.pump(context.io, &self.ahead);
    }

    /// Queues footer and seal of the open segment; the disks that are given them.
    fn push_seal(
        &mut self,
        sealed: &crate::segment::SealedSegment,
        context: &mut JournalContext<'_>,
    ) -> Vec<DiskSlot> {
        let seal = Carried::Seal(self.writer.id());
        let mut slots = Vec::new();
        for place in &self.writer.places {
            let Some((slot, base)) = context.pool.locate_active(place) else {
                continue;
            };
            for ((offset, bytes), what) in
                [(&sealed.footer, Carried::Footer), (&sealed.block, seal)]
            {
                self.copies.push(slot, base + offset, bytes.clone(), what);
            }
            slots.push(slot);
        }
        slots
    }

    /// When the key counter runs out, a new epoch begins without a restart.
    fn count_epoch(&mut self) {
        if self.counter.left() > 2 * u32::from(FRAME_RECORDS_MAX) {
            return;
        }
        let previous = self.counter.epoch();
        self.counter = KeyCounter::new(Epoch::new(previous.get() + 1));
        let body = epoch_body_of_writer(previous);
        self.own
            .push_front(Draft::of_engine(RecordType::Epoch, body));
    }
}

/// The log as seals repeat it.
pub(crate) fn log_state(log: &LogHead) -> LogState {
    Some(log.frontier.clone())
}

fn marker(log: &LogHead) -> Body {
    crate::fact::marker_body(log)
}
