//! How a served vault is: the engine's read model, put into the words of the control socket together
//! with what only the serving process knows.

use std::net::SocketAddr;
use std::path::PathBuf;

use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_format::label::VaultFlags;
use stele_store::index::IndexUsage;
use stele_store::index::message::MirrorState;
use stele_store::pool::MemberState;
use stele_store::status::{Alarm, DiskStatus as EngineDisk, Status as EngineStatus};

use crate::client_env::ClientFiles;
use crate::control::protocol::{
    ClockStatus, CounterStatus, DiskStatus, IndexStatus, LogStatus, Status,
};
use crate::status::instant;
use crate::vault::Directory;
use crate::vault::disks::Slot;

/// Where a vault is served: what the engine itself does not know.
#[derive(Debug, Clone)]
pub struct Place {
    directory: PathBuf,
    endpoint: Option<String>,
    disks: Vec<DiskPlace>,
}

/// A disk of the vault's configuration.
#[derive(Debug, Clone)]
struct DiskPlace {
    file: String,
    /// Why it is not there.
    fault: Option<String>,
    backend: Option<String>,
}

impl Place {
    /// The place of a vault with these disks.
    pub fn new(directory: &Directory, slots: &[Slot]) -> Place {
        let disks = slots
            .iter()
            .map(|slot| DiskPlace {
                file: slot.path.display().to_string(),
                fault: slot.disk.as_ref().err().cloned(),
                backend: slot
                    .disk
                    .as_ref()
                    .ok()
                    .map(|disk| disk.identity().backend.clone()),
            })
            .collect();
        Place {
            directory: directory.path().to_owned(),
            endpoint: None,
            disks,
        }
    }

    /// The same place with its listener.
    pub fn listening(self, address: SocketAddr) -> Place {
        Place {
            endpoint: Some(ClientFiles::endpoint(address.port())),
            ..self
        }
    }
}

/// Puts the engine's read model into words.
pub fn live_status(engine: &EngineStatus, place: &Place) -> Status {
    let flags = VaultFlags::new(engine.flags).unwrap_or_default();
    let counters = engine.counters;
    Status {
        serving: true,
        process: Some(std::process::id()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoint: place.endpoint.clone(),
        directory: place.directory.display().to_string(),
        state: engine.state.word().to_owned(),
        reasons: reasons(engine),
        pool: Some(engine.pool.to_string()),
        evaluation: flags.contains(VaultFlags::EVALUATION),
        simulated_clock: flags.contains(VaultFlags::SIMULATED_CLOCK),
        disks: disks(&engine.disks, &place.disks),
        alarms: engine.alarms.iter().map(alarm).collect(),
        log: Some(LogStatus {
            records: Some(engine.log_size),
            root: Some(
                engine
                    .log_root
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            ),
            epoch: engine.epoch,
            generation: None,
        }),
        buckets: Some(engine.buckets),
        index: engine.index.as_ref().map(index),
        counters: Some(CounterStatus {
            frames: counters.frames,
            records: counters.records,
            reads_from_other_copy: counters.reads_repaired_from_other_copy,
            reads_refused: counters.reads_refused,
        }),
        clock: Some(ClockStatus {
            compliance_ms: engine.compliance.get(),
            wall_ms: SystemClock.wall_ms(),
        }),
    }
}

fn reasons(engine: &EngineStatus) -> Vec<String> {
    let mut reasons = Vec::new();
    let missing = engine
        .disks
        .iter()
        .filter(|disk| disk.state != MemberState::Active)
        .count();
    match &engine.read_only {
        Some(reason) => reasons.push(format!("the vault is read-only: {reason}")),
        None if missing > 0 => {
            let all = engine.disks.len();
            reasons.push(format!("{missing} of {all} disks do not take part"));
        }
        None => {}
    }
    if engine.full {
        reasons.push("no room for new data".to_owned());
    }
    if engine.wall_alarm {
        reasons.push("the machine's clock is too far from the compliance clock".to_owned());
    }
    reasons
}

fn alarm(alarm: &Alarm) -> String {
    match alarm {
        Alarm::RightUsed { right, at } => {
            format!("a client used the right {right} at {}", instant(at.get()))
        }
        Alarm::IndexContradiction { what } => {
            format!(
                "index and journal contradict each other ({what}); restart to rebuild the index"
            )
        }
    }
}

fn index(usage: &IndexUsage) -> IndexStatus {
    let word = |mirror: &MirrorState| match mirror {
        MirrorState::Active => "active",
        MirrorState::Stale => "stale",
        MirrorState::Failed => "failed",
    };
    IndexStatus {
        row_bytes: usage.row_bytes,
        file_bytes: usage.file_bytes,
        capacity_bytes: usage.capacity_bytes,
        mirrors: usage
            .mirrors
            .iter()
            .map(|mirror| word(mirror).to_owned())
            .collect(),
        repaired_pages: usage.repaired_pages,
    }
}

/// Every place of the configuration with the disk that is there or should be. The engine knows its
/// disks by label and names only those that are here; one that is not is shown at the place where it
/// was made, unless another disk is there now.
fn disks(engine: &[EngineDisk], places: &[DiskPlace]) -> Vec<DiskStatus> {
    let mut nameless: Vec<&EngineDisk> =
        engine.iter().filter(|disk| disk.name.is_empty()).collect();
    let mut shown: Vec<DiskStatus> = Vec::with_capacity(places.len());
    for (number, place) in places.iter().enumerate() {
        let here = engine.iter().find(|disk| disk.name == place.file);
        let home = nameless
            .iter()
            .position(|disk| usize::from(disk.number) == number + 1);
        let disk = match (here, home) {
            (Some(disk), _) => Some(disk),
            (None, Some(home)) => Some(nameless.remove(home)),
            (None, None) => None,
        };
        shown.push(disk_status(place, disk, here.is_some()));
    }
    for (place, status) in places.iter().zip(&mut shown) {
        if status.id.is_none() && !nameless.is_empty() {
            *status = disk_status(place, Some(nameless.remove(0)), false);
        }
    }
    shown
}

fn disk_status(place: &DiskPlace, disk: Option<&EngineDisk>, here: bool) -> DiskStatus {
    let (state, note) = match (disk, here, &place.fault) {
        (Some(disk), true, _) => (word(disk.state), disk.reason.map(str::to_owned)),
        (_, _, Some(fault)) => ("absent", Some(fault.clone())),
        (_, _, None) => (
            "unreadable",
            Some("no label of this vault is readable on it".to_owned()),
        ),
    };
    DiskStatus {
        file: place.file.clone(),
        id: disk.map(|disk| disk.disk.to_string()),
        state: state.to_owned(),
        notes: note.into_iter().collect(),
        bytes: disk.filter(|_| here).map(|disk| disk.total_bytes),
        free_bytes: disk.filter(|_| here).map(|disk| disk.free_bytes),
        backend: place.backend.clone(),
    }
}

fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "active",
        MemberState::Absent => "absent",
        MemberState::Stale => "stale",
        MemberState::Expelled => "expelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stele_format::units::DiskId;

    fn engine_disk(number: u16, name: &str, state: MemberState) -> EngineDisk {
        EngineDisk {
            number,
            disk: DiskId::new([u8::try_from(number).expect("small"); 16]),
            name: name.to_owned(),
            state,
            reason: (state == MemberState::Stale).then_some("missed writes"),
            free_bytes: 1,
            total_bytes: 2,
        }
    }

    fn place(file: &str, fault: Option<&str>) -> DiskPlace {
        DiskPlace {
            file: file.to_owned(),
            fault: fault.map(str::to_owned),
            backend: None,
        }
    }

    #[test]
    fn every_place_shows_the_disk_that_is_there_or_should_be() {
        let check = |engine: &[EngineDisk], places: &[DiskPlace], expected: &[(&str, &str)]| {
            let shown = disks(engine, places);
            let seen: Vec<(String, &str)> = shown
                .iter()
                .map(|disk| {
                    let id = disk.id.as_ref().map_or("-", |id| &id[..2]).to_owned();
                    (id, disk.state.as_str())
                })
                .collect();
            let expected: Vec<(String, &str)> = expected
                .iter()
                .map(|(id, state)| ((*id).to_owned(), *state))
                .collect();
            assert_eq!(seen, expected);
        };
        let active = MemberState::Active;
        let here = [engine_disk(1, "a", active), engine_disk(2, "b", active)];
        let places = [place("a", None), place("b", None)];
        check(&here, &places, &[("01", "active"), ("02", "active")]);
        let swapped = [engine_disk(1, "b", active), engine_disk(2, "a", active)];
        check(&swapped, &places, &[("02", "active"), ("01", "active")]);
        let gone = [
            engine_disk(1, "a", active),
            engine_disk(2, "", MemberState::Absent),
        ];
        let missing = [place("a", None), place("b", Some("no such disk"))];
        check(&gone, &missing, &[("01", "active"), ("02", "absent")]);
        check(&gone, &places, &[("01", "active"), ("02", "unreadable")]);
        let moved = [
            engine_disk(1, "", MemberState::Absent),
            engine_disk(2, "a", active),
        ];
        check(&moved, &missing, &[("02", "active"), ("01", "absent")]);
        let stale = [
            engine_disk(1, "a", active),
            engine_disk(2, "b", MemberState::Stale),
        ];
        check(&stale, &places, &[("01", "active"), ("02", "stale")]);
        let third = [place("a", None), place("b", None), place("c", None)];
        check(
            &here,
            &third,
            &[("01", "active"), ("02", "active"), ("-", "unreadable")],
        );
    }
}
