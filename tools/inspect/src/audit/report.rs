//! What an audit reports, in the shape of its JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use stele_format::record::{LockMode, LostSpan};
use stele_format::sshsig::PublicKey;
use stele_format::statement::Act;
use stele_format::units::{LogIndex, Month, UnixMillis};

use super::Auditor;
use super::finding::{Alarm, Finding, second};
use super::opening::Forced;
use super::people::Person;
use super::refused::RefusedLine;
use super::requests::{Request, State, Voice};
use crate::verdict::{Report, Verdict};

/// What no auditor without keys can see; part of every report, so that nobody takes silence for proof.
pub const CANNOT_SEE: [&str; 6] = [
    "a key that was cut without a tombstone: it shows only when its version is read",
    "who had a client key in hand, and what rights the keys of an evaluation vault were made with",
    "names, contents and sizes of objects, and whether a destroyed version was current",
    "default retention of buckets, which is sealed: a default that was lowered without approval",
    "whether a clock ran too fast while the vault ran; only that it never went back",
    "another log shown to somebody else, or one cut short: compare size and root with those written down earlier",
];

/// Everything an audit found.
#[derive(Debug, Serialize)]
pub struct AuditReport {
    /// 0 lawful, 1 unlawful or damaged, 2 cannot be judged.
    pub verdict: u8,
    /// The vault.
    pub pool: Option<String>,
    /// Keys lie beside the data.
    pub evaluation: bool,
    /// Its clock can be set.
    pub simulated_clock: bool,
    /// Records of the log.
    pub log_size: u64,
    /// Root of its tree; none if records are missing.
    pub log_root: Option<String>,
    /// Compliance time of the first record.
    pub from: String,
    /// Compliance time of the last record, which is the *now* of this report.
    pub until: String,
    /// Record of the founding.
    pub founded: Option<u64>,
    /// People.
    pub people: Vec<PersonLine>,
    /// Policies.
    pub policies: BTreeMap<String, String>,
    /// Witnesses.
    pub witnesses: Vec<WitnessLine>,
    /// Special rights that are in force.
    pub grants: Vec<GrantLine>,
    /// Keys of the log that its records name; the number is that of records from which on a key counts.
    pub log_keys: Vec<LogKeyLine>,
    /// Times the vault was forced open; from each on the log has another name, and may have lost records before.
    pub openings: Vec<OpeningLine>,
    /// Legal holds.
    pub holds: Holds,
    /// Versions and their retention.
    pub retention: Retention,
    /// Requests and what became of them.
    pub requests: Vec<RequestLine>,
    /// Destructions, lawful or not.
    pub destructions: Vec<DestructionLine>,
    /// What breaks a rule.
    pub unlawful: Vec<FindingLine>,
    /// How many more.
    pub unlawful_left_out: u64,
    /// What may break one, and records are missing that would tell.
    pub undecided: Vec<FindingLine>,
    /// How many more.
    pub undecided_left_out: u64,
    /// What a client key with a special right may have done.
    pub by_right: Vec<FindingLine>,
    /// How many more.
    pub by_right_left_out: u64,
    /// What was tried and refused.
    pub refused: Vec<RefusedLine>,
    /// Attempts beside those.
    pub refused_left_out: u64,
    /// What somebody should look at.
    pub alarms: Vec<FindingLine>,
    /// How many more.
    pub alarms_left_out: u64,
    /// Records are missing that nobody gave up.
    pub records_missing: bool,
    /// Records of a kind this tool does not know.
    pub records_unknown: u64,
    /// Disks.
    pub disks: Vec<DiskLine>,
    /// Damage of labels and journal.
    pub damage: Vec<DamageLine>,
    /// What concerns no single disk.
    pub notes: Vec<String>,
    /// What no audit can see.
    pub cannot_see: [&'static str; 6],
}

/// A person.
#[derive(Debug, Serialize)]
pub struct PersonLine {
    /// Name.
    pub name: String,
    /// Role.
    pub role: &'static str,
    /// `active`, `suspended` or `removed`.
    pub state: &'static str,
    /// Keys.
    pub keys: Vec<KeyLine>,
    /// Who brought them in; nobody at the founding.
    pub enrolled_by: Vec<String>,
}

/// A key.
#[derive(Debug, Serialize)]
pub struct KeyLine {
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `active`, `suspended` or `removed`.
    pub state: &'static str,
    /// When it was enrolled or resumed; none at the founding.
    pub enrolled: Option<String>,
    /// Who brought it in or resumed it.
    pub enrolled_by: Vec<String>,
    /// Until when it decides nothing about destruction.
    pub quarantine_until: Option<String>,
}

/// A witness.
#[derive(Debug, Serialize)]
pub struct WitnessLine {
    /// Its name among the people.
    pub name: String,
    /// Its key.
    pub key: String,
    /// `listened-to` or `removed`.
    pub state: &'static str,
    /// The time in its newest cosignature.
    pub heard: Option<String>,
}

/// A key of the log.
#[derive(Debug, Serialize)]
pub struct LogKeyLine {
    /// The key.
    pub key: String,
    /// From how many records on it counts.
    pub from: u64,
}

/// A forced opening.
#[derive(Debug, Serialize)]
pub struct OpeningLine {
    /// Its number.
    pub opening: u32,
    /// Its record; records behind it that were known before are lost.
    pub record: u64,
    /// When.
    pub at: String,
    /// The request.
    pub request: u64,
    /// Disks that were left behind.
    pub left: Vec<String>,
    /// Whether frames were known durable that no disk had.
    pub surely_lost: bool,
    /// Spans of records before it that no disk had: first and last.
    pub missing: Vec<(u64, u64)>,
}

/// Special rights.
#[derive(Debug, Serialize)]
pub struct GrantLine {
    /// The request.
    pub request: u64,
    /// The client key.
    pub client: String,
    /// The rights.
    pub rights: String,
    /// Until when.
    pub until: String,
}

/// Legal holds.
#[derive(Debug, Serialize)]
pub struct Holds {
    /// Versions under any hold.
    pub versions: u64,
    /// Versions whose own hold is on.
    pub own: u64,
    /// Cases.
    pub cases: Vec<CaseLine>,
}

/// A case.
#[derive(Debug, Serialize)]
pub struct CaseLine {
    /// Salted digest of its name.
    pub case: String,
    /// Digest of the list it holds.
    pub scope: String,
    /// Versions it holds.
    pub versions: u64,
}

/// Versions and their retention.
#[derive(Debug, Serialize)]
pub struct Retention {
    /// Versions that ever were.
    pub versions: u64,
    /// Versions that are destroyed.
    pub destroyed: u64,
    /// Versions whose retention is in force.
    pub retained: u64,
    /// By the month it ends in.
    pub months: Vec<MonthLine>,
}

/// A month.
#[derive(Debug, Serialize)]
pub struct MonthLine {
    /// The month.
    pub month: String,
    /// Versions in GOVERNANCE.
    pub governance: u64,
    /// Versions in COMPLIANCE.
    pub compliance: u64,
}

/// Who signed something.
#[derive(Debug, Serialize)]
pub struct VoiceLine {
    /// Who.
    pub by: String,
    /// In which role.
    pub role: &'static str,
    /// With which key.
    pub key: String,
    /// When.
    pub at: String,
    /// In which record.
    pub index: u64,
}

/// A request.
#[derive(Debug, Serialize)]
pub struct RequestLine {
    /// Its record.
    pub index: u64,
    /// Name of the act.
    pub act: &'static str,
    /// `requested`, `cooling`, `executable`, `executed`, `vetoed`, `dead` or `lapsed`.
    pub state: &'static str,
    /// Who asked.
    pub asked: VoiceLine,
    /// Who approved.
    pub approved: Vec<VoiceLine>,
    /// Who executed it.
    pub executed: Option<VoiceLine>,
}

/// A destruction.
#[derive(Debug, Serialize)]
pub struct DestructionLine {
    /// Record of the request.
    pub request: u64,
    /// Nothing about it broke a rule.
    pub lawful: bool,
    /// Versions on the approved list.
    pub listed: u64,
    /// Versions destroyed.
    pub versions: u64,
    /// Bytes of content, as signed.
    pub bytes: u64,
    /// `leaves`, or the month whose keys were all cut.
    pub method: String,
    /// Early, in GOVERNANCE.
    pub governance: bool,
    /// Its tombstones.
    pub tombstones: Vec<u64>,
    /// The last tombstone is there.
    pub complete: bool,
    /// Keys stated gone.
    pub destroyed: Option<GoneLine>,
}

/// Keys that are gone.
#[derive(Debug, Serialize)]
pub struct GoneLine {
    /// The record that states it.
    pub index: u64,
    /// When.
    pub at: String,
    /// Key state without the keys.
    pub key_state: u64,
    /// Disks that have it.
    pub disks: Vec<String>,
    /// Disks that were away.
    pub absent: Vec<String>,
    /// Anchor.
    pub anchor: Option<u64>,
}

/// Something found.
#[derive(Debug, Serialize)]
pub struct FindingLine {
    /// Its name, which does not change.
    pub name: &'static str,
    /// The record.
    pub index: u64,
    /// For people.
    pub what: String,
}

/// A disk.
#[derive(Debug, Serialize)]
pub struct DiskLine {
    /// File or device.
    pub file: String,
    /// Id.
    pub id: Option<String>,
    /// State, as `verify` says it.
    pub state: &'static str,
    /// Notes.
    pub notes: Vec<String>,
}

/// A damage.
#[derive(Debug, Serialize)]
pub struct DamageLine {
    /// Disk.
    pub disk: String,
    /// Area.
    pub area: &'static str,
    /// Segment.
    pub segment: Option<u64>,
    /// Frame.
    pub frame: Option<u32>,
    /// What is wrong.
    pub what: String,
}

fn time(at: UnixMillis) -> String {
    second(at).to_string()
}

fn voice(voice: &Voice) -> VoiceLine {
    VoiceLine {
        by: voice.name.to_string(),
        role: voice.role.name(),
        key: voice.key.fingerprint(),
        at: time(voice.at),
        index: voice.index.get(),
    }
}

fn found(finding: &Finding) -> FindingLine {
    FindingLine {
        name: finding.breach.name(),
        index: finding.index.get(),
        what: finding.breach.to_string(),
    }
}

fn alarm(alarm: &Alarm) -> FindingLine {
    FindingLine {
        name: alarm.name,
        index: alarm.index.get(),
        what: alarm.what.clone(),
    }
}

impl AuditReport {
    /// What remains to say when no disk can be read.
    #[must_use]
    pub fn unread(journal: Report) -> Self {
        let nobody = Auditor::new(stele_format::units::PoolId::from_bytes([0; 16]));
        Self::new(&nobody, journal)
    }

    pub(super) fn new(auditor: &Auditor, journal: Report) -> Self {
        let verdict = verdict(auditor, &journal);
        Self {
            verdict: verdict.code(),
            evaluation: auditor.evaluation,
            simulated_clock: auditor.simulated,
            log_size: journal.totals.log_size,
            from: time(auditor.begun),
            until: time(auditor.now),
            founded: auditor.founded.map(LogIndex::get),
            people: people(auditor),
            policies: policies(auditor),
            witnesses: witnesses(auditor),
            grants: grants(auditor),
            log_keys: log_keys(auditor),
            openings: auditor.openings.iter().map(opening).collect(),
            holds: holds(auditor),
            retention: retention(auditor),
            requests: requests(auditor),
            destructions: destructions(auditor),
            unlawful: auditor.unlawful.items.iter().map(found).collect(),
            unlawful_left_out: auditor.unlawful.left_out,
            undecided: auditor.undecided.items.iter().map(found).collect(),
            undecided_left_out: auditor.undecided.left_out,
            by_right: auditor.by_right.items.iter().map(alarm).collect(),
            by_right_left_out: auditor.by_right.left_out,
            refused: auditor.tries.lines(),
            refused_left_out: auditor.tries.left_out(),
            alarms: auditor.alarms.items.iter().map(alarm).collect(),
            alarms_left_out: auditor.alarms.left_out,
            records_missing: auditor.missing.any(),
            records_unknown: auditor.unknown,
            disks: disks(&journal),
            damage: damage(&journal),
            pool: journal.totals.pool,
            log_root: journal.totals.log_root,
            notes: journal.notes,
            cannot_see: CANNOT_SEE,
        }
    }

    /// The report as one line of JSON, ending in a newline.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out =
            serde_json::to_string(self).expect("text, numbers and lists always serialize");
        out.push('\n');
        out
    }
}

fn verdict(auditor: &Auditor, journal: &Report) -> Verdict {
    let missing = auditor.missing.any() || !auditor.undecided.is_empty();
    let untold = missing || auditor.unknown > 0 || journal.verdict == Verdict::CannotJudge;
    if !auditor.unlawful.is_empty() || journal.verdict == Verdict::Damage {
        Verdict::Damage
    } else if untold {
        Verdict::CannotJudge
    } else {
        Verdict::Clean
    }
}

fn people(auditor: &Auditor) -> Vec<PersonLine> {
    let all = auditor.people.iter().flat_map(|people| &people.all);
    let line = |(name, person): (&_, &Person)| PersonLine {
        name: format!("{name}"),
        role: person.role.name(),
        state: person.standing.word(),
        keys: keys(person, auditor.now),
        enrolled_by: person.enrolled_by.iter().map(ToString::to_string).collect(),
    };
    all.map(|(name, person): (&stele_format::statement::Name, &Person)| line((name, person)))
        .collect()
}

fn keys(person: &Person, now: UnixMillis) -> Vec<KeyLine> {
    let line = |key: &super::people::Key| KeyLine {
        fingerprint: PublicKey::fingerprint(&key.key),
        kind: key.key.key_type().name(),
        state: key.standing.word(),
        enrolled: key.enrolled.map(time),
        enrolled_by: key.enrolled_by.iter().map(ToString::to_string).collect(),
        quarantine_until: key.quarantine(now).map(time),
    };
    person.keys.iter().map(line).collect()
}

fn policies(auditor: &Auditor) -> BTreeMap<String, String> {
    let all = auditor.policies.iter();
    all.map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn witnesses(auditor: &Auditor) -> Vec<WitnessLine> {
    let people = auditor.people.iter();
    let all = people.flat_map(|people| &people.witnesses.all);
    all.map(|witness| WitnessLine {
        name: witness.name.to_string(),
        key: witness.key.to_string(),
        state: if witness.removed {
            "removed"
        } else {
            "listened-to"
        },
        heard: witness.stated.map(time),
    })
    .collect()
}

fn grants(auditor: &Auditor) -> Vec<GrantLine> {
    let grants = auditor.grants.iter();
    let grants = grants.filter(|granted| granted.grant.until.start() > auditor.now);
    let line = |granted: &super::Granted| GrantLine {
        request: granted.request.get(),
        client: granted.grant.client.to_string(),
        rights: granted.grant.rights.to_string(),
        until: granted.grant.until.to_string(),
    };
    grants.map(line).collect()
}

fn log_keys(auditor: &Auditor) -> Vec<LogKeyLine> {
    let keys = auditor.log_keys.iter();
    let line = |one: &stele_format::checkpoint::KeyFrom| LogKeyLine {
        key: one.key.to_string(),
        from: one.from,
    };
    keys.map(line).collect()
}

fn opening(forced: &Forced) -> OpeningLine {
    let body = &forced.body;
    OpeningLine {
        opening: body.opening.get(),
        record: forced.index.get(),
        at: second(forced.at).to_string(),
        request: body.request.get(),
        left: body.left.iter().map(ToString::to_string).collect(),
        surely_lost: body.durable > body.last,
        missing: body.lost.iter().map(missing).collect(),
    }
}

fn missing(span: &LostSpan) -> (u64, u64) {
    let records = span.records();
    (records.first.get(), records.last.get())
}

fn holds(auditor: &Auditor) -> Holds {
    let (mut versions, mut own) = (0, 0);
    for lock in auditor.versions.locks() {
        versions += u64::from(lock.hold || lock.case);
        own += u64::from(lock.hold);
    }
    let cases = auditor.cases.counts();
    let cases = cases.map(|(case, versions)| CaseLine {
        case: case.case.to_string(),
        scope: case.scope.to_string(),
        versions,
    });
    Holds {
        versions,
        own,
        cases: cases.collect(),
    }
}

fn retention(auditor: &Auditor) -> Retention {
    let mut months: BTreeMap<Option<Month>, (u64, u64)> = BTreeMap::new();
    let mut retained = 0;
    for lock in auditor
        .versions
        .locks()
        .filter(|lock| lock.is_retained(auditor.now))
    {
        retained += 1;
        let count = months.entry(Month::of(lock.until)).or_default();
        match lock.mode {
            LockMode::Compliance => count.1 += 1,
            LockMode::Governance | LockMode::None => count.0 += 1,
        }
    }
    let line = |(month, (governance, compliance)): (Option<Month>, (u64, u64))| MonthLine {
        month: month.map_or_else(|| "later".to_owned(), |month| month.to_string()),
        governance,
        compliance,
    };
    Retention {
        versions: auditor.versions.count(),
        destroyed: auditor.versions.count() - auditor.versions.living(),
        retained,
        months: months.into_iter().map(line).collect(),
    }
}

fn requests(auditor: &Auditor) -> Vec<RequestLine> {
    let line = |(index, request): (&LogIndex, &Request)| RequestLine {
        index: index.get(),
        act: request.act.name(),
        state: request.word(auditor.now),
        asked: voice(&request.by),
        approved: request.approvals.iter().map(voice).collect(),
        executed: request.executed.as_ref().map(voice),
    };
    auditor.requests.iter().map(line).collect()
}

fn destructions(auditor: &Auditor) -> Vec<DestructionLine> {
    let all = auditor.requests.iter();
    all.filter_map(|(index, request)| destruction(auditor, *index, request))
        .collect()
}

fn destruction(auditor: &Auditor, index: LogIndex, request: &Request) -> Option<DestructionLine> {
    let Act::Erase(erase) = &request.act else {
        return None;
    };
    let toll = &request.toll;
    if toll.tombstones.is_empty() {
        return None;
    }
    let gone = auditor.gone.get(&index).map(|gone| GoneLine {
        index: gone.index.get(),
        at: time(gone.at),
        key_state: gone.body.generation.get(),
        disks: gone.body.disks.iter().map(ToString::to_string).collect(),
        absent: gone.body.absent.iter().map(ToString::to_string).collect(),
        anchor: gone.body.anchor,
    });
    Some(DestructionLine {
        request: index.get(),
        lawful: !toll.unlawful && request.state == State::Executed,
        listed: erase.count,
        versions: toll.versions,
        bytes: erase.bytes,
        method: toll
            .month
            .map_or_else(|| "leaves".to_owned(), |month| format!("month {month}")),
        governance: erase.governance,
        tombstones: toll.tombstones.iter().map(|index| index.get()).collect(),
        complete: toll.complete,
        destroyed: gone,
    })
}

fn disks(journal: &Report) -> Vec<DiskLine> {
    let disks = journal.disks.iter();
    disks
        .map(|disk| DiskLine {
            file: disk.file.clone(),
            id: disk.id.clone(),
            state: disk.state.word(),
            notes: disk.notes.clone(),
        })
        .collect()
}

fn damage(journal: &Report) -> Vec<DamageLine> {
    let damage = journal.damage.iter();
    damage
        .map(|damage| DamageLine {
            disk: journal.disks[damage.disk].file.clone(),
            area: damage.area.word(),
            segment: damage.segment.map(|segment| segment.get()),
            frame: damage.frame.map(|frame| frame.get()),
            what: damage.what.clone(),
        })
        .collect()
}
