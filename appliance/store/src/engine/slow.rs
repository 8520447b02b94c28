//! Disks that are slow: the vault goes on without them where it can, and tells of those that are so again and again.

use super::{DiskSlot, Engine};
use crate::lane::DATA_COPIES;
use crate::limits::LANE_SLOW_MS;

impl Engine {
    /// The data lane goes on without a disk that takes nothing for long, while others are quick.
    pub(super) fn leave_slow_disks(&mut self) {
        for (slot, wait_ms) in self.io.waits_to_write() {
            let others = self.pool.active().filter_map(|member| member.slot);
            let quick = others.filter(|other| *other != slot && !self.pool.is_slow(*other));
            if wait_ms <= LANE_SLOW_MS || quick.count() < self.pool.needed() {
                continue;
            }
            self.pool.note_slow(slot);
            // Without room elsewhere it would only come back to the same disk, again and again.
            let elsewhere = self.pool.choose_without(DATA_COPIES, &[slot]);
            if elsewhere.is_some() {
                self.with_lane(|lane, context| lane.leave(slot, context));
            }
        }
    }

    /// Counts when disks give or take nothing, and tells of those that became slow or are quick again.
    pub(super) fn watch_slow_disks(&mut self) {
        for slot in self.io.overtaken(LANE_SLOW_MS) {
            self.pool.note_stall(slot);
        }
        let (now_ms, at) = (self.pool.now_ms, self.clock.latest());
        for (slot, since_ms) in self.slow_beside_quick() {
            let Some(member) = self.pool.member_at_mut(slot) else {
                continue;
            };
            if let Some(verdict) = member.slowness.look(now_ms, since_ms) {
                self.alarms.disk_slow(member, verdict, at);
            }
        }
    }

    /// The disks that take part, and since when each is slow, where another one is not.
    fn slow_beside_quick(&self) -> Vec<(DiskSlot, Option<u64>)> {
        let slots = self.pool.active().filter_map(|member| member.slot);
        let mut disks: Vec<(DiskSlot, Option<u64>)> =
            slots.map(|slot| (slot, self.slow_since_ms(slot))).collect();
        if disks.iter().all(|(_, since)| since.is_some()) {
            disks.iter_mut().for_each(|(_, since)| *since = None);
        }
        disks
    }

    /// Since when a disk is slow, if it is: left out of the journal, or used only where no other one will do.
    pub(crate) fn slow_since_ms(&self, slot: DiskSlot) -> Option<u64> {
        let away_ms = self.journal.away_since_ms(slot);
        let noted_ms = self.pool.slow_since_ms(slot);
        away_ms.into_iter().chain(noted_ms).min()
    }
}
