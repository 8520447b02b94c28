//! When the rows of the index are read again, and when they last were.

use stele_format::units::UnixMillis;

use super::schedule::Due;
use crate::limits::VERIFY_PAUSE_MS;

/// The last time that all rows of the index were read again and were those it states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsVerified {
    /// By the compliance clock.
    pub at: UnixMillis,
    /// Rows that count.
    pub rows: u64,
}

/// How reading them goes on. One piece at a time, with a pause after each, and never while one is out: a client's
/// question waits for one piece at most.
#[derive(Debug, Default)]
pub(crate) struct RowsCheck {
    due: Due,
    since: UnixMillis,
    last: Option<RowsVerified>,
    /// The index has a piece to read.
    asked: bool,
    /// Some pieces were read, and not all.
    begun: bool,
    rest_until_ms: u64,
}

impl RowsCheck {
    /// For an index that is in use since then. All its rows are due like a segment that was closed at that time.
    pub(crate) fn new(due: Due, since: UnixMillis) -> Self {
        Self {
            due,
            since,
            ..Self::default()
        }
    }

    /// The last time since the start.
    pub(crate) const fn last(&self) -> Option<RowsVerified> {
        self.last
    }

    /// Whether to ask for a piece now.
    pub(crate) fn take_due(&mut self, now: UnixMillis, now_ms: u64) -> bool {
        let from = match self.last {
            None => self.since.get().saturating_add(self.due.settle_ms),
            Some(last) => last.at.get().saturating_add(self.due.interval_ms),
        };
        let wanted = self.begun || now.get() >= from;
        let may = !self.asked && now_ms >= self.rest_until_ms;
        self.asked |= wanted && may;
        wanted && may
    }

    /// A piece was read, and there are more.
    pub(crate) fn go_on(&mut self, now_ms: u64) {
        (self.asked, self.begun) = (false, true);
        self.rest_until_ms = now_ms.saturating_add(VERIFY_PAUSE_MS);
    }

    /// All were read.
    pub(crate) fn end(&mut self, rows: u64, now: UnixMillis, now_ms: u64) {
        self.go_on(now_ms);
        self.begun = false;
        self.last = Some(RowsVerified { at: now, rows });
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::UnixMillis;

    use super::RowsCheck;
    use crate::heal::schedule::Due;
    use crate::limits::VERIFY_PAUSE_MS;

    #[test]
    fn pieces_are_asked_for_one_by_one_with_a_pause_and_all_again_after_the_interval() {
        let due = Due {
            settle_ms: 1_000,
            open_ms: 0,
            interval_ms: 5_000,
        };
        let mut check = RowsCheck::new(due, UnixMillis::new(100));
        let is_due = |check: &mut RowsCheck, at: u64| check.take_due(UnixMillis::new(at), at);
        assert!(!is_due(&mut check, 1_099), "not before it settled");
        assert!(is_due(&mut check, 1_100));
        assert!(!is_due(&mut check, 9_000), "one piece at a time");
        check.go_on(9_000);
        assert!(!is_due(&mut check, 9_000 + VERIFY_PAUSE_MS - 1));
        assert!(is_due(&mut check, 9_000 + VERIFY_PAUSE_MS));
        check.end(7, UnixMillis::new(10_000), 10_000);
        assert_eq!(check.last().map(|last| last.rows), Some(7));
        assert!(!is_due(&mut check, 14_999));
        assert!(is_due(&mut check, 15_000));
    }
}
