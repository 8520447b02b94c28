//! One read or write on its way through the ring, and what each answer of the kernel means for it.
//!
//! The kernel may move less than was asked for; the rest is then asked for again, in whole blocks,
//! so that direct I/O takes it. An answer without a single new block ends the operation with an
//! error, as does one that says "again" too often: nothing goes round for ever.

use nix::libc;

use crate::buffer::{Buffer, BufferMut};
use crate::disk::{DiskError, Done, OpId, OpKind, byte_count};
use crate::limits::{BLOCK_BYTES, RING_RETRIES_MAX};
use crate::linux::open::disk_error;

/// A read or write that was asked for.
pub(in crate::linux) struct Request {
    pub(in crate::linux) id: OpId,
    pub(in crate::linux) offset: u64,
    pub(in crate::linux) what: What,
}

/// What a request is about.
pub(in crate::linux) enum What {
    /// Reads so many bytes.
    Read(usize),
    /// Writes the buffer.
    Write(Buffer),
}

impl What {
    /// What kind of operation it is.
    pub(in crate::linux) fn kind(&self) -> OpKind {
        match self {
            What::Read(_) => OpKind::Read,
            What::Write(_) => OpKind::Write,
        }
    }
}

/// A request with its memory, partly done.
pub(in crate::linux) struct Transfer {
    id: OpId,
    offset: u64,
    memory: Memory,
    moved: usize,
    retries: u32,
}

enum Memory {
    Read(BufferMut),
    Write(Buffer),
}

/// The part of a transfer that the kernel has not moved yet.
pub(super) enum Rest<'a> {
    /// To be filled from this offset of the disk.
    Into(u64, &'a mut [u8]),
    /// To be written at this offset of the disk.
    From(u64, &'a [u8]),
}

/// What an answer of the kernel leads to.
pub(in crate::linux) enum Step {
    /// The rest must be asked for.
    Again(Transfer),
    /// The operation is over.
    Ended(Done),
}

impl Transfer {
    /// Takes up a request. A read gets its memory only here, from `memory`, as long as asked for.
    pub(in crate::linux) fn new(
        request: Request,
        memory: impl FnOnce(usize) -> BufferMut,
    ) -> Transfer {
        Transfer {
            id: request.id,
            offset: request.offset,
            memory: match request.what {
                What::Read(bytes) => Memory::Read(memory(bytes)),
                What::Write(data) => Memory::Write(data),
            },
            moved: 0,
            retries: 0,
        }
    }

    /// What is left to be moved, never empty.
    pub(super) fn rest(&mut self) -> Rest<'_> {
        let offset = self.offset + byte_count(self.moved);
        match &mut self.memory {
            Memory::Read(buffer) => Rest::Into(offset, &mut buffer[self.moved..]),
            Memory::Write(data) => Rest::From(offset, &data[self.moved..]),
        }
    }

    /// Takes the kernel's answer for the rest: bytes moved, or a negative error number.
    pub(in crate::linux) fn answered(mut self, answer: i32) -> Step {
        let Ok(count) = usize::try_from(answer) else {
            return self.refused(answer.saturating_neg());
        };
        let length = self.length();
        let reached = self.moved.saturating_add(count);
        if reached >= length {
            return self.ended(Ok(()));
        }
        let whole = reached - reached % BLOCK_BYTES;
        if whole == self.moved {
            return self.ended_by(libc::EIO);
        }
        self.moved = whole;
        self.retries = 0;
        Step::Again(self)
    }

    fn refused(mut self, errno: i32) -> Step {
        let passing = errno == libc::EINTR || errno == libc::EAGAIN;
        if passing && self.retries < RING_RETRIES_MAX {
            self.retries += 1;
            return Step::Again(self);
        }
        self.ended_by(errno)
    }

    fn length(&self) -> usize {
        match &self.memory {
            Memory::Read(buffer) => buffer.len(),
            Memory::Write(data) => data.len(),
        }
    }

    fn kind(&self) -> OpKind {
        match &self.memory {
            Memory::Read(_) => OpKind::Read,
            Memory::Write(_) => OpKind::Write,
        }
    }

    fn ended_by(self, errno: i32) -> Step {
        let op = self.kind();
        let error = disk_error(&std::io::Error::from_raw_os_error(errno), op);
        self.ended(Err(error))
    }

    /// Lets go of what was written before the completion shows, so that a pool sees it back in
    /// time.
    fn ended(self, result: Result<(), DiskError>) -> Step {
        let bytes = match self.memory {
            Memory::Read(buffer) => Some(buffer),
            Memory::Write(_) => None,
        };
        Step::Ended(Done {
            id: self.id,
            result: result.map(|()| bytes),
        })
    }

    /// Gives the memory up for ever, because the kernel may still be using it.
    pub(super) fn leak(self) -> (OpId, OpKind) {
        let of = (self.id, self.kind());
        std::mem::forget(self.memory);
        of
    }
}

#[cfg(test)]
mod tests;
