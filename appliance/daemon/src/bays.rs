//! The places for disks: one for each entry of `vault.json`, and what is there.
//!
//! The engine knows its disks by label and names only those that are here. One that is not is shown at
//! the place where it was made, unless another disk is there now.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stele_store::engine::DiskSlot;
use stele_store::status::DiskStatus as EngineDisk;

use crate::vault::disks::Slot;

/// Why a place is empty whose disk answers nothing.
const SILENT: &str = "does not answer";

/// What a path leads to, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileId {
    /// A file: device and inode.
    File(u64, u64),
    /// A block device by its number.
    Device(u64),
}

impl FileId {
    /// Looks where a path leads.
    ///
    /// # Errors
    /// What the kernel reports.
    pub fn of(path: &Path) -> std::io::Result<FileId> {
        Ok(FileId::from(&std::fs::metadata(path)?))
    }
}

impl From<&std::fs::Metadata> for FileId {
    fn from(data: &std::fs::Metadata) -> FileId {
        if data.file_type().is_block_device() {
            FileId::Device(data.rdev())
        } else {
            FileId::File(data.dev(), data.ino())
        }
    }
}

/// A place.
#[derive(Debug, Clone)]
pub struct Bay {
    /// Where the disk should be.
    pub path: PathBuf,
    /// The same as the engine names it.
    pub file: String,
    /// The serial number of its drive, as far as it is or was known.
    pub serial: Option<String>,
    /// Where the engine thread has it, while it is open.
    pub slot: Option<DiskSlot>,
    /// Why it is not there.
    pub fault: Option<String>,
    /// How it is read and written.
    pub backend: Option<String>,
    /// Its size.
    pub bytes: Option<u64>,
    /// What was opened.
    pub id: Option<FileId>,
}

/// All places, shared by who changes them and who shows them.
#[derive(Debug, Clone, Default)]
pub struct Bays {
    places: Arc<Mutex<Vec<Bay>>>,
    /// Number of the disk that is to be drained; 0 for none.
    draining: Arc<AtomicU16>,
}

impl Bays {
    /// The places of a vault whose disks were opened in this order.
    pub fn new(slots: &[Slot]) -> Bays {
        let bays = slots.iter().zip(0..).map(|(slot, number)| {
            let disk = slot.disk.as_ref();
            Bay {
                path: slot.path.clone(),
                file: slot.path.display().to_string(),
                serial: slot.serial.clone(),
                slot: disk.is_ok().then_some(DiskSlot(number)),
                fault: disk.err().cloned(),
                backend: disk.ok().map(|disk| disk.identity().backend.clone()),
                bytes: disk.ok().map(|disk| disk.identity().bytes),
                id: slot.id,
            }
        });
        Bays {
            places: Arc::new(Mutex::new(bays.collect())),
            ..Bays::default()
        }
    }

    /// The disk that is to be drained, by number, whether that has begun or not.
    pub fn draining(&self) -> Option<u16> {
        Some(self.draining.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }

    /// This disk is to be drained, or none.
    pub fn note_draining(&self, number: Option<u16>) {
        self.draining.store(number.unwrap_or(0), Ordering::Relaxed);
    }

    /// The places as they are now.
    pub fn now(&self) -> Vec<Bay> {
        self.lock().clone()
    }

    /// Puts another disk into a place, or makes a new place for it.
    pub fn put(&self, at: Option<usize>, bay: Bay) {
        let mut bays = self.lock();
        match at.and_then(|at| bays.get_mut(at)) {
            Some(place) => *place = bay,
            None => bays.push(bay),
        }
    }

    /// The disk that was here has been let go of.
    pub fn emptied(&self, slot: DiskSlot) {
        for bay in self.lock().iter_mut() {
            if bay.slot == Some(slot) {
                (bay.slot, bay.id) = (None, None);
            }
        }
    }

    /// The disk that was here does not answer, and was let go of.
    pub fn silent(&self, slot: DiskSlot) {
        for bay in self.lock().iter_mut() {
            if bay.slot == Some(slot) {
                (bay.slot, bay.id) = (None, None);
                bay.fault = Some(SILENT.to_owned());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Bay>> {
        // No code that can panic runs while it is held.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which disk belongs to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Its index among the engine's disks.
    pub disk: Option<usize>,
    /// Whether it is there.
    pub here: bool,
}

impl Seat {
    /// What is printed on the disk of the vault that belongs here, as far as that is known: another drive may be in its
    /// place.
    pub fn serial<'a>(&self, bay: &'a Bay) -> Option<&'a String> {
        let own = self.here || bay.fault.is_some();
        bay.serial.as_ref().filter(|_| own)
    }
}

/// For every place the disk that is there or should be.
pub fn seats(disks: &[EngineDisk], bays: &[Bay]) -> Vec<Seat> {
    let mut nameless: Vec<usize> = (0..disks.len())
        .filter(|at| disks.get(*at).is_some_and(|disk| disk.name.is_empty()))
        .collect();
    let number = |at: &usize| disks.get(*at).map(|disk| usize::from(disk.number));
    let mut seats: Vec<Seat> = Vec::with_capacity(bays.len());
    for (place, bay) in bays.iter().enumerate() {
        let here = disks.iter().position(|disk| disk.name == bay.file);
        let home = nameless.iter().position(|at| number(at) == Some(place + 1));
        let disk = here.or_else(|| home.map(|home| nameless.remove(home)));
        seats.push(Seat {
            disk,
            here: here.is_some(),
        });
    }
    for seat in &mut seats {
        if seat.disk.is_none() && !nameless.is_empty() {
            seat.disk = Some(nameless.remove(0));
        }
    }
    seats
}

#[cfg(test)]
mod tests {
    use super::*;
    use stele_format::units::DiskId;
    use stele_store::pool::MemberState;

    fn disk(number: u16, name: &str) -> EngineDisk {
        EngineDisk {
            number,
            disk: DiskId::new([0; 16]),
            name: name.to_owned(),
            state: MemberState::Active,
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

    fn bay(file: &str) -> Bay {
        Bay {
            path: PathBuf::from(file),
            file: file.to_owned(),
            slot: None,
            fault: None,
            serial: None,
            backend: None,
            bytes: None,
            id: None,
        }
    }

    #[test]
    fn every_place_has_the_disk_that_is_there_or_should_be() {
        let check = |disks: &[EngineDisk], files: &[&str], expected: &[(u16, bool)]| {
            let bays: Vec<Bay> = files.iter().map(|file| bay(file)).collect();
            let seen: Vec<(u16, bool)> = seats(disks, &bays)
                .into_iter()
                .map(|seat| (seat.disk.map_or(0, |at| disks[at].number), seat.here))
                .collect();
            assert_eq!(seen, expected);
        };
        let both = [disk(1, "a"), disk(2, "b")];
        check(&both, &["a", "b"], &[(1, true), (2, true)]);
        check(&both, &["b", "a"], &[(2, true), (1, true)]);
        check(&both, &["a", "b", "c"], &[(1, true), (2, true), (0, false)]);
        let second_gone = [disk(1, "a"), disk(2, "")];
        check(&second_gone, &["a", "b"], &[(1, true), (2, false)]);
        let first_gone = [disk(1, ""), disk(2, "a")];
        check(&first_gone, &["a", "b"], &[(2, true), (1, false)]);
    }

    #[test]
    fn two_names_of_one_file_lead_to_the_same() {
        let temp = tempfile::tempdir().expect("a directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::write(at("a"), "x").expect("written");
        std::fs::write(at("b"), "x").expect("written");
        std::fs::hard_link(at("a"), at("hard")).expect("linked");
        std::os::unix::fs::symlink(at("a"), at("soft")).expect("linked");
        let id = |name: &str| FileId::of(&at(name)).expect("there");
        assert_eq!(id("hard"), id("a"));
        assert_eq!(id("soft"), id("a"));
        assert_ne!(id("b"), id("a"));
    }
}
