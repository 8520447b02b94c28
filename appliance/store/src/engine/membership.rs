//! Disks that join while the vault serves: one that comes back after it missed writes, a new one in
//! the place of a lost one, and a new one beside the others.
//!
//! A disk that takes a lost one's place takes its identity too: every copy it must hold has the same
//! bytes in the same units, so nothing else in the pool changes, and whatever a crash leaves of it is
//! a stale disk like any other. It has no vote until all of that is flushed and the labels of every
//! member say so.

use std::cmp::Ordering;

use stele_device::disk::{DiskError, Op};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{DynamicLabel, LabelReading};
use stele_format::limits::{KEYSTATE_COPIES, MEMBERS_MAX};
use stele_format::units::{DiskId, Epoch, Generation, Opening, SegmentId, UnitCount};

use super::io::Purpose;
use super::{Action, DiskSlot, Engine, Now};
use crate::draft::Draft;
use crate::plants::{Plant, on};
use crate::pool::{Member, MemberState};
use crate::recovery::member_body;
use crate::request::ReadOnlyReason;

mod order;

use order::FillQueue;

/// Why a disk takes no part that was not among those with which the vault was forced open.
pub const LEFT_BEHIND: &str = "the vault was forced open without it, and it never takes part again";

/// Why a disk cannot join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiskRefusal {
    /// No disk has this number.
    #[error("the vault has no disk {number}")]
    NoSuchDisk {
        /// The number asked for, from 1.
        number: u16,
    },
    /// It takes part.
    #[error("disk {number} takes part in the vault and is not to be replaced")]
    Healthy {
        /// Its number.
        number: u16,
    },
    /// One disk at a time.
    #[error("disk {number} is being filled; wait until it takes part")]
    Filling {
        /// Its number.
        number: u16,
    },
    /// The engine is being started again, as when the index is made anew.
    #[error("the vault is being started again; ask again when `stele status` no longer says so")]
    Rebuilding,
    /// One disk at a time.
    #[error("disk {number} is being drained; wait until that is done")]
    Draining {
        /// Its number.
        number: u16,
    },
    /// Nothing is written.
    #[error(
        "the vault is read-only: first plug in what is missing, which `stele status` names, then restart it"
    )]
    ReadOnly,
    /// Nothing is written, for a reason that no disk changes.
    #[error("the vault is read-only, and a disk does not change that; `stele status` says why")]
    ReadOnlyForGood,
    /// It cannot hold what it must.
    #[error("the disk is too small by {missing_bytes} bytes for what it must hold")]
    TooSmall {
        /// How much is missing.
        missing_bytes: u64,
    },
    /// It is of before the vault was forced open without it.
    #[error(
        "it was left behind when the vault was forced open and has another end of the log; it never takes part again. \
         Give disk {number} a blank disk"
    )]
    LeftBehind {
        /// The number it had.
        number: u16,
    },
    /// It belongs to the vault as it was forced open, and this one is not.
    #[error(
        "the vault was forced open with this disk, and went on here without it: the disk has another end of the log, \
         which nothing is to write over unseen. Give disk {number} a blank disk"
    )]
    OpenedElsewhere {
        /// The number it had.
        number: u16,
    },
    /// The vault was to be forced open with it, which was cut, and has not come as far since as that start numbered.
    #[error(
        "the vault was to be forced open with this disk, and that did not happen: the disk has numbers that this vault \
         has not come to. Stop the vault and start it with the disk plugged in; then the disk can take part again"
    )]
    Begun {
        /// The number it had.
        number: u16,
    },
    /// The number of disks cannot grow.
    #[error("this vault takes no further disks")]
    CountFixed,
    /// There are as many as the format has room for.
    #[error("a vault has at most {disks_max} disks")]
    CountMax {
        /// How many.
        disks_max: u16,
    },
}

/// A disk given to the running engine. The driver has opened it at `slot` and has written or read
/// its static label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Where it is attached.
    pub slot: DiskSlot,
    /// Where it is, as operators call it.
    pub name: String,
    /// What is printed on its drive.
    pub serial: Option<String>,
    /// Its identity as its static label states it.
    pub disk: DiskId,
    /// Its layout.
    pub geometry: DiskGeometry,
    /// How old its label is.
    pub age: LabelAge,
}

/// How old a disk's label is; the default is that of a disk that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabelAge {
    /// The newest generation, promises included.
    pub generation: Generation,
    /// The most often that the vault was forced open by any label on it.
    pub opening: Opening,
    /// The newest epoch of a forced opening that was begun with it, if any.
    pub begun: Epoch,
    /// One past the highest unit that was ever in use on it.
    pub units: UnitCount,
}

impl LabelAge {
    /// That of a label as it was read.
    #[must_use]
    pub fn of(reading: &LabelReading) -> Self {
        // The newest may be of an opening that was cut, which gives up what those before it say. Promises too: a disk that
        // was joining when that was cut has nothing else.
        let stated = reading.ring.values().map(DynamicLabel::opening);
        let own = reading.dynamic.as_ref();
        let begun = reading.ring.values();
        let begun = begun.filter(|label| label.begins_with_few());
        Self {
            generation: reading.highest,
            opening: stated.max().unwrap_or_default(),
            begun: begun.map(|label| label.epoch).max().unwrap_or_default(),
            units: own.map_or(UnitCount::ZERO, |label| label.units_high_water),
        }
    }

    /// What was written under another opening is another log's, whichever of them has the higher number.
    /// And what was begun above our epoch would still be on the disk, and count more than what we write.
    fn check(self, opening: Opening, epoch: Epoch, number: u16) -> Result<(), DiskRefusal> {
        match self.opening.cmp(&opening) {
            _ if self.generation.is_zero() => Ok(()),
            Ordering::Less => Err(DiskRefusal::LeftBehind { number }),
            Ordering::Equal if self.begun > epoch => Err(DiskRefusal::Begun { number }),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(DiskRefusal::OpenedElsewhere { number }),
        }
    }
}

/// What a disk must be to join, and be labelled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The label it gets, but for the size of the disk.
    pub label: stele_format::label::StaticLabel,
    /// Units it must have at least.
    pub unit_count_min: u32,
}

/// How far a disk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Key-state copies written so far.
    Keys(u16),
    Segments,
    /// The labels that let it take part are being written.
    Activating,
    /// It takes part, and the labels that a start without another disk would need are being written.
    Settling,
}

/// A disk being filled.
pub(crate) struct Fill {
    disk: DiskId,
    slot: DiskSlot,
    stage: Stage,
    queue: FillQueue,
    /// Segments of which it could not be given all.
    holed: Vec<SegmentId>,
    progress: FillProgress,
    started_ms: u64,
}

/// How far the filling of a disk has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FillProgress {
    /// Segments compared or copied.
    pub segments_done: u64,
    /// Segments in all.
    pub segments: u64,
    /// Bytes of those done.
    pub bytes_done: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Bytes that had to be written.
    pub bytes_written: u64,
    /// Time it has taken.
    pub elapsed_ms: u64,
}

impl FillProgress {
    /// Time it will still take at the speed so far; none before there is one.
    #[must_use]
    pub fn remaining_ms(&self) -> Option<u64> {
        let left = self.bytes.saturating_sub(self.bytes_done);
        let spent = u128::from(self.elapsed_ms) * u128::from(left);
        u64::try_from(spent.checked_div(u128::from(self.bytes_done))?).ok()
    }
}

/// Whether a vault of so many disks takes a further one.
fn may_grow(disks: usize) -> Result<(), DiskRefusal> {
    match disks {
        1 => Err(DiskRefusal::CountFixed),
        MEMBERS_MAX.. => Err(DiskRefusal::CountMax {
            disks_max: u16::try_from(MEMBERS_MAX).unwrap_or(u16::MAX),
        }),
        _ => Ok(()),
    }
}

/// Why a vault that is only read takes no disk.
fn read_only_refusal(reason: Option<&ReadOnlyReason>) -> DiskRefusal {
    match reason {
        Some(
            ReadOnlyReason::Full
            | ReadOnlyReason::NumbersUsedUp
            | ReadOnlyReason::NewerFormat
            | ReadOnlyReason::LookedAt,
        ) => DiskRefusal::ReadOnlyForGood,
        _ => DiskRefusal::ReadOnly,
    }
}

impl Engine {
    /// What a disk must be to take the place of disk `number` (from 1), or of none.
    ///
    /// # Errors
    /// Why no disk can join there now.
    pub fn offer(&mut self, number: Option<u16>) -> Result<Offer, DiskRefusal> {
        self.may_join()?;
        let members = &self.pool.members;
        let (ordinal, disk, unit_count_min) = match number {
            Some(number) => {
                let member = members
                    .iter()
                    .find(|member| member.ordinal + 1 == number)
                    .ok_or(DiskRefusal::NoSuchDisk { number })?;
                if member.state == MemberState::Active {
                    return Err(DiskRefusal::Healthy { number });
                }
                (
                    member.ordinal,
                    member.disk,
                    self.pool.unit_count_needed(member.disk),
                )
            }
            None => {
                may_grow(members.len())?;
                let ordinal = u16::try_from(members.len()).unwrap_or(u16::MAX);
                let mut id = [0; 16];
                self.world.entropy.fill(&mut id);
                (ordinal, DiskId::new(id), self.pool.segment_units)
            }
        };
        let label = self.pool.static_label(ordinal, disk);
        let label = label.ok_or(DiskRefusal::ReadOnly)?;
        Ok(Offer {
            label,
            unit_count_min,
        })
    }

    /// One disk at a time, and only while the pool takes writes.
    fn may_join(&self) -> Result<(), DiskRefusal> {
        match &self.fill {
            _ if self.stranded => Err(DiskRefusal::Rebuilding),
            _ if self.read_only.is_some() => Err(read_only_refusal(self.read_only.as_ref())),
            Some(fill) => {
                let number = self.pool.number_of(fill.disk);
                Err(DiskRefusal::Filling { number })
            }
            None => match self.drain_progress() {
                Some((disk, _)) => {
                    let number = self.pool.number_of(disk);
                    Err(DiskRefusal::Draining { number })
                }
                None => Ok(()),
            },
        }
    }

    /// Takes a disk that joins; it is filled from here on. Appends what is to be done.
    ///
    /// # Errors
    /// Why it cannot join; the pool is as it was then.
    pub fn attach(
        &mut self,
        now: Now,
        attachment: Attachment,
        actions: &mut Vec<Action>,
    ) -> Result<(), DiskRefusal> {
        self.now = now;
        self.take_in(attachment)?;
        self.pump();
        self.io.drain(actions);
        Ok(())
    }

    fn take_in(&mut self, attachment: Attachment) -> Result<(), DiskRefusal> {
        self.may_join()?;
        let ordinal = match self.pool.member(attachment.disk) {
            Some(member) if member.state == MemberState::Active => {
                let number = member.ordinal + 1;
                return Err(DiskRefusal::Healthy { number });
            }
            Some(member) => usize::from(member.ordinal),
            None => self.pool.members.len(),
        };
        let ordinal_number = u16::try_from(ordinal).unwrap_or(u16::MAX);
        let number = ordinal_number.saturating_add(1);
        let epoch = self.journal.started();
        attachment.age.check(self.pool.opening, epoch, number)?;
        let needed = self.pool.unit_count_needed(attachment.disk);
        let has = attachment.geometry.unit_count().get();
        if has < needed {
            let unit = u64::from(self.pool.unit_bytes);
            return Err(DiskRefusal::TooSmall {
                missing_bytes: u64::from(needed - has) * unit,
            });
        }
        let mut member = Member::new(attachment.disk, ordinal_number, Some(attachment.geometry));
        member.slot = Some(attachment.slot);
        member.name = attachment.name;
        member.serial = attachment.serial;
        member.state = MemberState::Joining;
        member.reason = Some("it is being filled");
        member.came_blank = attachment.age.generation.is_zero();
        if self.pool.doubted.is_some() {
            member.label_units = attachment.age.units.get();
        }
        if let Some(old) = self.pool.members.get_mut(ordinal) {
            member.last_generation = old.last_generation;
            member.voter = old.voter;
            if !attachment.age.generation.is_zero() {
                // The very disk, which is no better for having been away.
                member.forgotten_frames = old.forgotten_frames;
            }
            *old = member;
        } else {
            self.pool.members.push(member);
        }
        // A generation is never written twice. The next labels are promised first.
        self.pool.generation = self.pool.generation.max(attachment.age.generation);
        self.pool.count_units_of(attachment.disk);
        self.begin_fill(attachment.disk, attachment.slot);
        Ok(())
    }

    fn begin_fill(&mut self, disk: DiskId, slot: DiskSlot) {
        let on_it =
            |info: &crate::pool::SegmentInfo| info.places.iter().any(|place| place.disk == disk);
        let unit = u64::from(self.pool.unit_bytes);
        let mut queue = FillQueue::default();
        let mut bytes = 0;
        let in_use = self.segments_in_use();
        // One that was allocated and given up is neither closed nor in use; nothing is in it.
        let counts = |id: &SegmentId, info: &crate::pool::SegmentInfo| {
            info.is_written() && (info.data_end.is_some() || in_use.contains(id))
        };
        for (id, info) in self
            .pool
            .segments
            .iter()
            .filter(|(id, info)| counts(id, info) && on_it(info))
        {
            queue.insert(self.rank_to_fill(*id, info), *id);
            bytes += u64::from(info.units) * unit;
        }
        self.fill = Some(Fill {
            disk,
            slot,
            stage: Stage::Keys(0),
            progress: FillProgress {
                segments: queue.len() as u64,
                bytes,
                ..FillProgress::default()
            },
            queue,
            holed: Vec::new(),
            started_ms: self.now.monotonic_ms,
        });
        if self
            .pool
            .segments
            .get(&self.journal.segment())
            .is_some_and(on_it)
        {
            // What is appended to it goes to the others only: it is copied once it is closed.
            self.journal.renew(&mut self.pool);
        }
        self.write_key_copy();
    }

    /// Writes the next copy of the key state, or goes on to the segments.
    fn write_key_copy(&mut self) {
        let Some(fill) = self.fill.as_mut() else {
            return;
        };
        let Stage::Keys(copy) = fill.stage else {
            return;
        };
        if copy == KEYSTATE_COPIES {
            fill.stage = Stage::Segments;
            return;
        }
        let (disk, slot) = (fill.disk, fill.slot);
        let geometry = self.pool.member(disk).and_then(|member| member.geometry);
        let sealed = self.keys.seal(&*self.world.keys, self.pool.id);
        let image = match (sealed, geometry) {
            (Ok(sealed), Some(geometry)) => sealed.image(self.pool.id, disk, &geometry, copy).ok(),
            _ => None,
        };
        let Some((offset, data)) = image else {
            return self.fail_fill("its key state could not be sealed");
        };
        let op = Op::WriteDurable {
            offset: offset.get(),
            data,
        };
        self.io.submit(slot, op, Purpose::Fill);
    }

    /// A key-state copy is durable on the disk being filled.
    pub(super) fn key_copy_written(&mut self, slot: DiskSlot, error: Option<DiskError>) {
        if let Some(error) = error {
            return self.fail_member(slot, &error);
        }
        if let Some(fill) = self.fill.as_mut().filter(|fill| fill.slot == slot)
            && let Stage::Keys(copy) = fill.stage
        {
            fill.stage = Stage::Keys(copy + 1);
            self.write_key_copy();
        }
    }

    /// Segments that are open or allocated to be.
    pub(super) fn segments_in_use(&self) -> Vec<SegmentId> {
        let mut in_use = self.lane.open_segments();
        in_use.push(self.journal.segment());
        in_use.extend(self.journal.prepared());
        in_use
    }

    /// The next segment of the disk being filled; one that is still being written or sealed waits.
    pub(super) fn next_to_fill(&mut self) -> Option<(SegmentId, DiskId)> {
        let fill = self
            .fill
            .as_mut()
            .filter(|fill| fill.stage == Stage::Segments)?;
        let disk = fill.disk;
        let mut queue = std::mem::take(&mut fill.queue);
        let found = self.first_to_fill(&mut queue);
        if let Some(fill) = &mut self.fill {
            fill.queue = queue;
        }
        Some((found?, disk))
    }

    /// The first of these that can be read now; those before it that are no more, since they were never begun, are
    /// taken out. Of many thousands few are looked at.
    fn first_to_fill(&self, queue: &mut FillQueue) -> Option<SegmentId> {
        let unfinished = self.lane.open_segments();
        let ending = self.healer.ending();
        let (mut gone, mut found) = (Vec::new(), None);
        for segment in queue.iter() {
            let Some(info) = self.pool.segments.get(&segment) else {
                gone.push(segment);
                continue;
            };
            let waits = ending == Some(segment) || self.rests_unheard(segment);
            let closed = info.data_end.is_some() && !waits;
            if closed && self.is_readable(segment, info, &unfinished) {
                found = Some(segment);
                break;
            }
        }
        for segment in gone {
            queue.remove(segment);
        }
        found
    }

    /// A segment is on the disk being filled, as far as any copy could give it.
    pub(super) fn filled(&mut self, segment: SegmentId, whole: bool, bytes_written: u64) {
        let unit = u64::from(self.pool.unit_bytes);
        let Some(fill) = self.fill.as_mut() else {
            return;
        };
        fill.queue.remove(segment);
        if !whole {
            fill.holed.push(segment);
        }
        fill.progress.segments_done += 1;
        fill.progress.bytes_written += bytes_written;
        if let Some(info) = self.pool.segments.get_mut(&segment) {
            fill.progress.bytes_done += u64::from(info.units) * unit;
            if bytes_written > 0 {
                // The new copy is to be read again soon.
                info.was_copied(self.clock.latest());
            }
        }
    }

    /// Lets the filled disk take part once nothing is left to copy.
    pub(super) fn pump_fill(&mut self) {
        let ready = |fill: &&mut Fill| {
            let whole = fill.queue.is_empty() || on(Plant::JoinBeforeFilled);
            fill.stage == Stage::Segments && whole
        };
        if self.relabelling || self.labels.is_running() || self.read_only.is_some() {
            return;
        }
        // The open segment is on one disk still, though two take part: a third could start without it.
        if self.journal.quorum() < self.pool.needed() {
            return;
        }
        let Some(fill) = self.fill.as_mut().filter(ready) else {
            return;
        };
        fill.stage = Stage::Activating;
        let disk = fill.disk;
        if let Some(member) = self
            .pool
            .members
            .iter_mut()
            .find(|member| member.disk == disk)
        {
            member.state = MemberState::Active;
            member.reason = None;
        }
        self.relabelling = true;
        self.start_label_update();
    }

    /// Every member's label says who takes part, and whether that is another set than before.
    pub(super) fn labels_in_force(&mut self, members_changed: bool) {
        let filled = self.settle_fill(members_changed);
        let drained = self.drain_ended(members_changed);
        if !filled && !drained {
            return;
        }
        let body = member_body(&self.pool);
        self.journal.push_own(Draft::of_engine(
            stele_format::record::RecordType::Member,
            body,
        ));
        // The open segment lies on the others: the next one is on the new disk too.
        self.journal.renew(&mut self.pool);
    }

    /// The labels that were on their way are on every disk; says whether a filled disk takes part since. Where
    /// that is another set of disks than before, labels that say so follow: until these are on every disk too, a
    /// start needs most of the disks that took part before.
    fn settle_fill(&mut self, members_changed: bool) -> bool {
        self.fill.take_if(|fill| fill.stage == Stage::Settling);
        let activating = |fill: &&mut Fill| fill.stage == Stage::Activating;
        let Some(fill) = self.fill.as_mut().filter(activating) else {
            return false;
        };
        fill.stage = Stage::Settling;
        let (disk, mut suspects) = (fill.disk, std::mem::take(&mut fill.holed));
        if !members_changed {
            self.fill = None;
        }
        // The open segment may have promised it a copy while there was one disk alone.
        let open = self.journal.segment();
        if self.pool.lies_on(open, disk) {
            suspects.push(open);
        }
        self.suspect_holes(&suspects);
        true
    }

    /// A disk that takes part already was expelled: its filling has nothing left to settle.
    pub(super) fn forget_fill(&mut self, slot: DiskSlot) {
        self.fill.take_if(|fill| fill.slot == slot);
    }

    /// A write to this disk failed.
    pub(super) fn fail_member(&mut self, slot: DiskSlot, error: &DiskError) {
        self.expel(slot, error);
    }

    pub(super) fn fail_fill(&mut self, reason: &'static str) {
        let Some(fill) = self.fill.take() else {
            return;
        };
        if let Some(member) = self
            .pool
            .members
            .iter_mut()
            .find(|member| member.disk == fill.disk)
        {
            member.state = MemberState::Expelled;
            member.reason = Some(reason);
            self.alarms.disk_left(member, self.clock.latest());
        }
        self.heal_abandon(fill.disk);
        self.heal_forget(fill.slot);
    }

    /// What is printed on the drives of the disks, by number, for who opens the vault again.
    pub fn serials(&self) -> impl Iterator<Item = (u16, String)> {
        let members = self.pool.members.iter();
        members.filter_map(|member| Some((member.ordinal + 1, member.serial.clone()?)))
    }

    /// The disk being filled, and how far it has come.
    pub(crate) fn fill_progress(&self) -> Option<(DiskId, FillProgress)> {
        let fill = self.fill.as_ref()?;
        let mut progress = fill.progress;
        progress.elapsed_ms = self.now.monotonic_ms.saturating_sub(fill.started_ms);
        Some((fill.disk, progress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_grows_from_two_disks_to_as_many_as_the_format_has() {
        assert_eq!(may_grow(1), Err(DiskRefusal::CountFixed));
        assert_eq!(may_grow(2), Ok(()));
        assert_eq!(may_grow(MEMBERS_MAX - 1), Ok(()));
        assert_eq!(
            may_grow(MEMBERS_MAX),
            Err(DiskRefusal::CountMax { disks_max: 32 })
        );
    }

    #[test]
    fn a_full_vault_is_not_told_to_plug_in_what_is_missing() {
        let full = read_only_refusal(Some(&ReadOnlyReason::Full));
        assert_eq!(full, DiskRefusal::ReadOnlyForGood);
        let few = ReadOnlyReason::TooFewDisks {
            present: 1,
            needed: 2,
            missing: String::new(),
            idle: String::new(),
        };
        assert_eq!(read_only_refusal(Some(&few)), DiskRefusal::ReadOnly);
    }
}
