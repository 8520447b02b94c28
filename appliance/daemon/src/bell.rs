//! How the engine thread is woken: one bell for disks, workers, index, gateway and control.
//!
//! Ringing is `unpark`: it never blocks, allocates nothing, and any number of rings before the
//! thread looks again count as one. Whoever rings first leaves what it has in a queue; the thread
//! empties every queue before it sleeps, so nothing is missed.

use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread::Thread;

/// A bell. Clones ring at the same thread.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Listener>);

#[derive(Debug, Default)]
struct Listener(OnceLock<Thread>);

impl Wake for Listener {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

impl Bell {
    /// Rings. Before anybody listens this does nothing: the listener looks at every queue first.
    pub fn ring(&self) {
        self.0.wake_by_ref();
    }

    /// The current thread is the one to wake from now on; the first to say so wins.
    pub fn listen(&self) {
        self.0.0.get_or_init(std::thread::current);
    }

    /// For disks.
    pub fn disk_waker(&self) -> stele_device::disk::Waker {
        let bell = self.clone();
        Arc::new(move || bell.ring())
    }

    /// For queues that are polled.
    pub fn task_waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn rings_from_anywhere_wake_the_listener() {
        let bell = Bell::default();
        bell.ring();
        let (ready, wait_ready) = mpsc::channel();
        let listener = bell.clone();
        let thread = std::thread::spawn(move || {
            listener.listen();
            ready.send(()).expect("the test waits");
            // Without a ring this would sleep for ever; a ring before it is kept.
            std::thread::park();
        });
        wait_ready.recv().expect("started");
        bell.disk_waker()();
        bell.task_waker().wake();
        thread.join().expect("woken");
    }
}
