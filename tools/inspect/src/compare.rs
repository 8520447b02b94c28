//! All present copies of one segment, side by side.
//!
//! Copies of a segment hold the same bytes, so the frames that verify on any of them are the
//! reference for all. Each copy is then described by what it lacks of it. Nothing is judged here;
//! what a finding means depends on the journal and is decided later.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use stele_format::digest::Digest;
use stele_format::segment::{SegmentHeader, SegmentSeal};
use stele_format::units::{LaneId, SegmentId, Sequence, UnitIndex};

use crate::limits::SECTOR_BYTES;
use crate::media::{self, BLOCK, BLOCK_LEN, length};
use crate::pool::Pool;
use crate::scan::{BadPlace, Class, CopyScan, Extent, Frame, class_against, scan_copy};
use crate::seal::{self, SealFault};
use crate::source::is_zero;
use crate::survey::{CopyAt, Header, Survey, extent_of, find_seal};

/// A frame that verifies on at least one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The frame.
    pub frame: Frame,
    /// The copies it verifies on, by place in [`SegmentFacts::copies`].
    pub holders: Vec<usize>,
}

/// A place of one copy where a frame should be and none verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Number of the frame in the segment.
    pub frame: u32,
    /// Byte offset in the segment.
    pub offset: u64,
    /// Sequence the frame has, or would have.
    pub sequence: Sequence,
    /// Digest of its payload, where another copy or its own header tells.
    pub payload: Option<Digest>,
    /// What the place shows.
    pub class: Class,
    /// Whether frames that verify follow in this copy.
    pub followed: bool,
    /// Whether another copy holds the frame.
    pub good_copy: bool,
    /// What is wrong, for an operator.
    pub what: String,
}

/// What one copy shows.
#[derive(Debug, Clone)]
pub struct CopyFacts {
    /// The disk, by place in [`Pool::disks`].
    pub disk: usize,
    /// First unit on that disk.
    pub unit: UnitIndex,
    /// Its header block.
    pub header: Header,
    /// Sequence of the last frame of it that verifies.
    pub last_sequence: Option<Sequence>,
    /// What the header block shows, when it does not verify.
    pub header_class: Option<Class>,
    /// Places without the frame they should hold.
    pub findings: Vec<Finding>,
    /// What is wrong with footer and seal.
    pub seal_faults: Vec<SealFault>,
}

/// What all present copies show together.
#[derive(Debug, Clone)]
pub struct SegmentFacts {
    /// The segment.
    pub segment: SegmentId,
    /// Its header, when it verifies on any copy.
    pub header: Option<SegmentHeader>,
    /// Its lane, from its header or its first frame.
    pub lane: Option<LaneId>,
    /// Its seal, when it verifies on any copy.
    pub seal: Option<SegmentSeal>,
    /// Its present copies.
    pub copies: Vec<CopyFacts>,
    /// Its frames in order; dropped as soon as they have been looked at.
    pub frames: Vec<Reference>,
    /// Their number.
    pub frame_count: u64,
    /// Payload of the first frame, or of the first that a record cites.
    pub payload: Option<Digest>,
    /// Frames that verify and do not fit their segment or their predecessor.
    pub misfits: Vec<Misfit>,
    /// Bytes of frames that verify, over all copies.
    pub bytes_verified: u64,
}

/// A frame that verifies and does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Number of the frame in the segment.
    pub frame: u32,
    /// Disks that hold it, by place in [`Pool::disks`].
    pub disks: Vec<usize>,
    /// What is wrong, for an operator.
    pub what: &'static str,
}

impl SegmentFacts {
    /// The disks that hold a frame, by place in [`Pool::disks`].
    #[must_use]
    pub fn disks_of(&self, reference: &Reference) -> Vec<usize> {
        let copies = reference
            .holders
            .iter()
            .filter_map(|holder| self.copies.get(*holder));
        copies.map(|copy| copy.disk).collect()
    }
}

/// Reads and compares all copies of a segment. What looks unfinished is read once more after
/// `pause`; what a running vault added meanwhile is left out.
#[must_use]
pub fn examine(
    pool: &Pool<'_>,
    survey: &Survey,
    segment: SegmentId,
    pause: Duration,
) -> SegmentFacts {
    let found = survey.segments.get(&segment).map_or(&[][..], Vec::as_slice);
    let first = Round::read(pool, survey, segment, found);
    if !first.looks_unfinished() {
        return first.facts(pool);
    }
    thread::sleep(pause);
    let mut second = Round::read(pool, survey, segment, found);
    if second.seal.is_none() {
        second.forget_newer_than(&first);
    }
    second.facts(pool)
}

/// One reading of all copies.
struct Round {
    segment: SegmentId,
    header: Option<SegmentHeader>,
    seal: Option<SegmentSeal>,
    copies: Vec<RoundCopy>,
}

struct RoundCopy {
    at: CopyAt,
    extent: Extent,
    scan: CopyScan,
}

impl Round {
    fn read(pool: &Pool<'_>, survey: &Survey, segment: SegmentId, found: &[CopyAt]) -> Self {
        let mut copies: Vec<CopyAt> = found.to_vec();
        for copy in copies
            .iter_mut()
            .filter(|copy| copy.header.good().is_none())
        {
            *copy = survey.look_for(pool, copy.disk, copy.unit, segment);
        }
        let header = copies.iter().find_map(|copy| copy.header.good().cloned());
        for copy in &mut copies {
            if copy
                .header
                .good()
                .is_some_and(|own| Some(own) != header.as_ref())
            {
                copy.header = Header::Dead("it differs from the other copies".to_owned());
            }
        }
        let seal = copies.iter().find_map(|copy| {
            find_seal(
                pool,
                &pool.disks[copy.disk],
                copy.unit,
                segment,
                header.as_ref(),
            )
        });
        let copies = copies
            .into_iter()
            .filter_map(|at| {
                let extent = bounded_extent(pool, survey, &at, header.as_ref())?;
                let source = pool.disks[at.disk].source;
                let scan = match at.header {
                    Header::Taken => CopyScan::default(),
                    _ => scan_copy(source, extent, pool.id, segment, seal.as_ref()),
                };
                Some(RoundCopy { at, extent, scan })
            })
            .collect();
        Self {
            segment,
            header,
            seal,
            copies,
        }
    }

    fn lane(&self) -> Option<LaneId> {
        let named = || {
            self.copies
                .iter()
                .find_map(|copy| Some(copy.at.first?.lane))
        };
        self.header
            .as_ref()
            .map(|header| header.lane)
            .or_else(named)
    }

    fn last_index(&self) -> Option<u32> {
        self.copies
            .iter()
            .filter_map(|copy| copy.scan.frames.last())
            .map(|f| f.index)
            .max()
    }

    fn looks_unfinished(&self) -> bool {
        // Nobody writes a sealed segment any more, except a copy that lags; that is looked at again
        // before it is called damage.
        let last = self.last_index();
        self.seal.is_none()
            && self.copies.iter().any(|copy| {
                let own = copy.scan.frames.last().map(|frame| frame.index);
                !copy.scan.bad.is_empty() || own != last || copy.at.header.good().is_none()
            })
    }

    /// Leaves out what was written after the first reading began: copies are read one after the
    /// other, so newer frames would be missed on the copies read first.
    fn forget_newer_than(&mut self, first: &Self) {
        let horizon = first.last_index();
        for (copy, before) in self.copies.iter_mut().zip(&first.copies) {
            copy.scan
                .frames
                .retain(|frame| Some(frame.index) <= horizon);
            copy.scan.bad.retain(|bad| {
                let seen = before
                    .scan
                    .bad
                    .iter()
                    .any(|known| known.offset == bad.offset);
                seen || Some(bad.index) <= horizon
            });
        }
    }

    fn facts(self, pool: &Pool<'_>) -> SegmentFacts {
        let (frames, conflicts) = self.reference();
        let mut copies = Vec::new();
        for (number, copy) in self.copies.iter().enumerate() {
            let mut findings = self.findings_of(pool, number, &frames);
            findings.extend(conflicts.iter().filter(|(loser, _)| *loser == number).map(
                |(_, frame)| Finding {
                    frame: frame.index,
                    offset: frame.offset,
                    sequence: frame.header.sequence,
                    payload: None,
                    class: Class::Rotten,
                    followed: true,
                    good_copy: true,
                    what: "it verifies, but differs from the other copies".to_owned(),
                },
            ));
            findings.sort_by_key(|finding| finding.offset);
            let source = pool.disks[copy.at.disk].source;
            let seal_faults = match &self.seal {
                _ if copy.at.header == Header::Taken => Vec::new(),
                Some(seal) => seal::check(source, copy.extent, seal, &frames),
                None => {
                    let unit = length_of_unit(pool, copy);
                    seal::dead_seals(source, copy.extent, unit, |block, offset| {
                        let header = self.header.as_ref();
                        media::segment_seal(block, pool.id, self.segment, header, offset).is_some()
                    })
                }
            };
            copies.push(CopyFacts {
                disk: copy.at.disk,
                unit: copy.at.unit,
                header: copy.at.header.clone(),
                last_sequence: copy.scan.frames.last().map(|frame| frame.header.sequence),
                header_class: self.header_class(pool, copy),
                findings,
                seal_faults,
            });
        }
        let bytes_verified = self
            .copies
            .iter()
            .map(|copy| copy.scan.bytes_verified)
            .sum();
        let mut facts = SegmentFacts {
            segment: self.segment,
            lane: self.lane(),
            header: self.header,
            seal: self.seal,
            copies,
            frame_count: frames.len() as u64,
            payload: frames
                .first()
                .map(|first| first.frame.header.payload_digest),
            frames,
            misfits: Vec::new(),
            bytes_verified,
        };
        facts.misfits = misfits(&facts);
        facts
    }

    /// What the header block of a copy shows, when it does not verify.
    fn header_class(&self, pool: &Pool<'_>, copy: &RoundCopy) -> Option<Class> {
        if matches!(copy.at.header, Header::Good(_) | Header::Taken) {
            return None;
        }
        let mut here = vec![0; BLOCK_LEN];
        let source = pool.disks[copy.at.disk].source;
        if source.read_at(copy.extent.start, &mut here).is_err() {
            return Some(Class::Unreadable);
        }
        Some(match &self.header {
            Some(header) => class_against(&header.encode(), &here),
            None if is_zero(&here) => Class::Blank,
            // Magic and digest stand in the first and the last sector; without one of them the
            // write was cut short.
            None if is_zero(&here[..SECTOR_BYTES]) => Class::Torn,
            None if is_zero(&here[BLOCK_LEN - SECTOR_BYTES..]) => Class::Torn,
            None => Class::Rotten,
        })
    }

    /// The frames of all copies, each once, and those that lost against another copy's.
    fn reference(&self) -> (Vec<Reference>, Vec<(usize, Frame)>) {
        let mut by_index: BTreeMap<u32, Vec<Reference>> = BTreeMap::new();
        for (number, copy) in self.copies.iter().enumerate() {
            for frame in &copy.scan.frames {
                let candidates = by_index.entry(frame.index).or_default();
                match candidates.iter_mut().find(|known| known.frame == *frame) {
                    Some(known) => known.holders.push(number),
                    None => candidates.push(Reference {
                        frame: frame.clone(),
                        holders: vec![number],
                    }),
                }
            }
        }
        let mut frames: Vec<Reference> = Vec::new();
        let mut conflicts = Vec::new();
        for mut candidates in by_index.into_values() {
            let previous = frames.last().map(|last| last.frame.header.digest());
            candidates.sort_by_key(|candidate| {
                let continues = Some(candidate.frame.header.previous_header) == previous;
                (continues, candidate.holders.len())
            });
            frames.extend(candidates.pop());
            for loser in candidates {
                conflicts.extend(loser.holders.iter().map(|n| (*n, loser.frame.clone())));
            }
        }
        (frames, conflicts)
    }

    fn findings_of(&self, pool: &Pool<'_>, number: usize, frames: &[Reference]) -> Vec<Finding> {
        let copy = &self.copies[number];
        let taken = copy.at.header == Header::Taken;
        let last = copy.scan.frames.last().map_or(0, |frame| frame.offset);
        let mut findings = Vec::new();
        let lacking = frames
            .iter()
            .filter(|reference| !reference.holders.contains(&number));
        for reference in lacking {
            let frame = &reference.frame;
            let bad = copy.scan.bad.iter().find(|bad| covers(bad, frame.offset));
            let what = match bad {
                Some(bad) => bad.what.clone(),
                None => "the frame is missing".to_owned(),
            };
            findings.push(Finding {
                frame: frame.index,
                offset: frame.offset,
                sequence: frame.header.sequence,
                payload: Some(frame.header.payload_digest),
                class: if taken {
                    Class::Blank
                } else {
                    self.class_here(pool, number, reference)
                },
                followed: frame.offset < last,
                good_copy: true,
                what,
            });
        }
        for bad in &copy.scan.bad {
            let known = frames
                .iter()
                .any(|reference| covers(bad, reference.frame.offset));
            if !known {
                self.unknown_frames(copy, bad, &mut findings);
            }
        }
        findings
    }

    /// Findings for a place whose frames no copy holds any more.
    fn unknown_frames(&self, copy: &RoundCopy, bad: &BadPlace, findings: &mut Vec<Finding>) {
        let first_sequence = self.header.as_ref().map_or(1, |h| h.first_sequence.get());
        let next = copy
            .scan
            .frames
            .iter()
            .find(|frame| frame.offset > bad.offset);
        let last_of_seal = self.seal.as_ref().map(|seal| seal.frame_count);
        let until = next
            .map(|frame| frame.index)
            .or(last_of_seal)
            .unwrap_or(bad.index + 1);
        for index in bad.index..until.max(bad.index.saturating_add(1)) {
            let claim = bad.claim.as_ref();
            findings.push(Finding {
                frame: index,
                offset: bad.offset,
                sequence: claim.map_or(
                    Sequence::new(first_sequence.saturating_add(u64::from(index))),
                    |claim| claim.header.sequence,
                ),
                payload: claim.map(|claim| claim.header.payload_digest),
                class: bad.class,
                followed: bad.followed,
                good_copy: false,
                what: bad.what.clone(),
            });
            if claim.is_some() {
                break;
            }
        }
    }

    /// The class of this copy's place of a frame that another copy holds.
    fn class_here(&self, pool: &Pool<'_>, number: usize, reference: &Reference) -> Class {
        let len = length(reference.frame.header.total_bytes);
        let read = |number: usize| {
            let copy = &self.copies[number];
            let mut bytes = vec![0; len];
            let at = copy.extent.start + reference.frame.offset;
            let source = pool.disks[copy.at.disk].source;
            source.read_at(at, &mut bytes).ok().map(|()| bytes)
        };
        let Some(here) = read(number) else {
            return Class::Unreadable;
        };
        let good = reference.holders.iter().find_map(|holder| read(*holder));
        good.map_or(Class::Rotten, |good| class_against(&good, &here))
    }
}

fn covers(bad: &BadPlace, offset: u64) -> bool {
    (bad.offset..bad.offset + bad.bytes.max(1)).contains(&offset)
}

fn length_of_unit(pool: &Pool<'_>, copy: &RoundCopy) -> u64 {
    u64::from(pool.disks[copy.at.disk].labels.fixed.geometry.unit_bytes)
}

/// The extent of a copy, cut off where another segment begins: a closed segment gives units back.
fn bounded_extent(
    pool: &Pool<'_>,
    survey: &Survey,
    at: &CopyAt,
    header: Option<&SegmentHeader>,
) -> Option<Extent> {
    let disk = &pool.disks[at.disk];
    let full = disk.labels.fixed.geometry.segment_units.get();
    let mut units = header.map_or(full, |header| header.units.get());
    if let Some(next) = survey.next_start(at.disk, at.unit) {
        units = units.min(next.get() - at.unit.get());
    }
    extent_of(disk, at.unit, units)
}

/// Frames that verify but do not fit their segment or do not continue from the frame before.
fn misfits(facts: &SegmentFacts) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    let mut before: Option<&Frame> = None;
    for reference in &facts.frames {
        let frame = &reference.frame;
        if let Some(what) = misfit(facts.header.as_ref(), before, frame) {
            let disks = facts.disks_of(reference);
            misfits.push(Misfit {
                frame: frame.index,
                disks,
                what,
            });
        }
        before = Some(frame);
    }
    misfits
}

fn misfit(
    header: Option<&SegmentHeader>,
    before: Option<&Frame>,
    frame: &Frame,
) -> Option<&'static str> {
    if let Some(header) = header {
        let expected = header.first_sequence.checked_add(u64::from(frame.index));
        if frame.header.lane != header.lane || frame.header.epoch < header.epoch {
            return Some("it belongs to another lane or epoch than its segment");
        }
        if expected != Some(frame.header.sequence) {
            return Some("its sequence does not fit its segment");
        }
        if frame.index == 0 && frame.header.previous_header != header.digest() {
            return Some("it does not continue from its segment's header");
        }
    }
    match before {
        Some(before) if before.index + 1 == frame.index => {
            let continues = frame.header.previous_header == before.header.digest();
            if before.end() != frame.offset {
                Some("it does not begin where the frame before it ends")
            } else if continues {
                None
            } else {
                Some("it does not continue the chain of the frame before it")
            }
        }
        None if frame.index == 0 && frame.offset != BLOCK => Some("it is not in its place"),
        _ => None,
    }
}
