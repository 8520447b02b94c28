//! Retention by name: presets of a bucket's default that a pharmacy chooses instead of counting days.
//!
//! A tier is a length of COMPLIANCE retention, and nothing is stored of it but that: which tier a bucket is in is read
//! from its default, so that the name never says anything else than what is in force. All tiers have one mode, so that
//! each is more or less than each other: to a longer one a bucket goes freely, to a shorter one by two people.
//!
//! Years are counted with every leap day that can lie in them, so that no tier ends a day before its calendar does.

use super::limits::DAY_MS;
use super::types::{Mode, Period};

/// Days of the year without its leap day.
const YEAR_DAYS: u32 = 365;

/// A preset of default retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// For getting back to work: 30 to 90 days.
    Operational {
        /// How many.
        days: u32,
    },
    /// Records of controlled substances: two years (21 CFR 1304.04(a); of electronic prescriptions 1311.305).
    Dea,
    /// Documentation under HIPAA: six years (45 CFR 164.316(b)(2)(i)).
    Hipaa,
    /// What law or contract asks for otherwise: one to seven years.
    Compliance {
        /// How many days: of whole years where people chose them.
        days: u32,
    },
}

impl Tier {
    /// Days of [`Tier::Operational`] where nobody says how many.
    pub const OPERATIONAL_DAYS: u32 = 90;
    /// Fewest of them.
    pub const OPERATIONAL_DAYS_MIN: u32 = 30;
    /// Years of [`Tier::Compliance`] where nobody says how many: the most.
    pub const COMPLIANCE_YEARS_MAX: u32 = 7;

    /// Reads `operational`, `operational=30d` to `90d`, `dea`, `hipaa`, `compliance`, or `compliance=1y` to `7y`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, length) = match text.split_once('=') {
            None => (text, None),
            Some((name, length)) => (name, Some(length)),
        };
        let number = |unit: char| {
            let digits = length.map(|length| length.strip_suffix(unit))?;
            let number = digits.and_then(|digits| digits.parse::<u32>().ok());
            Some(number.filter(|number| Some(&*number.to_string()) == digits))
        };
        match name {
            "operational" => {
                let days = number('d').unwrap_or(Some(Self::OPERATIONAL_DAYS))?;
                let fits = (Self::OPERATIONAL_DAYS_MIN..=Self::OPERATIONAL_DAYS).contains(&days);
                fits.then_some(Self::Operational { days })
            }
            "compliance" => {
                let years = number('y').unwrap_or(Some(Self::COMPLIANCE_YEARS_MAX))?;
                let fits = (1..=Self::COMPLIANCE_YEARS_MAX).contains(&years);
                fits.then_some(Self::Compliance {
                    days: years_days(years),
                })
            }
            "dea" if length.is_none() => Some(Self::Dea),
            "hipaa" if length.is_none() => Some(Self::Hipaa),
            _ => None,
        }
    }

    /// The tier that a default is of, if it is one.
    #[must_use]
    pub fn of(default: Option<(Mode, Period)>) -> Option<Self> {
        let (mode, period) = default?;
        let days = u32::try_from(period.millis() / DAY_MS).ok();
        let days = days.filter(|_| mode == Mode::Compliance)?;
        if days == years_days(2) {
            Some(Self::Dea)
        } else if days == years_days(6) {
            Some(Self::Hipaa)
        } else if (Self::OPERATIONAL_DAYS_MIN..=Self::OPERATIONAL_DAYS).contains(&days) {
            Some(Self::Operational { days })
        } else if (years_days(1)..=years_days(Self::COMPLIANCE_YEARS_MAX)).contains(&days) {
            Some(Self::Compliance { days })
        } else {
            None
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operational { .. } => "operational",
            Self::Dea => "dea",
            Self::Hipaa => "hipaa",
            Self::Compliance { .. } => "compliance",
        }
    }

    /// Days of retention from the moment a version is stored.
    #[must_use]
    pub const fn days(self) -> u32 {
        match self {
            Self::Operational { days } | Self::Compliance { days } => days,
            Self::Dea => years_days(2),
            Self::Hipaa => years_days(6),
        }
    }

    /// The default of a bucket in it.
    #[must_use]
    pub const fn default(self) -> (Mode, Period) {
        (Mode::Compliance, Period::Days(self.days()))
    }
}

/// Days that so many calendar years have at most.
const fn years_days(years: u32) -> u32 {
    years * YEAR_DAYS + years.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_the_retention_that_the_rules_ask_for() {
        let days = |text| Tier::parse(text).map(Tier::days);
        for (text, expected) in [
            ("operational", Some(90)),
            ("operational=30d", Some(30)),
            ("operational=90d", Some(90)),
            ("operational=29d", None),
            ("operational=91d", None),
            ("operational=1y", None),
            ("operational=", None),
            ("dea", Some(731)),
            ("dea=1y", None),
            ("hipaa", Some(2_192)),
            ("compliance", Some(2_557)),
            ("compliance=1y", Some(366)),
            ("compliance=7y", Some(2_557)),
            ("compliance=8y", None),
            ("compliance=0y", None),
            ("compliance=+1y", None),
            ("compliance=90d", None),
            ("HIPAA", None),
            ("", None),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }

    /// Between any day and the same day years later there are at most as many days as counted.
    #[test]
    fn no_leap_day_makes_a_tier_end_before_its_calendar() {
        let leap = |year: u32| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        for years in 1..=7 {
            let most = (1970..2400).map(|first| {
                // Leap days of that many years on end, wherever in a year they begin.
                let days = |from: u32| (from..from + years).filter(|year| leap(*year)).count();
                days(first).max(days(first + 1))
            });
            let most = most.max().and_then(|most| u32::try_from(most).ok());
            assert!(Some(years_days(years)) >= most.map(|most| years * YEAR_DAYS + most));
        }
    }

    #[test]
    fn what_a_tier_sets_is_read_as_that_tier_and_nothing_else_is() {
        for text in [
            "operational",
            "operational=30d",
            "dea",
            "hipaa",
            "compliance",
            "compliance=1y",
            "compliance=3y",
        ] {
            let tier = Tier::parse(text);
            assert_eq!(Tier::of(tier.map(Tier::default)), tier, "{text}");
        }
        for default in [
            None,
            Some((Mode::Compliance, Period::Days(1))),
            Some((Mode::Compliance, Period::Days(29))),
            Some((Mode::Compliance, Period::Days(365))),
            Some((Mode::Compliance, Period::Years(8))),
            Some((Mode::Governance, Period::Days(731))),
        ] {
            assert_eq!(Tier::of(default), None, "{default:?}");
        }
        // Two years without a leap day are less than the rule asks for, and not called by its name.
        let short = Tier::of(Some((Mode::Compliance, Period::Years(2))));
        assert_eq!(short, Some(Tier::Compliance { days: 730 }));
    }
}
