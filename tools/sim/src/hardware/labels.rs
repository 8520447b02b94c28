//! What the labels of all disks say, also of those that are away: more than any start can see.

use stele_format::label::{DynamicLabel, MemberState};
use stele_format::units::DiskId;
use stele_store::recovery::read_label;
use stele_store::status::Status;

use super::{Hardware, Slot};
use crate::error::Violation;

impl Hardware {
    /// Of the disks that take part by the last label that was in force, how many are here; in pools where
    /// any subset may be. None where that label cannot be told.
    ///
    /// Nothing is acknowledged under a label before every disk that it calls active carries it: one that an
    /// interrupted update left on some of them binds nobody.
    #[must_use]
    pub fn label_picture(&self) -> Option<(usize, usize)> {
        let any = self.slots.iter().any(|slot| !slot.present);
        if !any || self.slots.len() < 4 {
            return None;
        }
        let labels = self.labels();
        let newest = newest(&labels)?;
        let in_force = labels.iter().filter(|label| was_in_force(label, &labels));
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

    /// The label of every disk, also of those that others took the place of.
    fn labels(&self) -> Vec<DynamicLabel> {
        let lost = self.slots.iter().filter_map(|slot| slot.lost.as_ref());
        let lost = lost.map(|lost| &lost.handle);
        let disks = self.slots.iter().map(|slot| &slot.handle).chain(lost);
        disks
            .filter_map(|handle| read_label(&mut handle.open())?.dynamic)
            .collect()
    }
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
