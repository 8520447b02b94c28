//! How a vault is while nothing serves it: read from the disks' labels, changing nothing.
//!
//! Who takes part is decided as by a start; whether it would write depends on more than labels.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use stele_device::disk::{Disk, no_waker};
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_format::label::{DynamicLabel, LabelReading, MemberState, VaultFlags};
use stele_format::units::Generation;
use stele_store::recovery::{Choice, Membership, choose, find_label, pool_of_most};

use crate::advice::Commands;
use crate::control::protocol::{DiskStatus, LogStatus, NextStep, Status};
use crate::error::Outcome;
use crate::status::health;
use crate::vault::Directory;
use crate::vault::config::Config;
use crate::vault::disks::{LET_GO, Slot, open_kept};
use crate::vault::lock::Lock;

/// Reads the labels of all disks.
///
/// # Errors
/// Only when a disk cannot be looked at for a reason that is not the disk's.
pub fn status(directory: &Directory, config: &Config) -> Outcome<Status> {
    let (dir, wishes) = (directory.path(), Wishes::default());
    let slots = open_kept(config, dir, OpenMode::ReadOnly, &wishes, &no_waker())?;
    let seen: Vec<Seen> = slots.into_iter().map(look).collect();
    let picture = Picture::of(&seen);
    let newest = picture.newest;
    let holder = Lock::holder(&directory.lock_file());
    let mut reasons = Vec::new();
    match holder.and_then(|holder| holder.number) {
        Some(process) => {
            reasons.push(format!(
                "process {process} is starting or stopping this vault"
            ));
        }
        None => reasons.push("nothing serves this vault".to_owned()),
    }
    let label = picture.label();
    if holder.is_none() && label.is_some_and(|label| !label.clean_stop) {
        reasons.push("the last run did not stop in order; the next start recovers".to_owned());
    }
    if let Choice::CannotTell { missing } = &picture.choice {
        reasons.push(format!(
            "two starts that were cut short named different disks; plug in {missing}"
        ));
    }
    if newest.is_none() {
        reasons.push("no disk has a readable label".to_owned());
    }
    let flags = newest
        .map(|reading| reading.fixed.flags)
        .unwrap_or_default();
    Ok(Status {
        serving: false,
        process: holder.and_then(|holder| holder.number),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoint: None,
        directory: directory.path().display().to_string(),
        state: "stopped".to_owned(),
        reasons,
        pool: newest.map(|reading| reading.fixed.pool.to_string()),
        evaluation: flags.contains(VaultFlags::EVALUATION),
        keys: Some(config.key_source().status()),
        simulated_clock: flags.contains(VaultFlags::SIMULATED_CLOCK),
        disks: disks(&seen, &picture),
        log: label.map(|label| LogStatus {
            checkpoint: None,
            first_checkpoint: None,
            key: None,
            keys: Vec::new(),
            records: None,
            root: None,
            epoch: label.epoch.get(),
            generation: Some(label.generation.get()),
        }),
        alarms: Vec::new(),
        gateway: None,
        tls: None,
        buckets: None,
        tiers: Vec::new(),
        index: None,
        counters: None,
        healing: None,
        next: vec![NextStep {
            disk: None,
            what: "to see more, and to mend what can be mended, serve the vault".to_owned(),
            command: Commands::new(directory.path()).serve(),
        }],
        forecast: None,
        clock: None,
        people: None,
    })
}

/// What the labels say together.
struct Picture<'a> {
    /// The newest of all.
    newest: Option<&'a LabelReading>,
    choice: Choice,
}

impl<'a> Picture<'a> {
    fn of(seen: &'a [Seen]) -> Self {
        let mut readings: Vec<&LabelReading> = seen
            .iter()
            .filter_map(|seen| seen.reading.as_ref().ok())
            .collect();
        let pool = pool_of_most(readings.iter().map(|reading| reading.fixed.pool));
        readings.retain(|reading| Some(reading.fixed.pool) == pool);
        readings.sort_by_key(|reading| Reverse(generation(reading)));
        let newest = readings.first().copied();
        // Of disks with one identity only the newest takes part.
        let mut known = BTreeSet::new();
        readings.retain(|reading| known.insert(reading.fixed.disk));
        Self {
            newest,
            choice: choose(&readings),
        }
    }

    fn membership(&self) -> Option<&Membership> {
        match &self.choice {
            Choice::One(membership) => Some(membership),
            Choice::NotFinished | Choice::CannotTell { .. } => None,
        }
    }

    /// The label that counts, or where nobody can tell the newest.
    fn label(&self) -> Option<&DynamicLabel> {
        let newest = self.newest.and_then(|reading| reading.dynamic.as_ref());
        self.membership()
            .map(|membership| &membership.label)
            .or(newest)
    }
}

/// One disk as its label shows it.
struct Seen {
    file: String,
    serial: Option<String>,
    bytes: Option<u64>,
    reading: Result<LabelReading, String>,
    missing: bool,
}

fn look(slot: Slot) -> Seen {
    let file = slot.path.display().to_string();
    let serial = slot.serial;
    match slot.disk {
        Err(why) => Seen {
            file,
            serial,
            bytes: None,
            reading: Err(why),
            missing: true,
        },
        Ok(mut disk) => {
            let bytes = disk.identity().bytes;
            let reading = find_label(&mut *disk).map_err(|error| error.to_string());
            Seen {
                file,
                serial,
                bytes: Some(bytes),
                reading,
                missing: false,
            }
        }
    }
}

fn generation(reading: &LabelReading) -> Generation {
    let label = reading.dynamic.as_ref();
    label.map(|label| label.generation).unwrap_or_default()
}

fn disks(seen: &[Seen], picture: &Picture<'_>) -> Vec<DiskStatus> {
    let shown = seen.iter().map(|seen| {
        let mut status = disk_status(seen, picture);
        let note = status.notes.first().map(String::as_str);
        status.health = health(&status.state, note, None);
        status
    });
    shown.collect()
}

fn disk_status(seen: &Seen, picture: &Picture<'_>) -> DiskStatus {
    let mut status = DiskStatus {
        number: None,
        file: seen.file.clone(),
        id: None,
        state: "unreadable".to_owned(),
        health: String::new(),
        fill: None,
        notes: Vec::new(),
        bytes: seen.bytes,
        free_bytes: None,
        serial: seen.serial.clone(),
        backend: None,
        slow: None,
        suspect: Vec::new(),
        forgotten_frames: 0,
        astray: false,
        wanted: false,
    };
    let (reading, newest) = match (&seen.reading, picture.newest) {
        (Ok(reading), Some(newest)) => (reading, newest),
        (Ok(_), None) => return status,
        (Err(why), _) if why == LET_GO => {
            "drained".clone_into(&mut status.state);
            return status;
        }
        (Err(why), _) => {
            if seen.missing {
                "absent".clone_into(&mut status.state);
            }
            status.notes.push(why.clone());
            return status;
        }
    };
    status.id = Some(reading.fixed.disk.to_string());
    if reading.fixed.pool != newest.fixed.pool {
        "foreign".clone_into(&mut status.state);
        status
            .notes
            .push(format!("belongs to pool {}", reading.fixed.pool));
        return status;
    }
    let label = picture.label();
    let members = label.map(|label| label.members.as_slice());
    let members = members.unwrap_or_default();
    let at = members
        .iter()
        .position(|member| member.disk == reading.fixed.disk);
    status.number = at.and_then(|at| u16::try_from(at + 1).ok());
    let member = at.and_then(|at| members.get(at));
    let own = generation(reading);
    let best = label.map_or(own, |label| label.generation);
    let takes_part = picture
        .membership()
        .is_none_or(|membership| membership.takes_part(reading.fixed.disk, Some(reading)));
    let state = match member.map(|member| member.state) {
        Some(MemberState::Active) if takes_part => "active",
        Some(MemberState::Expelled) => "expelled",
        Some(MemberState::Drained) => "drained",
        // It is here now, but the pool went on without it.
        Some(MemberState::Active | MemberState::Absent | MemberState::Stale) | None => "stale",
    };
    state.clone_into(&mut status.state);
    if let Some(member) = member.filter(|member| member.state == MemberState::Drained) {
        status.notes.push(match member.voter {
            true => "leave it in until the vault was served again".to_owned(),
            false => "it may be pulled out".to_owned(),
        });
    } else if own != best {
        status.notes.push(format!(
            "its label has generation {own}, the newest has {best}"
        ));
    }
    let labelled = reading.fixed.geometry.disk_bytes.get();
    if let Some(bytes) = seen.bytes.filter(|bytes| *bytes < labelled) {
        status.notes.push(format!(
            "it has {bytes} bytes, and its label speaks of {labelled}"
        ));
    }
    if !reading.bad.is_empty() {
        status
            .notes
            .push(format!("{} damaged label blocks", reading.bad.len()));
    }
    status
}

#[cfg(test)]
#[path = "../../format/tests/shared/label_cases.rs"]
mod label_cases;

#[cfg(test)]
mod tests {
    use stele_device::disk::Disk;
    use stele_device::sim::disk::SimDiskHandle;
    use stele_format::geometry::DiskGeometry;
    use stele_format::label::{DynamicLabel, LabelCopy, LabelPhase, StaticLabel};
    use stele_format::units::{
        ByteCount, DiskId, Epoch, Generation, PoolId, SegmentId, Sequence, UnitCount, UnixMillis,
    };

    use super::label_cases::{CASES, Case, Expected, block, rings};
    use super::{Picture, Seen, disks, find_label};

    const DISK_BYTES: u64 = 96 << 20;

    fn seen(case: &Case, number: usize, ring: &[DynamicLabel]) -> Seen {
        let handle = SimDiskHandle::new(DISK_BYTES, 1);
        let geometry = DiskGeometry {
            disk_bytes: ByteCount::new(DISK_BYTES),
            index_bytes: ByteCount::new(0),
            keystate_bytes: 16 << 20,
            unit_bytes: 4 << 20,
            segment_units: UnitCount::new(2),
        };
        let fixed = StaticLabel {
            pool: pool(),
            disk: id(number),
            disk_ordinal: 0,
            disk_count: 5,
            geometry,
            features: stele_format::label::Features::default(),
            created_ms: UnixMillis::ZERO,
            flags: stele_format::label::VaultFlags::default(),
        };
        for copy in LabelCopy::ALL {
            for place in 0..stele_format::limits::LABEL_RING_FIRST {
                let at = geometry.label_block_offset(copy, place);
                handle.tamper(at.get(), &fixed.encode(copy, place));
            }
            for label in ring {
                let at = label.place(&geometry, copy).offset;
                let bytes = block((case, number), label, &geometry, copy);
                handle.tamper(at.get(), &bytes);
            }
        }
        let mut disk: Box<dyn Disk> = Box::new(handle.open());
        let missing = case.disks[number].is_empty();
        let reading = find_label(&mut *disk).map_err(|error| error.to_string());
        Seen {
            file: format!("{number}"),
            serial: None,
            bytes: Some(DISK_BYTES),
            reading: if missing {
                Err("away".to_owned())
            } else {
                reading
            },
            missing,
        }
    }

    fn pool() -> PoolId {
        PoolId::new([9; 16])
    }

    fn id(number: usize) -> DiskId {
        DiskId::new([u8::try_from(number + 1).expect("few disks"); 16])
    }

    #[test]
    fn the_disks_that_take_part_are_those_of_the_table() {
        let of = DynamicLabel {
            pool: pool(),
            disk: id(0),
            generation: Generation::ZERO,
            in_force: Generation::ZERO,
            epoch: Epoch::new(3),
            watermark: Sequence::ZERO,
            next_segment: SegmentId::new(1),
            units_high_water: UnitCount::new(0),
            clean_stop: false,
            phase: LabelPhase::Running,
            journal_segment: SegmentId::new(1),
            members: Vec::new(),
            cutoffs: Vec::new(),
        };
        for case in CASES {
            let rings = rings(case, &of, id);
            let seen: Vec<Seen> = rings
                .iter()
                .enumerate()
                .map(|(number, ring)| seen(case, number, ring))
                .collect();
            let picture = Picture::of(&seen);
            let Expected::Counts {
                generation,
                take_part,
                ..
            } = case.expected
            else {
                assert!(picture.membership().is_none(), "{}", case.what);
                continue;
            };
            let counts = picture.label().map(|label| label.generation.get());
            assert_eq!(counts, Some(generation), "{}", case.what);
            let shown = disks(&seen, &picture).into_iter().enumerate();
            let active = shown.filter(|(_, disk)| disk.state == "active");
            let active: Vec<usize> = active.map(|(number, _)| number).collect();
            assert_eq!(active, take_part, "{}", case.what);
        }
    }
}
