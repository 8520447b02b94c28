//! The clients: several operations at once on few keys, so that versions pile up and meet.
//!
//! An operation is one question, or a stream of them: an upload goes in piece by piece and is
//! committed, given up or forgotten; a download comes out piece by piece. Each has one question
//! under way at a time.

mod choice;
pub mod office;
mod task;

use std::collections::BTreeMap;

use stele_store::request::{Answer, Command, Refusal, RequestId};

use self::office::Office;
use self::task::{Next, Task};
use crate::context::Context;
use crate::driver::Machine;
use crate::error::Run;
use crate::oracle::Oracle;
use crate::oracle::deed::Deed;
use crate::swarm::Swarm;
use crate::who::Who;

/// All clients of a session.
#[derive(Default)]
pub struct Workload {
    tasks: BTreeMap<RequestId, (Task, Who)>,
    /// Uploads so far, for their numbers.
    numbers: u64,
    /// Content sent so far in this pool, bytes.
    content_bytes: u64,
    /// People at work, where the vault has any.
    pub office: Office,
}

impl Workload {
    /// Clients whose uploads are numbered on from the last session's.
    #[must_use]
    pub fn after(earlier: &Workload) -> Self {
        Self {
            tasks: BTreeMap::new(),
            numbers: earlier.numbers,
            content_bytes: earlier.content_bytes,
            office: Office::after(&earlier.office),
        }
    }

    /// Operations under way.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a count for pacing, not a collection"
    )]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Content sent so far, bytes.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Begins an operation of the seed's choice.
    ///
    /// # Errors
    /// A broken promise.
    pub fn begin(
        &mut self,
        machine: &mut Machine,
        context: &mut Context,
        oracle: &mut Oracle,
        swarm: &Swarm,
    ) -> Run<()> {
        let who = choice::who(context, swarm);
        let (task, command, deed) = choice::operation(self, context, oracle, swarm);
        self.content_bytes += task.content_bytes();
        self.ask(machine, context, oracle, (task, who), (command, deed))
    }

    fn ask(
        &mut self,
        machine: &mut Machine,
        context: &mut Context,
        oracle: &mut Oracle,
        (task, who): (Task, Who),
        (command, deed): (Command, Option<Deed>),
    ) -> Run<()> {
        // The engine may answer within the step: the oracle must know the question before.
        let id = RequestId(machine.next_request());
        if let Some(deed) = deed {
            oracle.asks(context, id, deed, who);
        }
        self.tasks.insert(id, (task, who));
        machine.submit(context, who, command)?;
        Ok(())
    }

    /// People ask something, if there is something to ask.
    ///
    /// # Errors
    /// A broken promise.
    pub fn begin_office(
        &mut self,
        machine: &mut Machine,
        context: &mut Context,
        oracle: &mut Oracle,
    ) -> Run<()> {
        let id = RequestId(machine.next_request());
        let Some((command, official)) = self.office.begin(context, oracle, id) else {
            return Ok(());
        };
        let who = Who::default();
        oracle.asks(context, id, Deed::Official(Box::new(official)), who);
        machine.submit(context, who, command)?;
        Ok(())
    }

    /// Takes every answer there is; operations go on.
    ///
    /// # Errors
    /// A broken promise.
    pub fn hear(
        &mut self,
        machine: &mut Machine,
        context: &mut Context,
        oracle: &mut Oracle,
        swarm: &Swarm,
    ) -> Run<()> {
        while let Some((id, result)) = machine.reply() {
            oracle.hears(context, id, &result)?;
            if self.office.hears(context, id, &result) {
                continue;
            }
            let Some((task, who)) = self.tasks.remove(&id) else {
                continue;
            };
            match task.goes_on(context, oracle, swarm, result)? {
                Next::Done => {}
                Next::Ask(task, command, deed) => {
                    let question = (command, deed);
                    self.ask(machine, context, oracle, (task, who), question)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the answers given just before the machine died; nothing goes on.
    ///
    /// # Errors
    /// A broken promise.
    pub fn hear_last(
        &mut self,
        machine: &mut Machine,
        context: &mut Context,
        oracle: &mut Oracle,
    ) -> Run<()> {
        while let Some((id, result)) = machine.reply() {
            oracle.hears(context, id, &result)?;
            self.tasks.remove(&id);
        }
        self.tasks.clear();
        Ok(())
    }
}

/// What an operation gets to hear.
type Heard = Result<Answer, Refusal>;
