//! Who acts at the command line, and their signatures. A private key is never read here: `ssh-keygen` signs,
//! with a key file, an agent or a security key.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use stele_format::sshsig::STATEMENT_NAMESPACE;

use crate::control::protocol::{Ask, Challenge, Session};
use crate::desk::guard::{NotAllowed, digest};
use crate::error::{Error, Outcome};

/// Who acts.
#[derive(Debug, Clone)]
struct Actor {
    name: Option<String>,
    key: Option<PathBuf>,
}

static ACTOR: OnceLock<Actor> = OnceLock::new();

/// Says once who acts, as the command line has it.
pub fn acts(name: Option<String>, key: Option<PathBuf>) {
    // Set twice only by a program that parses two command lines.
    drop(ACTOR.set(Actor { name, key }));
}

/// Who acts.
///
/// # Errors
/// Nobody said.
pub fn name() -> Outcome<String> {
    let name = ACTOR.get().and_then(|actor| actor.name.clone());
    name.ok_or(Error::Usage("say who acts with --as NAME"))
}

/// Whether a key was named.
pub fn has_key() -> bool {
    ACTOR.get().is_some_and(|actor| actor.key.is_some())
}

/// A signature over a text by whoever acts, with its armour.
///
/// # Errors
/// No key was named, or `ssh-keygen` does not sign.
pub fn sign(text: &str) -> Outcome<String> {
    let key = ACTOR.get().and_then(|actor| actor.key.clone());
    let key = key.ok_or(Error::Usage(
        "say which key signs with --key FILE, or bring a signature made elsewhere",
    ))?;
    run(text, &key).map_err(|error| Error::NotSigned(error.to_string()))?
}

fn run(text: &str, key: &Path) -> std::io::Result<Outcome<String>> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", STATEMENT_NAMESPACE, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(if std::io::stderr().is_terminal() {
            // A security key asks to be touched.
            Stdio::inherit()
        } else {
            Stdio::piped()
        })
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or("it says nothing").to_owned();
    Ok(Err(Error::NotSigned(said)))
}

/// Answers for a question.
///
/// # Errors
/// Nobody acts, or there is no signature.
pub fn answer(ask: &Ask, challenge: &Challenge) -> Outcome<Session> {
    let actor = ACTOR.get();
    let name = actor.and_then(|actor| actor.name.clone());
    let (Some(name), true) = (name, has_key()) else {
        return Err(NotAllowed::Unsigned.into());
    };
    let Challenge { log, nonce, at } = challenge;
    let text = format!(
        "stele-statement v1\nlog {log}\nkind session\nnonce {nonce}\nat {at}\nask {}\nby {name}\n",
        digest(ask)
    );
    let signature = sign(&text)?;
    Ok(Session { text, signature })
}
