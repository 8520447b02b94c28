//! A disk that is to join, looked at before anything is written.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stele_device::disk::{Disk, DiskIdentity, Waker};
use stele_device::linux::disk::{OpenError, OpenMode, Wishes};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{LabelReading, StaticLabel};
use stele_format::limits::LABEL_COPY_BYTES;
use stele_format::units::{ByteCount, DiskId};
use stele_store::engine::{LabelAge, Offer};
use stele_store::recovery::{read_label, write_static_label};

use super::refusal::{Told, Unfit};
use crate::media::open_disk;
use crate::vault::blank::first_mark;

/// What a disk must be.
pub struct Wanted {
    /// What the engine asks for.
    pub offer: Offer,
    /// Identities of the disks the vault has, and what is told of them.
    pub members: Vec<(DiskId, Told)>,
    /// Make a file of this size where nothing is.
    pub make_bytes: Option<u64>,
    /// Whether a blank disk will do, or it must be the one that was lost.
    pub blank: bool,
    /// What to run instead, for the sentence that refuses.
    pub replace: String,
}

/// A disk that is fit, open and not written yet.
pub struct Candidate {
    disk: Box<dyn Disk>,
    /// What it has or is to get.
    label: StaticLabel,
    age: LabelAge,
    labelled: bool,
    made: Made,
}

/// A file that was made, and is removed again unless it is kept.
pub struct Made(Option<PathBuf>);

impl Made {
    /// Keeps it.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // One that stays can be used the next time: it is blank or has the right label.
            drop(std::fs::remove_file(path));
        }
    }
}

impl Candidate {
    /// Opens the disk and looks whether it is fit; makes its file where that is wanted.
    ///
    /// # Errors
    /// Why it is not. Nothing was written to it then, and no file is left that was not there.
    pub fn open(path: &Path, wanted: &Wanted, waker: Waker) -> Result<Candidate, Unfit> {
        let there = match std::fs::metadata(path) {
            Ok(data) if data.is_dir() => return Err(Unfit::Directory),
            Ok(_) => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(source) => return Err(Unfit::Unopenable { source }),
        };
        if !there {
            return Candidate::make(path, wanted, waker);
        }
        let mut disk = match open_disk(path, OpenMode::Write, &Wishes::default(), waker) {
            Ok(disk) => disk,
            Err(OpenError::Size { bytes, .. }) => return Err(wanted.too_small(bytes)),
            Err(error) => return Err(unopened(error)),
        };
        let bytes = disk.identity().bytes;
        let reading = read_label(&mut *disk);
        let known = reading.as_ref().map(|reading| wanted.recognise(reading));
        let known = known.transpose()?;
        let fitting = wanted.fit(bytes)?;
        if known.is_none() {
            match first_mark(&mut *disk) {
                Ok(None) if wanted.blank => {}
                Ok(None) => {
                    let replace = wanted.replace.clone();
                    return Err(Unfit::Blank { replace });
                }
                Ok(Some(offset)) => return Err(Unfit::NotBlank { offset }),
                Err(error) => return Err(Unfit::Unreadable(error)),
            }
        }
        Ok(Candidate {
            disk,
            age: reading.as_ref().map(LabelAge::of).unwrap_or_default(),
            labelled: known.is_some(),
            label: known.unwrap_or(fitting),
            made: Made(None),
        })
    }

    fn make(path: &Path, wanted: &Wanted, waker: Waker) -> Result<Candidate, Unfit> {
        let Some(bytes) = wanted.make_bytes else {
            let replace = wanted.replace.clone();
            return Err(Unfit::Missing { replace });
        };
        if is_among_devices(path) {
            return Err(Unfit::NoDevice);
        }
        let label = wanted.fit(bytes)?;
        let mode = OpenMode::Create { bytes };
        let opened = open_disk(path, mode, &Wishes::default(), waker);
        // Nothing was there, so what is there now is ours, unless somebody else was faster.
        let made = match &opened {
            Err(OpenError::Exists { .. } | OpenError::Missing { .. }) => Made(None),
            _ => Made(Some(path.to_owned())),
        };
        let disk = opened.map_err(|error| match error {
            OpenError::Missing { .. } => Unfit::NoDirectory,
            other => unopened(other),
        })?;
        Ok(Candidate {
            disk,
            label,
            age: LabelAge::default(),
            labelled: false,
            made,
        })
    }

    /// How it is reached, its size, and which drive it is.
    pub fn facts(&self) -> &DiskIdentity {
        self.disk.identity()
    }

    /// How old its label is.
    pub fn age(&self) -> LabelAge {
        self.age
    }

    /// Writes its label, unless it has it already.
    ///
    /// # Errors
    /// The first failed write or flush.
    pub fn write_label(&mut self) -> Result<(), Unfit> {
        if self.labelled {
            return Ok(());
        }
        write_static_label(&mut *self.disk, &self.label).map_err(Unfit::Unwritable)?;
        self.labelled = true;
        Ok(())
    }

    /// The label, the open disk, and its file if that was made.
    pub fn into_parts(self) -> (StaticLabel, Box<dyn Disk>, Made) {
        (self.label, self.disk, self.made)
    }
}

impl Wanted {
    /// Whether the label on a disk lets it join.
    fn recognise(&self, reading: &LabelReading) -> Result<StaticLabel, Unfit> {
        let (found, label) = (&reading.fixed, &self.offer.label);
        if found.pool != label.pool {
            return Err(Unfit::Foreign(found.pool));
        }
        if found.disk == label.disk {
            return Ok(found.clone());
        }
        let taken = self.members.iter().find(|(disk, _)| *disk == found.disk);
        if let Some((_, told)) = taken {
            return Err(Unfit::Taken(told.clone()));
        }
        // Labelled to become this very further disk, and the vault stopped before it did.
        let new = !self.members.iter().any(|(disk, _)| *disk == label.disk);
        let begun = new && found.disk_ordinal == label.disk_ordinal && reading.dynamic.is_none();
        if begun {
            Ok(found.clone())
        } else {
            Err(Unfit::Unknown)
        }
    }

    /// The label of a blank disk of this size.
    fn fit(&self, bytes: u64) -> Result<StaticLabel, Unfit> {
        let mut label = self.offer.label.clone();
        label.geometry.disk_bytes = ByteCount::new(bytes);
        let has_room = label.geometry.unit_count().get() >= self.offer.unit_count_min;
        if label.geometry.check().is_ok() && has_room {
            Ok(label)
        } else {
            Err(self.too_small(bytes))
        }
    }

    fn too_small(&self, bytes: u64) -> Unfit {
        Unfit::TooSmall {
            bytes,
            bytes_min: bytes_min(&self.offer.label.geometry, self.offer.unit_count_min),
        }
    }
}

/// Size of the smallest disk with so many units, laid out like this one.
fn bytes_min(geometry: &DiskGeometry, unit_count: u32) -> u64 {
    let units = u64::from(unit_count) * u64::from(geometry.unit_bytes);
    let labels_behind = 2 * u64::from(LABEL_COPY_BYTES);
    geometry.extents_offset().get() + units + labels_behind
}

/// Whether a file made here would lie where the kernel keeps its devices, which is memory: the name of
/// a device that is not plugged in. Other file systems may be mounted below.
fn is_among_devices(path: &Path) -> bool {
    let system = |path: &Path| std::fs::metadata(path).map(|data| data.dev()).ok();
    path.starts_with("/dev") && path.parent().and_then(system) == system(Path::new("/dev"))
}

/// Why a disk cannot be opened.
pub fn unopened(error: OpenError) -> Unfit {
    match error {
        OpenError::InUse { .. } => Unfit::InUse,
        OpenError::NotADisk { .. } => Unfit::NotADisk,
        OpenError::Missing { .. } => Unfit::NoDevice,
        OpenError::Io { source, .. } => Unfit::Unopenable { source },
        OpenError::Silent { .. } => Unfit::Unopenable {
            source: std::io::Error::other("it does not answer"),
        },
        other => Unfit::Unopenable {
            source: std::io::Error::other(other.to_string()),
        },
    }
}
