//! Starts after a crash, by how many sealed segments the vault holds. The process that writes kills
//! itself while a client still waits for it.
//!
//! The first start comes after a crash of the process that filled the vault, the second one after a
//! clean stop, which takes a snapshot, a start, a few objects and another crash.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Instant;

use stele_store::recovery::OpenOptions;
use stele_store::request::Command;

use crate::load::{Puts, bucket};
use crate::vault::{Plan, Vault};
use crate::{Order, Outcome, float, sample};

/// Bodies that fill a segment of 1 MiB with one chunk each.
const BODY_BYTES: usize = 700 << 10;
const CLIENTS: u64 = 8;
/// Of a process that stops cleanly instead.
const STOP: u64 = u32::MAX as u64;

fn plan(directory: &Path) -> Plan {
    Plan {
        unit_bytes: 1 << 20,
        segment_units: 1,
        ..Plan::usual(directory)
    }
}

pub fn run(order: &Order) -> Outcome<()> {
    let counts = order.pick([2, 4, 8], [10, 100, 1000]);
    for round in 0..order.rounds {
        let mut counts = counts;
        if round % 2 == 1 {
            counts.reverse();
        }
        for count in counts {
            let directory = order.directory.join("starts");
            plan(&directory).create()?;
            child(&directory, count)?;
            say("filled", count, child(&directory, 0)?);
            child(&directory, STOP)?;
            child(&directory, 3)?;
            say("stopped since", count, child(&directory, 0)?);
            std::fs::remove_dir_all(&directory)?;
        }
    }
    Ok(())
}

fn say(which: &str, count: u64, figures: Vec<(String, String, f64)>) {
    for (what, unit, value) in figures {
        sample(&format!("{which}, {count} segments: {what}"), &unit, value);
    }
}

/// Lets another process start, put objects and die; what it measured.
fn child(directory: &Path, puts: u64) -> Outcome<Vec<(String, String, f64)>> {
    let output = Process::new(std::env::current_exe()?)
        .arg(directory)
        .args(["start", &puts.to_string()])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let figure = |line: &str| {
        let mut fields = line.split('\t').skip(1);
        let (what, unit) = (fields.next()?, fields.next()?);
        let value = fields.next()?.parse().ok()?;
        Some((what.to_owned(), unit.to_owned(), value))
    };
    let figures: Vec<_> = text.lines().filter_map(figure).collect();
    if figures.len() < 6 {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("a start failed: {complaint}").into());
    }
    Ok(figures)
}

/// The other process: starts, puts as many objects as it is told, and dies.
pub fn one(order: &Order) -> Outcome<()> {
    let directory: PathBuf = order.directory.clone();
    let count = u64::from(order.rounds);
    let plan = plan(&directory);
    sample("wait for the dead process", "ms", wait_for_the_dead(&plan)?);
    let started = Instant::now();
    let mut vault = plan.start(&OpenOptions::default())?;
    sample("open", "ms", started.elapsed().as_secs_f64() * 1e3);
    vault.ask(Command::ListBuckets)?;
    sample("first answer", "ms", started.elapsed().as_secs_f64() * 1e3);
    sample("records replayed", "", float(vault.report.records));
    sample("segments walked", "", float(vault.report.walked_segments));
    if vault.engine.status().buckets == 0 {
        bucket(&mut vault, "bench")?;
    }
    let first = vault.engine.status().log_size;
    let written = puts(first, 1, 100).run(&mut vault)?;
    sample(
        "first durable PUT",
        "ms",
        written.elapsed.as_secs_f64() * 1e3,
    );
    if count == STOP {
        vault.stop();
        return Ok(());
    }
    puts(first + 1, count, BODY_BYTES).run(&mut vault)?;
    die(vault, first + 1 + count)
}

/// The kernel takes the rings of a killed process apart some time after it is gone, and its locks last
/// until then.
fn wait_for_the_dead(plan: &Plan) -> Outcome<f64> {
    let begun = Instant::now();
    for number in 0..plan.disks {
        std::fs::File::open(plan.disk_path(number))?.lock()?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

fn puts(first: u64, count: u64, bytes: usize) -> Puts<'static> {
    Puts {
        bucket: "bench",
        prefix: "starts/",
        first,
        count,
        bytes,
        clients: CLIENTS,
    }
}

/// Ends with an upload under way. Nothing is closed, sealed or flushed by this.
fn die(mut vault: Vault, number: u64) -> Outcome<()> {
    let (open, _) = puts(number, 1, BODY_BYTES).begin(number, &mut vault);
    vault.send(open);
    vault.turn();
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
    Ok(())
}
