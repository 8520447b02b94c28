//! What each command decides, from what it sees: pure up to the records it asks for.
//!
//! One family a file. A decision reads through a [`View`](super::view::View) and ends in an
//! [`Outcome`]: an answer at once, or records to write and the answer to give when they are durable.

pub(crate) mod bucket;
pub(crate) mod census;
pub(crate) mod delete;
pub(crate) mod destroy;
pub(crate) mod expire;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod multipart;
pub(crate) mod object;
pub(crate) mod people;
pub(crate) mod tags;
pub(crate) mod witness;

use std::sync::Arc;

use std::collections::{BTreeMap, BTreeSet};

use stele_format::units::{BucketId, LogIndex, ObjectId, PoolId, UnixMillis, VersionId};

use crate::draft::Draft;
use crate::engine::lists::Lists;
use crate::engine::people::Case;
use crate::index::rows::{BucketRow, VersionRow};
use crate::keys::state::KeyState;
use crate::policy::approval::{Approvals, VaultFacts};
use crate::policy::retention::{Allowed, VersionLock};
use crate::policy::{Asker, EffectiveTime, Right};
use crate::read::Download;
use crate::receipts::Receipts;
use crate::request::{Answer, BucketInfo, Checksum, ObjectInfo, Refusal, RequestId, Tombstoned};

/// What a decision may know beside the rows it reads.
pub(crate) struct Facts<'a> {
    pub(crate) id: RequestId,
    pub(crate) pool: PoolId,
    pub(crate) keys: &'a KeyState,
    pub(crate) buckets: &'a BTreeMap<BucketId, BucketRow>,
    pub(crate) asker: &'a Asker,
    pub(crate) time: EffectiveTime,
    pub(crate) compliance: UnixMillis,
    pub(crate) wall: UnixMillis,
    pub(crate) approvals: &'a Approvals,
    pub(crate) cases: &'a [Case],
    /// Requests for which all that stays in their month has later leaves, as of this start.
    pub(crate) rehomed: &'a BTreeSet<LogIndex>,
    /// Lists that were read.
    pub(crate) lists: &'a Lists,
    /// Leaves that lists hide and a start is to cut one by one.
    pub(crate) leaves_due: u64,
    /// Which keys of the log are at hand.
    pub(crate) receipts: &'a Receipts,
    /// Versions in the vault.
    pub(crate) versions: u64,
    /// The next record.
    pub(crate) next: LogIndex,
    /// 128 random bits drawn once for this request, stable over attempts.
    pub(crate) random: [[u8; 16]; 2],
    /// The compliance clock when this request arrived, stable over attempts.
    pub(crate) asked: UnixMillis,
    pub(crate) new_bucket: crate::config::NewBucket,
    /// Whether the vault is one for evaluation.
    pub(crate) evaluation: bool,
    /// Whether its clock is simulated.
    pub(crate) simulated: bool,
    /// A special right the decision used; each use alarms.
    pub(crate) used: std::cell::Cell<Option<Right>>,
}

/// How a decision ends.
pub(crate) enum Outcome {
    /// Nothing to write.
    Answer(Answer),
    /// An upload stream may open.
    Stream,
    /// A configuration value lies in this record.
    Config(crate::index::rows::RecordLocation),
    /// A download begins.
    Download(Box<Download>, Box<ObjectInfo>),
    /// Records to write, in order, and what to say when the last is applied.
    Write(Vec<Draft>, After),
}

/// The answer once records are durable; what is only known then is filled in.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Done,
    Bucket(BucketInfo),
    Stored {
        versioned: bool,
        part: bool,
        etag: String,
        checksums: Vec<Checksum>,
    },
    Marker {
        versioned: bool,
        /// No marker ever hid what it hides.
        first: bool,
    },
    Deleted {
        marker: bool,
        version: Option<VersionId>,
        versioned: bool,
    },
    Tagged {
        version: VersionId,
        versioned: bool,
    },
    Upload,
    /// The number of the record is the answer.
    Recorded,
    Stated(VaultFacts),
    Held {
        versions: u32,
        last: bool,
    },
    Rehomed {
        versions: u32,
        resume: Option<Vec<u8>>,
    },
    Tombstoned {
        tombstoned: Tombstoned,
        /// Leaves of its list that are to be cut one by one from now on.
        reserved: u64,
    },
}

impl Facts<'_> {
    /// A bucket that exists, by name.
    pub(crate) fn bucket(&self, name: &str) -> Result<(BucketId, &BucketRow), Refusal> {
        self.buckets
            .iter()
            .find(|(_, row)| row.name == name && !row.deleted)
            .map(|(id, row)| (*id, row))
            .ok_or(Refusal::NoSuchBucket)
    }

    /// What protects a version.
    pub(crate) fn lock_of(&self, row: &VersionRow) -> VersionLock {
        VersionLock {
            marker: row.marker,
            retention: row.retention,
            hold: row.hold == Some(true),
            doubted: self.approvals.is_doubted(row.version.ordinal()),
        }
    }

    /// Remembers that a decision used a special right.
    pub(crate) fn note(&self, allowed: Allowed) {
        if allowed.used.is_some() {
            self.used.set(allowed.used);
        }
    }

    /// A fresh object id: 48 bits of time, 80 random ones. Ids thus ascend, so that the rows of new
    /// objects lie together in the index; under ids that are all random each new object would rewrite
    /// pages of its own.
    pub(crate) fn fresh_object(&self) -> ObjectId {
        let mut id = self.random[0];
        id[..6].copy_from_slice(&self.asked.get().to_be_bytes()[2..]);
        ObjectId::new(id)
    }

    /// A fresh opaque ETag.
    pub(crate) fn opaque_etag(&self, parts: u32) -> String {
        let number = u128::from_be_bytes(self.random[1]);
        format!("{number:032x}-{parts}")
    }
}

/// The bucket as it is shown.
pub(crate) fn bucket_info(id: BucketId, row: &BucketRow) -> BucketInfo {
    BucketInfo {
        id,
        name: row.name.clone(),
        kind: row.kind,
        created: row.created,
        default: row.default,
        rules: Arc::new(row.rules.clone()),
        lifecycle: Arc::new(row.lifecycle.clone()),
        max_days: row.max_days,
        owner: row.owner.clone(),
    }
}
