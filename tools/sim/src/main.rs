//! `stele-sim`: runs seeds and says by its exit status whether every promise was kept.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use stele_sim::cli::{Cli, Enumerate, SeedRange, Task};
use stele_sim::life::enumeration::{Extent, enumerate};
use stele_sim::report::Report;
use stele_sim::run::{Outcome, Settings, hush_panics, run};
use stele_sim::shrink::shrink;
use stele_sim::swarm::Extras;
use stele_sim::trace::{Trace, hex};
use stele_store::plants::Plant;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Task::Enumerate(wanted)) = &cli.task {
        return enumeration(wanted);
    }
    if let Some(bug) = &cli.bug
        && let Err(refusal) = switch_on(bug)
    {
        return refusal;
    }
    hush_panics();
    let settings = Settings {
        steps: cli.steps,
        life: cli.life,
        dropped: cli.drop.clone().unwrap_or_default(),
        extras: Extras {
            subsets: cli.subsets,
            people: cli.people,
            long: cli.long,
        },
        plant: cli.plant,
        show: cli.show,
        inspect_permille: cli.inspect,
        images: cli.images.clone(),
        recoveries_max: cli.crashes.unwrap_or(u64::MAX),
    };
    let (report, trace) = run_seeds(&cli, &settings);
    if !cli.quiet {
        println!("{report}");
    }
    println!("trace {}", hex(&trace));
    if report.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Counts through one trace.
fn enumeration(wanted: &Enumerate) -> ExitCode {
    if let Some(Err(refusal)) = wanted.bug.as_deref().map(switch_on) {
        return refusal;
    }
    hush_panics();
    let settings = Settings {
        show: wanted.show,
        inspect_permille: wanted.inspect,
        images: wanted.images.clone(),
        ..Settings::default()
    };
    let extent = Extent {
        operations: wanted.operations,
        from: wanted.from,
        to: wanted.to,
        share: (wanted.share.number, wanted.share.of),
        only: wanted.only.clone(),
        cut_again_every: wanted.cut_again_every.max(1),
        cut_twice_every: wanted.cut_twice_every.max(1),
        strike_every: wanted.strike_every.max(1),
    };
    let found = match enumerate(wanted.seed, &extent, &settings) {
        Ok(found) => found,
        Err(violation) => {
            println!(
                "FAILED the trace of seed {} itself: {violation}",
                wanted.seed
            );
            return ExitCode::FAILURE;
        }
    };
    for (event, fault, violation) in &found.failures {
        println!("FAILED at event {event}, {fault}: {violation}");
        println!(
            "reproduce: stele-sim enumerate --seed {} --operations {} --from {event} --to {} --only {fault} \
             --cut-again-every 1 --cut-twice-every 1 --strike-every 1 --inspect {} --show",
            wanted.seed,
            wanted.operations,
            event + 1,
            wanted.inspect
        );
    }
    println!("{found}");
    println!("trace {}", hex(&found.trace));
    match found.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Switches on a bug of the engine, or prints their names.
fn switch_on(name: &str) -> Result<(), ExitCode> {
    if name == "list" {
        Plant::ALL
            .iter()
            .for_each(|plant| println!("{}", plant.name()));
        return Err(ExitCode::SUCCESS);
    }
    let Some(plant) = Plant::named(name) else {
        eprintln!("stele-sim: there is no bug {name}; --bug list names them");
        return Err(ExitCode::from(2));
    };
    plant_bug(plant)
}

#[cfg(feature = "plants")]
fn plant_bug(plant: Plant) -> Result<(), ExitCode> {
    stele_store::plants::switch_on(plant);
    Ok(())
}

#[cfg(not(feature = "plants"))]
fn plant_bug(plant: Plant) -> Result<(), ExitCode> {
    eprintln!(
        "stele-sim: {} can only be switched on in a build with --features plants",
        plant.name()
    );
    Err(ExitCode::from(2))
}

/// Runs every seed asked for. The trace of several is the digest of theirs.
fn run_seeds(cli: &Cli, settings: &Settings) -> (Report, [u8; 32]) {
    let many = cli.recoveries.is_some() || cli.until_found.is_some();
    let single = cli.seeds.is_none() && !many;
    let range = match cli.seeds {
        Some(range) => range,
        None if many => SeedRange {
            first: cli.seed,
            end: u64::MAX,
        },
        None => SeedRange {
            first: cli.seed,
            end: cli.seed.saturating_add(1),
        },
    };
    let enough = cli.recoveries.unwrap_or(u64::MAX);
    let mut report = Report::default();
    let mut traces = Trace::default();
    let mut last = traces.digest();
    for seed in range.first..range.end {
        let outcome = run(seed, settings);
        report.add(&outcome.report);
        tell(seed, cli, settings, &outcome, (report.steps, report.work));
        traces.bytes(&outcome.trace);
        last = outcome.trace;
        let found = |events: u64| report.failed > 0 || report.work >= events;
        if report.recoveries >= enough || cli.until_found.is_some_and(found) {
            break;
        }
    }
    (report, if single { last } else { traces.digest() })
}

/// Says how a seed failed and how to see it fail again, made smaller where that was asked for.
fn tell(seed: u64, cli: &Cli, settings: &Settings, outcome: &Outcome, (events, work): (u64, u64)) {
    let Some(violation) = &outcome.violation else {
        return;
    };
    println!("FAILED seed {seed} after {events} events, {work} of them work: {violation}");
    println!("reproduce: {}", command(seed, cli, settings, outcome));
    if cli.shrink
        && let Some(smallest) = shrink(seed, settings, outcome)
    {
        println!(
            "smallest: {} of {} chances left after {} runs: {}",
            smallest.kept,
            outcome.chances,
            smallest.runs,
            smallest
                .outcome
                .violation
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        );
        println!(
            "reproduce: {}",
            command(seed, cli, &smallest.settings, outcome)
        );
    }
}

/// The command that runs a seed again as it ran here.
fn command(seed: u64, cli: &Cli, settings: &Settings, outcome: &Outcome) -> String {
    let mut command = format!("stele-sim --seed {seed} --inspect {}", cli.inspect);
    let mut add = |text: String| command.push_str(&text);
    match settings.dropped.is_empty() {
        // Pools are independent of each other: the one that failed is enough.
        true => {
            let (life, steps) = outcome.last_life;
            add(format!(" --life {life} --steps {steps}"));
        }
        false => {
            add(format!(
                " --steps {} --drop {}",
                settings.steps, settings.dropped
            ));
            if let Some(life) = settings.life {
                add(format!(" --life {life}"));
            }
        }
    }
    if let Some(crashes) = cli.crashes {
        add(format!(" --crashes {crashes}"));
    }
    if let Some(plant) = &cli.plant
        && let Some(value) = clap::ValueEnum::to_possible_value(plant)
    {
        add(format!(" --plant {}", value.get_name()));
    }
    if let Some(bug) = &cli.bug {
        add(format!(" --bug {bug}"));
    }
    if cli.subsets {
        add(" --subsets".to_owned());
    }
    if cli.people {
        add(" --people".to_owned());
    }
    if cli.long {
        add(" --long".to_owned());
    }
    add(" --show".to_owned());
    command
}
