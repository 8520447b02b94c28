//! `cargo xtask bench tail`: the slowest of small PUTs by many clients at once, beside a flush of the disks they wait
//! for. The disks are files behind a cache whose flushes take as long as is asked for, so that one machine shows
//! drives of several kinds. And beside a door with nothing behind it, which is what the machine, the client and TLS take of
//! any server's time.

use super::bare;
use super::objects::Objects;
use super::table::{median, rounded};
use crate::command::Run;
use crate::failure::{Failure, Outcome};
use crate::server::Server;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

const STREAMS: u64 = 16;
/// Durable writes that are timed for one figure.
const FLUSHES: &str = "200";

/// What to measure.
#[derive(clap::Args)]
pub struct Wishes {
    /// Microseconds that a flush takes; each stands for a kind of drive.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 2_000, 5_000, 10_000])]
    paces: Vec<u64>,
    /// Times each is measured, and the median taken.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// The figures of one pace, milliseconds, one for each round.
#[derive(Default)]
struct Figures {
    flush: Vec<f64>,
    middle: Vec<f64>,
    slowest: Vec<f64>,
    /// The slowest of a door with nothing behind it.
    bare: Vec<f64>,
}

/// Measures and prints.
pub fn run(workspace: &Workspace, wishes: &Wishes) -> Outcome {
    if cfg!(debug_assertions) {
        let paces: Vec<String> = wishes.paces.iter().map(u64::to_string).collect();
        let (paces, rounds) = (paces.join(","), wishes.rounds.to_string());
        let words = ["tail", "--paces", &paces, "--rounds", &rounds];
        return super::optimised(workspace, &words);
    }
    let scratch = workspace.scratch("tail")?;
    let stele = workspace.build_evil(scratch.path())?;
    let timer = timer(workspace)?;
    let mut rows = Vec::new();
    for pace in &wishes.paces {
        let plan = format!("seed=1,pace={pace}");
        let vault = scratch.join(&format!("vault-{pace}"));
        let server = Server::start_with(&stele, &vault, &plan)?;
        let objects = Objects::new(&server)?;
        let mut figures = Figures::default();
        for round in 1..=wishes.rounds {
            println!("flushes of {pace} us, round {round}");
            figures
                .flush
                .push(flush(&timer, &scratch.join("timed"), &plan)?);
            let puts = objects.small_puts(STREAMS)?;
            let (middle, slowest) = puts.latency_ms.unwrap_or_default();
            figures.middle.push(middle);
            figures.slowest.push(slowest);
            let (_, slowest) = bare::small_puts(scratch.path(), STREAMS)?;
            figures.bare.push(slowest);
        }
        drop(objects);
        server.stop()?;
        std::fs::remove_dir_all(&vault)?;
        rows.push(row(&figures));
    }
    println!(
        "\n| a flush, ms | PUT of 4 KiB, p50, ms | p99, ms | p99 / flush | nothing stored, p99, ms |"
    );
    println!("|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    Ok(())
}

fn row(figures: &Figures) -> String {
    let ratios: Vec<f64> = figures
        .slowest
        .iter()
        .zip(&figures.flush)
        .map(|(put, flush)| put / flush)
        .collect();
    let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ratios.iter().copied().fold(0.0, f64::max);
    format!(
        "| {} | {} | {} | {} [{}-{}] | {} |",
        rounded(median(&figures.flush)),
        rounded(median(&figures.middle)),
        rounded(median(&figures.slowest)),
        rounded(median(&ratios)),
        rounded(low),
        rounded(high),
        rounded(median(&figures.bare))
    )
}

/// The program that times flushes.
fn timer(workspace: &Workspace) -> Outcome<PathBuf> {
    let build = ["build", "--release", "--quiet", "--package", "stele-device"];
    workspace
        .cargo(&build)
        .args(["--example", "flush_time"])
        .stream()?;
    Ok(workspace.target.join("release/examples/flush_time"))
}

/// Median of durable writes with nothing else going on, milliseconds.
fn flush(timer: &Path, file: &Path, plan: &str) -> Outcome<f64> {
    let printed = Run::new(timer).arg(file).args([plan, FLUSHES]).succeed()?;
    let median = printed.split_whitespace().next();
    let us = median.and_then(|text| text.parse::<f64>().ok());
    let us = us.ok_or_else(|| Failure::new(format!("flush_time printed '{printed}'")))?;
    std::fs::remove_file(file)?;
    Ok(us / 1000.0)
}
