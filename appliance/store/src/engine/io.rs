//! Operations in flight: which disk, for what, and the actions of the current step.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::disk::{Op, OpId};
use stele_format::limits::BLOCK_BYTES;
use stele_format::units::Sequence;

use super::watch::{Busy, Kind, Watch};
use super::{Action, DiskSlot, HealToken};
use crate::job::{Job, JobId};
use crate::limits::HEDGE_MS;
use crate::request::RequestId;

/// What an operation was submitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A journal frame, written and flushed.
    Frame(Sequence),
    /// Zeros ahead of the journal's head.
    Ahead(u64),
    /// Footer and seal of a journal segment.
    JournalSeal,
    /// A write of the data lane.
    Lane(u64),
    /// A flush of the data lane.
    LaneFlush(u64),
    /// One step of a label update.
    Label,
    /// A read for a request or a stream.
    Read(u64),
    /// A read of which only matters that it ends.
    Probe,
    /// A read of a walk that heals.
    HealRead(HealToken),
    /// A write or flush of a walk that heals.
    Heal(HealToken),
    /// A key-state copy on a disk being filled.
    Fill,
    /// Wiping copies of segments that were given up.
    Wipe(u64),
}

impl Purpose {
    fn kind(self) -> Kind {
        match self {
            Purpose::Read(_) | Purpose::Probe | Purpose::HealRead(_) => Kind::Read,
            Purpose::Frame(_)
            | Purpose::Ahead(_)
            | Purpose::Heal(_)
            | Purpose::Fill
            | Purpose::Wipe(_)
            | Purpose::JournalSeal
            | Purpose::Lane(_)
            | Purpose::LaneFlush(_)
            | Purpose::Label => Kind::Write,
        }
    }
}

/// The engine's side of the disks and workers: submissions out, purposes back.
#[derive(Default)]
pub(crate) struct Io {
    next_op: u64,
    next_job: u64,
    open: BTreeMap<OpId, (DiskSlot, Purpose)>,
    /// The newest operation that each disk has finished.
    finished: BTreeMap<DiskSlot, OpId>,
    watch: Watch,
    actions: Vec<Action>,
}

impl Io {
    /// Submits an operation.
    pub(crate) fn submit(&mut self, slot: DiskSlot, op: Op, purpose: Purpose) {
        self.next_op += 1;
        let id = OpId(self.next_op);
        self.open.insert(id, (slot, purpose));
        self.actions.push(Action::Disk { slot, id, op });
    }

    /// What a finished operation was for; none if it is not ours.
    pub(crate) fn finish(&mut self, id: OpId) -> Option<(DiskSlot, Purpose)> {
        let (slot, purpose) = self.open.remove(&id)?;
        self.watch.finished(slot, purpose.kind());
        let newest = self.finished.entry(slot).or_insert(id);
        *newest = id.max(*newest);
        Some((slot, purpose))
    }

    /// How long each disk has been asked to take something without finishing anything of the kind.
    pub(crate) fn waits_to_write(&self) -> Vec<(DiskSlot, u64)> {
        self.watch.waited(Kind::Write)
    }

    /// Disks that have finished nothing of a kind in more than this time, although others were quicker.
    pub(crate) fn overtaken(&self, more_than_ms: u64) -> BTreeSet<DiskSlot> {
        self.watch.overtaken(more_than_ms).collect()
    }

    /// Disks that hang, and what they hang with.
    pub(crate) fn hung(&mut self, now_ms: u64) -> Vec<(DiskSlot, Kind)> {
        let mut busy = Busy::new();
        for (id, (slot, purpose)) in &self.open {
            // The first of a kind is the oldest one.
            busy.entry((*slot, purpose.kind())).or_insert_with(|| {
                let mut others = self.finished.iter().filter(|(other, _)| *other != slot);
                others.any(|(_, newest)| newest > id)
            });
        }
        self.watch.look(&busy, now_ms)
    }

    /// Whether a walk that heals has something to write there that has not ended.
    pub(crate) fn heals(&self, slot: DiskSlot) -> bool {
        let mut open = self.open.values();
        open.any(|(on, purpose)| *on == slot && matches!(purpose, Purpose::Heal(_)))
    }

    /// Reads a block of each of these disks that nobody has asked for anything for long, where another one hangs.
    pub(crate) fn probe(&mut self, disks: impl Iterator<Item = DiskSlot>) {
        for slot in self.watch.unasked(disks) {
            let bytes = BLOCK_BYTES as usize;
            self.submit(slot, Op::Read { offset: 0, bytes }, Purpose::Probe);
        }
    }

    /// Whether a disk has writes to finish, or does not give what it was asked for.
    pub(crate) fn is_behind(&self, disk: DiskSlot) -> bool {
        let mut open = self.open.values();
        let writes =
            |(slot, purpose): &(DiskSlot, Purpose)| *slot == disk && purpose.kind() == Kind::Write;
        let mut reads = self.watch.waited(Kind::Read).into_iter();
        let late = reads.any(|(slot, ms)| slot == disk && ms > HEDGE_MS);
        open.any(writes) || late || self.watch.is_silent(disk)
    }

    /// Waits no longer for a disk. What it still finishes is nobody's.
    pub(crate) fn give_up(&mut self, slot: DiskSlot, kind: Kind) -> Vec<Purpose> {
        if kind == Kind::Read {
            self.watch.gave_up(slot);
        }
        self.open
            .extract_if(.., |_, (on, purpose)| *on == slot && purpose.kind() == kind)
            .map(|(_, (_, purpose))| purpose)
            .collect()
    }

    /// Whether anything is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// How many operations are in flight.
    pub(crate) fn held(&self) -> usize {
        self.open.len()
    }

    /// A number for a job that is about to be given out.
    pub(crate) fn job_id(&mut self) -> JobId {
        self.next_job += 1;
        JobId(self.next_job)
    }

    /// Gives work to a worker.
    pub(crate) fn job(&mut self, job: Job) {
        self.actions.push(Action::Job(job));
    }

    /// Any other action.
    pub(crate) fn action(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Answers a request.
    pub(crate) fn reply(
        &mut self,
        id: RequestId,
        result: Result<crate::request::Answer, crate::request::Refusal>,
    ) {
        self.actions.push(Action::Reply { id, result });
    }

    /// Moves the actions of this step out.
    pub(crate) fn drain(&mut self, out: &mut Vec<Action>) {
        out.append(&mut self.actions);
    }
}
