//! The journal as one log over all its segments: chain, tree, and what its records state.
//!
//! Each segment names the one before it, so the newest leads back to the first; a segment that a
//! crash left beside this line is no part of the log. Within it every record must be the next one
//! of the log and continue the header chain, and every tree that a marker or seal repeats must be
//! the tree of the records read. Lost records end none of this: the next repeated tree goes on.
//! Those that people gave up are stepped over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::label::MemberState;
use stele_format::record::{Alloc, Body, RecordHeader};
use stele_format::tree::Frontier;
use stele_format::units::{
    DiskId, Epoch, Generation, LogIndex, Opening, SegmentId, Sequence, UnixMillis,
};

use crate::compare::{Reference, SegmentFacts, examine};
use crate::gaps::{Gap, Next};
use crate::headers::HeaderWalk;
use crate::line::{fork_of, leaps, line_of};
use crate::lost::{GivenUps, Leap};
use crate::media::length;
use crate::moves::Moves;
use crate::pool::Pool;
use crate::space::Space;
use crate::survey::{Survey, extent_of};
use crate::ties::Citations;

/// How the journal says a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// A SEAL record quotes this seal block.
    Sealed(Digest),
    /// An EPOCH record left it behind, its frames ending here.
    Abandoned(u64),
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
    pub(crate) next: Option<LogIndex>,
    pub(crate) head: Option<Digest>,
    pub(crate) frontier: Option<Frontier>,
    pub(crate) compliance: UnixMillis,
    pub(crate) epoch: Epoch,
    pub(crate) segment_ends: HashMap<u64, Frontier>,
    /// Where headers are gathered for proofs.
    pub(crate) headers: Option<HeaderWalk>,
    pub(crate) cites: bool,
    /// Forced openings that records state, each by its number.
    pub openings: Vec<(LogIndex, Opening)>,
    /// What forced openings gave up.
    pub given_up: GivenUps,
    pub(crate) leap: Option<Leap>,
    /// The opening after which the frame at hand was written.
    pub(crate) opening: Opening,
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
    log.given_up = GivenUps::of(pool, survey, &line, pause);
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
    log.end_given_up(&all);
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

/// Where the next segment of the line must begin, or the next frame.
pub(crate) struct Start {
    /// The segment before it.
    after: SegmentId,
    pub(crate) sequence: Sequence,
    pub(crate) chain: Digest,
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
        let mut next = self.begin_segment(pool, facts, expected);
        next.after = facts.segment;
        if self.given_up.leaves(facts.segment, None) {
            return next;
        }
        let from = next.sequence;
        self.read_frames(pool, facts, &mut next, until, watch);
        if self.given_up.leaves(facts.segment, Some(from)) {
            return next;
        }
        if self.given_up.fails_to_land() {
            self.lose();
        }
        self.end_segment(facts, &mut next, until);
        if let Some(frontier) = &self.frontier {
            self.segment_ends.insert(frontier.size(), frontier.clone());
        }
        next
    }

    /// Ties a segment to what was read before it.
    fn begin_segment(&mut self, pool: &Pool<'_>, facts: &SegmentFacts, expected: &Start) -> Start {
        let mut next = Start { ..*expected };
        // Behind what was given up its first frames may be passed over, and the one to go on with is known.
        let passed = self.step_over(&mut next, facts.segment) || self.given_up.is_under_way();
        let Some(header) = facts.header.as_ref().filter(|_| !passed) else {
            return next;
        };
        let leaps = leaps(expected.sequence, header.first_sequence);
        let fits = (leaps || header.first_sequence == expected.sequence)
            && header.previous_chain == expected.chain;
        if fits {
            next.sequence = header.first_sequence;
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
            next.sequence = header.first_sequence;
            next.chain = header.previous_chain;
        }
        if leaps {
            self.begin_leap(header.first_sequence.opening());
        }
        next
    }

    fn read_frames(
        &mut self,
        pool: &Pool<'_>,
        facts: &SegmentFacts,
        next: &mut Start,
        until: Option<Until>,
        watch: &mut dyn Watch,
    ) {
        let goes_on_at = until.map(Until::frame);
        for reference in &facts.frames {
            let header = &reference.frame.header;
            if goes_on_at.is_some_and(|until| header.sequence >= until) {
                break;
            }
            self.step_over(next, facts.segment);
            if header.sequence != next.sequence {
                self.pass_damage(next, header.sequence, facts.segment);
            }
            if self.given_up.covers(facts.segment, header.sequence) {
                continue;
            }
            self.opening = header.sequence.opening();
            self.read_frame(pool, facts, reference, watch);
            next.sequence = after(header.sequence);
            next.chain = header.digest();
        }
        // A seal that is there ends its segment, whatever was given up behind it.
        let seal = facts.seal.as_ref();
        if seal.is_none_or(|seal| after(seal.last_sequence) != next.sequence) {
            self.step_over(next, facts.segment);
        }
    }

    /// Holds the end of a segment to its seal, and to where the next one begins.
    fn end_segment(&mut self, facts: &SegmentFacts, next: &mut Start, until: Option<Until>) {
        let goes_on_at = until.map(Until::frame);
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
            // Records before it are lost, and the log goes on from what it states. Behind what was given up, a record does.
            (Some(tree), None)
                if self.lost && self.next.is_none_or(|next| next.get() == tree.size()) =>
            {
                self.next = Some(LogIndex::new(tree.size()));
                self.frontier = Some(tree.clone());
            }
            _ => {}
        }
    }

    pub(crate) fn segment_fault(&mut self, facts: &SegmentFacts, what: String) {
        let disks = facts.copies.iter().map(|copy| copy.disk).collect();
        self.faults.push(RecordFault {
            segment: facts.segment,
            frame: None,
            disks,
            what,
        });
    }

    /// Some records cannot be read: chain and tree are unknown until something repeats them.
    pub(crate) fn lose(&mut self) {
        if let Some(headers) = &mut self.headers {
            headers.lost();
        }
        self.lost = true;
        self.next = None;
        self.head = None;
        self.frontier = None;
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
