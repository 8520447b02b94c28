//! Zeros written ahead of the journal's write head, so that a commit's flush finds its blocks
//! allocated and changes no metadata of the file system below.
//!
//! Invariants: a piece is never written where a frame was; nothing of the journal is written to a disk
//! where a piece is in flight on it, and no unit is given back meanwhile. A crash leaves zeros or what was there before, and both are blank.

use std::collections::{BTreeMap, BTreeSet};

use stele_device::buffer::{Buffer, BufferMut};
use stele_device::disk::Op;
use stele_device::limits::BLOCK_BYTES;

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

/// Bytes of one piece: at most half of the window, so that there is always some of it.
fn piece_bytes(window_bytes: u64) -> usize {
    let half = usize::try_from(window_bytes / 2).unwrap_or(AHEAD_PIECE_BYTES_MAX);
    (half / BLOCK_BYTES * BLOCK_BYTES).clamp(BLOCK_BYTES, AHEAD_PIECE_BYTES_MAX)
}

impl Ahead {
    /// Zeros up to so many bytes ahead of the head.
    pub(crate) fn new(window_bytes: u64) -> Self {
        Self {
            window_bytes,
            zeros: BufferMut::zeroed(piece_bytes(window_bytes)).freeze(),
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

    /// Asks for the next piece that is missing ahead of the head once most disks have the one before: more at a
    /// time would keep the frames behind it waiting.
    pub(crate) fn extend(
        &mut self,
        head: u64,
        capacity: u64,
        places: &[Place],
        pool: &Pool,
        io: &mut Io,
    ) {
        self.asked_to = self.asked_to.max(head);
        let bytes = self.missing(head, capacity);
        if bytes == 0 || self.is_busy(places.len()) {
            return;
        }
        let end = usize::try_from(bytes).unwrap_or(AHEAD_PIECE_BYTES_MAX);
        for place in places {
            if let Some((slot, base)) = pool.locate_active(place) {
                self.ask(slot, base, self.zeros.slice(0..end), io);
            }
        }
        self.asked_to += bytes;
    }

    /// Bytes of the next piece; 0 where less than a whole one is missing and the segment goes on.
    fn missing(&self, head: u64, capacity: u64) -> u64 {
        let wanted = head.saturating_add(self.window_bytes).min(capacity);
        let missing = wanted.saturating_sub(self.asked_to);
        let piece = self.zeros.len() as u64;
        match wanted == capacity || missing >= piece {
            true => missing.min(piece),
            false => 0,
        }
    }

    /// Whether pieces are in flight on more than half of so many disks.
    fn is_busy(&self, disk_count: usize) -> bool {
        let slots: BTreeSet<DiskSlot> = self.in_flight.values().map(|piece| piece.slot).collect();
        2 * slots.len() > disk_count
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

#[cfg(test)]
mod tests {
    use super::{AHEAD_PIECE_BYTES_MAX, Ahead, InFlight};
    use crate::engine::DiskSlot;

    const PIECE: u64 = AHEAD_PIECE_BYTES_MAX as u64;
    const WINDOW: u64 = 4 * PIECE;

    #[test]
    fn pieces_are_whole_but_where_the_segment_ends() {
        let cases = [
            // Asked to, head, capacity: the next piece.
            (0, 0, 100 * PIECE, PIECE),
            (WINDOW, 0, 100 * PIECE, 0),
            (WINDOW, PIECE - 4096, 100 * PIECE, 0),
            (WINDOW, PIECE, 100 * PIECE, PIECE),
            (WINDOW, 3 * PIECE, 100 * PIECE, PIECE),
            (WINDOW, PIECE, WINDOW + 4096, 4096),
            (WINDOW + 4096, 2 * PIECE, WINDOW + 4096, 0),
        ];
        for (asked_to, head, capacity, expected) in cases {
            let mut ahead = Ahead::new(WINDOW);
            ahead.restart(asked_to);
            assert_eq!(ahead.missing(head, capacity), expected, "{asked_to} {head}");
        }
        assert_eq!(Ahead::new(0).missing(0, WINDOW), 0);
    }

    #[test]
    fn one_disk_of_three_may_be_behind_with_its_piece_but_not_two() {
        let mut ahead = Ahead::new(WINDOW);
        let busy = |ahead: &mut Ahead, number: u64, slot: u16| {
            let piece = InFlight {
                slot: DiskSlot(slot),
                start: 0,
                end: PIECE,
            };
            ahead.in_flight.insert(number, piece);
            ahead.is_busy(3)
        };
        assert!(!busy(&mut ahead, 1, 2));
        assert!(!busy(&mut ahead, 2, 2));
        assert!(busy(&mut ahead, 3, 0));
        ahead.finished(3);
        assert!(!ahead.is_busy(3));
        assert!(ahead.is_busy(1));
    }
}
