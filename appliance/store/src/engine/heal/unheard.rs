//! Segments that could not be read because a disk did not answer: they are read again later, ever more seldom.
//!
//! Nothing is known of what did not come. Only where one disk again and again does not give something of a segment, while
//! others go on, is it taken for what that disk cannot read, as a drive takes a minute to give up a sector.

use std::collections::BTreeMap;

use stele_format::units::SegmentId;

use super::Running;
use crate::engine::{DiskSlot, Engine};

/// Pause after the first walk that was not answered; twice as long after each further one.
const PAUSE_MS: u64 = 60_000;
const PAUSE_MS_MAX: u64 = 3_600_000;
/// After so many walks that one disk did not answer while others went on, it is taken to give nothing.
const WALK_COUNT_MAX: u32 = 3;

/// What is to be read again, by segment.
#[derive(Debug, Default)]
pub(super) struct Unheard(BTreeMap<SegmentId, Rest>);

#[derive(Debug, Default)]
struct Rest {
    walks: u32,
    /// Those of them in which one disk alone did not answer.
    alone: u32,
    from_ms: u64,
}

impl Unheard {
    /// A walk was not answered.
    pub(super) fn note(&mut self, segment: SegmentId, alone: bool, now_ms: u64) {
        let rest = self.0.entry(segment).or_default();
        let pause_ms = PAUSE_MS << rest.walks.min(6);
        rest.from_ms = now_ms.saturating_add(pause_ms.min(PAUSE_MS_MAX));
        rest.walks = rest.walks.saturating_add(1);
        rest.alone = rest.alone.saturating_add(u32::from(alone));
    }

    /// It was read.
    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.0.remove(&segment);
    }

    fn rests(&self, segment: SegmentId, now_ms: u64) -> bool {
        let rest = self.0.get(&segment);
        rest.is_some_and(|rest| now_ms < rest.from_ms)
    }

    fn is_often(&self, segment: SegmentId) -> bool {
        let rest = self.0.get(&segment);
        rest.is_some_and(|rest| rest.alone >= WALK_COUNT_MAX)
    }
}

impl Engine {
    /// Whether a segment is not to be read yet, since a disk did not answer.
    pub(in crate::engine) fn rests_unheard(&self, segment: SegmentId) -> bool {
        self.healer.unheard.rests(segment, self.now.monotonic_ms)
    }

    /// A disk does not give what walks wait for. They go on without it, or with nothing from it.
    pub(in crate::engine) fn heal_unheard(&mut self, slot: DiskSlot, alone: bool) {
        let healer = &mut self.healer;
        let under_way = healer.running.iter_mut().chain(healer.ending.as_mut());
        for Running { walk, .. } in under_way.filter(|running| running.walk.waits_for(slot)) {
            if alone && healer.unheard.is_often(walk.identity().segment) {
                walk.give_nothing(slot);
            } else {
                walk.unheard(slot, alone);
            }
        }
        self.submit_asks();
    }
}

#[cfg(test)]
mod tests {
    use super::{PAUSE_MS, Unheard, WALK_COUNT_MAX};
    use stele_format::units::SegmentId;

    #[test]
    fn what_is_not_answered_rests_longer_each_time_until_it_is_read() {
        let (mut unheard, segment) = (Unheard::default(), SegmentId::new(7));
        unheard.note(segment, false, 0);
        assert!(unheard.rests(segment, PAUSE_MS - 1) && !unheard.rests(segment, PAUSE_MS));
        unheard.note(segment, false, 0);
        assert!(unheard.rests(segment, 2 * PAUSE_MS - 1) && !unheard.rests(segment, 2 * PAUSE_MS));
        unheard.forget(segment);
        assert!(!unheard.rests(segment, 0));
    }

    #[test]
    fn only_a_disk_that_is_alone_again_and_again_gives_nothing() {
        let (mut unheard, segment) = (Unheard::default(), SegmentId::new(7));
        for _ in 0..10 {
            unheard.note(segment, false, 0);
        }
        for _ in 0..WALK_COUNT_MAX {
            assert!(!unheard.is_often(segment));
            unheard.note(segment, true, 0);
        }
        assert!(unheard.is_often(segment));
    }
}
