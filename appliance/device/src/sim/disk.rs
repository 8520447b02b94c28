//! A disk in memory, and the handle by which a simulator owns it.
//!
//! The handle is the hardware: it stays when the process that had the disk open is gone. It cuts
//! the power, breaks things and opens the disk again. All of it is decided by the seed and the
//! order of calls, as long as one thread makes them.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskError, DiskIdentity, Done, Op, OpId};
use crate::limits::{BLOCK, SECTOR_BYTES};
use crate::sync::lock;

use super::area::SimArea;
use super::fault::{Counters, Loss, Plan, Span};
use super::power::Power;
use super::state::{Core, State, block_of};

/// The hardware of a simulated disk; a clone is the same disk.
#[derive(Clone)]
pub struct SimDiskHandle {
    identity: DiskIdentity,
    state: Arc<Mutex<State>>,
}

/// A disk's whole condition at one moment: content, what is unflushed, faults, seed.
#[derive(Clone)]
pub struct SimSnapshot(Core);

impl SimDiskHandle {
    /// A blank disk of `bytes` bytes with a power supply of its own.
    ///
    /// # Panics
    /// When `bytes` is zero or not a multiple of the block size.
    #[must_use]
    pub fn new(bytes: u64, seed: u64) -> SimDiskHandle {
        SimDiskHandle::with(&format!("sim-{seed:x}"), bytes, seed, &Power::new())
    }

    /// A blank disk with a name, on a power supply it shares with others.
    ///
    /// # Panics
    /// When `bytes` is zero or not a multiple of the block size.
    #[must_use]
    pub fn with(name: &str, bytes: u64, seed: u64, power: &Power) -> SimDiskHandle {
        assert!(
            bytes > 0 && bytes.is_multiple_of(BLOCK),
            "disk of {bytes} bytes"
        );
        let identity = DiskIdentity {
            name: name.to_owned(),
            bytes,
            sector_bytes: u32::try_from(SECTOR_BYTES).ok(),
            rotational: Some(false),
            serial: None,
            backend: "sim".to_owned(),
        };
        let state = State::new(bytes, seed, power.clone());
        SimDiskHandle {
            identity,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Whether reads of these bytes fail with `EIO`.
    #[must_use]
    pub fn is_unreadable(&self, offset: u64, bytes: usize) -> bool {
        lock(&self.state).core.is_unreadable(offset, bytes)
    }

    /// Whether reads show something that a failed flush gave up: it is gone when the power is.
    #[must_use]
    pub fn shows_given_up(&self) -> bool {
        lock(&self.state).core.shows_given_up()
    }

    /// Opens the disk. Whoever had it open before is as good as dead.
    #[must_use]
    pub fn open(&self) -> SimDisk {
        let mut state = lock(&self.state);
        state.abandon();
        let session = state.session;
        let identity = DiskIdentity {
            bytes: state.told_bytes,
            ..self.identity.clone()
        };
        drop(state);
        SimDisk {
            identity,
            state: Arc::clone(&self.state),
            session,
            waiting: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Opens a region as an area, which lives until the next crash.
    ///
    /// # Errors
    /// `Misaligned` or `OutOfRange` when the region is no region of this disk.
    pub fn area(&self, offset: u64, bytes: u64) -> Result<SimArea, DiskError> {
        SimArea::open(&self.state, offset, bytes)
    }

    /// The supply this disk hangs on.
    #[must_use]
    pub fn power(&self) -> Power {
        lock(&self.state).power.clone()
    }

    /// Cuts this disk's power and brings it back: decides what of the unflushed is left, and ends
    /// all that is open on it. Does not touch a shared supply.
    pub fn crash(&self, loss: Loss) {
        lock(&self.state).crash(loss);
    }

    /// Replaces the plan of faults.
    pub fn set_plan(&self, plan: Plan) {
        lock(&self.state).core.plan = plan;
    }

    /// Changes the plan of faults.
    pub fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut lock(&self.state).core.plan);
    }

    /// Acknowledges one coming write, after `after` others, without doing it.
    pub fn lose_write(&self, after: u64) {
        self.plan(|plan| plan.lose_writes = Some(Span::once(after)));
    }

    /// Fails all writes with `EIO`, after `after` others.
    pub fn fail_writes_from(&self, after: u64) {
        self.plan(|plan| plan.fail_writes = Some(Span::from(after)));
    }

    /// Fails one coming flush with `EIO`, after `after` others.
    pub fn fail_flush(&self, after: u64) {
        self.plan(|plan| plan.fail_flushes = Some(Span::once(after)));
    }

    /// Has room for `bytes` more bytes of writes.
    pub fn full_after(&self, bytes: u64) {
        self.plan(|plan| plan.room_bytes = Some(bytes));
    }

    /// Makes the blocks of a byte range unreadable until each is written again.
    pub fn fail_reads(&self, range: Range<u64>) {
        let blocks = block_of(range.start)..block_of(range.end.next_multiple_of(BLOCK));
        lock(&self.state).core.mark_unreadable(blocks);
    }

    /// Makes the blocks of a byte range keep what they hold: writes to them are acknowledged and change nothing.
    pub fn stick(&self, range: Range<u64>) {
        let blocks = block_of(range.start)..block_of(range.end.next_multiple_of(BLOCK));
        lock(&self.state).core.stick(blocks);
    }

    /// No block keeps what it holds any more.
    pub fn unstick(&self) {
        lock(&self.state).core.unstick();
    }

    /// Flips the bits of `mask` in one byte of the durable image.
    pub fn rot(&self, offset: u64, mask: u8) {
        lock(&self.state).core.rot(offset, mask);
    }

    /// Puts bytes into the durable image behind everyone's back.
    ///
    /// # Panics
    /// When they reach beyond the end of the disk.
    pub fn tamper(&self, offset: u64, bytes: &[u8]) {
        self.assert_inside(offset, bytes.len());
        lock(&self.state).core.overwrite_durable(offset, bytes);
    }

    /// The bytes a read would give now, without being one.
    ///
    /// # Panics
    /// When the range reaches beyond the end of the disk.
    #[must_use]
    pub fn peek(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let mut content = vec![0; bytes];
        self.peek_into(offset, &mut content);
        content
    }

    /// As [`SimDiskHandle::peek`], into a buffer of the caller's.
    ///
    /// # Panics
    /// When the range reaches beyond the end of the disk.
    pub fn peek_into(&self, offset: u64, into: &mut [u8]) {
        self.assert_inside(offset, into.len());
        lock(&self.state).core.peek(offset, into);
    }

    /// Whether reads of all these bytes would give zeros.
    ///
    /// # Panics
    /// When the range reaches beyond the end of the disk.
    #[must_use]
    pub fn is_blank(&self, offset: u64, bytes: usize) -> bool {
        self.assert_inside(offset, bytes);
        lock(&self.state).core.is_blank(offset, bytes)
    }

    /// Makes every access fail as if the disk had been pulled; what was cached stays at risk.
    pub fn vanish(&self) {
        lock(&self.state).gone = true;
    }

    /// Brings a vanished disk back.
    pub fn come_back(&self) {
        lock(&self.state).gone = false;
    }

    /// From the next opening on the disk says that it has `bytes` bytes, of those it was made with.
    ///
    /// # Panics
    /// When `bytes` is zero, not a multiple of the block size, or more than it was made with.
    pub fn shorten(&self, bytes: u64) {
        let whole = bytes > 0 && bytes.is_multiple_of(BLOCK) && bytes <= self.identity.bytes;
        assert!(whole, "disk of {bytes} bytes");
        lock(&self.state).told_bytes = bytes;
    }

    /// The bytes that the next opening tells of.
    #[must_use]
    pub fn told_bytes(&self) -> u64 {
        lock(&self.state).told_bytes
    }

    /// Stops answering; `false` answers again. Polls then give nothing; a blocking wait ends as if
    /// a timeout had struck, all that was in flight fails with `Gone`, and so do area calls.
    pub fn hang(&self, hung: bool) {
        lock(&self.state).hung = hung;
    }

    /// Forgets all content, as a replacement of the same size would.
    pub fn wipe(&self) {
        lock(&self.state).core.wipe();
    }

    /// The disk's condition, to be restored as often as wanted.
    #[must_use]
    pub fn snapshot(&self) -> SimSnapshot {
        SimSnapshot(lock(&self.state).core.clone())
    }

    /// As [`SimDiskHandle::snapshot`], with what is queued among the writes that a crash may keep, lose or
    /// tear: for crashing a copy while this disk goes on.
    #[must_use]
    pub fn snapshot_at_a_cut(&self) -> SimSnapshot {
        SimSnapshot(lock(&self.state).at_a_cut())
    }

    /// Puts the disk (or another of the same size) into that condition and ends all that is open
    /// on it. What was queued at the time is not part of it.
    pub fn restore(&self, snapshot: &SimSnapshot) {
        let mut state = lock(&self.state);
        state.pending.clear();
        state.core = snapshot.0.clone();
        state.session += 1;
        state.boot += 1;
    }

    /// What the disk has been through.
    #[must_use]
    pub fn counters(&self) -> Counters {
        lock(&self.state).core.counters
    }

    /// BLAKE3 digest of all that reads would give, for comparing runs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        lock(&self.state).core.digest()
    }

    fn assert_inside(&self, offset: u64, bytes: usize) {
        let end = offset.checked_add(crate::disk::byte_count(bytes));
        assert!(
            end.is_some_and(|end| end <= self.identity.bytes),
            "{bytes} bytes at {offset}"
        );
    }
}

impl std::fmt::Debug for SimDiskHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SimDiskHandle({}, {} bytes)",
            self.identity.name, self.identity.bytes
        )
    }
}

impl std::fmt::Debug for SimSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimSnapshot")
    }
}

/// An open simulated disk: the process's side.
pub struct SimDisk {
    identity: DiskIdentity,
    state: Arc<Mutex<State>>,
    session: u64,
    /// In flight and known to the hardware.
    waiting: Vec<OpId>,
    /// In flight and already answered.
    refused: Vec<Done>,
}

impl SimDisk {
    fn collect(&mut self, at_least: usize, done: &mut Vec<Done>) {
        let mut state = lock(&self.state);
        if state.session != self.session {
            let lost = self.waiting.drain(..);
            done.extend(lost.map(|id| Done {
                id,
                result: Err(DiskError::PowerLost),
            }));
        } else if state.hung {
            if at_least > 0 {
                state.time_out();
                let lost = self.waiting.drain(..);
                done.extend(lost.map(|id| Done {
                    id,
                    result: Err(DiskError::Gone),
                }));
            }
        } else {
            let at_least = at_least.saturating_sub(self.refused.len());
            for pending in state.take_due(at_least) {
                let id = pending.id;
                if let Some(index) = self.waiting.iter().position(|waiting| *waiting == id) {
                    self.waiting.swap_remove(index);
                }
                done.push(Done {
                    id,
                    result: state.execute(pending),
                });
            }
        }
        done.append(&mut self.refused);
    }
}

impl Disk for SimDisk {
    fn identity(&self) -> &DiskIdentity {
        &self.identity
    }

    fn submit(&mut self, id: OpId, op: Op) {
        let mut state = lock(&self.state);
        let refusal = if state.session != self.session {
            Some(DiskError::PowerLost)
        } else {
            op.check(self.identity.bytes).err()
        };
        match refusal {
            Some(error) => self.refused.push(Done {
                id,
                result: Err(error),
            }),
            None => {
                state.submit(id, op);
                self.waiting.push(id);
            }
        }
    }

    fn poll(&mut self, done: &mut Vec<Done>) {
        self.collect(0, done);
    }

    fn wait(&mut self, done: &mut Vec<Done>) {
        self.collect(1, done);
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.refused.len()
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.session == self.session {
            state.abandon();
        }
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SimDisk({}, {} in flight)",
            self.identity.name,
            self.in_flight()
        )
    }
}

#[cfg(test)]
mod tests;
