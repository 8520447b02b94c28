//! What the pool knows of a segment: where its copies lie, and when they were written and read.

use stele_format::record::{CopyHealth, Scrub};
use stele_format::units::{DiskId, Epoch, LaneId, Sequence, UnixMillis};

use super::Place;
use super::stated::Stated;

/// What waits to be read for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstRead {
    /// The compliance clock when the segment was closed, or the copy was written.
    pub since: UnixMillis,
    /// Whether it is the whole segment, and not a further copy of one that was read before.
    pub new: bool,
}

/// What was found of a segment that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// A copy does not keep what is written there again.
    Unmended,
    /// No copy gives all of it.
    Lost,
}

/// Whether a record says that something is on no disk: a frame, a header, footer or seal, or all there is where no copy
/// holds it.
pub(crate) fn tells_of_loss(scrub: &Scrub) -> bool {
    let holed = |(_, health): &(DiskId, CopyHealth)| *health == CopyHealth::Holed;
    !scrub.lost.is_empty() || scrub.copies.is_empty() || scrub.copies.iter().any(holed)
}

/// A segment the pool knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its lane.
    pub lane: LaneId,
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// Units it holds on each disk.
    pub units: u32,
    /// Its first frame's sequence.
    pub first_sequence: Sequence,
    /// End of its frames if it is closed; none while it is open.
    pub data_end: Option<u64>,
    /// Its seal, if a record says that it was written.
    pub stated: Option<Stated>,
    /// Where its copies lie.
    pub places: Vec<Place>,
    /// Places that are its own and do not count: what its copies left, and where a move began. They
    /// are never given to another segment, since an old state of the journal may still name them.
    pub aside: Vec<Place>,
    /// The compliance clock when it was allocated; zero if that is not known.
    pub written: UnixMillis,
    /// The compliance clock when every copy was last read again; zero for never.
    pub verified: UnixMillis,
    /// What waits to be read for the first time, once it is closed; none where nothing does.
    pub first_read: Option<FirstRead>,
    /// What was found when it was last read to its end and is wrong with it still.
    pub flaw: Option<Flaw>,
}

impl SegmentInfo {
    /// Whether it may hold anything: replay knows segments that were allocated and never begun.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.epoch > Epoch::ZERO
    }

    /// Whether it is closed and was not read again since.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.data_end.is_some() && self.verified == UnixMillis::ZERO
    }

    /// Since when what is new in it waits to be read again: since it was closed, or, while it is open, since it was begun
    /// or last read. None of what was read before and got a further copy.
    #[must_use]
    pub fn new_since(&self) -> Option<UnixMillis> {
        match (self.data_end, self.first_read) {
            (None, _) => Some(self.written.max(self.verified)),
            (Some(_), Some(first)) if first.new => Some(first.since),
            (Some(_), _) => None,
        }
    }

    /// Whether something new in it waits to be read again.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.new_since().is_some()
    }

    /// Every place whose units are its own.
    pub fn all_places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().chain(&self.aside)
    }

    /// When it was last written or read, or given a copy that was not.
    #[must_use]
    pub fn unread_since(&self) -> UnixMillis {
        let first = self
            .first_read
            .map_or(UnixMillis::ZERO, |first| first.since);
        self.written.max(self.verified).max(first)
    }

    /// Every copy was read again at this time.
    pub(crate) fn was_read(&mut self, at: UnixMillis) {
        self.verified = self.verified.max(at);
        self.first_read = None;
    }

    /// The log says what was found when every copy was read again at this time.
    pub(crate) fn was_found(&mut self, scrub: &Scrub, at: UnixMillis) {
        self.flaw = tells_of_loss(scrub).then_some(Flaw::Lost);
        self.was_read(at);
    }

    /// A copy was written at this time that is to be read soon. One more of what waits anyhow was made from others that
    /// were read for it.
    pub(crate) fn was_copied(&mut self, at: UnixMillis) {
        self.verified = UnixMillis::ZERO;
        if self.data_end.is_some() {
            let new = self.first_read.is_some_and(|first| first.new);
            self.first_read = Some(FirstRead { since: at, new });
        }
    }

    /// Its frames end here. What was read again of it while it was open is not all of it.
    pub(super) fn close(&mut self, data_end: u64, at: UnixMillis) {
        if self.data_end.is_none() {
            self.verified = UnixMillis::ZERO;
            let new = FirstRead {
                since: at,
                new: true,
            };
            self.first_read.get_or_insert(new);
        }
        self.data_end = Some(data_end);
    }
}

#[cfg(test)]
mod tests {
    use stele_format::units::{FrameIndex, SegmentId};

    use super::*;

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::new(ms)
    }

    fn begun(written: u64) -> SegmentInfo {
        SegmentInfo {
            lane: LaneId::new(1),
            epoch: Epoch::new(1),
            units: 1,
            first_sequence: Sequence::FIRST,
            data_end: None,
            stated: None,
            places: Vec::new(),
            aside: Vec::new(),
            written: at(written),
            verified: UnixMillis::ZERO,
            first_read: None,
            flaw: None,
        }
    }

    #[test]
    fn a_record_with_a_hole_a_lost_frame_or_no_copy_tells_of_a_loss_and_no_other_does() {
        use CopyHealth::{Holed, Repaired, Whole};
        let disk = DiskId::new([1; 16]);
        for (copies, lost, expected) in [
            (&[Whole, Repaired][..], &[][..], None),
            // Footer and seal have no number.
            (&[Holed], &[], Some(Flaw::Lost)),
            (&[Holed], &[3], Some(Flaw::Lost)),
            (&[], &[3], Some(Flaw::Lost)),
            (&[], &[], Some(Flaw::Lost)),
        ] {
            let scrub = Scrub {
                segment: SegmentId::new(1),
                lane: LaneId::new(1),
                copies: copies.iter().map(|health| (disk, *health)).collect(),
                lost: lost.iter().copied().map(FrameIndex::new).collect(),
            };
            let mut info = begun(1);
            info.was_found(&scrub, at(5));
            assert_eq!(info.flaw, expected, "{copies:?} {lost:?}");
        }
    }

    #[test]
    fn what_is_new_waits_from_its_close_until_it_is_read_and_a_further_copy_is_not_new() {
        let mut info = begun(1);
        assert_eq!(info.new_since(), Some(at(1)));
        info.was_read(at(5));
        assert_eq!(info.new_since(), Some(at(5)), "more may be written");
        info.close(8192, at(9));
        assert_eq!(info.new_since(), Some(at(9)));
        // A copy that was made of what nobody read is as new, and its source was read for it.
        info.was_copied(at(12));
        assert_eq!((info.new_since(), info.is_unread()), (Some(at(12)), true));
        info.was_read(at(20));
        assert_eq!((info.new_since(), info.unread_since()), (None, at(20)));
        info.was_copied(at(30));
        assert_eq!((info.new_since(), info.unread_since()), (None, at(30)));
        assert!(info.is_unread(), "it is due all the same");
        // What the log says once more of its end changes nothing.
        info.close(8192, at(40));
        assert_eq!((info.new_since(), info.unread_since()), (None, at(30)));
    }
}
