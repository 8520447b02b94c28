//! When the vault will be full, from how fast it filled in the last days.
//!
//! Nothing is written down for this: every segment states when it was begun, so the units of those begun
//! in the last seven days, every copy counted, are what these days took. Times are those of the
//! compliance clock, which stands still while the vault is off; and a segment counts as a whole once it
//! is begun, an error of at most one segment of each lane.

use stele_format::units::UnixMillis;

use crate::policy::limits::DAY_MS;

/// Days that are looked at.
const WINDOW_MS: u64 = 7 * DAY_MS;
/// Days without which nothing is foretold.
const HISTORY_MS_MIN: u64 = DAY_MS;

/// How the vault fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Bytes that new data may take on all disks together, copies included.
    pub spare_bytes: u64,
    /// Milliseconds looked at.
    pub history_ms: u64,
    /// What will come of it.
    pub outlook: Outlook,
}

/// What will come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The vault is younger than a day.
    TooYoung,
    /// Nothing was stored in the last days.
    Idle,
    /// It will be full so many milliseconds from now at this rate.
    FullIn {
        /// Bytes taken on all disks in a day.
        bytes_per_day: u64,
        /// From now, milliseconds.
        ms: u64,
    },
}

/// Foretells from segments as (when begun, bytes on all disks).
pub(crate) fn forecast(
    now: UnixMillis,
    spare_bytes: u64,
    segments: impl Iterator<Item = (UnixMillis, u64)> + Clone,
) -> Fill {
    let age = |begun: UnixMillis| now.get().saturating_sub(begun.get());
    let oldest_ms = segments.clone().map(|(begun, _)| age(begun)).max();
    let history_ms = oldest_ms.unwrap_or(0).min(WINDOW_MS);
    let taken: u64 = segments
        .filter(|(begun, _)| age(*begun) <= WINDOW_MS)
        .map(|(_, bytes)| bytes)
        .sum();
    let outlook = if history_ms < HISTORY_MS_MIN {
        Outlook::TooYoung
    } else if taken == 0 {
        Outlook::Idle
    } else {
        let scaled = |bytes: u64, by: u64, per: u64| {
            let value = u128::from(bytes) * u128::from(by) / u128::from(per.max(1));
            u64::try_from(value).unwrap_or(u64::MAX)
        };
        Outlook::FullIn {
            bytes_per_day: scaled(taken, DAY_MS, history_ms),
            ms: scaled(spare_bytes, history_ms, taken),
        }
    };
    Fill {
        spare_bytes,
        history_ms,
        outlook,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seven_days_foretell_when_the_vault_is_full() {
        const NOW: u64 = 100 * DAY_MS;
        let full = |bytes_per_day, days: u64| Outlook::FullIn {
            bytes_per_day,
            ms: days * DAY_MS,
        };
        // Segments as (days ago, bytes).
        for (segments, history_days, outlook) in [
            (&[][..], 0, Outlook::TooYoung),
            (&[(0, 50)], 0, Outlook::TooYoung),
            (&[(1, 50)], 1, full(50, 20)),
            (&[(2, 50), (0, 50)], 2, full(50, 20)),
            (&[(7, 350), (3, 350)], 7, full(100, 10)),
            // What is older tells only that the vault is.
            (&[(90, 9_999), (1, 700)], 7, full(100, 10)),
            (&[(90, 9_999)], 7, Outlook::Idle),
        ] {
            let segments = segments.iter().map(|(days, bytes)| {
                let begun = UnixMillis::new(NOW - days * DAY_MS);
                (begun, *bytes)
            });
            let fill = forecast(UnixMillis::new(NOW), 1_000, segments);
            let expected = Fill {
                spare_bytes: 1_000,
                history_ms: history_days * DAY_MS,
                outlook,
            };
            assert_eq!(fill, expected);
        }
    }

    #[test]
    fn no_size_overflows() {
        let segments = [(UnixMillis::ZERO, u64::MAX / 2)];
        let now = UnixMillis::new(5 * DAY_MS);
        let fill = forecast(now, u64::MAX, segments.into_iter());
        let Outlook::FullIn { ms, .. } = fill.outlook else {
            panic!("{fill:?}");
        };
        assert_eq!(ms, 10 * DAY_MS);
    }
}
