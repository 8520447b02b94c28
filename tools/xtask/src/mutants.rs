//! `cargo xtask mutants`: switches on one bug of the engine after the other and lets the simulator look for it.
//!
//! The simulator that can do so is built apart, into a directory of its own: no program that serves a vault
//! ever has these bugs compiled in.

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::suites::sim::KEEP_MEMORY;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Steps within which each bug must be found: events of work, besides those of starts and checks.
const STEPS_MAX: u64 = 100_000;
/// Simulators at a time.
const WORKERS: usize = 2;
/// Bugs that a test run looks for: of commit, of recovery, of healing and of destruction.
pub const SHARE: [&str; 4] = [
    "frame-unflushed",
    "torn-frame-adopted",
    "join-before-filled",
    "destroyed-half",
];
/// Bugs of what a start goes by, and says of what is away: any subset of the disks may be there.
const OF_SUBSETS: [&str; 3] = ["label-unflushed", "away-taken-for-blank", "epoch-ignored"];
/// Bugs of rare moments, of which many short lives have more than a few long ones.
const OF_SHORT_LIVES: [&str; 3] = [
    "damage-taken-for-end",
    "last-frame-unscrubbed",
    "seal-before-frames",
];
/// Bugs of people that many vaults show sooner than long ones.
const OF_SHORT_TERMS: [&str; 1] = ["rest-skipped"];
/// Bugs that only vaults with people show.
const OF_PEOPLE: [&str; 9] = [
    "tombstone-unjudged",
    "case-forgotten",
    "scope-unchecked",
    "month-unspared",
    "destroyed-uncut",
    "destroyed-half",
    "veto-ignored",
    "rest-skipped",
    "tombstone-not-replayed",
];
const RUN_DEADLINE: Duration = Duration::from_secs(1_800);

/// What became of a bug.
struct Found {
    bug: String,
    /// Who found it; none when nobody did.
    by: Option<Finding>,
}

/// How a bug was found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    seed: u64,
    /// Events in all, and those of work.
    events: u64,
    steps: u64,
    what: String,
}

/// Builds the simulator with the bugs in it.
pub fn build(workspace: &Workspace) -> Outcome<PathBuf> {
    let target = workspace.target.join("plants");
    workspace
        .cargo(&[
            "build",
            "--release",
            "--package",
            "stele-sim",
            "--features",
            "plants",
        ])
        .env("CARGO_TARGET_DIR", &target)
        .stream()?;
    Ok(target.join("release").join("stele-sim"))
}

/// Looks for every bug, prints a table and ends with how many were found.
pub fn run(workspace: &Workspace) -> Outcome {
    let program = build(workspace)?;
    let listed = Run::new(&program).args(["--bug", "list"]).finish()?;
    listed.expect_success()?;
    let bugs: Vec<&str> = listed.stdout.lines().collect();
    let found = hunt(&program, &bugs)?;
    println!("| bug | seed | steps | events | found by |\n|---|---|---|---|---|");
    for Found { bug, by } in &found {
        match by {
            Some(by) => println!(
                "| {bug} | {} | {} | {} | {} |",
                by.seed, by.steps, by.events, by.what
            ),
            None => println!("| {bug} | | | | not found |"),
        }
    }
    let caught = found.iter().filter(|found| found.by.is_some()).count();
    println!("{caught}/{}", found.len());
    ensure(caught == found.len(), || "a bug was not found".to_owned())
}

/// Looks for one bug; fails when it is not found.
pub fn catch(program: &Path, bug: &str) -> Outcome {
    match look_for(program, bug)?.by {
        Some(_) => Ok(()),
        None => Err(Failure::new(format!("not found within {STEPS_MAX} steps"))),
    }
}

fn hunt(program: &Path, bugs: &[&str]) -> Outcome<Vec<Found>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Outcome<Found>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bug) = bugs.get(at) else { return };
                    let found = look_for(program, bug);
                    done.lock().expect("no worker panics").push((at, found));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, found)| found).collect()
}

/// Looks for a bug from seed to seed. A seed counts only if it does not fail without the bug too.
fn look_for(program: &Path, bug: &str) -> Outcome<Found> {
    let (mut seed, mut events, mut steps) = (1_u64, 0, 0);
    while steps < STEPS_MAX {
        let (first, left) = (seed.to_string(), (STEPS_MAX - steps).to_string());
        let from = ["--seed", &first, "--until-found", &left, "--bug", bug];
        let finished = simulator(program, bug).args(from).finish()?;
        let Some(found) = finished.stdout.lines().find_map(failure_of) else {
            break;
        };
        events += found.events;
        steps += found.steps;
        let failing = found.seed.to_string();
        let control = simulator(program, bug).args(["--seed", &failing]);
        let control = control.finish()?;
        if control.status.success() && steps <= STEPS_MAX {
            let by = Finding {
                events,
                steps,
                ..found
            };
            return Ok(Found {
                bug: bug.to_owned(),
                by: Some(by),
            });
        }
        seed = found.seed + 1;
    }
    Ok(Found {
        bug: bug.to_owned(),
        by: None,
    })
}

/// The simulator with the lives that show a bug soonest.
fn simulator(program: &Path, bug: &str) -> Run {
    let how: &[&str] = match bug {
        _ if OF_SHORT_TERMS.contains(&bug) => &["--people", "--steps", "600"],
        _ if OF_PEOPLE.contains(&bug) => &["--people", "--steps", "1500"],
        _ if OF_SUBSETS.contains(&bug) => &["--steps", "150", "--subsets"],
        _ if OF_SHORT_LIVES.contains(&bug) => &["--steps", "60"],
        _ => &["--steps", "400"],
    };
    let run = Run::new(program)
        .args(how)
        .args(["--inspect", "500", "--quiet"])
        .deadline(RUN_DEADLINE);
    let keep = KEEP_MEMORY.iter();
    keep.fold(run, |run, (name, value)| run.env(name, value))
}

/// What the line says that tells of a failing seed.
fn failure_of(line: &str) -> Option<Finding> {
    let (seed, rest) = line.strip_prefix("FAILED seed ")?.split_once(" after ")?;
    let (events, rest) = rest.split_once(" events, ")?;
    let (steps, what) = rest.split_once(" of them work: ")?;
    Some(Finding {
        seed: seed.parse().ok()?,
        events: events.parse().ok()?,
        steps: steps.parse().ok()?,
        what: what.replace('|', "/").chars().take(110).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Finding, failure_of};

    #[test]
    fn the_line_of_a_failing_seed_is_understood_and_no_other() {
        let line = "FAILED seed 7 after 11721 events, 900 of them work: LOST: version a|b is gone";
        let expected = Finding {
            seed: 7,
            events: 11_721,
            steps: 900,
            what: "LOST: version a/b is gone".to_owned(),
        };
        assert_eq!(failure_of(line), Some(expected));
        assert_eq!(failure_of("trace 00"), None);
        assert_eq!(
            failure_of("FAILED seed x after 1 events, 1 of them work: y"),
            None
        );
    }
}
