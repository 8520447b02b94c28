//! Open multipart uploads of a bucket: `ListMultipartUploads`.

use std::fmt;

use stele_format::units::{BucketId, UnixMillis, UploadId};

use crate::index::bundle::{MergedScan, Scan};
use crate::index::keys;
use crate::index::list::roll::Walk;
use crate::index::list::{Draft, ListWish, Page};
use crate::index::rows::{RowError, Table, TableRow, UploadNameRow};

/// A listed upload.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// Key of the object to be.
    pub name: Vec<u8>,
    /// Its id.
    pub upload: UploadId,
    /// When it began.
    pub started: UnixMillis,
}

impl fmt::Debug for ListedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedUpload")
            .field("upload", &self.upload)
            .finish_non_exhaustive()
    }
}

/// Last entry of a page: a key and upload, or a rolled-up prefix.
pub type UploadMarker = (Vec<u8>, Option<UploadId>);

/// Lists uploads by key, then by upload id.
pub struct UploadLister {
    walk: Walk,
    draft: Draft<ListedUpload, UploadMarker>,
    done: bool,
}

impl UploadLister {
    /// Begins a page. With `after_upload`, uploads of the key `wish.after` behind that one are
    /// listed too.
    #[must_use]
    pub fn new(bucket: BucketId, wish: &ListWish, after_upload: Option<UploadId>) -> Self {
        let walk = match (&wish.after, after_upload) {
            (Some(after), Some(upload)) => {
                let whole = ListWish {
                    after: None,
                    ..wish.clone()
                };
                let mut walk =
                    Walk::new(Table::UploadNames, keys::upload_name_prefix, bucket, &whole);
                match walk.common_prefix(after) {
                    Some(prefix) => walk.skip_past(&prefix),
                    None => walk.move_behind(&keys::upload_name(bucket, after, upload)),
                }
                walk
            }
            _ => Walk::new(Table::UploadNames, keys::upload_name_prefix, bucket, wish),
        };
        Self {
            walk,
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

    /// Takes the answers to [`UploadLister::next`].
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
        let malformed = RowError {
            table: Table::UploadNames,
        };
        let (name, upload) = keys::upload_name_of(key).ok_or(malformed)?;
        let started = UploadNameRow::decode(value)?.started;
        self.walk.move_behind(key);
        if !self.draft.admit() {
            self.done = true;
        } else if let Some(prefix) = self.walk.common_prefix(&name) {
            self.walk.skip_past(&prefix);
            self.draft.add_prefix(prefix.clone(), (prefix, None));
        } else {
            let row = ListedUpload {
                name: name.clone(),
                upload,
                started,
            };
            self.draft.add_row(row, (name, Some(upload)));
        }
        Ok(())
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> Page<ListedUpload, UploadMarker> {
        self.draft.finish()
    }
}
