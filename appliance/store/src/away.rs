//! Disks that the journal goes on without because they lag far behind, and when they may come back:
//! later each time, since every change of disks closes a segment early.

use std::collections::BTreeMap;

use crate::engine::DiskSlot;
use crate::limits::{AWAY_MS_MAX, SLOW_MS};

/// What is remembered of a disk that left.
struct Left {
    /// Whether the journal does without it now.
    away: bool,
    since_ms: u64,
    until_ms: u64,
    pause_ms: u64,
}

/// Disks that left the journal.
#[derive(Default)]
pub(crate) struct Away {
    left: BTreeMap<DiskSlot, Left>,
}

impl Away {
    /// A disk lags: the journal does without it for a while.
    pub(crate) fn leave(&mut self, slot: DiskSlot, now_ms: u64) {
        let last = self.left.get(&slot);
        // Who kept up for long is not blamed for what was before.
        let recent = last.filter(|left| now_ms < left.until_ms.saturating_add(AWAY_MS_MAX));
        let pause_ms = recent.map_or(SLOW_MS, |left| (2 * left.pause_ms).min(AWAY_MS_MAX));
        let left = Left {
            away: true,
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(pause_ms),
            pause_ms,
        };
        self.left.insert(slot, left);
    }

    /// Disks that the journal does without.
    pub(crate) fn slots(&self) -> Vec<DiskSlot> {
        let away = self.left.iter().filter(|(_, left)| left.away);
        away.map(|(slot, _)| *slot).collect()
    }

    /// Since when the journal does without a disk, if it does.
    pub(crate) fn since_ms(&self, slot: DiskSlot) -> Option<u64> {
        let left = self.left.get(&slot).filter(|left| left.away)?;
        Some(left.since_ms)
    }

    /// A disk that has been away for long enough.
    pub(crate) fn due(&self, now_ms: u64, may: impl Fn(DiskSlot) -> bool) -> Option<DiskSlot> {
        let due =
            |(slot, left): &(&DiskSlot, &Left)| left.away && left.until_ms <= now_ms && may(**slot);
        self.left.iter().find(due).map(|(slot, _)| *slot)
    }

    /// The journal takes the disk again.
    pub(crate) fn come_back(&mut self, slot: DiskSlot) {
        if let Some(left) = self.left.get_mut(&slot) {
            left.away = false;
        }
    }

    /// The disk is not believed any more.
    pub(crate) fn forget(&mut self, slot: DiskSlot) {
        self.left.remove(&slot);
    }
}

#[cfg(test)]
mod tests {
    use super::Away;
    use crate::engine::DiskSlot;
    use crate::limits::{AWAY_MS_MAX, SLOW_MS};

    const DISK: DiskSlot = DiskSlot(1);

    /// When a disk that leaves now may come back.
    fn back(away: &mut Away, now_ms: u64) -> u64 {
        away.leave(DISK, now_ms);
        assert_eq!(away.slots(), [DISK]);
        let mut at = now_ms;
        while away.due(at, |_| true).is_none() {
            at += SLOW_MS / 2;
        }
        away.come_back(DISK);
        assert_eq!(away.slots(), []);
        at
    }

    #[test]
    fn a_disk_stays_away_for_longer_each_time_up_to_a_limit_and_starts_anew_after_a_quiet_time() {
        let (mut away, mut now) = (Away::default(), 0);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let at = back(&mut away, now);
            pauses.push(at - now);
            now = at + 1_000;
        }
        assert_eq!(pauses[..3], [SLOW_MS, 2 * SLOW_MS, 4 * SLOW_MS]);
        assert_eq!(pauses[9], AWAY_MS_MAX);
        now += AWAY_MS_MAX;
        assert_eq!(back(&mut away, now) - now, SLOW_MS);
    }
}
