//! How the disks of a vault are opened: as they are, or as evil ones in a build for power cuts.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use stele_device::area::Area;
use stele_device::disk::{Disk, Waker};
use stele_device::linux::area::FileArea;
use stele_device::linux::disk::{FileDisk, OpenError, OpenMode, Wishes};

use crate::bays::FileId;

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

/// Why a region of a disk is not used.
#[derive(Debug, thiserror::Error)]
pub enum NoArea {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is not known what was opened, or cannot be compared.
    #[error("{}: it cannot be seen whether this is the disk that was opened: {source}", path.display())]
    Unknown {
        /// The place.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The disk is not at its place any more.
    #[error(
        "{}: this is not the disk that was opened here, and is left alone; put the disk back, or serve the vault again with \
         it where it is now",
        path.display()
    )]
    Astray {
        /// The place.
        path: PathBuf,
    },
}

/// Opens a region of the disk that was opened at this place, for reading and writing. Nothing else that lies there by
/// now is written to.
///
/// # Errors
/// Why not.
pub fn open_area(
    path: &Path,
    opened: Option<FileId>,
    offset: u64,
    bytes: u64,
) -> Result<Box<dyn Area>, NoArea> {
    #[cfg(feature = "evil-disk")]
    if let Some(mains) = crate::evil::mains() {
        require_same(path, opened, std::fs::metadata(path))?;
        let area = stele_device::evil::EvilArea::open(mains, path, offset, bytes);
        return Ok(Box::new(area?));
    }
    let area = FileArea::open(path, offset, bytes, true)?;
    require_same(path, opened, area.metadata())?;
    Ok(Box::new(area))
}

fn require_same(
    path: &Path,
    opened: Option<FileId>,
    found: std::io::Result<Metadata>,
) -> Result<(), NoArea> {
    let path = path.to_owned();
    match found {
        Ok(found) if opened == Some(FileId::from(&found)) => Ok(()),
        Ok(_) => Err(NoArea::Astray { path }),
        Err(source) => Err(NoArea::Unknown { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use stele_device::disk::no_waker;

    use super::*;

    #[test]
    fn what_lies_at_the_place_of_a_disk_that_was_moved_is_no_area_of_it() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("a.disk");
        let _disk = FileDisk::create(&path, 1 << 20, no_waker()).expect("created");
        let opened = FileId::of(&path).ok();
        let open = |opened| open_area(&path, opened, 0, 1 << 20);
        assert!(open(opened).is_ok());
        assert!(matches!(open(None).err(), Some(NoArea::Astray { .. })));
        std::fs::rename(&path, temp.path().join("moved")).expect("moved");
        assert!(matches!(open(opened).err(), Some(NoArea::Open(_))));
        std::fs::write(&path, vec![7; 1 << 20]).expect("written");
        assert!(matches!(open(opened).err(), Some(NoArea::Astray { .. })));
    }
}
