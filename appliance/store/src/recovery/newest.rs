//! Which label of a pool counts: a decision table.
//!
//! The highest generation counts, promises aside. Generations are in the order of time: a start first writes
//! a promise on every disk that will take part, more than half of the voters, and states a membership only
//! then. So every later start sees a promise of it, and goes on above.
//!
//! Nothing is written under a label before every disk it calls active has it: a label is *refuted* when one
//! of those disks is here and has come less far, or has no label at all. The label that a start begins with is left out then, as if it
//! had not been written, and so is one that only adds disks to the voters it states: nothing was acknowledged
//! under them, and they take nobody's vote away.
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
//!
//! Where the one that counts is the label that a start begins with, a disk that has nothing newer shows that
//! this start acknowledged nothing: its last label would be on all of them. That one may be on others, though,
//! and more than half of its disks could go on with it. So the label is *passed over* for the one before it only
//! if at least half of its disks are here and go on: then no such half is left, and whoever sees it shares a disk
//! with this start. What a start passed over is written nowhere, so of every label begun before the one that
//! counts half of the disks must go on too, unless something came in force since.
//!
//! A running label that all its active disks show was on all of them, so that the vault that wrote it went on
//! with them alone: they are the voters, as they were for it.

use stele_format::label::{DynamicLabel, LabelPhase, MemberState};
use stele_format::units::DiskId;

/// Labels of one disk that are no promises, newest first.
pub(super) type Ring<'a> = Vec<&'a DynamicLabel>;

/// The label that counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Newest<'a> {
    /// No disk has a label.
    None,
    /// This one.
    One {
        /// It.
        label: &'a DynamicLabel,
        /// Labels passed over for it: of the disks of each, half must go on.
        passed: Vec<&'a DynamicLabel>,
    },
    /// One of several.
    CannotTell {
        /// Disks that would tell.
        missing: String,
    },
}

/// The newest labels of the disks that are here, and the disks that never had one.
struct Here<'a> {
    labels: Vec<&'a DynamicLabel>,
    bare: &'a [DiskId],
}

/// The table, on the labels of each disk that is here; `bare` are those that never had one.
pub(super) fn newest<'a>(rings: &[Ring<'a>], bare: &'a [DiskId]) -> Newest<'a> {
    let labels: Vec<&DynamicLabel> = rings
        .iter()
        .filter_map(|ring| ring.first().copied())
        .collect();
    let here = Here { labels, bare };
    let counts = |label: &&DynamicLabel| !takes_nothing(label) || !here.refutes(label);
    let keep = |ring: &Ring<'a>| ring.iter().copied().filter(counts).collect();
    let left: Vec<Ring<'a>> = rings.iter().map(keep).collect();
    if left.iter().all(Vec::is_empty) {
        return newest_of(rings, &here);
    }
    newest_of(&left, &here)
}

/// The newest of those left, in the light of the newest of each disk.
fn newest_of<'a>(left: &[Ring<'a>], here: &Here<'a>) -> Newest<'a> {
    let firsts = || left.iter().filter_map(|ring| ring.first().copied());
    let Some(highest) = firsts().map(|label| label.generation).max() else {
        return Newest::None;
    };
    let mut different: Vec<&DynamicLabel> = Vec::new();
    for label in firsts().filter(|label| label.generation == highest) {
        if !different.iter().any(|other| says_the_same(other, label)) {
            different.push(label);
        }
    }
    let refuted = |label: &&&DynamicLabel| here.refutes(label);
    let standing: Vec<&DynamicLabel> = different.iter().filter(|l| !refuted(l)).copied().collect();
    let label = match (different.as_slice(), standing.as_slice()) {
        ([one], _) | (_, [one]) | ([one, ..], []) => *one,
        _ => {
            return Newest::CannotTell {
                missing: missing(&standing, &here.labels),
            };
        }
    };
    pass_over(label, left, here).unwrap_or_else(|| Newest::One {
        label,
        passed: begun_before(label, left, here),
    })
}

/// Other starts that were begun since what is known to be in force, where the label that counts is of one
/// too: it may have passed them over, and kept half of their disks for that.
fn begun_before<'a>(
    label: &DynamicLabel,
    left: &[Ring<'a>],
    here: &Here<'_>,
) -> Vec<&'a DynamicLabel> {
    let in_force = here.labels.iter().map(|other| other.in_force).max();
    let since = |other: &&DynamicLabel| {
        other.phase == LabelPhase::Begin
            && Some(other.generation) > in_force
            && other.generation < label.generation
    };
    let mut begun: Vec<&DynamicLabel> = Vec::new();
    if label.phase == LabelPhase::Begin {
        for other in left.iter().flatten().copied().filter(since) {
            if !begun.iter().any(|known| says_the_same(known, other)) {
                begun.push(other);
            }
        }
    }
    begun
}

/// The label before this one, if that is of a start that acknowledged nothing and half of its disks go on.
fn pass_over<'a>(
    label: &'a DynamicLabel,
    left: &[Ring<'a>],
    here: &Here<'a>,
) -> Option<Newest<'a>> {
    let before = |ring: &Ring<'a>| -> Ring<'a> {
        let older = ring
            .iter()
            .filter(|other| other.generation < label.generation);
        older.copied().collect()
    };
    if label.phase != LabelPhase::Begin {
        return None;
    }
    let older: Vec<Ring<'a>> = left.iter().map(before).collect();
    let Newest::One {
        label: before,
        mut passed,
    } = newest_of(&older, here)
    else {
        return None;
    };
    let in_force = here.labels.iter().map(|other| other.in_force).max()?;
    let goes_on = |disk: &DiskId| {
        let mut of_it = here.labels.iter().filter(|other| other.disk == *disk);
        let whole = of_it.any(|other| other.generation >= in_force);
        whole && active(before).any(|active| active == *disk)
    };
    let count = active(label).filter(goes_on).count();
    let half = 2 * count >= active(label).count();
    passed.push(label);
    (half && before.generation >= in_force).then_some(Newest::One {
        label: before,
        passed,
    })
}

/// Whether nothing was acknowledged under a label that did not reach all its disks, and it takes no vote away.
fn takes_nothing(label: &DynamicLabel) -> bool {
    let mut members = label.members.iter();
    let adds = members.any(|member| member.state == MemberState::Active && !member.voter);
    let mut voters = label.members.iter().filter(|member| member.voter);
    let keeps = voters.all(|member| member.state == MemberState::Active);
    label.phase == LabelPhase::Begin || (adds && keeps)
}

/// Whether every disk that a running label calls active has it.
pub(super) fn is_complete(label: &DynamicLabel, rings: &[Ring<'_>]) -> bool {
    let has_it = |disk: DiskId| {
        let mut labels = rings.iter().flatten().filter(|other| other.disk == disk);
        labels.any(|other| says_the_same(other, label))
    };
    label.phase == LabelPhase::Running && active(label).all(has_it)
}

fn says_the_same(one: &DynamicLabel, other: &DynamicLabel) -> bool {
    one.generation == other.generation && one.epoch == other.epoch && one.members == other.members
}

impl Here<'_> {
    /// Whether a disk that the label calls active is here and has not come so far. One that missed what is
    /// known to be in force proves nothing: it is an old copy.
    fn refutes(&self, label: &DynamicLabel) -> bool {
        let in_force = self.labels.iter().map(|other| other.in_force).max();
        let refutes = |other: &DynamicLabel| {
            let behind = other.generation < label.generation;
            let differs = other.generation == label.generation && !says_the_same(label, other);
            Some(other.generation) >= in_force && (behind || differs)
        };
        active(label).any(|disk| {
            let mut of_it = self.labels.iter().filter(|other| other.disk == disk);
            self.bare.contains(&disk) || of_it.any(|other| refutes(other))
        })
    }
}

/// The disks that a label calls active.
pub(super) fn active(label: &DynamicLabel) -> impl Iterator<Item = DiskId> {
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

    use super::{Newest, Ring, newest};

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
            forgotten_frames: 0,
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

    /// Disks with one label each.
    fn rings(labels: &[DynamicLabel]) -> Vec<Ring<'_>> {
        labels.iter().map(|label| vec![label]).collect()
    }

    /// The active disks of the label that counts, or none if nobody can tell.
    fn check(labels: &[(u8, u64, &[u8])], expected: Option<&[u8]>) {
        let made: Vec<DynamicLabel> = labels
            .iter()
            .map(|(number, generation, active)| label(*number, (6, *generation), active))
            .collect();
        let found = match newest(&rings(&made), &[]) {
            Newest::One { label, .. } => Some(label.members.clone()),
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
        let counts = |labels: &[DynamicLabel]| match newest(&rings(labels), &[]) {
            Newest::One { label, .. } => label.generation.get(),
            other => panic!("{other:?}"),
        };
        let before = |number| label(number, (6, 7), ALL);
        assert_eq!(counts(&[begun(0, 8), before(1), before(2)]), 7);
        // The second of two such starts was cut; of the first nothing tells what was before.
        assert_eq!(
            counts(&[begun(0, 9), begun(1, 8), label(2, (4, 5), ALL)]),
            8
        );
    }

    #[test]
    fn the_label_a_start_begins_with_is_passed_over_if_half_of_its_disks_go_on() {
        const ALL: &[u8] = &[0, 1, 2, 3, 4];
        const FOUR: &[u8] = &[0, 1, 2, 3];
        let begun = |number| DynamicLabel {
            phase: LabelPhase::Begin,
            ..label(number, (6, 8), FOUR)
        };
        let check = |labels: &[DynamicLabel], expected: u64, passed_over: usize| {
            let rings = rings(labels);
            let Newest::One { label, passed } = newest(&rings, &[]) else {
                panic!("{labels:?}")
            };
            let found = (label.generation.get(), passed.len());
            assert_eq!(found, (expected, passed_over), "{labels:?}");
        };
        let before = |number| label(number, (6, 7), ALL);
        check(&[begun(0), begun(1), before(4)], 7, 1);
        check(&[begun(0), begun(1), begun(2), begun(3), before(4)], 7, 1);
        check(&[begun(0), before(4)], 8, 0);
        // An old copy does not go on.
        check(&[begun(0), label(1, (4, 5), ALL), before(4)], 8, 0);
        // The one before must be known to have been in force.
        check(&[begun(0), begun(1), label(4, (4, 5), ALL)], 8, 0);
        // The last label of that start may have been on all of its disks.
        check(&[begun(0), begun(1), label(2, (6, 9), FOUR)], 9, 0);
    }

    #[test]
    fn where_nobody_can_tell_the_disk_that_knows_is_named() {
        let made = [label(0, (6, 8), &[0, 1, 2]), label(3, (6, 8), &[2, 3])];
        let Newest::CannotTell { missing } = newest(&rings(&made), &[]) else {
            panic!("either may have been in force")
        };
        assert_eq!(missing, format!("disk {}, disk {}", disk(1), disk(2)));
    }
}
