//! What a journal record means for the index.
//!
//! Facts are made by one decoder from records, live and in replay, and consumed by
//! [`apply`](crate::index::apply::apply) alone.

use std::fmt;

use stele_format::digest::Digest;
use stele_format::record::VersionRef;
use stele_format::units::{
    BucketId, ByteCount, KeyIndex, LogIndex, Month, ObjectId, UnixMillis, UploadId, VersionId,
};

use crate::index::rows::{
    BucketRow, ChunkRow, CosignedRow, DestroyedRow, EnactedRow, ForcedRow, PartRow, RecordLocation,
    ScopeRow, StatementRow, UploadRow, VersionRow,
};
use crate::policy::Retention;

/// What a manifest says that a row holds.
#[derive(Clone, PartialEq, Eq)]
pub struct ManifestFacts {
    /// Name of the object.
    pub name: Vec<u8>,
    /// ETag without quotes.
    pub etag: String,
    /// Plaintext length.
    pub content_bytes: ByteCount,
    /// Parts it was made of.
    pub parts: u32,
}

/// One change of the index.
#[derive(Clone, PartialEq, Eq)]
pub enum Fact {
    /// A bucket was made or changed.
    BucketPut {
        /// Its id.
        id: BucketId,
        /// Its new row.
        row: BucketRow,
    },
    /// A bucket is gone from S3.
    BucketDeleted {
        /// Its id.
        id: BucketId,
    },
    /// A configuration value was written.
    ConfigPut {
        /// Its name.
        name: String,
        /// The record that holds it.
        location: RecordLocation,
    },
    /// A version or delete marker was added; it is the newest of its object.
    VersionAdded {
        /// Its bucket.
        bucket: BucketId,
        /// Name of its object.
        name: Vec<u8>,
        /// Its object.
        object: ObjectId,
        /// Its row.
        row: VersionRow,
        /// The multipart upload that ends with it.
        completes: Option<UploadId>,
    },
    /// The retention of a version was set or removed.
    RetentionSet {
        /// Its object.
        object: ObjectId,
        /// The version.
        version: VersionId,
        /// The new retention.
        retention: Option<Retention>,
    },
    /// The legal hold of a version was switched.
    HoldSet {
        /// Its object.
        object: ObjectId,
        /// The version.
        version: VersionId,
        /// ON or OFF.
        on: bool,
        /// Compliance time of its record.
        at: UnixMillis,
    },
    /// The tags of a version were replaced.
    TagsSet {
        /// Its object.
        object: ObjectId,
        /// The version.
        version: VersionId,
        /// The record that holds them.
        location: RecordLocation,
    },
    /// A version is gone from S3.
    Released {
        /// Its object.
        object: ObjectId,
        /// The version.
        version: VersionId,
        /// Reason number of the release record.
        reason: u8,
        /// Wall time of the release record.
        at: UnixMillis,
    },
    /// The release of a version is undone.
    Unreleased {
        /// Its object.
        object: ObjectId,
        /// The version.
        version: VersionId,
    },
    /// A multipart upload began; without a name where nothing opens its record any more.
    UploadOpened {
        /// Its id.
        upload: UploadId,
        /// Its row.
        row: UploadRow,
    },
    /// A part was stored; it replaces an earlier one of that number.
    PartAdded {
        /// Bucket of the upload.
        bucket: BucketId,
        /// Its upload.
        upload: UploadId,
        /// 1 to 10,000.
        number: u16,
        /// Its row.
        row: PartRow,
    },
    /// A multipart upload was given up.
    UploadAborted {
        /// Its id.
        upload: UploadId,
    },
    /// A version whose manifest nothing opens any more: a later fact explains it.
    VersionClosed {
        /// Its bucket.
        bucket: BucketId,
        /// Its object.
        object: ObjectId,
        /// What the clear says of it.
        row: VersionRow,
        /// The multipart upload that ends with it.
        completes: Option<UploadId>,
    },
    /// The manifest of a version was sealed again under another leaf.
    Rehomed {
        /// Its object.
        object: ObjectId,
        /// The version.
        version: VersionId,
        /// The leaf.
        key_index: KeyIndex,
        /// The record that holds the manifest.
        location: RecordLocation,
        /// What the manifest says, if its leaf is there.
        content: Option<Box<ManifestFacts>>,
    },
    /// Somebody stated something.
    StatementMade {
        /// Its record.
        index: LogIndex,
        /// Its row.
        row: StatementRow,
    },
    /// A piece of a list of versions.
    ScopePiece {
        /// Digest of the list.
        digest: Digest,
        /// Number of the piece.
        ordinal: u32,
        /// Its row.
        row: ScopeRow,
    },
    /// Versions are destroyed.
    Tombstoned {
        /// The request.
        request: LogIndex,
        /// Number of the piece.
        ordinal: u32,
        /// Compliance time.
        at: UnixMillis,
        /// Whether it is the last.
        last: bool,
        /// The month that is cut as a whole.
        month: Option<Month>,
        /// The versions.
        entries: Vec<VersionRef>,
    },
    /// The leaves of a request's tombstones are gone.
    Destroyed {
        /// The request.
        request: LogIndex,
        /// Its row.
        row: DestroyedRow,
    },
    /// What a request asked for has been done.
    Enacted {
        /// The request.
        request: LogIndex,
        /// Its row.
        row: EnactedRow,
    },
    /// Witnesses cosigned a checkpoint.
    Cosigned {
        /// Its record.
        index: LogIndex,
        /// Its row.
        row: CosignedRow,
    },
    /// The vault was forced open.
    ForcedOpen {
        /// Its record.
        index: LogIndex,
        /// Its row.
        row: ForcedRow,
    },
    /// A chunk lies here.
    ChunkPlaced {
        /// Digest of its stored bytes.
        digest: Digest,
        /// Its row.
        row: ChunkRow,
    },
}

impl Fact {
    /// What kind of fact it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Fact::BucketPut { .. } => "bucket put",
            Fact::BucketDeleted { .. } => "bucket deleted",
            Fact::ConfigPut { .. } => "config put",
            Fact::VersionAdded { .. } => "version added",
            Fact::RetentionSet { .. } => "retention set",
            Fact::HoldSet { .. } => "hold set",
            Fact::TagsSet { .. } => "tags set",
            Fact::Released { .. } => "version released",
            Fact::Unreleased { .. } => "release undone",
            Fact::UploadOpened { .. } => "upload opened",
            Fact::PartAdded { .. } => "part added",
            Fact::UploadAborted { .. } => "upload aborted",
            Fact::VersionClosed { .. } => "version closed",
            Fact::Rehomed { .. } => "manifest rehomed",
            Fact::StatementMade { .. } => "statement made",
            Fact::ScopePiece { .. } => "scope piece",
            Fact::Tombstoned { .. } => "tombstoned",
            Fact::Destroyed { .. } => "destroyed",
            Fact::Enacted { .. } => "enacted",
            Fact::Cosigned { .. } => "cosigned",
            Fact::ForcedOpen { .. } => "forced open",
            Fact::ChunkPlaced { .. } => "chunk placed",
        }
    }
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fact({})", self.kind())
    }
}
