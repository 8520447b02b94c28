//! What opening hands to the engine.

use std::collections::BTreeMap;

use stele_format::label::EpochCutoff;
use stele_format::record::Body;
use stele_format::units::{BucketId, DiskId, LogIndex, UnixMillis};

use super::people::Desk;
use super::{HealPlan, Now, World};
use crate::areas::AreaFailures;
use crate::config::NewBucket;
use crate::index::rows::BucketRow;
use crate::index::{IndexUsage, Memtable};
use crate::journal::Journal;
use crate::keys::state::KeyState;
use crate::lane::Lane;
use crate::pool::Pool;
use crate::recovery::{Idle, Postponed};
use crate::request::ReadOnlyReason;
use crate::usage::Usages;

/// What a start found of approved destruction.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Records that say which requests' keys are gone.
    pub(crate) destroyed: Vec<Body>,
    /// Why keys were not cut that should have been.
    pub(crate) postponed: Option<Postponed>,
    /// Disks that took no part when keys were not cut for lack of a part of the journal.
    pub(crate) cut_with: Vec<DiskId>,
    /// Requests whose tombstones nobody approved.
    pub(crate) unlawful: Vec<LogIndex>,
    /// Segments that hold nothing any more.
    pub(crate) idle: Option<Idle>,
    /// Why the key state does not have the head of the log as this start found it.
    pub(crate) head: Option<Postponed>,
}

/// What opening hands to the engine.
pub(crate) struct Parts {
    pub(crate) pool: Pool,
    pub(crate) journal: Journal,
    pub(crate) lane: Lane,
    pub(crate) memtable: Memtable,
    pub(crate) buckets: BTreeMap<BucketId, BucketRow>,
    pub(crate) usages: Usages,
    /// What became of destruction that was approved.
    pub(crate) waits: Waits,
    pub(crate) desk: Desk,
    pub(crate) keys: KeyState,
    pub(crate) world: World,
    pub(crate) compliance: UnixMillis,
    pub(crate) now: Now,
    pub(crate) new_bucket: NewBucket,
    pub(crate) snapshot_rows: usize,
    pub(crate) snapshot_segments: u64,
    pub(crate) snapshot_wanted: bool,
    pub(crate) cutoffs: Vec<EpochCutoff>,
    pub(crate) read_only: Option<ReadOnlyReason>,
    /// Whether the log may be longer than what the start could read of it.
    pub(crate) lacks_records: bool,
    pub(crate) index_usage: IndexUsage,
    pub(crate) area_failures: AreaFailures,
    pub(crate) heal_plan: HealPlan,
    pub(crate) ahead_bytes: u64,
}
