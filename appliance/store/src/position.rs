//! Places in the journal from which replay could begin.

use std::collections::VecDeque;

use stele_format::digest::Digest;
use stele_format::units::{ByteOffset, SegmentId, Sequence, UnixMillis};

use crate::sequence::LogHead;

/// Where replay would begin, and the log there.
#[derive(Debug, Clone)]
pub struct JournalPosition {
    /// The segment.
    pub segment: SegmentId,
    /// Offset of the next frame.
    pub offset: ByteOffset,
    /// Its sequence.
    pub sequence: Sequence,
    /// What its header names as its predecessor.
    pub chain: Digest,
    /// The compliance clock at the frame before it.
    pub compliance: UnixMillis,
    /// The log before it.
    pub log: LogHead,
}

/// Forgets every second entry, but not the first: replay may begin earlier than it must.
pub(crate) fn thin<T>(entries: &mut VecDeque<T>) {
    let mut keep = false;
    entries.retain(|_| {
        keep = !keep;
        keep
    });
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::thin;

    #[test]
    fn thinning_keeps_the_first_entry_and_half_of_the_rest() {
        let mut entries: VecDeque<u32> = (0..6).collect();
        thin(&mut entries);
        assert_eq!(entries, [0, 2, 4]);
    }
}
