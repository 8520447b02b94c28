//! What an auditor asks of a write-once store, against the real engine: `worm_NN` is the number of the statement.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::disk::Disk;
use stele_format::units::VersionId;
use stele_store::policy::{self, Mode, Period, Rights};
use stele_store::recovery::create;
use stele_store::request::{Command, LockWish, Metadata, ObjectInfo, ObjectName, Refusal};
use support::locks::{
    ALL_RIGHTS, HOUR, check_content, delete, head, hold, is_locked, lock, lose_index, multipart,
    put, retain, set_default, until, vault,
};
use support::{PARAMS, Rig, Running, name};

/// What clients and their keys can try against one version.
fn attack(vault: &mut Running, object: &ObjectName, version: VersionId) {
    vault.rights = ALL_RIGHTS;
    put(vault, object, LockWish::default(), 90);
    multipart(vault, object, LockWish::default(), 91);
    for bypass in [false, true] {
        assert!(is_locked(delete(vault, object, Some(version), bypass)));
        for weaker in [
            None,
            Some(until(Mode::Governance, 1000)),
            Some(until(Mode::Compliance, 1)),
        ] {
            let result = retain(vault, object, Some(version), weaker, bypass);
            assert!(result.is_err(), "{weaker:?} bypass {bypass}");
        }
    }
    delete(vault, object, None, true).unwrap();
    let drop_bucket = Command::DeleteBucket {
        name: object.bucket.clone(),
    };
    assert!(vault.ask(drop_bucket).is_err());
    vault.rights = Rights::default();
}

#[test]
fn worm_01_nothing_a_client_does_reaches_a_locked_version() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 100)), None);
    let version = put(&mut vault, &object, wish, 7);
    attack(&mut vault, &object, version);
    check_content(&mut vault, &object, version, 7);
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    attack(&mut vault, &object, version);
    check_content(&mut vault, &object, version, 7);
}

#[test]
fn worm_02_retention_grows_and_never_shrinks_and_no_mode_goes_down() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 10)), None);
    let version = put(&mut vault, &object, wish, 1);
    for hours in [11, 12, 5_000] {
        let longer = Some(until(Mode::Compliance, hours));
        retain(&mut vault, &object, Some(version), longer, false).unwrap();
        attack(&mut vault, &object, version);
        let info = head(&mut vault, &object, Some(version)).unwrap();
        assert_eq!(info.retention, longer);
    }
}

#[test]
fn worm_03_clearing_a_default_touches_nothing_that_is_stored() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    set_default(&mut vault, "b", Some((Mode::Compliance, Period::Days(9)))).unwrap();
    let version = put(&mut vault, &object, LockWish::default(), 1);
    let before = head(&mut vault, &object, Some(version)).unwrap().retention;
    let lower = Some((Mode::Governance, Period::Days(1)));
    for wanted in [lower, None] {
        assert!(set_default(&mut vault, "b", wanted).is_err());
        vault.rights = ALL_RIGHTS;
        set_default(&mut vault, "b", wanted).unwrap();
        vault.rights = Rights::default();
        let now = head(&mut vault, &object, Some(version)).unwrap().retention;
        assert_eq!(now, before);
        assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
    }
}

#[test]
fn worm_04_what_describes_a_version_is_locked_with_it() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 100)), None);
    let version = put(&mut vault, &object, wish, 3);
    let before = head(&mut vault, &object, Some(version)).unwrap();
    attack(&mut vault, &object, version);
    hold(&mut vault, &object, Some(version), true).unwrap();
    vault
        .ask(Command::SetTags {
            name: object.clone(),
            version: Some(version),
            tags: vec![("a".to_owned(), "1".to_owned())],
        })
        .unwrap();
    let after = head(&mut vault, &object, Some(version)).unwrap();
    assert_eq!(after.hold, Some(true));
    assert_eq!(after.metadata.tags.len(), 1);
    let rest = ObjectInfo {
        hold: before.hold,
        metadata: Metadata {
            tags: before.metadata.tags.clone(),
            ..after.metadata.clone()
        },
        ..after
    };
    assert!(rest == before);
}

#[test]
fn worm_05_without_a_wish_the_default_applies_and_is_never_silently_none() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("default", false);
    let object = name("default", "k");
    for parts in [false, true] {
        let store = if parts { multipart } else { put };
        let version = store(&mut vault, &object, LockWish::default(), 1);
        let info = head(&mut vault, &object, Some(version)).unwrap();
        assert_eq!(info.retention.unwrap().mode, Mode::Compliance);
        assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
    }
    let refused = set_default(&mut vault, "default", None).unwrap_err();
    let needs = policy::Refusal::NeedsRight(policy::Right::LockAdmin);
    assert_eq!(refused, Refusal::Policy(needs));
}

#[test]
fn worm_06_after_its_date_a_version_is_still_not_changed_only_released() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 2)), None);
    let version = put(&mut vault, &object, wish, 1);
    vault.sleep(3 * HOUR);
    let later = put(&mut vault, &object, LockWish::default(), 2);
    assert_ne!(later, version);
    check_content(&mut vault, &object, version, 1);
    delete(&mut vault, &object, Some(version), false).unwrap();
    let gone = head(&mut vault, &object, Some(version)).unwrap_err();
    assert_eq!(gone, Refusal::NoSuchVersion);
    check_content(&mut vault, &object, later, 2);
}

#[test]
fn worm_07_a_vault_is_not_made_anew_over_one_that_is_there() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 2)), None);
    let version = put(&mut vault, &object, wish, 1);
    vault.stop();
    let disks: Vec<Box<dyn Disk>> = rig
        .handles
        .iter()
        .flatten()
        .map(|handle| Box::new(handle.open()) as Box<dyn Disk>)
        .collect();
    let (mut world, now) = (rig.world(), rig.now());
    assert!(create(disks, &PARAMS, &mut world, now).is_err());
    let mut vault = rig.start();
    check_content(&mut vault, &object, version, 1);
}

#[test]
fn worm_08_no_right_deletes_under_compliance() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 100)), None);
    let version = put(&mut vault, &object, wish, 1);
    for bits in 0..8_u8 {
        vault.rights = Rights {
            governance_bypass: bits & 1 != 0,
            hold_off: bits & 2 != 0,
            lock_admin: bits & 4 != 0,
        };
        for bypass in [false, true] {
            assert!(is_locked(delete(
                &mut vault,
                &object,
                Some(version),
                bypass
            )));
        }
    }
}

#[test]
fn worm_10_locks_are_in_the_journal_and_not_in_an_index_that_can_be_lost() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Governance, 10)), None);
    let version = put(&mut vault, &object, wish, 1);
    let longer = Some(until(Mode::Governance, 100));
    retain(&mut vault, &object, Some(version), longer, false).unwrap();
    hold(&mut vault, &object, Some(version), true).unwrap();
    vault.stop();
    lose_index(&rig);
    let mut vault = rig.start();
    assert!(vault.report.index_rebuilt);
    let info = head(&mut vault, &object, Some(version)).unwrap();
    assert_eq!((info.retention, info.hold), (longer, Some(true)));
    assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
}

#[test]
fn worm_15_a_hold_outlives_the_date_and_leaves_it_as_it_was() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = until(Mode::Compliance, 2);
    let version = put(&mut vault, &object, lock(Some(wish), None), 1);
    hold(&mut vault, &object, Some(version), true).unwrap();
    vault.rights = ALL_RIGHTS;
    hold(&mut vault, &object, Some(version), false).unwrap();
    let info = head(&mut vault, &object, Some(version)).unwrap();
    assert_eq!((info.retention, info.hold), (Some(wish), Some(false)));
    assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
    hold(&mut vault, &object, Some(version), true).unwrap();
    vault.sleep(5 * HOUR);
    let held = Err(Refusal::Policy(policy::Refusal::Held));
    assert_eq!(delete(&mut vault, &object, Some(version), true), held);
    check_content(&mut vault, &object, version, 1);
}
