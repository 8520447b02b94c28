//! Opening a vault, step by step.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::area::Area;
use stele_device::disk::{Disk, DiskError};
use stele_format::digest::Digest;
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::Abandoned;
use stele_format::units::{
    BucketId, ByteOffset, DiskId, Epoch, LogIndex, SegmentId, Sequence, UnitCount, UnixMillis,
};

use super::begin::{self, Beginning, abandoned_journal};
use super::labels::{LabelPicture, read_all, read_label};
use super::lanes::{index_segment, is_blank, units_kept};
use super::replay::{From, Replay, Replayed};
use super::{DiskVerdict, Disks, OpenError, OpenReport, Opened, Opening, scan};
use crate::config::NewBucket;
use crate::engine::{DiskSlot, Engine, HealRates, Now, Parts, World};
use crate::index::message::MirrorState;
use crate::index::rows::{BucketRow, Table, TableRow};
use crate::index::{FrozenRows, IndexOptions, IndexStore, Memtable, Scan};
use crate::journal::JournalPosition;
use crate::keys::copies::KeyDisk;
use crate::keys::state::KeyState;
use crate::lane::{DATA_LANE, Lane};
use crate::limits::{SNAPSHOT_RECORD_COUNT, SNAPSHOT_ROW_COUNT};
use crate::pool::{MemberState, Place, Pool, SegmentInfo};
use crate::request::ReadOnlyReason;
use crate::sequence::LogHead;
use crate::snapshot::SnapshotState;

/// Opens one region of a disk for the index.
pub type OpenArea<'a> = dyn FnMut(DiskSlot, u64, u64) -> Result<Box<dyn Area>, DiskError> + 'a;

/// How to open a vault.
#[derive(Debug, Clone, Copy)]
pub struct OpenOptions {
    /// Memory for index pages.
    pub cache_bytes: usize,
    /// Rows in memory before a snapshot.
    pub snapshot_rows: usize,
    /// What new buckets become.
    pub new_bucket: NewBucket,
    /// How fast healing may go.
    pub heal_rates: HealRates,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            snapshot_rows: SNAPSHOT_ROW_COUNT,
            new_bucket: NewBucket::default(),
            heal_rates: HealRates::default(),
        }
    }
}

/// Opens a vault on its disks.
///
/// # Errors
/// [`OpenError`]; nothing was written then.
pub fn open(
    disks: Vec<Option<Box<dyn Disk>>>,
    open_area: &mut OpenArea<'_>,
    mut world: World,
    options: &OpenOptions,
    now: Now,
) -> Result<Opened, OpenError> {
    let mut disks = Disks(disks);
    let LabelPicture {
        mut pool,
        newest,
        may_write,
        mut reports,
    } = read_all(&mut disks.0)?;
    let keys = load_keys(&pool, &mut disks, &world)?;
    let index = open_index(&pool, &keys, open_area, options, newest.epoch)?;
    let mut work = Work {
        pool: &mut pool,
        disks: &mut disks,
        keys: &keys,
        memtable: Memtable::new(),
        index: index.store,
        rows_max: options.snapshot_rows.max(1),
        walked: 0,
    };
    let start = work.start(index.snapshot)?;
    let replayed = work.replay(&start, newest.watermark, may_write)?;
    let lanes = work.walk_lanes(&start);
    let (memtable, index_store, walked) = (work.memtable, work.index, work.walked);
    let buckets = load_buckets(&memtable, &index_store)?;
    for report in &mut reports {
        let member = report.slot.and_then(|slot| pool.member_at(slot));
        if member.is_some_and(|member| member.state == MemberState::Stale) {
            report.verdict = DiskVerdict::Stale;
        }
    }
    let report = OpenReport {
        disks: reports,
        frames: replayed.frames,
        records: replayed.records,
        repaired_frames: replayed.repairs.len() as u64,
        index_rebuilt: start.rebuilt,
        walked_segments: walked,
    };
    let index_usage = index_store.usage();
    // A commit brings a mirror up to date that missed writes.
    let mirrors_behind = index_usage.mirrors.contains(&MirrorState::Stale);
    let compliance = replayed.position.compliance;
    let mut opening = Opening {
        pool: &mut pool,
        disks: &mut disks,
        keys: &keys,
        world: &mut world,
        compliance,
        wall: now.wall,
    };
    let begun = go_on(&mut opening, &replayed, &lanes, &newest, may_write);
    let lane = Lane::new(DATA_LANE, lanes.next_sequence, lanes.last_segment);
    let parts = Parts {
        pool,
        journal: begun.journal,
        lane,
        memtable,
        buckets,
        keys,
        world,
        compliance,
        now,
        new_bucket: options.new_bucket,
        snapshot_rows: options.snapshot_rows,
        snapshot_wanted: start.rebuilt
            || replayed.records >= SNAPSHOT_RECORD_COUNT
            || mirrors_behind,
        cutoffs: replayed.cutoffs,
        read_only: begun.read_only,
        index_usage,
        heal_rates: options.heal_rates,
    };
    Ok(Opened {
        engine: Engine::new(parts),
        index: index_store,
        disks: disks.0,
        report,
    })
}

fn load_keys(pool: &Pool, disks: &mut Disks, world: &World) -> Result<KeyState, OpenError> {
    let wanted: Vec<(DiskId, DiskSlot)> = pool
        .members
        .iter()
        .filter(|member| member.state == MemberState::Active)
        .filter_map(|member| Some((member.disk, member.slot?)))
        .collect();
    let mut given = Vec::new();
    for (number, disk) in disks.0.iter_mut().enumerate() {
        let Some(disk) = disk else { continue };
        let found = wanted
            .iter()
            .find(|(_, slot)| usize::from(slot.0) == number);
        let Some((id, _)) = found else { continue };
        let Some(geometry) = pool.member(*id).and_then(|member| member.geometry.as_ref()) else {
            continue;
        };
        given.push(KeyDisk::new(&mut **disk, *id, geometry));
    }
    Ok(crate::keys::copies::load(&*world.keys, pool.id, given)?.state)
}

struct FoundIndex {
    store: IndexStore,
    snapshot: Option<SnapshotState>,
}

fn open_index(
    pool: &Pool,
    keys: &KeyState,
    open_area: &mut OpenArea<'_>,
    options: &OpenOptions,
    epoch: Epoch,
) -> Result<FoundIndex, OpenError> {
    let start = u64::from(epoch.get()) + 1;
    let how = IndexOptions {
        cache_bytes: options.cache_bytes,
        start,
    };
    let key = keys.index_key.expose();
    match IndexStore::open(index_areas(pool, open_area)?, key, how) {
        Ok(opened) => match SnapshotState::decode(&opened.triple.meta) {
            Some(snapshot) => Ok(FoundIndex {
                store: opened.store,
                snapshot: Some(snapshot),
            }),
            None => {
                // Left by a rebuild that was cut off: begin again on empty areas.
                drop(opened);
                let store = IndexStore::create(index_areas(pool, open_area)?, key, how)?;
                Ok(FoundIndex {
                    store,
                    snapshot: None,
                })
            }
        },
        Err(not_opened) => Ok(FoundIndex {
            store: not_opened.create()?,
            snapshot: None,
        }),
    }
}

/// The index areas of the disks that take part.
fn index_areas(pool: &Pool, open_area: &mut OpenArea<'_>) -> Result<Vec<Box<dyn Area>>, OpenError> {
    let mut areas = Vec::new();
    for member in pool.active() {
        let (Some(slot), Some(geometry)) = (member.slot, &member.geometry) else {
            continue;
        };
        let bytes = geometry.index_bytes.get();
        if bytes == 0 {
            continue;
        }
        if let Ok(area) = open_area(slot, geometry.index_offset().get(), bytes) {
            areas.push(area);
        }
    }
    if areas.is_empty() {
        let missing = pool.missing_names();
        return Err(OpenError::NoIndexDisk { missing });
    }
    Ok(areas)
}

/// Where replay begins, and what the snapshot leaves to be walked.
struct Start {
    position: JournalPosition,
    /// Records before this one are in the index already.
    apply_from: LogIndex,
    covered: BTreeSet<SegmentId>,
    rebuilt: bool,
}

/// What the data lane looks like.
struct Lanes {
    next_sequence: Sequence,
    last_segment: SegmentId,
    abandoned: Vec<Abandoned>,
}

struct Work<'a> {
    pool: &'a mut Pool,
    disks: &'a mut Disks,
    keys: &'a KeyState,
    memtable: Memtable,
    index: IndexStore,
    rows_max: usize,
    walked: u64,
}

impl Work<'_> {
    /// Learns the segments and decides where replay begins.
    fn start(&mut self, snapshot: Option<SnapshotState>) -> Result<Start, OpenError> {
        let rebuilt = snapshot.is_none();
        let mut covered = BTreeSet::new();
        let mut apply_from = LogIndex::ZERO;
        let mut position = None;
        let mut unsure = BTreeMap::new();
        if let Some(snapshot) = snapshot {
            self.pool.next_segment = self.pool.next_segment.max(snapshot.next_segment);
            covered.extend(snapshot.segments.iter().map(|(id, _)| *id));
            for open in &snapshot.open_segments {
                covered.remove(open);
            }
            // Segments that may have been allocated and never used: others may lie there by now.
            let at = snapshot.position.segment;
            let open = snapshot.open_segments;
            let settled = |id: &SegmentId, info: &SegmentInfo| {
                *id == at || (info.data_end.is_some() && !open.contains(id))
            };
            let known = snapshot.segments.into_iter();
            let (sure, rest) = known.partition(|(id, info)| settled(id, info));
            self.pool.segments = sure;
            unsure = rest;
            apply_from = snapshot.apply_from;
            position = Some(snapshot.position);
        }
        self.pool.count_units();
        let high_water = self.high_water();
        scan::scan(self.pool, self.disks, &high_water);
        self.reenter(unsure);
        self.leave_out_stale();
        let position = match position {
            Some(position) => position,
            None => self.genesis_position()?,
        };
        Ok(Start {
            position,
            apply_from,
            covered,
            rebuilt,
        })
    }

    /// The labels of an epoch are in force on every member before its first segment is written: a
    /// disk whose label is older than any segment was away, or was put back to an older state.
    fn leave_out_stale(&mut self) {
        let proven = self.pool.segments.values().map(|info| info.epoch).max();
        for member in &mut self.pool.members {
            if member.state == MemberState::Active
                && proven.is_some_and(|proven| member.label_epoch < proven)
            {
                member.state = MemberState::Stale;
                member.reason = Some("it missed writes and is left alone until a resync");
            }
        }
    }

    fn high_water(&mut self) -> Vec<(DiskId, u32)> {
        let slots: Vec<DiskSlot> = self
            .pool
            .active()
            .filter_map(|member| member.slot)
            .collect();
        slots
            .into_iter()
            .filter_map(|slot| read_label(self.disks.get(slot)?)?.dynamic)
            .map(|label| (label.disk, label.units_high_water.get()))
            .collect()
    }

    /// Enters segments whose header was not found, unless another one lies in their place by now.
    fn reenter(&mut self, unsure: BTreeMap<SegmentId, SegmentInfo>) {
        for (id, mut info) in unsure {
            if let Some(found) = self.pool.segments.get_mut(&id) {
                for place in info.places {
                    if !found.places.contains(&place) {
                        found.places.push(place);
                    }
                }
                continue;
            }
            let taken = |place: &Place| {
                self.pool.segments.values().any(|other| {
                    other.places.iter().any(|there| {
                        let (a, b) = (place.first_unit.get(), there.first_unit.get());
                        there.disk == place.disk && a < b + other.units && b < a + info.units
                    })
                })
            };
            if !info.places.iter().any(taken) {
                info.epoch = Epoch::ZERO;
                info.first_sequence = Sequence::ZERO;
                self.pool.segments.insert(id, info);
            }
        }
    }

    /// The beginning of the journal.
    fn genesis_position(&mut self) -> Result<JournalPosition, OpenError> {
        let first = self
            .pool
            .segments
            .iter()
            .find(|(_, info)| info.lane.is_journal() && info.first_sequence == Sequence::FIRST)
            .map(|(id, _)| *id);
        let missing = self.pool.missing_names();
        let segment = first.ok_or(OpenError::NoJournal { missing })?;
        // A position before the segment, so that replay enters it by its header.
        Ok(JournalPosition {
            segment: SegmentId::new(segment.get() - 1),
            offset: ByteOffset::new(u64::from(BLOCK_BYTES)),
            sequence: Sequence::FIRST,
            chain: Digest::ZERO,
            compliance: UnixMillis::ZERO,
            log: LogHead::default(),
        })
    }

    fn replay(
        &mut self,
        start: &Start,
        watermark: Sequence,
        may_write: bool,
    ) -> Result<Replayed, OpenError> {
        let mut total: Option<Replayed> = None;
        let mut from = start.position.clone();
        let mut lane_chain = from.chain;
        let mut watermark = watermark;
        loop {
            let mut replay = Replay::new(
                self.pool,
                self.disks,
                self.keys,
                &mut self.memtable,
                &self.index,
                From {
                    position: from,
                    lane_chain,
                    watermark,
                    apply_from: start.apply_from,
                },
            );
            let writable = may_write;
            let ended = replay.run(if writable { self.rows_max } else { usize::MAX })?;
            let part = replay.finish();
            let merged = match total.take() {
                None => part,
                Some(earlier) => earlier.then(part),
            };
            if ended {
                return Ok(merged);
            }
            from = merged.position.clone();
            lane_chain = merged.lane_chain;
            watermark = merged.proven;
            total = Some(merged);
            self.commit_rows(&from);
        }
    }

    /// Rows gathered in replay go to the file; on failure they stay in memory.
    fn commit_rows(&mut self, position: &JournalPosition) {
        let Some(rows) = self.memtable.freeze() else {
            return;
        };
        // The segments are not all known yet: a snapshot taken now must not be started from.
        let meta = crate::index::SnapshotMeta {
            next: position.log.next,
            ..crate::index::SnapshotMeta::default()
        };
        let frozen: &FrozenRows = &rows;
        match self.index.commit(frozen, &meta) {
            Ok(()) => {
                drop(rows);
                self.memtable.drop_frozen();
            }
            Err(_) => {
                drop(rows);
                self.memtable.unfreeze();
                self.rows_max = usize::MAX;
            }
        }
    }

    /// Walks data segments the snapshot does not cover.
    fn walk_lanes(&mut self, start: &Start) -> Lanes {
        let segments: Vec<SegmentId> = self
            .pool
            .segments
            .iter()
            .filter(|(_, info)| !info.lane.is_journal())
            .map(|(id, _)| *id)
            .collect();
        let mut lanes = Lanes {
            next_sequence: Sequence::FIRST,
            last_segment: SegmentId::NONE,
            abandoned: Vec::new(),
        };
        for id in segments {
            let Some(info) = self.pool.segments.get(&id).cloned() else {
                continue;
            };
            lanes.last_segment = lanes.last_segment.max(id);
            lanes.next_sequence = lanes.next_sequence.max(info.first_sequence);
            if start.covered.contains(&id) && info.data_end.is_some() {
                continue;
            }
            self.walked += 1;
            let found = index_segment(
                self.pool,
                self.disks,
                id,
                &info,
                &mut self.memtable,
                &self.index,
            );
            let next = Sequence::new(found.last_sequence.get() + 1);
            lanes.next_sequence = lanes.next_sequence.max(next);
            self.close_segment(id, &info, &found, &mut lanes);
        }
        lanes
    }

    fn close_segment(
        &mut self,
        id: SegmentId,
        info: &SegmentInfo,
        found: &super::lanes::LaneSegment,
        lanes: &mut Lanes,
    ) {
        if let Some(units) = found.sealed_units {
            self.pool.trim_known(id, units, Some(found.data_end));
            return;
        }
        if info.data_end.is_some_and(|end| end > 0) {
            return;
        }
        let unused = info.epoch == Epoch::ZERO && self.pool.is_overlaid(id);
        if found.data_end == 0 && (unused || is_blank(self.pool, self.disks, id, info)) {
            // Allocated and never written.
            self.pool.segments.remove(&id);
            return;
        }
        let data_end = found.data_end.max(u64::from(BLOCK_BYTES));
        let kept = units_kept(self.pool, self.disks, id, info, data_end);
        self.pool.trim_known(id, kept, Some(data_end));
        lanes.abandoned.push(Abandoned {
            segment: id,
            lane: info.lane,
            data_end: ByteOffset::new(data_end),
            units_kept: UnitCount::new(kept),
            last_sequence: found.last_sequence,
        });
    }
}

fn load_buckets(
    memtable: &Memtable,
    index: &IndexStore,
) -> Result<BTreeMap<BucketId, BucketRow>, OpenError> {
    let mut buckets = BTreeMap::new();
    let mut scan = Scan::prefix(Table::Buckets, Vec::new(), 1_000);
    loop {
        let merged = memtable.merge_scan(&scan, &index.scan(&scan)?);
        for (key, value) in merged.rows {
            let id: Option<[u8; 16]> = key.as_slice().try_into().ok();
            if let (Some(id), Ok(row)) = (id, BucketRow::decode(&value)) {
                buckets.insert(BucketId::new(id), row);
            }
        }
        match merged.resume {
            None => return Ok(buckets),
            Some(resume) => scan.from = resume,
        }
    }
}

/// How opening ended.
struct Begun {
    journal: crate::journal::Journal,
    read_only: Option<ReadOnlyReason>,
}

/// Repairs and opens a new epoch, or says why the vault is only read.
fn go_on(
    opening: &mut Opening<'_>,
    replayed: &Replayed,
    lanes: &Lanes,
    newest: &stele_format::label::DynamicLabel,
    may_write: bool,
) -> Begun {
    let too_few = |pool: &Pool| ReadOnlyReason::TooFewDisks {
        present: u16::try_from(pool.active().count()).unwrap_or(u16::MAX),
        needed: u16::try_from(pool.needed()).unwrap_or(u16::MAX),
        missing: pool.missing_names(),
    };
    let refusal = match replayed.stuck {
        _ if !may_write || replayed.newer => Some(ReadOnlyReason::NewerFormat),
        Some(stuck) => Some(ReadOnlyReason::JournalDamaged {
            segment: stuck.segment.get(),
            offset: stuck.offset,
            missing: opening.pool.missing_names(),
        }),
        None if !opening.pool.has_quorum() => Some(too_few(opening.pool)),
        None => None,
    };
    if let Some(read_only) = refusal {
        return Begun {
            journal: idle_journal(opening, replayed),
            read_only: Some(read_only),
        };
    }
    begin::repair(opening.pool, opening.disks, &replayed.repairs);
    let abandoned = close_journal(opening, replayed, lanes);
    opening.pool.count_units();
    let states = |pool: &Pool| pool.members.iter().map(|m| m.state).collect::<Vec<_>>();
    let was = newest
        .members
        .iter()
        .map(|m| m.state == stele_format::label::MemberState::Active);
    let is = states(opening.pool)
        .into_iter()
        .map(|state| state == MemberState::Active);
    let members_changed = !was.eq(is);
    let epoch = newest.epoch.max(replayed.epoch);
    let beginning = Beginning {
        previous_epoch: epoch,
        epoch: Epoch::new(epoch.get() + 1),
        next_sequence: replayed.position.sequence,
        previous_segment: replayed.position.segment,
        previous_chain: replayed.lane_chain,
        abandoned,
        members_changed,
        genesis: None,
    };
    match begin::begin(
        opening,
        &beginning,
        &replayed.position.log,
        &replayed.cutoffs,
    ) {
        Some(journal) => Begun {
            journal,
            read_only: None,
        },
        None => {
            let read_only = Some(too_few(opening.pool));
            Begun {
                journal: idle_journal(opening, replayed),
                read_only,
            }
        }
    }
}

/// Names every segment the last epoch left open.
fn close_journal(opening: &mut Opening<'_>, replayed: &Replayed, lanes: &Lanes) -> Vec<Abandoned> {
    let mut abandoned = lanes.abandoned.clone();
    let last = replayed.position.segment;
    let open: Vec<SegmentId> = opening
        .pool
        .segments
        .iter()
        .filter(|(id, info)| info.lane.is_journal() && (info.data_end.is_none() || **id == last))
        .map(|(id, _)| *id)
        .collect();
    for id in open {
        let Some(info) = opening.pool.segments.get(&id).cloned() else {
            continue;
        };
        let unused = info.epoch == Epoch::ZERO && opening.pool.is_overlaid(id);
        if id != last && (unused || is_blank(opening.pool, opening.disks, id, &info)) {
            opening.pool.segments.remove(&id);
            continue;
        }
        let data_end = if id == last {
            replayed.position.offset.get()
        } else {
            u64::from(BLOCK_BYTES)
        };
        let kept = units_kept(opening.pool, opening.disks, id, &info, data_end);
        opening.pool.trim_known(id, kept, Some(data_end));
        abandoned.push(if id == last {
            abandoned_journal(replayed, kept)
        } else {
            Abandoned {
                segment: id,
                lane: info.lane,
                data_end: ByteOffset::new(data_end),
                units_kept: UnitCount::new(kept),
                last_sequence: Sequence::ZERO,
            }
        });
    }
    abandoned
}

/// A journal that is never written, for a vault that is only read.
fn idle_journal(opening: &Opening<'_>, replayed: &Replayed) -> crate::journal::Journal {
    crate::journal::Journal::read_only(opening.pool, &replayed.position, replayed.epoch)
}
