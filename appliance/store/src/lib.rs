//! The engine of the vault: journal, lanes, recovery, index, keys and policy, without threads, clock,
//! file system or randomness of its own.
#![forbid(unsafe_code)]

pub mod index;
pub mod keys;
pub mod policy;

mod ahead;
mod alarms;
mod areas;
mod away;
pub mod config;
mod copies;
mod draft;
pub mod engine;
mod fact;
mod flush;
pub mod forecast;
mod frames;
pub mod heal;
pub mod job;
mod journal;
mod labels;
mod lane;
pub mod limits;
pub mod plants;
pub mod pool;
mod position;
mod read;
pub mod receipts;
pub mod recovery;
mod refusal;
pub mod request;
mod segment;
mod sequence;
mod snapshot;
pub mod status;
mod usage;
pub mod wipe;
