//! The clients pause until a disk is drained: sessions are too short for it otherwise.

use super::Life;
use crate::driver::Machine;
use crate::error::{Halt, Run};
use crate::limits::DRAIN_TURN_COUNT_MAX;

impl Life<'_> {
    /// Goes on until the drain that is under way ends, or the power does.
    pub(super) fn see_drained(&mut self, machine: &mut Machine) -> Run<()> {
        for turn in 0..DRAIN_TURN_COUNT_MAX {
            self.context.report.work += 1;
            let turned = machine.turn(self.context);
            if turned == Err(Halt::PowerCut) {
                return Err(Halt::PowerCut);
            }
            self.workload
                .hear(machine, self.context, &mut self.oracle, &self.swarm)?;
            turned?;
            if turn % 32 == 31 {
                let status = machine.engine().status();
                self.hardware.note_filled(self.context, machine, &status);
                if status.heal.drain.is_none() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
