//! Record: a 192-byte header (the tree leaf), a clear body, attachments.
//!
//! Invariants: the header covers the clear body by `body_root`, the clear body covers each
//! attachment by digest and length, and each header quotes its predecessor's; so one leaf in the
//! tree proves every stored byte of a record. Nothing in header or clear body derives from
//! plaintext.

mod body;
mod client;
mod kind;
mod view;

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

pub use self::body::{
    Abandoned, Alloc, Attachment, Attempt, Attempted, Body, ClockEvent, ClockEventKind, Commit,
    CopyHealth, Destroyed, EntryKind, EpochReason, EpochStart, ForcedOpen, Forgetful, Genesis,
    KeyChange, Loss, LostSpan, Marker, MemberChange, MoveStep, Part, Placed, Placement, Release,
    ReleaseReason, Relocate, Scope, Scrub, SealNote, SegmentSpan, Snapshot, StatementBody,
    StoredEntry, Tombstone, Trim, VersionRef, decode_chunk_list, encode_chunk_list, scope_digest,
};
pub use self::client::ClientTag;
pub use self::kind::RecordType;
pub use self::view::{LogWalk, Record, RecordReader, RecordView};
use crate::codec::{
    DecodeError, FORMAT_VERSION, Fault, Unverified, is_blank, length, media_struct, read_raw,
    refuse, require, size32,
};
use crate::digest::Digest;
use crate::limits::{ATTACHMENTS_MAX, CLEAR_BYTES_MAX, FRAME_BYTES_MAX, LOG_RECORDS_MAX};
use crate::tree::{TreeHash, leaf_hash};
use crate::units::{
    BucketId, Epoch, KeyClass, KeyIndex, LogIndex, ObjectId, UnixMillis, VersionId,
};

const HEADER: usize = 192;
const FLAG_SEALED: u8 = 1;

media_struct! {
    RawRecord as "RecordHeader", 192, {
        version: U16,
        record_type: U16,
        class: u8,
        mode: u8,
        hold: u8,
        flags: u8,
        log_index: U64,
        epoch: U32,
        reserved_a: [u8; 4],
        compliance_ms: U64,
        wall_ms: U64,
        retain_until_ms: U64,
        key_index: U64,
        bucket: [u8; 16],
        object: [u8; 16],
        version_id: [u8; 16],
        clear_bytes: U32,
        attached_bytes: U32,
        body_root: [u8; 32],
        previous_header: [u8; 32],
        client: [u8; 16],
    }
}

pub(crate) const STRUCTURES: [crate::codec::Structure; 1] = [RawRecord::STRUCTURE];

/// Lock mode, as in S3 Object Lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// No retention.
    #[default]
    None,
    /// GOVERNANCE.
    Governance,
    /// COMPLIANCE.
    Compliance,
}

impl LockMode {
    /// The number on media.
    #[must_use]
    pub const fn get(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Governance => 1,
            Self::Compliance => 2,
        }
    }

    /// The mode with this number.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Governance),
            2 => Some(Self::Compliance),
            _ => None,
        }
    }
}

/// Header of a record: the leaf of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the record states; `encode_record` sets it from the body.
    pub record_type: RecordType,
    /// Class of the key; `Object` where there is no key.
    pub class: KeyClass,
    /// Lock mode.
    pub mode: LockMode,
    /// Legal hold.
    pub hold: bool,
    /// The meaning lies in an attachment under the box key.
    pub sealed: bool,
    /// Number in the journal.
    pub log_index: LogIndex,
    /// Epoch.
    pub epoch: Epoch,
    /// Compliance clock.
    pub compliance_ms: UnixMillis,
    /// Wall clock.
    pub wall_ms: UnixMillis,
    /// End of retention; 0 exactly when the mode is none.
    pub retain_until_ms: UnixMillis,
    /// Leaf of the key tree, or none.
    pub key_index: KeyIndex,
    /// Bucket, or zero.
    pub bucket: BucketId,
    /// Object, or zero.
    pub object: ObjectId,
    /// Version or upload, or zero.
    pub version: VersionId,
    /// Length of the clear body; `encode_record` sets it.
    pub clear_bytes: u32,
    /// Length of all attachments; `encode_record` sets it.
    pub attached_bytes: u32,
    /// Digest of the clear body; `encode_record` sets it.
    pub body_root: Digest,
    /// Chain digest of the record before; zero for log index 0.
    pub previous_header: Digest,
    /// The access key that asked for it.
    pub client: ClientTag,
}

/// Why a record cannot be used or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes are no record.
    #[error("{error} (record at byte {at} of the payload)")]
    Decode {
        /// Offset of the record in the frame's payload.
        at: usize,
        /// The fault.
        error: DecodeError,
    },
    /// The payload ends within a record.
    #[error("the payload ends within the record at byte {at}")]
    Short {
        /// Offset of the record in the frame's payload.
        at: usize,
    },
    /// Bytes follow the last record of a payload.
    #[error("bytes follow the last record, at byte {at} of the payload")]
    Trailing {
        /// Offset of the first byte too many.
        at: usize,
    },
    /// The clear body does not match the header.
    #[error("the clear body is damaged")]
    BodyDamaged,
    /// An attachment does not match the clear body.
    #[error("attachment {0} is damaged")]
    AttachmentDamaged(usize),
    /// Attachments do not add up to the length in the header.
    #[error("the attachments do not add up")]
    AttachmentSum,
    /// Not the next record of the log.
    #[error("record {found} where record {expected} should be")]
    Order {
        /// What should follow.
        expected: LogIndex,
        /// What was found.
        found: LogIndex,
    },
    /// The header does not quote its predecessor.
    #[error("record {0} does not continue the chain")]
    Chain(LogIndex),
    /// A record type that is reserved for later cannot be written.
    #[error("record type {0:?} cannot be written")]
    Unwritable(RecordType),
    /// Too many attachments, or clear body or attachments too long.
    #[error("the record is too large")]
    TooLarge,
}

impl RecordHeader {
    fn to_raw(self) -> RawRecord {
        let mut raw = RawRecord::new_zeroed();
        raw.version = FORMAT_VERSION.into();
        raw.record_type = self.record_type.get().into();
        raw.class = self.class.get();
        raw.mode = self.mode.get();
        raw.hold = u8::from(self.hold);
        raw.flags = if self.sealed { FLAG_SEALED } else { 0 };
        raw.log_index = self.log_index.get().into();
        raw.epoch = self.epoch.get().into();
        raw.compliance_ms = self.compliance_ms.get().into();
        raw.wall_ms = self.wall_ms.get().into();
        raw.retain_until_ms = self.retain_until_ms.get().into();
        raw.key_index = self.key_index.get().into();
        raw.bucket = self.bucket.to_bytes();
        raw.object = self.object.to_bytes();
        raw.version_id = self.version.to_bytes();
        raw.clear_bytes = self.clear_bytes.into();
        raw.attached_bytes = self.attached_bytes.into();
        raw.body_root = self.body_root.0;
        raw.previous_header = self.previous_header.0;
        raw.client = self.client.to_bytes();
        raw
    }

    /// The header's bytes: the leaf.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out.copy_from_slice(self.to_raw().as_bytes());
        out
    }

    /// What the next record quotes as `previous_header`.
    #[must_use]
    pub fn chain_digest(&self) -> Digest {
        Digest::chain(&self.encode())
    }

    /// Hash of this leaf in the record tree.
    #[must_use]
    pub fn leaf_hash(&self) -> TreeHash {
        leaf_hash(&self.encode())
    }

    /// Length of the whole record.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        HEADER
            .saturating_add(length(self.clear_bytes))
            .saturating_add(length(self.attached_bytes))
    }

    /// Reads a header: exactly 192 bytes.
    ///
    /// # Errors
    /// What is wrong with the bytes; `record_type`/`Value` for a type this reader may not skip.
    pub fn decode(bytes: &[u8]) -> Result<Unverified<Self>, DecodeError> {
        let raw: RawRecord = read_raw(&RawRecord::STRUCTURE, bytes)?;
        if is_blank(bytes) {
            return Err(DecodeError::new(
                RawRecord::STRUCTURE.name,
                "",
                0,
                Fault::Blank,
            ));
        }
        require!(
            raw.version.get() == FORMAT_VERSION,
            RawRecord.version,
            Version
        );
        let Some(record_type) = RecordType::new(raw.record_type.get()) else {
            refuse!(RawRecord.record_type, Value)
        };
        let Some(class) = KeyClass::new(raw.class) else {
            refuse!(RawRecord.class, Value)
        };
        let Some(mode) = LockMode::new(raw.mode) else {
            refuse!(RawRecord.mode, Value)
        };
        require!(raw.hold <= 1, RawRecord.hold, Value);
        require!(raw.flags & !FLAG_SEALED == 0, RawRecord.flags, Value);
        require!(is_blank(&raw.reserved_a), RawRecord.reserved_a, Reserved);
        let Some(client) = ClientTag::from_bytes(raw.client) else {
            refuse!(RawRecord.client, Value)
        };
        let header = Self {
            record_type,
            class,
            mode,
            hold: raw.hold == 1,
            sealed: raw.flags == FLAG_SEALED,
            log_index: LogIndex::new(raw.log_index.get()),
            epoch: Epoch::new(raw.epoch.get()),
            compliance_ms: UnixMillis::new(raw.compliance_ms.get()),
            wall_ms: UnixMillis::new(raw.wall_ms.get()),
            retain_until_ms: UnixMillis::new(raw.retain_until_ms.get()),
            key_index: KeyIndex::new(raw.key_index.get()),
            bucket: BucketId::new(raw.bucket),
            object: ObjectId::new(raw.object),
            version: VersionId::from_bytes(raw.version_id),
            clear_bytes: raw.clear_bytes.get(),
            attached_bytes: raw.attached_bytes.get(),
            body_root: Digest(raw.body_root),
            previous_header: Digest(raw.previous_header),
            client,
        };
        header.check()?;
        Ok(Unverified::of(header))
    }

    /// Rules between fields, the same for writer and reader.
    fn check(&self) -> Result<(), DecodeError> {
        require!(!self.epoch.is_zero(), RawRecord.epoch, Value);
        require!(self.epoch.in_range(), RawRecord.epoch, Limit);
        require!(
            self.log_index.get() < LOG_RECORDS_MAX,
            RawRecord.log_index,
            Limit
        );
        require!(
            self.compliance_ms.in_range(),
            RawRecord.compliance_ms,
            Limit
        );
        require!(self.wall_ms.in_range(), RawRecord.wall_ms, Limit);
        require!(
            self.retain_until_ms.in_range(),
            RawRecord.retain_until_ms,
            Limit
        );
        let retained = self.mode != LockMode::None;
        require!(
            retained != self.retain_until_ms.is_zero(),
            RawRecord.retain_until_ms,
            Value
        );
        if self.key_index.is_none() {
            require!(self.class == KeyClass::Object, RawRecord.class, Value);
        } else {
            let Some(parts) = self.key_index.parts() else {
                refuse!(RawRecord.key_index, Value)
            };
            require!(parts.class == self.class, RawRecord.class, Value);
        }
        require!(self.clear_bytes > 0, RawRecord.clear_bytes, Value);
        require!(
            self.clear_bytes <= CLEAR_BYTES_MAX,
            RawRecord.clear_bytes,
            Limit
        );
        require!(
            self.attached_bytes <= FRAME_BYTES_MAX,
            RawRecord.attached_bytes,
            Limit
        );
        let first = self.log_index.is_zero();
        require!(
            first == self.previous_header.is_zero(),
            RawRecord.previous_header,
            Value
        );
        Ok(())
    }
}

/// Appends a record: header, clear body, attachments. The caller sets `log_index`,
/// `previous_header` and the rest of the header; type, lengths and body root are filled in. `out`
/// is unchanged on failure.
///
/// # Errors
/// `TooLarge`, `Unwritable`, or `Decode` when header or body contradict themselves.
pub fn encode_record(
    header: RecordHeader,
    body: &Body,
    attachments: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<RecordHeader, RecordError> {
    let record_type = body.record_type();
    if !record_type.is_writable() {
        return Err(RecordError::Unwritable(record_type));
    }
    if attachments.len() > ATTACHMENTS_MAX {
        return Err(RecordError::TooLarge);
    }
    let attached = attachments
        .iter()
        .fold(0_usize, |sum, bytes| sum.saturating_add(bytes.len()));
    let table: Vec<Attachment> = attachments
        .iter()
        .map(|bytes| Attachment::of(bytes))
        .collect();
    let decode = |error| RecordError::Decode {
        at: out.len(),
        error,
    };
    body.check(&table).map_err(decode)?;
    let clear = body.encode(&table);
    let header = RecordHeader {
        record_type,
        clear_bytes: size32(clear.len()),
        attached_bytes: size32(attached),
        body_root: Digest::of(&clear),
        ..header
    };
    if header.clear_bytes > CLEAR_BYTES_MAX || header.attached_bytes > FRAME_BYTES_MAX {
        return Err(RecordError::TooLarge);
    }
    header.check().map_err(decode)?;
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(&clear);
    attachments
        .iter()
        .for_each(|bytes| out.extend_from_slice(bytes));
    Ok(header)
}
