//! How the pool of this vault is opened, the first time and whenever its index must be made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_device::disk::{Disk, DiskError};
use stele_device::keyprovider::KeyProvider;
use stele_device::linux::clock::SystemClock;
use stele_device::linux::entropy::OsEntropy;
use stele_store::config::NewBucket;
use stele_store::engine::{DiskSlot, World};
use stele_store::keys::chunk::AwsLc;
use stele_store::policy::BucketKind;
use stele_store::recovery::{
    self, DiskVerdict, Force, OpenError, OpenOptions, OpenReport, Opened, Progress,
};

use crate::bays::Bays;
use crate::engine_thread::now;
use crate::error::{Error, Outcome};
use crate::force::NotForced;
use crate::keys::Keys;
use crate::limits::INDEX_CACHE_BYTES;
use crate::media::open_area;

/// What one opening is to do beside the usual. No clone of an [`Opener`] keeps it.
#[derive(Debug, Default)]
pub struct How {
    /// Make the index anew from the journal.
    pub new_index: bool,
    /// What to do about a vault that cannot go on by itself.
    pub force: Option<Force>,
}

/// Everything an opening needs beside the disks. A clone opens the same vault.
#[derive(Debug, Clone)]
pub struct Opener {
    /// The vault's keys.
    pub keys: Keys,
    /// Where the disks are.
    pub bays: Bays,
    /// What a bucket becomes that a client makes without asking for Object Lock.
    pub client_buckets: BucketKind,
    /// What is printed on the drives that were here last, by the number of the disk from 1.
    pub serials: BTreeMap<u16, String>,
    /// Memory for pages of the index, if it is not the usual amount.
    pub index_cache_bytes: Option<u64>,
}

impl Opener {
    /// Opens the pool on these disks. Recovery runs inside.
    ///
    /// # Errors
    /// Why the engine refuses.
    pub fn open(
        &self,
        disks: Vec<Option<Box<dyn Disk>>>,
        how: How,
        progress: Progress,
    ) -> Outcome<Opened> {
        let bays = self.bays.now();
        let mut areas = |slot: DiskSlot, offset: u64, bytes: u64| {
            let bay = bays.iter().find(|bay| bay.slot == Some(slot));
            let bay = bay.ok_or(DiskError::Gone)?;
            open_area(&bay.path, bay.id, offset, bytes).map_err(|error| {
                tracing::warn!("the index is not kept on a disk: {error}");
                DiskError::Gone
            })
        };
        let wanted = self.index_cache_bytes.map(usize::try_from);
        let cache_bytes = wanted.map_or(INDEX_CACHE_BYTES, |bytes| bytes.unwrap_or(usize::MAX));
        let options = OpenOptions {
            cache_bytes,
            new_bucket: new_bucket(self.client_buckets),
            new_index: how.new_index,
            force: how.force,
            progress,
            serials: self.serials.clone(),
            ..OpenOptions::default()
        };
        let world = world(self.keys.open()?)?;
        let now = now(&SystemClock);
        let opened = recovery::open(disks, &mut areas, world, &options, now);
        let opened = opened.map_err(|error| match error {
            OpenError::NotForced(refusal) => Error::from(NotForced::Store(refusal)),
            other => other.into(),
        })?;
        self.tell_of_silent(&opened.report);
        Ok(opened)
    }

    /// Says which disks the vault was opened without because they do not answer.
    fn tell_of_silent(&self, report: &OpenReport) {
        let disks = report.disks.iter();
        let silent = disks.filter(|disk| disk.verdict == DiskVerdict::Silent);
        for (disk, slot) in silent.filter_map(|disk| Some((disk, disk.slot?))) {
            tracing::warn!(
                "disk {} does not answer; the vault goes on without it",
                disk.name
            );
            self.bays.silent(slot);
        }
    }
}

/// What the engine gets of the world outside.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn world(keys: Box<dyn KeyProvider>) -> Outcome<World> {
    let entropy = OsEntropy::open().map_err(|_| Error::Entropy)?;
    Ok(World {
        entropy: Box::new(entropy),
        keys,
        aead: Arc::new(AwsLc),
    })
}

/// What a bucket becomes that a client makes without asking for Object Lock.
fn new_bucket(kind: BucketKind) -> NewBucket {
    let usual = NewBucket::default();
    let default = usual.default.filter(|_| kind == BucketKind::DefaultLocked);
    NewBucket {
        kind,
        default,
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use stele_device::linux::disk::{OpenMode, Wishes};
    use tempfile::TempDir;

    use super::*;
    use crate::bell::Bell;
    use crate::vault::Directory;
    use crate::vault::create::{Options, create};
    use crate::vault::disks::open_kept;

    /// The disks stay open through a start in which the index is made anew.
    #[test]
    fn what_lies_at_the_places_of_disks_that_were_moved_is_left_alone() {
        let dir = TempDir::new().expect("a directory");
        let directory = Directory::new(&dir.path().join("vault")).expect("a path");
        drop(create(&directory, &Options::default()).expect("made"));
        let config = directory.existing().expect("a vault");
        let (wishes, waker) = (Wishes::default(), Bell::default().disk_waker());
        let slots = open_kept(&config, directory.path(), OpenMode::Write, &wishes, &waker);
        let slots = slots.expect("disks");
        let opener = Opener {
            keys: directory.keys(config.key_source()),
            bays: Bays::new(&slots),
            client_buckets: config.client_buckets(),
            serials: config.serials(),
            index_cache_bytes: None,
        };
        let paths: Vec<_> = slots.iter().map(|slot| slot.path.clone()).collect();
        for path in &paths {
            let bytes = std::fs::metadata(path).expect("there").len();
            std::fs::rename(path, path.with_extension("moved")).expect("moved");
            let foreign = std::fs::File::create_new(path).expect("made");
            foreign.set_len(bytes).expect("sparse");
        }
        let disks = slots.into_iter().map(|slot| slot.disk.ok()).collect();
        let how = How {
            new_index: true,
            force: None,
        };
        let opened = opener.open(disks, how, Progress::default());
        let why = opened.err().map(|error| error.to_string());
        assert!(why.is_some(), "the index has no place");
        for path in &paths {
            let blocks = std::fs::metadata(path).expect("there").blocks();
            assert_eq!(blocks, 0, "{}: {why:?}", path.display());
        }
    }
}
