//! Clear bodies: what each record type states.
//!
//! Invariant: a clear body is a CBOR map with integer keys; key 0 lists the attachments by digest
//! and length; the other keys belong to the type. Exactly one encoding is accepted.

mod attempts;
mod cbor;
mod destruction;
mod logkey;
mod opening;
mod space;

pub use self::attempts::{Attempt, Attempted};
pub use self::cbor::{decode_chunk_list, encode_chunk_list};
pub use self::destruction::{
    ClockEvent, ClockEventKind, Destroyed, Scope, StatementBody, Tombstone, VersionRef,
    scope_digest,
};
pub use self::logkey::KeyChange;
pub use self::opening::{ForcedOpen, LostSpan};
pub use self::space::{SegmentSpan, Trim};
use super::RecordType;
use crate::codec::{DecodeError, Fault, size32};
use crate::digest::Digest;
use crate::label::{MemberState, VaultFlags};
use crate::limits::SCOPE_ENTRIES_MAX;
use crate::tree::Frontier;
use crate::units::{
    ByteOffset, DiskId, Epoch, FrameIndex, Generation, LaneId, LogIndex, SegmentId, Sequence,
    UnitCount, UnitIndex, UnixMillis, UploadId,
};

/// Digest and length of stored bytes behind a clear body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Digest of the stored bytes.
    pub digest: Digest,
    /// Their length.
    pub bytes: u32,
}

impl Attachment {
    /// Describes stored bytes.
    #[must_use]
    pub fn of(stored: &[u8]) -> Self {
        Self {
            digest: Digest::of(stored),
            bytes: size32(stored.len()),
        }
    }
}

/// What the first record says about the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Name of the format: `Genesis::FORMAT`.
    pub format: String,
    /// Disks in order.
    pub disks: Vec<DiskId>,
    /// Size of a unit.
    pub unit_bytes: u32,
    /// Units of a full segment.
    pub segment_units: UnitCount,
    /// Kind of vault.
    pub flags: VaultFlags,
    /// When the pool was made.
    pub created_ms: UnixMillis,
}

impl Genesis {
    /// What today's writer says in `format`.
    pub const FORMAT: &str = "stele draft 1";
}

/// Why an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochReason {
    /// The writer started.
    Start,
    /// The key counter of the epoch before was full.
    CounterFull,
}

/// A tail or segment that recovery left behind; its bytes stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// Where its last adopted frame ends.
    pub data_end: ByteOffset,
    /// Units that stay allocated.
    pub units_kept: UnitCount,
    /// Its last adopted frame.
    pub last_sequence: Sequence,
}

/// A disk that did not keep what it had confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgetful {
    /// Disk.
    pub disk: DiskId,
    /// Acknowledged journal frames that it did not have at a start, not 0.
    pub frames: u32,
}

/// Start of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Epoch before; 0 for the first.
    pub previous: Epoch,
    /// Why.
    pub reason: EpochReason,
    /// Segments left open by the epoch before.
    pub abandoned: Vec<Abandoned>,
    /// Disks of the pool that did not keep what they had confirmed, at this start or at an earlier one.
    pub forgetful: Vec<Forgetful>,
}

/// Place of a segment copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Disk.
    pub disk: DiskId,
    /// First unit.
    pub first_unit: UnitIndex,
}

/// A segment got its place; durable before the segment's first write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alloc {
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// Units of each copy.
    pub units: UnitCount,
    /// Copies.
    pub placements: Vec<Placed>,
}

/// A segment was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealNote {
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// Units kept.
    pub units_kept: UnitCount,
    /// Digest of the seal block.
    pub seal: Digest,
    /// The tree as the seal block states it.
    pub log: Option<Frontier>,
}

/// A witness: the tree before this record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The tree without this record.
    pub log: Frontier,
}

/// Where the chunks of a body lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// They are this record's attachments after the manifest.
    Inline,
    /// They are frames of a data lane, in segments of this span.
    DataLane(SegmentSpan),
}

/// What stored bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A sealed chunk of the object.
    Chunk,
    /// A list of stored entries in the clear, so that anyone can tie bytes to records.
    ClearList,
    /// A sealed list of manifest entries.
    SealedList,
}

/// Stored bytes a record refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// What they are.
    pub kind: EntryKind,
    /// Their digest.
    pub digest: Digest,
    /// Their length, tag included.
    pub stored_bytes: u32,
}

/// An object version's stored bytes. The manifest is attachment 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the chunks lie.
    pub placement: Placement,
    /// Chunks in order, or the lists that name them.
    pub entries: Vec<StoredEntry>,
}

/// A part's stored bytes. The manifest is attachment 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Part number, from 1.
    pub number: u16,
    /// Where the chunks lie.
    pub placement: Placement,
    /// Chunks in order, or the lists that name them.
    pub entries: Vec<StoredEntry>,
}

/// Why a version left the S3 view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// A client deleted it by version id.
    ClientDelete,
    /// It was overwritten or deleted in a plain bucket.
    Overwritten,
    /// It is a delete marker that was deleted.
    MarkerRemoved,
    /// A rule of its bucket said when it goes.
    Expired,
}

/// A version left the S3 view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Why.
    pub reason: ReleaseReason,
}

/// Membership from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// Label generation that states it.
    pub generation: Generation,
    /// Every disk of the pool.
    pub members: Vec<(DiskId, MemberState)>,
}

/// A range of a segment that no copy can give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// First byte lost.
    pub from: ByteOffset,
    /// First byte after.
    pub to: ByteOffset,
}

/// A durable state of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Journal frames up to here are in it.
    pub covered: Sequence,
    /// Rows.
    pub rows: u64,
    /// Multiset hash of the rows.
    pub multiset: Digest,
}

/// What reading a copy of a segment again has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHealth {
    /// All of it verified.
    Whole,
    /// Part of it was written again from another copy, and all of it is there now.
    Repaired,
    /// Part of it is on no copy any more.
    Holed,
}

/// Every copy of a segment was read again, as far as its frames were durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrub {
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// Copies, and what was found.
    pub copies: Vec<(DiskId, CopyHealth)>,
    /// Frames that no copy could give back, by their number in the segment; ascending.
    pub lost: Vec<FrameIndex>,
}

/// How far the move of a segment copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStep {
    /// The new place belongs to the segment from here on; the old copy still counts.
    Begun,
    /// The copy at the new place was flushed and read back, and counts instead of the old one.
    Done,
}

/// A copy of a closed segment moves to another disk. Both places stay the segment's for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocate {
    /// Segment.
    pub segment: SegmentId,
    /// Lane.
    pub lane: LaneId,
    /// The disk it leaves.
    pub from: DiskId,
    /// The new place.
    pub to: Placed,
    /// How far it has come.
    pub step: MoveStep,
}

/// What a record states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The first record.
    Genesis(Genesis),
    /// Start of an epoch.
    Epoch(EpochStart),
    /// A segment got its place.
    Alloc(Alloc),
    /// A segment was sealed.
    Seal(SealNote),
    /// A witness.
    Marker(Marker),
    /// An object version exists.
    Commit(Commit),
    /// An upload became an object version.
    Complete(Commit, UploadId),
    /// A delete marker exists; attachment 0 is its sealed manifest.
    DeleteMarker,
    /// Mode and retain-until in the header are in force.
    Retention,
    /// Hold in the header is in force.
    Hold,
    /// A version left the S3 view.
    Release(Release),
    /// Attachment 0 is a sealed bucket document.
    Bucket,
    /// The bucket in the header was deleted.
    BucketDelete,
    /// Attachment 0 is a sealed configuration document.
    Config,
    /// Attachment 0 is the sealed manifest of an upload.
    Upload,
    /// A part was uploaded.
    Part(Part),
    /// The upload in the header was given up.
    Abort,
    /// Membership changed.
    Member(MemberChange),
    /// A range is lost.
    Loss(Loss),
    /// The index was made durable.
    Snapshot(Snapshot),
    /// Every copy of a segment was read again.
    Scrub(Scrub),
    /// A copy of a segment moves.
    Relocate(Relocate),
    /// Attachment 0 is a sealed manifest whose tags replace those of the version in the header.
    Tags,
    /// Attachment 0 is the manifest of the version in the header, sealed again under the leaf in the header.
    Rehome,
    /// Versions are destroyed.
    Tombstone(Tombstone),
    /// Their keys are gone.
    Destroyed(Destroyed),
    /// Somebody stated something.
    Statement(StatementBody),
    /// An event of the clocks.
    Clock(ClockEvent),
    /// A piece of an exact list of versions.
    Scope(Scope),
    /// What the request of this record asked for has been done.
    Enacted(LogIndex),
    /// What was tried and refused.
    Refused(Vec<Attempt>),
    /// Segments that hold nothing any more are given back.
    Trim(Trim),
    /// A checkpoint came back from witnesses: the signed note as it was brought.
    Cosigned(String),
    /// Another key signs the log.
    LogKey(KeyChange),
    /// The vault was forced open.
    ForcedOpen(ForcedOpen),
    /// The release of the version in the header is undone.
    Unrelease,
    /// A type that is reserved for later or may be skipped; its keys are not read.
    Later(RecordType),
}

impl Placement {
    /// The segments of a data lane it lies in, if it does.
    #[must_use]
    pub const fn span(self) -> Option<SegmentSpan> {
        match self {
            Self::Inline => None,
            Self::DataLane(span) => Some(span),
        }
    }
}

impl Body {
    /// Where the content of a version or part lies; none of other records.
    #[must_use]
    pub const fn placement(&self) -> Option<Placement> {
        match self {
            Self::Commit(commit) | Self::Complete(commit, _) => Some(commit.placement),
            Self::Part(part) => Some(part.placement),
            _ => None,
        }
    }

    /// The type that goes into the header.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::Genesis(_) => RecordType::Genesis,
            Self::Epoch(_) => RecordType::Epoch,
            Self::Alloc(_) => RecordType::Alloc,
            Self::Seal(_) => RecordType::Seal,
            Self::Marker(_) => RecordType::Marker,
            Self::Commit(_) => RecordType::Commit,
            Self::Complete(..) => RecordType::Complete,
            Self::DeleteMarker => RecordType::DeleteMarker,
            Self::Retention => RecordType::Retention,
            Self::Hold => RecordType::Hold,
            Self::Release(_) => RecordType::Release,
            Self::Bucket => RecordType::Bucket,
            Self::BucketDelete => RecordType::BucketDelete,
            Self::Config => RecordType::Config,
            Self::Upload => RecordType::Upload,
            Self::Part(_) => RecordType::Part,
            Self::Abort => RecordType::Abort,
            Self::Member(_) => RecordType::Member,
            Self::Loss(_) => RecordType::Loss,
            Self::Snapshot(_) => RecordType::Snapshot,
            Self::Scrub(_) => RecordType::Scrub,
            Self::Relocate(_) => RecordType::Relocate,
            Self::Tags => RecordType::Tags,
            Self::Rehome => RecordType::Rehome,
            Self::Tombstone(_) => RecordType::Tombstone,
            Self::Destroyed(_) => RecordType::Destroyed,
            Self::Statement(_) => RecordType::Statement,
            Self::Clock(_) => RecordType::Clock,
            Self::Scope(_) => RecordType::Scope,
            Self::Enacted(_) => RecordType::Enacted,
            Self::Refused(_) => RecordType::Refused,
            Self::Trim(_) => RecordType::Trim,
            Self::Cosigned(_) => RecordType::Cosigned,
            Self::LogKey(_) => RecordType::LogKey,
            Self::ForcedOpen(_) => RecordType::ForcedOpen,
            Self::Unrelease => RecordType::Unrelease,
            Self::Later(later) => *later,
        }
    }

    /// Rules between a body and its attachments, the same for writer and reader.
    pub(crate) fn check(&self, table: &[Attachment]) -> Result<(), DecodeError> {
        let refuse = || Err(DecodeError::new("Body", "attachments", 0, Fault::Count));
        match self {
            Self::Commit(commit) | Self::Complete(commit, _) => {
                check_entries(commit.placement, &commit.entries, table)
            }
            Self::Part(part) => check_entries(part.placement, &part.entries, table),
            Self::DeleteMarker
            | Self::Bucket
            | Self::Config
            | Self::Upload
            | Self::Tags
            | Self::Rehome => {
                if table.len() == 1 {
                    Ok(())
                } else {
                    refuse()
                }
            }
            Self::Statement(_) if table.len() <= 1 => Ok(()),
            Self::Tombstone(Tombstone { entries, .. }) | Self::Scope(Scope { entries, .. })
                if entries.len() > SCOPE_ENTRIES_MAX =>
            {
                Err(DecodeError::new("Body", "entries", 0, Fault::Limit))
            }
            Self::Later(_) => Ok(()),
            _ if table.is_empty() => Ok(()),
            _ => refuse(),
        }
    }
}

/// Attachment 0 is the manifest; inline chunks follow it one for one.
fn check_entries(
    placement: Placement,
    entries: &[StoredEntry],
    table: &[Attachment],
) -> Result<(), DecodeError> {
    let refuse = |field, what| Err(DecodeError::new("Body", field, 0, what));
    let Some((_manifest, inline)) = table.split_first() else {
        return refuse("attachments", Fault::Count);
    };
    match placement {
        Placement::DataLane(_) if inline.is_empty() && !entries.is_empty() => Ok(()),
        Placement::DataLane(_) => refuse("attachments", Fault::Count),
        Placement::Inline if inline.len() != entries.len() => refuse("entries", Fault::Count),
        Placement::Inline => {
            let same = inline.iter().zip(entries).all(|(attachment, entry)| {
                entry.kind == EntryKind::Chunk
                    && entry.digest == attachment.digest
                    && entry.stored_bytes == attachment.bytes
            });
            if same {
                Ok(())
            } else {
                refuse("entries", Fault::Value)
            }
        }
    }
}
