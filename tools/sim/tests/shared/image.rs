//! Simulated disks as whoever is outside the vault reads them.

use stele_device::sim::disk::SimDiskHandle;
use stele_inspect::source::{ReadFault, Source};

use crate::support::{DISK_BYTES, Rig};

/// A simulated disk as it is read from outside.
struct Image(SimDiskHandle);

impl Source for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn bytes(&self) -> u64 {
        DISK_BYTES
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFault> {
        let end = offset.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > DISK_BYTES) {
            return Err(ReadFault::PastEnd);
        }
        self.0.peek_into(offset, into);
        Ok(())
    }
}

/// Every disk that is there.
pub fn images(rig: &Rig) -> Vec<Box<dyn Source>> {
    let image = |handle: &SimDiskHandle| Box::new(Image(handle.clone())) as Box<dyn Source>;
    rig.handles.iter().flatten().map(image).collect()
}
