//! Disks that forget what was not flushed: for power cuts of a whole process.
//!
//! Killing a process leaves the page cache alive, so nothing that it wrote is lost. These disks hold
//! every write in memory until a flush covers it, as the cache of a real drive does, and a `Mains`
//! cuts the power of all of them at a chosen or signalled moment: a seeded part of what was not
//! flushed is lost, torn between sectors or written in another order; then the process ends, and
//! nothing more reaches the files. A plan may also make one disk slow, and let one fail after a number of writes.
//!
//! They give exactly what `disk.rs` and `area.rs` promise and nothing beyond: a flush covers what
//! was handed out before it was submitted, through the same handle. They are for tests; no shipped
//! program opens one.

mod area;
mod cache;
mod disk;
mod fate;
mod mains;
mod plan;

pub use area::EvilArea;
pub use cache::{Cache, Owner};
pub use disk::EvilDisk;
pub use mains::Mains;
pub use plan::{Cut, Flushes, OfDisk, Plan, PlanError};

#[cfg(test)]
mod tests;
