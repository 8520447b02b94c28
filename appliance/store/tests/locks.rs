//! Object Lock against the real engine: `lock_NN` is the number of a statement of S3's semantics. What only the
//! wire shows is tested at the gateway under the same numbers.

mod support;

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{self, BucketKind, Mode, Period, Retention, Rights};
use stele_store::request::{Answer, Command, ListWish, LockWish, Refusal};
use support::locks::{
    ALL_RIGHTS, DAY, HOUR, START, check_content, delete, head, hold, is_locked, lock, lose_index,
    multipart, multipart_after, open, put, retain, set_default, until, vault,
};
use support::{Rig, Running, name};

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

/// How the marker that hides the one key is refused, from what the listing says of it.
fn current_marker(vault: &mut Running) -> Refusal {
    let wish = ListWish {
        bucket: "b".to_owned(),
        prefix: Vec::new(),
        delimiter: None,
        after: None,
        after_version: None,
        entries_max: 1,
    };
    let Ok(Answer::VersionListing(page)) = vault.ask(Command::ListVersions(wish)) else {
        panic!("no listing")
    };
    let row = page.rows.first().expect("a marker");
    assert!(row.marker && row.current);
    Refusal::IsMarker {
        version: row.version,
        modified: row.modified,
    }
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
        // Read by its id it says since when it hides, as listings do.
        let listed = current_marker(&mut vault);
        vault.sleep(HOUR);
        let read = head(&mut vault, &object, marker).unwrap_err();
        assert_eq!(read, listed);
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

/// Its date was judged when it began. What it became is released freely, and kept for as long as the floor says.
#[test]
fn lock_12_an_upload_is_completed_after_its_own_date() {
    for floor_days in [0, 1] {
        let mut rig = Rig::create(3);
        rig.options.new_bucket.default = None;
        rig.options.new_bucket.floor_ms = floor_days * DAY;
        let mut vault = rig.start();
        vault.bucket("b", true);
        let object = name("b", "k");
        let wish = until(Mode::Governance, 5);
        let late = |vault: &mut Running| vault.sleep(6 * HOUR);
        let what = (&object, lock(Some(wish), Some(true)), 1);
        let version = multipart_after(&mut vault, what, late).expect("completed");
        let info = head(&mut vault, &object, Some(version)).unwrap();
        let given = info.retention.expect("as it was wished for");
        assert_eq!((given.mode, info.hold), (wish.mode, Some(true)));
        let expected = match floor_days {
            0 => wish.until.get(),
            days => info.modified.get() + days * DAY,
        };
        let off = given.until.get().abs_diff(expected);
        assert!(off < HOUR, "{floor_days} days: {given:?}");
        let deleted = delete(&mut vault, &object, Some(version), false);
        assert!(is_locked(deleted), "{floor_days} days");
        // A new wish for that date is refused as before.
        let past = Err(Refusal::Policy(policy::Refusal::DatePast));
        assert_eq!(open(&mut vault, &object, lock(Some(wish), None)), past);
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
