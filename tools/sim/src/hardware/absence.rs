//! Disks that are not there at a start and come back, as they are, and what a vault must show meanwhile.
//!
//! Nothing is wrong with any of these disks. What is stored has two copies, so all of it must be shown by a vault that
//! takes writes while at most one disk takes no part, and by any once all of them do. Less is only asked for where
//! disks were replaced that perhaps had the only copy of something.

use stele_store::pool::MemberState;
use stele_store::status::Status;

use super::heal::is_where_it_should_be;
use super::{Hardware, Slot};
use crate::context::Context;
use crate::limits::{JOURNAL_COPIES, SPELL_START_COUNT_MAX};

/// The same disks are away for several starts.
#[derive(Debug, Clone, Default)]
pub(super) struct Spell {
    numbers: Vec<usize>,
    starts: u64,
}

impl Hardware {
    /// Leaves out any of the disks, or several for some starts, or none.
    pub(super) fn take_subset(&mut self, context: &mut Context) {
        if self.reunion {
            return;
        }
        if self.spell.starts == 0 {
            match context.rng.below(5) {
                0 => return,
                1 | 2 => return self.leave_out_any(context),
                _ => self.begin_spell(context),
            }
        }
        self.spell.starts = self.spell.starts.saturating_sub(1);
        for number in self.spell.numbers.clone() {
            self.leave_out(context, number);
        }
    }

    fn leave_out_any(&mut self, context: &mut Context) {
        for number in 0..self.slots.len() {
            self.may(context, 250, |it, context| it.leave_out(context, number));
        }
    }

    /// As many as may be away from a start that writes, or one more.
    fn begin_spell(&mut self, context: &mut Context) {
        let disks = self.slots.len();
        self.spell = Spell::default();
        context.chance(|context| {
            let last = u64::try_from(disks.div_ceil(2)).unwrap_or(1);
            let count = context.rng.between(1, last);
            let mut numbers: Vec<usize> = (0..disks).collect();
            while numbers.len() as u64 > count {
                numbers.remove(context.rng.index(numbers.len()));
            }
            let starts = context.rng.between(1, SPELL_START_COUNT_MAX);
            self.spell = Spell { numbers, starts };
        });
    }

    fn leave_out(&mut self, context: &mut Context, number: usize) {
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        slot.present = false;
        context.report.fault("left out of a start");
        context.say(format_args!("disk {number} is left out"));
    }

    /// From now on every disk is there at each start.
    pub fn reunite(&mut self) {
        self.reunion = true;
        self.spell = Spell::default();
    }

    /// Whether every disk is plugged in, has what it had and took part when that was last looked at, or was drained; and
    /// nothing is on none of them any more. The journal is not looked for on disks that take no part, so that a vault
    /// whose index is to be made anew may be read-only for them.
    #[must_use]
    pub fn all_here(&self) -> bool {
        let here = |slot: &Slot| slot.drained || (slot.present && slot.holds);
        !self.lacking && self.members_active && self.slots.iter().all(here)
    }

    /// Whether every part of the journal is on some disk that is here and takes part: each has three copies.
    #[must_use]
    pub fn has_whole_journal(&self) -> bool {
        let away = self.slots.iter().filter(|slot| !slot.present);
        let all = self.members_active && !self.lacking && !self.is_thin();
        all && away.count() < JOURNAL_COPIES
    }

    /// Whether a vault in which nothing went wrong with any disk must show all that is stored.
    #[must_use]
    pub fn must_show_all(&self, status: &Status) -> bool {
        let outside = status
            .disks
            .iter()
            .filter(|disk| !is_where_it_should_be(disk));
        let spare = match self.is_thin() {
            true => 0,
            false => 1,
        };
        status.takes_writes() && !self.lacking && outside.count() <= spare
    }

    /// Whether something may have one copy only.
    fn is_thin(&self) -> bool {
        self.slots.iter().any(|slot| slot.thin)
    }

    /// Whether something may be on no disk any more.
    #[must_use]
    pub fn is_lacking(&self) -> bool {
        self.lacking
    }

    /// A blank disk takes the place of another: whether what that one had may have one copy only from now on.
    pub(super) fn thins_out(&mut self, at: usize) -> bool {
        let slot = &self.slots[at];
        let held = slot.holds && !slot.drained;
        let thin = held || slot.thin;
        self.lacking |= held && self.is_thin();
        thin
    }
}

/// Whether all others take part, so that a disk that is filled gets everything it is to have.
pub(super) fn is_filled_whole(status: &Status, number: u16) -> bool {
    let mut others = status.disks.iter().filter(|disk| disk.number != number);
    others.all(|disk| matches!(disk.state, MemberState::Active | MemberState::Drained))
}
