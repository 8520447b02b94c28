//! Journal frames that were durable and lie on no disk, where nothing is left in their place to look at.
//!
//! What was never written looks the same. They are missed by what follows: a segment that goes on later than
//! the one before it ends, or a label or frame that calls more durable than there is.

use std::time::Duration;

use stele_format::label::LabelPhase;
use stele_format::record::{Body, RecordHeader};
use stele_format::units::{FrameIndex, SegmentId, Sequence};

use crate::compare::SegmentFacts;
use crate::journal::{self, Log, Watch};
use crate::pool::{Pool, Standing};
use crate::survey::Survey;
use crate::verdict::{Area, Damage, Ledger};

/// A piece of the journal that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Its first frame.
    pub first: Sequence,
    /// The segment before it, which may have ended later; none where the journal does not begin.
    pub after: SegmentId,
    /// The segment with which the journal goes on.
    pub next: Option<Next>,
}

/// The first that is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The segment.
    pub segment: SegmentId,
    /// The one that it continues.
    pub previous: SegmentId,
}

impl Gap {
    /// Nothing acknowledged may be missing. Without its beginning there is no journal.
    fn matters(&self, log: &Log) -> bool {
        self.first <= log.proven || self.after == SegmentId::NONE
    }

    /// The segment that holds its last frame, as far as anything tells.
    fn segment(&self, pool: &Pool<'_>) -> SegmentId {
        let running = pool.newest.as_ref();
        let running = running.filter(|label| label.phase == LabelPhase::Running);
        match self.next {
            Some(next) => next.previous,
            None => running.map_or(self.after, |label| label.journal_segment.max(self.after)),
        }
    }
}

/// Somebody who only wants to know where the journal lies.
struct Reader;

impl Watch for Reader {
    fn record(&mut self, _: &RecordHeader, _: &Body) {}
    fn gap(&mut self) {}
}

/// Forgets gaps that no acknowledged frame lies in, and those that are none when all is looked at again: beside a
/// running vault, a segment may have been begun behind the survey's back.
pub fn look_again(pool: &Pool<'_>, pause: Duration, log: &mut Log) {
    let mut gaps = std::mem::take(&mut log.gaps);
    gaps.retain(|gap| gap.matters(log));
    if !gaps.is_empty() {
        let (again, _) = journal::read(pool, &Survey::of(pool), pause, &mut Reader);
        gaps.retain(|gap| again.gaps.contains(gap));
    }
    log.gaps = gaps;
}

/// Enters what is missing, unless damage that was found there explains it.
pub fn report(pool: &Pool<'_>, log: &Log, all: &[SegmentFacts], ledger: &mut Ledger) {
    let facts_of = |segment| all.iter().find(|facts| facts.segment == segment);
    for gap in &log.gaps {
        let segment = gap.segment(pool);
        // What is left of the segment before tells which of its frames is the first.
        let cut = (segment == gap.after).then(|| facts_of(segment)).flatten();
        let begun = cut.and_then(|facts| facts.header.as_ref());
        let index = begun.map(|header| gap.first.get() - header.first_sequence.get());
        let frame = index.and_then(|index| u32::try_from(index).ok().map(FrameIndex::new));
        if ledger.names(segment, frame) {
            continue;
        }
        let first = gap.first;
        if !pool.is_whole() || ledger.has_unjudged() {
            ledger.note_pool(format!(
                "journal frames from {first} on are on no present disk; missing disks may hold them"
            ));
            continue;
        }
        let goes_on = gap.next.and_then(|next| facts_of(next.segment));
        for disk in disks_of(pool, log, segment, cut.or(goes_on)) {
            ledger.damage(Damage {
                disk: pool.disks[disk].entry,
                area: Area::Segment,
                segment: Some(segment),
                frame,
                what: format!("journal frames from {first} on, which were durable, are missing"),
                good_copy: false,
            });
        }
    }
}

/// The disks that should hold a segment: those it was allocated on, else those of another that tells, else all.
fn disks_of(
    pool: &Pool<'_>,
    log: &Log,
    segment: SegmentId,
    near: Option<&SegmentFacts>,
) -> Vec<usize> {
    let active = |disk: &usize| pool.disks[*disk].standing == Standing::Active;
    let alloc = log.allocs.get(&segment);
    let places = alloc.map(|alloc| log.moves.places(segment, &alloc.placements));
    let places = places.into_iter().flatten();
    let mut disks: Vec<usize> = places
        .filter_map(|placed| pool.position(placed.disk))
        .filter(active)
        .collect();
    if disks.is_empty() {
        let copies = near.into_iter().flat_map(|facts| &facts.copies);
        disks = copies.map(|copy| copy.disk).filter(active).collect();
    }
    if disks.is_empty() {
        disks = (0..pool.disks.len()).filter(active).collect();
    }
    disks
}
