//! The engine: one state machine, fed with events, answering with actions.
//!
//! No threads, no clock, no I/O of its own. Whoever drives it executes the actions on disks, workers
//! and the threads of the index, and feeds the completions back; the simulator does so from a seed.
//!
//! Order of a write: decide -> record -> frame -> durable on the quorum -> `index.apply` -> answer.
//! Invariants: an answer to a mutation is given only after its record and all earlier ones are durable
//! and applied; a disk that failed a write or flush is never believed again while we run; when fewer
//! disks remain than the quorum needs, nothing is acknowledged any more.

mod access;
mod admission;
mod attempts;
mod clock;
pub(crate) mod commands;
mod damage;
mod download;
mod drain;
mod faults;
mod heal;
pub(crate) mod io;
mod lists;
mod membership;
mod mirrors;
mod parts;
pub(crate) mod people;
mod reads;
mod reclaim;
mod refused;
mod requests;
mod slow;
mod snapshot;
mod spill;
mod started_again;
mod streams;
mod tenants;
mod verify;
pub(crate) mod view;
mod watch;
mod wiping;

pub use commands::people::{ScopeWords, scope_words};
pub use drain::{DRAINED, DrainRefusal};
pub use faults::FILE_SYSTEM_FULL;
pub(crate) use faults::{LabelFacts, labels_of};
pub use heal::HealPlan;
pub(crate) use heal::HealToken;
pub use membership::{Attachment, DiskRefusal, FillProgress, LEFT_BEHIND, LabelAge, Offer};
pub(crate) use parts::{Parts, Waits};
pub use people::{Case, Granted, LogKeyChange};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stele_device::disk::{Done, Op, OpId};
use stele_device::entropy::Entropy;
use stele_device::keyprovider::KeyProvider;
use stele_format::units::{BucketId, DiskId, Generation, SegmentId, UnixMillis};

use crate::flush::Flushes;
use crate::index::rows::BucketRow;
use crate::index::{IndexReply, IndexRequest, Memtable, QueryId};
use crate::job::{Job, JobDone, JobId};
use crate::journal::{Journal, JournalContext};
use crate::keys::chunk::BulkAead;
use crate::keys::state::KeyState;
use crate::labels::LabelUpdate;
use crate::lane::{Lane, LaneContext, LaneEvent};
use crate::policy::ComplianceClock;
use crate::policy::limits::WALL_MS_MAX;
use crate::pool::Pool;
use crate::receipts::LogSigner;
use crate::request::{Answer, ReadOnlyReason, Refusal, Request, RequestId, StreamId};
use crate::usage::Usages;

use admission::Admission;
use download::GetStream;
use io::{Io, Purpose};
use reads::ReadTask;
use refused::RefusedStreams;
use requests::Pending;
use spill::Spill;
use streams::PutStream;

/// A disk as the driver numbers it: its place in the vector given at opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskSlot(pub u16);

/// The time of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: UnixMillis,
    /// `CLOCK_MONOTONIC_RAW`, milliseconds.
    pub monotonic_ms: u64,
}

impl Now {
    /// The same with a wall clock that records and texts can state: one beyond the year 9999 counts as its end. How
    /// far it is from compliance time alarms in either case.
    pub(crate) fn told(self) -> Self {
        let wall = self.wall.min(UnixMillis::new(WALL_MS_MAX));
        Self { wall, ..self }
    }
}

/// What happens to the engine.
#[derive(Debug)]
pub enum Event {
    /// A question.
    Request(Request),
    /// A disk finished an operation.
    Disk {
        /// Which disk.
        slot: DiskSlot,
        /// What came of it.
        done: Done,
    },
    /// A worker finished a job.
    Job(JobDone),
    /// The index answers.
    Index(IndexReply),
    /// Somebody looked twice, and a disk is not where it was opened. Said again at each look while that is so.
    Astray {
        /// Which disk.
        slot: DiskSlot,
        /// Whether all others are.
        alone: bool,
    },
    /// A disk of which that was said is at its place again.
    Back {
        /// Which disk.
        slot: DiskSlot,
    },
    /// Time passes: every 10 ms while anything is in flight, every 100 ms else.
    Tick,
    /// Stop cleanly; [`Engine::is_stopped`] says when that is done.
    Stop,
}

/// What the driver must do.
#[derive(Debug)]
pub enum Action {
    /// Submit to a disk.
    Disk {
        /// Which disk.
        slot: DiskSlot,
        /// Ties the completion.
        id: OpId,
        /// The operation.
        op: Op,
    },
    /// Give to a worker.
    Job(Job),
    /// Send to the index; requests and replies keep their order.
    Index(IndexRequest),
    /// Answer a request.
    Reply {
        /// Which.
        id: RequestId,
        /// The answer.
        result: Result<Answer, Refusal>,
    },
}

/// What comes in from outside by constructor.
pub struct World {
    /// Randomness.
    pub entropy: Box<dyn Entropy>,
    /// Seals the key state.
    pub keys: Box<dyn KeyProvider>,
    /// Bulk encryption.
    pub aead: Arc<dyn BulkAead>,
}

/// What a worker job belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobFor {
    /// A chunk of an upload.
    Chunk(StreamId, usize),
    /// A list chunk of a request.
    List(RequestId, usize),
    /// A read.
    Read(u64),
    /// Frames to be judged for healing.
    Heal(HealToken),
    /// What it was for has ended.
    Nobody,
}

/// Who waits for an index answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryFor {
    /// A deciding request.
    Request(RequestId),
    /// A chunk to be located.
    Read(u64),
    /// What it was for has ended.
    Nobody,
}

/// The engine.
pub struct Engine {
    pub(crate) pool: Pool,
    pub(crate) io: Io,
    pub(crate) journal: Journal,
    pub(crate) lane: Lane,
    pub(crate) flushes: Flushes,
    pub(crate) labels: LabelUpdate,
    pub(crate) label_again: bool,
    /// Generation of the labels being written, or written last, promises aside.
    pub(crate) label_generation: Generation,
    /// Generation of the promises being written.
    promising: Option<Generation>,
    /// Highest generation that every disk that takes part has, promises included.
    promised: Generation,
    /// A membership change is written but not yet in force: nothing is acknowledged.
    pub(crate) relabelling: bool,
    pub(crate) cutoffs: Vec<stele_format::label::EpochCutoff>,
    pub(crate) memtable: Memtable,
    pub(crate) buckets: BTreeMap<BucketId, BucketRow>,
    /// What lies in the buckets, by what was applied.
    pub(crate) usages: Usages,
    pub(crate) tenants: tenants::Tenants,
    /// What people stated.
    pub(crate) desk: people::Desk,
    pub(crate) keys: KeyState,
    pub(crate) world: World,
    pub(crate) clock: ComplianceClock,
    /// Whether the wall clock has left the span in which it counts, as the log has it.
    wall_left: bool,
    drift: crate::policy::Drift,
    pub(crate) now: Now,
    pub(crate) new_bucket: crate::config::NewBucket,
    pub(crate) admission: Admission,
    pub(crate) pending: BTreeMap<RequestId, Box<Pending>>,
    pub(crate) parked: BTreeSet<RequestId>,
    /// Requests that hold their claim now and go on in the next round of [`Engine::pump`]: not at
    /// once, since a long queue for one name would then answer one inside the other.
    pub(crate) ready: std::collections::VecDeque<RequestId>,
    pub(crate) puts: BTreeMap<StreamId, Box<PutStream>>,
    pub(crate) refused: RefusedStreams,
    pub(crate) gets: BTreeMap<StreamId, GetStream>,
    pub(crate) reads: BTreeMap<u64, ReadTask>,
    pub(crate) spills: BTreeMap<RequestId, Spill>,
    pub(crate) jobs: BTreeMap<JobId, JobFor>,
    pub(crate) tickets: BTreeMap<crate::lane::Ticket, streams::TicketFor>,
    pub(crate) queries: BTreeMap<QueryId, QueryFor>,
    pub(crate) next_number: u64,
    pub(crate) read_only: Option<ReadOnlyReason>,
    /// Why the log may be longer than what the start could read of it.
    pub(crate) lacks_records: Option<ReadOnlyReason>,
    pub(crate) committing: bool,
    pub(crate) committed: bool,
    pub(crate) snapshot_rows: usize,
    /// Replay was long or the index is new: a snapshot soon makes the next start short.
    pub(crate) snapshot_wanted: bool,
    pub(crate) snapshot_segments: u64,
    /// The next segment when the last snapshot was taken or the engine began.
    pub(crate) snapshot_segment: SegmentId,
    pub(crate) stop: StopState,
    pub(crate) counters: Counters,
    pub(crate) alarms: crate::alarms::Alarms,
    pub(crate) index_usage: Option<crate::index::IndexUsage>,
    pub(crate) index_lost: bool,
    area_failures: crate::areas::AreaFailures,
    /// Tombstones are durable: only a start cuts keys.
    pub(crate) cut_wanted: bool,
    /// Keys are to be cut as soon as one of these disks takes part: it may have what the journal lacks.
    pub(crate) cut_with: Vec<DiskId>,
    /// Only a start can move the journal to the disks that are left.
    pub(crate) stranded: bool,
    pub(crate) healer: heal::Healer,
    pub(crate) fill: Option<membership::Fill>,
    pub(crate) drain: Option<drain::Drain>,
    pub(crate) reclaim: reclaim::Reclaim,
    pub(crate) receipts: crate::receipts::Receipts,
    attempts: attempts::Attempts,
}

/// How far a clean stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopState {
    Running,
    Draining,
    ClosingLane,
    ClosingJournal,
    Snapshot,
    Label,
    Stopped,
}

/// Plain counts for status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames acknowledged since start.
    pub frames: u64,
    /// Records acknowledged since start.
    pub records: u64,
    /// Reads answered from another copy because one did not verify.
    pub reads_repaired_from_other_copy: u64,
    /// Reads that asked a second disk because the first was slow.
    pub reads_hedged: u64,
    /// Reads no copy could answer.
    pub reads_refused: u64,
}

impl Engine {
    /// An engine over what opening found.
    pub(crate) fn new(mut parts: Parts) -> Self {
        parts.journal.keep_ahead(parts.ahead_bytes);
        for body in parts.waits.destroyed.drain(..) {
            let kind = body.record_type();
            parts
                .journal
                .push_own(crate::draft::Draft::of_engine(kind, body));
        }
        let idle = parts.waits.idle.take();
        for draft in idle.iter().flat_map(reclaim::give_up) {
            parts.journal.push_own(draft);
        }
        let mut engine = Self {
            snapshot_segment: parts.pool.next_segment,
            label_generation: parts.pool.generation,
            promised: parts.pool.generation,
            pool: parts.pool,
            io: Io::default(),
            journal: parts.journal,
            lane: parts.lane,
            flushes: Flushes::default(),
            labels: LabelUpdate::default(),
            label_again: false,
            promising: None,
            relabelling: false,
            cutoffs: parts.cutoffs,
            memtable: parts.memtable,
            buckets: parts.buckets,
            usages: parts.usages,
            tenants: tenants::Tenants::default(),
            desk: parts.desk,
            keys: parts.keys,
            world: parts.world,
            clock: ComplianceClock::new(parts.compliance, parts.now.monotonic_ms),
            wall_left: false,
            drift: crate::policy::Drift::default(),
            now: parts.now,
            new_bucket: parts.new_bucket,
            admission: Admission::default(),
            pending: BTreeMap::new(),
            parked: BTreeSet::new(),
            ready: std::collections::VecDeque::new(),
            puts: BTreeMap::new(),
            refused: RefusedStreams::default(),
            gets: BTreeMap::new(),
            reads: BTreeMap::new(),
            spills: BTreeMap::new(),
            jobs: BTreeMap::new(),
            tickets: BTreeMap::new(),
            queries: BTreeMap::new(),
            next_number: 0,
            lacks_records: parts.read_only.clone().filter(|_| parts.lacks_records),
            read_only: parts.read_only,
            committing: false,
            committed: false,
            snapshot_rows: parts.snapshot_rows,
            snapshot_segments: parts.snapshot_segments,
            snapshot_wanted: parts.snapshot_wanted,
            stop: StopState::Running,
            counters: Counters::default(),
            alarms: crate::alarms::Alarms::default(),
            index_usage: Some(parts.index_usage),
            index_lost: false,
            area_failures: parts.area_failures,
            cut_wanted: false,
            cut_with: parts.waits.cut_with.clone(),
            stranded: false,
            healer: heal::Healer::new(parts.heal_plan, parts.compliance),
            fill: None,
            drain: None,
            reclaim: reclaim::Reclaim::new(idle.is_some()),
            receipts: crate::receipts::Receipts::default(),
            attempts: attempts::Attempts::default(),
        };
        engine.resume_requests();
        engine.remember_flaws();
        engine.alarms.destruction_waits(&parts.waits);
        for member in &engine.pool.members {
            engine.alarms.disk_forgot(member, engine.clock.latest());
        }
        engine
    }

    /// Takes one event and goes on; appends what is to be done.
    pub fn step(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        self.receive(now, event);
        self.go_on(actions);
    }

    /// Takes one event. What comes of it is begun by [`Engine::go_on`]: a driver that hands over all
    /// events there are before it goes on has them in one frame.
    pub fn receive(&mut self, now: Now, event: Event) {
        self.now = now.told();
        self.clock.now(now.monotonic_ms);
        self.pool.now_ms = now.monotonic_ms;
        // The first event after a frame was submitted: its disks are at work, and the signature is ready
        // when they are.
        if let Some(log) = self.journal.flying() {
            self.receipts.sign_ahead(log);
        }
        // Before anything that a disk says is believed.
        self.expel_failed_areas();
        match event {
            Event::Request(request) => {
                self.healer.client_asked(now.monotonic_ms);
                self.request(request);
            }
            Event::Disk { slot, done } => self.disk(slot, done),
            Event::Job(done) => self.job_done(done),
            Event::Index(reply) => self.index_reply(reply),
            Event::Astray { slot, alone } => self.gone_astray(slot, alone),
            Event::Back { slot } => self.back_at_place(slot),
            Event::Tick => self.tick(),
            Event::Stop => self.begin_stop(),
        }
    }

    /// Lets everything go on that can; appends what is to be done.
    pub fn go_on(&mut self, actions: &mut Vec<Action>) {
        self.pump();
        self.io.drain(actions);
    }

    /// Signs checkpoints of the log from now on, one for each frame, and gives receipts. Of these keys, the first one of
    /// the log first, that one signs which the log names.
    pub fn sign_with(&mut self, known: Vec<Arc<LogSigner>>) {
        // What a vault that is only read has found may never come in force.
        let durable = self
            .read_only
            .is_none()
            .then(|| &self.journal.applied().log);
        let named = self.desk.log_keys.last().map(|one| one.key);
        let opening = self.desk.approvals.origin().opening();
        self.receipts.sign_with(known, opening, named, durable);
        self.resume_log_key();
    }

    /// Learns a key that people may give the log.
    pub fn learn_log_key(&mut self, signer: &LogSigner) {
        self.receipts.learn(signer);
        self.resume_log_key();
    }

    /// Whether a clean stop is complete.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop == StopState::Stopped
    }

    /// Whether the index can answer no more, or contradicts the journal. Only another start, which makes
    /// it anew, gives the vault back to its clients.
    #[must_use]
    pub fn is_index_lost(&self) -> bool {
        self.index_lost
    }

    /// Whether the engine has anything under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
            && self.io.is_idle()
            && self.journal.is_idle()
            && self.lane.is_idle()
            && self.jobs.is_empty()
            && self.queries.is_empty()
            && !self.committing
    }

    /// Whether an answer is on its way that takes no longer than to be woken does: a frame's flush on a fast disk,
    /// or the index. What else the engine waits for, as bulk writes and clients, takes long enough to sleep.
    #[must_use]
    pub fn expects_soon(&self) -> bool {
        self.journal.flying().is_some() || !self.queries.is_empty()
    }

    /// The secret of a client key.
    #[must_use]
    pub fn client_secret(&self, key_id: &str) -> zeroize::Zeroizing<String> {
        self.keys.client_secret(key_id, 1)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn disk(&mut self, slot: DiskSlot, done: Done) {
        let Some((_, purpose)) = self.io.finish(done.id) else {
            return;
        };
        let believed = self
            .pool
            .member_at(slot)
            .is_some_and(|member| member.state == crate::pool::MemberState::Active);
        match (purpose, done.result) {
            (Purpose::Read(read), result) => self.read_done(read, result.ok().flatten()),
            (Purpose::HealRead(token), result) => self.heal_read(token, result.ok().flatten()),
            (Purpose::Probe, _) => {}
            (Purpose::Heal(token), result) => self.heal_written(slot, token, result.err()),
            (Purpose::Fill, result) => self.key_copy_written(slot, result.err()),
            (Purpose::Wipe(number), result) => self.wiped(slot, number, result.err().as_ref()),
            (_, _) if !believed => {}
            (_, Err(error)) => self.expel(slot, &error),
            (Purpose::Frame(_) | Purpose::JournalSeal, Ok(_)) => self.journal.copies.finished(slot),
            (Purpose::Ahead(number), Ok(_)) => self.journal.ahead.finished(number),
            (Purpose::Lane(number), Ok(_)) => self.lane.written(slot, number),
            (Purpose::LaneFlush(number), Ok(_)) => self.lane_flushed(slot, number),
            (Purpose::Label, Ok(_)) => self.label_step(slot),
        }
    }

    fn lane_flushed(&mut self, slot: DiskSlot, number: u64) {
        self.flushes.finished(slot, number);
        self.with_lane(|lane, context| lane.flushed(slot, context));
    }

    /// Runs something on the lane and acts on what it says.
    pub(crate) fn with_lane(&mut self, run: impl FnOnce(&mut Lane, &mut LaneContext<'_>)) {
        let mut events = Vec::new();
        let mut context = LaneContext {
            pool: &mut self.pool,
            io: &mut self.io,
            flushes: &mut self.flushes,
            epoch: self.journal.epoch(),
            compliance: self.clock.latest(),
            events: &mut events,
        };
        run(&mut self.lane, &mut context);
        for event in events {
            self.lane_event(event);
        }
    }

    pub(crate) fn with_journal(&mut self, run: impl FnOnce(&mut Journal, &mut JournalContext<'_>)) {
        let mut context = JournalContext {
            pool: &mut self.pool,
            io: &mut self.io,
            keys: &self.keys,
            entropy: &mut *self.world.entropy,
            aead: &*self.world.aead,
            compliance: self.clock.latest(),
            wall: self.now.wall,
        };
        run(&mut self.journal, &mut context);
    }

    fn lane_event(&mut self, event: LaneEvent) {
        use stele_format::record::RecordType;
        match event {
            LaneEvent::Allocate {
                segment,
                places,
                units,
            } => {
                let body = crate::fact::alloc_body(segment, crate::lane::DATA_LANE, units, &places);
                let draft = crate::draft::Draft::of_engine(RecordType::Alloc, body);
                self.journal.push_own(draft);
            }
            LaneEvent::Durable {
                ticket,
                digest,
                row,
            } => {
                let segment = row.segment;
                let fact = crate::index::Fact::ChunkPlaced { digest, row };
                self.apply_own(&fact);
                self.chunk_durable(ticket, segment);
            }
            LaneEvent::Sealed { segment, sealed } => {
                let body = crate::fact::seal_body(segment, crate::lane::DATA_LANE, &sealed, None);
                let draft = crate::draft::Draft::of_engine(RecordType::Seal, body);
                self.journal.push_own(draft);
            }
            LaneEvent::Full => self.lane_full(),
        }
    }

    /// Lets everything that can go on go on.
    ///
    /// A round is followed by another only if it made a frame true or let requests go on. Both end: a
    /// frame submitted here is flushed by a later event, and no request is taken in.
    fn pump(&mut self) {
        // Before anything is acknowledged.
        self.expel_failed_areas();
        loop {
            while let Some(id) = self.ready.pop_front() {
                self.advance(id);
            }
            self.write_attempts();
            self.with_lane(|lane, context| lane.pump(context));
            self.with_journal(|journal, context| journal.pump(context));
            let mut progress = false;
            if self.read_only.is_none() {
                progress = self.acknowledge();
                self.refuse_for_space();
            }
            self.maybe_snapshot();
            if !progress && self.ready.is_empty() {
                break;
            }
        }
        if self.journal.take_switched() {
            self.start_label_update();
        }
        self.pump_healing();
        self.pump_rows_check();
        self.pump_fill();
        self.pump_drain();
        self.pump_reclaim();
        self.continue_stop();
    }

    /// Hands durable records on, frame by frame; says whether there were any.
    fn acknowledge(&mut self) -> bool {
        // A vault of which a forced opening left one disk still writes its segment there when others have joined.
        let quorum = self.pool.needed().min(self.journal.quorum());
        let before = self.counters.frames;
        while !self.relabelling
            && let Some((before, records)) = self.journal.acknowledge(quorum, self.now.monotonic_ms)
        {
            let log = &self.journal.applied().log;
            self.receipts.durable(before, log, &records);
            self.counters.frames += 1;
            self.counters.records += records.len() as u64;
            for record in records {
                self.applied(record);
            }
            self.with_journal(|journal, context| journal.pump(context));
        }
        self.counters.frames > before
    }

    /// Requests whose records no segment can take are refused.
    fn refuse_for_space(&mut self) {
        for draft in self.journal.refused_for_space() {
            if let crate::draft::Origin::Request { id, .. } = draft.origin {
                self.finish(id, Err(Refusal::Full));
            }
        }
    }

    fn tick(&mut self) {
        self.watch_clocks();
        self.journal.tick(self.now.monotonic_ms, &mut self.pool);
        self.watch_for_hung_disks();
        self.hedge_reads();
        self.leave_slow_disks();
        self.watch_slow_disks();
        self.expire_streams();
        self.tell_of_losses();
    }
}
