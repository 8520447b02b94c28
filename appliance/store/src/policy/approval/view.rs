//! Requests and people in plain values, for screens. No names of objects.

use stele_format::digest::Digest;
use stele_format::statement::{Act, Name, Role};
use stele_format::units::{LogIndex, UnixMillis};

use super::Approvals;
use super::pending::{Pending, Phase, RequestState, Supporter};
use crate::policy::people::Standing;

/// A request as a screen shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestView {
    /// The request's record.
    pub request: LogIndex,
    /// Digest of its text, which answers cite.
    pub digest: Digest,
    /// What it asks for.
    pub act: Act,
    /// Where it stands.
    pub state: RequestState,
    /// Its list is large, so that more people and more time are needed.
    pub large: bool,
    /// When it was recorded.
    pub requested_at: UnixMillis,
    /// Who asked for it.
    pub requested_by: (Name, Role),
    /// Who approved it.
    pub approved_by: Vec<(Name, Role)>,
    /// When each of them did.
    pub approved_when: Vec<UnixMillis>,
    /// Who executed it, and when.
    pub executed_by: Option<(Name, UnixMillis)>,
    /// Digest of the note that says why.
    pub reason: Digest,
    /// How many approvals of which role are missing.
    pub missing: Vec<(Role, u64)>,
    /// Until when it can be approved.
    pub approve_before: UnixMillis,
    /// From when on it can be executed, once approved.
    pub execute_from: Option<UnixMillis>,
    /// Until when it can be executed, once approved.
    pub execute_before: Option<UnixMillis>,
    /// Who vetoed it, or by whose leaving it died; nobody where a forced opening ended it.
    pub ended_by: Option<Name>,
}

/// A person as a screen shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonView {
    /// Who.
    pub name: Name,
    /// As what.
    pub role: Role,
    /// Whether they count.
    pub standing: Standing,
    /// Their keys.
    pub keys: Vec<KeyView>,
}

/// A key as a screen shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// Whether it counts.
    pub standing: Standing,
    /// When it was enrolled or resumed.
    pub since: UnixMillis,
    /// When it last signed something that was recorded.
    pub last_used: UnixMillis,
    /// Until when it may neither approve nor execute destruction, if that lies ahead.
    pub quarantined_until: Option<UnixMillis>,
}

impl Approvals {
    /// Every request there was, as it stands at `now`, oldest first.
    #[must_use]
    pub fn requests(&self, now: UnixMillis) -> Vec<RequestView> {
        self.pending
            .iter()
            .filter_map(|(request, pending)| view(*request, pending, now))
            .collect()
    }

    /// One request as it stands at `now`.
    #[must_use]
    pub fn request(&self, request: LogIndex, now: UnixMillis) -> Option<RequestView> {
        view(request, self.pending.get(&request)?, now)
    }

    /// Every person there was, by name.
    #[must_use]
    pub fn persons(&self, now: UnixMillis) -> Vec<PersonView> {
        self.people
            .iter()
            .map(|person| PersonView {
                name: person.name.clone(),
                role: person.role,
                standing: person.standing,
                keys: person
                    .keys
                    .iter()
                    .map(|key| KeyView {
                        fingerprint: key.key.fingerprint(),
                        standing: key.standing,
                        since: key.since,
                        last_used: key.last_used,
                        quarantined_until: key.quarantined_until().filter(|until| *until > now),
                    })
                    .collect(),
            })
            .collect()
    }
}

/// A request always has the one who asked for it.
fn view(request: LogIndex, pending: &Pending, now: UnixMillis) -> Option<RequestView> {
    let who = |supporter: &Supporter| (supporter.name.clone(), supporter.role);
    let (first, approvers) = pending.supporters.split_first()?;
    let missing = [Role::Approver, Role::Officer]
        .into_iter()
        .map(|role| (role, pending.missing(role)))
        .filter(|(_, count)| *count > 0)
        .collect();
    Some(RequestView {
        request,
        digest: pending.digest,
        act: pending.statement.act.clone(),
        state: pending.state(now),
        large: pending.large,
        requested_at: pending.requested_at,
        requested_by: who(first),
        approved_by: approvers.iter().map(who).collect(),
        approved_when: approvers.iter().map(|supporter| supporter.at).collect(),
        executed_by: pending.executed_by.clone(),
        reason: pending.statement.reason,
        missing,
        approve_before: pending.approve_before(),
        execute_from: pending.execute_from(),
        execute_before: pending.execute_before(),
        ended_by: match &pending.phase {
            Phase::Vetoed(name) | Phase::Dead(name) => Some(name.clone()),
            Phase::Open | Phase::Lost | Phase::Executing | Phase::Begun | Phase::Executed => None,
        },
    })
}
