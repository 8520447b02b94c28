//! What is read again next, found for many segments in one look at all of them: a large vault has hundreds of
//! thousands, and the engine serves nobody while it looks.

use std::collections::{BinaryHeap, VecDeque};

use stele_format::units::{SegmentId, UnixMillis};

/// Segments of a kind that wait at most.
const WAITING_COUNT_MAX: usize = 256;

/// Pause before all are looked at again because one kind has none left.
const LOOK_PAUSE_MS: u64 = 60_000;

/// Segments that were due at the last look, by when.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Closed and never read again.
    unread: VecDeque<SegmentId>,
    /// All others.
    others: VecDeque<SegmentId>,
    looked: Option<UnixMillis>,
}

impl Waiting {
    /// Whether all are to be looked at before one of this kind is taken.
    pub(super) fn needs_look(&self, unread: bool, now: UnixMillis) -> bool {
        let rests = |looked: UnixMillis| now.get().saturating_sub(looked.get()) < LOOK_PAUSE_MS;
        let wanted = match unread {
            true => &self.unread,
            false => &self.others,
        };
        let has_others = !self.unread.is_empty() || !self.others.is_empty();
        wanted.is_empty() && !(has_others && self.looked.is_some_and(rests))
    }

    /// Keeps the earliest of what is due: when, whether it is closed and was never read again, which.
    pub(super) fn look(
        &mut self,
        due: impl Iterator<Item = (UnixMillis, bool, SegmentId)>,
        now: UnixMillis,
    ) {
        let mut kinds = [BinaryHeap::new(), BinaryHeap::new()];
        for (at, unread, segment) in due {
            let earliest = &mut kinds[usize::from(unread)];
            earliest.push((at, segment));
            if earliest.len() > WAITING_COUNT_MAX {
                earliest.pop();
            }
        }
        let [others, unread] = kinds.map(|earliest| {
            let earliest = earliest.into_sorted_vec().into_iter();
            earliest.map(|(_, segment)| segment).collect()
        });
        *self = Self {
            unread,
            others,
            looked: Some(now),
        };
    }

    /// Takes the first of a kind, of those that are still to be read.
    pub(super) fn take(
        &mut self,
        unread: bool,
        still: impl Fn(SegmentId) -> bool,
    ) -> Option<SegmentId> {
        let kind = match unread {
            true => &mut self.unread,
            false => &mut self.others,
        };
        std::iter::from_fn(|| kind.pop_front()).find(|segment| still(*segment))
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::{SegmentId, UnixMillis};

    use super::{LOOK_PAUSE_MS, WAITING_COUNT_MAX, Waiting};

    fn ms(ms: u64) -> UnixMillis {
        UnixMillis::new(ms)
    }

    #[test]
    fn the_earliest_of_each_kind_wait_in_their_order() {
        let mut waiting = Waiting::default();
        let count = u64::try_from(WAITING_COUNT_MAX).unwrap() + 50;
        let due = (0..count).flat_map(|n| {
            let at = ms(count - n);
            [
                (at, true, SegmentId::new(n)),
                (at, false, SegmentId::new(n + 1_000)),
            ]
        });
        waiting.look(due, ms(0));
        let odd = |segment: SegmentId| segment.get() % 2 == 1;
        let unread: Vec<u64> = std::iter::from_fn(|| waiting.take(true, odd))
            .map(SegmentId::get)
            .collect();
        let expected: Vec<u64> = (50..count).rev().filter(|n| n % 2 == 1).collect();
        assert_eq!(unread, expected);
        let others = std::iter::from_fn(|| waiting.take(false, |_| true));
        assert_eq!(others.count(), WAITING_COUNT_MAX);
    }

    #[test]
    fn all_are_looked_at_where_nothing_waits_or_nothing_of_the_kind_for_a_while() {
        let mut waiting = Waiting::default();
        assert!(waiting.needs_look(true, ms(0)));
        waiting.look([(ms(1), false, SegmentId::new(1))].into_iter(), ms(9));
        assert!(!waiting.needs_look(false, ms(9)));
        assert!(!waiting.needs_look(true, ms(9 + LOOK_PAUSE_MS - 1)));
        assert!(waiting.needs_look(true, ms(9 + LOOK_PAUSE_MS)));
        waiting.take(false, |_| true).unwrap();
        assert!(waiting.needs_look(true, ms(9)) && waiting.needs_look(false, ms(9)));
    }
}
