//! The machine's clock, and words for times and months.

use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_format::units::{Month, UnixMillis};

/// The machine's clock.
pub(super) fn wall() -> UnixMillis {
    UnixMillis::new(SystemClock.wall_ms())
}

/// A month as `YYYY-MM`.
pub(super) fn month(text: &str) -> Option<Month> {
    let (year, month) = text.split_once('-')?;
    let whole = year.len() == 4 && month.len() == 2;
    let (year, month): (u16, u16) = (year.parse().ok()?, month.parse().ok()?);
    let of_year = month.checked_sub(1).filter(|month| *month < 12)?;
    let number = year
        .checked_sub(1970)?
        .checked_mul(12)?
        .checked_add(of_year)?;
    Month::new(number).filter(|_| whole)
}
