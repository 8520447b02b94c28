//! What every contestant is asked to do.

use crate::failure::Outcome;
use crate::load::{Ran, Steady, Verb};
use crate::s3::{Client, Endpoint};
use std::sync::Arc;
use std::time::Duration;

const LARGE_BYTES: usize = 64 << 20;
const MIDDLE_BYTES: usize = 128 << 10;
const SMALL_BYTES: usize = 4 << 10;
const LISTED_BYTES: usize = 16;
/// What one measurement of objects of the middle size writes at most, so that disks do not fill.
const MIDDLE_BYTES_MAX: u64 = 48 << 20;
/// Objects of 64 MiB that one measurement stores, over all streams.
const LARGE_PUTS: u64 = 4;
const LARGE_GETS: u64 = 8;
const FILL_CONNECTIONS: u64 = 32;
/// Connections of the small PUTs whose slowest are held against a flush.
const TAIL_CONNECTIONS: u64 = 16;
/// Longest time for storing the objects that are listed.
const FILL_MAX: Duration = Duration::from_secs(1200);

/// Which objects.
#[derive(Clone, Copy)]
enum Kind {
    Large,
    Middle,
    Small,
    Listed,
}

/// One measurement.
pub struct Task {
    /// In words.
    pub name: String,
    /// Of the rate.
    pub unit: &'static str,
    /// From what is counted to this unit.
    pub scale: f64,
    /// Whether flushes are timed beside it.
    pub flushes: bool,
    kind: Kind,
    verb: Verb,
    connections: u64,
    longest: Duration,
    operations: u64,
}

/// All of them, in order: objects are stored before they are read.
pub fn tasks(seconds: u64) -> Vec<Task> {
    let longest = Duration::from_secs(seconds);
    let mut all = Vec::new();
    for (verb, operations) in [(Verb::Put, LARGE_PUTS), (Verb::Get, LARGE_GETS)] {
        for streams in [1, 4] {
            let plural = if streams == 1 { "" } else { "s" };
            all.push(Task {
                name: format!("{} 64 MiB, {streams} stream{plural}", word(verb)),
                unit: "MiB/s",
                scale: 64.0,
                flushes: false,
                kind: Kind::Large,
                verb,
                connections: streams,
                longest: longest * 10,
                operations: (operations / streams).min(operations / 2),
            });
        }
    }
    for (kind, size) in [(Kind::Small, "4 KiB"), (Kind::Middle, "128 KiB")] {
        for verb in [Verb::Put, Verb::Get] {
            for connections in [1, 8, TAIL_CONNECTIONS, 64] {
                if connections == TAIL_CONNECTIONS && !(size == "4 KiB" && verb == Verb::Put) {
                    continue;
                }
                all.push(small(kind, size, verb, connections, longest));
            }
        }
    }
    all.push(Task {
        name: "LIST, pages of 1000".to_owned(),
        unit: "keys/s",
        scale: 1.0,
        flushes: false,
        kind: Kind::Listed,
        verb: Verb::List,
        connections: 1,
        longest,
        operations: u64::MAX,
    });
    all
}

fn small(kind: Kind, size: &str, verb: Verb, connections: u64, longest: Duration) -> Task {
    let plural = if connections == 1 { "" } else { "s" };
    let middle = u64::try_from(MIDDLE_BYTES).unwrap_or(u64::MAX);
    let operations = match (kind, verb) {
        (Kind::Middle, Verb::Put) => MIDDLE_BYTES_MAX / middle / connections,
        _ => u64::MAX,
    };
    Task {
        name: format!("{} {size}, {connections} connection{plural}", word(verb)),
        unit: "op/s",
        scale: 1.0,
        flushes: connections == TAIL_CONNECTIONS,
        kind,
        verb,
        connections,
        longest,
        operations,
    }
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Put => "PUT",
        Verb::Get => "GET",
        Verb::List => "LIST",
    }
}

/// The objects of one contestant.
pub struct Objects {
    large: Steady,
    middle: Steady,
    small: Steady,
    listed: Steady,
}

impl Objects {
    /// Makes the bucket, with versions and Object Lock, as a vault's always are.
    pub fn new(endpoint: &Arc<Endpoint>, bucket: &str) -> Outcome<Objects> {
        let made = Client::new(endpoint).create_bucket(bucket, true)?;
        made.expect(200)?;
        let of = |prefix, bytes| Steady::new(endpoint, bucket, prefix, bytes);
        Ok(Objects {
            large: of("large", LARGE_BYTES),
            middle: of("middle", MIDDLE_BYTES),
            small: of("small", SMALL_BYTES),
            listed: of("listed", LISTED_BYTES),
        })
    }

    /// Stores what is listed.
    pub fn fill(&self, keys: u64) -> Outcome {
        self.listed.fill(FILL_CONNECTIONS, keys, FILL_MAX)
    }

    /// Does one measurement.
    pub fn run(&self, task: &Task) -> Outcome<Ran> {
        let objects = match task.kind {
            Kind::Large => &self.large,
            Kind::Middle => &self.middle,
            Kind::Small => &self.small,
            Kind::Listed => &self.listed,
        };
        objects.run(task.verb, task.connections, task.longest, task.operations)
    }
}
