//! Finding segments on the disks by how they begin, where no snapshot tells of them: by their header,
//! or where that is damaged by their first frame.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::buffer::BufferMut;
use stele_device::disk::{BlockingDisk, Disk, DiskError, Reads};
use stele_device::limits::READS_AT_ONCE;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::geometry::DiskGeometry;
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::segment::{FIRST_FRAME_OFFSET, SegmentExpectation, SegmentHeader};
use stele_format::units::{
    DiskId, Epoch, LaneId, PoolId, SegmentId, Sequence, UnitCount, UnitIndex, UnixMillis,
};

use super::Disks;
use crate::engine::DiskSlot;
use crate::pool::{Member, MemberState, Place, Pool, SegmentInfo};

const BLOCK: usize = BLOCK_BYTES as usize;

/// How a segment begins, as far as it can be read.
struct Beginning {
    segment: SegmentId,
    lane: LaneId,
    epoch: Epoch,
    units: Option<UnitCount>,
    first_sequence: Sequence,
    written: UnixMillis,
    /// Whether the first frame can be read, too.
    framed: bool,
}

/// Header and first frame header in the first two blocks of a place.
fn beginning_in(blocks: [Option<BufferMut>; 2], pool: PoolId, id: DiskId) -> Option<Beginning> {
    let [header, frame] = blocks;
    let header = header.and_then(|block| header_in(&block, pool, id));
    let frame = frame.and_then(|block| first_frame_in(&block, pool));
    match (header, frame) {
        (Some(header), frame) => Some(Beginning {
            segment: header.segment,
            lane: header.lane,
            epoch: header.epoch,
            units: Some(header.units),
            first_sequence: header.first_sequence,
            written: header.compliance_ms,
            framed: frame.is_some_and(|frame| frame.segment == header.segment),
        }),
        (None, Some(frame)) => Some(Beginning {
            segment: frame.segment,
            lane: frame.lane,
            epoch: frame.epoch,
            units: None,
            first_sequence: frame.sequence,
            written: frame.compliance_ms,
            framed: true,
        }),
        (None, None) => None,
    }
}

/// The first two blocks at a place; one that cannot be read does not hide the other.
fn read_blocks(disk: &mut dyn Disk, offset: u64) -> [Option<BufferMut>; 2] {
    let both = disk.read_at(offset, 2 * BLOCK);
    blocks_of(disk, offset, both)
}

fn blocks_of(
    disk: &mut dyn Disk,
    offset: u64,
    both: Result<BufferMut, DiskError>,
) -> [Option<BufferMut>; 2] {
    if let Ok(both) = both {
        let (first, second) = both.split_at(BLOCK);
        return [first, second].map(|block| Some(BufferMut::padded(block)));
    }
    [offset, offset + BLOCK as u64].map(|at| disk.read_at(at, BLOCK).ok())
}

fn header_in(block: &[u8], pool: PoolId, disk: DiskId) -> Option<SegmentHeader> {
    let header = SegmentHeader::decode(block).ok()?;
    let segment = header.claims().segment;
    let expect = SegmentExpectation {
        disk: Some(disk),
        ..SegmentExpectation::new(pool, segment)
    };
    header.verify(expect).ok()
}

fn first_frame_in(block: &[u8], pool: PoolId) -> Option<FrameHeader> {
    let header = FrameHeader::decode(block.get(..FRAME_HEADER_BYTES as usize)?).ok()?;
    let segment = header.claims().segment;
    let expect = FrameExpectation::at(pool, segment, FIRST_FRAME_OFFSET);
    header.verify(expect).ok()
}

/// Where segments were found by how they begin, whatever is said of them elsewhere.
pub(super) type Found = BTreeMap<SegmentId, Vec<Place>>;

/// Whether a segment begins at a place.
pub(super) fn begins_at(
    disk: &mut dyn Disk,
    offset: u64,
    pool: PoolId,
    segment: SegmentId,
) -> bool {
    let [header, frame] = read_blocks(disk, offset);
    let expect = SegmentExpectation::new(pool, segment);
    let header = header.and_then(|block| SegmentHeader::decode(&block).ok()?.verify(expect).ok());
    let framed = || frame.and_then(|block| first_frame_in(&block, pool));
    header.is_some() || framed().is_some_and(|frame| frame.segment == segment)
}

/// Adds every segment found in units that no known segment holds. Units are given out in ascending
/// order, so the search ends a good way past the highest unit known to be in use. All disks are searched at the same
/// time: a large one has millions of units.
pub(super) fn scan(pool: &mut Pool, disks: &mut Disks, high_water: &[(DiskId, u32)]) -> Found {
    let members = pool.members.iter();
    let members = members.filter(|member| member.state == MemberState::Active);
    let floor = |disk| {
        let known = high_water.iter().find(|(id, _)| *id == disk);
        known.map_or(0, |(_, high)| *high)
    };
    let searches = members.filter_map(|member| Search::of(pool, member, floor(member.disk)));
    let mut searches: Vec<Search> = searches.collect();
    loop {
        let reading: Vec<Option<Reads>> = searches
            .iter_mut()
            .map(|search| search.begin(disks))
            .collect();
        if reading.iter().all(Option::is_none) {
            break;
        }
        for (search, reads) in searches.iter_mut().zip(reading) {
            if let Some(reads) = reads {
                search.end(pool.id, disks, reads);
            }
        }
    }
    let known: BTreeSet<SegmentId> = pool.segments.keys().copied().collect();
    let mut found = Found::new();
    for (beginning, place) in searches.into_iter().flat_map(|search| search.found) {
        found.entry(beginning.segment).or_default().push(place);
        // Where the snapshot says that a segment lies, it lies: another header of it is that of a
        // copy which moved since, or a stray write.
        let freed = &pool.freed.segments;
        if !known.contains(&beginning.segment) && !freed.contains_key(&beginning.segment) {
            adopt(pool, &beginning, place);
        }
    }
    found
}

/// The search of one disk.
struct Search {
    disk: DiskId,
    slot: DiskSlot,
    geometry: DiskGeometry,
    /// Of each unit whether a known segment holds it, and the next to look at.
    taken: Vec<bool>,
    next: u32,
    /// Highest unit known to be in use, and how far past it to search.
    last_used: u32,
    patience: u32,
    /// Units that are being read, and where.
    batch: Vec<(u32, u64)>,
    found: Vec<(Beginning, Place)>,
}

impl Search {
    fn of(pool: &Pool, member: &Member, floor: u32) -> Option<Self> {
        let (slot, geometry) = (member.slot?, member.geometry?);
        Some(Self {
            disk: member.disk,
            slot,
            geometry,
            taken: taken_units(pool, member.disk, member.unit_count()),
            next: 0,
            last_used: floor,
            patience: 2 * pool.segment_units + 1,
            batch: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Begins to read the next units; none when the search is over.
    fn begin(&mut self, disks: &mut Disks) -> Option<Reads> {
        // Whatever these show, all of them lie within the patience.
        while self.batch.len() < READS_AT_ONCE
            && let Some(taken) = self.taken.get(self.next as usize).copied()
            && (taken || self.next <= self.last_used.saturating_add(self.patience))
        {
            let unit = self.next;
            self.next += 1;
            if taken {
                self.last_used = self.last_used.max(unit);
            } else if let Some(offset) = self.geometry.unit_offset(UnitIndex::new(unit)) {
                self.batch.push((unit, offset.get()));
            }
        }
        if self.batch.is_empty() {
            return None;
        }
        let ranges = self.batch.iter().map(|(_, at)| (*at, 2 * BLOCK));
        Some(Reads::begin(disks.get(self.slot)?, ranges.collect()))
    }

    fn end(&mut self, pool: PoolId, disks: &mut Disks, reads: Reads) {
        let Some(disk) = disks.get(self.slot) else {
            return;
        };
        for ((unit, offset), both) in self.batch.drain(..).zip(reads.end(disk)) {
            let blocks = blocks_of(disk, offset, both);
            let Some(found) = beginning_in(blocks, pool, self.disk) else {
                continue;
            };
            let units = found.units.map_or(1, UnitCount::get);
            self.last_used = self.last_used.max(unit.saturating_add(units));
            let place = Place {
                disk: self.disk,
                first_unit: UnitIndex::new(unit),
            };
            self.found.push((found, place));
        }
    }
}

/// Units in which no unknown segment can begin: all of a closed segment, but only the first of one
/// that was open when the snapshot was taken, since later starts may have cut it short and given the
/// rest to others.
fn taken_units(pool: &Pool, disk: DiskId, count: u32) -> Vec<bool> {
    let mut taken = vec![false; count as usize];
    let mut take = |place: &Place, units: u32| {
        let first = place.first_unit.get() as usize;
        for flag in taken.iter_mut().skip(first).take(units as usize) {
            *flag = true;
        }
    };
    for info in pool.segments.values() {
        let units = if info.data_end.is_some() {
            info.units
        } else {
            1
        };
        let places = info.all_places().filter(|place| place.disk == disk);
        places.for_each(|place| take(place, units));
    }
    let freed = pool.freed.copies().map(|(_, copy)| copy);
    let freed = freed.filter(|copy| copy.place.disk == disk);
    freed.for_each(|copy| take(&copy.place, copy.units));
    taken
}

/// Enters a segment, or one more copy of it. Its length ends at the next segment on the disk, since a
/// segment that was closed early has given its last units back. On one disk it lies once: of two
/// headers the one counts that a frame follows, until the record that allocated it is read.
fn adopt(pool: &mut Pool, found: &Beginning, place: Place) {
    let segment = found.segment;
    let segment_units = pool.segment_units;
    pool.next_segment = pool.next_segment.max(SegmentId::new(segment.get() + 1));
    let info = pool.segments.get_or_insert_with(segment, || SegmentInfo {
        lane: found.lane,
        epoch: found.epoch,
        units: found.units.map_or(segment_units, UnitCount::get),
        first_sequence: found.first_sequence,
        data_end: None,
        stated: None,
        places: Vec::new(),
        aside: Vec::new(),
        written: found.written,
        verified: UnixMillis::ZERO,
        first_read: None,
        flaw: None,
    });
    info.first_sequence = found.first_sequence;
    match info
        .places
        .iter_mut()
        .find(|other| other.disk == place.disk)
    {
        Some(other) if found.framed => *other = place,
        Some(_) => {}
        None => info.places.push(place),
    }
}
