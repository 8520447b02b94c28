//! Buffers that carry client data between gateway and engine.
//!
//! A slab is one pooled, aligned buffer with room in front for the frame header, so that the same
//! memory is filled from the socket, sealed in place and written to the disks. The pool's size bounds
//! what clients can make the box hold: no slab, no read from the socket.
//!
//! Invariant: `start + len` lies inside the buffer, and bytes outside `start..start + len` are
//! never shown to anybody: a pooled buffer still holds what its last user left there.

use std::sync::Arc;
use std::time::Duration;

use stele_device::buffer::{BufferMut, Pool};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::limits::{
    COPY_SLABS, DOWNLOAD_PASSING_DIVISOR, DOWNLOAD_SHARE_DIVISOR, SLAB_BYTES, SLAB_FRONT_BYTES,
    SLAB_PLAIN_BYTES_MAX, SLAB_WAIT_MS, UPLOAD_SHARE_DIVISOR,
};
use crate::refusal::Refusal;
use crate::turns::{Division, Turn, Turns};

/// Plaintext of at most one chunk inside an aligned buffer.
pub struct Slab {
    /// The whole buffer.
    pub buffer: BufferMut,
    /// Where the plaintext starts.
    pub start: usize,
    /// How long it is, bytes.
    pub len: usize,
}

impl std::fmt::Debug for Slab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slab({} bytes)", self.len)
    }
}

impl Slab {
    /// An empty slab over a buffer of `SLAB_BYTES`, leaving room for the frame header.
    #[must_use]
    pub fn empty(buffer: BufferMut) -> Self {
        Self {
            buffer,
            start: SLAB_FRONT_BYTES,
            len: 0,
        }
    }

    /// The plaintext.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.buffer
            .get(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    /// Whether it holds a whole chunk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Copies in as much as fits and says how much that was, bytes.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        let end = self.start + self.len;
        self.buffer[end..end + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        taken
    }

    fn room(&self) -> usize {
        let behind = self.buffer.len().saturating_sub(self.start + self.len);
        SLAB_PLAIN_BYTES_MAX.saturating_sub(self.len).min(behind)
    }
}

impl AsRef<[u8]> for Slab {
    fn as_ref(&self) -> &[u8] {
        self.data()
    }
}

/// The memory of a gateway for content.
#[derive(Clone, Debug)]
pub struct Slabs {
    /// What uploads are read into.
    pub uploads: SlabPool,
    /// What downloads are delivered in.
    pub downloads: SlabPool,
    /// Who fills how many of them.
    fillers: Turns,
    /// Who is sent how many of them.
    readers: Turns,
}

impl Slabs {
    /// Both pools.
    #[must_use]
    pub fn over(uploads: SlabPool, downloads: SlabPool) -> Self {
        let (filled, read) = (uploads.count_max(), downloads.count_max());
        let share = (filled / UPLOAD_SHARE_DIVISOR).max(1);
        let fillers = Division::new(filled, share);
        let reader = (read / DOWNLOAD_SHARE_DIVISOR).max(1);
        let readers = Division {
            all: read - read / DOWNLOAD_PASSING_DIVISOR,
            ..Division::new(read, reader)
        };
        Self {
            fillers: Turns::new(fillers),
            readers: Turns::new(readers),
            uploads,
            downloads,
        }
    }

    /// Somebody's turn to be sent one more slab, as soon as it has one within a bounded time. It lasts until the slab's
    /// content is gone.
    ///
    /// # Errors
    /// `Busy` when it has none in that time.
    pub(crate) async fn reader_turn(&self, party: &str, wait: Duration) -> Result<Turn, Refusal> {
        self.readers.turn_within(party, wait).await
    }

    /// The same, if it has one now that others of it may do without.
    pub(crate) fn try_reader_turn(&self, party: &str) -> Option<Turn> {
        self.readers.try_spare_turn(party)
    }

    /// Somebody's turn to copy something large, as soon as it has one within a bounded time: of all slabs that it holds at
    /// once. There are fewer than turns to fill slabs, so that copies do not wait for each other in a circle.
    ///
    /// # Errors
    /// `Busy` when it has none in that time.
    pub(crate) async fn copier_turn(&self, party: &str) -> Result<Turn, Refusal> {
        self.readers.several(party, COPY_SLABS).await
    }

    /// Somebody's turn to fill slabs with a large upload, as soon as it has one within a bounded time.
    ///
    /// # Errors
    /// `Busy` when it has none in that time.
    pub(crate) async fn turn(&self, party: &str) -> Result<Turn, Refusal> {
        self.fillers.turn(party).await
    }

    /// Memory of this process alone.
    #[must_use]
    pub fn new(upload_count: usize, download_count: usize) -> Self {
        Self::over(SlabPool::new(upload_count), SlabPool::new(download_count))
    }
}

/// A bounded set of slabs. Clones share it.
#[derive(Clone, Debug)]
pub struct SlabPool {
    pool: Pool,
    returned: Arc<Notify>,
}

impl SlabPool {
    /// A pool of at most `slab_count_max` slabs of `SLAB_BYTES`.
    #[must_use]
    pub fn new(slab_count_max: usize) -> Self {
        Self::over(Pool::new(SLAB_BYTES, slab_count_max))
    }

    /// Slabs over the buffers of a pool, each of `SLAB_BYTES`.
    #[must_use]
    pub fn over(pool: Pool) -> Self {
        let returned = Arc::new(Notify::new());
        let waker = Arc::clone(&returned);
        pool.on_return(move || waker.notify_one());
        Self { pool, returned }
    }

    /// An empty slab, as soon as there is one.
    pub async fn take(&self) -> Slab {
        loop {
            // Registered before the attempt, so that a return in between is not missed.
            let mut returned = std::pin::pin!(self.returned.notified());
            returned.as_mut().enable();
            if let Some(buffer) = self.pool.try_take() {
                return Slab::empty(buffer);
            }
            returned.await;
        }
    }

    /// An empty slab, as soon as there is one within a bounded time.
    ///
    /// # Errors
    /// `Busy` when there is none in that time.
    pub async fn take_soon(&self) -> Result<Slab, Refusal> {
        self.take_within(Duration::from_millis(SLAB_WAIT_MS)).await
    }

    /// The same within this time.
    ///
    /// # Errors
    /// `Busy` when there is none in that time.
    pub async fn take_within(&self, wait: Duration) -> Result<Slab, Refusal> {
        timeout(wait, self.take())
            .await
            .map_err(|_elapsed| Refusal::Busy)
    }

    /// The number of a slab's buffer in its pool; none if it is of another pool.
    #[must_use]
    pub fn number_of(&self, slab: &Slab) -> Option<usize> {
        self.pool.number_of(&slab.buffer)
    }

    /// An empty slab, if there is one now.
    #[must_use]
    pub fn try_take(&self) -> Option<Slab> {
        self.pool.try_take().map(Slab::empty)
    }

    /// Where the memory of the slabs comes from, for those who write it to disks.
    #[must_use]
    pub fn buffers(&self) -> Pool {
        self.pool.clone()
    }

    /// How many slabs there are.
    #[must_use]
    pub fn count_max(&self) -> usize {
        self.pool.slab_count_max()
    }

    /// How many slabs are out now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// How many slabs were ever out at the same time.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.pool.high_water()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_slab_takes_one_chunk_and_leaves_room_around_it() {
        let mut slab = SlabPool::new(1).try_take().expect("a free slab");
        let much = vec![7u8; SLAB_BYTES];
        assert_eq!(slab.append(&much), SLAB_PLAIN_BYTES_MAX);
        assert!(slab.is_full());
        assert_eq!(slab.append(&much), 0);
        assert_eq!(slab.start, SLAB_FRONT_BYTES);
        assert!(slab.start + slab.len + 16 <= slab.buffer.len());
    }

    #[test]
    fn bytes_show_the_plaintext_only_and_return_the_buffer() {
        let pool = SlabPool::new(1);
        let mut slab = pool.try_take().expect("a free slab");
        slab.append(b"old secret");
        drop(slab);
        let mut slab = pool.try_take().expect("the slab came back");
        slab.append(b"new");
        let bytes = Bytes::from_owner(slab);
        let tail = bytes.slice(1..);
        drop(bytes);
        assert_eq!(&tail[..], b"ew");
        assert_eq!(pool.in_use(), 1);
        drop(tail);
        assert_eq!(pool.in_use(), 0);
    }

    #[tokio::test]
    async fn waiting_takers_are_served_when_slabs_come_back() {
        let pool = SlabPool::new(1);
        let held = pool.take().await;
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { drop(pool.take().await) })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(held);
        for task in waiting {
            task.await.expect("served");
        }
        assert_eq!(pool.high_water(), 1);
    }
}
