//! `stele release ...`: what clients deleted is shown and brought back. The serving process does what is asked.

use crate::cli::release::{ReleaseVerb, UndoArgs};
use crate::client::shown;
use crate::console::ask;
use crate::control::desk::{DeskAsk, DeskReply, ReleasedList, ReleasedStatus, Unreleased};
use crate::disk::print;
use crate::error::{Error, Outcome};
use crate::status::{as_json, size};

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why nothing is changed.
pub fn run(verb: ReleaseVerb) -> Outcome<()> {
    match verb {
        ReleaseVerb::List(args) => {
            let which = args.which();
            let question = DeskAsk::Released { which };
            let DeskReply::Released(list) = ask(&args.status.vault, question)? else {
                return Err(Error::ControlAnswer);
            };
            print(&if args.status.json {
                as_json(&list)
            } else {
                as_text(&list)
            });
        }
        ReleaseVerb::Undo(args) => {
            let undone = undo(&args)?;
            print(&undone_text(&undone));
            if let Some(fault) = undone.fault {
                return Err(Error::JoinRefused(fault));
            }
        }
    }
    Ok(())
}

/// Asks until all is gone through: one question takes only so long.
fn undo(args: &UndoArgs) -> Outcome<Unreleased> {
    let mut which = args.which();
    let mut all = Unreleased::default();
    loop {
        let question = DeskAsk::Unrelease {
            which: which.clone(),
        };
        let done = match ask(&args.vault, question) {
            Ok(DeskReply::Unreleased(done)) => *done,
            Ok(_) => return Err(Error::ControlAnswer),
            // What earlier questions did must be heard of.
            Err(error) if all.versions > 0 => Unreleased {
                fault: Some(error.to_string()),
                ..Unreleased::default()
            },
            Err(error) => return Err(error),
        };
        all.versions += done.versions;
        all.later += done.later;
        for (why, count) in done.left {
            *all.left.entry(why).or_default() += count;
        }
        if !done.words.is_empty() {
            all.words = done.words;
        }
        all.fault = done.fault;
        which.after = done.next;
        if which.after.is_none() || all.fault.is_some() {
            return Ok(all);
        }
    }
}

fn undone_text(undone: &Unreleased) -> String {
    let mut text = format!("{} versions are back\n", undone.versions);
    if undone.later > 0 {
        text.push_str(&format!(
            "{} of them were stored after that time and stand in front of what was there then: delete what nobody wants\n",
            undone.later
        ));
    }
    for (why, count) in &undone.left {
        text.push_str(&format!("{count} left released: {why}\n"));
    }
    text.extend(undone.words.iter().map(|line| format!("{line}\n")));
    text
}

fn as_text(list: &ReleasedList) -> String {
    let mut text: String = list.versions.iter().map(as_line).collect();
    if list.more {
        text.push_str("there are more: say less with --prefix or --since\n");
    }
    text
}

fn as_line(row: &ReleasedStatus) -> String {
    let ReleasedStatus {
        key,
        version,
        marker,
        bytes,
        stored,
        released,
        retention,
        hold,
    } = row;
    let what = match marker {
        true => "delete marker".to_owned(),
        false => size(*bytes),
    };
    let retention = retention.as_deref().unwrap_or("no retention");
    let hold = if *hold { ", legal hold" } else { "" };
    let key = shown(key);
    format!("{key} {version}: {what}, stored {stored}, released {released}, {retention}{hold}\n")
}
