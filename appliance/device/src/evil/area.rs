//! A region of an evil disk. A flush covers the writes made through this area and nothing else.

use std::path::Path;
use std::sync::Arc;

use super::cache::{Cache, Owner};
use super::mains::Mains;
use crate::area::Area;
use crate::disk::{DiskError, byte_count, check_range};
use crate::linux::open::{OpenError, open_existing};

/// An area of an evil disk.
pub struct EvilArea {
    cache: Arc<Cache>,
    owner: Owner,
    start: u64,
    bytes: u64,
}

impl EvilArea {
    /// Opens `bytes` bytes from `offset` on.
    ///
    /// # Errors
    /// Says why the path cannot serve, or that the region is unaligned or outside the disk.
    pub fn open(
        mains: &Mains,
        path: &Path,
        offset: u64,
        bytes: u64,
    ) -> Result<EvilArea, OpenError> {
        let disk_bytes = open_existing(path, true)?.bytes;
        if check_range(offset, bytes, disk_bytes).is_err() {
            return Err(OpenError::AreaRange {
                path: path.to_owned(),
                offset,
                bytes,
            });
        }
        let cache = mains
            .cache(path, disk_bytes)
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(EvilArea {
            owner: cache.owner(),
            cache,
            start: offset,
            bytes,
        })
    }
}

impl Area for EvilArea {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        check_range(offset, byte_count(into.len()), self.bytes)?;
        self.cache.read(self.start + offset, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError> {
        check_range(offset, byte_count(from.len()), self.bytes)?;
        let id = self.cache.write(self.owner, self.start + offset, from)?;
        self.cache.handed_out([id]);
        Ok(())
    }

    fn flush(&self) -> Result<(), DiskError> {
        let moment = self.cache.moment();
        self.cache.pause();
        self.cache.flush(self.owner, moment, &[])
    }
}

impl Drop for EvilArea {
    fn drop(&mut self) {
        self.cache.close(self.owner);
    }
}
