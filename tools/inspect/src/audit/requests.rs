//! What becomes of a request: approved, executed, vetoed, dead or lapsed.

use std::collections::BTreeSet;

use stele_format::digest::Digest;
use stele_format::sshsig::PublicKey;
use stele_format::statement::{Act, Name, Role};
use stele_format::units::{LogIndex, Month, UnixMillis};

use super::finding::{Breach, second};
use super::matrix::Needs;
use super::people::People;
use crate::limits::WINDOW_MS;

/// Somebody who signed.
#[derive(Debug, Clone)]
pub struct Voice {
    /// Who.
    pub name: Name,
    /// In which role.
    pub role: Role,
    /// With which key.
    pub key: PublicKey,
    /// In which record.
    pub index: LogIndex,
    /// When.
    pub at: UnixMillis,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for approvals.
    Requested,
    /// It has them since then.
    Approved(UnixMillis),
    /// It was executed.
    Executed,
    /// Somebody stopped it.
    Vetoed,
    /// Somebody who asked for it or approved it, or their key, is no longer active.
    Dead,
}

/// What a request destroyed.
#[derive(Debug, Clone, Default)]
pub struct Toll {
    /// Tombstones.
    pub tombstones: Vec<LogIndex>,
    /// Versions.
    pub versions: u64,
    /// Its last tombstone is there.
    pub complete: bool,
    /// The month whose keys were all cut.
    pub month: Option<Month>,
    /// Something about it broke a rule.
    pub unlawful: bool,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Digest of its text.
    pub digest: Digest,
    /// For what.
    pub act: Act,
    /// Who asked.
    pub by: Voice,
    /// What it needs.
    pub needs: Needs,
    /// Who approved.
    pub approvals: Vec<Voice>,
    /// Who is the reason that it died.
    pub lost: Option<Name>,
    /// How far it has come.
    pub state: State,
    /// Who executed it.
    pub executed: Option<Voice>,
    /// What it destroyed.
    pub toll: Toll,
    /// Its effect on the clock is recorded.
    pub clock_set: bool,
    /// It is recorded that what it asked for has been done.
    pub enacted: bool,
}

impl Request {
    /// A new request.
    #[must_use]
    pub fn new(digest: Digest, act: Act, by: Voice, needs: Needs) -> Self {
        Self {
            digest,
            act,
            by,
            needs,
            approvals: Vec::new(),
            lost: None,
            state: State::Requested,
            executed: None,
            toll: Toll::default(),
            clock_set: false,
            enacted: false,
        }
    }

    /// The first moment after the window that begins then.
    fn window(from: UnixMillis) -> UnixMillis {
        from.checked_add(WINDOW_MS).unwrap_or(UnixMillis::MAX)
    }

    /// When it may be executed, once it is approved.
    #[must_use]
    pub fn executable(&self) -> Option<(UnixMillis, UnixMillis)> {
        let State::Approved(since) = self.state else {
            return None;
        };
        let from = since
            .checked_add(self.needs.rest_ms.unwrap_or(0))
            .unwrap_or(UnixMillis::MAX);
        Some((from, Self::window(from)))
    }

    /// How far it has come, in the words of reports.
    #[must_use]
    pub fn word(&self, now: UnixMillis) -> &'static str {
        match self.state {
            State::Requested if now >= Self::window(self.by.at) => "lapsed",
            State::Requested => "requested",
            State::Approved(_) => match self.executable() {
                Some((from, _)) if now < from => "cooling",
                Some((_, until)) if now >= until => "lapsed",
                _ => "executable",
            },
            State::Executed => "executed",
            State::Vetoed => "vetoed",
            State::Dead => "dead",
        }
    }

    /// Everybody who asked for it or approved it.
    #[must_use]
    pub fn makers(&self) -> BTreeSet<Name> {
        let approvers = self.approvals.iter().map(|voice| voice.name.clone());
        approvers.chain([self.by.name.clone()]).collect()
    }

    fn supporters(&self) -> impl Iterator<Item = &Voice> {
        [&self.by].into_iter().chain(&self.approvals)
    }

    /// It was neither stopped nor executed, whatever the time.
    fn is_undecided(&self) -> Result<(), Breach> {
        let over = match self.state {
            State::Requested | State::Approved(_) => return Ok(()),
            State::Executed => "executed",
            State::Vetoed => "vetoed",
            State::Dead => "dead",
        };
        Err(Breach::RequestOver(self.by.index, over))
    }

    /// It may still be approved, stopped or executed at this time.
    #[must_use]
    pub fn is_open(&self, now: UnixMillis) -> bool {
        let end = match self.executable() {
            Some((_, end)) => end,
            None => Self::window(self.by.at),
        };
        self.is_undecided().is_ok() && now < end
    }

    /// Ends it if somebody who supported it, or the key they used, is no longer active.
    pub fn bury(&mut self, people: &People, now: UnixMillis) {
        let gone = |voice: &&Voice| people.active_key(&voice.name, &voice.key).is_err();
        let gone = self.supporters().find(gone).map(|voice| voice.name.clone());
        if gone.is_some() && self.is_open(now) {
            self.state = State::Dead;
            self.lost = gone;
        }
    }

    /// Somebody approves.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn approve(&mut self, voice: Voice, people: &People) -> Result<(), Breach> {
        self.is_undecided()?;
        if self.executable().is_some() {
            return Err(Breach::RequestOver(self.by.index, "approved"));
        }
        let until = Self::window(self.by.at);
        if voice.at >= until {
            return Err(Breach::ApprovalLate(second(until)));
        }
        if self.supporters().any(|other| other.name == voice.name) {
            return Err(Breach::ApproverPerson(voice.name));
        }
        if self.supporters().any(|other| other.key == voice.key) {
            return Err(Breach::ApproverKey);
        }
        let role = voice.role;
        if self.needs.of(role) == 0 {
            return Err(if role == self.by.role {
                Breach::ApproverSameRole(role)
            } else {
                Breach::ApproverRole(role)
            });
        }
        if self.missing(role) == 0 {
            return Err(Breach::ApprovalSpare(role));
        }
        for other in self.supporters() {
            let (one, other) = ((&voice.name, &voice.key), (&other.name, &other.key));
            if let Some((by, whom)) = people.are_tied(one, other) {
                return Err(Breach::Enrolment(by, whom));
            }
        }
        self.check_quarantine(&voice, people)?;
        let at = voice.at;
        self.approvals.push(voice);
        let mut needed = self.needs.approvals.iter();
        if needed.all(|(role, _)| self.missing(*role) == 0) {
            self.state = State::Approved(at);
        }
        Ok(())
    }

    fn missing(&self, role: Role) -> u64 {
        let given = self.approvals.iter().filter(|voice| voice.role == role);
        self.needs.of(role).saturating_sub(given.count() as u64)
    }

    /// Acts that only take power away rest not at all: they take effect with the last approval.
    #[must_use]
    pub fn takes_effect_now(&self) -> bool {
        matches!(self.state, State::Approved(_)) && self.needs.rest_ms.is_none()
    }

    fn check_quarantine(&self, voice: &Voice, people: &People) -> Result<(), Breach> {
        let (_, key) = people.active_key(&voice.name, &voice.key)?;
        match key.quarantine(voice.at) {
            Some(end) if self.needs.destructive => {
                Err(Breach::Quarantine(voice.name.clone(), second(end)))
            }
            _ => Ok(()),
        }
    }

    /// Somebody stops it.
    ///
    /// # Errors
    /// It is too late, or they may not.
    pub fn veto(&mut self, voice: &Voice) -> Result<(), Breach> {
        self.is_undecided()?;
        if !self.is_open(voice.at) {
            return Err(Breach::RequestOver(self.by.index, "lapsed"));
        }
        if !matches!(voice.role, Role::Officer | Role::Approver | Role::Auditor) {
            return Err(Breach::VetoRole(voice.role));
        }
        self.state = State::Vetoed;
        Ok(())
    }

    /// Somebody starts it. Everybody who signed is looked at again.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn execute(&mut self, voice: Voice, people: &People) -> Result<(), Breach> {
        if let (State::Dead, Some(name)) = (self.state, &self.lost) {
            return Err(Breach::ExecuteDead(name.clone()));
        }
        self.is_undecided()?;
        let unapproved = Breach::ExecuteUnapproved(self.by.index);
        let (from, until) = self.executable().ok_or(unapproved)?;
        if voice.at < from {
            return Err(Breach::ExecuteEarly(second(from)));
        }
        if voice.at >= until {
            return Err(Breach::ExecuteLate(second(until)));
        }
        if !self.needs.executors.contains(&voice.role) {
            return Err(Breach::ExecuteRole(voice.role));
        }
        self.check_quarantine(&voice, people)?;
        for signed in self.supporters() {
            if people.active_key(&signed.name, &signed.key).is_err() {
                return Err(Breach::ExecuteDead(signed.name.clone()));
            }
        }
        self.state = State::Executed;
        self.executed = Some(voice);
        Ok(())
    }

    /// Whether tombstones may cite it.
    ///
    /// # Errors
    /// They may not.
    pub fn check_executed(&self) -> Result<(), Breach> {
        let index = self.by.index;
        match self.state {
            State::Executed if !self.toll.complete => Ok(()),
            State::Executed => Err(Breach::TombstoneOver(
                index,
                "complete with its last tombstone",
            )),
            State::Requested => Err(Breach::TombstoneUnapproved(index)),
            State::Approved(_) => Err(Breach::TombstoneEarly(index)),
            State::Vetoed => Err(Breach::TombstoneOver(index, "vetoed")),
            State::Dead => Err(Breach::TombstoneOver(index, "dead")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Act, Breach, Digest, LogIndex, Name, People, PublicKey, Request, Role, UnixMillis, Voice,
    };
    use crate::audit::matrix::needs;
    use crate::audit::policies::Policies;
    use stele_format::sshsig::KeyType;

    /// People never share a key, so that this rule never is the only one; it stands all the same.
    #[test]
    fn one_key_does_not_sign_twice_for_one_request() {
        let name = |text: &str| Name::new(text).unwrap();
        let mut point = [0; 32];
        point[0] = 9;
        let key = (0..=255).find_map(|last| {
            point[31] = last & 0x7f;
            PublicKey::new(KeyType::SecurityKey, point).ok()
        });
        let voice = |who: &str, role| Voice {
            name: name(who),
            role,
            key: key.unwrap(),
            index: LogIndex::ZERO,
            at: UnixMillis::ZERO,
        };
        let act = Act::Suspend {
            person: name("olga"),
        };
        let needs = needs(&act, Role::Officer, false, &Policies::default()).unwrap();
        let mut request = Request::new(Digest::ZERO, act, voice("fay", Role::Officer), needs);
        let approval = voice("anna", Role::Approver);
        let refused = request.approve(approval, &People::default());
        assert_eq!(refused, Err(Breach::ApproverKey));
    }
}
