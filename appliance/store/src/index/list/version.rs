//! Versions and delete markers of a bucket: `ListObjectVersions`.

use std::collections::VecDeque;
use std::fmt;

use stele_format::units::{BucketId, ObjectId, VersionId};

use crate::index::bundle::{MergedScan, Scan};
use crate::index::keys;
use crate::index::limits::{LIST_OBJECTS_AT_ONCE_MAX, LIST_ROWS_MAX, RELEASED_ROWS_MAX};
use crate::index::list::roll::Walk;
use crate::index::list::{Draft, ListWish, Page};
use crate::index::rows::{NameRow, RowError, Table, TableRow, VersionRow};

/// Versions read of each object at least when several objects are read at once.
const VERSION_ROWS_MIN: usize = 4;

/// A listed version or delete marker.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Key of its object.
    pub name: Vec<u8>,
    /// Its row.
    pub row: VersionRow,
    /// Whether it is the current one.
    pub latest: bool,
}

impl fmt::Debug for ListedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedVersion")
            .field("row", &self.row)
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

/// Last entry of a page: a key and version, or a rolled-up prefix.
pub type VersionMarker = (Vec<u8>, Option<VersionId>);

/// An object whose versions are to be read.
struct Pending {
    name: Vec<u8>,
    object: ObjectId,
    /// Next key in the table of versions.
    from: Vec<u8>,
    /// It is read from its newest version on: the first one that is not released is the current one.
    begins: bool,
    /// That one was not met yet.
    at_newest: bool,
    /// The current version as the name's row says.
    current: Option<VersionId>,
    /// Rolled up instead of read.
    prefix: Option<Vec<u8>>,
}

/// Lists versions that are not released, or those that are, by key, then newest first.
pub struct VersionLister {
    /// Those that are released.
    released: bool,
    walk: Walk,
    /// Key and version to begin behind.
    after: Option<(Vec<u8>, VersionId)>,
    queue: VecDeque<Pending>,
    draft: Draft<ListedVersion, VersionMarker>,
    /// Rows of versions that were looked at.
    looked: usize,
    /// Rows of the next step where the first object in the queue goes on.
    step: usize,
    done: bool,
}

impl VersionLister {
    /// Begins a page. With `after_version`, versions of the key `wish.after` older than that one are
    /// listed too.
    #[must_use]
    pub fn new(bucket: BucketId, wish: &ListWish, after_version: Option<VersionId>) -> Self {
        let whole = ListWish {
            after: None,
            ..wish.clone()
        };
        let mut walk = Walk::new(Table::Names, keys::name, bucket, &whole);
        let mut after = None;
        match (&wish.after, after_version) {
            (Some(name), Some(version)) => match walk.common_prefix(name) {
                Some(prefix) => walk.skip_past(&prefix),
                None => {
                    walk.move_to(Some(keys::name(bucket, name)));
                    after = Some((name.clone(), version));
                }
            },
            (Some(_), None) => walk = Walk::new(Table::Names, keys::name, bucket, wish),
            (None, _) => {}
        }
        Self {
            released: false,
            walk,
            after,
            queue: VecDeque::new(),
            draft: Draft::new(wish.entries_max),
            looked: 0,
            step: VERSION_ROWS_MIN,
            done: wish.entries_max == 0,
        }
    }

    /// Lists released versions instead of those that S3 shows. A page may then end early, even without any.
    #[must_use]
    pub fn of_released(mut self) -> Self {
        self.released = true;
        self
    }

    /// What to read next; nothing when the page is complete.
    #[must_use]
    pub fn next(&self) -> Vec<Scan> {
        if self.done {
            return Vec::new();
        }
        let room = self.draft.room() + 1;
        if self.queue.is_empty() {
            return self.walk.scan(room).into_iter().collect();
        }
        let objects = self.objects_at_once();
        let limit = room
            .div_ceil(objects.max(1))
            .clamp(self.step, LIST_ROWS_MAX);
        let scan = |pending: &Pending| Scan {
            table: Table::Versions,
            from: pending.from.clone(),
            end: keys::prefix_end(&keys::object(pending.object)),
            limit,
        };
        self.queue.iter().take(objects).map(scan).collect()
    }

    /// Objects read in the next step: up to the next one that is rolled up. Those are resolved
    /// without reading, so the queue never begins with one.
    fn objects_at_once(&self) -> usize {
        // One that goes on must be read to its end before the next one counts.
        if self.step > VERSION_ROWS_MIN {
            return 1;
        }
        let most = LIST_OBJECTS_AT_ONCE_MAX.min(self.draft.room() + 1);
        self.queue
            .iter()
            .take(most)
            .take_while(|pending| pending.prefix.is_none())
            .count()
    }

    /// Takes the answers to [`VersionLister::next`].
    ///
    /// # Errors
    /// [`RowError`] when a row does not decode.
    pub fn feed(&mut self, answers: Vec<MergedScan>) -> Result<(), RowError> {
        if self.queue.is_empty() {
            for answer in answers {
                self.take_names(answer)?;
            }
        } else {
            for answer in answers {
                // An object that goes on must be read to its end before the next one counts.
                if self.done || !self.take_versions(&answer)? {
                    break;
                }
            }
        }
        self.roll_up();
        Ok(())
    }

    fn take_names(&mut self, answer: MergedScan) -> Result<(), RowError> {
        for (key, value) in &answer.rows {
            if !self.walk.wants(key) {
                continue;
            }
            let name = keys::name_of(key).ok_or(RowError {
                table: Table::Names,
            })?;
            let row = NameRow::decode(value)?;
            self.walk.move_behind(key);
            // Without a current version all are released.
            if row.current.is_none() && !self.released {
                continue;
            }
            let prefix = self.walk.common_prefix(name);
            if let Some(prefix) = &prefix {
                self.walk.skip_past(prefix);
            }
            let after = self.after.take_if(|(after, _)| after == name);
            let from = match after {
                Some((_, version)) => keys::successor(&keys::version(row.object, version)),
                None => keys::object(row.object),
            };
            self.queue.push_back(Pending {
                name: name.to_vec(),
                object: row.object,
                begins: from.len() == keys::object(row.object).len(),
                at_newest: true,
                from,
                current: row.current.map(|current| current.version),
                prefix,
            });
        }
        self.walk.read_on(answer.resume);
        Ok(())
    }

    /// Takes versions of the first object in the queue. Returns whether that was all of them.
    fn take_versions(&mut self, answer: &MergedScan) -> Result<bool, RowError> {
        let Some(mut pending) = self.queue.pop_front() else {
            return Ok(true);
        };
        self.looked += answer.rows.len().max(1);
        let mut read = None;
        for (_, value) in &answer.rows {
            let row = VersionRow::decode(value)?;
            read = Some(row.version);
            let wanted = match self.released {
                true => row.released.is_some() && !row.closed,
                false => row.is_shown(),
            };
            if !wanted {
                continue;
            }
            if !self.draft.admit() {
                self.done = true;
                return Ok(false);
            }
            let newest = std::mem::take(&mut pending.at_newest);
            // The row of the name may be of an earlier moment.
            let latest = match pending.begins {
                true => newest && !self.released,
                false => Some(row.version) == pending.current,
            };
            let marker = (pending.name.clone(), Some(row.version));
            self.draft.add_row(
                ListedVersion {
                    name: pending.name.clone(),
                    row,
                    latest,
                },
                marker,
            );
        }
        match &answer.resume {
            None => {
                self.step = VERSION_ROWS_MIN;
                self.end_early((pending.name, None));
                Ok(true)
            }
            Some(resume) => {
                self.step = (self.step * 2).min(LIST_ROWS_MAX);
                if read.is_some() {
                    self.end_early((pending.name.clone(), read));
                }
                pending.from.clone_from(resume);
                self.queue.push_front(pending);
                Ok(false)
            }
        }
    }

    /// Ends a page of released versions behind this one if it has looked at so much.
    fn end_early(&mut self, marker: VersionMarker) {
        if self.released && self.looked >= RELEASED_ROWS_MAX {
            self.draft.cut(marker);
            self.done = true;
        }
    }

    /// Resolves what needs no reading: rolled-up prefixes at the head of the queue.
    fn roll_up(&mut self) {
        while let Some(prefix) = self
            .queue
            .front()
            .and_then(|pending| pending.prefix.clone())
        {
            if self.done || !self.draft.admit() {
                self.done = true;
                return;
            }
            self.queue.pop_front();
            self.draft.add_prefix(prefix.clone(), (prefix, None));
        }
    }

    /// What was found so far; of a complete page all of it, and perhaps one more.
    #[must_use]
    pub fn rows(&self) -> &[ListedVersion] {
        &self.draft.rows
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> Page<ListedVersion, VersionMarker> {
        self.draft.finish()
    }
}
