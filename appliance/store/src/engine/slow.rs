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
            let elsewhere = self.pool.choose_beside(DATA_COPIES, &[slot]);
            if elsewhere.is_some() {
                self.with_lane(|lane, context| lane.leave(slot, context));
            }
        }
    }

    /// Counts when disks that take part give or take nothing while others do, and tells of those that did so again and
    /// again, or no more. One that is being filled has more to do than the others.
    pub(super) fn watch_slow_disks(&mut self) {
        let active: Vec<DiskSlot> = self.pool.active().filter_map(|m| m.slot).collect();
        for slot in self.io.overtaken(LANE_SLOW_MS) {
            if active.contains(&slot) {
                self.pool.note_stall(slot);
            }
        }
        let (now_ms, at) = (self.pool.now_ms, self.clock.latest());
        for slot in active {
            let Some(member) = self.pool.member_at_mut(slot) else {
                continue;
            };
            if let Some(verdict) = member.slowness.look(now_ms) {
                self.alarms.disk_slow(member, verdict, at);
            }
        }
    }

    /// Since when a disk is slow, if it is: left out of the journal, or used only where no other one will do.
    pub(crate) fn slow_since_ms(&self, slot: DiskSlot) -> Option<u64> {
        let away_ms = self.journal.away_since_ms(slot);
        let noted_ms = self.pool.slow_since_ms(slot);
        away_ms.into_iter().chain(noted_ms).min()
    }
}
