//! What a request asks for, and its lines.

use core::fmt;

use super::lines::{Lines, put};
use super::words::{ClientKey, LogPublic, Name, Role, Second, Word};
use super::{StatementError, strictly_ascending};
use crate::checkpoint::WitnessKey;
use crate::digest::Digest;
use crate::limits::{CLOCK_HOURS_MAX, LOST_SPANS_MAX, MEMBERS_MAX};
use crate::sshsig::PublicKey;
use crate::units::{BucketId, DiskId, LogIndex, Month, Opening};

/// How keys are destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// One leaf after the other.
    Leaves,
    /// All leaves of a month at once.
    Month(Month),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaves => f.write_str("leaves"),
            Self::Month(month) => write!(f, "month {month}"),
        }
    }
}

impl Word for Cut {
    fn read(text: &str) -> Option<Self> {
        match text.strip_prefix("month ") {
            Some(month) => Month::read(month).map(Self::Month),
            None => (text == "leaves").then_some(Self::Leaves),
        }
    }
}

/// Records of the log, one after the other: in a statement `FIRST-LAST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSpan {
    /// The first.
    pub first: LogIndex,
    /// The last, not before the first.
    pub last: LogIndex,
}

impl RecordSpan {
    /// How many they are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.last.get().saturating_sub(self.first.get()) + 1
    }

    /// Whether both are in order and another span lies behind.
    fn is_before(&self, next: &Self) -> bool {
        self.last < next.first
    }
}

impl fmt::Display for RecordSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Word for RecordSpan {
    fn read(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let (first, last) = (LogIndex::read(first)?, LogIndex::read(last)?);
        (first <= last).then_some(Self { first, last })
    }
}

/// Destroys an exact list of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// Digest of the list.
    pub scope: Digest,
    /// Versions in it.
    pub count: u64,
    /// Their content, in bytes.
    pub bytes: u64,
    /// How their keys go.
    pub cut: Cut,
    /// Some are still under GOVERNANCE retention.
    pub governance: bool,
    /// When the oldest was stored.
    pub oldest: Second,
    /// When the newest was stored.
    pub newest: Second,
    /// The latest end of a retention among them.
    pub latest_retention: Option<Second>,
}

/// Lifts legal holds from an exact list of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseHold {
    /// Salted digest of the case's name.
    pub case: Digest,
    /// Digest of the list.
    pub scope: Digest,
    /// Versions in it.
    pub count: u64,
}

/// The special rights of client keys; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialRights {
    /// Switch legal holds off.
    pub hold_off: bool,
    /// Shorten or lift GOVERNANCE retention.
    pub governance_bypass: bool,
    /// Lower or clear the default retention of a bucket.
    pub lock_admin: bool,
}

impl fmt::Display for SpecialRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            (self.hold_off, "hold-off"),
            (self.governance_bypass, "governance-bypass"),
            (self.lock_admin, "lock-admin"),
        ];
        let names: Vec<&str> = named
            .iter()
            .filter_map(|(has, name)| has.then_some(*name))
            .collect();
        f.write_str(&names.join(","))
    }
}

impl Word for SpecialRights {
    fn read(text: &str) -> Option<Self> {
        let has = |name| text.split(',').any(|word| word == name);
        let rights = Self {
            hold_off: has("hold-off"),
            governance_bypass: has("governance-bypass"),
            lock_admin: has("lock-admin"),
        };
        (!text.is_empty() && rights.to_string() == text).then_some(rights)
    }
}

/// Gives a client key special rights for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRights {
    /// Whose.
    pub client: ClientKey,
    /// Which.
    pub rights: SpecialRights,
    /// Until when.
    pub until: Second,
}

/// How firmly a default retention holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultMode {
    /// GOVERNANCE.
    Governance,
    /// COMPLIANCE.
    Compliance,
}

/// The length of a default retention, as S3 counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultPeriod {
    /// Days.
    Days(u32),
    /// Years.
    Years(u32),
}

/// The default retention a bucket is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketDefault {
    /// None.
    None,
    /// This one.
    Period(DefaultMode, DefaultPeriod),
}

impl fmt::Display for BucketDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Period(mode, period) = self else {
            return f.write_str("none");
        };
        let mode = match mode {
            DefaultMode::Governance => "governance",
            DefaultMode::Compliance => "compliance",
        };
        match period {
            DefaultPeriod::Days(days) => write!(f, "{mode} {days}d"),
            DefaultPeriod::Years(years) => write!(f, "{mode} {years}y"),
        }
    }
}

impl Word for BucketDefault {
    fn read(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        let (mode, period) = text.split_once(' ')?;
        let mode = match mode {
            "governance" => DefaultMode::Governance,
            "compliance" => DefaultMode::Compliance,
            _ => return None,
        };
        let number = |text| u32::try_from(u64::read(text)?).ok();
        let period = match period.strip_suffix('d') {
            Some(days) => DefaultPeriod::Days(number(days)?),
            None => DefaultPeriod::Years(number(period.strip_suffix('y')?)?),
        };
        Some(Self::Period(mode, period))
    }
}

/// Names that stand for acts of later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaterAct {
    /// About cartridges.
    Tape,
    /// About the box's software.
    Firmware,
    /// About copies elsewhere.
    Forward,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Destroy versions.
    Erase(Erase),
    /// Lift legal holds.
    ReleaseHold(ReleaseHold),
    /// Give a client key special rights.
    Grant(GrantRights),
    /// Lower the default retention of a bucket.
    LowerDefault {
        /// Which bucket.
        bucket: BucketId,
        /// Its new default.
        default: BucketDefault,
    },
    /// A new person with their first key.
    Enrol {
        /// Who.
        person: Name,
        /// As what.
        role: Role,
        /// With which key.
        key: PublicKey,
    },
    /// One more key of a person.
    AddKey {
        /// Who.
        person: Name,
        /// Which key.
        key: PublicKey,
    },
    /// One key less.
    RemoveKey {
        /// Who.
        person: Name,
        /// Which key.
        key: PublicKey,
    },
    /// A person may do nothing until resumed.
    Suspend {
        /// Who.
        person: Name,
    },
    /// A person leaves for ever.
    Remove {
        /// Who.
        person: Name,
    },
    /// A suspended person, and their suspended keys, may act again.
    Resume {
        /// Who.
        person: Name,
    },
    /// A policy gets a value.
    Policy {
        /// Which.
        name: Name,
        /// Its value.
        value: Name,
    },
    /// A witness is to cosign checkpoints, and destruction waits where it is silent.
    Witness {
        /// What people call it.
        name: Name,
        /// Its key.
        key: WitnessKey,
    },
    /// A witness counts no more.
    RemoveWitness {
        /// Which.
        name: Name,
    },
    /// Compliance time is set forward, but not beyond the wall clock.
    Clock {
        /// By how many hours at most; time goes on while the request rests, so that no time of day can be named.
        by_hours: u64,
    },
    /// The vault is opened with the disks that are here and goes on after what they have of its log, which must be
    /// the head that the request names.
    ForceOpen {
        /// Which forced opening of the vault it is, from 1: a number that was used opens nothing.
        opening: Opening,
        /// Records beyond the head that the vault knows of and that are given up: once more are known, it opens nothing.
        lost: u64,
        /// Records before the head that are on no disk and are given up, ascending, at most `LOST_SPANS_MAX` spans.
        missing: Vec<RecordSpan>,
        /// The disks that are there, ascending.
        disks: Vec<DiskId>,
    },
    /// A disk that this vault let go of may be wiped and written anew.
    Reinitialise {
        /// Which.
        disk: DiskId,
        /// Digest of its label: the disk that took its place may have its identity.
        label: Digest,
    },
    /// Another key signs the log.
    LogKey {
        /// The public key that is to.
        key: LogPublic,
    },
    /// A name without a meaning in this version.
    Later(LaterAct),
}

impl Act {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Erase(_) => "erase",
            Self::ReleaseHold(_) => "release-hold",
            Self::Grant(_) => "grant",
            Self::LowerDefault { .. } => "lower-default",
            Self::Enrol { .. } => "enrol",
            Self::AddKey { .. } => "add-key",
            Self::RemoveKey { .. } => "remove-key",
            Self::Suspend { .. } => "suspend",
            Self::Remove { .. } => "remove",
            Self::Resume { .. } => "resume",
            Self::Policy { .. } => "policy",
            Self::Witness { .. } => "witness",
            Self::RemoveWitness { .. } => "remove-witness",
            Self::Clock { .. } => "clock",
            Self::ForceOpen { .. } => "force-open",
            Self::Reinitialise { .. } => "reinitialise",
            Self::LogKey { .. } => "log-key",
            Self::Later(LaterAct::Tape) => "tape",
            Self::Later(LaterAct::Firmware) => "firmware",
            Self::Later(LaterAct::Forward) => "forward",
        }
    }

    pub(super) fn check(&self) -> Result<(), StatementError> {
        match self {
            Self::Grant(grant) if grant.rights.to_string().is_empty() => {
                Err(StatementError::Value("rights"))
            }
            Self::Clock { by_hours } if !(1..=CLOCK_HOURS_MAX).contains(by_hours) => {
                Err(StatementError::Value("by-hours"))
            }
            Self::ForceOpen { missing, .. }
                if missing.len() > LOST_SPANS_MAX
                    || !missing.is_sorted_by(RecordSpan::is_before) =>
            {
                Err(StatementError::Value("missing"))
            }
            Self::ForceOpen { disks, .. }
                if disks.is_empty() || disks.len() > MEMBERS_MAX || !strictly_ascending(disks) =>
            {
                Err(StatementError::Value("disk"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn put(&self, out: &mut String) {
        put(out, "act", self.name());
        match self {
            Self::Erase(erase) => put_erase(out, erase),
            Self::ReleaseHold(release) => {
                put(out, "case", release.case);
                put(out, "scope", release.scope);
                put(out, "count", release.count);
            }
            Self::Grant(grant) => {
                put(out, "client", &grant.client);
                put(out, "rights", grant.rights);
                put(out, "until", grant.until);
            }
            Self::LowerDefault { bucket, default } => {
                put(out, "bucket", bucket);
                put(out, "default", default);
            }
            Self::Enrol { person, role, key } => {
                put(out, "person", person);
                put(out, "role", role);
                put(out, "key", key);
            }
            Self::AddKey { person, key } | Self::RemoveKey { person, key } => {
                put(out, "person", person);
                put(out, "key", key);
            }
            Self::Suspend { person } | Self::Remove { person } | Self::Resume { person } => {
                put(out, "person", person);
            }
            Self::Policy { name, value } => put(out, "set", format_args!("{name} {value}")),
            Self::Witness { name, key } => {
                put(out, "name", name);
                put(out, "key", key);
            }
            Self::RemoveWitness { name } => put(out, "name", name),
            Self::Clock { by_hours } => put(out, "by-hours", by_hours),
            Self::ForceOpen {
                opening,
                lost,
                missing,
                disks,
            } => {
                put(out, "opening", opening);
                put(out, "lost", lost);
                missing.iter().for_each(|span| put(out, "missing", span));
                disks.iter().for_each(|disk| put(out, "disk", disk));
            }
            Self::Reinitialise { disk, label } => {
                put(out, "disk", disk);
                put(out, "label", label);
            }
            Self::LogKey { key } => put(out, "key", key),
            Self::Later(_) => {}
        }
    }

    pub(super) fn read(lines: &mut Lines<'_>) -> Result<Self, StatementError> {
        let name = lines.value("act")?;
        Ok(match name {
            "erase" => Self::Erase(read_erase(lines)?),
            "release-hold" => Self::ReleaseHold(ReleaseHold {
                case: lines.word("case")?,
                scope: lines.word("scope")?,
                count: lines.word("count")?,
            }),
            "grant" => Self::Grant(GrantRights {
                client: lines.word("client")?,
                rights: lines.word("rights")?,
                until: lines.word("until")?,
            }),
            "lower-default" => Self::LowerDefault {
                bucket: lines.word("bucket")?,
                default: lines.word("default")?,
            },
            "policy" => {
                let (name, value) = read_setting(lines, "set")?;
                Self::Policy { name, value }
            }
            "witness" => Self::Witness {
                name: lines.word("name")?,
                key: lines.word("key")?,
            },
            "remove-witness" => Self::RemoveWitness {
                name: lines.word("name")?,
            },
            "clock" => Self::Clock {
                by_hours: lines.word("by-hours")?,
            },
            "force-open" => Self::ForceOpen {
                opening: lines.word("opening")?,
                lost: lines.word("lost")?,
                missing: lines.words("missing")?,
                disks: lines.words("disk")?,
            },
            "reinitialise" => Self::Reinitialise {
                disk: lines.word("disk")?,
                label: lines.word("label")?,
            },
            "log-key" => Self::LogKey {
                key: lines.word("key")?,
            },
            "tape" => Self::Later(LaterAct::Tape),
            "firmware" => Self::Later(LaterAct::Firmware),
            "forward" => Self::Later(LaterAct::Forward),
            _ => return Self::read_people(name, lines),
        })
    }

    /// The acts about people.
    fn read_people(name: &str, lines: &mut Lines<'_>) -> Result<Self, StatementError> {
        if ![
            "enrol",
            "add-key",
            "remove-key",
            "suspend",
            "remove",
            "resume",
        ]
        .contains(&name)
        {
            return Err(StatementError::Value("act"));
        }
        let person = lines.word("person")?;
        Ok(match name {
            "enrol" => Self::Enrol {
                person,
                role: lines.word("role")?,
                key: lines.word("key")?,
            },
            "add-key" => Self::AddKey {
                person,
                key: lines.word("key")?,
            },
            "remove-key" => Self::RemoveKey {
                person,
                key: lines.word("key")?,
            },
            "suspend" => Self::Suspend { person },
            "remove" => Self::Remove { person },
            _ => Self::Resume { person },
        })
    }
}

/// A policy's name and value.
pub(super) fn read_setting(
    lines: &mut Lines<'_>,
    line: &'static str,
) -> Result<(Name, Name), StatementError> {
    let value = lines.value(line)?;
    let (name, value) = value.split_once(' ').ok_or(StatementError::Value(line))?;
    match (Name::read(name), Name::read(value)) {
        (Some(name), Some(value)) => Ok((name, value)),
        _ => Err(StatementError::Value(line)),
    }
}

fn put_erase(out: &mut String, erase: &Erase) {
    put(out, "scope", erase.scope);
    put(out, "count", erase.count);
    put(out, "bytes", erase.bytes);
    put(out, "cut", erase.cut);
    put(out, "governance", yes_or_no(erase.governance));
    put(out, "oldest", erase.oldest);
    put(out, "newest", erase.newest);
    match erase.latest_retention {
        Some(latest) => put(out, "latest-retention", latest),
        None => put(out, "latest-retention", "none"),
    }
}

fn read_erase(lines: &mut Lines<'_>) -> Result<Erase, StatementError> {
    Ok(Erase {
        scope: lines.word("scope")?,
        count: lines.word("count")?,
        bytes: lines.word("bytes")?,
        cut: lines.word("cut")?,
        governance: match lines.value("governance")? {
            "yes" => true,
            "no" => false,
            _ => return Err(StatementError::Value("governance")),
        },
        oldest: lines.word("oldest")?,
        newest: lines.word("newest")?,
        latest_retention: match lines.value("latest-retention")? {
            "none" => None,
            time => Some(Second::read(time).ok_or(StatementError::Value("latest-retention"))?),
        },
    })
}

const fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
