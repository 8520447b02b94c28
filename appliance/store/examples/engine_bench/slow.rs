//! A disk whose flushes take longer than those of the one below it.
//!
//! What a flush costs decides what sharing one among many commits is worth. Drives without power-loss protection take a
//! millisecond and more for what a virtual disk or a drive with protection does in a tenth of it.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stele_device::disk::{Disk, DiskIdentity, Done, Op, OpId, Waker};

/// How long `wait` sleeps between two looks.
const LOOK: Duration = Duration::from_micros(100);

/// A disk below, each of whose flushes ends so much later, one after the other.
pub struct SlowFlush<D> {
    disk: D,
    added: Duration,
    flushes: HashSet<OpId>,
    /// When the last of them ends.
    busy_until: Instant,
    later: Sender<(Instant, Done)>,
    ended: Arc<Mutex<Vec<Done>>>,
    held: usize,
}

impl<D: Disk> SlowFlush<D> {
    pub fn new(disk: D, added: Duration, waker: Waker) -> Self {
        let (later, ending) = channel();
        let ended: Arc<Mutex<Vec<Done>>> = Arc::default();
        let give = Arc::clone(&ended);
        std::thread::spawn(move || end_in_time(&ending, &give, &waker));
        SlowFlush {
            disk,
            added,
            flushes: HashSet::new(),
            busy_until: Instant::now(),
            later,
            ended,
            held: 0,
        }
    }

    fn hold(&mut self, done: Done) {
        self.busy_until = self.busy_until.max(Instant::now()) + self.added;
        self.held += 1;
        // The thread lives as long as this end.
        drop(self.later.send((self.busy_until, done)));
    }
}

fn end_in_time(ending: &Receiver<(Instant, Done)>, give: &Mutex<Vec<Done>>, waker: &Waker) {
    for (at, done) in ending {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        give.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(done);
        waker();
    }
}

impl<D: Disk> Disk for SlowFlush<D> {
    fn identity(&self) -> &DiskIdentity {
        self.disk.identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        if matches!(op, Op::WriteDurable { .. } | Op::Flush) {
            self.flushes.insert(id);
        }
        self.disk.submit(id, op);
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        let mut below = Vec::new();
        self.disk.poll(&mut below);
        for one in below {
            if self.flushes.remove(&one.id) {
                self.hold(one);
            } else {
                done.push(one);
            }
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        self.held -= ended.len();
        done.append(&mut ended);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        let before = done.len();
        while self.in_flight() > 0 && done.len() == before {
            self.poll(done);
            if done.len() == before {
                std::thread::sleep(LOOK);
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.disk.in_flight() + self.held
    }
}
