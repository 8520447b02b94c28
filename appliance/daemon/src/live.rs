//! How a served vault is: the engine's read model, put into the words of the control socket together
//! with what only the serving process knows.

use std::path::PathBuf;

use stele_device::clock::Clock;
use stele_device::linux::clock::SystemClock;
use stele_format::label::VaultFlags;
use stele_format::units::UnixMillis;
use stele_gateway::wire::Confined;
use stele_store::engine::{FillProgress, LEFT_BEHIND};
use stele_store::forecast::Outlook;
use stele_store::heal::Lost;
use stele_store::heal::rows::RowsVerified;
use stele_store::index::IndexUsage;
use stele_store::index::message::MirrorState;
use stele_store::pool::MemberState;
use stele_store::request::ReadOnlyReason;
use stele_store::status::{
    DiskStatus as EngineDisk, HealStatus, Slow, StartedFor, Status as EngineStatus,
};

use crate::advice::Commands;
use crate::alarms::{alarm, slow_words};
use crate::bays::{Bay, Bays, Seat, seats};
use crate::control::protocol::{
    ClockStatus, CounterStatus, DiskStatus, FillStatus, ForecastStatus, GatewayStatus,
    HealingStatus, IndexStatus, LogStatus, LostFrame, NextStep, RowsVerifiedStatus, SlowStatus,
    Status,
};
use crate::gateway::process::{GatewayState, GatewayView};
use crate::keys::KeySource;
use crate::limits::STARTS_LEFT_MIN;
use crate::status::{health, lost_before};
use crate::vault::Directory;

mod drain;

use drain::Drains;

/// Where a vault is served: what the engine itself does not know.
#[derive(Debug, Clone)]
pub struct Place {
    directory: PathBuf,
    endpoint: Option<String>,
    gateway: GatewayView,
    bays: Bays,
    keys: KeySource,
}

impl Place {
    /// The place of a vault with these disks and keys.
    pub fn new(directory: &Directory, bays: Bays, keys: KeySource) -> Place {
        Place {
            directory: directory.path().to_owned(),
            endpoint: None,
            gateway: GatewayView::default(),
            bays,
            keys,
        }
    }

    /// The places of its disks.
    pub fn bays(&self) -> &Bays {
        &self.bays
    }

    /// Commands about the vault, as whoever asks must write them.
    pub fn commands(&self, founded: bool) -> Commands<'_> {
        Commands::new(&self.directory).asked_by_people(founded)
    }

    /// What holds the vault's key.
    pub fn keys(&self) -> &KeySource {
        &self.keys
    }

    /// The same place with its listener.
    pub fn listening(self, endpoint: String, gateway: GatewayView) -> Place {
        Place {
            gateway,
            endpoint: Some(endpoint),
            ..self
        }
    }
}

/// The state of a disk that is used and was taken away from where it was opened.
const ASTRAY: &str = "not at its place";

/// Puts the engine's read model into words.
pub fn live_status(engine: &EngineStatus, place: &Place) -> Status {
    let flags = VaultFlags::new(engine.flags).unwrap_or_default();
    let counters = engine.counters;
    let disks = disks(engine, &place.bays.now(), place.bays.draining());
    let commands = place.commands(engine.founded);
    let mut next = commands.next(&disks, engine.read_only.is_some());
    next.extend(way_out(engine, &commands));
    next.extend(more_room(engine, &commands));
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
        keys: Some(place.keys.status()),
        simulated_clock: flags.contains(VaultFlags::SIMULATED_CLOCK),
        next,
        disks,
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
            checkpoint: engine.checkpoint.as_deref().map(str::to_owned),
            first_checkpoint: engine.first_checkpoint.as_deref().map(str::to_owned),
            key: engine.log_key.clone(),
            keys: engine.log_keys.clone(),
            epoch: engine.epoch,
            generation: None,
        }),
        gateway: Some(gateway(place.gateway.now())),
        tls: None,
        buckets: Some(engine.buckets),
        tiers: Vec::new(),
        index: engine
            .index
            .as_ref()
            .map(|usage| index(usage, engine.heal.rows)),
        counters: Some(CounterStatus {
            frames: counters.frames,
            records: counters.records,
            reads_from_other_copy: counters.reads_repaired_from_other_copy,
            reads_hedged: counters.reads_hedged,
            reads_refused: counters.reads_refused,
        }),
        healing: Some(healing(&engine.heal)),
        forecast: Some(forecast(engine, SystemClock.wall_ms())),
        clock: Some(ClockStatus {
            compliance_ms: engine.compliance.get(),
            wall_ms: SystemClock.wall_ms(),
            drift_ms: drift(SystemClock.wall_ms(), engine.compliance.get()),
        }),
        people: None,
    }
}

/// What gives a full vault room; an index has no more of it, whatever disks there are.
fn more_room(engine: &EngineStatus, commands: &Commands<'_>) -> Vec<NextStep> {
    if !engine.full || engine.read_only.is_some() {
        return Vec::new();
    }
    let index = engine.index.as_ref().is_some_and(IndexUsage::is_full);
    let by_disks = !index && engine.disks.len() > 1;
    let disk = by_disks.then(|| commands.more_room());
    // Without people nothing is ever destroyed.
    let over = engine.founded.then(|| commands.what_is_over());
    disk.into_iter().chain(over).collect()
}

/// What is left to people where the vault is only read because of what is missing: to go on without it, or, where there
/// are none, with another vault.
fn way_out(engine: &EngineStatus, commands: &Commands<'_>) -> Option<NextStep> {
    match engine.read_only.as_ref()? {
        ReadOnlyReason::TooFewDisks { .. } | ReadOnlyReason::JournalDamaged { .. }
            if engine.founded =>
        {
            Some(commands.last_resort())
        }
        // Without people there is nobody whose signatures could open it.
        ReadOnlyReason::TooFewDisks { .. } | ReadOnlyReason::JournalDamaged { .. } => {
            Some(commands.make_another())
        }
        ReadOnlyReason::Full => Some(commands.keep_to_read()),
        ReadOnlyReason::NumbersUsedUp
        | ReadOnlyReason::NewerFormat
        | ReadOnlyReason::Alone { .. }
        | ReadOnlyReason::LookedAt => None,
    }
}

/// How far the wall clock is ahead of compliance time, which stood still while the vault was off.
fn drift(wall_ms: u64, compliance_ms: u64) -> i64 {
    let whole = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    whole(wall_ms).saturating_sub(whole(compliance_ms))
}

fn gateway(state: GatewayState) -> GatewayStatus {
    let confined = state.confined.map(|confined| match confined {
        Confined::Fully => "fully",
        Confined::Partly => "partly",
        Confined::Not => "system calls only",
    });
    GatewayStatus {
        process: state.process,
        confined: confined.map(str::to_owned),
        memory_bytes_max: state.memory_bytes_max,
        restarts: state.restarts,
    }
}

fn forecast(engine: &EngineStatus, wall_ms: u64) -> ForecastStatus {
    let fill = &engine.fill;
    let (bytes_per_day, full_ms) = match fill.outlook {
        Outlook::TooYoung | Outlook::Idle => (None, None),
        Outlook::FullIn { bytes_per_day, ms } => {
            (Some(bytes_per_day), Some(wall_ms.saturating_add(ms)))
        }
    };
    ForecastStatus {
        spare_bytes: fill.spare_bytes,
        coming_bytes: engine.freed_bytes,
        history_ms: fill.history_ms,
        enough_history: fill.outlook != Outlook::TooYoung,
        bytes_per_day,
        full_ms,
        first_expiry_ms: engine.next_expiry.map(UnixMillis::get),
    }
}

fn reasons(engine: &EngineStatus) -> Vec<String> {
    let mut reasons = Vec::new();
    let missing = engine
        .disks
        .iter()
        .filter(|disk| !matches!(disk.state, MemberState::Active | MemberState::Drained))
        .count();
    match &engine.read_only {
        Some(reason) => reasons.push(format!("the vault is read-only: {reason}")),
        None if missing > 0 => {
            let all = engine.disks.len();
            reasons.push(format!("{missing} of {all} disks do not take part"));
            let active = |disk: &&EngineDisk| disk.state == MemberState::Active;
            if engine.disks.iter().filter(active).count() == 1 {
                // Only a forced opening leaves a vault that writes so.
                reasons.push("nothing is stored on one disk alone".to_owned());
            }
        }
        None => {}
    }
    let left_out = |disk: &&EngineDisk| disk.slow.is_some_and(|slow| slow.left_out);
    reasons.extend(engine.disks.iter().filter(left_out).map(|disk| {
        format!(
            "disk {} is slow, and the journal goes on without it",
            disk.number
        )
    }));
    let forgot = |disk: &&EngineDisk| disk.forgotten_frames > 0;
    reasons.extend(engine.disks.iter().filter(forgot).map(|disk| {
        format!(
            "disk {} did not have what the disks had confirmed",
            disk.number
        )
    }));
    for disk in &engine.disks {
        let number = disk.number;
        let suspect = suspect(disk).into_iter();
        reasons.extend(suspect.map(|why| format!("disk {number} is a suspect: {why}")));
    }
    let astray = engine.disks.iter().filter(|disk| disk.astray);
    reasons.extend(astray.map(|disk| format!("disk {} is not at its place", disk.number)));
    let lost = engine.heal.counts.lost_pieces;
    if lost > 0 {
        reasons.push(format!(
            "{lost} frames or parts of segments are on no disk any more"
        ));
    }
    let before = engine.heal.counts.lost_before;
    if before > 0 {
        reasons.push(lost_before(before as u64));
    }
    if let Some((done, frames)) = engine.rebuilding {
        let what = match engine.started_for {
            StartedFor::KeysCut => "the keys of an approved destruction are being cut",
            StartedFor::IndexLost => "the index is being made anew",
            StartedFor::JournalStranded => {
                "the journal is being begun anew on the disks that are left"
            }
            StartedFor::DisksCameBack => "what is on disks that came back is being read",
        };
        let done = match frames {
            0 => String::new(),
            frames => format!(": {done} of {frames} journal frames replayed"),
        };
        reasons.push(format!("{what}, clients are told to come back{done}"));
    }
    // Where nothing is written for want of disks, room is not what is lacking.
    if engine.full && engine.read_only.is_none() {
        let index = engine.index.as_ref().is_some_and(IndexUsage::is_full);
        reasons.push(match index {
            true => "no room in the index for further objects; its size was fixed when the vault was made".to_owned(),
            false => "no room for new data".to_owned(),
        });
    }
    if engine.starts_left < STARTS_LEFT_MIN && engine.read_only.is_none() {
        reasons.push(format!(
            "room is left for {} more starts, each of which takes some for good; then nothing is stored any more, not even what \
destruction needs: add a disk, or destroy what has expired",
            engine.starts_left
        ));
    }
    if engine.wall_alarm {
        let what = "the machine's clock is more than a day from compliance time, which stands still while the vault is \
                    off: set it if it is wrong, else correct compliance time (stele clock correct)";
        reasons.push(what.to_owned());
    }
    reasons
}

fn index(usage: &IndexUsage, verified: Option<RowsVerified>) -> IndexStatus {
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
        verified: verified.map(|last| RowsVerifiedStatus {
            at_ms: last.at.get(),
            rows: last.rows,
        }),
    }
}

fn healing(heal: &HealStatus) -> HealingStatus {
    let counts = &heal.counts;
    HealingStatus {
        segments: counts.segments,
        verified_bytes: counts.verified_bytes,
        repaired: counts.repaired,
        repaired_bytes: counts.repaired_bytes,
        segment: heal.segment.map(|segment| segment.get()),
        oldest_unverified_ms: heal.oldest_unverified_ms,
        first_waits_ms: heal.ages.first_ms,
        again_waits_ms: heal.ages.again_ms,
        lost: counts.lost.iter().map(lost).collect(),
        lost_before: counts.lost_before as u64,
    }
}

fn lost(lost: &Lost) -> LostFrame {
    LostFrame {
        segment: lost.segment.get(),
        frame: lost.frame,
        offset: lost.offset,
    }
}

/// Every place of the configuration with the disk that is there or should be.
fn disks(engine: &EngineStatus, bays: &[Bay], draining: Option<u16>) -> Vec<DiskStatus> {
    let seats = seats(&engine.disks, bays);
    let drains = Drains {
        begun: engine.heal.drain.map(|(number, _)| number),
        lacking: &engine.heal.drain_lacks,
        noted: draining,
        disks: &engine.disks,
        bays,
        seats: &seats,
    };
    let of = |(bay, seat): (&Bay, &Seat)| {
        let disk = seat.disk.and_then(|at| engine.disks.get(at));
        let of_it =
            |(number, _): &(u16, FillProgress)| disk.is_some_and(|disk| disk.number == *number);
        let drain = engine.heal.drain.filter(of_it);
        let moved = engine.heal.fill.filter(of_it).or(drain);
        let progress = moved.map(|(_, progress)| progress);
        let waits = disk.and_then(|disk| drains.wait_of(disk));
        let status = disk_status(bay, (disk, seat.here), progress, drain.is_some());
        waiting(status, waits)
    };
    bays.iter().zip(&seats).map(of).collect()
}

/// Says of a disk that is to be drained what that waits for.
fn waiting(mut status: DiskStatus, waits: Option<String>) -> DiskStatus {
    status
        .health
        .extend(waits.iter().map(|why| format!("; {why}")));
    status.notes.extend(waits);
    status
}

fn disk_status(
    bay: &Bay,
    (disk, here): (Option<&EngineDisk>, bool),
    fill: Option<FillProgress>,
    leaves: bool,
) -> DiskStatus {
    let (state, note) = match (disk, here, &bay.fault) {
        (Some(disk), ..) if disk.reason == Some(LEFT_BEHIND) => {
            ("left-behind", Some(LEFT_BEHIND.to_owned()))
        }
        (Some(disk), true, _) if leaves => ("draining", disk.reason.map(str::to_owned)),
        (Some(disk), false, _) if disk.state == MemberState::Drained => ("drained", None),
        (Some(disk), true, _) => (word(disk.state), disk.reason.map(str::to_owned)),
        (_, _, Some(fault)) => ("absent", Some(fault.clone())),
        (_, _, None) => (
            "unreadable",
            Some("no label of this vault is readable on it".to_owned()),
        ),
    };
    let fill = fill.map(|progress| FillStatus {
        done_bytes: progress.bytes_done,
        total_bytes: progress.bytes,
        written_bytes: progress.bytes_written,
        remaining_ms: progress.remaining_ms(),
    });
    DiskStatus {
        number: disk.map(|disk| disk.number),
        file: bay.file.clone(),
        id: disk.map(|disk| disk.disk.to_string()),
        state: state.to_owned(),
        health: match (disk.is_some_and(|disk| disk.astray), state) {
            (true, "active") => ASTRAY.to_owned(),
            (true, _) => format!(
                "{}, {ASTRAY}",
                health(state, note.as_deref(), fill.as_ref())
            ),
            (false, _) => health(state, note.as_deref(), fill.as_ref()),
        },
        fill,
        notes: note.into_iter().collect(),
        bytes: disk.filter(|_| here).map(|disk| disk.total_bytes),
        free_bytes: disk.filter(|_| here).map(|disk| disk.free_bytes),
        serial: bay.serial.clone(),
        backend: bay.backend.clone(),
        slow: disk.and_then(|disk| disk.slow).map(slow),
        suspect: disk.map(suspect).unwrap_or_default(),
        forgotten_frames: disk.map_or(0, |disk| disk.forgotten_frames),
        astray: disk.is_some_and(|disk| disk.astray),
        wanted: disk.is_some_and(|disk| disk.wanted),
    }
}

/// Why a disk that takes part is a suspect, beside frames that it forgot.
fn suspect(disk: &EngineDisk) -> Vec<String> {
    let slow = disk.slow_suspect.map(slow_words);
    slow.into_iter().chain(unmended(disk)).collect()
}

/// What a disk does not give although it was written there again, if there is something.
fn unmended(disk: &EngineDisk) -> Option<String> {
    let words = match disk.unmended {
        0 => return None,
        1 => "a piece of data was written again and does".to_owned(),
        pieces => format!("{pieces} pieces of data were written again and do"),
    };
    Some(format!("{words} not verify when read back from it"))
}

fn slow(slow: Slow) -> SlowStatus {
    SlowStatus {
        since_ms: slow.since.get(),
        left_out_of_journal: slow.left_out,
    }
}

fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "active",
        MemberState::Absent => "absent",
        MemberState::Stale => "stale",
        MemberState::Expelled => "expelled",
        MemberState::Joining => "joining",
        MemberState::Drained => "drained",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stele_format::units::DiskId;

    fn engine_disk(name: &str, state: MemberState) -> EngineDisk {
        EngineDisk {
            number: 2,
            disk: DiskId::new([2; 16]),
            name: name.to_owned(),
            state,
            reason: (state != MemberState::Active).then_some("a reason"),
            slow: None,
            slow_suspect: None,
            unmended: 0,
            forgotten_frames: 0,
            astray: false,
            wanted: false,
            free_bytes: 1,
            total_bytes: 2,
        }
    }

    fn bay(fault: Option<&str>) -> Bay {
        Bay {
            path: PathBuf::from("/d"),
            file: "/d".to_owned(),
            slot: None,
            fault: fault.map(str::to_owned),
            serial: None,
            backend: None,
            bytes: None,
            id: None,
        }
    }

    #[test]
    fn a_slow_disk_takes_part_and_is_shown_as_slow() {
        let since = UnixMillis::new(1_000);
        let shown = |left_out| {
            let slow = Some(Slow { since, left_out });
            let disk = EngineDisk {
                slow,
                ..engine_disk("/d", MemberState::Active)
            };
            let status = disk_status(&bay(None), (Some(&disk), true), None, false);
            assert_eq!((&*status.state, &*status.health), ("active", "ok"));
            crate::status::disk_row(&status)
        };
        let out = "ok, slow: left out of the journal since 1970-01-01 00:00:01 UTC, 1 bytes free";
        assert!(shown(true).contains(out), "{}", shown(true));
        let spared = "ok, slow: used only where no other disk will do, since 1970";
        assert!(shown(false).contains(spared), "{}", shown(false));
    }

    #[test]
    fn a_disk_that_is_slow_again_and_again_is_shown_as_suspect() {
        let disk = EngineDisk {
            slow_suspect: Some(3),
            ..engine_disk("/d", MemberState::Active)
        };
        let status = disk_status(&bay(None), (Some(&disk), true), None, false);
        assert_eq!((&*status.state, &*status.health), ("active", "ok"));
        let row = crate::status::disk_row(&status);
        let words = "3 times within an hour it gave or took nothing while others did";
        let line = format!("/d: ok, suspect: {words}, 1 bytes free");
        assert!(row.contains(&line), "{row}");
    }

    #[test]
    fn a_disk_that_does_not_keep_what_is_written_again_is_shown_as_suspect() {
        for (unmended, words) in [
            (1, "a piece of data was written again and does not verify"),
            (2, "2 pieces of data were written again and do not verify"),
        ] {
            let disk = EngineDisk {
                unmended,
                ..engine_disk("/d", MemberState::Active)
            };
            let status = disk_status(&bay(None), (Some(&disk), true), None, false);
            let row = crate::status::disk_row(&status);
            let line = format!("/d: ok, suspect: {words} when read back from it, 1 bytes free");
            assert!(row.contains(&line), "{row}");
        }
    }

    #[test]
    fn a_disk_that_is_not_at_its_place_is_shown_as_such() {
        let shown = |state| {
            let disk = EngineDisk {
                astray: true,
                ..engine_disk("/d", state)
            };
            disk_status(&bay(None), (Some(&disk), true), None, false)
        };
        let status = shown(MemberState::Active);
        assert_eq!((&*status.state, &*status.health), ("active", ASTRAY));
        let row = crate::status::disk_row(&status);
        assert!(row.contains("/d: not at its place, 1 bytes free"), "{row}");
        let status = shown(MemberState::Joining);
        assert_eq!(status.health, "resyncing, not at its place");
    }

    #[test]
    fn every_disk_has_a_word_for_programs_and_words_for_people() {
        let check = |disk: Option<&EngineDisk>, fault: Option<&str>, state: &str, health: &str| {
            let here = disk.is_some_and(|disk| !disk.name.is_empty());
            let shown = disk_status(&bay(fault), (disk, here), None, false);
            assert_eq!(
                (shown.state.as_str(), shown.health.as_str()),
                (state, health)
            );
            assert_eq!(shown.number, disk.map(|disk| disk.number));
        };
        let here = |state| engine_disk("/d", state);
        check(Some(&here(MemberState::Active)), None, "active", "ok");
        check(Some(&here(MemberState::Stale)), None, "stale", "stale");
        check(
            Some(&here(MemberState::Joining)),
            None,
            "joining",
            "resyncing",
        );
        check(
            Some(&here(MemberState::Expelled)),
            None,
            "expelled",
            "failed: a reason",
        );
        let drained = "drained: a reason";
        check(Some(&here(MemberState::Drained)), None, "drained", drained);
        let left = |name: &str, state| {
            let reason = Some(LEFT_BEHIND);
            EngineDisk {
                reason,
                ..engine_disk(name, state)
            }
        };
        let words = format!("left behind: {LEFT_BEHIND}");
        let gone = left("", MemberState::Absent);
        check(Some(&gone), Some("no such disk"), "left-behind", &words);
        let back = left("/d", MemberState::Stale);
        check(Some(&back), None, "left-behind", &words);
        let gone = engine_disk("", MemberState::Drained);
        let taken_out = "drained, and not used any more";
        check(Some(&gone), Some("no such disk"), "drained", taken_out);
        check(Some(&gone), None, "drained", taken_out);
        let gone = engine_disk("", MemberState::Absent);
        check(Some(&gone), Some("no such disk"), "absent", "missing");
        check(Some(&gone), None, "unreadable", "missing");
        check(None, None, "unreadable", "missing");
    }
}
