//! Records that are missing in the middle of the log: what of them nobody gave up is found, what people gave up when
//! they forced the vault open is stepped over.
//!
//! What was given up stays out whatever disks show there later: every reader makes the same of the log, and what was
//! decided behind it was decided without. It is known before it is reached, from the first frame of each opening.

use std::collections::BTreeMap;

use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::{Body, ForcedOpen, LostSpan};
use stele_format::segment::FIRST_FRAME_OFFSET;
use stele_format::statement::{Head, Kind, Statement};
use stele_format::units::{ByteOffset, LogIndex, Opening, SegmentId, Sequence};

use super::Disks;
use super::copies::SegmentCopies;
use super::openings::{Openings, begins, leaps};
use super::replay::{Replay, found_of};
use super::replayed::{SegmentEnd, Stuck};
use super::scan::Found;
use crate::frames::{self, PlacedRecord};
use crate::pool::Pool;
use crate::sequence::LogHead;

/// A span that a forced opening gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivenUp {
    /// The opening.
    pub(super) by: Opening,
    pub(super) span: LostSpan,
}

impl GivenUp {
    /// Whether a frame is one of those.
    fn has(&self, frame: Sequence) -> bool {
        self.span.first <= frame && frame < self.span.next
    }
}

/// Where records began to be missing, until one is read again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hole {
    first: Sequence,
    first_record: LogIndex,
}

/// What forced openings gave up, up to the newest that a label tells of. An opening whose first frame nobody can read
/// gave up nothing: then the log is read as far as it goes, and the vault is only read. Nor did one whose first frame a
/// later one gave up. What is believed here is only believed until the opening is read in its turn.
pub(super) fn given_up(
    pool: &Pool,
    disks: &mut Disks,
    found: &Found,
    last: Opening,
) -> Vec<GivenUp> {
    if last.is_zero() {
        return Vec::new();
    }
    let openings = Openings::new(last, pool.segments.values());
    let mut given_up: Vec<GivenUp> = Vec::new();
    for (first, segment) in leaps(&begins(pool, &openings)).into_iter().rev() {
        if given_up.iter().any(|one| one.has(first)) {
            continue;
        }
        let Some((header, frame)) = first_frame(pool, disks, found, (first, segment)) else {
            continue;
        };
        let mut log = LogHead {
            next: LogIndex::MAX,
            ..LogHead::default()
        };
        let records = frames::records(&header, &frame, &mut log).unwrap_or_default();
        for PlacedRecord { record, .. } in records {
            if let Body::ForcedOpen(forced) = record.body
                && forced.opening == first.opening()
            {
                given_up.extend(stated(&forced));
            }
        }
    }
    given_up
}

/// The spans of a record that can be stepped over.
fn stated(forced: &ForcedOpen) -> impl Iterator<Item = GivenUp> {
    let by = forced.opening;
    let is_before = move |span: &&LostSpan| {
        let aligned = span.offset.get().is_multiple_of(u64::from(BLOCK_BYTES));
        span.next.opening() < by && aligned && span.offset >= FIRST_FRAME_OFFSET
    };
    let spans = forced.lost.iter().filter(is_before);
    spans.map(move |span| GivenUp { by, span: *span })
}

/// The first frame of a segment as most of its copies show it.
fn first_frame(
    pool: &Pool,
    disks: &mut Disks,
    found: &Found,
    (first, segment): (Sequence, SegmentId),
) -> Option<(FrameHeader, Vec<u8>)> {
    let info = pool.segments.get(&segment)?;
    let places = found_of(found, segment);
    let mut copies = SegmentCopies::with_found(pool, disks, segment, info, places);
    let expect = FrameExpectation {
        sequence: Some(first),
        ..FrameExpectation::at(pool.id, segment, FIRST_FRAME_OFFSET)
    };
    let shown = copies.show(disks, expect);
    let frames: Vec<_> = shown.into_iter().filter_map(|copy| copy.frame).collect();
    let mut alike: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for (header, _) in &frames {
        *alike.entry(header.digest().0).or_default() += 1;
    }
    let by_copies = |frame: &(FrameHeader, Vec<u8>)| alike.get(&frame.0.digest().0).copied();
    frames.into_iter().max_by_key(by_copies)
}

/// What was stepped over so far, and whether the openings that gave it up were read since.
#[derive(Debug, Clone, Default)]
pub(super) struct SteppedOver {
    all: Vec<GivenUp>,
    unconfirmed: Vec<(GivenUp, Stuck)>,
    /// Where an opening was read that is not one of this log.
    misfit: Option<Stuck>,
}

impl SteppedOver {
    /// The record of an opening was read in its turn: what was stepped over for it is what it gave up.
    fn confirm(&mut self, forced: &ForcedOpen) {
        let is_stated = |one: &GivenUp| one.by == forced.opening && forced.lost.contains(&one.span);
        self.unconfirmed.retain(|(one, _)| !is_stated(one));
    }

    /// The last opening for which something was.
    pub(super) fn by(&self) -> Option<Opening> {
        self.all.iter().map(|one| one.by).max()
    }

    /// Where something was stepped over that no opening gave up, or an opening is another log's.
    pub(super) fn unlawful(&self) -> Option<Stuck> {
        let unconfirmed = self.unconfirmed.first().map(|(_, stuck)| *stuck);
        self.misfit.or(unconfirmed)
    }
}

impl Replay<'_> {
    pub(super) fn note_stuck(&mut self, segment: SegmentId, offset: ByteOffset) {
        self.out.stuck.get_or_insert(Stuck {
            segment,
            offset: offset.get(),
        });
    }

    /// The segment at hand is left, for one in which the journal goes on.
    pub(super) fn leave(&mut self, last_sequence: Sequence, is_end: bool) {
        let end = SegmentEnd {
            offset: self.at.offset,
            last_sequence,
            is_end,
        };
        self.out.ends.entry(self.at.segment).or_insert(end);
    }

    /// What people gave up and the next frame is of: of several spans the one that reaches furthest.
    pub(super) fn given_up_here(&self) -> Option<GivenUp> {
        let (next, record) = (self.at.sequence, self.at.log.next);
        let is_here = |one: &&GivenUp| {
            let span = &one.span;
            // Where the segment behind is lost, too, more is missing than they knew of.
            let behind = self.pool.segments.get(&span.segment);
            let goes_on = behind.is_some_and(|info| self.counts(info))
                && span.segment >= self.at.segment
                && (record == LogIndex::MAX || record <= span.next_record);
            one.has(next) && goes_on
        };
        let here = self.given_up.iter().filter(is_here);
        here.max_by_key(|one| (one.span.next, one.by)).copied()
    }

    /// Goes on behind what people gave up.
    pub(super) fn step_over(&mut self, one: GivenUp) {
        let GivenUp { span, .. } = one;
        if span.segment != self.at.segment {
            self.leave(
                Sequence::new(self.at.sequence.get().saturating_sub(1)),
                false,
            );
        }
        let stuck = Stuck {
            segment: self.at.segment,
            offset: self.at.offset.get(),
        };
        self.out.stepped.all.push(one);
        self.out.stepped.unconfirmed.push((one, stuck));
        self.lost_header = None;
        self.at.segment = span.segment;
        self.at.offset = span.offset;
        self.at.sequence = span.next;
        self.at.chain = span.chain;
        self.at.log.next = span.next_record;
        self.at.log.previous = span.previous;
    }

    /// The first frame of a forced opening was read: it is one of this log only if its request was signed for this log.
    pub(super) fn confirm_opening(&mut self, before: &LogHead, records: &[PlacedRecord]) {
        let bodies = || records.iter().map(|placed| &placed.record.body);
        let forced = bodies().find_map(|body| match body {
            Body::ForcedOpen(forced) => Some(forced),
            _ => None,
        });
        let request = bodies().find_map(|body| match body {
            Body::Statement(said) => Statement::parse(&said.text).ok(),
            _ => None,
        });
        let (Some(forced), Some(request)) = (forced, request) else {
            return;
        };
        let here = Head {
            size: before.frontier.size(),
            root: before.frontier.root(),
        };
        let is_this = match request.kind() {
            // Where the tree is not known, other places say that the log is damaged.
            Kind::Request(request) => before.has_hole() || request.head == here,
            _ => false,
        };
        // Of what it gave up nothing was read.
        let was_known = |span: &LostSpan| {
            let mut known = self.given_up.iter().map(|one| &one.span);
            known.any(|one| one.first <= span.first && span.next <= one.next)
        };
        if is_this && forced.lost.iter().all(was_known) {
            self.out.stepped.confirm(forced);
        } else {
            let here = Stuck {
                segment: self.at.segment,
                offset: self.at.offset.get(),
            };
            self.out.stepped.misfit.get_or_insert(here);
        }
    }

    /// Whether the next frame is one that people gave up.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.iter().any(|one| one.has(self.at.sequence))
    }

    /// Whether records in front of the next one are missing of which it may speak: behind a forced opening nothing does.
    pub(super) fn lacks_records(&self) -> bool {
        let at = self.at.sequence;
        let stuck = self.was_stuck || self.out.stuck.is_some();
        let mut given_up = self.given_up.iter();
        stuck || given_up.any(|one| one.span.next <= at && at.opening() < one.by)
    }

    /// After damage, goes on at the next frame of the segment that can be read. Read-only from here.
    pub(super) fn pass_over(&mut self, copies: &mut SegmentCopies) -> bool {
        let from = self.at.offset.get() + u64::from(BLOCK_BYTES);
        let next = copies
            .headers_from(self.disks, from)
            .into_iter()
            .find(|header| header.sequence > self.at.sequence);
        let Some(next) = next else { return false };
        self.open_hole();
        self.at.offset = next.segment_offset;
        self.at.sequence = next.sequence;
        self.at.chain = next.previous_header;
        self.at.log.next = LogIndex::MAX;
        true
    }

    /// After damage to the end of a segment, goes on with the next that was written.
    pub(super) fn jump(&mut self) -> bool {
        let later = self
            .pool
            .segments
            .iter()
            .filter(|(_, info)| self.counts(info))
            .filter(|(_, info)| info.first_sequence > self.at.sequence)
            .min_by_key(|(id, info)| (info.first_sequence, std::cmp::Reverse(**id)))
            .map(|(id, info)| (*id, info.first_sequence));
        let Some((segment, first)) = later else {
            return false;
        };
        let header = self.header_of(segment, |_| true);
        // There is more, whether it can be entered or not: the log has a hole here.
        let before = self.at.sequence;
        self.open_hole();
        self.at.log.next = LogIndex::MAX;
        let Some(header) = header else {
            return false;
        };
        self.leave(Sequence::new(before.get().saturating_sub(1)), false);
        self.at.sequence = first;
        self.lane_chain = header.previous_chain;
        true
    }

    fn open_hole(&mut self) {
        self.out.hole.get_or_insert(Hole {
            first: self.at.sequence,
            first_record: self.at.log.next,
        });
    }

    /// The first records behind a hole were read.
    pub(super) fn close_hole(&mut self, header: &FrameHeader, first: Option<&PlacedRecord>) {
        let Some(first) = first else { return };
        let Some(hole) = self.out.hole.take() else {
            return;
        };
        self.out.lost.push(LostSpan {
            first: hole.first,
            next: header.sequence,
            chain: header.previous_header,
            first_record: hole.first_record,
            next_record: first.record.header.log_index,
            previous: first.record.header.previous_header,
            segment: header.segment,
            offset: header.segment_offset,
        });
    }
}
