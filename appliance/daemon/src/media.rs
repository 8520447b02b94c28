//! How the disks of a vault are opened: as they are, or as evil ones in a build for power cuts.
//!
//! A device or a file system that hangs may not even let itself be opened. So that is done by a thread of its own, which
//! is left behind where it takes too long; what it opens later is closed there.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use stele_device::area::Area;
use stele_device::disk::{Disk, Waker};
use stele_device::limits::{DISK_PATIENCE_LEFT_PART, DISK_PATIENCE_SECONDS, PATIENCE_LOOK_MS};
use stele_device::linux::area::FileArea;
use stele_device::linux::disk::{FileDisk, OpenError, OpenMode, Wishes};

use crate::bays::FileId;

/// Something on its way to be opened.
pub struct Opening<T> {
    path: PathBuf,
    begun: Instant,
    opened: Result<Receiver<Result<T, OpenError>>, std::io::Error>,
}

impl<T: Send + 'static> Opening<T> {
    /// Begins to open what is at a path.
    pub fn begin(
        path: &Path,
        open: impl FnOnce(&Path) -> Result<T, OpenError> + Send + 'static,
    ) -> Opening<T> {
        let (sender, opened) = sync_channel(1);
        let at = path.to_owned();
        // Where nobody waits any more, what was opened is closed.
        let run = move || drop(sender.send(open(&at)));
        let thread = std::thread::Builder::new().name("opening".to_owned());
        Opening {
            path: path.to_owned(),
            begun: Instant::now(),
            opened: thread.spawn(run).map(|_| opened),
        }
    }

    /// Waits for it: so long at most since it was begun, or for a part of that where it was waited for others meanwhile.
    ///
    /// # Errors
    /// Why it cannot be opened, or that it does not answer.
    pub fn end(self, patience: Duration) -> Result<T, OpenError> {
        let path = self.path;
        let opened = match self.opened {
            Ok(opened) => opened,
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let least = patience / DISK_PATIENCE_LEFT_PART;
        let mut left = patience.saturating_sub(self.begun.elapsed()).max(least);
        let look = Duration::from_millis(PATIENCE_LOOK_MS);
        loop {
            let looked = Instant::now();
            match opened.recv_timeout(look.min(left)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                // Where its thread died of a fault, it will not answer either.
                Err(_) => return Err(OpenError::Silent { path }),
            }
            // When the whole machine was paused, no disk was slow.
            left = left.saturating_sub(looked.elapsed().min(look));
        }
    }
}

/// Opens a disk as wished, with its patience.
///
/// # Errors
/// Why the path cannot serve as a disk.
pub fn open_disk(
    path: &Path,
    mode: OpenMode,
    wishes: &Wishes,
    waker: Waker,
) -> Result<Box<dyn Disk>, OpenError> {
    let with = wishes.clone();
    let open = move |path: &Path| open_here(path, mode, &with, waker);
    Opening::begin(path, open).end(wishes.patience)
}

/// Opens a disk as wished, however long that takes.
///
/// # Errors
/// Why the path cannot serve as a disk.
pub fn open_here(
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
    let open = move |path: &Path| Ok(area_here(path, opened, offset, bytes));
    Opening::begin(path, open).end(Duration::from_secs(DISK_PATIENCE_SECONDS))?
}

fn area_here(
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
