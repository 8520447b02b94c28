//! Opening a file or block device for direct I/O, with the page cache as fallback.
//!
//! A disk is locked (`flock`, exclusive) by whoever may write it; readers and areas take no lock.
//! The lock ends with the process. Errors name the path, which the operator chose.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

use crate::buffer::BufferMut;
use crate::disk::{DiskError, OpKind};
use crate::limits::{BLOCK, BLOCK_BYTES, LOCK_PAUSE_MS, LOCK_TRIES};

/// Why a ring cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("io_uring is denied ({0:?})")]
pub struct RingDenied(pub Errno);

/// Why a disk cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file.
    #[error("{}: no such disk", path.display())]
    Missing {
        /// The disk.
        path: PathBuf,
    },
    /// A disk was to be created where something exists.
    #[error("{}: exists already", path.display())]
    Exists {
        /// The disk.
        path: PathBuf,
    },
    /// Another process has it open for writing.
    #[error("{}: in use by another process", path.display())]
    InUse {
        /// The disk.
        path: PathBuf,
    },
    /// Whoever opens it has waited long enough.
    #[error("{}: does not answer", path.display())]
    Silent {
        /// The disk.
        path: PathBuf,
    },
    /// Neither a regular file nor a block device.
    #[error("{}: neither a file nor a block device", path.display())]
    NotADisk {
        /// The disk.
        path: PathBuf,
    },
    /// Smaller than one block, or a size for a new disk that is not a multiple of it.
    #[error("{}: {bytes} bytes is not a size for a disk", path.display())]
    Size {
        /// The disk.
        path: PathBuf,
        /// The size in question, bytes.
        bytes: u64,
    },
    /// A ring was insisted on and cannot be had.
    #[error("{}: {reason}", path.display())]
    Ring {
        /// The disk.
        path: PathBuf,
        /// Why not.
        reason: RingDenied,
    },
    /// An area was asked for that is unaligned or not inside the disk.
    #[error("{}: no area of {bytes} bytes at {offset}", path.display())]
    AreaRange {
        /// The disk.
        path: PathBuf,
        /// First byte of the area.
        offset: u64,
        /// Size of the area, bytes.
        bytes: u64,
    },
    /// The kernel refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The disk.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// How a disk is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// A new sparse file of this many bytes; refused where anything exists.
    Create {
        /// Size of the new disk, a multiple of the block size.
        bytes: u64,
    },
    /// An existing disk, for reading and writing, locked against other writers.
    Write,
    /// An existing disk, only for reading, also beside a writer. Writes fail with `EBADF`.
    ReadOnly,
}

/// An open disk file.
pub(crate) struct DiskFile {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    /// Whether reads and writes go past the page cache.
    pub(crate) direct: bool,
}

/// Opens, locks and measures.
pub(crate) fn open_disk(path: &Path, mode: OpenMode) -> Result<DiskFile, OpenError> {
    if let OpenMode::Create { bytes } = mode {
        create(path, bytes)?;
    }
    let writable = mode != OpenMode::ReadOnly;
    let opened = open_existing(path, writable)?;
    if writable {
        lock_file(&opened.file, path)?;
    }
    Ok(opened)
}

/// A process that was killed keeps its lock until the kernel has ended what its rings had in flight
/// and taken them apart, some time after the process itself is gone. So a lock is waited for, a
/// little. That it lasts so long is wanted: no write of the dead process comes later.
fn lock_file(file: &File, path: &Path) -> Result<(), OpenError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(LOCK_PAUSE_MS));
            }
            Err(TryLockError::Error(source)) => return Err(io_error(path, source)),
        }
    }
    Err(OpenError::InUse {
        path: path.to_owned(),
    })
}

/// Opens without locking and measures; direct where the file system can.
pub(crate) fn open_existing(path: &Path, writable: bool) -> Result<DiskFile, OpenError> {
    // Opening a pipe would block and a device node may act on open, so look before.
    let kind = std::fs::metadata(path)
        .map_err(|source| io_error(path, source))?
        .file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(OpenError::NotADisk {
            path: path.to_owned(),
        });
    }
    let past_cache = open_with(path, writable, OFlag::O_DIRECT).and_then(|file| {
        probe(&file)?;
        Ok(file)
    });
    let (mut file, direct) = match past_cache {
        Ok(file) => (file, true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let file = open_with(path, writable, OFlag::empty())
                .map_err(|source| io_error(path, source))?;
            (file, false)
        }
        Err(source) => return Err(io_error(path, source)),
    };
    let end = file
        .seek(SeekFrom::End(0))
        .map_err(|source| io_error(path, source))?;
    let bytes = end - end % BLOCK;
    if bytes == 0 {
        return Err(OpenError::Size {
            path: path.to_owned(),
            bytes: end,
        });
    }
    Ok(DiskFile {
        file,
        bytes,
        direct,
    })
}

fn open_with(path: &Path, writable: bool, flags: OFlag) -> std::io::Result<File> {
    let flags = (flags | OFlag::O_CLOEXEC).bits();
    OpenOptions::new()
        .read(true)
        .write(writable)
        .custom_flags(flags)
        .open(path)
}

/// Some file systems accept `O_DIRECT` and then refuse the transfer, so try one. An unreadable
/// first block is no reason against direct I/O; only the engine can judge it.
fn probe(file: &File) -> std::io::Result<()> {
    let mut block = BufferMut::zeroed(BLOCK_BYTES);
    match file.read_at(&mut block, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A new sparse file whose name is durable too.
fn create(path: &Path, bytes: u64) -> Result<(), OpenError> {
    if bytes == 0 || !bytes.is_multiple_of(BLOCK) {
        return Err(OpenError::Size {
            path: path.to_owned(),
            bytes,
        });
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| io_error(path, source))?;
    made.set_len(bytes)
        .and_then(|()| made.sync_all())
        .and_then(|()| sync_directory_of(path))
        .map_err(|source| io_error(path, source))
}

/// Makes a new name in a directory survive a power cut.
pub(crate) fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn io_error(path: &Path, source: std::io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => OpenError::Missing { path },
        ErrorKind::AlreadyExists => OpenError::Exists { path },
        _ => OpenError::Io { path, source },
    }
}

/// Translates an I/O failure of an open disk.
pub(crate) fn disk_error(error: &std::io::Error, op: OpKind) -> DiskError {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => DiskError::Full,
        Some(libc::ENODEV | libc::ENXIO | libc::ENOMEDIUM) => DiskError::Gone,
        Some(errno) => DiskError::Io { errno, op },
        // std's own errors: the file ended early, or a write made no progress.
        None => DiskError::Io {
            errno: libc::EIO,
            op,
        },
    }
}

/// What the kernel says of the device under the file: (logical sector bytes, rotational).
pub(crate) fn queue_facts(file: &File) -> (Option<u32>, Option<bool>) {
    let Ok(metadata) = file.metadata() else {
        return (None, None);
    };
    let device = if metadata.file_type().is_block_device() {
        metadata.rdev()
    } else {
        metadata.dev()
    };
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let base = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    // A partition has no queue of its own; its parent in sysfs has.
    let fact = |name: &str| {
        ["queue", "../queue"].iter().find_map(|queue| {
            std::fs::read_to_string(base.join(queue).join(name))
                .ok()?
                .trim()
                .parse::<u32>()
                .ok()
        })
    };
    (
        fact("logical_block_size"),
        fact("rotational").map(|value| value != 0),
    )
}

#[cfg(test)]
mod tests;
