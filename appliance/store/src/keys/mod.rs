//! Every key of the vault and everything that is sealed under one.
//!
//! Lives here: the puncturable tree whose leaves seal manifests ([`tree`]), the sealed message form
//! ([`message`]), sealed chunks ([`chunk`]), allocation of key indexes ([`counter`]), and the key
//! state kept on the disks ([`state`], [`copies`]).
//!
//! Invariants: secrets live in types without `Debug` of their content that overwrite themselves on
//! drop; nothing here logs; all randomness comes in from the caller. A key that was cut cannot be
//! derived again from anything kept here.

pub mod chunk;
pub mod copies;
pub mod counter;
mod derive;
pub mod limits;
pub mod message;
pub mod secret;
pub mod state;
pub mod tree;
