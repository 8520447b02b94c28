//! How long a durable write of 4 KiB takes on an evil disk under a plan, with nothing else going on: median and
//! 99th percentile in microseconds, as `p50<TAB>p99`. `flush_time FILE PLAN COUNT`; run with `--release`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use stele_device::buffer::BufferMut;
use stele_device::disk::{BlockingDisk, no_waker};
use stele_device::evil::{EvilDisk, Mains};
use stele_device::linux::disk::OpenMode;

const BLOCK_BYTES: usize = 4096;
const FILE_BYTES: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, plan, count] = &arguments[..] else {
        return Err("flush_time FILE PLAN COUNT".into());
    };
    // Such a plan is not one that cuts the power.
    let mains = Mains::new(plan.parse()?, || std::process::abort());
    let mode = OpenMode::Create { bytes: FILE_BYTES };
    let mut disk = EvilDisk::open(&mains, Path::new(file), mode, no_waker())?;
    let mut times_us = Vec::new();
    for _ in 0..count.parse::<u32>()? {
        let block = BufferMut::zeroed(BLOCK_BYTES).freeze();
        let began = Instant::now();
        disk.write_durable_at(0, block)?;
        times_us.push(began.elapsed().as_micros());
    }
    times_us.sort_unstable();
    let at = |percent: usize| times_us.get(times_us.len() * percent / 100);
    match (at(50), at(99)) {
        (Some(median), Some(slowest)) => println!("{median}\t{slowest}"),
        _ => return Err("nothing was timed".into()),
    }
    Ok(())
}
