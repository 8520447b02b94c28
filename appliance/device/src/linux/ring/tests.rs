use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::transfer::{Request, Transfer, What};
use super::{Registered, Ring};
use crate::buffer::{BufferMut, Pool};
use crate::disk::OpId;
use crate::limits::{BLOCK_BYTES, RING_DEPTH};

/// A ring over the reading end of a pipe, where a read lasts until somebody writes.
fn ring(pools: &[Pool]) -> Option<(Ring, File)> {
    let (reader, writer) = std::io::pipe().expect("pipe");
    let reader = File::from(OwnedFd::from(reader));
    let wake = Arc::new(EventFd::new().expect("eventfd"));
    match Ring::new(&reader, wake, pools) {
        Ok(ring) => Some((ring, File::from(OwnedFd::from(writer)))),
        Err(errno) => {
            println!("SKIPPED: io_uring is denied ({errno:?})");
            None
        }
    }
}

fn read_into(memory: BufferMut) -> Transfer {
    let request = Request {
        id: OpId(1),
        offset: 0,
        what: What::Read(memory.len()),
    };
    Transfer::new(request, |_| memory)
}

#[test]
fn dropping_a_ring_waits_for_what_the_kernel_still_has() {
    let (made, writer) = mpsc::channel();
    let written = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&written);
    let pool = Pool::new(BLOCK_BYTES, 1);
    let memory = pool.try_take().expect("slab");
    let dropper = std::thread::spawn(move || {
        let Some((mut ring, writer)) = ring(&[]) else {
            return;
        };
        ring.arm_wake();
        ring.start(read_into(memory));
        made.send(writer).expect("waited for");
        drop(ring);
        assert!(seen.load(Ordering::SeqCst), "dropped in mid-flight");
    });
    if let Ok(mut writer) = writer.recv() {
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(pool.in_use(), 1, "the memory was let go of");
        written.store(true, Ordering::SeqCst);
        writer.write_all(&[1; BLOCK_BYTES]).expect("write");
    }
    dropper.join().expect("dropped in order");
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn abandoned_memory_is_left_to_the_kernel_for_ever() {
    let Some((mut ring, mut writer)) = ring(&[]) else {
        return;
    };
    let pool = Pool::new(BLOCK_BYTES, 1);
    ring.start(read_into(pool.try_take().expect("slab")));
    assert_eq!((ring.in_flight(), ring.room()), (1, RING_DEPTH - 1));
    ring.arm_wake();
    ring.wake.write(1).expect("wake");
    let mut ended = Vec::new();
    ring.wait(&mut ended).expect("wait");
    assert!(ended.is_empty());
    let abandoned = ring.abandon();
    assert_eq!(abandoned.len(), 1);
    assert_eq!((ring.in_flight(), ring.room()), (0, RING_DEPTH));
    drop(ring);
    assert_eq!(pool.in_use(), 1);
    writer.write_all(&[1; BLOCK_BYTES]).expect("write");
}

#[test]
fn registered_memory_is_found_by_its_address_and_nothing_else_is() {
    let (low, high) = (Pool::new(2 * BLOCK_BYTES, 3), Pool::new(BLOCK_BYTES, 2));
    let pools = [
        low.clone(),
        Pool::new(BLOCK_BYTES, 0),
        high.clone(),
        low.clone(),
    ];
    let Some((ring, _writer)) = ring(&pools) else {
        return;
    };
    assert_eq!(ring.registration_refused(), None);
    let numbers: Vec<u16> = [&low, &high]
        .map(|pool| {
            let slabs: Vec<_> = std::iter::from_fn(|| pool.try_take()).collect();
            assert_eq!(slabs.len(), pool.slab_count_max());
            let numbers = slabs.iter().map(|slab| ring.registered.find(slab));
            let mut numbers: Vec<u16> = numbers.map(|number| number.expect("found")).collect();
            numbers.dedup();
            assert_eq!(numbers.len(), 1, "one number for all of a pool");
            let part = slabs[0]
                .get(slabs[0].len() - BLOCK_BYTES..)
                .expect("a part");
            assert_eq!(ring.registered.find(part), Some(numbers[0]));
            numbers[0]
        })
        .into();
    assert_ne!(numbers[0], numbers[1]);
    assert!(numbers.iter().all(|number| *number < 2));
    assert_eq!(ring.registered.find(&BufferMut::zeroed(BLOCK_BYTES)), None);
    let stranger = Pool::new(BLOCK_BYTES, 1).try_take().expect("slab");
    assert_eq!(ring.registered.find(&stranger), None);
}

#[test]
fn memory_that_reaches_out_of_what_is_registered_is_not_taken_for_registered() {
    let memory = BufferMut::zeroed(4 * BLOCK_BYTES);
    let start = memory.as_ptr().addr();
    let registered = Registered {
        places: std::iter::once(start..start + 2 * BLOCK_BYTES).collect(),
        refused: None,
        _pools: Vec::new(),
    };
    let find = |blocks: std::ops::Range<usize>| {
        registered.find(&memory[blocks.start * BLOCK_BYTES..blocks.end * BLOCK_BYTES])
    };
    assert_eq!(find(0..2), Some(0));
    assert_eq!(find(1..2), Some(0));
    assert_eq!(find(1..3), None);
    assert_eq!(find(2..4), None);
}

/// The kernel registers no more than 1 GiB at once.
#[test]
fn a_ring_works_without_registered_memory_where_the_kernel_refuses_it() {
    let huge = Pool::new(1 << 30, 2);
    let Some((mut ring, mut writer)) = ring(std::slice::from_ref(&huge)) else {
        return;
    };
    assert_eq!(ring.registration_refused(), Some(Errno::EFAULT));
    writer.write_all(&[9; BLOCK_BYTES]).expect("write");
    let slab = huge.try_take_short(BLOCK_BYTES).expect("slab");
    assert_eq!(ring.registered.find(&slab), None);
    ring.start(read_into(slab));
    let mut ended = Vec::new();
    while ended.is_empty() {
        ring.wait(&mut ended).expect("wait");
    }
    let read = ended.remove(0).result.expect("read").expect("bytes");
    assert!(read.iter().all(|byte| *byte == 9));
}
