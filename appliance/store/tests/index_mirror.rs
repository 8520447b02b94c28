//! Faults of the disks below the index file: rot, lost writes, failing disks, disks that come back.
//! The file answers rightly or says that it is damaged; it never answers wrongly.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

use std::collections::BTreeMap;

use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_device::sim::fault::{Loss, Span};
use stele_format::units::LogIndex;
use stele_store::index::message::MirrorState::{self, Active, Failed, Stale};
use stele_store::index::{
    IndexError, IndexOptions, IndexReply, IndexRequest, IndexStore, Memtable, MirrorCopying,
    NotOpened, SnapshotMeta, Table, Why,
};

const KEY: [u8; 64] = [0x33; 64];
const AREA_BYTES: u64 = 2 << 20;
const PAGE: u64 = 4096;
/// Places of the header pages, and of the first page that speaks of others.
const HEADER_PAGES: u64 = 2;

fn disk(seed: u64) -> SimDiskHandle {
    SimDiskHandle::new(AREA_BYTES, seed)
}

fn areas(disks: &[&SimDiskHandle]) -> Vec<Box<dyn Area>> {
    let area =
        |disk: &&SimDiskHandle| -> Box<dyn Area> { Box::new(disk.area(0, AREA_BYTES).unwrap()) };
    disks.iter().map(area).collect()
}

/// A small cache, so that reads reach the disk.
fn options(start: u64) -> IndexOptions {
    IndexOptions {
        cache_bytes: 0,
        start,
        copying: MirrorCopying::USUAL,
    }
}

fn create(disks: &[&SimDiskHandle]) -> IndexStore {
    IndexStore::create(areas(disks), &KEY, options(1)).unwrap()
}

fn open(disks: &[&SimDiskHandle], start: u64) -> Result<IndexStore, NotOpened> {
    IndexStore::open(areas(disks), &KEY, options(start)).map(|opened| opened.store)
}

fn key_of(number: u64) -> Vec<u8> {
    blake3::hash(&number.to_le_bytes()).as_bytes()[..16].to_vec()
}

/// Commit `number` sets a hundred rows to its number; some of them overlap with the one before.
fn commit(store: &mut IndexStore, number: u64) -> Result<(), IndexError> {
    let mut memtable = Memtable::new();
    for row in number * 80..number * 80 + 100 {
        memtable.set(
            Table::Names,
            key_of(row),
            Some(vec![u8::try_from(number).unwrap(); 150]),
        );
    }
    let meta = SnapshotMeta {
        next: LogIndex::new(number + 1),
        ..SnapshotMeta::default()
    };
    store.commit(&memtable.freeze().unwrap(), &meta)
}

/// What the rows must be after commits `0..commits`.
fn content(commits: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows = BTreeMap::new();
    for number in 0..commits {
        for row in number * 80..number * 80 + 100 {
            rows.insert(key_of(row), vec![u8::try_from(number).unwrap(); 150]);
        }
    }
    rows
}

/// Reads everything: right, or damaged.
fn read_all(store: &IndexStore) -> Result<(), IndexError> {
    for (key, value) in content(store.triple().meta.next.get()) {
        assert_eq!(store.get(Table::Names, &key)?, Some(value));
    }
    assert_eq!(&store.verify()?, store.triple());
    Ok(())
}

/// Opens the only mirror and reads everything: right, or damaged.
fn open_and_read(alone: &SimDiskHandle, start: u64) -> Result<(), IndexError> {
    match open(&[alone], start) {
        Ok(store) => read_all(&store),
        Err(not_opened) => {
            assert_eq!(not_opened.why, Why::Damaged);
            Err(IndexError::Damaged)
        }
    }
}

fn filled(disks: &[&SimDiskHandle], commits: u64) -> IndexStore {
    let mut store = create(disks);
    (0..commits).for_each(|number| commit(&mut store, number).unwrap());
    store
}

#[test]
fn rot_in_any_page_of_one_mirror_is_mended_from_the_other() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one, &two], 3));
    for page in 0..AREA_BYTES / 2 / PAGE {
        one.rot(page * PAGE + (page * 37) % PAGE, 1 << (page % 8));
    }
    // Both places of the header are bad: the mirror is not even recognised.
    let mut store = open(&[&one, &two], 2).unwrap();
    assert_eq!(store.usage().mirrors, [Stale, Active]);
    read_all(&store).unwrap();
    store.resync().unwrap();
    assert_eq!(store.usage().mirrors, [Active, Active]);
    for page in HEADER_PAGES..AREA_BYTES / 2 / PAGE {
        one.rot(page * PAGE + (page * 41) % PAGE, 1 << (page % 8));
    }
    drop(store);
    let store = open(&[&one, &two], 3).unwrap();
    read_all(&store).unwrap();
    assert!(store.usage().repaired_pages > 10, "{:?}", store.usage());
    assert_eq!(store.usage().mirrors, [Active, Active]);
    drop(store);
    two.wipe();
    read_all(&open(&[&one, &two], 4).unwrap()).unwrap();
}

#[test]
fn rot_in_any_page_of_the_only_mirror_is_never_believed() {
    let one = disk(1);
    drop(filled(&[&one], 3));
    let image = one.snapshot();
    let mut damaged = 0;
    for page in 0..AREA_BYTES / 2 / PAGE {
        one.restore(&image);
        one.rot(page * PAGE + (page * 37) % PAGE, 1 << (page % 8));
        damaged += u32::from(open_and_read(&one, 2).is_err());
    }
    assert!(damaged > 10, "only {damaged} pages mattered");
}

#[test]
fn an_unreadable_page_of_one_mirror_is_read_from_the_other() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one, &two], 3));
    let store = open(&[&one, &two], 2).unwrap();
    one.fail_reads(HEADER_PAGES * PAGE..AREA_BYTES / 2);
    read_all(&store).unwrap();
    assert_eq!(store.usage().mirrors, [Active, Active]);
}

#[test]
fn a_write_that_never_happened_is_never_believed() {
    let whole = disk(1);
    drop(filled(&[&whole], 4));
    for lost in 0..whole.counters().writes {
        let one = disk(1);
        one.lose_write(lost);
        let Ok(mut store) = IndexStore::create(areas(&[&one]), &KEY, options(1)) else {
            continue;
        };
        if (0..4).any(|number| commit(&mut store, number).is_err()) {
            continue;
        }
        drop(store);
        one.crash(Loss::All);
        let Ok(mut store) = open(&[&one], 2) else {
            continue;
        };
        // An older commit is as good: the journal knows what came after.
        if read_all(&store).is_ok() {
            let next = store.triple().meta.next.get();
            assert!(next <= 4);
            let _ = commit(&mut store, next).map(|()| read_all(&store));
        }
    }
}

#[test]
fn a_mirror_that_fails_is_left_behind_and_not_believed_when_it_returns() {
    type Fault = fn(&SimDiskHandle);
    let faults: [Fault; 4] = [
        |disk| disk.fail_writes_from(0),
        |disk| disk.fail_flush(0),
        |disk| disk.fail_flush(1),
        |disk| disk.vanish(),
    ];
    for fault in faults {
        let (one, two) = (disk(1), disk(2));
        let mut store = filled(&[&one, &two], 2);
        fault(&one);
        commit(&mut store, 2).unwrap();
        assert_eq!(store.usage().mirrors, [Failed, Active]);
        commit(&mut store, 3).unwrap();
        drop(store);
        one.come_back();
        one.set_plan(Default::default());
        for disk in [&one, &two] {
            disk.crash(Loss::All);
        }
        let mut store = open(&[&one, &two], 2).unwrap();
        assert_eq!(store.triple().meta.next, LogIndex::new(4));
        assert_eq!(store.usage().mirrors, [Stale, Active]);
        read_all(&store).unwrap();
        // The next commit takes it in again.
        commit(&mut store, 4).unwrap();
        assert_eq!(store.usage().mirrors, [Active, Active]);
        drop(store);
        let store = open(&[&one], 3).unwrap();
        assert_eq!(store.triple().meta.next, LogIndex::new(5));
        read_all(&store).unwrap();
    }
}

/// Offers a disk to the running index as a mirror, and says how the mirrors stand then.
fn offer(store: &mut IndexStore, disk: &SimDiskHandle, bytes: u64) -> Vec<MirrorState> {
    let area = Box::new(disk.area(0, bytes).unwrap());
    match store.execute(IndexRequest::Mirror(area)) {
        IndexReply::Mirrored { usage } => usage.mirrors,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mirror_joins_a_running_index_in_the_place_of_one_that_is_missing_or_failed() {
    let (one, two, three) = (disk(1), disk(2), disk(3));
    let mut store = filled(&[&one], 2);
    assert_eq!(
        offer(&mut store, &two, AREA_BYTES / 2),
        [Active],
        "too small"
    );
    assert_eq!(offer(&mut store, &two, AREA_BYTES), [Active, Active]);
    assert_eq!(
        offer(&mut store, &three, AREA_BYTES),
        [Active, Active],
        "no place"
    );
    commit(&mut store, 2).unwrap();
    one.fail_writes_from(0);
    commit(&mut store, 3).unwrap();
    assert_eq!(store.usage().mirrors, [Failed, Active]);
    assert_eq!(offer(&mut store, &three, AREA_BYTES), [Active, Active]);
    commit(&mut store, 4).unwrap();
    read_all(&store).unwrap();
    drop(store);
    for alone in [&two, &three] {
        alone.crash(Loss::All);
        let store = open(&[alone], 2).unwrap();
        assert_eq!(store.triple().meta.next, LogIndex::new(5));
        read_all(&store).unwrap();
    }
}

/// How an index copies mirrors in pieces of so many pages.
fn pieces(start: u64, pages: u64) -> IndexOptions {
    IndexOptions {
        copying: MirrorCopying {
            whole_bytes_max: 0,
            piece_pages: pages,
        },
        ..options(start)
    }
}

fn open_in_pieces(disks: &[&SimDiskHandle], start: u64, pages: u64) -> IndexStore {
    let opened = IndexStore::open(areas(disks), &KEY, pieces(start, pages)).unwrap();
    opened.store
}

fn copy_piece(store: &mut IndexStore) -> Vec<MirrorState> {
    match store.execute(IndexRequest::CopyMirror) {
        IndexReply::Mirrored { usage } => usage.mirrors,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mirror_is_made_anew_in_pieces_while_commits_go_on() {
    for pages in [1, 3, 10] {
        let (one, two) = (disk(1), disk(2));
        drop(filled(&[&one, &two], 2));
        two.wipe();
        let mut store = open_in_pieces(&[&one, &two], 2, pages);
        let mut number = 2;
        let mut pieces = 0;
        while copy_piece(&mut store) != [Active, Active] {
            pieces += 1;
            assert!(pieces < 5_000, "it does not end");
            if pieces % 7 == 0 && number < 10 {
                commit(&mut store, number).unwrap();
                number += 1;
            }
        }
        assert!(pieces > 1, "in pieces");
        commit(&mut store, number).unwrap();
        read_all(&store).unwrap();
        drop(store);
        for alone in [&one, &two] {
            alone.crash(Loss::All);
            let store = open(&[alone], 3).unwrap();
            assert_eq!(store.triple().meta.next, LogIndex::new(number + 1));
            read_all(&store).unwrap();
            assert_eq!(store.usage().repaired_pages, 0);
        }
    }
}

/// A disk that was away has an older index, whole and readable: once pages of a newer one are written over it, it must
/// not be taken for either.
#[test]
fn a_mirror_that_was_being_made_anew_is_nothing_by_itself() {
    for pieces in 1..12 {
        let (one, two) = (disk(1), disk(2));
        drop(filled(&[&one, &two], 3));
        drop(filled_further(&one));
        let mut store = open_in_pieces(&[&one, &two], 3, 8);
        assert_eq!(store.usage().mirrors, [Active, Stale]);
        for _ in 0..pieces {
            copy_piece(&mut store);
        }
        let whole = store.usage().mirrors == [Active, Active];
        drop(store);
        for disk in [&one, &two] {
            disk.crash(Loss::All);
        }
        match open(&[&two], 4) {
            Ok(store) => {
                assert!(whole, "after {pieces} pieces");
                read_all(&store).unwrap();
            }
            Err(not_opened) => assert!(!whole && not_opened.why == Why::Absent),
        }
        let store = open(&[&one, &two], 5).unwrap();
        read_all(&store).unwrap();
    }
}

/// What cannot be read of the one is as bad on the other, and nothing that was never written.
#[test]
fn rot_of_the_only_mirror_is_not_believed_on_its_copy_either() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one], 3));
    let image = one.snapshot();
    let mut damaged = 0;
    for page in HEADER_PAGES..AREA_BYTES / 2 / PAGE {
        one.restore(&image);
        two.wipe();
        one.rot(page * PAGE + (page * 37) % PAGE, 1 << (page % 8));
        let options = pieces(2, 16);
        let Ok(opened) = IndexStore::open(areas(&[&one, &two]), &KEY, options) else {
            continue;
        };
        let mut store = opened.store;
        while copy_piece(&mut store) == [Active, Stale] {}
        assert_eq!(store.usage().mirrors, [Active, Active]);
        drop(store);
        damaged += u32::from(open_and_read(&two, 3).is_err());
    }
    assert!(damaged > 10, "only {damaged} pages mattered");
}

/// The disk that is copied from goes in the middle: what was copied is nothing.
#[test]
fn a_copy_of_a_mirror_that_went_away_is_not_taken_for_whole() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one], 3));
    let mut store = open_in_pieces(&[&one, &two], 2, 4);
    assert_eq!(copy_piece(&mut store), [Active, Stale]);
    one.fail_reads(0..AREA_BYTES);
    one.plan(|plan| plan.fail_flushes = Some(Span::from(0)));
    for _ in 0..200 {
        copy_piece(&mut store);
    }
    assert_eq!(store.usage().mirrors, [Failed, Stale]);
    drop(store);
    let why = open(&[&two], 3)
        .map(drop)
        .map_err(|not_opened| not_opened.why);
    assert_eq!(why, Err(Why::Absent));
}

/// Commits that only this mirror sees.
fn filled_further(one: &SimDiskHandle) -> IndexStore {
    let mut store = open(&[one], 2).unwrap();
    (3..6).for_each(|number| commit(&mut store, number).unwrap());
    store
}

#[test]
fn a_mirror_that_held_an_older_index_is_overwritten_when_it_joins() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one, &two], 2));
    let mut store = open(&[&one], 2).unwrap();
    commit(&mut store, 2).unwrap();
    assert_eq!(offer(&mut store, &two, AREA_BYTES), [Active, Active]);
    drop(store);
    let store = open(&[&two], 3).unwrap();
    assert_eq!(store.triple().meta.next, LogIndex::new(3));
    read_all(&store).unwrap();
}

#[test]
fn a_crash_while_a_mirror_joins_leaves_the_other_in_charge() {
    for writes in 0..60 {
        let (one, two) = (disk(1), disk(2));
        let mut store = filled(&[&one], 2);
        let before = two.counters().writes;
        two.fail_writes_from(before + writes);
        let states = offer(&mut store, &two, AREA_BYTES);
        drop(store);
        two.set_plan(Default::default());
        for disk in [&one, &two] {
            disk.crash(Loss::All);
        }
        let store = open(&[&one, &two], 2).unwrap();
        assert_eq!(store.triple().meta.next, LogIndex::new(2));
        read_all(&store).unwrap();
        let joined = states == [Active, Active];
        assert!(!joined || store.usage().mirrors == states, "{states:?}");
    }
}

#[test]
fn when_every_mirror_fails_the_file_says_so_and_reopens_at_a_commit() {
    let (one, two) = (disk(1), disk(2));
    let mut store = filled(&[&one, &two], 2);
    one.fail_writes_from(2);
    two.fail_writes_from(1);
    assert_eq!(commit(&mut store, 2), Err(IndexError::Damaged));
    assert_eq!(
        store.get(Table::Names, &key_of(0)),
        Err(IndexError::Damaged)
    );
    assert_eq!(commit(&mut store, 2), Err(IndexError::Damaged));
    drop(store);
    for disk in [&one, &two] {
        disk.set_plan(Default::default());
        disk.crash(Loss::Nothing);
    }
    let store = open(&[&one, &two], 2).unwrap();
    assert!((2..=3).contains(&store.triple().meta.next.get()));
    read_all(&store).unwrap();
}

#[test]
fn mirrors_that_went_on_apart_are_not_mixed() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one, &two], 2));
    let mut alone = open(&[&one], 2).unwrap();
    (2..6).for_each(|number| commit(&mut alone, number).unwrap());
    drop(alone);
    let mut alone = open(&[&two], 3).unwrap();
    commit(&mut alone, 2).unwrap();
    drop(alone);
    for order in [[&one, &two], [&two, &one]] {
        let store = open(&order, 4).unwrap();
        let states = store.usage().mirrors;
        assert!(
            states.contains(&Active) && states.contains(&Stale),
            "{states:?}"
        );
        assert_eq!(
            store.triple().meta.next,
            LogIndex::new(3),
            "the later start leads"
        );
        read_all(&store).unwrap();
    }
}

#[test]
fn a_new_file_on_one_disk_is_not_mixed_with_an_old_one_on_the_other() {
    let (one, two) = (disk(1), disk(2));
    drop(filled(&[&one, &two], 3));
    let replaced = disk(3);
    let mut store = IndexStore::create(areas(&[&replaced]), &KEY, options(7)).unwrap();
    commit(&mut store, 0).unwrap();
    drop(store);
    let store = open(&[&replaced, &two], 8).unwrap();
    assert_eq!(store.usage().mirrors, [Active, Stale]);
    assert_eq!(store.triple().meta.next, LogIndex::new(1));
    read_all(&store).unwrap();
}

#[test]
fn a_mirror_whose_flushes_lie_is_never_believed() {
    let mut right = 0;
    for seed in 0..40 {
        let (one, two) = (disk(1), disk(2));
        let mut store = filled(&[&one, &two], 1);
        one.plan(|plan| plan.lie_flushes = Some(Span::from(0)));
        (1..4).for_each(|number| commit(&mut store, number).unwrap());
        drop(store);
        one.set_plan(Default::default());
        one.crash(Loss::By(seed));
        two.crash(Loss::All);
        if let Ok(store) = open(&[&one, &two], 2) {
            assert_eq!(store.triple().meta.next, LogIndex::new(4));
            right += u32::from(read_all(&store).is_ok());
        }
    }
    assert!(
        (1..40).contains(&right),
        "{right} of 40 crashes lost nothing"
    );
}
