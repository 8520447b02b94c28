//! Indexes that cannot be read or contradict the journal.

use std::sync::Arc;

use redb::ReadableTable;
use stele_device::area::Area;
use stele_device::disk::{BlockingDisk, Disk};
use stele_device::sim::fault::{Plan, Span};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{LabelCopy, LabelPlace, StaticLabel};
use stele_format::units::{ByteCount, UnitCount, UploadId};
use stele_store::engine::Event;
use stele_store::index::backend::Backend;
use stele_store::index::pages::Pages;
use stele_store::index::{IndexError, IndexOptions, IndexReply, IndexRequest, IndexStore, Opened};
use stele_store::index::{Memtable, Table, keys};
use stele_store::keys::copies::{KeyDisk, load};
use stele_store::limits::{SCRUB_INTERVAL_MS, SCRUB_SETTLE_MS, VERIFY_PAUSE_MS};
use stele_store::pool::MemberState;
use stele_store::request::{Answer, Command, ListWish, LockWish, Metadata, Purpose, Refusal};
use stele_store::status::Alarm;

use crate::support::steps::turns;
use crate::support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

/// Where things lie on the first two disks.
fn geometry() -> DiskGeometry {
    DiskGeometry {
        disk_bytes: ByteCount::new(DISK_BYTES),
        index_bytes: ByteCount::new(PARAMS.index_bytes),
        keystate_bytes: PARAMS.keystate_bytes,
        unit_bytes: PARAMS.unit_bytes,
        segment_units: UnitCount::new(PARAMS.segment_units),
    }
}

fn label_of(disk: &mut dyn Disk) -> StaticLabel {
    let copy = LabelCopy::A;
    let bytes = disk.read_at(0, 4096).unwrap();
    let place = LabelPlace {
        copy,
        block: 0,
        offset: copy.offset(ByteCount::new(DISK_BYTES)),
    };
    StaticLabel::decode(&bytes).unwrap().verify(place).unwrap()
}

/// The areas of the index, and its key.
fn index_areas(rig: &mut Rig) -> (Vec<Box<dyn Area>>, [u8; 64]) {
    let (geometry, world) = (geometry(), rig.world());
    let mut first = rig.handles[0].as_ref().unwrap().open();
    let StaticLabel { pool, disk, .. } = label_of(&mut first);
    let given = KeyDisk::new(&mut first, disk, &geometry);
    let keys = load(&*world.keys, pool, [given]).unwrap().state;
    let areas = rig.handles.iter().take(2).map(|handle| {
        let (offset, bytes) = (geometry.index_offset().get(), PARAMS.index_bytes);
        let area = handle.as_ref().unwrap().area(offset, bytes).unwrap();
        Box::new(area) as Box<dyn Area>
    });
    (areas.collect(), *keys.index_key.expose())
}

/// The index file as it lies on the disks, opened behind the vault's back.
fn open_index(rig: &mut Rig) -> Opened {
    let options = IndexOptions {
        cache_bytes: 1 << 20,
        start: 1 << 30,
        copying: stele_store::index::MirrorCopying::USUAL,
    };
    let (areas, key) = index_areas(rig);
    IndexStore::open(areas, &key, options).unwrap()
}

/// Changes the rows of names as redb does, below what the index states of its rows.
fn change_names(
    rig: &mut Rig,
    change: impl FnOnce(&mut redb::Table<'_, &'static [u8], &'static [u8]>),
) {
    let (areas, key) = index_areas(rig);
    let pages = Arc::new(Pages::look(areas, &key, 1 << 30).0);
    let backend = Backend::new(Arc::clone(&pages));
    let database: redb::Database = redb::Builder::new().create_with_backend(backend).unwrap();
    let mut transaction = database.begin_write().unwrap();
    transaction.set_quick_repair(true);
    let names = redb::TableDefinition::new("names");
    change(&mut transaction.open_table(names).unwrap());
    transaction.commit().unwrap();
    // Letting go of redb then writes nothing, as in the store.
    pages.close();
    drop(database);
}

fn listed(vault: &mut Running) -> usize {
    let list = Command::List(ListWish {
        bucket: "b".to_owned(),
        entries_max: 1_000,
        ..ListWish::default()
    });
    match vault.ask(list).unwrap() {
        Answer::Listing(page) => page.rows.len(),
        other => panic!("unexpected {other:?}"),
    }
}

fn open_upload(vault: &mut Running, key: &str) -> UploadId {
    let create = Command::CreateUpload {
        name: name("b", key),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    };
    match vault.ask(create).unwrap() {
        Answer::Upload(upload) => upload,
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn a_snapshot_that_contradicts_the_journal_is_discarded_and_nothing_is_lost() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "before"), b"before");
    let upload = open_upload(&mut vault, "parts");
    vault.stop();
    let mut vault = rig.start();
    let purpose = Purpose::Part { upload, number: 1 };
    let stream = vault.open_put(&name("b", "parts"), purpose).unwrap();
    vault.feed(stream, &content(1, 200_000)).unwrap();
    vault.commit(stream).unwrap();
    drop(vault);
    rig.crash();
    // The rows of the snapshot lack the upload that the journal behind it speaks of.
    let opened = open_index(&mut rig);
    let (mut store, meta) = (opened.store, opened.triple.meta);
    let mut rows = Memtable::new();
    rows.set(Table::Uploads, keys::upload(upload), None);
    store.commit(&rows.freeze().unwrap(), &meta).unwrap();
    drop(store);
    let mut vault = rig.start();
    assert!(vault.report.index_rebuilt, "the index was not believed");
    assert_eq!(
        vault.get(&name("b", "before"), None, None).unwrap(),
        b"before"
    );
    let parts = Command::ListParts {
        name: name("b", "parts"),
        upload,
        after: 0,
        parts_max: 10,
    };
    let Answer::Parts(parts, false) = vault.ask(parts).unwrap() else {
        panic!("no list of parts")
    };
    assert_eq!(parts.len(), 1);
    vault.stop();
    assert!(!rig.start().report.index_rebuilt, "once was enough");
}

#[test]
fn an_engine_that_takes_over_goes_on_with_the_clock() {
    let mut rig = Rig::create(3);
    let mut before = rig.start();
    before.bucket("b", false);
    before.sleep(3_600_000);
    // No frame is on its way that would tell of the last millisecond.
    turns(&mut before);
    before.sleep(10);
    let told = before.engine.status().compliance;
    rig.monotonic_ms = 3_700_000;
    let mut after = rig.start();
    assert!(
        after.engine.status().compliance < told,
        "the journal does not know of the hour"
    );
    after.engine.take_over_from(&before.engine);
    after.engine.note_index_made_anew();
    assert!(after.engine.status().compliance >= told);
}

#[test]
fn an_engine_that_takes_over_expels_a_disk_that_refused_the_index_before() {
    let mut rig = Rig::create(3);
    rig.options.snapshot_rows = 1;
    let mut before = rig.start();
    before.bucket("b", false);
    turns(&mut before);
    let disk = rig.handles[0].clone().unwrap();
    // The engine never hears what becomes of this snapshot.
    before.index_busy = Some(Vec::new());
    before.bucket("c", false);
    turns(&mut before);
    let asked = before.asked_of_index();
    assert!(!asked.is_empty(), "a snapshot is due");
    disk.plan(|plan| plan.fail_flushes = Some(Span::from(0)));
    for request in asked {
        before.index.execute(request);
    }
    disk.set_plan(Plan::default());
    let mut after = rig.start();
    after.engine.take_over_from(&before.engine);
    turns(&mut after);
    assert_eq!(after.engine.status().disks[0].state, MemberState::Expelled);
}

#[test]
fn rows_that_no_commit_wrote_are_found_while_the_vault_serves_and_nothing_is_lost() {
    for (dropped, crash) in [(true, false), (false, true)] {
        let mut rig = Rig::create(3);
        rig.options.heal.index_rows = 10;
        let mut vault = rig.start();
        vault.bucket("b", false);
        for seed in 0..20 {
            vault.put(&name("b", &format!("k{seed:02}")), b"content");
        }
        vault.stop();
        change_names(&mut rig, |names| {
            let rows = names.iter().unwrap().map(|row| row.unwrap());
            let rows: Vec<_> = rows
                .map(|(key, value)| (key.value().to_vec(), value.value().to_vec()))
                .collect();
            assert_eq!(rows.len(), 20);
            match dropped {
                true => drop(names.remove(rows[7].0.as_slice()).unwrap()),
                // One name leads to another object.
                false => drop(
                    names
                        .insert(rows[7].0.as_slice(), rows[8].1.as_slice())
                        .unwrap(),
                ),
            }
        });
        let mut vault = rig.start();
        assert!(!vault.report.index_rebuilt, "a start reads no rows");
        assert_eq!(listed(&mut vault), if dropped { 19 } else { 20 });
        vault.sleep(SCRUB_SETTLE_MS);
        vault.until("it is found", |engine| engine.is_index_lost());
        let status = vault.engine.status();
        let told = |alarm: &Alarm| matches!(alarm, Alarm::IndexContradiction { .. });
        assert!(status.alarms.iter().any(told), "{:?}", status.alarms);
        assert_eq!(status.heal.rows, None);
        let refused = vault.get(&name("b", "k03"), None, None);
        assert_eq!(refused, Err(Refusal::Rebuilding));
        drop(vault);
        // What starts it again while it serves says so; after a crash nobody does.
        match crash {
            true => rig.crash(),
            false => rig.options.new_index = true,
        }
        let mut vault = rig.start();
        assert!(vault.report.index_rebuilt);
        assert_eq!(listed(&mut vault), 20);
        assert_eq!(
            vault.get(&name("b", "k07"), None, None).unwrap(),
            b"content"
        );
        rig.options.new_index = false;
        vault.stop();
        let mut vault = rig.start();
        vault.sleep(SCRUB_SETTLE_MS);
        vault.until("all rows are read", |engine| {
            engine.status().heal.rows.is_some()
        });
    }
}

#[test]
fn the_rows_of_the_index_are_read_again_while_the_vault_works_and_takes_snapshots() {
    let mut rig = Rig::create(3);
    rig.options.heal.index_rows = 3;
    rig.options.snapshot_rows = 8;
    let mut vault = rig.start();
    vault.bucket("b", false);
    for seed in 0..20 {
        vault.put(&name("b", &format!("k{seed:02}")), b"content");
    }
    vault.sleep(SCRUB_SETTLE_MS);
    let mut puts = 0;
    while vault.engine.status().heal.rows.is_none() {
        puts += 1;
        assert!(puts < 200, "it does not end");
        vault.put(&name("b", &format!("{puts:03}")), b"more");
        vault.pass(VERIFY_PAUSE_MS);
    }
    assert!(puts > 5, "commits came between");
    assert!(vault.engine.status().alarms.is_empty());
    let first = vault.engine.status().heal.rows.unwrap();
    assert!(first.rows >= 60, "{first:?}");
    vault.sleep(SCRUB_INTERVAL_MS);
    vault.until("all again", |engine| {
        let last = engine.status().heal.rows;
        last.is_some_and(|last| last.at > first.at)
    });
    vault.stop();
    assert!(!rig.start().report.index_rebuilt);
}

#[test]
fn a_piece_of_rows_is_out_once_at_a_time_and_none_of_an_index_that_is_lost() {
    let mut rig = Rig::create(3);
    rig.options.heal.index_rows = 3;
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), b"content");
    vault.stop();
    let mut vault = rig.start();
    vault.index_busy = Some(Vec::new());
    vault.sleep(SCRUB_SETTLE_MS);
    vault.pass(10 * VERIFY_PAUSE_MS);
    let asked = vault.asked_of_index();
    assert!(matches!(asked[..], [IndexRequest::Verify { rows_max: 3 }]));
    vault.event(Event::Index(IndexReply::Verified(Err(IndexError::Damaged))));
    assert!(vault.engine.is_index_lost());
    vault.index_busy = Some(Vec::new());
    vault.pass(10 * VERIFY_PAUSE_MS);
    assert!(vault.asked_of_index().is_empty());
}
