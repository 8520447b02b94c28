use std::path::PathBuf;

use nix::libc;

use super::{OpenError, OpenMode, disk_error, open_disk};
use crate::disk::{DiskError, OpKind};

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.disk");
    (directory, path)
}

fn refusal(path: &std::path::Path, mode: OpenMode) -> OpenError {
    open_disk(path, mode)
        .map(|opened| opened.bytes)
        .expect_err("refused")
}

#[test]
fn creating_refuses_what_exists_and_odd_sizes() {
    let (_directory, path) = place();
    for bytes in [0, 1, 4095, 4097] {
        let error = refusal(&path, OpenMode::Create { bytes });
        assert!(matches!(error, OpenError::Size { .. }), "{error}");
        assert!(!path.exists());
    }
    std::fs::write(&path, b"precious").expect("write");
    let error = refusal(&path, OpenMode::Create { bytes: 8192 });
    assert!(matches!(error, OpenError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&path).expect("read"), b"precious");
}

#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let (_directory, path) = place();
    let writer = open_disk(&path, OpenMode::Create { bytes: 8192 }).expect("create");
    let error = refusal(&path, OpenMode::Write);
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert_eq!(
        open_disk(&path, OpenMode::ReadOnly).expect("reader").bytes,
        8192
    );
    drop(writer);
    assert_eq!(
        open_disk(&path, OpenMode::Write)
            .expect("next writer")
            .bytes,
        8192
    );
}

/// As after the death of a process whose ring the kernel has not taken apart yet.
#[test]
fn a_lock_that_goes_away_soon_is_waited_for() {
    let (_directory, path) = place();
    let dead = open_disk(&path, OpenMode::Create { bytes: 8192 }).expect("create");
    let end = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(30));
        drop(dead);
    });
    open_disk(&path, OpenMode::Write).expect("waited for");
    end.join().expect("ended");
}

#[test]
fn what_is_no_disk_is_refused() {
    let (directory, path) = place();
    let error = refusal(&path, OpenMode::Write);
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    for other in [directory.path(), std::path::Path::new("/dev/null")] {
        let error = refusal(other, OpenMode::ReadOnly);
        assert!(matches!(error, OpenError::NotADisk { .. }), "{error}");
    }
    std::fs::write(&path, vec![1; 4095]).expect("write");
    let error = refusal(&path, OpenMode::Write);
    assert!(
        matches!(error, OpenError::Size { bytes: 4095, .. }),
        "{error}"
    );
}

#[test]
fn a_rest_of_a_block_at_the_end_is_left_alone() {
    let (_directory, path) = place();
    std::fs::write(&path, vec![1; 10_000]).expect("write");
    assert_eq!(open_disk(&path, OpenMode::Write).expect("open").bytes, 8192);
}

#[test]
fn kernel_errors_are_told_apart() {
    let check = |errno| disk_error(&std::io::Error::from_raw_os_error(errno), OpKind::Write);
    assert_eq!(check(libc::ENOSPC), DiskError::Full);
    assert_eq!(check(libc::EDQUOT), DiskError::Full);
    assert_eq!(check(libc::ENODEV), DiskError::Gone);
    assert_eq!(check(libc::ENXIO), DiskError::Gone);
    assert_eq!(
        check(libc::EIO),
        DiskError::Io {
            errno: libc::EIO,
            op: OpKind::Write
        }
    );
    let early_end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let expected = DiskError::Io {
        errno: libc::EIO,
        op: OpKind::Read,
    };
    assert_eq!(disk_error(&early_end, OpKind::Read), expected);
}
