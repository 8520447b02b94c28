//! Which segment is read again next, and the counts that tell an operator how far it has come.

use std::collections::BTreeSet;

use stele_format::units::{SegmentId, UnixMillis};

use super::{Lost, Outcome};
use crate::limits::{LOST_COUNT_MAX, SCRUB_INTERVAL_MS, SCRUB_OPEN_MS, SCRUB_SETTLE_MS};
use crate::pool::{Pool, SegmentInfo};

/// Counts of healing since start, and what it knows to be lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealCounts {
    /// Segments read to their end on every copy.
    pub segments: u64,
    /// Bytes read and judged good, over all copies.
    pub verified_bytes: u64,
    /// Frames, headers, footers and seals written again.
    pub repaired: u64,
    /// Bytes written again.
    pub repaired_bytes: u64,
    /// What no copy could give back, as the last look at each segment found it.
    pub lost: Vec<Lost>,
}

/// What to read again.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    suspects: BTreeSet<SegmentId>,
    /// Nothing was due; looked at again from then on.
    quiet_until_ms: u64,
    due: Due,
    pub(crate) counts: HealCounts,
}

/// Pause before the segments are searched again for one that is due.
const SEARCH_PAUSE_MS: u64 = 5_000;

/// When segments are due to be read again, by the compliance clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// A closed segment for the first time, after it was begun.
    pub settle_ms: u64,
    /// What is durable of an open segment, after the last time.
    pub open_ms: u64,
    /// A closed segment, after the last time.
    pub interval_ms: u64,
}

impl Default for Due {
    fn default() -> Self {
        Self {
            settle_ms: SCRUB_SETTLE_MS,
            open_ms: SCRUB_OPEN_MS,
            interval_ms: SCRUB_INTERVAL_MS,
        }
    }
}

impl Due {
    fn at(&self, info: &SegmentInfo) -> UnixMillis {
        let (written, verified) = (info.written.get(), info.verified.get());
        UnixMillis::new(match (info.data_end, verified) {
            (None, _) => written.max(verified).saturating_add(self.open_ms),
            (Some(_), 0) => written.saturating_add(self.settle_ms),
            (Some(_), _) => verified.saturating_add(self.interval_ms),
        })
    }
}

impl Schedule {
    /// With its own idea of when something is due.
    pub(crate) fn new(due: Due) -> Self {
        Self {
            due,
            ..Self::default()
        }
    }

    /// A copy of this segment was seen not to verify: it is read again at once.
    pub(crate) fn suspect(&mut self, segment: SegmentId) {
        self.suspects.insert(segment);
    }

    /// The segment to read next, if one is suspected or due. Of those not closed only the ones in
    /// `open` can be read.
    pub(crate) fn next(
        &mut self,
        pool: &Pool,
        open: &[SegmentId],
        now: UnixMillis,
        now_ms: u64,
    ) -> Option<SegmentId> {
        while let Some(segment) = self.suspects.pop_first() {
            if pool.segments.contains_key(&segment) {
                return Some(segment);
            }
        }
        if now_ms < self.quiet_until_ms {
            return None;
        }
        let readable = |(id, info): &(&SegmentId, &SegmentInfo)| {
            info.is_written() && (info.data_end.is_some() || open.contains(id))
        };
        let written = pool.segments.iter().filter(readable);
        let (due, segment) = written.map(|(id, info)| (self.due.at(info), *id)).min()?;
        if due <= now {
            return Some(segment);
        }
        self.quiet_until_ms = now_ms.saturating_add(SEARCH_PAUSE_MS.min(self.due.settle_ms));
        None
    }

    /// The due segment cannot be read now: another look after a pause.
    pub(crate) fn postpone(&mut self, now_ms: u64) {
        self.quiet_until_ms = now_ms.saturating_add(SEARCH_PAUSE_MS.min(self.due.settle_ms));
    }

    /// Counts what a walk found.
    pub(crate) fn record(&mut self, segment: SegmentId, outcome: &Outcome) {
        let counts = &mut self.counts;
        counts.segments += u64::from(outcome.complete);
        counts.verified_bytes += outcome.verified_bytes;
        counts.repaired += outcome.repaired;
        counts.repaired_bytes += outcome.repaired_bytes;
        counts.lost.retain(|lost| lost.segment != segment);
        let room = LOST_COUNT_MAX.saturating_sub(counts.lost.len());
        counts.lost.extend(outcome.lost.iter().take(room));
    }
}

/// Age of the oldest byte not read again since, in milliseconds of the compliance clock.
pub(crate) fn oldest_unverified_ms(pool: &Pool, now: UnixMillis) -> u64 {
    let written = pool.segments.values().filter(|info| info.is_written());
    let since = written.map(|info| info.written.max(info.verified)).min();
    since.map_or(0, |since| now.get().saturating_sub(since.get()))
}
