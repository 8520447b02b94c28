//! A forced opening: two people say that a vault goes on with the disks that are here.
//!
//! Order: (1) the log is read from its beginning, as far as the disks have it; (2) what people signed must be for
//! exactly that: these disks, this head, the next number; (3) the epoch that begins with their statements, as ever
//! in `begin`, but far above every number the lost disks may have used; (4) the key state with the new head. Then
//! the vault is opened once more, like any other. A cut before the last labels of (3) leaves it as it was.

use stele_format::limits::LOST_SPANS_MAX;
use stele_format::record::{Body, ForcedOpen, LostSpan, StatementBody};
use stele_format::statement::{Act, Head, Kind, RecordSpan, Request, Statement};
use stele_format::units::{DiskId, Epoch, Generation, LogIndex, Opening, SegmentId, Sequence};

use super::begin::{Beginning, Exactly, Leading, active_disks};
use super::go_on::has_numbers;
use super::labels::LabelEvidence;
use super::replayed::Replayed;
use crate::engine::Now;
use crate::engine::people::Desk;
use crate::keys::state::KeyState;
use crate::limits::{FORCED_EPOCH_LEAP, FORCED_GENERATION_LEAP, FORCED_SEGMENT_LEAP};
use crate::policy::approval::{
    Accepted, Approvals, Forced, Recorded, RecordedStatement, StatementRefusal, VaultFacts,
};
use crate::pool::{MemberState, Pool};

/// What a start is to do about a vault that cannot go on by itself.
#[derive(Debug, Clone)]
pub enum Force {
    /// Only look: nothing is written but the index, and the report says what could be forced.
    Look,
    /// What people signed.
    Open(Box<ForcedOrder>),
}

/// A forced opening as two people signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedOrder {
    /// The request, by an officer.
    pub request: StatementBody,
    /// Why, in words; kept under the box key.
    pub note: Option<Vec<u8>>,
    /// Its approval, by an approver.
    pub approval: StatementBody,
}

/// What a forced opening would go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Its number.
    pub opening: Opening,
    /// The log as far as the disks have it.
    pub head: Head,
    /// The disks that take part, ascending.
    pub disks: Vec<DiskId>,
    /// Disks of the vault that would be left behind, ascending.
    pub left: Vec<DiskId>,
    /// Newest frame there is.
    pub last: Sequence,
    /// Newest frame that was known durable. With one above `last`, records are surely lost.
    pub durable: Sequence,
    /// Records that the key state knows of beyond what is here.
    pub known_lost: u64,
    /// What is missing before the head, in the order of the log.
    pub lost: Vec<LostSpan>,
    /// Facts of records that are here, and that count for nothing: they speak of what lost ones said.
    pub skipped: u64,
}

impl Outlook {
    /// Records that are missing before the head.
    #[must_use]
    pub fn missing(&self) -> Vec<RecordSpan> {
        self.lost.iter().map(LostSpan::records).collect()
    }

    /// Whether a request is for exactly this: these disks, this log, what is known lost, and the next number.
    ///
    /// # Errors
    /// How it differs.
    pub fn check(&self, request: &Request) -> Result<(), ForcedRefusal> {
        let Act::ForceOpen {
            opening,
            lost,
            missing,
            disks,
        } = &request.act
        else {
            return Err(ForcedRefusal::OtherStatements);
        };
        let (named, next) = (*opening, self.opening);
        if *disks != self.disks {
            return Err(ForcedRefusal::OtherDisks);
        }
        if request.head != self.head {
            let (named, here) = (request.head.size, self.head.size);
            return Err(ForcedRefusal::OtherHead { named, here });
        }
        if named != next {
            return Err(ForcedRefusal::OtherNumber { named, next });
        }
        if *missing != self.missing() {
            return Err(ForcedRefusal::OtherMissing);
        }
        if *lost != self.known_lost {
            let (named, here) = (*lost, self.known_lost);
            return Err(ForcedRefusal::OtherLoss { named, here });
        }
        Ok(())
    }
}

/// Why the vault is not forced open. Nothing was written then, but for the index, or where a disk failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForcedRefusal {
    /// Behind a place that cannot be read nothing repeats the tree of the log: what is there could not be signed.
    #[error(
        "journal bytes in the middle of the log cannot be read, and no record behind them repeats the tree of the log, \
         so that it could not go on from there. The vault can be read as it is; plug in a disk that has the bytes"
    )]
    Hole,
    /// What is missing reaches over the beginning of a forced opening.
    #[error(
        "the record of an earlier forced opening is among those that are missing in the middle of the log: nobody can \
         sign for both sides of it. The vault can be read as it is; plug in a disk that has the bytes"
    )]
    LostOpening,
    /// Records are passed over that no forced opening of this log gave up.
    #[error(
        "a disk states a forced opening that gave up records, and the log has none like it: somebody wrote it there. The \
         vault can be read as it is; unplug that disk"
    )]
    FalseOpening,
    /// Only units that were never in use are given out behind lost records, and none is left.
    #[error(
        "records that say which units are in use are lost, and no disk has enough of such that never were: nothing could be \
         written without the risk of writing over what is stored. The vault can be read as it is; copy it to another one"
    )]
    NoRoom,
    /// More places than one opening names.
    #[error(
        "the log lacks records in {spans} places, more than the {spans_max} that a forced opening names. The vault can be \
         read as it is; plug in a disk that has the bytes"
    )]
    Holes {
        /// Places.
        spans: usize,
        /// Most of them.
        spans_max: usize,
    },
    /// A program that knows less must not write.
    #[error("the pool uses a newer format feature; use a newer program")]
    NewerFormat,
    /// Nothing is left to number.
    #[error("the vault has used up the numbers of its format")]
    NumbersUsedUp,
    /// Nobody could sign.
    #[error("the vault has no people whose signatures could open it; it can be read as it is")]
    NobodyFounded,
    /// Nothing is to be forced.
    #[error("the vault opens with the disks that are here; it is not forced")]
    NotNeeded,
    /// The first statement is no request of that kind, or the second no approval.
    #[error("what was signed is not a request `force-open` and its approval")]
    OtherStatements,
    /// It names other disks.
    #[error(
        "the request names other disks than those that take part here; unplug the ones that it does not name"
    )]
    OtherDisks,
    /// The log is not the one people saw.
    #[error(
        "the request was signed for a log of {named} records, and the disks that are here have {here}, or others; draft \
         a new one"
    )]
    OtherHead {
        /// Records in the request.
        named: u64,
        /// Records here.
        here: u64,
    },
    /// Other records are missing than people saw.
    #[error("the request gives up other records than those that are missing here; draft a new one")]
    OtherMissing,
    /// More was written since people signed, and is lost with what they gave up.
    #[error(
        "the request gives up {named} records, and the vault knows of {here} that are on no disk here; draft a new one"
    )]
    OtherLoss {
        /// Records in the request.
        named: u64,
        /// Records that are known lost.
        here: u64,
    },
    /// The number is used up.
    #[error(
        "the request is for forced opening {named}, and the next one is {next}; draft a new one"
    )]
    OtherNumber {
        /// In the request.
        named: Opening,
        /// The next one.
        next: Opening,
    },
    /// The statements do not count.
    #[error("what was signed does not count: {0}")]
    Statement(#[from] StatementRefusal),
    /// A disk failed meanwhile. With one that failed at its last label, those before it have theirs.
    #[error(
        "a disk that the request names does not take writes: it is not known whether the vault is open. Look again with \
         the other disks that the request names, before any that it leaves behind is plugged in"
    )]
    DiskFailed,
}

/// The next number: above every one that a label, the log or the key state has seen.
fn next_opening(keys: &KeyState, labels: &LabelEvidence, desk: &Desk) -> Option<Opening> {
    let stated = desk.approvals.origin().opening();
    let kept = keys.head.map_or(Opening::ZERO, |head| head.opening);
    stated.max(kept).max(labels.opening).next()
}

/// What could be forced.
pub(super) fn outlook(
    pool: &Pool,
    keys: &KeyState,
    replayed: &Replayed,
    labels: &LabelEvidence,
    desk: &Desk,
) -> Result<Outlook, ForcedRefusal> {
    let log = &replayed.position.log;
    let lost = replayed.lost.clone();
    if replayed.stepped.unlawful().is_some() {
        return Err(ForcedRefusal::FalseOpening);
    }
    if log.has_hole() {
        return Err(ForcedRefusal::Hole);
    }
    let is_opening = |span: &LostSpan| {
        let opening = span.first.opening();
        !opening.is_zero() && span.first == Sequence::first_of(opening)
    };
    if !lost.iter().all(LostSpan::is_span) || lost.iter().any(is_opening) {
        return Err(ForcedRefusal::LostOpening);
    }
    if lost.len() > LOST_SPANS_MAX {
        return Err(ForcedRefusal::Holes {
            spans: lost.len(),
            spans_max: LOST_SPANS_MAX,
        });
    }
    if !lost.is_empty() && !pool.has_room_to_begin() {
        return Err(ForcedRefusal::NoRoom);
    }
    if !labels.may_write || replayed.newer {
        return Err(ForcedRefusal::NewerFormat);
    }
    if desk.approvals.people().is_empty() {
        return Err(ForcedRefusal::NobodyFounded);
    }
    let last = Sequence::new(replayed.position.sequence.get().saturating_sub(1));
    let left = pool.members.iter();
    let left = left.filter(|m| !matches!(m.state, MemberState::Active | MemberState::Drained));
    let mut left: Vec<DiskId> = left.map(|member| member.disk).collect();
    left.sort_unstable();
    let known = keys.head.map_or(0, |head| head.size);
    Ok(Outlook {
        opening: next_opening(keys, labels, desk).ok_or(ForcedRefusal::NumbersUsedUp)?,
        head: Head {
            size: log.frontier.size(),
            root: log.frontier.root(),
        },
        disks: active_disks(pool),
        left,
        last,
        durable: replayed.proven.max(last),
        known_lost: known.saturating_sub(log.frontier.size()),
        lost,
        skipped: replayed.skipped,
    })
}

/// The epoch of a forced opening, if two people signed for exactly this one; the pool is set up for it.
pub(super) fn beginning(
    pool: &mut Pool,
    order: &ForcedOrder,
    outlook: &Outlook,
    ordinary: Beginning,
    desk: &Desk,
    (compliance, now): (stele_format::units::UnixMillis, Now),
) -> Result<Beginning, ForcedRefusal> {
    check_order(order, outlook)?;
    let at = |index: u64| Recorded {
        log_index: LogIndex::new(index),
        compliance,
        wall: now.wall,
    };
    let size = outlook.head.size;
    count(&desk.approvals, order, outlook, at)?;
    let voters = pool.members.iter().filter(|member| member.voter);
    let voters = voters.map(|member| member.disk).collect();
    for member in &mut pool.members {
        member.voter = outlook.disks.contains(&member.disk);
    }
    pool.next_segment = SegmentId::new(pool.next_segment.get() + FORCED_SEGMENT_LEAP);
    pool.generation = Generation::new(pool.generation.get() + FORCED_GENERATION_LEAP);
    let body = ForcedOpen {
        request: LogIndex::new(size),
        opening: outlook.opening,
        last: outlook.last,
        durable: outlook.durable,
        left: outlook.left.clone(),
        lost: outlook.lost.clone(),
    };
    let leading = |body, note| Leading { body, note };
    let beginning = Beginning {
        epoch: Epoch::new(ordinary.epoch.get() + FORCED_EPOCH_LEAP),
        last_sequence: outlook.last,
        next_sequence: Sequence::first_of(outlook.opening),
        passed: Vec::new(),
        leading: vec![
            leading(Body::Statement(order.request.clone()), order.note.clone()),
            leading(Body::Statement(order.approval.clone()), None),
            leading(Body::ForcedOpen(body), None),
        ],
        exactly: Some(Exactly {
            disks: outlook.disks.clone(),
            voters,
        }),
        ..ordinary
    };
    if has_numbers(pool, &beginning) {
        Ok(beginning)
    } else {
        Err(ForcedRefusal::NumbersUsedUp)
    }
}

fn check_order(order: &ForcedOrder, outlook: &Outlook) -> Result<(), ForcedRefusal> {
    let statement = Statement::parse(&order.request.text).map_err(StatementRefusal::from)?;
    match statement.kind() {
        Kind::Request(request) => outlook.check(request),
        _ => Err(ForcedRefusal::OtherStatements),
    }
}

/// Folds the statements as every later start will.
fn count(
    known: &Approvals,
    order: &ForcedOrder,
    outlook: &Outlook,
    at: impl Fn(u64) -> Recorded,
) -> Result<(), ForcedRefusal> {
    let mut approvals = known.clone();
    let size = outlook.head.size;
    let mut say = |index: u64, said: &StatementBody| {
        let recorded = RecordedStatement {
            at: at(index),
            facts: VaultFacts::default(),
            text: said.text.clone(),
            signatures: said.signatures.clone(),
        };
        approvals.apply(&recorded).map(|applied| applied.accepted)
    };
    if say(size, &order.request)? != Accepted::Requested {
        return Err(ForcedRefusal::OtherStatements);
    }
    if say(size + 1, &order.approval)? != Accepted::Executed(LogIndex::new(size)) {
        return Err(ForcedRefusal::OtherStatements);
    }
    Ok(approvals.forced(Forced {
        record: LogIndex::new(size + 2),
        at: at(size + 2).compliance,
        request: LogIndex::new(size),
        opening: outlook.opening,
        missing: &outlook.missing(),
    })?)
}
