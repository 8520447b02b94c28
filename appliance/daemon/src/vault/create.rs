//! Making a vault.
//!
//! Seen from outside there is a vault or there is none: everything is made beside the file
//! `vault.creating`, and renaming that file to `vault.json`, after all else is durable, is the one
//! step that makes a vault. What fails is undone; what is interrupted is recognised and refused.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use stele_device::clock::Clock;
use stele_device::disk::Disk;
use stele_device::keyprovider::KeyProvider;
use stele_device::keyprovider::tpm::PcrSet;
use stele_device::linux::clock::SystemClock;
use stele_device::linux::disk::{OpenMode, Wishes};
use stele_store::policy::{BucketKind, Right};
use stele_store::recovery::{self, CreateParams};

use super::config::Config;
use super::disks::{NewDisk, open_all, plan, require_distinct};
use super::lock::Lock;
use super::{Directory, State};
use crate::bays::Bays;
use crate::bell::Bell;
use crate::certificate::{self, Identity};
use crate::clients::{self, Clients};
use crate::engine_thread::now;
use crate::error::{Error, Outcome, at};
use crate::keys::{KeySource, Keys};
use crate::limits::{
    INDEX_BYTES_MIN, INDEX_DISK_DIVISOR, KEYSTATE_BYTES, SEGMENT_UNITS, UNIT_BYTES,
};
use crate::logkey;
use crate::opener::{Opener, world};
use crate::supervisor::Machine;

/// What may be chosen at creation and never changes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Disks instead of three files in the directory.
    pub disks: Vec<PathBuf>,
    /// Size of new disk files, bytes.
    pub disk_bytes: Option<u64>,
    /// The clock may be set by tests.
    pub simulated_clock: bool,
    /// Kind of buckets that clients make without asking for Object Lock.
    pub client_buckets: BucketKind,
    /// Special rights of the client key.
    pub client_rights: Vec<Right>,
    /// What holds the vault's key.
    pub key_source: KeySource,
    /// With a TPM: the platform registers it opens for.
    pub tpm_pcrs: PcrSet,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            disks: Vec::new(),
            disk_bytes: None,
            simulated_clock: false,
            client_buckets: BucketKind::DefaultLocked,
            client_rights: Vec::new(),
            key_source: KeySource::File,
            tpm_pcrs: PcrSet::default(),
        }
    }
}

/// Makes a vault in a directory that does not exist or is empty, and keeps it locked.
///
/// # Errors
/// Why not; the directory and its disks are then as before, save for a named disk that broke while
/// it was being written.
pub fn create(directory: &Directory, options: &Options) -> Outcome<Lock> {
    require_vacant(directory)?;
    let disks = plan(directory, &options.disks);
    require_distinct(&disks)?;
    let names: Vec<PathBuf> = disks.iter().map(|disk| disk.name.clone()).collect();
    let config = Config::new(&names, options.client_buckets)?.with_key_source(&options.key_source);
    for disk in &disks {
        disk.check(options.disk_bytes)?;
    }
    let mut undo = Undo::default();
    undo.make_directory(directory.path())?;
    let mut lock = claim(directory, &mut undo)?;
    lock.sign()?;
    let creating = directory.creating_file();
    undo.will_make(&creating);
    config.write_new(&creating)?;
    directory.sync()?;
    fill(directory, options, &disks, &mut undo)?;
    let done = std::fs::rename(&creating, directory.config_file()).map_err(at(&creating));
    done.and_then(|()| directory.sync())?;
    undo.keep();
    Ok(lock)
}

fn require_vacant(directory: &Directory) -> Outcome<()> {
    let dir = directory.path().to_owned();
    match directory.state()? {
        State::Vacant => Ok(()),
        State::Vault(_) => Err(Error::VaultExists { dir }),
        State::Foreign => Err(directory.foreign()),
        State::HalfWritten { disks } => Err(directory.half_written(disks)),
    }
}

/// Takes the lock of the empty directory and makes sure that nobody else was first.
fn claim(directory: &Directory, undo: &mut Undo) -> Outcome<Lock> {
    let lock_file = directory.lock_file();
    let lock = Lock::take(&lock_file).map_err(|error| match error {
        Error::AlreadyServed { dir, process } => Error::BeingCreated { dir, process },
        other => other,
    })?;
    let mut entries = std::fs::read_dir(directory.path()).map_err(at(directory.path()))?;
    let alone = entries.all(|entry| entry.is_ok_and(|entry| entry.path() == lock_file));
    if !alone {
        return Err(Error::Foreign {
            dir: directory.path().to_owned(),
        });
    }
    undo.will_make(&lock_file);
    Ok(lock)
}

/// Makes key, disks and the first records.
fn fill(
    directory: &Directory,
    options: &Options,
    disks: &[NewDisk],
    undo: &mut Undo,
) -> Outcome<()> {
    let keys = directory.keys(options.key_source.clone());
    undo.will_make(&keys.file);
    let provider = keys.create(options.tpm_pcrs)?;
    let filled = fill_disks((&keys, provider), options, disks, undo);
    if filled.is_err() {
        keys.undo();
    }
    filled
}

fn fill_disks(
    (keys, provider): (&Keys, Box<dyn KeyProvider>),
    options: &Options,
    disks: &[NewDisk],
    undo: &mut Undo,
) -> Outcome<()> {
    let bell = Bell::default();
    let mut open: Vec<Box<dyn Disk>> = Vec::with_capacity(disks.len());
    for disk in disks {
        if disk.make {
            undo.will_make(&disk.path);
        }
        open.push(disk.open(options.disk_bytes, bell.disk_waker())?);
    }
    let clock = SystemClock;
    let mut world = world(provider)?;
    let params = params(options, &open);
    recovery::create(open, &params, &mut world, now(&clock))?;
    let paths: Vec<PathBuf> = disks.iter().map(|disk| disk.path.clone()).collect();
    let slots = open_all(
        &paths,
        OpenMode::Write,
        &Wishes::default(),
        &bell.disk_waker(),
    )?;
    let opener = Opener {
        keys: keys.clone(),
        bays: Bays::new(&slots),
        client_buckets: options.client_buckets,
        serials: BTreeMap::new(),
        index_cache_bytes: None,
    };
    let machine = Machine::start(slots, opener, None, &bell)?;
    let configured = configure(&machine, options, clock.wall_ms());
    let stopped = machine.stop();
    configured.and(stopped)
}

fn configure(machine: &Machine, options: &Options, wall_ms: u64) -> Outcome<()> {
    let link = machine.link();
    let clients = Clients::with_one(&options.client_rights)?;
    link.put_config(clients::RECORD, &clients.encode()?)?;
    logkey::make(&link)?;
    let identity = Identity::issue(wall_ms)?;
    link.put_config(certificate::RECORD, &identity.encode()?)
}

fn params(options: &Options, disks: &[Box<dyn Disk>]) -> CreateParams {
    let smallest = disks
        .iter()
        .map(|disk| disk.identity().bytes)
        .min()
        .unwrap_or(0);
    CreateParams {
        unit_bytes: UNIT_BYTES,
        segment_units: SEGMENT_UNITS,
        keystate_bytes: KEYSTATE_BYTES,
        index_bytes: index_bytes(smallest),
        simulated_clock: options.simulated_clock,
    }
}

/// The index area of a disk of this size, whole units.
fn index_bytes(disk_bytes: u64) -> u64 {
    let bytes = (disk_bytes / INDEX_DISK_DIVISOR).max(INDEX_BYTES_MIN);
    bytes - bytes % u64::from(UNIT_BYTES)
}

/// What a failed creation leaves behind is removed again, newest first.
#[derive(Default)]
struct Undo {
    directory: Option<PathBuf>,
    files: Vec<PathBuf>,
    kept: bool,
}

impl Undo {
    fn make_directory(&mut self, path: &Path) -> Outcome<()> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                self.directory = Some(path.to_owned());
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(at(path)(error)),
        }
    }

    /// Notes a file that does not exist and is about to.
    fn will_make(&mut self, path: &Path) {
        self.files.push(path.to_owned());
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // What cannot be removed is found and named by the next start.
        for file in self.files.iter().rev() {
            drop(std::fs::remove_file(file));
        }
        if let Some(directory) = &self.directory {
            drop(std::fs::remove_dir(directory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_area_follows_the_disk_in_whole_units() {
        let check = |disk: u64, expected: u64| assert_eq!(index_bytes(disk), expected, "{disk}");
        const GIB: u64 = 1 << 30;
        check(16 * GIB, GIB);
        check(8 * GIB, GIB / 2);
        check(4 * GIB, GIB / 2);
        check(GIB, GIB / 2);
        check(1000 * GIB + 4096, 1000 * GIB / 16);
    }

    #[test]
    fn what_is_undone_leaves_no_trace_and_spares_what_was_there() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("new");
        let mut undo = Undo::default();
        undo.make_directory(&dir).expect("made");
        for name in ["a", "b"] {
            undo.will_make(&dir.join(name));
            std::fs::write(dir.join(name), "x").expect("written");
        }
        drop(undo);
        assert!(!dir.exists());
        let mut undo = Undo::default();
        undo.make_directory(temp.path()).expect("there");
        drop(undo);
        assert!(temp.path().exists());
    }
}
