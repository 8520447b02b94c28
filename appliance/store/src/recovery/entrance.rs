//! Entering the segment in which the journal goes on: by its header, or where no copy has that any more
//! by a header made anew.
//!
//! A header says nothing that is not said elsewhere: by the records before it, by the frame after it. One
//! made from these is the right one exactly if it has the digest that the first frame quotes.

use stele_device::disk::BlockingDisk;
use stele_format::digest::Digest;
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use stele_format::record::{Body, RecordReader};
use stele_format::segment::{FIRST_FRAME_OFFSET, SegmentDisks, SegmentHeader};
use stele_format::units::{DiskId, Epoch, LaneId, SegmentId, Sequence, UnitCount};

use super::Disks;
use crate::pool::{Place, Pool, SegmentInfo};
use crate::read::VerifiedRecord;

/// Where a segment is entered.
pub(super) struct Entrance {
    pub(super) segment: SegmentId,
    /// Its first frame: the next one, or after a forced opening one far ahead.
    pub(super) first: Sequence,
    /// Digest of its header, which its first frame quotes.
    pub(super) chain: Digest,
    /// The header, where no copy has it any more.
    pub(super) lost_header: Option<SegmentHeader>,
}

/// What the header of a lost segment must say of the journal before it.
pub(super) struct Before {
    pub(super) segment: SegmentId,
    pub(super) chain: Digest,
}

/// Makes the header of a segment anew from its first frame and from where its copies lie; none if that
/// is not the header which the frame quotes.
pub(super) fn rebuild_header(
    pool: &Pool,
    disks: &mut Disks,
    segment: SegmentId,
    info: &SegmentInfo,
    found: &[Place],
    before: &Before,
) -> Option<SegmentHeader> {
    let places = info.places.iter().chain(found);
    let places: Vec<_> = places
        .filter_map(|place| pool.locate_active(place))
        .collect();
    let (first, payload) = places.into_iter().find_map(|(slot, base)| {
        let disk = disks.get(slot)?;
        let at = base + FIRST_FRAME_OFFSET.get();
        let block = disk.read_at(at, BLOCK_BYTES as usize).ok()?;
        let expect = FrameExpectation {
            lane: Some(LaneId::JOURNAL),
            ..FrameExpectation::at(pool.id, segment, FIRST_FRAME_OFFSET)
        };
        let header = FrameHeader::decode(block.get(..FRAME_HEADER_BYTES as usize)?)
            .ok()?
            .verify(expect)
            .ok()?;
        let total = header.total_bytes.min(FRAME_BYTES_MAX) as usize;
        let frame = disk.read_at(at, total).ok()?;
        let payload = header.check_payload(&frame).ok()?.to_vec();
        Some((header, payload))
    })?;
    let known: Vec<DiskId> = info.places.iter().map(|place| place.disk).collect();
    let own = allocated_in(&first, &payload, segment);
    let mut header = SegmentHeader {
        pool: pool.id,
        segment,
        lane: LaneId::JOURNAL,
        epoch: first.epoch,
        units: UnitCount::new(pool.segment_units),
        unit_bytes: pool.unit_bytes,
        first_sequence: first.sequence,
        previous_segment: before.segment,
        previous_chain: before.chain,
        compliance_ms: first.compliance_ms,
        disks: SegmentDisks::new(&own.unwrap_or(known))?,
    };
    // A key counter may have run full between the header and the first frame.
    let epochs = [first.epoch.get(), first.epoch.get().saturating_sub(1)];
    epochs.into_iter().find_map(|epoch| {
        header.epoch = Epoch::new(epoch);
        (header.digest() == first.previous_header).then_some(header.clone())
    })
}

/// The disks of a segment whose first frame allocates it, as that of an epoch does.
fn allocated_in(first: &FrameHeader, payload: &[u8], segment: SegmentId) -> Option<Vec<DiskId>> {
    RecordReader::new(payload, first.record_count).find_map(|view| {
        let record = view.ok()?.verify().ok()?;
        match VerifiedRecord::of(&record)?.body {
            Body::Alloc(alloc) if alloc.segment == segment => {
                Some(alloc.placements.iter().map(|placed| placed.disk).collect())
            }
            _ => None,
        }
    })
}
