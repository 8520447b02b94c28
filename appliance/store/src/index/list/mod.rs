//! Listings as state machines: each says what to read next and takes the merged rows.
//!
//! `next()` gives the scans to read; when it gives none, `finish()` gives the page. `feed()` takes
//! the answers in the order of the scans. Behind a rolled-up prefix the listing jumps over all its
//! keys; what shows nothing, as names that were deleted and are still kept, is read and costs its part.
//!
//! Meaning, as S3 has it: entries are keys and rolled-up prefixes together, in byte order of keys; a
//! marker that is a prefix, or lies in one that would be rolled up, skips that prefix; a page is
//! truncated only if another entry really follows.

mod object;
mod part;
mod roll;
mod upload;
mod version;

pub use object::{ListedName, ObjectLister};
pub use part::{ListedPart, PartLister};
pub use upload::{ListedUpload, UploadLister};
pub use version::{ListedVersion, VersionLister, VersionMarker};

use std::fmt;

/// What to list of a bucket.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ListWish {
    /// Only keys that begin with this.
    pub prefix: Vec<u8>,
    /// Roll up keys at the first of these behind the prefix; empty means none.
    pub delimiter: Vec<u8>,
    /// Only keys after this one.
    pub after: Option<Vec<u8>>,
    /// Entries at most.
    pub entries_max: usize,
}

impl fmt::Debug for ListWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListWish(at most {})", self.entries_max)
    }
}

/// A page of a listing.
#[derive(Clone, PartialEq, Eq)]
pub struct Page<R, M> {
    /// The rows, in order.
    pub rows: Vec<R>,
    /// The rolled-up prefixes, in order.
    pub common_prefixes: Vec<Vec<u8>>,
    /// The last entry, if others follow it: where the next page goes on.
    pub next: Option<M>,
}

impl<R, M> fmt::Debug for Page<R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, prefixes) = (self.rows.len(), self.common_prefixes.len());
        write!(
            f,
            "Page({rows} rows, {prefixes} prefixes, more {})",
            self.next.is_some()
        )
    }
}

/// A page under construction.
struct Draft<R, M> {
    rows: Vec<R>,
    common_prefixes: Vec<Vec<u8>>,
    last: Option<M>,
    entries_max: usize,
    truncated: bool,
}

impl<R, M> Draft<R, M> {
    fn new(entries_max: usize) -> Self {
        let (rows, common_prefixes) = (Vec::new(), Vec::new());
        Self {
            rows,
            common_prefixes,
            last: None,
            entries_max,
            truncated: false,
        }
    }

    /// Entries that still fit.
    fn room(&self) -> usize {
        self.entries_max - self.rows.len() - self.common_prefixes.len()
    }

    /// Notes that another entry follows. Returns whether it fits; if not, the page is complete.
    fn admit(&mut self) -> bool {
        self.truncated |= self.room() == 0;
        !self.truncated
    }

    fn add_row(&mut self, row: R, marker: M) {
        self.rows.push(row);
        self.last = Some(marker);
    }

    fn add_prefix(&mut self, prefix: Vec<u8>, marker: M) {
        self.common_prefixes.push(prefix);
        self.last = Some(marker);
    }

    /// Ends the page here, whether or not anything follows.
    fn cut(&mut self, marker: M) {
        self.truncated = true;
        self.last = Some(marker);
    }

    fn finish(self) -> Page<R, M> {
        let next = if self.truncated { self.last } else { None };
        Page {
            rows: self.rows,
            common_prefixes: self.common_prefixes,
            next,
        }
    }
}
