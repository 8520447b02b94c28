//! The journal as one log over all its segments: chain, tree, and what its records state.
//!
//! Each segment names the one before it, so the newest leads back to the first; a segment that a
//! crash left beside this line is no part of the log. Within it every record must be the next one
//! of the log and continue the header chain, and every tree that a marker or seal repeats must be
//! the tree of the records read. Lost records end none of this: the next repeated tree goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::label::MemberState;
use stele_format::record::{
    Alloc, Body, EpochReason, Placement, RecordHeader, RecordReader, RecordType, SealNote,
    StoredEntry,
};
use stele_format::tree::Frontier;
use stele_format::units::{
    DiskId, Epoch, Generation, KeyClass, LogIndex, Opening, SegmentId, Sequence, UnixMillis,
};

use crate::compare::{Reference, SegmentFacts, examine};
use crate::gaps::{Gap, Next};
use crate::headers::HeaderWalk;
use crate::line::{fork_of, leaps, line_of};
use crate::media::length;
use crate::moves::Moves;
use crate::pool::Pool;
use crate::space::{Space, SpaceFault};
use crate::survey::{Survey, extent_of};
use crate::ties::{Citations, CitedBy};

/// How the journal says a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// A SEAL record quotes this seal block.
    Sealed(Digest),
    /// An EPOCH record left it behind, its frames ending here.
    Abandoned(u64),
}

/// A frame and the disks that hold it.
struct Place {
    by: CitedBy,
    disks: Vec<usize>,
}

/// Something wrong with a record in a frame that itself verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFault {
    /// Journal segment.
    pub segment: SegmentId,
    /// Frame, when it lies in one.
    pub frame: Option<u32>,
    /// Disks that hold it, by place in [`Pool::disks`].
    pub disks: Vec<usize>,
    /// What is wrong, for an operator.
    pub what: String,
}

/// Everything the records of the journal state that the disks can be held to.
#[derive(Debug, Default)]
pub struct Log {
    /// Segments that ended.
    pub closed: HashMap<SegmentId, Closed>,
    /// Journal segments beside the line: starts that failed before anything in them counted.
    pub beside: HashSet<SegmentId>,
    /// Segments that got their place.
    pub allocs: BTreeMap<SegmentId, Alloc>,
    /// Copies that moved.
    pub moves: Moves,
    /// What lies where, and what was given up.
    pub space: Space,
    /// Highest frame proven durable on a quorum.
    pub proven: Sequence,
    /// Chunks cited.
    pub citations: Citations,
    /// The newest MEMBER record.
    pub members: Option<(Generation, Vec<(DiskId, MemberState)>)>,
    /// Whether records are missing.
    pub lost: bool,
    /// Where frames should be and nothing is.
    pub gaps: Vec<Gap>,
    /// With which frame the journal goes on after each of its segments.
    goes_on: HashMap<SegmentId, Sequence>,
    /// Epoch of the last start.
    pub started: Epoch,
    /// Faults in records.
    pub faults: Vec<RecordFault>,
    /// Records read.
    pub records: u64,
    next: Option<LogIndex>,
    head: Option<Digest>,
    frontier: Option<Frontier>,
    compliance: UnixMillis,
    epoch: Epoch,
    segment_ends: HashMap<u64, Frontier>,
    /// Where headers are gathered for proofs.
    headers: Option<HeaderWalk>,
    cites: bool,
    /// Forced openings that records state, each by its number.
    pub openings: Vec<(LogIndex, Opening)>,
    /// A segment began a forced opening: its number, and how many of its records were read.
    leap: Option<(Opening, u8)>,
}

impl Log {
    /// How a segment ended, if anything says so.
    #[must_use]
    pub fn ending(&self, segment: SegmentId) -> Option<Closed> {
        let beside = self
            .beside
            .contains(&segment)
            .then_some(Closed::Abandoned(0));
        self.closed.get(&segment).cloned().or(beside)
    }

    /// Whether a frame, by its number, was proven durable in a segment. One with which the journal goes on in the next
    /// one never was in this: what stands in its place is what a cut left of footer or seal.
    #[must_use]
    pub fn is_proven(&self, segment: SegmentId, frame: Sequence) -> bool {
        let elsewhere = self
            .goes_on
            .get(&segment)
            .is_some_and(|next| frame >= *next);
        frame <= self.proven && !elsewhere
    }

    /// Records in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.next.map_or(0, LogIndex::get)
    }

    /// The root of the tree over them, unless lost records make it unknown.
    #[must_use]
    pub fn root(&self) -> Option<String> {
        self.frontier
            .as_ref()
            .map(|frontier| frontier.root().to_string())
    }
}

/// Somebody who is told every record that verifies, in order.
pub trait Watch {
    /// The next record.
    fn record(&mut self, header: &RecordHeader, body: &Body);
    /// Records are missing, or cannot be read, before the next one.
    fn gap(&mut self);
    /// Whether data lanes matter, so that the chunks cited must be kept in mind.
    fn wants_data(&self) -> bool {
        false
    }
}

/// Nobody.
pub struct Nobody;

impl Watch for Nobody {
    fn record(&mut self, _: &RecordHeader, _: &Body) {}
    fn gap(&mut self) {}
    fn wants_data(&self) -> bool {
        true
    }
}

/// Reads the whole journal from all present disks.
#[must_use]
pub fn read(
    pool: &Pool<'_>,
    survey: &Survey,
    pause: Duration,
    watch: &mut dyn Watch,
) -> (Log, Vec<SegmentFacts>) {
    read_with(pool, survey, pause, None, watch)
}

/// Reads the headers of the whole journal from all present disks; `watch` sees each record.
#[must_use]
pub fn headers(
    pool: &Pool<'_>,
    survey: &Survey,
    pause: Duration,
    walk: HeaderWalk,
    watch: &mut dyn Watch,
) -> HeaderWalk {
    let (log, _) = read_with(pool, survey, pause, Some(walk), watch);
    let mut walk = log.headers.unwrap_or_default();
    // What the walk cannot see in headers: trees that are repeated otherwise, bodies that do not fit.
    if log.lost || !log.faults.is_empty() {
        walk.lost();
    }
    walk
}

fn read_with(
    pool: &Pool<'_>,
    survey: &Survey,
    pause: Duration,
    headers: Option<HeaderWalk>,
    watch: &mut dyn Watch,
) -> (Log, Vec<SegmentFacts>) {
    let mut log = Log {
        headers,
        cites: watch.wants_data(),
        next: Some(LogIndex::ZERO),
        head: Some(Digest::ZERO),
        frontier: Some(Frontier::new()),
        proven: pool.watermark(),
        ..Log::default()
    };
    let line = line_of(pool, survey);
    let mut all = Vec::new();
    let mut expected = Start {
        after: SegmentId::NONE,
        sequence: Sequence::FIRST,
        chain: Digest::ZERO,
    };
    for segment in survey.segments_of(true) {
        let mut facts = examine(pool, survey, segment, pause);
        for reference in &facts.frames {
            log.proven = log.proven.max(reference.frame.header.committed_through);
        }
        let place = line.iter().position(|known| *known == segment);
        if place.is_none() {
            log.beside.insert(segment);
        }
        if let Some(place) = place {
            let next = line.get(place + 1).and_then(|next| survey.header_of(*next));
            let until = match next {
                // A forced opening numbers frames far from where this segment ends.
                Some(next) if leaps(expected.sequence, next.first_sequence) => {
                    fork_of(&facts, next).map(Until::Fork)
                }
                next => next.map(|header| Until::Next(header.first_sequence)),
            };
            if let Some(Until::Next(next)) = until {
                log.goes_on.insert(segment, next);
            }
            expected = log.read_segment(pool, &facts, &expected, until, watch);
        }
        facts.frames = Vec::new();
        all.push(facts);
    }
    log.miss_end(&expected);
    (log, all)
}

/// Which frame of a segment is no part of the log any more.
#[derive(Clone, Copy)]
enum Until {
    /// The one with which the next segment begins.
    Next(Sequence),
    /// The one that a forced opening left behind.
    Fork(Sequence),
}

impl Until {
    const fn frame(self) -> Sequence {
        let (Self::Next(frame) | Self::Fork(frame)) = self;
        frame
    }
}

/// Where the next segment of the line must begin.
struct Start {
    /// The segment before it.
    after: SegmentId,
    sequence: Sequence,
    chain: Digest,
}

impl Log {
    /// Reads the records of one segment up to the frame before `until`, and says where the next
    /// segment must begin.
    fn read_segment(
        &mut self,
        pool: &Pool<'_>,
        facts: &SegmentFacts,
        expected: &Start,
        until: Option<Until>,
        watch: &mut dyn Watch,
    ) -> Start {
        let goes_on_at = until.map(Until::frame);
        let mut next = Start { ..*expected };
        if let Some(header) = &facts.header {
            let leaps = leaps(expected.sequence, header.first_sequence);
            let fits = (leaps || header.first_sequence == expected.sequence)
                && header.previous_chain == expected.chain;
            if fits {
                next.sequence = header.first_sequence;
            }
            if leaps {
                self.leap = Some((header.first_sequence.opening(), 0));
            }
            // The segment between may lie on disks that are not here.
            let elsewhere = header.previous_segment != expected.after && !pool.is_whole();
            if header.first_sequence > expected.sequence && !leaps {
                self.gaps.push(Gap {
                    first: expected.sequence,
                    after: expected.after,
                    next: Some(Next {
                        segment: facts.segment,
                        previous: header.previous_segment,
                    }),
                });
            } else if !fits && !self.lost && !elsewhere {
                let what = "it does not continue the journal segment before it".to_owned();
                self.segment_fault(facts, what);
            }
            if !fits {
                self.lose();
                next = Start {
                    sequence: header.first_sequence,
                    chain: header.previous_chain,
                    ..next
                };
            }
        }
        next.after = facts.segment;
        for reference in &facts.frames {
            let header = &reference.frame.header;
            if goes_on_at.is_some_and(|until| header.sequence >= until) {
                break;
            }
            if header.sequence != next.sequence {
                self.lose();
            }
            self.read_frame(pool, facts, reference, watch);
            next = Start {
                sequence: after(header.sequence),
                chain: header.digest(),
                ..next
            };
        }
        match &facts.seal {
            Some(seal) if goes_on_at.is_none_or(|until| until == after(seal.last_sequence)) => {
                if after(seal.last_sequence) != next.sequence {
                    // The last frames are missing or damaged, which is said where they lie.
                    self.lose();
                    next.sequence = after(seal.last_sequence);
                    next.chain = seal.chain_head;
                }
                self.check_seal_tree(facts, seal.log.as_ref());
            }
            _ if goes_on_at.is_some_and(|until| until > next.sequence) => self.lose(),
            // Those that were left behind sealed it later.
            _ if matches!(until, Some(Until::Fork(_))) => {}
            Some(seal) if after(seal.last_sequence) != next.sequence => self.lose(),
            _ => {}
        }
        if let Some(frontier) = &self.frontier {
            self.segment_ends.insert(frontier.size(), frontier.clone());
        }
        next
    }

    /// The journal ends before what is known to have been durable.
    fn miss_end(&mut self, end: &Start) {
        // A forced opening gave up what followed, and one that was cut has nothing yet.
        let same = self.proven.opening() == end.sequence.opening();
        if same && end.sequence <= self.proven {
            self.gaps.push(Gap {
                first: end.sequence,
                after: end.after,
                next: None,
            });
        }
    }

    fn check_seal_tree(&mut self, facts: &SegmentFacts, tree: Option<&Frontier>) {
        match (tree, &self.frontier) {
            (Some(tree), Some(own)) if tree != own => {
                let what = "its seal states another log size or root than its records give";
                self.segment_fault(facts, what.to_owned());
            }
            // Records before it are lost, and the log goes on from what it states.
            (Some(tree), None) if self.next.is_none_or(|next| next.get() == tree.size()) => {
                self.next = Some(LogIndex::new(tree.size()));
                self.frontier = Some(tree.clone());
            }
            _ => {}
        }
    }

    fn segment_fault(&mut self, facts: &SegmentFacts, what: String) {
        let disks = facts.copies.iter().map(|copy| copy.disk).collect();
        self.faults.push(RecordFault {
            segment: facts.segment,
            frame: None,
            disks,
            what,
        });
    }

    /// Some records cannot be read: chain and tree are unknown until something repeats them.
    fn lose(&mut self) {
        if let Some(headers) = &mut self.headers {
            headers.lost();
        }
        self.lost = true;
        self.next = None;
        self.head = None;
        self.frontier = None;
    }

    fn read_frame(
        &mut self,
        pool: &Pool<'_>,
        facts: &SegmentFacts,
        reference: &Reference,
        watch: &mut dyn Watch,
    ) {
        let header = &reference.frame.header;
        let Some(bytes) = read_frame_bytes(pool, facts, reference) else {
            // It verified a moment ago; a copy that no longer does is reported by its own scan.
            self.lose();
            return;
        };
        let Ok(payload) = header.check_payload(&bytes) else {
            return;
        };
        let place = Place {
            by: CitedBy {
                segment: facts.segment,
                frame: reference.frame.index,
            },
            disks: facts.disks_of(reference),
        };
        for view in RecordReader::new(payload, header.record_count) {
            let view = match view {
                Ok(view) => view,
                Err(error) => {
                    self.fault(&place, error.to_string());
                    self.lose();
                    return;
                }
            };
            let claims = *view.claims();
            let record = view.verify();
            self.check_order(&claims, &place);
            if let Ok(record) = &record {
                self.check_tree(&claims, record.body(), &place);
            }
            self.step(&claims);
            if self.lost {
                watch.gap();
            }
            match record {
                Ok(record) => {
                    self.take(&record.header, record.body(), &place);
                    watch.record(&record.header, record.body());
                }
                Err(error) => {
                    if let Some(headers) = &mut self.headers {
                        headers.changed(claims.log_index.get());
                    }
                    self.fault(&place, error.to_string());
                    watch.gap();
                }
            }
        }
    }

    fn fault(&mut self, place: &Place, what: String) {
        self.faults.push(RecordFault {
            segment: place.by.segment,
            frame: Some(place.by.frame),
            disks: place.disks.clone(),
            what,
        });
    }

    fn check_order(&mut self, header: &RecordHeader, place: &Place) {
        let index = header.log_index;
        if let Some(next) = self.next.filter(|next| *next != index) {
            self.fault(
                place,
                format!("record {index} where record {next} should be"),
            );
            self.frontier = None;
        }
        if self.head.is_some_and(|head| head != header.previous_header) {
            self.fault(
                place,
                format!("record {index} does not continue the record chain"),
            );
        }
        if header.epoch < self.epoch || header.compliance_ms < self.compliance {
            self.fault(
                place,
                format!("epoch or compliance clock of record {index} went back"),
            );
        }
    }

    /// Compares the tree that a marker or seal record repeats with that of the records before it,
    /// or goes on from it where records are lost.
    fn check_tree(&mut self, header: &RecordHeader, body: &Body, place: &Place) {
        let index = header.log_index.get();
        let tree = match body {
            Body::Marker(marker) if marker.log.size() != index => {
                self.fault(
                    place,
                    "a marker repeats the tree of another place".to_owned(),
                );
                return;
            }
            Body::Marker(marker) => &marker.log,
            Body::Seal(SealNote {
                log: Some(tree), ..
            }) => tree,
            _ => return,
        };
        let Some(own) = &self.frontier else {
            self.frontier = (tree.size() == index).then(|| tree.clone());
            return;
        };
        let same_size = if own.size() == tree.size() {
            Some(own)
        } else {
            self.segment_ends.get(&tree.size())
        };
        if same_size.is_some_and(|known| known != tree) {
            self.fault(
                place,
                "it repeats another log root than its records give".to_owned(),
            );
        }
    }

    /// Takes the record into chain and tree.
    fn step(&mut self, header: &RecordHeader) {
        self.records += 1;
        if let Some(headers) = &mut self.headers {
            headers.take(header);
        }
        self.epoch = self.epoch.max(header.epoch);
        self.compliance = self.compliance.max(header.compliance_ms);
        if let Some(frontier) = &mut self.frontier {
            frontier.push(header.leaf_hash());
        }
        self.head = Some(header.chain_digest());
        self.next = header.log_index.next();
    }

    /// Where the journal leaps, two statements and the record that cites them are the first.
    fn check_leap(&mut self, header: &RecordHeader, body: &Body, place: &Place) {
        let stated = match body {
            Body::ForcedOpen(forced) => Some(forced.opening),
            _ => None,
        };
        self.openings
            .extend(stated.map(|opening| (header.log_index, opening)));
        let Some((opening, read)) = self.leap else {
            return;
        };
        self.leap = (read < 2).then_some((opening, read + 1));
        let fits = match read {
            0 | 1 => matches!(body, Body::Statement(_)),
            _ => stated == Some(opening),
        };
        if !fits {
            self.leap = None;
            let what = format!(
                "the journal goes on as after forced opening {opening}, and no record of that begins it"
            );
            self.fault(place, what);
        }
    }

    fn take(&mut self, header: &RecordHeader, body: &Body, place: &Place) {
        self.check_leap(header, body, place);
        if let Some(what) = broken_rule(header, body) {
            self.fault(place, format!("record {}: {what}", header.log_index));
        }
        for fault in self.space.take(header, body) {
            let what = match fault {
                SpaceFault::Living(record) => {
                    format!("it gives segments up in which the content of record {record} may lie")
                }
                SpaceFault::Stranger => {
                    "it gives up segments of the journal or the newest one, or wipes others than \
                     were given up"
                        .to_owned()
                }
            };
            self.fault(place, what);
        }
        match body {
            Body::Epoch(start) => {
                if start.reason == EpochReason::Start {
                    self.started = header.epoch;
                }
                for tail in &start.abandoned {
                    // What was sealed once stays sealed: nothing of it may be given up later.
                    let end = Closed::Abandoned(tail.data_end.get());
                    self.closed.entry(tail.segment).or_insert(end);
                }
            }
            Body::Alloc(alloc) => self.take_alloc(alloc, place),
            Body::Relocate(relocate) => self.moves.take(relocate),
            Body::Seal(note) => {
                self.closed.insert(note.segment, Closed::Sealed(note.seal));
            }
            Body::Commit(commit) | Body::Complete(commit, _) => {
                self.cite(commit.placement, &commit.entries, place);
            }
            Body::Part(part) => self.cite(part.placement, &part.entries, place),
            Body::Member(change) => {
                self.members = Some((change.generation, change.members.clone()));
            }
            _ => {}
        }
    }

    fn take_alloc(&mut self, alloc: &Alloc, place: &Place) {
        if self.allocs.insert(alloc.segment, alloc.clone()).is_some() {
            self.fault(
                place,
                format!("segment {} is allocated twice", alloc.segment),
            );
        }
    }

    fn cite(&mut self, placement: Placement, entries: &[StoredEntry], place: &Place) {
        if let Placement::DataLane(span) = placement
            && self.cites
        {
            entries
                .iter()
                .for_each(|entry| self.citations.cite(entry, place.by, span));
        }
    }
}

fn after(sequence: Sequence) -> Sequence {
    sequence.next().unwrap_or(Sequence::MAX)
}

/// The bytes of a frame from the first copy that still gives them.
#[must_use]
pub fn read_frame_bytes(
    pool: &Pool<'_>,
    facts: &SegmentFacts,
    reference: &Reference,
) -> Option<Vec<u8>> {
    let header = &reference.frame.header;
    let mut bytes = vec![0; length(header.total_bytes)];
    reference.holders.iter().find_map(|holder| {
        let copy = facts.copies.get(*holder)?;
        let disk = pool.disks.get(copy.disk)?;
        let extent = extent_of(disk, copy.unit, u32::MAX)?;
        disk.source
            .read_at(extent.start + reference.frame.offset, &mut bytes)
            .ok()?;
        header.check_payload(&bytes).ok().map(|_| ())
    })?;
    Some(bytes)
}

/// Rules between a record's header and its body that the encoding alone does not enforce.
fn broken_rule(header: &RecordHeader, body: &Body) -> Option<&'static str> {
    let kind = body.record_type();
    let first = header.log_index.is_zero();
    if first != (kind == RecordType::Genesis) {
        return Some("genesis is the first record and only that");
    }
    let new_version = matches!(
        kind,
        RecordType::Commit | RecordType::Complete | RecordType::DeleteMarker
    );
    if new_version && header.key_index.is_none() {
        return Some("a version without a key");
    }
    if new_version && header.version.ordinal() != header.log_index {
        return Some("a version id that belongs to another record");
    }
    let pending = header.class == KeyClass::PendingPart;
    match kind {
        RecordType::Part if !pending => Some("a part under a key that is not for parts"),
        RecordType::Tags if pending || header.key_index.is_none() => {
            Some("tags that are not sealed under the key of a version")
        }
        _ if new_version && pending => Some("a version under a key for parts"),
        RecordType::Bucket | RecordType::Config if !header.sealed => {
            Some("a document that must be sealed is not marked as sealed")
        }
        _ => None,
    }
}
