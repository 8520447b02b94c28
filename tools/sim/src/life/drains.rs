//! The clients pause until a disk is drained, or everything was read again: sessions are too short for it otherwise.

use super::Life;
use crate::driver::Machine;
use crate::error::{Halt, Run};
use crate::limits::{DRAIN_TURN_COUNT_MAX, SCRUB_TURN_COUNT_MAX};

impl Life<'_> {
    /// Goes on until the drain that is under way ends, or the power does.
    pub(super) fn see_drained(&mut self, machine: &mut Machine) -> Run<()> {
        for turn in 0..DRAIN_TURN_COUNT_MAX {
            self.context.report.work += 1;
            let turned = machine.turn(self.context);
            if turned == Err(Halt::PowerCut) {
                return Err(Halt::PowerCut);
            }
            self.hear(machine)?;
            turned?;
            self.start_again_if_due(machine)?;
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

    /// The clients pause until everything was read again; then the vault is stopped, and the verifier must
    /// agree.
    pub(super) fn scrub(&mut self, machine: &mut Machine) -> Run<bool> {
        for turn in 0..SCRUB_TURN_COUNT_MAX {
            self.context.report.work += 1;
            let turned = machine.turn(self.context);
            if turned == Err(Halt::PowerCut) {
                return Err(Halt::PowerCut);
            }
            self.hear(machine)?;
            turned?;
            self.start_again_if_due(machine)?;
            if turn % 64 == 63 {
                let status = machine.engine().status();
                if self.hardware.note_scrubbed(self.context, &status) {
                    return Ok(true);
                }
                if !self.hardware.can_be_scrubbed(&status) {
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// When everything is whole, another disk may be the one that goes wrong.
    pub(super) fn change_victims(&mut self) {
        if self.swarm.victims_change && self.hardware.is_whole() {
            let disks = self.hardware.len();
            let swarm = &mut self.swarm;
            self.context.chance(|context| {
                if context.rng.permille(500) {
                    let victim = u16::try_from(context.rng.index(disks)).unwrap_or(0);
                    swarm.victims = vec![victim];
                    context.report.fault("(another disk is the victim)");
                    context.say(format_args!("the victim is disk {victim}"));
                }
            });
        }
    }
}
