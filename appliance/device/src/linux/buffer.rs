//! Memory aligned for direct I/O: the only unsafe code of the appliance's device layer.
//!
//! Invariants: `pointer` came from the global allocator with `layout`; all `layout.size()` bytes
//! are initialised from the start and for ever; the memory is owned by exactly one value.
//! Running out of memory ends the process, as everywhere in Rust.

#![expect(
    unsafe_code,
    reason = "std offers no safe way to allocate with a chosen alignment"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::limits::BLOCK_BYTES;

/// Initialised bytes at an address that is a multiple of the block size.
pub(crate) struct AlignedMemory {
    pointer: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the value owns its memory alone, holds no thread-bound state, and the global allocator
// may free on another thread what it gave out on this one.
unsafe impl Send for AlignedMemory {}

// SAFETY: through a shared reference the bytes can only be read.
unsafe impl Sync for AlignedMemory {}

impl AlignedMemory {
    /// Zero bytes.
    ///
    /// # Panics
    /// When `bytes` is zero or not a multiple of the block size.
    pub(crate) fn zeroed(bytes: usize) -> AlignedMemory {
        assert!(
            bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES),
            "buffer of {bytes} bytes"
        );
        let layout = Layout::from_size_align(bytes, BLOCK_BYTES).expect("length fits the address");
        // SAFETY: the layout has a size above zero, asserted above.
        let pointer = unsafe { alloc_zeroed(layout) };
        match NonNull::new(pointer) {
            Some(pointer) => AlignedMemory { pointer, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for AlignedMemory {
    fn drop(&mut self) {
        // SAFETY: pointer and layout are those of the allocation, and nobody else frees it.
        unsafe { dealloc(self.pointer.as_ptr(), self.layout) }
    }
}

impl Deref for AlignedMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the allocation is `size` bytes long, zeroed at birth, and lives as long as self;
        // the shared borrow of self keeps writers out.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the exclusive borrow of self makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.layout.size()) }
    }
}
