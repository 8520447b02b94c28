//! The machine: engine, index, workers and their threads, started together and stopped in order.
//!
//! Every queue is bounded. Stopping: no more questions, the engine seals what is open, helpers end,
//! disks are closed; only then is `stop` over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stele_device::area::Area;
use stele_format::units::LogIndex;
use stele_store::engine::{DiskRefusal, DiskSlot, DrainRefusal, Offer};
use stele_store::policy::wiping::{FoundDisk, NotWiped};
use stele_store::receipts::LogSigner;
use stele_store::recovery::{Force, OpenReport, Opened, Progress};
use stele_store::request::{Answer, Command, Refusal};
use stele_store::status::Status;
use stele_store::wipe::{Found, WipeDone, WipeOrder};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::bell::Bell;
use crate::clients::Clients;
use crate::engine_thread::{Arrival, EngineThread, Inbox, Local};
use crate::error::{Error, Outcome};
use crate::gateway::Question;
use crate::limits::{
    DEATH_MS_MAX, LOCAL_QUEUE_COUNT_MAX, QUESTION_QUEUE_COUNT_MAX, REBUILD_POLL_MS, RELEASE_MS_MAX,
    START_TOLD_MS, TICK_BUSY_MS,
};
use crate::opener::{How, Opener};
use crate::vault::disks::Slot;
use crate::watch::{Deaths, Watch};
use crate::workers::{IndexCrew, start_workers};

/// A running engine.
pub struct Machine {
    link: Link,
    questions: mpsc::Sender<Question>,
    thread: JoinHandle<()>,
    watch: Watch,
    deaths: Deaths,
    report: OpenReport,
}

/// A way to ask the engine from inside the process. Clones ask the same engine.
#[derive(Clone, Debug)]
pub struct Link {
    engine: mpsc::Sender<Local>,
    /// The process is to end: whoever would ask on and on is told so.
    ending: Arc<AtomicBool>,
}

impl Machine {
    /// Opens the pool on these disks and starts its threads. Recovery runs inside. Only this start forces anything.
    ///
    /// # Errors
    /// Why the engine refuses, or that a thread cannot be started.
    pub fn start(
        slots: Vec<Slot>,
        opener: Opener,
        force: Option<Force>,
        bell: &Bell,
    ) -> Outcome<Machine> {
        let disks = slots.into_iter().map(|slot| slot.disk.ok()).collect();
        let progress = Progress::default();
        let how = How {
            new_index: false,
            force,
        };
        let opened = told(&progress.clone(), || opener.open(disks, how, progress))?;
        Machine::run(opened, opener, bell)
    }

    fn run(opened: Opened, opener: Opener, bell: &Bell) -> Outcome<Machine> {
        let Opened {
            engine,
            disks,
            index,
            report,
        } = opened;
        let (watch, deaths) = Watch::new();
        let (question_sender, questions) = mpsc::channel(QUESTION_QUEUE_COUNT_MAX);
        let (local_sender, local) = mpsc::channel(LOCAL_QUEUE_COUNT_MAX);
        let workers = start_workers(bell, &watch)?;
        let index = IndexCrew::start(index, bell, &watch)?;
        let inbox = Inbox { questions, local };
        let body = EngineThread::new(
            engine,
            disks,
            workers,
            index,
            inbox,
            (bell.clone(), opener, watch.clone()),
        );
        let guard = watch.guard("engine");
        let run = move || {
            let _guard = guard;
            body.run();
        };
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(run);
        let thread = thread.map_err(Error::Thread)?;
        let link = Link::to(local_sender);
        Ok(Machine {
            link,
            questions: question_sender,
            thread,
            watch,
            deaths,
            report,
        })
    }

    /// Notices the death of further threads.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// A way to ask the engine.
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    /// The gateway's way to ask.
    pub fn questions(&self) -> mpsc::Sender<Question> {
        self.questions.clone()
    }

    /// What recovery found.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Waits until a thread dies that must not, and names it.
    pub async fn death(&mut self) -> &'static str {
        match self.deaths.recv().await {
            Some(name) => {
                // Whoever stops this is to know of it too.
                self.watch.tell(name);
                name
            }
            // Every guard is gone without a panic: the engine has stopped in order.
            None => std::future::pending().await,
        }
    }

    /// Has everybody told who asks the engine from now on that the vault stops. What asks on and on, such as through a
    /// rebuild, would hold up the end otherwise.
    pub fn ending(&self) {
        self.link.ending.store(true, Ordering::Relaxed);
    }

    /// Stops in order.
    ///
    /// # Errors
    /// `ThreadDied` when a thread ended by a fault instead; the engine, which may wait for it, is waited for a moment only.
    pub fn stop(self) -> Outcome<()> {
        self.stop_within(Duration::from_millis(DEATH_MS_MAX))
    }

    fn stop_within(mut self, patience: Duration) -> Outcome<()> {
        // A closed queue means that the thread has died, which the join tells.
        drop(self.link.engine.blocking_send(Local::Stop));
        let mut death: Option<(&'static str, Instant)> = None;
        loop {
            let ended = self.thread.is_finished();
            let died = self.deaths.try_recv().ok();
            death = death.or(died.map(|name| (name, Instant::now())));
            match death {
                Some((name, since)) if ended || since.elapsed() >= patience => {
                    return Err(Error::ThreadDied { name });
                }
                None if ended => break,
                _ => std::thread::sleep(Duration::from_millis(TICK_BUSY_MS)),
            }
        }
        let joined = self.thread.join();
        joined.map_err(|_| Error::ThreadDied { name: "engine" })
    }
}

/// Says in the log from time to time how far a long start has come.
fn told<T>(progress: &Progress, open: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let teller = scope.spawn(|| {
            loop {
                std::thread::park_timeout(Duration::from_millis(START_TOLD_MS));
                if over.load(Ordering::Acquire) {
                    return;
                }
                let (done, frames) = progress.frames();
                tracing::info!(done, frames, "the journal is being replayed");
            }
        });
        let opened = open();
        over.store(true, Ordering::Release);
        teller.thread().unpark();
        opened
    })
}

impl Link {
    fn to(engine: mpsc::Sender<Local>) -> Link {
        Link {
            engine,
            ending: Arc::default(),
        }
    }

    /// Asks and waits; not for use on the asynchronous runtime. Waits through a rebuild of the index.
    ///
    /// # Errors
    /// The engine's refusal, or `NoAnswer` when its thread has died.
    pub fn ask(&self, mut command: impl FnMut() -> Command) -> Outcome<Answer> {
        loop {
            if self.ending.load(Ordering::Relaxed) {
                return Err(Refusal::Stopping.into());
            }
            let (reply, answer) = oneshot::channel();
            self.send(Local::Ask {
                command: command(),
                reply,
            })?;
            match answer.blocking_recv().map_err(|_| Error::NoAnswer)? {
                Err(Refusal::Rebuilding) => {
                    std::thread::sleep(Duration::from_millis(REBUILD_POLL_MS));
                }
                result => return Ok(result?),
            }
        }
    }

    /// A configuration value; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// As `ask`.
    pub fn get_config(&self, name: &str) -> Outcome<Option<Vec<u8>>> {
        match self.ask(|| Command::GetConfig {
            name: name.to_owned(),
        })? {
            Answer::Config(value) => Ok(value),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Stores a configuration value durably; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// As `ask`.
    pub fn put_config(&self, name: &str, value: &[u8]) -> Outcome<()> {
        let command = || Command::PutConfig {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        match self.ask(command)? {
            Answer::Done => Ok(()),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Tells the engine thread who may do what; when this returns, it goes by that. Not for use on the
    /// asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn set_clients(&self, clients: Clients) -> Outcome<()> {
        let (known, answer) = oneshot::channel();
        let clients = Box::new(clients);
        self.send(Local::Clients { clients, known })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Lets the engine sign checkpoints of the log from now on, with that one of these keys that the log names; the
    /// first one of the log comes first. Not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn sign_with(&self, signers: Vec<Arc<LogSigner>>) -> Outcome<()> {
        let (known, answer) = oneshot::channel();
        self.send(Local::Sign { signers, known })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Gives the engine a key that people may give the log. Not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn learn_log_key(&self, signer: Arc<LogSigner>) -> Outcome<()> {
        let (known, answer) = oneshot::channel();
        self.send(Local::Learn { signer, known })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// The secret of an access key; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn secret(&self, key_id: &str) -> Outcome<Zeroizing<String>> {
        let (reply, answer) = oneshot::channel();
        self.send(Local::Secret {
            key_id: key_id.to_owned(),
            reply,
        })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// How things are; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn status_now(&self) -> Outcome<Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Local::Status { reply })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// How things are.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub async fn status(&self) -> Outcome<Status> {
        let (reply, answer) = oneshot::channel();
        self.engine
            .send(Local::Status { reply })
            .await
            .map_err(|_| Error::NoAnswer)?;
        answer.await.map_err(|_| Error::NoAnswer)
    }

    /// What a disk must be to join; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn offer(&self, number: Option<u16>) -> Outcome<Result<Offer, DiskRefusal>> {
        let (reply, answer) = oneshot::channel();
        self.send(Local::Offer { number, reply })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Gives the engine a disk; not for use on the asynchronous runtime. One that is refused is closed.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn attach(&self, arrival: Arrival) -> Outcome<Result<DiskSlot, DiskRefusal>> {
        let (reply, answer) = oneshot::channel();
        let arrival = Box::new(arrival);
        self.send(Local::Attach { arrival, reply })?;
        let attached = answer.blocking_recv().map_err(|_| Error::NoAnswer)?;
        Ok(attached.map_err(|(refusal, _disk)| refusal))
    }

    /// Says that a disk is not where it was opened, and whether all others are; not for use on the asynchronous
    /// runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the engine is being started again or its thread has died.
    pub fn gone_astray(&self, slot: DiskSlot, alone: bool) -> Outcome<()> {
        let (known, answer) = oneshot::channel();
        self.send(Local::Astray { slot, alone, known })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Says that a disk of which that was said is at its place again; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the engine's thread has died.
    pub fn back_at_place(&self, slot: DiskSlot) -> Outcome<()> {
        self.send(Local::Back { slot })
    }

    /// Has everything moved off a disk, by its number from 1; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn drain(&self, number: u16) -> Outcome<Result<(), DrainRefusal>> {
        let (reply, answer) = oneshot::channel();
        self.send(Local::Drain { number, reply })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Whether a disk may be wiped, if two people sign for it; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn may_wipe(&self, disk: FoundDisk) -> Outcome<Result<(), NotWiped>> {
        let (reply, answer) = oneshot::channel();
        self.send(Local::MayWipe { disk, reply })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Leave to wipe a disk by an executed request; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn wipe_order(
        &self,
        request: LogIndex,
        found: Found,
    ) -> Outcome<Result<WipeOrder, NotWiped>> {
        let (reply, answer) = oneshot::channel();
        let found = Box::new(found);
        self.send(Local::WipeOrder {
            request,
            found,
            reply,
        })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Has it written down that a disk is wiped; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn note_wiped(&self, done: WipeDone) -> Outcome<Result<(), NotWiped>> {
        let (reply, answer) = oneshot::channel();
        self.send(Local::NoteWiped { done, reply })?;
        answer.blocking_recv().map_err(|_| Error::NoAnswer)
    }

    /// Has the engine thread close the disk at a slot, and says whether none is open there any more: not when what it
    /// was asked to do does not end in time. It is refused while the engine is being started again. Not for use on the
    /// asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn release(&self, slot: DiskSlot) -> Outcome<Result<bool, DiskRefusal>> {
        let (reply, answer) = sync_channel(1);
        self.send(Local::Release { slot, reply })?;
        match answer.recv_timeout(Duration::from_millis(RELEASE_MS_MAX)) {
            // What came is closed here, with its threads and its lock.
            Ok(released) => Ok(released.map(|disk| {
                drop(disk);
                true
            })),
            Err(RecvTimeoutError::Timeout) => Ok(Ok(false)),
            Err(RecvTimeoutError::Disconnected) => Err(Error::NoAnswer),
        }
    }

    /// Gives the index a further mirror, on the disk of this number; not for use on the asynchronous runtime.
    ///
    /// # Errors
    /// `NoAnswer` when the thread has died.
    pub fn add_mirror(&self, number: u16, area: Box<dyn Area>) -> Outcome<()> {
        self.send(Local::Mirror { number, area })
    }

    fn send(&self, message: Local) -> Outcome<()> {
        self.engine
            .blocking_send(message)
            .map_err(|_| Error::NoAnswer)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::bays::Bays;
    use crate::opener::Opener;
    use crate::vault::Directory;
    use crate::vault::create::{Options, create};
    use crate::vault::disks::open_kept;
    use stele_device::linux::disk::{OpenMode, Wishes};

    fn machine() -> (TempDir, Machine) {
        let dir = TempDir::new().expect("a directory");
        let directory = Directory::new(&dir.path().join("vault")).expect("a path");
        drop(create(&directory, &Options::default()).expect("made"));
        let config = directory.existing().expect("a vault");
        let bell = Bell::default();
        let (wishes, waker) = (Wishes::default(), bell.disk_waker());
        let slots = open_kept(&config, directory.path(), OpenMode::Write, &wishes, &waker);
        let slots = slots.expect("disks");
        let opener = Opener {
            keys: directory.keys(config.key_source()),
            bays: Bays::new(&slots),
            client_buckets: config.client_buckets(),
            serials: config.serials(),
            index_cache_bytes: None,
        };
        let machine = Machine::start(slots, opener, None, &bell).expect("an engine");
        (dir, machine)
    }

    /// What asked for it first may have given up waiting.
    #[test]
    fn a_disk_that_was_let_go_of_is_gone_for_whoever_asks_again() {
        let (_dir, machine) = machine();
        let link = machine.link();
        for _ in 0..2 {
            assert_eq!(link.release(DiskSlot(2)).expect("an engine"), Ok(true));
        }
        machine.stop().expect("stopped");
        let gone = link.release(DiskSlot(2));
        assert!(matches!(gone, Err(Error::NoAnswer)), "{gone:?}");
    }

    /// An engine that ends while it is asked gives no answer, which is not one that is late.
    #[test]
    fn whoever_asks_for_a_disk_hears_at_once_that_nobody_answers() {
        let (sender, mut local) = mpsc::channel(1);
        let asked = std::thread::spawn(move || Link::to(sender).release(DiskSlot(2)));
        drop(local.blocking_recv().expect("asked"));
        let gone = asked.join().expect("ended");
        assert!(matches!(gone, Err(Error::NoAnswer)), "{gone:?}");
    }

    #[test]
    fn whoever_asks_through_a_rebuild_hears_that_the_vault_stops() {
        let (sender, mut local) = mpsc::channel(1);
        let link = Link::to(sender);
        let ending = Arc::clone(&link.ending);
        let asking = std::thread::spawn(move || link.get_config("name"));
        for _ in 0..2 {
            match local.blocking_recv().expect("asked") {
                Local::Ask { reply, .. } => drop(reply.send(Err(Refusal::Rebuilding))),
                _ => panic!("a question"),
            }
        }
        // The thread may have asked once more by now.
        ending.store(true, Ordering::Relaxed);
        if let Some(Local::Ask { reply, .. }) = local.blocking_recv() {
            drop(reply.send(Err(Refusal::Rebuilding)));
        }
        let told = asking.join().expect("ended");
        assert!(
            matches!(told, Err(Error::Refused(Refusal::Stopping))),
            "{told:?}"
        );
    }

    /// An engine may wait for ever for what a thread was to do that has died.
    #[test]
    fn after_a_death_the_engine_is_waited_for_a_moment_only() {
        let (_dir, mut machine) = machine();
        let (engine, keep) = sync_channel::<()>(1);
        let stuck = std::thread::spawn(move || keep.recv().unwrap_or_default());
        let real = std::mem::replace(&mut machine.thread, stuck);
        machine.watch.tell("worker");
        let stopped = machine.stop_within(Duration::from_millis(100));
        let died = matches!(stopped, Err(Error::ThreadDied { name: "worker" }));
        assert!(died, "{stopped:?}");
        drop(engine);
        real.join().expect("ended");
    }
}
