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
    /// Somebody who signed for it may not any more.
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
    /// How many approvals there were when it had all it needs: these must still be good at the execution.
    counted: usize,
    /// How far it has come.
    pub state: State,
    /// Who executed it.
    pub executed: Option<Voice>,
    /// What it destroyed.
    pub toll: Toll,
    /// Its effect on the clock is recorded.
    pub clock_set: bool,
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
            counted: 0,
            state: State::Requested,
            executed: None,
            toll: Toll::default(),
            clock_set: false,
        }
    }

    /// The last moment of the window that begins then.
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
            .checked_add(self.needs.cooling_ms)
            .unwrap_or(UnixMillis::MAX);
        Some((from, Self::window(from)))
    }

    /// How far it has come, in the words of reports.
    #[must_use]
    pub fn word(&self, now: UnixMillis) -> &'static str {
        match self.state {
            State::Requested if now > Self::window(self.by.at) => "lapsed",
            State::Requested => "requested",
            State::Approved(_) => match self.executable() {
                Some((from, _)) if now < from => "cooling",
                Some((_, until)) if now > until => "lapsed",
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

    fn is_open(&self) -> Result<(), Breach> {
        let over = match self.state {
            State::Requested | State::Approved(_) => return Ok(()),
            State::Executed => "executed",
            State::Vetoed => "vetoed",
            State::Dead => "dead",
        };
        Err(Breach::RequestOver(self.by.index, over))
    }

    /// Somebody approves.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn approve(&mut self, voice: Voice, people: &People) -> Result<(), Breach> {
        self.is_open()?;
        let until = Self::window(self.by.at);
        if voice.at > until {
            return Err(Breach::ApprovalLate(second(until)));
        }
        let known = self.approvals.iter().chain([&self.by]);
        let (mut same_person, mut same_key) = (false, false);
        for other in known {
            same_person |= other.name == voice.name;
            same_key |= other.key == voice.key;
        }
        if same_person {
            return Err(Breach::ApproverPerson(voice.name));
        }
        if same_key {
            return Err(Breach::ApproverKey);
        }
        if voice.role == self.by.role {
            return Err(Breach::ApproverSameRole(voice.role));
        }
        if !self
            .needs
            .approvals
            .iter()
            .any(|(role, _)| *role == voice.role)
        {
            return Err(Breach::ApproverRole(voice.role));
        }
        if let Some((by, whom)) = people.are_tied(&self.by.name, &voice.name) {
            return Err(Breach::Enrolment(by, whom));
        }
        self.check_quarantine(&voice, people)?;
        let at = voice.at;
        self.approvals.push(voice);
        if self.state == State::Requested && self.has_enough() {
            self.state = State::Approved(at);
            self.counted = self.approvals.len();
        }
        Ok(())
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

    fn has_enough(&self) -> bool {
        let count = |role| {
            self.approvals
                .iter()
                .filter(|voice| voice.role == role)
                .count()
        };
        let mut needed = self.needs.approvals.iter();
        needed.all(|(role, needed)| count(*role) >= *needed)
    }

    /// Somebody stops it.
    ///
    /// # Errors
    /// It is too late, or they may not.
    pub fn veto(&mut self, voice: &Voice) -> Result<(), Breach> {
        self.is_open()?;
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
        self.is_open()?;
        let unapproved = Breach::ExecuteUnapproved(self.by.index);
        let (from, until) = self.executable().ok_or(unapproved)?;
        if voice.at < from {
            return Err(Breach::ExecuteEarly(second(from)));
        }
        if voice.at > until {
            return Err(Breach::ExecuteLate(second(until)));
        }
        if !matches!(voice.role, Role::Operator | Role::Officer | Role::Approver) {
            return Err(Breach::ExecuteRole(voice.role));
        }
        self.check_quarantine(&voice, people)?;
        let counted = self.approvals.iter().take(self.counted);
        for signed in counted.chain([&self.by]) {
            if people.active_key(&signed.name, &signed.key).is_err() {
                self.state = State::Dead;
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
        let needs = needs(&act, Role::Officer, false).unwrap();
        let mut request = Request::new(Digest::ZERO, act, voice("fay", Role::Officer), needs);
        let approval = voice("anna", Role::Approver);
        let refused = request.approve(approval, &People::default());
        assert_eq!(refused, Err(Breach::ApproverKey));
    }
}
