//! What may be said against a question of people.

use stele_format::record::{Scope, VersionRef, scope_digest};
use stele_format::statement::{Act, Answer, Erase, Kind, Name, Request, Role, Verb};
use stele_format::units::VersionId;
use stele_store::policy::Mode;

use super::{Book, Entry, LONG_REST_MS, List, Official, SHORT_REST_MS, Said, Span, WAIT_MS};
use crate::limits::DAY_MS;
use crate::oracle::model::{Holds, Model, Version};
use crate::oracle::rules::Times;
use crate::people::{PEOPLE, role_of};

/// What stands against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// Nothing.
    None,
    /// Perhaps something: clocks or clients may be in the way.
    Maybe,
    /// This.
    Must(&'static str),
}

use Objection::{Maybe, Must};

impl Objection {
    /// The stronger of two.
    fn and(self, other: Objection) -> Objection {
        match (self, other) {
            (Must(why), _) | (_, Must(why)) => Must(why),
            (Maybe, _) | (_, Maybe) => Maybe,
            _ => Objection::None,
        }
    }

    fn unless(holds: bool, why: &'static str) -> Objection {
        if holds { Objection::None } else { Must(why) }
    }
}

/// Where an open request may stand between two moments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stands {
    pub(super) requested: bool,
    pub(super) cooling: bool,
    pub(super) executable: bool,
    pub(super) expired: bool,
}

impl Stands {
    fn wants(self, wanted: bool, others: bool, why: &'static str) -> Objection {
        match (wanted, others) {
            (false, _) => Must(why),
            (true, true) => Maybe,
            (true, false) => Objection::None,
        }
    }
}

/// Where an open request stands, by what is known of its times.
pub(super) fn stands(entry: &Entry, (since, until): Span) -> Stands {
    let Some(approved) = entry.approved else {
        return Stands {
            requested: since < entry.requested.1 + WAIT_MS,
            expired: until >= entry.requested.0 + WAIT_MS,
            ..Stands::default()
        };
    };
    // Only what destroys little rests for less.
    let rest = match entry.large.filter(|_| entry.is_erase()) {
        Some(false) => (SHORT_REST_MS, SHORT_REST_MS),
        None if entry.is_erase() => (SHORT_REST_MS, LONG_REST_MS),
        Some(true) | None => (LONG_REST_MS, LONG_REST_MS),
    };
    let from = (approved.0 + rest.0, approved.1 + rest.1);
    Stands {
        requested: false,
        cooling: since < from.1,
        executable: until >= from.0 && since < from.1 + WAIT_MS,
        expired: until >= from.0 + WAIT_MS,
    }
}

impl Book {
    /// What may be said against a question.
    #[must_use]
    pub fn objection(&self, model: &Model, official: &Official, times: Times) -> Objection {
        let executed = |request| match self.requests.get(request) {
            Some(entry) => Objection::unless(entry.executed.is_some(), "nobody executed it"),
            None => Must("there is no such request"),
        };
        match official {
            Official::State(said) => self.statement(model, said, times),
            Official::Scope(scope) => {
                let known = self.piece(&scope.digest, scope.ordinal);
                let same = known.is_none_or(|known| *known == scope.entries);
                let count = self.lists.get(&scope.digest).map(|list| list.pieces.len());
                let fits = count.is_none_or(|count| u32::try_from(count) == Ok(scope.pieces));
                if self.lists.get(&scope.digest).is_some_and(List::is_unsure) {
                    return Maybe;
                }
                Objection::unless(same && fits, "the list has another piece there")
                    .and(self.continues(scope))
            }
            Official::Look | Official::Count => Objection::None,
            Official::Place(statement, _) => {
                let found = self.cases.iter().find(|case| case.statement == *statement);
                let runs = found.is_some_and(|case| !case.released);
                Objection::unless(runs, "there is no such case").and(Maybe)
            }
            // Clients may hold again what was lifted, and clocks suspend all that destroys.
            Official::Lift(request, _) | Official::Rehome(request) => executed(request).and(Maybe),
            Official::Tombstone(request, _) => {
                let entry = self.requests.get(request);
                let erases = entry.is_some_and(Entry::is_erase);
                let erase = Objection::unless(erases, "it is no request to destroy");
                executed(request).and(erase).and(Maybe)
            }
        }
    }

    /// Pieces come in order, and the last one makes the list that was digested.
    fn continues(&self, scope: &Scope) -> Objection {
        if self.piece(&scope.digest, scope.ordinal).is_some() {
            return Objection::None;
        }
        let known = self.lists.get(&scope.digest).cloned().unwrap_or_default();
        let before: Vec<VersionRef> = known.pieces.iter().flatten().flatten().copied().collect();
        let count = known.pieces.iter().flatten().count();
        let ends = scope.ordinal + 1 == scope.pieces;
        let all: Vec<VersionRef> = before.iter().chain(&scope.entries).copied().collect();
        let order = u32::try_from(count) == Ok(scope.ordinal);
        let list = !ends || scope_digest(&all) == scope.digest;
        Objection::unless(order, "a piece before it is missing")
            .and(Objection::unless(list, "it is not the list of its digest"))
    }

    fn statement(&self, model: &Model, said: &Said, times: Times) -> Objection {
        if let Some(flaw) = said.flaw {
            return Must(flaw);
        }
        if self.texts.contains(&said.statement.digest()) {
            return Must("the text was used before");
        }
        let kind = said.statement.kind();
        if let Kind::Found(_) = kind {
            let all = PEOPLE.len() == said.signers.len();
            return Objection::unless(!self.founded, "there are people already")
                .and(Objection::unless(all, "somebody did not sign"));
        }
        let by = kind.by().filter(|by| said.signers == [(*by).clone()]);
        let Some((by, role)) = by.and_then(|by| Some((by, role_of(by)?))) else {
            return Must("somebody else signed");
        };
        let founded = Objection::unless(self.founded, "nobody was founded");
        founded.and(match kind {
            Kind::Request(request) => self.request(model, request, role, times),
            Kind::Answer(answer) => self.answer(answer, by, role, times),
            Kind::Hold(hold) => {
                let may = matches!(role, Role::Operator | Role::Officer | Role::Approver);
                let list = self.lists.get(&hold.scope);
                let unsure = list.is_some_and(List::is_unsure);
                self.counts(&hold.scope, hold.count, unsure)
                    .and(Objection::unless(may, "the role may not hold"))
            }
            _ => Maybe,
        })
    }

    fn counts(&self, scope: &stele_format::digest::Digest, count: u64, unsure: bool) -> Objection {
        match self.list(scope) {
            Some(entries) => Objection::unless(entries.len() as u64 == count, "its list is longer"),
            None if unsure => Maybe,
            None => Must("its list was never recorded"),
        }
    }

    fn request(&self, model: &Model, request: &Request, role: Role, times: Times) -> Objection {
        let unsure = |scope| self.lists.get(scope).is_some_and(List::is_unsure);
        match &request.act {
            Act::Erase(erase) => {
                let may = Objection::unless(role == Role::Operator, "the role may not ask");
                may.and(self.counts(&erase.scope, erase.count, unsure(&erase.scope)))
                    .and(self.erasable(model, erase, times))
            }
            Act::ReleaseHold(release) => {
                let may = Objection::unless(role == Role::Officer, "the role may not ask");
                may.and(self.counts(&release.scope, release.count, unsure(&release.scope)))
            }
            _ => Maybe,
        }
    }

    /// Clients may have changed what the list says since it was drawn up; what is locked is never on one.
    fn erasable(&self, model: &Model, erase: &Erase, times: Times) -> Objection {
        let entries = self.list(&erase.scope).unwrap_or_default();
        let locked = entries.iter().map(|entry| {
            if self.destroyed.contains_key(&entry.version) {
                return Must("a version of its list is gone");
            }
            // By case alone it is not refused before the hold was put on it.
            match self.lock(model, entry, erase.governance, times) {
                Holds::Yes => Must("a version of its list is locked"),
                _ => Maybe,
            }
        });
        locked.fold(Maybe, Objection::and)
    }

    fn answer(&self, answer: &Answer, by: &Name, role: Role, times: Times) -> Objection {
        let Some(entry) = self.requests.get(&answer.request) else {
            return Must("there is no such request");
        };
        if entry.digest != answer.digest {
            return Must("it is about another text");
        }
        if entry.vetoed.is_some() {
            return Must("somebody vetoed it");
        }
        if entry.executed.is_some() {
            return Must("it was executed before");
        }
        let now = stands(entry, (times.since_ms, times.until_ms));
        let open = now.requested || now.cooling || now.executable;
        match answer.verb {
            Verb::Veto => {
                let may = matches!(role, Role::Officer | Role::Approver | Role::Auditor);
                Objection::unless(may, "the role may not veto").and(now.wants(
                    open,
                    now.expired,
                    "its time is over",
                ))
            }
            Verb::Approve => {
                let before = entry.approvals.contains(by) || entry.by == *by;
                let given = entry.approvals.iter();
                let given = given.filter(|one| role_of(one) == Some(role)).count();
                Objection::unless(entry.needs(role) > 0, "the role may not approve")
                    .and(Objection::unless(!before, "the same person signed before"))
                    .and(Objection::unless(
                        given < entry.needs(role),
                        "enough approved",
                    ))
                    .and(now.wants(now.requested, now.expired, "it waits for no approval"))
                    .and(match entry.large {
                        None => Maybe,
                        Some(_) => Objection::None,
                    })
            }
            Verb::Execute => {
                let asks = match entry.is_erase() {
                    true => Role::Operator,
                    false => Role::Officer,
                };
                let may = role == asks || entry.needs(role) > 0;
                let others = now.cooling || now.expired;
                Objection::unless(may, "the role may not execute").and(now.wants(
                    now.executable,
                    others,
                    "it is too early, or too late",
                ))
            }
        }
    }

    /// Whether a lock of a version itself holds; a day must have passed since a retention ended.
    pub(super) fn lock(
        &self,
        model: &Model,
        entry: &VersionRef,
        early: bool,
        times: Times,
    ) -> Holds {
        // The clock that releases is the earlier one, which counts within a day of the other.
        let earliest = times.since_ms.saturating_sub(2 * DAY_MS);
        let latest = times.until_ms.saturating_sub(DAY_MS);
        if let Some(version) = shown(model, entry.version) {
            let governance = version.retention.mode() == Some(Mode::Governance);
            return match version.hold {
                true => Holds::Yes,
                false if early && governance => Holds::No,
                false => version.retention.holds(earliest, latest),
            };
        }
        // Once it was released nothing changes its retention any more.
        let row = self.rows.get(&entry.version).filter(|row| row.released);
        let Some(row) = row else {
            return Holds::Maybe;
        };
        let Some(retention) = row.lock.retention else {
            return if row.lock.hold {
                Holds::Maybe
            } else {
                Holds::No
            };
        };
        let governance = early && retention.mode == Mode::Governance;
        if !governance && retention.until.get() > latest {
            Holds::Yes
        } else if !governance && retention.until.get() > earliest {
            Holds::Maybe
        } else {
            Holds::No
        }
    }
}

/// A version that S3 shows, by its id alone.
pub(super) fn shown(model: &Model, id: VersionId) -> Option<&Version> {
    let buckets = model.buckets.values();
    let mut keys = buckets.flat_map(|bucket| bucket.keys.values());
    keys.find_map(|key| key.version(id))
}
