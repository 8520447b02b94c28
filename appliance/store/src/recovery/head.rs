//! The head of the log in the key state: what a start must find again, and where it is kept.
//!
//! It is written when a start has begun its epoch and when a clean stop is over: then what it names is durable on
//! every disk that takes part. So a log that ends before it, or that had another root there, is not the one this
//! vault wrote: somebody cut it, or put disks back to an earlier time. With an anchor the earlier key states never
//! open again, so that putting back all disks at once does not help either.

use stele_device::disk::{BlockingDisk, Disk};
use stele_format::frame::{FrameExpectation, FrameHeader};
use stele_format::limits::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use stele_format::segment::FIRST_FRAME_OFFSET;
use stele_format::tree::TreeHash;
use stele_format::units::{ByteOffset, Generation, Opening, PoolId, UnixMillis};

use super::copies::SegmentCopies;
use super::cut::{self, Postponed};
use super::open::load_keys;
use super::replayed::Replayed;
use super::{Disks, OpenError};
use crate::engine::Engine;
use crate::journal::{Journal, JournalPosition};
use crate::keys::state::{Head, KeyState};
use crate::pool::Pool;
use crate::sequence::LogHead;

/// What replay saw of the log that the head names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passed {
    /// Records before the place where replay began.
    pub(super) began: u64,
    /// Root of the log when it had as many records as the head.
    pub(super) root: Option<TreeHash>,
}

impl Passed {
    pub(super) fn new(log: &LogHead, head: Option<&Head>) -> Self {
        let mut passed = Self {
            began: log.next.get(),
            root: None,
        };
        passed.note(log, head);
        passed
    }

    /// A frame was taken in, or replay begins.
    pub(super) fn note(&mut self, log: &LogHead, head: Option<&Head>) {
        let size = log.frontier.size();
        if log.next.get() == size && head.is_some_and(|head| head.size == size) {
            self.root = Some(log.frontier.root());
        }
    }
}

/// The head that the log must reach: none after a forced opening since, of which people said where it begins.
fn owed(keys: &KeyState, stated: Opening) -> Option<&Head> {
    keys.head.as_ref().filter(|head| head.opening >= stated)
}

/// Refuses another history than the one that the head ends. One that is damaged before that is judged as damage.
/// `stated` is how often people forced the vault open, by their statements in the log.
pub(super) fn same_history(
    keys: &KeyState,
    replayed: &Replayed,
    stated: Opening,
) -> Result<(), OpenError> {
    // A log may go over to another one only where two people signed for it. Of one with a hole that is not known.
    let damaged = replayed.stuck.is_some() && replayed.stepped.unlawful().is_none();
    if replayed.position.sequence.opening() > stated && !damaged {
        return Err(OpenError::OtherLog {
            size: replayed.position.log.next.get(),
        });
    }
    let Some(head) = owed(keys, stated) else {
        return Ok(());
    };
    let passed = replayed.passed;
    // A snapshot beyond it was made of that very log, under a key that only this key state has.
    let reached = passed.began <= head.size && replayed.position.log.next.get() >= head.size;
    let is_same = match passed.root {
        Some(root) => root == head.root,
        None => !reached || replayed.stuck.is_some(),
    };
    if is_same {
        Ok(())
    } else {
        Err(OpenError::OtherLog { size: head.size })
    }
}

/// Refuses to go on after a log that ends before the head.
pub(super) fn not_shorter(
    keys: &KeyState,
    replayed: &Replayed,
    pool: &Pool,
    stated: Opening,
) -> Result<(), OpenError> {
    let first = replayed.position.log.next.get();
    match owed(keys, stated) {
        Some(head) if first < head.size => Err(OpenError::LogShort {
            first,
            last: head.size - 1,
            missing: pool.missing_names(),
        }),
        _ => Ok(()),
    }
}

/// Whether the frame before a snapshot's position is on a disk that takes part, or may be on one that does not.
pub(super) fn has_tail(
    copies: &SegmentCopies,
    disks: &mut Disks,
    pool: PoolId,
    position: &JournalPosition,
) -> bool {
    let places: Vec<_> = copies.voting().collect();
    if places.is_empty() || !copies.are_all_here() || position.offset <= FIRST_FRAME_OFFSET {
        return true;
    }
    let mut offset = position.offset.get();
    let first = FIRST_FRAME_OFFSET
        .get()
        .max(offset.saturating_sub(u64::from(FRAME_BYTES_MAX)));
    while offset > first {
        offset -= u64::from(BLOCK_BYTES);
        let expect = FrameExpectation::at(pool, copies.segment, ByteOffset::new(offset));
        for (slot, base) in &places {
            let disk = disks.get(*slot);
            let block =
                disk.and_then(|disk| disk.read_at(base + offset, BLOCK_BYTES as usize).ok());
            let header = block
                .and_then(|block| FrameHeader::decode(&block[..FRAME_HEADER_BYTES as usize]).ok());
            let header = header.and_then(|header| header.verify(expect).ok());
            if header.is_some_and(|header| header.digest() == position.chain) {
                return true;
            }
        }
    }
    false
}

/// The head of a log whose first frame of this epoch is durable.
pub(super) fn of(journal: &Journal, compliance: UnixMillis, opening: Opening) -> Head {
    let log = &journal.applied().log;
    Head {
        size: log.frontier.size(),
        root: log.frontier.root(),
        compliance,
        opening,
    }
}

/// Writes the key state with another head to every disk that takes part, in the order that makes older ones
/// useless where there is an anchor. What counts afterwards is what opens: `keys` is read again if it fails.
///
/// # Errors
/// [`Postponed`]; the vault goes on with the head it had, or with this one.
pub(super) fn keep(
    keys: &mut KeyState,
    head: Head,
    pool: &Pool,
    disks: &mut Disks,
    world: &crate::engine::World,
) -> Result<(), Postponed> {
    let before = (keys.generation, keys.head);
    keys.generation = Generation::new(keys.generation.get() + 1);
    keys.head = Some(head);
    let done = cut::carry_out(keys, pool, disks, &*world.keys)
        .and_then(|()| cut::save(keys, pool, disks, &*world.keys));
    if done.is_err() {
        match load_keys(pool, disks, world) {
            Ok(found) => *keys = found,
            Err(_) => (keys.generation, keys.head) = before,
        }
    }
    done
}

impl Engine {
    /// After a clean stop: keeps where the log ended in the key state. In a vault that is only read nothing is
    /// written, nor where a disk is still at work: whoever drives it waits for that first.
    ///
    /// # Errors
    /// [`Postponed`]; the next start goes by what was kept before.
    pub fn keep_head(&mut self, disks: &mut Vec<Option<Box<dyn Disk>>>) -> Result<(), Postponed> {
        if self.read_only.is_some() || !self.is_stopped() || self.is_cut_wanted() {
            return Ok(());
        }
        let opening = self.desk.approvals.origin().opening();
        let head = of(&self.journal, self.clock.latest(), opening);
        let mut given = Disks(std::mem::take(disks));
        let at_work = self.pool.active().find(|member| {
            let disk = member.slot.and_then(|slot| given.get(slot));
            disk.is_some_and(|disk| {
                // Reads that nobody waits for any more.
                disk.poll(&mut Vec::new());
                disk.in_flight() > 0
            })
        });
        let done = match at_work {
            Some(member) => Err(Postponed::AtWork { disk: member.disk }),
            None => keep(&mut self.keys, head, &self.pool, &mut given, &self.world),
        };
        *disks = given.0;
        done
    }
}
