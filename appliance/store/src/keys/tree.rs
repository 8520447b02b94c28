//! The puncturable key tree: one root seed gives every leaf key, and leaves can be cut for ever.
//!
//! A binary tree of depth 60; a node's seed gives its two children (`keys/derive.rs`), the seed at
//! depth 60 is the leaf key of that index. The tree keeps only seeds of subtrees that are still
//! whole. A cut replaces the subtree around it by the siblings along the way, so that nothing kept
//! leads to the cut leaves, and overwrites the seed that did.
//!
//! Invariants: the kept subtrees are disjoint and sorted by their first leaf; a leaf derives if and
//! only if no cut covered it; a cut cannot be undone. Decoding fails on anything that
//! [`KeyTree::encode`] would not write; nothing else fails.

use std::cell::RefCell;

use stele_format::units::{KeyClass, KeyIndex, Month};
use zeroize::Zeroizing;

use super::derive::{Seed, child};
use super::limits::KEY_INDEX_BITS;
use super::secret::Secret32;

/// Encoded bytes per kept subtree: first leaf (8), depth (1), seed (32).
const ENCODED_NODE_BYTES: usize = 41;

/// Depths at which month, class and epoch are fixed.
const MONTH_DEPTH: u8 = 12;
const CLASS_DEPTH: u8 = 16;
const EPOCH_DEPTH: u8 = 36;

/// Cached paths: objects and pending parts written now, and one more for reads of older ones.
const CACHED_PATH_COUNT: usize = 3;

/// The key of one leaf. Seals a manifest; gone once the leaf is cut and this is dropped.
#[derive(Debug)]
pub struct LeafKey(Secret32);

impl LeafKey {
    /// The key as a sealed message wants it.
    #[must_use]
    pub const fn secret(&self) -> &Secret32 {
        &self.0
    }
}

impl std::ops::Deref for LeafKey {
    type Target = Secret32;

    fn deref(&self) -> &Secret32 {
        &self.0
    }
}

/// A subtree: all indexes that agree with `first` in their highest `depth` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    first: u64,
    depth: u8,
}

impl Prefix {
    /// Everything.
    pub const ALL: Prefix = Prefix { first: 0, depth: 0 };

    /// The subtree of depth `depth` (at most 60) that `index` lies in; none for an index of more
    /// than 60 bits or a greater depth.
    #[must_use]
    pub fn around(index: KeyIndex, depth: u8) -> Option<Prefix> {
        let fits = index.get() >> KEY_INDEX_BITS == 0 && depth <= KEY_INDEX_BITS;
        fits.then(|| Prefix {
            first: index.get() & !low_bits(depth),
            depth,
        })
    }

    /// One leaf; none for an index of more than 60 bits.
    #[must_use]
    pub fn leaf(index: KeyIndex) -> Option<Prefix> {
        Prefix::around(index, KEY_INDEX_BITS)
    }

    /// All classes of a month.
    #[must_use]
    pub fn month(month: Month) -> Prefix {
        let first = u64::from(month.get()) << KeyIndex::MONTH_SHIFT;
        Prefix {
            first,
            depth: MONTH_DEPTH,
        }
    }

    /// One class of a month.
    #[must_use]
    pub fn class(month: Month, class: KeyClass) -> Prefix {
        let (first, _) = KeyIndex::month_range(month, class);
        Prefix {
            first: first.get(),
            depth: CLASS_DEPTH,
        }
    }

    /// Its first index.
    #[must_use]
    pub const fn first(self) -> KeyIndex {
        KeyIndex::new(self.first)
    }

    /// Bits all its indexes share.
    #[must_use]
    pub const fn depth(self) -> u8 {
        self.depth
    }

    /// Whether `other` lies inside it or is the same.
    #[must_use]
    pub const fn covers(self, other: Prefix) -> bool {
        self.depth <= other.depth && other.first & !low_bits(self.depth) == self.first
    }

    const fn last(self) -> u64 {
        self.first | low_bits(self.depth)
    }

    /// The child on the side of `bit`. Only for a depth below 60.
    const fn child(self, bit: bool) -> Prefix {
        let depth = self.depth + 1;
        let first = if bit {
            self.first | bit_at(self.depth)
        } else {
            self.first
        };
        Prefix { first, depth }
    }

    /// Which child of this prefix leads to `index`.
    const fn side(self, index: u64) -> bool {
        index & bit_at(self.depth) != 0
    }
}

/// Mask of the bits below a node of `depth`.
const fn low_bits(depth: u8) -> u64 {
    (1 << (KEY_INDEX_BITS - depth)) - 1
}

/// The bit that chooses between the children of a node of `depth`.
const fn bit_at(depth: u8) -> u64 {
    1 << (KEY_INDEX_BITS - 1 - depth)
}

/// A kept subtree and the seed it grows from. The seed is boxed so that a growing list of nodes
/// leaves no copies of it in freed memory.
struct Node {
    prefix: Prefix,
    seed: Box<Seed>,
}

/// Why bytes are no key tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no key tree as this program writes it")]
pub struct TreeDamaged;

/// The key tree.
pub struct KeyTree {
    nodes: Vec<Node>,
    paths: RefCell<PathCache>,
}

impl KeyTree {
    /// A whole tree over `root`.
    #[must_use]
    pub fn new(root: &Secret32) -> Self {
        let node = Node {
            prefix: Prefix::ALL,
            seed: Box::new(Zeroizing::new(*root.expose())),
        };
        Self {
            nodes: vec![node],
            paths: RefCell::default(),
        }
    }

    /// The key of `index`; none if it was cut, or if the index has more than 60 bits.
    #[must_use]
    pub fn leaf(&self, index: KeyIndex) -> Option<LeafKey> {
        let leaf = Prefix::leaf(index)?;
        let node = &self.nodes[self.covering(leaf)?];
        let mut key = self.paths.borrow_mut().derive(node, leaf);
        Some(LeafKey(Secret32::take(&mut key)))
    }

    /// Whether the key of `index` can still be derived.
    #[must_use]
    pub fn has_leaf(&self, index: KeyIndex) -> bool {
        Prefix::leaf(index).is_some_and(|leaf| self.covering(leaf).is_some())
    }

    /// Whether any leaf under `prefix` can still be derived.
    #[must_use]
    pub fn has_any(&self, prefix: Prefix) -> bool {
        let from = self
            .nodes
            .partition_point(|node| node.prefix.first < prefix.first);
        let inside = self.nodes.get(from);
        self.covering(prefix).is_some()
            || inside.is_some_and(|node| node.prefix.first <= prefix.last())
    }

    /// Cuts one leaf. Says whether anything was left to cut.
    pub fn cut_leaf(&mut self, index: KeyIndex) -> bool {
        Prefix::leaf(index).is_some_and(|leaf| self.cut_prefix(leaf))
    }

    /// Cuts every leaf under `cut`. Says whether anything was left to cut.
    pub fn cut_prefix(&mut self, cut: Prefix) -> bool {
        self.paths.borrow_mut().clear();
        if let Some(at) = self.covering(cut) {
            let siblings = siblings_around(&self.nodes[at], cut);
            self.nodes.splice(at..=at, siblings);
            return true;
        }
        let start = self
            .nodes
            .partition_point(|node| node.prefix.first < cut.first);
        let end = self
            .nodes
            .partition_point(|node| node.prefix.first <= cut.last());
        self.nodes.drain(start..end);
        start < end
    }

    /// Subtrees kept; one in a tree without cuts.
    #[must_use]
    pub fn seed_count(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes [`KeyTree::encode`] gives.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.nodes.len() * ENCODED_NODE_BYTES
    }

    /// The kept subtrees in order: first leaf (u64, little-endian), depth (u8), seed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.encoded_len()));
        for node in &self.nodes {
            bytes.extend_from_slice(&node.prefix.first.to_le_bytes());
            bytes.push(node.prefix.depth);
            bytes.extend_from_slice(node.seed.as_slice());
        }
        bytes
    }

    /// Reads what [`KeyTree::encode`] wrote.
    ///
    /// # Errors
    /// [`TreeDamaged`] if the length is no whole number of subtrees, one is misplaced, or two
    /// overlap or are out of order.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeDamaged> {
        let mut nodes: Vec<Node> = Vec::with_capacity(bytes.len() / ENCODED_NODE_BYTES);
        let (entries, rest) = bytes.as_chunks::<ENCODED_NODE_BYTES>();
        if !rest.is_empty() {
            return Err(TreeDamaged);
        }
        for entry in entries {
            let node = decode_node(entry).ok_or(TreeDamaged)?;
            let follows = nodes
                .last()
                .is_none_or(|last| last.prefix.last() < node.prefix.first);
            if !follows {
                return Err(TreeDamaged);
            }
            nodes.push(node);
        }
        Ok(Self {
            nodes,
            paths: RefCell::default(),
        })
    }

    /// Position of the kept subtree that `prefix` lies in.
    fn covering(&self, prefix: Prefix) -> Option<usize> {
        let after = self
            .nodes
            .partition_point(|node| node.prefix.first <= prefix.first);
        let at = after.checked_sub(1)?;
        self.nodes[at].prefix.covers(prefix).then_some(at)
    }
}

impl std::fmt::Debug for KeyTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyTree({} seeds)", self.nodes.len())
    }
}

fn decode_node(entry: &[u8; ENCODED_NODE_BYTES]) -> Option<Node> {
    let (first, rest) = entry.split_first_chunk::<8>()?;
    let (depth, seed) = rest.split_first()?;
    let first = u64::from_le_bytes(*first);
    let prefix = Prefix::around(KeyIndex::new(first), *depth)?;
    let mut node = Node {
        prefix,
        seed: Box::new(Zeroizing::new([0; 32])),
    };
    node.seed.copy_from_slice(seed);
    (prefix.first == first).then_some(node)
}

/// What remains of `node` without `cut`, which lies in it: in order, the siblings of every step
/// from the one to the other.
fn siblings_around(node: &Node, cut: Prefix) -> Vec<Node> {
    let mut siblings = Vec::with_capacity(usize::from(cut.depth - node.prefix.depth));
    let mut prefix = node.prefix;
    let mut seed: Seed = (*node.seed).clone();
    while prefix.depth < cut.depth {
        let side = prefix.side(cut.first);
        siblings.push(Node {
            prefix: prefix.child(!side),
            seed: Box::new(child(&seed, !side)),
        });
        seed = child(&seed, side);
        prefix = prefix.child(side);
    }
    siblings.sort_unstable_by_key(|node| node.prefix);
    siblings
}

/// Seeds on the way to recently derived leaves, so that neighbours cost two steps instead of sixty.
#[derive(Default)]
struct PathCache {
    paths: Vec<Path>,
}

/// The seeds from a kept subtree down to a leaf.
struct Path {
    /// Depth of the kept subtree; the first seed below is one deeper.
    base: u8,
    leaf: u64,
    seeds: Vec<Seed>,
}

impl PathCache {
    fn clear(&mut self) {
        self.paths.clear();
    }

    fn derive(&mut self, node: &Node, leaf: Prefix) -> Seed {
        let path = self.path_near(leaf.first);
        let shared = path.shared_depth(leaf.first);
        if path.base != node.prefix.depth || shared < path.base {
            path.base = node.prefix.depth;
            path.seeds.clear();
        } else {
            path.seeds.truncate(usize::from(shared - path.base));
        }
        path.leaf = leaf.first;
        path.extend(node, leaf)
    }

    /// The cached path of the same month, class and epoch, else the one unused for longest;
    /// whichever it is, it is the newest now.
    fn path_near(&mut self, leaf: u64) -> &mut Path {
        let near = self
            .paths
            .iter()
            .position(|path| path.shared_depth(leaf) >= EPOCH_DEPTH);
        let path = match near {
            Some(at) => self.paths.remove(at),
            None if self.paths.len() < CACHED_PATH_COUNT => Path::empty(),
            None => self.paths.remove(0),
        };
        self.paths.push(path);
        self.paths.last_mut().expect("a path was pushed just now")
    }
}

impl Path {
    fn empty() -> Self {
        Self {
            base: 0,
            leaf: 0,
            seeds: Vec::with_capacity(usize::from(KEY_INDEX_BITS)),
        }
    }

    /// Bits in which both leaves agree, from the top.
    fn shared_depth(&self, leaf: u64) -> u8 {
        let unused = u64::BITS - u32::from(KEY_INDEX_BITS);
        let differing = (self.leaf ^ leaf).leading_zeros() - unused;
        u8::try_from(differing)
            .expect("at most 60")
            .min(KEY_INDEX_BITS)
    }

    /// Walks from the last cached seed down to `leaf`, which lies in `node`.
    fn extend(&mut self, node: &Node, leaf: Prefix) -> Seed {
        let mut seed: Seed = self.seeds.last().unwrap_or(&*node.seed).clone();
        let cached = u8::try_from(self.seeds.len()).expect("a path has at most 60 seeds");
        for depth in self.base + cached..KEY_INDEX_BITS {
            seed = child(&seed, leaf.first & bit_at(depth) != 0);
            self.seeds.push(seed.clone());
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyIndex, KeyTree, Secret32};

    /// Cached seeds above a leaf would let its key be derived again after the cut.
    #[test]
    fn a_cut_forgets_every_cached_path() {
        let mut tree = KeyTree::new(&Secret32::copy_of(&[1; 32]));
        assert!(tree.leaf(KeyIndex::new(7)).is_some());
        assert!(!tree.paths.borrow().paths.is_empty());
        assert!(tree.cut_leaf(KeyIndex::new(7)));
        assert!(tree.paths.borrow().paths.is_empty());
    }
}
