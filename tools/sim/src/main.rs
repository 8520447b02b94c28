//! `stele-sim`: runs seeds and says by its exit status whether every promise was kept.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use stele_sim::cli::{Cli, SeedRange};
use stele_sim::report::Report;
use stele_sim::run::{Outcome, Settings, hush_panics, run};
use stele_sim::trace::{Trace, hex};

fn main() -> ExitCode {
    let cli = Cli::parse();
    hush_panics();
    let settings = Settings {
        steps: cli.steps,
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

/// Runs every seed asked for. The trace of several is the digest of theirs.
fn run_seeds(cli: &Cli, settings: &Settings) -> (Report, [u8; 32]) {
    let single = cli.seeds.is_none() && cli.recoveries.is_none();
    let range = match (cli.seeds, cli.recoveries) {
        (Some(range), _) => range,
        (None, Some(_)) => SeedRange {
            first: cli.seed,
            end: u64::MAX,
        },
        (None, None) => SeedRange {
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
        tell(seed, cli, &outcome);
        report.add(&outcome.report);
        traces.bytes(&outcome.trace);
        last = outcome.trace;
        if report.recoveries >= enough {
            break;
        }
    }
    (report, if single { last } else { traces.digest() })
}

/// Says how a seed failed and how to see it fail again.
fn tell(seed: u64, cli: &Cli, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else {
        return;
    };
    println!(
        "FAILED seed {seed} after {} events: {violation}",
        outcome.report.steps
    );
    let plant = match cli.plant {
        Some(plant) => format!(
            " --plant {}",
            clap::ValueEnum::to_possible_value(&plant)
                .map_or_else(String::new, |value| value.get_name().to_owned())
        ),
        None => String::new(),
    };
    let crashes = cli
        .crashes
        .map_or_else(String::new, |crashes| format!(" --crashes {crashes}"));
    println!(
        "reproduce: stele-sim --seed {seed} --steps {} --inspect {}{crashes}{plant} --show",
        cli.steps, cli.inspect
    );
}
