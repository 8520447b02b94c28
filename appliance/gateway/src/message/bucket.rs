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
    /// When unfinished uploads are given up; not told in lists of buckets.
    pub uploads: Vec<UploadRule>,
}

/// After how many days an unfinished multipart upload of a key with a prefix is given up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRule {
    /// What the client calls it.
    pub id: String,
    /// What keys begin with; may be empty.
    pub prefix: String,
    /// Days of 24 hours.
    pub days: u32,
    /// Whether it is kept but does not count.
    pub disabled: bool,
}

impl std::fmt::Debug for UploadRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UploadRule(.., {} days)", self.days)
    }
}
