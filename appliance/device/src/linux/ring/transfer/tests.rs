use nix::libc;

use super::{Request, Rest, Step, Transfer, What};
use crate::buffer::{BufferMut, Pool};
use crate::disk::{DiskError, OpId, OpKind};
use crate::limits::{BLOCK_BYTES, RING_RETRIES_MAX};

const AT: u64 = 1 << 20;
const BLOCKS: usize = 4;

fn read() -> Transfer {
    let request = Request {
        id: OpId(7),
        offset: AT,
        what: What::Read(BLOCKS * BLOCK_BYTES),
    };
    Transfer::new(request, BufferMut::zeroed)
}

fn write() -> Transfer {
    let data = BufferMut::zeroed(BLOCKS * BLOCK_BYTES).freeze();
    let request = Request {
        id: OpId(7),
        offset: AT,
        what: What::Write(data),
    };
    Transfer::new(request, BufferMut::zeroed)
}

/// Where the rest of a transfer starts and how long it is.
fn rest(transfer: &mut Transfer) -> (u64, usize) {
    match transfer.rest() {
        Rest::Into(offset, memory) => (offset, memory.len()),
        Rest::From(offset, memory) => (offset, memory.len()),
    }
}

/// Gives the answers one after the other; all but the last must ask for more.
fn answer(mut transfer: Transfer, answers: &[i32]) -> Step {
    let (last, earlier) = answers.split_last().expect("an answer");
    for answer in earlier {
        transfer = match transfer.answered(*answer) {
            Step::Again(transfer) => transfer,
            Step::Ended(done) => panic!("ended by {answer} with {done:?}"),
        };
    }
    transfer.answered(*last)
}

#[test]
fn each_answer_ends_the_operation_or_asks_for_the_whole_blocks_that_are_left() {
    let checks: &[(&[i32], Result<(), i32>)] = &[
        (&[16384], Ok(())),
        (&[4096, 12288], Ok(())),
        (&[4096, 4096, 4096, 4096], Ok(())),
        // Parts of blocks are asked for again.
        (&[6000, 12288], Ok(())),
        (&[6000, 1904], Err(libc::EIO)),
        (&[4096, 0], Err(libc::EIO)),
        (&[0], Err(libc::EIO)),
        (&[4095], Err(libc::EIO)),
        (&[-libc::EINTR, -libc::EAGAIN, 16384], Ok(())),
        (&[8192, -libc::EINTR, 8192], Ok(())),
        (&[-libc::EIO], Err(libc::EIO)),
        (&[8192, -libc::EFBIG], Err(libc::EFBIG)),
        (&[i32::MIN], Err(i32::MAX)),
    ];
    for (answers, expected) in checks {
        for (transfer, op) in [(read(), OpKind::Read), (write(), OpKind::Write)] {
            let Step::Ended(done) = answer(transfer, answers) else {
                panic!("{answers:?} asks for more");
            };
            assert_eq!(done.id, OpId(7));
            let reads = op == OpKind::Read;
            match (done.result, expected) {
                (Ok(bytes), Ok(())) => assert_eq!(bytes.is_some(), reads, "{answers:?}"),
                (Err(error), Err(errno)) => {
                    let errno = *errno;
                    assert_eq!(error, DiskError::Io { errno, op }, "{answers:?}");
                }
                (result, _) => panic!("{answers:?} ended with {result:?}"),
            }
        }
    }
}

#[test]
fn the_rest_starts_where_the_last_whole_block_ended() {
    for mut transfer in [read(), write()] {
        assert_eq!(rest(&mut transfer), (AT, 4 * BLOCK_BYTES));
        let Step::Again(mut transfer) = transfer.answered(6000) else {
            panic!("ended");
        };
        assert_eq!(rest(&mut transfer), (AT + 4096, 3 * BLOCK_BYTES));
        let Step::Again(mut transfer) = transfer.answered(-libc::EINTR) else {
            panic!("ended");
        };
        assert_eq!(rest(&mut transfer), (AT + 4096, 3 * BLOCK_BYTES));
    }
}

#[test]
fn no_room_and_no_device_have_names_of_their_own() {
    for (errno, expected) in [
        (libc::ENOSPC, DiskError::Full),
        (libc::EDQUOT, DiskError::Full),
        (libc::ENODEV, DiskError::Gone),
    ] {
        let Step::Ended(done) = answer(write(), &[4096, -errno]) else {
            panic!("asks for more");
        };
        assert_eq!(done.result.err(), Some(expected));
    }
}

#[test]
fn a_kernel_that_says_again_for_ever_is_not_asked_for_ever() {
    let tries = usize::try_from(RING_RETRIES_MAX).expect("few");
    let mut answers = vec![-libc::EAGAIN; tries];
    assert!(matches!(answer(write(), &answers), Step::Again(_)));
    answers.push(-libc::EAGAIN);
    let Step::Ended(done) = answer(write(), &answers) else {
        panic!("asks for more");
    };
    let expected = DiskError::Io {
        errno: libc::EAGAIN,
        op: OpKind::Write,
    };
    assert_eq!(done.result.err(), Some(expected));
    // Progress is a new start.
    answers[tries] = 4096;
    answers.push(-libc::EAGAIN);
    assert!(matches!(answer(write(), &answers), Step::Again(_)));
}

#[test]
fn written_memory_is_home_before_the_completion_shows() {
    let pool = Pool::new(BLOCK_BYTES, 1);
    let request = Request {
        id: OpId(1),
        offset: 0,
        what: What::Write(pool.try_take().expect("slab").freeze()),
    };
    let step = Transfer::new(request, BufferMut::zeroed).answered(4096);
    assert!(matches!(step, Step::Ended(_)));
    assert_eq!(pool.in_use(), 0);
}
