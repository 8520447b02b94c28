//! The mains: one switch for the disks of a simulated machine, so that a power cut can be placed
//! before any single operation of any of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// A power supply; a clone is the same supply.
///
/// A plain read, write, flush, discard or area access is one step; a durable write is two, so that
/// a cut can fall between its write and its flush. Refused operations are none.
#[derive(Clone, Debug)]
pub struct Power(Arc<Meter>);

#[derive(Debug)]
struct Meter {
    left: AtomicU64,
    used: AtomicU64,
    /// Whether a step found the power off.
    refused: AtomicBool,
    /// The steps that may have changed a disk, once somebody wants to know.
    changes: Mutex<Option<Vec<u64>>>,
}

/// So many steps never happen.
const UNLIMITED: u64 = u64::MAX;

impl Default for Power {
    fn default() -> Power {
        Power::new()
    }
}

impl Power {
    /// A supply that stays on.
    #[must_use]
    pub fn new() -> Power {
        Power(Arc::new(Meter {
            left: AtomicU64::new(UNLIMITED),
            used: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            changes: Mutex::new(None),
        }))
    }

    /// Lets `steps` more steps happen; the next one finds the power off.
    pub fn cut_after(&self, steps: u64) {
        self.0.left.store(steps, Ordering::Relaxed);
    }

    /// Switches on, for good.
    pub fn restore(&self) {
        self.0.left.store(UNLIMITED, Ordering::Relaxed);
        self.0.refused.store(false, Ordering::Relaxed);
    }

    /// Whether a step found the power off: who submits anything now is not there any more.
    pub(crate) fn has_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Whether the next step would happen.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) > 0
    }

    /// Steps that happened since the start.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// From now on, notes which steps may change a disk: between two others a cut leaves the same.
    pub fn note_changes(&self) {
        *lock(&self.0.changes) = Some(Vec::new());
    }

    /// The steps noted: how many had happened before each of them.
    #[must_use]
    pub fn take_changes(&self) -> Vec<u64> {
        lock(&self.0.changes).take().unwrap_or_default()
    }

    /// Uses one step, if there is one.
    pub(crate) fn step(&self, changes: bool) -> bool {
        match self.0.left.load(Ordering::Relaxed) {
            0 => {
                self.0.refused.store(true, Ordering::Relaxed);
                return false;
            }
            UNLIMITED => {}
            left => self.0.left.store(left - 1, Ordering::Relaxed),
        }
        let before = self.0.used.fetch_add(1, Ordering::Relaxed);
        if changes && let Some(noted) = lock(&self.0.changes).as_mut() {
            noted.push(before);
        }
        true
    }
}
