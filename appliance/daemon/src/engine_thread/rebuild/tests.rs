//! Disks that hang while the engine is started again, or stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::TryRecvError;

use stele_device::disk::{DiskIdentity, Done, Op, OpId};
use stele_device::linux::disk::{OpenError, OpenMode, Wishes};
use stele_store::engine::DiskSlot;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::bays::Bays;
use crate::bell::Bell;
use crate::engine_thread::closing::Closing;
use crate::engine_thread::{Inbox, LetGo};
use crate::media::open_disk;
use crate::opener::Opener;
use crate::supervisor::Machine;
use crate::vault::Directory;
use crate::vault::create::{Options, create};
use crate::vault::disks::{Slot, open_kept};
use crate::watch::Watch;
use crate::workers::Crew;

const SLOT: usize = 2;

/// A disk with so many operations that end when it is told so, and which is not closed before.
struct Hanging(Box<dyn Disk>, Arc<AtomicBool>, usize);

impl Disk for Hanging {
    fn identity(&self) -> &DiskIdentity {
        self.0.identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        self.0.submit(id, op);
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        self.0.poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        self.0.wait(done);
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight() + self.2 * usize::from(self.1.load(Ordering::Relaxed))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        while self.1.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An engine thread whose last disk hangs, the way to ask it, and what ends the hang.
fn hanging(directory: &Directory) -> (EngineThread, mpsc::Sender<Local>, Arc<AtomicBool>) {
    hanging_with(directory, 1)
}

/// The same with so many operations under way.
fn hanging_with(
    directory: &Directory,
    busy: usize,
) -> (EngineThread, mpsc::Sender<Local>, Arc<AtomicBool>) {
    drop(create(directory, &Options::default()).expect("made"));
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
    let disks = slots.into_iter().map(|slot| slot.disk.ok()).collect();
    let opened = opener.open(disks, How::default(), Progress::default());
    let mut opened = opened.expect("an engine");
    let hangs = Arc::new(AtomicBool::new(true));
    let disk = opened.disks[SLOT].take().expect("a disk");
    opened.disks[SLOT] = Some(Box::new(Hanging(disk, Arc::clone(&hangs), busy)));
    let (local_sender, local) = mpsc::channel(1);
    let inbox = Inbox {
        questions: mpsc::channel(1).1,
        local,
    };
    let thread = EngineThread::new(
        opened.engine,
        opened.disks,
        Crew::ended(),
        IndexCrew::ended(),
        inbox,
        (bell, opener, Watch::new().0),
    );
    (thread, local_sender, hangs)
}

fn ask() -> (Local, Receiver<LetGo>) {
    let (reply, answer) = sync_channel(1);
    let slot = DiskSlot(u16::try_from(SLOT).expect("a slot"));
    (Local::Release { slot, reply }, answer)
}

#[test]
fn a_disk_that_hangs_through_a_start_is_busy_until_it_has_ended_and_is_gone_then() {
    let dir = TempDir::new().expect("a directory");
    let directory = Directory::new(&dir.path().join("vault")).expect("a path");
    let (mut thread, sender, hangs) = hanging(&directory);
    let path = thread.opener.bays.now()[SLOT].path.clone();
    let open = || {
        let waker = stele_device::disk::no_waker();
        open_disk(&path, OpenMode::Write, &Wishes::default(), waker)
    };
    thread.come_to_rest();
    assert!(thread.disks[SLOT].is_none());
    // Not while the start goes on.
    let (release, answer) = ask();
    sender.try_send(release).expect("asked");
    thread.answer(Waker::noop(), &Progress::default());
    let refused = answer.try_recv();
    assert!(matches!(refused, Ok(Err(DiskRefusal::Rebuilding))));
    // It is open still, so nobody is told that it is not.
    let (release, answer) = ask();
    thread.local(release);
    thread.take_disks();
    assert!(matches!(answer.try_recv(), Err(TryRecvError::Empty)));
    assert!(matches!(open(), Err(OpenError::InUse { .. })));
    hangs.store(false, Ordering::Relaxed);
    thread.take_disks();
    assert!(matches!(answer.try_recv(), Ok(Ok(None))));
    drop(open().expect("nobody has it open"));
    // Whoever asks again hears the same.
    let (release, answer) = ask();
    thread.local(release);
    thread.take_disks();
    assert!(matches!(answer.try_recv(), Ok(Ok(None))));
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_hangs() {
    let dir = TempDir::new().expect("a directory");
    let directory = Directory::new(&dir.path().join("vault")).expect("a path");
    drop(create(&directory, &Options::default()).expect("made"));
    let config = directory.existing().expect("a vault");
    let bell = Bell::default();
    let (wishes, waker) = (Wishes::default(), bell.disk_waker());
    let slots = open_kept(&config, directory.path(), OpenMode::Write, &wishes, &waker);
    let mut slots = slots.expect("disks");
    let opener = Opener {
        keys: directory.keys(config.key_source()),
        bays: Bays::new(&slots),
        client_buckets: config.client_buckets(),
        serials: config.serials(),
        index_cache_bytes: None,
    };
    let hangs = Arc::new(AtomicBool::new(false));
    let last = slots.pop().expect("a disk");
    slots.push(Slot {
        disk: last
            .disk
            .map(|disk| Box::new(Hanging(disk, Arc::clone(&hangs), 1)) as Box<dyn Disk>),
        ..last
    });
    let machine = Machine::start(slots, opener, None, &bell).expect("an engine");
    hangs.store(true, Ordering::Relaxed);
    machine.stop().expect("stopped");
    assert!(hangs.load(Ordering::Relaxed), "it hangs still");
    hangs.store(false, Ordering::Relaxed);
}

#[test]
fn a_disk_that_hangs_at_the_very_end_is_waited_for_a_while_only() {
    let dir = TempDir::new().expect("a directory");
    let directory = Directory::new(&dir.path().join("vault")).expect("a path");
    let (thread, _sender, hangs) = hanging_with(&directory, 0);
    let closing = Closing::begin(thread.engine, thread.disks, &thread.watch);
    assert!(!closing.end(Duration::from_millis(20)));
    hangs.store(false, Ordering::Relaxed);
}
