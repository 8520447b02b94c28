//! What failed operations leave, what counts as blank, and which steps change anything.

use super::{block, firsts, small};
use crate::disk::{BlockingDisk, Disk, Op, OpId};
use crate::sim::fault::{Kept, Loss, Span};

#[test]
fn a_failed_write_or_flush_has_done_nothing_or_all_when_the_plan_says_so() {
    for (keeps, left) in [(Kept::Nothing, 1), (Kept::All, 2)] {
        let (handle, mut disk) = small(5);
        disk.write_durable_at(0, block(1)).expect("write");
        handle.plan(|plan| {
            plan.fail_writes = Some(Span::once(0));
            plan.failed_writes_keep = keeps;
            plan.fail_flushes = Some(Span::once(1));
            plan.failed_flushes_keep = keeps;
        });
        assert!(disk.write_at(0, block(2)).is_err());
        assert_eq!(handle.peek(0, 1), [left], "write, {keeps:?}");
        disk.flush().expect("flush");
        disk.write_at(4096, block(left)).expect("write");
        assert!(disk.flush().is_err());
        handle.crash(Loss::All);
        let flushed = if keeps == Kept::All { left } else { 0 };
        assert_eq!(firsts(&handle, 2), [left, flushed], "flush, {keeps:?}");
    }
}

#[test]
fn the_steps_that_change_a_disk_are_noted_when_asked_for() {
    let (handle, mut disk) = small(1);
    let power = handle.power();
    disk.write_at(0, block(1)).expect("write");
    power.note_changes();
    disk.read_at(0, 4096).expect("read");
    disk.write_durable_at(0, block(1)).expect("write");
    disk.read_at(0, 4096).expect("read");
    disk.flush().expect("flush");
    assert_eq!(power.take_changes(), [2, 3, 5]);
    disk.flush().expect("flush");
    assert_eq!(power.take_changes(), [0; 0], "nobody asked");
}

#[test]
fn blank_is_what_was_never_written_or_written_with_zeros() {
    let (handle, mut disk) = small(1);
    assert!(handle.is_blank(0, 8192));
    disk.write_at(4096, block(1)).expect("write");
    assert!(handle.is_blank(0, 4096) && !handle.is_blank(4095, 2));
    let mut bytes = [9; 3];
    handle.peek_into(4095, &mut bytes);
    assert_eq!(bytes, [0, 1, 1]);
    disk.write_at(4096, block(0)).expect("write");
    assert!(handle.is_blank(0, 8192));
}

#[test]
fn of_a_torn_last_write_all_before_it_survive() {
    let mut torn = 0;
    for seed in 0..8 {
        let (handle, mut disk) = small(seed);
        disk.write_at(0, block(1)).expect("write");
        disk.write_at(4096, block(2)).expect("write");
        handle.crash(Loss::LastTorn);
        assert_eq!(handle.peek(0, 4096), [1; 4096]);
        let sectors = handle.peek(4096, 4096);
        torn += usize::from(sectors.contains(&0) && sectors.contains(&2));
    }
    assert!(torn > 4, "{torn} of 8");
}

#[test]
fn a_copy_at_a_cut_holds_what_is_queued_and_the_disk_goes_on() {
    let (handle, mut disk) = small(1);
    let data = block(3);
    disk.submit(OpId(1), Op::Write { offset: 0, data });
    let (copy, _) = small(2);
    copy.restore(&handle.snapshot_at_a_cut());
    copy.crash(Loss::Nothing);
    assert_eq!(copy.peek(0, 1), [3], "it may have been on its way");
    copy.restore(&handle.snapshot_at_a_cut());
    copy.crash(Loss::All);
    assert_eq!((copy.peek(0, 1), handle.peek(0, 1)), (vec![0], vec![0]));
    let mut done = Vec::new();
    while done.is_empty() {
        disk.wait(&mut done);
    }
    assert_eq!((handle.peek(0, 1), done.len()), (vec![3], 1));
}
