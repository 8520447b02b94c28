//! The journal's copies: per disk one write at a time, each flushed before the next begins, so that
//! what is durable on a disk is always a prefix of the journal.

use std::collections::{BTreeMap, VecDeque};

use stele_device::buffer::Buffer;
use stele_device::disk::Op;
use stele_format::units::{SegmentId, Sequence};

use crate::ahead::Ahead;
use crate::engine::DiskSlot;
use crate::engine::io::{Io, Purpose};
use crate::limits::{LAG_BYTES_MAX, LAG_FRAME_COUNT_MAX};
use crate::plants::{Plant, on};

/// What a write carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// A frame.
    Frame(Sequence),
    /// The footer of a segment.
    Footer,
    /// The seal of a segment: the last that is written of it.
    Seal(SegmentId),
}

/// One write waiting for its turn.
struct Queued {
    offset: u64,
    bytes: Buffer,
    carried: Carried,
}

/// What is queued for one copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Writes.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Backlog {
    /// Whether it is so many times what a copy may be behind.
    #[must_use]
    pub const fn exceeds(self, times: usize) -> bool {
        self.frames >= times * LAG_FRAME_COUNT_MAX || self.bytes >= times * LAG_BYTES_MAX
    }
}

/// One disk's copy.
struct Copy {
    queue: VecDeque<Queued>,
    /// Bytes of what is queued.
    queued_bytes: usize,
    writing: Option<Carried>,
    durable_through: Sequence,
    /// Whether it takes part in the open segment, so that its flushes count.
    member: bool,
}

impl Copy {
    fn is_busy(&self) -> bool {
        self.writing.is_some() || !self.queue.is_empty()
    }

    fn is_to_write(&self, carried: Carried) -> bool {
        let waits = || self.queue.iter().any(|queued| queued.carried == carried);
        self.writing == Some(carried) || waits()
    }
}

/// All copies of the journal being written.
#[derive(Default)]
pub struct Copies {
    copies: BTreeMap<DiskSlot, Copy>,
}

impl Copies {
    /// Sets which disks hold the open segment. Disks that leave finish what was queued for them.
    pub fn set_members(&mut self, slots: &[DiskSlot], durable_through: Sequence) {
        for (slot, copy) in &mut self.copies {
            copy.member = slots.contains(slot);
            // One that has written all it was given lacks nothing that it should have.
            if !copy.is_busy() {
                copy.durable_through = copy.durable_through.max(durable_through);
            }
        }
        for slot in slots {
            self.copies.entry(*slot).or_insert_with(|| Copy {
                queue: VecDeque::new(),
                queued_bytes: 0,
                writing: None,
                durable_through,
                member: true,
            });
        }
        self.copies.retain(|_, copy| copy.member || copy.is_busy());
    }

    /// Queues a write for one disk.
    pub fn push(&mut self, slot: DiskSlot, offset: u64, bytes: Buffer, carried: Carried) {
        if let Some(copy) = self.copies.get_mut(&slot) {
            copy.queued_bytes += bytes.len();
            copy.queue.push_back(Queued {
                offset,
                bytes,
                carried,
            });
        }
    }

    /// Starts the next write on every disk that has none in flight and no zeros in its way.
    pub(crate) fn pump(&mut self, io: &mut Io, ahead: &Ahead) {
        for (slot, copy) in &mut self.copies {
            if copy.writing.is_some() {
                continue;
            }
            let clear = |next: &mut Queued| {
                let end = next.offset + next.bytes.len() as u64;
                ahead.is_clear(*slot, next.offset, end)
            };
            let Some(next) = copy.queue.pop_front_if(clear) else {
                continue;
            };
            copy.queued_bytes -= next.bytes.len();
            copy.writing = Some(next.carried);
            let purpose = match next.carried {
                Carried::Frame(sequence) => Purpose::Frame(sequence),
                Carried::Footer | Carried::Seal(_) => Purpose::JournalSeal,
            };
            let (offset, data) = (next.offset, next.bytes);
            let op = if on(Plant::FrameUnflushed) {
                Op::Write { offset, data }
            } else {
                Op::WriteDurable { offset, data }
            };
            io.submit(*slot, op, purpose);
        }
    }

    /// A write of this disk is durable.
    pub fn finished(&mut self, slot: DiskSlot) {
        let Some(copy) = self.copies.get_mut(&slot) else {
            return;
        };
        if let Some(Carried::Frame(sequence)) = copy.writing.take() {
            copy.durable_through = copy.durable_through.max(sequence);
        }
    }

    /// Whether the seal of a segment is not durable yet on some disk that was given it.
    #[must_use]
    pub fn is_sealing(&self, segment: SegmentId) -> bool {
        let seal = Carried::Seal(segment);
        self.copies.values().any(|copy| copy.is_to_write(seal))
    }

    /// The disk is not believed any more.
    pub fn remove(&mut self, slot: DiskSlot) {
        self.copies.remove(&slot);
    }

    /// The highest frame flushed on at least `quorum` disks of the open segment.
    #[must_use]
    pub fn durable_through(&self, quorum: usize) -> Option<Sequence> {
        let mut through: Vec<Sequence> = self
            .copies
            .values()
            .filter(|c| c.member)
            .map(|c| c.durable_through)
            .collect();
        through.sort_unstable_by(|a, b| b.cmp(a));
        through.get(quorum.saturating_sub(1)).copied()
    }

    /// Whether a copy of the open segment lies on a disk.
    #[must_use]
    pub fn is_member(&self, slot: DiskSlot) -> bool {
        self.copies.get(&slot).is_some_and(|copy| copy.member)
    }

    /// Disks of the open segment.
    #[must_use]
    pub fn members(&self) -> usize {
        self.copies.values().filter(|copy| copy.member).count()
    }

    /// The highest frame up to which every disk has flushed what was queued for it: those of the open
    /// segment, and those that left it and are not done with the one before.
    #[must_use]
    pub fn durable_everywhere(&self) -> Option<Sequence> {
        self.copies
            .values()
            .filter(|copy| copy.member || copy.is_busy())
            .map(|copy| copy.durable_through)
            .min()
    }

    /// Disks of the open segment, and what is queued for each.
    pub fn backlogs(&self) -> impl Iterator<Item = (DiskSlot, Backlog)> {
        let members = self.copies.iter().filter(|(_, copy)| copy.member);
        members.map(|(slot, copy)| {
            let (frames, bytes) = (copy.queue.len(), copy.queued_bytes);
            (*slot, Backlog { frames, bytes })
        })
    }

    /// Whether a disk has not written all it was given.
    #[must_use]
    pub fn is_busy(&self, slot: DiskSlot) -> bool {
        self.copies.get(&slot).is_some_and(Copy::is_busy)
    }

    /// Disks of the open segment, but for some, that have flushed all up to a frame.
    #[must_use]
    pub fn durable_count(&self, through: Sequence, without: &[DiskSlot]) -> usize {
        let counts = |(slot, copy): &(&DiskSlot, &Copy)| {
            copy.member && copy.durable_through >= through && !without.contains(slot)
        };
        self.copies.iter().filter(counts).count()
    }

    /// Whether every queued write of every disk is durable.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.copies.values().all(|copy| !copy.is_busy())
    }
}

#[cfg(test)]
mod tests {
    use stele_device::buffer::BufferMut;
    use stele_format::units::Sequence;

    use super::{Ahead, Backlog, Carried, Copies};
    use crate::engine::DiskSlot;
    use crate::engine::io::Io;
    use crate::limits::{LAG_BYTES_MAX, LAG_FRAME_COUNT_MAX};

    const DISKS: [DiskSlot; 4] = [DiskSlot(0), DiskSlot(1), DiskSlot(2), DiskSlot(3)];

    fn frame(copies: &mut Copies, slots: &[DiskSlot], sequence: u64) {
        let frame = Carried::Frame(Sequence::new(sequence));
        for slot in slots {
            let bytes = BufferMut::zeroed(4096).freeze();
            copies.push(*slot, 0, bytes, frame);
        }
    }

    fn flush(copies: &mut Copies, slot: DiskSlot, writes: usize) {
        for _ in 0..writes {
            copies.pump(&mut Io::default(), &Ahead::new(0));
            copies.finished(slot);
        }
    }

    #[test]
    fn a_disk_that_left_the_segment_counts_until_it_has_written_what_was_queued_for_it() {
        let mut copies = Copies::default();
        copies.set_members(&DISKS[..3], Sequence::new(1));
        frame(&mut copies, &DISKS[..3], 2);
        frame(&mut copies, &DISKS[..3], 3);
        flush(&mut copies, DISKS[0], 2);
        flush(&mut copies, DISKS[1], 2);
        copies.set_members(&[DISKS[0], DISKS[1], DISKS[3]], Sequence::new(3));
        frame(&mut copies, &[DISKS[0], DISKS[1], DISKS[3]], 4);
        for slot in [DISKS[0], DISKS[1], DISKS[3]] {
            flush(&mut copies, slot, 1);
        }
        assert_eq!(copies.durable_through(2), Some(Sequence::new(4)));
        assert_eq!(copies.durable_everywhere(), Some(Sequence::new(1)));
        flush(&mut copies, DISKS[2], 1);
        assert_eq!(copies.durable_everywhere(), Some(Sequence::new(2)));
        flush(&mut copies, DISKS[2], 1);
        assert_eq!(copies.durable_everywhere(), Some(Sequence::new(4)));
    }

    #[test]
    fn what_waits_for_a_copy_is_too_much_by_its_number_or_by_its_bytes() {
        let check = |frames: usize, bytes: usize, times: usize, expected: bool| {
            let backlog = Backlog { frames, bytes };
            assert_eq!(backlog.exceeds(times), expected, "{backlog:?} {times}");
        };
        check(LAG_FRAME_COUNT_MAX - 1, LAG_BYTES_MAX - 1, 1, false);
        check(LAG_FRAME_COUNT_MAX, 0, 1, true);
        check(1, LAG_BYTES_MAX, 1, true);
        check(LAG_FRAME_COUNT_MAX, LAG_BYTES_MAX, 2, false);
        check(1, 2 * LAG_BYTES_MAX, 2, true);
    }

    #[test]
    fn bytes_are_counted_from_when_they_are_queued_until_they_are_under_way() {
        let mut copies = Copies::default();
        copies.set_members(&DISKS[..1], Sequence::new(1));
        let queued = |copies: &Copies| copies.backlogs().next().map(|(_, backlog)| backlog);
        let check = |copies: &Copies, frames: usize| {
            let bytes = frames * 4096;
            assert_eq!(queued(copies), Some(Backlog { frames, bytes }));
        };
        check(&copies, 0);
        frame(&mut copies, &DISKS[..1], 2);
        frame(&mut copies, &DISKS[..1], 3);
        check(&copies, 2);
        copies.pump(&mut Io::default(), &Ahead::new(0));
        check(&copies, 1);
        copies.finished(DISKS[0]);
        copies.pump(&mut Io::default(), &Ahead::new(0));
        check(&copies, 0);
    }
}
