//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use stele_format::checkpoint::KeyFrom;
use stele_format::units::VersionId;
use thiserror::Error;

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
    /// Prove from the disks that a record is in the log, or that one log is the beginning of another.
    Prove(ProveArgs),
    /// Verify a receipt with the log's key alone, and say what it proves.
    Receipt(ReceiptArgs),
    /// Verify a certificate of destruction with the log's key alone, and print what it says.
    Certificate(CertificateArgs),
}

/// Arguments of `prove`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub struct ProveArgs {
    /// A vault directory (every *.disk file in it), or disk files and devices of one vault.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The record to prove, by its index in the log.
    #[arg(long, value_name = "N", group = "what")]
    pub record: Option<u64>,
    /// The record that made this version, by the id that S3 shows.
    #[arg(long, value_name = "ID", group = "what", value_parser = parse_version)]
    pub version_id: Option<VersionId>,
    /// In the log's first so many records [default: all, or those of the checkpoint].
    #[arg(long, value_name = "M", conflicts_with = "consistency")]
    pub tree_size: Option<u64>,
    /// Prove instead that the log's first M records are the beginning of its first N.
    #[arg(long, num_args = 2, value_names = ["M", "N"], group = "what")]
    pub consistency: Option<Vec<u64>>,
    /// A file with a signed checkpoint, which the log must have; the proof of a record is then a receipt.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub checkpoint: Option<PathBuf>,
    /// The log's key, as `stele checkpoint --key` prints it; keys that followed it are read from the log. May be
    /// repeated.
    #[arg(long = "key", id = "key", value_name = "KEY", value_parser = KeyFrom::parse)]
    pub keys: Vec<KeyFrom>,
}

/// Not the id of a version.
#[derive(Debug, Error)]
#[error("not 32 lower-case hexadecimal digits")]
struct NoVersionId;

fn parse_version(text: &str) -> Result<VersionId, NoVersionId> {
    VersionId::parse_hex(text).ok_or(NoVersionId)
}

/// Arguments of `receipt`.
#[derive(Debug, Args)]
pub struct ReceiptArgs {
    /// A file with the receipt, as text or in the base64 of the header `x-stele-receipt`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The log's key, as `stele checkpoint --key` prints it; repeated for each that it prints, with the `@` and the
    /// number behind those that came later.
    #[arg(long = "key", required = true, value_name = "KEY", value_parser = KeyFrom::parse)]
    pub keys: Vec<KeyFrom>,
}

/// Arguments of `certificate`.
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// A file with what `stele certificate --sign` printed.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The log's key, as `stele checkpoint --key` prints it; repeated for each that it prints.
    #[arg(long = "key", required = true, value_name = "KEY", value_parser = KeyFrom::parse)]
    pub keys: Vec<KeyFrom>,
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
