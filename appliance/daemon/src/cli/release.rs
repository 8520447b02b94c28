//! `stele release ...`: flags, parsed into what is asked of the serving process.

use clap::{ArgGroup, Args, Subcommand};
use stele_format::statement::Second;

use super::StatusArgs;
use crate::control::desk::WhichReleased;

/// What can be done with versions that clients released: gone from S3, and still held.
#[derive(Debug, Subcommand)]
pub enum ReleaseVerb {
    /// Show the released versions of a bucket.
    List(ReleasedArgs),
    /// Bring released versions back to S3, as long as they were not destroyed. Their locks and holds are what they were.
    Undo(UndoArgs),
}

/// `stele release list`.
#[derive(Debug, Args)]
pub struct ReleasedArgs {
    /// What is shown.
    #[command(flatten)]
    pub status: StatusArgs,
    /// The bucket.
    #[arg(long)]
    pub bucket: String,
    /// Only keys with this prefix.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Only what was released at this time or later, as 2026-11-29T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<u64>,
}

/// `stele release undo`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["key", "prefix", "versions", "since"]))]
pub struct UndoArgs {
    /// The vault's directory.
    #[arg(long, value_name = "DIR")]
    pub vault: std::path::PathBuf,
    /// The bucket.
    #[arg(long)]
    pub bucket: String,
    /// Only this key.
    #[arg(long = "object", value_name = "KEY", conflicts_with = "prefix")]
    pub key: Option<String>,
    /// Only keys with this prefix.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Only this version, which may be a delete marker; may be repeated.
    #[arg(long = "version-id", value_name = "ID")]
    pub versions: Vec<String>,
    /// Only what was released at this time or later, as 2026-11-29T10:00:00Z. In a bucket that shows one version of a
    /// key, what was there at this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<u64>,
}

impl ReleasedArgs {
    /// Which versions are meant.
    pub fn which(&self) -> WhichReleased {
        WhichReleased {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            since_ms: self.since,
            ..WhichReleased::default()
        }
    }
}

impl UndoArgs {
    /// Which versions are meant.
    pub fn which(&self) -> WhichReleased {
        WhichReleased {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            prefix: self.prefix.clone(),
            versions: self.versions.clone(),
            since_ms: self.since,
            after: None,
        }
    }
}

/// Not a time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time in UTC, such as 2026-11-29T10:00:00Z")]
struct TimeError;

/// Milliseconds since 1970.
fn time(text: &str) -> Result<u64, TimeError> {
    let second = Second::parse(text).ok_or(TimeError)?;
    Ok(second.start().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_and_whole_seconds() {
        for (text, expected) in [
            ("1970-01-02T00:00:01Z", Ok(86_401_000)),
            ("1970-02-30T00:00:00Z", Err(TimeError)),
            ("1970-01-02", Err(TimeError)),
            ("1970-01-02T00:00:01", Err(TimeError)),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }
}
