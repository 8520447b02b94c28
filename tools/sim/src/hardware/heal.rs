//! Disks that join a running vault, and what may be counted as whole again.

use stele_store::pool::MemberState;
use stele_store::status::{DiskStatus, Status};

use super::absence::is_filled_whole;
use super::{Hardware, Lost, Slot};
use crate::context::Context;
use crate::driver::Machine;
use crate::error::{Run, Violation};
use crate::limits::{DISK_BYTES, DISK_COUNT_MAX};
use crate::swarm::Swarm;

/// A disk that does not take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside {
    /// Which, from 0.
    pub at: usize,
    /// It was given to the engine, and is to take part.
    pub joins: bool,
}

/// How a disk joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The disk that missed writes, as it is.
    Resync,
    /// A blank one in its place.
    Replace,
    /// One more.
    Add,
}

impl Hardware {
    /// A start is up that may write: disks that are not members after all are put away.
    pub fn started(&mut self, context: &mut Context, status: &Status) {
        self.settle_copied(context, status);
        self.members_active = all_active(status);
        self.note_drained(context, status);
        if status.read_only.is_none() {
            self.starts += 1;
            self.unsettled = false;
            self.note_lost(|_| true);
        }
        let members = status.disks.len();
        while self.slots.len() > members {
            let last = self.slots.len() - 1;
            self.slots.pop();
            self.order.retain(|at| *at != last);
        }
    }

    /// No disk that must have missed something may take part.
    ///
    /// # Errors
    /// One does.
    pub fn check_members(&self, status: &Status) -> Result<(), Violation> {
        for slot in self
            .slots
            .iter()
            .filter(|slot| slot.behind && !slot.filling)
        {
            if is_active(status, slot.number) {
                return Err(Violation::Believed {
                    disk: slot.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// The work of a start begins; `now_ms` by the compliance clock.
    pub fn begin_work(&mut self, now_ms: u64) {
        self.hurt_ms = if self.is_planned() { u64::MAX } else { now_ms };
    }

    /// This disk was put out of the pool, and others acknowledged without it.
    pub fn left_behind(&mut self, number: u16) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) {
            slot.behind = true;
        }
    }

    /// A disk that does not take part and was not drained, if there is one: one that joins rather than another.
    #[must_use]
    pub fn outside(&self, status: &Status) -> Option<Outside> {
        let mut outside = status
            .disks
            .iter()
            .filter(|disk| !is_where_it_should_be(disk));
        let first = outside.next()?;
        let joins = |disk: &&DiskStatus| disk.state == MemberState::Joining;
        let joining = [first].into_iter().chain(outside).find(joins);
        let number = joining.unwrap_or(first).number;
        let at = self.slots.iter().position(|slot| slot.number == number)?;
        let joins = joining.is_some();
        Some(Outside { at, joins })
    }

    /// Gives the engine a disk that does not take part: as it is, or a blank one if it has nothing.
    ///
    /// # Errors
    /// A broken promise.
    pub fn give_back(
        &mut self,
        context: &mut Context,
        machine: &mut Machine,
        at: usize,
    ) -> Run<()> {
        let how = match self.slots[at].holds {
            true => How::Resync,
            false => How::Replace,
        };
        self.give(context, machine, at, how)
    }

    /// Lets some disk join that does not take part, or one more.
    ///
    /// # Errors
    /// A broken promise.
    pub fn join(&mut self, context: &mut Context, machine: &mut Machine, swarm: &Swarm) -> Run<()> {
        let status = machine.engine().status();
        if status.read_only.is_some() || status.heal.fill.is_some() || status.heal.drain.is_some() {
            return Ok(());
        }
        let outside = |disk: &&DiskStatus| !is_where_it_should_be(disk);
        let outside: Vec<(u16, MemberState)> = status
            .disks
            .iter()
            .filter(outside)
            .map(|disk| (disk.number, disk.state))
            .collect();
        match context.rng.pick(&outside).copied() {
            Some((number, state)) => {
                let Some(at) = self.slots.iter().position(|slot| slot.number == number) else {
                    return Ok(());
                };
                let slot = &self.slots[at];
                // One that was away may be plugged in by now.
                let there = slot.holds && (state != MemberState::Absent || !slot.present);
                let how = match there && (!swarm.replaces || context.rng.permille(600)) {
                    true => How::Resync,
                    false => How::Replace,
                };
                self.give(context, machine, at, how)
            }
            None if self.slots.len() < DISK_COUNT_MAX
                && self.slots.len() > 1
                && context.rng.permille(100) =>
            {
                self.give(context, machine, self.slots.len(), How::Add)
            }
            None => match self.drained() {
                Some(at) if context.rng.permille(150) => {
                    let there = self.slots[at].holds;
                    let how = if there { How::Resync } else { How::Replace };
                    self.give(context, machine, at, how)
                }
                _ if self.draining.is_some() || context.rng.permille(500) => {
                    self.drain(context, machine, &status)
                }
                _ => Ok(()),
            },
        }
    }

    fn give(
        &mut self,
        context: &mut Context,
        machine: &mut Machine,
        at: usize,
        how: How,
    ) -> Run<()> {
        let number = u16::try_from(at + 1).unwrap_or(u16::MAX);
        // A place whose disk was drained counted for nothing.
        let counts_not = |slot: &Slot| slot.drained || slot.one_more;
        let one_more = self.slots.get(at).is_none_or(counts_not);
        if how != How::Add && !machine.let_go_of(&self.slots[at].name) {
            return Ok(());
        }
        let status = machine.engine().status();
        let whole = is_filled_whole(&status, number) && !machine.engine().is_reading_wanted();
        let was_present = self.slots.get(at).is_some_and(|slot| slot.present);
        match how {
            How::Resync => self.slots[at].present = true,
            How::Replace => {
                let handle = self.slots[at].handle.clone();
                handle.come_back();
                handle.hang(false);
                handle.shorten(DISK_BYTES);
                let frames = Some(machine.engine().status().counters.frames);
                let lost = Lost { handle, frames };
                self.ever_hurt |= self.slots[at].taint.any();
                let thin = self.thins_out(at);
                let fresh = self.blank_disk(context, number);
                self.slots[at] = Slot {
                    lost: Some(lost),
                    thin,
                    ..fresh
                };
            }
            How::Add => {
                let fresh = self.blank_disk(context, number);
                self.slots.push(fresh);
                self.order.push(at);
            }
        }
        let slot = &mut self.slots[at];
        let wanted = (how != How::Add).then_some(number);
        let given = machine.attach(context, wanted, &slot.handle)?;
        context.say(format_args!("join: {how:?} disk {number}: {given:?}"));
        if given.is_ok() {
            slot.filling = true;
            slot.one_more = one_more;
            slot.drained = false;
            slot.filled_whole = whole;
            slot.partly = self.away.iter().filter(|away| **away != number).count() > 1;
            context.report.fault(match how {
                How::Resync => "(disk resynced)",
                How::Replace => "(disk replaced)",
                How::Add => "(disk added)",
            });
        } else if how == How::Add {
            self.slots.pop();
            self.order.pop();
        } else if how == How::Resync {
            slot.present = was_present;
        }
        Ok(())
    }

    /// Takes note of disks that were filled and take part now.
    pub fn note_filled(&mut self, context: &mut Context, machine: &mut Machine, status: &Status) {
        self.note_drained(context, status);
        let (offset, bytes) = (
            self.geometry.index_offset().get(),
            self.geometry.index_bytes.get(),
        );
        for slot in self.slots.iter_mut().filter(|slot| slot.filling) {
            // It takes part once the labels of all say so.
            let under_way = status.heal.fill.is_some_and(|(of, _)| of == slot.number);
            if under_way || !is_active(status, slot.number) {
                continue;
            }
            slot.filled(context);
            if slot.number <= stele_store::pool::INDEX_DISK_COUNT
                && let Ok(area) = slot.handle.area(offset, bytes)
            {
                machine.add_mirror(slot.number, Box::new(area));
            }
        }
    }

    /// The power went when a start was through: disks that it left out missed what it wrote.
    pub fn cut_behind(&mut self, status: &Status) {
        self.members_active &= all_active(status);
    }

    /// Disks that were not found to take part when their process ended must be given again; unless all
    /// was copied, and only the labels were on their way.
    pub fn forget_fillings(&mut self, context: &mut Context, status: &Status) {
        self.members_active = all_active(status);
        self.note_drained(context, status);
        self.note_lost(|frames| status.counters.frames > frames);
        for slot in self.slots.iter_mut().filter(|slot| slot.filling) {
            let fill = status.heal.fill.filter(|(of, _)| *of == slot.number);
            let progress = fill.map(|(_, progress)| progress);
            let copied = progress.is_some_and(|fill| fill.segments_done == fill.segments);
            if progress.is_none() && is_active(status, slot.number) {
                slot.filled(context);
            } else if copied {
                slot.copied = true;
            } else {
                slot.is_left_half_filled();
            }
        }
        self.note_unsettled(status);
    }

    /// Disks that were replaced missed something, if others acknowledged since or started.
    fn note_lost(&mut self, missed: impl Fn(u64) -> bool) {
        for lost in self.slots.iter_mut().filter_map(|slot| slot.lost.as_mut()) {
            lost.frames.take_if(|frames| missed(*frames));
        }
    }

    /// A start that writes tells whether the labels of a disk that had everything came into force.
    fn settle_copied(&mut self, context: &mut Context, status: &Status) {
        if status.read_only.is_some() {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.copied) {
            match is_active(status, slot.number) {
                true => slot.filled(context),
                false => slot.is_left_half_filled(),
            }
        }
    }

    /// Everything was read again since the victims were last hurt, and nothing is lost: the segments of
    /// all disks are whole.
    pub fn note_scrubbed(&mut self, context: &mut Context, status: &Status) -> bool {
        let now_ms = status.compliance.get();
        let since_ms = now_ms.saturating_sub(status.heal.oldest_unverified_ms);
        if since_ms <= self.hurt_ms || !self.can_be_scrubbed(status) {
            return false;
        }
        // Blocks that nothing lies on are not read, and so not written again: a disk keeps those it cannot read,
        // and what a write left there. What reads well by a cache that no flush covers is read as if it were there.
        let from = self.geometry.index_offset().get();
        let reads = |slot: &Slot| {
            let bytes = usize::try_from(DISK_BYTES - from).unwrap_or(usize::MAX);
            let reads = !slot.drained && !slot.astray && !slot.handle.is_unreadable(from, bytes);
            reads && !slot.handle.shows_given_up()
        };
        let hurt = self.slots.iter_mut().filter(|slot| slot.taint.segments);
        for slot in hurt.filter(|slot| reads(slot)) {
            self.ever_hurt = true;
            slot.taint.segments = false;
            slot.forgetful = false;
            context.report.healed += 1;
            context.say(format_args!("disk {} was scrubbed and is whole", slot.name));
        }
        true
    }

    /// Whether reading everything again can show that all is whole.
    #[must_use]
    pub fn can_be_scrubbed(&self, status: &Status) -> bool {
        self.members_active
            && all_active(status)
            && !status.heal.counts.has_losses()
            && status.read_only.is_none()
            && status.heal.fill.is_none()
    }

    /// Whether scrubbing could find something to repair in this session.
    #[must_use]
    pub fn wants_scrub(&self) -> bool {
        let can = |slot: &Slot| slot.taint.segments && !slot.drained;
        self.hurt_ms < u64::MAX && self.slots.iter().any(can)
    }

    /// Whether something was done to a disk in this session.
    #[must_use]
    pub fn is_hurt_now(&self) -> bool {
        self.hurt_ms == u64::MAX
    }

    /// Whether a disk was given to the engine to be filled or drained.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.draining.is_some() || self.slots.iter().any(|slot| slot.filling)
    }

    /// Whether a disk has a plan of faults for this session, or is short in it.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.planned || self.short
    }

    /// Disks there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a machine has disks")]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether an inspection sees all that the engine could read.
    #[must_use]
    pub fn can_be_judged(&self) -> bool {
        let missed = self.slots.iter().filter(|slot| slot.drained && slot.blank);
        let all = self.opened_whole && self.readable().count() + missed.count() == self.len();
        !self.is_planned() && self.hung().next().is_none() && all
    }

    /// Whether nothing is wrong with any disk that a next fault elsewhere could add to.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let whole = |slot: &Slot| slot.drained || !slot.taint.any();
        self.members_active && self.all_present() && self.slots.iter().all(whole)
    }
}

fn all_active(status: &Status) -> bool {
    status.disks.iter().all(is_where_it_should_be)
}

/// It takes part, or was drained.
pub(super) fn is_where_it_should_be(disk: &DiskStatus) -> bool {
    matches!(disk.state, MemberState::Active | MemberState::Drained)
}

impl Slot {
    /// It was filled and takes part.
    fn filled(&mut self, context: &mut Context) {
        // Filling writes what is missing; what is rotten on a disk that was there before stays so.
        (self.filling, self.copied, self.one_more) = (false, false, false);
        (self.behind, self.blank, self.holds) = (false, false, true);
        self.forgetful = false;
        self.thin &= !self.filled_whole;
        self.taint.segments |= std::mem::take(&mut self.partly);
        self.earlier = None;
        context.report.filled += 1;
        context.say(format_args!("disk {} takes part", self.name));
    }

    /// Its label is that of a member, its content is not yet.
    pub(super) fn is_left_half_filled(&mut self) {
        (self.filling, self.copied) = (false, false);
        (self.behind, self.blank) = (true, true);
    }
}

fn is_active(status: &Status, number: u16) -> bool {
    of_number(status, number).is_some_and(|member| member.state == MemberState::Active)
}

fn of_number(status: &Status, number: u16) -> Option<&DiskStatus> {
    status.disks.iter().find(|disk| disk.number == number)
}
