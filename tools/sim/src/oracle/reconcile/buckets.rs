//! Buckets and their rules of unknown outcome.

use std::collections::BTreeMap;

use stele_store::policy::{Mode, Period, PrefixRule, Retention};
use stele_store::request::BucketInfo;

use super::super::Oracle;
use super::super::answer::within;
use super::super::deed::{Asked, Deed};
use super::super::model::{Bucket, Place};
use super::super::rules::Times;
use super::super::survey::Survey;
use super::super::upkeep::Upkeep;
use super::Open;

/// By bucket, the defaults and rules that versions may have got: those before, those after, and those between.
#[derive(Default)]
pub(super) struct Defaults(BTreeMap<String, OfBucket>);

/// Of one bucket.
#[derive(Default)]
struct OfBucket {
    defaults: Vec<Option<(Mode, Period)>>,
    rules: Vec<PrefixRule>,
}

impl Defaults {
    fn note(&mut self, known: &Bucket, info: &BucketInfo, left: &[Asked]) {
        let OfBucket { defaults, rules } = self.0.entry(info.name.clone()).or_default();
        defaults.extend([known.default, info.default]);
        rules.extend(known.rules.iter().chain(&*info.rules).cloned());
        for asked in left {
            match &asked.deed {
                Deed::SetDefault { bucket, default } if *bucket == info.name => {
                    defaults.push(*default);
                }
                Deed::Upkeep(Upkeep::SetRule {
                    bucket,
                    prefix,
                    days: Some(days),
                }) if *bucket == info.name => rules.push(PrefixRule {
                    prefix: prefix.clone(),
                    days: *days,
                }),
                _ => {}
            }
        }
    }
}

impl Open {
    /// Whether a version may have got this retention by a default that was in force while something was under way.
    pub(super) fn had_default(&self, at: &Place, found: Option<Retention>, times: Times) -> bool {
        let Some(OfBucket { defaults, rules }) = self.defaults.0.get(&at.bucket) else {
            return false;
        };
        let of_key = rules.iter().filter(|rule| at.key.starts_with(&rule.prefix));
        let lengths: Vec<Period> = of_key.map(|rule| Period::Days(rule.days)).collect();
        defaults.iter().any(|default| match default {
            None => found.is_none(),
            Some((mode, period)) => lengths
                .iter()
                .chain([period])
                .any(|length| within(*mode, *length, times).agrees(found)),
        })
    }
}

impl Oracle {
    pub(super) fn settle_buckets(&mut self, open: &mut Open, survey: &Survey) {
        for seen in &survey.buckets {
            let info = &seen.info;
            if !self.model.buckets.contains_key(&info.name) {
                let made = |deed: &Deed| {
                    matches!(deed, Deed::CreateBucket { name, .. }
                        | Deed::Upkeep(Upkeep::CreateIn { name, .. }) if *name == info.name)
                };
                if open.take(made).is_some() {
                    self.model
                        .buckets
                        .insert(info.name.clone(), Bucket::of(info));
                }
            }
            if let Some(bucket) = self.model.buckets.get_mut(&info.name) {
                open.defaults.note(bucket, info, &open.left);
                settle_rules(bucket, open, info);
            }
        }
        let shown = |name: &String| survey.buckets.iter().any(|seen| seen.info.name == *name);
        self.model.buckets.retain(|name, bucket| {
            let gone = |deed: &Deed| matches!(deed, Deed::DeleteBucket { name: n } if n == name);
            shown(name) || !bucket.is_empty() || open.take(gone).is_none()
        });
    }
}

/// What a bucket says of itself that is not as known must have been asked for.
fn settle_rules(bucket: &mut Bucket, open: &mut Open, info: &BucketInfo) {
    let of_it = |name: &String| *name == info.name;
    if bucket.default != info.default {
        let set = |deed: &Deed| {
            matches!(deed, Deed::SetDefault { bucket, default }
                if of_it(bucket) && *default == info.default)
        };
        if open.take(set).is_some() {
            bucket.default = info.default;
        }
    }
    while bucket.rules != *info.rules {
        let days_of = |rules: &[PrefixRule], prefix: &[u8]| {
            let found = rules.iter().find(|rule| rule.prefix == prefix);
            found.map(|rule| rule.days)
        };
        let set = open.take(|deed| match deed {
            Deed::Upkeep(Upkeep::SetRule {
                bucket: name,
                prefix,
                days,
            }) if of_it(name) => {
                let told = days_of(&info.rules, prefix);
                told == *days && told != days_of(&bucket.rules, prefix)
            }
            _ => false,
        });
        let Some(Asked {
            deed: Deed::Upkeep(Upkeep::SetRule { prefix, days, .. }),
            ..
        }) = set
        else {
            break;
        };
        bucket.set_rule(&prefix, days);
    }
    if bucket.max_days != info.max_days {
        let set = |deed: &Deed| {
            matches!(deed, Deed::Upkeep(Upkeep::SetBound { bucket, days_max })
                if of_it(bucket) && *days_max == info.max_days)
        };
        if open.take(set).is_some() {
            bucket.max_days = info.max_days;
        }
    }
    if bucket.lifecycle != *info.lifecycle {
        let set = |deed: &Deed| {
            matches!(deed, Deed::Upkeep(Upkeep::SetLifecycle { bucket, rules })
                if of_it(bucket) && *rules == *info.lifecycle)
        };
        if open.take(set).is_some() {
            bucket.lifecycle = info.lifecycle.to_vec();
        }
    }
}
