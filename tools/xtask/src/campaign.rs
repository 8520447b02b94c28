//! `cargo xtask sim --recoveries N --operations M`: the simulator from seed after seed until so many crash recoveries
//! were checked, then in long sessions until so many operations were.
//!
//! One log for each range of seeds and a list of the seeds that failed are written into the target directory, beside the
//! simulator itself. A run that was interrupted goes on where it was when it is asked for again from the same seed, with the
//! ranges first that were begun and not ended: with that very simulator, so that one run is of one state of the code.

use crate::command::Run;
use crate::failure::{Failure, Outcome, ensure};
use crate::suites::sim::KEEP_MEMORY;
use crate::workspace::Workspace;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The simulator, where it is built and in the directory of a run.
const PROGRAM: &str = "stele-sim";

/// How the name of a file ends that says of which kind a range is, from its beginning until its log is whole.
const BEGUN: &str = "begun";

/// What is run in one process, with one log.
struct Kind {
    seeds: u64,
    name: &'static str,
    /// Events of work in each seed.
    steps: &'static str,
    more: &'static [&'static str],
}

/// Mostly starts.
const BRIEF: Kind = Kind {
    name: "brief",
    seeds: 200,
    steps: "400",
    more: &[],
};
/// Mostly work.
const LONG: Kind = Kind {
    name: "long",
    seeds: 5,
    steps: "100000",
    more: &["--long"],
};
/// Occasions at which the disks are inspected offline, of a thousand.
const INSPECT_PERMILLE: &str = "10";
/// Others come first on this machine.
const NICENESS: &str = "10";
const RANGE_DEADLINE: Duration = Duration::from_secs(4 * 3_600);
/// Names of the counts in the simulator's line of totals, in the order of [`Totals`].
const COUNTS: [&str; 6] = [
    "seeds",
    "operations",
    "budgeted",
    "beyond",
    "versions_read",
    "failed",
];

/// What the simulator counts, by [`COUNTS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals([u64; COUNTS.len()]);

impl Totals {
    /// Those that a simulator printed.
    fn read(output: &str) -> Option<Self> {
        let line = output.lines().rev();
        let line = line
            .filter_map(|line| line.strip_prefix("totals "))
            .next()?;
        let mut totals = Self::default();
        for (name, count) in COUNTS.iter().zip(&mut totals.0) {
            let mut pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
            *count = pairs.find(|(key, _)| key == name)?.1.parse().ok()?;
        }
        Some(totals)
    }

    fn add(&mut self, other: Self) {
        for (into, more) in self.0.iter_mut().zip(other.0) {
            *into += more;
        }
    }

    fn operations(self) -> u64 {
        self.0[1]
    }

    fn budgeted(self) -> u64 {
        self.0[2]
    }

    fn failed(self) -> u64 {
        self.0[5]
    }

    /// With 95 % confidence the true rate of failures lies below three in so many, when none was seen.
    fn bound(self) -> String {
        match (self.failed(), self.budgeted()) {
            (0, budgeted @ 1..) => format!("95 % bound: one in {}", budgeted / 3),
            (failed, _) => format!("no bound: {failed} seeds failed"),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("totals")?;
        let pairs = COUNTS.iter().zip(self.0);
        pairs
            .into_iter()
            .try_for_each(|(name, count)| write!(f, " {name}={count}"))
    }
}

/// How much is enough.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// Crash recoveries within the fault budget.
    pub recoveries: u64,
    /// Operations of clients.
    pub operations: u64,
}

impl Goal {
    /// What is still to be run.
    fn next(self, totals: Totals) -> Option<&'static Kind> {
        if totals.budgeted() < self.recoveries {
            return Some(&BRIEF);
        }
        (totals.operations() < self.operations).then_some(&LONG)
    }
}

/// What all processes work on.
struct State {
    next: u64,
    totals: Totals,
    /// Failing seeds and how to see them fail again.
    failures: Vec<String>,
    /// Ranges that were begun before and have no log.
    again: Vec<(u64, &'static Kind)>,
    /// Why no further range is begun, beside that it is enough.
    broken: Option<Failure>,
}

/// A run.
struct Campaign {
    program: PathBuf,
    logs: PathBuf,
    goal: Goal,
    started: Instant,
    state: Mutex<State>,
}

/// Runs seeds from `from` on until the goal is reached; fails where a seed failed.
pub fn run(workspace: &Workspace, from: u64, goal: Goal, kept: bool) -> Outcome {
    ensure(goal.recoveries > 0, || "how many recoveries?".to_owned())?;
    let logs = workspace.target.join("sim-runs").join(from.to_string());
    std::fs::create_dir_all(&logs).map_err(|e| Failure::path("cannot make", &logs, &e))?;
    let program = logs.join(PROGRAM);
    let build = ["build", "--release", "--package", "stele-sim"];
    workspace.cargo(&build).stream()?;
    let built = workspace.target.join("release").join(PROGRAM);
    match program.exists() {
        false => keep_program(&built, &program)?,
        true => ensure(kept || is_same(&built, &program)?, || {
            format!(
                "this run was begun with another simulator than the code gives now: begin one from another seed, or go \
                 on with --kept, of the state of the code that it was begun with ({})",
                program.display()
            )
        })?,
    }
    println!("logs: {}", logs.display());
    let state = resumed(&logs, from)?;
    if state.next > from {
        println!(
            "goes on behind {} seeds: {}",
            state.totals.0[0], state.totals
        );
    }
    let campaign = Campaign {
        program,
        logs,
        goal,
        started: Instant::now(),
        state: Mutex::new(state),
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| campaign.work());
        }
    });
    campaign.close()
}

fn is_same(one: &Path, other: &Path) -> Outcome<bool> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|e| Failure::path("cannot read", path, &e));
    Ok(read(one)? == read(other)?)
}

/// Keeps a program, whole or not at all.
fn keep_program(built: &Path, kept: &Path) -> Outcome {
    let part = kept.with_extension("part");
    let copy = || std::fs::copy(built, &part).and_then(|_| std::fs::rename(&part, kept));
    copy().map_err(|e| Failure::path("cannot keep", kept, &e))
}

/// What the logs of an earlier beginning of the run say, and which ranges have none: they were interrupted, or broke off,
/// and are run again. A seed is never counted twice.
fn resumed(logs: &Path, from: u64) -> Outcome<State> {
    let mut state = State {
        next: from,
        totals: Totals::default(),
        failures: Vec::new(),
        again: Vec::new(),
        broken: None,
    };
    let mut ended = BTreeSet::new();
    let entries = std::fs::read_dir(logs).map_err(|e| Failure::path("cannot list", logs, &e))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let first = name.and_then(|name| name.parse::<u64>().ok());
        let end = path.extension().and_then(|end| end.to_str());
        let (Some(first), Some(end @ ("log" | BEGUN))) = (first, end) else {
            continue;
        };
        let output =
            std::fs::read_to_string(&path).map_err(|e| Failure::path("cannot read", &path, &e))?;
        if end == BEGUN {
            let kind = [&BRIEF, &LONG].into_iter().find(|kind| kind.name == output);
            let kind = kind.ok_or_else(|| Failure::new(format!("no kind of run: {output}")))?;
            state.next = state.next.max(first + kind.seeds);
            state.again.push((first, kind));
            continue;
        }
        let Some(totals) = Totals::read(&output) else {
            continue;
        };
        state.next = state.next.max(first + totals.0[0]);
        state.totals.add(totals);
        state.failures.extend(failures_in(&output));
        ended.insert(first);
    }
    // The log is written first, and counts.
    state.again.retain(|(first, _)| !ended.contains(first));
    Ok(state)
}

impl Campaign {
    /// One process after the other, until it is enough.
    fn work(&self) {
        while let Some((first, kind)) = self.next_range() {
            let ran = self.run_range(first, kind);
            let mut state = self.state.lock().expect("no worker panics");
            match ran {
                Ok((totals, failures)) => {
                    state.totals.add(totals);
                    failures.iter().for_each(|failure| println!("{failure}"));
                    state.failures.extend(failures);
                    let seconds = self.started.elapsed().as_secs();
                    println!("{seconds} s: {}", state.totals);
                }
                Err(failure) => state.broken = Some(failure),
            }
            if let Err(failure) = self.list(&state.failures) {
                state.broken = Some(failure);
            }
        }
    }

    fn next_range(&self) -> Option<(u64, &'static Kind)> {
        let mut state = self.state.lock().expect("no worker panics");
        if state.broken.is_some() {
            return None;
        }
        if let Some(again) = state.again.pop() {
            return Some(again);
        }
        let kind = self.goal.next(state.totals)?;
        let first = state.next;
        state.next = first.checked_add(kind.seeds)?;
        Some((first, kind))
    }

    fn run_range(&self, first: u64, kind: &Kind) -> Outcome<(Totals, Vec<String>)> {
        let range = format!("{first}..{}", first + kind.seeds);
        let begun = self.logs.join(format!("{first}.{BEGUN}"));
        write(&begun, kind.name)?;
        let run = Run::new("nice")
            .args(["-n", NICENESS])
            .arg(&self.program)
            .args([
                "--seeds",
                &range,
                "--steps",
                kind.steps,
                "--inspect",
                INSPECT_PERMILLE,
            ])
            .args(kind.more)
            .deadline(RANGE_DEADLINE);
        let keep = KEEP_MEMORY.iter();
        let finished = keep
            .fold(run, |run, (name, value)| run.env(name, value))
            .finish()?;
        let log = self.logs.join(format!("{first}.log"));
        write(&log, &finished.stdout)?;
        // A range in which nothing was recovered would go on for ever.
        let totals = Totals::read(&finished.stdout).filter(|totals| totals.budgeted() > 0);
        let totals = totals.ok_or_else(|| finished.unexpected("a line of totals"))?;
        std::fs::remove_file(&begun).map_err(|e| Failure::path("cannot remove", &begun, &e))?;
        Ok((totals, failures_in(&finished.stdout)))
    }

    fn list(&self, failures: &[String]) -> Outcome {
        write(&self.logs.join("failures.txt"), &failures.concat())
    }

    fn close(self) -> Outcome {
        let State {
            totals,
            failures,
            broken,
            ..
        } = self.state.into_inner().expect("no worker panics");
        println!("{totals}\n{}", totals.bound());
        if let Some(failure) = broken {
            return Err(failure);
        }
        ensure(failures.is_empty(), || {
            format!(
                "{} seeds failed: see {}",
                failures.len(),
                self.logs.join("failures.txt").display()
            )
        })
    }
}

fn write(path: &Path, text: &str) -> Outcome {
    std::fs::write(path, text).map_err(|e| Failure::path("cannot write", path, &e))
}

/// The seeds that failed, each with the line behind it that says how to see it fail again.
fn failures_in(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    let failed = lines.iter().enumerate();
    failed
        .filter(|(_, line)| line.starts_with("FAILED seed "))
        .map(|(at, line)| {
            let again = lines.get(at + 1).unwrap_or(&"");
            format!("{line}\n{again}\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Goal, Totals, failures_in, resumed};

    const OUTPUT: &str = "FAILED seed 7 after 9 events, 1 of them work: LOST\nreproduce: stele-sim --seed 7\nseeds 3\n\
                          totals seeds=3 operations=40 budgeted=30 beyond=2 versions_read=9 failed=1\ntrace 00\n";

    #[test]
    fn the_totals_of_a_simulator_are_read_and_added_and_printed_as_they_were() {
        let mut totals = Totals::read(OUTPUT).unwrap();
        assert_eq!(totals, Totals([3, 40, 30, 2, 9, 1]));
        totals.add(totals);
        assert_eq!(
            Totals::read(&totals.to_string()),
            Some(Totals([6, 80, 60, 4, 18, 2]))
        );
        assert_eq!(Totals::read("totals seeds=3\n"), None);
    }

    #[test]
    fn a_run_goes_on_behind_the_last_range_that_has_a_log_and_counts_what_failed() {
        let logs = std::env::temp_dir().join(format!("stele-campaign-{}", std::process::id()));
        std::fs::create_dir_all(&logs).unwrap();
        for (name, output) in [
            ("100.log", OUTPUT),
            ("106.log", OUTPUT),
            ("103.log", "seeds 3\n"),
            ("103.begun", "brief"),
            ("400.begun", "long"),
            ("106.begun", "brief"),
            ("failures.txt", OUTPUT),
            ("stele-sim", ""),
        ] {
            std::fs::write(logs.join(name), output).unwrap();
        }
        let state = resumed(&logs, 100).unwrap();
        std::fs::remove_dir_all(&logs).unwrap();
        assert_eq!(state.next, 405);
        let mut again: Vec<_> = state
            .again
            .iter()
            .map(|(at, kind)| (*at, kind.name))
            .collect();
        again.sort_unstable();
        assert_eq!(again, [(103, "brief"), (400, "long")]);
        assert_eq!(state.totals, Totals([6, 80, 60, 4, 18, 2]));
        assert_eq!(state.failures.len(), 2);
    }

    #[test]
    fn long_sessions_follow_once_there_were_enough_recoveries() {
        let goal = Goal {
            recoveries: 100,
            operations: 500,
        };
        let next = |operations, budgeted| {
            let totals = Totals([1, operations, budgeted, 0, 0, 0]);
            goal.next(totals).map(|kind| kind.more.len())
        };
        assert_eq!(next(900, 99), Some(0));
        assert_eq!(next(499, 100), Some(1));
        assert_eq!(next(500, 100), None);
    }

    #[test]
    fn there_is_a_bound_only_where_nothing_failed() {
        assert_eq!(
            Totals([1, 0, 300, 0, 0, 0]).bound(),
            "95 % bound: one in 100"
        );
        assert_eq!(
            Totals([1, 0, 300, 0, 0, 2]).bound(),
            "no bound: 2 seeds failed"
        );
    }

    #[test]
    fn a_failing_seed_is_listed_with_the_command_that_shows_it() {
        let expected =
            "FAILED seed 7 after 9 events, 1 of them work: LOST\nreproduce: stele-sim --seed 7\n";
        assert_eq!(failures_in(OUTPUT), [expected]);
    }
}
