//! Finding segments on the disks by their headers, where no snapshot tells of them.

use stele_device::disk::{BlockingDisk, Disk};
use stele_format::limits::BLOCK_BYTES;
use stele_format::segment::{SegmentExpectation, SegmentHeader};
use stele_format::units::{DiskId, PoolId, SegmentId, UnitIndex, UnixMillis};

use super::Disks;
use crate::engine::DiskSlot;
use crate::pool::{MemberState, Place, Pool, SegmentInfo};

const BLOCK: usize = BLOCK_BYTES as usize;

/// Reads the segment header at a place.
pub(super) fn read_header(
    disk: &mut dyn Disk,
    offset: u64,
    pool: PoolId,
    id: DiskId,
) -> Option<SegmentHeader> {
    let block = disk.read_at(offset, BLOCK).ok()?;
    let header = SegmentHeader::decode(&block).ok()?;
    let segment = header.claims().segment;
    let expect = SegmentExpectation {
        disk: Some(id),
        ..SegmentExpectation::new(pool, segment)
    };
    header.verify(expect).ok()
}

/// Adds every segment found in units that no known segment holds. Units are given out in ascending
/// order, so the search ends a good way past the highest unit known to be in use.
pub(super) fn scan(pool: &mut Pool, disks: &mut Disks, high_water: &[(DiskId, u32)]) {
    let members: Vec<(DiskId, DiskSlot)> = pool
        .members
        .iter()
        .filter(|member| member.state == MemberState::Active)
        .filter_map(|member| Some((member.disk, member.slot?)))
        .collect();
    for (disk, slot) in members {
        let floor = high_water
            .iter()
            .find(|(id, _)| *id == disk)
            .map_or(0, |(_, high)| *high);
        scan_disk(pool, disks, disk, slot, floor);
    }
}

fn scan_disk(pool: &mut Pool, disks: &mut Disks, disk: DiskId, slot: DiskSlot, floor: u32) {
    let Some(member) = pool.member(disk) else {
        return;
    };
    let Some(geometry) = member.geometry else {
        return;
    };
    let (count, id) = (member.unit_count(), pool.id);
    let taken = taken_units(pool, disk, count);
    let patience = 2 * pool.segment_units + 1;
    let mut last_used = floor;
    for (unit, taken) in (0..count).zip(taken) {
        if taken {
            last_used = last_used.max(unit);
            continue;
        }
        if unit > last_used.saturating_add(patience) {
            return;
        }
        let Some(offset) = geometry.unit_offset(UnitIndex::new(unit)) else {
            return;
        };
        let Some(disk_io) = disks.get(slot) else {
            return;
        };
        if let Some(header) = read_header(disk_io, offset.get(), id, disk) {
            last_used = last_used.max(unit.saturating_add(header.units.get()));
            adopt(
                pool,
                &header,
                Place {
                    disk,
                    first_unit: UnitIndex::new(unit),
                },
            );
        }
    }
}

/// Units in which no unknown segment can begin: all of a closed segment, but only the first of one
/// that was open when the snapshot was taken, since later starts may have cut it short and given the
/// rest to others.
fn taken_units(pool: &Pool, disk: DiskId, count: u32) -> Vec<bool> {
    let mut taken = vec![false; count as usize];
    for info in pool.segments.values() {
        let units = if info.data_end.is_some() {
            info.units
        } else {
            1
        };
        for place in info.places.iter().filter(|place| place.disk == disk) {
            let first = place.first_unit.get() as usize;
            for flag in taken.iter_mut().skip(first).take(units as usize) {
                *flag = true;
            }
        }
    }
    taken
}

/// Enters a segment, or one more copy of it. Its length ends at the next segment on the disk, since a
/// segment that was closed early has given its last units back.
fn adopt(pool: &mut Pool, header: &SegmentHeader, place: Place) {
    let segment = header.segment;
    pool.next_segment = pool.next_segment.max(SegmentId::new(segment.get() + 1));
    let info = pool.segments.entry(segment).or_insert_with(|| SegmentInfo {
        lane: header.lane,
        epoch: header.epoch,
        units: header.units.get(),
        first_sequence: header.first_sequence,
        data_end: None,
        places: Vec::new(),
        written: header.compliance_ms,
        verified: UnixMillis::ZERO,
    });
    info.first_sequence = header.first_sequence;
    if !info.places.contains(&place) {
        info.places.push(place);
    }
}
