//! What the vault says of people and requests, and what it counts, against the book.

use std::collections::BTreeMap;

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::approval::{RequestState, RequestView};
use stele_store::policy::people::Standing;
use stele_store::request::{CensusRow, PeopleView};

use super::judge::stands;
use super::{Book, Cutting, Entry, OfficeSurvey, Piece};
use crate::error::Violation;
use crate::oracle::model::Model;
use crate::people::PEOPLE;

fn differs(what: impl Into<String>) -> Violation {
    Violation::People { what: what.into() }
}

impl Book {
    /// Compares how everything stands, and learns the times at which it was recorded.
    ///
    /// # Errors
    /// A difference.
    pub fn compare_view(&mut self, view: &PeopleView) -> Result<(), Violation> {
        self.compare_persons(view)?;
        if view.requests.len() != self.requests.len() {
            let (found, known) = (view.requests.len(), self.requests.len());
            return Err(differs(format!("{found} requests are shown of {known}")));
        }
        for shown in &view.requests {
            let request = shown.request;
            let entry = self.requests.get_mut(&request);
            let entry = entry.ok_or_else(|| differs(format!("request {request} is nobody's")))?;
            entry.learn(shown)?;
            entry.compare(shown, view.now)?;
        }
        let cases: Vec<_> = view
            .cases
            .iter()
            .map(|case| (case.statement, case.case, case.scope, case.count, &case.by))
            .collect();
        let known: Vec<_> = self
            .cases
            .iter()
            .map(|case| (case.statement, case.case, case.scope, case.count, &case.by))
            .collect();
        if cases != known {
            return Err(differs(format!("cases {cases:?}, known {known:?}")));
        }
        for (shown, known) in view.cases.iter().zip(&self.cases) {
            let released = shown.released.is_some();
            if released != known.released {
                let statement = shown.statement;
                let what = format!("case {statement} released {released}");
                return Err(differs(what));
            }
        }
        Ok(())
    }

    fn compare_persons(&self, view: &PeopleView) -> Result<(), Violation> {
        let mut known: Vec<_> = PEOPLE
            .iter()
            .filter(|_| self.founded)
            .map(|(name, role)| {
                let print = self
                    .fingerprints
                    .iter()
                    .find(|(who, _)| who.as_str() == *name);
                (*name, *role, print.map(|(_, print)| print.as_str()))
            })
            .collect();
        known.sort_unstable_by_key(|(name, ..)| *name);
        let shown: Vec<_> = view
            .persons
            .iter()
            .map(|one| {
                let active = one.standing == Standing::Active && one.keys.len() == 1;
                let key = one.keys.first().filter(|_| active);
                let key = key.filter(|key| key.standing == Standing::Active);
                let print = key.map(|key| key.fingerprint.as_str());
                (one.name.as_str(), one.role, print)
            })
            .collect();
        match known == shown {
            true => Ok(()),
            false => Err(differs(format!("persons {shown:?}, known {known:?}"))),
        }
    }

    /// Compares everything a start shows, and learns it.
    ///
    /// # Errors
    /// A difference.
    pub fn compare_all(&mut self, model: &Model, seen: &OfficeSurvey) -> Result<(), Violation> {
        self.compare_view(&seen.view)?;
        self.compare_rows(model, &seen.rows)?;
        let counted = seen.view.versions;
        if counted != seen.rows.len() as u64 {
            let rows = seen.rows.len();
            return Err(differs(format!(
                "{counted} versions are counted, {rows} shown"
            )));
        }
        for (request, effect) in &seen.effects {
            let destroyed = self.destroyed.values().filter(|by| *by == request).count();
            if effect.destroyed != destroyed as u64 {
                let told = effect.destroyed;
                let what =
                    format!("request {request} destroyed {told} versions, known {destroyed}");
                return Err(differs(what));
            }
            let Some(entry) = self.requests.get_mut(request) else {
                continue;
            };
            if let (Some(_), Some(generation)) = (effect.keys_cut, effect.generation) {
                if entry.pieces.contains(&Piece::Open) {
                    let what = format!("keys of request {request} are gone before its list is");
                    return Err(differs(what));
                }
                entry.done = true;
                entry.pieces.fill(Piece::Done);
                entry.cut = Some(Cutting {
                    generation,
                    disks: effect.disks.clone(),
                });
            } else if entry.cut.is_some() {
                return Err(differs(format!("keys of request {request} came back")));
            }
        }
        Ok(())
    }

    /// Every version that is shown is counted with its lock, none that is gone, and none is missing.
    fn compare_rows(&mut self, model: &Model, rows: &[CensusRow]) -> Result<(), Violation> {
        let found: BTreeMap<VersionId, &CensusRow> =
            rows.iter().map(|row| (row.version, row)).collect();
        let back = found.keys().find(|id| self.destroyed.contains_key(id));
        if let Some(version) = back {
            return Err(Violation::Returned {
                place: "the vault".to_owned(),
                version: *version,
            });
        }
        let lost = self.rows.keys();
        let mut lost =
            lost.filter(|id| !found.contains_key(id) && !self.destroyed.contains_key(id));
        if let Some(version) = lost.next() {
            return Err(Violation::Lost {
                place: "the vault".to_owned(),
                version: *version,
            });
        }
        let keys = model
            .buckets
            .values()
            .flat_map(|bucket| bucket.keys.values());
        let mut shown = 0;
        for version in keys.flat_map(|key| &key.versions) {
            shown += 1;
            let row = found.get(&version.id);
            let row = row.ok_or_else(|| differs(format!("{} is not counted", version.id)))?;
            let same = version.retention.agrees(row.lock.retention)
                && version.hold == row.lock.hold
                && version.marker == row.lock.marker;
            if !same || row.released {
                let what = format!("{} is counted as {row:?}, known {version:?}", version.id);
                return Err(differs(what));
            }
        }
        let unreleased = rows.iter().filter(|row| !row.released).count();
        if unreleased != shown {
            return Err(differs(format!(
                "{unreleased} versions are counted, {shown} listed"
            )));
        }
        for row in rows {
            self.leaves.entry(row.version).or_default().insert(row.leaf);
        }
        self.rows = rows.iter().map(|row| (row.version, row.clone())).collect();
        Ok(())
    }
}

impl Entry {
    /// The record tells when something happened, within what was known of it.
    fn learn(&mut self, shown: &RequestView) -> Result<(), Violation> {
        let exact = |known: (u64, u64), told: UnixMillis| {
            let told = told.get();
            let fits = (known.0..=known.1).contains(&told);
            fits.then_some((told, told))
        };
        let wrong = |what| differs(format!("request {}: {what}", shown.request));
        let requested = exact(self.requested, shown.requested_at);
        self.requested = requested.ok_or_else(|| wrong("was recorded at another time"))?;
        if self.large.is_some_and(|large| large != shown.large) {
            return Err(wrong("is large or is not"));
        }
        self.large = Some(shown.large);
        if let (Some(approved), Some(told)) = (self.approved, shown.approved_when.last()) {
            let approved = exact(approved, *told);
            self.approved = Some(approved.ok_or_else(|| wrong("was approved at another time"))?);
        }
        Ok(())
    }

    fn compare(&self, shown: &RequestView, now: UnixMillis) -> Result<(), Violation> {
        let wrong = |what: &str| differs(format!("request {}: {what}: {shown:?}", shown.request));
        let approvals: Vec<_> = shown.approved_by.iter().map(|(name, _)| name).collect();
        let same = shown.digest == self.digest
            && shown.act == self.act
            && shown.requested_by.0 == self.by
            && approvals.iter().copied().eq(self.approvals.iter());
        if !same {
            return Err(wrong("is another one"));
        }
        if shown.executed_by.as_ref().map(|(name, _)| name) != self.executed.as_ref() {
            return Err(wrong("was executed by somebody else"));
        }
        if shown.ended_by != self.vetoed {
            return Err(wrong("was ended by somebody else"));
        }
        let may = stands(self, (now.get(), now.get()));
        let right = match (&self.vetoed, &self.executed, shown.state) {
            (Some(_), _, state) => state == RequestState::Vetoed,
            (None, Some(_), RequestState::Executing) => !self.done,
            (None, Some(_), RequestState::Executed) => {
                self.done || (self.is_erase() && !self.pieces.contains(&Piece::Open))
            }
            (None, None, RequestState::Requested) => may.requested,
            (None, None, RequestState::Cooling) => may.cooling,
            (None, None, RequestState::Executable) => may.executable,
            (None, None, RequestState::Expired) => may.expired,
            _ => false,
        };
        match right {
            true => Ok(()),
            false => Err(wrong("does not stand where it should")),
        }
    }
}
