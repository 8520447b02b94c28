//! Proofs over the record tree: that a record is in a log (inclusion), and that one log is the
//! beginning of another (consistency). RFC 6962, 2.1.1 and 2.1.2; verified as RFC 9162, 2.1.3.2 and
//! 2.1.4.2 say.

use thiserror::Error;

use super::{Frontier, TreeHash, node_hash};

/// Most hashes of a proof: one for each level of the largest tree.
pub const PROOF_HASHES_MAX: usize = 64;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The index is not within the tree.
    #[error("record {index} is not in a log of {size} records")]
    Outside {
        /// The index.
        index: u64,
        /// Records in the log.
        size: u64,
    },
    /// The older tree is empty or larger than the newer one.
    #[error("a log of {older} records is not compared with one of {newer}")]
    Sizes {
        /// Records in the older log.
        older: u64,
        /// Records in the newer log.
        newer: u64,
    },
    /// Too many or too few hashes for these sizes.
    #[error("the proof has a wrong number of hashes")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root of {size} records")]
    Root {
        /// Records in the log with that root.
        size: u64,
    },
}

/// Verifies that `leaf` is record `index` of the log of `size` records with this root.
///
/// # Errors
/// What is wrong with the proof.
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: u64,
    size: u64,
    path: &[TreeHash],
    root: &TreeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { index, size });
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            climb(&mut at, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    (hash == *root)
        .then_some(())
        .ok_or(ProofError::Root { size })
}

/// Skips the levels at which the node at the right edge has no sibling.
fn climb(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

/// Verifies that the log of `newer.0` records with root `newer.1` begins with the log of `older.0`
/// records with root `older.1`.
///
/// # Errors
/// What is wrong with the proof. An empty log is the beginning of every log, which needs no proof and
/// is refused here.
pub fn verify_consistency(
    older: (u64, &TreeHash),
    newer: (u64, &TreeHash),
    path: &[TreeHash],
) -> Result<(), ProofError> {
    let (older_size, older_root) = older;
    let (newer_size, newer_root) = newer;
    if older_size == 0 || older_size > newer_size {
        return Err(ProofError::Sizes {
            older: older_size,
            newer: newer_size,
        });
    }
    if older_size == newer_size {
        if !path.is_empty() {
            return Err(ProofError::Length);
        }
        return same(older_root, newer_root, newer_size);
    }
    let (mut at, mut last) = (older_size - 1, newer_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (first, rest) = if older_size.is_power_of_two() {
        (older_root, path)
    } else {
        path.split_first().ok_or(ProofError::Length)?
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            climb(&mut at, &mut last);
        } else {
            new = node_hash(&new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    same(&old, older_root, older_size)?;
    same(&new, newer_root, newer_size)
}

fn same(hash: &TreeHash, root: &TreeHash, size: u64) -> Result<(), ProofError> {
    (hash == root)
        .then_some(())
        .ok_or(ProofError::Root { size })
}

/// One level of the tree: its complete nodes from `first` on.
#[derive(Debug, Clone)]
struct Level {
    first: u64,
    nodes: Vec<TreeHash>,
}

/// Makes proofs: over a whole log from its leaves, or over the last records of a log from the frontier
/// before them and their leaves.
#[derive(Debug, Clone)]
pub struct Proofs {
    before: u64,
    size: u64,
    levels: Vec<Level>,
}

impl Proofs {
    /// Proofs over the whole log with these leaves.
    #[must_use]
    pub fn of_log(leaves: Vec<TreeHash>) -> Self {
        Self::after(&Frontier::new(), leaves)
    }

    /// Proofs for the records with these leaves, which follow on the log of this frontier.
    ///
    /// It suffices: in the proof of a record behind the frontier every node left of the frontier's edge
    /// is one of the frontier's own.
    #[must_use]
    pub fn after(before: &Frontier, leaves: Vec<TreeHash>) -> Self {
        let size = before.size().saturating_add(leaves.len() as u64);
        let mut first = before.size();
        let mut nodes = leaves;
        let mut levels = Vec::new();
        for level in 0..u64::BITS {
            if size >> level == 0 {
                break;
            }
            if let Some(node) = frontier_node(before, level) {
                first -= 1;
                nodes.insert(0, node);
            }
            let (pairs, _) = nodes.as_chunks::<2>();
            let above = pairs.iter().map(|[left, right]| node_hash(left, right));
            let above = above.collect();
            levels.push(Level { first, nodes });
            first >>= 1;
            nodes = above;
        }
        Self {
            before: before.size(),
            size,
            levels,
        }
    }

    /// Records in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the log's first `size` records; none beyond what is known.
    #[must_use]
    pub fn root(&self, size: u64) -> Option<TreeHash> {
        if size == 0 {
            return Some(super::empty_root());
        }
        (size >= self.before && size <= self.size)
            .then(|| self.range(0, size))
            .flatten()
    }

    /// The inclusion proof of record `index` in the log's first `size` records, the leaf's sibling first.
    ///
    /// # Errors
    /// When it is not among the records given, or the log has fewer than `size`.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<TreeHash>, ProofError> {
        let outside = ProofError::Outside { index, size };
        if index < self.before || index >= size || size > self.size {
            return Err(outside);
        }
        let (mut low, mut high) = (0, size);
        let mut path = Vec::new();
        while high - low > 1 {
            let middle = low + split(high - low);
            let sibling = if index < middle {
                let sibling = self.range(middle, high);
                high = middle;
                sibling
            } else {
                let sibling = self.range(low, middle);
                low = middle;
                sibling
            };
            path.push(sibling.ok_or(outside)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the log's first `newer` records begin with its first `older`.
    ///
    /// # Errors
    /// When the sizes are not those of two logs, or reach beyond what is known.
    pub fn consistency(&self, older: u64, newer: u64) -> Result<Vec<TreeHash>, ProofError> {
        let refused = ProofError::Sizes { older, newer };
        if older == 0 || older > newer || newer > self.size {
            return Err(refused);
        }
        let (mut low, mut high, mut whole) = (0, newer, true);
        let mut path = Vec::new();
        while older != high {
            let middle = low + split(high - low);
            let sibling = if older <= middle {
                let sibling = self.range(middle, high);
                high = middle;
                sibling
            } else {
                let sibling = self.range(low, middle);
                low = middle;
                whole = false;
                sibling
            };
            path.push(sibling.ok_or(refused)?);
        }
        if !whole {
            path.push(self.range(low, high).ok_or(refused)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The hash over the records from `low` to before `high`, which are a subtree of the log.
    fn range(&self, low: u64, high: u64) -> Option<TreeHash> {
        let width = high.checked_sub(low).filter(|width| *width > 0)?;
        if width.is_power_of_two() {
            let level = self.levels.get(width.trailing_zeros() as usize)?;
            let place = (low / width).checked_sub(level.first)?;
            return level.nodes.get(usize::try_from(place).ok()?).copied();
        }
        let middle = low + split(width);
        Some(node_hash(
            &self.range(low, middle)?,
            &self.range(middle, high)?,
        ))
    }
}

/// The largest power of two below `width`, which is at least 2.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// The node of the frontier that covers 2^level records, if it has one.
fn frontier_node(frontier: &Frontier, level: u32) -> Option<TreeHash> {
    let (size, bit) = (frontier.size(), 1u64 << level);
    if size & bit == 0 {
        return None;
    }
    let larger = (size & !(bit | (bit - 1))).count_ones() as usize;
    frontier.nodes().get(larger).copied()
}
