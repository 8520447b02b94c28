//! `stele release ...`: what clients deleted is shown and brought back. The serving process does what is asked.

use crate::cli::release::ReleaseVerb;
use crate::client::shown;
use crate::console::ask;
use crate::control::desk::{DeskAsk, DeskReply, ReleasedList, ReleasedStatus};
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
            let which = args.which();
            let question = DeskAsk::Unrelease { which };
            let DeskReply::Unreleased(done) = ask(&args.vault, question)? else {
                return Err(Error::ControlAnswer);
            };
            let mut text = format!("{} versions are back\n", done.versions);
            text.extend(done.words.iter().map(|line| format!("{line}\n")));
            print(&text);
        }
    }
    Ok(())
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
