//! What may happen to a version, decided by pure functions over (state, wish, time).
//!
//! Lives here: the words of Object Lock (mode, retention, rights, bucket kinds), the tables that
//! say yes or no ([`retention`]), the clock they obey ([`clock`]), and who may do what, where
//! ([`client`]) and how much of it ([`quota`]); who the people are ([`people`]) and what they decided
//! together ([`approval`]).
//!
//! Invariants: no function here shortens or lifts an unexpired COMPLIANCE retention, whatever the
//! rights; no right lifts a legal hold for deletion; every refusal is a [`Refusal`] that says why
//! and, where there is a date, until when. Nothing here reads a clock or touches state.

pub mod approval;
pub mod client;
pub mod clock;
mod drift;
pub mod expiry;
pub mod lifecycle;
pub mod limits;
pub mod people;
pub mod quota;
pub mod retention;
pub mod rules;
pub mod tier;
pub mod witness;

#[cfg(test)]
mod retention_table;
mod types;
pub mod wiping;
pub mod words;

pub use client::{Act, Asker, Client, Grant, Grants, OwnerId, Quotas, Scope};
pub use clock::{ComplianceClock, EffectiveTime, effective_time};
pub use drift::Drift;
pub use expiry::{Kept, Standing, may_destroy, may_destroy_unheld, may_draft, standings};
pub use lifecycle::{
    CurrentExpiry, FilterForm, LifecycleRule, NoncurrentExpiry, check_lifecycle_rules, is_given_up,
};
pub use quota::{Meter, Quota, Rate, Usage};
pub use retention::{
    Allowed, InitialLock, VersionLock, check_bound, check_default_bound, initial_lock, may_change,
    may_change_default, may_release, may_set_hold,
};
pub use rules::{default_for, with_rule};
pub use tier::Tier;
pub use types::{
    BucketKind, BucketPolicy, Mode, Period, PrefixRule, Refusal, Retention, Right, Rights,
};
