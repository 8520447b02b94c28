//! The thread that carries the reads and writes of a disk through a ring, and the way to it.
//!
//! Handing over a request takes a lock for a moment and, only when the thread sleeps with room for
//! more, one system call to wake it. The thread keeps the ring full and sleeps in the kernel.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::shared::Shared;
use crate::buffer::Pool;
use crate::disk::{DiskError, Done, OpId, OpKind};
use crate::limits::RING_DEPTH;
use crate::linux::open::RingDenied;
use crate::linux::ring::transfer::{Request, Transfer, What};
use crate::linux::ring::{Ring, errno};
use crate::sync::lock;

/// The owner's side of a running ring thread.
pub(super) struct RingThread {
    pub(super) queue: Arc<RingQueue>,
    pub(super) thread: JoinHandle<()>,
    /// Why memory could not be registered.
    pub(super) registration_refused: Option<Errno>,
}

impl RingThread {
    /// Starts a thread with a ring of its own.
    pub(super) fn start(shared: &Arc<Shared>, pools: &[Pool]) -> Result<RingThread, RingDenied> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(RingDenied)?;
        let queue = Arc::new(RingQueue {
            state: Mutex::new(State::default()),
            wake: Arc::new(wake),
        });
        let (report, started) = mpsc::sync_channel(1);
        let (shared, requests, pools) = (Arc::clone(shared), Arc::clone(&queue), pools.to_vec());
        let life = move || match Ring::new(&shared.file, Arc::clone(&requests.wake), &pools) {
            Ok(ring) => {
                if report.send(Ok(ring.registration_refused())).is_ok() {
                    run(&shared, &requests, ring);
                }
            }
            Err(errno) => {
                // The opener waits for this; nobody else could care.
                let _told = report.send(Err(RingDenied(errno)));
            }
        };
        let thread = std::thread::Builder::new()
            .name("disk-ring".to_owned())
            .spawn(life)
            .map_err(|error| RingDenied(errno(&error)))?;
        let registration_refused = started.recv().unwrap_or(Err(RingDenied(Errno::EIO)))?;
        Ok(RingThread {
            queue,
            thread,
            registration_refused,
        })
    }
}

/// Requests on their way to the ring thread.
pub(super) struct RingQueue {
    state: Mutex<State>,
    wake: Arc<EventFd>,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    /// The thread sleeps, or is about to, and has room for more.
    asleep: bool,
    stopping: bool,
    /// Why there is no thread any more.
    broken: Option<Errno>,
}

impl RingQueue {
    /// Hands a request over, without waiting.
    ///
    /// # Errors
    /// The ring does not work any more.
    pub(super) fn push(&self, request: Request) -> Result<(), DiskError> {
        let mut state = lock(&self.state);
        if let Some(errno) = state.broken {
            return Err(broken(errno, request.what.kind()));
        }
        state.requests.push_back(request);
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.wake();
        }
        Ok(())
    }

    /// Lets the thread end what is running and nothing else.
    pub(super) fn stop(&self) {
        lock(&self.state).stopping = true;
        self.wake();
    }

    /// Lets go of what the thread has not taken up.
    pub(super) fn clear(&self) {
        drop(std::mem::take(&mut lock(&self.state).requests));
    }

    /// Adding to a counter that the thread empties cannot fail: it would have to overflow first.
    fn wake(&self) {
        let woken = self.wake.write(1);
        debug_assert!(woken.is_ok(), "{woken:?}");
    }

    /// Takes as many requests as there is room for; false once the disk is stopping.
    fn take(&self, room: usize, taken: &mut Vec<Request>) -> bool {
        let mut state = lock(&self.state);
        if state.stopping {
            return false;
        }
        let count = room.min(state.requests.len());
        taken.extend(state.requests.drain(..count));
        state.asleep = count < room;
        true
    }

    fn break_down(&self, errno: Errno) -> VecDeque<Request> {
        let mut state = lock(&self.state);
        state.broken = Some(errno);
        std::mem::take(&mut state.requests)
    }
}

/// The life of the thread.
fn run(shared: &Shared, queue: &RingQueue, mut ring: Ring) {
    let mut requests = Vec::with_capacity(RING_DEPTH);
    let mut ended = Vec::with_capacity(RING_DEPTH);
    loop {
        if queue.take(ring.room(), &mut requests) {
            ring.arm_wake();
        } else if ring.in_flight() == 0 {
            return;
        }
        for request in requests.drain(..) {
            match refusal(shared, &request) {
                Some(error) => ended.push(failed(request.id, error)),
                None => {
                    let memory = |bytes| shared.memory_for_read(bytes);
                    ring.start(Transfer::new(request, memory));
                }
            }
        }
        if !ended.is_empty() {
            // There may be room again, so look before sleeping.
            shared.complete_all(&mut ended);
            continue;
        }
        let waited = ring.wait(&mut ended);
        shared.complete_all(&mut ended);
        if let Err(errno) = waited {
            give_up(shared, queue, &mut ring, errno);
            return;
        }
    }
}

/// After a failed flush no write is believed.
fn refusal(shared: &Shared, request: &Request) -> Option<DiskError> {
    match request.what {
        What::Read(_) => None,
        What::Write(_) => shared.trusted().err(),
    }
}

/// Ends everything when the ring itself fails, which no known kernel does.
fn give_up(shared: &Shared, queue: &RingQueue, ring: &mut Ring, errno: Errno) {
    let running = ring.abandon().into_iter();
    let waiting = queue.break_down(errno);
    let waiting = waiting
        .iter()
        .map(|request| (request.id, request.what.kind()));
    let mut ended: Vec<Done> = running
        .chain(waiting)
        .map(|(id, op)| failed(id, broken(errno, op)))
        .collect();
    shared.complete_all(&mut ended);
}

fn broken(errno: Errno, op: OpKind) -> DiskError {
    DiskError::Io {
        errno: errno as i32,
        op,
    }
}

fn failed(id: OpId, error: DiskError) -> Done {
    Done {
        id,
        result: Err(error),
    }
}

#[cfg(test)]
mod tests;
