//! Which journal segments belong to the log of a vault that was forced open.
//!
//! A forced opening that was cut leaves segments with numbers that are used again when the vault is forced later. Nothing
//! in them counts; and where the segments of the later one cannot be read, they must not stand in for them.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::units::{Epoch, Opening, SegmentId, Sequence};

use crate::pool::{Pool, SegmentInfo};

/// What tells the segments of completed openings from those of openings that were cut.
pub(super) struct Openings {
    /// How often the vault was forced open, by its label.
    last: Opening,
    /// The newest epoch that wrote in each.
    epochs: BTreeMap<Opening, Epoch>,
}

impl Openings {
    /// By the segments that are known.
    pub(super) fn new<'s>(last: Opening, segments: impl Iterator<Item = &'s SegmentInfo>) -> Self {
        let mut epochs: BTreeMap<Opening, Epoch> = BTreeMap::new();
        for info in segments.filter(|info| info.lane.is_journal() && was_written(info)) {
            let newest = epochs.entry(info.first_sequence.opening()).or_default();
            *newest = info.epoch.max(*newest);
        }
        Self { last, epochs }
    }

    /// Whether it is the journal's, and of no opening that was cut: not of one that no label tells of, nor of one that
    /// the vault from before it outlived.
    pub(super) fn count(&self, info: &SegmentInfo) -> bool {
        let opening = info.first_sequence.opening();
        let mut before = self.epochs.range(..opening);
        info.lane.is_journal()
            && opening <= self.last
            && before.all(|(_, epoch)| *epoch < info.epoch)
    }
}

/// Journal segments that count, by their first frame.
pub(super) fn begins(pool: &Pool, openings: &Openings) -> BTreeMap<Sequence, BTreeSet<SegmentId>> {
    let mut begins: BTreeMap<Sequence, BTreeSet<SegmentId>> = BTreeMap::new();
    let counting = pool.segments.iter();
    for (id, info) in counting.filter(|(_, info)| openings.count(info)) {
        begins.entry(info.first_sequence).or_default().insert(*id);
    }
    begins
}

/// Where the journal goes on after each forced opening: of those that begin the same one only the newest was completed.
pub(super) fn leaps(
    begins: &BTreeMap<Sequence, BTreeSet<SegmentId>>,
) -> Vec<(Sequence, SegmentId)> {
    let begun = begins.iter().filter(|(first, _)| {
        !first.opening().is_zero() && **first == Sequence::first_of(first.opening())
    });
    let newest = begun.filter_map(|(first, segments)| Some((*first, *segments.last()?)));
    newest.collect()
}

/// The first segment after a forced opening that was completed; the highest number there is if that is not known.
pub(super) fn first_segment(pool: &Pool, last: Opening, opening: Opening) -> SegmentId {
    let openings = Openings::new(last, pool.segments.values());
    let leaps = leaps(&begins(pool, &openings)).into_iter();
    let mut of_it = leaps.filter(|(first, _)| first.opening() == opening);
    of_it.next().map_or(SegmentId::MAX, |(_, segment)| segment)
}

/// A segment that was only allocated has no header and was never written.
pub(super) fn was_written(info: &SegmentInfo) -> bool {
    info.epoch > Epoch::ZERO
}
