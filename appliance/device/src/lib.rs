//! The machine as Stele sees it: disks, regions of disks, clocks, randomness and the place where
//! the vault's outermost key lives.
//!
//! Each of these is a trait with two implementations: `linux` for the real machine, `sim` for a
//! machine made from a seed that can be told to fail. Both sit the same exam (`conformance`), so
//! that the fake cannot be kinder than the real one. Nothing here knows what Stele writes: a disk
//! holds bytes, and an error never says anything about their content.
//!
//! Unsafe code exists in two files: `linux/buffer.rs` allocates memory aligned for direct I/O, and
//! `linux/ring.rs` promises the kernel that memory stays where it is while a ring works on it.

#![deny(unsafe_code)]

pub mod area;
pub mod buffer;
pub mod clock;
pub mod conformance;
pub mod disk;
pub mod entropy;
pub mod evil;
pub mod keyprovider;
pub mod limits;
pub mod linger;
pub mod linux;
pub mod sim;
mod sync;
