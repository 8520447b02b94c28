//! Buckets and their tiers of retention.

use std::collections::BTreeMap;

use stele_store::policy::{Mode, Period, PrefixRule, Refusal as PolicyRefusal, Right, Tier};
use stele_store::request::{BucketInfo, Command, Refusal};

use super::{Desk, NotStated};
use crate::control::clients::Rule;
use crate::control::desk::{BucketStatus, DeskReply};
use crate::error::{Error, Outcome};

/// A default retention as people read it.
pub fn default_words((mode, period): (Mode, Period)) -> String {
    match period {
        Period::Days(days) => format!("{mode}, {days} d"),
        Period::Years(years) => format!("{mode}, {years} y"),
    }
}

/// Name of the tier that a bucket is in.
pub(super) fn tier_of(bucket: &BucketInfo) -> Option<String> {
    Tier::of(bucket.default).map(|tier| tier.name().to_owned())
}

impl Desk {
    pub(super) fn show_buckets(&self) -> Outcome<Vec<BucketStatus>> {
        let buckets = self.buckets()?.into_iter();
        let shown = buckets.map(|bucket| BucketStatus {
            tier: tier_of(&bucket),
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
            *counts.entry(tier).or_default() += 1;
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
