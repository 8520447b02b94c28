//! A disk as a process has it: once the process has felt the power fail, it is dead and asks for
//! nothing more.
//!
//! A simulated disk lets part of what was in flight at a power cut reach the medium. Code that goes
//! on after the first error of a cut would put more in flight, which no real machine can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stele_device::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId};
use stele_device::sim::disk::SimDisk;

/// Whether the process has felt the power fail; shared by all its disks.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicBool>);

impl Pulse {
    fn is_dead(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn feel(&self, done: &[Done]) {
        if done
            .iter()
            .any(|done| matches!(done.result, Err(DiskError::PowerLost)))
        {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// The disk.
pub struct Plugged {
    disk: SimDisk,
    pulse: Pulse,
    refused: Vec<Done>,
}

impl Plugged {
    /// A disk of the process with this pulse.
    #[must_use]
    pub fn new(disk: SimDisk, pulse: Pulse) -> Self {
        Self {
            disk,
            pulse,
            refused: Vec::new(),
        }
    }

    fn collect(&mut self, take: impl FnOnce(&mut SimDisk, &mut Vec<Done>), done: &mut Vec<Done>) {
        let before = done.len();
        if self.refused.is_empty() {
            take(&mut self.disk, done);
            self.pulse.feel(done.get(before..).unwrap_or_default());
        }
        done.append(&mut self.refused);
    }
}

impl Disk for Plugged {
    fn identity(&self) -> &DiskIdentity {
        self.disk.identity()
    }

    fn submit(&mut self, id: OpId, op: Op) {
        if self.pulse.is_dead() {
            self.refused.push(Done {
                id,
                result: Err(DiskError::PowerLost),
            });
        } else {
            self.disk.submit(id, op);
        }
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        self.collect(SimDisk::poll, done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        self.collect(SimDisk::wait, done);
    }

    fn in_flight(&self) -> usize {
        self.disk.in_flight() + self.refused.len()
    }
}

#[cfg(test)]
mod tests {
    use stele_device::buffer::BufferMut;
    use stele_device::disk::{BlockingDisk, DiskError};
    use stele_device::sim::disk::SimDiskHandle;
    use stele_device::sim::fault::Loss;

    use super::{Plugged, Pulse};

    #[test]
    fn what_is_asked_for_after_the_cut_leaves_no_trace() {
        let handle = SimDiskHandle::new(1 << 20, 1);
        let mut disk = Plugged::new(handle.open(), Pulse::default());
        let mut bytes = BufferMut::zeroed(4096);
        bytes.fill(7);
        let data = bytes.freeze();
        handle.power().cut_after(0);
        assert_eq!(disk.write_at(0, data.clone()), Err(DiskError::PowerLost));
        assert_eq!(disk.write_at(4096, data), Err(DiskError::PowerLost));
        handle.crash(Loss::Nothing);
        handle.power().restore();
        assert_eq!(handle.peek(0, 1), [7], "in flight when the power failed");
        assert_eq!(handle.peek(4096, 1), [0], "asked for by a dead process");
    }
}
