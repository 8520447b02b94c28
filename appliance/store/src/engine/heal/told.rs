//! Scrub records wait for each other. A vault without clients reads a segment every few seconds, and a frame of its own
//! for each would fill a hundredth of the pool a year.

use stele_format::record::{Body, CopyHealth, RecordType, Scrub};
use stele_format::units::{DiskId, SegmentId, UnixMillis};

use crate::draft::Draft;
use crate::engine::Engine;
use crate::limits::{SCRUB_TOLD_COUNT, SCRUB_TOLD_MS};
use crate::pool::tells_of_loss;

/// Records that are not written yet. A crash loses them, and what they tell of is read again, but for what a snapshot
/// has as read.
#[derive(Debug, Default)]
pub(super) struct Untold {
    scrubs: Vec<Scrub>,
    since_ms: u64,
}

impl Untold {
    fn push(&mut self, scrub: Scrub, now_ms: u64) {
        if self.scrubs.is_empty() {
            self.since_ms = now_ms;
        }
        self.scrubs.push(scrub);
    }

    /// What was found of a segment before is not to be said any more.
    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.scrubs.retain(|scrub| scrub.segment != segment);
    }

    /// Nor what was found on a disk that is not believed any more.
    pub(super) fn forget_disk(&mut self, disk: DiskId) {
        let of_it = |(on, _): &(DiskId, CopyHealth)| *on == disk;
        self.scrubs.retain(|scrub| !scrub.copies.iter().any(of_it));
    }

    fn is_due(&self, now_ms: u64) -> bool {
        let waited_ms = now_ms.saturating_sub(self.since_ms);
        !self.scrubs.is_empty()
            && (self.scrubs.len() >= SCRUB_TOLD_COUNT || waited_ms >= SCRUB_TOLD_MS)
    }
}

impl Engine {
    /// Has the log tell what a scrub found: of damage at once, and of an open segment before more is written to it. What
    /// was found before and not told is passed over.
    pub(super) fn tell_of_scrub(&mut self, scrub: Scrub, is_open: bool) {
        self.healer.untold.forget(scrub.segment);
        let whole = |(_, health): &(_, CopyHealth)| *health == CopyHealth::Whole;
        if is_open || !scrub.copies.iter().all(whole) {
            return self.push_scrub(scrub);
        }
        self.healer.untold.push(scrub, self.now.monotonic_ms);
    }

    /// Writes the records that have waited.
    pub(super) fn tell_of_scrubs_due(&mut self) {
        if self.healer.untold.is_due(self.now.monotonic_ms) {
            self.tell_of_scrubs();
        }
    }

    /// Writes all records that wait, but for those of segments that are gone or have a copy now that was not read.
    pub(in crate::engine) fn tell_of_scrubs(&mut self) {
        for scrub in std::mem::take(&mut self.healer.untold.scrubs) {
            let info = self.pool.segments.get(&scrub.segment);
            if info.is_some_and(|info| info.verified > UnixMillis::ZERO) {
                self.push_scrub(scrub);
            }
        }
    }

    fn push_scrub(&mut self, scrub: Scrub) {
        // The vault's part of the reserve of a full one is not for these, and none of it but for what is lost.
        let room = match tells_of_loss(&scrub) {
            true => self.pool.has_room_for_records(),
            false => self.pool.has_room_for_data(),
        };
        if room && !self.journal.is_full() {
            let draft = Draft::of_engine(RecordType::Scrub, Body::Scrub(scrub));
            self.journal.push_own(draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::LaneId;

    use super::*;

    fn scrub(segment: u64, disks: &[u8]) -> Scrub {
        let copies = disks.iter();
        Scrub {
            segment: SegmentId::new(segment),
            lane: LaneId::new(1),
            copies: copies
                .map(|disk| (DiskId::new([*disk; 16]), CopyHealth::Whole))
                .collect(),
            lost: Vec::new(),
        }
    }

    fn segments(untold: &Untold) -> Vec<u64> {
        let scrubs = untold.scrubs.iter();
        scrubs.map(|scrub| scrub.segment.get()).collect()
    }

    #[test]
    fn what_is_not_true_any_more_does_not_wait() {
        let mut untold = Untold::default();
        untold.push(scrub(1, &[1, 2]), 0);
        untold.push(scrub(2, &[1, 3]), 0);
        untold.push(scrub(3, &[2, 3]), 0);
        untold.forget(SegmentId::new(3));
        assert_eq!(segments(&untold), [1, 2]);
        untold.forget_disk(DiskId::new([2; 16]));
        assert_eq!(segments(&untold), [2]);
    }

    #[test]
    fn records_are_due_when_there_are_many_or_the_first_has_waited() {
        let mut untold = Untold::default();
        assert!(!untold.is_due(u64::MAX));
        untold.push(scrub(1, &[1]), 7);
        untold.push(scrub(2, &[1]), 9);
        assert!(!untold.is_due(7 + SCRUB_TOLD_MS - 1));
        assert!(untold.is_due(7 + SCRUB_TOLD_MS));
        for segment in 3.. {
            if segments(&untold).len() >= SCRUB_TOLD_COUNT {
                break;
            }
            assert!(!untold.is_due(9));
            untold.push(scrub(segment, &[1]), 9);
        }
        assert!(untold.is_due(9));
    }
}
