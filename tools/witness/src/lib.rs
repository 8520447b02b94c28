//! A witness of vaults' logs: it cosigns a checkpoint only if the log it saw before is the beginning of it.
//!
//! ```text
//! checkpoint, proof --> judge --> state on disk --> cosigned note
//!                         \--> two histories: both notes kept, exit 1
//! ```
//!
//! Files in, files out: the witness needs no network and no part of the vault. What it knows of a log is one
//! file in its state directory.
//!
//! Invariants: it never cosigns two checkpoints of one log of which the smaller is not the beginning of the
//! larger, nor two of one size with different roots, nor a time before one it stated; what it says is on disk
//! before anybody sees it, so that a crash in between costs a repetition at most.

#![forbid(unsafe_code)]

pub mod cli;
pub mod error;
pub mod files;
pub mod judge;
pub mod key;
pub mod limits;
pub mod proof;
pub mod state;
