//! The kernel's clocks.

use nix::time::{ClockId, clock_gettime};

use crate::clock::Clock;

/// Wall time from `CLOCK_REALTIME`, monotonic time from `CLOCK_MONOTONIC_RAW`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        read_ms(ClockId::CLOCK_REALTIME)
    }

    fn monotonic_ms(&self) -> u64 {
        read_ms(ClockId::CLOCK_MONOTONIC_RAW)
    }
}

/// A time before 1970 reads as 0.
fn read_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("every Linux has this clock");
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(nanoseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::SystemClock;
    use crate::conformance;

    #[test]
    fn the_system_clock_passes_the_exam() {
        conformance::clock(&SystemClock);
    }
}
