//! The same file system without the vault: plain writes and fdatasync, and fio past the cache.

use super::table::Line;
use super::{Measure, Sample};
use crate::bench::objects::{latencies, rate_of};
use crate::command::Run;
use crate::failure::{Failure, Outcome};
use crate::install;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SMALL_BYTES: usize = 4096;
const SMALL_COUNT: u64 = 200;
/// Between two writes beside a load, so that they are no load of their own.
const SMALL_REST: Duration = Duration::from_millis(10);
const LARGE_BYTES: usize = 64 << 20;
const LARGE_MIB: f64 = 64.0;

/// The measurements; fio's only where it is there.
pub fn measures(directory: &Path, fio: bool) -> Vec<Measure<'static>> {
    let file = directory.join("raw");
    let at = |path: &Path| path.to_path_buf();
    let (small, large) = (at(&file), at(&file));
    let mut all = vec![
        Measure {
            line: Line::new("file: 4 KiB write + fdatasync", "op/s"),
            run: Box::new(move || small_writes(&small)),
        },
        Measure {
            line: Line::new("file: 64 MiB write, then fdatasync", "MiB/s"),
            run: Box::new(move || large_write(&large)),
        },
    ];
    if fio {
        let directory = directory.to_path_buf();
        all.extend(FIO_JOBS.iter().map(|job| {
            let directory = directory.clone();
            let line = Line::new(job.name, job.unit);
            Measure {
                line,
                run: Box::new(move || fio_job(&directory, job)),
            }
        }));
    }
    all
}

fn open(path: &PathBuf) -> Outcome<File> {
    Ok(OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?)
}

/// Writes of 4 KiB, each with a flush.
pub fn small_writes(path: &PathBuf) -> Outcome<Sample> {
    let file = open(path)?;
    let started = Instant::now();
    let mut times = Vec::new();
    for index in 0..SMALL_COUNT {
        times.push(small_write(&file, index)?);
    }
    let rate = rate_of(SMALL_COUNT, started.elapsed());
    Ok(Sample {
        rate,
        latency_ms: Some(latencies(&mut times)),
        ..Sample::default()
    })
}

/// A write of 4 KiB with a flush, over and over with a rest between, while something else is measured: what the
/// disk and the processors give to anybody under that load.
pub fn small_writes_beside<T>(
    path: &PathBuf,
    measured: impl FnOnce() -> Outcome<T>,
) -> Outcome<(T, Vec<Duration>)> {
    let file = open(path)?;
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            let mut times = Vec::new();
            for index in (0..SMALL_COUNT).cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                times.push(small_write(&file, index)?);
                std::thread::sleep(SMALL_REST);
            }
            Ok(times)
        });
        let done = measured();
        over.store(true, Ordering::Relaxed);
        let times = writer.join();
        let times = times.unwrap_or_else(|_| Err(Failure::new("the writer beside panicked")));
        Ok((done?, times?))
    })
}

/// How long one took.
fn small_write(file: &File, index: u64) -> Outcome<Duration> {
    let block = [1; SMALL_BYTES];
    let started = Instant::now();
    file.write_all_at(&block, index * SMALL_BYTES as u64)?;
    file.sync_data()?;
    Ok(started.elapsed())
}

fn large_write(path: &PathBuf) -> Outcome<Sample> {
    let file = open(path)?;
    let block = vec![2; LARGE_BYTES];
    let started = Instant::now();
    file.write_all_at(&block, 0)?;
    file.sync_data()?;
    let rate = LARGE_MIB / started.elapsed().as_secs_f64();
    Ok(Sample {
        rate,
        ..Sample::default()
    })
}

struct FioJob {
    name: &'static str,
    unit: &'static str,
    rw: &'static str,
    options: &'static [&'static str],
}

const FIO_JOBS: [FioJob; 3] = [
    FioJob {
        name: "fio: 4 KiB random write + fdatasync, O_DIRECT",
        unit: "op/s",
        rw: "randwrite",
        options: &["--bs=4k", "--size=64m", "--io_size=2m", "--fdatasync=1"],
    },
    FioJob {
        name: "fio: 1 MiB sequential write, O_DIRECT, flush at the end",
        unit: "MiB/s",
        rw: "write",
        options: &["--bs=1m", "--size=256m", "--end_fsync=1"],
    },
    FioJob {
        name: "fio: 1 MiB sequential read, O_DIRECT",
        unit: "MiB/s",
        rw: "read",
        options: &["--bs=1m", "--size=256m"],
    },
];

fn fio_job(directory: &Path, job: &FioJob) -> Outcome<Sample> {
    let file = directory.join("fio");
    let rw = format!("--rw={}", job.rw);
    let text = Run::new(install::FIO.program)
        .args([
            "--name=stele",
            "--direct=1",
            "--ioengine=psync",
            "--output-format=json",
            &rw,
        ])
        .arg(format!("--filename={}", file.display()))
        .args(job.options)
        .succeed()?;
    let answer: serde_json::Value = serde_json::from_str(&text)?;
    let side = if job.rw == "read" { "read" } else { "write" };
    let of = |name: &str| {
        let value = answer["jobs"][0][side][name].as_f64();
        value.ok_or_else(|| Failure::new(format!("fio's answer has no {side} {name}")))
    };
    let rate = match job.unit {
        "op/s" => of("iops")?,
        _ => of("bw_bytes")? / f64::from(1 << 20),
    };
    Ok(Sample {
        rate,
        ..Sample::default()
    })
}
