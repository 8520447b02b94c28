//! When a multipart upload that nobody finishes is given up.
//!
//! What is given up was never an object: no lock holds it. Its age is counted in compliance time, so a
//! wrong wall clock ends none early.

use std::collections::BTreeSet;

use super::limits::{
    DAY_MS, DEFAULT_RETENTION_DAYS_MAX, SCOPE_PREFIX_BYTES_MAX, UPLOAD_DAYS_DEFAULT,
    UPLOAD_RULE_COUNT_MAX, UPLOAD_RULE_ID_BYTES_MAX,
};
use super::types::{Refusal, UploadRule};
use stele_format::units::UnixMillis;

/// Refuses rules that cannot be kept as they are.
///
/// # Errors
/// [`Refusal::UploadRuleInvalid`] and [`Refusal::TooManyRules`].
pub fn check_upload_rules(rules: &[UploadRule]) -> Result<(), Refusal> {
    if rules.len() > UPLOAD_RULE_COUNT_MAX {
        return Err(Refusal::TooManyRules {
            max: UPLOAD_RULE_COUNT_MAX,
        });
    }
    let mut ids = BTreeSet::new();
    let fits = |rule: &UploadRule| {
        (1..=UPLOAD_RULE_ID_BYTES_MAX).contains(&rule.id.len())
            && rule.prefix.len() <= SCOPE_PREFIX_BYTES_MAX
            && (1..=DEFAULT_RETENTION_DAYS_MAX).contains(&rule.days)
    };
    if rules.iter().all(|rule| fits(rule) && ids.insert(&rule.id)) {
        Ok(())
    } else {
        Err(Refusal::UploadRuleInvalid)
    }
}

/// Whether an upload of this key that began then is old enough to be given up: by the rule with the
/// fewest days of those for it, without one by the vault's own.
#[must_use]
pub fn is_given_up(rules: &[UploadRule], key: &[u8], began: UnixMillis, now: UnixMillis) -> bool {
    let days = rules
        .iter()
        .filter(|rule| !rule.disabled && key.starts_with(&rule.prefix))
        .map(|rule| rule.days)
        .min()
        .unwrap_or(UPLOAD_DAYS_DEFAULT);
    now.get().saturating_sub(began.get()) >= u64::from(days).saturating_mul(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, prefix: &str, days: u32, disabled: bool) -> UploadRule {
        UploadRule {
            id: id.into(),
            prefix: prefix.into(),
            days,
            disabled,
        }
    }

    #[test]
    fn the_fewest_days_of_the_rules_for_a_key_count_else_the_vaults_seven() {
        let rules = [
            rule("1", "wal/", 2, false),
            rule("2", "wal/slow/", 30, false),
            rule("3", "full/", 30, false),
            rule("4", "", 1, true),
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
        let many: Vec<UploadRule> = (0..=UPLOAD_RULE_COUNT_MAX)
            .map(|at| rule(&at.to_string(), "", 1, false))
            .collect();
        assert_eq!(check_upload_rules(&many[1..]), Ok(()));
        let max = UPLOAD_RULE_COUNT_MAX;
        let invalid = Refusal::UploadRuleInvalid;
        for (rules, refusal) in [
            (many, Refusal::TooManyRules { max }),
            (vec![rule("", "", 1, false)], invalid),
            (vec![rule(&"i".repeat(256), "", 1, false)], invalid),
            (vec![rule("a", &"p".repeat(1_025), 1, false)], invalid),
            (vec![rule("a", "", 0, false)], invalid),
            (vec![rule("a", "", 36_501, false)], invalid),
            (
                vec![rule("a", "", 1, false), rule("a", "b", 2, false)],
                invalid,
            ),
        ] {
            assert_eq!(check_upload_rules(&rules), Err(refusal));
        }
    }
}
