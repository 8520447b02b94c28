//! Which disks may go on: two sets of disks that know nothing of each other never both do.

use stele_device::sim::disk::SimDiskHandle;
use stele_store::recovery::{DiskVerdict, OpenError};
use stele_store::request::{Command, ReadOnlyReason, Refusal};

use crate::support::steps::turns;
use crate::support::{Rig, Running, content, name};

/// Starts with some of the disks only.
fn start_with(
    rig: &mut Rig,
    all: &[SimDiskHandle],
    present: &[usize],
) -> Result<Running, OpenError> {
    let here = |number: usize| present.contains(&number);
    let handles = all.iter().enumerate();
    rig.handles = handles
        .map(|(number, handle)| here(number).then(|| handle.clone()))
        .collect();
    rig.try_start()
}

fn create_bucket(vault: &mut Running, bucket: &str) -> Result<(), Refusal> {
    let name = bucket.to_owned();
    let created = vault.ask(Command::CreateBucket { name, lock: false });
    created.map(|_| ())
}

/// Starts a vault with each set of disks in turn; each is stopped by a power cut. Whether it takes writes
/// is as expected, and what an earlier one took is there wherever a later one takes writes.
fn check(disks: usize, starts: &[(&[usize], bool)]) {
    let mut rig = Rig::create(disks);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut buckets: Vec<String> = Vec::new();
    for (at, (present, writes)) in starts.iter().enumerate() {
        let what = format!("{disks} disks, start {at} of {starts:?}");
        let mut vault = match start_with(&mut rig, &all, present) {
            Ok(vault) => vault,
            Err(OpenError::NoIndexDisk { .. }) if !*writes => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        let bucket = format!("bucket-{at}");
        let created = create_bucket(&mut vault, &bucket);
        let what = format!("{what}: {created:?}");
        assert_eq!(created.is_ok(), *writes, "{what}");
        if created.is_ok() {
            for earlier in &buckets {
                let again = create_bucket(&mut vault, earlier);
                assert!(again.is_err(), "{what}: {earlier} is gone");
            }
            buckets.push(bucket);
        } else {
            assert!(matches!(created, Err(Refusal::ReadOnly(_))), "{what}");
        }
        drop(vault);
        rig.crash();
    }
}

#[test]
fn a_start_writes_only_with_more_than_half_of_the_membership_in_force() {
    check(1, &[(&[0], true), (&[0], true)]);
    check(2, &[(&[0, 1], true), (&[0], false), (&[0, 1], true)]);
    check(3, &[(&[0, 1], true), (&[1, 2], false), (&[0, 1, 2], true)]);
    check(4, &[(&[0, 2], false), (&[1, 3], false), (&[0, 1, 2], true)]);
    check(4, &[(&[0, 2, 3], true), (&[1, 3], false), (&[0, 3], true)]);
    check(
        5,
        &[(&[0, 2, 3], true), (&[1, 4], false), (&[1, 3, 4], false)],
    );
    check(
        5,
        &[(&[0, 2], false), (&[1, 3, 4], true), (&[0, 2, 3], false)],
    );
    check(
        5,
        &[(&[0, 1, 2, 3], true), (&[0, 1, 2], true), (&[0, 1], true)],
    );
}

#[test]
fn a_running_vault_goes_on_with_half_of_its_disks_and_the_other_half_cannot() {
    let mut rig = Rig::create(4);
    let all: Vec<SimDiskHandle> = rig.handles.iter().flatten().cloned().collect();
    let mut vault = rig.start();
    vault.bucket("b", false);
    for lost in [3, 1] {
        all[lost].vanish();
        vault.put(&name("b", "k"), &content(lost, 10_000));
        turns(&mut vault);
    }
    vault.put(&name("b", "k"), &content(7, 10_000));
    drop(vault);
    rig.crash();
    all.iter().for_each(SimDiskHandle::come_back);
    let mut vault = start_with(&mut rig, &all, &[1, 3]).unwrap();
    assert!(create_bucket(&mut vault, "c").is_err(), "the lost half");
    drop(vault);
    let mut vault = start_with(&mut rig, &all, &[0, 2]).unwrap();
    vault.bucket("c", false);
    let kept = vault.get(&name("b", "k"), None, None).unwrap();
    assert!(kept == content(7, 10_000));
}

#[test]
fn of_two_disks_with_one_identity_the_newer_takes_part() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    vault.put(&name("b", "k"), &content(1, 10_000));
    vault.stop();
    // Somebody kept a copy of the first disk, and attaches it as well.
    let copy = SimDiskHandle::new(crate::support::DISK_BYTES, 77);
    copy.restore(&rig.handles[0].as_ref().unwrap().snapshot());
    rig.start().stop();
    for place in [0, 3] {
        let mut with_copy = rig.handles.clone();
        with_copy.insert(place, Some(copy.clone()));
        let before = std::mem::replace(&mut rig.handles, with_copy);
        let mut vault = rig.start();
        let verdicts: Vec<DiskVerdict> = vault.report.disks.iter().map(|d| d.verdict).collect();
        let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count();
        assert_eq!(
            (count(DiskVerdict::Active), count(DiskVerdict::Stale)),
            (3, 1)
        );
        let read = vault.get(&name("b", "k"), None, None).unwrap();
        assert!(read == content(1, 10_000));
        vault.stop();
        rig.handles = before;
    }
}

#[test]
fn a_vault_without_room_for_a_further_start_says_that_it_is_full() {
    let mut rig = Rig::create(1);
    let mut reason = None;
    for _ in 0..1_000 {
        let vault = rig.start();
        reason = vault.engine.status().read_only;
        if reason.is_some() {
            break;
        }
        drop(vault);
        rig.crash();
    }
    assert_eq!(reason, Some(ReadOnlyReason::Full));
}
