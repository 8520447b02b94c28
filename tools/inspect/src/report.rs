//! A report as text for an operator and as JSON for scripts.

use std::fmt::Write as _;

use serde::Serialize;

use crate::verdict::{Damage, GivenUpRecords, Report, Verdict};

/// Text safe for a terminal: control characters of a file name are shown, not obeyed.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escape.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// The report as text, ending in a newline.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let totals = &report.totals;
    if let Some(pool) = &totals.pool {
        line(
            &mut out,
            &format!(
                "pool {pool}, generation {}, epoch {}",
                totals.generation, totals.epoch
            ),
        );
    }
    for disk in &report.disks {
        line(
            &mut out,
            &format!("{}: {}", printable(&disk.file), disk.state.word()),
        );
        for note in &disk.notes {
            line(&mut out, &format!("  note: {note}"));
        }
    }
    for note in &report.notes {
        line(&mut out, &format!("note: {note}"));
    }
    for damage in &report.damage {
        line(&mut out, &damage_line(report, damage));
    }
    for lost in &totals.given_up {
        let (first, last, opening) = (lost.first, lost.last, lost.opening);
        let records = match first == last {
            true => format!("record {first} was"),
            false => format!("records {first} to {last} were"),
        };
        line(
            &mut out,
            &format!(
                "{records} on no disk when the vault was forced open for the {opening}. time: given up then, and passed \
                 over"
            ),
        );
    }
    if report.damage_left_out > 0 {
        line(
            &mut out,
            &format!("{} more damages are not listed", report.damage_left_out),
        );
    }
    if totals.pool.is_some() {
        line(
            &mut out,
            &format!(
                "{} segments, {} frames, {} records, {} chunks cited, {} bytes verified",
                totals.segments,
                totals.frames,
                totals.records,
                totals.chunks,
                totals.bytes_verified
            ),
        );
        let root = totals
            .log_root
            .as_deref()
            .unwrap_or("unknown, because records are lost");
        line(
            &mut out,
            &format!("log size {}, root {root}", totals.log_size),
        );
    }
    line(
        &mut out,
        &format!("verdict {}: {}", report.verdict.code(), conclusion(report)),
    );
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

fn damage_line(report: &Report, damage: &Damage) -> String {
    let mut place = damage.area.word().to_owned();
    if let Some(segment) = damage.segment {
        let _ = write!(place, " {}", segment.get());
    }
    if let Some(frame) = damage.frame {
        let _ = write!(place, " frame {}", frame.get());
    }
    let copy = if damage.good_copy {
        "; another disk holds a good copy"
    } else {
        ""
    };
    let file = printable(&report.disks[damage.disk].file);
    format!("damage: {file}: {place}: {}{copy}", damage.what)
}

fn conclusion(report: &Report) -> String {
    let count = report.damage.len() as u64 + report.damage_left_out;
    match report.verdict {
        Verdict::Clean => "every present disk is clean".to_owned(),
        Verdict::Damage => format!(
            "damage in {count} place{}",
            if count == 1 { "" } else { "s" }
        ),
        Verdict::CannotJudge => "not everything given could be judged".to_owned(),
    }
}

#[derive(Serialize)]
struct JsonReport<'a> {
    verdict: u8,
    disks: Vec<JsonDisk<'a>>,
    damage: Vec<JsonDamage<'a>>,
    damage_left_out: u64,
    notes: &'a [String],
    pool: Option<&'a str>,
    generation: u64,
    epoch: u32,
    segments: u64,
    frames: u64,
    records: u64,
    chunks: u64,
    bytes_verified: u64,
    log_size: u64,
    log_root: Option<&'a str>,
    given_up: &'a [GivenUpRecords],
}

#[derive(Serialize)]
struct JsonDisk<'a> {
    file: &'a str,
    id: Option<&'a str>,
    state: &'static str,
    notes: &'a [String],
}

#[derive(Serialize)]
struct JsonDamage<'a> {
    disk: &'a str,
    area: &'static str,
    segment: Option<u64>,
    frame: Option<u32>,
    what: &'a str,
    good_copy: bool,
}

/// The report as one line of JSON, ending in a newline.
#[must_use]
pub fn json(report: &Report) -> String {
    let totals = &report.totals;
    let disks = report.disks.iter().map(|disk| JsonDisk {
        file: &disk.file,
        id: disk.id.as_deref(),
        state: disk.state.word(),
        notes: &disk.notes,
    });
    let damage = report.damage.iter().map(|damage| JsonDamage {
        disk: &report.disks[damage.disk].file,
        area: damage.area.word(),
        segment: damage.segment.map(|segment| segment.get()),
        frame: damage.frame.map(|frame| frame.get()),
        what: &damage.what,
        good_copy: damage.good_copy,
    });
    let whole = JsonReport {
        verdict: report.verdict.code(),
        disks: disks.collect(),
        damage: damage.collect(),
        damage_left_out: report.damage_left_out,
        notes: &report.notes,
        pool: totals.pool.as_deref(),
        generation: totals.generation,
        epoch: totals.epoch,
        segments: totals.segments,
        frames: totals.frames,
        records: totals.records,
        chunks: totals.chunks,
        bytes_verified: totals.bytes_verified,
        log_size: totals.log_size,
        log_root: totals.log_root.as_deref(),
        given_up: &totals.given_up,
    };
    let mut out = serde_json::to_string(&whole).expect("text, numbers and lists always serialize");
    out.push('\n');
    out
}

#[derive(Serialize)]
struct JsonRefusal<'a> {
    verdict: u8,
    disks: [(); 0],
    damage: [(); 0],
    error: &'a str,
}

/// A refusal to judge at all, in the shape of a report.
#[must_use]
pub fn json_refusal(reason: &str) -> String {
    let verdict = Verdict::CannotJudge.code();
    let refusal = JsonRefusal {
        verdict,
        disks: [],
        damage: [],
        error: reason,
    };
    let mut out = serde_json::to_string(&refusal).expect("text and numbers always serialize");
    out.push('\n');
    out
}
