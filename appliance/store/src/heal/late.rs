//! How long what lies on the disks waits to be read: what is promised, and how healing hurries to keep it.
//!
//! Beside clients everything is read slowly, and clients may be at work all day. So the rate grows with the age of what
//! has waited longest, from that beside clients to that of a vault without any, before the promise is broken.

use stele_format::units::UnixMillis;

use crate::limits::{
    SCRUB_AGAIN_MS_MAX, SCRUB_AGAIN_PROMISED_MS, SCRUB_FIRST_HURRY_MS, SCRUB_FIRST_MS_MAX,
    SCRUB_FIRST_PROMISED_MS, SCRUB_INTERVAL_MS,
};
use crate::pool::SegmentInfo;

/// All of the way from the rate beside clients to the rate without them.
pub const HURRY_FULL: u64 = 1_000;

/// Pause before all segments are looked at again for the one that has waited longest.
const LOOK_PAUSE_MS: u64 = 5 * 60_000;

/// What a segment waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reread {
    /// To be read for the first time since it was written.
    First,
    /// To be read once more.
    Again,
}

/// Within which time something is read, and how that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// At this age healing begins to hurry.
    pub hurry_ms: u64,
    /// At this age and beyond it takes the rate of a vault without clients.
    pub full_ms: u64,
    /// Nothing gets older than this.
    pub within_ms: u64,
}

impl Reread {
    /// Both.
    pub const ALL: [Reread; 2] = [Reread::First, Reread::Again];

    /// What is promised of it.
    #[must_use]
    pub const fn promise(self) -> Promise {
        match self {
            Reread::First => Promise {
                hurry_ms: SCRUB_FIRST_HURRY_MS,
                full_ms: SCRUB_FIRST_MS_MAX,
                within_ms: SCRUB_FIRST_PROMISED_MS,
            },
            Reread::Again => Promise {
                hurry_ms: SCRUB_INTERVAL_MS,
                full_ms: SCRUB_AGAIN_MS_MAX,
                within_ms: SCRUB_AGAIN_PROMISED_MS,
            },
        }
    }
}

impl Promise {
    /// How far healing goes towards its full rate for what is so old, of [`HURRY_FULL`]: in proportion between the two
    /// ages.
    #[must_use]
    pub fn hurry(&self, age_ms: u64) -> u64 {
        let span = self.full_ms.saturating_sub(self.hurry_ms).max(1);
        let into = age_ms.saturating_sub(self.hurry_ms).min(span);
        into.saturating_mul(HURRY_FULL) / span
    }

    /// Whether something so old is later than promised.
    #[must_use]
    pub fn is_broken(&self, age_ms: u64) -> bool {
        age_ms > self.within_ms
    }

    /// Whether something so old is well in time: no more than it takes for healing to be at its full rate.
    #[must_use]
    pub fn is_kept(&self, age_ms: u64) -> bool {
        age_ms <= self.full_ms
    }
}

/// How old the oldest is of what waits, milliseconds of the compliance clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ages {
    /// Of what was never read again since it was written.
    pub first_ms: u64,
    /// Of everything else since it was last read.
    pub again_ms: u64,
}

impl Ages {
    /// Those of these segments.
    pub(crate) fn of<'a>(segments: impl Iterator<Item = &'a SegmentInfo>, now: UnixMillis) -> Self {
        let mut ages = Self::default();
        for info in segments {
            let (oldest, since) = match info.new_since() {
                Some(since) => (&mut ages.first_ms, since),
                None => (&mut ages.again_ms, info.unread_since()),
            };
            *oldest = (*oldest).max(now.get().saturating_sub(since.get()));
        }
        ages
    }

    /// The age of what waits for this.
    #[must_use]
    pub const fn age_ms(&self, which: Reread) -> u64 {
        match which {
            Reread::First => self.first_ms,
            Reread::Again => self.again_ms,
        }
    }

    /// How much healing hurries, of [`HURRY_FULL`].
    #[must_use]
    pub fn hurry(&self) -> u64 {
        let hurries = Reread::ALL.map(|which| which.promise().hurry(self.age_ms(which)));
        hurries.into_iter().max().unwrap_or(0)
    }
}

/// The ages as they were at the last look.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    pub(crate) ages: Ages,
    looked_ms: Option<u64>,
}

impl Lateness {
    /// Whether it is time to look again: of hundreds of thousands of segments, and what hours decide.
    pub(crate) fn may_look(&self, now_ms: u64) -> bool {
        let rests = |looked: u64| now_ms.saturating_sub(looked) < LOOK_PAUSE_MS;
        !self.looked_ms.is_some_and(rests)
    }

    /// Notes what was seen.
    pub(crate) fn saw(&mut self, ages: Ages, now_ms: u64) {
        self.ages = ages;
        self.looked_ms = Some(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::pace::Rates;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;

    #[test]
    fn the_rate_beside_clients_grows_with_the_age_of_what_has_waited_longest() {
        let rates = Rates {
            idle_bytes_per_s: 128,
            busy_bytes_per_s: 8,
        };
        for (first_ms, again_ms, rate) in [
            (0, 0, 8),
            (6 * HOUR_MS, 7 * DAY_MS, 8),
            (9 * HOUR_MS, 0, 38),
            (12 * HOUR_MS, 0, 68),
            (18 * HOUR_MS - 1, 0, 127),
            (18 * HOUR_MS, 0, 128),
            (90 * DAY_MS, 0, 128),
            (0, 7 * DAY_MS + 36 * HOUR_MS, 68),
            (0, 10 * DAY_MS, 128),
            // The later of both counts.
            (9 * HOUR_MS, 7 * DAY_MS + 36 * HOUR_MS, 68),
            (12 * HOUR_MS, 7 * DAY_MS + HOUR_MS, 68),
        ] {
            let ages = Ages { first_ms, again_ms };
            assert_eq!(rates.busy(ages.hurry()), rate, "{ages:?}");
        }
        let max = Rates::UNBOUNDED;
        assert_eq!([0, 500, HURRY_FULL].map(|h| max.busy(h)), [u64::MAX; 3]);
    }

    #[test]
    fn the_rate_is_full_before_a_promise_is_broken() {
        for which in Reread::ALL {
            let promise = which.promise();
            assert!(promise.hurry_ms < promise.full_ms && promise.full_ms < promise.within_ms);
            assert!(
                !promise.is_broken(promise.within_ms) && promise.is_broken(promise.within_ms + 1)
            );
            // There is a span in which nothing is said, or it would be said and taken back by turns.
            assert!(promise.is_kept(promise.full_ms) && !promise.is_kept(promise.full_ms + 1));
        }
    }
}
