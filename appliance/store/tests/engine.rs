//! A vault from outside: what is acknowledged reads back, over restarts, crashes and lost disks.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod disks;
mod streams;
mod support;

use stele_store::engine::Event;
use stele_store::policy::BucketKind;
use stele_store::request::{
    Answer, Command, ListWish, NamedPart, Purpose, RangeWish, Refusal, StreamId,
};
use support::steps::{commit, object};
use support::{Rig, content, name};

const SIZES: [usize; 8] = [
    0, 1, 4096, 131_072, 131_073, 1_044_480, 1_044_481, 3_000_000,
];

#[test]
fn what_is_put_reads_back_at_once_after_a_clean_stop_and_after_a_crash() {
    for clean in [true, false] {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        for (seed, bytes) in SIZES.into_iter().enumerate() {
            vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
        }
        check_all(&mut vault);
        if clean {
            vault.stop();
        } else {
            drop(vault);
            rig.crash();
        }
        let mut vault = rig.start();
        assert!(
            !vault.report.index_rebuilt,
            "the first start has left a snapshot"
        );
        check_all(&mut vault);
    }
}

fn check_all(vault: &mut support::Running) {
    for (seed, bytes) in SIZES.into_iter().enumerate() {
        let expected = content(seed, bytes);
        let got = vault
            .get(&name("b", &format!("k{seed}")), None, None)
            .unwrap();
        assert!(got == expected, "object of {bytes} bytes");
    }
    let range = Some(RangeWish::From(1_044_000, Some(2_100_000)));
    let got = vault.get(&name("b", "k7"), None, range).unwrap();
    assert!(got == content(7, 3_000_000)[1_044_000..=2_100_000]);
}

#[test]
fn a_vault_reads_and_writes_with_any_one_disk_missing() {
    for missing in 0..3 {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        for (seed, bytes) in SIZES.into_iter().enumerate() {
            vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
        }
        vault.stop();
        let taken = rig.handles[missing].take();
        let mut vault = rig.start();
        check_all(&mut vault);
        vault.put(&name("b", "later"), b"later");
        vault.stop();
        rig.handles[missing] = taken;
        let mut vault = rig.start();
        check_all(&mut vault);
        assert_eq!(
            vault.get(&name("b", "later"), None, None).unwrap(),
            b"later"
        );
        assert_eq!(vault.engine.status().state.word(), "degraded");
        vault.stop();
    }
}

#[test]
fn multipart_objects_read_back_after_a_crash() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let object = name("b", "big");
    let create = Command::CreateUpload {
        name: object.clone(),
        metadata: stele_store::request::Metadata::default(),
        lock: stele_store::request::LockWish::default(),
        announced: None,
    };
    let Answer::Upload(upload) = vault.ask(create).unwrap() else {
        panic!()
    };
    let sizes = [5 << 20, 5 << 20, 1];
    let mut parts = Vec::new();
    for (index, bytes) in sizes.into_iter().enumerate() {
        let number = u16::try_from(index).unwrap() + 1;
        let stream = vault
            .open_put(&object, Purpose::Part { upload, number })
            .unwrap();
        vault.feed(stream, &content(index + 1, bytes)).unwrap();
        let stored = vault.commit(stream).unwrap();
        parts.push(NamedPart {
            number,
            etag: stored.etag,
            checksums: Vec::new(),
        });
    }
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    let complete = Command::CompleteUpload {
        name: object.clone(),
        upload,
        parts,
        checksums: Vec::new(),
        conditions: stele_store::request::Conditions::default(),
    };
    vault.ask(complete).unwrap();
    let expected: Vec<u8> = sizes
        .into_iter()
        .enumerate()
        .flat_map(|(index, bytes)| content(index + 1, bytes))
        .collect();
    assert!(vault.get(&object, None, None).unwrap() == expected);
    vault.stop();
}

#[test]
fn deletes_hide_and_release_but_locked_versions_stay() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("locked", false);
    vault.bucket("free", true);
    let locked = name("locked", "k");
    let stored = vault.put(&locked, b"one");
    let delete = |name: &stele_store::request::ObjectName, version| Command::Delete {
        name: name.clone(),
        version,
        bypass: true,
    };
    let refused = vault.ask(delete(&locked, stored.version)).unwrap_err();
    assert!(matches!(refused, Refusal::Policy(_)), "{refused:?}");
    let Answer::Deleted {
        marker: true,
        version: marker,
        ..
    } = vault.ask(delete(&locked, None)).unwrap()
    else {
        panic!("no marker")
    };
    assert!(matches!(
        vault.get(&locked, None, None),
        Err(Refusal::NoSuchKey { .. })
    ));
    vault.ask(delete(&locked, marker)).unwrap();
    assert_eq!(vault.get(&locked, None, None).unwrap(), b"one");
    let free = name("free", "k");
    let first = vault.put(&free, b"first");
    let second = vault.put(&free, b"second");
    vault.ask(delete(&free, second.version)).unwrap();
    assert_eq!(vault.get(&free, None, None).unwrap(), b"first");
    assert_eq!(vault.get(&free, first.version, None).unwrap(), b"first");
    assert_eq!(
        vault.get(&free, second.version, None).unwrap_err(),
        Refusal::NoSuchVersion
    );
    vault.event(Event::Tick);
    vault.stop();
}

#[test]
fn a_lost_index_is_rebuilt_from_the_journal_and_the_vault_goes_on() {
    for missing in [None, Some(0), Some(1), Some(2)] {
        let mut rig = Rig::create(3);
        let mut vault = rig.start();
        vault.bucket("b", false);
        for (seed, bytes) in SIZES.into_iter().enumerate() {
            vault.put(&name("b", &format!("k{seed}")), &content(seed, bytes));
        }
        vault.stop();
        for handle in rig.handles.iter().take(2).flatten() {
            // The index area begins behind labels and key state.
            let noise = vec![0x5a_u8; 64 << 10];
            (0..16).for_each(|part| {
                handle.tamper((1 << 20) + (256 << 10) + part * (64 << 10), &noise)
            });
        }
        if let Some(missing) = missing {
            rig.handles[missing] = None;
        }
        // A rebuild that commits in steps, and is cut off before it is done.
        rig.options.snapshot_rows = 3;
        drop(rig.start());
        rig.crash();
        let mut vault = rig.start();
        check_all(&mut vault);
        vault.put(&name("b", "later"), b"later");
        assert_eq!(
            vault.get(&name("b", "later"), None, None).unwrap(),
            b"later"
        );
        vault.stop();
        let mut vault = rig.start();
        assert!(!vault.report.index_rebuilt);
        check_all(&mut vault);
    }
}

#[test]
fn an_object_with_more_chunks_than_a_manifest_lists_reads_back() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let object = name("b", "long");
    let create = Command::CreateUpload {
        name: object.clone(),
        metadata: stele_store::request::Metadata::default(),
        lock: stele_store::request::LockWish::default(),
        announced: None,
    };
    let Answer::Upload(upload) = vault.ask(create).unwrap() else {
        panic!()
    };
    // Pieces far below a whole chunk are not taken, so the list is made long by many parts.
    let part = vec![7_u8; 5 << 20];
    let mut parts = Vec::new();
    let pieces = 6 * 2;
    for number in 1..=pieces {
        let stream = vault
            .open_put(&object, Purpose::Part { upload, number })
            .unwrap();
        vault.feed(stream, &part).unwrap();
        let etag = vault.commit(stream).unwrap().etag;
        parts.push(NamedPart {
            number,
            etag,
            checksums: Vec::new(),
        });
    }
    let complete = Command::CompleteUpload {
        name: object.clone(),
        upload,
        parts,
        checksums: Vec::new(),
        conditions: stele_store::request::Conditions::default(),
    };
    vault.ask(complete).unwrap();
    let whole = vault.get(&object, None, None).unwrap();
    assert!(whole.len() == usize::from(pieces) * part.len() && whole.iter().all(|byte| *byte == 7));
}

/// Versions in the bucket `b`.
fn version_count(vault: &mut support::Running) -> usize {
    let wish = ListWish {
        bucket: "b".to_owned(),
        entries_max: 100,
        ..ListWish::default()
    };
    match vault.ask(Command::ListVersions(wish)) {
        Ok(Answer::VersionListing(page)) => page.rows.len(),
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn what_is_overwritten_in_a_plain_bucket_goes_in_the_moment_in_which_the_new_version_comes() {
    const KEYS: usize = 8;
    // At some of these sizes a frame has room for a new version and none for the release of the old one.
    for bytes in (112_000..126_000).step_by(1_000) {
        let mut rig = Rig::create(3);
        rig.options.new_bucket.kind = BucketKind::Plain;
        rig.options.new_bucket.default = None;
        let mut vault = rig.start();
        vault.bucket("b", false);
        // Together they need several frames.
        let uploads = |vault: &mut support::Running| -> Vec<StreamId> {
            (0..KEYS)
                .map(|key| {
                    let stream = vault.open_put(&name("b", &format!("k{key}")), object());
                    let stream = stream.unwrap();
                    vault.feed(stream, &content(key, bytes)).unwrap();
                    stream
                })
                .collect()
        };
        for stream in uploads(&mut vault) {
            vault.commit(stream).unwrap();
        }
        for stream in uploads(&mut vault) {
            vault.send(commit(stream));
        }
        for _ in 0..2 {
            vault.complete();
            assert_eq!(version_count(&mut vault), KEYS, "running, {bytes} bytes");
        }
        drop(vault);
        rig.crash();
        let mut vault = rig.start();
        assert_eq!(
            version_count(&mut vault),
            KEYS,
            "after a cut, {bytes} bytes"
        );
    }
}

#[test]
fn objects_made_later_have_higher_ids() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let mut ids = Vec::new();
    for number in 0..20 {
        // The names do not come in this order.
        let name = name("b", &format!("{}", number * 7 % 20));
        vault.put(&name, b"");
        vault.sleep(1);
        match vault.ask(Command::Head {
            name,
            version: None,
        }) {
            Ok(Answer::Object(info)) => ids.push(*info.object.as_bytes()),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(ids.is_sorted(), "{ids:02x?}");
}

#[test]
fn a_start_after_a_crash_reads_few_segments_however_many_there_are() {
    const EACH: u64 = 4;
    let mut rig = Rig::create(3);
    rig.options.snapshot_segments = EACH;
    let mut vault = rig.start();
    vault.bucket("b", false);
    // While it runs: three objects fill a segment.
    for seed in 0..36 {
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 1_000_000));
    }
    drop(vault);
    rig.crash();
    let vault = rig.start();
    let walked = vault.report.walked_segments;
    assert!(walked <= EACH + 1, "{walked} of at least nine");
    drop(vault);
    // By starts: each leaves a segment of its own.
    for seed in 36..50 {
        let mut vault = rig.start();
        vault.put(&name("b", &format!("k{seed}")), &content(seed, 200_000));
        drop(vault);
        rig.crash();
        let vault = rig.start();
        let walked = vault.report.walked_segments;
        assert!(walked <= EACH + 1, "{walked} after object {seed}");
    }
    let mut vault = rig.start();
    for seed in 0..50 {
        let bytes = if seed < 36 { 1_000_000 } else { 200_000 };
        let got = vault.get(&name("b", &format!("k{seed}")), None, None);
        assert!(got.unwrap() == content(seed, bytes), "object {seed}");
    }
}
