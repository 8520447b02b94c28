//! Whether a disk holds anything.
//!
//! A vault is created only on disks that are blank where file systems, partition tables, volume
//! managers and Stele itself leave their marks: the first part of the disk and its end.

use std::path::Path;

use stele_device::disk::{BlockingDisk, Disk, DiskError};

use crate::error::{Error, Outcome};
use crate::limits::{BLANK_HEAD_BYTES, BLANK_TAIL_BYTES};

/// Bytes read at a time.
const STEP_BYTES: usize = 4 << 20;

/// Refuses a disk with anything on it.
///
/// # Errors
/// `DiskNotBlank` with the place of the first data, or what the disk reports.
pub fn require_blank(path: &Path, disk: &mut dyn Disk) -> Outcome<()> {
    let path = path.to_owned();
    match first_mark(disk) {
        Ok(None) => Ok(()),
        Ok(Some(offset)) => Err(Error::DiskNotBlank { path, offset }),
        Err(source) => Err(Error::DiskRead { path, source }),
    }
}

/// Where the first data is, in the parts of the disk that must be blank.
///
/// # Errors
/// What the disk reports.
pub fn first_mark(disk: &mut dyn Disk) -> Result<Option<u64>, DiskError> {
    let bytes = disk.identity().bytes;
    let head_end = bytes.min(BLANK_HEAD_BYTES);
    let tail_start = bytes.saturating_sub(BLANK_TAIL_BYTES).max(head_end);
    match first_data(disk, 0, head_end)? {
        Some(offset) => Ok(Some(offset)),
        None => first_data(disk, tail_start, bytes),
    }
}

fn first_data(disk: &mut dyn Disk, start: u64, end: u64) -> Result<Option<u64>, DiskError> {
    let mut offset = start;
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let buffer = disk.read_at(offset, left.min(STEP_BYTES))?;
        if let Some(place) = buffer.iter().position(|byte| *byte != 0) {
            let place = u64::try_from(place).unwrap_or(0);
            return Ok(Some(offset + place));
        }
        offset += u64::try_from(buffer.len()).unwrap_or(u64::MAX - offset);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use stele_device::disk::no_waker;
    use stele_device::linux::disk::{FileDisk, OpenMode};

    #[test]
    fn marks_of_others_are_found_wherever_they_are_left() {
        let bytes = BLANK_HEAD_BYTES + (8 << 20);
        let check = |mark: Option<u64>, expected: Option<u64>| {
            let temp = tempfile::tempdir().expect("a directory");
            let path = temp.path().join("disk");
            let mut disk = FileDisk::create(&path, bytes, no_waker()).expect("created");
            if let Some(mark) = mark {
                let file = std::fs::OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .expect("opened");
                file.write_all_at(&[1], mark).expect("written");
                file.sync_all().expect("synced");
                disk = {
                    drop(disk);
                    FileDisk::open(&path, OpenMode::Write, no_waker()).expect("opened")
                };
            }
            let found = match require_blank(&path, &mut disk) {
                Ok(()) => None,
                Err(Error::DiskNotBlank { offset, .. }) => Some(offset),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{mark:?}");
        };
        check(None, None);
        check(Some(0), Some(0));
        check(Some(0x438), Some(0x438));
        check(Some(BLANK_HEAD_BYTES - 1), Some(BLANK_HEAD_BYTES - 1));
        check(Some(BLANK_HEAD_BYTES), None);
        check(Some(bytes - 1), Some(bytes - 1));
        check(
            Some(bytes - BLANK_TAIL_BYTES),
            Some(bytes - BLANK_TAIL_BYTES),
        );
    }
}
