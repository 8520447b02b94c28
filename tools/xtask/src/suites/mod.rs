//! The suites of `cargo xtask test`, cheap ones first.

pub mod clients;
pub mod crash;
pub mod damage;
pub mod lints;
pub mod oracles;
pub mod powercut;
pub mod sim;
mod source;
pub mod tidy;
pub mod units;
