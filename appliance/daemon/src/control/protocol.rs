//! The words spoken on the control socket: one line of JSON each way, then the connection ends.
//!
//! These types belong to the wire. They are not the engine's own, so that either can change alone.

use serde::{Deserialize, Serialize};

use super::clients::{ClientAsk, ClientReply, RuleAsk, RuleReply};
use super::desk::{DeskAsk, DeskReply};
use super::tls::{TlsAsk, TlsStatus};
use super::wipe::{WipeAsk, WipeReply};

/// Grows when an old client could misunderstand a new server or the other way round.
pub const PROTOCOL: u32 = 1;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// `PROTOCOL` of the asker.
    pub protocol: u32,
    /// What is asked.
    pub ask: Ask,
    /// Who answers for it, where somebody must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

/// Somebody answers for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// A statement of kind `session`, which names the challenge and the digest of the question.
    pub text: String,
    /// The signature over it, with its armour.
    pub signature: String,
}

/// What a session is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The origin of the log.
    pub log: String,
    /// The nonce, hex; good once, for five minutes.
    pub nonce: String,
    /// The time, as it is to be stated.
    pub at: String,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// How the vault is.
    Status,
    /// To let a disk join.
    Join(Join),
    /// To move everything off the disk of this number, from 1.
    Drain(u16),
    /// About disks that are wiped.
    Wipe(WipeAsk),
    /// About clients.
    Client(ClientAsk),
    /// About default retention by prefix.
    Rule(RuleAsk),
    /// About TLS.
    Tls(TlsAsk),
    /// A challenge, to answer for the next question.
    Challenge,
    /// About people and what they ask for.
    Desk(DeskAsk),
}

/// A disk that is to join. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Join {
    /// Put this disk in the place of a lost one.
    Replace {
        /// Number of the lost disk, from 1.
        number: u16,
        /// The disk.
        path: String,
        /// Size of the file to make where there is none.
        bytes: Option<u64>,
    },
    /// Fill the disk at its known path with what it lacks.
    Resync {
        /// Its number, from 1.
        number: u16,
    },
    /// Take a further disk.
    Add {
        /// The disk.
        path: String,
        /// Size of the file to make where there is none.
        bytes: Option<u64>,
    },
}

/// A disk that joins: it is being filled from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its number in the vault, from 1.
    pub number: u16,
    /// Its file or device.
    pub file: String,
}

/// A disk that leaves: what it holds is being moved from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Its number in the vault, from 1.
    pub number: u16,
    /// Its file or device.
    pub file: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// How the vault is.
    Status(Box<Status>),
    /// The disk joins.
    Joined(Joined),
    /// The disk is being drained.
    Draining(Draining),
    /// The disk may be wiped, or is.
    Wipe(WipeReply),
    /// About clients.
    Client(ClientReply),
    /// The rules of a bucket.
    Rules(RuleReply),
    /// How TLS is spoken.
    Tls(TlsStatus),
    /// A challenge: the question is answered when somebody answers for it.
    Challenge(Challenge),
    /// About people.
    Desk(DeskReply),
    /// Why there is no answer, as a sentence.
    Refused(String),
}

/// What holds the outermost key of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysStatus {
    /// `key file` or `tpm`.
    pub provider: String,
    /// What keeps old copies of the key state shut: `none` or `tpm`.
    pub anchor: String,
}

/// How a vault is, served or not. What nobody knows while nothing serves is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether a process serves the vault.
    pub serving: bool,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// Version of the program that answers.
    pub version: String,
    /// Where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The vault's directory.
    pub directory: String,
    /// Pool state: `ok`, `degraded`, `suspect`, `readonly`, `locked`, `refused`, or `stopped` when
    /// nothing serves.
    pub state: String,
    /// Why it is not `ok`, as sentences.
    pub reasons: Vec<String>,
    /// The pool's id; absent when no label is readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A vault made for evaluation.
    pub evaluation: bool,
    /// What holds the outermost key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysStatus>,
    /// The clock can be set by tests.
    pub simulated_clock: bool,
    /// The disks in the order of the vault's configuration.
    pub disks: Vec<DiskStatus>,
    /// What an operator should know, oldest first, as sentences.
    pub alarms: Vec<String>,
    /// The log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The process that faces the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// How TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// Buckets shown to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// Tiers of retention that buckets are in, with how many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<(String, u64)>,
    /// The index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexStatus>,
    /// Counts since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<CounterStatus>,
    /// How far everything was read again, and what that found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healing: Option<HealingStatus>,
    /// What the operator should do next, most urgent first; empty when there is nothing.
    #[serde(default)]
    pub next: Vec<NextStep>,
    /// When it will be full, and from when on something may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastStatus>,
    /// The clocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
    /// The people of the vault and what they must do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleSummary>,
}

/// The people of the vault in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeopleSummary {
    /// Active people by role; nobody before the founding.
    pub active: Vec<(String, u64)>,
    /// Keys that are files count.
    pub plain_keys: bool,
    /// Nothing is destroyed, because the clocks do not agree.
    pub erasure_suspended: bool,
    /// Nothing is destroyed, because no witness was heard for too long.
    #[serde(default)]
    pub witness_silent: bool,
    /// Requests that wait, with their deadlines, as sentences.
    pub waiting: Vec<String>,
    /// Every time the vault was forced open, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub openings: Vec<OpeningStatus>,
    /// Until when nothing frees after the last of them; none once that has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frees_from: Option<String>,
}

/// A forced opening: two people said that the vault goes on without disks it needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningStatus {
    /// Its number.
    pub number: u32,
    /// Its record in the log.
    pub record: u64,
    /// When, in compliance time.
    pub at: String,
    /// Identities of the disks that were left behind then.
    pub left: Vec<String>,
    /// Whether records are surely lost.
    pub has_lost: bool,
    /// Records in the middle of the log that were given up: nothing stored before is destroyed any more.
    #[serde(default)]
    pub missing: u64,
}

/// When the vault will be full, from how it filled in the last days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastStatus {
    /// Bytes that new data may take on all disks together, copies included.
    pub spare_bytes: u64,
    /// Bytes of what was destroyed that are being given back, on all disks together.
    #[serde(default)]
    pub coming_bytes: u64,
    /// What was looked at, milliseconds up to now, at most seven days.
    pub history_ms: u64,
    /// Whether that is enough to foretell anything: a day.
    pub enough_history: bool,
    /// Bytes taken on all disks in a day, copies included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
    /// When no new data can be taken any more, at this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_ms: Option<u64>,
    /// Nothing that is locked now may go before this time; absent where nothing is locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_expiry_ms: Option<u64>,
}

/// Something for the operator to do. Several steps for the same disk are alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// The disk it is about, by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u16>,
    /// What to do, as part of a sentence that the command ends.
    pub what: String,
    /// What to run then.
    pub command: String,
}

/// How a disk is being filled or drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillStatus {
    /// Bytes compared, copied or moved so far.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that had to be written.
    pub written_bytes: u64,
    /// Time it will still take; absent before that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

/// How far everything was read again since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealingStatus {
    /// Segments read to their end on every copy.
    pub segments: u64,
    /// Bytes read and judged good, over all copies.
    pub verified_bytes: u64,
    /// Frames, headers, footers and seals written again from another copy.
    pub repaired: u64,
    /// Bytes written again.
    pub repaired_bytes: u64,
    /// The segment being read now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u64>,
    /// Age of the oldest byte not read again since it was written or last read.
    pub oldest_unverified_ms: u64,
    /// For how long what was never read since it was written has waited for that.
    pub first_waits_ms: u64,
    /// For how long what was read before has waited to be read again.
    pub again_waits_ms: u64,
    /// What no copy could give back.
    pub lost: Vec<LostFrame>,
    /// Segments of which something was lost before the start, and that were not read again since.
    #[serde(default)]
    pub lost_before: u64,
}

/// Something that no copy could give back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostFrame {
    /// The segment.
    pub segment: u64,
    /// The frame by its number in the segment; absent for header, footer or seal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
    /// Byte offset in the segment.
    pub offset: u64,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Its number in the vault, from 1; absent when no disk is known to belong here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
    /// Its file or device.
    pub file: String,
    /// Its id from the label; absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `active`, `draining`, `drained`, `absent`, `stale`, `expelled`, `joining`, or `unreadable`;
    /// `foreign` when nothing serves and another vault's disk is there.
    pub state: String,
    /// The same in words for people: `ok`, `missing`, `stale`, `failed: ...`, `resyncing 43 % (...)`,
    /// `draining 43 % (...)`, `drained: ...`.
    #[serde(default)]
    pub health: String,
    /// How far it has been filled or drained, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<FillStatus>,
    /// More about it, as sentences.
    pub notes: Vec<String>,
    /// Size, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes not in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// The serial number of its drive, as it is or as it was when a drive was last there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// How it is read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// It takes part and takes far longer than it should, so that it is used only where no other disk will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowStatus>,
    /// Why it is a suspect although it takes part, as sentences; frames that it forgot are counted apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspect: Vec<String>,
    /// Acknowledged journal frames that it had confirmed, or one that is as suspect as it, and did not have at the last
    /// start.
    #[serde(default)]
    pub forgotten_frames: u64,
    /// It is used, and is not where it was opened: the next start does not find it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub astray: bool,
    /// It is missing, and counts where the vault asks whether enough disks are there to take writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wanted: bool,
}

/// A slow disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowStatus {
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// Whether the journal goes on without it.
    pub left_out_of_journal: bool,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Records in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Root of its tree, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The newest signed checkpoint: of what is durable, so it may be of fewer records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The checkpoint that the last change of the log's key made, signed by both keys, until the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_checkpoint: Option<String>,
    /// The key that verifies checkpoints and receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Every key the log had, as `stele-inspect` takes them: the first one, and later ones with the number of records
    /// from which on they count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The epoch in force.
    pub epoch: u32,
    /// Generation of the newest label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// The index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexStatus {
    /// Bytes of keys and values.
    pub row_bytes: u64,
    /// Bytes the file occupies.
    pub file_bytes: u64,
    /// Bytes it can grow to.
    pub capacity_bytes: u64,
    /// State of each mirror: `active`, `stale` or `failed`.
    pub mirrors: Vec<String>,
    /// Pages rewritten from the other mirror.
    pub repaired_pages: u64,
    /// When all rows were last read again and were those it states; absent while that has not been since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<RowsVerifiedStatus>,
}

/// The last time that all rows of the index were read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsVerifiedStatus {
    /// When, by the compliance clock.
    pub at_ms: u64,
    /// How many there were.
    pub rows: u64,
}

/// The process that faces the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Its number, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// How far files and new connections are closed to it: fully, partly, or system calls only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confined: Option<String>,
    /// Most bytes of memory of its own; absent where the machine bounds none. It is also the first to be ended
    /// where the machine has no memory left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    /// How often it was started again since the vault is served.
    pub restarts: u32,
}

/// Counts since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// Journal frames acknowledged.
    pub frames: u64,
    /// Records acknowledged.
    pub records: u64,
    /// Reads answered from another copy because one did not verify.
    pub reads_from_other_copy: u64,
    /// Reads that asked a second disk because the first was slow.
    #[serde(default)]
    pub reads_hedged: u64,
    /// Reads no copy could answer.
    pub reads_refused: u64,
}

/// The clocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// The clock that retention obeys, milliseconds since 1970.
    pub compliance_ms: u64,
    /// The machine's clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// How far the machine's clock is ahead.
    #[serde(default)]
    pub drift_ms: i64,
}
