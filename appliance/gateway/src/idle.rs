//! Connections on which no request runs: HTTP/2 keeps them open for as long as the client likes, and a client
//! that only pings looks alive for ever. Over HTTP/1 the deadline of the next head ends them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What runs on one connection. Clones speak of the same one.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Shared>);

struct Shared {
    running: AtomicU64,
    /// When the last request ended, or the connection began.
    quiet_since: Mutex<Instant>,
}

/// A request that runs, until its client has all of the answer.
pub(crate) struct Running(Arc<Shared>);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            running: AtomicU64::new(0),
            quiet_since: Mutex::new(Instant::now()),
        }))
    }

    /// Notes that a request runs.
    pub(crate) fn begin(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(&self.0))
    }

    /// Ends when no request has run for so long.
    pub(crate) async fn quiet(&self, most: Duration) {
        loop {
            let now = Instant::now();
            let since = match self.0.running.load(Ordering::Acquire) {
                0 => *self
                    .0
                    .quiet_since
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
                _ => now,
            };
            if now.saturating_duration_since(since) >= most {
                return;
            }
            sleep_until(since + most).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self
            .0
            .quiet_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_when_nothing_ran_for_long_enough() {
        let began = Instant::now();
        let activity = Activity::new();
        let most = Duration::from_secs(60);
        let first = activity.begin();
        let second = activity.begin();
        let watched = activity.clone();
        let quiet = tokio::spawn(async move {
            watched.quiet(most).await;
            Instant::now()
        });
        tokio::time::sleep(Duration::from_secs(100)).await;
        drop(first);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!quiet.is_finished(), "one request still runs");
        drop(second);
        let ended = quiet.await.expect("watched");
        // Between one and two spans after the last request, as the looks fall.
        let waited = ended - began;
        assert!(waited >= Duration::from_secs(260), "{waited:?}");
        assert!(waited <= Duration::from_secs(320), "{waited:?}");
    }
}
