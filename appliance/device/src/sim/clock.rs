//! A clock that stands still until it is told otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;

/// A settable clock; a clone is the same clock.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<Times>);

#[derive(Debug)]
struct Times {
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl SimClock {
    /// A clock at this wall time (milliseconds since 1970) and monotonic zero.
    #[must_use]
    pub fn new(wall_ms: u64) -> SimClock {
        let wall_ms = AtomicU64::new(wall_ms);
        SimClock(Arc::new(Times {
            wall_ms,
            monotonic_ms: AtomicU64::new(0),
        }))
    }

    /// Lets time pass on both clocks, milliseconds.
    pub fn advance(&self, ms: u64) {
        self.0.wall_ms.fetch_add(ms, Ordering::Relaxed);
        self.0.monotonic_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Sets the wall clock, forward or back; monotonic time does not move.
    pub fn jump_wall(&self, wall_ms: u64) {
        self.0.wall_ms.store(wall_ms, Ordering::Relaxed);
    }

    /// The machine starts again: monotonic time counts from zero. Wall time goes on.
    pub fn reboot(&self) {
        self.0.monotonic_ms.store(0, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        self.0.wall_ms.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.monotonic_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::SimClock;
    use crate::clock::Clock;
    use crate::conformance;

    #[test]
    fn the_simulated_clock_passes_the_exam() {
        conformance::clock(&SimClock::new(1_700_000_000_000));
    }

    #[test]
    fn a_jump_moves_only_the_wall_clock_and_time_moves_both() {
        let clock = SimClock::new(1000);
        let same = clock.clone();
        same.advance(5);
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (1005, 5));
        same.jump_wall(3);
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (3, 5));
        same.reboot();
        assert_eq!((clock.wall_ms(), clock.monotonic_ms()), (3, 0));
    }
}
