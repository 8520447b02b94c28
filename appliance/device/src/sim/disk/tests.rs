use std::collections::BTreeSet;

use nix::libc::EIO;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::strategy::Just;

use super::{SimDisk, SimDiskHandle};
use crate::area::Area;
use crate::buffer::{Buffer, BufferMut};
use crate::conformance::{self, EXAM_DISK_BYTES};
use crate::disk::{BlockingDisk, Disk, DiskError, Done, Op, OpId, OpKind};
use crate::sim::fault::{Loss, Plan, Span};
use crate::sim::power::Power;

mod kept;

const SMALL_BYTES: u64 = 64 * 4096;

fn block(value: u8) -> Buffer {
    let mut buffer = BufferMut::zeroed(4096);
    buffer.fill(value);
    buffer.freeze()
}

fn small(seed: u64) -> (SimDiskHandle, SimDisk) {
    let handle = SimDiskHandle::new(SMALL_BYTES, seed);
    let disk = handle.open();
    (handle, disk)
}

/// First byte of each of the first blocks, as a fresh process sees them.
fn firsts(handle: &SimDiskHandle, count: usize) -> Vec<u8> {
    let read = handle.open().read_at(0, count * 4096).expect("read");
    read.chunks_exact(4096).map(|block| block[0]).collect()
}

#[test]
fn the_simulated_disk_passes_the_exam_in_any_order() {
    for seed in 0..5 {
        conformance::disk(|| Box::new(SimDiskHandle::new(EXAM_DISK_BYTES, seed).open()));
    }
    conformance::disk(|| {
        let handle = SimDiskHandle::new(EXAM_DISK_BYTES, 1);
        handle.plan(|plan| plan.reorder = false);
        Box::new(handle.open())
    });
}

#[test]
fn a_simulated_area_passes_the_exam() {
    let handle = SimDiskHandle::new(4 << 20, 1);
    conformance::area(&handle.area(1 << 20, 2 << 20).expect("area"));
    assert!(handle.peek(0, 1 << 20).iter().all(|byte| *byte == 0));
    assert_eq!(
        handle.area(1 << 20, 4 << 20).err(),
        Some(DiskError::OutOfRange)
    );
}

#[test]
fn flushed_writes_survive_every_crash() {
    for seed in 0..200 {
        let (handle, mut disk) = small(1);
        disk.write_at(0, block(1)).expect("write");
        disk.flush().expect("flush");
        disk.write_durable_at(4096, block(2))
            .expect("durable write");
        handle.crash(Loss::By(seed));
        assert_eq!(firsts(&handle, 3), [1, 2, 0]);
    }
}

#[test]
fn unflushed_writes_end_in_every_possible_way() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let (handle, mut disk) = small(1);
        disk.write_durable_at(0, block(1)).expect("durable write");
        disk.write_at(0, block(2)).expect("write");
        disk.write_at(4096, block(2)).expect("write");
        // Still queued when the power fails.
        disk.submit(
            OpId(1),
            Op::Write {
                offset: 8192,
                data: block(2),
            },
        );
        handle.crash(Loss::By(seed));
        let after = handle.peek(0, 3 * 4096);
        for sector in after.chunks_exact(512) {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "a torn sector"
            );
        }
        assert!(after[..4096].iter().all(|byte| *byte == 1 || *byte == 2));
        assert!(after[4096..].iter().all(|byte| *byte == 0 || *byte == 2));
        let news = after.chunks_exact(4096).map(|block| {
            match block.iter().filter(|byte| **byte == 2).count() {
                0 => "lost",
                4096 => "kept",
                _ => "torn",
            }
        });
        seen.insert(news.collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 27, "{seen:?}");
}

#[test]
fn the_simple_losses_are_exact() {
    let run = |loss| {
        let (handle, mut disk) = small(1);
        disk.write_at(0, block(1)).expect("write");
        disk.submit(
            OpId(1),
            Op::Write {
                offset: 4096,
                data: block(2),
            },
        );
        handle.crash(loss);
        firsts(&handle, 2)
    };
    assert_eq!(run(Loss::All), [0, 0]);
    assert_eq!(run(Loss::Nothing), [1, 2]);
}

#[test]
fn a_flush_covers_only_what_was_completed_before_it_was_submitted() {
    let (handle, mut disk) = small(1);
    handle.plan(|plan| plan.reorder = false);
    disk.write_at(0, block(1)).expect("write");
    disk.submit(
        OpId(1),
        Op::Write {
            offset: 4096,
            data: block(2),
        },
    );
    disk.submit(OpId(2), Op::Flush);
    disk.submit(
        OpId(3),
        Op::WriteDurable {
            offset: 8192,
            data: block(3),
        },
    );
    let mut done = Vec::new();
    disk.poll(&mut done);
    assert!(
        done.len() == 3 && done.iter().all(|done| done.result.is_ok()),
        "{done:?}"
    );
    assert_eq!(firsts(&handle, 3), [1, 2, 3]);
    handle.crash(Loss::All);
    assert_eq!(firsts(&handle, 3), [1, 0, 3]);
}

#[test]
fn disk_and_area_flushes_do_not_cover_each_other() {
    let (handle, mut disk) = small(1);
    let area = handle.area(4096, 4096).expect("area");
    disk.write_at(0, block(1)).expect("write");
    area.write(0, &[2; 4096]).expect("write");
    let before = handle.snapshot();
    area.flush().expect("flush");
    handle.crash(Loss::All);
    assert_eq!(firsts(&handle, 2), [0, 2]);
    assert_eq!(area.read(0, &mut [0; 4096]), Err(DiskError::PowerLost));

    handle.restore(&before);
    handle.open().flush().expect("flush");
    handle.crash(Loss::All);
    assert_eq!(firsts(&handle, 2), [1, 0]);
}

#[test]
fn a_crash_ends_whoever_had_the_disk_open() {
    let (handle, mut disk) = small(1);
    disk.submit(
        OpId(1),
        Op::Read {
            offset: 0,
            bytes: 4096,
        },
    );
    handle.crash(Loss::All);
    disk.submit(OpId(2), Op::Flush);
    assert_eq!(disk.in_flight(), 2);
    let mut done = Vec::new();
    disk.wait(&mut done);
    assert_eq!(disk.in_flight(), 0);
    let lost = |done: &Done| done.result.as_ref().err() == Some(&DiskError::PowerLost);
    assert!(done.len() == 2 && done.iter().all(lost), "{done:?}");
    // The late drop of the dead process does not disturb the next one.
    let mut next = handle.open();
    drop(disk);
    next.write_durable_at(0, block(1)).expect("write");
}

#[test]
fn power_can_fail_between_any_two_steps() {
    let power = Power::new();
    let mut outcomes = Vec::new();
    for steps in 0..5 {
        let handles = ["a", "b"].map(|name| SimDiskHandle::with(name, SMALL_BYTES, 1, &power));
        power.cut_after(steps);
        let mut disks = handles.each_ref().map(SimDiskHandle::open);
        let mut good = 0;
        for disk in &mut disks {
            good += u8::from(disk.write_durable_at(0, block(1)).is_ok());
        }
        assert_eq!(power.is_on(), steps > 4);
        power.restore();
        handles.iter().for_each(|handle| handle.crash(Loss::All));
        let left: Vec<u8> = handles.iter().map(|handle| firsts(handle, 1)[0]).collect();
        outcomes.push((good, left));
    }
    // Each durable write takes two steps; one step of it leaves nothing behind for sure.
    assert_eq!(
        outcomes,
        [
            (0, vec![0, 0]),
            (0, vec![0, 0]),
            (1, vec![1, 0]),
            (1, vec![1, 0]),
            (2, vec![1, 1])
        ]
    );
}

#[test]
fn an_operation_cut_by_the_power_may_have_happened() {
    let (handle, mut disk) = small(1);
    handle.power().cut_after(0);
    assert_eq!(disk.write_at(0, block(1)), Err(DiskError::PowerLost));
    assert_eq!(disk.read_at(0, 4096).err(), Some(DiskError::PowerLost));
    handle.power().restore();
    handle.crash(Loss::Nothing);
    assert_eq!(firsts(&handle, 1), [1]);
}

#[test]
fn a_killed_process_leaves_finished_writes_and_some_queued_ones() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let (handle, mut disk) = small(seed);
        disk.write_at(0, block(1)).expect("write");
        disk.submit(
            OpId(1),
            Op::Write {
                offset: 4096,
                data: block(2),
            },
        );
        disk.submit(
            OpId(2),
            Op::Write {
                offset: 8192,
                data: block(3),
            },
        );
        drop(disk);
        seen.insert(firsts(&handle, 3));
    }
    let all = [[1, 0, 0], [1, 0, 3], [1, 2, 0], [1, 2, 3]];
    assert!(seen.into_iter().eq(all.map(|row| row.to_vec())));
}

#[test]
fn a_failed_flush_loses_for_good_what_it_gave_up() {
    let mut lost = 0;
    for seed in 0..50 {
        let (handle, mut disk) = small(seed);
        handle.fail_flush(1);
        disk.write_durable_at(0, block(1))
            .expect("first flush works");
        disk.write_at(0, block(2)).expect("write");
        let failure = DiskError::Io {
            errno: EIO,
            op: OpKind::Flush,
        };
        assert_eq!(disk.flush(), Err(failure));
        assert_eq!(
            disk.read_at(0, 4096).expect("read")[..],
            block(2)[..],
            "still shown"
        );
        disk.flush().expect("a later flush says yes");
        handle.crash(Loss::Nothing);
        lost += usize::from(handle.peek(0, 4096) != block(2)[..]);
        // Writing it once more and flushing helps.
        let mut disk = handle.open();
        disk.write_durable_at(0, block(3)).expect("write");
        handle.crash(Loss::All);
        assert_eq!(handle.peek(0, 4096), block(3)[..]);
    }
    assert!(lost > 40, "{lost} of 50");
}

#[test]
fn a_rewrite_of_a_given_up_block_shows_and_lasts() {
    let (handle, mut disk) = small(3);
    handle.fail_flush(0);
    disk.write_at(0, block(2)).expect("write");
    assert!(disk.flush().is_err());
    disk.write_durable_at(0, block(3)).expect("write");
    assert_eq!(disk.read_at(0, 4096).expect("read")[..], block(3)[..]);
    handle.crash(Loss::All);
    assert_eq!(firsts(&handle, 1), [3]);
}

#[test]
fn lies_are_told_and_found_out() {
    // (plan, what reads show after a durable write of 1, what is left after a crash)
    type Case = (&'static str, fn(&mut Plan), u8, u8);
    let cases: [Case; 4] = [
        ("honest", |_| {}, 1, 1),
        (
            "lying flush",
            |plan| plan.lie_flushes = Some(Span::from(0)),
            1,
            0,
        ),
        (
            "lost write",
            |plan| plan.lose_writes = Some(Span::once(0)),
            0,
            0,
        ),
        (
            "misdirected write",
            |plan| plan.misdirect_writes = Some(Span::once(0)),
            0,
            0,
        ),
    ];
    for (what, change, shown, left) in cases {
        let (handle, mut disk) = small(1);
        handle.plan(|plan| plan.misdirect_by = 3 * 4096);
        handle.plan(change);
        disk.write_durable_at(0, block(1)).expect(what);
        assert_eq!(disk.read_at(0, 4096).expect("read")[0], shown, "{what}");
        handle.crash(Loss::All);
        assert_eq!(firsts(&handle, 1)[0], left, "{what}");
        let elsewhere = handle.peek(3 * 4096, 4096)[0];
        assert_eq!(elsewhere, u8::from(what == "misdirected write"), "{what}");
        assert_eq!(
            handle.counters().faults,
            u64::from(what != "honest"),
            "{what}"
        );
    }
}

#[test]
fn a_misdirected_read_comes_from_elsewhere() {
    let (handle, mut disk) = small(1);
    disk.write_at(4096, block(5)).expect("write");
    handle.plan(|plan| {
        plan.misdirect_by = 4096;
        plan.misdirect_reads = Some(Span::once(1));
    });
    let mut read = || disk.read_at(0, 4096).expect("read")[0];
    assert_eq!([read(), read(), read()], [0, 5, 0]);
}

#[test]
fn misdirection_never_leaves_the_disk() {
    for by in [4096, 1 << 20, u64::MAX] {
        let (handle, mut disk) = small(1);
        handle.plan(|plan| {
            plan.misdirect_by = by;
            plan.misdirect_writes = Some(Span::from(0));
            plan.misdirect_reads = Some(Span::from(0));
        });
        for offset in [0, SMALL_BYTES - 4 * 4096] {
            disk.write_at(offset, BufferMut::zeroed(4 * 4096).freeze())
                .expect("write");
            disk.read_at(offset, 4 * 4096).expect("read");
        }
    }
}

#[test]
fn a_stuck_block_takes_what_is_written_and_keeps_what_it_held() {
    let (handle, mut disk) = small(1);
    disk.write_durable_at(0, block(1)).expect("write");
    handle.stick(0..4096);
    disk.write_durable_at(0, block(2)).expect("it says so");
    disk.write_durable_at(4096, block(3)).expect("write");
    assert_eq!(firsts(&handle, 2), [1, 3]);
    assert_eq!(handle.counters().faults, 1);
    handle.unstick();
    let mut disk = handle.open();
    disk.write_durable_at(0, block(4)).expect("write");
    assert_eq!(firsts(&handle, 2), [4, 3]);
}

#[test]
fn errors_come_when_the_plan_says() {
    let (handle, mut disk) = small(1);
    handle.fail_writes_from(1);
    disk.write_at(0, block(1)).expect("first");
    let failure = DiskError::Io {
        errno: EIO,
        op: OpKind::Write,
    };
    assert_eq!(disk.write_at(4096, block(1)), Err(failure));
    assert_eq!(disk.write_at(4096, block(1)), Err(failure));
    let after = disk.read_at(4096, 4096).expect("read");
    assert!(
        after
            .chunks_exact(512)
            .all(|part| part == [0; 512] || part == [1; 512])
    );
    handle.set_plan(Plan::default());
    disk.write_at(4096, block(2)).expect("repaired");

    handle.full_after(8192);
    disk.write_at(0, block(3)).expect("room for two");
    disk.write_durable_at(0, block(4)).expect("room for one");
    assert_eq!(disk.write_at(0, block(5)), Err(DiskError::Full));
    assert_eq!(disk.read_at(0, 4096).expect("read")[0], 4);
}

#[test]
fn an_unreadable_block_heals_when_written() {
    let (handle, mut disk) = small(1);
    disk.write_durable_at(0, block(1)).expect("write");
    handle.fail_reads(4096..4097);
    let failure = DiskError::Io {
        errno: EIO,
        op: OpKind::Read,
    };
    assert_eq!(disk.read_at(4096, 4096).err(), Some(failure));
    assert_eq!(disk.read_at(0, 8192).err(), Some(failure));
    assert_eq!(disk.read_at(0, 4096).expect("its neighbour")[0], 1);
    handle.crash(Loss::All);
    let mut disk = handle.open();
    assert_eq!(
        disk.read_at(4096, 4096).err(),
        Some(failure),
        "a crash heals nothing"
    );
    disk.write_at(4096, block(2)).expect("write");
    assert_eq!(disk.read_at(4096, 4096).expect("healed")[0], 2);
}

#[test]
fn rot_and_tampering_change_exactly_the_bytes_named() {
    let (handle, mut disk) = small(1);
    disk.write_durable_at(0, block(0x0f)).expect("write");
    handle.rot(100, 0x18);
    handle.tamper(4090, b"across the edge");
    let read = disk.read_at(0, 8192).expect("read");
    let mut expected = vec![0x0f; 8192];
    expected[4096..].fill(0);
    expected[100] = 0x17;
    expected[4090..4105].copy_from_slice(b"across the edge");
    assert!(read[..] == expected[..]);
    assert_eq!(handle.peek(4088, 6), [0x0f, 0x0f, b'a', b'c', b'r', b'o']);
}

#[test]
fn a_vanished_disk_is_gone_until_it_returns() {
    let (handle, mut disk) = small(1);
    let area = handle.area(0, 4096).expect("area");
    disk.write_durable_at(0, block(1)).expect("write");
    handle.vanish();
    assert_eq!(disk.read_at(0, 4096).err(), Some(DiskError::Gone));
    assert_eq!(disk.write_durable_at(0, block(2)), Err(DiskError::Gone));
    assert_eq!(area.flush(), Err(DiskError::Gone));
    handle.come_back();
    assert_eq!(disk.read_at(0, 4096).expect("back")[0], 1);
    handle.wipe();
    assert_eq!(disk.read_at(0, 4096).expect("replaced")[0], 0);
}

#[test]
fn a_shortened_disk_has_its_end_out_of_reach_until_it_is_itself_again() {
    let (handle, mut disk) = small(1);
    let last = disk.identity().bytes - 4096;
    disk.write_durable_at(last, block(1)).expect("write");
    handle.shorten(last);
    let mut short = handle.open();
    assert_eq!((short.identity().bytes, handle.told_bytes()), (last, last));
    assert_eq!(short.read_at(last, 4096).err(), Some(DiskError::OutOfRange));
    assert_eq!(handle.area(last, 4096).err(), Some(DiskError::OutOfRange));
    short
        .write_durable_at(last - 4096, block(2))
        .expect("write");
    handle.shorten(last + 4096);
    let mut whole = handle.open();
    assert_eq!(whole.read_at(last, 4096).expect("there")[0], 1);
    assert_eq!(whole.read_at(last - 4096, 4096).expect("there")[0], 2);
}

#[test]
fn a_hung_disk_is_silent_until_somebody_gives_up_on_it() {
    let (handle, mut disk) = small(1);
    handle.hang(true);
    disk.submit(
        OpId(1),
        Op::Write {
            offset: 0,
            data: block(1),
        },
    );
    let mut done = Vec::new();
    for _ in 0..100 {
        disk.poll(&mut done);
    }
    assert!(done.is_empty() && disk.in_flight() == 1);
    disk.wait(&mut done);
    assert_eq!(done[0].result.as_ref().err(), Some(&DiskError::Gone));
    assert_eq!(disk.in_flight(), 0);
    handle.hang(false);
    disk.write_at(0, block(2)).expect("answers again");
}

#[test]
fn a_snapshot_can_be_crashed_again_and_again() {
    let (handle, mut disk) = small(1);
    disk.write_durable_at(0, block(1)).expect("write");
    disk.write_at(0, block(2)).expect("write");
    let snapshot = handle.snapshot();
    for (loss, expected) in [(Loss::All, 1), (Loss::Nothing, 2), (Loss::All, 1)] {
        handle.restore(&snapshot);
        handle.crash(loss);
        let mut disk = handle.open();
        assert_eq!(disk.read_at(0, 4096).expect("read")[0], expected);
        disk.write_durable_at(0, block(9)).expect("write");
    }
    // An old state may come back on another disk of the same size.
    let other = SimDiskHandle::new(SMALL_BYTES, 2);
    other.restore(&snapshot);
    assert_eq!(firsts(&other, 1), [2]);
    assert_eq!(disk.read_at(0, 4096).err(), Some(DiskError::PowerLost));
}

/// A run of mixed operations with crashes; gives what happened, in order.
fn trace(seed: u64) -> (Vec<String>, [u8; 32]) {
    let handle = SimDiskHandle::new(SMALL_BYTES, seed);
    let mut events = Vec::new();
    for round in 0..5_u8 {
        let mut disk = handle.open();
        for number in 0..20 {
            let offset = 4096 * ((number * 7) % 16);
            let op = match number % 4 {
                0 => Op::Flush,
                1 => Op::WriteDurable {
                    offset,
                    data: block(round + 1),
                },
                _ => Op::Write {
                    offset,
                    data: block(round + 100),
                },
            };
            disk.submit(OpId(number), op);
            let mut done = Vec::new();
            disk.poll(&mut done);
            events.push(format!("{done:?}"));
        }
        handle.crash(Loss::Seeded);
    }
    (events, handle.digest())
}

#[test]
fn the_seed_decides_everything() {
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1).0, trace(2).0, "orders differ");
    assert_ne!(trace(1).1, trace(2).1, "losses differ");
}

#[test]
fn the_digest_is_of_what_reads_show() {
    let (handle, mut disk) = small(1);
    let blank = handle.digest();
    disk.write_at(0, block(1)).expect("write");
    let written = handle.digest();
    assert_ne!(written, blank);
    disk.flush().expect("flush");
    assert_eq!(handle.digest(), written);
    disk.write_at(0, block(0)).expect("write");
    assert_eq!(handle.digest(), blank);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u8),
    Durable(u64, u8),
    Discard(u64),
    Flush,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u64, 1..=255_u8).prop_map(|(block, value)| Step::Write(block, value)),
        2 => (0..4_u64, 1..=255_u8).prop_map(|(block, value)| Step::Durable(block, value)),
        1 => (0..4_u64).prop_map(Step::Discard),
        1 => Just(Step::Flush),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

proptest! {
    /// A model of each block: the values it may still show. A flush leaves the newest; a crash
    /// lets each sector choose.
    #[test]
    fn a_crash_shows_only_versions_since_the_last_flush(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let (handle, mut disk) = small(1);
        let mut versions = vec![vec![0_u8]; 4];
        for step in steps {
            match step {
                Step::Write(at, value) => {
                    disk.write_at(at * 4096, block(value)).expect("write");
                    versions[usize::try_from(at).expect("small")].push(value);
                }
                Step::Durable(at, value) => {
                    disk.write_durable_at(at * 4096, block(value)).expect("write");
                    versions[usize::try_from(at).expect("small")].push(value);
                    keep_newest(&mut versions);
                }
                Step::Discard(at) => {
                    disk.discard_at(at * 4096, 4096).expect("discard");
                    versions[usize::try_from(at).expect("small")].push(0);
                }
                Step::Flush => {
                    disk.flush().expect("flush");
                    keep_newest(&mut versions);
                }
                Step::Crash(seed) => {
                    handle.crash(Loss::By(seed));
                    disk = handle.open();
                    let shown = disk.read_at(0, 4 * 4096).expect("read");
                    for (versions, block) in versions.iter_mut().zip(shown.chunks_exact(4096)) {
                        assert!(block.iter().all(|byte| versions.contains(byte)));
                        // Torn content is durable now; start over with something whole.
                        versions.clear();
                        versions.push(7);
                    }
                    for at in 0..4 {
                        disk.write_at(at * 4096, block(7)).expect("write");
                    }
                    disk.flush().expect("flush");
                }
            }
            for (versions, at) in versions.iter().zip(0..) {
                let shown = disk.read_at(at * 4096, 4096).expect("read");
                assert_eq!(Some(&shown[0]), versions.last());
            }
        }
    }
}

fn keep_newest(versions: &mut [Vec<u8>]) {
    for versions in versions {
        versions.drain(..versions.len() - 1);
    }
}
