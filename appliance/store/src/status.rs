//! What operators and tools may see: a plain read model, and alarms.

use std::collections::BTreeMap;

use stele_format::units::{DiskId, PoolId, SegmentId, UnixMillis};

pub use crate::alarms::Alarm;
use crate::engine::{Counters, Engine, FillProgress};
use crate::forecast::{Fill, forecast};
use crate::heal::late::Ages;
use crate::heal::rows::RowsVerified;
use crate::heal::schedule::HealCounts;
use crate::index::IndexUsage;
use crate::limits::LOOKED_AT_PER_MS_KEPT;
use crate::policy::{Asker, OwnerId, Usage};
use crate::pool::{Member, MemberState, Pool};
use crate::request::{Answer, ReadOnlyReason};

/// One word for the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolState {
    /// Everything is as it should be.
    Ok,
    /// A disk is missing, stale or expelled; data has fewer copies than it should.
    Degraded,
    /// Something was read again that no copy could give back, or a disk did not keep what it had confirmed or what
    /// was written there again, or has become slow.
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
    /// It takes part, and takes far longer than it should.
    pub slow: Option<Slow>,
    /// It takes part, and so often within an hour it gave or took nothing while others did that it is a suspect.
    pub slow_suspect: Option<usize>,
    /// It takes part, and does not give so many frames, headers, footers and seals although they were written there again.
    pub unmended: u64,
    /// Acknowledged journal frames that it had confirmed, or one that is as suspect as it, and that it did not have when
    /// the vault was opened.
    pub forgotten_frames: u64,
    /// It is used, and is not where it was opened: the next start does not find it.
    pub astray: bool,
    /// It is missing, and a start counts it: with it the vault may take writes again.
    pub wanted: bool,
    /// Bytes not given to any segment.
    pub free_bytes: u64,
    /// Bytes for segments in all.
    pub total_bytes: u64,
}

/// A disk that takes far longer than it should: it is used where no other one will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow {
    /// Since when, by the compliance clock.
    pub since: UnixMillis,
    /// Whether the journal goes on without it.
    pub left_out: bool,
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
    /// Disks take part again whose content the last start could not read.
    DisksCameBack,
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
    /// How many more starts there is room for, if nothing else takes any.
    pub starts_left: u32,
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
    /// Whether people were founded: what changes something needs one of them then.
    pub founded: bool,
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
    /// How long what is to be read has waited.
    pub ages: Ages,
    /// When all rows of the index were last read again since the start and were those it states.
    pub rows: Option<RowsVerified>,
    /// The disk being filled, by its number from 1, and how far it has come.
    pub fill: Option<(u16, FillProgress)>,
    /// The disk being drained, by its number from 1, and how far it has come.
    pub drain: Option<(u16, FillProgress)>,
    /// Numbers of the disks that are to be plugged in before that can end: what they have of a segment nobody could read.
    pub drain_lacks: Vec<u16>,
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

/// What only a look at all segments tells.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    fill: Fill,
    oldest_unverified_ms: u64,
    ages: Ages,
    drain_lacks: Vec<u16>,
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
        let lost = self.healer.counts().has_losses();
        let is_suspect =
            |member: &Member| member.forgotten_frames > 0 || self.unmended_of(member) > 0;
        let suspect = lost || members.iter().any(is_suspect);
        let slow = members.iter().any(|member| member.slow_suspect().is_some());
        let state = match &self.read_only {
            Some(_) if !self.stranded => PoolState::ReadOnly,
            _ if suspect => PoolState::Suspect,
            // A copy less is worse than a slow one.
            _ if !all_active => PoolState::Degraded,
            _ if slow => PoolState::Suspect,
            _ => PoolState::Ok,
        };
        let log = self.journal.log();
        let survey = self.survey();
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
            starts_left: self.pool.starts_left(),
            counters: self.counters,
            index: self.index_usage.clone(),
            rebuilding: self.stranded.then_some((0, 0)),
            started_for: match self.stranded {
                true => StartedFor::JournalStranded,
                false => StartedFor::default(),
            },
            flags: self.pool.flags,
            alarms: self.alarms.recent(),
            heal: self.heal_status(&survey),
            fill: survey.fill,
            freed_bytes: self.pool.freed_bytes(),
            next_expiry: self.usages.next_expiry(self.time().release),
            usage: self.usage_by_owner(),
            founded: !self.desk.approvals.people().is_empty(),
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

    /// What all segments have to be looked at for. A large vault has hundreds of thousands, and is asked often: the longer
    /// a look takes the longer it is kept.
    fn survey(&self) -> Survey {
        let (now_ms, segments) = (self.now.monotonic_ms, self.pool.segments.len() as u64);
        let mut kept = self.healer.survey.borrow_mut();
        let is_fresh = |(at_ms, _): &&(u64, Survey)| {
            now_ms.saturating_sub(*at_ms) < segments / LOOKED_AT_PER_MS_KEPT
        };
        if let Some((_, survey)) = kept.as_ref().filter(is_fresh) {
            return survey.clone();
        }
        let survey = Survey {
            fill: self.fill_status(),
            oldest_unverified_ms: self.oldest_unverified_ms(),
            ages: self.ages(),
            drain_lacks: self.drain_lacks(),
        };
        *kept = Some((now_ms, survey.clone()));
        survey
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

    fn heal_status(&self, survey: &Survey) -> HealStatus {
        let number = |disk| self.pool.number_of(disk);
        HealStatus {
            counts: self.healer.counts().clone(),
            segment: self.healer.segment(),
            oldest_unverified_ms: survey.oldest_unverified_ms,
            ages: survey.ages,
            rows: self.healer.rows.last(),
            fill: self
                .fill_progress()
                .map(|(disk, progress)| (number(disk), progress)),
            drain: self
                .drain_progress()
                .map(|(disk, progress)| (number(disk), progress)),
            drain_lacks: survey.drain_lacks.clone(),
        }
    }

    /// How much client data fits: every byte lies on as many disks as the data lane has copies, and the
    /// reserve of each disk is not for it. Whose owner has a quota of bytes is told of that and of what the owner stores, and
    /// not of how much others do.
    pub(crate) fn capacity(&self, asker: &Asker) -> Answer {
        let unit = u64::from(self.pool.unit_bytes);
        let fits = |units: fn(&Pool, &Member) -> u32| {
            let disks = self.pool.active().filter(|member| !member.leaving);
            let units = disks.map(|member| units(&self.pool, member));
            data_units(units.map(u64::from).collect()).saturating_mul(unit)
        };
        let writes = self.read_only.is_none() && self.has_room();
        let free_bytes = if writes { fits(Pool::spare_units) } else { 0 };
        let owner = asker.owner();
        match asker.quota(&owner).and_then(|quota| quota.bytes_max) {
            None => Answer::Capacity {
                total_bytes: fits(Pool::units_for_data),
                free_bytes,
            },
            Some(most) => {
                let used = self.stored_by(&owner).bytes;
                let free_bytes = free_bytes.min(most.saturating_sub(used));
                Answer::Capacity {
                    total_bytes: used.saturating_add(free_bytes),
                    free_bytes,
                }
            }
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

    /// Whether a disk that takes part is slow.
    fn slow(&self, member: &Member) -> Option<Slow> {
        let slot = member
            .slot
            .filter(|_| member.state == MemberState::Active)?;
        let away_ms = self.journal.away_since_ms(slot);
        let since_ms = self.slow_since_ms(slot)?;
        let passed_ms = self.now.monotonic_ms.saturating_sub(since_ms);
        Some(Slow {
            since: UnixMillis::new(self.clock.latest().get().saturating_sub(passed_ms)),
            left_out: away_ms.is_some(),
        })
    }

    /// What a disk that takes part does not give although it was written there again.
    fn unmended_of(&self, member: &Member) -> u64 {
        let counts = &self.healer.counts().unmended;
        let of = counts.get(&member.disk).copied();
        of.filter(|_| member.state == MemberState::Active)
            .unwrap_or(0)
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
                slow: self.slow(member),
                slow_suspect: member.slow_suspect(),
                unmended: self.unmended_of(member),
                forgotten_frames: member.forgotten_frames,
                astray: member.astray && member.is_used(),
                wanted: self.pool.is_wanted(member),
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
