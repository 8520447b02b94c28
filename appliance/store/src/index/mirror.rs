//! One mirror of the index: an area, its page tags and its state.
//!
//! Half an area is laid out as header pages, then groups of one tag page and the data pages it
//! speaks of. Tags of pages that the last durable commit uses never change, so a torn write of a tag
//! page, whose sectors are then each old or new, loses no tag that matters.

use std::collections::BTreeMap;

use stele_device::area::Area;
use stele_device::disk::DiskError;

use crate::index::crypt::{Page, PageCipher, TAG_BLANK};
use crate::index::limits::{
    GROUP_PAGES, HEADER_PAGES, PAGE_BYTES, READ_AHEAD_PAGES, TAG_PAGES_MAX, WRITE_RUN_PAGES_MAX,
};
use crate::index::message::MirrorState;

/// A tag that no page has been seen to have: stands for tags that cannot be read.
pub(super) const TAG_UNKNOWN: u64 = u64::MAX;

/// Bytes of a page as an offset.
const PAGE: u64 = PAGE_BYTES as u64;

/// Where things lie in one half of an area; offsets are page numbers in the half.
pub struct Geometry;

impl Geometry {
    /// Pages of redb's file that fit a half of `half_pages`; page 0 lives in the header.
    #[must_use]
    pub const fn file_pages(half_pages: u64) -> u64 {
        let usable = half_pages.saturating_sub(HEADER_PAGES);
        let whole = usable / (GROUP_PAGES + 1);
        let rest = usable % (GROUP_PAGES + 1);
        1 + whole * GROUP_PAGES + rest.saturating_sub(1)
    }

    /// Groups a file of so many pages needs.
    #[must_use]
    pub const fn groups(file_pages: u64) -> u64 {
        file_pages.saturating_sub(1).div_ceil(GROUP_PAGES)
    }

    /// Group of a file page (from 1) and its place among the group's data pages.
    #[must_use]
    pub const fn group_of(page: u64) -> (u64, u64) {
        ((page - 1) / GROUP_PAGES, (page - 1) % GROUP_PAGES)
    }

    /// Place of a group's tag page.
    #[must_use]
    pub const fn tag_place(group: u64) -> u64 {
        HEADER_PAGES + group * (GROUP_PAGES + 1)
    }

    /// Place of a file page (from 1).
    #[must_use]
    pub const fn place(page: u64) -> u64 {
        let (group, at) = Self::group_of(page);
        Self::tag_place(group) + 1 + at
    }
}

struct TagPage {
    tags: Box<[u64]>,
    dirty: bool,
}

/// One mirror.
pub struct Mirror {
    area: Box<dyn Area>,
    state: MirrorState,
    tags: BTreeMap<u64, TagPage>,
    ahead: ReadAhead,
}

/// Raw pages read together because reads came one after the other, as those of a listing do.
#[derive(Default)]
struct ReadAhead {
    first: u64,
    bytes: Vec<u8>,
    /// Where the last page lay that was asked for.
    last: u64,
}

impl ReadAhead {
    fn page(&self, place: u64) -> Option<&[u8]> {
        let skip = usize::try_from(place.checked_sub(self.first)?).ok()?;
        let start = skip.checked_mul(PAGE_BYTES)?;
        self.bytes.get(start..start.checked_add(PAGE_BYTES)?)
    }

    /// Something was written: nothing of it may be seen as it was before.
    fn forget(&mut self) {
        self.bytes.clear();
    }
}

impl Mirror {
    /// Over an area; takes no look at it.
    #[must_use]
    pub fn new(area: Box<dyn Area>) -> Self {
        Self {
            area,
            state: MirrorState::Active,
            tags: BTreeMap::new(),
            ahead: ReadAhead::default(),
        }
    }

    /// The area back.
    #[must_use]
    pub fn into_area(self) -> Box<dyn Area> {
        self.area
    }

    /// Size of the area in bytes.
    #[must_use]
    pub fn area_bytes(&self) -> u64 {
        self.area.len()
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> MirrorState {
        self.state
    }

    /// Whether it takes part.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == MirrorState::Active
    }

    /// Says whether it is the only one that takes part.
    pub fn set_only(&self, only: bool) {
        self.area.set_only(only);
    }

    /// Takes it out or in again; forgets what was read of it.
    pub fn set_state(&mut self, state: MirrorState) {
        self.state = state;
        self.tags.clear();
        self.ahead.forget();
    }

    /// Reads the raw page at a place.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn read_raw(&self, place: u64) -> Result<Box<Page>, DiskError> {
        let mut page = Box::new([0; PAGE_BYTES]);
        self.area.read(place * PAGE, page.as_mut_slice())?;
        Ok(page)
    }

    /// Writes raw bytes from a place on.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn write_raw(&mut self, place: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.ahead.forget();
        self.area.write(place * PAGE, bytes)
    }

    /// The raw page at a place, read together with those behind it where the last one asked for lay
    /// close before it.
    fn read_on(&mut self, place: u64) -> Result<Box<Page>, DiskError> {
        let last = std::mem::replace(&mut self.ahead.last, place);
        let mut page = Box::new([0; PAGE_BYTES]);
        if let Some(known) = self.ahead.page(place) {
            page.copy_from_slice(known);
            return Ok(page);
        }
        let goes_on = place > last && place - last <= READ_AHEAD_PAGES;
        let end = (place + READ_AHEAD_PAGES).min(self.area.len() / PAGE);
        let run = usize::try_from(end.saturating_sub(place)).unwrap_or(0) * PAGE_BYTES;
        if !goes_on || run <= PAGE_BYTES {
            return self.read_raw(place);
        }
        self.ahead.first = place;
        self.ahead.bytes.resize(run, 0);
        if self.area.read(place * PAGE, &mut self.ahead.bytes).is_err() {
            // A bad page behind this one says nothing of it.
            self.ahead.forget();
            return self.read_raw(place);
        }
        page.copy_from_slice(&self.ahead.bytes[..PAGE_BYTES]);
        Ok(page)
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.area.flush()
    }

    /// The ciphertext of a file page if it is what this mirror's tag says; none when it was never
    /// written, or is unreadable or rotten.
    pub fn read_page(&mut self, cipher: &PageCipher, page: u64) -> Option<Box<Page>> {
        let tag = self.tag(cipher, page);
        if tag == TAG_BLANK {
            return None;
        }
        let place = Geometry::place(page);
        let ciphertext = self.read_on(place).ok()?;
        (cipher.tag(&ciphertext) == tag).then_some(ciphertext)
    }

    /// The tag of a file page, [`TAG_BLANK`] if it was never written.
    pub fn tag(&mut self, cipher: &PageCipher, page: u64) -> u64 {
        let (group, at) = Geometry::group_of(page);
        let tags = &self.tag_page(cipher, group).tags;
        usize::try_from(at)
            .ok()
            .and_then(|at| tags.get(at))
            .copied()
            .unwrap_or(TAG_UNKNOWN)
    }

    /// Notes the tag of a file page.
    pub fn set_tag(&mut self, cipher: &PageCipher, page: u64, tag: u64) {
        let (group, at) = Geometry::group_of(page);
        let tag_page = self.tag_page(cipher, group);
        if let Some(known) = usize::try_from(at)
            .ok()
            .and_then(|at| tag_page.tags.get_mut(at))
        {
            *known = tag;
            tag_page.dirty = true;
        }
    }

    /// Begins a group none of whose pages was ever written.
    pub fn begin_group(&mut self, group: u64) {
        self.tags.insert(
            group,
            TagPage {
                tags: blank_tags(),
                dirty: true,
            },
        );
    }

    fn tag_page(&mut self, cipher: &PageCipher, group: u64) -> &mut TagPage {
        if !self.tags.contains_key(&group) {
            let tags = self.load_tags(cipher, group);
            self.tags.insert(group, TagPage { tags, dirty: false });
        }
        self.tags.get_mut(&group).expect("inserted above")
    }

    fn load_tags(&self, cipher: &PageCipher, group: u64) -> Box<[u64]> {
        let place = Geometry::tag_place(group);
        let mut tags = blank_tags();
        match self.read_raw(place) {
            Ok(mut page) => {
                cipher.open(place, &mut page);
                for (tag, bytes) in tags.iter_mut().zip(page.as_chunks::<8>().0) {
                    *tag = u64::from_le_bytes(*bytes);
                }
            }
            Err(_) => tags.fill(TAG_UNKNOWN),
        }
        tags
    }

    /// Writes the tag pages that changed and keeps memory within its limit.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn write_tags(&mut self, cipher: &PageCipher) -> Result<(), DiskError> {
        self.ahead.forget();
        for (&group, tag_page) in self.tags.iter_mut().filter(|(_, page)| page.dirty) {
            let place = Geometry::tag_place(group);
            let mut page = [0; PAGE_BYTES];
            for (bytes, tag) in page.as_chunks_mut::<8>().0.iter_mut().zip(&tag_page.tags) {
                *bytes = tag.to_le_bytes();
            }
            cipher.seal(place, &mut page);
            self.area.write(place * PAGE, &page)?;
            tag_page.dirty = false;
        }
        if self.tags.len() > TAG_PAGES_MAX {
            self.tags.clear();
        }
        Ok(())
    }

    /// Whether so many tag pages are in memory that they should be written.
    #[must_use]
    pub fn is_tag_heavy(&self) -> bool {
        self.tags.len() > TAG_PAGES_MAX
    }

    /// Writes sealed pages, neighbours together.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn write_pages(&mut self, pages: &[(u64, Box<Page>)]) -> Result<(), DiskError> {
        let mut run: Vec<u8> = Vec::new();
        let mut first = 0;
        let mut next = 0;
        for (place, page) in pages {
            if *place != next || run.len() >= WRITE_RUN_PAGES_MAX * PAGE_BYTES {
                self.write_run(first, &mut run)?;
                first = *place;
            }
            run.extend_from_slice(page.as_slice());
            next = place + 1;
        }
        self.write_run(first, &mut run)
    }

    fn write_run(&mut self, first: u64, run: &mut Vec<u8>) -> Result<(), DiskError> {
        if run.is_empty() {
            return Ok(());
        }
        let result = self.write_raw(first, run);
        run.clear();
        result
    }
}

fn blank_tags() -> Box<[u64]> {
    let count = usize::try_from(GROUP_PAGES).expect("a group's tags fit one page");
    vec![TAG_BLANK; count].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::index::crypt::INDEX_KEY_BYTES;

    /// An area in memory that counts how often it is read.
    struct Counting {
        bytes: Mutex<Vec<u8>>,
        reads: Arc<AtomicUsize>,
    }

    impl Area for Counting {
        fn len(&self) -> u64 {
            self.bytes.lock().expect("one thread").len() as u64
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), DiskError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let start = usize::try_from(offset).expect("small");
            let bytes = self.bytes.lock().expect("one thread");
            into.copy_from_slice(&bytes[start..start + into.len()]);
            Ok(())
        }

        fn write(&self, offset: u64, from: &[u8]) -> Result<(), DiskError> {
            let start = usize::try_from(offset).expect("small");
            let mut bytes = self.bytes.lock().expect("one thread");
            bytes[start..start + from.len()].copy_from_slice(from);
            Ok(())
        }

        fn flush(&self) -> Result<(), DiskError> {
            Ok(())
        }
    }

    #[test]
    fn pages_asked_for_one_after_the_other_are_read_together_and_never_seen_as_they_were() {
        let reads = Arc::new(AtomicUsize::new(0));
        let area = Counting {
            bytes: Mutex::new(vec![0; 1024 * PAGE_BYTES]),
            reads: Arc::clone(&reads),
        };
        let mut mirror = Mirror::new(Box::new(area));
        let cipher = PageCipher::new(&[7; INDEX_KEY_BYTES]);
        mirror.begin_group(0);
        let write = |mirror: &mut Mirror, page: u64, value: u8| {
            let content = [value; PAGE_BYTES];
            mirror.set_tag(&cipher, page, cipher.tag(&content));
            mirror
                .write_raw(Geometry::place(page), &content)
                .expect("written");
        };
        (1..=200).for_each(|page| write(&mut mirror, page, 1));
        for page in 1..=200 {
            let read = mirror.read_page(&cipher, page).expect("written");
            assert_eq!(read[0], 1);
        }
        let runs = reads.swap(0, Ordering::Relaxed);
        assert!(runs <= 6, "{runs} reads of 200 pages");
        // What was read ahead is written, and then read again.
        mirror.read_page(&cipher, 1).expect("written");
        mirror.read_page(&cipher, 2).expect("written");
        write(&mut mirror, 3, 9);
        let read = mirror
            .read_page(&cipher, 3)
            .expect("the new page, not the old one");
        assert_eq!(read[0], 9);
        // Far apart, each is read alone.
        reads.store(0, Ordering::Relaxed);
        for page in [1, 150, 300] {
            mirror.read_page(&cipher, page);
        }
        assert_eq!(
            reads.load(Ordering::Relaxed),
            2,
            "and page 300 was never written"
        );
    }

    #[test]
    fn every_file_page_has_a_place_of_its_own_inside_the_half() {
        for half_pages in [3, 4, 514, 515, 516, 517, 1028, 1029, 1030, 5000] {
            let pages = Geometry::file_pages(half_pages);
            let mut places: Vec<u64> = (1..pages).map(Geometry::place).collect();
            places.extend((0..Geometry::groups(pages)).map(Geometry::tag_place));
            places.sort_unstable();
            let count = places.len();
            places.dedup();
            assert_eq!(places.len(), count, "{half_pages}: two pages share a place");
            assert!(places.first().is_none_or(|first| *first >= HEADER_PAGES));
            assert!(
                places.last().is_none_or(|last| *last < half_pages),
                "{half_pages}"
            );
        }
    }
}
