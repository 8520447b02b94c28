//! Giving records their place: log index, key, header chain, tree leaf.
//!
//! Everything that is only known at sequencing is decided here, in one pass: the log index, the
//! version id that carries it, the key index by the month of retain-until, and under that key the
//! sealed manifest. So nothing is ever sealed twice.

use stele_device::buffer::BufferMut;
use stele_device::entropy::Entropy;
use stele_format::digest::Digest;
use stele_format::limits::{FRAME_HEADER_BYTES, RECORD_HEADER_BYTES};
use stele_format::manifest::{Manifest, ManifestEntry};
use stele_format::record::{Body, EntryKind, RecordHeader, StoredEntry, encode_record};
use stele_format::tree::{Frontier, TreeHash, leaf_hash};
use stele_format::units::{
    ByteCount, ByteOffset, Epoch, KeyIndex, LogIndex, PoolId, SegmentId, UnixMillis, VersionId,
};

use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::fact::{self, Opened};
use crate::index::Fact;
use crate::index::rows::RecordLocation;
use crate::keys::chunk::{self, BulkAead, ChunkKey};
use crate::keys::counter::{KeyClass, KeyCounter, month_of};
use crate::keys::message::{SALT_BYTES, SealContext, seal_message};
use crate::keys::state::KeyState;

/// The head of the log: what the next record continues.
#[derive(Debug, Clone)]
pub struct LogHead {
    /// The next record's index, and the size of the log.
    pub next: LogIndex,
    /// Chain digest of the last record's header.
    pub previous: Digest,
    /// Compact frontier of the RFC 6962 tree.
    pub frontier: Frontier,
}

impl Default for LogHead {
    fn default() -> Self {
        Self {
            next: LogIndex::ZERO,
            previous: Digest::ZERO,
            frontier: Frontier::default(),
        }
    }
}

impl LogHead {
    /// Whether records are missing in front of some that were read: behind them the tree is not known.
    pub(crate) fn has_hole(&self) -> bool {
        self.next.get() != self.frontier.size()
    }

    /// Behind lost records, takes up a tree that a record repeats of all those before it.
    pub(crate) fn regain(&mut self, tree: &Frontier) {
        if self.has_hole() && tree.size() == self.next.get() {
            self.frontier = tree.clone();
        }
    }

    /// Takes the next record's header into chain and tree; the leaf that it is there.
    pub fn push(&mut self, header: &[u8]) -> TreeHash {
        let leaf = leaf_hash(header);
        self.previous = Digest::chain(header);
        self.frontier.push(leaf);
        self.next = LogIndex::new(self.next.get() + 1);
        leaf
    }
}

/// A record that has its place.
pub(crate) struct Sequenced {
    pub(crate) origin: Origin,
    pub(crate) version: VersionId,
    pub(crate) log_index: LogIndex,
    pub(crate) header: crate::receipts::HeaderBytes,
    /// Its leaf in the tree.
    pub(crate) leaf: TreeHash,
    pub(crate) facts: Vec<Fact>,
    pub(crate) body: Body,
}

/// What sequencing needs beside the log.
pub(crate) struct Sequencing<'a> {
    pub(crate) pool: PoolId,
    pub(crate) keys: &'a KeyState,
    pub(crate) entropy: &'a mut dyn Entropy,
    pub(crate) aead: &'a dyn BulkAead,
    pub(crate) epoch: Epoch,
    pub(crate) compliance: UnixMillis,
    pub(crate) wall: UnixMillis,
    /// That of the newest record.
    pub(crate) newest: UnixMillis,
    /// Where the frame's payload begins.
    pub(crate) segment: SegmentId,
    pub(crate) payload_offset: u64,
}

/// Gives a draft its place and appends its bytes to the frame's payload.
pub(crate) fn sequence(
    mut draft: Draft,
    log: &mut LogHead,
    counter: &mut KeyCounter,
    with: &mut Sequencing<'_>,
    payload: &mut Vec<u8>,
) -> Sequenced {
    let version = match draft.version {
        VersionSlot::None => VersionId::default(),
        VersionSlot::Fresh => {
            let mut random = [0; 8];
            with.entropy.fill(&mut random);
            VersionId::new(log.next, random)
        }
        VersionSlot::Version(version) => version,
        VersionSlot::Upload(upload) => VersionId::from(upload),
    };
    let inline = draft
        .inline
        .take()
        .map(|piece| seal_inline(piece, &mut draft, with));
    // The idle marker states the tree as it is before its own record.
    if let Body::Marker(marker) = &mut draft.body {
        marker.log = log.frontier.clone();
    }
    // Records may have come before it since it was noticed.
    if let Body::Clock(event) = &mut draft.body {
        event.before_ms = event.before_ms.max(with.newest);
    }
    with.newest = with.newest.max(with.compliance);
    let (key_index, class) = key_for(&draft, counter, with);
    let context = SealContext {
        pool: with.pool,
        record_type: draft.kind.get(),
        bucket: draft.bucket,
        object: draft.object,
        version,
        key_index,
    };
    let (sealed, opened) = seal(&mut draft, &context, with);
    let attachments: Vec<&[u8]> = sealed
        .as_deref()
        .into_iter()
        .chain(inline.as_deref())
        .collect();
    let header = RecordHeader {
        record_type: draft.kind,
        class,
        mode: fact::lock_mode(draft.retention),
        hold: draft.hold,
        sealed: matches!(draft.sealed, Sealed::BoxKey(_)),
        log_index: log.next,
        epoch: with.epoch,
        compliance_ms: with.compliance,
        wall_ms: with.wall,
        retain_until_ms: draft
            .retention
            .map(|retention| retention.until)
            .unwrap_or_default(),
        key_index,
        bucket: draft.bucket,
        object: draft.object,
        version,
        clear_bytes: 0,
        attached_bytes: 0,
        body_root: Digest::ZERO,
        previous_header: log.previous,
        client: draft.client,
    };
    let start = payload.len();
    let encoded = encode_record(header, &draft.body, &attachments, payload)
        .expect("drafts keep within the limits of a record");
    let mut header = [0; RECORD_HEADER_BYTES as usize];
    header.copy_from_slice(&payload[start..start + RECORD_HEADER_BYTES as usize]);
    let log_index = log.next;
    let leaf = log.push(&header);
    let location = RecordLocation {
        segment: with.segment,
        offset: ByteOffset::new(with.payload_offset + start as u64),
        bytes: u32::try_from(payload.len() - start).unwrap_or(u32::MAX),
        header_digest: log.previous,
    };
    let facts = fact::facts(&encoded, &draft.body, opened, location);
    Sequenced {
        origin: draft.origin,
        version,
        log_index,
        header,
        leaf,
        facts,
        body: draft.body,
    }
}

fn key_for(draft: &Draft, counter: &mut KeyCounter, with: &Sequencing<'_>) -> (KeyIndex, KeyClass) {
    let class = match &draft.sealed {
        Sealed::Leaf(_, class) => class,
        Sealed::SameLeaf(_, index) => return (*index, KeyClass::Object),
        Sealed::Nothing | Sealed::BoxKey(_) => return (KeyIndex::default(), KeyClass::Object),
    };
    let born = with.compliance.max(with.wall);
    let month = match (class, draft.retention) {
        // A version that gets a later leaf may have a retention that is over.
        (KeyClass::Object, Some(retention)) => month_of(retention.until.max(born)),
        _ => month_of(born),
    };
    let index = counter
        .next(month, *class)
        .expect("the journal opens a new epoch in time");
    (index, *class)
}

/// Seals an inline body and enters it into manifest and record.
fn seal_inline(
    piece: crate::request::Piece,
    draft: &mut Draft,
    with: &mut Sequencing<'_>,
) -> Vec<u8> {
    let key = ChunkKey::random(with.entropy);
    let stored = chunk::stored_len(piece.len);
    let mut room: BufferMut = piece.buffer;
    let start = piece.start.max(FRAME_HEADER_BYTES as usize);
    let sealed_len = chunk::seal_chunk(with.aead, &key, &mut room[start..], piece.len);
    debug_assert_eq!(sealed_len, stored);
    let sealed = room[start..start + sealed_len].to_vec();
    let digest = Digest::of(&sealed);
    let stored_len = u32::try_from(sealed_len).unwrap_or(u32::MAX);
    if let Sealed::Leaf(manifest, _) = &mut draft.sealed {
        manifest.entries.push(ManifestEntry {
            kind: EntryKind::Chunk,
            digest,
            stored_bytes: stored_len,
            plain_bytes: ByteCount::new(piece.len as u64),
            key: fact::manifest_key(&key),
            count: 1,
        });
    }
    if let Body::Commit(commit) | Body::Complete(commit, _) = &mut draft.body {
        commit.entries.push(StoredEntry {
            kind: EntryKind::Chunk,
            digest,
            stored_bytes: stored_len,
        });
    }
    sealed
}

fn seal(
    draft: &mut Draft,
    context: &SealContext,
    with: &mut Sequencing<'_>,
) -> (Option<Vec<u8>>, Opened) {
    let mut salt = [0; SALT_BYTES];
    match &mut draft.sealed {
        Sealed::Nothing => (None, Opened::Nothing),
        Sealed::BoxKey(bytes) => {
            with.entropy.fill(&mut salt);
            let sealed = seal_message(&with.keys.box_key, &salt, context, bytes);
            (Some(sealed), Opened::BoxKey(std::mem::take(bytes)))
        }
        Sealed::Leaf(manifest, _) | Sealed::SameLeaf(manifest, _) => {
            with.entropy.fill(&mut salt);
            let leaf = with.keys.tree.leaf(context.key_index);
            let leaf = leaf.expect("the leaf of a version that S3 shows was never cut");
            let sealed = seal_message(leaf.secret(), &salt, context, &manifest.encode());
            (
                Some(sealed),
                Opened::Manifest(Box::new(std::mem::take::<Manifest>(manifest.as_mut()))),
            )
        }
    }
}

/// The context under which a stored record's first attachment was sealed.
pub(crate) fn context_of(header: &RecordHeader, pool: PoolId) -> SealContext {
    SealContext {
        pool,
        record_type: header.record_type.get(),
        bucket: header.bucket,
        object: header.object,
        version: header.version,
        key_index: header.key_index,
    }
}
