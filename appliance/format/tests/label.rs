//! A disk's label under every combination of damage to its four copies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop on surprise"
)]

mod support;

use stele_format::codec::Fault;
use stele_format::label::{
    DynamicLabel, LabelCopy, LabelCopyBytes, LabelError, LabelMember, LabelPhase, LabelReading,
    MemberState, WIPE_COPIES, read_best,
};
use stele_format::units::{DiskId, Epoch, Generation, Sequence};
use support::{dynamic_label, geometry, static_label, wipe_mark};

const BLOCK: usize = 4096;
const OLD: u64 = 62;
const NEW: u64 = 63;

/// What has become of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// Whole, with the newest generation.
    New,
    /// Whole, but the write of the newest generation did not reach it.
    Old,
    /// The newest generation is half written.
    Torn,
    /// The copy cannot be read.
    Unreadable,
    /// The copy was overwritten with zeroes.
    Blank,
    /// Noise over both static blocks.
    StaticRotten,
    /// Noise over the whole ring.
    RingRotten,
    /// The bytes of another copy lie here.
    Misplaced,
}

const ALL: [Damage; 8] = [
    Damage::New,
    Damage::Old,
    Damage::Torn,
    Damage::Unreadable,
    Damage::Blank,
    Damage::StaticRotten,
    Damage::RingRotten,
    Damage::Misplaced,
];

impl Damage {
    fn has_static(self) -> bool {
        matches!(self, Self::New | Self::Old | Self::Torn | Self::RingRotten)
    }

    fn newest(self) -> Option<u64> {
        match self {
            Self::New | Self::StaticRotten => Some(NEW),
            Self::Old | Self::Torn => Some(OLD),
            Self::Unreadable | Self::Blank | Self::RingRotten | Self::Misplaced => None,
        }
    }

    /// Blocks that are neither intact nor, in the ring, blank.
    fn bad_blocks(self) -> usize {
        match self {
            Self::New | Self::Old | Self::Unreadable => 0,
            Self::Torn => 1,
            Self::Blank | Self::StaticRotten => 2,
            Self::RingRotten => 60,
            Self::Misplaced => 5,
        }
    }
}

fn whole(copy: LabelCopy, newest: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64 * BLOCK];
    let mut put = |block: u16, content: &[u8]| {
        let at = usize::from(block) * BLOCK;
        bytes[at..at + BLOCK].copy_from_slice(content);
    };
    (0..2).for_each(|block| put(block, &static_label().encode(copy, block)));
    for generation in 61..=newest {
        let label = dynamic_label(generation);
        put(label.block(), &label.encode(&geometry(), copy).unwrap());
    }
    bytes
}

fn damaged(copy: LabelCopy, damage: Damage) -> Option<Vec<u8>> {
    let newest = usize::from(dynamic_label(NEW).block()) * BLOCK;
    let mut bytes = whole(copy, if damage == Damage::Old { OLD } else { NEW });
    match damage {
        Damage::New | Damage::Old => {}
        Damage::Torn => bytes[newest + 512..newest + BLOCK].fill(0),
        Damage::Unreadable => return None,
        Damage::Blank => bytes.fill(0),
        Damage::StaticRotten => bytes[..2 * BLOCK].fill(0xa5),
        Damage::RingRotten => bytes[2 * BLOCK..62 * BLOCK].fill(0xa5),
        Damage::Misplaced => {
            let other = if copy == LabelCopy::A {
                LabelCopy::B
            } else {
                LabelCopy::A
            };
            bytes = whole(other, NEW);
        }
    }
    Some(bytes)
}

fn read(copies: &[(LabelCopy, Option<&Vec<u8>>)]) -> Result<LabelReading, LabelError> {
    let copies: Vec<_> = copies
        .iter()
        .filter_map(|(copy, bytes)| {
            let offset = geometry().label_offset(*copy);
            bytes.map(|bytes| LabelCopyBytes {
                copy: *copy,
                offset,
                bytes,
            })
        })
        .collect();
    read_best(&copies)
}

/// What must come out, said without looking at bytes.
fn expected(damages: [Damage; 4]) -> Result<(Option<u64>, usize), LabelError> {
    let readable = damages
        .iter()
        .filter(|damage| **damage != Damage::Unreadable);
    if !damages.iter().any(|damage| damage.has_static()) {
        let blank = readable.clone().all(|damage| *damage == Damage::Blank);
        return Err(if blank {
            LabelError::Unlabelled
        } else {
            LabelError::NoStatic
        });
    }
    let newest = damages.iter().filter_map(|damage| damage.newest()).max();
    Ok((newest, readable.map(|damage| damage.bad_blocks()).sum()))
}

#[test]
fn any_damage_gives_the_newest_intact_label_or_a_refusal() {
    let made = LabelCopy::ALL.map(|copy| ALL.map(|damage| damaged(copy, damage)));
    for combination in 0..8_usize.pow(4) {
        let pick = [0, 1, 2, 3].map(|copy| combination / 8_usize.pow(copy) % 8);
        let damages = pick.map(|damage| ALL[damage]);
        let copies = [0, 1, 2, 3].map(|c| (LabelCopy::ALL[c], made[c][pick[c]].as_ref()));
        let found = read(&copies).map(|reading| {
            assert_eq!(reading.fixed, static_label(), "{damages:?}");
            let newest = reading.dynamic.map(|label| {
                assert_eq!(label, dynamic_label(label.generation.get()), "{damages:?}");
                label.generation.get()
            });
            (newest, reading.bad.len())
        });
        assert_eq!(found, expected(damages), "{damages:?}");
    }
}

/// The write order, cut at every point: the label is the old or the new one, never none.
#[test]
fn a_power_cut_during_a_label_write_leaves_the_old_or_the_new_label() {
    let states = [Damage::Old, Damage::Torn, Damage::New];
    let mut cases = Vec::new();
    for a in states {
        for c in states {
            cases.push([a, Damage::Old, c, Damage::Old]);
            cases.push([Damage::New, a, Damage::New, c]);
        }
    }
    for damages in cases {
        let made: Vec<_> = LabelCopy::ALL
            .iter()
            .zip(damages)
            .map(|(copy, d)| damaged(*copy, d))
            .collect();
        let copies: Vec<_> = LabelCopy::ALL
            .into_iter()
            .zip(made.iter().map(Option::as_ref))
            .collect();
        let label = read(&copies).unwrap().dynamic.unwrap();
        let flushed = damages[0] == Damage::New && damages[2] == Damage::New;
        let newest = label.generation.get();
        assert!(newest == NEW || (newest == OLD && !flushed), "{damages:?}");
    }
}

fn with_block(block: u16, content: &[u8; BLOCK]) -> Result<LabelReading, LabelError> {
    let mut bytes = whole(LabelCopy::A, NEW);
    let at = usize::from(block) * BLOCK;
    bytes[at..at + BLOCK].copy_from_slice(content);
    let second = whole(LabelCopy::B, NEW);
    read(&[(LabelCopy::A, Some(&bytes)), (LabelCopy::B, Some(&second))])
}

#[test]
fn intact_blocks_that_contradict_each_other_are_refused() {
    let mut other = dynamic_label(NEW);
    other.clean_stop = true;
    let block = other.encode(&geometry(), LabelCopy::A).unwrap();
    let conflict = LabelError::DynamicConflict(Generation::new(NEW));
    assert_eq!(with_block(other.block(), &block), Err(conflict));
    let mut other = static_label();
    other.disk_ordinal = 2;
    let block = other.encode(LabelCopy::A, 0);
    assert_eq!(with_block(0, &block), Err(LabelError::StaticConflict));
}

#[test]
fn a_newer_format_is_refused_as_such_though_other_blocks_are_known() {
    let mut newer = static_label();
    newer.features.incompat |= 2;
    let found = with_block(0, &newer.encode(LabelCopy::A, 0));
    assert!(
        matches!(found, Err(LabelError::Decode(error)) if error.what == Fault::Feature),
        "{found:?}"
    );
}

#[test]
fn a_promise_raises_the_generation_and_is_no_label() {
    let mut promise = dynamic_label(NEW + 1);
    promise.phase = LabelPhase::Promise;
    let block = promise.encode(&geometry(), LabelCopy::A).unwrap();
    let reading = with_block(promise.block(), &block).unwrap();
    assert_eq!(reading.dynamic, Some(dynamic_label(NEW)));
    assert_eq!(reading.highest, Generation::new(NEW + 1));
}

#[test]
fn a_disk_whose_first_label_a_cut_ended_has_none_and_one_that_rotted_had_one() {
    use LabelCopy::{A, B, C, D};
    let first = usize::from(dynamic_label(NEW).block()) * BLOCK;
    // Copies with the block as a cut leaves it, those with noise there, and those whose static blocks are gone.
    let is_bare = |torn: &[LabelCopy], noise: &[LabelCopy], blank: &[LabelCopy]| {
        let disk = LabelCopy::ALL.map(|copy| {
            let mut bytes = whole(copy, 0);
            if torn.contains(&copy) {
                let label = dynamic_label(NEW).encode(&geometry(), copy).unwrap();
                bytes[first..first + 512].copy_from_slice(&label[..512]);
            }
            if noise.contains(&copy) {
                bytes[first..first + BLOCK].fill(0xa5);
            }
            if blank.contains(&copy) {
                bytes[..2 * BLOCK].fill(0);
            }
            bytes
        });
        let copies = LabelCopy::ALL.into_iter().zip(&disk);
        let copies: Vec<_> = copies.map(|(copy, bytes)| (copy, Some(bytes))).collect();
        read(&copies).unwrap().is_bare()
    };
    assert!(is_bare(&[], &[], &[]));
    assert!(is_bare(&[A, C], &[], &[]), "the first pair is torn");
    assert!(is_bare(&[C], &[], &[]), "one of it is");
    assert!(is_bare(&[A, C], &[], &[B, D]), "two cuts");
    assert!(!is_bare(&[A, C, D], &[], &[]), "the second pair was begun");
    assert!(!is_bare(&[], &[A, B, C, D], &[]), "all four rotted");
    assert!(
        !is_bare(&[], &[A, B], &[]),
        "no order of writes leaves this"
    );
}

#[test]
fn a_disk_of_which_not_all_copies_can_be_read_had_a_label_if_one_is_damaged() {
    let unwritten = whole(LabelCopy::A, 0);
    let mut torn = unwritten.clone();
    torn[usize::from(dynamic_label(NEW).block()) * BLOCK] = 1;
    let blank = whole(LabelCopy::D, 0);
    let bare = |a: &Vec<u8>| {
        let copies = [(LabelCopy::A, Some(a)), (LabelCopy::D, Some(&blank))];
        read(&copies).unwrap().is_bare()
    };
    assert!(bare(&unwritten));
    assert!(!bare(&torn));
}

#[test]
fn a_damaged_block_is_mended_from_another_copy() {
    let reading = with_block(dynamic_label(NEW).block(), &[7; BLOCK]).unwrap();
    let mended: Vec<_> = reading.mendable().collect();
    assert_eq!(mended.len(), 1);
    assert_eq!(
        (mended[0].0.copy, mended[0].1),
        (LabelCopy::A, &dynamic_label(NEW))
    );
    // Nobody knows what belonged into a block that no copy has.
    let reading = with_block(40, &[7; BLOCK]).unwrap();
    assert_eq!(reading.mendable().count(), 0);
}

#[test]
fn a_disk_that_is_being_wiped_has_no_label_however_much_of_it_is_left() {
    let mark = wipe_mark();
    let copies = |marked: &[LabelCopy], there: &[LabelCopy]| {
        let bytes = LabelCopy::ALL.map(|copy| {
            let mut bytes = vec![0; 64 * BLOCK];
            if there.contains(&copy) {
                bytes = whole(copy, NEW);
            }
            if marked.contains(&copy) {
                bytes[..BLOCK].copy_from_slice(&mark.encode(copy));
            }
            (copy, bytes)
        });
        let given: Vec<_> = bytes
            .iter()
            .map(|(copy, bytes)| (*copy, Some(bytes)))
            .collect();
        read(&given)
    };
    for marked in [&[LabelCopy::A][..], &[LabelCopy::D], &WIPE_COPIES] {
        for there in [&[][..], &[LabelCopy::B], &LabelCopy::ALL] {
            assert_eq!(copies(marked, there), Err(LabelError::Wiping(mark)));
        }
    }
    assert!(copies(&[], &LabelCopy::ALL).is_ok());
    // Where no mark belongs there is none.
    let mut elsewhere = whole(LabelCopy::A, NEW);
    elsewhere[BLOCK..2 * BLOCK].copy_from_slice(&mark.encode(LabelCopy::A));
    assert!(read(&[(LabelCopy::A, Some(&elsewhere))]).is_ok());
}

#[test]
fn the_digest_of_a_label_is_that_of_what_it_says() {
    let of = |copies: &[LabelCopy], newest| {
        let bytes: Vec<_> = copies.iter().map(|copy| whole(*copy, newest)).collect();
        let given: Vec<_> = copies
            .iter()
            .zip(&bytes)
            .map(|(copy, bytes)| (*copy, Some(bytes)))
            .collect();
        read(&given).unwrap().digest()
    };
    let all = of(&LabelCopy::ALL, NEW);
    assert_eq!(of(&[LabelCopy::D], NEW), all, "whichever copy is read");
    assert_ne!(of(&LabelCopy::ALL, OLD), all, "an older label is another");
}

#[test]
fn a_label_of_another_disk_does_not_count() {
    let mut other = dynamic_label(NEW + 1);
    other.disk = DiskId::new([0x29; 16]);
    let reading = with_block(
        other.block(),
        &other.encode(&geometry(), LabelCopy::A).unwrap(),
    );
    let reading = reading.unwrap();
    assert_eq!(reading.dynamic, Some(dynamic_label(NEW)));
    assert!(matches!(reading.bad[0].error, LabelError::Foreign { .. }));
}

#[test]
fn reserved_blocks_and_missing_bytes_are_reported() {
    let reading = with_block(63, &[1; BLOCK]).unwrap();
    assert_eq!(
        reading
            .bad
            .iter()
            .map(|bad| bad.place.block)
            .collect::<Vec<_>>(),
        [63]
    );
    let bytes = whole(LabelCopy::A, NEW);
    let cut = bytes[..60 * BLOCK + 7].to_vec();
    let reading = read(&[(LabelCopy::A, Some(&cut))]).unwrap();
    let bad: Vec<_> = reading.bad.iter().map(|bad| bad.place.block).collect();
    assert_eq!(bad, [60, 61, 62, 63]);
}

#[test]
fn a_label_takes_32_members_and_cutoffs_and_no_more() {
    let mut label = dynamic_label(NEW);
    let disk = |i: u8| DiskId::new([i + 1; 16]);
    label.members = (0..32)
        .map(|i| LabelMember {
            disk: disk(i),
            state: MemberState::Stale,
            voter: i % 2 == 0,
            forgotten_frames: u32::from(i) << 24,
            last_generation: Generation::new(u64::from(i)),
        })
        .collect();
    let cutoff = label.cutoffs[0];
    label.cutoffs = (1..33)
        .map(|i| {
            let last_sequence = Sequence::new(u64::from(i) * 10);
            stele_format::label::EpochCutoff {
                epoch: Epoch::new(i),
                last_sequence,
                ..cutoff
            }
        })
        .collect();
    let block = label.encode(&geometry(), LabelCopy::D).unwrap();
    let place = label.place(&geometry(), LabelCopy::D);
    let read = DynamicLabel::decode(&block)
        .unwrap()
        .verify(label.pool, label.disk, place);
    assert_eq!(read.as_ref(), Ok(&label));
    let mut members = label.clone();
    members.members.push(LabelMember {
        disk: disk(40),
        ..members.members[0]
    });
    assert_eq!(
        members.encode(&geometry(), LabelCopy::D).unwrap_err().field,
        "members"
    );
    label.cutoffs.push(cutoff);
    assert_eq!(
        label.encode(&geometry(), LabelCopy::D).unwrap_err().field,
        "cutoffs"
    );
}
