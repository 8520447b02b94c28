//! Which disks take part, by their labels alone: what a start goes by, and what tells of a vault that nothing
//! serves.

use stele_format::label::{DynamicLabel, LabelPhase, LabelReading, MemberState};
use stele_format::units::{DiskId, Generation, Opening};

use super::newest::{Newest, Ring, active, is_complete, newest};
use crate::plants::{Plant, on};

/// What the labels of all disks say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// No disk has a label: the vault was never completely made.
    NotFinished,
    /// Two starts were cut short, and only these disks would tell which of them counts.
    CannotTell {
        /// Which.
        missing: String,
    },
    /// This membership counts.
    One(Membership),
}

/// Who belongs to the pool, and who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The label that counts.
    pub label: DynamicLabel,
    /// How often the vault was forced open: labels from before say nothing.
    pub opening: Opening,
    /// Newest generation known to be on every disk that it calls active.
    pub in_force: Generation,
    /// The membership in force: of these more than half must take part.
    pub voters: Vec<DiskId>,
    /// The disks of each label that was passed over: of these half must take part.
    pub passed: Vec<Vec<DiskId>>,
}

impl Membership {
    /// Whether a disk with this newest label takes part. One that has not had what is known to have come in
    /// force missed writes.
    #[must_use]
    pub fn takes_part(&self, disk: DiskId, reading: Option<&LabelReading>) -> bool {
        // A start that was cut in its last labels left some disks with the label before, of its own epoch.
        let left = |own: &DynamicLabel| {
            own.opening() < self.opening
                && (own.epoch != self.label.epoch || reading.is_some_and(|all| self.was_apart(all)))
        };
        let come = reading.and_then(|reading| self.binding(reading));
        let behind = come.is_none_or(|come| come.generation < self.in_force || left(come));
        let named = self.label.members.iter();
        let mut named = named.filter(|member| member.disk == disk);
        let active = named.any(|member| member.state == MemberState::Active);
        active && (!behind || on(Plant::StaleDiskBelieved))
    }

    /// Whether a forced opening was begun with it since, which may have the number of the one that counts: what it has
    /// of that would seem to be the newest.
    fn was_apart(&self, reading: &LabelReading) -> bool {
        let mut few = reading
            .ring
            .values()
            .filter(|label| label.begins_with_few());
        few.any(|label| label.epoch > self.label.epoch)
    }

    /// How far a disk came.
    #[must_use]
    pub fn reached(&self, reading: &LabelReading) -> Option<Generation> {
        self.binding(reading).map(|newest| newest.generation)
    }

    /// The newest label of a disk that says how far it came: one of a start that was completed, or of the one that
    /// counts. Another that was cut says nothing of it, least of all a forced opening, whose generation leaps.
    fn binding<'r>(&self, reading: &'r LabelReading) -> Option<&'r DynamicLabel> {
        let binds = |own: &&DynamicLabel| match own.phase {
            LabelPhase::Running => true,
            LabelPhase::Begin => own.epoch == self.label.epoch,
            LabelPhase::Promise => false,
        };
        reading.ring.values().rev().find(binds)
    }
}

/// Decides by the labels of the disks that are here, each disk once.
#[must_use]
pub fn choose(readings: &[&LabelReading]) -> Choice {
    let opening = readings.iter().map(|reading| reading.opening()).max();
    let opening = opening.unwrap_or_default();
    let rings: Vec<Ring<'_>> = readings
        .iter()
        .map(|reading| ring(reading, opening))
        .collect();
    let bare = readings.iter().filter(|reading| reading.is_bare());
    let bare: Vec<DiskId> = bare.map(|reading| reading.fixed.disk).collect();
    let (label, passed) = match newest(&rings, &bare) {
        Newest::One { label, passed } => (label, passed),
        Newest::None => return Choice::NotFinished,
        Newest::CannotTell { missing } => return Choice::CannotTell { missing },
    };
    let known = readings.iter().flat_map(|r| statements(r, opening));
    let known = known.map(|label| label.in_force).max().unwrap_or_default();
    // The vault that wrote it on all of them went on with them alone.
    let complete = is_complete(label, &rings);
    let stated = label.members.iter().filter(|member| member.voter);
    Choice::One(Membership {
        in_force: if complete {
            known.max(label.generation)
        } else {
            known
        },
        voters: if complete {
            active(label).collect()
        } else {
            stated.map(|member| member.disk).collect()
        },
        passed: passed.iter().map(|label| active(label).collect()).collect(),
        label: label.clone(),
        opening,
    })
}

/// Labels of a disk that are no promises and not from before the last forced opening, newest first.
fn statements(reading: &LabelReading, opening: Opening) -> impl Iterator<Item = &DynamicLabel> {
    let newest_first = reading.ring.values().rev();
    newest_first
        .filter(move |label| label.phase != LabelPhase::Promise && label.opening() == opening)
}

/// Those of them that bind somebody.
fn ring(reading: &LabelReading, opening: Opening) -> Ring<'_> {
    let stated = statements(reading, opening);
    stated.filter(|label| !label.begins_with_few()).collect()
}
