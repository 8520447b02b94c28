//! Where things lie on a disk: in order, aligned, apart.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use stele_format::geometry::{DiskGeometry, GeometryError};
use stele_format::label::LabelCopy;
use stele_format::units::{ByteCount, ByteOffset, UnitCount, UnitIndex};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

fn plan(disk: u64, index: u64, segment: u64) -> Result<DiskGeometry, GeometryError> {
    DiskGeometry::plan(
        ByteCount::new(disk),
        ByteCount::new(index),
        ByteCount::new(segment),
    )
}

#[test]
fn a_product_disk_lies_as_specified() {
    let disk = plan(16 * GIB + 4095, GIB, 64 * MIB).unwrap();
    assert_eq!(disk.disk_bytes.get(), 16 * GIB, "rounded down to blocks");
    assert_eq!(disk.keystate_offset(0), Some(ByteOffset::new(MIB)));
    assert_eq!(disk.keystate_offset(1), Some(ByteOffset::new(17 * MIB)));
    assert_eq!(disk.keystate_offset(2), None);
    assert_eq!(disk.index_offset().get(), 36 * MIB);
    assert_eq!(disk.extents_offset().get(), 36 * MIB + GIB);
    assert_eq!(disk.label_offset(LabelCopy::B).get(), 256 * 1024);
    assert_eq!(disk.label_offset(LabelCopy::C).get(), 16 * GIB - 512 * 1024);
    assert_eq!(disk.label_offset(LabelCopy::D).get(), 16 * GIB - 256 * 1024);
    assert_eq!(
        disk.unit_count().get(),
        15 * 256 - 10,
        "label C takes the last unit's place"
    );
    assert_eq!(
        disk.unit_offset(UnitIndex::new(1)).map(ByteOffset::get),
        Some(40 * MIB + GIB)
    );
    assert_eq!(disk.segment_bytes().get(), 64 * MIB);
}

#[test]
fn extents_past_the_end_do_not_exist() {
    let disk = plan(GIB, 0, 64 * MIB).unwrap();
    let units = disk.unit_count().get();
    let extent = |first, count| disk.extent_offset(UnitIndex::new(first), UnitCount::new(count));
    assert_eq!(disk.unit_offset(UnitIndex::new(units)), None);
    assert_eq!(extent(units - 1, 2), None);
    assert_eq!(extent(u32::MAX, u32::MAX), None);
    assert_eq!(
        extent(units - 2, 2),
        disk.unit_offset(UnitIndex::new(units - 2))
    );
}

#[test]
fn what_cannot_be_laid_out_is_refused_by_name() {
    let small = plan(100 * MIB, 0, 64 * MIB);
    let need_bytes = 36 * MIB + 64 * MIB + 512 * 1024;
    assert_eq!(
        small,
        Err(GeometryError::TooSmall {
            disk_bytes: 100 * MIB,
            need_bytes
        })
    );
    assert!(plan(need_bytes, 0, 64 * MIB).is_ok());
    assert!(matches!(
        plan(GIB, 5, MIB * 64),
        Err(GeometryError::Misaligned { .. })
    ));
    assert!(matches!(
        plan(GIB, 0, MIB),
        Err(GeometryError::Misaligned { .. })
    ));
    assert!(matches!(
        plan(GIB, 0, 0),
        Err(GeometryError::NotAllowed { .. })
    ));
    assert!(matches!(
        plan(GIB, 0, 4 * GIB),
        Err(GeometryError::NotAllowed { .. })
    ));
    assert!(matches!(
        plan(u64::MAX, 0, 64 * MIB),
        Err(GeometryError::TooLarge { .. })
    ));
    assert!(matches!(
        plan(GIB, u64::MAX - 4095, 64 * MIB),
        Err(GeometryError::TooSmall { .. })
    ));
    let good = plan(GIB, 0, 64 * MIB).unwrap();
    for unit_bytes in [0, 4096, 96 * 1024, 8 * 1024 * 1024] {
        let geometry = DiskGeometry { unit_bytes, ..good };
        let refused = matches!(geometry.check(), Err(GeometryError::NotAllowed { .. }));
        assert!(refused, "unit of {unit_bytes}");
    }
    for keystate_bytes in [0, 4096, 32 * 1024 * 1024] {
        let geometry = DiskGeometry {
            keystate_bytes,
            ..good
        };
        let refused = matches!(geometry.check(), Err(GeometryError::NotAllowed { .. }));
        assert!(refused, "key state of {keystate_bytes}");
    }
}

proptest! {
    #[test]
    fn areas_are_in_order_aligned_and_apart(
        disk_blocks in 0..200_000_u64, index_blocks in 0..5_000_u64, keystate_blocks in 0..64_u32,
        unit_shift in 14..24_u32, segment_units in 0..40_u32,
    ) {
        let disk = DiskGeometry {
            disk_bytes: ByteCount::new(disk_blocks * 4096),
            index_bytes: ByteCount::new(index_blocks * 4096),
            keystate_bytes: keystate_blocks * 4096,
            unit_bytes: 1 << unit_shift,
            segment_units: UnitCount::new(segment_units),
        };
        if disk.check().is_ok() {
            let units = disk.unit_count();
            let unit = u64::from(disk.unit_bytes);
            let extents_end = disk.extents_offset().get() + u64::from(units.get()) * unit;
            let edges = [
                disk.label_offset(LabelCopy::A).get(),
                disk.label_offset(LabelCopy::B).get(),
                disk.label_offset(LabelCopy::B).get() + 256 * 1024,
                disk.keystate_offset(0).unwrap().get(),
                disk.keystate_offset(1).unwrap().get(),
                disk.keystate_offset(1).unwrap().get() + u64::from(disk.keystate_bytes),
                disk.index_offset().get(),
                disk.index_offset().get() + disk.index_bytes.get(),
                disk.extents_offset().get(),
                extents_end,
                disk.label_offset(LabelCopy::C).get(),
                disk.label_offset(LabelCopy::D).get(),
            ];
            prop_assert!(edges.is_sorted(), "{edges:?}");
            prop_assert!(edges.iter().all(|edge| edge.is_multiple_of(4096)));
            prop_assert!(disk.extents_offset().get().is_multiple_of(unit));
            prop_assert!(units.get() >= disk.segment_units.get());
            let end = disk.label_offset(LabelCopy::D).get() + 256 * 1024;
            prop_assert_eq!(end, disk.disk_bytes.get());
        }
    }

    #[test]
    fn any_five_numbers_are_answered(
        disk_bytes: u64, index_bytes: u64, keystate_bytes: u32, unit_bytes: u32, units: u32,
    ) {
        let disk = DiskGeometry {
            disk_bytes: ByteCount::new(disk_bytes),
            index_bytes: ByteCount::new(index_bytes),
            keystate_bytes,
            unit_bytes,
            segment_units: UnitCount::new(units),
        };
        let _ = disk.check();
    }
}
