//! Which segment is read again next, and the counts that tell an operator how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::units::{DiskId, SegmentId, UnixMillis};

use super::waiting::Waiting;
use super::{Lost, Outcome};
use crate::limits::{
    LATE_TURN_COUNT, LOOKED_AT_PER_MS_KEPT, LOST_COUNT_MAX, SCRUB_FIRST_MS_MAX, SCRUB_INTERVAL_MS,
    SCRUB_OPEN_MS, SCRUB_SETTLE_MS,
};
use crate::pool::{Flaw, Pool, SegmentInfo};

/// Counts of healing since start, and what it knows to be lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealCounts {
    /// Segments read to their end on every copy.
    pub segments: u64,
    /// Bytes read and judged good, over all copies.
    pub verified_bytes: u64,
    /// Frames, headers, footers and seals written again and read back.
    pub repaired: u64,
    /// Bytes written again and read back.
    pub repaired_bytes: u64,
    /// Those that a disk does not give although they were written there again, as the last look at each segment found
    /// it.
    pub unmended: BTreeMap<DiskId, u64>,
    /// What no copy could give back, as the last look at each segment found it; not all, where it is very much.
    pub lost: Vec<Lost>,
    /// How much of it there is in all.
    pub lost_pieces: usize,
    /// Segments of which something was found to be lost before the start, and that were not read to their end since.
    pub lost_before: usize,
}

impl HealCounts {
    /// Whether anything is known to be lost.
    #[must_use]
    pub fn has_losses(&self) -> bool {
        self.lost_pieces > 0 || self.lost_before > 0
    }
}

/// What of a segment was written again in vain.
#[derive(Debug)]
struct Unmended {
    disks: BTreeMap<DiskId, u64>,
    /// From when on it is tried again for a reader.
    from_ms: u64,
}

/// What to read again.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    suspects: BTreeSet<SegmentId>,
    /// The one of them that was taken last.
    pub(crate) taken: Option<SegmentId>,
    /// None of the suspected could be read; looked at again from then on.
    suspects_from_ms: u64,
    /// Nothing was due; looked at again from then on.
    quiet_until_ms: u64,
    /// Before this nothing is looked at to be forgotten.
    forget_ms: u64,
    due: Due,
    /// So many of those that were due and were taken last had something new in them.
    new_in_a_row: u32,
    /// What is overdue had its turn; the next is that of a disk being filled.
    overdue_went: bool,
    waiting: Waiting,
    /// What is lost of each segment, where something is.
    lost: BTreeMap<SegmentId, usize>,
    /// Segments with which something was wrong before the start, until they are suspected.
    remembered: BTreeSet<SegmentId>,
    /// Segments of which something was lost before the start, until they are read to their end.
    lost_before: BTreeSet<SegmentId>,
    /// What was written again in vain.
    unmended: BTreeMap<SegmentId, Unmended>,
    pub(crate) counts: HealCounts,
}

/// Pause before the segments are searched again for one that is due.
const SEARCH_PAUSE_MS: u64 = 5_000;

/// Pause before suspected segments are tried again of which none could be read.
const SUSPECT_PAUSE_MS: u64 = 100;

/// Pause before a segment of which something was written again in vain is tried again because a reader met it.
const UNMENDED_PAUSE_MS: u64 = 3_600_000;

/// So long after the last time such a segment is due, by the compliance clock.
const UNMENDED_AGAIN_MS: u64 = 24 * 3_600_000;

/// When segments are due to be read again, by the compliance clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// A closed segment for the first time, after it was closed, or given a further copy.
    pub settle_ms: u64,
    /// What is durable of an open segment, after the last time.
    pub open_ms: u64,
    /// A closed segment, after the last time.
    pub interval_ms: u64,
}

impl Default for Due {
    fn default() -> Self {
        Self {
            settle_ms: SCRUB_SETTLE_MS,
            open_ms: SCRUB_OPEN_MS,
            interval_ms: SCRUB_INTERVAL_MS,
        }
    }
}

impl Due {
    fn at(&self, info: &SegmentInfo) -> UnixMillis {
        let (written, verified) = (info.written.get(), info.verified.get());
        UnixMillis::new(match (info.data_end, verified) {
            (None, _) => written.max(verified).saturating_add(self.open_ms),
            (Some(_), 0) => info.unread_since().get().saturating_add(self.settle_ms),
            (Some(_), _) => verified.saturating_add(self.interval_ms),
        })
    }
}

impl Schedule {
    /// With its own idea of when something is due.
    pub(crate) fn new(due: Due) -> Self {
        Self {
            due,
            ..Self::default()
        }
    }

    /// A copy of this segment was seen not to verify: it is read again as soon as it can be.
    pub(crate) fn suspect(&mut self, segment: SegmentId) {
        self.suspects.insert(segment);
        self.suspects_from_ms = 0;
    }

    /// Something was wrong with this segment before the start: what it is now is looked at when no disk is filled or drained.
    pub(crate) fn remember(&mut self, segment: SegmentId, flaw: Flaw) {
        self.remembered.insert(segment);
        if flaw == Flaw::Lost && !self.is_lost(segment) {
            self.lost_before.insert(segment);
            self.counts.lost_before = self.lost_before.len();
        }
    }

    /// What is known to be wrong with a segment.
    pub(crate) fn flaw(&self, segment: SegmentId) -> Option<Flaw> {
        if self.is_lost(segment) || self.lost_before.contains(&segment) {
            return Some(Flaw::Lost);
        }
        let unmended = self.unmended.contains_key(&segment);
        unmended.then_some(Flaw::Unmended)
    }

    /// Segments with which something is known to be wrong.
    pub(crate) fn flawed(&self) -> impl Iterator<Item = (SegmentId, Flaw)> {
        let known = self.lost.keys().chain(&self.lost_before);
        let known = known.chain(self.unmended.keys());
        known.filter_map(|segment| Some((*segment, self.flaw(*segment)?)))
    }

    /// Nothing else waits: what was wrong before the start is suspected now. Whether anything was.
    pub(crate) fn recall(&mut self) -> bool {
        let any = !self.remembered.is_empty();
        if any {
            self.suspects.append(&mut self.remembered);
            self.suspects_from_ms = 0;
        }
        any
    }

    /// Takes the first suspected segment that can be read now; the others stay suspected.
    pub(crate) fn take_suspect(
        &mut self,
        now_ms: u64,
        can_be_read: impl Fn(SegmentId) -> bool,
    ) -> Option<SegmentId> {
        let rests = |id: &SegmentId| self.unmended.get(id).is_some_and(|it| now_ms < it.from_ms);
        let mut suspects = self.suspects.iter().copied();
        let found = suspects.find(|id| !rests(id) && can_be_read(*id));
        match found {
            Some(segment) => {
                self.suspects.remove(&segment);
                self.taken = found;
            }
            None => self.suspects_from_ms = now_ms.saturating_add(SUSPECT_PAUSE_MS),
        }
        found
    }

    /// Whether a suspected segment is to be looked for now.
    pub(crate) fn has_suspects(&self, now_ms: u64) -> bool {
        !self.suspects.is_empty() && now_ms >= self.suspects_from_ms
    }

    /// Whether a copy is suspected that nobody has taken, or could not be mended, on another disk than this one.
    pub(crate) fn suspects_beside(&self, disk: DiskId) -> bool {
        let unmended = |unmended: &Unmended| unmended.disks.keys().any(|on| *on != disk);
        // What waits after it was written again in vain is suspected for that alone.
        let suspected = |segment| match self.unmended.get(segment) {
            None => true,
            Some(found) => unmended(found),
        };
        // On which disk something was wrong before the start is not known any more.
        self.suspects.iter().any(suspected)
            || !self.remembered.is_empty()
            || self.unmended.values().any(unmended)
    }

    /// Whether something of a segment is known to be lost.
    pub(crate) fn is_lost(&self, segment: SegmentId) -> bool {
        self.lost.contains_key(&segment)
    }

    /// Whether something of a segment was written on a disk again in vain.
    pub(crate) fn is_unmended(&self, segment: SegmentId, disk: DiskId) -> bool {
        let unmended = self.unmended.get(&segment);
        unmended.is_some_and(|unmended| unmended.disks.contains_key(&disk))
    }

    /// Segments that are no more are neither suspected nor lost. On a dying disk there may be very many: they are looked
    /// at the more seldom.
    pub(crate) fn forget(&mut self, now_ms: u64, known: impl Fn(SegmentId) -> bool) {
        if now_ms < self.forget_ms {
            return;
        }
        let count =
            self.suspects.len() + self.lost.len() + self.lost_before.len() + self.unmended.len();
        self.forget_ms = now_ms.saturating_add(count as u64 / LOOKED_AT_PER_MS_KEPT);
        self.suspects.retain(|segment| known(*segment));
        self.lost.retain(|segment, _| known(*segment));
        self.counts.lost.retain(|lost| known(lost.segment));
        self.counts.lost_pieces = self.lost.values().sum();
        self.remembered.retain(|segment| known(*segment));
        self.lost_before.retain(|segment| known(*segment));
        self.counts.lost_before = self.lost_before.len();
        self.unmended.retain(|segment, _| known(*segment));
        self.count_unmended();
    }

    /// A disk is not believed any more, whatever it gives.
    pub(crate) fn forget_disk(&mut self, disk: DiskId) {
        self.unmended.retain(|_, unmended| {
            unmended.disks.remove(&disk);
            !unmended.disks.is_empty()
        });
        self.count_unmended();
    }

    /// Notes what a walk wrote again in vain. Only one that read every copy can say that all is well.
    pub(crate) fn note_unmended(
        &mut self,
        segment: SegmentId,
        outcome: &Outcome,
        read_all: bool,
        now_ms: u64,
    ) {
        if !outcome.unmended.is_empty() {
            let mut disks = outcome.unmended.clone();
            let before = self.unmended.remove(&segment).filter(|_| !read_all);
            for (disk, pieces) in before.into_iter().flat_map(|before| before.disks) {
                disks.entry(disk).or_insert(pieces);
            }
            let from_ms = now_ms.saturating_add(UNMENDED_PAUSE_MS);
            self.unmended.insert(segment, Unmended { disks, from_ms });
        } else if read_all && outcome.complete {
            self.unmended.remove(&segment);
        }
        self.count_unmended();
    }

    fn count_unmended(&mut self) {
        let mut counts = BTreeMap::new();
        let disks = self.unmended.values().flat_map(|unmended| &unmended.disks);
        for (disk, pieces) in disks {
            *counts.entry(*disk).or_default() += pieces;
        }
        self.counts.unmended = counts;
    }

    /// When a segment is due.
    fn due_at(&self, segment: SegmentId, info: &SegmentInfo) -> UnixMillis {
        let due = self.due.at(info);
        match self.unmended.contains_key(&segment) {
            true => due.min(UnixMillis::new(
                info.verified.get().saturating_add(UNMENDED_AGAIN_MS),
            )),
            false => due,
        }
    }

    /// Whether nothing was due a short while ago.
    pub(crate) fn is_quiet(&self, now_ms: u64) -> bool {
        now_ms < self.quiet_until_ms
    }

    /// The segment that has been due for longest, of those that can be read now. Those with something new and all others
    /// take turns, so that neither a long backlog nor steady uploads keep the other kind from being read: each has half
    /// of the pace, and what the other one leaves of its half. What is new has three turns of four once it has waited too long.
    pub(crate) fn due(
        &mut self,
        pool: &Pool,
        now: UnixMillis,
        can_be_read: impl Fn(SegmentId, &SegmentInfo) -> bool,
    ) -> Option<SegmentId> {
        let in_a_row = match self.new_is_late(pool, now) {
            true => LATE_TURN_COUNT,
            false => 1,
        };
        let turn = self.new_in_a_row < in_a_row;
        let is_due = |schedule: &Self, id, info: &SegmentInfo| {
            info.is_written() && schedule.due_at(id, info) <= now
        };
        let found = self.next(turn, pool, now, is_due, &can_be_read);
        found.or_else(|| self.take(!turn, pool, is_due, &can_be_read))
    }

    /// Whether the first that waits of what is new has waited for too long.
    fn new_is_late(&self, pool: &Pool, now: UnixMillis) -> bool {
        let first = self.waiting.first_new();
        let first = first.and_then(|segment| pool.segments.get(&segment));
        first.is_some_and(|info| is_late(info, now))
    }

    /// Takes the first of a kind, after a look at all segments where none is there to be read.
    fn next(
        &mut self,
        new: bool,
        pool: &Pool,
        now: UnixMillis,
        is_due: impl Fn(&Self, SegmentId, &SegmentInfo) -> bool,
        can_be_read: impl Fn(SegmentId, &SegmentInfo) -> bool,
    ) -> Option<SegmentId> {
        let found = self.take(new, pool, &is_due, &can_be_read);
        if found.is_some() || !self.waiting.may_look(now) {
            return found;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let due = pool.segments.iter().filter_map(|(id, info)| {
            let is_due = is_due(self, *id, info) && can_be_read(*id, info);
            is_due.then(|| (self.due_at(*id, info), info.is_new(), *id))
        });
        waiting.look(due, now);
        self.waiting = waiting;
        self.take(new, pool, is_due, can_be_read)
    }

    fn take(
        &mut self,
        new: bool,
        pool: &Pool,
        is_due: impl Fn(&Self, SegmentId, &SegmentInfo) -> bool,
        can_be_read: impl Fn(SegmentId, &SegmentInfo) -> bool,
    ) -> Option<SegmentId> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let known = |id| pool.segments.get(&id);
        let found = waiting.take(
            new,
            |id| known(id).is_some_and(|info| is_due(self, id, info)),
            |id| known(id).is_some_and(|info| can_be_read(id, info)),
        );
        self.waiting = waiting;
        found
    }

    /// Whether it is the turn of what is overdue, and not of a disk being filled: every second time that is asked.
    pub(crate) fn is_turn_of_overdue(&mut self) -> bool {
        self.overdue_went = !self.overdue_went;
        self.overdue_went
    }

    /// Of the segments with something new that was not read again for too long, the one that has waited longest.
    pub(crate) fn overdue(
        &mut self,
        pool: &Pool,
        now: UnixMillis,
        can_be_read: impl Fn(SegmentId, &SegmentInfo) -> bool,
    ) -> Option<SegmentId> {
        let is_overdue = |_: &Self, _, info: &SegmentInfo| info.is_written() && is_late(info, now);
        self.next(true, pool, now, is_overdue, can_be_read)
    }

    /// This segment, which was due, is read now.
    pub(crate) fn took(&mut self, info: &SegmentInfo) {
        self.new_in_a_row = match info.is_new() {
            true => self.new_in_a_row.saturating_add(1),
            false => 0,
        };
    }

    /// What was taken could not be read, or not to its end: it is the next one after a pause.
    pub(crate) fn again(&mut self, segment: SegmentId, pool: &Pool, now_ms: u64) {
        if let Some(info) = pool.segments.get(&segment) {
            self.waiting.put_back(info.is_new(), segment);
        }
        self.postpone(now_ms);
    }

    /// Nothing is due that can be read: another look after a pause.
    pub(crate) fn postpone(&mut self, now_ms: u64) {
        self.quiet_until_ms = now_ms.saturating_add(SEARCH_PAUSE_MS.min(self.due.settle_ms));
    }

    /// Counts what a walk found; says whether something is lost of which that was not known. Only one that read every copy
    /// can say that nothing is.
    pub(crate) fn record(&mut self, segment: SegmentId, outcome: &Outcome, read_all: bool) -> bool {
        let counts = &mut self.counts;
        counts.segments += u64::from(outcome.complete);
        counts.verified_bytes += outcome.verified_bytes;
        counts.repaired += outcome.repaired;
        counts.repaired_bytes += outcome.repaired_bytes;
        if !outcome.is_conclusive() || outcome.lost.is_empty() && !read_all {
            return false;
        }
        self.lost_before.remove(&segment);
        counts.lost_before = self.lost_before.len();
        let is_named = |lost: &Lost| counts.lost.contains(lost);
        let all_are_named = counts.lost.len() == counts.lost_pieces;
        let before = self.lost.remove(&segment).unwrap_or(0);
        let more = outcome.lost.len() > before;
        let others = all_are_named && !outcome.lost.iter().all(is_named);
        if !outcome.lost.is_empty() {
            self.lost.insert(segment, outcome.lost.len());
        }
        counts.lost_pieces = self.lost.values().sum();
        counts.lost.retain(|lost| lost.segment != segment);
        let room = LOST_COUNT_MAX.saturating_sub(counts.lost.len());
        counts.lost.extend(outcome.lost.iter().take(room));
        more || others
    }
}

/// Whether something new in a segment has waited for too long.
fn is_late(info: &SegmentInfo, now: UnixMillis) -> bool {
    let age_ms = |since: UnixMillis| now.get().saturating_sub(since.get());
    let new = info.new_since();
    new.is_some_and(|since| age_ms(since) >= SCRUB_FIRST_MS_MAX)
}

/// Age of the oldest byte not read again since, in milliseconds of the compliance clock. Of segments that
/// are not closed those in `open` hold something; others were allocated and not begun.
pub(crate) fn oldest_unverified_ms(pool: &Pool, open: &[SegmentId], now: UnixMillis) -> u64 {
    let holds = |(id, info): &(&SegmentId, &SegmentInfo)| {
        info.is_written() && (info.data_end.is_some() || open.contains(id))
    };
    let written = pool.segments.iter().filter(holds);
    let since = written.map(|(_, info)| info.written.max(info.verified));
    since
        .min()
        .map_or(0, |since| now.get().saturating_sub(since.get()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stele_format::units::{Epoch, Generation, LaneId, PoolId, SegmentId, Sequence, UnixMillis};

    use super::{Schedule, oldest_unverified_ms};
    use crate::pool::{FirstRead, Pool, SegmentInfo};

    fn closed(written: u64) -> SegmentInfo {
        SegmentInfo {
            lane: LaneId::new(1),
            epoch: Epoch::new(1),
            units: 1,
            first_sequence: Sequence::FIRST,
            data_end: Some(8192),
            stated: None,
            places: Vec::new(),
            aside: Vec::new(),
            written: UnixMillis::new(written),
            verified: UnixMillis::ZERO,
            first_read: Some(FirstRead {
                since: UnixMillis::new(written),
                new: true,
            }),
            flaw: None,
        }
    }

    fn pool(segments: impl IntoIterator<Item = (u64, SegmentInfo)>) -> Pool {
        let segments = segments.into_iter();
        Pool {
            id: PoolId::default(),
            members: Vec::new(),
            generation: Generation::ZERO,
            in_force: Generation::ZERO,
            opening: stele_format::units::Opening::ZERO,
            unit_bytes: 1 << 18,
            segment_units: 1,
            flags: 0,
            created: UnixMillis::ZERO,
            segments: segments
                .map(|(id, info)| (SegmentId::new(id), info))
                .collect(),
            freed: crate::pool::space::Freed::default(),
            doubted: None,
            unread: crate::pool::unread::Unread::default(),
            next_segment: SegmentId::new(9),
            now_ms: 0,
        }
    }

    #[test]
    fn a_due_segment_that_cannot_be_read_holds_up_no_other() {
        let pool = pool([(1, closed(0)), (2, closed(5)), (3, closed(7))]);
        let now = UnixMillis::new(1 << 40);
        let due = |cannot: u64| Schedule::default().due(&pool, now, |id, _| id.get() != cannot);
        assert_eq!(due(9), Some(SegmentId::new(1)));
        assert_eq!(due(1), Some(SegmentId::new(2)));
        assert_eq!(
            Schedule::default().due(&pool, UnixMillis::new(1), |_, _| true),
            None
        );
    }

    #[test]
    fn what_was_never_read_again_goes_before_what_is_overdue_and_the_other_way_by_turns() {
        let overdue = SegmentInfo {
            verified: UnixMillis::new(1),
            first_read: None,
            flaw: None,
            ..closed(0)
        };
        let later = 1 << 40;
        let pool = pool([(1, overdue), (2, closed(later))]);
        let mut schedule = Schedule::default();
        let due = |schedule: &mut Schedule, now: u64| {
            let due = schedule.due(&pool, UnixMillis::new(now), |_, _| true);
            due.map(SegmentId::get)
        };
        assert_eq!(
            due(&mut schedule, later),
            Some(1),
            "the other one is too young"
        );
        assert_eq!(due(&mut schedule, 2 * later), Some(2));
        schedule.took(&pool.segments[&SegmentId::new(2)]);
        assert_eq!(due(&mut schedule, 2 * later), Some(1));
        schedule.took(&pool.segments[&SegmentId::new(1)]);
        assert_eq!(due(&mut schedule, 2 * later), Some(2));
    }

    #[test]
    fn an_overdue_segment_is_read_although_there_are_always_some_that_never_were() {
        let overdue = SegmentInfo {
            verified: UnixMillis::new(1),
            first_read: None,
            flaw: None,
            ..closed(0)
        };
        let day = 24 * 3_600_000;
        let mut schedule = Schedule::default();
        let mut pool = pool([(1, overdue)]);
        let mut read = Vec::new();
        // One segment is begun a day, and one is read a day.
        for number in 2..40 {
            let now = UnixMillis::new(30 * day + number * day);
            pool.segments
                .insert(SegmentId::new(number), closed(now.get() - day / 2));
            let due = schedule.due(&pool, now, |_, _| true).unwrap();
            let info = pool.segments.get_mut(&due).unwrap();
            schedule.took(info);
            info.verified = now;
            read.push(due.get());
        }
        assert!(read[..2].contains(&1), "{read:?}");
        assert!(read.iter().filter(|at| **at == 1).count() > 2, "{read:?}");
        let firsts: BTreeSet<u64> = read.iter().copied().collect();
        assert!(firsts.len() >= read.len() / 2, "{read:?}");
    }

    #[test]
    fn a_segment_that_was_not_begun_holds_nothing_unverified() {
        let open = SegmentInfo {
            data_end: None,
            first_read: None,
            flaw: None,
            ..closed(2)
        };
        let pool = pool([(1, closed(5)), (2, open)]);
        let age = |open: &[SegmentId]| oldest_unverified_ms(&pool, open, UnixMillis::new(10));
        assert_eq!(age(&[]), 5);
        assert_eq!(age(&[SegmentId::new(2)]), 8);
    }

    #[test]
    fn a_suspect_that_cannot_be_read_stays_one() {
        let mut schedule = Schedule::default();
        schedule.suspect(SegmentId::new(1));
        schedule.suspect(SegmentId::new(2));
        let second = schedule.take_suspect(0, |id| id.get() == 2);
        assert_eq!(second, Some(SegmentId::new(2)));
        assert_eq!(schedule.take_suspect(0, |id| id.get() == 2), None);
        assert!(!schedule.has_suspects(0), "not at every turn");
        assert!(schedule.has_suspects(1_000));
        let first = schedule.take_suspect(1_000, |_| true);
        assert_eq!(first, Some(SegmentId::new(1)));
        assert!(!schedule.has_suspects(2_000));
    }
}
