//! What the disks hold of keys that are gone.

use stele_device::disk::Disk;
use stele_device::keyprovider::KeyProvider;
use stele_format::units::KeyIndex;
use stele_store::keys::copies::{CopyState, KeyDisk, load};
use stele_store::recovery::read_label;

use super::{Hardware, Slot};
use crate::error::Violation;
use crate::oracle::book::Cutting;

impl Hardware {
    /// Looks for leaves that a record says are gone, in every copy of the key state on the disks that it names
    /// and that nothing was done to. Nothing may be running.
    ///
    /// # Errors
    /// One is there.
    pub fn check_keys(
        &self,
        provider: &dyn KeyProvider,
        leaves: &[(&Cutting, KeyIndex)],
    ) -> Result<(), Violation> {
        if leaves.is_empty() {
            return Ok(());
        }
        let counts = |slot: &&Slot| {
            let member = slot.present && !slot.blank && !slot.filling && !slot.behind;
            member && !slot.drained && !slot.taint.any() && !slot.forgetful
        };
        self.slots
            .iter()
            .filter(counts)
            .try_for_each(|slot| check_disk(slot, provider, leaves))
    }
}

fn check_disk(
    slot: &Slot,
    provider: &dyn KeyProvider,
    leaves: &[(&Cutting, KeyIndex)],
) -> Result<(), Violation> {
    let mut disk = slot.handle.open();
    let disk: &mut dyn Disk = &mut disk;
    let Some(label) = read_label(disk).map(|read| read.fixed) else {
        return Ok(());
    };
    let own = KeyDisk::new(disk, label.disk, &label.geometry);
    let Ok(loaded) = load(provider, label.pool, [own]) else {
        return Ok(());
    };
    let survives = |what: String| Violation::Survives {
        disk: slot.name.clone(),
        what,
    };
    for (cut, leaf) in leaves {
        if !cut.disks.contains(&label.disk) {
            continue;
        }
        if loaded.state.tree.has_leaf(*leaf) {
            return Err(survives(format!("leaf {leaf:?}")));
        }
        let older = loaded.copies.iter().find_map(|copy| match copy.state {
            CopyState::Older(generation) if generation < cut.generation => Some(generation),
            _ => None,
        });
        if let Some(older) = older {
            let wanted = cut.generation;
            return Err(survives(format!(
                "a copy of generation {older:?}, and {wanted:?} is said to be in both"
            )));
        }
    }
    Ok(())
}
