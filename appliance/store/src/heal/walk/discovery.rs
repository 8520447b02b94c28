//! A walk over a segment whose frames no footer lists.

use stele_device::buffer::BufferMut;
use stele_format::limits::BLOCK_BYTES;

use super::{Extent, For, Phase, Walk};
use crate::heal::discovery::{Discovery, Found, Hole};
use crate::heal::{Role, roots};
use crate::pool::stated::Stated;

impl Walk {
    /// Nothing seals the segment: its frames are found by their headers.
    pub(super) fn discover_unsealed(&mut self, data_end: u64) {
        let chain = self.first_chain();
        let found = if data_end >= u64::from(BLOCK_BYTES) {
            Discovery::new(chain, data_end)
        } else {
            // A record says that it was sealed, and only the seal says where its frames end.
            Discovery::up_to(chain, self.seal_at())
        };
        self.phase = Phase::Discovery(found);
    }

    /// The seal says where the frames end; their own headers say the rest.
    pub(super) fn discover_sealed(&mut self, data_end: u64) {
        self.phase = Phase::Discovery(Discovery::new(self.first_chain(), data_end));
    }

    /// What the first frame must quote.
    fn first_chain(&self) -> Option<stele_format::digest::Digest> {
        let header = self.roots.header.as_ref();
        header
            .and_then(|block| roots::header(&self.identity, block))
            .map(|header| header.digest())
    }

    /// Reads on for headers, from the first copy that can give the next one.
    pub(super) fn discover(&mut self, mut found: Discovery) {
        match (found.wants(), self.source_from(0)) {
            (Some((offset, bytes)), Some(copy)) => {
                self.read(copy, offset, bytes, For::Discovery(copy));
                self.phase = Phase::Discovery(found);
            }
            (Some(_), None) => {
                found.give_up();
                self.start_discovered(found);
            }
            (None, _) => self.start_discovered(found),
        }
    }

    /// The first copy from this number on whose bytes count.
    fn source_from(&self, first: usize) -> Option<usize> {
        (first..self.copies.len())
            .find(|copy| self.live[*copy] && self.copies[*copy].role != Role::Target)
    }

    pub(super) fn discovered(&mut self, copy: usize, bytes: Option<BufferMut>) {
        let (identity, next) = (self.identity, self.source_from(copy + 1));
        let Phase::Discovery(found) = &mut self.phase else {
            return;
        };
        if found.take(&identity, bytes.as_deref()) {
            return;
        }
        match (next, found.wants()) {
            (Some(copy), Some((offset, bytes))) => {
                self.read(copy, offset, bytes, For::Discovery(copy));
            }
            _ => found.pass_over(),
        }
    }

    /// Frames that were found by their headers; with a seal, or a record that states it, they give back what is lost
    /// of the end.
    fn start_discovered(&mut self, found: Discovery) {
        let found = found.finish();
        if let (None, Some(stated)) = (&self.roots.seal, self.stated()) {
            if let Some(sealed) = self.seal_anew(stated, &found) {
                self.made_anew = true;
                return self.expect_footer(sealed);
            }
            self.lose(None, self.seal_at());
        }
        let Found { frames, holes, .. } = found;
        let seal = self.roots.seal.as_ref().map(|(seal, _)| seal.clone());
        let count = seal.as_ref().map(|seal| seal.frame_count);
        for hole in holes {
            self.lose_hole(&hole, count);
        }
        if let Some(seal) = &seal {
            match roots::footer_of(seal, &frames) {
                Some(bytes) => self.roots.footer = Some(bytes),
                None => self.lose(None, seal.footer_offset.get()),
            }
        }
        self.start_runs(frames, seal.as_ref());
    }

    /// The seal that a record states, if these are all frames of the segment. Not where something else verifies.
    fn seal_anew(&self, stated: &Stated, found: &Found) -> Option<roots::Sealed> {
        if self
            .roots
            .seals
            .iter()
            .flatten()
            .any(|block| roots::is_intact(block))
        {
            return None;
        }
        let header = roots::header(&self.identity, self.roots.header.as_ref()?)?;
        let frames = (found.frames.as_slice(), found.chain?);
        roots::seal_of(&self.identity, &header, stated, frames)
    }

    /// The seal that the journal states, wherever it is.
    fn stated(&self) -> Option<&Stated> {
        match &self.extent {
            Extent::Closed { stated, .. } => stated.as_ref(),
            Extent::Open { .. } => None,
        }
    }

    fn lose_hole(&mut self, hole: &Hole, frame_count: Option<u32>) {
        if hole.blank && self.may_be_unfinished() {
            return;
        }
        let behind = frame_count.map(|count| count.saturating_sub(hole.number));
        let frames = hole.frames.or(behind).unwrap_or(1).max(1);
        for number in hole.number..hole.number.saturating_add(frames) {
            self.lose(Some(number), hole.offset);
        }
    }

    /// Whether a frame that no copy ever held whole is one that nobody was told of: of an upload that a
    /// power cut ended. Not so behind a seal, there or stated, which says that all before it was flushed, and not in the
    /// journal, whose end is known to the frame. A disk without a vote may merely have missed it.
    pub(super) fn may_be_unfinished(&self) -> bool {
        let closed = matches!(self.extent, Extent::Closed { .. });
        let votes = |copy: usize| self.live[copy] && self.copies[copy].role == Role::Member;
        closed
            && self.roots.seal.is_none()
            && self.stated().is_none()
            && !self.identity.lane.is_journal()
            && (0..self.copies.len()).any(votes)
    }
}
