//! Reading at start: segments, the journal behind the snapshot, data segments nobody told of.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::limits::READS_AT_ONCE;
use stele_format::digest::Digest;
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::Abandoned;
use stele_format::units::{
    BucketId, ByteOffset, DiskId, Epoch, LogIndex, Opening, SegmentId, Sequence, UnitCount,
    UnixMillis,
};

use super::copies::SegmentCopies;
use super::lanes::{LaneSegment, index_segment, is_blank, units_kept};
use super::lost::GivenUp;
use super::progress::Progress;
use super::replay::{From, Replay, Rows};
use super::replayed::{Replayed, SegmentEnd};
use super::scan::Found;
use super::{Disks, OpenError, head, lost, openings, overlaps, scan};
use crate::index::rows::{BucketRow, Table, TableRow};
use crate::index::{FrozenRows, IndexStore, Memtable, Scan};
use crate::journal::JournalPosition;
use crate::keys::state::KeyState;
use crate::limits::REPLAYED_SNAPSHOTS_MAX;
use crate::plants::{Plant, on};
use crate::pool::{Place, Pool, SegmentInfo};
use crate::sequence::LogHead;
use crate::snapshot::SnapshotState;
use crate::usage::Usages;

/// Where replay begins, and what the snapshot leaves to be walked.
struct Start {
    position: JournalPosition,
    /// Records before this one are in the index already.
    apply_from: LogIndex,
    covered: BTreeSet<SegmentId>,
    /// Where segments end that the journal left before the snapshot, and whose seal no record before it states.
    left: BTreeMap<SegmentId, SegmentEnd>,
    rebuilt: bool,
    /// What was found on the disks where the snapshot knows of nothing.
    found: Found,
    /// What people gave up in the middle of the log.
    given_up: Vec<GivenUp>,
}

/// What the data lane looks like.
pub(super) struct Lanes {
    pub(super) next_sequence: Sequence,
    pub(super) last_segment: SegmentId,
    pub(super) abandoned: Vec<Abandoned>,
    /// Segments whose frames or footers were read.
    pub(super) walked: u64,
}

/// What was read.
pub(super) struct Read {
    pub(super) replayed: Replayed,
    pub(super) lanes: Lanes,
    pub(super) buckets: BTreeMap<BucketId, BucketRow>,
    pub(super) usages: Usages,
    /// Whether the index was filled from the beginning of the journal.
    pub(super) rebuilt: bool,
    /// Whether the index holds rows of no snapshot: until there is one, a start fills it from the beginning.
    pub(super) unsaved: bool,
}

/// Everything that reading takes; nothing is written but the index.
pub(super) struct Work<'a> {
    pub(super) pool: &'a mut Pool,
    pub(super) disks: &'a mut Disks,
    pub(super) keys: &'a KeyState,
    pub(super) memtable: Memtable,
    pub(super) index: IndexStore,
    pub(super) how: Reading,
    /// Whether rows were committed that are of no snapshot.
    pub(super) unsaved: bool,
}

/// How to read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Highest frame the labels prove durable.
    pub(super) watermark: Sequence,
    /// How often the vault was forced open.
    pub(super) opening: Opening,
    /// Whether this program knows every feature it must respect to write.
    pub(super) may_write: bool,
    /// Rows gathered before they are committed.
    pub(super) rows_max: usize,
    /// Told of every frame.
    pub(super) progress: Progress,
}

impl Work<'_> {
    /// Reads journal and data segments behind the snapshot, or all of them.
    pub(super) fn read(&mut self, mut snapshot: Option<SnapshotState>) -> Result<Read, OpenError> {
        let counted = snapshot.as_mut().map(|snapshot| &mut snapshot.usages);
        let mut usages = counted.map(std::mem::take).unwrap_or_default();
        let start = self.start(snapshot)?;
        self.how.rows_max = self.rows_max(&start);
        let mut replayed = self.replay(&start, &mut usages)?;
        self.note_left(&start, &mut replayed);
        let by = replayed.stepped.by();
        let begun = by.map(|by| openings::first_segment(self.pool, self.how.opening, by));
        let being_opened = replayed.has_hole().then_some(SegmentId::MAX);
        self.pool.doubted = being_opened.or(begun);
        if start.rebuilt && self.pool.doubted.is_some() {
            overlaps::settle(self.pool, &start.found);
            replayed.forget_moved(self.pool);
        }
        let lanes = self.walk_lanes(&start, &replayed.position);
        Ok(Read {
            replayed,
            lanes,
            buckets: load_buckets(&self.memtable, &self.index)?,
            usages,
            rebuilt: start.rebuilt,
            unsaved: self.unsaved,
        })
    }

    /// Learns the segments and decides where replay begins.
    fn start(&mut self, snapshot: Option<SnapshotState>) -> Result<Start, OpenError> {
        let rebuilt = snapshot.is_none();
        let mut covered = BTreeSet::new();
        let mut apply_from = LogIndex::ZERO;
        let mut position = None;
        let mut unsure = BTreeMap::new();
        let mut left = BTreeMap::new();
        if let Some(mut snapshot) = snapshot {
            left = take_left(&mut snapshot);
            self.pool.next_segment = self.pool.next_segment.max(snapshot.next_segment);
            covered.extend(snapshot.segments.iter().map(|(id, _)| *id));
            for open in &snapshot.open_segments {
                covered.remove(open);
            }
            // Segments that may have been allocated and never used: others may lie there by now.
            let at = snapshot.position.segment;
            let open = snapshot.open_segments;
            let settled = |id: &SegmentId, info: &SegmentInfo| {
                let known = info.data_end.is_some() && !open.contains(id);
                *id == at || left.contains_key(id) || known
            };
            let known = snapshot.segments.into_iter();
            let (sure, rest): (BTreeMap<_, _>, _) = known.partition(|(id, info)| settled(id, info));
            self.pool.segments = sure.into_iter().collect();
            self.pool.freed = snapshot.freed;
            unsure = rest;
            apply_from = snapshot.apply_from;
            position = Some(snapshot.position);
        }
        self.pool.count_units();
        let high_water = self.high_water();
        let found = scan::scan(self.pool, self.disks, &high_water);
        self.reenter(unsure);
        let given_up = lost::given_up(self.pool, self.disks, &found, self.how.opening);
        let position = match position {
            Some(position) => self.checked(position, &found, &given_up)?,
            None => self.genesis_position()?,
        };
        Ok(Start {
            position,
            apply_from,
            covered,
            left,
            rebuilt,
            found,
            given_up,
        })
    }

    /// Segments that were left before the snapshot are as those that replay went on from, unless a record behind it
    /// says how they ended: the journal is to name them.
    fn note_left(&mut self, start: &Start, replayed: &mut Replayed) {
        for (id, end) in &start.left {
            let info = self.pool.segments.get(id);
            match info.and_then(|info| info.data_end) {
                None => drop(replayed.ends.entry(*id).or_insert(*end)),
                Some(_) => {
                    let (end, at) = (Some(end.offset.get()), replayed.position.compliance);
                    self.pool.trim_known(*id, u32::MAX, end, at);
                }
            }
        }
    }

    /// One past the highest unit each disk that takes part had in use by its own label.
    fn high_water(&self) -> Vec<(DiskId, u32)> {
        let active = self.pool.active();
        active
            .map(|member| (member.disk, member.label_units))
            .collect()
    }

    /// Enters segments whose header was not found, unless another one lies in their place by now.
    fn reenter(&mut self, unsure: BTreeMap<SegmentId, SegmentInfo>) {
        for (id, mut info) in unsure {
            if let Some(found) = self.pool.segments.get_mut(&id) {
                found.places = info.places;
                found.flaw = info.flaw;
                if info.stated.is_some() {
                    found.units = info.units.min(found.units);
                    found.stated = info.stated;
                }
                continue;
            }
            let taken = |place: &Place| {
                self.pool.segments.values().any(|other| {
                    other.places.iter().any(|there| {
                        let (a, b) = (place.first_unit.get(), there.first_unit.get());
                        there.disk == place.disk && a < b + other.units && b < a + info.units
                    })
                })
            };
            if !info.places.iter().any(taken) {
                info.epoch = Epoch::ZERO;
                info.first_sequence = Sequence::ZERO;
                self.pool.segments.insert(id, info);
            }
        }
    }

    /// A snapshot's position, if the journal reaches it: without it a log that was cut before the snapshot would be
    /// taken for whole. What one knows that was taken before an opening gave records up may be in those.
    fn checked(
        &mut self,
        position: JournalPosition,
        found: &Found,
        given_up: &[GivenUp],
    ) -> Result<JournalPosition, OpenError> {
        let segment = position.segment;
        let opening = position.sequence.opening();
        if given_up.iter().any(|one| opening < one.by) {
            return Err(OpenError::BrokenRecord {
                segment,
                offset: position.offset.get(),
            });
        }
        let Some(info) = self.pool.segments.get(&segment).cloned() else {
            return Ok(position);
        };
        let places = found.get(&segment).map_or(&[][..], Vec::as_slice);
        let copies = SegmentCopies::with_found(self.pool, self.disks, segment, &info, places);
        if head::has_tail(&copies, self.disks, self.pool.id, &position) {
            return Ok(position);
        }
        Err(OpenError::BrokenRecord {
            segment,
            offset: position.offset.get(),
        })
    }

    /// The beginning of the journal.
    fn genesis_position(&mut self) -> Result<JournalPosition, OpenError> {
        let first = self
            .pool
            .segments
            .iter()
            .find(|(_, info)| info.lane.is_journal() && info.first_sequence == Sequence::FIRST)
            .map(|(id, _)| *id);
        let missing = self.pool.missing_names();
        let segment = first.ok_or(OpenError::NoJournal { missing })?;
        // A position before the segment, so that replay enters it by its header.
        Ok(JournalPosition {
            segment: SegmentId::new(segment.get() - 1),
            offset: ByteOffset::new(u64::from(BLOCK_BYTES)),
            sequence: Sequence::FIRST,
            chain: Digest::ZERO,
            compliance: UnixMillis::ZERO,
            log: LogHead::default(),
        })
    }

    fn replay(&mut self, start: &Start, usages: &mut Usages) -> Result<Replayed, OpenError> {
        let mut total: Option<Replayed> = None;
        let mut from = start.position.clone();
        let mut lane_chain = from.chain;
        let mut watermark = self.how.watermark;
        let first = start.position.sequence.get();
        // Forced openings leap: what is known is the way from the last of them.
        let first = first.max(Sequence::first_of(watermark.opening()).get());
        let frames = (watermark.get() + 1).saturating_sub(first);
        self.how.progress.begin(frames);
        loop {
            let rows_max = self.how.rows_max;
            let mut replay = Replay::new(
                self.pool,
                self.disks,
                self.keys,
                Rows {
                    memtable: &mut self.memtable,
                    index: &self.index,
                    usages,
                },
                From {
                    position: from,
                    lane_chain,
                    watermark,
                    apply_from: start.apply_from,
                    opening: self.how.opening,
                    given_up: &start.given_up,
                    stuck: total.as_ref().is_some_and(|read| read.stuck.is_some()),
                    hole: total.as_ref().and_then(|read| read.hole),
                    stepped: total.as_ref().map(|read| read.stepped.clone()),
                    found: &start.found,
                    progress: self.how.progress.clone(),
                },
            );
            let ended = replay.run(rows_max)?;
            let part = replay.finish();
            let mut merged = match total.take() {
                None => part,
                Some(earlier) => earlier.then(part),
            };
            if ended {
                merged.forget_moved(self.pool);
                merged.stuck = merged.stuck.or(merged.stepped.unlawful());
                return Ok(merged);
            }
            from = merged.position.clone();
            lane_chain = merged.lane_chain;
            watermark = merged.proven;
            total = Some(merged);
            self.commit_rows(&from);
        }
    }

    /// Rows gathered in replay go to the file; on failure they stay in memory.
    fn commit_rows(&mut self, position: &JournalPosition) {
        let Some(rows) = self.memtable.freeze() else {
            return;
        };
        // The segments are not all known yet: a snapshot taken now must not be started from.
        let meta = crate::index::SnapshotMeta {
            next: position.log.next,
            ..crate::index::SnapshotMeta::default()
        };
        let frozen: &FrozenRows = &rows;
        match self.index.commit(frozen, &meta) {
            Ok(()) => {
                self.unsaved = true;
                drop(rows);
                drop(self.memtable.drop_frozen());
            }
            Err(_) => {
                drop(rows);
                self.memtable.unfreeze();
                self.how.rows_max = usize::MAX;
            }
        }
    }

    /// Rows to gather before they go to the file. That ends the snapshot that replay began from, so where there is one
    /// only what nobody expects to be behind it is written: a start that is cut off begins from it again.
    fn rows_max(&self, start: &Start) -> usize {
        match (self.how.may_write, start.rebuilt) {
            (false, _) => usize::MAX,
            (true, true) => self.how.rows_max,
            (true, false) => self.how.rows_max.saturating_mul(REPLAYED_SNAPSHOTS_MAX),
        }
    }

    /// Walks data segments the snapshot does not cover; the log came as far as this.
    fn walk_lanes(&mut self, start: &Start, position: &JournalPosition) -> Lanes {
        let segments: Vec<SegmentId> = self
            .pool
            .segments
            .iter()
            .filter(|(_, info)| !info.lane.is_journal())
            .map(|(id, _)| *id)
            .collect();
        let mut lanes = Lanes {
            // What the disks left behind by a forced opening may have numbered is not numbered again.
            next_sequence: Sequence::first_of(self.how.opening),
            last_segment: SegmentId::NONE,
            abandoned: Vec::new(),
            walked: 0,
        };
        let mut walked = Vec::new();
        for id in segments {
            let Some(info) = self.pool.segments.get(&id) else {
                continue;
            };
            lanes.last_segment = lanes.last_segment.max(id);
            lanes.next_sequence = lanes.next_sequence.max(info.first_sequence);
            if !start.covered.contains(&id) || info.data_end.is_none() {
                walked.push((id, info.clone()));
            }
        }
        lanes.walked = walked.len() as u64;
        for batch in walked.chunks(READS_AT_ONCE) {
            self.walk_segments(batch, &mut lanes, position.compliance);
            // Each chunk of content is a row: those of all segments of a large vault fit into no memory.
            if start.rebuilt && self.memtable.rows() >= self.how.rows_max {
                self.commit_rows(position);
            }
        }
        lanes
    }

    fn walk_segments(
        &mut self,
        batch: &[(SegmentId, SegmentInfo)],
        lanes: &mut Lanes,
        at: UnixMillis,
    ) {
        let copies = batch.iter();
        let copies = copies.map(|(id, info)| SegmentCopies::of(self.pool, *id, info));
        let mut copies: Vec<SegmentCopies> = copies.collect();
        SegmentCopies::read_tails(copies.iter_mut(), self.disks);
        for ((id, info), mut copies) in batch.iter().zip(copies) {
            if self.pool.is_away(*id) && !on(Plant::AwayTakenForBlank) {
                self.leave_unread(*id, info, lanes);
                continue;
            }
            let found = index_segment(
                self.pool,
                self.disks,
                &mut copies,
                info,
                &mut self.memtable,
                &self.index,
            );
            let next = Sequence::new(found.last_sequence.get() + 1);
            lanes.next_sequence = lanes.next_sequence.max(next);
            self.close_segment((*id, info), &found, lanes, at);
        }
    }

    /// Nobody can tell what a segment holds that no copy here shows. One that is open stays so, and its units in use;
    /// its frames may have as many numbers as it has blocks.
    fn leave_unread(&mut self, id: SegmentId, info: &SegmentInfo, lanes: &mut Lanes) {
        self.pool.note_unread(id);
        if info.data_end.is_none() {
            let blocks = u64::from(info.units) * u64::from(self.pool.unit_bytes / BLOCK_BYTES);
            // Of one that only its record tells of, the first number is not known.
            let first = match info.first_sequence {
                Sequence::ZERO => lanes.next_sequence,
                known => known,
            };
            let next = Sequence::new(first.get() + blocks);
            lanes.next_sequence = lanes.next_sequence.max(next);
        }
    }

    fn close_segment(
        &mut self,
        (id, info): (SegmentId, &SegmentInfo),
        found: &LaneSegment,
        lanes: &mut Lanes,
        at: UnixMillis,
    ) {
        if let Some(units) = found.sealed_units {
            self.pool.trim_known(id, units, Some(found.data_end), at);
            return;
        }
        let is_closed = info.data_end.is_some_and(|end| end > 0);
        let unused = !is_closed && info.epoch == Epoch::ZERO && self.pool.is_overlaid(id);
        // Nothing can be missing of one that is known to have ended behind its header.
        let held_nothing = info.data_end == Some(u64::from(BLOCK_BYTES));
        let nothing = found.data_end == 0 && !unused && !held_nothing;
        if nothing && !self.pool.is_all_here(id) && !on(Plant::AwayTakenForBlank) {
            // A copy that is away may show something: one here may be on a blank disk that took the place of another.
            return self.leave_unread(id, info, lanes);
        }
        if is_closed {
            return;
        }
        if info.stated.is_some() {
            if !self.pool.is_all_here(id) {
                // A copy that is away may have more of it: the start that has that one reads it again.
                self.leave_unread(id, info, lanes);
            }
            // What was sealed once stays so: healing makes the seal anew.
            self.pool.trim_known(id, u32::MAX, Some(found.data_end), at);
            return;
        }
        if found.data_end == 0 && (unused || is_blank(self.pool, self.disks, id, info)) {
            // Allocated and never written.
            self.pool.segments.remove(&id);
            return;
        }
        let data_end = found.data_end.max(u64::from(BLOCK_BYTES));
        // What lies behind its last frame may be another's by now.
        let begins = self.pool.beginnings();
        let room = info.places.iter().map(|place| begins.room_at(place)).min();
        let kept = units_kept(self.pool, self.disks, id, info, data_end);
        let kept = kept.min(room.unwrap_or(kept));
        self.pool.trim_known(id, kept, Some(data_end), at);
        lanes.abandoned.push(Abandoned {
            segment: id,
            lane: info.lane,
            data_end: ByteOffset::new(data_end),
            units_kept: UnitCount::new(kept),
            last_sequence: found.last_sequence,
        });
    }
}

/// Opens the segments that the journal had left, and that may be sealed nowhere, and says where they end.
fn take_left(snapshot: &mut SnapshotState) -> BTreeMap<SegmentId, SegmentEnd> {
    let journal = snapshot.segments.iter();
    let journal = journal.filter(|(_, info)| info.lane.is_journal());
    let firsts = journal.map(|(id, info)| (*id, info.first_sequence));
    let firsts: BTreeMap<SegmentId, Sequence> = firsts.collect();
    let mut left = BTreeMap::new();
    for (id, info) in &mut snapshot.segments {
        if !firsts.contains_key(id) || !snapshot.open_segments.contains(id) {
            continue;
        }
        let later = firsts.iter().filter(|(other, _)| *other > id);
        let next = later.map(|(_, first)| *first);
        let next = next.filter(|first| *first > info.first_sequence).min();
        if let (Some(offset), Some(next)) = (info.data_end, next) {
            info.data_end = None;
            let end = SegmentEnd {
                offset: ByteOffset::new(offset),
                last_sequence: Sequence::new(next.get() - 1),
                is_end: true,
            };
            left.insert(*id, end);
        }
    }
    left
}

fn load_buckets(
    memtable: &Memtable,
    index: &IndexStore,
) -> Result<BTreeMap<BucketId, BucketRow>, OpenError> {
    let mut buckets = BTreeMap::new();
    let mut scan = Scan::prefix(Table::Buckets, Vec::new(), 1_000);
    loop {
        let merged = memtable.merge_scan(&scan, &index.scan(&scan)?);
        for (key, value) in merged.rows {
            let id: Option<[u8; 16]> = key.as_slice().try_into().ok();
            if let (Some(id), Ok(row)) = (id, BucketRow::decode(&value)) {
                buckets.insert(BucketId::new(id), row);
            }
        }
        match merged.resume {
            None => return Ok(buckets),
            Some(resume) => scan.from = resume,
        }
    }
}
