//! What waits to be read for too long: healing hurries for it, and an alarm says so where that is not enough.

use stele_format::units::SegmentId;

use crate::engine::Engine;
use crate::heal::late::{Ages, Reread};
use crate::pool::SegmentInfo;

impl Engine {
    /// Looks for what has waited longest, if that was not done a short while ago, and tells where it is late.
    pub(super) fn look_for_late(&mut self) {
        let now_ms = self.now.monotonic_ms;
        if !self.healer.lateness.may_look(now_ms) {
            return;
        }
        let ages = self.ages();
        self.healer.lateness.saw(ages, now_ms);
        let at = self.clock.latest();
        for which in Reread::ALL {
            self.alarms.reread(which, ages.age_ms(which), at);
        }
    }

    /// How old the oldest is of what is here to be read. What belongs on a disk that is being filled is read for that,
    /// and in its turn when the disk takes part.
    pub(crate) fn ages(&self) -> Ages {
        let filled = self.fill_progress().map(|(disk, _)| disk);
        let open = [Some(self.journal.segment()), self.lane.segment()];
        let waits = |(id, info): &(&SegmentId, &SegmentInfo)| {
            let begun = info.data_end.is_some() || open.contains(&Some(**id));
            let beside = info.places.iter().all(|place| Some(place.disk) != filled);
            info.is_written() && begun && beside && self.has_member(info)
        };
        let waiting = self.pool.segments.iter().filter(waits);
        Ages::of(waiting.map(|(_, info)| info), self.clock.latest())
    }
}
