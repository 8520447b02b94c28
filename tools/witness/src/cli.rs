//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use stele_format::checkpoint::{CheckpointError, KeyFrom, LogKey};

/// Cosigns checkpoints of Stele vaults, and refuses logs that have two histories.
///
/// Runs on a machine that is not the vault's, by people who are not its own: files go in and come out.
#[derive(Debug, Parser)]
#[command(name = "stele-witness", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 done, 1 the log was put back or has two histories, 2 nothing can be said or the \
                          command was used wrongly.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key, and print its public half, which people bring to the vault.
    Keygen(KeygenArgs),
    /// Print the public half of a key.
    Key(KeyArgs),
    /// Make the log of a vault known, with the key that its checkpoints are signed with.
    Trust(TrustArgs),
    /// Cosign a checkpoint of a log that is known, and print it.
    Cosign(CosignArgs),
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The witness's name in signature lines, such as witness.example/branch-2.
    #[arg(long)]
    pub name: String,
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The file with the key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// Arguments of `trust`.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The directory in which the witness keeps what it knows.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// The log's key, as `stele checkpoint --key` prints it: where there are several, the last.
    #[arg(value_name = "KEY", value_parser = log_key)]
    pub log: LogKey,
}

/// From how many records on it counts is no matter here.
fn log_key(text: &str) -> Result<LogKey, CheckpointError> {
    KeyFrom::parse(text).map(|one| one.key)
}

/// Arguments of `cosign`.
#[derive(Debug, Args)]
pub struct CosignArgs {
    /// The file with the key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The directory in which the witness keeps what it knows.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// A file with the proof that the log seen before is the beginning of this one.
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// A file with the checkpoint, as `stele checkpoint` prints it.
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
}
