//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Reads and verifies the disks of a Stele vault, offline or beside a running vault.
///
/// Disks are only ever read. No key is needed and nothing is decrypted.
#[derive(Debug, Parser)]
#[command(name = "stele-inspect", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit status: 0 every present disk is clean (audit: and the log is lawful), 1 damage \
                          or something unlawful was found, 2 the disks cannot be judged or the command was used wrongly.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify labels, key-state headers, every segment and frame, the record chain and the log root.
    Verify(VerifyArgs),
    /// Replay the log and say what was lawful in it: people, holds, retention, every destruction.
    Audit(AuditArgs),
    /// Print what the disks hold: labels, key-state headers, segments, frames, record headers.
    Dump(DumpArgs),
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A vault directory (every *.disk file in it), or disk files and devices of one vault.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// A vault directory (every *.disk file in it), or disk files and devices of one vault.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `dump`.
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// A vault directory (every *.disk file in it), or disk files and devices of one vault.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only this segment, with its frames.
    #[arg(long, value_name = "N")]
    pub segment: Option<u64>,
    /// Record headers of journal frames too.
    #[arg(long)]
    pub records: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}
