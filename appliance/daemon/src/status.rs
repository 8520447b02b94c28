//! `stele status`, and how the vault is put into words.

use std::path::Path;

use serde::Serialize;
use stele_device::keyprovider::AnchorKind;
use stele_store::heal::late::Reread;

use crate::alarms::late_words;
use crate::control::protocol::{
    DiskStatus, FillStatus, ForecastStatus, GatewayStatus, HealingStatus, IndexStatus, NextStep,
    OpeningStatus, PeopleSummary, SlowStatus, Status,
};
use crate::control::socket::ask_status;
use crate::disk::print;
use crate::error::Outcome;
use crate::labels;
use crate::limits::LOST_SHOWN_COUNT_MAX;
use crate::tls_verb;
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
    print(&text);
    Ok(())
}

/// As programs read it.
pub fn as_json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain fields always serialize");
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
    text.extend(status.disks.iter().map(disk_row));
    text.push_str(&next_lines(status));
    if let Some(log) = &status.log {
        let records = log
            .records
            .map_or(String::new(), |records| format!("{records} records, "));
        text.push_str(&format!("log      {records}epoch {}\n", log.epoch));
    }
    if let Some(gateway) = &status.gateway {
        text.push_str(&gateway_line(gateway));
    }
    if let Some(tls) = &status.tls {
        text.push_str(&tls_verb::line(tls));
    }
    if let Some(buckets) = status.buckets {
        text.push_str(&format!("buckets  {buckets}{}\n", tiers(&status.tiers)));
    }
    if let Some(index) = &status.index {
        text.push_str(&index_line(index));
    }
    if let Some(counters) = &status.counters {
        let (other, refused) = (counters.reads_from_other_copy, counters.reads_refused);
        let hedged = counters.reads_hedged;
        text.push_str(&format!(
            "reads    {other} from another copy, {refused} refused, {hedged} asked of a second disk for a slow one\n"
        ));
    }
    if let Some(healing) = &status.healing {
        text.push_str(&healing_lines(healing));
    }
    if let Some(forecast) = &status.forecast {
        text.push_str(&forecast_line(forecast));
    }
    for alarm in &status.alarms {
        text.push_str(&format!("alarm    {alarm}\n"));
    }
    if let Some(clock) = &status.clock {
        text.push_str(&format!(
            "clock    compliance {}, wall {}, clock drift {} s\n",
            instant(clock.compliance_ms),
            instant(clock.wall_ms),
            clock.drift_ms / 1_000,
        ));
    }
    if let Some(people) = &status.people {
        text.push_str(&people_lines(people));
    }
    text.push_str(&keys_line(status));
    if status.simulated_clock {
        text.push_str("clock    simulated: a vault for tests, its retention dates prove nothing\n");
    }
    text
}

/// How many buckets are in which tier of retention.
fn tiers(tiers: &[(String, u64)]) -> String {
    let words = tiers.iter();
    let words = words.map(|(tier, count)| format!(", {count} in tier {tier}"));
    words.collect()
}

/// Where the keys are, if anything is known of it.
fn keys_line(status: &Status) -> String {
    match &status.keys {
        Some(keys) if keys.anchor != AnchorKind::None.to_string() => {
            format!("keys     in a {}; anchor: {}\n", keys.provider, keys.anchor)
        }
        _ if status.evaluation => {
            "keys     in a file beside the data: an evaluation vault\n".to_owned()
        }
        _ => String::new(),
    }
}

/// Who the people are, and what waits for them.
pub fn people_lines(people: &PeopleSummary) -> String {
    let roles = people.active.iter();
    let roles: Vec<String> = roles
        .map(|(role, count)| format!("{count} {role}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    let mut text = if roles.is_empty() {
        "people   none: nothing can be freed before people are founded (stele people found)\n"
            .to_owned()
    } else {
        format!("people   {}\n", roles.join(", "))
    };
    if people.plain_keys {
        text.push_str(
            "people   sign with plain key files: whoever copied one can sign for its owner\n",
        );
    }
    if people.erasure_suspended {
        text.push_str("people   nothing is destroyed now: the clocks are more than a day apart\n");
    }
    if people.witness_silent {
        text.push_str("people   nothing is destroyed now: no witness was heard for 30 days\n");
    }
    text.extend(people.openings.iter().map(opening_line));
    if let Some(from) = &people.frees_from {
        text.push_str(&format!(
            "forced   nothing is destroyed and no special right counts before {from}\n"
        ));
    }
    let waiting = people.waiting.iter();
    text.extend(waiting.map(|request| format!("waits    {request}\n")));
    text
}

fn opening_line(opening: &OpeningStatus) -> String {
    let OpeningStatus {
        number,
        record,
        at,
        left,
        has_lost,
        missing,
    } = opening;
    let without = match left.len() {
        0 => String::new(),
        1 => " without 1 disk".to_owned(),
        count => format!(" without {count} disks"),
    };
    let lost = match (*has_lost, left.is_empty()) {
        (true, _) => "; records are lost",
        (false, false) => "; records may be lost",
        (false, true) => "",
    };
    let given_up = match missing {
        1 => "1 record in the middle of the log was".to_owned(),
        missing => format!("{missing} records in the middle of the log were"),
    };
    let kept = match missing {
        0 => String::new(),
        _ => format!(
            "forced   {given_up} given up: nothing that was stored before record {record} is ever destroyed\n"
        ),
    };
    format!("forced   open at {at} (number {number}, record {record}){without}{lost}\n{kept}")
}

/// The pool's state with its reasons.
pub fn state_line(status: &Status) -> String {
    if status.reasons.is_empty() {
        return status.state.clone();
    }
    format!("{}: {}", status.state, status.reasons.join("; "))
}

/// The line about the process that faces the network.
fn gateway_line(gateway: &GatewayStatus) -> String {
    let mut line = match (&gateway.process, &gateway.confined) {
        (Some(process), Some(confined)) => format!("process {process}, confined {confined}"),
        (Some(process), None) => format!("process {process}, starting"),
        (None, _) => "not running; it is started again".to_owned(),
    };
    if let Some(bytes) = gateway.memory_bytes_max {
        line.push_str(&format!(", at most {} of memory", size(bytes)));
    }
    if gateway.restarts > 0 {
        line.push_str(&format!(", started again {} times", gateway.restarts));
    }
    format!("gateway  {line}\n")
}

/// A line about a disk, by its number.
pub fn disk_row(disk: &DiskStatus) -> String {
    let number = disk
        .number
        .map_or("?".to_owned(), |number| number.to_string());
    format!("disk {number:<3} {}\n", disk_line(disk))
}

/// A disk with its state and what else is known of it.
fn disk_line(disk: &DiskStatus) -> String {
    let mut line = disk.file.clone();
    if let Some(serial) = &disk.serial {
        line.push_str(&format!(", serial {serial}"));
    }
    line.push_str(&format!(": {}", disk.health));
    line.extend(disk.slow.iter().map(slow_words));
    let suspect = disk.suspect.iter();
    line.extend(suspect.map(|why| format!(", suspect: {why}")));
    if disk.forgotten_frames > 0 {
        line.push_str(&format!(
            ", suspect: {} journal frames were not on it at a start that the disks had confirmed",
            disk.forgotten_frames
        ));
    }
    if let (Some(bytes), Some(free)) = (disk.bytes, disk.free_bytes) {
        line.push_str(&format!(", {} free of {}", size(free), size(bytes)));
    }
    if let Some(backend) = &disk.backend {
        line.push_str(&format!(" ({backend})"));
    }
    // What the health says already need not be said twice.
    let said = |note: &&String| disk.fill.is_some() || disk.health.contains(note.as_str());
    for note in disk.notes.iter().filter(|note| !said(note)) {
        line.push_str(&format!("; {note}"));
    }
    line
}

/// What is said of a slow disk after its state.
fn slow_words(slow: &SlowStatus) -> String {
    let since = instant(slow.since_ms);
    match slow.left_out_of_journal {
        true => format!(", slow: left out of the journal since {since}"),
        false => format!(", slow: used only where no other disk will do, since {since}"),
    }
}

/// The state of a disk in words for people.
pub fn health(state: &str, reason: Option<&str>, fill: Option<&FillStatus>) -> String {
    match (state, reason) {
        ("active", _) => "ok".to_owned(),
        ("absent" | "unreadable", _) => "missing".to_owned(),
        ("expelled", Some(reason)) => format!("failed: {reason}"),
        ("expelled", None) => "failed".to_owned(),
        ("drained", Some(reason)) => format!("drained: {reason}"),
        ("drained", None) => "drained, and not used any more".to_owned(),
        ("left-behind", Some(reason)) => format!("left behind: {reason}"),
        ("draining", _) => fill.map_or_else(
            || "draining".to_owned(),
            |fill| format!("draining {}", share(fill)),
        ),
        ("joining", _) => fill.map_or_else(
            || "resyncing".to_owned(),
            |fill| format!("resyncing {}", share(fill)),
        ),
        (other, _) => other.to_owned(),
    }
}

/// How much of a disk is filled or moved, and when all will be.
fn share(fill: &FillStatus) -> String {
    let (done, total) = (fill.done_bytes, fill.total_bytes);
    let percent = (u128::from(done) * 100)
        .checked_div(u128::from(total))
        .unwrap_or(0);
    let left = fill
        .remaining_ms
        .map_or(String::new(), |ms| format!(", about {} left", duration(ms)));
    format!("{percent} % ({} of {}{left})", size(done), size(total))
}

/// What to do next, a line each.
pub fn next_lines(status: &Status) -> String {
    let line = |step: &NextStep| format!("next     {}: {}\n", step.what, step.command);
    status.next.iter().map(line).collect()
}

fn index_line(index: &IndexStatus) -> String {
    let (used, room) = (size(index.file_bytes), size(index.capacity_bytes));
    let mirrors = index.mirrors.join(" and ");
    let verified = match &index.verified {
        Some(last) => format!("all {} rows verified on {}", last.rows, instant(last.at_ms)),
        None => "its rows not verified since the start".to_owned(),
    };
    format!("index    {used} of {room}, {mirrors}; {verified}\n")
}

/// Says of how many segments something was lost before the start.
pub fn lost_before(segments: u64) -> String {
    let what = match segments {
        1 => "1 segment".to_owned(),
        more => format!("{more} segments"),
    };
    format!("something of {what} was on no disk before the start, and is looked for again")
}

fn healing_lines(healing: &HealingStatus) -> String {
    let mut text = format!(
        "healing  {} verified and {} ({} pieces) repaired since the start",
        size(healing.verified_bytes),
        size(healing.repaired_bytes),
        healing.repaired,
    );
    if let Some(segment) = healing.segment {
        text.push_str(&format!("; reading segment {segment}"));
    }
    let age = duration(healing.oldest_unverified_ms);
    text.push_str(&format!("; the oldest byte not read again is {age} old\n"));
    for (which, age_ms) in [
        (Reread::First, healing.first_waits_ms),
        (Reread::Again, healing.again_waits_ms),
    ] {
        if which.promise().is_broken(age_ms) {
            text.push_str(&format!("late     {}\n", late_words(which, age_ms)));
        }
    }
    for lost in healing.lost.iter().take(LOST_SHOWN_COUNT_MAX) {
        let (segment, offset) = (lost.segment, lost.offset);
        text.push_str(&match lost.frame {
            Some(frame) => format!("lost     segment {segment}, frame {frame} (byte {offset})\n"),
            None => format!("lost     segment {segment}, header, footer or seal (byte {offset})\n"),
        });
    }
    if healing.lost_before > 0 {
        text.push_str(&format!("lost     {}\n", lost_before(healing.lost_before)));
    }
    let more = healing.lost.len().saturating_sub(LOST_SHOWN_COUNT_MAX);
    if more > 0 {
        text.push_str(&format!("lost     and {more} more, named by --json\n"));
    }
    text
}

fn forecast_line(forecast: &ForecastStatus) -> String {
    let full = match (forecast.full_ms, forecast.bytes_per_day) {
        (Some(at), Some(bytes)) => {
            let (at, bytes, over) = (day(at), size(bytes), duration(forecast.history_ms));
            format!("full on {at} at {bytes} a day, as over the last {over}")
        }
        _ if !forecast.enough_history => {
            let age = duration(forecast.history_ms);
            format!("when it is full cannot be told: not enough history ({age}, a day is needed)")
        }
        _ => format!(
            "nothing was stored over the last {}",
            duration(forecast.history_ms)
        ),
    };
    let expiry = match forecast.first_expiry_ms {
        Some(at) => format!("first expiry on {}", day(at)),
        None => "nothing is locked".to_owned(),
    };
    let spare = size(forecast.spare_bytes);
    let coming = match forecast.coming_bytes {
        0 => String::new(),
        bytes => format!("; {} being given back", size(bytes)),
    };
    format!("forecast {full}; {expiry}; room for {spare}, copies included{coming}\n")
}

/// A time span in round words.
pub fn duration(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A size in round words.
pub fn size(bytes: u64) -> String {
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

/// A day in words.
pub fn day(ms: u64) -> String {
    let words = instant(ms);
    words
        .split_once(' ')
        .map_or(words.clone(), |(day, _)| day.to_owned())
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
    use crate::control::protocol::{LostFrame, RowsVerifiedStatus};

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
    fn time_spans_are_put_into_round_words() {
        let check = |ms: u64, expected: &str| assert_eq!(duration(ms), expected);
        check(0, "0 s");
        check(1, "1 s");
        check(119_000, "119 s");
        check(120_000, "2 min");
        check(7_199_000, "119 min");
        check(7_200_000, "2 h");
        check(3 * 86_400_000, "3 days");
    }

    #[test]
    fn filling_is_told_with_its_share_and_the_time_left() {
        let check = |done_bytes, remaining_ms, expected: &str| {
            let fill = FillStatus {
                done_bytes,
                total_bytes: 3 << 30,
                written_bytes: 0,
                remaining_ms,
            };
            assert_eq!(
                health("joining", Some("it is being filled"), Some(&fill)),
                expected
            );
        };
        check(0, None, "resyncing 0 % (0 bytes of 3.0 GiB)");
        let half = "resyncing 43 % (1.3 GiB of 3.0 GiB, about 12 s left)";
        check((3 << 30) * 439 / 1000, Some(11_500), half);
    }

    #[test]
    fn the_index_says_when_its_rows_were_last_verified() {
        let mut index = IndexStatus {
            row_bytes: 1,
            file_bytes: 2 << 20,
            capacity_bytes: 3 << 30,
            mirrors: vec!["active".to_owned(), "stale".to_owned()],
            repaired_pages: 0,
            verified: None,
        };
        assert_eq!(
            index_line(&index),
            "index    2.0 MiB of 3.0 GiB, active and stale; its rows not verified since the start\n"
        );
        index.verified = Some(RowsVerifiedStatus { at_ms: 0, rows: 7 });
        assert_eq!(
            index_line(&index),
            "index    2.0 MiB of 3.0 GiB, active and stale; all 7 rows verified on 1970-01-01 00:00:00 UTC\n"
        );
    }

    #[test]
    fn what_is_lost_is_named_up_to_a_limit() {
        let lost = |frame| LostFrame {
            segment: 7,
            frame,
            offset: 4096,
        };
        let mut healing = HealingStatus {
            segments: 1,
            verified_bytes: 2 << 20,
            repaired: 3,
            repaired_bytes: 8192,
            segment: Some(9),
            oldest_unverified_ms: 90_000,
            first_waits_ms: 24 * 3_600_000,
            again_waits_ms: 14 * 24 * 3_600_000,
            lost: vec![lost(Some(4)), lost(None)],
            lost_before: 0,
        };
        assert_eq!(
            healing_lines(&healing),
            "healing  2.0 MiB verified and 8.0 KiB (3 pieces) repaired since the start; reading segment \
             9; the oldest byte not read again is 90 s old\n\
             lost     segment 7, frame 4 (byte 4096)\n\
             lost     segment 7, header, footer or seal (byte 4096)\n"
        );
        healing.lost_before = 2;
        assert!(healing_lines(&healing).ends_with(
            "lost     something of 2 segments was on no disk before the start, and is looked for again\n"
        ));
        healing.lost_before = 0;
        healing.first_waits_ms = 26 * 3_600_000;
        healing.again_waits_ms = 15 * 24 * 3_600_000;
        assert_eq!(
            healing_lines(&healing)
                .lines()
                .skip(1)
                .take(2)
                .collect::<Vec<_>>(),
            [
                "late     what was stored has waited for 26 h to be read again for the first time, 24 h are promised",
                "late     what was read before has waited for 15 days to be read again, 14 days are promised",
            ]
        );
        healing.first_waits_ms = 0;
        healing.again_waits_ms = 0;
        healing.lost = vec![lost(Some(1)); LOST_SHOWN_COUNT_MAX + 5];
        let text = healing_lines(&healing);
        assert_eq!(text.lines().count(), 1 + LOST_SHOWN_COUNT_MAX + 1);
        assert!(text.ends_with("and 5 more, named by --json\n"), "{text}");
    }

    #[test]
    fn the_forecast_says_what_it_knows_and_what_not() {
        let forecast = ForecastStatus {
            spare_bytes: 10 << 30,
            coming_bytes: 0,
            history_ms: 7 * 86_400_000,
            enough_history: true,
            bytes_per_day: Some(1 << 30),
            full_ms: Some(1_790_000_000_000),
            first_expiry_ms: Some(1_789_000_000_000),
        };
        assert_eq!(
            forecast_line(&forecast),
            "forecast full on 2026-09-21 at 1.0 GiB a day, as over the last 7 days; \
             first expiry on 2026-09-10; room for 10.0 GiB, copies included\n"
        );
        let idle = ForecastStatus {
            bytes_per_day: None,
            full_ms: None,
            first_expiry_ms: None,
            ..forecast
        };
        assert_eq!(
            forecast_line(&idle),
            "forecast nothing was stored over the last 7 days; nothing is locked; \
             room for 10.0 GiB, copies included\n"
        );
        let young = ForecastStatus {
            history_ms: 6 * 3_600_000,
            enough_history: false,
            coming_bytes: 2 << 30,
            ..idle
        };
        assert_eq!(
            forecast_line(&young),
            "forecast when it is full cannot be told: not enough history (6 h, a day is needed); \
             nothing is locked; room for 10.0 GiB, copies included; 2.0 GiB being given back\n"
        );
    }

    #[test]
    fn instants_are_put_into_words() {
        assert_eq!(instant(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(instant(1_790_000_000_123), "2026-09-21 14:13:20 UTC");
        assert_eq!(instant(u64::MAX), "18446744073709551615 ms since 1970");
    }
}
