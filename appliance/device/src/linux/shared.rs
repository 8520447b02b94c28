//! Memory shared by two processes, one of which does not trust the other.
//!
//! The process that makes it copies in and out of it and never looks at it in place, because what is
//! there may change at any moment. The other one, which trusts the first, uses it as the buffers of a
//! pool. The file behind it has no name, and is sealed against becoming shorter or longer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

use crate::buffer::Pool;
use crate::linux::buffer::{AlignedMemory, Mapping};

/// Seals that keep the length for ever.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

/// Shared memory as its maker has it: equal pieces, numbered from 0.
pub struct SharedMemory {
    file: OwnedFd,
    mapping: Mapping,
    piece_bytes: usize,
}

/// A place that lies outside the shared memory was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the place lies outside the shared memory")]
pub struct Outside;

impl SharedMemory {
    /// New memory of `count` pieces of `piece_bytes` zeros. It is taken from the machine when it is
    /// first touched.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// When a piece is not a multiple of the block size, or there is none.
    pub fn create(piece_bytes: usize, count: usize) -> Result<SharedMemory, Errno> {
        let bytes = piece_bytes.checked_mul(count).ok_or(Errno::ENOMEM)?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create("slabs", flags)?;
        ftruncate(&file, i64::try_from(bytes).map_err(|_| Errno::EFBIG)?)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        let mapping = Mapping::shared(file.as_fd(), bytes)?;
        Ok(SharedMemory {
            file,
            mapping,
            piece_bytes,
        })
    }

    /// What the other process maps.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Makes all of it zeros, and gives it back to the machine until it is touched again.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn forget(&self) -> Result<(), Errno> {
        let bytes = fstat(&self.file)?.st_size;
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&self.file, flags, 0, bytes)
    }

    /// Copies from `start` of a piece on until `into` is full.
    ///
    /// # Errors
    /// `Outside` when that is more than the piece has; nothing is copied.
    pub fn copy_out(&self, piece: usize, start: usize, into: &mut [u8]) -> Result<(), Outside> {
        let at = self.place(piece, start, into.len())?;
        self.mapping.copy_out(at, into).ok_or(Outside)
    }

    /// Copies all of `from` to `start` of a piece.
    ///
    /// # Errors
    /// `Outside` when that is more than the piece has; nothing is copied.
    pub fn copy_in(&self, piece: usize, start: usize, from: &[u8]) -> Result<(), Outside> {
        let at = self.place(piece, start, from.len())?;
        self.mapping.copy_in(at, from).ok_or(Outside)
    }

    fn place(&self, piece: usize, start: usize, len: usize) -> Result<usize, Outside> {
        let end = start.checked_add(len).ok_or(Outside)?;
        if end > self.piece_bytes {
            return Err(Outside);
        }
        let at = piece.checked_mul(self.piece_bytes).ok_or(Outside)?;
        at.checked_add(start).ok_or(Outside)
    }
}

/// Pools over shared memory, as the process has it that did not make it: one pool after the other,
/// each of so many pieces. A buffer's number within its pool counts from the pool's first piece.
///
/// # Errors
/// `EINVAL` when the file is not as long as that or may still change its length; else what the
/// kernel says.
pub fn adopt(
    file: BorrowedFd<'_>,
    piece_bytes: usize,
    counts: &[usize],
) -> Result<Vec<Pool>, Errno> {
    let count: usize = counts.iter().sum();
    let bytes = piece_bytes.checked_mul(count).ok_or(Errno::EINVAL)?;
    let sealed = SealFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GET_SEALS)?);
    let long = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
    if count == 0 || !sealed.contains(SEALS) || u64::try_from(bytes).is_ok_and(|b| b != long) {
        return Err(Errno::EINVAL);
    }
    let mut pieces = AlignedMemory::shared_pieces(Mapping::shared(file, bytes)?, piece_bytes);
    let mut pools = Vec::with_capacity(counts.len());
    for count in counts {
        let rest = pieces.split_off(*count);
        pools.push(Pool::over(pieces, piece_bytes));
        pieces = rest;
    }
    Ok(pools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_bytes_at_the_same_places() {
        let memory = SharedMemory::create(8192, 3).expect("memory");
        let pools = adopt(memory.file(), 8192, &[1, 2]).expect("mapped");
        let mut buffers: Vec<_> = pools
            .iter()
            .flat_map(|pool| std::iter::from_fn(|| pool.try_take()).map(move |b| (pool, b)))
            .collect();
        assert_eq!(buffers.len(), 3);
        let first = [0, 1];
        for (number, (pool, buffer)) in buffers.iter_mut().enumerate() {
            let within = pool.number_of(buffer).expect("of this pool");
            let pool_number = usize::from(number > 0);
            let piece = first[pool_number] + within;
            buffer[100..103].copy_from_slice(b"abc");
            let mut seen = [0; 3];
            memory.copy_out(piece, 100, &mut seen).expect("inside");
            assert_eq!(&seen, b"abc");
            memory.copy_in(piece, 8189, b"xyz").expect("inside");
            assert_eq!(&buffer[8189..], b"xyz");
        }
        assert!(pools[0].number_of(&buffers[1].1).is_none());
    }

    #[test]
    fn what_is_forgotten_is_zeros_for_both_processes() {
        let memory = SharedMemory::create(4096, 2).expect("memory");
        let pools = adopt(memory.file(), 4096, &[2]).expect("mapped");
        let mut seen = [1; 4];
        let mut buffer = pools[0].try_take().expect("a buffer");
        buffer[..4].copy_from_slice(b"name");
        memory.copy_in(1, 4092, b"name").expect("inside");
        memory.forget().expect("forgotten");
        assert_eq!(&buffer[..4], [0; 4]);
        memory.copy_out(1, 4092, &mut seen).expect("inside");
        assert_eq!(seen, [0; 4]);
        memory.copy_in(1, 4092, b"more").expect("still as long");
        memory.copy_out(1, 4092, &mut seen).expect("inside");
        assert_eq!(&seen, b"more");
    }

    #[test]
    fn places_outside_a_piece_are_refused() {
        let memory = SharedMemory::create(4096, 2).expect("memory");
        let check = |piece, start, len: usize, fine: bool| {
            let mut into = vec![0; len];
            let out = memory.copy_out(piece, start, &mut into).is_ok();
            let in_ = memory.copy_in(piece, start, &into).is_ok();
            assert_eq!((out, in_), (fine, fine), "{piece} {start} {len}");
        };
        check(0, 0, 4096, true);
        check(1, 4095, 1, true);
        check(1, 4096, 0, true);
        check(0, 1, 4096, false);
        check(0, 4096, 1, false);
        check(2, 0, 1, false);
        check(usize::MAX, 0, 1, false);
        check(0, usize::MAX, 1, false);
    }

    #[test]
    fn foreign_files_are_not_mapped() {
        let memory = SharedMemory::create(4096, 2).expect("memory");
        let refused = |counts: &[usize]| adopt(memory.file(), 4096, counts).err();
        assert_eq!(refused(&[1]), Some(Errno::EINVAL));
        assert_eq!(refused(&[3]), Some(Errno::EINVAL));
        assert_eq!(refused(&[]), Some(Errno::EINVAL));
        let open = memfd_create("open", MFdFlags::MFD_ALLOW_SEALING).expect("a file");
        ftruncate(&open, 8192).expect("longer");
        let error = adopt(open.as_fd(), 4096, &[2]).err();
        assert_eq!(error, Some(Errno::EINVAL));
    }
}
