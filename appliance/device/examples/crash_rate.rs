//! How many crash and recovery rounds a core does per second on simulated disks alone: three
//! disks, forty commits of two blocks each with some bulk writes, a crash, and a read of what was
//! written. Prints one line. Run with `--release`.

#![forbid(unsafe_code)]

use std::time::Instant;

use stele_device::buffer::{Buffer, BufferMut};
use stele_device::disk::{BlockingDisk, Disk, DiskError, Op, OpId};
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_device::sim::power::Power;

const ROUNDS: u64 = 20_000;
const COMMITS: u64 = 40;

fn main() -> Result<(), DiskError> {
    let mut commit = BufferMut::zeroed(8192);
    commit.fill(0x5a);
    let commit = commit.freeze();
    let start = Instant::now();
    let (mut operations, mut torn) = (0, 0);
    for seed in 0..ROUNDS {
        let power = Power::new();
        let disks = ["a", "b", "c"].map(|name| SimDiskHandle::with(name, 8 << 20, seed, &power));
        for handle in &disks {
            write(handle, &commit)?;
        }
        for handle in &disks {
            handle.crash(Loss::Seeded);
            torn += handle.counters().blocks_torn;
            let mut disk = handle.open();
            for number in 0..COMMITS {
                disk.read_at(number * 8192, 8192)?;
            }
        }
        operations += power.steps();
    }
    let seconds = start.elapsed().as_secs_f64();
    let per_second = |count: u64| count.to_string().parse::<f64>().unwrap_or(0.0) / seconds;
    println!(
        "{ROUNDS} crashes of three disks in {seconds:.2} s: {:.0} crashes/s, {:.2} M operations/s, \
         {torn} torn blocks",
        per_second(ROUNDS),
        per_second(operations) / 1e6,
    );
    Ok(())
}

/// Commits one after the other with bulk writes beside them, and leaves some of both unfinished.
fn write(handle: &SimDiskHandle, commit: &Buffer) -> Result<(), DiskError> {
    let mut disk = handle.open();
    let mut done = Vec::new();
    for number in 0..COMMITS {
        let offset = (4 << 20) + number * 8192;
        disk.submit(
            OpId(2 * number),
            Op::Write {
                offset,
                data: commit.clone(),
            },
        );
        let data = commit.clone();
        disk.submit(
            OpId(2 * number + 1),
            Op::WriteDurable {
                offset: number * 8192,
                data,
            },
        );
        disk.wait(&mut done);
    }
    done.drain(..).try_for_each(|done| done.result.map(drop))
}
