//! In which order a disk is filled: the journal, then data, and of either first what has the fewest good copies. So the
//! time is shortest in which the loss of one more disk would take something with it.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::units::SegmentId;

use crate::engine::Engine;
use crate::pool::SegmentInfo;

/// What goes before what: the least is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Without the journal nothing says what anything is.
    is_data: bool,
    /// On disks that take part, and not known to be bad.
    good_copies: usize,
}

/// Segments that a disk is still to be given, by rank and, within one, by number.
#[derive(Debug, Default)]
pub(super) struct FillQueue {
    order: BTreeSet<(Rank, SegmentId)>,
    ranks: BTreeMap<SegmentId, Rank>,
}

impl FillQueue {
    pub(super) fn insert(&mut self, rank: Rank, segment: SegmentId) {
        self.remove(segment);
        self.ranks.insert(segment, rank);
        self.order.insert((rank, segment));
    }

    pub(super) fn remove(&mut self, segment: SegmentId) {
        if let Some(rank) = self.ranks.remove(&segment) {
            self.order.remove(&(rank, segment));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All of them, in the order in which they are filled.
    pub(super) fn iter(&self) -> impl Iterator<Item = SegmentId> {
        self.order.iter().map(|(_, segment)| *segment)
    }
}

impl Engine {
    /// When a segment's turn comes.
    pub(super) fn rank_to_fill(&self, segment: SegmentId, info: &SegmentInfo) -> Rank {
        let good = info.places.iter().filter(|place| {
            let takes_part = self.pool.locate_active(place).is_some();
            takes_part && !self.healer.is_unmended(segment, place.disk)
        });
        Rank {
            is_data: !info.lane.is_journal(),
            good_copies: good.count(),
        }
    }

    /// A disk left: what it held has one good copy less.
    pub(in crate::engine) fn rank_fill_anew(&mut self) {
        let Some(fill) = &mut self.fill else {
            return;
        };
        let before = std::mem::take(&mut fill.queue);
        let mut queue = FillQueue::default();
        for segment in before.iter() {
            // What is no more needs no place.
            if let Some(info) = self.pool.segments.get(&segment) {
                queue.insert(self.rank_to_fill(segment, info), segment);
            }
        }
        if let Some(fill) = &mut self.fill {
            fill.queue = queue;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_goes_first_then_what_has_one_copy_then_the_rest() {
        let mut queue = FillQueue::default();
        for (segment, is_data, good_copies) in [
            (1, true, 2),
            (2, true, 1),
            (3, false, 2),
            (4, true, 2),
            (5, true, 0),
            (6, true, 1),
            (7, false, 1),
        ] {
            let rank = Rank {
                is_data,
                good_copies,
            };
            queue.insert(rank, SegmentId::new(segment));
        }
        let order = |queue: &FillQueue| queue.iter().map(SegmentId::get).collect::<Vec<u64>>();
        assert_eq!(order(&queue), [7, 3, 5, 2, 6, 1, 4]);
        // One of the disks with its copies left.
        let single = Rank {
            is_data: true,
            good_copies: 1,
        };
        queue.insert(single, SegmentId::new(4));
        queue.remove(SegmentId::new(5));
        assert_eq!(order(&queue), [7, 3, 2, 4, 6, 1]);
        assert_eq!((queue.len(), queue.is_empty()), (6, false));
    }
}
