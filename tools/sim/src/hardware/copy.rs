//! Copies of the disks as they are at one moment, and single faults chosen by name instead of by chance.

use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::{Loss, Plan};
use stele_device::sim::power::Power;

use super::{Hardware, Slot, Taint};
use crate::context::Context;
use crate::limits::DISK_BYTES;

/// The condition of every disk at one moment, and how many starts there had been.
#[derive(Clone)]
pub struct Condition {
    disks: Vec<SimSnapshot>,
    starts: u64,
}

impl Hardware {
    /// The condition in which a power cut would find the disks now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let disks = self.slots.iter();
        Condition {
            disks: disks.map(|slot| slot.handle.snapshot_at_a_cut()).collect(),
            starts: self.starts,
        }
    }

    /// Other disks with the same content, on a supply of their own: a machine beside this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let power = Power::new();
        let copy = |slot: &Slot| {
            let handle = SimDiskHandle::with(&slot.name, DISK_BYTES, 0, &power);
            handle.restore(&slot.handle.snapshot_at_a_cut());
            Slot {
                handle,
                ..slot.clone()
            }
        };
        Self {
            slots: self.slots.iter().map(copy).collect(),
            order: self.order.clone(),
            geometry: self.geometry,
            power: power.clone(),
            away: self.away.clone(),
            spell: self.spell.clone(),
            ..*self
        }
    }

    /// The power fails; what becomes of the unflushed is the same on every disk.
    pub fn cut_with(&mut self, loss: Loss) {
        for slot in &self.slots {
            slot.handle.crash(loss);
        }
        self.power.restore();
    }

    /// A disk is not there.
    pub fn unplug(&mut self, number: usize) {
        self.slots[number].present = false;
    }

    /// A disk is as it was then.
    pub fn roll_back(&mut self, number: usize, then: &Condition) {
        let starts = self.starts;
        let slot = &mut self.slots[number];
        slot.handle.restore(&then.disks[number]);
        slot.handle.set_plan(Plan::default());
        slot.handle.crash(Loss::Seeded);
        slot.taint = Taint::ALL;
        slot.forgetful = true;
        // Within one start it cannot be told from one that was slow.
        slot.behind |= then.starts < starts;
    }

    /// A disk is blank.
    pub fn make_blank(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        slot.handle.wipe();
        (slot.blank, slot.holds) = (true, false);
    }

    /// One bit of a used block of a disk's segments is flipped.
    pub fn flip(&mut self, context: &mut Context, number: usize) {
        let at = self.used_place(context, number);
        self.slots[number].handle.rot(at, 1 << context.rng.below(8));
        self.taint(number, at, at + 1);
    }
}
