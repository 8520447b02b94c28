//! What was tried and refused is in the log, and whoever tries a thousand times writes a line.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_format::digest::Digest;
use stele_format::record::{Attempt, Attempted, Body, ClientTag, RecordHeader, VersionRef};
use stele_store::policy::{Asker, Client, Grant, Grants, Mode, OwnerId, Quotas, Rate, Rights};
use stele_store::request::{Command, LockWish, RequestId};
use stele_store::status::Alarm;
use support::locks::{delete, hold, lock, open, put, retain, until, vault};
use support::{Rig, Running, name};

const KEY: &str = "STELEABCDEFGHIJKL234";
const MINUTE: u64 = 60_000;

fn client(key_id: &str, grants: Grants) -> Option<Asker> {
    Some(Asker::Client(Arc::new(Client {
        key_id: key_id.to_owned(),
        owner: OwnerId::default(),
        grants,
        special: Rights::default(),
        scopes: Vec::new(),
        rate: Rate::default(),
        quotas: Arc::new(Quotas::default()),
    })))
}

/// Everything refused that the log has.
fn refused(rig: &Rig) -> Vec<Attempt> {
    let bodies = rig.records().into_iter();
    bodies
        .filter_map(|body| match body {
            Body::Refused(attempts) => Some(attempts),
            _ => None,
        })
        .flatten()
        .collect()
}

fn words(attempts: &[Attempt]) -> Vec<(&str, &str, u64)> {
    let words = attempts.iter();
    words
        .map(|one| (one.what.as_str(), one.why.as_str(), one.count))
        .collect()
}

/// Time passes when the disks are done.
fn sleep(vault: &mut Running, ms: u64) {
    (0..50).for_each(|_| vault.turn());
    vault.sleep(ms);
    (0..50).for_each(|_| vault.turn());
}

fn about(vault: &mut Running, what: &str) -> stele_format::units::VersionId {
    let wish = lock(Some(until(Mode::Compliance, 1_000)), None);
    put(vault, &name("b", what), wish, 1)
}

#[test]
fn worm_01_what_a_client_tries_on_a_locked_version_is_in_the_log() {
    let (rig, mut vault) = vault();
    let version = about(&mut vault, "k");
    let governed = lock(Some(until(Mode::Governance, 1_000)), Some(true));
    put(&mut vault, &name("b", "held"), governed, 2);
    vault.asker = client(KEY, Grants::all());
    let object = name("b", "k");
    let shorter = until(Mode::Compliance, 10);
    for bypass in [false, true, true] {
        delete(&mut vault, &object, Some(version), bypass).unwrap_err();
    }
    let held = name("b", "held");
    retain(&mut vault, &object, Some(version), Some(shorter), true).unwrap_err();
    hold(&mut vault, &held, None, false).unwrap_err();
    retain(&mut vault, &held, None, None, true).unwrap_err();
    vault.asker = None;
    vault.stop();
    let attempts = refused(&rig);
    let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (what, why, count) in words(&attempts) {
        *sums.entry((what, why)).or_default() += count;
    }
    let expected = [
        (("bypass-governance", "right-missing"), 1),
        (("delete-version", "locked"), 3),
        (("lift-hold", "right-missing"), 1),
        (("shorten-retention", "locked"), 1),
    ];
    assert_eq!(sums, BTreeMap::from(expected));
    for attempt in &attempts {
        let Attempted::Client {
            client,
            first,
            bucket,
        } = &attempt.by
        else {
            panic!("{attempt:?}")
        };
        assert_eq!(*client, ClientTag::new(KEY).unwrap());
        assert!(!bucket.is_zero());
        assert_ne!(*first, VersionRef::default(), "{attempt:?}");
    }
}

#[test]
fn attack_04_who_may_not_delete_versions_is_in_the_log_by_key_and_bucket() {
    let (rig, mut vault) = vault();
    let version = about(&mut vault, "k");
    let grants = [Grant::Put, Grant::Get, Grant::List, Grant::Delete];
    vault.asker = client(KEY, grants.into_iter().collect());
    delete(&mut vault, &name("b", "k"), Some(version), true).unwrap_err();
    // In a bucket that is not there, nor any version, nothing was tried that has a place in the log.
    delete(&mut vault, &name("none", "k"), Some(version), true).unwrap_err();
    // Nothing locked was touched: no record.
    delete(&mut vault, &name("b", "k"), None, false).unwrap();
    let wish = lock(Some(until(Mode::Compliance, 1)), None);
    open(&mut vault, &name("none", "k"), wish).unwrap_err();
    vault.asker = None;
    vault.stop();
    let attempts = refused(&rig);
    let why = "not-granted";
    assert_eq!(words(&attempts), [("delete-version", why, 1)]);
    let buckets = attempts.iter().map(|attempt| match &attempt.by {
        Attempted::Client { bucket, .. } => bucket.is_zero(),
        other => panic!("{other:?}"),
    });
    assert_eq!(buckets.collect::<Vec<_>>(), [false]);
}

#[test]
fn a_flood_of_attempts_costs_a_record_a_minute() {
    let (rig, mut vault) = vault();
    let version = about(&mut vault, "k");
    vault.asker = client(KEY, Grants::all());
    let object = name("b", "k");
    for _minute in 0..10 {
        for _ in 0..200 {
            delete(&mut vault, &object, Some(version), true).unwrap_err();
        }
        sleep(&mut vault, MINUTE);
    }
    vault.asker = None;
    vault.stop();
    let attempts = refused(&rig);
    let records = rig.records();
    let records = records
        .iter()
        .filter(|body| matches!(body, Body::Refused(_)));
    assert!((2..=12).contains(&records.count()));
    let counted: u64 = attempts.iter().map(|attempt| attempt.count).sum();
    assert_eq!(counted, 2_000);
}

/// The first of a kind is there after a crash; what was counted behind it is lost with the power.
#[test]
fn the_first_attempt_survives_a_crash() {
    let (mut rig, mut vault) = vault();
    let version = about(&mut vault, "k");
    vault.asker = client(KEY, Grants::all());
    for _ in 0..5 {
        delete(&mut vault, &name("b", "k"), Some(version), true).unwrap_err();
    }
    vault.asker = None;
    (0..50).for_each(|_| vault.turn());
    drop(vault);
    rig.crash();
    rig.start().stop();
    assert_eq!(words(&refused(&rig)), [("delete-version", "locked", 1)]);
}

#[test]
fn what_is_refused_takes_nothing_of_the_reserve_of_a_full_vault() {
    let (rig, mut vault) = vault();
    let version = about(&mut vault, "k");
    let mut seed = 0;
    while !vault.engine.status().full {
        let wish = LockWish::default();
        let purpose = stele_store::request::Purpose::Object {
            metadata: stele_store::request::Metadata::default(),
            lock: wish,
        };
        seed += 1;
        let Ok(stream) = vault.open_put(&name("b", "fill"), purpose) else {
            break;
        };
        if vault
            .feed(stream, &support::content(seed, 900_000))
            .is_err()
            || vault.commit(stream).is_err()
        {
            break;
        }
        assert!(seed < 5_000, "never full");
    }
    assert!(vault.engine.status().full);
    vault.asker = client(KEY, Grants::all());
    for _ in 0..3 {
        delete(&mut vault, &name("b", "k"), Some(version), true).unwrap_err();
        sleep(&mut vault, 2 * MINUTE);
    }
    vault.asker = None;
    vault.stop();
    assert!(refused(&rig).is_empty());
}

/// W30: each change of a client carries its key, and what the vault does by itself carries none.
#[test]
fn every_change_of_a_client_names_its_key() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.asker = client(KEY, Grants::all());
    vault.bucket("b", true);
    let object = name("b", "k");
    let version = put(&mut vault, &object, LockWish::default(), 1);
    let longer = Some(until(Mode::Governance, 10));
    retain(&mut vault, &object, Some(version), longer, false).unwrap();
    hold(&mut vault, &object, Some(version), true).unwrap();
    let marker = delete(&mut vault, &object, None, false).unwrap();
    delete(&mut vault, &object, marker, false).unwrap();
    vault.asker = None;
    put(&mut vault, &object, LockWish::default(), 2);
    vault.stop();
    let log = rig.log();
    let by_client = |header: &RecordHeader| header.client == ClientTag::new(KEY).unwrap();
    let named: Vec<String> = log
        .iter()
        .filter(|(header, _)| by_client(header))
        .map(|(header, _)| format!("{:?}", header.record_type))
        .collect();
    let expected = [
        "Bucket",
        "Commit",
        "Retention",
        "Hold",
        "DeleteMarker",
        "Release",
    ];
    assert_eq!(named, expected);
    let others = log.iter().filter(|(header, _)| !by_client(header));
    assert!(others.clone().count() > 1);
    assert!(
        others
            .into_iter()
            .all(|(header, _)| header.client.is_none())
    );
}

#[test]
fn attack_22_a_thousand_deletes_within_an_hour_alarm_once() {
    let (rig, mut vault) = vault();
    vault.asker = client(KEY, Grants::all());
    let alarms = |vault: &Running| -> Vec<u64> {
        let alarms = vault.engine.status().alarms;
        let rates = alarms.iter().filter_map(|alarm| match alarm {
            Alarm::DeleteRate { client, count, .. } => {
                assert_eq!(client, KEY);
                Some(*count)
            }
            _ => None,
        });
        rates.collect()
    };
    let mut deleted = 0;
    for (more, expected) in [(1_000, vec![]), (1, vec![1_001]), (600, vec![1_001])] {
        // All at once, so that they share frames.
        let asked: Vec<RequestId> = (0..more)
            .map(|_| {
                deleted += 1;
                vault.send(Command::Delete {
                    name: name("b", &format!("k{deleted}")),
                    version: None,
                    bypass: false,
                })
            })
            .collect();
        for _ in 0..10_000 {
            if asked.iter().all(|id| vault.replies.contains_key(id)) {
                break;
            }
            vault.turn();
        }
        assert!(asked.iter().all(|id| vault.replies[id].is_ok()));
        assert_eq!(alarms(&vault), expected);
    }
    vault.asker = None;
    vault.stop();
    let attempts = refused(&rig);
    assert_eq!(words(&attempts), [("deletes", "rate", 1_001)]);
    let client = ClientTag::new(KEY).unwrap();
    assert_eq!(attempts[0].by, Attempted::Deletes { client });
}

/// Not a word of whoever brings rubbish comes into the log.
#[test]
fn a_text_that_is_no_statement_is_counted_and_not_kept() {
    let (rig, mut vault) = vault();
    let text = "drop table people; -- wanda".to_owned();
    vault
        .ask(Command::State {
            text: text.clone(),
            signatures: Vec::new(),
            note: None,
        })
        .unwrap_err();
    vault.stop();
    let attempts = refused(&rig);
    assert_eq!(words(&attempts), [("unreadable", "text", 1)]);
    let by = Attempted::Statement {
        person: String::new(),
        fingerprint: String::new(),
        first: Digest::of(text.as_bytes()),
    };
    assert_eq!(attempts[0].by, by);
}
