//! Seeds: one run each, and many in a row.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::context::Context;
use crate::error::Violation;
use crate::life::Life;
use crate::plant::Plant;
use crate::report::Report;

/// What a run may do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events of work.
    pub steps: u64,
    /// A bug planted on purpose.
    pub plant: Option<Plant>,
    /// Whether to print what happens.
    pub show: bool,
    /// Occasions at which the disks are inspected, permille.
    pub inspect_permille: u64,
    /// Where the disks of a failing run are written.
    pub images: Option<std::path::PathBuf>,
    /// Crash recoveries after which the run ends, at the end of its pool.
    pub recoveries_max: u64,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Digest of everything that happened.
    pub trace: [u8; 32],
    /// Counts.
    pub report: Report,
    /// The first broken promise.
    pub violation: Option<Violation>,
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics of the engine quiet: they are findings, and the index library's own are caught.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        LAST_PANIC.with(|last| *last.borrow_mut() = text);
    }));
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, settings: &Settings) -> Outcome {
    let Settings {
        plant,
        show,
        inspect_permille,
        ..
    } = *settings;
    let mut context = Context::new(seed, plant, show, inspect_permille);
    context.images.clone_from(&settings.images);
    let mut steps_left = settings.steps;
    let lived = catch_unwind(AssertUnwindSafe(|| {
        lives(&mut context, &mut steps_left, settings)
    }));
    let violation = match lived {
        Ok(result) => result.err(),
        Err(_) => {
            let message = LAST_PANIC.with(|last| last.borrow().replace('\n', " "));
            Some(Violation::Panic { message })
        }
    };
    if violation.is_some() {
        context.report.failed = 1;
    }
    Outcome {
        trace: context.trace.digest(),
        report: context.report,
        violation,
    }
}

fn lives(
    context: &mut Context,
    steps_left: &mut u64,
    settings: &Settings,
) -> Result<(), Violation> {
    while *steps_left > 0 && context.report.recoveries < settings.recoveries_max {
        Life::new(context, steps_left).live()?;
    }
    Ok(())
}
