//! Looking for work a little longer before a thread sleeps.
//!
//! To be woken by another thread takes as long as a fast disk takes to flush, and the way of a commit
//! wakes six threads. One that lingers finds its next work by itself, and its asker is spared the system
//! call; it gives its processor to whoever else wants to run after each look. A worker sleeps
//! at once after long work: what it is asked next takes longer than a wake, and the looks would only cost.

use std::time::{Duration, Instant};

use crate::limits::{LONG_WORK_US, LOOKS_BEFORE_SLEEP};

/// Looks until there is something, at most [`LOOKS_BEFORE_SLEEP`] times.
pub fn linger<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..LOOKS_BEFORE_SLEEP {
        let seen = look();
        if seen.is_some() {
            return seen;
        }
        std::thread::yield_now();
    }
    None
}

/// Looks until there is something, at most for so long: for who has nothing else to do than to wait for it.
pub fn linger_for<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let seen = look();
        if seen.is_some() || begun.elapsed() >= time {
            return seen;
        }
        std::thread::yield_now();
    }
}

/// Whether work took so long that nobody lingers after it.
#[must_use]
pub fn is_long(work: Duration) -> bool {
    work >= Duration::from_micros(LONG_WORK_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_what_is_seen_or_when_its_time_is_over() {
        let mut looks = 0;
        let third = || {
            looks += 1;
            (looks == 3).then_some(looks)
        };
        assert_eq!(linger_for(Duration::from_secs(600), third), Some(3));
        assert_eq!(linger_for(Duration::from_micros(50), || None::<()>), None);
    }

    #[test]
    fn it_ends_with_what_is_seen_or_after_its_looks() {
        for (there_at, expected) in [(1, Some(1)), (7, Some(7)), (LOOKS_BEFORE_SLEEP + 1, None)] {
            let mut looks = 0;
            let seen = linger(|| {
                looks += 1;
                (looks == there_at).then_some(looks)
            });
            assert_eq!(seen, expected);
            assert_eq!(looks, there_at.min(LOOKS_BEFORE_SLEEP));
        }
    }
}
