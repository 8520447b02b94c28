//! Buckets and their tiers of retention.

use std::collections::BTreeMap;

use stele_store::policy::lifecycle::takes_versions;
use stele_store::policy::words::utc;
use stele_store::policy::{
    CurrentExpiry, LifecycleRule, Mode, Period, PrefixRule, Refusal as PolicyRefusal, Right, Tier,
};
use stele_store::request::{Answer, BucketInfo, Command, Refusal};

use super::{Desk, NotStated};
use crate::client::shown;
use crate::control::clients::Rule;
use crate::control::desk::{BucketStatus, DeskReply, LifecycleLines};
use crate::error::{Error, Outcome};
use crate::gateway::verify::is_bucket_name;

/// A default retention as people read it.
pub fn default_words((mode, period): (Mode, Period)) -> String {
    match period {
        Period::Days(days) => format!("{mode}, {days} d"),
        Period::Years(years) => format!("{mode}, {years} y"),
    }
}

/// The tier that a bucket is in: one that a law asks for holds for all its keys, or it is not that one.
pub(super) fn tier_of(bucket: &BucketInfo) -> Option<Tier> {
    let days = bucket.rules.iter().map(|rule| rule.days);
    Tier::of(bucket.default).filter(|tier| may_have(*tier, days))
}

/// Whether keys of a bucket in this tier may be kept for so many days by default.
fn may_have(tier: Tier, mut days: impl Iterator<Item = u32>) -> bool {
    matches!(tier, Tier::Operational { .. }) || days.all(|days| days >= tier.days())
}

/// Each lifecycle rule as a sentence for each of the things it does.
fn lifecycle_words(rules: &[LifecycleRule]) -> Vec<String> {
    let of_rule = |rule: &LifecycleRule| {
        let off = if rule.disabled { " (disabled)" } else { "" };
        let name = format!("{}{off}", shown(&rule.id));
        rule_words(rule)
            .into_iter()
            .map(move |what| format!("{name}: {what}"))
    };
    rules.iter().flat_map(of_rule).collect()
}

fn under(prefix: &[u8]) -> String {
    match prefix {
        [] => String::new(),
        _ => format!(" under {}", shown(&String::from_utf8_lossy(prefix))),
    }
}

fn rule_words(rule: &LifecycleRule) -> Vec<String> {
    let of = under(&rule.prefix);
    let sizes = match (rule.bytes_min, rule.bytes_below) {
        (0, 0) => String::new(),
        (min, 0) => format!(" of at least {min} bytes"),
        (0, below) => format!(" of less than {below} bytes"),
        (min, below) => format!(" of {min} to {} bytes", below.saturating_sub(1)),
    };
    let uploads = rule
        .upload_days
        .map(|days| format!("uploads{of} are given up {days} d after they began"));
    let current = rule.current.map(|wish| match wish {
        CurrentExpiry::Days(days) => {
            format!("versions{of}{sizes} are hidden {days} d after they are stored")
        }
        CurrentExpiry::From(at) => {
            format!("versions{of}{sizes} are hidden from {} on", utc(at))
        }
        CurrentExpiry::LoneMarker => {
            format!("delete markers{of} with no version behind them are released")
        }
    });
    let noncurrent = rule.noncurrent.map(|wish| {
        let but = match wish.kept {
            0 => String::new(),
            kept => format!(", but for the newest {kept},"),
        };
        let days = wish.days;
        format!(
            "versions{of}{sizes} that are not current{but} are released {days} d after the next one is stored"
        )
    });
    [uploads, current, noncurrent]
        .into_iter()
        .flatten()
        .collect()
}

impl Desk {
    pub(super) fn show_buckets(&self) -> Outcome<Vec<BucketStatus>> {
        let buckets = self.buckets()?.into_iter();
        let shown = buckets.map(|bucket| BucketStatus {
            tier: tier_of(&bucket).map(|tier| tier.name().to_owned()),
            default: bucket.default.map(default_words),
            rules: bucket.rules.len() as u64,
            max_days: bucket.max_days,
            expiry_rules: bucket
                .lifecycle
                .iter()
                .filter(|rule| !rule.disabled && takes_versions(rule))
                .count() as u64,
            name: bucket.name,
        });
        Ok(shown.collect())
    }

    /// Tiers that buckets are in, by name, with how many.
    ///
    /// # Errors
    /// The engine gives none.
    pub fn tiers(&self) -> Outcome<Vec<(String, u64)>> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for tier in self.buckets()?.iter().filter_map(tier_of) {
            *counts.entry(tier.name().to_owned()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    /// Makes a bucket whose versions get this default from the first one on.
    pub(super) fn create_in_tier(
        &self,
        name: &str,
        text: &str,
        rules: Vec<Rule>,
    ) -> Outcome<DeskReply> {
        let tier = Tier::parse(text).ok_or(NotStated::Tier)?;
        let rules = rules.into_iter().map(|rule| PrefixRule {
            prefix: rule.prefix.into_bytes(),
            days: rule.days,
        });
        let rules: Vec<PrefixRule> = rules.collect();
        if !is_bucket_name(name) {
            return Err(NotStated::BucketName.into());
        }
        if !may_have(tier, rules.iter().map(|rule| rule.days)) {
            return Err(NotStated::RuleBelowTier(tier.name()).into());
        }
        self.ask(|| Command::CreateBucketIn {
            name: name.to_owned(),
            default: tier.default(),
            rules: rules.clone(),
        })?;
        self.show_bucket(name)
    }

    /// Sets the default of a bucket. Less than it has is for two people.
    pub(super) fn put_in_tier(&self, name: &str, text: &str) -> Outcome<DeskReply> {
        let tier = Tier::parse(text).ok_or(NotStated::Tier)?;
        let buckets = self.buckets()?;
        let found = buckets.iter().find(|bucket| bucket.name == name);
        let mut rules = found.into_iter().flat_map(|bucket| bucket.rules.iter());
        if !may_have(tier, rules.by_ref().map(|rule| rule.days)) {
            return Err(NotStated::RuleBelowTier(tier.name()).into());
        }
        let done = self.ask(|| Command::SetDefaultRetention {
            bucket: name.to_owned(),
            default: Some(tier.default()),
        });
        match done {
            Err(Error::NotDone(Refusal::Policy(PolicyRefusal::NeedsRight(Right::LockAdmin)))) => {
                Err(NotStated::LowerTier(text.to_owned()).into())
            }
            Err(error) => Err(error),
            Ok(_) => self.show_bucket(name),
        }
    }

    /// Sets the most days of retention that clients may set.
    pub(super) fn bound(&self, name: &str, days_max: Option<u32>) -> Outcome<DeskReply> {
        self.ask(|| Command::SetBound {
            bucket: name.to_owned(),
            days_max,
        })?;
        self.show_bucket(name)
    }

    /// The lifecycle rules of a bucket as sentences; or takes them away.
    pub(super) fn lifecycle(&self, name: &str, remove: bool) -> Outcome<DeskReply> {
        if remove {
            self.ask(|| Command::SetLifecycle {
                bucket: name.to_owned(),
                rules: Vec::new(),
            })?;
        }
        let head = || Command::HeadBucket {
            name: name.to_owned(),
        };
        match self.ask(head)? {
            Answer::Bucket(info) => Ok(DeskReply::Lifecycle(LifecycleLines(lifecycle_words(
                &info.lifecycle,
            )))),
            _ => Err(Error::NoAnswer),
        }
    }

    fn show_bucket(&self, name: &str) -> Outcome<DeskReply> {
        let mut buckets = self.show_buckets()?;
        buckets.retain(|bucket| bucket.name == name);
        Ok(DeskReply::Buckets(buckets))
    }
}
