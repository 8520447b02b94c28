//! `cargo xtask bench`: the vault beside the bare disk and the bare primitives.
//!
//! Every measurement runs once per round, the rounds one after another, and the table shows
//! medians: neighbours on the machine then disturb all lines alike. Rates are wall time; server
//! CPU per operation stands beside them because it depends less on the neighbours.

mod bare;
pub mod figures;
mod objects;
pub mod peers;
mod primitives;
mod raw;
mod received;
pub mod slow;
mod table;
pub mod tail;

use crate::failure::{Failure, Outcome};
use crate::install;
use crate::rng::Rng;
use crate::server::Server;
use crate::workspace::Workspace;
use objects::Objects;
use table::{Line, Table};

/// What one run of one measurement gave.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    /// Operations or mebibytes per second, see the line's unit.
    pub rate: f64,
    /// Latencies in milliseconds: median and 99th percentile.
    pub latency_ms: Option<(f64, f64)>,
    /// CPU time of the server per operation, in milliseconds.
    pub server_cpu_ms: Option<f64>,
    /// CPU time of this thread for each byte, in nanoseconds; of primitives.
    pub cpu_byte_ns: Option<f64>,
}

/// A line of the table being measured.
struct Measure<'a> {
    line: Line,
    run: Box<dyn FnMut() -> Outcome<Sample> + 'a>,
}

/// Measures, prints the table, and with `write` puts it into docs/performance.md; with `only`, just the lines
/// whose names contain it.
pub fn run(workspace: &Workspace, rounds: u32, only: Option<&str>, write: bool) -> Outcome {
    if cfg!(debug_assertions) {
        let rounds = rounds.to_string();
        let mut again = vec!["--rounds", rounds.as_str()];
        if let Some(only) = only {
            again.extend(["--only", only]);
        }
        if write {
            again.push("--write");
        }
        return optimised(workspace, &again);
    }
    let programs = workspace.build()?;
    let scratch = workspace.scratch("bench")?;
    let vault = scratch.join("vault");
    let server = Server::start(&programs.stele, &vault)?;
    let objects = Objects::new(&server)?;
    let fio = install::require(&[install::FIO]);
    if let Err(reason) = &fio {
        println!("without fio: {reason}");
    }
    let mut measures = objects.measures();
    measures.extend(raw::measures(scratch.path(), fio.is_ok()));
    measures.extend(primitives::measures());
    measures.retain(|measure| only.is_none_or(|text| measure.line.name.contains(text)));
    for round in 1..=rounds {
        for measure in &mut measures {
            println!("round {round}: {}", measure.line.name);
            let sample = (measure.run)().map_err(|f| f.within(measure.line.name))?;
            measure.line.samples.push(sample);
        }
    }
    let lines = measures.into_iter().map(|measure| measure.line).collect();
    let mut table = Table {
        rounds,
        lines,
        notes: Vec::new(),
    };
    table.notes.push(memory(&server)?);
    drop(objects);
    if only.is_none() {
        let starts = crash_starts(server, &programs.stele, &vault, rounds)?;
        table.notes.push(starts);
    }
    table.notes.push(machine());
    let text = table.markdown();
    println!("{text}");
    if write {
        table::write(workspace, "bench", &text)
    } else {
        Ok(())
    }
}

/// Goes on in an optimised build of this tool: the client must not be the slow part.
fn optimised<A: AsRef<std::ffi::OsStr>>(workspace: &Workspace, arguments: &[A]) -> Outcome {
    let run = ["run", "--release", "--quiet", "--package", "xtask"];
    let run = workspace.cargo(&run).args(["--", "bench"]);
    run.args(arguments).stream()
}

/// Measures a disk file of ours beside bare system calls and fio, on one and the same written file.
pub fn disk(workspace: &Workspace, rounds: u32) -> Outcome {
    let scratch = workspace.scratch("bench-disk")?;
    let example = ["run", "--release", "--quiet", "--package", "stele-device"];
    workspace
        .cargo(&example)
        .args(["--example", "disk_bench", "--"])
        .arg(scratch.path())
        .arg(rounds.to_string())
        .stream()
}

fn memory(server: &Server) -> Outcome<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib / 1024)
            .ok_or_else(|| Failure::new(format!("no {name} in status")))
    };
    let (now, most) = (mib("VmRSS:")?, mib("VmHWM:")?);
    Ok(format!(
        "Memory of the server after this load: {now} MiB resident, {most} MiB at most."
    ))
}

/// Kills the server while four streams write, and measures how long the next start takes.
fn crash_starts(
    mut server: Server,
    stele: &std::path::Path,
    vault: &std::path::Path,
    rounds: u32,
) -> Outcome<String> {
    let mut seconds = Vec::new();
    for round in 0..rounds.max(3) {
        let load = crate::load::Load::new(objects::BUCKET, 256 << 20);
        let clients: Vec<_> = (0..4).map(|_| server.client()).collect();
        std::thread::scope(|threads| {
            for (index, client) in (0_u64..).zip(clients) {
                let load = &load;
                let rng = Rng::new(u64::from(round) << 8 | index);
                let mut book = crate::load::Book::new(&format!("crash-{round}-{index}/"));
                threads.spawn(move || load.work(&mut book, client, rng).map(drop));
            }
            std::thread::sleep(std::time::Duration::from_secs(2));
            load.killed.store(true, std::sync::atomic::Ordering::SeqCst);
            let killed = server.kill();
            load.stop.store(true, std::sync::atomic::Ordering::SeqCst);
            killed
        })?;
        server = Server::start(stele, vault)?;
        seconds.push(server.start_time.as_secs_f64());
    }
    server.stop()?;
    let (median, most) = (
        table::median(&seconds),
        seconds.iter().copied().fold(0.0, f64::max),
    );
    Ok(format!(
        "Start after a kill under load, until the first connection: median {median:.2} s, \
         longest {most:.2} s of {}.",
        seconds.len()
    ))
}

fn machine() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let processor = processor();
    let processor = processor.trim_end_matches('.');
    format!("{processor}; load {load} at the end.")
}

fn processor() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Machine: {model}, {cores} cores shared by server and clients.")
}
