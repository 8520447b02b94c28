//! What people stated, folded beside the index, and what approved requests do that need no list.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::checkpoint::{KeyFrom, LogKey, UnverifiedCheckpoint};
use stele_format::digest::Digest;
use stele_format::record::{Body, ClockEvent, ClockEventKind, RecordType};
use stele_format::statement::{
    Act, BucketDefault, ClientKey, DefaultMode, DefaultPeriod, Kind, LogPublic, Name, RecordSpan,
    Statement,
};
use stele_format::units::{BucketId, LogIndex, Opening, UnixMillis};

use super::Engine;
use super::commands::After;
use super::lists::Lists;
use crate::draft::{Draft, Sealed};
use crate::fact;
use crate::index::Fact;
use crate::index::rows::{CosignedRow, ForcedRow, StatementRow};
use crate::policy::approval::{
    Accepted, Applied, Approvals, Approved, Forced, Recorded, RecordedStatement, RequestState,
    VaultFacts,
};
use crate::policy::limits::{GRANT_MARGIN_MS, HOUR_MS};
use crate::policy::{Asker, Kept, Mode, Period, Rights};
use crate::request::{Answer, Command, OpeningView, PeopleView, Refusal, RequestId, Tombstoned};
use crate::sequence::Sequenced;

/// A legal hold that somebody placed for a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The statement's record.
    pub statement: LogIndex,
    /// Salted digest of the case's name.
    pub case: Digest,
    /// Digest of the list of versions.
    pub scope: Digest,
    /// Versions in it.
    pub count: u64,
    /// Who placed it.
    pub by: Name,
    /// When, in compliance time.
    pub at: UnixMillis,
    /// The end of its list was reached: a start need not go on with it.
    pub placed: bool,
    /// When it was stated that a request released it, in compliance time.
    pub released: Option<UnixMillis>,
}

/// Special rights that two people gave a client for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The request's record.
    pub request: LogIndex,
    /// Whose.
    pub client: ClientKey,
    /// Which.
    pub rights: Rights,
    /// Until when, in compliance time.
    pub until: UnixMillis,
}

/// A key that people gave the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKeyChange {
    /// The record by which the key before gave way. Logs that have it are signed by the new one.
    pub record: LogIndex,
    /// The key.
    pub key: LogPublic,
}

/// People, requests and what follows from them.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) approvals: Approvals,
    pub(crate) cases: Vec<Case>,
    pub(crate) grants: Vec<Granted>,
    /// Requests for which a whole pass found nothing left to rehome, since this process started.
    pub(crate) rehomed: BTreeSet<LogIndex>,
    /// Where the pass of a request has come to.
    passes: BTreeMap<LogIndex, Vec<u8>>,
    /// Lists that were read.
    pub(crate) lists: Lists,
    /// Leaves that lists hide and a start is to cut one by one.
    pub(crate) leaves_due: u64,
    /// Requests whose disk is wiped; that it is done is on its way into the log.
    pub(crate) wiped: BTreeSet<LogIndex>,
    /// In the order of their records.
    pub(crate) log_keys: Vec<LogKeyChange>,
    /// Forced openings by their records, oldest first.
    pub(crate) openings: Vec<(LogIndex, ForcedRow)>,
}

impl Desk {
    pub(crate) fn new(approvals: Approvals) -> Self {
        Self {
            approvals,
            cases: Vec::new(),
            grants: Vec::new(),
            rehomed: BTreeSet::new(),
            passes: BTreeMap::new(),
            lists: Lists::default(),
            leaves_due: 0,
            wiped: BTreeSet::new(),
            log_keys: Vec::new(),
            openings: Vec::new(),
        }
    }

    /// Follows which months nothing that stays has keys of: after an unbroken pass, until a version of the list
    /// is kept.
    pub(crate) fn note(&mut self, command: &Command, result: &Result<Answer, Refusal>) {
        if let Ok(Answer::Held { last: true, .. })
        | Ok(Answer::Tombstoned(Tombstoned { last: true, .. })) = result
        {
            self.lists.forget();
        }
        match (command, result) {
            (Command::Rehome { request, after }, Ok(Answer::Rehomed { resume, .. })) => {
                let begun = self.passes.remove(request);
                if after.is_some() && *after != begun {
                    return;
                }
                match resume {
                    Some(resume) => {
                        self.passes.insert(*request, resume.clone());
                    }
                    None => {
                        self.rehomed.insert(*request);
                    }
                }
            }
            (Command::Tombstone { request, .. }, Ok(Answer::Tombstoned(done)))
                if done.kept.iter().any(|(_, why)| *why != Kept::Gone) =>
            {
                self.rehomed.remove(request);
            }
            _ => {}
        }
    }

    /// Takes in a recorded statement; none if it does not count, which a log that we wrote does not have.
    pub(crate) fn take(
        &mut self,
        index: LogIndex,
        row: &StatementRow,
        scope_count: Option<u64>,
    ) -> Option<Applied> {
        let recorded = RecordedStatement {
            at: Recorded {
                log_index: index,
                compliance: row.at,
                wall: row.wall,
            },
            facts: VaultFacts {
                versions: row.versions,
                scope_count,
            },
            text: row.text.clone(),
            signatures: row.signatures.clone(),
        };
        let applied = self.approvals.apply(&recorded).ok()?;
        if applied.accepted == Accepted::Held
            && let Ok(statement) = Statement::parse(&row.text)
            && let Kind::Hold(hold) = statement.kind()
        {
            self.cases.push(Case {
                statement: index,
                case: hold.case,
                scope: hold.scope,
                count: hold.count,
                by: hold.by.clone(),
                at: row.at,
                placed: false,
                released: None,
            });
        }
        Some(applied)
    }

    /// Takes in a forced opening.
    pub(crate) fn forced(&mut self, index: LogIndex, row: &ForcedRow) {
        let forced = Forced {
            record: index,
            at: row.at,
            request: row.request,
            opening: row.opening,
            missing: &row.missing,
        };
        // In a log that we wrote two people said so; an audit names any other.
        if self.approvals.forced(forced).is_ok() {
            self.openings.push((index, row.clone()));
        }
    }

    /// Takes in what witnesses said.
    pub(crate) fn cosigned(&mut self, row: &CosignedRow) {
        if let Ok(note) = UnverifiedCheckpoint::parse(&row.note) {
            // In a log that we wrote each says something; an audit names any other.
            let _said = self.approvals.cosigned(&note, row.at, row.wall);
        }
    }

    /// What a request asked for has been done, or a hold is on all of its list, by `record` of that time.
    pub(crate) fn enacted(&mut self, request: LogIndex, record: LogIndex, at: UnixMillis) {
        let mut cases = self.cases.iter_mut();
        if let Some(case) = cases.find(|case| case.statement == request) {
            case.placed = true;
            return;
        }
        // In a log that we wrote every effect follows an execution; anything else changes nothing here, and an
        // audit names it.
        if self.approvals.mark_executed(request).is_err() {
            return;
        }
        let Some(view) = self.approvals.request(request, at) else {
            return;
        };
        match view.act {
            Act::Grant(grant) => self.grants.push(Granted {
                request,
                client: grant.client,
                rights: Rights {
                    governance_bypass: grant.rights.governance_bypass,
                    hold_off: grant.rights.hold_off,
                    lock_admin: grant.rights.lock_admin,
                },
                until: grant.until.start(),
            }),
            Act::LogKey { key } => {
                self.log_keys.push(LogKeyChange { record, key });
                self.log_keys.sort_by_key(|one| one.record);
            }
            Act::ReleaseHold(release) => {
                let same = |case: &&mut Case| {
                    case.case == release.case
                        && case.scope == release.scope
                        && case.statement < request
                };
                let cases = self.cases.iter_mut().filter(same);
                cases.for_each(|case| case.released = Some(at));
            }
            _ => {}
        }
    }

    /// The special rights an asker has at this time.
    pub(crate) fn rights_of(&self, asker: &Asker, now: UnixMillis) -> Rights {
        let mut rights = asker.special();
        let Some(client) = asker.client() else {
            return rights;
        };
        if self.approvals.check_freeing(now).is_err() {
            return Rights::default();
        }
        let last = now.get().saturating_add(GRANT_MARGIN_MS);
        let running = self.grants.iter();
        let running = running.filter(|grant| grant.until.get() > last);
        for grant in running.filter(|grant| grant.client.as_str() == client.key_id) {
            rights.governance_bypass |= grant.rights.governance_bypass;
            rights.hold_off |= grant.rights.hold_off;
            rights.lock_admin |= grant.rights.lock_admin;
        }
        rights
    }
}

fn opening_view((record, row): &(LogIndex, ForcedRow)) -> OpeningView {
    OpeningView {
        record: *record,
        opening: row.opening,
        at: row.at,
        left: row.left.clone(),
        has_lost: row.durable > row.last,
        missing: row.missing.iter().map(RecordSpan::count).sum(),
    }
}

impl Engine {
    /// A statement is durable.
    fn stated(&mut self, fact: &Fact, scope_count: Option<u64>) -> Option<Accepted> {
        let Fact::StatementMade { index, row } = fact else {
            return None;
        };
        let applied = self.desk.take(*index, row, scope_count)?;
        for regress in &applied.alarms {
            self.alarms
                .key_counter(regress.person.as_str(), self.clock.latest());
        }
        self.alarms.stated(&row.text, *index, self.clock.latest());
        if let Accepted::Executed(request) = applied.accepted {
            self.carry_out(request);
        }
        Some(applied.accepted)
    }

    /// Answers whoever brought a statement that is durable now.
    pub(super) fn answer_statement(&mut self, id: RequestId, record: &Sequenced) {
        let after = self.pending.get(&id).and_then(|one| one.after.as_ref());
        let scope_count = match after {
            Some(After::Stated(known)) => known.scope_count,
            _ => None,
        };
        let accepted = record
            .facts
            .first()
            .and_then(|fact| self.stated(fact, scope_count));
        let index = record.log_index;
        self.finish(id, Ok(Answer::Stated { index, accepted }));
    }

    /// What a start finds executed and not done is done now.
    pub(super) fn resume_requests(&mut self) {
        if self.read_only.is_some() {
            return;
        }
        let unfinished: Vec<LogIndex> = self.desk.approvals.unfinished().collect();
        for request in unfinished {
            self.carry_out(request);
        }
    }

    /// The log gets the key that people agreed on, as soon as that can be signed for.
    pub(super) fn resume_log_key(&mut self) {
        if self.read_only.is_some() {
            return;
        }
        let now = self.clock.latest();
        let is_log_key = |request: &LogIndex| {
            let view = self.desk.approvals.request(*request, now);
            view.is_some_and(|view| matches!(view.act, Act::LogKey { .. }))
        };
        let waiting = self.desk.approvals.unfinished();
        let waiting: Vec<LogIndex> = waiting.filter(is_log_key).collect();
        for request in waiting {
            self.carry_out(request);
        }
    }

    /// Does what an executed request asks for, where that needs no list of versions.
    fn carry_out(&mut self, request: LogIndex) {
        let now = self.clock.latest();
        if let Ok(approved) = self.desk.approvals.execute(request, now) {
            self.do_as_approved(approved);
        }
    }

    fn do_as_approved(&mut self, approved: Approved) {
        let request = approved.request();
        match approved.act() {
            Act::Grant(_) => {}
            Act::LowerDefault { bucket, default } => self.set_default(*bucket, *default),
            Act::Clock { by_hours } => {
                let before = self.clock.latest();
                let ahead_ms = self.now.wall.get().saturating_sub(before.get());
                self.clock.advance(ahead_ms.min(by_hours * HOUR_MS));
                self.drift.begin_anew();
                let event = ClockEvent {
                    kind: ClockEventKind::Corrected,
                    before_ms: before,
                    request: Some(request),
                };
                let draft = Draft::of_engine(RecordType::Clock, Body::Clock(event));
                self.journal.push_own(draft);
            }
            Act::LogKey { key } => {
                let change = self.receipts.change(request, *key);
                if let Some(change) = change {
                    let body = Body::LogKey(change);
                    self.journal
                        .push_own(Draft::of_engine(RecordType::LogKey, body));
                }
                return;
            }
            // Lists are worked off piece by piece, disks are wiped by whoever has them; the rest took effect
            // with the statement.
            _ => return,
        }
        drop(approved);
        let body = Body::Enacted(request);
        self.journal
            .push_own(Draft::of_engine(RecordType::Enacted, body));
    }

    fn set_default(&mut self, bucket: BucketId, default: BucketDefault) {
        let row = self.buckets.get(&bucket).filter(|row| !row.deleted);
        let Some(mut row) = row.cloned() else {
            return;
        };
        row.default = match default {
            BucketDefault::None => None,
            BucketDefault::Period(mode, period) => {
                let mode = match mode {
                    DefaultMode::Governance => Mode::Governance,
                    DefaultMode::Compliance => Mode::Compliance,
                };
                let period = match period {
                    DefaultPeriod::Days(days) => Period::Days(days),
                    DefaultPeriod::Years(years) => Period::Years(years),
                };
                Some((mode, period))
            }
        };
        let mut draft = Draft::of_engine(RecordType::Bucket, Body::Bucket);
        draft.bucket = bucket;
        draft.sealed = Sealed::BoxKey(fact::bucket_body(&row).encode().to_vec());
        self.journal.push_own(draft);
        // Whoever decides about the bucket from now on is behind this record.
        self.buckets.insert(bucket, row);
    }

    /// The few buckets, and what witnesses said, are also kept in memory.
    pub(super) fn remember(&mut self, fact: &Fact) {
        match fact {
            Fact::BucketPut { id, row } => {
                self.buckets.insert(*id, row.clone());
            }
            Fact::BucketDeleted { id } => {
                if let Some(row) = self.buckets.get_mut(id) {
                    row.deleted = true;
                }
            }
            Fact::Cosigned { row, .. } => self.desk.cosigned(row),
            _ => {}
        }
    }

    /// What records of destruction and of other effects mean for the requests behind them.
    pub(super) fn effect_applied(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Tombstoned { request, last, .. } => {
                    // As for every effect: one without leave is named by an audit.
                    let _begun = self.desk.approvals.mark_begun(*request);
                    self.cut_wanted |= *last;
                }
                Fact::Destroyed { request, row } => {
                    self.desk.enacted(*request, row.index, row.at);
                }
                Fact::Enacted { request, row } => {
                    self.desk.enacted(*request, row.index, row.at);
                    self.resume_log_key();
                }
                _ => {}
            }
        }
    }

    /// People, requests, holds and grants as they stand.
    pub(super) fn people_view(&self) -> PeopleView {
        let now = self.clock.latest();
        let log = self.journal.log();
        let witnesses = self.desk.approvals.people().witnesses().clone();
        let running = |grant: &&Granted| grant.until > now;
        PeopleView {
            origin: self.desk.approvals.origin(),
            evaluation: self.pool.is_evaluation(),
            policies: self.desk.approvals.people().policies().clone(),
            witness_time: witnesses.time(now, self.is_clock_simulated()),
            witnesses,
            persons: self.desk.approvals.persons(now),
            requests: self.desk.approvals.requests(now),
            cases: self.desk.cases.clone(),
            grants: self.desk.grants.iter().filter(running).cloned().collect(),
            log_keys: self.desk.log_keys.clone(),
            openings: self.desk.openings.iter().map(opening_view).collect(),
            frees_from: self.desk.approvals.frees_from(),
            log_records: log.next.get(),
            log_root: log.frontier.root(),
            versions: self.usages.versions(),
            now,
            time: self.time(),
        }
    }

    /// The keys the log had, the first one first; none where the first is not at hand.
    pub(crate) fn log_keys(&self) -> Vec<String> {
        let Some(first) = self.receipts.known().first() else {
            return Vec::new();
        };
        // Other keys, and other names of the log, in the order of their records.
        let given = self.desk.log_keys.iter();
        let given = given.map(|one| (one.record, Some(one.key), None));
        let forced = self.desk.openings.iter();
        let forced = forced.map(|(record, row)| (*record, None, Some(row.opening)));
        let mut turns: Vec<_> = given.chain(forced).collect();
        turns.sort_by_key(|(record, ..)| *record);
        let mut key = first.key().after(Opening::ZERO);
        let mut all = vec![KeyFrom { key, from: 0 }];
        for (record, public, opening) in turns {
            let next = match (public, opening) {
                (Some(public), _) => LogKey::new(key.origin(), &public.0).ok(),
                (_, Some(opening)) => Some(key.after(opening)),
                _ => None,
            };
            let Some(next) = next else { break };
            key = next;
            let from = record.get() + 1;
            all.push(KeyFrom { key, from });
        }
        all.iter().map(KeyFrom::to_string).collect()
    }

    /// Requests whose effect needs a list and is not complete.
    #[must_use]
    pub fn unfinished_requests(&self) -> Vec<LogIndex> {
        let now = self.clock.latest();
        let views = self.desk.approvals.requests(now).into_iter();
        views
            .filter(|view| view.state == RequestState::Executing)
            .map(|view| view.request)
            .collect()
    }
}
