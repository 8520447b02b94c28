//! The words spoken on the control socket: one line of JSON each way, then the connection ends.
//!
//! These types belong to the wire. They are not the engine's own, so that either can change alone.

use serde::{Deserialize, Serialize};

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
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// How the vault is.
    Status,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// How the vault is.
    Status(Box<Status>),
    /// Why there is no answer, as a sentence.
    Refused(String),
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
    /// The keys lie beside the data.
    pub evaluation: bool,
    /// The clock can be set by tests.
    pub simulated_clock: bool,
    /// The disks in the order of the vault's configuration.
    pub disks: Vec<DiskStatus>,
    /// What an operator should know, oldest first, as sentences.
    pub alarms: Vec<String>,
    /// The log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// Buckets shown to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// The index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexStatus>,
    /// Counts since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<CounterStatus>,
    /// The clocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// Its file or device.
    pub file: String,
    /// Its id from the label; absent when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `active`, `absent`, `stale`, `expelled`, or `unreadable`.
    pub state: String,
    /// More about it, as sentences.
    pub notes: Vec<String>,
    /// Size, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes not in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// How it is read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
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
}
