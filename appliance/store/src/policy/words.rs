//! Times as people read them.

use stele_format::statement::Second;
use stele_format::units::UnixMillis;

/// The second a time lies in, as statements write it.
#[must_use]
pub fn utc(time: UnixMillis) -> String {
    Second::of(time).map_or_else(
        || "a time after the year 9999".to_owned(),
        |second| second.to_string(),
    )
}
