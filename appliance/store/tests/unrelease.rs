//! Releases that the vault takes back: what clients see again, and what stays gone.

mod support;

use stele_format::record::Body;
use stele_format::units::VersionId;
use stele_store::policy::{BucketKind, Mode};
use stele_store::request::{
    Answer, Command, ListWish, LockWish, ObjectName, Refusal, ReleasedVersion,
};
use support::locks::{
    DAY, check_content, delete, head, hold, is_locked, lock, lose_index, put, retain, until, vault,
};
use support::{Rig, Running, content, name};

fn undo(vault: &mut Running, name: &ObjectName, version: VersionId) -> Result<(), Refusal> {
    let name = name.clone();
    let command = Command::Unrelease { name, version };
    vault.ask(command).map(|_done| ())
}

/// Versions of bucket `b` that S3 shows, with whether each is the current one.
fn shown(vault: &mut Running) -> Vec<(VersionId, bool)> {
    let wish = ListWish {
        bucket: "b".to_owned(),
        entries_max: 100,
        ..ListWish::default()
    };
    match vault.ask(Command::ListVersions(wish)) {
        Ok(Answer::VersionListing(page)) => {
            let rows = page.rows.iter();
            rows.map(|row| (row.version, row.current)).collect()
        }
        other => panic!("unexpected {other:?}"),
    }
}

/// What is released of a bucket, page by page.
fn released(vault: &mut Running, prefix: &str) -> Vec<ReleasedVersion> {
    let mut wish = ListWish {
        bucket: "b".to_owned(),
        prefix: prefix.as_bytes().to_vec(),
        entries_max: 1,
        ..ListWish::default()
    };
    let mut rows = Vec::new();
    loop {
        let Ok(Answer::ReleasedListing(page)) = vault.ask(Command::ListReleased(wish.clone()))
        else {
            panic!("no listing")
        };
        rows.extend(page.rows);
        match page.next {
            None => return rows,
            Some((key, version)) => {
                wish.after = Some(key);
                wish.after_version = version;
            }
        }
    }
}

fn ids(rows: &[ReleasedVersion]) -> Vec<VersionId> {
    rows.iter().map(|row| row.version).collect()
}

/// A vault whose bucket `b` is a plain one.
fn plain() -> (Rig, Running) {
    let mut rig = Rig::create(3);
    rig.options.new_bucket.kind = BucketKind::Plain;
    rig.options.new_bucket.default = None;
    let mut vault = rig.start();
    vault.bucket("b", false);
    (rig, vault)
}

/// Crashes, and has the index made out of the journal.
fn rebuilt(rig: &mut Rig, vault: Running) -> Running {
    drop(vault);
    rig.crash();
    lose_index(rig);
    rig.start()
}

#[test]
fn an_undone_release_leaves_everything_as_it_was_over_a_crash_and_a_new_index() {
    let (mut rig, mut vault) = vault();
    let object = name("b", "k");
    let old = put(&mut vault, &object, LockWish::default(), 1);
    let new = put(&mut vault, &object, LockWish::default(), 2);
    let before = shown(&mut vault);
    assert_eq!(before, [(new, true), (old, false)]);
    for version in [new, old] {
        delete(&mut vault, &object, Some(version), false).expect("released");
    }
    assert_eq!(shown(&mut vault), []);
    assert_eq!(ids(&released(&mut vault, "")), [new, old]);
    vault = rebuilt(&mut rig, vault);
    undo(&mut vault, &object, old).expect("undone");
    assert_eq!(shown(&mut vault), [(old, true)]);
    assert_eq!(ids(&released(&mut vault, "k")), [new]);
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    undo(&mut vault, &object, new).expect("undone");
    for _ in 0..2 {
        assert_eq!(shown(&mut vault), before);
        assert_eq!(ids(&released(&mut vault, "")), []);
        check_content(&mut vault, &object, old, 1);
        assert_eq!(head(&mut vault, &object, None).expect("there").version, new);
        vault = rebuilt(&mut rig, vault);
    }
    let again = undo(&mut vault, &object, new);
    assert_eq!(again, Err(Refusal::NotReleased));
    delete(&mut vault, &object, Some(new), false).expect("released");
    assert_eq!(shown(&mut vault), [(old, true)]);
}

#[test]
fn what_was_hidden_by_a_marker_comes_back_hidden_and_a_marker_hides_again() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let version = put(&mut vault, &object, LockWish::default(), 1);
    let marker = delete(&mut vault, &object, None, false).expect("hidden");
    let marker = marker.expect("a marker");
    delete(&mut vault, &object, Some(version), false).expect("released");
    undo(&mut vault, &object, version).expect("undone");
    assert_eq!(shown(&mut vault), [(marker, true), (version, false)]);
    let hidden = head(&mut vault, &object, None);
    assert_eq!(
        hidden.expect_err("hidden"),
        Refusal::NoSuchKey {
            marker: Some(marker)
        }
    );
    delete(&mut vault, &object, Some(marker), false).expect("removed");
    assert_eq!(shown(&mut vault), [(version, true)]);
    let rows = released(&mut vault, "");
    assert_eq!((ids(&rows), rows[0].marker), (vec![marker], true));
    undo(&mut vault, &object, marker).expect("undone");
    assert_eq!(shown(&mut vault), [(marker, true), (version, false)]);
}

#[test]
fn locks_and_usage_are_what_they_were() {
    let (_rig, mut vault) = vault();
    let object = name("b", "k");
    let short = until(Mode::Compliance, 1);
    let version = put(&mut vault, &object, lock(Some(short), None), 1);
    vault.sleep(DAY);
    let counted = |vault: &mut Running| match vault.ask(Command::Census { after: None }) {
        Ok(Answer::Census(page)) => (page.rows.len(), page.rows[0].released),
        other => panic!("unexpected {other:?}"),
    };
    delete(&mut vault, &object, Some(version), false).expect("released");
    assert_eq!(counted(&mut vault), (1, true));
    let row = released(&mut vault, "").remove(0);
    assert_eq!((row.retention, row.hold), (Some(short), false));
    assert!(row.released > row.modified, "{:?}", row.released);
    undo(&mut vault, &object, version).expect("undone");
    let info = head(&mut vault, &object, Some(version)).expect("there");
    assert_eq!((info.retention, info.hold), (Some(short), None));
    assert_eq!(counted(&mut vault), (1, false));
    let longer = until(Mode::Compliance, 72);
    retain(&mut vault, &object, Some(version), Some(longer), false).expect("locked");
    hold(&mut vault, &object, Some(version), true).expect("held");
    assert!(is_locked(delete(&mut vault, &object, Some(version), false)));
}

#[test]
fn a_plain_bucket_gets_a_version_back_only_where_its_key_shows_none() {
    let (mut rig, mut vault) = plain();
    let object = name("b", "k");
    let old = vault
        .put(&object, &content(1, 300))
        .version
        .expect("stored");
    let new = vault
        .put(&object, &content(2, 300))
        .version
        .expect("stored");
    assert_eq!(ids(&released(&mut vault, "")), [old]);
    assert_eq!(undo(&mut vault, &object, old), Err(Refusal::KeyTaken));
    delete(&mut vault, &object, None, false).expect("released");
    undo(&mut vault, &object, old).expect("undone");
    assert_eq!(undo(&mut vault, &object, new), Err(Refusal::KeyTaken));
    for _ in 0..2 {
        assert_eq!(shown(&mut vault), [(old, true)]);
        check_content(&mut vault, &object, old, 1);
        vault = rebuilt(&mut rig, vault);
    }
    let newest = vault
        .put(&object, &content(3, 300))
        .version
        .expect("stored");
    assert_eq!(shown(&mut vault), [(newest, true)]);
    assert_eq!(ids(&released(&mut vault, "")), [new, old]);
}

#[test]
fn what_is_not_there_or_not_released_is_refused_and_nothing_is_written() {
    let (rig, mut vault) = vault();
    let object = name("b", "k");
    let version = put(&mut vault, &object, LockWish::default(), 1);
    let other = put(&mut vault, &name("b", "other"), LockWish::default(), 2);
    let cases = [
        (object.clone(), version, Refusal::NotReleased),
        (object.clone(), other, Refusal::NoSuchVersion),
        (name("b", "none"), version, Refusal::NoSuchVersion),
        (name("none", "k"), version, Refusal::NoSuchBucket),
    ];
    for (object, version, why) in cases {
        assert_eq!(undo(&mut vault, &object, version), Err(why));
    }
    for (object, version) in [(&object, version), (&name("b", "other"), other)] {
        delete(&mut vault, object, Some(version), false).expect("released");
    }
    let bucket = "b".to_owned();
    vault
        .ask(Command::DeleteBucket { name: bucket })
        .expect("empty");
    assert_eq!(
        undo(&mut vault, &object, version),
        Err(Refusal::NoSuchBucket)
    );
    vault.bucket("b", true);
    assert_eq!(
        undo(&mut vault, &object, version),
        Err(Refusal::NoSuchVersion)
    );
    vault.stop();
    let records = rig.records();
    assert!(!records.iter().any(|body| matches!(body, Body::Unrelease)));
}
