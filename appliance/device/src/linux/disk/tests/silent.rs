//! Disks that answer nothing, and who waits for them.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{backends, cached, create, over, paths};
use crate::buffer::{BufferMut, Pool};
use crate::disk::{BlockingDisk, Disk, DiskError, Op, OpId, Reads, Waker};
use crate::linux::disk::{Backend, FileDisk, OpenMode, Wishes};

const PATIENCE: Duration = Duration::from_millis(40);
const LONG: usize = 64 << 10;

fn impatient(wishes: &Wishes) -> Wishes {
    Wishes {
        patience: PATIENCE,
        ..wishes.clone()
    }
}

/// A disk whose reads wait for what nobody writes into a pipe, and the way into the pipe; none without a ring.
fn pipe_disk(wishes: &Wishes) -> Option<(FileDisk, File)> {
    if !backends().iter().any(|one| one.backend == Backend::Ring) {
        return None;
    }
    let wishes = Wishes {
        backend: Backend::Ring,
        ..impatient(wishes)
    };
    let (from, to) = std::io::pipe().expect("a pipe");
    let from = File::from(OwnedFd::from(from));
    Some((over(from, 1 << 20, &wishes), File::from(OwnedFd::from(to))))
}

/// A waker that keeps the threads of a disk, and lets them go once the other end is dropped.
fn keeping() -> (Waker, Sender<()>) {
    let (sender, receiver) = channel::<()>();
    let (receiver, owner) = (Mutex::new(receiver), std::thread::current().id());
    let waker = Arc::new(move || {
        if std::thread::current().id() != owner {
            let receiver = receiver.lock().expect("one at a time");
            assert!(receiver.recv().is_err());
        }
    });
    (waker, sender)
}

/// A disk whose thread for commits hangs, and what ends that.
fn stuck(path: &Path, wishes: &Wishes) -> (FileDisk, Sender<()>) {
    let (waker, hold) = keeping();
    let (mode, wishes) = (OpenMode::Write, impatient(wishes));
    let mut disk = FileDisk::open_as(path, mode, &wishes, waker).expect("open");
    disk.flush().expect("the last thing that it answers");
    (disk, hold)
}

fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_waits_for_a_disk_that_answers_nothing_goes_on_and_it_answers_nothing_more() {
    let pool = Pool::new(LONG, 2);
    let wishes = Wishes {
        read_pool: Some(pool.clone()),
        ..Wishes::default()
    };
    let Some((mut disk, mut to)) = pipe_disk(&wishes) else {
        return;
    };
    assert!(!disk.is_given_up());
    let read = disk.read_at(0, LONG);
    assert_eq!(read.err(), Some(DiskError::Silent));
    assert!(disk.is_given_up());
    assert_eq!(
        (disk.in_flight(), pool.in_use()),
        (0, 1),
        "the kernel has it"
    );
    let block = || BufferMut::zeroed(4096).freeze();
    assert_eq!(disk.write_at(0, block()), Err(DiskError::Silent));
    assert_eq!(disk.write_durable_at(0, block()), Err(DiskError::Silent));
    assert_eq!(disk.flush(), Err(DiskError::Silent));
    let reads = disk.read_many(&[(0, 4096), (4096, 4096)]);
    let silent = |read: Result<BufferMut, DiskError>| read.err() == Some(DiskError::Silent);
    assert!(reads.into_iter().all(silent));
    // Its answer comes late, and to nobody.
    to.write_all(&[7; 4096]).expect("written");
    drop(to);
    until(|| pool.in_use() == 0);
    let mut done = Vec::new();
    disk.poll(&mut done);
    disk.wait(&mut done);
    assert!(done.is_empty());
}

#[test]
fn what_was_asked_for_together_is_given_up_together() {
    let Some((mut disk, to)) = pipe_disk(&Wishes::default()) else {
        return;
    };
    let reads = Reads::begin(&mut disk, (0..20).map(|at| (at * 4096, 4096)).collect());
    let ended = reads.end(&mut disk);
    assert_eq!(ended.len(), 20);
    let silent = |read: Result<BufferMut, DiskError>| read.err() == Some(DiskError::Silent);
    assert!(ended.into_iter().all(silent));
    drop(to);
}

#[test]
fn a_disk_that_hangs_is_closed_without_its_threads_and_stays_locked_until_they_end() {
    let (_directory, mut path) = paths();
    for wishes in backends() {
        let path = path();
        drop(create(&path, 1 << 20, &wishes));
        let (mut disk, hold) = stuck(&path, &wishes);
        disk.submit(OpId(1), Op::Flush);
        drop(disk);
        assert!(cached(&path).try_lock().is_err(), "not waited for");
        drop(hold);
        until(|| cached(&path).try_lock().is_ok());
    }
}

#[test]
fn what_a_disk_had_not_begun_when_it_was_given_up_is_never_done() {
    let (_directory, mut path) = paths();
    for wishes in backends() {
        let path = path();
        drop(create(&path, 1 << 20, &wishes));
        let (mut disk, hold) = stuck(&path, &wishes);
        let pool = Pool::new(4096, 1);
        let mut data = pool.try_take().expect("a slab");
        data.fill(7);
        let written = disk.write_durable_at(0, data.freeze());
        assert_eq!(written, Err(DiskError::Silent));
        assert_eq!(pool.in_use(), 0, "nobody works on it");
        drop(disk);
        drop(hold);
        until(|| cached(&path).try_lock().is_ok());
        let mut disk = super::FileDisk::open(&path, OpenMode::Write, crate::disk::no_waker());
        let block = disk.as_mut().expect("open").read_at(0, 4096).expect("read");
        assert!(block.iter().all(|byte| *byte == 0));
    }
}
