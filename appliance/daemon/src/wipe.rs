//! `stele disk reinitialise`: asks for leave to wipe a disk, and has it wiped once two people gave it.

use crate::cli::WipeArgs;
use crate::control::desk::ActWish;
use crate::control::socket::ask_wipe;
use crate::control::wipe::{WipeAsk, WipeReply};
use crate::disk::{existing, not_served, print, told};
use crate::error::Outcome;
use crate::people;

/// Drafts the request, or does what an executed one says.
///
/// # Errors
/// When the vault is not served, or why the disk is not wiped.
pub fn run(args: &WipeArgs) -> Outcome<()> {
    let path = told(&args.path)?;
    let ask = |question| {
        let directory = existing(&args.request.draft.vault)?;
        let reply = ask_wipe(&directory.control_socket(), question)?;
        reply.ok_or_else(|| not_served(&directory))
    };
    let Some(request) = args.number else {
        let WipeReply { disk, label, .. } = ask(WipeAsk::Look { path })?;
        let lines = vec![
            "act reinitialise".to_owned(),
            format!("disk {disk}"),
            format!("label {label}"),
        ];
        return people::request(&args.request, ActWish::Lines(lines));
    };
    let WipeReply { disk, file, .. } = ask(WipeAsk::Wipe { request, path })?;
    print(&format!(
        "{file}, which was disk {disk}, is blank: nothing tells what it was, and it can be used like a new one\n"
    ));
    Ok(())
}
