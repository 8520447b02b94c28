//! Statements: read, verified, and done what they say.

use stele_format::digest::Digest;
use stele_format::record::{RecordHeader, StatementBody};
use stele_format::sshsig::{KeyType, STATEMENT_NAMESPACE, Signature, Verified};
use stele_format::statement::{
    Act, Answer, Found, Head, Hold, Kind, Name, Request as Asked, Role, Second, Statement, Verb,
};
use stele_format::units::{LogIndex, UnixMillis};

use super::finding::Breach;
use super::heads::Known;
use super::holds::Case;
use super::matrix::{is_large, needs};
use super::people::{People, is_about_people};
use super::requests::{Request, State, Voice};
use super::{Auditor, Granted};
use crate::limits::{GRANT_MS_MAX, HOUR_MS, OPEN_REQUEST_COUNT_MAX, SESSION_SPAN_MS};

impl Auditor {
    pub(super) fn take_statement(&mut self, header: &RecordHeader, body: &StatementBody) {
        if let Err(breach) = self.state(header, body) {
            self.breach(header.log_index, breach);
        }
    }

    fn state(&mut self, header: &RecordHeader, body: &StatementBody) -> Result<(), Breach> {
        let (index, at) = (header.log_index, header.compliance_ms);
        let statement = Statement::parse(&body.text).map_err(Breach::Text)?;
        if statement.origin() != self.origin() {
            return Err(Breach::OtherLog);
        }
        let digest = statement.digest();
        if let Some(first) = self.texts.get(&digest) {
            return Err(Breach::Twice(*first));
        }
        let mut verified = Vec::new();
        for signature in &body.signatures {
            let signature = Signature::decode(signature).map_err(Breach::Signature)?;
            let text = body.text.as_bytes();
            verified.push(
                signature
                    .verify(text, STATEMENT_NAMESPACE)
                    .map_err(Breach::Signature)?,
            );
        }
        match (statement.kind(), statement.by()) {
            (Kind::Found(found), _) => self.found(found, &verified, index, at)?,
            (kind, Some(by)) => {
                let voice = self.voice(by, &verified, index, at)?;
                if let Kind::Request(asked) = kind {
                    self.check_forced_request(asked, index, header.epoch.get())?;
                }
                let recorded = (voice, header.wall_ms);
                self.say(kind, digest, recorded)?;
                self.used(by, &verified, index, at);
            }
            (_, None) => return Err(Breach::SignatureCount(0)),
        }
        self.texts.insert(digest, index);
        if matches!(statement.kind(), Kind::Review(_)) {
            self.review(index, at);
        }
        self.bury();
        Ok(())
    }

    /// A review, or an act that takes power away, may have cost an open request somebody who signed for it.
    fn bury(&mut self) {
        let (Some(people), true) = (&self.people, self.power_lost) else {
            return;
        };
        for index in &self.open {
            if let Some(request) = self.requests.get_mut(index) {
                request.bury(people, self.now);
            }
        }
        self.power_lost = false;
    }

    /// Notes a signature that counted.
    fn used(&mut self, by: &Name, verified: &[Verified], index: LogIndex, at: UnixMillis) {
        let Some(people) = &mut self.people else {
            return;
        };
        let mut back = false;
        for signature in verified {
            back |= people.used(by, &signature.key(), at, signature.counter());
        }
        if back {
            let what = format!(
                "the security key of {by} counts fewer signatures than before: it may have been copied, or this was signed earlier"
            );
            self.alarm(index, "counter-back", what);
        }
    }

    fn found(
        &mut self,
        found: &Found,
        verified: &[Verified],
        index: LogIndex,
        at: UnixMillis,
    ) -> Result<(), Breach> {
        if self.people.is_some() {
            return Err(Breach::FoundTwice);
        }
        let mut people = People::found(found, self.evaluation, at)?;
        for signature in verified {
            let key = signature.key();
            let signer = found.keys.iter().find(|entry| entry.key == key);
            let signer = signer.ok_or(Breach::SignatureCount(verified.len()))?;
            check_touch(signature, &people)?;
            people.used(&signer.person, &key, at, signature.counter());
        }
        for (name, person) in &people.all {
            let signed = |signature: &Verified| person.key(&signature.key()).is_some();
            if !verified.iter().any(signed) {
                return Err(Breach::FoundUnsigned(name.clone()));
            }
        }
        self.people = Some(people);
        self.founded = Some(index);
        self.policies.extend(found.policies.iter().cloned());
        Ok(())
    }

    /// Who signed, if they may.
    fn voice(
        &self,
        by: &Name,
        verified: &[Verified],
        index: LogIndex,
        at: UnixMillis,
    ) -> Result<Voice, Breach> {
        let people = self.people.as_ref().ok_or(Breach::Unfounded)?;
        let [signature] = verified else {
            return Err(Breach::SignatureCount(verified.len()));
        };
        let key = signature.key();
        let (person, _) = people.active_key(by, &key)?;
        check_touch(signature, people)?;
        Ok(Voice {
            name: by.clone(),
            role: person.role,
            key,
            index,
            at,
        })
    }

    fn say(
        &mut self,
        kind: &Kind,
        digest: Digest,
        (voice, wall): (Voice, UnixMillis),
    ) -> Result<(), Breach> {
        match kind {
            Kind::Request(asked) => self.ask(asked, digest, (voice, wall)),
            Kind::Answer(answer) => self.answer(answer, (voice, wall)),
            Kind::Hold(hold) => self.hold(hold, &voice),
            Kind::Review(review) => {
                if !matches!(voice.role, Role::Officer | Role::Auditor) {
                    return Err(Breach::ReviewRole(voice.role));
                }
                self.check_head(&review.head, voice.index)
            }
            Kind::Session(session) => {
                let apart = session.at.start().get().abs_diff(wall.get());
                if apart > SESSION_SPAN_MS {
                    return Err(Breach::Session);
                }
                Ok(())
            }
            Kind::Found(_) => Err(Breach::FoundTwice),
        }
    }

    fn check_head(&mut self, head: &Head, index: LogIndex) -> Result<(), Breach> {
        match self.heads.knows(head) {
            Known::Yes => Ok(()),
            Known::No => Err(Breach::Head),
            Known::Untold => {
                let what =
                    "what was signed shows the log as it was long before, which was not compared"
                        .to_owned();
                self.alarm(index, "head-old", what);
                Ok(())
            }
        }
    }

    fn ask(
        &mut self,
        asked: &Asked,
        digest: Digest,
        (voice, wall): (Voice, UnixMillis),
    ) -> Result<(), Breach> {
        let (act, index, at) = (&asked.act, voice.index, voice.at);
        if matches!(act, Act::Later(_)) {
            return Err(Breach::Later);
        }
        let people = self.people.as_ref().ok_or(Breach::Unfounded)?;
        // Who may ask is looked at first; how large its list is, and with it what it needs, comes after.
        if needs(act, voice.role, false, &people.policies).is_none() {
            return Err(Breach::Requester(voice.role));
        }
        if is_about_people(act) {
            people
                .clone()
                .change(act, &[voice.name.clone()].into(), at)?;
        }
        check_asked_hours(act, at, wall)?;
        self.check_one_clock(act, at)?;
        check_times(act, at, wall)?;
        self.check_log_key_request(act)?;
        self.check_head(&asked.head, index)?;
        let large = match act {
            Act::Erase(erase) => self.check_list(&erase.scope, erase.count)?,
            Act::ReleaseHold(release) => self.check_list(&release.scope, release.count)?,
            _ => false,
        };
        self.check_open(at)?;
        let people = self.people.as_ref().ok_or(Breach::Unfounded)?;
        let needs =
            needs(act, voice.role, large, &people.policies).ok_or(Breach::Requester(voice.role))?;
        let request = Request::new(digest, act.clone(), voice, needs);
        self.check_latest(index, act);
        self.requests.insert(index, request);
        self.open.insert(index);
        Ok(())
    }

    fn check_open(&mut self, now: UnixMillis) -> Result<(), Breach> {
        let requests = &self.requests;
        let is_open = |index: &LogIndex| requests.get(index).is_some_and(|one| one.is_open(now));
        self.open.retain(is_open);
        if self.open.len() < OPEN_REQUEST_COUNT_MAX {
            Ok(())
        } else {
            Err(Breach::TooManyRequests)
        }
    }

    /// Two requests about the clock would make up for the same hours twice.
    fn check_one_clock(&self, act: &Act, now: UnixMillis) -> Result<(), Breach> {
        let is_clock = |act: &Act| matches!(act, Act::Clock { .. });
        let mut open = self.requests.values().filter(|one| one.is_open(now));
        if is_clock(act) && open.any(|one| is_clock(&one.act)) {
            return Err(Breach::ClockAgain);
        }
        Ok(())
    }

    /// A list that is complete, names only versions of the log, and has the number of them that was signed.
    /// Returns whether it is large.
    fn check_list(&self, scope: &Digest, count: u64) -> Result<bool, Breach> {
        let list = self.lists.get(scope).ok_or(Breach::ScopeUnknown)?;
        if list.strangers > 0 {
            return Err(Breach::ScopeStranger(list.strangers));
        }
        if list.count() != count {
            return Err(Breach::ScopeCount(list.count()));
        }
        Ok(is_large(count, self.versions.living()))
    }

    /// People sign when the last retention of a list ends. It may have been extended since the list was made,
    /// so another time is only said.
    fn check_latest(&mut self, index: LogIndex, act: &Act) {
        let Act::Erase(erase) = act else { return };
        let Some(list) = self.lists.get(&erase.scope) else {
            return;
        };
        let locks = list.members.iter().map(|at| self.versions.lock(*at).until);
        let latest = locks.max().filter(|until| !until.is_zero());
        let signed = erase.latest_retention;
        let same = match latest {
            None => signed.is_none(),
            Some(latest) => [Second::of(latest), Second::not_before(latest)].contains(&signed),
        };
        if !same {
            let what =
                "the end of the last retention that was signed is not the one the records give"
                    .to_owned();
            self.alarm(index, "latest-retention", what);
        }
    }

    fn answer(
        &mut self,
        answer: &Answer,
        (voice, wall): (Voice, UnixMillis),
    ) -> Result<(), Breach> {
        let unknown = Breach::RequestUnknown(answer.request);
        let people = self.people.as_ref().ok_or(Breach::Unfounded)?;
        // Changed as a whole or not at all: what does not count leaves no trace.
        let request = self.requests.get(&answer.request).ok_or(unknown)?;
        if request.digest != answer.digest {
            return Err(Breach::RequestDigest(answer.request));
        }
        let (mut request, at) = (request.clone(), voice.at);
        match answer.verb {
            Verb::Approve => {
                request.approve(voice, people)?;
                if request.takes_effect_now() {
                    self.carry_out(answer.request, &request, at)?;
                    request.state = State::Executed;
                }
            }
            _ if matches!(request.act, Act::ForceOpen { .. }) => return Err(Breach::ForcedAlone),
            Verb::Veto => request.veto(&voice)?,
            Verb::Execute => {
                request.execute(voice, people)?;
                self.check_freeing_request(&request, at)?;
                check_times(&request.act, at, wall)?;
                self.carry_out(answer.request, &request, at)?;
            }
        }
        self.requests.insert(answer.request, request);
        Ok(())
    }

    fn carry_out(
        &mut self,
        index: LogIndex,
        request: &Request,
        at: UnixMillis,
    ) -> Result<(), Breach> {
        match &request.act {
            // The case counts until its release is stated done.
            Act::ReleaseHold(_) => self.lifts.push(index),
            Act::Grant(grant) => self.grants.push(Granted {
                request: index,
                grant: grant.clone(),
            }),
            act => {
                let people = self.people.as_mut().ok_or(Breach::Unfounded)?;
                people.change(act, &request.makers(), at)?;
                self.power_lost |= request.needs.rest_ms.is_none();
                if let Act::Policy { name, value } = act {
                    self.policies.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, hold: &Hold, voice: &Voice) -> Result<(), Breach> {
        if !matches!(voice.role, Role::Operator | Role::Officer | Role::Approver) {
            return Err(Breach::HoldRole(voice.role));
        }
        self.check_list(&hold.scope, hold.count)?;
        let list = self.lists.get(&hold.scope).ok_or(Breach::ScopeUnknown)?;
        let case = Case {
            case: hold.case,
            scope: hold.scope,
            statement: voice.index,
        };
        self.cases.put(case, &list.members, &mut self.versions);
        Ok(())
    }

    fn review(&mut self, index: LogIndex, at: UnixMillis) {
        let Some(people) = &mut self.people else {
            return;
        };
        for name in people.review(at) {
            self.power_lost = true;
            let what = format!("the access review suspended a key of {name}, unused for 90 days");
            self.alarm(index, "key-unused", what);
        }
    }
}

/// Nobody asks for more hours than the wall clock is ahead, the last one begun.
const fn check_asked_hours(act: &Act, now: UnixMillis, wall: UnixMillis) -> Result<(), Breach> {
    let ahead_ms = wall.get().saturating_sub(now.get());
    match act {
        Act::Clock { by_hours } if *by_hours > ahead_ms.div_ceil(HOUR_MS) => Err(Breach::ClockTime),
        _ => Ok(()),
    }
}

/// Times that must hold when an act is asked for, and again when it is executed.
fn check_times(act: &Act, now: UnixMillis, wall: UnixMillis) -> Result<(), Breach> {
    match act {
        Act::Erase(erase) => match erase.latest_retention {
            Some(until) if until.start() > now && !erase.governance => {
                Err(Breach::RequestRetained(until))
            }
            _ => Ok(()),
        },
        Act::Grant(grant) => {
            let ahead = grant.until.start().get().checked_sub(now.get());
            if ahead.is_some_and(|ms| (1..=GRANT_MS_MAX).contains(&ms)) {
                Ok(())
            } else {
                Err(Breach::GrantTime)
            }
        }
        Act::Clock { .. } if wall <= now => Err(Breach::ClockTime),
        _ => Ok(()),
    }
}

/// A security key says that its owner was there; a key in a file cannot.
fn check_touch(signature: &Verified, people: &People) -> Result<(), Breach> {
    match signature.key().key_type() {
        KeyType::SecurityKey if signature.user_present() && signature.user_verified() => Ok(()),
        KeyType::SecurityKey => Err(Breach::Touch),
        KeyType::Plain if people.policies.plain_keys => Ok(()),
        KeyType::Plain => Err(Breach::PlainKey),
    }
}
