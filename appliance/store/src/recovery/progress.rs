//! How far a start has come with the journal, for whoever waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by a start and those who watch it; a clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    frames_done: AtomicU64,
    frames: AtomicU64,
}

impl Progress {
    /// Journal frames replayed, and how many there are at least.
    #[must_use]
    pub fn frames(&self) -> (u64, u64) {
        let done = self.0.frames_done.load(Ordering::Relaxed);
        (done, self.0.frames.load(Ordering::Relaxed).max(done))
    }

    /// Replay begins, or begins anew: so many frames are known to be there.
    pub(super) fn begin(&self, frames: u64) {
        self.0.frames.store(frames, Ordering::Relaxed);
        self.0.frames_done.store(0, Ordering::Relaxed);
    }

    pub(super) fn frame_done(&self) {
        self.0.frames_done.fetch_add(1, Ordering::Relaxed);
    }
}
