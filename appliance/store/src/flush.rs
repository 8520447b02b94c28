//! Which data-lane writes are durable: one flush per disk at a time, each covering the writes that
//! had completed before it was submitted.

use std::collections::BTreeMap;

use stele_device::disk::Op;

use crate::engine::DiskSlot;
use crate::engine::io::{Io, Purpose};

/// A flush of one disk, by number. What waits for flush `n` is durable when `n` completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlushNumber(pub u64);

#[derive(Default)]
struct DiskFlush {
    running: Option<u64>,
    done: u64,
    wanted: u64,
    next: u64,
}

/// The flushes of every disk.
#[derive(Default)]
pub struct Flushes {
    disks: BTreeMap<DiskSlot, DiskFlush>,
}

impl Flushes {
    /// The flush that will cover every write of this disk completed up to now. It is submitted by the
    /// next [`Flushes::pump`].
    pub fn want(&mut self, slot: DiskSlot) -> FlushNumber {
        let disk = self.disks.entry(slot).or_default();
        disk.wanted = disk.next + 1;
        FlushNumber(disk.wanted)
    }

    /// Submits wanted flushes where none is running.
    pub(crate) fn pump(&mut self, io: &mut Io) {
        for (slot, disk) in &mut self.disks {
            if disk.running.is_none() && disk.wanted > disk.next {
                disk.next += 1;
                disk.running = Some(disk.next);
                io.submit(*slot, Op::Flush, Purpose::LaneFlush(disk.next));
            }
        }
    }

    /// A flush completed.
    pub fn finished(&mut self, slot: DiskSlot, number: u64) {
        if let Some(disk) = self.disks.get_mut(&slot) {
            disk.running = None;
            disk.done = disk.done.max(number);
        }
    }

    /// Whether a flush completed.
    #[must_use]
    pub fn is_done(&self, slot: DiskSlot, number: FlushNumber) -> bool {
        self.disks
            .get(&slot)
            .is_some_and(|disk| disk.done >= number.0)
    }

    /// The disk is not believed any more.
    pub fn remove(&mut self, slot: DiskSlot) {
        self.disks.remove(&slot);
    }
}
