//! Read-only bytes of a disk: a file, a block device, or an image in memory.
//!
//! Nothing here can write. Reads of a place that cannot be read (past the end, or refused by the
//! device) are faults of that place, not of the run: the callers report them where they lie.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::limits::READ_BYTES;

/// Why a place could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadFault {
    /// The disk ends before the place does.
    #[error("lies beyond the end of the disk")]
    PastEnd,
    /// The device refused the read; the number is the operating system's.
    #[error("cannot be read (operating system error {0})")]
    Refused(i32),
}

/// A disk that can be read and nothing else.
pub trait Source: Send + Sync {
    /// The name an operator knows the disk by.
    fn name(&self) -> &str;
    /// Its length in bytes.
    fn bytes(&self) -> u64;
    /// Fills `into` with the bytes at `offset`.
    ///
    /// # Errors
    /// [`ReadFault`] when the whole range cannot be had.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFault>;
}

/// Why a path cannot be taken as a disk.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{path}: cannot be opened for reading: {cause}")]
    Io {
        /// The path as given.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A directory without disks.
    #[error("{0}: holds no file named *.disk, so it is not a vault directory")]
    NoDisks(PathBuf),
    /// Neither file, block device nor directory.
    #[error("{0}: is neither a file, a block device nor a vault directory")]
    NotADisk(PathBuf),
}

impl OpenError {
    fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            cause,
        }
    }
}

/// A disk file or block device, opened for reading only.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    file: File,
    bytes: u64,
}

impl FileSource {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be opened or has no length.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut file = File::open(path).map_err(|cause| OpenError::io(path, cause))?;
        let bytes = file
            .seek(SeekFrom::End(0))
            .map_err(|cause| OpenError::io(path, cause))?;
        Ok(Self {
            name: path.display().to_string(),
            file,
            bytes,
        })
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFault> {
        self.file
            .read_exact_at(into, offset)
            .map_err(|cause| match cause.raw_os_error() {
                Some(code) => ReadFault::Refused(code),
                None => ReadFault::PastEnd,
            })
    }
}

/// A disk image in memory.
#[derive(Debug, Clone)]
pub struct ImageSource {
    name: String,
    image: Vec<u8>,
}

impl ImageSource {
    /// An image under a name.
    #[must_use]
    pub fn new(name: impl Into<String>, image: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            image,
        }
    }
}

impl Source for ImageSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.image.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFault> {
        let start = usize::try_from(offset).map_err(|_| ReadFault::PastEnd)?;
        let end = start.checked_add(into.len()).ok_or(ReadFault::PastEnd)?;
        into.copy_from_slice(self.image.get(start..end).ok_or(ReadFault::PastEnd)?);
        Ok(())
    }
}

/// The disk files that `paths` name: files and devices as they are, of a directory every `*.disk`
/// directly in it, by name. A file named twice counts once.
///
/// # Errors
/// [`OpenError`] for the first path that is not usable.
pub fn disk_paths(paths: &[PathBuf]) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    let mut known = Vec::new();
    for path in paths {
        for disk in expand(path)? {
            let real = disk
                .canonicalize()
                .map_err(|cause| OpenError::io(&disk, cause))?;
            if !known.contains(&real) {
                known.push(real);
                found.push(disk);
            }
        }
    }
    Ok(found)
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    use std::os::unix::fs::FileTypeExt;
    let kind = path
        .metadata()
        .map_err(|cause| OpenError::io(path, cause))?
        .file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !kind.is_dir() {
        return Err(OpenError::NotADisk(path.to_path_buf()));
    }
    let mut disks = Vec::new();
    for entry in path
        .read_dir()
        .map_err(|cause| OpenError::io(path, cause))?
    {
        let entry = entry.map_err(|cause| OpenError::io(path, cause))?.path();
        if entry
            .extension()
            .is_some_and(|extension| extension == "disk")
            && !entry.is_dir()
        {
            disks.push(entry);
        }
    }
    if disks.is_empty() {
        return Err(OpenError::NoDisks(path.to_path_buf()));
    }
    disks.sort();
    Ok(disks)
}

/// A read-ahead window over part of a disk: small reads in order cost one large read.
pub struct Window<'a> {
    source: &'a dyn Source,
    buffer: Vec<u8>,
    start: u64,
    end: u64,
    fetched: u64,
}

impl<'a> Window<'a> {
    /// A window that never reads at or beyond `end` ahead of need.
    #[must_use]
    pub fn new(source: &'a dyn Source, end: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            end,
            fetched: 0,
        }
    }

    /// Bytes read from the disk so far.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// `len` bytes at `offset`.
    ///
    /// # Errors
    /// [`ReadFault`] when this very range cannot be had.
    pub fn read(&mut self, offset: u64, len: usize) -> Result<&[u8], ReadFault> {
        let wanted = offset.checked_add(len as u64).ok_or(ReadFault::PastEnd)?;
        if offset < self.start || wanted > self.start + self.buffer.len() as u64 {
            self.refill(offset, len)?;
        }
        let from = usize::try_from(offset - self.start).map_err(|_| ReadFault::PastEnd)?;
        self.buffer.get(from..from + len).ok_or(ReadFault::PastEnd)
    }

    fn refill(&mut self, offset: u64, len: usize) -> Result<(), ReadFault> {
        let ahead = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let whole = len.max(READ_BYTES.min(ahead));
        self.start = offset;
        if whole > len && self.fetch(offset, whole).is_ok() {
            return Ok(());
        }
        // The bytes ahead may be what cannot be read; the range asked for gets its own chance.
        self.fetch(offset, len).inspect_err(|_| self.buffer.clear())
    }

    fn fetch(&mut self, offset: u64, len: usize) -> Result<(), ReadFault> {
        self.buffer.resize(len, 0);
        for (piece, at) in self
            .buffer
            .chunks_mut(READ_BYTES)
            .zip((offset..).step_by(READ_BYTES))
        {
            self.source.read_at(at, piece)?;
            self.fetched += piece.len() as u64;
        }
        Ok(())
    }
}

pub use stele_format::codec::is_blank as is_zero;

#[cfg(test)]
mod tests {
    use super::{ImageSource, ReadFault, Source, Window, is_zero};

    #[test]
    fn a_window_gives_the_same_bytes_as_the_source() {
        let image: Vec<u8> = (0..3_000_000_u32)
            .flat_map(|n| [n.to_le_bytes()[0]; 1])
            .collect();
        let source = ImageSource::new("image", image.clone());
        let mut window = Window::new(&source, source.bytes());
        for (offset, len) in [(0, 10), (5, 4096), (1 << 20, 2 << 20 >> 1), (17, 2_500_000)] {
            let from = usize::try_from(offset).unwrap();
            if let Ok(bytes) = window.read(offset, len) {
                assert_eq!(bytes, &image[from..from + len]);
            } else {
                assert!(from + len > image.len());
            }
        }
        assert_eq!(window.read(2_999_999, 2).unwrap_err(), ReadFault::PastEnd);
        assert_eq!(window.read(2_999_999, 1).unwrap().len(), 1);
    }

    #[test]
    fn zero_is_only_zero() {
        assert!(is_zero(&[0; 9]));
        assert!(!is_zero(&[0, 0, 1]));
    }
}
