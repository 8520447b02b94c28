//! The control socket: how other processes on this machine ask the serving one.
//!
//! It is a Unix socket in the vault's directory that only its owner may open, and each connection's
//! user is checked again. It carries questions; acts that change anything will need more than that.

pub mod protocol;
pub mod socket;
