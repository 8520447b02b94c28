//! Buckets, as a client may see them.

use serde::{Deserialize, Serialize};
use stele_format::units::UnixMillis;

use super::{LockMode, Period};

/// Kinds of bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BucketKind {
    /// Every version gets the bucket's default retention.
    DefaultLocked,
    /// The client sets retention per object.
    ClientLocked,
    /// Looks unversioned; overwritten and deleted versions are released.
    Plain,
}

/// A bucket as a client may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketInfo {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: BucketKind,
    /// When it was created.
    #[serde(with = "crate::wire::plain")]
    pub created: UnixMillis,
    /// Default retention, if any.
    pub default: Option<(LockMode, Period)>,
    /// Whose it is; nothing for the vault's own.
    pub owner: String,
    /// Its lifecycle rules; not told in lists of buckets.
    pub lifecycle: Vec<LifecycleRule>,
}

/// When unfinished uploads are given up and versions go out of S3 by themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRule {
    /// What the client calls it.
    pub id: String,
    /// How the client said what it is for.
    pub form: FilterForm,
    /// What keys begin with; empty where the form has none.
    pub prefix: String,
    /// Content bytes a version has at least; 0 where the form has no such size.
    pub bytes_min: u64,
    /// Content bytes a version has less than; 0 where the form has no such size.
    pub bytes_below: u64,
    /// Whether it is kept but does not count.
    pub disabled: bool,
    /// Days after which an unfinished upload is given up.
    pub upload_days: Option<u32>,
    /// When the current version goes.
    pub current: Option<CurrentExpiry>,
    /// When versions go that are not current.
    pub noncurrent: Option<NoncurrentExpiry>,
}

/// How a client said what a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterForm {
    /// A prefix beside a filter's place.
    Prefix,
    /// A filter of nothing.
    Whole,
    /// A filter by prefix.
    FilterPrefix,
    /// A filter by one size.
    FilterSize,
    /// A filter by prefix and others together.
    AndPrefix,
    /// A filter by sizes together.
    AndSizes,
}

/// When a current version goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CurrentExpiry {
    /// So many days after it was stored.
    Days(u32),
    /// From this moment on.
    From(#[serde(with = "crate::wire::plain")] UnixMillis),
    /// Where it is a delete marker and the only version of its key.
    LoneMarker,
}

/// When versions go that are not current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoncurrentExpiry {
    /// So many days after the next one was stored.
    pub days: u32,
    /// Of a key's versions that are not current so many stay, the newest.
    pub kept: u32,
}

impl std::fmt::Debug for LifecycleRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LifecycleRule")
            .field("upload_days", &self.upload_days)
            .field("current", &self.current)
            .field("noncurrent", &self.noncurrent)
            .finish_non_exhaustive()
    }
}
