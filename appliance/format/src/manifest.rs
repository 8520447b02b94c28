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
    /// When unfinished uploads are given up, by prefix, in the order in which they were set.
    pub uploads: Vec<UploadRule>,
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

/// After how many days an unfinished multipart upload of a name with a prefix is given up.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UploadRule {
    /// What the client calls it; each once.
    pub id: String,
    /// The prefix; may be empty.
    pub prefix: Vec<u8>,
    /// Days, at least 1.
    pub days: u32,
    /// Whether it is kept but does not count.
    pub disabled: bool,
}

impl fmt::Debug for UploadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadRule(.., {} days)", self.days)
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
