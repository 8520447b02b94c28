//! The walk over sorted names that all listings of a bucket share.

use stele_format::units::BucketId;

use crate::index::bundle::Scan;
use crate::index::keys::{prefix_end, successor};
use crate::index::limits::{LIST_ROLLUP_ROWS_MIN, LIST_ROWS_MAX};
use crate::index::list::ListWish;
use crate::index::rows::Table;

/// Makes the key prefix of a bucket and a name prefix, in the table walked.
type KeyOf = fn(BucketId, &[u8]) -> Vec<u8>;

/// Where a walk stands.
pub(super) struct Walk {
    table: Table,
    key_of: KeyOf,
    bucket: BucketId,
    prefix: Vec<u8>,
    delimiter: Vec<u8>,
    /// Next key to read; none at the end.
    position: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
    /// Rows of the next scan at least, and while keys may be rolled up at most: more with each that was read.
    step: usize,
}

impl Walk {
    /// Begins at the wish's prefix, or behind what its marker excludes.
    pub(super) fn new(table: Table, key_of: KeyOf, bucket: BucketId, wish: &ListWish) -> Self {
        let start = key_of(bucket, &wish.prefix);
        let mut walk = Self {
            table,
            key_of,
            bucket,
            prefix: wish.prefix.clone(),
            delimiter: wish.delimiter.clone(),
            end: prefix_end(&start),
            position: Some(start),
            step: LIST_ROLLUP_ROWS_MIN,
        };
        if let Some(after) = &wish.after {
            match walk.common_prefix(after) {
                Some(prefix) => walk.skip_past(&prefix),
                // Keys of the name itself, with whatever the table appends, are excluded as well.
                None => walk.move_to(successor_name(key_of, bucket, after)),
            }
        }
        walk
    }

    /// The prefix that `name` is rolled up into, if any.
    pub(super) fn common_prefix(&self, name: &[u8]) -> Option<Vec<u8>> {
        let rest = name.strip_prefix(self.prefix.as_slice())?;
        if self.delimiter.is_empty() {
            return None;
        }
        let at = rest
            .windows(self.delimiter.len())
            .position(|part| part == self.delimiter)?;
        name.get(..self.prefix.len() + at + self.delimiter.len())
            .map(<[u8]>::to_vec)
    }

    /// Goes on behind all names that begin with `prefix`.
    pub(super) fn skip_past(&mut self, prefix: &[u8]) {
        self.move_to(prefix_end(&(self.key_of)(self.bucket, prefix)));
        self.step = LIST_ROLLUP_ROWS_MIN;
    }

    /// Goes on at `key`, never backwards; none ends the walk.
    pub(super) fn move_to(&mut self, key: Option<Vec<u8>>) {
        let ended = |key: &Vec<u8>| self.end.as_ref().is_some_and(|end| key >= end);
        self.position = match (self.position.take(), key) {
            (Some(position), Some(key)) => Some(position.max(key)).filter(|key| !ended(key)),
            _ => None,
        };
    }

    /// Goes on right behind `key`.
    pub(super) fn move_behind(&mut self, key: &[u8]) {
        self.move_to(Some(successor(key)));
    }

    /// Whether the walk has still to reach `key`.
    pub(super) fn wants(&self, key: &[u8]) -> bool {
        self.position
            .as_deref()
            .is_some_and(|position| key >= position)
    }

    /// What to read next, for about so many entries; none at the end.
    pub(super) fn scan(&self, entries: usize) -> Option<Scan> {
        let from = self.position.clone()?;
        // Many rows may show nothing: a page that wants one entry more must not read them one by one.
        let limit = if self.delimiter.is_empty() {
            entries.clamp(self.step, LIST_ROWS_MAX)
        } else {
            self.step
        };
        Some(Scan {
            table: self.table,
            from,
            end: self.end.clone(),
            limit,
        })
    }

    /// Goes on where the merged scan says.
    pub(super) fn read_on(&mut self, resume: Option<Vec<u8>>) {
        self.step = (self.step * 2).min(LIST_ROWS_MAX);
        self.move_to(resume);
    }
}

/// The first key that belongs to a name after `name`. Behind a name the tables append nothing or its
/// terminator, which sorts below every continuation of the name.
fn successor_name(key_of: KeyOf, bucket: BucketId, name: &[u8]) -> Option<Vec<u8>> {
    Some(key_of(bucket, &successor(name)))
}
