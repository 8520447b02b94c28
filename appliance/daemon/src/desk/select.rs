//! Lists of versions: found page by page, and recorded in pieces.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::digest::Digest;
use stele_format::record::{Scope, VersionRef, scope_digest};
use stele_format::units::{BucketId, UnixMillis, VersionId};
use stele_store::engine::scope_words;
use stele_store::limits::{SCOPE_PIECE_COUNT_MAX, SCOPE_VERSION_COUNT_MAX};
use stele_store::policy::{EffectiveTime, Standing, may_destroy, may_draft, standings};
use stele_store::request::{Answer, BucketInfo, CensusRow, Command, ListWish, Page};

use super::facts::month;
use super::report::{kept_words, of_tier};
use super::{Desk, NotStated};
use crate::control::desk::Which;
use crate::error::{Error, Outcome};
use crate::limits::LIST_PAGE_COUNT;
use crate::status::size;

/// A version with how it stands to its name.
pub(super) type Stood = (CensusRow, Standing);

impl Desk {
    pub(super) fn buckets(&self) -> Outcome<Vec<BucketInfo>> {
        match self.ask(|| Command::ListBuckets)? {
            Answer::Buckets(buckets) => Ok(buckets),
            _ => Err(Error::NoAnswer),
        }
    }

    pub(super) fn bucket(&self, name: &str) -> Outcome<BucketId> {
        match self.ask(|| Command::HeadBucket {
            name: name.to_owned(),
        })? {
            Answer::Bucket(info) => Ok(info.id),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Looks at every version, object by object, and at the times locks are judged by.
    pub(super) fn census(&self, mut each: impl FnMut(&Stood)) -> Outcome<EffectiveTime> {
        let mut after: Option<Vec<u8>> = None;
        let mut object: Vec<CensusRow> = Vec::new();
        loop {
            let page = match self.ask(|| Command::Census {
                after: after.clone(),
            })? {
                Answer::Census(page) => page,
                _ => return Err(Error::NoAnswer),
            };
            for row in page.rows {
                if object
                    .first()
                    .is_some_and(|first| first.object != row.object)
                {
                    stand(std::mem::take(&mut object))
                        .iter()
                        .for_each(&mut each);
                }
                object.push(row);
            }
            after = page.resume;
            if after.is_none() {
                stand(object).iter().for_each(each);
                return Ok(page.time);
            }
        }
    }

    /// The versions that are meant, released ones too where no key is said.
    pub(super) fn select(&self, which: &Which) -> Outcome<Vec<CensusRow>> {
        let bucket = self.bucket(&which.bucket)?;
        let named = match (&which.key, &which.prefix) {
            (None, None) => None,
            (Some(key), _) => Some(self.listed(&which.bucket, key, true)?),
            (None, Some(prefix)) => Some(self.listed(&which.bucket, prefix, false)?),
        };
        let mut wanted = BTreeSet::new();
        for text in &which.versions {
            let id = VersionId::parse_hex(text);
            wanted.insert(id.ok_or_else(|| NotStated::NoVersion(text.clone()))?);
        }
        let mut rows = Vec::new();
        self.census(|(row, _)| {
            let meant = (wanted.is_empty() || wanted.contains(&row.version))
                && named
                    .as_ref()
                    .is_none_or(|named| named.contains(&row.version));
            if row.bucket == bucket && meant {
                rows.push(row.clone());
            }
        })?;
        for row in &rows {
            wanted.remove(&row.version);
        }
        match wanted.first() {
            Some(lost) => Err(NotStated::NoVersion(lost.to_string()).into()),
            None => Ok(rows),
        }
    }

    /// Versions under a prefix, or of exactly this key.
    fn listed(&self, bucket: &str, prefix: &str, exact: bool) -> Outcome<BTreeSet<VersionId>> {
        let mut wish = ListWish {
            bucket: bucket.to_owned(),
            prefix: prefix.as_bytes().to_vec(),
            entries_max: LIST_PAGE_COUNT,
            ..ListWish::default()
        };
        let mut found = BTreeSet::new();
        loop {
            let page: Page<_> = match self.ask(|| Command::ListVersions(wish.clone()))? {
                Answer::VersionListing(page) => page,
                _ => return Err(Error::NoAnswer),
            };
            let of_key = page
                .rows
                .iter()
                .filter(|row| !exact || row.key == prefix.as_bytes());
            found.extend(of_key.map(|row| row.version));
            match page.next {
                None => return Ok(found),
                Some((key, version)) => {
                    wish.after = Some(key);
                    wish.after_version = version;
                }
            }
        }
    }

    /// Records a list of versions, and gives its digest and length.
    pub(super) fn record_scope(&self, rows: &[CensusRow]) -> Outcome<(Digest, u64)> {
        let (count, max) = (rows.len(), SCOPE_VERSION_COUNT_MAX);
        if count > max {
            return Err(NotStated::TooMany { count, max }.into());
        }
        let mut entries: Vec<VersionRef> = rows
            .iter()
            .map(|row| VersionRef {
                object: row.object,
                version: row.version,
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.version.ordinal());
        let digest = scope_digest(&entries);
        let pieces = entries.len().div_ceil(SCOPE_PIECE_COUNT_MAX);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        for (ordinal, piece) in (0..).zip(entries.chunks(SCOPE_PIECE_COUNT_MAX)) {
            self.ask(|| {
                Command::PutScope(Scope {
                    digest,
                    ordinal,
                    pieces,
                    entries: piece.to_vec(),
                })
            })?;
        }
        Ok((digest, entries.len() as u64))
    }

    /// The lines of a request for what has expired of a month.
    pub(super) fn expiry_lines(
        &self,
        text: &str,
        noncurrent: &[String],
    ) -> Outcome<(Vec<String>, Vec<String>)> {
        let wanted = month(text).ok_or(NotStated::Month)?;
        let rules = self.rules(noncurrent)?;
        // The times are those of the census, which are told with its first page.
        let time = self.people()?.time;
        let buckets: BTreeMap<BucketId, BucketInfo> = self
            .buckets()?
            .into_iter()
            .map(|bucket| (bucket.id, bucket))
            .collect();
        let mut rows = Vec::new();
        let mut kept: BTreeMap<(String, String), u64> = BTreeMap::new();
        self.census(|(row, standing)| {
            let of_month = row.leaf.parts().is_some_and(|leaf| leaf.month == wanted);
            if !of_month {
                return;
            }
            match may_draft(*standing, &row.lock, rules.contains(&row.bucket), time) {
                Ok(()) => rows.push(row.clone()),
                Err(why) => {
                    let of_tier = of_tier(buckets.get(&row.bucket));
                    *kept.entry((of_tier, kept_words(why))).or_default() += 1;
                }
            }
        })?;
        let mut skipped: Vec<String> = kept
            .into_iter()
            .map(|((tier, why), count)| format!("left out: {count} versions{tier}, {why}"))
            .collect();
        skipped.extend(oldest(&mut rows, SCOPE_VERSION_COUNT_MAX));
        let mut listed: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for row in &rows {
            let (count, bytes) = listed.entry(of_tier(buckets.get(&row.bucket))).or_default();
            *count += 1;
            *bytes += row.content_bytes;
        }
        if rows.is_empty() {
            let why = match skipped.is_empty() {
                true => format!("no version has its key in {text}"),
                false => skipped.join("; "),
            };
            return Err(NotStated::Nothing(why).into());
        }
        let over = wanted < super::report::month_of(time.release);
        let cut = if over {
            format!("month {wanted}")
        } else {
            "leaves".to_owned()
        };
        let mut words: Vec<String> = listed
            .into_iter()
            .filter(|(tier, _)| !tier.is_empty())
            .map(|(tier, (count, bytes))| {
                format!("listed: {count} versions{tier} with {}", size(bytes))
            })
            .collect();
        words.extend(skipped);
        Ok((self.erase_act(&rows, &cut, false)?, words))
    }

    pub(super) fn rules(&self, names: &[String]) -> Outcome<BTreeSet<BucketId>> {
        names.iter().map(|name| self.bucket(name)).collect()
    }

    /// The lines of a request for exactly these versions.
    pub(super) fn erase_lines(
        &self,
        which: &Which,
        governance: bool,
    ) -> Outcome<(Vec<String>, Vec<String>)> {
        let rows = self.select(which)?;
        let time = self.people()?.time;
        for row in &rows {
            may_destroy(&row.lock, governance, time).map_err(|why| NotStated::Kept {
                version: row.version.to_string(),
                why,
            })?;
        }
        if rows.is_empty() {
            return Err(NotStated::Nothing("no version is there".to_owned()).into());
        }
        Ok((self.erase_act(&rows, "leaves", governance)?, Vec::new()))
    }

    fn erase_act(&self, rows: &[CensusRow], cut: &str, governance: bool) -> Outcome<Vec<String>> {
        let (scope, count) = self.record_scope(rows)?;
        let bytes = rows.iter().map(|row| row.content_bytes).sum::<u64>();
        let stored = |pick: fn(UnixMillis, UnixMillis) -> UnixMillis| {
            let times = rows.iter().map(|row| row.stored);
            times.reduce(pick).unwrap_or_default()
        };
        let latest = rows
            .iter()
            .filter_map(|row| row.lock.retention.map(|retention| retention.until))
            .max();
        let words = scope_words(
            rows.len(),
            bytes,
            stored(Ord::min),
            stored(Ord::max),
            latest,
        );
        let (Some(oldest), Some(newest)) = (words.oldest, words.newest) else {
            return Err(Error::NoAnswer);
        };
        let latest = words
            .latest_retention
            .map_or("none".to_owned(), |latest| latest.to_string());
        Ok(vec![
            "act erase".to_owned(),
            format!("scope {scope}"),
            format!("count {count}"),
            format!("bytes {bytes}"),
            format!("cut {cut}"),
            format!("governance {}", if governance { "yes" } else { "no" }),
            format!("oldest {oldest}"),
            format!("newest {newest}"),
            format!("latest-retention {latest}"),
        ])
    }
}

/// The versions of one object, newest first, with their standings.
fn stand(rows: Vec<CensusRow>) -> Vec<Stood> {
    let shown: Vec<(bool, bool)> = rows
        .iter()
        .map(|row| (row.released, row.lock.marker))
        .collect();
    rows.into_iter().zip(standings(&shown)).collect()
}

/// Leaves as many of the oldest versions as one list may have; what is said of the others.
fn oldest(rows: &mut Vec<CensusRow>, max: usize) -> Option<String> {
    let beyond = rows.len().checked_sub(max).filter(|beyond| *beyond > 0)?;
    rows.sort_unstable_by_key(|row| row.version.ordinal());
    rows.truncate(max);
    Some(format!(
        "left out: {beyond} younger versions, since a list has {max} at most: they get keys of the month in which this is \
         carried out; ask for that month once it is over"
    ))
}
