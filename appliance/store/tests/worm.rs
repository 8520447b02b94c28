//! What an auditor asks of a write-once store, against the real engine: `worm_NN` is the number of the statement.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_device::disk::Disk;
use stele_format::digest::Digest;
use stele_format::record::{Body, CopyHealth, RecordType};
use stele_format::units::{LogIndex, VersionId};
use stele_store::policy::{self, Mode, Period, Rights};
use stele_store::recovery::{CreateParams, create};
use stele_store::request::{Command, LockWish, Metadata, ObjectInfo, ObjectName, Refusal};
use stele_store::status::Alarm;
use support::locks::{
    ALL_RIGHTS, DAY, HOUR, START, check_content, delete, head, hold, is_locked, lock, lose_index,
    multipart, put, retain, set_default, until, vault,
};
use support::{DISK_BYTES, PARAMS, Rig, Running, content, name};

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

const YEAR: u64 = 365 * DAY;

#[test]
fn worm_11_no_setting_of_the_wall_clock_moves_an_expiry() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let wish = until(Mode::Compliance, 240);
    let version = put(&mut vault, &object, lock(Some(wish), None), 1);
    for wall in [START + 20 * YEAR, START - 20 * YEAR, 1, START + 230 * YEAR] {
        vault.set_wall(wall);
        vault.rights = ALL_RIGHTS;
        assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
        let info = head(&mut vault, &object, Some(version)).unwrap();
        assert_eq!(info.retention, Some(wish), "wall {wall}");
    }
}

fn clock_alarms(vault: &Running) -> usize {
    let alarms = vault.engine.status().alarms.into_iter();
    alarms
        .filter(|alarm| matches!(alarm, Alarm::WallClock { left: true, .. }))
        .count()
}

#[test]
fn worm_12_every_disturbance_of_the_clocks_alarms_and_frees_nothing() {
    let object = name("b", "k");
    // What a step of the clock or a false time server does, and what a new battery or weeks without power do.
    for (wall, restart) in [
        (START + 20 * YEAR, false),
        (START - 20 * YEAR, false),
        (START + 20 * YEAR, true),
        (START - 20 * YEAR, true),
        (START + 21 * DAY, true),
    ] {
        let (mut rig, mut vault) = vault();
        let wish = lock(Some(until(Mode::Compliance, 240)), None);
        let version = put(&mut vault, &object, wish, 1);
        assert_eq!(clock_alarms(&vault), 0);
        if restart {
            drop(vault);
            rig.crash();
            rig.clock_ms = wall;
            vault = rig.start();
            vault.turn();
        } else {
            vault.set_wall(wall);
        }
        assert_eq!(clock_alarms(&vault), 1, "wall {wall} restart {restart}");
        vault.rights = ALL_RIGHTS;
        assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
    }
}

#[test]
fn worm_13_nothing_sets_the_clock_anew_while_something_is_kept() {
    let params = CreateParams {
        simulated_clock: false,
        ..PARAMS
    };
    let mut rig = Rig::create_as(&params, &[DISK_BYTES; 3], None);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let object = name("b", "k");
    let wish = lock(Some(until(Mode::Compliance, 240)), None);
    let version = put(&mut vault, &object, wish, 1);
    vault.rights = ALL_RIGHTS;
    let advance = Command::AdvanceClock { by_ms: 1 };
    assert_eq!(
        vault.ask(advance).map(drop),
        Err(Refusal::ClockNotSimulated)
    );
    // What a start knows is the time of the last record.
    let before = vault.engine.status().compliance;
    put(&mut vault, &object, LockWish::default(), 2);
    vault.stop();
    for wall in [START + 20 * YEAR, START - 20 * YEAR] {
        rig.clock_ms = wall;
        rig.monotonic_ms = u64::MAX / 2;
        let disks: Vec<Box<dyn Disk>> = rig
            .handles
            .iter()
            .flatten()
            .map(|handle| Box::new(handle.open()) as Box<dyn Disk>)
            .collect();
        let (mut world, now) = (rig.world(), rig.now());
        assert!(create(disks, &params, &mut world, now).is_err());
        let mut vault = rig.start();
        let after = vault.engine.status().compliance.get();
        let since = after.checked_sub(before.get());
        assert!(
            since.is_some_and(|ms| ms < HOUR),
            "{after} after {before:?}"
        );
        vault.rights = ALL_RIGHTS;
        assert!(is_locked(delete(&mut vault, &object, Some(version), true)));
        vault.stop();
    }
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

#[test]
fn worm_23_what_rots_is_repaired_to_the_same_bytes_and_the_log_says_so() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let bytes = content(3, 300_000);
    vault.put(&object, &bytes);
    vault.stop();
    let frames = rig.frames_of(false);
    let (disk, at) = rig.places_of(&frames[0])[0];
    let handle = rig.handles[disk].clone().unwrap();
    let before = handle.peek(at, 4096);
    handle.rot(at + 300, 0x10);
    let mut vault = rig.start();
    vault.sleep(13 * HOUR);
    vault.until("a pass over every closed segment", |engine| {
        let heal = engine.status().heal;
        heal.segment.is_none() && heal.counts.segments >= 2
    });
    assert!(vault.get(&object, None, None).unwrap() == bytes);
    vault.stop();
    assert!(handle.peek(at, 4096) == before);
    let found = rig.records().into_iter().filter_map(|body| match body {
        Body::Scrub(scrub) => Some(scrub),
        _ => None,
    });
    let found: Vec<CopyHealth> = found
        .flat_map(|scrub| scrub.copies)
        .map(|(_, health)| health)
        .collect();
    assert!(found.contains(&CopyHealth::Whole) && found.contains(&CopyHealth::Repaired));
}

#[test]
fn worm_26_numbers_of_the_log_have_no_gap_and_each_record_names_the_one_before() {
    let (mut rig, mut vault) = vault();
    for round in 0..4 {
        put(&mut vault, &name("b", "k"), LockWish::default(), round);
        if round % 2 == 0 {
            drop(vault);
            rig.crash();
        } else {
            vault.stop();
        }
        vault = rig.start();
    }
    vault.stop();
    let log = rig.log();
    let mut previous = Digest::default();
    for (index, (header, _)) in (0..).zip(&log) {
        assert_eq!(header.log_index, LogIndex::new(index));
        assert_eq!(header.previous_header, previous, "record {index}");
        previous = header.chain_digest();
    }
    assert!(log.len() > 15, "{}", log.len());
    let mut versions: Vec<VersionId> = log.iter().map(|(header, _)| header.version).collect();
    versions.retain(|version| *version != VersionId::default());
    let all = versions.len();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!((all, versions.len()), (4, 4));
}

#[test]
fn worm_30_each_step_of_a_version_has_a_record_with_its_time() {
    let (rig, mut vault) = vault();
    let object = name("b", "k");
    // Both times are told apart.
    vault.wall_jumps(HOUR);
    let version = put(&mut vault, &object, LockWish::default(), 1);
    let mut step = |run: &mut dyn FnMut(&mut Running)| {
        vault.sleep(HOUR);
        run(&mut vault);
    };
    step(&mut |vault| {
        let tags = vec![("a".to_owned(), "1".to_owned())];
        let (name, version) = (object.clone(), Some(version));
        let command = Command::SetTags {
            name,
            version,
            tags,
        };
        vault.ask(command).unwrap();
    });
    let soon = until(Mode::Governance, 4);
    step(&mut |vault| retain(vault, &object, Some(version), Some(soon), false).unwrap());
    step(&mut |vault| hold(vault, &object, Some(version), true).unwrap());
    step(&mut |vault| assert!(delete(vault, &object, None, false).is_ok()));
    vault.rights = ALL_RIGHTS;
    hold(&mut vault, &object, Some(version), false).unwrap();
    vault.sleep(HOUR);
    delete(&mut vault, &object, Some(version), false).unwrap();
    vault.stop();
    let log = rig.log().into_iter().map(|(header, _)| header);
    let steps = log.filter(|header| header.version != VersionId::default());
    let steps: Vec<_> = steps.collect();
    let types: Vec<RecordType> = steps.iter().map(|header| header.record_type).collect();
    assert_eq!(
        types,
        [
            RecordType::Commit,
            RecordType::Tags,
            RecordType::Retention,
            RecordType::Hold,
            RecordType::DeleteMarker,
            RecordType::Hold,
            RecordType::Release,
        ]
    );
    for (at, header) in steps.iter().enumerate() {
        let hour = u64::try_from([0, 1, 2, 3, 4, 4, 5][at]).unwrap();
        let since = header.compliance_ms.get() - START;
        assert!((hour * HOUR..(hour + 1) * HOUR).contains(&since), "{at}");
        let ahead = header.wall_ms.get() - header.compliance_ms.get();
        assert!((HOUR - 10_000..=HOUR).contains(&ahead), "{at}: {ahead}");
        assert_eq!(header.object, steps[0].object);
        assert_eq!(header.version == version, at != 4, "{at}");
    }
    assert_eq!(
        (steps[2].retain_until_ms, steps[3].hold),
        (soon.until, true)
    );
}
