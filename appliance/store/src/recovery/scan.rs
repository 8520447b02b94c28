//! Finding segments on the disks by how they begin, where no snapshot tells of them: by their header,
//! or where that is damaged by their first frame.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::buffer::BufferMut;
use stele_device::disk::{BlockingDisk, Disk, DiskError};
use stele_device::limits::READS_AT_ONCE;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};
use stele_format::segment::{FIRST_FRAME_OFFSET, SegmentExpectation, SegmentHeader};
use stele_format::units::{
    DiskId, Epoch, LaneId, PoolId, SegmentId, Sequence, UnitCount, UnitIndex, UnixMillis,
};

use super::Disks;
use crate::engine::DiskSlot;
use crate::pool::{MemberState, Place, Pool, SegmentInfo};

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
/// order, so the search ends a good way past the highest unit known to be in use.
pub(super) fn scan(pool: &mut Pool, disks: &mut Disks, high_water: &[(DiskId, u32)]) -> Found {
    let members: Vec<(DiskId, DiskSlot)> = pool
        .members
        .iter()
        .filter(|member| member.state == MemberState::Active)
        .filter_map(|member| Some((member.disk, member.slot?)))
        .collect();
    let known: BTreeSet<SegmentId> = pool.segments.keys().copied().collect();
    let mut found = Found::new();
    for (disk, slot) in members {
        let floor = high_water
            .iter()
            .find(|(id, _)| *id == disk)
            .map_or(0, |(_, high)| *high);
        for (beginning, place) in scan_disk(pool, disks, (disk, slot), floor) {
            found.entry(beginning.segment).or_default().push(place);
            // Where the snapshot says that a segment lies, it lies: another header of it is that of a
            // copy which moved since, or a stray write.
            let freed = &pool.freed.segments;
            if !known.contains(&beginning.segment) && !freed.contains_key(&beginning.segment) {
                adopt(pool, &beginning, place);
            }
        }
    }
    found
}

fn scan_disk(
    pool: &Pool,
    disks: &mut Disks,
    (disk, slot): (DiskId, DiskSlot),
    floor: u32,
) -> Vec<(Beginning, Place)> {
    let mut all = Vec::new();
    let Some(member) = pool.member(disk) else {
        return all;
    };
    let Some(geometry) = member.geometry else {
        return all;
    };
    let (count, id) = (member.unit_count(), pool.id);
    let taken = taken_units(pool, disk, count);
    let patience = 2 * pool.segment_units + 1;
    let mut last_used = floor;
    let mut units = (0..count).zip(taken).peekable();
    loop {
        // Whatever these show, all of them lie within the patience.
        let mut batch = Vec::new();
        while batch.len() < READS_AT_ONCE
            && let Some((unit, taken)) =
                units.next_if(|(unit, taken)| *taken || *unit <= last_used.saturating_add(patience))
        {
            if taken {
                last_used = last_used.max(unit);
            } else if let Some(offset) = geometry.unit_offset(UnitIndex::new(unit)) {
                batch.push((unit, offset.get()));
            }
        }
        let Some(disk_io) = disks.get(slot).filter(|_| !batch.is_empty()) else {
            return all;
        };
        let ranges: Vec<_> = batch.iter().map(|(_, at)| (*at, 2 * BLOCK)).collect();
        let read = disk_io.read_many(&ranges);
        for ((unit, offset), both) in batch.into_iter().zip(read) {
            let blocks = blocks_of(disk_io, offset, both);
            let Some(found) = beginning_in(blocks, id, disk) else {
                continue;
            };
            let units = found.units.map_or(1, UnitCount::get);
            last_used = last_used.max(unit.saturating_add(units));
            let first_unit = UnitIndex::new(unit);
            all.push((found, Place { disk, first_unit }));
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
    let info = pool.segments.entry(segment).or_insert_with(|| SegmentInfo {
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
