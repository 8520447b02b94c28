//! The index file at start: opened where it can be, made anew where not.

use stele_device::area::Area;
use stele_format::units::Epoch;

use super::OpenError;
use super::open::{OpenArea, OpenOptions};
use crate::areas::AreaFailures;
use crate::index::{IndexOptions, IndexStore};
use crate::keys::state::KeyState;
use crate::pool::Pool;
use crate::snapshot::SnapshotState;

/// The index as found on the disks, or an empty one.
pub(super) struct FoundIndex {
    pub(super) store: IndexStore,
    /// What it covers, if it can be started from.
    pub(super) snapshot: Option<SnapshotState>,
}

/// Opens the index of the disks that take part; makes an empty one where none can be used.
pub(super) fn open_index(
    pool: &Pool,
    keys: &KeyState,
    (open_area, failures): (&mut OpenArea<'_>, &AreaFailures),
    options: &OpenOptions,
    epoch: Epoch,
) -> Result<FoundIndex, OpenError> {
    let start = u64::from(epoch.get()) + 1;
    let how = IndexOptions {
        cache_bytes: options.cache_bytes,
        start,
        copying: options.mirror_copying,
    };
    let key = keys.index_key.expose();
    let mut areas = || index_areas(pool, open_area, failures);
    if options.new_index {
        return Ok(FoundIndex {
            store: IndexStore::create(areas()?, key, how)?,
            snapshot: None,
        });
    }
    match IndexStore::open(areas()?, key, how) {
        Ok(opened) => match SnapshotState::decode(&opened.triple.meta) {
            Some(snapshot) => Ok(FoundIndex {
                store: opened.store,
                snapshot: Some(snapshot),
            }),
            None => {
                // Left by a rebuild that was cut off: begin again on empty areas.
                drop(opened);
                let store = IndexStore::create(areas()?, key, how)?;
                Ok(FoundIndex {
                    store,
                    snapshot: None,
                })
            }
        },
        Err(not_opened) => Ok(FoundIndex {
            store: not_opened.create()?,
            snapshot: None,
        }),
    }
}

/// The index areas of the disks that take part.
fn index_areas(
    pool: &Pool,
    open_area: &mut OpenArea<'_>,
    failures: &AreaFailures,
) -> Result<Vec<Box<dyn Area>>, OpenError> {
    let mut areas = Vec::new();
    for member in pool.active() {
        let (Some(slot), Some(geometry)) = (member.slot, &member.geometry) else {
            continue;
        };
        let bytes = geometry.index_bytes.get();
        if bytes == 0 {
            continue;
        }
        if let Ok(area) = open_area(slot, geometry.index_offset().get(), bytes) {
            areas.push(failures.watch(slot, area));
        }
    }
    if areas.is_empty() {
        let missing = pool.missing_names();
        return Err(OpenError::NoIndexDisk { missing });
    }
    Ok(areas)
}
