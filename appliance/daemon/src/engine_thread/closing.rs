//! The last thing of a clean stop: where the log ended is kept with the keys, and the disks are closed.
//!
//! By then all that counts is on the disks. One that hangs would hold up the end of the process, so this is done by a
//! thread of its own and waited for a while only. What it leaves undone is as after a power cut.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use stele_device::disk::Disk;
use stele_store::engine::Engine;

use crate::watch::Watch;

/// Told of when the thread has ended.
pub(super) struct Closing(Receiver<()>);

impl Closing {
    /// Begins it.
    pub(super) fn begin(
        mut engine: Engine,
        mut disks: Vec<Option<Box<dyn Disk>>>,
        watch: &Watch,
    ) -> Closing {
        let (ended, end) = sync_channel(1);
        let guard = watch.guard("closing");
        let close = move || {
            let _guard = guard;
            if let Err(why) = engine.keep_head(&mut disks) {
                tracing::warn!(%why, "the key state does not say where the log ended");
            }
            for disk in disks.into_iter().flatten() {
                if disk.in_flight() > 0 {
                    // It closes when it has ended that, and nobody waits for it.
                    on_a_thread("closing-disk", move || drop(disk));
                }
            }
            drop(ended);
        };
        on_a_thread("closing", close);
        Closing(end)
    }

    /// Waits for it, so long at most; whether it has ended.
    pub(super) fn end(self, patience: Duration) -> bool {
        let ended = self.0.recv_timeout(patience) != Err(RecvTimeoutError::Timeout);
        if !ended {
            tracing::warn!("a disk does not answer, and is not waited for");
        }
        ended
    }
}

/// Without a thread for it, it is left undone, as after a power cut.
fn on_a_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().name(name.to_owned());
    if let Err(error) = builder.spawn(work) {
        tracing::warn!(%error, thread = name, "no thread could be started");
    }
}
