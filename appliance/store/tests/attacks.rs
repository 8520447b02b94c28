//! Attacks that need neither people nor a network, against the real engine: `attack_NN` is the number of the attack
//! in docs/assurance.md.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_device::sim::disk::SimDiskHandle;
use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{
    self, Asker, Client, Grants, Mode, OwnerId, Period, Quota, Rate, Retention, Rights,
};
use stele_store::recovery::OpenError;
use stele_store::request::{Command, LockWish, ObjectName, Refusal};
use support::locks::{
    DAY, START, check_content, delete, head, is_locked, lock, open, put, retain, set_default,
    until, vault,
};
use support::{DISK_BYTES, Rig, Running, content, name};

/// A client of this owner; buckets that nobody owns are its own.
fn client(owner: &str, quotas: BTreeMap<OwnerId, Quota>) -> Asker {
    Asker::Client(Arc::new(Client {
        key_id: "KEY".to_owned(),
        owner: OwnerId::new(owner).unwrap(),
        grants: Grants::all(),
        special: Rights::default(),
        scopes: Vec::new(),
        rate: Rate::default(),
        quotas: Arc::new(quotas),
    }))
}

#[test]
fn attack_09_a_disk_of_another_vault_is_refused_and_nothing_is_written_to_it() {
    let (mut rig, mut vault) = vault();
    let version = put(&mut vault, &name("b", "k"), LockWish::default(), 1);
    vault.stop();
    let mut other = Rig::create_another(3);
    other.start().stop();
    for slot in 0..3 {
        let own = rig.handles[slot].take();
        let foreign = other.handles[slot].clone().unwrap();
        let before = foreign.peek(0, usize::try_from(DISK_BYTES).unwrap());
        rig.handles[slot] = Some(foreign.clone());
        let Err(OpenError::ForeignDisk { disk, .. }) = rig.try_start() else {
            panic!("slot {slot} starts")
        };
        assert_eq!(disk, foreign.name(), "slot {slot}");
        let after = foreign.peek(0, usize::try_from(DISK_BYTES).unwrap());
        assert!(before == after, "slot {slot} was written to");
        rig.handles[slot] = own;
    }
    // Where none has most of the disks, nobody can tell which ones do not belong.
    let left_out = rig.handles[2].take();
    let own = rig.handles[1].take();
    rig.handles[1] = other.handles[1].clone();
    let Err(OpenError::MixedDisks { disks }) = rig.try_start() else {
        panic!("two vaults start as one")
    };
    let [first, second] = [0, 1].map(|slot| rig.handles[slot].clone().unwrap());
    assert_eq!(disks, format!("{}, {}", first.name(), second.name()));
    rig.handles[1] = own;
    rig.handles[2] = left_out;
    // The own disks at each other's places are one vault still.
    rig.handles.rotate_left(1);
    let mut vault = rig.start();
    check_content(&mut vault, &name("b", "k"), version, 1);
    vault.stop();
}

#[test]
fn attack_21_what_ransomware_overwrites_reads_back_as_it_was() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = || lock(Some(until(Mode::Compliance, 100)), None);
    let versions: Vec<VersionId> = (0..5)
        .map(|seed| put(&mut vault, &object, wish(), seed))
        .collect();
    vault.asker = Some(client("", BTreeMap::new()));
    for seed in 100..160 {
        put(&mut vault, &object, LockWish::default(), seed);
    }
    vault.asker = None;
    for restarted in [false, true] {
        for (seed, version) in versions.iter().enumerate() {
            check_content(&mut vault, &object, *version, seed);
        }
        if !restarted {
            drop(vault);
            rig.crash();
            vault = rig.start();
        }
    }
}

#[test]
fn attack_22_a_mass_of_deletes_hides_and_destroys_nothing() {
    let (_rig, mut vault) = vault();
    let objects: Vec<ObjectName> = (0..300).map(|n| name("b", &format!("o{n}"))).collect();
    let wish = || lock(Some(until(Mode::Compliance, 100)), None);
    let versions: Vec<VersionId> = (0..)
        .zip(&objects)
        .map(|(seed, object)| put(&mut vault, object, wish(), seed))
        .collect();
    vault.asker = Some(client("", BTreeMap::new()));
    for (object, version) in objects.iter().zip(&versions) {
        assert!(is_locked(delete(&mut vault, object, Some(*version), true)));
        for _ in 0..3 {
            delete(&mut vault, object, None, false).unwrap();
        }
        assert!(head(&mut vault, object, None).is_err());
    }
    vault.asker = None;
    for (seed, (object, version)) in objects.iter().zip(&versions).enumerate() {
        check_content(&mut vault, object, *version, seed);
        while let Err(Refusal::NoSuchKey { marker }) = head(&mut vault, object, None) {
            delete(&mut vault, object, marker, false).unwrap();
        }
        assert_eq!(head(&mut vault, object, None).unwrap().version, *version);
    }
}

/// Junk that is locked for a century takes its owner's quota and nobody else's, and gives none of it back.
#[test]
fn attack_24_a_retention_bomb_goes_off_in_the_quota_of_who_laid_it() {
    let (_rig, mut vault) = vault();
    let quota = Quota {
        bytes_max: Some(100_000),
        versions_max: None,
    };
    let quotas = BTreeMap::from([(OwnerId::new("thief").unwrap(), quota)]);
    vault.asker = Some(client("thief", quotas));
    vault.bucket("junk", true);
    let bomb = |days: u64| Retention {
        mode: Mode::Compliance,
        until: UnixMillis::new(START + days * DAY),
    };
    let object = name("junk", "k");
    let too_far = Err(Refusal::Policy(policy::Refusal::DateTooFar));
    assert_eq!(
        open(&mut vault, &object, lock(Some(bomb(40_000)), None)),
        too_far
    );
    let century = || lock(Some(bomb(36_000)), None);
    let mut stored = 0;
    let refused = loop {
        let purpose = stele_store::request::Purpose::Object {
            metadata: stele_store::request::Metadata::default(),
            lock: century(),
        };
        let result = vault.open_put(&object, purpose).and_then(|stream| {
            vault.feed(stream, &content(1, 10_000))?;
            vault.commit(stream)
        });
        match result {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
        assert!(stored < 100, "never refused");
    };
    let full = Refusal::Policy(policy::Refusal::QuotaBytes { max: 100_000 });
    assert_eq!((refused, stored), (full.clone(), 10));
    // Hiding it gives nothing back.
    delete(&mut vault, &object, None, false).unwrap();
    let again = open_with_bytes(&mut vault, &object);
    assert_eq!(again, Err(full));
    vault.asker = None;
    put(&mut vault, &name("b", "k"), LockWish::default(), 1);
}

/// A bound on the bucket stands before the century, for objects, uploads in parts, changes and defaults alike.
#[test]
fn attack_24_no_client_sets_more_retention_than_its_bucket_allows() {
    let (_rig, mut vault) = vault();
    vault.bucket("junk", true);
    let object = name("junk", "k");
    let before = put(
        &mut vault,
        &object,
        lock(Some(until(Mode::Compliance, 24 * 50)), None),
        1,
    );
    let bound = |vault: &mut Running, days_max| {
        let bucket = "junk".to_owned();
        let done = vault.ask(Command::SetBound { bucket, days_max });
        done.map(|_| ())
    };
    let invalid = Err(Refusal::Policy(policy::Refusal::BoundInvalid));
    assert_eq!(bound(&mut vault, Some(0)), invalid);
    assert_eq!(bound(&mut vault, Some(36_501)), invalid);
    set_default(
        &mut vault,
        "junk",
        Some((Mode::Compliance, Period::Days(20))),
    )
    .unwrap();
    assert_eq!(bound(&mut vault, Some(19)), invalid);
    assert_eq!(bound(&mut vault, Some(30)), Ok(()));
    vault.asker = Some(client("", BTreeMap::new()));
    let only_vault = Err(Refusal::Policy(policy::Refusal::OnlyVault));
    assert_eq!(bound(&mut vault, None), only_vault);
    let beyond = || Refusal::Policy(policy::Refusal::BeyondBound { days_max: 30 });
    let wish = |ahead: u64| lock(Some(until(Mode::Compliance, 24 * ahead)), None);
    assert_eq!(open(&mut vault, &object, wish(31)), Err(beyond()));
    assert_eq!(open(&mut vault, &object, wish(29)), Ok(()));
    let upload = |vault: &mut Running, lock| {
        let command = Command::CreateUpload {
            name: object.clone(),
            metadata: stele_store::request::Metadata::default(),
            lock,
            announced: None,
        };
        vault.ask(command).map(|_| ())
    };
    assert_eq!(upload(&mut vault, wish(31)), Err(beyond()));
    assert_eq!(upload(&mut vault, wish(29)), Ok(()));
    let longer = (Mode::Compliance, Period::Days(31));
    assert_eq!(set_default(&mut vault, "junk", Some(longer)), Err(beyond()));
    // What was kept for longer before stays so, and may be said again, not more.
    let again = |vault: &mut Running, ahead: u64| {
        retain(
            vault,
            &object,
            Some(before),
            Some(until(Mode::Compliance, 24 * ahead)),
            false,
        )
    };
    assert_eq!(again(&mut vault, 50), Ok(()));
    assert_eq!(again(&mut vault, 51), Err(beyond()));
    vault.asker = None;
    assert_eq!(bound(&mut vault, None), Ok(()));
    assert_eq!(again(&mut vault, 51), Ok(()));
}

fn open_with_bytes(vault: &mut Running, object: &ObjectName) -> Result<(), Refusal> {
    let command = Command::OpenPut {
        name: object.clone(),
        purpose: support::steps::object(),
        content_bytes: Some(1_000),
    };
    vault.ask(command).map(drop)
}

/// Names are bytes: none is a path, none ends early, none is another's.
#[test]
fn attack_26_names_are_opaque_whatever_they_look_like() {
    let (mut rig, mut vault) = vault();
    let mut keys: Vec<Vec<u8>> = [
        "../../etc/shadow",
        "..",
        ".",
        "/",
        "//",
        "a/../b",
        "b",
        "a/b",
        "C:\\boot.ini",
        "%2e%2e%2f",
        "k\0",
        "k\0.txt",
        "k",
        "\u{202e}gpj.exe",
        "\u{1b}]0;title\u{7}",
        "line\nbreak",
        " ",
    ]
    .iter()
    .map(|key| key.as_bytes().to_vec())
    .collect();
    keys.push(vec![b'x'; 1024]);
    keys.push([vec![b'x'; 1023], vec![b'y']].concat());
    let object = |key: &Vec<u8>| ObjectName {
        bucket: "b".to_owned(),
        key: key.clone(),
    };
    let versions: Vec<VersionId> = keys
        .iter()
        .enumerate()
        .map(|(seed, key)| put(&mut vault, &object(key), LockWish::default(), seed))
        .collect();
    vault.stop();
    support::locks::lose_index(&rig);
    let mut vault = rig.start();
    for (seed, (key, version)) in keys.iter().zip(&versions).enumerate() {
        let info = head(&mut vault, &object(key), None).unwrap();
        assert_eq!(info.version, *version, "{seed}");
        check_content(&mut vault, &object(key), *version, seed);
    }
    // None of them says anything on a disk.
    vault.stop();
    for handle in rig.handles.iter().flatten() {
        let bytes = handle.peek(0, usize::try_from(DISK_BYTES).unwrap());
        for marker in [&b"etc/shadow"[..], b"boot.ini", b"xxxxxxxxxxxxxxxx"] {
            assert!(!bytes.windows(marker.len()).any(|window| window == marker));
        }
    }
}

/// A byte of every label says something else: version, features, sizes. Nothing of it is believed, and nothing written.
#[test]
fn attack_34_labels_that_say_something_else_are_refused_and_not_written_over() {
    let (mut rig, vault) = vault();
    vault.stop();
    let disks: Vec<_> = rig.handles.iter().flatten().cloned().collect();
    let before: Vec<_> = disks.iter().map(|disk| disk.snapshot()).collect();
    // Labels lie at both ends of a disk; behind the first ones, key states and the beginning of the index.
    let start = |disk: &SimDiskHandle| disk.peek(0, 2 << 20);
    for at in (0..160).step_by(3) {
        for disk in &disks {
            for area in [0, DISK_BYTES - (512 << 10)] {
                let bytes = disk.peek(area, 512 << 10);
                for (number, block) in (0..).zip(bytes.chunks(4096)) {
                    if block.iter().any(|byte| *byte != 0) {
                        disk.tamper(area + number * 4096 + at as u64, &[block[at] ^ 0xff]);
                    }
                }
            }
        }
        let tampered: Vec<_> = disks.iter().map(start).collect();
        assert!(rig.try_start().is_err(), "byte {at} was believed");
        let after: Vec<_> = disks.iter().map(start).collect();
        assert!(
            after == tampered,
            "a disk with byte {at} changed was written"
        );
        for (disk, was) in disks.iter().zip(&before) {
            disk.restore(was);
        }
    }
    rig.start().stop();
}
