//! Mutates texts and signatures that people and programs hand over, and gives them to everything here that reads such.
//!
//! `cargo run --release -p stele-format --example text_fuzz -- TARGET CASES SEED`
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what goes wrong in the driver itself ends it"
)]

#[path = "../../tests/shared/authenticator.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod authenticator;
mod drive;
mod readers;
mod samples;

use std::process::ExitCode;

fn main() -> ExitCode {
    drive::main(&readers::all())
}
