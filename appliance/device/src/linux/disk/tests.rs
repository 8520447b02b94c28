use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;

use super::super::open::{BACKEND_CACHED, DiskFile};
use super::{FileDisk, OpenError, OpenMode, Shared};
use crate::buffer::{BufferMut, Pool};
use crate::conformance::{self, EXAM_DISK_BYTES};
use crate::disk::{BlockingDisk, Disk, DiskError, Op, OpId, OpKind, no_waker};

/// Gives each call a new path in one temporary directory.
fn paths() -> (tempfile::TempDir, impl FnMut() -> PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let base = directory.path().to_owned();
    let mut count = 0;
    let next = move || {
        count += 1;
        base.join(format!("{count}.disk"))
    };
    (directory, next)
}

fn create(path: &Path, bytes: u64) -> FileDisk {
    FileDisk::create(path, bytes, no_waker()).expect("create")
}

#[test]
fn a_file_passes_the_exam() {
    let (_directory, mut path) = paths();
    conformance::disk(|| Box::new(create(&path(), EXAM_DISK_BYTES)));
}

#[test]
fn a_file_in_the_page_cache_passes_the_exam() {
    let (_directory, mut path) = paths();
    conformance::disk(|| {
        let path = path();
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("create");
        file.set_len(EXAM_DISK_BYTES).expect("length");
        let opened = DiskFile {
            file,
            bytes: EXAM_DISK_BYTES,
            backend: BACKEND_CACHED,
        };
        Box::new(FileDisk::start(opened, &path, no_waker()).expect("start"))
    });
}

#[test]
fn a_disk_keeps_its_content_and_its_lock_until_closed() {
    let (_directory, mut path) = paths();
    let path = path();
    let mut disk = create(&path, 1 << 20);
    disk.write_durable_at(4096, BufferMut::padded(b"kept").freeze())
        .expect("write");
    let error = FileDisk::open(&path, OpenMode::Write, no_waker()).expect_err("locked");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(disk);
    let mut disk = FileDisk::open(&path, OpenMode::Write, no_waker()).expect("open");
    assert_eq!(disk.identity().bytes, 1 << 20);
    assert_eq!(disk.identity().name, path.display().to_string());
    assert!(
        disk.read_at(4096, 4096)
            .expect("read")
            .starts_with(b"kept\0")
    );
}

#[test]
fn a_disk_opened_for_reading_refuses_writes() {
    let (_directory, mut path) = paths();
    let path = path();
    let mut writer = create(&path, 1 << 20);
    writer
        .write_at(0, BufferMut::padded(b"seen").freeze())
        .expect("write");
    let mut reader = FileDisk::open(&path, OpenMode::ReadOnly, no_waker()).expect("open");
    assert!(reader.read_at(0, 4096).expect("read").starts_with(b"seen"));
    let error = reader.write_at(0, BufferMut::zeroed(4096).freeze());
    assert_eq!(
        error,
        Err(DiskError::Io {
            errno: libc::EBADF,
            op: OpKind::Write
        })
    );
    assert!(writer.read_at(0, 4096).expect("read").starts_with(b"seen"));
}

#[test]
fn the_waker_is_called_for_each_completion() {
    let (_directory, mut path) = paths();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let waker = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let mut disk = FileDisk::create(&path(), 1 << 20, waker).expect("create");
    for number in 0..10 {
        disk.submit(
            OpId(number),
            Op::Read {
                offset: 4096 * number,
                bytes: 4096,
            },
        );
    }
    disk.submit(OpId(10), Op::Flush);
    disk.submit(
        OpId(11),
        Op::Read {
            offset: 1,
            bytes: 4096,
        },
    );
    let mut done = Vec::new();
    while disk.in_flight() > 0 {
        disk.wait(&mut done);
    }
    drop(disk);
    assert_eq!((done.len(), calls.load(Ordering::SeqCst)), (12, 12));
}

#[test]
fn a_written_slab_is_home_before_its_completion_shows() {
    let (_directory, mut path) = paths();
    let pool = Pool::new(4096, 1);
    let mut disk = create(&path(), 1 << 20);
    for round in 0..50 {
        let slab = pool.try_take().expect("slab");
        if round % 2 == 0 {
            disk.write_at(0, slab.freeze()).expect("write");
        } else {
            disk.write_durable_at(0, slab.freeze())
                .expect("durable write");
        }
    }
}

#[test]
fn a_disk_that_shrank_gives_errors_and_no_bytes() {
    let (_directory, mut path) = paths();
    let path = path();
    let mut disk = create(&path, 1 << 20);
    OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("open")
        .set_len(6000)
        .expect("shrink");
    let expected = DiskError::Io {
        errno: libc::EIO,
        op: OpKind::Read,
    };
    assert_eq!(disk.read_at(4096, 4096).err(), Some(expected));
    assert_eq!(disk.read_at(8192, 4096).err(), Some(expected));
    assert!(disk.read_at(0, 4096).is_ok());
}

/// `/dev/null` takes writes and refuses to sync.
#[test]
fn after_a_failed_flush_no_write_and_no_flush_is_believed() {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .expect("open");
    let shared = Shared::new(file, no_waker());
    let data = || BufferMut::zeroed(4096).freeze();
    assert_eq!(shared.write(0, data(), OpKind::Write), Ok(()));
    let failure = Err(DiskError::Io {
        errno: libc::EINVAL,
        op: OpKind::Flush,
    });
    assert_eq!(shared.flush(), failure);
    assert_eq!(shared.flush(), failure);
    assert_eq!(shared.write(0, data(), OpKind::Write), failure);
    assert_eq!(shared.discard(0, 4096), failure);
}
