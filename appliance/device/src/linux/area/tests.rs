use super::FileArea;
use crate::area::Area;
use crate::conformance;
use crate::disk::{BlockingDisk, DiskError, OpKind, no_waker};
use crate::linux::disk::{FileDisk, OpenError};

#[test]
fn an_area_of_a_file_passes_the_exam_and_stays_inside() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.disk");
    let mut disk = FileDisk::create(&path, 8 << 20, no_waker()).expect("create");
    conformance::area(&FileArea::open(&path, 1 << 20, 2 << 20, true).expect("area"));
    let area = FileArea::open(&path, 4 << 20, 1 << 20, true).expect("area");
    area.write(0, &[7; 4096]).expect("write");
    area.write((1 << 20) - 4096, &[8; 4096]).expect("write");
    for (offset, expected) in [
        ((4 << 20) - 4096, 0),
        (4 << 20, 7),
        ((5 << 20) - 4096, 8),
        (5 << 20, 0),
        (0, 0),
        (3 << 20, 0),
    ] {
        let block = disk.read_at(offset, 4096).expect("read");
        assert!(block.iter().all(|byte| *byte == expected), "{offset}");
    }
}

#[test]
fn a_region_that_is_none_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.disk");
    drop(FileDisk::create(&path, 1 << 20, no_waker()).expect("create"));
    for (offset, bytes) in [
        (0, 0),
        (1, 4096),
        (0, 100),
        (1 << 20, 4096),
        (4096, 1 << 20),
    ] {
        let error = FileArea::open(&path, offset, bytes, true).expect_err("refused");
        assert!(matches!(error, OpenError::AreaRange { .. }), "{error}");
    }
    let area = FileArea::open(&path, 0, 1 << 20, false).expect("read-only area");
    let expected = DiskError::Io {
        errno: nix::libc::EBADF,
        op: OpKind::Write,
    };
    assert_eq!(area.write(0, &[1; 4096]), Err(expected));
}
