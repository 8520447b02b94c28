//! The Object Lock tables, checked over every combination of a small world.
//!
//! Dates are days around NOW, clocks agree unless a test moves them. The expectations are written
//! as S3 states them, not as the code computes them.

use stele_format::units::UnixMillis;

use super::clock::{EffectiveTime, effective_time};
use super::limits::{DAY_MS, RETAIN_UNTIL_AHEAD_MS_MAX};
use super::retention::{
    Allowed, InitialLock, VersionLock, check_date, initial_lock, may_change, may_change_default,
    may_release, may_set_hold,
};
use super::types::{BucketKind, BucketPolicy, Mode, Period, Refusal, Retention, Right, Rights};

const NOW: u64 = 20_000 * DAY_MS;
const MODES: [Mode; 2] = [Mode::Governance, Mode::Compliance];
const LOCKING: [BucketKind; 2] = [BucketKind::DefaultLocked, BucketKind::ClientLocked];
const FREE: Result<Allowed, Refusal> = Ok(Allowed { used: None });

fn now() -> EffectiveTime {
    effective_time(UnixMillis::new(NOW), UnixMillis::new(NOW))
}

/// Retention until `day` days after now.
fn lock(mode: Mode, day: i64) -> Retention {
    let until = NOW
        .checked_add_signed(day * DAY_MS.cast_signed())
        .expect("near now");
    Retention {
        mode,
        until: UnixMillis::new(until),
    }
}

fn all_rights() -> impl Iterator<Item = Rights> {
    (0..8u8).map(|bits| Rights {
        governance_bypass: bits & 1 != 0,
        hold_off: bits & 2 != 0,
        lock_admin: bits & 4 != 0,
    })
}

fn used(right: Right) -> Result<Allowed, Refusal> {
    Ok(Allowed { used: Some(right) })
}

/// Every retention a version can have or a client can want: none, and each mode on each day.
fn retentions(days: &[i64]) -> Vec<Option<Retention>> {
    let dated = MODES
        .iter()
        .flat_map(|mode| days.iter().map(|day| Some(lock(*mode, *day))));
    std::iter::once(None).chain(dated).collect()
}

/// What S3 says about a change, in the order a reader would check it.
fn change_as_specified(
    current: Option<Retention>,
    wanted: Option<Retention>,
    bypass: bool,
    may_bypass: bool,
) -> Result<Allowed, Refusal> {
    if wanted.is_some_and(|wanted| wanted.until.get() <= NOW) {
        return Err(Refusal::DatePast);
    }
    let (mode, until) = match current {
        Some(current) if current.until.get() > NOW => (current.mode, current.until),
        _ => return FREE,
    };
    match (
        mode,
        wanted.map(|wanted| (wanted.mode, wanted.until >= until)),
    ) {
        (Mode::Governance, Some((Mode::Governance, true))) => FREE,
        (Mode::Compliance, Some((Mode::Compliance, true))) => FREE,
        (Mode::Compliance, _) => Err(Refusal::Weaker { mode, until }),
        (Mode::Governance, _) if bypass && may_bypass => used(Right::GovernanceBypass),
        (Mode::Governance, _) if bypass => Err(Refusal::NeedsRight(Right::GovernanceBypass)),
        (Mode::Governance, Some((Mode::Compliance, _))) => {
            Err(Refusal::GovernanceToComplianceNeedsRight)
        }
        (Mode::Governance, _) => Err(Refusal::Weaker { mode, until }),
    }
}

#[test]
fn every_change_of_retention_is_decided_as_specified() {
    let mut seen = 0;
    for current in retentions(&[-2, -1, 0, 1, 5, 10]) {
        for wanted in retentions(&[-1, 0, 1, 5, 10, 100]) {
            for bypass in [false, true] {
                for rights in all_rights() {
                    for kind in LOCKING {
                        let got = may_change(kind, current, wanted, bypass, rights, now());
                        let specified =
                            change_as_specified(current, wanted, bypass, rights.governance_bypass);
                        assert_eq!(got, specified, "{current:?} {wanted:?} {bypass} {rights:?}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert_eq!(seen, 13 * 13 * 2 * 8 * 2);
}

#[test]
fn no_right_weakens_compliance_before_its_date() {
    for wanted in retentions(&[1, 5, 9, 10, 11]) {
        for rights in all_rights() {
            let current = lock(Mode::Compliance, 10);
            let got = may_change(
                BucketKind::ClientLocked,
                Some(current),
                wanted,
                true,
                rights,
                now(),
            );
            let extends =
                wanted.is_some_and(|w| w.mode == Mode::Compliance && w.until >= current.until);
            assert_eq!(got.is_ok(), extends, "{wanted:?} {rights:?}");
        }
    }
}

#[test]
fn every_release_is_decided_as_specified() {
    for retention in retentions(&[-1, 0, 1, 100]) {
        for (marker, hold) in [(false, false), (false, true), (true, false), (true, true)] {
            for (bypass, rights) in [false, true]
                .into_iter()
                .flat_map(|bypass| all_rights().map(move |rights| (bypass, rights)))
            {
                let version = VersionLock {
                    marker,
                    retention,
                    hold,
                    ..VersionLock::default()
                };
                let held = retention.filter(|retention| retention.until.get() > NOW);
                let specified = match (marker, hold, held) {
                    (true, _, _) | (false, false, None) => FREE,
                    (false, true, _) => Err(Refusal::Held),
                    (
                        false,
                        false,
                        Some(Retention {
                            mode: Mode::Governance,
                            ..
                        }),
                    ) if bypass => match rights.governance_bypass {
                        true => used(Right::GovernanceBypass),
                        false => Err(Refusal::NeedsRight(Right::GovernanceBypass)),
                    },
                    (false, false, Some(Retention { mode, until })) => {
                        Err(Refusal::Locked { mode, until })
                    }
                };
                let got = may_release(version, bypass, rights, now());
                assert_eq!(got, specified, "{version:?} {bypass} {rights:?}");
            }
        }
    }
}

#[test]
fn releases_wait_for_the_slower_clock() {
    let version = VersionLock {
        retention: Some(lock(Mode::Compliance, 0)),
        ..Default::default()
    };
    let due = UnixMillis::new(NOW);
    let early = UnixMillis::new(NOW - 1);
    for (compliance, wall, free) in [
        (due, due, true),
        (early, due, false),
        (due, early, false),
        (early, early, false),
    ] {
        let got = may_release(
            version,
            false,
            Rights::default(),
            effective_time(compliance, wall),
        );
        assert_eq!(got.is_ok(), free, "{compliance:?} {wall:?}");
    }
    let decades_ahead = effective_time(early, UnixMillis::new(NOW + 30_000 * DAY_MS));
    assert!(may_release(version, false, Rights::default(), decades_ahead).is_err());
}

#[test]
fn retention_gives_way_only_when_the_slower_clock_has_passed_it() {
    let mode = Mode::Compliance;
    let until = UnixMillis::new(NOW);
    let current = Some(Retention { mode, until });
    for (compliance, wall, expired) in [
        (NOW, NOW, true),
        (NOW - 1, NOW, false),
        (NOW, NOW - 1, false),
        (NOW - 1, u64::MAX, false),
    ] {
        let time = effective_time(UnixMillis::new(compliance), UnixMillis::new(wall));
        let weaker = Some(lock(Mode::Governance, 9));
        for wanted in [None, weaker] {
            let got = may_change(
                BucketKind::ClientLocked,
                current,
                wanted,
                false,
                Rights::default(),
                time,
            );
            let specified = if expired {
                FREE
            } else {
                Err(Refusal::Weaker { mode, until })
            };
            assert_eq!(got, specified, "{compliance} {wall} {wanted:?}");
        }
    }
}

#[test]
fn holds_go_on_freely_and_off_only_by_right() {
    for rights in all_rights() {
        for (current, on) in [(false, false), (false, true), (true, false), (true, true)] {
            let specified = match (current, on, rights.hold_off) {
                (true, false, true) => used(Right::HoldOff),
                (true, false, false) => Err(Refusal::NeedsRight(Right::HoldOff)),
                _ => FREE,
            };
            for kind in LOCKING {
                assert_eq!(may_set_hold(kind, current, on, rights), specified);
            }
            assert_eq!(
                may_set_hold(BucketKind::Plain, current, on, rights),
                Err(Refusal::NoLockOnBucket)
            );
        }
    }
}

#[test]
fn defaults_are_raised_freely_and_lowered_only_by_right() {
    use Mode::{Compliance, Governance};
    use Period::{Days, Years};
    // (current, wanted, is a raise)
    let table = [
        (None, None, true),
        (None, Some((Governance, Days(1))), true),
        (Some((Governance, Days(1))), None, false),
        (
            Some((Governance, Days(1))),
            Some((Governance, Days(1))),
            true,
        ),
        (
            Some((Governance, Days(2))),
            Some((Governance, Days(1))),
            false,
        ),
        (
            Some((Governance, Days(1))),
            Some((Compliance, Days(1))),
            true,
        ),
        (
            Some((Governance, Days(2))),
            Some((Compliance, Days(1))),
            false,
        ),
        (
            Some((Compliance, Days(1))),
            Some((Governance, Days(9))),
            false,
        ),
        (
            Some((Compliance, Days(365))),
            Some((Compliance, Years(1))),
            true,
        ),
        (
            Some((Compliance, Years(1))),
            Some((Compliance, Days(364))),
            false,
        ),
    ];
    for (current, wanted, raise) in table {
        for rights in all_rights() {
            let specified = match (raise, rights.lock_admin) {
                (true, _) => FREE,
                (false, true) => used(Right::LockAdmin),
                (false, false) => Err(Refusal::NeedsRight(Right::LockAdmin)),
            };
            for kind in LOCKING {
                let got = may_change_default(kind, current, wanted, rights);
                assert_eq!(got, specified, "{current:?} {wanted:?}");
            }
            let plain = may_change_default(BucketKind::Plain, current, wanted, rights);
            assert_eq!(plain, Err(Refusal::NoLockOnBucket));
        }
    }
}

#[test]
fn default_periods_outside_their_limits_are_refused() {
    let table = [
        (Period::Days(0), false),
        (Period::Days(1), true),
        (Period::Days(36_500), true),
        (Period::Days(36_501), false),
        (Period::Years(0), false),
        (Period::Years(100), true),
        (Period::Years(101), false),
        (Period::Days(u32::MAX), false),
        (Period::Years(u32::MAX), false),
    ];
    for (period, fits) in table {
        let wanted = Some((Mode::Compliance, period));
        let got = may_change_default(BucketKind::ClientLocked, None, wanted, Rights::default());
        assert_eq!(
            got,
            if fits {
                FREE
            } else {
                Err(Refusal::PeriodInvalid)
            },
            "{period:?}"
        );
    }
}

#[test]
fn periods_count_days_of_24_hours_and_years_of_365_days() {
    assert_eq!(Period::Days(1).millis(), 86_400_000);
    assert_eq!(Period::Years(1).millis(), Period::Days(365).millis());
    assert_eq!(Period::Years(u32::MAX).millis(), u64::MAX);
}

#[test]
fn a_new_version_gets_the_clients_lock_else_the_default_raised_to_the_floor() {
    use Mode::{Compliance, Governance};
    let two_days = Some((Governance, Period::Days(2)));
    // (default, floor in days, wished, got)
    let table = [
        (None, 0, None, None),
        (
            None,
            0,
            Some(lock(Governance, 3)),
            Some(lock(Governance, 3)),
        ),
        (two_days, 0, None, Some(lock(Governance, 2))),
        (
            two_days,
            0,
            Some(lock(Compliance, 1)),
            Some(lock(Compliance, 1)),
        ),
        (two_days, 5, None, Some(lock(Governance, 5))),
        (two_days, 1, None, Some(lock(Governance, 2))),
        (None, 5, None, Some(lock(Compliance, 5))),
        (
            None,
            5,
            Some(lock(Governance, 3)),
            Some(lock(Governance, 5)),
        ),
        (
            None,
            5,
            Some(lock(Compliance, 7)),
            Some(lock(Compliance, 7)),
        ),
        // It lay ahead when the upload began.
        (
            two_days,
            0,
            Some(lock(Compliance, -1)),
            Some(lock(Compliance, -1)),
        ),
        (
            None,
            5,
            Some(lock(Governance, -1)),
            Some(lock(Governance, 5)),
        ),
    ];
    for (default, floor_days, wished, retention) in table {
        for kind in LOCKING {
            for hold in [None, Some(false), Some(true)] {
                let policy = BucketPolicy {
                    kind,
                    default,
                    floor_ms: floor_days * DAY_MS,
                };
                let got = initial_lock(&policy, wished, hold, now());
                assert_eq!(
                    got,
                    Ok(InitialLock { retention, hold }),
                    "{policy:?} {wished:?}"
                );
            }
        }
    }
}

#[test]
fn locks_of_new_versions_count_from_the_faster_clock() {
    let policy = BucketPolicy {
        kind: BucketKind::DefaultLocked,
        default: Some((Mode::Compliance, Period::Days(1))),
        floor_ms: 0,
    };
    let hour = 3_600_000;
    let compliance = UnixMillis::new(NOW);
    for (wall, start) in [
        (NOW + hour, NOW + hour),
        (NOW - hour, NOW),
        (NOW + 1_000 * DAY_MS, NOW + DAY_MS),
        (0, NOW),
    ] {
        let time = effective_time(compliance, UnixMillis::new(wall));
        let got = initial_lock(&policy, None, None, time).expect("no wish to refuse");
        let until = got.retention.expect("the default applies").until;
        assert_eq!(until.get(), start + DAY_MS, "wall {wall}");
    }
}

#[test]
fn a_plain_bucket_takes_no_lock_of_any_kind() {
    let policy = BucketPolicy {
        kind: BucketKind::Plain,
        default: None,
        floor_ms: 5 * DAY_MS,
    };
    assert_eq!(
        initial_lock(&policy, None, None, now()),
        Ok(InitialLock::default())
    );
    for (retention, hold) in [
        (Some(lock(Mode::Governance, 1)), None),
        (None, Some(true)),
        (None, Some(false)),
        (Some(lock(Mode::Compliance, -1)), Some(true)),
    ] {
        let got = initial_lock(&policy, retention, hold, now());
        assert_eq!(got, Err(Refusal::NoLockOnBucket));
    }
    let change = may_change(
        BucketKind::Plain,
        None,
        None,
        true,
        Rights::default(),
        now(),
    );
    assert_eq!(change, Err(Refusal::NoLockOnBucket));
}

#[test]
fn wished_dates_lie_in_the_future_and_within_100_years() {
    let table = [
        (0, Err(Refusal::DatePast)),
        (NOW - 1, Err(Refusal::DatePast)),
        (NOW, Err(Refusal::DatePast)),
        (NOW + 1, Ok(())),
        (NOW + RETAIN_UNTIL_AHEAD_MS_MAX, Ok(())),
        (
            NOW + RETAIN_UNTIL_AHEAD_MS_MAX + 1,
            Err(Refusal::DateTooFar),
        ),
        (u64::MAX, Err(Refusal::DateTooFar)),
    ];
    for (until, verdict) in table {
        let until = UnixMillis::new(until);
        assert_eq!(check_date(until, now()), verdict, "{until:?}");
        let wish = Some(Retention {
            mode: Mode::Compliance,
            until,
        });
        let kind = BucketKind::ClientLocked;
        let change = may_change(kind, None, wish, false, Rights::default(), now());
        assert_eq!(change.map(drop), verdict);
    }
}

#[test]
fn codes_and_names_of_the_words_read_back() {
    for code in 0..=u8::MAX {
        assert!(Mode::from_code(code).is_none_or(|mode| mode.code() == code));
        assert!(BucketKind::from_code(code).is_none_or(|kind| kind.code() == code));
    }
    for mode in MODES {
        assert_eq!(Mode::from_code(mode.code()), Some(mode));
    }
    for kind in [
        BucketKind::DefaultLocked,
        BucketKind::ClientLocked,
        BucketKind::Plain,
    ] {
        assert_eq!(BucketKind::from_code(kind.code()), Some(kind));
        assert_eq!(BucketKind::from_name(kind.name()), Some(kind));
    }
    for right in [Right::GovernanceBypass, Right::HoldOff, Right::LockAdmin] {
        assert_eq!(Right::from_name(right.name()), Some(right));
        assert!(Rights::default().with(right).has(right));
        assert!(!Rights::default().has(right));
    }
}
