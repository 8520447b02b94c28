//! What an operator must hear of: the newest alarms, and which of them nobody has written down yet.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use stele_format::statement::{Kind, Statement};
use stele_format::units::{LogIndex, SegmentId, UnixMillis};

use crate::engine::{Engine, Waits};
use crate::heal::late::Reread;
use crate::index::IndexError;
use crate::policy::Right;
use crate::policy::witness::WitnessRefusal;
use crate::pool::Member;
use crate::pool::slow::SlowVerdict;
use crate::recovery::Postponed;
use crate::request::ReadOnlyReason;

/// Alarms kept for display.
const ALARM_COUNT_MAX: usize = 64;
/// Time between two alarms that something was written again on the same disk.
const REPAIRS_TOLD_MS: u64 = 24 * 3_600_000;
/// Time between two alarms that something waits to be read for longer than promised.
const LATE_TOLD_MS: u64 = 24 * 3_600_000;
/// Time between two alarms that something is lost.
const LOSSES_TOLD_MS: u64 = 3_600_000;
/// Time between two alarms that several disks give the same wrong bytes.
const ALIKE_TOLD_MS: u64 = 24 * 3_600_000;
/// Time between two alarms that the same disk is slow.
const SLOW_TOLD_MS: u64 = 3_600_000;

/// Something an operator must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// A client key used a special right.
    RightUsed {
        /// Which.
        right: Right,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Somebody asked for, approved, vetoed or executed something, or placed a hold.
    Stated {
        /// The kind of statement.
        what: &'static str,
        /// Who; none where several people sign.
        by: Option<String>,
        /// Its record.
        index: LogIndex,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The keys of an approved destruction are not cut yet; the next start tries again.
    CutPostponed {
        /// Why.
        why: Postponed,
    },
    /// The key state does not say how far the log has come: a log cut after its last word is not told by it.
    HeadNotKept {
        /// Why.
        why: Postponed,
    },
    /// Tombstones cite a request that nobody approved like this. No key was cut for them.
    Unapproved {
        /// What they cite.
        request: LogIndex,
    },
    /// A security key's count of signatures went back: there may be a copy of it.
    KeyCounter {
        /// Whose.
        person: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A client deletes faster than somebody should have to wonder about.
    DeleteRate {
        /// Its access key.
        client: String,
        /// Deletes within the last hour.
        count: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A client set rules by which versions go out of S3 by themselves, also when its key is gone.
    LifecycleSet {
        /// Its access key.
        client: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The wall clock left the span around compliance time in which it counts, or came back.
    WallClock {
        /// Whether it left.
        left: bool,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The wall clock ran otherwise than compliance time by more than five minutes within a day.
    ClockDrift {
        /// By how much the wall clock got ahead; below zero, behind.
        ms: i64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Somebody brought a checkpoint that the log's key signed and that is not of this log: it has another
    /// history, or an older state of it was put back.
    OtherHistory {
        /// Records in that checkpoint.
        size: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The index contradicts the journal, or does not hold what it states; it is made anew.
    IndexContradiction {
        /// Which rows, without names.
        what: String,
    },
    /// The index could answer no more and was made anew.
    IndexRebuilt {
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The index takes no snapshot: rows stay in memory, and a start reads all that came since the last one.
    NoSnapshot {
        /// Why.
        why: IndexError,
        /// When it failed first, by the compliance clock.
        at: UnixMillis,
    },
    /// A disk failed while the vault served, and takes no part any more.
    DiskLeft {
        /// Its number, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// Why.
        why: &'static str,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A disk, or one that is as suspect as it, had confirmed acknowledged journal frames and did not have them when the
    /// vault was opened.
    DiskForgot {
        /// Its number, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// How many; another disk has them.
        frames: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A disk is not where it was opened, and the vault cannot do without it: what is open still works.
    DiskAstray {
        /// Its number, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A disk that takes part has become slow. Told once an hour of a disk.
    DiskSlow {
        /// Its number, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// How.
        times: usize,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// A disk that had become slow was quick for an hour.
    DiskQuick {
        /// Its number, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// The vault became read-only while it served.
    ReadOnly {
        /// Why.
        why: ReadOnlyReason,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Something on a disk did not verify, was written again from another copy, and was read back. Told once a day of a disk, and not of
    /// what a power cut kept from being written there.
    Repaired {
        /// The number of the disk, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Something on a disk did not verify, was written again from another copy, and does not verify when it is read back.
    /// Told once a day of a disk.
    NotMended {
        /// The number of the disk, from 1.
        number: u16,
        /// File or device, and the serial of a drive.
        name: String,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Something waits to be read again for longer than promised. Told once a day while that is so.
    ReadLate {
        /// For the first time, or once more.
        which: Reread,
        /// How long it has waited.
        age_ms: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// What waited for longer than promised was read.
    ReadInTime {
        /// For the first time, or once more.
        which: Reread,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Several disks give the same wrong bytes, which no disk makes alone: memory or a controller does. Told once a day.
    WrongAlike {
        /// The segment.
        segment: SegmentId,
        /// Frames of it, at least one.
        frames: u64,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
    /// Something is on no disk any more. Told once an hour, with how much it is.
    Lost {
        /// The segment in which it was found last.
        segment: SegmentId,
        /// Frames and parts of segments that are lost, in all segments.
        pieces: usize,
        /// When, by the compliance clock.
        at: UnixMillis,
    },
}

impl Alarm {
    /// Whether it only says that something is well again.
    #[must_use]
    pub const fn is_good_news(&self) -> bool {
        matches!(self, Alarm::DiskQuick { .. } | Alarm::ReadInTime { .. })
    }
}

/// The most recent alarms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms {
    recent: VecDeque<Alarm>,
    /// Those nobody has taken yet.
    fresh: usize,
    /// When it was last told that something was written again, by disk.
    repaired: BTreeMap<u16, UnixMillis>,
    /// When it was last told that something was written again in vain, by disk.
    unmended: BTreeMap<u16, UnixMillis>,
    /// When it was last told that a disk is slow, by disk.
    slow: BTreeMap<u16, UnixMillis>,
    /// When it was last told that something waits for too long.
    late: BTreeMap<Reread, UnixMillis>,
    /// When it was last told that several disks give the same wrong bytes.
    alike: Option<UnixMillis>,
    /// When it was last told that something is lost.
    lost: Option<UnixMillis>,
    /// Where more was found to be lost since.
    lost_since: Option<SegmentId>,
}

impl Alarms {
    /// Puts these behind those of the engine before, whose memory of what was told goes on.
    pub(crate) fn follow(&mut self, before: &Alarms) {
        let own = std::mem::replace(self, before.clone());
        for alarm in own.recent {
            self.push(alarm);
        }
    }

    /// All that are kept, oldest first.
    pub(crate) fn recent(&self) -> Vec<Alarm> {
        self.recent.iter().cloned().collect()
    }

    /// A special right was used.
    pub(crate) fn right_used(&mut self, right: Right, at: UnixMillis) {
        self.push(Alarm::RightUsed { right, at });
    }

    /// Somebody stated something.
    pub(crate) fn stated(&mut self, text: &str, index: LogIndex, at: UnixMillis) {
        let Ok(statement) = Statement::parse(text) else {
            return;
        };
        // What people do day by day is in the log, and no alarm.
        if matches!(statement.kind(), Kind::Session(_)) {
            return;
        }
        self.push(Alarm::Stated {
            what: statement.kind().name(),
            by: statement.by().map(ToString::to_string),
            index,
            at,
        });
    }

    /// What a start could not do with the key state, and tombstones that nobody approved.
    pub(crate) fn destruction_waits(&mut self, waits: &Waits) {
        if let Some(why) = &waits.postponed {
            self.push(Alarm::CutPostponed { why: why.clone() });
        }
        if let Some(why) = &waits.head {
            self.push(Alarm::HeadNotKept { why: why.clone() });
        }
        for request in &waits.unlawful {
            self.push(Alarm::Unapproved { request: *request });
        }
    }

    /// A key's count of signatures went back.
    pub(crate) fn key_counter(&mut self, person: &str, at: UnixMillis) {
        let person = person.to_owned();
        self.push(Alarm::KeyCounter { person, at });
    }

    /// A client deletes very fast.
    pub(crate) fn delete_rate(&mut self, key_id: &str, count: u64, at: UnixMillis) {
        let client = key_id.to_owned();
        self.push(Alarm::DeleteRate { client, count, at });
    }

    /// A client set rules by which versions go.
    pub(crate) fn lifecycle_set(&mut self, key_id: &str, at: UnixMillis) {
        let client = key_id.to_owned();
        self.push(Alarm::LifecycleSet { client, at });
    }

    /// The wall clock left the span in which it counts, or came back.
    pub(crate) fn wall_clock(&mut self, left: bool, at: UnixMillis) {
        self.push(Alarm::WallClock { left, at });
    }

    /// The wall clock drifts.
    pub(crate) fn clock_drift(&mut self, ms: i64, at: UnixMillis) {
        self.push(Alarm::ClockDrift { ms, at });
    }

    /// A checkpoint that is not of this log, if that is why it was refused.
    pub(crate) fn other_history(&mut self, why: &WitnessRefusal, at: UnixMillis) {
        if let WitnessRefusal::Longer { size, .. } | WitnessRefusal::Forked { size } = *why {
            self.push(Alarm::OtherHistory { size, at });
        }
    }

    /// Index and journal contradict each other.
    pub(crate) fn index_contradiction(&mut self, what: &dyn fmt::Display) {
        self.push(Alarm::IndexContradiction {
            what: what.to_string(),
        });
    }

    /// A disk failed.
    pub(crate) fn disk_left(&mut self, member: &Member, at: UnixMillis) {
        self.push(Alarm::DiskLeft {
            number: member.ordinal + 1,
            name: member.called(),
            why: member.reason.unwrap_or("it failed"),
            at,
        });
    }

    /// A disk did not have what it had confirmed, if that is so.
    pub(crate) fn disk_forgot(&mut self, member: &Member, at: UnixMillis) {
        if member.forgotten_frames > 0 {
            self.push(Alarm::DiskForgot {
                number: member.ordinal + 1,
                name: member.called(),
                frames: member.forgotten_frames,
                at,
            });
        }
    }

    /// A disk is not at its place, and stays.
    pub(crate) fn disk_astray(&mut self, member: &Member, at: UnixMillis) {
        let (number, name) = (member.ordinal + 1, member.called());
        self.push(Alarm::DiskAstray { number, name, at });
    }

    /// A disk has become slow, or was quick again for long.
    pub(crate) fn disk_slow(&mut self, member: &Member, verdict: SlowVerdict, at: UnixMillis) {
        let (number, name) = (member.ordinal + 1, member.called());
        match verdict {
            SlowVerdict::Quick => self.push(Alarm::DiskQuick { number, name, at }),
            SlowVerdict::Suspect(times) => {
                let last = self.slow.get(&number).copied();
                if is_over(last, SLOW_TOLD_MS, at) {
                    self.slow.insert(number, at);
                    self.push(Alarm::DiskSlow {
                        number,
                        name,
                        times,
                        at,
                    });
                }
            }
        }
    }

    /// The vault became read-only.
    pub(crate) fn read_only(&mut self, why: ReadOnlyReason, at: UnixMillis) {
        self.push(Alarm::ReadOnly { why, at });
    }

    /// Something was written again on a disk. One that rots all over is told of once a day.
    pub(crate) fn repaired(&mut self, member: &Member, at: UnixMillis) {
        let (number, name) = (member.ordinal + 1, member.called());
        let last = self.repaired.get(&number).copied();
        if is_over(last, REPAIRS_TOLD_MS, at) {
            self.repaired.insert(number, at);
            self.push(Alarm::Repaired { number, name, at });
        }
    }

    /// Another disk takes a place, or none: what is told of it now and then is told from the beginning.
    pub(crate) fn disk_forgotten(&mut self, member: &Member) {
        let number = member.ordinal + 1;
        self.repaired.remove(&number);
        self.unmended.remove(&number);
        self.slow.remove(&number);
    }

    /// Something was written again on a disk in vain.
    pub(crate) fn not_mended(&mut self, member: &Member, at: UnixMillis) {
        let (number, name) = (member.ordinal + 1, member.called());
        let last = self.unmended.get(&number).copied();
        if is_over(last, REPAIRS_TOLD_MS, at) {
            self.unmended.insert(number, at);
            self.push(Alarm::NotMended { number, name, at });
        }
    }

    /// So many frames of a segment are wrong in the same way on several disks.
    pub(crate) fn wrong_alike(&mut self, segment: SegmentId, frames: u64, at: UnixMillis) {
        if frames > 0 && is_over(self.alike, ALIKE_TOLD_MS, at) {
            self.alike = Some(at);
            self.push(Alarm::WrongAlike {
                segment,
                frames,
                at,
            });
        }
    }

    /// What waits to be read has waited for so long.
    pub(crate) fn reread(&mut self, which: Reread, age_ms: u64, at: UnixMillis) {
        let promise = which.promise();
        let last = self.late.get(&which).copied();
        if promise.is_broken(age_ms) && is_over(last, LATE_TOLD_MS, at) {
            self.late.insert(which, at);
            self.push(Alarm::ReadLate { which, age_ms, at });
        }
        if promise.is_kept(age_ms) && self.late.remove(&which).is_some() {
            self.push(Alarm::ReadInTime { which, at });
        }
    }

    /// Something was found to be on no disk. All that is lost with two disks is not told one by one: what is found
    /// within the hour is told when it is over.
    pub(crate) fn lost(&mut self, segment: SegmentId, pieces: usize, at: UnixMillis) {
        self.lost_since = Some(segment);
        self.tell_losses(pieces, at);
    }

    /// Tells what was found to be lost since that was told last, if it may be told now; `pieces` is all there is now.
    pub(crate) fn tell_losses(&mut self, pieces: usize, at: UnixMillis) {
        let may_be_told = is_over(self.lost, LOSSES_TOLD_MS, at);
        let Some(segment) = self.lost_since.take_if(|_| may_be_told) else {
            return;
        };
        // All of it may have come back with a disk.
        if pieces > 0 {
            self.lost = Some(at);
            self.push(Alarm::Lost {
                segment,
                pieces,
                at,
            });
        }
    }

    /// The index was made anew.
    pub(crate) fn index_rebuilt(&mut self, at: UnixMillis) {
        self.push(Alarm::IndexRebuilt { at });
    }

    /// A snapshot failed, and the one before it had not.
    pub(crate) fn no_snapshot(&mut self, why: IndexError, at: UnixMillis) {
        self.push(Alarm::NoSnapshot { why, at });
    }

    fn push(&mut self, alarm: Alarm) {
        if self.recent.len() == ALARM_COUNT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(alarm);
        self.fresh = (self.fresh + 1).min(ALARM_COUNT_MAX);
    }
}

/// Whether something may be told again.
fn is_over(last: Option<UnixMillis>, pause_ms: u64, at: UnixMillis) -> bool {
    last.is_none_or(|last| at.get().saturating_sub(last.get()) >= pause_ms)
}

impl Engine {
    /// Alarms since this was last asked, for whoever writes them down; those of status stay.
    pub fn take_new_alarms(&mut self) -> Vec<Alarm> {
        let fresh = std::mem::take(&mut self.alarms.fresh);
        let known = self.alarms.recent.len().saturating_sub(fresh);
        self.alarms.recent.iter().skip(known).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn what_waits_for_too_long_is_told_of_once_a_day_and_taken_back_once() {
        let mut alarms = Alarms::default();
        let mut told = Vec::new();
        // The hour, and for how many hours something has waited then.
        for (hour, age) in [
            (1, 24),
            (2, 25),
            (3, 26),
            (25, 48),
            (26, 49),
            (40, 20),
            (41, 25),
            (42, 18),
            (43, 17),
            (44, 25),
        ] {
            let at = UnixMillis::new(hour * HOUR_MS);
            alarms.reread(Reread::First, age * HOUR_MS, at);
            let fresh = std::mem::take(&mut alarms.recent).into_iter();
            told.extend(fresh.map(|alarm| match alarm {
                Alarm::ReadLate { age_ms, .. } => (hour, Some(age_ms / HOUR_MS)),
                _ => (hour, None),
            }));
        }
        let expected = [(2, Some(25)), (26, Some(49)), (42, None), (44, Some(25))];
        assert_eq!(told, expected);
    }
}
