//! The pages of the index as they lie on the disks, and what can be done to them without their key.

use stele_device::sim::disk::SimDiskHandle;
use stele_store::recovery::read_label;

use super::chance::Chance;
use super::support::Rig;

/// Pages are encrypted one by one.
const PAGE_BYTES: usize = 4096;

/// A page on a disk: its place, and what it held earlier.
struct Page {
    disk: usize,
    at: u64,
    earlier: Vec<u8>,
}

/// Every page that is in use.
pub struct IndexPages {
    pages: Vec<Page>,
}

impl IndexPages {
    /// Pages as they are: those that change later keep this beside.
    pub fn of(rig: &Rig) -> Self {
        let mut pages = Vec::new();
        for (disk, handle) in rig.handles.iter().enumerate() {
            let Some(handle) = handle else { continue };
            let label = read_label(&mut handle.open()).expect("a label");
            let geometry = label.fixed.geometry;
            let (from, bytes) = (geometry.index_offset().get(), geometry.index_bytes.get());
            let places = (from..from + bytes).step_by(PAGE_BYTES);
            pages.extend(places.map(|at| Page {
                disk,
                at,
                earlier: handle.peek(at, PAGE_BYTES),
            }));
        }
        Self { pages }
    }

    /// Only those that are not blank now are worth a change.
    pub fn now(&mut self, rig: &Rig) {
        self.pages.retain(|page| {
            let handle = rig.handles[page.disk].as_ref().expect("a disk");
            let now = handle.peek(page.at, PAGE_BYTES);
            now.iter().any(|byte| *byte != 0)
        });
        assert!(!self.pages.is_empty(), "there is no index");
    }

    /// A few pages rot, are what they were earlier, are blank or are those of another place; on one disk or on all.
    pub fn spoil(&self, handles: &[SimDiskHandle], chance: &mut Chance) {
        let only = (chance.below(3) == 0).then(|| chance.below(handles.len()));
        let everything_back = chance.below(8) == 0;
        if everything_back {
            for page in self.on(only) {
                handles[page.disk].tamper(page.at, &page.earlier);
            }
            return;
        }
        for _ in 0..=chance.below(6) {
            let chosen = &self.pages[chance.below(self.pages.len())];
            let kind = chance.below(4);
            let noise = chance.bytes(16);
            let noise_at = chance.below(PAGE_BYTES - 16) as u64;
            let other = &self.pages[chance.below(self.pages.len())];
            for page in self.on(only).filter(|page| page.at == chosen.at) {
                let handle = &handles[page.disk];
                match kind {
                    0 => handle.tamper(page.at + noise_at, &noise),
                    1 => handle.tamper(page.at, &page.earlier),
                    2 => handle.tamper(page.at, &[0; PAGE_BYTES]),
                    _ => {
                        let moved = handles[other.disk].peek(other.at, PAGE_BYTES);
                        handle.tamper(page.at, &moved);
                    }
                }
            }
        }
    }

    fn on(&self, only: Option<usize>) -> impl Iterator<Item = &Page> {
        let wanted = move |page: &&Page| only.is_none_or(|disk| disk == page.disk);
        self.pages.iter().filter(wanted)
    }
}
