//! Texts to sign. Every text is read back before it is given out, so that only statements leave here.

use serde::{Deserialize, Serialize};
use stele_format::digest::Digest;
use stele_format::limits::CLOCK_HOURS_MAX;
use stele_format::statement::{Act, Kind, Origin, Statement};
use stele_store::policy::Tier;
use stele_store::policy::approval::RequestView;
use stele_store::policy::limits::HOUR_MS;
use stele_store::request::{Answer, Command, PeopleView};

use super::{Desk, NotStated};
use crate::control::desk::{ActWish, DeskReply, Drafted, Which};
use crate::error::{Error, Outcome};

/// Name of the configuration record that keeps the names of cases.
const CASES: &str = "hold-cases";

/// A note as it is sealed: salt first, so that its digest tells nobody what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    salt: String,
    words: String,
}

impl Note {
    pub(super) fn new(words: &str) -> Outcome<Note> {
        Ok(Note {
            salt: hex(&random::<32>()?),
            words: words.to_owned(),
        })
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(format!("{} {}", self.salt, self.words).as_bytes())
    }

    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).expect("plain fields always serialize")
    }

    fn decode(text: &str) -> Option<Note> {
        serde_json::from_str(text).ok()
    }
}

/// What the note that comes with a statement says, if it says anything.
///
/// # Errors
/// It is another one's.
pub fn note_words(statement: &Statement, note: Option<&str>) -> Outcome<Option<String>> {
    check_note(statement, note)?;
    let note = note.and_then(Note::decode);
    Ok(note
        .map(|note| note.words)
        .filter(|words| !words.is_empty()))
}

/// The note that comes with a statement is the one whose digest the statement cites.
///
/// # Errors
/// It is another one's.
pub fn check_note(statement: &Statement, note: Option<&str>) -> Outcome<()> {
    let Some(note) = note else {
        return Ok(());
    };
    let cited = match statement.kind() {
        Kind::Request(request) => Some(request.reason),
        Kind::Hold(hold) => Some(hold.case),
        _ => None,
    };
    let brought = Note::decode(note).map(|note| note.digest());
    if brought.is_some() && brought == cited {
        Ok(())
    } else {
        Err(NotStated::Note.into())
    }
}

/// Fresh random bytes.
pub(super) fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NotStated::Entropy)?;
    Ok(bytes)
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn begin(origin: Origin, kind: &str) -> String {
    format!("stele-statement v1\nlog {origin}\nkind {kind}\n")
}

fn head(view: &PeopleView) -> String {
    let root = hex(&view.log_root.0);
    format!("head {} {root}\n", view.log_records)
}

fn drafted(text: String, note: Option<&Note>, words: Vec<String>) -> Outcome<DeskReply> {
    Statement::parse(&text).map_err(NotStated::Draft)?;
    Ok(DeskReply::Drafted(Drafted {
        text,
        note: note.map(Note::encode),
        words,
    }))
}

impl Desk {
    pub(super) fn draft_found(&self, people: &[String], policies: &[String]) -> Outcome<DeskReply> {
        let view = self.people()?;
        let mut text = begin(view.origin, "found");
        for person in people {
            text.push_str(&format!("person {person}\n"));
        }
        for policy in policies {
            text.push_str(&format!("policy {policy}\n"));
        }
        let words = vec!["everybody named in it signs it".to_owned()];
        drafted(text, None, words)
    }

    pub(super) fn draft_answer(&self, verb: &str, request: u64, by: &str) -> Outcome<DeskReply> {
        if !["approve", "veto", "execute"].contains(&verb) {
            return Err(NotStated::Verb.into());
        }
        let view = self.people()?;
        let found = view
            .requests
            .iter()
            .find(|one| one.request.get() == request)
            .ok_or(NotStated::NoRequest(request))?;
        let text = format!(
            "{}request {request}\ndigest {}\nby {by}\n",
            begin(view.origin, verb),
            found.digest
        );
        let act = self.act_words(&found.act)?;
        drafted(text, None, vec![format!("{verb} request {request}: {act}")])
    }

    pub(super) fn draft_review(&self, by: &str) -> Outcome<DeskReply> {
        let view = self.people()?;
        let nonce = hex(&random::<16>()?);
        let text = format!(
            "{}{}nonce {nonce}\nby {by}\n",
            begin(view.origin, "review"),
            head(&view)
        );
        let words = vec!["keys that signed nothing for 90 days are suspended by it".to_owned()];
        drafted(text, None, words)
    }

    pub(super) fn draft_request(&self, act: ActWish, by: &str, reason: &str) -> Outcome<DeskReply> {
        let (lines, mut words) = self.act_lines(act)?;
        // Lists were recorded meanwhile, so that the head is taken last.
        let view = self.people()?;
        let note = Note::new(reason)?;
        let mut text = begin(view.origin, "request");
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        let nonce = hex(&random::<16>()?);
        text.push_str(&head(&view));
        text.push_str(&format!(
            "nonce {nonce}\nreason {}\nby {by}\n",
            note.digest()
        ));
        let statement = Statement::parse(&text).map_err(NotStated::Draft)?;
        if let Kind::Request(request) = statement.kind() {
            words.insert(0, self.act_words(&request.act)?);
        }
        drafted(text, Some(&note), words)
    }

    fn act_lines(&self, act: ActWish) -> Outcome<(Vec<String>, Vec<String>)> {
        let bare = |lines| Ok((lines, Vec::new()));
        match act {
            ActWish::Lines(lines) => bare(lines),
            ActWish::LowerDefault { bucket, default } => {
                let id = self.bucket(&bucket)?;
                let tier = Tier::parse(&default);
                let default = tier.map_or(default, |tier| format!("compliance {}d", tier.days()));
                bare(vec![
                    "act lower-default".to_owned(),
                    format!("bucket {id}"),
                    format!("default {default}"),
                ])
            }
            ActWish::ClockCorrect => {
                let view = self.people()?;
                let wall = super::facts::wall();
                let behind_ms = wall.get().saturating_sub(view.now.get());
                if behind_ms == 0 {
                    return Err(NotStated::ClockAgrees.into());
                }
                let by_hours = behind_ms.div_ceil(HOUR_MS).min(CLOCK_HOURS_MAX);
                bare(vec!["act clock".to_owned(), format!("by-hours {by_hours}")])
            }
            ActWish::LogKey => {
                let key = crate::logkey::make_next(&self.link)?;
                bare(vec!["act log-key".to_owned(), format!("key {key}")])
            }
            ActWish::ReleaseHold { case } => {
                let digest = self.case_digest(&case)?.ok_or(NotStated::NoCase)?;
                let view = self.people()?;
                let found = view
                    .cases
                    .iter()
                    .find(|one| one.case == digest && one.released.is_none())
                    .ok_or(NotStated::NoCase)?;
                bare(vec![
                    "act release-hold".to_owned(),
                    format!("case {digest}"),
                    format!("scope {}", found.scope),
                    format!("count {}", found.count),
                ])
            }
            ActWish::Expiry { month, noncurrent } => self.expiry_lines(&month, &noncurrent),
            ActWish::Erase { which, governance } => self.erase_lines(&which, governance),
        }
    }

    pub(super) fn draft_hold(&self, case: &str, which: &Which, by: &str) -> Outcome<DeskReply> {
        let note = match self.cases()?.into_iter().find(|note| note.words == case) {
            Some(known) => known,
            None => Note::new(case)?,
        };
        let rows = self.select(which)?;
        if rows.is_empty() {
            return Err(NotStated::Nothing("no version is there".to_owned()).into());
        }
        let (scope, count) = self.record_scope(&rows)?;
        let view = self.people()?;
        let nonce = hex(&random::<16>()?);
        let text = format!(
            "{}case {}\nscope {scope}\ncount {count}\nnonce {nonce}\nby {by}\n",
            begin(view.origin, "hold"),
            note.digest()
        );
        let words = vec![format!("{count} versions are put under legal hold")];
        drafted(text, Some(&note), words)
    }

    /// Notes of the cases there are.
    fn cases(&self) -> Outcome<Vec<Note>> {
        let name = || Command::GetConfig {
            name: CASES.to_owned(),
        };
        match self.ask(name)? {
            Answer::Config(None) => Ok(Vec::new()),
            Answer::Config(Some(value)) => {
                serde_json::from_slice(&value).map_err(|_| Error::Record { name: CASES })
            }
            _ => Err(Error::NoAnswer),
        }
    }

    pub(super) fn remember_case(&self, case: Digest, note: &str) -> Outcome<()> {
        let Some(note) = Note::decode(note) else {
            return Ok(());
        };
        let mut cases = self.cases()?;
        if cases.iter().any(|known| known.digest() == case) {
            return Ok(());
        }
        cases.push(note);
        let value = serde_json::to_vec(&cases).expect("plain fields always serialize");
        self.ask(|| Command::PutConfig {
            name: CASES.to_owned(),
            value: value.clone(),
        })?;
        Ok(())
    }

    fn case_digest(&self, name: &str) -> Outcome<Option<Digest>> {
        let cases = self.cases()?;
        let found = cases.iter().find(|note| note.words == name);
        Ok(found.map(Note::digest))
    }

    /// The name behind a digest, where it is known.
    pub(super) fn case_name(&self, digest: Digest) -> Outcome<Option<String>> {
        let mut cases = self.cases()?.into_iter();
        let found = cases.find(|note| note.digest() == digest);
        Ok(found.map(|note| note.words))
    }

    /// Why a request was made; none where nothing was said, or what was sealed is not what its text cites.
    pub(super) fn reason(&self, request: &RequestView) -> Outcome<Option<String>> {
        let statement = request.request;
        let Answer::Note(note) = self.ask(|| Command::Note { statement })? else {
            return Err(Error::NoAnswer);
        };
        let note = note.and_then(|note| serde_json::from_slice::<Note>(&note).ok());
        let cited = note.filter(|note| note.digest() == request.reason);
        Ok(cited
            .map(|note| note.words)
            .filter(|words| !words.is_empty()))
    }

    /// An act in words.
    pub(super) fn act_words(&self, act: &Act) -> Outcome<String> {
        super::show::act_words(self, act)
    }
}
