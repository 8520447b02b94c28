//! Disks that make no progress: asked for something, they finish nothing of that kind for too long.
//!
//! Where all that were asked wait and none of them has finished anything, it is what they have in common that stands
//! still (a controller, a cable, the host of a virtual machine): it is waited for much longer, and no disk is blamed
//! before.

use std::collections::{BTreeMap, BTreeSet};

use super::DiskSlot;
use crate::limits::{LAG_MS_MAX, LOOK_MS_MAX, STANDSTILL_MS_MAX};

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
    /// Time that counted at looks so far, and what of it had passed when each disk last finished anything.
    counted_ms: u64,
    finished_ms: BTreeMap<DiskSlot, u64>,
    /// Disks whose reads were given up, until they finish anything.
    silent: BTreeSet<DiskSlot>,
    waits: BTreeMap<(DiskSlot, Kind), Wait>,
}

impl Watch {
    /// A disk finished something.
    pub(super) fn finished(&mut self, slot: DiskSlot, kind: Kind) {
        self.waits.remove(&(slot, kind));
        let mut known = self.finished_ms.keys();
        if !known.any(|known| self.finished_within(*known, LAG_MS_MAX)) {
            // The first one that moves again after a standstill makes none of the others the one to blame.
            self.waits.values_mut().for_each(|wait| wait.ms = 0);
        }
        self.finished_ms.insert(slot, self.counted_ms);
        self.silent.remove(&slot);
    }

    /// What a disk was asked to give is waited for no longer.
    pub(super) fn gave_up(&mut self, slot: DiskSlot) {
        self.waits.remove(&(slot, Kind::Read));
        self.silent.insert(slot);
    }

    /// Whether what a disk was asked to give was given up, and it has finished nothing since.
    pub(super) fn is_silent(&self, slot: DiskSlot) -> bool {
        self.silent.contains(&slot)
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
        self.counted_ms += passed;
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
        hung.retain(|key| !self.stands_still(*key));
        hung
    }

    /// Whether a disk that takes nothing is not alone: others wait as well, and none of them finished anything meanwhile.
    fn stands_still(&self, (slot, kind): (DiskSlot, Kind)) -> bool {
        let wait_ms = self.waits.get(&(slot, kind)).map_or(0, |wait| wait.ms);
        if kind == Kind::Read || wait_ms > STANDSTILL_MS_MAX {
            return false;
        }
        let mut waits = self.waits.iter();
        let waits = waits.any(|((other, _), wait)| *other != slot && wait.ms > LAG_MS_MAX / 2);
        let silent = self.silent.iter().any(|other| *other != slot);
        (waits || silent) && !self.others_move(slot)
    }

    /// Whether a disk beside this one finished anything a short while ago.
    fn others_move(&self, slot: DiskSlot) -> bool {
        let mut others = self.finished_ms.keys().filter(|other| **other != slot);
        others.any(|other| self.finished_within(*other, LAG_MS_MAX))
    }

    /// Whether a disk finished anything in this time.
    fn finished_within(&self, slot: DiskSlot, ms: u64) -> bool {
        let since_ms = self.counted_ms.saturating_sub(ms);
        let at_ms = self.finished_ms.get(&slot).copied();
        at_ms.is_some_and(|at_ms| at_ms >= since_ms)
    }

    /// Disks of these that nobody has asked for anything for long, while another one hangs: whether they
    /// answer tells which of them is to blame.
    pub(super) fn unasked(&self, of: impl Iterator<Item = DiskSlot>) -> Vec<DiskSlot> {
        let quarter_ms = LAG_MS_MAX / 4;
        if !self.waits.values().any(|wait| wait.ms > quarter_ms) {
            return Vec::new();
        }
        let is_asked = |slot| self.waits.keys().any(|(busy, _)| *busy == slot);
        of.filter(|slot| !is_asked(*slot) && !self.finished_within(*slot, quarter_ms))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Busy, Kind, Watch};
    use crate::engine::DiskSlot;
    use crate::limits::{LAG_MS_MAX, LOOK_MS_MAX, STANDSTILL_MS_MAX};

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
    fn no_disk_is_to_blame_where_all_stand_still_before_long_and_then_each_is() {
        let other: (DiskSlot, Kind) = (DiskSlot(2), Kind::Write);
        // What the other disk does, and after which time the first one hangs.
        let check = |other_waits: bool, other_finishes: bool, hangs_ms: u64| {
            let (mut watch, mut now) = (Watch::default(), 0);
            watch.finished(other.0, other.1);
            let mut busy = Busy::from([(KEY, false)]);
            if other_waits {
                busy.insert(other, false);
            }
            let hangs = loop {
                now += LOOK_MS_MAX;
                if watch.look(&busy, now).contains(&KEY) {
                    break now;
                }
                if other_finishes {
                    watch.finished(other.0, other.1);
                }
            };
            let case = format!("{other_waits} {other_finishes}");
            assert_eq!(
                hangs.div_ceil(LAG_MS_MAX),
                hangs_ms.div_ceil(LAG_MS_MAX) + 1,
                "{case}: {hangs}"
            );
        };
        check(false, false, LAG_MS_MAX);
        check(true, true, LAG_MS_MAX);
        check(true, false, STANDSTILL_MS_MAX);
    }

    #[test]
    fn when_a_standstill_ends_every_disk_has_its_time_anew() {
        let other: (DiskSlot, Kind) = (DiskSlot(2), Kind::Write);
        let (mut watch, mut now) = (Watch::default(), 0);
        let mut look = |watch: &mut Watch, busy: &Busy, ms: u64| {
            (0..ms / LOOK_MS_MAX).any(|_| {
                now += LOOK_MS_MAX;
                !watch.look(busy, now).is_empty()
            })
        };
        let both = Busy::from([(KEY, false), (other, false)]);
        assert!(!look(&mut watch, &both, 4 * LAG_MS_MAX));
        watch.finished(other.0, other.1);
        let one = Busy::from([(KEY, true)]);
        assert!(!look(&mut watch, &one, LAG_MS_MAX));
        watch.finished(other.0, other.1);
        assert!(look(&mut watch, &one, 2 * LOOK_MS_MAX));
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
