//! What has expired, by tier, month and bucket.

use std::collections::BTreeMap;

use stele_format::units::{BucketId, Month, UnixMillis};
use stele_store::policy::words::utc;
use stele_store::policy::{Kept, may_draft};
use stele_store::request::BucketInfo;

use super::Desk;
use super::tiers::tier_of;
use crate::control::desk::{ExpiryReport, ExpiryRow};
use crate::error::Outcome;

/// The month a time lies in; the last there is beyond it.
pub(super) fn month_of(time: UnixMillis) -> Month {
    Month::of(time).unwrap_or_default()
}

/// Why versions are kept, for many at once.
pub(super) fn kept_words(why: Kept) -> String {
    match why {
        Kept::Retained { .. } => "under retention, or a day has not passed since".to_owned(),
        Kept::Unheld { .. } => "a legal hold went, and the list rests anew since then".to_owned(),
        other => other.to_string(),
    }
}

impl Desk {
    pub(super) fn report(&self, noncurrent: &[String]) -> Outcome<ExpiryReport> {
        let rules = self.rules(noncurrent)?;
        let buckets: BTreeMap<BucketId, BucketInfo> = self
            .buckets()?
            .into_iter()
            .map(|bucket| (bucket.id, bucket))
            .collect();
        let time = self.people()?.time;
        let mut rows: BTreeMap<(Length, String, BucketId), ExpiryRow> = BTreeMap::new();
        let mut kept: BTreeMap<(Length, String, BucketId), BTreeMap<String, u64>> = BTreeMap::new();
        self.census(|(row, standing)| {
            let month = row.leaf.parts().map(|leaf| leaf.month.to_string());
            let length = length(buckets.get(&row.bucket));
            let place = (length, month.unwrap_or_default(), row.bucket);
            let entry = rows.entry(place.clone()).or_default();
            match may_draft(*standing, &row.lock, rules.contains(&row.bucket), time) {
                Ok(()) => {
                    entry.expired += 1;
                    entry.expired_bytes += row.content_bytes;
                }
                Err(why) => {
                    let reasons = kept.entry(place).or_default();
                    *reasons.entry(kept_words(why)).or_default() += 1;
                }
            }
        })?;
        let rows = rows.into_iter().map(|(place, row)| {
            let reasons = kept.remove(&place).unwrap_or_default();
            let (_, month, bucket) = place;
            let info = buckets.get(&bucket);
            ExpiryRow {
                tier: info.and_then(tier_of).map(|tier| tier.name().to_owned()),
                month,
                bucket: info.map_or_else(|| bucket.to_string(), |info| info.name.clone()),
                kept: reasons.into_iter().collect(),
                ..row
            }
        });
        Ok(ExpiryReport {
            release_time: utc(time.release),
            erasure_suspended: time.wall_alarm,
            rows: rows.collect(),
        })
    }
}

/// What reports are sorted by first: days and name of the tier, those of none before all others.
type Length = Option<(u32, &'static str)>;

fn length(bucket: Option<&BucketInfo>) -> Length {
    let tier = tier_of(bucket?)?;
    Some((tier.days(), tier.name()))
}

/// Words for versions of a bucket: the tier it is in.
pub(super) fn of_tier(bucket: Option<&BucketInfo>) -> String {
    match bucket.and_then(tier_of) {
        Some(tier) => format!(" of tier {}", tier.name()),
        None => String::new(),
    }
}
