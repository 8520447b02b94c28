//! How far the wall clock runs away from compliance time, watched and never obeyed.
//!
//! Compliance time goes with the monotonic clock, so a wall clock that is kept by legal time and runs otherwise
//! says that one of the two is wrong. Retention is not steered by it: somebody is told.

use stele_format::units::UnixMillis;

use super::limits::{DAY_MS, DRIFT_MS_MAX};

/// What the clocks showed when the watch of this day began.
#[derive(Debug, Clone, Default)]
pub struct Drift {
    since: Option<(UnixMillis, UnixMillis)>,
    told: Option<UnixMillis>,
}

impl Drift {
    /// Begins anew: a clock was set on purpose.
    pub fn begin_anew(&mut self) {
        self.since = None;
    }

    /// Looks at both clocks; says by how many milliseconds the wall clock got ahead, if that is too much for a day
    /// and was not said for a day.
    pub fn look(&mut self, compliance: UnixMillis, wall: UnixMillis) -> Option<i64> {
        let (began, wall_then) = *self.since.get_or_insert((compliance, wall));
        let passed = compliance.get().saturating_sub(began.get());
        let ahead = difference(wall, wall_then).saturating_sub(difference(compliance, began));
        let too_much = ahead.unsigned_abs() > DRIFT_MS_MAX;
        if passed >= DAY_MS || too_much {
            self.since = Some((compliance, wall));
        }
        let lately = |told: UnixMillis| compliance.get().saturating_sub(told.get()) < DAY_MS;
        if !too_much || self.told.is_some_and(lately) {
            return None;
        }
        self.told = Some(compliance);
        Some(ahead)
    }
}

fn difference(later: UnixMillis, earlier: UnixMillis) -> i64 {
    let whole = |time: UnixMillis| i64::try_from(time.get()).unwrap_or(i64::MAX);
    whole(later).saturating_sub(whole(earlier))
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, Drift, UnixMillis};

    const HOUR: u64 = DAY_MS / 24;
    const START: u64 = 1_700_000_000_000;

    /// Three days in which the wall clock gains or loses so many milliseconds an hour.
    fn days(per_hour: i64) -> Vec<i64> {
        let mut drift = Drift::default();
        let mut wall = START;
        let mut told = Vec::new();
        for hour in 0..72 {
            told.extend(drift.look(UnixMillis::new(START + hour * HOUR), UnixMillis::new(wall)));
            wall = (wall + HOUR).saturating_add_signed(per_hour);
        }
        told
    }

    #[test]
    fn more_than_five_minutes_a_day_is_said_and_less_is_not() {
        let minute = 60_000;
        assert_eq!(days(0), [0; 0]);
        assert_eq!(days(5 * minute / 24), [0; 0]);
        assert_eq!(days(-5 * minute / 24), [0; 0]);
        for (per_hour, least) in [(minute, 5 * minute), (-minute, -5 * minute)] {
            let told = days(per_hour);
            assert_eq!(told.len(), 3, "{told:?}");
            assert!(
                told.iter()
                    .all(|ms| ms.abs() > least.abs() && ms.signum() == least.signum())
            );
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_to_and_fro_is_said_once_a_day() {
        let mut drift = Drift::default();
        let mut told = 0;
        for step in 0..1_000 {
            let wall = START + step * 1_000 + (step % 2) * HOUR;
            told += usize::from(
                drift
                    .look(UnixMillis::new(START + step * 1_000), UnixMillis::new(wall))
                    .is_some(),
            );
        }
        assert_eq!(told, 1);
        // Set on purpose: nothing is said, a day later.
        drift.begin_anew();
        let later = UnixMillis::new(START + 2 * DAY_MS);
        assert_eq!(drift.look(later, UnixMillis::new(START)), None);
    }

    #[test]
    fn no_time_is_too_large() {
        let mut drift = Drift::default();
        drift.look(UnixMillis::new(0), UnixMillis::new(u64::MAX));
        assert!(drift.look(UnixMillis::new(1), UnixMillis::new(0)).is_some());
        let _said = drift.look(UnixMillis::new(u64::MAX), UnixMillis::new(u64::MAX));
    }
}
