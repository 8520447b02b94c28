//! `stele-witness`: reads files, prints what it says, and keeps what it saw.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use stele_witness::cli::{Cli, Command, CosignArgs};
use stele_witness::error::Refusal;
use stele_witness::files;
use stele_witness::judge::cosign;
use stele_witness::key::Pair;
use stele_witness::state::State;

/// The log was put back or has two histories.
const FINDING: u8 = 1;
/// Nothing can be said.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Keygen(args) => Pair::make(&args.name, &args.key).map(|pair| public(&pair)),
        Command::Key(args) => Pair::read(&args.key).map(|pair| public(&pair)),
        Command::Trust(args) => State::open(&args.state)
            .and_then(|state| state.trust(&args.log))
            .map(|()| String::new()),
        Command::Cosign(args) => run_cosign(&args),
    };
    match done.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("stele-witness: {refusal}");
            ExitCode::from(if refusal.is_finding() {
                FINDING
            } else {
                REFUSED
            })
        }
    }
}

fn public(pair: &Pair) -> String {
    format!("{}\n", pair.public())
}

fn run_cosign(args: &CosignArgs) -> Result<String, Refusal> {
    let pair = Pair::read(&args.key)?;
    let note = files::read(&args.checkpoint)?;
    let proof = args.proof.as_deref().map(files::read).transpose()?;
    let state = State::open(&args.state)?;
    // A clock before 1970 stands before any cosignature.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_err(|_| Refusal::ClockBack)?.as_secs();
    let cosigned = cosign(&state, &pair, &note, proof.as_deref(), seconds)?;
    Ok(cosigned.text().to_owned())
}

/// Who does not get the answer asks again: what was said is in the state.
fn print(text: &str) -> Result<(), Refusal> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Refusal::File {
        path: PathBuf::from("standard output"),
        source,
    })
}
