//! Yardsticks: fio, bare copies, a bare hash, bare durable writes.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc;
use stele_device::buffer::{Buffer, BufferMut, Pool};
use stele_device::disk::{BlockingDisk, Disk, Op, OpId, no_waker};
use stele_device::linux::disk::{FileDisk, OpenMode, Wishes};

use crate::{Outcome, float, mib};

const MIB: usize = 1 << 20;
const AHEAD: usize = 8;

/// Sequential reads by fio, 1 MiB, four in flight, of files that lie beside each other, one thread each;
/// MiB/s of all together. None where there is no fio.
pub fn fio_read(areas: &[(PathBuf, u64)], bytes: u64) -> Outcome<Option<f64>> {
    if Command::new("fio").arg("--version").output().is_err() {
        return Ok(None);
    }
    let mut command = Command::new("fio");
    command
        .args(["--bs=1M", "--iodepth=4", "--rw=read"])
        .args(["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"])
        .args([
            "--nonvectored=1",
            "--direct=1",
            "--thread",
            "--group_reporting",
        ])
        .args(["--output-format=terse", "--terse-version=3"])
        .arg(format!("--size={bytes}"));
    for (file, offset) in areas {
        command
            .arg("--name=bench")
            .arg(format!("--offset={offset}"))
            .arg(format!("--filename={}", file.display()));
    }
    let output = command.output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.starts_with("3;"));
    let fields: Vec<&str> = line.ok_or("fio printed no figures")?.split(';').collect();
    // Counted from zero: bandwidth of reads in KiB/s.
    let kib_per_s: f64 = fields
        .get(6)
        .ok_or("fio printed too few figures")?
        .parse()?;
    Ok(Some(kib_per_s / 1024.0))
}

/// Copies part of a file into a new sparse file with direct I/O, reads and writes overlapping, and a
/// flush at the end; MiB/s.
pub fn bare_copy(from: &Path, offset: u64, bytes: u64, to: &Path) -> Outcome<f64> {
    let pool = Pool::new(MIB, AHEAD);
    let wishes = Wishes {
        write_pools: vec![pool.clone()],
        read_pool: Some(pool),
        ..Wishes::default()
    };
    let mut source = FileDisk::open_as(from, OpenMode::ReadOnly, &wishes, no_waker())?;
    let create = OpenMode::Create {
        bytes: offset + bytes,
    };
    let thread = std::thread::current();
    let wake = std::sync::Arc::new(move || thread.unpark());
    let mut target = FileDisk::open_as(to, create, &wishes, wake)?;
    let started = Instant::now();
    let (mut next, mut written, end) = (0, 0, bytes / MIB as u64);
    let mut done = Vec::new();
    while written < end {
        while next < end && source.in_flight() + target.in_flight() < AHEAD {
            let at = offset + (next << 20);
            source.submit(
                OpId(at),
                Op::Read {
                    offset: at,
                    bytes: MIB,
                },
            );
            next += 1;
        }
        if source.in_flight() > 0 {
            source.wait(&mut done);
        } else {
            target.wait(&mut done);
        }
        target.poll(&mut done);
        for done in done.drain(..) {
            match done.result? {
                Some(data) => {
                    let (offset, data) = (done.id.0, data.freeze());
                    target.submit(done.id, Op::Write { offset, data });
                }
                None => written += 1,
            }
        }
    }
    target.flush()?;
    let elapsed = started.elapsed();
    drop(target);
    std::fs::remove_file(to)?;
    Ok(mib(bytes) / elapsed.as_secs_f64())
}

/// BLAKE3 of messages of 1 MiB on one core, MiB/s.
pub fn blake3_rate(messages: u64) -> f64 {
    let message = vec![7_u8; MIB];
    let started = Instant::now();
    for _ in 0..messages {
        std::hint::black_box(blake3::hash(std::hint::black_box(&message)));
    }
    float(messages) / started.elapsed().as_secs_f64()
}

/// Blocks of 4 KiB, each written and made durable before the next, into a file written before.
pub fn durable_appends(directory: &Path, count: u64) -> Outcome<Vec<Duration>> {
    let path = directory.join("appends");
    if !path.exists() {
        let bytes = 8 << 20;
        let mut disk = FileDisk::open(&path, OpenMode::Create { bytes }, no_waker())?;
        for at in 0..8 {
            disk.write_at(at << 20, filled(MIB))?;
        }
        disk.flush()?;
    }
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)?;
    let block = filled(4096);
    let mut times = Vec::new();
    for number in 0..count {
        let started = Instant::now();
        file.write_all_at(&block, number % 2048 * 4096)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

fn filled(bytes: usize) -> Buffer {
    let mut buffer = BufferMut::zeroed(bytes);
    buffer.fill(0x5a);
    buffer.freeze()
}
