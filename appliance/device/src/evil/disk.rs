//! An evil disk as a disk: threads in front of its cache, so that operations overlap as on a real
//! one. Two threads carry out reads, writes and discards in any order, one commits.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::cache::{Cache, Owner};
use super::mains::Mains;
use crate::buffer::BufferMut;
use crate::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId, Waker};
use crate::limits::EVIL_THREADS_PER_DISK;
use crate::linux::open::{OpenError, OpenMode, open_disk, queue_facts};
use crate::sync::{lock, wait};

/// A disk that forgets.
pub struct EvilDisk {
    identity: DiskIdentity,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    in_flight: usize,
    /// Holds the lock of the path.
    _lock: File,
}

/// An operation on its way, and for a flush the moment at which it was submitted.
struct Order {
    id: OpId,
    op: Op,
    moment: u64,
}

/// A completion, with the number that the cache gave the write.
struct Ended {
    done: Done,
    write: Option<u64>,
}

#[derive(Default)]
struct Queues {
    bulk: VecDeque<Order>,
    commits: VecDeque<Order>,
    ended: Vec<Ended>,
    stopping: bool,
}

struct Shared {
    cache: Arc<Cache>,
    owner: Owner,
    queues: Mutex<Queues>,
    changed: Condvar,
    waker: Waker,
}

impl EvilDisk {
    /// Opens a file or block device for writing, making the file where that is asked.
    ///
    /// # Errors
    /// As a plain disk.
    pub fn open(
        mains: &Mains,
        path: &Path,
        mode: OpenMode,
        waker: Waker,
    ) -> Result<EvilDisk, OpenError> {
        let opened = open_disk(path, mode)?;
        let io = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let cache = mains.cache(path, opened.bytes).map_err(io)?;
        let (sector_bytes, rotational) = queue_facts(&opened.file);
        let shared = Arc::new(Shared {
            owner: cache.owner(),
            cache,
            queues: Mutex::new(Queues::default()),
            changed: Condvar::new(),
            waker,
        });
        let mut disk = EvilDisk {
            identity: DiskIdentity {
                name: path.display().to_string(),
                bytes: opened.bytes,
                sector_bytes,
                rotational,
                serial: None,
                backend: format!("evil disk, {}", mains.plan()),
            },
            shared,
            threads: Vec::new(),
            in_flight: 0,
            _lock: opened.file,
        };
        for _ in 0..EVIL_THREADS_PER_DISK {
            disk.start("evil-io", Shared::run_bulk).map_err(io)?;
        }
        disk.start("evil-commit", Shared::run_commits).map_err(io)?;
        Ok(disk)
    }

    fn start(&mut self, name: &str, run: fn(&Shared)) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(builder.spawn(move || run(&shared))?);
        Ok(())
    }

    /// Only from here on does a flush cover them for certain.
    fn hand_out(&mut self, ended: Vec<Ended>, into: &mut Vec<Done>) {
        self.in_flight -= ended.len();
        let writes = ended.iter().filter_map(|one| one.write);
        self.shared.cache.handed_out(writes);
        into.extend(ended.into_iter().map(|one| one.done));
    }
}

impl Shared {
    fn run_bulk(&self) {
        while let Some(order) = self.take(|queues| queues.bulk.pop_front()) {
            let (owner, cache) = (self.owner, &self.cache);
            match order.op {
                Op::Read { offset, bytes } => {
                    let mut buffer = BufferMut::zeroed(bytes);
                    let read = cache.read(offset, &mut buffer).map(|()| Some(buffer));
                    self.end(order.id, read, None);
                }
                Op::Write { offset, data } => {
                    let write = cache.write(owner, offset, &data);
                    drop(data);
                    self.end(order.id, write.map(|_| None), write.ok());
                }
                Op::Discard { offset, bytes } => {
                    let write = cache.discard(owner, offset, bytes);
                    self.end(order.id, write.map(|_| None), write.ok());
                }
                // Queued elsewhere; correct all the same.
                Op::Flush | Op::WriteDurable { .. } => self.commit(vec![order]),
            }
        }
    }

    fn run_commits(&self) {
        let all = |queues: &mut Queues| {
            let waiting = !queues.commits.is_empty();
            waiting.then(|| std::mem::take(&mut queues.commits))
        };
        while let Some(batch) = self.take(all) {
            self.commit(batch.into());
        }
    }

    /// Everything waiting shares one flush.
    fn commit(&self, batch: Vec<Order>) {
        let moment = batch.iter().map(|order| order.moment).max().unwrap_or(0);
        let mut own = Vec::new();
        let written: Vec<(OpId, Result<(), DiskError>)> = batch
            .into_iter()
            .map(|order| match order.op {
                Op::WriteDurable { offset, data } => {
                    let write = self.cache.write(self.owner, offset, &data);
                    own.extend(write.ok());
                    (order.id, write.map(drop))
                }
                Op::Read { .. } | Op::Write { .. } | Op::Discard { .. } | Op::Flush => {
                    (order.id, Ok(()))
                }
            })
            .collect();
        self.cache.pause();
        let flushed = self.cache.flush(self.owner, moment, &own);
        for (id, result) in written {
            self.end(id, result.and(flushed).map(|()| None), None);
        }
    }

    fn take<T>(&self, take: impl Fn(&mut Queues) -> Option<T>) -> Option<T> {
        let mut queues = lock(&self.queues);
        loop {
            if queues.stopping {
                return None;
            }
            if let Some(taken) = take(&mut queues) {
                return Some(taken);
            }
            queues = wait(&self.changed, queues);
        }
    }

    fn end(&self, id: OpId, result: Result<Option<BufferMut>, DiskError>, write: Option<u64>) {
        let done = Done { id, result };
        lock(&self.queues).ended.push(Ended { done, write });
        self.changed.notify_all();
        (self.waker)();
    }
}

impl Disk for EvilDisk {
    fn identity(&self) -> &DiskIdentity {
        &self.identity
    }

    fn submit(&mut self, id: OpId, op: Op) {
        self.in_flight += 1;
        if let Err(error) = op.check(self.identity.bytes) {
            self.shared.end(id, Err(error), None);
            return;
        }
        let moment = self.shared.cache.moment();
        let commits = matches!(op, Op::Flush | Op::WriteDurable { .. });
        let order = Order { id, op, moment };
        let mut queues = lock(&self.shared.queues);
        if commits {
            queues.commits.push_back(order);
        } else {
            queues.bulk.push_back(order);
        }
        drop(queues);
        self.shared.changed.notify_all();
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        let ended = std::mem::take(&mut lock(&self.shared.queues).ended);
        self.hand_out(ended, done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        if self.in_flight == 0 {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut queues = lock(&shared.queues);
        while queues.ended.is_empty() {
            queues = wait(&shared.changed, queues);
        }
        let ended = std::mem::take(&mut queues.ended);
        drop(queues);
        self.hand_out(ended, done);
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Drop for EvilDisk {
    fn drop(&mut self) {
        lock(&self.shared.queues).stopping = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panicked thread has nothing left to clean up.
            drop(thread.join());
        }
        self.shared.cache.close(self.shared.owner);
    }
}
