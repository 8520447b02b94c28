//! Seeds: one run each, and many in a row.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::context::Context;
use crate::dropped::Dropped;
use crate::error::Violation;
use crate::life::Life;
use crate::plant::Plant;
use crate::report::Report;
use crate::swarm::Extras;

/// What a run may do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The only pool to live, by number; none for all.
    pub life: Option<u64>,
    /// Chances left out.
    pub dropped: Dropped,
    /// Draws that are off unless asked for.
    pub extras: Extras,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            life: None,
            dropped: Dropped::default(),
            extras: Extras::default(),
            steps: 2_000,
            plant: None,
            show: false,
            inspect_permille: 100,
            images: None,
            recoveries_max: u64::MAX,
        }
    }
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
    /// Chances there were.
    pub chances: u64,
    /// The pool it ended in, and the events of work that were left when that began.
    pub last_life: (u64, u64),
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
    let mut context = Context::new(seed, settings);
    let mut last_life = (0, 0);
    let lived = caught(|| lives(&mut context, &mut last_life, settings));
    let violation = lived.err();
    if violation.is_some() {
        context.report.failed = 1;
    }
    Outcome {
        trace: context.trace.digest(),
        chances: context.chances(),
        report: context.report,
        violation,
        last_life,
    }
}

/// What came of something in which the engine may panic.
///
/// # Errors
/// Its own, or the panic.
pub fn caught<T>(act: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
        let message = LAST_PANIC.with(|last| last.borrow().replace('\n', " "));
        Err(Violation::Panic { message })
    })
}

fn lives(
    context: &mut Context,
    last_life: &mut (u64, u64),
    settings: &Settings,
) -> Result<(), Violation> {
    let mut steps_left = settings.steps;
    let first = settings.life.unwrap_or(0);
    for life in first.. {
        if steps_left == 0 || context.report.recoveries >= settings.recoveries_max {
            break;
        }
        *last_life = (life, steps_left);
        context.begin_life(life);
        Life::new(context, &mut steps_left, settings.extras).live()?;
        if settings.life.is_some() {
            break;
        }
    }
    Ok(())
}
