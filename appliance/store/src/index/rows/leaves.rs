//! Leaves of the key tree that go with a version, as runs: neighbours are the rule.

use stele_format::units::KeyIndex;

use crate::index::codec::{Malformed, Reader, Writer};

/// Leaves that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafRun {
    /// The first.
    pub first: KeyIndex,
    /// How many.
    pub count: u32,
}

/// A set of leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaves(Vec<LeafRun>);

impl Leaves {
    /// The leaves given, each once.
    pub fn of(leaves: impl IntoIterator<Item = KeyIndex>) -> Self {
        let mut all: Vec<u64> = leaves.into_iter().map(KeyIndex::get).collect();
        all.sort_unstable();
        all.dedup();
        let mut runs: Vec<LeafRun> = Vec::new();
        for leaf in all {
            match runs.last_mut() {
                Some(run) if run.first.get() + u64::from(run.count) == leaf => run.count += 1,
                _ => runs.push(LeafRun {
                    first: KeyIndex::new(leaf),
                    count: 1,
                }),
            }
        }
        Self(runs)
    }

    /// Every leaf, ascending.
    pub fn iter(&self) -> impl Iterator<Item = KeyIndex> + '_ {
        self.0.iter().flat_map(|run| {
            let first = run.first.get();
            (first..first.saturating_add(u64::from(run.count))).map(KeyIndex::new)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|run| u64::from(run.count)).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u32(u32::try_from(self.0.len()).expect("an upload has at most thousands of parts"));
        for run in &self.0 {
            out.u64(run.first.get()).u32(run.count);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = from.u32()?;
        let runs = (0..count).map(|_| {
            Ok(LeafRun {
                first: KeyIndex::new(from.u64()?),
                count: from.u32()?,
            })
        });
        Ok(Self(runs.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_run_and_every_leaf_comes_back_once() {
        let of = |leaves: &[u64]| Leaves::of(leaves.iter().copied().map(KeyIndex::new));
        for (given, runs) in [
            (&[][..], 0),
            (&[7], 1),
            (&[9, 7, 8, 7], 1),
            (&[1, 3, 2, 10, 11, 20], 3),
        ] {
            let leaves = of(given);
            assert_eq!(leaves.0.len(), runs, "{given:?}");
            let mut expected = given.to_vec();
            expected.sort_unstable();
            expected.dedup();
            let back: Vec<u64> = leaves.iter().map(KeyIndex::get).collect();
            assert_eq!(back, expected);
        }
    }
}
