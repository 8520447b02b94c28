//! A vault on disk files, and its engine driven as the daemon drives it.
//!
//! The same parts do the work: disks with rings and threads of their own, one thread for the index,
//! as many workers as there are cores. What asks is not a socket but the benchmark itself, between
//! two rounds of the loop, so that a figure is the engine's alone.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use stele_device::area::Area;
use stele_device::buffer::Pool;
use stele_device::clock::Clock;
use stele_device::disk::{Disk, DiskError, Waker};
use stele_device::linger::{is_long, linger};
use stele_device::linux::area::FileArea;
use stele_device::linux::clock::SystemClock;
use stele_device::linux::disk::{FileDisk, OpenMode, Wishes};
use stele_device::linux::entropy::OsEntropy;
use stele_device::linux::keyfile::KeyFile;

use stele_format::geometry::DiskGeometry;
use stele_format::units::{ByteCount, UnitCount, UnixMillis};
use stele_store::engine::{Action, Attachment, DiskSlot, Engine, Event, LabelAge, Now, World};
use stele_store::index::{IndexReply, IndexRequest, Query};
use stele_store::job::{Job, JobDone};
use stele_store::keys::chunk::AwsLc;
use stele_store::policy::{Asker, Rights};
use stele_store::receipts::LogSigner;
use stele_store::recovery::{
    CreateParams, OpenOptions, OpenReport, Opened, create, open, write_static_label,
};
use stele_store::request::{Answer, Command, Refusal, Request, RequestId};

use crate::Outcome;
use crate::slow::SlowFlush;

/// Time between two ticks while something is under way, as in the daemon.
const TICK_MS: u64 = 10;
/// Bytes of a buffer for uploads.
pub const SLAB_BYTES: usize = 1 << 20;
/// The daemon's buffers for uploads and for reads.
const SLABS: usize = 64;
const READ_SLABS: usize = 32;
const KEYSTATE_BYTES: u32 = 16 << 20;

/// Where a vault is and how it is laid out.
pub struct Plan {
    pub directory: PathBuf,
    pub disks: usize,
    pub disk_bytes: u64,
    pub unit_bytes: u32,
    pub segment_units: u32,
    pub index_bytes: u64,
    /// What is added to each flush of a disk.
    pub flush_added: Duration,
}

impl Plan {
    /// As `stele create` makes it: three sparse files, 4 MiB units, 64 MiB segments.
    pub fn usual(directory: &Path) -> Plan {
        Plan {
            directory: directory.to_owned(),
            disks: 3,
            disk_bytes: 16 << 30,
            unit_bytes: 4 << 20,
            segment_units: 16,
            index_bytes: 1 << 30,
            flush_added: Duration::ZERO,
        }
    }

    /// With larger disks, of which the index gets its usual share.
    pub fn with_disks_of(self, disk_bytes: u64) -> Plan {
        Plan {
            disk_bytes,
            index_bytes: disk_bytes / 16,
            ..self
        }
    }

    pub fn disk_path(&self, number: usize) -> PathBuf {
        self.directory.join(format!("disk{}.disk", number + 1))
    }

    /// The layout of a disk.
    pub fn geometry(&self, number: usize) -> DiskGeometry {
        DiskGeometry {
            disk_bytes: ByteCount::new(self.disk_bytes),
            index_bytes: ByteCount::new(if number < 2 { self.index_bytes } else { 0 }),
            keystate_bytes: KEYSTATE_BYTES,
            unit_bytes: self.unit_bytes,
            segment_units: UnitCount::new(self.segment_units),
        }
    }

    fn key_path(&self) -> PathBuf {
        self.directory.join("vault.key")
    }

    /// Makes the vault on new files.
    pub fn create(&self) -> Outcome<()> {
        std::fs::create_dir_all(&self.directory)?;
        let mut world = world(KeyFile::create(&self.key_path())?)?;
        let mode = OpenMode::Create {
            bytes: self.disk_bytes,
        };
        let disks = (0..self.disks)
            .map(|number| {
                let disk = FileDisk::open(&self.disk_path(number), mode, no_waker())?;
                Ok(Box::new(disk) as Box<dyn Disk>)
            })
            .collect::<Outcome<Vec<_>>>()?;
        let params = CreateParams {
            unit_bytes: self.unit_bytes,
            segment_units: self.segment_units,
            keystate_bytes: KEYSTATE_BYTES,
            index_bytes: self.index_bytes,
            simulated_clock: false,
        };
        create(disks, &params, &mut world, now())?;
        Ok(())
    }

    /// Starts the engine on the disks there are.
    pub fn start(&self, options: &OpenOptions) -> Outcome<Vault> {
        let slabs = Pool::new(SLAB_BYTES, SLABS);
        let wishes = Wishes {
            write_pools: vec![slabs.clone()],
            read_pool: Some(Pool::new(SLAB_BYTES, READ_SLABS)),
            ..Wishes::default()
        };
        let disks = (0..self.disks)
            .map(|number| {
                let path = self.disk_path(number);
                if !path.exists() {
                    return Ok(None);
                }
                let disk = FileDisk::open_as(&path, OpenMode::Write, &wishes, waker())?;
                if self.flush_added.is_zero() {
                    return Ok(Some(Box::new(disk) as Box<dyn Disk>));
                }
                let slow = SlowFlush::new(disk, self.flush_added, waker());
                Ok(Some(Box::new(slow) as Box<dyn Disk>))
            })
            .collect::<Outcome<Vec<_>>>()?;
        let mut areas = |slot: DiskSlot, offset: u64, bytes: u64| {
            let path = self.disk_path(usize::from(slot.0));
            let area = FileArea::open(&path, offset, bytes, true).map_err(|_| DiskError::Gone)?;
            Ok(Box::new(area) as Box<dyn Area>)
        };
        let world = world(KeyFile::open(&self.key_path())?)?;
        let opened = open(disks, &mut areas, world, options, now())?;
        Ok(Vault::run(opened, slabs))
    }
}

fn world(keys: KeyFile) -> Outcome<World> {
    Ok(World {
        entropy: Box::new(OsEntropy::open()?),
        keys: Box::new(keys),
        aead: Arc::new(AwsLc),
    })
}

fn no_waker() -> Waker {
    stele_device::disk::no_waker()
}

/// Wakes the thread that is current now.
fn waker() -> Waker {
    let thread = std::thread::current();
    Arc::new(move || thread.unpark())
}

/// How far both clocks of this process stand ahead.
static AHEAD_MS: AtomicU64 = AtomicU64::new(0);

/// Time that nobody waits for. Nothing may be under way.
pub fn skip(ms: u64) {
    AHEAD_MS.fetch_add(ms, Ordering::Relaxed);
}

/// The time as the engine receives it.
pub fn now() -> Now {
    let ahead = AHEAD_MS.load(Ordering::Relaxed);
    Now {
        wall: UnixMillis::new(SystemClock.wall_ms() + ahead),
        monotonic_ms: SystemClock.monotonic_ms() + ahead,
    }
}

/// Threads that answer questions and wake the asker.
struct Crew<Question, Reply> {
    questions: Option<Sender<Question>>,
    replies: Receiver<Reply>,
    threads: Vec<JoinHandle<()>>,
}

impl<Question: Send + 'static, Reply: Send + 'static> Crew<Question, Reply> {
    fn start<Work>(works: Vec<Work>) -> Self
    where
        Work: FnMut(Question) -> Reply + Send + 'static,
    {
        let (questions, take) = channel();
        let (give, replies) = channel();
        let take = Arc::new(Mutex::new(take));
        let asker: Thread = std::thread::current();
        let threads = works.into_iter().map(|mut work| {
            let (take, give, asker) = (Arc::clone(&take), give.clone(), asker.clone());
            std::thread::spawn(move || {
                let mut lingers = true;
                loop {
                    let take = take.lock().unwrap_or_else(PoisonError::into_inner);
                    let look = || take.try_recv().ok();
                    let soon = if lingers { linger(look) } else { None };
                    let Some(question) = soon.or_else(|| take.recv().ok()) else {
                        return;
                    };
                    drop(take);
                    let begun = Instant::now();
                    let answered = work(question);
                    lingers = !is_long(begun.elapsed());
                    if give.send(answered).is_err() {
                        return;
                    }
                    asker.unpark();
                }
            })
        });
        let threads = threads.collect();
        Crew {
            questions: Some(questions),
            replies,
            threads,
        }
    }

    fn ask(&self, question: Question) {
        if let Some(questions) = &self.questions {
            // A thread that died leaves its question unanswered, which the benchmark notices.
            drop(questions.send(question));
        }
    }
}

impl<Question, Reply> Drop for Crew<Question, Reply> {
    fn drop(&mut self) {
        drop(self.questions.take());
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// A running engine and everything it acts on.
pub struct Vault {
    pub engine: Engine,
    pub slabs: Pool,
    /// What recovery found.
    pub report: OpenReport,
    disks: Vec<Option<Box<dyn Disk>>>,
    workers: Crew<Job, JobDone>,
    /// Reads rows.
    reader: Crew<Query, Result<IndexReply, Query>>,
    /// Everything else of the index.
    index: Crew<IndexRequest, IndexReply>,
    actions: Vec<Action>,
    replies: VecDeque<(RequestId, Result<Answer, Refusal>)>,
    next_request: u64,
    last_tick_ms: u64,
    received: bool,
}

impl Vault {
    fn run(mut opened: Opened, slabs: Pool) -> Vault {
        // As it is served: each frame is signed.
        let pool = opened.engine.status().pool;
        if let Ok(signer) = LogSigner::new(pool, &[1; 32]) {
            opened.engine.sign_with(vec![Arc::new(signer)]);
        }
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let work = |_| |job: Job| job.run(&AwsLc);
        let mut index = opened.index;
        let reader = index.reader();
        Vault {
            engine: opened.engine,
            slabs,
            report: opened.report,
            disks: opened.disks,
            workers: Crew::start((0..cores.max(2)).map(work).collect()),
            reader: Crew::start(vec![move |query| reader.answer(query)]),
            index: Crew::start(vec![move |request| index.execute(request)]),
            actions: Vec::new(),
            replies: VecDeque::new(),
            next_request: 0,
            last_tick_ms: 0,
            received: false,
        }
    }

    /// Asks; the answer comes out of [`Vault::reply`].
    pub fn send(&mut self, command: Command) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.receive(Event::Request(Request {
            id,
            asker: Asker::Vault(Rights::default()),
            command,
        }));
        id
    }

    /// Waits for the next answer.
    pub fn reply(&mut self) -> (RequestId, Result<Answer, Refusal>) {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return reply;
            }
            self.turn();
        }
    }

    /// Asks and waits; nothing else may be unanswered.
    pub fn ask(&mut self, command: Command) -> Outcome<Answer> {
        let id = self.send(command);
        let (answered, result) = self.reply();
        if answered != id {
            return Err("another answer was waited for".into());
        }
        Ok(result?)
    }

    /// Runs until this holds.
    pub fn until(&mut self, holds: impl Fn(&Engine) -> bool) {
        while !holds(&self.engine) {
            self.turn();
        }
    }

    /// One round: everything that has ended, then everything that is to be done. Sleeps when there
    /// was neither.
    pub fn turn(&mut self) {
        let lingers = self.engine.expects_soon();
        let worked = self.round() || lingers && linger(|| self.round().then_some(())).is_some();
        if !worked && self.replies.is_empty() {
            std::thread::park_timeout(Duration::from_millis(TICK_MS));
        }
    }

    /// Whether there was anything.
    fn round(&mut self) -> bool {
        let mut worked = self.take_disks();
        while let Ok(done) = self.workers.replies.try_recv() {
            worked = true;
            self.receive(Event::Job(done));
        }
        while let Ok(read) = self.reader.replies.try_recv() {
            worked = true;
            match read {
                Ok(reply) => self.receive(Event::Index(reply)),
                Err(query) => self.index.ask(IndexRequest::Query(query)),
            }
        }
        while let Ok(reply) = self.index.replies.try_recv() {
            worked = true;
            self.receive(Event::Index(reply));
        }
        let now_ms = SystemClock.monotonic_ms();
        if now_ms.saturating_sub(self.last_tick_ms) >= TICK_MS {
            self.last_tick_ms = now_ms;
            self.receive(Event::Tick);
        }
        if std::mem::take(&mut self.received) {
            self.engine.go_on(&mut self.actions);
        }
        worked |= !self.actions.is_empty();
        self.act();
        worked || !self.replies.is_empty()
    }

    fn take_disks(&mut self) -> bool {
        let mut worked = false;
        let mut done = Vec::new();
        for slot in 0..self.disks.len() {
            if let Some(disk) = &mut self.disks[slot] {
                disk.poll(&mut done);
            }
            let slot = slot_of(slot);
            for done in done.drain(..) {
                worked = true;
                self.receive(Event::Disk { slot, done });
            }
        }
        worked
    }

    fn receive(&mut self, event: Event) {
        self.engine.receive(now(), event);
        self.received = true;
    }

    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Disk { slot, id, op } => {
                    if let Some(Some(disk)) = self.disks.get_mut(usize::from(slot.0)) {
                        disk.submit(id, op);
                    }
                }
                Action::Job(job) => self.workers.ask(job),
                Action::Index(IndexRequest::Query(query)) => self.reader.ask(query),
                Action::Index(request) => self.index.ask(request),
                Action::Reply { id, result } => self.replies.push_back((id, result)),
            }
        }
        self.actions = actions;
    }

    /// Gives the engine a blank file for the place of disk `number` (from 1).
    pub fn replace(&mut self, number: u16, path: &Path, bytes: u64) -> Outcome<()> {
        let offer = self.engine.offer(Some(number))?;
        let mut disk: Box<dyn Disk> =
            Box::new(FileDisk::open(path, OpenMode::Create { bytes }, waker())?);
        let mut label = offer.label;
        label.geometry.disk_bytes = ByteCount::new(bytes);
        write_static_label(&mut *disk, &label)?;
        let slot = slot_of(self.disks.len());
        self.disks.push(Some(disk));
        let attachment = Attachment {
            slot,
            name: path.display().to_string(),
            serial: None,
            disk: label.disk,
            geometry: label.geometry,
            age: LabelAge::default(),
        };
        self.engine.attach(now(), attachment, &mut self.actions)?;
        Ok(())
    }

    /// Stops in order.
    pub fn stop(mut self) {
        self.receive(Event::Stop);
        self.until(Engine::is_stopped);
    }
}

fn slot_of(number: usize) -> DiskSlot {
    DiskSlot(u16::try_from(number).unwrap_or(u16::MAX))
}
