//! What a simulated disk is made of, and what each operation does to it.
//!
//! Invariants: `overlay` holds, for each block with an entry in `unflushed`, the newest of them;
//! serials grow in the order in which writes were carried out. A completion is handed out in the
//! same call that carries the operation out, so "completed before the flush was submitted" is
//! "serial below the one that was next then".

use std::collections::{BTreeMap, BTreeSet};

use nix::libc::EIO;

use crate::buffer::BufferMut;
use crate::disk::{DiskError, Op, OpId, OpKind, byte_count};
use crate::limits::{BLOCK, BLOCK_BYTES};

use super::fault::{Counters, Kept, Loss, Plan, hits};
use super::image::{Image, Page, mix, page_bytes, page_of};
use super::power::Power;
use super::rng::SimRng;

/// Where a write came from; flushes of one kind do not cover the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The disk's queue.
    Queue,
    /// An area, named by its first block.
    Area(usize),
}

/// One block of one write that no flush has covered.
#[derive(Clone)]
struct Unflushed {
    serial: u64,
    block: usize,
    page: Page,
    source: Source,
    /// False once a failed flush has given it up: visible until the next crash, never durable.
    may_last: bool,
}

/// An operation in flight.
pub(crate) struct Pending {
    pub(crate) id: OpId,
    pub(crate) op: Op,
    /// Writes with a lower serial had completed when it was submitted.
    pub(crate) boundary: u64,
    /// Submitted by what a power cut has ended: nothing of it gets anywhere.
    pub(crate) dead: bool,
}

/// Everything a snapshot holds.
#[derive(Clone)]
pub(crate) struct Core {
    image: Image,
    overlay: BTreeMap<usize, Page>,
    unflushed: Vec<Unflushed>,
    unreadable: BTreeSet<usize>,
    /// They keep what they hold, whatever is written.
    stuck: BTreeSet<usize>,
    next_serial: u64,
    pub(crate) rng: SimRng,
    pub(crate) plan: Plan,
    pub(crate) counters: Counters,
}

/// A simulated disk, in the hands of the simulator and of whoever has it open.
pub(crate) struct State {
    pub(crate) bytes: u64,
    /// The size it tells of.
    pub(crate) told_bytes: u64,
    pub(crate) core: Core,
    pub(crate) power: Power,
    pub(crate) pending: Vec<Pending>,
    /// Counts openings and crashes; only the latest opening is alive.
    pub(crate) session: u64,
    /// Counts crashes; areas live from one to the next.
    pub(crate) boot: u64,
    pub(crate) gone: bool,
    pub(crate) hung: bool,
}

type Outcome = Result<Option<BufferMut>, DiskError>;

impl State {
    pub(crate) fn new(bytes: u64, seed: u64, power: Power) -> State {
        let core = Core {
            image: Image::default(),
            overlay: BTreeMap::new(),
            unflushed: Vec::new(),
            unreadable: BTreeSet::new(),
            stuck: BTreeSet::new(),
            next_serial: 0,
            rng: SimRng::new(seed),
            plan: Plan::default(),
            counters: Counters::default(),
        };
        let pending = Vec::new();
        State {
            bytes,
            told_bytes: bytes,
            core,
            power,
            pending,
            session: 0,
            boot: 0,
            gone: false,
            hung: false,
        }
    }

    /// Queues an operation that passed the checks.
    pub(crate) fn submit(&mut self, id: OpId, op: Op) {
        let boundary = self.core.next_serial;
        let dead = self.power.has_refused();
        self.pending.push(Pending {
            id,
            op,
            boundary,
            dead,
        });
    }

    /// Takes the operations to be carried out now: at least `at_least`, as far as there are any.
    pub(crate) fn take_due(&mut self, at_least: usize) -> Vec<Pending> {
        if !self.core.plan.reorder || !self.power.is_on() || self.gone {
            return std::mem::take(&mut self.pending);
        }
        let there = self.pending.len();
        let at_least = at_least.min(there);
        let count = at_least + self.core.rng.below(there - at_least + 1);
        (0..count)
            .map(|_| {
                let chosen = self.core.rng.below(self.pending.len());
                self.pending.swap_remove(chosen)
            })
            .collect()
    }

    /// Carries out one operation.
    pub(crate) fn execute(&mut self, pending: Pending) -> Outcome {
        let changes = pending.op.kind() != OpKind::Read;
        if let Err(error) = self.begin(changes) {
            if error == DiskError::PowerLost && !pending.dead {
                self.core.leave_at_risk(&pending.op);
            }
            return Err(error);
        }
        match pending.op {
            Op::Read { offset, bytes } => {
                let mut buffer = BufferMut::zeroed(bytes);
                self.read(offset, &mut buffer, true)?;
                Ok(Some(buffer))
            }
            Op::Write { offset, data } => self
                .write(offset, &data, Source::Queue, OpKind::Write)
                .map(|_| None),
            Op::WriteDurable { offset, data } => {
                let kind = OpKind::WriteDurable;
                let own = self.write(offset, &data, Source::Queue, kind)?;
                self.begin(true)?;
                let boundary = pending.boundary;
                let covers = |serial| serial < boundary || Some(serial) == own;
                self.core.flush(Source::Queue, kind, covers).map(|()| None)
            }
            Op::Flush => {
                let covers = |serial| serial < pending.boundary;
                self.core
                    .flush(Source::Queue, OpKind::Flush, covers)
                    .map(|()| None)
            }
            Op::Discard { offset, bytes } => {
                self.core.counters.discards += 1;
                let first = block_of(offset);
                self.core
                    .store(first, vec![None; block_of(bytes)], Source::Queue);
                Ok(None)
            }
        }
    }

    /// Uses a step of power on a disk that is there; `changes` says whether it may change the disk.
    pub(crate) fn begin(&self, changes: bool) -> Result<(), DiskError> {
        if self.gone {
            Err(DiskError::Gone)
        } else if self.power.step(changes) {
            Ok(())
        } else {
            Err(DiskError::PowerLost)
        }
    }

    /// Reads; into a buffer of zeros, what was never written costs nothing.
    pub(crate) fn read(
        &mut self,
        offset: u64,
        into: &mut [u8],
        zeroed: bool,
    ) -> Result<(), DiskError> {
        let core = &mut self.core;
        core.counters.reads += 1;
        let mut first = block_of(offset);
        if hits(&mut core.plan.misdirect_reads) {
            core.counters.faults += 1;
            first = block_of(astray(
                offset,
                byte_count(into.len()),
                self.bytes,
                &core.plan,
            ));
        }
        let blocks = first..first + into.len() / BLOCK_BYTES;
        if core.unreadable.range(blocks.clone()).next().is_some() {
            core.counters.faults += 1;
            return Err(DiskError::Io {
                errno: EIO,
                op: OpKind::Read,
            });
        }
        for (block, part) in blocks.zip(into.chunks_exact_mut(BLOCK_BYTES)) {
            match core.visible(block) {
                Some(page) => part.copy_from_slice(page),
                None if zeroed => {}
                None => part.fill(0),
            }
        }
        Ok(())
    }

    /// Writes and says under which serial, unless the write was lost.
    pub(crate) fn write(
        &mut self,
        offset: u64,
        from: &[u8],
        source: Source,
        op: OpKind,
    ) -> Result<Option<u64>, DiskError> {
        let core = &mut self.core;
        core.counters.writes += 1;
        let length = byte_count(from.len());
        if let Some(room) = core.plan.room_bytes {
            let left = room.checked_sub(length).ok_or(DiskError::Full)?;
            core.plan.room_bytes = Some(left);
        }
        let pages = from.chunks_exact(BLOCK_BYTES).map(page_of).collect();
        if hits(&mut core.plan.fail_writes) {
            core.counters.faults += 1;
            let first = block_of(offset);
            match core.plan.failed_writes_keep {
                Kept::Nothing => {}
                Kept::Part => {
                    let pages = core.half(first, pages);
                    core.store(first, pages, source);
                }
                Kept::All => {
                    core.store(first, pages, source);
                }
            }
            return Err(DiskError::Io { errno: EIO, op });
        }
        core.counters.written_bytes += length;
        if hits(&mut core.plan.lose_writes) {
            core.counters.faults += 1;
            return Ok(None);
        }
        let mut first = block_of(offset);
        if hits(&mut core.plan.misdirect_writes) {
            core.counters.faults += 1;
            first = block_of(astray(offset, length, self.bytes, &core.plan));
        }
        Ok(Some(core.store(first, pages, source)))
    }

    /// The power fails: decides what is left, and ends whoever has the disk open.
    pub(crate) fn crash(&mut self, loss: Loss) {
        self.time_out();
        self.core.crash(loss);
        self.session += 1;
        self.boot += 1;
        self.hung = false;
    }

    /// Gives up on everything in flight; the disk may still have got some of it.
    pub(crate) fn time_out(&mut self) {
        let pending = std::mem::take(&mut self.pending).into_iter();
        for pending in pending.filter(|pending| !pending.dead) {
            self.core.leave_at_risk(&pending.op);
        }
    }

    /// The condition in which a power cut would find the disk now: what is queued may be on its way.
    pub(crate) fn at_a_cut(&self) -> Core {
        let mut core = self.core.clone();
        for pending in &self.pending {
            core.leave_at_risk(&pending.op);
        }
        core
    }

    /// The process dies, the power stays on: the kernel may or may not get to what was queued.
    pub(crate) fn abandon(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            if self.core.rng.coin() && !self.hung && !self.gone && self.power.is_on() {
                // Whatever comes of it, nobody is left to be told.
                drop(self.execute(pending));
            }
        }
        self.session += 1;
    }
}

impl Core {
    fn visible(&self, block: usize) -> &Page {
        if self.overlay.is_empty() {
            return self.image.get(block);
        }
        let newest = self.overlay.get(&block);
        newest.unwrap_or_else(|| self.image.get(block))
    }

    /// Each sector old or new, by the seed.
    fn half(&mut self, first: usize, pages: Vec<Page>) -> Vec<Page> {
        let mut mixed = Vec::with_capacity(pages.len());
        for (block, page) in (first..).zip(pages) {
            let sectors = self.rng.mask();
            mixed.push(mix(self.visible(block), &page, sectors));
        }
        mixed
    }

    fn store(&mut self, first: usize, pages: Vec<Page>, source: Source) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        for (block, page) in (first..).zip(pages) {
            if !self.unreadable.is_empty() {
                self.unreadable.remove(&block);
            }
            if self.stuck.contains(&block) {
                self.counters.faults += 1;
                continue;
            }
            self.overlay.insert(block, page.clone());
            self.unflushed.push(Unflushed {
                serial,
                block,
                page,
                source,
                may_last: true,
            });
        }
        serial
    }

    /// A write the power cut caught on its way: invisible, but some of it may be on the disk.
    fn leave_at_risk(&mut self, op: &Op) {
        let (first, pages): (usize, Vec<Page>) = match op {
            Op::Write { offset, data } | Op::WriteDurable { offset, data } => (
                block_of(*offset),
                data.chunks_exact(BLOCK_BYTES).map(page_of).collect(),
            ),
            Op::Discard { offset, bytes } => (block_of(*offset), vec![None; block_of(*bytes)]),
            Op::Read { .. } | Op::Flush => return,
        };
        self.store(first, pages, Source::Queue);
    }

    /// Makes the covered writes of a source durable, or as the plan has it.
    pub(crate) fn flush(
        &mut self,
        source: Source,
        op: OpKind,
        covers: impl Fn(u64) -> bool,
    ) -> Result<(), DiskError> {
        self.counters.flushes += 1;
        if hits(&mut self.plan.lie_flushes) {
            self.counters.faults += 1;
            return Ok(());
        }
        let covered = |write: &Unflushed| write.source == source && covers(write.serial);
        if hits(&mut self.plan.fail_flushes) {
            self.counters.faults += 1;
            for index in 0..self.unflushed.len() {
                if covered(&self.unflushed[index]) {
                    let write = &mut self.unflushed[index];
                    let sectors = match self.plan.failed_flushes_keep {
                        Kept::Nothing => 0,
                        Kept::Part => self.rng.mask(),
                        Kept::All => u8::MAX,
                    };
                    let page = mix(self.image.get(write.block), &write.page, sectors);
                    self.image.set(write.block, page);
                    write.may_last = false;
                }
            }
            return Err(DiskError::Io { errno: EIO, op });
        }
        let mut settled = BTreeSet::new();
        let mut left = Vec::new();
        let any_given_up = self.shows_given_up();
        for write in std::mem::take(&mut self.unflushed) {
            if write.may_last && covered(&write) {
                if any_given_up {
                    settled.insert(write.block);
                }
                self.image.set(write.block, write.page);
            } else {
                left.push(write);
            }
        }
        // A block written anew after it was given up shows its new content.
        left.retain(|write| write.may_last || !settled.contains(&write.block));
        self.unflushed = left;
        self.show_unflushed();
        Ok(())
    }

    /// Rebuilds the overlay after writes have left it.
    fn show_unflushed(&mut self) {
        self.overlay.clear();
        for write in &self.unflushed {
            self.overlay.insert(write.block, write.page.clone());
        }
    }

    fn crash(&mut self, loss: Loss) {
        self.counters.crashes += 1;
        let mut rng = match loss {
            Loss::By(seed) => SimRng::new(seed),
            _ => SimRng::new(self.rng.next()),
        };
        let unflushed = std::mem::take(&mut self.unflushed);
        let mut style = match loss {
            Loss::All => Style::Lose,
            Loss::Nothing => Style::Keep,
            Loss::Seeded | Loss::By(_) => Style::choose(&mut rng, &unflushed),
            Loss::LastTorn => unflushed
                .last()
                .map_or(Style::Keep, |last| Style::Oldest(last.serial)),
        };
        let mut current = None;
        let mut fate = Fate::Lost;
        for write in unflushed {
            if current != Some(write.serial) {
                current = Some(write.serial);
                fate = style.fate(&mut rng, write.serial);
            }
            let sectors = match fate {
                Fate::Lost => 0,
                Fate::Kept => u8::MAX,
                Fate::Torn => rng.mask(),
                Fate::Blocks if rng.coin() => u8::MAX,
                Fate::Blocks => 0,
            };
            self.settle(&write, if write.may_last { sectors } else { 0 });
        }
        self.overlay.clear();
    }

    fn settle(&mut self, write: &Unflushed, sectors: u8) {
        match sectors {
            0 => self.counters.blocks_lost += 1,
            u8::MAX => self.counters.blocks_kept += 1,
            _ => self.counters.blocks_torn += 1,
        }
        let page = mix(self.image.get(write.block), &write.page, sectors);
        self.image.set(write.block, page);
    }

    /// Flips bits of one durable byte.
    pub(crate) fn rot(&mut self, offset: u64, mask: u8) {
        let mut byte = [0];
        self.peek_durable(offset, &mut byte);
        self.overwrite_durable(offset, &[byte[0] ^ mask]);
    }

    fn peek_durable(&self, offset: u64, into: &mut [u8]) {
        for (position, byte) in (offset..).zip(into) {
            *byte = page_bytes(self.image.get(block_of(position)))[within(position)];
        }
    }

    /// Puts bytes into the durable image, beside all caches.
    pub(crate) fn overwrite_durable(&mut self, offset: u64, bytes: &[u8]) {
        let mut position = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (block, start) = (block_of(position), within(position));
            let count = rest.len().min(BLOCK_BYTES - start);
            let mut page = page_bytes(self.image.get(block)).to_vec();
            page[start..start + count].copy_from_slice(&rest[..count]);
            self.image.set(block, page_of(&page));
            position += byte_count(count);
            rest = &rest[count..];
        }
    }

    /// What a read would give, without being one.
    pub(crate) fn peek(&self, offset: u64, into: &mut [u8]) {
        let mut position = offset;
        let mut rest = into;
        while !rest.is_empty() {
            let start = within(position);
            let count = rest.len().min(BLOCK_BYTES - start);
            let (part, after) = rest.split_at_mut(count);
            match self.visible(block_of(position)) {
                Some(page) => part.copy_from_slice(&page[start..start + count]),
                None => part.fill(0),
            }
            position += byte_count(count);
            rest = after;
        }
    }

    /// Whether a read of these blocks would give zeros.
    pub(crate) fn is_blank(&self, offset: u64, bytes: usize) -> bool {
        let blocks = block_of(offset)..block_of(offset + byte_count(bytes).max(1) - 1) + 1;
        blocks
            .into_iter()
            .all(|block| self.visible(block).is_none())
    }

    pub(crate) fn mark_unreadable(&mut self, blocks: std::ops::Range<usize>) {
        self.unreadable.extend(blocks);
    }

    pub(crate) fn stick(&mut self, blocks: std::ops::Range<usize>) {
        self.stuck.extend(blocks);
    }

    pub(crate) fn unstick(&mut self) {
        self.stuck.clear();
    }

    pub(crate) fn shows_given_up(&self) -> bool {
        self.unflushed.iter().any(|write| !write.may_last)
    }

    pub(crate) fn is_unreadable(&self, offset: u64, bytes: usize) -> bool {
        let end = offset + byte_count(bytes);
        let blocks = block_of(offset)..block_of(end.next_multiple_of(BLOCK));
        self.unreadable.range(blocks).next().is_some()
    }

    pub(crate) fn wipe(&mut self) {
        self.image = Image::default();
        self.overlay.clear();
        self.unflushed.clear();
        self.unreadable.clear();
        self.stuck.clear();
    }

    /// Digest of all bytes a read would give.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut flushed = self.image.clone();
        for (block, page) in &self.overlay {
            flushed.set(*block, page.clone());
        }
        for (block, page) in flushed.written() {
            hasher
                .update(&byte_count(block).to_le_bytes())
                .update(page_bytes(page));
        }
        *hasher.finalize().as_bytes()
    }
}

/// How one crash treats unflushed writes.
enum Style {
    Lose,
    Keep,
    /// Each write by itself.
    Each,
    /// Every write torn by sectors.
    Tear,
    /// Writes below the serial survive, it is torn, later ones are lost.
    Oldest(u64),
    /// Writes above the serial survive, it is torn, earlier ones are lost.
    Newest(u64),
}

/// What becomes of one write.
#[derive(Clone, Copy)]
enum Fate {
    Lost,
    Kept,
    /// Sector by sector.
    Torn,
    /// Block by block.
    Blocks,
}

impl Style {
    fn choose(rng: &mut SimRng, unflushed: &[Unflushed]) -> Style {
        let pivot = match unflushed.len() {
            0 => return Style::Lose,
            count => unflushed[rng.below(count)].serial,
        };
        match rng.below(8) {
            0 => Style::Lose,
            1 => Style::Keep,
            2 => Style::Tear,
            3 => Style::Oldest(pivot),
            4 => Style::Newest(pivot),
            _ => Style::Each,
        }
    }

    fn fate(&mut self, rng: &mut SimRng, serial: u64) -> Fate {
        let ordered = |lost: bool, kept: bool| match (lost, kept) {
            (true, _) => Fate::Lost,
            (_, true) => Fate::Kept,
            _ => Fate::Torn,
        };
        match *self {
            Style::Lose => Fate::Lost,
            Style::Keep => Fate::Kept,
            Style::Tear => Fate::Torn,
            Style::Oldest(pivot) => ordered(serial > pivot, serial < pivot),
            Style::Newest(pivot) => ordered(serial < pivot, serial > pivot),
            Style::Each => match rng.below(4) {
                0 => Fate::Lost,
                1 => Fate::Kept,
                2 => Fate::Torn,
                _ => Fate::Blocks,
            },
        }
    }
}

/// Number of the block at an offset inside a simulated disk.
pub(crate) fn block_of(offset: u64) -> usize {
    usize::try_from(offset / BLOCK).expect("simulated disks fit into memory")
}

fn within(offset: u64) -> usize {
    usize::try_from(offset % BLOCK).expect("less than a block")
}

/// Where a misdirected access of `bytes` bytes lands.
fn astray(offset: u64, bytes: u64, disk_bytes: u64, plan: &Plan) -> u64 {
    let step = plan.misdirect_by - plan.misdirect_by % BLOCK;
    let positions = disk_bytes - bytes + BLOCK;
    (offset.wrapping_add(step)) % positions
}
