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

/// A version that a lifecycle rule has go by now.
#[derive(Clone, PartialEq, Eq)]
pub struct Expiring {
    /// Key.
    pub key: Vec<u8>,
    /// Version.
    pub version: VersionId,
    /// The next newer one; none of what is current.
    pub next: Option<VersionId>,
}

/// How far a bucket was looked through for what goes: the last version that was seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Walked {
    /// Key.
    pub key: Vec<u8>,
    /// Version.
    pub version: VersionId,
    /// When it was stored.
    pub stored: UnixMillis,
    /// How many of the key that are not current were seen.
    pub noncurrent: u32,
    /// Whether it is a current marker that goes if nothing is behind it.
    pub lone: bool,
}

impl fmt::Debug for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expiring(.., {})", self.version)
    }
}

impl fmt::Debug for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Walked(.., {})", self.version)
    }
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
