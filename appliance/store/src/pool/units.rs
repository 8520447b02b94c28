//! The units of one disk, by whether a segment holds them.
//!
//! A large disk has millions of them, and whether there is room is asked at every step of the engine: an answer is
//! kept until a unit changes.

use std::cell::Cell;

/// Which units of a disk are in use.
#[derive(Debug, Clone, Default)]
pub(super) struct UnitMap {
    pub(super) used: Vec<bool>,
    pub(super) free: u32,
    /// Where the next search begins.
    pub(super) next: usize,
    /// One past the highest unit that was ever in use.
    pub(super) top: u32,
    /// The last answer of `has_runs` and what was asked; none since a unit changed.
    runs: Cell<Option<(usize, u32, bool)>>,
    /// The last answer of `takes_left` and what was asked; none since a unit changed.
    takes: Cell<Option<(u32, u32)>>,
}

impl UnitMap {
    pub(super) fn new(unit_count: u32) -> Self {
        Self {
            used: vec![false; unit_count as usize],
            free: unit_count,
            next: 0,
            top: 0,
            runs: Cell::new(None),
            takes: Cell::new(None),
        }
    }

    pub(super) fn mark(&mut self, first: u32, count: u32, used: bool) {
        self.runs.set(None);
        self.takes.set(None);
        if used {
            let end = first.saturating_add(count);
            self.top = self
                .top
                .max(end.min(u32::try_from(self.used.len()).unwrap_or(u32::MAX)));
        }
        for unit in first..first.saturating_add(count) {
            if let Some(flag) = self.used.get_mut(unit as usize)
                && *flag != used
            {
                *flag = used;
                self.free = if used { self.free - 1 } else { self.free + 1 };
            }
        }
    }

    /// One past the highest unit in use now.
    pub(super) fn end(&self) -> usize {
        let highest = self.used.iter().rposition(|used| *used);
        highest.map_or(0, |unit| unit + 1)
    }

    /// Whether there are so many runs of so many free units, none sharing any.
    pub(super) fn has_runs(&self, wanted: usize, count: u32) -> bool {
        if let Some((_, _, has)) = self
            .runs
            .get()
            .filter(|(w, c, _)| (*w, *c) == (wanted, count))
        {
            return has;
        }
        let has = self.count_runs(wanted, count);
        self.runs.set(Some((wanted, count, has)));
        has
    }

    /// How often so many free units in a row can be taken, when all but the first are given back each time.
    pub(super) fn takes_left(&self, count: u32) -> u32 {
        if let Some((_, left)) = self.takes.get().filter(|(asked, _)| *asked == count) {
            return left;
        }
        let runs = self.used.split(|used| *used).map(<[bool]>::len);
        let run_min = (count as usize).max(1);
        let takes: usize = runs.map(|run| (run + 1).saturating_sub(run_min)).sum();
        let left = u32::try_from(takes).unwrap_or(u32::MAX);
        self.takes.set(Some((count, left)));
        left
    }

    /// Mostly they are behind what was taken last.
    fn count_runs(&self, wanted: usize, count: u32) -> bool {
        let holds = |units: &[bool]| {
            let (mut run, mut found) = (0, 0);
            units.iter().any(|used| {
                run = if *used { 0 } else { run + 1 };
                if run == count {
                    (run, found) = (0, found + 1);
                }
                found == wanted
            })
        };
        self.used.get(self.next..).is_some_and(holds) || holds(&self.used)
    }

    /// First fit from where the last one ended, then from the start: old blank units are used last.
    pub(super) fn find(&self, count: u32) -> Option<u32> {
        let count = count as usize;
        let fits = |from: usize, to: usize| {
            let mut run = 0;
            for (unit, used) in self.used.iter().enumerate().take(to).skip(from) {
                run = if *used { 0 } else { run + 1 };
                if run == count {
                    return u32::try_from(unit + 1 - count).ok();
                }
            }
            None
        };
        fits(self.next.min(self.used.len()), self.used.len()).or_else(|| fits(0, self.used.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::UnitMap;

    #[test]
    fn units_are_found_first_fit_and_wrap_around() {
        let mut map = UnitMap::new(8);
        assert_eq!(map.find(4), Some(0));
        map.mark(0, 4, true);
        map.next = 4;
        assert_eq!(map.find(4), Some(4));
        map.mark(4, 4, true);
        map.next = 8;
        assert_eq!(map.find(1), None);
        map.mark(1, 2, false);
        assert_eq!((map.find(2), map.find(3), map.free), (Some(1), None, 2));
    }

    #[test]
    fn runs_are_counted_once_and_not_across_what_is_used() {
        let mut map = UnitMap::new(12);
        map.mark(5, 1, true);
        assert!(map.has_runs(2, 5) && !map.has_runs(3, 5));
        assert!(map.has_runs(5, 2) && !map.has_runs(6, 2));
        assert!(!map.has_runs(1, 7));
    }

    #[test]
    fn an_answer_about_runs_is_of_the_units_as_they_are_and_does_not_depend_on_where_the_search_begins()
     {
        for next in 0..=13 {
            let mut map = UnitMap::new(12);
            map.next = next;
            assert!(map.has_runs(3, 4), "from {next}");
            map.mark(0, 1, true);
            assert!(!map.has_runs(3, 4), "from {next}");
            map.mark(0, 1, false);
            assert!(map.has_runs(3, 4) && map.has_runs(2, 6), "from {next}");
        }
    }

    #[test]
    fn takes_are_counted_in_each_run_and_anew_when_units_change() {
        let mut map = UnitMap::new(12);
        assert_eq!(map.takes_left(4), 9);
        map.mark(5, 1, true);
        assert_eq!((map.takes_left(4), map.takes_left(6)), (2 + 3, 1));
        map.mark(0, 12, true);
        assert_eq!(map.takes_left(4), 0);
    }

    #[test]
    fn marking_twice_counts_once() {
        let mut map = UnitMap::new(4);
        map.mark(1, 2, true);
        map.mark(0, 3, true);
        assert_eq!(map.free, 1);
    }
}
