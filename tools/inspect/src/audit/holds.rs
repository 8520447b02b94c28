//! Legal holds that people put: a list, under the name of a case.

use stele_format::digest::Digest;
use stele_format::units::LogIndex;

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
}

impl Cases {
    /// These are held.
    pub fn put(&mut self, case: Case, list: &[At], versions: &mut Versions) {
        list.iter().for_each(|at| versions.set_case(*at, true));
        self.held.push((case, list.to_vec()));
    }

    /// A list of a case is held no more, as far as that was stated before a request.
    pub fn lift(
        &mut self,
        case: &Digest,
        scope: &Digest,
        before: LogIndex,
        versions: &mut Versions,
    ) {
        let lifted =
            |own: &Case| own.case == *case && own.scope == *scope && own.statement < before;
        let mut free = Vec::new();
        self.held.retain(|(own, list)| {
            let lifted = lifted(own);
            if lifted {
                free.extend_from_slice(list);
            }
            !lifted
        });
        for at in free {
            let mut rest = self.held.iter();
            let still = rest.any(|(_, list)| list.binary_search(&at).is_ok());
            versions.set_case(at, still);
        }
    }

    /// Holds that stand, and how many versions each holds.
    pub fn counts(&self) -> impl Iterator<Item = (Case, u64)> {
        self.held
            .iter()
            .map(|(case, list)| (*case, list.len() as u64))
    }
}
