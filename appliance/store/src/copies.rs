//! The journal's copies: per disk one write at a time, each flushed before the next begins, so that
//! what is durable on a disk is always a prefix of the journal.

use std::collections::{BTreeMap, VecDeque};

use stele_device::buffer::Buffer;
use stele_device::disk::Op;
use stele_format::units::Sequence;

use crate::engine::DiskSlot;
use crate::engine::io::{Io, Purpose};

/// One write waiting for its turn.
struct Queued {
    offset: u64,
    bytes: Buffer,
    /// The frame it carries; none for footers and seals.
    sequence: Option<Sequence>,
}

/// One disk's copy.
struct Copy {
    queue: VecDeque<Queued>,
    writing: Option<Option<Sequence>>,
    durable_through: Sequence,
    /// Whether it takes part in the open segment, so that its flushes count.
    member: bool,
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
        }
        for slot in slots {
            self.copies.entry(*slot).or_insert_with(|| Copy {
                queue: VecDeque::new(),
                writing: None,
                durable_through,
                member: true,
            });
        }
        self.copies
            .retain(|_, copy| copy.member || copy.writing.is_some() || !copy.queue.is_empty());
    }

    /// Queues a write for one disk.
    pub fn push(&mut self, slot: DiskSlot, offset: u64, bytes: Buffer, sequence: Option<Sequence>) {
        if let Some(copy) = self.copies.get_mut(&slot) {
            copy.queue.push_back(Queued {
                offset,
                bytes,
                sequence,
            });
        }
    }

    /// Starts the next write on every disk that has none in flight.
    pub(crate) fn pump(&mut self, io: &mut Io) {
        for (slot, copy) in &mut self.copies {
            if copy.writing.is_some() {
                continue;
            }
            let Some(next) = copy.queue.pop_front() else {
                continue;
            };
            copy.writing = Some(next.sequence);
            let purpose = next.sequence.map_or(Purpose::JournalSeal, Purpose::Frame);
            io.submit(
                *slot,
                Op::WriteDurable {
                    offset: next.offset,
                    data: next.bytes,
                },
                purpose,
            );
        }
    }

    /// A write of this disk is durable.
    pub fn finished(&mut self, slot: DiskSlot) {
        let Some(copy) = self.copies.get_mut(&slot) else {
            return;
        };
        if let Some(Some(sequence)) = copy.writing.take() {
            copy.durable_through = copy.durable_through.max(sequence);
        }
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

    /// The highest frame flushed on every disk of the open segment.
    #[must_use]
    pub fn durable_everywhere(&self) -> Option<Sequence> {
        self.copies
            .values()
            .filter(|c| c.member)
            .map(|c| c.durable_through)
            .min()
    }

    /// Frames queued for the disk that is furthest behind.
    #[must_use]
    pub fn backlog(&self) -> usize {
        let queues = self.copies.values().map(|copy| copy.queue.len());
        queues.max().unwrap_or(0)
    }

    /// Whether every queued write of every disk is durable.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.copies
            .values()
            .all(|copy| copy.writing.is_none() && copy.queue.is_empty())
    }
}
