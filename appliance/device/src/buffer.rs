//! Buffers that disks read into and write from.
//!
//! `BufferMut` is owned and writable, `Buffer` is shared and frozen; both are aligned to the block
//! size and a multiple of it long, so that direct I/O takes them as they are and a mirror write can
//! give the same memory to several disks. `Pool` bounds how much of it exists: its buffers find
//! their way home when their last owner drops them, on whatever thread that happens.
//!
//! Nothing here fails; a wrong length is a programming error and panics.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use zeroize::Zeroize;

use crate::limits::BLOCK_BYTES;
use crate::linux::buffer::AlignedMemory;
use crate::sync::{lock, wait};

/// Memory with one owner, going back to its pool (if it has one) when dropped.
struct Owned {
    memory: Option<AlignedMemory>,
    /// How much of the memory shows.
    len: usize,
    home: Option<Arc<PoolShared>>,
}

impl Owned {
    fn bytes(&self) -> &[u8] {
        &self.memory.as_deref().unwrap_or_default()[..self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory.as_deref_mut().unwrap_or_default()[..self.len]
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let (Some(memory), Some(home)) = (self.memory.take(), self.home.take()) {
            home.give_back(memory);
        }
    }
}

/// A writable, block-aligned buffer whose length is a multiple of the block size.
pub struct BufferMut(Owned);

impl BufferMut {
    /// A buffer of zeros.
    ///
    /// # Panics
    /// When `bytes` is zero or not a multiple of the block size.
    #[must_use]
    pub fn zeroed(bytes: usize) -> BufferMut {
        BufferMut(Owned {
            memory: Some(AlignedMemory::zeroed(bytes)),
            len: bytes,
            home: None,
        })
    }

    /// A buffer that starts with `content` and is filled up with zeros to the next block; one block
    /// of zeros for an empty content.
    #[must_use]
    pub fn padded(content: &[u8]) -> BufferMut {
        let bytes = content.len().max(1).next_multiple_of(BLOCK_BYTES);
        let mut buffer = BufferMut::zeroed(bytes);
        buffer[..content.len()].copy_from_slice(content);
        buffer
    }

    /// Ends writing; the memory stays where it is.
    #[must_use]
    pub fn freeze(self) -> Buffer {
        let end = self.len();
        Buffer {
            owned: Arc::new(self.0),
            start: 0,
            end,
        }
    }
}

impl Deref for BufferMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl DerefMut for BufferMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

impl fmt::Debug for BufferMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferMut({} bytes)", self.len())
    }
}

/// A frozen, block-aligned buffer; a clone shares the memory.
#[derive(Clone)]
pub struct Buffer {
    owned: Arc<Owned>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A part of this buffer, sharing its memory.
    ///
    /// # Panics
    /// When the range is empty, lies outside, or its ends are not multiples of the block size.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Buffer {
        assert!(
            range.start < range.end && range.end <= self.len(),
            "part {range:?} of {} bytes",
            self.len()
        );
        assert!(
            range.start.is_multiple_of(BLOCK_BYTES) && range.end.is_multiple_of(BLOCK_BYTES),
            "part {range:?} is not aligned"
        );
        Buffer {
            owned: Arc::clone(&self.owned),
            start: self.start + range.start,
            end: self.start + range.end,
        }
    }

    /// The memory for writing again, if this is its only owner and covers all of it.
    ///
    /// # Errors
    /// The buffer itself, unchanged, when it is shared or only a part.
    pub fn try_into_mut(self) -> Result<BufferMut, Buffer> {
        if self.len() != self.owned.bytes().len() {
            return Err(self);
        }
        let (start, end) = (self.start, self.end);
        match Arc::try_unwrap(self.owned) {
            Ok(owned) => Ok(BufferMut(owned)),
            Err(owned) => Err(Buffer { owned, start, end }),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.owned.bytes()[self.start..self.end]
    }
}

impl From<BufferMut> for Buffer {
    fn from(buffer: BufferMut) -> Buffer {
        buffer.freeze()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

/// A bounded set of equal buffers; a clone is the same pool.
///
/// Its memory lies in one piece, on huge pages where the kernel has them. It is taken from the
/// machine when a buffer is first used, and then kept. A buffer taken from the pool holds whatever
/// its last user left in it: write before reading, and mind the length of what you wrote.
#[derive(Clone)]
pub struct Pool(Arc<PoolShared>);

struct PoolShared {
    slab_bytes: usize,
    slab_count_max: usize,
    /// The addresses of all its memory, which lies in one piece.
    place: Range<usize>,
    wipe: AtomicBool,
    state: Mutex<PoolState>,
    returned: Condvar,
}

type Notifier = Arc<dyn Fn() + Send + Sync>;

struct PoolState {
    free: Vec<AlignedMemory>,
    in_use: usize,
    high_water: usize,
    notify: Option<Notifier>,
}

impl Pool {
    /// A pool of at most `slab_count_max` buffers of `slab_bytes` bytes.
    ///
    /// # Panics
    /// When `slab_bytes` is zero or not a multiple of the block size.
    #[must_use]
    pub fn new(slab_bytes: usize, slab_count_max: usize) -> Pool {
        assert!(
            slab_bytes > 0 && slab_bytes.is_multiple_of(BLOCK_BYTES),
            "slab of {slab_bytes} bytes"
        );
        Pool::over(
            AlignedMemory::pieces(slab_bytes, slab_count_max),
            slab_bytes,
        )
    }

    /// A pool of memory that lies in one piece, in order.
    pub(crate) fn over(mut free: Vec<AlignedMemory>, slab_bytes: usize) -> Pool {
        let slab_count_max = free.len();
        let start = free.first().map_or(0, |first| first.as_ptr().addr());
        // The first ones first: those that were never used stay untouched the longest.
        free.reverse();
        Pool(Arc::new(PoolShared {
            slab_bytes,
            slab_count_max,
            place: start..start + slab_bytes * slab_count_max,
            wipe: AtomicBool::new(false),
            state: Mutex::new(PoolState {
                free,
                in_use: 0,
                high_water: 0,
                notify: None,
            }),
            returned: Condvar::new(),
        }))
    }

    /// Whether buffers are overwritten with zeros when they come back. Off at first.
    pub fn set_wipe_on_return(&self, wipe: bool) {
        self.0.wipe.store(wipe, Ordering::Relaxed);
    }

    /// Calls `notify` after each return of a buffer, on the thread that dropped it, so that
    /// somebody who cannot block may wait too. It must neither block nor panic. Replaces the last.
    pub fn on_return(&self, notify: impl Fn() + Send + Sync + 'static) {
        lock(&self.0.state).notify = Some(Arc::new(notify));
    }

    /// A buffer, if the bound allows one now.
    #[must_use]
    pub fn try_take(&self) -> Option<BufferMut> {
        self.try_take_short(self.0.slab_bytes)
    }

    /// A buffer that shows only its first `bytes` bytes, if the bound allows one now and its
    /// buffers are that long.
    ///
    /// # Panics
    /// When `bytes` is zero or not a multiple of the block size.
    #[must_use]
    pub fn try_take_short(&self, bytes: usize) -> Option<BufferMut> {
        assert!(
            bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES),
            "buffer of {bytes} bytes"
        );
        if bytes > self.0.slab_bytes {
            return None;
        }
        let mut state = lock(&self.0.state);
        let memory = self.0.take(&mut state)?;
        drop(state);
        Some(self.own(memory, bytes))
    }

    /// A buffer, sleeping until there is one. A pool bounded to zero buffers never wakes up.
    #[must_use]
    pub fn take_blocking(&self) -> BufferMut {
        let mut state = lock(&self.0.state);
        loop {
            if let Some(memory) = self.0.take(&mut state) {
                drop(state);
                return self.own(memory, self.0.slab_bytes);
            }
            state = wait(&self.0.returned, state);
        }
    }

    /// Length of each buffer, bytes.
    #[must_use]
    pub fn slab_bytes(&self) -> usize {
        self.0.slab_bytes
    }

    /// How many buffers may exist.
    #[must_use]
    pub fn slab_count_max(&self) -> usize {
        self.0.slab_count_max
    }

    /// How many buffers are out now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        lock(&self.0.state).in_use
    }

    /// How many buffers were ever out at the same time.
    #[must_use]
    pub fn high_water(&self) -> usize {
        lock(&self.0.state).high_water
    }

    /// Which of the pool's buffers this is, counted from 0 in the order of their memory; none if it
    /// is of another pool.
    #[must_use]
    pub fn number_of(&self, buffer: &BufferMut) -> Option<usize> {
        let at = buffer.as_ptr().addr();
        let inside = self.0.place.contains(&at);
        inside.then(|| (at - self.0.place.start) / self.0.slab_bytes)
    }

    /// The addresses of all its memory. Until the last clone of the pool is dropped, nothing else
    /// can be there.
    pub(crate) fn place(&self) -> Range<usize> {
        self.0.place.clone()
    }

    fn own(&self, memory: AlignedMemory, len: usize) -> BufferMut {
        BufferMut(Owned {
            memory: Some(memory),
            len,
            home: Some(Arc::clone(&self.0)),
        })
    }
}

impl PoolShared {
    fn take(&self, state: &mut PoolState) -> Option<AlignedMemory> {
        let memory = state.free.pop()?;
        state.in_use += 1;
        state.high_water = state.high_water.max(state.in_use);
        Some(memory)
    }

    fn give_back(&self, mut memory: AlignedMemory) {
        if self.wipe.load(Ordering::Relaxed) {
            memory.zeroize();
        }
        let mut state = lock(&self.state);
        state.free.push(memory);
        state.in_use -= 1;
        let notify = state.notify.clone();
        drop(state);
        self.returned.notify_one();
        if let Some(notify) = notify {
            notify();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, max) = (self.0.slab_bytes, self.0.slab_count_max);
        write!(f, "Pool({} of {max} x {bytes} bytes)", self.in_use())
    }
}

#[cfg(test)]
mod tests;
