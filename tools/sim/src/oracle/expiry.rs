//! What goes by lifecycle rules, worked out the slow way, from the whole model.
//!
//! A rule counts days to the next midnight, in compliance time; that is known between question and answer only, and so
//! is when something was stored.

use std::collections::BTreeSet;

use stele_format::units::{UploadId, VersionId};
use stele_store::policy::{CurrentExpiry, LifecycleRule};
use stele_store::request::{Expiring, ObjectName};

use super::model::{Bucket, Holds, Key, Model, Place, Version};
use super::rules::{self, Times, Verdict};
use crate::limits::DAY_MS;

/// Days after which an upload is given up that no rule is for.
const UPLOAD_DAYS: u32 = 7;

/// What becomes of a version that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A marker comes over it.
    Hidden,
    /// It is released, unless it is locked.
    Released,
}

/// Either of two.
fn either(one: Holds, other: Holds) -> Holds {
    match (one, other) {
        (Holds::Yes, _) | (_, Holds::Yes) => Holds::Yes,
        (Holds::No, Holds::No) => Holds::No,
        _ => Holds::Maybe,
    }
}

/// Whether the midnight after so many days has come.
fn is_over(since_ms: (u64, u64), days: u32, times: Times) -> Holds {
    let midnight = |since: u64| {
        let over = since.saturating_add(u64::from(days) * DAY_MS);
        over - over % DAY_MS + DAY_MS
    };
    if midnight(since_ms.1) <= times.since_ms {
        Holds::Yes
    } else if midnight(since_ms.0) > times.until_ms {
        Holds::No
    } else {
        Holds::Maybe
    }
}

/// A version as rules see it.
struct Seen<'a> {
    key: &'a [u8],
    version: &'a Version,
    /// When it stopped to be current, and how many newer ones did; none while it is current.
    past: Option<((u64, u64), usize)>,
    /// It is all that is shown of its key.
    alone: bool,
}

impl Seen<'_> {
    fn due(&self, rules: &[LifecycleRule], times: Times) -> Holds {
        let of_it = rules.iter().filter(|rule| {
            let bytes = self.version.body.bytes();
            let small = rule.bytes_below == 0 || bytes < rule.bytes_below;
            !rule.disabled && self.key.starts_with(&rule.prefix) && bytes >= rule.bytes_min && small
        });
        let by = |rule: &LifecycleRule| match (self.past, rule.current, rule.noncurrent) {
            (Some((since_ms, newer)), _, Some(wish)) if newer >= wish.kept as usize => {
                is_over(since_ms, wish.days, times)
            }
            (Some(_), ..) => Holds::No,
            (None, Some(wish), _) if !self.version.marker || self.alone => match wish {
                CurrentExpiry::Days(days) => is_over(self.version.stored_ms, days, times),
                CurrentExpiry::From(at) if at.get() <= times.since_ms => Holds::Yes,
                CurrentExpiry::From(at) if at.get() <= times.until_ms => Holds::Maybe,
                CurrentExpiry::LoneMarker if self.version.marker => Holds::Yes,
                CurrentExpiry::From(_) | CurrentExpiry::LoneMarker => Holds::No,
            },
            (None, ..) => Holds::No,
        };
        of_it.map(by).fold(Holds::No, either)
    }

    fn fate(&self, versioned: bool) -> Fate {
        match self.past.is_none() && !self.version.marker && versioned {
            true => Fate::Hidden,
            false => Fate::Released,
        }
    }

    /// Why it does not go though its time has come.
    fn locked(&self, versioned: bool, times: Times) -> Verdict {
        let none = Verdict::default();
        match self.fate(versioned) {
            Fate::Hidden => none,
            Fate::Released => rules::release(self.version, false, rules::NO_RIGHTS, times),
        }
    }
}

/// The versions of a key, oldest first.
fn seen<'a>(name: &'a [u8], key: &'a Key) -> impl Iterator<Item = Seen<'a>> {
    let count = key.versions.len();
    key.versions.iter().enumerate().map(move |(at, version)| {
        let next = key.versions.get(at + 1);
        Seen {
            key: name,
            version,
            past: next.map(|next| (next.stored_ms, count - 2 - at)),
            alone: count == 1,
        }
    })
}

/// Whether a version goes, and what keeps it where its time has come.
#[must_use]
pub fn judge(
    bucket: &Bucket,
    (name, key): (&[u8], Option<&Key>),
    version: VersionId,
    next: Option<VersionId>,
    times: Times,
) -> (Holds, Verdict) {
    let not = (Holds::No, Verdict::default());
    let Some(key) = key else {
        return not;
    };
    let Some(mut one) = seen(name, key).find(|seen| seen.version.id == version) else {
        return not;
    };
    match (&mut one.past, next) {
        (None, None) => {}
        (Some((since_ms, _)), Some(next)) if next.ordinal() > version.ordinal() => {
            // Whatever came after it, shown or not, says since when it is not current.
            let Some(next) = key.version(next).or_else(|| key.released.get(&next)) else {
                return not;
            };
            *since_ms = next.stored_ms;
        }
        _ => return not,
    }
    let due = one.due(&bucket.lifecycle, times);
    (due, one.locked(bucket.versioned(), times))
}

/// What is wrong with a list of what goes by now, if anything.
#[must_use]
pub fn compare(
    bucket: &Bucket,
    found: &[Expiring],
    locked: u64,
    whole: bool,
    times: Times,
) -> Option<String> {
    let versioned = bucket.versioned();
    let mut left: Vec<&Expiring> = found.iter().collect();
    let (mut surely, mut perhaps) = (0, 0);
    for (name, key) in &bucket.keys {
        for (at, one) in seen(name, key).enumerate() {
            let id = one.version.id;
            let listed = left.iter().position(|row| row.version == id);
            let listed = listed.map(|place| left.swap_remove(place));
            let due = one.due(&bucket.lifecycle, times);
            let kept = one.locked(versioned, times);
            let next = key.versions.get(at + 1).map(|next| next.id);
            match (listed, due) {
                (Some(row), Holds::Yes | Holds::Maybe) if kept.allows_success() => {
                    if row.next != next || row.key != *name {
                        return Some(format!(
                            "{id} goes, and before {next:?}, not {:?}",
                            row.next
                        ));
                    }
                }
                (Some(_), _) => return Some(format!("{id} is said to go, and stays")),
                (None, Holds::Yes) if whole && kept.must.is_empty() && kept.may.is_empty() => {
                    let (stored, past) = (one.version.stored_ms, one.past);
                    let rules = bucket.lifecycle.iter().map(|rule| {
                        let prefix = String::from_utf8_lossy(&rule.prefix);
                        format!("{prefix:?} {} {} {rule:?}", rule.bytes_below, rule.disabled)
                    });
                    let rules = rules.collect::<Vec<_>>().join("; ");
                    return Some(format!(
                        "{id}, stored {stored:?}, past {past:?}, is not said to go in {times:?} by {rules}"
                    ));
                }
                (None, Holds::Yes) if !kept.allows_success() => surely += 1,
                (None, Holds::Yes | Holds::Maybe) => perhaps += 1,
                (None, Holds::No) => {}
            }
        }
    }
    if let Some(row) = left.first() {
        return Some(format!("{} is said to go, and is not there", row.version));
    }
    let counted = surely..=surely + perhaps;
    (whole && !counted.contains(&locked)).then(|| format!("{locked} are locked, not {counted:?}"))
}

/// What is wrong with a list of uploads that are to be given up, if anything.
#[must_use]
pub fn compare_uploads(
    model: &Model,
    found: &[(ObjectName, UploadId)],
    whole: bool,
    times: Times,
) -> Option<String> {
    let mut left: BTreeSet<(Place, UploadId)> = found
        .iter()
        .map(|(name, upload)| {
            let (bucket, key) = (name.bucket.clone(), name.key.clone());
            (Place { bucket, key }, *upload)
        })
        .collect();
    for (name, bucket) in &model.buckets {
        for (id, upload) in &bucket.uploads {
            let key = upload.key.clone();
            let bucket_name = name.clone();
            let listed = left.remove(&(
                Place {
                    bucket: bucket_name,
                    key,
                },
                *id,
            ));
            let rules = bucket.lifecycle.iter().filter(|rule| !rule.disabled);
            let days = rules
                .filter(|rule| upload.key.starts_with(&rule.prefix))
                .filter_map(|rule| rule.upload_days);
            let ms = u64::from(days.min().unwrap_or(UPLOAD_DAYS)) * DAY_MS;
            let (first, last) = upload.began_ms;
            if listed && first + ms > times.until_ms {
                return Some(format!("upload {id} is said to be old, and is not"));
            }
            if whole && !listed && last + ms <= times.since_ms {
                return Some(format!("upload {id} is old, and not said to be"));
            }
        }
    }
    let (at, id) = left.first()?;
    Some(format!(
        "upload {id} of {at} is said to be old, and is not there"
    ))
}

/// Whether a vault takes these rules.
#[must_use]
pub fn are_lawful(rules: &[LifecycleRule]) -> bool {
    let ids: BTreeSet<&String> = rules.iter().map(|rule| &rule.id).collect();
    let any_days = |rule: &LifecycleRule| {
        let current = match rule.current {
            Some(CurrentExpiry::Days(days)) => Some(days),
            _ => None,
        };
        let noncurrent = rule.noncurrent.map(|wish| wish.days);
        let days = [current, noncurrent, rule.upload_days];
        days.into_iter().flatten().all(|days| days > 0)
    };
    ids.len() == rules.len() && rules.iter().all(any_days)
}
