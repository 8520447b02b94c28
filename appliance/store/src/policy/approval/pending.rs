//! A request and what became of it so far.

use stele_format::digest::Digest;
use stele_format::sshsig::PublicKey;
use stele_format::statement::{Name, Request, Role};
use stele_format::units::{LogIndex, UnixMillis};

use super::matrix::Needs;
use super::refusal::StatementRefusal;
use crate::policy::limits::{APPROVAL_MS_MAX, EXECUTION_MS_MAX};

/// Somebody who asked for a request or approved it, with the key they used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Supporter {
    pub(super) name: Name,
    pub(super) role: Role,
    pub(super) key: PublicKey,
    pub(super) at: UnixMillis,
}

/// What was recorded about a request; what only time does is in [`RequestState`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It may still be approved, vetoed or executed.
    Open,
    /// Somebody vetoed it.
    Vetoed(Name),
    /// This supporter, or the key they used, no longer counts.
    Dead(Name),
    /// The vault was forced open while it was open: its veto may be among what was lost.
    Lost,
    /// Somebody executed it; its effect is not yet recorded.
    Executing,
    /// A part of its effect is recorded.
    Begun,
    /// Its whole effect is.
    Executed,
}

/// Where a request stands at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestState {
    /// It waits for approvals.
    Requested,
    /// It has them and rests.
    Cooling,
    /// It may be executed.
    Executable,
    /// It was executed; its effect is not yet complete.
    Executing,
    /// Its effect is complete.
    Executed,
    /// Somebody vetoed it.
    Vetoed,
    /// Its time is over.
    Expired,
    /// Somebody who supported it, or their key, no longer counts, or the vault was forced open meanwhile.
    Dead,
}

impl RequestState {
    /// Its name on screens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Cooling => "cooling",
            Self::Executable => "executable",
            Self::Executing => "executing",
            Self::Executed => "executed",
            Self::Vetoed => "vetoed",
            Self::Expired => "expired",
            Self::Dead => "dead",
        }
    }
}

/// A request and its supporters; the first of them asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) statement: Request,
    pub(super) digest: Digest,
    pub(super) requested_at: UnixMillis,
    pub(super) large: bool,
    pub(super) needs: Needs,
    /// None for acts that take effect with the last approval.
    pub(super) cooling_ms: Option<u64>,
    pub(super) supporters: Vec<Supporter>,
    pub(super) approved_at: Option<UnixMillis>,
    pub(super) executed_by: Option<(Name, UnixMillis)>,
    pub(super) phase: Phase,
}

impl Pending {
    /// The first moment at which it can no longer be approved.
    pub(super) const fn approve_before(&self) -> UnixMillis {
        later(self.requested_at, APPROVAL_MS_MAX)
    }

    /// The first moment at which it may be executed, once it is approved.
    pub(super) fn execute_from(&self) -> Option<UnixMillis> {
        Some(later(self.approved_at?, self.cooling_ms.unwrap_or(0)))
    }

    /// The first moment at which it may be executed no longer.
    pub(super) fn execute_before(&self) -> Option<UnixMillis> {
        Some(later(self.execute_from()?, EXECUTION_MS_MAX))
    }

    pub(super) fn state(&self, now: UnixMillis) -> RequestState {
        match self.phase {
            Phase::Vetoed(_) => RequestState::Vetoed,
            Phase::Dead(_) | Phase::Lost => RequestState::Dead,
            Phase::Executing | Phase::Begun => RequestState::Executing,
            Phase::Executed => RequestState::Executed,
            Phase::Open => match (self.execute_from(), self.execute_before()) {
                (Some(from), Some(_)) if now < from => RequestState::Cooling,
                (Some(_), Some(before)) if now < before => RequestState::Executable,
                (Some(_), Some(_)) => RequestState::Expired,
                _ if now < self.approve_before() => RequestState::Requested,
                _ => RequestState::Expired,
            },
        }
    }

    /// Approvals by people of this role.
    pub(super) fn approvals(&self, role: Role) -> u64 {
        self.supporters
            .iter()
            .skip(1)
            .filter(|supporter| supporter.role == role)
            .map(|_| 1)
            .sum()
    }

    pub(super) fn missing(&self, role: Role) -> u64 {
        self.needs.of(role).saturating_sub(self.approvals(role))
    }

    pub(super) fn is_approved(&self) -> bool {
        self.missing(Role::Approver) == 0 && self.missing(Role::Officer) == 0
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.supporters
            .iter()
            .map(|supporter| supporter.name.clone())
            .collect()
    }

    /// Why it cannot be approved at `now`, if it cannot.
    pub(super) fn check_approvable(
        &self,
        request: LogIndex,
        now: UnixMillis,
    ) -> Result<(), StatementRefusal> {
        match self.state(now) {
            RequestState::Requested => Ok(()),
            RequestState::Expired if self.approved_at.is_none() => {
                Err(StatementRefusal::ApprovalLate {
                    request,
                    until: self.approve_before(),
                })
            }
            state => Err(wrong_phase(request, state)),
        }
    }

    /// Why it cannot be executed at `now`, if it cannot.
    pub(super) fn check_executable(
        &self,
        request: LogIndex,
        now: UnixMillis,
    ) -> Result<(), StatementRefusal> {
        match (self.state(now), self.execute_from(), self.execute_before()) {
            (RequestState::Executable, ..) => Ok(()),
            (RequestState::Cooling, Some(from), _) => {
                Err(StatementRefusal::Cooling { request, from })
            }
            (RequestState::Expired, _, Some(until)) => {
                Err(StatementRefusal::ExecutionLate { request, until })
            }
            (state, ..) => Err(wrong_phase(request, state)),
        }
    }
}

pub(super) const fn wrong_phase(request: LogIndex, state: RequestState) -> StatementRefusal {
    StatementRefusal::WrongPhase {
        request,
        phase: state.name(),
    }
}

const fn later(time: UnixMillis, ms: u64) -> UnixMillis {
    UnixMillis::new(time.get().saturating_add(ms))
}
