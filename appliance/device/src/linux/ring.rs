//! A ring of the kernel (io_uring) for the reads and writes of one disk: unsafe code, fenced.
//!
//! Invariants:
//! - Memory that the kernel was told of belongs to a `Transfer` in a slot, or is `wake_memory`. It
//!   leaves only when the kernel has answered for it: `drop` waits, and where waiting is impossible
//!   the memory is given up for ever.
//! - A slot has at most one entry in the submission queue, which has room for all slots and the
//!   wake-up, so that it never overflows.
//! - Registered memory belongs to pools that the ring keeps. A pool never frees a slab, so an
//!   address inside registered memory can be of no other memory.
//! - One thread makes, uses and drops the ring.
//!
//! Flushes do not go through here: the kernel would hand them to workers of its own, which costs
//! more than a thread of ours that makes the plain system call. For the same reason entries are
//! never linked or drained.

#![expect(
    unsafe_code,
    reason = "only the caller can promise the kernel that memory stays where it is"
)]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use nix::errno::Errno;
use nix::libc;
use nix::sys::eventfd::EventFd;

use crate::buffer::{BufferMut, Pool};
use crate::disk::{Done, OpId, OpKind};
use crate::limits::{BLOCK_BYTES, RING_DEPTH, RING_PAUSE_MS};
use transfer::{Rest, Step, Transfer};

pub(super) mod patient;
pub(super) mod transfer;

/// The places of the registered files.
const DISK: types::Fixed = types::Fixed(0);
const WAKE: types::Fixed = types::Fixed(1);
/// Marks the answer to the read of the wake-up; other answers are marked with their slot.
const WAKE_MARK: u64 = u64::MAX;
/// Length of what a wake-up reads, bytes.
const WAKE_BYTES: u32 = 8;

/// A ring and what is in flight in it.
pub(super) struct Ring {
    ring: IoUring,
    slots: Vec<Option<Transfer>>,
    in_flight: usize,
    wake: Arc<EventFd>,
    wake_memory: BufferMut,
    wake_armed: bool,
    registered: Registered,
    answers: Vec<(u64, i32)>,
}

impl Ring {
    /// A ring for one disk. Whoever adds to `wake` ends a wait. Memory of the pools is registered
    /// if the kernel lets it.
    ///
    /// # Errors
    /// The kernel has no rings, denies them, or knows none of the operations needed.
    pub(super) fn new(file: &File, wake: Arc<EventFd>, pools: &[Pool]) -> Result<Ring, Errno> {
        let ring = build().map_err(|error| errno(&error))?;
        let submitter = ring.submitter();
        let mut probe = Probe::new();
        submitter
            .register_probe(&mut probe)
            .and_then(|()| submitter.register_files(&[file.as_raw_fd(), wake.as_raw_fd()]))
            .map_err(|error| errno(&error))?;
        let needed = [
            opcode::Read::CODE,
            opcode::Write::CODE,
            opcode::ReadFixed::CODE,
            opcode::WriteFixed::CODE,
        ];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(Errno::EOPNOTSUPP);
        }
        let registered = Registered::new(&ring, pools);
        Ok(Ring {
            ring,
            slots: (0..RING_DEPTH).map(|_| None).collect(),
            in_flight: 0,
            wake,
            wake_memory: BufferMut::zeroed(BLOCK_BYTES),
            wake_armed: false,
            registered,
            answers: Vec::with_capacity(RING_DEPTH + 1),
        })
    }

    /// Why pools could not be registered.
    pub(super) fn registration_refused(&self) -> Option<Errno> {
        self.registered.refused
    }

    /// How many more transfers may be started.
    pub(super) fn room(&self) -> usize {
        RING_DEPTH - self.in_flight
    }

    /// How many transfers have not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Starts a transfer; the kernel sees it at the next wait.
    ///
    /// # Panics
    /// When there is no room.
    pub(super) fn start(&mut self, mut transfer: Transfer) {
        let slot = self.slots.iter().position(Option::is_none);
        let slot = slot.expect("room for a transfer");
        let entry = self.entry(&mut transfer).user_data(slot as u64);
        self.slots[slot] = Some(transfer);
        self.in_flight += 1;
        // SAFETY: the memory belongs to the transfer, which now lies in its slot and stays there
        // until the kernel has answered; moving the transfer moved the handle, not the memory.
        // While it is in its slot nobody reads memory the kernel writes, nor writes any of it.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has room for every slot");
    }

    fn entry(&self, transfer: &mut Transfer) -> squeue::Entry {
        match transfer.rest() {
            Rest::Into(offset, memory) => {
                let (at, length) = (memory.as_mut_ptr(), entry_bytes(memory));
                match self.registered.find(memory) {
                    Some(index) => opcode::ReadFixed::new(DISK, at, length, index)
                        .offset(offset)
                        .build(),
                    None => opcode::Read::new(DISK, at, length).offset(offset).build(),
                }
            }
            Rest::From(offset, memory) => {
                let (at, length) = (memory.as_ptr(), entry_bytes(memory));
                match self.registered.find(memory) {
                    Some(index) => opcode::WriteFixed::new(DISK, at, length, index)
                        .offset(offset)
                        .build(),
                    None => opcode::Write::new(DISK, at, length).offset(offset).build(),
                }
            }
        }
    }

    /// Lets the next wake-up end a wait.
    pub(super) fn arm_wake(&mut self) {
        if self.wake_armed {
            return;
        }
        let entry = opcode::Read::new(WAKE, self.wake_memory.as_mut_ptr(), WAKE_BYTES)
            .build()
            .user_data(WAKE_MARK);
        self.wake_armed = true;
        // SAFETY: `wake_memory` is longer than what is read, nobody looks at it, and it lives until
        // the kernel has answered or for ever.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has room for the wake-up");
    }

    /// Hands the kernel what was started, sleeps until it has answered anything, and appends what
    /// ended; what was moved in part is started again. May come back with nothing.
    ///
    /// # Errors
    /// The ring does not work any more; only `abandon` may follow.
    pub(super) fn wait(&mut self, ended: &mut Vec<Done>) -> Result<(), Errno> {
        let waited = self.ring.submit_and_wait(1);
        self.answers.clear();
        let queue = self.ring.completion();
        self.answers
            .extend(queue.map(|answer| (answer.user_data(), answer.result())));
        for index in 0..self.answers.len() {
            let (mark, answer) = self.answers[index];
            self.answered(mark, answer, ended);
        }
        match waited.map_err(|error| errno(&error)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            // The kernel is out of memory for the moment; nothing was lost.
            Err(Errno::EAGAIN | Errno::EBUSY) => {
                if self.answers.is_empty() {
                    std::thread::sleep(Duration::from_millis(RING_PAUSE_MS));
                }
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    fn answered(&mut self, mark: u64, answer: i32, ended: &mut Vec<Done>) {
        if mark == WAKE_MARK {
            self.wake_armed = false;
            return;
        }
        let slot = usize::try_from(mark).ok();
        let slot = slot.and_then(|slot| self.slots.get_mut(slot));
        let Some(transfer) = slot.and_then(Option::take) else {
            return;
        };
        self.in_flight -= 1;
        match transfer.answered(answer) {
            Step::Again(transfer) => self.start(transfer),
            Step::Ended(done) => ended.push(done),
        }
    }

    /// Forgets what is in flight and leaves its memory to the kernel for ever.
    pub(super) fn abandon(&mut self) -> Vec<(OpId, OpKind)> {
        self.in_flight = 0;
        if std::mem::take(&mut self.wake_armed) {
            let fresh = BufferMut::zeroed(BLOCK_BYTES);
            std::mem::forget(std::mem::replace(&mut self.wake_memory, fresh));
        }
        let transfers = self.slots.iter_mut().filter_map(Option::take);
        transfers.map(Transfer::leak).collect()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The wake-up is answered only when somebody wakes. If that fails, the wait below does too
        // or others have woken already.
        if self.wake_armed && self.wake.write(1).is_err() {
            self.abandon();
        }
        let mut ended = Vec::new();
        while self.in_flight > 0 || self.wake_armed {
            if self.wait(&mut ended).is_err() {
                self.abandon();
            }
        }
    }
}

/// Memory that the kernel keeps mapped, so that a transfer need not map it each time.
struct Registered {
    /// Sorted; the position is the kernel's number for it.
    places: Vec<Range<usize>>,
    refused: Option<Errno>,
    /// Keeps the memory.
    _pools: Vec<Pool>,
}

impl Registered {
    fn new(ring: &IoUring, pools: &[Pool]) -> Registered {
        let mut places: Vec<Range<usize>> = pools.iter().map(Pool::place).collect();
        places.retain(|place| !place.is_empty());
        places.sort_unstable_by_key(|place| place.start);
        places.dedup();
        let vectors: Vec<libc::iovec> = places
            .iter()
            .map(|place| libc::iovec {
                iov_base: std::ptr::without_provenance_mut(place.start),
                iov_len: place.len(),
            })
            .collect();
        let outcome = if vectors.is_empty() {
            Ok(())
        } else {
            // SAFETY: the places are the memory of the pools; these are kept beside the ring, and a
            // pool frees nothing while it exists.
            unsafe { ring.submitter().register_buffers(&vectors) }
        };
        let refused = outcome.err().map(|error| errno(&error));
        if refused.is_some() {
            places.clear();
        }
        Registered {
            places,
            refused,
            _pools: pools.to_vec(),
        }
    }

    /// The kernel's number for the registered memory in which these bytes lie.
    fn find(&self, memory: &[u8]) -> Option<u16> {
        let start = memory.as_ptr().addr();
        let after = self.places.partition_point(|place| place.start <= start);
        let index = after.checked_sub(1)?;
        let inside = start + memory.len() <= self.places[index].end;
        inside.then(|| u16::try_from(index).ok()).flatten()
    }
}

/// A ring for one thread, whose answers wait until that thread asks for them; an older kernel
/// gives a plain one.
fn build() -> std::io::Result<IoUring> {
    let entries = u32::try_from(RING_DEPTH + 1).unwrap_or(u32::MAX);
    let lean = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(entries);
    match lean {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(entries),
        outcome => outcome,
    }
}

/// The length of an entry.
pub(super) fn entry_bytes(memory: &[u8]) -> u32 {
    u32::try_from(memory.len()).expect("no operation is longer than its limit")
}

/// The number of an error that came from the kernel, and one for anything else.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests;
