//! Who may ask for what, who must approve it, and how long it then waits.
//!
//! | act | asked for by | approved by | cooling-off |
//! |---|---|---|---|
//! | erase | operator | approver (two if large), officer too if it deletes early in GOVERNANCE | 72 h, 7 days if large |
//! | release-hold | officer | approver (two if large) | 7 days |
//! | suspend, remove, remove-key | officer, or approver | approver, or officer | none |
//! | everything else | officer | approver | 7 days |

use stele_format::statement::{Act, Role};

use crate::limits::{COOLING_ERASE_MS, COOLING_LONG_MS, LARGE_PERCENT, LARGE_VERSIONS_MIN};

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Approvals by role.
    pub approvals: Vec<(Role, usize)>,
    /// From the last of them to the execution, in milliseconds.
    pub cooling_ms: u64,
    /// It frees something that was protected: keys that are new decide nothing about it.
    pub destructive: bool,
}

/// What a request by a person in this role needs; none if they may not ask for it.
#[must_use]
pub fn needs(act: &Act, by: Role, large: bool) -> Option<Needs> {
    let approvers = if large { 2 } else { 1 };
    let asks = |role| by == role;
    let (asked, approvals, cooling_ms) = match act {
        Act::Erase(erase) => {
            let mut approvals = vec![(Role::Approver, approvers)];
            if erase.governance {
                approvals.push((Role::Officer, 1));
            }
            let cooling = if large {
                COOLING_LONG_MS
            } else {
                COOLING_ERASE_MS
            };
            (asks(Role::Operator), approvals, cooling)
        }
        Act::ReleaseHold(_) => {
            let approvals = vec![(Role::Approver, approvers)];
            (asks(Role::Officer), approvals, COOLING_LONG_MS)
        }
        Act::Suspend { .. } | Act::Remove { .. } | Act::RemoveKey { .. } => {
            let other = if by == Role::Officer {
                Role::Approver
            } else {
                Role::Officer
            };
            let asked = asks(Role::Officer) || asks(Role::Approver);
            (asked, vec![(other, 1)], 0)
        }
        Act::Later(_) => return None,
        _ => (
            asks(Role::Officer),
            vec![(Role::Approver, 1)],
            COOLING_LONG_MS,
        ),
    };
    asked.then_some(Needs {
        approvals,
        cooling_ms,
        destructive: is_destructive(act),
    })
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
