//! What is known to be wrong with segments, over starts and over engines of one process.
//!
//! A segment's flaw is noted where it is found, in its record and in snapshots, and ends where every copy was read to its
//! end and nothing was wrong. What fills or copies does not read every copy: it may find a flaw and ends none.

use stele_format::units::SegmentId;

use crate::engine::Engine;
use crate::pool::Flaw;

impl Engine {
    /// What log and snapshot say to be wrong with segments is looked at again.
    pub(in crate::engine) fn remember_flaws(&mut self) {
        for (segment, info) in self.pool.segments.iter() {
            if let Some(flaw) = info.flaw {
                self.healer.schedule.remember(*segment, flaw);
            }
        }
    }

    /// The same of what an engine knew that this one takes over from.
    pub(in crate::engine) fn remember_flaws_of(&mut self, before: &Engine) {
        for (segment, flaw) in before.healer.schedule.flawed() {
            if let Some(info) = self.pool.segments.get_mut(&segment) {
                info.flaw = info.flaw.max(Some(flaw));
                self.healer.schedule.remember(segment, flaw);
            }
        }
    }

    /// Notes what a walk has shown to be wrong with a segment, and what is known to be: all of it, where the walk `judged`
    /// every copy.
    pub(super) fn note_flaw(&mut self, segment: SegmentId, judged: bool) -> Option<Flaw> {
        let found = self.healer.schedule.flaw(segment);
        let known = self.pool.segments.get(&segment)?.flaw;
        let flaw = match judged {
            true => found,
            false => known.max(found),
        };
        if flaw != known
            && let Some(info) = self.pool.segments.get_mut(&segment)
        {
            info.flaw = flaw;
        }
        flaw
    }
}
