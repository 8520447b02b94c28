//! PUT and GET over TLS with one, four and eight streams, through the built-in client.
//!
//! The client's digest of the body is made once beforehand, so that the figures are the server's;
//! TLS of the client runs on the same cores.

use super::table::Line;
use super::{Measure, Sample};
use crate::failure::{Failure, Outcome, ensure};
use crate::rng::Rng;
use crate::s3::{Client, sha256_hex};
use crate::server::Server;
use nix::unistd::{SysconfVar, sysconf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The bucket of the benchmark.
pub const BUCKET: &str = "bench-bucket";
const LARGE_BYTES: usize = 64 << 20;
/// Bytes of the largest object that rides in the journal.
const MIDDLE_BYTES: usize = 128 << 10;
/// Bytes of a small object.
pub const SMALL_BYTES: usize = 4096;
/// Small objects that each stream puts or gets.
pub const SMALL_OPERATIONS: u64 = 200;

/// A body and its digest.
struct Payload {
    name: &'static str,
    body: Vec<u8>,
    digest: String,
    /// Operations per stream in one run.
    operations: u64,
}

/// The server with something to read.
pub struct Objects<'a> {
    server: &'a Server,
    large: Payload,
    middle: Payload,
    small: Payload,
    next: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Put,
    Get,
}

impl<'a> Objects<'a> {
    /// Makes the bucket and the objects that will be read.
    pub fn new(server: &'a Server) -> Outcome<Objects<'a>> {
        let payload = |name, bytes, operations| {
            let body = Rng::new(1).bytes(bytes);
            let digest = sha256_hex(&body);
            Payload {
                name,
                body,
                digest,
                operations,
            }
        };
        let (large, middle, small) = (
            payload("large", LARGE_BYTES, 3),
            payload("middle", MIDDLE_BYTES, SMALL_OPERATIONS),
            payload("small", SMALL_BYTES, SMALL_OPERATIONS),
        );
        let mut client = server.client();
        client.create_bucket(BUCKET, true)?.expect(200)?;
        for payload in [&large, &middle, &small] {
            let digest = Some(payload.digest.as_str());
            client
                .put(BUCKET, payload.name, &payload.body, digest)?
                .expect(200)?;
        }
        Ok(Objects {
            server,
            large,
            middle,
            small,
            next: AtomicU64::new(0),
        })
    }

    /// The measurements.
    pub fn measures(&self) -> Vec<Measure<'_>> {
        let one = |name, unit, verb, payload, streams| Measure {
            line: Line::new(name, unit),
            run: Box::new(move || self.run(verb, payload, streams)),
        };
        let (large, middle, small) = (&self.large, &self.middle, &self.small);
        vec![
            one("vault: PUT 64 MiB, 1 stream", "MiB/s", Verb::Put, large, 1),
            one("vault: PUT 64 MiB, 4 streams", "MiB/s", Verb::Put, large, 4),
            one("vault: GET 64 MiB, 1 stream", "MiB/s", Verb::Get, large, 1),
            one("vault: GET 64 MiB, 4 streams", "MiB/s", Verb::Get, large, 4),
            one(
                "vault: PUT 128 KiB, 8 streams",
                "op/s",
                Verb::Put,
                middle,
                8,
            ),
            one(
                "vault: GET 128 KiB, 8 streams",
                "op/s",
                Verb::Get,
                middle,
                8,
            ),
            one("vault: PUT 4 KiB, 1 stream", "op/s", Verb::Put, small, 1),
            one("vault: PUT 4 KiB, 4 streams", "op/s", Verb::Put, small, 4),
            one("vault: GET 4 KiB, 1 stream", "op/s", Verb::Get, small, 1),
            one("vault: GET 4 KiB, 4 streams", "op/s", Verb::Get, small, 4),
        ]
    }

    /// PUTs of 4 KiB by so many clients at once.
    pub fn small_puts(&self, streams: u64) -> Outcome<Sample> {
        self.run(Verb::Put, &self.small, streams)
    }

    fn run(&self, verb: Verb, payload: &Payload, streams: u64) -> Outcome<Sample> {
        let mut clients: Vec<Client> = (0..streams).map(|_| self.server.client()).collect();
        for client in &mut clients {
            // Connection and TLS handshake are not part of the figure.
            client.ask(BUCKET, &[("location", "")])?.expect(200)?;
        }
        let cpu_before = cpu_time(self.server.id())?;
        let started = Instant::now();
        let mut times = at_once(clients, |client| self.stream(verb, payload, client))?;
        let elapsed = started.elapsed();
        let cpu = cpu_time(self.server.id())?.saturating_sub(cpu_before);
        let operations = streams * payload.operations;
        let mib = if payload.body.len() == LARGE_BYTES {
            64.0
        } else {
            1.0
        };
        Ok(Sample {
            rate: rate_of(operations, elapsed) * mib,
            latency_ms: Some(latencies(&mut times)),
            server_cpu_ms: Some(cpu.as_secs_f64() * 1000.0 / count(operations)),
            ..Sample::default()
        })
    }

    fn stream(&self, verb: Verb, payload: &Payload, mut client: Client) -> Outcome<Vec<Duration>> {
        let mut times = Vec::new();
        for _ in 0..payload.operations {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let one = Instant::now();
            let answer = match verb {
                Verb::Put => {
                    let key = format!("{}-{number}", payload.name);
                    client.put(BUCKET, &key, &payload.body, Some(&payload.digest))?
                }
                Verb::Get => client.get_known(BUCKET, payload.name, &payload.body)?,
            };
            times.push(one.elapsed());
            answer.expect(200)?;
        }
        Ok(times)
    }
}

/// Runs a stream for each client, all at the same time; what each of their operations took.
pub fn at_once(
    clients: Vec<Client>,
    stream: impl Fn(Client) -> Outcome<Vec<Duration>> + Sync,
) -> Outcome<Vec<Duration>> {
    let stream = &stream;
    let results: Vec<_> = std::thread::scope(|threads| {
        let start = |client| threads.spawn(move || stream(client));
        let handles: Vec<_> = clients.into_iter().map(start).collect();
        let panicked = |_| Err(Failure::new("a stream panicked"));
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(panicked))
            .collect()
    });
    let mut times = Vec::new();
    for result in results {
        times.extend(result?);
    }
    Ok(times)
}

/// A count as a factor.
fn count(operations: u64) -> f64 {
    u32::try_from(operations).map_or(f64::INFINITY, f64::from)
}

/// Operations per second.
pub fn rate_of(operations: u64, elapsed: Duration) -> f64 {
    count(operations) / elapsed.as_secs_f64()
}

/// Median and 99th percentile in milliseconds.
pub fn latencies(times: &mut [Duration]) -> (f64, f64) {
    times.sort();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    (at(50), at(99))
}

/// CPU time that a process and the processes it started have used. The vault's gateway is one of those.
pub fn cpu_time(process: u32) -> Outcome<Duration> {
    let mut spent = own_cpu_time(process)?;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile, and with it the list of its children.
        let children = std::fs::read_to_string(thread?.path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            if let Ok(child) = child.parse() {
                spent += cpu_time(child)?;
            }
        }
    }
    Ok(spent)
}

/// CPU time of one process, from its fields 14 and 15 in `/proc/PID/stat`.
fn own_cpu_time(process: u32) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field, the name in brackets, may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse().ok())
        .collect();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let per_second = per_second
        .and_then(|ticks| u64::try_from(ticks).ok())
        .unwrap_or(100);
    ensure(ticks.len() == 2, || "unreadable /proc/PID/stat".to_owned())?;
    Ok(Duration::from_millis(
        ticks.iter().sum::<u64>() * 1000 / per_second,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_the_middle_and_the_slow_end() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        let (p50, p99) = latencies(&mut times);
        assert!(
            (p50 - 51.0).abs() < 0.01 && (p99 - 100.0).abs() < 0.01,
            "{p50} {p99}"
        );
    }

    #[test]
    fn cpu_time_of_this_process_can_be_read() {
        assert!(cpu_time(std::process::id()).is_ok());
    }
}
