//! What a simulated disk can do wrong.
//!
//! **Power cut.** A disk has a durable image and, over it, the writes no flush has covered yet. A
//! flush covers exactly what the contract of `disk` demands and nothing more: writes that only
//! happened to be finished stay at risk, and a disk flush does not cover what went through an area,
//! nor the reverse. At a crash each uncovered write, and each one still queued, is kept, lost or
//! torn sector by sector (512 bytes, each whole); writes that overlap may end as any mixture of
//! their versions. One seed decides all of it, and which of several styles of loss a crash has
//! (all lost, all kept, torn everywhere, only the oldest survive, only the newest survive, ...),
//! since a machine that always loses half of everything misses the interesting cases.
//!
//! **Death of the process.** When a `SimDisk` is dropped, the power stays on: finished writes stay
//! visible, and each queued write is either carried out or not.
//!
//! **Order.** Operations in flight are carried out, and complete, in an order the seed chooses, a
//! few at a time.
//!
//! **Errors.** A failing write leaves each of its sectors old or new, or has done nothing, or all of
//! it. A failing flush makes durable an arbitrary part of what it covered, or nothing, or all; *the
//! rest stays visible to reads, is never made durable, and a later flush succeeds all the same*,
//! which is what kernels do. A block marked unreadable fails until it is written again. A full disk
//! refuses writes.
//!
//! **Lies.** A lost write is acknowledged and never happens. A misdirected write lands elsewhere,
//! a misdirected read comes from elsewhere. A lying flush acknowledges and does nothing. A stuck
//! block acknowledges what is written and keeps what it held. Rot flips bits of the durable image.
//!
//! **Disappearance.** A vanished disk answers `Gone` until it returns; its image can be put back to
//! an older state, wiped or exchanged with another meanwhile. A hung disk answers nothing until a
//! blocking wait gives up on it. A shortened disk says that it is smaller than it was, as one does behind
//! another controller; what lies beyond stays, out of reach.
//!
//! **Not simulated:** sectors torn inside, sectors that change when a neighbour is written, reads
//! that give different bytes each time, a device that returns to an older state by itself, and a
//! discard that leaves old data readable.

/// Which of the coming events of one kind are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many events pass unharmed first.
    pub after: u64,
    /// How many are hit then; `u64::MAX` for all.
    pub count: u64,
}

impl Span {
    /// Hits one event, after `after` others.
    #[must_use]
    pub fn once(after: u64) -> Span {
        Span { after, count: 1 }
    }

    /// Hits every event, after `after` others.
    #[must_use]
    pub fn from(after: u64) -> Span {
        Span {
            after,
            count: u64::MAX,
        }
    }
}

/// Counts one event against a span and says whether it is hit.
pub(crate) fn hits(span: &mut Option<Span>) -> bool {
    let Some(current) = span else { return false };
    if current.after > 0 {
        current.after -= 1;
        return false;
    }
    match current.count {
        0 => *span = None,
        u64::MAX => return true,
        _ => {
            current.count -= 1;
            return true;
        }
    }
    false
}

/// What an operation that fails has done all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// An arbitrary part, sector by sector.
    #[default]
    Part,
    /// All of it: only the answer is wrong.
    All,
}

/// The faults a disk will show from now on. The default has none, and reorders.
///
/// "Writes" are plain and durable writes and area writes, "flushes" include those of durable
/// writes and areas. Each field counts the events since it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether the seed chooses the order of operations in flight; else first in, first out.
    pub reorder: bool,
    /// Writes that fail with `EIO`.
    pub fail_writes: Option<Span>,
    /// What failing writes do.
    pub failed_writes_keep: Kept,
    /// Flushes that fail with `EIO`.
    pub fail_flushes: Option<Span>,
    /// What failing flushes make durable.
    pub failed_flushes_keep: Kept,
    /// Flushes that say they worked and did nothing.
    pub lie_flushes: Option<Span>,
    /// Writes that are acknowledged and never happen.
    pub lose_writes: Option<Span>,
    /// Writes that land `misdirect_by` bytes further on.
    pub misdirect_writes: Option<Span>,
    /// Reads that come from `misdirect_by` bytes further on.
    pub misdirect_reads: Option<Span>,
    /// How far misdirected accesses go astray, bytes, a multiple of the block size; past the end
    /// they wrap around.
    pub misdirect_by: u64,
    /// How many more bytes can be written before the disk is full.
    pub room_bytes: Option<u64>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            reorder: true,
            fail_writes: None,
            failed_writes_keep: Kept::Part,
            fail_flushes: None,
            failed_flushes_keep: Kept::Part,
            lie_flushes: None,
            lose_writes: None,
            misdirect_writes: None,
            misdirect_reads: None,
            misdirect_by: 64 * 4096,
            room_bytes: None,
        }
    }
}

/// How a power cut treats what is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything unflushed is lost.
    All,
    /// Everything unflushed survives, also what was still queued.
    Nothing,
    /// The disk's own seed decides, differently at each crash.
    Seeded,
    /// This seed decides.
    By(u64),
    /// The last write is torn, everything before it survives.
    LastTorn,
}

/// What a disk has been through since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads carried out.
    pub reads: u64,
    /// Writes carried out.
    pub writes: u64,
    /// Flushes carried out.
    pub flushes: u64,
    /// Discards carried out.
    pub discards: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Blocks that came through a power cut whole although nothing promised it.
    pub blocks_kept: u64,
    /// Blocks whose newest content was lost in a power cut.
    pub blocks_lost: u64,
    /// Blocks that came out of a power cut with some sectors new and some old.
    pub blocks_torn: u64,
    /// Operations that failed, lied or went astray because of the plan or an unreadable block.
    pub faults: u64,
}
