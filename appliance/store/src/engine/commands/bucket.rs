//! Buckets: create, show, delete, default retention.

use std::collections::BTreeMap;

use stele_format::record::{Body, ClientTag, RecordType};
use stele_format::units::{BucketId, ObjectId};

use super::{After, Facts, Outcome, bucket_info, list};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::view::{Stop, View};
use crate::index::rows::{BucketRow, Table};
use crate::index::{Fact, keys};
use crate::limits::{BUCKET_COUNT_MAX, BUCKET_MADE_COUNT_MAX, BUCKET_OF_CLIENT_COUNT_MAX};
use crate::policy::client::Place;
use crate::policy::lifecycle::takes_versions;
use crate::policy::limits::DEFAULT_RETENTION_DAYS_MAX;
use crate::policy::{
    Act, BucketKind, Grant, LifecycleRule, Mode, OwnerId, Period, PrefixRule, Rights,
    check_default_bound, check_lifecycle_rules, may_change_default, with_rule,
};
use crate::request::{Answer, Refusal};

/// The buckets the asker may touch, by name.
pub(crate) fn all(facts: &Facts<'_>) -> Answer {
    let seen = |row: &BucketRow| {
        let place = Place {
            name: &row.name,
            owner: &row.owner,
        };
        facts.asker.permits(Act::See, place, None).is_ok()
    };
    let mut buckets: Vec<_> = facts
        .buckets
        .iter()
        .filter(|(_, row)| !row.deleted && seen(row))
        .map(|(id, row)| bucket_info(*id, row))
        .collect();
    buckets.sort_by(|a, b| a.name.cmp(&b.name));
    Answer::Buckets(buckets)
}

/// One bucket.
pub(crate) fn head(facts: &Facts<'_>, name: &str) -> Result<Outcome, Stop> {
    let (id, row) = facts.bucket(name)?;
    Ok(Outcome::Answer(Answer::Bucket(bucket_info(id, row))))
}

/// A new bucket. The lock header yields `client-locked`; without it the vault's policy decides.
pub(crate) fn create(facts: &Facts<'_>, name: &str, lock: bool) -> Result<Outcome, Stop> {
    let kind = if lock {
        BucketKind::ClientLocked
    } else {
        facts.new_bucket.kind
    };
    let default = if kind == BucketKind::DefaultLocked {
        facts.new_bucket.default
    } else {
        None
    };
    make(facts, name, kind, default, Vec::new())
}

/// A new bucket with a default retention and rules for prefixes. No rule lowers anything: nothing is there yet.
pub(crate) fn create_in(
    facts: &Facts<'_>,
    name: &str,
    (mode, period): (Mode, Period),
    rules: &[PrefixRule],
) -> Result<Outcome, Stop> {
    let (kind, default) = (BucketKind::ClientLocked, Some((mode, period)));
    period.check()?;
    let mut given: Vec<PrefixRule> = Vec::new();
    for rule in rules {
        // One of them would count, and the other was meant as well.
        if given.iter().any(|before| before.prefix == rule.prefix) {
            return Err(crate::policy::Refusal::RuleTwice.into());
        }
        given = with_rule(default, &given, &rule.prefix, Some(rule.days), true)?;
    }
    make(facts, name, kind, default, given)
}

/// Whether one bucket more is not too many: for the vault, for its owner, and of all that this owner ever made. The last
/// is not asked of the vault itself, which helps out whoever made so many.
fn check_counts(
    buckets: &BTreeMap<BucketId, BucketRow>,
    owner: &OwnerId,
    by_client: bool,
) -> Result<(), Refusal> {
    let rows = || buckets.values();
    let of_owner = || rows().filter(|row| row.owner == *owner);
    let of_client = match *owner == OwnerId::default() {
        true => BUCKET_COUNT_MAX,
        false => BUCKET_OF_CLIENT_COUNT_MAX,
    };
    for (count, buckets_max) in [
        (rows().filter(|row| !row.deleted).count(), BUCKET_COUNT_MAX),
        (of_owner().filter(|row| !row.deleted).count(), of_client),
    ] {
        if count >= buckets_max as usize {
            return Err(Refusal::TooManyBuckets { buckets_max });
        }
    }
    let buckets_max = BUCKET_MADE_COUNT_MAX;
    if by_client && of_owner().count() >= buckets_max as usize {
        return Err(Refusal::TooManyBucketsMade { buckets_max });
    }
    Ok(())
}

/// The record of a new bucket, where its name is free.
fn make(
    facts: &Facts<'_>,
    name: &str,
    kind: BucketKind,
    default: Option<(Mode, Period)>,
    rules: Vec<PrefixRule>,
) -> Result<Outcome, Stop> {
    let owner = facts.asker.owner();
    if let Ok((_, row)) = facts.bucket(name) {
        return Err(if row.owner == owner {
            Refusal::BucketExists.into()
        } else {
            Refusal::BucketTaken.into()
        });
    }
    let by_client = facts.asker.client().is_some();
    check_counts(facts.buckets, &owner, by_client)?;
    let row = BucketRow {
        name: name.to_owned(),
        kind,
        default,
        created: facts.wall,
        owner,
        rules,
        lifecycle: Vec::new(),
        max_days: None,
        deleted: false,
    };
    let id = BucketId::new(facts.random[0]);
    let info = bucket_info(id, &row);
    Ok(Outcome::Write(
        vec![draft(facts, id, &row)],
        After::Bucket(info),
    ))
}

fn draft(facts: &Facts<'_>, id: BucketId, row: &BucketRow) -> Draft {
    Draft {
        origin: Origin::Request {
            id: facts.id,
            last: true,
        },
        kind: RecordType::Bucket,
        bucket: id,
        object: ObjectId::default(),
        version: VersionSlot::None,
        retention: None,
        hold: false,
        body: Body::Bucket,
        sealed: Sealed::BoxKey(crate::fact::bucket_body(row).encode().to_vec()),
        inline: None,
        client: ClientTag::NONE,
    }
}

/// Sets or clears the default retention: raising is free, lowering needs a right.
pub(crate) fn set_default(
    facts: &Facts<'_>,
    name: &str,
    default: Option<(Mode, Period)>,
    rights: Rights,
) -> Result<Outcome, Stop> {
    let (id, row) = facts.bucket(name)?;
    check_default_bound(row.max_days, default)?;
    facts.note(may_change_default(row.kind, row.default, default, rights)?);
    let changed = BucketRow {
        default,
        ..row.clone()
    };
    Ok(Outcome::Write(
        vec![draft(facts, id, &changed)],
        After::Done,
    ))
}

/// Sets or removes the default retention of keys with a prefix.
pub(crate) fn set_rule(
    facts: &Facts<'_>,
    name: &str,
    prefix: &[u8],
    days: Option<u32>,
) -> Result<Outcome, Stop> {
    let (id, row) = facts.bucket(name)?;
    let rules = with_rule(row.default, &row.rules, prefix, days, facts.evaluation)?;
    let changed = BucketRow {
        rules,
        ..row.clone()
    };
    Ok(Outcome::Write(
        vec![draft(facts, id, &changed)],
        After::Done,
    ))
}

/// Sets the most days of retention that clients may set, or takes the bound away. What is stored keeps its lock.
pub(crate) fn set_bound(
    facts: &Facts<'_>,
    name: &str,
    days_max: Option<u32>,
) -> Result<Outcome, Stop> {
    let (id, row) = facts.bucket(name)?;
    let fits = days_max.is_none_or(|days| (1..=DEFAULT_RETENTION_DAYS_MAX).contains(&days));
    if !fits || check_default_bound(days_max, row.default).is_err() {
        return Err(crate::policy::Refusal::BoundInvalid.into());
    }
    let changed = BucketRow {
        max_days: days_max,
        ..row.clone()
    };
    Ok(Outcome::Write(
        vec![draft(facts, id, &changed)],
        After::Done,
    ))
}

/// Sets when unfinished uploads are given up, and which versions go by themselves. Who has versions go must have the
/// rights to hide and to release them: the rule does it in the place of whoever set it.
pub(crate) fn set_lifecycle(
    facts: &Facts<'_>,
    name: &str,
    rules: &[LifecycleRule],
) -> Result<Outcome, Stop> {
    let (id, row) = facts.bucket(name)?;
    check_lifecycle_rules(rules)?;
    if rules.iter().any(takes_versions) {
        facts.asker.has(Grant::Delete)?;
        facts.asker.has(Grant::Release)?;
    }
    let changed = BucketRow {
        lifecycle: rules.to_vec(),
        ..row.clone()
    };
    Ok(Outcome::Write(
        vec![draft(facts, id, &changed)],
        After::Done,
    ))
}

/// Removes a bucket that shows nothing; released versions stay in the vault.
pub(crate) fn delete(facts: &Facts<'_>, view: &View<'_>, name: &str) -> Result<Outcome, Stop> {
    let (id, _) = facts.bucket(name)?;
    // First what may have to read much, which lets go of what was read before it.
    if list::shows_any(view, id)? || view.has_any(Table::UploadNames, keys::bucket(id))? {
        return Err(Refusal::BucketNotEmpty.into());
    }
    view.foresee(&Fact::BucketDeleted { id })?;
    let mut draft = Draft::of_engine(RecordType::BucketDelete, Body::BucketDelete);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.bucket = id;
    Ok(Outcome::Write(vec![draft], After::Done))
}

/// A configuration value under the box key.
pub(crate) fn put_config(facts: &Facts<'_>, name: &str, value: &[u8]) -> Outcome {
    let mut draft = Draft::of_engine(RecordType::Config, Body::Config);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.sealed = Sealed::BoxKey(crate::fact::config_body(name, value).encode().to_vec());
    Outcome::Write(vec![draft], After::Done)
}

/// Where a configuration value lies.
pub(crate) fn get_config(view: &View<'_>, name: &str) -> Result<Outcome, Stop> {
    let row: Option<crate::index::rows::ConfigRow> = view.row(keys::config(name))?;
    Ok(match row {
        None => Outcome::Answer(Answer::Config(None)),
        Some(row) => Outcome::Config(row.location),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_that_were_deleted_count_for_clients_and_not_for_the_vault() {
        let row = |number: u32| BucketRow {
            name: format!("b{number}"),
            kind: BucketKind::Plain,
            default: None,
            created: stele_format::units::UnixMillis::ZERO,
            owner: OwnerId::default(),
            rules: Vec::new(),
            lifecycle: Vec::new(),
            max_days: None,
            deleted: number > 1,
        };
        let numbered = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            (BucketId::new(id), row(number))
        };
        let mut buckets: BTreeMap<_, _> = (1..BUCKET_MADE_COUNT_MAX).map(numbered).collect();
        let check = |buckets: &BTreeMap<_, _>, by_client| {
            check_counts(buckets, &OwnerId::default(), by_client)
        };
        assert_eq!(check(&buckets, true), Ok(()));
        buckets.extend([numbered(BUCKET_MADE_COUNT_MAX)]);
        let buckets_max = BUCKET_MADE_COUNT_MAX;
        let made = Err(Refusal::TooManyBucketsMade { buckets_max });
        assert_eq!(check(&buckets, true), made);
        assert_eq!(check(&buckets, false), Ok(()));
    }
}
