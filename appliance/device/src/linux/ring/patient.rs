//! One transfer after the other through a ring of its own, each for so long and no longer: unsafe code, fenced.
//!
//! A plain system call on a device that hangs comes back when the kernel gives up, after minutes or never. Here whoever
//! waits goes on without an answer: the memory is the kernel's for ever then, and nothing else goes through the ring.
//! Costs what the plain call does, where a thread to wait for would have to be woken twice.
//!
//! Invariant: memory that the kernel was told of is dropped only after the kernel has answered for it.

#![expect(
    unsafe_code,
    reason = "only the caller can promise the kernel that memory stays where it is"
)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use io_uring::{IoUring, Probe, opcode, squeue, types};
use nix::errno::Errno;

use super::{entry_bytes, errno};
use crate::buffer::BufferMut;
use crate::disk::{DiskError, OpKind, byte_count};
use crate::limits::{BLOCK_BYTES, PATIENCE_LOOK_MS, RING_PAUSE_MS, RING_RETRIES_MAX};
use crate::linux::open::disk_error;

const LOOK: Duration = Duration::from_millis(PATIENCE_LOOK_MS);

/// A ring in which one operation is in flight at most.
pub(in crate::linux) struct PatientRing {
    ring: IoUring,
}

/// How a transfer ended.
pub(in crate::linux) enum Ended {
    /// With its memory.
    Answered(BufferMut, Result<(), DiskError>),
    /// Not within its time. The ring must not be used again.
    Hung,
}

/// What is moved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::linux) enum Towards {
    Read,
    Write,
}

impl PatientRing {
    /// A ring for any file.
    ///
    /// # Errors
    /// The kernel has no rings, denies them, cannot wait for a time, or knows none of the operations needed.
    pub(in crate::linux) fn new() -> Result<Self, Errno> {
        let ring = IoUring::new(1).map_err(|error| errno(&error))?;
        let mut probe = Probe::new();
        ring.submitter()
            .register_probe(&mut probe)
            .map_err(|error| errno(&error))?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE];
        let knows = needed.iter().all(|code| probe.is_supported(*code));
        match knows && ring.params().is_feature_ext_arg() {
            true => Ok(Self { ring }),
            false => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Moves the first `bytes` bytes of `memory` to or from `offset` of the file.
    pub(in crate::linux) fn transfer(
        &mut self,
        file: &File,
        (towards, offset, bytes): (Towards, u64, usize),
        mut memory: BufferMut,
        patience: Duration,
    ) -> Ended {
        let mut patience = patience;
        let op = match towards {
            Towards::Read => OpKind::Read,
            Towards::Write => OpKind::Write,
        };
        let fd = types::Fd(file.as_raw_fd());
        let (mut moved, mut retries) = (0, 0);
        while moved < bytes {
            let at = offset + byte_count(moved);
            let rest = &mut memory[moved..bytes];
            let length = entry_bytes(rest);
            let entry = match towards {
                Towards::Read => opcode::Read::new(fd, rest.as_mut_ptr(), length)
                    .offset(at)
                    .build(),
                Towards::Write => opcode::Write::new(fd, rest.as_ptr(), length)
                    .offset(at)
                    .build(),
            };
            // SAFETY: `memory` is neither touched nor dropped before `answer` has brought the kernel's answer; where it
            // brings none it is forgotten, and so belongs to the kernel for ever.
            let answer = unsafe { self.answer(&entry, &mut patience) };
            match answer {
                None => {
                    std::mem::forget(memory);
                    return Ended::Hung;
                }
                Some(Err(Errno::EAGAIN | Errno::EINTR)) if retries < RING_RETRIES_MAX => {
                    retries += 1;
                }
                Some(Err(error)) => return Ended::Answered(memory, Err(failure(error, op))),
                Some(Ok(count)) => {
                    // In whole blocks, so that direct I/O takes the rest.
                    let whole = if moved + count < bytes {
                        count - count % BLOCK_BYTES
                    } else {
                        count
                    };
                    if whole == 0 {
                        return Ended::Answered(memory, Err(failure(Errno::EIO, op)));
                    }
                    moved += whole;
                }
            }
        }
        Ended::Answered(memory, Ok(()))
    }

    /// Makes what was written to the file durable; none where no answer came within the time.
    pub(in crate::linux) fn flush(
        &mut self,
        file: &File,
        mut patience: Duration,
    ) -> Option<Result<(), DiskError>> {
        let fd = types::Fd(file.as_raw_fd());
        let entry = opcode::Fsync::new(fd)
            .flags(types::FsyncFlags::DATASYNC)
            .build();
        // SAFETY: a flush has no memory.
        let answer = unsafe { self.answer(&entry, &mut patience) };
        Some(match answer? {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(error, OpKind::Flush)),
        })
    }

    /// Hands an operation to the kernel and waits for its answer; none when there is no patience left.
    ///
    /// # Safety
    /// Memory of the entry stays where it is and is not touched until this has brought an answer, or for ever.
    unsafe fn answer(
        &mut self,
        entry: &squeue::Entry,
        patience: &mut Duration,
    ) -> Option<Result<usize, Errno>> {
        // SAFETY: as the caller promises.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("the queue has room for the only operation");
        loop {
            let looked = Instant::now();
            let timespec = types::Timespec::from(LOOK.min(*patience));
            let how = types::SubmitArgs::new().timespec(&timespec);
            let waited = self.ring.submitter().submit_with_args(1, &how);
            if let Some(answer) = self.ring.completion().next() {
                let result = answer.result();
                return Some(usize::try_from(result).map_err(|_| Errno::from_raw(-result)));
            }
            if patience.is_zero() {
                return None;
            }
            match waited.map_err(|error| errno(&error)) {
                Ok(_) | Err(Errno::ETIME | Errno::EINTR) => {}
                // The kernel is out of memory for the moment, or the ring does not work: either way time passes.
                Err(_) => std::thread::sleep(Duration::from_millis(RING_PAUSE_MS)),
            }
            // When the whole machine was paused, the disk was not slow.
            *patience = patience.saturating_sub(looked.elapsed().min(LOOK));
        }
    }
}

fn failure(errno: Errno, op: OpKind) -> DiskError {
    disk_error(&std::io::Error::from(errno), op)
}

#[cfg(test)]
mod tests;
