//! Key indexes: what their bits mean, which month they fall in, and who hands them out.
//!
//! A key index is 60 bits: month (12) | class (4) | epoch (20) | counter (24), so that all keys of
//! a month are one subtree and can be cut at once. Index 0 means "none" in records; the counter
//! starts at 1, so it is never handed out.
//!
//! Invariant: one [`KeyCounter`] never gives the same index twice, and two of different epochs
//! never give the same one.

use stele_format::units::{Epoch, KeyIndex, UnixMillis};

use super::limits::{KEY_CLASS_MAX, KEY_COUNTER_MAX, KEY_EPOCH_MAX, KEY_INDEX_BITS, KEY_MONTH_MAX};

const DAY_MS: u64 = 86_400_000;
/// Days from 1 March of year 0 to 1 January 1970, in the proleptic Gregorian calendar.
const EPOCH_DAYS: u64 = 719_468;
const FIRST_YEAR: u64 = 2020;

const COUNTER_BITS: u32 = 24;
const EPOCH_SHIFT: u32 = COUNTER_BITS;
const CLASS_SHIFT: u32 = EPOCH_SHIFT + 20;
const MONTH_SHIFT: u32 = CLASS_SHIFT + 4;

/// What a leaf is for; its own subtree in each month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// The manifest of an object version.
    Object,
    /// A part or the metadata of an open upload.
    Pending,
}

impl KeyClass {
    /// Its number in a key index.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            KeyClass::Object => 0,
            KeyClass::Pending => 1,
        }
    }
}

/// The fields of a key index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFields {
    /// Months since January 2020, at most [`KEY_MONTH_MAX`].
    pub month: u16,
    /// At most [`KEY_CLASS_MAX`].
    pub class: u8,
    /// At most [`KEY_EPOCH_MAX`].
    pub epoch: u32,
    /// At most [`KEY_COUNTER_MAX`].
    pub counter: u32,
}

impl KeyFields {
    /// The index of these fields; none if one is beyond its limit.
    #[must_use]
    pub fn index(self) -> Option<KeyIndex> {
        let fits = self.month <= KEY_MONTH_MAX
            && self.class <= KEY_CLASS_MAX
            && self.epoch <= KEY_EPOCH_MAX
            && self.counter <= KEY_COUNTER_MAX;
        fits.then(|| {
            KeyIndex::new(
                (u64::from(self.month) << MONTH_SHIFT)
                    | (u64::from(self.class) << CLASS_SHIFT)
                    | (u64::from(self.epoch) << EPOCH_SHIFT)
                    | u64::from(self.counter),
            )
        })
    }

    /// The fields of `index`; none if a bit above the 60 is set.
    #[must_use]
    pub fn of(index: KeyIndex) -> Option<KeyFields> {
        let bits = index.get();
        if bits >> KEY_INDEX_BITS != 0 {
            return None;
        }
        let field = |shift: u32, max: u32| u32::try_from((bits >> shift) & u64::from(max)).ok();
        Some(KeyFields {
            month: u16::try_from(bits >> MONTH_SHIFT).ok()?,
            class: u8::try_from((bits >> CLASS_SHIFT) & u64::from(KEY_CLASS_MAX)).ok()?,
            epoch: field(EPOCH_SHIFT, KEY_EPOCH_MAX)?,
            counter: field(0, KEY_COUNTER_MAX)?,
        })
    }
}

/// Hands out key indexes of one epoch.
#[derive(Debug, Clone)]
pub struct KeyCounter {
    epoch: Epoch,
    next: u32,
}

impl KeyCounter {
    /// A counter for an epoch in which no index was handed out yet.
    #[must_use]
    pub const fn new(epoch: Epoch) -> Self {
        Self { epoch, next: 1 }
    }

    /// The next index for a key of `class` that lives until `month`. None when the epoch has no
    /// more, or a field is beyond its limit: time for a new epoch.
    pub fn next(&mut self, month: u16, class: KeyClass) -> Option<KeyIndex> {
        let fields = KeyFields {
            month,
            class: class.code(),
            epoch: self.epoch.get(),
            counter: self.next,
        };
        let index = fields.index()?;
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

/// Whole months from January 2020 to `time`, in UTC; 0 before that, [`KEY_MONTH_MAX`] (the year
/// 2361) at the end.
#[must_use]
pub fn month_of(time: UnixMillis) -> u16 {
    let (year, month) = civil_month(time.get() / DAY_MS);
    let months = (year * 12 + month).saturating_sub(FIRST_YEAR * 12);
    u16::try_from(months).map_or(KEY_MONTH_MAX, |months| months.min(KEY_MONTH_MAX))
}

/// Year and month (0 = January) of a day counted from 1 January 1970.
///
/// Counts in 400-year cycles of years that begin in March, so that the leap day comes last.
fn civil_month(days: u64) -> (u64, u64) {
    let shifted = days + EPOCH_DAYS;
    let day_of_cycle = shifted % 146_097;
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
        - day_of_cycle / 146_096)
        / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let year = shifted / 146_097 * 400 + year_of_cycle;
    if month_from_march < 10 {
        (year, month_from_march + 2)
    } else {
        (year + 1, month_from_march - 10)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{
        DAY_MS, Epoch, KEY_COUNTER_MAX, KEY_MONTH_MAX, KeyClass, KeyCounter, KeyFields, KeyIndex,
        UnixMillis, month_of,
    };

    /// The calendar by walking it day by day.
    fn days_in_month(year: u64, month: u64) -> u64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        match month {
            1 if leap => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        }
    }

    #[test]
    fn months_agree_with_a_calendar_walked_day_by_day() {
        let mut day = 0;
        for year in 1970..2500u64 {
            for month in 0..12 {
                let specified = ((year * 12 + month).saturating_sub(2020 * 12)).min(4095);
                let first = day * DAY_MS;
                day += days_in_month(year, month);
                for ms in [first, first + DAY_MS - 1, day * DAY_MS - 1] {
                    assert_eq!(
                        u64::from(month_of(UnixMillis::new(ms))),
                        specified,
                        "{year} {month}"
                    );
                }
            }
        }
    }

    #[test]
    fn months_start_in_2020_and_saturate() {
        let table = [
            (0, 0),
            (1_577_836_799_999, 0),
            (1_577_836_800_000, 0),
            (1_580_515_200_000, 1),
            (1_582_934_400_000, 1),
            (1_583_020_800_000, 2),
            (1_795_392_000_000, 82),
            (u64::MAX, KEY_MONTH_MAX),
        ];
        for (ms, month) in table {
            assert_eq!(month_of(UnixMillis::new(ms)), month, "{ms}");
        }
    }

    #[test]
    fn a_counter_gives_each_index_once_and_never_zero() {
        let mut counter = KeyCounter::new(Epoch::new(3));
        let first = counter.next(5, KeyClass::Object).expect("fresh");
        let second = counter.next(5, KeyClass::Pending).expect("fresh");
        assert_eq!(
            KeyFields::of(first),
            Some(KeyFields {
                month: 5,
                class: 0,
                epoch: 3,
                counter: 1
            })
        );
        assert_eq!(
            KeyFields::of(second),
            Some(KeyFields {
                month: 5,
                class: 1,
                epoch: 3,
                counter: 2
            })
        );
        let zero = KeyCounter::new(Epoch::new(0))
            .next(0, KeyClass::Object)
            .expect("fresh");
        assert_ne!(zero, KeyIndex::new(0));
    }

    #[test]
    fn a_full_counter_gives_no_more() {
        let mut counter = KeyCounter {
            epoch: Epoch::new(1),
            next: KEY_COUNTER_MAX,
        };
        assert_eq!(counter.left(), 1);
        assert!(counter.next(0, KeyClass::Object).is_some());
        assert_eq!(counter.left(), 0);
        assert_eq!(counter.next(0, KeyClass::Object), None);
        assert_eq!(counter.next(0, KeyClass::Object), None);
    }

    #[test]
    fn fields_beyond_their_limit_give_no_index() {
        let most = KeyFields {
            month: 4095,
            class: 15,
            epoch: (1 << 20) - 1,
            counter: (1 << 24) - 1,
        };
        assert_eq!(most.index(), Some(KeyIndex::new((1 << 60) - 1)));
        assert_eq!(
            KeyFields {
                month: 4096,
                ..most
            }
            .index(),
            None
        );
        assert_eq!(KeyFields { class: 16, ..most }.index(), None);
        assert_eq!(
            KeyFields {
                epoch: 1 << 20,
                ..most
            }
            .index(),
            None
        );
        assert_eq!(
            KeyFields {
                counter: 1 << 24,
                ..most
            }
            .index(),
            None
        );
        assert_eq!(KeyFields::of(KeyIndex::new(1 << 60)), None);
    }

    proptest! {
        #[test]
        fn fields_read_back(
            month in 0..4096u16,
            class in 0..16u8,
            epoch in 0..1u32 << 20,
            counter in 0..1u32 << 24,
        ) {
            let fields = KeyFields { month, class, epoch, counter };
            prop_assert_eq!(fields.index().and_then(KeyFields::of), Some(fields));
        }
    }
}
