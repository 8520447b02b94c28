//! A file or block device as a disk.
//!
//! Reads and writes go through a ring (`ring_thread`) or, where the kernel has none for us, are
//! carried out by a few threads with pread and pwrite. One more thread carries out flushes and
//! durable writes by plain system calls, so that a commit never stands in a queue behind bulk data.
//! What has gathered there while a flush ran shares the next one.
//!
//! A flush covers completed writes because a write completes only after the kernel said that it is
//! done, and `fdatasync` reaches everything written to the file before it was called. After a
//! failed flush the kernel may report the next one as good although data was dropped; therefore
//! the first failure is remembered and every later write and flush fails with it. Reads go on.
//!
//! Whoever waits for a disk that answers nothing goes on without it after a while: it is given up for good. What its
//! threads have under way stays theirs, memory included, until the kernel has answered or for ever.
//!
//! Dropping the disk abandons what is queued, lets running operations end, and joins the threads. Those of a disk that
//! hangs are left behind, and the file stays locked until they have ended: nobody may write beside them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::open::{DiskFile, open_disk, queue_facts};
pub use super::open::{OpenError, OpenMode, RingDenied};
use super::ring::transfer::{Request, What};
use super::serial::{has_write_cache, serial_of};
use crate::buffer::Pool;
use crate::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId, Waker};
use crate::limits::{
    CLOSE_PAUSE_MS, DISK_PATIENCE_LEFT_PART, DISK_PATIENCE_SECONDS, IO_THREADS_PER_DISK,
};
use crate::linger::linger;
use ring_thread::{RingQueue, RingThread};
use shared::Shared;

mod ring_thread;
mod shared;

/// What carries out the reads and writes of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// A ring; threads where the kernel denies it.
    #[default]
    Auto,
    /// A ring or nothing.
    Ring,
    /// Threads.
    Threads,
}

/// What the opener of a disk may wish for. A ring saves the kernel work on each use of a pool's
/// buffers; for that all memory of the pools (at most 1 GiB each) is taken at once and kept while
/// the disk is open.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// What carries out reads and writes.
    pub backend: Backend,
    /// Pools whose buffers will be written often.
    pub write_pools: Vec<Pool>,
    /// Where reads take their memory while there is some; several disks may share it.
    pub read_pool: Option<Pool>,
    /// How long whoever waits for the disk waits without any completion.
    pub patience: Duration,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            write_pools: Vec::new(),
            read_pool: None,
            patience: Duration::from_secs(DISK_PATIENCE_SECONDS),
        }
    }
}

/// A disk behind a path.
pub struct FileDisk {
    identity: DiskIdentity,
    shared: Arc<Shared>,
    ring: Option<Arc<RingQueue>>,
    threads: Vec<JoinHandle<()>>,
    /// Operations whose completion was not handed out.
    open: Vec<OpId>,
    patience: Duration,
    /// When it last gave a completion, or was first asked for something since.
    alive: Instant,
    given_up: bool,
}

impl FileDisk {
    /// Opens a file or block device in the best way there is and starts its threads. `waker` is
    /// called after each completion becomes available.
    ///
    /// # Errors
    /// Says in one sentence why the path cannot serve as a disk, or that threads cannot start.
    pub fn open(path: &Path, mode: OpenMode, waker: Waker) -> Result<FileDisk, OpenError> {
        FileDisk::open_as(path, mode, &Wishes::default(), waker)
    }

    /// Opens a file or block device as wished.
    ///
    /// # Errors
    /// As `open`, and that a ring was insisted on and is denied.
    pub fn open_as(
        path: &Path,
        mode: OpenMode,
        wishes: &Wishes,
        waker: Waker,
    ) -> Result<FileDisk, OpenError> {
        FileDisk::start(open_disk(path, mode)?, path, wishes, waker)
    }

    /// Creates a sparse file of `bytes` bytes, refusing to touch an existing one, and opens it.
    ///
    /// # Errors
    /// As `open`.
    pub fn create(path: &Path, bytes: u64, waker: Waker) -> Result<FileDisk, OpenError> {
        FileDisk::open(path, OpenMode::Create { bytes }, waker)
    }

    fn start(
        opened: DiskFile,
        path: &Path,
        wishes: &Wishes,
        waker: Waker,
    ) -> Result<FileDisk, OpenError> {
        let (sector_bytes, rotational) = queue_facts(&opened.file);
        let serial = serial_of(&opened.file);
        let cached = has_write_cache(&opened.file);
        let read_pool = wishes.read_pool.clone();
        let pools: Vec<Pool> = wishes
            .write_pools
            .iter()
            .chain(&read_pool)
            .cloned()
            .collect();
        let shared = Arc::new(Shared::new(opened.file, read_pool, waker));
        let ring = match wishes.backend {
            Backend::Threads => None,
            Backend::Auto | Backend::Ring => Some(RingThread::start(&shared, &pools)),
        };
        if let (Backend::Ring, Some(Err(reason))) = (wishes.backend, &ring) {
            return Err(OpenError::Ring {
                path: path.to_owned(),
                reason: *reason,
            });
        }
        let identity = DiskIdentity {
            name: path.display().to_string(),
            bytes: opened.bytes,
            sector_bytes,
            rotational,
            serial,
            backend: describe(&ring, opened.direct, cached),
        };
        let ring = ring.and_then(Result::ok);
        FileDisk::assemble(shared, identity, ring, wishes.patience).map_err(|source| {
            OpenError::Io {
                path: path.to_owned(),
                source,
            }
        })
    }

    /// Starts what a disk needs beside its ring, or instead of it.
    fn assemble(
        shared: Arc<Shared>,
        identity: DiskIdentity,
        ring: Option<RingThread>,
        patience: Duration,
    ) -> std::io::Result<FileDisk> {
        let mut disk = FileDisk {
            identity,
            shared,
            ring: ring.as_ref().map(|ring| Arc::clone(&ring.queue)),
            threads: ring.into_iter().map(|ring| ring.thread).collect(),
            open: Vec::new(),
            patience,
            alive: Instant::now(),
            given_up: false,
        };
        // On failure the drop of `disk` ends the threads that did start.
        disk.start_threads()?;
        Ok(disk)
    }

    /// Beside a ring the bulk queue holds only discards, which would delay everything else there.
    fn start_threads(&mut self) -> std::io::Result<()> {
        let bulk = match self.ring {
            Some(_) => 1,
            None => IO_THREADS_PER_DISK,
        };
        for _ in 0..bulk {
            self.start_thread("disk-io", Shared::run_bulk)?;
        }
        self.start_thread("disk-commit", Shared::run_commits)
    }

    fn start_thread(&mut self, name: &str, run: fn(&Shared)) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(builder.spawn(move || run(&shared))?);
        Ok(())
    }

    fn submit_bulk(&self, id: OpId, op: Op) -> Result<(), DiskError> {
        let request = |offset, what| Request { id, offset, what };
        match (&self.ring, op) {
            (Some(ring), Op::Read { offset, bytes }) => {
                ring.push(request(offset, What::Read(bytes)))
            }
            (Some(ring), Op::Write { offset, data }) => {
                ring.push(request(offset, What::Write(data)))
            }
            (_, op) => {
                self.shared.bulk.push(id, op);
                Ok(())
            }
        }
    }

    fn hand_out(&mut self, mut from: Vec<Done>, into: &mut Vec<Done>) {
        if from.is_empty() {
            return;
        }
        self.alive = Instant::now();
        for done in &from {
            if let Some(at) = self.open.iter().position(|open| *open == done.id) {
                self.open.swap_remove(at);
            }
        }
        into.append(&mut from);
    }

    /// What is left of the patience: a disk that was asked together with others has had their time, too. Some is left in
    /// any case, as the machine may have been paused meanwhile.
    fn patience_left(&self) -> Duration {
        let left = self.patience.saturating_sub(self.alive.elapsed());
        left.max(self.patience / DISK_PATIENCE_LEFT_PART)
    }

    /// Ends everything for whoever waits. The threads end with what they have under way.
    fn give_up(&mut self) {
        self.given_up = true;
        self.end_threads();
        self.shared.bulk.clear();
        self.shared.commit.clear();
        if let Some(ring) = &self.ring {
            ring.clear();
        }
        for id in &self.open {
            self.shared.refuse(*id, DiskError::Silent);
        }
    }

    /// Lets the threads end what is running and nothing else.
    fn end_threads(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.bulk.wake_all();
        self.shared.commit.wake_all();
        if let Some(ring) = &self.ring {
            ring.stop();
        }
    }

    /// Waits for the threads as long as for anything else; whether all have ended.
    fn threads_ended(&self) -> bool {
        let ended = || self.threads.iter().all(JoinHandle::is_finished);
        if linger(|| ended().then_some(())).is_some() {
            return true;
        }
        let begun = Instant::now();
        while !ended() {
            if self.given_up || begun.elapsed() >= self.patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(CLOSE_PAUSE_MS));
        }
        true
    }
}

/// How the disk is accessed, for status screens.
fn describe(ring: &Option<Result<RingThread, RingDenied>>, direct: bool, cached: bool) -> String {
    let cache = match (direct, cached) {
        (true, false) => "direct",
        (true, true) => "direct, write cache on",
        (false, false) => "buffered",
        (false, true) => "buffered, write cache on",
    };
    match ring {
        None => format!("threads, {cache}"),
        Some(Err(reason)) => format!("threads, {cache}: {reason}"),
        Some(Ok(ring)) => match ring.registration_refused {
            None => format!("io_uring, {cache}"),
            Some(errno) => format!("io_uring, {cache}: memory is not registered ({errno:?})"),
        },
    }
}

impl Disk for FileDisk {
    fn identity(&self) -> &DiskIdentity {
        &self.identity
    }

    fn submit(&mut self, id: OpId, op: Op) {
        if self.open.is_empty() {
            self.alive = Instant::now();
        }
        self.open.push(id);
        if self.given_up {
            return self.shared.refuse(id, DiskError::Silent);
        }
        let refused = op.check(self.identity.bytes).and_then(|()| match op {
            Op::Flush | Op::WriteDurable { .. } => {
                self.shared.commit.push(id, op);
                Ok(())
            }
            Op::Read { .. } | Op::Write { .. } | Op::Discard { .. } => self.submit_bulk(id, op),
        });
        if let Err(error) = refused {
            self.shared.refuse(id, error);
        }
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        let there = self.shared.take_done();
        self.hand_out(there, done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        if self.open.is_empty() {
            return;
        }
        let there = self.shared.wait_done(self.patience_left());
        let there = there.unwrap_or_else(|| {
            self.give_up();
            self.shared.take_done()
        });
        self.hand_out(there, done);
    }

    fn in_flight(&self) -> usize {
        self.open.len()
    }

    fn is_given_up(&self) -> bool {
        self.given_up
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.end_threads();
        if !self.threads_ended() {
            return;
        }
        for thread in self.threads.drain(..) {
            // A panicked thread has nothing left to clean up.
            drop(thread.join());
        }
        // A ring lets go of the file some time after it was closed, and the lock must not wait for
        // that. Nothing is in flight any more. A file that was never locked is left as it is.
        drop(self.shared.file.unlock());
    }
}

impl std::fmt::Debug for FileDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "FileDisk({}, {} in flight)",
            self.identity.name,
            self.open.len()
        )
    }
}

#[cfg(test)]
mod tests;
