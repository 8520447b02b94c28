//! Reading back: records and chunks are believed only after they match the digest that points to them.

use std::collections::VecDeque;
use std::sync::Arc;

use stele_format::digest::Digest;
use stele_format::limits::{BLOCK_BYTES, RECORD_HEADER_BYTES};
use stele_format::manifest::{Manifest, ManifestEntry};
use stele_format::record::{
    Body, EntryKind, Placement, Record, RecordHeader, RecordReader, SegmentSpan, StoredEntry,
};

use crate::index::rows::RecordLocation;

/// A record whose header matched the digest of the row that points to it, and whose body and
/// attachments match the header.
pub struct VerifiedRecord {
    /// The header.
    pub header: RecordHeader,
    /// The body.
    pub body: Body,
    attachments: Vec<Vec<u8>>,
}

impl VerifiedRecord {
    /// Verifies the bytes read at a location.
    #[must_use]
    pub fn verify(bytes: &[u8], location: &RecordLocation) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER_BYTES as usize)?;
        if Digest::chain(header) != location.header_digest {
            return None;
        }
        let record = RecordReader::new(bytes, 1).next()?.ok()?.verify().ok()?;
        Self::of(&record)
    }

    /// A record that was verified as part of its frame.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Option<Self> {
        let attachments = (0..record.attachment_table().len())
            .map(|number| record.attachment(number).map(<[u8]>::to_vec))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            header: record.header,
            body: record.body().clone(),
            attachments,
        })
    }

    /// An attachment.
    #[must_use]
    pub fn attachment(&self, number: usize) -> Option<&[u8]> {
        self.attachments.get(number).map(Vec::as_slice)
    }

    /// Where its content lies, if it stores any.
    #[must_use]
    pub const fn placement(&self) -> Option<Placement> {
        self.body.placement()
    }

    /// What it cites, if it stores content.
    #[must_use]
    pub fn cited(&self) -> &[StoredEntry] {
        match &self.body {
            Body::Commit(commit) | Body::Complete(commit, _) => &commit.entries,
            Body::Part(part) => &part.entries,
            _ => &[],
        }
    }
}

/// The aligned window around a record: offset in the segment and length.
#[must_use]
pub fn window(location: &RecordLocation) -> (u64, usize, usize) {
    let block = u64::from(BLOCK_BYTES);
    let start = location.offset.get() / block * block;
    let skip = location.offset.get() - start;
    let bytes = (skip + u64::from(location.bytes)).next_multiple_of(block);
    (
        start,
        usize::try_from(bytes).unwrap_or(usize::MAX),
        usize::try_from(skip).unwrap_or(0),
    )
}

/// The stored content of an object or part: how to open it, and what its record cites.
#[derive(Clone, Default)]
pub struct Content {
    /// Chunks and list chunks with their keys.
    pub entries: Vec<ManifestEntry>,
    /// What the record says in the clear.
    pub cited: Vec<StoredEntry>,
    /// The record that carries an inline body.
    pub inline: Option<Arc<VerifiedRecord>>,
    /// Data segments in which chunks and lists lie; none of a body that rides in the journal.
    pub span: Option<SegmentSpan>,
}

impl Content {
    /// The content of a stored record.
    #[must_use]
    pub fn of_record(manifest: &Manifest, record: Arc<VerifiedRecord>) -> Self {
        let placement = record.placement();
        let inline = placement == Some(Placement::Inline);
        Self {
            entries: manifest.entries.clone(),
            cited: record.cited().to_vec(),
            span: placement.and_then(Placement::span),
            inline: inline.then_some(record),
        }
    }

    /// Where the record says the content lies.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.span.map_or(Placement::Inline, Placement::DataLane)
    }

    /// Appends the content of the next part.
    pub fn append(&mut self, mut other: Content) {
        self.entries.append(&mut other.entries);
        self.cited.append(&mut other.cited);
        if let Some(span) = other.span {
            self.lies_in(span);
        }
    }

    /// Some of it lies in these segments.
    pub fn lies_in(&mut self, span: SegmentSpan) {
        self.span = Some(self.span.map_or(span, |known| known.join(span)));
    }
}

/// A download in progress.
pub struct Download {
    queue: VecDeque<ManifestEntry>,
    inline: Option<Arc<VerifiedRecord>>,
    /// Bytes to pass over before the first byte wanted.
    skip: u64,
    /// Bytes still wanted.
    remaining: u64,
    /// First byte and count, as resolved.
    pub range: (u64, u64),
    /// The record that made the version, for reports.
    pub location: RecordLocation,
}

/// The next thing a download needs.
pub enum Piecework {
    /// All was delivered.
    End,
    /// An inline chunk: sealed bytes, and what of the plaintext is wanted.
    Inline {
        /// The chunk.
        entry: ManifestEntry,
        /// Its sealed bytes.
        sealed: Vec<u8>,
        /// First byte wanted of the plaintext.
        skip: usize,
        /// Bytes wanted.
        take: usize,
    },
    /// A chunk of the data lane.
    Chunk {
        /// The chunk.
        entry: ManifestEntry,
        /// First byte wanted of the plaintext.
        skip: usize,
        /// Bytes wanted.
        take: usize,
    },
    /// A list chunk to open before anything else.
    List {
        /// The list chunk.
        entry: ManifestEntry,
    },
    /// The record contradicts itself.
    Damaged,
}

impl Download {
    /// A download of `count` bytes from `first`.
    #[must_use]
    pub fn new(content: Content, first: u64, count: u64, location: RecordLocation) -> Self {
        Self {
            queue: content.entries.into(),
            inline: content.inline,
            skip: first,
            remaining: count,
            range: (first, count),
            location,
        }
    }

    /// Takes the next piece of work, passing over what lies before the range.
    pub fn next(&mut self) -> Piecework {
        if self.remaining == 0 {
            return Piecework::End;
        }
        let mut ordinal = 0;
        loop {
            let Some(entry) = self.queue.pop_front() else {
                return Piecework::Damaged;
            };
            let plain = entry.plain_bytes.get();
            if self.skip >= plain {
                self.skip -= plain;
                ordinal += 1;
                continue;
            }
            if entry.kind == EntryKind::SealedList {
                return Piecework::List { entry };
            }
            return self.chunk(entry, plain, ordinal);
        }
    }

    fn chunk(&mut self, entry: ManifestEntry, plain: u64, ordinal: usize) -> Piecework {
        let take = (plain - self.skip).min(self.remaining);
        self.remaining -= take;
        let (Ok(skip), Ok(take)) = (usize::try_from(self.skip), usize::try_from(take)) else {
            return Piecework::Damaged;
        };
        self.skip = 0;
        match &self.inline {
            None => Piecework::Chunk { entry, skip, take },
            Some(record) => match record.attachment(ordinal + 1) {
                Some(sealed) => Piecework::Inline {
                    entry,
                    sealed: sealed.to_vec(),
                    skip,
                    take,
                },
                None => Piecework::Damaged,
            },
        }
    }

    /// Puts the entries of an opened list chunk in its place.
    pub fn expand(&mut self, entries: Vec<ManifestEntry>) {
        for entry in entries.into_iter().rev() {
            self.queue.push_front(entry);
        }
    }
}
