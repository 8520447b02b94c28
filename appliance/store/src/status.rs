//! What operators and tools may see: a plain read model, and alarms.

use std::collections::{BTreeMap, VecDeque};

use stele_format::statement::{Kind, Statement};
use stele_format::units::{DiskId, LogIndex, PoolId, SegmentId, UnixMillis};

use crate::engine::{Counters, Engine, FillProgress, Waits};
use crate::forecast::{Fill, forecast};
use crate::heal::schedule::HealCounts;
use crate::index::{ApplyError, IndexUsage};
use crate::policy::witness::WitnessRefusal;
use crate::policy::{OwnerId, Right, Usage};
use crate::pool::{Member, MemberState, Pool};
use crate::recovery::Postponed;
use crate::request::{Answer, ReadOnlyReason};

/// Alarms kept for display.
const ALARM_COUNT_MAX: usize = 64;

/// One word for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolState {
    /// Everything is as it should be.
    Ok,
    /// A disk is missing, stale or expelled; data has fewer copies than it should.
    Degraded,
    /// Something was read again that no copy could give back.
    Suspect,
    /// Nothing is written.
    ReadOnly,
}

impl PoolState {
    /// The word on screens.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            PoolState::Ok => "ok",
            PoolState::Degraded => "degraded",
            PoolState::Suspect => "suspect",
            PoolState::ReadOnly => "readonly",
        }
    }
}

/// A disk as status shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskStatus {
    /// Its number in the pool, from 1.
    pub number: u16,
    /// Its identity.
    pub disk: DiskId,
    /// File or serial; empty when it is not here.
    pub name: String,
    /// Its state.
    pub state: MemberState,
    /// Why it does not take part.
    pub reason: Option<&'static str>,
    /// Bytes not given to any segment.
    pub free_bytes: u64,
    /// Bytes for segments in all.
    pub total_bytes: u64,
}

impl Status {
    /// Whether changes are taken now.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        self.read_only.is_none() && self.rebuilding.is_none()
    }
}

/// Why an engine is started again while it serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartedFor {
    /// The index can answer no more, and is made anew.
    #[default]
    IndexLost,
    /// Tombstones are durable whose keys must go.
    KeysCut,
    /// The journal lies on too few of the disks that are left.
    JournalStranded,
}

/// Everything at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The pool.
    pub pool: PoolId,
    /// One word.
    pub state: PoolState,
    /// Why nothing is written.
    pub read_only: Option<ReadOnlyReason>,
    /// Disks by number.
    pub disks: Vec<DiskStatus>,
    /// The running epoch.
    pub epoch: u32,
    /// Records in the log.
    pub log_size: u64,
    /// RFC 6962 root of the log.
    pub log_root: [u8; 32],
    /// The newest signed checkpoint, of what is durable.
    pub checkpoint: Option<std::sync::Arc<str>>,
    /// The checkpoint that the last change of the log's key made, signed by both; none since the start.
    pub first_checkpoint: Option<std::sync::Arc<str>>,
    /// The key that verifies checkpoints, as text.
    pub log_key: Option<String>,
    /// Every key the log had, with the number of records from which on it counts, as text.
    pub log_keys: Vec<String>,
    /// Buckets clients see.
    pub buckets: u32,
    /// The compliance clock.
    pub compliance: UnixMillis,
    /// Whether the wall clock is too far from it to count.
    pub wall_alarm: bool,
    /// Whether new data is refused for want of space.
    pub full: bool,
    /// Counts since start.
    pub counters: Counters,
    /// The index file.
    pub index: Option<IndexUsage>,
    /// While the engine is started again: journal frames replayed, and how many there are at least.
    pub rebuilding: Option<(u64, u64)>,
    /// What for.
    pub started_for: StartedFor,
    /// Flags of the pool: evaluation, simulated clock, single disk.
    pub flags: u32,
    /// Recent alarms, oldest first.
    pub alarms: Vec<Alarm>,
    /// Healing.
    pub heal: HealStatus,
    /// How the vault fills.
    pub fill: Fill,
    /// Bytes of segments that were given up and are not free yet, on all disks together.
    pub freed_bytes: u64,
    /// Nothing that is locked now may go before this date; none where nothing is locked.
    pub next_expiry: Option<UnixMillis>,
    /// What each owner of a bucket stores.
    pub usage: BTreeMap<OwnerId, Usage>,
}

/// How healing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealStatus {
    /// Counts since start, and what is lost.
    pub counts: HealCounts,
    /// The segment being read again.
    pub segment: Option<SegmentId>,
    /// Age of the oldest byte that was not read again since it was written or last read,
    /// milliseconds.
    pub oldest_unverified_ms: u64,
    /// The disk being filled, by its number from 1, and how far it has come.
    pub fill: Option<(u16, FillProgress)>,
    /// The disk being drained, by its number from 1, and how far it has come.
    pub drain: Option<(u16, FillProgress)>,
}

/// What the engine keeps of work under way, by kind. All of it is zero when nothing goes on and no
/// client has a stream open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests not answered, wherever they wait.
    pub requests: usize,
    /// Open uploads.
    pub uploads: usize,
    /// Uploads given up whose clients do not know yet.
    pub refused_uploads: usize,
    /// Open downloads.
    pub downloads: usize,
    /// Reads of records and chunks.
    pub reads: usize,
    /// Requests whose chunk lists move to the data lane.
    pub lists: usize,
    /// Work that workers have.
    pub jobs: usize,
    /// Questions that the index has.
    pub queries: usize,
    /// Chunks on their way to the disks.
    pub chunks: usize,
    /// Records on their way to the disks.
    pub records: usize,
    /// Operations that disks have.
    pub operations: usize,
    /// Owners of whose quotas something is promised.
    pub promises: usize,
}

/// Something an operator must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// A client key used a special right.
    RightUsed {
        /// Which.
        right: Right,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Somebody asked for, approved, vetoed or executed something, or placed a hold.
    Stated {
        /// The kind of statement.
        what: &'static str,
        /// Who; none where several people sign.
        by: Option<String>,
        /// Its record.
        index: LogIndex,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The keys of an approved destruction are not cut yet; the next start tries again.
    CutPostponed {
        /// Why.
        why: Postponed,
    },
    /// The key state does not say how far the log has come: a log cut after its last word is not told by it.
    HeadNotKept {
        /// Why.
        why: crate::recovery::Postponed,
    },
    /// Tombstones cite a request that nobody approved like this. No key was cut for them.
    Unapproved {
        /// What they cite.
        request: LogIndex,
    },
    /// A security key's count of signatures went back: there may be a copy of it.
    KeyCounter {
        /// Whose.
        person: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A client deletes faster than somebody should have to wonder about.
    DeleteRate {
        /// Its access key.
        client: String,
        /// Deletes within the last hour.
        count: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The wall clock left the span around compliance time in which it counts, or came back.
    WallClock {
        /// Whether it left.
        left: bool,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The wall clock ran otherwise than compliance time by more than five minutes within a day.
    ClockDrift {
        /// By how much the wall clock got ahead; below zero, behind.
        ms: i64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Somebody brought a checkpoint that the log's key signed and that is not of this log: it has another
    /// history, or an older state of it was put back.
    OtherHistory {
        /// Records in that checkpoint.
        size: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The index contradicts the journal; it is made anew.
    IndexContradiction {
        /// Which rows, without names.
        what: String,
    },
    /// The index could answer no more and was made anew.
    IndexRebuilt {
        /// When, by the compliance clock.
        at: UnixMillis,
    },
}

/// The most recent alarms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms {
    recent: VecDeque<Alarm>,
    /// Those nobody has taken yet.
    fresh: usize,
}

impl Alarms {
    /// A special right was used.
    pub(crate) fn right_used(&mut self, right: Right, at: UnixMillis) {
        self.push(Alarm::RightUsed { right, at });
    }

    /// Somebody stated something.
    pub(crate) fn stated(&mut self, text: &str, index: LogIndex, at: UnixMillis) {
        let Ok(statement) = Statement::parse(text) else {
            return;
        };
        // What people do day by day is in the log, and no alarm.
        if matches!(statement.kind(), Kind::Session(_)) {
            return;
        }
        self.push(Alarm::Stated {
            what: statement.kind().name(),
            by: statement.by().map(ToString::to_string),
            index,
            at,
        });
    }

    /// What a start could not do with the key state, and tombstones that nobody approved.
    pub(crate) fn destruction_waits(&mut self, waits: &Waits) {
        if let Some(why) = &waits.postponed {
            self.push(Alarm::CutPostponed { why: why.clone() });
        }
        if let Some(why) = &waits.head {
            self.push(Alarm::HeadNotKept { why: why.clone() });
        }
        for request in &waits.unlawful {
            self.push(Alarm::Unapproved { request: *request });
        }
    }

    /// A key's count of signatures went back.
    pub(crate) fn key_counter(&mut self, person: &str, at: UnixMillis) {
        let person = person.to_owned();
        self.push(Alarm::KeyCounter { person, at });
    }

    /// A client deletes very fast.
    pub(crate) fn delete_rate(&mut self, key_id: &str, count: u64, at: UnixMillis) {
        let client = key_id.to_owned();
        self.push(Alarm::DeleteRate { client, count, at });
    }

    /// The wall clock left the span in which it counts, or came back.
    pub(crate) fn wall_clock(&mut self, left: bool, at: UnixMillis) {
        self.push(Alarm::WallClock { left, at });
    }

    /// The wall clock drifts.
    pub(crate) fn clock_drift(&mut self, ms: i64, at: UnixMillis) {
        self.push(Alarm::ClockDrift { ms, at });
    }

    /// A checkpoint that is not of this log, if that is why it was refused.
    pub(crate) fn other_history(&mut self, why: &WitnessRefusal, at: UnixMillis) {
        if let WitnessRefusal::Longer { size, .. } | WitnessRefusal::Forked { size } = *why {
            self.push(Alarm::OtherHistory { size, at });
        }
    }

    /// Index and journal contradict each other.
    pub(crate) fn index_contradiction(&mut self, error: &ApplyError) {
        self.push(Alarm::IndexContradiction {
            what: error.to_string(),
        });
    }

    /// The index was made anew.
    pub(crate) fn index_rebuilt(&mut self, at: UnixMillis) {
        self.push(Alarm::IndexRebuilt { at });
    }

    fn push(&mut self, alarm: Alarm) {
        if self.recent.len() == ALARM_COUNT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(alarm);
        self.fresh = (self.fresh + 1).min(ALARM_COUNT_MAX);
    }
}

impl Engine {
    /// Alarms since this was last asked, for whoever writes them down; those of status stay.
    pub fn take_new_alarms(&mut self) -> Vec<Alarm> {
        let fresh = std::mem::take(&mut self.alarms.fresh);
        let known = self.alarms.recent.len().saturating_sub(fresh);
        self.alarms.recent.iter().skip(known).cloned().collect()
    }
}

impl Engine {
    /// The read model of this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        // A change of members counts once every label says so.
        let members = &self.pool.members;
        let all_active = !self.relabelling
            && self.fill.is_none()
            && members
                .iter()
                .all(|m| matches!(m.state, MemberState::Active | MemberState::Drained));
        let whole = self.healer.counts().lost.is_empty();
        let state = match (&self.read_only, whole, all_active) {
            (Some(_), _, _) if !self.stranded => PoolState::ReadOnly,
            (_, false, _) => PoolState::Suspect,
            (_, true, false) => PoolState::Degraded,
            (_, true, true) => PoolState::Ok,
        };
        let log = self.journal.log();
        Status {
            pool: self.pool.id,
            state,
            read_only: self.read_only.clone().filter(|_| !self.stranded),
            disks: self.disk_status(),
            epoch: self.journal.epoch().get(),
            log_size: log.next.get(),
            log_root: log.frontier.root().0,
            checkpoint: self.receipts.linked(),
            first_checkpoint: self.receipts.first(),
            log_key: self
                .receipts
                .signer()
                .map(|signer| signer.key().to_string()),
            log_keys: self.log_keys(),
            buckets: u32::try_from(self.buckets.values().filter(|row| !row.deleted).count())
                .unwrap_or(u32::MAX),
            compliance: self.clock.latest(),
            wall_alarm: self.time().wall_alarm,
            full: !self.has_room(),
            counters: self.counters,
            index: self.index_usage.clone(),
            rebuilding: self.stranded.then_some((0, 0)),
            started_for: match self.stranded {
                true => StartedFor::JournalStranded,
                false => StartedFor::default(),
            },
            flags: self.pool.flags,
            alarms: self.alarms.recent.iter().cloned().collect(),
            heal: self.heal_status(),
            fill: self.fill_status(),
            freed_bytes: self.pool.freed_bytes(),
            next_expiry: self.usages.next_expiry(self.time().release),
            usage: self.usage_by_owner(),
        }
    }

    fn usage_by_owner(&self) -> BTreeMap<OwnerId, Usage> {
        let mut owners: BTreeMap<OwnerId, Usage> = BTreeMap::new();
        for (bucket, row) in &self.buckets {
            let usage = self.usages.buckets.get(bucket).copied();
            let sum = owners.entry(row.owner.clone()).or_default();
            *sum = sum.plus(usage.unwrap_or_default());
        }
        owners
    }

    fn fill_status(&self) -> Fill {
        let unit = u64::from(self.pool.unit_bytes);
        let spare = self
            .pool
            .active()
            .map(|m| u64::from(self.pool.spare_units(m)));
        let segments = self.pool.segments.values().map(|info| {
            let copies = info.places.len() as u64;
            (info.written, u64::from(info.units) * unit * copies)
        });
        forecast(self.clock.latest(), spare.sum::<u64>() * unit, segments)
    }

    fn heal_status(&self) -> HealStatus {
        let number = |disk| self.pool.number_of(disk);
        HealStatus {
            counts: self.healer.counts().clone(),
            segment: self.healer.segment(),
            oldest_unverified_ms: self.oldest_unverified_ms(),
            fill: self
                .fill_progress()
                .map(|(disk, progress)| (number(disk), progress)),
            drain: self
                .drain_progress()
                .map(|(disk, progress)| (number(disk), progress)),
        }
    }

    /// How much client data fits: every byte lies on as many disks as the data lane has copies, and the
    /// reserve of each disk is not for it.
    pub(crate) fn capacity(&self) -> Answer {
        let unit = u64::from(self.pool.unit_bytes);
        let fits = |units: fn(&Pool, &Member) -> u32| {
            let disks = self.pool.active().filter(|member| !member.leaving);
            let units = disks.map(|member| units(&self.pool, member));
            data_units(units.map(u64::from).collect()).saturating_mul(unit)
        };
        let writes = self.read_only.is_none() && self.has_room();
        Answer::Capacity {
            total_bytes: fits(Pool::units_for_data),
            free_bytes: if writes { fits(Pool::spare_units) } else { 0 },
        }
    }

    /// What is under way at this moment.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            requests: self.pending.len()
                + self.parked.len()
                + self.ready.len()
                + self.admission.len(),
            uploads: self.puts.len(),
            refused_uploads: self.refused.len(),
            downloads: self.gets.len(),
            reads: self.reads.len(),
            lists: self.spills.len(),
            jobs: self.jobs.len(),
            queries: self.queries.len(),
            chunks: self.tickets.len() + self.lane.held(),
            records: self.journal.held(),
            operations: self.io.held(),
            promises: self.tenants.promises(),
        }
    }

    fn disk_status(&self) -> Vec<DiskStatus> {
        let unit = u64::from(self.pool.unit_bytes);
        let filled = self.fill_progress().map(|(disk, _)| disk);
        // What is filled takes part when a start without another disk would have it so.
        let state_of = |member: &Member| match member.state {
            MemberState::Active if Some(member.disk) == filled => MemberState::Joining,
            state => state,
        };
        self.pool
            .members
            .iter()
            .map(|member| DiskStatus {
                number: member.ordinal + 1,
                disk: member.disk,
                name: member.name.clone(),
                state: state_of(member),
                reason: self.reason_of(member),
                free_bytes: u64::from(member.free_units()) * unit,
                total_bytes: u64::from(member.unit_count()) * unit,
            })
            .collect()
    }
}

/// Units that fit with two copies each on different disks; on a single disk with one.
fn data_units(disks: Vec<u64>) -> u64 {
    let largest = disks.iter().copied().max().unwrap_or(0);
    let sum: u64 = disks.iter().sum();
    if disks.len() < 2 {
        sum
    } else {
        (sum / 2).min(sum - largest)
    }
}

#[cfg(test)]
mod tests {
    use super::data_units;

    #[test]
    fn two_copies_fit_as_often_as_the_disks_beside_the_largest_allow() {
        for (disks, expected) in [
            (vec![], 0),
            (vec![7], 7),
            (vec![7, 7], 7),
            (vec![10, 3], 3),
            (vec![6, 6, 6], 9),
            (vec![100, 1, 2], 3),
        ] {
            assert_eq!(data_units(disks.clone()), expected, "{disks:?}");
        }
    }
}
