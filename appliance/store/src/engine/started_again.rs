//! An engine that is started again while its process goes on serving: why, and what it takes over from the one before.

use super::Engine;
use super::drain::Drain;
use crate::areas::AreaFailures;
use crate::pool::Pool;
use crate::request::{Refusal, RequestId, StreamId};

impl Engine {
    /// Whether the engine is to be opened again so that keys are cut. The index is made anew then, which takes the whole
    /// journal.
    #[must_use]
    pub fn is_cut_wanted(&self) -> bool {
        let mut awaited = self.cut_with.iter();
        let came = awaited.any(|disk| self.pool.active_slot(*disk).is_some());
        !self.relabelling && (came || self.cut_wanted && !self.pool.lacks_journal())
    }

    /// Whether nothing is written only because the journal lies on too few of the disks that are left, as when one
    /// fails while another is slow: a start moves it to them.
    #[must_use]
    pub fn is_journal_stranded(&self) -> bool {
        self.stranded
    }

    /// Whether the engine is to be opened again so that the journal is moved. Not while a disk that is needed then
    /// still has something to finish: it catches up, or is put out in its time, and then a start would change nothing.
    #[must_use]
    pub fn is_move_wanted(&self) -> bool {
        let mut needed = self.pool.active().filter_map(|member| member.slot);
        self.stranded && !needed.any(|slot| self.io.is_behind(slot))
    }

    /// Whether the engine is to be opened again since a disk takes part by now whose content the last start could not
    /// read.
    #[must_use]
    pub fn is_reading_wanted(&self) -> bool {
        let settled = self.fill.is_none() && !self.relabelling && self.read_only.is_none();
        let leaving = self.drain.as_ref().map(Drain::disk);
        settled && self.pool.has_unread_here(leaving)
    }

    /// The first unit of a disk of which the map of free room and what lies there disagree; see
    /// [`crate::pool::Pool::misplaced_unit`]. For checks: it looks through all segments.
    #[must_use]
    pub fn misplaced_unit(&self, settled: bool) -> Option<(u16, u32, bool)> {
        self.pool.misplaced_unit(settled)
    }

    /// Whether the records of a request were handed over to be written: then nobody knows yet whether it was done.
    #[must_use]
    pub fn is_being_written(&self, id: RequestId) -> bool {
        let pending = self.pending.get(&id);
        pending.is_some_and(|pending| pending.after.is_some())
    }

    /// Why nothing is written.
    pub(super) fn why_read_only(&self) -> Option<Refusal> {
        let reason = self.read_only.clone()?;
        Some(match self.stranded {
            true => Refusal::Rebuilding,
            false => Refusal::ReadOnly(reason),
        })
    }

    /// Takes over from the engine that could not go on: its counts, alarms and clock, and its numbers, so that nobody who
    /// still has one of a stream of that engine is taken for the owner of another.
    pub fn take_over_from(&mut self, before: &Engine) {
        self.next_number = self.next_number.max(before.next_number);
        self.refused.after(StreamId(self.next_number));
        self.counters = before.counters;
        // The journal states the clock of its last record; time went on since.
        let mut clock = before.clock.clone();
        if clock.now(self.now.monotonic_ms) > self.clock.latest() {
            self.clock = clock;
        }
        self.alarms.follow(&before.alarms);
        self.remember_disks(&before.pool, &before.area_failures);
        self.remember_flaws_of(before);
        // One that was stranded said nothing: it was to write again.
        if before.read_only.is_none() || before.stranded {
            self.tell_read_only();
        }
        self.attempts = before.attempts.clone();
        let known = before.receipts.known();
        if !known.is_empty() {
            self.sign_with(known.to_vec());
        }
        self.receipts.remember_those_of(&before.receipts);
    }

    /// What is known of disks beside their labels is so until the process ends, or another disk takes the place.
    fn remember_disks(&mut self, before: &Pool, failures_before: &AreaFailures) {
        for member in &mut self.pool.members {
            let Some(known) = before.member(member.disk) else {
                continue;
            };
            member.forgotten_frames = member.forgotten_frames.max(known.forgotten_frames);
            member.astray |= known.astray && known.slot == member.slot;
            member.slowness = known.slowness.clone();
        }
        for (slot, error) in failures_before.take() {
            let disk = before.member_at(slot).map(|member| member.disk);
            if let Some(slot) = disk.and_then(|disk| self.pool.active_slot(disk)) {
                self.area_failures.note(slot, error);
            }
        }
    }

    /// The index was made anew while the vault was served.
    pub fn note_index_made_anew(&mut self) {
        self.alarms.index_rebuilt(self.clock.latest());
    }
}
