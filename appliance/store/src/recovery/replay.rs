//! Replay: the journal is read from a position, frame by frame, and applied to the index through the
//! same `apply` as live records.
//!
//! Nothing is written here. Frames that some copy lacks are remembered for repair.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::disk::BlockingDisk;
use stele_format::digest::Digest;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::label::EpochCutoff;
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::{Body, MoveStep};
use stele_format::segment::{FIRST_FRAME_OFFSET, SegmentExpectation, SegmentHeader};
use stele_format::units::{ByteOffset, Epoch, LaneId, LogIndex, SegmentId, Sequence, UnixMillis};

use super::copies::{SegmentCopies, Shown};
use super::entrance::{Before, Entrance, rebuild_header};
use super::progress::Progress;
use super::table::{Place as Evidence, Verdict, decide};
use super::{Disks, OpenError};
use crate::engine::DiskSlot;
use crate::fact::{self, OpenFault};
use crate::frames::{self, BrokenRecord, PlacedRecord};
use crate::index::rows::RecordLocation;
use crate::index::{ApplyError, DirectRows, IndexStore, Memtable, RowsError};
use crate::journal::JournalPosition;
use crate::keys::state::KeyState;
use crate::plants::{Plant, on};
use crate::pool::{Place, Pool, SegmentInfo};
use crate::read::VerifiedRecord;

/// A frame to be written again where a copy lacks it.
pub(super) struct Repair {
    pub(super) slot: DiskSlot,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// Why the journal cannot be continued, only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
}

/// Where the frames of a journal segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentEnd {
    pub(super) offset: ByteOffset,
    pub(super) last_sequence: Sequence,
}

/// What replay found.
pub(super) struct Replayed {
    pub(super) position: JournalPosition,
    pub(super) lane_chain: Digest,
    pub(super) epoch: Epoch,
    pub(super) repairs: Vec<Repair>,
    pub(super) stuck: Option<Stuck>,
    /// Where the frames of each segment ended that the journal went on from in another one.
    pub(super) ends: BTreeMap<SegmentId, SegmentEnd>,
    pub(super) cutoffs: Vec<EpochCutoff>,
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) cut_records: u64,
    /// A record of a type this program does not know and may not pass over.
    pub(super) newer: bool,
    /// Highest sequence any evidence proves durable.
    pub(super) proven: Sequence,
}

/// Where replay begins.
pub(super) struct From {
    pub(super) position: JournalPosition,
    /// Digest of the lane's last frame before it.
    pub(super) lane_chain: Digest,
    /// Highest frame the labels prove durable.
    pub(super) watermark: Sequence,
    /// Records before this one are in the index; they are read for the sake of lagging copies.
    pub(super) apply_from: LogIndex,
    /// Told of every frame.
    pub(super) progress: Progress,
}

/// Replay in progress.
pub(super) struct Replay<'a> {
    pub(super) pool: &'a mut Pool,
    pub(super) disks: &'a mut Disks,
    pub(super) keys: &'a KeyState,
    pub(super) memtable: &'a mut Memtable,
    pub(super) index: &'a IndexStore,
    at: JournalPosition,
    out: Replayed,
    last: Option<FrameHeader>,
    /// Digest of the last frame adopted, which the lane's next segment must name.
    lane_chain: Digest,
    apply_from: LogIndex,
    progress: Progress,
    /// Journal segments found on the disks, by their first frame.
    begins: BTreeMap<Sequence, BTreeSet<SegmentId>>,
    /// The header of the segment at hand, where no copy has it.
    lost_header: Option<SegmentHeader>,
}

/// How reading a segment ended.
enum Reading {
    Paused,
    Elsewhere,
    Ended,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        pool: &'a mut Pool,
        disks: &'a mut Disks,
        keys: &'a KeyState,
        memtable: &'a mut Memtable,
        index: &'a IndexStore,
        from: From,
    ) -> Self {
        let From {
            position: from,
            lane_chain,
            watermark,
            apply_from,
            progress,
        } = from;
        let out = Replayed {
            position: from.clone(),
            lane_chain,
            epoch: Epoch::ZERO,
            repairs: Vec::new(),
            stuck: None,
            ends: BTreeMap::new(),
            cutoffs: Vec::new(),
            frames: 0,
            records: 0,
            cut_records: 0,
            newer: false,
            proven: watermark,
        };
        let mut begins: BTreeMap<Sequence, BTreeSet<SegmentId>> = BTreeMap::new();
        for (id, info) in pool.segments.iter().filter(|(_, i)| i.lane.is_journal()) {
            begins.entry(info.first_sequence).or_default().insert(*id);
        }
        Self {
            begins,
            progress,
            lost_header: None,
            pool,
            disks,
            keys,
            memtable,
            index,
            at: from,
            out,
            last: None,
            lane_chain,
            apply_from,
        }
    }

    /// Reads on; true at the end of the journal, false when so many rows have gathered that they
    /// should be committed first.
    pub(super) fn run(&mut self, rows_max: usize) -> Result<bool, OpenError> {
        loop {
            if let Some(entrance) = self.successor() {
                let end = SegmentEnd {
                    offset: self.at.offset,
                    last_sequence: Sequence::new(self.at.sequence.get() - 1),
                };
                self.out.ends.insert(self.at.segment, end);
                self.at.segment = entrance.segment;
                self.at.offset = FIRST_FRAME_OFFSET;
                self.at.chain = entrance.chain;
                self.lost_header = entrance.lost_header;
            }
            let segment = self.at.segment;
            let Some(info) = self.pool.segments.get(&segment).cloned() else {
                let missing = self.pool.missing_names();
                return Err(OpenError::NoJournal { missing });
            };
            let mut copies = SegmentCopies::of(self.pool, segment, &info);
            match self.read_segment(&mut copies, rows_max)? {
                Reading::Paused => return Ok(false),
                Reading::Ended => return Ok(true),
                Reading::Elsewhere => {}
            }
        }
    }

    pub(super) fn finish(mut self) -> Replayed {
        self.out.position = self.at;
        self.out.lane_chain = self.lane_chain;
        if let Some(last) = &self.last {
            self.out.epoch = self.out.epoch.max(last.epoch);
        }
        self.out
    }

    /// The segment in which the next frame was written after a switch or a restart: the newest that
    /// begins with it and continues the chain.
    fn successor(&mut self) -> Option<Entrance> {
        let next = self.at.sequence;
        let later = self.begins.get(&next).into_iter().flatten().rev();
        let later: Vec<SegmentId> = later.copied().filter(|id| *id > self.at.segment).collect();
        later.into_iter().find_map(|id| self.entrance(id))
    }

    fn entrance(&mut self, segment: SegmentId) -> Option<Entrance> {
        if let Some(header) = self.header_of(segment) {
            let continues = header.previous_chain == self.lane_chain
                && header.first_sequence == self.at.sequence;
            return continues.then(|| Entrance {
                segment,
                chain: header.digest(),
                lost_header: None,
            });
        }
        let info = self.pool.segments.get(&segment).cloned()?;
        let before = Before {
            segment: self.at.segment,
            chain: self.lane_chain,
        };
        let header = rebuild_header(self.pool, self.disks, segment, &info, &before)?;
        Some(Entrance {
            segment,
            chain: header.digest(),
            lost_header: Some(header),
        })
    }

    fn header_of(&mut self, segment: SegmentId) -> Option<SegmentHeader> {
        let info = self.pool.segments.get(&segment).cloned()?;
        let mut copies = SegmentCopies::of(self.pool, segment, &info);
        let pool = self.pool.id;
        copies.find_block(self.disks, 0, BLOCK_BYTES as usize, |block| {
            let expect = SegmentExpectation::new(pool, segment);
            SegmentHeader::decode(block).ok()?.verify(expect).ok()
        })
    }

    /// A segment that was only allocated has no header and was never written.
    fn was_written(info: &SegmentInfo) -> bool {
        info.epoch > Epoch::ZERO
    }

    /// Reads frames of one segment.
    fn read_segment(
        &mut self,
        copies: &mut SegmentCopies,
        rows_max: usize,
    ) -> Result<Reading, OpenError> {
        loop {
            if self.memtable.rows() >= rows_max {
                return Ok(Reading::Paused);
            }
            if self.successor().is_some() {
                return Ok(Reading::Elsewhere);
            }
            let expect = self.expectation();
            let shown = copies.show(self.disks, expect);
            let evidence = copies.evidence(&shown);
            let valid = evidence.contains(&Evidence::Valid);
            let proven = !valid && self.is_proven(copies);
            match decide(&evidence, proven) {
                Verdict::Adopt => {
                    if self.adopt(shown)?
                        && let Some(info) = self.pool.segments.get(&copies.segment)
                    {
                        *copies = SegmentCopies::of(self.pool, copies.segment, info);
                    }
                }
                Verdict::End => {
                    self.rule_out_successors();
                    return Ok(Reading::Ended);
                }
                Verdict::Damaged | Verdict::CannotTell => {
                    self.note_stuck(copies.segment, self.at.offset);
                    if !self.pass_over(copies) {
                        return Ok(if self.jump() {
                            Reading::Elsewhere
                        } else {
                            Reading::Ended
                        });
                    }
                }
            }
        }
    }

    fn note_stuck(&mut self, segment: SegmentId, offset: ByteOffset) {
        self.out.stuck.get_or_insert(Stuck {
            segment,
            offset: offset.get(),
        });
    }

    /// Where the journal ends, a segment may have been allocated for it to go on in. It ends only if
    /// that segment was never begun, by the same table that judges every frame.
    fn rule_out_successors(&mut self) {
        let allocated = self
            .pool
            .segments
            .iter()
            .filter(|(id, info)| **id > self.at.segment && info.lane.is_journal())
            .filter(|(_, info)| !Self::was_written(info) && info.data_end.is_none())
            // Its units were given to another since, so it was never begun.
            .filter(|(id, _)| !self.pool.is_overlaid(**id))
            .map(|(id, info)| (*id, info.clone()))
            .collect::<Vec<_>>();
        for (segment, info) in allocated {
            let mut copies = SegmentCopies::of(self.pool, segment, &info);
            let evidence = copies.beginnings(self.disks);
            if decide(&evidence, false) != Verdict::End {
                self.note_stuck(segment, ByteOffset::ZERO);
            }
        }
    }

    fn expectation(&self) -> FrameExpectation {
        FrameExpectation {
            lane: Some(LaneId::JOURNAL),
            sequence: Some(self.at.sequence),
            previous_header: Some(self.at.chain),
            ..FrameExpectation::at(self.pool.id, self.at.segment, self.at.offset)
        }
    }

    /// Whether anything proves that the next frame was acknowledged: what is known already, a later
    /// segment, or any later frame on any copy.
    fn is_proven(&mut self, copies: &mut SegmentCopies) -> bool {
        let next = self.at.sequence;
        if self.out.proven >= next {
            return true;
        }
        let later_segment = self
            .pool
            .segments
            .iter()
            .filter(|(_, info)| info.lane.is_journal() && Self::was_written(info))
            .any(|(_, info)| info.first_sequence > next);
        if later_segment {
            return true;
        }
        let from = self.at.offset.get();
        copies
            .headers_from(self.disks, from)
            .iter()
            .any(|header| header.sequence > next || header.committed_through >= next)
    }

    /// After damage, goes on at the next frame of the segment that can be read. Read-only from here.
    fn pass_over(&mut self, copies: &mut SegmentCopies) -> bool {
        let from = self.at.offset.get() + u64::from(BLOCK_BYTES);
        let next = copies
            .headers_from(self.disks, from)
            .into_iter()
            .find(|header| header.sequence > self.at.sequence);
        let Some(next) = next else { return false };
        self.at.offset = next.segment_offset;
        self.at.sequence = next.sequence;
        self.at.chain = next.previous_header;
        self.at.log.next = LogIndex::MAX;
        true
    }

    /// After damage to the end of a segment, goes on with the next that was written.
    fn jump(&mut self) -> bool {
        let later = self
            .pool
            .segments
            .iter()
            .filter(|(_, info)| info.lane.is_journal() && Self::was_written(info))
            .filter(|(_, info)| info.first_sequence > self.at.sequence)
            .min_by_key(|(_, info)| info.first_sequence)
            .map(|(id, info)| (*id, info.first_sequence));
        let Some((segment, first)) = later else {
            return false;
        };
        let Some(header) = self.header_of(segment) else {
            return false;
        };
        self.at.sequence = first;
        self.lane_chain = header.previous_chain;
        self.at.log.next = LogIndex::MAX;
        true
    }

    /// Takes a frame in. True when it names copies of its segment that were not known before.
    fn adopt(&mut self, shown: Vec<Shown>) -> Result<bool, OpenError> {
        let mut found = None;
        let mut lacking = Vec::new();
        for copy in shown {
            match copy.frame {
                Some(frame) if found.is_none() => found = Some(frame),
                Some(_) => {}
                None => lacking.push((copy.slot, copy.base)),
            }
        }
        let Some((header, frame)) = found else {
            return Ok(false);
        };
        let known = self.places_of(self.at.segment);
        self.apply_frame(&header, &frame)?;
        // A segment found by its headers lacks the copies whose header was never written; its own
        // first frame names them all.
        let named = self.places_of(self.at.segment);
        let before = lacking.len();
        lacking.extend(named.into_iter().filter(|copy| !known.contains(copy)));
        let learned = lacking.len() > before;
        self.repair_later(lacking, &frame);
        self.out.proven = self.out.proven.max(header.committed_through);
        self.out.frames += 1;
        self.progress.frame_done();
        self.at.offset = header.end_offset();
        self.at.sequence = Sequence::new(header.sequence.get() + 1);
        self.at.chain = header.digest();
        self.lane_chain = self.at.chain;
        self.at.compliance = self.at.compliance.max(header.compliance_ms);
        self.note_cutoff(&header);
        self.last = Some(header);
        Ok(learned)
    }

    /// Where the copies of a segment lie, on disks that take part.
    fn places_of(&self, segment: SegmentId) -> Vec<(DiskSlot, u64)> {
        let places = self.pool.segments.get(&segment).map(|info| &info.places);
        let places = places.into_iter().flatten();
        places
            .filter_map(|place| self.pool.locate_active(place))
            .collect()
    }

    /// Remembers the frame at hand for copies that lack it; with the first frame of a segment goes its
    /// header.
    fn repair_later(&mut self, lacking: Vec<(DiskSlot, u64)>, frame: &[u8]) {
        let offset = self.at.offset.get();
        if self.at.offset == FIRST_FRAME_OFFSET {
            self.repair_header_later();
        }
        for (slot, base) in lacking {
            let (offset, bytes) = (base + offset, frame.to_vec());
            self.out.repairs.push(Repair {
                slot,
                offset,
                bytes,
            });
        }
    }

    /// Header and first frame are one write: of one that was cut short the frame may be whole and the
    /// header not.
    fn repair_header_later(&mut self) {
        let known = self.lost_header.take();
        let Some(header) = known.or_else(|| self.header_of(self.at.segment)) else {
            return;
        };
        let bytes = header.encode().to_vec();
        for (slot, offset) in self.places_of(self.at.segment) {
            let disk = self.disks.get(slot);
            let found = disk.and_then(|disk| disk.read_at(offset, bytes.len()).ok());
            if found.is_none_or(|found| found[..] != bytes[..]) {
                let bytes = bytes.clone();
                self.out.repairs.push(Repair {
                    slot,
                    offset,
                    bytes,
                });
            }
        }
    }

    /// The last frame of each epoch, for the labels.
    fn note_cutoff(&mut self, header: &FrameHeader) {
        let cutoff = EpochCutoff {
            epoch: header.epoch,
            last_sequence: header.sequence,
            last_header: header.digest(),
        };
        match self.out.cutoffs.last_mut() {
            Some(last) if last.epoch == header.epoch => *last = cutoff,
            _ => self.out.cutoffs.push(cutoff),
        }
        if self.out.cutoffs.len() > stele_format::limits::CUTOFFS_MAX {
            self.out.cutoffs.remove(0);
        }
    }

    fn apply_frame(&mut self, header: &FrameHeader, frame: &[u8]) -> Result<(), OpenError> {
        let records = frames::records(header, frame, &mut self.at.log).map_err(broken)?;
        for PlacedRecord { record, location } in &records {
            self.apply_record(record, *location)?;
        }
        Ok(())
    }

    fn apply_record(
        &mut self,
        record: &VerifiedRecord,
        location: RecordLocation,
    ) -> Result<(), OpenError> {
        self.out.records += 1;
        let compliance: UnixMillis = record.header.compliance_ms;
        self.at.compliance = self.at.compliance.max(compliance);
        self.note_engine_record(record);
        if record.header.log_index < self.apply_from {
            return Ok(());
        }
        if is_passed_over(&record.body) {
            return Ok(());
        }
        let broken = || broken(BrokenRecord::at(&location));
        let opened = match fact::open(record, self.keys, self.pool.id) {
            Ok(opened) => opened,
            Err(OpenFault::Cut) => {
                self.out.cut_records += 1;
                return Ok(());
            }
            Err(OpenFault::Damaged) => return Err(broken()),
        };
        for fact in fact::facts(&record.header, &record.body, opened, location) {
            let mut rows = DirectRows::new(self.memtable, self.index);
            crate::index::apply(&fact, &mut rows).map_err(|error| match error {
                ApplyError::Rows(RowsError::File(error)) => OpenError::Index(error),
                _ => broken(),
            })?;
        }
        Ok(())
    }

    /// What a record says about segments and epochs.
    fn note_engine_record(&mut self, record: &VerifiedRecord) {
        match &record.body {
            Body::Alloc(alloc) => self.note_alloc(alloc, record.header.compliance_ms),
            Body::Scrub(scrub) => self.pool.note_scrub(scrub, record.header.compliance_ms),
            Body::Relocate(relocate) => self.note_relocate(relocate),
            Body::Later(kind) if !kind.is_optional() => self.out.newer = true,
            Body::Seal(seal) => {
                self.pool
                    .trim_known(seal.segment, seal.units_kept.get(), None);
            }
            Body::Epoch(epoch) => {
                self.out.epoch = self.out.epoch.max(record.header.epoch);
                for closed in &epoch.abandoned {
                    let end = Some(closed.data_end.get());
                    self.pool
                        .trim_known(closed.segment, closed.units_kept.get(), end);
                }
            }
            _ => {}
        }
    }

    /// A copy moves. Where it was and where it goes stay the segment's: what is found there by headers
    /// never belongs to another.
    fn note_relocate(&mut self, relocate: &stele_format::record::Relocate) {
        let to = Place {
            disk: relocate.to.disk,
            first_unit: relocate.to.first_unit,
        };
        match relocate.step {
            MoveStep::Begun => self.pool.set_aside(relocate.segment, to),
            MoveStep::Done => self.pool.relocate(relocate.segment, relocate.from, to),
        }
    }

    /// A segment was allocated; its header may or may not have reached the disks.
    fn note_alloc(&mut self, alloc: &stele_format::record::Alloc, at: UnixMillis) {
        let next = SegmentId::new(alloc.segment.get() + 1);
        self.pool.next_segment = self.pool.next_segment.max(next);
        let places: Vec<Place> = alloc
            .placements
            .iter()
            .map(|placed| Place {
                disk: placed.disk,
                first_unit: placed.first_unit,
            })
            .collect();
        // The record decides where the copies lie; what was found by headers may be a stray write.
        let info = self
            .pool
            .segments
            .entry(alloc.segment)
            .or_insert_with(|| SegmentInfo {
                lane: alloc.lane,
                epoch: Epoch::ZERO,
                units: alloc.units.get(),
                first_sequence: Sequence::ZERO,
                data_end: None,
                places: Vec::new(),
                aside: Vec::new(),
                written: at,
                verified: UnixMillis::ZERO,
            });
        info.places = places;
    }
}

/// Records that only a planted bug leaves out.
fn is_passed_over(body: &Body) -> bool {
    match body {
        Body::DeleteMarker => on(Plant::MarkerNotReplayed),
        Body::Retention => on(Plant::RetentionNotReplayed),
        _ => false,
    }
}

fn broken(at: BrokenRecord) -> OpenError {
    OpenError::BrokenRecord {
        segment: at.segment,
        offset: at.offset,
    }
}

impl Replayed {
    /// This part followed by the next one.
    pub(super) fn then(mut self, next: Replayed) -> Replayed {
        self.repairs.extend(next.repairs);
        self.ends.extend(next.ends);
        for cutoff in next.cutoffs {
            match self.cutoffs.last_mut() {
                Some(last) if last.epoch == cutoff.epoch => *last = cutoff,
                _ => self.cutoffs.push(cutoff),
            }
        }
        let surplus = self
            .cutoffs
            .len()
            .saturating_sub(stele_format::limits::CUTOFFS_MAX);
        self.cutoffs.drain(..surplus);
        Replayed {
            position: next.position,
            lane_chain: next.lane_chain,
            epoch: self.epoch.max(next.epoch),
            repairs: self.repairs,
            stuck: self.stuck.or(next.stuck),
            ends: self.ends,
            cutoffs: self.cutoffs,
            frames: self.frames + next.frames,
            records: self.records + next.records,
            cut_records: self.cut_records + next.cut_records,
            newer: self.newer || next.newer,
            proven: self.proven.max(next.proven),
        }
    }
}
