//! Labels at start: which disks belong together, which of them take part.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::disk::{BlockingDisk, Disk};
use stele_format::label::{
    DynamicLabel, LabelCopy, LabelCopyBytes, LabelError, LabelPhase, LabelReading,
    MemberState as LabelState, read_best,
};
use stele_format::limits::LABEL_COPY_BYTES;
use stele_format::units::{
    ByteCount, DiskId, Epoch, Generation, Opening, PoolId, SegmentId, Sequence,
};

use super::choice::{Choice, Membership, choose};
use super::{DiskReport, DiskVerdict, OpenError};
use crate::engine::{DRAINED, DiskSlot, LEFT_BEHIND};
use crate::limits::FORCED_GENERATION_LEAP;
use crate::pool::space::Freed;
use crate::pool::{Member, MemberState, Pool};

/// A label with the disk it was read from.
type NamedReading = (DiskSlot, String, LabelReading);

/// What the labels of all disks say together.
pub(super) struct LabelPicture {
    pub(super) pool: Pool,
    pub(super) evidence: LabelEvidence,
    pub(super) reports: Vec<DiskReport>,
}

/// What the labels prove about the journal.
pub(super) struct LabelEvidence {
    /// The label that counts.
    pub(super) newest: DynamicLabel,
    /// The disks of each label that was passed over for it.
    pub(super) passed: Vec<Vec<DiskId>>,
    /// Highest frame known durable on the quorum.
    pub(super) watermark: Sequence,
    /// How often the vault was forced open.
    pub(super) opening: Opening,
    /// Highest epoch that any start may have begun.
    pub(super) epoch: Epoch,
    /// Whether this program knows every feature it must respect to write.
    pub(super) may_write: bool,
    /// Label blocks to write again before anything else is written.
    pub(super) mends: Vec<Mend>,
}

/// Reads the label of one disk, all four copies.
#[must_use]
pub fn read_label(disk: &mut dyn Disk) -> Option<LabelReading> {
    find_label(disk).ok()
}

/// The same, and says what is there in its place.
///
/// # Errors
/// No copy is whole, or each is a mark of a wipe.
pub fn find_label(disk: &mut dyn Disk) -> Result<LabelReading, LabelError> {
    let bytes = ByteCount::new(disk.identity().bytes);
    let reading = read_copies(disk, bytes)?;
    let labelled = reading.fixed.geometry.disk_bytes;
    // Where a disk ends that says another size than its label, there may be content: it is no damaged label to be mended.
    if labelled == bytes {
        Ok(reading)
    } else {
        read_copies(disk, labelled)
    }
}

/// The label by its copies on a disk of so many bytes.
fn read_copies(disk: &mut dyn Disk, bytes: ByteCount) -> Result<LabelReading, LabelError> {
    let mut copies = Vec::new();
    for copy in LabelCopy::ALL {
        let offset = copy.offset(bytes);
        // A copy that cannot be read is one fewer to choose from.
        if let Ok(read) = disk.read_at(offset.get(), LABEL_COPY_BYTES as usize) {
            copies.push((copy, offset, read));
        }
    }
    let views: Vec<LabelCopyBytes<'_>> = copies
        .iter()
        .map(|(copy, offset, read)| LabelCopyBytes {
            copy: *copy,
            offset: *offset,
            bytes: read,
        })
        .collect();
    read_best(&views)
}

/// A damaged label block of which another copy has what belongs there: what a cut left half written would
/// look like rot once the ring has gone round.
pub(super) struct Mend {
    pub(super) slot: DiskSlot,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

fn mends(slot: DiskSlot, reading: &LabelReading) -> impl Iterator<Item = Mend> {
    reading.mendable().filter_map(move |(place, label)| {
        let bytes = label.encode(&reading.fixed.geometry, place.copy).ok()?;
        Some(Mend {
            slot,
            offset: place.offset.get(),
            bytes: bytes.to_vec(),
        })
    })
}

/// Reads every label and decides who takes part.
/// `serials` are those of the drives that were here last, by number.
pub(super) fn read_all(
    disks: &mut [Option<Box<dyn Disk>>],
    serials: &BTreeMap<u16, String>,
) -> Result<LabelPicture, OpenError> {
    let mut readings: Vec<NamedReading> = Vec::new();
    let mut reports = Vec::new();
    for (number, disk) in disks.iter_mut().enumerate() {
        let Some(disk) = disk else { continue };
        let slot = DiskSlot(u16::try_from(number).unwrap_or(u16::MAX));
        let name = disk.identity().name.clone();
        match read_label(&mut **disk) {
            Some(reading) => readings.push((slot, name, reading)),
            None => reports.push(DiskReport {
                slot: Some(slot),
                name,
                verdict: DiskVerdict::Unlabelled,
            }),
        }
    }
    let pools = || readings.iter().map(|(_, _, reading)| reading.fixed.pool);
    let pool = pool_of_most(pools()).ok_or(OpenError::NoLabel)?;
    if pools().any(|one| one != pool) {
        return Err(foreign(
            &readings,
            pool,
            &|slot| drive_at(disks, slot),
            serials,
        ));
    }
    if let Some((_, name, _)) = readings
        .iter()
        .find(|(_, _, r)| !r.fixed.features.may_open())
    {
        return Err(OpenError::NewerFormat { disk: name.clone() });
    }
    let may_write = readings
        .iter()
        .all(|(_, _, r)| r.fixed.features.may_write());
    let highest = highest(&readings);
    let damaged = readings.iter();
    let mends = damaged.flat_map(|(slot, _, reading)| mends(*slot, reading));
    let mends = mends.collect();
    keep_newest_of_each(&mut readings, &mut reports);
    let read: Vec<&LabelReading> = readings.iter().map(|(_, _, reading)| reading).collect();
    let membership = match choose(&read) {
        Choice::One(membership) => membership,
        Choice::NotFinished => return Err(OpenError::NotFinished),
        Choice::CannotTell { missing } => return Err(OpenError::TwoMemberships { missing }),
    };
    let mut pool = pool_of(&readings, &membership, &mut reports);
    let drives: Vec<String> = disks
        .iter()
        .flatten()
        .filter_map(|disk| drive(&**disk))
        .collect();
    for member in &mut pool.members {
        member.serial = match member.slot {
            Some(slot) => drive_at(disks, slot),
            None => serials.get(&(member.ordinal + 1)).cloned(),
        };
        // What is remembered is of places, and drives may have been given each other's.
        let is_here = |serial: &String| member.slot.is_none() && drives.contains(serial);
        member.serial.take_if(|serial| is_here(serial));
    }
    pool.generation = highest.generation;
    pool.next_segment = highest.next_segment;
    pool.opening = membership.opening;
    let evidence = LabelEvidence {
        watermark: watermark(&pool, &readings),
        epoch: highest.epoch,
        opening: membership.opening,
        newest: membership.label,
        passed: membership.passed,
        may_write,
        mends,
    };
    Ok(LabelPicture {
        pool,
        evidence,
        reports,
    })
}

/// The vault that most of these disks are of; of as many, that of the first.
#[must_use]
pub fn pool_of_most(pools: impl Iterator<Item = PoolId>) -> Option<PoolId> {
    let pools: Vec<PoolId> = pools.collect();
    let count = |pool: PoolId| pools.iter().filter(|one| **one == pool).count();
    // The last of the best ones is taken.
    pools.iter().rev().copied().max_by_key(|pool| count(*pool))
}

/// What is printed on a drive.
fn drive(disk: &dyn Disk) -> Option<String> {
    disk.identity().serial.clone()
}

/// What is printed on the drive at a place.
fn drive_at(disks: &[Option<Box<dyn Disk>>], slot: DiskSlot) -> Option<String> {
    drive(&**disks.get(usize::from(slot.0))?.as_ref()?)
}

fn in_brackets(serial: Option<&String>) -> String {
    serial.map_or_else(String::new, |serial| format!(" (serial {serial})"))
}

/// The error for disks of several vaults, of which most are of this one.
fn foreign(
    readings: &[NamedReading],
    pool: PoolId,
    drive: &dyn Fn(DiskSlot) -> Option<String>,
    serials: &BTreeMap<u16, String>,
) -> OpenError {
    let of = |ours: bool| {
        let named = readings.iter();
        named.filter(move |(_, _, reading)| (reading.fixed.pool == pool) == ours)
    };
    let names = |ours: bool| -> Vec<String> {
        let called = |(slot, name, _): &NamedReading| {
            format!("{name}{}", in_brackets(drive(*slot).as_ref()))
        };
        of(ours).map(called).collect()
    };
    // A disk has its number's place, unless somebody moved it.
    let was = |(slot, _, _): &NamedReading| serials.get(&(slot.0 + 1)).cloned();
    let was: Vec<String> = of(false).filter_map(was).collect();
    let was = (!was.is_empty()).then(|| was.join(", "));
    let (ours, others) = (names(true), names(false));
    match ours.len() > others.len() {
        true => OpenError::ForeignDisk {
            disk: others.join(", "),
            was: in_brackets(was.as_ref()),
        },
        false => OpenError::MixedDisks {
            disks: [ours, others].concat().join(", "),
        },
    }
}

/// What labels number, at its highest: nothing of it is given twice, whichever label counts.
struct Highest {
    /// Promises included.
    generation: Generation,
    epoch: Epoch,
    next_segment: SegmentId,
}

fn highest(readings: &[NamedReading]) -> Highest {
    // Not the newest alone: a disk that joined a running vault has higher numbers of starts that were cut behind it.
    let labels = || readings.iter().flat_map(|(_, _, r)| r.ring.values());
    let generation = readings.iter().map(|(_, _, r)| r.highest).max();
    Highest {
        generation: generation.unwrap_or_default(),
        epoch: labels().map(|label| label.epoch).max().unwrap_or_default(),
        next_segment: labels()
            .map(|label| label.next_segment)
            .max()
            .unwrap_or_default(),
    }
}

/// The highest watermark on a disk that takes part.
fn watermark(pool: &Pool, readings: &[NamedReading]) -> Sequence {
    let takes_part = |slot| {
        pool.member_at(slot)
            .is_some_and(|member| member.state == MemberState::Active)
    };
    let labels = readings.iter().filter(|(slot, _, _)| takes_part(*slot));
    // The newest may be of a forced opening that was cut and gave up what those before it call durable.
    let labels = labels.flat_map(|(_, _, reading)| reading.ring.values());
    let labels = labels.filter(|label| label.phase != LabelPhase::Promise);
    let marks = labels.map(|label| label.watermark);
    marks.max().unwrap_or(Sequence::ZERO)
}

/// Of disks with one identity only the one with the newest label takes part: the others are what it
/// was before, or what it took the place of.
fn keep_newest_of_each(readings: &mut Vec<NamedReading>, reports: &mut Vec<DiskReport>) {
    let age = |(_, _, reading): &NamedReading| {
        let generation = reading.dynamic.as_ref().map(|label| label.generation);
        (reading.opening(), generation)
    };
    readings.sort_by_key(|reading| std::cmp::Reverse(age(reading)));
    let mut seen = BTreeSet::new();
    readings.retain(|(slot, name, reading)| {
        let first = seen.insert(reading.fixed.disk);
        if !first {
            reports.push(DiskReport {
                slot: Some(*slot),
                name: name.clone(),
                verdict: DiskVerdict::Stale,
            });
        }
        first
    });
    readings.sort_by_key(|(slot, _, _)| *slot);
}

/// Whether a disk that is not here last took part before the last forced opening: that alone leaps so far.
fn was_left(membership: &Membership, last: Generation) -> bool {
    let since = membership.label.generation.get().saturating_sub(last.get());
    !membership.opening.is_zero() && since >= FORCED_GENERATION_LEAP
}

fn pool_of(
    readings: &[NamedReading],
    membership: &Membership,
    reports: &mut Vec<DiskReport>,
) -> Pool {
    let newest = &membership.label;
    let present: BTreeMap<DiskId, &NamedReading> = readings
        .iter()
        .map(|reading| (reading.2.fixed.disk, reading))
        .collect();
    let mut members = Vec::new();
    for (ordinal, named) in newest.members.iter().enumerate() {
        let ordinal = u16::try_from(ordinal).unwrap_or(u16::MAX);
        let found = present.get(&named.disk);
        let geometry = found.map(|(_, _, reading)| reading.fixed.geometry);
        let mut member = Member::new(named.disk, ordinal, geometry);
        member.last_generation = named.last_generation;
        member.forgotten_frames = u64::from(named.forgotten_frames);
        member.voter = membership.voters.contains(&named.disk);
        let own = found.and_then(|(_, _, reading)| reading.dynamic.as_ref());
        member.label_units = own.map_or(0, |label| label.units_high_water.get());
        member.label = own.map_or(Generation::ZERO, |label| label.generation);
        let reached = found.and_then(|(_, _, reading)| membership.reached(reading));
        member.reached = reached.unwrap_or_default();
        let verdict = match (found, named.state) {
            (_, LabelState::Drained) => DiskVerdict::Drained,
            (None, _) => DiskVerdict::Missing,
            (Some(_), _)
                if membership.takes_part(named.disk, found.map(|(_, _, reading)| reading)) =>
            {
                DiskVerdict::Active
            }
            (Some(_), _) => DiskVerdict::Stale,
        };
        if let Some((slot, name, _)) = found {
            member.slot = Some(*slot);
            member.name.clone_from(name);
        }
        (member.state, member.reason) = match verdict {
            DiskVerdict::Active => (MemberState::Active, None),
            DiskVerdict::Stale
                if found.is_some_and(|(_, _, own)| own.opening() < membership.opening) =>
            {
                (MemberState::Stale, Some(LEFT_BEHIND))
            }
            DiskVerdict::Stale => (
                MemberState::Stale,
                Some("it missed writes and is left alone until a resync"),
            ),
            DiskVerdict::Drained => (MemberState::Drained, Some(DRAINED)),
            _ if was_left(membership, named.last_generation) => {
                (MemberState::Absent, Some(LEFT_BEHIND))
            }
            _ => (MemberState::Absent, Some("it is not here")),
        };
        reports.push(DiskReport {
            slot: member.slot,
            name: member.name.clone(),
            verdict,
        });
        members.push(member);
    }
    let geometry = readings
        .first()
        .map(|(_, _, reading)| reading.fixed.geometry);
    Pool {
        id: newest.pool,
        members,
        generation: newest.generation,
        in_force: membership.in_force,
        opening: membership.opening,
        unit_bytes: geometry.map_or(0, |geometry| geometry.unit_bytes),
        segment_units: geometry.map_or(0, |geometry| geometry.segment_units.get()),
        flags: readings
            .first()
            .map_or(0, |(_, _, reading)| reading.fixed.flags.get()),
        created: readings
            .first()
            .map_or(stele_format::units::UnixMillis::ZERO, |(_, _, reading)| {
                reading.fixed.created_ms
            }),
        segments: crate::pool::Segments::default(),
        freed: Freed::default(),
        doubted: None,
        unread: crate::pool::unread::Unread::default(),
        next_segment: newest.next_segment,
        now_ms: 0,
    }
}
