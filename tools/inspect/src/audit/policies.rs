//! Policies that people set, as the table of FORMAT.md has them.

use stele_format::statement::{Name, Role};

use super::finding::Breach;
use crate::limits::{
    APPROVERS_MIN, COOLING_ERASE_HOURS_MIN, COOLING_HOURS_MAX, COOLING_PEOPLE_HOURS_MIN,
    OFFICERS_MIN, OPERATORS_MIN, POLICY_PEOPLE_MAX,
};

/// What is in force.
#[derive(Debug, Clone)]
pub struct Policies {
    /// Keys in files may be used.
    pub plain_keys: bool,
    /// Approvers that a destruction needs.
    pub erase_approvals: u64,
    /// Rest of a destruction.
    pub erase_cooling_hours: u64,
    /// Rest of acts about people, holds, rights, defaults and the clock.
    pub people_cooling_hours: u64,
    operators_min: u64,
    approvers_min: u64,
    officers_min: u64,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            plain_keys: false,
            erase_approvals: 1,
            erase_cooling_hours: COOLING_ERASE_HOURS_MIN,
            people_cooling_hours: COOLING_PEOPLE_HOURS_MIN,
            operators_min: OPERATORS_MIN,
            approvers_min: APPROVERS_MIN,
            officers_min: OFFICERS_MIN,
        }
    }
}

impl Policies {
    /// How many of a role a vault must keep.
    #[must_use]
    pub const fn minimum(&self, role: Role) -> u64 {
        match role {
            Role::Officer => self.officers_min,
            Role::Approver => self.approvers_min,
            Role::Operator => self.operators_min,
            Role::Custodian | Role::Auditor => 0,
        }
    }

    /// Sets one.
    ///
    /// # Errors
    /// There is none of that name, or it cannot have that value.
    pub fn set(&mut self, name: &Name, value: &Name) -> Result<(), Breach> {
        let value = value.as_str();
        let (slot, least, most) = match name.as_str() {
            "plain-keys" => {
                self.plain_keys = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(Breach::Policy),
                };
                return Ok(());
            }
            "operators-min" => (&mut self.operators_min, OPERATORS_MIN, POLICY_PEOPLE_MAX),
            "approvers-min" => (&mut self.approvers_min, APPROVERS_MIN, POLICY_PEOPLE_MAX),
            "officers-min" => (&mut self.officers_min, OFFICERS_MIN, POLICY_PEOPLE_MAX),
            "erase-approvals" => (&mut self.erase_approvals, 1, POLICY_PEOPLE_MAX),
            "erase-cooling-hours" => (
                &mut self.erase_cooling_hours,
                COOLING_ERASE_HOURS_MIN,
                COOLING_HOURS_MAX,
            ),
            "people-cooling-hours" => (
                &mut self.people_cooling_hours,
                COOLING_PEOPLE_HOURS_MIN,
                COOLING_HOURS_MAX,
            ),
            _ => return Err(Breach::Policy),
        };
        let number: u64 = value.parse().map_err(|_| Breach::Policy)?;
        // A number has one spelling.
        if !(least..=most).contains(&number) || number.to_string() != value {
            return Err(Breach::Policy);
        }
        *slot = number;
        Ok(())
    }
}
