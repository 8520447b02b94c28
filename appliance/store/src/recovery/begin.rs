//! A new epoch: repairs, labels, and the first frame of a new segment.
//!
//! Order, and what a crash leaves at each step: (1) frames that some copy lacks, or shows without proof that they
//! are durable there, are written again, the same bytes in the same place: harmless; (2) labels of the new generation: the membership they state is
//! true already, since every member holds all adopted frames. A first round of them only claims a
//! generation, so that of two starts the later one is known to be later by any disk they share; (3) the first frame of the epoch, in a
//! segment never used: until it is durable on the quorum, the journal ends where it ended; (4) labels
//! once more: the membership is in force, and the first frame is durable, so a later start that does
//! not find it knows that something is missing. Nothing is acknowledged before.

use std::collections::BTreeSet;

use stele_device::buffer::BufferMut;
use stele_device::disk::BlockingDisk;
use stele_format::digest::Digest;
use stele_format::label::{DynamicLabel, LabelPhase};
use stele_format::limits::{FRAME_HEADER_BYTES, LABEL_RING_BLOCKS};
use stele_format::record::{Abandoned, Body, MemberChange, RecordType};
use stele_format::units::{DiskId, Epoch, Generation, LaneId, SegmentId, Sequence};

use super::labels::Mend;
use super::replayed::{Repair, Replayed};
use super::{Disks, StartContext};
use crate::draft::{Draft, Sealed};
use crate::engine::DiskSlot;
use crate::engine::{LabelFacts, labels_of};
use crate::fact::{alloc_body, epoch_body};
use crate::journal::{JOURNAL_COPIES, Journal};
use crate::keys::counter::KeyCounter;
use crate::labels::write_blocking;
use crate::plants::{Plant, on};
use crate::pool::{MemberState, Pool};
use crate::segment::{FrameFacts, NewSegment, PlacedFrame, SegmentWriter};
use crate::sequence::{LogHead, Sequencing, sequence};

/// Why a disk failed whose last labels are beyond its end.
const SHORT: &str = "it has fewer bytes than its label says";

/// What the first frame of an epoch says beside the epoch itself.
pub(crate) struct Beginning {
    pub(crate) previous_epoch: Epoch,
    pub(crate) epoch: Epoch,
    /// The newest frame there is.
    pub(crate) last_sequence: Sequence,
    pub(crate) next_sequence: Sequence,
    pub(crate) previous_segment: SegmentId,
    pub(crate) previous_chain: Digest,
    pub(crate) abandoned: Vec<Abandoned>,
    /// Disks that take part by the newest label; none in a pool that is made.
    pub(crate) named: Option<Vec<DiskId>>,
    /// The disks of labels that were passed over: half of each must take part.
    pub(crate) passed: Vec<Vec<DiskId>>,
    /// Generation of the newest label, which counts until this start's own are complete.
    pub(crate) counts: Generation,
    /// Records before all others: the first one of a pool, or those of a forced opening.
    pub(crate) leading: Vec<Leading>,
    /// The disks that people named, of which none may be missing, instead of most of those before.
    pub(crate) exactly: Option<Exactly>,
}

/// Who takes part in a forced opening.
pub(crate) struct Exactly {
    /// The disks that people named, ascending.
    pub(crate) disks: Vec<DiskId>,
    /// The membership in force before: what the labels state until the last ones, so that they bind nobody.
    pub(crate) voters: Vec<DiskId>,
}

/// A record that leads an epoch, with what is sealed beside it under the box key.
#[derive(Clone)]
pub(crate) struct Leading {
    pub(crate) body: Body,
    pub(crate) note: Option<Vec<u8>>,
}

impl Leading {
    fn draft(&self) -> Draft {
        let mut draft = Draft::of_engine(self.body.record_type(), self.body.clone());
        if let Some(note) = &self.note {
            draft.sealed = Sealed::BoxKey(note.clone());
        }
        draft
    }
}

impl Beginning {
    /// Whether more than half of those that the newest label names take part, and half of those of each
    /// label that was passed over.
    pub(crate) fn has_most(&self, pool: &Pool) -> bool {
        if let Some(named) = &self.exactly {
            return named.disks == active_disks(pool);
        }
        let takes_part = |disk: &&DiskId| pool.active_slot(**disk).is_some();
        let half = |disks: &Vec<DiskId>| 2 * disks.iter().filter(takes_part).count() >= disks.len();
        pool.active().count() >= self.most() && self.passed.iter().all(half)
    }

    /// More than half of the disks that the newest label names.
    pub(crate) fn most(&self) -> usize {
        self.named.as_ref().map_or(0, Vec::len) / 2 + 1
    }

    fn members_changed(&self, pool: &Pool) -> bool {
        let now: Vec<DiskId> = pool.active().map(|member| member.disk).collect();
        self.exactly.is_some() || self.named.as_ref().is_some_and(|named| *named != now)
    }
}

/// The disks that take part, ascending.
pub(super) fn active_disks(pool: &Pool) -> Vec<DiskId> {
    let mut disks: Vec<DiskId> = pool.active().map(|member| member.disk).collect();
    disks.sort_unstable();
    disks
}

/// Writes missing and unproven frames; a disk that fails is expelled. Each is durable before the next, so that what a
/// power cut leaves on a disk is a beginning of the journal as ever.
pub(super) fn repair(pool: &mut Pool, disks: &mut Disks, repairs: &[Repair]) {
    for repair in repairs {
        if !is_active(pool, repair.slot) || on(Plant::RepairForgotten) {
            continue;
        }
        let Some(disk) = disks.get(repair.slot) else {
            continue;
        };
        let data = BufferMut::padded(&repair.bytes).freeze();
        if disk.write_durable_at(repair.offset, data).is_err() {
            expel(pool, disks, repair.slot);
        }
    }
}

/// Writes damaged label blocks of the disks that take part again; a disk that fails is expelled.
pub(super) fn mend_labels(pool: &mut Pool, disks: &mut Disks, mends: &[Mend]) {
    for mend in mends {
        if !is_active(pool, mend.slot) {
            continue;
        }
        let Some(disk) = disks.get(mend.slot) else {
            continue;
        };
        let data = BufferMut::padded(&mend.bytes).freeze();
        if disk.write_durable_at(mend.offset, data).is_err() {
            expel(pool, disks, mend.slot);
        }
    }
}

fn is_active(pool: &Pool, slot: DiskSlot) -> bool {
    pool.member_at(slot)
        .is_some_and(|member| member.state == MemberState::Active)
}

/// A write or flush of this disk failed.
fn expel(pool: &mut Pool, disks: &mut Disks, slot: DiskSlot) {
    let bytes = disks.get(slot).map(|disk| disk.identity().bytes);
    if let Some(member) = pool.member_at_mut(slot) {
        let labelled = member.geometry.map(|geometry| geometry.disk_bytes.get());
        member.state = MemberState::Expelled;
        member.reason = Some(match bytes < labelled {
            true => SHORT,
            false => "a write or flush failed at start",
        });
    }
}

/// Opens the epoch; none when too few disks take the writes.
pub(crate) fn begin(
    opening: &mut StartContext<'_>,
    beginning: &Beginning,
    log: &LogHead,
    cutoffs: &[stele_format::label::EpochCutoff],
) -> Option<Journal> {
    let first = beginning.next_sequence;
    let epoch = beginning.epoch;
    while opening.pool.may_start() && beginning.has_most(opening.pool) {
        let mut facts = LabelFacts {
            epoch,
            watermark: beginning.last_sequence,
            journal_segment: beginning.previous_segment,
            clean_stop: false,
            phase: LabelPhase::Promise,
            voters: beginning.exactly.as_ref().map(|named| &named.voters[..]),
            cutoffs,
        };
        opening.pool.generation = promise(opening.pool, beginning.counts);
        if !write_labels(opening, &facts) {
            continue;
        }
        let places = opening.pool.choose(JOURNAL_COPIES)?;
        let compliance = opening.compliance;
        let segment = opening
            .pool
            .take(LaneId::JOURNAL, epoch, first, &places, compliance);
        facts.phase = LabelPhase::Begin;
        facts.journal_segment = segment;
        opening.pool.generation = following(opening.pool);
        if !write_labels(opening, &facts) {
            opening.pool.drop_segment(segment);
            continue;
        }
        let mut writer = SegmentWriter::new(NewSegment {
            pool: opening.pool.id,
            segment,
            lane: LaneId::JOURNAL,
            epoch,
            unit_bytes: opening.pool.unit_bytes,
            units: opening.pool.segment_units,
            first_sequence: first,
            previous_segment: beginning.previous_segment,
            previous_chain: beginning.previous_chain,
            compliance: opening.compliance,
            places: places.clone(),
        });
        let mut log = log.clone();
        let frame = first_frame(opening, beginning, &mut writer, &mut log);
        let failed = write_first(opening, &writer, &frame);
        facts.watermark = first;
        facts.phase = LabelPhase::Running;
        facts.voters = None;
        if failed.is_empty() && confirm(opening, &facts) {
            let slots: Vec<DiskSlot> = places
                .iter()
                .filter_map(|place| opening.pool.active_slot(place.disk))
                .collect();
            return Some(Journal::new(writer, log, epoch, &slots, opening.compliance));
        }
        for slot in failed {
            expel(opening.pool, opening.disks, slot);
        }
        // What was written of this segment stays and is named by nothing.
    }
    None
}

/// The membership and the first frame are true on every disk that takes part: labels that say so.
fn confirm(opening: &mut StartContext<'_>, facts: &LabelFacts<'_>) -> bool {
    let generation = opening.pool.generation;
    opening.pool.bring_in_force(generation);
    opening.pool.generation = following(opening.pool);
    let whole = write_labels(opening, facts);
    if whole {
        opening.pool.in_force = opening.pool.generation;
    }
    whole
}

/// Labels of the pool's generation on every active disk; false when a disk failed and membership changed.
fn write_labels(opening: &mut StartContext<'_>, facts: &LabelFacts<'_>) -> bool {
    let pool = &mut *opening.pool;
    let mut whole = true;
    for (slot, label) in labels_of(pool, facts) {
        let geometry = pool.member_at(slot).and_then(|member| member.geometry);
        let written = match (opening.disks.get(slot), geometry) {
            (Some(disk), Some(geometry)) => write_blocking(disk, &geometry, &label).is_ok(),
            _ => false,
        };
        if !written {
            expel(pool, opening.disks, slot);
            whole = false;
        } else if facts.phase != LabelPhase::Promise
            && let Some(member) = pool.member_at_mut(slot)
        {
            member.label = label.generation;
            if facts.phase == LabelPhase::Running {
                member.reached = label.generation;
            }
        }
    }
    whole
}

/// The generation to promise: the next one that takes, with the label begun after it, the place in the ring
/// of neither the label that counts nor of the newest one of a disk, nor of the one that shows how far that disk
/// came. The labels after a promise follow it without a gap, so that whoever saw the promise goes on above them.
fn promise(pool: &Pool, counts: Generation) -> Generation {
    let of_disks = pool
        .active()
        .flat_map(|member| [member.label, member.reached]);
    let held = of_disks.chain([counts]).map(DynamicLabel::slot);
    let held: BTreeSet<u16> = held.collect();
    let slot = |generation| DynamicLabel::slot(Generation::new(generation));
    let is_free =
        |promise: &u64| !held.contains(&slot(*promise)) && !held.contains(&slot(promise + 1));
    let next = pool.generation.get() + 1;
    let round = next..next + u64::from(LABEL_RING_BLOCKS);
    // Few disks leave a place; of very many each may have another newest label, and only the one that counts
    // is kept.
    let keeps = |promise: &u64| {
        let counts = DynamicLabel::slot(counts);
        slot(*promise) != counts && slot(promise + 1) != counts
    };
    let found = round
        .clone()
        .find(is_free)
        .or_else(|| round.clone().find(keeps));
    Generation::new(found.unwrap_or(next))
}

fn following(pool: &Pool) -> Generation {
    Generation::new(pool.generation.get() + 1)
}

fn first_frame(
    opening: &mut StartContext<'_>,
    beginning: &Beginning,
    writer: &mut SegmentWriter,
    log: &mut LogHead,
) -> PlacedFrame {
    let mut drafts: Vec<Draft> = beginning.leading.iter().map(Leading::draft).collect();
    let abandoned = beginning.abandoned.clone();
    let forgetful = opening.pool.forgetful();
    let body = epoch_body(beginning.previous_epoch, abandoned, forgetful);
    drafts.push(Draft::of_engine(RecordType::Epoch, body));
    let units = opening.pool.segment_units;
    let body = alloc_body(writer.id(), LaneId::JOURNAL, units, &writer.places);
    drafts.push(Draft::of_engine(RecordType::Alloc, body));
    if beginning.members_changed(opening.pool) {
        drafts.push(Draft::of_engine(
            RecordType::Member,
            member_body(opening.pool),
        ));
    }
    let count = u16::try_from(drafts.len()).unwrap_or(u16::MAX);
    let mut counter = KeyCounter::new(beginning.epoch);
    let mut payload = Vec::new();
    let mut with = Sequencing {
        pool: opening.pool.id,
        keys: opening.keys,
        entropy: &mut *opening.world.entropy,
        aead: &*opening.world.aead,
        epoch: beginning.epoch,
        compliance: opening.compliance,
        wall: opening.wall,
        newest: opening.compliance,
        segment: writer.id(),
        payload_offset: writer.next_offset().get() + u64::from(FRAME_HEADER_BYTES),
    };
    for draft in drafts {
        sequence(draft, log, &mut counter, &mut with, &mut payload);
    }
    let header = FRAME_HEADER_BYTES as usize;
    let mut frame = BufferMut::zeroed((header + payload.len()).next_multiple_of(4096));
    frame[header..header + payload.len()].copy_from_slice(&payload);
    let facts = FrameFacts {
        epoch: beginning.epoch,
        record_count: count,
        list: false,
        committed_through: beginning.last_sequence,
        compliance: opening.compliance,
    };
    writer.place(frame, payload.len(), Digest::of(&payload), facts)
}

/// The record that states who takes part.
pub(crate) fn member_body(pool: &Pool) -> Body {
    use stele_format::label::MemberState as LabelState;
    let state = |state| match state {
        MemberState::Active => LabelState::Active,
        MemberState::Absent => LabelState::Absent,
        MemberState::Stale | MemberState::Joining => LabelState::Stale,
        MemberState::Expelled => LabelState::Expelled,
        MemberState::Drained => LabelState::Drained,
    };
    Body::Member(MemberChange {
        generation: pool.generation,
        members: pool
            .members
            .iter()
            .map(|member| (member.disk, state(member.state)))
            .collect(),
    })
}

fn write_first(
    opening: &mut StartContext<'_>,
    writer: &SegmentWriter,
    frame: &PlacedFrame,
) -> Vec<DiskSlot> {
    let mut failed = Vec::new();
    for place in &writer.places {
        let Some((slot, base)) = opening.pool.locate_active(place) else {
            continue;
        };
        let Some(disk) = opening.disks.get(slot) else {
            continue;
        };
        let at = base + frame.write_offset;
        if disk.write_durable_at(at, frame.bytes.clone()).is_err() {
            failed.push(slot);
        }
    }
    failed
}

/// What replay left open, as the epoch record names it.
pub(super) fn abandoned_journal(replayed: &Replayed, units_kept: u32) -> Abandoned {
    Abandoned {
        segment: replayed.position.segment,
        lane: LaneId::JOURNAL,
        data_end: replayed.position.offset,
        units_kept: stele_format::units::UnitCount::new(units_kept),
        last_sequence: Sequence::new(replayed.position.sequence.get() - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Member;
    use crate::pool::space::Freed;
    use stele_format::units::{Opening, PoolId, UnixMillis};

    fn pool(generation: u64, labels: &[(u64, u64)]) -> Pool {
        let member = |(number, (label, reached)): (u16, &(u64, u64))| {
            let mut member = Member::new(DiskId::default(), number, None);
            member.state = MemberState::Active;
            member.label = Generation::new(*label);
            member.reached = Generation::new(*reached);
            member
        };
        Pool {
            id: PoolId::default(),
            members: (0..).zip(labels).map(member).collect(),
            generation: Generation::new(generation),
            in_force: Generation::ZERO,
            opening: Opening::ZERO,
            unit_bytes: 4096,
            segment_units: 4,
            flags: 0,
            created: UnixMillis::ZERO,
            segments: crate::pool::Segments::default(),
            freed: Freed::default(),
            doubted: None,
            unread: crate::pool::unread::Unread::default(),
            next_segment: SegmentId::new(6),
            now_ms: 0,
        }
    }

    /// Of 60 places a claim and the label begun after it take the next two that no label of worth has.
    #[test]
    fn labels_that_count_or_show_how_far_a_disk_came_are_not_written_over() {
        let check = |generation, labels: &[(u64, u64)], counts, expected| {
            let found = promise(&pool(generation, labels), Generation::new(counts));
            assert_eq!(found, Generation::new(expected), "{generation} {labels:?}");
        };
        check(7, &[(7, 7), (7, 7)], 7, 8);
        // The label that counts.
        check(67, &[(67, 67), (67, 67)], 8, 69);
        // The newest one of a disk.
        check(67, &[(8, 67), (67, 67)], 7, 69);
        // The one that shows how far it came.
        check(67, &[(67, 8), (67, 67)], 7, 69);
        check(67, &[(67, 67), (67, 9)], 7, 70);
        check(67, &[(67, 8), (67, 10)], 7, 71);
    }
}
