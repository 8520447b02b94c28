//! Load whose every acknowledgement is remembered, and the check that a server still keeps them; and
//! steady load of one kind, for measuring.
//!
//! Invariants: what is in a book was acknowledged with a success status; an operation without an
//! answer is its book's doubt, and may have happened entirely or not at all, nothing between.

mod book;
mod steady;
mod verify;
mod worker;

pub use book::{Body, Book};
pub use steady::{Ran, Steady, Verb};
pub use verify::{Scope, Verified, verify_all};
pub use worker::{Done, Load, fill};
