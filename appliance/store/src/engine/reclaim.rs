//! Space of segments that were given up comes back: their copies are wiped disk by disk, a record says so, and after
//! the next snapshot of the index others may have the units.

use std::collections::{BTreeSet, VecDeque};

use stele_device::buffer::BufferMut;
use stele_device::disk::{DiskError, Op};
use stele_format::limits::TRIM_SEGMENTS_MAX;
use stele_format::record::{Body, RecordType, Trim};
use stele_format::units::{DiskId, SegmentId};

use super::io::Purpose;
use super::{DiskSlot, Engine, StopState};
use crate::draft::Draft;
use crate::limits::{
    RECLAIM_LOOK_MS, RELEASE_AGAIN_MS, WIPE_PIECE_BYTES_MAX, WIPE_SEGMENT_COUNT_MAX,
};
use crate::pool::MemberState;
use crate::recovery::Idle;

/// How far the wiping of some copies on one disk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Wiping,
    Flushing,
    /// The record that they are wiped is not durable yet.
    Saying,
}

/// Bytes of a disk, from and to.
type Range = (u64, u64);

/// Copies being wiped on one disk, one operation at a time.
#[derive(Debug)]
pub(crate) struct Wipe {
    disk: DiskId,
    slot: DiskSlot,
    segments: BTreeSet<SegmentId>,
    ranges: VecDeque<Range>,
    stage: Stage,
    /// The number of the operation under way.
    number: u64,
    /// The disk does not take discards.
    by_writing: bool,
}

/// What wiping remembers.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    wipe: Option<Wipe>,
    /// Wiped copies that the snapshot being taken knows of.
    releasing: BTreeSet<(SegmentId, DiskId)>,
    /// After a snapshot that failed, when to ask for another, and how long to wait after the next failure.
    not_before_ms: u64,
    pause_ms: u64,
    /// When to look for something to do.
    look_ms: u64,
    /// Segments are being given up: until the last record of it is durable nothing moves.
    giving_up: bool,
}

impl Reclaim {
    pub(super) fn new(giving_up: bool) -> Self {
        Self {
            giving_up,
            pause_ms: RELEASE_AGAIN_MS,
            ..Self::default()
        }
    }

    pub(super) fn is_giving_up(&self) -> bool {
        self.giving_up
    }
}

impl Wipe {
    fn is_discarding(&self) -> bool {
        self.stage == Stage::Wiping && !self.by_writing
    }
}

fn is_lost(error: &DiskError) -> bool {
    matches!(
        error,
        DiskError::Gone | DiskError::Silent | DiskError::PowerLost
    )
}

/// The records that give segments up.
pub(super) fn give_up(idle: &Idle) -> Vec<Draft> {
    let mut pieces: Vec<&[SegmentId]> = idle.segments.chunks(TRIM_SEGMENTS_MAX).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let draft = |(at, segments): (usize, &&[SegmentId])| {
        let trim = Trim::Begun {
            segments: segments.to_vec(),
            through: (at == last).then_some(idle.through),
        };
        Draft::of_engine(RecordType::Trim, Body::Trim(trim))
    };
    pieces.iter().enumerate().map(draft).collect()
}

impl Engine {
    /// A record about space is durable.
    pub(super) fn trimmed(&mut self, trim: &Trim) {
        self.pool.note_trim(trim);
        self.reclaim.look_ms = 0;
        if let Trim::Begun { through, .. } = trim {
            self.reclaim.giving_up &= through.is_none();
        }
        let said = |wipe: &Wipe| match trim {
            Trim::Done { disk, .. } => wipe.stage == Stage::Saying && wipe.disk == *disk,
            Trim::Begun { .. } => false,
        };
        self.reclaim.wipe.take_if(|wipe| said(wipe));
    }

    /// Wipes what was given up; when nothing is left to wipe, has a snapshot taken.
    pub(super) fn pump_reclaim(&mut self) {
        let waits = self.relabelling || self.stop != StopState::Running;
        if waits || self.read_only.is_some() || self.reclaim.wipe.is_some() {
            return;
        }
        let now_ms = self.now.monotonic_ms;
        if self.pool.freed.segments.is_empty() || now_ms < self.reclaim.look_ms {
            return;
        }
        self.reclaim.look_ms = now_ms + RECLAIM_LOOK_MS;
        if let Some(wipe) = self.next_to_wipe() {
            self.reclaim.wipe = Some(wipe);
            return self.wipe_on();
        }
        let taken = self.committing || self.committed || self.snapshot_wanted;
        let due = self.now.monotonic_ms >= self.reclaim.not_before_ms;
        if due && !taken && self.pool.freed.has_wiped() {
            self.snapshot_wanted = true;
            self.maybe_snapshot();
        }
    }

    /// A snapshot is being taken of what is so now.
    pub(super) fn reclaim_saving(&mut self) {
        self.reclaim.releasing = self.pool.freed.wiped();
    }

    /// The index holds the snapshot, or could not take it.
    pub(super) fn reclaim_saved(&mut self, held: bool) {
        let releasing = std::mem::take(&mut self.reclaim.releasing);
        if held {
            self.pool.release(&releasing);
            self.reclaim.pause_ms = RELEASE_AGAIN_MS;
        } else {
            let pause_ms = self.reclaim.pause_ms;
            self.reclaim.not_before_ms = self.now.monotonic_ms.saturating_add(pause_ms);
            self.reclaim.pause_ms = pause_ms.saturating_mul(2);
        }
        self.reclaim.look_ms = 0;
    }

    /// Copies on an active disk that nobody reads or writes at the moment.
    fn next_to_wipe(&self) -> Option<Wipe> {
        let walked = self.healer.segments();
        let mut found: Option<Wipe> = None;
        for (segment, copy) in self.pool.freed.copies().filter(|(_, copy)| !copy.wiped) {
            if walked.contains(&segment) {
                continue;
            }
            let disk = copy.place.disk;
            let Some((slot, offset)) = self.pool.locate_active(&copy.place) else {
                continue;
            };
            // What a walk wrote that was ended early may still be on its way.
            if found.is_none() && self.io.heals(slot) {
                continue;
            }
            let wipe = found.get_or_insert_with(|| Wipe {
                disk,
                slot,
                segments: BTreeSet::new(),
                ranges: VecDeque::new(),
                stage: Stage::Wiping,
                number: 0,
                by_writing: false,
            });
            let full = wipe.segments.len() >= WIPE_SEGMENT_COUNT_MAX;
            if wipe.disk != disk || (full && !wipe.segments.contains(&segment)) {
                continue;
            }
            // Nothing a record says reaches beyond the units of the disk.
            let member = self.pool.member(disk);
            let count = member.map_or(0, |member| member.unit_count());
            let units = count
                .saturating_sub(copy.place.first_unit.get())
                .min(copy.units);
            let bytes = u64::from(units) * u64::from(self.pool.unit_bytes);
            wipe.segments.insert(segment);
            if bytes > 0 {
                wipe.ranges.push_back((offset, offset + bytes));
            }
        }
        found
    }

    /// Submits the next operation.
    fn wipe_on(&mut self) {
        let number = self.number();
        let Some(wipe) = self.reclaim.wipe.as_mut() else {
            return;
        };
        wipe.number = number;
        let op = match wipe.ranges.front_mut() {
            Some((from, to)) if wipe.by_writing => {
                let left = usize::try_from(*to - *from).unwrap_or(usize::MAX);
                let zeros = BufferMut::zeroed(left.min(WIPE_PIECE_BYTES_MAX)).freeze();
                let offset = *from;
                *from += zeros.len() as u64;
                Op::Write {
                    offset,
                    data: zeros,
                }
            }
            Some((from, to)) => Op::Discard {
                offset: *from,
                bytes: *to - *from,
            },
            None => {
                wipe.stage = Stage::Flushing;
                Op::Flush
            }
        };
        let slot = wipe.slot;
        self.io.submit(slot, op, Purpose::Wipe(number));
    }

    /// An operation of a wipe ended.
    pub(super) fn wiped(&mut self, slot: DiskSlot, number: u64, failed: Option<&DiskError>) {
        let Some(wipe) = self
            .reclaim
            .wipe
            .as_mut()
            .filter(|wipe| wipe.number == number)
        else {
            return;
        };
        let member = self.pool.member_at(slot);
        let believed = member.is_some_and(|member| member.state == MemberState::Active);
        if !believed || self.read_only.is_some() || self.stop != StopState::Running {
            self.reclaim.wipe = None;
            return;
        }
        match failed {
            // Not every device takes discards; all take zeros.
            Some(error) if wipe.is_discarding() && !is_lost(error) => wipe.by_writing = true,
            Some(error) => {
                self.reclaim.wipe = None;
                return self.expel(slot, error);
            }
            None if wipe.stage == Stage::Flushing => return self.say_wiped(),
            None => {
                let done = |(from, to): &Range| !wipe.by_writing || from >= to;
                wipe.ranges.pop_front_if(|range| done(range));
            }
        }
        self.wipe_on();
    }

    fn say_wiped(&mut self) {
        let Some(wipe) = self.reclaim.wipe.as_mut() else {
            return;
        };
        wipe.stage = Stage::Saying;
        let trim = Trim::Done {
            segments: wipe.segments.iter().copied().collect(),
            disk: wipe.disk,
        };
        self.journal
            .push_own(Draft::of_engine(RecordType::Trim, Body::Trim(trim)));
    }

    /// A disk is not believed any more.
    pub(super) fn wipe_forget(&mut self, slot: DiskSlot) {
        self.reclaim.wipe.take_if(|wipe| wipe.slot == slot);
    }
}
