//! Tombstones, and keys that are gone.

use stele_format::record::{Destroyed, LockMode, RecordHeader, Tombstone, VersionRef};
use stele_format::statement::{Act, Cut, Erase, ReleaseHold};
use stele_format::units::{LogIndex, Month, UnixMillis};

use super::finding::{Breach, second};
use super::people::is_about_people;
use super::requests::State;
use super::versions::At;
use super::{Auditor, Gone};

impl Auditor {
    pub(super) fn take_tombstone(&mut self, header: &RecordHeader, tombstone: &Tombstone) {
        let mut breaches = Vec::new();
        let erase = self.erase_of(tombstone, &mut breaches);
        let now = self.destroying_time(header, &mut breaches);
        breaches.extend(self.check_freeing(header.compliance_ms).err());
        let request = self.requests.get(&tombstone.request);
        let rest_ms = request.and_then(|request| request.needs.rest_ms);
        let leave = (erase.as_ref(), rest_ms.unwrap_or(0));
        let mut destroyed = 0_u64;
        for entry in &tombstone.entries {
            match self.destroy(entry, leave, now, &mut breaches) {
                Ok(()) => destroyed += 1,
                Err(breach) => breaches.push(breach),
            }
        }
        if let Some(month) = tombstone.month {
            self.check_month(month, erase.as_ref(), &mut breaches);
        }
        if let Some(request) = self.requests.get_mut(&tombstone.request) {
            let toll = &mut request.toll;
            toll.tombstones.push(header.log_index);
            toll.versions += destroyed;
            toll.complete |= tombstone.last;
            toll.month = toll.month.or(tombstone.month);
            toll.unlawful |= !breaches.is_empty();
        }
        for breach in breaches {
            self.breach(header.log_index, breach);
        }
    }

    /// What was approved, as far as anything was.
    fn erase_of(&self, tombstone: &Tombstone, breaches: &mut Vec<Breach>) -> Option<Erase> {
        let index = tombstone.request;
        let request = self.requests.get(&index);
        let Some((request, Act::Erase(erase))) = request.map(|request| (request, &request.act))
        else {
            breaches.push(Breach::TombstoneRequest(index));
            return None;
        };
        breaches.extend(request.check_executed().err());
        if usize::try_from(tombstone.ordinal) != Ok(request.toll.tombstones.len()) {
            breaches.push(Breach::TombstonePiece(index));
        }
        Some(erase.clone())
    }

    /// One version is destroyed, with a right or without: nobody is given it any more.
    fn destroy(
        &mut self,
        entry: &VersionRef,
        (erase, rest_ms): (Option<&Erase>, u64),
        now: UnixMillis,
        breaches: &mut Vec<Breach>,
    ) -> Result<(), Breach> {
        let at = self.versions.find(entry).ok_or(Breach::TombstoneStranger)?;
        let version = self.versions.index(at);
        if self.versions.is_destroyed(at) {
            return Err(Breach::TombstoneTwice(version));
        }
        if let Some(erase) = erase {
            let list = self.lists.get(&erase.scope);
            if !list.is_some_and(|list| list.has(at)) {
                breaches.push(Breach::TombstoneScope(version));
            }
        }
        breaches.extend(self.locked(at, erase.is_some_and(|erase| erase.governance), now));
        let rests = self.unheld.rests(at, rest_ms, self.now);
        breaches.extend(rests.map(|until| Breach::TombstoneRest(version, second(until))));
        self.versions.destroy(at);
        Ok(())
    }

    fn locked(&self, at: At, governance: bool, now: UnixMillis) -> Vec<Breach> {
        let (lock, version) = (self.versions.lock(at), self.versions.index(at));
        let mut breaches = Vec::new();
        if lock.is_kept(now) {
            let until = second(lock.until);
            match lock.mode {
                LockMode::Compliance => breaches.push(Breach::TombstoneCompliance(version, until)),
                LockMode::Governance if !governance => {
                    breaches.push(Breach::TombstoneGovernance(version, until));
                }
                LockMode::Governance | LockMode::None => {}
            }
        }
        if self.is_doubted(version) {
            breaches.push(Breach::TombstoneDoubted(version));
        }
        if lock.hold || lock.case {
            breaches.push(Breach::TombstoneHold(version));
        }
        breaches
    }

    /// All keys of a month go: people signed just that, and every version whose key is among them is destroyed.
    fn check_month(&self, month: Month, erase: Option<&Erase>, breaches: &mut Vec<Breach>) {
        if erase.is_some_and(|erase| erase.cut != Cut::Month(month)) {
            breaches.push(Breach::TombstoneMonth);
        }
        // Its keys may be those of versions whose records are lost.
        if !self.doubted.is_zero() {
            breaches.push(Breach::MonthDoubted);
        }
        let living = self.versions.of_month(month.get());
        breaches.extend(living.map(Breach::MonthKeys));
    }

    pub(super) fn take_destroyed(&mut self, header: &RecordHeader, destroyed: &Destroyed) {
        let index = header.log_index;
        if let Err(breach) = self.check_destroyed(destroyed.request) {
            self.breach(index, breach);
        }
        let newest = self.gone.values().map(|gone| gone.body.generation).max();
        if newest > Some(destroyed.generation) {
            self.breach(index, Breach::DestroyedBack);
        }
        let gone = Gone {
            index,
            at: header.compliance_ms,
            body: destroyed.clone(),
        };
        self.gone.insert(destroyed.request, gone);
    }

    /// What an executed request asked for has been done, once; or a hold is on its whole list. People and policies
    /// change with the statement, and of a destruction another record says so.
    pub(super) fn take_enacted(&mut self, header: &RecordHeader, index: LogIndex) {
        if self.cases.placed(index) {
            return;
        }
        let request = self.requests.get_mut(&index);
        let request = request.filter(|request| {
            let elsewhere = is_about_people(&request.act)
                || matches!(request.act, Act::Erase(_) | Act::LogKey { .. });
            request.state == State::Executed && !request.enacted && !elsewhere
        });
        match request {
            Some(request) => {
                request.enacted = true;
                if let Act::ReleaseHold(release) = &request.act {
                    let release = release.clone();
                    self.release(header, index, &release);
                }
            }
            None => self.breach(header.log_index, Breach::Enacted(index)),
        }
    }

    /// A release of holds is done: its case holds nothing more, and its right to lift them ends.
    fn release(&mut self, header: &RecordHeader, index: LogIndex, release: &ReleaseHold) {
        let (case, scope) = (&release.case, &release.scope);
        for at in self.cases.lift(case, scope, index, &mut self.versions) {
            self.unheld.went(at, header.compliance_ms);
        }
        self.lifts.retain(|lift| *lift != index);
    }

    fn check_destroyed(&self, index: LogIndex) -> Result<(), Breach> {
        let toll = self.requests.get(&index).map(|request| &request.toll);
        let toll = toll.filter(|toll| !toll.tombstones.is_empty());
        let toll = toll.ok_or(Breach::DestroyedNothing(index))?;
        if toll.complete {
            Ok(())
        } else {
            Err(Breach::DestroyedUnfinished(index))
        }
    }
}
