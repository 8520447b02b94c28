//! Reading all rows again, piece by piece, to compare them with what the triple states.
//!
//! No view outlives a piece: it would keep every page that commits replace from being used again. Nor does
//! a commit make a walk begin anew, which would never end on a busy vault. Instead a commit tells the walk
//! what it changes among the rows already read, so that the walk's set is at any time that of all rows up
//! to the place where it stands. A walk reads each row once, and its memory is one key.

use std::cmp::Ordering;
use std::ops::Bound;

use redb::ReadableDatabase;

use super::{Failure, File, IndexStore, META, META_TRIPLE, View};
use crate::index::codec::Malformed;
use crate::index::limits::VERIFY_BYTES;
use crate::index::message::{IndexError, Verified};
use crate::index::meta::{Multiset, Triple};
use crate::index::rows::Table;

/// How far all rows were read again.
#[derive(Clone, Default)]
pub(super) struct Walk {
    /// Of the rows up to this place.
    set: Multiset,
    /// Place in [`Table::ALL`] of the table being read.
    table: usize,
    /// The last key that was read of it.
    last: Option<Vec<u8>>,
}

impl Walk {
    fn is_done(&self) -> bool {
        self.table >= Table::COUNT
    }

    fn has_read(&self, table: Table, key: &[u8]) -> bool {
        match table.position().cmp(&self.table) {
            Ordering::Less => true,
            Ordering::Equal => self.last.as_deref().is_some_and(|last| key <= last),
            Ordering::Greater => false,
        }
    }

    /// A commit puts a row, or none, in the place of another one, or of none.
    pub(super) fn replace(
        &mut self,
        table: Table,
        key: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) {
        if self.has_read(table, key) {
            self.set.replace(table, key, old, new);
        }
    }
}

impl View {
    /// Reads on, `rows_max` rows at most.
    fn walk_on(&self, walk: &mut Walk, rows_max: usize) -> Result<(), Failure> {
        let mut left = rows_max;
        let bytes_before = walk.set.row_bytes;
        while let Some(table) = Table::ALL.get(walk.table) {
            let from = walk
                .last
                .as_deref()
                .map_or(Bound::Unbounded, Bound::Excluded);
            let bounds = (from, Bound::Unbounded);
            for row in self.table(*table)?.range::<&[u8]>(bounds)? {
                let (key, value) = row?;
                walk.set.add(*table, key.value(), value.value());
                left = left.saturating_sub(1);
                let bytes = walk.set.row_bytes.wrapping_sub(bytes_before);
                if left == 0 || bytes >= VERIFY_BYTES {
                    walk.last = Some(key.value().to_vec());
                    return Ok(());
                }
            }
            walk.table += 1;
            walk.last = None;
        }
        Ok(())
    }
}

impl File {
    /// What the last commit states, as it stands in the file.
    fn stated(&self) -> Result<Multiset, Failure> {
        let view = self.database.begin_read()?;
        let stored = view.open_table(META)?.get(META_TRIPLE)?.ok_or(Failure)?;
        let (triple, _) = Triple::decode(stored.value()).map_err(|Malformed| Failure)?;
        Ok(Multiset::of(&triple))
    }
}

impl IndexStore {
    /// Recomputes count, hash and size from all rows. Anything but [`IndexStore::triple`] means that
    /// the index is wrong.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub fn verify(&self) -> Result<Triple, IndexError> {
        self.shared.look(|view| {
            let mut walk = Walk::default();
            while !walk.is_done() {
                view.walk_on(&mut walk, usize::MAX)?;
            }
            Ok(Triple {
                meta: self.file()?.read_triple()?.meta,
                rows: walk.set.rows,
                multiset: walk.set.hash(),
                row_bytes: walk.set.row_bytes,
            })
        })
    }

    /// The same, `rows_max` rows at a time; the end compares what was read with what is stated. The first
    /// call after that begins anew.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub fn verify_on(&mut self, rows_max: usize) -> Result<Verified, IndexError> {
        let mut walk = self.walk.take().unwrap_or_default();
        let stated = self.shared.look(|view| {
            view.walk_on(&mut walk, rows_max)?;
            walk.is_done().then(|| self.file()?.stated()).transpose()
        })?;
        let Some(stated) = stated else {
            self.walk = Some(walk);
            return Ok(Verified::Partly);
        };
        let rows = walk.set.rows;
        Ok(if walk.set == stated {
            Verified::AsStated { rows }
        } else {
            Verified::Otherwise {
                found: rows,
                stated: stated.rows,
            }
        })
    }
}
