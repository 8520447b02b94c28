//! Who may ask for what, who must approve it, and how long it rests before it may be executed.

use stele_format::statement::{Act, Role};

use crate::policy::limits::{
    DISK_COOLING_HOURS, HOUR_MS, LARGE_SCOPE_APPROVERS, LARGE_SCOPE_COUNT, LARGE_SCOPE_PER_MILLE,
};
use crate::policy::people::Policies;

/// Roles that may ask for an act.
pub(super) const fn requesters(act: &Act) -> &'static [Role] {
    match act {
        Act::Erase(_) => &[Role::Operator],
        Act::Suspend { .. } | Act::Remove { .. } | Act::RemoveKey { .. } => {
            &[Role::Officer, Role::Approver]
        }
        Act::ReleaseHold(_)
        | Act::Grant(_)
        | Act::LowerDefault { .. }
        | Act::Enrol { .. }
        | Act::AddKey { .. }
        | Act::Resume { .. }
        | Act::Policy { .. }
        | Act::Witness { .. }
        | Act::RemoveWitness { .. }
        | Act::Clock { .. }
        | Act::LogKey { .. }
        | Act::ForceOpen { .. }
        | Act::Reinitialise { .. } => &[Role::Officer],
        Act::Later(_) => &[],
    }
}

/// Roles that may veto any request.
pub(super) const VETOERS: [Role; 3] = [Role::Officer, Role::Approver, Role::Auditor];
/// Roles that may put versions under legal hold.
pub(super) const HOLDERS: [Role; 3] = [Role::Operator, Role::Officer, Role::Approver];
/// Roles that may review who has access.
pub(super) const REVIEWERS: [Role; 2] = [Role::Officer, Role::Auditor];

/// How many must approve. Fixed when the request is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) approvers: u64,
    pub(super) officers: u64,
}

impl Needs {
    pub(super) const fn of(self, role: Role) -> u64 {
        match role {
            Role::Approver => self.approvers,
            Role::Officer => self.officers,
            Role::Operator | Role::Custodian | Role::Auditor => 0,
        }
    }
}

/// Whether the list of the act is large in a vault of so many versions.
pub(super) const fn is_large(act: &Act, versions: u64) -> bool {
    let count = match act {
        Act::Erase(erase) => erase.count,
        Act::ReleaseHold(release) => release.count,
        _ => return false,
    };
    count > LARGE_SCOPE_COUNT
        || count.saturating_mul(1000) > versions.saturating_mul(LARGE_SCOPE_PER_MILLE)
}

/// Who must approve an act that somebody of this role asks for.
pub(super) fn needs(act: &Act, requester: Role, large: bool, policies: &Policies) -> Needs {
    let one = Needs {
        approvers: 1,
        officers: 0,
    };
    let floor = if large { LARGE_SCOPE_APPROVERS } else { 1 };
    match act {
        Act::Erase(erase) => Needs {
            approvers: floor.max(policies.erase_approvals),
            officers: u64::from(erase.governance),
        },
        Act::ReleaseHold(_) => Needs {
            approvers: floor,
            officers: 0,
        },
        // Whoever has the key speaks for the log: both officers and an approver.
        Act::LogKey { .. } => Needs {
            approvers: 1,
            officers: 1,
        },
        _ if requester == Role::Approver => Needs {
            approvers: 0,
            officers: 1,
        },
        _ => one,
    }
}

/// How long an approved request rests; none for acts that take effect with the last approval, most of them because
/// they only take power away.
pub(super) fn cooling_ms(act: &Act, large: bool, policies: &Policies) -> Option<u64> {
    let hours = match act {
        // The last because no time passes in a vault that is not open.
        Act::Suspend { .. }
        | Act::Remove { .. }
        | Act::RemoveKey { .. }
        | Act::ForceOpen { .. } => return None,
        Act::Erase(_) if large => policies
            .people_cooling_hours
            .max(policies.erase_cooling_hours),
        Act::Erase(_) => policies.erase_cooling_hours,
        Act::Reinitialise { .. } => DISK_COOLING_HOURS,
        _ => policies.people_cooling_hours,
    };
    Some(hours.saturating_mul(HOUR_MS))
}

/// Whether new keys must wait before they may approve or execute it.
pub(super) const fn is_destructive(act: &Act) -> bool {
    matches!(
        act,
        Act::Erase(_) | Act::ReleaseHold(_) | Act::Grant(_) | Act::LowerDefault { .. }
    )
}

/// Whether its effect is on people and policies alone, so that the fold itself carries it out.
pub(super) const fn is_about_people(act: &Act) -> bool {
    matches!(
        act,
        Act::Enrol { .. }
            | Act::AddKey { .. }
            | Act::RemoveKey { .. }
            | Act::Suspend { .. }
            | Act::Remove { .. }
            | Act::Resume { .. }
            | Act::Policy { .. }
            | Act::Witness { .. }
            | Act::RemoveWitness { .. }
    )
}
