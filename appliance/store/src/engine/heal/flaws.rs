//! What is known to be wrong with segments, over starts and over engines of one process.

use stele_format::units::SegmentId;

use super::Healer;
use crate::engine::Engine;
use crate::pool::{Flaw, Pool};

impl Healer {
    /// What was wrong with segments before this engine began; of those that are no more nothing is.
    pub(crate) fn remember(
        &mut self,
        flawed: impl Iterator<Item = (SegmentId, Flaw)>,
        pool: &Pool,
    ) {
        for (segment, flaw) in flawed {
            if pool.segments.contains_key(&segment) {
                self.schedule.remember(segment, flaw);
            }
        }
    }

    /// Segments with which something is known to be wrong.
    pub(crate) fn flawed(&self) -> impl Iterator<Item = (SegmentId, Flaw)> {
        self.schedule.flawed()
    }
}

impl Engine {
    /// What log and snapshot say to be wrong with segments is looked at soon.
    pub(in crate::engine) fn remember_flaws(&mut self) {
        let segments = self.pool.segments.iter();
        let flawed = segments.filter_map(|(id, info)| Some((*id, info.flaw?)));
        self.healer.remember(flawed, &self.pool);
    }
}
