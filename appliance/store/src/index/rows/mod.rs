//! Typed rows, their keys and their bytes.
//!
//! A key is plain bytes whose order is the order of listings; a value begins with [`ROW_VERSION`].
//! Both live only inside encrypted pages and can change with any release: another version means
//! that the index is rebuilt. Rows hold object names: no `Debug` prints one.

mod bucket;
mod destruction;
mod leaves;
mod upload;

pub use bucket::BucketRow;
pub use destruction::{
    CosignedRow, DestroyedRow, EnactedRow, ForcedRow, ScopeRow, StatementRow, TombstoneRow,
};
pub use leaves::{LeafRun, Leaves};
pub use upload::{PartRow, UploadNameRow, UploadRow};

use std::fmt;

use stele_format::digest::Digest;
use stele_format::record::SegmentSpan;
use stele_format::units::{
    BucketId, ByteCount, ByteOffset, KeyIndex, ObjectId, SegmentId, UnixMillis, VersionId,
};

use crate::index::codec::{Malformed, Reader, Writer};
use crate::policy::{Mode, Retention};

/// First byte of every encoded row.
pub const ROW_VERSION: u8 = 5;

/// The tables of the index. The discriminants enter the multiset hash and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Bucket id to [`BucketRow`].
    Buckets = 1,
    /// Bucket id and object name to [`NameRow`].
    Names = 2,
    /// Object id to [`ObjectRow`].
    Objects = 3,
    /// Object id and inverted ordinal to [`VersionRow`], newest first.
    Versions = 4,
    /// Upload id to [`UploadRow`].
    Uploads = 5,
    /// Bucket id, escaped object name and upload id to [`UploadNameRow`].
    UploadNames = 6,
    /// Upload id and part number to [`PartRow`].
    Parts = 7,
    /// Digest of a stored chunk to [`ChunkRow`].
    Chunks = 8,
    /// Configuration name to [`ConfigRow`].
    Configs = 9,
    /// Log index to [`StatementRow`].
    Statements = 10,
    /// Digest of a list of versions and number of the piece to [`ScopeRow`].
    Scopes = 11,
    /// Log index of the request and number of the piece to [`TombstoneRow`].
    Tombstones = 12,
    /// Log index of the request to [`DestroyedRow`].
    Destroyed = 13,
    /// Log index of the request to [`EnactedRow`].
    Enacted = 14,
    /// Log index to [`CosignedRow`].
    Cosigned = 15,
    /// Log index to [`ForcedRow`].
    Openings = 16,
}

impl Table {
    /// Number of tables.
    pub const COUNT: usize = 16;

    /// All tables, in the order of their numbers.
    pub const ALL: [Table; Table::COUNT] = [
        Table::Buckets,
        Table::Names,
        Table::Objects,
        Table::Versions,
        Table::Uploads,
        Table::UploadNames,
        Table::Parts,
        Table::Chunks,
        Table::Configs,
        Table::Statements,
        Table::Scopes,
        Table::Tombstones,
        Table::Destroyed,
        Table::Enacted,
        Table::Cosigned,
        Table::Openings,
    ];

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Table::Buckets => 1,
            Table::Names => 2,
            Table::Objects => 3,
            Table::Versions => 4,
            Table::Uploads => 5,
            Table::UploadNames => 6,
            Table::Parts => 7,
            Table::Chunks => 8,
            Table::Configs => 9,
            Table::Statements => 10,
            Table::Scopes => 11,
            Table::Tombstones => 12,
            Table::Destroyed => 13,
            Table::Enacted => 14,
            Table::Cosigned => 15,
            Table::Openings => 16,
        }
    }

    /// Its place in [`Table::ALL`].
    #[must_use]
    pub fn position(self) -> usize {
        usize::from(self.code()) - 1
    }

    /// Whether its rows count in the row count and the multiset hash. Chunk rows do not: they say
    /// where bytes lie, not what the vault promises, and repair may place a chunk elsewhere.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        !matches!(self, Table::Chunks)
    }
}

/// A stored row does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of table {table:?} is malformed")]
pub struct RowError {
    /// The table.
    pub table: Table,
}

/// Where a journal record lies, and the digest its header must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordLocation {
    /// Journal segment.
    pub segment: SegmentId,
    /// Of the record header inside the segment.
    pub offset: ByteOffset,
    /// Header, clear body and attachments together.
    pub bytes: u32,
    /// Chain digest of the header's 192 bytes.
    pub header_digest: Digest,
}

impl RecordLocation {
    fn write(&self, out: &mut Writer) {
        out.u64(self.segment.get())
            .u64(self.offset.get())
            .u32(self.bytes);
        out.digest(&self.header_digest);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            segment: SegmentId::new(from.u64()?),
            offset: ByteOffset::new(from.u64()?),
            bytes: from.u32()?,
            header_digest: from.digest()?,
        })
    }
}

/// A row that knows its table and its bytes.
pub trait TableRow: Sized {
    /// The table it belongs to.
    const TABLE: Table;

    /// Writes everything after the version byte.
    fn write(&self, out: &mut Writer);

    /// Reads what [`TableRow::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`].
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// The stored bytes.
    #[must_use]
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(ROW_VERSION);
        self.write(&mut out);
        out.finish()
    }

    /// The row behind stored bytes.
    ///
    /// # Errors
    /// [`RowError`] when the bytes are not a row of this table.
    fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let decode = || {
            let mut from = Reader::new(bytes);
            if from.u8()? != ROW_VERSION {
                return Err(Malformed);
            }
            let row = Self::read(&mut from)?;
            from.finish()?;
            Ok(row)
        };
        decode().map_err(|Malformed| RowError { table: Self::TABLE })
    }
}

/// What a listing shows of the current version of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The version.
    pub version: VersionId,
    /// Whether it is a delete marker, which hides the name.
    pub marker: bool,
    /// Plaintext length.
    pub content_bytes: ByteCount,
    /// ETag without quotes.
    pub etag: String,
    /// When it was stored.
    pub modified: UnixMillis,
}

impl Current {
    /// What a listing shows of `row`.
    #[must_use]
    pub fn of(row: &VersionRow) -> Self {
        Self {
            version: row.version,
            marker: row.marker,
            content_bytes: row.content_bytes,
            etag: row.etag.clone(),
            modified: row.modified,
        }
    }
}

/// A name in a bucket. It stays when its last version is released, so that a later version of the
/// same name belongs to the same object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRow {
    /// The object, one per bucket and name for ever.
    pub object: ObjectId,
    /// Its newest version that is not released; a delete marker counts.
    pub current: Option<Current>,
}

impl TableRow for NameRow {
    const TABLE: Table = Table::Names;

    fn write(&self, out: &mut Writer) {
        out.raw(self.object.as_bytes());
        match &self.current {
            None => out.u8(0),
            Some(current) => out
                .u8(1)
                .raw(current.version.as_bytes())
                .u8(u8::from(current.marker))
                .u64(current.content_bytes.get())
                .bytes(current.etag.as_bytes())
                .u64(current.modified.get()),
        };
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            object: ObjectId::from_bytes(from.array()?),
            current: match from.u8()? {
                0 => None,
                1 => Some(Current {
                    version: VersionId::from_bytes(from.array()?),
                    marker: read_bool(from)?,
                    content_bytes: ByteCount::new(from.u64()?),
                    etag: from.text()?,
                    modified: UnixMillis::new(from.u64()?),
                }),
                _ => return Err(Malformed),
            },
        })
    }
}

/// The way back from an object to its name.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its bucket.
    pub bucket: BucketId,
    /// Its name.
    pub name: Vec<u8>,
}

impl fmt::Debug for ObjectRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectRow")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl TableRow for ObjectRow {
    const TABLE: Table = Table::Objects;

    fn write(&self, out: &mut Writer) {
        out.raw(self.bucket.as_bytes()).bytes(&self.name);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            bucket: BucketId::from_bytes(from.array()?),
            name: from.bytes()?.to_vec(),
        })
    }
}

/// How a version went out of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// Reason number of the release record.
    pub reason: u8,
    /// Wall time of the release record.
    pub at: UnixMillis,
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its id, which holds the number of the record that made it.
    pub version: VersionId,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// Why and when it went out of S3; none while it is there.
    pub released: Option<Released>,
    /// Plaintext length.
    pub content_bytes: ByteCount,
    /// ETag without quotes.
    pub etag: String,
    /// When it was stored, by the wall clock.
    pub modified: UnixMillis,
    /// When it was stored, by the later of wall and compliance clock: neither makes it older.
    pub stored: UnixMillis,
    /// Its retention as it stands now.
    pub retention: Option<Retention>,
    /// Its legal hold; none if never set.
    pub hold: Option<bool>,
    /// When its hold last went, in compliance time.
    pub unheld: Option<UnixMillis>,
    /// The leaf that opens its manifest.
    pub key_index: KeyIndex,
    /// The record that holds its manifest.
    pub location: RecordLocation,
    /// Parts it was made of; 0 if it was stored in one piece.
    pub parts: u32,
    /// The record that holds its tags, if they were changed after it was stored.
    pub tags: Option<RecordLocation>,
    /// The record that holds its manifest, if that was sealed again under a later leaf.
    pub rehomed: Option<RecordLocation>,
    /// Further leaves that open something of it: of the upload and the parts it was made of, and those its
    /// manifest was sealed under before.
    pub other_leaves: Leaves,
    /// Nothing opens its manifest: in replay, of a version that a later record destroys or seals again.
    /// Its name, length and ETag are unknown.
    pub closed: bool,
    /// Data segments in which its content lies; none of a body that rides in the journal.
    pub span: Option<SegmentSpan>,
}

impl VersionRow {
    /// Every leaf that opens something of it.
    pub fn leaves(&self) -> impl Iterator<Item = KeyIndex> + '_ {
        std::iter::once(self.key_index).chain(self.other_leaves.iter())
    }

    /// Its hold is switched at a moment of compliance time.
    pub fn switch_hold(&mut self, on: bool, at: UnixMillis) {
        if self.hold == Some(true) && !on {
            self.unheld = Some(at);
        }
        self.hold = Some(on);
    }

    /// The record whose first attachment is its manifest.
    #[must_use]
    pub fn manifest_location(&self) -> RecordLocation {
        self.rehomed.unwrap_or(self.location)
    }

    /// Whether S3 may show it.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.released.is_none() && !self.closed
    }
}

impl TableRow for VersionRow {
    const TABLE: Table = Table::Versions;

    fn write(&self, out: &mut Writer) {
        out.raw(self.version.as_bytes()).u8(u8::from(self.marker));
        match self.released {
            None => out.u8(0),
            Some(Released { reason, at }) => out.u8(1).u8(reason).u64(at.get()),
        };
        out.u64(self.content_bytes.get())
            .bytes(self.etag.as_bytes())
            .u64(self.modified.get())
            .u64(self.stored.get());
        write_retention(out, self.retention);
        write_hold(out, self.hold);
        match self.unheld {
            None => out.u8(0),
            Some(at) => out.u8(1).u64(at.get()),
        };
        out.u64(self.key_index.get());
        self.location.write(out);
        out.u32(self.parts);
        write_location(out, self.tags.as_ref());
        write_location(out, self.rehomed.as_ref());
        self.other_leaves.write(out);
        out.u8(u8::from(self.closed));
        write_span(out, self.span);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            version: VersionId::from_bytes(from.array()?),
            marker: read_bool(from)?,
            released: match from.u8()? {
                0 => None,
                1 => Some(Released {
                    reason: from.u8()?,
                    at: UnixMillis::new(from.u64()?),
                }),
                _ => return Err(Malformed),
            },
            content_bytes: ByteCount::new(from.u64()?),
            etag: from.text()?,
            modified: UnixMillis::new(from.u64()?),
            stored: UnixMillis::new(from.u64()?),
            retention: read_retention(from)?,
            hold: read_hold(from)?,
            unheld: match from.u8()? {
                0 => None,
                1 => Some(UnixMillis::new(from.u64()?)),
                _ => return Err(Malformed),
            },
            key_index: KeyIndex::new(from.u64()?),
            location: RecordLocation::read(from)?,
            parts: from.u32()?,
            tags: read_location(from)?,
            rehomed: read_location(from)?,
            other_leaves: Leaves::read(from)?,
            closed: read_bool(from)?,
            span: read_span(from)?,
        })
    }
}

/// Where a stored chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRow {
    /// Segment of a data lane.
    pub segment: SegmentId,
    /// Of the frame inside the segment.
    pub offset: ByteOffset,
    /// Length of the frame.
    pub total_bytes: u32,
}

impl TableRow for ChunkRow {
    const TABLE: Table = Table::Chunks;

    fn write(&self, out: &mut Writer) {
        out.u64(self.segment.get())
            .u64(self.offset.get())
            .u32(self.total_bytes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            segment: SegmentId::new(from.u64()?),
            offset: ByteOffset::new(from.u64()?),
            total_bytes: from.u32()?,
        })
    }
}

/// The newest record of a configuration name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigRow {
    /// The record.
    pub location: RecordLocation,
}

impl TableRow for ConfigRow {
    const TABLE: Table = Table::Configs;

    fn write(&self, out: &mut Writer) {
        self.location.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            location: RecordLocation::read(from)?,
        })
    }
}

fn write_span(out: &mut Writer, span: Option<SegmentSpan>) {
    match span {
        None => out.u8(0),
        Some(span) => out.u8(1).u64(span.first().get()).u64(span.last().get()),
    };
}

fn read_span(from: &mut Reader<'_>) -> Result<Option<SegmentSpan>, Malformed> {
    match from.u8()? {
        0 => Ok(None),
        1 => {
            let (first, last) = (SegmentId::new(from.u64()?), SegmentId::new(from.u64()?));
            SegmentSpan::new(first, last).ok_or(Malformed).map(Some)
        }
        _ => Err(Malformed),
    }
}

fn write_location(out: &mut Writer, location: Option<&RecordLocation>) {
    match location {
        None => {
            out.u8(0);
        }
        Some(location) => {
            out.u8(1);
            location.write(out);
        }
    }
}

fn read_location(from: &mut Reader<'_>) -> Result<Option<RecordLocation>, Malformed> {
    match from.u8()? {
        0 => Ok(None),
        1 => Ok(Some(RecordLocation::read(from)?)),
        _ => Err(Malformed),
    }
}

fn read_bool(from: &mut Reader<'_>) -> Result<bool, Malformed> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

fn read_mode(from: &mut Reader<'_>) -> Result<Mode, Malformed> {
    Mode::from_code(from.u8()?).ok_or(Malformed)
}

fn write_retention(out: &mut Writer, retention: Option<Retention>) {
    match retention {
        None => out.u8(0),
        Some(retention) => out.u8(retention.mode.code()).u64(retention.until.get()),
    };
}

fn read_retention(from: &mut Reader<'_>) -> Result<Option<Retention>, Malformed> {
    match from.u8()? {
        0 => Ok(None),
        code => {
            let mode = Mode::from_code(code).ok_or(Malformed)?;
            Ok(Some(Retention {
                mode,
                until: UnixMillis::new(from.u64()?),
            }))
        }
    }
}

fn write_hold(out: &mut Writer, hold: Option<bool>) {
    out.u8(match hold {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    });
}

fn read_hold(from: &mut Reader<'_>) -> Result<Option<bool>, Malformed> {
    match from.u8()? {
        0 => Ok(None),
        1 => Ok(Some(false)),
        2 => Ok(Some(true)),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests;
