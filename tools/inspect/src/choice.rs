//! Which label of a pool counts.
//!
//! The highest generation does, but for labels that were cut short and under which nothing was acknowledged:
//! one that a start begins with, and one that only adds disks to the voters it names, where a disk that should
//! have it shows that it never came so far; and one that a start begins with, if at least half of its disks are
//! here and belong to the pool without it. They are looked behind, on the disks that carry them.

use stele_format::label::{DynamicLabel, LabelPhase, MemberState};
use stele_format::units::{DiskId, Generation, Opening};

use crate::labels::DiskLabels;

/// The labels that count: one, or several of which nobody can tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// None on disks without labels.
    pub labels: Vec<DynamicLabel>,
    /// The newest generation known to have come in force.
    pub in_force: Generation,
    /// How often the vault was forced open.
    pub opening: Opening,
}

impl Choice {
    /// Whether a disk takes part, whichever of the labels counts.
    #[must_use]
    pub fn is_active(&self, disk: DiskId) -> bool {
        self.labels.iter().all(|label| is_active(label, disk))
    }

    /// Whether a disk was left behind by a forced opening. Not so if the start of that was cut in its last labels, of which
    /// the disk has the one before.
    #[must_use]
    pub fn is_left_behind(&self, disk: &DiskLabels) -> bool {
        let counts = self.labels.first().map(|label| label.epoch);
        // It may have segments of an opening of the same number that was begun with it alone, and cut.
        let mut few = disk.statements().filter(|label| label.begins_with_few());
        let apart = few.any(|label| Some(label.epoch) > counts);
        let own = self.last_word(disk);
        own.is_some_and(|own| own.opening() < self.opening && (counts != Some(own.epoch) || apart))
    }

    /// How far a disk came.
    #[must_use]
    pub fn reached(&self, disk: &DiskLabels) -> Generation {
        let own = self.last_word(disk);
        own.map_or(Generation::ZERO, |label| label.generation)
    }

    /// What a disk says of itself last: by labels of starts that were completed, and of the one that counts. Those of
    /// others that were cut say nothing of it.
    fn last_word<'d>(&self, disk: &'d DiskLabels) -> Option<&'d DynamicLabel> {
        let counts = self.labels.first().map(|label| label.epoch);
        let says =
            |own: &&DynamicLabel| own.phase == LabelPhase::Running || Some(own.epoch) == counts;
        disk.statements().find(says)
    }

    /// Disks that are not here and would tell which label counts.
    #[must_use]
    pub fn telling(&self, disks: &[&DiskLabels]) -> Vec<DiskId> {
        if self.labels.len() < 2 {
            return Vec::new();
        }
        let mut telling: Vec<DiskId> = self.labels.iter().flat_map(active).collect();
        telling.retain(|disk| !disks.iter().any(|here| here.disk() == *disk));
        telling.sort_unstable();
        telling.dedup();
        telling
    }
}

/// Decides by the labels of the disks that are here.
#[must_use]
pub fn choose(disks: &[&DiskLabels]) -> Choice {
    let opening = disks.iter().map(|disk| disk.opening()).max();
    let opening = opening.unwrap_or_default();
    let stated = disks.iter().flat_map(|disk| disk.statements());
    let stated = stated.filter(|label| label.opening() == opening);
    let look = Look {
        disks,
        opening,
        stated: stated.map(|label| label.in_force).max().unwrap_or_default(),
    };
    let mut forgotten: Vec<&DynamicLabel> = Vec::new();
    for label in disks.iter().flat_map(|disk| look.statements(disk)) {
        if look.is_forgettable(label) && look.is_cut_short(label) {
            forgotten.push(label);
        }
    }
    let mut labels = look.choose(&forgotten);
    if labels.is_empty() {
        labels = look.choose(&[]);
    }
    let whole = labels.first().filter(|label| look.is_everywhere(label));
    let in_force = whole.map_or(look.stated, |label| label.generation.max(look.stated));
    Choice {
        in_force,
        opening,
        labels: labels.into_iter().cloned().collect(),
    }
}

fn active(label: &DynamicLabel) -> impl Iterator<Item = DiskId> {
    let members = label.members.iter();
    let members = members.filter(|member| member.state == MemberState::Active);
    members.map(|member| member.disk)
}

fn is_active(label: &DynamicLabel, disk: DiskId) -> bool {
    active(label).any(|active| active == disk)
}

fn says(one: &DynamicLabel, other: &DynamicLabel) -> bool {
    (one.generation, one.epoch, &one.members) == (other.generation, other.epoch, &other.members)
}

/// The disks that are here.
struct Look<'d> {
    disks: &'d [&'d DiskLabels],
    /// Labels of a lower one say nothing.
    opening: Opening,
    stated: Generation,
}

impl<'d> Look<'d> {
    /// What a disk states, newest first, since the vault was last forced open.
    fn statements(&self, disk: &'d DiskLabels) -> impl Iterator<Item = &'d DynamicLabel> {
        let opening = self.opening;
        disk.statements()
            .filter(move |label| label.opening() == opening && !label.begins_with_few())
    }

    fn newest_on(&self, disk: DiskId) -> Option<&'d DynamicLabel> {
        let of_it = self.disks.iter().find(|here| here.disk() == disk);
        of_it.and_then(|here| self.statements(here).next())
    }

    /// Whether a label came too early to be needed, if it was cut short.
    fn is_forgettable(&self, label: &DynamicLabel) -> bool {
        let (mut more, mut less) = (false, false);
        for member in &label.members {
            let active = member.state == MemberState::Active;
            more |= active && !member.voter;
            less |= !active && member.voter;
        }
        label.phase == LabelPhase::Begin || (more && !less)
    }

    /// Whether some disk that should have it is here, is no old copy, and never had it.
    fn is_cut_short(&self, label: &DynamicLabel) -> bool {
        let newest = active(label).filter_map(|disk| self.newest_on(disk));
        let mut newest = newest.filter(|own| own.generation >= self.stated);
        let never = |own: &DynamicLabel| own.generation <= label.generation && !says(own, label);
        let bare = |disk: DiskId| {
            self.disks
                .iter()
                .any(|here| here.disk() == disk && here.is_bare())
        };
        newest.any(never) || active(label).any(bare)
    }

    fn is_everywhere(&self, label: &DynamicLabel) -> bool {
        let has_it = |disk: DiskId| {
            let mut here = self.disks.iter().filter(|here| here.disk() == disk);
            here.any(|here| self.statements(here).any(|own| says(own, label)))
        };
        label.phase == LabelPhase::Running && active(label).all(has_it)
    }

    /// The labels that count if these were never written.
    fn choose(&self, forgotten: &[&'d DynamicLabel]) -> Vec<&'d DynamicLabel> {
        let remembered = |label: &&DynamicLabel| !forgotten.iter().any(|gone| says(gone, label));
        let tops = self.disks.iter();
        let tops = tops.filter_map(|disk| self.statements(disk).find(remembered));
        let tops: Vec<&DynamicLabel> = tops.collect();
        let Some(highest) = tops.iter().map(|label| label.generation).max() else {
            return Vec::new();
        };
        let mut labels: Vec<&DynamicLabel> = Vec::new();
        for label in tops.iter().filter(|label| label.generation == highest) {
            if !labels.iter().any(|known| says(known, label)) {
                labels.push(label);
            }
        }
        let rivals = labels.clone();
        let standing = |label: &&DynamicLabel| !self.is_cut_short(label);
        if rivals.len() > 1 && rivals.iter().any(standing) {
            labels.retain(standing);
        } else {
            labels.truncate(1);
        }
        let [label] = labels[..] else { return labels };
        if label.phase != LabelPhase::Begin {
            return labels;
        }
        let before = self.choose(&[forgotten, &rivals].concat());
        match before[..] {
            [before] if self.is_free_of(label, before) => vec![before],
            _ => labels,
        }
    }

    /// Whether half of the disks of a start that told nobody anything belong to the label before it.
    fn is_free_of(&self, label: &DynamicLabel, before: &DynamicLabel) -> bool {
        let belongs = |disk: &DiskId| {
            let own = self.newest_on(*disk);
            own.is_some_and(|own| own.generation >= self.stated) && is_active(before, *disk)
        };
        let (here, all) = (active(label).filter(belongs).count(), active(label).count());
        2 * here >= all && before.generation >= self.stated
    }
}
