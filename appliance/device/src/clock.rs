//! Time as the engine receives it: a wall clock that anyone may have set, and a monotonic one that
//! only moves forward while the machine runs.

/// A source of time.
pub trait Clock: Send {
    /// Milliseconds since 1970-01-01 UTC, as the machine believes. May jump either way.
    fn wall_ms(&self) -> u64;

    /// Milliseconds since an arbitrary start, never decreasing, at the rate of the hardware's own
    /// oscillator: nobody can slew it.
    fn monotonic_ms(&self) -> u64;
}
