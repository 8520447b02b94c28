//! Forced openings: two people said that the vault goes on without disks its log needed.
//!
//! Their statements and the record of it are the first three of an epoch, and count for exactly the log before them.

use stele_format::checkpoint::{KeyFrom, Origin};
use stele_format::label::MemberState;
use stele_format::record::{Body, ForcedOpen, LostSpan, MemberChange, RecordHeader};
use stele_format::statement::{Act, Request as Asked};
use stele_format::units::{DiskId, LogIndex, UnixMillis};

use super::Auditor;
use super::finding::{Breach, second};
use super::requests::{Request, State};
use crate::limits::{FORCED_EPOCHS_MIN, FORCED_REST_MS};

/// A forced opening that was recorded, lawful or not.
#[derive(Debug, Clone)]
pub struct Forced {
    /// Its record.
    pub index: LogIndex,
    /// Its time.
    pub at: UnixMillis,
    /// What it says.
    pub body: ForcedOpen,
}

/// What must come next.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// A request is in this record, of this epoch: its approval is in the next one, the opening in the one after.
    asked: Option<(LogIndex, u32)>,
    /// The disks that a Member record soon after this one of the opening must call active.
    members: Option<(LogIndex, Vec<DiskId>)>,
    /// Epoch of the record before.
    epoch: u32,
}

impl Auditor {
    /// The name of the log here.
    pub(super) fn origin(&self) -> Origin {
        let forced = self.openings.last().map(|forced| forced.body.opening);
        Origin::of(self.pool).after(forced.unwrap_or_default())
    }

    /// A record comes: whether it is the one that a forced opening must have here.
    pub(super) fn check_course(&mut self, header: &RecordHeader, body: &Body) {
        let index = header.log_index;
        let epoch = header.epoch.get();
        if let Some((asked, began)) = self.course.asked {
            let fits = match index.since(asked) {
                Some(1) => matches!(body, Body::Statement(_)),
                Some(2) => matches!(body, Body::ForcedOpen(_)),
                _ => false,
            };
            if !fits || epoch != began {
                self.course.asked = None;
                if let Some(request) = self.requests.get_mut(&asked) {
                    request.state = State::Dead;
                }
                self.breach(asked, Breach::ForcedAlone);
            }
        }
        if let Some((opened, named)) = self.course.members.take() {
            let same = epoch == self.course.epoch;
            let soon = index.since(opened);
            match body {
                Body::Epoch(_) if same && soon == Some(1) => {
                    self.course.members = Some((opened, named));
                }
                Body::Alloc(_) if same && soon == Some(2) => {
                    self.course.members = Some((opened, named));
                }
                Body::Member(change) if same && active(change) == named => {}
                _ => self.breach(index, Breach::ForcedMembers),
            }
        }
    }

    /// The log ends: nothing that had to follow is missing.
    pub(super) fn end_course(&mut self) {
        if let Some((asked, _)) = self.course.asked.take() {
            self.breach(asked, Breach::ForcedAlone);
        }
        if let Some((opened, _)) = self.course.members.take() {
            self.breach(opened, Breach::ForcedMembers);
        }
    }

    /// The record before the next one.
    pub(super) fn note_epoch(&mut self, header: &RecordHeader) {
        self.course.epoch = header.epoch.get();
    }

    /// A request for a forced opening counts for the log before it alone, in the first record of an epoch far ahead.
    pub(super) fn check_forced_request(
        &mut self,
        asked: &Asked,
        index: LogIndex,
        epoch: u32,
    ) -> Result<(), Breach> {
        let Act::ForceOpen { opening, .. } = asked.act else {
            return Ok(());
        };
        if opening <= self.origin().opening() {
            return Err(Breach::ForcedNumber(opening));
        }
        if asked.head.size != index.get() {
            return Err(Breach::ForcedHead);
        }
        if epoch < self.course.epoch.saturating_add(FORCED_EPOCHS_MIN) {
            return Err(Breach::ForcedEpoch);
        }
        self.course.asked = Some((index, epoch));
        Ok(())
    }

    pub(super) fn take_forced_open(&mut self, header: &RecordHeader, body: &ForcedOpen) {
        let index = header.log_index;
        let forced = Forced {
            index,
            at: header.compliance_ms,
            body: body.clone(),
        };
        self.course.asked = None;
        if !body.lost.is_empty() {
            self.doubted = self.doubted.max(index);
        }
        match self.check_forced(index, body) {
            Ok(named) => self.course.members = Some((index, named)),
            Err(breach) => return self.breach(index, breach),
        }
        self.missing.give_up(&body.lost);
        self.openings.push(forced);
        let now = self.now;
        for request in self.requests.values_mut() {
            if request.is_open(now) {
                request.state = State::Dead;
            }
        }
        self.open.clear();
        let key = self
            .log_keys
            .last()
            .map(|last| last.key.after(body.opening));
        let from = index.get() + 1;
        self.log_keys.extend(key.map(|key| KeyFrom { key, from }));
    }

    /// The disks that two people named, if they did so right before.
    fn check_forced(&mut self, index: LogIndex, body: &ForcedOpen) -> Result<Vec<DiskId>, Breach> {
        let unasked = Breach::ForcedUnapproved(body.request);
        let request = self.requests.get_mut(&body.request);
        let request = request.ok_or(unasked.clone())?;
        let Act::ForceOpen {
            opening,
            missing,
            disks,
            ..
        } = &request.act
        else {
            return Err(unasked);
        };
        let approved = request.approvals.last().map(|voice| voice.index);
        let right_before = index.since(body.request) == Some(2)
            && approved.and_then(|last| index.since(last)) == Some(1);
        if request.state != State::Executed || request.enacted || !right_before {
            return Err(unasked);
        }
        if *opening != body.opening {
            return Err(Breach::ForcedNumber(body.opening));
        }
        if !body
            .lost
            .iter()
            .map(LostSpan::records)
            .eq(missing.iter().copied())
        {
            return Err(Breach::ForcedMissing);
        }
        let disks = disks.clone();
        request.enacted = true;
        Ok(disks)
    }

    /// Whether what a record stored lies before records that the log lost, as a forced opening says.
    pub(super) fn is_doubted(&self, index: LogIndex) -> bool {
        index < self.doubted
    }

    /// Whether something that frees may happen now.
    pub(super) fn check_freeing(&self, now: UnixMillis) -> Result<(), Breach> {
        let Some(forced) = self.openings.last() else {
            return Ok(());
        };
        let until = UnixMillis::new(forced.at.get().saturating_add(FORCED_REST_MS));
        if now < until {
            return Err(Breach::ForcedRest(second(until)));
        }
        Ok(())
    }

    /// The same for a request that is executed.
    pub(super) fn check_freeing_request(
        &self,
        request: &Request,
        now: UnixMillis,
    ) -> Result<(), Breach> {
        if request.needs.destructive {
            return self.check_freeing(now);
        }
        Ok(())
    }
}

fn active(change: &MemberChange) -> Vec<DiskId> {
    let members = change.members.iter();
    let active = members.filter(|(_, state)| *state == MemberState::Active);
    let mut disks: Vec<DiskId> = active.map(|(disk, _)| *disk).collect();
    disks.sort_unstable();
    disks
}
