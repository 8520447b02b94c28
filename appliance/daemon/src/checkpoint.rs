//! `stele checkpoint`: what an auditor keeps of a log, the key that verifies it, and what witnesses say of it.

use crate::cli::{CheckpointArgs, CheckpointVerb};
use crate::console;
use crate::control::desk::{DeskAsk, DeskReply};
use crate::control::socket::ask_status;
use crate::disk::{existing, not_served, print};
use crate::error::{Error, Outcome};

/// Prints the newest checkpoint, or the keys, one a line; or brings one that a witness has cosigned.
///
/// # Errors
/// When the vault is not served, or its process has no key of the log, or what is brought is not taken.
pub fn run(args: &CheckpointArgs) -> Outcome<()> {
    if let Some(CheckpointVerb::Cosign(args)) = &args.verb {
        let note = console::read(&args.file)?;
        let DeskReply::Text(said) = console::ask(&args.vault, DeskAsk::Cosign { note })? else {
            return Err(Error::ControlAnswer);
        };
        print(&said);
        return Ok(());
    }
    let vault = args.vault.as_deref();
    let directory = existing(vault.ok_or(Error::Usage("--vault DIR is missing"))?)?;
    let status = ask_status(&directory.control_socket())?;
    let status = status.ok_or_else(|| not_served(&directory))?;
    let log = status.log.as_ref();
    let missing = match args.first && log.is_some_and(|log| log.checkpoint.is_some()) {
        true => Error::NoFirstCheckpoint,
        false => Error::NoCheckpoint,
    };
    let text = if args.key.is_some() {
        let keys = log.map(|log| log.keys.iter().map(|key| format!("{key}\n")).collect());
        keys.filter(|keys: &String| !keys.is_empty())
    } else if args.first {
        log.and_then(|log| log.first_checkpoint.clone())
    } else {
        log.and_then(|log| log.checkpoint.clone())
    };
    print(&text.ok_or(missing)?);
    Ok(())
}
