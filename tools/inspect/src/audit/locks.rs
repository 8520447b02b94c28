//! Records that change what protects a version, and events of the clocks.
//!
//! What was taken away without a right stays in force here, so that a destruction that builds on it is named too.

use stele_format::record::{
    ClockEvent, ClockEventKind, LockMode, RecordHeader, Release, ReleaseReason, VersionRef,
};
use stele_format::statement::Act;
use stele_format::units::{LogIndex, UnixMillis};

use super::finding::{Breach, second};
use super::requests::State;
use super::versions::At;
use super::{Auditor, Right, freeing_time};
use crate::limits::HOUR_MS;

impl Auditor {
    /// The living version a record is about.
    fn subject(&mut self, header: &RecordHeader) -> Option<At> {
        let reference = VersionRef {
            object: header.object,
            version: header.version,
        };
        let index = header.log_index;
        let Some(at) = self.versions.find(&reference) else {
            self.breach(index, Breach::VersionUnknown);
            return None;
        };
        if self.versions.is_destroyed(at) {
            let version = self.versions.index(at);
            self.breach(index, Breach::VersionDestroyed(version));
            return None;
        }
        Some(at)
    }

    pub(super) fn take_retention(&mut self, header: &RecordHeader) {
        let Some(at) = self.subject(header) else {
            return;
        };
        let (mode, until) = (header.mode, header.retain_until_ms);
        let lock = self.versions.lock(at);
        let less = mode < lock.mode || until < lock.until;
        if less && lock.is_retained(freeing_time(header)) && !self.may_lessen(header, at) {
            return;
        }
        self.versions.set_retention(at, mode, until);
    }

    /// Whether a retention that is in force may become less.
    fn may_lessen(&mut self, header: &RecordHeader, at: At) -> bool {
        let (lock, version) = (self.versions.lock(at), self.versions.index(at));
        let (index, until) = (header.log_index, second(lock.until));
        if lock.mode == LockMode::Compliance {
            let breach = if header.mode < lock.mode {
                Breach::Lowered(version, until)
            } else {
                Breach::Shortened(version, until)
            };
            self.breach(index, breach);
            return false;
        }
        let what = format!(
            "the GOVERNANCE retention of version {version} until {until} was shortened or lifted"
        );
        let breach = Breach::Governance(version, until);
        self.use_right(header, Right::GovernanceBypass, breach, &what)
    }

    pub(super) fn take_hold(&mut self, header: &RecordHeader) {
        let Some(at) = self.subject(header) else {
            return;
        };
        let lifted = !header.hold && self.versions.lock(at).hold;
        let freeing = self.check_freeing(header.compliance_ms).is_ok();
        if lifted && !(freeing && self.is_lifted_by_people(at)) {
            let version = self.versions.index(at);
            let what = format!("the legal hold of version {version} was lifted");
            let breach = Breach::HoldLifted(version);
            if !self.use_right(header, Right::HoldOff, breach, &what) {
                return;
            }
        }
        if lifted {
            self.unheld.went(at, header.compliance_ms);
        }
        self.versions.set_hold(at, header.hold);
    }

    /// Whether an executed request lifts the hold of a version; each does so once.
    fn is_lifted_by_people(&mut self, at: At) -> bool {
        let fits = |request: &&LogIndex| {
            let act = self.requests.get(*request).map(|request| &request.act);
            let Some(Act::ReleaseHold(release)) = act else {
                return false;
            };
            let list = self.lists.get(&release.scope);
            list.is_some_and(|list| list.has(at)) && !self.spent.contains(&(**request, at))
        };
        let by = self.lifts.iter().find(fits).copied();
        by.is_some_and(|by| self.spent.insert((by, at)))
    }

    pub(super) fn take_release(&mut self, header: &RecordHeader, release: Release) {
        let Some(at) = self.subject(header) else {
            return;
        };
        // No lock keeps a marker from going: that shows what it hid, or nothing. It is kept all the same.
        if self.versions.is_marker(at) {
            return;
        }
        let lock = self.versions.lock(at);
        let retained = lock.is_retained(freeing_time(header));
        let locked = retained || lock.hold;
        // Overwriting hides a version and takes no lock off; so does a marker that goes.
        let by = match release.reason {
            ReleaseReason::ClientDelete => "deleted by a client",
            ReleaseReason::Expired => "released by a lifecycle rule",
            ReleaseReason::Overwritten | ReleaseReason::MarkerRemoved => return,
        };
        // A hold by case forbids destruction from its statement on, a release once it is on the version.
        if lock.case && !lock.hold {
            let version = self.versions.index(at);
            let what = format!(
                "version {version} was {by} before the hold of its case was on it; its bytes are kept"
            );
            self.alarm(header.log_index, "case-released", what);
        }
        if !locked {
            return;
        }
        let (index, version) = (header.log_index, self.versions.index(at));
        // No rule has the right to what a client may have.
        let by_client = release.reason == ReleaseReason::ClientDelete;
        let bypass = by_client && lock.mode == LockMode::Governance && !lock.hold;
        if bypass {
            let what = format!(
                "version {version} was deleted by a client under GOVERNANCE retention; its bytes are kept"
            );
            let breach = Breach::Released(version);
            self.use_right(header, Right::GovernanceBypass, breach, &what);
        } else {
            self.breach(index, Breach::Released(version));
        }
    }

    /// What is shown again has the lock it has: nothing of it changes here, but it must be there.
    pub(super) fn take_unrelease(&mut self, header: &RecordHeader) {
        self.subject(header);
    }

    pub(super) fn take_rehome(&mut self, header: &RecordHeader) {
        if let Some(at) = self.subject(header) {
            self.versions.rehome(at, header);
        }
    }

    pub(super) fn take_clock(
        &mut self,
        header: &RecordHeader,
        event: &ClockEvent,
        last: UnixMillis,
    ) {
        let index = header.log_index;
        if event.before_ms < last || event.before_ms > header.compliance_ms {
            self.breach(index, Breach::ClockBefore);
        }
        match event.kind {
            ClockEventKind::WallLeft => {
                let what =
                    "the wall clock went more than a day away from compliance time".to_owned();
                self.alarm(index, "wall-clock-left", what);
            }
            ClockEventKind::WallReturned => {
                let what = "the wall clock came back to compliance time".to_owned();
                self.alarm(index, "wall-clock-returned", what);
            }
            ClockEventKind::Corrected => {
                if let Err(breach) = self.correct_clock(header, event) {
                    self.breach(index, breach);
                }
            }
            ClockEventKind::Simulated if self.simulated => {}
            ClockEventKind::Simulated => self.breach(index, Breach::ClockSimulated),
        }
    }

    fn correct_clock(&mut self, header: &RecordHeader, event: &ClockEvent) -> Result<(), Breach> {
        let request = event
            .request
            .and_then(|index| self.requests.get_mut(&index));
        let request = request.ok_or(Breach::ClockUnapproved)?;
        let Act::Clock { by_hours } = request.act else {
            return Err(Breach::ClockUnapproved);
        };
        if request.state != State::Executed || request.clock_set {
            return Err(Breach::ClockUnapproved);
        }
        request.clock_set = true;
        // A record may be written a while after the clock was set; that while is no hour.
        let now = header.compliance_ms.get();
        let moved_ms = now.saturating_sub(event.before_ms.get());
        let beyond_wall_ms = now.saturating_sub(header.wall_ms.get());
        match moved_ms {
            _ if moved_ms > (by_hours + 1) * HOUR_MS => Err(Breach::ClockBeyond(by_hours)),
            HOUR_MS.. if beyond_wall_ms > HOUR_MS => Err(Breach::ClockBeyond(by_hours)),
            _ => Ok(()),
        }
    }
}
