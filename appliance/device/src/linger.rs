//! Looking for work a little longer before a thread sleeps.
//!
//! To be woken by another thread takes as long as a fast disk takes to flush, and the way of a commit
//! wakes six threads. One that lingers finds its next work by itself, and its asker is spared the system
//! call; it gives its processor to whoever else wants to run after each look.

use crate::limits::LOOKS_BEFORE_SLEEP;

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

#[cfg(test)]
mod tests {
    use super::linger;
    use crate::limits::LOOKS_BEFORE_SLEEP;

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
