//! Reading records out of a journal frame, and following the log.

use super::{Attachment, Body, HEADER, RecordError, RecordHeader};
use crate::codec::{DecodeError, Unverified, length};
use crate::digest::Digest;
use crate::tree::Frontier;
use crate::units::LogIndex;

/// Walks the records of a verified payload. After an error it ends.
#[derive(Clone, Debug)]
pub struct RecordReader<'a> {
    payload: &'a [u8],
    at: usize,
    left: u16,
    done: bool,
}

impl<'a> RecordReader<'a> {
    /// `count` is the frame header's `record_count`. Bytes after the last record are an error.
    #[must_use]
    pub const fn new(payload: &'a [u8], count: u16) -> Self {
        Self {
            payload,
            at: 0,
            left: count,
            done: false,
        }
    }

    fn read(&mut self) -> Result<RecordView<'a>, RecordError> {
        let at = self.at;
        let take = |from: usize, bytes: usize| {
            let end = from.checked_add(bytes)?;
            self.payload.get(from..end).map(|taken| (taken, end))
        };
        let short = RecordError::Short { at };
        let (header, end) = take(at, HEADER).ok_or(short)?;
        let header =
            RecordHeader::decode(header).map_err(|error| RecordError::Decode { at, error })?;
        let claims = header.claims();
        let (clear, end) = take(end, length(claims.clear_bytes)).ok_or(short)?;
        let (attachments, end) = take(end, length(claims.attached_bytes)).ok_or(short)?;
        self.at = end;
        Ok(RecordView {
            offset: at,
            header,
            clear,
            attachments,
        })
    }
}

impl<'a> Iterator for RecordReader<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.read()
            }
            None if self.at == self.payload.len() => {
                self.done = true;
                return None;
            }
            None => Err(RecordError::Trailing { at: self.at }),
        };
        self.done = item.is_err();
        Some(item)
    }
}

/// A record as it lies in a payload; its body is not checked yet.
#[derive(Clone, Debug)]
#[must_use = "only a verified record may be used"]
pub struct RecordView<'a> {
    offset: usize,
    header: Unverified<RecordHeader>,
    clear: &'a [u8],
    attachments: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Byte offset in the payload.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What the header claims.
    #[must_use]
    pub const fn claims(&self) -> &RecordHeader {
        self.header.claims()
    }

    /// Checks the clear body against the header and each attachment against the clear body.
    ///
    /// # Errors
    /// What does not match. A record of a type that may be skipped is checked alike.
    pub fn verify(self) -> Result<Record<'a>, RecordError> {
        let header = *self.header.claims();
        if Digest::of(self.clear) != header.body_root {
            return Err(RecordError::BodyDamaged);
        }
        let (body, table) =
            Body::decode(header.record_type, self.clear).map_err(|error| RecordError::Decode {
                at: self.offset,
                error,
            })?;
        let mut spans = Vec::with_capacity(table.len());
        let mut start = 0_usize;
        for (index, attachment) in table.iter().enumerate() {
            let end = start.saturating_add(length(attachment.bytes));
            let bytes = self
                .attachments
                .get(start..end)
                .ok_or(RecordError::AttachmentSum)?;
            if Digest::of(bytes) != attachment.digest {
                return Err(RecordError::AttachmentDamaged(index));
            }
            spans.push((start, end));
            start = end;
        }
        if start != self.attachments.len() {
            return Err(RecordError::AttachmentSum);
        }
        let Self {
            offset,
            clear,
            attachments,
            ..
        } = self;
        Ok(Record {
            header,
            clear,
            attachments,
            offset,
            body,
            table,
            spans,
        })
    }
}

/// A verified record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Header.
    pub header: RecordHeader,
    /// Clear body, as stored.
    pub clear: &'a [u8],
    /// All attachments, as stored.
    pub attachments: &'a [u8],
    offset: usize,
    body: Body,
    table: Vec<Attachment>,
    spans: Vec<(usize, usize)>,
}

impl<'a> Record<'a> {
    /// What the record states.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// Byte offset in the payload.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Digests and lengths of the attachments.
    #[must_use]
    pub fn attachment_table(&self) -> &[Attachment] {
        &self.table
    }

    /// An attachment; `None` past the last.
    #[must_use]
    pub fn attachment(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.spans.get(index)?;
        self.attachments.get(start..end)
    }

    /// Byte offset of an attachment in the payload; `None` past the last.
    #[must_use]
    pub fn attachment_offset(&self, index: usize) -> Option<usize> {
        let &(start, _) = self.spans.get(index)?;
        Some(self.offset + HEADER + self.clear.len() + start)
    }
}

/// Follows the log: order, chain and tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogWalk {
    head: Digest,
    frontier: Frontier,
}

impl LogWalk {
    /// Before the first record.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: Digest::ZERO,
            frontier: Frontier::new(),
        }
    }

    /// After some records: the chain digest of the last one and the tree.
    #[must_use]
    pub const fn resume(head: Digest, frontier: Frontier) -> Self {
        Self { head, frontier }
    }

    /// Steps over the next record.
    ///
    /// # Errors
    /// `Order` or `Chain` when it is not the next; the walk is unchanged then.
    pub fn advance(&mut self, header: &RecordHeader) -> Result<(), RecordError> {
        let expected = self.next_index();
        if header.log_index != expected {
            return Err(RecordError::Order {
                expected,
                found: header.log_index,
            });
        }
        if header.previous_header != self.head {
            return Err(RecordError::Chain(header.log_index));
        }
        self.head = header.chain_digest();
        self.frontier.push(header.leaf_hash());
        Ok(())
    }

    /// Log index of the next record.
    #[must_use]
    pub const fn next_index(&self) -> LogIndex {
        LogIndex::new(self.frontier.size())
    }

    /// What the next record quotes as `previous_header`.
    #[must_use]
    pub const fn head(&self) -> Digest {
        self.head
    }

    /// The tree over the records so far.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

impl From<DecodeError> for RecordError {
    fn from(error: DecodeError) -> Self {
        Self::Decode { at: 0, error }
    }
}
