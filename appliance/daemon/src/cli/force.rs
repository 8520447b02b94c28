//! `stele force-open` and what `stele serve` takes of it: flags, parsed into complete values.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What can be done with a vault that lost too many disks, while nothing serves it.
#[derive(Debug, Subcommand)]
pub enum ForceVerb {
    /// Look what an opening would go on with and what it would lose. Nothing but the index is written.
    Look(LookArgs),
    /// Draft the request: an officer signs it.
    Request(ForceRequestArgs),
    /// Verify a signed request, and draft its approval: an approver signs it.
    Approve(ForceApproveArgs),
}

/// `stele force-open look`.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
}

/// `stele force-open request`.
#[derive(Debug, Args)]
pub struct ForceRequestArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// Why, in words; kept sealed, a salted digest of it is in the text.
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub reason: String,
    /// The new file for the text; its note goes beside it with .note, and with --key its signature with .sig.
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
}

/// `stele force-open approve`.
#[derive(Debug, Args)]
pub struct ForceApproveArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// The request; its signature is beside it with .sig.
    #[arg(value_name = "REQUEST")]
    pub request: PathBuf,
    /// The new file for the text; with --key its signature goes beside it with .sig.
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
}
