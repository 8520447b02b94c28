//! The people of a vault at work: one question at a time, beside the clients.
//!
//! What they do next follows from the oracle's book, so that it goes on after a crash as after a clean stop:
//! lists are drawn up, asked for, approved, vetoed, rest, are executed and carried out piece by piece; holds
//! are placed and lifted. Now and then somebody tries what must be refused.

mod draft;
mod plan;

use std::collections::{BTreeSet, VecDeque};

use stele_format::statement::{Kind, Name, Origin, Statement};
use stele_format::units::LogIndex;
use stele_store::policy::EffectiveTime;
use stele_store::request::{Answer, CensusRow, Command, PeopleView, Refusal, RequestId};

use self::draft::Draft;
use super::Heard;
use crate::context::Context;
use crate::oracle::Oracle;
use crate::oracle::book::{Official, Said};
use crate::oracle::deed::kind;
use crate::people::Staff;

/// Texts kept to be brought again.
const OLD_COUNT_MAX: usize = 12;

/// Something to do.
#[derive(Debug, Clone)]
enum Doing {
    /// Asks this.
    Ask(Box<Official>),
    /// Says this, once it is known in which log.
    Say(Box<Saying>),
    /// Counts all versions, from here on.
    Count(Option<Vec<u8>>),
    /// Gives what stays in a month later leaves, from here on.
    Rehome(LogIndex, Option<Vec<u8>>),
    /// Draws up a list of what was counted.
    Draft(Draft),
}

/// A statement to be made.
#[derive(Debug, Clone)]
struct Saying {
    kind: Kind,
    signers: Vec<Name>,
    /// The signatures are over another text.
    forged: bool,
    flaw: Option<&'static str>,
}

/// Everybody who decides something about a vault.
#[derive(Default)]
pub struct Office {
    staff: Option<Staff>,
    waiting: Option<(RequestId, Doing)>,
    agenda: VecDeque<Doing>,
    view: Option<PeopleView>,
    rows: Vec<CensusRow>,
    time: Option<EffectiveTime>,
    /// Nothing can be done before so much time has passed.
    rest_ms: Option<u64>,
    old: Vec<Said>,
    rehomed: BTreeSet<LogIndex>,
}

impl Office {
    /// An office whose keys come from this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            staff: Some(Staff::new(seed)),
            ..Self::default()
        }
    }

    /// The same people after a start: what they had begun to ask is forgotten.
    #[must_use]
    pub fn after(earlier: &Office) -> Self {
        Self {
            staff: earlier.staff.clone(),
            old: earlier.old.clone(),
            rehomed: earlier.rehomed.clone(),
            ..Self::default()
        }
    }

    /// Whether this vault has people.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.staff.is_some()
    }

    /// Whether somebody waits for an answer.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// How long nothing can be done; the clients pause for it too.
    #[must_use]
    pub fn rests(&self) -> Option<u64> {
        self.rest_ms.filter(|_| self.waiting.is_none())
    }

    /// The time has passed, or nobody waits for it any more.
    pub fn rested(&mut self) {
        self.rest_ms = None;
    }

    /// The next question, if there is one to ask now.
    pub(super) fn begin(
        &mut self,
        context: &mut Context,
        oracle: &Oracle,
        id: RequestId,
    ) -> Option<(Command, Official)> {
        if self.waiting.is_some() || self.rest_ms.is_some() {
            return None;
        }
        if self.agenda.is_empty() {
            self.plan(context, oracle);
        }
        let mut doing = self.agenda.pop_front()?;
        if let Doing::Draft(draft) = doing {
            self.draw_up(context, oracle, draft);
            doing = self.agenda.pop_front()?;
        }
        let (command, official) = self.question(&doing)?;
        self.waiting = Some((id, doing));
        Some((command, official))
    }

    fn question(&mut self, doing: &Doing) -> Option<(Command, Official)> {
        Some(match doing {
            Doing::Ask(official) => (self.command(official)?, (**official).clone()),
            Doing::Count(after) => {
                let after = after.clone();
                (Command::Census { after }, Official::Count)
            }
            Doing::Rehome(request, after) => {
                let (request, after) = (*request, after.clone());
                (
                    Command::Rehome { request, after },
                    Official::Rehome(request),
                )
            }
            Doing::Say(saying) => self.say(saying)?,
            Doing::Draft(_) => return None,
        })
    }

    fn command(&mut self, official: &Official) -> Option<Command> {
        Some(match official {
            Official::State(said) => self.bring(said, false)?,
            Official::Scope(scope) => Command::PutScope(scope.clone()),
            Official::Look => Command::People,
            Official::Count => Command::Census { after: None },
            Official::Place(statement, ordinal) => Command::PlaceHolds {
                statement: *statement,
                ordinal: *ordinal,
            },
            Official::Lift(request, ordinal) => Command::ReleaseHolds {
                request: *request,
                ordinal: *ordinal,
            },
            Official::Rehome(request) => Command::Rehome {
                request: *request,
                after: None,
            },
            Official::Tombstone(request, ordinal) => Command::Tombstone {
                request: *request,
                ordinal: *ordinal,
            },
        })
    }

    fn origin(&self) -> Option<Origin> {
        self.view.as_ref().map(|view| view.origin)
    }

    fn say(&mut self, saying: &Saying) -> Option<(Command, Official)> {
        let statement = Statement::new(self.origin()?, saying.kind.clone()).ok()?;
        let said = Said {
            statement,
            signers: saying.signers.clone(),
            flaw: saying.flaw,
        };
        let command = self.bring(&said, saying.forged)?;
        if self.old.len() < OLD_COUNT_MAX && said.flaw.is_none() {
            self.old.push(said.clone());
        }
        Some((command, Official::State(said)))
    }

    /// The statement and the signatures of those who sign it; forged ones are over another text.
    fn bring(&mut self, said: &Said, forged: bool) -> Option<Command> {
        let staff = self.staff.as_mut()?;
        let text = said.statement.to_text();
        let signed = match forged {
            true => text.replace("by ", "by o"),
            false => text.clone(),
        };
        let signatures = said.signers.iter().map(|who| staff.sign(who, &signed));
        Some(Command::State {
            signatures: signatures.collect(),
            text,
            note: None,
        })
    }

    /// Takes an answer; whether it was one to the office.
    pub(super) fn hears(&mut self, context: &mut Context, id: RequestId, heard: &Heard) -> bool {
        if self.waiting.as_ref().is_none_or(|(waits, _)| *waits != id) {
            return false;
        }
        let Some((_, doing)) = self.waiting.take() else {
            return false;
        };
        match heard {
            Ok(answer) => self.goes_on(doing, answer),
            Err(refusal) => self.refused(context, refusal),
        }
        true
    }

    fn refused(&mut self, context: &mut Context, refusal: &Refusal) {
        self.agenda.clear();
        if kind(refusal) == "ClockSuspends" {
            // Somebody sets the wall clock right.
            context.clock.jump_wall(context.compliance_ms());
            context.report.fault("wall clock set right");
        }
    }

    fn goes_on(&mut self, doing: Doing, answer: &Answer) {
        match (doing, answer) {
            (_, Answer::People(view)) => self.view = Some((**view).clone()),
            (Doing::Count(after), Answer::Census(page)) => {
                if after.is_none() {
                    self.rows.clear();
                }
                self.rows.extend(page.rows.iter().cloned());
                self.time = Some(page.time);
                if let Some(resume) = &page.resume {
                    self.agenda.push_front(Doing::Count(Some(resume.clone())));
                }
            }
            (Doing::Rehome(request, _), Answer::Rehomed { resume, .. }) => match resume {
                Some(resume) => {
                    let next = Doing::Rehome(request, Some(resume.clone()));
                    self.agenda.push_front(next);
                }
                None => {
                    self.rehomed.insert(request);
                }
            },
            _ => {}
        }
    }
}
