//! `stele bucket ...`: tiers of retention, and default retention by prefix. The serving process does what is asked.

use std::path::Path;

use crate::cli::client::{BucketVerb, RuleVerb};
use crate::client::shown;
use crate::console;
use crate::control::clients::{RuleAsk, RuleChange, RuleReply};
use crate::control::desk::{ActWish, BucketStatus, DeskAsk, DeskReply, LifecycleLines};
use crate::control::socket::ask_rule;
use crate::disk::{existing, not_served, print};
use crate::error::{Error, Outcome};
use crate::people::request;
use crate::status::as_json;

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why nothing is changed.
pub fn run(verb: BucketVerb) -> Outcome<()> {
    let verb = match verb {
        BucketVerb::Rule(verb) => verb,
        BucketVerb::List(args) => {
            let buckets = buckets(&args.vault, DeskAsk::Buckets)?;
            print(&if args.json {
                as_json(&buckets)
            } else {
                buckets.iter().map(as_line).collect()
            });
            return Ok(());
        }
        BucketVerb::Create(args) => {
            let question = DeskAsk::Create {
                bucket: args.bucket,
                tier: args.tier,
                rules: args.rules,
            };
            return change(&args.vault, question);
        }
        BucketVerb::MaxRetention(args) => {
            let question = DeskAsk::Bound {
                bucket: args.bucket,
                days_max: args.days,
            };
            return change(&args.vault, question);
        }
        BucketVerb::Tier(args) => {
            let (bucket, tier) = (args.bucket, args.tier);
            return change(&args.vault, DeskAsk::Tier { bucket, tier });
        }
        BucketVerb::Lifecycle(args) => {
            let (bucket, remove) = (args.bucket, args.remove);
            let question = DeskAsk::Lifecycle { bucket, remove };
            let DeskReply::Lifecycle(LifecycleLines(lines)) = console::ask(&args.vault, question)?
            else {
                return Err(Error::ControlAnswer);
            };
            let lines = lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>();
            print(if lines.is_empty() {
                "no lifecycle rules\n"
            } else {
                &lines
            });
            return Ok(());
        }
        BucketVerb::LowerDefault(args) => {
            let (bucket, default) = (args.bucket, args.default);
            return request(&args.request, ActWish::LowerDefault { bucket, default });
        }
    };
    match verb {
        RuleVerb::List(args) => {
            let reply = ask(&args.vault, args.bucket, None)?;
            print(&if args.json {
                as_json(&reply)
            } else {
                as_text(&reply)
            });
        }
        RuleVerb::Add(args) => {
            let change = RuleChange {
                prefix: args.prefix,
                days: Some(args.days),
            };
            print(&as_text(&ask(&args.vault, args.bucket, Some(change))?));
        }
        RuleVerb::Remove(args) => {
            let change = RuleChange {
                prefix: args.prefix,
                days: None,
            };
            print(&as_text(&ask(&args.vault, args.bucket, Some(change))?));
        }
    }
    Ok(())
}

/// Has a bucket made or changed, and shows it.
fn change(vault: &Path, question: DeskAsk) -> Outcome<()> {
    let buckets = buckets(vault, question)?;
    print(&buckets.iter().map(as_line).collect::<String>());
    Ok(())
}

fn buckets(vault: &Path, question: DeskAsk) -> Outcome<Vec<BucketStatus>> {
    match console::ask(vault, question)? {
        DeskReply::Buckets(buckets) => Ok(buckets),
        _ => Err(Error::ControlAnswer),
    }
}

fn as_line(bucket: &BucketStatus) -> String {
    let name = shown(&bucket.name);
    let tier = bucket.tier.as_deref().unwrap_or("no tier");
    let default = bucket.default.as_deref().unwrap_or("no default retention");
    let rules = match bucket.rules {
        0 => String::new(),
        rules => format!(", {rules} prefixes with another"),
    };
    let bound = match bucket.max_days {
        None => String::new(),
        Some(days) => format!("; clients set at most {days} d"),
    };
    let expiry = match bucket.expiry_rules {
        0 => String::new(),
        1 => "; 1 lifecycle rule has versions go".to_owned(),
        count => format!("; {count} lifecycle rules have versions go"),
    };
    format!("{name}: {tier} ({default}{rules}{bound}{expiry})\n")
}

fn ask(vault: &Path, bucket: String, change: Option<RuleChange>) -> Outcome<RuleReply> {
    let directory = existing(vault)?;
    let reply = ask_rule(&directory.control_socket(), RuleAsk { bucket, change })?;
    reply.ok_or_else(|| not_served(&directory))
}

fn as_text(reply: &RuleReply) -> String {
    let default = reply.default.as_deref().unwrap_or("none");
    let mut text = format!("default retention {default}\n");
    for rule in &reply.rules {
        let (days, prefix) = (rule.days, shown(&rule.prefix));
        text.push_str(&format!("{days} d for new keys under {prefix}\n"));
    }
    text
}
