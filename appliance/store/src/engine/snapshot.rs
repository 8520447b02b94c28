//! Snapshots of the index, and the clean stop that ends with one.

use super::{Action, Engine, StopState};
use crate::index::{IndexError, IndexRequest};
use crate::limits::SNAPSHOT_JOURNAL_BYTES;
use crate::snapshot::snapshot_of;

impl Engine {
    /// Takes a snapshot when enough has changed.
    pub(super) fn maybe_snapshot(&mut self) {
        let due = self.snapshot_wanted
            || self.memtable.rows() >= self.snapshot_rows
            || self.journal.bytes_since_snapshot() >= SNAPSHOT_JOURNAL_BYTES
            || self.segments_since_snapshot() >= self.snapshot_segments;
        if due && self.read_only.is_none() {
            self.begin_snapshot();
        }
        self.take_over_commit();
    }

    fn segments_since_snapshot(&self) -> u64 {
        let next = self.pool.next_segment.get();
        next.saturating_sub(self.snapshot_segment.get())
    }

    fn begin_snapshot(&mut self) -> bool {
        if self.committing || self.committed {
            return false;
        }
        let Some(rows) = self.memtable.freeze() else {
            return false;
        };
        // It says what was read again, which the log is to say too.
        self.tell_of_scrubs();
        let meta = snapshot_of(&mut self.pool, &self.lane, &self.journal, &self.usages);
        self.snapshot_wanted = false;
        self.snapshot_segment = self.pool.next_segment;
        self.journal.snapshot_begins();
        self.committing = true;
        self.drain_saving();
        self.reclaim_saving();
        self.io
            .action(Action::Index(IndexRequest::Commit { rows, meta }));
        true
    }

    /// The index file holds the snapshot. Its rows leave memory as soon as no request in the journal
    /// depends on what it read before.
    pub(super) fn snapshot_committed(&mut self) {
        self.committing = false;
        self.healer.snapshots_fail = false;
        self.committed = true;
        self.drain_saved(true);
        self.reclaim_saved(true);
    }

    fn take_over_commit(&mut self) {
        if !self.committed || self.is_writing() {
            return;
        }
        if let Some(rows) = self.memtable.drop_frozen() {
            self.io.action(Action::Index(IndexRequest::Forget(rows)));
        }
        self.committed = false;
        self.ready.extend(std::mem::take(&mut self.parked));
    }

    /// The index file could not take the snapshot; the journal still holds everything.
    pub(super) fn snapshot_failed(&mut self, why: IndexError) {
        self.committing = false;
        if !std::mem::replace(&mut self.healer.snapshots_fail, true) {
            self.alarms.no_snapshot(why, self.clock.latest());
        }
        self.drain_saved(false);
        self.reclaim_saved(false);
        self.memtable.unfreeze();
        if self.memtable.rows() >= self.snapshot_rows {
            self.snapshot_rows = self.snapshot_rows.saturating_mul(2);
        }
        if self.stop == StopState::Snapshot {
            self.stop = StopState::Label;
            self.start_label_update();
        } else if self.stop == StopState::Running && why == IndexError::Damaged {
            // Nobody may ask it anything for long.
            self.index_lost = true;
        }
    }

    /// Begins a clean stop: nothing new is taken in.
    pub(super) fn begin_stop(&mut self) {
        if self.stop == StopState::Running {
            self.tell_of_scrubs();
            self.stop = StopState::Draining;
        }
    }

    /// Goes on with a clean stop, one stage after the other.
    pub(super) fn continue_stop(&mut self) {
        loop {
            let next = match self.stop {
                StopState::Running | StopState::Stopped => return,
                // What cannot be written any more need not be closed.
                _ if self.read_only.is_some() => {
                    if self.committing || !self.pending.is_empty() {
                        return;
                    }
                    self.abandon_uploads();
                    StopState::Stopped
                }
                StopState::Draining if self.may_close() => {
                    self.abandon_uploads();
                    self.with_lane(|lane, context| {
                        lane.close(context);
                        lane.pump(context);
                    });
                    StopState::ClosingLane
                }
                StopState::ClosingLane if self.lane.is_idle() && self.journal_is_done() => {
                    self.with_journal(|journal, context| journal.close(context));
                    StopState::ClosingJournal
                }
                StopState::ClosingJournal if self.journal.is_idle() && !self.committing => {
                    if self.committed || !self.begin_snapshot() {
                        if self.committed {
                            return;
                        }
                        self.stop_labels()
                    } else {
                        StopState::Snapshot
                    }
                }
                StopState::Snapshot if !self.committing => self.stop_labels(),
                StopState::Label if !self.labels.is_running() && !self.label_again => {
                    StopState::Stopped
                }
                _ => return,
            };
            self.stop = next;
        }
    }

    fn stop_labels(&mut self) -> StopState {
        self.start_label_update();
        StopState::Label
    }

    /// Whether every request that writes has been answered.
    fn may_close(&self) -> bool {
        self.pending.is_empty() && !self.relabelling
    }

    /// Whether the journal has written all it can.
    fn journal_is_done(&self) -> bool {
        let stuck = self.journal.is_stuck() && self.journal.copies.is_idle();
        self.journal.is_idle() || stuck
    }
}
