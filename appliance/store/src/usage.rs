//! How much lies in each bucket, and when the first of it may go: sums over the facts of the log.
//!
//! Kept in memory, and in the index's snapshot beside its position, so that what is replayed after it
//! is added exactly once. A rebuild of the index sums the whole log again. What an owner stores is the
//! sum of their buckets, deleted ones included, since these keep their released versions.
//!
//! A version of a multipart upload adds no bytes: its parts did, and where a replay cannot open those any
//! more the version does. What is destroyed is subtracted; parts that were replaced or given up lie on the
//! disks like any other and go on counting.

use std::collections::BTreeMap;

use stele_format::units::{BucketId, UnixMillis};

use crate::index::Fact;
use crate::index::apply::Effect;
use crate::policy::Usage;
use crate::policy::limits::DAY_MS;

/// What lies where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usages {
    pub(crate) buckets: BTreeMap<BucketId, Usage>,
    /// By day since 1970, the earliest date of that day to which a version was ever retained.
    pub(crate) expiries: BTreeMap<u32, UnixMillis>,
}

impl Usages {
    /// Adds what a fact of the log brings. Each fact must come exactly once.
    pub(crate) fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::VersionAdded {
                bucket,
                row,
                completes,
                ..
            } => {
                let bytes = match completes {
                    None => row.content_bytes.get(),
                    Some(_) => 0,
                };
                self.add(*bucket, Usage { bytes, versions: 1 });
                self.expires(row.retention.map(|retention| retention.until));
            }
            Fact::VersionClosed { bucket, row, .. } => {
                self.add(
                    *bucket,
                    Usage {
                        bytes: 0,
                        versions: 1,
                    },
                );
                self.expires(row.retention.map(|retention| retention.until));
            }
            Fact::PartAdded { bucket, row, .. } => {
                let bytes = row.content_bytes.get();
                self.add(*bucket, Usage { bytes, versions: 0 });
            }
            Fact::RetentionSet { retention, .. } => {
                self.expires(retention.map(|retention| retention.until));
            }
            _ => {}
        }
    }

    /// Counts what applying a fact showed beside.
    pub(crate) fn change(&mut self, effect: &Effect) {
        for (bucket, bytes, versions) in &effect.usage {
            let usage = self.buckets.entry(*bucket).or_default();
            let bytes = i128::from(usage.bytes).saturating_add(*bytes).max(0);
            usage.bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            usage.versions = usage.versions.saturating_add_signed(*versions);
        }
    }

    /// Versions in the vault: stored and not destroyed.
    pub(crate) fn versions(&self) -> u64 {
        self.buckets.values().map(|usage| usage.versions).sum()
    }

    /// Enters into a fact what only the sums know.
    pub(crate) fn complete(&self, fact: &mut Fact) {
        if let Fact::StatementMade { row, .. } = fact {
            row.versions = self.versions();
        }
    }

    fn add(&mut self, bucket: BucketId, more: Usage) {
        let usage = self.buckets.entry(bucket).or_default();
        *usage = usage.plus(more);
    }

    /// A version is retained until then.
    pub(crate) fn expires(&mut self, until: Option<UnixMillis>) {
        let Some(until) = until else {
            return;
        };
        let Ok(day) = u32::try_from(until.get() / DAY_MS) else {
            return;
        };
        let earliest = self.expiries.entry(day).or_insert(until);
        *earliest = (*earliest).min(until);
    }

    /// The first date from now on to which any version was retained. It may have been extended since,
    /// so nothing more expires before it, but perhaps nothing at it.
    pub(crate) fn next_expiry(&self, now: UnixMillis) -> Option<UnixMillis> {
        let day = u32::try_from(now.get() / DAY_MS).ok()?;
        let later = self.expiries.range(day..);
        later.map(|(_, until)| *until).find(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_date_to_come_is_the_next_expiry() {
        let mut usages = Usages::default();
        let at = |days: u64, ms: u64| UnixMillis::new(days * DAY_MS + ms);
        assert_eq!(usages.next_expiry(at(0, 0)), None);
        for until in [at(9, 5), at(7, 30), at(7, 20), at(8, 1)] {
            usages.expires(Some(until));
        }
        usages.expires(None);
        for (now, expected) in [
            (at(0, 0), Some(at(7, 20))),
            (at(7, 19), Some(at(7, 20))),
            (at(7, 20), Some(at(8, 1))),
            (at(8, 1), Some(at(9, 5))),
            (at(9, 5), None),
            (at(99, 0), None),
        ] {
            assert_eq!(usages.next_expiry(now), expected, "{now:?}");
        }
    }
}
