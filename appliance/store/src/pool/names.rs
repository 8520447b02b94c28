//! Disks that do not take part, as an operator is told of them.

use super::{Member, MemberState, Pool};

impl Member {
    /// Whether it is not here, or failed while we ran: then nobody knows before the next start.
    fn is_missing(&self) -> bool {
        match self.state {
            MemberState::Absent | MemberState::Expelled => true,
            MemberState::Stale | MemberState::Joining => self.slot.is_none(),
            MemberState::Active | MemberState::Drained => false,
        }
    }
}

impl Pool {
    /// The disks that do not take part, wherever they are.
    #[must_use]
    pub fn idle_names(&self) -> String {
        self.names(|member| !matches!(member.state, MemberState::Active | MemberState::Drained))
    }

    /// The disks that somebody could plug in: not those that are here and lack something.
    #[must_use]
    pub fn missing_names(&self) -> String {
        self.names(Member::is_missing)
    }

    /// The disks with which the vault would take writes again.
    #[must_use]
    pub fn wanted_names(&self) -> String {
        match self.members.iter().any(|member| self.is_wanted(member)) {
            true => self.names(|member| self.is_wanted(member)),
            false => self.missing_names(),
        }
    }

    /// Whether it is missing where a start counts how many are there: another one that is plugged in is only stale.
    #[must_use]
    pub fn is_wanted(&self, member: &Member) -> bool {
        member.voter && member.is_missing()
    }

    fn names(&self, which: impl Fn(&Member) -> bool) -> String {
        let named = self.members.iter().filter(|member| which(member));
        let names: Vec<String> = named
            .map(|member| format!("disk {} ({})", member.ordinal + 1, member.disk))
            .collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}
