//! Footer and seal of a copy, checked against the frames of its segment.

use stele_format::segment::{FOOTER_MAGIC, Footer, FooterEntry, SEAL_MAGIC, SegmentSeal};

use crate::compare::Reference;
use crate::limits::SECTOR_BYTES;
use crate::media::{BLOCK, BLOCK_LEN, length};
use crate::scan::{Class, Extent, class_against};
use crate::source::{Source, Window, is_zero};

/// What is wrong with the end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealFault {
    /// What the place shows.
    pub class: Class,
    /// What is wrong, for an operator.
    pub what: String,
    /// Whether another copy holds these bytes intact.
    pub good_copy: bool,
}

impl SealFault {
    fn new(class: Class, what: &str, good_copy: bool) -> Self {
        Self {
            class,
            what: what.to_owned(),
            good_copy,
        }
    }
}

/// Checks footer, gaps and seal block of one copy of a segment whose seal is known from any copy.
#[must_use]
pub fn check(
    source: &dyn Source,
    extent: Extent,
    seal: &SegmentSeal,
    frames: &[Reference],
) -> Vec<SealFault> {
    let mut faults = Vec::new();
    let right = seal.encode();
    match read(source, extent, seal.own_offset().get(), BLOCK_LEN) {
        None => faults.push(SealFault::new(
            Class::Unreadable,
            "seal: cannot be read",
            true,
        )),
        Some(here) if here == right => {}
        Some(here) => {
            let class = class_against(&right, &here);
            faults.push(SealFault::new(
                class,
                "seal: differs from the seal of another copy",
                true,
            ));
        }
    }
    check_against_frames(seal, frames, &mut faults);
    check_footer(source, extent, seal, frames, &mut faults);
    check_gaps(source, extent, seal, &mut faults);
    faults
}

fn read(source: &dyn Source, extent: Extent, offset: u64, len: usize) -> Option<Vec<u8>> {
    let end = offset.checked_add(len as u64)?;
    if end > extent.bytes {
        return None;
    }
    let mut bytes = vec![0; len];
    source
        .read_at(extent.start + offset, &mut bytes)
        .ok()
        .map(|()| bytes)
}

fn check_against_frames(seal: &SegmentSeal, frames: &[Reference], faults: &mut Vec<SealFault>) {
    let Some(last) = frames.last().map(|last| &last.frame) else {
        return;
    };
    if last.index.checked_add(1) != Some(seal.frame_count) {
        return;
    }
    let fits = last.end() == seal.data_end.get()
        && last.header.digest() == seal.chain_head
        && last.header.sequence == seal.last_sequence;
    if !fits {
        faults.push(SealFault::new(
            Class::Rotten,
            "seal: contradicts the last frame",
            false,
        ));
    }
}

/// The footer follows from the frames, so with all of them its right bytes are known.
fn check_footer(
    source: &dyn Source,
    extent: Extent,
    seal: &SegmentSeal,
    frames: &[Reference],
    faults: &mut Vec<SealFault>,
) {
    let len = length(seal.footer_bytes).next_multiple_of(BLOCK_LEN);
    let Some(here) = read(source, extent, seal.footer_offset.get(), len) else {
        faults.push(SealFault::new(
            Class::Unreadable,
            "footer: cannot be read",
            false,
        ));
        return;
    };
    let entries: Vec<FooterEntry> = frames
        .iter()
        .map(|reference| FooterEntry::of(&reference.frame.header))
        .collect();
    let whole = u32::try_from(entries.len()) == Ok(seal.frame_count);
    match Footer::decode(&here)
        .map_err(|e| e.to_string())
        .and_then(|footer| footer.verify(seal).map_err(|e| e.to_string()))
    {
        Ok(footer) if whole && footer.entries != entries => {
            let what = "footer: lists other frames than there are";
            faults.push(SealFault::new(Class::Rotten, what, false));
        }
        Ok(_) => {}
        Err(what) => {
            let right = Footer {
                segment: seal.segment,
                entries,
            }
            .encode();
            let known = right
                .ok()
                .filter(|(_, digest)| *digest == seal.footer_digest);
            let class = match &known {
                Some((right, _)) => class_against(right, &here),
                None if is_zero(&here) => Class::Blank,
                None => Class::Rotten,
            };
            faults.push(SealFault::new(class, &format!("footer: {what}"), false));
        }
    }
}

fn check_gaps(
    source: &dyn Source,
    extent: Extent,
    seal: &SegmentSeal,
    faults: &mut Vec<SealFault>,
) {
    let footer_end =
        seal.footer_offset.get() + u64::from(seal.footer_bytes).next_multiple_of(BLOCK);
    let gaps = [
        (seal.data_end.get(), seal.footer_offset.get()),
        (footer_end, seal.own_offset().get()),
    ];
    let mut window = Window::new(source, extent.start + seal.bytes().get().min(extent.bytes));
    for (from, to) in gaps {
        let mut at = from;
        while at < to {
            match window.read(extent.start + at, BLOCK_LEN) {
                Ok(block) if is_zero(block) => at += BLOCK,
                _ => {
                    let what = format!("bytes after the frames, at {at}, are not zero");
                    faults.push(SealFault::new(Class::Rotten, &what, false));
                    break;
                }
            }
        }
    }
}

/// Blocks at unit ends that begin like a seal and are none: all that is left when no copy has one.
#[must_use]
pub fn dead_seals(
    source: &dyn Source,
    extent: Extent,
    unit_bytes: u64,
    verifies: impl Fn(&[u8], u64) -> bool,
) -> Vec<SealFault> {
    let mut faults = Vec::new();
    let mut end = unit_bytes;
    while end <= extent.bytes {
        // One that verifies was written by a running vault since it was looked for.
        if let Some(block) = read(source, extent, end - BLOCK, BLOCK_LEN)
            && block.starts_with(&SEAL_MAGIC)
            && !verifies(&block, end - BLOCK)
        {
            // The digest stands in the last sector; without it the write was cut short.
            let torn = is_zero(&block[BLOCK_LEN - SECTOR_BYTES..]);
            let class = if torn { Class::Torn } else { Class::Rotten };
            faults.push(SealFault::new(class, "seal: does not verify", false));
        }
        end += unit_bytes;
    }
    faults
}

/// Whether a block begins like a footer: a seal that was cut short stands behind the frames.
#[must_use]
pub fn begins_footer(block: &[u8]) -> bool {
    block.starts_with(&FOOTER_MAGIC)
}
