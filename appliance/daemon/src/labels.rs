//! How a vault is while nothing serves it: read from the disks' labels, changing nothing.
//!
//! This is what the labels say, not what a start would decide: the engine judges more than labels.

use stele_device::disk::{BlockingDisk, Disk, no_waker};
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_format::label::{
    LabelCopy, LabelCopyBytes, LabelReading, MemberState, VaultFlags, read_best,
};
use stele_format::limits::LABEL_COPY_BYTES;
use stele_format::units::{ByteCount, Generation};

use crate::advice::Commands;
use crate::control::protocol::{DiskStatus, LogStatus, NextStep, Status};
use crate::error::Outcome;
use crate::status::health;
use crate::vault::Directory;
use crate::vault::config::Config;
use crate::vault::disks::{LET_GO, Slot, open_kept};
use crate::vault::lock::Lock;

/// Bytes of one label copy, as memory has it.
const LABEL_COPY: usize = LABEL_COPY_BYTES as usize;

/// Reads the labels of all disks.
///
/// # Errors
/// Only when a disk cannot be looked at for a reason that is not the disk's.
pub fn status(directory: &Directory, config: &Config) -> Outcome<Status> {
    let (dir, wishes) = (directory.path(), Wishes::default());
    let slots = open_kept(config, dir, OpenMode::ReadOnly, &wishes, &no_waker())?;
    let seen: Vec<Seen> = slots.into_iter().map(look).collect();
    let newest = seen
        .iter()
        .filter_map(|seen| seen.reading.as_ref().ok())
        .max_by_key(|reading| generation(reading));
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
    let label = newest.and_then(|reading| reading.dynamic.as_ref());
    if holder.is_none() && label.is_some_and(|label| !label.clean_stop) {
        reasons.push("the last run did not stop in order; the next start recovers".to_owned());
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
        simulated_clock: flags.contains(VaultFlags::SIMULATED_CLOCK),
        disks: disks(&seen, newest),
        log: label.map(|label| LogStatus {
            records: None,
            root: None,
            epoch: label.epoch.get(),
            generation: Some(label.generation.get()),
        }),
        alarms: Vec::new(),
        buckets: None,
        index: None,
        counters: None,
        healing: None,
        next: vec![NextStep {
            disk: None,
            what: "to see more, and to mend what can be mended, serve the vault".to_owned(),
            command: Commands::new(directory.path()).serve(),
        }],
        clock: None,
    })
}

/// One disk as its label shows it.
struct Seen {
    file: String,
    bytes: Option<u64>,
    reading: Result<LabelReading, String>,
    missing: bool,
}

fn look(slot: Slot) -> Seen {
    let file = slot.path.display().to_string();
    match slot.disk {
        Err(why) => Seen {
            file,
            bytes: None,
            reading: Err(why),
            missing: true,
        },
        Ok(mut disk) => {
            let bytes = disk.identity().bytes;
            let reading = read_label(&mut *disk, bytes);
            Seen {
                file,
                bytes: Some(bytes),
                reading,
                missing: false,
            }
        }
    }
}

fn read_label(disk: &mut dyn Disk, bytes: u64) -> Result<LabelReading, String> {
    let mut read = Vec::new();
    for copy in LabelCopy::ALL {
        let offset = copy.offset(ByteCount::new(bytes));
        // A copy that cannot be read is one fewer to choose from.
        if let Ok(buffer) = disk.read_at(offset.get(), LABEL_COPY) {
            read.push((copy, offset, buffer));
        }
    }
    let copies: Vec<LabelCopyBytes<'_>> = read
        .iter()
        .map(|(copy, offset, buffer)| LabelCopyBytes {
            copy: *copy,
            offset: *offset,
            bytes: buffer,
        })
        .collect();
    read_best(&copies).map_err(|error| error.to_string())
}

fn generation(reading: &LabelReading) -> Generation {
    let label = reading.dynamic.as_ref();
    label.map(|label| label.generation).unwrap_or_default()
}

fn disks(seen: &[Seen], newest: Option<&LabelReading>) -> Vec<DiskStatus> {
    let shown = seen.iter().map(|seen| {
        let mut status = disk_status(seen, newest);
        let note = status.notes.first().map(String::as_str);
        status.health = health(&status.state, note, None);
        status
    });
    shown.collect()
}

fn disk_status(seen: &Seen, newest: Option<&LabelReading>) -> DiskStatus {
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
        backend: None,
    };
    let (reading, newest) = match (&seen.reading, newest) {
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
    let members = newest
        .dynamic
        .as_ref()
        .map(|label| label.members.as_slice())
        .unwrap_or_default();
    let at = members
        .iter()
        .position(|member| member.disk == reading.fixed.disk);
    status.number = at.and_then(|at| u16::try_from(at + 1).ok());
    let member = at.and_then(|at| members.get(at));
    let (own, best) = (generation(reading), generation(newest));
    let missed = newest
        .dynamic
        .as_ref()
        .is_some_and(|label| own < label.in_force);
    let state = match member.map(|member| member.state) {
        Some(MemberState::Active) if !missed => "active",
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
    if !reading.bad.is_empty() {
        status
            .notes
            .push(format!("{} damaged label blocks", reading.bad.len()));
    }
    status
}
