//! Default retention by prefix: which default a new key gets, and who may change that.
//!
//! A rule changes only what versions get that are made later and for which the client set nothing. What
//! is stored keeps its lock.

use super::limits::{BUCKET_RULE_COUNT_MAX, DEFAULT_RETENTION_DAYS_MAX, SCOPE_PREFIX_BYTES_MAX};
use super::types::{Mode, Period, PrefixRule, Refusal};

type Default = Option<(Mode, Period)>;

/// The default retention of a new version of this key: that of the longest prefix with a rule, else the
/// bucket's. The mode is always the bucket's; without a default no rule counts.
#[must_use]
pub fn default_for(default: Default, rules: &[PrefixRule], key: &[u8]) -> Default {
    let (mode, period) = default?;
    let rule = rules
        .iter()
        .filter(|rule| key.starts_with(&rule.prefix))
        .max_by_key(|rule| rule.prefix.len());
    Some((mode, rule.map_or(period, |rule| Period::Days(rule.days))))
}

/// The rules with this one set, or with no days removed.
///
/// # Errors
/// [`Refusal::RuleInvalid`], [`Refusal::TooManyRules`], and [`Refusal::RuleNeedsDefault`] in a bucket
/// without a default; [`Refusal::RuleLowers`] if keys would get less than before and `may_lower` does
/// not let them.
pub fn with_rule(
    default: Default,
    rules: &[PrefixRule],
    prefix: &[u8],
    days: Option<u32>,
    may_lower: bool,
) -> Result<Vec<PrefixRule>, Refusal> {
    let count = days.unwrap_or(1);
    let fits = !prefix.is_empty() && prefix.len() <= SCOPE_PREFIX_BYTES_MAX;
    if !fits || count == 0 || count > DEFAULT_RETENTION_DAYS_MAX {
        return Err(Refusal::RuleInvalid);
    }
    if default.is_none() && days.is_some() {
        return Err(Refusal::RuleNeedsDefault);
    }
    let mut then: Vec<PrefixRule> = rules.to_vec();
    then.retain(|rule| rule.prefix != prefix);
    if then.len() == rules.len() && days.is_none() {
        return Err(Refusal::NoSuchRule);
    }
    then.extend(days.map(|days| PrefixRule {
        prefix: prefix.to_vec(),
        days,
    }));
    then.sort_by(|one, other| one.prefix.cmp(&other.prefix));
    if then.len() > BUCKET_RULE_COUNT_MAX {
        return Err(Refusal::TooManyRules {
            max: BUCKET_RULE_COUNT_MAX,
        });
    }
    if !may_lower && lowers(default, rules, &then) {
        return Err(Refusal::RuleLowers);
    }
    Ok(then)
}

/// Whether some key would get less than before. Every key gets what the longest prefix gets that either
/// list names for it, so it is enough to look at the prefixes.
fn lowers(default: Default, before: &[PrefixRule], then: &[PrefixRule]) -> bool {
    let millis = |rules: &[PrefixRule], key: &[u8]| {
        default_for(default, rules, key).map_or(0, |(_, period)| period.millis())
    };
    before
        .iter()
        .chain(then)
        .any(|rule| millis(then, &rule.prefix) < millis(before, &rule.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(&str, u32)]) -> Vec<PrefixRule> {
        list.iter()
            .map(|(prefix, days)| PrefixRule {
                prefix: prefix.as_bytes().to_vec(),
                days: *days,
            })
            .collect()
    }

    const MONTH: Default = Some((Mode::Compliance, Period::Days(30)));

    #[test]
    fn the_longest_prefix_counts_and_the_mode_stays() {
        let rules = rules(&[("index/", 7), ("locks/", 1), ("locks/keep/", 60)]);
        for (default, key, expected) in [
            (MONTH, "locks/a", Some((Mode::Compliance, Period::Days(1)))),
            (
                MONTH,
                "locks/keep/a",
                Some((Mode::Compliance, Period::Days(60))),
            ),
            (MONTH, "locks", MONTH),
            (MONTH, "data/locks/", MONTH),
            (MONTH, "", MONTH),
            (None, "locks/a", None),
            (
                Some((Mode::Governance, Period::Years(1))),
                "index/x",
                Some((Mode::Governance, Period::Days(7))),
            ),
        ] {
            assert_eq!(
                default_for(default, &rules, key.as_bytes()),
                expected,
                "{key}"
            );
        }
    }

    #[test]
    fn rules_raise_and_do_not_lower() {
        let lowers = Err(Refusal::RuleLowers);
        for (before, prefix, days, expected) in [
            (&[][..], "l/", Some(1), lowers.clone()),
            (&[], "l/", Some(30), Ok(rules(&[("l/", 30)]))),
            (&[], "l/", Some(31), Ok(rules(&[("l/", 31)]))),
            // From a lower rule up, and from a higher one down.
            (&[("l/", 1)], "l/", Some(2), Ok(rules(&[("l/", 2)]))),
            (&[("l/", 60)], "l/", Some(59), lowers.clone()),
            (&[("l/", 60)], "l/", None, lowers.clone()),
            (&[("l/", 1)], "l/", None, Ok(vec![])),
            // Below a higher prefix, more than the bucket's default is still less than before.
            (&[("l/", 60)], "l/a/", Some(40), lowers.clone()),
            (
                &[("l/", 1)],
                "l/a/",
                Some(2),
                Ok(rules(&[("l/", 1), ("l/a/", 2)])),
            ),
            (
                &[("l/a/", 90)],
                "l/",
                Some(60),
                Ok(rules(&[("l/", 60), ("l/a/", 90)])),
            ),
        ] {
            let before = rules(before);
            let strict = with_rule(MONTH, &before, prefix.as_bytes(), days, false);
            assert_eq!(strict, expected, "{before:?} {prefix} {days:?}");
            let evaluation = with_rule(MONTH, &before, prefix.as_bytes(), days, true);
            assert!(evaluation.is_ok(), "{before:?} {prefix} {days:?}");
        }
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let long = "x".repeat(SCOPE_PREFIX_BYTES_MAX + 1);
        let many: Vec<(String, u32)> = (0..BUCKET_RULE_COUNT_MAX)
            .map(|at| (format!("p{at}"), 1))
            .collect();
        let many: Vec<(&str, u32)> = many.iter().map(|(p, d)| (p.as_str(), *d)).collect();
        let max = BUCKET_RULE_COUNT_MAX;
        for (default, before, prefix, days, refusal) in [
            (MONTH, &[][..], "", Some(1), Refusal::RuleInvalid),
            (MONTH, &[], &long, Some(1), Refusal::RuleInvalid),
            (MONTH, &[], "a", Some(0), Refusal::RuleInvalid),
            (MONTH, &[], "a", Some(36_501), Refusal::RuleInvalid),
            (MONTH, &[], "a", None, Refusal::NoSuchRule),
            (None, &[], "a", Some(1), Refusal::RuleNeedsDefault),
            (MONTH, &many, "q", Some(1), Refusal::TooManyRules { max }),
        ] {
            let before = rules(before);
            let answer = with_rule(default, &before, prefix.as_bytes(), days, true);
            assert_eq!(answer, Err(refusal), "{prefix:.9} {days:?}");
        }
    }
}
