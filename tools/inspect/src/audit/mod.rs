//! An auditor's own replay of the log, from record headers and clear bodies alone.
//!
//! Everything here is written from FORMAT.md and from the rules of people and destruction, not from the
//! vault's code: two readings of the same rules must come to the same end. No key is needed, and nothing that
//! only a key shows is believed. Where records are missing, what follows is *undecided*, never unlawful,
//! until two people give just those up.

pub mod finding;
pub mod heads;
pub mod holds;
pub mod lists;
pub mod matrix;
pub mod people;
pub mod policies;
pub mod refused;
pub mod report;
pub mod requests;
pub mod text;
pub mod versions;
pub mod witnesses;

mod destruction;
mod locks;
mod logkey;
mod missing;
mod opening;
mod space;
mod statements;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use stele_format::checkpoint::KeyFrom;
use stele_format::digest::Digest;
use stele_format::label::VaultFlags;
use stele_format::record::{Body, Destroyed, RecordHeader};
use stele_format::statement::{GrantRights, Name};
use stele_format::tree::Frontier;
use stele_format::units::{LogIndex, PoolId, UnixMillis};

use self::finding::{Alarm, Breach, Capped, Finding, second};
use self::heads::Heads;
use self::holds::{Cases, Unheld};
use self::lists::Lists;
use self::missing::Missing;
use self::opening::{Course, Forced};
use self::people::People;
use self::refused::Tries;
use self::report::AuditReport;
use self::requests::Request;
use self::versions::{At, Refused, Versions};
use crate::journal::Watch;
use crate::limits::WALL_SPAN_MS;
use crate::pool::{self, PoolError};
use crate::segments;
use crate::source::Source;
use crate::space::Space;
use crate::verdict::{Ledger, Report};

/// Replays the log of one vault and says what was lawful in it. What looks unfinished is read again after
/// `pause`. Labels and journal are verified as [`crate::verify`] does it; data segments are not read.
///
/// # Errors
/// [`PoolError`] when the sources are not the disks of one vault.
pub fn audit(sources: &[Box<dyn Source>], pause: Duration) -> Result<AuditReport, PoolError> {
    let mut ledger = Ledger::default();
    let Some(mut pool) = pool::open(sources, pause, &mut ledger)? else {
        return Ok(AuditReport::unread(ledger.finish()));
    };
    let mut auditor = Auditor::new(pool.id);
    let lost = segments::verify_for(&mut pool, pause, &mut ledger, &mut auditor);
    if lost {
        auditor.gap();
    }
    Ok(auditor.finish(ledger.finish()))
}

/// Special rights that two people gave to a client key.
#[derive(Debug, Clone)]
struct Granted {
    request: LogIndex,
    grant: GrantRights,
}

/// The newest record that states the keys of a request destroyed.
#[derive(Debug, Clone)]
struct Gone {
    index: LogIndex,
    at: UnixMillis,
    body: Destroyed,
}

/// What special right a client key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    HoldOff,
    GovernanceBypass,
}

/// The replay.
pub struct Auditor {
    pool: PoolId,
    evaluation: bool,
    simulated: bool,
    begun: UnixMillis,
    now: UnixMillis,
    records: u64,
    next: Option<LogIndex>,
    versions: Versions,
    lists: Lists,
    cases: Cases,
    unheld: Unheld,
    people: Option<People>,
    founded: Option<LogIndex>,
    requests: BTreeMap<LogIndex, Request>,
    /// Those that may still be open.
    open: BTreeSet<LogIndex>,
    /// Somebody or some key may have ceased to be active.
    power_lost: bool,
    /// Statements that counted, by digest of their text.
    texts: HashMap<Digest, LogIndex>,
    policies: BTreeMap<Name, Name>,
    grants: Vec<Granted>,
    /// Keys of the log, as far as its records name them.
    log_keys: Vec<KeyFrom>,
    /// Times the vault was forced open.
    openings: Vec<Forced>,
    course: Course,
    /// Executed requests to lift holds that are not stated done.
    lifts: Vec<LogIndex>,
    /// Which of their versions' own holds they were used for.
    spent: HashSet<(LogIndex, At)>,
    gone: BTreeMap<LogIndex, Gone>,
    space: Space,
    heads: Heads,
    tries: Tries,
    unlawful: Capped<Finding>,
    undecided: Capped<Finding>,
    by_right: Capped<Alarm>,
    alarms: Capped<Alarm>,
    missing: Missing,
    /// What lies before this record may have been held or kept longer by records that are lost.
    doubted: LogIndex,
    /// Types of record this tool does not know.
    unknown: u64,
}

impl Auditor {
    /// Before the first record of a pool's log.
    #[must_use]
    pub fn new(pool: PoolId) -> Self {
        Self {
            pool,
            evaluation: false,
            simulated: false,
            begun: UnixMillis::NONE,
            now: UnixMillis::NONE,
            records: 0,
            next: Some(LogIndex::ZERO),
            versions: Versions::default(),
            lists: Lists::default(),
            cases: Cases::default(),
            unheld: Unheld::default(),
            people: None,
            founded: None,
            requests: BTreeMap::new(),
            open: BTreeSet::new(),
            power_lost: false,
            texts: HashMap::new(),
            policies: BTreeMap::new(),
            grants: Vec::new(),
            log_keys: Vec::new(),
            openings: Vec::new(),
            course: Course::default(),
            lifts: Vec::new(),
            spent: HashSet::new(),
            gone: BTreeMap::new(),
            space: Space::default(),
            heads: Heads::default(),
            tries: Tries::default(),
            unlawful: Capped::default(),
            undecided: Capped::default(),
            by_right: Capped::default(),
            alarms: Capped::default(),
            missing: Missing::default(),
            doubted: LogIndex::ZERO,
            unknown: 0,
        }
    }

    /// Takes the next record.
    pub fn take(&mut self, header: &RecordHeader, body: &Body) {
        let before = self.now;
        self.check_next(header.log_index);
        self.next = header.log_index.next();
        if header.compliance_ms < before {
            self.breach(header.log_index, Breach::ClockBack(second(before)));
        }
        self.now = before.max(header.compliance_ms);
        if self.records == 0 {
            self.begun = header.compliance_ms;
        }
        self.records += 1;
        self.check_course(header, body);
        match body {
            Body::Genesis(genesis) => {
                self.evaluation = genesis.flags.contains(VaultFlags::EVALUATION);
                self.simulated = genesis.flags.contains(VaultFlags::SIMULATED_CLOCK);
            }
            Body::Commit(_) | Body::Complete(..) | Body::DeleteMarker => {
                self.take_version(header, matches!(body, Body::DeleteMarker));
            }
            Body::Retention => self.take_retention(header),
            Body::Hold => self.take_hold(header),
            Body::Release(release) => self.take_release(header, *release),
            Body::Unrelease => self.take_unrelease(header),
            Body::Rehome => self.take_rehome(header),
            Body::Clock(event) => self.take_clock(header, event, before),
            Body::Scope(piece) => {
                if let Err(breach) = self.lists.take(piece, &self.versions) {
                    self.breach(header.log_index, breach);
                }
            }
            Body::Statement(statement) => self.take_statement(header, statement),
            Body::Tombstone(tombstone) => self.take_tombstone(header, tombstone),
            Body::Destroyed(destroyed) => self.take_destroyed(header, destroyed),
            Body::Enacted(request) => self.take_enacted(header, *request),
            Body::Refused(attempts) => self.take_refused(header, attempts),
            Body::Cosigned(note) => self.take_cosigned(header, note),
            Body::LogKey(change) => self.take_log_key(header, change),
            Body::ForcedOpen(forced) => self.take_forced_open(header, forced),
            Body::Later(kind) if kind.get() & OPTIONAL == 0 => self.unknown += 1,
            _ => {}
        }
        self.take_space(header, body);
        self.note_epoch(header);
        if let Some(tree) = repeated_tree(header.log_index, body) {
            self.heads.regain(tree);
        }
        self.heads.push(header.leaf_hash());
    }

    /// Records are missing here, and none will say which: nothing that follows is sure to be unlawful.
    pub fn gap(&mut self) {
        self.missing.lose();
        self.heads.lose();
    }

    /// Records before the next one may be missing: until people give just those up, nothing that follows is sure.
    fn check_next(&mut self, index: LogIndex) {
        match self.next {
            Some(due) if due == index => {}
            Some(due) => {
                self.missing.jump(due, index);
                self.heads.lose();
            }
            None => self.gap(),
        }
    }

    /// Closes the books. `journal` is what reading labels and journal found.
    #[must_use]
    pub fn finish(mut self, journal: Report) -> AuditReport {
        self.end_course();
        AuditReport::new(&self, journal)
    }

    fn breach(&mut self, index: LogIndex, breach: Breach) {
        let finding = Finding { index, breach };
        if self.is_undecided(&finding.breach) {
            self.undecided.push(finding);
        } else {
            self.unlawful.push(finding);
        }
    }

    /// Whether records that are missing may have allowed something, or say more of it. Behind a forced opening that gave
    /// them up nothing goes by them.
    fn is_undecided(&self, breach: &Breach) -> bool {
        match breach {
            // What is compared stands here, whatever is missing.
            Breach::ForcedMissing | Breach::TombstoneDoubted(_) | Breach::MonthDoubted => false,
            // The vault keeps its key beside the log.
            Breach::LogKeyStranger => self.missing.ever(),
            _ => self.missing.any(),
        }
    }

    fn alarm(&mut self, index: LogIndex, name: &'static str, what: String) {
        self.alarms.push(Alarm { index, name, what });
    }

    /// Something that a client key with a right may do: a breach, unless the key that did it had that right then.
    /// Returns whether it had.
    fn use_right(
        &mut self,
        header: &RecordHeader,
        right: Right,
        breach: Breach,
        what: &str,
    ) -> bool {
        let (index, client) = (header.log_index, header.client.text());
        let has = |granted: &Granted| {
            let rights = granted.grant.rights;
            let given = match right {
                Right::HoldOff => rights.hold_off,
                Right::GovernanceBypass => rights.governance_bypass,
            };
            let running = granted.grant.until.start() > header.compliance_ms;
            given && running && granted.grant.client.as_str() == client
        };
        let granted = self.grants.iter().find(|granted| has(granted));
        if let Err(rest) = self.check_freeing(header.compliance_ms) {
            self.breach(index, rest);
            return false;
        }
        let by = match granted {
            Some(granted) => format!("client key {client}, request {}", granted.request),
            // Keys of an evaluation vault may have been made with such rights, which no record in the clear says.
            None if self.evaluation && client.is_empty() => "no key is named".to_owned(),
            None if self.evaluation => format!("client key {client}, granted by nobody"),
            None => {
                self.breach(index, breach);
                return false;
            }
        };
        let (name, what) = (breach.name(), format!("{what} ({by})"));
        self.by_right.push(Alarm { index, name, what });
        true
    }

    fn take_version(&mut self, header: &RecordHeader, marker: bool) {
        match self.versions.add(header, marker) {
            Ok(()) => {}
            Err(Refused::Id) => self.breach(header.log_index, Breach::VersionId),
            Err(Refused::Full) => self.unknown += 1,
        }
    }
}

impl Watch for Auditor {
    fn record(&mut self, header: &RecordHeader, body: &Body) {
        self.take(header, body);
    }

    fn gap(&mut self) {
        Self::gap(self);
    }
}

/// The tree of all records before it, if a record repeats that.
fn repeated_tree(index: LogIndex, body: &Body) -> Option<&Frontier> {
    let tree = match body {
        Body::Marker(marker) => Some(&marker.log),
        Body::Seal(note) => note.log.as_ref(),
        _ => None,
    };
    tree.filter(|tree| tree.size() == index.get())
}

const OPTIONAL: u16 = 0x8000;

/// The time that frees: the earlier of both clocks, where the wall clock counts.
fn freeing_time(header: &RecordHeader) -> UnixMillis {
    let (compliance, wall) = (header.compliance_ms, header.wall_ms);
    if compliance.get().abs_diff(wall.get()) <= WALL_SPAN_MS {
        compliance.min(wall)
    } else {
        compliance
    }
}
