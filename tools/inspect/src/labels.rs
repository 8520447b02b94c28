//! The labels of one disk: four copies, each of two static blocks and a ring of dynamic ones.
//!
//! Every block must be blank where nothing was written yet, or verify. What neither is, is damage,
//! unless it is the label write that a crash interrupted: the slot of the next generation (promises leave out
//! those whose slot holds the label of a disk), or a slot
//! whose sectors are each either what the other copies say or never written. Once the ring has gone round, a label
//! that was cut short has sectors of an older one, which nothing on the disk tells from sectors that rotted: in the
//! copies of the newest label that may not have been finished, more than one changed bit is a note, not damage.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use stele_format::codec::{DecodeError, Fault};
use stele_format::label::{
    DynamicLabel, LabelCopy, LabelPhase, LabelPlace, StaticLabel, WIPE_COPIES, WipeMark,
};
use stele_format::limits::{LABEL_BLOCKS, LABEL_RING_BLOCKS, LABEL_RING_FIRST};
use stele_format::units::{
    ByteCount, ByteOffset, DiskId, Generation, LogIndex, Opening, PoolId, Sequence,
};
use thiserror::Error;

use crate::limits::{LABEL_ROT_BITS_MAX, SECTOR_BYTES};
use crate::media::{BLOCK, BLOCK_LEN};
use crate::source::{Source, is_zero};

/// Bytes between the labels at the start of a disk and its key-state area: reserved, always zero.
const RESERVED: (u64, u64) = (512 * 1024, 1024 * 1024);

/// Why a disk cannot be judged at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing is where a label would be.
    #[error("has no label: it is blank where its labels would be")]
    Blank,
    /// Something else is where a label would be.
    #[error(
        "has no label that verifies: it is no disk of a Stele vault, or all its labels are lost"
    )]
    NoLabel,
    /// A vault began to wipe it because people asked for that.
    #[error("is half wiped, as request {request} of the vault of pool {pool} asks for")]
    Wiping {
        /// The vault.
        pool: PoolId,
        /// Record of the request.
        request: LogIndex,
    },
    /// Too small to hold labels.
    #[error("is too small to be a disk of a Stele vault")]
    TooSmall,
    /// Written by a release with features this one lacks.
    #[error("needs a newer release: it uses an incompatible feature unknown to this one")]
    UnknownFeature,
    /// Written in a version this release lacks.
    #[error("needs a newer release: its label has a version unknown to this one")]
    UnknownVersion,
}

/// A label block that is neither blank nor right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFault {
    /// Copy.
    pub copy: LabelCopy,
    /// Block within the copy.
    pub block: u16,
    /// What is wrong.
    pub what: String,
    /// The bytes, as far as they could be read.
    bytes: Option<Vec<u8>>,
}

/// What the labels of one disk say.
#[derive(Debug, Clone)]
pub struct DiskLabels {
    /// What never changes.
    pub fixed: StaticLabel,
    /// Every generation found, each once.
    pub generations: BTreeMap<Generation, DynamicLabel>,
    /// Those of them that a copy of the second pair has: their first pair was durable before.
    pub settled: BTreeSet<Generation>,
    /// Ring blocks that a copy of the second pair is not blank in, or not known to be.
    second_begun: BTreeSet<u16>,
    /// Blocks that are neither blank nor right.
    pub faults: Vec<BlockFault>,
    /// Whether bytes that are always zero are not.
    pub reserved_in_use: bool,
    /// Bytes read and checked.
    pub bytes_verified: u64,
}

impl DiskLabels {
    /// The dynamic labels that are no promises, newest first.
    pub fn statements(&self) -> impl Iterator<Item = &DynamicLabel> {
        let newest_first = self.generations.values().rev();
        newest_first.filter(|label| label.phase != LabelPhase::Promise)
    }

    /// The newest of them.
    #[must_use]
    pub fn newest(&self) -> Option<&DynamicLabel> {
        self.statements().next()
    }

    /// How often the vault was forced open, by any of them: the start of an opening that was cut may give up what labels
    /// before its own state.
    #[must_use]
    pub fn opening(&self) -> Opening {
        let stated = self.statements().map(DynamicLabel::opening);
        stated.max().unwrap_or_default()
    }

    /// Whether no label but promises was ever complete here: what is damaged in the ring is in the first pair of copies,
    /// and nothing of it came to the second.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        let ring = LABEL_RING_FIRST..LABEL_RING_FIRST + LABEL_RING_BLOCKS;
        let mut faults = self.faults.iter().map(|fault| fault.block);
        let hides = |block: u16| ring.contains(&block) && self.second_begun.contains(&block);
        self.newest().is_none() && !faults.any(hides)
    }

    /// The newest generation, promises included; 0 without one.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generations
            .last_key_value()
            .map_or(Generation::ZERO, |(generation, _)| *generation)
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> DiskId {
        self.fixed.disk
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        self.fixed.pool
    }

    /// Highest journal frame that any label of the disk, or a cut-off in it, proves durable.
    #[must_use]
    pub fn watermark(&self) -> Sequence {
        self.generations
            .values()
            .flat_map(|label| {
                let cutoffs = label.cutoffs.iter().map(|cutoff| cutoff.last_sequence);
                cutoffs.chain([label.watermark])
            })
            .max()
            .unwrap_or(Sequence::ZERO)
    }
}

/// Reads all labels of a disk. Blocks that look wrong are read once more after `pause`, since a
/// running vault may be writing them.
///
/// # Errors
/// [`Refusal`] when no label verifies, or a newer release wrote them.
pub fn read_labels(source: &dyn Source, pause: Duration) -> Result<DiskLabels, Refusal> {
    let fixed = find_static(source)?;
    let mut labels = DiskLabels {
        fixed,
        generations: BTreeMap::new(),
        settled: BTreeSet::new(),
        second_begun: BTreeSet::new(),
        faults: Vec::new(),
        reserved_in_use: false,
        bytes_verified: 0,
    };
    for copy in LabelCopy::ALL {
        for block in 0..LABEL_BLOCKS {
            labels.read_block(source, copy, block);
        }
    }
    if !labels.faults.is_empty() {
        thread::sleep(pause);
        for fault in std::mem::take(&mut labels.faults) {
            labels.read_block(source, fault.copy, fault.block);
        }
    }
    labels.reserved_in_use = !reserve_is_blank(source);
    Ok(labels)
}

fn reserve_is_blank(source: &dyn Source) -> bool {
    let (from, to) = RESERVED;
    let mut reserve = vec![0; usize::try_from(to - from).unwrap_or(0)];
    source.read_at(from, &mut reserve).is_ok() && is_zero(&reserve)
}

fn read_block_at(source: &dyn Source, offset: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; BLOCK_LEN];
    source.read_at(offset, &mut bytes).ok().map(|()| bytes)
}

/// The first static block that verifies, wherever it may lie on a disk of this length.
fn find_static(source: &dyn Source) -> Result<StaticLabel, Refusal> {
    let disk_bytes = ByteCount::new(source.bytes());
    if source.bytes() < 4 * u64::from(LABEL_BLOCKS) * BLOCK {
        return Err(Refusal::TooSmall);
    }
    if let Some(mark) = find_mark(source) {
        return Err(Refusal::Wiping {
            pool: mark.pool,
            request: mark.request,
        });
    }
    let mut blank = true;
    let mut refusal = None;
    let mut found = None;
    for copy in LabelCopy::ALL {
        for block in 0..LABEL_RING_FIRST {
            let offset = copy.offset(disk_bytes).get() + u64::from(block) * BLOCK;
            let Some(bytes) = read_block_at(source, offset) else {
                blank = false;
                continue;
            };
            blank &= is_zero(&bytes);
            let place = LabelPlace {
                copy,
                block,
                offset: ByteOffset::new(offset),
            };
            match static_label(&bytes, place) {
                Ok(label) => found = found.or(Some(label)),
                // The digest of such a block is right: a newer release wrote it so.
                Err(Fault::Feature) => return Err(Refusal::UnknownFeature),
                Err(Fault::Version) => refusal = Some(Refusal::UnknownVersion),
                Err(_) => {}
            }
        }
    }
    let lost = refusal.unwrap_or(if blank {
        Refusal::Blank
    } else {
        Refusal::NoLabel
    });
    found.ok_or(lost)
}

/// A disk with such a mark has no label, whatever else of it is left.
fn find_mark(source: &dyn Source) -> Option<WipeMark> {
    WIPE_COPIES.into_iter().find_map(|copy| {
        let offset = copy.offset(ByteCount::new(source.bytes()));
        let bytes = read_block_at(source, offset.get())?;
        let place = LabelPlace {
            copy,
            block: 0,
            offset,
        };
        WipeMark::decode(&bytes).ok()?.verify(place).ok()
    })
}

fn static_label(bytes: &[u8], place: LabelPlace) -> Result<StaticLabel, Fault> {
    let label = StaticLabel::decode(bytes).map_err(|DecodeError { what, .. }| what)?;
    label.verify(place).map_err(|_| Fault::Value)
}

impl DiskLabels {
    fn read_block(&mut self, source: &dyn Source, copy: LabelCopy, block: u16) {
        let offset = self.fixed.geometry.label_block_offset(copy, block);
        let bytes = read_block_at(source, offset.get());
        self.bytes_verified += BLOCK;
        let place = LabelPlace {
            copy,
            block,
            offset,
        };
        let blank = bytes.as_ref().is_some_and(|bytes| is_zero(bytes));
        if LabelCopy::SECOND_PAIR.contains(&copy) && !blank {
            self.second_begun.insert(block);
        }
        let checked = match &bytes {
            None => Err("it cannot be read".to_owned()),
            Some(bytes) => self.check_block(bytes, place),
        };
        if let Err(what) = checked {
            self.faults.push(BlockFault {
                copy,
                block,
                what,
                bytes,
            });
        }
    }

    fn check_block(&mut self, bytes: &[u8], place: LabelPlace) -> Result<(), String> {
        if place.block < LABEL_RING_FIRST {
            return match StaticLabel::decode(bytes) {
                Err(error) => Err(error.to_string()),
                Ok(label) => match label.verify(place) {
                    Err(error) => Err(error.to_string()),
                    Ok(label) if label == self.fixed => Ok(()),
                    Ok(_) => Err("it differs from the other copies".to_owned()),
                },
            };
        }
        if is_zero(bytes) {
            return Ok(());
        }
        if place.block >= LABEL_RING_FIRST + LABEL_RING_BLOCKS {
            return Err("bytes that are always zero are not".to_owned());
        }
        let label = DynamicLabel::decode(bytes).map_err(|error| error.to_string())?;
        let label = label
            .verify(self.fixed.pool, self.fixed.disk, place)
            .map_err(|error| error.to_string())?;
        if LabelCopy::SECOND_PAIR.contains(&place.copy) {
            self.settled.insert(label.generation);
        }
        match self.generations.get(&label.generation) {
            Some(known) if *known != label => Err("it differs from the other copies".to_owned()),
            Some(_) => Ok(()),
            None => {
                self.generations.insert(label.generation, label);
                Ok(())
            }
        }
    }

    /// Whether an interrupted label write explains a block, given the newest generation of the
    /// pool, what other disks say of each generation, and the slots of the labels in force.
    #[must_use]
    pub fn is_unfinished_write(
        &self,
        fault: &BlockFault,
        newest: Generation,
        elsewhere: &BTreeMap<Generation, DynamicLabel>,
        held: &[u16],
    ) -> bool {
        let ring = LABEL_RING_FIRST..LABEL_RING_FIRST + LABEL_RING_BLOCKS;
        let (Some(bytes), true) = (&fault.bytes, ring.contains(&fault.block)) else {
            return false;
        };
        let slot = fault.block - LABEL_RING_FIRST;
        let own = self.generation().max(newest);
        if next_slots(own, held).any(|next| next == slot) {
            return true;
        }
        let Some(generation) = newest_in_slot(own, slot) else {
            return false;
        };
        let of_own = self.generation();
        // A label that this disk has in no copy was never completed on it; of its newest one the second half
        // may be missing, and if nothing of that is there, one of the first. Once the ring has gone round, sectors
        // are of the new label or of the old one, which nobody knows any more.
        let went_round = generation.get() > u64::from(LABEL_RING_BLOCKS);
        let second_half = LabelCopy::SECOND_PAIR.contains(&fault.copy);
        let in_order = self.newest().is_some_and(|label| label.clean_stop);
        let mut faults = self.faults.iter();
        let second_begun = faults.any(|other| {
            other.block == fault.block && LabelCopy::SECOND_PAIR.contains(&other.copy)
        });
        let may_be_cut = second_half || !(second_begun || self.settled.contains(&generation));
        let may_be_cut = generation == of_own && went_round && may_be_cut;
        if generation > of_own || (may_be_cut && !in_order) {
            return true;
        }
        if let Some(label) = self.generations.get(&generation) {
            // The stop itself may have been cut. Then whole sectors are older; bits that rot are few.
            return (may_be_cut && self.is_far_from(label, fault.copy, bytes))
                || self.is_torn_form_of(label, fault.copy, bytes, 0..8);
        }
        let Some(label) = elsewhere.get(&generation) else {
            // No disk here has this generation. Nor had this one ever, if a copy of it shows another.
            let faulty = self
                .faults
                .iter()
                .filter(|other| other.block == fault.block);
            return faulty.count() < LabelCopy::ALL.len();
        };
        let label = DynamicLabel {
            disk: self.fixed.disk,
            ..label.clone()
        };
        // The first and the last sector hold what differs from disk to disk. A start that this disk was away from may
        // have given the generation to another label than the one that was cut here.
        self.is_torn_form_of(&label, fault.copy, bytes, 1..7) || self.was_never_of(fault, bytes)
    }

    /// Whether a block is of a label that this disk has in no copy: another copy of the block has none or an older one,
    /// of which these bytes are no rotten form.
    fn was_never_of(&self, fault: &BlockFault, bytes: &[u8]) -> bool {
        let of_block = self
            .faults
            .iter()
            .filter(|other| other.block == fault.block);
        let older = self.generations.values();
        let mut older = older.filter(|label| label.block() == fault.block);
        let rotten = older.any(|label| !self.is_far_from(label, fault.copy, bytes));
        let written: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        of_block.count() < LabelCopy::ALL.len() && !rotten && written > LABEL_ROT_BITS_MAX
    }

    fn is_far_from(&self, label: &DynamicLabel, copy: LabelCopy, bytes: &[u8]) -> bool {
        let Ok(whole) = label.encode(&self.fixed.geometry, copy) else {
            return false;
        };
        let pairs = whole.iter().zip(bytes);
        let flipped: u32 = pairs.map(|(right, here)| (right ^ here).count_ones()).sum();
        flipped > LABEL_ROT_BITS_MAX
    }

    fn is_torn_form_of(
        &self,
        label: &DynamicLabel,
        copy: LabelCopy,
        bytes: &[u8],
        compared: std::ops::Range<usize>,
    ) -> bool {
        let Ok(whole) = label.encode(&self.fixed.geometry, copy) else {
            return false;
        };
        let mut never_written = false;
        let sectors = whole.chunks(SECTOR_BYTES).zip(bytes.chunks(SECTOR_BYTES));
        for (number, (right, here)) in sectors.enumerate() {
            never_written |= is_zero(here) && !is_zero(right);
            if compared.contains(&number) && right != here && !is_zero(here) {
                return false;
            }
        }
        never_written
    }
}

/// Where the next label may go: a promise leaves out what is held by itself or its successor, and takes the
/// first place behind.
fn next_slots(newest: Generation, held: &[u16]) -> impl Iterator<Item = u16> {
    let next = DynamicLabel::slot(Generation::new(newest.get() + 1));
    let ring = (0..LABEL_RING_BLOCKS).map(move |more| (next + more) % LABEL_RING_BLOCKS);
    let is_held =
        |slot: &u16| held.contains(slot) || held.contains(&((slot + 1) % LABEL_RING_BLOCKS));
    let left_out = ring.clone().take_while(is_held).count();
    ring.take(left_out + 1)
}

/// The newest generation up to `newest` that goes to `slot`.
fn newest_in_slot(newest: Generation, slot: u16) -> Option<Generation> {
    let ring = u64::from(LABEL_RING_BLOCKS);
    let back = (newest.get() + ring - u64::from(slot)) % ring;
    newest
        .checked_sub(back)
        .filter(|generation| !generation.is_zero())
}

/// A label copy as operators know it.
#[must_use]
pub fn copy_name(copy: LabelCopy) -> &'static str {
    match copy {
        LabelCopy::A => "A",
        LabelCopy::B => "B",
        LabelCopy::C => "C",
        LabelCopy::D => "D",
    }
}

#[cfg(test)]
mod tests {
    use super::{newest_in_slot, next_slots};
    use stele_format::units::Generation;

    #[test]
    fn the_next_label_goes_behind_slots_that_are_held() {
        for (newest, held, expected) in [
            (7, &[][..], &[8][..]),
            (7, &[10], &[8]),
            (7, &[9], &[8, 9, 10]),
            (7, &[8, 9], &[8, 9, 10]),
            (58, &[59, 0], &[59, 0, 1]),
            (67, &[8], &[8, 9]),
        ] {
            let found: Vec<u16> = next_slots(Generation::new(newest), held).collect();
            assert_eq!(found, expected, "newest {newest} held {held:?}");
        }
    }

    #[test]
    fn a_slot_holds_the_newest_generation_that_fits_it() {
        for (newest, slot, expected) in [
            (1, 1, Some(1)),
            (1, 0, None),
            (1, 2, None),
            (59, 59, Some(59)),
            (60, 0, Some(60)),
            (61, 0, Some(60)),
            (61, 1, Some(61)),
            (61, 2, Some(2)),
            (200, 21, Some(141)),
        ] {
            let found = newest_in_slot(Generation::new(newest), slot);
            assert_eq!(
                found,
                expected.map(Generation::new),
                "newest {newest} slot {slot}"
            );
        }
    }
}
