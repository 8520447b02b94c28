//! What may happen to a version, decided by pure functions over (state, wish, time).
//!
//! Lives here: the words of Object Lock (mode, retention, rights, bucket kinds), the tables that
//! say yes or no ([`retention`]) and the clock they obey ([`clock`]).
//!
//! Invariants: no function here shortens or lifts an unexpired COMPLIANCE retention, whatever the
//! rights; no right lifts a legal hold for deletion; every refusal is a [`Refusal`] that says why
//! and, where there is a date, until when. Nothing here reads a clock or touches state.

pub mod clock;
pub mod limits;
pub mod retention;

#[cfg(test)]
mod retention_table;
mod types;

pub use clock::{ComplianceClock, EffectiveTime, effective_time};
pub use retention::{
    Allowed, InitialLock, VersionLock, initial_lock, may_change, may_change_default, may_release,
    may_set_hold,
};
pub use types::{BucketKind, BucketPolicy, Mode, Period, Refusal, Retention, Right, Rights};
