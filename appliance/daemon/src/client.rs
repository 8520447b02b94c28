//! `stele client ...`: who may speak to a vault that is being served. The serving process does what is
//! asked.

use std::path::Path;

use zeroize::Zeroizing;

use crate::advice::Commands;
use crate::cli::client::ClientVerb;
use crate::client_env::ClientFiles;
use crate::control::clients::{ClientAdded, ClientAsk, ClientReply, ClientStatus};
use crate::control::desk::ActWish;
use crate::control::socket::ask_client;
use crate::disk::{existing, not_served, print, print_whole};
use crate::error::{Error, Outcome};
use crate::limits::DAY_MS;
use crate::people::request;
use crate::signer::has_key;
use crate::status::{as_json, day, size};
use crate::vault::Directory;

/// Does what a verb says.
///
/// # Errors
/// When the vault is not served, or why nothing is changed.
pub fn run(verb: ClientVerb) -> Outcome<()> {
    match verb {
        ClientVerb::List(args) => match ask(&args.vault, ClientAsk::List)? {
            (ClientReply::List(clients), _) => {
                print(&if args.json {
                    as_json(&clients)
                } else {
                    clients.iter().map(as_text).collect()
                });
                Ok(())
            }
            _ => Err(Error::ControlAnswer),
        },
        ClientVerb::Add(args) => {
            let add = ClientAsk::Add {
                wish: args.wish.wish(),
                same_owner_as: args.same_owner_as,
            };
            match ask(&args.vault, add)? {
                (ClientReply::Added(added), directory) => {
                    let commands = Commands::new(directory.path()).asked_by_people(has_key());
                    let said = print_whole(&lines(&added, &directory));
                    said.map_err(|source| Error::SecretUnsaid {
                        source,
                        revoke: commands.revoke(&added.client.key_id),
                    })
                }
                _ => Err(Error::ControlAnswer),
            }
        }
        ClientVerb::Limit(args) => changed(
            &args.vault,
            ClientAsk::Limit {
                key_id: args.key_id,
                wish: args.wish.wish(),
            },
        ),
        ClientVerb::Grant(args) => request(&args.request, ActWish::Lines(args.lines())),
        ClientVerb::Revoke(args) => changed(
            &args.vault,
            ClientAsk::Revoke {
                key_id: args.key_id,
            },
        ),
    }
}

fn ask(vault: &Path, question: ClientAsk) -> Outcome<(ClientReply, Directory)> {
    let directory = existing(vault)?;
    let reply = ask_client(&directory.control_socket(), question)?;
    match reply {
        Some(reply) => Ok((reply, directory)),
        None => Err(not_served(&directory)),
    }
}

fn changed(vault: &Path, question: ClientAsk) -> Outcome<()> {
    match ask(vault, question)? {
        (ClientReply::Changed { client, notes }, _) => {
            let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
            print(&format!("{}{notes}", as_text(&client)));
            Ok(())
        }
        _ => Err(Error::ControlAnswer),
    }
}

/// A new key as a file that a POSIX shell can source: what is not a setting is a comment.
fn lines(added: &ClientAdded, directory: &Directory) -> Zeroizing<String> {
    let files = ClientFiles {
        key_id: &added.client.key_id,
        secret: &added.secret.0,
        endpoint: &added.endpoint,
    };
    let settings = files.text(directory);
    let mut text = Zeroizing::new(String::with_capacity(settings.len() * 2 + 4_096));
    text.push_str(
        "# The secret is shown this once. Keep these lines in a file that only the client reads:\n",
    );
    text.push_str("# set -a; . ./THAT_FILE; set +a\n");
    text.push_str(&String::from_utf8_lossy(&settings));
    text.push_str(EXAMPLES);
    for line in as_text(&added.client).lines() {
        text.push_str("# ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Debian's awscli knows no AWS_ENDPOINT_URL, and its rclone stops when AWS_CA_BUNDLE is set.
const EXAMPLES: &str = "\
# aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 mb s3://BUCKET
# aws --endpoint-url \"$AWS_ENDPOINT_URL\" s3 cp FILE s3://BUCKET/
# RESTIC_REPOSITORY=\"s3:$AWS_ENDPOINT_URL/BUCKET\" restic --cacert \"$AWS_CA_BUNDLE\" backup DIR
# env -u AWS_CA_BUNDLE rclone --s3-provider Other --s3-env-auth --s3-endpoint \"$AWS_ENDPOINT_URL\" \
copy DIR :s3:BUCKET
";

/// A key in words.
fn as_text(client: &ClientStatus) -> String {
    let name = if client.name.is_empty() {
        "(the key this vault was made with)"
    } else {
        &client.name
    };
    let mut text = format!("{} {}: {}\n", client.key_id, client.state, shown(name));
    let mut line = |what: &str, value: String| {
        text.push_str(&format!("  {what:<9} {value}\n"));
    };
    line(
        "owner",
        match client.owner.as_str() {
            "" => "the vault's own".to_owned(),
            owner => owner.to_owned(),
        },
    );
    let special = client.special_rights.iter();
    let rights: Vec<&str> = client
        .rights
        .iter()
        .chain(special)
        .map(String::as_str)
        .collect();
    line("rights", or(rights.join(", "), "none"));
    line(
        "buckets",
        or(shown(&client.buckets.join(", ")), "all of its owner"),
    );
    line("networks", or(client.networks.join(", "), "any"));
    let of = |quota: Option<String>| quota.map_or(String::new(), |quota| format!(" of {quota}"));
    line(
        "stored",
        format!(
            "{}{}, {}{} versions by its owner",
            size(client.used_bytes),
            of(client.quota_bytes.map(size)),
            client.used_versions,
            of(client.quota_versions.map(|n| n.to_string())),
        ),
    );
    if let Some(writes) = client.writes_per_minute {
        line("rate", format!("{writes} writes in a minute"));
    }
    if let Some(bytes) = client.bytes_per_second {
        line("rate", format!("{} in a second", size(bytes)));
    }
    if let Some(expires) = client.expires_ms {
        line(
            "good",
            format!("through {} UTC", day(expires.saturating_sub(DAY_MS))),
        );
    }
    text
}

fn or(text: String, empty: &str) -> String {
    if text.is_empty() {
        empty.to_owned()
    } else {
        text
    }
}

/// Words of people, with nothing in them that a terminal obeys.
pub fn shown(text: &str) -> String {
    let plain = |letter: char| match letter {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::clients::Secret;

    fn client() -> ClientStatus {
        ClientStatus {
            key_id: "STELEKEY".to_owned(),
            name: "north\u{202e} site\u{1b}[2J".to_owned(),
            owner: "o1".to_owned(),
            state: "good".to_owned(),
            rights: vec!["put".to_owned(), "list".to_owned()],
            buckets: vec!["b".to_owned(), "c/in/".to_owned()],
            quota_bytes: Some(10 << 30),
            used_bytes: 1536,
            used_versions: 3,
            writes_per_minute: Some(5),
            expires_ms: Some(1_790_000_000_000 / DAY_MS * DAY_MS),
            ..ClientStatus::default()
        }
    }

    #[test]
    fn a_key_is_put_into_words_that_no_terminal_obeys() {
        assert_eq!(
            as_text(&client()),
            "STELEKEY good: north\u{fffd} site\u{fffd}[2J\n\
             \x20 owner     o1\n\
             \x20 rights    put, list\n\
             \x20 buckets   b, c/in/\n\
             \x20 networks  any\n\
             \x20 stored    1.5 KiB of 10.0 GiB, 3 versions by its owner\n\
             \x20 rate      5 writes in a minute\n\
             \x20 good      through 2026-09-20 UTC\n"
        );
    }

    #[test]
    fn what_a_new_key_prints_is_a_file_to_source() {
        let directory = Directory::new(Path::new("/srv/a vault")).expect("named");
        let added = ClientAdded {
            client: client(),
            secret: Secret("s3cr/t+".to_owned()),
            endpoint: "https://localhost:8443".to_owned(),
        };
        assert!(!format!("{added:?}").contains("s3cr"));
        let script = format!(
            "{}\nprintf '%s|' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" \"$AWS_CA_BUNDLE\"",
            lines(&added, &directory).as_str(),
        );
        let output = std::process::Command::new("sh")
            .args(["-euc", &script])
            .env_clear()
            .output()
            .expect("a shell");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, "STELEKEY|s3cr/t+|/srv/a vault/ca.pem|");
        assert!(output.stderr.is_empty());
    }
}
