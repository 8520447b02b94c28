//! Data segments at start: where every chunk lies, from footers where a segment is sealed and from the
//! frames themselves where it is not.

use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::BLOCK_BYTES;
use stele_format::segment::{Footer, SegmentExpectation, SegmentSeal};
use stele_format::units::{ByteOffset, PoolId, SegmentId, Sequence};

use super::Disks;
use super::copies::SegmentCopies;
use crate::index::rows::ChunkRow;
use crate::index::{DirectRows, Fact, IndexStore, Memtable};
use crate::pool::{Pool, SegmentInfo};

const BLOCK: usize = BLOCK_BYTES as usize;

/// What a data segment holds.
pub(super) struct LaneSegment {
    pub(super) data_end: u64,
    pub(super) last_sequence: Sequence,
    pub(super) sealed_units: Option<u32>,
}

/// Enters the chunks of a data segment into the index.
pub(super) fn index_segment(
    pool: &Pool,
    disks: &mut Disks,
    copies: &mut SegmentCopies,
    info: &SegmentInfo,
    memtable: &mut Memtable,
    index: &IndexStore,
) -> LaneSegment {
    let segment = copies.segment;
    let mut place = |digest, offset: ByteOffset, total_bytes: u32| {
        let fact = Fact::ChunkPlaced {
            digest,
            row: ChunkRow {
                segment,
                offset,
                total_bytes,
            },
        };
        let mut rows = DirectRows::new(memtable, index);
        // Placing a chunk reads no row, so it cannot fail.
        let placed = crate::index::apply(&fact, &mut rows);
        debug_assert!(placed.is_ok());
    };
    if let Some((seal, footer)) = sealed(copies, disks, pool.id, segment, info, pool.unit_bytes) {
        for entry in &footer.entries {
            let total = u32::try_from(entry.bytes().get()).unwrap_or(u32::MAX);
            place(entry.payload_digest, entry.offset(), total);
        }
        return LaneSegment {
            data_end: seal.data_end.get(),
            last_sequence: seal.last_sequence,
            sealed_units: Some(seal.units.get()),
        };
    }
    let frames: Vec<FrameHeader> = copies
        .headers_from(disks, u64::from(BLOCK_BYTES))
        .into_iter()
        .filter(|header| header.lane == info.lane)
        .collect();
    let mut last_sequence = Sequence::ZERO;
    for header in &frames {
        place(
            header.payload_digest,
            header.segment_offset,
            header.total_bytes,
        );
        last_sequence = last_sequence.max(header.sequence);
    }
    // All before a seal was flushed, wherever the seal is.
    let whole = frames
        .iter()
        .rev()
        .find(|header| info.stated.is_some() || !is_unfinished(copies, disks, header));
    let data_end = whole.map_or(0, |header| header.end_offset().get());
    LaneSegment {
        data_end,
        last_sequence,
        sealed_units: None,
    }
}

/// Whether a power cut ended the writing of a frame: no copy was ever given all of it.
fn is_unfinished(copies: &mut SegmentCopies, disks: &mut Disks, header: &FrameHeader) -> bool {
    let mut expect = FrameExpectation::at(header.pool, header.segment, header.segment_offset);
    expect.sequence = Some(header.sequence);
    let shown = copies.show(disks, expect);
    shown.iter().all(|copy| copy.evidence.votes_no())
}

/// Seal and footer, if some copy has both intact. A segment that was closed early ends at any unit.
fn sealed(
    copies: &mut SegmentCopies,
    disks: &mut Disks,
    pool: PoolId,
    segment: SegmentId,
    info: &SegmentInfo,
    unit_bytes: u32,
) -> Option<(SegmentSeal, Footer)> {
    (1..=info.units).rev().find_map(|units| {
        let offset = u64::from(units) * u64::from(unit_bytes) - BLOCK as u64;
        let expect = SegmentExpectation::new(pool, segment);
        let seal = copies.find_block(disks, offset, BLOCK, |block| {
            let seal = SegmentSeal::decode(block).ok()?.identify(&expect).ok()?;
            (seal.own_offset().get() == offset).then_some(seal)
        })?;
        let bytes = (seal.footer_bytes as usize).next_multiple_of(BLOCK);
        let footer = copies.find_block(disks, seal.footer_offset.get(), bytes, |bytes| {
            Footer::decode(bytes).ok()?.verify(&seal).ok()
        })?;
        Some((seal, footer))
    })
}

/// Whether nothing can be said of a segment of which no copy is here, since a record may be lost of where they are.
pub(super) fn is_in_doubt(pool: &Pool, segment: SegmentId) -> bool {
    let before = pool.doubted.is_some_and(|doubted| segment < doubted);
    before && pool.is_away(segment)
}

/// Whether no copy of a segment that is here holds anything at all.
pub(super) fn is_blank(
    pool: &Pool,
    disks: &mut Disks,
    segment: SegmentId,
    info: &SegmentInfo,
) -> bool {
    SegmentCopies::of(pool, segment, info).used_end(disks, 0) == 0
}

/// Where a segment that was left open may be cut: its frames end here, and no copy holds anything in
/// the units beyond. A copy that is away may, and whoever is given free units takes them for blank.
pub(super) fn units_kept(
    pool: &Pool,
    disks: &mut Disks,
    segment: SegmentId,
    info: &SegmentInfo,
    data_end: u64,
) -> u32 {
    if !pool.is_all_here(segment) {
        return info.units;
    }
    let mut copies = SegmentCopies::of(pool, segment, info);
    let unit = u64::from(pool.unit_bytes);
    let whole = data_end.div_ceil(unit) * unit;
    let used = copies.used_end(disks, whole.min(copies.len()));
    // At least one blank block stays behind the data, where the next frame would have been.
    let end = used.max(data_end + u64::from(BLOCK_BYTES));
    u32::try_from(end.div_ceil(unit))
        .unwrap_or(info.units)
        .clamp(1, info.units)
}
