//! The index read on one thread while another one commits.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_store::engine::Event;
use stele_store::index::{
    Bundle, IndexError, IndexOptions, IndexReply, IndexRequest, IndexStore, Memtable,
    MirrorCopying, Query, QueryId, SnapshotMeta, Table, keys,
};
use stele_store::request::{Answer, Command};
use support::steps::open_get;
use support::{Rig, Running, content, name};

const KEY: [u8; 64] = [0x11; 64];
const OPTIONS: IndexOptions = IndexOptions {
    cache_bytes: 1 << 20,
    start: 1,
    copying: MirrorCopying::USUAL,
};
const ROWS: u32 = 300;
const COMMITS: u64 = 60;

fn areas(disk: &SimDiskHandle, bytes: u64) -> Vec<Box<dyn Area>> {
    vec![Box::new(disk.area(0, bytes).unwrap())]
}

/// Every row says which commit wrote it.
fn commit(store: &mut IndexStore, memtable: &mut Memtable, number: u64) -> IndexReply {
    for row in 0..ROWS {
        let value = Some(number.to_be_bytes().to_vec());
        memtable.set(Table::Names, row.to_be_bytes().to_vec(), value);
    }
    let rows = memtable.freeze().unwrap();
    let meta = SnapshotMeta::default();
    let reply = store.execute(IndexRequest::Commit { rows, meta });
    drop(memtable.drop_frozen());
    reply
}

fn query() -> Query {
    let get = |row: u32| (Table::Names, row.to_be_bytes().to_vec());
    Query {
        id: QueryId(1),
        gets: [0, ROWS / 2, ROWS - 1].map(get).to_vec(),
        scans: Vec::new(),
    }
}

/// The commits that the rows of an answer are of.
fn written_by(bundle: &Bundle) -> Vec<u64> {
    let rows = query().gets.into_iter().map(|(table, key)| {
        let value = bundle.get(table, &key).unwrap().unwrap();
        u64::from_be_bytes(value.try_into().unwrap())
    });
    rows.collect()
}

#[test]
fn an_answer_beside_commits_is_of_one_of_them_and_says_which() {
    const BYTES: u64 = 8 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    assert!(matches!(
        commit(&mut store, &mut memtable, 1),
        IndexReply::Committed { .. }
    ));
    let reader = store.reader();
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            let mut seen = 1;
            while !over.load(Ordering::SeqCst) {
                let Ok(IndexReply::Answer { bundle, .. }) = reader.answer(query()) else {
                    panic!("the query failed");
                };
                let generation = bundle.generation();
                assert!(generation >= seen, "{generation} after {seen}");
                assert_eq!(written_by(&bundle), [generation; 3]);
                seen = generation;
            }
        });
        for number in 2..=COMMITS {
            let reply = commit(&mut store, &mut memtable, number);
            assert!(matches!(reply, IndexReply::Committed { .. }), "{reply:?}");
        }
        over.store(true, Ordering::SeqCst);
        reading.join().unwrap();
    });
    assert_eq!(store.generation(), COMMITS);
}

#[test]
fn a_full_area_does_not_end_the_reading() {
    const BYTES: u64 = 1 << 20;
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, OPTIONS).unwrap();
    let mut memtable = Memtable::new();
    commit(&mut store, &mut memtable, 1);
    let reader = store.reader();
    for row in 0..20_000_u32 {
        let key = [b"more", &row.to_be_bytes()[..]].concat();
        memtable.set(Table::Objects, key, Some(vec![7; 100]));
    }
    let rows = memtable.freeze().unwrap();
    let meta = SnapshotMeta::default();
    let reply = store.execute(IndexRequest::Commit { rows, meta });
    let full = IndexError::Full;
    assert!(
        matches!(reply, IndexReply::Failed { query: None, error } if error == full),
        "{reply:?}"
    );
    let Ok(IndexReply::Answer { bundle, .. }) = reader.answer(query()) else {
        panic!("the query failed");
    };
    assert_eq!(written_by(&bundle), [1; 3]);
}

/// redb reads nothing any more once its file could not grow, until it was opened again with more room: a reader gives
/// such a query back, and the store answers it.
#[test]
fn a_file_that_grows_to_the_end_of_its_area_is_not_taken_for_damaged() {
    const BYTES: u64 = 24 << 20;
    const BATCH: u32 = 500;
    let options = IndexOptions {
        // Most reads are of pages that redb does not have.
        cache_bytes: 256 << 10,
        start: 1,
        copying: MirrorCopying::USUAL,
    };
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, options).unwrap();
    let mut memtable = Memtable::new();
    let key = |number: u32| blake3::hash(&number.to_le_bytes()).as_bytes().to_vec();
    let get = |number: u32| Query {
        id: QueryId(1),
        gets: vec![(Table::Names, key(number))],
        scans: Vec::new(),
    };
    let (stored, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let reader = store.reader();
    let mut is_grown = false;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut next = 0_u32;
            while !over.load(Ordering::SeqCst) {
                next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let rows = stored.load(Ordering::SeqCst).max(1);
                drop(reader.answer(get(next % rows)));
            }
        });
        while !is_grown {
            let first = stored.load(Ordering::SeqCst);
            for number in first..first + BATCH {
                memtable.set(Table::Names, key(number), Some(vec![9; 200]));
            }
            let rows = memtable.freeze().unwrap();
            let meta = SnapshotMeta::default();
            let reply = store.execute(IndexRequest::Commit { rows, meta });
            let IndexReply::Committed { usage, .. } = reply else {
                over.store(true, Ordering::SeqCst);
                panic!("{reply:?}");
            };
            drop(memtable.drop_frozen());
            stored.store(first + BATCH, Ordering::SeqCst);
            is_grown = usage.file_bytes == usage.capacity_bytes;
        }
        over.store(true, Ordering::SeqCst);
    });
    let rows = stored.load(Ordering::SeqCst);
    let reply = store.execute(IndexRequest::Query(get(0)));
    assert!(matches!(reply, IndexReply::Answer { .. }), "{reply:?}");
    drop((reader, store));
    let opened = IndexStore::open(areas(&disk, BYTES), &KEY, options).unwrap();
    assert_eq!(opened.triple.rows, u64::from(rows));
}

#[test]
fn what_a_reader_cannot_read_the_store_judges() {
    const BYTES: u64 = 8 << 20;
    // Nothing that was read when it was opened is remembered.
    let options = IndexOptions {
        cache_bytes: 0,
        start: 1,
        copying: MirrorCopying::USUAL,
    };
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk, BYTES), &KEY, options).unwrap();
    commit(&mut store, &mut Memtable::new(), 1);
    drop(store);
    let image = disk.snapshot();
    let mut given_up = 0;
    for page in 2..100 {
        disk.restore(&image);
        let mut store = IndexStore::open(areas(&disk, BYTES), &KEY, options)
            .unwrap()
            .store;
        let reader = store.reader();
        disk.rot(page * 4096 + 100, 8);
        let Err(query) = reader.answer(query()) else {
            continue;
        };
        let reply = store.execute(IndexRequest::Query(query));
        assert!(
            matches!(reply, IndexReply::Failed { query: Some(QueryId(1)), error } if error == IndexError::Damaged),
            "{reply:?}"
        );
        assert!(reader.answer(self::query()).is_err(), "nothing any more");
        given_up += 1;
    }
    assert!(given_up > 0, "no page mattered");
}

fn chunk_query(vault: &mut Running) -> Query {
    let mut asked = vault.asked_of_index();
    assert_eq!(asked.len(), 1, "where the chunk lies");
    match asked.remove(0) {
        IndexRequest::Query(query) => query,
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn where_a_chunk_lies_is_asked_again_after_a_commit_that_the_answer_does_not_know() {
    let mut rig = Rig::create(3);
    rig.options.snapshot_rows = 1;
    let mut vault = rig.start();
    vault.bucket("b", false);
    let bytes = content(1, 300_000);
    vault.put(&name("b", "k"), &bytes);
    support::steps::turns(&mut vault);
    let Answer::Opened { stream, .. } = vault.ask(open_get()).unwrap() else {
        panic!("not opened")
    };
    vault.index_busy = Some(Vec::new());
    let next = vault.send(Command::NextData { stream });
    let Query { id, gets, .. } = chunk_query(&mut vault);
    let (table, key) = gets[0].clone();
    assert_eq!(
        (table, key[..].len()),
        (Table::Chunks, keys::chunk(&[0; 32].into()).len())
    );
    // Of a time when nothing was known of it.
    let mut bundle = Bundle::new(0);
    bundle.add_get(table, key.clone(), None);
    vault.index_busy = Some(Vec::new());
    vault.event(Event::Index(IndexReply::Answer { id, bundle }));
    assert!(!vault.replies.contains_key(&next), "it was not believed");
    let again = chunk_query(&mut vault);
    assert_eq!(again.gets, [(table, key)]);
    vault.answer_index(vec![IndexRequest::Query(again)]);
    vault.index_busy = None;
    while !vault.replies.contains_key(&next) {
        vault.turn();
    }
    let Answer::Data(piece) = vault.replies.remove(&next).unwrap().unwrap() else {
        panic!("no data")
    };
    let got = &piece.buffer[piece.start..piece.start + piece.len];
    assert!(got == &bytes[..got.len()]);
}
