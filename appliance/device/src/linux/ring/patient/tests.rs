use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::{Ended, PatientRing, Towards};
use crate::buffer::BufferMut;
use crate::limits::BLOCK_BYTES;

const LONG: Duration = Duration::from_secs(600);

fn pipe() -> (File, File) {
    let (from, to): (OwnedFd, OwnedFd) = nix::unistd::pipe().expect("a pipe");
    (File::from(from), File::from(to))
}

#[test]
fn who_waits_goes_on_where_no_answer_comes() {
    // Nobody writes into the pipe: a plain read would wait for ever.
    let (from, _to) = pipe();
    let mut ring = PatientRing::new().expect("a ring");
    let memory = BufferMut::zeroed(BLOCK_BYTES);
    let read = (Towards::Read, 0, BLOCK_BYTES);
    let ended = ring.transfer(&from, read, memory, Duration::from_millis(20));
    assert!(matches!(ended, Ended::Hung));
}

#[test]
fn an_answer_that_comes_later_is_waited_for() {
    let (from, mut to) = pipe();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        to.write_all(&[7; BLOCK_BYTES]).expect("written");
    });
    let mut ring = PatientRing::new().expect("a ring");
    let memory = BufferMut::zeroed(BLOCK_BYTES);
    let read = (Towards::Read, 0, BLOCK_BYTES);
    let Ended::Answered(memory, Ok(())) = ring.transfer(&from, read, memory, LONG) else {
        panic!("no answer")
    };
    assert!(memory.iter().all(|byte| *byte == 7));
    writer.join().expect("the writer ends");
}

#[test]
fn what_ends_early_is_an_error_with_the_memory() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(2 * BLOCK_BYTES as u64).expect("room");
    let mut ring = PatientRing::new().expect("a ring");
    let memory = BufferMut::zeroed(4 * BLOCK_BYTES);
    let read = (Towards::Read, 0, 4 * BLOCK_BYTES);
    let ended = ring.transfer(&file, read, memory, LONG);
    assert!(matches!(ended, Ended::Answered(_, Err(_))));
    assert_eq!(ring.flush(&file, LONG), Some(Ok(())));
}
