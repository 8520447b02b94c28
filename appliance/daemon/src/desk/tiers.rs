//! Buckets and their tiers of retention.

use std::collections::BTreeMap;

use stele_store::policy::{Mode, Period, PrefixRule, Refusal as PolicyRefusal, Right, Tier};
use stele_store::request::{BucketInfo, Command, Refusal};

use super::{Desk, NotStated};
use crate::control::clients::Rule;
use crate::control::desk::{BucketStatus, DeskReply};
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

impl Desk {
    pub(super) fn show_buckets(&self) -> Outcome<Vec<BucketStatus>> {
        let buckets = self.buckets()?.into_iter();
        let shown = buckets.map(|bucket| BucketStatus {
            tier: tier_of(&bucket).map(|tier| tier.name().to_owned()),
            default: bucket.default.map(default_words),
            rules: bucket.rules.len() as u64,
            max_days: bucket.max_days,
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

    fn show_bucket(&self, name: &str) -> Outcome<DeskReply> {
        let mut buckets = self.show_buckets()?;
        buckets.retain(|bucket| bucket.name == name);
        Ok(DeskReply::Buckets(buckets))
    }
}
