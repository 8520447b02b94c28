//! What a place without its frame means: the rules of evidence, as pure functions over plain cases.
//!
//! A crash leaves unfinished writes, a lagging copy and an abandoned tail; none of them is damage,
//! as nothing acknowledged depends on them. Everything the evidence proves to have been whole once
//! is damage when it is not whole now, even if another disk still has it.
//!
//! | place | evidence | meaning |
//! |---|---|---|
//! | behind the end an EPOCH record states | any | abandoned tail |
//! | on a disk the pool went on without | blank or torn, at its end | what it missed |
//! | journal | followed by frames in the same copy | damage |
//! | journal | proven durable, blank or torn, one copy of three, newest epoch, no clean stop | lagging copy |
//! | journal | proven durable or closed, otherwise | damage |
//! | journal | not proven, blank or torn | unfinished write (damage after a clean stop) |
//! | journal | not proven, changed, another copy has it | damage |
//! | journal | not proven, changed, no copy has it, and so many are blank or torn that it was flushed on no quorum | unfinished write |
//! | journal | not proven, changed, no copy has it otherwise | damage |
//! | data | closed by a SEAL record, or cited by a record | damage |
//! | data | torn, no copy has it, and a lost chunk may have lain there | damage |
//! | data | blank or torn otherwise | unfinished write |
//! | data | changed, and another copy has it, frames follow, or a lost chunk may have lain there | damage |
//! | data | changed otherwise | unfinished write |

use crate::scan::Class;

/// How a segment ended, as the journal knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing says that it ended.
    Open,
    /// An EPOCH record abandoned it; the place is behind its stated end.
    BehindEnd,
    /// An EPOCH record abandoned it; the place is before its stated end.
    BeforeEnd,
    /// A SEAL record, or in the journal a seal block, closed it.
    Sealed,
}

/// Everything the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a case of a decision table is a row of bits"
)]
pub struct Case {
    /// The segment belongs to the journal.
    pub journal: bool,
    /// How the segment ended.
    pub ending: Ending,
    /// The disk is a full member.
    pub active: bool,
    /// What the place shows.
    pub class: Class,
    /// Frames that verify follow in the same copy.
    pub followed: bool,
    /// Another copy holds the frame.
    pub good_copy: bool,
    /// Some evidence proves the frame durable on a quorum (journal).
    pub proven: bool,
    /// The copy may be the one that lags (journal).
    pub may_lag: bool,
    /// So many copies are blank or torn there that the frame was flushed on no quorum (journal).
    pub never_flushed: bool,
    /// The vault was stopped in order after its last write.
    pub clean_stop: bool,
    /// A record cites the frame's payload (data lanes).
    pub cited: bool,
    /// A cited chunk that is on no present disk may have lain there (data lanes).
    pub chunks_lost: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Something that was whole is not whole any more.
    Damage,
    /// Written by nobody's leave to be believed, and given up by a later start.
    AbandonedTail,
    /// A write that a crash cut short and nothing acknowledged depends on.
    Unfinished,
    /// One copy of three that had not caught up when the vault stopped.
    Lagging,
    /// A disk the pool went on without lacks what was written since.
    Missed,
}

impl Meaning {
    /// The note for an operator; none for damage.
    #[must_use]
    pub fn note(self) -> Option<&'static str> {
        match self {
            Self::Damage => None,
            Self::AbandonedTail => Some("abandoned tail"),
            Self::Unfinished => Some("unfinished write at the end, never acknowledged"),
            Self::Lagging => Some("this copy had not caught up when the vault stopped"),
            Self::Missed => {
                Some("ends before the other copies: the pool went on without this disk")
            }
        }
    }
}

/// Applies the rules.
#[must_use]
pub fn judge(case: &Case) -> Meaning {
    let unfinished = case.class.is_unfinished();
    if case.ending == Ending::BehindEnd {
        return Meaning::AbandonedTail;
    }
    if !case.active && unfinished && !case.followed {
        return Meaning::Missed;
    }
    if case.journal {
        judge_journal(case, unfinished)
    } else {
        judge_data(case, unfinished)
    }
}

fn judge_journal(case: &Case, unfinished: bool) -> Meaning {
    if case.followed {
        return Meaning::Damage;
    }
    if case.proven || case.ending != Ending::Open {
        let lagging = unfinished && case.good_copy && case.may_lag;
        return if lagging {
            Meaning::Lagging
        } else {
            Meaning::Damage
        };
    }
    match (unfinished, case.good_copy) {
        (true, true) if case.clean_stop => Meaning::Damage,
        (true, _) => Meaning::Unfinished,
        (false, true) => Meaning::Damage,
        (false, false) if case.class == Class::Unreadable => Meaning::Damage,
        (false, false) if !case.never_flushed => Meaning::Damage,
        (false, false) => Meaning::Unfinished,
    }
}

fn judge_data(case: &Case, unfinished: bool) -> Meaning {
    if case.ending == Ending::Sealed || case.cited {
        return Meaning::Damage;
    }
    let may_be_lost = case.chunks_lost && !case.good_copy && case.class != Class::Blank;
    if unfinished {
        return if may_be_lost {
            Meaning::Damage
        } else {
            Meaning::Unfinished
        };
    }
    let known = case.good_copy || case.followed || case.class == Class::Unreadable;
    if known || may_be_lost || case.ending == Ending::BeforeEnd {
        Meaning::Damage
    } else {
        Meaning::Unfinished
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Ending, Meaning, judge};
    use crate::scan::Class;

    const CLASSES: [Class; 4] = [Class::Blank, Class::Torn, Class::Rotten, Class::Unreadable];
    const ENDINGS: [Ending; 4] = [
        Ending::Open,
        Ending::BehindEnd,
        Ending::BeforeEnd,
        Ending::Sealed,
    ];

    fn all_cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for bits in 0..1024_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            for class in CLASSES {
                for ending in ENDINGS {
                    cases.push(Case {
                        journal: bit(0),
                        ending,
                        active: bit(1),
                        class,
                        followed: bit(2),
                        good_copy: bit(3),
                        proven: bit(4),
                        may_lag: bit(5),
                        clean_stop: bit(6),
                        cited: bit(7),
                        chunks_lost: bit(8),
                        never_flushed: bit(9),
                    });
                }
            }
        }
        cases
    }

    #[test]
    fn changed_bytes_that_another_copy_proves_are_always_damage() {
        for case in all_cases() {
            let changed = !case.class.is_unfinished() && case.good_copy;
            if changed && case.ending != Ending::BehindEnd {
                assert_eq!(judge(&case), Meaning::Damage, "{case:?}");
            }
        }
    }

    #[test]
    fn what_was_acknowledged_is_damage_unless_a_lagging_or_stale_disk_explains_it() {
        for case in all_cases() {
            let acknowledged = if case.journal {
                case.proven
            } else {
                case.cited
            };
            let explained = case.may_lag || !case.active || case.ending == Ending::BehindEnd;
            if acknowledged && !explained {
                assert_eq!(judge(&case), Meaning::Damage, "{case:?}");
            }
        }
    }

    #[test]
    fn a_journal_frame_that_may_have_been_acknowledged_is_damage_where_no_copy_has_it() {
        for case in all_cases() {
            let unknown = case.journal && case.class == Class::Rotten && !case.never_flushed;
            if unknown && case.ending != Ending::BehindEnd {
                assert_eq!(judge(&case), Meaning::Damage, "{case:?}");
            }
        }
    }

    #[test]
    fn a_crash_alone_is_never_damage() {
        for case in all_cases() {
            let crash = case.active
                && case.class.is_unfinished()
                && !case.followed
                && !case.clean_stop
                && !case.cited
                && !case.chunks_lost
                && matches!(case.ending, Ending::Open | Ending::BehindEnd)
                && (!case.proven || (case.may_lag && case.good_copy));
            if crash {
                assert_ne!(judge(&case), Meaning::Damage, "{case:?}");
            }
        }
    }

    #[test]
    fn only_one_way_leads_to_each_note() {
        for case in all_cases() {
            match judge(&case) {
                Meaning::Damage => {}
                Meaning::AbandonedTail => assert_eq!(case.ending, Ending::BehindEnd),
                Meaning::Missed => assert!(!case.active && !case.followed),
                Meaning::Lagging => assert!(case.journal && case.may_lag && case.good_copy),
                Meaning::Unfinished => assert_ne!(case.ending, Ending::Sealed, "{case:?}"),
            }
        }
    }
}
