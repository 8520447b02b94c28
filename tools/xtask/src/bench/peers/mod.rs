//! `cargo xtask bench peers`: the vault beside other stores with Object Lock, in one run.
//!
//! All of them run all the time, idle but for the one that is measured. In every round each
//! measurement goes through all of them, the next round in the opposite order, so that a
//! disturbance hits all alike. Before each one what others left in the page cache is written out.
//! The client, its connections, signatures and TLS are the same for all.

mod ceph;
mod certificate;
mod daemons;
mod goals;
mod report;
mod seaweed;
mod work;

use super::figures::samples::{Samples, Series};
use super::{objects, raw};
use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::install::{self, Wheel};
use crate::s3::{Credentials, Endpoint};
use crate::server::Server;
use crate::workspace::{Scratch, Workspace};
use certificate::Certificate;
use daemons::Daemons;
use std::path::Path;
use std::sync::Arc;
use work::{Objects, Task};

/// The peers' access key.
const ACCESS: &str = "BENCHACCESSKEY000000";
/// The peers' secret key: they hold nothing and listen to this machine alone.
const SECRET: &str = "bench-secret-of-a-server-that-holds-nothing";
const DIRECTORY: &str = "docs/figures";
const SAMPLES: &str = "peers.tsv";
/// What all contestants together write in a round, at most.
const ROUND_BYTES: u64 = 4 << 30;
/// What they take besides: the disk of the OSD, journals, the objects that are listed.
const BASE_BYTES: u64 = 4 << 30;
/// What is left free whatever happens.
const LEFT_BYTES: u64 = 2 << 30;
/// Size of each disk file of the vault, sparse: its index is to take the objects of many rounds.
const DISK_BYTES: &str = "64GiB";
/// The part of the samples that belongs to no contestant.
const BARE: &str = "bare";

/// What to measure.
#[derive(clap::Args)]
pub struct Wishes {
    /// Rounds; every contestant is measured once in each.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Longest time of one measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Objects in the listed bucket.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Peers without TLS; the vault always has it.
    #[arg(long)]
    plain: bool,
    /// Put table and plots into docs.
    #[arg(long)]
    write: bool,
    /// Measure nothing, only make table and plots of what is recorded.
    #[arg(long, conflicts_with_all = ["write", "plain"])]
    redraw: bool,
    /// Measure only the bare primitives again, and put them into what is recorded.
    #[arg(long, conflicts_with_all = ["write", "plain", "redraw"])]
    bare: bool,
}

/// One server, or one way of using it.
struct Contestant {
    /// Its name in samples and tables.
    name: &'static str,
    objects: Objects,
    processes: Vec<u32>,
}

/// Measures, prints, and writes if wished.
pub fn run(workspace: &Workspace, wishes: &Wishes) -> Outcome {
    let directory = workspace.root.join(DIRECTORY);
    if wishes.redraw {
        let samples = Samples::decode(&std::fs::read_to_string(directory.join(SAMPLES))?)?;
        return write(workspace, &directory, &samples);
    }
    if cfg!(debug_assertions) {
        return super::optimised(workspace, &words(wishes));
    }
    if wishes.bare {
        return bare_again(workspace, &directory, wishes.rounds);
    }
    let programs = workspace.build()?;
    let scratch = workspace.scratch("peers")?;
    room(scratch.path(), BASE_BYTES)?;
    let vault = scratch.join("vault");
    // The index of the vault that `stele serve` makes takes the objects of five rounds.
    Run::new(&programs.stele)
        .args(["create", "--disk-bytes", DISK_BYTES])
        .args([&vault])
        .succeed()?;
    let server = Server::start(&programs.stele, &vault)?;
    let certificate = match wishes.plain {
        true => None,
        false => Some(Certificate::make(scratch.path())?),
    };
    let mut samples = Samples::default();
    let mut peers = Peers::default();
    peers.start(workspace, &scratch, certificate.as_ref());
    let mut contestants = vec![ours(&server)?];
    contestants.append(&mut peers.contestants);
    for contestant in &contestants {
        println!(
            "{}: storing {} objects to list",
            contestant.name, wishes.keys
        );
        let filled = contestant.objects.fill(wishes.keys);
        filled.map_err(|failure| failure.within(contestant.name))?;
    }
    for round in 1..=wishes.rounds {
        one_round(
            &contestants,
            round,
            wishes.seconds,
            (scratch.path(), &mut samples),
        )?;
        bare(scratch.path(), &mut samples)?;
        peers.alive()?;
        if let Err(reason) = room(scratch.path(), LEFT_BYTES) {
            // Others fill the disk, too; what is measured so far stays.
            println!("ending after round {round}: {reason}");
            break;
        }
    }
    samples.add(BARE, report::LOAD, "", load());
    let text = report::markdown(&samples, &peers.absent, wishes.plain);
    println!("{text}");
    let absent = peers.absent.join("; ");
    drop(peers);
    server.stop()?;
    if wishes.write {
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(SAMPLES), samples.encode())?;
        ensure(absent.is_empty(), || {
            format!("not written, without {absent}")
        })?;
        write(workspace, &directory, &samples)?;
    }
    Ok(())
}

fn words(wishes: &Wishes) -> Vec<String> {
    let mut words = vec![
        "peers".to_owned(),
        format!("--rounds={}", wishes.rounds),
        format!("--seconds={}", wishes.seconds),
        format!("--keys={}", wishes.keys),
    ];
    let flags = [
        ("--plain", wishes.plain),
        ("--write", wishes.write),
        ("--bare", wishes.bare),
    ];
    words.extend(
        flags
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| (*name).to_owned()),
    );
    words
}

fn write(workspace: &Workspace, directory: &Path, samples: &Samples) -> Outcome {
    for (name, svg) in report::plots(samples) {
        std::fs::write(directory.join(name), svg)?;
    }
    super::table::write(workspace, "peers", &report::markdown(samples, &[], false))
}

/// Fails when the disk is too full for one round and this much besides.
fn room(directory: &Path, besides: u64) -> Outcome {
    let status = nix::sys::statvfs::statvfs(directory)
        .map_err(|error| Failure::path("cannot ask for room in", directory, &error))?;
    let free = status.blocks_available() * status.fragment_size();
    let need = besides + ROUND_BYTES;
    ensure(free >= need, || {
        let (free, need) = (free >> 30, need >> 30);
        format!(
            "a round needs {need} GiB in {}, where {free} are free: make room, or set TMPDIR",
            directory.display()
        )
    })
}

fn ours(server: &Server) -> Outcome<Contestant> {
    Ok(Contestant {
        name: "Stele",
        objects: Objects::new(&server.endpoint, "bench-peers")?,
        processes: vec![server.id()],
    })
}

/// The other servers, and why one is not there.
#[derive(Default)]
struct Peers {
    contestants: Vec<Contestant>,
    daemons: Vec<Daemons>,
    absent: Vec<String>,
}

impl Peers {
    fn start(&mut self, workspace: &Workspace, scratch: &Scratch, tls: Option<&Certificate>) {
        let gateway = install::require(&ceph::TOOLS).and_then(|()| {
            let started = ceph::start(scratch.path(), tls)?;
            self.take(started, tls, &[("Ceph RGW", "bench-peers")])
        });
        let seaweed = Wheel::SEAWEEDFS.require(&workspace.tools).and_then(|()| {
            let started = seaweed::start(scratch.path(), &workspace.tools, tls)?;
            let both = [
                ("SeaweedFS, flushed", seaweed::FLUSHED),
                ("SeaweedFS", seaweed::UNFLUSHED),
            ];
            self.take(started, tls, &both)
        });
        for (name, outcome) in [("Ceph RGW", gateway), ("SeaweedFS", seaweed)] {
            if let Err(failure) = outcome {
                println!("without {name}: {failure}");
                self.absent.push(format!("{name}: {failure}"));
            }
        }
    }

    fn take(
        &mut self,
        (daemons, port): (Daemons, u16),
        tls: Option<&Certificate>,
        names: &[(&'static str, &str)],
    ) -> Outcome {
        let processes = daemons.ids();
        self.daemons.push(daemons);
        let credentials = Credentials {
            access: ACCESS.to_owned(),
            secret: SECRET.to_owned(),
            region: "us-east-1".to_owned(),
        };
        let bundle = tls.map(|certificate| certificate.bundle.as_path());
        let endpoint = Arc::new(Endpoint::on_port(port, credentials, bundle)?);
        for (name, bucket) in names {
            self.contestants.push(Contestant {
                name,
                objects: Objects::new(&endpoint, bucket)?,
                processes: processes.clone(),
            });
        }
        Ok(())
    }

    fn alive(&mut self) -> Outcome {
        self.daemons.iter_mut().try_for_each(Daemons::alive)
    }
}

fn one_round(
    contestants: &[Contestant],
    round: u32,
    seconds: u64,
    (directory, samples): (&Path, &mut Samples),
) -> Outcome {
    for task in work::tasks(seconds) {
        println!("round {round}: {}", task.name);
        let mut order: Vec<&Contestant> = contestants.iter().collect();
        if round.is_multiple_of(2) {
            order.reverse();
        }
        for contestant in order {
            let taken = contestant.measure(&task, directory, samples);
            taken.map_err(|f| f.within(&format!("{}, {}", contestant.name, task.name)))?;
        }
    }
    Ok(())
}

impl Contestant {
    fn measure(&self, task: &Task, directory: &Path, samples: &mut Samples) -> Outcome {
        nix::unistd::sync();
        let cpu = || -> Outcome<f64> {
            let each = self.processes.iter().map(|id| objects::cpu_time(*id));
            let all: Outcome<Vec<_>> = each.collect();
            Ok(all?.iter().map(std::time::Duration::as_secs_f64).sum())
        };
        let before = cpu()?;
        let mut ran = match task.flushes {
            false => self.objects.run(task)?,
            true => {
                let beside = directory.join("beside");
                let ran = raw::small_writes_beside(&beside, || self.objects.run(task));
                let (ran, mut flushes) = ran?;
                let (p50, p99) = objects::latencies(&mut flushes);
                samples.add(self.name, &report::beside(task, "p50"), "ms", p50);
                samples.add(self.name, &report::beside(task, "p99"), "ms", p99);
                ran
            }
        };
        let spent = cpu()? - before;
        let requests = u32::try_from(ran.times.len()).map_or(f64::NAN, f64::from);
        let (p50, p99) = objects::latencies(&mut ran.times);
        let rate = objects::rate_of(ran.count, ran.elapsed) * task.scale;
        let Task { name, unit, .. } = task;
        samples.add(self.name, name, unit, rate);
        samples.add(self.name, &format!("{name}: p50"), "ms", p50);
        samples.add(self.name, &format!("{name}: p99"), "ms", p99);
        let cpu = spent * 1000.0 / requests;
        samples.add(self.name, &format!("{name}: CPU"), "ms", cpu);
        Ok(())
    }
}

/// The primitives in the place of those that are recorded.
fn bare_again(workspace: &Workspace, directory: &Path, rounds: u32) -> Outcome {
    let mut samples = Samples::decode(&std::fs::read_to_string(directory.join(SAMPLES))?)?;
    let scratch = workspace.scratch("bare")?;
    let mut fresh = Samples::default();
    for _ in 0..rounds {
        primitives(scratch.path(), &mut fresh)?;
    }
    let stale = |one: &Series| fresh.get(&one.part, &one.name).is_some();
    samples.0.retain(|one| !stale(one));
    samples.0.append(&mut fresh.0);
    std::fs::write(directory.join(SAMPLES), samples.encode())?;
    write(workspace, directory, &samples)
}

/// What the machine does without any of them.
fn bare(directory: &Path, samples: &mut Samples) -> Outcome {
    nix::unistd::sync();
    let flush = raw::small_writes(&directory.join("flush"))?;
    if let Some((p50, p99)) = flush.latency_ms {
        samples.add(BARE, "flush: p50", "ms", p50);
        samples.add(BARE, "flush: p99", "ms", p99);
    }
    primitives(directory, samples)
}

fn primitives(directory: &Path, samples: &mut Samples) -> Outcome {
    for (name, one) in report::primitives() {
        let cpu = one(directory)?.cpu_byte_ns.unwrap_or(f64::NAN);
        samples.add(BARE, name, "ns/B", cpu);
    }
    Ok(())
}

fn load() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok());
    load.unwrap_or(f64::NAN)
}
