//! What becomes of a write that was not flushed when the power went.

use std::ops::Range;

use crate::limits::{BLOCK_BYTES, SECTOR_BYTES};
use crate::sim::rng::SimRng;

/// What one cut is like: some take everything, some nothing, most choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    LosesAll,
    KeepsAll,
    Chooses,
}

/// What survives of one write, in bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Whole,
    Torn(Vec<Range<usize>>),
}

pub(super) fn mood(rng: &mut SimRng) -> Mood {
    match rng.below(8) {
        0 => Mood::LosesAll,
        1 => Mood::KeepsAll,
        _ => Mood::Chooses,
    }
}

/// A write of `bytes` bytes; of its sectors each is kept whole or not at all.
pub(super) fn fate(mood: Mood, bytes: usize, rng: &mut SimRng) -> Fate {
    match (mood, rng.below(3)) {
        (Mood::LosesAll, _) | (Mood::Chooses, 0) => Fate::Lost,
        (Mood::KeepsAll, _) | (Mood::Chooses, 1) => Fate::Whole,
        (Mood::Chooses, _) => Fate::Torn(torn(bytes, rng)),
    }
}

/// The start, the end, or any pieces of it, by sectors or by blocks.
fn torn(bytes: usize, rng: &mut SimRng) -> Vec<Range<usize>> {
    let grain = if rng.coin() {
        SECTOR_BYTES
    } else {
        BLOCK_BYTES
    };
    let grains = bytes / grain;
    let place = grain * rng.below(grains + 1);
    match rng.below(3) {
        0 => one(0..place),
        1 => one(place..bytes),
        _ => {
            let kept = (0..grains).filter(|_| rng.coin());
            kept.fold(Vec::new(), |mut ranges: Vec<Range<usize>>, number| {
                let start = number * grain;
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end += grain,
                    _ => ranges.push(start..start + grain),
                }
                ranges
            })
        }
    }
}

fn one(range: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(range)
        .filter(|range| !range.is_empty())
        .collect()
}

/// Any order of these.
pub(super) fn shuffle(ids: &mut [u64], rng: &mut SimRng) {
    for end in (1..ids.len()).rev() {
        ids.swap(end, rng.below(end + 1));
    }
}
