//! A machine made from a seed: same seed and same calls, same bytes. See `fault` for what it can
//! be told to do wrong.

pub mod area;
pub mod clock;
pub mod disk;
pub mod entropy;
pub mod fault;
mod image;
pub mod keyprovider;
pub mod power;
pub(crate) mod rng;
mod state;
