//! Who hands out key indexes, and for which month.
//!
//! Invariant: one [`KeyCounter`] never gives the same index twice, and two of different epochs
//! never give the same one; none gives the index that means "none". Nothing here fails but by
//! giving no index.

use stele_format::limits::{KEY_COUNTER_MAX, KEY_MONTH_MAX};
use stele_format::units::{Epoch, KeyIndex, KeyIndexParts, UnixMillis};
pub use stele_format::units::{KeyClass, Month};

/// Hands out key indexes of one epoch.
#[derive(Debug, Clone)]
pub struct KeyCounter {
    epoch: Epoch,
    next: u32,
}

impl KeyCounter {
    /// A counter for an epoch (1 or higher) in which no index was handed out yet.
    #[must_use]
    pub const fn new(epoch: Epoch) -> Self {
        Self { epoch, next: 0 }
    }

    /// The next index for a key of `class` that lives until `month`. None when the epoch has no
    /// more: time for a new epoch.
    pub fn next(&mut self, month: Month, class: KeyClass) -> Option<KeyIndex> {
        let parts = KeyIndexParts {
            month,
            class,
            epoch: self.epoch,
            counter: self.next,
        };
        let index = KeyIndex::compose(parts)?;
        self.next += 1;
        Some(index)
    }

    /// Indexes it can still hand out.
    #[must_use]
    pub const fn left(&self) -> u32 {
        KEY_COUNTER_MAX + 1 - self.next
    }

    /// The epoch it counts for.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// The month (UTC) `time` lies in; a time after the last month a key index can hold counts as that
/// month, so that its key is merely cut no earlier than others.
#[must_use]
pub fn month_of(time: UnixMillis) -> Month {
    Month::of(time).unwrap_or(LAST_MONTH)
}

const LAST_MONTH: Month = match Month::new(KEY_MONTH_MAX) {
    Some(month) => month,
    None => panic!("the highest month is a month"),
};

#[cfg(test)]
mod tests {
    use super::{
        Epoch, KEY_COUNTER_MAX, KEY_MONTH_MAX, KeyClass, KeyCounter, KeyIndex, KeyIndexParts,
        Month, UnixMillis, month_of,
    };

    const DAY_MS: u64 = 86_400_000;

    fn month(number: u16) -> Month {
        Month::new(number).expect("in range")
    }

    fn days_in_month(year: u64, month: u64) -> u64 {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        match month {
            1 if leap => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        }
    }

    #[test]
    fn months_agree_with_a_calendar_walked_day_by_day_and_saturate() {
        let mut day = 0;
        for (number, month) in (1970..2500u64).flat_map(|year| (0..12).map(move |m| (year, m))) {
            let specified = ((number - 1970) * 12 + month).min(u64::from(KEY_MONTH_MAX));
            let first = day * DAY_MS;
            day += days_in_month(number, month);
            for ms in [first, first + DAY_MS - 1, day * DAY_MS - 1] {
                let got = u64::from(month_of(UnixMillis::new(ms)).get());
                assert_eq!(got, specified, "{number} {month}");
            }
        }
        assert_eq!(month_of(UnixMillis::MAX).get(), KEY_MONTH_MAX);
    }

    #[test]
    fn a_counter_gives_each_index_once() {
        let mut counter = KeyCounter::new(Epoch::new(3));
        for (number, class) in [(0, KeyClass::Object), (1, KeyClass::PendingPart)] {
            let index = counter.next(month(5), class).expect("fresh");
            let parts = KeyIndexParts {
                month: month(5),
                class,
                epoch: Epoch::new(3),
                counter: number,
            };
            assert_eq!(index.parts(), Some(parts));
        }
    }

    #[test]
    fn the_first_index_of_the_first_epoch_is_not_none() {
        let first = KeyCounter::new(Epoch::new(1)).next(month(0), KeyClass::Object);
        assert!(first.is_some_and(|index| index != KeyIndex::NONE));
    }

    #[test]
    fn a_full_counter_gives_no_more() {
        let mut counter = KeyCounter {
            epoch: Epoch::new(1),
            next: KEY_COUNTER_MAX,
        };
        assert_eq!(counter.left(), 1);
        assert!(counter.next(month(0), KeyClass::Object).is_some());
        assert_eq!(counter.left(), 0);
        assert_eq!(counter.next(month(0), KeyClass::Object), None);
        assert_eq!(counter.next(month(0), KeyClass::Object), None);
    }
}
