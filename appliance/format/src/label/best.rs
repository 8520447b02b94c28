//! Picks a disk's label from whatever of its copies can be read.
//!
//! Invariants: any one intact static block is enough; the newest intact dynamic block that is no promise
//! wins; damage is counted, never guessed around; contradiction between intact blocks is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{
    DynamicLabel, LabelCopy, LabelError, LabelPhase, LabelPlace, StaticLabel, WIPE_COPIES, WipeMark,
};
use crate::codec::{DecodeError, Fault, is_blank};
use crate::digest::Digest;
use crate::limits::{BLOCK, BLOCK_BYTES, LABEL_BLOCKS, LABEL_RING_BLOCKS, LABEL_RING_FIRST};
use crate::units::{ByteOffset, Generation, Opening};

/// A label copy as it was read. A copy that could not be read at all is left out.
#[derive(Clone, Copy, Debug)]
pub struct LabelCopyBytes<'a> {
    /// Which copy was asked for.
    pub copy: LabelCopy,
    /// Where it was read from.
    pub offset: ByteOffset,
    /// `LABEL_COPY_BYTES` bytes; missing ones count as damage.
    pub bytes: &'a [u8],
}

/// A block that is neither intact nor blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBlock {
    /// Where it lies.
    pub place: LabelPlace,
    /// What is wrong with it.
    pub error: LabelError,
}

/// A disk's label, and how much of it was found damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelReading {
    /// The part that never changes.
    pub fixed: StaticLabel,
    /// The newest intact dynamic part that is no promise; none on a disk that was never completed.
    pub dynamic: Option<DynamicLabel>,
    /// The highest generation of any intact dynamic block, promises included; zero without one.
    pub highest: Generation,
    /// Every intact dynamic label, each once.
    pub ring: BTreeMap<Generation, DynamicLabel>,
    /// Damaged blocks. One or two of the newest ring slot are what a power cut leaves.
    pub bad: Vec<BadBlock>,
    /// Ring blocks of which both copies of the second pair are blank.
    second_blank: BTreeSet<u16>,
}

/// The blocks of a copy that dynamic labels go to.
const RING: Range<u16> = LABEL_RING_FIRST..LABEL_RING_FIRST + LABEL_RING_BLOCKS;

fn blocks<'a>(
    copies: &'a [LabelCopyBytes<'a>],
) -> impl Iterator<Item = (LabelPlace, &'a [u8])> + 'a {
    copies.iter().flat_map(|copy| {
        let mut chunks = copy.bytes.chunks(BLOCK);
        (0..LABEL_BLOCKS).map(move |block| {
            let offset = copy
                .offset
                .get()
                .saturating_add(u64::from(block) * u64::from(BLOCK_BYTES));
            let place = LabelPlace {
                copy: copy.copy,
                block,
                offset: ByteOffset::new(offset),
            };
            (place, chunks.next().unwrap_or_default())
        })
    })
}

impl LabelReading {
    /// How often the vault was forced open, by any label of the disk that is no promise: the newest may be of an opening
    /// that was cut, which states less where it gave up what those before it call durable.
    #[must_use]
    pub fn opening(&self) -> Opening {
        let stated = self.ring.values();
        let stated = stated.filter(|label| label.phase != LabelPhase::Promise);
        let stated = stated.map(DynamicLabel::opening);
        stated.max().unwrap_or_default()
    }

    /// Whether no label but promises was ever complete here. The second pair is written when the first is durable, and
    /// nothing is acknowledged before a label, or a later one, is in both: where the second is blank, damage in the first
    /// is of a write that a cut ended. Of one that was complete and rots no copy is blank. Damage elsewhere hides none.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        let mut in_ring = self
            .bad
            .iter()
            .filter(|bad| RING.contains(&bad.place.block));
        self.dynamic.is_none() && in_ring.all(|bad| self.second_blank.contains(&bad.place.block))
    }

    /// Digest of what the label says, whichever of its copies can be read: of the static block 0 of copy A, and
    /// behind it the newest dynamic block that is no promise, in copy A, if there is one.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = self.fixed.encode(LabelCopy::A, 0).to_vec();
        let dynamic = self.dynamic.as_ref();
        // What was read from a block fits one.
        let block = dynamic.and_then(|label| label.encode(&self.fixed.geometry, LabelCopy::A).ok());
        bytes.extend(block.iter().flatten());
        Digest::of(&bytes)
    }

    /// Damaged ring blocks of which another copy has what belongs there: where, and what.
    pub fn mendable(&self) -> impl Iterator<Item = (LabelPlace, &DynamicLabel)> {
        self.bad.iter().filter_map(|bad| {
            let mut newest_first = self.ring.values().rev();
            let label = newest_first.find(|label| label.block() == bad.place.block)?;
            Some((bad.place, label))
        })
    }
}

/// Picks the label of a disk.
///
/// # Errors
/// `Wiping` when a mark says so, `Unlabelled` when there is none, `NoStatic` when it is beyond reading, the conflicts when intact
/// blocks contradict each other, and `Decode` with `Fault::Feature` for a pool of a newer format.
pub fn read_best(copies: &[LabelCopyBytes<'_>]) -> Result<LabelReading, LabelError> {
    if let Some(mark) = find_mark(copies) {
        return Err(LabelError::Wiping(mark));
    }
    let mut bad = Vec::new();
    let fixed = pick_static(copies, &mut bad)?;
    let ring = read_ring(copies, &fixed, &mut bad)?;
    let mut newest_first = ring.values().rev();
    let dynamic = newest_first.find(|label| label.phase != LabelPhase::Promise);
    check_reserved(copies, &mut bad);
    Ok(LabelReading {
        fixed,
        dynamic: dynamic.cloned(),
        highest: ring.keys().next_back().copied().unwrap_or_default(),
        ring,
        bad,
        second_blank: second_blank(copies),
    })
}

fn second_blank(copies: &[LabelCopyBytes<'_>]) -> BTreeSet<u16> {
    let blank = |copy: LabelCopy| -> BTreeSet<u16> {
        let of_it = blocks(copies).filter(|(place, _)| place.copy == copy);
        let blank =
            of_it.filter(|(place, bytes)| RING.contains(&place.block) && is_blank_block(bytes));
        blank.map(|(place, _)| place.block).collect()
    };
    let [one, other] = LabelCopy::SECOND_PAIR.map(blank);
    &one & &other
}

fn find_mark(copies: &[LabelCopyBytes<'_>]) -> Option<WipeMark> {
    blocks(copies)
        .filter(|(place, _)| place.block == 0 && WIPE_COPIES.contains(&place.copy))
        .find_map(|(place, bytes)| WipeMark::decode(bytes).ok()?.verify(place).ok())
}

fn pick_static(
    copies: &[LabelCopyBytes<'_>],
    bad: &mut Vec<BadBlock>,
) -> Result<StaticLabel, LabelError> {
    let mut best: Option<StaticLabel> = None;
    let mut newer: Option<LabelError> = None;
    let mut all_blank = true;
    for (place, bytes) in blocks(copies).filter(|(place, _)| place.block < LABEL_RING_FIRST) {
        all_blank &= is_blank_block(bytes);
        let label = StaticLabel::decode(bytes)
            .map_err(LabelError::from)
            .and_then(|unverified| unverified.verify(place));
        match (label, &best) {
            (Ok(label), Some(before)) if label != *before => {
                return Err(LabelError::StaticConflict);
            }
            (Ok(label), _) => best = Some(label),
            (Err(error), _) => {
                if is_newer(&error) {
                    newer = Some(error);
                }
                bad.push(BadBlock { place, error });
            }
        }
    }
    match (newer, best) {
        (Some(error), _) => Err(error),
        (None, Some(label)) => Ok(label),
        (None, None) if all_blank => Err(LabelError::Unlabelled),
        (None, None) => Err(LabelError::NoStatic),
    }
}

/// A whole block of zeroes; missing bytes are damage, not blank.
fn is_blank_block(bytes: &[u8]) -> bool {
    bytes.len() == BLOCK && is_blank(bytes)
}

/// An intact block of a format this reader does not know.
fn is_newer(error: &LabelError) -> bool {
    matches!(
        error,
        LabelError::Decode(DecodeError {
            what: Fault::Feature,
            ..
        })
    )
}

fn read_ring(
    copies: &[LabelCopyBytes<'_>],
    fixed: &StaticLabel,
    bad: &mut Vec<BadBlock>,
) -> Result<BTreeMap<Generation, DynamicLabel>, LabelError> {
    let mut known: BTreeMap<Generation, DynamicLabel> = BTreeMap::new();
    for (place, bytes) in blocks(copies).filter(|(place, _)| RING.contains(&place.block)) {
        if is_blank_block(bytes) {
            continue;
        }
        let label = DynamicLabel::decode(bytes)
            .map_err(LabelError::from)
            .and_then(|unverified| unverified.verify(fixed.pool, fixed.disk, place));
        match label {
            Err(error) => bad.push(BadBlock { place, error }),
            Ok(label) => {
                let before = known
                    .entry(label.generation)
                    .or_insert_with(|| label.clone());
                if *before != label {
                    return Err(LabelError::DynamicConflict(label.generation));
                }
            }
        }
    }
    Ok(known)
}

fn check_reserved(copies: &[LabelCopyBytes<'_>], bad: &mut Vec<BadBlock>) {
    for (place, bytes) in blocks(copies).filter(|(place, _)| place.block >= RING.end) {
        let what = if bytes.len() < BLOCK {
            Fault::Short
        } else {
            Fault::Reserved
        };
        if !is_blank_block(bytes) {
            let error = DecodeError::new("label", "reserved block", 0, what).into();
            bad.push(BadBlock { place, error });
        }
    }
}
