//! Who may ask for what, who must agree, and how long it waits, as the table of FORMAT.md has it.
//!
//! | act | asked for by | approved by | rests |
//! |---|---|---|---|
//! | erase | operator | erase-approvals approvers (at least two if large), officer too if it deletes early in GOVERNANCE | erase-cooling-hours; if large, the longer of both |
//! | release-hold | officer | approver (two if large) | people-cooling-hours |
//! | suspend, remove, remove-key | officer, or approver | approver, or officer | takes effect with the approval |
//! | reinitialise | officer | approver | 72 hours |
//! | force-open | officer | approver | takes effect with the approval |
//! | log-key | officer | officer and approver | people-cooling-hours |
//! | everything else | officer | approver | people-cooling-hours |

use stele_format::statement::{Act, Role};

use super::policies::Policies;
use crate::limits::{COOLING_DISK_HOURS, HOUR_MS, LARGE_PERCENT, LARGE_VERSIONS_MIN};

/// What a request needs. Fixed at its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Approvals by role.
    pub approvals: Vec<(Role, u64)>,
    /// Roles that may execute it: all that its row names.
    pub executors: Vec<Role>,
    /// From the last approval to the execution, in milliseconds; none if it takes effect with the approval.
    pub rest_ms: Option<u64>,
    /// It frees something that was protected: keys that are new decide nothing about it.
    pub destructive: bool,
}

impl Needs {
    /// Approvals it needs of a role.
    #[must_use]
    pub fn of(&self, role: Role) -> u64 {
        let mut approvals = self.approvals.iter();
        let of_role = approvals.find(|(own, _)| *own == role);
        of_role.map_or(0, |(_, count)| *count)
    }
}

/// What a request by a person in this role needs; none if they may not ask for it.
#[must_use]
pub fn needs(act: &Act, by: Role, large: bool, policies: &Policies) -> Option<Needs> {
    let floor = if large { 2 } else { 1 };
    let (askers, approvals): (&[Role], _) = match act {
        Act::Erase(erase) => {
            let mut approvals = vec![(Role::Approver, floor.max(policies.erase_approvals))];
            if erase.governance {
                approvals.push((Role::Officer, 1));
            }
            (&[Role::Operator], approvals)
        }
        Act::ReleaseHold(_) => (&[Role::Officer], vec![(Role::Approver, floor)]),
        Act::Suspend { .. } | Act::Remove { .. } | Act::RemoveKey { .. } => {
            let other = if by == Role::Officer {
                Role::Approver
            } else {
                Role::Officer
            };
            (&[Role::Officer, Role::Approver], vec![(other, 1)])
        }
        Act::LogKey { .. } => (
            &[Role::Officer],
            vec![(Role::Approver, 1), (Role::Officer, 1)],
        ),
        Act::Later(_) => return None,
        _ => (&[Role::Officer], vec![(Role::Approver, 1)]),
    };
    let approving = approvals.iter().map(|(role, _)| *role);
    let executors = askers.iter().copied().chain(approving).collect();
    askers.contains(&by).then(|| Needs {
        executors,
        approvals,
        rest_ms: rest_ms(act, large, policies),
        destructive: is_destructive(act),
    })
}

fn rest_ms(act: &Act, large: bool, policies: &Policies) -> Option<u64> {
    let (erase, people) = (policies.erase_cooling_hours, policies.people_cooling_hours);
    let hours = match act {
        Act::Suspend { .. }
        | Act::Remove { .. }
        | Act::RemoveKey { .. }
        | Act::ForceOpen { .. } => return None,
        Act::Erase(_) if large => erase.max(people),
        Act::Erase(_) => erase,
        Act::Reinitialise { .. } => COOLING_DISK_HOURS,
        _ => people,
    };
    Some(hours * HOUR_MS)
}

const fn is_destructive(act: &Act) -> bool {
    matches!(
        act,
        Act::Erase(_) | Act::ReleaseHold(_) | Act::Grant(_) | Act::LowerDefault { .. }
    )
}

/// Whether a list is large among all versions that are not destroyed.
#[must_use]
pub const fn is_large(count: u64, living: u64) -> bool {
    count > LARGE_VERSIONS_MIN || count.saturating_mul(100) > living.saturating_mul(LARGE_PERCENT)
}
