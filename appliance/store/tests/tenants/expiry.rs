//! Versions that go by lifecycle rules: which the vault finds, what it does to them, and what it does not.

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{
    Asker, BucketKind, CurrentExpiry, FilterForm, Grant, Grants, LifecycleRule, Mode,
    NoncurrentExpiry, Period, Refusal as Policy, Retention, Rights,
};
use stele_store::request::{
    Answer, Command, Expiring, ListWish, ListedVersion, ObjectName, Refusal,
};
use stele_store::status::Alarm;

use crate::support::{Rig, Running, name};
use crate::{become_client, client, denied, done, make, put};

const DAY_MS: u64 = 86_400_000;

/// A vault whose new buckets are of a kind and give no retention by themselves.
fn of_kind(kind: BucketKind) -> Rig {
    let mut rig = Rig::create(3);
    rig.options.new_bucket.kind = kind;
    rig.options.new_bucket.default = None;
    rig
}

fn rule(
    prefix: &str,
    current: Option<CurrentExpiry>,
    noncurrent: Option<(u32, u32)>,
) -> LifecycleRule {
    LifecycleRule {
        id: format!("{prefix}{current:?}"),
        form: FilterForm::AndPrefix,
        prefix: prefix.as_bytes().to_vec(),
        bytes_min: 0,
        bytes_below: 0,
        disabled: false,
        upload_days: None,
        current,
        noncurrent: noncurrent.map(|(days, kept)| NoncurrentExpiry { days, kept }),
    }
}

fn days(prefix: &str, days: u32) -> LifecycleRule {
    rule(prefix, Some(CurrentExpiry::Days(days)), None)
}

fn set(vault: &mut Running, rules: Vec<LifecycleRule>) -> Result<(), Refusal> {
    let bucket = "b".to_owned();
    done(vault, Command::SetLifecycle { bucket, rules })
}

/// All that may go by now, asked for page by page.
fn due(vault: &mut Running) -> Vec<Expiring> {
    look(vault).0
}

/// All that may go by now, and how much more would but for its lock.
fn look(vault: &mut Running) -> (Vec<Expiring>, u64) {
    let (mut all, mut locked, mut after) = (Vec::new(), 0, None);
    loop {
        let command = Command::ListExpiring {
            bucket: "b".to_owned(),
            after,
            done: None,
        };
        match vault.ask(command).unwrap() {
            Answer::Expiring {
                due,
                locked: more,
                next,
                ..
            } => {
                all.extend(due);
                locked += more;
                after = next;
            }
            other => panic!("unexpected {other:?}"),
        }
        if after.is_none() {
            return (all, locked);
        }
    }
}

fn expire(vault: &mut Running, one: Expiring) -> Result<(), Refusal> {
    let name = ObjectName {
        bucket: "b".to_owned(),
        key: one.key,
    };
    let (version, next) = (one.version, one.next);
    done(
        vault,
        Command::Expire {
            name,
            version,
            next,
        },
    )
}

/// Has everything go that is due; how often it did, and what was refused.
fn pass(vault: &mut Running) -> (usize, Vec<Refusal>) {
    let found = due(vault);
    let count = found.len();
    let results = found.into_iter().map(|one| expire(vault, one));
    let refused: Vec<Refusal> = results.filter_map(Result::err).collect();
    (count - refused.len(), refused)
}

fn versions(vault: &mut Running) -> Vec<ListedVersion> {
    let wish = ListWish {
        bucket: "b".to_owned(),
        entries_max: 1_000,
        ..ListWish::default()
    };
    match vault.ask(Command::ListVersions(wish)).unwrap() {
        Answer::VersionListing(page) => page.rows,
        other => panic!("unexpected {other:?}"),
    }
}

/// Keys with what each of their versions is, the newest first.
fn shown(vault: &mut Running) -> Vec<String> {
    let kind = |row: &ListedVersion| if row.marker { "marker" } else { "version" };
    let rows = versions(vault);
    let key = |row: &ListedVersion| String::from_utf8_lossy(&row.key).into_owned();
    let line = |row| format!("{} {}", key(row), kind(row));
    rows.iter().map(line).collect()
}

fn clock_goes(vault: &mut Running, days: u64) {
    vault.pause(days * DAY_MS);
}

#[test]
fn a_current_version_is_hidden_after_its_days_and_comes_back_with_its_marker() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    for key in ["tmp/1", "tmp/2", "full/1"] {
        put(&mut vault, &name("b", key), 10).unwrap();
    }
    set(&mut vault, vec![days("tmp/", 2)]).unwrap();
    assert_eq!(due(&mut vault), []);
    // The wall clock alone makes nothing due.
    vault.jump(90 * DAY_MS);
    assert_eq!(due(&mut vault), []);
    // Two days and what is left of the third.
    clock_goes(&mut vault, 3);
    assert_eq!(pass(&mut vault), (2, vec![]));
    let expected = [
        "full/1 version",
        "tmp/1 marker",
        "tmp/1 version",
        "tmp/2 marker",
        "tmp/2 version",
    ];
    assert_eq!(shown(&mut vault), expected);
    // Over a marker there is no second one, also after a start.
    assert_eq!(due(&mut vault), []);
    vault.stop();
    let mut vault = rig.start();
    assert_eq!(shown(&mut vault), expected);
    assert_eq!(due(&mut vault), []);
    // A client takes the marker away: the version is current again, and due again.
    let marker = versions(&mut vault).remove(1);
    let undo = Command::Delete {
        name: name("b", "tmp/1"),
        version: Some(marker.version),
        bypass: false,
    };
    done(&mut vault, undo).unwrap();
    assert_eq!(due(&mut vault).len(), 1);
    // Without the rule nothing is.
    let one = due(&mut vault).remove(0);
    set(&mut vault, Vec::new()).unwrap();
    assert_eq!(expire(&mut vault, one), denied(Policy::NotDue));
}

#[test]
fn versions_that_are_not_current_go_but_for_the_newest_and_can_be_brought_back() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let key = name("b", "k");
    let made: Vec<VersionId> = (0..4).map(|_| put(&mut vault, &key, 10).unwrap()).collect();
    set(&mut vault, vec![rule("", None, Some((5, 1)))]).unwrap();
    clock_goes(&mut vault, 3);
    // One more, so that the fourth is the newest that is not current.
    put(&mut vault, &key, 10).unwrap();
    clock_goes(&mut vault, 3);
    let found = due(&mut vault);
    let ids: Vec<VersionId> = found.iter().map(|one| one.version).collect();
    assert_eq!(ids, [made[2], made[1], made[0]]);
    assert_eq!(pass(&mut vault), (3, vec![]));
    assert_eq!(shown(&mut vault), ["k version", "k version"]);
    // Nothing is destroyed: the vault takes it back.
    let back = Command::Unrelease {
        name: key.clone(),
        version: made[1],
    };
    done(&mut vault, back).unwrap();
    let there = versions(&mut vault);
    assert!(there.iter().any(|row| row.version == made[1]));
    // What stands where it is not is refused.
    let (current, last) = (there[0].version, there[1].version);
    for (name, version, next) in [
        ("the current one", current, Some(last)),
        ("an older one as current", last, None),
        ("with an older one before it", last, Some(made[1])),
        ("a released one", made[0], Some(last)),
        (
            "with one before it that never was",
            last,
            Some(VersionId::from_bytes([0xff; 16])),
        ),
        ("one that is to stay", last, Some(current)),
    ] {
        let one = Expiring {
            key: key.key.clone(),
            version,
            next,
        };
        assert_eq!(expire(&mut vault, one), denied(Policy::NotDue), "{name}");
    }
}

/// A client deletes newer ones between the look and the act: of what is left so many stay.
#[test]
fn the_newest_stay_also_when_newer_ones_went_since() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let key = name("b", "k");
    let made: Vec<VersionId> = (0..6).map(|_| put(&mut vault, &key, 10).unwrap()).collect();
    set(&mut vault, vec![rule("", None, Some((1, 3)))]).unwrap();
    clock_goes(&mut vault, 3);
    let found = due(&mut vault);
    let ids: Vec<VersionId> = found.iter().map(|one| one.version).collect();
    assert_eq!(ids, [made[1], made[0]]);
    let roll_back = Command::Delete {
        name: key,
        version: Some(made[5]),
        bypass: false,
    };
    done(&mut vault, roll_back).unwrap();
    let [first, second] = found.try_into().unwrap();
    assert_eq!(expire(&mut vault, first), denied(Policy::NotDue));
    expire(&mut vault, second).unwrap();
}

/// Staff bring back what was behind a marker, between the look and the act.
#[test]
fn a_marker_stays_when_something_is_behind_it_again() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let key = name("b", "k");
    let version = put(&mut vault, &key, 10).unwrap();
    let delete = |version| Command::Delete {
        name: key.clone(),
        version,
        bypass: false,
    };
    done(&mut vault, delete(None)).unwrap();
    done(&mut vault, delete(Some(version))).unwrap();
    set(
        &mut vault,
        vec![rule("", Some(CurrentExpiry::LoneMarker), None)],
    )
    .unwrap();
    let [marker] = due(&mut vault).try_into().unwrap();
    let back = Command::Unrelease {
        name: key.clone(),
        version,
    };
    done(&mut vault, back).unwrap();
    assert_eq!(expire(&mut vault, marker), denied(Policy::NotDue));
    assert_eq!(shown(&mut vault), ["k marker", "k version"]);
}

#[test]
fn what_is_locked_or_held_stays_until_it_is_not() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let key = name("b", "k");
    let made: Vec<VersionId> = (0..3).map(|_| put(&mut vault, &key, 10).unwrap()).collect();
    let until = UnixMillis::new(vault.now.wall.get() + 30 * DAY_MS);
    let mode = Mode::Compliance;
    let retain = Command::SetRetention {
        name: key.clone(),
        version: Some(made[0]),
        retention: Some(Retention { mode, until }),
        bypass: false,
    };
    done(&mut vault, retain).unwrap();
    let hold = |on| Command::SetHold {
        name: key.clone(),
        version: Some(made[1]),
        on,
    };
    done(&mut vault, hold(true)).unwrap();
    set(&mut vault, vec![rule("", None, Some((1, 0)))]).unwrap();
    clock_goes(&mut vault, 2);
    let found = look(&mut vault);
    assert_eq!(found, (vec![], 2));
    for (version, next, refusal) in [
        (made[0], made[1], Policy::Locked { mode, until }),
        (made[1], made[2], Policy::Held),
    ] {
        let one = Expiring {
            key: key.key.clone(),
            version,
            next: Some(next),
        };
        assert_eq!(expire(&mut vault, one), denied(refusal));
    }
    assert_eq!(versions(&mut vault).len(), 3);
    clock_goes(&mut vault, 31);
    vault.jump(33 * DAY_MS);
    assert_eq!(look(&mut vault).1, 1);
    assert_eq!(pass(&mut vault), (1, vec![]));
    let hold_off = Rights {
        hold_off: true,
        ..Rights::default()
    };
    vault.asker = Some(Asker::Vault(hold_off));
    done(&mut vault, hold(false)).unwrap();
    assert_eq!(pass(&mut vault), (1, vec![]));
    let left = versions(&mut vault);
    assert_eq!((left.len(), left[0].version), (1, made[2]));
}

/// As by a client's DELETE: its bytes and its lock are what they were.
#[test]
fn a_locked_current_version_is_hidden_and_stays() {
    let mut rig = of_kind(BucketKind::DefaultLocked);
    rig.options.new_bucket.default = Some((Mode::Compliance, Period::Days(365)));
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "k"), 10).unwrap();
    set(&mut vault, vec![days("", 1)]).unwrap();
    clock_goes(&mut vault, 2);
    assert_eq!(pass(&mut vault), (1, vec![]));
    assert_eq!(shown(&mut vault), ["k marker", "k version"]);
    // A marker has no lock, and what it hides is there again without it.
    let marker = versions(&mut vault).remove(0).version;
    let undo = Command::Delete {
        name: name("b", "k"),
        version: Some(marker),
        bypass: false,
    };
    done(&mut vault, undo).unwrap();
    assert_eq!(shown(&mut vault), ["k version"]);
}

#[test]
fn a_bucket_that_shows_no_versions_has_the_current_one_released() {
    let mut rig = of_kind(BucketKind::Plain);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "k"), 10).unwrap();
    set(&mut vault, vec![days("", 1)]).unwrap();
    clock_goes(&mut vault, 2);
    assert_eq!(pass(&mut vault), (1, vec![]));
    assert_eq!(shown(&mut vault), [""; 0]);
    assert_eq!(due(&mut vault), []);
}

#[test]
fn only_who_may_hide_and_release_sets_what_goes_and_only_the_vault_has_it_go() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "k"), 10).unwrap();
    for grant in [Grant::Delete, Grant::Release] {
        let mut lesser = client("a");
        lesser.grants = Grants::all().iter().filter(|one| *one != grant).collect();
        become_client(&mut vault, lesser);
        let refused = denied(Policy::NotGranted(grant));
        assert_eq!(set(&mut vault, vec![days("", 1)]), refused);
        // Taking rules away needs neither.
        set(&mut vault, Vec::new()).unwrap();
    }
    become_client(&mut vault, client("a"));
    let invalid = denied(Policy::LifecycleRuleInvalid);
    assert_eq!(set(&mut vault, vec![days("", 0)]), invalid);
    set(&mut vault, vec![days("", 1)]).unwrap();
    let bucket = "b".to_owned();
    let list = Command::ListExpiring {
        bucket,
        after: None,
        done: None,
    };
    assert_eq!(done(&mut vault, list), denied(Policy::OnlyVault));
    let one = Expiring {
        key: b"k".to_vec(),
        version: versions(&mut vault)[0].version,
        next: None,
    };
    assert_eq!(expire(&mut vault, one), denied(Policy::OnlyVault));
    // That it was set is told of once for each time.
    let alarms = vault.engine.status().alarms;
    let told = alarms.iter().filter_map(|alarm| match alarm {
        Alarm::LifecycleSet { client, .. } => Some(client.as_str()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["KEYa"]);
}

/// More versions than are looked at in one question, of few keys, so that pages end within keys.
#[test]
fn a_bucket_of_several_pages_is_looked_through_whole() {
    let mut rig = of_kind(BucketKind::ClientLocked);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    const KEYS: usize = 3;
    const VERSIONS: usize = 700;
    for key in 0..KEYS {
        for _ in 0..VERSIONS {
            put(&mut vault, &name("b", &format!("k{key}")), 1).unwrap();
        }
    }
    set(&mut vault, vec![rule("", None, Some((1, 10)))]).unwrap();
    clock_goes(&mut vault, 3);
    let found = due(&mut vault);
    assert_eq!(found.len(), KEYS * (VERSIONS - 1 - 10));
    let mut of_one = found.iter().filter(|one| one.key == b"k1");
    let ids: Vec<VersionId> = of_one.clone().map(|one| one.version).collect();
    assert!(ids.is_sorted_by(|one, next| one > next));
    assert!(of_one.all(|one| one.next > Some(one.version)));
    // On the day that was looked through nothing is looked for.
    let bucket = "b".to_owned();
    let Ok(Answer::Expiring { day, .. }) = vault.ask(Command::ListExpiring {
        bucket: bucket.clone(),
        after: None,
        done: Some(0),
    }) else {
        panic!("no answer")
    };
    let again = Command::ListExpiring {
        bucket,
        after: None,
        done: Some(day),
    };
    match vault.ask(again).unwrap() {
        Answer::Expiring { due, next, .. } => assert_eq!((due, next), (vec![], None)),
        other => panic!("unexpected {other:?}"),
    }
}
