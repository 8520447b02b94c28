//! The segments of a pool, and what snapshots say of them.
//!
//! A snapshot states all segments, of which few have changed since the last one: what one says of a group of neighbours
//! is kept and handed out again until one of the group may have changed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use stele_format::units::SegmentId;

use super::SegmentInfo;

/// Segments with the same number but for so many low bits are a group, some 15 KiB of a snapshot.
const GROUP_BITS: u32 = 7;

/// Segments by their id. Reading is that of the map inside.
#[derive(Clone, Default)]
pub struct Segments {
    all: BTreeMap<SegmentId, SegmentInfo>,
    /// What snapshots say of groups that have not changed since; by number.
    said: BTreeMap<u64, Arc<[u8]>>,
}

impl Segments {
    /// A segment that may be changed.
    pub fn get_mut(&mut self, id: &SegmentId) -> Option<&mut SegmentInfo> {
        let info = self.all.get_mut(id)?;
        self.said.remove(&group_of(*id));
        Some(info)
    }

    /// A segment that may be changed, entered if it is not known.
    pub fn get_or_insert_with(
        &mut self,
        id: SegmentId,
        new: impl FnOnce() -> SegmentInfo,
    ) -> &mut SegmentInfo {
        self.said.remove(&group_of(id));
        self.all.entry(id).or_insert_with(new)
    }

    /// Enters a segment.
    pub fn insert(&mut self, id: SegmentId, info: SegmentInfo) -> Option<SegmentInfo> {
        self.said.remove(&group_of(id));
        self.all.insert(id, info)
    }

    /// Forgets a segment.
    pub fn remove(&mut self, id: &SegmentId) -> Option<SegmentInfo> {
        self.said.remove(&group_of(*id));
        self.all.remove(id)
    }

    /// What is said of each group, in the order of their segments; `say` is asked for those that changed.
    pub fn said(&mut self, say: impl Fn(&SegmentId, &SegmentInfo, &mut Vec<u8>)) -> Vec<Arc<[u8]>> {
        let mut groups = Vec::new();
        let mut from = SegmentId::ZERO;
        while let Some((first, _)) = self.all.range(from..).next() {
            let group = group_of(*first);
            let end = SegmentId::new((group + 1) << GROUP_BITS);
            let said = self.said.entry(group).or_insert_with(|| {
                let mut bytes = Vec::new();
                for (id, info) in self.all.range(from..end) {
                    say(id, info, &mut bytes);
                }
                bytes.into()
            });
            groups.push(Arc::clone(said));
            from = end;
        }
        groups
    }
}

fn group_of(id: SegmentId) -> u64 {
    id.get() >> GROUP_BITS
}

impl Deref for Segments {
    type Target = BTreeMap<SegmentId, SegmentInfo>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl FromIterator<(SegmentId, SegmentInfo)> for Segments {
    fn from_iter<I: IntoIterator<Item = (SegmentId, SegmentInfo)>>(all: I) -> Self {
        Self {
            all: all.into_iter().collect(),
            said: BTreeMap::new(),
        }
    }
}

impl Extend<(SegmentId, SegmentInfo)> for Segments {
    fn extend<I: IntoIterator<Item = (SegmentId, SegmentInfo)>>(&mut self, more: I) {
        for (id, info) in more {
            self.insert(id, info);
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use stele_format::units::{Epoch, LaneId, Sequence, UnixMillis};

    use super::*;

    fn info(units: u32) -> SegmentInfo {
        SegmentInfo {
            lane: LaneId::JOURNAL,
            epoch: Epoch::ZERO,
            units,
            first_sequence: Sequence::ZERO,
            data_end: None,
            stated: None,
            places: Vec::new(),
            aside: Vec::new(),
            written: UnixMillis::ZERO,
            verified: UnixMillis::ZERO,
            first_read: None,
            flaw: None,
        }
    }

    fn say(id: &SegmentId, info: &SegmentInfo, into: &mut Vec<u8>) {
        into.extend_from_slice(&id.get().to_le_bytes());
        into.extend_from_slice(&info.units.to_le_bytes());
    }

    proptest! {
        /// Ids of a few groups; what is done to one, and whether a snapshot follows.
        #[test]
        fn what_was_said_before_is_what_would_be_said_now(
            deeds in proptest::collection::vec((0_u64..1000, 0_u8..4, any::<u32>(), any::<bool>()), 0..60)
        ) {
            let mut segments = Segments::default();
            for (id, deed, units, snapshot) in deeds {
                let id = SegmentId::new(id);
                match deed {
                    0 => drop(segments.insert(id, info(units))),
                    1 => drop(segments.remove(&id)),
                    2 => segments.get_or_insert_with(id, || info(1)).units = units,
                    _ => segments.get_mut(&id).into_iter().for_each(|info| info.units = units),
                }
                if snapshot {
                    let kept: Vec<u8> = segments.said(say).iter().flat_map(|group| group.to_vec()).collect();
                    let mut anew = Vec::new();
                    segments.iter().for_each(|(id, info)| say(id, info, &mut anew));
                    assert_eq!(kept, anew);
                }
            }
        }
    }

    #[test]
    fn groups_that_did_not_change_are_not_said_again() {
        let mut segments = Segments::default();
        for id in 1..=1000 {
            segments.insert(SegmentId::new(id), info(16));
        }
        let before = segments.said(say);
        assert_eq!(before.len(), 8);
        let changed = segments.get_mut(&SegmentId::new(300));
        changed.expect("it is known").units = 3;
        let after = segments.said(say);
        let same: Vec<bool> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| Arc::ptr_eq(before, after))
            .collect();
        assert_eq!(
            same,
            [true, true, false, true, true, true, true, true],
            "300 is one of 256 to 383"
        );
    }
}
