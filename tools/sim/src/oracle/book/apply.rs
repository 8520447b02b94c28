//! What an acknowledged question of people does to the book, and to the model of what clients see.

use stele_format::digest::Digest;
use stele_format::record::{Scope, VersionRef};
use stele_format::statement::{Act, Answer as Spoken, Kind, Role, Statement, Verb};
use stele_format::units::{LogIndex, VersionId};
use stele_store::policy::Kept;
use stele_store::policy::approval::Accepted;
use stele_store::request::{Answer, Tombstoned};

use super::judge::shown;
use super::{Book, Case, Entry, Objection, Official, Piece, Span};
use crate::error::Violation;
use crate::oracle::model::{Holds, Model};
use crate::oracle::rules::Times;
use crate::people::{PEOPLE, role_of};

impl Book {
    /// Judges an answer that granted what was asked, and enters what it did.
    ///
    /// # Errors
    /// It must not have been granted, or does not fit.
    pub fn granted(
        &mut self,
        model: &mut Model,
        (official, answer): (&Official, &Answer),
        times: Times,
    ) -> Result<(), Violation> {
        if let Objection::Must(why) = self.objection(model, official, times) {
            return Err(unlawful(official, why));
        }
        let strange = || unlawful(official, "the answer does not fit the question");
        match (official, answer) {
            (Official::State(said), Answer::Stated { index, accepted }) => {
                let accepted = accepted.ok_or_else(strange)?;
                let span = (times.since_ms, times.until_ms);
                self.learn_size(said.statement.kind(), accepted);
                if self.stated(&said.statement, *index, span) != Some(accepted) {
                    return Err(strange());
                }
            }
            (Official::Scope(scope), Answer::Recorded(_)) => self.recorded(scope),
            (Official::Look, Answer::People(view)) => self.compare_view(view)?,
            (Official::Count, Answer::Census(_)) => {}
            (Official::Rehome(_), Answer::Rehomed { .. }) => {
                self.check_month(official)?;
            }
            (Official::Place(statement, ordinal), Answer::Held { .. }) => {
                self.placed(model, *statement, *ordinal);
            }
            (Official::Lift(request, ordinal), Answer::Held { last, .. }) => {
                self.lifted(model, *request, *ordinal, *last);
            }
            (Official::Tombstone(request, ordinal), Answer::Tombstoned(done)) => {
                self.tombstoned(model, official, (*request, *ordinal), done, times)?;
            }
            _ => return Err(strange()),
        }
        Ok(())
    }

    /// Where it is not known whether a list is large, the first approval that counts tells.
    fn learn_size(&mut self, kind: &Kind, accepted: Accepted) {
        let Kind::Answer(answer) = kind else { return };
        let entry = self.requests.get_mut(&answer.request);
        let Some(entry) = entry.filter(|entry| entry.large.is_none()) else {
            return;
        };
        if answer.verb != Verb::Approve {
            return;
        }
        let all = || entry.approvals.iter().chain([&answer.by]);
        let given = |role| all().filter(|one| role_of(one) == Some(role)).count();
        let officers = given(Role::Officer) >= usize::from(entry.is_early());
        let approvers = given(Role::Approver);
        match accepted {
            Accepted::Approved(_) if approvers == 1 => entry.large = Some(false),
            Accepted::Supported(_) if approvers == 1 && officers => entry.large = Some(true),
            _ => {}
        }
    }

    fn check_month(&self, official: &Official) -> Result<(), Violation> {
        let Official::Rehome(request) = official else {
            return Ok(());
        };
        match self.requests.get(request).is_some_and(Entry::is_of_month) {
            true => Ok(()),
            false => Err(unlawful(official, "no month is cut by it")),
        }
    }

    /// The pieces of a list that a statement which counted is about.
    fn open_pieces(&mut self, scope: &Digest) -> Vec<Piece> {
        let list = self.lists.get_mut(scope);
        let pieces = list.map_or(0, |list| {
            list.was_whole(scope);
            list.pieces.len()
        });
        vec![Piece::Open; pieces]
    }

    /// Enters a statement; what it must have done.
    pub(super) fn stated(
        &mut self,
        statement: &Statement,
        index: LogIndex,
        span: Span,
    ) -> Option<Accepted> {
        self.texts.insert(statement.digest());
        match statement.kind() {
            Kind::Found(found) => {
                self.founded = true;
                for key in &found.keys {
                    let shown = key.key.fingerprint();
                    self.fingerprints.insert(key.person.clone(), shown);
                }
                (found.keys.len() == PEOPLE.len()).then_some(Accepted::Founded)
            }
            Kind::Request(request) => {
                let count = match &request.act {
                    Act::Erase(erase) => erase.count,
                    Act::ReleaseHold(release) => release.count,
                    _ => return None,
                };
                let mut entry = Entry {
                    digest: statement.digest(),
                    act: request.act.clone(),
                    by: request.by.clone(),
                    requested: span,
                    large: self.is_large(count),
                    approvals: Vec::new(),
                    approved: None,
                    vetoed: None,
                    executed: None,
                    pieces: Vec::new(),
                    done: false,
                    cut: None,
                };
                entry.pieces = self.open_pieces(&entry.scope());
                self.requests.insert(index, entry);
                Some(Accepted::Requested)
            }
            Kind::Answer(answer) => self.answered(answer, span),
            Kind::Hold(hold) => {
                let pieces = self.open_pieces(&hold.scope);
                self.cases.push(Case {
                    statement: index,
                    case: hold.case,
                    scope: hold.scope,
                    count: hold.count,
                    by: hold.by.clone(),
                    pieces,
                    released: false,
                });
                Some(Accepted::Held)
            }
            _ => None,
        }
    }

    /// More than a hundredth of all versions is large; none where that may be so or not.
    fn is_large(&self, count: u64) -> Option<bool> {
        // More than were counted after the last start may be there, and fewer.
        let counted = self.rows.len() as u64;
        (count * 1_000 > (counted + 200) * 10).then_some(true)
    }

    fn answered(&mut self, answer: &Spoken, span: Span) -> Option<Accepted> {
        let request = answer.request;
        let entry = self.requests.get_mut(&request)?;
        match answer.verb {
            Verb::Veto => {
                entry.vetoed = Some(answer.by.clone());
                Some(Accepted::Vetoed(request))
            }
            Verb::Execute => {
                entry.executed = Some(answer.by.clone());
                Some(Accepted::Executed(request))
            }
            Verb::Approve => {
                entry.approvals.push(answer.by.clone());
                if entry.is_approved() {
                    entry.approved = Some(span);
                    return Some(Accepted::Approved(request));
                }
                Some(Accepted::Supported(request))
            }
        }
    }

    pub(super) fn recorded(&mut self, scope: &Scope) {
        let list = self.lists.entry(scope.digest).or_default();
        list.pieces
            .resize(usize::try_from(scope.pieces).unwrap_or(0), None);
        let at = usize::try_from(scope.ordinal).unwrap_or(usize::MAX);
        if let Some(piece) = list.pieces.get_mut(at) {
            *piece = Some(scope.entries.clone());
        }
    }

    fn placed(&mut self, model: &mut Model, statement: LogIndex, ordinal: u32) {
        let Some(case) = self
            .cases
            .iter_mut()
            .find(|case| case.statement == statement)
        else {
            return;
        };
        mark(&mut case.pieces, ordinal);
        let scope = case.scope;
        for entry in self.piece(&scope, ordinal).cloned().unwrap_or_default() {
            self.hold(model, entry.version, true);
        }
    }

    fn lifted(&mut self, model: &mut Model, request: LogIndex, ordinal: u32, last: bool) {
        let Some(entry) = self.requests.get_mut(&request) else {
            return;
        };
        mark(&mut entry.pieces, ordinal);
        entry.done |= last;
        let Act::ReleaseHold(release) = entry.act.clone() else {
            return;
        };
        let lifts = |case: &Case| {
            case.case == release.case && case.scope == release.scope && case.statement < request
        };
        let held = self.held(lifts);
        for entry in self
            .piece(&release.scope, ordinal)
            .cloned()
            .unwrap_or_default()
        {
            if !held.contains(&entry.version) {
                self.hold(model, entry.version, false);
            }
        }
        if last {
            let cases = self.cases.iter_mut().filter(|case| lifts(case));
            cases.for_each(|case| case.released = true);
        }
    }

    pub(super) fn hold(&mut self, model: &mut Model, version: VersionId, on: bool) {
        if let Some(row) = self.rows.get_mut(&version) {
            row.lock.hold = on;
        }
        let keys = model.buckets.values_mut();
        let mut keys = keys.flat_map(|bucket| bucket.keys.values_mut());
        if let Some(version) = keys.find_map(|key| key.known_mut(version)) {
            version.hold = on;
        }
    }

    fn tombstoned(
        &mut self,
        model: &mut Model,
        official: &Official,
        (request, ordinal): (LogIndex, u32),
        done: &Tombstoned,
        times: Times,
    ) -> Result<(), Violation> {
        let Some(entry) = self.requests.get(&request).cloned() else {
            return Ok(());
        };
        let at = usize::try_from(ordinal).unwrap_or(usize::MAX);
        let piece = entry.pieces.get(at).copied().unwrap_or(Piece::Open);
        let entries = self.piece(&entry.scope(), ordinal).cloned();
        let entries = entries.ok_or_else(|| unlawful(official, "its list has no such piece"))?;
        if done.last != (at + 1 == entry.pieces.len()) {
            return Err(unlawful(official, "another piece is the last one"));
        }
        let before = done.destroyed == 0 && done.kept.is_empty();
        let again = match piece {
            Piece::Done if !before => {
                return Err(unlawful(official, "it was worked off before"));
            }
            Piece::Done => true,
            Piece::Maybe => before,
            Piece::Open => false,
        };
        if !again {
            self.destroy(model, official, (request, &entries), done, times)?;
        }
        if let Some(entry) = self.requests.get_mut(&request) {
            mark(&mut entry.pieces, ordinal);
        }
        Ok(())
    }

    fn destroy(
        &mut self,
        model: &mut Model,
        official: &Official,
        (request, entries): (LogIndex, &[VersionRef]),
        done: &Tombstoned,
        times: Times,
    ) -> Result<(), Violation> {
        let all = done.kept.len() + usize::try_from(done.destroyed).unwrap_or(usize::MAX);
        if all != entries.len() {
            return Err(unlawful(
                official,
                "versions are neither kept nor destroyed",
            ));
        }
        let held = self.held(|_| false);
        for entry in entries {
            let kept = done.kept.iter().find(|(kept, _)| kept == entry);
            match kept {
                None => self.gone(model, official, (request, entry), times)?,
                Some((_, why)) => {
                    let locked = self.lock(model, entry, self.is_early(request), times);
                    let right = match why {
                        Kept::Gone => {
                            let known = self.rows.contains_key(&entry.version)
                                || shown(model, entry.version).is_some();
                            self.destroyed.contains_key(&entry.version) || !known
                        }
                        // When a hold went is not in the book; only that the rest after it still runs.
                        Kept::Unheld { until } => until.get() > times.since_ms,
                        _ => locked != Holds::No || held.contains(&entry.version),
                    };
                    if !right || (*why != Kept::Gone && self.destroyed.contains_key(&entry.version))
                    {
                        return Err(unlawful(official, "a version is kept that nothing keeps"));
                    }
                }
            }
        }
        Ok(())
    }

    fn is_early(&self, request: LogIndex) -> bool {
        self.requests.get(&request).is_some_and(Entry::is_early)
    }

    /// A version is destroyed: nothing may have kept it.
    pub(super) fn gone(
        &mut self,
        model: &mut Model,
        official: &Official,
        (request, entry): (LogIndex, &VersionRef),
        times: Times,
    ) -> Result<(), Violation> {
        if self.destroyed.contains_key(&entry.version) {
            return Err(unlawful(official, "what is gone is destroyed again"));
        }
        if self.held(|_| false).contains(&entry.version) {
            return Err(unlawful(official, "a case holds what it destroys"));
        }
        if self.lock(model, entry, self.is_early(request), times) == Holds::Yes {
            return Err(unlawful(official, "what it destroys is locked"));
        }
        self.forget(model, request, entry.version);
        Ok(())
    }

    /// A version is not there any more.
    pub(super) fn forget(&mut self, model: &mut Model, request: LogIndex, version: VersionId) {
        self.destroyed.insert(version, request);
        let keys = model.buckets.values_mut();
        let keys = keys.flat_map(|bucket| bucket.keys.values_mut());
        for key in keys {
            if key.version(version).is_some() || key.released.contains_key(&version) {
                key.destroy(version);
                // With its last version an object's name goes: the next one is another object.
                key.object = None;
            }
        }
    }
}

impl Entry {
    /// Whether everybody approved who must.
    pub(super) fn is_approved(&self) -> bool {
        let given = |role| {
            let of = self
                .approvals
                .iter()
                .filter(|one| role_of(one) == Some(role));
            of.count() >= self.needs(role)
        };
        given(Role::Approver) && given(Role::Officer)
    }
}

fn mark(pieces: &mut [Piece], ordinal: u32) {
    let at = usize::try_from(ordinal).unwrap_or(usize::MAX);
    if let Some(piece) = pieces.get_mut(at) {
        *piece = Piece::Done;
    }
}

/// Something was granted that must not have been.
pub(super) fn unlawful(official: &Official, why: &'static str) -> Violation {
    Violation::Unlawful {
        deed: official.to_string(),
        why,
    }
}
