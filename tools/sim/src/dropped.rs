//! Which of a run's chances are left out: how a failing run is made smaller.
//!
//! Operations, faults and power cuts are chances, numbered in order. Each draws from a source of its own,
//! so that leaving one out changes the others only as far as the engine then does something else.

use std::fmt;
use std::str::FromStr;

/// Numbers of chances that are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped(Vec<(u64, u64)>);

/// Why a text names no chances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chances are written as numbers and ranges, like 3,7-12, in ascending order")]
pub struct NotDropped;

impl Dropped {
    /// Leaves out every chance below `count` but these, which ascend.
    #[must_use]
    pub fn all_but(kept: &[u64], count: u64) -> Self {
        let mut ranges = Vec::new();
        let mut next = 0;
        for kept in kept.iter().chain([&count]) {
            if *kept > next {
                ranges.push((next, kept - 1));
            }
            next = kept + 1;
        }
        Self(ranges)
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this chance is left out.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(at).is_some_and(|(first, _)| *first <= number)
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Dropped {
    type Err = NotDropped;

    fn from_str(text: &str) -> Result<Self, NotDropped> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<u64>().map_err(|_| NotDropped);
            let (first, last) = (number(first)?, number(last)?);
            let follows = ranges.last().is_none_or(|(_, before)| *before < first);
            if first > last || !follows {
                return Err(NotDropped);
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::Dropped;

    #[test]
    fn what_is_kept_is_not_dropped_and_texts_lead_back() {
        let dropped = Dropped::all_but(&[2, 3, 7], 10);
        assert_eq!(dropped.to_string(), "0-1,4-6,8-9");
        assert_eq!(dropped.to_string().parse(), Ok(dropped.clone()));
        let kept: Vec<u64> = (0..12)
            .filter(|number| !dropped.contains(*number))
            .collect();
        assert_eq!(kept, [2, 3, 7, 10, 11]);
        for bad in ["", "3-1", "5,4", "a", "1-2-3"] {
            assert!(bad.parse::<Dropped>().is_err(), "{bad}");
        }
    }
}
