//! An area: one fixed region of a disk, read and written synchronously from any thread.
//!
//! It exists for the index, whose library wants a file. A flush covers the writes made through
//! this area and nothing else, although a real file system may make more durable. As with disks, a
//! failed flush ends all trust in what was written since the last good one.

use crate::disk::DiskError;

/// A region of a disk. Offsets count from the start of the region; offsets and lengths are
/// multiples of the block size.
pub trait Area: Send + Sync {
    /// Size of the region in bytes.
    fn len(&self) -> u64;

    /// Whether the region has no room at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// What the disk reports; the content of `into` is then unspecified.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError>;

    /// Writes `from` at `offset`; durable only after a flush.
    ///
    /// # Errors
    /// What the disk reports; the content of the range is then unspecified.
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError>;

    /// Makes the area's completed writes durable.
    ///
    /// # Errors
    /// What the disk reports; the area must not be trusted with writes again.
    fn flush(&self) -> Result<(), DiskError>;

    /// Says whether nothing else holds what this area does. Such a one is waited for longer where it does not answer.
    fn set_only(&self, _only: bool) {}
}
