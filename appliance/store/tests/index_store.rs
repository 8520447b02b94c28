//! The index file as its owner sees it: opening, filling up, snapshots, bundles.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

use std::sync::Arc;

use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_format::units::{ByteOffset, LogIndex, SegmentId};
use stele_store::index::limits::INDEX_AREA_BYTES_MIN;
use stele_store::index::{
    Extra, IndexError, IndexOptions, IndexReply, IndexRequest, IndexStore, LiveRows, Memtable,
    MirrorCopying, Query, QueryId, Rows, RowsError, Scan, SnapshotMeta, Table, Why,
};

const KEY: [u8; 64] = [0x11; 64];
const OPTIONS: IndexOptions = IndexOptions {
    cache_bytes: 1 << 20,
    start: 1,
    copying: MirrorCopying::USUAL,
};

fn areas(disk: &SimDiskHandle, bytes: u64) -> Vec<Box<dyn Area>> {
    vec![Box::new(disk.area(0, bytes).unwrap())]
}

fn set(memtable: &mut Memtable, key: &[u8], value: &[u8]) {
    memtable.set(Table::Names, key.to_vec(), Some(value.to_vec()));
}

fn commit(store: &mut IndexStore, memtable: &mut Memtable, meta: SnapshotMeta) -> IndexReply {
    let rows = memtable.freeze().expect("no other commit is under way");
    store.execute(IndexRequest::Commit { rows, meta })
}

#[test]
fn opening_says_why_there_is_no_index() {
    const BYTES: u64 = 1 << 20;
    let check = |disk: &SimDiskHandle, key: &[u8; 64], why: Why| {
        let not_opened = IndexStore::open(areas(disk, BYTES), key, OPTIONS).unwrap_err();
        assert_eq!(not_opened.why, why);
        // Whatever it was, an empty index can be made there.
        let store = not_opened.create().unwrap();
        assert_eq!(
            (store.triple().rows, store.triple().meta.next),
            (0, LogIndex::new(0))
        );
    };
    let disk = SimDiskHandle::new(BYTES, 1);
    check(&disk, &KEY, Why::Absent);
    assert!(IndexStore::open(areas(&disk, BYTES), &KEY, OPTIONS).is_ok());
    check(&disk, &[0x12; 64], Why::KeyChanged);
    disk.tamper(0, &[0x5A; 8192]);
    check(&disk, &KEY, Why::KeyChanged);
    disk.wipe();
    check(&disk, &KEY, Why::Absent);
    // The header stands, the pages are gone.
    disk.tamper(8192, &[0; 400 << 10]);
    check(&disk, &KEY, Why::Damaged);
}

#[test]
fn nothing_of_rows_and_keys_shows_on_the_disk() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    let name = b"patients/jane-doe/2026-01-01.dump";
    set(&mut memtable, name, b"a value that is long enough");
    let extra: &[u8] = b"an opaque statement of the engine";
    let meta = SnapshotMeta {
        extra: Extra(vec![extra.into()]),
        ..SnapshotMeta::default()
    };
    assert!(matches!(
        commit(&mut store, &mut memtable, meta),
        IndexReply::Committed { .. }
    ));
    let image = disk.peek(0, usize::try_from(BYTES).unwrap());
    let clear: [&[u8]; 6] = [
        name,
        b"jane-doe",
        b"long enough",
        b"opaque",
        b"names",
        b"redb",
    ];
    for text in clear {
        assert!(
            !image.windows(text.len()).any(|window| window == text),
            "{text:?}"
        );
    }
    assert_eq!(
        store.get(Table::Names, name).unwrap().unwrap(),
        b"a value that is long enough"
    );
}

#[test]
fn the_smallest_area_holds_an_index_and_a_smaller_one_is_refused() {
    let disk = SimDiskHandle::new(INDEX_AREA_BYTES_MIN, 1);
    let mut store = IndexStore::create(areas(&disk, INDEX_AREA_BYTES_MIN), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    for row in 0..100_u32 {
        set(&mut memtable, &row.to_be_bytes(), &[7; 100]);
    }
    let meta = SnapshotMeta::default();
    assert!(matches!(
        commit(&mut store, &mut memtable, meta),
        IndexReply::Committed { .. }
    ));
    let small = areas(&disk, INDEX_AREA_BYTES_MIN / 2);
    assert_eq!(
        IndexStore::create(small, &KEY, OPTIONS).unwrap_err(),
        IndexError::Full
    );
}

#[test]
fn a_full_area_refuses_the_commit_keeps_the_last_one_and_takes_smaller_ones() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    let mut rows = 0_u64;
    let usage = loop {
        for _ in 0..100 {
            set(
                &mut memtable,
                blake3::hash(&rows.to_le_bytes()).as_bytes(),
                &[9; 200],
            );
            rows += 1;
        }
        let meta = SnapshotMeta {
            next: LogIndex::new(rows),
            ..SnapshotMeta::default()
        };
        match commit(&mut store, &mut memtable, meta) {
            IndexReply::Committed { .. } => drop(memtable.drop_frozen()),
            IndexReply::Failed {
                query: None,
                error: IndexError::Full,
            } => break store.usage(),
            reply => panic!("{reply:?}"),
        }
    };
    assert_eq!(
        usage.file_bytes, usage.capacity_bytes,
        "it was refused although there was room"
    );
    assert!(usage.row_bytes > usage.capacity_bytes / 4, "{usage:?}");
    assert_eq!(store.triple().rows, rows - 100);
    assert_eq!(&store.verify().unwrap(), store.triple());
    // The rows are active again; without most of them the commit fits.
    memtable.unfreeze();
    assert_eq!(memtable.rows(), 100);
    let mut fewer = Memtable::new();
    set(
        &mut fewer,
        blake3::hash(&0_u64.to_le_bytes()).as_bytes(),
        b"smaller",
    );
    let reply = commit(&mut store, &mut fewer, SnapshotMeta::default());
    assert!(matches!(reply, IndexReply::Committed { .. }), "{reply:?}");
    assert_eq!(&store.verify().unwrap(), store.triple());
}

#[test]
fn a_snapshot_comes_back_as_it_was_stated_whatever_its_pieces() {
    const BYTES: u64 = 4 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let piece = |value: u8, bytes: usize| -> Arc<[u8]> { vec![value; bytes].into() };
    let kept = piece(7, 40_000);
    let stated: [&[Arc<[u8]>]; 7] = [
        &[],
        &[piece(1, 0)],
        &[piece(1, 1), kept.clone(), piece(3, 16_000)],
        // One is the same, one as long as before and another, and one is gone.
        &[piece(2, 1), kept.clone()],
        // The same bytes in other memory, and in another place.
        &[piece(2, 1), piece(7, 40_000), kept.clone(), piece(4, 5)],
        std::slice::from_ref(&kept),
        &[],
    ];
    for extra in stated {
        let meta = SnapshotMeta {
            next: LogIndex::new(5),
            segment: SegmentId::new(6),
            offset: ByteOffset::new(7),
            frontier: vec![8; 65],
            extra: Extra(extra.to_vec()),
        };
        // Once more from what the last start read, and once from what the last commit wrote.
        for _ in 0..2 {
            let mut memtable = Memtable::new();
            let reply = commit(&mut store, &mut memtable, meta.clone());
            assert!(matches!(reply, IndexReply::Committed { .. }), "{reply:?}");
        }
        let triple = store.triple().clone();
        drop(store);
        let opened = IndexStore::open(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
        assert_eq!(opened.triple, triple);
        assert_eq!(opened.triple.meta, meta);
        store = opened.store;
    }
}

#[test]
fn a_bundle_is_stale_once_the_rows_it_lacks_left_memory() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    let query = || {
        IndexRequest::Query(Query {
            id: QueryId(4),
            gets: vec![
                (Table::Names, b"k".to_vec()),
                (Table::Names, b"other".to_vec()),
            ],
            scans: vec![Scan::prefix(Table::Names, b"k".to_vec(), 5)],
        })
    };
    let IndexReply::Answer {
        id: QueryId(4),
        bundle,
    } = store.execute(query())
    else {
        panic!("the query failed");
    };
    set(&mut memtable, b"k", b"v");
    let found = LiveRows::new(&mut memtable, &bundle)
        .get(Table::Names, b"k")
        .unwrap();
    assert_eq!(found.as_deref(), Some(&b"v"[..]));
    let reply = commit(&mut store, &mut memtable, SnapshotMeta::default());
    assert!(matches!(reply, IndexReply::Committed { .. }));
    let rows = LiveRows::new(&mut memtable, &bundle);
    assert!(
        rows.get(Table::Names, b"k").unwrap().is_some(),
        "frozen rows are still seen"
    );
    assert!(rows.get(Table::Names, b"other").unwrap().is_none());
    let unknown = rows.get(Table::Names, b"unknown").unwrap_err();
    assert!(
        matches!(unknown, RowsError::NotFetched(Table::Names, _)),
        "{unknown}"
    );
    drop(memtable.drop_frozen());
    let rows = LiveRows::new(&mut memtable, &bundle);
    assert!(matches!(
        rows.get(Table::Names, b"k").unwrap_err(),
        RowsError::Stale
    ));
    assert!(matches!(
        rows.scan(&bundle.scans()[0].0).unwrap_err(),
        RowsError::Stale
    ));
    let IndexReply::Answer { bundle, .. } = store.execute(query()) else {
        panic!("the query failed");
    };
    let rows = LiveRows::new(&mut memtable, &bundle);
    assert_eq!(
        rows.get(Table::Names, b"k").unwrap().as_deref(),
        Some(&b"v"[..])
    );
}

#[test]
fn a_memtable_accounts_for_what_it_holds() {
    let mut memtable = Memtable::new();
    assert_eq!((memtable.rows(), memtable.bytes()), (0, 0));
    set(&mut memtable, b"key", &[0; 100]);
    let one = memtable.bytes();
    set(&mut memtable, b"key", &[0; 40]);
    assert_eq!((memtable.rows(), memtable.bytes()), (1, one - 60));
    memtable.set(Table::Names, b"key".to_vec(), None);
    assert_eq!((memtable.rows(), memtable.bytes()), (1, one - 100));
    assert!(memtable.freeze().is_some());
    assert!(memtable.freeze().is_none(), "one commit at a time");
    assert_eq!((memtable.rows(), memtable.bytes()), (0, one - 100));
    set(&mut memtable, b"key", &[0; 100]);
    memtable.unfreeze();
    assert_eq!((memtable.rows(), memtable.bytes()), (1, one));
    let value = memtable
        .overlay_get(Table::Names, b"key")
        .flatten()
        .map(<[u8]>::len);
    assert_eq!(value, Some(100), "what changed meanwhile wins");
}

#[test]
fn a_scan_is_cut_at_its_limit_and_ends_where_it_says() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    (0..10_u8).for_each(|key| set(&mut memtable, &[key], b"v"));
    let reply = commit(&mut store, &mut memtable, SnapshotMeta::default());
    assert!(matches!(reply, IndexReply::Committed { .. }));
    let check = |from: u8, end: Option<u8>, limit: usize, keys: std::ops::Range<u8>, done: bool| {
        let (from, end) = (vec![from], end.map(|end| vec![end]));
        let scanned = store
            .scan(&Scan {
                table: Table::Names,
                from,
                end,
                limit,
            })
            .unwrap();
        let found: Vec<u8> = scanned.rows.iter().map(|(key, _)| key[0]).collect();
        assert_eq!((found, scanned.exhausted), (keys.collect(), done));
    };
    check(0, None, 100, 0..10, true);
    check(0, None, 10, 0..10, true);
    check(0, None, 9, 0..9, false);
    check(3, Some(5), 2, 3..5, true);
    check(3, Some(6), 2, 3..5, false);
    check(3, Some(3), 2, 0..0, true);
    check(5, Some(3), 2, 0..0, true);
    check(10, None, 2, 0..0, true);
    check(0, None, 0, 0..0, false);
}
