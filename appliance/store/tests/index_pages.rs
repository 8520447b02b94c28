//! The file below redb, by the contract redb demands of its storage.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::Loss;
use stele_store::index::limits::{GROUP_PAGES, PAGE_BYTES, PENDING_PAGES_MAX, TAG_PAGES_MAX};
use stele_store::index::message::MirrorState;
use stele_store::index::pages::{Found, Pages, PagesError};

const KEY: [u8; 64] = [0x77; 64];
const PAGE: u64 = PAGE_BYTES as u64;

fn look(disks: &[&SimDiskHandle], bytes: u64) -> (Pages, Found) {
    let area = |disk: &&SimDiskHandle| -> Box<dyn Area> { Box::new(disk.area(0, bytes).unwrap()) };
    Pages::look(disks.iter().map(area).collect(), &KEY, 1)
}

fn begin(disks: &[&SimDiskHandle], bytes: u64) -> Pages {
    let (pages, _) = look(disks, bytes);
    pages.begin();
    pages
}

fn filled(number: u64) -> Vec<u8> {
    blake3::hash(&number.to_le_bytes())
        .as_bytes()
        .repeat(PAGE_BYTES / 32)
}

fn read(pages: &Pages, page: u64) -> Vec<u8> {
    let mut content = vec![0xEE; PAGE_BYTES];
    pages.read(page * PAGE, &mut content).unwrap();
    content
}

#[test]
fn new_pages_are_zero_also_where_others_were_before() {
    const BYTES: u64 = 16 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let pages = begin(&[&disk], BYTES);
    let last = 3 * GROUP_PAGES / 2;
    pages.set_len((last + 1) * PAGE).unwrap();
    for page in 1..=last {
        assert_eq!(read(&pages, page), vec![0; PAGE_BYTES]);
        pages.write(page * PAGE, &filled(page)).unwrap();
    }
    pages.sync().unwrap();
    // Once within what is gathered in memory, once with everything written out.
    for keep in [GROUP_PAGES + 7, 9] {
        pages.write(last * PAGE, &filled(0)).unwrap();
        pages.set_len(keep * PAGE).unwrap();
        pages.set_len((last + 1) * PAGE).unwrap();
        for page in 1..=last {
            let expected = if page < keep {
                filled(page)
            } else {
                vec![0; PAGE_BYTES]
            };
            assert_eq!(read(&pages, page), expected, "page {page}, {keep} kept");
        }
    }
}

#[test]
fn what_a_sync_covers_survives_and_comes_back_from_every_group() {
    // More tag pages than are kept in memory.
    let last = (u64::try_from(TAG_PAGES_MAX).unwrap() + 40) * GROUP_PAGES;
    let bytes = 3 * last * PAGE;
    let disk = SimDiskHandle::new(bytes, 1);
    let pages = begin(&[&disk], bytes);
    pages.set_len((last + 1) * PAGE).unwrap();
    let places: Vec<u64> = (0..last).step_by(777).map(|page| page + 1).collect();
    for page in &places {
        pages.write(page * PAGE, &filled(*page)).unwrap();
    }
    pages.sync().unwrap();
    disk.crash(Loss::All);
    let (pages, found) = look(&[&disk], bytes);
    assert_eq!(
        (found, pages.file_bytes()),
        (Found::File, Ok((last + 1) * PAGE))
    );
    for page in &places {
        assert_eq!(read(&pages, *page), filled(*page), "page {page}");
    }
}

#[test]
fn pages_written_out_early_are_flushed_by_the_next_sync() {
    const BYTES: u64 = 64 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let pages = begin(&[&disk], BYTES);
    let count = u64::try_from(PENDING_PAGES_MAX).unwrap();
    pages.set_len((count + 1) * PAGE).unwrap();
    for round in 0..2 {
        for page in 1..=count {
            pages.write(page * PAGE, &filled(page + round)).unwrap();
        }
        pages.sync().unwrap();
    }
    disk.crash(Loss::All);
    let (pages, _) = look(&[&disk], BYTES);
    for page in 1..=count {
        assert_eq!(read(&pages, page), filled(page + 1));
    }
}

#[test]
fn the_start_of_page_zero_lives_in_the_header() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let pages = begin(&[&disk], BYTES);
    pages.set_len(8 * PAGE).unwrap();
    pages.write(3, b"super").unwrap();
    let mut start = [0xEE; 12];
    pages.read(0, &mut start).unwrap();
    assert_eq!(&start, b"\0\0\0super\0\0\0\0");
    assert_eq!(pages.write(510, b"long"), Err(PagesError::Misplaced));
    pages.sync().unwrap();
    disk.crash(Loss::All);
    let (pages, _) = look(&[&disk], BYTES);
    pages.read(1, &mut start).unwrap();
    assert_eq!(&start, b"\0\0super\0\0\0\0\0");
}

#[test]
fn accesses_outside_the_file_or_across_pages_are_refused() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let pages = begin(&[&disk], BYTES);
    pages.set_len(8 * PAGE).unwrap();
    let check = |offset: u64, bytes: usize| {
        let mut content = vec![0; bytes];
        let refused = Err(PagesError::Misplaced);
        assert_eq!(
            pages.read(offset, &mut content),
            refused,
            "read {bytes} at {offset}"
        );
        assert_eq!(
            pages.write(offset, &content),
            refused,
            "write {bytes} at {offset}"
        );
    };
    check(8 * PAGE, PAGE_BYTES);
    check(7 * PAGE, 2 * PAGE_BYTES);
    check(u64::MAX - 10, 4096);
    check(2 * PAGE + 512, PAGE_BYTES);
    check(2 * PAGE, 512);
    check(512, PAGE_BYTES);
    assert_eq!(pages.set_len(PAGE + 1), Err(PagesError::Misplaced));
    assert_eq!(
        pages.set_len(pages.capacity_bytes() + PAGE),
        Err(PagesError::Full)
    );
    assert!(pages.was_full());
    pages.close();
    assert_eq!(pages.sync(), Err(PagesError::Closed));
    assert_eq!(pages.file_bytes(), Err(PagesError::Closed));
}

#[test]
fn a_third_area_stays_unused_and_two_are_alike() {
    const BYTES: u64 = 1 << 20;
    let disks = [1, 2, 3].map(|seed| SimDiskHandle::new(BYTES, seed));
    let pages = begin(&[&disks[0], &disks[1], &disks[2]], BYTES);
    pages.set_len(8 * PAGE).unwrap();
    pages.write(PAGE, &filled(1)).unwrap();
    pages.sync().unwrap();
    assert_eq!(pages.mirror_states(), [MirrorState::Active; 2]);
    let images = disks.map(|disk| disk.peek(0, usize::try_from(BYTES).unwrap()));
    assert_eq!(images[0], images[1]);
    assert!(images[2].iter().all(|byte| *byte == 0));
}

/// A page that cannot be read of the one is an error on the other too, and not one that was never written.
#[test]
fn what_cannot_be_read_is_no_blank_page_on_a_copy() {
    const BYTES: u64 = 1 << 20;
    let (one, two) = (SimDiskHandle::new(BYTES, 1), SimDiskHandle::new(BYTES, 2));
    let pages = begin(&[&one], BYTES);
    pages.set_len(6 * PAGE).unwrap();
    for page in 1..5 {
        pages.write(page * PAGE, &filled(page)).unwrap();
    }
    pages.sync().unwrap();
    drop(pages);
    // Two header pages and one of tags lie before the first.
    one.rot((3 + 2) * PAGE, 1);
    let pages = look(&[&one, &two], BYTES).0;
    pages.resync().unwrap();
    assert_eq!(pages.mirror_states(), [MirrorState::Active; 2]);
    drop(pages);
    let copy = look(&[&two], BYTES).0;
    let mut content = vec![0; PAGE_BYTES];
    let bad = copy.read(3 * PAGE, &mut content);
    assert_eq!(bad, Err(PagesError::BadPage));
    for page in [1, 2, 4] {
        assert_eq!(read(&copy, page), filled(page));
    }
    assert_eq!(read(&copy, 5), vec![0; PAGE_BYTES], "never written");
}
