//! Healing while the vault serves: which segment is walked, at what pace, and what its outcome means.
//!
//! One walk at a time, but for the end of a fill. A copy that a reader found bad comes first, then the filling of
//! a disk, then what is due to be read again. What cannot be read at the moment is passed over, not forgotten.

use std::cell::RefCell;

use stele_device::buffer::BufferMut;
use stele_device::disk::{DiskError, Op};
use stele_format::record::{CopyHealth, Scrub};
use stele_format::units::{DiskId, FrameIndex, SegmentId, UnixMillis};

use super::io::Purpose;
use super::mirrors::MirrorCopy;
use super::{DiskSlot, Engine, JobFor, StopState};
use crate::heal::frames::Judgement;
use crate::heal::late::Lateness;
use crate::heal::pace::{Pace, Rates};
use crate::heal::rows::RowsCheck;
use crate::heal::schedule::{Due, HealCounts, Schedule};
use crate::heal::walk::{Ask, Extent, Mode, Walk};
use crate::heal::{CopyAt, Identity, Outcome, Role};
use crate::index::limits::VERIFY_ROWS;
use crate::job::{Job, JudgeJob};
use crate::limits::CLIENT_QUIET_MS;
use crate::pool::{MemberState, Place, SegmentInfo};
use crate::status::Survey;

mod flaws;
mod late;
mod next;
mod told;
mod unheard;

/// Ties operations and jobs to the walk they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HealToken {
    walk: u64,
    token: u64,
}

/// How fast healing goes, and when what is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealPlan {
    /// Reading everything again.
    pub scrub: Rates,
    /// Filling a disk.
    pub fill: Rates,
    /// When segments are due.
    pub due: Due,
    /// Rows of the index that are read again at once, at most.
    pub index_rows: usize,
}

impl Default for HealPlan {
    fn default() -> Self {
        Self {
            scrub: Rates::SCRUB,
            fill: Rates::FILL,
            due: Due::default(),
            index_rows: VERIFY_ROWS,
        }
    }
}

/// A walk under way.
struct Running {
    number: u64,
    walk: Walk,
    aim: Aim,
}

/// What a walk wants done, and where.
struct Asked {
    number: u64,
    identity: Identity,
    copies: Vec<CopyAt>,
    asks: Vec<Ask>,
}

impl Running {
    fn take_asks(&mut self) -> Asked {
        Asked {
            number: self.number,
            identity: *self.walk.identity(),
            copies: self.walk.copies().to_vec(),
            asks: self.walk.take_asks(),
        }
    }
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To read every copy again.
    Scrub,
    /// To fill a disk that joins.
    Fill(DiskId),
    /// To write a copy to a new place.
    Copy(Place),
    /// To read every copy again, and the one at the new place.
    Check(Place),
}

/// Everything about healing that the engine remembers.
#[derive(Default)]
pub(crate) struct Healer {
    pub(super) plan: HealPlan,
    running: Option<Running>,
    /// A fill with few runs left: while they are read, written and flushed, the next one learns where its frames lie.
    ending: Option<Running>,
    schedule: Schedule,
    scrub_pace: Pace,
    fill_pace: Pace,
    lateness: Lateness,
    client_ms: Option<u64>,
    pub(crate) rows: RowsCheck,
    pub(super) mirror: MirrorCopy,
    /// The last snapshot of the index failed, and somebody was told.
    pub(super) snapshots_fail: bool,
    untold: told::Untold,
    unheard: unheard::Unheard,
    /// What was found at the last look at all segments, and when that was.
    pub(crate) survey: RefCell<Option<(u64, Survey)>>,
}

impl Healer {
    /// For an engine that begins at this time.
    pub(crate) fn new(plan: HealPlan, now: UnixMillis) -> Self {
        Self {
            plan,
            schedule: Schedule::new(plan.due),
            rows: RowsCheck::new(plan.due, now),
            ..Self::default()
        }
    }

    /// Counts since start.
    pub(crate) fn counts(&self) -> &HealCounts {
        &self.schedule.counts
    }

    /// A client asked for something.
    pub(crate) fn client_asked(&mut self, now_ms: u64) {
        self.client_ms = Some(now_ms);
    }

    /// The segment being read.
    pub(crate) fn segment(&self) -> Option<SegmentId> {
        self.running
            .as_ref()
            .map(|running| running.walk.identity().segment)
    }

    /// The segments that walks are on.
    pub(super) fn segments(&self) -> Vec<SegmentId> {
        let walks = self.ending.iter().chain(&self.running);
        walks
            .map(|running| running.walk.identity().segment)
            .collect()
    }

    /// Whether a copy on another disk than this one is known not to verify, or may not.
    pub(super) fn suspects_beside(&self, disk: DiskId) -> bool {
        let taken = self.schedule.taken;
        self.schedule.suspects_beside(disk)
            || taken.is_some_and(|taken| self.segments().contains(&taken))
    }

    /// Whether something of a segment was written on a disk again in vain.
    pub(super) fn is_unmended(&self, segment: SegmentId, disk: DiskId) -> bool {
        self.schedule.is_unmended(segment, disk)
    }

    fn under_way(&mut self) -> impl Iterator<Item = &mut Running> {
        self.ending.iter_mut().chain(self.running.as_mut())
    }

    /// The segment whose fill ends.
    pub(super) fn ending(&self) -> Option<SegmentId> {
        let ending = self.ending.as_ref()?;
        Some(ending.walk.identity().segment)
    }

    /// Makes place for the next fill once this one has few runs left; says whether it did.
    fn end_running(&mut self) -> bool {
        let ends =
            |running: &mut Running| matches!(running.aim, Aim::Fill(_)) && running.walk.is_ending();
        if self.ending.is_none() {
            self.ending = self.running.take_if(ends);
            return self.ending.is_some();
        }
        false
    }

    /// Takes a walk that has nothing left to do.
    fn take_finished(&mut self) -> Option<(Running, Outcome)> {
        for place in [&mut self.ending, &mut self.running] {
            if let Some(running) = place
                && let Some(outcome) = running.walk.finished()
            {
                return Some((place.take()?, outcome));
            }
        }
        None
    }

    fn abandon(&mut self, ends: impl Fn(Aim) -> bool) {
        for place in [&mut self.ending, &mut self.running] {
            drop(place.take_if(|running| ends(running.aim)));
        }
    }

    fn is_busy(&self, now_ms: u64) -> bool {
        self.client_ms
            .is_some_and(|asked| now_ms.saturating_sub(asked) < CLIENT_QUIET_MS)
    }
}

impl Engine {
    /// A reader met a copy that does not verify.
    pub(super) fn suspect_segment(&mut self, segment: SegmentId) {
        if self.healer.segment() == Some(segment) {
            self.healer.schedule.taken = Some(segment);
        } else {
            self.healer.schedule.suspect(segment);
        }
    }

    /// A reader got nothing from any copy that it asked: all is read again, unless it is known what is lost there.
    pub(super) fn suspect_unread(&mut self, segment: SegmentId) {
        if !self.healer.schedule.is_lost(segment) {
            self.suspect_segment(segment);
        }
    }

    /// Begins and advances walks as far as the pace allows.
    pub(super) fn pump_healing(&mut self) {
        if self.read_only.is_some() || self.stop != StopState::Running || self.relabelling {
            return;
        }
        self.tell_of_scrubs_due();
        self.look_for_late();
        loop {
            if self.healer.running.is_none() {
                self.begin_walk();
            }
            self.advance_walks();
            match self.healer.take_finished() {
                Some((walked, outcome)) => self.conclude_walk(&walked, &outcome),
                None if self.healer.end_running() => {}
                None => return,
            }
        }
    }

    fn begin_walk(&mut self) {
        let Some((segment, aim)) = self.next_to_walk() else {
            return;
        };
        let Some(walk) = self.walk_of(segment, aim) else {
            match aim {
                // No copy of it is here: the disk takes part without it.
                Aim::Fill(_) => self.filled(segment, false, 0),
                Aim::Copy(_) | Aim::Check(_) => self.fail_drain("what it holds cannot be read"),
                Aim::Scrub => self.read_again(segment),
            }
            return;
        };
        let number = self.number();
        self.healer.running = Some(Running { number, walk, aim });
    }

    /// Whether a copy lies on a disk that takes part.
    fn has_member(&self, info: &SegmentInfo) -> bool {
        let mut places = info.places.iter();
        places.any(|place| self.pool.locate_active(place).is_some())
    }

    /// Whether something of a segment may be read again: not while it is being sealed, nor while of an
    /// open one some copy lacks a frame. `unfinished` are the segments of the data lane.
    pub(super) fn is_readable(
        &self,
        segment: SegmentId,
        info: &SegmentInfo,
        unfinished: &[SegmentId],
    ) -> bool {
        match info.data_end {
            None if segment == self.journal.segment() => self.journal.has_durable_frames(),
            None => self.lane.is_durable(segment),
            Some(_) if info.lane.is_journal() => self.journal.is_sealed_everywhere(),
            Some(_) => !unfinished.contains(&segment),
        }
    }

    fn walk_of(&self, segment: SegmentId, aim: Aim) -> Option<Walk> {
        let info = self.pool.segments.get(&segment)?;
        let identity = Identity {
            pool: self.pool.id,
            segment,
            lane: info.lane,
            unit_bytes: self.pool.unit_bytes,
            units: info.units,
        };
        if !self.is_readable(segment, info, &self.lane.open_segments()) {
            return None;
        }
        let extent = match info.data_end {
            Some(data_end) => Extent::Closed {
                data_end,
                cut: info.is_unread() && info.epoch < self.journal.epoch(),
                stated: info.stated.clone(),
            },
            None if segment == self.journal.segment() => Extent::Open {
                frames: self.journal.durable_frames(),
            },
            None => Extent::Open {
                frames: self.lane.frames(),
            },
        };
        let copies = self.copies_of(info, aim);
        let mode = match aim {
            Aim::Fill(_) | Aim::Copy(_) => Mode::Fill,
            Aim::Scrub | Aim::Check(_) => Mode::Scrub,
        };
        // A disk without a vote says nothing of others, but what it gives is judged all the same.
        let source = |copy: &CopyAt| match copy.role {
            Role::Member => true,
            Role::Witness => mode == Mode::Fill,
            Role::Target => false,
        };
        let readable = copies.iter().any(source);
        readable.then(|| Walk::new(identity, mode, extent, copies))
    }

    fn copies_of(&self, info: &SegmentInfo, aim: Aim) -> Vec<CopyAt> {
        let role = |disk: DiskId| {
            let member = self.pool.member(disk)?;
            match member.state {
                MemberState::Active => Some(Role::Member),
                MemberState::Joining if aim == Aim::Fill(disk) => Some(Role::Target),
                MemberState::Stale => Some(Role::Witness),
                MemberState::Joining
                | MemberState::Absent
                | MemberState::Expelled
                | MemberState::Drained => None,
            }
        };
        let mut copies: Vec<CopyAt> = info
            .places
            .iter()
            .filter_map(|place| {
                let (slot, base) = self.pool.locate(place)?;
                Some(CopyAt {
                    disk: place.disk,
                    slot,
                    base,
                    role: role(place.disk)?,
                })
            })
            .collect();
        let new = match aim {
            Aim::Copy(place) => Some((place, Role::Target)),
            Aim::Check(place) => Some((place, Role::Member)),
            Aim::Scrub | Aim::Fill(_) => None,
        };
        copies.extend(new.and_then(|(place, role)| {
            let (slot, base) = self.pool.locate_active(&place)?;
            let disk = place.disk;
            Some(CopyAt {
                disk,
                slot,
                base,
                role,
            })
        }));
        copies.sort_by_key(|copy| match copy.role {
            Role::Member => 0,
            Role::Witness => 1,
            Role::Target => 2,
        });
        copies
    }

    fn advance_walks(&mut self) {
        let now_ms = self.now.monotonic_ms;
        let busy = self.healer.is_busy(now_ms);
        let hurry = self.healer.lateness.ages.hurry();
        let Healer {
            plan,
            running,
            ending,
            scrub_pace,
            fill_pace,
            ..
        } = &mut self.healer;
        for Running { walk, aim, .. } in ending.iter_mut().chain(running) {
            let (pace, rates, hurry) = match aim {
                Aim::Fill(_) | Aim::Copy(_) | Aim::Check(_) => (&mut *fill_pace, &plan.fill, 0),
                Aim::Scrub => (&mut *scrub_pace, &plan.scrub, hurry),
            };
            let rate = match busy {
                true => rates.busy(hurry),
                false => rates.idle_bytes_per_s,
            };
            loop {
                let bytes = walk.next_bytes();
                if bytes == 0 || !pace.take(rate, now_ms, bytes) {
                    break;
                }
                walk.go_on();
            }
        }
        self.submit_asks();
    }

    pub(super) fn submit_asks(&mut self) {
        let asked: Vec<Asked> = self.healer.under_way().map(Running::take_asks).collect();
        for asked in asked {
            self.submit(asked);
        }
    }

    fn submit(&mut self, asked: Asked) {
        let Asked {
            number,
            identity,
            copies,
            asks,
        } = asked;
        for ask in asks {
            let of = |token| HealToken {
                walk: number,
                token,
            };
            let (copy, op, purpose) = match ask {
                Ask::Read {
                    token,
                    copy,
                    offset,
                    bytes,
                } => (
                    copy,
                    Op::Read { offset, bytes },
                    Purpose::HealRead(of(token)),
                ),
                Ask::Write {
                    token,
                    copy,
                    offset,
                    data,
                } => (copy, Op::Write { offset, data }, Purpose::Heal(of(token))),
                Ask::Flush { token, copy } => (copy, Op::Flush, Purpose::Heal(of(token))),
                Ask::Judge { token, run, buffer } => {
                    let id = self.io.job_id();
                    self.jobs.insert(id, JobFor::Heal(of(token)));
                    self.io.job(Job::Judge(JudgeJob {
                        id,
                        identity,
                        run,
                        buffer,
                    }));
                    continue;
                }
            };
            let Some(copy) = copies.get(copy) else {
                continue;
            };
            self.io.submit(copy.slot, at(op, copy.base), purpose);
        }
    }

    pub(super) fn walk_with(&mut self, token: HealToken) -> Option<&mut Walk> {
        let mut under_way = self.healer.under_way();
        let running = under_way.find(|running| running.number == token.walk)?;
        Some(&mut running.walk)
    }

    /// A read of a walk has ended.
    pub(super) fn heal_read(&mut self, token: HealToken, bytes: Option<BufferMut>) {
        if let Some(walk) = self.walk_with(token) {
            walk.read_done(token.token, bytes);
        }
        self.submit_asks();
    }

    /// A write or flush of a walk has ended.
    pub(super) fn heal_written(
        &mut self,
        slot: DiskSlot,
        token: HealToken,
        error: Option<DiskError>,
    ) {
        if let Some(error) = error {
            return self.fail_member(slot, &error);
        }
        if let Some(walk) = self.walk_with(token) {
            walk.done(token.token);
        }
        self.submit_asks();
    }

    /// A worker has judged a run.
    pub(super) fn heal_judged(
        &mut self,
        token: HealToken,
        buffer: BufferMut,
        good: Vec<Judgement>,
    ) {
        if let Some(walk) = self.walk_with(token) {
            walk.judged(token.token, buffer, good);
        }
        self.submit_asks();
    }

    /// A disk is not filled any more: nor is what was being read for it.
    pub(super) fn heal_abandon(&mut self, disk: DiskId) {
        self.healer.abandon(|aim| aim == Aim::Fill(disk));
    }

    /// A drain ended early: so does what was being copied for it.
    pub(super) fn heal_abandon_move(&mut self) {
        self.healer
            .abandon(|aim| matches!(aim, Aim::Copy(_) | Aim::Check(_)));
    }

    /// What a fill could not give a disk that takes part now is tried again.
    pub(super) fn suspect_holes(&mut self, segments: &[SegmentId]) {
        for segment in segments {
            if let Some(info) = self.pool.segments.get_mut(segment) {
                info.was_copied(self.clock.latest());
            }
            self.healer.schedule.suspect(*segment);
        }
    }

    /// A disk is not believed any more: the walk goes on without it.
    pub(super) fn heal_forget(&mut self, slot: DiskSlot) {
        if let Some(member) = self.pool.member_at(slot) {
            self.healer.schedule.forget_disk(member.disk);
            self.healer.untold.forget_disk(member.disk);
            self.alarms.disk_forgotten(member);
        }
        for running in self.healer.under_way() {
            running.walk.forget(slot);
        }
        self.submit_asks();
    }

    fn conclude_walk(&mut self, running: &Running, outcome: &Outcome) {
        let identity = *running.walk.identity();
        let read_all = running.aim == Aim::Scrub;
        let now_ms = self.now.monotonic_ms;
        let schedule = &mut self.healer.schedule;
        let news = schedule.record(identity.segment, outcome, read_all);
        schedule.note_unmended(identity.segment, outcome, read_all, now_ms);
        let flaw = self.note_flaw(identity.segment, read_all && outcome.is_conclusive());
        self.tell_of_walk(identity.segment, outcome, news);
        // It is read again for what it is read for now, or nobody waits for it any more.
        let waits = self.is_waited_for(running.aim, identity.segment, outcome);
        match running.aim {
            Aim::Fill(_) | Aim::Copy(_) | Aim::Check(_) if waits => return,
            Aim::Fill(disk) => {
                let whole = outcome.whole.contains(&disk) && outcome.lost.is_empty();
                // Where something was wrong it is read again once the disk takes part, which may give what is lost.
                let whole = whole && flaw.is_none();
                return self.filled(identity.segment, whole, outcome.filled_bytes);
            }
            Aim::Copy(to) => return self.copied(to, outcome),
            Aim::Check(to) => return self.checked(to, outcome),
            Aim::Scrub => {}
        }
        let info = self.pool.segments.get(&identity.segment);
        let is_open = info.is_some_and(|info| info.data_end.is_none());
        if waits {
            // Also where it was not due: something may be wrong with it.
            return self.healer.schedule.suspect(identity.segment);
        }
        if !outcome.is_conclusive() || running.walk.was_open() != is_open {
            // It was closed meanwhile, or is not known to be read to its end: it is read again.
            if flaw.is_some() {
                self.healer.unheard.note(identity.segment, now_ms);
                self.healer.schedule.suspect(identity.segment);
            }
            return self.read_again(identity.segment);
        }
        // Of what does not keep what it is given no record says that it was verified. That something is lost one does.
        match outcome.unmended.is_empty() || !outcome.lost.is_empty() {
            true => {
                let scrub = scrub_of(&identity, outcome, running.walk.copies());
                self.tell_of_scrub(scrub, is_open);
            }
            false => self.healer.untold.forget(identity.segment),
        }
        // Until the record is durable the segment is not looked at again.
        if let Some(info) = self.pool.segments.get_mut(&identity.segment) {
            info.was_read(self.clock.latest());
        }
    }

    fn read_again(&mut self, segment: SegmentId) {
        let now_ms = self.now.monotonic_ms;
        self.healer.schedule.again(segment, &self.pool, now_ms);
    }

    /// Alarms for what a walk wrote again, in vain or not, and for what it found lost, if that is news.
    fn tell_of_walk(&mut self, segment: SegmentId, outcome: &Outcome, news: bool) {
        let at = self.clock.latest();
        for disk in outcome.unmended.keys() {
            if let Some(member) = self.pool.member(*disk) {
                self.alarms.not_mended(member, at);
            }
        }
        let mended = |disk: &&DiskId| {
            outcome.repaired_on.contains(disk) && !outcome.unmended.contains_key(disk)
        };
        for disk in outcome.failed_on.iter().filter(mended) {
            if let Some(member) = self.pool.member(*disk) {
                self.alarms.repaired(member, at);
            }
        }
        self.alarms.wrong_alike(segment, outcome.alike, at);
        if news {
            let pieces = self.healer.counts().lost_pieces;
            self.alarms.lost(segment, pieces, at);
        }
    }

    /// Tells how much is lost, where more was found to be than was told.
    pub(super) fn tell_of_losses(&mut self) {
        let pieces = self.healer.counts().lost_pieces;
        self.alarms.tell_losses(pieces, self.clock.latest());
    }

    /// Age of the oldest byte that was not read again since it was written or last read.
    pub(crate) fn oldest_unverified_ms(&self) -> u64 {
        let now: UnixMillis = self.clock.latest();
        let mut open = vec![self.journal.segment()];
        open.extend(self.lane.segment());
        crate::heal::schedule::oldest_unverified_ms(&self.pool, &open, now)
    }
}

fn scrub_of(identity: &Identity, outcome: &Outcome, copies: &[CopyAt]) -> Scrub {
    let mut lost: Vec<FrameIndex> = outcome
        .lost
        .iter()
        .filter_map(|lost| lost.frame.map(FrameIndex::new))
        .collect();
    lost.sort_unstable();
    lost.dedup();
    lost.truncate(usize::from(u8::MAX));
    let health = match (outcome.lost.is_empty(), outcome.repaired) {
        (false, _) => CopyHealth::Holed,
        (true, 0) => CopyHealth::Whole,
        (true, _) => CopyHealth::Repaired,
    };
    let of = |copy: &&CopyAt| outcome.whole.contains(&copy.disk);
    let copies = copies.iter().filter(of).map(|copy| {
        let repaired = outcome.repaired_on.contains(&copy.disk);
        match health {
            CopyHealth::Repaired if !repaired => (copy.disk, CopyHealth::Whole),
            health => (copy.disk, health),
        }
    });
    Scrub {
        segment: identity.segment,
        lane: identity.lane,
        copies: copies.collect(),
        lost,
    }
}

/// The same operation, its offset counted from the start of the disk.
fn at(op: Op, base: u64) -> Op {
    match op {
        Op::Read { offset, bytes } => Op::Read {
            offset: base + offset,
            bytes,
        },
        Op::Write { offset, data } => Op::Write {
            offset: base + offset,
            data,
        },
        other => other,
    }
}
