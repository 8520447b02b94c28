//! What the vault answers to people: who they are, what there is to destroy, and what became of it.

use stele_format::record::VersionRef;
use stele_format::statement::Origin;
use stele_format::tree::TreeHash;
use stele_format::units::{
    BucketId, DiskId, Generation, KeyIndex, LogIndex, ObjectId, Opening, UnixMillis, VersionId,
};

use crate::engine::{Case, Granted, LogKeyChange};
use crate::policy::approval::{PersonView, RequestView};
use crate::policy::people::Policies;
use crate::policy::witness::{Silent, Witnesses};
use crate::policy::{EffectiveTime, Kept, VersionLock};

/// People, requests, holds and grants as they stand.
#[derive(Debug, Clone)]
pub struct PeopleView {
    /// The log whose statements count.
    pub origin: Origin,
    /// Whether the vault is one for evaluation.
    pub evaluation: bool,
    /// The policies in force.
    pub policies: Policies,
    /// Every witness there was.
    pub witnesses: Witnesses,
    /// Their newest time, by which destruction is judged too; none without witnesses.
    pub witness_time: Result<Option<UnixMillis>, Silent>,
    /// Every person there was.
    pub persons: Vec<PersonView>,
    /// Every request there was.
    pub requests: Vec<RequestView>,
    /// Every hold by case there was.
    pub cases: Vec<Case>,
    /// Grants that run.
    pub grants: Vec<Granted>,
    /// The keys that people gave the log, in their order.
    pub log_keys: Vec<LogKeyChange>,
    /// Every time the vault was forced open, in their order.
    pub openings: Vec<OpeningView>,
    /// Until when nothing frees, if the vault was forced open.
    pub frees_from: Option<UnixMillis>,
    /// Records in the log.
    pub log_records: u64,
    /// Root of its tree.
    pub log_root: TreeHash,
    /// Versions in the vault.
    pub versions: u64,
    /// Compliance time.
    pub now: UnixMillis,
    /// The times locks are judged by.
    pub time: EffectiveTime,
}

/// A forced opening as a screen shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningView {
    /// Its record.
    pub record: LogIndex,
    /// Its number.
    pub opening: Opening,
    /// Compliance time of the record.
    pub at: UnixMillis,
    /// Disks that were left behind and never take part again.
    pub left: Vec<DiskId>,
    /// Whether frames were known durable then that no disk had: records are surely lost.
    pub has_lost: bool,
    /// Records in the middle of the log that were given up: nothing stored before this record is destroyed any more.
    pub missing: u64,
}

/// What the log shows of a request's effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Versions in its tombstones.
    pub destroyed: u64,
    /// Record and time at which their keys were gone.
    pub keys_cut: Option<(LogIndex, UnixMillis)>,
    /// Generation of the key state without them.
    pub generation: Option<Generation>,
    /// Disks that have it.
    pub disks: Vec<DiskId>,
    /// Disks that were away.
    pub absent: Vec<DiskId>,
    /// Value of the anchor, where keys have one.
    pub anchor: Option<u64>,
    /// Record and time of an effect without destruction.
    pub enacted: Option<(LogIndex, UnixMillis)>,
}

/// A version as a census shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CensusRow {
    /// Its bucket.
    pub bucket: BucketId,
    /// Its object.
    pub object: ObjectId,
    /// Its id.
    pub version: VersionId,
    /// Whether it is gone from S3.
    pub released: bool,
    /// What protects it.
    pub lock: VersionLock,
    /// Plaintext length.
    pub content_bytes: u64,
    /// When it was stored.
    pub stored: UnixMillis,
    /// The leaf of its manifest.
    pub leaf: KeyIndex,
}

/// A page of a census.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CensusPage {
    /// Rows: object by object, newest version first.
    pub rows: Vec<CensusRow>,
    /// Where to go on; none at the end.
    pub resume: Option<Vec<u8>>,
    /// The times it was judged by.
    pub time: EffectiveTime,
}

/// What became of a piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstoned {
    /// Versions destroyed.
    pub destroyed: u32,
    /// Versions that are kept, and why.
    pub kept: Vec<(VersionRef, Kept)>,
    /// Whether it was the last piece.
    pub last: bool,
}
