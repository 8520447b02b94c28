//! All rows are read again in pieces and compared with what the file states.

#![expect(clippy::unwrap_used, reason = "a test may stop on surprise")]

use std::sync::Arc;

use redb::{Builder, Database, TableDefinition};
use stele_device::area::Area;
use stele_device::sim::disk::SimDiskHandle;
use stele_format::units::LogIndex;
use stele_store::index::backend::Backend;
use stele_store::index::limits::VERIFY_BYTES;
use stele_store::index::pages::Pages;
use stele_store::index::{
    IndexError, IndexOptions, IndexReply, IndexRequest, IndexStore, Memtable, MirrorCopying,
    SnapshotMeta, Table, Verified,
};

const KEY: [u8; 64] = [0x11; 64];
const BYTES: u64 = 32 << 20;
const ROWS: u32 = 300;

fn options(start: u64) -> IndexOptions {
    IndexOptions {
        cache_bytes: 1 << 20,
        start,
        copying: MirrorCopying::USUAL,
    }
}

fn areas(disk: &SimDiskHandle) -> Vec<Box<dyn Area>> {
    vec![Box::new(disk.area(0, BYTES).unwrap())]
}

fn commit(store: &mut IndexStore, rows: &[(Table, u32, Option<&[u8]>)]) {
    let mut memtable = Memtable::new();
    for (table, key, value) in rows {
        memtable.set(
            *table,
            key.to_be_bytes().to_vec(),
            value.map(<[u8]>::to_vec),
        );
    }
    let meta = SnapshotMeta {
        next: LogIndex::new(7),
        ..SnapshotMeta::default()
    };
    let rows = memtable.freeze().unwrap();
    let reply = store.execute(IndexRequest::Commit { rows, meta });
    assert!(matches!(reply, IndexReply::Committed { .. }), "{reply:?}");
}

/// An index with as many names, and half as many chunks.
fn filled(disk: &SimDiskHandle) -> IndexStore {
    let mut store = IndexStore::create(areas(disk), &KEY, options(1)).unwrap();
    let names = (0..ROWS).map(|key| (Table::Names, 2 * key, Some(&b"name"[..])));
    let chunks = (0..ROWS / 2).map(|key| (Table::Chunks, key, Some(&b"chunk"[..])));
    commit(&mut store, &names.chain(chunks).collect::<Vec<_>>());
    store
}

fn piece(store: &mut IndexStore, rows_max: usize) -> Result<Verified, IndexError> {
    match store.execute(IndexRequest::Verify { rows_max }) {
        IndexReply::Verified(result) => result,
        other => panic!("unexpected {other:?}"),
    }
}

/// Pieces until all rows were read, and how many there were.
fn to_the_end(store: &mut IndexStore, rows_max: usize) -> (Result<Verified, IndexError>, u32) {
    let mut pieces = 0;
    loop {
        pieces += 1;
        match piece(store, rows_max) {
            Ok(Verified::Partly) => assert!(pieces < 10_000, "it does not end"),
            result => return (result, pieces),
        }
    }
}

/// Writes to a table of the file as redb does, so that pages and their checksums are right; what the file states of its
/// rows stays as it was.
fn write_below(disk: &SimDiskHandle, table: &str, rows: &[(u32, Option<&[u8]>)]) {
    let (pages, _) = Pages::look(areas(disk), &KEY, 1 << 30);
    let pages = Arc::new(pages);
    let backend = Backend::new(Arc::clone(&pages));
    let database: Database = Builder::new().create_with_backend(backend).unwrap();
    let mut transaction = database.begin_write().unwrap();
    transaction.set_quick_repair(true);
    {
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
        let mut stored = transaction.open_table(definition).unwrap();
        for (key, value) in rows {
            let key = key.to_be_bytes();
            match value {
                Some(value) => drop(stored.insert(key.as_slice(), *value).unwrap()),
                None => drop(stored.remove(key.as_slice()).unwrap()),
            }
        }
    }
    transaction.commit().unwrap();
    // Letting go of redb then writes nothing, as in the store.
    pages.close();
    drop(database);
}

#[test]
fn an_untouched_index_is_as_stated_however_small_the_pieces_are() {
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = filled(&disk);
    let rows = u64::from(ROWS);
    for rows_max in [1, 7, 449, 450, 451, usize::MAX] {
        let (result, pieces) = to_the_end(&mut store, rows_max);
        assert_eq!(result, Ok(Verified::AsStated { rows }), "by {rows_max}");
        let fewest = 450_usize.div_ceil(rows_max);
        assert!(pieces as usize <= fewest + 1, "{pieces} by {rows_max}");
    }
    // Over a start, too.
    drop(store);
    let mut store = IndexStore::open(areas(&disk), &KEY, options(2))
        .unwrap()
        .store;
    let (result, _) = to_the_end(&mut store, 100);
    assert_eq!(result, Ok(Verified::AsStated { rows }));
}

#[test]
fn commits_between_the_pieces_neither_mislead_a_walk_nor_make_it_begin_anew() {
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = filled(&disk);
    let mut pieces = 0;
    loop {
        match piece(&mut store, 7).unwrap() {
            Verified::Partly => {}
            Verified::AsStated { rows } => {
                assert_eq!(rows, store.triple().rows);
                break;
            }
            other @ Verified::Otherwise { .. } => panic!("{other:?} after {pieces} pieces"),
        }
        pieces += 1;
        assert!(pieces < 2 * ROWS, "it does not end");
        // What was read and what was not: changed, removed, added; at the place where it stands, too.
        let at = 14 * pieces + 15;
        let value: &[u8] = if pieces % 2 == 0 {
            b"even"
        } else {
            b"odd ones"
        };
        let changes: Vec<_> = [
            0,
            1,
            at - 15,
            at - 14,
            at - 2,
            at - 1,
            at,
            at + 1,
            at + 30,
            590,
        ]
        .into_iter()
        .zip(0_u32..)
        .map(|(key, n)| (Table::Names, key, (n + pieces) % 3))
        .map(|(table, key, kind)| (table, key, (kind > 0).then_some(value)))
        .chain([
            (Table::Buckets, pieces, Some(value)),
            (Table::Buckets, pieces / 2, None),
            (Table::Chunks, pieces, Some(value)),
            (Table::Openings, pieces, Some(value)),
        ])
        .collect();
        commit(&mut store, &changes);
    }
    assert_eq!(&store.verify().unwrap(), store.triple());
}

/// Rows by number, with what takes the place of each, or nothing.
type Changes<'a> = &'a [(u32, Option<&'a [u8]>)];

#[test]
fn rows_that_no_commit_wrote_are_found_and_such_an_index_answers_nothing_any_more() {
    let last = 2 * ROWS - 2;
    let tampered: [(&str, Changes<'_>, u64); 5] = [
        ("a row is dropped", &[(40, None)], u64::from(ROWS) - 1),
        (
            "a row is changed",
            &[(last, Some(b"eman"))],
            u64::from(ROWS),
        ),
        (
            "a row is added",
            &[(41, Some(b"name"))],
            u64::from(ROWS) + 1,
        ),
        (
            "a row has another key",
            &[(40, None), (41, Some(b"name"))],
            u64::from(ROWS),
        ),
        ("the first is dropped", &[(0, None)], u64::from(ROWS) - 1),
    ];
    for (what, changes, found) in tampered {
        for commits in [false, true] {
            let disk = SimDiskHandle::new(BYTES, 1);
            drop(filled(&disk));
            write_below(&disk, "names", changes);
            let opened = IndexStore::open(areas(&disk), &KEY, options(2)).unwrap();
            let mut store = opened.store;
            if commits {
                // Also where it was changed: what was wrong before stays in the sum.
                let rows = [300, last].map(|key| (Table::Names, key, Some(&b"new"[..])));
                commit(&mut store, &rows);
            }
            let stated = u64::from(ROWS);
            let (result, _) = to_the_end(&mut store, 50);
            assert_eq!(result, Ok(Verified::Otherwise { found, stated }), "{what}");
            assert_eq!(piece(&mut store, 50), Err(IndexError::Damaged));
            assert!(store.get(Table::Names, &[0; 4]).is_err());
            drop(store);
            let triple = IndexStore::open(areas(&disk), &KEY, options(3))
                .unwrap()
                .triple;
            assert_eq!((triple.rows, triple.meta.next.get()), (0, 0), "{what}");
        }
    }
}

#[test]
fn a_piece_ends_after_some_bytes_however_few_rows_they_are() {
    let disk = SimDiskHandle::new(BYTES, 1);
    let mut store = IndexStore::create(areas(&disk), &KEY, options(1)).unwrap();
    let half = vec![7; usize::try_from(VERIFY_BYTES / 2).unwrap()];
    let rows: Vec<_> = (0..4)
        .map(|key| (Table::Uploads, key, Some(half.as_slice())))
        .collect();
    commit(&mut store, &rows);
    let (result, pieces) = to_the_end(&mut store, usize::MAX);
    assert_eq!((result, pieces), (Ok(Verified::AsStated { rows: 4 }), 3));
}
