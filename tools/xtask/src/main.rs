//! `cargo xtask`: the project's tasks.
//!
//! Everything that would elsewhere be a shell script is here: the tests against the real programs
//! and real clients, the long forms of those that a test run takes only a share of, benchmarks.
#![forbid(unsafe_code)]

mod bench;
mod campaign;
mod command;
mod docs;
mod failure;
mod fuzz;
mod install;
mod load;
mod mutants;
mod rng;
mod s3;
mod server;
mod soak;
mod suite;
mod suites;
mod time;
mod workspace;

use campaign::Goal;
use clap::{Args, Parser, Subcommand, ValueEnum};
use failure::{Failure, Outcome, ensure};
use std::process::ExitCode;
use std::time::Instant;
use suite::{Closed, Ledger};
use suites::{clients, crash, damage, lints, oracles, powercut, sim, tidy, units};
use workspace::{Programs, Workspace};

/// Project tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
    /// Keep scratch directories for a look afterwards.
    #[arg(long, global = true)]
    keep: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Run the test suites, cheap ones first.
    Test(TestArguments),
    /// Check only the house rules: takes a second.
    Tidy,
    /// Kill the server under load, many times: the long form of the suite.
    Crash {
        /// Number of kills.
        #[arg(long, default_value_t = crash::ROUNDS_LONG)]
        rounds: u64,
        /// Seed of the load; a fresh one without it.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Cut the power of the server under load, many times: the long form of the suite.
    Powercut {
        /// Number of cuts.
        #[arg(long, default_value_t = powercut::ROUNDS_LONG)]
        rounds: u64,
        /// Seed of plans and load; a fresh one without it.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Take disks away and flip bytes, with places chosen by a seed.
    Damage {
        /// Seed of the places; a fresh one without it.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Serve under a steady load, and see that memory stays flat.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 20)]
        minutes: u64,
        /// Seed of the load; a fresh one without it.
        #[arg(long)]
        seed: Option<u64>,
        /// Pages of the index in memory. A vault has 64 MiB, which this load fills in some sixteen minutes: with
        /// as much, growth means something from 45 minutes on, when the warm-up is longer than that.
        #[arg(long, default_value_t = soak::INDEX_CACHE_MIB, value_parser = clap::value_parser!(u64).range(1..=4096))]
        index_cache_mib: u64,
    },
    /// Run the simulator from many seeds: the long form of the suite.
    Sim {
        /// First seed.
        #[arg(long, visible_alias = "from", default_value_t = 1)]
        seed: u64,
        /// Seed after seed, of 400 steps each, until so many crash recoveries were checked; on all processors.
        #[arg(long, value_name = "N", conflicts_with_all = ["runs", "steps"])]
        recoveries: Option<u64>,
        /// Then seeds of long sessions, until so many operations of clients were checked in all.
        #[arg(long, value_name = "N", default_value_t = 0, requires = "recoveries")]
        operations: u64,
        /// Go on with the simulator that a run from this seed was begun with, though the code has changed since.
        #[arg(long, requires = "recoveries")]
        kept: bool,
        /// Number of seeds.
        #[arg(long, default_value_t = 1000)]
        runs: u64,
        /// Steps of each run.
        #[arg(long, default_value_t = 2000)]
        steps: u64,
    },
    /// Crash one simulated trace at every event of it, with every single fault of a list.
    SimEnumerate {
        /// Seed of the trace.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Operations of the trace.
        #[arg(long, default_value_t = 200)]
        operations: u64,
        /// Strike disks at work after every N-th event of a share.
        #[arg(long, value_name = "N", default_value_t = 8)]
        strike_every: u64,
        /// Interrupt starts at each of their steps after every N-th event of a share.
        #[arg(long, value_name = "N", default_value_t = 8)]
        cut_again_every: u64,
        /// Interrupt the starts after these too, after every N-th event of a share.
        #[arg(long, value_name = "N", default_value_t = 256)]
        cut_twice_every: u64,
    },
    /// Switch on each of the engine's planted bugs and let the simulator find it.
    Mutants,
    /// Mutate golden media against every decoder: the long form of the share in `units`.
    Fuzz {
        /// Cases per target.
        #[arg(long, default_value_t = 2_000_000)]
        cases: u64,
        /// Seed; a fresh one without it.
        #[arg(long)]
        seed: Option<u64>,
        /// Only this target.
        #[arg(long)]
        target: Option<String>,
    },
    /// Write the golden media of the format again (only while the format is a draft).
    Golden,
    /// Execute the pages for backup clients as they are written.
    Docs {
        /// Only these pages of docs/clients, without `.md`.
        pages: Vec<String>,
    },
    /// Measure the vault beside the bare disk and the bare primitives.
    Bench(BenchArguments),
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct BenchArguments {
    #[command(subcommand)]
    what: Option<BenchTask>,
    /// Interleaved runs of every measurement.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Put tables and plots into docs.
    #[arg(long)]
    write: bool,
    /// Only measurements whose names contain this, as `PUT 64 MiB`; nothing is recorded.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["write", "disk", "figures"])]
    only: Option<String>,
    /// Only a disk of ours beside bare system calls and fio.
    #[arg(long, conflicts_with_all = ["write", "figures"])]
    disk: bool,
    /// What the engine has to reach, beside its yardsticks, instead of the vault over TLS.
    #[arg(long)]
    figures: bool,
    /// With --figures: only this part; may be repeated.
    #[arg(long = "part", requires = "figures")]
    parts: Vec<String>,
    /// With --figures: also what takes many minutes.
    #[arg(long, requires = "figures")]
    long: bool,
    /// With --figures: just enough to see that everything works, in seconds; nothing is recorded.
    #[arg(long, requires = "figures", conflicts_with_all = ["write", "long"])]
    smoke: bool,
    /// With --figures: measure nothing, only make tables and plots of what is recorded.
    #[arg(long, requires = "figures", conflicts_with_all = ["write", "smoke", "long", "parts"])]
    redraw: bool,
}

#[derive(Subcommand)]
enum BenchTask {
    /// The vault beside Ceph's RADOS gateway and SeaweedFS, in one run.
    Peers(bench::peers::Wishes),
    /// What thousands of connections that do next to nothing cost an honest client.
    SlowSockets(bench::slow::Wishes),
    /// The slowest of small PUTs by 16 clients beside a flush, on disks whose flushes take as long as is asked for.
    Tail(bench::tail::Wishes),
}

#[derive(Args)]
struct TestArguments {
    /// Only the inner loop: lints without documentation, and unit tests.
    #[arg(long)]
    quick: bool,
    /// Only these suites.
    #[arg(long = "suite", value_enum)]
    suites: Vec<SuiteName>,
    /// Of the clients only these, and no other suite; may be repeated.
    #[arg(long = "client", value_parser = clap::builder::PossibleValuesParser::new(clients::names()))]
    clients: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SuiteName {
    Lints,
    Units,
    Sim,
    Damage,
    Crash,
    Powercut,
    Oracles,
    Clients,
}

/// Cheap ones first, so that most failures show early.
const ORDER: [SuiteName; 8] = [
    SuiteName::Lints,
    SuiteName::Units,
    SuiteName::Crash,
    SuiteName::Powercut,
    SuiteName::Damage,
    SuiteName::Oracles,
    SuiteName::Clients,
    SuiteName::Sim,
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Workspace::find(arguments.keep).and_then(|workspace| run(&workspace, arguments.task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(workspace: &Workspace, task: Task) -> Outcome {
    match task {
        Task::Test(arguments) => test(workspace, &arguments),
        Task::Tidy => {
            let mut ledger = Ledger::open("tidy", workspace.ci);
            tidy::cases(workspace, &mut ledger);
            verdict(&[ledger.close()])
        }
        Task::Crash { rounds, seed } => {
            let seed = seed.unwrap_or_else(rng::fresh_seed);
            verdict(&[crash::run(workspace, &workspace.build()?, rounds, seed)])
        }
        Task::Powercut { rounds, seed } => {
            let seed = seed.unwrap_or_else(rng::fresh_seed);
            let programs = workspace.build()?;
            verdict(&[powercut::run(workspace, &programs, rounds, seed)])
        }
        Task::Damage { seed } => {
            let seed = seed.unwrap_or_else(rng::fresh_seed);
            verdict(&[damage::run(workspace, &workspace.build()?, seed)])
        }
        Task::Soak {
            minutes,
            seed,
            index_cache_mib,
        } => {
            let wish = soak::Wish {
                minutes,
                seed: seed.unwrap_or_else(rng::fresh_seed),
                index_cache_mib,
            };
            verdict(&[soak::run(workspace, &workspace.build()?, &wish)])
        }
        Task::Sim {
            seed,
            recoveries: Some(recoveries),
            operations,
            kept,
            ..
        } => campaign::run(
            workspace,
            seed,
            Goal {
                recoveries,
                operations,
            },
            kept,
        ),
        Task::Sim {
            seed, runs, steps, ..
        } => sim::long(workspace, seed, runs, steps),
        Task::SimEnumerate {
            seed,
            operations,
            strike_every,
            cut_again_every,
            cut_twice_every,
        } => {
            let every = [strike_every, cut_again_every, cut_twice_every];
            sim::enumerate(workspace, seed, operations, every)
        }
        Task::Mutants => mutants::run(workspace),
        Task::Fuzz {
            cases,
            seed,
            target,
        } => fuzzing(workspace, cases, seed, target.as_deref()),
        Task::Golden => workspace
            .cargo(&[
                "test",
                "--release",
                "--package",
                "stele-format",
                "--test",
                "golden",
            ])
            .env("STELE_GOLDEN_REGENERATE", "1")
            .stream(),
        Task::Docs { pages } => {
            let all = docs::PAGES.iter().chain(&docs::CEREMONIES);
            let known: Vec<&str> = all.map(|page| page.name).collect();
            let unknown = pages.iter().find(|name| !known.contains(&name.as_str()));
            ensure(unknown.is_none(), || {
                format!("no such page; there are {}", known.join(", "))
            })?;
            verdict(&[docs::run(workspace, &workspace.build()?, &pages)])
        }
        Task::Bench(arguments) => benchmark(workspace, arguments),
    }
}

fn benchmark(workspace: &Workspace, arguments: BenchArguments) -> Outcome {
    match &arguments.what {
        Some(BenchTask::Peers(wishes)) => return bench::peers::run(workspace, wishes),
        Some(BenchTask::SlowSockets(wishes)) => return bench::slow::run(workspace, wishes),
        Some(BenchTask::Tail(wishes)) => return bench::tail::run(workspace, wishes),
        None => {}
    }
    let BenchArguments { rounds, write, .. } = arguments;
    if arguments.disk {
        return bench::disk(workspace, rounds);
    }
    if arguments.redraw {
        return bench::figures::again(workspace);
    }
    if !arguments.figures {
        return bench::run(workspace, rounds, arguments.only.as_deref(), write);
    }
    let wishes = bench::figures::Wishes {
        rounds,
        parts: arguments.parts,
        long: arguments.long,
        smoke: arguments.smoke,
        write,
    };
    bench::figures::run(workspace, &wishes)
}

fn fuzzing(workspace: &Workspace, cases: u64, seed: Option<u64>, target: Option<&str>) -> Outcome {
    let known = fuzz::names();
    ensure(target.is_none_or(|name| known.contains(&name)), || {
        format!("no such target; there are {}", known.join(", "))
    })?;
    let mut ledger = Ledger::open("fuzz", workspace.ci);
    let seed = seed.unwrap_or_else(rng::fresh_seed);
    fuzz::run(workspace, &mut ledger, cases, seed, target);
    verdict(&[ledger.close()])
}

fn test(workspace: &Workspace, arguments: &TestArguments) -> Outcome {
    let started = Instant::now();
    let wanted = |name: &SuiteName| match (arguments.quick, arguments.suites.as_slice()) {
        _ if !arguments.clients.is_empty() => *name == SuiteName::Clients,
        (_, chosen) if !chosen.is_empty() => chosen.contains(name),
        (true, _) => matches!(name, SuiteName::Lints | SuiteName::Units),
        (false, _) => true,
    };
    let mut programs = None;
    let mut closed = Vec::new();
    for name in ORDER.into_iter().filter(wanted) {
        match name {
            SuiteName::Lints => closed.push(lints::run(workspace, arguments.quick)),
            SuiteName::Units => closed.push(units::run(workspace)),
            _ => {
                if programs.is_none() {
                    programs = Some(workspace.build()?);
                }
                if let Some(programs) = &programs {
                    closed.push(against_programs(
                        workspace,
                        programs,
                        name,
                        &arguments.clients,
                    ));
                }
            }
        }
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!("== all suites took {minutes:.1} min");
    verdict(&closed)
}

fn against_programs(
    workspace: &Workspace,
    programs: &Programs,
    name: SuiteName,
    only: &[String],
) -> Closed {
    let seed = rng::fresh_seed();
    match name {
        SuiteName::Crash => crash::run(workspace, programs, crash::ROUNDS_SHARE, seed),
        SuiteName::Powercut => powercut::run(workspace, programs, powercut::ROUNDS_SHARE, seed),
        SuiteName::Damage => damage::run(workspace, programs, seed),
        SuiteName::Oracles => oracles::run(workspace, programs),
        SuiteName::Clients => clients::run(workspace, programs, only),
        SuiteName::Lints | SuiteName::Units | SuiteName::Sim => sim::run(workspace, programs),
    }
}

/// Says how the suites went altogether; fails unless all of them are good.
fn verdict(closed: &[Closed]) -> Outcome {
    let bad: Vec<&str> = closed
        .iter()
        .filter(|one| !one.good())
        .map(|one| one.suite)
        .collect();
    if !bad.is_empty() {
        return Err(Failure::new(format!("not good: {}", bad.join(", "))));
    }
    println!(
        "all good: {}",
        closed
            .iter()
            .map(|one| one.suite)
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}
