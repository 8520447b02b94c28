//! Vaults with people: time passes for them, keys that are gone are looked for on every disk, what was begun is
//! carried out, and the auditor reads the log.

use stele_device::sim::keyprovider::SimKeys;
use stele_format::units::LogIndex;
use stele_store::request::{Answer, Command};

use super::{Ending, Life};
use crate::driver::Machine;
use crate::error::{Halt, Run, Violation};
use crate::inspection;
use crate::limits::{CARRY_OUT_START_COUNT_MAX, REST_TURN_COUNT_MAX, SETTLE_TURN_COUNT};
use crate::oracle::book::{Official, Piece};
use crate::swarm::Budget;

impl Life<'_> {
    /// People ask what they want to ask next, or wait with everybody for time to pass.
    pub(super) fn let_people_work(&mut self, machine: &mut Machine) -> Run<()> {
        let Some(ms) = self.workload.office.rests() else {
            if self.context.rng.permille(500) {
                let Self {
                    workload,
                    oracle,
                    context,
                    ..
                } = self;
                workload.begin_office(machine, context, oracle)?;
            }
            return Ok(());
        };
        self.waited += 1;
        let slept = self.workload.len() == 0 && machine.sleep(ms);
        if slept || self.waited > REST_TURN_COUNT_MAX {
            self.context
                .say(format_args!("{ms} ms pass for people: {slept}"));
            self.waited = 0;
            self.workload.office.rested();
        }
        Ok(())
    }

    /// With whole disks, what was worked off before this start is complete soon after it.
    pub(super) fn check_carried_out(&mut self, machine: &mut Machine) -> Run<()> {
        if self.swarm.budget != Budget::Crashes {
            return Ok(());
        }
        let book = &self.oracle.book;
        let waiting: Vec<LogIndex> = book
            .requests
            .iter()
            .filter(|(_, entry)| entry.is_erase() && entry.is_worked_off() && !entry.done)
            .map(|(request, _)| *request)
            .collect();
        for request in waiting {
            for turn in 0.. {
                let answer = machine.ask(self.context, Command::Effect { request })?;
                let told = match answer {
                    Ok(Answer::Effect(effect)) if effect.keys_cut.is_some() => break,
                    other => format!("{other:?}"),
                };
                if turn == SETTLE_TURN_COUNT {
                    let request = request.get();
                    return Err(Violation::Unfinished {
                        request,
                        what: told,
                    }
                    .into());
                }
                machine.turn(self.context)?;
            }
        }
        Ok(())
    }

    /// No disk that a record says is without them has keys of what is gone.
    pub(super) fn check_keys(&mut self) -> Result<(), Violation> {
        let provider = SimKeys::new(self.key_seed);
        let leaves: Vec<_> = self.oracle.book.cut_leaves().collect();
        self.hardware.check_keys(&provider, &leaves)
    }

    /// Requests to destroy that were executed and are not complete.
    fn begun(&self) -> Vec<LogIndex> {
        let requests = self.oracle.book.requests.iter();
        let begun = requests
            .filter(|(_, entry)| entry.is_erase() && entry.executed.is_some() && !entry.done);
        begun.map(|(request, _)| *request).collect()
    }

    /// Works off every list that was begun, and starts again: nothing stays half erased.
    pub(super) fn finish_destructions(&mut self, crashed: &mut bool) -> Result<(), Violation> {
        if self.swarm.budget != Budget::Crashes || !self.swarm.people {
            return Ok(());
        }
        self.swarm.cuts_at_start = 0;
        for round in 0..CARRY_OUT_START_COUNT_MAX {
            // One start carries it out, the next one sees that: nothing cuts the last two.
            let may_be_cut = round + 2 < CARRY_OUT_START_COUNT_MAX;
            if self.begun().is_empty() || self.oracle.is_full() {
                return Ok(());
            }
            let Some(mut machine) = self.start(*crashed)? else {
                return Ok(());
            };
            let checked = match may_be_cut {
                true => self.check(&mut machine, *crashed),
                false => self.compare(&mut machine, *crashed),
            };
            let ended = checked
                .and_then(|()| self.work_off(&mut machine))
                .and_then(|()| self.stop(&mut machine));
            self.next_request = machine.next_request();
            let ending = match ended {
                Ok(()) => Ending::Stop,
                Err(Halt::PowerCut) => Ending::Cut,
                Err(Halt::Restart) => Ending::Kill,
                Err(Halt::Violation(violation)) => return Err(*violation),
            };
            self.part_with(machine, ending);
            *crashed = ending != Ending::Stop;
        }
        match self.begun().first() {
            Some(request) if !self.oracle.is_full() => Err(Violation::Unfinished {
                request: request.get(),
                what: "it was carried out to its end several times".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn work_off(&mut self, machine: &mut Machine) -> Run<()> {
        // Somebody sets the wall clock right first.
        let compliance_ms = machine.engine().compliance().get();
        self.context.clock.jump_wall(compliance_ms);
        for request in self.begun() {
            let Some(entry) = self.oracle.book.requests.get(&request) else {
                continue;
            };
            let open = entry.pieces.iter().zip(0..);
            let open = open.filter(|(piece, _)| **piece != Piece::Done);
            let open: Vec<u32> = open.map(|(_, ordinal)| ordinal).collect();
            let is_of_month = entry.is_of_month();
            for ordinal in open {
                if is_of_month {
                    self.rehome(machine, request)?;
                }
                let official = Official::Tombstone(request, ordinal);
                let command = Command::Tombstone { request, ordinal };
                let done = self.ask_official(machine, official, command)?;
                self.context
                    .say(format_args!("carried out {request} {ordinal}: {done}"));
            }
        }
        Ok(())
    }

    fn rehome(&mut self, machine: &mut Machine, request: LogIndex) -> Run<()> {
        let mut after = None;
        loop {
            let command = Command::Rehome { request, after };
            match machine.ask(self.context, command)? {
                Ok(Answer::Rehomed {
                    resume: Some(resume),
                    ..
                }) => after = Some(resume),
                _ => return Ok(()),
            }
        }
    }

    /// Asks with nothing else going on; the oracle judges the answer.
    fn ask_official(
        &mut self,
        machine: &mut Machine,
        official: Official,
        command: Command,
    ) -> Run<bool> {
        let id = stele_store::request::RequestId(machine.next_request());
        let deed = crate::oracle::deed::Deed::Official(Box::new(official));
        let who = crate::who::Who::default();
        self.oracle.asks(self.context, id, deed, who);
        machine.submit(self.context, who, command)?;
        loop {
            while let Some((answered, result)) = machine.reply() {
                self.oracle.hears(self.context, answered, &result)?;
                if answered == id {
                    return Ok(result.is_ok());
                }
            }
            machine.turn(self.context)?;
        }
    }

    /// The auditor, who knows the log and nothing else, finds nothing unlawful in it.
    pub(super) fn audit(&mut self) -> Result<(), Violation> {
        if !self.swarm.people {
            return Ok(());
        }
        inspection::audit(self.context, &self.hardware)
    }
}
