//! `stele disk ...`: the disks of a vault that is being served. The serving process does what is asked.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

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

/// Why what was to be said first could not be.
static UNSAID: OnceLock<std::io::Error> = OnceLock::new();

/// Says what a verb has to say. What cannot be said holds up nothing that the verb has begun; [`all_said`] tells of it.
pub fn print(text: &str) {
    match print_whole(text) {
        // A reader that went away has seen what it wanted.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => drop(UNSAID.set(error)),
        Ok(()) => {}
    }
}

/// Says something that is lost with a reader that went away, too.
///
/// # Errors
/// What the kernel says.
pub fn print_whole(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Whether all was said that a verb had to say.
///
/// # Errors
/// `Unsaid` where it was not.
pub fn all_said() -> Outcome<()> {
    UNSAID.get().map_or(Ok(()), |error| {
        let kind = error.raw_os_error().map(std::io::Error::from_raw_os_error);
        Err(Error::Unsaid(kind.unwrap_or_else(|| error.kind().into())))
    })
}
