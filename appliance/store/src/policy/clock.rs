//! The clock retention obeys.
//!
//! Compliance time starts from the newest time the journal knows and goes on with the monotonic
//! clock while the vault runs; time spent switched off does not count. The wall clock helps only
//! while it stays within a day of it. Locks are set by the later of both, releases are judged by
//! the earlier, so that one wrong clock can only make a lock longer, and by a day at most.
//!
//! Invariant: what [`ComplianceClock::now`] returns never decreases, whatever the monotonic source
//! does. Nothing here fails.

use stele_format::units::UnixMillis;

use super::limits::{WALL_DRIFT_MS_MAX, WALL_MS_MAX};

/// Compliance time: a floor from the journal plus the time run since.
#[derive(Debug, Clone)]
pub struct ComplianceClock {
    floor_ms: u64,
    started_at_monotonic_ms: u64,
    latest_ms: u64,
}

impl ComplianceClock {
    /// A clock that reads `floor` (the newest compliance time in the journal; the wall clock when a
    /// vault is created) at `monotonic_ms` and advances with the latter.
    #[must_use]
    pub fn new(floor: UnixMillis, monotonic_ms: u64) -> Self {
        Self {
            floor_ms: floor.get(),
            started_at_monotonic_ms: monotonic_ms,
            latest_ms: floor.get(),
        }
    }

    /// Compliance time at `monotonic_ms`; never less than any time told before.
    pub fn now(&mut self, monotonic_ms: u64) -> UnixMillis {
        let run_ms = monotonic_ms.saturating_sub(self.started_at_monotonic_ms);
        let time = self.floor_ms.saturating_add(run_ms).min(WALL_MS_MAX);
        self.latest_ms = self.latest_ms.max(time);
        UnixMillis::new(self.latest_ms)
    }

    /// Sets the clock forward. There is no way back.
    pub fn advance(&mut self, by_ms: u64) {
        self.floor_ms = self.floor_ms.saturating_add(by_ms);
        self.latest_ms = self.latest_ms.saturating_add(by_ms).min(WALL_MS_MAX);
    }

    /// The newest time told, without moving the clock.
    #[must_use]
    pub fn latest(&self) -> UnixMillis {
        UnixMillis::new(self.latest_ms)
    }
}

/// The two times policy works with, from both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectiveTime {
    /// The later one: locks are set from it.
    pub lock: UnixMillis,
    /// The earlier one: releases are judged by it.
    pub release: UnixMillis,
    /// The wall clock stands more than 24 hours from compliance time and counted only as if it
    /// stood at the end of that span; people must hear of it.
    pub wall_alarm: bool,
}

/// Joins compliance time and the wall clock.
///
/// A wall clock outside compliance time ± 24 h is taken as the nearer end of that span: a clock
/// decades ahead adds one day to new locks and frees nothing, one decades behind delays releases by
/// one day and shortens no lock.
#[must_use]
pub fn effective_time(compliance: UnixMillis, wall: UnixMillis) -> EffectiveTime {
    let earliest = compliance.get().saturating_sub(WALL_DRIFT_MS_MAX);
    let latest = compliance.get().saturating_add(WALL_DRIFT_MS_MAX);
    let counted = wall.get().clamp(earliest, latest);
    EffectiveTime {
        lock: UnixMillis::new(compliance.get().max(counted)),
        release: UnixMillis::new(compliance.get().min(counted)),
        wall_alarm: counted != wall.get(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{ComplianceClock, EffectiveTime, UnixMillis, effective_time};
    use crate::policy::limits::DAY_MS;

    fn ms(value: u64) -> UnixMillis {
        UnixMillis::new(value)
    }

    #[test]
    fn compliance_time_advances_with_the_monotonic_clock_from_its_floor() {
        let mut clock = ComplianceClock::new(ms(1_000), 50);
        assert_eq!(clock.now(50), ms(1_000));
        assert_eq!(clock.now(75), ms(1_025));
        assert_eq!(clock.latest(), ms(1_025));
    }

    #[test]
    fn the_wall_clock_counts_only_within_a_day() {
        const NOW: u64 = 100 * DAY_MS;
        // (wall, lock, release, alarm)
        let table = [
            (NOW, NOW, NOW, false),
            (NOW + 5, NOW + 5, NOW, false),
            (NOW - 5, NOW, NOW - 5, false),
            (NOW + DAY_MS, NOW + DAY_MS, NOW, false),
            (NOW + DAY_MS + 1, NOW + DAY_MS, NOW, true),
            (NOW - DAY_MS, NOW, NOW - DAY_MS, false),
            (NOW - DAY_MS - 1, NOW, NOW - DAY_MS, true),
            (0, NOW, NOW - DAY_MS, true),
            (u64::MAX, NOW + DAY_MS, NOW, true),
        ];
        for (wall, lock, release, wall_alarm) in table {
            assert_eq!(
                effective_time(ms(NOW), ms(wall)),
                EffectiveTime {
                    lock: ms(lock),
                    release: ms(release),
                    wall_alarm
                },
                "wall {wall}"
            );
        }
    }

    #[test]
    fn an_advance_is_kept_and_time_goes_on_from_it() {
        let mut clock = ComplianceClock::new(ms(1_000), 50);
        assert_eq!(clock.now(60), ms(1_010));
        clock.advance(500);
        assert_eq!(clock.latest(), ms(1_510));
        assert_eq!(clock.now(60), ms(1_510));
        assert_eq!(clock.now(70), ms(1_520));
        // No further than texts can say.
        clock.advance(u64::MAX);
        assert_eq!(clock.now(80), ms(super::WALL_MS_MAX));
    }

    proptest! {
        #[test]
        fn compliance_time_never_decreases(
            floor in any::<u64>(),
            start in any::<u64>(),
            reads in proptest::collection::vec(any::<u64>(), 1..20),
        ) {
            let mut clock = ComplianceClock::new(ms(floor), start);
            let mut last = ms(floor);
            for read in reads {
                let now = clock.now(read);
                prop_assert!(now >= last);
                last = now;
            }
            prop_assert_eq!(clock.latest(), last);
        }

        #[test]
        fn no_wall_clock_frees_early_or_locks_for_long(
            compliance in any::<u64>(),
            wall in any::<u64>(),
        ) {
            let time = effective_time(ms(compliance), ms(wall));
            prop_assert!(time.release <= ms(compliance));
            prop_assert!(time.lock >= ms(compliance));
            prop_assert!(time.lock.get() - compliance <= DAY_MS);
            prop_assert!(compliance - time.release.get() <= DAY_MS);
        }
    }
}
