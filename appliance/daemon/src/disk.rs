//! `stele disk ...`: the disks of a vault that is being served. The serving process does what is asked.

use std::io::Write;
use std::path::Path;

use crate::advice::Commands;
use crate::cli::DiskVerb;
use crate::control::protocol::{Join, Status};
use crate::control::socket::{ask_drain, ask_join, ask_status};
use crate::error::{Error, Outcome};
use crate::status::{as_json, disk_row, next_lines};
use crate::vault::{Directory, located};

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why a disk does not join.
pub fn run(verb: DiskVerb) -> Outcome<()> {
    match verb {
        DiskVerb::List(args) => list(&args.vault, args.json),
        DiskVerb::Replace(args) => {
            let join = Join::Replace {
                number: args.number,
                path: told(&args.path)?,
                bytes: args.disk_bytes,
            };
            ask(&args.vault, join)
        }
        DiskVerb::Resync(args) => {
            let number = args.number;
            ask(&args.vault, Join::Resync { number })
        }
        DiskVerb::Add(args) => {
            let join = Join::Add {
                path: told(&args.path)?,
                bytes: args.disk_bytes,
            };
            ask(&args.vault, join)
        }
        DiskVerb::Drain(args) => drain(&args.vault, args.number),
        DiskVerb::Reinitialise(args) => crate::wipe::run(&args),
    }
}

/// A path as the serving process, which has another working directory, understands it.
///
/// # Errors
/// When it is no text.
pub fn told(path: &Path) -> Outcome<String> {
    let path = located(path);
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::DiskPath { path }),
    }
}

fn list(vault: &Path, json: bool) -> Outcome<()> {
    let directory = existing(vault)?;
    let status = ask_status(&directory.control_socket())?;
    let status = status.ok_or_else(|| not_served(&directory))?;
    print(&if json {
        as_json(&status.disks)
    } else {
        as_text(&status)
    });
    Ok(())
}

fn as_text(status: &Status) -> String {
    let mut text: String = status.disks.iter().map(disk_row).collect();
    text.push_str(&next_lines(status));
    text
}

fn ask(vault: &Path, join: Join) -> Outcome<()> {
    let directory = existing(vault)?;
    let joined = ask_join(&directory.control_socket(), join)?;
    let joined = joined.ok_or_else(|| not_served(&directory))?;
    let status = Commands::new(directory.path()).status();
    print(&format!(
        "disk {} is {} and is being filled; it takes part when it is shown as ok by:\n  {status}\n",
        joined.number, joined.file,
    ));
    Ok(())
}

fn drain(vault: &Path, number: u16) -> Outcome<()> {
    let directory = existing(vault)?;
    let draining = ask_drain(&directory.control_socket(), number)?;
    let draining = draining.ok_or_else(|| not_served(&directory))?;
    let status = Commands::new(directory.path()).status();
    print(&format!(
        "what disk {} ({}) holds is being moved to the others; leave it in until it is shown as drained by:\n  {status}\n",
        draining.number, draining.file,
    ));
    Ok(())
}

/// The directory of a vault.
///
/// # Errors
/// When there is none.
pub fn existing(vault: &Path) -> Outcome<Directory> {
    let directory = Directory::new(vault)?;
    directory.existing()?;
    Ok(directory)
}

/// A verb needs the serving process.
pub fn not_served(directory: &Directory) -> Error {
    Error::NotServed {
        dir: directory.path().to_owned(),
        serve: Commands::new(directory.path()).serve(),
    }
}

/// Says what a verb has to say.
pub fn print(text: &str) {
    // A reader that went away has seen what it wanted.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}
