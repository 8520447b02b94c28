//! Legal holds that people put, by case.

use std::collections::BTreeMap;

use stele_format::digest::Digest;

use super::versions::{At, Versions};

/// What each case holds.
#[derive(Debug, Default)]
pub struct Cases {
    held: BTreeMap<Digest, Vec<At>>,
}

impl Cases {
    /// A case holds these too.
    pub fn put(&mut self, case: Digest, list: &[At], versions: &mut Versions) {
        let held = self.held.entry(case).or_default();
        held.extend_from_slice(list);
        held.sort_unstable();
        held.dedup();
        list.iter().for_each(|at| versions.set_case(*at, true));
    }

    /// A case holds these no more. Returns of how many that was so.
    pub fn lift(&mut self, case: &Digest, list: &[At], versions: &mut Versions) -> usize {
        let Some(held) = self.held.get_mut(case) else {
            return 0;
        };
        let before = held.len();
        held.retain(|at| list.binary_search(at).is_err());
        let lifted = before - held.len();
        if held.is_empty() {
            self.held.remove(case);
        }
        for at in list {
            let still = self
                .held
                .values()
                .any(|held| held.binary_search(at).is_ok());
            versions.set_case(*at, still);
        }
        lifted
    }

    /// Cases and the versions each holds.
    pub fn counts(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.held
            .iter()
            .map(|(case, held)| (*case, held.len() as u64))
    }
}
