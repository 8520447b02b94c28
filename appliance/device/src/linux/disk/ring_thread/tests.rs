use nix::errno::Errno;

use super::RingThread;
use crate::buffer::BufferMut;
use crate::disk::{DiskError, Done, OpId, OpKind, no_waker};
use crate::linux::disk::shared::Shared;
use crate::linux::ring::transfer::{Request, What};
use std::sync::Arc;

fn request(number: u64) -> Request {
    Request {
        id: OpId(number),
        offset: 0,
        what: What::Write(BufferMut::zeroed(4096).freeze()),
    }
}

#[test]
fn a_ring_that_broke_down_refuses_what_comes_and_gives_back_what_waits() {
    let file = std::fs::File::open("/dev/null").expect("open");
    let shared = Arc::new(Shared::new(file, None, no_waker()));
    let ring = match RingThread::start(&shared, &[]) {
        Ok(ring) => ring,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return;
        }
    };
    ring.queue.stop();
    ring.thread.join().expect("ends");
    ring.queue.push(request(1)).expect("waits");
    let waiting = ring.queue.break_down(Errno::ENXIO);
    assert_eq!(waiting.len(), 1);
    let refused = ring.queue.push(request(2));
    let expected = DiskError::Io {
        errno: nix::libc::ENXIO,
        op: OpKind::Write,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn completions_that_come_together_are_all_handed_out() {
    let file = std::fs::File::open("/dev/null").expect("open");
    let shared = Shared::new(file, None, no_waker());
    let done = |number| Done {
        id: OpId(number),
        result: Ok(None),
    };
    let mut ended = vec![done(1), done(2)];
    shared.complete_all(&mut ended);
    shared.complete_all(&mut ended);
    let ids: Vec<OpId> = shared.take_done().iter().map(|done| done.id).collect();
    assert_eq!(ids, [OpId(1), OpId(2)]);
    assert!(ended.is_empty() && shared.take_done().is_empty());
}
