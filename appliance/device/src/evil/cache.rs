//! The cache of one disk: what was written and not flushed, in front of its file.
//!
//! Invariants:
//! - a read sees the newest write of each block, flushed or not;
//! - the file holds what was flushed, what was evicted for room, and after a cut a part of the rest;
//! - once a block of a write is in the file, older writes of that block never reach it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::fate::{Fate, Mood, fate, shuffle};
use super::mains::Mains;
use super::plan::{Flushes, OfDisk};
use crate::disk::{DiskError, OpKind, byte_count, check_range};
use crate::limits::{BLOCK, BLOCK_BYTES, EVIL_CACHE_BYTES_MAX};
use crate::linux::open::disk_error;
use crate::sim::rng::SimRng;
use crate::sync::lock;

/// Who wrote: a flush covers the writes of its own handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u64);

/// What a write holds.
#[derive(Clone)]
pub(super) enum Content {
    Bytes(Arc<[u8]>),
    /// A discard: so many bytes that read as zeros.
    Zeros(u64),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => byte_count(bytes.len()),
            Content::Zeros(bytes) => *bytes,
        }
    }
}

/// A write that is not in the file.
#[derive(Clone)]
struct Pending {
    /// None when its handle was closed: then any flush covers it.
    owner: Option<Owner>,
    offset: u64,
    content: Content,
    /// When its completion was handed out.
    handed_out: Option<u64>,
}

impl Pending {
    fn blocks(&self) -> Range<u64> {
        self.offset / BLOCK..(self.offset + self.content.len()) / BLOCK
    }
}

/// The cache of one disk and the file behind it.
pub struct Cache {
    file: File,
    bytes: u64,
    mains: Mains,
    /// What each flush takes more than its share.
    slow: Duration,
    /// Writes that it takes; then it fails.
    writes_max: u64,
    writes: AtomicU64,
    state: Mutex<State>,
}

/// What a `Mains` holds still while it cuts the power.
pub(super) struct State {
    pending: BTreeMap<u64, Pending>,
    /// The writes that each block is part of, oldest first.
    blocks: BTreeMap<u64, Vec<u64>>,
    next: u64,
    ticks: u64,
    owners: u64,
    held_bytes: u64,
}

impl Cache {
    /// Opens the disk of this number.
    pub(super) fn open(
        path: &Path,
        bytes: u64,
        number: u64,
        mains: Mains,
    ) -> std::io::Result<Cache> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let of_this = |one: Option<OfDisk>| one.filter(|one| one.disk == number);
        let slow = of_this(mains.plan().slow).map_or(0, |slow| slow.number);
        let writes_max = of_this(mains.plan().fail).map_or(u64::MAX, |fail| fail.number);
        Ok(Cache {
            file,
            bytes,
            mains,
            slow: Duration::from_millis(slow),
            writes_max,
            writes: AtomicU64::new(0),
            state: Mutex::new(State {
                pending: BTreeMap::new(),
                blocks: BTreeMap::new(),
                next: 0,
                ticks: 0,
                owners: 0,
                held_bytes: 0,
            }),
        })
    }

    /// Size of the disk, bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether the disk has no room at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// A flush takes time.
    pub(super) fn pause(&self) {
        self.mains.pause();
        std::thread::sleep(self.slow);
    }

    /// Held while the power is cut.
    pub(super) fn freeze(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The state, while there is power.
    fn powered(&self) -> Result<MutexGuard<'_, State>, DiskError> {
        let state = lock(&self.state);
        // Looked at under the lock, which the cut takes after the switch is off.
        if self.mains.is_on() {
            Ok(state)
        } else {
            Err(DiskError::PowerLost)
        }
    }

    /// A new handle.
    pub fn owner(&self) -> Owner {
        let mut state = lock(&self.state);
        state.owners += 1;
        Owner(state.owners)
    }

    /// Closing flushes nothing.
    pub fn close(&self, owner: Owner) {
        let mut state = lock(&self.state);
        for write in state
            .pending
            .values_mut()
            .filter(|write| write.owner == Some(owner))
        {
            write.owner = None;
        }
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// What the file reports, or that the power is off.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
        check_range(offset, byte_count(into.len()), self.bytes)?;
        let state = self.powered()?;
        let read = self.file.read_exact_at(into, offset);
        read.map_err(|error| disk_error(&error, OpKind::Read))?;
        let first = offset / BLOCK;
        for (block, part) in (first..).zip(into.chunks_exact_mut(BLOCK_BYTES)) {
            state.overlay(block, part);
        }
        Ok(())
    }

    /// Takes a write. Without `handed_out` a flush covers it only by chance until that is called.
    ///
    /// # Errors
    /// That the range is not one, what the file reports, or that the power is off.
    pub fn write(&self, owner: Owner, offset: u64, bytes: &[u8]) -> Result<u64, DiskError> {
        self.hold(owner, offset, Content::Bytes(Arc::from(bytes)))
    }

    /// Takes a discard.
    ///
    /// # Errors
    /// As `write`.
    pub fn discard(&self, owner: Owner, offset: u64, bytes: u64) -> Result<u64, DiskError> {
        self.hold(owner, offset, Content::Zeros(bytes))
    }

    fn hold(&self, owner: Owner, offset: u64, content: Content) -> Result<u64, DiskError> {
        check_range(offset, content.len(), self.bytes)?;
        if self.writes.fetch_add(1, Ordering::Relaxed) >= self.writes_max {
            return Err(DiskError::Io {
                errno: Errno::EIO as i32,
                op: OpKind::Write,
            });
        }
        let mut state = self.powered()?;
        let id = state.add(owner, offset, content);
        // Like a drive with a full cache; the oldest first keeps the most in the air.
        while state.held_bytes > EVIL_CACHE_BYTES_MAX {
            let Some(oldest) = state.pending.keys().next().copied() else {
                break;
            };
            let kept = state.persist(&self.file, oldest);
            kept.map_err(|error| disk_error(&error, OpKind::Write))?;
        }
        drop(state);
        self.mains.wrote();
        Ok(id)
    }

    /// The caller of these writes has been told that they are done.
    pub fn handed_out(&self, ids: impl IntoIterator<Item = u64>) {
        let mut state = lock(&self.state);
        state.ticks += 1;
        let now = state.ticks;
        for id in ids {
            if let Some(write) = state.pending.get_mut(&id) {
                write.handed_out.get_or_insert(now);
            }
        }
    }

    /// The moment at which a flush is submitted.
    pub fn moment(&self) -> u64 {
        lock(&self.state).ticks
    }

    /// Makes durable what was handed out up to this moment, and these writes. What is in flight
    /// becomes durable or not, as chance has it.
    ///
    /// # Errors
    /// What the file reports, or that the power is off.
    pub fn flush(&self, owner: Owner, moment: u64, own: &[u64]) -> Result<(), DiskError> {
        let cut_first = self.mains.flushing();
        if self.mains.plan().flushes == Flushes::Honest {
            let mut state = self.powered()?;
            let ids: Vec<u64> = state.pending.keys().copied().collect();
            for id in ids {
                let write = &state.pending.get(&id);
                let covered = write.is_some_and(|write| {
                    let ours = write.owner.is_none_or(|other| other == owner);
                    let told = write.handed_out.is_some_and(|at| at <= moment);
                    ours && (told || own.contains(&id) || self.mains.coin())
                });
                if covered {
                    let kept = state.persist(&self.file, id);
                    kept.map_err(|error| disk_error(&error, OpKind::Flush))?;
                }
            }
        }
        // A cut between what a flush did and what its caller hears of it.
        if cut_first {
            self.mains.cut();
        }
        drop(self.powered()?);
        Ok(())
    }

    /// Loses what this cut loses.
    pub(super) fn lose(
        &self,
        state: &mut State,
        mood: Mood,
        rng: &mut SimRng,
    ) -> std::io::Result<()> {
        let mut ids: Vec<u64> = state.pending.keys().copied().collect();
        shuffle(&mut ids, rng);
        for id in ids {
            let Some(write) = state.pending.get(&id).cloned() else {
                continue;
            };
            let bytes = usize::try_from(write.content.len()).unwrap_or(usize::MAX);
            match fate(mood, bytes, rng) {
                Fate::Lost => {}
                Fate::Whole => {
                    state.write_pieces(&self.file, id, &write, slice::from_ref(&(0..bytes)))?
                }
                Fate::Torn(pieces) => state.write_pieces(&self.file, id, &write, &pieces)?,
            }
        }
        Ok(())
    }
}

impl State {
    fn add(&mut self, owner: Owner, offset: u64, content: Content) -> u64 {
        let id = self.next;
        self.next += 1;
        self.held_bytes += content.len();
        let write = Pending {
            owner: Some(owner),
            offset,
            content,
            handed_out: None,
        };
        for block in write.blocks() {
            self.blocks.entry(block).or_default().push(id);
        }
        self.pending.insert(id, write);
        id
    }

    fn overlay(&self, block: u64, part: &mut [u8]) {
        let newest = self.blocks.get(&block).and_then(|ids| ids.last());
        let Some(write) = newest.and_then(|id| self.pending.get(id)) else {
            return;
        };
        match &write.content {
            Content::Zeros(_) => part.fill(0),
            Content::Bytes(bytes) => {
                let start = usize::try_from(block * BLOCK - write.offset).unwrap_or(usize::MAX);
                part.copy_from_slice(&bytes[start..start + BLOCK_BYTES]);
            }
        }
    }

    /// Puts a write into the file where nothing newer of it is there, and forgets it and all that
    /// is older at its places.
    fn persist(&mut self, file: &File, id: u64) -> std::io::Result<()> {
        let Some(write) = self.pending.remove(&id) else {
            return Ok(());
        };
        self.held_bytes -= write.content.len();
        let bytes = usize::try_from(write.content.len()).unwrap_or(usize::MAX);
        self.write_pieces(file, id, &write, slice::from_ref(&(0..bytes)))?;
        for block in write.blocks() {
            if let Some(ids) = self.blocks.get_mut(&block) {
                // Without a trace of it in the list, something newer is in the file already.
                if let Ok(place) = ids.binary_search(&id) {
                    ids.drain(..=place);
                }
                if ids.is_empty() {
                    self.blocks.remove(&block);
                }
            }
        }
        Ok(())
    }

    /// Writes these parts of a write, save for blocks of which something newer is in the file.
    fn write_pieces(
        &self,
        file: &File,
        id: u64,
        write: &Pending,
        pieces: &[Range<usize>],
    ) -> std::io::Result<()> {
        let alive = |block: &u64| {
            let ids = self.blocks.get(block);
            ids.is_some_and(|ids| ids.binary_search(&id).is_ok())
        };
        let all_alive = write.blocks().all(|block| alive(&block));
        for piece in pieces {
            if all_alive {
                put(file, write, piece.clone())?;
                continue;
            }
            let mut at = piece.start;
            while at < piece.end {
                let end = (at + 1).next_multiple_of(BLOCK_BYTES).min(piece.end);
                if alive(&((write.offset + byte_count(at)) / BLOCK)) {
                    put(file, write, at..end)?;
                }
                at = end;
            }
        }
        Ok(())
    }
}

fn put(file: &File, write: &Pending, piece: Range<usize>) -> std::io::Result<()> {
    let offset = write.offset + byte_count(piece.start);
    match &write.content {
        Content::Bytes(bytes) => file.write_all_at(&bytes[piece], offset),
        Content::Zeros(_) => {
            let out_of_range = |_| std::io::Error::from(std::io::ErrorKind::InvalidInput);
            let start = i64::try_from(offset).map_err(out_of_range)?;
            let length = i64::try_from(piece.len()).map_err(out_of_range)?;
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            loop {
                match fallocate(file, flags, start, length) {
                    Err(Errno::EINTR) => {}
                    outcome => return outcome.map_err(std::io::Error::from),
                }
            }
        }
    }
}
