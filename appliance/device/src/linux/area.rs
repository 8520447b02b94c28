//! A region of a file or block device as an area, through a file descriptor of its own.
//!
//! Direct I/O like the disk's, over a few aligned scratch buffers: index pages left dirty in the
//! page cache would be written out by, and so delay, the disk's next commit.
//! The region must be left alone by the disk's own operations.
//!
//! Each access is waited for so long and no longer, where the kernel has rings: whoever reads the index must not hang
//! with one of its disks. An area that did not answer is gone for good.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::open::{DiskFile, OpenError, disk_error, open_existing};
use super::ring::patient::{Ended, PatientRing, Towards};
use crate::area::Area;
use crate::buffer::BufferMut;
use crate::disk::{DiskError, OpKind, byte_count, check_range};
use crate::limits::{
    AREA_PATIENCE_SECONDS, AREA_SCRATCH_BYTES, AREA_SCRATCH_COUNT_MAX, ONLY_AREA_PATIENCE_SECONDS,
};
use crate::sync::lock;

const PATIENCE: Duration = Duration::from_secs(AREA_PATIENCE_SECONDS);
const ONLY_PATIENCE: Duration = Duration::from_secs(ONLY_AREA_PATIENCE_SECONDS);

/// An area behind a path.
pub struct FileArea {
    disk: DiskFile,
    start: u64,
    bytes: u64,
    way: Mutex<Way>,
    only: AtomicBool,
    scratch: Mutex<Vec<BufferMut>>,
    /// Why the first failing flush failed; later writes and flushes fail with it.
    flush_failure: OnceLock<DiskError>,
}

/// How the area is reached.
enum Way {
    /// Through a ring, with patience that ends.
    Ring(Box<PatientRing>),
    /// By plain system calls, as long as they take: the kernel gives no ring.
    Calls,
    /// It did not answer once.
    Gone,
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
        let way = PatientRing::new().map_or(Way::Calls, |ring| Way::Ring(Box::new(ring)));
        Ok(FileArea {
            disk,
            start: offset,
            bytes,
            way: Mutex::new(way),
            only: AtomicBool::new(false),
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

    fn patience(&self) -> Duration {
        match self.only.load(Ordering::Relaxed) {
            true => ONLY_PATIENCE,
            false => PATIENCE,
        }
    }

    /// Moves the first `bytes` bytes of scratch memory, which comes back where the kernel has let go of it.
    fn transfer(
        &self,
        (towards, position, bytes): (Towards, u64, usize),
        mut scratch: BufferMut,
    ) -> (Option<BufferMut>, Result<(), DiskError>) {
        let mut way = lock(&self.way);
        let file = &self.disk.file;
        let (result, op) = match &mut *way {
            Way::Ring(ring) => {
                let what = (towards, position, bytes);
                return match ring.transfer(file, what, scratch, self.patience()) {
                    Ended::Answered(scratch, result) => (Some(scratch), result),
                    Ended::Hung => {
                        *way = Way::Gone;
                        (None, Err(DiskError::Gone))
                    }
                };
            }
            Way::Gone => return (Some(scratch), Err(DiskError::Gone)),
            Way::Calls => match towards {
                Towards::Read => {
                    let read = file.read_exact_at(&mut scratch[..bytes], position);
                    (read, OpKind::Read)
                }
                Towards::Write => {
                    let written = file.write_all_at(&scratch[..bytes], position);
                    (written, OpKind::Write)
                }
            },
        };
        let result = result.map_err(|error| disk_error(&error, op));
        (Some(scratch), result)
    }

    fn sync(&self) -> Result<(), DiskError> {
        let mut way = lock(&self.way);
        match &mut *way {
            Way::Ring(ring) => match ring.flush(&self.disk.file, self.patience()) {
                Some(result) => result,
                None => {
                    *way = Way::Gone;
                    Err(DiskError::Gone)
                }
            },
            Way::Gone => Err(DiskError::Gone),
            Way::Calls => {
                let synced = self.disk.file.sync_data();
                synced.map_err(|error| disk_error(&error, OpKind::Flush))
            }
        }
    }
}

impl Area for FileArea {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        self.check(offset, into.len())?;
        let mut position = self.start + offset;
        for part in into.chunks_mut(AREA_SCRATCH_BYTES) {
            let what = (Towards::Read, position, part.len());
            let (scratch, result) = self.transfer(what, self.take_scratch());
            if let Some(scratch) = scratch {
                part.copy_from_slice(&scratch[..part.len()]);
                self.return_scratch(scratch);
            }
            result?;
            position += byte_count(part.len());
        }
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError> {
        self.check(offset, from.len())?;
        self.trusted()?;
        let mut position = self.start + offset;
        for part in from.chunks(AREA_SCRATCH_BYTES) {
            let mut scratch = self.take_scratch();
            scratch[..part.len()].copy_from_slice(part);
            let what = (Towards::Write, position, part.len());
            let (scratch, result) = self.transfer(what, scratch);
            scratch.into_iter().for_each(|one| self.return_scratch(one));
            result?;
            position += byte_count(part.len());
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.trusted()?;
        self.sync()
            .map_err(|error| *self.flush_failure.get_or_init(|| error))
    }

    fn set_only(&self, only: bool) {
        self.only.store(only, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for FileArea {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileArea({} bytes at {})", self.bytes, self.start)
    }
}

#[cfg(test)]
mod tests;
