//! What everything in a run shares: chance, trace, counts, true time.

use stele_device::clock::Clock;
use stele_device::sim::clock::SimClock;
use stele_store::request::Command;

use crate::dropped::Dropped;
use crate::error::Violation;
use crate::limits::BETWEEN_ANSWERS_MS_MAX;
use crate::plant::Plant;
use crate::report::Report;
use crate::rng::{Rng, mix};
use crate::run::Settings;
use crate::trace::Trace;

/// Shared by everything in the run of one seed.
pub struct Context {
    /// The one source of chance.
    pub rng: Rng,
    /// The running digest.
    pub trace: Trace,
    /// Counts.
    pub report: Report,
    seed: u64,
    /// Chances so far: operations, faults and power cuts that could be left out.
    chances: u64,
    dropped: Dropped,
    /// A bug planted on purpose.
    pub plant: Option<Plant>,
    /// Whether to print what happens.
    pub show: bool,
    /// Occasions at which the disks are inspected, permille.
    pub inspect_permille: u64,
    /// Questions refused for damage in the present check.
    pub damaged: u64,
    /// A disk does not do what it says just now, which the index cannot see.
    pub index_at_risk: bool,
    /// A disk was hurt, and the vault takes no writes until it is started again, which it does by itself.
    pub stranded: bool,
    /// Where the disks of a failing run are written.
    pub images: Option<std::path::PathBuf>,
    /// The clock of the machine.
    pub clock: SimClock,
    /// Milliseconds of power-on time of earlier starts plus those spent off.
    true_before_ms: u64,
    compliance_ms: u64,
    wall_peak_ms: u64,
}

impl Context {
    /// The start of a run.
    #[must_use]
    pub fn new(seed: u64, settings: &Settings) -> Self {
        let Settings {
            plant,
            show,
            inspect_permille,
            ref images,
            ref dropped,
            ..
        } = *settings;
        Self {
            rng: Rng::new(seed),
            seed,
            chances: 0,
            dropped: dropped.clone(),
            trace: Trace::default(),
            report: Report {
                seeds: 1,
                ..Report::default()
            },
            plant,
            show,
            inspect_permille,
            damaged: 0,
            index_at_risk: false,
            stranded: false,
            images: images.clone(),
            clock: SimClock::new(crate::limits::FIRST_WALL_MS),
            true_before_ms: crate::limits::FIRST_WALL_MS,
            compliance_ms: 0,
            wall_peak_ms: 0,
        }
    }

    /// For a copy of the machine as it is now: the same moment, and a source of chance of its own.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let monotonic_ms = self.clock.monotonic_ms();
        let clock = SimClock::new(self.clock.wall_ms().saturating_sub(monotonic_ms));
        clock.advance(monotonic_ms);
        Self {
            rng: Rng::new(seed),
            seed: self.seed,
            chances: 0,
            dropped: Dropped::default(),
            trace: Trace::default(),
            report: Report::default(),
            plant: self.plant,
            show: self.show,
            inspect_permille: self.inspect_permille,
            damaged: 0,
            index_at_risk: false,
            stranded: false,
            images: self.images.clone(),
            clock,
            true_before_ms: self.true_before_ms,
            compliance_ms: self.compliance_ms,
            wall_peak_ms: self.wall_peak_ms,
        }
    }

    /// Pool number `life` begins, on its own source of chance and at the first moment of all: what went
    /// before it changes nothing in it.
    pub fn begin_life(&mut self, life: u64) {
        self.rng = Rng::new(mix(self.seed) ^ life);
        self.clock = SimClock::new(crate::limits::FIRST_WALL_MS);
        self.true_before_ms = crate::limits::FIRST_WALL_MS;
        self.compliance_ms = 0;
        self.wall_peak_ms = 0;
    }

    /// One chance: something that may also be left out. It draws from a source of its own, so that what
    /// it does or whether it is left out does not shift the draws of anything else.
    pub fn chance<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let mut own = Rng::new(self.rng.next());
        let number = self.chances;
        self.chances += 1;
        if self.dropped.contains(number) {
            return None;
        }
        std::mem::swap(&mut self.rng, &mut own);
        let done = act(self);
        std::mem::swap(&mut self.rng, &mut own);
        Some(done)
    }

    /// Chances so far.
    #[must_use]
    pub fn chances(&self) -> u64 {
        self.chances
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

    /// The time it really is, whatever the clocks say, or what it was set forward to.
    #[must_use]
    pub fn true_ms(&self) -> u64 {
        self.true_before_ms + self.clock.monotonic_ms()
    }

    /// Compliance time may be set forward by so much.
    pub fn may_advance(&mut self, by_ms: u64) {
        self.true_before_ms += by_ms;
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

    /// The latest that the wall clock may have shown in this pool when something was stored: it is looked at whenever
    /// something is asked or answered, and it does not go far in between.
    pub fn wall_peak_ms(&mut self) -> u64 {
        let now_ms = self.clock.wall_ms().saturating_add(BETWEEN_ANSWERS_MS_MAX);
        self.wall_peak_ms = self.wall_peak_ms.max(now_ms);
        self.wall_peak_ms
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
        let piece = match command {
            Command::PutData { piece, .. } => Some(piece),
            Command::Put { whole, .. } => whole.piece.as_ref(),
            _ => None,
        };
        if let Some(piece) = piece {
            let end = piece.start + piece.len;
            self.trace
                .bytes(piece.buffer.get(piece.start..end).unwrap_or_default());
        }
    }
}
