//! What is said on the control socket about people, what they ask for, and what follows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clients::Rule;

/// What can be asked about people and by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DeskAsk {
    /// People, requests, holds and grants as they stand.
    People,
    /// The text of a founding.
    Found {
        /// `NAME ROLE TYPE BASE64` each.
        people: Vec<String>,
        /// `NAME VALUE` each.
        policies: Vec<String>,
    },
    /// The text that answers a request.
    Answer {
        /// `approve`, `veto` or `execute`.
        verb: String,
        /// The request.
        request: u64,
        /// Who answers.
        by: String,
    },
    /// A request, with the reason that was sealed beside it.
    Show {
        /// The request.
        request: u64,
    },
    /// The text of a review of who has access.
    Review {
        /// Who reviews.
        by: String,
    },
    /// The text of a request.
    Request {
        /// What is asked for.
        act: ActWish,
        /// Who asks.
        by: String,
        /// Why, in words; kept sealed.
        reason: String,
    },
    /// The text that puts versions under legal hold.
    Hold {
        /// Name of the case; kept sealed.
        case: String,
        /// Which versions.
        which: Which,
        /// Who.
        by: String,
    },
    /// What has expired, and what is kept and why.
    Expiry {
        /// Buckets whose noncurrent versions may go.
        noncurrent: Vec<String>,
    },
    /// Somebody signed a text.
    State {
        /// The text.
        text: String,
        /// Signatures with their armour.
        signatures: Vec<String>,
        /// The note that was drafted with it.
        note: Option<String>,
    },
    /// Goes on with what an executed request or a hold does, to the end.
    CarryOut {
        /// The request or hold.
        record: u64,
    },
    /// Whatever can be said of the destruction by a request.
    Certificate {
        /// The request.
        request: u64,
        /// As a note that the log's key signs.
        #[serde(default)]
        sign: bool,
    },
    /// The buckets, with their default retention.
    Buckets,
    /// Makes a bucket in a tier of retention.
    Create {
        /// Its name.
        bucket: String,
        /// The tier, as `hipaa` or `compliance=3y`.
        tier: String,
        /// What keys with a prefix get by default instead.
        rules: Vec<Rule>,
    },
    /// Puts a bucket into a tier of retention.
    Tier {
        /// Its name.
        bucket: String,
        /// The tier, as `hipaa` or `compliance=3y`.
        tier: String,
    },
    /// Sets the most days of retention that clients may set in a bucket.
    Bound {
        /// Its name.
        bucket: String,
        /// Days; none takes the bound away.
        days_max: Option<u32>,
    },
    /// The lifecycle rules of a bucket.
    Lifecycle {
        /// Its name.
        bucket: String,
        /// Whether they are taken away.
        remove: bool,
    },
    /// Versions of a bucket that were released.
    Released {
        /// Which.
        which: WhichReleased,
    },
    /// Takes releases back.
    Unrelease {
        /// Of which versions.
        which: WhichReleased,
    },
    /// Brings a checkpoint that witnesses cosigned.
    Cosign {
        /// The signed note.
        note: String,
    },
    /// Sets a simulated clock forward.
    Advance {
        /// By how much.
        by_ms: u64,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ActWish {
    /// An act without a list, as lines of a statement.
    Lines(Vec<String>),
    /// A lower default retention of a bucket.
    LowerDefault {
        /// Its name.
        bucket: String,
        /// `none`, `governance Nd` or `compliance Nd`.
        default: String,
    },
    /// Compliance time is set to the wall clock.
    ClockCorrect,
    /// The log gets another key, which the vault makes.
    LogKey,
    /// The holds of a case are lifted.
    ReleaseHold {
        /// Name of the case.
        case: String,
    },
    /// What has expired of a month.
    Expiry {
        /// `YYYY-MM`.
        month: String,
        /// Buckets whose noncurrent versions may go.
        noncurrent: Vec<String>,
    },
    /// Exactly these versions.
    Erase {
        /// Which.
        which: Which,
        /// GOVERNANCE retention may end early.
        governance: bool,
    },
}

/// Which versions of a bucket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its name.
    pub bucket: String,
    /// Only of this key.
    pub key: Option<String>,
    /// Only of keys with this prefix.
    pub prefix: Option<String>,
    /// Only these versions, by id.
    pub versions: Vec<String>,
}

/// Names are nothing for logs.
impl std::fmt::Debug for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Which(..)")
    }
}

/// Which released versions of a bucket.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichReleased {
    /// Its name.
    pub bucket: String,
    /// Only of this key.
    pub key: Option<String>,
    /// Only of keys with this prefix.
    pub prefix: Option<String>,
    /// Only these versions, by id.
    pub versions: Vec<String>,
    /// Only what was released at this time or later, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ReleasedAt>,
}

/// A place among the released versions of a bucket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedAt {
    /// A key, bytes.
    pub key: Vec<u8>,
    /// One of its versions; none is behind all of them.
    pub version: Option<String>,
}

/// Names are nothing for logs.
impl std::fmt::Debug for ReleasedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReleasedAt(..)")
    }
}

/// Names are nothing for logs.
impl std::fmt::Debug for WhichReleased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WhichReleased(..)")
    }
}

/// Released versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedList {
    /// By key, then newest first.
    pub versions: Vec<ReleasedStatus>,
    /// Whether there are more than are shown.
    pub more: bool,
}

/// A released version.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedStatus {
    /// Its key; bytes that are no text are shown as such.
    pub key: String,
    /// Its id.
    pub version: String,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// Its content, bytes.
    pub bytes: u64,
    /// When it was stored.
    pub stored: String,
    /// When it was released.
    pub released: String,
    /// Its retention, as `COMPLIANCE until 2026-11-29T10:00:00Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// Whether a legal hold is on.
    pub hold: bool,
}

/// Names are nothing for logs.
impl std::fmt::Debug for ReleasedStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReleasedStatus({})", self.version)
    }
}

/// Releases that were taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreleased {
    /// How many.
    pub versions: u64,
    /// Of them, how many were stored after the time that was said.
    #[serde(default)]
    pub later: u64,
    /// How many were left as they are, by why.
    #[serde(default)]
    pub left: BTreeMap<String, u64>,
    /// What else is to be known, as sentences.
    pub words: Vec<String>,
    /// Where to go on, if not all was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ReleasedAt>,
    /// Why not all was looked at, where it is no use to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// An answer about people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeskReply {
    /// People, requests, holds and grants.
    People(Box<PeopleStatus>),
    /// A text to sign.
    Drafted(Drafted),
    /// What has expired.
    Expiry(ExpiryReport),
    /// A statement counts.
    Stated(Stated),
    /// What was carried out, as sentences.
    CarriedOut(CarriedOut),
    /// The buckets.
    Buckets(Vec<BucketStatus>),
    /// Lifecycle rules.
    Lifecycle(LifecycleLines),
    /// Released versions.
    Released(ReleasedList),
    /// Releases that were taken back.
    Unreleased(Box<Unreleased>),
    /// A request.
    Request(Box<RequestShown>),
    /// A text.
    Text(String),
}

/// A request, with the reason that was sealed beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestShown {
    /// The request.
    pub request: RequestStatus,
    /// Why, in the words of whoever asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A text to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drafted {
    /// The text.
    pub text: String,
    /// What goes with it, sealed, when it is brought back.
    pub note: Option<String>,
    /// What people should know before they sign, as sentences.
    pub words: Vec<String>,
}

/// A statement counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Its record.
    pub record: u64,
    /// What it does, as a sentence.
    pub does: String,
    /// Something is to be carried out now.
    pub carry_out: bool,
}

/// What was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedOut {
    /// Whether it is complete.
    pub complete: bool,
    /// Versions whose lock or key changed.
    pub versions: u64,
    /// What happened, as sentences.
    pub words: Vec<String>,
}

/// People, requests, holds and grants as they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeopleStatus {
    /// Whether anybody was founded.
    pub founded: bool,
    /// Keys that are files count, and prove nothing.
    pub plain_keys: bool,
    /// The origin of the log.
    pub log: String,
    /// Records in it.
    pub log_records: u64,
    /// Root of its tree, hex.
    pub log_root: String,
    /// Compliance time.
    pub now: String,
    /// The time by which locks end.
    pub release_time: String,
    /// Nothing is destroyed, because the clocks do not agree.
    pub erasure_suspended: bool,
    /// Nothing is destroyed, because no witness was heard for too long.
    #[serde(default)]
    pub witness_silent: bool,
    /// Every witness there was.
    #[serde(default)]
    pub witnesses: Vec<WitnessStatus>,
    /// Every person there was.
    pub people: Vec<PersonStatus>,
    /// Policies with their values.
    pub policies: Vec<(String, String)>,
    /// Every request there was.
    pub requests: Vec<RequestStatus>,
    /// Every hold by case there was.
    pub holds: Vec<HoldStatus>,
    /// Special rights that run.
    pub grants: Vec<GrantStatus>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonStatus {
    /// Who.
    pub name: String,
    /// As what.
    pub role: String,
    /// `active`, `suspended` or `removed`.
    pub standing: String,
    /// Their keys.
    pub keys: Vec<KeyStatus>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// As `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// `active`, `suspended` or `removed`.
    pub standing: String,
    /// When it last signed.
    pub last_used: String,
    /// Until when it may not approve destruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined_until: Option<String>,
}

/// A witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// What people call it.
    pub name: String,
    /// Its key.
    pub key: String,
    /// Whether it was removed.
    pub removed: bool,
    /// The newest time it stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard: Option<String>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStatus {
    /// Its record.
    pub request: u64,
    /// Digest of its text.
    pub digest: String,
    /// Name of the act.
    pub act: String,
    /// The act in words.
    pub words: String,
    /// Where it stands.
    pub state: String,
    /// It needs more people and more time.
    pub large: bool,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub requested_at: String,
    /// Who approved, and when.
    pub approved: Vec<(String, String)>,
    /// What is missing, such as `1 approver`.
    pub missing: Vec<String>,
    /// Until when it can be approved.
    pub approve_before: String,
    /// From when on it can be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_from: Option<String>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_before: Option<String>,
    /// Who executed it, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed: Option<(String, String)>,
    /// Who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldStatus {
    /// Its record.
    pub record: u64,
    /// Name of the case, where it is known.
    pub case: Option<String>,
    /// Salted digest of the case's name.
    pub digest: String,
    /// Versions.
    pub count: u64,
    /// Who placed it.
    pub by: String,
    /// When.
    pub at: String,
    /// Whether it was released.
    pub released: bool,
}

/// Special rights that run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantStatus {
    /// Whose.
    pub client: String,
    /// Which.
    pub rights: Vec<String>,
    /// Until when.
    pub until: String,
    /// By which request.
    pub request: u64,
}

/// A bucket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketStatus {
    /// Its name.
    pub name: String,
    /// Its tier of retention, where its default is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Its default retention, as `COMPLIANCE, 731 d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Prefixes with a default of their own.
    pub rules: u64,
    /// Most days of retention that clients may set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_days: Option<u32>,
    /// Lifecycle rules by which versions are hidden or released.
    #[serde(default)]
    pub expiry_rules: u64,
}

/// Names are nothing for logs.
impl std::fmt::Debug for BucketStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BucketStatus({:?})", self.tier)
    }
}

/// Lifecycle rules as sentences.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleLines(pub Vec<String>);

/// Prefixes are names.
impl std::fmt::Debug for LifecycleLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LifecycleLines({})", self.0.len())
    }
}

/// What has expired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryReport {
    /// The time it was judged by.
    pub release_time: String,
    /// Nothing is destroyed, because the clocks do not agree.
    pub erasure_suspended: bool,
    /// By tier, month and bucket.
    pub rows: Vec<ExpiryRow>,
}

/// What has expired of a month in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiryRow {
    /// The tier that the bucket's default retention is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Month of their keys.
    pub month: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Versions that may go.
    pub expired: u64,
    /// Their content, bytes.
    pub expired_bytes: u64,
    /// What is kept: why, and how many.
    pub kept: Vec<(String, u64)>,
}
