//! Disks that are drained while the vault serves: once it says that one may be pulled out, that disk may be
//! wiped, and nothing is lost with it.

use stele_store::engine::DRAINED;
use stele_store::pool::MemberState;
use stele_store::status::{DiskStatus, Status};

use super::{Hardware, Slot, Taint};
use crate::context::Context;
use crate::driver::Machine;
use crate::error::Run;

/// Fewer disks than this have none to spare.
const DRAIN_DISK_COUNT_MIN: usize = 4;

impl Hardware {
    /// Has everything moved off some disk, or goes on with one that an earlier process did not end with.
    ///
    /// # Errors
    /// A broken promise, or the power was cut.
    pub(super) fn drain(
        &mut self,
        context: &mut Context,
        machine: &mut Machine,
        status: &Status,
    ) -> Run<()> {
        let active = |disk: &&DiskStatus| disk.state == MemberState::Active;
        let active: Vec<u16> = status
            .disks
            .iter()
            .filter(active)
            .map(|disk| disk.number)
            .collect();
        let wanted = self.draining.filter(|number| active.contains(number));
        let number = match wanted.or_else(|| context.rng.pick(&active).copied()) {
            Some(number) if active.len() >= DRAIN_DISK_COUNT_MIN => number,
            _ => return Ok(()),
        };
        let begun = machine.drain(context, number)?;
        context.say(format_args!("drain: disk {number}: {begun:?}"));
        if begun.is_ok() {
            self.draining = Some(number);
            self.ever_moved = true;
            context.report.fault("(drain begun)");
        }
        Ok(())
    }

    /// Lets a drained disk join again; none when there is none.
    pub(super) fn drained(&self) -> Option<usize> {
        self.slots.iter().position(|slot| slot.drained)
    }

    /// Whether what lies on a disk may be what a copy left that moved.
    #[must_use]
    pub fn was_ever_drained(&self) -> bool {
        self.ever_moved
    }

    /// Takes note of disks that the vault says may be pulled out; what becomes of them is nobody's loss.
    pub(super) fn note_drained(&mut self, context: &mut Context, status: &Status) {
        let told = |slot: &Slot| {
            let of_it = |disk: &&DiskStatus| disk.number == slot.number;
            let disk = status.disks.iter().find(of_it);
            disk.is_some_and(|disk| {
                disk.state == MemberState::Drained && disk.reason == Some(DRAINED)
            })
        };
        if !status.takes_writes() {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| !slot.drained) {
            if !told(slot) {
                continue;
            }
            context.say(format_args!("disk {} is drained", slot.name));
            context.report.fault("(disk drained)");
            self.ever_hurt |= slot.taint.any();
            (slot.drained, slot.behind) = (true, true);
            (slot.filling, slot.copied, slot.partly) = (false, false, false);
            slot.earlier = None;
            if self.draining == Some(slot.number) {
                self.draining = None;
            }
            if context.rng.permille(500) {
                context.say(format_args!("and wiped"));
                slot.handle.wipe();
                (slot.blank, slot.holds) = (true, false);
                slot.taint = Taint::default();
                (slot.forgetful, slot.astray) = (false, false);
            }
        }
    }

    /// A process ends while the labels are perhaps to say that a disk has left, or that there is one more: the next
    /// start may need it, or may need more than half of all disks without it.
    pub(super) fn note_unsettled(&mut self, status: &Status) {
        let leaves =
            |disk: &DiskStatus| disk.state == MemberState::Drained && disk.reason != Some(DRAINED);
        let comes = |slot: &Slot| slot.one_more && slot.copied;
        self.unsettled |= status.disks.iter().any(leaves) || self.slots.iter().any(comes);
    }
}
