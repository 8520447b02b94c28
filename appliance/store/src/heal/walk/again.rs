//! What was written again is read again, once it was flushed: a disk may say that it took what it does not give.
//!
//! Only what verifies then counts as repaired. What does not is not tried a second time by the same walk.

use std::collections::{BTreeMap, VecDeque};

use stele_device::buffer::BufferMut;

use super::{Ask, For, Walk};
use crate::heal::Role;
use crate::heal::frames::{Judgement, Run};
use crate::limits::HEAL_RUN_COUNT_MAX;

/// What was written, and how it is judged.
#[derive(Debug)]
enum What {
    /// Pieces, by what is known of them.
    Pieces(Run),
    /// Header, footer or seal: these bytes.
    Root { offset: u64, bytes: Vec<u8> },
}

/// Something written again on a copy that takes part.
#[derive(Debug)]
struct Written {
    copy: usize,
    what: What,
}

impl Written {
    fn place(&self) -> (u64, usize) {
        match &self.what {
            What::Pieces(run) => (run.offset, run.bytes),
            What::Root { offset, bytes } => (*offset, bytes.len()),
        }
    }

    /// How many frames and roots it is.
    fn count(&self) -> u64 {
        match &self.what {
            What::Pieces(run) => run.pieces.len() as u64,
            What::Root { .. } => 1,
        }
    }
}

/// What is still to be read again, and what is being read.
#[derive(Debug, Default)]
pub(super) struct Again {
    waiting: VecDeque<Written>,
    open: BTreeMap<u64, Written>,
    next_number: u64,
}

impl Again {
    pub(super) fn may_begin(&self) -> bool {
        !self.waiting.is_empty() && self.open.len() < HEAL_RUN_COUNT_MAX
    }

    pub(super) fn next_bytes(&self) -> u64 {
        match self.waiting.front() {
            Some(written) if self.may_begin() => written.place().1 as u64,
            _ => 0,
        }
    }

    /// A disk is not believed any more, whatever it gives.
    pub(super) fn forget(&mut self, copy: usize) {
        self.waiting.retain(|written| written.copy != copy);
        self.open.retain(|_, written| written.copy != copy);
    }
}

impl Walk {
    /// These pieces of a run were written to a copy.
    pub(super) fn wrote_pieces(&mut self, copy: usize, run: Run) {
        self.wrote(copy, What::Pieces(run));
    }

    /// A header, footer or seal was written to a copy.
    pub(super) fn wrote_root(&mut self, copy: usize, offset: u64, bytes: Vec<u8>) {
        self.wrote(copy, What::Root { offset, bytes });
    }

    /// A disk that is filled is read again as all others are, once it takes part.
    fn wrote(&mut self, copy: usize, what: What) {
        if self.copies[copy].role == Role::Member {
            self.again.waiting.push_back(Written { copy, what });
        }
    }

    pub(super) fn read_next_again(&mut self) {
        let Some(written) = self.again.waiting.pop_front() else {
            return;
        };
        self.again.next_number += 1;
        let number = self.again.next_number;
        let (copy, (offset, bytes)) = (written.copy, written.place());
        self.again.open.insert(number, written);
        self.read(copy, offset, bytes, For::Again { number, copy });
    }

    /// What was written was read again; without bytes when the disk could not give them.
    pub(super) fn read_again(&mut self, number: u64, copy: usize, bytes: Option<BufferMut>) {
        let Some(written) = self.again.open.get(&number) else {
            return;
        };
        match (&written.what, bytes) {
            (What::Pieces(run), Some(buffer)) => {
                let run = run.clone();
                let token = self.token(For::Again { number, copy });
                self.asks.push(Ask::Judge { token, run, buffer });
            }
            (What::Root { bytes, .. }, Some(found)) => {
                let good = found[..] == bytes[..];
                self.settle_again(number, &[good]);
            }
            (_, None) => self.settle_again(number, &[]),
        }
    }

    /// A worker has judged what was read again.
    pub(super) fn judged_again(&mut self, number: u64, judged: &[Judgement]) {
        let good: Vec<bool> = judged
            .iter()
            .map(|judgement| *judgement == Judgement::Good)
            .collect();
        self.settle_again(number, &good);
    }

    /// Counts what verifies as repaired, and what does not as damaged still.
    fn settle_again(&mut self, number: u64, good: &[bool]) {
        let Some(written) = self.again.open.remove(&number) else {
            return;
        };
        let disk = self.copies[written.copy].disk;
        let verified = good.iter().filter(|good| **good).count() as u64;
        let bytes = match &written.what {
            What::Pieces(run) => {
                let pieces = run.pieces.iter().zip(good).filter(|(_, good)| **good);
                pieces.map(|(piece, _)| piece.bytes() as u64).sum()
            }
            What::Root { bytes, .. } => bytes.len() as u64 * verified,
        };
        if verified > 0 {
            self.out.repaired += 1;
            self.out.repaired_bytes += bytes;
            self.out.verified_bytes += bytes;
            if !self.out.repaired_on.contains(&disk) {
                self.out.repaired_on.push(disk);
            }
        }
        let bad = written.count().saturating_sub(verified);
        if bad > 0 {
            *self.out.unmended.entry(disk).or_default() += bad;
        }
    }
}
