//! A disk: numbered operations go in, completions come out, in any order.
//!
//! The promise on which everything above stands:
//! - A `Flush` or `WriteDurable` that completed without error makes durable every write of this
//!   disk whose completion had been handed out before it was submitted (and, for `WriteDurable`,
//!   its own write). Nothing is promised about writes still in flight at that moment.
//! - After a failed flush or a failed durable write, nothing written since the last good flush
//!   counts, whatever a later flush says. The caller leaves the disk alone from then on.
//! - Until made durable, a write may survive a power cut whole, in part or not at all, sector by
//!   sector (512 bytes, each whole), and in any order relative to other writes.
//! - What a read returns for a range with a write or discard in flight is undefined, and so is the
//!   order of overlapping writes that are in flight together.
//!
//! Offsets and lengths are multiples of the block size. No outcome of I/O panics.

use nix::libc::{EAGAIN, EBADF, EBUSY, EINTR, EINVAL, EIO, ENOMEM, ENOSYS, EOPNOTSUPP};

use crate::buffer::{Buffer, BufferMut};
use crate::limits::{BLOCK, BLOCK_BYTES, OP_BYTES_MAX, READS_AT_ONCE};

/// Names one operation of one disk; the caller chooses it and sees it again in the completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// One operation. Offsets and lengths are in bytes and multiples of the block size.
#[derive(Clone, Debug)]
pub enum Op {
    /// Reads `bytes` bytes into a new buffer.
    Read {
        /// First byte.
        offset: u64,
        /// How many bytes, at least one block.
        bytes: usize,
    },
    /// Writes the buffer; durable only after a later flush.
    Write {
        /// First byte.
        offset: u64,
        /// What to write.
        data: Buffer,
    },
    /// Writes the buffer and flushes, with one completion for both: the journal's commit.
    WriteDurable {
        /// First byte.
        offset: u64,
        /// What to write.
        data: Buffer,
    },
    /// Makes durable what was completed before.
    Flush,
    /// Gives the range back to the device; it reads as zeros afterwards. Like a write it is
    /// durable only after a flush. A device that cannot do it fails with the errno `EOPNOTSUPP`.
    Discard {
        /// First byte.
        offset: u64,
        /// How many bytes, at least one block.
        bytes: u64,
    },
}

impl Op {
    /// What kind of operation it is.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        match self {
            Op::Read { .. } => OpKind::Read,
            Op::Write { .. } => OpKind::Write,
            Op::WriteDurable { .. } => OpKind::WriteDurable,
            Op::Flush => OpKind::Flush,
            Op::Discard { .. } => OpKind::Discard,
        }
    }

    /// Checks alignment and range against a disk of `disk_bytes` bytes.
    ///
    /// # Errors
    /// `Misaligned` for an empty or unaligned access, `OutOfRange` for one beyond the end of the
    /// disk or longer than any single operation may be.
    pub fn check(&self, disk_bytes: u64) -> Result<(), DiskError> {
        match self {
            Op::Read { offset, bytes } => check_transfer(*offset, *bytes, disk_bytes),
            Op::Write { offset, data } | Op::WriteDurable { offset, data } => {
                check_transfer(*offset, data.len(), disk_bytes)
            }
            Op::Discard { offset, bytes } => check_range(*offset, *bytes, disk_bytes),
            Op::Flush => Ok(()),
        }
    }
}

fn check_transfer(offset: u64, bytes: usize, disk_bytes: u64) -> Result<(), DiskError> {
    if bytes > OP_BYTES_MAX && bytes.is_multiple_of(BLOCK_BYTES) {
        return Err(DiskError::OutOfRange);
    }
    check_range(offset, byte_count(bytes), disk_bytes)
}

/// A length in memory as a length on disk; no machine has more than 64 bits of either.
pub(crate) fn byte_count(bytes: usize) -> u64 {
    bytes as u64
}

/// Checks that a range is aligned, not empty and inside `limit`.
pub(crate) fn check_range(offset: u64, bytes: u64, limit: u64) -> Result<(), DiskError> {
    if bytes == 0 || !offset.is_multiple_of(BLOCK) || !bytes.is_multiple_of(BLOCK) {
        return Err(DiskError::Misaligned);
    }
    match offset.checked_add(bytes) {
        Some(end) if end <= limit => Ok(()),
        _ => Err(DiskError::OutOfRange),
    }
}

/// The kind of an operation, for messages and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A write with its own flush.
    WriteDurable,
    /// A flush.
    Flush,
    /// A discard.
    Discard,
}

impl std::fmt::Display for OpKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            OpKind::Read => "read",
            OpKind::Write => "write",
            OpKind::WriteDurable => "durable write",
            OpKind::Flush => "flush",
            OpKind::Discard => "discard",
        })
    }
}

/// A completion.
#[derive(Debug)]
pub struct Done {
    /// The operation that ended.
    pub id: OpId,
    /// The bytes for a read, nothing for anything else, or why it failed.
    pub result: Result<Option<BufferMut>, DiskError>,
}

/// Why an operation failed. Says nothing about content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The device reported an error.
    #[error("{op} failed: {}", errno_text(*.errno))]
    Io {
        /// The kernel's error number.
        errno: i32,
        /// What failed.
        op: OpKind,
    },
    /// The device or the file system under it has no room left.
    #[error("no space left")]
    Full,
    /// Offset or length is not a multiple of the block size, or the length is zero.
    #[error("access is not aligned to {BLOCK_BYTES} bytes")]
    Misaligned,
    /// The access reaches beyond the end, or is longer than one operation may be.
    #[error("access is out of range")]
    OutOfRange,
    /// The device has disappeared.
    #[error("disk is gone")]
    Gone,
    /// The device answered nothing for so long that it was given up.
    #[error("disk does not answer")]
    Silent,
    /// The simulated power is off; nothing is known about this operation.
    #[error("power was lost")]
    PowerLost,
}

impl DiskError {
    /// Whether the device answered with an error. Not where it is gone, silent or full, nor where the system gave the
    /// error before it asked: it lacked memory, was busy or interrupted, or did not take the call.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        const NOT_ASKED: [i32; 8] = [
            EAGAIN, EBADF, EBUSY, EINTR, EINVAL, ENOMEM, ENOSYS, EOPNOTSUPP,
        ];
        matches!(self, DiskError::Io { errno, .. } if !NOT_ASKED.contains(errno))
    }
}

fn errno_text(errno: i32) -> &'static str {
    nix::errno::Errno::from_raw(errno).desc()
}

/// What an operator sees of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskIdentity {
    /// How to find it: a path, or the name given to a simulated disk.
    pub name: String,
    /// Usable size in bytes, a multiple of the block size.
    pub bytes: u64,
    /// Logical sector size of the device in bytes, if the kernel tells.
    pub sector_bytes: Option<u32>,
    /// Whether seeks cost time, if the kernel tells.
    pub rotational: Option<bool>,
    /// The serial number of its drive, if it is a device and the kernel tells: one line of printable ASCII.
    pub serial: Option<String>,
    /// How it is accessed, for status screens.
    pub backend: String,
}

/// A disk. One owner drives it; it may hand the work to threads of its own.
pub trait Disk: Send {
    /// Who it is. Constant while it is open.
    fn identity(&self) -> &DiskIdentity;

    /// Takes an operation and returns at once. Every operation completes exactly once, also one
    /// that is refused. The caller bounds how many it keeps in flight.
    fn submit(&mut self, id: OpId, op: Op);

    /// Appends the completions there are, without waiting.
    fn poll(&mut self, done: &mut Vec<Done>);

    /// Appends completions, sleeping until there is at least one. Returns at once, with nothing,
    /// when nothing is in flight.
    ///
    /// A real device may never answer. One that answers nothing for very long is given up: all that
    /// is in flight completes with `Silent`, and so does, at once, whatever is asked for later. An
    /// operation that was given up may still happen. Who never waits judges by itself what hangs.
    fn wait(&mut self, done: &mut Vec<Done>);

    /// Operations submitted whose completion was not handed out yet.
    fn in_flight(&self) -> usize;

    /// Whether it was given up, because it did not answer whoever waited for it.
    fn is_given_up(&self) -> bool {
        false
    }
}

impl<D: Disk + ?Sized> Disk for Box<D> {
    fn identity(&self) -> &DiskIdentity {
        (**self).identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        (**self).submit(id, op);
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        (**self).poll(done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        (**self).wait(done);
    }

    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }

    fn is_given_up(&self) -> bool {
        (**self).is_given_up()
    }
}

/// Called after each completion becomes available, on any thread, also from inside `submit`. Lets
/// one thread sleep for many disks. It must not block.
pub type Waker = std::sync::Arc<dyn Fn() + Send + Sync>;

/// A waker for callers that wait on the disk itself.
#[must_use]
pub fn no_waker() -> Waker {
    std::sync::Arc::new(|| {})
}

/// One operation at a time, or some reads, for start-up, formatting and tools. Every disk has it.
///
/// # Panics
/// All functions panic when another operation is in flight: its completion would be swallowed.
pub trait BlockingDisk: Disk {
    /// Reads `bytes` bytes at `offset`.
    ///
    /// # Errors
    /// What the disk reports.
    fn read_at(&mut self, offset: u64, bytes: usize) -> Result<BufferMut, DiskError> {
        let op = Op::Read { offset, bytes };
        run(self, op)?.ok_or(NO_BYTES)
    }

    /// Reads several ranges, each an offset and a number of bytes, a few of them at a time. What each brought, in
    /// their order.
    fn read_many(&mut self, ranges: &[(u64, usize)]) -> Vec<Result<BufferMut, DiskError>> {
        Reads::begin(self, ranges.to_vec()).end(self)
    }

    /// Writes the buffer at `offset`; durable only after a flush.
    ///
    /// # Errors
    /// What the disk reports.
    fn write_at(&mut self, offset: u64, data: Buffer) -> Result<(), DiskError> {
        run(self, Op::Write { offset, data }).map(drop)
    }

    /// Writes the buffer at `offset` and makes it, and everything before, durable.
    ///
    /// # Errors
    /// What the disk reports; after an error the disk must not be trusted with writes again.
    fn write_durable_at(&mut self, offset: u64, data: Buffer) -> Result<(), DiskError> {
        run(self, Op::WriteDurable { offset, data }).map(drop)
    }

    /// Makes every write so far durable.
    ///
    /// # Errors
    /// What the disk reports; after an error the disk must not be trusted with writes again.
    fn flush(&mut self) -> Result<(), DiskError> {
        run(self, Op::Flush).map(drop)
    }

    /// Discards a range; it reads as zeros afterwards.
    ///
    /// # Errors
    /// What the disk reports.
    fn discard_at(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        run(self, Op::Discard { offset, bytes }).map(drop)
    }
}

impl<D: Disk + ?Sized> BlockingDisk for D {}

/// Reads of one disk on their way, so that several disks read at the same time: begin on each, then end on each.
/// Nothing else may be asked of the disk meanwhile.
pub struct Reads {
    ranges: Vec<(u64, usize)>,
    begun: usize,
    results: Vec<Result<BufferMut, DiskError>>,
}

impl Reads {
    /// Asks for the first of these ranges, each an offset and a number of bytes.
    ///
    /// # Panics
    /// When another operation is in flight.
    pub fn begin<D: Disk + ?Sized>(disk: &mut D, ranges: Vec<(u64, usize)>) -> Self {
        assert_idle(disk);
        let results = ranges.iter().map(|_| Err(DiskError::Gone)).collect();
        let mut reads = Self {
            ranges,
            begun: 0,
            results,
        };
        reads.ask(disk);
        reads
    }

    /// Waits for all; what each brought, in their order.
    pub fn end<D: Disk + ?Sized>(mut self, disk: &mut D) -> Vec<Result<BufferMut, DiskError>> {
        let mut done = Vec::new();
        while disk.in_flight() > 0 {
            disk.wait(&mut done);
            for one in done.drain(..) {
                let place = usize::try_from(one.id.0).ok();
                if let Some(result) = place.and_then(|place| self.results.get_mut(place)) {
                    *result = one.result.and_then(|bytes| bytes.ok_or(NO_BYTES));
                }
            }
            self.ask(disk);
        }
        self.results
    }

    fn ask<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        while disk.in_flight() < READS_AT_ONCE
            && let Some((offset, bytes)) = self.ranges.get(self.begun).copied()
        {
            let id = OpId(self.begun as u64);
            disk.submit(id, Op::Read { offset, bytes });
            self.begun += 1;
        }
    }
}

/// A read that ended well and brought nothing.
const NO_BYTES: DiskError = DiskError::Io {
    errno: EIO,
    op: OpKind::Read,
};

fn assert_idle<D: Disk + ?Sized>(disk: &D) {
    assert!(
        disk.in_flight() == 0,
        "a blocking call beside {} others",
        disk.in_flight()
    );
}

fn run<D: Disk + ?Sized>(disk: &mut D, op: Op) -> Result<Option<BufferMut>, DiskError> {
    assert_idle(disk);
    let id = OpId(u64::MAX);
    disk.submit(id, op);
    let mut done = Vec::with_capacity(1);
    disk.wait(&mut done);
    match done.pop() {
        Some(done) => done.result,
        None => Err(DiskError::Gone),
    }
}

#[cfg(test)]
mod tests;
