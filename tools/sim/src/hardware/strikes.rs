//! One fault of a disk at work, at a moment that somebody chooses.

use stele_device::sim::fault::{Kept, Plan, Span};

use stele_store::pool::INDEX_DISK_COUNT;

use super::{Hardware, Taint};
use crate::context::Context;
use crate::life::enumeration::Fault;
use crate::limits::HUNG_MS_MAX;

impl Hardware {
    /// The next operation of this kind on a disk goes wrong; of those that are no fault of a disk at work none does.
    pub fn strike(&mut self, context: &mut Context, number: usize, fault: Fault, now_ms: u64) {
        let mut plan = Plan::default();
        let kept = [Kept::Nothing, Kept::Part, Kept::All];
        let kept = context.rng.pick(&kept).copied().unwrap_or(Kept::Part);
        let once = Some(Span::once(0));
        let slot = &mut self.slots[number];
        match fault {
            Fault::FailedWrite => {
                plan.fail_writes = once;
                plan.failed_writes_keep = kept;
            }
            Fault::FailedFlush => {
                plan.fail_flushes = once;
                plan.failed_flushes_keep = kept;
            }
            Fault::LyingFlush => plan.lie_flushes = once,
            Fault::LostWrite => plan.lose_writes = once,
            Fault::StrayWrite => plan.misdirect_writes = once,
            Fault::StrayRead => plan.misdirect_reads = once,
            Fault::Full => plan.room_bytes = Some(0),
            Fault::Pulled => slot.handle.vanish(),
            Fault::Hung => {
                slot.handle.hang(true);
                slot.hung_until_ms = Some(now_ms + HUNG_MS_MAX);
            }
            Fault::Crawling => slot.crawls_until_ms = Some(now_ms + HUNG_MS_MAX),
            Fault::Unreadable => return self.unreadable(context, number),
            _ => return,
        }
        let forgets = matches!(
            fault,
            Fault::LyingFlush | Fault::LostWrite | Fault::StrayWrite
        );
        slot.taint = Taint::ALL;
        slot.forgetful |= forgets;
        slot.mirror_at_risk |= forgets && slot.number <= INDEX_DISK_COUNT;
        slot.astray |= fault == Fault::StrayWrite;
        slot.misreads |= fault == Fault::StrayRead;
        if plan != Plan::default() {
            slot.handle.set_plan(plan);
            self.planned = true;
        }
        self.hurt_ms = u64::MAX;
        context.report.fault("struck while it worked");
    }

    /// Two disks change places.
    pub fn swap(&mut self, one: usize) {
        let other = (one + 1) % self.order.len();
        self.order.swap(one, other);
    }
}
