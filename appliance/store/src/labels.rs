//! Writing labels: always in two halves, so that two old copies stay whole whatever happens.
//!
//! Copies A and C are written and flushed, then B and D. A generation is in force on a disk when all
//! four are flushed; a membership change is in force when that holds on every remaining member.

use std::collections::BTreeMap;

use stele_device::buffer::{Buffer, BufferMut};
use stele_device::disk::{BlockingDisk, Disk, DiskError, Op};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{DynamicLabel, LabelCopy};

use crate::engine::DiskSlot;
use crate::engine::io::{Io, Purpose};
use crate::plants::{Plant, on};

/// Copies written in the first and in the second half.
const HALVES: [[LabelCopy; 2]; 2] = [[LabelCopy::A, LabelCopy::C], [LabelCopy::B, LabelCopy::D]];

fn block(label: &DynamicLabel, geometry: &DiskGeometry, copy: LabelCopy) -> (u64, Buffer) {
    let offset = label.place(geometry, copy).offset.get();
    let bytes = label
        .encode(geometry, copy)
        .expect("members and cut-offs keep within the label");
    (offset, BufferMut::padded(&bytes).freeze())
}

/// Writes one disk's label and waits.
///
/// # Errors
/// The first failed write or flush; the disk must not be believed then.
pub fn write_blocking(
    disk: &mut dyn Disk,
    geometry: &DiskGeometry,
    label: &DynamicLabel,
) -> Result<(), DiskError> {
    for half in HALVES {
        for copy in half {
            let (offset, bytes) = block(label, geometry, copy);
            disk.write_at(offset, bytes)?;
        }
        if !on(Plant::LabelUnflushed) {
            disk.flush()?;
        }
    }
    Ok(())
}

enum Step {
    Writing { half: usize, open: u8 },
    Flushing { half: usize },
}

struct Target {
    label: DynamicLabel,
    geometry: DiskGeometry,
    step: Step,
}

/// A label update in progress on some disks.
#[derive(Default)]
pub struct LabelUpdate {
    targets: BTreeMap<DiskSlot, Target>,
}

impl LabelUpdate {
    /// Whether an update is in progress.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Starts writing a label on one disk.
    pub(crate) fn start(
        &mut self,
        io: &mut Io,
        slot: DiskSlot,
        geometry: &DiskGeometry,
        label: DynamicLabel,
    ) {
        let target = Target {
            label,
            geometry: *geometry,
            step: Step::Writing { half: 0, open: 0 },
        };
        let entry = self.targets.entry(slot).or_insert(target);
        Self::write_half(io, slot, entry, 0);
    }

    fn write_half(io: &mut Io, slot: DiskSlot, target: &mut Target, half: usize) {
        let copies = HALVES[half];
        for copy in copies {
            let (offset, data) = block(&target.label, &target.geometry, copy);
            io.submit(slot, Op::Write { offset, data }, Purpose::Label);
        }
        target.step = Step::Writing { half, open: 2 };
    }

    /// One operation of the update succeeded on this disk. True when the label is in force there.
    pub(crate) fn finished(&mut self, io: &mut Io, slot: DiskSlot) -> bool {
        let Some(target) = self.targets.get_mut(&slot) else {
            return false;
        };
        match target.step {
            Step::Writing { half, open } if open > 1 => {
                target.step = Step::Writing {
                    half,
                    open: open - 1,
                };
                false
            }
            Step::Writing { half: 0, .. } if on(Plant::LabelUnflushed) => {
                Self::write_half(io, slot, target, 1);
                false
            }
            Step::Writing { .. } if on(Plant::LabelUnflushed) => {
                self.targets.remove(&slot);
                true
            }
            Step::Writing { half, .. } => {
                target.step = Step::Flushing { half };
                io.submit(slot, Op::Flush, Purpose::Label);
                false
            }
            Step::Flushing { half: 0 } => {
                Self::write_half(io, slot, target, 1);
                false
            }
            Step::Flushing { .. } => {
                self.targets.remove(&slot);
                true
            }
        }
    }

    /// The disk is not believed any more.
    pub fn remove(&mut self, slot: DiskSlot) {
        self.targets.remove(&slot);
    }
}
