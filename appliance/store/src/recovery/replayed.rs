//! What replay found.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::digest::Digest;
use stele_format::label::EpochCutoff;
use stele_format::record::LostSpan;
use stele_format::units::{ByteOffset, Epoch, SegmentId, Sequence};

use super::head::Passed;
use super::lost::{Hole, SteppedOver};
use crate::engine::DiskSlot;
use crate::journal::JournalPosition;
use crate::limits::LACKED_FRAME_COUNT_MAX;
use crate::pool::Pool;

/// A frame to be written again, where a copy lacks it or may not keep it.
pub(super) struct Repair {
    pub(super) frame: Sequence,
    pub(super) slot: DiskSlot,
    /// Where the copy begins.
    pub(super) base: u64,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) why: Why,
}

/// Why a frame is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The copy does not have it, and may say that it never had.
    Lacking(Option<Denial>),
    /// The copy shows it, and nothing proves it durable: what a disk was given before a flush that failed, it may
    /// show until the power goes, and flushes after that one need not cover it.
    Unproven,
}

impl Repair {
    /// Whether it is needed, when so much is proven durable.
    fn is_needed(&self, proven: Sequence) -> bool {
        self.why != Why::Unproven || self.frame > proven
    }
}

/// A copy that says that it never had a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denial {
    /// So many copies say so that an acknowledgement took the word of one of them.
    pub(super) of_enough: bool,
}

/// Why the journal cannot be continued, only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
}

/// Where the frames of a journal segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentEnd {
    pub(super) offset: ByteOffset,
    pub(super) last_sequence: Sequence,
    /// Whether its frames end there; not where those behind are lost.
    pub(super) is_end: bool,
}

/// What replay found.
pub(super) struct Replayed {
    pub(super) position: JournalPosition,
    pub(super) lane_chain: Digest,
    pub(super) epoch: Epoch,
    pub(super) repairs: Vec<Repair>,
    pub(super) stuck: Option<Stuck>,
    /// What is missing in the middle of the log, and nobody gave up.
    pub(super) lost: Vec<LostSpan>,
    /// Where more of that began, if nothing behind it was read.
    pub(super) hole: Option<Hole>,
    /// What people gave up and was stepped over.
    pub(super) stepped: SteppedOver,
    /// Where the frames of each segment ended that the journal went on from in another one.
    pub(super) ends: BTreeMap<SegmentId, SegmentEnd>,
    pub(super) cutoffs: Vec<EpochCutoff>,
    pub(super) frames: u64,
    pub(super) records: u64,
    /// Facts that were left out, since they speak of what lost records said.
    pub(super) skipped: u64,
    /// Versions that nothing opens and no record has explained yet.
    pub(super) closed_versions: i64,
    /// A record of a type this program does not know and may not pass over.
    pub(super) newer: bool,
    /// Highest sequence any evidence proves durable.
    pub(super) proven: Sequence,
    /// What was seen of the log that the key state knows.
    pub(super) passed: Passed,
}

impl Replayed {
    /// Whether records were read behind some that are missing.
    pub(super) fn has_hole(&self) -> bool {
        self.position.log.has_hole() || !self.lost.is_empty()
    }

    /// Copies that moved later are not repaired where they were.
    pub(super) fn forget_moved(&mut self, pool: &Pool) {
        let places = pool.segments.values().flat_map(|info| &info.places);
        let stay: BTreeSet<(u16, u64)> = places
            .filter_map(|place| pool.locate_active(place))
            .map(|(slot, base)| (slot.0, base))
            .collect();
        let stays = |repair: &Repair| stay.contains(&(repair.slot.0, repair.base));
        self.repairs.retain(stays);
    }

    /// Frames that a copy lacks.
    pub(super) fn lacking(&self) -> usize {
        let lacking = self.repairs.iter();
        lacking.filter(|repair| repair.why != Why::Unproven).count()
    }

    /// How many acknowledged frames a disk says it never had and must have confirmed, by disk: it, or another one that
    /// says so too. A copy may lag behind an acknowledgement for which others were enough, yet only so far.
    ///
    /// To be asked when all is read: later frames prove what was acknowledged.
    pub(super) fn forgotten(&self) -> BTreeMap<DiskSlot, u64> {
        let mut denied: BTreeMap<DiskSlot, Vec<Denial>> = BTreeMap::new();
        for repair in &self.repairs {
            let Why::Lacking(denial) = repair.why else {
                continue;
            };
            let denial = denial.filter(|_| repair.frame <= self.proven);
            denied.entry(repair.slot).or_default().extend(denial);
        }
        let forgotten = denied.into_iter().map(|(slot, denials)| {
            let too_many = denials.len() > LACKED_FRAME_COUNT_MAX;
            let counts = denials.iter().filter(|denial| too_many || denial.of_enough);
            (slot, counts.count() as u64)
        });
        forgotten.filter(|(_, frames)| *frames > 0).collect()
    }

    /// With copies that show a frame which nothing proves durable, in the order of the log.
    pub(super) fn with_unproven(mut self, unproven: Vec<Repair>) -> Replayed {
        self.repairs.extend(unproven);
        self.repairs.sort_by_key(|repair| repair.frame);
        self
    }

    /// This part followed by the next one.
    pub(super) fn then(mut self, next: Replayed) -> Replayed {
        let proven = self.proven.max(next.proven);
        self.repairs.extend(next.repairs);
        self.repairs.retain(|repair| repair.is_needed(proven));
        self.ends.extend(next.ends);
        self.lost.extend(next.lost);
        for cutoff in next.cutoffs {
            match self.cutoffs.last_mut() {
                Some(last) if last.epoch == cutoff.epoch => *last = cutoff,
                _ => self.cutoffs.push(cutoff),
            }
        }
        let surplus = self
            .cutoffs
            .len()
            .saturating_sub(stele_format::limits::CUTOFFS_MAX);
        self.cutoffs.drain(..surplus);
        Replayed {
            position: next.position,
            lane_chain: next.lane_chain,
            epoch: self.epoch.max(next.epoch),
            repairs: self.repairs,
            stuck: self.stuck.or(next.stuck),
            lost: self.lost,
            hole: next.hole,
            // The next part began with what those before it stepped over.
            stepped: next.stepped,
            ends: self.ends,
            cutoffs: self.cutoffs,
            frames: self.frames + next.frames,
            records: self.records + next.records,
            skipped: self.skipped + next.skipped,
            closed_versions: self.closed_versions + next.closed_versions,
            newer: self.newer || next.newer,
            proven,
            passed: Passed {
                began: self.passed.began,
                root: self.passed.root.or(next.passed.root),
            },
        }
    }
}
