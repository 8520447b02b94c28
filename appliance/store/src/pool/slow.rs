//! Disks that take far longer than they should: while one is, it is used only where no other disk will do, and one that
//! gives or takes nothing again and again is a suspect. Only that is told: where it is used does not change by it, or it
//! could not show that it is quick again.

use std::collections::VecDeque;

use super::{Member, Pool};
use crate::engine::DiskSlot;
use crate::limits::{SLOW_COUNT_MAX, SLOW_MS, SLOW_WINDOW_MS};

/// What a look at a disk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlowVerdict {
    /// So often within an hour it gave or took nothing while other disks did: it is a suspect.
    Suspect(usize),
    /// It was a suspect, and was not seen to be slow for long.
    Quick,
}

/// How a disk was slow, by the monotonic clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slowness {
    /// Until when it is only used where no other is left, and since when it is.
    until_ms: u64,
    since_ms: u64,
    /// When the newest times began in which it gave or took nothing.
    begun_ms: VecDeque<u64>,
    /// When it was last seen in such a time.
    last_ms: Option<u64>,
    suspect: Option<usize>,
}

impl Slowness {
    fn note(&mut self, now_ms: u64) {
        if self.until_ms <= now_ms {
            self.since_ms = now_ms;
        }
        self.until_ms = now_ms.saturating_add(SLOW_MS);
    }

    /// It gives or takes nothing. What follows within [`SLOW_MS`] is the same time.
    fn stall(&mut self, now_ms: u64) {
        let last = self.last_ms.replace(now_ms);
        if last.is_some_and(|last| now_ms.saturating_sub(last) <= SLOW_MS) {
            return;
        }
        if self.begun_ms.len() == SLOW_COUNT_MAX {
            self.begun_ms.pop_front();
        }
        self.begun_ms.push_back(now_ms);
    }

    /// Judges it.
    pub(crate) fn look(&mut self, now_ms: u64) -> Option<SlowVerdict> {
        let passed = |since: u64| now_ms.saturating_sub(since);
        let recent = |at: &&u64| passed(**at) < SLOW_WINDOW_MS;
        let often = self.begun_ms.iter().filter(recent).count();
        if often >= SLOW_COUNT_MAX {
            self.suspect = Some(often);
            return Some(SlowVerdict::Suspect(often));
        }
        let quick = self
            .last_ms
            .is_none_or(|last| passed(last) >= SLOW_WINDOW_MS);
        self.suspect.take_if(|_| quick)?;
        Some(SlowVerdict::Quick)
    }

    /// Whether it was slow a short while ago.
    pub(super) fn is_slow(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms
    }
}

impl Member {
    /// How often within an hour it gave or took nothing while others did, if it takes part and is a suspect for that.
    #[must_use]
    pub fn slow_suspect(&self) -> Option<usize> {
        self.slowness.suspect.filter(|_| self.is_active())
    }
}

impl Pool {
    /// Notes that a disk takes far longer than it should.
    pub fn note_slow(&mut self, slot: DiskSlot) {
        let now_ms = self.now_ms;
        if let Some(member) = self.member_at_mut(slot) {
            member.slowness.note(now_ms);
        }
    }

    /// Notes that a disk gives or takes nothing while others do.
    pub fn note_stall(&mut self, slot: DiskSlot) {
        let now_ms = self.now_ms;
        if let Some(member) = self.member_at_mut(slot) {
            member.slowness.stall(now_ms);
        }
    }

    /// Whether a disk was slow a short while ago.
    #[must_use]
    pub fn is_slow(&self, slot: DiskSlot) -> bool {
        self.slow_since_ms(slot).is_some()
    }

    /// Since when a disk is slow, if it is.
    pub(crate) fn slow_since_ms(&self, slot: DiskSlot) -> Option<u64> {
        let slowness = &self.member_at(slot)?.slowness;
        slowness.is_slow(self.now_ms).then_some(slowness.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{SlowVerdict, Slowness};
    use crate::limits::{SLOW_MS, SLOW_WINDOW_MS};

    const MINUTE: u64 = 60_000;
    const OFTEN: Option<SlowVerdict> = Some(SlowVerdict::Suspect(3));

    #[test]
    fn three_times_within_an_hour_make_a_suspect_and_what_is_close_together_is_one() {
        for (stalls, looked, expected) in [
            (&[0][..], 0, None),
            (&[0, MINUTE], MINUTE, None),
            (&[0, MINUTE, 2 * MINUTE], 2 * MINUTE, OFTEN),
            (&[0, 1_000, 2_000, 3_000], 3_000, None),
            (&[0, SLOW_MS, 2 * SLOW_MS], 2 * SLOW_MS, None),
            (&[0, SLOW_MS + 1, 2 * SLOW_MS + 2], 2 * SLOW_MS + 2, OFTEN),
            (&[0, 30 * MINUTE, 59 * MINUTE], 59 * MINUTE, OFTEN),
            (&[0, 30 * MINUTE, 60 * MINUTE], 60 * MINUTE, None),
            (
                &[0, 30 * MINUTE, 61 * MINUTE, 80 * MINUTE],
                80 * MINUTE,
                OFTEN,
            ),
        ] {
            let mut slowness = Slowness::default();
            stalls.iter().for_each(|at| slowness.stall(*at));
            assert_eq!(slowness.look(looked), expected, "{stalls:?}");
            assert_eq!(slowness.suspect.is_some(), expected.is_some(), "{stalls:?}");
        }
    }

    #[test]
    fn a_suspect_is_one_until_it_was_not_slow_for_an_hour_and_that_is_said_once() {
        let mut slowness = Slowness::default();
        [0, MINUTE, 2 * MINUTE]
            .iter()
            .for_each(|at| slowness.stall(*at));
        assert_eq!(slowness.look(2 * MINUTE), OFTEN);
        slowness.stall(50 * MINUTE);
        let (last, quiet) = (50 * MINUTE, SLOW_WINDOW_MS);
        assert_eq!(slowness.look(last + quiet - 1), None);
        assert!(slowness.suspect.is_some());
        let quick = Some(SlowVerdict::Quick);
        assert_eq!(slowness.look(last + quiet), quick);
        assert_eq!(slowness.look(last + quiet + 1), None);
        assert!(slowness.suspect.is_none());
    }
}
