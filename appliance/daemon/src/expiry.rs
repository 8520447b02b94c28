//! `stele expiry`, `stele erase`, `stele hold` and `stele clock`: what may go, what must stay, and the time both
//! are judged by.

use crate::cli::expiry::{ClockVerb, EraseVerb, ExpiryVerb, HoldVerb};
use crate::client::shown;
use crate::console::{self, ask, drafted};
use crate::control::desk::{
    ActWish, DeskAsk, DeskReply, ExpiryReport, HoldStatus, PeopleStatus, Which,
};
use crate::disk::print;
use crate::error::{Error, Outcome};
use crate::people::request;
use crate::signer;
use crate::status::{as_json, size};

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why nothing is drafted.
pub fn run(verb: ExpiryVerb) -> Outcome<()> {
    match verb {
        ExpiryVerb::Report(args) => {
            let noncurrent = args.noncurrent;
            let question = DeskAsk::Expiry { noncurrent };
            let DeskReply::Expiry(report) = ask(&args.status.vault, question)? else {
                return Err(Error::ControlAnswer);
            };
            print(&if args.status.json {
                as_json(&report)
            } else {
                report_text(&report)
            });
            Ok(())
        }
        ExpiryVerb::Draft(args) => {
            let (month, noncurrent) = (args.month, args.noncurrent);
            request(&args.request, ActWish::Expiry { month, noncurrent })
        }
    }
}

/// Does what a verb says.
///
/// # Errors
/// As [`run`].
pub fn erase(verb: EraseVerb) -> Outcome<()> {
    let EraseVerb::Draft(args) = verb;
    let which = Which {
        bucket: args.bucket,
        key: args.key,
        prefix: None,
        versions: args.versions,
    };
    let governance = args.governance;
    request(&args.request, ActWish::Erase { which, governance })
}

/// Does what a verb says.
///
/// # Errors
/// As [`run`].
pub fn hold(verb: HoldVerb) -> Outcome<()> {
    match verb {
        HoldVerb::Place(args) => {
            let question = DeskAsk::Hold {
                which: args.which(),
                case: args.case,
                by: signer::name()?,
            };
            drafted(&args.draft, question)
        }
        HoldVerb::List(args) => {
            let holds = console::people(&args.vault)?.holds;
            print(&if args.json {
                as_json(&holds)
            } else {
                holds.iter().map(hold_line).collect()
            });
            Ok(())
        }
        HoldVerb::Release(args) => request(&args.request, ActWish::ReleaseHold { case: args.case }),
    }
}

/// Does what a verb says.
///
/// # Errors
/// As [`run`].
pub fn clock(verb: ClockVerb) -> Outcome<()> {
    match verb {
        ClockVerb::Show(args) => {
            let people = console::people(&args.vault)?;
            let (now, release) = (&people.now, &people.release_time);
            print(&if args.json {
                as_json(&serde_json::json!({"compliance": now, "release": release}))
            } else {
                clock_text(&people)
            });
            Ok(())
        }
        ClockVerb::Advance(args) => {
            let DeskReply::People(people) = ask(&args.vault, DeskAsk::Advance { by_ms: args.by })?
            else {
                return Err(Error::ControlAnswer);
            };
            print(&clock_text(&people));
            Ok(())
        }
        ClockVerb::Correct(args) => request(&args, ActWish::ClockCorrect),
    }
}

fn clock_text(people: &PeopleStatus) -> String {
    let PeopleStatus {
        now,
        release_time,
        erasure_suspended,
        witness_silent,
        ..
    } = people;
    let mut text = format!("compliance {now}\nlocks end by {release_time}\n");
    if *erasure_suspended {
        text.push_str("nothing is destroyed now: the clocks are more than a day apart\n");
    }
    if *witness_silent {
        text.push_str("nothing is destroyed now: no witness was heard for 30 days\n");
    }
    text
}

fn hold_line(hold: &HoldStatus) -> String {
    let HoldStatus {
        record,
        case,
        digest,
        count,
        by,
        at,
        released,
    } = hold;
    let name = shown(case.as_ref().unwrap_or(digest));
    let state = if *released { "released" } else { "in force" };
    format!("{record} {name}: {count} versions, {state}, placed by {by} at {at}\n")
}

fn report_text(report: &ExpiryReport) -> String {
    let mut text = format!("judged by {}\n", report.release_time);
    if report.erasure_suspended {
        text.push_str("nothing is destroyed now: the clocks are more than a day apart\n");
    }
    let mut before = None;
    for row in &report.rows {
        let tier = row.tier.as_deref();
        if before != Some(tier) {
            text.push_str(&match tier {
                Some(tier) => format!("tier {tier}:\n"),
                None => "in no tier:\n".to_owned(),
            });
            before = Some(tier);
        }
        let (month, bucket) = (&row.month, &row.bucket);
        let (count, bytes) = (row.expired, size(row.expired_bytes));
        text.push_str(&format!(
            "{month} {bucket}: {count} versions with {bytes} may go\n"
        ));
        for (why, count) in &row.kept {
            text.push_str(&format!("  {count} stay: {why}\n"));
        }
    }
    text
}
