//! The record tree: RFC 6962 over record headers, SHA-256, kept as a compact frontier.
//!
//! Invariant: a frontier of size `n` holds one node per set bit of `n`, largest subtree first.

pub mod proof;

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::codec::{DecodeError, Fault};
use crate::limits::LOG_RECORDS_MAX;
use crate::units::{parse_hex, write_hex};

/// A node or root of the record tree (SHA-256).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// All zero: none, where a field says so.
    pub const ZERO: Self = Self([0; 32]);

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads exactly 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse_hex(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// As checkpoints and proofs have it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        crate::checkpoint::to_base64(&self.0)
    }

    /// Reads exactly what `to_base64` prints.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        crate::checkpoint::parse_hash(text)
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

/// Hash of a leaf: `SHA-256(0x00 || bytes)` (RFC 6962, 2.1).
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> TreeHash {
    TreeHash(
        Sha256::new()
            .chain_update([0])
            .chain_update(bytes)
            .finalize()
            .into(),
    )
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)` (RFC 6962, 2.1).
#[must_use]
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    TreeHash(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// Root of the tree without leaves: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> TreeHash {
    TreeHash(Sha256::digest([]).into())
}

/// The right edge of a tree: enough to append and to compute the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<TreeHash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            nodes: Vec::new(),
        }
    }

    /// Puts a frontier together; `None` unless there is one node per set bit of `size` and `size`
    /// is within `LOG_RECORDS_MAX`.
    #[must_use]
    pub fn from_parts(size: u64, nodes: Vec<TreeHash>) -> Option<Self> {
        let fits = u32::try_from(nodes.len()).is_ok_and(|count| count == size.count_ones());
        (fits && size <= LOG_RECORDS_MAX).then_some(Self { size, nodes })
    }

    /// Appends a leaf given by its hash.
    ///
    /// # Panics
    /// When the tree already has 2^64 - 1 leaves, which no journal can reach.
    pub fn push(&mut self, leaf: TreeHash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size = self
            .size
            .checked_add(1)
            .expect("a journal never holds 2^64 records");
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the full subtrees, largest (leftmost) first.
    #[must_use]
    pub fn nodes(&self) -> &[TreeHash] {
        &self.nodes
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut nodes = self.nodes.iter().rev();
        let Some(&last) = nodes.next() else {
            return empty_root();
        };
        nodes.fold(last, |right, left| node_hash(left, &right))
    }

    /// Size (u64, little-endian) and the nodes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.size.to_le_bytes().to_vec();
        self.nodes
            .iter()
            .for_each(|node| out.extend_from_slice(&node.0));
        out
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the length does not fit the size.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |field, offset, what| DecodeError::new("Frontier", field, offset, what);
        let Some((size, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(refuse("size", 0, Fault::Short));
        };
        let (nodes, tail) = rest.as_chunks::<32>();
        if !tail.is_empty() {
            return Err(refuse("nodes", 8, Fault::Value));
        }
        let nodes = nodes.iter().map(|node| TreeHash(*node)).collect();
        Self::from_parts(u64::from_le_bytes(*size), nodes)
            .ok_or_else(|| refuse("nodes", 8, Fault::Count))
    }
}
