//! What all verbs of people share: asking the serving process, drafts as files, signatures.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::people::DraftArgs;
use crate::control::desk::{CarriedOut, DeskAsk, DeskReply, Drafted, PeopleStatus, Stated};
use crate::control::socket::ask_desk;
use crate::disk::{existing, not_served, print};
use crate::error::{Error, Outcome, at};
use crate::signer;

/// Asks the serving process.
///
/// # Errors
/// Nothing serves, or why not.
pub fn ask(vault: &Path, question: DeskAsk) -> Outcome<DeskReply> {
    let directory = existing(vault)?;
    let reply = ask_desk(&directory.control_socket(), question)?;
    reply.ok_or_else(|| not_served(&directory))
}

/// People, requests, holds and grants.
///
/// # Errors
/// As [`ask`].
pub fn people(vault: &Path) -> Outcome<PeopleStatus> {
    match ask(vault, DeskAsk::People)? {
        DeskReply::People(people) => Ok(*people),
        _ => Err(Error::ControlAnswer),
    }
}

/// A text to sign.
///
/// # Errors
/// As [`ask`].
pub fn draft(vault: &Path, question: DeskAsk) -> Outcome<Drafted> {
    match ask(vault, question)? {
        DeskReply::Drafted(drafted) => Ok(drafted),
        _ => Err(Error::ControlAnswer),
    }
}

/// Drafts, and leaves the text in a file or signs it at once.
///
/// # Errors
/// As [`ask`]; no file and no key were named.
pub fn drafted(args: &DraftArgs, question: DeskAsk) -> Outcome<()> {
    if args.out.is_none() && !signer::has_key() {
        return Err(Error::Usage(
            "say where the text goes with --out FILE, or which key signs it now with --key FILE",
        ));
    }
    let drafted = draft(&args.vault, question)?;
    let words: String = drafted
        .words
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    print(&words);
    match &args.out {
        Some(path) => {
            write_new(path, &drafted.text)?;
            if let Some(note) = &drafted.note {
                write_new(&note_path(path), note)?;
            }
            print(&format!("the text to sign is in {}\n", path.display()));
            Ok(())
        }
        None => sign_and_bring(&args.vault, drafted.text, drafted.note, None),
    }
}

/// Signs a text, or takes its signature from a file, and brings it.
///
/// # Errors
/// As [`ask`]; no signature.
pub fn sign_and_bring(
    vault: &Path,
    text: String,
    note: Option<String>,
    signature: Option<&Path>,
) -> Outcome<()> {
    let signature = match signature {
        Some(path) => read(path)?,
        None => signer::sign(&text)?,
    };
    bring(vault, text, vec![signature], note)
}

/// Brings a signed text, and has what follows from it carried out.
///
/// # Errors
/// As [`ask`].
pub fn bring(
    vault: &Path,
    text: String,
    signatures: Vec<String>,
    note: Option<String>,
) -> Outcome<()> {
    let state = DeskAsk::State {
        text,
        signatures,
        note,
    };
    let DeskReply::Stated(stated) = ask(vault, state)? else {
        return Err(Error::ControlAnswer);
    };
    let Stated {
        record,
        does,
        carry_out,
    } = stated;
    print(&format!("{does} (record {record})\n"));
    if carry_out {
        carry(vault, record)?;
    }
    Ok(())
}

/// Has a record carried out to the end. True if there was something to say of it.
///
/// # Errors
/// As [`ask`].
pub fn carry(vault: &Path, record: u64) -> Outcome<bool> {
    let DeskReply::CarriedOut(done) = ask(vault, DeskAsk::CarryOut { record })? else {
        return Err(Error::ControlAnswer);
    };
    let CarriedOut { words, .. } = done;
    print(
        &words
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
    Ok(!words.is_empty())
}

/// A file that is text.
///
/// # Errors
/// What the kernel says.
pub fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(at(path))
}

/// Where the note of a drafted text lies.
pub fn note_path(path: &Path) -> PathBuf {
    beside(path, ".note")
}

/// The file of the same name with this behind it.
pub fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// The note beside a text, if there is one.
///
/// # Errors
/// What the kernel says.
pub fn note_of(path: &Path) -> Outcome<Option<String>> {
    let path = note_path(path);
    match std::fs::read_to_string(&path) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&path)(error)),
    }
}

/// Writes a file that is not there yet.
///
/// # Errors
/// What the kernel says.
pub fn write_new(path: &Path, text: &str) -> Outcome<()> {
    let mut file = std::fs::File::create_new(path).map_err(at(path))?;
    file.write_all(text.as_bytes()).map_err(at(path))
}

/// A public key as a statement writes it: type and base64, without the comment.
///
/// # Errors
/// The file cannot be read or is no public key.
pub fn public_key(path: &Path) -> Outcome<String> {
    let text = read(path)?;
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) => Ok(format!("{kind} {key}")),
        _ => Err(Error::Usage(
            "a public key's file has its type and the key in base64",
        )),
    }
}
