//! The copies of one segment, read side by side.

use std::collections::BTreeMap;

use stele_device::buffer::BufferMut;
use stele_device::disk::{BlockingDisk, Reads};
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use stele_format::segment::FOOTER_MAGIC;
use stele_format::units::{PoolId, SegmentId};

use super::Disks;
use super::scan::begins_at;
use super::table::Place as Evidence;
use crate::engine::DiskSlot;
use crate::plants::{Plant, on};
use crate::pool::{Place, Pool, SegmentInfo};

const BLOCK: usize = BLOCK_BYTES as usize;
const SECTOR: usize = 512;
const WINDOW: usize = 1 << 20;
/// A seal, and a footer of up to some fifty frames.
const TAIL_BYTES: u64 = 16 << 10;

/// One copy: where it lies, and a window of its bytes.
struct Copy {
    slot: DiskSlot,
    base: u64,
    /// Whether it is one of the copies that count; of another only a frame that verifies is believed.
    votes: bool,
    window: Option<(u64, BufferMut)>,
    /// Before this no window is read.
    narrow_until: u64,
}

/// The copies of one segment that have a vote, and how many there should be.
pub(super) struct SegmentCopies {
    pool: PoolId,
    pub(super) segment: SegmentId,
    bytes: u64,
    copies: Vec<Copy>,
    absent: usize,
}

/// What one copy shows at an offset.
pub(super) struct Shown {
    pub(super) slot: DiskSlot,
    pub(super) base: u64,
    pub(super) votes: bool,
    pub(super) evidence: Evidence,
    pub(super) frame: Option<(FrameHeader, Vec<u8>)>,
}

impl SegmentCopies {
    /// The copies on disks that take part.
    pub(super) fn of(pool: &Pool, segment: SegmentId, info: &SegmentInfo) -> Self {
        let copies = copies_at(pool, info.places.iter(), true);
        let bytes = u64::from(info.units) * u64::from(pool.unit_bytes);
        let absent = info.places.len() - copies.len();
        Self {
            pool: pool.id,
            segment,
            bytes,
            copies,
            absent,
        }
    }

    /// As [`SegmentCopies::of`], and what was found of the segment at other places: a copy may have
    /// moved there, though the record that says so is yet to be read. Then a place that does not show
    /// how the segment begins may be one that a copy left, on a disk that is another one by now: it
    /// says nothing, and nothing is to be written there.
    pub(super) fn with_found(
        pool: &Pool,
        disks: &mut Disks,
        segment: SegmentId,
        info: &SegmentInfo,
        found: &[Place],
    ) -> Self {
        let mut all = Self::of(pool, segment, info);
        let elsewhere = found.iter().filter(|place| !info.places.contains(place));
        let witnesses = copies_at(pool, elsewhere, false);
        if witnesses.is_empty() {
            return all;
        }
        for copy in &mut all.copies {
            let disk = disks.get(copy.slot);
            copy.votes = disk.is_some_and(|disk| begins_at(disk, copy.base, pool.id, segment));
        }
        all.copies.sort_by_key(|copy| !copy.votes);
        all.absent = info.places.len() - all.voting().count();
        all.copies.extend(witnesses);
        all
    }

    /// Reads how segments end, a few of them at a time: where they are sealed, seal and footer are mostly there.
    pub(super) fn read_tails<'a>(all: impl Iterator<Item = &'a mut Self>, disks: &mut Disks) {
        let mut by_slot: BTreeMap<DiskSlot, Vec<(&mut Copy, u64, usize)>> = BTreeMap::new();
        for one in all {
            let bytes = TAIL_BYTES.min(one.bytes);
            let (start, len) = (one.bytes - bytes, usize::try_from(bytes).unwrap_or(0));
            if let Some(copy) = one.copies.first_mut() {
                by_slot
                    .entry(copy.slot)
                    .or_default()
                    .push((copy, start, len));
            }
        }
        let mut reading = Vec::new();
        for (slot, copies) in by_slot {
            let ranges = copies.iter();
            let ranges = ranges.map(|(copy, start, len)| (copy.base + start, *len));
            if let Some(disk) = disks.get(slot) {
                let reads = Reads::begin(disk, ranges.collect());
                reading.push((slot, copies, reads));
            }
        }
        for (slot, copies, reads) in reading {
            let Some(disk) = disks.get(slot) else {
                continue;
            };
            for ((copy, start, _), tail) in copies.into_iter().zip(reads.end(disk)) {
                copy.window = tail.ok().map(|tail| (start, tail));
            }
        }
    }

    /// Where the copies that count lie.
    pub(super) fn voting(&self) -> impl Iterator<Item = (DiskSlot, u64)> {
        let copies = self.copies.iter().filter(|copy| copy.votes);
        copies.map(|copy| (copy.slot, copy.base))
    }

    /// Whether every copy that counts is on a disk that takes part.
    pub(super) const fn are_all_here(&self) -> bool {
        self.absent == 0
    }

    /// Bytes of the segment.
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    /// Reads the place of a frame on every copy.
    pub(super) fn show(&mut self, disks: &mut Disks, expect: FrameExpectation) -> Vec<Shown> {
        let bytes = self.bytes;
        self.copies
            .iter_mut()
            .map(|copy| copy.show(disks, expect, bytes))
            .collect()
    }

    /// The evidence of every copy, absent ones included.
    pub(super) fn evidence(&self, shown: &[Shown]) -> Vec<Evidence> {
        let counts = |copy: &&Shown| copy.votes || copy.evidence == Evidence::Valid;
        let shown = shown.iter().filter(counts);
        let mut all: Vec<Evidence> = shown.map(|copy| copy.evidence).collect();
        all.extend(std::iter::repeat_n(Evidence::Absent, self.absent));
        all
    }

    /// Headers of frames that stand anywhere at or after an offset, on any copy, whatever chain they
    /// claim: where to go on after damage.
    pub(super) fn headers_from(&mut self, disks: &mut Disks, from: u64) -> Vec<FrameHeader> {
        self.headers(disks, from, |_| true)
    }

    /// The same of the copies that count: evidence of what was durable.
    pub(super) fn proofs_from(&mut self, disks: &mut Disks, from: u64) -> Vec<FrameHeader> {
        self.headers(disks, from, |copy| copy.votes)
    }

    fn headers(
        &mut self,
        disks: &mut Disks,
        from: u64,
        of: impl Fn(&Copy) -> bool,
    ) -> Vec<FrameHeader> {
        let mut found = Vec::new();
        let (pool, segment, bytes) = (self.pool, self.segment, self.bytes);
        for copy in self.copies.iter_mut().filter(|copy| of(copy)) {
            let mut offset = from;
            while offset + BLOCK as u64 <= bytes {
                let Some(block) = copy.bytes(disks, offset, BLOCK, bytes) else {
                    offset += BLOCK as u64;
                    continue;
                };
                let at = stele_format::units::ByteOffset::new(offset);
                let expect = FrameExpectation::at(pool, segment, at);
                let header = FrameHeader::decode(&block[..FRAME_HEADER_BYTES as usize])
                    .ok()
                    .and_then(|header| header.verify(expect).ok());
                offset += match &header {
                    Some(header) => u64::from(header.total_bytes).max(BLOCK as u64),
                    None => BLOCK as u64,
                };
                found.extend(header);
            }
        }
        found.sort_by_key(|header| header.segment_offset);
        found
    }

    /// Whether each copy of a segment was begun: header and first frame are one write.
    pub(super) fn beginnings(&mut self, disks: &mut Disks) -> Vec<Evidence> {
        let limit = self.bytes;
        let mut all: Vec<Evidence> = self
            .copies
            .iter_mut()
            .map(|copy| copy.beginning(disks, limit))
            .collect();
        all.extend(std::iter::repeat_n(Evidence::Absent, self.absent));
        all
    }

    /// End of the last block from `from` on that is not blank, on any copy.
    pub(super) fn used_end(&mut self, disks: &mut Disks, from: u64) -> u64 {
        let bytes = self.bytes;
        let mut end = from;
        for copy in &mut self.copies {
            let mut offset = from;
            while offset < bytes {
                let blank = copy
                    .bytes(disks, offset, BLOCK, bytes)
                    .is_some_and(stele_format::codec::is_blank);
                offset += BLOCK as u64;
                if !blank {
                    end = end.max(offset);
                }
            }
        }
        end
    }

    /// A block of the first copy that can be read and satisfies the caller.
    pub(super) fn find_block<T>(
        &mut self,
        disks: &mut Disks,
        offset: u64,
        bytes: usize,
        accept: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let limit = self.bytes;
        self.copies.iter().find_map(|copy| {
            let end = offset
                .checked_add(bytes as u64)
                .filter(|end| *end <= limit)?;
            // What is looked up singly is read singly, unless a window holds it.
            if let Some((start, window)) = &copy.window
                && offset >= *start
                && end <= *start + window.len() as u64
            {
                let skip = usize::try_from(offset - start).ok()?;
                return accept(window.get(skip..skip + bytes)?);
            }
            let disk = disks.get(copy.slot)?;
            accept(&disk.read_at(copy.base + offset, bytes).ok()?)
        })
    }
}

fn copies_at<'a>(pool: &Pool, places: impl Iterator<Item = &'a Place>, votes: bool) -> Vec<Copy> {
    let located = places.filter_map(|place| pool.locate_active(place));
    let copy = |(slot, base)| Copy {
        slot,
        base,
        votes,
        window: None,
        narrow_until: 0,
    };
    located.map(copy).collect()
}

impl Copy {
    /// Bytes of this copy, through its window.
    fn bytes(&mut self, disks: &mut Disks, offset: u64, len: usize, limit: u64) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= limit)?;
        let inside = self
            .window
            .as_ref()
            .is_some_and(|(start, window)| offset >= *start && end <= *start + window.len() as u64);
        if !inside {
            self.window = Some((offset, self.read(disks, offset, len, limit)?));
        }
        let (start, window) = self.window.as_ref()?;
        let skip = usize::try_from(offset - start).ok()?;
        window.get(skip..skip + len)
    }

    /// Reads a window, or less where that fails: a bad block elsewhere in it says nothing about these
    /// bytes. What lies before its end is not tried as a window again: bad blocks are slow.
    fn read(
        &mut self,
        disks: &mut Disks,
        offset: u64,
        len: usize,
        limit: u64,
    ) -> Option<BufferMut> {
        let (disk, at) = (disks.get(self.slot)?, self.base + offset);
        let wide = (WINDOW.max(len) as u64).min(limit - offset);
        if offset >= self.narrow_until {
            match disk.read_at(at, usize::try_from(wide).ok()?) {
                Ok(window) => return Some(window),
                Err(_) => self.narrow_until = offset + wide,
            }
        }
        disk.read_at(at, len).ok()
    }

    /// A header ends in its digest and a frame begins with its magic: sectors that are never zero.
    fn beginning(&mut self, disks: &mut Disks, limit: u64) -> Evidence {
        let Some(blocks) = self.bytes(disks, 0, 2 * BLOCK, limit) else {
            return Evidence::Unreadable;
        };
        let blank = |at: usize| blocks[at..at + SECTOR].iter().all(|byte| *byte == 0);
        match [0, BLOCK - SECTOR, BLOCK].map(blank) {
            [true, true, true] => Evidence::Blank,
            [false, false, false] => Evidence::Rotten,
            _ => Evidence::Torn,
        }
    }

    fn show(&mut self, disks: &mut Disks, expect: FrameExpectation, limit: u64) -> Shown {
        let (slot, base, votes) = (self.slot, self.base, self.votes);
        let (evidence, frame) = self.look(disks, expect, limit);
        Shown {
            slot,
            base,
            votes,
            evidence,
            frame,
        }
    }

    fn look(
        &mut self,
        disks: &mut Disks,
        expect: FrameExpectation,
        limit: u64,
    ) -> (Evidence, Option<(FrameHeader, Vec<u8>)>) {
        let offset = expect.segment_offset.get();
        if offset + BLOCK as u64 > limit {
            return (Evidence::Blank, None);
        }
        let Some(block) = self.bytes(disks, offset, BLOCK, limit) else {
            return (Evidence::Unreadable, None);
        };
        if block[..SECTOR].iter().all(|byte| *byte == 0) || block[..8] == FOOTER_MAGIC {
            return (Evidence::Blank, None);
        }
        let header = FrameHeader::decode(&block[..FRAME_HEADER_BYTES as usize])
            .ok()
            .and_then(|header| header.verify(expect).ok());
        let Some(header) = header else {
            return (Evidence::Rotten, None);
        };
        let total = (header.total_bytes as usize).min(FRAME_BYTES_MAX as usize);
        let Some(frame) = self.bytes(disks, offset, total, limit) else {
            return (Evidence::Unreadable, None);
        };
        if header.check_payload(frame).is_ok() || on(Plant::TornFrameAdopted) {
            return (Evidence::Valid, Some((header, frame.to_vec())));
        }
        let used = FRAME_HEADER_BYTES as usize + header.payload_bytes as usize;
        // The last sector counts as far as it is used: what ends a record is never all zeros.
        let lost = frame[..used.min(frame.len())]
            .chunks(SECTOR)
            .any(|s| s.iter().all(|byte| *byte == 0));
        (
            if lost {
                Evidence::Torn
            } else {
                Evidence::Rotten
            },
            None,
        )
    }
}
