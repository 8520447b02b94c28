//! `stele status`, and how the vault is put into words.

use std::io::Write;
use std::path::Path;

use crate::control::protocol::{DiskStatus, Status};
use crate::control::socket::ask_status;
use crate::error::Outcome;
use crate::labels;
use crate::vault::Directory;

/// Prints how a vault is: asks the serving process, or reads the labels when there is none.
///
/// # Errors
/// When there is no vault, or the serving process cannot be understood.
pub fn status(dir: &Path, json: bool) -> Outcome<()> {
    let directory = Directory::new(dir)?;
    let config = directory.existing()?;
    let status = match ask_status(&directory.control_socket())? {
        Some(status) => status,
        None => labels::status(&directory, &config)?,
    };
    let text = if json {
        as_json(&status)
    } else {
        as_text(&status)
    };
    // A reader that went away has seen what it wanted.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    Ok(())
}

fn as_json(status: &Status) -> String {
    let mut text = serde_json::to_string_pretty(status).expect("plain fields always serialize");
    text.push('\n');
    text
}

fn as_text(status: &Status) -> String {
    let mut text = format!("vault    {}\n", status.directory);
    match (&status.endpoint, status.process) {
        (Some(endpoint), Some(process)) => {
            text.push_str(&format!("address  {endpoint} (process {process})\n"));
        }
        _ => text.push_str("address  none\n"),
    }
    text.push_str(&format!("pool     {}\n", state_line(status)));
    if let Some(pool) = &status.pool {
        text.push_str(&format!("id       {pool}\n"));
    }
    for disk in &status.disks {
        text.push_str(&format!("disk     {}\n", disk_line(disk)));
    }
    if let Some(log) = &status.log {
        let records = log
            .records
            .map_or(String::new(), |records| format!("{records} records, "));
        text.push_str(&format!("log      {records}epoch {}\n", log.epoch));
    }
    if let Some(buckets) = status.buckets {
        text.push_str(&format!("buckets  {buckets}\n"));
    }
    if let Some(index) = &status.index {
        let (used, room) = (size(index.file_bytes), size(index.capacity_bytes));
        text.push_str(&format!(
            "index    {used} of {room}, {}\n",
            index.mirrors.join(" and ")
        ));
    }
    if let Some(counters) = &status.counters {
        let (other, refused) = (counters.reads_from_other_copy, counters.reads_refused);
        text.push_str(&format!(
            "reads    {other} from another copy, {refused} refused\n"
        ));
    }
    for alarm in &status.alarms {
        text.push_str(&format!("alarm    {alarm}\n"));
    }
    if let Some(clock) = &status.clock {
        text.push_str(&format!(
            "clock    compliance {}, wall {}\n",
            instant(clock.compliance_ms),
            instant(clock.wall_ms),
        ));
    }
    if status.evaluation {
        text.push_str("keys     in a file beside the data: an evaluation vault\n");
    }
    if status.simulated_clock {
        text.push_str("clock    simulated: a vault for tests, its retention dates prove nothing\n");
    }
    text
}

/// The pool's state with its reasons.
pub fn state_line(status: &Status) -> String {
    if status.reasons.is_empty() {
        return status.state.clone();
    }
    format!("{}: {}", status.state, status.reasons.join("; "))
}

/// A disk with its state and what else is known of it.
pub fn disk_line(disk: &DiskStatus) -> String {
    let mut line = format!("{}: {}", disk.file, disk.state);
    if let (Some(bytes), Some(free)) = (disk.bytes, disk.free_bytes) {
        line.push_str(&format!(", {} free of {}", size(free), size(bytes)));
    }
    if let Some(backend) = &disk.backend {
        line.push_str(&format!(" ({backend})"));
    }
    for note in &disk.notes {
        line.push_str(&format!("; {note}"));
    }
    line
}

fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        // Tenths, rounded down, without floating point.
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// A time in words.
pub fn instant(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1_000).ok();
    match seconds.and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok()) {
        Some(at) => {
            let (date, time) = (at.date(), at.time());
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
                date.year(),
                u8::from(date.month()),
                date.day(),
                time.hour(),
                time.minute(),
                time.second()
            )
        }
        None => format!("{ms} ms since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_put_into_round_words() {
        let check = |bytes: u64, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0 bytes");
        check(1023, "1023 bytes");
        check(1536, "1.5 KiB");
        check(16 << 30, "16.0 GiB");
        check((16 << 30) - 1, "15.9 GiB");
        check(u64::MAX, "16777215.9 TiB");
    }

    #[test]
    fn a_disk_is_shown_with_its_room_its_access_and_its_notes() {
        let disk = DiskStatus {
            file: "/v/a.disk".to_owned(),
            id: None,
            state: "stale".to_owned(),
            notes: vec!["missed writes".to_owned()],
            bytes: Some(16 << 30),
            free_bytes: Some(15 << 30),
            backend: Some("threads, buffered: io_uring is denied (EPERM)".to_owned()),
        };
        assert_eq!(
            disk_line(&disk),
            "/v/a.disk: stale, 15.0 GiB free of 16.0 GiB \
             (threads, buffered: io_uring is denied (EPERM)); missed writes"
        );
        let absent = DiskStatus {
            notes: Vec::new(),
            bytes: None,
            free_bytes: None,
            backend: None,
            ..disk
        };
        assert_eq!(disk_line(&absent), "/v/a.disk: stale");
    }

    #[test]
    fn instants_are_put_into_words() {
        assert_eq!(instant(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(instant(1_790_000_000_123), "2026-09-21 14:13:20 UTC");
        assert_eq!(instant(u64::MAX), "18446744073709551615 ms since 1970");
    }
}
