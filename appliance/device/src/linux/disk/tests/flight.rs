//! Many operations at a time.

use super::{backends, create, paths};
use crate::buffer::{Buffer, BufferMut, Pool};
use crate::disk::{BlockingDisk, Disk, Done, Op, OpId, no_waker};
use crate::limits::RING_DEPTH;
use crate::linux::disk::{FileDisk, OpenMode};
use crate::sim::rng::SimRng;

fn filled(mut buffer: BufferMut, value: u8) -> Buffer {
    buffer.fill(value);
    buffer.freeze()
}

fn drain(disk: &mut FileDisk) -> Vec<Done> {
    let mut done = Vec::new();
    while disk.in_flight() > 0 {
        disk.wait(&mut done);
    }
    done
}

/// A small number as a byte that is not zero.
fn mark(number: u64) -> u8 {
    u8::try_from(number % 255).expect("small") + 1
}

#[test]
fn thousands_of_operations_at_a_time_complete_once_each() {
    const COUNT: u64 = 5000;
    let (_directory, mut path) = paths();
    for wishes in backends() {
        let mut disk = create(&path(), COUNT * 4096, &wishes);
        for number in 0..COUNT {
            let data = filled(BufferMut::zeroed(4096), mark(number));
            let offset = number * 4096;
            disk.submit(OpId(number), Op::Write { offset, data });
        }
        for number in COUNT..COUNT + 10 {
            disk.submit(OpId(number), Op::Flush);
        }
        assert_eq!(disk.in_flight(), 5010);
        let mut written = drain(&mut disk);
        written.sort_unstable_by_key(|done| done.id);
        assert!(written.iter().map(|done| done.id.0).eq(0..COUNT + 10));
        assert!(written.iter().all(|done| matches!(done.result, Ok(None))));
        for number in 0..COUNT {
            let (offset, bytes) = (number * 4096, 4096);
            disk.submit(OpId(number), Op::Read { offset, bytes });
        }
        let mut read = drain(&mut disk);
        read.sort_unstable_by_key(|done| done.id);
        assert!(read.iter().map(|done| done.id.0).eq(0..COUNT));
        for done in read {
            let bytes = done.result.expect("read").expect("bytes");
            assert!(
                bytes.iter().all(|byte| *byte == mark(done.id.0)),
                "{:?}",
                done.id
            );
        }
    }
}

#[test]
fn what_is_written_never_takes_more_memory_than_its_pool() {
    const SLABS: usize = RING_DEPTH + 2;
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        let pool = Pool::new(256 << 10, SLABS);
        wishes.write_pools = vec![pool.clone()];
        let mut disk = create(&path(), 64 << 18, &wishes);
        let mut done = Vec::new();
        for number in 0..64 {
            let slab = loop {
                if let Some(slab) = pool.try_take() {
                    break slab;
                }
                assert!(disk.in_flight() >= SLABS, "the pool leaks");
                disk.wait(&mut done);
            };
            assert!(pool.in_use() <= SLABS);
            let (offset, data) = (number << 18, filled(slab, mark(number)));
            disk.submit(OpId(number), Op::Write { offset, data });
        }
        done.extend(drain(&mut disk));
        assert!(done.len() == 64 && done.iter().all(|done| matches!(done.result, Ok(None))));
        assert_eq!((pool.in_use(), pool.high_water()), (0, SLABS));
        for number in 0..64 {
            let read = disk.read_at(number << 18, 256 << 10).expect("read");
            assert!(read.iter().all(|byte| *byte == mark(number)), "{number}");
        }
    }
}

#[test]
fn dropping_a_disk_ends_what_runs_and_abandons_the_rest() {
    const SLABS: usize = 24;
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        let pool = Pool::new(1 << 20, SLABS);
        wishes.write_pools = vec![pool.clone()];
        wishes.read_pool = Some(Pool::new(1 << 20, 2));
        let path = path();
        let mut disk = create(&path, 32 << 20, &wishes);
        for number in 0..24 {
            let data = filled(pool.try_take().expect("slab"), 0x11);
            let offset = number << 20;
            disk.submit(OpId(number), Op::Write { offset, data });
        }
        for number in 24..32 {
            let (offset, bytes) = (0, 1 << 20);
            disk.submit(OpId(number), Op::Read { offset, bytes });
        }
        drop(disk);
        assert_eq!(pool.in_use(), 0, "all memory is home");
        assert_eq!(wishes.read_pool.expect("a pool").in_use(), 0);
        // What the kernel had not finished with would now write this.
        while let Some(mut slab) = pool.try_take() {
            slab.fill(0x22);
            std::mem::forget(slab);
        }
        let mut disk = FileDisk::open(&path, OpenMode::Write, no_waker()).expect("open");
        for number in 0..24 {
            let read = disk.read_at(number << 20, 1 << 20).expect("read");
            let first = read[0];
            assert!(first == 0 || first == 0x11, "{first:#x} in {number}");
            assert!(read.iter().all(|byte| *byte == first), "half of {number}");
        }
    }
}

/// A disk in memory, and operations that are in flight together without touching each other.
struct Model {
    content: Vec<u8>,
    rng: SimRng,
}

const MODEL_BLOCKS: usize = 1024;
const RUN_BLOCKS_MAX: usize = 40;

impl Model {
    /// Disjoint runs of blocks in random order.
    fn runs(&mut self) -> Vec<(usize, usize)> {
        let (mut runs, mut block) = (Vec::new(), self.rng.below(RUN_BLOCKS_MAX));
        while block < MODEL_BLOCKS {
            let blocks = (1 + self.rng.below(RUN_BLOCKS_MAX)).min(MODEL_BLOCKS - block);
            let place = self.rng.below(runs.len() + 1);
            runs.insert(place, (block * 4096, blocks * 4096));
            block += blocks + self.rng.below(RUN_BLOCKS_MAX);
        }
        runs
    }

    /// Random content for a run: memory of the pool or not, whole or a part.
    fn data(&mut self, bytes: usize, pool: &Pool) -> Buffer {
        let start = 4096 * self.rng.below(3);
        let pooled = self.rng.coin().then(|| pool.try_take()).flatten();
        let fits = |buffer: &BufferMut| buffer.len() >= start + bytes;
        let buffer = pooled.filter(fits);
        let mut buffer = buffer.unwrap_or_else(|| BufferMut::zeroed(start + bytes));
        let value = self.rng.mask();
        for block in buffer.chunks_exact_mut(4096) {
            block.fill(value);
            block[..8].copy_from_slice(&self.rng.next().to_le_bytes());
        }
        buffer.freeze().slice(start..start + bytes)
    }

    fn round(&mut self, disk: &mut FileDisk, pool: &Pool) {
        let runs = self.runs();
        for (number, (at, bytes)) in runs.iter().copied().enumerate() {
            let (id, offset) = (OpId(number as u64), at as u64);
            if self.rng.coin() {
                disk.submit(id, Op::Read { offset, bytes });
                continue;
            }
            let data = self.data(bytes, pool);
            self.content[at..at + bytes].copy_from_slice(&data);
            let durable = self.rng.below(8) == 0;
            disk.submit(
                id,
                if durable {
                    Op::WriteDurable { offset, data }
                } else {
                    Op::Write { offset, data }
                },
            );
        }
        for done in drain(disk) {
            let number = usize::try_from(done.id.0).expect("small");
            let (at, bytes) = runs[number];
            if let Some(read) = done.result.expect("done") {
                assert!(read[..] == self.content[at..at + bytes], "{bytes} at {at}");
            }
        }
    }
}

#[test]
fn reads_and_writes_anywhere_agree_with_a_model() {
    let (_directory, mut path) = paths();
    for mut wishes in backends() {
        let pool = Pool::new(RUN_BLOCKS_MAX * 4096, 6);
        wishes.write_pools = vec![pool.clone()];
        wishes.read_pool = Some(Pool::new(RUN_BLOCKS_MAX * 4096, 3));
        let mut disk = create(&path(), (MODEL_BLOCKS * 4096) as u64, &wishes);
        for seed in 0..40 {
            let mut model = Model {
                content: disk.read_at(0, MODEL_BLOCKS * 4096).expect("read").to_vec(),
                rng: SimRng::new(seed),
            };
            for _ in 0..5 {
                model.round(&mut disk, &pool);
            }
            let all = disk.read_at(0, MODEL_BLOCKS * 4096).expect("read");
            assert!(all[..] == model.content[..], "seed {seed}");
        }
    }
}
