//! An engine that is started again while its process goes on serving: why, and what it takes over from the one before.

use super::Engine;
use crate::request::StreamId;
use crate::status::StartedFor;

impl Engine {
    /// Whether the engine is to be opened again so that keys are cut.
    #[must_use]
    pub fn is_cut_wanted(&self) -> bool {
        self.cut_wanted
    }

    /// Whether nothing is written only because the journal lies on too few of the disks that are left, as when one
    /// fails while another is slow: a start moves it to them.
    #[must_use]
    pub fn is_journal_stranded(&self) -> bool {
        self.stranded
    }

    /// Takes over from the engine that could not go on: its counts, alarms and clock, and its numbers, so that nobody who
    /// still has one of a stream of that engine is taken for the owner of another.
    pub fn take_over_from(&mut self, before: &Engine, why: StartedFor) {
        self.next_number = self.next_number.max(before.next_number);
        self.refused.after(StreamId(self.next_number));
        self.counters = before.counters;
        // The journal states the clock of its last record; time went on since.
        let mut clock = before.clock.clone();
        if clock.now(self.now.monotonic_ms) > self.clock.latest() {
            self.clock = clock;
        }
        self.alarms = before.alarms.clone();
        self.attempts = before.attempts.clone();
        let known = before.receipts.known();
        if !known.is_empty() {
            self.sign_with(known.to_vec());
        }
        self.receipts.remember_those_of(&before.receipts);
        if why != StartedFor::JournalStranded {
            self.alarms.index_rebuilt(self.clock.latest());
        }
    }
}
