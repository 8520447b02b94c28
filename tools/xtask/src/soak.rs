//! `cargo xtask soak`: an hour in the life of a vault, and what it leaks.
//!
//! A steady load that is far below what the vault can do, connections that come and go, and uploads
//! that break off; meanwhile memory, threads and descriptors of both processes are counted, the engine's
//! and the gateway's. After a warm-up none of them may grow, and the gateway may not be another one. The
//! index's cache of pages is small here unless asked for otherwise, so that it is full by then: each
//! snapshot fills some more of it, one every few minutes, and what grows behind it would not show.

use crate::failure::{Failure, Outcome, ensure};
use crate::load::{Book, Load, Scope, fill, verify_all};
use crate::rng::Rng;
use crate::server::{Server, verify_disks};
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Workspace};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BUCKET: &str = "soak";
const WORKERS: u64 = 4;
/// Operations of a worker in one turn, and how long a turn takes at least.
const TURN_STEPS: u64 = 10;
const TURN: Duration = Duration::from_millis(200);
/// Bytes of large objects; afterwards the load goes on with small ones.
const BYTES: u64 = 2 << 30;
const SAMPLE: Duration = Duration::from_secs(1);
/// Less than one snapshot of this load touches.
pub const INDEX_CACHE_MIB: u64 = 16;
/// Share of the time that warms up: caches, buffers, the first snapshots.
const WARM_UP_PERCENT: usize = 40;
/// What the middle of the last quarter may lie above the middle of the first one after the warm-up.
const GROWTH_PERCENT: u64 = 5;
const GROWTH_KIB: u64 = 8 << 10;
/// Parts of the time of which the memory is shown.
const COURSE_COUNT: usize = 20;
/// A whole process, whatever it does.
const RESIDENT_KIB_MAX: u64 = 512 << 10;
/// Connections that were just closed may not be gone yet.
const DESCRIPTORS_MORE: u64 = 8;

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident_kib: u64,
    /// Its own: those in which the kernel does what a ring asks for come and go with the disks' pace.
    threads: u64,
    descriptors: u64,
}

/// What both processes of a vault held, moment by moment.
#[derive(Default)]
struct Samples {
    engine: Vec<Held>,
    gateway: Vec<Held>,
    /// Moments at which the gateway was another one than at the start, or none.
    others: usize,
}

impl Samples {
    fn take(&mut self, server: &Server, first: u32) -> Outcome {
        self.engine.push(held(server.id())?);
        let gateway = server.gateway()?.filter(|process| *process == first);
        // It may end between two looks at it.
        match gateway.and_then(|process| held(process).ok()) {
            Some(held) => self.gateway.push(held),
            None => self.others += 1,
        }
        Ok(())
    }
}

/// How long, from which seed, and with which cache.
pub struct Wish {
    pub minutes: u64,
    pub seed: u64,
    pub index_cache_mib: u64,
}

/// Runs the vault under load.
pub fn run(workspace: &Workspace, programs: &Programs, wish: &Wish) -> Closed {
    let mut ledger = Ledger::open("soak", workspace.ci);
    let (seed, cache_mib) = (wish.seed, wish.index_cache_mib);
    println!("        seed {seed}, {cache_mib} MiB of pages of the index in memory");
    let everything = |ledger: &mut Ledger| -> Outcome {
        let scratch = workspace.scratch("soak")?;
        let vault = scratch.join("vault");
        let mut server = Server::start_with_cache(&programs.stele, &vault, cache_mib << 20)?;
        server.client().create_bucket(BUCKET, true)?.expect(200)?;
        let none = || Failure::new("the vault has no gateway");
        let gateway = server.gateway()?.ok_or_else(none)?;
        let idle = [(server.id(), held(server.id())?), (gateway, held(gateway)?)];
        let mut books: Vec<Book> = (0..WORKERS)
            .map(|index| Book::new(&format!("w{index}/")))
            .collect();
        let mut samples = Samples::default();
        let duration = Duration::from_secs(wish.minutes * 60);
        ledger.case("load, and connections that come and go", || {
            samples = work(&server, gateway, &mut books, duration, seed)?;
            server.expect_alive()
        });
        ledger.case("the gateway is the one that was started", || {
            samples.take(&server, gateway)?;
            ensure(samples.others == 0, || {
                let others = samples.others;
                format!("it was gone or another one in {others} looks; see the vault's log")
            })
        });
        ledger.case("memory of the engine's process stays flat", || {
            flat("engine", &samples.engine)
        });
        ledger.case("memory of the gateway's process stays flat", || {
            flat("gateway", &samples.gateway)
        });
        for (name, (process, idle)) in ["engine", "gateway"].into_iter().zip(idle) {
            ledger.case(
                &format!("threads and descriptors of the {name}'s process come back"),
                || settled(idle, process),
            );
        }
        ledger.case("every acknowledged version is there", || {
            verify_all(&server.endpoint, BUCKET, &mut books, Scope::All, false).map(drop)
        });
        ledger.case("SIGTERM stops the server cleanly", || server.stop());
        ledger.case("stele-inspect finds nothing wrong", || {
            verify_disks(&programs.inspect, &vault)
        });
        Ok(())
    };
    if let Err(failure) = everything(&mut ledger) {
        ledger.case("soak", || Err(failure));
    }
    ledger.close()
}

fn work(
    server: &Server,
    gateway: u32,
    books: &mut [Book],
    duration: Duration,
    seed: u64,
) -> Outcome<Samples> {
    let load = Load::new(BUCKET, BYTES);
    let end = Instant::now() + duration;
    let failed = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let going = || Instant::now() < end && !failed.load(Ordering::SeqCst);
        let note = |outcome: Outcome| {
            failed.fetch_or(outcome.is_err(), Ordering::SeqCst);
            outcome
        };
        let mut handles = Vec::new();
        for (index, book) in (1..).zip(books.iter_mut()) {
            let (load, mut rng) = (&load, Rng::new(seed ^ index));
            handles.push(threads.spawn(move || note(worker(server, load, book, &mut rng, going))));
        }
        handles.push(threads.spawn(move || note(visitors(server, seed, going))));
        let mut samples = Samples::default();
        while going() {
            samples.take(server, gateway)?;
            std::thread::sleep(SAMPLE);
        }
        for handle in handles {
            let panicked = |_| Err(Failure::new("a worker panicked"));
            handle.join().unwrap_or_else(panicked)?;
        }
        Ok(samples)
    })
}

fn worker(
    server: &Server,
    load: &Load,
    book: &mut Book,
    rng: &mut Rng,
    going: impl Fn() -> bool,
) -> Outcome {
    let mut client = server.client();
    while going() {
        let turn = Instant::now();
        fill(load, book, &mut client, rng, TURN_STEPS)?;
        std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
    }
    Ok(())
}

/// Each comes with a connection of its own; some hang up in the middle of an upload.
fn visitors(server: &Server, seed: u64, going: impl Fn() -> bool) -> Outcome {
    let mut rng = Rng::new(!seed);
    let body = vec![3; 3 << 20];
    while going() {
        let mut client = server.client();
        client.ask(BUCKET, &[("list-type", "2")])?.expect(200)?;
        let sent = rng.index(body.len());
        client.put_abandoned(BUCKET, "abandoned", &body, sent)?;
        std::thread::sleep(TURN);
    }
    Ok(())
}

/// Of the time after the warm-up the last quarter beside the first one.
fn flat(process: &str, samples: &[Held]) -> Outcome {
    let resident: Vec<u64> = samples.iter().map(|held| held.resident_kib).collect();
    let warm = &resident[resident.len() * WARM_UP_PERCENT / 100..];
    let quarter = warm.len() / 4;
    ensure(quarter > 0, || "too short to judge".to_owned())?;
    let (first, last) = (
        middle(&warm[..quarter]),
        middle(&warm[warm.len() - quarter..]),
    );
    let most = resident.iter().copied().max().unwrap_or(0);
    let course = resident.chunks(resident.len().div_ceil(COURSE_COUNT).max(1));
    let course: Vec<String> = course
        .map(|part| (middle(part) >> 10).to_string())
        .collect();
    println!(
        "        {process}, resident in the course of it, MiB: {}",
        course.join(" ")
    );
    println!(
        "        {process}, resident: {} MiB after the warm-up, {} MiB at the end, {} MiB at most",
        first >> 10,
        last >> 10,
        most >> 10
    );
    ensure(
        last <= first + first * GROWTH_PERCENT / 100 + GROWTH_KIB,
        || format!("memory grew from {first} KiB to {last} KiB"),
    )?;
    ensure(most <= RESIDENT_KIB_MAX, || {
        format!("{most} KiB were resident, more than {RESIDENT_KIB_MAX}")
    })
}

fn middle(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// With the load gone there are as few threads and descriptors as before, after a while.
fn settled(idle: Held, process: u32) -> Outcome {
    let mut now = held(process)?;
    for _ in 0..60 {
        if now.threads <= idle.threads && now.descriptors <= idle.descriptors + DESCRIPTORS_MORE {
            println!("        at the start {idle:?}, at the end {now:?}");
            return Ok(());
        }
        std::thread::sleep(SAMPLE);
        now = held(process)?;
    }
    Err(Failure::new(format!(
        "at the start {idle:?}, a minute after the end {now:?}"
    )))
}

fn held(process: u32) -> Outcome<Held> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident_kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // One that ended since is none.
        let name = std::fs::read_to_string(thread?.path().join("comm")).ok();
        threads += u64::from(name.is_some_and(|name| !name.starts_with("iou-")));
    }
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"))?.count();
    Ok(Held {
        resident_kib: resident_kib.ok_or_else(|| Failure::new("no VmRSS: in status"))?,
        threads,
        descriptors: u64::try_from(descriptors).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::{Held, flat, held};

    fn samples(resident: impl Fn(u64) -> u64) -> Vec<Held> {
        let one = |second| Held {
            resident_kib: resident(second),
            threads: 1,
            descriptors: 1,
        };
        (0..600).map(one).collect()
    }

    #[test]
    fn growth_after_the_warm_up_is_found_and_growth_before_it_is_not() {
        assert!(flat("any", &samples(|second| 100_000 + 500 * second.min(200))).is_ok());
        assert!(flat("any", &samples(|second| 100_000 + 100 * second)).is_err());
        assert!(flat("any", &samples(|_| 600 << 10)).is_err());
        assert!(flat("any", &[]).is_err());
    }

    #[test]
    fn what_this_process_holds_can_be_read() {
        let held = held(std::process::id()).unwrap();
        assert!(held.resident_kib > 0 && held.threads > 0 && held.descriptors > 0);
    }
}
