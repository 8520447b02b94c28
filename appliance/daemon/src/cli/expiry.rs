//! `stele expiry`, `stele erase`, `stele hold` and `stele clock`: flags, parsed into what is asked of the serving
//! process.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::StatusArgs;
use super::people::{DraftArgs, RequestArgs};
use crate::control::desk::Which;
use crate::limits::DAY_MS;

/// What can be done about versions whose time is over.
#[derive(Debug, Subcommand)]
pub enum ExpiryVerb {
    /// Show what has expired, and what is kept and why, by month and bucket.
    Report(ReportArgs),
    /// Draft the request that destroys what has expired of a month.
    Draft(ExpiryDraftArgs),
}

/// `stele expiry report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What is shown.
    #[command(flatten)]
    pub status: StatusArgs,
    /// A bucket whose older versions may go although their names are not hidden; may be repeated.
    #[arg(long, value_name = "BUCKET")]
    pub noncurrent: Vec<String>,
}

/// `stele expiry draft`.
#[derive(Debug, Args)]
pub struct ExpiryDraftArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The month, as `stele expiry report` shows it.
    #[arg(long, value_name = "YYYY-MM")]
    pub month: String,
    /// A bucket whose older versions may go although their names are not hidden; may be repeated.
    #[arg(long, value_name = "BUCKET")]
    pub noncurrent: Vec<String>,
}

/// What can be destroyed exactly.
#[derive(Debug, Subcommand)]
pub enum EraseVerb {
    /// Draft the request that destroys exactly these versions.
    Draft(EraseDraftArgs),
}

/// `stele erase draft`.
#[derive(Debug, Args)]
pub struct EraseDraftArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The bucket.
    #[arg(long)]
    pub bucket: String,
    /// The key; not for versions that a client released, which have none any more.
    #[arg(long = "object", value_name = "KEY")]
    pub key: Option<String>,
    /// A version; may be repeated.
    #[arg(long = "version-id", value_name = "ID", required = true)]
    pub versions: Vec<String>,
    /// Let GOVERNANCE retention end early; an officer must approve too.
    #[arg(long)]
    pub governance: bool,
}

/// What can be done with legal holds.
#[derive(Debug, Subcommand)]
pub enum HoldVerb {
    /// Put versions under legal hold for a case.
    Place(PlaceArgs),
    /// Show the holds by case.
    List(StatusArgs),
    /// Draft the request that lifts the holds of a case.
    Release(ReleaseArgs),
}

/// `stele hold place`.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Where the text goes.
    #[command(flatten)]
    pub draft: DraftArgs,
    /// Name of the case; kept sealed, a salted digest of it is in the log.
    #[arg(long, value_name = "NAME")]
    pub case: String,
    /// The bucket.
    #[arg(long)]
    pub bucket: String,
    /// Only keys with this prefix.
    #[arg(long, conflicts_with = "key")]
    pub prefix: Option<String>,
    /// Only this key.
    #[arg(long = "object", value_name = "KEY")]
    pub key: Option<String>,
    /// Only this version; may be repeated.
    #[arg(long = "version-id", value_name = "ID")]
    pub versions: Vec<String>,
}

impl PlaceArgs {
    /// Which versions are meant.
    pub fn which(&self) -> Which {
        Which {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            prefix: self.prefix.clone(),
            versions: self.versions.clone(),
        }
    }
}

/// `stele hold release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The request.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Name of the case.
    #[arg(long, value_name = "NAME")]
    pub case: String,
}

/// What can be done with the clock that retention obeys.
#[derive(Debug, Subcommand)]
pub enum ClockVerb {
    /// Show the clocks.
    Show(StatusArgs),
    /// Set a simulated clock forward; only in a vault created with --simulated-clock.
    Advance(AdvanceArgs),
    /// Draft the request that sets compliance time to the wall clock.
    Correct(RequestArgs),
}

/// `stele clock advance`.
#[derive(Debug, Args)]
pub struct AdvanceArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// By how much: a number with s, m, h or d, such as 72h.
    #[arg(value_parser = span)]
    pub by: u64,
}

/// Not a time span.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time span: a number with s, m, h or d")]
struct SpanError;

fn span(text: &str) -> Result<u64, SpanError> {
    let number = text.trim_end_matches(|unit: char| unit.is_ascii_lowercase());
    let factor = match &text[number.len()..] {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return Err(SpanError),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().map_err(|_| SpanError)?;
    number
        .checked_mul(factor)
        .filter(|_| digits)
        .ok_or(SpanError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_one_unit() {
        for (text, expected) in [
            ("72h", Ok(72 * 3_600_000)),
            ("7d", Ok(7 * DAY_MS)),
            ("5s", Ok(5_000)),
            ("1m", Ok(60_000)),
            ("7", Err(SpanError)),
            ("d", Err(SpanError)),
            ("+7d", Err(SpanError)),
            ("7 d", Err(SpanError)),
            ("7dh", Err(SpanError)),
            ("99999999999999999d", Err(SpanError)),
        ] {
            assert_eq!(span(text), expected, "{text}");
        }
    }
}
