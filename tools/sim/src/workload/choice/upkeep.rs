//! Rules of buckets, what goes by them, tags, releases that are taken back, and a clock that is set forward.

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{
    CurrentExpiry, FilterForm, LifecycleRule, Mode, NoncurrentExpiry, Period, PrefixRule,
};
use stele_store::request::{Command, ListWish};

use super::{BUCKETS, Operation, bucket_of, listing, version};
use crate::context::Context;
use crate::limits::DAY_MS;
use crate::oracle::Oracle;
use crate::oracle::deed::Deed;
use crate::oracle::model::Place;
use crate::oracle::upkeep::Upkeep;
use crate::swarm::Swarm;
use crate::workload::task::{Task, name_of};

const PREFIXES: [&str; 5] = ["a", "a/", "locks/", "snapshots/", "dump"];

/// One of them.
pub(super) fn operation(
    context: &mut Context,
    oracle: &Oracle,
    swarm: &Swarm,
    at: Place,
) -> Operation {
    let bucket = at.bucket.clone();
    let upkeep = match context.rng.below(20) {
        0..=3 => set_tags(context, oracle, at),
        4..=5 => set_rule(context, oracle, &at),
        6 => set_bound(context, bucket),
        7..=8 => set_lifecycle(context, bucket),
        9..=10 => Upkeep::ListExpiring { bucket },
        11..=13 => expire(context, oracle, at),
        14 => Upkeep::ListReleased(ListWish {
            // Nobody rolls up what was released.
            delimiter: None,
            ..listing::wish(context, oracle, &at)
        }),
        15 => Upkeep::ListOldUploads,
        16 => create_in(context),
        // People's dates are worked out for a time that goes on by itself.
        17 if !swarm.people => advance(context),
        18..=19 => unrelease(context, oracle, at),
        _ => Upkeep::ListExpiring { bucket },
    };
    (Task::Single, command(&upkeep), Some(Deed::Upkeep(upkeep)))
}

fn command(upkeep: &Upkeep) -> Command {
    match upkeep.clone() {
        Upkeep::CreateIn {
            name,
            default,
            rules,
        } => Command::CreateBucketIn {
            name,
            default,
            rules,
        },
        Upkeep::SetRule {
            bucket,
            prefix,
            days,
        } => Command::SetRule {
            bucket,
            prefix,
            days,
        },
        Upkeep::SetBound { bucket, days_max } => Command::SetBound { bucket, days_max },
        Upkeep::SetLifecycle { bucket, rules } => Command::SetLifecycle { bucket, rules },
        Upkeep::ListExpiring { bucket } => Command::ListExpiring {
            bucket,
            after: None,
            done: None,
        },
        Upkeep::Expire { at, version, next } => Command::Expire {
            name: name_of(&at),
            version,
            next,
        },
        Upkeep::Unrelease { at, version } => Command::Unrelease {
            name: name_of(&at),
            version,
        },
        Upkeep::ListReleased(wish) => Command::ListReleased(wish),
        Upkeep::SetTags { at, version, tags } => Command::SetTags {
            name: name_of(&at),
            version,
            tags,
        },
        Upkeep::ListOldUploads => Command::ListOldUploads { after: None },
        Upkeep::AdvanceClock { by_ms } => Command::AdvanceClock { by_ms },
    }
}

fn set_tags(context: &mut Context, oracle: &Oracle, at: Place) -> Upkeep {
    let version = version(context, oracle, &at);
    let count = context.rng.below(3);
    let value = context.rng.below(100).to_string();
    let tags = (0..count).map(|at| (format!("tag{at}"), value.clone()));
    let tags = tags.collect();
    Upkeep::SetTags { at, version, tags }
}

fn prefix(context: &mut Context) -> Vec<u8> {
    let prefix = context.rng.pick(&PREFIXES).copied();
    prefix.unwrap_or_default().as_bytes().to_vec()
}

fn few_days(context: &mut Context) -> u32 {
    u32::try_from(context.rng.below(6)).unwrap_or(1)
}

fn set_rule(context: &mut Context, oracle: &Oracle, at: &Place) -> Upkeep {
    let known = bucket_of(oracle, at).map(|bucket| bucket.rules.clone());
    let known = known.unwrap_or_default();
    let bucket = at.bucket.clone();
    match context.rng.pick(&known) {
        Some(rule) if context.rng.permille(400) => Upkeep::SetRule {
            bucket,
            prefix: rule.prefix.clone(),
            days: None,
        },
        _ => Upkeep::SetRule {
            bucket,
            prefix: prefix(context),
            days: (!context.rng.permille(100)).then(|| few_days(context)),
        },
    }
}

fn set_bound(context: &mut Context, bucket: String) -> Upkeep {
    let days_max = match context.rng.below(3) {
        0 => None,
        1 => Some(few_days(context)),
        _ => Some(u32::try_from(context.rng.between(20, 800)).unwrap_or(20)),
    };
    Upkeep::SetBound { bucket, days_max }
}

fn set_lifecycle(context: &mut Context, bucket: String) -> Upkeep {
    let count = context.rng.below(4);
    let mut rules: Vec<LifecycleRule> = (0..count).map(|at| rule(context, at)).collect();
    if count > 1 && context.rng.permille(50) {
        let id = rules[0].id.clone();
        rules[1].id = id;
    }
    Upkeep::SetLifecycle { bucket, rules }
}

fn rule(context: &mut Context, number: u64) -> LifecycleRule {
    let now = context.compliance_ms();
    let mut rule = LifecycleRule {
        id: format!("rule{number}"),
        form: FilterForm::AndPrefix,
        prefix: match context.rng.permille(500) {
            true => prefix(context),
            false => Vec::new(),
        },
        bytes_min: 0,
        bytes_below: 0,
        disabled: context.rng.permille(50),
        upload_days: None,
        current: None,
        noncurrent: None,
    };
    match context.rng.below(8) {
        0 => rule.upload_days = Some(few_days(context)),
        1 => rule.current = Some(CurrentExpiry::LoneMarker),
        2 => {
            let days = context.rng.below(3) * DAY_MS;
            rule.current = Some(CurrentExpiry::From(UnixMillis::new(
                now.saturating_add(days) / DAY_MS * DAY_MS,
            )));
        }
        3..=4 => rule.current = Some(CurrentExpiry::Days(few_days(context))),
        _ => {
            let (days, kept) = (few_days(context), context.rng.below(3));
            let kept = u32::try_from(kept).unwrap_or(0);
            rule.noncurrent = Some(NoncurrentExpiry { days, kept });
        }
    }
    let sized = rule.upload_days.is_none() && rule.current != Some(CurrentExpiry::LoneMarker);
    if sized && context.rng.permille(150) {
        rule.bytes_below = context.rng.magnitude(6_000);
    }
    rule
}

/// Most of what is asked for stands as a rule would have it go.
fn expire(context: &mut Context, oracle: &Oracle, at: Place) -> Upkeep {
    let versions = oracle.model.key(&at).map(|key| key.versions.clone());
    let versions = versions.unwrap_or_default();
    let place = context.rng.index(versions.len().max(1));
    let next = versions.get(place + 1).map(|next| next.id);
    let next = match context.rng.below(12) {
        0 => None,
        1 => versions.last().map(|last| last.id),
        _ => next,
    };
    let known = versions.get(place).map(|version| version.id);
    let version = match known {
        Some(known) if !context.rng.permille(30) => known,
        _ => version(context, oracle, &at).unwrap_or(VersionId::from_bytes([9; 16])),
    };
    Upkeep::Expire { at, version, next }
}

fn unrelease(context: &mut Context, oracle: &Oracle, at: Place) -> Upkeep {
    let key = oracle.model.key(&at);
    let released: Vec<VersionId> = key
        .map(|key| key.released.keys().copied().collect())
        .unwrap_or_default();
    let version = match context.rng.pick(&released) {
        Some(known) if !context.rng.permille(100) => *known,
        _ => version(context, oracle, &at).unwrap_or(VersionId::from_bytes([9; 16])),
    };
    Upkeep::Unrelease { at, version }
}

fn create_in(context: &mut Context) -> Upkeep {
    let name = context.rng.pick(&BUCKETS).copied().unwrap_or("alpha");
    let mode = match context.rng.permille(500) {
        true => Mode::Governance,
        false => Mode::Compliance,
    };
    let period = Period::Days(few_days(context));
    let count = context.rng.below(3);
    let rules = (0..count).map(|_| PrefixRule {
        prefix: prefix(context),
        days: few_days(context),
    });
    Upkeep::CreateIn {
        name: name.to_owned(),
        rules: rules.collect(),
        default: (mode, period),
    }
}

fn advance(context: &mut Context) -> Upkeep {
    let by_ms = match context.rng.below(3) {
        0 => context.rng.magnitude(DAY_MS),
        _ => context.rng.magnitude(4 * DAY_MS),
    };
    Upkeep::AdvanceClock { by_ms }
}
