//! What everything in a run shares: chance, trace, counts, true time.

use stele_device::clock::Clock;
use stele_device::sim::clock::SimClock;
use stele_store::request::Command;

use crate::error::Violation;
use crate::plant::Plant;
use crate::report::Report;
use crate::rng::Rng;
use crate::trace::Trace;

/// Shared by everything in the run of one seed.
pub struct Context {
    /// The one source of chance.
    pub rng: Rng,
    /// The running digest.
    pub trace: Trace,
    /// Counts.
    pub report: Report,
    /// A bug planted on purpose.
    pub plant: Option<Plant>,
    /// Whether to print what happens.
    pub show: bool,
    /// Occasions at which the disks are inspected, permille.
    pub inspect_permille: u64,
    /// Where the disks of a failing run are written.
    pub images: Option<std::path::PathBuf>,
    /// The clock of the machine.
    pub clock: SimClock,
    /// Milliseconds of power-on time of earlier starts plus those spent off.
    true_before_ms: u64,
    compliance_ms: u64,
}

impl Context {
    /// The start of a run.
    #[must_use]
    pub fn new(seed: u64, plant: Option<Plant>, show: bool, inspect_permille: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            trace: Trace::default(),
            report: Report {
                seeds: 1,
                ..Report::default()
            },
            plant,
            show,
            inspect_permille,
            images: None,
            clock: SimClock::new(crate::limits::FIRST_WALL_MS),
            true_before_ms: crate::limits::FIRST_WALL_MS,
            compliance_ms: 0,
        }
    }

    /// A new pool begins: with the wall clock right, as its creation requires.
    pub fn new_pool(&mut self) {
        let true_ms = self.true_ms();
        self.clock.jump_wall(true_ms);
        self.compliance_ms = 0;
    }

    /// The machine was off for so long and starts again.
    pub fn reboot(&mut self, off_ms: u64) {
        self.true_before_ms = self.true_ms() + off_ms;
        self.clock
            .jump_wall(self.clock.wall_ms().saturating_add(off_ms));
        self.clock.reboot();
        // What the last process knew beyond its records died with it.
        self.compliance_ms = 0;
    }

    /// The time it really is, whatever the clocks say.
    #[must_use]
    pub fn true_ms(&self) -> u64 {
        self.true_before_ms + self.clock.monotonic_ms()
    }

    /// Compliance time never runs ahead of true time nor back within a process.
    ///
    /// # Errors
    /// When it did.
    pub fn check_clock(&mut self, compliance_ms: u64) -> Result<(), Violation> {
        let (before_ms, true_ms) = (self.compliance_ms, self.true_ms());
        if compliance_ms < before_ms || compliance_ms > true_ms {
            return Err(Violation::Clock {
                compliance_ms,
                before_ms,
                true_ms,
            });
        }
        self.compliance_ms = compliance_ms;
        Ok(())
    }

    /// Compliance time as last told.
    #[must_use]
    pub fn compliance_ms(&self) -> u64 {
        self.compliance_ms
    }

    /// Says what happens, to the trace and to whoever watches.
    pub fn say(&mut self, what: std::fmt::Arguments<'_>) {
        if self.show {
            println!("{:>8} {what}", self.report.steps);
        }
        self.trace.note(what);
    }

    /// Content that goes in counts for the trace.
    pub fn trace_command(&mut self, command: &Command) {
        if let Command::PutData { piece, .. } = command {
            let end = piece.start + piece.len;
            self.trace
                .bytes(piece.buffer.get(piece.start..end).unwrap_or_default());
        }
    }
}
