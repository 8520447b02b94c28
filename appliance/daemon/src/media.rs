//! How the disks of a vault are opened: as they are, or as evil ones in a build for power cuts.

use std::path::Path;

use stele_device::area::Area;
use stele_device::disk::{Disk, Waker};
use stele_device::linux::area::FileArea;
use stele_device::linux::disk::{FileDisk, OpenError, OpenMode, Wishes};

/// Opens a disk as wished.
///
/// # Errors
/// Why the path cannot serve as a disk.
pub fn open_disk(
    path: &Path,
    mode: OpenMode,
    wishes: &Wishes,
    waker: Waker,
) -> Result<Box<dyn Disk>, OpenError> {
    #[cfg(feature = "evil-disk")]
    if let Some(mains) = crate::evil::mains()
        && mode != OpenMode::ReadOnly
    {
        let disk = stele_device::evil::EvilDisk::open(mains, path, mode, waker)?;
        return Ok(Box::new(disk));
    }
    Ok(Box::new(FileDisk::open_as(path, mode, wishes, waker)?))
}

/// Opens a region of a disk for reading and writing.
///
/// # Errors
/// Why the path cannot serve, or that the region is none.
pub fn open_area(path: &Path, offset: u64, bytes: u64) -> Result<Box<dyn Area>, OpenError> {
    #[cfg(feature = "evil-disk")]
    if let Some(mains) = crate::evil::mains() {
        let area = stele_device::evil::EvilArea::open(mains, path, offset, bytes)?;
        return Ok(Box::new(area));
    }
    Ok(Box::new(FileArea::open(path, offset, bytes, true)?))
}
