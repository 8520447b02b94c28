//! The policies people may set, each with a floor that nothing lowers.

use stele_format::statement::Name;

use crate::policy::limits::{
    APPROVERS_MIN, COOLING_HOURS_MAX, ERASE_COOLING_HOURS_MIN, OFFICERS_MIN, OPERATORS_MIN,
    PEOPLE_COOLING_HOURS_MIN, PEOPLE_COUNT_MAX,
};

/// The policies and their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// Plain keys count; evaluation vaults only, and only from the founding.
    pub plain_keys: bool,
    /// Fewest active operators.
    pub operators_min: u64,
    /// Fewest active approvers.
    pub approvers_min: u64,
    /// Fewest active officers.
    pub officers_min: u64,
    /// Approvers that a destruction needs.
    pub erase_approvals: u64,
    /// Cooling-off of a destruction.
    pub erase_cooling_hours: u64,
    /// Cooling-off of acts about people, policies, clock, holds and rights.
    pub people_cooling_hours: u64,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            plain_keys: false,
            operators_min: OPERATORS_MIN,
            approvers_min: APPROVERS_MIN,
            officers_min: OFFICERS_MIN,
            erase_approvals: 1,
            erase_cooling_hours: ERASE_COOLING_HOURS_MIN,
            people_cooling_hours: PEOPLE_COOLING_HOURS_MIN,
        }
    }
}

impl Policies {
    /// The same with one policy set; none if there is no such policy or it may not have the value.
    #[must_use]
    pub fn with(&self, name: &Name, value: &Name) -> Option<Self> {
        let mut next = self.clone();
        if name.as_str() == "plain-keys" {
            next.plain_keys = match value.as_str() {
                "yes" => true,
                "no" => false,
                _ => return None,
            };
            return Some(next);
        }
        let (slot, min, max) = match name.as_str() {
            "operators-min" => (&mut next.operators_min, OPERATORS_MIN, PEOPLE_COUNT_MAX),
            "approvers-min" => (&mut next.approvers_min, APPROVERS_MIN, PEOPLE_COUNT_MAX),
            "officers-min" => (&mut next.officers_min, OFFICERS_MIN, PEOPLE_COUNT_MAX),
            "erase-approvals" => (&mut next.erase_approvals, 1, PEOPLE_COUNT_MAX),
            "erase-cooling-hours" => (
                &mut next.erase_cooling_hours,
                ERASE_COOLING_HOURS_MIN,
                COOLING_HOURS_MAX,
            ),
            "people-cooling-hours" => (
                &mut next.people_cooling_hours,
                PEOPLE_COOLING_HOURS_MIN,
                COOLING_HOURS_MAX,
            ),
            _ => return None,
        };
        *slot = number(value)?;
        (min..=max).contains(slot).then_some(next)
    }
}

/// Decimal digits without leading zeros.
fn number(value: &Name) -> Option<u64> {
    let number: u64 = value.as_str().parse().ok()?;
    (number.to_string() == value.as_str()).then_some(number)
}
