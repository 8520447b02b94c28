//! Records that people gave up when they forced the vault open: they are stepped over, whatever disks show there.
//!
//! What was given up is known before it is reached, from the first frame of each opening. Frames have digests and no keys:
//! when that frame is read in its turn, its record and the request before it must say the same, for the log as it was read.

use std::collections::HashMap;
use std::time::Duration;

use stele_format::frame::FrameHeader;
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::{Body, ForcedOpen, LostSpan, RecordHeader, RecordReader, StatementBody};
use stele_format::segment::FIRST_FRAME_OFFSET;
use stele_format::statement::{Act, Head, Kind, Request, Statement};
use stele_format::units::{LogIndex, Opening, SegmentId, Sequence};

use crate::compare::{SegmentFacts, examine};
use crate::journal::{Log, Start, read_frame_bytes};
use crate::pool::Pool;
use crate::records::Place;
use crate::survey::Survey;

/// A span that a forced opening gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    /// The opening.
    pub by: Opening,
    /// The segment that it begins.
    told_in: SegmentId,
    /// What is lost.
    pub span: LostSpan,
}

impl GivenUp {
    fn covers(&self, frame: Sequence) -> bool {
        self.span.first <= frame && frame < self.span.next
    }

    /// Whether a reader may go by it at all.
    fn counts(&self) -> bool {
        let offset = self.span.offset;
        let aligned = offset.get().is_multiple_of(u64::from(BLOCK_BYTES));
        self.span.is_span()
            && self.span.next.opening() < self.by
            && aligned
            && offset >= FIRST_FRAME_OFFSET
    }
}

/// What was given up, and what of it was met so far.
#[derive(Debug, Default)]
pub struct GivenUps {
    known: Vec<GivenUp>,
    /// Segments of the log.
    line: Vec<SegmentId>,
    stepped: Vec<GivenUp>,
    /// Those of them that the opening confirmed when it was read.
    confirmed: Vec<GivenUp>,
    /// Segments of which the log has nothing from this frame on.
    left: HashMap<SegmentId, Sequence>,
    /// Where the log goes on, until that is reached.
    landing: Option<LostSpan>,
}

impl GivenUps {
    /// Reads it from the first frame of each opening of the log.
    pub(crate) fn of(
        pool: &Pool<'_>,
        survey: &Survey,
        line: &[SegmentId],
        pause: Duration,
    ) -> Self {
        let mut known: Vec<GivenUp> = Vec::new();
        // From the newest back: an opening whose first frame a later one gave up says nothing.
        for segment in line.iter().rev() {
            let first = survey.first_of(*segment).filter(|first| is_leap(*first));
            let Some(first) = first.filter(|first| !known.iter().any(|one| one.covers(*first)))
            else {
                continue;
            };
            let facts = examine(pool, survey, *segment, pause);
            let forced = first_frame(pool, &facts, first);
            let Some(forced) = forced.filter(|forced| forced.opening == first.opening()) else {
                continue;
            };
            let given_up = forced.lost.into_iter().map(|span| GivenUp {
                by: forced.opening,
                told_in: *segment,
                span,
            });
            known.extend(given_up.filter(GivenUp::counts));
        }
        Self {
            known,
            line: line.to_vec(),
            ..Self::default()
        }
    }

    /// The span to step over for a reader in a segment who expects this frame and record: that which leads farthest.
    fn choose(
        &self,
        here: SegmentId,
        frame: Sequence,
        record: Option<LogIndex>,
    ) -> Option<GivenUp> {
        let fits = |one: &&GivenUp| {
            let forward = record.is_none_or(|record| one.span.next_record >= record);
            let segment = one.span.segment;
            one.covers(frame) && forward && segment >= here && self.line.contains(&segment)
        };
        let fitting = self.known.iter().filter(fits);
        fitting.max_by_key(|one| (one.span.next, one.by)).copied()
    }

    /// The first frame given up behind one that is missing, up to one that is found.
    fn next_first(&self, missing: Sequence, found: Sequence) -> Sequence {
        let firsts = self.known.iter().map(|one| one.span.first);
        let between = firsts.filter(|first| missing < *first && *first < found);
        between.min().unwrap_or(found)
    }

    /// What was stepped over.
    pub fn stepped(&self) -> impl Iterator<Item = &GivenUp> {
        self.stepped.iter()
    }

    /// Whether records may speak of what was given up later: nothing behind that opening does.
    pub(crate) fn may_be_missed(&self, opening: Opening) -> bool {
        self.stepped.iter().any(|one| opening < one.by)
    }

    /// Whether a frame was given up.
    #[must_use]
    pub fn covers(&self, segment: SegmentId, frame: Sequence) -> bool {
        let left = self.left.get(&segment);
        left.is_some_and(|first| frame >= *first)
            || self.stepped.iter().any(|one| one.covers(frame))
    }

    /// Whether the end of a segment was given up.
    #[must_use]
    pub fn has_end(&self, segment: SegmentId) -> bool {
        self.left.contains_key(&segment)
    }

    /// Whether a whole segment was given up.
    #[must_use]
    pub fn has_all(&self, segment: SegmentId) -> bool {
        self.left.get(&segment) == Some(&Sequence::ZERO)
    }

    /// Whether the frame with which the log goes on is not reached yet.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.landing.is_some()
    }

    /// Whether the log goes on in a later segment; then this one has nothing of it from that frame on.
    pub(crate) fn leaves(&mut self, segment: SegmentId, from: Option<Sequence>) -> bool {
        let beyond = self.landing.filter(|span| span.segment != segment);
        if let Some(span) = beyond {
            let from = from.map_or(Sequence::ZERO, |from| from.max(span.first));
            self.left.insert(segment, from);
        }
        beyond.is_some()
    }

    /// A frame is read: whether the log may go on with it.
    fn land(&mut self, segment: SegmentId, header: &FrameHeader) -> bool {
        let landing = self.landing.take();
        landing
            .filter(|span| span.next == header.sequence)
            .is_none_or(|span| {
                span.segment == segment
                    && span.offset == header.segment_offset
                    && span.chain == header.previous_header
            })
    }

    /// Whether the frame with which the log was to go on is missing.
    pub(crate) fn fails_to_land(&mut self) -> bool {
        self.landing.take().is_some()
    }
}

/// Whether a segment that begins with this frame is the first of a forced opening.
fn is_leap(first: Sequence) -> bool {
    let opening = first.opening();
    !opening.is_zero() && first == Sequence::first_of(opening)
}

/// The record of a forced opening in the first frame of a segment.
fn first_frame(pool: &Pool<'_>, facts: &SegmentFacts, first: Sequence) -> Option<ForcedOpen> {
    let frame = facts.frames.first()?;
    let header = &frame.frame.header;
    let bytes = read_frame_bytes(pool, facts, frame)?;
    let payload = header.check_payload(&bytes).ok()?;
    let mut records = RecordReader::new(payload, header.record_count);
    let forced = records.find_map(|view| match view.ok()?.verify().ok()?.body() {
        Body::ForcedOpen(forced) => Some(forced.clone()),
        _ => None,
    });
    forced.filter(|_| header.sequence == first)
}

/// A segment began a forced opening, and its first records are read.
#[derive(Debug)]
pub(crate) struct Leap {
    opening: Opening,
    read: u8,
    /// The log before it, unless that is unknown.
    head: Option<Head>,
    request: Option<Request>,
}

impl Leap {
    /// What the next record states of it.
    fn take(&mut self, body: &Body) -> bool {
        let fits = match (self.read, body) {
            (0, Body::Statement(statement)) => {
                self.request = request_of(statement);
                true
            }
            (1, Body::Statement(_)) => true,
            (2, Body::ForcedOpen(forced)) => forced.opening == self.opening,
            _ => false,
        };
        self.read += 1;
        fits
    }
}

fn request_of(statement: &StatementBody) -> Option<Request> {
    let statement = Statement::parse(&statement.text).ok()?;
    match statement.kind() {
        Kind::Request(request) => Some(request.clone()),
        _ => None,
    }
}

impl Log {
    /// Goes on behind what was given up from the next frame on, if anything was.
    pub(crate) fn step_over(&mut self, next: &mut Start, here: SegmentId) -> bool {
        let mut stepped = false;
        while let Some(one) = self.given_up.choose(here, next.sequence, self.next) {
            next.sequence = one.span.next;
            next.chain = one.span.chain;
            if let Some(headers) = &mut self.headers {
                headers.give_up();
            }
            self.next = Some(one.span.next_record);
            self.head = Some(one.span.previous);
            self.frontier = None;
            // Of an opening whose first frame is given up, no record is read.
            self.leap = None;
            self.given_up.landing = Some(one.span);
            self.given_up.stepped.push(one);
            stepped = true;
        }
        stepped
    }

    /// Frames before this one are missing, given up or not. Behind damage it is not gone on with what was given up, either.
    pub(crate) fn pass_damage(&mut self, next: &mut Start, found: Sequence, here: SegmentId) {
        while next.sequence < found {
            self.lose();
            next.sequence = self.given_up.next_first(next.sequence, found);
            self.step_over(next, here);
        }
        if next.sequence != found && !self.given_up.covers(here, found) {
            self.lose();
            next.sequence = found;
        }
    }

    /// A frame behind what was given up must be the one that was named.
    pub(crate) fn check_landing(&mut self, header: &FrameHeader, place: &Place) {
        if !self.given_up.land(header.segment, header) {
            let what = "a forced opening says that the journal goes on elsewhere or otherwise";
            self.fault(place, what.to_owned());
        }
    }

    /// The next segment begins a forced opening.
    pub(crate) fn begin_leap(&mut self, opening: Opening) {
        let head = self.frontier.as_ref().map(|tree| Head {
            size: tree.size(),
            root: tree.root(),
        });
        self.leap = Some(Leap {
            opening,
            read: 0,
            head,
            request: None,
        });
    }

    /// Where the journal leaps, two statements and the record that cites them are the first.
    pub(crate) fn check_leap(&mut self, header: &RecordHeader, body: &Body, place: &Place) {
        let forced = match body {
            Body::ForcedOpen(forced) => Some(forced),
            _ => None,
        };
        let stated = forced.map(|forced| (header.log_index, forced.opening));
        self.openings.extend(stated);
        let Some(mut leap) = self.leap.take() else {
            return;
        };
        if !leap.take(body) {
            let what = format!(
                "the journal goes on as after forced opening {}, and no record of that begins it",
                leap.opening
            );
            self.fault(place, what);
        } else if let Some(forced) = forced {
            self.confirm(&leap, forced, place);
        } else {
            self.leap = Some(leap);
        }
    }

    /// A forced opening is read: what was stepped over for it must be what it gives up, by a request for this log.
    fn confirm(&mut self, leap: &Leap, forced: &ForcedOpen, place: &Place) {
        let given_up = &mut self.given_up;
        let by_it = given_up
            .stepped
            .iter()
            .filter(|one| one.by == forced.opening);
        let (named, strange): (Vec<GivenUp>, Vec<GivenUp>) =
            by_it.partition(|one| forced.lost.contains(&one.span));
        given_up.confirmed.extend(&named);
        // What a later opening stepped over nothing need have repeated up to here.
        let untold = self.lost || given_up.may_be_missed(forced.opening);
        let mut faults: Vec<String> = strange.iter().map(unconfirmed).collect();
        faults.extend(fault_of_request(leap, forced, untold).map(str::to_owned));
        for what in faults {
            self.fault(place, what);
        }
    }

    /// The log ends: openings that were never read in their turn confirmed nothing.
    pub(crate) fn end_given_up(&mut self, all: &[SegmentFacts]) {
        let given_up = &self.given_up;
        let open = given_up.stepped.iter().filter(|one| {
            let by = self.openings.iter().any(|(_, opening)| *opening == one.by);
            !by && !given_up.confirmed.contains(one)
        });
        for one in open.copied().collect::<Vec<_>>() {
            if let Some(facts) = all.iter().find(|facts| facts.segment == one.told_in) {
                self.segment_fault(facts, unconfirmed(&one));
            }
        }
    }
}

fn unconfirmed(one: &GivenUp) -> String {
    let records = one.span.records();
    format!(
        "records {records} were passed over as given up by forced opening {}, which does not say so where it is read",
        one.by
    )
}

/// What is wrong with the request before a forced opening, as far as it is about the log.
fn fault_of_request(leap: &Leap, forced: &ForcedOpen, untold: bool) -> Option<&'static str> {
    let request = leap
        .request
        .as_ref()
        .and_then(|request| match &request.act {
            Act::ForceOpen { missing, .. } => Some((request.head, missing)),
            _ => None,
        });
    let gives_up = !forced.lost.is_empty();
    match (request, leap.head) {
        (None, _) if gives_up => Some("it gives records up, and no request for that is before it"),
        (None, _) => None,
        (Some((_, missing)), _)
            if !forced
                .lost
                .iter()
                .map(LostSpan::records)
                .eq(missing.iter().copied()) =>
        {
            Some("it gives up other records than the request before it")
        }
        (Some((head, _)), Some(read)) if head != read => {
            Some("the request before it is for another log than the one that is read here")
        }
        (Some(_), None) if gives_up && !untold => {
            Some("it gives records up behind which nothing repeats the tree of the log")
        }
        _ => None,
    }
}
