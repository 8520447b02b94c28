//! `stele checkpoint`: what an auditor keeps of a log, and the key that verifies it.

use crate::cli::CheckpointArgs;
use crate::control::socket::ask_status;
use crate::disk::{existing, not_served, print};
use crate::error::{Error, Outcome};

/// Prints the newest checkpoint, or the keys, one a line.
///
/// # Errors
/// When the vault is not served, or its process has no key of the log.
pub fn run(args: &CheckpointArgs) -> Outcome<()> {
    let directory = existing(&args.vault)?;
    let status = ask_status(&directory.control_socket())?;
    let status = status.ok_or_else(|| not_served(&directory))?;
    let log = status.log.as_ref();
    let text = if args.key {
        let keys = log.map(|log| log.keys.iter().map(|key| format!("{key}\n")).collect());
        keys.filter(|keys: &String| !keys.is_empty())
    } else if args.first {
        log.and_then(|log| log.first_checkpoint.clone())
    } else {
        log.and_then(|log| log.checkpoint.clone())
    };
    print(&text.ok_or(Error::NoCheckpoint)?);
    Ok(())
}
