//! How the journal goes on in another segment: on other disks, without one that lags, or because the
//! present one is full.
//!
//! Invariants: a segment is begun only when the record that allocates it is durable; a record says that one
//! was sealed only when its seal is durable on every disk that it lies on and that is still believed.

use stele_format::record::{Body, RecordType};
use stele_format::units::{LaneId, SegmentId};

use super::{JOURNAL_COPIES, Journal, JournalContext, log_state};
use crate::copies::Backlog;
use crate::draft::Draft;
use crate::engine::DiskSlot;
use crate::fact::{alloc_body, seal_body};
use crate::pool::{Place, Pool, Surplus};
use crate::segment::{NewSegment, SegmentWriter};

/// A segment that was allocated to be the next one.
pub(super) struct Prepared {
    segment: SegmentId,
    places: Vec<Place>,
    pub(super) durable: bool,
}

/// A segment whose seal is being written, and the record that will say so.
pub(super) struct Sealing {
    segment: SegmentId,
    record: Draft,
    slots: Vec<DiskSlot>,
}

/// Units to be given back when the zeros asked for up to a number are not on their way any more.
pub(super) struct Owed {
    slot: DiskSlot,
    ahead: u64,
    surplus: Surplus,
}

impl Journal {
    /// Goes on in a new segment, on the disks that take part then.
    pub(crate) fn renew(&mut self, pool: &mut Pool) {
        self.renew = true;
        // One that is prepared already may not lie on all of them.
        self.give_up_prepared(pool);
    }

    /// The prepared segment is not used. Nothing was written to it, whatever a record says.
    fn give_up_prepared(&mut self, pool: &mut Pool) {
        if let Some(prepared) = self.prepared.take() {
            pool.drop_segment(prepared.segment);
        }
    }

    /// The segment that was allocated to be the next one.
    pub(crate) fn prepared(&self) -> Option<SegmentId> {
        self.prepared.as_ref().map(|prepared| prepared.segment)
    }

    /// A copy that lags far behind while the others do not is left behind: the journal goes on in a
    /// segment without it. What is queued for it is still written.
    pub(super) fn leave_laggards(&mut self, context: &mut JournalContext<'_>) {
        let late = |(slot, backlog): (DiskSlot, Backlog)| backlog.exceeds(1).then_some(slot);
        let late: Vec<DiskSlot> = self.copies.backlogs().filter_map(late).collect();
        for slot in late {
            let mut without = self.away.slots();
            if without.contains(&slot) {
                continue;
            }
            without.push(slot);
            let others = self.copies.durable_count(self.acknowledged, &without);
            let elsewhere = context.pool.choose_beside(JOURNAL_COPIES, &without);
            if others >= context.pool.needed() && elsewhere.is_some() {
                context.pool.note_slow(slot);
                self.away.leave(slot, context.pool.now_ms);
                self.renew(context.pool);
            }
        }
    }

    /// Since when the journal goes on without a disk, if it does.
    pub(crate) fn away_since_ms(&self, slot: DiskSlot) -> Option<u64> {
        self.away.since_ms(slot)
    }

    /// Whether some copy is so far behind that no further frame is built.
    pub(super) fn must_wait(&self) -> bool {
        let away = self.away.slots();
        self.copies.backlogs().any(|(slot, backlog)| {
            // One that is being left behind is given only what comes before the next segment.
            backlog.exceeds(if away.contains(&slot) { 2 } else { 1 })
        })
    }

    /// Takes a disk again that lagged, has caught up, and has been away for long enough.
    pub(super) fn take_back(&mut self, now_ms: u64, pool: &mut Pool) {
        if self.closed || self.flight.is_some() {
            return;
        }
        let caught_up = |slot: DiskSlot| !self.copies.is_busy(slot) && !pool.is_slow(slot);
        let Some(slot) = self.away.due(now_ms, caught_up) else {
            return;
        };
        self.away.come_back(slot);
        let next = pool.choose_beside(JOURNAL_COPIES, &self.away.slots());
        if next.is_some_and(|places| places.len() > self.copies.members()) {
            self.renew(pool);
        }
    }

    /// The record that allocates a segment is durable.
    pub(crate) fn allocated(&mut self, segment: SegmentId) {
        if let Some(prepared) = self.prepared.as_mut().filter(|p| p.segment == segment) {
            prepared.durable = true;
        }
    }

    /// The record that says that a segment is sealed is durable.
    pub(crate) fn sealed(&mut self, segment: SegmentId) {
        self.unstated.remove(&segment);
    }

    /// Segments that were left, and of which no durable record says that they are sealed.
    pub(crate) fn unstated(&self) -> impl Iterator<Item = SegmentId> {
        self.unstated.iter().copied()
    }

    /// A disk is not believed any more.
    pub(crate) fn expel(&mut self, slot: DiskSlot, pool: &mut Pool) {
        self.copies.remove(slot);
        self.ahead.forget(slot);
        self.away.forget(slot);
        // A segment that no disk is left of which was given its seal may be sealed nowhere.
        self.sealing.retain_mut(|sealing| {
            sealing.slots.retain(|given| *given != slot);
            !sealing.slots.is_empty()
        });
        // Its units are counted anew if it ever takes part again.
        self.owed.retain(|owed| owed.slot != slot);
        let lost = |place: &Place| pool.locate_active(place).is_none();
        if self
            .prepared
            .as_ref()
            .is_some_and(|prepared| prepared.places.iter().any(lost))
        {
            self.give_up_prepared(pool);
        }
    }

    /// Says of segments that they are sealed, once every disk that was given the seal has flushed it.
    pub(super) fn note_sealed(&mut self) {
        let copies = &self.copies;
        let done = |sealing: &mut Sealing| !copies.is_sealing(sealing.segment);
        let done = self.sealing.extract_if(.., done);
        self.own.extend(done.map(|sealing| sealing.record));
    }

    /// Moves on to the prepared segment.
    pub(super) fn switch(&mut self, context: &mut JournalContext<'_>) {
        let Some(prepared) = self.prepared.take() else {
            return;
        };
        let log = log_state(&self.log);
        let sealed = self.writer.seal(&log);
        let slots = self.push_seal(&sealed, context);
        let id = self.writer.id();
        let (end, at) = (sealed.data_end.get(), context.compliance);
        let surplus = context.pool.close(id, sealed.units_kept, end, at);
        self.owe(surplus, context.pool);
        // A scrub that read what was there so far would seem to have read all of it.
        self.own
            .retain(|draft| !matches!(&draft.body, Body::Scrub(scrub) if scrub.segment == id));
        let body = seal_body(id, LaneId::JOURNAL, &sealed, Some(&self.log));
        self.unstated.insert(id);
        self.sealing.push(Sealing {
            segment: id,
            record: Draft::of_engine(RecordType::Seal, body),
            slots,
        });
        if let Some(info) = context.pool.segments.get_mut(&prepared.segment) {
            info.first_sequence = self.writer.next_sequence();
        }
        let slots: Vec<DiskSlot> = prepared
            .places
            .iter()
            .filter_map(|place| context.pool.active_slot(place.disk))
            .collect();
        self.renew = false;
        self.opened_on = slots.len();
        self.writer = SegmentWriter::new(NewSegment {
            pool: context.pool.id,
            segment: prepared.segment,
            lane: LaneId::JOURNAL,
            epoch: self.counter.epoch(),
            unit_bytes: context.pool.unit_bytes,
            units: context.pool.segment_units,
            first_sequence: self.writer.next_sequence(),
            previous_segment: id,
            previous_chain: self.writer.lane_chain(),
            compliance: context.compliance,
            places: prepared.places,
        });
        self.copies.set_members(&slots, self.acknowledged);
        self.ahead.restart(self.writer.next_offset().get());
        self.switched = true;
    }

    /// Past half of a segment its successor is allocated.
    pub(super) fn prepare_early(&mut self, context: &mut JournalContext<'_>) {
        if self.renew || self.writer.next_offset().get() > self.writer.capacity() / 2 {
            self.prepare(context);
        }
    }

    pub(super) fn prepare(&mut self, context: &mut JournalContext<'_>) {
        if self.prepared.is_some() {
            return;
        }
        let without = context
            .pool
            .choose_beside(JOURNAL_COPIES, &self.away.slots());
        let Some(places) = without.or_else(|| context.pool.choose(JOURNAL_COPIES)) else {
            self.full = true;
            return;
        };
        self.full = false;
        let (epoch, next) = (self.counter.epoch(), self.writer.next_sequence());
        let segment = context
            .pool
            .take(LaneId::JOURNAL, epoch, next, &places, context.compliance);
        let units = context.pool.segment_units;
        let body = alloc_body(segment, LaneId::JOURNAL, units, &places);
        self.own
            .push_back(Draft::of_engine(RecordType::Alloc, body));
        self.prepared = Some(Prepared {
            segment,
            places,
            durable: false,
        });
    }

    /// Units are given back disk by disk, and not while zeros may still be written to them.
    fn owe(&mut self, surplus: Vec<Surplus>, pool: &mut Pool) {
        let ahead = self.ahead.newest();
        for surplus in surplus {
            match pool.active_slot(surplus.place.disk) {
                Some(slot) => self.owed.push(Owed {
                    slot,
                    ahead,
                    surplus,
                }),
                None => pool.give_back(&surplus),
            }
        }
    }

    /// Gives back what nothing is written to any more.
    pub(super) fn give_back(&mut self, pool: &mut Pool) {
        let ahead = &self.ahead;
        let done = |owed: &mut Owed| ahead.is_done(owed.slot, owed.ahead);
        for owed in self.owed.extract_if(.., done) {
            pool.give_back(&owed.surplus);
        }
    }
}
