//! The tables and plots of docs/performance.md that show the vault beside others.

use super::BARE;
use super::work::{Task, tasks};
use crate::bench::figures::samples::{Samples, Series};
use crate::bench::figures::svg::{Axis, Bar, Bars};
use crate::bench::table::rounded;
use crate::bench::{Sample, primitives, received};
use crate::failure::Outcome;
use std::fmt::Write;
use std::path::Path;

/// The load of the machine at the end, as a series.
pub const LOAD: &str = "load of the machine at the end";
/// A primitive and how fast it is alone.
type Primitive = (&'static str, fn(&Path) -> Outcome<Sample>);

/// TLS as a library does it with nothing around it: what the two [`PIECES`] of it are together, and what joins them.
const RECEIVED: Primitive = (
    "received from a socket in reads of 256 KiB and opened, by rustls alone",
    received::tls_rate,
);

/// Of what that consists.
const PIECES: [Primitive; 2] = [
    ("TLS records opened (AES-256-GCM, 16 KiB)", |_| {
        primitives::record_rate()
    }),
    ("received from a socket in reads of 256 KiB", |_| {
        primitives::receive_rate()
    }),
];

/// What is computed over every byte of a PUT in the vault, beside TLS.
const COMPUTED: [Primitive; 3] = [
    ("SHA-256 of what the client signed", |_| {
        primitives::sha256_rate()
    }),
    ("sealing (AES-256-GCM)", |_| primitives::seal_rate()),
    ("BLAKE3 of what is stored", |_| primitives::blake3_rate()),
];

/// How every byte gets between the processes, and onto the disks.
const MOVED: [Primitive; 2] = [
    ("copied once", |_| primitives::copy_rate()),
    (
        "written to two files past the page cache",
        primitives::write_rate,
    ),
];

/// All that is measured.
pub fn primitives() -> impl Iterator<Item = Primitive> {
    let rest = COMPUTED.into_iter().chain(MOVED);
    std::iter::once(RECEIVED).chain(PIECES).chain(rest)
}

/// What the samples call the vault.
pub const OURS: &str = "Stele";
const PEERS: [&str; 3] = ["Ceph RGW", "SeaweedFS, flushed", "SeaweedFS"];
const MIB: f64 = 1_048_576.0;

/// What an acknowledged PUT means, and how it came over the wire.
const DURABILITY: [(&str, &str); 4] = [
    (
        OURS,
        "content and commit record flushed on two disks (every byte is written twice, the journal three times), \
         encrypted, SHA-256 checked",
    ),
    (
        "Ceph RGW",
        "one copy, flushed by BlueStore (`fdatasync`); not encrypted",
    ),
    (
        "SeaweedFS, flushed",
        "one copy, `fs.configure -fsync`: one `fsync` of the data for each object, none of its index of names; \
         not encrypted",
    ),
    (
        "SeaweedFS",
        "one copy, nothing flushed: a power cut takes what was acknowledged lately",
    ),
];

/// Durability, rates, latencies, CPU, and what the primitives alone take.
pub fn markdown(samples: &Samples, absent: &[String], plain: bool) -> String {
    let mut out = String::new();
    let there: Vec<&str> = std::iter::once(OURS)
        .chain(PEERS)
        .filter(|name| samples.0.iter().any(|series| series.part == *name))
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| store | what an acknowledged PUT means |\n|---|---|");
    for (name, text) in DURABILITY.iter().filter(|(name, _)| there.contains(name)) {
        let _ = writeln!(out, "| {name} | {text} |");
    }
    for reason in absent {
        let _ = writeln!(
            out,
            "\nNot measured: {}",
            reason.lines().next().unwrap_or("")
        );
    }
    let rounds = samples
        .get(BARE, "flush: p50")
        .map_or(0, |s| s.values.len());
    let over = if plain {
        "The vault speaks TLS 1.3, the others none."
    } else {
        "All speak TLS 1.3."
    };
    let _ = writeln!(
        out,
        "\n{over} Rounds: {rounds}. Medians of them; in brackets the lowest and the highest.\n"
    );
    if !plain {
        let _ = writeln!(out, "![Rates beside others](figures/peers-rates.svg)\n");
        let _ = writeln!(out, "![CPU beside others](figures/peers-cpu.svg)\n");
    }
    let tasks = tasks(1);
    super::goals::markdown(&mut out, samples, &tasks);
    let title = |unit: &str| format!("rate, {unit}");
    section(
        &mut out,
        samples,
        &tasks,
        &there,
        &title("as each line says"),
        rate,
    );
    section(
        &mut out,
        samples,
        &tasks,
        &there,
        "latency p50 / p99, ms",
        latency,
    );
    section(
        &mut out,
        samples,
        &tasks,
        &there,
        "CPU of its processes per request, ms",
        cpu,
    );
    yardsticks(&mut out, samples);
    tails(&mut out, samples, &tasks, &there);
    let load = samples.get(BARE, LOAD).map_or(f64::NAN, Series::median);
    let _ = writeln!(
        out,
        "\n{} Load when it ended: {load}.",
        crate::bench::processor()
    );
    out
}

type Cell = fn(&Samples, &str, &Task) -> Option<String>;

fn section(
    out: &mut String,
    samples: &Samples,
    tasks: &[Task],
    there: &[&str],
    title: &str,
    cell: Cell,
) {
    let columns = "|---".repeat(there.len() + 1);
    let _ = writeln!(out, "| {title} | {} |\n{columns}|", there.join(" | "));
    for task in tasks {
        let cells: Vec<String> = there
            .iter()
            .map(|name| cell(samples, name, task).unwrap_or_default())
            .collect();
        let _ = writeln!(out, "| {} | {} |", task.name, cells.join(" | "));
    }
    out.push('\n');
}

fn rate(samples: &Samples, name: &str, task: &Task) -> Option<String> {
    let series = samples.get(name, &task.name)?;
    let (low, high) = series.range();
    let median = rounded(series.median());
    let unit = task.unit;
    Some(format!(
        "{median} {unit} [{}-{}]",
        rounded(low),
        rounded(high)
    ))
}

fn latency(samples: &Samples, name: &str, task: &Task) -> Option<String> {
    let of = |which| samples.get(name, &format!("{}: {which}", task.name));
    let (p50, p99) = (of("p50")?.median(), of("p99")?.median());
    Some(format!("{} / {}", rounded(p50), rounded(p99)))
}

fn cpu(samples: &Samples, name: &str, task: &Task) -> Option<String> {
    let series = samples.get(name, &format!("{}: CPU", task.name))?;
    Some(rounded(series.median()))
}

/// The sums of the primitives beside the CPU of each PUT.
fn yardsticks(out: &mut String, samples: &Samples) {
    let _ = writeln!(out, "| CPU per byte of a PUT of 64 MiB | ns |\n|---|---|");
    for (name, _) in primitives() {
        let each = bare(samples, name);
        let _ = writeln!(out, "| bare: {name} | {each:.3} |");
    }
    let (all, pieces) = (bare_ns_per_byte(samples), pieces_ns_per_byte(samples));
    let _ = writeln!(
        out,
        "| bare: all of these, TLS by rustls | {all:.3} |\n\
         | bare: all of these, of TLS only the cipher and the socket | {pieces:.3} |"
    );
    for name in std::iter::once(OURS).chain(PEERS) {
        for streams in ["1 stream", "4 streams"] {
            if let Some(each) = cpu_ns_per_byte(samples, name, streams) {
                let (times, of_pieces) = (each / all, each / pieces);
                let _ = writeln!(
                    out,
                    "| {name}, {streams} | {each:.3}: {times:.2} times the former sum, {of_pieces:.2} times the latter |"
                );
            }
        }
    }
}

fn bare(samples: &Samples, name: &str) -> f64 {
    samples.get(BARE, name).map_or(f64::NAN, Series::median)
}

fn sum(samples: &Samples, primitives: impl IntoIterator<Item = Primitive>) -> f64 {
    let each = primitives.into_iter().map(|(name, _)| bare(samples, name));
    each.sum()
}

/// What all primitives of a large PUT take.
pub fn bare_ns_per_byte(samples: &Samples) -> f64 {
    sum(samples, [RECEIVED].into_iter().chain(COMPUTED).chain(MOVED))
}

/// The same with nothing of TLS but the cipher, and bytes taken out of a socket.
fn pieces_ns_per_byte(samples: &Samples) -> f64 {
    sum(samples, PIECES.into_iter().chain(COMPUTED).chain(MOVED))
}

/// What a store takes for a large PUT, if it was measured.
pub fn cpu_ns_per_byte(samples: &Samples, store: &str, streams: &str) -> Option<f64> {
    let series = samples.get(store, &format!("PUT 64 MiB, {streams}: CPU"))?;
    Some(series.median() * 1e6 / (64.0 * MIB))
}

/// The slowest of small PUTs by several clients, beside the slowest of flushes at the same time and in peace.
fn tails(out: &mut String, samples: &Samples, tasks: &[Task], there: &[&str]) {
    let of = |name, series: &str| samples.get(name, series).map_or(f64::NAN, Series::median);
    let bare = |which: &str| of(BARE, &format!("flush: {which}"));
    let (p50, p99) = (bare("p50"), bare("p99"));
    let _ = writeln!(
        out,
        "\nA bare write of 4 KiB with `fdatasync` took {} ms (p50) and {} ms (p99) in the same run with nothing else going \
         on, and what the table says while the PUTs of its line were under way, with rests of 10 ms between two.",
        rounded(p50),
        rounded(p99),
    );
    for task in tasks.iter().filter(|task| task.flushes) {
        let _ = writeln!(
            out,
            "\n| {} | p99, ms | a flush meanwhile, p50 / p99, ms | p99 / p99 of a flush meanwhile | p99 / p50 of a flush in peace |\n\
             |---|---|---|---|---|",
            task.name
        );
        for name in there {
            let slow = of(name, &format!("{}: p99", task.name));
            let (middle, slowest) = (
                of(name, &beside(task, "p50")),
                of(name, &beside(task, "p99")),
            );
            let _ = writeln!(
                out,
                "| {name} | {} | {} / {} | {} | {} |",
                rounded(slow),
                rounded(middle),
                rounded(slowest),
                rounded(slow / slowest),
                rounded(slow / p50),
            );
        }
    }
}

/// What the samples call flushes that were timed beside a measurement.
pub fn beside(task: &Task, which: &str) -> String {
    format!("{}: a flush meanwhile: {which}", task.name)
}

/// The vault beside each peer: rates, and CPU.
pub fn plots(samples: &Samples) -> Vec<(&'static str, String)> {
    let rates = ratios(samples, "", false);
    let cpu = ratios(samples, ": CPU", true);
    vec![
        (
            "peers-rates.svg",
            drawn(
                "Rate of the vault beside others: right of 1 it is faster",
                rates,
            ),
        ),
        (
            "peers-cpu.svg",
            drawn(
                "CPU of others beside the vault: right of 1 it takes less",
                cpu,
            ),
        ),
    ]
}

fn drawn(title: &str, bars: Vec<Bar>) -> String {
    let ticks = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    Bars {
        title: title.to_owned(),
        axis: Axis::log("times (log)", 0.5, 100.0, &ticks),
        bars,
        around: Some(1.0),
    }
    .svg()
}

fn ratios(samples: &Samples, suffix: &str, inverse: bool) -> Vec<Bar> {
    let mut bars = Vec::new();
    for task in tasks(1) {
        for (kind, peer) in PEERS.iter().enumerate() {
            let series = format!("{}{suffix}", task.name);
            let (Some(ours), Some(theirs)) =
                (samples.get(OURS, &series), samples.get(peer, &series))
            else {
                continue;
            };
            let quotient = |(a, b): (f64, f64)| if inverse { b / a } else { a / b };
            let rounds = ours
                .values
                .iter()
                .copied()
                .zip(theirs.values.iter().copied());
            let each: Vec<f64> = rounds.map(quotient).collect();
            bars.push(Bar {
                name: format!("{} / {peer}", task.name),
                value: quotient((ours.median(), theirs.median())),
                low: each.iter().copied().fold(f64::INFINITY, f64::min),
                high: each.iter().copied().fold(0.0, f64::max),
                kind,
            });
        }
    }
    bars
}
