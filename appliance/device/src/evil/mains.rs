//! The mains of a process's evil disks: counts what they do, and cuts the power of all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cache::Cache;
use super::fate::mood;
use super::plan::{Cut, Plan};
use crate::limits::EVIL_PAUSE_US_MAX;
use crate::sim::rng::SimRng;
use crate::sync::lock;

/// Ends the process as a power cut does; comes back only in tests.
type End = Box<dyn Fn() + Send + Sync>;

/// A power supply; a clone is the same supply.
#[derive(Clone)]
pub struct Mains(Arc<Supply>);

struct Supply {
    plan: Plan,
    on: AtomicBool,
    writes: AtomicU64,
    flushes: AtomicU64,
    rng: Mutex<SimRng>,
    caches: Mutex<BTreeMap<PathBuf, Arc<Cache>>>,
    end: End,
}

impl Mains {
    /// A supply that is cut as planned. `end` must end the process at once; nothing of it reaches
    /// the disks before.
    #[must_use]
    pub fn new(plan: Plan, end: impl Fn() + Send + Sync + 'static) -> Mains {
        Mains(Arc::new(Supply {
            plan,
            on: AtomicBool::new(true),
            writes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            rng: Mutex::new(SimRng::new(plan.seed)),
            caches: Mutex::new(BTreeMap::new()),
            end: Box::new(end),
        }))
    }

    /// What was planned.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.0.plan
    }

    /// Whether there is power.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::SeqCst)
    }

    /// The cache of the disk at this path; all who open the disk share it. Disks are numbered from 1 as they come.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn cache(&self, path: &Path, bytes: u64) -> std::io::Result<Arc<Cache>> {
        let path = path.canonicalize()?;
        let mut caches = lock(&self.0.caches);
        if let Some(cache) = caches.get(&path) {
            return Ok(Arc::clone(cache));
        }
        let number = caches.len() as u64 + 1;
        let cache = Arc::new(Cache::open(&path, bytes, number, self.clone())?);
        caches.insert(path, Arc::clone(&cache));
        Ok(cache)
    }

    /// Cuts the power: of what is not flushed the seed says what survives, and the end comes while
    /// everything is held still.
    pub fn cut(&self) {
        if !self.0.on.swap(false, Ordering::SeqCst) {
            return;
        }
        let caches = lock(&self.0.caches);
        let mut held: Vec<_> = caches
            .values()
            .map(|cache| (cache, cache.freeze()))
            .collect();
        // A fresh generator: how many numbers were drawn before depends on the threads.
        let mut rng = SimRng::new(self.0.plan.seed ^ 0x5eed_0ff0);
        let mood = mood(&mut rng);
        for (cache, state) in &mut held {
            if let Err(error) = cache.lose(state, mood, &mut rng) {
                eprintln!("evil disk: a part of the cut could not be written: {error}");
            }
        }
        (self.0.end)();
    }

    /// A write was taken.
    pub(super) fn wrote(&self) {
        let number = self.0.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if self.0.plan.cut == Cut::AtWrite(number) {
            self.cut();
        }
    }

    /// A flush begins; true when the power is to be cut as soon as it did its work.
    pub(super) fn flushing(&self) -> bool {
        let number = self.0.flushes.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.0.plan.cut == Cut::AtFlush(number);
        let after = now && self.coin();
        if now && !after {
            self.cut();
        }
        after
    }

    pub(super) fn coin(&self) -> bool {
        lock(&self.0.rng).coin()
    }

    /// A flush takes time, where nothing is planned most of them little: writes gather behind it.
    pub(super) fn pause(&self) {
        let us = self.0.plan.pace.unwrap_or_else(|| {
            let mut rng = lock(&self.0.rng);
            let most = EVIL_PAUSE_US_MAX >> (2 * rng.below(4));
            rng.below(most + 1) as u64
        });
        std::thread::sleep(Duration::from_micros(us));
    }
}

impl std::fmt::Debug for Mains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mains({})", self.0.plan)
    }
}
