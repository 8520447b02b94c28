//! `stele approve ...` and `stele certificate`: what people say to requests, and what came of them.

use std::path::Path;

use crate::cli::people::{AnswerArgs, ApproveVerb, CertificateArgs, ShowArgs};
use crate::client::shown as printable;
use crate::console::{self, ask, bring, draft, note_of, sign_and_bring};
use crate::control::desk::{DeskAsk, DeskReply, RequestStatus};
use crate::disk::print;
use crate::error::{Error, Outcome};
use crate::signer;
use crate::status::as_json;

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why a statement does not count.
pub fn run(verb: ApproveVerb) -> Outcome<()> {
    match verb {
        ApproveVerb::Request(args) => {
            let (text, note) = (console::read(&args.file)?, note_of(&args.file)?);
            sign_and_bring(&args.vault, text, note, args.signature.as_deref())
        }
        ApproveVerb::List(args) => {
            let requests = console::people(&args.vault)?.requests;
            print(&if args.json {
                as_json(&requests)
            } else {
                requests.iter().map(as_line).collect()
            });
            Ok(())
        }
        ApproveVerb::Show(args) => show(&args),
        ApproveVerb::Sign(args) => answer(&args, "approve"),
        ApproveVerb::Veto(args) => answer(&args, "veto"),
        ApproveVerb::Execute(args) => execute(&args),
        ApproveVerb::Export(args) => {
            print(&text_of(&args.vault, args.number, &args.verb)?);
            Ok(())
        }
        ApproveVerb::Import(args) => {
            let (text, note) = (console::read(&args.file)?, note_of(&args.file)?);
            bring(
                &args.vault,
                text,
                vec![console::read(&args.signature)?],
                note,
            )
        }
    }
}

/// What can be said of a destruction.
///
/// # Errors
/// When the vault is not served, or nothing was destroyed.
pub fn certificate(args: &CertificateArgs) -> Outcome<()> {
    let (request, sign) = (args.show.number, args.sign);
    let question = DeskAsk::Certificate { request, sign };
    let DeskReply::Text(text) = ask(&args.show.vault, question)? else {
        return Err(Error::ControlAnswer);
    };
    print(&if args.show.json { as_json(&text) } else { text });
    Ok(())
}

fn text_of(vault: &Path, request: u64, verb: &str) -> Outcome<String> {
    let question = DeskAsk::Answer {
        verb: verb.to_owned(),
        request,
        by: signer::name()?,
    };
    Ok(draft(vault, question)?.text)
}

fn answer(args: &AnswerArgs, verb: &str) -> Outcome<()> {
    let text = text_of(&args.vault, args.number, verb)?;
    sign_and_bring(&args.vault, text, None, args.signature.as_deref())
}

/// A request that was executed already is carried on, or shown to be done, which needs no further signature.
fn execute(args: &AnswerArgs) -> Outcome<()> {
    let found = found(&args.vault, args.number)?;
    match found.state.as_str() {
        "executing" => console::carry(&args.vault, args.number).map(drop),
        "executed" => {
            let said = console::carry(&args.vault, args.number)?;
            if !said {
                print("it was carried out before; nothing is left to do\n");
            }
            Ok(())
        }
        _ => answer(args, "execute"),
    }
}

fn found(vault: &Path, number: u64) -> Outcome<RequestStatus> {
    let requests = console::people(vault)?.requests;
    let mut requests = requests.into_iter();
    let found = requests.find(|request| request.request == number);
    Ok(found.ok_or(crate::desk::NotStated::NoRequest(number))?)
}

fn show(args: &ShowArgs) -> Outcome<()> {
    let request = args.number;
    let DeskReply::Request(shown) = ask(&args.vault, DeskAsk::Show { request })? else {
        return Err(Error::ControlAnswer);
    };
    print(&if args.json {
        as_json(&shown)
    } else {
        let reason = shown.reason.as_deref().map(printable);
        let reason = reason.map(|words| format!("  reason         {words}\n"));
        as_text(&shown.request) + &reason.unwrap_or_default()
    });
    Ok(())
}

fn as_line(request: &RequestStatus) -> String {
    let RequestStatus {
        request: number,
        state,
        words,
        ..
    } = request;
    format!("{number} {state}: {words}\n")
}

fn as_text(request: &RequestStatus) -> String {
    let mut text = format!(
        "request {}: {}\n  digest         {}\n  state          {}\n  asked by       {} at {}\n",
        request.request,
        request.words,
        request.digest,
        request.state,
        request.requested_by,
        request.requested_at
    );
    let mut line = |what: &str, value: String| {
        text.push_str(&format!("  {what:<14} {value}\n"));
    };
    if request.large {
        line("large", "it needs two approvers and seven days".to_owned());
    }
    for (who, at) in &request.approved {
        line("approved by", format!("{who} at {at}"));
    }
    if !request.missing.is_empty() {
        let missing = request.missing.join(" and ");
        line(
            "needs",
            format!("{missing} before {}", request.approve_before),
        );
    }
    if let (Some(from), Some(before)) = (&request.execute_from, &request.execute_before) {
        line("execute", format!("from {from} on, before {before}"));
    }
    if let Some((who, at)) = &request.executed {
        line("executed by", format!("{who} at {at}"));
    }
    if let Some(who) = &request.ended_by {
        line("ended by", who.clone());
    }
    text
}
