//! Replay: the journal is read from a position, frame by frame, and applied to the index through the
//! same `apply` as live records.
//!
//! Nothing is written here. Frames that some copy lacks, or shows without proof, are remembered for repair.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::disk::BlockingDisk;
use stele_format::digest::Digest;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::label::EpochCutoff;
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::Body;
use stele_format::segment::{FIRST_FRAME_OFFSET, SegmentExpectation, SegmentHeader};
use stele_format::units::{
    ByteOffset, Epoch, LaneId, LogIndex, Opening, SegmentId, Sequence, UnixMillis,
};

use super::copies::{SegmentCopies, Shown};
use super::entrance::{Before, Entrance, rebuild_header};
use super::head::Passed;
use super::lost::{GivenUp, Hole, SteppedOver};
use super::moves;
use super::openings::{Openings, begins, leaps, was_written};
use super::progress::Progress;
use super::replayed::{Denial, Repair, Replayed, Why};
use super::scan::Found;
use super::table::{Place as Evidence, Verdict, decide, is_denied};
use super::{Disks, OpenError};
use crate::engine::DiskSlot;
use crate::fact::{self, OpenFault, Opened};
use crate::frames::{self, BrokenRecord, PlacedRecord};
use crate::index::rows::RecordLocation;
use crate::index::{ApplyError, DirectRows, IndexError, IndexStore, Memtable, RowsError};
use crate::journal::JournalPosition;
use crate::keys::state::KeyState;
use crate::plants::{Plant, on};
use crate::pool::{Place, Pool, SegmentInfo};
use crate::read::VerifiedRecord;
use crate::usage::Usages;

/// Where replay begins.
pub(super) struct From<'a> {
    pub(super) position: JournalPosition,
    /// Digest of the lane's last frame before it.
    pub(super) lane_chain: Digest,
    /// Highest frame the labels prove durable.
    pub(super) watermark: Sequence,
    /// Records before this one are in the index; they are read for the sake of lagging copies.
    pub(super) apply_from: LogIndex,
    /// How often the vault was forced open, by its label.
    pub(super) opening: Opening,
    /// What people gave up in the middle of the log.
    pub(super) given_up: &'a [GivenUp],
    /// Whether records are missing in front of the position that nobody gave up.
    pub(super) stuck: bool,
    /// Where such records began to be missing, if none was read behind them.
    pub(super) hole: Option<Hole>,
    /// What the parts before stepped over.
    pub(super) stepped: Option<SteppedOver>,
    /// Where segments were found on the disks.
    pub(super) found: &'a Found,
    /// Told of every frame.
    pub(super) progress: Progress,
}

/// What replay applies facts to.
pub(super) struct Rows<'a> {
    pub(super) memtable: &'a mut Memtable,
    pub(super) index: &'a IndexStore,
    pub(super) usages: &'a mut Usages,
}

/// Replay in progress.
pub(super) struct Replay<'a> {
    pub(super) pool: &'a mut Pool,
    pub(super) disks: &'a mut Disks,
    pub(super) keys: &'a KeyState,
    pub(super) memtable: &'a mut Memtable,
    pub(super) index: &'a IndexStore,
    usages: &'a mut Usages,
    pub(super) at: JournalPosition,
    pub(super) out: Replayed,
    last: Option<FrameHeader>,
    /// Digest of the last frame adopted, which the lane's next segment must name.
    pub(super) lane_chain: Digest,
    apply_from: LogIndex,
    openings: Openings,
    pub(super) given_up: &'a [GivenUp],
    /// Whether records are missing before the place where this began.
    pub(super) was_stuck: bool,
    found: &'a Found,
    progress: Progress,
    /// Journal segments found on the disks, by their first frame.
    begins: BTreeMap<Sequence, BTreeSet<SegmentId>>,
    /// Where the journal goes on after each forced opening.
    leaps: Vec<(Sequence, SegmentId)>,
    /// The header of the segment at hand, where no copy has it.
    pub(super) lost_header: Option<SegmentHeader>,
    /// Copies of frames that nothing read so far proves durable.
    unproven: Vec<Repair>,
}

/// A copy that lacks a frame.
struct Lack {
    slot: DiskSlot,
    base: u64,
    denial: Option<Denial>,
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
        rows: Rows<'a>,
        from: From<'a>,
    ) -> Self {
        let From {
            position: from,
            lane_chain,
            watermark,
            apply_from,
            opening,
            given_up,
            stuck,
            hole,
            stepped,
            found,
            progress,
        } = from;
        let out = Replayed {
            position: from.clone(),
            lane_chain,
            epoch: Epoch::ZERO,
            repairs: Vec::new(),
            stuck: None,
            lost: Vec::new(),
            hole,
            stepped: stepped.unwrap_or_default(),
            ends: BTreeMap::new(),
            cutoffs: Vec::new(),
            frames: 0,
            records: 0,
            skipped: 0,
            closed_versions: 0,
            newer: false,
            proven: watermark,
            passed: Passed::new(&from.log, keys.head.as_ref()),
        };
        let openings = Openings::new(opening, pool.segments.values());
        let begins = begins(pool, &openings);
        let leaps = leaps(&begins);
        Self {
            begins,
            leaps,
            progress,
            lost_header: None,
            unproven: Vec::new(),
            pool,
            disks,
            keys,
            memtable: rows.memtable,
            index: rows.index,
            usages: rows.usages,
            at: from,
            out,
            last: None,
            lane_chain,
            apply_from,
            openings,
            given_up,
            was_stuck: stuck,
            found,
        }
    }

    /// Reads on; true at the end of the journal, false when so many rows have gathered that they
    /// should be committed first.
    pub(super) fn run(&mut self, rows_max: usize) -> Result<bool, OpenError> {
        loop {
            if let Some(given_up) = self.given_up_here() {
                self.step_over(given_up);
            } else if let Some(entrance) = self.successor() {
                self.leave(Sequence::new(self.at.sequence.get() - 1), true);
                self.at.segment = entrance.segment;
                self.at.sequence = entrance.first;
                self.at.offset = FIRST_FRAME_OFFSET;
                self.at.chain = entrance.chain;
                self.lost_header = entrance.lost_header;
            }
            let segment = self.at.segment;
            let Some(info) = self.pool.segments.get(&segment).cloned() else {
                let missing = self.pool.missing_names();
                return Err(OpenError::NoJournal { missing });
            };
            let mut copies = self.copies_of(segment, &info);
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
        self.out.with_unproven(self.unproven)
    }

    /// The segment in which the next frame was written after a switch or a restart: the newest that
    /// begins with it and continues the chain.
    ///
    /// Or the one with which it went on after a forced opening: what a disk that was left behind has after that place
    /// is another log's.
    fn successor(&mut self) -> Option<Entrance> {
        let next = self.at.sequence;
        let ahead = |(first, segment): &&(Sequence, SegmentId)| {
            first.opening() > next.opening() && *segment > self.at.segment
        };
        // The latest that goes on from here: one before it that was cut, and undone, may begin at the same place.
        let leaps = self.leaps.iter().rev().filter(ahead);
        let leaps: Vec<(Sequence, SegmentId)> = leaps.copied().collect();
        let leap = leaps
            .into_iter()
            .find_map(|(first, segment)| self.entrance(segment, first));
        leap.or_else(|| self.begun_with(next))
    }

    fn begun_with(&mut self, first: Sequence) -> Option<Entrance> {
        let later = self.begins.get(&first).into_iter().flatten().rev();
        let later: Vec<SegmentId> = later.copied().filter(|id| *id > self.at.segment).collect();
        later.into_iter().find_map(|id| self.entrance(id, first))
    }

    fn entrance(&mut self, segment: SegmentId, first: Sequence) -> Option<Entrance> {
        let chain = self.lane_chain;
        let continues = |header: &SegmentHeader| {
            header.previous_chain == chain && header.first_sequence == first
        };
        if let Some(header) = self.header_of(segment, continues) {
            return Some(Entrance {
                segment,
                first,
                chain: header.digest(),
                lost_header: None,
            });
        }
        let info = self.pool.segments.get(&segment).cloned()?;
        let before = Before {
            segment: self.at.segment,
            chain: self.lane_chain,
        };
        let found = found_of(self.found, segment);
        let header = rebuild_header(self.pool, self.disks, segment, &info, found, &before)?;
        let header = (header.first_sequence == first).then_some(header)?;
        Some(Entrance {
            segment,
            first,
            chain: header.digest(),
            lost_header: Some(header),
        })
    }

    fn copies_of(&mut self, segment: SegmentId, info: &SegmentInfo) -> SegmentCopies {
        let found = found_of(self.found, segment);
        SegmentCopies::with_found(self.pool, self.disks, segment, info, found)
    }

    pub(super) fn header_of(
        &mut self,
        segment: SegmentId,
        accept: impl Fn(&SegmentHeader) -> bool,
    ) -> Option<SegmentHeader> {
        let info = self.pool.segments.get(&segment).cloned()?;
        let mut copies = self.copies_of(segment, &info);
        let pool = self.pool.id;
        copies.find_block(self.disks, 0, BLOCK_BYTES as usize, |block| {
            let expect = SegmentExpectation::new(pool, segment);
            let header = SegmentHeader::decode(block).ok()?.verify(expect).ok()?;
            accept(&header).then_some(header)
        })
    }

    /// A segment of the journal that was written, and not by a forced opening that was cut short.
    pub(super) fn counts(&self, info: &SegmentInfo) -> bool {
        was_written(info) && self.openings.count(info)
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
            let leaves = self.given_up_here().is_some() || self.successor().is_some();
            if leaves && !on(Plant::EpochIgnored) {
                return Ok(Reading::Elsewhere);
            }
            let expect = self.expectation();
            let shown = copies.show(self.disks, expect);
            let evidence = copies.evidence(&shown);
            let valid = evidence.contains(&Evidence::Valid);
            if leaves && !valid {
                return Ok(Reading::Elsewhere);
            }
            let proven = !valid && self.is_proven(copies);
            // Given up, and where the log goes on behind it is lost since: it stays out all the same.
            let verdict = match self.is_given_up() {
                true => Verdict::Damaged,
                false => decide(&evidence, proven),
            };
            match verdict {
                Verdict::Adopt => {
                    self.adopt(shown, copies)?;
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
                            self.rule_out_successors();
                            Reading::Ended
                        });
                    }
                }
            }
        }
    }

    /// Where the journal ends, a segment may have been allocated for it to go on in, or its first frame be found and
    /// not be whole. It ends only if that segment was never begun, by the same table that judges every frame.
    fn rule_out_successors(&mut self) {
        let allocated = self
            .pool
            .segments
            .iter()
            .filter(|(id, info)| **id > self.at.segment && info.lane.is_journal())
            .filter(|(_, info)| {
                let next = self.counts(info) && info.first_sequence == self.at.sequence;
                next || !was_written(info) && info.data_end.is_none()
            })
            // Its units were given to another since, so it was never begun.
            .filter(|(id, _)| !self.pool.is_overlaid(**id))
            .map(|(id, info)| (*id, info.clone()))
            .collect::<Vec<_>>();
        for (segment, info) in allocated {
            let mut copies = SegmentCopies::of(self.pool, segment, &info);
            let evidence = copies.beginnings(self.disks);
            if decide(&evidence, false) == Verdict::End {
                continue;
            }
            self.note_stuck(segment, ByteOffset::ZERO);
            let headers = copies.headers_from(self.disks, FIRST_FRAME_OFFSET.get());
            let next = self.at.sequence;
            if headers.iter().any(|header| header.sequence > next) {
                // What is behind its damaged beginning can be read: the log has a hole there.
                self.at.log.next = LogIndex::MAX;
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
            .filter(|(_, info)| self.counts(info))
            .any(|(_, info)| info.first_sequence > next);
        if later_segment {
            return true;
        }
        let from = self.at.offset.get();
        copies
            .proofs_from(self.disks, from)
            .iter()
            .any(|header| header.sequence > next || header.committed_through >= next)
    }

    /// Takes a frame in. It may name copies of its segment that were not known before.
    fn adopt(&mut self, shown: Vec<Shown>, copies: &mut SegmentCopies) -> Result<(), OpenError> {
        let evidence = copies.evidence(&shown);
        let of_enough = is_denied(&evidence);
        // A disk that was left alone by a forced opening owes what it wrote to one that came later.
        let owed = evidence.len() == 2 && !self.pool.opening.is_zero();
        let mut found = None;
        let (mut lacking, mut shows) = (Vec::new(), Vec::new());
        for copy in shown {
            if copy.votes && copy.frame.is_some() {
                shows.push((copy.slot, copy.base));
            }
            match copy.frame {
                Some(frame) if found.is_none() => found = Some(frame),
                None if copy.votes => lacking.push(Lack {
                    slot: copy.slot,
                    base: copy.base,
                    denial: (copy.evidence.votes_no() && !owed).then_some(Denial { of_enough }),
                }),
                _ => {}
            }
        }
        let Some((header, frame)) = found else {
            return Ok(());
        };
        let known = self.places_of(copies.segment);
        self.apply_frame(&header, &frame)?;
        // A segment found by its headers lacks the copies whose header was never written; its own
        // first frame names them all.
        if self.places_of(copies.segment) != known
            && let Some(info) = self.pool.segments.get(&copies.segment).cloned()
        {
            let before: Vec<_> = copies.voting().collect();
            *copies = self.copies_of(copies.segment, &info);
            let named = copies.voting().filter(|copy| !before.contains(copy));
            lacking.extend(named.map(|(slot, base)| Lack {
                slot,
                base,
                denial: None,
            }));
        }
        self.repair_later(lacking, &frame, copies);
        self.out.proven = self.out.proven.max(header.committed_through);
        self.prove_later(&shows, &frame, copies.segment);
        self.out.frames += 1;
        self.progress.frame_done();
        self.at.offset = header.end_offset();
        self.at.sequence = Sequence::new(header.sequence.get() + 1);
        self.at.chain = header.digest();
        self.lane_chain = self.at.chain;
        self.at.compliance = self.at.compliance.max(header.compliance_ms);
        self.note_cutoff(&header);
        self.last = Some(header);
        Ok(())
    }

    /// Where the copies of a segment lie, as far as records were read.
    fn places_of(&self, segment: SegmentId) -> Vec<Place> {
        let info = self.pool.segments.get(&segment);
        info.map_or_else(Vec::new, |info| info.places.clone())
    }

    /// Remembers the frame at hand for copies that lack it; with the first frame of a segment goes its
    /// header.
    fn repair_later(&mut self, lacking: Vec<Lack>, frame: &[u8], copies: &SegmentCopies) {
        let offset = self.at.offset.get();
        if self.at.offset == FIRST_FRAME_OFFSET {
            self.repair_header_later(copies);
        }
        for Lack { slot, base, denial } in lacking {
            self.out.repairs.push(Repair {
                frame: self.at.sequence,
                slot,
                base,
                offset: base + offset,
                bytes: frame.to_vec(),
                why: Why::Lacking(denial),
            });
        }
    }

    /// Remembers the copies that show the frame at hand, until something proves it durable. With the first frame of a
    /// segment goes its header.
    fn prove_later(&mut self, shows: &[(DiskSlot, u64)], frame: &[u8], segment: SegmentId) {
        let proven = self.out.proven;
        self.unproven.retain(|copy| copy.frame > proven);
        if self.at.sequence <= proven {
            return;
        }
        let first = self.at.offset == FIRST_FRAME_OFFSET;
        let header = first.then(|| self.header_of(segment, |_| true)).flatten();
        let (offset, bytes) = match header {
            Some(header) => (0, [&header.encode()[..], frame].concat()),
            None => (self.at.offset.get(), frame.to_vec()),
        };
        self.unproven
            .extend(shows.iter().map(|(slot, base)| Repair {
                frame: self.at.sequence,
                slot: *slot,
                base: *base,
                offset: base + offset,
                bytes: bytes.clone(),
                why: Why::Unproven,
            }));
    }

    /// Header and first frame are one write: of one that was cut short the frame may be whole and the
    /// header not.
    fn repair_header_later(&mut self, copies: &SegmentCopies) {
        let known = self.lost_header.take();
        let Some(header) = known.or_else(|| self.header_of(copies.segment, |_| true)) else {
            return;
        };
        let bytes = header.encode().to_vec();
        for (slot, base) in copies.voting() {
            let disk = self.disks.get(slot);
            let found = disk.and_then(|disk| disk.read_at(base, bytes.len()).ok());
            if found.is_none_or(|found| found[..] != bytes[..]) {
                let bytes = bytes.clone();
                self.out.repairs.push(Repair {
                    frame: self.at.sequence,
                    slot,
                    base,
                    offset: base,
                    bytes,
                    why: Why::Lacking(None),
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
        let begins = header.sequence == Sequence::first_of(header.sequence.opening());
        let before = begins.then(|| self.at.log.clone());
        let records = frames::records(header, frame, &mut self.at.log).map_err(broken)?;
        if let Some(before) = before {
            self.confirm_opening(&before, &records);
        }
        self.close_hole(header, records.first());
        for PlacedRecord { record, location } in &records {
            self.apply_record(record, *location)?;
        }
        self.out.passed.note(&self.at.log, self.keys.head.as_ref());
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
        if self.note_engine_record(record) && self.apply_from > LogIndex::ZERO {
            // Units are used again only after a snapshot that knows: there was a newer one than this.
            return Err(OpenError::Index(IndexError::Damaged));
        }
        if record.header.log_index < self.apply_from {
            return Ok(());
        }
        if is_passed_over(&record.body) {
            return Ok(());
        }
        let broken = || broken(BrokenRecord::at(&location));
        let opened = match fact::open(record, self.keys, self.pool.id) {
            Ok(opened) => opened,
            Err(OpenFault::Cut) => Opened::Cut,
            Err(OpenFault::Damaged) => return Err(broken()),
        };
        for mut fact in fact::facts(&record.header, &record.body, opened, location) {
            self.usages.complete(&mut fact);
            let mut rows = DirectRows::new(self.memtable, self.index);
            let effect = match crate::index::apply(&fact, &mut rows) {
                Ok(effect) => effect,
                Err(ApplyError::Rows(RowsError::File(error))) => {
                    return Err(OpenError::Index(error));
                }
                // It may speak of what a lost record said.
                Err(ApplyError::Missing { .. } | ApplyError::Conflict { .. })
                    if self.lacks_records() =>
                {
                    self.out.skipped += 1;
                    continue;
                }
                Err(_) => return Err(broken()),
            };
            self.usages.note(&fact);
            self.usages.change(&effect);
            self.out.closed_versions += effect.closed;
        }
        Ok(())
    }

    /// What a record says about segments and epochs. True if it gives units away that were given back before.
    fn note_engine_record(&mut self, record: &VerifiedRecord) -> bool {
        let known = record.header.log_index < self.apply_from;
        let at = record.header.compliance_ms;
        match &record.body {
            Body::Alloc(alloc) => {
                return moves::note_alloc(self.pool, alloc, at, known);
            }
            // A snapshot says what was found until it was taken.
            Body::Scrub(scrub) if !known => self.pool.note_scrub(scrub, at),
            Body::Relocate(relocate) => return moves::note_relocate(self.pool, relocate, known),
            Body::Trim(trim) => moves::note_trim(self.pool, trim, known),
            Body::Later(kind) if !kind.is_optional() => self.out.newer = true,
            Body::Seal(seal) => self.pool.note_seal(seal, at),
            Body::Epoch(epoch) => {
                self.out.epoch = self.out.epoch.max(record.header.epoch);
                for closed in &epoch.abandoned {
                    let end = Some(closed.data_end.get());
                    let kept = closed.units_kept.get();
                    self.pool.trim_known(closed.segment, kept, end, at);
                }
            }
            _ => {}
        }
        false
    }
}

pub(super) fn found_of(found: &Found, segment: SegmentId) -> &[Place] {
    found.get(&segment).map_or(&[], Vec::as_slice)
}

/// Records that only a planted bug leaves out.
fn is_passed_over(body: &Body) -> bool {
    match body {
        Body::DeleteMarker => on(Plant::MarkerNotReplayed),
        Body::Retention => on(Plant::RetentionNotReplayed),
        Body::Tombstone(_) => on(Plant::TombstoneNotReplayed),
        _ => false,
    }
}

fn broken(at: BrokenRecord) -> OpenError {
    OpenError::BrokenRecord {
        segment: at.segment,
        offset: at.offset,
    }
}
