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

impl Member {
    /// Where it is and which drive it is, for a line that tells its number.
    #[must_use]
    pub fn called(&self) -> String {
        match (&self.serial, self.name.as_str()) {
            (Some(serial), "") => format!("serial {serial}"),
            (Some(serial), name) => format!("{name}, serial {serial}"),
            (None, "") => self.disk.to_string(),
            (None, name) => name.to_owned(),
        }
    }

    /// Its number, and what is printed on it; where that is not known, its identity.
    fn numbered(&self) -> String {
        let number = self.ordinal + 1;
        match &self.serial {
            Some(serial) => format!("disk {number} (serial {serial})"),
            None => format!("disk {number} ({})", self.disk),
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

    /// The disks that are here and do not take part, and what each of them lacks; empty for none.
    #[must_use]
    pub fn idle_here(&self) -> String {
        let idle = |member: &&Member| {
            matches!(member.state, MemberState::Stale | MemberState::Joining)
                && !member.is_missing()
        };
        let lacks = |member: &Member| {
            let why = member.reason.unwrap_or("it does not take part");
            format!("{}: {why}", member.numbered())
        };
        let idle = self.members.iter().filter(idle);
        idle.map(lacks).collect::<Vec<_>>().join("; ")
    }

    /// Whether it is missing where a start counts how many are there: another one that is plugged in is only stale.
    #[must_use]
    pub fn is_wanted(&self, member: &Member) -> bool {
        member.voter && member.is_missing()
    }

    fn names(&self, which: impl Fn(&Member) -> bool) -> String {
        let named = self.members.iter().filter(|member| which(member));
        let names: Vec<String> = named.map(Member::numbered).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::{DiskId, Generation, Opening, PoolId, SegmentId, UnixMillis};

    use super::{Member, MemberState, Pool};
    use crate::engine::DiskSlot;
    use crate::pool::space::Freed;
    use crate::request::ReadOnlyReason;

    fn pool(members: &[(MemberState, bool, bool)]) -> Pool {
        let member = |(ordinal, (state, voter, here)): (u16, &(MemberState, bool, bool))| Member {
            state: *state,
            voter: *voter,
            slot: here.then_some(DiskSlot(ordinal)),
            ..Member::new(DiskId::default(), ordinal, None)
        };
        Pool {
            id: PoolId::default(),
            members: (0..).zip(members).map(member).collect(),
            generation: Generation::ZERO,
            in_force: Generation::ZERO,
            opening: Opening::ZERO,
            unit_bytes: 1 << 18,
            segment_units: 1,
            flags: 0,
            created: UnixMillis::ZERO,
            segments: crate::pool::Segments::default(),
            freed: Freed::default(),
            doubted: None,
            unread: crate::pool::unread::Unread::default(),
            next_segment: SegmentId::new(1),
            now_ms: 0,
        }
    }

    /// The numbers of the disks named.
    fn numbers(names: &str) -> Vec<&str> {
        let words = names.split(", ").filter_map(|name| name.split(' ').nth(1));
        words.collect()
    }

    #[test]
    fn a_drive_is_named_by_what_is_printed_on_it() {
        let mut pool = pool(&[
            (MemberState::Active, true, true),
            (MemberState::Absent, true, false),
            (MemberState::Stale, true, true),
        ]);
        for (member, serial) in pool.members.iter_mut().zip(["ONE", "TWO", "THREE"]) {
            member.serial = Some(serial.to_owned());
        }
        assert_eq!(pool.missing_names(), "disk 2 (serial TWO)");
        let stale = "disk 3 (serial THREE): it does not take part";
        assert_eq!(pool.idle_here(), stale);
        let one = pool.members.first_mut().expect("a member");
        "/dev/sda".clone_into(&mut one.name);
        assert_eq!(one.called(), "/dev/sda, serial ONE");
        one.serial = None;
        assert_eq!(one.called(), "/dev/sda");
    }

    #[test]
    fn who_is_asked_for_is_missing_and_counts() {
        let pool = pool(&[
            (MemberState::Active, true, true),
            (MemberState::Absent, true, false),
            (MemberState::Expelled, true, true),
            (MemberState::Expelled, false, true),
            (MemberState::Joining, false, true),
            (MemberState::Stale, true, true),
            (MemberState::Drained, false, false),
        ]);
        assert_eq!(numbers(&pool.wanted_names()), ["2", "3"]);
        assert_eq!(numbers(&pool.missing_names()), ["2", "3", "4"]);
        assert_eq!(numbers(&pool.idle_names()), ["2", "3", "4", "5", "6"]);
    }

    #[test]
    fn where_none_of_those_that_count_is_missing_all_that_are_missing_are_named() {
        let pool = pool(&[
            (MemberState::Active, true, true),
            (MemberState::Absent, false, false),
        ]);
        assert_eq!(numbers(&pool.wanted_names()), ["2"]);
        assert_eq!(pool_of_one().wanted_names(), "none");
    }

    #[test]
    fn where_none_is_missing_those_that_are_here_are_named_with_what_they_lack() {
        let mut pool = pool(&[
            (MemberState::Active, true, true),
            (MemberState::Stale, true, true),
            (MemberState::Stale, true, true),
            (MemberState::Expelled, false, true),
        ]);
        for member in &mut pool.members[1..] {
            member.reason = Some("it missed writes");
        }
        let said = |pool: &Pool| {
            let why = ReadOnlyReason::TooFewDisks {
                present: 1,
                needed: 2,
                missing: pool.wanted_names(),
                idle: pool.idle_here(),
            };
            why.to_string()
        };
        let asked = said(&pool);
        assert!(asked.contains("plug in disk 4 ("), "{asked}");
        pool.members.pop();
        let why = said(&pool);
        assert!(!why.contains("plug in"), "{why}");
        for number in [2, 3] {
            let disk = format!("disk {number} ({}): it missed writes", DiskId::default());
            assert!(why.contains(&disk), "{why}");
        }
    }

    fn pool_of_one() -> Pool {
        pool(&[(MemberState::Active, true, true)])
    }
}
