//! The real machine: files and block devices, the kernel's clocks and randomness, the key file.

pub mod area;
pub(crate) mod buffer;
pub mod clock;
pub mod disk;
pub mod entropy;
pub mod keyfile;
pub(crate) mod open;
mod ring;
