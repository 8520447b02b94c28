//! Starts after a crash, by how many sealed segments the vault holds. The process that writes kills
//! itself while a client still waits.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Instant;

use stele_store::recovery::OpenOptions;
use stele_store::request::Command;

use crate::load::{Puts, bucket};
use crate::vault::Plan;
use crate::{Order, Outcome, sample};

/// Bodies that fill a segment of 1 MiB with one chunk each.
const BODY_BYTES: usize = 700 << 10;
const CLIENTS: u64 = 8;

fn plan(directory: &Path) -> Plan {
    Plan {
        unit_bytes: 256 << 10,
        segment_units: 4,
        ..Plan::usual(directory)
    }
}

pub fn run(order: &Order) -> Outcome<()> {
    let counts = order.pick([2, 4, 8], [10, 100, 1000]);
    for _ in 0..order.rounds {
        for count in counts {
            let directory = order.directory.join("starts");
            plan(&directory).create()?;
            child(&directory, count)?;
            let first = child(&directory, 0)?;
            let again = child(&directory, 0)?;
            for (which, figures) in [("first", first), ("second", again)] {
                for (what, value) in figures {
                    let what = format!("{which} start, {count} segments: {what}");
                    sample(&what, if what.ends_with("ms") { "ms" } else { "" }, value);
                }
            }
            std::fs::remove_dir_all(&directory)?;
        }
    }
    Ok(())
}

/// Lets another process start, put objects and die; what it measured.
fn child(directory: &Path, puts: u64) -> Outcome<Vec<(String, f64)>> {
    let output = Process::new(std::env::current_exe()?)
        .arg(directory)
        .args(["start", &puts.to_string()])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let figure = |line: &str| {
        let (what, value) = line.rsplit_once('\t')?;
        Some((what.to_owned(), value.parse().ok()?))
    };
    let figures: Vec<(String, f64)> = text.lines().filter_map(figure).collect();
    if figures.is_empty() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("a start failed: {complaint}").into());
    }
    Ok(figures)
}

/// The other process: starts, puts as many objects as it is told, and dies.
pub fn one(order: &Order) -> Outcome<()> {
    let directory: PathBuf = order.directory.clone();
    let count = u64::from(order.rounds);
    let started = Instant::now();
    let mut vault = plan(&directory).start(&OpenOptions::default())?;
    let opened = started.elapsed();
    vault.ask(Command::ListBuckets)?;
    let answered = started.elapsed();
    println!("open, ms\t{}", opened.as_secs_f64() * 1e3);
    println!("first answer, ms\t{}", answered.as_secs_f64() * 1e3);
    if count > 0 {
        bucket(&mut vault, "bench")?;
    }
    let puts = |first, count, bytes| Puts {
        bucket: "bench",
        prefix: "starts/",
        first,
        count,
        bytes,
        clients: CLIENTS,
    };
    puts(0, count, BODY_BYTES).run(&mut vault)?;
    let written = puts(count, 1, 100).run(&mut vault)?;
    println!(
        "first durable PUT, ms\t{}",
        written.elapsed.as_secs_f64() * 1e3
    );
    println!("replayed records\t{}", crate::float(vault.report.records));
    println!(
        "walked segments\t{}",
        crate::float(vault.report.walked_segments)
    );
    println!("segments\t{}", vault.engine.status().log_size);
    let last = puts(count + 1, 1, BODY_BYTES);
    vault.send(last.open(count + 1));
    vault.turn();
    // Nothing is closed, sealed or flushed by this.
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
    Ok(())
}
