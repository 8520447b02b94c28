//! What an inspection found, and what follows from it.
//!
//! Damage on any disk gives verdict 1, whatever else is true. Without damage, a path that cannot be
//! judged gives verdict 2. Notes never change the verdict.

use std::collections::HashSet;

use serde::Serialize;
use stele_format::units::{FrameIndex, SegmentId};

use crate::limits::{DAMAGE_COUNT_MAX, NOTE_COUNT_MAX};

/// Part of a disk a damage lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// One of the four labels.
    Label,
    /// The key-state area.
    KeyState,
    /// The index area. Its content is encrypted and rebuilt at need, so it is never judged.
    Index,
    /// A segment: journal or data.
    Segment,
}

impl Area {
    /// The word operators and scripts see.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::KeyState => "key state",
            Self::Index => "index",
            Self::Segment => "segment",
        }
    }
}

/// Exit status and verdict in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every present disk is clean.
    Clean,
    /// At least one damage.
    Damage,
    /// Something could not be judged.
    CannotJudge,
}

impl Verdict {
    /// The number scripts see.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Damage => 1,
            Self::CannotJudge => 2,
        }
    }
}

/// State of one disk in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    /// Present and without damage.
    Clean,
    /// Present, with damage.
    Damaged,
    /// Present, but the pool went on without it.
    Stale,
    /// A member that was not given.
    Missing,
    /// Given, but not judgeable: not a disk of this format, or of an unknown version.
    Unjudged,
}

impl DiskState {
    /// The word operators and scripts see.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Damaged => "damaged",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Unjudged => "cannot judge",
        }
    }
}

/// One damage, located.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The disk, by place in [`Report::disks`].
    pub disk: usize,
    /// Which part of it.
    pub area: Area,
    /// Segment, in segments.
    pub segment: Option<SegmentId>,
    /// Frame, where the damage lies in one.
    pub frame: Option<FrameIndex>,
    /// What is wrong, for an operator.
    pub what: String,
    /// Whether another present disk holds these bytes intact.
    pub good_copy: bool,
}

/// One disk of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskReport {
    /// File or device as given; for a missing disk, words with its id.
    pub file: String,
    /// Its id, when known.
    pub id: Option<String>,
    /// Its state.
    pub state: DiskState,
    /// What is worth saying and no damage.
    pub notes: Vec<String>,
}

/// Counts and roots of a whole inspection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The pool.
    pub pool: Option<String>,
    /// Newest label generation.
    pub generation: u64,
    /// Newest epoch in the labels.
    pub epoch: u32,
    /// Segments with at least one copy seen.
    pub segments: u64,
    /// Frames of those segments, each counted once.
    pub frames: u64,
    /// Records of the journal.
    pub records: u64,
    /// Chunks that the journal cites.
    pub chunks: u64,
    /// Bytes read and checked over all disks.
    pub bytes_verified: u64,
    /// Size of the log.
    pub log_size: u64,
    /// Records before forced openings that no disk had then, and that people gave up.
    pub given_up: Vec<GivenUpRecords>,
    /// Its RFC 6962 root; none when lost records make it unknown.
    pub log_root: Option<String>,
}

/// Records that people gave up when they forced the vault open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GivenUpRecords {
    /// The opening.
    pub opening: u32,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// The whole result of an inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What follows.
    pub verdict: Verdict,
    /// Every disk given, then the missing ones.
    pub disks: Vec<DiskReport>,
    /// Every damage, by disk, area, segment and frame.
    pub damage: Vec<Damage>,
    /// Damages beyond the limit of the list.
    pub damage_left_out: u64,
    /// What concerns no single disk and is no damage.
    pub notes: Vec<String>,
    /// Counts and roots.
    pub totals: Totals,
}

/// Gathers findings while an inspection runs.
#[derive(Debug, Default)]
pub struct Ledger {
    disks: Vec<DiskReport>,
    damage: Vec<Damage>,
    known: HashSet<(usize, Area, Option<SegmentId>, Option<FrameIndex>)>,
    left_out: u64,
    notes: Vec<String>,
    notes_left_out: Vec<u64>,
    /// Counts and roots so far.
    pub totals: Totals,
}

impl Ledger {
    /// Adds a disk; its place is the number of disks before it.
    pub fn add_disk(&mut self, file: String, id: Option<String>, state: DiskState) -> usize {
        self.disks.push(DiskReport {
            file,
            id,
            state,
            notes: Vec::new(),
        });
        self.notes_left_out.push(0);
        self.disks.len() - 1
    }

    /// The state of a disk as known so far.
    #[must_use]
    pub fn state(&self, disk: usize) -> DiskState {
        self.disks[disk].state
    }

    /// Says which disk it is.
    pub fn set_id(&mut self, disk: usize, id: String) {
        self.disks[disk].id = Some(id);
    }

    /// Changes the state of a disk.
    pub fn set_state(&mut self, disk: usize, state: DiskState) {
        self.disks[disk].state = state;
    }

    /// Notes something about one disk.
    pub fn note(&mut self, disk: usize, text: impl Into<String>) {
        let notes = &mut self.disks[disk].notes;
        let text = text.into();
        if notes.contains(&text) {
            return;
        }
        if notes.len() < NOTE_COUNT_MAX {
            notes.push(text);
        } else {
            self.notes_left_out[disk] += 1;
        }
    }

    /// Notes something about the pool.
    pub fn note_pool(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.notes.len() < NOTE_COUNT_MAX && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Records a damage. A second one at the same place says nothing new and is dropped, except in
    /// labels, where the text tells one block from another.
    pub fn damage(&mut self, damage: Damage) {
        let key = (damage.disk, damage.area, damage.segment, damage.frame);
        let fresh = self.known.insert(key);
        if !fresh && (damage.area == Area::Segment || self.damage.contains(&damage)) {
            return;
        }
        if self.damage.len() < DAMAGE_COUNT_MAX {
            self.damage.push(damage);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether a frame of some segment is damaged and no present disk has a good copy.
    #[must_use]
    pub fn has_lost_frames(&self) -> bool {
        self.damage
            .iter()
            .any(|d| d.area == Area::Segment && d.frame.is_some() && !d.good_copy)
    }

    /// Whether damage is known somewhere in a segment, or from a frame of it on.
    #[must_use]
    pub fn names(&self, segment: SegmentId, from: Option<FrameIndex>) -> bool {
        self.damage.iter().any(|damage| {
            let there = from.is_none() || damage.frame >= from;
            damage.segment == Some(segment) && there
        })
    }

    /// Whether something given could not be judged.
    #[must_use]
    pub fn has_unjudged(&self) -> bool {
        self.disks
            .iter()
            .any(|disk| disk.state == DiskState::Unjudged)
    }

    /// Closes the books.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for damage in &self.damage {
            self.disks[damage.disk].state = DiskState::Damaged;
        }
        for (disk, left_out) in self.disks.iter_mut().zip(&self.notes_left_out) {
            if *left_out > 0 {
                disk.notes
                    .push(format!("{left_out} more notes are not listed"));
            }
        }
        self.damage
            .sort_by_key(|d| (d.disk, d.area, d.segment, d.frame));
        let unjudged = self.has_unjudged();
        let verdict = match (self.damage.is_empty(), unjudged) {
            (false, _) => Verdict::Damage,
            (true, true) => Verdict::CannotJudge,
            (true, false) => Verdict::Clean,
        };
        Report {
            verdict,
            disks: self.disks,
            damage: self.damage,
            damage_left_out: self.left_out,
            notes: self.notes,
            totals: self.totals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Damage, DiskState, Ledger, Verdict};

    fn damage(disk: usize) -> Damage {
        Damage {
            disk,
            area: Area::Label,
            segment: None,
            frame: None,
            what: "static block".into(),
            good_copy: true,
        }
    }

    #[test]
    fn damage_outranks_what_cannot_be_judged() {
        for (damaged, unjudged, verdict) in [
            (false, false, Verdict::Clean),
            (false, true, Verdict::CannotJudge),
            (true, false, Verdict::Damage),
            (true, true, Verdict::Damage),
        ] {
            let mut ledger = Ledger::default();
            let first = ledger.add_disk("a".into(), None, DiskState::Clean);
            let state = if unjudged {
                DiskState::Unjudged
            } else {
                DiskState::Missing
            };
            ledger.add_disk("b".into(), None, state);
            if damaged {
                ledger.damage(damage(first));
                ledger.damage(damage(first));
            }
            let report = ledger.finish();
            assert_eq!(report.verdict, verdict);
            assert_eq!(report.damage.len(), usize::from(damaged));
            assert_eq!(report.disks[0].state == DiskState::Damaged, damaged);
        }
    }
}
