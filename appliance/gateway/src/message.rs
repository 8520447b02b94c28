//! What crosses from the gateway to the engine and back.
//!
//! The gateway holds no key and no disk: everything it wants is said in these types and decided on the
//! engine's side. They are plain data plus slabs, so that the same conversation can run between two
//! processes. Times are milliseconds since the Unix epoch; sizes are bytes of the client's data.

mod bucket;

use serde::{Deserialize, Serialize};
use stele_format::units::{UnixMillis, UploadId, VersionId};

use std::net::IpAddr;

pub use crate::chain::ChunkProof;
pub use crate::claim::Claim;
pub use crate::refusal::{Refusal, RetentionDateFault, Right};
use crate::slab::Slab;
use crate::wire::Content;

pub use bucket::{
    BucketInfo, BucketKind, CurrentExpiry, FilterForm, LifecycleRule, NoncurrentExpiry,
};

/// One question and where the answer goes.
#[derive(Debug)]
pub struct Envelope {
    /// The signed request that it serves.
    pub session: SessionId,
    /// What is asked.
    pub request: Request,
    /// The content of `PutData`, or an empty slab for the content that `NextData` asks for.
    pub slab: Option<Slab>,
    /// Where the answer goes; a dropped receiver means the client went away.
    pub answer: tokio::sync::oneshot::Sender<Reply>,
}

/// What comes back.
pub type Reply = Result<Delivered, Refusal>;

/// An answer, and with `Data` the slab that went with the question, filled. Any other slab is free
/// again before the answer is looked at.
#[derive(Debug)]
pub struct Delivered {
    /// The answer.
    pub answer: Answer,
    /// The slab.
    pub slab: Option<Slab>,
}

impl From<Answer> for Delivered {
    fn from(answer: Answer) -> Self {
        Self { answer, slab: None }
    }
}

/// Names a signed request that the engine's side has verified. Whatever else the gateway asks, it
/// asks in the name of one; the engine's side, not the gateway, knows whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

impl SessionId {
    /// No session, for the question that asks for one.
    pub const NONE: Self = Self(0);
}

/// Names an open upload or download stream between gateway and engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId(pub u64);

/// An object's address as the client gave it. The key is PHI: `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Bucket name.
    pub bucket: String,
    /// Object key, 1 to 1,024 bytes of UTF-8.
    pub key: String,
}

impl std::fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectName(..)")
    }
}

/// S3 Object Lock modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LockMode {
    /// Can be shortened by a client that two people granted that right.
    Governance,
    /// Can never be shortened.
    Compliance,
}

/// Retention of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The mode.
    pub mode: LockMode,
    /// The instant until which the version is kept.
    #[serde(with = "crate::wire::plain")]
    pub until: UnixMillis,
}

/// A bucket's default retention period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// Days, 1 to 36,500.
    Days(u32),
    /// Years, 1 to 100.
    Years(u32),
}

/// What a client asked for with the `x-amz-object-lock-*` headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWish {
    /// Mode and date, only ever together.
    pub retention: Option<Retention>,
    /// Legal hold given explicitly.
    pub hold: Option<bool>,
}

/// Checksum algorithms of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// CRC-32 (IEEE).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// CRC-64/NVME.
    Crc64Nvme,
}

/// One verified checksum of an object or part, raw big-endian bytes as S3 encodes them in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The algorithm.
    pub kind: ChecksumKind,
    /// True for a checksum over part checksums (COMPOSITE), false over the whole content.
    pub composite: bool,
    /// The value.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checksum({:?})", self.kind)
    }
}

/// Client metadata stored with a version. Derived from what the client sent: PHI, never logged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// `content-type`, `cache-control`, `content-disposition`, `content-encoding`,
    /// `content-language`, `expires`: lower-case header name and value.
    pub headers: Vec<(String, String)>,
    /// `x-amz-meta-*` without the prefix.
    pub user: Vec<(String, String)>,
    /// Object tags.
    pub tags: Vec<(String, String)>,
    /// Storage class as given (`STANDARD`).
    pub storage_class: String,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metadata(..)")
    }
}

/// A byte range as asked, resolved by the engine against the stored length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeWish {
    /// From first to last byte, both included; no last means to the end.
    From {
        /// First byte.
        first: u64,
        /// Last byte, included.
        last: Option<u64>,
    },
    /// The last `n` bytes.
    Suffix(u64),
}

/// Conditions on the current version, decided at sequencing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Only if the current ETag is this one (without quotes), or `*` for any.
    pub if_match: Option<String>,
    /// Only if the current ETag is not this one, or `*` for "no current object".
    pub if_none_match: Option<String>,
}

/// What an upload stream will become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A new version of an object.
    Object {
        /// Stored with it.
        metadata: Metadata,
        /// Its lock.
        lock: LockWish,
    },
    /// One part of a multipart upload.
    Part {
        /// The upload.
        #[serde(with = "crate::wire::plain")]
        upload: UploadId,
        /// 1 to 10,000.
        number: u16,
    },
}

/// One finished part as the completing client names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPart {
    /// Part number.
    pub number: u16,
    /// ETag without quotes.
    pub etag: String,
    /// Checksums the client repeats; each must equal the stored one.
    pub checksums: Vec<Checksum>,
}

/// Where a listing starts and what it rolls up.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListWish {
    /// Bucket name.
    pub bucket: String,
    /// Only keys beginning with this.
    pub prefix: String,
    /// Roll up keys at the first occurrence of this after the prefix.
    pub delimiter: Option<String>,
    /// Only keys strictly after this (a common prefix counts as a key here).
    pub after: Option<String>,
    /// In version and upload listings: versions of `after` strictly after this one are included.
    pub after_version: Option<String>,
    /// At most this many entries, 0 to 1,000.
    pub entries_max: u32,
}

impl std::fmt::Debug for ListWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ListWish(max {})", self.entries_max)
    }
}

/// A question to the engine.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Verify a signed request. Answer: `SignedIn`.
    SignIn {
        /// What the client signed, and how.
        claim: Claim,
        /// Where the client connects from.
        source: IpAddr,
        /// Whether the body's chunks are signed too, so that their chain is to be kept.
        signs_chunks: bool,
        /// Sessions that are over.
        finished: Vec<SessionId>,
    },
    /// Verify signatures of the body's chunks, in their order. Answer: `Done`.
    VerifyChunks {
        /// What follows the last ones.
        proofs: Vec<ChunkProof>,
    },
    /// All buckets.
    ListBuckets,
    /// Make a bucket; `lock` is the lock header. Answer: `Bucket`.
    CreateBucket {
        /// Name, already checked against S3's naming rules.
        name: String,
        /// `x-amz-bucket-object-lock-enabled: true`.
        lock: bool,
    },
    /// One bucket. Answer: `Bucket`.
    HeadBucket {
        /// Name.
        name: String,
    },
    /// Remove an empty bucket. Answer: `Done`.
    DeleteBucket {
        /// Name.
        name: String,
    },
    /// Set or clear the default retention. Answer: `Done`.
    SetDefaultRetention {
        /// Bucket name.
        bucket: String,
        /// The new default; none clears it.
        default: Option<(LockMode, Period)>,
    },
    /// Set the lifecycle rules. Answer: `Done`.
    SetLifecycle {
        /// Bucket name.
        bucket: String,
        /// All its rules from now on.
        rules: Vec<LifecycleRule>,
    },
    /// Content that is all at hand, every digest the client gave verified: as `OpenPut`, `PutData` and `CommitPut` in one.
    /// Answer: `Stored`, after it is durable.
    Put {
        /// The object.
        name: ObjectName,
        /// Object or part.
        purpose: Purpose,
        /// At most `UPLOAD_WHOLE_BYTES`; empty where it comes in a slab.
        content: Content,
        /// MD5 of the content, if it was computed; becomes the ETag.
        md5: Option<[u8; 16]>,
        /// Verified checksums to keep.
        checksums: Vec<Checksum>,
        /// Conditions on what is there now.
        conditions: Conditions,
    },
    /// Begin an upload. Answer: `Stream`. Refused before a byte of body is read where possible.
    OpenPut {
        /// The object.
        name: ObjectName,
        /// Object or part.
        purpose: Purpose,
        /// Length if the client declared it, to refuse early.
        content_bytes: Option<u64>,
    },
    /// The next chunk of an upload, in order; every chunk but the last is full. Its plaintext is in
    /// the slab beside the question. Answer: `Done`, as soon as the engine has taken it (not yet
    /// durable).
    PutData {
        /// The stream.
        stream: StreamId,
    },
    /// All data was sent and every digest the client gave was verified. Answer: `Stored`, after it
    /// is durable.
    CommitPut {
        /// The stream.
        stream: StreamId,
        /// MD5 of the content, if it was computed; becomes the ETag.
        md5: Option<[u8; 16]>,
        /// Verified checksums to keep.
        checksums: Vec<Checksum>,
        /// Conditions on what is there now.
        conditions: Conditions,
    },
    /// Forget an upload stream. Answer: `Done`.
    AbortPut {
        /// The stream.
        stream: StreamId,
    },
    /// Open a version for reading. Answer: `Opened`.
    OpenGet {
        /// The object.
        name: ObjectName,
        /// Which version; none means current.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
        /// Which bytes.
        range: Option<RangeWish>,
    },
    /// The next piece of an open download, into the slab beside the question. Answer: `Data`, or
    /// `End` after the last.
    NextData {
        /// The stream.
        stream: StreamId,
    },
    /// Forget a download stream. Answer: `Done`.
    CloseGet {
        /// The stream.
        stream: StreamId,
    },
    /// What is known of a version. Answer: `Object`.
    Head {
        /// The object.
        name: ObjectName,
        /// Which version; none means current.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
    },
    /// S3 DELETE. Answer: `Deleted`.
    Delete {
        /// The object.
        name: ObjectName,
        /// Which version; none adds a delete marker.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
        /// `x-amz-bypass-governance-retention: true`.
        bypass: bool,
    },
    /// Current objects. Answer: `Listing`.
    List(ListWish),
    /// All versions and markers. Answer: `VersionListing`.
    ListVersions(ListWish),
    /// Set retention of a version; none removes it where that is allowed. Answer: `Done`.
    SetRetention {
        /// The object.
        name: ObjectName,
        /// Which version; none means current.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
        /// New retention.
        retention: Option<Retention>,
        /// `x-amz-bypass-governance-retention: true`.
        bypass: bool,
    },
    /// Set or clear a legal hold. Answer: `Done`.
    SetHold {
        /// The object.
        name: ObjectName,
        /// Which version; none means current.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
        /// ON or OFF.
        on: bool,
    },
    /// Replace all tags of a version; none removes them. Answer: `Tagged`.
    SetTags {
        /// The object.
        name: ObjectName,
        /// Which version; none means current.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
        /// All its tags from now on.
        tags: Vec<(String, String)>,
    },
    /// How much client data fits. Answer: `Capacity`.
    Capacity,
    /// Begin a multipart upload. Answer: `Upload`.
    CreateUpload {
        /// The object.
        name: ObjectName,
        /// Stored with the object.
        metadata: Metadata,
        /// The completed version's lock.
        lock: LockWish,
        /// Checksum algorithm announced for the upload, and whether COMPOSITE was asked.
        checksum: Option<(ChecksumKind, bool)>,
    },
    /// What an open upload announced. Answer: `UploadInfo`.
    HeadUpload {
        /// The object.
        name: ObjectName,
        /// The upload.
        #[serde(with = "crate::wire::plain")]
        upload: UploadId,
    },
    /// Parts so far. Answer: `Parts`.
    ListParts {
        /// The object.
        name: ObjectName,
        /// The upload.
        #[serde(with = "crate::wire::plain")]
        upload: UploadId,
        /// Only parts after this number.
        after: u16,
        /// At most this many, 0 to 1,000.
        parts_max: u32,
    },
    /// Open uploads. Answer: `Uploads`.
    ListUploads(ListWish),
    /// Make the object out of its parts. Answer: `Stored`.
    CompleteUpload {
        /// The object.
        name: ObjectName,
        /// The upload.
        #[serde(with = "crate::wire::plain")]
        upload: UploadId,
        /// The parts in ascending order.
        parts: Vec<NamedPart>,
        /// Checksums of the whole object, computed from those of its parts.
        checksums: Vec<Checksum>,
        /// Conditions on what is there now.
        conditions: Conditions,
    },
    /// Give up an upload. Answer: `Done`.
    AbortUpload {
        /// The object.
        name: ObjectName,
        /// The upload.
        #[serde(with = "crate::wire::plain")]
        upload: UploadId,
    },
}

/// A stored version, as HEAD tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Version; shown as `null` for `plain` buckets.
    #[serde(with = "crate::wire::plain")]
    pub version: VersionId,
    /// Whether versions are shown to clients of this bucket.
    pub versioned: bool,
    /// Length of the content.
    pub content_bytes: u64,
    /// ETag without quotes.
    pub etag: String,
    /// When it was stored.
    #[serde(with = "crate::wire::plain")]
    pub modified: UnixMillis,
    /// Client metadata.
    pub metadata: Metadata,
    /// Stored checksums.
    pub checksums: Vec<Checksum>,
    /// Retention, if any.
    pub retention: Option<Retention>,
    /// Legal hold; none if never set.
    pub hold: Option<bool>,
    /// Sizes of its parts in order, bytes; none if it did not come by multipart.
    pub part_sizes: Vec<u64>,
    /// Whether the bucket has Object Lock.
    pub lock_enabled: bool,
}

impl ObjectInfo {
    /// Number of parts, if it came by multipart.
    #[must_use]
    pub fn parts(&self) -> Option<u32> {
        let parts = u32::try_from(self.part_sizes.len()).unwrap_or(u32::MAX);
        (parts > 0).then_some(parts)
    }
}

/// One row of a listing of current objects.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedObject {
    /// Key.
    pub key: String,
    /// ETag without quotes.
    pub etag: String,
    /// Length of the content.
    pub content_bytes: u64,
    /// When it was stored.
    #[serde(with = "crate::wire::plain")]
    pub modified: UnixMillis,
}

/// One row of a listing of versions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedVersion {
    /// Key.
    pub key: String,
    /// Version.
    #[serde(with = "crate::wire::plain")]
    pub version: VersionId,
    /// True for a delete marker.
    pub marker: bool,
    /// Whether it is the current one.
    pub current: bool,
    /// ETag without quotes; empty for a marker.
    pub etag: String,
    /// Length of the content; 0 for a marker.
    pub content_bytes: u64,
    /// When it was stored.
    #[serde(with = "crate::wire::plain")]
    pub modified: UnixMillis,
}

/// One open upload.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedUpload {
    /// Key.
    pub key: String,
    /// The upload.
    #[serde(with = "crate::wire::plain")]
    pub upload: UploadId,
    /// When it began.
    #[serde(with = "crate::wire::plain")]
    pub started: UnixMillis,
}

/// One stored part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPart {
    /// Part number.
    pub number: u16,
    /// ETag without quotes.
    pub etag: String,
    /// Length of the content.
    pub content_bytes: u64,
    /// When it was stored.
    #[serde(with = "crate::wire::plain")]
    pub modified: UnixMillis,
    /// Stored checksums.
    pub checksums: Vec<Checksum>,
}

/// A page of a listing. `Row` is one of the `Listed*` types.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<Row> {
    /// Rows in key order.
    pub rows: Vec<Row>,
    /// Rolled-up prefixes, in order.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts (`after`, `after_version`), none at the end.
    pub next: Option<(String, Option<String>)>,
}

impl<Row> std::fmt::Debug for Page<Row> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Page({} rows, {} prefixes)",
            self.rows.len(),
            self.common_prefixes.len()
        )
    }
}

/// What came of a stored object or part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Version made; none for parts.
    #[serde(with = "crate::wire::plain")]
    pub version: Option<VersionId>,
    /// Whether versions are shown to clients of this bucket.
    pub versioned: bool,
    /// ETag without quotes.
    pub etag: String,
    /// Checksums kept.
    pub checksums: Vec<Checksum>,
    /// Proof that the version is recorded, as text; none for parts.
    pub receipt: Option<String>,
}

/// An answer of the engine; which one belongs to which request is said there.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The signature is right.
    SignedIn {
        /// In whose name questions may now be asked.
        session: SessionId,
        /// Whose key signed it; nothing for the vault's own.
        owner: String,
    },
    /// Done.
    Done,
    /// All buckets.
    Buckets(Vec<BucketInfo>),
    /// One bucket.
    Bucket(BucketInfo),
    /// An upload stream is open.
    Stream(StreamId),
    /// Durable.
    Stored(Stored),
    /// A download stream is open.
    Opened {
        /// The stream.
        stream: StreamId,
        /// The version.
        info: Box<ObjectInfo>,
        /// First byte and number of bytes that will follow.
        range: (u64, u64),
    },
    /// A piece of content, in order, in the slab beside the answer.
    Data,
    /// No more content.
    End,
    /// A version.
    Object(Box<ObjectInfo>),
    /// A DELETE was done.
    Deleted {
        /// A marker was made or removed.
        marker: bool,
        /// The marker made, or the version named.
        #[serde(with = "crate::wire::plain")]
        version: Option<VersionId>,
        /// Whether versions are shown to clients of this bucket.
        versioned: bool,
    },
    /// Tags were replaced.
    Tagged {
        /// Those of this version.
        #[serde(with = "crate::wire::plain")]
        version: VersionId,
        /// Whether versions are shown to clients of this bucket.
        versioned: bool,
    },
    /// Current objects.
    Listing(Page<ListedObject>),
    /// Versions.
    VersionListing(Page<ListedVersion>),
    /// An upload began.
    Upload(#[serde(with = "crate::wire::plain")] UploadId),
    /// The checksum an open upload announced, and whether COMPOSITE.
    UploadInfo(Option<(ChecksumKind, bool)>),
    /// How much client data fits.
    Capacity {
        /// Bytes in all.
        total_bytes: u64,
        /// Bytes still free; 0 where new data is refused.
        free_bytes: u64,
    },
    /// Parts; the flag says whether more follow.
    Parts(Vec<ListedPart>, bool),
    /// Open uploads.
    Uploads(Page<ListedUpload>),
}
