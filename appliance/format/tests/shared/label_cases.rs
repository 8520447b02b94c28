//! Which label of a pool counts, as a table of cases: what each disk that is here shows, and what follows.
//!
//! A start, the status of a vault that nothing serves, and the verifier decide it each for itself; their tests
//! take their cases from here.

use stele_format::geometry::DiskGeometry;
use stele_format::label::{DynamicLabel, LabelCopy, LabelMember, LabelPhase, MemberState};
use stele_format::units::{DiskId, Epoch, Generation, Opening, Sequence};

use LabelCopy::{A, B, C, D};
use LabelPhase::{Begin, Promise, Running};

/// One label of a disk.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Its generation.
    pub generation: u64,
    /// The generation it knows to have come in force.
    pub in_force: u64,
    /// Why it was written.
    pub phase: LabelPhase,
    /// Disks it calls active, by number from 0.
    pub active: &'static [usize],
    /// Disks it calls voters.
    pub voters: &'static [usize],
    /// How often the vault was forced open.
    pub opening: u32,
    /// Which forced opening's start wrote it.
    pub start: u32,
    /// Copies of it of which the first sector alone is there.
    pub torn: &'static [LabelCopy],
    /// Copies that are blank in its place.
    pub blank: &'static [LabelCopy],
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The label of this generation counts.
    Counts {
        /// Which.
        generation: u64,
        /// Disks that are here and take part.
        take_part: &'static [usize],
        /// Whether they may write.
        write: bool,
    },
    /// Only these disks would tell.
    CannotTell {
        /// Which.
        missing: &'static [usize],
    },
}

/// A case: the labels of each disk, newest last; none of a disk that is not here.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it is about.
    pub what: &'static str,
    /// Every disk of the pool.
    pub disks: &'static [&'static [Shown]],
    /// What follows.
    pub expected: Expected,
}

const fn label(
    phase: LabelPhase,
    (generation, in_force): (u64, u64),
    active: &'static [usize],
    voters: &'static [usize],
) -> Shown {
    Shown {
        generation,
        in_force,
        phase,
        active,
        voters,
        opening: 0,
        start: 0,
        torn: &[],
        blank: &[],
    }
}

/// The same, of which no copy is whole.
const fn torn(torn: &'static [LabelCopy], blank: &'static [LabelCopy], label: Shown) -> Shown {
    Shown {
        torn,
        blank,
        ..label
    }
}

/// The same after forced openings.
const fn forced(opening: u32, label: Shown) -> Shown {
    let start = opening;
    Shown {
        opening,
        start,
        ..label
    }
}

/// The same, by the start of a forced opening that has not happened yet.
const fn forcing(start: u32, label: Shown) -> Shown {
    Shown { start, ..label }
}

const fn counts(generation: u64, take_part: &'static [usize], write: bool) -> Expected {
    Expected::Counts {
        generation,
        take_part,
        write,
    }
}

/// What all disks of a pool of three, four or five had last.
const ALL3: Shown = label(Running, (7, 6), &[0, 1, 2], &[0, 1, 2]);
const ALL4: Shown = label(Running, (7, 6), &[0, 1, 2, 3], &[0, 1, 2, 3]);
const ALL5: Shown = label(Running, (7, 6), &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
/// A start of two of three disks.
const BEGUN: Shown = label(Begin, (9, 7), &[1, 2], &[0, 1, 2]);
const BEGUN_ENDED: Shown = label(Running, (10, 9), &[1, 2], &[1, 2]);
const PROMISED: Shown = label(Promise, (8, 7), &[1, 2], &[0, 1, 2]);
/// A start of three of five disks.
const OF_FIVE: Shown = label(Begin, (9, 7), &[0, 1, 2], &[0, 1, 2, 3, 4]);
/// A disk that is here and never had a label of this kind.
const BARE: Shown = label(Running, (0, 0), &[], &[]);
/// Half of four disks, after the others were lost at once.
const HALF: Shown = label(Running, (8, 7), &[0, 1], &[0, 1, 2, 3]);
/// A fourth disk is to take part.
const ADDED: Shown = label(Running, (8, 7), &[0, 1, 2, 3], &[0, 1, 2]);
/// The last of five disks was put out.
const PUT_OUT: Shown = label(Running, (8, 7), &[0, 1, 2, 3], &[0, 1, 2, 3, 4]);

/// One of three disks was forced open alone, and came to its last label, or not.
const ALONE_BEGUN: Shown = forcing(1, label(Begin, (601, 7), &[0], &[0, 1, 2]));
const PAIR_BEGUN: Shown = forcing(1, label(Begin, (601, 7), &[0, 1], &[0, 1, 2]));
const PAIR: Shown = forced(1, label(Running, (602, 601), &[0, 1], &[0, 1]));
/// One of the two was to be forced open alone, whose frames show no forced opening.
const SECOND_BEGUN: Shown = forcing(2, label(Begin, (1205, 601), &[0], &[0, 1]));
const SECOND_BEGUN_THERE: Shown = forcing(2, label(Begin, (1205, 7), &[1], &[0, 1, 2]));
const ALONE: Shown = forced(1, label(Running, (602, 601), &[0], &[0]));

/// The table.
pub const CASES: &[Case] = &[
    Case {
        what: "all disks say the same",
        disks: &[&[ALL3], &[ALL3], &[ALL3]],
        expected: counts(7, &[0, 1, 2], true),
    },
    Case {
        what: "more than half is enough, half is not",
        disks: &[&[ALL4], &[ALL4], &[], &[]],
        expected: counts(7, &[0, 1], false),
    },
    Case {
        what: "a promise states nothing",
        disks: &[&[ALL3], &[ALL3, PROMISED], &[ALL3, PROMISED]],
        expected: counts(7, &[0, 1, 2], true),
    },
    Case {
        what: "a start that a cut ended when one disk had its label is as if it had not been",
        disks: &[&[ALL3], &[ALL3, PROMISED, BEGUN], &[ALL3, PROMISED]],
        expected: counts(7, &[0, 1, 2], true),
    },
    Case {
        what: "a start that told nobody anything does not bind half of its disks",
        disks: &[&[ALL3], &[ALL3, PROMISED, BEGUN], &[]],
        expected: counts(7, &[0, 1], true),
    },
    Case {
        what: "nor all of them",
        disks: &[&[ALL3], &[ALL3, PROMISED, BEGUN], &[ALL3, PROMISED, BEGUN]],
        expected: counts(7, &[0, 1, 2], true),
    },
    Case {
        what: "it binds fewer, since the rest could go on",
        disks: &[&[], &[], &[ALL5, OF_FIVE], &[ALL5], &[ALL5]],
        expected: counts(9, &[2], false),
    },
    Case {
        what: "a start that came to its last label binds",
        disks: &[&[ALL3], &[], &[ALL3, PROMISED, BEGUN, BEGUN_ENDED]],
        expected: counts(10, &[2], false),
    },
    Case {
        what: "the disk that was away from it is stale when it is in force",
        disks: &[&[ALL3], &[BEGUN, BEGUN_ENDED], &[BEGUN, BEGUN_ENDED]],
        expected: counts(10, &[1, 2], true),
    },
    Case {
        what: "the half that a vault went on with goes on after a cut",
        disks: &[&[ALL4, HALF], &[ALL4, HALF], &[], &[]],
        expected: counts(8, &[0, 1], true),
    },
    Case {
        what: "the half that was lost does not",
        disks: &[&[], &[], &[ALL4], &[ALL4]],
        expected: counts(7, &[2, 3], false),
    },
    Case {
        what: "one of the half binds the lost half",
        disks: &[&[], &[ALL4, HALF], &[ALL4], &[ALL4]],
        expected: counts(8, &[1], false),
    },
    Case {
        what: "a half that not both disks show binds, and does not go on",
        disks: &[&[ALL4, HALF], &[ALL4], &[ALL4], &[ALL4]],
        expected: counts(8, &[0, 1], false),
    },
    Case {
        what: "a start of the half remembers that it was all there was",
        disks: &[
            &[],
            &[ALL4, HALF, label(Begin, (10, 8), &[0, 1], &[0, 1])],
            &[ALL4],
            &[ALL4],
        ],
        expected: counts(8, &[1], false),
    },
    Case {
        what: "a disk that is added counts for nothing before all have the label that says so",
        disks: &[&[ALL3, ADDED], &[], &[ALL3], &[]],
        expected: counts(7, &[0, 2], true),
    },
    Case {
        what: "nor if it is here and has no label",
        disks: &[&[ALL3, ADDED], &[], &[ALL3, ADDED], &[BARE]],
        expected: counts(7, &[0, 2], true),
    },
    Case {
        what: "nor if a cut ended its first label before the second pair was begun",
        disks: &[
            &[ALL3, ADDED],
            &[],
            &[ALL3, ADDED],
            &[torn(&[A, C], &[B, D], ADDED)],
        ],
        expected: counts(7, &[0, 2], true),
    },
    Case {
        what: "nor if that was in one copy alone",
        disks: &[
            &[ALL3, ADDED],
            &[],
            &[ALL3, ADDED],
            &[torn(&[C], &[A, B, D], ADDED)],
        ],
        expected: counts(7, &[0, 2], true),
    },
    Case {
        what: "it counts if it had a label that rotted",
        disks: &[
            &[ALL3, ADDED],
            &[],
            &[ALL3, ADDED],
            &[torn(&[A, B, C, D], &[], ADDED)],
        ],
        expected: counts(8, &[0, 2], false),
    },
    Case {
        what: "and if the second pair was begun",
        disks: &[
            &[ALL3, ADDED],
            &[],
            &[ALL3, ADDED],
            &[torn(&[A, B, C], &[D], ADDED)],
        ],
        expected: counts(8, &[0, 2], false),
    },
    Case {
        what: "it counts if they may have it",
        disks: &[&[ALL3, ADDED], &[ALL3, ADDED], &[], &[]],
        expected: counts(8, &[0, 1], false),
    },
    Case {
        what: "it takes part with those that have it",
        disks: &[&[ALL3, ADDED], &[ALL3, ADDED], &[], &[ADDED]],
        expected: counts(8, &[0, 1, 3], true),
    },
    Case {
        what: "a label that puts a disk out binds although not all have it",
        disks: &[&[ALL5, PUT_OUT], &[ALL5], &[ALL5], &[ALL5], &[ALL5]],
        expected: counts(8, &[0, 1, 2, 3], true),
    },
    Case {
        what: "a start of disks that put another out does not bring it back",
        disks: &[
            &[],
            &[
                ALL5,
                PUT_OUT,
                label(Begin, (10, 7), &[0, 1, 2], &[0, 1, 2, 3, 4]),
            ],
            &[
                ALL5,
                PUT_OUT,
                label(Begin, (10, 7), &[0, 1, 2], &[0, 1, 2, 3, 4]),
            ],
            &[],
            &[ALL5],
        ],
        expected: counts(8, &[1, 2], false),
    },
    Case {
        what: "a start that was cut passed over another one, half of whose disks must go on still",
        disks: &[
            &[],
            &[
                ALL5,
                label(Begin, (9, 7), &[0, 1, 4], &[0, 1, 2, 3, 4]),
                label(Begin, (11, 7), &[1, 2, 3, 4], &[0, 1, 2, 3, 4]),
            ],
            &[ALL5, label(Begin, (11, 7), &[1, 2, 3, 4], &[0, 1, 2, 3, 4])],
            &[ALL5, label(Begin, (11, 7), &[1, 2, 3, 4], &[0, 1, 2, 3, 4])],
            &[],
        ],
        expected: counts(11, &[1, 2, 3], false),
    },
    Case {
        what: "of two labels of one generation the one counts that may have been in force",
        disks: &[
            &[ALL5, label(Running, (8, 7), &[0, 1, 2], &[0, 1, 2])],
            &[ALL5, label(Running, (8, 7), &[0, 1, 2], &[0, 1, 2])],
            &[ALL5, label(Running, (8, 7), &[2, 3, 4], &[2, 3, 4])],
            &[],
            &[],
        ],
        expected: counts(8, &[2], false),
    },
    Case {
        what: "of two that both may have been in force nobody can tell",
        disks: &[
            &[ALL5, label(Running, (8, 7), &[0, 1, 2], &[0, 1, 2])],
            &[ALL5, label(Running, (8, 7), &[0, 1, 2], &[0, 1, 2])],
            &[],
            &[ALL5, label(Running, (8, 7), &[2, 3, 4], &[2, 3, 4])],
            &[],
        ],
        expected: Expected::CannotTell { missing: &[2, 4] },
    },
    Case {
        what: "a disk that was forced open counts alone, however far the others went on",
        disks: &[
            &[ALL3, ALONE_BEGUN, ALONE],
            &[ALL3, label(Running, (5000, 4999), &[1, 2], &[1, 2])],
            &[ALL3, label(Running, (5000, 4999), &[1, 2], &[1, 2])],
        ],
        expected: counts(602, &[0], true),
    },
    Case {
        what: "a forced opening that was cut before its last label is as if it had not been",
        disks: &[&[ALL3, ALONE_BEGUN], &[ALL3], &[ALL3]],
        expected: counts(7, &[0, 1, 2], true),
    },
    Case {
        what: "and opens nothing by itself",
        disks: &[&[ALL3, ALONE_BEGUN], &[], &[]],
        expected: counts(7, &[0], false),
    },
    Case {
        what: "nor where the others have gone on meanwhile",
        disks: &[
            &[ALL3, ALONE_BEGUN],
            &[ALL3, label(Running, (14, 12), &[1, 2], &[1, 2])],
            &[ALL3, label(Running, (14, 12), &[1, 2], &[1, 2])],
        ],
        expected: counts(14, &[1, 2], true),
    },
    Case {
        what: "nor does it make a disk whole that missed writes before",
        disks: &[
            &[ALL3, PAIR_BEGUN],
            &[ALL3, label(Running, (14, 12), &[0, 1, 2], &[0, 1, 2])],
            &[ALL3, label(Running, (14, 12), &[0, 1, 2], &[0, 1, 2])],
        ],
        expected: counts(14, &[1, 2], true),
    },
    Case {
        what: "one that was cut in its last labels goes on with all its disks",
        disks: &[&[ALL3, PAIR_BEGUN, PAIR], &[ALL3, PAIR_BEGUN], &[]],
        expected: counts(602, &[0, 1], true),
    },
    Case {
        what: "but not with one that went on elsewhere",
        disks: &[
            &[ALL3, PAIR_BEGUN, PAIR],
            &[ALL3, label(Running, (5000, 4999), &[1, 2], &[1, 2])],
            &[],
        ],
        expected: counts(602, &[0], false),
    },
    Case {
        what: "of two disks that were forced open apart one counts, and never both",
        disks: &[
            &[ALL3, ALONE],
            &[ALL3, forced(1, label(Running, (605, 604), &[1], &[1]))],
            &[],
        ],
        expected: counts(605, &[1], true),
    },
    Case {
        what: "a second forced opening counts more than the first",
        disks: &[
            &[
                ALL3,
                forced(1, label(Running, (5000, 4999), &[0, 2], &[0, 2])),
            ],
            &[ALL3, forced(2, label(Running, (1205, 1204), &[1], &[1]))],
            &[
                ALL3,
                forced(1, label(Running, (5000, 4999), &[0, 2], &[0, 2])),
            ],
        ],
        expected: counts(1205, &[1], true),
    },
    Case {
        what: "and one that was cut on a disk without frames of the first does not undo the first",
        disks: &[&[ALL3, PAIR, SECOND_BEGUN], &[], &[ALL3]],
        expected: counts(602, &[0], false),
    },
    Case {
        what: "nor part its disks",
        disks: &[&[ALL3, PAIR, SECOND_BEGUN], &[ALL3, PAIR], &[ALL3]],
        expected: counts(602, &[0, 1], true),
    },
    Case {
        what: "but a disk that lacks the last label of the first is behind it then",
        disks: &[
            &[ALL3, PAIR_BEGUN, PAIR],
            &[ALL3, PAIR_BEGUN, SECOND_BEGUN_THERE],
            &[],
        ],
        expected: counts(602, &[0], false),
    },
    Case {
        what: "a start after a forced opening is cut like any other",
        disks: &[
            &[
                ALL3,
                forced(1, label(Running, (602, 601), &[0, 1], &[0, 1])),
                forced(1, label(Begin, (604, 602), &[0], &[0, 1])),
            ],
            &[
                ALL3,
                forced(1, label(Running, (602, 601), &[0, 1], &[0, 1])),
            ],
            &[ALL3],
        ],
        expected: counts(602, &[0, 1], true),
    },
];

/// What of a label of disk `number` a copy shows.
#[must_use]
pub fn block(
    (case, number): (&Case, usize),
    label: &DynamicLabel,
    geometry: &DiskGeometry,
    copy: LabelCopy,
) -> Vec<u8> {
    const SECTOR: usize = 512;
    let shown = case.disks.get(number).into_iter().flat_map(|ring| *ring);
    let mut shown = shown.filter(|shown| shown.generation == label.generation.get());
    let (torn, blank) = shown
        .next()
        .map_or((&[][..], &[][..]), |shown| (shown.torn, shown.blank));
    let whole = label.encode(geometry, copy).expect("a label that fits");
    let left = match () {
        () if blank.contains(&copy) => 0,
        () if torn.contains(&copy) => SECTOR,
        () => whole.len(),
    };
    let bytes = whole.iter().enumerate();
    bytes
        .map(|(at, byte)| if at < left { *byte } else { 0 })
        .collect()
}

/// The labels of a case, those of each disk oldest first. What they do not say is taken from `of`, which has
/// the id of the pool, and ids from `disk`.
#[must_use]
pub fn rings(
    case: &Case,
    of: &DynamicLabel,
    disk: impl Fn(usize) -> DiskId,
) -> Vec<Vec<DynamicLabel>> {
    let made = |number: usize, shown: &Shown| DynamicLabel {
        disk: disk(number),
        generation: Generation::new(shown.generation),
        in_force: Generation::new(shown.in_force),
        phase: shown.phase,
        epoch: Epoch::new(of.epoch.get() + 1024 * shown.start),
        watermark: of
            .watermark
            .max(Sequence::first_of(Opening::new(shown.opening))),
        members: (0..case.disks.len())
            .map(|member| LabelMember {
                disk: disk(member),
                state: if shown.active.contains(&member) {
                    MemberState::Active
                } else {
                    MemberState::Absent
                },
                voter: shown.voters.contains(&member),
                forgotten_frames: 0,
                last_generation: Generation::new(shown.generation),
            })
            .collect(),
        ..of.clone()
    };
    let disks = case.disks.iter().enumerate();
    disks
        .map(|(number, ring)| {
            let labels = ring.iter().filter(|shown| shown.generation > 0);
            labels.map(|shown| made(number, shown)).collect()
        })
        .collect()
}
