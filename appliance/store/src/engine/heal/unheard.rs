//! Segments that could not be read because a disk did not answer: they are read again later, ever more seldom.
//!
//! Nothing is known of what did not come and no other copy has: it is not lost. Who waits for the segment, a fill or a drain,
//! goes on without it after some times.

use std::collections::BTreeMap;

use stele_format::units::SegmentId;

use super::Aim;
use crate::engine::{Engine, HealToken};
use crate::heal::Outcome;

/// Pause after the first walk that was not answered; twice as long after each further one.
const PAUSE_MS: u64 = 60_000;
const PAUSE_MS_MAX: u64 = 3_600_000;
/// After so many walks nobody waits for it any more.
const WALK_COUNT_MAX: u32 = 4;

/// What is to be read again, by segment.
#[derive(Debug, Default)]
pub(super) struct Unheard(BTreeMap<SegmentId, Rest>);

#[derive(Debug, Default)]
struct Rest {
    walks: u32,
    from_ms: u64,
}

impl Unheard {
    /// A walk was not answered.
    pub(super) fn note(&mut self, segment: SegmentId, now_ms: u64) {
        let rest = self.0.entry(segment).or_default();
        let pause_ms = PAUSE_MS << rest.walks.min(6);
        rest.from_ms = now_ms.saturating_add(pause_ms.min(PAUSE_MS_MAX));
        rest.walks = rest.walks.saturating_add(1);
    }

    /// It was read.
    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.0.remove(&segment);
    }

    fn rests(&self, segment: SegmentId, now_ms: u64) -> bool {
        let rest = self.0.get(&segment);
        rest.is_some_and(|rest| now_ms < rest.from_ms)
    }

    /// Whether it was not answered so often that nobody waits for it any more.
    pub(super) fn is_often(&self, segment: SegmentId) -> bool {
        let rest = self.0.get(&segment);
        rest.is_some_and(|rest| rest.walks >= WALK_COUNT_MAX)
    }
}

impl Engine {
    /// Whether a segment is not to be read yet, since a disk did not answer.
    pub(in crate::engine) fn rests_unheard(&self, segment: SegmentId) -> bool {
        self.healer.unheard.rests(segment, self.now.monotonic_ms)
    }

    /// Whether a walk that ended is to be made again, since a disk did not answer and nobody else had what it has.
    pub(super) fn is_waited_for(
        &mut self,
        aim: Aim,
        segment: SegmentId,
        outcome: &Outcome,
    ) -> bool {
        // What is filled or copied needs no more than that it is whole.
        let target = match aim {
            Aim::Fill(disk) => Some(disk),
            Aim::Copy(to) => Some(to.disk),
            Aim::Check(_) | Aim::Scrub => None,
        };
        let has_all = target.is_some_and(|disk| outcome.whole.contains(&disk));
        let is_known = outcome.is_conclusive() || has_all && outcome.lost.is_empty();
        // What was copied and had to be written again was perhaps only not answered.
        let is_doubted = matches!(aim, Aim::Check(to) if outcome.repaired_on.contains(&to.disk));
        let is_known = is_known && !is_doubted;
        let unheard = &mut self.healer.unheard;
        if !outcome.unheard || is_known {
            unheard.forget(segment);
            return false;
        }
        unheard.note(segment, self.now.monotonic_ms);
        aim == Aim::Scrub || !unheard.is_often(segment)
    }

    /// A disk does not give what a walk waits for.
    pub(in crate::engine) fn heal_unheard(&mut self, token: HealToken) {
        let now_ms = self.now.monotonic_ms;
        if let Some(walk) = self.walk_with(token) {
            walk.unheard(token.token, now_ms);
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
        unheard.note(segment, 0);
        assert!(unheard.rests(segment, PAUSE_MS - 1) && !unheard.rests(segment, PAUSE_MS));
        unheard.note(segment, 0);
        assert!(unheard.rests(segment, 2 * PAUSE_MS - 1) && !unheard.rests(segment, 2 * PAUSE_MS));
        unheard.forget(segment);
        assert!(!unheard.rests(segment, 0));
    }

    #[test]
    fn nobody_waits_for_what_is_not_answered_again_and_again() {
        let (mut unheard, segment) = (Unheard::default(), SegmentId::new(7));
        for _ in 0..WALK_COUNT_MAX {
            assert!(!unheard.is_often(segment));
            unheard.note(segment, 0);
        }
        assert!(unheard.is_often(segment));
        unheard.forget(segment);
        assert!(!unheard.is_often(segment));
    }
}
