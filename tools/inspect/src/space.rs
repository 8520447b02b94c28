//! Which segments hold what, as far as records tell, and whether a segment is given up in which something lives.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::{Body, Part, RecordHeader, SegmentSpan, Trim};
use stele_format::units::{LogIndex, SegmentId, UploadId};

/// What is wrong with a record about space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceFault {
    /// Segments are given up in which the content of this record may lie, and nothing destroyed that.
    Living(LogIndex),
    /// Segments are given up that are the journal's, or the newest of all; or wiped and not given up.
    Stranger,
}

/// Spans of everything that lives: versions, and the parts of uploads that go on.
#[derive(Debug, Default)]
pub struct Space {
    /// In the order of the log; none of what has a tombstone, until it is taken out.
    versions: Vec<(LogIndex, Option<SegmentSpan>)>,
    parts: BTreeMap<UploadId, BTreeMap<u16, (LogIndex, SegmentSpan)>>,
    journal: BTreeSet<SegmentId>,
    newest: SegmentId,
    given_up: BTreeSet<SegmentId>,
}

impl Space {
    /// Takes in the next record; says what is wrong with it.
    pub fn take(&mut self, header: &RecordHeader, body: &Body) -> Vec<SpaceFault> {
        match body {
            Body::Alloc(alloc) if alloc.lane.is_journal() => {
                self.journal.insert(alloc.segment);
            }
            Body::Alloc(alloc) => self.newest = self.newest.max(alloc.segment),
            Body::Commit(commit) | Body::Complete(commit, _) => {
                if let Some(span) = commit.placement.span() {
                    self.versions.push((header.log_index, Some(span)));
                }
                if let Body::Complete(_, upload) = body {
                    self.parts.remove(upload);
                }
            }
            Body::Part(part) => self.part(header, part),
            Body::Abort => {
                self.parts.remove(&UploadId::from(header.version));
            }
            Body::Tombstone(tombstone) => {
                for entry in &tombstone.entries {
                    self.destroy(entry.version.ordinal());
                }
            }
            Body::Trim(trim) => return self.trim(trim),
            _ => {}
        }
        Vec::new()
    }

    fn destroy(&mut self, version: LogIndex) {
        let found = self
            .versions
            .binary_search_by_key(&version, |(record, _)| *record);
        if let Ok(at) = found {
            self.versions[at].1 = None;
        }
    }

    fn part(&mut self, header: &RecordHeader, part: &Part) {
        let upload = UploadId::from(header.version);
        let parts = self.parts.entry(upload).or_default();
        // A later part of the same number takes the place of this one, wherever that lies.
        match part.placement.span() {
            Some(span) => parts.insert(part.number, (header.log_index, span)),
            None => parts.remove(&part.number),
        };
    }

    fn trim(&mut self, trim: &Trim) -> Vec<SpaceFault> {
        let segments: BTreeSet<SegmentId> = trim.segments().iter().copied().collect();
        if let Trim::Done { .. } = trim {
            let known = segments.is_subset(&self.given_up);
            return (!known)
                .then_some(SpaceFault::Stranger)
                .into_iter()
                .collect();
        }
        let (journal, newest) = (&self.journal, self.newest);
        let stranger = |segment: &SegmentId| journal.contains(segment) || *segment == newest;
        let mut faults = Vec::new();
        faults.extend(
            segments
                .iter()
                .any(stranger)
                .then_some(SpaceFault::Stranger),
        );
        // What was destroyed once never lives again.
        self.versions.retain(|(_, span)| span.is_some());
        let versions = self.versions.iter();
        let versions = versions.filter_map(|(record, span)| Some((*record, (*span)?)));
        let parts = self.parts.values().flat_map(BTreeMap::values).copied();
        let hit = versions
            .chain(parts)
            .filter(|(_, span)| meets(*span, &segments));
        faults.extend(hit.map(|(record, _)| SpaceFault::Living(record)));
        self.given_up.extend(segments);
        faults
    }

    /// Data segments of which nothing is expected any more.
    pub fn given_up(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let all = self.given_up.iter();
        all.copied()
            .filter(|segment| !self.journal.contains(segment))
    }
}

/// Whether a span has any of them.
fn meets(span: SegmentSpan, segments: &BTreeSet<SegmentId>) -> bool {
    segments.range(span.first()..=span.last()).next().is_some()
}
