//! Which refusals the rules of S3 and of the vault demand or permit, written a second time and
//! independently of the vault's own policy.
//!
//! Times: the vault decides at some moment between question and answer, by compliance time and a
//! wall clock that counts within a day of it. What follows for every moment in between is demanded;
//! what follows for some is permitted.

use stele_format::units::{UploadId, VersionId};
use stele_store::policy::{Mode, Period, Retention, Rights};
use stele_store::request::{Conditions, LockWish, RangeWish};

use super::deed::{Asked, Deed};
use super::model::{Belief, Bucket, Holds, Key, Model, Place, Upload, Version};
use super::tenants;
use crate::limits::{DAY_MS, PART_BYTES_MIN};

/// What the rules say of one question.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One of these refusals must be given, if there is any.
    pub must: Vec<&'static str>,
    /// One of these may be given.
    pub may: Vec<&'static str>,
}

/// Times between which the vault decided, milliseconds of compliance time.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When it was asked.
    pub since_ms: u64,
    /// When it was answered.
    pub until_ms: u64,
    /// The latest that the wall clock showed until then.
    pub wall_ms: u64,
}

impl Times {
    /// Between which a version counts as stored, or an upload as begun: the later clock says when.
    #[must_use]
    pub fn between_ms(self) -> (u64, u64) {
        (self.since_ms, self.until_ms.max(self.wall_ms))
    }
}

/// Who has none of the special rights.
pub(super) const NO_RIGHTS: Rights = Rights {
    governance_bypass: false,
    hold_off: false,
    lock_admin: false,
};

const FAR_MS: u64 = 36_600 * DAY_MS;

impl Verdict {
    pub(super) fn must(mut self, kind: &'static str) -> Self {
        self.must.push(kind);
        self
    }

    pub(super) fn holds(mut self, holds: Holds, kind: &'static str) -> Self {
        match holds {
            Holds::Yes => self.must.push(kind),
            Holds::Maybe => self.may.push(kind),
            Holds::No => {}
        }
        self
    }

    /// Whether success is allowed.
    #[must_use]
    pub fn allows_success(&self) -> bool {
        self.must.is_empty()
    }

    /// Whether this refusal is allowed.
    #[must_use]
    pub fn allows(&self, kind: &str) -> bool {
        self.must
            .iter()
            .chain(&self.may)
            .any(|allowed| *allowed == kind)
    }

    /// A date must lie ahead of the later clock, but not absurdly.
    fn date(self, until: Option<Retention>, times: Times) -> Self {
        let Some(retention) = until else { return self };
        let until = retention.until.get();
        let latest = times.until_ms + DAY_MS;
        let past = if until <= times.since_ms {
            Holds::Yes
        } else if until <= latest {
            Holds::Maybe
        } else {
            Holds::No
        };
        let far = if until > latest + FAR_MS {
            Holds::Yes
        } else if until > times.since_ms + FAR_MS {
            Holds::Maybe
        } else {
            Holds::No
        };
        self.holds(past, "DatePast").holds(far, "DateTooFar")
    }

    /// A date must not lie further ahead of the later clock than its bucket allows.
    fn bound(self, bucket: &Bucket, wished: Option<Retention>, times: Times) -> Self {
        let (Some(wished), Some(days)) = (wished, bucket.max_days) else {
            return self;
        };
        let (until, most_ms) = (wished.until.get(), u64::from(days) * DAY_MS);
        let judged_by_it = times.since_ms > bucket.bound_set_ms;
        let beyond = if judged_by_it && until > times.until_ms + DAY_MS + most_ms {
            Holds::Yes
        } else if until > times.since_ms + most_ms {
            Holds::Maybe
        } else {
            Holds::No
        };
        self.holds(beyond, "BeyondBound")
    }

    /// A lock as a whole; its date is judged when what is to have it begins.
    fn lock(self, bucket: &Bucket, lock: LockWish, times: Times) -> Self {
        match bucket.versioned() {
            true => self.date(lock.retention, times),
            false => self.granted(bucket, lock),
        }
    }

    /// A lock whose date was judged before.
    fn granted(self, bucket: &Bucket, lock: LockWish) -> Self {
        let wished = lock.retention.is_some() || lock.hold.is_some();
        match bucket.versioned() || !wished {
            true => self,
            false => self.must("NoLockOnBucket"),
        }
    }

    fn conditions(self, key: Option<&Key>, conditions: &Conditions) -> Self {
        let etag = key
            .and_then(Key::current)
            .map(|version| version.etag.as_str());
        if conditions.if_match.is_some() && etag.is_none() {
            return self.must("NoSuchKey");
        }
        let matches = |wanted: &str| etag.is_some_and(|etag| wanted == "*" || wanted == etag);
        let unmet = conditions
            .if_match
            .as_deref()
            .is_some_and(|wanted| !matches(wanted))
            || conditions.if_none_match.as_deref().is_some_and(matches);
        if unmet {
            self.must("Precondition")
        } else {
            self
        }
    }
}

/// The version a question means: the named one, or the current one.
pub fn find<'a>(
    model: &'a Model,
    at: &Place,
    version: Option<VersionId>,
) -> Result<(&'a Bucket, &'a Version), &'static str> {
    let bucket = model.buckets.get(&at.bucket).ok_or("NoSuchBucket")?;
    let key = bucket.keys.get(&at.key);
    match version {
        None => match key.and_then(Key::current) {
            Some(version) => Ok((bucket, version)),
            None => Err("NoSuchKey"),
        },
        Some(id) => match key.and_then(|key| key.version(id)) {
            None => Err("NoSuchVersion"),
            Some(version) if version.marker => Err("IsMarker"),
            Some(version) => Ok((bucket, version)),
        },
    }
}

fn upload<'a>(bucket: &'a Bucket, at: &Place, upload: UploadId) -> Option<&'a Upload> {
    bucket
        .uploads
        .get(&upload)
        .filter(|upload| upload.key == at.key)
}

/// Whether the current version is what came of an upload of so many parts.
fn is_completed(bucket: &Bucket, at: &Place, upload: UploadId, parts: usize) -> bool {
    let current = bucket.keys.get(&at.key).and_then(Key::current);
    current.is_some_and(|version| {
        version.upload == Some(upload) && version.parts == u32::try_from(parts).ok()
    })
}

/// Judges a question against what the vault must hold.
#[must_use]
pub fn judge(model: &Model, asked: &Asked, times: Times) -> Verdict {
    let mut verdict = judge_deed(model, asked, times);
    let of_client = tenants::judge(model, asked);
    verdict.must.extend(of_client.must);
    verdict.may.extend(of_client.may);
    verdict
}

fn judge_deed(model: &Model, asked: &Asked, times: Times) -> Verdict {
    let none = Verdict::default();
    let bucket_of = |name: &str| model.buckets.get(name);
    let name = match &asked.deed {
        Deed::CreateBucket { name, .. } => {
            return match bucket_of(name) {
                Some(bucket) => none.must(exists(bucket, &asked.who.owner())),
                None => none,
            };
        }
        Deed::Upkeep(upkeep) => return upkeep.judge(model, times),
        Deed::ListBuckets | Deed::PutConfig { .. } | Deed::GetConfig { .. } => return none,
        Deed::DeleteBucket { name } | Deed::HeadBucket { name } => name,
        Deed::SetDefault { bucket, .. } => bucket,
        Deed::List(wish) | Deed::ListVersions(wish) | Deed::ListUploads(wish) => &wish.bucket,
        other => match other.place() {
            Some(at) => &at.bucket,
            None => return none,
        },
    };
    match bucket_of(name) {
        None => none.must("NoSuchBucket"),
        Some(bucket) => in_bucket(model, bucket, asked, times),
    }
}

fn in_bucket(model: &Model, bucket: &Bucket, asked: &Asked, times: Times) -> Verdict {
    let none = Verdict::default();
    let rights = asked.who.rights;
    match &asked.deed {
        Deed::DeleteBucket { .. } if !bucket.is_empty() => none.must("BucketNotEmpty"),
        Deed::SetDefault { default, .. } => set_default(bucket, *default, rights),
        Deed::OpenPut {
            upload: None, lock, ..
        }
        | Deed::CreateUpload { lock, .. } => none
            .bound(bucket, lock.retention, times)
            .lock(bucket, *lock, times),
        Deed::Put {
            at,
            lock,
            conditions,
            at_once,
            ..
        } => {
            let verdict = none.conditions(bucket.keys.get(&at.key), conditions);
            // Bound and date of an upload in pieces were judged when it began.
            match *at_once {
                true => verdict
                    .bound(bucket, lock.retention, times)
                    .lock(bucket, *lock, times),
                false => verdict.granted(bucket, *lock),
            }
        }
        Deed::OpenPut {
            at,
            upload: Some(id),
            ..
        }
        | Deed::Part { at, upload: id, .. }
        | Deed::AbortUpload { at, upload: id }
        | Deed::ListParts { at, upload: id, .. } => match upload(bucket, at, *id) {
            None => none.must("NoSuchUpload"),
            Some(_) => none,
        },
        Deed::Complete {
            at,
            upload: id,
            parts,
            conditions,
        } => match upload(bucket, at, *id) {
            None if is_completed(bucket, at, *id, parts.len()) => none,
            None => none.must("NoSuchUpload"),
            Some(upload) => complete(bucket, at, upload, parts, conditions),
        },
        Deed::Delete {
            at,
            version: Some(version),
            bypass,
        } => {
            let key = bucket.keys.get(&at.key);
            match key.and_then(|key| key.version(*version)) {
                None => none,
                Some(version) => release(version, *bypass, rights, times),
            }
        }
        Deed::SetRetention {
            at,
            version,
            wanted,
            bypass,
        } => match find(model, at, *version) {
            Err(kind) => none.must(kind),
            Ok((bucket, version)) => {
                set_retention(bucket, version, *wanted, *bypass, rights, times)
            }
        },
        Deed::SetHold { at, version, on } => match find(model, at, *version) {
            Err(kind) => none.must(kind),
            Ok((bucket, _)) if !bucket.versioned() => none.must("NoLockOnBucket"),
            Ok((_, version)) if version.hold && !*on && !rights.hold_off => none.must("NeedsRight"),
            Ok(_) => none,
        },
        Deed::Head { at, version } => match find(model, at, *version) {
            Err(kind) => none.must(kind),
            Ok(_) => none,
        },
        Deed::OpenGet { at, version, range } => match find(model, at, *version) {
            Err(kind) => none.must(kind),
            Ok((_, version)) if bytes_of(*range, version.body.bytes()).is_none() => {
                none.must("Range")
            }
            Ok(_) => none,
        },
        _ => none,
    }
}

fn complete(
    bucket: &Bucket,
    at: &Place,
    upload: &Upload,
    parts: &[(u16, String)],
    conditions: &Conditions,
) -> Verdict {
    let none = Verdict::default();
    if parts.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return none.must("PartOrder");
    }
    for (place, (number, etag)) in parts.iter().enumerate() {
        match upload.parts.get(number) {
            Some(part) if part.etag == *etag => {
                if place + 1 < parts.len() && part.content.bytes < PART_BYTES_MIN {
                    return none.must("PartTooSmall");
                }
            }
            _ => return none.must("Part"),
        }
    }
    if parts.is_empty() {
        return none.must("Part");
    }
    none.conditions(bucket.keys.get(&at.key), conditions)
        .granted(bucket, upload.lock)
}

/// The time by which releases are judged is at most compliance time, and at least a day less.
fn holds(belief: &Belief, times: Times) -> Holds {
    belief.holds(times.since_ms.saturating_sub(DAY_MS), times.until_ms)
}

pub(super) fn release(version: &Version, bypass: bool, rights: Rights, times: Times) -> Verdict {
    let none = Verdict::default();
    if version.marker {
        return none;
    }
    if version.hold {
        return none.must("Held");
    }
    let holding = holds(&version.retention, times);
    match (version.retention.mode(), bypass, rights.governance_bypass) {
        (None, _, _) | (Some(Mode::Governance), true, true) => none,
        (Some(Mode::Governance), true, false) => none.holds(holding, "NeedsRight"),
        (Some(_), _, _) => none.holds(holding, "Locked"),
    }
}

fn set_retention(
    bucket: &Bucket,
    version: &Version,
    wanted: Option<Retention>,
    bypass: bool,
    rights: Rights,
    times: Times,
) -> Verdict {
    let none = Verdict::default();
    // What is kept for longer already may be said again.
    let dates = version.retention.dates();
    let longer = wanted.filter(|wanted| dates.is_none_or(|(least, _)| wanted.until.get() > least));
    let is_surely = dates.is_none_or(|(_, most)| longer.is_some_and(|new| new.until.get() > most));
    let mut verdict = none.date(wanted, times).bound(bucket, longer, times);
    if !is_surely && verdict.must.contains(&"BeyondBound") {
        verdict.must.retain(|kind| *kind != "BeyondBound");
        verdict.may.push("BeyondBound");
    }
    if !bucket.versioned() {
        return verdict.must("NoLockOnBucket");
    }
    let (Some(mode), Some((least, most))) = (version.retention.mode(), version.retention.dates())
    else {
        return verdict;
    };
    let same_mode = wanted
        .filter(|wanted| wanted.mode == mode)
        .map(|wanted| wanted.until.get());
    if same_mode.is_some_and(|until| until >= most) {
        return verdict;
    }
    let hardens = wanted.is_some_and(|wanted| wanted.mode == Mode::Compliance);
    let kind = match (mode, bypass, rights.governance_bypass) {
        (Mode::Governance, true, true) => return verdict,
        (Mode::Governance, true, false) => "NeedsRight",
        (Mode::Governance, false, _) if hardens => "Hardens",
        _ => "Weaker",
    };
    let mut holding = holds(&version.retention, times);
    // Where the very date is not known, neither is whether this one is earlier.
    if same_mode.is_some_and(|until| until >= least) && holding == Holds::Yes {
        holding = Holds::Maybe;
    }
    verdict.holds(holding, kind)
}

fn set_default(bucket: &Bucket, wanted: Option<(Mode, Period)>, rights: Rights) -> Verdict {
    let none = Verdict::default();
    let beyond = |(_, period): (Mode, Period)| {
        let max = bucket.max_days.map(u64::from);
        max.is_some_and(|max| days(period) > max)
    };
    let none = match wanted.is_some_and(beyond) {
        true => none.must("BeyondBound"),
        false => none,
    };
    if !bucket.versioned() {
        return none.must("NoLockOnBucket");
    }
    if wanted.is_some_and(|(_, period)| !is_valid(period)) {
        return none.must("PeriodInvalid");
    }
    let weaker = match (bucket.default, wanted) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some((mode, period)), Some((new_mode, new_period))) => {
            new_mode < mode || days(new_period) < days(period)
        }
    };
    if weaker && !rights.lock_admin {
        none.must("NeedsRight")
    } else {
        none
    }
}

/// Who has made a bucket is told so, and others that they cannot.
pub(super) fn exists(bucket: &Bucket, owner: &str) -> &'static str {
    match bucket.owner == owner {
        true => "BucketExists",
        false => "BucketTaken",
    }
}

/// Whether a default may be for so long.
pub(super) fn is_valid(period: Period) -> bool {
    match period {
        Period::Days(days) => (1..=36_500).contains(&days),
        Period::Years(years) => (1..=100).contains(&years),
    }
}

/// How many days a default is for.
pub(super) fn days(period: Period) -> u64 {
    match period {
        Period::Days(days) => u64::from(days),
        Period::Years(years) => u64::from(years) * 365,
    }
}

/// First byte and count of a range; none where it lies outside.
#[must_use]
pub fn bytes_of(range: Option<RangeWish>, bytes: u64) -> Option<(u64, u64)> {
    match range {
        None => Some((0, bytes)),
        Some(RangeWish::From(first, last)) => {
            let end = last.map_or(bytes, |last| last.saturating_add(1).min(bytes));
            (first < end).then(|| (first, end - first))
        }
        Some(RangeWish::Suffix(count)) => {
            let count = count.min(bytes);
            (count > 0).then(|| (bytes - count, count))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bytes_of;
    use stele_store::request::RangeWish;

    #[test]
    fn ranges_are_those_of_http() {
        for (range, bytes, expected) in [
            (None, 0, Some((0, 0))),
            (Some(RangeWish::From(2, Some(3))), 10, Some((2, 2))),
            (Some(RangeWish::From(2, Some(99))), 10, Some((2, 8))),
            (Some(RangeWish::From(3, Some(2))), 10, None),
            (Some(RangeWish::From(10, None)), 10, None),
            (Some(RangeWish::Suffix(3)), 10, Some((7, 3))),
            (Some(RangeWish::Suffix(0)), 10, None),
            (Some(RangeWish::Suffix(5)), 0, None),
        ] {
            assert_eq!(bytes_of(range, bytes), expected, "{range:?} of {bytes}");
        }
    }
}
