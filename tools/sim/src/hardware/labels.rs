//! What the labels of all disks say, also of those that are away: more than any start can see.

use stele_device::sim::disk::SimDiskHandle;
use stele_format::label::{
    DynamicLabel, LabelCopy, LabelCopyBytes, LabelPhase, MemberState, read_best,
};
use stele_format::limits::LABEL_COPY_BYTES;
use stele_format::units::{ByteCount, DiskId};
use stele_store::pool::MemberState as PoolState;
use stele_store::recovery::read_label;
use stele_store::status::{DiskStatus, Status};

use super::{Hardware, Slot};
use crate::error::Violation;
use crate::limits::DISK_BYTES;

impl Hardware {
    /// Of the disks that take part by the last label that was in force, how many are here; in pools where
    /// any subset may be. None where that label cannot be told.
    ///
    /// Nothing is acknowledged under a label before every disk that it calls active carries it: one that an
    /// interrupted update left on some of them binds nobody. Nor is anything under one that a start begins with.
    #[must_use]
    pub fn label_picture(&self) -> Option<(usize, usize)> {
        let any = self.slots.iter().any(|slot| !slot.present);
        if !any || self.slots.len() < 4 {
            return None;
        }
        let labels = self.labels();
        let newest = newest(&labels)?;
        let ran = |label: &&DynamicLabel| label.phase != LabelPhase::Begin;
        let in_force = labels.iter().filter(ran);
        let in_force = in_force.filter(|label| was_in_force(label, &labels));
        let binding = in_force.max_by_key(|label| label.generation)?;
        // After an update that reached all disks but one that joins, the label before it is nowhere.
        if binding.generation.get() + 1 < newest.generation.get() {
            return None;
        }
        let here: Vec<DiskId> = self
            .slots
            .iter()
            .filter(|slot| slot.present)
            .filter_map(|slot| Some(label_of(slot)?.disk))
            .collect();
        let present = active(binding).filter(|disk| here.contains(disk)).count();
        Some((present, active(binding).count()))
    }

    /// Numbers of the disks that lack something, as one that is here tells: it states that every member had a newer
    /// label than theirs, or has one itself that came in force without them.
    #[must_use]
    pub fn known_behind(&self) -> Vec<u16> {
        let all: Vec<DynamicLabel> = self.handles().filter_map(peek).collect();
        let here = || self.slots.iter().filter(|slot| slot.present);
        let labels: Vec<DynamicLabel> = here().filter_map(|slot| peek(&slot.handle)).collect();
        let known = |slot: &&Slot| {
            // Without a label of its own it is no member by anybody's.
            let own = peek(&slot.handle);
            own.is_none_or(|own| labels.iter().any(|label| excludes(label, &own, &all)))
        };
        here().filter(known).map(|slot| slot.number).collect()
    }

    /// A disk takes part by a label that is only written when everything was copied to it. Where a cut left
    /// such a label on any disk, the next start may find that it takes part, or not.
    pub fn note_activations(&mut self) {
        let left = |slot: &Slot| slot.present && slot.behind && slot.blank;
        if !self.slots.iter().any(left) {
            return;
        }
        let labels = self.labels();
        let Some(newest) = newest(&labels) else {
            return;
        };
        for slot in self.slots.iter_mut().filter(|slot| left(slot)) {
            let label = read_label(&mut slot.handle.open());
            if label.is_some_and(|label| active(newest).any(|disk| disk == label.fixed.disk)) {
                (slot.filling, slot.copied) = (true, true);
                (slot.behind, slot.blank) = (false, false);
            }
        }
    }

    /// Whether some disk that is here has a label.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        let here = self.slots.iter().filter(|slot| slot.present);
        here.map(|slot| &slot.handle)
            .any(|handle| peek(handle).is_some())
    }

    /// The label of every disk, also of those that others took the place of.
    fn labels(&self) -> Vec<DynamicLabel> {
        let read = |handle: &SimDiskHandle| read_label(&mut handle.open())?.dynamic;
        self.handles().filter_map(read).collect()
    }

    /// Every disk, also those that others took the place of.
    fn handles(&self) -> impl Iterator<Item = &SimDiskHandle> {
        let lost = self.slots.iter().filter_map(|slot| slot.lost.as_ref());
        let lost = lost.map(|lost| &lost.handle);
        self.slots.iter().map(|slot| &slot.handle).chain(lost)
    }
}

/// The label of a disk, read behind its back: of the steps until a power cut none is used up.
fn peek(handle: &SimDiskHandle) -> Option<DynamicLabel> {
    let read = LabelCopy::ALL.map(|copy| {
        let offset = copy.offset(ByteCount::new(DISK_BYTES));
        let bytes = handle.peek(offset.get(), LABEL_COPY_BYTES as usize);
        (copy, offset, bytes)
    });
    let copies = read.each_ref().map(|(copy, offset, bytes)| LabelCopyBytes {
        copy: *copy,
        offset: *offset,
        bytes,
    });
    read_best(&copies).ok()?.dynamic
}

fn label_of(slot: &Slot) -> Option<DynamicLabel> {
    read_label(&mut slot.handle.open())?.dynamic
}

fn newest(labels: &[DynamicLabel]) -> Option<&DynamicLabel> {
    labels.iter().max_by_key(|label| label.generation)
}

fn active(label: &DynamicLabel) -> impl Iterator<Item = DiskId> {
    let members = label.members.iter();
    let active = members.filter(|member| member.state == MemberState::Active);
    active.map(|member| member.disk)
}

/// Whether every disk that it calls active carries it or a later one. A disk that does not take part by its
/// own label had no voice yet.
fn was_in_force(label: &DynamicLabel, labels: &[DynamicLabel]) -> bool {
    active(label).all(|disk| {
        let own = labels.iter().find(|own| own.disk == disk);
        own.is_none_or(|own| {
            let same = own.generation == label.generation
                && own.epoch == label.epoch
                && own.members == label.members;
            let no_voice = !active(own).any(|active| active == disk);
            same || own.generation > label.generation || no_voice
        })
    })
}

/// Whether a label tells that the disk with that other one lacks something. Under one that a start begins with
/// nothing is acknowledged, though every disk has it.
fn excludes(label: &DynamicLabel, own: &DynamicLabel, all: &[DynamicLabel]) -> bool {
    let names_it = active(label).any(|disk| disk == own.disk);
    let binds = label.phase == LabelPhase::Running && label.generation > own.generation;
    label.in_force > own.generation || (binds && !names_it && was_in_force(label, all))
}

/// No disk takes part that another one that is here knows to lack something.
///
/// # Errors
/// One does.
pub fn check_known(known_behind: &[u16], status: &Status) -> Result<(), Violation> {
    let active = |disk: &&DiskStatus| disk.state == PoolState::Active;
    let mut active = status.disks.iter().filter(active);
    match active.find(|disk| known_behind.contains(&disk.number)) {
        Some(disk) => Err(Violation::Believed {
            disk: disk.name.clone(),
        }),
        None => Ok(()),
    }
}

/// Writes are only taken with more than half of the disks that take part by the last label in force.
///
/// # Errors
/// They are taken with fewer.
pub fn check_majority(labels: Option<(usize, usize)>, status: &Status) -> Result<(), Violation> {
    match labels {
        Some((present, active)) if status.read_only.is_none() && 2 * present <= active => {
            Err(Violation::Minority { present, active })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use stele_format::label::{DynamicLabel, LabelMember, LabelPhase, MemberState};
    use stele_format::units::{DiskId, Epoch, Generation, PoolId, SegmentId, Sequence, UnitCount};

    use super::excludes;

    fn disk(number: u8) -> DiskId {
        DiskId::new([number + 1; 16])
    }

    /// The label of a disk of four: its generation, the one it calls complete, and who takes part by it.
    fn label(number: u8, (generation, in_force): (u64, u64), active: &[u8]) -> DynamicLabel {
        let member = |of: u8| LabelMember {
            disk: disk(of),
            state: match active.contains(&of) {
                true => MemberState::Active,
                false => MemberState::Stale,
            },
            voter: active.contains(&of),
            forgotten_frames: 0,
            last_generation: Generation::new(generation),
        };
        DynamicLabel {
            pool: PoolId::new([9; 16]),
            disk: disk(number),
            generation: Generation::new(generation),
            in_force: Generation::new(in_force),
            epoch: Epoch::new(3),
            watermark: Sequence::ZERO,
            next_segment: SegmentId::new(1),
            units_high_water: UnitCount::new(0),
            clean_stop: false,
            phase: LabelPhase::Running,
            journal_segment: SegmentId::new(1),
            members: (0..4).map(member).collect(),
            cutoffs: Vec::new(),
        }
    }

    #[test]
    fn a_disk_is_known_to_lack_something_by_a_label_that_came_in_force_without_it() {
        let own = label(0, (3, 2), &[0, 1, 2, 3]);
        let without = |number| label(number, (6, 2), &[1, 2, 3]);
        let before = label(3, (3, 2), &[0, 1, 2, 3]);
        let knows = |label: &DynamicLabel, others: &[DynamicLabel]| {
            let all = [&[own.clone(), label.clone()], others].concat();
            excludes(label, &own, &all)
        };
        assert!(knows(&without(1), &[without(2), without(3)]));
        // One that a cut left on some disks tells of nothing, but may tell of one before it.
        assert!(!knows(&without(1), &[without(2), before.clone()]));
        let begun = |number| DynamicLabel {
            phase: LabelPhase::Begin,
            ..without(number)
        };
        assert!(!knows(&begun(1), &[begun(2), begun(3)]));
        let later = label(1, (9, 6), &[1, 2]);
        assert!(knows(&later, &[without(2), without(3)]));
        // It knows no more than the disk itself.
        assert!(!knows(&before, &[without(1), without(2)]));
        assert!(!knows(&own, &[without(1), without(2), without(3)]));
    }
}
