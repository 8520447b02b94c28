//! The network face as a process of its own: started, fed, watched and started again by the engine's
//! process, which believes nothing it says.
//!
//! The gateway's process holds no key of the vault, no disk, no secret of a client and no file. It has
//! the listening socket, one socket to this process, and the shared memory for content. What it may do
//! is decided here and in the engine: [`sessions`] knows who signed what, [`porter`] carries questions
//! and copies content across, [`process`] starts and ends it, [`child`] is what runs inside.

pub mod child;
pub mod door;
mod handover;
mod pages;
pub mod porter;
pub mod process;
mod said;
mod sessions;
pub mod spent;
pub mod verify;

pub use porter::{Question, ReplyTo};

#[cfg(test)]
mod signer;
#[cfg(test)]
mod tests;
