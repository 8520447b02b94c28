//! Opening a vault, step by step.

use std::collections::BTreeMap;

use stele_device::area::Area;
use stele_device::disk::{Disk, DiskError};
use stele_device::keyprovider::Anchor;
use stele_format::units::{DiskId, UnixMillis};

use super::cut::{self, AllRows, Doomed, Postponed};
use super::desk;
use super::forced::Force;
use super::go_on::{force, go_on, goes_on, look};
use super::head;
use super::index_file::{FoundIndex, open_index};
use super::labels::{LabelPicture, read_all};
use super::openings::first_segment;
use super::progress::Progress;
use super::scan::begins_at;
use super::silent::Silent;
use super::space;
use super::work::{Read, Reading, Work};
use super::{Disks, OpenError, OpenReport, Opened, StartContext};
use crate::areas::AreaFailures;
use crate::config::NewBucket;
use crate::engine::{DiskSlot, Engine, HealPlan, Now, Parts, Waits, World};
use crate::index::MirrorCopying;
use crate::index::message::MirrorState;
use crate::index::{IndexStore, Memtable};
use crate::keys::copies::KeyDisk;
use crate::keys::state::{Head, KeyState};
use crate::lane::{DATA_LANE, Lane};
use crate::limits::{
    AHEAD_BYTES, INDEX_ATTEMPT_COUNT_MAX, SNAPSHOT_RECORD_COUNT, SNAPSHOT_ROW_COUNT,
    SNAPSHOT_SEGMENT_COUNT,
};
use crate::plants::{Plant, on};
use crate::pool::{Member, MemberState, Pool};

/// Opens one region of a disk for the index.
pub type OpenArea<'a> = dyn FnMut(DiskSlot, u64, u64) -> Result<Box<dyn Area>, DiskError> + 'a;

/// How to open a vault.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Memory for index pages.
    pub cache_bytes: usize,
    /// Rows in memory before a snapshot.
    pub snapshot_rows: usize,
    /// Segments begun, or read at a start, before a snapshot.
    pub snapshot_segments: u64,
    /// What new buckets become.
    pub new_bucket: NewBucket,
    /// How fast healing goes, and when.
    pub heal: HealPlan,
    /// Zeros kept written ahead of the journal's head, bytes; for disks that are files.
    pub ahead_bytes: u64,
    /// Whether to make the index anew from the whole journal, whatever it states.
    pub new_index: bool,
    /// What to do about a vault that cannot go on by itself. For one that cannot the index is made anew, since only the
    /// journal says how far the log is here.
    pub force: Option<Force>,
    /// Told how far it has come.
    pub progress: Progress,
    /// How mirrors of the index that missed writes are made anew.
    pub mirror_copying: MirrorCopying,
    /// What is printed on the drives that were here last, by the number of the disk from 1.
    pub serials: BTreeMap<u16, String>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            snapshot_rows: SNAPSHOT_ROW_COUNT,
            snapshot_segments: SNAPSHOT_SEGMENT_COUNT,
            new_bucket: NewBucket::default(),
            heal: HealPlan::default(),
            ahead_bytes: AHEAD_BYTES,
            new_index: false,
            force: None,
            progress: Progress::default(),
            mirror_copying: MirrorCopying::USUAL,
            serials: BTreeMap::new(),
        }
    }
}

/// Opens a vault on its disks. Where tombstones wait for it, their keys are cut, and it is opened again; so it is without
/// a disk that does not answer.
///
/// # Errors
/// [`OpenError`]; nothing was written then, unless keys were cut.
pub fn open(
    disks: Vec<Option<Box<dyn Disk>>>,
    open_area: &mut OpenArea<'_>,
    world: World,
    options: &OpenOptions,
    now: Now,
) -> Result<Opened, OpenError> {
    let mut disks = Disks(disks);
    let mut world = Some(world);
    let mut options = options.clone();
    let now = now.told();
    let mut known = Known::default();
    let mut silent = Silent::default();
    loop {
        let attempt = (&mut disks, &mut known);
        let step = open_once(attempt, open_area, &mut world, &options, now);
        let fewer = silent.let_go(&mut disks);
        if !matches!(step, Ok(Step::Open(_))) {
            known.area_failures.begin_anew();
        }
        match step {
            Ok(Step::Open(mut opened)) => {
                opened.report.disks.extend(silent.reports());
                return Ok(*opened);
            }
            // Only the journal says how far the log is here.
            Ok(Step::Anew) => options.new_index = true,
            Ok(Step::Without) => {}
            // The key state has another index key now, or the vault was forced open and opens as any other.
            Ok(Step::Again) => {
                options.new_index = true;
                options.force = None;
            }
            // The vault may be open on the others: another attempt would not say so.
            Err(error @ OpenError::NotForced(super::ForcedRefusal::DiskFailed)) => {
                return Err(error);
            }
            // What went wrong was perhaps that one of them did not answer.
            Err(_) if fewer => {}
            // Rows that cannot be read are made anew, once.
            Err(OpenError::Index(_)) if !options.new_index => options.new_index = true,
            Err(error) => return Err(silent.blamed(error)),
        }
    }
}

/// What attempts found out about disks that the next one cannot see any more.
#[derive(Default)]
struct Known {
    /// Journal frames that a disk had confirmed and does not have, as the attempt found that met most: one that writes
    /// them again leaves none for the next.
    forgotten: BTreeMap<DiskId, u64>,
    /// Disks that refused a write or a flush of the index.
    area_failures: AreaFailures,
}

/// How an attempt ended.
enum Step {
    Open(Box<Opened>),
    /// It is to be forced, or looked at for that: the whole journal is read.
    Anew,
    Again,
    /// A disk does not answer, and nothing was written yet: it is as one that is not here, from the beginning on.
    Without,
}

fn open_once(
    (disks, known): (&mut Disks, &mut Known),
    open_area: &mut OpenArea<'_>,
    given: &mut Option<World>,
    options: &OpenOptions,
    now: Now,
) -> Result<Step, OpenError> {
    let world = given
        .as_mut()
        .expect("the world is taken by the attempt that succeeds");
    let LabelPicture {
        mut pool,
        evidence,
        reports,
    } = read_all(&mut disks.0, &options.serials)?;
    let mut keys = load_keys(&pool, disks, world)?;
    if disks.any_silent() {
        return Ok(Step::Without);
    }
    let areas = (open_area, &known.area_failures);
    let index = open_index(&pool, &keys, areas, options, evidence.epoch)?;
    let how = Reading {
        watermark: evidence.watermark,
        opening: evidence.opening,
        may_write: evidence.may_write,
        rows_max: options.snapshot_rows.max(1),
        progress: options.progress.clone(),
    };
    let found = read(&mut pool, disks, &keys, index, &how)?;
    if disks.any_silent() {
        return Ok(Step::Without);
    }
    let Found {
        read,
        memtable,
        index,
    } = found;
    let replayed = read.replayed;
    for (slot, frames) in replayed.forgotten() {
        if let Some(member) = pool.member_at(slot) {
            let most = known.forgotten.entry(member.disk).or_default();
            *most = frames.max(*most);
        }
    }
    for member in &mut pool.members {
        let found = known.forgotten.get(&member.disk).copied().unwrap_or(0);
        member.forgotten_frames = member.forgotten_frames.max(found);
    }
    let mut report = OpenReport {
        disks: reports,
        frames: replayed.frames,
        records: replayed.records,
        repaired_frames: replayed.lacking() as u64,
        index_rebuilt: read.rebuilt,
        walked_segments: read.lanes.walked,
        unexplained_versions: u64::try_from(replayed.closed_versions).unwrap_or(0),
        outlook: None,
    };
    let index_usage = index.usage();
    // A commit brings a mirror up to date that missed writes.
    let mirrors_behind = index_usage.mirrors.contains(&MirrorState::Stale);
    // Never behind what was told before, whatever became of the log.
    let told = keys.head.map_or(UnixMillis::ZERO, |head| head.compliance);
    let compliance = replayed.position.compliance.max(told);
    let mut opening = StartContext {
        pool: &mut pool,
        disks,
        keys: &keys,
        world,
        compliance,
        wall: now.wall,
    };
    let rows = AllRows {
        memtable: &memtable,
        index: &index,
    };
    let mut desk = desk::read(&rows, opening.pool.id, opening.pool.is_evaluation())?;
    let stated = desk.approvals.origin().opening();
    if let Some(doubted) = desk.approvals.doubted() {
        let first = first_segment(opening.pool, how.opening, doubted);
        opening.pool.doubted.get_or_insert(first);
    }
    if options.force.is_some() && !read.rebuilt && !goes_on(&opening, &replayed, &evidence, stated)
    {
        return Ok(Step::Anew);
    }
    let begun = match &options.force {
        None => go_on(&mut opening, &replayed, &read.lanes, &evidence, stated)?,
        Some(Force::Look) => {
            let (begun, outlook) = look(&opening, &replayed, &evidence, &desk)?;
            report.outlook = Some(outlook);
            begun
        }
        Some(Force::Open(order)) => {
            let read = (&replayed, &read.lanes);
            let (journal, number) = force(&mut opening, read, &evidence, &desk, (order, now))?;
            let head = head::of(&journal, compliance, number);
            // Where it cannot be kept, the statements in the log say that the head before is another log's.
            let _kept = head::keep(&mut keys, head, &pool, disks, world);
            return Ok(Step::Again);
        }
    };
    let doomed = Doomed::find(&rows, &keys, &desk)?;
    let mut waits = Waits {
        unlawful: doomed.unlawful.clone(),
        ..Waits::default()
    };
    // The epoch that began is durable, and so is every tombstone before it.
    if begun.read_only.is_none() {
        let head = head::of(
            &begun.journal,
            compliance,
            desk.approvals.origin().opening(),
        );
        let mut settling = Settling {
            pool: &pool,
            disks,
            keys: &mut keys,
            world,
            rows: &rows,
            head,
        };
        if settling.settle(&doomed, &mut waits)? {
            return Ok(Step::Again);
        }
    }
    // What tombstones hide and nobody cut is looked for when it is.
    let settled = waits.postponed.is_none() && waits.unlawful.is_empty() && !doomed.unfinished;
    if settled && begun.read_only.is_none() {
        let due = !waits.destroyed.is_empty() || space::is_due(&rows, &pool)?;
        if due {
            let epoch = begun.journal.epoch();
            waits.idle = Some(space::find(&rows, &pool, epoch, keys.generation)?);
        }
    }
    // Where they could not be cut now they are at the next start.
    desk.leaves_due = doomed.leaves_due;
    let lane = Lane::new(DATA_LANE, read.lanes.next_sequence, read.lanes.last_segment);
    let world = given.take().expect("nobody took it since");
    let parts = Parts {
        desk,
        waits,
        pool,
        journal: begun.journal,
        lane,
        memtable,
        buckets: read.buckets,
        usages: read.usages,
        keys,
        world,
        compliance,
        now,
        new_bucket: options.new_bucket,
        snapshot_rows: options.snapshot_rows,
        snapshot_segments: options.snapshot_segments,
        snapshot_wanted: read.rebuilt
            || read.unsaved
            || replayed.records >= SNAPSHOT_RECORD_COUNT
            || read.lanes.walked >= options.snapshot_segments
            || mirrors_behind,
        cutoffs: replayed.cutoffs,
        read_only: begun.read_only,
        lacks_records: begun.lacks_records,
        index_usage,
        area_failures: known.area_failures.clone(),
        heal_plan: options.heal,
        ahead_bytes: options.ahead_bytes,
    };
    Ok(Step::Open(Box::new(Opened {
        engine: Engine::new(parts),
        index,
        disks: std::mem::take(&mut disks.0),
        report,
    })))
}

/// What a start does with the key state once its epoch has begun.
struct Settling<'a> {
    pool: &'a Pool,
    disks: &'a mut Disks,
    keys: &'a mut KeyState,
    world: &'a mut World,
    rows: &'a AllRows<'a>,
    head: Head,
}

impl Settling<'_> {
    /// Cuts keys where tombstones wait for it, and keeps the head of the log; true if the vault is to be opened again.
    fn settle(&mut self, doomed: &Doomed, waits: &mut Waits) -> Result<bool, OpenError> {
        let has_keys = !doomed.is_empty() && doomed.has_keys(self.keys, self.rows)?;
        if has_keys && !has_whole_journal(self.pool, self.disks) {
            waits.postponed = Some(Postponed::JournalAway);
            let counts = |member: &&Member| {
                !matches!(member.state, MemberState::Active | MemberState::Drained)
            };
            let away = self.pool.members.iter().filter(counts);
            waits.cut_with = away.map(|member| member.disk).collect();
        } else if has_keys && !on(Plant::DestroyedUncut) {
            let before = self.keys.generation;
            doomed.cut(self.keys, self.rows, &mut *self.world.entropy)?;
            self.keys.head = Some(self.head);
            let done = cut::carry_out(self.keys, self.pool, self.disks, &*self.world.keys);
            *self.keys = load_keys(self.pool, self.disks, self.world)?;
            if self.keys.generation != before {
                return Ok(true);
            }
            waits.postponed = done.err();
        }
        let kept = match on(Plant::DestroyedHalf) && !doomed.is_empty() {
            true => Ok(()),
            false => head::keep(self.keys, self.head, self.pool, self.disks, self.world),
        };
        match kept {
            Ok(()) if waits.postponed.is_none() && !doomed.is_empty() => {
                let anchor = self.world.keys.anchor().ok();
                let anchor = anchor.filter(Anchor::is_anchored);
                let anchor = anchor.map(|anchor| anchor.value);
                waits.destroyed = doomed.records(self.keys, self.pool, anchor);
            }
            Ok(()) => {}
            Err(why) if doomed.is_empty() => waits.head = Some(why),
            Err(why) => waits.postponed = Some(why),
        }
        Ok(false)
    }
}

/// Whether each segment of the journal can be found on a disk that takes part: a blank disk in the place of one that is
/// away takes part without it.
fn has_whole_journal(pool: &Pool, disks: &mut Disks) -> bool {
    let mut segments = pool.journal_segments();
    segments.all(|(id, info)| {
        let mut places = info.places.iter();
        places.any(|place| {
            let located = pool.locate_active(place);
            located.is_some_and(|(slot, base)| {
                let disk = disks.get(slot);
                disk.is_some_and(|disk| begins_at(disk, base, pool.id, id))
            })
        })
    })
}

/// What reading leaves behind.
struct Found {
    read: Read,
    memtable: Memtable,
    index: IndexStore,
}

/// Reads from the snapshot. Where that contradicts the journal, or the index cannot be read, the index
/// is what is not believed: it is made anew and filled from the beginning of the journal. Only a
/// contradiction found then is one of the journal with itself.
fn read(
    pool: &mut Pool,
    disks: &mut Disks,
    keys: &KeyState,
    found: FoundIndex,
    how: &Reading,
) -> Result<Found, OpenError> {
    let untouched = pool.clone();
    let FoundIndex {
        store: mut index,
        mut snapshot,
    } = found;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let from_snapshot = snapshot.is_some();
        let mut work = Work {
            pool: &mut *pool,
            disks: &mut *disks,
            keys,
            memtable: Memtable::new(),
            index,
            how: how.clone(),
            unsaved: false,
        };
        let result = work.read(snapshot.take());
        let memtable = work.memtable;
        index = work.index;
        match result {
            Ok(read) => {
                return Ok(Found {
                    read,
                    memtable,
                    index,
                });
            }
            Err(OpenError::BrokenRecord { .. }) if from_snapshot => {}
            Err(OpenError::Index(_)) if attempt < INDEX_ATTEMPT_COUNT_MAX => {}
            Err(error) => return Err(error),
        }
        index = index.recreate()?;
        pool.clone_from(&untouched);
    }
}

/// The newest key state that opens on the disks that take part.
pub(super) fn load_keys(
    pool: &Pool,
    disks: &mut Disks,
    world: &World,
) -> Result<KeyState, OpenError> {
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
