//! Disks that make no progress: asked for something, they finish nothing of that kind for too long.

use std::collections::{BTreeMap, BTreeSet};

use super::DiskSlot;
use crate::limits::{LAG_MS_MAX, LOOK_MS_MAX};

/// What a disk was asked for. A disk may still give what it cannot take any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// To give bytes.
    Read,
    /// To take bytes, or to flush them.
    Write,
}

/// How long each disk has been busy without finishing anything.
#[derive(Default)]
pub(crate) struct Watch {
    looked_ms: u64,
    waited_ms: BTreeMap<(DiskSlot, Kind), u64>,
}

impl Watch {
    /// A disk finished something.
    pub(super) fn finished(&mut self, slot: DiskSlot, kind: Kind) {
        self.waited_ms.remove(&(slot, kind));
    }

    /// How long each disk has finished nothing of a kind it was asked for.
    pub(super) fn waited(&self, kind: Kind) -> Vec<(DiskSlot, u64)> {
        let of_kind = self.waited_ms.iter().filter(|((_, of), _)| *of == kind);
        of_kind
            .map(|((slot, _), waited)| (*slot, *waited))
            .collect()
    }

    /// Says which of the busy disks hang. Of the time since the last look little counts: when the
    /// whole process was paused, its disks were not slow.
    pub(super) fn look(
        &mut self,
        busy: &BTreeSet<(DiskSlot, Kind)>,
        now_ms: u64,
    ) -> Vec<(DiskSlot, Kind)> {
        let passed = now_ms.saturating_sub(self.looked_ms).min(LOOK_MS_MAX);
        self.looked_ms = now_ms;
        self.waited_ms.retain(|key, _| busy.contains(key));
        let mut hung = Vec::new();
        for key in busy {
            match self.waited_ms.get_mut(key) {
                None => {
                    self.waited_ms.insert(*key, 0);
                }
                Some(waited) => {
                    *waited += passed;
                    if *waited > LAG_MS_MAX {
                        hung.push(*key);
                    }
                }
            }
        }
        hung
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Kind, Watch};
    use crate::engine::DiskSlot;
    use crate::limits::{LAG_MS_MAX, LOOK_MS_MAX};

    const KEY: (DiskSlot, Kind) = (DiskSlot(1), Kind::Write);

    /// Looks every `LOOK_MS_MAX` for `ms` milliseconds; whether the disk ever hung.
    fn looks(watch: &mut Watch, now_ms: &mut u64, ms: u64) -> bool {
        let busy = BTreeSet::from([KEY]);
        (0..ms / LOOK_MS_MAX).any(|_| {
            *now_ms += LOOK_MS_MAX;
            !watch.look(&busy, *now_ms).is_empty()
        })
    }

    #[test]
    fn a_disk_hangs_that_finishes_nothing_for_too_long() {
        let (mut watch, mut now) = (Watch::default(), 0);
        assert!(!looks(&mut watch, &mut now, LAG_MS_MAX));
        assert!(looks(&mut watch, &mut now, 2 * LOOK_MS_MAX));
    }

    #[test]
    fn progress_of_the_same_kind_starts_the_time_anew() {
        let (mut watch, mut now) = (Watch::default(), 0);
        assert!(!looks(&mut watch, &mut now, LAG_MS_MAX));
        watch.finished(KEY.0, Kind::Write);
        assert!(!looks(&mut watch, &mut now, LAG_MS_MAX));
        watch.finished(KEY.0, Kind::Read);
        assert!(looks(&mut watch, &mut now, 2 * LOOK_MS_MAX));
    }

    #[test]
    fn an_idle_disk_waits_for_nothing() {
        let (mut watch, mut now) = (Watch::default(), 0);
        assert!(!looks(&mut watch, &mut now, LAG_MS_MAX));
        assert!(watch.look(&BTreeSet::new(), now).is_empty());
        assert!(!looks(&mut watch, &mut now, LAG_MS_MAX));
    }
}
