//! Which segments of the journal are the log, and where it goes from one to the next.
//!
//! Each names the one before it, so the newest leads back to the first. A forced opening that was cut leaves segments
//! with numbers that are used again: nothing in them counts.

use stele_format::segment::SegmentHeader;
use stele_format::units::{SegmentId, Sequence};

use crate::compare::SegmentFacts;
use crate::pool::Pool;
use crate::survey::Survey;

/// The segments from first to newest, each the predecessor of the next. A predecessor that is on no present disk is
/// stepped over.
pub fn line_of(pool: &Pool<'_>, survey: &Survey) -> Vec<SegmentId> {
    // A forced opening that was cut begins a segment of which nothing counts; of several with one number, the newest
    // leads past those that were cut.
    let counts = |segment: &SegmentId| {
        let header = survey.header_of(*segment);
        header.is_none_or(|header| header.first_sequence.opening() <= pool.opening)
    };
    let all: Vec<SegmentId> = survey.segments_of(true).filter(counts).collect();
    let first_of = |segment: SegmentId| {
        let header = survey.header_of(segment);
        header.map(|header| header.first_sequence)
    };
    let mut line: Vec<SegmentId> = Vec::new();
    let mut at = all.last().copied();
    while let Some(segment) = at {
        line.push(segment);
        let header = survey.header_of(segment);
        let latest = header.map_or(segment, |header| header.previous_segment);
        // In the place of one that is not found an opening of the same number that was cut must not stand.
        let before = |known: &SegmentId| {
            let goes_on = first_of(*known).zip(first_of(segment));
            let earlier = *known == latest || goes_on.is_none_or(|(one, next)| one < next);
            *known <= latest && *known < segment && earlier
        };
        at = all.iter().rev().copied().find(before);
    }
    line.reverse();
    line
}

/// Whether a segment that begins with this frame is the first of a later forced opening than the frame expected.
pub fn leaps(expected: Sequence, first: Sequence) -> bool {
    let opening = first.opening();
    opening > expected.opening() && first == Sequence::first_of(opening)
}

/// The frame before which the log left a segment for that of a forced opening: what disks that were left behind have
/// after it is no part of it. None if nothing here tells.
pub fn fork_of(facts: &SegmentFacts, next: &SegmentHeader) -> Option<Sequence> {
    let frames = facts.frames.iter().map(|reference| &reference.frame.header);
    let mut frames = frames.filter(|frame| frame.digest() == next.previous_chain);
    let after = frames.next().and_then(|last| last.sequence.next());
    let header = facts.header.as_ref();
    let unused = header.filter(|header| header.previous_chain == next.previous_chain);
    after.or_else(|| unused.map(|header| header.first_sequence))
}
