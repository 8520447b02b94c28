//! Every segment of the pool: found, read, compared, and judged by what the journal says.
//!
//! The order matters beside a running vault: labels first, then the journal, then the data lanes.
//! A record is written only after the chunks it cites, so what the journal cites is there by the
//! time the data lanes are read.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use stele_format::label::MemberState;
use stele_format::record::decode_chunk_list;
use stele_format::units::{DiskId, Epoch, FrameIndex, LaneId, SegmentId, Sequence, UnitIndex};

use crate::compare::{CopyFacts, Finding, SegmentFacts, examine};
use crate::gaps;
use crate::journal::{self, Closed, Log, Nobody, Watch, read_frame_bytes};
use crate::lost::GivenUp;
use crate::media::{self, BLOCK, BLOCK_LEN, length};
use crate::places::{add_allocated, leave_out_moved};
use crate::pool::{Pool, Standing};
use crate::rules::{Case, Ending, Meaning, judge};
use crate::scan::Class;
use crate::seal::SealFault;
use crate::survey::{Header, Survey, extent_of};
use crate::ties::LostIn;
use crate::verdict::{Area, Damage, DiskState, GivenUpRecords, Ledger};

/// Verifies all segments of the pool and enters the result.
pub fn verify(pool: &mut Pool<'_>, pause: Duration, ledger: &mut Ledger) {
    verify_for(pool, pause, ledger, &mut Nobody);
}

/// Verifies what `watch` wants, all segments or those of the journal alone, and tells it every record.
/// Returns whether records are missing.
pub fn verify_for(
    pool: &mut Pool<'_>,
    pause: Duration,
    ledger: &mut Ledger,
    watch: &mut dyn Watch,
) -> bool {
    let mut survey = Survey::of(pool);
    let (mut log, journal) = journal::read(pool, &survey, pause, watch);
    gaps::look_again(pool, pause, &mut log);
    apply_members(pool, &log, ledger);
    let mut added = leave_out_moved(pool, &mut survey, &log);
    added.extend(add_allocated(pool, &mut survey, &log));
    let given_up: BTreeSet<SegmentId> = log.space.given_up().collect();
    for segment in &given_up {
        survey.leave_out(*segment, |_| true);
    }
    let mut all: Vec<SegmentFacts> = Vec::new();
    for facts in journal {
        if !survey.segments.contains_key(&facts.segment) {
            continue;
        }
        // A copy that only its ALLOC record gave away is compared with the others after all.
        let again = added.contains(&facts.segment) || seal_came_late(&facts, &log);
        all.push(if again {
            examine(pool, &survey, facts.segment, pause)
        } else {
            facts
        });
    }
    let data = survey.segments_of(false).filter(|_| watch.wants_data());
    for segment in data.collect::<Vec<_>>() {
        let mut facts = examine(pool, &survey, segment, pause);
        tie_frames(pool, &mut facts, &mut log);
        facts.frames = Vec::new();
        all.push(facts);
    }
    log.citations.follow_lists();
    log.citations.give_up(&given_up);
    let evidence = Evidence::new(pool, &log, &all);
    for facts in &all {
        SegmentJudge {
            pool,
            evidence: &evidence,
            facts,
            ledger: &mut *ledger,
        }
        .judge();
    }
    gaps::report(pool, &log, &all, ledger);
    report_log(pool, &evidence, ledger);
    report_openings(&log, ledger);
    fill_totals(&log, &all, ledger);
    log.lost
}

/// What a forced opening lost, nothing on the disks can tell.
fn report_openings(log: &Log, ledger: &mut Ledger) {
    for (record, opening) in &log.openings {
        ledger.note_pool(format!(
            "it was forced open for the {opening}. time (record {record}): records that followed the ones before may be lost"
        ));
    }
}

/// A MEMBER record newer than every label says who left.
fn apply_members(pool: &mut Pool<'_>, log: &Log, ledger: &mut Ledger) {
    let Some((generation, members)) = &log.members else {
        return;
    };
    let labels = pool.newest.as_ref().map(|label| label.generation);
    if Some(*generation) <= labels {
        return;
    }
    for (disk, state) in members {
        let left = *state != MemberState::Active;
        if let Some(position) = pool.position(*disk).filter(|_| left) {
            let disk = &mut pool.disks[position];
            disk.standing = Standing::Left;
            ledger.set_state(disk.entry, DiskState::Stale);
            ledger.note(
                disk.entry,
                "left the pool by a record newer than its labels",
            );
        }
    }
}

/// A running vault may have sealed a segment between the reading of its end and of its record.
fn seal_came_late(facts: &SegmentFacts, log: &Log) -> bool {
    facts.seal.is_none() && matches!(log.closed.get(&facts.segment), Some(Closed::Sealed(_)))
}

/// Enters the frames of a data segment as found, and the lists they hold.
fn tie_frames(pool: &Pool<'_>, facts: &mut SegmentFacts, log: &mut Log) {
    let payloads = facts
        .frames
        .iter()
        .map(|reference| reference.frame.header.payload_digest);
    let cited = payloads
        .into_iter()
        .find(|payload| log.citations.is_cited(*payload));
    facts.payload = cited.or(facts.payload);
    for reference in &facts.frames {
        let header = &reference.frame.header;
        log.citations
            .found(header.payload_digest, header.payload_bytes);
        if !header.list || !log.citations.wants_lists() {
            continue;
        }
        let Some(bytes) = read_frame_bytes(pool, facts, reference) else {
            continue;
        };
        let list = header.check_payload(&bytes).ok().map(decode_chunk_list);
        if let Some(Ok(entries)) = list {
            log.citations.found_list(header.payload_digest, entries);
        }
    }
}

/// What the journal and all segments together prove.
struct Evidence<'a> {
    log: &'a Log,
    clean_stop: Option<Epoch>,
    lost_in: LostIn,
    /// Last journal frame that verifies on each disk.
    last_on_disk: HashMap<usize, Sequence>,
}

impl<'a> Evidence<'a> {
    fn new(pool: &Pool<'_>, log: &'a Log, all: &[SegmentFacts]) -> Self {
        let mut last_on_disk: HashMap<usize, Sequence> = HashMap::new();
        for facts in all.iter().filter(|facts| is_journal(facts)) {
            for copy in &facts.copies {
                let last = copy.last_sequence.unwrap_or(Sequence::NONE);
                let known = last_on_disk.entry(copy.disk).or_default();
                *known = last.max(*known);
            }
        }
        Self {
            log,
            clean_stop: pool.stopped_clean(),
            lost_in: log.citations.lost_in(),
            last_on_disk,
        }
    }
}

fn is_journal(facts: &SegmentFacts) -> bool {
    facts.lane.is_some_and(LaneId::is_journal)
}

/// Judges one segment.
struct SegmentJudge<'a> {
    pool: &'a Pool<'a>,
    evidence: &'a Evidence<'a>,
    facts: &'a SegmentFacts,
    ledger: &'a mut Ledger,
}

impl SegmentJudge<'_> {
    fn judge(mut self) {
        if self.evidence.log.given_up.has_all(self.facts.segment) {
            self.facts
                .copies
                .iter()
                .for_each(|copy| self.note(copy.disk, GIVEN_UP));
            return;
        }
        for misfit in &self.facts.misfits {
            // What follows what was given up need not fit what is there.
            if self.was_given_up(misfit.frame) || self.was_given_up(misfit.frame.saturating_sub(1))
            {
                continue;
            }
            for disk in &misfit.disks {
                self.damage(*disk, Some(misfit.frame), misfit.what.to_owned(), false);
            }
        }
        for copy in &self.facts.copies {
            if self.is_whole_copy_missing(copy) {
                let what = "the copy that should be here is missing".to_owned();
                self.damage(copy.disk, None, what, true);
                continue;
            }
            self.judge_header(copy);
            for finding in &copy.findings {
                self.judge_finding(copy, finding);
            }
            for fault in &copy.seal_faults {
                self.judge_seal(copy, fault);
            }
        }
        self.judge_sealing();
        self.judge_absent_copies();
    }

    fn damage(&mut self, disk: usize, frame: Option<u32>, what: String, good_copy: bool) {
        self.ledger.damage(Damage {
            disk: self.pool.disks[disk].entry,
            area: Area::Segment,
            segment: Some(self.facts.segment),
            frame: frame.map(FrameIndex::new),
            what,
            good_copy,
        });
    }

    fn note(&mut self, disk: usize, what: &str) {
        let text = format!("segment {}: {what}", self.facts.segment);
        self.ledger.note(self.pool.disks[disk].entry, text);
    }

    fn is_active(&self, copy: &CopyFacts) -> bool {
        self.pool.disks[copy.disk].standing == Standing::Active
    }

    fn closed(&self) -> Option<Closed> {
        self.evidence.log.ending(self.facts.segment)
    }

    /// Whether people gave a frame up when they forced the vault open.
    fn was_given_up(&self, frame: u32) -> bool {
        let header = self.facts.header.as_ref();
        let frame = header.and_then(|header| header.first_sequence.checked_add(u64::from(frame)));
        let given_up = &self.evidence.log.given_up;
        frame.is_some_and(|frame| given_up.covers(self.facts.segment, frame))
    }

    /// No frame of the segment counts: it was given up as a whole.
    fn is_given_up(&self) -> bool {
        matches!(self.closed(), Some(Closed::Abandoned(end)) if end <= BLOCK)
    }

    /// No frame of the copy verifies although the copy is known from a record and others have it.
    fn is_whole_copy_missing(&self, copy: &CopyFacts) -> bool {
        copy.last_sequence.is_none()
            && copy.header.good().is_none()
            && copy.findings.len() > 1
            && copy.findings.iter().all(|finding| finding.good_copy)
            && copy
                .findings
                .iter()
                .any(|f| self.meaning(copy, f) == Meaning::Damage)
    }

    fn judge_header(&mut self, copy: &CopyFacts) {
        let (Some(class), Header::Dead(_) | Header::Blank) = (copy.header_class, &copy.header)
        else {
            return;
        };
        if self.is_header_unneeded(copy, class) {
            self.note(
                copy.disk,
                "the segment header of this copy was never written",
            );
            return;
        }
        let what = match &copy.header {
            Header::Dead(what) => format!("segment header: {what}"),
            _ => "segment header: blank".to_owned(),
        };
        self.damage(copy.disk, None, what, self.facts.header.is_some());
    }

    /// Nothing acknowledged stands behind a header that is not there.
    fn is_header_unneeded(&self, copy: &CopyFacts, class: Class) -> bool {
        let sealed = matches!(self.closed(), Some(Closed::Sealed(_)));
        let unused = self.facts.frame_count == 0 && copy.findings.is_empty() && !sealed;
        if unused || self.is_given_up() {
            return true;
        }
        // A copy that lagged when the vault stopped is given the frames it lacks at the next start,
        // and not always the header before them.
        let repaired = self.facts.header.is_some();
        let log = &self.evidence.log;
        let cited = self
            .facts
            .payload
            .is_some_and(|payload| log.citations.is_cited(payload));
        // Header and first frame are one write: of one that was cut short and that nothing proves durable
        // the frame may be whole and the header not.
        let first_only =
            self.facts.frame_count == 1 && copy.last_sequence.is_some_and(|last| last > log.proven);
        let journal = is_journal(self.facts) && self.facts.frame_count > 0 && !first_only;
        class.is_unfinished()
            && (repaired || copy.last_sequence.is_none() || !(sealed || cited || journal))
    }

    fn judge_finding(&mut self, copy: &CopyFacts, finding: &Finding) {
        let given_up = &self.evidence.log.given_up;
        if given_up.covers(self.facts.segment, finding.sequence) {
            self.note(copy.disk, GIVEN_UP);
            return;
        }
        let meaning = self.meaning(copy, finding);
        if let Some(note) = meaning.note() {
            self.note(copy.disk, note);
        } else if !self.has_healed(copy, finding) {
            let what = finding.what.clone();
            self.damage(copy.disk, Some(finding.frame), what, finding.good_copy);
        }
    }

    fn meaning(&self, copy: &CopyFacts, finding: &Finding) -> Meaning {
        let log = self.evidence.log;
        let journal = is_journal(self.facts);
        let ending = match self.closed() {
            Some(Closed::Abandoned(end)) if finding.offset >= end => Ending::BehindEnd,
            Some(Closed::Abandoned(_)) => Ending::BeforeEnd,
            Some(Closed::Sealed(_)) => Ending::Sealed,
            // A seal is written after everything before it on its copy is durable.
            None if self.facts.seal.is_some() && (journal || copy.seal_faults.is_empty()) => {
                Ending::Sealed
            }
            None => Ending::Open,
        };
        judge(&Case {
            journal,
            ending,
            active: self.is_active(copy),
            class: finding.class,
            followed: finding.followed,
            good_copy: finding.good_copy,
            proven: log.is_proven(self.facts.segment, finding.sequence),
            may_lag: journal && self.may_lag(copy, finding),
            never_flushed: self.never_flushed(finding.frame),
            clean_stop: self.is_stopped(),
            cited: finding
                .payload
                .is_some_and(|payload| log.citations.is_cited(payload)),
            chunks_lost: self
                .evidence
                .lost_in
                .may_be_at(self.facts.segment, finding.payload),
        })
    }

    /// Whether so many copies show that they never held a frame whole that no quorum of two did, as at a start.
    fn never_flushed(&self, frame: u32) -> bool {
        let changed = |finding: &Finding| finding.frame == frame && !finding.class.is_unfinished();
        let here = self.facts.copies.iter().filter(|copy| self.is_active(copy));
        let noes = here
            .filter(|copy| !copy.findings.iter().any(changed))
            .count();
        let header = self.facts.header.as_ref();
        let header = header.map(|header| header.disks.as_slice().len());
        let alloc = self.evidence.log.allocs.get(&self.facts.segment);
        let copies = header.or(alloc.map(|alloc| alloc.placements.len()));
        copies.is_some_and(|copies| noes + copies.min(2) > copies)
    }

    /// Whether the vault was stopped in order after the segment was begun, by its header or its first frame.
    fn is_stopped(&self) -> bool {
        let header = self.facts.header.as_ref().map(|header| header.epoch);
        let first = self.facts.frames.first();
        let begun = header.or(first.map(|first| first.frame.header.epoch));
        let stopped = self.evidence.clean_stop;
        stopped.is_some_and(|epoch| begun.is_none_or(|begun| begun <= epoch))
    }

    /// Of three copies one may lag: its disk holds no later journal frame, the vault did not stop in
    /// order, nothing was started since, and no other copy lacks the frame too. One that moved was read back
    /// at its new place before a record said so.
    fn may_lag(&self, copy: &CopyFacts, finding: &Finding) -> bool {
        let Some(header) = &self.facts.header else {
            return false;
        };
        let disk = self.pool.disks[copy.disk].labels.disk();
        if self.evidence.log.moves.has_come(self.facts.segment, disk) {
            return false;
        }
        let copies = header.disks.as_slice().len();
        let last = self
            .evidence
            .last_on_disk
            .get(&copy.disk)
            .copied()
            .unwrap_or_default();
        let lacking = self.facts.copies.iter().filter(|other| {
            let lacks = other
                .findings
                .iter()
                .any(|other| other.frame == finding.frame);
            lacks && self.is_active(other)
        });
        copies >= 3
            && finding.sequence > last
            && !self.is_stopped()
            && header.epoch >= self.evidence.log.started
            && lacking.count() <= copies - 2
    }

    /// Whether the frame verifies now: a running vault may have finished it since.
    fn has_healed(&self, copy: &CopyFacts, finding: &Finding) -> bool {
        let disk = &self.pool.disks[copy.disk];
        let Some(extent) = extent_of(disk, copy.unit, u32::MAX) else {
            return false;
        };
        let at = extent.start + finding.offset;
        let mut block = vec![0; BLOCK_LEN];
        if disk.source.read_at(at, &mut block).is_err() {
            return false;
        }
        let (pool, segment) = (self.pool.id, self.facts.segment);
        let Ok(header) = media::frame_header(&block, pool, segment, finding.offset) else {
            return false;
        };
        let mut frame = vec![0; length(header.total_bytes)];
        header.sequence == finding.sequence
            && finding
                .payload
                .is_none_or(|payload| payload == header.payload_digest)
            && !finding.followed
            && disk.source.read_at(at, &mut frame).is_ok()
            && header.check_payload(&frame).is_ok()
    }

    fn judge_seal(&mut self, copy: &CopyFacts, fault: &SealFault) {
        if self.evidence.log.given_up.has_end(self.facts.segment) {
            self.note(copy.disk, GIVEN_UP);
            return;
        }
        let abandoned =
            self.facts.seal.is_none() && matches!(self.closed(), Some(Closed::Abandoned(_)));
        if !fault.class.is_unfinished() && !abandoned {
            self.damage(copy.disk, None, fault.what.clone(), fault.good_copy);
        } else if self.is_active(copy) {
            self.note(
                copy.disk,
                "footer or seal of this copy is missing or was cut short",
            );
        }
    }

    /// A SEAL record quotes the seal block, so the block must be that one.
    fn judge_sealing(&mut self) {
        if self.evidence.log.given_up.has_end(self.facts.segment) {
            return;
        }
        let Some(Closed::Sealed(quoted)) = self.closed() else {
            return;
        };
        let what = match &self.facts.seal {
            Some(seal) if seal.digest() == quoted => return,
            Some(_) => "seal: not the one its record quotes",
            None => "seal: lost, although a record states that it was written",
        };
        let good = self.facts.seal.is_none();
        for copy in &self.facts.copies {
            // Where something is left of the seal, that line says more.
            if self.is_active(copy) && !(good && copy.seal_faults.iter().any(is_changed)) {
                self.damage(copy.disk, None, what.to_owned(), false);
            }
        }
    }

    fn is_copy_needed(&self, disk: usize, first: Sequence) -> bool {
        let (copy, finding) = nothing_there(self.facts, disk, first);
        self.meaning(&copy, &finding) == Meaning::Damage
    }

    /// Present members that should hold a copy and show none anywhere.
    fn judge_absent_copies(&mut self) {
        let log = self.evidence.log;
        let alloc = log.allocs.get(&self.facts.segment);
        if let (Some(alloc), Some(header)) = (alloc, &self.facts.header) {
            let named: Vec<_> = alloc.placements.iter().map(|placed| placed.disk).collect();
            let fits = named == header.disks.as_slice() && alloc.lane == header.lane;
            if !fits {
                for copy in &self.facts.copies {
                    let what = "its header contradicts its ALLOC record".to_owned();
                    self.damage(copy.disk, None, what, false);
                }
            }
        }
        if self.facts.frame_count == 0 || self.is_given_up() {
            return;
        }
        let Some(header) = &self.facts.header else {
            return;
        };
        let holders = log
            .moves
            .holders(self.facts.segment, header.disks.as_slice());
        for copy in &self.facts.copies {
            let named = holders.contains(&self.pool.disks[copy.disk].labels.disk());
            if !named && log.given_up.stepped().next().is_some() {
                let what =
                    "its header does not name this disk; a record that was given up may have";
                self.note(copy.disk, what);
            } else if !named {
                let what = "its header does not name this disk".to_owned();
                self.damage(copy.disk, None, what, true);
            }
        }
        self.judge_drained(&holders);
        for disk in &holders {
            let Some(position) = self.pool.position(*disk) else {
                continue;
            };
            let held = self.facts.copies.iter().any(|copy| copy.disk == position);
            if !held && self.is_copy_needed(position, header.first_sequence) {
                let what = "the copy that should be here is missing".to_owned();
                self.damage(position, None, what, true);
            }
        }
        if alloc.is_none() && self.is_log_whole() && self.pool.is_whole() {
            self.ledger.note_pool(format!(
                "segment {} has frames, but no ALLOC record names it",
                self.facts.segment
            ));
        }
    }

    /// A drain ends once records say that every copy moved: none may count on its disk.
    fn judge_drained(&mut self, holders: &[DiskId]) {
        for disk in holders.iter().filter(|disk| self.pool.is_drained(**disk)) {
            let what = "a copy still counts on a disk that the newest label calls drained";
            let position = self.pool.position(*disk);
            let elsewhere = self.facts.copies.first().map_or(0, |copy| copy.disk);
            let entry = position.unwrap_or(elsewhere);
            match position {
                _ if !(self.is_log_whole() && self.pool.has_every_record()) => {
                    let what = "a copy counts on a drained disk; the record that moved it may be among what is not here";
                    self.note(entry, what);
                }
                Some(_) => self.damage(entry, None, what.to_owned(), false),
                None => self.damage(entry, None, format!("{what}, which is not here"), false),
            }
        }
    }

    /// Whether no record is known to be missing.
    fn is_log_whole(&self) -> bool {
        let log = self.evidence.log;
        !log.lost && log.given_up.stepped().next().is_none()
    }
}

/// What is said of bytes that nobody waits for any more.
const GIVEN_UP: &str = "frames here were given up when the vault was forced open";

/// Nothing at all where a copy should be, as a finding to judge.
fn nothing_there(facts: &SegmentFacts, disk: usize, sequence: Sequence) -> (CopyFacts, Finding) {
    let copy = CopyFacts {
        disk,
        unit: UnitIndex::ZERO,
        header: Header::Blank,
        last_sequence: None,
        header_class: Some(Class::Blank),
        findings: Vec::new(),
        seal_faults: Vec::new(),
    };
    let finding = Finding {
        frame: 0,
        offset: BLOCK,
        sequence,
        payload: facts.payload,
        class: Class::Blank,
        followed: false,
        good_copy: true,
        what: String::new(),
    };
    (copy, finding)
}

fn is_changed(fault: &SealFault) -> bool {
    matches!(fault.class, Class::Rotten | Class::Unreadable)
}

/// Faults of records, and ties that do not hold.
fn report_log(pool: &Pool<'_>, evidence: &Evidence<'_>, ledger: &mut Ledger) {
    let log = evidence.log;
    let mut damage = |disk: usize, segment, frame: Option<u32>, what: String| {
        let entry = pool.disks[disk].entry;
        ledger.damage(Damage {
            disk: entry,
            area: Area::Segment,
            segment: Some(segment),
            frame: frame.map(FrameIndex::new),
            what,
            good_copy: false,
        });
    };
    for fault in &log.faults {
        for disk in &fault.disks {
            damage(*disk, fault.segment, fault.frame, fault.what.clone());
        }
    }
    for by in log.citations.wrong_lengths() {
        let what = "a record states another length than the chunk it cites has".to_owned();
        damage(0, by.segment, Some(by.frame), what);
    }
    let lost = log.citations.lost();
    let count: u64 = lost.iter().map(|(_, count)| count).sum();
    if count == 0 {
        return;
    }
    let elsewhere = !pool.is_whole() || ledger.has_unjudged();
    if elsewhere || ledger.has_lost_frames() {
        let whose = if elsewhere {
            "; missing disks may hold them"
        } else {
            ""
        };
        ledger.note_pool(format!(
            "{count} cited chunks are on no present disk{whose}"
        ));
        return;
    }
    for (by, count) in lost {
        let what = format!("its records cite {count} chunks that no disk holds");
        ledger.damage(Damage {
            disk: pool.disks[0].entry,
            area: Area::Segment,
            segment: Some(by.segment),
            frame: Some(FrameIndex::new(by.frame)),
            what,
            good_copy: false,
        });
    }
}

fn fill_totals(log: &Log, all: &[SegmentFacts], ledger: &mut Ledger) {
    let totals = &mut ledger.totals;
    totals.segments = all.len() as u64;
    totals.frames = all.iter().map(|facts| facts.frame_count).sum();
    totals.bytes_verified += all.iter().map(|facts| facts.bytes_verified).sum::<u64>();
    totals.records = log.records;
    totals.chunks = log.citations.count();
    totals.given_up = log.given_up.stepped().map(given_up).collect();
    totals.log_size = log.size();
    totals.log_root = log.root();
}

fn given_up(one: &GivenUp) -> GivenUpRecords {
    let records = one.span.records();
    GivenUpRecords {
        opening: one.by.get(),
        first: records.first.get(),
        last: records.last.get(),
    }
}
