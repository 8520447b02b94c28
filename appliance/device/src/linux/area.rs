//! A region of a file or block device as an area, through a file descriptor of its own.
//!
//! Direct I/O like the disk's, over a few aligned scratch buffers: index pages left dirty in the
//! page cache would be written out by, and so delay, the disk's next commit.
//! The region must be left alone by the disk's own operations.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use super::open::{DiskFile, OpenError, disk_error, open_existing};
use crate::area::Area;
use crate::buffer::BufferMut;
use crate::disk::{DiskError, OpKind, byte_count, check_range};
use crate::limits::{AREA_SCRATCH_BYTES, AREA_SCRATCH_COUNT_MAX};
use crate::sync::lock;

/// An area behind a path.
pub struct FileArea {
    disk: DiskFile,
    start: u64,
    bytes: u64,
    scratch: Mutex<Vec<BufferMut>>,
    /// Why the first failing flush failed; later writes and flushes fail with it.
    flush_failure: OnceLock<DiskError>,
}

impl FileArea {
    /// Opens `bytes` bytes from `offset` on, for reading and, if `writable`, for writing. Takes no
    /// lock: whoever opened the disk for writing holds it.
    ///
    /// # Errors
    /// Says why the path cannot serve, or that the region is unaligned or outside the disk.
    pub fn open(
        path: &Path,
        offset: u64,
        bytes: u64,
        writable: bool,
    ) -> Result<FileArea, OpenError> {
        let disk = open_existing(path, writable)?;
        if check_range(offset, bytes, disk.bytes).is_err() {
            return Err(OpenError::AreaRange {
                path: path.to_owned(),
                offset,
                bytes,
            });
        }
        let scratch = Mutex::new(Vec::new());
        Ok(FileArea {
            disk,
            start: offset,
            bytes,
            scratch,
            flush_failure: OnceLock::new(),
        })
    }

    /// What was opened, whatever the path leads to by now.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn metadata(&self) -> std::io::Result<std::fs::Metadata> {
        self.disk.file.metadata()
    }

    fn check(&self, offset: u64, bytes: usize) -> Result<(), DiskError> {
        check_range(offset, byte_count(bytes), self.bytes)
    }

    fn trusted(&self) -> Result<(), DiskError> {
        self.flush_failure.get().map_or(Ok(()), |error| Err(*error))
    }

    fn take_scratch(&self) -> BufferMut {
        let scratch = lock(&self.scratch).pop();
        scratch.unwrap_or_else(|| BufferMut::zeroed(AREA_SCRATCH_BYTES))
    }

    fn return_scratch(&self, buffer: BufferMut) {
        let mut scratch = lock(&self.scratch);
        if scratch.len() < AREA_SCRATCH_COUNT_MAX {
            scratch.push(buffer);
        }
    }
}

impl Area for FileArea {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.check(offset, into.len())?;
        let mut scratch = self.take_scratch();
        let mut position = self.start + offset;
        let result = into.chunks_mut(AREA_SCRATCH_BYTES).try_for_each(|part| {
            let piece = &mut scratch[..part.len()];
            self.disk.file.read_exact_at(piece, position)?;
            part.copy_from_slice(piece);
            position += byte_count(part.len());
            Ok(())
        });
        self.return_scratch(scratch);
        result.map_err(|error: std::io::Error| disk_error(&error, OpKind::Read))
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError> {
        self.check(offset, from.len())?;
        self.trusted()?;
        let mut scratch = self.take_scratch();
        let mut position = self.start + offset;
        let result = from.chunks(AREA_SCRATCH_BYTES).try_for_each(|part| {
            let piece = &mut scratch[..part.len()];
            piece.copy_from_slice(part);
            self.disk.file.write_all_at(piece, position)?;
            position += byte_count(part.len());
            Ok(())
        });
        self.return_scratch(scratch);
        result.map_err(|error: std::io::Error| disk_error(&error, OpKind::Write))
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.trusted()?;
        self.disk.file.sync_data().map_err(|error| {
            *self
                .flush_failure
                .get_or_init(|| disk_error(&error, OpKind::Flush))
        })
    }
}

impl std::fmt::Debug for FileArea {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileArea({} bytes at {})", self.bytes, self.start)
    }
}

#[cfg(test)]
mod tests;
