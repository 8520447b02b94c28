//! What is read again next: what a reader met, the disk being filled or drained, and what is due.

use stele_format::units::{DiskId, SegmentId};

use super::Aim;
use crate::engine::Engine;
use crate::pool::SegmentInfo;

impl Engine {
    /// What to walk next, and what for.
    pub(super) fn next_to_walk(&mut self) -> Option<(SegmentId, Aim)> {
        let now_ms = self.now.monotonic_ms;
        if let Some(segment) = self.next_suspect() {
            return Some((segment, Aim::Scrub));
        }
        if let Some((segment, disk)) = self.next_to_fill() {
            let overdue = self.overdue_beside(disk);
            return match overdue {
                Some(overdue) => Some((overdue, Aim::Scrub)),
                None => Some((segment, Aim::Fill(disk))),
            };
        }
        if let Some(next) = self.next_to_move() {
            return Some(next);
        }
        let idle = self.fill.is_none() && self.drain.is_none();
        if idle && self.healer.schedule.recall() {
            return self.next_to_walk();
        }
        if self.healer.schedule.is_quiet(now_ms) {
            return None;
        }
        let mut schedule = std::mem::take(&mut self.healer.schedule);
        let unfinished = self.lane.open_segments();
        let can_be_read = |id: SegmentId, info: &SegmentInfo| {
            let rests = self.rests_unheard(id);
            !rests && self.has_member(info) && self.is_readable(id, info, &unfinished)
        };
        let due = schedule.due(&self.pool, self.clock.latest(), can_be_read);
        self.healer.schedule = schedule;
        match due.and_then(|segment| self.pool.segments.get(&segment)) {
            Some(info) => self.healer.schedule.took(info),
            None => self.healer.schedule.postpone(now_ms),
        }
        due.map(|segment| (segment, Aim::Scrub))
    }

    /// What a disk that takes days to fill must not keep from being read for the first time. What lies on that disk is
    /// read when it takes part.
    fn overdue_beside(&mut self, filled: DiskId) -> Option<SegmentId> {
        let now_ms = self.now.monotonic_ms;
        let schedule = &mut self.healer.schedule;
        if schedule.is_quiet(now_ms) || !schedule.is_turn_of_overdue() {
            return None;
        }
        let mut schedule = std::mem::take(&mut self.healer.schedule);
        let unfinished = self.lane.open_segments();
        let can_be_read = |id: SegmentId, info: &SegmentInfo| {
            let beside = info.places.iter().all(|place| place.disk != filled);
            beside
                && !self.rests_unheard(id)
                && self.has_member(info)
                && self.is_readable(id, info, &unfinished)
        };
        let overdue = schedule.overdue(&self.pool, self.clock.latest(), can_be_read);
        self.healer.schedule = schedule;
        if overdue.is_none() {
            self.healer.schedule.postpone(now_ms);
        }
        overdue
    }

    fn next_suspect(&mut self) -> Option<SegmentId> {
        let now_ms = self.now.monotonic_ms;
        let segments = &self.pool.segments;
        let known = |id: SegmentId| segments.contains_key(&id);
        self.healer.schedule.forget(now_ms, known);
        if !self.healer.schedule.has_suspects(now_ms) {
            return None;
        }
        let mut schedule = std::mem::take(&mut self.healer.schedule);
        let unfinished = self.lane.open_segments();
        let found = schedule.take_suspect(now_ms, |id| {
            let info = segments.get(&id);
            info.is_some_and(|info| {
                let rests = self.rests_unheard(id);
                !rests && self.has_member(info) && self.is_readable(id, info, &unfinished)
            })
        });
        self.healer.schedule = schedule;
        found
    }
}
