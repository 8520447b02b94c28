//! The records of a journal frame that was verified, each tied to the log before it.

use stele_format::digest::Digest;
use stele_format::frame::FrameHeader;
use stele_format::limits::{FRAME_HEADER_BYTES, RECORD_HEADER_BYTES};
use stele_format::record::{Body, RecordReader};
use stele_format::tree::Frontier;
use stele_format::units::{ByteOffset, LogIndex, SegmentId};

use crate::index::rows::RecordLocation;
use crate::read::VerifiedRecord;
use crate::sequence::LogHead;

/// A record in a frame that verifies contradicts the log before it, or the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokenRecord {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
}

impl BrokenRecord {
    /// The record at this place.
    pub(crate) fn at(location: &RecordLocation) -> Self {
        Self {
            segment: location.segment,
            offset: location.offset.get(),
        }
    }
}

/// A record with its place.
pub(crate) struct PlacedRecord {
    pub(crate) record: VerifiedRecord,
    pub(crate) location: RecordLocation,
}

/// Takes the records of a frame into the log. A log whose next index is [`LogIndex::MAX`] begins anew
/// with the first record: after damage nobody knows where it stood. Its tree is known again from the next record on
/// that repeats it.
///
/// # Errors
/// The first record that does not follow from the log.
pub(crate) fn records(
    header: &FrameHeader,
    frame: &[u8],
    log: &mut LogHead,
) -> Result<Vec<PlacedRecord>, BrokenRecord> {
    let start = FRAME_HEADER_BYTES as usize;
    let payload = &frame[start..start + header.payload_bytes as usize];
    let offset_of = |at: usize| header.segment_offset.get() + (start + at) as u64;
    let broken = |at: usize| BrokenRecord {
        segment: header.segment,
        offset: offset_of(at),
    };
    let mut records = Vec::with_capacity(usize::from(header.record_count));
    for view in RecordReader::new(payload, header.record_count) {
        let view = view.map_err(|_| broken(0))?;
        let at = view.offset();
        let record = view.verify().map_err(|_| broken(at))?;
        let bytes = &payload[at..at + RECORD_HEADER_BYTES as usize];
        if log.next == LogIndex::MAX {
            log.next = record.header.log_index;
            log.previous = record.header.previous_header;
        }
        if record.header.log_index != log.next || record.header.previous_header != log.previous {
            return Err(broken(at));
        }
        let verified = VerifiedRecord::of(&record).ok_or_else(|| broken(at))?;
        if let Some(tree) = repeated_tree(&verified.body) {
            log.regain(tree);
        }
        log.push(bytes);
        let location = RecordLocation {
            segment: header.segment,
            offset: ByteOffset::new(offset_of(at)),
            bytes: u32::try_from(record.header.total_bytes()).unwrap_or(u32::MAX),
            header_digest: Digest::chain(bytes),
        };
        records.push(PlacedRecord {
            record: verified,
            location,
        });
    }
    Ok(records)
}

/// The tree of all records before it, where a record repeats that.
fn repeated_tree(body: &Body) -> Option<&Frontier> {
    match body {
        Body::Marker(marker) => Some(&marker.log),
        Body::Seal(seal) => seal.log.as_ref(),
        _ => None,
    }
}
