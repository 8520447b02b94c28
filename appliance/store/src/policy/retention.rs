//! The Object Lock tables: what lock a new version gets, and who may change or release what.
//!
//! All functions are pure: state, wish and time in, permission or [`Refusal`] out. "Holds" always
//! means: the retain-until date is later than [`EffectiveTime::release`], the earlier of both
//! clocks. A permission says which special right it took, because each use of one must alarm.

use stele_format::units::UnixMillis;

use super::clock::EffectiveTime;
use super::limits::RETAIN_UNTIL_AHEAD_MS_MAX;
use super::types::{BucketKind, BucketPolicy, Mode, Period, Refusal, Retention, Right, Rights};

/// Permission, and the special right it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a special right that was used must alarm"]
pub struct Allowed {
    /// The right without which this would have been refused.
    pub used: Option<Right>,
}

impl Allowed {
    const FREELY: Allowed = Allowed { used: None };

    const fn by(right: Right) -> Allowed {
        Allowed { used: Some(right) }
    }
}

/// The lock a new version starts with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InitialLock {
    /// Its retention.
    pub retention: Option<Retention>,
    /// Its hold; none if it was never set.
    pub hold: Option<bool>,
}

/// What policy needs to know of an existing version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionLock {
    /// It is a delete marker, which no lock protects.
    pub marker: bool,
    /// Its retention, expired or not.
    pub retention: Option<Retention>,
    /// Whether its legal hold is ON.
    pub hold: bool,
    /// It was stored before a place where the log lost records: one of those may have held it, or kept it longer.
    pub doubted: bool,
}

/// The lock of a version made now (for multipart: completed now) in a bucket of this policy, when
/// the client wished for `retention` and `hold`.
///
/// A wished retention wins over the bucket's default, even a shorter one; whichever applies is then
/// raised to the vault's floor, keeping its mode. Where neither is given, a floor applies as
/// COMPLIANCE. Default and floor count from the later clock. Where the wished date lies is judged by
/// [`check_date`] when the upload begins, and not once more when it ends, perhaps after that date.
///
/// # Errors
/// [`Refusal::NoLockOnBucket`] for any wish on a plain bucket.
pub fn initial_lock(
    policy: &BucketPolicy,
    retention: Option<Retention>,
    hold: Option<bool>,
    time: EffectiveTime,
) -> Result<InitialLock, Refusal> {
    if !policy.kind.has_lock() {
        return match (retention, hold) {
            (None, None) => Ok(InitialLock::default()),
            _ => Err(Refusal::NoLockOnBucket),
        };
    }
    let default = policy
        .default
        .map(|(mode, period)| after(mode, time.lock, period.millis()));
    let floor = after(Mode::Compliance, time.lock, policy.floor_ms);
    let floor = (policy.floor_ms > 0).then_some(floor);
    let retention = match (retention.or(default), floor) {
        (Some(chosen), Some(floor)) => Some(Retention {
            until: chosen.until.max(floor.until),
            ..chosen
        }),
        (chosen, floor) => chosen.or(floor),
    };
    Ok(InitialLock { retention, hold })
}

/// Refuses a retain-until date that is not later than the later clock, or more than 100 years
/// ahead of it.
///
/// # Errors
/// [`Refusal::DatePast`], [`Refusal::DateTooFar`].
pub fn check_date(until: UnixMillis, time: EffectiveTime) -> Result<(), Refusal> {
    if until <= time.lock {
        return Err(Refusal::DatePast);
    }
    if until.get() - time.lock.get() > RETAIN_UNTIL_AHEAD_MS_MAX {
        return Err(Refusal::DateTooFar);
    }
    Ok(())
}

/// Refuses a date of a client that lies further ahead of the later clock than the bucket allows.
///
/// # Errors
/// [`Refusal::BeyondBound`].
pub fn check_bound(
    days_max: Option<u32>,
    until: UnixMillis,
    time: EffectiveTime,
) -> Result<(), Refusal> {
    let Some(days_max) = days_max else {
        return Ok(());
    };
    let ahead = until.get().saturating_sub(time.lock.get());
    if ahead <= Period::Days(days_max).millis() {
        Ok(())
    } else {
        Err(Refusal::BeyondBound { days_max })
    }
}

/// Whether a default retention keeps within the bucket's bound.
///
/// # Errors
/// [`Refusal::BeyondBound`].
pub fn check_default_bound(
    days_max: Option<u32>,
    default: Option<(Mode, Period)>,
) -> Result<(), Refusal> {
    match (days_max, default) {
        (Some(days_max), Some((_, period)))
            if period.millis() > Period::Days(days_max).millis() =>
        {
            Err(Refusal::BeyondBound { days_max })
        }
        _ => Ok(()),
    }
}

/// May the retention of a version of a bucket of kind `kind` go from `current` to `wanted` (none
/// removes it)?
///
/// Extending in the same mode is free, and so is everything where no retention holds. Under
/// GOVERNANCE all else needs `bypass` asked for and the right to it. Under COMPLIANCE all else is
/// refused whoever asks.
///
/// # Errors
/// [`Refusal::NoLockOnBucket`], [`Refusal::DatePast`], [`Refusal::DateTooFar`],
/// [`Refusal::Weaker`] (under COMPLIANCE, or GOVERNANCE without `bypass`),
/// [`Refusal::GovernanceToComplianceNeedsRight`], [`Refusal::NeedsRight`] (bypass without right).
pub fn may_change(
    kind: BucketKind,
    current: Option<Retention>,
    wanted: Option<Retention>,
    bypass: bool,
    rights: Rights,
    time: EffectiveTime,
) -> Result<Allowed, Refusal> {
    if !kind.has_lock() {
        return Err(Refusal::NoLockOnBucket);
    }
    if let Some(wanted) = wanted {
        check_date(wanted.until, time)?;
    }
    let Some(holding) = current.filter(|current| current.holds_at(time.release)) else {
        return Ok(Allowed::FREELY);
    };
    if wanted.is_some_and(|wanted| wanted.mode == holding.mode && wanted.until >= holding.until) {
        return Ok(Allowed::FREELY);
    }
    let Retention { mode, until } = holding;
    let hardens = wanted.is_some_and(|wanted| wanted.mode == Mode::Compliance);
    match mode {
        Mode::Compliance => Err(Refusal::Weaker { mode, until }),
        Mode::Governance if bypass => take(Right::GovernanceBypass, rights),
        Mode::Governance if hardens => Err(Refusal::GovernanceToComplianceNeedsRight),
        Mode::Governance => Err(Refusal::Weaker { mode, until }),
    }
}

/// May a version be released, that is, leave every S3 listing until people bring it back?
///
/// Markers always may. A hold stops everybody, COMPLIANCE stops everybody until its date, and
/// GOVERNANCE yields to `bypass` with the right to it.
///
/// # Errors
/// [`Refusal::Held`], [`Refusal::Locked`], [`Refusal::NeedsRight`] (bypass without right).
pub fn may_release(
    version: VersionLock,
    bypass: bool,
    rights: Rights,
    time: EffectiveTime,
) -> Result<Allowed, Refusal> {
    if version.marker {
        return Ok(Allowed::FREELY);
    }
    if version.hold {
        return Err(Refusal::Held);
    }
    match version
        .retention
        .filter(|retention| retention.holds_at(time.release))
    {
        None => Ok(Allowed::FREELY),
        Some(Retention {
            mode: Mode::Governance,
            ..
        }) if bypass => take(Right::GovernanceBypass, rights),
        Some(Retention { mode, until }) => Err(Refusal::Locked { mode, until }),
    }
}

/// May the legal hold of a version go from `current` (ON = true) to `on`?
///
/// ON is free for everybody; OFF where the hold is ON needs the right, else it changes nothing.
///
/// # Errors
/// [`Refusal::NoLockOnBucket`], [`Refusal::NeedsRight`].
pub fn may_set_hold(
    kind: BucketKind,
    current: bool,
    on: bool,
    rights: Rights,
) -> Result<Allowed, Refusal> {
    if !kind.has_lock() {
        return Err(Refusal::NoLockOnBucket);
    }
    if current && !on {
        take(Right::HoldOff, rights)
    } else {
        Ok(Allowed::FREELY)
    }
}

/// May the default retention of a bucket go from `current` to `wanted` (none clears it)? It touches
/// later versions only.
///
/// Free if `wanted` is at least as long and at least as firm.
///
/// # Errors
/// [`Refusal::NoLockOnBucket`], [`Refusal::PeriodInvalid`], [`Refusal::NeedsRight`].
pub fn may_change_default(
    kind: BucketKind,
    current: Option<(Mode, Period)>,
    wanted: Option<(Mode, Period)>,
    rights: Rights,
) -> Result<Allowed, Refusal> {
    if !kind.has_lock() {
        return Err(Refusal::NoLockOnBucket);
    }
    if let Some((_, period)) = wanted {
        period.check()?;
    }
    let free = match (current, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((mode, period)), Some((wanted_mode, wanted_period))) => {
            wanted_mode >= mode && wanted_period.millis() >= period.millis()
        }
    };
    if free {
        Ok(Allowed::FREELY)
    } else {
        take(Right::LockAdmin, rights)
    }
}

fn take(right: Right, rights: Rights) -> Result<Allowed, Refusal> {
    if rights.has(right) {
        Ok(Allowed::by(right))
    } else {
        Err(Refusal::NeedsRight(right))
    }
}

fn after(mode: Mode, start: UnixMillis, period_ms: u64) -> Retention {
    Retention {
        mode,
        until: UnixMillis::new(start.get().saturating_add(period_ms)),
    }
}
