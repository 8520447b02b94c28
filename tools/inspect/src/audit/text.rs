//! The report of an audit as text, for a reader who is no programmer.

use std::fmt::{Display, Write as _};

use super::refused::RefusedLine;
use super::report::{AuditReport, DestructionLine, FindingLine, GoneLine, RequestLine, VoiceLine};
use crate::report::printable;

struct Page(String);

impl Page {
    fn line(&mut self, text: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn head(&mut self, text: impl Display) {
        self.line("");
        self.line(text);
    }
}

/// The report as text, ending in a newline.
#[must_use]
pub fn text(report: &AuditReport) -> String {
    let mut page = Page(String::new());
    title(report, &mut page);
    people(report, &mut page);
    protection(report, &mut page);
    requests(report, &mut page);
    destructions(report, &mut page);
    findings(report, &mut page);
    disks(report, &mut page);
    page.head("What no audit without keys can see:");
    report
        .cannot_see
        .iter()
        .for_each(|line| page.line(format_args!("  - {line}")));
    page.head(format_args!(
        "verdict {}: {}",
        report.verdict,
        conclusion(report)
    ));
    page.0
}

fn title(report: &AuditReport, page: &mut Page) {
    let pool = report.pool.as_deref().unwrap_or("unknown");
    page.line(format_args!("Audit of vault {pool}"));
    page.line(format_args!(
        "{} log records, from {} to {} by the vault's compliance clock",
        report.log_size, report.from, report.until
    ));
    let root = report
        .log_root
        .as_deref()
        .unwrap_or("unknown, because records are missing");
    page.line(format_args!("log root {root}"));
    if report.evaluation {
        page.line("This is an evaluation vault: its keys lie beside its data, and an old copy of them undoes a destruction.");
    }
    if report.simulated_clock {
        page.line("Its clock is simulated: retention proves nothing here.");
    }
}

fn people(report: &AuditReport, page: &mut Page) {
    page.head("People");
    match report.founded {
        Some(index) => page.line(format_args!("  founded in record {index}")),
        None => page.line("  nobody: without people nothing can be destroyed lawfully"),
    }
    for person in &report.people {
        page.line(format_args!(
            "  {} ({}): {}",
            person.name, person.role, person.state
        ));
        for key in &person.keys {
            let quarantine = key.quarantine_until.as_ref();
            let quarantine = quarantine.map_or(String::new(), |until| {
                format!(", decides nothing about destruction before {until}")
            });
            page.line(format_args!(
                "    key {} {}, {}{quarantine}",
                key.kind, key.fingerprint, key.state
            ));
        }
        if !person.enrolled_by.is_empty() {
            page.line(format_args!(
                "    brought in by {}",
                person.enrolled_by.join(", ")
            ));
        }
    }
    for (name, value) in &report.policies {
        page.line(format_args!("  policy {name}: {value}"));
    }
    for witness in &report.witnesses {
        let heard = witness.heard.as_deref().unwrap_or("never");
        page.line(format_args!(
            "  witness {} ({}): {}, last heard {heard}",
            witness.name, witness.key, witness.state
        ));
    }
    for grant in &report.grants {
        page.line(format_args!(
            "  client key {} may use {} until {} (request {})",
            grant.client, grant.rights, grant.until, grant.request
        ));
    }
    for one in &report.log_keys {
        page.line(format_args!(
            "  checkpoints of {} records and more are signed by {}",
            one.from, one.key
        ));
    }
    for one in &report.openings {
        let lost = if one.surely_lost {
            "records were lost with them"
        } else {
            "records may have been lost with them"
        };
        page.line(format_args!(
            "  forced open for the {}. time at {} by request {} (record {}), without {} disks: {lost}",
            one.opening,
            one.at,
            one.request,
            one.record,
            one.left.len()
        ));
        for (first, last) in &one.missing {
            page.line(format_args!(
                "    records {first} to {last} were on no disk, and were given up"
            ));
        }
    }
}

fn protection(report: &AuditReport, page: &mut Page) {
    let (retention, holds) = (&report.retention, &report.holds);
    page.head("What is protected");
    page.line(format_args!(
        "  {} versions were stored, {} are destroyed, {} are under retention now",
        retention.versions, retention.destroyed, retention.retained
    ));
    for month in &retention.months {
        page.line(format_args!(
            "    retention ends in {}: {} in COMPLIANCE, {} in GOVERNANCE",
            month.month, month.compliance, month.governance
        ));
    }
    page.line(format_args!(
        "  {} versions are under legal hold, {} of them by a hold of their own",
        holds.versions, holds.own
    ));
    for case in &holds.cases {
        page.line(format_args!(
            "    case {}: {} versions",
            case.case, case.versions
        ));
    }
}

fn signed(voice: &VoiceLine) -> String {
    format!(
        "{} ({}) at {}, record {}",
        voice.by, voice.role, voice.at, voice.index
    )
}

fn requests(report: &AuditReport, page: &mut Page) {
    page.head("Requests");
    if report.requests.is_empty() {
        page.line("  none");
    }
    for request in &report.requests {
        request_lines(request, page);
    }
}

fn request_lines(request: &RequestLine, page: &mut Page) {
    page.line(format_args!(
        "  request {}: {}, {}",
        request.index, request.act, request.state
    ));
    page.line(format_args!("    asked for by {}", signed(&request.asked)));
    for voice in &request.approved {
        page.line(format_args!("    approved by {}", signed(voice)));
    }
    if let Some(voice) = &request.executed {
        page.line(format_args!("    executed by {}", signed(voice)));
    }
}

fn destructions(report: &AuditReport, page: &mut Page) {
    page.head("Destructions");
    if report.destructions.is_empty() {
        page.line("  none under any request");
    }
    report
        .destructions
        .iter()
        .for_each(|line| destruction(line, page));
}

fn destruction(line: &DestructionLine, page: &mut Page) {
    let lawful = if line.lawful {
        "lawful"
    } else {
        "UNLAWFUL, see below"
    };
    let early = if line.governance {
        ", early in GOVERNANCE"
    } else {
        ""
    };
    page.line(format_args!(
        "  request {}: {} of {} versions, {} bytes as signed, by cutting {}{early}: {lawful}",
        line.request, line.versions, line.listed, line.bytes, line.method
    ));
    let tombstones: Vec<String> = line.tombstones.iter().map(ToString::to_string).collect();
    page.line(format_args!(
        "    tombstones in records {}",
        tombstones.join(", ")
    ));
    match &line.destroyed {
        Some(gone) => gone_lines(gone, page),
        None if line.complete => {
            page.line("    nothing states that the keys are gone: they may still be there")
        }
        None => page.line("    not finished: its last tombstone is missing"),
    }
}

fn gone_lines(gone: &GoneLine, page: &mut Page) {
    page.line(format_args!(
        "    keys gone at {} (record {}), key state {} on disks {}",
        gone.at,
        gone.index,
        gone.key_state,
        gone.disks.join(", ")
    ));
    if !gone.absent.is_empty() {
        page.line(format_args!(
            "    disks that were away: {}",
            gone.absent.join(", ")
        ));
    }
    match gone.anchor {
        Some(anchor) => page.line(format_args!(
            "    anchor {anchor}: an older key state is not accepted"
        )),
        None => {
            page.line("    no anchor: an older copy of the key state would bring the keys back")
        }
    }
}

fn list(title: &str, items: &[FindingLine], left_out: u64, page: &mut Page) {
    if items.is_empty() {
        return;
    }
    page.head(title);
    for item in items {
        page.line(format_args!(
            "  {} in record {}: {}",
            item.name, item.index, item.what
        ));
    }
    if left_out > 0 {
        page.line(format_args!("  {left_out} more are not listed"));
    }
}

fn findings(report: &AuditReport, page: &mut Page) {
    list("UNLAWFUL", &report.unlawful, report.unlawful_left_out, page);
    let title = "UNDECIDED: records are missing that would tell";
    list(title, &report.undecided, report.undecided_left_out, page);
    let title = "BY A CLIENT KEY WITH A SPECIAL RIGHT";
    list(title, &report.by_right, report.by_right_left_out, page);
    refused(report, page);
    list(
        "Alarms: no rule is broken, and somebody should look",
        &report.alarms,
        report.alarms_left_out,
        page,
    );
}

fn refused(report: &AuditReport, page: &mut Page) {
    if report.refused.is_empty() && report.refused_left_out == 0 {
        return;
    }
    page.head("Refused: what was tried, and had no effect");
    for line in &report.refused {
        page.line(format_args!("  {}", refused_line(line)));
    }
    if report.refused_left_out > 0 {
        page.line(format_args!(
            "  {} more attempts are not listed",
            report.refused_left_out
        ));
    }
}

fn refused_line(line: &RefusedLine) -> String {
    let who = match (&line.client, &line.person, &line.key) {
        (Some(client), ..) => format!("client key {client}"),
        (None, Some(person), Some(key)) => format!("{person}, key {key}"),
        (None, Some(person), None) => format!("{person}, not signed"),
        (None, None, Some(key)) => format!("key {key}"),
        (None, None, None) => "nobody known".to_owned(),
    };
    let times = if line.count == 1 {
        format!("once, at {}", line.first)
    } else {
        format!("{} times, {} to {}", line.count, line.first, line.last)
    };
    let version = line
        .version
        .map_or(String::new(), |record| format!(", first version {record}"));
    format!(
        "{} ({}) by {who}: {times}{version}; from record {}",
        line.what, line.why, line.index
    )
}

fn disks(report: &AuditReport, page: &mut Page) {
    page.head("Disks (labels and journal; `stele-inspect verify` reads everything)");
    for disk in &report.disks {
        page.line(format_args!("  {}: {}", printable(&disk.file), disk.state));
        disk.notes
            .iter()
            .for_each(|note| page.line(format_args!("    note: {note}")));
    }
    report
        .notes
        .iter()
        .for_each(|note| page.line(format_args!("  note: {note}")));
    for damage in &report.damage {
        let segment = damage
            .segment
            .map_or(String::new(), |segment| format!(" {segment}"));
        let frame = damage
            .frame
            .map_or(String::new(), |frame| format!(" frame {frame}"));
        page.line(format_args!(
            "  damage: {}: {}{segment}{frame}: {}",
            printable(&damage.disk),
            damage.area,
            damage.what
        ));
    }
    if report.records_unknown > 0 {
        page.line(format_args!(
            "  {} records are of a kind this tool does not know",
            report.records_unknown
        ));
    }
}

fn conclusion(report: &AuditReport) -> String {
    let unlawful = report.unlawful.len() as u64 + report.unlawful_left_out;
    match (report.verdict, unlawful) {
        (0, _) if !report.by_right.is_empty() => {
            let count = report.by_right.len() as u64 + report.by_right_left_out;
            format!(
                "nothing in this log is unlawful; {count} things in it rest on special rights of client keys"
            )
        }
        (0, _) => "everything in this log is lawful".to_owned(),
        (1, 0) => {
            "the disks are damaged; nothing unlawful was found in what can be read".to_owned()
        }
        (1, count) => format!("{count} things in this log are UNLAWFUL"),
        _ => "the log cannot be judged as a whole".to_owned(),
    }
}
