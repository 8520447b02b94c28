//! From what was read to a vault that is served: a new epoch, or why it is only read.

use stele_format::label::MemberState as LabelState;
use stele_format::limits::{BLOCK_BYTES, COUNTING_MAX};
use stele_format::record::Abandoned;
use stele_format::units::{ByteOffset, Epoch, Opening, SegmentId, Sequence, UnitCount};

use super::begin::{self, Beginning, abandoned_journal};
use super::forced::{self, ForcedOrder, ForcedRefusal, Outlook};
use super::labels::LabelEvidence;
use super::lanes::{is_blank, is_in_doubt, units_kept};
use super::replayed::{Replayed, SegmentEnd};
use super::work::Lanes;
use super::{OpenError, StartContext, head};
use crate::engine::Now;
use crate::engine::people::Desk;
use crate::journal::Journal;
use crate::pool::{Pool, SegmentInfo};
use crate::request::ReadOnlyReason;
use crate::segment::units_to_seal;

/// How opening ended.
pub(super) struct Begun {
    pub(super) journal: Journal,
    pub(super) read_only: Option<ReadOnlyReason>,
    /// Whether records may have been acknowledged that were not read.
    pub(super) lacks_records: bool,
}

/// Repairs and opens a new epoch, or says why the vault is only read.
///
/// # Errors
/// [`OpenError::LogShort`], [`OpenError::OtherLog`]; nothing was written then.
pub(super) fn go_on(
    opening: &mut StartContext<'_>,
    replayed: &Replayed,
    lanes: &Lanes,
    labels: &LabelEvidence,
    stated: Opening,
) -> Result<Begun, OpenError> {
    head::same_history(opening.keys, replayed, stated)?;
    let beginning = beginning(replayed, labels);
    if let Some(read_only) = refusal(opening.pool, replayed, &beginning, labels.may_write) {
        return Ok(Begun {
            journal: idle_journal(opening, replayed),
            read_only: Some(read_only),
            lacks_records: lacks_records(opening.pool, replayed, &beginning),
        });
    }
    head::not_shorter(opening.keys, replayed, opening.pool, stated)?;
    let begun = write_beginning(opening, replayed, lanes, labels, beginning);
    Ok(match begun {
        Ok(journal) => Begun {
            journal,
            read_only: None,
            lacks_records: false,
        },
        // There were enough disks to read all.
        Err(beginning) => Begun {
            journal: idle_journal(opening, replayed),
            read_only: too_few(opening.pool, &beginning).or(Some(ReadOnlyReason::Full)),
            lacks_records: false,
        },
    })
}

/// Repairs, closes what the last epoch left open and opens the next one; gives the beginning back where too few
/// disks take it, or have room.
fn write_beginning(
    opening: &mut StartContext<'_>,
    replayed: &Replayed,
    lanes: &Lanes,
    labels: &LabelEvidence,
    mut beginning: Beginning,
) -> Result<Journal, Box<Beginning>> {
    begin::mend_labels(opening.pool, opening.disks, &labels.mends);
    begin::repair(opening.pool, opening.disks, &replayed.repairs);
    beginning.abandoned = close_journal(opening, replayed, lanes);
    opening.pool.count_units();
    let log = &replayed.position.log;
    let begun = begin::begin(opening, &beginning, log, &replayed.cutoffs);
    begun.ok_or(Box::new(beginning))
}

/// Whether the vault goes on by itself, with what its index knows: then nothing is to be given up that the journal lacks.
pub(super) fn goes_on(
    opening: &StartContext<'_>,
    replayed: &Replayed,
    labels: &LabelEvidence,
    stated: Opening,
) -> bool {
    let beginning = beginning(replayed, labels);
    head::same_history(opening.keys, replayed, stated).is_ok()
        && refusal(opening.pool, replayed, &beginning, labels.may_write).is_none()
        && head::not_shorter(opening.keys, replayed, opening.pool, stated).is_ok()
}

/// Looks without writing: a vault that is only read, and what could be forced.
///
/// # Errors
/// [`OpenError::OtherLog`].
pub(super) fn look(
    opening: &StartContext<'_>,
    replayed: &Replayed,
    labels: &LabelEvidence,
    desk: &Desk,
) -> Result<(Begun, Result<Outlook, ForcedRefusal>), OpenError> {
    let stated = desk.approvals.origin().opening();
    head::same_history(opening.keys, replayed, stated)?;
    let beginning = beginning(replayed, labels);
    let why = refusal(opening.pool, replayed, &beginning, labels.may_write);
    let short = head::not_shorter(opening.keys, replayed, opening.pool, stated).is_err();
    let outlook = match why {
        None if !short => Err(ForcedRefusal::NotNeeded),
        _ => forced::outlook(opening.pool, opening.keys, replayed, labels, desk),
    };
    let begun = Begun {
        journal: idle_journal(opening, replayed),
        lacks_records: short || lacks_records(opening.pool, replayed, &beginning),
        read_only: Some(why.unwrap_or(ReadOnlyReason::LookedAt)),
    };
    Ok((begun, outlook))
}

/// Begins the epoch of a forced opening, as people signed it. The vault is to be opened anew then.
///
/// # Errors
/// [`OpenError::NotForced`]; nothing counts that was written then.
pub(super) fn force(
    opening: &mut StartContext<'_>,
    (replayed, lanes): (&Replayed, &Lanes),
    labels: &LabelEvidence,
    desk: &Desk,
    (order, now): (&ForcedOrder, Now),
) -> Result<(Journal, Opening), OpenError> {
    let (_, outlook) = look(opening, replayed, labels, desk)?;
    let outlook = outlook?;
    let ordinary = beginning(replayed, labels);
    let clocks = (opening.compliance, now);
    let beginning = forced::beginning(opening.pool, order, &outlook, ordinary, desk, clocks)?;
    begin_behind_all(opening.pool);
    let begun = write_beginning(opening, replayed, lanes, labels, beginning);
    match begun {
        Ok(journal) => Ok((journal, outlook.opening)),
        Err(_) => Err(ForcedRefusal::DiskFailed.into()),
    }
}

/// What lies in units that nobody seems to hold may be of a segment that is lost, and not blank, as the journal takes
/// what it writes in to be: if there is room, it begins behind all that was ever in use.
fn begin_behind_all(pool: &mut Pool) {
    let known = pool.doubted;
    pool.doubted = Some(SegmentId::MAX);
    pool.count_units();
    if !pool.has_room_to_begin() {
        pool.doubted = known;
    }
}

/// The epoch that a start begins after all that was read.
fn beginning(replayed: &Replayed, labels: &LabelEvidence) -> Beginning {
    let epoch = labels.epoch.max(replayed.epoch);
    let next = replayed.position.sequence;
    let members = labels.newest.members.iter();
    let active = members.filter(|member| member.state == LabelState::Active);
    Beginning {
        previous_epoch: epoch,
        epoch: Epoch::new(epoch.get() + 1),
        last_sequence: Sequence::new(next.get().saturating_sub(1)),
        next_sequence: next,
        previous_segment: replayed.position.segment,
        previous_chain: replayed.lane_chain,
        abandoned: Vec::new(),
        named: Some(active.map(|member| member.disk).collect()),
        passed: labels.passed.clone(),
        counts: labels.newest.generation,
        leading: Vec::new(),
        exactly: None,
    }
}

fn refusal(
    pool: &Pool,
    replayed: &Replayed,
    beginning: &Beginning,
    may_write: bool,
) -> Option<ReadOnlyReason> {
    match replayed.stuck {
        _ if !may_write || replayed.newer => Some(ReadOnlyReason::NewerFormat),
        Some(stuck) => Some(ReadOnlyReason::JournalDamaged {
            segment: stuck.segment.get(),
            offset: stuck.offset,
            hole: replayed.has_hole(),
            missing: pool.missing_names(),
            idle: pool.idle_here(),
        }),
        None if !has_numbers(pool, beginning) => Some(ReadOnlyReason::NumbersUsedUp),
        None => too_few(pool, beginning),
    }
}

/// Whether acknowledged records may be on none of the disks that are here, or cannot be understood.
fn lacks_records(pool: &Pool, replayed: &Replayed, beginning: &Beginning) -> bool {
    replayed.newer || replayed.stuck.is_some() || too_few(pool, beginning).is_some()
}

/// Whether what a start and a long run will number is far from the end. Only a forged disk is not.
pub(super) fn has_numbers(pool: &Pool, beginning: &Beginning) -> bool {
    let far = |number: u64| number < COUNTING_MAX / 2;
    beginning.epoch.in_range()
        && far(pool.generation.get())
        && far(pool.next_segment.get())
        && far(beginning.next_sequence.get())
}

fn too_few(pool: &Pool, beginning: &Beginning) -> Option<ReadOnlyReason> {
    if pool.may_start() && beginning.has_most(pool) {
        return None;
    }
    let needed = pool.needed_to_start().max(beginning.most());
    Some(ReadOnlyReason::TooFewDisks {
        present: u16::try_from(pool.active().count()).unwrap_or(u16::MAX),
        needed: u16::try_from(needed).unwrap_or(u16::MAX),
        missing: pool.wanted_names(),
        idle: pool.idle_here(),
    })
}

/// Names every segment the last epoch left open, and those it went on from whose seal no record states.
fn close_journal(
    opening: &mut StartContext<'_>,
    replayed: &Replayed,
    lanes: &Lanes,
) -> Vec<Abandoned> {
    let mut abandoned = lanes.abandoned.clone();
    let last = replayed.position.segment;
    let open: Vec<(SegmentId, SegmentInfo)> = opening
        .pool
        .segments
        .iter()
        .filter(|(id, info)| info.lane.is_journal() && (info.data_end.is_none() || **id == last))
        .map(|(id, info)| (*id, info.clone()))
        .collect();
    for (id, info) in open {
        if is_in_doubt(opening.pool, id) {
            continue;
        }
        let left = replayed.ends.get(&id).filter(|_| id != last);
        let unused = info.epoch == Epoch::ZERO && opening.pool.is_overlaid(id);
        let counts = id == last || left.is_some();
        if !counts && (unused || is_blank(opening.pool, opening.disks, id, &info)) {
            opening.pool.segments.remove(&id);
            continue;
        }
        let tail = match left {
            Some(end) if end.is_end => left_behind(opening.pool, id, &info, end),
            left => tail(opening, replayed, id, &info, left),
        };
        let end = Some(tail.data_end.get());
        let (kept, at) = (tail.units_kept.get(), replayed.position.compliance);
        opening.pool.trim_known(id, kept, end, at);
        abandoned.push(tail);
    }
    abandoned
}

/// The segment in which the journal ends, one whose last frames are lost, or one beside the journal: begun by a start
/// that failed, and nothing in it counts.
fn tail(
    opening: &mut StartContext<'_>,
    replayed: &Replayed,
    id: SegmentId,
    info: &SegmentInfo,
    left: Option<&SegmentEnd>,
) -> Abandoned {
    let last = id == replayed.position.segment;
    let data_end = match left {
        _ if last => replayed.position.offset,
        Some(end) => end.offset,
        None => ByteOffset::new(u64::from(BLOCK_BYTES)),
    };
    let kept = units_kept(opening.pool, opening.disks, id, info, data_end.get());
    if last {
        return abandoned_journal(replayed, kept);
    }
    // It may have been sealed by a lost record, and what lies behind its last unit be another's by now.
    let begins = opening.pool.beginnings();
    let places = info
        .places
        .iter()
        .filter(|_| opening.pool.doubted.is_some());
    let room = places.map(|place| begins.room_at(place)).min();
    Abandoned {
        segment: id,
        lane: info.lane,
        data_end,
        units_kept: UnitCount::new(kept.min(room.unwrap_or(kept))),
        last_sequence: left.map_or(Sequence::ZERO, |end| end.last_sequence),
    }
}

/// A segment whose seal was being written when the journal ended in a later one. The units that its seal
/// does not keep were given back then, and may hold something else by now.
fn left_behind(pool: &Pool, id: SegmentId, info: &SegmentInfo, end: &SegmentEnd) -> Abandoned {
    let frames = (end.last_sequence.get() + 1).saturating_sub(info.first_sequence.get());
    let most = end.offset.get() / u64::from(BLOCK_BYTES);
    let frames = usize::try_from(frames.min(most)).unwrap_or(usize::MAX);
    let kept = units_to_seal(end.offset.get(), frames, u64::from(pool.unit_bytes));
    let kept = u32::try_from(kept).unwrap_or(u32::MAX).min(info.units);
    Abandoned {
        segment: id,
        lane: info.lane,
        data_end: end.offset,
        units_kept: UnitCount::new(kept),
        last_sequence: end.last_sequence,
    }
}

/// A journal that is never written, for a vault that is only read.
fn idle_journal(opening: &StartContext<'_>, replayed: &Replayed) -> Journal {
    Journal::read_only(opening.pool, &replayed.position, replayed.epoch)
}
