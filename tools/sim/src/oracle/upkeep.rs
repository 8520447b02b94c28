//! What is asked of a vault beside clients' everyday questions: rules of buckets, what goes by them, what is taken
//! back, tags, and a clock that is set forward; and what the rules say of each, written a second time.

use stele_format::units::VersionId;
use stele_store::policy::{LifecycleRule, Mode, Period, PrefixRule};
use stele_store::request::{Answer, ListWish};

use super::deed::{Asked, Deed};
use super::expiry::{self, Fate};
use super::model::{Bucket, Holds, Key, Model, Place, Version};
use super::rules::{self, Times, Verdict};
use super::{Oracle, listing};
use crate::error::Violation;

/// Longest default or bound, and longest prefix, as the documents say.
const DAYS_MAX: u32 = 36_500;
const PREFIX_BYTES_MAX: usize = 1_024;

/// One such question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upkeep {
    /// A new bucket that has a default from its first version on.
    CreateIn {
        /// Its name.
        name: String,
        /// Its default.
        default: (Mode, Period),
        /// What keys with a prefix get instead.
        rules: Vec<PrefixRule>,
    },
    /// The default of keys with a prefix.
    SetRule {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: Vec<u8>,
        /// For how long; none takes the rule away.
        days: Option<u32>,
    },
    /// The most days that may be wished for.
    SetBound {
        /// The bucket.
        bucket: String,
        /// The bound.
        days_max: Option<u32>,
    },
    /// When uploads and versions go by themselves.
    SetLifecycle {
        /// The bucket.
        bucket: String,
        /// All its rules.
        rules: Vec<LifecycleRule>,
    },
    /// What goes by them now.
    ListExpiring {
        /// The bucket.
        bucket: String,
    },
    /// One version goes by them.
    Expire {
        /// Where.
        at: Place,
        /// Which.
        version: VersionId,
        /// The next newer one, if there is one.
        next: Option<VersionId>,
    },
    /// A release is taken back.
    Unrelease {
        /// Where.
        at: Place,
        /// Of this version.
        version: VersionId,
    },
    /// What is released.
    ListReleased(ListWish),
    /// All tags of a version.
    SetTags {
        /// Where.
        at: Place,
        /// Of this version.
        version: Option<VersionId>,
        /// The new ones.
        tags: Vec<(String, String)>,
    },
    /// Uploads that are to be given up.
    ListOldUploads,
    /// Compliance time is set forward.
    AdvanceClock {
        /// By so much.
        by_ms: u64,
    },
}

impl Upkeep {
    /// Whether it changes something when it succeeds.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Upkeep::ListExpiring { .. } | Upkeep::ListReleased(_) | Upkeep::ListOldUploads
        )
    }

    /// The place it is about, if it is about one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Upkeep::Expire { at, .. }
            | Upkeep::Unrelease { at, .. }
            | Upkeep::SetTags { at, .. } => Some(at),
            _ => None,
        }
    }

    /// The bucket that must be there for it.
    fn bucket(&self) -> Option<&str> {
        match self {
            Upkeep::SetRule { bucket, .. }
            | Upkeep::SetBound { bucket, .. }
            | Upkeep::SetLifecycle { bucket, .. }
            | Upkeep::ListExpiring { bucket } => Some(bucket),
            Upkeep::ListReleased(wish) => Some(&wish.bucket),
            _ => self.place().map(|at| at.bucket.as_str()),
        }
    }

    /// What the rules say of it.
    #[must_use]
    pub fn judge(&self, model: &Model, times: Times) -> Verdict {
        let none = Verdict::default();
        if let Upkeep::CreateIn {
            name,
            default: (_, period),
            rules,
        } = self
        {
            return create_in(model.buckets.get(name), *period, rules);
        }
        let Some(name) = self.bucket() else {
            return none;
        };
        let Some(bucket) = model.buckets.get(name) else {
            return none.must("NoSuchBucket");
        };
        match self {
            Upkeep::SetRule { prefix, days, .. } => set_rule(bucket, prefix, *days),
            Upkeep::SetBound { days_max, .. } => set_bound(bucket, *days_max),
            Upkeep::SetLifecycle { rules, .. } => match expiry::are_lawful(rules) {
                true => none,
                false => none.must("LifecycleRuleInvalid"),
            },
            Upkeep::Expire { at, version, next } => {
                let key = bucket.keys.get(&at.key);
                let (due, verdict) = expiry::judge(bucket, (&at.key, key), *version, *next, times);
                match due {
                    Holds::Yes => verdict,
                    Holds::Maybe => verdict.holds(Holds::Maybe, "NotDue"),
                    Holds::No => none.must("NotDue"),
                }
            }
            Upkeep::Unrelease { at, version } => {
                let key = bucket.keys.get(&at.key);
                unrelease(bucket.versioned(), key, *version)
            }
            Upkeep::SetTags { at, version, .. } => match rules::find(model, at, *version) {
                Err(kind) => none.must(kind),
                Ok(_) => none,
            },
            _ => none,
        }
    }
}

fn create_in(known: Option<&Bucket>, period: Period, given: &[PrefixRule]) -> Verdict {
    let mut verdict = Verdict::default();
    // The vault alone asks for it.
    if let Some(bucket) = known {
        verdict = verdict.must(rules::exists(bucket, ""));
    }
    if !rules::is_valid(period) {
        verdict = verdict.must("PeriodInvalid");
    }
    let twice = |rule: &PrefixRule| {
        let same = given.iter().filter(|other| other.prefix == rule.prefix);
        same.count() > 1
    };
    if given.iter().any(twice) {
        verdict = verdict.must("RuleTwice");
    }
    match given.iter().all(|rule| is_rule(&rule.prefix, rule.days)) {
        true => verdict,
        false => verdict.must("RuleInvalid"),
    }
}

fn is_rule(prefix: &[u8], days: u32) -> bool {
    (1..=PREFIX_BYTES_MAX).contains(&prefix.len()) && (1..=DAYS_MAX).contains(&days)
}

/// A vault for evaluation lets rules lower what they say.
fn set_rule(bucket: &Bucket, prefix: &[u8], days: Option<u32>) -> Verdict {
    let none = Verdict::default();
    let known = bucket.rules.iter().any(|rule| rule.prefix == prefix);
    match days {
        _ if !is_rule(prefix, days.unwrap_or(1)) => none.must("RuleInvalid"),
        Some(_) if bucket.default.is_none() => none.must("RuleNeedsDefault"),
        None if !known => none.must("NoSuchRule"),
        _ => none,
    }
}

fn set_bound(bucket: &Bucket, days_max: Option<u32>) -> Verdict {
    let none = Verdict::default();
    let default_days = bucket.default.map(|(_, period)| rules::days(period));
    let fits = |days: u32| {
        (1..=DAYS_MAX).contains(&days) && default_days.is_none_or(|least| least <= u64::from(days))
    };
    match days_max.is_none_or(fits) {
        true => none,
        false => none.must("BoundInvalid"),
    }
}

fn unrelease(versioned: bool, key: Option<&Key>, version: VersionId) -> Verdict {
    let none = Verdict::default();
    match key {
        Some(key) if key.version(version).is_some() => none.must("NotReleased"),
        Some(key) if key.released.contains_key(&version) => {
            match !versioned && !key.versions.is_empty() {
                true => none.must("KeyTaken"),
                false => none,
            }
        }
        _ => none.must("NoSuchVersion"),
    }
}

impl Oracle {
    /// Enters a change that was acknowledged; false where the answer is of another kind.
    pub(super) fn kept_up(
        &mut self,
        asked: &Asked,
        upkeep: &Upkeep,
        answer: &Answer,
        times: Times,
    ) -> Result<bool, Violation> {
        match (upkeep, answer) {
            (
                Upkeep::CreateIn {
                    name,
                    default,
                    rules,
                },
                Answer::Bucket(info),
            ) => {
                let mut bucket = Bucket::of(info);
                bucket.owner = asked.who.owner();
                bucket.default = Some(*default);
                bucket.rules = rules.clone();
                bucket.rules.sort_by(|a, b| a.prefix.cmp(&b.prefix));
                self.model.buckets.insert(name.clone(), bucket);
            }
            (Upkeep::Expire { at, version, .. }, Answer::Deleted { version: made, .. }) => {
                return self.expired(asked, at, (*version, *made), times);
            }
            (Upkeep::SetTags { at, tags, .. }, Answer::Tagged { version, .. }) => {
                self.change(at, Some(*version), |version| {
                    version.tags = Some(tags.clone());
                });
            }
            (Upkeep::AdvanceClock { .. }, Answer::Recorded(_)) => {}
            (_, Answer::Done) => return Ok(self.kept_up_in_silence(upkeep, times)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is answered with no more than that it was done.
    fn kept_up_in_silence(&mut self, upkeep: &Upkeep, times: Times) -> bool {
        let Some(name) = upkeep.bucket() else {
            return false;
        };
        let Some(bucket) = self.model.buckets.get_mut(name) else {
            return true;
        };
        match upkeep {
            Upkeep::SetRule { prefix, days, .. } => bucket.set_rule(prefix, *days),
            Upkeep::SetBound { days_max, .. } => {
                bucket.max_days = *days_max;
                bucket.bound_set_ms = times.until_ms;
            }
            Upkeep::SetLifecycle { rules, .. } => bucket.lifecycle.clone_from(rules),
            Upkeep::Unrelease { at, version } => {
                if let Some(key) = bucket.keys.get_mut(&at.key) {
                    key.unrelease(*version);
                }
                self.book.unreleased(*version);
            }
            _ => return false,
        }
        true
    }

    /// A marker came over the version, or it is not shown any more.
    fn expired(
        &mut self,
        asked: &Asked,
        at: &Place,
        (version, made): (VersionId, Option<VersionId>),
        times: Times,
    ) -> Result<bool, Violation> {
        let bucket = self.model.buckets.get(&at.bucket);
        let key = bucket.and_then(|bucket| Some((bucket, bucket.keys.get(&at.key)?)));
        let fate = key.and_then(|(bucket, key)| {
            let hides = key.current().is_some_and(|current| current.id == version);
            (hides && bucket.versioned()).then_some(Fate::Hidden)
        });
        match (fate, made) {
            (Some(Fate::Hidden), Some(made)) if made != version => {
                let marker = Version::marker(made, times.between_ms());
                self.add(asked, at, marker)?;
            }
            (None, Some(made)) if made == version => {
                if let Some(key) = self.model.key_mut(at) {
                    key.release(version);
                }
            }
            _ => return Ok(self.is_blind()),
        }
        Ok(true)
    }

    /// Compares what such a question was answered with.
    pub(super) fn compare_upkeep(
        &self,
        asked: &Asked,
        answer: &Answer,
        times: Times,
    ) -> Result<(), Violation> {
        let Deed::Upkeep(upkeep) = &asked.deed else {
            return Err(Self::strange(asked, answer));
        };
        let listing = |bucket: &str, what: String| {
            let bucket = bucket.to_owned();
            Err(Violation::Listing { bucket, what })
        };
        match (upkeep, answer) {
            (
                Upkeep::ListExpiring { bucket: name },
                Answer::Expiring {
                    due, locked, next, ..
                },
            ) => {
                let Some(bucket) = self.model.buckets.get(name) else {
                    return Ok(());
                };
                let wrong = expiry::compare(bucket, due, *locked, next.is_none(), times);
                wrong.map_or(Ok(()), |what| listing(name, what))
            }
            (Upkeep::ListReleased(wish), Answer::ReleasedListing(page)) => {
                let Some(bucket) = self.model.buckets.get(&wish.bucket) else {
                    return Ok(());
                };
                let wrong = listing::compare_released(bucket, wish, page, self.book.open);
                wrong.map_or(Ok(()), |what| listing(&wish.bucket, what))
            }
            (Upkeep::ListOldUploads, Answer::OldUploads { uploads, next }) => {
                let wrong = expiry::compare_uploads(&self.model, uploads, next.is_none(), times);
                wrong.map_or(Ok(()), |what| listing("of all", what))
            }
            _ => Err(Self::strange(asked, answer)),
        }
    }
}
