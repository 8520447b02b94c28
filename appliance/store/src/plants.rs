//! Thirty-one bugs that can be switched on, to see that the simulator finds them.
//!
//! Without the feature `plants` they do not exist: [`on`] is `false` and the compiler drops what hangs on
//! it. No program that serves a vault enables the feature, which `cargo xtask tidy` checks. At most one
//! bug is on at a time, in the whole process.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// A frame is acknowledged when one disk has flushed it.
    AckAtOneCopy,
    /// A frame is acknowledged when the one before it is durable.
    AckOneFrameEarly,
    /// Journal frames are written and never flushed.
    FrameUnflushed,
    /// Labels are written and never flushed.
    LabelUnflushed,
    /// A chunk counts as durable when it is given to the disks.
    ChunkUnflushed,
    /// A data segment is sealed while frames of it are under way.
    SealBeforeFrames,
    /// Recovery takes a frame whose payload does not verify.
    TornFrameAdopted,
    /// Recovery takes damage in the journal for its end.
    DamageTakenForEnd,
    /// Recovery leaves frames missing on copies that lack them.
    RepairForgotten,
    /// A disk that missed writes takes part again as if it had not.
    StaleDiskBelieved,
    /// A disk is expelled and no label says so.
    ExpulsionUnlabelled,
    /// A snapshot claims records that are not durable yet.
    SnapshotAhead,
    /// A snapshot is replayed from where the quorum is, not from where every copy is.
    SnapshotUnsettled,
    /// When a segment is closed its last unit is given back with those that it has to spare.
    UnitGivenTwice,
    /// Replay passes over delete markers.
    MarkerNotReplayed,
    /// Replay passes over changes of retention.
    RetentionNotReplayed,
    /// What is repaired is written one block too far.
    RepairMisplaced,
    /// Scrubbing leaves out the last frame of a segment.
    LastFrameUnscrubbed,
    /// A disk that is being filled takes part before it has everything.
    JoinBeforeFilled,
    /// A chunk that reads as zeros is delivered as it is.
    HoleDelivered,
    /// A data segment of which no copy is here counts as never written.
    AwayTakenForBlank,
    /// What a disk has behind the end of an earlier epoch counts before what a later one wrote.
    EpochIgnored,
    /// A list is worked off without judging locks again.
    TombstoneUnjudged,
    /// What a case holds is destroyed where the hold was not yet put on it.
    CaseForgotten,
    /// A list counts although it is not what its digest says.
    ScopeUnchecked,
    /// A month is cut as a whole although something that stays has keys of it.
    MonthUnspared,
    /// Keys are said to be gone before they are cut.
    DestroyedUncut,
    /// Keys are said to be gone while one copy of the key state on each disk still has them.
    DestroyedHalf,
    /// A request that somebody vetoed can be executed.
    VetoIgnored,
    /// A request can be executed before it has rested.
    RestSkipped,
    /// Replay passes over tombstones.
    TombstoneNotReplayed,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 31] = [
        Plant::AckAtOneCopy,
        Plant::AckOneFrameEarly,
        Plant::FrameUnflushed,
        Plant::LabelUnflushed,
        Plant::ChunkUnflushed,
        Plant::SealBeforeFrames,
        Plant::TornFrameAdopted,
        Plant::DamageTakenForEnd,
        Plant::RepairForgotten,
        Plant::StaleDiskBelieved,
        Plant::ExpulsionUnlabelled,
        Plant::SnapshotAhead,
        Plant::SnapshotUnsettled,
        Plant::UnitGivenTwice,
        Plant::MarkerNotReplayed,
        Plant::RetentionNotReplayed,
        Plant::RepairMisplaced,
        Plant::LastFrameUnscrubbed,
        Plant::JoinBeforeFilled,
        Plant::HoleDelivered,
        Plant::AwayTakenForBlank,
        Plant::EpochIgnored,
        Plant::TombstoneUnjudged,
        Plant::CaseForgotten,
        Plant::ScopeUnchecked,
        Plant::MonthUnspared,
        Plant::DestroyedUncut,
        Plant::DestroyedHalf,
        Plant::VetoIgnored,
        Plant::RestSkipped,
        Plant::TombstoneNotReplayed,
    ];

    /// Whether only a vault with people shows it.
    #[must_use]
    pub fn needs_people(self) -> bool {
        self >= Plant::TombstoneUnjudged
    }

    /// The bug of this name: its words in small letters with hyphens.
    #[must_use]
    pub fn named(name: &str) -> Option<Plant> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

#[cfg(feature = "plants")]
mod switch {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Plant;

    /// One more than the number of the bug that is on; 0 for none.
    static ON: AtomicU32 = AtomicU32::new(0);

    /// Whether this bug is on.
    #[must_use]
    pub fn on(plant: Plant) -> bool {
        ON.load(Ordering::Relaxed) == plant as u32 + 1
    }

    /// Switches one bug on and all others off.
    pub fn switch_on(plant: Plant) {
        ON.store(plant as u32 + 1, Ordering::Relaxed);
    }
}

#[cfg(feature = "plants")]
pub use switch::{on, switch_on};

/// Whether this bug is on: never, in a build without the feature.
#[cfg(not(feature = "plants"))]
#[must_use]
pub const fn on(_plant: Plant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::Plant;

    #[test]
    fn every_name_leads_to_its_bug() {
        for plant in Plant::ALL {
            assert_eq!(Plant::named(&plant.name()), Some(plant));
        }
        assert_eq!(Plant::AckAtOneCopy.name(), "ack-at-one-copy");
    }

    #[cfg(not(feature = "plants"))]
    #[test]
    fn no_bug_can_be_on_without_the_feature() {
        assert!(!Plant::ALL.into_iter().any(super::on));
    }
}
