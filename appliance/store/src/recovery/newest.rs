//! Which label of a pool counts: a decision table.
//!
//! The highest generation counts, promises aside. Generations are in the order of time: a start first writes
//! a promise on every disk that will take part, more than half of the voters, and states a membership only
//! then. So every later start sees a promise of it, and goes on above.
//!
//! Nothing is written under a label before every disk it calls active has it: a label is *refuted* when one
//! of those disks is here and has come less far. The label that a start begins with is left out then, as if it
//! had not been written.
//!
//! | different labels of the highest generation that is left | not refuted | which counts |
//! |---|---|---|
//! | one | any | it |
//! | several | one | that one |
//! | several | none | any of them: none was ever in force |
//! | several | several | cannot tell: write nothing, ask for the disks they name |
//!
//! Two labels of one generation are no work of starts as described; a disk that was put back to an earlier
//! state can bring them about.

use stele_format::label::{DynamicLabel, LabelPhase, MemberState};
use stele_format::units::DiskId;

/// The label that counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Newest<'a> {
    /// No disk has a label.
    None,
    /// This one.
    One(&'a DynamicLabel),
    /// One of several.
    CannotTell {
        /// Disks that would tell.
        missing: String,
    },
}

/// The table, on the label of each disk that is here.
pub(super) fn newest<'a>(labels: &[&'a DynamicLabel]) -> Newest<'a> {
    let mut left: Vec<&DynamicLabel> = labels.to_vec();
    left.retain(|label| label.phase != LabelPhase::Begin || !is_refuted(label, labels));
    if left.is_empty() {
        left = labels.to_vec();
    }
    let Some(highest) = left.iter().map(|label| label.generation).max() else {
        return Newest::None;
    };
    let mut different: Vec<&DynamicLabel> = Vec::new();
    for label in left.iter().filter(|label| label.generation == highest) {
        if !different.iter().any(|other| says_the_same(other, label)) {
            different.push(label);
        }
    }
    let standing: Vec<&DynamicLabel> = different
        .iter()
        .filter(|label| !is_refuted(label, labels))
        .copied()
        .collect();
    match (different.as_slice(), standing.as_slice()) {
        ([one], _) | (_, [one]) | ([one, ..], []) => Newest::One(one),
        _ => Newest::CannotTell {
            missing: missing(&standing, labels),
        },
    }
}

fn says_the_same(one: &DynamicLabel, other: &DynamicLabel) -> bool {
    one.generation == other.generation && one.epoch == other.epoch && one.members == other.members
}

/// Whether a disk that the label calls active is here and has not come so far. One that missed what is
/// known to be in force proves nothing: it is an old copy.
fn is_refuted(label: &DynamicLabel, labels: &[&DynamicLabel]) -> bool {
    let in_force = labels.iter().map(|other| other.in_force).max();
    let refutes = |other: &DynamicLabel| {
        let behind = other.generation < label.generation;
        let differs = other.generation == label.generation && !says_the_same(label, other);
        Some(other.generation) >= in_force && (behind || differs)
    };
    active(label).any(|disk| {
        let mut of_it = labels.iter().filter(|other| other.disk == disk);
        of_it.any(|other| refutes(other))
    })
}

fn active(label: &DynamicLabel) -> impl Iterator<Item = DiskId> {
    let members = label.members.iter();
    let active = members.filter(|member| member.state == MemberState::Active);
    active.map(|member| member.disk)
}

fn missing(standing: &[&DynamicLabel], labels: &[&DynamicLabel]) -> String {
    let mut wanted: Vec<DiskId> = standing.iter().flat_map(|label| active(label)).collect();
    wanted.retain(|disk| !labels.iter().any(|label| label.disk == *disk));
    wanted.sort_unstable();
    wanted.dedup();
    let names: Vec<String> = wanted.iter().map(|disk| format!("disk {disk}")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use stele_format::label::{DynamicLabel, LabelMember, LabelPhase, MemberState};
    use stele_format::units::{DiskId, Epoch, Generation, PoolId, SegmentId, Sequence, UnitCount};

    use super::{Newest, newest};

    fn disk(number: u8) -> DiskId {
        DiskId::new([number + 1; 16])
    }

    /// A label of a pool of five disks.
    fn label(number: u8, rank: (u64, u64), active: &[u8]) -> DynamicLabel {
        let member = |of: u8| LabelMember {
            disk: disk(of),
            state: if active.contains(&of) {
                MemberState::Active
            } else {
                MemberState::Absent
            },
            voter: true,
            last_generation: Generation::new(rank.1),
        };
        DynamicLabel {
            pool: PoolId::new([9; 16]),
            disk: disk(number),
            generation: Generation::new(rank.1),
            in_force: Generation::new(rank.0),
            epoch: Epoch::new(3),
            watermark: Sequence::ZERO,
            next_segment: SegmentId::new(1),
            units_high_water: UnitCount::new(0),
            clean_stop: false,
            phase: LabelPhase::Running,
            journal_segment: SegmentId::new(1),
            members: (0..5).map(member).collect(),
            cutoffs: Vec::new(),
        }
    }

    /// The active disks of the label that counts, or none if nobody can tell.
    fn check(labels: &[(u8, u64, &[u8])], expected: Option<&[u8]>) {
        let made: Vec<DynamicLabel> = labels
            .iter()
            .map(|(number, generation, active)| label(*number, (6, *generation), active))
            .collect();
        let found = match newest(&made.iter().collect::<Vec<_>>()) {
            Newest::One(found) => Some(found.members.clone()),
            Newest::CannotTell { .. } => None,
            Newest::None => panic!("there are labels"),
        };
        let expected = expected.map(|active| label(0, (0, 0), active).members);
        let active = |members: Vec<LabelMember>| -> Vec<DiskId> {
            let of = members.iter();
            let of = of.filter(|member| member.state == MemberState::Active);
            of.map(|member| member.disk).collect()
        };
        assert_eq!(found.map(active), expected.map(active), "{labels:?}");
    }

    #[test]
    fn the_label_that_counts_is_decided_by_who_carries_it() {
        const ALL: &[u8] = &[0, 1, 2, 3, 4];
        const A: &[u8] = &[0, 1, 2];
        const B: &[u8] = &[2, 3, 4];
        // One label, complete or cut short.
        check(&[(0, 7, ALL), (1, 7, ALL)], Some(ALL));
        check(&[(0, 8, A), (1, 7, ALL), (2, 7, ALL)], Some(A));
        // The one that was completed counts, however few of its disks are here.
        check(&[(0, 8, A), (1, 8, A), (2, 8, B)], Some(B));
        check(&[(0, 8, A), (2, 8, B), (3, 8, B), (4, 8, B)], Some(B));
        check(&[(0, 8, A), (1, 8, A), (3, 8, B), (2, 8, A)], Some(A));
        // Neither was completed.
        check(&[(0, 8, A), (1, 7, ALL), (3, 8, B), (4, 7, ALL)], Some(A));
        // Either may have been.
        check(&[(0, 8, A), (1, 8, A), (3, 8, B), (4, 8, B)], None);
    }

    #[test]
    fn the_label_a_start_begins_with_is_left_out_where_a_disk_shows_that_it_was_cut() {
        const ALL: &[u8] = &[0, 1, 2];
        let begun = |number, generation| DynamicLabel {
            phase: LabelPhase::Begin,
            ..label(number, (6, generation), &[0, 1])
        };
        let counts = |labels: &[DynamicLabel]| match newest(&labels.iter().collect::<Vec<_>>()) {
            Newest::One(found) => found.generation.get(),
            other => panic!("{other:?}"),
        };
        let before = |number| label(number, (6, 7), ALL);
        assert_eq!(counts(&[begun(0, 8), before(1), before(2)]), 7);
        // Complete, or not known not to be.
        assert_eq!(counts(&[begun(0, 8), begun(1, 8), before(2)]), 8);
        assert_eq!(counts(&[begun(0, 8), before(2)]), 8);
        // An old copy of a disk proves nothing.
        assert_eq!(counts(&[begun(0, 8), label(1, (4, 5), ALL), before(2)]), 8);
        // The second of two such starts was cut; the first reached both.
        assert_eq!(
            counts(&[begun(0, 9), begun(1, 8), label(2, (4, 5), ALL)]),
            8
        );
    }

    #[test]
    fn where_nobody_can_tell_the_disk_that_knows_is_named() {
        let made = [label(0, (6, 8), &[0, 1, 2]), label(3, (6, 8), &[2, 3])];
        let Newest::CannotTell { missing } = newest(&made.iter().collect::<Vec<_>>()) else {
            panic!("either may have been in force")
        };
        assert_eq!(missing, format!("disk {}, disk {}", disk(1), disk(2)));
    }
}
