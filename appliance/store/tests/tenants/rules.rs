//! Default retention by prefix, and when the first of it may go.

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{Mode, PrefixRule, Refusal as Policy, Retention};
use stele_store::request::{Answer, Command, LockWish, Metadata, ObjectName, Purpose, Refusal};

use crate::support::{Rig, Running, name};
use crate::{become_client, client, denied, done, make, put};

const DAY_MS: u64 = 86_400_000;

fn rule(prefix: &str, days: Option<u32>) -> Command {
    Command::SetRule {
        bucket: "b".to_owned(),
        prefix: prefix.as_bytes().to_vec(),
        days,
    }
}

fn retention(vault: &mut Running, name: ObjectName, version: VersionId) -> Option<Retention> {
    let version = Some(version);
    match vault.ask(Command::Head { name, version }).unwrap() {
        Answer::Object(info) => info.retention,
        other => panic!("unexpected {other:?}"),
    }
}

fn days_of(vault: &mut Running, key: &str) -> u64 {
    let now = vault.engine.status().compliance.get();
    let version = put(vault, &name("b", key), 1).unwrap();
    let retention = retention(vault, name("b", key), version).unwrap();
    assert_eq!(retention.mode, Mode::Compliance);
    // Both clocks are the same but for moments.
    (retention.until.get() - now + DAY_MS / 2) / DAY_MS
}

#[test]
fn keys_get_the_default_of_their_longest_prefix_and_what_is_stored_keeps_its_own() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let default = Command::SetDefaultRetention {
        bucket: "b".to_owned(),
        default: Some((Mode::Compliance, stele_store::policy::Period::Days(30))),
    };
    done(&mut vault, default).unwrap();
    let before = put(&mut vault, &name("b", "locks/0"), 1).unwrap();
    let kept = retention(&mut vault, name("b", "locks/0"), before);
    done(&mut vault, rule("locks/", Some(1))).unwrap();
    done(&mut vault, rule("locks/keep/", Some(60))).unwrap();
    for restart in [false, true] {
        if restart {
            vault.stop();
            vault = rig.start();
        }
        for (key, days) in [("locks/1", 1), ("locks/keep/1", 60), ("data/1", 30)] {
            assert_eq!(days_of(&mut vault, key), days, "{key}");
        }
        assert_eq!(retention(&mut vault, name("b", "locks/0"), before), kept);
    }
    // Where the client says something, no rule does.
    let until = UnixMillis::new(vault.engine.status().compliance.get() + 5 * DAY_MS);
    let wish = Retention {
        mode: Mode::Governance,
        until,
    };
    let purpose = Purpose::Object {
        metadata: Metadata::default(),
        lock: LockWish {
            retention: Some(wish),
            hold: None,
        },
    };
    let stream = vault.open_put(&name("b", "locks/2"), purpose).unwrap();
    let version = vault.commit(stream).unwrap().version.unwrap();
    assert_eq!(
        retention(&mut vault, name("b", "locks/2"), version),
        Some(wish)
    );
    done(&mut vault, rule("locks/", None)).unwrap();
    assert_eq!(days_of(&mut vault, "locks/3"), 30);
    let Answer::Bucket(info) = vault
        .ask(Command::HeadBucket {
            name: "b".to_owned(),
        })
        .unwrap()
    else {
        panic!("no bucket")
    };
    let left = PrefixRule {
        prefix: b"locks/keep/".to_vec(),
        days: 60,
    };
    assert_eq!(*info.rules, [left]);
}

#[test]
fn a_bucket_made_with_rules_keeps_keys_by_them_from_the_first_version_on() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let made_with = |days: u32| Command::CreateBucketIn {
        name: "b".to_owned(),
        default: (Mode::Compliance, stele_store::policy::Period::Days(30)),
        rules: vec![PrefixRule {
            prefix: b"locks/".to_vec(),
            days,
        }],
    };
    assert_eq!(done(&mut vault, made_with(0)), denied(Policy::RuleInvalid));
    become_client(&mut vault, client("a"));
    assert_eq!(done(&mut vault, made_with(1)), denied(Policy::OnlyVault));
    vault.asker = None;
    done(&mut vault, made_with(1)).unwrap();
    for restart in [false, true] {
        if restart {
            vault.stop();
            vault = rig.start();
        }
        for (key, days) in [("locks/1", 1), ("data/1", 30)] {
            assert_eq!(days_of(&mut vault, key), days, "{key}");
        }
    }
    assert_eq!(done(&mut vault, made_with(1)), Err(Refusal::BucketExists));
}

#[test]
fn a_bucket_without_a_default_takes_no_rule_and_one_that_is_not_there_neither() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    assert_eq!(
        done(&mut vault, rule("x", Some(1))),
        Err(Refusal::NoSuchBucket)
    );
    let make = Command::CreateBucket {
        name: "b".to_owned(),
        lock: true,
    };
    done(&mut vault, make).unwrap();
    assert_eq!(
        done(&mut vault, rule("x", Some(1))),
        denied(Policy::RuleNeedsDefault)
    );
}

#[test]
fn status_says_from_when_on_something_may_go() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    assert_eq!(vault.engine.status().next_expiry, None);
    let mut first = None;
    for key in ["k", "l"] {
        let version = put(&mut vault, &name("b", key), 1).unwrap();
        let until = retention(&mut vault, name("b", key), version)
            .unwrap()
            .until;
        first = first.or(Some(until));
        assert_eq!(vault.engine.status().next_expiry, first);
    }
    drop(vault);
    rig.crash();
    let vault = rig.start();
    assert_eq!(vault.engine.status().next_expiry, first);
}
