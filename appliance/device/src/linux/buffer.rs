//! Memory aligned for direct I/O: unsafe code, fenced.
//!
//! Invariants: `pointer` and `bytes` name memory that its owner (the global allocator, or a mapping
//! of which this is one of several disjoint pieces) keeps until this value is dropped; all of it is
//! initialised from the start and for ever; it belongs to exactly one value.
//! Running out of memory ends the process, as everywhere in Rust.

#![expect(
    unsafe_code,
    reason = "std offers no safe way to allocate with a chosen alignment or on huge pages"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use nix::errno::Errno;
use nix::libc;

use crate::limits::{BLOCK_BYTES, HUGE_PAGE_BYTES};

/// Initialised bytes at an address that is a multiple of the block size.
pub(crate) struct AlignedMemory {
    pointer: NonNull<u8>,
    bytes: usize,
    owner: Owner,
}

enum Owner {
    Allocator(Layout),
    /// Held, not read: the mapping ends with its last piece.
    Mapping {
        _mapping: Arc<Mapping>,
    },
}

// SAFETY: the value owns its memory alone, holds no thread-bound state, and allocator and kernel
// take back on another thread what they gave out on this one.
unsafe impl Send for AlignedMemory {}

// SAFETY: through a shared reference the bytes can only be read.
unsafe impl Sync for AlignedMemory {}

impl AlignedMemory {
    /// Zero bytes.
    ///
    /// # Panics
    /// When `bytes` is zero or not a multiple of the block size.
    pub(crate) fn zeroed(bytes: usize) -> AlignedMemory {
        let layout = layout(bytes, BLOCK_BYTES);
        // SAFETY: the layout has a size above zero.
        let pointer = unsafe { alloc_zeroed(layout) };
        match NonNull::new(pointer) {
            Some(pointer) => AlignedMemory {
                pointer,
                bytes,
                owner: Owner::Allocator(layout),
            },
            None => handle_alloc_error(layout),
        }
    }

    /// Equal pieces of zero bytes, one behind the other, on huge pages where the kernel has them: a
    /// disk then takes a piece as one run of memory instead of page by page. Memory is taken from
    /// the machine only when it is first touched.
    ///
    /// # Panics
    /// When `piece_bytes` is zero or not a multiple of the block size.
    pub(crate) fn pieces(piece_bytes: usize, count: usize) -> Vec<AlignedMemory> {
        let piece = layout(piece_bytes, BLOCK_BYTES);
        if count == 0 {
            return Vec::new();
        }
        let total = piece_bytes.checked_mul(count);
        let total = total.unwrap_or_else(|| handle_alloc_error(piece));
        cut(&Arc::new(Mapping::new(total)), piece_bytes, count)
    }

    /// Equal pieces of memory that another process maps too. They are whatever that process left in
    /// them, and stay what this one makes of them only as long as the other keeps its hands off:
    /// whoever maps memory this way must trust the other process.
    ///
    /// # Panics
    /// When the mapping is not made of pieces of that length.
    pub(crate) fn shared_pieces(mapping: Mapping, piece_bytes: usize) -> Vec<AlignedMemory> {
        layout(piece_bytes, BLOCK_BYTES);
        assert!(mapping.bytes().is_multiple_of(piece_bytes), "whole pieces");
        let count = mapping.bytes() / piece_bytes;
        cut(&Arc::new(mapping), piece_bytes, count)
    }
}

/// Disjoint pieces of a mapping that is at least `count` pieces long.
fn cut(mapping: &Arc<Mapping>, piece_bytes: usize, count: usize) -> Vec<AlignedMemory> {
    assert!(piece_bytes * count <= mapping.bytes(), "inside the mapping");
    (0..count)
        .map(|number| AlignedMemory {
            // SAFETY: the piece lies inside the mapping, as asserted above.
            pointer: unsafe { mapping.start.add(number * piece_bytes) },
            bytes: piece_bytes,
            owner: Owner::Mapping {
                _mapping: Arc::clone(mapping),
            },
        })
        .collect()
}

fn layout(bytes: usize, align: usize) -> Layout {
    assert!(
        bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES),
        "buffer of {bytes} bytes"
    );
    Layout::from_size_align(bytes, align).expect("length fits the address")
}

impl Drop for AlignedMemory {
    fn drop(&mut self) {
        if let Owner::Allocator(layout) = self.owner {
            // SAFETY: pointer and layout are those of the allocation, and nobody else frees it.
            unsafe { dealloc(self.pointer.as_ptr(), layout) }
        }
    }
}

impl Deref for AlignedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the memory is `bytes` long, zeroed at birth, and lives as long as self; the
        // shared borrow of self keeps writers out.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.bytes) }
    }
}

impl DerefMut for AlignedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the exclusive borrow of self makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.bytes) }
    }
}

/// Memory straight from the kernel.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    /// How much of it may be used.
    bytes: usize,
    /// What was mapped: more, so that a start could be chosen.
    mapped: NonNull<libc::c_void>,
    mapped_bytes: usize,
}

// SAFETY: the mapping is only ever taken back, by its last owner, on whatever thread that is.
unsafe impl Send for Mapping {}

// SAFETY: nothing can be done through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zero bytes of this process alone, starting where a huge page can start.
    fn new(bytes: usize) -> Mapping {
        let wanted = layout(bytes, HUGE_PAGE_BYTES);
        let mapped_bytes = bytes.saturating_add(HUGE_PAGE_BYTES);
        // SAFETY: a new private mapping at a place of the kernel's choice touches nothing there is.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            handle_alloc_error(wanted);
        }
        let mapped = NonNull::new(mapped).unwrap_or_else(|| handle_alloc_error(wanted));
        let shift = mapped.cast::<u8>().align_offset(HUGE_PAGE_BYTES);
        // SAFETY: the shift is less than a huge page, and so much more was mapped.
        let start = unsafe { mapped.cast::<u8>().add(shift) };
        // A kernel without huge pages says no; small ones serve too.
        // SAFETY: the range lies inside the mapping, and this advice changes no content.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        Mapping {
            start,
            bytes,
            mapped,
            mapped_bytes,
        }
    }

    /// The first bytes of a file, shared with every other process that maps it. The file must be at
    /// least that long for as long as it is mapped: the caller seals it against becoming shorter.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn shared(file: BorrowedFd<'_>, bytes: usize) -> Result<Mapping, Errno> {
        layout(bytes, BLOCK_BYTES);
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing there is.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let mapped = NonNull::new(mapped).ok_or(Errno::EFAULT)?;
        Ok(Mapping {
            start: mapped.cast(),
            bytes,
            mapped,
            mapped_bytes: bytes,
        })
    }

    /// Length, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies bytes out of memory that another process may be writing: what arrives is whatever was
    /// there, byte by byte, and must be looked at only in the copy. None when it lies outside.
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) -> Option<()> {
        let from = self.place(at, into.len())?;
        // SAFETY: the source lies inside the mapping, the target is borrowed from this process alone;
        // any byte is a valid one, and no reference to the shared memory is ever made.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Some(())
    }

    /// Copies bytes into memory that another process may be reading. None when it lies outside.
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) -> Option<()> {
        let into = self.place(at, from.len())?;
        // SAFETY: as in `copy_out`, the other way round; one thread of this process at a time has the
        // piece that is written to, and no reference to the shared memory is ever made.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into, from.len()) };
        Some(())
    }

    fn place(&self, at: usize, len: usize) -> Option<*mut u8> {
        let end = at.checked_add(len)?;
        // SAFETY: the address lies inside the mapping or one behind it.
        (end <= self.bytes).then(|| unsafe { self.start.as_ptr().add(at) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: address and length are those of the mapping, and its last piece is gone.
        unsafe { libc::munmap(self.mapped.as_ptr(), self.mapped_bytes) };
    }
}
