//! A disk file beside what the machine can do without us, on one and the same written file:
//!
//! - 1 MiB writes (with a flush at the end) and reads one after the other: by a ring, by threads, and
//!   by fio (if it is installed) with the flags that make it fastest, with and without huge pages;
//! - durable appends of 4 KiB, one at a time, beside a bare pwrite and fdatasync, with and without
//!   bulk writes to the same file at the same time: over what was written, and into holes of it, for
//!   which the file system has to find room and to write down where.
//!
//! Contestants take turns within each round; the table shows medians and, in brackets, the lowest
//! and the highest round. `disk_bench DIRECTORY [ROUNDS [PART]]`, where the part is `writes`, `reads`
//! or `appends`, or `samples` for all of them as lines `sample<TAB>what<TAB>unit<TAB>value`; run with
//! `--release`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::libc;
use nix::time::{ClockId, clock_gettime};
use stele_device::buffer::{Buffer, BufferMut, Pool};
use stele_device::disk::{BlockingDisk, Disk, Op, OpId, no_waker};
use stele_device::linux::disk::{Backend, FileDisk, OpenMode, Wishes};

const MIB: usize = 1 << 20;
const FILE_MIB: u32 = 512;
/// Operations that wait or run at a time: twice what a ring has in flight, so that it never starves.
const AHEAD: usize = 8;
/// The first part of the file takes appends, the rest bulk writes beside them.
const APPEND_MIB: u32 = 64;
const APPENDS: u64 = 400;
const TRAFFIC_PAUSE: Duration = Duration::from_millis(4);

/// Makes the allocator of the C library use huge pages, which fio itself does not ask for.
const HUGE_PAGES: &str =
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824:glibc.malloc.top_pad=67108864";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("disk_bench DIRECTORY [ROUNDS]")?;
    let rounds = arguments.next().map_or(Ok(7), |text| text.parse())?;
    let path = PathBuf::from(directory).join("bench.disk");
    prewrite(&path)?;
    let outcome = match arguments.next().as_deref() {
        Some("writes") => sequential(&path, rounds, false, Shown::Table),
        Some("reads") => sequential(&path, rounds, true, Shown::Table),
        Some("appends") => appends(&path, rounds, Shown::Table),
        Some("samples") => everything(&path, rounds, Shown::Samples),
        _ => everything(&path, rounds, Shown::Table),
    };
    std::fs::remove_file(&path)?;
    outcome
}

/// How figures are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// For people.
    Table,
    /// For programs, each figure of each round.
    Samples,
}

fn everything(path: &Path, rounds: usize, shown: Shown) -> Outcome<()> {
    sequential(path, rounds, false, shown)?;
    sequential(path, rounds, true, shown)?;
    appends(path, rounds, shown)
}

/// A file whose blocks were all written once, so that no write changes where anything lies.
fn prewrite(path: &Path) -> Outcome<()> {
    let bytes = u64::from(FILE_MIB) << 20;
    let mut disk = FileDisk::open(path, OpenMode::Create { bytes }, no_waker())?;
    let data = filled(MIB, 1);
    for number in 0..FILE_MIB {
        disk.write_at(u64::from(number) << 20, data.clone())?;
    }
    Ok(disk.flush()?)
}

fn filled(bytes: usize, value: u8) -> Buffer {
    let mut buffer = BufferMut::zeroed(bytes);
    buffer.fill(value);
    buffer.freeze()
}

fn open(path: &Path, backend: Backend, write_pools: &[Pool]) -> Outcome<FileDisk> {
    let wishes = Wishes {
        backend,
        write_pools: write_pools.to_vec(),
        ..Wishes::default()
    };
    let disk = FileDisk::open_as(path, OpenMode::Write, &wishes, no_waker())?;
    Ok(disk)
}

/// Figures of one contestant, one per round.
struct Series {
    name: &'static str,
    figures: Vec<f64>,
}

impl Series {
    fn new(name: &'static str) -> Series {
        Series {
            name,
            figures: Vec::new(),
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted[sorted.len() / 2]
    }

    /// Each figure on a line.
    fn print_samples(&self, what: &str, unit: &str) {
        let (quantity, quantile) = unit.split_once(' ').unwrap_or((unit, ""));
        let (name, comma) = (self.name, if quantile.is_empty() { "" } else { ", " });
        for figure in &self.figures {
            println!("sample\t{what}: {name}{comma}{quantile}\t{quantity}\t{figure}");
        }
    }

    /// One line: median, range, and the median of the rounds' ratios to another contestant.
    fn print(&self, unit: &str, beside: Option<&Series>) {
        let sorted = self.sorted();
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        let (name, median) = (self.name, self.median());
        print!("{name:44} {median:9.3} {unit} ({least:.3}..{most:.3})");
        if let Some(other) = beside {
            let pairs = self.figures.iter().zip(&other.figures);
            let ratios = Series {
                name: "",
                figures: pairs.map(|(own, other)| own / other).collect(),
            };
            let of_medians = median / other.median();
            let paired = ratios.median();
            print!("  {of_medians:.2} x {}, paired {paired:.2}", other.name);
        }
        println!();
    }
}

/// Wall time and CPU time of this process for something.
fn timed(work: impl FnOnce() -> Outcome<()>) -> Outcome<(Duration, Duration)> {
    let cpu = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
    let (wall_before, cpu_before) = (Instant::now(), cpu()?);
    work()?;
    Ok((wall_before.elapsed(), cpu()? - cpu_before))
}

/// Who moves one MiB after the other.
#[derive(Clone, Copy)]
enum Mover {
    Disk { backend: Backend, told: bool },
    Fio { huge_pages: bool },
}

const RING: Backend = Backend::Ring;

const MOVERS: [(&str, Mover); 5] = [
    ("fio", Mover::Fio { huge_pages: false }),
    ("fio on huge pages", Mover::Fio { huge_pages: true }),
    ("disk with a ring", Mover::disk(RING, true)),
    (
        "disk with a ring, not told of the pool",
        Mover::disk(RING, false),
    ),
    ("disk with threads", Mover::disk(Backend::Threads, true)),
];

impl Mover {
    const fn disk(backend: Backend, told: bool) -> Mover {
        Mover::Disk { backend, told }
    }

    fn run(self, path: &Path, reads: bool) -> Outcome<(Duration, Duration)> {
        let (backend, told) = match self {
            Mover::Fio { huge_pages } => return fio(path, reads, huge_pages),
            Mover::Disk { backend, told } => (backend, told),
        };
        let pool = Pool::new(MIB, AHEAD);
        // Untouched memory would be one and the same page of zeros, which any cache holds.
        let slabs: Vec<_> = std::iter::from_fn(|| pool.try_take()).collect();
        for mut slab in slabs {
            slab.fill(0x5a);
        }
        if reads {
            let wishes = Wishes {
                backend,
                read_pool: told.then(|| pool.clone()),
                ..Wishes::default()
            };
            let mut disk = FileDisk::open_as(path, OpenMode::Write, &wishes, no_waker())?;
            return timed(|| read_through(&mut disk));
        }
        let pools = told.then(|| pool.clone());
        let mut disk = open(path, backend, pools.as_slice())?;
        timed(|| write_through(&mut disk, &pool))
    }
}

fn sequential(path: &Path, rounds: usize, reads: bool, shown: Shown) -> Outcome<()> {
    let fio_there = Command::new("fio").arg("--version").output().is_ok();
    let mut rates = MOVERS.map(|(name, _)| Series::new(name));
    let mut costs = MOVERS.map(|(name, _)| Series::new(name));
    for round in 0..rounds {
        for turn in 0..MOVERS.len() {
            // What a contestant leaves behind must not always hit the same next one.
            let turn = if round % 2 == 0 {
                turn
            } else {
                MOVERS.len() - 1 - turn
            };
            let place = (round / 2 + turn) % MOVERS.len();
            let mover = MOVERS[place].1;
            if matches!(mover, Mover::Fio { .. }) && !fio_there {
                continue;
            }
            let (wall, cpu) = mover.run(path, reads)?;
            let mib = f64::from(FILE_MIB);
            rates[place].figures.push(mib / wall.as_secs_f64());
            let cost = cpu.as_secs_f64() * 1e9 / (mib * 1_048_576.0);
            costs[place].figures.push(cost);
        }
    }
    if shown == Shown::Samples {
        let what = if reads { "reads" } else { "writes" };
        for series in &rates {
            series.print_samples(&format!("1 MiB {what}"), "MiB/s");
        }
        for series in &costs {
            series.print_samples(&format!("CPU of 1 MiB {what}"), "ns/B");
        }
        return Ok(());
    }
    let what = if reads {
        "reads"
    } else {
        "writes, flush at the end"
    };
    println!("\n1 MiB after the other, {FILE_MIB} MiB of {what}:");
    for (series, unit) in [(&rates, "MiB/s"), (&costs, "CPU ns/B")] {
        for one in series.iter().filter(|one| !one.figures.is_empty()) {
            one.print(unit, fio_there.then_some(&series[0]));
        }
    }
    Ok(())
}

fn write_through(disk: &mut FileDisk, pool: &Pool) -> Outcome<()> {
    let mut done = Vec::new();
    let (mut next, end) = (0, u64::from(FILE_MIB));
    while next < end || disk.in_flight() > 0 {
        while next < end {
            let Some(buffer) = pool.try_take() else {
                break;
            };
            let (offset, data) = (next << 20, buffer.freeze());
            disk.submit(OpId(next), Op::Write { offset, data });
            next += 1;
        }
        disk.wait(&mut done);
        for done in done.drain(..) {
            done.result?;
        }
    }
    Ok(disk.flush()?)
}

fn read_through(disk: &mut FileDisk) -> Outcome<()> {
    let mut done = Vec::new();
    let (mut next, end) = (0, u64::from(FILE_MIB));
    while next < end || disk.in_flight() > 0 {
        while next < end && disk.in_flight() < AHEAD {
            let (offset, bytes) = (next << 20, MIB);
            disk.submit(OpId(next), Op::Read { offset, bytes });
            next += 1;
        }
        disk.wait(&mut done);
        for done in done.drain(..) {
            done.result?;
        }
    }
    Ok(())
}

/// The same by fio, with what makes it fastest; it tells its own times.
fn fio(path: &Path, reads: bool, huge_pages: bool) -> Outcome<(Duration, Duration)> {
    let mut command = Command::new("fio");
    if huge_pages {
        command.env("GLIBC_TUNABLES", HUGE_PAGES);
    }
    let output = command
        .args(["--name=bench", "--bs=1M", "--iodepth=4"])
        .arg(if reads { "--rw=read" } else { "--rw=write" })
        .args(["--ioengine=io_uring", "--fixedbufs=1", "--registerfiles=1"])
        .args(["--nonvectored=1", "--scramble_buffers=0", "--direct=1"])
        .args(["--end_fsync=1", "--overwrite=1", "--thread"])
        .args(["--output-format=terse", "--terse-version=3"])
        .arg(format!("--size={FILE_MIB}m"))
        .arg(format!("--filename={}", path.display()))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.starts_with("3;"));
    let fields: Vec<&str> = line.ok_or("fio printed no figures")?.split(';').collect();
    let field = |place: usize| fields.get(place).ok_or("fio printed too few figures");
    // Counted from zero: bandwidth in KiB/s, run time in ms, user and system CPU in percent.
    let side = if reads { 6 } else { 47 };
    let kib_per_s: f64 = field(side)?.parse()?;
    let run_ms: f64 = field(side + 2)?.parse()?;
    let percent =
        |place: usize| -> Outcome<f64> { Ok(field(place)?.trim_end_matches('%').parse()?) };
    let cpu = (percent(87)? + percent(88)?) / 100.0 * run_ms / 1000.0;
    let wall = f64::from(FILE_MIB) * 1024.0 / kib_per_s;
    Ok((Duration::from_secs_f64(wall), Duration::from_secs_f64(cpu)))
}

/// What goes on in the same file while appends are timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Bulk writes over what was written before.
    Written,
    /// Bulk writes where nothing was written yet.
    Holes,
}

impl Beside {
    /// In figures.
    fn short(self) -> &'static str {
        match self {
            Beside::Nothing => "alone",
            Beside::Written => "beside bulk writes",
            Beside::Holes => "beside bulk writes into holes",
        }
    }

    /// In tables.
    fn words(self) -> &'static str {
        match self {
            Beside::Nothing => "alone",
            Beside::Written => "with bulk writes beside them",
            Beside::Holes => "with bulk writes into holes beside them",
        }
    }
}

fn appends(path: &Path, rounds: usize, shown: Shown) -> Outcome<()> {
    for beside in [Beside::Nothing, Beside::Written, Beside::Holes] {
        let names = [
            "bare pwrite + fdatasync",
            "disk with a ring",
            "disk with threads",
        ];
        let mut halves = names.map(Series::new);
        let mut worst = names.map(Series::new);
        for _ in 0..rounds {
            let times = [
                bare_appends(path, beside)?,
                disk_appends(path, Backend::Ring, beside)?,
                disk_appends(path, Backend::Threads, beside)?,
            ];
            for (place, mut times) in times.into_iter().enumerate() {
                times.sort_unstable();
                let us = |place: usize| times[place].as_secs_f64() * 1e6;
                halves[place].figures.push(us(times.len() / 2));
                worst[place].figures.push(us(times.len() * 99 / 100));
            }
        }
        if shown == Shown::Samples {
            let when = beside.short();
            for (series, unit) in [(&halves, "us p50"), (&worst, "us p99")] {
                for one in series {
                    one.print_samples(&format!("append, {when}"), unit);
                }
            }
            continue;
        }
        let when = beside.words();
        println!("\ndurable appends of 4 KiB, one at a time, {when}:");
        for (series, unit) in [(&halves, "us p50"), (&worst, "us p99")] {
            for one in series {
                one.print(unit, Some(&series[0]));
            }
        }
    }
    Ok(())
}

/// Bulk writes round and round behind the place of the appends: about 250 MiB/s, as much as comes
/// over a fast network, but never more at a time than a ring has in flight.
struct Traffic {
    disk: FileDisk,
    pool: Pool,
    next: u32,
    started: Instant,
}

impl Traffic {
    fn new(path: &Path, backend: Backend) -> Outcome<Traffic> {
        let pool = Pool::new(MIB, 4);
        Ok(Traffic {
            disk: open(path, backend, std::slice::from_ref(&pool))?,
            pool,
            next: 0,
            started: Instant::now(),
        })
    }

    /// Submits what is due.
    fn submit(&mut self) {
        while self.started.elapsed() > TRAFFIC_PAUSE * self.next {
            let Some(buffer) = self.pool.try_take() else {
                return;
            };
            let offset = u64::from(APPEND_MIB + self.next % (FILE_MIB - APPEND_MIB)) << 20;
            self.next += 1;
            let data = buffer.freeze();
            self.disk.submit(OpId(u64::MAX), Op::Write { offset, data });
        }
    }
}

/// Gives back the room of all that bulk writes go to.
fn punch(path: &Path) -> Outcome<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let (start, end) = (i64::from(APPEND_MIB) << 20, i64::from(FILE_MIB) << 20);
    let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&file, how, start, end - start)?;
    Ok(file.sync_all()?)
}

fn disk_appends(path: &Path, backend: Backend, beside: Beside) -> Outcome<Vec<Duration>> {
    if beside == Beside::Holes {
        punch(path)?;
    }
    let mut traffic = Traffic::new(path, backend)?;
    let (mut times, mut done) = (Vec::new(), Vec::new());
    let block = filled(4096, 2);
    for number in 0..APPENDS {
        if beside != Beside::Nothing {
            traffic.submit();
        }
        let started = Instant::now();
        let (offset, data) = (number * 4096, block.clone());
        let id = OpId(number);
        traffic.disk.submit(id, Op::WriteDurable { offset, data });
        let mut written = false;
        while !written {
            traffic.disk.wait(&mut done);
            for done in done.drain(..) {
                written |= done.id == id;
                done.result?;
            }
        }
        times.push(started.elapsed());
    }
    Ok(times)
}

fn bare_appends(path: &Path, beside: Beside) -> Outcome<Vec<Duration>> {
    if beside == Beside::Holes {
        punch(path)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let mut traffic = Traffic::new(path, Backend::Ring)?;
    let (mut times, mut done) = (Vec::new(), Vec::new());
    let block = filled(4096, 3);
    for number in 0..APPENDS {
        if beside != Beside::Nothing {
            traffic.submit();
        }
        let started = Instant::now();
        file.write_all_at(&block, number * 4096)?;
        file.sync_data()?;
        times.push(started.elapsed());
        traffic.disk.poll(&mut done);
        for done in done.drain(..) {
            done.result?;
        }
    }
    Ok(times)
}
