//! How many starts a full pool has room for, by the size of its disks: the table of docs/operations.md.

use stele_format::geometry::DiskGeometry;
use stele_format::units::{ByteCount, DiskId, Generation, Opening, PoolId, SegmentId, UnixMillis};

use super::space::Freed;
use super::{INDEX_DISK_COUNT, Member, MemberState, Pool, Segments};
use crate::engine::DiskSlot;

const UNIT_BYTES: u64 = 4 << 20;
const SEGMENT_UNITS: u32 = 16;

/// Three disks of this size as the program lays them out, a sixteenth of the first two for the index.
fn pool(disk_bytes: u64) -> Pool {
    let index_bytes = (disk_bytes / 16).max(512 << 20) / UNIT_BYTES * UNIT_BYTES;
    let member = |ordinal: u16| {
        let index_bytes = match ordinal < INDEX_DISK_COUNT {
            true => index_bytes,
            false => 0,
        };
        let segment = ByteCount::new(u64::from(SEGMENT_UNITS) * UNIT_BYTES);
        let (disk, index) = (ByteCount::new(disk_bytes), ByteCount::new(index_bytes));
        let geometry = DiskGeometry::plan(disk, index, segment).unwrap();
        Member {
            state: MemberState::Active,
            voter: true,
            slot: Some(DiskSlot(ordinal)),
            ..Member::new(DiskId::default(), ordinal, Some(geometry))
        }
    };
    Pool {
        id: PoolId::default(),
        members: (0..3).map(member).collect(),
        generation: Generation::ZERO,
        in_force: Generation::ZERO,
        opening: Opening::ZERO,
        unit_bytes: 4 << 20,
        segment_units: SEGMENT_UNITS,
        flags: 0,
        created: UnixMillis::ZERO,
        segments: Segments::default(),
        freed: Freed::default(),
        doubted: None,
        unread: super::unread::Unread::default(),
        next_segment: SegmentId::new(1),
        now_ms: 0,
    }
}

/// Leaves each disk so many units behind what is in use.
fn leave(pool: &mut Pool, free: impl Fn(&Pool, &Member) -> u32) {
    for at in 0..pool.members.len() {
        let left = free(pool, &pool.members[at]);
        let units = &mut pool.members[at].units;
        let taken = units.free - left;
        units.mark(0, taken, true);
    }
}

#[test]
fn a_full_pool_has_room_for_as_many_starts_as_operators_are_told() {
    let page = include_str!("../../../../docs/operations.md");
    for (size, disk_bytes, starts, fewer) in [
        ("1 GiB", 1 << 30, "33", "9"),
        ("16 GiB", 16 << 30, "368", "176"),
        ("1 TB", 1_000_000_000_000, "22,335", "11,160"),
        ("4 TB", 4_000_000_000_000, "89,391", "44,688"),
    ] {
        let number = |text: &str| text.replace(',', "").parse::<u32>().unwrap();
        let mut full = pool(disk_bytes);
        assert!(full.has_room_for_data(), "{size}");
        leave(&mut full, Pool::reserve_units);
        assert!(!full.has_room_for_data() && full.has_room_for_records());
        assert_eq!(full.starts_left(), number(starts), "{size}");
        let mut fuller = pool(disk_bytes);
        leave(&mut fuller, |pool, member| {
            pool.reserve_units(member) / crate::limits::RESERVE_VAULT_DIVISOR
        });
        assert!(!fuller.has_room_for_records(), "{size}");
        assert_eq!(fuller.starts_left(), number(fewer), "{size}");
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {size}")))
            .unwrap_or_default();
        assert!(row.ends_with(&format!("| {starts} | {fewer} |")), "{row}");
    }
}
