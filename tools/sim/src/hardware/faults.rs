//! What is done to disks behind the engine's back. Each fault is a chance that can be left out.

use stele_device::sim::fault::{Kept, Plan, Span};

use stele_format::units::{LaneId, SegmentId};
use stele_store::pool::INDEX_DISK_COUNT;

use super::{Hardware, Taint};
use crate::context::Context;
use crate::inspection;
use crate::limits::{CUT_AFTER_FLUSH_STEPS_MAX, DISK_BYTES, HUNG_MS_MAX, KEYSTATE_BYTES};
use crate::plant::Plant;
use crate::swarm::{Budget, Rates, Swarm};

/// Starts beyond the budget at which content rots alike in several copies, of a thousand.
const ALIKE_PERMILLE: u64 = 400;

impl Hardware {
    /// What happens to the disks while the machine is off; or, where only the server starts `again`, to those that
    /// may go wrong.
    pub fn hurt_at_rest(&mut self, context: &mut Context, swarm: &Swarm, again: bool) {
        for victim in &swarm.victims {
            let number = usize::from(*victim);
            let rates = swarm.rates;
            self.may(context, rates.rot, |it, context| it.rot(context, number));
            self.may(context, rates.hole, |it, context| it.hole(context, number));
            self.may(context, rates.unreadable, |it, context| {
                it.unreadable(context, number);
            });
            self.keep_or_roll_back(context, number, rates.rollback);
            self.may(context, rates.wipe, |it, context| it.wipe(context, number));
            self.may(context, rates.lost_returns, |it, context| {
                it.lost_returns(context, number);
            });
            self.may(context, rates.missing, |it, context| {
                context.say(format_args!("fault: disk {number} is missing"));
                context.report.fault("missing at a start");
                it.slots[number].present = false;
            });
            self.may(context, rates.short, |it, context| {
                it.shorten(context, number);
            });
            self.may(context, rates.slot_rot, |it, context| {
                it.rot_slot(context, number);
            });
        }
        if swarm.budget == Budget::TwoDisks {
            self.may(context, swarm.rates.head_rot, |it, context| {
                it.rot_at_head(context, &swarm.victims);
            });
            self.may(context, ALIKE_PERMILLE, |it, context| {
                it.rot_alike(context, &swarm.victims);
            });
        }
        if swarm.swaps && !again {
            self.swap_places(context);
        }
        if swarm.subsets && !again {
            self.take_subset(context);
        }
    }

    /// So many times in a thousand, as a chance.
    pub(super) fn may(
        &mut self,
        context: &mut Context,
        permille: u64,
        act: impl FnOnce(&mut Self, &mut Context),
    ) {
        context.chance(|context| {
            if context.rng.permille(permille) {
                act(self, context);
            }
        });
    }

    fn swap_places(&mut self, context: &mut Context) {
        let places = self.order.len();
        context.chance(|context| {
            if context.rng.permille(300) {
                let (a, b) = (context.rng.index(places), context.rng.index(places));
                self.order.swap(a, b);
                context.report.fault("places swapped");
                context.say(format_args!("places: {:?}", self.order));
            }
        });
    }

    fn keep_or_roll_back(&mut self, context: &mut Context, number: usize, rate: u64) {
        let starts = self.starts;
        let slot = &mut self.slots[number];
        context.chance(|context| {
            if let Some((earlier, then)) = slot.earlier.take_if(|_| context.rng.permille(rate)) {
                context.say(format_args!("fault: disk {number} is as it was earlier"));
                context.report.fault("rolled back");
                slot.handle.restore(&earlier);
                slot.handle.set_plan(Plan::default());
                slot.taint = Taint::ALL;
                slot.forgetful = true;
                // Within one start it cannot be told from one that was slow.
                slot.behind |= then < starts;
            } else if rate > 0 && !slot.blank && !slot.filling && context.rng.permille(300) {
                slot.earlier = Some((slot.handle.snapshot(), starts));
            }
        });
    }

    fn wipe(&mut self, context: &mut Context, number: usize) {
        context.say(format_args!("fault: disk {number} is blank"));
        context.report.fault("wiped");
        let slot = &mut self.slots[number];
        slot.handle.wipe();
        (slot.blank, slot.holds) = (true, false);
        slot.earlier = None;
    }

    /// The disk that was lost and replaced is back, in the place of its replacement.
    fn lost_returns(&mut self, context: &mut Context, number: usize) {
        let slot = &mut self.slots[number];
        if let Some(lost) = slot.lost.take() {
            context.say(format_args!("fault: the lost disk {number} is back"));
            context.report.fault("lost disk back");
            slot.name.clone_from(&lost.handle.name().to_owned());
            slot.behind = lost.frames.is_none();
            slot.handle = lost.handle;
            slot.taint = Taint::ALL;
            (slot.blank, slot.holds) = (false, true);
            (slot.filling, slot.copied) = (false, false);
            slot.forgetful = true;
            slot.earlier = None;
        }
    }

    /// A place on the disk where it may hurt: any area, and of the extents mostly the used part.
    fn place(&self, context: &mut Context, number: usize) -> u64 {
        let geometry = &self.geometry;
        let extents = geometry.extents_offset().get();
        let index = geometry.index_offset().get();
        let at = match context.rng.below(10) {
            0 => context.rng.below(1 << 20),
            1 => DISK_BYTES - 1 - context.rng.below(512 << 10),
            2 => (1 << 20) + context.rng.below(u64::from(2 * KEYSTATE_BYTES)),
            3 => index + context.rng.below(extents - index),
            4 => extents + context.rng.below(DISK_BYTES - extents),
            _ => self.used_place(context, number),
        };
        at.min(DISK_BYTES - 4096)
    }

    /// A place in the extents that holds something, found by trying.
    pub(super) fn used_place(&self, context: &mut Context, number: usize) -> u64 {
        let extents = self.geometry.extents_offset().get();
        let mut at = extents;
        for _ in 0..40 {
            let span = context.rng.magnitude(DISK_BYTES - extents - 4096);
            at = extents + context.rng.below(span);
            if !self.slots[number].handle.is_blank(at / 4096 * 4096, 4096) {
                break;
            }
        }
        at
    }

    /// Notes where on a disk something was hurt.
    pub(super) fn taint(&mut self, number: usize, from: u64, to: u64) {
        // Only the first two disks have an index area; elsewhere the units begin earlier.
        let first_unit = self.geometry.index_offset().get();
        let taint = &mut self.slots[number].taint;
        taint.roots |= from < self.geometry.extents_offset().get() || to > DISK_BYTES - (512 << 10);
        taint.segments |= to > first_unit;
        self.hurt_ms = u64::MAX;
    }

    pub(super) fn rot(&mut self, context: &mut Context, number: usize) {
        for _ in 0..context.rng.magnitude(8) {
            let at = self.place(context, number);
            let length = context.rng.magnitude(3000).min(DISK_BYTES - at);
            let burst = context.rng.permille(300);
            let slot = &mut self.slots[number];
            let handle = &slot.handle;
            // Nothing lies there, so that no scrub reads it; a later segment may have a gap there.
            let blocks = at / 4096..=(at + length - 1) / 4096;
            // Only the first two disks have an index area; elsewhere the units begin earlier.
            let units = match number {
                0 | 1 => self.geometry.extents_offset().get(),
                _ => self.geometry.index_offset().get(),
            };
            slot.astray |= blocks
                .into_iter()
                .any(|block| 4096 * block >= units && handle.is_blank(4096 * block, 4096));
            if burst {
                for offset in 0..length {
                    let mask = context.rng.next().to_le_bytes()[0];
                    handle.rot(at + offset, mask);
                }
            } else {
                handle.rot(at, 1 << context.rng.below(8));
            }
            self.taint(number, at, at + length);
            context
                .report
                .fault(if burst { "burst rot" } else { "bit rot" });
            context.say(format_args!(
                "fault: rot on disk {number} at {at}, burst {burst}"
            ));
        }
    }

    /// All of a segment's place is garbage, header and seal with it.
    pub fn rot_slot(&mut self, context: &mut Context, number: usize) {
        let bases = self.segments(number, |_| true);
        let Some((segment, base)) = context.rng.pick(&bases).copied() else {
            return;
        };
        let bytes =
            u64::from(self.geometry.unit_bytes) * u64::from(self.geometry.segment_units.get());
        // What is behind a segment that was closed early may be the beginning of another: that one is hurt, too.
        let end = (base + bytes).min(DISK_BYTES - (1 << 20));
        let slot = &mut self.slots[number];
        for at in (base..end).step_by(4096) {
            slot.astray |= slot.handle.is_blank(at, 4096);
            let words = (0..512).flat_map(|_| context.rng.next().to_le_bytes());
            slot.handle.tamper(at, &words.collect::<Vec<u8>>());
        }
        self.taint(number, base, end);
        context.report.fault("rot of a whole segment");
        context.say(format_args!(
            "fault: garbage on disk {number} in all of {base}..{end}, {segment:?}"
        ));
    }

    /// The disk says that it is shorter than its label does, until the process ends: it lacks its last labels, or part of
    /// what lies on it, and content lies where it seems to end.
    pub fn shorten(&mut self, context: &mut Context, number: usize) {
        let bytes = match context.rng.permille(500) {
            true => DISK_BYTES - 4096 * context.rng.magnitude(256),
            false => self.used_place(context, number) / 4096 * 4096,
        };
        let slot = &mut self.slots[number];
        slot.handle.shorten(bytes);
        slot.taint = Taint::ALL;
        self.short = true;
        self.hurt_ms = u64::MAX;
        context.report.fault("short at a start");
        context.say(format_args!("fault: disk {number} has {bytes} bytes"));
    }

    /// A burst in one of the youngest frames of the journal, in the same place of every copy on a victim.
    pub fn rot_at_head(&mut self, context: &mut Context, victims: &[u16]) {
        let copies = |number: &u16| {
            let number = usize::from(*number);
            (
                number,
                self.segments(number, |lane| lane == LaneId::JOURNAL),
            )
        };
        let copies: Vec<(usize, Vec<(SegmentId, u64)>)> = victims.iter().map(copies).collect();
        let all = copies.iter().flat_map(|(_, copies)| copies);
        let Some(newest) = all.map(|(segment, _)| *segment).max() else {
            return;
        };
        let mut within = None;
        for (number, copies) in copies {
            let Some((_, base)) = copies.iter().find(|(segment, _)| *segment == newest) else {
                continue;
            };
            let place = *within.get_or_insert_with(|| {
                let back = 4096 * (context.rng.magnitude(16) - 1);
                self.last_used(number, *base).saturating_sub(back).max(4096)
            });
            for offset in 0..2048 {
                let mask = context.rng.next().to_le_bytes()[0];
                let handle = &self.slots[number].handle;
                handle.rot(base + place + offset, mask);
            }
            self.taint(number, base + place, base + place + 2048);
            context.report.fault("rot at the head");
            context.say(format_args!(
                "fault: rot on disk {number} at the head, {place} of {newest:?}"
            ));
        }
    }

    /// Bursts in the same places of a segment of content in every copy on a victim.
    fn rot_alike(&mut self, context: &mut Context, victims: &[u16]) {
        let data = |number| self.segments(number, |lane| lane != LaneId::JOURNAL);
        let first = victims.first().map(|number| data(usize::from(*number)));
        let Some((segment, base)) = first.and_then(|data| context.rng.pick(&data).copied()) else {
            return;
        };
        let used = victims.first().map_or(0, |number| {
            self.last_used(usize::from(*number), base) / 4096
        });
        let places: Vec<u64> = (0..context.rng.magnitude(64))
            .map(|_| 4096 * (1 + context.rng.below(used.max(1))))
            .collect();
        for number in victims.iter().map(|number| usize::from(*number)) {
            let copies = self.segments(number, |lane| lane != LaneId::JOURNAL);
            for (_, base) in copies.into_iter().filter(|(id, _)| *id == segment) {
                for at in places.iter().map(|place| base + place) {
                    for offset in 0..2048 {
                        self.slots[number].handle.rot(at + offset, 0xA5);
                    }
                    self.taint(number, at, at + 2048);
                }
                context.report.fault("rot of content in several copies");
                context.say(format_args!(
                    "fault: rot on disk {number} in content, {places:?} of {segment:?}"
                ));
            }
        }
    }

    /// Whether some disk has a segment of content of this id.
    #[must_use]
    pub fn is_of_data(&self, segment: SegmentId) -> bool {
        (0..self.slots.len()).any(|number| {
            let data = self.segments(number, |lane| lane != LaneId::JOURNAL);
            data.iter().any(|(id, _)| *id == segment)
        })
    }

    /// The segments of some lanes on a disk, and where they begin.
    fn segments(&self, number: usize, wanted: impl Fn(LaneId) -> bool) -> Vec<(SegmentId, u64)> {
        let handle = &self.slots[number].handle;
        // Only the first two disks have an index area; elsewhere the units begin earlier.
        let extents = self.geometry.extents_offset().get();
        let first = match number {
            0 | 1 => extents,
            _ => self.geometry.index_offset().get(),
        };
        let unit = u64::from(self.geometry.unit_bytes);
        let starts = (0..(DISK_BYTES - extents) / unit).map(|at| first + at * unit);
        let used = starts.filter(|at| !handle.is_blank(*at, 4096));
        used.filter_map(|at| Some((inspection::segment_at(handle, at)?, at)))
            .filter(|(header, _)| wanted(header.lane))
            .map(|(header, at)| (header.segment, at))
            .collect()
    }

    /// The last written block of the segment that begins at `base`, from there.
    fn last_used(&self, number: usize, base: u64) -> u64 {
        let handle = &self.slots[number].handle;
        let bytes =
            u64::from(self.geometry.unit_bytes) * u64::from(self.geometry.segment_units.get());
        let blocks = (0..bytes.min(DISK_BYTES - base) / 4096)
            .rev()
            .map(|at| at * 4096);
        blocks
            .into_iter()
            .find(|at| !handle.is_blank(base + at, 4096))
            .unwrap_or_default()
    }

    /// Written blocks of the extents read as zeros, as if they had been trimmed.
    pub fn hole(&mut self, context: &mut Context, number: usize) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let data = self.segments(number, |lane| lane != LaneId::JOURNAL);
        let whole = context.rng.permille(500);
        // All frames of a data segment, or anything.
        let (at, blocks) = match context.rng.pick(&data) {
            Some((_, base)) if whole => (base + 4096, context.rng.between(64, 512)),
            _ => (
                self.used_place(context, number) / 4096 * 4096,
                context.rng.magnitude(64),
            ),
        };
        let end = (at + 4096 * blocks).min(DISK_BYTES - (1 << 20));
        let slot = &mut self.slots[number];
        for block in (at..end).step_by(4096) {
            slot.handle.tamper(block, &ZEROS);
        }
        slot.forgetful = true;
        self.taint(number, at, end);
        context.report.fault("hole");
        context.say(format_args!("fault: disk {number} has a hole {at}..{end}"));
    }

    pub(super) fn unreadable(&mut self, context: &mut Context, number: usize) {
        let at = self.place(context, number) / 4096 * 4096;
        let blocks = context.rng.magnitude(40);
        let end = (at + blocks * 4096).min(DISK_BYTES);
        self.slots[number].handle.fail_reads(at..end);
        self.taint(number, at, end);
        context.report.fault("unreadable blocks");
        context.say(format_args!("fault: disk {number} cannot read {at}..{end}"));
    }

    /// What may go wrong with the victims in the session that begins.
    pub fn hurt_at_work(&mut self, context: &mut Context, swarm: &Swarm) {
        if context.plant == Some(Plant::LyingFlush) {
            for slot in self.slots.iter().take(2) {
                slot.handle
                    .plan(|plan| plan.lie_flushes = Some(Span::from(0)));
            }
        }
        if context.plant == Some(Plant::RotTwice) {
            self.rot(context, 0);
            self.rot(context, 1);
        }
        for victim in &swarm.victims {
            let plan = context.chance(|context| draw_plan(context, &swarm.rates, *victim));
            if let Some(plan) = plan.filter(|plan| *plan != Plan::default()) {
                let slot = &mut self.slots[usize::from(*victim)];
                // Lost, stray and half writes are damage that an inspection may see.
                slot.taint = Taint::ALL;
                let forgets = plan.lose_writes.is_some()
                    || plan.misdirect_writes.is_some()
                    || plan.lie_flushes.is_some();
                slot.forgetful |= forgets;
                slot.mirror_at_risk |= forgets && slot.number <= INDEX_DISK_COUNT;
                slot.astray |= plan.misdirect_writes.is_some();
                slot.misreads |= plan.misdirect_reads.is_some();
                slot.handle.set_plan(plan);
                self.planned = true;
                self.hurt_ms = u64::MAX;
            }
        }
    }

    /// What goes wrong with the victims in the middle of a session.
    pub fn hurt_now(&mut self, context: &mut Context, swarm: &Swarm, now_ms: u64) {
        for victim in &swarm.victims {
            let number = usize::from(*victim);
            self.may(context, swarm.rates.live_rot, |it, context| {
                it.rot(context, number);
            });
            self.may(context, swarm.rates.vanish, |it, context| {
                context.say(format_args!("fault: disk {number} is pulled"));
                context.report.fault("pulled");
                it.slots[number].taint = Taint::ALL;
                it.slots[number].handle.vanish();
                it.hurt_ms = u64::MAX;
            });
            self.may(context, swarm.rates.hang, |it, context| {
                let for_ms = context.rng.magnitude(HUNG_MS_MAX);
                context.say(format_args!("fault: disk {number} hangs for {for_ms} ms"));
                context.report.fault("hung");
                let slot = &mut it.slots[number];
                slot.taint = Taint::ALL;
                slot.handle.hang(true);
                slot.hung_until_ms = Some(now_ms + for_ms);
                it.hurt_ms = u64::MAX;
            });
            self.may(context, swarm.rates.slot_rot, |it, context| {
                it.rot_slot(context, number);
            });
            self.may(context, swarm.rates.crawl, |it, context| {
                it.crawl(context, number, now_ms);
            });
        }
    }

    /// The disk takes a thousand times as long as others for some time, and may be given up for it.
    fn crawl(&mut self, context: &mut Context, number: usize, now_ms: u64) {
        let for_ms = context.rng.magnitude(HUNG_MS_MAX);
        let slot = &mut self.slots[number];
        slot.taint = Taint::ALL;
        slot.crawls_until_ms = Some(now_ms + for_ms);
        self.hurt_ms = u64::MAX;
        context.report.fault("a thousand times slower");
        context.say(format_args!("fault: disk {number} crawls for {for_ms} ms"));
    }

    /// Beyond the budget: the next flush of every victim fails and keeps nothing or a part, and the power goes soon after.
    /// Nothing may count as durable by a later flush.
    pub fn fail_flushes_before_a_cut(&mut self, context: &mut Context, swarm: &Swarm) {
        if self.cut_due.is_some() {
            return self.cut_once_flushes_failed(&swarm.victims);
        }
        if swarm.budget != Budget::TwoDisks || !context.rng.permille(20) {
            return;
        }
        self.may(context, swarm.rates.fail_flush, |it, context| {
            let kept = match context.rng.permille(500) {
                true => Kept::Nothing,
                false => Kept::Part,
            };
            for victim in &swarm.victims {
                let slot = &mut it.slots[usize::from(*victim)];
                slot.taint = Taint::ALL;
                slot.handle.plan(|plan| {
                    plan.fail_flushes = Some(Span::once(0));
                    plan.failed_flushes_keep = kept;
                });
            }
            let steps = context.rng.between(3, CUT_AFTER_FLUSH_STEPS_MAX);
            it.cut_due = Some(steps);
            it.planned = true;
            it.hurt_ms = u64::MAX;
            context.report.fault("failing flushes before a cut");
            context.say(format_args!(
                "fault: the next flushes fail, and the power {steps} steps later"
            ));
        });
    }

    /// Two copies are enough to acknowledge by.
    fn cut_once_flushes_failed(&mut self, victims: &[u16]) {
        let still_fails = |victim: &&u16| {
            let mut fails = false;
            let handle = &self.slots[usize::from(**victim)].handle;
            handle.plan(|plan| fails = plan.fail_flushes.is_some_and(|span| span.count > 0));
            fails
        };
        let failed = victims.len() - victims.iter().filter(still_fails).count();
        if failed >= victims.len().min(2)
            && let Some(steps) = self.cut_due.take()
        {
            self.power.cut_after(steps);
        }
    }

    /// Lets disks answer again whose time has come.
    pub fn wake(&mut self, now_ms: u64) {
        for slot in &mut self.slots {
            if slot
                .hung_until_ms
                .take_if(|until| *until <= now_ms)
                .is_some()
            {
                slot.handle.hang(false);
            }
            slot.crawls_until_ms.take_if(|until| *until <= now_ms);
        }
    }

    /// Names of the disks that answer nothing now.
    pub fn hung(&self) -> impl Iterator<Item = &str> {
        let hung = self
            .slots
            .iter()
            .filter(|slot| slot.hung_until_ms.is_some());
        hung.map(|slot| slot.name.as_str())
    }

    /// Names of the disks that take a thousand times as long as others, and until when.
    pub fn crawling(&self) -> impl Iterator<Item = (&str, u64)> {
        let slots = self.slots.iter();
        slots.filter_map(|slot| Some((slot.name.as_str(), slot.crawls_until_ms?)))
    }
}

fn draw_plan(context: &mut Context, rates: &Rates, victim: u16) -> Plan {
    let mut plan = Plan::default();
    let kinds: [(u64, &'static str); 7] = [
        (rates.lost_write, "lost write"),
        (rates.stray_write, "stray write"),
        (rates.stray_read, "stray read"),
        (rates.lie, "lying flush"),
        (rates.fail_write, "failing write"),
        (rates.fail_flush, "failing flush"),
        (rates.full, "full"),
    ];
    for (rate, kind) in kinds {
        if !context.rng.permille(rate) {
            continue;
        }
        let after = context.rng.magnitude(400) - 1;
        let span = match context.rng.below(3) {
            0 => Span::once(after),
            1 => Span {
                after,
                count: context.rng.magnitude(20),
            },
            _ => Span::from(after),
        };
        let kept = *context
            .rng
            .pick(&[Kept::Nothing, Kept::Part, Kept::All])
            .unwrap_or(&Kept::Part);
        match kind {
            "lost write" => plan.lose_writes = Some(span),
            "stray write" => plan.misdirect_writes = Some(span),
            "stray read" => plan.misdirect_reads = Some(span),
            "lying flush" => plan.lie_flushes = Some(span),
            "failing write" => {
                plan.fail_writes = Some(span);
                plan.failed_writes_keep = kept;
            }
            "failing flush" => {
                plan.fail_flushes = Some(span);
                plan.failed_flushes_keep = kept;
            }
            _ => plan.room_bytes = Some(context.rng.magnitude(4 << 20)),
        }
        plan.misdirect_by = 4096 * context.rng.magnitude(4096);
        context.report.fault(kind);
        context.say(format_args!(
            "fault: disk {victim} will show: {kind} {span:?}"
        ));
    }
    plan
}

#[cfg(test)]
mod tests;
