//! What may be destroyed, and what a monthly list of expired versions may hold: pure functions.
//!
//! Invariant: nothing with a hold, and nothing whose COMPLIANCE retention has not been over for a day by
//! both clocks, may be destroyed, whoever approves; nor what lies in the log before records that it lost. Expiry only drafts: what S3 still shows as current is
//! never on a list that the vault writes by itself.

use stele_format::units::UnixMillis;

use super::clock::EffectiveTime;
use super::limits::ERASE_MARGIN_MS;
use super::retention::VersionLock;
use super::types::Mode;
use super::words::utc;

/// Why a version is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Kept {
    /// A legal hold is on.
    #[error("a legal hold is on")]
    Hold,
    /// Records behind it were lost when people forced the vault open.
    #[error(
        "records that were stored behind it are lost, and one of them may have put it on hold or kept it longer"
    )]
    Doubted,
    /// Its retention is not over, or has not been for a day.
    #[error("its retention ends at {}, and a day must have passed since", utc(*until))]
    Retained {
        /// When it ends.
        until: UnixMillis,
    },
    /// Its legal hold went a short time ago, and the list rests anew from then.
    #[error("its legal hold went, and the list rests anew until {}", utc(*until))]
    Unheld {
        /// Until when.
        until: UnixMillis,
    },
    /// S3 shows it as the current version of its name.
    #[error("it is the current version of its name")]
    Current,
    /// It is an older version of a name that is not hidden, and no rule lets those go.
    #[error("it is an older version of a name that is not hidden")]
    Noncurrent,
    /// It is not there any more.
    #[error("it is not in the vault any more")]
    Gone,
}

/// Whether an approved request may destroy a version. `early` is a request that was approved to end
/// GOVERNANCE retention early; COMPLIANCE and holds know no exception.
///
/// # Errors
/// Why it is kept.
pub fn may_destroy(lock: &VersionLock, early: bool, time: EffectiveTime) -> Result<(), Kept> {
    if lock.hold {
        return Err(Kept::Hold);
    }
    if lock.doubted {
        return Err(Kept::Doubted);
    }
    let Some(retention) = lock.retention else {
        return Ok(());
    };
    let over = retention.until.get().saturating_add(ERASE_MARGIN_MS) <= time.release.get();
    if over || (early && retention.mode == Mode::Governance) {
        Ok(())
    } else {
        Err(Kept::Retained {
            until: retention.until,
        })
    }
}

/// Whether a list may destroy a version whose hold went at `unheld`: the cooling-off of the list, which people
/// signed before that or after it, starts anew then. In compliance time, as every cooling-off.
///
/// # Errors
/// Until when it is kept.
pub fn may_destroy_unheld(
    unheld: Option<UnixMillis>,
    rest_ms: u64,
    compliance: UnixMillis,
) -> Result<(), Kept> {
    let until = unheld.map(|at| UnixMillis::new(at.get().saturating_add(rest_ms)));
    match until.filter(|until| *until > compliance) {
        None => Ok(()),
        Some(until) => Err(Kept::Unheld { until }),
    }
}

/// How a version stands to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A client released it.
    Released,
    /// The newest version of its name is a delete marker, and this one is older.
    Hidden,
    /// A delete marker with nothing else under its name.
    LoneMarker,
    /// An older version of a name that is not hidden.
    Noncurrent,
    /// The newest version of its name.
    Current,
}

/// Whether the vault may put a version on a list of what has expired. `noncurrent_too` is an explicit rule.
///
/// # Errors
/// Why it is left out.
pub fn may_draft(
    standing: Standing,
    lock: &VersionLock,
    noncurrent_too: bool,
    time: EffectiveTime,
) -> Result<(), Kept> {
    may_destroy(lock, false, time)?;
    match standing {
        Standing::Released | Standing::Hidden | Standing::LoneMarker => Ok(()),
        Standing::Noncurrent if noncurrent_too => Ok(()),
        Standing::Noncurrent => Err(Kept::Noncurrent),
        Standing::Current => Err(Kept::Current),
    }
}

/// Standings of the versions of one object, given newest first: whether each is released and whether it is
/// a delete marker.
#[must_use]
pub fn standings(versions: &[(bool, bool)]) -> Vec<Standing> {
    let newest = versions.iter().position(|(released, _)| !released);
    let hidden = newest.is_some_and(|at| versions[at].1);
    versions
        .iter()
        .enumerate()
        .map(|(at, (released, _))| match newest {
            _ if *released => Standing::Released,
            Some(newest) if at == newest && hidden && versions.len() == 1 => Standing::LoneMarker,
            Some(newest) if at == newest => Standing::Current,
            _ if hidden => Standing::Hidden,
            _ => Standing::Noncurrent,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Retention;
    use crate::policy::limits::DAY_MS;

    const NOW: u64 = 1_000 * DAY_MS;

    fn lock(retention: Option<(Mode, u64)>, hold: bool) -> VersionLock {
        VersionLock {
            marker: false,
            retention: retention.map(|(mode, until)| Retention {
                mode,
                until: UnixMillis::new(until),
            }),
            hold,
            doubted: false,
        }
    }

    #[test]
    fn nothing_destroys_what_lies_before_lost_records() {
        let time = EffectiveTime {
            lock: UnixMillis::new(NOW),
            release: UnixMillis::new(NOW),
            wall_alarm: false,
        };
        for retention in [
            None,
            Some((Mode::Governance, 0)),
            Some((Mode::Compliance, 0)),
        ] {
            for early in [false, true] {
                let sure = lock(retention, false);
                assert_eq!(may_destroy(&sure, early, time), Ok(()));
                let lock = VersionLock {
                    doubted: true,
                    ..sure
                };
                assert_eq!(may_destroy(&lock, early, time), Err(Kept::Doubted));
                let drafted = may_draft(Standing::Released, &lock, true, time);
                assert_eq!(drafted, Err(Kept::Doubted));
            }
        }
    }

    #[test]
    fn holds_and_compliance_know_no_exception_and_governance_only_early_ones() {
        let time = EffectiveTime {
            lock: UnixMillis::new(NOW),
            release: UnixMillis::new(NOW),
            wall_alarm: false,
        };
        let until = |until| Kept::Retained {
            until: UnixMillis::new(until),
        };
        for mode in [Mode::Governance, Mode::Compliance] {
            for early in [false, true] {
                for (end, over) in [
                    (NOW - DAY_MS, true),
                    (NOW - DAY_MS + 1, false),
                    (NOW, false),
                    (NOW + 1, false),
                    (u64::MAX, false),
                ] {
                    let judged = may_destroy(&lock(Some((mode, end)), false), early, time);
                    let may = over || (early && mode == Mode::Governance);
                    let expected = if may { Ok(()) } else { Err(until(end)) };
                    assert_eq!(judged, expected, "{mode:?} {early} {end}");
                    let held = may_destroy(&lock(Some((mode, end)), true), early, time);
                    assert_eq!(held, Err(Kept::Hold));
                }
                assert_eq!(may_destroy(&lock(None, false), early, time), Ok(()));
                assert_eq!(may_destroy(&lock(None, true), early, time), Err(Kept::Hold));
            }
        }
    }

    #[test]
    fn a_list_rests_anew_from_the_moment_a_hold_went() {
        let at = UnixMillis::new;
        for (unheld, now, kept) in [
            (None, 0, None),
            (Some(5), 5, Some(15)),
            (Some(5), 14, Some(15)),
            (Some(5), 15, None),
            (Some(u64::MAX), 20, Some(u64::MAX)),
        ] {
            let judged = may_destroy_unheld(unheld.map(at), 10, at(now));
            let expected = kept.map(|until| Kept::Unheld { until: at(until) });
            assert_eq!(judged.err(), expected, "{unheld:?} {now}");
        }
    }

    #[test]
    fn only_what_is_released_or_hidden_is_drafted_by_itself() {
        use Standing::{Current, Hidden, LoneMarker, Noncurrent, Released};
        const SHOWN: (bool, bool) = (false, false);
        const MARKER: (bool, bool) = (false, true);
        const GONE: (bool, bool) = (true, false);
        for (versions, expected) in [
            (&[SHOWN][..], &[Current][..]),
            (&[SHOWN, SHOWN], &[Current, Noncurrent]),
            (&[MARKER, SHOWN, GONE], &[Current, Hidden, Released]),
            (&[GONE, SHOWN, MARKER], &[Released, Current, Noncurrent]),
            (&[MARKER], &[LoneMarker]),
            (&[GONE, GONE], &[Released, Released]),
            (&[], &[]),
        ] {
            assert_eq!(standings(versions), expected, "{versions:?}");
        }
        let time = EffectiveTime {
            lock: UnixMillis::new(NOW),
            release: UnixMillis::new(NOW),
            wall_alarm: false,
        };
        let free = lock(None, false);
        for (standing, rule, kept) in [
            (Released, false, None),
            (Hidden, false, None),
            (LoneMarker, false, None),
            (Noncurrent, false, Some(Kept::Noncurrent)),
            (Noncurrent, true, None),
            (Current, true, Some(Kept::Current)),
        ] {
            assert_eq!(may_draft(standing, &free, rule, time).err(), kept);
            let held = may_draft(standing, &lock(None, true), rule, time);
            assert_eq!(held, Err(Kept::Hold));
        }
    }
}
