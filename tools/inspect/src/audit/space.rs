//! Segments that are given up: nothing that lives may lie in them.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::{Body, Part, RecordHeader, SegmentSpan, Trim};
use stele_format::units::{LogIndex, SegmentId, UploadId};

use super::Auditor;
use super::finding::Breach;
use super::versions::At;

/// What lies where, as far as records tell: a version, and the parts of uploads that go on.
#[derive(Debug, Default)]
pub struct Space {
    versions: Vec<(At, SegmentSpan)>,
    parts: BTreeMap<UploadId, BTreeMap<u16, (LogIndex, SegmentSpan)>>,
    given_up: BTreeSet<SegmentId>,
}

impl Space {
    /// A version lies here.
    pub fn version(&mut self, at: At, span: SegmentSpan) {
        self.versions.push((at, span));
    }

    /// An upload goes on no more.
    pub fn ended(&mut self, upload: UploadId) {
        self.parts.remove(&upload);
    }

    fn part(&mut self, header: &RecordHeader, part: &Part) {
        let parts = self
            .parts
            .entry(UploadId::from(header.version))
            .or_default();
        // A later part of the same number takes the place of this one, wherever that lies.
        match part.placement.span() {
            Some(span) => parts.insert(part.number, (header.log_index, span)),
            None => parts.remove(&part.number),
        };
    }
}

/// Whether a span has any of them.
fn meets(span: SegmentSpan, segments: &BTreeSet<SegmentId>) -> bool {
    segments.range(span.first()..=span.last()).next().is_some()
}

impl Auditor {
    /// What a record says of parts and of space.
    pub(super) fn take_space(&mut self, header: &RecordHeader, body: &Body) {
        match body {
            Body::Part(part) => self.space.part(header, part),
            Body::Abort => self.space.ended(UploadId::from(header.version)),
            Body::Complete(_, upload) => self.space.ended(*upload),
            Body::Trim(Trim::Begun { segments, .. }) => self.give_up(header.log_index, segments),
            Body::Trim(Trim::Done { segments, .. }) => {
                let known = |segment: &SegmentId| self.space.given_up.contains(segment);
                if !segments.iter().all(known) {
                    self.breach(header.log_index, Breach::TrimStranger);
                }
            }
            _ => {}
        }
    }

    fn give_up(&mut self, index: LogIndex, segments: &[SegmentId]) {
        let segments: BTreeSet<SegmentId> = segments.iter().copied().collect();
        // What was destroyed once never lives again.
        let versions = &self.versions;
        self.space
            .versions
            .retain(|(at, _)| !versions.is_destroyed(*at));
        let living = self.space.versions.iter();
        let living = living.filter(|(_, span)| meets(*span, &segments));
        let mut hit: Vec<LogIndex> = living.map(|(at, _)| versions.index(*at)).collect();
        let parts = self.space.parts.values().flat_map(BTreeMap::values);
        let parts = parts.filter(|(_, span)| meets(*span, &segments));
        hit.extend(parts.map(|(record, _)| *record));
        for record in hit {
            self.breach(index, Breach::TrimLiving(record));
        }
        self.space.given_up.extend(segments);
    }
}
