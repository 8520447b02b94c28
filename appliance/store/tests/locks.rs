//! Object Lock against the real engine, one test a statement: `lock_NN` of S3's semantics, `worm_NN` of what an
//! auditor asks. What only the wire shows is tested at the gateway under the same numbers.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::disk::Disk;
use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{self, BucketKind, Mode, Period, Retention, Rights};
use stele_store::recovery::create;
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, NamedPart, ObjectInfo, ObjectName, Purpose,
    Refusal,
};
use support::{PARAMS, Rig, Running, content, name};

const START: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const ALL_RIGHTS: Rights = Rights {
    governance_bypass: true,
    hold_off: true,
    lock_admin: true,
};

fn until(mode: Mode, hours: u64) -> Retention {
    Retention {
        mode,
        until: UnixMillis::new(START + hours * HOUR),
    }
}

fn lock(retention: Option<Retention>, hold: Option<bool>) -> LockWish {
    LockWish { retention, hold }
}

fn open(vault: &mut Running, name: &ObjectName, lock: LockWish) -> Result<(), Refusal> {
    let purpose = Purpose::Object {
        metadata: Metadata::default(),
        lock,
    };
    let stream = vault.open_put(name, purpose)?;
    vault.ask(Command::AbortPut { stream }).map(|_done| ())
}

fn put(vault: &mut Running, name: &ObjectName, lock: LockWish, seed: usize) -> VersionId {
    let purpose = Purpose::Object {
        metadata: Metadata {
            user: vec![("seed".to_owned(), seed.to_string())],
            ..Metadata::default()
        },
        lock,
    };
    let stream = vault.open_put(name, purpose).unwrap();
    vault.feed(stream, &content(seed, 300)).unwrap();
    vault.commit(stream).unwrap().version.unwrap()
}

fn multipart(vault: &mut Running, name: &ObjectName, lock: LockWish, seed: usize) -> VersionId {
    let Answer::Upload(upload) = vault
        .ask(Command::CreateUpload {
            name: name.clone(),
            metadata: Metadata::default(),
            lock,
            announced: None,
        })
        .unwrap()
    else {
        panic!("no upload")
    };
    let stream = vault
        .open_put(name, Purpose::Part { upload, number: 1 })
        .unwrap();
    vault.feed(stream, &content(seed, 300)).unwrap();
    let etag = vault.commit(stream).unwrap().etag;
    let complete = Command::CompleteUpload {
        name: name.clone(),
        upload,
        parts: vec![NamedPart {
            number: 1,
            etag,
            checksums: Vec::new(),
        }],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    match vault.ask(complete).unwrap() {
        Answer::Stored(stored) => stored.version.unwrap(),
        other => panic!("unexpected {other:?}"),
    }
}

fn head(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<ObjectInfo, Refusal> {
    let command = Command::Head {
        name: name.clone(),
        version,
    };
    vault.ask(command).map(|answer| match answer {
        Answer::Object(info) => *info,
        other => panic!("unexpected {other:?}"),
    })
}

fn delete(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    bypass: bool,
) -> Result<Option<VersionId>, Refusal> {
    let command = Command::Delete {
        name: name.clone(),
        version,
        bypass,
    };
    vault.ask(command).map(|answer| match answer {
        Answer::Deleted { version, .. } => version,
        other => panic!("unexpected {other:?}"),
    })
}

fn retain(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    retention: Option<Retention>,
    bypass: bool,
) -> Result<(), Refusal> {
    let command = Command::SetRetention {
        name: name.clone(),
        version,
        retention,
        bypass,
    };
    vault.ask(command).map(|_done| ())
}

fn hold(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    on: bool,
) -> Result<(), Refusal> {
    let command = Command::SetHold {
        name: name.clone(),
        version,
        on,
    };
    vault.ask(command).map(|_done| ())
}

fn set_default(
    vault: &mut Running,
    bucket: &str,
    default: Option<(Mode, Period)>,
) -> Result<(), Refusal> {
    let command = Command::SetDefaultRetention {
        bucket: bucket.to_owned(),
        default,
    };
    vault.ask(command).map(|_done| ())
}

fn is_locked(result: Result<Option<VersionId>, Refusal>) -> bool {
    matches!(
        result,
        Err(Refusal::Policy(
            policy::Refusal::Locked { .. } | policy::Refusal::Held
        ))
    )
}

fn check_content(vault: &mut Running, name: &ObjectName, version: VersionId, seed: usize) {
    let got = vault.get(name, Some(version), None).unwrap();
    assert!(got == content(seed, 300), "content of {version}");
}

/// A running vault with a bucket in which clients set locks.
fn vault() -> (Rig, Running) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    (rig, vault)
}

/// The disks' index areas are lost, so that the next start makes the index out of the journal.
fn lose_index(rig: &Rig) {
    for handle in rig.handles.iter().take(2).flatten() {
        let noise = vec![0x5a_u8; 64 << 10];
        (0..16).for_each(|part| handle.tamper((1 << 20) + (256 << 10) + part * (64 << 10), &noise));
    }
}

#[test]
fn lock_01_a_bucket_with_lock_keeps_every_version() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let versions: Vec<VersionId> = (0..3)
        .map(|seed| put(&mut vault, &object, LockWish::default(), seed))
        .collect();
    for (seed, version) in versions.into_iter().enumerate() {
        check_content(&mut vault, &object, version, seed);
    }
}

#[test]
fn lock_02_a_bucket_without_lock_takes_no_lock() {
    let mut rig = Rig::create(3);
    rig.options.new_bucket.kind = BucketKind::Plain;
    rig.options.new_bucket.default = None;
    let mut vault = rig.start();
    vault.bucket("plain", false);
    let object = name("plain", "k");
    vault.put(&object, b"x");
    let no_lock = Refusal::Policy(policy::Refusal::NoLockOnBucket);
    let wanted = until(Mode::Governance, 5);
    let default = Some((Mode::Governance, Period::Days(1)));
    let results = [
        set_default(&mut vault, "plain", default),
        retain(&mut vault, &object, None, Some(wanted), false),
        hold(&mut vault, &object, None, true),
        open(&mut vault, &object, lock(Some(wanted), None)),
        open(&mut vault, &object, lock(None, Some(true))),
    ];
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result, Err(no_lock.clone()), "case {number}");
    }
}

#[test]
fn lock_03_a_default_without_a_period_is_refused() {
    let (_rig, mut vault) = vault();
    for period in [
        Period::Days(0),
        Period::Years(0),
        Period::Days(36_501),
        Period::Years(101),
    ] {
        let refused = set_default(&mut vault, "b", Some((Mode::Governance, period)));
        let expected = Refusal::Policy(policy::Refusal::PeriodInvalid);
        assert_eq!(refused, Err(expected), "{period:?}");
    }
}

#[test]
fn lock_04_the_default_is_for_new_versions_and_a_wish_wins() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let before = put(&mut vault, &object, LockWish::default(), 0);
    set_default(&mut vault, "b", Some((Mode::Governance, Period::Days(2)))).unwrap();
    let by_default = put(&mut vault, &object, LockWish::default(), 1);
    let wish = until(Mode::Compliance, 5);
    let by_wish = put(&mut vault, &object, lock(Some(wish), None), 2);
    set_default(&mut vault, "b", Some((Mode::Compliance, Period::Years(1)))).unwrap();
    let retention = |vault: &mut Running, version| {
        let info = head(vault, &object, Some(version)).unwrap();
        (info.retention, info.modified.get())
    };
    assert_eq!(retention(&mut vault, before).0, None);
    assert_eq!(retention(&mut vault, by_wish).0, Some(wish));
    let (Some(given), stored) = retention(&mut vault, by_default) else {
        panic!("no default")
    };
    assert_eq!(given.mode, Mode::Governance);
    let late = given.until.get() - stored;
    assert!((2 * DAY..2 * DAY + HOUR).contains(&late), "{late}");
}

#[test]
fn lock_05_dates_of_an_upload_lie_ahead_and_not_too_far() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let at = |ms: u64| Retention {
        mode: Mode::Compliance,
        until: UnixMillis::new(ms),
    };
    for (ms, expected) in [
        (1, Err(policy::Refusal::DatePast)),
        (START, Err(policy::Refusal::DatePast)),
        (START + HOUR, Ok(())),
        (START + 99 * 365 * DAY, Ok(())),
        (START + 101 * 366 * DAY, Err(policy::Refusal::DateTooFar)),
    ] {
        let result = open(&mut vault, &object, lock(Some(at(ms)), None));
        assert_eq!(result, expected.map_err(Refusal::Policy), "{ms}");
    }
}

#[test]
fn lock_07_retention_changes_by_the_table() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let (g, c) = (Mode::Governance, Mode::Compliance);
    let wishes = [
        None,
        Some(until(g, 5)),
        Some(until(g, 10)),
        Some(until(g, 20)),
        Some(until(c, 5)),
        Some(until(c, 10)),
        Some(until(c, 20)),
    ];
    for current in [None, Some(until(g, 10)), Some(until(c, 10))] {
        for wish in wishes {
            for (bypass, rights) in [
                (false, Rights::default()),
                (true, Rights::default()),
                (false, ALL_RIGHTS),
                (true, ALL_RIGHTS),
            ] {
                let version = put(&mut vault, &object, lock(current, None), 1);
                vault.rights = rights;
                let result = retain(&mut vault, &object, Some(version), wish, bypass);
                let extends = |current: Retention| {
                    wish.is_some_and(|w| w.mode == current.mode && w.until >= current.until)
                };
                let allowed = match current {
                    None => true,
                    Some(current) if extends(current) => true,
                    Some(current) => current.mode == g && bypass && rights.governance_bypass,
                };
                let what = format!("{current:?} to {wish:?}, bypass {bypass}, {rights:?}");
                assert_eq!(result.is_ok(), allowed, "{what}: {result:?}");
                let now = head(&mut vault, &object, Some(version)).unwrap().retention;
                assert_eq!(now, if allowed { wish } else { current }, "{what}");
                vault.rights = Rights::default();
            }
        }
    }
}

#[test]
fn lock_08_a_date_is_kept_to_the_millisecond_for_a_century() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let far = Retention {
        mode: Mode::Compliance,
        until: UnixMillis::new(4_830_000_000_123),
    };
    put(&mut vault, &object, lock(Some(far), None), 1);
    vault.stop();
    lose_index(&rig);
    let mut vault = rig.start();
    let info = head(&mut vault, &object, None).unwrap();
    assert_eq!(info.retention, Some(far));
}

#[test]
fn lock_09_a_hold_is_its_own_lock_and_no_bypass_lifts_it() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = until(Mode::Governance, 5);
    let version = put(&mut vault, &object, lock(Some(wish), Some(true)), 1);
    vault.rights = ALL_RIGHTS;
    retain(&mut vault, &object, Some(version), None, true).unwrap();
    let held = Err(Refusal::Policy(policy::Refusal::Held));
    assert_eq!(delete(&mut vault, &object, Some(version), true), held);
    vault.rights = Rights::default();
    let needs = Refusal::Policy(policy::Refusal::NeedsRight(policy::Right::HoldOff));
    let off = hold(&mut vault, &object, Some(version), false);
    assert_eq!(off, Err(needs));
    vault.rights = ALL_RIGHTS;
    hold(&mut vault, &object, Some(version), false).unwrap();
    delete(&mut vault, &object, Some(version), false).unwrap();
}

#[test]
fn lock_10_deletes_keep_their_contract() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    for wish in [
        lock(Some(until(Mode::Governance, 5)), None),
        lock(Some(until(Mode::Compliance, 5)), None),
        lock(None, Some(true)),
    ] {
        let version = put(&mut vault, &object, wish, 1);
        // (a) A marker is always made, and hides.
        let marker = delete(&mut vault, &object, None, false).unwrap();
        let hidden = head(&mut vault, &object, None).unwrap_err();
        assert_eq!(hidden, Refusal::NoSuchKey { marker });
        // (b) A locked version stays.
        assert!(is_locked(delete(&mut vault, &object, Some(version), false)));
        check_content(&mut vault, &object, version, 1);
        // No lock is put on a marker.
        let on_marker = retain(
            &mut vault,
            &object,
            marker,
            Some(until(Mode::Compliance, 9)),
            false,
        );
        assert!(matches!(on_marker, Err(Refusal::IsMarker { .. })));
        // (c) The marker goes, and the object is there again.
        delete(&mut vault, &object, marker, false).unwrap();
        assert_eq!(head(&mut vault, &object, None).unwrap().version, version);
    }
    // (e) What is not there is deleted.
    delete(&mut vault, &name("b", "never"), None, false).unwrap();
    // (f) What is not locked is released.
    let free = put(&mut vault, &object, LockWish::default(), 2);
    delete(&mut vault, &object, Some(free), false).unwrap();
    let gone = head(&mut vault, &object, Some(free)).unwrap_err();
    assert_eq!(gone, Refusal::NoSuchVersion);
}

#[test]
fn lock_12_a_multipart_version_under_any_lock_cannot_be_deleted() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let wishes = [
        lock(Some(until(Mode::Governance, 5)), None),
        lock(Some(until(Mode::Compliance, 5)), None),
        lock(None, Some(true)),
        lock(Some(until(Mode::Compliance, 5)), Some(true)),
    ];
    let mut versions = Vec::new();
    for (seed, wish) in wishes.into_iter().enumerate() {
        versions.push((multipart(&mut vault, &object, wish, seed), wish));
    }
    set_default(&mut vault, "b", Some((Mode::Compliance, Period::Days(1)))).unwrap();
    let by_default = multipart(&mut vault, &object, LockWish::default(), 4);
    let default = lock(
        head(&mut vault, &object, Some(by_default))
            .unwrap()
            .retention,
        None,
    );
    assert!(default.retention.is_some());
    versions.push((by_default, default));
    for rebuilt in [false, true] {
        for (seed, (version, wish)) in versions.iter().enumerate() {
            for bypass in [false, true] {
                let result = delete(&mut vault, &object, Some(*version), bypass);
                let refused = result.is_err();
                assert!(refused, "{wish:?} bypass {bypass}");
            }
            let info = head(&mut vault, &object, Some(*version)).unwrap();
            assert_eq!((info.retention, info.hold), (wish.retention, wish.hold));
            check_content(&mut vault, &object, *version, seed);
        }
        if !rebuilt {
            vault.stop();
            lose_index(&rig);
            vault = rig.start();
            assert!(vault.report.index_rebuilt);
        }
    }
}

#[test]
fn lock_16_a_bucket_with_any_version_or_marker_cannot_be_deleted() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let drop_bucket = || Command::DeleteBucket {
        name: "b".to_owned(),
    };
    let not_empty = |result: Result<Answer, Refusal>| {
        assert_eq!(result.map(|_| ()), Err(Refusal::BucketNotEmpty));
    };
    let version = put(&mut vault, &object, LockWish::default(), 1);
    not_empty(vault.ask(drop_bucket()));
    let marker = delete(&mut vault, &object, None, false).unwrap();
    delete(&mut vault, &object, Some(version), false).unwrap();
    not_empty(vault.ask(drop_bucket()));
    delete(&mut vault, &object, marker, false).unwrap();
    vault.ask(drop_bucket()).unwrap();
}

#[test]
fn lock_17_no_step_of_the_wall_clock_ends_a_retention() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 10 * 24)), None);
    let version = put(&mut vault, &object, wish, 1);
    vault.stop();
    for wall in [START + 50 * 365 * DAY, 1, START] {
        rig.clock_ms = wall;
        let mut vault = rig.start();
        vault.rights = ALL_RIGHTS;
        let result = delete(&mut vault, &object, Some(version), true);
        assert!(is_locked(result), "wall clock at {wall}");
        vault.stop();
    }
}

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
