//! What people ask for and sign, at the serving process: texts are drafted here, what is signed is brought to
//! the engine, and what was approved is carried out to the end.
//!
//! Nothing here decides whether a statement counts; the engine does, before it is recorded.

pub mod access;
mod carry;
mod certificate;
mod draft;
mod facts;
pub mod forced;
pub mod guard;
mod refusal;
mod releases;
mod report;
mod select;
mod show;
mod tiers;

use std::sync::{Mutex, PoisonError};

use stele_format::sshsig::Signature;
use stele_format::statement::{Act, Kind, Statement};
use stele_store::policy::approval::{Accepted, RequestState};
use stele_store::request::{Answer, Command, PeopleView};

pub use self::draft::{check_note, note_words};
pub use self::refusal::NotStated;
pub use self::tiers::default_words;
use crate::control::desk::{DeskAsk, DeskReply, Stated};
use crate::error::{Error, Outcome};
use crate::supervisor::Link;

/// Does what is asked; not for use on the asynchronous runtime.
pub struct Desk {
    link: Link,
    /// Held by whoever carries something out: one thing after the other.
    carrying: Mutex<()>,
}

impl Desk {
    /// Over a running engine.
    pub fn new(link: Link) -> Desk {
        Desk {
            link,
            carrying: Mutex::new(()),
        }
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// Why not.
    pub fn answer(&self, ask: DeskAsk) -> Outcome<DeskReply> {
        match ask {
            DeskAsk::People => self.show_people(),
            DeskAsk::Found { people, policies } => self.draft_found(&people, &policies),
            DeskAsk::Answer { verb, request, by } => self.draft_answer(&verb, request, &by),
            DeskAsk::Show { request } => self.show_request(request),
            DeskAsk::Review { by } => self.draft_review(&by),
            DeskAsk::Request { act, by, reason } => self.draft_request(act, &by, &reason),
            DeskAsk::Hold { case, which, by } => self.draft_hold(&case, &which, &by),
            DeskAsk::Expiry { noncurrent } => self.report(&noncurrent).map(DeskReply::Expiry),
            DeskAsk::State {
                text,
                signatures,
                note,
            } => self.state(text, &signatures, note),
            DeskAsk::CarryOut { record } => self.carry_out(record).map(DeskReply::CarriedOut),
            DeskAsk::Certificate { request, sign } => {
                self.certificate(request, sign).map(DeskReply::Text)
            }
            DeskAsk::Buckets => self.show_buckets().map(DeskReply::Buckets),
            DeskAsk::Create {
                bucket,
                tier,
                rules,
            } => self.create_in_tier(&bucket, &tier, rules),
            DeskAsk::Tier { bucket, tier } => self.put_in_tier(&bucket, &tier),
            DeskAsk::Bound { bucket, days_max } => self.bound(&bucket, days_max),
            DeskAsk::Lifecycle { bucket, remove } => self.lifecycle(&bucket, remove),
            DeskAsk::Released { which } => self.show_released(&which),
            DeskAsk::Unrelease { which } => self.undo_releases(&which),
            DeskAsk::Cosign { note } => self.cosign(&note),
            DeskAsk::Advance { by_ms } => self.advance(by_ms),
        }
    }

    /// Goes on with what was executed, and with holds that were stated, before the process ended.
    pub fn resume(&self) {
        let Ok(view) = self.people() else {
            return;
        };
        let holds = view
            .cases
            .iter()
            .filter(|case| case.released.is_none() && !case.placed)
            .map(|case| case.statement);
        let requests = view
            .requests
            .iter()
            .filter(|request| {
                // A disk is wiped when somebody brings it.
                request.state == RequestState::Executing
                    && !matches!(request.act, Act::Reinitialise { .. })
            })
            .map(|request| request.request);
        for record in holds.chain(requests) {
            let number = record.get();
            tracing::info!(record = number, "what people stated is carried on");
            match self.carry_out(number) {
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(record = number, %error, "it cannot be carried on now")
                }
            }
        }
    }

    /// People, requests, holds and grants.
    ///
    /// # Errors
    /// The engine gives none.
    pub fn people(&self) -> Outcome<Box<PeopleView>> {
        match self.ask(|| Command::People)? {
            Answer::People(view) => Ok(view),
            _ => Err(Error::NoAnswer),
        }
    }

    /// Asks the engine; what it refuses is what the person at the console reads.
    fn ask(&self, command: impl FnMut() -> Command) -> Outcome<Answer> {
        self.link.ask(command).map_err(|error| match error {
            Error::Refused(refusal) => Error::NotDone(refusal),
            other => other,
        })
    }

    fn state(&self, text: String, armoured: &[String], note: Option<String>) -> Outcome<DeskReply> {
        let statement = Statement::parse(&text).map_err(NotStated::Text)?;
        let signatures = armoured
            .iter()
            .map(|armour| Signature::from_armour(armour).map(|signature| signature.encode()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(NotStated::Signature)?;
        draft::check_note(&statement, note.as_deref())?;
        let stated = self.ask(|| Command::State {
            text: text.clone(),
            signatures: signatures.clone(),
            note: note.clone().map(String::into_bytes),
        })?;
        let Answer::Stated { index, accepted } = stated else {
            return Err(Error::NoAnswer);
        };
        let accepted = accepted.ok_or(Error::NoAnswer)?;
        if let (Kind::Hold(hold), Some(note)) = (statement.kind(), &note) {
            // The hold is in the log already, and is placed whatever becomes of its name.
            if let Err(error) = self.remember_case(hold.case, note) {
                tracing::warn!(%error, record = index.get(), "the name of a case is not kept");
            }
        }
        let does = match accepted {
            Accepted::Founded => "the vault has people".to_owned(),
            Accepted::Requested => format!("request {index} waits for approval"),
            Accepted::Supported(request) => {
                format!("request {request} has one approval more and needs others")
            }
            Accepted::Approved(request) => format!("request {request} is approved and rests"),
            Accepted::TookEffect(request) => format!("request {request} took effect"),
            Accepted::Vetoed(request) => format!("request {request} is vetoed and over"),
            Accepted::Executed(request) => format!("request {request} is executed"),
            Accepted::Held => format!("hold {index} is recorded"),
            Accepted::Reviewed => "access is reviewed".to_owned(),
            Accepted::Acted => "the session is recorded".to_owned(),
        };
        let (record, carry_out) = match accepted {
            Accepted::Executed(request) => (request, true),
            Accepted::Held => (index, true),
            _ => (index, false),
        };
        Ok(DeskReply::Stated(Stated {
            record: record.get(),
            does,
            carry_out,
        }))
    }

    fn cosign(&self, note: &str) -> Outcome<DeskReply> {
        let note = note.to_owned();
        match self.ask(|| Command::Cosign { note: note.clone() })? {
            Answer::Recorded(index) => Ok(DeskReply::Text(format!(
                "what the witness said is recorded (record {index})\n"
            ))),
            _ => Err(Error::NoAnswer),
        }
    }

    fn advance(&self, by_ms: u64) -> Outcome<DeskReply> {
        match self.ask(|| Command::AdvanceClock { by_ms })? {
            Answer::Recorded(_) => self.show_people(),
            _ => Err(Error::NoAnswer),
        }
    }

    fn alone(&self) -> std::sync::MutexGuard<'_, ()> {
        self.carrying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
