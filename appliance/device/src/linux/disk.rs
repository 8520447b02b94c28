//! A file or block device as a disk, by pread and pwrite on threads of its own.
//!
//! A few threads carry out reads, writes and discards. One more carries out flushes and durable
//! writes, so that a commit never stands in a queue behind bulk data. What has gathered there
//! while a flush ran shares the next one.
//!
//! A flush covers completed writes because a write completes only after `pwrite` returned, and
//! `fdatasync` reaches everything written to the file before it was called. After a failed flush
//! the kernel may report the next one as good although data was dropped; therefore the first
//! failure is remembered and every later write and flush fails with it. Reads go on.
//!
//! Dropping the disk abandons what is queued, lets running operations end, and joins the threads.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::open::{DiskFile, disk_error, open_disk, queue_facts};
pub use super::open::{OpenError, OpenMode};
use crate::buffer::{Buffer, BufferMut};
use crate::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId, OpKind, Waker};
use crate::limits::IO_THREADS_PER_DISK;
use crate::sync::{lock, wait};

/// A disk behind a path.
pub struct FileDisk {
    identity: DiskIdentity,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    in_flight: usize,
}

impl FileDisk {
    /// Opens a file or block device and starts its threads. `waker` is called after each
    /// completion becomes available.
    ///
    /// # Errors
    /// Says in one sentence why the path cannot serve as a disk, or that threads cannot start.
    pub fn open(path: &Path, mode: OpenMode, waker: Waker) -> Result<FileDisk, OpenError> {
        FileDisk::start(open_disk(path, mode)?, path, waker)
    }

    /// Creates a sparse file of `bytes` bytes, refusing to touch an existing one, and opens it.
    ///
    /// # Errors
    /// As `open`.
    pub fn create(path: &Path, bytes: u64, waker: Waker) -> Result<FileDisk, OpenError> {
        FileDisk::open(path, OpenMode::Create { bytes }, waker)
    }

    fn start(opened: DiskFile, path: &Path, waker: Waker) -> Result<FileDisk, OpenError> {
        let (sector_bytes, rotational) = queue_facts(&opened.file);
        let identity = DiskIdentity {
            name: path.display().to_string(),
            bytes: opened.bytes,
            sector_bytes,
            rotational,
            backend: opened.backend,
        };
        let shared = Arc::new(Shared::new(opened.file, waker));
        let mut disk = FileDisk {
            identity,
            shared,
            threads: Vec::new(),
            in_flight: 0,
        };
        // On failure the drop of `disk` ends the threads that did start.
        disk.start_threads().map_err(|source| OpenError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(disk)
    }

    fn start_threads(&mut self) -> std::io::Result<()> {
        for _ in 0..IO_THREADS_PER_DISK {
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

    fn hand_out(&mut self, from: &mut Vec<Done>, into: &mut Vec<Done>) {
        self.in_flight -= from.len();
        into.append(from);
    }
}

impl Disk for FileDisk {
    fn identity(&self) -> &DiskIdentity {
        &self.identity
    }

    fn submit(&mut self, id: OpId, op: Op) {
        self.in_flight += 1;
        if let Err(error) = op.check(self.identity.bytes) {
            self.shared.complete(id, Err(error));
            return;
        }
        match op {
            Op::Flush | Op::WriteDurable { .. } => self.shared.commit.push(id, op),
            Op::Read { .. } | Op::Write { .. } | Op::Discard { .. } => {
                self.shared.bulk.push(id, op);
            }
        }
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        let mut there = std::mem::take(&mut *lock(&self.shared.done));
        self.hand_out(&mut there, done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        if self.in_flight == 0 {
            return;
        }
        let mut queue = lock(&self.shared.done);
        while queue.is_empty() {
            queue = wait(&self.shared.done_added, queue);
        }
        let mut there = std::mem::take(&mut *queue);
        drop(queue);
        self.hand_out(&mut there, done);
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.bulk.wake_all();
        self.shared.commit.wake_all();
        for thread in self.threads.drain(..) {
            // A panicked thread has nothing left to clean up.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for FileDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "FileDisk({}, {} in flight)",
            self.identity.name, self.in_flight
        )
    }
}

/// Operations on their way to a thread.
#[derive(Default)]
struct Queue {
    ops: Mutex<VecDeque<(OpId, Op)>>,
    added: Condvar,
}

impl Queue {
    fn push(&self, id: OpId, op: Op) {
        lock(&self.ops).push_back((id, op));
        self.added.notify_one();
    }

    /// Taking the lock first makes sure that no thread is between its look and its sleep.
    fn wake_all(&self) {
        drop(lock(&self.ops));
        self.added.notify_all();
    }

    /// Sleeps for work; nothing once the disk is stopping.
    fn take<T>(
        &self,
        stopping: &AtomicBool,
        take: impl Fn(&mut VecDeque<(OpId, Op)>) -> Option<T>,
    ) -> Option<T> {
        let mut ops = lock(&self.ops);
        loop {
            if stopping.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(taken) = take(&mut ops) {
                return Some(taken);
            }
            ops = wait(&self.added, ops);
        }
    }
}

/// What the owner and the threads have in common.
struct Shared {
    file: File,
    waker: Waker,
    bulk: Queue,
    commit: Queue,
    stopping: AtomicBool,
    /// Why the first failing flush failed.
    flush_failure: OnceLock<DiskError>,
    done: Mutex<Vec<Done>>,
    done_added: Condvar,
}

type Outcome = Result<Option<BufferMut>, DiskError>;

impl Shared {
    fn new(file: File, waker: Waker) -> Shared {
        Shared {
            file,
            waker,
            bulk: Queue::default(),
            commit: Queue::default(),
            stopping: AtomicBool::new(false),
            flush_failure: OnceLock::new(),
            done: Mutex::new(Vec::new()),
            done_added: Condvar::new(),
        }
    }

    fn complete(&self, id: OpId, result: Outcome) {
        lock(&self.done).push(Done { id, result });
        self.done_added.notify_one();
        (self.waker)();
    }

    fn run_bulk(&self) {
        while let Some((id, op)) = self.bulk.take(&self.stopping, VecDeque::pop_front) {
            let result = match op {
                Op::Read { offset, bytes } => self.read(offset, bytes).map(Some),
                Op::Write { offset, data } => self.write(offset, data, OpKind::Write).map(no_bytes),
                Op::Discard { offset, bytes } => self.discard(offset, bytes).map(no_bytes),
                // Not queued here; correct all the same.
                Op::WriteDurable { offset, data } => self
                    .write(offset, data, OpKind::WriteDurable)
                    .and_then(|()| self.flush())
                    .map(no_bytes),
                Op::Flush => self.flush().map(no_bytes),
            };
            self.complete(id, result);
        }
    }

    /// Everything waiting shares one flush. That is sound: each of these operations was submitted
    /// before the flush starts, and so was every write it must cover completed.
    fn run_commits(&self) {
        let all = |ops: &mut VecDeque<(OpId, Op)>| (!ops.is_empty()).then(|| std::mem::take(ops));
        while let Some(batch) = self.commit.take(&self.stopping, all) {
            let written: Vec<(OpId, Result<(), DiskError>)> = batch
                .into_iter()
                .map(|(id, op)| match op {
                    Op::WriteDurable { offset, data } => {
                        (id, self.write(offset, data, OpKind::WriteDurable))
                    }
                    Op::Read { .. } | Op::Write { .. } | Op::Discard { .. } | Op::Flush => {
                        (id, Ok(()))
                    }
                })
                .collect();
            let flushed = if written.iter().any(|(_, result)| result.is_ok()) {
                self.flush()
            } else {
                Ok(())
            };
            for (id, result) in written {
                self.complete(id, result.and(flushed).map(no_bytes));
            }
        }
    }

    fn read(&self, offset: u64, bytes: usize) -> Result<BufferMut, DiskError> {
        let mut buffer = BufferMut::zeroed(bytes);
        self.file
            .read_exact_at(&mut buffer, offset)
            .map_err(|error| disk_error(&error, OpKind::Read))?;
        Ok(buffer)
    }

    /// Lets go of the buffer before the completion shows, so that a pool sees it back in time.
    fn write(&self, offset: u64, data: Buffer, op: OpKind) -> Result<(), DiskError> {
        self.trusted()?;
        let result = self.file.write_all_at(&data, offset);
        drop(data);
        result.map_err(|error| disk_error(&error, op))
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.trusted()?;
        let result = self.file.sync_data();
        result.map_err(|error| {
            *self
                .flush_failure
                .get_or_init(|| disk_error(&error, OpKind::Flush))
        })
    }

    fn trusted(&self) -> Result<(), DiskError> {
        self.flush_failure.get().map_or(Ok(()), |error| Err(*error))
    }

    fn discard(&self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        self.trusted()?;
        let out_of_range = |_| DiskError::OutOfRange;
        let start = i64::try_from(offset).map_err(out_of_range)?;
        let length = i64::try_from(bytes).map_err(out_of_range)?;
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        loop {
            match fallocate(&self.file, flags, start, length) {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(disk_error(&errno.into(), OpKind::Discard)),
            }
        }
    }
}

/// The outcome of everything that is not a read.
fn no_bytes(_: ()) -> Option<BufferMut> {
    None
}

#[cfg(test)]
mod tests;
