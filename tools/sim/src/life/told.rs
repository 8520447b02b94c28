//! What readers are refused for damage, the vault has to own up to.

use super::Life;
use crate::driver::Machine;
use crate::error::{Halt, Run, Violation};
use crate::limits::SCRUB_TURN_COUNT_MAX;
use crate::oracle::survey;

/// Turns without a walk after which none is to come.
const QUIET_TURN_COUNT: u64 = 200;

impl Life<'_> {
    /// What was refused for damage is read again soon. Then either all of it is given, or the vault says that something
    /// is lost.
    pub(super) fn see_it_told(&mut self, machine: &mut Machine) -> Run<()> {
        let reads_only = machine.engine().status().read_only.is_some();
        if self.context.damaged == 0 || reads_only || !self.hardware.can_be_judged() {
            return Ok(());
        }
        if self.comes_to_light(machine)? {
            self.context.report.fault("(losses told)");
            return Ok(());
        }
        self.context.damaged = 0;
        let survey = survey::take(machine, self.context, &self.oracle)?;
        survey::read_all(machine, self.context, &self.oracle, &survey, 1)?;
        match self.context.damaged {
            0 => Ok(()),
            refused => Err(Violation::Untold { refused }.into()),
        }
    }

    /// Whether the vault knows of a loss before nothing is read again any more that is suspected now.
    fn comes_to_light(&mut self, machine: &mut Machine) -> Run<bool> {
        let mut quiet = 0;
        for _ in 0..SCRUB_TURN_COUNT_MAX {
            let turned = machine.turn(self.context);
            if turned == Err(Halt::PowerCut) {
                return Err(Halt::PowerCut);
            }
            self.hear(machine)?;
            turned?;
            let heal = machine.engine().status().heal;
            if heal.counts.has_losses() {
                return Ok(true);
            }
            quiet = match heal.segment {
                None => quiet + 1,
                Some(_) => 0,
            };
            if quiet >= QUIET_TURN_COUNT {
                break;
            }
        }
        Ok(false)
    }
}
