//! Indexes that cannot be read or contradict the journal.

use stele_device::area::Area;
use stele_device::disk::{BlockingDisk, Disk};
use stele_format::geometry::DiskGeometry;
use stele_format::label::{LabelCopy, LabelPlace, StaticLabel};
use stele_format::units::{ByteCount, UnitCount, UploadId};
use stele_store::index::{IndexOptions, IndexStore, Opened};
use stele_store::index::{Memtable, Table, keys};
use stele_store::keys::copies::{KeyDisk, load};
use stele_store::request::{Answer, Command, LockWish, Metadata, Purpose};

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

/// The index file as it lies on the disks, opened behind the vault's back.
fn open_index(rig: &mut Rig) -> Opened {
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
    let options = IndexOptions {
        cache_bytes: 1 << 20,
        start: 1 << 30,
    };
    IndexStore::open(areas.collect(), keys.index_key.expose(), options).unwrap()
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
