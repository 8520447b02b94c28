//! The disks of a simulated machine, and what is done to them behind the engine's back.
//!
//! Only the disks named by the pool's budget are ever hurt; all disks lose and tear what was not
//! flushed when the power is cut, since that is no fault but what disks do.

use stele_device::area::Area;
use stele_device::disk::{Disk, DiskError};
use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::{Loss, Plan, Span};
use stele_device::sim::power::Power;
use stele_format::geometry::DiskGeometry;
use stele_format::units::{ByteCount, UnitCount};
use stele_store::engine::DiskSlot;

use crate::context::Context;
use crate::driver::Machine;
use crate::limits::{DISK_BYTES, INDEX_BYTES, KEYSTATE_BYTES};
use crate::plug::{Plugged, Pulse};
use crate::swarm::{Budget, Rates, Swarm};

/// Opens a region of a disk as an area.
pub type AreaOpener = Box<dyn FnMut(DiskSlot, u64, u64) -> Result<Box<dyn Area>, DiskError>>;

/// A disk and what was done to it.
struct Slot {
    handle: SimDiskHandle,
    /// Plugged in.
    present: bool,
    /// Something was done to its bytes that an inspection may report.
    tainted: bool,
    /// Its content is not that of a pool member any more.
    blank: bool,
    /// An earlier condition, to fall back to.
    earlier: Option<SimSnapshot>,
}

/// All disks of a machine, on one power supply.
pub struct Hardware {
    power: Power,
    slots: Vec<Slot>,
    geometry: DiskGeometry,
}

impl Hardware {
    /// Blank disks for a pool.
    pub fn new(context: &mut Context, swarm: &Swarm) -> Self {
        let power = Power::new();
        let slots = (0..swarm.disks)
            .map(|number| Slot {
                handle: SimDiskHandle::with(
                    &format!("disk-{number}"),
                    DISK_BYTES,
                    context.rng.next(),
                    &power,
                ),
                present: true,
                tainted: false,
                blank: false,
                earlier: None,
            })
            .collect();
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(DISK_BYTES),
            index_bytes: ByteCount::new(INDEX_BYTES),
            keystate_bytes: KEYSTATE_BYTES,
            unit_bytes: swarm.unit_bytes,
            segment_units: UnitCount::new(swarm.segment_units),
        };
        Self {
            power,
            slots,
            geometry,
        }
    }

    /// The supply.
    #[must_use]
    pub fn power(&self) -> &Power {
        &self.power
    }

    /// The layout of a disk that has an index area.
    #[must_use]
    pub fn geometry(&self) -> &DiskGeometry {
        &self.geometry
    }

    /// Every disk that is plugged in and not blank, with its number, and whether it was hurt.
    pub fn readable(&self) -> impl Iterator<Item = (usize, &SimDiskHandle, bool)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.present && !slot.blank)
            .map(|(number, slot)| (number, &slot.handle, slot.tainted))
    }

    /// Whether every disk is plugged in and was never hurt in a way that costs it its place.
    #[must_use]
    pub fn all_present(&self) -> bool {
        self.slots.iter().all(|slot| slot.present && !slot.blank)
    }

    /// Opens every disk that is there, for one process.
    #[must_use]
    pub fn open(&self) -> Vec<Option<Box<dyn Disk>>> {
        let pulse = Pulse::default();
        let open = |slot: &Slot| {
            let plug = || Plugged::new(slot.handle.open(), pulse.clone());
            slot.present.then(|| Box::new(plug()) as Box<dyn Disk>)
        };
        self.slots.iter().map(open).collect()
    }

    /// Opens areas of disks for the index.
    #[must_use]
    pub fn areas(&self) -> AreaOpener {
        let handles: Vec<Option<SimDiskHandle>> = self
            .slots
            .iter()
            .map(|slot| slot.present.then(|| slot.handle.clone()))
            .collect();
        Box::new(move |slot, offset, bytes| {
            let handle = handles.get(usize::from(slot.0)).and_then(Option::as_ref);
            let handle = handle.ok_or(DiskError::Gone)?;
            Ok(Box::new(handle.area(offset, bytes)?) as Box<dyn Area>)
        })
    }

    /// The power fails, or failed a moment ago.
    pub fn cut(&mut self, context: &mut Context) {
        for slot in &self.slots {
            let loss = match context.rng.below(12) {
                0 => Loss::All,
                1 => Loss::Nothing,
                _ => Loss::Seeded,
            };
            slot.handle.crash(loss);
        }
        self.power.restore();
    }

    /// The process is killed while the power stays on: what is queued may still be carried out, and
    /// nothing the process would do on its way out happens.
    pub fn kill(&mut self, machine: Machine) {
        for slot in &self.slots {
            drop(slot.handle.open());
        }
        self.power.cut_after(0);
        drop(machine);
        self.power.restore();
    }

    /// Faults of the running session end with it; disks that were pulled are plugged in again.
    pub fn settle(&mut self) {
        for slot in &mut self.slots {
            slot.handle.set_plan(Plan::default());
            slot.handle.come_back();
            slot.present = true;
        }
    }

    /// What happens to the victims while the machine is off.
    pub fn hurt_at_rest(&mut self, context: &mut Context, swarm: &Swarm) {
        for victim in &swarm.victims {
            let number = usize::from(*victim);
            let rates = swarm.rates;
            if context.rng.permille(rates.rot) {
                self.rot(context, number);
            }
            if context.rng.permille(rates.unreadable) {
                self.unreadable(context, number);
            }
            self.keep_or_roll_back(context, number, rates.rollback);
            if context.rng.permille(rates.wipe) {
                self.wipe(context, number);
            }
            if context.rng.permille(rates.missing) {
                context.say(format_args!("fault: disk {number} is missing"));
                context.report.fault("missing at a start");
                self.slots[number].present = false;
            }
        }
    }

    fn keep_or_roll_back(&mut self, context: &mut Context, number: usize, rate: u64) {
        let slot = &mut self.slots[number];
        if let Some(earlier) = slot.earlier.take_if(|_| context.rng.permille(rate)) {
            context.say(format_args!("fault: disk {number} is as it was earlier"));
            context.report.fault("rolled back");
            slot.handle.restore(&earlier);
            slot.handle.set_plan(Plan::default());
            slot.tainted = true;
        } else if rate > 0 && context.rng.permille(300) {
            slot.earlier = Some(slot.handle.snapshot());
        }
    }

    fn wipe(&mut self, context: &mut Context, number: usize) {
        context.say(format_args!("fault: disk {number} is blank"));
        context.report.fault("wiped");
        let slot = &mut self.slots[number];
        slot.handle.wipe();
        slot.blank = true;
        slot.earlier = None;
    }

    /// A place on the disk where it may hurt: any area, and of the extents mostly the used part.
    fn place(&self, context: &mut Context, number: usize) -> u64 {
        let geometry = &self.geometry;
        let extents = geometry.extents_offset().get();
        let index = geometry.index_offset().get();
        let at = match context.rng.below(10) {
            0 => context.rng.below(1 << 20),
            1 => DISK_BYTES - 1 - context.rng.below(512 << 10),
            2 => (1 << 20) + context.rng.below(u64::from(2 * KEYSTATE_BYTES)),
            3 => index + context.rng.below(extents - index),
            4 => extents + context.rng.below(DISK_BYTES - extents),
            _ => self.used_place(context, number),
        };
        at.min(DISK_BYTES - 4096)
    }

    /// A place in the extents that holds something, found by trying.
    fn used_place(&self, context: &mut Context, number: usize) -> u64 {
        let extents = self.geometry.extents_offset().get();
        let mut at = extents;
        for _ in 0..40 {
            let span = context.rng.magnitude(DISK_BYTES - extents - 4096);
            at = extents + context.rng.below(span);
            let block = at / 4096 * 4096;
            if self.slots[number]
                .handle
                .peek(block, 4096)
                .iter()
                .any(|byte| *byte != 0)
            {
                break;
            }
        }
        at
    }

    fn rot(&mut self, context: &mut Context, number: usize) {
        for _ in 0..context.rng.magnitude(8) {
            let at = self.place(context, number);
            let length = context.rng.magnitude(3000).min(DISK_BYTES - at);
            let burst = context.rng.permille(300);
            let slot = &mut self.slots[number];
            if burst {
                for offset in 0..length {
                    let mask = context.rng.next().to_le_bytes()[0];
                    slot.handle.rot(at + offset, mask);
                }
            } else {
                slot.handle.rot(at, 1 << context.rng.below(8));
            }
            slot.tainted = true;
            context
                .report
                .fault(if burst { "burst rot" } else { "bit rot" });
            context.say(format_args!(
                "fault: rot on disk {number} at {at}, burst {burst}"
            ));
        }
    }

    fn unreadable(&mut self, context: &mut Context, number: usize) {
        let at = self.place(context, number) / 4096 * 4096;
        let blocks = context.rng.magnitude(40);
        let end = (at + blocks * 4096).min(DISK_BYTES);
        self.slots[number].handle.fail_reads(at..end);
        context.report.fault("unreadable blocks");
        context.say(format_args!("fault: disk {number} cannot read {at}..{end}"));
    }

    /// Writes every disk into a directory, sparse, for the offline tools.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, directory: &std::path::Path) -> std::io::Result<()> {
        use std::os::unix::fs::FileExt;
        const PIECE: usize = 1 << 20;
        std::fs::create_dir_all(directory)?;
        for (number, slot) in self.slots.iter().enumerate() {
            let file = std::fs::File::create(directory.join(format!("disk-{number}.disk")))?;
            file.set_len(DISK_BYTES)?;
            for at in (0..DISK_BYTES).step_by(PIECE) {
                let piece = slot.handle.peek(at, PIECE);
                for (block, from) in piece.chunks(4096).zip((at..).step_by(4096)) {
                    if block.iter().any(|byte| *byte != 0) {
                        file.write_all_at(block, from)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What may go wrong with the victims in the session that begins.
    pub fn hurt_at_work(&mut self, context: &mut Context, swarm: &Swarm) {
        let plants = context.plant;
        if plants == Some(crate::plant::Plant::LyingFlush) {
            for slot in self.slots.iter().take(2) {
                slot.handle
                    .plan(|plan| plan.lie_flushes = Some(Span::from(0)));
            }
        }
        if plants == Some(crate::plant::Plant::RotTwice) {
            self.rot(context, 0);
            self.rot(context, 1);
        }
        for victim in &swarm.victims {
            let plan = draw_plan(context, &swarm.rates, *victim);
            if plan != Plan::default() {
                // Lost, stray and half writes are damage that an inspection may see.
                self.slots[usize::from(*victim)].tainted = true;
                self.slots[usize::from(*victim)].handle.set_plan(plan);
            }
        }
    }

    /// What goes wrong with the victims in the middle of a session.
    pub fn hurt_now(&mut self, context: &mut Context, swarm: &Swarm) {
        for victim in &swarm.victims {
            let number = usize::from(*victim);
            if context.rng.permille(swarm.rates.live_rot) {
                self.rot(context, number);
            }
            if context.rng.permille(swarm.rates.vanish) {
                context.say(format_args!("fault: disk {number} is pulled"));
                context.report.fault("pulled");
                self.slots[number].tainted = true;
                self.slots[number].handle.vanish();
            }
        }
    }

    /// Whether the pool can be expected to take writes whatever the victims do.
    #[must_use]
    pub fn must_serve(&self, swarm: &Swarm) -> bool {
        match swarm.budget {
            Budget::Crashes => true,
            Budget::OneDisk => swarm.disks >= 3,
            Budget::TwoDisks => false,
        }
    }
}

fn draw_plan(context: &mut Context, rates: &Rates, victim: u16) -> Plan {
    let mut plan = Plan::default();
    let kinds: [(u64, &'static str); 7] = [
        (rates.lost_write, "lost write"),
        (rates.stray_write, "stray write"),
        (rates.stray_read, "stray read"),
        (rates.lie, "lying flush"),
        (rates.fail_write, "failing write"),
        (rates.fail_flush, "failing flush"),
        (rates.full, "full"),
    ];
    for (rate, kind) in kinds {
        if !context.rng.permille(rate) {
            continue;
        }
        let after = context.rng.magnitude(400) - 1;
        let span = match context.rng.below(3) {
            0 => Span::once(after),
            1 => Span {
                after,
                count: context.rng.magnitude(20),
            },
            _ => Span::from(after),
        };
        match kind {
            "lost write" => plan.lose_writes = Some(span),
            "stray write" => plan.misdirect_writes = Some(span),
            "stray read" => plan.misdirect_reads = Some(span),
            "lying flush" => plan.lie_flushes = Some(span),
            "failing write" => plan.fail_writes = Some(span),
            "failing flush" => plan.fail_flushes = Some(span),
            _ => plan.room_bytes = Some(context.rng.magnitude(4 << 20)),
        }
        plan.misdirect_by = 4096 * context.rng.magnitude(4096);
        context.report.fault(kind);
        context.say(format_args!(
            "fault: disk {victim} will show: {kind} {span:?}"
        ));
    }
    plan
}
