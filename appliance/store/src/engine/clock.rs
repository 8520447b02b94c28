//! The clocks of the engine, and what happens to them in the log.

use stele_format::label::VaultFlags;
use stele_format::record::{Body, ClockEvent, ClockEventKind, RecordType};
use stele_format::units::{LogIndex, UnixMillis};

use super::Engine;
use super::commands::{After, Facts, Outcome};
use crate::draft::{Draft, Origin};
use crate::policy::limits::CLOCK_ADVANCE_MS_MAX;
use crate::policy::{EffectiveTime, effective_time};
use crate::request::Refusal;

impl Engine {
    /// The compliance clock as it was at the last step.
    #[must_use]
    pub fn compliance(&self) -> UnixMillis {
        self.clock.latest()
    }

    pub(crate) fn time(&self) -> EffectiveTime {
        let compliance = self.clock.latest();
        // Where compliance time is set forward for tests, the machine's clock cannot follow: it counts as one
        // that did.
        let wall = if self.is_clock_simulated() {
            self.now.wall.max(compliance)
        } else {
            self.now.wall
        };
        effective_time(compliance, wall)
    }

    /// Records when the wall clock leaves the span around compliance time in which it counts, and when it comes back.
    pub(super) fn watch_clocks(&mut self) {
        self.watch_drift();
        let left = self.time().wall_alarm;
        if left == self.wall_left || self.read_only.is_some() {
            return;
        }
        self.wall_left = left;
        let kind = if left {
            ClockEventKind::WallLeft
        } else {
            ClockEventKind::WallReturned
        };
        let event = ClockEvent {
            kind,
            before_ms: self.clock.latest(),
            request: None,
        };
        let draft = Draft::of_engine(RecordType::Clock, Body::Clock(event));
        self.journal.push_own(draft);
        self.alarms.wall_clock(left, self.clock.latest());
    }

    /// Tells of a wall clock that runs otherwise than compliance time; retention knows nothing of it.
    fn watch_drift(&mut self) {
        let now = self.clock.latest();
        if self.is_clock_simulated() {
            return;
        }
        if let Some(ms) = self.drift.look(now, self.now.wall) {
            self.alarms.clock_drift(ms, now);
        }
    }

    /// Whether the vault was made with a clock that tests set.
    pub(super) fn is_clock_simulated(&self) -> bool {
        let flags = VaultFlags::new(self.pool.flags);
        flags.is_some_and(|flags| flags.contains(VaultFlags::SIMULATED_CLOCK))
    }

    /// Sets compliance time forward in a vault whose clock is simulated; the record follows.
    pub(super) fn advance_simulated(&mut self, by_ms: u64) -> Result<(), Refusal> {
        if !self.is_clock_simulated() {
            return Err(Refusal::ClockNotSimulated);
        }
        if by_ms > CLOCK_ADVANCE_MS_MAX {
            return Err(Refusal::ClockTooFar);
        }
        self.clock.advance(by_ms);
        Ok(())
    }
}

/// The record of an advance that was made.
pub(super) fn advanced(facts: &Facts<'_>, by_ms: u64) -> Outcome {
    let before = facts.asked.get().saturating_sub(by_ms);
    moved(facts, ClockEventKind::Simulated, before, None)
}

/// The record of a clock that was set forward.
pub(super) fn moved(
    facts: &Facts<'_>,
    kind: ClockEventKind,
    before: u64,
    request: Option<LogIndex>,
) -> Outcome {
    let event = ClockEvent {
        kind,
        before_ms: UnixMillis::new(before),
        request,
    };
    let mut draft = Draft::of_engine(RecordType::Clock, Body::Clock(event));
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    Outcome::Write(vec![draft], After::Recorded)
}
