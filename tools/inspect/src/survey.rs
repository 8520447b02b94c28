//! Where the copies of all segments lie, found from the disks alone.
//!
//! A segment begins at a unit with its header. Where the header does not verify, the first frame
//! behind it still names the segment. Places that ALLOC records name and that show neither are
//! added later, by [`Survey::add`].

use std::collections::BTreeMap;

use stele_format::segment::{HEADER_MAGIC, SegmentHeader, SegmentSeal};
use stele_format::units::{LaneId, SegmentId, Sequence, UnitIndex};

use crate::media::{self, BLOCK, BLOCK_LEN, FRAME_HEADER_LEN};
use crate::pool::{Pool, PoolDisk, Standing};
use crate::scan::Extent;
use crate::source::is_zero;

/// State of the header block of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// It verifies.
    Good(Box<SegmentHeader>),
    /// Nothing was ever written there.
    Blank,
    /// A segment allocated later lies here, so this copy was given up before it held anything.
    Taken,
    /// It does not verify, for this reason.
    Dead(String),
}

impl Header {
    /// The header, when it verifies.
    #[must_use]
    pub fn good(&self) -> Option<&SegmentHeader> {
        match self {
            Self::Good(header) => Some(header),
            Self::Blank | Self::Taken | Self::Dead(_) => None,
        }
    }
}

/// One copy of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyAt {
    /// The disk, by place in [`Pool::disks`].
    pub disk: usize,
    /// First unit on that disk.
    pub unit: UnitIndex,
    /// Its header block.
    pub header: Header,
    /// What its first frame says, where the header does not verify.
    pub first: Option<First>,
}

/// What the first frame of a segment says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Its lane.
    pub lane: LaneId,
    /// Its number.
    pub sequence: Sequence,
}

impl CopyAt {
    /// Number of the first frame, as far as anything says.
    fn begins_with(&self) -> Option<Sequence> {
        let header = self.header.good().map(|header| header.first_sequence);
        header.or(self.first.map(|first| first.sequence))
    }
}

/// Every copy found.
#[derive(Debug, Default)]
pub struct Survey {
    /// By segment.
    pub segments: BTreeMap<SegmentId, Vec<CopyAt>>,
    /// Units that begin like a segment but name none.
    pub strays: Vec<(usize, UnitIndex)>,
    /// Units at which segments begin, by disk, in order.
    starts: Vec<Vec<UnitIndex>>,
    /// Copies that count for nothing, on units that are their segment's all the same.
    aside: Vec<(SegmentId, CopyAt)>,
    /// Places that copies moved to or were to move to, which no other segment is ever given.
    moved_to: Vec<(usize, UnitIndex)>,
}

/// What stands at the start of a unit.
enum UnitStart {
    Segment(SegmentId, Header, Option<First>),
    Stray,
    Nothing,
}

impl Survey {
    /// Looks at every unit of every disk.
    #[must_use]
    pub fn of(pool: &Pool<'_>) -> Self {
        let mut survey = Self::default();
        for (number, disk) in pool.disks.iter().enumerate() {
            survey.look_at_disk(pool, number, disk);
        }
        survey.leave_out_cut_openings(pool);
        survey
    }

    /// Of a forced opening that was cut nothing counts on a disk that was left behind by another one: that gave its
    /// numbers away anew.
    fn leave_out_cut_openings(&mut self, pool: &Pool<'_>) {
        let cut = |copy: &CopyAt| {
            let disk = &pool.disks[copy.disk];
            let begun = copy.begins_with().map(Sequence::opening);
            disk.standing != Standing::Active && begun > Some(disk.labels.opening())
        };
        let segments: Vec<SegmentId> = self.segments.keys().copied().collect();
        for segment in segments {
            self.leave_out(segment, cut);
        }
    }

    fn look_at_disk(&mut self, pool: &Pool<'_>, number: usize, disk: &PoolDisk<'_>) {
        let count = disk.labels.fixed.geometry.unit_count().get();
        let mut next = 0;
        while next < count {
            let unit = UnitIndex::new(next);
            next += 1;
            match look_at_unit(pool, disk, unit) {
                UnitStart::Segment(segment, header, first) => {
                    // The units a seal keeps hold frames only; no other segment begins there.
                    if let Some(seal) = find_seal(pool, disk, unit, segment, header.good()) {
                        next = unit.get().saturating_add(seal.units.get());
                    }
                    self.add(
                        segment,
                        CopyAt {
                            disk: number,
                            unit,
                            header,
                            first,
                        },
                    );
                }
                UnitStart::Stray => self.strays.push((number, unit)),
                UnitStart::Nothing => {}
            }
        }
    }

    /// Adds a copy, unless it is known.
    pub fn add(&mut self, segment: SegmentId, copy: CopyAt) {
        let place = (copy.disk, copy.unit);
        if !self.add_overlaid(segment, copy) {
            return;
        }
        let (disk, unit) = place;
        if self.starts.len() <= disk {
            self.starts.resize(disk + 1, Vec::new());
        }
        let starts = &mut self.starts[disk];
        let at = starts.partition_point(|start| *start < unit);
        starts.insert(at, unit);
    }

    /// Adds a copy, unless it is known, whose place was given to another segment since: that one does not end
    /// there. Says whether it was added.
    pub fn add_overlaid(&mut self, segment: SegmentId, copy: CopyAt) -> bool {
        let copies = self.segments.entry(segment).or_default();
        let place = (copy.disk, copy.unit);
        let known = copies.iter().any(|known| (known.disk, known.unit) == place);
        if !known {
            copies.push(copy);
        }
        !known
    }

    /// Leaves out copies that count for nothing; the units are still known to be begun there, and taken.
    pub fn leave_out(&mut self, segment: SegmentId, aside: impl Fn(&CopyAt) -> bool) -> bool {
        let Some(copies) = self.segments.remove(&segment) else {
            return false;
        };
        let (out, kept): (Vec<CopyAt>, Vec<CopyAt>) = copies.into_iter().partition(aside);
        let left_out = !out.is_empty();
        self.aside
            .extend(out.into_iter().map(|copy| (segment, copy)));
        if !kept.is_empty() {
            self.segments.insert(segment, kept);
        }
        left_out
    }

    /// Whether a copy was found there, be it one that counts for nothing.
    #[must_use]
    pub fn knows(&self, segment: SegmentId, disk: usize, unit: UnitIndex) -> bool {
        let copies = self.segments.get(&segment).into_iter().flatten();
        let aside = self.aside.iter().filter(|(id, _)| *id == segment);
        let mut all = copies.chain(aside.map(|(_, copy)| copy));
        all.any(|copy| copy.disk == disk && copy.unit == unit)
    }

    /// The header of a segment from any copy.
    #[must_use]
    pub fn header_of(&self, segment: SegmentId) -> Option<&SegmentHeader> {
        self.segments
            .get(&segment)?
            .iter()
            .find_map(|copy| copy.header.good())
    }

    /// The first frame of a segment, as far as anything says.
    #[must_use]
    pub fn first_of(&self, segment: SegmentId) -> Option<Sequence> {
        let copies = self.segments.get(&segment)?;
        let header = self.header_of(segment).map(|header| header.first_sequence);
        header.or_else(|| copies.iter().find_map(CopyAt::begins_with))
    }

    /// The segments of the journal, or all others, in order.
    pub fn segments_of(&self, journal: bool) -> impl Iterator<Item = SegmentId> {
        let lanes = self.segments.iter();
        lanes
            .filter(move |(_, copies)| is_journal(copies) == journal)
            .map(|(segment, _)| *segment)
    }

    /// The next unit on a disk, after `unit`, at which a segment begins.
    #[must_use]
    pub fn next_start(&self, disk: usize, unit: UnitIndex) -> Option<UnitIndex> {
        let starts = self.starts.get(disk)?;
        let after = starts.partition_point(|start| *start <= unit);
        starts.get(after).copied()
    }

    /// Looks at one place that a record names as a copy of `segment`.
    #[must_use]
    pub fn look_for(
        &self,
        pool: &Pool<'_>,
        disk: usize,
        unit: UnitIndex,
        segment: SegmentId,
    ) -> CopyAt {
        let mut first = None;
        let at = &pool.disks[disk];
        let header = match look_at_unit(pool, at, unit) {
            UnitStart::Segment(found, header, named) if found == segment => {
                first = named;
                header
            }
            _ if self.is_taken(disk, unit, segment) => Header::Taken,
            UnitStart::Nothing if extent_start(at, unit).is_some_and(|s| block_is_blank(at, s)) => {
                Header::Blank
            }
            _ => Header::Dead("it does not verify".to_owned()),
        };
        CopyAt {
            disk,
            unit,
            header,
            first,
        }
    }

    /// A copy moved here, or was to.
    pub fn note_move(&mut self, disk: usize, unit: UnitIndex) {
        self.moved_to.push((disk, unit));
    }

    /// Whether a segment newer than `segment` covers a unit, or an older one that moved there.
    fn is_taken(&self, disk: usize, unit: UnitIndex, segment: SegmentId) -> bool {
        let all = self.segments.iter();
        let all = all.flat_map(|(id, copies)| copies.iter().map(move |copy| (*id, copy)));
        let aside = self.aside.iter().map(|(id, copy)| (*id, copy));
        let later = |(id, copy): &(SegmentId, &CopyAt)| {
            let moved = self.moved_to.contains(&(copy.disk, copy.unit));
            copy.disk == disk && (*id > segment || (moved && *id != segment))
        };
        all.chain(aside).filter(later).any(|(_, copy)| {
            let units = copy.header.good().map_or(1, |header| header.units.get());
            let covered = copy.unit.get()..copy.unit.get().saturating_add(units);
            covered.contains(&unit.get())
        })
    }
}

fn is_journal(copies: &[CopyAt]) -> bool {
    let lane = copies
        .iter()
        .find_map(|copy| copy.header.good().map(|header| header.lane));
    lane.or_else(|| copies.iter().find_map(|copy| Some(copy.first?.lane)))
        .is_some_and(LaneId::is_journal)
}

fn extent_start(disk: &PoolDisk<'_>, unit: UnitIndex) -> Option<u64> {
    disk.labels
        .fixed
        .geometry
        .unit_offset(unit)
        .map(|offset| offset.get())
}

fn block_is_blank(disk: &PoolDisk<'_>, offset: u64) -> bool {
    let mut block = vec![0; BLOCK_LEN];
    disk.source.read_at(offset, &mut block).is_ok() && is_zero(&block)
}

fn look_at_unit(pool: &Pool<'_>, disk: &PoolDisk<'_>, unit: UnitIndex) -> UnitStart {
    let Some(start) = extent_start(disk, unit) else {
        return UnitStart::Nothing;
    };
    let mut bytes = vec![0; BLOCK_LEN + FRAME_HEADER_LEN];
    let readable = disk.source.read_at(start, &mut bytes).is_ok();
    let (block, frame) = bytes.split_at(BLOCK_LEN);
    if readable && is_zero(block) && is_zero(frame) {
        return UnitStart::Nothing;
    }
    if !readable {
        return frame_behind(
            pool,
            disk,
            start,
            Header::Dead("it cannot be read".to_owned()),
        );
    }
    match media::segment_header(block, pool.id) {
        Ok(header) => UnitStart::Segment(header.segment, Header::Good(Box::new(header)), None),
        Err(_) if is_zero(block) => frame_behind(pool, disk, start, Header::Blank),
        Err(what) => match frame_behind(pool, disk, start, Header::Dead(what)) {
            UnitStart::Nothing if block.starts_with(&HEADER_MAGIC) => UnitStart::Stray,
            found => found,
        },
    }
}

/// The segment that a first frame behind a useless header block names.
fn frame_behind(pool: &Pool<'_>, disk: &PoolDisk<'_>, start: u64, header: Header) -> UnitStart {
    let mut frame = vec![0; FRAME_HEADER_LEN];
    if disk.source.read_at(start + BLOCK, &mut frame).is_err() {
        return UnitStart::Nothing;
    }
    match media::first_frame(&frame, pool.id) {
        Some(first) => {
            let segment = first.segment;
            let (lane, sequence) = (first.lane, first.sequence);
            UnitStart::Segment(segment, header, Some(First { lane, sequence }))
        }
        None => UnitStart::Nothing,
    }
}

/// The seal of a copy, looked for at the end of every unit it may reach.
#[must_use]
pub fn find_seal(
    pool: &Pool<'_>,
    disk: &PoolDisk<'_>,
    unit: UnitIndex,
    segment: SegmentId,
    header: Option<&SegmentHeader>,
) -> Option<SegmentSeal> {
    let start = extent_start(disk, unit)?;
    let geometry = &disk.labels.fixed.geometry;
    let units = header.map_or(geometry.segment_units.get(), |header| header.units.get());
    let units = units.min(geometry.unit_count().get() - unit.get());
    let mut block = vec![0; BLOCK_LEN];
    (1..=units).find_map(|kept| {
        let offset = u64::from(kept) * u64::from(geometry.unit_bytes) - BLOCK;
        disk.source.read_at(start + offset, &mut block).ok()?;
        if is_zero(&block) {
            return None;
        }
        media::segment_seal(&block, pool.id, segment, header, offset)
    })
}

/// Where a copy lies, at most `units` long and never beyond the last unit of its disk.
#[must_use]
pub fn extent_of(disk: &PoolDisk<'_>, unit: UnitIndex, units: u32) -> Option<Extent> {
    let geometry = &disk.labels.fixed.geometry;
    let start = extent_start(disk, unit)?;
    let units = units.min(geometry.unit_count().get() - unit.get());
    Some(Extent {
        start,
        bytes: u64::from(units) * u64::from(geometry.unit_bytes),
    })
}
