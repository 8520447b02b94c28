//! Disk files of a stopped vault: copies of them, the places that hold data, and flipped bytes.
//!
//! The frame that a place belongs to is found by looking for the nearest header before it, which
//! uses none of the code that is under test.

use crate::command::Run;
use crate::failure::{Failure, Outcome};
use crate::rng::Rng;
use nix::unistd::{Whence, lseek};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{LabelCopy, LabelPlace, StaticLabel};
use stele_format::limits::{LABEL_COPY_BYTES, UNIT_BYTES};
use stele_format::units::ByteOffset;

const BLOCK: u64 = 4096;
const FRAME_MAGIC: &[u8] = b"STELEFRM";
const HEADER_MAGIC: &[u8] = b"STELESEG";
const FOOTER_MAGIC: &[u8] = b"STELEFTR";
const SEAL_MAGIC: &[u8] = b"STELESEA";
/// In a frame header: segment, frame number, bytes with padding.
const FRAME_FIELDS: (usize, usize, usize) = (32, 40, 72);
/// In a segment header: segment.
const SEGMENT_FIELD: usize = 16 + 16;

/// A part of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The four label copies.
    Label,
    /// Both key-state copies.
    KeyState,
    /// The index.
    Index,
    /// Segments.
    Segment,
}

impl Area {
    /// Its name in the verifier's report.
    pub fn word(self) -> &'static str {
        match self {
            Area::Label => "label",
            Area::KeyState => "key state",
            Area::Index => "index",
            Area::Segment => "segment",
        }
    }

    fn ranges(self, geometry: &DiskGeometry) -> Vec<(u64, u64)> {
        let label = u64::from(LABEL_COPY_BYTES);
        let end = geometry.label_offset(LabelCopy::C).get();
        let of = |start: u64, bytes: u64| (start, start + bytes);
        match self {
            Area::Label => LabelCopy::ALL
                .iter()
                .map(|copy| of(geometry.label_offset(*copy).get(), label))
                .collect(),
            Area::KeyState => (0..2)
                .filter_map(|copy| geometry.keystate_offset(copy))
                .map(|offset| of(offset.get(), u64::from(geometry.keystate_bytes)))
                .collect(),
            Area::Index => vec![of(
                geometry.index_offset().get(),
                geometry.index_bytes.get(),
            )],
            Area::Segment => vec![(geometry.extents_offset().get(), end)],
        }
    }
}

/// The disk files of a vault, in the order of their names.
pub fn disk_files(vault: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(vault)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "disk")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Copies a directory with sparse files as they are.
pub fn copy_tree(from: &Path, to: &Path) -> Outcome {
    Run::new("/bin/cp")
        .args(["-a", "--sparse=auto", "--"])
        .arg(from)
        .arg(to)
        .succeed()
        .map(drop)
}

/// What can be told of a directory without reading gigabytes: names, sizes, allocation, times of
/// change.
pub fn fingerprint(directory: &Path) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let data = entry.metadata()?;
        lines.push(format!(
            "{} {} bytes {} blocks changed {}.{}",
            entry.file_name().to_string_lossy(),
            data.len(),
            data.blocks(),
            data.mtime(),
            data.mtime_nsec(),
        ));
    }
    lines.sort();
    Ok(lines)
}

/// The layout of a disk, from its first label.
pub fn geometry(disk: &Path) -> Outcome<DiskGeometry> {
    let mut block = vec![0; usize::try_from(BLOCK).expect("4096 fits")];
    File::open(disk)?.read_exact_at(&mut block, 0)?;
    let bad = |error: &dyn std::fmt::Display| Failure::path("no label on", disk, error);
    let label = StaticLabel::decode(&block).map_err(|error| bad(&error))?;
    let place = LabelPlace {
        copy: LabelCopy::A,
        block: 0,
        offset: ByteOffset::new(0),
    };
    Ok(label.verify(place).map_err(|error| bad(&error))?.geometry)
}

/// Offsets of the blocks of an area that hold anything but zeros.
pub fn used_blocks(disk: &Path, geometry: &DiskGeometry, area: Area) -> Outcome<Vec<u64>> {
    let file = File::open(disk)?;
    let mut used = Vec::new();
    let mut buffer = vec![0; usize::try_from(UNIT_BYTES).unwrap_or(1 << 22)];
    for (start, end) in area.ranges(geometry) {
        let mut at = start;
        while let Some(data) = next_data(&file, at)?.filter(|data| *data < end) {
            at = data / BLOCK * BLOCK;
            let count = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            file.read_exact_at(&mut buffer[..count], at)?;
            for (index, block) in (0_u64..).zip(buffer[..count].chunks(4096)) {
                if block.iter().any(|byte| *byte != 0) {
                    used.push(at + index * BLOCK);
                }
            }
            at += u64::try_from(count).unwrap_or(u64::MAX);
        }
    }
    Ok(used)
}

fn next_data(file: &File, at: u64) -> Outcome<Option<u64>> {
    let offset = i64::try_from(at).map_err(|_| Failure::new("offset too large"))?;
    match lseek(file, offset, Whence::SeekData) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(nix::errno::Errno::ENXIO) => Ok(None),
        Err(error) => Err(Failure::new(format!("cannot look for data: {error}"))),
    }
}

/// Flips a random bit in `count` random blocks out of these; returns the changed offsets.
pub fn flip(disk: &Path, blocks: &[u64], count: u64, rng: &mut Rng) -> Outcome<Vec<u64>> {
    let file = OpenOptions::new().read(true).write(true).open(disk)?;
    let mut changed = Vec::new();
    for _ in 0..count {
        let offset = blocks[rng.index(blocks.len())] + rng.below(BLOCK);
        // The same place twice would undo the damage.
        if changed.contains(&offset) {
            continue;
        }
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset)?;
        byte[0] ^= 1 << rng.below(8);
        file.write_all_at(&byte, offset)?;
        changed.push(offset);
    }
    file.sync_all()?;
    Ok(changed)
}

/// Overwrites every one of these blocks with noise.
pub fn scramble(disk: &Path, blocks: &[u64], rng: &mut Rng) -> Outcome {
    let file = OpenOptions::new().write(true).open(disk)?;
    for block in blocks {
        file.write_all_at(&rng.bytes(4096), *block)?;
    }
    Ok(file.sync_all()?)
}

/// The segment and, inside a frame, the frame number that a place of an undamaged disk belongs to.
pub fn owner(disk: &Path, offset: u64) -> Outcome<Option<(u64, Option<u64>)>> {
    let file = File::open(disk)?;
    let mut at = offset / BLOCK * BLOCK;
    let mut block = vec![0; 256];
    let mut behind_frames = false;
    loop {
        file.read_exact_at(&mut block, at)?;
        if block.starts_with(HEADER_MAGIC) {
            return Ok(Some((number(&block, SEGMENT_FIELD, 8), None)));
        }
        behind_frames |= block.starts_with(FOOTER_MAGIC) || block.starts_with(SEAL_MAGIC);
        if block.starts_with(FRAME_MAGIC) {
            let (segment, frame, total) = FRAME_FIELDS;
            let inside = offset < at + number(&block, total, 4) && !behind_frames;
            let frame = inside.then(|| number(&block, frame, 4));
            return Ok(Some((number(&block, segment, 8), frame)));
        }
        match at.checked_sub(BLOCK) {
            Some(before) => at = before,
            None => return Ok(None),
        }
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length]
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(number(&[9, 1, 2, 0, 9], 1, 3), 0x201);
    }
}
