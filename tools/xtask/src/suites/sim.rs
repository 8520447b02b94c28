//! The simulator from fixed seeds (fresh ones are for the long form): its oracle must agree, the same seed must give
//! the same trace, and a few planted bugs must be found.

use crate::command::{Finished, Run};
use crate::failure::{Failure, Outcome, ensure};
use crate::mutants;
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Workspace};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Seeds that are always run for long.
const FIXED_SEEDS: std::ops::RangeInclusive<u64> = 1..=16;
/// Steps of one of these.
const STEPS: u64 = 2_000;
/// Ranges of seeds that are always run, the steps of each seed, and what they are run with.
const RANGES: [(&str, &str, &[&str]); 10] = [
    // Briefly, many in a row.
    ("1000..1150", "400", &[]),
    ("1150..1300", "400", &[]),
    ("1300..1450", "400", &[]),
    ("1450..1600", "400", &[]),
    // Any subset of four to seven disks may be there at a start.
    ("1600..1750", "400", &["--subsets"]),
    // Vaults with people, who destroy what has expired: a destruction takes some steps.
    ("2400..2430", "1500", &["--people"]),
    ("2430..2460", "1500", &["--people"]),
    // Sessions in which segment after segment is filled.
    ("3000..3003", "60000", &["--long"]),
    ("3003..3006", "60000", &["--long"]),
    ("3006..3008", "60000", &["--long", "--people"]),
];
/// Traces of which one share is crashed at every event: 51 of some 3,200 events of each.
const ENUMERATED: [&[&str]; 2] = [
    &[
        "enumerate",
        "--seed",
        "1",
        "--share",
        "7/64",
        "--cut-twice-every",
        "40",
    ],
    &[
        "enumerate",
        "--seed",
        "2",
        "--share",
        "7/64",
        "--cut-twice-every",
        "40",
    ],
];
/// Shares into which a whole enumeration is split.
const SHARES: u64 = 16;
/// Memory that is given back and taken anew for each copy of a machine costs more than the simulation.
pub const KEEP_MEMORY: [(&str, &str); 2] = [
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
];
/// Seeds that failed once, beside the simulator.
const SEEDS_FILE: &str = "tools/sim/seeds.txt";
/// Simulators at a time.
const WORKERS: usize = 2;
const RUN_DEADLINE: Duration = Duration::from_secs(900);

/// One run of the simulator and what it is called.
struct Job {
    name: String,
    args: Vec<String>,
}

impl Job {
    fn new(name: impl Into<String>, args: &[&str]) -> Job {
        Job {
            name: name.into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        }
    }
}

/// One simulator run; returns its trace.
pub fn simulate(programs: &Programs, seed: u64, steps: u64) -> Outcome<String> {
    let (seed_text, steps_text) = (seed.to_string(), steps.to_string());
    traced(
        &programs.sim,
        &["--seed", &seed_text, "--steps", &steps_text],
    )
}

fn traced<A: AsRef<std::ffi::OsStr>>(sim: &Path, args: &[A]) -> Outcome<String> {
    let finished = finished(sim, args)?;
    trace(&finished.stdout).ok_or_else(|| finished.unexpected("a last line `trace <64 hex>`"))
}

fn finished<A: AsRef<std::ffi::OsStr>>(sim: &Path, args: &[A]) -> Outcome<Finished> {
    let run = Run::new(sim).args(args).deadline(RUN_DEADLINE);
    let run = KEEP_MEMORY
        .iter()
        .fold(run, |run, (name, value)| run.env(name, value));
    let finished = run.finish()?;
    finished.expect_success()?;
    Ok(finished)
}

/// The trace that the last line names.
fn trace(output: &str) -> Option<String> {
    let trace = output.trim_end().lines().last()?.strip_prefix("trace ")?;
    let hex = trace.len() == 64 && trace.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| trace.to_owned())
}

/// Runs the suite.
pub fn run(workspace: &Workspace, programs: &Programs) -> Closed {
    let mut ledger = Ledger::open("sim", workspace.ci);
    let mut jobs = Vec::new();
    let read = ledger.case("the seeds that failed once are read", || {
        jobs = jobs_of(workspace)?;
        Ok(())
    });
    if read {
        let results = in_parallel(&jobs, |job| traced(&programs.sim, &job.args).map(drop));
        for (job, result) in jobs.iter().zip(results) {
            ledger.case(&job.name, || result);
        }
    }
    ledger.case("the same seed gives the same trace", || {
        let runs = in_parallel(&[1, 1, 2], |seed| simulate(programs, *seed, STEPS));
        let traces = runs.into_iter().collect::<Outcome<Vec<String>>>()?;
        ensure(traces[0] == traces[1], || format!("{traces:?}"))?;
        ensure(traces[0] != traces[2], || {
            "another seed gives the same trace too".to_owned()
        })
    });
    planted(workspace, &mut ledger);
    ledger.close()
}

fn planted(workspace: &Workspace, ledger: &mut Ledger) {
    let mut program = None;
    ledger.case("a simulator with planted bugs is built", || {
        program = Some(mutants::build(workspace)?);
        Ok(())
    });
    if let Some(program) = program {
        let results = in_parallel(&mutants::SHARE, |bug| mutants::catch(&program, bug));
        for (bug, result) in mutants::SHARE.iter().zip(results) {
            ledger.case(&format!("planted bug {bug} is found"), || result);
        }
    }
}

fn jobs_of(workspace: &Workspace) -> Outcome<Vec<Job>> {
    let path = workspace.root.join(SEEDS_FILE);
    let text =
        std::fs::read_to_string(&path).map_err(|e| Failure::path("cannot read", &path, &e))?;
    let mut jobs = seeds_of(&text);
    ensure(!jobs.is_empty(), || format!("{SEEDS_FILE} names no seed"))?;
    for (range, steps, more) in RANGES {
        let args = ["--seeds", range, "--steps", steps, "--quiet"];
        let args = [&args[..], more].concat();
        let of = more.iter().map(|flag| format!(" {flag}"));
        let name = format!(
            "seeds{} {range}, {steps} steps each",
            of.collect::<String>()
        );
        jobs.push(Job::new(name, &args));
    }
    for args in ENUMERATED {
        jobs.push(Job::new(args.join(" "), args));
    }
    for seed in FIXED_SEEDS {
        let (seed, steps) = (seed.to_string(), STEPS.to_string());
        let args = ["--seed", &seed, "--steps", &steps];
        jobs.push(Job::new(format!("seed {seed}, {steps} steps"), &args));
    }
    Ok(jobs)
}

/// The runs that a file of seeds names: arguments, then a comment; whole lines may be comments.
fn seeds_of(text: &str) -> Vec<Job> {
    let lines = text.lines().filter_map(|line| {
        let args = line.split('#').next().unwrap_or_default();
        let args: Vec<&str> = args.split_whitespace().collect();
        (!args.is_empty()).then(|| Job::new(format!("once failed: {}", args.join(" ")), &args))
    });
    lines.collect()
}

/// Does something with each, a few at a time; the results in order.
fn in_parallel<T: Sync, R: Send>(of: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = of.get(at) else { return };
                    let result = act(item);
                    done.lock().expect("no worker panics").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A whole enumeration: one trace crashed at every event, by shares.
pub fn enumerate(workspace: &Workspace, seed: u64, operations: u64, every: [u64; 3]) -> Outcome {
    let programs = workspace.build()?;
    let (seed, operations) = (seed.to_string(), operations.to_string());
    let [strike, again, twice] = every.map(|every| every.to_string());
    let shares: Vec<u64> = (0..SHARES).collect();
    let started = Instant::now();
    let results = in_parallel(&shares, |share| {
        let share = format!("{share}/{SHARES}");
        let of = [
            "--seed",
            &seed,
            "--operations",
            &operations,
            "--share",
            &share,
            "--strike-every",
            &strike,
            "--cut-again-every",
            &again,
            "--cut-twice-every",
            &twice,
        ];
        let args = [&["enumerate"][..], &of].concat();
        let recoveries = finished(&programs.sim, &args).and_then(|finished| {
            println!("share {share}: {}", finished.stdout.trim_end());
            recoveries(&finished.stdout).ok_or_else(|| finished.unexpected("a count of recoveries"))
        });
        if let Err(failure) = &recoveries {
            println!("FAILED  share {share}: {failure}");
        }
        recoveries
    });
    let seconds = started.elapsed().as_secs_f64();
    let failed = results.iter().filter(|result| result.is_err()).count();
    let recoveries: u64 = results.into_iter().flatten().sum();
    println!("{recoveries} crash recoveries of the trace of seed {seed} in {seconds:.0} s");
    ensure(failed == 0, || {
        format!("{failed} of {SHARES} shares failed")
    })
}

/// How many crash recoveries an enumeration counted.
fn recoveries(output: &str) -> Option<u64> {
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix("crash recoveries "))?;
    line.split(' ').next()?.parse().ok()
}

/// The long form: `runs` seeds from `seed` on, a few at a time; stops at nothing, names each failure.
pub fn long(workspace: &Workspace, seed: u64, runs: u64, steps: u64) -> Outcome {
    let programs = workspace.build()?;
    let seeds: Vec<u64> = (0..runs).map(|index| seed.wrapping_add(index)).collect();
    let started = Instant::now();
    let results = in_parallel(&seeds, |seed| {
        let result = simulate(&programs, *seed, steps);
        if let Err(failure) = &result {
            println!("FAILED  seed {seed}: {failure}");
        }
        result.is_ok()
    });
    let failures: Vec<u64> = seeds
        .iter()
        .zip(results)
        .filter(|(_, good)| !good)
        .map(|(seed, _)| *seed)
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    println!("{runs} runs of {steps} steps from seed {seed} in {seconds:.0} s");
    let failed = failures.len();
    println!("sim: {} passed, {failed} failed", seeds.len() - failed);
    ensure(failures.is_empty(), || {
        format!("failing seeds: {failures:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_last_line_with_64_hex_digits_is_a_trace() {
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(trace(&format!("steps 5\ntrace {hex}\n")), Some(hex.clone()));
        assert_eq!(trace(&format!("trace {hex}\nmore\n")), None);
        assert_eq!(trace("trace 12\n"), None);
    }

    #[test]
    fn a_file_of_seeds_gives_the_arguments_before_each_comment() {
        let jobs = seeds_of("# head\n\n--seed 7 --steps 9 # why\n--seed 8\n");
        let args: Vec<&[String]> = jobs.iter().map(|job| job.args.as_slice()).collect();
        assert_eq!(
            args,
            [&["--seed", "7", "--steps", "9"][..], &["--seed", "8"][..]]
        );
    }

    #[test]
    fn the_recoveries_of_an_enumeration_are_read_from_their_line() {
        let output =
            "events 9, crashed at 9: none 9\ncrash recoveries 3750 (power cuts 1)\ntrace 00\n";
        assert_eq!(recoveries(output), Some(3750));
        assert_eq!(recoveries("trace 00\n"), None);
    }

    #[test]
    fn results_come_in_order_whoever_is_first() {
        let numbers: Vec<u64> = (0..50).collect();
        assert_eq!(in_parallel(&numbers, |number| number * 2)[49], 98);
    }
}
