//! Mutates samples of what strangers send and gives them to everything in the gateway that reads such bytes.
//!
//! `cargo run --release -p stele-gateway --example gateway_fuzz -- TARGET CASES SEED`

#[path = "../../../format/examples/text_fuzz/drive.rs"]
mod drive;

use std::process::ExitCode;

use stele_gateway::fuzz::TARGETS;

fn main() -> ExitCode {
    let readers = TARGETS.iter().map(|target| drive::Reader {
        name: target.name,
        run: target.run,
        samples: target.samples.iter().map(|bytes| bytes.to_vec()).collect(),
        words: target.words,
    });
    drive::main(&readers.collect::<Vec<_>>())
}
