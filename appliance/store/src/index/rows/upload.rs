//! Rows of multipart uploads.

use std::fmt;

use stele_format::record::SegmentSpan;
use stele_format::units::{BucketId, ByteCount, KeyIndex, ObjectId, UnixMillis};

use super::{
    Leaves, RecordLocation, Table, TableRow, read_bool, read_hold, read_retention, read_span,
    write_hold, write_retention, write_span,
};
use crate::index::codec::{Malformed, Reader, Writer};
use crate::policy::Retention;

/// A multipart upload that is neither completed nor aborted.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Bucket of the object to be.
    pub bucket: BucketId,
    /// The object, if the name had one when the upload began.
    pub object: Option<ObjectId>,
    /// Name of the object to be.
    pub name: Vec<u8>,
    /// When it began.
    pub started: UnixMillis,
    /// Compliance time then, by which its age is judged.
    pub began: UnixMillis,
    /// Retention the client wished.
    pub retention: Option<Retention>,
    /// Hold the client wished.
    pub hold: Option<bool>,
    /// The leaf that opens its manifest.
    pub key_index: KeyIndex,
    /// The record that holds its manifest.
    pub location: RecordLocation,
    /// The checksum it announced for its object: algorithm number, and whether COMPOSITE.
    pub announced: Option<(u8, bool)>,
    /// The leaves of parts that were replaced.
    pub replaced: Leaves,
}

impl UploadRow {
    /// Nothing opens its record any more, so it has no name. It has ended, or is about to in the records that follow.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.name.is_empty()
    }
}

impl fmt::Debug for UploadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadRow")
            .field("bucket", &self.bucket)
            .field("object", &self.object)
            .field("started", &self.started)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl TableRow for UploadRow {
    const TABLE: Table = Table::Uploads;

    fn write(&self, out: &mut Writer) {
        out.raw(self.bucket.as_bytes());
        match &self.object {
            None => out.u8(0),
            Some(object) => out.u8(1).raw(object.as_bytes()),
        };
        out.bytes(&self.name).u64(self.started.get());
        out.u64(self.began.get());
        write_retention(out, self.retention);
        write_hold(out, self.hold);
        out.u64(self.key_index.get());
        self.location.write(out);
        match self.announced {
            None => out.u8(0),
            Some((algorithm, composite)) => out.u8(1).u8(algorithm).u8(u8::from(composite)),
        };
        self.replaced.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            bucket: BucketId::from_bytes(from.array()?),
            object: match from.u8()? {
                0 => None,
                1 => Some(ObjectId::from_bytes(from.array()?)),
                _ => return Err(Malformed),
            },
            name: from.bytes()?.to_vec(),
            started: UnixMillis::new(from.u64()?),
            began: UnixMillis::new(from.u64()?),
            retention: read_retention(from)?,
            hold: read_hold(from)?,
            key_index: KeyIndex::new(from.u64()?),
            location: RecordLocation::read(from)?,
            announced: match from.u8()? {
                0 => None,
                1 => Some((from.u8()?, read_bool(from)?)),
                _ => return Err(Malformed),
            },
            replaced: Leaves::read(from)?,
        })
    }
}

/// What a listing of uploads shows beside the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadNameRow {
    /// When the upload began.
    pub started: UnixMillis,
}

impl TableRow for UploadNameRow {
    const TABLE: Table = Table::UploadNames;

    fn write(&self, out: &mut Writer) {
        out.u64(self.started.get());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            started: UnixMillis::new(from.u64()?),
        })
    }
}

/// An uploaded part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// ETag without quotes.
    pub etag: String,
    /// Plaintext length.
    pub content_bytes: ByteCount,
    /// When it was stored.
    pub modified: UnixMillis,
    /// The record that holds its manifest.
    pub location: RecordLocation,
    /// The leaf that opens its manifest.
    pub key_index: KeyIndex,
    /// Checksums the client sent: algorithm number and value.
    pub checksums: Vec<(u8, Vec<u8>)>,
    /// Data segments in which its content lies.
    pub span: Option<SegmentSpan>,
}

impl TableRow for PartRow {
    const TABLE: Table = Table::Parts;

    fn write(&self, out: &mut Writer) {
        out.bytes(self.etag.as_bytes())
            .u64(self.content_bytes.get())
            .u64(self.modified.get());
        self.location.write(out);
        out.u64(self.key_index.get());
        out.u16(u16::try_from(self.checksums.len()).expect("a part has a handful of checksums"));
        for (kind, value) in &self.checksums {
            out.u8(*kind).bytes(value);
        }
        write_span(out, self.span);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            etag: from.text()?,
            content_bytes: ByteCount::new(from.u64()?),
            modified: UnixMillis::new(from.u64()?),
            location: RecordLocation::read(from)?,
            key_index: KeyIndex::new(from.u64()?),
            checksums: {
                let count = from.u16()?;
                (0..count)
                    .map(|_| Ok((from.u8()?, from.bytes()?.to_vec())))
                    .collect::<Result<_, Malformed>>()?
            },
            span: read_span(from)?,
        })
    }
}
