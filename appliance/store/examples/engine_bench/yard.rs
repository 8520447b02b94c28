//! Yardsticks: fio, bare copies, a bare hash, bare durable writes.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Whence, lseek};
use stele_device::buffer::{Buffer, BufferMut, Pool};
use stele_device::disk::{BlockingDisk, Disk, Op, OpId, no_waker};
use stele_device::linux::disk::{FileDisk, OpenMode, Wishes};

use crate::{Outcome, float, mib};

const MIB: usize = 1 << 20;
const AHEAD: usize = 8;

/// fio's memory: as its allocator takes it, or, which it does not ask for itself, on huge pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    Small,
    Huge,
}

/// Makes the allocator of the C library use huge pages.
const HUGE_PAGES: &str =
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824:glibc.malloc.top_pad=67108864";

/// fio with what makes it fastest, 1 MiB, four in flight; none where there is no fio.
fn fio(pages: Pages, bytes: u64) -> Option<Command> {
    Command::new("fio").arg("--version").output().ok()?;
    let mut command = Command::new("fio");
    if pages == Pages::Huge {
        command.env("GLIBC_TUNABLES", HUGE_PAGES);
    }
    command
        .args(["--bs=1M", "--iodepth=4"])
        .args(["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"])
        .args(["--nonvectored=1", "--direct=1", "--thread"])
        .args(["--output-format=terse", "--terse-version=3"])
        .arg(format!("--size={bytes}"));
    Some(command)
}

/// A copy by fio: one thread reads from a file, from an offset on, another one writes as many bytes into a new sparse file,
/// with a flush at the end, both at once; MiB/s. None where there is no fio.
pub fn fio_copy(
    (from, offset): (&Path, u64),
    bytes: u64,
    to: &Path,
    pages: Pages,
) -> Outcome<Option<f64>> {
    let Some(mut command) = fio(pages, bytes) else {
        return Ok(None);
    };
    command
        .args(["--name=from", "--rw=read"])
        .arg(format!("--offset={offset}"))
        .arg(format!("--filename={}", from.display()))
        .args(["--name=to", "--rw=write", "--offset=0", "--end_fsync=1"])
        .args(["--fallocate=none", "--scramble_buffers=0"])
        .arg(format!("--filename={}", to.display()));
    let started = Instant::now();
    let output = command.output()?;
    let elapsed = started.elapsed();
    std::fs::remove_file(to)?;
    match output.status.success() {
        true => Ok(Some(mib(bytes) / elapsed.as_secs_f64())),
        false => Err("fio did not copy".into()),
    }
}

/// Sequential reads by fio of files that lie beside each other, one thread each; MiB/s of all together. None where there
/// is no fio.
pub fn fio_read(areas: &[(PathBuf, u64)], bytes: u64, pages: Pages) -> Outcome<Option<f64>> {
    let Some(mut command) = fio(pages, bytes) else {
        return Ok(None);
    };
    command.args(["--rw=read", "--group_reporting"]);
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

/// Where a file holds pieces of 1 MiB that were written, ascending: holes read faster than any disk gives bytes.
fn written_pieces(file: &Path) -> Outcome<Vec<u64>> {
    let file = File::open(file)?;
    let seek = |offset: i64, whence| match lseek(&file, offset, whence) {
        Ok(found) => Ok(Some(found)),
        // Behind the last byte that was written.
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno),
    };
    let (mut pieces, mut at) = (Vec::new(), 0);
    while let Some(data) = seek(at, Whence::SeekData)? {
        let Some(hole) = seek(data, Whence::SeekHole)? else {
            break;
        };
        at = hole;
        let count = usize::try_from(at - data)? / MIB;
        let data = u64::try_from(data)?;
        pieces.extend((0..count as u64).map(|piece| data + (piece << 20)));
    }
    Ok(pieces)
}

/// Copies as much of what was written to these files, one after the other, into a new sparse file with direct I/O,
/// reads and writes overlapping, and a flush at the end; MiB/s.
pub fn bare_copy(from: &[PathBuf], pieces: usize, to: &Path) -> Outcome<f64> {
    let pool = Pool::new(MIB, AHEAD);
    let wishes = Wishes {
        write_pools: vec![pool.clone()],
        read_pool: Some(pool),
        ..Wishes::default()
    };
    let (mut sources, mut places) = (Vec::new(), VecDeque::new());
    for (number, path) in from.iter().enumerate() {
        let source = FileDisk::open_as(path, OpenMode::ReadOnly, &wishes, no_waker())?;
        sources.push(source);
        places.extend(written_pieces(path)?.into_iter().map(|at| (number, at)));
    }
    if places.len() < pieces {
        return Err(format!("{} pieces of {pieces} are there to copy", places.len()).into());
    }
    places.truncate(pieces);
    let create = OpenMode::Create {
        bytes: (pieces * MIB) as u64,
    };
    let thread = std::thread::current();
    let wake = std::sync::Arc::new(move || thread.unpark());
    let mut target = FileDisk::open_as(to, create, &wishes, wake)?;
    let started = Instant::now();
    let (mut next, mut written) = (0, 0);
    let mut done = Vec::new();
    while written < pieces {
        let mut ahead = target.in_flight();
        ahead += sources.iter().map(FileDisk::in_flight).sum::<usize>();
        for (source, offset) in places.drain(..places.len().min(AHEAD - ahead)) {
            let bytes = MIB;
            sources[source].submit(OpId(next), Op::Read { offset, bytes });
            next += 1;
        }
        match sources.iter_mut().find(|source| source.in_flight() > 0) {
            Some(source) => source.wait(&mut done),
            None => target.wait(&mut done),
        }
        target.poll(&mut done);
        for done in done.drain(..) {
            match done.result? {
                Some(data) => {
                    let (offset, data) = (done.id.0 << 20, data.freeze());
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
    Ok(mib((pieces * MIB) as u64) / elapsed.as_secs_f64())
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
