//! Disks that answer nothing at a start. Whoever waits for one gives it up after a while; then it is as one that is not
//! here, and the start begins again without it. Nothing was written by then, or what was is as after a power cut.

use stele_device::disk::Disk;

use super::{DiskReport, DiskVerdict, Disks, OpenError};
use crate::engine::DiskSlot;

impl Disks {
    /// Whether one of them was given up.
    pub(super) fn any_silent(&self) -> bool {
        self.0.iter().flatten().any(|disk| disk.is_given_up())
    }
}

/// The disks that a start goes on without.
#[derive(Default)]
pub(super) struct Silent(Vec<Left>);

struct Left {
    slot: DiskSlot,
    name: String,
    serial: Option<String>,
}

impl Silent {
    /// Lets go of the disks that were given up; whether there was one.
    pub(super) fn let_go(&mut self, disks: &mut Disks) -> bool {
        let before = self.0.len();
        for (slot, place) in (0..).map(DiskSlot).zip(&mut disks.0) {
            if let Some(disk) = place.take_if(|disk| disk.is_given_up()) {
                self.0.push(Left {
                    slot,
                    name: disk.identity().name.clone(),
                    serial: disk.identity().serial.clone(),
                });
            }
        }
        self.0.len() > before
    }

    pub(super) fn reports(&self) -> impl Iterator<Item = DiskReport> + '_ {
        self.0.iter().map(|left| DiskReport {
            slot: Some(left.slot),
            name: left.name.clone(),
            verdict: DiskVerdict::Silent,
        })
    }

    /// The error of a start without them: where there are some, they are what to look at first. Why a vault was not
    /// forced open is told as it is.
    pub(super) fn blamed(&self, error: OpenError) -> OpenError {
        if self.0.is_empty() || matches!(error, OpenError::NotForced(_)) {
            return error;
        }
        let named = self.0.iter().map(|left| match &left.serial {
            Some(serial) => format!("disk {} (serial {serial})", left.name),
            None => format!("disk {}", left.name),
        });
        OpenError::NoAnswer {
            disks: named.collect::<Vec<_>>().join(", "),
            why: Box::new(error),
        }
    }
}
