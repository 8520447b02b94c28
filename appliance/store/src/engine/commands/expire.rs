//! Versions that a lifecycle rule has go: which they are, and what is done to one, a marker or a release as by a
//! client. Whether one goes is decided here, from the rows; whoever asks only says which, and where in its object.

use stele_format::record::ReleaseReason;
use stele_format::units::{BucketId, VersionId};

use super::delete::{marker, release};
use super::{After, Facts, Outcome, list};
use crate::engine::view::{Stop, View};
use crate::index::keys;
use crate::index::list::ListedVersion;
use crate::index::rows::{BucketRow, VersionRow};
use crate::policy::lifecycle::{Aging, Due, Place, due};
use crate::policy::limits::DAY_MS;
use crate::policy::{BucketKind, LifecycleRule, Refusal as Policy, Rights, may_release};
use crate::request::{Answer, Expiring, ListWish, ObjectName, Refusal, Walked};

/// Versions looked at in one question.
const LOOK_COUNT: u32 = 1_000;

/// Looks through a part of a bucket for versions that a rule has go, unless that was `done` on this day.
pub(crate) fn page(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &str,
    after: Option<&Walked>,
    done: Option<u64>,
) -> Result<Outcome, Stop> {
    let (bucket, row) = facts.bucket(name)?;
    let day = facts.asked.get() / DAY_MS;
    let mut walk = Walk {
        facts,
        bucket: row,
        walked: after.cloned(),
        due: Vec::new(),
        locked: 0,
    };
    let mut next = None;
    if done != Some(day) {
        let wish = ListWish {
            prefix: common_prefix(&row.lifecycle),
            after: after.map(|walked| walked.key.clone()),
            after_version: after.map(|walked| walked.version.to_string()),
            entries_max: LOOK_COUNT,
            ..ListWish::default()
        };
        let listed = list::versions(view, bucket, &wish)?;
        for row in &listed.rows {
            walk.take(row);
        }
        next = listed.next.is_some().then(|| walk.walked.clone()).flatten();
    }
    if next.is_none() {
        walk.leave();
    }
    Ok(Outcome::Answer(Answer::Expiring {
        due: walk.due,
        locked: walk.locked,
        day,
        next,
    }))
}

/// What all keys begin with that a rule is for.
fn common_prefix(rules: &[LifecycleRule]) -> Vec<u8> {
    let mut prefixes = rules.iter().filter(|rule| !rule.disabled);
    let mut common = prefixes
        .next()
        .map(|rule| rule.prefix.clone())
        .unwrap_or_default();
    for rule in prefixes {
        let same = common.iter().zip(&rule.prefix);
        let length = same.take_while(|(one, other)| one == other).count();
        common.truncate(length);
    }
    common
}

/// Goes through the versions of a bucket as they are listed: by key, the newest first.
struct Walk<'a> {
    facts: &'a Facts<'a>,
    bucket: &'a BucketRow,
    walked: Option<Walked>,
    due: Vec<Expiring>,
    locked: u64,
}

impl Walk<'_> {
    fn take(&mut self, listed: &ListedVersion) {
        let row = &listed.row;
        let before = self.walked.take_if(|walked| walked.key == listed.name);
        // Of another key: what was left of it is settled.
        self.leave();
        let mut walked = Walked {
            key: listed.name.clone(),
            version: row.version,
            stored: row.stored,
            noncurrent: before.as_ref().map_or(0, |before| before.noncurrent),
            lone: false,
        };
        let place = match &before {
            _ if listed.latest => Some(Place::Current { alone: true }),
            Some(before) => {
                let (since, newer) = (before.stored, before.noncurrent);
                walked.noncurrent = newer.saturating_add(1);
                Some(Place::Noncurrent { since, newer })
            }
            // What was newer went while it was looked for.
            None => None,
        };
        let deed = place.and_then(|place| {
            let aging = aging(&listed.name, row, place);
            due(&self.bucket.lifecycle, aging, self.facts.asked)
        });
        let next = before.map(|before| before.version);
        match deed {
            Some(_) if listed.latest && row.marker => walked.lone = true,
            Some(deed) => self.note(&walked.key, row, deed, next.filter(|_| !listed.latest)),
            None => {}
        }
        self.walked = Some(walked);
    }

    fn note(&mut self, key: &[u8], row: &VersionRow, deed: Due, next: Option<VersionId>) {
        if releases(self.bucket, deed) && is_free(self.facts, row).is_err() {
            self.locked += 1;
            return;
        }
        self.due.push(Expiring {
            key: key.to_vec(),
            version: row.version,
            next,
        });
    }

    /// Leaves a key: the marker that stood before nothing is alone.
    fn leave(&mut self) {
        if let Some(walked) = self.walked.take().filter(|walked| walked.lone) {
            self.due.push(Expiring {
                key: walked.key,
                version: walked.version,
                next: None,
            });
        }
    }
}

fn aging<'a>(key: &'a [u8], row: &VersionRow, place: Place) -> Aging<'a> {
    Aging {
        key,
        content_bytes: row.content_bytes.get(),
        marker: row.marker,
        stored: row.stored,
        place,
    }
}

/// Whether it goes out of S3 itself, and not under a marker.
fn releases(bucket: &BucketRow, deed: Due) -> bool {
    deed == Due::Release || bucket.kind == BucketKind::Plain
}

/// No rule has the right to what some clients may.
fn is_free(facts: &Facts<'_>, row: &VersionRow) -> Result<(), Refusal> {
    let lock = facts.lock_of(row);
    facts.note(may_release(lock, false, Rights::default(), facts.time)?);
    Ok(())
}

/// Has a version go that a rule of its bucket says goes by now: the current one, or one before `next`.
pub(crate) fn expire(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: VersionId,
    next: Option<VersionId>,
) -> Result<Outcome, Stop> {
    let (bucket, row) = facts.bucket(&name.bucket)?;
    let not_due = || Stop::from(Refusal::from(Policy::NotDue));
    let object = view.name(bucket, &name.key)?.ok_or_else(not_due)?;
    let this = view.version(object.object, version)?.ok_or_else(not_due)?;
    let is_current = object.current.is_some_and(|row| row.version == version);
    let place = match next {
        None if is_current => Place::Current {
            alone: this.marker && list::newest(view, bucket, &name.key, 2)?.len() < 2,
        },
        // The next one may have been released since: it is from when it was stored that this is not current.
        Some(next) if !is_current && next > version => {
            let next_row: Option<VersionRow> = view.row(keys::version(object.object, next))?;
            let since = next_row
                .filter(|row| row.version == next)
                .ok_or_else(not_due)?
                .stored;
            let newer = newer(view, (bucket, row), name, version)?;
            Place::Noncurrent { since, newer }
        }
        _ => return Err(not_due()),
    };
    let aging = aging(&name.key, &this, place);
    let deed = due(&row.lifecycle, aging, facts.asked).ok_or_else(not_due)?;
    let versioned = row.kind != BucketKind::Plain;
    if !releases(row, deed) {
        let draft = marker(facts, bucket, object.object, &name.key);
        let first = false;
        return Ok(Outcome::Write(
            vec![draft],
            After::Marker { versioned, first },
        ));
    }
    is_free(facts, &this)?;
    let why = ReleaseReason::Expired;
    let draft = release(facts, view, bucket, object.object, version, why, true)?;
    let after = After::Deleted {
        marker: this.marker,
        version: Some(version),
        versioned,
    };
    Ok(Outcome::Write(vec![draft], after))
}

/// How many newer versions that are not current its key shows, as far as a rule asks: what is not among the first
/// has all of them before it.
fn newer(
    view: &View<'_>,
    (bucket, row): (BucketId, &BucketRow),
    name: &ObjectName,
    version: VersionId,
) -> Result<u32, Stop> {
    let kept = row.lifecycle.iter().filter_map(|rule| rule.noncurrent);
    let kept = kept.map(|wish| wish.kept).max().unwrap_or_default();
    if kept == 0 {
        return Ok(0);
    }
    let newest = list::newest(view, bucket, &name.key, kept.saturating_add(1))?;
    let before = newest.iter().take_while(|(id, _)| *id != version);
    let newer = before.filter(|(_, is_current)| !is_current).count();
    Ok(u32::try_from(newer).unwrap_or(u32::MAX))
}
