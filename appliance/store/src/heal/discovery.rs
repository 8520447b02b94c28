//! The frames of a segment that no footer lists, found by their headers: a crash left it open, or its
//! footer is bad. Behind a place that shows none, the search goes on block by block.

use stele_format::digest::Digest;
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};

use super::Identity;
use super::frames::{Framed, header_at, is_blank};
use crate::limits::HEAL_RUN_BYTES_MAX;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Frames that no copy shows: between two that were found, or behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    /// Number of the first frame in it.
    pub(crate) number: u32,
    /// Where it begins in the segment.
    pub(crate) offset: u64,
    /// How many frames it holds; none where nothing behind it tells.
    pub(crate) frames: Option<u32>,
    /// Whether every copy is blank where it begins.
    pub(crate) blank: bool,
}

/// What a search ends with.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) frames: Vec<Framed>,
    pub(crate) holes: Vec<Hole>,
    /// Digest of the last frame's header, or of the segment header where there is none; none if that is not known.
    pub(crate) chain: Option<Digest>,
}

/// A search under way.
#[derive(Debug, Clone)]
pub(crate) struct Discovery {
    frames: Vec<Framed>,
    holes: Vec<Hole>,
    /// What the next header must quote; none behind a hole.
    chain: Option<Digest>,
    /// Digest of the last header that was found, or of the segment header.
    last: Option<Digest>,
    next: u64,
    end: u64,
    /// Whether frames reach to the end; else they end somewhere before it.
    exact: bool,
    /// The hole that the search is in.
    open: Option<Hole>,
    /// The first header further on in what copies gave of the present window.
    further: Option<u64>,
    /// Whether all of them are blank where the window begins.
    blank: bool,
}

impl Discovery {
    /// Of the frames between the segment header, whose digest the first must quote if it is known, and
    /// `end`.
    pub(crate) fn new(header: Option<Digest>, end: u64) -> Self {
        Self {
            frames: Vec::new(),
            holes: Vec::new(),
            chain: header,
            last: header,
            next: BLOCK,
            end,
            exact: true,
            open: None,
            further: None,
            blank: true,
        }
    }

    /// The same, where the frames end somewhere before `end`.
    pub(crate) fn up_to(header: Option<Digest>, end: u64) -> Self {
        Self {
            exact: false,
            ..Self::new(header, end)
        }
    }

    /// Where the next header should be, and how much to read there; none when the end is reached.
    pub(crate) fn wants(&self) -> Option<(u64, usize)> {
        let left = self.end.saturating_sub(self.next);
        let bytes = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(HEAL_RUN_BYTES_MAX);
        (bytes >= BLOCK_BYTES as usize).then_some((self.next, bytes))
    }

    /// Takes what a copy gave at [`Discovery::wants`]. False when it shows no header there: the next
    /// copy is to be asked for the same.
    pub(crate) fn take(&mut self, identity: &Identity, bytes: Option<&[u8]>) -> bool {
        let Some(bytes) = bytes else {
            self.blank = false;
            return false;
        };
        if self.follow(identity, bytes) {
            self.enter(self.next);
            return true;
        }
        self.blank &= is_blank(bytes);
        let further = (self.next..)
            .step_by(BLOCK_BYTES as usize)
            .zip(bytes.chunks_exact(BLOCK_BYTES as usize))
            .skip(1)
            .find(|(at, block)| header_at(identity, *at, block).is_some())
            .map(|(at, _)| at);
        self.further = match (self.further, further) {
            (Some(known), Some(found)) => Some(known.min(found)),
            (known, found) => known.or(found),
        };
        false
    }

    /// Follows headers as far as the bytes reach.
    fn follow(&mut self, identity: &Identity, bytes: &[u8]) -> bool {
        let start = self.next;
        while let Ok(at) = usize::try_from(self.next - start)
            && let Some(bytes) = bytes.get(at..)
            && let Some(header) = header_at(identity, self.next, bytes)
            && self
                .chain
                .is_none_or(|chain| chain == header.previous_header)
            && header.end_offset().get() <= self.end
            && header.total_bytes <= FRAME_BYTES_MAX
        {
            let frame = Framed::of_header(&header);
            if let Some(hole) = self.open.take() {
                let frames = Some(frame.number.saturating_sub(hole.number));
                self.holes.push(Hole { frames, ..hole });
            }
            self.chain = Some(header.digest());
            self.last = self.chain;
            self.next = header.end_offset().get();
            self.frames.push(frame);
        }
        self.next > start
    }

    /// No copy shows a header where one should be: goes on at the next one that any of them showed.
    pub(crate) fn pass_over(&mut self) {
        let Some((offset, bytes)) = self.wants() else {
            return;
        };
        let blank = self.blank;
        self.open_hole(offset, blank);
        let behind = offset.saturating_add(bytes as u64);
        let next = self.further.unwrap_or(behind);
        self.enter(next);
    }

    /// No copy can be read any more.
    pub(crate) fn give_up(&mut self) {
        if let Some((offset, _)) = self.wants() {
            self.open_hole(offset, false);
            self.exact = true;
        }
    }

    fn open_hole(&mut self, offset: u64, blank: bool) {
        let number = self.frames.last().map_or(0, |frame| frame.number + 1);
        self.open.get_or_insert(Hole {
            number,
            offset,
            frames: None,
            blank,
        });
        self.chain = None;
    }

    fn enter(&mut self, next: u64) {
        self.next = next;
        self.further = None;
        self.blank = true;
    }

    /// What was found, and what was not.
    pub(crate) fn finish(mut self) -> Found {
        self.holes.extend(self.open.filter(|_| self.exact));
        Found {
            frames: self.frames,
            holes: self.holes,
            chain: self.last,
        }
    }
}
