//! The exams: what every implementation of a trait of this crate must do, as plain functions that
//! panic with what was wrong. Simulated and real ones sit the same exam, so that a test that
//! passes on the fake means something.

use std::collections::BTreeSet;

use crate::area::Area;
use crate::buffer::{Buffer, BufferMut};
use crate::clock::Clock;
use crate::disk::{BlockingDisk, Disk, DiskError, Done, Op, OpId};
use crate::entropy::Entropy;
use crate::keyprovider::{Anchor, KeyError, KeyProvider};
use crate::limits::{BLOCK, BLOCK_BYTES, OP_BYTES_MAX, READS_AT_ONCE};

/// Size a disk must have to sit its exam, bytes.
pub const EXAM_DISK_BYTES: u64 = 32 * 1024 * 1024;

const EXAM_MIB: usize = 1024 * 1024;

/// A block whose bytes tell which of several it is.
fn pattern(bytes: usize, seed: u8) -> Buffer {
    let mut buffer = BufferMut::zeroed(bytes);
    for (block, part) in buffer.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        let step = u8::try_from(block % 251).expect("below 251");
        part.fill(seed.wrapping_add(step).max(1));
        part[0] = seed;
    }
    buffer.freeze()
}

/// The exam for disks. `make` gives a blank one of `EXAM_DISK_BYTES` each time.
///
/// # Panics
/// When the disk fails.
pub fn disk(mut make: impl FnMut() -> Box<dyn Disk>) {
    disk_reads_back(&mut *make());
    disk_refuses_bad_ranges(&mut *make());
    disk_moves_big_buffers(&mut *make());
    disk_completes_each_operation_once(&mut *make());
    disk_reads_many(&mut *make());
    disk_discards_to_zeros(&mut *make());
    disk_answers_a_crowd_of_commits(&mut *make());
    let mut with_work = make();
    with_work.submit(
        OpId(1),
        Op::Write {
            offset: 0,
            data: pattern(EXAM_MIB, 1),
        },
    );
    with_work.submit(OpId(2), Op::Flush);
    drop(with_work);
}

fn disk_reads_back(disk: &mut dyn Disk) {
    assert_eq!(disk.identity().bytes, EXAM_DISK_BYTES, "size");
    assert!(!disk.identity().name.is_empty() && !disk.identity().backend.is_empty());
    let end = EXAM_DISK_BYTES - BLOCK;
    for offset in [0, BLOCK, end] {
        let blank = disk
            .read_at(offset, BLOCK_BYTES)
            .expect("read of a blank disk");
        assert!(
            blank.iter().all(|byte| *byte == 0),
            "blank disk at {offset}"
        );
    }
    disk.write_at(BLOCK, pattern(2 * BLOCK_BYTES, 7))
        .expect("write");
    disk.write_at(end, pattern(BLOCK_BYTES, 9))
        .expect("write of the last block");
    disk.write_at(2 * BLOCK, pattern(BLOCK_BYTES, 11))
        .expect("overwrite");
    disk.flush().expect("flush");
    disk.flush().expect("flush with nothing new");
    disk.write_durable_at(4 * BLOCK, pattern(BLOCK_BYTES, 13))
        .expect("durable write");
    let start = disk.read_at(0, 5 * BLOCK_BYTES).expect("read");
    let firsts: Vec<u8> = start
        .chunks_exact(BLOCK_BYTES)
        .map(|block| block[0])
        .collect();
    assert_eq!(firsts, [0, 7, 11, 0, 13]);
    assert_eq!(
        start[BLOCK_BYTES..2 * BLOCK_BYTES],
        pattern(BLOCK_BYTES, 7)[..]
    );
    assert_eq!(
        disk.read_at(end, BLOCK_BYTES).expect("read")[..],
        pattern(BLOCK_BYTES, 9)[..]
    );
}

fn disk_refuses_bad_ranges(disk: &mut dyn Disk) {
    let block = || pattern(BLOCK_BYTES, 1);
    let size = EXAM_DISK_BYTES;
    let odd_length = Op::Read {
        offset: 0,
        bytes: 512,
    };
    let huge = OP_BYTES_MAX + BLOCK_BYTES;
    let cases = [
        (
            Op::Read {
                offset: 512,
                bytes: BLOCK_BYTES,
            },
            DiskError::Misaligned,
        ),
        (odd_length, DiskError::Misaligned),
        (
            Op::Read {
                offset: 0,
                bytes: 0,
            },
            DiskError::Misaligned,
        ),
        (
            Op::Read {
                offset: size,
                bytes: BLOCK_BYTES,
            },
            DiskError::OutOfRange,
        ),
        (
            Op::Read {
                offset: 0,
                bytes: huge,
            },
            DiskError::OutOfRange,
        ),
        (
            Op::Read {
                offset: u64::MAX - BLOCK + 1,
                bytes: BLOCK_BYTES,
            },
            DiskError::OutOfRange,
        ),
        (
            Op::Write {
                offset: 1,
                data: block(),
            },
            DiskError::Misaligned,
        ),
        (
            Op::Write {
                offset: size,
                data: block(),
            },
            DiskError::OutOfRange,
        ),
        (
            Op::WriteDurable {
                offset: 8,
                data: block(),
            },
            DiskError::Misaligned,
        ),
        (
            Op::WriteDurable {
                offset: size - BLOCK,
                data: pattern(8192, 1),
            },
            DiskError::OutOfRange,
        ),
        (
            Op::Discard {
                offset: 0,
                bytes: 100,
            },
            DiskError::Misaligned,
        ),
        (
            Op::Discard {
                offset: BLOCK,
                bytes: size,
            },
            DiskError::OutOfRange,
        ),
    ];
    for (number, (op, expected)) in cases.into_iter().enumerate() {
        let what = format!("{op:?}");
        let id = OpId(u64::try_from(number).expect("few cases"));
        disk.submit(id, op);
        let done = drain(disk);
        assert_eq!(done.len(), 1, "{what}");
        assert_eq!(done[0].id, id, "{what}");
        assert_eq!(done[0].result.as_ref().err(), Some(&expected), "{what}");
    }
    let start = disk.read_at(0, BLOCK_BYTES).expect("still works");
    assert!(
        start.iter().all(|byte| *byte == 0),
        "a refused write did something"
    );
}

fn disk_moves_big_buffers(disk: &mut dyn Disk) {
    let big = pattern(4 * EXAM_MIB, 3);
    disk.write_at(3 * BLOCK, big.clone()).expect("big write");
    let back = disk.read_at(3 * BLOCK, big.len()).expect("big read");
    assert!(back[..] == big[..], "big read differs");
    // Part of a buffer is a buffer.
    let part = big.slice(BLOCK_BYTES..3 * BLOCK_BYTES);
    disk.write_durable_at(0, part.clone())
        .expect("write of a part");
    assert!(
        disk.read_at(0, part.len()).expect("read")[..] == part[..],
        "part differs"
    );
}

/// Waits until nothing is in flight.
fn drain(disk: &mut dyn Disk) -> Vec<Done> {
    let mut all = Vec::new();
    while disk.in_flight() > 0 {
        let (before, in_flight) = (all.len(), disk.in_flight());
        disk.wait(&mut all);
        assert!(
            all.len() > before,
            "wait came back with nothing while {in_flight} in flight"
        );
        assert_eq!(
            disk.in_flight() + all.len() - before,
            in_flight,
            "in-flight count"
        );
    }
    let count = all.len();
    disk.poll(&mut all);
    disk.wait(&mut all);
    assert_eq!(all.len(), count, "a completion out of nowhere");
    all
}

fn disk_completes_each_operation_once(disk: &mut dyn Disk) {
    const WRITES: u64 = 300;
    for round in 0..2_u8 {
        for number in 0..WRITES {
            let seed = u8::try_from(number % 200).expect("below 200") + round + 1;
            let data = pattern(BLOCK_BYTES, seed);
            disk.submit(
                OpId(number),
                Op::Write {
                    offset: number * BLOCK,
                    data,
                },
            );
        }
        assert_eq!(disk.in_flight(), 300, "submitted and not handed out");
        let done = drain(disk);
        assert!(
            done.iter().all(|done| matches!(done.result, Ok(None))),
            "{done:?}"
        );
        let ids: BTreeSet<u64> = done.iter().map(|done| done.id.0).collect();
        assert_eq!(done.len(), 300);
        assert!(ids.into_iter().eq(0..WRITES), "each once");
    }
    for number in 0..WRITES {
        disk.submit(
            OpId(number),
            Op::Read {
                offset: number * BLOCK,
                bytes: BLOCK_BYTES,
            },
        );
    }
    for done in drain(disk) {
        let read = done.result.expect("read").expect("a read gives bytes");
        let seed = u8::try_from(done.id.0 % 200).expect("below 200") + 2;
        assert_eq!(
            read[..],
            pattern(BLOCK_BYTES, seed)[..],
            "block {}",
            done.id.0
        );
    }
}

/// More reads than are under way at once, of several lengths, good ones around bad ones.
fn disk_reads_many(disk: &mut dyn Disk) {
    let (count, bytes) = (3 * READS_AT_ONCE, 64 * BLOCK_BYTES);
    let data = pattern(bytes, 3);
    disk.write_at(0, data.clone()).expect("write");
    let ranges: Vec<(u64, usize)> = (0..count)
        .map(|number| match number % 7 {
            3 => (EXAM_DISK_BYTES, BLOCK_BYTES),
            5 => (1, BLOCK_BYTES),
            // Backwards, so that neither offsets nor lengths ascend.
            rest => ((count - number) as u64 * BLOCK, (rest + 1) * BLOCK_BYTES),
        })
        .collect();
    let read = disk.read_many(&ranges);
    assert_eq!(read.len(), count);
    for ((offset, bytes), result) in ranges.into_iter().zip(read) {
        match result {
            Ok(found) => {
                let start = usize::try_from(offset).expect("below the bytes written");
                assert!(
                    found[..] == data[start..start + bytes],
                    "{bytes} at {offset}"
                );
            }
            Err(DiskError::OutOfRange) => assert_eq!(offset, EXAM_DISK_BYTES),
            Err(DiskError::Misaligned) => assert_eq!(offset, 1),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(disk.in_flight(), 0);
    assert!(disk.read_many(&[]).is_empty(), "nothing asked for");
}

fn disk_discards_to_zeros(disk: &mut dyn Disk) {
    disk.write_durable_at(0, pattern(4 * BLOCK_BYTES, 5))
        .expect("write");
    match disk.discard_at(BLOCK, 2 * BLOCK) {
        Err(DiskError::Io { .. }) => return,
        outcome => outcome.expect("discard"),
    }
    disk.flush().expect("flush");
    let after = disk.read_at(0, 4 * BLOCK_BYTES).expect("read");
    assert!(
        after[BLOCK_BYTES..3 * BLOCK_BYTES]
            .iter()
            .all(|byte| *byte == 0),
        "not zeros"
    );
    assert!(
        after[0] == 5 && after[3 * BLOCK_BYTES] == 5,
        "discarded too much"
    );
}

fn disk_answers_a_crowd_of_commits(disk: &mut dyn Disk) {
    for number in 0..40 {
        let offset = number * BLOCK;
        let seed = u8::try_from(number).expect("below 40") + 1;
        let data = pattern(BLOCK_BYTES, seed);
        disk.submit(OpId(3 * number), Op::WriteDurable { offset, data });
        disk.submit(OpId(3 * number + 1), Op::Flush);
        let offset = offset + 8 * 1024 * 1024;
        disk.submit(
            OpId(3 * number + 2),
            Op::Write {
                offset,
                data: pattern(BLOCK_BYTES, seed),
            },
        );
    }
    let done = drain(disk);
    assert_eq!(done.len(), 120);
    assert!(
        done.iter().all(|done| matches!(done.result, Ok(None))),
        "{done:?}"
    );
    let all = disk.read_at(0, 40 * BLOCK_BYTES).expect("read");
    let firsts = all.chunks_exact(BLOCK_BYTES).map(|block| block[0]);
    assert!(firsts.eq(1..=40), "each commit where it belongs");
}

/// The exam for areas: `area` is blank and at least 1 MiB long.
///
/// # Panics
/// When the area fails.
pub fn area(area: &dyn Area) {
    assert!(area.len() >= 1024 * 1024 && !area.is_empty(), "size");
    let mut block = vec![1; BLOCK_BYTES];
    area.read(area.len() - BLOCK, &mut block)
        .expect("read of the last block");
    assert!(block.iter().all(|byte| *byte == 0), "blank");

    // Longer than any scratch memory, from memory that is not aligned.
    let long = pattern(600 * 1024, 21);
    let mut odd = vec![0; long.len() + 1];
    odd[1..].copy_from_slice(&long);
    area.write(BLOCK, &odd[1..]).expect("write");
    area.flush().expect("flush");
    let mut back = vec![0; long.len() + 1];
    area.read(BLOCK, &mut back[1..]).expect("read");
    assert!(back[1..] == long[..], "read differs");
    area.read(0, &mut block).expect("read");
    assert!(
        block.iter().all(|byte| *byte == 0),
        "wrote before the start"
    );

    let cases = [
        (1, BLOCK_BYTES, DiskError::Misaligned),
        (0, 100, DiskError::Misaligned),
        (0, 0, DiskError::Misaligned),
        (area.len(), BLOCK_BYTES, DiskError::OutOfRange),
        (area.len() - BLOCK, 2 * BLOCK_BYTES, DiskError::OutOfRange),
        (u64::MAX - BLOCK + 1, BLOCK_BYTES, DiskError::OutOfRange),
    ];
    for (offset, bytes, expected) in cases {
        let mut memory = vec![0; bytes];
        assert_eq!(
            area.read(offset, &mut memory),
            Err(expected),
            "read {bytes} at {offset}"
        );
        assert_eq!(
            area.write(offset, &memory),
            Err(expected),
            "write {bytes} at {offset}"
        );
    }
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            scope.spawn(move || {
                let offset = u64::from(number) * BLOCK;
                let own = vec![number + 1; BLOCK_BYTES];
                area.write(offset, &own).expect("write beside others");
                let mut back = vec![0; BLOCK_BYTES];
                area.read(offset, &mut back).expect("read beside others");
                assert_eq!(back, own);
            });
        }
    });
}

/// The exam for key providers. `again` is the same key opened a second time, `other` another key.
///
/// # Panics
/// When a provider fails.
pub fn key_provider(one: &dyn KeyProvider, again: &dyn KeyProvider, other: &dyn KeyProvider) {
    assert_eq!(one.kind(), again.kind());
    key_provider_seals(one, again, other);
    key_provider_notices_damage(one);
    key_provider_advances(one, again, other);
    key_provider_forgets(one, again);
}

fn key_provider_seals(one: &dyn KeyProvider, again: &dyn KeyProvider, other: &dyn KeyProvider) {
    let overhead = one.seal(b"context", b"").expect("seal").len();
    for plaintext in [&b""[..], b"x", &[0x5a; 5000]] {
        let sealed = one.seal(b"context", plaintext).expect("seal");
        assert_eq!(sealed.len(), plaintext.len() + overhead);
        let shows = !plaintext.is_empty()
            && plaintext.len() > 4
            && sealed
                .windows(plaintext.len())
                .any(|window| window == plaintext);
        assert!(!shows, "plaintext shows");
        for provider in [one, again] {
            let opened = provider.open(b"context", &sealed).expect("open");
            assert_eq!(opened.as_slice(), plaintext);
        }
        assert_eq!(
            one.open(b"contexT", &sealed).err(),
            Some(KeyError::Tampered)
        );
        assert_eq!(
            other.open(b"context", &sealed).err(),
            Some(KeyError::WrongKey)
        );
        let second = one.seal(b"context", plaintext).expect("seal");
        assert_ne!(sealed, second, "two seals of the same are alike");
    }
}

fn key_provider_notices_damage(one: &dyn KeyProvider) {
    let sealed = one.seal(b"context", b"some secret").expect("seal");
    for position in 0..sealed.len() {
        for bit in 0..8 {
            let mut damaged = sealed.clone();
            damaged[position] ^= 1 << bit;
            assert!(
                one.open(b"context", &damaged).is_err(),
                "bit {bit} of byte {position}"
            );
        }
        assert!(
            one.open(b"context", &sealed[..position]).is_err(),
            "cut at {position}"
        );
    }
    let mut longer = sealed.clone();
    longer.push(0);
    assert_eq!(
        one.open(b"context", &longer).err(),
        Some(KeyError::Tampered)
    );
    assert_eq!(one.open(b"context", b"").err(), Some(KeyError::Malformed));
}

/// What opening says: the plaintext or why not.
fn opened(provider: &dyn KeyProvider, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
    provider.open(context, sealed).map(|plain| plain.to_vec())
}

/// A change of state under way: what was sealed of the old one and of the new one.
struct Change {
    before: Anchor,
    old: [Vec<u8>; 2],
    next: [Vec<u8>; 2],
}

const OLD: &[u8] = b"old state";
const NEW: &[u8] = b"new state";

/// One change of state in the order of the trait's table. A change of hands between `one` and `again`
/// stands for a crash and a restart.
fn key_provider_advances(one: &dyn KeyProvider, again: &dyn KeyProvider, other: &dyn KeyProvider) {
    let change = key_provider_prepares(one, again);
    let [old, next] = [&change.old[0], &change.next[1]];
    // Nothing that is refused moves the anchor.
    let head = &next[..next.len() / 4];
    assert_eq!(other.advance(next), Err(KeyError::WrongKey));
    assert_eq!(one.advance(b""), Err(KeyError::Malformed));
    assert_eq!(one.advance(head), Err(KeyError::Malformed));
    assert_eq!(one.advance(old), Ok(change.before), "to where it stands");
    assert_eq!(again.anchor(), Ok(change.before));
    // Step 3, and once more after a crash in it.
    let after = again.advance(next).expect("advance");
    let steps = u64::from(one.is_anchored());
    assert_eq!(after.kind, change.before.kind);
    assert_eq!(after.value, change.before.value + steps, "one step");
    for provider in [one, again] {
        assert_eq!(provider.advance(next), Ok(after), "a second time");
        assert_eq!(provider.anchor(), Ok(after));
        for sealed in &change.next {
            let wrong_place = opened(provider, b"contexT", sealed);
            assert_eq!(opened(provider, b"context", sealed), Ok(NEW.to_vec()));
            assert_eq!(wrong_place, Err(KeyError::Tampered));
            assert_eq!(opened(other, b"context", sealed), Err(KeyError::WrongKey));
        }
        for sealed in &change.old {
            let gone = or_without_anchor(one, KeyError::Superseded, OLD);
            assert_eq!(opened(provider, b"context", sealed), gone, "after");
        }
    }
    let back = one.advance(old);
    let refused = Err(KeyError::Superseded);
    assert_eq!(
        back,
        if one.is_anchored() {
            refused
        } else {
            Ok(after)
        }
    );
    assert_eq!(again.anchor(), Ok(after), "the anchor never moves back");
}

/// Step 1, twice for a crash in between, and an ordinary save beside it.
fn key_provider_prepares(one: &dyn KeyProvider, again: &dyn KeyProvider) -> Change {
    let before = one.anchor().expect("anchor");
    assert_eq!(before.is_anchored(), one.is_anchored());
    assert_eq!(again.anchor(), Ok(before));
    assert!(one.is_anchored() || before == Anchor::NONE);
    let seal = |provider: &dyn KeyProvider| provider.seal(b"context", OLD).expect("seal");
    let seal_next = |provider: &dyn KeyProvider| {
        let sealed = provider.seal_next(b"context", NEW);
        sealed.expect("seal next")
    };
    let first = seal(one);
    let next = [seal_next(one), seal_next(again)];
    let old = [first, seal(again)];
    for provider in [one, again] {
        for sealed in &next {
            let waits = or_without_anchor(one, KeyError::NotYet, NEW);
            assert_eq!(opened(provider, b"context", sealed), waits, "before");
        }
        for sealed in &old {
            assert_eq!(opened(provider, b"context", sealed), Ok(OLD.to_vec()));
        }
    }
    Change { before, old, next }
}

/// What an anchor makes of opening, and what it is without one.
fn or_without_anchor(
    provider: &dyn KeyProvider,
    error: KeyError,
    plaintext: &[u8],
) -> Result<Vec<u8>, KeyError> {
    if provider.is_anchored() {
        Err(error)
    } else {
        Ok(plaintext.to_vec())
    }
}

/// What was sealed once never opens again, however far the anchor goes on.
fn key_provider_forgets(one: &dyn KeyProvider, again: &dyn KeyProvider) {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(one.seal(b"context", b"old").expect("seal"));
        let next = one.seal_next(b"context", b"old").expect("seal next");
        one.advance(&next).expect("advance");
        all.push(next);
    }
    let last = all.pop().expect("some were made");
    assert_eq!(opened(again, b"context", &last), Ok(b"old".to_vec()));
    for sealed in all {
        let expected = or_without_anchor(one, KeyError::Superseded, b"old");
        assert_eq!(opened(again, b"context", &sealed), expected);
    }
}

/// The exam for clocks.
///
/// # Panics
/// When the clock fails.
pub fn clock(clock: &dyn Clock) {
    let year_2020_ms = 1_577_836_800_000;
    assert!(
        clock.wall_ms() > year_2020_ms,
        "wall time {}",
        clock.wall_ms()
    );
    let mut last = clock.monotonic_ms();
    for _ in 0..1000 {
        let now = clock.monotonic_ms();
        assert!(now >= last, "monotonic time went back from {last} to {now}");
        last = now;
    }
}

/// The exam for sources of randomness: catches what is broken, not what is weak.
///
/// # Panics
/// When the source fails.
pub fn entropy(source: &mut dyn Entropy) {
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let mut bytes = [0; 32];
        source.fill(&mut bytes);
        assert!(seen.insert(bytes), "the same 32 bytes twice");
    }
    let mut many = vec![0; 64 * 1024];
    source.fill(&mut many);
    let values: BTreeSet<u8> = many.iter().copied().collect();
    assert_eq!(values.len(), 256, "some byte values never come");
    source.fill(&mut []);
}
