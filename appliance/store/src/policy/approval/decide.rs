//! The decision about one statement: everything that may be said against it, and what it changes.

use stele_format::sshsig::Verified;
use stele_format::statement::{Act, Answer, Kind, Name, Request, Statement, Verb};
use stele_format::units::{LogIndex, UnixMillis};

use super::matrix::{
    HOLDERS, REVIEWERS, VETOERS, cooling_ms, is_about_people, is_destructive, is_large, needs,
    requesters,
};
use super::opening::check_forced_answer;
use super::pending::{Pending, Phase, RequestState, Supporter, wrong_phase};
use super::{Accepted, Approvals, Recorded, StatementRefusal, VaultFacts};
use crate::plants::{Plant, on};
use crate::policy::limits::{
    DAY_MS, GRANT_MS_MAX, HOUR_MS, OPEN_REQUEST_COUNT_MAX, SESSION_MS_MAX,
};
use crate::policy::people::{People, Signer};

/// What a statement changes, complete: carrying it out cannot fail.
pub(super) enum Step {
    /// These are the people.
    Found(People),
    /// A new request.
    Request(LogIndex, Box<Pending>),
    /// A request becomes this, and people perhaps change with it.
    Change(LogIndex, Box<Pending>, Option<People>),
    /// Nothing here.
    Hold,
    /// Unused keys are suspended.
    Review,
    /// Nothing here: somebody answers for what the vault does next.
    Act,
}

impl Step {
    pub(super) fn accepted(&self) -> Accepted {
        match self {
            Self::Found(_) => Accepted::Founded,
            Self::Request(..) => Accepted::Requested,
            Self::Change(request, pending, people) => match pending.phase {
                Phase::Vetoed(_) => Accepted::Vetoed(*request),
                Phase::Executed if people.is_some() && pending.cooling_ms.is_none() => {
                    Accepted::TookEffect(*request)
                }
                Phase::Open if pending.approved_at.is_some() => Accepted::Approved(*request),
                Phase::Open => Accepted::Supported(*request),
                _ => Accepted::Executed(*request),
            },
            Self::Hold => Accepted::Held,
            Self::Review => Accepted::Reviewed,
            Self::Act => Accepted::Acted,
        }
    }
}

impl Approvals {
    pub(super) fn decide(
        &self,
        statement: &Statement,
        signatures: &[Verified],
        at: Recorded,
        facts: VaultFacts,
    ) -> Result<Step, StatementRefusal> {
        self.check_text(statement, signatures)?;
        if self.used.contains(&statement.digest()) {
            return Err(StatementRefusal::Used);
        }
        match statement.kind() {
            Kind::Found(_) if !self.people.is_empty() => Err(StatementRefusal::Founded),
            Kind::Found(found) => {
                People::found(found, signatures, self.evaluation, at.compliance).map(Step::Found)
            }
            _ if self.people.is_empty() => Err(StatementRefusal::NotFounded),
            Kind::Request(request) => {
                self.decide_request(statement, request, signatures, at, facts)
            }
            Kind::Answer(answer) => self.decide_answer(answer, signatures, at),
            Kind::Hold(hold) => {
                let signer = self.one_signer(&hold.by, signatures)?;
                allow(signer, HOLDERS.contains(&signer.person.role), "state")?;
                check_scope(hold.count, facts)?;
                Ok(Step::Hold)
            }
            Kind::Review(review) => {
                let signer = self.one_signer(&review.by, signatures)?;
                allow(signer, REVIEWERS.contains(&signer.person.role), "state")?;
                check_head(review.head.size, at)?;
                Ok(Step::Review)
            }
            Kind::Session(session) => {
                let drift = session.at.start().get().abs_diff(at.wall.get());
                if drift > SESSION_MS_MAX {
                    return Err(StatementRefusal::NoSession);
                }
                self.one_signer(&session.by, signatures)?;
                Ok(Step::Act)
            }
        }
    }

    /// The statement is for this log, and the signatures are of it.
    pub(super) fn check_text(
        &self,
        statement: &Statement,
        signatures: &[Verified],
    ) -> Result<(), StatementRefusal> {
        if statement.origin() != self.origin {
            return Err(StatementRefusal::OtherLog);
        }
        let digest = statement.digest();
        if signatures.iter().any(|one| one.message() != digest) {
            return Err(StatementRefusal::OtherText);
        }
        Ok(())
    }

    pub(super) fn one_signer(
        &self,
        by: &Name,
        signatures: &[Verified],
    ) -> Result<Signer<'_>, StatementRefusal> {
        match signatures {
            [signature] => self.people.signer(by, signature),
            _ => Err(StatementRefusal::OneSigner),
        }
    }

    fn decide_request(
        &self,
        statement: &Statement,
        request: &Request,
        signatures: &[Verified],
        at: Recorded,
        facts: VaultFacts,
    ) -> Result<Step, StatementRefusal> {
        let signer = self.one_signer(&request.by, signatures)?;
        let now = at.compliance;
        let act = &request.act;
        if let Act::Later(_) = act {
            return Err(StatementRefusal::NotInThisVersion(act.name()));
        }
        let role = signer.person.role;
        allow(signer, requesters(act).contains(&role), "request")?;
        check_head(request.head.size, at)?;
        self.check_forced_request(request, at.log_index)?;
        self.check_cut(act)?;
        check_act(act, at, facts)?;
        self.people
            .after(act, std::slice::from_ref(&request.by), now)?;
        if matches!(act, Act::LogKey { .. })
            && self.pending.values().any(|one| one.statement.act == *act)
        {
            return Err(StatementRefusal::LogKeyAsked);
        }
        let open = self
            .pending
            .values()
            .filter(|pending| is_open(pending, now));
        // The hours of each are those that are missing before either is executed.
        let is_clock = |act: &Act| matches!(act, Act::Clock { .. });
        if is_clock(act) && open.clone().any(|one| is_clock(&one.statement.act)) {
            return Err(StatementRefusal::ClockAsked);
        }
        if open.count() >= OPEN_REQUEST_COUNT_MAX {
            return Err(StatementRefusal::TooManyRequests {
                max: OPEN_REQUEST_COUNT_MAX,
            });
        }
        let large = is_large(act, facts.versions);
        let policies = self.people.policies();
        let pending = Pending {
            statement: request.clone(),
            digest: statement.digest(),
            requested_at: now,
            large,
            needs: needs(act, role, large, policies),
            cooling_ms: cooling_ms(act, large, policies),
            supporters: vec![supporter(signer, now)],
            approved_at: None,
            executed_by: None,
            phase: Phase::Open,
        };
        Ok(Step::Request(at.log_index, Box::new(pending)))
    }

    fn decide_answer(
        &self,
        answer: &Answer,
        signatures: &[Verified],
        at: Recorded,
    ) -> Result<Step, StatementRefusal> {
        let pending = self
            .pending
            .get(&answer.request)
            .ok_or(StatementRefusal::NoRequest(answer.request))?;
        if pending.digest != answer.digest {
            return Err(StatementRefusal::DigestDiffers(answer.request));
        }
        check_forced_answer(answer, &pending.statement.act, at.log_index)?;
        let signer = self.one_signer(&answer.by, signatures)?;
        let mut next = pending.clone();
        let people = match answer.verb {
            Verb::Approve => self.approve(answer.request, &mut next, signer, at.compliance)?,
            Verb::Veto => {
                allow(signer, VETOERS.contains(&signer.person.role), "veto")?;
                if !is_open(pending, at.compliance) {
                    let state = pending.state(at.compliance);
                    return Err(wrong_phase(answer.request, state));
                }
                next.phase = Phase::Vetoed(answer.by.clone());
                None
            }
            Verb::Execute => self.start(answer.request, &mut next, signer, at)?,
        };
        Ok(Step::Change(answer.request, Box::new(next), people))
    }

    fn approve(
        &self,
        request: LogIndex,
        pending: &mut Pending,
        signer: Signer<'_>,
        now: UnixMillis,
    ) -> Result<Option<People>, StatementRefusal> {
        pending.check_approvable(request, now)?;
        let name = &signer.person.name;
        if pending.supporters.iter().any(|one| one.name == *name) {
            return Err(StatementRefusal::SamePerson(name.clone()));
        }
        let role = signer.person.role;
        allow(signer, pending.needs.of(role) > 0, "approve")?;
        if pending.missing(role) == 0 {
            return Err(StatementRefusal::NotNeeded(role));
        }
        check_quarantine(&pending.statement.act, signer, now)?;
        for other in &pending.supporters {
            let other = self.people.active(&other.name, other.key)?;
            check_independent(signer, other)?;
        }
        pending.supporters.push(supporter(signer, now));
        if !pending.is_approved() {
            return Ok(None);
        }
        pending.approved_at = Some(now);
        if pending.cooling_ms.is_some() {
            return Ok(None);
        }
        let act = &pending.statement.act;
        if !is_about_people(act) {
            pending.phase = Phase::Executing;
            return Ok(None);
        }
        pending.phase = Phase::Executed;
        self.people.after(act, &pending.names(), now).map(Some)
    }

    /// The moment of execution: everybody who supported it must count still.
    fn start(
        &self,
        request: LogIndex,
        pending: &mut Pending,
        signer: Signer<'_>,
        at: Recorded,
    ) -> Result<Option<People>, StatementRefusal> {
        let now = at.compliance;
        if on(Plant::VetoIgnored) && matches!(pending.phase, Phase::Vetoed(_)) {
            pending.phase = Phase::Open;
        }
        let rests = on(Plant::RestSkipped) && pending.state(now) == RequestState::Cooling;
        if !rests {
            pending.check_executable(request, now)?;
        }
        let act = &pending.statement.act;
        self.check_rested(act, now)?;
        let role = signer.person.role;
        let named = requesters(act).contains(&role) || pending.needs.of(role) > 0;
        allow(signer, named, "execute")?;
        check_quarantine(act, signer, now)?;
        for one in &pending.supporters {
            self.people.active(&one.name, one.key)?;
        }
        check_times(act, at)?;
        pending.executed_by = Some((signer.person.name.clone(), now));
        if !is_about_people(act) {
            pending.phase = Phase::Executing;
            return Ok(None);
        }
        let people = self.people.after(act, &pending.names(), now)?;
        pending.phase = Phase::Executed;
        Ok(Some(people))
    }
}

fn supporter(signer: Signer<'_>, at: UnixMillis) -> Supporter {
    Supporter {
        at,
        name: signer.person.name.clone(),
        role: signer.person.role,
        key: signer.key.key,
    }
}

fn is_open(pending: &Pending, now: UnixMillis) -> bool {
    matches!(
        pending.state(now),
        RequestState::Requested | RequestState::Cooling | RequestState::Executable
    )
}

fn allow(signer: Signer<'_>, allowed: bool, what: &'static str) -> Result<(), StatementRefusal> {
    if allowed {
        return Ok(());
    }
    Err(StatementRefusal::WrongRole {
        person: signer.person.name.clone(),
        role: signer.person.role,
        what,
    })
}

fn check_head(size: u64, at: Recorded) -> Result<(), StatementRefusal> {
    if size <= at.log_index.get() {
        Ok(())
    } else {
        Err(StatementRefusal::HeadAhead { size })
    }
}

fn check_scope(stated: u64, facts: VaultFacts) -> Result<(), StatementRefusal> {
    match facts.scope_count {
        None => Err(StatementRefusal::ScopeUnknown),
        Some(recorded) if recorded == stated => Ok(()),
        Some(recorded) => Err(StatementRefusal::ScopeCount { recorded, stated }),
    }
}

fn check_act(act: &Act, at: Recorded, facts: VaultFacts) -> Result<(), StatementRefusal> {
    match act {
        Act::Erase(erase) => {
            check_scope(erase.count, facts)?;
            let latest = erase.latest_retention.map(|time| time.start());
            match latest {
                Some(until) if until > at.compliance && !erase.governance => {
                    Err(StatementRefusal::RetentionRuns { until })
                }
                _ => Ok(()),
            }
        }
        Act::ReleaseHold(release) => check_scope(release.count, facts),
        // No more is asked for than is missing, up to the begun hour.
        Act::Clock { by_hours } if *by_hours > wall_ahead_ms(at).div_ceil(HOUR_MS) => {
            Err(StatementRefusal::ClockTime)
        }
        _ => check_times(act, at),
    }
}

/// Times that must hold when an act is asked for and again when it is executed.
fn check_times(act: &Act, at: Recorded) -> Result<(), StatementRefusal> {
    let now = at.compliance.get();
    match act {
        Act::Grant(grant) => {
            let ahead = grant.until.start().get().checked_sub(now);
            if ahead.is_some_and(|ms| (1..=GRANT_MS_MAX).contains(&ms)) {
                Ok(())
            } else {
                Err(StatementRefusal::GrantTime {
                    max_days: GRANT_MS_MAX / DAY_MS,
                })
            }
        }
        Act::Clock { .. } if wall_ahead_ms(at) == 0 => Err(StatementRefusal::ClockTime),
        _ => Ok(()),
    }
}

/// How far the wall clock is ahead of compliance time.
const fn wall_ahead_ms(at: Recorded) -> u64 {
    at.wall.get().saturating_sub(at.compliance.get())
}

fn check_quarantine(
    act: &Act,
    signer: Signer<'_>,
    now: UnixMillis,
) -> Result<(), StatementRefusal> {
    match signer.key.quarantined_until() {
        Some(until) if is_destructive(act) && now < until => {
            Err(StatementRefusal::Quarantined { until })
        }
        _ => Ok(()),
    }
}

/// Neither took part in bringing in the other, or the key the other signs with. Further keys do not count:
/// else whoever helps to replace a lost key could never again approve what its owner asks for.
fn check_independent(a: Signer<'_>, b: Signer<'_>) -> Result<(), StatementRefusal> {
    for (one, other) in [(a, b), (b, a)] {
        let name = &one.person.name;
        if other.person.enrolled_by.contains(name) || other.key.enrolled_by.contains(name) {
            return Err(StatementRefusal::Enrolled {
                one: name.clone(),
                other: other.person.name.clone(),
            });
        }
    }
    Ok(())
}
