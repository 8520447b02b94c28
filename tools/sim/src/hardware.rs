//! The disks of a simulated machine.
//!
//! A disk has a number in the vault, which it keeps, and a place in the machine, which may change between
//! starts. Only the disks named by the pool's budget are ever hurt; all disks lose and tear what was not
//! flushed when the power is cut, since that is no fault but what disks do.

mod absence;
mod copy;
mod drain;
mod faults;
mod heal;
mod keys;
mod labels;
mod strikes;

use absence::Spell;
pub use copy::Condition;
pub use heal::Outside;
pub use labels::{check_known, check_majority};

use stele_device::area::Area;
use stele_device::disk::{Disk, DiskError};
use stele_device::sim::disk::{SimDiskHandle, SimSnapshot};
use stele_device::sim::fault::{Loss, Plan};
use stele_device::sim::power::Power;
use stele_format::geometry::DiskGeometry;
use stele_format::units::{ByteCount, UnitCount};
use stele_store::engine::DiskSlot;

use crate::context::Context;
use crate::driver::Machine;
use crate::limits::{DISK_BYTES, INDEX_BYTES, KEYSTATE_BYTES};
use crate::plug::{Plugged, Pulse};
use crate::swarm::{Budget, Swarm};

/// Opens a region of a disk as an area.
pub type AreaOpener = Box<dyn FnMut(DiskSlot, u64, u64) -> Result<Box<dyn Area>, DiskError>>;

/// What was done to the bytes of a disk that an inspection may report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taint {
    /// To its segments.
    pub segments: bool,
    /// To labels, key state or index.
    pub roots: bool,
}

impl Taint {
    const ALL: Taint = Taint {
        segments: true,
        roots: true,
    };

    /// Whether it was hurt at all.
    #[must_use]
    pub fn any(self) -> bool {
        self.segments || self.roots
    }
}

/// A disk and what was done to it.
#[derive(Clone)]
pub struct Slot {
    handle: SimDiskHandle,
    name: String,
    /// Its number in the vault, from 1.
    number: u16,
    /// Plugged in.
    present: bool,
    taint: Taint,
    /// Its content is not that of a pool member, or not yet.
    blank: bool,
    /// It has what it had as a member, whatever it lacks.
    holds: bool,
    /// It was filled while two others were away, which may have had both copies of something.
    partly: bool,
    /// What the disk had that it took the place of may have one copy only.
    thin: bool,
    /// It is given everything it is to have: all others took part when that began.
    filled_whole: bool,
    /// Given to the engine to be filled, and not yet seen to take part.
    filling: bool,
    /// Its process ended when everything was copied to it and its label was perhaps in force.
    copied: bool,
    /// It was added, or given to a place that was drained, and is not yet seen to take part: there is one more of which
    /// a start needs most.
    one_more: bool,
    /// It lacks what others acknowledged without it: it must not take part before it is filled.
    behind: bool,
    /// The vault said that it may be pulled out.
    drained: bool,
    /// It may have lost, without a trace, what it had acknowledged.
    forgetful: bool,
    /// Its mirror of the index may lack what was flushed to it, which neither the index nor scrubbing can see.
    mirror_at_risk: bool,
    /// A write may have gone where nothing lies, which scrubbing does not read, or something rotted there.
    astray: bool,
    /// Reads may give other blocks until this session ends.
    misreads: bool,
    /// An earlier condition to fall back to, and how many starts there had been then.
    earlier: Option<(SimSnapshot, u64)>,
    /// The disk it replaced.
    lost: Option<Lost>,
    /// It answers nothing until then, by the monotonic clock.
    hung_until_ms: Option<u64>,
    /// It takes a thousand times as long as others until then.
    crawls_until_ms: Option<u64>,
}

/// A disk that was replaced, and may come back.
#[derive(Clone)]
pub struct Lost {
    handle: SimDiskHandle,
    /// Frames acknowledged when that was done; none once others acknowledged without it, or started.
    frames: Option<u64>,
}

/// A disk as an inspection sees it.
pub struct Readable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its bytes.
    pub handle: &'a SimDiskHandle,
    /// What was done to it.
    pub taint: Taint,
}

/// All disks of a machine, on one power supply.
pub struct Hardware {
    power: Power,
    slots: Vec<Slot>,
    /// Which disk is in which place.
    order: Vec<usize>,
    geometry: DiskGeometry,
    /// Starts that may write, so far.
    starts: u64,
    /// Disks made so far.
    made: u64,
    /// When this session began, by the compliance clock; never, once a disk is hurt in it.
    hurt_ms: u64,
    /// Some disk has a plan of faults for this session.
    planned: bool,
    /// Some disk says that it is shorter than it is.
    short: bool,
    /// The power goes so many steps after the flushes that were to fail.
    cut_due: Option<u64>,
    /// Every member took part when that was last looked at.
    members_active: bool,
    /// Some disk was hurt at some time.
    ever_hurt: bool,
    /// So many disks may be hurt that content may be lost.
    beyond_budget: bool,
    /// The running process found every disk when it began, and nothing was planned for any.
    opened_whole: bool,
    /// Numbers of the disks that it did not find.
    away: Vec<u16>,
    /// The disk that is to be drained, by number, until it is.
    draining: Option<u16>,
    /// Some copy may have moved: what it left is on the disk, and counts for nothing.
    ever_moved: bool,
    /// A process ended while labels were to say that a disk has left, or that there is one more.
    unsettled: bool,
    /// Disks that are away for some starts.
    spell: Spell,
    /// No disk is away any more.
    reunion: bool,
    /// Disks were replaced that perhaps had the only copy of something.
    lacking: bool,
}

impl Hardware {
    /// Blank disks for a pool.
    pub fn new(context: &mut Context, swarm: &Swarm) -> Self {
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(DISK_BYTES),
            index_bytes: ByteCount::new(INDEX_BYTES),
            keystate_bytes: KEYSTATE_BYTES,
            unit_bytes: swarm.unit_bytes,
            segment_units: UnitCount::new(swarm.segment_units),
        };
        let mut hardware = Self {
            power: Power::new(),
            slots: Vec::new(),
            order: (0..usize::from(swarm.disks)).collect(),
            geometry,
            starts: 0,
            made: 0,
            hurt_ms: 0,
            planned: false,
            short: false,
            cut_due: None,
            members_active: true,
            ever_hurt: false,
            beyond_budget: swarm.budget.is_lenient(),
            opened_whole: true,
            away: Vec::new(),
            draining: None,
            ever_moved: false,
            unsettled: false,
            spell: Spell::default(),
            reunion: false,
            lacking: false,
        };
        for number in 1..=swarm.disks {
            let slot = hardware.blank_disk(context, number);
            hardware.slots.push(Slot {
                blank: false,
                holds: true,
                ..slot
            });
        }
        hardware
    }

    /// A new disk for this number.
    fn blank_disk(&mut self, context: &mut Context, number: u16) -> Slot {
        let name = format!("disk-{}", self.made);
        self.made += 1;
        let seed = context.rng.next();
        Slot {
            handle: SimDiskHandle::with(&name, DISK_BYTES, seed, &self.power),
            name,
            number,
            present: true,
            taint: Taint::default(),
            blank: true,
            holds: false,
            partly: false,
            thin: false,
            filled_whole: false,
            filling: false,
            copied: false,
            one_more: false,
            behind: false,
            drained: false,
            forgetful: false,
            mirror_at_risk: false,
            astray: false,
            misreads: false,
            earlier: None,
            lost: None,
            hung_until_ms: None,
            crawls_until_ms: None,
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

    /// Every disk that is plugged in and holds what the pool wrote.
    pub fn readable(&self) -> impl Iterator<Item = Readable<'_>> {
        let holds = |slot: &&Slot| slot.present && !slot.blank && !slot.filling;
        self.slots.iter().filter(holds).map(|slot| Readable {
            name: &slot.name,
            handle: &slot.handle,
            taint: slot.taint,
        })
    }

    /// Whether every disk that was not drained is plugged in and holds what the pool wrote.
    #[must_use]
    pub fn all_present(&self) -> bool {
        let whole = |slot: &Slot| slot.present && !slot.blank && !slot.filling && !slot.behind;
        self.slots.iter().all(|slot| slot.drained || whole(slot))
    }

    /// Whether some disk was ever hurt.
    #[must_use]
    pub fn was_ever_hurt(&self) -> bool {
        self.ever_hurt || self.slots.iter().any(|slot| slot.taint.any())
    }

    /// Whether content may be on no disk any more: with both copies on disks that were hurt, one after the other.
    #[must_use]
    pub fn may_lack_content(&self) -> bool {
        self.lacking || (self.beyond_budget && self.was_ever_hurt())
    }

    fn in_order(&self) -> impl Iterator<Item = &Slot> {
        self.order.iter().filter_map(|at| self.slots.get(*at))
    }

    /// Opens every disk that is there, for one process.
    #[must_use]
    pub fn open(&mut self) -> (Vec<Option<Box<dyn Disk>>>, Pulse) {
        let away = self.slots.iter().filter(|slot| !slot.present);
        self.away = away.map(|slot| slot.number).collect();
        self.opened_whole = !self.is_planned() && self.away.is_empty();
        let pulse = Pulse::default();
        let open = |slot: &Slot| {
            let plug = || Plugged::new(slot.handle.open(), pulse.clone());
            slot.present.then(|| Box::new(plug()) as Box<dyn Disk>)
        };
        (self.in_order().map(open).collect(), pulse.clone())
    }

    /// Opens areas of disks for the index.
    #[must_use]
    pub fn areas(&self) -> AreaOpener {
        let handles: Vec<Option<SimDiskHandle>> = self
            .in_order()
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
        self.calm();
        self.slots.iter_mut().for_each(|slot| slot.misreads = false);
    }

    /// The same within a session: a start that is over may have read other blocks than it asked for.
    pub fn calm(&mut self) {
        for slot in &mut self.slots {
            slot.handle.set_plan(Plan::default());
            slot.handle.come_back();
            slot.handle.hang(false);
            slot.handle.shorten(DISK_BYTES);
            (slot.hung_until_ms, slot.crawls_until_ms) = (None, None);
            slot.present = true;
        }
        (self.planned, self.short, self.cut_due) = (false, false, None);
    }

    /// Writes every disk into a directory, sparse, for the offline tools.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, directory: &std::path::Path) -> std::io::Result<()> {
        use std::os::unix::fs::FileExt;
        const PIECE: usize = 1 << 20;
        std::fs::create_dir_all(directory)?;
        for slot in &self.slots {
            let file = std::fs::File::create(directory.join(format!("{}.disk", slot.name)))?;
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

    /// Whether the pool can be expected to take writes whatever the victims do.
    #[must_use]
    pub fn must_serve(&self, swarm: &Swarm) -> bool {
        match swarm.budget {
            Budget::Crashes => true,
            Budget::OneDisk => swarm.disks >= 3,
            Budget::TwoDisks | Budget::Subsets => false,
        }
    }

    /// Whether a start may lack disks that count: a change of members that a cut left on some disks binds it.
    #[must_use]
    pub fn may_lack_members(&self) -> bool {
        self.unsettled
    }

    /// Whether some disk that has a mirror of the index does not do what it says, or did not.
    #[must_use]
    pub fn is_index_at_risk(&self) -> bool {
        self.planned || self.slots.iter().any(|slot| slot.mirror_at_risk)
    }

    /// The index was made anew.
    pub fn index_made_anew(&mut self) {
        let slots = self.slots.iter_mut();
        slots.for_each(|slot| slot.mirror_at_risk = false);
    }

    /// Whether some disk may have lost what it acknowledged without a trace, or give other blocks in its place: then
    /// a second fault can make the journal end too early, and nothing can tell.
    #[must_use]
    pub fn is_forgetful(&self) -> bool {
        let forgets = |slot: &Slot| slot.forgetful || slot.misreads;
        self.slots.iter().any(forgets)
    }
}
