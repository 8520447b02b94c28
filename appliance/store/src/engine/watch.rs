//! Disks that make no progress: asked for something, they finish nothing of that kind for too long.

use std::collections::BTreeMap;

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

/// What disks are busy with, and whether another one has finished something that it was asked for later.
pub(super) type Busy = BTreeMap<(DiskSlot, Kind), bool>;

/// For how long a disk has finished nothing.
#[derive(Default)]
struct Wait {
    ms: u64,
    /// That part of it in which another disk was known to be quicker.
    overtaken_ms: u64,
}

/// How long each disk has been busy without finishing anything.
#[derive(Default)]
pub(crate) struct Watch {
    looked_ms: u64,
    waits: BTreeMap<(DiskSlot, Kind), Wait>,
}

impl Watch {
    /// A disk finished something.
    pub(super) fn finished(&mut self, slot: DiskSlot, kind: Kind) {
        self.waits.remove(&(slot, kind));
    }

    /// How long each disk has finished nothing of a kind it was asked for.
    pub(super) fn waited(&self, kind: Kind) -> Vec<(DiskSlot, u64)> {
        let of_kind = self.waits.iter().filter(|((_, of), _)| *of == kind);
        of_kind.map(|((slot, _), wait)| (*slot, wait.ms)).collect()
    }

    /// Disks that are slow beside others: where all of them wait, it is the machine.
    pub(super) fn overtaken(&self, more_than_ms: u64) -> impl Iterator<Item = DiskSlot> {
        let late = self.waits.iter();
        late.filter(move |(_, wait)| wait.overtaken_ms > more_than_ms)
            .map(|((slot, _), _)| *slot)
    }

    /// Says which of the busy disks hang. Of the time since the last look little counts: when the
    /// whole process was paused, its disks were not slow.
    pub(super) fn look(&mut self, busy: &Busy, now_ms: u64) -> Vec<(DiskSlot, Kind)> {
        let passed = now_ms.saturating_sub(self.looked_ms).min(LOOK_MS_MAX);
        self.looked_ms = now_ms;
        self.waits.retain(|key, _| busy.contains_key(key));
        let mut hung = Vec::new();
        for (key, overtaken) in busy {
            match self.waits.get_mut(key) {
                None => {
                    self.waits.insert(*key, Wait::default());
                }
                Some(wait) => {
                    wait.ms += passed;
                    wait.overtaken_ms += if *overtaken { passed } else { 0 };
                    if wait.ms > LAG_MS_MAX {
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
    use super::{Busy, Kind, Watch};
    use crate::engine::DiskSlot;
    use crate::limits::{LAG_MS_MAX, LOOK_MS_MAX};

    const KEY: (DiskSlot, Kind) = (DiskSlot(1), Kind::Write);

    /// Looks every `LOOK_MS_MAX` for `ms` milliseconds; whether the disk ever hung.
    fn looks(watch: &mut Watch, now_ms: &mut u64, ms: u64) -> bool {
        let busy = Busy::from([(KEY, false)]);
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
        assert!(watch.look(&Busy::new(), now).is_empty());
        assert!(!looks(&mut watch, &mut now, LAG_MS_MAX));
    }

    #[test]
    fn only_the_time_counts_against_a_disk_in_which_another_was_quicker() {
        let (mut watch, step) = (Watch::default(), LOOK_MS_MAX);
        for (at, overtaken, slow) in [
            (1, false, false),
            (2, false, false),
            (3, true, false),
            (4, true, false),
            (5, true, true),
        ] {
            watch.look(&Busy::from([(KEY, overtaken)]), at * step);
            let told = watch.overtaken(2 * step).any(|slot| slot == KEY.0);
            assert_eq!(told, slow, "{at}");
        }
        watch.finished(KEY.0, KEY.1);
        assert_eq!(watch.overtaken(0).count(), 0);
    }
}
