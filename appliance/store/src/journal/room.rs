//! Memory for frames on their way to the disks. It is used again: fresh memory is cleared by the system page by
//! page, which costs as much as sealing what goes into it.

use stele_device::buffer::{BufferMut, Pool};
use stele_format::limits::{BLOCK_BYTES, FRAME_HEADER_BYTES};

use crate::limits::{FRAME_ROOM_BYTES, FRAME_ROOM_COUNT};

/// Room for some frames of usual size.
pub(super) struct FrameRoom(Pool);

impl Default for FrameRoom {
    fn default() -> Self {
        Self(Pool::new(FRAME_ROOM_BYTES, FRAME_ROOM_COUNT))
    }
}

impl FrameRoom {
    /// A frame with this payload, its header still to be written; zeros behind it up to a whole block. Larger frames,
    /// and those for which slow disks have left no room, get memory of their own.
    pub(super) fn frame(&self, payload: &[u8]) -> BufferMut {
        let start = FRAME_HEADER_BYTES as usize;
        let end = start + payload.len();
        let bytes = frame_bytes(payload.len());
        let room = self.0.try_take_short(bytes);
        let mut frame = room.unwrap_or_else(|| BufferMut::zeroed(bytes));
        frame[..start].fill(0);
        frame[start..end].copy_from_slice(payload);
        frame[end..].fill(0);
        frame
    }
}

/// What a frame with so long a payload occupies.
pub(super) fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES as usize + payload).next_multiple_of(BLOCK_BYTES as usize)
}

#[cfg(test)]
mod tests {
    use super::{FrameRoom, frame_bytes};
    use crate::limits::{FRAME_ROOM_BYTES, FRAME_ROOM_COUNT};

    #[test]
    fn nothing_of_an_older_frame_is_left_in_a_newer_one() {
        let room = FrameRoom::default();
        drop(room.frame(&[0xFF; 9000]));
        let frame = room.frame(&[1; 10]);
        let fresh = frame_bytes(10);
        assert_eq!(frame.len(), fresh);
        assert_eq!(frame.iter().filter(|byte| **byte == 1).count(), 10);
        assert_eq!(frame.iter().filter(|byte| **byte == 0).count(), fresh - 10);
    }

    #[test]
    fn frames_that_find_no_room_get_memory_of_their_own() {
        let room = FrameRoom::default();
        let held: Vec<_> = (0..=FRAME_ROOM_COUNT)
            .map(|_| room.frame(&[2; 1]))
            .collect();
        assert!(held.iter().all(|frame| frame.contains(&2)));
        let large = vec![3; FRAME_ROOM_BYTES];
        assert_eq!(room.frame(&large).len(), frame_bytes(large.len()));
    }
}
