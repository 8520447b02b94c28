//! What the vault has to reach beside others, and what it reached.

use super::BARE;
use super::report::{OURS, bare_ns_per_byte, cpu_ns_per_byte};
use super::work::Task;
use crate::bench::figures::samples::{Samples, Series};
use crate::bench::table::rounded;
use std::fmt::Write;

/// Stores that flush what they acknowledge, in some manner.
const DURABLE: [&str; 2] = ["Ceph RGW", "SeaweedFS, flushed"];
/// The store that does not.
const UNFLUSHED: [&str; 1] = ["SeaweedFS"];
const ALL: [&str; 3] = ["Ceph RGW", "SeaweedFS, flushed", "SeaweedFS"];
/// Times the bare primitives of a large PUT.
const CPU_TIMES_MAX: f64 = 2.0;
/// Times a flush, of the slowest of small PUTs.
const TAIL_TIMES_MAX: f64 = 3.0;

/// A rate beside the best of some stores.
struct Rule {
    /// How the names of the tasks begin.
    tasks: &'static str,
    words: &'static str,
    peers: &'static [&'static str],
    at_least: f64,
}

const RULES: [Rule; 7] = [
    Rule {
        tasks: "PUT 64 MiB",
        words: "the best of those that flush",
        peers: &DURABLE,
        at_least: 1.5,
    },
    Rule {
        tasks: "GET 64 MiB",
        words: "the best of all",
        peers: &ALL,
        at_least: 1.0,
    },
    Rule {
        tasks: "PUT 4 KiB",
        words: "the best of those that flush",
        peers: &DURABLE,
        at_least: 2.0,
    },
    Rule {
        tasks: "PUT 128 KiB",
        words: "the best of those that flush",
        peers: &DURABLE,
        at_least: 2.0,
    },
    Rule {
        tasks: "PUT 4 KiB",
        words: "the one that flushes nothing",
        peers: &UNFLUSHED,
        at_least: 1.0,
    },
    Rule {
        tasks: "PUT 128 KiB",
        words: "the one that flushes nothing",
        peers: &UNFLUSHED,
        at_least: 1.0,
    },
    Rule {
        tasks: "GET ",
        words: "the best of all",
        peers: &ALL,
        at_least: 1.0,
    },
];

/// The table of goals; a line whose peers were not measured is left out.
pub fn markdown(out: &mut String, samples: &Samples, tasks: &[Task]) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "| rate | beside | goal | measured | reached |\n|---|---|---|---|---|"
    );
    let mut told: Vec<(&str, &str)> = Vec::new();
    for rule in &RULES {
        for task in tasks
            .iter()
            .filter(|task| task.name.starts_with(rule.tasks))
        {
            let line = (task.name.as_str(), rule.words);
            let Some(times) = beside(samples, &task.name, rule.peers) else {
                continue;
            };
            if told.contains(&line) {
                continue;
            }
            told.push(line);
            let _ = writeln!(
                out,
                "| {} | {} | at least {} times | {} | {} |",
                task.name,
                rule.words,
                rule.at_least,
                rounded(times),
                reached(times >= rule.at_least),
            );
        }
    }
    let bare = bare_ns_per_byte(samples);
    for streams in ["1 stream", "4 streams"] {
        if let Some(each) = cpu_ns_per_byte(samples, OURS, streams) {
            let _ = writeln!(
                out,
                "| CPU of a PUT of 64 MiB, {streams} | the bare primitives | at most {CPU_TIMES_MAX} times | {} | {} |",
                rounded(each / bare),
                reached(each / bare <= CPU_TIMES_MAX),
            );
        }
    }
    let flush = samples.get(BARE, "flush: p50").map(Series::median);
    for task in tasks.iter().filter(|task| task.flushes) {
        let slow = samples.get(OURS, &format!("{}: p99", task.name));
        if let (Some(slow), Some(flush)) = (slow, flush) {
            let times = slow.median() / flush;
            let _ = writeln!(
                out,
                "| p99 of {} | a flush in peace, p50 | at most {TAIL_TIMES_MAX} times | {} | {} |",
                task.name,
                rounded(times),
                reached(times <= TAIL_TIMES_MAX),
            );
        }
    }
    out.push('\n');
}

fn reached(is: bool) -> &'static str {
    if is { "yes" } else { "**no**" }
}

/// Our median beside the highest of theirs.
fn beside(samples: &Samples, task: &str, peers: &[&str]) -> Option<f64> {
    let ours = samples.get(OURS, task)?.median();
    let theirs = peers.iter().filter_map(|peer| samples.get(peer, task));
    let best = theirs.map(Series::median).reduce(f64::max)?;
    Some(ours / best)
}

#[cfg(test)]
mod tests {
    use super::markdown;
    use crate::bench::figures::samples::Samples;
    use crate::bench::peers::work::tasks;

    #[test]
    fn a_rate_is_judged_beside_the_best_of_its_peers_and_a_missed_goal_is_told() {
        let mut samples = Samples::default();
        for (store, put, get) in [
            ("Stele", 300.0, 100.0),
            ("Ceph RGW", 10.0, 10.0),
            ("SeaweedFS, flushed", 150.0, 90.0),
            ("SeaweedFS", 301.0, 101.0),
        ] {
            samples.add(store, "PUT 4 KiB, 8 connections", "op/s", put);
            samples.add(store, "GET 64 MiB, 1 stream", "MiB/s", get);
        }
        let mut out = String::new();
        markdown(&mut out, &samples, &tasks(1));
        let lines: Vec<&str> = out
            .lines()
            .skip(2)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(
            lines,
            [
                "| GET 64 MiB, 1 stream | the best of all | at least 1 times | 0.99 | **no** |",
                "| PUT 4 KiB, 8 connections | the best of those that flush | at least 2 times | 2.00 | yes |",
                "| PUT 4 KiB, 8 connections | the one that flushes nothing | at least 1 times | 1.00 | **no** |",
            ]
        );
    }
}
