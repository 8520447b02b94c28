//! One segment, read from its copies, judged, and written where it does not verify.
//!
//! A state machine without I/O of its own: it asks for reads, judgements, writes and flushes by token,
//! and is told what came of them. Phases: roots (header, seal), footer, or discovery of frames where
//! nothing seals the segment or its footer is bad; then runs of frames, a few at a time; then flushes, and last the roots
//! of copies that lack them. What was written is read again before the walk goes on.

mod again;
mod discovery;
mod runs;

use std::collections::BTreeMap;

use stele_device::buffer::{Buffer, BufferMut};
use stele_format::limits::BLOCK_BYTES;
use stele_format::segment::SegmentSeal;

use super::discovery::Discovery;
use super::frames::{self, Framed, Judgement, Piece, Run};
use super::{CopyAt, Identity, Lost, Outcome, Role, roots};
use crate::plants::{Plant, on};
use crate::pool::stated::Stated;
use again::Again;
use runs::Runs;

const BLOCK: usize = BLOCK_BYTES as usize;

/// What a walk wants done. Offsets are in the segment.
#[derive(Debug)]
pub(crate) enum Ask {
    Read {
        token: u64,
        copy: usize,
        offset: u64,
        bytes: usize,
    },
    Write {
        token: u64,
        copy: usize,
        offset: u64,
        data: Buffer,
    },
    Flush {
        token: u64,
        copy: usize,
    },
    Judge {
        token: u64,
        run: Run,
        buffer: BufferMut,
    },
}

/// Which copies are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every copy that takes part.
    Scrub,
    /// One copy, others only where it does not verify: to fill targets.
    Fill,
}

/// What is known of the segment beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Closed; its frames end here.
    Closed {
        /// Offset behind the last frame.
        data_end: u64,
        /// Whether power may have gone while it was written and nobody has read it to its end since: copies may lack what
        /// nobody waited for.
        cut: bool,
        /// Its seal, if a record says that it was written.
        stated: Option<Stated>,
    },
    /// Open: these frames are durable on every copy given, and nothing behind them is looked at.
    Open {
        /// The frames.
        frames: Vec<Framed>,
    },
}

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Header(usize),
    Seal(usize),
    Footer(usize),
    Discovery(usize),
    Run { number: u64, copy: usize },
    Again { number: u64, copy: usize },
    Write(usize),
    Flush(usize),
}

impl For {
    fn copy(self) -> usize {
        match self {
            For::Header(copy)
            | For::Seal(copy)
            | For::Footer(copy)
            | For::Discovery(copy)
            | For::Run { copy, .. }
            | For::Again { copy, .. }
            | For::Write(copy)
            | For::Flush(copy) => copy,
        }
    }

    fn is_read(self) -> bool {
        !matches!(self, For::Write(_) | For::Flush(_))
    }
}

#[derive(Debug)]
enum Phase {
    Roots,
    Footers(roots::Sealed),
    Discovery(Discovery),
    Runs,
    /// Everything but roots is written and being flushed.
    Settling,
    /// What was written is read again.
    Rereading,
    /// Roots are written and being flushed.
    Sealing,
    /// Roots that were written are read again.
    Checking,
    Done,
}

/// The root structures as each copy gave them, and the one of each that verifies.
#[derive(Debug, Default)]
struct RootSet {
    headers: Vec<Option<Vec<u8>>>,
    seals: Vec<Option<Vec<u8>>>,
    footers: Vec<Option<Vec<u8>>>,
    header: Option<Vec<u8>>,
    seal: Option<(SegmentSeal, Vec<u8>)>,
    footer: Option<Vec<u8>>,
}

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walk {
    identity: Identity,
    mode: Mode,
    extent: Extent,
    copies: Vec<CopyAt>,
    /// Copies whose disk failed are left out from then on.
    live: Vec<bool>,
    dirty: Vec<bool>,
    /// When each copy did not answer.
    silent_ms: Vec<Option<u64>>,
    phase: Phase,
    roots: RootSet,
    /// No copy has the seal: it was made from the frames.
    made_anew: bool,
    runs: Runs,
    again: Again,
    tokens: BTreeMap<u64, For>,
    next_token: u64,
    asks: Vec<Ask>,
    out: Outcome,
}

impl Walk {
    /// Begins a walk. Members come before witnesses in `copies`; targets may stand anywhere.
    pub(crate) fn new(identity: Identity, mode: Mode, extent: Extent, copies: Vec<CopyAt>) -> Self {
        let count = copies.len();
        let mut walk = Self {
            identity,
            mode,
            extent,
            copies,
            live: vec![true; count],
            dirty: vec![false; count],
            silent_ms: vec![None; count],
            phase: Phase::Roots,
            roots: RootSet {
                headers: vec![None; count],
                seals: vec![None; count],
                footers: vec![None; count],
                ..RootSet::default()
            },
            made_anew: false,
            runs: Runs::default(),
            again: Again::default(),
            tokens: BTreeMap::new(),
            next_token: 0,
            asks: Vec::new(),
            out: Outcome::default(),
        };
        walk.begin();
        walk
    }

    /// The segment.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The copies, as given.
    pub(crate) fn copies(&self) -> &[CopyAt] {
        &self.copies
    }

    /// Whether the segment was open when the walk began.
    pub(crate) fn was_open(&self) -> bool {
        matches!(self.extent, Extent::Open { .. })
    }

    /// What is to be done.
    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.asks)
    }

    /// The result, once nothing is left to do.
    pub(crate) fn finished(&mut self) -> Option<Outcome> {
        matches!(self.phase, Phase::Done).then(|| std::mem::take(&mut self.out))
    }

    /// Bytes that will be read at most when the next run is asked for; 0 when the walk waits for nothing
    /// but what it has asked.
    pub(crate) fn next_bytes(&self) -> u64 {
        match self.phase {
            Phase::Runs => self.runs.next_bytes(self.readers_at_first()),
            Phase::Rereading | Phase::Checking => self.again.next_bytes(),
            _ => 0,
        }
    }

    /// Asks for the next run.
    pub(crate) fn go_on(&mut self) {
        match self.phase {
            Phase::Runs if self.runs.may_begin() => self.begin_run(),
            Phase::Rereading | Phase::Checking if self.again.may_begin() => self.read_next_again(),
            _ => {}
        }
        // Where nobody is left to be asked nothing comes that would go on.
        self.advance();
    }

    /// Whether no more runs are left to be begun than are under way at once.
    pub(crate) fn is_ending(&self) -> bool {
        match self.phase {
            Phase::Runs => self.runs.are_few(),
            Phase::Settling | Phase::Rereading | Phase::Sealing | Phase::Checking | Phase::Done => {
                true
            }
            Phase::Roots | Phase::Footers(_) | Phase::Discovery(_) => false,
        }
    }

    fn seal_at(&self) -> u64 {
        self.identity.bytes() - u64::from(BLOCK_BYTES)
    }

    fn begin(&mut self) {
        let seal_at = self.seal_at();
        let closed = matches!(self.extent, Extent::Closed { .. });
        for copy in 0..self.copies.len() {
            self.read(copy, 0, BLOCK, For::Header(copy));
            if closed {
                self.read(copy, seal_at, BLOCK, For::Seal(copy));
            }
        }
        self.advance();
    }

    fn token(&mut self, meaning: For) -> u64 {
        self.next_token += 1;
        self.tokens.insert(self.next_token, meaning);
        self.next_token
    }

    fn read(&mut self, copy: usize, offset: u64, bytes: usize, meaning: For) {
        let token = self.token(meaning);
        self.asks.push(Ask::Read {
            token,
            copy,
            offset,
            bytes,
        });
    }

    fn write(&mut self, copy: usize, offset: u64, data: Buffer) {
        self.dirty[copy] = true;
        let role = self.copies[copy].role;
        if role == Role::Target {
            self.out.filled_bytes += data.len() as u64;
        }
        let astray = u64::from(on(Plant::RepairMisplaced) && role != Role::Target);
        let offset = offset + astray * u64::from(BLOCK_BYTES);
        let token = self.token(For::Write(copy));
        self.asks.push(Ask::Write {
            token,
            copy,
            offset,
            data,
        });
    }

    /// The disk of this copy is at fault for what is written there again.
    fn accuse(&mut self, copy: usize) {
        let CopyAt { disk, role, .. } = self.copies[copy];
        if role == Role::Member && !self.out.failed_on.contains(&disk) {
            self.out.failed_on.push(disk);
        }
    }

    /// Whether power may have gone before every copy had all of it.
    fn may_be_cut(&self) -> bool {
        matches!(self.extent, Extent::Closed { cut: true, .. })
    }

    /// A read has ended; without bytes when the disk could not give them.
    pub(crate) fn read_done(&mut self, token: u64, bytes: Option<BufferMut>) {
        match self.tokens.remove(&token) {
            Some(For::Header(copy)) => self.roots.headers[copy] = bytes.map(|bytes| bytes.to_vec()),
            Some(For::Seal(copy)) => self.roots.seals[copy] = bytes.map(|bytes| bytes.to_vec()),
            Some(For::Footer(copy)) => self.roots.footers[copy] = bytes.map(|bytes| bytes.to_vec()),
            Some(For::Discovery(copy)) => self.discovered(copy, bytes),
            Some(For::Run { number, copy }) => self.run_read(number, copy, bytes),
            Some(For::Again { number, copy }) => self.read_again(number, copy, bytes),
            _ => {}
        }
        self.advance();
    }

    /// A write or flush has succeeded.
    pub(crate) fn done(&mut self, token: u64) {
        if let Some(For::Flush(copy)) = self.tokens.remove(&token) {
            self.dirty[copy] = false;
        }
        self.advance();
    }

    /// A worker has judged a run.
    pub(crate) fn judged(&mut self, token: u64, buffer: BufferMut, good: Vec<Judgement>) {
        match self.tokens.remove(&token) {
            Some(For::Run { number, copy }) => {
                self.runs.judged(number, copy, buffer.freeze(), good);
                self.settle_run(number);
            }
            Some(For::Again { number, .. }) => self.judged_again(number, &good),
            _ => {}
        }
        self.advance();
    }

    /// A read is not answered, and was given up at this time. The copy gives nothing of it, so that it is written again
    /// where another one has it; the second time it is left out, so that a silent disk does not hold the walk up.
    pub(crate) fn unheard(&mut self, token: u64, now_ms: u64) {
        let Some(meaning) = self.tokens.get(&token).copied() else {
            return;
        };
        let copy = meaning.copy();
        self.out.unheard = true;
        match self.silent_ms[copy] {
            Some(before_ms) if before_ms < now_ms => self.forget(self.copies[copy].slot),
            // What was written again and is not answered was not written in vain.
            _ if matches!(meaning, For::Again { .. }) => self.forget(self.copies[copy].slot),
            _ => {
                self.silent_ms[copy] = Some(now_ms);
                self.read_done(token, None);
            }
        }
    }

    /// A disk is not believed any more: its copy is left out.
    pub(crate) fn forget(&mut self, slot: crate::engine::DiskSlot) {
        let open = self.open_on(slot);
        let on_it: Vec<usize> = (0..self.copies.len())
            .filter(|copy| self.copies[*copy].slot == slot && self.live[*copy])
            .collect();
        for copy in on_it {
            self.live[copy] = false;
            self.dirty[copy] = false;
            self.again.forget(copy);
        }
        let reads = |copy: usize| self.live[copy] && self.copies[copy].role != Role::Target;
        if !(0..self.copies.len()).any(reads) {
            return self.break_off();
        }
        for (token, meaning) in open {
            match meaning.is_read() {
                true => self.read_done(token, None),
                false => drop(self.tokens.remove(&token)),
            }
        }
        self.advance();
    }

    /// What was asked of a disk and has not ended.
    fn open_on(&self, slot: crate::engine::DiskSlot) -> Vec<(u64, For)> {
        let on_it = |meaning: &For| self.copies[meaning.copy()].slot == slot;
        let open = self.tokens.iter().filter(|(_, meaning)| on_it(meaning));
        open.map(|(token, meaning)| (*token, *meaning)).collect()
    }

    /// No copy is left to be read: nothing is known of the segment but what was done before.
    fn break_off(&mut self) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        self.tokens.clear();
        self.asks.clear();
        self.out.lost.clear();
        self.out.unmended.clear();
        self.out.complete = false;
        self.phase = Phase::Done;
    }

    /// Goes on to the next phase when nothing of the present one is open.
    fn advance(&mut self) {
        while self.tokens.is_empty() {
            match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Roots => self.choose_roots(),
                Phase::Footers(sealed) => self.choose_footer(sealed),
                Phase::Discovery(found) => self.discover(found),
                Phase::Runs => {
                    if self.runs.may_begin() {
                        // The pace decides when the next run is asked for.
                        self.phase = Phase::Runs;
                        return;
                    }
                    self.phase = Phase::Settling;
                    self.flush_dirty();
                }
                Phase::Settling => self.phase = Phase::Rereading,
                // The pace decides when the next piece is asked for.
                phase @ (Phase::Rereading | Phase::Checking) if self.again.may_begin() => {
                    self.phase = phase;
                    return;
                }
                Phase::Rereading => {
                    self.write_roots();
                    self.phase = Phase::Sealing;
                }
                Phase::Sealing if self.dirty.iter().any(|dirty| *dirty) => {
                    self.flush_dirty();
                    self.phase = Phase::Sealing;
                }
                Phase::Sealing => self.phase = Phase::Checking,
                Phase::Checking => return self.conclude(),
                Phase::Done => return,
            }
        }
    }

    fn flush_dirty(&mut self) {
        for copy in 0..self.copies.len() {
            if self.dirty[copy] {
                let token = self.token(For::Flush(copy));
                self.asks.push(Ask::Flush { token, copy });
            }
        }
    }

    fn choose_roots(&mut self) {
        let identity = self.identity;
        let good = |block: &&Vec<u8>| roots::header(&identity, block).is_some();
        let header = self.sources(&self.roots.headers).find(good).cloned();
        self.roots.header = header;
        let found = |block: &Vec<u8>| roots::seal(&identity, block);
        let sealed = self.sources(&self.roots.seals).find_map(found);
        match (&self.extent, sealed) {
            (Extent::Open { frames }, _) => {
                let frames = frames.clone();
                self.start_runs(frames, None);
            }
            (Extent::Closed { .. }, Some(sealed)) => self.expect_footer(sealed),
            (Extent::Closed { data_end, .. }, None) => {
                let data_end = *data_end;
                self.discover_unsealed(data_end);
            }
        }
    }

    /// The seal says where the footer is.
    fn expect_footer(&mut self, sealed: roots::Sealed) {
        let (offset, bytes) = roots::footer_place(&sealed.seal);
        for copy in self.live_copies() {
            self.read(copy, offset, bytes, For::Footer(copy));
        }
        self.phase = Phase::Footers(sealed);
    }

    /// What copies that count gave, members first.
    fn sources<'a>(&'a self, of: &'a [Option<Vec<u8>>]) -> impl Iterator<Item = &'a Vec<u8>> {
        let counts = |copy: &CopyAt| copy.role != Role::Target;
        let given = self.copies.iter().zip(of);
        given.filter_map(move |(copy, bytes)| bytes.as_ref().filter(|_| counts(copy)))
    }

    fn live_copies(&self) -> Vec<usize> {
        (0..self.copies.len())
            .filter(|copy| self.live[*copy])
            .collect()
    }

    fn choose_footer(&mut self, sealed: roots::Sealed) {
        let found = |bytes: &Vec<u8>| Some((roots::footer(&sealed.seal, bytes)?, bytes.clone()));
        let footer = self.sources(&self.roots.footers).find_map(found);
        let seal = sealed.seal.clone();
        let data_end = seal.data_end.get();
        self.roots.seal = Some((sealed.seal, sealed.bytes));
        match footer {
            Some((footer, bytes)) => {
                self.roots.footer = Some(bytes);
                if self.mode == Mode::Fill && self.targets_are_whole() {
                    self.phase = Phase::Sealing;
                    return;
                }
                let frames = Framed::of_footer(&footer.entries);
                self.start_runs(frames, Some(&seal));
            }
            None => self.discover_sealed(data_end),
        }
    }

    /// Whether every target has header, footer and seal already: then it has all before them too.
    fn targets_are_whole(&self) -> bool {
        let whole = |copy: usize| {
            self.roots.headers[copy] == self.roots.header
                && self.roots.footers[copy] == self.roots.footer
                && self.roots.seals[copy].as_ref()
                    == self.roots.seal.as_ref().map(|(_, bytes)| bytes)
        };
        let target = |copy: &usize| self.copies[*copy].role == Role::Target && self.live[*copy];
        self.roots.header.is_some() && (0..self.copies.len()).filter(target).all(whole)
    }

    fn start_runs(&mut self, mut frames: Vec<Framed>, seal: Option<&SegmentSeal>) {
        if on(Plant::LastFrameUnscrubbed) && self.mode == Mode::Scrub {
            frames.pop();
        }
        let gap = seal.map(|seal| roots::gap(&self.identity, seal));
        let (offset, bytes) = gap.unwrap_or((0, 0));
        let pieces = frames.into_iter().map(Piece::Frame);
        self.runs = Runs::new(frames::runs(pieces.chain(frames::zeros(offset, bytes))));
        self.phase = Phase::Runs;
    }

    fn lose(&mut self, frame: Option<u32>, offset: u64) {
        self.out.lost.push(Lost {
            segment: self.identity.segment,
            frame,
            offset,
        });
    }

    /// Roots that a copy lacks or that do not verify there. A target with a hole gets only the header,
    /// by which starts find it: its seal would say that it has no hole.
    fn write_roots(&mut self) {
        if self.made_anew && !self.out.lost.is_empty() {
            // A seal that nobody has says of no hole that it is none.
            (self.roots.seal, self.roots.footer) = (None, None);
            self.lose(None, self.seal_at());
        }
        let (seal, seal_at) = (self.roots.seal.clone(), self.seal_at());
        let footer_at = seal.as_ref().map(|(seal, _)| seal.footer_offset.get());
        let whole = self.out.lost.is_empty();
        for copy in self.live_copies() {
            let role = self.copies[copy].role;
            if role == Role::Witness {
                continue;
            }
            let roots = &self.roots;
            let header = (0, roots.header.clone(), roots.headers[copy].clone());
            let footer = (
                footer_at.unwrap_or_default(),
                roots.footer.clone(),
                roots.footers[copy].clone(),
            );
            let seal = seal.as_ref().map(|(_, bytes)| bytes.clone());
            let seal = (seal_at, seal, roots.seals[copy].clone());
            self.write_root(copy, header);
            if role != Role::Target || whole {
                self.write_root(copy, footer);
                self.write_root(copy, seal);
            }
        }
    }

    /// Where a root lies, what it is, and what the copy gave of it.
    fn write_root(
        &mut self,
        copy: usize,
        (offset, good, found): (u64, Option<Vec<u8>>, Option<Vec<u8>>),
    ) {
        match good {
            Some(good) if found.as_ref() != Some(&good) => {
                // Before a seal is written the header was flushed.
                let may_lack = self.may_be_cut() && (offset > 0 || self.roots.seal.is_none());
                // Nor is it known of any copy that it was given a seal that none has.
                let may_lack = may_lack || self.made_anew && offset > 0;
                if !(may_lack && found.is_some_and(|found| frames::is_torn(&found, &good))) {
                    self.accuse(copy);
                }
                self.write(copy, offset, BufferMut::padded(&good).freeze());
                self.wrote_root(copy, offset, good);
            }
            Some(good) => self.out.verified_bytes += good.len() as u64,
            None => {}
        }
    }

    fn conclude(&mut self) {
        if self.roots.header.is_none() {
            self.lose(None, 0);
        }
        let members = |copy: &CopyAt| copy.role != Role::Witness;
        let gone = self.copies.iter().zip(&self.live);
        for (copy, _) in gone.filter(|(_, live)| !**live) {
            self.out.unmended.remove(&copy.disk);
        }
        let live = self.copies.iter().zip(&self.live);
        let unmended = &self.out.unmended;
        self.out.complete = live.clone().all(|(copy, live)| *live || !members(copy));
        let is_closed = matches!(self.extent, Extent::Closed { .. });
        // It may be sealed all the same.
        self.out.complete &= !(self.out.unheard && is_closed && self.roots.seal.is_none());
        self.out.whole = live
            .filter(|(copy, live)| **live && members(copy) && !unmended.contains_key(&copy.disk))
            .map(|(copy, _)| copy.disk)
            .collect();
        self.phase = Phase::Done;
    }
}

#[cfg(test)]
mod tests;
