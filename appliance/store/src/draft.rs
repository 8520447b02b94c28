//! A record before it has a place in the log.

use stele_format::manifest::Manifest;
use stele_format::record::{Body, ClientTag, ClockEventKind, RecordType};
use stele_format::units::{BucketId, KeyIndex, ObjectId, UploadId, VersionId};

use crate::keys::chunk::stored_len;
use crate::keys::counter::KeyClass;
use crate::policy::Retention;
use crate::request::{Piece, RequestId};

/// Who waits for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A request, answered when its last record is applied.
    Request {
        /// Which.
        id: RequestId,
        /// Whether it is the request's last record.
        last: bool,
    },
    /// The engine itself.
    Engine,
}

impl Origin {
    /// The request that waits, if one does.
    pub(crate) const fn request(self) -> Option<RequestId> {
        match self {
            Origin::Request { id, .. } => Some(id),
            Origin::Engine => None,
        }
    }
}

/// The version field of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionSlot {
    /// Names no version.
    None,
    /// A new version (or upload), numbered at sequencing.
    Fresh,
    /// An existing version.
    Version(VersionId),
    /// An existing upload.
    Upload(UploadId),
}

/// What the record's first attachment is and under which key.
pub(crate) enum Sealed {
    /// No attachment.
    Nothing,
    /// A manifest under a leaf of the key tree.
    Leaf(Box<Manifest>, KeyClass),
    /// A manifest under the leaf that another record of the same version was given.
    SameLeaf(Box<Manifest>, KeyIndex),
    /// An encoded body under the box key.
    BoxKey(Vec<u8>),
}

/// A record to be.
pub(crate) struct Draft {
    pub(crate) origin: Origin,
    pub(crate) kind: RecordType,
    pub(crate) bucket: BucketId,
    pub(crate) object: ObjectId,
    pub(crate) version: VersionSlot,
    pub(crate) retention: Option<Retention>,
    pub(crate) hold: bool,
    pub(crate) body: Body,
    pub(crate) sealed: Sealed,
    /// A body of at most `INLINE_BODY_BYTES_MAX` that rides in the journal frame.
    pub(crate) inline: Option<Piece>,
    /// The access key that asks for it; known when it goes to the journal.
    pub(crate) client: ClientTag,
}

impl Draft {
    /// A record of the engine itself that names no object.
    pub(crate) fn of_engine(kind: RecordType, body: Body) -> Self {
        Self {
            origin: Origin::Engine,
            kind,
            bucket: BucketId::default(),
            object: ObjectId::default(),
            version: VersionSlot::None,
            retention: None,
            hold: false,
            body,
            sealed: Sealed::Nothing,
            inline: None,
            client: ClientTag::NONE,
        }
    }

    /// Whether another record follows that must become true with it: more of the same request, or after a correction of
    /// the clock the word that it was made, without which a start would make it again.
    pub(crate) fn goes_on(&self) -> bool {
        let corrects =
            matches!(&self.body, Body::Clock(event) if event.kind == ClockEventKind::Corrected);
        matches!(self.origin, Origin::Request { last: false, .. }) || corrects
    }

    /// An upper bound of the bytes it takes in a frame.
    pub(crate) fn bytes_max(&self) -> usize {
        const FIXED: usize = 1024;
        const PER_ENTRY: usize = 160;
        let entries = match &self.body {
            Body::Commit(commit) | Body::Complete(commit, _) => commit.entries.len(),
            Body::Part(part) => part.entries.len(),
            Body::Refused(attempts) => 2 * attempts.len(),
            _ => 64,
        };
        let sealed = match &self.sealed {
            Sealed::Nothing => 0,
            Sealed::BoxKey(bytes) => bytes.len() + 128,
            Sealed::Leaf(manifest, _) | Sealed::SameLeaf(manifest, _) => {
                manifest_bytes_max(manifest)
            }
        };
        let inline = self
            .inline
            .as_ref()
            .map_or(0, |piece| stored_len(piece.len));
        FIXED + entries * PER_ENTRY + sealed + inline
    }
}

/// An upper bound of a sealed manifest's bytes.
fn manifest_bytes_max(manifest: &Manifest) -> usize {
    const FIXED: usize = 1024;
    const PER_ITEM: usize = 128;
    let pairs = manifest
        .content_headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let more = manifest.user_metadata.iter().chain(&manifest.tags);
    let text: usize = pairs
        .chain(more.map(|(name, value)| name.len() + value.len() + 16))
        .sum();
    let items = manifest.entries.len() + manifest.checksums.len() + manifest.content_headers.len();
    let parts = 10 * manifest.part_sizes.len();
    FIXED + manifest.name.len() + manifest.etag.len() + text + parts + items * PER_ITEM
}
