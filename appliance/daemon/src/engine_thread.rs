//! The thread that owns the engine and the disks: events in, actions out, one sleep.
//!
//! Invariants:
//! - only this thread touches engine and disks; everybody else leaves something in a queue and
//!   rings the bell;
//! - it never waits for anybody, except asleep on the bell with nothing left to do;
//! - every question gets one answer, or its asker sees the end of the thread;
//! - all actions of a round are carried out after all its events: what arrived together shares
//!   frames and flushes.

mod closing;
mod rebuild;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use stele_device::area::Area;
use stele_device::clock::Clock;
use stele_device::disk::{Disk, DiskError, Done, OpId};
use stele_device::linger::linger;
use stele_device::linux::clock::SystemClock;
use stele_format::geometry::DiskGeometry;
use stele_format::units::{DiskId, LogIndex, UnixMillis};
use stele_store::engine::{
    Action, Attachment, DiskRefusal, DiskSlot, DrainRefusal, Engine, Event, LabelAge, Now, Offer,
};
use stele_store::job::{Job, JobDone};
use stele_store::policy::wiping::{FoundDisk, NotWiped};
use stele_store::policy::{self, Rights};
use stele_store::receipts::LogSigner;
use stele_store::request::{Answer, Command, Refusal, Request, RequestId};
use stele_store::status::{StartedFor, Status};
use stele_store::wipe::{Found, WipeDone, WipeOrder};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use self::closing::Closing;
use self::rebuild::Rebuilt;
use crate::bell::Bell;
use crate::clients::Clients;
use crate::gateway::{Question, ReplyTo};
use crate::limits::{
    CLOSE_MS_MAX, MOVE_PAUSE_MS, QUESTION_BATCH_COUNT_MAX, SETTLE_LOOK_COUNT_MAX, TICK_BUSY_MS,
    TICK_IDLE_MS,
};
use crate::opener::Opener;
use crate::watch::Watch;
use crate::workers::{Crew, IndexCrew};

/// What the process itself asks of the engine thread.
pub enum Local {
    /// A question to the engine, with no special right.
    Ask {
        /// The question.
        command: Command,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Answer, Refusal>>,
    },
    /// How things are.
    Status {
        /// Where the answer goes.
        reply: oneshot::Sender<Status>,
    },
    /// The secret of an access key.
    Secret {
        /// The access key id.
        key_id: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Zeroizing<String>>,
    },
    /// Who may do what from now on.
    Clients {
        /// All of them.
        clients: Box<Clients>,
        /// Told once it is so.
        known: oneshot::Sender<()>,
    },
    /// Sign checkpoints from now on.
    Sign {
        /// With one of these.
        signers: Vec<Arc<LogSigner>>,
        /// Told once it is so.
        known: oneshot::Sender<()>,
    },
    /// A key that people may give the log.
    Learn {
        /// The key.
        signer: Arc<LogSigner>,
        /// Told once it is known.
        known: oneshot::Sender<()>,
    },
    /// What a disk must be to join.
    Offer {
        /// In the place of which disk, from 1; none for a further one.
        number: Option<u16>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Offer, DiskRefusal>>,
    },
    /// A disk that joins.
    Attach {
        /// The disk.
        arrival: Box<Arrival>,
        /// Where the answer goes; a disk that is refused comes back.
        reply: oneshot::Sender<Result<DiskSlot, Refused>>,
    },
    /// Everything is to be moved off a disk.
    Drain {
        /// Its number, from 1.
        number: u16,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), DrainRefusal>>,
    },
    /// Whether a disk may be wiped, if two people sign for it.
    MayWipe {
        /// The disk.
        disk: FoundDisk,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), NotWiped>>,
    },
    /// Leave to wipe a disk.
    WipeOrder {
        /// The request that gives it.
        request: LogIndex,
        /// What is on the disk.
        found: Box<Found>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<WipeOrder, NotWiped>>,
    },
    /// A disk is wiped, and the log is to say so.
    NoteWiped {
        /// Which.
        done: WipeDone,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), NotWiped>>,
    },
    /// Give up the disk at this slot as soon as nothing is under way on it.
    Release {
        /// The slot.
        slot: DiskSlot,
        /// Where the disk goes.
        reply: SyncSender<LetGo>,
    },
    /// A disk is not where it was opened.
    Astray {
        /// Its slot.
        slot: DiskSlot,
        /// Whether all others are.
        alone: bool,
        /// Told once it is known.
        known: oneshot::Sender<()>,
    },
    /// It is there again.
    Back {
        /// Its slot.
        slot: DiskSlot,
    },
    /// A further mirror for the index.
    Mirror {
        /// The number of its disk, from 1.
        number: u16,
        /// The area.
        area: Box<dyn Area>,
    },
    /// Finish what is open and end.
    Stop,
}

/// A disk that joins: open, and with its static label.
pub struct Arrival {
    /// What operators call it.
    pub name: String,
    /// Its identity as its label states it.
    pub identity: DiskId,
    /// Its layout.
    pub geometry: DiskGeometry,
    /// How old its label is.
    pub age: LabelAge,
    /// The disk.
    pub disk: Box<dyn Disk>,
}

/// A disk that was refused, to be closed by whoever brought it.
pub type Refused = (DiskRefusal, Box<dyn Disk>);

/// A disk that is given up, to be closed by whoever asked for it; none where nothing is open.
pub type LetGo = Result<Option<Box<dyn Disk>>, DiskRefusal>;

/// The queues the thread is fed from.
pub struct Inbox {
    /// From the gateway.
    pub questions: mpsc::Receiver<Question>,
    /// From the process itself.
    pub local: mpsc::Receiver<Local>,
}

/// Who waits for an answer.
enum Asker {
    Gateway(ReplyTo),
    Local(oneshot::Sender<Result<Answer, Refusal>>),
    /// Nobody: the thread cleans up after an asker that went away.
    Nobody,
}

/// The engine and everything it acts on.
pub struct EngineThread {
    engine: Engine,
    /// By slot. A disk that joins gets a new one: what is late for an old slot must not reach it.
    disks: Vec<Option<Box<dyn Disk>>>,
    /// Slots whose disk takes nothing more and goes to whoever waits for it.
    leaving: BTreeMap<u16, SyncSender<LetGo>>,
    /// By slot: disks the engine was started again without, as something was under way on them. Each is open, and
    /// locked, until that has ended.
    hung: BTreeMap<u16, Box<dyn Disk>>,
    workers: Crew<Job, JobDone>,
    index: IndexCrew,
    inbox: Inbox,
    bell: Bell,
    clock: SystemClock,
    clients: Clients,
    askers: HashMap<u64, Asker>,
    next_request: u64,
    actions: Vec<Action>,
    /// Questions for the next round, from askers that went away.
    orphans: VecDeque<Command>,
    /// Operations for disks that are not there.
    refused: VecDeque<(DiskSlot, OpId)>,
    last_tick_ms: u64,
    /// Events came in since the engine last went on.
    received: bool,
    stopping: bool,
    opener: Opener,
    watch: Watch,
    /// How often the index was made anew.
    rebuilds: u32,
    /// Why the engine was last started again.
    started_for: StartedFor,
    /// When the engine was last started again to move the journal.
    moved: Option<Instant>,
}

impl EngineThread {
    /// Puts the parts together; nothing runs yet.
    pub fn new(
        engine: Engine,
        disks: Vec<Option<Box<dyn Disk>>>,
        workers: Crew<Job, JobDone>,
        index: IndexCrew,
        inbox: Inbox,
        (bell, opener, watch): (Bell, Opener, Watch),
    ) -> EngineThread {
        EngineThread {
            engine,
            disks,
            leaving: BTreeMap::new(),
            hung: BTreeMap::new(),
            workers,
            index,
            inbox,
            bell,
            clock: SystemClock,
            clients: Clients::default(),
            askers: HashMap::new(),
            next_request: 0,
            actions: Vec::new(),
            orphans: VecDeque::new(),
            refused: VecDeque::new(),
            last_tick_ms: 0,
            received: false,
            stopping: false,
            opener,
            watch,
            rebuilds: 0,
            started_for: StartedFor::default(),
            moved: None,
        }
    }

    /// Works until the engine has stopped after `Local::Stop`, then ends its helpers.
    pub fn run(mut self) {
        self.bell.listen();
        let waker = self.bell.task_waker();
        loop {
            self.serve(&waker);
            let why = self.again();
            if self.engine.is_stopped() || self.start_again(why, &waker) == Rebuilt::Ending {
                break;
            }
        }
        self.settle();
        self.workers.stop();
        // It writes to areas of disks that are locked only while they are open.
        self.index.stop();
        let closing = Closing::begin(self.engine, self.disks, &self.watch);
        for hung in self.hung.into_values() {
            // Closing it may take as long as it hangs.
            std::thread::spawn(move || drop(hung));
        }
        closing.end(Duration::from_millis(CLOSE_MS_MAX));
    }

    /// Works until the engine has stopped, or must be started again.
    fn serve(&mut self, waker: &Waker) {
        while !self.engine.is_stopped() && (self.stopping || !self.must_start_again()) {
            let worked = self.round(waker) || self.engine.expects_soon() && self.lingered(waker);
            if !worked && !self.engine.is_stopped() {
                std::thread::park_timeout(self.sleep());
            }
        }
    }

    /// Looks for work a little longer; whether there was some.
    fn lingered(&mut self, waker: &Waker) -> bool {
        linger(|| self.round(waker).then_some(())).is_some()
    }

    /// Waits a moment for what disks still read for nobody.
    fn settle(&mut self) {
        for _ in 0..SETTLE_LOOK_COUNT_MAX {
            let disks = self.disks.iter_mut().flatten();
            let busy = disks
                .map(|disk| {
                    disk.poll(&mut Vec::new());
                    disk.in_flight()
                })
                .sum::<usize>();
            if busy == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(TICK_BUSY_MS));
        }
    }

    fn must_start_again(&self) -> bool {
        // Whoever asked for the last tombstone hears of it before the engine goes.
        let keys_cut = self.engine.is_cut_wanted() && !self.locals_wait();
        self.engine.is_index_lost() || keys_cut || self.is_move_due() || self.is_reading_due()
    }

    /// A start moves the journal, which is worth trying now and then: disks that fail again and again end each.
    fn is_move_due(&self) -> bool {
        let rested = |at: Instant| at.elapsed() >= Duration::from_millis(MOVE_PAUSE_MS);
        self.engine.is_move_wanted() && self.index.is_idle() && self.moved.is_none_or(rested)
    }

    /// A start reads what came back, once no local question waits for its answer.
    fn is_reading_due(&self) -> bool {
        self.engine.is_reading_wanted() && self.index.is_idle() && !self.locals_wait()
    }

    fn locals_wait(&self) -> bool {
        let local = |asker: &Asker| matches!(asker, Asker::Local(_));
        self.askers.values().any(local)
    }

    fn again(&self) -> StartedFor {
        if self.engine.is_index_lost() {
            StartedFor::IndexLost
        } else if self.engine.is_cut_wanted() {
            StartedFor::KeysCut
        } else if self.is_reading_due() {
            StartedFor::DisksCameBack
        } else {
            StartedFor::JournalStranded
        }
    }

    /// Takes one helping from every queue, then acts. False when there was nothing at all.
    fn round(&mut self, waker: &Waker) -> bool {
        let mut events = 0_usize;
        events += self.take_disks();
        while let Some(done) = self.workers.reply() {
            self.receive(Event::Job(done));
            events += 1;
        }
        while let Some(reply) = self.index.reply() {
            self.receive(Event::Index(reply));
            events += 1;
        }
        while let Some(command) = self.orphans.pop_front() {
            self.ask(command, vault(), Asker::Nobody);
            events += 1;
        }
        events += self.take_local(waker);
        events += self.take_questions(waker);
        self.tick_if_due();
        if std::mem::take(&mut self.received) {
            self.engine.go_on(&mut self.actions);
        }
        self.act();
        events > 0 || !self.refused.is_empty() || !self.orphans.is_empty()
    }

    fn take_disks(&mut self) -> usize {
        let mut events = 0;
        let mut done = Vec::new();
        for slot in 0..self.disks.len() {
            let Some(Some(disk)) = self.disks.get_mut(slot) else {
                continue;
            };
            disk.poll(&mut done);
            events += done.len();
            let Ok(slot) = u16::try_from(slot) else {
                continue;
            };
            for done in done.drain(..) {
                self.receive(Event::Disk {
                    slot: DiskSlot(slot),
                    done,
                });
            }
        }
        self.let_leave();
        while let Some((slot, id)) = self.refused.pop_front() {
            self.receive(Event::Disk {
                slot,
                done: Done {
                    id,
                    result: Err(DiskError::Gone),
                },
            });
            events += 1;
        }
        events
    }

    /// Hands over disks that are given up and have answered everything.
    fn let_leave(&mut self) {
        self.close_hung();
        let (disks, hung) = (&mut self.disks, &self.hung);
        self.leaving.retain(|slot, reply| {
            let disk = disks.get_mut(usize::from(*slot));
            let busy = matches!(&disk, Some(Some(disk)) if disk.in_flight() > 0);
            if busy || hung.contains_key(slot) {
                return true;
            }
            // Where nobody waits any more it is closed here, with nothing left to wait for.
            drop(reply.try_send(Ok(disk.and_then(Option::take))));
            false
        });
    }

    /// Closes what hung when the engine was started again, and has ended.
    fn close_hung(&mut self) {
        let mut done = Vec::new();
        self.hung.retain(|_, disk| {
            disk.poll(&mut done);
            disk.in_flight() > 0
        });
    }

    fn take_local(&mut self, waker: &Waker) -> usize {
        let mut events = 0;
        while let Poll::Ready(message) = self.inbox.local.poll_recv(&mut Context::from_waker(waker))
        {
            let Some(message) = message else {
                // The supervisor is gone: nobody could ask for the stop any more.
                self.stop();
                break;
            };
            self.local(message);
            events += 1;
        }
        events
    }

    /// Does what the process asks. Whoever asked and left does not miss the answer.
    fn local(&mut self, message: Local) {
        match message {
            Local::Ask { command, reply } => {
                self.ask(command, vault(), Asker::Local(reply));
            }
            Local::Status { reply } => drop(reply.send(self.engine.status())),
            Local::Secret { key_id, reply } => {
                drop(reply.send(self.engine.client_secret(&key_id)));
            }
            Local::Clients { clients, known } => {
                self.clients = *clients;
                known.send(()).ok();
            }
            Local::Sign { signers, known } => {
                self.received = true;
                self.engine.sign_with(signers);
                known.send(()).ok();
            }
            Local::Learn { signer, known } => {
                self.received = true;
                self.engine.learn_log_key(&signer);
                known.send(()).ok();
            }
            Local::Offer { number, reply } => drop(reply.send(self.engine.offer(number))),
            Local::Attach { arrival, reply } => drop(reply.send(self.attach(*arrival))),
            Local::Drain { number, reply } => {
                let now = self.now();
                let begun = self.engine.drain(now, number, &mut self.actions);
                // Whoever asked and left sees it in the status.
                reply.send(begun).ok();
            }
            Local::MayWipe { disk, reply } => drop(reply.send(self.engine.may_wipe(&disk))),
            Local::WipeOrder {
                request,
                found,
                reply,
            } => drop(reply.send(self.engine.wipe_order(request, &found))),
            Local::NoteWiped { done, reply } => {
                let now = self.now();
                let noted = self.engine.note_wiped(now, done, &mut self.actions);
                reply.send(noted).ok();
            }
            Local::Release { slot, reply } => {
                self.leaving.insert(slot.0, reply);
            }
            Local::Astray { slot, alone, known } => {
                self.receive(Event::Astray { slot, alone });
                known.send(()).ok();
            }
            Local::Back { slot } => self.receive(Event::Back { slot }),
            Local::Mirror { number, area } => {
                if let Some(request) = self.engine.mirror_on(number, area) {
                    self.index.ask(request);
                }
            }
            Local::Stop => self.stop(),
        }
    }

    fn attach(&mut self, arrival: Arrival) -> Result<DiskSlot, Refused> {
        let Ok(number) = u16::try_from(self.disks.len()) else {
            return Err((DiskRefusal::CountFixed, arrival.disk));
        };
        let slot = DiskSlot(number);
        let attachment = Attachment {
            slot,
            name: arrival.name,
            serial: arrival.disk.identity().serial.clone(),
            disk: arrival.identity,
            geometry: arrival.geometry,
            age: arrival.age,
        };
        let now = self.now();
        match self.engine.attach(now, attachment, &mut self.actions) {
            Ok(()) => {
                self.disks.push(Some(arrival.disk));
                Ok(slot)
            }
            Err(refusal) => Err((refusal, arrival.disk)),
        }
    }

    fn take_questions(&mut self, waker: &Waker) -> usize {
        for taken in 0..QUESTION_BATCH_COUNT_MAX {
            let mut context = Context::from_waker(waker);
            match self.inbox.questions.poll_recv(&mut context) {
                Poll::Ready(Some(Question {
                    client,
                    command,
                    reply,
                })) => {
                    // A key is no longer good as soon as either clock says so.
                    let now = self.now().wall.max(self.engine.compliance());
                    let who = self.clients.asker(&client, now);
                    self.ask(command, who, Asker::Gateway(reply));
                }
                Poll::Ready(None) | Poll::Pending => return taken,
            }
        }
        QUESTION_BATCH_COUNT_MAX
    }

    fn ask(&mut self, command: Command, who: policy::Asker, asker: Asker) {
        self.next_request += 1;
        self.askers.insert(self.next_request, asker);
        let id = RequestId(self.next_request);
        self.receive(Event::Request(Request {
            id,
            asker: who,
            command,
        }));
    }

    fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.receive(Event::Stop);
        }
    }

    /// Takes an event in; the round goes on once all are.
    fn receive(&mut self, event: Event) {
        let now = self.now();
        self.engine.receive(now, event);
        self.received = true;
    }

    fn now(&self) -> Now {
        now(&self.clock)
    }

    fn tick_if_due(&mut self) {
        let monotonic_ms = self.clock.monotonic_ms();
        if monotonic_ms.saturating_sub(self.last_tick_ms) >= self.tick_ms() {
            self.last_tick_ms = monotonic_ms;
            self.receive(Event::Tick);
            for alarm in self.engine.take_new_alarms() {
                let said = crate::alarms::alarm(&alarm);
                match alarm.is_good_news() {
                    true => tracing::info!("{said}"),
                    false => tracing::warn!("{said}"),
                }
            }
        }
    }

    fn tick_ms(&self) -> u64 {
        let busy = self.stopping
            || !self.askers.is_empty()
            || !self.workers.is_idle()
            || !self.index.is_idle()
            || self.disks.iter().flatten().any(|disk| disk.in_flight() > 0);
        if busy { TICK_BUSY_MS } else { TICK_IDLE_MS }
    }

    fn sleep(&self) -> Duration {
        let since = self.clock.monotonic_ms().saturating_sub(self.last_tick_ms);
        Duration::from_millis(self.tick_ms().saturating_sub(since).max(1))
    }

    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Disk { slot, id, op } => match self.disks.get_mut(usize::from(slot.0)) {
                    Some(Some(disk)) if !self.leaving.contains_key(&slot.0) => disk.submit(id, op),
                    _ => self.refused.push_back((slot, id)),
                },
                Action::Job(job) => self.workers.ask(job),
                Action::Index(request) => self.index.ask(request),
                Action::Reply { id, result } => self.reply(id, result),
            }
        }
        // The memory is kept for the next round.
        self.actions = actions;
    }

    fn reply(&mut self, id: RequestId, result: Result<Answer, Refusal>) {
        match self.askers.remove(&id.0) {
            Some(Asker::Gateway(reply)) => {
                if let Err(unsent) = reply.send(result) {
                    // The gateway went away before its stream was open; close it for it.
                    self.orphans.extend(unsent.as_ref().ok().and_then(close));
                }
            }
            // The process asks for nothing it would have to close.
            Some(Asker::Local(sender)) => drop(sender.send(result)),
            Some(Asker::Nobody) | None => {}
        }
    }
}

/// The vault itself, with no special right.
fn vault() -> policy::Asker {
    policy::Asker::Vault(Rights::default())
}

/// What undoes an answer that opened something.
fn close(answer: &Answer) -> Option<Command> {
    match answer {
        Answer::Stream(stream) => Some(Command::AbortPut { stream: *stream }),
        Answer::Opened { stream, .. } => Some(Command::CloseGet { stream: *stream }),
        _ => None,
    }
}

/// The time as the engine receives it.
pub fn now(clock: &dyn Clock) -> Now {
    Now {
        wall: UnixMillis::new(clock.wall_ms()),
        monotonic_ms: clock.monotonic_ms(),
    }
}
