//! What a durable commit of the index states about itself, and the multiset hash.
//!
//! The hash of a set of rows is the sum, modulo 2^256, of one BLAKE3 digest per row. A commit
//! updates it from the rows it replaces and the rows it writes, without reading the others; a scrub
//! sums all rows anew. It finds rot and bugs, not an adversary who can write encrypted pages.

use std::fmt;
use std::sync::Arc;

use stele_format::units::{ByteOffset, LogIndex, SegmentId};

use crate::index::codec::{Malformed, Reader, Writer};
use crate::index::rows::Table;

/// First byte of the stored form.
const META_VERSION: u8 = 2;

/// What the engine says about a snapshot.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SnapshotMeta {
    /// The first record that is not in the snapshot: where replay begins.
    pub next: LogIndex,
    /// Journal segment that record lies in, or will.
    pub segment: SegmentId,
    /// Of its frame inside the segment, where known; else where to look from.
    pub offset: ByteOffset,
    /// Compact frontier of the record tree before `next`, encoded.
    pub frontier: Vec<u8>,
    /// The engine's own snapshot (segments, extents, counters), opaque here.
    pub extra: Extra,
}

/// Bytes in pieces, of which each is stored for itself. Those that were stored before are not written again: whoever
/// states them is to cut them the same way.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Extra(pub Vec<Arc<[u8]>>);

impl Extra {
    /// All bytes, in one.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// How many bytes there are.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Whether this piece is the same, whether or not it is the same memory.
    pub(crate) fn has(&self, at: usize, piece: &Arc<[u8]>) -> bool {
        let same = |own: &Arc<[u8]>| Arc::ptr_eq(own, piece) || own == piece;
        self.0.get(at).is_some_and(same)
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extra({} bytes)", self.bytes())
    }
}

impl fmt::Debug for SnapshotMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotMeta")
            .field("next", &self.next)
            .field("segment", &self.segment)
            .field("offset", &self.offset)
            .field("extra_bytes", &self.extra.bytes())
            .finish_non_exhaustive()
    }
}

/// A snapshot's statement together with what it covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Triple {
    /// What the engine said.
    pub meta: SnapshotMeta,
    /// Rows of all tables that count.
    pub rows: u64,
    /// Multiset hash of these rows.
    pub multiset: [u8; 32],
    /// Bytes of keys and values of all tables, chunks included.
    pub row_bytes: u64,
}

impl Triple {
    /// Everything but [`SnapshotMeta::extra`], which is stored in pieces beside it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(META_VERSION)
            .u64(self.meta.next.get())
            .u64(self.meta.segment.get());
        out.u64(self.meta.offset.get())
            .bytes(&self.meta.frontier)
            .u64(self.rows);
        out.raw(&self.multiset)
            .u64(self.row_bytes)
            .u64(self.meta.extra.bytes());
        out.finish()
    }

    /// The triple without its extra bytes, and how many there are.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, u64), Malformed> {
        let mut from = Reader::new(bytes);
        if from.u8()? != META_VERSION {
            return Err(Malformed);
        }
        let meta = SnapshotMeta {
            next: LogIndex::new(from.u64()?),
            segment: SegmentId::new(from.u64()?),
            offset: ByteOffset::new(from.u64()?),
            frontier: from.bytes()?.to_vec(),
            extra: Extra::default(),
        };
        let (rows, multiset, row_bytes) = (from.u64()?, from.array()?, from.u64()?);
        let extra_bytes = from.u64()?;
        from.finish()?;
        Ok((
            Self {
                meta,
                rows,
                multiset,
                row_bytes,
            },
            extra_bytes,
        ))
    }
}

/// Count, hash and size of a set of rows.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Multiset {
    pub(crate) rows: u64,
    pub(crate) row_bytes: u64,
    /// 256-bit number, least significant limb first.
    limbs: [u64; 4],
}

impl Multiset {
    pub(crate) fn of(triple: &Triple) -> Self {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(triple.multiset.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Self {
            rows: triple.rows,
            row_bytes: triple.row_bytes,
            limbs,
        }
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (out, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.limbs) {
            *out = limb.to_le_bytes();
        }
        bytes
    }

    /// A row is there now.
    pub(crate) fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.row_bytes = self
            .row_bytes
            .wrapping_add((key.len() + value.len()) as u64);
        if table.is_counted() {
            self.rows = self.rows.wrapping_add(1);
            self.limbs = sum(self.limbs, row_digest(table, key, value));
        }
    }

    /// A row, or none, is in the place of another one, or of none.
    pub(crate) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) {
        if let Some(new) = new {
            self.add(table, key, new);
        }
        if let Some(old) = old {
            self.remove(table, key, old);
        }
    }

    /// A row is gone.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.row_bytes = self
            .row_bytes
            .wrapping_sub((key.len() + value.len()) as u64);
        if table.is_counted() {
            self.rows = self.rows.wrapping_sub(1);
            self.limbs = sum(self.limbs, negated(row_digest(table, key, value)));
        }
    }
}

fn row_digest(table: Table, key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[table.code()]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    let digest: [u8; 32] = hasher.finalize().into();
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(digest.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    limbs
}

/// Addition modulo 2^256.
fn sum(left: [u64; 4], right: [u64; 4]) -> [u64; 4] {
    let mut result = [0; 4];
    let mut carry = false;
    for ((out, left), right) in result.iter_mut().zip(left).zip(right) {
        let (partial, first) = left.overflowing_add(right);
        let (total, second) = partial.overflowing_add(u64::from(carry));
        *out = total;
        carry = first || second;
    }
    result
}

/// The number that adds up to zero with `value`.
fn negated(value: [u64; 4]) -> [u64; 4] {
    sum(value.map(|limb| !limb), [1, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_carries_over_all_limbs() {
        let max = [u64::MAX; 4];
        assert_eq!(sum(max, [1, 0, 0, 0]), [0; 4]);
        assert_eq!(negated([0; 4]), [0; 4]);
        assert_eq!(negated([1, 0, 0, 0]), max);
        assert_eq!(
            sum([7, 0, u64::MAX, 3], negated([7, 0, u64::MAX, 3])),
            [0; 4]
        );
    }

    #[test]
    fn a_multiset_does_not_depend_on_order_and_forgets_what_is_removed() {
        let mut one = Multiset::default();
        one.add(Table::Names, b"a", b"1");
        one.add(Table::Names, b"b", b"2");
        let mut other = Multiset::default();
        other.add(Table::Names, b"b", b"2");
        other.add(Table::Names, b"x", b"9");
        other.add(Table::Names, b"a", b"1");
        assert!(one != other);
        other.remove(Table::Names, b"x", b"9");
        assert!(one == other);
        assert_eq!(one.rows, 2);
    }

    #[test]
    fn rows_that_differ_in_their_seams_differ_in_their_hash() {
        let hash = |table, key: &[u8], value: &[u8]| {
            let mut set = Multiset::default();
            set.add(table, key, value);
            set.hash()
        };
        let one = hash(Table::Names, b"ab", b"c");
        assert_ne!(one, hash(Table::Names, b"a", b"bc"));
        assert_ne!(one, hash(Table::Objects, b"ab", b"c"));
    }

    #[test]
    fn chunk_rows_weigh_but_do_not_count() {
        let mut set = Multiset::default();
        set.add(Table::Chunks, b"12", b"345");
        assert_eq!((set.rows, set.row_bytes, set.hash()), (0, 5, [0; 32]));
    }

    #[test]
    fn a_triple_survives_its_encoding() {
        let meta = SnapshotMeta {
            next: LogIndex::new(7),
            segment: SegmentId::new(8),
            offset: ByteOffset::new(9),
            frontier: vec![1, 2, 3],
            extra: Extra(vec![[4].into(), [5].into()]),
        };
        let triple = Triple {
            meta,
            rows: 10,
            multiset: [11; 32],
            row_bytes: 12,
        };
        let without_extra = SnapshotMeta {
            extra: Extra::default(),
            ..triple.meta.clone()
        };
        let decoded = Triple {
            meta: without_extra,
            ..triple.clone()
        };
        assert_eq!(Triple::decode(&triple.encode()), Ok((decoded, 2)));
        for end in 0..triple.encode().len() {
            assert!(Triple::decode(&triple.encode()[..end]).is_err());
        }
    }
}
