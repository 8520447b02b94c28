//! What has expired, by month and bucket.

use std::collections::BTreeMap;

use stele_format::units::{BucketId, Month, UnixMillis};
use stele_store::policy::words::utc;
use stele_store::policy::{Kept, may_draft};

use super::Desk;
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
        let names: BTreeMap<BucketId, String> = self
            .buckets()?
            .into_iter()
            .map(|bucket| (bucket.id, bucket.name))
            .collect();
        let time = self.people()?.time;
        let mut rows: BTreeMap<(String, BucketId), ExpiryRow> = BTreeMap::new();
        let mut kept: BTreeMap<(String, BucketId), BTreeMap<String, u64>> = BTreeMap::new();
        self.census(|(row, standing)| {
            let month = row.leaf.parts().map(|leaf| leaf.month.to_string());
            let place = (month.unwrap_or_default(), row.bucket);
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
        let rows = rows.into_iter().map(|((month, bucket), row)| ExpiryRow {
            kept: kept
                .remove(&(month.clone(), bucket))
                .unwrap_or_default()
                .into_iter()
                .collect(),
            bucket: names.get(&bucket).cloned().unwrap_or(bucket.to_string()),
            month,
            ..row
        });
        Ok(ExpiryReport {
            release_time: utc(time.release),
            rows: rows.collect(),
        })
    }
}
