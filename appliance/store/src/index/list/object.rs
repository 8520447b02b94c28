//! Current objects of a bucket: `ListObjects` and `ListObjectsV2`.

use std::fmt;

use stele_format::units::BucketId;

use crate::index::bundle::{MergedScan, Scan};
use crate::index::keys;
use crate::index::list::roll::Walk;
use crate::index::list::{Draft, ListWish, Page};
use crate::index::rows::{Current, NameRow, RowError, Table, TableRow};

/// A listed object.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedName {
    /// Its key.
    pub name: Vec<u8>,
    /// Its current version.
    pub current: Current,
}

impl fmt::Debug for ListedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedName")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

/// Lists the names whose current version is no delete marker.
pub struct ObjectLister {
    walk: Walk,
    draft: Draft<ListedName, Vec<u8>>,
    done: bool,
}

impl ObjectLister {
    /// Begins a page.
    #[must_use]
    pub fn new(bucket: BucketId, wish: &ListWish) -> Self {
        Self {
            walk: Walk::new(Table::Names, keys::name, bucket, wish),
            draft: Draft::new(wish.entries_max),
            done: wish.entries_max == 0,
        }
    }

    /// What to read next; nothing when the page is complete.
    #[must_use]
    pub fn next(&self) -> Vec<Scan> {
        if self.done {
            return Vec::new();
        }
        self.walk.scan(self.draft.room() + 1).into_iter().collect()
    }

    /// Takes the answers to [`ObjectLister::next`].
    ///
    /// # Errors
    /// [`RowError`] when a row does not decode.
    pub fn feed(&mut self, answers: Vec<MergedScan>) -> Result<(), RowError> {
        for answer in answers {
            for (key, value) in &answer.rows {
                if self.done || !self.walk.wants(key) {
                    continue;
                }
                self.take(key, value)?;
            }
            self.walk.read_on(answer.resume);
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let name = keys::name_of(key).ok_or(RowError {
            table: Table::Names,
        })?;
        let current = NameRow::decode(value)?
            .current
            .filter(|current| !current.marker);
        self.walk.move_behind(key);
        let Some(current) = current else {
            return Ok(());
        };
        if !self.draft.admit() {
            self.done = true;
        } else if let Some(prefix) = self.walk.common_prefix(name) {
            self.walk.skip_past(&prefix);
            self.draft.add_prefix(prefix.clone(), prefix);
        } else {
            self.draft.add_row(
                ListedName {
                    name: name.to_vec(),
                    current,
                },
                name.to_vec(),
            );
        }
        Ok(())
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> Page<ListedName, Vec<u8>> {
        self.draft.finish()
    }
}
