use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;

use super::{Backend, FileDisk, OpenError, OpenMode, RingDenied, Shared, Wishes, describe};
use crate::buffer::{BufferMut, Pool};
use crate::conformance::{self, EXAM_DISK_BYTES};
use crate::disk::{BlockingDisk, Disk, DiskIdentity, Op, OpId, no_waker};
use crate::linux::open::DiskFile;

mod flight;
mod refusals;
mod silent;

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

/// The wish for threads, and for a ring where the kernel lets us have one.
fn backends() -> Vec<Wishes> {
    let wish = |backend| Wishes {
        backend,
        ..Wishes::default()
    };
    let (_directory, mut path) = paths();
    let mode = OpenMode::Create { bytes: 4096 };
    let ring = wish(Backend::Ring);
    match FileDisk::open_as(&path(), mode, &ring, no_waker()) {
        Ok(_) => vec![wish(Backend::Threads), ring],
        Err(OpenError::Ring { reason, .. }) => {
            println!("SKIPPED: the part with a ring: {reason}");
            vec![wish(Backend::Threads)]
        }
        Err(error) => panic!("{error}"),
    }
}

fn create(path: &Path, bytes: u64, wishes: &Wishes) -> FileDisk {
    let mode = OpenMode::Create { bytes };
    FileDisk::open_as(path, mode, wishes, no_waker()).expect("create")
}

/// A disk over any open file.
fn over(file: std::fs::File, bytes: u64, wishes: &Wishes) -> FileDisk {
    let opened = DiskFile {
        file,
        bytes,
        direct: false,
    };
    FileDisk::start(opened, Path::new("a file"), wishes, no_waker()).expect("start")
}

fn cached(path: &Path) -> std::fs::File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.open(path).expect("open")
}

#[test]
fn a_file_passes_the_exam() {
    let (_directory, mut path) = paths();
    for wishes in backends() {
        conformance::disk(|| Box::new(create(&path(), EXAM_DISK_BYTES, &wishes)));
    }
}

#[test]
fn a_file_in_the_page_cache_passes_the_exam() {
    let (_directory, mut path) = paths();
    for wishes in backends() {
        conformance::disk(|| {
            let file = cached(&path());
            file.set_len(EXAM_DISK_BYTES).expect("length");
            Box::new(over(file, EXAM_DISK_BYTES, &wishes))
        });
    }
}

#[test]
fn a_file_passes_the_exam_with_memory_from_pools() {
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        // Shorter than the longest transfers and fewer than the most: both kinds of memory occur.
        wishes.write_pools = vec![Pool::new(1 << 20, 2)];
        wishes.read_pool = Some(Pool::new(1 << 20, 3));
        conformance::disk(|| Box::new(create(&path(), EXAM_DISK_BYTES, &wishes)));
        let pool = wishes.read_pool.expect("a pool");
        assert_eq!(pool.in_use(), 0);
    }
}

#[test]
fn a_disk_for_which_no_ring_can_be_had_passes_the_exam_and_says_why() {
    let (_directory, mut path) = paths();
    let denied = Some(Err(RingDenied(Errno::EPERM)));
    let backend = describe(&denied, false, false);
    assert_eq!(backend, "threads, buffered: io_uring is denied (EPERM)");
    conformance::disk(|| {
        let file = cached(&path());
        file.set_len(EXAM_DISK_BYTES).expect("length");
        let identity = DiskIdentity {
            name: "a file".to_owned(),
            bytes: EXAM_DISK_BYTES,
            sector_bytes: None,
            rotational: None,
            serial: None,
            backend: backend.clone(),
        };
        let shared = Arc::new(Shared::new(file, None, no_waker()));
        let patience = Wishes::default().patience;
        Box::new(FileDisk::assemble(shared, identity, None, patience).expect("start"))
    });
}

#[test]
fn a_disk_says_how_it_is_accessed() {
    let (_directory, mut path) = paths();
    let path = path();
    drop(create(&path, 1 << 20, &Wishes::default()));
    for wishes in backends() {
        let wanted = match wishes.backend {
            Backend::Threads => "threads, ",
            Backend::Ring | Backend::Auto => "io_uring, ",
        };
        let disk = FileDisk::open_as(&path, OpenMode::Write, &wishes, no_waker()).expect("open");
        let backend = &disk.identity().backend;
        assert!(backend.starts_with(wanted), "{backend}");
        let disk = over(cached(&path), 1 << 20, &wishes);
        assert_eq!(disk.identity().backend, format!("{wanted}buffered"));
    }
    let best = FileDisk::open(&path, OpenMode::Write, no_waker()).expect("open");
    let ring = backends().len() == 2;
    assert_eq!(best.identity().backend.starts_with("io_uring"), ring);
}

#[test]
fn a_disk_keeps_its_content_and_its_lock_until_closed() {
    let (_directory, mut path) = paths();
    for wishes in backends() {
        let path = path();
        let mut disk = create(&path, 1 << 20, &wishes);
        disk.write_durable_at(4096, BufferMut::padded(b"kept").freeze())
            .expect("write");
        let error = FileDisk::open(&path, OpenMode::Write, no_waker()).expect_err("locked");
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        drop(disk);
        // At once, also where a ring still holds the file: nobody has to wait for that.
        cached(&path).try_lock().expect("unlocked");
        let mut disk =
            FileDisk::open_as(&path, OpenMode::Write, &wishes, no_waker()).expect("open");
        assert_eq!(disk.identity().bytes, 1 << 20);
        assert_eq!(disk.identity().name, path.display().to_string());
        let kept = disk.read_at(4096, 4096).expect("read");
        assert!(kept.starts_with(b"kept\0"));
    }
}

#[test]
fn the_waker_is_called_for_each_completion() {
    let (_directory, mut path) = paths();
    for wishes in backends() {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let waker = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mode = OpenMode::Create { bytes: 1 << 20 };
        let mut disk = FileDisk::open_as(&path(), mode, &wishes, waker).expect("create");
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
        let misaligned = Op::Read {
            offset: 1,
            bytes: 4096,
        };
        disk.submit(OpId(11), misaligned);
        let mut done = Vec::new();
        while disk.in_flight() > 0 {
            disk.wait(&mut done);
        }
        drop(disk);
        assert_eq!((done.len(), calls.load(Ordering::SeqCst)), (12, 12));
    }
}

#[test]
fn a_written_slab_is_home_before_its_completion_shows() {
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        let pool = Pool::new(4096, 1);
        wishes.write_pools = vec![pool.clone()];
        let mut disk = create(&path(), 1 << 20, &wishes);
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
}

#[test]
fn reads_take_memory_from_their_pool_while_there_is_some() {
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        let pool = Pool::new(1 << 20, 2);
        wishes.read_pool = Some(pool.clone());
        let mut disk = create(&path(), 4 << 20, &wishes);
        let short = disk.read_at(0, 4096).expect("read");
        assert_eq!((short.len(), pool.in_use()), (4096, 0), "a short read");
        let long = disk.read_at(0, 2 << 20).expect("read");
        assert_eq!((long.len(), pool.in_use()), (2 << 20, 0), "a long read");
        let reads: Vec<BufferMut> = (0..3)
            .map(|_| disk.read_at(4096, 128 << 10).expect("read"))
            .collect();
        assert!(reads.iter().all(|read| read.len() == 128 << 10));
        assert_eq!((pool.in_use(), pool.high_water()), (2, 2));
        drop(reads);
        assert_eq!(pool.in_use(), 0);
    }
}
