//! Ids and places of a random run.

use stele_format::digest::Digest;
use stele_format::units::{BucketId, ByteOffset, LogIndex, SegmentId};
use stele_store::index::rows::RecordLocation;

/// Where the record of a number lies.
pub fn location(index: LogIndex) -> RecordLocation {
    RecordLocation {
        segment: SegmentId::new(1),
        offset: ByteOffset::new(index.get() * 192),
        bytes: 192,
        header_digest: Digest::of(&index.get().to_le_bytes()),
    }
}

/// The bucket of a number.
pub fn bucket_id(number: u8) -> BucketId {
    BucketId::from_bytes([number + 1; 16])
}
