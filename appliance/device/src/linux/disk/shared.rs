//! What the owner and the threads of a disk have in common: the file, the queues, the completions,
//! and the rule of trust after a failed flush. Everything that is done by a plain system call is
//! here, once, whatever carries out the bulk of reads and writes.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::buffer::{Buffer, BufferMut, Pool};
use crate::disk::{DiskError, Done, Op, OpId, OpKind, Waker};
use crate::limits::{PATIENCE_LOOK_MS, POOLED_READ_BYTES_MIN, WAIT_LINGER_US};
use crate::linger::{linger, linger_for};
use crate::linux::open::disk_error;
use crate::sync::{lock, wait, wait_for};

/// How an operation ended.
pub(in crate::linux) type Outcome = Result<Option<BufferMut>, DiskError>;

/// Operations on their way to a thread.
#[derive(Default)]
pub(super) struct Queue {
    ops: Mutex<VecDeque<(OpId, Op)>>,
    added: Condvar,
}

impl Queue {
    pub(super) fn push(&self, id: OpId, op: Op) {
        lock(&self.ops).push_back((id, op));
        self.added.notify_one();
    }

    /// Taking the lock first makes sure that no thread is between its look and its sleep.
    pub(super) fn wake_all(&self) {
        drop(lock(&self.ops));
        self.added.notify_all();
    }

    /// Lets go of what no thread has taken yet.
    pub(super) fn clear(&self) {
        drop(std::mem::take(&mut *lock(&self.ops)));
    }

    /// Sleeps for work; nothing once the disk is stopping.
    fn take<T>(
        &self,
        stopping: &AtomicBool,
        take: impl Fn(&mut VecDeque<(OpId, Op)>) -> Option<T>,
    ) -> Option<T> {
        let soon = linger(|| take(&mut lock(&self.ops)));
        if soon.is_some() && !stopping.load(Ordering::SeqCst) {
            return soon;
        }
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
pub(in crate::linux) struct Shared {
    pub(super) file: File,
    pub(super) bulk: Queue,
    pub(super) commit: Queue,
    pub(super) stopping: AtomicBool,
    read_pool: Option<Pool>,
    waker: Waker,
    /// Why the first failing flush failed.
    flush_failure: OnceLock<DiskError>,
    done: Mutex<Completions>,
    done_added: Condvar,
}

/// What has ended and was not handed out.
#[derive(Default)]
struct Completions {
    ended: Vec<Done>,
    /// Nobody waits for what is under way any more; its memory is let go of when it ends.
    given_up: bool,
}

impl Shared {
    pub(super) fn new(file: File, read_pool: Option<Pool>, waker: Waker) -> Shared {
        Shared {
            file,
            bulk: Queue::default(),
            commit: Queue::default(),
            stopping: AtomicBool::new(false),
            read_pool,
            waker,
            flush_failure: OnceLock::new(),
            done: Mutex::new(Completions::default()),
            done_added: Condvar::new(),
        }
    }

    pub(super) fn complete(&self, id: OpId, result: Outcome) {
        let mut done = lock(&self.done);
        if done.given_up {
            // What it brought is let go of only now, as the kernel had it until now.
            return;
        }
        done.ended.push(Done { id, result });
        drop(done);
        self.done_added.notify_one();
        (self.waker)();
    }

    /// Makes completions available together.
    pub(super) fn complete_all(&self, ended: &mut Vec<Done>) {
        let count = ended.len();
        if count == 0 {
            return;
        }
        let mut done = lock(&self.done);
        if done.given_up {
            drop(done);
            ended.clear();
            return;
        }
        done.ended.append(ended);
        drop(done);
        self.done_added.notify_one();
        for _ in 0..count {
            (self.waker)();
        }
    }

    /// Ends an operation for its owner, also where it is under way and was given up.
    pub(super) fn refuse(&self, id: OpId, error: DiskError) {
        let result = Err(error);
        lock(&self.done).ended.push(Done { id, result });
        (self.waker)();
    }

    /// The completions there are.
    pub(super) fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut lock(&self.done).ended)
    }

    /// The completions there are, sleeping until there is one. None when none came in this time: from then on all that
    /// is under way is given up.
    pub(super) fn wait_done(&self, mut patience: Duration) -> Option<Vec<Done>> {
        let there = || Some(self.take_done()).filter(|done| !done.is_empty());
        if let Some(done) = linger_for(Duration::from_micros(WAIT_LINGER_US), there) {
            return Some(done);
        }
        let look = Duration::from_millis(PATIENCE_LOOK_MS);
        let mut done = lock(&self.done);
        while done.ended.is_empty() {
            if patience.is_zero() {
                done.given_up = true;
                return None;
            }
            let looked = Instant::now();
            done = wait_for(&self.done_added, done, look.min(patience));
            patience = patience.saturating_sub(looked.elapsed().min(look));
        }
        Some(std::mem::take(&mut done.ended))
    }

    /// The life of a bulk thread.
    pub(super) fn run_bulk(&self) {
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

    /// The life of the commit thread. Everything waiting shares one flush. That is sound: each of
    /// these operations was submitted before the flush starts, and so was every write it must
    /// cover completed.
    pub(super) fn run_commits(&self) {
        let all = |ops: &mut VecDeque<(OpId, Op)>| (!ops.is_empty()).then(|| std::mem::take(ops));
        while let Some(batch) = self.commit.take(&self.stopping, all) {
            let written: Vec<(OpId, Result<(), DiskError>)> = batch
                .into_iter()
                .map(|(id, op)| match op {
                    // Whoever asked may have gone on without this disk since the first of them began.
                    Op::WriteDurable { .. } if self.stopping.load(Ordering::SeqCst) => {
                        (id, Err(DiskError::Silent))
                    }
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

    /// Memory from the pool for reads, while it has some and the read is worth it. Such memory
    /// holds what was read before; a read shows it only when all of it was overwritten.
    pub(super) fn memory_for_read(&self, bytes: usize) -> BufferMut {
        let pool = self.read_pool.as_ref();
        let pool = pool.filter(|_| bytes >= POOLED_READ_BYTES_MIN);
        let pooled = pool.and_then(|pool| pool.try_take_short(bytes));
        pooled.unwrap_or_else(|| BufferMut::zeroed(bytes))
    }

    fn read(&self, offset: u64, bytes: usize) -> Result<BufferMut, DiskError> {
        let mut buffer = self.memory_for_read(bytes);
        self.file
            .read_exact_at(&mut buffer, offset)
            .map_err(|error| disk_error(&error, OpKind::Read))?;
        Ok(buffer)
    }

    /// Lets go of the buffer before the completion shows, so that a pool sees it back in time.
    pub(super) fn write(&self, offset: u64, data: Buffer, op: OpKind) -> Result<(), DiskError> {
        self.trusted()?;
        let result = self.file.write_all_at(&data, offset);
        drop(data);
        result.map_err(|error| disk_error(&error, op))
    }

    pub(super) fn flush(&self) -> Result<(), DiskError> {
        self.trusted()?;
        let result = self.file.sync_data();
        result.map_err(|error| {
            *self
                .flush_failure
                .get_or_init(|| disk_error(&error, OpKind::Flush))
        })
    }

    /// Whether a write or a flush may still be believed.
    pub(super) fn trusted(&self) -> Result<(), DiskError> {
        self.flush_failure.get().map_or(Ok(()), |error| Err(*error))
    }

    pub(super) fn discard(&self, offset: u64, bytes: u64) -> Result<(), DiskError> {
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
pub(in crate::linux) fn no_bytes(_: ()) -> Option<BufferMut> {
    None
}
