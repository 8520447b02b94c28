//! Runs of a walk: read, judged, repaired, a few at a time.

use std::collections::{BTreeMap, VecDeque};

use stele_device::buffer::{Buffer, BufferMut};

use super::{Ask, For, Mode, Walk};
use crate::heal::Role;
use crate::heal::frames::{Judgement, Piece, Run};
use crate::limits::HEAL_RUN_COUNT_MAX;

/// What one copy gave of a run.
#[derive(Debug, Clone)]
enum Given {
    NotAsked,
    Waiting,
    /// The disk could not give it.
    Nothing,
    Judged {
        bytes: Buffer,
        good: Vec<Judgement>,
    },
}

#[derive(Debug)]
struct OpenRun {
    run: Run,
    given: Vec<Given>,
}

/// Runs still to come, and those under way.
#[derive(Debug, Default)]
pub(super) struct Runs {
    waiting: VecDeque<Run>,
    open: BTreeMap<u64, OpenRun>,
    next_number: u64,
}

impl Runs {
    pub(super) fn new(waiting: VecDeque<Run>) -> Self {
        Self {
            waiting,
            ..Self::default()
        }
    }

    pub(super) fn may_begin(&self) -> bool {
        !self.waiting.is_empty() && self.open.len() < HEAL_RUN_COUNT_MAX
    }

    pub(super) fn are_few(&self) -> bool {
        self.waiting.len() <= HEAL_RUN_COUNT_MAX
    }

    pub(super) fn next_bytes(&self, readers: usize) -> u64 {
        match self.waiting.front() {
            Some(run) if self.may_begin() => (run.bytes * readers.max(1)) as u64,
            _ => 0,
        }
    }

    pub(super) fn judged(&mut self, number: u64, copy: usize, bytes: Buffer, good: Vec<Judgement>) {
        if let Some(open) = self.open.get_mut(&number) {
            open.given[copy] = Given::Judged { bytes, good };
        }
    }
}

impl OpenRun {
    fn is_waiting(&self) -> bool {
        self.given
            .iter()
            .any(|given| matches!(given, Given::Waiting))
    }

    /// The first copy that gave this piece right.
    fn good(&self, piece: usize) -> Option<&Buffer> {
        self.given.iter().find_map(|given| match given {
            Given::Judged { bytes, good } if good.get(piece) == Some(&Judgement::Good) => {
                Some(bytes)
            }
            _ => None,
        })
    }

    /// Whether every copy asked shows that it never held this piece whole.
    fn is_torn(&self, piece: usize) -> bool {
        let asked = |given: &&Given| !matches!(given, Given::NotAsked);
        let torn = |given: &Given| match given {
            Given::Judged { good, .. } => good.get(piece) == Some(&Judgement::Torn),
            Given::NotAsked | Given::Waiting | Given::Nothing => false,
        };
        let mut asked = self.given.iter().filter(asked).peekable();
        asked.peek().is_some() && asked.all(torn)
    }

    /// Whether several copies give the same wrong bytes of a piece. Disks do not rot alike: they were given these to
    /// write, or memory that all are read into changes them.
    fn is_alike(&self, piece: usize) -> bool {
        let range = self.run.range(&self.run.pieces[piece]);
        let wrong = |given: &'_ Given| match given {
            Given::Judged { bytes, good } if good.get(piece) == Some(&Judgement::Bad) => {
                let bytes = bytes.get(range.clone())?;
                // What was wiped is alike everywhere.
                let wiped = bytes.windows(2).all(|pair| pair[0] == pair[1]);
                (!wiped).then_some(blake3::hash(bytes))
            }
            _ => None,
        };
        let mut seen = Vec::new();
        self.given.iter().filter_map(wrong).any(|digest| {
            let known = seen.contains(&digest);
            seen.push(digest);
            known
        })
    }

    /// Neighbouring pieces of it.
    fn part(&self, pieces: &[usize]) -> Run {
        let pieces: Vec<Piece> = pieces.iter().map(|at| self.run.pieces[*at]).collect();
        Run {
            offset: pieces.first().map_or(self.run.offset, Piece::offset),
            bytes: pieces.iter().map(Piece::bytes).sum(),
            pieces,
        }
    }

    /// Whether some frame was given right by no copy so far.
    fn lacks(&self) -> bool {
        let frame = |piece: &Piece| matches!(piece, Piece::Frame(_));
        let pieces = self.run.pieces.iter().enumerate();
        pieces
            .into_iter()
            .any(|(at, piece)| frame(piece) && self.good(at).is_none())
    }
}

impl Walk {
    /// How many copies a run is read from before anything is known to be bad.
    pub(super) fn readers_at_first(&self) -> usize {
        let members = |copy: &usize| self.live[*copy] && self.copies[*copy].role == Role::Member;
        let count = (0..self.copies.len()).filter(members).count();
        match self.mode {
            Mode::Scrub => count,
            Mode::Fill => count.min(1),
        }
    }

    pub(super) fn begin_run(&mut self) {
        let Some(run) = self.runs.waiting.pop_front() else {
            return;
        };
        let number = self.runs.next_number;
        self.runs.next_number += 1;
        let readers = self.readers_at_first();
        let given = vec![Given::NotAsked; self.copies.len()];
        self.runs.open.insert(number, OpenRun { run, given });
        let mut members: Vec<usize> = (0..self.copies.len())
            .filter(|copy| self.live[*copy] && self.copies[*copy].role == Role::Member)
            .collect();
        // A fill spreads its reads over the disks.
        let turn = usize::try_from(number).unwrap_or(0) % members.len().max(1);
        members.rotate_left(turn);
        for copy in members.into_iter().take(readers) {
            self.read_run(number, copy);
        }
        self.settle_run(number);
    }

    fn read_run(&mut self, number: u64, copy: usize) {
        let Some(open) = self.runs.open.get_mut(&number) else {
            return;
        };
        open.given[copy] = Given::Waiting;
        let (offset, bytes) = (open.run.offset, open.run.bytes);
        self.read(copy, offset, bytes, For::Run { number, copy });
    }

    pub(super) fn run_read(&mut self, number: u64, copy: usize, bytes: Option<BufferMut>) {
        let Some(open) = self.runs.open.get_mut(&number) else {
            return;
        };
        match bytes {
            Some(buffer) => {
                let run = open.run.clone();
                let token = self.token(For::Run { number, copy });
                self.asks.push(Ask::Judge { token, run, buffer });
            }
            None => {
                open.given[copy] = Given::Nothing;
                self.settle_run(number);
            }
        }
    }

    /// Once every copy asked has answered: asks one more if something is still lacking, else writes
    /// what is to be written.
    pub(super) fn settle_run(&mut self, number: u64) {
        let Some(open) = self.runs.open.get(&number) else {
            return;
        };
        if open.is_waiting() {
            return;
        }
        if open.lacks() {
            let next = (0..self.copies.len()).find(|copy| {
                self.live[*copy]
                    && self.copies[*copy].role != Role::Target
                    && matches!(open.given[*copy], Given::NotAsked)
            });
            if let Some(copy) = next {
                return self.read_run(number, copy);
            }
        }
        if let Some(open) = self.runs.open.remove(&number) {
            self.count(&open);
            self.repair(&open);
        }
    }

    fn count(&mut self, open: &OpenRun) {
        for given in &open.given {
            if let Given::Judged { good, .. } = given {
                let pieces = open.run.pieces.iter().zip(good);
                let bytes = pieces
                    .filter(|(_, good)| **good == Judgement::Good)
                    .map(|(piece, _)| piece.bytes() as u64);
                self.out.verified_bytes += bytes.sum::<u64>();
            }
        }
    }

    fn repair(&mut self, open: &OpenRun) {
        let may_be_unfinished = self.may_be_unfinished();
        for (at, piece) in open.run.pieces.iter().enumerate() {
            if let (Piece::Frame(frame), None) = (piece, open.good(at))
                && !(may_be_unfinished && open.is_torn(at))
            {
                self.lose(Some(frame.number), frame.offset);
            }
        }
        let frame = |at: &usize| matches!(open.run.pieces[*at], Piece::Frame(_));
        let alike = (0..open.run.pieces.len()).filter(frame);
        self.out.alike += alike.filter(|at| open.is_alike(*at)).count() as u64;
        for copy in self.live_copies() {
            if self.is_at_fault(copy, open) {
                self.accuse(copy);
            }
            let bad: Vec<usize> = match (self.copies[copy].role, &open.given[copy]) {
                (Role::Target, _) | (Role::Member, Given::Nothing) => {
                    (0..open.run.pieces.len()).collect()
                }
                (Role::Member, Given::Judged { good, .. }) => (0..good.len())
                    .filter(|at| good[*at] != Judgement::Good)
                    .collect(),
                _ => continue,
            };
            self.write_pieces(copy, open, &bad);
        }
    }

    /// Whether a copy does not give something that another one gives, other than what a power cut kept from it.
    fn is_at_fault(&self, copy: usize, open: &OpenRun) -> bool {
        let may_lack = self.may_be_cut() && self.may_be_unfinished();
        let is_lacking = |at: &usize| {
            let zeros = matches!(open.run.pieces[*at], Piece::Zeros { .. });
            zeros || open.good(*at).is_some()
        };
        let mut pieces = (0..open.run.pieces.len()).filter(is_lacking);
        match &open.given[copy] {
            Given::Nothing => pieces.next().is_some(),
            Given::Judged { good, .. } => pieces.any(|at| match good[at] {
                Judgement::Good => false,
                Judgement::Torn => !may_lack,
                Judgement::Bad => true,
            }),
            Given::NotAsked | Given::Waiting => false,
        }
    }

    /// Writes pieces of a run, neighbours from the same copy in one go.
    fn write_pieces(&mut self, copy: usize, open: &OpenRun, bad: &[usize]) {
        let mut at = 0;
        while at < bad.len() {
            let piece = &open.run.pieces[bad[at]];
            let range = open.run.range(piece);
            let Some(source) = open.good(bad[at]) else {
                if matches!(piece, Piece::Zeros { .. }) {
                    let data = BufferMut::zeroed(piece.bytes()).freeze();
                    self.write(copy, piece.offset(), data);
                    self.wrote_pieces(copy, open.part(&bad[at..=at]));
                }
                at += 1;
                continue;
            };
            let mut end = range.end;
            let mut last = at;
            while let Some(next) = bad.get(last + 1)
                && *next == bad[last] + 1
                && open.good(*next).is_some_and(|other| same(other, source))
            {
                last += 1;
                end = open.run.range(&open.run.pieces[*next]).end;
            }
            self.write(copy, piece.offset(), source.slice(range.start..end));
            self.wrote_pieces(copy, open.part(&bad[at..=last]));
            at = last + 1;
        }
    }
}

/// Whether two handles share their memory.
fn same(a: &Buffer, b: &Buffer) -> bool {
    std::ptr::eq(a.as_ptr(), b.as_ptr())
}
