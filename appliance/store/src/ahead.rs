//! Zeros written ahead of the journal's write head, so that a commit's flush finds its blocks
//! allocated and changes no metadata of the file system below.
//!
//! Invariants: a piece is never written where a frame was; nothing of the journal is written to a disk
//! where a piece is in flight on it, and no unit is given back meanwhile. A crash leaves zeros or what was there before, and both are blank.

use std::collections::BTreeMap;

use stele_device::buffer::{Buffer, BufferMut};
use stele_device::disk::Op;

use crate::engine::DiskSlot;
use crate::engine::io::{Io, Purpose};
use crate::limits::AHEAD_PIECE_BYTES_MAX;
use crate::pool::{Place, Pool};

/// Where zeros are being written, as offsets on the disk.
struct InFlight {
    slot: DiskSlot,
    start: u64,
    end: u64,
}

/// What lies ahead in the open segment.
pub(crate) struct Ahead {
    /// How far ahead zeros are kept, bytes; 0 for not at all.
    window_bytes: u64,
    zeros: Buffer,
    asked_to: u64,
    in_flight: BTreeMap<u64, InFlight>,
    next_number: u64,
}

impl Ahead {
    /// Zeros up to so many bytes ahead of the head.
    pub(crate) fn new(window_bytes: u64) -> Self {
        Self {
            window_bytes,
            zeros: BufferMut::zeroed(AHEAD_PIECE_BYTES_MAX).freeze(),
            asked_to: 0,
            in_flight: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// Another segment was opened; its frames begin here.
    pub(crate) fn restart(&mut self, head: u64) {
        self.asked_to = head;
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether nothing is in flight in this range of a disk.
    pub(crate) fn is_clear(&self, slot: DiskSlot, start: u64, end: u64) -> bool {
        let meets = |piece: &InFlight| piece.slot == slot && piece.start < end && start < piece.end;
        !self.in_flight.values().any(meets)
    }

    /// The number of the newest piece asked for.
    pub(crate) fn newest(&self) -> u64 {
        self.next_number
    }

    /// Whether no piece up to this number is in flight on a disk.
    pub(crate) fn is_done(&self, slot: DiskSlot, number: u64) -> bool {
        let open = |(of, piece): (&u64, &InFlight)| *of <= number && piece.slot == slot;
        !self.in_flight.iter().any(open)
    }

    /// Asks for what is missing ahead of the head, once half of the window is used up.
    pub(crate) fn extend(
        &mut self,
        head: u64,
        capacity: u64,
        places: &[Place],
        pool: &Pool,
        io: &mut Io,
    ) {
        let wanted = head.saturating_add(self.window_bytes).min(capacity);
        let low = head.saturating_add(self.window_bytes / 2).min(capacity);
        self.asked_to = self.asked_to.max(head);
        if self.window_bytes == 0 || self.asked_to >= low {
            return;
        }
        while self.asked_to < wanted {
            let bytes = (wanted - self.asked_to).min(AHEAD_PIECE_BYTES_MAX as u64);
            let end = usize::try_from(bytes).unwrap_or(AHEAD_PIECE_BYTES_MAX);
            for place in places {
                if let Some((slot, base)) = pool.locate_active(place) {
                    self.ask(slot, base, self.zeros.slice(0..end), io);
                }
            }
            self.asked_to += bytes;
        }
    }

    fn ask(&mut self, slot: DiskSlot, base: u64, data: Buffer, io: &mut Io) {
        self.next_number += 1;
        let offset = base + self.asked_to;
        let piece = InFlight {
            slot,
            start: offset,
            end: offset + data.len() as u64,
        };
        self.in_flight.insert(self.next_number, piece);
        io.submit(
            slot,
            Op::Write { offset, data },
            Purpose::Ahead(self.next_number),
        );
    }

    /// A piece is written.
    pub(crate) fn finished(&mut self, number: u64) {
        self.in_flight.remove(&number);
    }

    /// The disk is not believed any more.
    pub(crate) fn forget(&mut self, slot: DiskSlot) {
        self.in_flight.retain(|_, piece| piece.slot != slot);
    }
}
