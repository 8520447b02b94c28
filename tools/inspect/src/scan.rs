//! One copy of one segment, read from front to back.
//!
//! A scan states facts and judges nothing: which frames verify, which places hold something else,
//! where the frames end. A place is put into the classes of [`Class`] by what its 512-byte sectors
//! hold, since a sector is the smallest piece a disk writes as a whole: a place with sectors that
//! were never written is an unfinished write, a place whose sectors are all there but wrong has
//! changed after it was written.

use stele_format::frame::FrameHeader;
use stele_format::segment::SegmentSeal;
use stele_format::units::{PoolId, SegmentId};

use crate::limits::SECTOR_BYTES;
use crate::media::{self, BLOCK, BLOCK_LEN, FRAME_HEADER_LEN, WRITE_BYTES_MAX, length};
use crate::seal::begins_footer;
use crate::source::{ReadFault, Source, Window, is_zero};

/// What a place shows where a frame should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Never written: zero throughout.
    Blank,
    /// Some sectors were written, some never were.
    Torn,
    /// Written and changed since.
    Rotten,
    /// The disk does not give the bytes.
    Unreadable,
}

impl Class {
    /// Whether an unfinished write explains the place.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Blank | Self::Torn)
    }
}

/// A frame whose header verifies, with where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Byte offset in the segment.
    pub offset: u64,
    /// Number in the segment.
    pub index: u32,
    /// The header as read.
    pub header: FrameHeader,
}

impl Frame {
    /// Offset of the first byte after the frame.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.header.total_bytes)
    }
}

/// A place where a frame should be and none verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPlace {
    /// Byte offset in the segment.
    pub offset: u64,
    /// Bytes up to the next frame, or to where the search ended.
    pub bytes: u64,
    /// Number the frame here would have.
    pub index: u32,
    /// The frame's header, when that much verifies.
    pub claim: Option<Frame>,
    /// What the place shows.
    pub class: Class,
    /// Whether frames that verify follow in this copy.
    pub followed: bool,
    /// What is wrong, for an operator.
    pub what: String,
}

/// Where a copy lies and how far it may be read.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Byte offset of the segment on its disk.
    pub start: u64,
    /// Bytes that belong to the segment.
    pub bytes: u64,
}

/// Everything one copy shows.
#[derive(Debug, Clone, Default)]
pub struct CopyScan {
    /// Frames that verify, in order.
    pub frames: Vec<Frame>,
    /// Places between and after them that do not.
    pub bad: Vec<BadPlace>,
    /// Offset after the last frame that verifies or claims its length.
    pub end: u64,
    /// Frames verified, in bytes.
    pub bytes_verified: u64,
}

/// Reads the frames of a copy. With a seal, frames end where it says; without one, where no further
/// frame is found in the extent.
#[must_use]
pub fn scan_copy(
    source: &dyn Source,
    extent: Extent,
    pool: PoolId,
    segment: SegmentId,
    seal: Option<&SegmentSeal>,
) -> CopyScan {
    let limit = seal.map_or(extent.bytes, |seal| seal.data_end.get().min(extent.bytes));
    let window = Window::new(source, extent.start + limit);
    let mut scanner = Scanner {
        window,
        extent,
        pool,
        segment,
        limit,
        result: CopyScan::default(),
    };
    scanner.run(seal.is_some());
    scanner.result
}

struct Scanner<'a> {
    window: Window<'a>,
    extent: Extent,
    pool: PoolId,
    segment: SegmentId,
    limit: u64,
    result: CopyScan,
}

enum Found {
    Frame(Frame),
    BadPayload(Frame, Class, String),
    Nothing(String),
}

impl Scanner<'_> {
    fn run(&mut self, sealed: bool) {
        let mut at = BLOCK;
        let mut index = 0_u32;
        self.result.end = at;
        while at + BLOCK <= self.limit {
            match self.look(at, index) {
                Found::Frame(frame) => {
                    at = frame.end();
                    index = frame.index.saturating_add(1);
                    self.result.bytes_verified += u64::from(frame.header.total_bytes);
                    self.result.frames.push(frame);
                    self.result.end = at;
                }
                Found::BadPayload(frame, class, what) => {
                    let (offset, next) = (at, frame.end());
                    index = frame.index.saturating_add(1);
                    self.bad(offset, next - offset, frame.index, Some(frame), class, what);
                    at = next;
                    self.result.end = at;
                }
                Found::Nothing(what) => {
                    let next = self.next_frame(at + BLOCK, index);
                    if next.is_none() && !sealed && self.is_footer(at) {
                        break;
                    }
                    let until = next.unwrap_or(self.limit);
                    let span = if next.is_some() || sealed {
                        until - at
                    } else {
                        (until - at).min(WRITE_BYTES_MAX)
                    };
                    let class = self.class_of(at, span);
                    if next.is_some() || sealed || class != Class::Blank {
                        self.bad(at, span, index, None, class, what);
                    }
                    match next {
                        Some(next) => at = next,
                        None => break,
                    }
                }
            }
        }
        self.mark_followed();
    }

    fn bad(
        &mut self,
        offset: u64,
        bytes: u64,
        index: u32,
        claim: Option<Frame>,
        class: Class,
        what: String,
    ) {
        let place = BadPlace {
            offset,
            bytes,
            index,
            claim,
            class,
            followed: false,
            what,
        };
        self.result.bad.push(place);
    }

    fn mark_followed(&mut self) {
        let last = self.result.frames.last().map_or(0, |frame| frame.offset);
        for place in &mut self.result.bad {
            place.followed = place.offset < last;
        }
    }

    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], ReadFault> {
        self.window.read(self.extent.start + at, len)
    }

    /// What stands at `at`, where a frame with number `index` or later should begin.
    fn look(&mut self, at: u64, index: u32) -> Found {
        let (pool, segment, limit) = (self.pool, self.segment, self.limit);
        let header = match self.bytes(at, FRAME_HEADER_LEN) {
            Err(fault) => return Found::Nothing(format!("its place {fault}")),
            Ok(bytes) if is_zero(bytes) => {
                return Found::Nothing("the place of its header is blank".to_owned());
            }
            Ok(bytes) => match media::frame_header(bytes, pool, segment, at) {
                Ok(header) => header,
                Err(what) => return Found::Nothing(what),
            },
        };
        let frame = Frame {
            offset: at,
            index: header.frame_index.get(),
            header,
        };
        if frame.index < index || frame.end() > limit {
            return Found::Nothing("its header does not belong to this place".to_owned());
        }
        self.check_payload(frame)
    }

    fn check_payload(&mut self, frame: Frame) -> Found {
        let len = length(frame.header.total_bytes);
        let bytes = match self.bytes(frame.offset, len) {
            Ok(bytes) => bytes,
            Err(fault) => {
                return Found::BadPayload(frame, Class::Unreadable, format!("its payload {fault}"));
            }
        };
        match frame.header.check_payload(bytes) {
            Ok(_) => Found::Frame(frame),
            Err(what) => {
                let payload = length(frame.header.payload_bytes);
                let class = payload_class(bytes, payload);
                Found::BadPayload(frame, class, what.to_string())
            }
        }
    }

    /// Whether the frames end here because the segment was being closed.
    fn is_footer(&mut self, at: u64) -> bool {
        self.bytes(at, BLOCK_LEN).is_ok_and(begins_footer)
    }

    /// The first place from `from` on where a frame numbered `index` or later begins.
    fn next_frame(&mut self, from: u64, index: u32) -> Option<u64> {
        let (pool, segment, limit) = (self.pool, self.segment, self.limit);
        let mut at = from;
        while at + BLOCK <= limit {
            if let Ok(block) = self.bytes(at, BLOCK_LEN)
                && !is_zero(&block[..FRAME_HEADER_LEN])
                && let Ok(header) = media::frame_header(block, pool, segment, at)
                && header.frame_index.get() >= index
                && at + u64::from(header.total_bytes) <= limit
            {
                return Some(at);
            }
            at += BLOCK;
        }
        None
    }

    /// The class of a place without a header that verifies.
    fn class_of(&mut self, at: u64, span: u64) -> Class {
        let mut blank = true;
        let mut first_sector_blank = false;
        let mut offset = at;
        while offset < at + span {
            let Ok(block) = self.bytes(offset, BLOCK_LEN) else {
                return Class::Unreadable;
            };
            if offset == at {
                first_sector_blank = is_zero(&block[..SECTOR_BYTES]);
            }
            blank &= is_zero(block);
            offset += BLOCK;
        }
        match (blank, first_sector_blank) {
            (true, _) => Class::Blank,
            (false, true) => Class::Torn,
            (false, false) => Class::Rotten,
        }
    }
}

/// The class of a frame whose header verifies and whose payload does not: sealed bytes have no
/// sector of zeros, so such a sector was never written.
fn payload_class(frame: &[u8], payload_bytes: usize) -> Class {
    let end = (FRAME_HEADER_LEN + payload_bytes).min(frame.len());
    let whole_sectors = frame[..end].chunks_exact(SECTOR_BYTES).skip(1);
    let tail = &frame[end / SECTOR_BYTES * SECTOR_BYTES..end];
    let tail_blank = end > SECTOR_BYTES && !tail.is_empty() && is_zero(tail);
    if tail_blank || whole_sectors.into_iter().any(is_zero) {
        Class::Torn
    } else {
        Class::Rotten
    }
}

/// The class of a place, by comparison with the bytes another copy proves right.
#[must_use]
pub fn class_against(good: &[u8], here: &[u8]) -> Class {
    if is_zero(here) {
        return Class::Blank;
    }
    let mut sectors = good.chunks(SECTOR_BYTES).zip(here.chunks(SECTOR_BYTES));
    if sectors.all(|(good, here)| good == here || is_zero(here)) {
        Class::Torn
    } else {
        Class::Rotten
    }
}
