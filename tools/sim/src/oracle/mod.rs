//! The oracle: what the vault must hold and may say, by everything it has acknowledged.
//!
//! Answers are taken in the order in which the engine gives them, which is the order in which it
//! applied what they acknowledge. So each answer, read or write, is compared with one state. A
//! change whose answer a crash swallowed may have happened or not; the first survey after the crash
//! finds out, and from then on it stays so.
//!
//! Outside the fault budget the oracle compares bytes only: whatever is delivered must be right.

mod answer;
pub mod book;
pub mod deed;
mod expiry;
pub mod listing;
pub mod model;
mod reads;
pub mod receipts;
pub mod reconcile;
pub mod rules;
pub mod survey;
mod tenants;
pub mod upkeep;

use std::collections::BTreeMap;

use stele_format::units::VersionId;
use stele_store::request::{Answer, ObjectInfo, ReadOnlyReason, Refusal, RequestId};

use self::book::{Book, Objection};
use self::deed::{Asked, Deed, kind};
use self::model::{Holds, Model, Place};
use self::receipts::Receipts;
use self::rules::Times;
use self::upkeep::Upkeep;
use crate::content::Body;
use crate::context::Context;
use crate::error::Violation;
use crate::plant::Plant;
use crate::who::Who;

/// Name of the metadata entry that carries an upload's number.
pub const NUMBER: &str = "number";

/// The oracle of one pool.
#[derive(Clone)]
pub struct Oracle {
    /// What is acknowledged.
    pub model: Model,
    /// What people stated.
    pub book: Book,
    /// What clients got for what they stored.
    pub receipts: Option<Receipts>,
    /// Questions under way.
    asked: BTreeMap<RequestId, Asked>,
    /// Changes that may or may not have happened.
    unknown: Vec<Asked>,
    /// Whether refusals that only a second fault explains are allowed, and things may be missing.
    lenient: bool,
    /// Something was missing and told of: only bytes are compared from then on.
    blurred: bool,
    /// Whether the vault must take writes.
    must_serve: bool,
    /// Whether all that is stored must be shown.
    shows_all: bool,
    /// Why it took none when it started.
    only_reads: Option<ReadOnlyReason>,
    /// The vault said that it is full.
    full: bool,
    /// Changes were refused in a way that leaves open what happens at the next start.
    read_only: bool,
    /// A clean stop was asked for.
    stopping: bool,
    /// Every body by the number in its metadata, for comparing bytes whatever else is known.
    bodies: BTreeMap<u64, Body>,
    /// The version each number turned out to be.
    made: BTreeMap<VersionId, u64>,
}

impl Oracle {
    /// The oracle of a new pool.
    #[must_use]
    pub fn new(lenient: bool, must_serve: bool) -> Self {
        Self {
            model: Model::default(),
            book: Book::default(),
            receipts: None,
            asked: BTreeMap::new(),
            unknown: Vec::new(),
            lenient,
            blurred: false,
            must_serve,
            shows_all: false,
            only_reads: None,
            full: false,
            read_only: false,
            stopping: false,
            bodies: BTreeMap::new(),
            made: BTreeMap::new(),
        }
    }

    /// Says whether the vault must take writes from now on, and why it takes none.
    pub fn must_serve(&mut self, must: bool, only_reads: Option<ReadOnlyReason>) {
        self.must_serve = must;
        self.only_reads = only_reads;
    }

    /// Says whether all that is stored must be shown by what is up now.
    pub fn must_show_all(&mut self, must: bool) {
        self.shows_all = must && !self.blurred;
    }

    /// Whether a question may be refused now because of what may be missing.
    #[must_use]
    pub fn may_lack(&self) -> bool {
        self.lenient && !self.shows_all
    }

    /// Whether this may be said of something that is not here: one that lacks records cannot know that it
    /// never was, and any other does.
    #[must_use]
    pub fn may_say_of_absence(&self, refusal: &str) -> bool {
        let lacks = matches!(self.only_reads, Some(ReadOnlyReason::JournalDamaged { .. }));
        // Or too few took the beginning of a start that had read everything.
        let may_lack = lacks || matches!(self.only_reads, Some(ReadOnlyReason::TooFewDisks { .. }));
        match refusal {
            "MayBeLost" => may_lack,
            "NoSuchBucket" | "NoSuchKey" | "NoSuchVersion" | "NoSuchUpload" => !lacks,
            _ => true,
        }
    }

    /// Whether the vault said that it is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether the vault stopped taking changes.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether only bytes are compared.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Whether answers can be compared with the model now.
    fn is_blind(&self) -> bool {
        self.may_lack() || !self.unknown.is_empty()
    }

    /// Whether a download may end early.
    #[must_use]
    pub fn allows_broken_streams(&self) -> bool {
        self.lenient || self.stopping
    }

    /// A clean stop was asked for: questions may be refused for that.
    pub fn stops(&mut self) {
        self.stopping = true;
    }

    /// A question was put.
    pub fn asks(&mut self, context: &mut Context, id: RequestId, deed: Deed, who: Who) {
        context.say(format_args!("{}: {deed} by {:?}", id.0, who.tenant));
        context.wall_peak_ms();
        match &deed {
            Deed::Put { content, .. } => {
                self.bodies.insert(content.number, Body::of(*content));
            }
            Deed::Complete {
                at, upload, parts, ..
            } => self.remember_complete(at, *upload, parts),
            Deed::Upkeep(Upkeep::AdvanceClock { by_ms }) => context.may_advance(*by_ms),
            _ => {}
        }
        let too_late = matches!(&deed, Deed::Upkeep(Upkeep::Unrelease { version, .. })
            if self.book.destroys(*version) == Holds::Yes);
        self.asked.insert(
            id,
            Asked {
                deed,
                who,
                since_ms: context.compliance_ms(),
                overtaken: Vec::new(),
                too_late,
            },
        );
    }

    fn remember_complete(
        &mut self,
        at: &Place,
        upload: stele_format::units::UploadId,
        parts: &[(u16, String)],
    ) {
        let bucket = self.model.buckets.get(&at.bucket);
        let Some(known) = bucket.and_then(|bucket| bucket.uploads.get(&upload)) else {
            return;
        };
        let chosen = parts
            .iter()
            .filter_map(|(number, _)| known.parts.get(number));
        if let Some(number) = known.number {
            self.bodies
                .insert(number, Body(chosen.map(|part| part.content).collect()));
        }
    }

    /// A question was answered.
    ///
    /// # Errors
    /// A broken promise.
    pub fn hears(
        &mut self,
        context: &mut Context,
        id: RequestId,
        result: &Result<Answer, Refusal>,
    ) -> Result<(), Violation> {
        let Some(asked) = self.asked.remove(&id) else {
            return Ok(());
        };
        // An upload is one operation, counted when it is committed.
        let begins = matches!(asked.deed, Deed::OpenPut { .. }) && result.is_ok();
        context.report.operations += u64::from(!begins);
        let times = Times {
            since_ms: asked.since_ms,
            until_ms: context.compliance_ms(),
            wall_ms: context.wall_peak_ms(),
        };
        match result {
            Ok(answer) => {
                context.say(format_args!("{} done: {answer:?}", id.0));
                self.succeeded(context, &asked, answer, times)
            }
            Err(refusal) => {
                context.say(format_args!("{} refused: {refusal}", id.0));
                context.report.refusal(kind(refusal).to_owned());
                self.refused(context, asked, refusal, times)
            }
        }
    }

    fn refused(
        &mut self,
        context: &mut Context,
        asked: Asked,
        refusal: &Refusal,
        times: Times,
    ) -> Result<(), Violation> {
        let name = kind(refusal);
        let allowed = match name {
            "Full" => {
                self.full = true;
                true
            }
            "Busy" => true,
            "Stopping" => self.stopping,
            "ReadOnly" | "Undecided" => {
                self.read_only = true;
                if asked.deed.changes() {
                    context.report.unknown += 1;
                    self.unknown.push(asked.clone());
                }
                let stranded = context.stranded && name == "Undecided";
                self.lenient || !self.must_serve || stranded
            }
            "Rebuilding" if context.index_at_risk || context.stranded => true,
            "Damaged" | "Rebuilding" => {
                context.report.refused += 1;
                self.lenient
            }
            "MayBeLost" => {
                context.report.refused += 1;
                // One that takes writes lacks nothing.
                self.may_say_of_absence(name) && (self.lenient || !self.must_serve)
            }
            _ if !self.may_say_of_absence(name) => false,
            _ if self.is_official(&asked, times).is_some_and(|may| may) => true,
            "NoSuchStream" => self.full || self.read_only || self.lenient,
            _ => self.is_blind() || self.verdict(&asked, times).allows(name),
        };
        if allowed {
            return Ok(());
        }
        let verdict = self.verdict(&asked, times);
        Err(Violation::Answer {
            deed: asked.deed.to_string(),
            expected: if verdict.must.is_empty() {
                "success".to_owned()
            } else {
                verdict.must.join(" or ")
            },
            got: format!("{refusal:?}"),
        })
    }

    /// What may be answered.
    fn verdict(&self, asked: &Asked, times: Times) -> rules::Verdict {
        let verdict = rules::judge(&self.model, asked, times);
        let Deed::Upkeep(Upkeep::Unrelease { version, .. }) = &asked.deed else {
            return verdict;
        };
        match (asked.too_late, self.book.destroys(*version)) {
            (true, _) => verdict.holds(Holds::Yes, "BeingDestroyed"),
            // It was executed in between, or may have been.
            (false, Holds::No) => verdict,
            (false, _) => verdict.holds(Holds::Maybe, "BeingDestroyed"),
        }
    }

    /// Whether a question of people may be refused for what it is; none where it is not one.
    fn is_official(&self, asked: &Asked, times: Times) -> Option<bool> {
        let Deed::Official(official) = &asked.deed else {
            return None;
        };
        let objection = self.book.objection(&self.model, official, times);
        Some(objection != Objection::None)
    }

    fn succeeded(
        &mut self,
        context: &mut Context,
        asked: &Asked,
        answer: &Answer,
        times: Times,
    ) -> Result<(), Violation> {
        if let Deed::Official(official) = &asked.deed {
            if self.is_blind() && !official.changes() {
                return Ok(());
            }
            context.report.official(official, answer);
            let said = (&**official, answer);
            return self.book.granted(&mut self.model, said, times);
        }
        if !self.is_blind() {
            let verdict = self.verdict(asked, times);
            if !verdict.allows_success() {
                let lock = verdict.must.iter().any(|kind| {
                    matches!(
                        *kind,
                        "Locked" | "Held" | "Weaker" | "NeedsRight" | "Hardens"
                    )
                });
                let deed = asked.deed.to_string();
                return Err(if lock {
                    Violation::Lock {
                        deed,
                        why: verdict.must[0],
                    }
                } else {
                    let expected = verdict.must.join(" or ");
                    Violation::Answer {
                        deed,
                        expected,
                        got: format!("{answer:?}"),
                    }
                });
            }
        }
        if asked.deed.changes() {
            context.report.acknowledged += 1;
            if context.plant == Some(Plant::ForgottenRelease)
                && matches!(
                    asked.deed,
                    Deed::Delete {
                        version: Some(_),
                        ..
                    }
                )
            {
                return Ok(());
            }
            self.apply(asked, answer, times)
        } else if self.is_blind() {
            Ok(())
        } else {
            self.compare(asked, answer, times)
        }
    }

    /// The machine is dead: what was not answered may have happened.
    pub fn crashes(&mut self, context: &mut Context) {
        for (_, asked) in std::mem::take(&mut self.asked) {
            if asked.deed.changes() {
                context.report.unknown += 1;
                self.unknown.push(asked);
            }
        }
        self.reset();
    }

    /// The process ended in order: what was not answered then was not done.
    pub fn ended(&mut self) {
        self.asked.clear();
        self.reset();
    }

    fn reset(&mut self) {
        self.read_only = false;
        self.stopping = false;
    }

    /// The body a download will bring, by what its version says of itself.
    #[must_use]
    pub fn body_of(&self, at: &Place, info: &ObjectInfo) -> Option<Body> {
        if let Some(version) = self.model.key(at).and_then(|key| key.version(info.version)) {
            return Some(version.body.clone());
        }
        self.bodies.get(&number_of(info)?).cloned()
    }

    /// Believes in a version that was never stored, to see that it is missed.
    pub fn plant_phantom(&mut self) {
        let id = VersionId::from_bytes([0xee; 16]);
        let keys = self
            .model
            .buckets
            .values_mut()
            .flat_map(|bucket| bucket.keys.values_mut());
        if let Some(key) = keys.into_iter().next()
            && let Some(version) = key.versions.first().cloned()
        {
            key.versions.push(model::Version { id, ..version });
        }
    }

    /// An answer that does not fit its question.
    fn strange(asked: &Asked, answer: &Answer) -> Violation {
        Violation::Answer {
            deed: asked.deed.to_string(),
            expected: "an answer of its kind".to_owned(),
            got: format!("{answer:?}"),
        }
    }
}

/// The number in a version's metadata.
#[must_use]
pub fn number_of(info: &ObjectInfo) -> Option<u64> {
    let (_, value) = info.metadata.user.iter().find(|(name, _)| name == NUMBER)?;
    value.parse().ok()
}
