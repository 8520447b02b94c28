//! After a crash: which questions of people were granted although nobody heard.

use stele_format::statement::{Kind, Statement, Verb};
use stele_format::units::{LogIndex, VersionId};

use super::{Book, OfficeSurvey, Official, Piece};
use crate::error::Violation;
use crate::oracle::model::Model;
use crate::oracle::rules::Times;

impl Book {
    /// Enters the holds that a piece of a case or of a release put on versions, or took off; whether there are any.
    fn settle_holds(
        &mut self,
        model: &mut Model,
        official: &Official,
        seen: &OfficeSurvey,
    ) -> bool {
        let (scope, ordinal, on) = match official {
            Official::Place(statement, ordinal) => {
                let case = self.cases.iter().find(|case| case.statement == *statement);
                (case.map(|case| case.scope), *ordinal, true)
            }
            Official::Lift(request, ordinal) => {
                let entry = self.requests.get(request);
                (entry.map(super::Entry::scope), *ordinal, false)
            }
            _ => return false,
        };
        let piece = scope.and_then(|scope| self.piece(&scope, ordinal)).cloned();
        let mut any = false;
        for entry in piece.unwrap_or_default() {
            let row = seen.rows.iter().find(|row| row.version == entry.version);
            if row.is_some_and(|row| row.lock.hold == on) {
                self.hold(model, entry.version, on);
                any = true;
            }
        }
        any
    }

    /// Finds out whether a question was granted, and enters what it did; whether it was.
    ///
    /// # Errors
    /// It must not have been granted.
    pub fn settle(
        &mut self,
        model: &mut Model,
        official: &Official,
        seen: &OfficeSurvey,
        times: Times,
        disturbed: &dyn Fn(&Model, VersionId) -> bool,
    ) -> Result<bool, Violation> {
        match official {
            Official::State(said) if self.texts.contains(&said.statement.digest()) => Ok(false),
            Official::State(said) => {
                let Some(index) = self.record_of(&said.statement, seen) else {
                    return Ok(false);
                };
                if let super::Objection::Must(why) = self.objection(model, official, times) {
                    return Err(super::apply::unlawful(official, why));
                }
                let span = (times.since_ms, times.until_ms);
                if self.large_is_unknown(said.statement.kind()) {
                    self.learn_from(seen);
                }
                self.stated(&said.statement, index, span);
                Ok(true)
            }
            Official::Scope(scope) => {
                let known = self.piece(&scope.digest, scope.ordinal).is_some();
                let list = self.lists.entry(scope.digest).or_default();
                if list.pieces.is_empty() {
                    let pieces = usize::try_from(scope.pieces).unwrap_or(0);
                    list.pieces.resize(pieces, None);
                }
                if !known {
                    let entries = scope.entries.clone();
                    // What was recorded first counts.
                    list.unsure.entry(scope.ordinal).or_insert(entries);
                }
                Ok(false)
            }
            Official::Tombstone(request, ordinal) => self.settle_tombstone(
                model,
                official,
                (*request, *ordinal),
                seen,
                times,
                disturbed,
            ),
            Official::Place(..) => Ok(self.settle_holds(model, official, seen)),
            Official::Lift(request, _) => {
                self.settle_holds(model, official, seen);
                // The last piece of a release is enacted with it.
                let done = seen.view.requests.iter().any(|one| {
                    one.request == *request
                        && one.state == stele_store::policy::approval::RequestState::Executed
                });
                if done {
                    self.lift_ended(*request);
                }
                Ok(done)
            }
            _ => Ok(false),
        }
    }

    fn large_is_unknown(&self, kind: &Kind) -> bool {
        let Kind::Answer(answer) = kind else {
            return false;
        };
        let entry = self.requests.get(&answer.request);
        entry.is_some_and(|entry| entry.large.is_none())
    }

    fn learn_from(&mut self, seen: &OfficeSurvey) {
        for shown in &seen.view.requests {
            if let Some(entry) = self.requests.get_mut(&shown.request) {
                entry.large = entry.large.or(Some(shown.large));
            }
        }
    }

    fn lift_ended(&mut self, request: LogIndex) {
        let Some(entry) = self.requests.get_mut(&request) else {
            return;
        };
        entry.done = true;
        entry.pieces.fill(Piece::Done);
        let stele_format::statement::Act::ReleaseHold(release) = entry.act.clone() else {
            return;
        };
        for case in &mut self.cases {
            case.released |= case.case == release.case
                && case.scope == release.scope
                && case.statement < request;
        }
    }

    /// The record of a statement, if it was recorded.
    fn record_of(&self, statement: &Statement, seen: &OfficeSurvey) -> Option<LogIndex> {
        let view = &seen.view;
        match statement.kind() {
            Kind::Found(_) => (!view.persons.is_empty()).then_some(LogIndex::ZERO),
            Kind::Request(_) => {
                let digest = statement.digest();
                let found = view.requests.iter().find(|one| one.digest == digest);
                found.map(|one| one.request)
            }
            Kind::Answer(answer) => {
                let found = view
                    .requests
                    .iter()
                    .find(|one| one.request == answer.request)?;
                let by = &answer.by;
                let said = match answer.verb {
                    Verb::Approve => found.approved_by.iter().any(|(name, _)| name == by),
                    Verb::Veto => found.ended_by.as_ref() == Some(by),
                    Verb::Execute => found
                        .executed_by
                        .as_ref()
                        .is_some_and(|(name, _)| name == by),
                };
                let known = self.requests.get(&answer.request);
                let before = known.is_some_and(|known| match answer.verb {
                    Verb::Approve => known.approvals.contains(by),
                    Verb::Veto => known.vetoed.is_some(),
                    Verb::Execute => known.executed.is_some(),
                });
                (said && !before).then_some(LogIndex::ZERO)
            }
            Kind::Hold(hold) => {
                let known = |statement| self.cases.iter().any(|case| case.statement == statement);
                let found = view.cases.iter().find(|case| {
                    case.case == hold.case && case.scope == hold.scope && !known(case.statement)
                });
                found.map(|case| case.statement)
            }
            _ => None,
        }
    }

    /// A piece goes as a whole or not at all.
    fn settle_tombstone(
        &mut self,
        model: &mut Model,
        official: &Official,
        (request, ordinal): (LogIndex, u32),
        seen: &OfficeSurvey,
        times: Times,
        disturbed: &dyn Fn(&Model, VersionId) -> bool,
    ) -> Result<bool, Violation> {
        let Some(entry) = self.requests.get(&request).cloned() else {
            return Ok(false);
        };
        let at = usize::try_from(ordinal).unwrap_or(usize::MAX);
        if entry.pieces.get(at) == Some(&Piece::Done) || entry.executed.is_none() {
            return Ok(false);
        }
        let entries = self.piece(&entry.scope(), ordinal).cloned();
        let there = |version| seen.rows.iter().any(|row| row.version == version);
        let missing: Vec<_> = entries
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| !self.destroyed.contains_key(&entry.version))
            .filter(|entry| !there(entry.version))
            .collect();
        for entry in &missing {
            if disturbed(model, entry.version) {
                self.forget(model, request, entry.version);
            } else {
                self.gone(model, official, (request, entry), times)?;
            }
        }
        if let Some(entry) = self.requests.get_mut(&request)
            && let Some(piece) = entry.pieces.get_mut(at)
        {
            *piece = match missing.is_empty() {
                true => Piece::Maybe,
                false => Piece::Done,
            };
        }
        Ok(!missing.is_empty())
    }
}
