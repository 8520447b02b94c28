//! Journal frames that rot on every disk, chosen where it matters.

use std::collections::BTreeSet;

use stele_format::units::{SegmentId, Sequence};
use stele_sim::rng::Rng;

use crate::archive::{Archive, Frame};
use crate::support::Rig;

const BLOCK_BYTES: u64 = 4096;
const FRAME_HEADER_BYTES: u64 = 256;
/// Frames with which a vault and its people begin; without them nobody could sign.
const FOUNDING_FRAME_COUNT: usize = 8;

/// What rotted of a frame on one disk.
pub struct Rotten {
    pub sequence: Sequence,
    /// It is still so.
    pub is_bad: bool,
    pub disk: usize,
    /// The header of this segment with it: nothing in it need be found any more.
    pub header_of: Option<SegmentId>,
    at: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Rotten {
    /// The bytes are as they were, unless something else was written there since.
    pub fn put_back(&mut self, rig: &Rig) {
        let Some(disk) = &rig.handles[self.disk] else {
            return;
        };
        if disk.peek(self.at, self.after.len()) == self.after {
            disk.tamper(self.at, &self.before);
        }
        self.is_bad = false;
    }
}

/// Frames rot in a few places, in runs; all copies of each. Those with which the vault went on after a forced opening
/// only where that is asked for.
pub fn rot(rng: &mut Rng, rig: &Rig, log: &Archive, openings: bool) -> Vec<Rotten> {
    let frames: Vec<Sequence> = log.frames.keys().copied().collect();
    let mut chosen = BTreeSet::new();
    let places = match rng.below(12) {
        0 => 20,
        _ => rng.magnitude(5),
    };
    for _ in 0..places {
        let first = begins(rng, log, &frames);
        let count = rng.index(5).saturating_sub(1).max(1);
        chosen.extend(first..(first + count).min(frames.len()));
    }
    let mut rotten = Vec::new();
    for at in chosen {
        let frame = &log.frames[&frames[at]];
        let spared = at < FOUNDING_FRAME_COUNT && !rng.permille(20);
        if spared || frame.opens() && !openings {
            continue;
        }
        let how = How::draw(rng, frame);
        for (disk, place) in &frame.copies {
            let Some(handle) = &rig.handles[*disk] else {
                continue;
            };
            let (at, bytes) = how.bytes(frame, *place);
            let before = handle.peek(at, bytes);
            let after = how.rotten(&before);
            handle.tamper(at, &after);
            rotten.push(Rotten {
                sequence: frame.header.sequence,
                is_bad: true,
                disk: *disk,
                header_of: matches!(how, How::WithHeader).then_some(frame.header.segment),
                at,
                before,
                after,
            });
        }
    }
    rotten
}

/// How a frame is lost.
enum How {
    /// A flipped byte, in its header or in its payload.
    Flipped(usize),
    /// As if it had never been written.
    Zeros,
    /// Where it is the first of a segment: that one's header, too.
    WithHeader,
}

impl How {
    fn draw(rng: &mut Rng, frame: &Frame) -> Self {
        let all = FRAME_HEADER_BYTES + u64::from(frame.header.payload_bytes);
        match rng.below(6) {
            0 => Self::Zeros,
            1 | 2 if frame.is_first_of_segment() => Self::WithHeader,
            _ => Self::Flipped(usize::try_from(rng.below(all)).unwrap()),
        }
    }

    /// Where, and how many bytes.
    fn bytes(&self, frame: &Frame, place: u64) -> (u64, usize) {
        let total = u64::from(frame.header.total_bytes);
        let (at, bytes) = match self {
            Self::WithHeader => (place - BLOCK_BYTES, total + BLOCK_BYTES),
            _ => (place, total),
        };
        (at, usize::try_from(bytes).unwrap())
    }

    fn rotten(&self, before: &[u8]) -> Vec<u8> {
        match self {
            Self::Flipped(at) => {
                let mut bytes = before.to_vec();
                bytes[*at] ^= 0xff;
                bytes
            }
            Self::Zeros => vec![0; before.len()],
            Self::WithHeader => before.iter().map(|byte| byte ^ 0xff).collect(),
        }
    }
}

/// Where a run begins: anywhere, about the ends of segments, beside what was given up, or at the end.
fn begins(rng: &mut Rng, log: &Archive, frames: &[Sequence]) -> usize {
    let any = rng.index(frames.len());
    let before = rng.index(3);
    match rng.below(8) {
        0 => frames.len() - 1 - before.min(frames.len() - 1),
        1 | 2 => {
            let firsts = frames.iter().enumerate();
            let firsts: Vec<usize> = firsts
                .filter(|(_, sequence)| log.frames[*sequence].is_first_of_segment())
                .map(|(at, _)| at)
                .collect();
            let first = rng.pick(&firsts).map_or(any, |at| *at);
            first.saturating_sub(before)
        }
        3 | 4 => {
            let edge = rng.pick(&log.edges).copied();
            let edge = edge.map(|edge| frames.partition_point(|one| *one < edge));
            let edge = edge.unwrap_or(any).min(frames.len() - 1);
            edge.saturating_sub(before)
        }
        _ => any,
    }
}
