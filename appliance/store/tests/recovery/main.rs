//! What a start makes of disks that are not as they should be.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod absence;
mod away;
mod forgotten;
mod ghosts;
mod given_up;
mod index;
mod journal;
mod quorum;
mod short;
mod silent;
