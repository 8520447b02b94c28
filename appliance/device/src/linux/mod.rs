//! The real machine: files and block devices, the kernel's clocks and randomness, the key file, and what keeps a
//! process apart from the others.

pub mod area;
pub(crate) mod buffer;
pub mod clock;
pub mod disk;
pub mod entropy;
pub mod keyfile;
pub(crate) mod open;
mod ring;
pub mod sandbox;
pub mod serial;
pub mod shared;
pub mod tpm;
