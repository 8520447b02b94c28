//! A disk that leaves while the vault serves: every segment on it is copied to another disk first.
//!
//! One segment at a time, and each in this order: a record gives the segment a new place; when that is
//! durable, the copy is written there, flushed, and read back; a second record states that it counts
//! there. Only when that is durable the old place counts no more. What a crash leaves behind is a place
//! that belongs to its segment either way, so it is never given to another: a journal that is read from
//! its beginning names old places before it names new ones.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::{Body, MoveStep, Placed, RecordType, Relocate};
use stele_format::units::{DiskId, SegmentId};

use super::heal::Aim;
use super::membership::FillProgress;
use super::{Action, DiskSlot, Engine, Now, StopState};
use crate::draft::Draft;
use crate::heal::Outcome;
use crate::journal::JOURNAL_COPIES;
use crate::lane::DATA_COPIES;
use crate::limits::LOOKED_AT_PER_MS_KEPT;
use crate::pool::{INDEX_DISK_COUNT, Member, MemberState, Place, SegmentInfo};

/// Why a disk that was drained takes part no more, when it may be pulled out.
pub const DRAINED: &str = "all it held is on other disks; it may be pulled out";
/// The same before the labels of all other disks say so.
const DRAINED_UNSAID: &str = "all it held is on other disks; leave it in until their labels say so";

/// Why a disk cannot be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DrainRefusal {
    /// No disk has this number.
    #[error("the vault has no disk {number}")]
    NoSuchDisk {
        /// The number asked for, from 1.
        number: u16,
    },
    /// It takes no part.
    #[error("disk {number} does not take part in the vault: nothing can be copied from it safely")]
    NotActive {
        /// Its number.
        number: u16,
    },
    /// One disk at a time.
    #[error("disk {number} is being filled or drained; wait until that is done")]
    Busy {
        /// Its number.
        number: u16,
    },
    /// It is empty already.
    #[error("disk {number} was drained already")]
    Drained {
        /// Its number.
        number: u16,
    },
    /// The engine is being started again, as when the index is made anew.
    #[error("the vault is being started again; ask again when `stele status` no longer says so")]
    Rebuilding,
    /// Nothing is written.
    #[error(
        "the vault is read-only: first plug in what is missing, which `stele status` names, then restart it"
    )]
    ReadOnly,
    /// Another disk does not take part.
    #[error("disk {number} does not take part: first bring it back or replace it")]
    OtherMissing {
        /// Its number.
        number: u16,
    },
    /// Those that remain are too few.
    #[error("the vault has {disks} disks, and without disk {number} they would be too few")]
    TooFew {
        /// Its number.
        number: u16,
        /// Disks there are, drained ones aside.
        disks: u16,
    },
    /// It carries a mirror of the index.
    #[error("disk {number} carries a mirror of the index, which cannot move")]
    Index {
        /// Its number.
        number: u16,
    },
    /// The others cannot take what it holds.
    #[error("the other disks lack {missing_bytes} bytes for what disk {number} holds")]
    NoRoom {
        /// Its number.
        number: u16,
        /// How much is missing.
        missing_bytes: u64,
    },
}

/// A segment on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Move {
    segment: SegmentId,
    to: Place,
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No segment is on its way.
    Next,
    /// The record that gives it its new place is not durable yet.
    Beginning(Move),
    Copying(Move),
    Checking(Move),
    /// The record that it counts at its new place is not durable yet.
    Ending(Move),
    /// The labels are to say that the disk takes part no more.
    Leaving,
    /// They say so, and are to say next that a start needs more than half of those that remain.
    Settling,
}

/// A disk being drained.
pub(crate) struct Drain {
    disk: DiskId,
    slot: DiskSlot,
    stage: Stage,
    saved: Saved,
    progress: FillProgress,
    started_ms: u64,
    /// Before this nothing that can be moved is looked for.
    look_ms: u64,
}

impl Drain {
    /// Which disk.
    pub(super) fn disk(&self) -> DiskId {
        self.disk
    }
}

/// Whether a snapshot of the index says where all is by now. Without one, a start would have to find out
/// from records that name disks which are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    No,
    Begun,
    Yes,
}

impl Engine {
    /// Begins to move everything off a disk, by its number from 1. Appends what is to be done.
    ///
    /// # Errors
    /// Why it cannot be drained; nothing has changed then.
    pub fn drain(
        &mut self,
        now: Now,
        number: u16,
        actions: &mut Vec<Action>,
    ) -> Result<(), DrainRefusal> {
        self.now = now;
        self.begin_drain(number)?;
        self.pump();
        self.io.drain(actions);
        Ok(())
    }

    fn begin_drain(&mut self, number: u16) -> Result<(), DrainRefusal> {
        let (disk, slot) = self.may_drain(number)?;
        let (segments, units) = self.held_on(disk).fold((0, 0), |(count, sum), (_, info)| {
            (count + 1, sum + u64::from(info.units))
        });
        self.drain = Some(Drain {
            disk,
            slot,
            stage: Stage::Next,
            saved: Saved::No,
            progress: FillProgress {
                segments,
                bytes: units * u64::from(self.pool.unit_bytes),
                ..FillProgress::default()
            },
            started_ms: self.now.monotonic_ms,
            look_ms: 0,
        });
        if let Some(member) = self.pool.member_at_mut(slot) {
            member.leaving = true;
            member.reason = None;
        }
        // What is open there is closed, and goes on elsewhere.
        self.journal.renew(&mut self.pool);
        self.with_lane(|lane, context| lane.turn_from(slot, context));
        Ok(())
    }

    fn may_drain(&self, number: u16) -> Result<(DiskId, DiskSlot), DrainRefusal> {
        let members = &self.pool.members;
        let busy = self.fill_progress().or_else(|| self.drain_progress());
        if self.stranded {
            return Err(DrainRefusal::Rebuilding);
        }
        if self.read_only.is_some() || self.stop != StopState::Running {
            return Err(DrainRefusal::ReadOnly);
        }
        if let Some(member) = busy.and_then(|(disk, _)| self.pool.member(disk)) {
            let number = member.ordinal + 1;
            return Err(DrainRefusal::Busy { number });
        }
        let member = members.iter().find(|member| member.ordinal + 1 == number);
        let member = member.ok_or(DrainRefusal::NoSuchDisk { number })?;
        if member.state == MemberState::Drained {
            return Err(DrainRefusal::Drained { number });
        }
        let active = self.pool.active_slot(member.disk);
        let slot = active.ok_or(DrainRefusal::NotActive { number })?;
        let stays = |member: &&Member| member.state != MemberState::Drained;
        let disks = members.iter().filter(stays).count();
        let too_few = DrainRefusal::TooFew {
            number,
            disks: u16::try_from(disks).unwrap_or(u16::MAX),
        };
        if disks < JOURNAL_COPIES {
            return Err(too_few);
        }
        if member.ordinal < INDEX_DISK_COUNT {
            return Err(DrainRefusal::Index { number });
        }
        let missing = |member: &&Member| stays(member) && member.state != MemberState::Active;
        if let Some(other) = members.iter().find(missing) {
            let number = other.ordinal + 1;
            return Err(DrainRefusal::OtherMissing { number });
        }
        if disks == JOURNAL_COPIES {
            return Err(too_few);
        }
        let missing_bytes = self.room_missing(member.disk);
        if missing_bytes > 0 || self.pool.choose_without(DATA_COPIES, &[slot]).is_none() {
            return Err(DrainRefusal::NoRoom {
                number,
                missing_bytes,
            });
        }
        Ok((member.disk, slot))
    }

    /// Segments of which a copy lies on a disk, or may lie. One that was given up holds nothing.
    fn held_on(&self, disk: DiskId) -> impl Iterator<Item = (&SegmentId, &SegmentInfo)> {
        let in_use = self.segments_in_use();
        self.pool.segments.iter().filter(move |(id, info)| {
            let holds = info.is_written() && (info.data_end.is_some() || in_use.contains(id));
            // What nobody has read is not moved either: the drain waits for the start that does.
            (holds || self.pool.unread.has(**id))
                && info.places.iter().any(|place| place.disk == disk)
        })
    }

    /// Bytes that the other disks lack for what this one holds, on top of their reserves.
    fn room_missing(&self, disk: DiskId) -> u64 {
        let others = self.pool.active().filter(|member| member.disk != disk);
        let mut free: BTreeMap<DiskId, u32> = others
            .map(|member| (member.disk, self.pool.spare_units(member)))
            .collect();
        let mut missing = 0;
        for (_, info) in self.held_on(disk) {
            let fits = |(other, units): &(&DiskId, &mut u32)| {
                **units >= info.units && !info.places.iter().any(|place| place.disk == **other)
            };
            let most = free
                .iter_mut()
                .filter(fits)
                .max_by_key(|(_, units)| **units);
            match most {
                Some((_, units)) => *units -= info.units,
                None => missing += u64::from(info.units),
            }
        }
        missing * u64::from(self.pool.unit_bytes)
    }

    /// Takes the next segment off the disk, or lets the disk go when nothing is left on it.
    pub(super) fn pump_drain(&mut self) {
        let waits = self.relabelling || self.labels.is_running() || self.reclaim.is_giving_up();
        if waits || self.read_only.is_some() || self.stop != StopState::Running {
            return;
        }
        let now_ms = self.now.monotonic_ms;
        let due = |drain: &&Drain| drain.stage == Stage::Next && now_ms >= drain.look_ms;
        let Some(drain) = self.drain.as_ref().filter(due) else {
            return;
        };
        let disk = drain.disk;
        let unfinished = self.lane.open_segments();
        let closed = |(id, info): &(&SegmentId, &SegmentInfo)| {
            let unread = self.pool.unread.has(**id);
            info.data_end.is_some() && !unread && self.is_readable(**id, info, &unfinished)
        };
        let next = self.held_on(disk).find(closed).map(|(id, _)| *id);
        match next {
            Some(segment) => self.begin_move(segment),
            // All segments were looked at for nothing: again after a hundred times as long as that takes.
            None if self.held_on(disk).next().is_some() => {
                let pause_ms = self.pool.segments.len() as u64 / LOOKED_AT_PER_MS_KEPT;
                if let Some(drain) = self.drain.as_mut() {
                    drain.look_ms = now_ms.saturating_add(pause_ms);
                }
            }
            None if drain.saved == Saved::Yes => self.let_go(),
            None if drain.saved == Saved::No => {
                self.snapshot_wanted = true;
                self.maybe_snapshot();
            }
            None => {}
        }
    }

    /// A snapshot is being taken of what is so now.
    pub(super) fn drain_saving(&mut self) {
        if let Some(drain) = self.drain.as_mut() {
            drain.saved = Saved::Begun;
        }
    }

    /// The index holds the snapshot, or could not take it. What moved meanwhile asks for another one.
    pub(super) fn drain_saved(&mut self, held: bool) {
        let begun = |drain: &&mut Drain| drain.saved == Saved::Begun;
        let Some(drain) = self.drain.as_mut().filter(begun) else {
            return;
        };
        drain.saved = if held { Saved::Yes } else { Saved::No };
        if !held && drain.stage == Stage::Next {
            self.fail_drain("the index could not note where all it held is now");
        }
    }

    fn begin_move(&mut self, segment: SegmentId) {
        let Some(to) = self.pool.place_beside(segment) else {
            return self.fail_drain("the other disks have no room for what it holds");
        };
        self.pool.set_aside(segment, to);
        let step = Move { segment, to };
        self.set_stage(Stage::Beginning(step));
        self.push_move(step, MoveStep::Begun);
    }

    fn push_move(&mut self, Move { segment, to }: Move, step: MoveStep) {
        let lane = self.pool.segments.get(&segment).map(|info| info.lane);
        let (Some(lane), Some(drain)) = (lane, self.drain.as_ref()) else {
            return;
        };
        let body = Body::Relocate(Relocate {
            segment,
            lane,
            from: drain.disk,
            to: Placed {
                disk: to.disk,
                first_unit: to.first_unit,
            },
            step,
        });
        self.journal
            .push_own(Draft::of_engine(RecordType::Relocate, body));
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(drain) = self.drain.as_mut() {
            drain.stage = stage;
        }
    }

    /// A record of a move is durable. It counts whatever became of the drain meanwhile.
    pub(super) fn relocated(&mut self, record: &Relocate) {
        let to = Place {
            disk: record.to.disk,
            first_unit: record.to.first_unit,
        };
        let segment = record.segment;
        let step = Move { segment, to };
        let stage = self.drain.as_ref().map(|drain| drain.stage);
        match record.step {
            MoveStep::Begun if stage == Some(Stage::Beginning(step)) => {
                self.set_stage(Stage::Copying(step));
            }
            MoveStep::Begun => {}
            MoveStep::Done => {
                self.pool.relocate(segment, record.from, to);
                if stage == Some(Stage::Ending(step)) {
                    self.moved(segment);
                }
            }
        }
    }

    fn moved(&mut self, segment: SegmentId) {
        let info = self.pool.segments.get(&segment);
        let units = info.map_or(0, |info| u64::from(info.units));
        let bytes = units * u64::from(self.pool.unit_bytes);
        if let Some(drain) = self.drain.as_mut() {
            drain.stage = Stage::Next;
            drain.saved = Saved::No;
            drain.progress.segments_done += 1;
            drain.progress.bytes_done += bytes;
            // What was open at the beginning is known by its size only now.
            drain.progress.segments = drain.progress.segments.max(drain.progress.segments_done);
            drain.progress.bytes = drain.progress.bytes.max(drain.progress.bytes_done);
        }
    }

    /// What is to be copied or read back, and where it goes; not while the journal is being sealed.
    pub(super) fn next_to_move(&self) -> Option<(SegmentId, Aim)> {
        let (segment, aim) = match self.drain.as_ref()?.stage {
            Stage::Copying(step) => (step.segment, Aim::Copy(step.to)),
            Stage::Checking(step) => (step.segment, Aim::Check(step.to)),
            _ => return None,
        };
        let info = self.pool.segments.get(&segment)?;
        let readable = self.is_readable(segment, info, &self.lane.open_segments());
        (readable && !self.rests_unheard(segment)).then_some((segment, aim))
    }

    /// A segment was copied to its new place, as far as any copy could give it.
    pub(super) fn copied(&mut self, to: Place, outcome: &Outcome) {
        let Some(drain) = self.drain.as_mut() else {
            return;
        };
        let Stage::Copying(step) = drain.stage else {
            return;
        };
        drain.progress.bytes_written += outcome.filled_bytes;
        if holds_all(outcome, to) {
            drain.stage = Stage::Checking(step);
        } else if outcome.unheard {
            self.fail_drain("a disk does not give a part of what it holds");
        } else if outcome.complete {
            self.fail_drain("a part of what it holds is on no disk any more");
        }
        // Else a disk left meanwhile: it is copied again.
    }

    /// The copy at the new place was read back.
    pub(super) fn checked(&mut self, to: Place, outcome: &Outcome) {
        let Some(Stage::Checking(step)) = self.drain.as_ref().map(|drain| drain.stage) else {
            return;
        };
        let as_written = !outcome.repaired_on.contains(&to.disk);
        if !outcome.complete && !outcome.unheard && as_written {
            // A disk left meanwhile: it is read back again.
            return;
        }
        if !(outcome.complete && holds_all(outcome, to) && as_written) {
            return self.fail_drain("what was copied to another disk could not be read back there");
        }
        if let Some(info) = self.pool.segments.get_mut(&step.segment) {
            // The new copy is to be read again soon.
            info.was_copied(self.clock.latest());
        }
        self.set_stage(Stage::Ending(step));
        self.push_move(step, MoveStep::Done);
    }

    /// Nothing lies on the disk any more: the labels of the others say that it takes part no more.
    fn let_go(&mut self) {
        let Some(slot) = self.drain.as_ref().map(|drain| drain.slot) else {
            return;
        };
        self.set_stage(Stage::Leaving);
        if let Some(member) = self.pool.member_at_mut(slot) {
            member.state = MemberState::Drained;
            member.reason = Some(DRAINED);
            member.leaving = false;
            member.forgotten_frames = 0;
        }
        self.heal_forget(slot);
        self.journal.expel(slot, &mut self.pool);
        self.flushes.remove(slot);
        self.relabelling = true;
        self.start_label_update();
    }

    /// The labels of all that take part were written. True when they say for the first time that the disk
    /// has left; it may be pulled out once they also say that a start does not count it any more.
    pub(super) fn drain_ended(&mut self, members_changed: bool) -> bool {
        let stage = self.drain.as_ref().map(|drain| drain.stage);
        match stage {
            Some(Stage::Leaving) if members_changed => self.set_stage(Stage::Settling),
            Some(Stage::Leaving | Stage::Settling) => self.drain = None,
            _ => {}
        }
        stage == Some(Stage::Leaving)
    }

    /// Why a disk takes no part, or what a drain left to be said of it.
    pub(crate) fn reason_of(&self, member: &Member) -> Option<&'static str> {
        let unsaid = member.voter || self.drain.as_ref().is_some_and(|d| d.disk == member.disk);
        match member.state {
            MemberState::Drained if unsaid => Some(DRAINED_UNSAID),
            _ => member.reason,
        }
    }

    /// A disk is not believed any more: what moves from it or to it stays where it is.
    pub(super) fn drain_forget(&mut self, slot: DiskSlot) {
        let Some(drain) = self.drain.as_ref() else {
            return;
        };
        let to = match drain.stage {
            Stage::Beginning(step) | Stage::Copying(step) => Some(step.to),
            Stage::Checking(step) | Stage::Ending(step) => Some(step.to),
            Stage::Next | Stage::Leaving | Stage::Settling => None,
        };
        let target = to.and_then(|to| self.pool.member(to.disk)?.slot);
        let leaves = drain.slot == slot;
        if leaves || target == Some(slot) {
            self.fail_drain("a disk failed meanwhile");
        }
    }

    /// The disk stays, with what it still holds.
    pub(super) fn fail_drain(&mut self, reason: &'static str) {
        let Some(drain) = self.drain.take() else {
            return;
        };
        self.heal_abandon_move();
        if let Some(member) = self.pool.member_at_mut(drain.slot) {
            member.leaving = false;
            if member.state == MemberState::Active {
                member.reason = Some(reason);
            }
        }
    }

    /// Numbers of the disks without which nobody can tell what of the disk being drained is to be moved.
    pub(crate) fn drain_lacks(&self) -> Vec<u16> {
        let drained = self.drain.iter().flat_map(|drain| self.held_on(drain.disk));
        let away = drained.flat_map(|(segment, _)| self.pool.still_away(*segment));
        let numbers: BTreeSet<u16> = away.map(|disk| self.pool.number_of(disk)).collect();
        numbers.into_iter().collect()
    }

    /// The disk being drained, and how far it has come.
    pub(crate) fn drain_progress(&self) -> Option<(DiskId, FillProgress)> {
        let drain = self.drain.as_ref()?;
        let mut progress = drain.progress;
        progress.elapsed_ms = self.now.monotonic_ms.saturating_sub(drain.started_ms);
        Some((drain.disk, progress))
    }
}

/// Whether every frame is at the new place. A seal that no copy has was never written: a power cut came
/// first.
fn holds_all(outcome: &Outcome, to: Place) -> bool {
    outcome.whole.contains(&to.disk) && outcome.lost.iter().all(|lost| lost.is_root())
}
