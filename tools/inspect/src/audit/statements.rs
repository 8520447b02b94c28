//! Statements: read, verified, and done what they say.

use std::collections::BTreeSet;

use stele_format::digest::Digest;
use stele_format::record::{RecordHeader, StatementBody};
use stele_format::sshsig::{KeyType, STATEMENT_NAMESPACE, Signature, Verified};
use stele_format::statement::{
    Act, Answer, Found, Head, Hold, Kind, Name, Request as Asked, Role, Second, Statement, Verb,
};
use stele_format::units::{LogIndex, UnixMillis};

use super::finding::Breach;
use super::heads::Known;
use super::matrix::{is_large, needs};
use super::people::People;
use super::requests::{Request, Voice};
use super::{Auditor, Granted};

/// Policies that this tool knows, and whose value it applies.
const KNOWN_POLICY: &str = "plain-keys";

impl Auditor {
    pub(super) fn take_statement(&mut self, header: &RecordHeader, body: &StatementBody) {
        if let Err(breach) = self.state(header, body) {
            self.breach(header.log_index, breach);
        }
    }

    fn state(&mut self, header: &RecordHeader, body: &StatementBody) -> Result<(), Breach> {
        let (index, at) = (header.log_index, header.compliance_ms);
        let statement = Statement::parse(&body.text).map_err(Breach::Text)?;
        if statement.origin().pool() != self.pool {
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
                self.say(kind, digest, voice)?;
            }
            (_, None) => return Err(Breach::SignatureCount(0)),
        }
        self.texts.insert(digest, index);
        Ok(())
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
        for (name, value) in &found.policies {
            self.set_policy(index, name, value);
        }
        Ok(())
    }

    fn set_policy(&mut self, index: LogIndex, name: &Name, value: &Name) {
        if name.as_str() != KNOWN_POLICY {
            let what = format!(
                "policy {name} is {value}; this tool does not know it and judges by the built-in rules"
            );
            self.alarm(index, "policy-unknown", what);
        }
        self.policies.insert(name.clone(), value.clone());
    }

    /// Who signed, if they may.
    fn voice(
        &mut self,
        by: &Name,
        verified: &[Verified],
        index: LogIndex,
        at: UnixMillis,
    ) -> Result<Voice, Breach> {
        let people = self.people.as_mut().ok_or(Breach::Unfounded)?;
        let [signature] = verified else {
            return Err(Breach::SignatureCount(verified.len()));
        };
        let key = signature.key();
        let (person, _) = people.active_key(by, &key)?;
        let role = person.role;
        check_touch(signature, people)?;
        if people.used(by, &key, at, signature.counter()) {
            let what = format!(
                "the security key of {by} counts fewer signatures than before: it may have been copied, or this was signed earlier"
            );
            self.alarm(index, "counter-back", what);
        }
        Ok(Voice {
            name: by.clone(),
            role,
            key,
            index,
            at,
        })
    }

    fn say(&mut self, kind: &Kind, digest: Digest, voice: Voice) -> Result<(), Breach> {
        match kind {
            Kind::Request(asked) => self.ask(asked, digest, voice),
            Kind::Answer(answer) => self.answer(answer, voice),
            Kind::Hold(hold) => self.hold(hold, &voice),
            Kind::Review(review) => {
                self.check_head(&review.head, voice.index)?;
                self.review(&voice)
            }
            Kind::Session(_) => Err(Breach::Session),
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

    fn ask(&mut self, asked: &Asked, digest: Digest, voice: Voice) -> Result<(), Breach> {
        self.check_head(&asked.head, voice.index)?;
        let large = match &asked.act {
            Act::Erase(erase) => self.check_list(&erase.scope, erase.count)?,
            Act::ReleaseHold(release) => self.check_list(&release.scope, release.count)?,
            Act::Later(_) => return Err(Breach::Later),
            _ => false,
        };
        let needs = needs(&asked.act, voice.role, large).ok_or(Breach::Requester(voice.role))?;
        let index = voice.index;
        let request = Request::new(digest, asked.act.clone(), voice, needs);
        self.check_latest(index, &asked.act);
        self.requests.insert(index, request);
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

    fn answer(&mut self, answer: &Answer, voice: Voice) -> Result<(), Breach> {
        let unknown = Breach::RequestUnknown(answer.request);
        let people = self.people.as_ref().ok_or(Breach::Unfounded)?;
        let request = self.requests.get_mut(&answer.request).ok_or(unknown)?;
        if request.digest != answer.digest {
            return Err(Breach::RequestDigest(answer.request));
        }
        match answer.verb {
            Verb::Approve => request.approve(voice, people),
            Verb::Veto => request.veto(&voice),
            Verb::Execute => {
                let (index, at) = (voice.index, voice.at);
                request.execute(voice, people)?;
                let (act, makers) = (request.act.clone(), request.makers());
                self.carry_out(answer.request, &act, &makers, (index, at))
            }
        }
    }

    fn carry_out(
        &mut self,
        request: LogIndex,
        act: &Act,
        makers: &BTreeSet<Name>,
        (index, at): (LogIndex, UnixMillis),
    ) -> Result<(), Breach> {
        match act {
            Act::ReleaseHold(release) => {
                let list = self.lists.get(&release.scope).ok_or(Breach::ScopeUnknown)?;
                self.cases
                    .lift(&release.case, &list.members, &mut self.versions);
                self.lifts.push(request);
            }
            Act::Grant(grant) => self.grants.push(Granted {
                request,
                grant: grant.clone(),
            }),
            Act::Policy { name, value } => {
                // Only the founding lets keys in files in; they can be locked out later.
                if name.as_str() == KNOWN_POLICY {
                    let people = self.people.as_mut().ok_or(Breach::Unfounded)?;
                    if value.as_str() == "yes" && !people.plain_keys {
                        return Err(Breach::PlainKey);
                    }
                    people.plain_keys = value.as_str() == "yes";
                }
                self.set_policy(index, name, value);
            }
            _ => {
                let people = self.people.as_mut().ok_or(Breach::Unfounded)?;
                people.change(act, makers, at)?;
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
        self.cases.put(hold.case, &list.members, &mut self.versions);
        Ok(())
    }

    fn review(&mut self, voice: &Voice) -> Result<(), Breach> {
        if !matches!(voice.role, Role::Officer | Role::Auditor) {
            return Err(Breach::ReviewRole(voice.role));
        }
        let people = self.people.as_mut().ok_or(Breach::Unfounded)?;
        for name in people.review(voice.at) {
            let what = format!("the access review suspended a key of {name}, unused for 90 days");
            self.alarm(voice.index, "key-unused", what);
        }
        Ok(())
    }
}

/// A security key says that its owner was there; a key in a file cannot.
fn check_touch(signature: &Verified, people: &People) -> Result<(), Breach> {
    match signature.key().key_type() {
        KeyType::SecurityKey if signature.user_present() && signature.user_verified() => Ok(()),
        KeyType::SecurityKey => Err(Breach::Touch),
        KeyType::Plain if people.plain_keys => Ok(()),
        KeyType::Plain => Err(Breach::PlainKey),
    }
}
