//! The end of a pool whose disks were away by turns: all of them come back, take part again, and everything is there.

use stele_store::status::Status;

use super::{Ending, Life};
use crate::driver::Machine;
use crate::error::{Halt, Run, Violation};
use crate::hardware::Outside;
use crate::limits::{REUNION_START_COUNT_MAX, REUNION_TURN_COUNT_MAX};

impl Life<'_> {
    /// Gives the vault every disk back. Nothing is wrong with any of them, so all take part in the end.
    pub(super) fn reunite(&mut self, crashed: &mut bool) -> Result<(), Violation> {
        if !self.swarm.subsets {
            return Ok(());
        }
        self.hardware.reunite();
        self.swarm.cuts_at_start = 0;
        let mut may_write = true;
        for _ in 0..REUNION_START_COUNT_MAX {
            let Some(mut machine) = self.start(*crashed)? else {
                return Ok(());
            };
            let gathered = self
                .compare(&mut machine, *crashed)
                .and_then(|()| self.gather(&mut machine))
                .and_then(|()| self.stop(&mut machine));
            self.next_request = machine.next_request();
            let status = machine.engine().status();
            let all = self.hardware.outside(&status).is_none();
            may_write = status.takes_writes();
            let ending = match gathered {
                Ok(()) => Ending::Stop,
                Err(Halt::PowerCut) => Ending::Cut,
                Err(Halt::Restart) => Ending::Kill,
                Err(Halt::Violation(violation)) => return Err(*violation),
            };
            self.note_health(&machine);
            self.part_with(machine, ending);
            *crashed = ending != Ending::Stop;
            if (all && ending == Ending::Stop) || self.oracle.is_full() {
                return Ok(());
            }
        }
        // One that is read-only takes no disk back: the index is to be made anew, and disks that take no part have the journal.
        if self.hardware.is_lacking() || !may_write {
            self.context.report.fault("(disks not taken back)");
            return Ok(());
        }
        Err(Violation::Answer {
            deed: "giving every disk back".to_owned(),
            expected: "a vault in which all take part".to_owned(),
            got: format!("another start after {REUNION_START_COUNT_MAX}"),
        })
    }

    /// Gives back one disk after the other, and waits for each.
    fn gather(&mut self, machine: &mut Machine) -> Run<()> {
        self.hardware
            .begin_work(machine.engine().compliance().get());
        for _ in 0..REUNION_TURN_COUNT_MAX {
            let status: Status = machine.engine().status();
            self.hardware.note_filled(self.context, machine, &status);
            let waits = !status.takes_writes() || status.heal.fill.is_some();
            match self.hardware.outside(&status) {
                None => break,
                Some(Outside { at, joins: false }) if !waits => {
                    self.hardware.give_back(self.context, machine, at)?;
                }
                Some(_) => {}
            }
            machine.turn(self.context)?;
            self.hear(machine)?;
            self.start_again_if_due(machine)?;
        }
        Ok(())
    }
}
