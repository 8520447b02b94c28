//! What people's statements do: the one place that says whether something is approved.
//!
//! ```text
//! requested --approvals within 72 h--> cooling --> executable --execute within 72 h--> executing --> executed
//!     any of the first three --> vetoed | expired | dead (a supporter or their key no longer counts)
//! ```
//!
//! A fold over the statements in the log: [`Approvals::judge`] says whether a statement would count,
//! before it is recorded; [`Approvals::apply`] takes in what was recorded, live and in replay alike, and
//! verifies and judges it again. Only one statement may be between the two at a time.
//!
//! Invariants: [`Approved`] is made here alone, of a request that was executed with every signature good at
//! that moment; nobody's statement does anything alone but vetoes, holds and reviews; a text counts once;
//! what does not verify changes nothing and is returned as a refusal.

mod decide;
mod matrix;
mod opening;
mod pending;
mod refusal;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use stele_format::checkpoint::UnverifiedCheckpoint;
use stele_format::digest::Digest;
use stele_format::limits::STATEMENT_SIGNATURES_MAX;
use stele_format::sshsig::{PublicKey, STATEMENT_NAMESPACE, Signature, SignatureError, Verified};
use stele_format::statement::{Act, Kind, Name, Nonce, Origin, Role, Statement};
use stele_format::units::{LogIndex, Opening, UnixMillis};

use self::decide::Step;
pub use self::opening::Forced;
pub use self::pending::RequestState;
use self::pending::{Pending, Phase, wrong_phase};
pub use self::refusal::StatementRefusal;
pub use self::view::{KeyView, PersonView, RequestView};
use super::limits::SESSION_MS_MAX;
use super::people::{CounterRegress, People};
use super::witness::WitnessRefusal;

/// When and where a statement is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its record; before it is recorded, the next one of the log.
    pub log_index: LogIndex,
    /// Compliance time, as in the record's header.
    pub compliance: UnixMillis,
    /// The wall clock, as in the record's header.
    pub wall: UnixMillis,
}

/// What the vault knows about the content a statement speaks of, when the statement is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VaultFacts {
    /// Versions in the vault: those that were stored and not destroyed.
    pub versions: u64,
    /// Entries of the list whose digest the statement cites, if all its pieces were recorded.
    pub scope_count: Option<u64>,
}

/// A statement as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStatement {
    /// When and where.
    pub at: Recorded,
    /// What the vault knew then.
    pub facts: VaultFacts,
    /// Its text.
    pub text: String,
    /// Its signatures, without armour.
    pub signatures: Vec<Vec<u8>>,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The vault has people.
    Founded,
    /// Somebody asked for something.
    Requested,
    /// The request has one approval more and needs others.
    Supported(LogIndex),
    /// The request has its last approval and rests.
    Approved(LogIndex),
    /// The request has its last approval and took effect with it.
    TookEffect(LogIndex),
    /// The request is over.
    Vetoed(LogIndex),
    /// The request is executed: [`Approvals::execute`] gives what its effect needs, unless people alone
    /// changed, which they have.
    Executed(LogIndex),
    /// Versions are to be put under legal hold.
    Held,
    /// Access was reviewed.
    Reviewed,
    /// Somebody answered for what the vault does next.
    Acted,
}

/// What taking in a statement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What the statement does.
    pub accepted: Accepted,
    /// Keys whose count of signatures went back.
    pub alarms: Vec<CounterRegress>,
    /// Requests that died by it.
    pub died: Vec<LogIndex>,
    /// Keys that a review suspended.
    pub suspended: Vec<PublicKey>,
}

/// The power to carry out one request. Made by [`Approvals::execute`] alone; whoever destroys takes it by
/// value.
#[derive(Debug, PartialEq, Eq)]
pub struct Approved {
    request: LogIndex,
    act: Act,
    rest_ms: u64,
}

impl Approved {
    /// The request's record.
    #[must_use]
    pub const fn request(&self) -> LogIndex {
        self.request
    }

    /// What may be carried out.
    #[must_use]
    pub const fn act(&self) -> &Act {
        &self.act
    }

    /// The cooling-off it had.
    #[must_use]
    pub const fn rest_ms(&self) -> u64 {
        self.rest_ms
    }
}

/// Everything that people stated, folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    origin: Origin,
    evaluation: bool,
    people: People,
    pending: BTreeMap<LogIndex, Pending>,
    used: BTreeSet<Digest>,
    /// When the vault was last forced open.
    forced: Option<UnixMillis>,
    /// The last forced opening that gave up records in the middle of the log, and its record.
    doubted: Option<(Opening, LogIndex)>,
}

impl Approvals {
    /// Nothing stated yet, in the log of this origin; an evaluation vault may be founded with plain keys.
    #[must_use]
    pub fn new(origin: Origin, evaluation: bool) -> Self {
        Self {
            origin,
            evaluation,
            people: People::default(),
            pending: BTreeMap::new(),
            used: BTreeSet::new(),
            forced: None,
            doubted: None,
        }
    }

    /// The people as they are.
    #[must_use]
    pub const fn people(&self) -> &People {
        &self.people
    }

    /// The log whose statements count here.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Says what a statement would do if it were recorded at `at`, without doing it.
    ///
    /// # Errors
    /// [`StatementRefusal`]: it must not be recorded.
    pub fn judge(
        &self,
        statement: &Statement,
        signatures: &[Verified],
        at: Recorded,
        facts: VaultFacts,
    ) -> Result<Accepted, StatementRefusal> {
        Ok(self.decide(statement, signatures, at, facts)?.accepted())
    }

    /// Takes in a statement that was recorded.
    ///
    /// # Errors
    /// [`StatementRefusal`]: it does not count and changed nothing. A log that we wrote has none.
    pub fn apply(&mut self, recorded: &RecordedStatement) -> Result<Applied, StatementRefusal> {
        let (statement, signatures) = verified(&recorded.text, &recorded.signatures)?;
        let step = self.decide(&statement, &signatures, recorded.at, recorded.facts)?;
        let accepted = step.accepted();
        let now = recorded.at.compliance;
        self.used.insert(statement.digest());
        self.carry_out(step);
        let mut alarms = Vec::new();
        for signature in &signatures {
            let name = statement
                .by()
                .cloned()
                .or_else(|| self.people.owner(signature.key()));
            if let Some(name) = name {
                alarms.extend(self.people.used(&name, signature, now));
            }
        }
        let suspended = if accepted == Accepted::Reviewed {
            self.people.review(now)
        } else {
            Vec::new()
        };
        Ok(Applied {
            accepted,
            alarms,
            died: self.bury(now),
            suspended,
        })
    }

    /// Takes in what witnesses said in a recorded note.
    ///
    /// # Errors
    /// [`WitnessRefusal`]: it says nothing and changed nothing. A log that we wrote has no such record.
    pub fn cosigned(
        &mut self,
        note: &UnverifiedCheckpoint,
        recorded: UnixMillis,
        wall: UnixMillis,
    ) -> Result<(), WitnessRefusal> {
        self.people.witnesses = self.people.witnesses.after(note, recorded, wall)?;
        Ok(())
    }

    fn carry_out(&mut self, step: Step) {
        match step {
            Step::Found(people) => self.people = people,
            Step::Request(request, pending) => {
                self.pending.insert(request, *pending);
            }
            Step::Change(request, pending, people) => {
                self.pending.insert(request, *pending);
                if let Some(people) = people {
                    self.people = people;
                }
            }
            Step::Hold | Step::Review | Step::Act => {}
        }
    }

    /// Ends every open request with a supporter who no longer counts, or whose key no longer does.
    fn bury(&mut self, now: UnixMillis) -> Vec<LogIndex> {
        let mut died = Vec::new();
        for (request, pending) in &mut self.pending {
            let open = pending.phase == Phase::Open && pending.state(now) != RequestState::Expired;
            let gone = pending
                .supporters
                .iter()
                .find(|supporter| self.people.active(&supporter.name, supporter.key).is_err());
            if let Some(gone) = gone.filter(|_| open) {
                pending.phase = Phase::Dead(gone.name.clone());
                died.push(*request);
            }
        }
        died
    }

    /// The power to carry out a request that was executed and whose effect is not complete. A start after a
    /// crash asks again.
    ///
    /// # Errors
    /// [`StatementRefusal`]: no statement executed it, its effect is complete, or it waits since a forced opening.
    pub fn execute(
        &self,
        request: LogIndex,
        now: UnixMillis,
    ) -> Result<Approved, StatementRefusal> {
        let pending = self
            .pending
            .get(&request)
            .ok_or(StatementRefusal::NoRequest(request))?;
        match pending.phase {
            Phase::Executing | Phase::Begun => {
                let act = pending.statement.act.clone();
                self.check_rested(&act, now)?;
                Ok(Approved {
                    request,
                    act,
                    rest_ms: pending.cooling_ms.unwrap_or(0),
                })
            }
            _ => Err(wrong_phase(request, pending.state(now))),
        }
    }

    /// Requests that were executed and whose effect is not complete, oldest first: what a start goes on with.
    pub fn unfinished(&self) -> impl Iterator<Item = LogIndex> {
        self.pending
            .iter()
            .filter(|(_, pending)| matches!(pending.phase, Phase::Executing | Phase::Begun))
            .map(|(request, _)| *request)
    }

    /// A part of a request's effect was recorded.
    ///
    /// # Errors
    /// [`StatementRefusal`]: no statement executed it. In a log that means that something was done without
    /// leave.
    pub fn mark_begun(&mut self, request: LogIndex) -> Result<(), StatementRefusal> {
        self.mark(request, Phase::Begun)
    }

    /// The whole effect of a request was recorded.
    ///
    /// # Errors
    /// As for [`Approvals::mark_begun`].
    pub fn mark_executed(&mut self, request: LogIndex) -> Result<(), StatementRefusal> {
        self.mark(request, Phase::Executed)
    }

    fn mark(&mut self, request: LogIndex, phase: Phase) -> Result<(), StatementRefusal> {
        let pending = self
            .pending
            .get_mut(&request)
            .ok_or(StatementRefusal::NoRequest(request))?;
        match pending.phase {
            Phase::Executing | Phase::Begun => {
                pending.phase = phase;
                Ok(())
            }
            // Time changes nothing about the phases that are left, but for open ones.
            _ => Err(wrong_phase(request, pending.state(pending.requested_at))),
        }
    }

    /// Who answered the challenge of a session.
    ///
    /// # Errors
    /// [`StatementRefusal`]: nobody who counts, or not to this challenge, or not in time.
    pub fn session(
        &self,
        statement: &Statement,
        signatures: &[Verified],
        challenge: &Nonce<32>,
        wall: UnixMillis,
    ) -> Result<(Name, Role), StatementRefusal> {
        self.check_text(statement, signatures)?;
        let Kind::Session(session) = statement.kind() else {
            return Err(StatementRefusal::NoSession);
        };
        let drift = session.at.start().get().abs_diff(wall.get());
        if session.nonce != *challenge || drift > SESSION_MS_MAX {
            return Err(StatementRefusal::NoSession);
        }
        let signer = self.one_signer(&session.by, signatures)?;
        Ok((signer.person.name.clone(), signer.person.role))
    }
}

/// Reads a text and verifies the signatures over it, each given without its armour.
///
/// # Errors
/// [`StatementRefusal::Text`] and [`StatementRefusal::Signature`].
pub fn verified(
    text: &str,
    signatures: &[Vec<u8>],
) -> Result<(Statement, Vec<Verified>), StatementRefusal> {
    let statement = Statement::parse(text)?;
    if signatures.len() > STATEMENT_SIGNATURES_MAX {
        return Err(StatementRefusal::OneSigner);
    }
    let verify = |blob: &Vec<u8>| -> Result<Verified, SignatureError> {
        Signature::decode(blob)?.verify(text.as_bytes(), STATEMENT_NAMESPACE)
    };
    let signatures = signatures.iter().map(verify).collect::<Result<_, _>>()?;
    Ok((statement, signatures))
}
