//! The disks of a vault: which ones a new vault gets, and opening those of an old one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stele_device::disk::{Disk, Waker};
use stele_device::linux::disk::{OpenError, OpenMode, Wishes};

use super::{Directory, blank::require_blank, config::Config, located};
use crate::bays::FileId;
use crate::error::{Error, Outcome};
use crate::limits::{DISK_BYTES_DEFAULT, DISK_BYTES_MIN, DISK_COUNT_DEFAULT};
use crate::media::{Opening, open_disk, open_here};

/// A disk of a vault that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDisk {
    /// Where it is or will be.
    pub path: PathBuf,
    /// How the vault's configuration names it.
    pub name: PathBuf,
    /// Whether a file has to be made.
    pub make: bool,
}

/// A place for a disk, filled or not.
pub struct Slot {
    /// Where the disk should be.
    pub path: PathBuf,
    /// The serial number of the drive, as it is or as it was when a drive was last there.
    pub serial: Option<String>,
    /// The disk, or why it is not there, in a sentence for the operator.
    pub disk: Result<Box<dyn Disk>, String>,
    /// What was opened, if that can be told.
    pub id: Option<FileId>,
}

/// The disks a new vault gets: the named ones, or three files in the directory.
pub fn plan(directory: &Directory, wanted: &[PathBuf]) -> Vec<NewDisk> {
    if wanted.is_empty() {
        let file = |number: usize| PathBuf::from(format!("disk{number}.disk"));
        return (1..=DISK_COUNT_DEFAULT)
            .map(|number| NewDisk {
                path: directory.path().join(file(number)),
                name: file(number),
                make: true,
            })
            .collect();
    }
    wanted
        .iter()
        .map(|path| {
            let path = located(path);
            NewDisk {
                make: !path.exists(),
                name: directory.name_of(&path),
                path,
            }
        })
        .collect()
}

/// Refuses one disk under two names.
///
/// # Errors
/// `DiskTwice` for the second.
pub fn require_distinct(disks: &[NewDisk]) -> Outcome<()> {
    let mut seen = Vec::with_capacity(disks.len());
    for disk in disks {
        // What is to be made is nobody else.
        let Ok(id) = FileId::of(&disk.path) else {
            continue;
        };
        if seen.contains(&id) {
            let path = disk.path.clone();
            return Err(Error::DiskTwice { path });
        }
        seen.push(id);
    }
    Ok(())
}

impl NewDisk {
    /// Refuses what cannot become a disk of the vault, before anything is changed.
    ///
    /// # Errors
    /// A size out of bounds, a disk that is not blank or in use, or what the kernel reports.
    pub fn check(&self, bytes_wanted: Option<u64>) -> Outcome<()> {
        let bytes = if self.make {
            bytes_wanted.unwrap_or(DISK_BYTES_DEFAULT)
        } else {
            let waker = stele_device::disk::no_waker();
            let wishes = Wishes::default();
            let mut disk = open_disk(&self.path, OpenMode::Write, &wishes, waker)?;
            require_blank(&self.path, &mut *disk)?;
            disk.identity().bytes
        };
        if bytes < DISK_BYTES_MIN {
            return Err(Error::DiskSize {
                bytes,
                bytes_min: DISK_BYTES_MIN,
            });
        }
        Ok(())
    }

    /// Opens the disk, making its file first if there is none.
    ///
    /// # Errors
    /// What the kernel reports, or that something exists where a file was to be made.
    pub fn open(&self, bytes_wanted: Option<u64>, waker: Waker) -> Outcome<Box<dyn Disk>> {
        let mode = if self.make {
            OpenMode::Create {
                bytes: bytes_wanted.unwrap_or(DISK_BYTES_DEFAULT),
            }
        } else {
            OpenMode::Write
        };
        Ok(open_disk(&self.path, mode, &Wishes::default(), waker)?)
    }
}

/// Opens the disks of an existing vault, all at the same time. One that is missing, cannot be read or does not answer
/// leaves its slot empty: the engine decides whether the others suffice.
///
/// # Errors
/// When another process uses one of them.
pub fn open_all(
    paths: &[PathBuf],
    mode: OpenMode,
    wishes: &Wishes,
    waker: &Waker,
) -> Outcome<Vec<Slot>> {
    let (with, waker) = (wishes.clone(), Waker::clone(waker));
    let open = move |path: &Path| {
        let disk = open_here(path, mode, &with, Waker::clone(&waker))?;
        Ok((disk, FileId::of(path).ok()))
    };
    open_all_by(paths, wishes.patience, &open)
}

/// An open disk, and what it is.
type Found = (Box<dyn Disk>, Option<FileId>);

fn open_all_by<F>(paths: &[PathBuf], patience: Duration, open: &F) -> Outcome<Vec<Slot>>
where
    F: Fn(&Path) -> Result<Found, OpenError> + Clone + Send + 'static,
{
    let begin = |path: &PathBuf| Opening::begin(path, open.clone());
    let openings: Vec<Opening<Found>> = paths.iter().map(begin).collect();
    let ended = openings.into_iter().map(|one| one.end(patience));
    paths
        .iter()
        .zip(ended)
        .map(|(path, opened)| {
            let (disk, id) = match opened {
                Ok((disk, id)) => (Ok(disk), id),
                Err(error @ OpenError::InUse { .. }) => return Err(error.into()),
                Err(error) => (Err(without_path(path, &error)), None),
            };
            let serial = disk
                .as_ref()
                .ok()
                .and_then(|disk| disk.identity().serial.clone());
            Ok(Slot {
                path: path.clone(),
                serial,
                disk,
                id,
            })
        })
        .collect()
}

/// Why the place of a disk that was drained is empty, whatever is there.
pub const LET_GO: &str = "it was drained, and the vault uses it no more";

/// Opens the disks of a vault as `open_all` does, but those that were drained: they are the vault's no
/// more, and may be in use elsewhere.
///
/// # Errors
/// As `open_all`.
pub fn open_kept(
    config: &Config,
    dir: &Path,
    mode: OpenMode,
    wishes: &Wishes,
    waker: &Waker,
) -> Outcome<Vec<Slot>> {
    let paths = config.disks(dir);
    let kept = |(at, _): &(usize, &PathBuf)| !config.is_drained(*at);
    let kept: Vec<PathBuf> = paths
        .iter()
        .enumerate()
        .filter(kept)
        .map(|(_, path)| path.clone())
        .collect();
    let mut opened = open_all(&kept, mode, wishes, waker)?.into_iter();
    let slot = |(at, path)| match config.is_drained(at) {
        true => Some(Slot {
            path,
            serial: None,
            disk: Err(LET_GO.to_owned()),
            id: None,
        }),
        false => opened.next().map(|slot| Slot {
            serial: slot.serial.or_else(|| config.serial(at).cloned()),
            ..slot
        }),
    };
    Ok(paths.into_iter().enumerate().filter_map(slot).collect())
}

/// The reason alone, for a line that names the disk already.
fn without_path(path: &Path, error: &OpenError) -> String {
    let text = error.to_string();
    let prefix = format!("{}: ", path.display());
    text.strip_prefix(&prefix).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use stele_device::disk::no_waker;
    use stele_device::linux::disk::FileDisk;

    fn directory() -> (tempfile::TempDir, Directory) {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::new(&temp.path().join("vault")).expect("named");
        (temp, directory)
    }

    #[test]
    fn without_wishes_a_vault_gets_three_files_of_its_own() {
        let (_temp, directory) = directory();
        let disks = plan(&directory, &[]);
        let names: Vec<_> = disks
            .iter()
            .map(|disk| disk.name.display().to_string())
            .collect();
        assert_eq!(names, ["disk1.disk", "disk2.disk", "disk3.disk"]);
        assert!(
            disks
                .iter()
                .all(|disk| disk.make && disk.path.starts_with(directory.path()))
        );
    }

    #[test]
    fn named_disks_are_kept_by_absolute_path_unless_they_lie_inside() {
        let (temp, directory) = directory();
        let base = temp.path().canonicalize().expect("exists");
        std::fs::create_dir(directory.path()).expect("made");
        std::fs::write(base.join("there"), "").expect("written");
        let wanted = [
            base.join("there"),
            base.join("new"),
            base.join("vault/in.disk"),
        ];
        let disks = plan(&directory, &wanted);
        let seen: Vec<_> = disks
            .iter()
            .map(|disk| (disk.name.clone(), disk.make))
            .collect();
        let expected = [
            (base.join("there"), false),
            (base.join("new"), true),
            (PathBuf::from("in.disk"), true),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_link_keeps_its_name_and_is_no_second_disk() {
        let (temp, directory) = directory();
        let base = temp.path().canonicalize().expect("exists");
        let (link, target) = (base.join("by-id"), base.join("sdx"));
        std::fs::write(&target, "").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        let disks = plan(&directory, std::slice::from_ref(&link));
        assert_eq!((&disks[0].path, &disks[0].name), (&link, &link));
        assert!(!disks[0].make);
        require_distinct(&disks).expect("one disk");
        let twice = require_distinct(&plan(&directory, &[link, target]));
        assert!(matches!(twice, Err(Error::DiskTwice { .. })), "{twice:?}");
    }

    #[test]
    fn unfit_disks_are_refused_and_left_as_they_are() {
        let temp = tempfile::tempdir().expect("a directory");
        let path = temp.path().join("d");
        let disk = |make| NewDisk {
            path: path.clone(),
            name: path.clone(),
            make,
        };
        let new = disk(true).check(Some(4096)).expect_err("too small");
        assert!(matches!(new, Error::DiskSize { bytes: 4096, .. }), "{new}");
        std::fs::write(&path, vec![0; 8192]).expect("written");
        let small = disk(false).check(None).expect_err("too small");
        assert!(
            matches!(small, Error::DiskSize { bytes: 8192, .. }),
            "{small}"
        );
        std::fs::write(&path, [vec![0; 5000], vec![1; 5000]].concat()).expect("written");
        let used = disk(false).check(None).expect_err("not blank");
        assert!(
            matches!(used, Error::DiskNotBlank { offset: 5000, .. }),
            "{used}"
        );
        let exists = disk(true)
            .open(Some(1 << 20), no_waker())
            .err()
            .expect("exists");
        assert!(
            matches!(exists, Error::Disk(OpenError::Exists { .. })),
            "{exists}"
        );
    }

    #[test]
    fn a_disk_that_does_not_answer_leaves_its_slot_empty_and_is_closed_if_it_comes_later() {
        let temp = tempfile::tempdir().expect("a directory");
        let paths = ["a", "b", "c"].map(|name| temp.path().join(name));
        for path in &paths {
            drop(FileDisk::create(path, 1 << 20, no_waker()).expect("created"));
        }
        let hangs = Arc::new(Mutex::new(()));
        let hold = hangs.lock().expect("nobody else has it");
        let (hung, until) = (paths[1].clone(), Arc::clone(&hangs));
        let open = move |path: &Path| {
            let hanging = (path == hung).then(|| until.lock().expect("let go of"));
            let disk = open_here(path, OpenMode::Write, &Wishes::default(), no_waker());
            drop(hanging);
            Ok((disk?, FileId::of(path).ok()))
        };
        let slots = open_all_by(&paths, Duration::from_millis(50), &open).expect("opened");
        let why: Vec<_> = slots.iter().map(|slot| slot.disk.as_ref().err()).collect();
        assert_eq!(why, [None, Some(&"does not answer".to_owned()), None]);
        let ids: Vec<_> = slots.iter().map(|slot| slot.id).collect();
        let id = |path: &PathBuf| FileId::of(path).ok();
        assert_eq!(ids, [id(&paths[0]), None, id(&paths[2])]);
        drop(hold);
        // Opened by nobody, whichever came first.
        let again = open_all(
            &paths[1..2],
            OpenMode::Write,
            &Wishes::default(),
            &no_waker(),
        );
        assert!(again.expect("opened")[0].disk.is_ok());
    }

    #[test]
    fn a_missing_disk_leaves_its_slot_empty_and_a_used_one_ends_the_start() {
        let temp = tempfile::tempdir().expect("a directory");
        let paths = [temp.path().join("a"), temp.path().join("b")];
        let first = FileDisk::create(&paths[0], 1 << 20, no_waker()).expect("created");
        let used = open_all(&paths, OpenMode::Write, &Wishes::default(), &no_waker())
            .err()
            .expect("in use");
        assert!(
            matches!(used, Error::Disk(OpenError::InUse { .. })),
            "{used}"
        );
        drop(first);
        let slots =
            open_all(&paths, OpenMode::Write, &Wishes::default(), &no_waker()).expect("opened");
        assert!(slots[0].disk.is_ok());
        assert_eq!(
            slots[1].disk.as_ref().err().map(String::as_str),
            Some("no such disk")
        );
    }
}
