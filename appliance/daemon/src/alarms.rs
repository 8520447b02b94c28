//! Alarms in sentences, for the log and for status.

use stele_store::heal::late::Reread;
use stele_store::status::Alarm;

use crate::status::{duration, instant};

/// An alarm in a sentence.
pub fn alarm(alarm: &Alarm) -> String {
    match alarm {
        Alarm::RightUsed { right, at } => {
            format!("a client used the right {right} at {}", instant(at.get()))
        }
        Alarm::Stated {
            what,
            by,
            index,
            at,
        } => {
            let by = by.as_deref().unwrap_or("all its people");
            format!("record {index}: {what} by {by} at {}", instant(at.get()))
        }
        Alarm::KeyCounter { person, at } => format!(
            "a security key of {person} counted backwards at {}; there may be a copy of it",
            instant(at.get())
        ),
        Alarm::WallClock { left, at } => {
            let what = if *left {
                "is more than a day from compliance time, which stands still while the vault is off; nothing is \
                 destroyed until the clock is set, or two people correct compliance time (stele clock correct)"
            } else {
                "came back to compliance time"
            };
            format!("the machine's clock {what} ({})", instant(at.get()))
        }
        Alarm::DeleteRate { client, count, at } => format!(
            "client key {client} deleted {count} times within an hour ({}); nothing is destroyed by it; revoke the key if \
             nobody means it",
            instant(at.get())
        ),
        Alarm::LifecycleSet { client, at } => format!(
            "client key {client} set lifecycle rules by which versions go out of S3 ({}); they stay when the key is revoked: \
             stele bucket list",
            instant(at.get())
        ),
        Alarm::ClockDrift { ms, at } => {
            let way = if *ms < 0 { "lost" } else { "gained" };
            let seconds = ms.unsigned_abs() / 1_000;
            format!(
                "the machine's clock {way} {seconds} s on compliance time within a day ({}); retention does not follow it",
                instant(at.get())
            )
        }
        Alarm::OtherHistory { size, at } => format!(
            "a checkpoint of {size} records that this log's key signed is not of this log ({}): an older state of \
             the vault was put back, or it has two histories",
            instant(at.get())
        ),
        Alarm::CutPostponed { why } => {
            format!(
                "keys of an approved destruction are not cut yet: {why}; the next start tries again"
            )
        }
        Alarm::HeadNotKept { why } => format!(
            "the key state could not be written at this start ({why}); it does not say how far the log has come since"
        ),
        Alarm::Unapproved { request } => format!(
            "the log holds a destruction for record {request} that nobody approved; no key was cut for it; run \
             stele-inspect audit"
        ),
        Alarm::IndexContradiction { what } => {
            format!("the index contradicts the journal or itself ({what}); it was made anew")
        }
        Alarm::IndexRebuilt { at } => {
            let at = instant(at.get());
            format!("the index could not be used and was made anew from the journal at {at}")
        }
        Alarm::NoSnapshot { why, at } => format!(
            "the index took no snapshot ({why}) since {}: nothing is lost, but a start takes longer with all that comes, \
             and space that was given up does not come back; `stele status` shows the room and the mirrors of the index",
            instant(at.get())
        ),
        Alarm::DiskLeft {
            number,
            name,
            why,
            at,
        } => format!(
            "disk {number} ({name}) failed and takes no part any more: {why} ({})",
            instant(at.get())
        ),
        Alarm::DiskForgot {
            number,
            name,
            frames,
            at,
        } => format!(
            "disk {number} ({name}) did not have {frames} journal frames that the disks had confirmed, at this start or an \
             earlier one; another disk has them ({}). It may confirm what its cache has not written, and is used only where \
             others are too few: replace it",
            instant(at.get())
        ),
        Alarm::DiskAstray { number, name, at } => format!(
            "disk {number} ({name}) is no longer at its place ({}); it is used as it is open, but the next start does not find \
             it: have it back there before the vault is stopped",
            instant(at.get())
        ),
        Alarm::DiskSlow {
            number,
            name,
            times,
            at,
        } => format!(
            "disk {number} ({name}) is failing or overloaded: {} ({}). The vault acknowledges with the other disks where they \
             are enough, reads from the other copy, and puts what is new elsewhere where others have room, for as long as it \
             lasts. If it goes on, replace the disk: `stele status` prints the command",
            slow_words(*times),
            instant(at.get())
        ),
        Alarm::DiskQuick { number, name, at } => format!(
            "disk {number} ({name}) was not seen to be slow for an hour ({})",
            instant(at.get())
        ),
        Alarm::ReadOnly { why, at } => {
            format!("the vault became read-only at {}: {why}", instant(at.get()))
        }
        Alarm::Repaired { number, name, at } => format!(
            "something on disk {number} ({name}) did not verify and was written again from another copy and read back ({}); if this is said again \
             and again, the disk is failing",
            instant(at.get())
        ),
        Alarm::NotMended { number, name, at } => format!(
            "something on disk {number} ({name}) did not verify, was written again, and cannot be read back or does not verify \
             when it is read back ({}): the disk does not keep what it takes. The other copy is good. Replace the disk: \
             `stele status` prints the command",
            instant(at.get())
        ),
        Alarm::ReadLate { which, age_ms, at } => format!(
            "{} ({}). Nothing is lost by that; but if a disk did not keep what it confirmed, nobody knows it yet, and there is one \
             copy less. Clients take more than the disks can give beside reading: leave the vault quiet hours, or have it on \
             faster disks",
            late_words(*which, *age_ms),
            instant(at.get())
        ),
        Alarm::ReadInTime { which, at } => {
            let what = match which {
                Reread::First => "what was stored is read again within a day",
                Reread::Again => "everything was read again within two weeks",
            };
            format!("{what}, as promised ({})", instant(at.get()))
        }
        Alarm::WrongAlike {
            segment,
            frames,
            at,
        } => format!(
            "{frames} frames of segment {segment} are wrong in the same way on several disks, which no disk does alone: \
             memory or a controller of this machine does; stop the vault, test the memory, and move the disks to another \
             machine if in doubt ({})",
            instant(at.get())
        ),
        Alarm::Lost {
            segment,
            pieces,
            at,
        } => format!(
            "{pieces} frames or parts of segments are on no disk any more, the last of them found in segment {segment} ({})",
            instant(at.get())
        ),
    }
}

/// For how long something has waited to be read, and for how long it may.
pub fn late_words(which: Reread, age_ms: u64) -> String {
    let (age, within) = (duration(age_ms), duration(which.promise().within_ms));
    match which {
        Reread::First => format!(
            "what was stored has waited for {age} to be read again for the first time, {within} are promised"
        ),
        Reread::Again => format!(
            "what was read before has waited for {age} to be read again, {within} are promised"
        ),
    }
}

/// How a disk was slow.
pub fn slow_words(times: usize) -> String {
    format!("{times} times within an hour it gave or took nothing while others did")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stele_format::units::UnixMillis;
    use stele_store::request::ReadOnlyReason;

    #[test]
    fn alarms_about_disks_say_which_and_what_follows() {
        let at = UnixMillis::new(1_000);
        let (name, number) = ("/d".to_owned(), 2);
        let missing = "disk 2 (ab)".to_owned();
        let (present, needed) = (1, 2);
        let why = ReadOnlyReason::TooFewDisks {
            present,
            needed,
            missing,
            idle: String::new(),
        };
        let segment = stele_format::units::SegmentId::new(7);
        let pieces = 3;
        for (told, words) in [
            (
                Alarm::DiskLeft {
                    number,
                    name: name.clone(),
                    why: "it is gone",
                    at,
                },
                ["disk 2 (/d)", "it is gone"],
            ),
            (
                Alarm::DiskForgot {
                    number,
                    name: name.clone(),
                    frames: 3,
                    at,
                },
                [
                    "disk 2 (/d) did not have 3 journal frames",
                    "used only where",
                ],
            ),
            (
                Alarm::DiskSlow {
                    number,
                    name: name.clone(),
                    times: 3,
                    at,
                },
                ["disk 2 (/d)", "3 times within an hour"],
            ),
            (
                Alarm::DiskQuick {
                    number,
                    name: name.clone(),
                    at,
                },
                ["disk 2 (/d)", "not seen to be slow"],
            ),
            (
                Alarm::NotMended {
                    number,
                    name: name.clone(),
                    at,
                },
                ["disk 2 (/d)", "Replace the disk"],
            ),
            (
                Alarm::DiskAstray {
                    number,
                    name: name.clone(),
                    at,
                },
                ["disk 2 (/d)", "before the vault is stopped"],
            ),
            (
                Alarm::ReadOnly { why, at },
                ["became read-only", "plug in disk 2 (ab)"],
            ),
            (
                Alarm::Repaired { number, name, at },
                ["disk 2 (/d)", "written again"],
            ),
            (
                Alarm::ReadLate {
                    which: Reread::First,
                    age_ms: 25 * 3_600_000,
                    at,
                },
                ["waited for 25 h", "24 h are promised"],
            ),
            (
                Alarm::ReadLate {
                    which: Reread::Again,
                    age_ms: 15 * 24 * 3_600_000,
                    at,
                },
                ["waited for 15 days", "14 days are promised"],
            ),
            (
                Alarm::ReadInTime {
                    which: Reread::First,
                    at,
                },
                ["read again within a day", "as promised"],
            ),
            (
                Alarm::WrongAlike {
                    segment,
                    frames: 2,
                    at,
                },
                ["2 frames of segment 7", "test the memory"],
            ),
            (
                Alarm::Lost {
                    segment,
                    pieces,
                    at,
                },
                ["3 frames or parts of segments", "segment 7"],
            ),
        ] {
            let said = alarm(&told);
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
            assert!(said.contains("1970-01-01 00:00:01 UTC"), "{said}");
        }
    }
}
