//! What a drain waits for: disks to be plugged in, by number and serial.

use stele_store::pool::MemberState;
use stele_store::status::DiskStatus as EngineDisk;

use crate::bays::{Bay, Seat};

/// How a drain stands, and who knows the disks.
pub(super) struct Drains<'a> {
    /// The disk that the engine drains, by number.
    pub(super) begun: Option<u16>,
    /// Disks without which it cannot tell what is to be moved.
    pub(super) lacking: &'a [u16],
    /// The disk that is to be drained, whether the engine has begun or not.
    pub(super) noted: Option<u16>,
    /// All disks.
    pub(super) disks: &'a [EngineDisk],
    /// Places of the configuration, and which disk belongs to each.
    pub(super) bays: &'a [Bay],
    pub(super) seats: &'a [Seat],
}

impl Drains<'_> {
    /// Why the drain of this disk does not go on, if it waits for other disks.
    pub(super) fn wait_of(&self, disk: &EngineDisk) -> Option<String> {
        if self.begun == Some(disk.number) {
            let away = self.named(self.lacking)?;
            return Some(format!(
                "waits for {away} to take part, since nobody could read yet what is there and here alone"
            ));
        }
        if self.begun.is_some()
            || self.noted != Some(disk.number)
            || disk.state != MemberState::Active
        {
            return None;
        }
        let lacks = |other: &&EngineDisk| {
            let counts = matches!(other.state, MemberState::Active | MemberState::Drained);
            other.number != disk.number && !counts
        };
        let lacking = self.disks.iter().filter(lacks).map(|other| other.number);
        let lacking = self.named(&lacking.collect::<Vec<u16>>())?;
        Some(format!("its drain waits for {lacking} to take part"))
    }

    /// Disks by number, with their serials or else where they should be; none for none.
    fn named(&self, numbers: &[u16]) -> Option<String> {
        let name = |number: &u16| {
            let is_it = |seat: &Seat| {
                let disk = seat.disk.and_then(|at| self.disks.get(at));
                disk.is_some_and(|disk| disk.number == *number)
            };
            let mut places = self.bays.iter().zip(self.seats);
            let place = places.find(|(_, seat)| is_it(seat));
            match place.map(|(bay, seat)| (seat.serial(bay), &bay.file)) {
                Some((Some(serial), _)) => format!("disk {number} (serial {serial})"),
                Some((None, file)) => format!("disk {number} ({file})"),
                None => format!("disk {number}"),
            }
        };
        let names: Vec<String> = numbers.iter().map(name).collect();
        (!names.is_empty()).then(|| names.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use stele_format::units::DiskId;

    use super::*;

    fn disk(number: u16, state: MemberState) -> EngineDisk {
        EngineDisk {
            number,
            disk: DiskId::new([1; 16]),
            name: String::new(),
            state,
            reason: None,
            slow: None,
            slow_suspect: None,
            unmended: 0,
            forgotten_frames: 0,
            astray: false,
            wanted: false,
            free_bytes: 1,
            total_bytes: 2,
        }
    }

    fn bay(number: u16, serial: Option<&str>) -> Bay {
        Bay {
            path: PathBuf::from("/d"),
            file: format!("/d{number}"),
            serial: serial.map(str::to_owned),
            slot: None,
            // Nothing is at the places whose drives are only remembered.
            fault: serial.map(|_| "it is not there".to_owned()),
            backend: None,
            bytes: None,
            id: None,
        }
    }

    /// What is said of disk 3 of four, of which the second is away.
    fn said(begun: Option<u16>, lacking: &[u16], noted: Option<u16>) -> Option<String> {
        let mut disks = [1, 2, 3, 4].map(|number| disk(number, MemberState::Active));
        disks[1].state = MemberState::Absent;
        disks[3].state = MemberState::Drained;
        let bays = [
            bay(1, None),
            bay(2, Some("S-22")),
            bay(3, None),
            bay(4, None),
        ];
        let seats = [0, 1, 2, 3].map(|at| Seat {
            disk: Some(at),
            here: at != 1,
        });
        let drains = Drains {
            begun,
            lacking,
            noted,
            disks: &disks,
            bays: &bays,
            seats: &seats,
        };
        drains.wait_of(&disks[2])
    }

    #[test]
    fn a_drain_that_waits_says_for_which_disk_by_number_and_serial() {
        let waits = said(Some(3), &[2], Some(3)).unwrap();
        assert!(
            waits.starts_with("waits for disk 2 (serial S-22) to take part"),
            "{waits}"
        );
        let both = said(Some(3), &[1, 2], Some(3)).unwrap();
        assert!(
            both.starts_with("waits for disk 1 (/d1) and disk 2 (serial S-22) to"),
            "{both}"
        );
        assert_eq!(said(Some(3), &[], Some(3)), None);
        assert_eq!(said(Some(1), &[2], Some(1)), None, "another one is drained");
    }

    #[test]
    fn a_drain_that_was_not_begun_again_says_who_is_to_take_part_first() {
        let waits = said(None, &[], Some(3)).unwrap();
        assert_eq!(
            waits,
            "its drain waits for disk 2 (serial S-22) to take part"
        );
        assert_eq!(said(None, &[], None), None);
        assert_eq!(said(None, &[], Some(1)), None);
    }

    #[test]
    fn a_drive_in_the_place_of_a_disk_that_is_missing_is_not_named_as_that_disk() {
        let seat = |here| Seat {
            disk: Some(0),
            here,
        };
        let empty = bay(1, Some("OLD"));
        let taken = Bay {
            fault: None,
            ..bay(1, Some("NEW"))
        };
        let serial = |here, bay| seat(here).serial(bay).map(String::as_str);
        assert_eq!(serial(false, &empty), Some("OLD"));
        assert_eq!(serial(false, &taken), None);
        assert_eq!(serial(true, &taken), Some("NEW"));
    }
}
