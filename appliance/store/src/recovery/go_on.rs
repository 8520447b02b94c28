//! From what was read to a vault that is served: a new epoch, or why it is only read.

use stele_format::label::{DynamicLabel, MemberState as LabelState};
use stele_format::limits::BLOCK_BYTES;
use stele_format::record::Abandoned;
use stele_format::units::{ByteOffset, Epoch, SegmentId, Sequence, UnitCount};

use super::Opening;
use super::begin::{self, Beginning, abandoned_journal};
use super::lanes::{is_blank, units_kept};
use super::replay::Replayed;
use super::work::Lanes;
use crate::journal::Journal;
use crate::pool::{MemberState, Pool};
use crate::request::ReadOnlyReason;

/// How opening ended.
pub(super) struct Begun {
    pub(super) journal: Journal,
    pub(super) read_only: Option<ReadOnlyReason>,
}

/// Repairs and opens a new epoch, or says why the vault is only read.
pub(super) fn go_on(
    opening: &mut Opening<'_>,
    replayed: &Replayed,
    lanes: &Lanes,
    newest: &DynamicLabel,
    may_write: bool,
) -> Begun {
    let too_few = |pool: &Pool| ReadOnlyReason::TooFewDisks {
        present: u16::try_from(pool.active().count()).unwrap_or(u16::MAX),
        needed: u16::try_from(pool.needed_to_start().max(named(newest) / 2 + 1))
            .unwrap_or(u16::MAX),
        missing: pool.missing_names(),
    };
    let refusal = match replayed.stuck {
        _ if !may_write || replayed.newer => Some(ReadOnlyReason::NewerFormat),
        Some(stuck) => Some(ReadOnlyReason::JournalDamaged {
            segment: stuck.segment.get(),
            offset: stuck.offset,
            missing: opening.pool.missing_names(),
        }),
        None if !opening.pool.may_start() || !has_most(opening.pool, newest) => {
            Some(too_few(opening.pool))
        }
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
    let was = newest.members.iter().map(|m| m.state == LabelState::Active);
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
            let read_only = Some(if opening.pool.may_start() {
                ReadOnlyReason::Full
            } else {
                too_few(opening.pool)
            });
            Begun {
                journal: idle_journal(opening, replayed),
                read_only,
            }
        }
    }
}

/// Active disks as the newest label names them, in force or not.
fn named(newest: &DynamicLabel) -> usize {
    let members = newest.members.iter();
    members.filter(|m| m.state == LabelState::Active).count()
}

/// Whether more than half of these disks take part.
fn has_most(pool: &Pool, newest: &DynamicLabel) -> bool {
    2 * pool.active().count() > named(newest)
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
fn idle_journal(opening: &Opening<'_>, replayed: &Replayed) -> Journal {
    Journal::read_only(opening.pool, &replayed.position, replayed.epoch)
}
