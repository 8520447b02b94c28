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
    /// What has something new in it.
    new: VecDeque<SegmentId>,
    /// All others.
    others: VecDeque<SegmentId>,
    looked: Option<UnixMillis>,
}

impl Waiting {
    /// Whether all may be looked at again where nothing of a kind is there to be read.
    pub(super) fn may_look(&self, now: UnixMillis) -> bool {
        let rests = |looked: UnixMillis| now.get().saturating_sub(looked.get()) < LOOK_PAUSE_MS;
        let has_any = !self.new.is_empty() || !self.others.is_empty();
        !(has_any && self.looked.is_some_and(rests))
    }

    /// Keeps the earliest of what is due: when, whether it is new, which.
    pub(super) fn look(
        &mut self,
        due: impl Iterator<Item = (UnixMillis, bool, SegmentId)>,
        now: UnixMillis,
    ) {
        let mut kinds = [BinaryHeap::new(), BinaryHeap::new()];
        for (at, new, segment) in due {
            let earliest = &mut kinds[usize::from(new)];
            earliest.push((at, segment));
            if earliest.len() > WAITING_COUNT_MAX {
                earliest.pop();
            }
        }
        let [others, new] = kinds.map(|earliest| {
            let earliest = earliest.into_sorted_vec().into_iter();
            earliest.map(|(_, segment)| segment).collect()
        });
        *self = Self {
            new,
            others,
            looked: Some(now),
        };
    }

    /// Takes the first of a kind that can be read now. Those that cannot stay in their place, those that are not due any
    /// more go.
    pub(super) fn take(
        &mut self,
        new: bool,
        is_due: impl Fn(SegmentId) -> bool,
        can_be_read: impl Fn(SegmentId) -> bool,
    ) -> Option<SegmentId> {
        let kind = self.kind(new);
        kind.retain(|segment| is_due(*segment));
        let found = kind.iter().position(|segment| can_be_read(*segment))?;
        kind.remove(found)
    }

    /// The first that waits of what is new.
    pub(super) fn first_new(&self) -> Option<SegmentId> {
        self.new.front().copied()
    }

    /// What was taken and could not be read to its end is the first again.
    pub(super) fn put_back(&mut self, new: bool, segment: SegmentId) {
        let kind = self.kind(new);
        kind.retain(|one| *one != segment);
        kind.push_front(segment);
    }

    fn kind(&mut self, new: bool) -> &mut VecDeque<SegmentId> {
        match new {
            true => &mut self.new,
            false => &mut self.others,
        }
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
        let mut take = |kind, is_due: fn(SegmentId) -> bool| {
            let taken = std::iter::from_fn(|| waiting.take(kind, is_due, odd));
            taken.map(SegmentId::get).collect::<Vec<u64>>()
        };
        let expected: Vec<u64> = (50..count).rev().filter(|n| n % 2 == 1).collect();
        assert_eq!(take(true, |_| true), expected);
        assert_eq!(take(false, |segment| segment.get() > 1_300).len(), 3);
        // What could not be read has kept its place, what was not due has gone.
        let rest = |kind| std::iter::from_fn(|| waiting.take(kind, |_| true, |_| true)).count();
        assert_eq!([true, false].map(rest), [WAITING_COUNT_MAX / 2, 2]);
    }

    #[test]
    fn what_could_not_be_read_to_its_end_is_the_first_again() {
        let mut waiting = Waiting::default();
        let due = [1, 2].map(|id| (ms(id), true, SegmentId::new(id)));
        waiting.look(due.into_iter(), ms(9));
        let mut take = || waiting.take(true, |_| true, |_| true);
        let first = take().unwrap();
        // As one may be that readers suspect, and that waits as well.
        waiting.put_back(true, first);
        waiting.put_back(true, first);
        let mut take = || waiting.take(true, |_| true, |_| true);
        assert_eq!(take(), Some(first));
        assert_eq!(take(), Some(SegmentId::new(2)));
        assert_eq!(take(), None);
    }

    #[test]
    fn all_are_looked_at_where_nothing_waits_or_after_a_while() {
        let mut waiting = Waiting::default();
        assert!(waiting.may_look(ms(0)));
        waiting.look([(ms(1), false, SegmentId::new(1))].into_iter(), ms(9));
        assert!(!waiting.may_look(ms(9 + LOOK_PAUSE_MS - 1)));
        assert!(waiting.may_look(ms(9 + LOOK_PAUSE_MS)));
        waiting.take(false, |_| true, |_| true).unwrap();
        assert!(waiting.may_look(ms(9)));
    }
}
