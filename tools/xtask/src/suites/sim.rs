//! The simulator from fixed and from fresh seeds: its oracle must agree, the same seed must give
//! the same trace, and a bug planted on purpose must be found.

use crate::command::{Run, quote};
use crate::failure::{Failure, Outcome, ensure};
use crate::rng::fresh_seed;
use crate::suite::{Closed, Ledger};
use crate::workspace::{Programs, Workspace};
use std::time::Duration;

/// Seeds that are always run; a seed that once failed is added here.
const FIXED_SEEDS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// Steps of one fixed seed.
const STEPS: u64 = 2_000;
/// Steps of one seed of many.
const STEPS_SHORT: u64 = 400;
/// Crash recoveries in the share that every test run takes.
const RECOVERIES_SHARE: u64 = 10_000;
/// Bugs the simulator can plant.
const PLANTS: [&str; 2] = ["wrong-bytes", "lying-flush"];
/// Distance between the first seeds of programs that run side by side.
const SEED_STRIDE: u64 = 1 << 32;
const RUN_DEADLINE: Duration = Duration::from_secs(900);
const LONG_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// A simulator run with these arguments; what it printed.
fn simulate(programs: &Programs, arguments: &[&str], deadline: Duration) -> Outcome<String> {
    let finished = Run::new(&programs.sim)
        .args(arguments)
        .deadline(deadline)
        .finish()?;
    finished.expect_success()?;
    let traced = trace(&finished.stdout).is_some();
    ensure(traced, || {
        finished
            .unexpected("a last line `trace <64 hex>`")
            .to_string()
    })?;
    Ok(finished.stdout)
}

/// One seed; returns its trace.
fn one(programs: &Programs, seed: u64) -> Outcome<String> {
    let (seed, steps) = (seed.to_string(), STEPS.to_string());
    let output = simulate(
        programs,
        &["--seed", &seed, "--steps", &steps],
        RUN_DEADLINE,
    )?;
    trace(&output).ok_or_else(|| Failure::new("no trace"))
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
    for seed in FIXED_SEEDS {
        ledger.case(&format!("seed {seed}, {STEPS} steps"), || {
            one(programs, seed).map(drop)
        });
    }
    ledger.case("the same seed gives the same trace", || {
        let (first, second) = (
            one(programs, FIXED_SEEDS[0])?,
            one(programs, FIXED_SEEDS[0])?,
        );
        let other = one(programs, FIXED_SEEDS[1])?;
        ensure(first == second, || format!("{first} and then {second}"))?;
        ensure(first != other, || {
            "another seed gives the same trace too".to_owned()
        })
    });
    for plant in PLANTS {
        ledger.case(&format!("a planted bug is found: {plant}"), || {
            planted(programs, plant)
        });
    }
    let seed = fresh_seed() >> 16;
    recoveries(
        &mut ledger,
        programs,
        (seed, RECOVERIES_SHARE, STEPS_SHORT),
        RUN_DEADLINE,
    );
    ledger.close()
}

fn planted(programs: &Programs, plant: &str) -> Outcome {
    let arguments = ["--plant", plant, "--seeds", "1..20", "--quiet"];
    let finished = Run::new(&programs.sim)
        .args(arguments)
        .deadline(RUN_DEADLINE)
        .finish()?;
    finished.expect_refusal("FAILED seed")
}

/// Crash recoveries from fresh seeds, one program per core, each of them a case.
fn recoveries(
    ledger: &mut Ledger,
    programs: &Programs,
    (seed, recoveries, steps): (u64, u64, u64),
    deadline: Duration,
) {
    let cores = std::thread::available_parallelism()
        .map_or(1, |count| u64::try_from(count.get()).unwrap_or(1));
    let share = recoveries.div_ceil(cores).to_string();
    let steps = steps.to_string();
    let seeds: Vec<String> = (0..cores)
        .map(|core| (seed + core * SEED_STRIDE).to_string())
        .collect();
    let results = std::thread::scope(|threads| {
        let (share, steps) = (&share, &steps);
        let start = |seed| {
            let arguments = ["--seed", seed, "--recoveries", share, "--steps", steps];
            threads.spawn(move || simulate(programs, &arguments, deadline))
        };
        let handles: Vec<_> = seeds.iter().map(|seed| start(seed.as_str())).collect();
        let panicked = |_| Err(Failure::new("a thread panicked"));
        handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(panicked))
            .collect::<Vec<_>>()
    });
    for (seed, result) in seeds.iter().zip(results) {
        let name = format!("{share} crash recoveries from seed {seed}, {steps} steps each");
        ledger.case(&name, || {
            println!("{}", quote(&result?));
            Ok(())
        });
    }
}

/// The long form: this many crash recoveries on every core.
pub fn long(workspace: &Workspace, seed: u64, count: u64, steps: u64) -> Outcome<Closed> {
    let programs = workspace.build()?;
    let mut ledger = Ledger::open("sim", workspace.ci);
    recoveries(&mut ledger, &programs, (seed, count, steps), LONG_DEADLINE);
    Ok(ledger.close())
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
}
