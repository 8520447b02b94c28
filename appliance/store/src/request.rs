//! What the engine can be asked, and what it answers.
//!
//! Every mutating answer is given after its record and all earlier ones are flushed on the quorum and
//! the index has applied them. Names are PHI: no `Debug` here prints one.

mod content;
mod listing;
mod people;

use std::fmt;
use std::sync::Arc;

use stele_format::record::Scope;
use stele_format::units::{BucketId, LogIndex, ObjectId, UnixMillis, UploadId, VersionId};

use crate::policy::approval::Accepted;
use crate::policy::{
    Asker, BucketKind, LifecycleRule, Mode, OwnerId, Period, PrefixRule, Retention,
};

pub use self::content::{Piece, Whole};
pub use self::listing::{
    Expiring, ListWish, ListedObject, ListedPart, ListedUpload, ListedVersion, Page,
    ReleasedVersion, Walked,
};
pub use self::people::{CensusPage, CensusRow, Effect, OpeningView, PeopleView, Tombstoned};
pub use crate::refusal::{DamagePlace, ReadOnlyReason, Refusal};

/// Ties an answer to its question; chosen by the caller, unique while open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Names an open upload or download inside the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A bucket name and an object key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Bucket name.
    pub bucket: String,
    /// Object key, at most `KEY_BYTES_MAX` bytes.
    pub key: Vec<u8>,
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectName(..)")
    }
}

/// The lock a client asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockWish {
    /// Mode and date.
    pub retention: Option<Retention>,
    /// Legal hold given explicitly.
    pub hold: Option<bool>,
}

/// A verified checksum: algorithm number as in the manifest format, raw bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    /// 1 CRC-32, 2 CRC-32C, 3 SHA-1, 4 SHA-256, 5 CRC-64/NVME.
    pub algorithm: u8,
    /// Over part checksums instead of the content.
    pub composite: bool,
    /// The value.
    pub value: Vec<u8>,
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({})", self.algorithm)
    }
}

/// Client metadata kept with a version.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Content headers, lower-case name and value.
    pub headers: Vec<(String, String)>,
    /// User metadata.
    pub user: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Storage class.
    pub storage_class: String,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metadata(..)")
    }
}

/// A byte range as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeWish {
    /// First byte and last byte, included.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Suffix(u64),
}

/// Conditions on the current version, decided at sequencing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// ETag that must be current, or `*`.
    pub if_match: Option<String>,
    /// ETag that must not be current, or `*`.
    pub if_none_match: Option<String>,
}

/// What an upload becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A version of an object.
    Object {
        /// Its metadata.
        metadata: Metadata,
        /// Its lock.
        lock: LockWish,
    },
    /// A part of a multipart upload.
    Part {
        /// The upload.
        upload: UploadId,
        /// 1 to 10,000.
        number: u16,
    },
}

/// A part as the completing client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    /// Part number.
    pub number: u16,
    /// ETag.
    pub etag: String,
    /// Checksums repeated by the client.
    pub checksums: Vec<Checksum>,
}

/// A question and who asks it.
#[derive(Debug)]
pub struct Request {
    /// Ties the answer.
    pub id: RequestId,
    /// Who asks; what they may do is decided where the question is.
    pub asker: Asker,
    /// The question.
    pub command: Command,
}

/// What can be asked. The answer's kind stands behind each.
#[derive(Debug)]
pub enum Command {
    /// `Buckets`
    ListBuckets,
    /// `Bucket`
    CreateBucket {
        /// Name.
        name: String,
        /// Object Lock asked for at creation.
        lock: bool,
    },
    /// `Bucket`: one with Object Lock that has this default retention from its first version on; asked by the
    /// vault alone.
    CreateBucketIn {
        /// Name.
        name: String,
        /// Its default retention.
        default: (Mode, Period),
        /// What keys with a prefix get instead.
        rules: Vec<PrefixRule>,
    },
    /// `Bucket`
    HeadBucket {
        /// Name.
        name: String,
    },
    /// `Done`
    DeleteBucket {
        /// Name.
        name: String,
    },
    /// `Done`
    SetDefaultRetention {
        /// Bucket.
        bucket: String,
        /// New default; none clears.
        default: Option<(Mode, Period)>,
    },
    /// `Done`: the default retention of keys with a prefix; asked by the vault alone.
    SetRule {
        /// Bucket.
        bucket: String,
        /// Prefix.
        prefix: Vec<u8>,
        /// Days; none removes the rule.
        days: Option<u32>,
    },
    /// `Done`: the most days of retention that clients may set; asked by the vault alone.
    SetBound {
        /// Bucket.
        bucket: String,
        /// Days; none takes the bound away.
        days_max: Option<u32>,
    },
    /// `Done`: when unfinished uploads are given up, and which versions go by themselves.
    SetLifecycle {
        /// Bucket.
        bucket: String,
        /// All its rules from now on.
        rules: Vec<LifecycleRule>,
    },
    /// `Expiring`: some of a bucket's versions that a lifecycle rule has go; asked by the vault alone.
    ListExpiring {
        /// Bucket.
        bucket: String,
        /// How far it was looked through.
        after: Option<Walked>,
        /// The day of compliance time on which nothing more is to be found: the answer then is empty.
        done: Option<u64>,
    },
    /// `Deleted`: has a version go out of S3 where a lifecycle rule of its bucket says so by now; asked by the vault
    /// alone.
    Expire {
        /// Object.
        name: ObjectName,
        /// Version or marker.
        version: VersionId,
        /// The next newer one; none of what is current.
        next: Option<VersionId>,
    },
    /// `Stream`
    OpenPut {
        /// Object.
        name: ObjectName,
        /// Object or part.
        purpose: Purpose,
        /// Declared length.
        content_bytes: Option<u64>,
    },
    /// `Stored` when durable: as `OpenPut`, `PutData` and `CommitPut` one after the other, for content that is all at hand
    Put {
        /// Object.
        name: ObjectName,
        /// Object or part.
        purpose: Purpose,
        /// Its content, and what was promised of it.
        whole: Box<Whole>,
    },
    /// `Done` when taken
    PutData {
        /// Stream.
        stream: StreamId,
        /// Plaintext; every piece but the last is `CHUNK_PLAIN_BYTES_MAX` long.
        piece: Piece,
    },
    /// `Stored` when durable
    CommitPut {
        /// Stream.
        stream: StreamId,
        /// MD5 of the content if computed.
        md5: Option<[u8; 16]>,
        /// Checksums to keep.
        checksums: Vec<Checksum>,
        /// Conditions.
        conditions: Conditions,
    },
    /// `Done`
    AbortPut {
        /// Stream.
        stream: StreamId,
    },
    /// `Opened`
    OpenGet {
        /// Object.
        name: ObjectName,
        /// Version; none for the current one.
        version: Option<VersionId>,
        /// Bytes.
        range: Option<RangeWish>,
    },
    /// `Data` or `End`
    NextData {
        /// Stream.
        stream: StreamId,
    },
    /// `Done`
    CloseGet {
        /// Stream.
        stream: StreamId,
    },
    /// `Object`
    Head {
        /// Object.
        name: ObjectName,
        /// Version; none for the current one.
        version: Option<VersionId>,
    },
    /// `Deleted`
    Delete {
        /// Object.
        name: ObjectName,
        /// Version; none adds a marker.
        version: Option<VersionId>,
        /// Governance bypass asked for.
        bypass: bool,
    },
    /// `Done`: S3 shows a released version again; asked by the vault alone.
    Unrelease {
        /// Object.
        name: ObjectName,
        /// Version.
        version: VersionId,
    },
    /// `ReleasedListing`; asked by the vault alone.
    ListReleased(ListWish),
    /// `Listing`
    List(ListWish),
    /// `VersionListing`
    ListVersions(ListWish),
    /// `Done`
    SetRetention {
        /// Object.
        name: ObjectName,
        /// Version; none for the current one.
        version: Option<VersionId>,
        /// New retention; none removes.
        retention: Option<Retention>,
        /// Governance bypass asked for.
        bypass: bool,
    },
    /// `Done`
    SetHold {
        /// Object.
        name: ObjectName,
        /// Version; none for the current one.
        version: Option<VersionId>,
        /// ON or OFF.
        on: bool,
    },
    /// `Tagged`
    SetTags {
        /// Object.
        name: ObjectName,
        /// Version; none for the current one.
        version: Option<VersionId>,
        /// All its tags from now on.
        tags: Vec<(String, String)>,
    },
    /// `Upload`
    CreateUpload {
        /// Object.
        name: ObjectName,
        /// Metadata of the object to be.
        metadata: Metadata,
        /// Its lock.
        lock: LockWish,
        /// The checksum announced for the object: algorithm number, and whether COMPOSITE.
        announced: Option<(u8, bool)>,
    },
    /// `UploadInfo`
    HeadUpload {
        /// Object.
        name: ObjectName,
        /// Upload.
        upload: UploadId,
    },
    /// `Parts`
    ListParts {
        /// Object.
        name: ObjectName,
        /// Upload.
        upload: UploadId,
        /// After this number.
        after: u16,
        /// At most this many.
        parts_max: u32,
    },
    /// `Uploads`
    ListUploads(ListWish),
    /// `Stored` when durable
    CompleteUpload {
        /// Object.
        name: ObjectName,
        /// Upload.
        upload: UploadId,
        /// Parts in order.
        parts: Vec<NamedPart>,
        /// Checksums of the object.
        checksums: Vec<Checksum>,
        /// Conditions.
        conditions: Conditions,
    },
    /// `Done`
    AbortUpload {
        /// Object.
        name: ObjectName,
        /// Upload.
        upload: UploadId,
    },
    /// `OldUploads`: some that are to be given up; asked by the vault alone.
    ListOldUploads {
        /// Only after this one.
        after: Option<UploadId>,
    },
    /// `Capacity`
    Capacity,
    /// `Done` when durable: a configuration value under the box key.
    PutConfig {
        /// Name, not secret.
        name: String,
        /// Value, secret.
        value: Vec<u8>,
    },
    /// `Config`
    GetConfig {
        /// Name.
        name: String,
    },
    /// `Census`: versions of all buckets, without their names.
    Census {
        /// Where the page before ended.
        after: Option<Vec<u8>>,
    },
    /// `Recorded`: a piece of a list of versions.
    PutScope(Scope),
    /// `Stated`: what somebody signed, if the state of the vault allows it.
    State {
        /// The text.
        text: String,
        /// Signatures, without armour.
        signatures: Vec<Vec<u8>>,
        /// Free text that goes with it, sealed.
        note: Option<Vec<u8>>,
    },
    /// `Recorded`: a checkpoint that witnesses cosigned.
    Cosign {
        /// The signed note.
        note: String,
    },
    /// `People`
    People,
    /// `Note`: what was sealed beside a statement.
    Note {
        /// The statement's record.
        statement: LogIndex,
    },
    /// `Effect`: what the log shows of a request's effect.
    Effect {
        /// The request.
        request: LogIndex,
    },
    /// `Held`: a piece of a hold's list is put under hold.
    PlaceHolds {
        /// The hold's record.
        statement: LogIndex,
        /// Number of the piece.
        ordinal: u32,
    },
    /// `Held`: a piece of the holds that an approved request releases is lifted.
    ReleaseHolds {
        /// The request.
        request: LogIndex,
        /// Number of the piece.
        ordinal: u32,
    },
    /// `Rehomed`: versions of the month that an approved request cuts, and that are not on its list, get
    /// later leaves; some at a time.
    Rehome {
        /// The request.
        request: LogIndex,
        /// Where the part before ended.
        after: Option<Vec<u8>>,
    },
    /// `Recorded`: compliance time is set forward, in a vault whose clock is simulated.
    AdvanceClock {
        /// By how much, milliseconds.
        by_ms: u64,
    },
    /// `Tombstoned`: a piece of an approved request's list is destroyed.
    Tombstone {
        /// The request.
        request: LogIndex,
        /// Number of the piece.
        ordinal: u32,
    },
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// Id.
    pub id: BucketId,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: BucketKind,
    /// Creation.
    pub created: UnixMillis,
    /// Default retention.
    pub default: Option<(Mode, Period)>,
    /// Default retention by prefix.
    pub rules: Arc<Vec<PrefixRule>>,
    /// Its lifecycle rules.
    pub lifecycle: Arc<Vec<LifecycleRule>>,
    /// Most days of retention that a client may set.
    pub max_days: Option<u32>,
    /// Whose it is.
    pub owner: OwnerId,
}

/// A version, as HEAD tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Object.
    pub object: ObjectId,
    /// Version.
    pub version: VersionId,
    /// Whether its bucket shows versions.
    pub versioned: bool,
    /// Content length.
    pub content_bytes: u64,
    /// ETag.
    pub etag: String,
    /// Stored when.
    pub modified: UnixMillis,
    /// Metadata.
    pub metadata: Metadata,
    /// Checksums.
    pub checksums: Vec<Checksum>,
    /// Retention.
    pub retention: Option<Retention>,
    /// Hold; none if never set.
    pub hold: Option<bool>,
    /// Sizes of its parts in order, bytes; none if it did not come by multipart.
    pub part_sizes: Vec<u64>,
    /// Whether its bucket has Object Lock.
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

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Version; none for a part.
    pub version: Option<VersionId>,
    /// Whether its bucket shows versions.
    pub versioned: bool,
    /// ETag.
    pub etag: String,
    /// Checksums kept.
    pub checksums: Vec<Checksum>,
    /// The record that made it.
    pub log_index: LogIndex,
    /// Proof that the version's record is in the log: a `c2sp.org/tlog-proof@v1`. None for a part, and
    /// where none could be made.
    pub receipt: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// Done.
    Done,
    /// All buckets.
    Buckets(Vec<BucketInfo>),
    /// A bucket.
    Bucket(BucketInfo),
    /// An upload is open.
    Stream(StreamId),
    /// Durable.
    Stored(Stored),
    /// A download is open.
    Opened {
        /// Stream.
        stream: StreamId,
        /// Version.
        info: Box<ObjectInfo>,
        /// First byte and count.
        range: (u64, u64),
    },
    /// A piece of content.
    Data(Piece),
    /// No more.
    End,
    /// A version.
    Object(Box<ObjectInfo>),
    /// DELETE was done.
    Deleted {
        /// A marker was made or removed.
        marker: bool,
        /// The marker made or the version named.
        version: Option<VersionId>,
        /// Whether the bucket shows versions.
        versioned: bool,
    },
    /// Tags were replaced.
    Tagged {
        /// Those of this version.
        version: VersionId,
        /// Whether the bucket shows versions.
        versioned: bool,
    },
    /// Objects.
    Listing(Page<ListedObject>),
    /// Versions.
    VersionListing(Page<ListedVersion>),
    /// Released versions.
    ReleasedListing(Page<ReleasedVersion>),
    /// An upload began.
    Upload(UploadId),
    /// The checksum an open upload announced for its object: algorithm number, and whether COMPOSITE.
    UploadInfo(Option<(u8, bool)>),
    /// Parts, and whether more follow.
    Parts(Vec<ListedPart>, bool),
    /// Uploads.
    Uploads(Page<ListedUpload>),
    /// Versions that go by a lifecycle rule.
    Expiring {
        /// Which.
        due: Vec<Expiring>,
        /// How many more would, were they not locked or held.
        locked: u64,
        /// The day of compliance time they were judged on, counted from 1970.
        day: u64,
        /// From where to ask on; none at the end of the bucket.
        next: Option<Walked>,
    },
    /// Uploads that are to be given up.
    OldUploads {
        /// Which.
        uploads: Vec<(ObjectName, UploadId)>,
        /// After which one to ask again; none if these were the last.
        next: Option<UploadId>,
    },
    /// Bytes of client data that the pool can hold in all, and that still fit.
    Capacity {
        /// In all.
        total_bytes: u64,
        /// Still free; 0 where new data is refused.
        free_bytes: u64,
    },
    /// A configuration value.
    Config(Option<Vec<u8>>),
    /// Versions.
    Census(CensusPage),
    /// The record is durable.
    Recorded(LogIndex),
    /// The statement is durable and counts.
    Stated {
        /// Its record.
        index: LogIndex,
        /// What it does.
        accepted: Option<Accepted>,
    },
    /// People, requests, holds.
    People(Box<PeopleView>),
    /// What was sealed beside a statement, if anything was.
    Note(Option<Vec<u8>>),
    /// What the log shows of a request's effect.
    Effect(Box<Effect>),
    /// Holds of a piece of a list were set or lifted.
    Held {
        /// Versions that changed.
        versions: u32,
        /// Whether it was the last piece.
        last: bool,
    },
    /// Some manifests have later leaves.
    Rehomed {
        /// How many.
        versions: u32,
        /// Where to go on; none at the end.
        resume: Option<Vec<u8>>,
    },
    /// Versions are destroyed.
    Tombstoned(Tombstoned),
}
