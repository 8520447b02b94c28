//! How much an owner may store, and how fast a key may write.
//!
//! What counts as stored is everything the log has taken and that still lies on the disks: every
//! version, locked or not, released or not, delete markers as versions of no bytes, and every part
//! of every multipart upload, whatever became of it. The first marker over a version counts and is never
//! refused, so that an owner whose versions are used up can still delete what is there: at most once as
//! many markers come on top.

use super::limits::{MINUTE_MS, RATE_BURST_S};
use super::types::Refusal;

/// What lies on the disks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Content bytes of versions and parts.
    pub bytes: u64,
    /// Versions and delete markers.
    pub versions: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn plus(self, more: Usage) -> Usage {
        Usage {
            bytes: self.bytes.saturating_add(more.bytes),
            versions: self.versions.saturating_add(more.versions),
        }
    }

    /// What is left without a part of it.
    #[must_use]
    pub const fn minus(self, less: Usage) -> Usage {
        Usage {
            bytes: self.bytes.saturating_sub(less.bytes),
            versions: self.versions.saturating_sub(less.versions),
        }
    }
}

/// How much an owner may store; none is without a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes at most.
    pub bytes_max: Option<u64>,
    /// Versions at most.
    pub versions_max: Option<u64>,
}

impl Quota {
    /// Whether more may be stored where so much is.
    ///
    /// # Errors
    /// [`Refusal::QuotaBytes`] or [`Refusal::QuotaVersions`].
    pub fn check(&self, used: Usage, more: Usage) -> Result<(), Refusal> {
        let then = used.plus(more);
        if let Some(max) = self
            .bytes_max
            .filter(|max| then.bytes > *max && more.bytes > 0)
        {
            return Err(Refusal::QuotaBytes { max });
        }
        let versions = self.versions_max.filter(|max| then.versions > *max);
        match versions.filter(|_| more.versions > 0) {
            Some(max) => Err(Refusal::QuotaVersions { max }),
            None => Ok(()),
        }
    }
}

/// How fast a key may write; none is without a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Requests that add to the log, in a minute.
    pub writes_per_minute: Option<u32>,
    /// Content bytes in a second.
    pub bytes_per_second: Option<u64>,
}

/// What a key may still write at the moment: two buckets that fill with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// Writes left, in 60,000ths, so that time adds whole numbers.
    writes: u64,
    /// Bytes left, in thousandths; below zero after a body longer than what was left.
    bytes: i64,
    at_ms: u64,
}

impl Meter {
    /// Full buckets.
    #[must_use]
    pub fn full(rate: Rate, now_ms: u64) -> Meter {
        Meter {
            writes: writes_full(rate),
            bytes: bytes_full(rate),
            at_ms: now_ms,
        }
    }

    /// How long it takes until it is full, if nothing is taken.
    #[must_use]
    pub fn full_in_ms(&self, rate: Rate, now_ms: u64) -> u64 {
        let mut then = *self;
        then.fill(rate, now_ms);
        let takes = |missing: u64, per_ms: u64| match (missing, per_ms) {
            (0, _) => 0,
            (_, 0) => u64::MAX,
            (missing, per_ms) => missing.div_ceil(per_ms),
        };
        let writes = writes_full(rate).saturating_sub(then.writes);
        let bytes = bytes_full(rate).saturating_sub(then.bytes);
        let writes = takes(writes, u64::from(rate.writes_per_minute.unwrap_or(0)));
        let bytes = u64::try_from(bytes).unwrap_or(0);
        writes.max(takes(bytes, rate.bytes_per_second.unwrap_or(0)))
    }

    /// Time has passed.
    fn fill(&mut self, rate: Rate, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let writes = passed.saturating_mul(u64::from(rate.writes_per_minute.unwrap_or(0)));
        self.writes = self.writes.saturating_add(writes).min(writes_full(rate));
        let bytes = passed.saturating_mul(rate.bytes_per_second.unwrap_or(0));
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes = self.bytes.saturating_add(bytes).min(bytes_full(rate));
    }

    /// Takes one write, if there is one and the bytes before it are paid for.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), Refusal> {
        self.fill(rate, now_ms);
        if rate.bytes_per_second.is_some() && self.bytes <= 0 {
            return Err(Refusal::TooFast);
        }
        if rate.writes_per_minute.is_some() {
            self.writes = self.writes.checked_sub(MINUTE_MS).ok_or(Refusal::TooFast)?;
        }
        Ok(())
    }

    /// Pays for bytes of a body; the next write waits for what was too much.
    pub fn pay(&mut self, rate: Rate, bytes: u64) {
        if rate.bytes_per_second.is_some() {
            let bytes = i64::try_from(bytes.saturating_mul(1_000)).unwrap_or(i64::MAX);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

fn writes_full(rate: Rate) -> u64 {
    u64::from(rate.writes_per_minute.unwrap_or(0)).saturating_mul(MINUTE_MS)
}

fn bytes_full(rate: Rate) -> i64 {
    let bytes = rate.bytes_per_second.unwrap_or(0);
    let full = bytes.saturating_mul(RATE_BURST_S).saturating_mul(1_000);
    i64::try_from(full).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_may_be_filled_to_the_last_byte_and_no_further() {
        let quota = |bytes_max, versions_max| Quota {
            bytes_max,
            versions_max,
        };
        let usage = |bytes, versions| Usage { bytes, versions };
        let bytes = Err(Refusal::QuotaBytes { max: 100 });
        let versions = Err(Refusal::QuotaVersions { max: 3 });
        for (quota, used, more, expected) in [
            (quota(None, None), usage(u64::MAX, 9), usage(9, 1), Ok(())),
            (quota(Some(100), None), usage(60, 9), usage(40, 1), Ok(())),
            (quota(Some(100), None), usage(60, 9), usage(41, 1), bytes),
            // Over it already: what brings no bytes still passes.
            (quota(Some(100), None), usage(200, 9), usage(0, 1), Ok(())),
            (quota(Some(100), None), usage(200, 9), usage(1, 1), bytes),
            (
                quota(Some(100), None),
                usage(9, 9),
                usage(u64::MAX, 1),
                bytes,
            ),
            (quota(None, Some(3)), usage(9, 2), usage(9, 1), Ok(())),
            (quota(None, Some(3)), usage(9, 3), usage(9, 1), versions),
            // A part is no version.
            (quota(None, Some(3)), usage(9, 9), usage(9, 0), Ok(())),
            (quota(Some(100), Some(3)), usage(100, 3), usage(1, 1), bytes),
        ] {
            assert_eq!(
                quota.check(used, more),
                expected,
                "{quota:?} {used:?} {more:?}"
            );
        }
    }

    #[test]
    fn writes_come_in_a_burst_of_a_minute_and_then_at_the_rate() {
        let rate = Rate {
            writes_per_minute: Some(3),
            bytes_per_second: None,
        };
        let mut meter = Meter::full(rate, 1_000);
        for (now_ms, expected) in [
            (1_000, Ok(())),
            (1_000, Ok(())),
            (1_000, Ok(())),
            (1_000, Err(Refusal::TooFast)),
            (20_999, Err(Refusal::TooFast)),
            (21_000, Ok(())),
            (21_000, Err(Refusal::TooFast)),
            // A clock that steps back gives nothing.
            (500, Err(Refusal::TooFast)),
            (21_001, Err(Refusal::TooFast)),
            (10_000_000, Ok(())),
            (10_000_000, Ok(())),
            (10_000_000, Ok(())),
            (10_000_000, Err(Refusal::TooFast)),
        ] {
            assert_eq!(meter.take(rate, now_ms), expected, "at {now_ms}");
        }
    }

    #[test]
    fn a_long_body_is_paid_for_by_waiting() {
        let rate = Rate {
            writes_per_minute: None,
            bytes_per_second: Some(100),
        };
        let mut meter = Meter::full(rate, 0);
        assert_eq!(meter.take(rate, 0), Ok(()));
        meter.pay(rate, 100 * RATE_BURST_S + 500);
        assert_eq!(meter.take(rate, 4_999), Err(Refusal::TooFast));
        assert_eq!(meter.take(rate, 5_001), Ok(()));
    }

    #[test]
    fn a_meter_says_when_it_is_full_again() {
        let rate = Rate {
            writes_per_minute: Some(3),
            bytes_per_second: Some(100),
        };
        let mut meter = Meter::full(rate, 0);
        assert_eq!(meter.full_in_ms(rate, 0), 0);
        assert_eq!(meter.take(rate, 0), Ok(()));
        assert_eq!(meter.full_in_ms(rate, 0), 20_000);
        assert_eq!(meter.full_in_ms(rate, 19_999), 1);
        assert_eq!(meter.full_in_ms(rate, 20_000), 0);
        meter.pay(rate, 100 * 30);
        assert_eq!(meter.full_in_ms(rate, 1_000), 29_000);
        let never = Rate {
            writes_per_minute: None,
            bytes_per_second: Some(0),
        };
        let mut meter = Meter::full(never, 0);
        meter.pay(never, 1);
        assert_eq!(meter.full_in_ms(never, u64::MAX), u64::MAX);
    }

    #[test]
    fn without_a_rate_nothing_is_counted() {
        let rate = Rate::default();
        let mut meter = Meter::full(rate, 0);
        for _ in 0..1_000 {
            meter.pay(rate, u64::MAX);
            assert_eq!(meter.take(rate, 0), Ok(()));
        }
    }
}
