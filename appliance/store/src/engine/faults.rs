//! Disks that fail while we run, and the labels that say so.
//!
//! A disk whose write or flush failed is expelled: it is never written again while we run, and what it
//! holds counts for nothing. The change is in force when the labels of all remaining members say it;
//! until then nothing is acknowledged.

use stele_device::disk::DiskError;
use stele_format::label::{DynamicLabel, LabelMember, LabelPhase, MemberState as LabelState};
use stele_format::units::{Generation, UnitCount};

use super::io::Purpose;
use super::watch::Kind;
use super::{DiskSlot, Engine};
use crate::draft::Origin;
use crate::journal::JOURNAL_COPIES;
use crate::plants::{Plant, on};
use crate::pool::slow::Slowness;
use crate::pool::{Member, MemberState, Pool};
use crate::request::{ReadOnlyReason, Refusal};

/// Why a disk failed whose file system has no room for its file.
pub const FILE_SYSTEM_FULL: &str = "its file system is full";

impl Engine {
    /// A write or flush of this disk failed.
    pub(super) fn expel(&mut self, slot: DiskSlot, error: &DiskError) {
        let reason = match error {
            DiskError::Full => FILE_SYSTEM_FULL,
            DiskError::Gone | DiskError::PowerLost => "it is gone",
            DiskError::Silent => "it does not answer",
            _ => "a write or flush failed",
        };
        self.expel_for(slot, reason);
    }

    /// A disk that refused to write or flush its share of the index is believed no more than one that refused the
    /// journal. The last one with a share stays: without any the vault could not start again, and a cause that all of
    /// them are found to have at one look is not the drive's. Nor does a vault give up disks that it only reads; the engine
    /// that takes over from it may.
    pub(super) fn expel_failed_areas(&mut self) {
        if self.read_only.is_some() {
            return;
        }
        let failed = self.area_failures.take();
        if failed.is_empty() {
            return;
        }
        let with_index = |member: &&Member| {
            let geometry = member.geometry.as_ref();
            geometry.is_some_and(|geometry| geometry.index_bytes.get() > 0)
        };
        let others = self.pool.active().filter(with_index);
        let others =
            others.filter(|member| !member.slot.is_some_and(|at| failed.contains_key(&at)));
        if others.count() == 0 {
            return;
        }
        for (slot, error) in failed {
            self.expel(slot, &error);
        }
    }

    /// Goes on without disks that make no progress.
    pub(super) fn watch_for_hung_disks(&mut self) {
        for (slot, kind) in self.io.hung(self.now.monotonic_ms) {
            self.hung(slot, kind);
        }
        let active = self.pool.active().filter_map(|member| member.slot);
        self.io.probe(active);
    }

    /// This disk makes no progress: one that takes nothing leaves the pool, and what one does not
    /// give is read from another.
    fn hung(&mut self, slot: DiskSlot, kind: Kind) {
        let open = self.io.give_up(slot, kind);
        if kind == Kind::Write {
            return self.expel_for(slot, "it was too slow");
        }
        // What does not come is not known to be lost: walks come back to it, and who reads is asked to try again.
        for purpose in open {
            match purpose {
                Purpose::Read(read) => self.read_unheard(read),
                Purpose::HealRead(token) => self.heal_unheard(token),
                _ => {}
            }
        }
    }

    /// A disk is not where it was opened: what is written to it now is not found by the next start. It may be that it
    /// only has another name, so it leaves only where it is the only one and the others have all it has. That may be so
    /// only later: this is said at each look, and told once.
    pub(super) fn gone_astray(&mut self, slot: DiskSlot, alone: bool) {
        if alone && self.is_dispensable(slot) {
            return self.expel_for(slot, "it is no longer at its place");
        }
        let at = self.clock.latest();
        if let Some(member) = self.pool.member_at_mut(slot)
            && member.is_used()
            && !member.astray
        {
            member.astray = true;
            self.alarms.disk_astray(member, at);
        }
    }

    /// A disk is where it was opened again.
    pub(super) fn back_at_place(&mut self, slot: DiskSlot) {
        if let Some(member) = self.pool.member_at_mut(slot) {
            member.astray = false;
        }
    }

    /// Whether the vault could do without a disk that takes part: every other one does and is at its place, none is known
    /// to lack the copy it should have of what lies here, and they are enough to take writes, now and after a start.
    fn is_dispensable(&self, slot: DiskSlot) -> bool {
        let others = self.pool.members.iter();
        let mut others = others.filter(|member| member.slot != Some(slot));
        let whole = others.all(|member| match member.state {
            MemberState::Active => !member.astray,
            state => state == MemberState::Drained,
        }) && self.fill.is_none()
            && !self.relabelling
            && !self.healer.counts().has_losses()
            && !self
                .pool
                .member_at(slot)
                .is_some_and(|member| self.healer.suspects_beside(member.disk));
        let journal = self.journal.copies.backlogs();
        let left = journal.filter(|(other, _)| *other != slot).count();
        let writes = self.read_only.is_none() && left >= self.pool.needed();
        whole && writes && self.pool.may_start_without(Some(slot))
    }

    fn expel_for(&mut self, slot: DiskSlot, reason: &'static str) {
        let Some(member) = self.pool.member_at_mut(slot) else {
            return;
        };
        if member.state == MemberState::Joining {
            return self.fail_fill(reason);
        }
        if member.state != MemberState::Active {
            return;
        }
        member.state = MemberState::Expelled;
        member.reason = Some(reason);
        member.slowness = Slowness::default();
        self.alarms.disk_left(member, self.clock.latest());
        self.drain_forget(slot);
        self.forget_fill(slot);
        self.heal_forget(slot);
        self.rank_fill_anew();
        self.wipe_forget(slot);
        self.journal.expel(slot, &mut self.pool);
        self.flushes.remove(slot);
        self.labels.remove(slot);
        self.with_lane(|lane, context| lane.expel(slot, context));
        if self.pool.may_go_on() && self.journal_disks() >= self.pool.needed() {
            if on(Plant::ExpulsionUnlabelled) {
                return;
            }
            self.relabelling = true;
            self.start_label_update();
        } else {
            let wrote = self.read_only.is_none() || self.stranded;
            self.stranded = wrote && self.pool.may_start();
            self.stop_writing();
            if wrote && !self.stranded {
                self.tell_read_only();
            }
        }
    }

    /// Disks that take the journal. The pool may have others, but the record that would move the journal to them
    /// needs the quorum here; the next start moves it.
    fn journal_disks(&self) -> usize {
        self.journal.copies.members()
    }

    /// A journal that lost a disk, or had to lie on a forgetful one, goes on in a segment on the disks it should be on,
    /// if there are others.
    fn widen_journal(&mut self) {
        let on_it = |slot| self.journal.copies.is_member(slot);
        let doubted = |member: &Member| member.is_forgetful() && member.slot.is_some_and(on_it);
        let doubted = self.pool.active().any(doubted);
        let wanted = self.pool.choose(JOURNAL_COPIES).unwrap_or_default();
        let wanted: Vec<&Member> = wanted
            .iter()
            .filter_map(|place| self.pool.member(place.disk))
            .filter(|member| member.state == MemberState::Active)
            .collect();
        let (more, forgets) = (
            self.journal_disks() < wanted.len(),
            wanted.iter().any(|member| member.is_forgetful()),
        );
        if more || (doubted && !forgets && !wanted.is_empty()) {
            self.journal.renew(&mut self.pool);
        }
    }

    /// Fewer disks remain than the quorum needs: nothing is acknowledged any more.
    fn stop_writing(&mut self) {
        let present = self.pool.active().count().min(self.journal_disks());
        let reason = ReadOnlyReason::TooFewDisks {
            present: u16::try_from(present).unwrap_or(u16::MAX),
            needed: u16::try_from(self.pool.needed()).unwrap_or(u16::MAX),
            missing: self.pool.wanted_names(),
            idle: self.pool.idle_here(),
        };
        self.read_only = Some(reason.clone());
        self.fail_drain("the vault became read-only");
        let refusal = self.why_read_only().unwrap_or(Refusal::ReadOnly(reason));
        // A start may find the frame that was on its way.
        let flying = self.journal.give_up_flight().into_iter();
        let flying: Vec<Origin> = flying.map(|record| record.origin).collect();
        self.give_up(flying, &Refusal::Undecided);
        let queued = self.journal.give_up().into_iter();
        let queued: Vec<Origin> = queued.map(|draft| draft.origin).collect();
        self.give_up(queued, &refusal);
        self.refuse_uploads(&refusal);
    }

    /// Says that nothing is written any more, and why.
    pub(super) fn tell_read_only(&mut self) {
        if let Some(why) = self.read_only.clone() {
            self.alarms.read_only(why, self.clock.latest());
        }
    }

    fn give_up(&mut self, origins: Vec<Origin>, why: &Refusal) {
        for origin in origins {
            if let Origin::Request { id, .. } = origin {
                self.finish(id, Err(why.clone()));
            }
        }
    }

    /// Writes the pool's state into the labels of all active disks.
    pub(super) fn start_label_update(&mut self) {
        if self.read_only.is_some() {
            // Who takes part is settled by the next start, with the disks that are there then.
            self.label_again = false;
            return;
        }
        if self.labels.is_running() {
            self.label_again = true;
            return;
        }
        self.label_again = false;
        let next = Generation::new(self.pool.generation.get() + 1);
        // A disk that was taken in may have seen more: whoever does not see it must know that much first.
        let leap = self.pool.generation > self.promised;
        self.promising = leap.then(|| leaves_out(next, self.label_generation));
        self.pool.generation = self.promising.unwrap_or(next);
        if self.promising.is_none() {
            self.label_generation = next;
        }
        let clean = self.stop != super::StopState::Running && self.journal.is_idle();
        let labels = self.make_labels(clean && !leap);
        for (slot, label) in labels {
            let geometry = self.pool.member_at(slot).and_then(|member| member.geometry);
            if let Some(geometry) = geometry {
                self.labels.start(&mut self.io, slot, &geometry, label);
            }
        }
    }

    fn make_labels(&self, clean: bool) -> Vec<(DiskSlot, DynamicLabel)> {
        let facts = LabelFacts {
            epoch: self.journal.started(),
            watermark: self.journal.acknowledged(),
            journal_segment: self.journal.segment(),
            clean_stop: clean,
            phase: match self.promising {
                Some(_) => LabelPhase::Promise,
                None => LabelPhase::Running,
            },
            voters: None,
            cutoffs: &self.cutoffs,
        };
        labels_of(&self.pool, &facts)
    }

    /// One operation of a label update succeeded.
    pub(super) fn label_step(&mut self, slot: DiskSlot) {
        self.labels.finished(&mut self.io, slot);
        if self.labels.is_running() {
            return;
        }
        let promised = self.promising.take();
        self.promised = promised.unwrap_or(self.label_generation);
        let again = self.label_again || promised.is_some();
        self.relabelling &= again;
        if self.read_only.is_some() {
            // A disk that the labels call active was lost meanwhile: they never came in force.
            return;
        }
        if again {
            return self.start_label_update();
        }
        let changed = self.pool.bring_in_force(self.label_generation);
        self.labels_in_force(changed);
        if changed {
            self.widen_journal();
            // So that a start needs half of the new membership, not of the one before.
            self.start_label_update();
        }
    }
}

/// The generation, or the one after it if its place in the ring is that of the labels in force: a promise
/// must not take it.
fn leaves_out(next: Generation, in_force: Generation) -> Generation {
    if DynamicLabel::slot(next) == DynamicLabel::slot(in_force) {
        return Generation::new(next.get() + 1);
    }
    next
}

/// What labels state beside the pool.
pub(crate) struct LabelFacts<'a> {
    pub(crate) epoch: stele_format::units::Epoch,
    pub(crate) watermark: stele_format::units::Sequence,
    pub(crate) journal_segment: stele_format::units::SegmentId,
    pub(crate) clean_stop: bool,
    pub(crate) phase: LabelPhase,
    /// The membership in force until this start is complete, where it has not most of that; else the pool's.
    pub(crate) voters: Option<&'a [stele_format::units::DiskId]>,
    pub(crate) cutoffs: &'a [stele_format::label::EpochCutoff],
}

/// The labels of every active disk.
pub(crate) fn labels_of(pool: &Pool, facts: &LabelFacts<'_>) -> Vec<(DiskSlot, DynamicLabel)> {
    let members: Vec<LabelMember> = pool
        .members
        .iter()
        .map(|member| LabelMember {
            disk: member.disk,
            state: match member.state {
                MemberState::Active => LabelState::Active,
                MemberState::Absent => LabelState::Absent,
                MemberState::Expelled => LabelState::Expelled,
                MemberState::Drained => LabelState::Drained,
                MemberState::Stale | MemberState::Joining => LabelState::Stale,
            },
            voter: match facts.voters {
                Some(voters) => voters.contains(&member.disk),
                None => member.voter,
            },
            forgotten_frames: member.forgotten_frames_stated(),
            last_generation: if member.state == MemberState::Active {
                pool.generation
            } else {
                member.last_generation
            },
        })
        .collect();
    pool.active()
        .filter_map(|member| {
            let label = DynamicLabel {
                pool: pool.id,
                disk: member.disk,
                generation: pool.generation,
                in_force: pool.in_force,
                epoch: facts.epoch,
                watermark: facts.watermark,
                next_segment: pool.next_segment,
                units_high_water: UnitCount::new(member.units_high_water()),
                clean_stop: facts.clean_stop,
                phase: facts.phase,
                journal_segment: facts.journal_segment,
                members: members.clone(),
                cutoffs: facts.cutoffs.to_vec(),
            };
            Some((member.slot?, label))
        })
        .collect()
}
