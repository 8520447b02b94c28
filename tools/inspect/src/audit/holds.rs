//! Legal holds that people put: a list, under the name of a case.

use std::collections::{BTreeSet, HashMap};

use stele_format::digest::Digest;
use stele_format::units::{LogIndex, UnixMillis};

use super::versions::{At, Versions};

/// A hold that people stated. The same case may hold several lists; each is lifted for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Salted digest of the case's name.
    pub case: Digest,
    /// Digest of the list.
    pub scope: Digest,
    /// The statement.
    pub statement: LogIndex,
}

/// What is held, in the order it was stated.
#[derive(Debug, Default)]
pub struct Cases {
    held: Vec<(Case, Vec<At>)>,
    /// Statements of which nothing says yet that their holds are on the whole list.
    unplaced: BTreeSet<LogIndex>,
}

/// When holds last went, by version; of those alone that ever lost one.
#[derive(Debug, Default)]
pub struct Unheld(HashMap<At, UnixMillis>);

impl Unheld {
    /// A hold of a version went.
    pub fn went(&mut self, version: At, at: UnixMillis) {
        self.0.insert(version, at);
    }

    /// Until when a list that rests so long may not destroy a version, if that lies after `now`.
    #[must_use]
    pub fn rests(&self, version: At, rest_ms: u64, now: UnixMillis) -> Option<UnixMillis> {
        let went = self.0.get(&version)?;
        let until = went.checked_add(rest_ms).unwrap_or(UnixMillis::MAX);
        (until > now).then_some(until)
    }
}

impl Cases {
    /// These are held.
    pub fn put(&mut self, case: Case, list: &[At], versions: &mut Versions) {
        list.iter().for_each(|at| versions.set_case(*at, true));
        self.unplaced.insert(case.statement);
        self.held.push((case, list.to_vec()));
    }

    /// It is stated that the hold is on its whole list; whether that was still to be said.
    pub fn placed(&mut self, statement: LogIndex) -> bool {
        self.unplaced.remove(&statement)
    }

    /// A list of a case is held no more, as far as that was stated before a request. The versions whose hold went.
    pub fn lift(
        &mut self,
        case: &Digest,
        scope: &Digest,
        before: LogIndex,
        versions: &mut Versions,
    ) -> Vec<At> {
        let lifted =
            |own: &Case| own.case == *case && own.scope == *scope && own.statement < before;
        let mut free = Vec::new();
        self.held.retain(|(own, list)| {
            let lifted = lifted(own);
            if lifted {
                self.unplaced.remove(&own.statement);
                free.extend_from_slice(list);
            }
            !lifted
        });
        for at in &free {
            let mut rest = self.held.iter();
            let still = rest.any(|(_, list)| list.binary_search(at).is_ok());
            versions.set_case(*at, still);
        }
        free
    }

    /// Holds that stand, and how many versions each holds.
    pub fn counts(&self) -> impl Iterator<Item = (Case, u64)> {
        self.held
            .iter()
            .map(|(case, list)| (*case, list.len() as u64))
    }
}
