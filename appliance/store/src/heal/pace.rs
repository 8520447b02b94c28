//! How fast healing may go: a budget of bytes that time refills, smaller while clients are at work.

use super::late::HURRY_FULL;
use crate::limits::{FILL_BUSY_BYTES_PER_S, SCRUB_BUSY_BYTES_PER_S, SCRUB_IDLE_BYTES_PER_S};

/// Rates of one kind of healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// While no client asks for anything.
    pub idle_bytes_per_s: u64,
    /// While clients are at work.
    pub busy_bytes_per_s: u64,
}

impl Rates {
    /// Reading everything again.
    pub const SCRUB: Rates = Rates {
        idle_bytes_per_s: SCRUB_IDLE_BYTES_PER_S,
        busy_bytes_per_s: SCRUB_BUSY_BYTES_PER_S,
    };
    /// Filling a disk.
    pub const FILL: Rates = Rates {
        idle_bytes_per_s: u64::MAX,
        busy_bytes_per_s: FILL_BUSY_BYTES_PER_S,
    };
    /// As fast as the disks and the machine allow.
    pub const UNBOUNDED: Rates = Rates {
        idle_bytes_per_s: u64::MAX,
        busy_bytes_per_s: u64::MAX,
    };

    /// Bytes a second beside clients, for who hurries so much, of [`HURRY_FULL`].
    pub(crate) fn busy(&self, hurry: u64) -> u64 {
        let more = self.idle_bytes_per_s.saturating_sub(self.busy_bytes_per_s);
        let more = u128::from(more) * u128::from(hurry.min(HURRY_FULL)) / u128::from(HURRY_FULL);
        self.busy_bytes_per_s
            .saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
    }
}

/// A budget that may be overdrawn by one run and is then paid back before the next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    budget_bytes: i64,
    last_ms: u64,
}

impl Pace {
    /// Takes the bytes of a run if the budget of so many bytes a second is not used up.
    pub(crate) fn take(&mut self, rate: u64, now_ms: u64, bytes: u64) -> bool {
        if rate == u64::MAX {
            return true;
        }
        let rate = i64::try_from(rate).unwrap_or(i64::MAX);
        let passed = i64::try_from(now_ms.saturating_sub(self.last_ms)).unwrap_or(i64::MAX);
        self.last_ms = now_ms;
        let earned = rate.saturating_mul(passed) / 1_000;
        // At most a fifth of a second is saved up, so that quiet times do not end in a burst.
        self.budget_bytes = self.budget_bytes.saturating_add(earned).min(rate / 5 + 1);
        if self.budget_bytes <= 0 {
            return false;
        }
        self.budget_bytes -= i64::try_from(bytes).unwrap_or(i64::MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    /// Bytes passed in ten simulated seconds, asked for every millisecond.
    fn passed(rate: u64, run: u64) -> u64 {
        let mut pace = Pace::default();
        (0..10_000).filter(|now| pace.take(rate, *now, run)).count() as u64 * run
    }

    #[test]
    fn each_rate_is_kept_whatever_the_size_of_a_run() {
        for run in [4096, 1 << 20, 12 << 20] {
            for rate in [64 << 20, 8 << 20] {
                let bytes = passed(rate, run);
                let limit = 10 * rate;
                assert!(bytes <= limit + run + rate / 5, "{bytes} of {limit}");
                // A run a millisecond is the most this test asks for.
                let least = limit.min(10_000 * run) * 9 / 10;
                assert!(bytes >= least - least.min(run), "{bytes} of {least}");
            }
        }
    }

    #[test]
    fn no_bound_lets_everything_pass() {
        assert_eq!(passed(u64::MAX, 1 << 20), 10_000 << 20);
    }
}
