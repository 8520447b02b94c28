//! Listings: what is asked and what is shown.

use std::fmt;

use stele_format::units::{UnixMillis, UploadId, VersionId};

use super::Checksum;
use crate::policy::Retention;

/// Where a listing starts and what it rolls up.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ListWish {
    /// Bucket name.
    pub bucket: String,
    /// Prefix of keys.
    pub prefix: Vec<u8>,
    /// Roll-up delimiter.
    pub delimiter: Option<Vec<u8>>,
    /// Only after this key.
    pub after: Option<Vec<u8>>,
    /// And this version or upload id (hex) of it.
    pub after_version: Option<String>,
    /// At most this many entries.
    pub entries_max: u32,
}

impl fmt::Debug for ListWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListWish(max {})", self.entries_max)
    }
}

/// A listed object.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Key.
    pub key: Vec<u8>,
    /// ETag.
    pub etag: String,
    /// Content length.
    pub content_bytes: u64,
    /// Stored when.
    pub modified: UnixMillis,
}

/// A listed version or marker.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Key.
    pub key: Vec<u8>,
    /// Version.
    pub version: VersionId,
    /// Delete marker.
    pub marker: bool,
    /// Current one.
    pub current: bool,
    /// ETag.
    pub etag: String,
    /// Content length.
    pub content_bytes: u64,
    /// Stored when.
    pub modified: UnixMillis,
}

/// A listed version or marker that is released.
#[derive(Clone, PartialEq, Eq)]
pub struct ReleasedVersion {
    /// Key.
    pub key: Vec<u8>,
    /// Version.
    pub version: VersionId,
    /// Delete marker.
    pub marker: bool,
    /// Content length.
    pub content_bytes: u64,
    /// Stored when.
    pub modified: UnixMillis,
    /// Released when.
    pub released: UnixMillis,
    /// Retention.
    pub retention: Option<Retention>,
    /// Whether a hold is on.
    pub hold: bool,
}

/// A listed upload.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// Key.
    pub key: Vec<u8>,
    /// Upload.
    pub upload: UploadId,
    /// Began when.
    pub started: UnixMillis,
}

/// A listed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Part number.
    pub number: u16,
    /// ETag.
    pub etag: String,
    /// Content length.
    pub content_bytes: u64,
    /// Stored when.
    pub modified: UnixMillis,
    /// Checksums.
    pub checksums: Vec<Checksum>,
}

/// A page of a listing.
#[derive(Clone, PartialEq, Eq)]
pub struct Page<Row> {
    /// Rows.
    pub rows: Vec<Row>,
    /// Rolled-up prefixes.
    pub common_prefixes: Vec<Vec<u8>>,
    /// Where the next page starts.
    pub next: Option<(Vec<u8>, Option<String>)>,
}

impl<Row> fmt::Debug for Page<Row> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Page({} rows, {} prefixes)",
            self.rows.len(),
            self.common_prefixes.len()
        )
    }
}
