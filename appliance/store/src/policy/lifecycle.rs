//! What goes by itself, by the lifecycle rules of its bucket as S3 has them.
//!
//! A rule hides a current version under a marker or releases one, as a client could, and releases nothing that is
//! locked; bytes go only where two people sign for it. As in S3 days end at the next midnight UTC. An unfinished
//! upload that is given up was never an object: no lock holds it. What is due is judged in compliance time, so a
//! wrong wall clock makes nothing due early.

use std::collections::BTreeSet;

pub use stele_format::manifest::{CurrentExpiry, FilterForm, LifecycleRule, NoncurrentExpiry};
use stele_format::units::UnixMillis;

use super::limits::{
    DAY_MS, DEFAULT_RETENTION_DAYS_MAX, EXPIRY_BYTES_MAX, EXPIRY_FROM_MS_MAX,
    LIFECYCLE_RULE_COUNT_MAX, NONCURRENT_KEPT_MAX, RULE_ID_BYTES_MAX, SCOPE_PREFIX_BYTES_MAX,
    UPLOAD_DAYS_DEFAULT,
};
use super::types::Refusal;

/// A version that S3 shows, as rules judge it.
#[derive(Clone, Copy)]
pub struct Aging<'a> {
    /// Key of its object.
    pub key: &'a [u8],
    /// Content length.
    pub content_bytes: u64,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// When it was stored.
    pub stored: UnixMillis,
    /// How it stands to the others of its object that S3 shows.
    pub place: Place,
}

/// How a version stands to the others of its object that S3 shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is the newest.
    Current {
        /// And the only one.
        alone: bool,
    },
    /// It is not.
    Noncurrent {
        /// When the next one was stored.
        since: UnixMillis,
        /// How many that are newer are not current either.
        newer: u32,
    },
}

/// What a rule does to a version whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A delete marker comes over it; where the bucket shows no versions, it is released.
    Hide,
    /// It is released.
    Release,
}

/// Whether an upload of this key that began then is old enough to be given up: by the rule with the
/// fewest days of those for it, without one by the vault's own.
#[must_use]
pub fn is_given_up(
    rules: &[LifecycleRule],
    key: &[u8],
    began: UnixMillis,
    now: UnixMillis,
) -> bool {
    let days = rules
        .iter()
        .filter(|rule| !rule.disabled && key.starts_with(&rule.prefix))
        .filter_map(|rule| rule.upload_days)
        .min()
        .unwrap_or(UPLOAD_DAYS_DEFAULT);
    now.get().saturating_sub(began.get()) >= u64::from(days).saturating_mul(DAY_MS)
}

/// Whether a rule may have versions go.
#[must_use]
pub const fn takes_versions(rule: &LifecycleRule) -> bool {
    rule.current.is_some() || rule.noncurrent.is_some()
}

/// What is due of a version by now, if anything.
#[must_use]
pub fn due(rules: &[LifecycleRule], version: Aging<'_>, now: UnixMillis) -> Option<Due> {
    let for_it = rules.iter().filter(|rule| is_for(rule, &version));
    let is_over = |since: UnixMillis, days: u32| now.get() >= end_of(since, days);
    let expires = |rule: &LifecycleRule| match rule.current {
        Some(CurrentExpiry::Days(days)) => is_over(version.stored, days),
        Some(CurrentExpiry::From(at)) => now >= at,
        Some(CurrentExpiry::LoneMarker) => version.marker,
        None => false,
    };
    let is_due = |rule: &LifecycleRule| match version.place {
        // Over a marker there is nothing to hide, and one that stands for nothing any more goes.
        Place::Current { alone } => (!version.marker || alone) && expires(rule),
        Place::Noncurrent { since, newer } => rule
            .noncurrent
            .is_some_and(|wish| newer >= wish.kept && is_over(since, wish.days)),
    };
    let deed = match version.place {
        Place::Current { .. } if !version.marker => Due::Hide,
        _ => Due::Release,
    };
    for_it.into_iter().any(is_due).then_some(deed)
}

fn is_for(rule: &LifecycleRule, version: &Aging<'_>) -> bool {
    let bytes = version.content_bytes;
    let fits = bytes >= rule.bytes_min && (rule.bytes_below == 0 || bytes < rule.bytes_below);
    !rule.disabled && fits && version.key.starts_with(&rule.prefix)
}

/// The midnight after so many days.
fn end_of(since: UnixMillis, days: u32) -> u64 {
    let over = since
        .get()
        .saturating_add(u64::from(days).saturating_mul(DAY_MS));
    (over / DAY_MS).saturating_add(1).saturating_mul(DAY_MS)
}

/// Refuses rules that cannot be kept as they are.
///
/// # Errors
/// [`Refusal::LifecycleRuleInvalid`] and [`Refusal::TooManyRules`].
pub fn check_lifecycle_rules(rules: &[LifecycleRule]) -> Result<(), Refusal> {
    let max = LIFECYCLE_RULE_COUNT_MAX;
    if rules.len() > max {
        return Err(Refusal::TooManyRules { max });
    }
    let mut ids = BTreeSet::new();
    if rules.iter().all(|rule| fits(rule) && ids.insert(&rule.id)) {
        Ok(())
    } else {
        Err(Refusal::LifecycleRuleInvalid)
    }
}

fn fits(rule: &LifecycleRule) -> bool {
    let are_days = |days: u32| (1..=DEFAULT_RETENTION_DAYS_MAX).contains(&days);
    let of_any_size = rule.bytes_min == 0 && rule.bytes_below == 0;
    let current = match rule.current {
        None => true,
        Some(CurrentExpiry::Days(days)) => are_days(days),
        Some(CurrentExpiry::From(at)) => (1..=EXPIRY_FROM_MS_MAX).contains(&at.get()),
        // A marker has no size.
        Some(CurrentExpiry::LoneMarker) => of_any_size,
    };
    let noncurrent = rule
        .noncurrent
        .is_none_or(|wish| are_days(wish.days) && wish.kept <= NONCURRENT_KEPT_MAX);
    // Neither has an unfinished upload.
    let uploads = rule
        .upload_days
        .is_none_or(|days| are_days(days) && of_any_size);
    (1..=RULE_ID_BYTES_MAX).contains(&rule.id.len())
        && rule.is_whole()
        && rule.prefix.len() <= SCOPE_PREFIX_BYTES_MAX
        && rule.bytes_min.max(rule.bytes_below) <= EXPIRY_BYTES_MAX
        && (rule.bytes_below == 0 || rule.bytes_min < rule.bytes_below)
        && current
        && noncurrent
        && uploads
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_000 * DAY_MS + DAY_MS / 2;

    fn rule(current: Option<CurrentExpiry>, noncurrent: Option<(u32, u32)>) -> LifecycleRule {
        LifecycleRule {
            id: "r".into(),
            form: FilterForm::AndPrefix,
            prefix: b"wal/".to_vec(),
            bytes_min: 0,
            bytes_below: 0,
            disabled: false,
            upload_days: None,
            current,
            noncurrent: noncurrent.map(|(days, kept)| NoncurrentExpiry { days, kept }),
        }
    }

    fn aging(place: Place, marker: bool) -> Aging<'static> {
        Aging {
            key: b"wal/1",
            content_bytes: if marker { 0 } else { 5 },
            marker,
            stored: UnixMillis::new(NOON),
            place,
        }
    }

    /// Due from the midnight on, not a millisecond before; none for never.
    #[test]
    fn each_kind_of_rule_takes_what_it_is_for_from_its_midnight_on() {
        let days = |days| rule(Some(CurrentExpiry::Days(days)), None);
        let from = |day: u64| UnixMillis::new(day * DAY_MS);
        let at = rule(Some(CurrentExpiry::From(from(1_500))), None);
        let lone = rule(Some(CurrentExpiry::LoneMarker), None);
        let older = |days, kept| rule(None, Some((days, kept)));
        let (current, alone) = (
            Place::Current { alone: false },
            Place::Current { alone: true },
        );
        let past = |newer| Place::Noncurrent {
            since: UnixMillis::new(NOON + 10 * DAY_MS),
            newer,
        };
        let (hide, release) = (Due::Hide, Due::Release);
        for (name, rule, place, marker, expected) in [
            ("days", days(1), current, false, Some((1_002, hide))),
            ("days, alone", days(3), alone, false, Some((1_004, hide))),
            ("days, a marker", days(3), current, true, None),
            (
                "days, a lone marker",
                days(3),
                alone,
                true,
                Some((1_004, release)),
            ),
            ("days, not current", days(3), past(0), false, None),
            ("a date", at.clone(), current, false, Some((1_500, hide))),
            (
                "a date, lone marker",
                at,
                alone,
                true,
                Some((1_500, release)),
            ),
            ("markers", lone.clone(), current, false, None),
            ("markers, not alone", lone.clone(), current, true, None),
            ("markers, not current", lone.clone(), past(0), true, None),
            (
                "not current",
                older(2, 0),
                past(0),
                false,
                Some((1_013, release)),
            ),
            (
                "an old marker",
                older(2, 0),
                past(0),
                true,
                Some((1_013, release)),
            ),
            ("few newer", older(2, 3), past(2), false, None),
            (
                "enough newer",
                older(2, 3),
                past(3),
                false,
                Some((1_013, release)),
            ),
            ("current", older(2, 0), current, false, None),
        ] {
            let due = |now| due(std::slice::from_ref(&rule), aging(place, marker), now);
            match expected {
                None => assert_eq!(due(from(100_000)), None, "{name}"),
                Some((day, deed)) => {
                    let before = UnixMillis::new(day * DAY_MS - 1);
                    assert_eq!(due(before), None, "{name}");
                    assert_eq!(due(from(day)), Some(deed), "{name}");
                }
            }
        }
        let lone_now = due(&[lone], aging(alone, true), UnixMillis::new(NOON));
        assert_eq!(lone_now, Some(release));
    }

    #[test]
    fn a_rule_takes_only_its_prefix_and_sizes_and_only_while_it_is_enabled() {
        let later = UnixMillis::new(NOON + 100 * DAY_MS);
        let days = || rule(Some(CurrentExpiry::Days(1)), None);
        let check = |name: &str, rules: &[LifecycleRule], taken: bool| {
            let version = aging(Place::Current { alone: true }, false);
            assert_eq!(due(rules, version, later).is_some(), taken, "{name}");
        };
        let sized = |bytes_min, bytes_below| LifecycleRule {
            bytes_min,
            bytes_below,
            ..days()
        };
        let disabled = LifecycleRule {
            disabled: true,
            ..days()
        };
        let elsewhere = LifecycleRule {
            prefix: b"wal/2".to_vec(),
            ..days()
        };
        check("none", &[], false);
        check("plain", &[days()], true);
        check("disabled", std::slice::from_ref(&disabled), false);
        check("another prefix", std::slice::from_ref(&elsewhere), false);
        check("too small", &[sized(6, 0)], false);
        check("large enough", &[sized(5, 0)], true);
        check("too large", &[sized(0, 5)], false);
        check("small enough", &[sized(5, 6)], true);
        check("one of several", &[disabled, elsewhere, days()], true);
    }

    #[test]
    fn the_fewest_days_of_the_rules_for_a_key_count_else_the_vaults_seven() {
        let given = |prefix: &str, days, disabled| LifecycleRule {
            prefix: prefix.into(),
            disabled,
            upload_days: Some(days),
            ..rule(None, None)
        };
        let rules = [
            given("wal/", 2, false),
            given("wal/slow/", 30, false),
            given("full/", 30, false),
            given("", 1, true),
            rule(Some(CurrentExpiry::Days(1)), None),
        ];
        for (key, days) in [
            ("wal/a", 2),
            ("wal/slow/a", 2),
            ("full/a", 30),
            ("other", 7),
            ("wal", 7),
        ] {
            let began = UnixMillis::new(5_000);
            let after = |ms: u64| UnixMillis::new(5_000 + days * DAY_MS + ms - 1);
            let given_up = |now| is_given_up(&rules, key.as_bytes(), began, now);
            assert!(!given_up(after(0)), "{key}");
            assert!(given_up(after(1)), "{key}");
        }
        // A clock behind the beginning gives nothing up.
        let (began, now) = (UnixMillis::new(DAY_MS * 90), UnixMillis::new(1));
        assert!(!is_given_up(&rules, b"wal/a", began, now));
    }

    #[test]
    fn rules_that_cannot_be_kept_are_refused() {
        let fine = || rule(Some(CurrentExpiry::Days(1)), Some((36_500, 100)));
        let named = |id: &str| LifecycleRule {
            id: id.into(),
            ..fine()
        };
        let many: Vec<_> = (0..=LIFECYCLE_RULE_COUNT_MAX)
            .map(|at| named(&at.to_string()))
            .collect();
        assert_eq!(check_lifecycle_rules(&many[1..]), Ok(()));
        let sized = |current, bytes_min, bytes_below| LifecycleRule {
            bytes_min,
            bytes_below,
            ..rule(current, None)
        };
        let (day, lone) = (
            Some(CurrentExpiry::Days(1)),
            Some(CurrentExpiry::LoneMarker),
        );
        assert_eq!(check_lifecycle_rules(&[sized(day, 1, 2)]), Ok(()));
        let max = LIFECYCLE_RULE_COUNT_MAX;
        assert_eq!(
            check_lifecycle_rules(&many),
            Err(Refusal::TooManyRules { max })
        );
        for (name, rules) in [
            ("no id", vec![named("")]),
            ("a long id", vec![named(&"i".repeat(256))]),
            ("one id twice", vec![named("a"), named("a")]),
            ("nothing", vec![rule(None, None)]),
            ("no days", vec![rule(Some(CurrentExpiry::Days(0)), None)]),
            ("many days", vec![rule(None, Some((36_501, 0)))]),
            ("no noncurrent days", vec![rule(None, Some((0, 0)))]),
            ("many stay", vec![rule(None, Some((1, 101)))]),
            (
                "too large a size",
                vec![sized(day, EXPIRY_BYTES_MAX + 1, 0)],
            ),
            (
                "too late a date",
                vec![rule(
                    Some(CurrentExpiry::From(UnixMillis::new(EXPIRY_FROM_MS_MAX + 1))),
                    None,
                )],
            ),
            (
                "an upload of a size",
                vec![LifecycleRule {
                    upload_days: Some(1),
                    ..sized(None, 1, 0)
                }],
            ),
            (
                "an upload of no days",
                vec![LifecycleRule {
                    upload_days: Some(0),
                    ..fine()
                }],
            ),
            (
                "a prefix that its form has not",
                vec![LifecycleRule {
                    form: FilterForm::Whole,
                    ..fine()
                }],
            ),
            ("sizes that nothing has", vec![sized(day, 2, 2)]),
            ("markers of a size", vec![sized(lone, 1, 0)]),
            (
                "a long prefix",
                vec![LifecycleRule {
                    prefix: vec![b'p'; 1_025],
                    ..fine()
                }],
            ),
        ] {
            let invalid = Err(Refusal::LifecycleRuleInvalid);
            assert_eq!(check_lifecycle_rules(&rules), invalid, "{name}");
        }
    }
}
