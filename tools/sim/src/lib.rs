//! Whole-system simulation of a vault from a seed.
//!
//! The real engine, index and recovery run over simulated disks. A seed chooses clients, order of
//! events, power cuts and faults; an oracle knows what was acknowledged and compares every answer
//! and, after each start, every byte. The offline verifier reads the same disks.
//!
//! Invariants: one thread; no clock and no randomness but the seed's; nothing iterates in an order
//! that memory decides. The same seed and number of steps give the same trace.
#![forbid(unsafe_code)]

pub mod cli;
pub mod content;
pub mod context;
pub mod driver;
pub mod dropped;
pub mod error;
pub mod hardware;
pub mod inspection;
pub mod life;
pub mod limits;
pub mod oracle;
pub mod people;
pub mod plant;
pub mod plug;
pub mod report;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod swarm;
pub mod trace;
pub mod who;
pub mod workload;
