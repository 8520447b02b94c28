//! `stele people ...`: who the people of a vault are.

use crate::cli::people::{FoundArgs, PeopleVerb, RequestArgs};
use crate::console::{self, bring, draft, drafted, public_key};
use crate::control::desk::{
    ActWish, DeskAsk, KeyStatus, PeopleStatus, PersonStatus, WitnessStatus,
};
use crate::disk::print;
use crate::error::{Error, Outcome};
use crate::signer;
use crate::status::as_json;

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why nothing is drafted.
pub fn run(verb: PeopleVerb) -> Outcome<()> {
    match verb {
        PeopleVerb::Found(args) => found(args),
        PeopleVerb::List(args) => {
            let people = console::people(&args.vault)?;
            print(&if args.json {
                as_json(&people)
            } else {
                as_text(&people)
            });
            Ok(())
        }
        PeopleVerb::Enrol(args) => {
            let key = public_key(&args.key_file)?;
            let lines = vec![
                "act enrol".to_owned(),
                format!("person {}", args.name),
                format!("role {}", args.role),
                format!("key {key}"),
            ];
            request(&args.request, ActWish::Lines(lines))
        }
        PeopleVerb::AddKey(args) => {
            let key = public_key(&args.key_file)?;
            key_act(&args.request, "add-key", &args.name, &key)
        }
        PeopleVerb::RemoveKey(args) => {
            let key = public_key(&args.key_file)?;
            key_act(&args.request, "remove-key", &args.name, &key)
        }
        PeopleVerb::Suspend(args) => name_act(&args.request, "suspend", &args.name),
        PeopleVerb::Resume(args) => name_act(&args.request, "resume", &args.name),
        PeopleVerb::Remove(args) => name_act(&args.request, "remove", &args.name),
        PeopleVerb::Policy(args) => {
            let set = format!("set {} {}", args.name, args.value);
            request(
                &args.request,
                ActWish::Lines(vec!["act policy".to_owned(), set]),
            )
        }
        PeopleVerb::Witness(args) => {
            let lines = vec![
                "act witness".to_owned(),
                format!("name {}", args.name),
                format!("key {}", args.witness_key),
            ];
            request(&args.request, ActWish::Lines(lines))
        }
        PeopleVerb::RemoveWitness(args) => {
            let lines = vec![
                "act remove-witness".to_owned(),
                format!("name {}", args.name),
            ];
            request(&args.request, ActWish::Lines(lines))
        }
        PeopleVerb::LogKey(args) => request(&args, ActWish::LogKey),
        PeopleVerb::Review(args) => drafted(
            &args,
            DeskAsk::Review {
                by: signer::name()?,
            },
        ),
    }
}

/// Drafts a request of whoever acts.
///
/// # Errors
/// As [`drafted`].
pub fn request(args: &RequestArgs, act: ActWish) -> Outcome<()> {
    let by = signer::name()?;
    let reason = args.reason.clone();
    drafted(&args.draft, DeskAsk::Request { act, by, reason })
}

fn key_act(args: &RequestArgs, act: &str, name: &str, key: &str) -> Outcome<()> {
    let lines = vec![
        format!("act {act}"),
        format!("person {name}"),
        format!("key {key}"),
    ];
    request(args, ActWish::Lines(lines))
}

fn name_act(args: &RequestArgs, act: &str, name: &str) -> Outcome<()> {
    let lines = vec![format!("act {act}"), format!("person {name}")];
    request(args, ActWish::Lines(lines))
}

fn found(args: FoundArgs) -> Outcome<()> {
    if let Some(file) = &args.submit {
        let signatures = args.signatures.iter().map(|path| console::read(path));
        let signatures = signatures.collect::<Outcome<Vec<_>>>()?;
        return bring(&args.vault, console::read(file)?, signatures, None);
    }
    let people = args.people.iter().map(|text| person(text));
    let policies = args.policies.iter().map(|text| {
        let (name, value) = text
            .split_once('=')
            .ok_or(Error::Usage("a policy is NAME=VALUE"))?;
        Ok(format!("{name} {value}"))
    });
    let mut policies = policies.collect::<Outcome<Vec<_>>>()?;
    if args.plain_keys {
        policies.insert(0, "plain-keys yes".to_owned());
    }
    let ask = DeskAsk::Found {
        people: people.collect::<Outcome<Vec<_>>>()?,
        policies,
    };
    let text = draft(&args.vault, ask)?.text;
    match &args.out {
        Some(path) => {
            console::write_new(path, &text)?;
            print(&format!(
                "the text that everybody named in it signs is in {}\n",
                path.display()
            ));
        }
        None => print(&text),
    }
    Ok(())
}

fn person(text: &str) -> Outcome<String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(role), Some(file)) => {
            let key = public_key(file.as_ref())?;
            Ok(format!("{name} {role} {key}"))
        }
        _ => Err(Error::Usage("a person is NAME:ROLE:KEYFILE.pub")),
    }
}

fn as_text(people: &PeopleStatus) -> String {
    let mut text = String::new();
    if !people.founded {
        text.push_str("nobody: nothing can be freed before people are founded\n");
    }
    text.extend(people.people.iter().map(person_lines));
    for (name, value) in &people.policies {
        text.push_str(&format!("policy {name} {value}\n"));
    }
    text.extend(people.witnesses.iter().map(witness_line));
    if people.witness_silent {
        text.push_str("no witness was heard for 30 days: nothing is destroyed\n");
    }
    if people.plain_keys {
        text.push_str("keys here are plain files: whoever copied one can sign for its owner\n");
    }
    for grant in &people.grants {
        let (client, until) = (&grant.client, &grant.until);
        let rights = grant.rights.join(", ");
        text.push_str(&format!("client {client} has {rights} until {until}\n"));
    }
    text
}

fn person_lines(person: &PersonStatus) -> String {
    let PersonStatus {
        name,
        role,
        standing,
        keys,
    } = person;
    let keys: String = keys.iter().map(key_line).collect();
    format!("{role} {name}: {standing}\n{keys}")
}

fn witness_line(witness: &WitnessStatus) -> String {
    let WitnessStatus {
        name,
        key,
        removed,
        heard,
    } = witness;
    let heard = match heard {
        _ if *removed => "removed".to_owned(),
        Some(time) => format!("last heard {time}"),
        None => "never heard".to_owned(),
    };
    format!("witness {name}: {heard}\n  {key}\n")
}

fn key_line(key: &KeyStatus) -> String {
    let KeyStatus {
        fingerprint,
        standing,
        last_used,
        quarantined_until,
    } = key;
    let quarantine = quarantined_until.as_ref().map_or(String::new(), |until| {
        format!(", approves no destruction until {until}")
    });
    format!("  {fingerprint} {standing}, last used {last_used}{quarantine}\n")
}
