//! Documents that exist only sealed: manifest, bucket, configuration.
//!
//! Invariants: they hold names and keys, so nothing of them shows in debug output, chunk keys are
//! wiped when dropped, and an encoded document is handed out as memory that is wiped too. Optional
//! keys are absent when empty; exactly one encoding is accepted.

mod cbor;

use core::fmt;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

pub use self::cbor::{decode_entry_list, encode_entry_list};

use crate::digest::Digest;
use crate::record::{EntryKind, LockMode};
use crate::units::{ByteCount, UnixMillis};

/// What a manifest describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManifestKind {
    /// An object version.
    #[default]
    Object,
    /// A delete marker.
    DeleteMarker,
    /// A multipart upload.
    Upload,
    /// A part.
    Part,
    /// A sealed list.
    List,
    /// Tags that replace those of a version.
    Tags,
}

/// Checksum algorithm, as S3 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC32.
    Crc32,
    /// CRC32C.
    Crc32c,
    /// SHA1.
    Sha1,
    /// SHA256.
    Sha256,
    /// CRC64NVME.
    Crc64Nvme,
}

impl ChecksumAlgorithm {
    /// Length of its value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Crc64Nvme => 8,
        }
    }
}

/// What a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumType {
    /// The whole object.
    FullObject,
    /// The checksums of the parts.
    Composite,
}

/// A checksum a client gave or asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// What it covers.
    pub coverage: ChecksumType,
    /// Its value.
    pub value: Vec<u8>,
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({:?}, {:?}, ..)", self.algorithm, self.coverage)
    }
}

/// Key of one chunk; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkKey(Zeroizing<[u8; 32]>);

impl ChunkKey {
    /// Wraps a key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The key.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkKey(..)")
    }
}

/// A chunk or sealed list, with the key that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// `Chunk` or `SealedList`.
    pub kind: EntryKind,
    /// Digest of the stored bytes.
    pub digest: Digest,
    /// Their length, tag included.
    pub stored_bytes: u32,
    /// Bytes of the object behind it, padding not counted.
    pub plain_bytes: ByteCount,
    /// Opens it.
    pub key: ChunkKey,
    /// Chunks behind it: 1 for a chunk.
    pub count: u32,
}

/// Lock an upload asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockWishes {
    /// Lock mode.
    pub mode: LockMode,
    /// End of retention; 0 when there is none.
    pub until: UnixMillis,
    /// Legal hold.
    pub hold: bool,
}

/// Everything about an object version, upload or part that only its key may tell.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What it describes.
    pub kind: ManifestKind,
    /// Object name, as the client gave it.
    pub name: Vec<u8>,
    /// Bytes of the object.
    pub content_bytes: ByteCount,
    /// ETag without quotes.
    pub etag: String,
    /// `content-type`, `cache-control` and their like, lower case.
    pub content_headers: BTreeMap<String, String>,
    /// User metadata in the client's order.
    pub user_metadata: Vec<(String, String)>,
    /// Checksums.
    pub checksums: Vec<Checksum>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Chunks in order, or sealed lists of them.
    pub entries: Vec<ManifestEntry>,
    /// Lock an upload asked for.
    pub lock_wishes: Option<LockWishes>,
    /// Sizes of the parts of an object made by multipart upload.
    pub part_sizes: Vec<ByteCount>,
    /// Storage class the client named.
    pub storage_class: String,
    /// Part number, from 1.
    pub part_number: Option<u16>,
    /// MD5 of a part, when known.
    pub md5: Option<[u8; 16]>,
    /// Checksum an upload announced for its object.
    pub announced: Option<(ChecksumAlgorithm, ChecksumType)>,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Manifest({:?}, {} entries, ..)",
            self.kind,
            self.entries.len()
        )
    }
}

/// How a bucket protects what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketKind {
    /// The bucket's default retention applies.
    #[default]
    DefaultLocked,
    /// Clients set retention per object.
    ClientLocked,
    /// Looks unversioned.
    Plain,
}

/// What a BUCKET record's attachment says.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BucketBody {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: BucketKind,
    /// Default lock mode.
    pub default_mode: LockMode,
    /// Default retention in days, or 0.
    pub default_days: u32,
    /// Default retention in years, or 0.
    pub default_years: u32,
    /// When it was made.
    pub created_ms: UnixMillis,
    /// Owner; empty for the vault's own.
    pub owner: String,
    /// Default retention by prefix, in the order of the prefixes.
    pub rules: Vec<BucketRule>,
    /// Lifecycle rules, in the order in which they were set.
    pub lifecycle: Vec<LifecycleRule>,
    /// Most days of retention that a client may set, or 0 for no bound.
    pub max_days: u32,
}

/// The default retention of new versions whose name begins with a prefix.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BucketRule {
    /// The prefix.
    pub prefix: Vec<u8>,
    /// Days, at least 1.
    pub days: u32,
}

impl fmt::Debug for BucketRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketRule(.., {} days)", self.days)
    }
}

/// When unfinished uploads are given up and versions go out of S3 by themselves, for names with a prefix. At least
/// one of the three is there.
#[derive(Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// What the client calls it; each once.
    pub id: String,
    /// How the client said what it is for.
    pub form: FilterForm,
    /// What names begin with; empty where the form has none.
    pub prefix: Vec<u8>,
    /// Content bytes a version has at least, or 0 where the form has no such size.
    pub bytes_min: u64,
    /// Content bytes a version has less than, or 0 where the form has no such size.
    pub bytes_below: u64,
    /// Whether it is kept but does not count.
    pub disabled: bool,
    /// Days after which an unfinished upload is given up, at least 1.
    pub upload_days: Option<u32>,
    /// When the current version goes.
    pub current: Option<CurrentExpiry>,
    /// When versions go that are not current.
    pub noncurrent: Option<NoncurrentExpiry>,
}

/// How a client said what a rule is for. Clients compare what they get back with what they gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterForm {
    /// A prefix beside a filter's place, as it was before there were filters.
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

impl FilterForm {
    /// Whether it has a prefix.
    #[must_use]
    pub const fn has_prefix(self) -> bool {
        matches!(self, Self::Prefix | Self::FilterPrefix | Self::AndPrefix)
    }

    /// How many sizes it has, at least and at most.
    #[must_use]
    pub const fn sizes(self) -> (usize, usize) {
        match self {
            Self::Prefix | Self::Whole | Self::FilterPrefix => (0, 0),
            Self::FilterSize => (1, 1),
            Self::AndPrefix | Self::AndSizes => (0, 2),
        }
    }
}

impl LifecycleRule {
    /// Whether its form has what it is for, and it does something.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let sizes = usize::from(self.bytes_min != 0) + usize::from(self.bytes_below != 0);
        let (least, most) = self.form.sizes();
        let acts =
            self.upload_days.is_some() || self.current.is_some() || self.noncurrent.is_some();
        acts && sizes >= least
            && sizes <= most
            && (self.prefix.is_empty() || self.form.has_prefix())
    }
}

/// When a current version goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurrentExpiry {
    /// So many days after it was stored, at least 1.
    Days(u32),
    /// From this moment on.
    From(UnixMillis),
    /// Where it is a delete marker and its name has no other version.
    LoneMarker,
}

/// When versions go that are not current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoncurrentExpiry {
    /// So many days after the next one was stored, at least 1.
    pub days: u32,
    /// Of a name's versions that are not current so many stay, the newest.
    pub kept: u32,
}

impl fmt::Debug for LifecycleRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleRule")
            .field("upload_days", &self.upload_days)
            .field("current", &self.current)
            .field("noncurrent", &self.noncurrent)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BucketBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketBody({:?}, ..)", self.kind)
    }
}

/// What a CONFIG record's attachment says; the value may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigBody {
    /// Which setting.
    pub name: String,
    /// Its value.
    pub value: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ConfigBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigBody({}, ..)", self.name)
    }
}
