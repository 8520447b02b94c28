//! Who may do what, where.

use stele_format::units::{UnixMillis, UploadId, VersionId};
use stele_store::policy::{Asker, Client, Grant, Mode, Period, Refusal as Policy, Retention};
use stele_store::request::{Answer, Command, Conditions, LockWish, Metadata, ObjectName, Refusal};

use crate::support::steps::{assert_at_rest, commit, object, put_data};
use crate::support::{Rig, content, name};
use crate::{become_client, buckets, client, denied, done, list, make, put, scoped};

/// Every question about a bucket and a key of it, with the right it takes.
fn questions(key: &ObjectName, version: VersionId) -> Vec<(&'static str, Option<Grant>, Command)> {
    let bucket = key.bucket.clone();
    let name = || key.clone();
    let until = UnixMillis::new(1_800_000_000_000);
    let retention = Retention {
        mode: Mode::Compliance,
        until,
    };
    let upload = UploadId::from(version);
    let (put, get) = (Some(Grant::Put), Some(Grant::Get));
    vec![
        (
            "head bucket",
            None,
            Command::HeadBucket {
                name: bucket.clone(),
            },
        ),
        ("list", Some(Grant::List), Command::List(list(&bucket, "k"))),
        (
            "versions",
            Some(Grant::List),
            Command::ListVersions(list(&bucket, "k")),
        ),
        (
            "uploads",
            Some(Grant::List),
            Command::ListUploads(list(&bucket, "k")),
        ),
        (
            "head",
            get,
            Command::Head {
                name: name(),
                version: None,
            },
        ),
        (
            "get",
            get,
            Command::OpenGet {
                name: name(),
                version: None,
                range: None,
            },
        ),
        (
            "put",
            put,
            Command::OpenPut {
                name: name(),
                purpose: object(),
                content_bytes: Some(1),
            },
        ),
        (
            "begin upload",
            put,
            Command::CreateUpload {
                announced: None,
                name: name(),
                metadata: Metadata::default(),
                lock: LockWish::default(),
            },
        ),
        (
            "tags",
            put,
            Command::SetTags {
                name: name(),
                version: None,
                tags: Vec::new(),
            },
        ),
        (
            "upload",
            put,
            Command::HeadUpload {
                name: name(),
                upload: UploadId::ZERO,
            },
        ),
        (
            "parts",
            put,
            Command::ListParts {
                name: name(),
                upload,
                after: 0,
                parts_max: 1,
            },
        ),
        (
            "abort upload",
            put,
            Command::AbortUpload {
                name: name(),
                upload,
            },
        ),
        (
            "complete upload",
            put,
            Command::CompleteUpload {
                name: name(),
                upload,
                parts: Vec::new(),
                checksums: Vec::new(),
                conditions: Conditions::default(),
            },
        ),
        (
            "retention",
            put,
            Command::SetRetention {
                name: name(),
                version: None,
                retention: Some(retention),
                bypass: false,
            },
        ),
        (
            "hold",
            put,
            Command::SetHold {
                name: name(),
                version: None,
                on: true,
            },
        ),
        (
            "default retention",
            put,
            Command::SetDefaultRetention {
                bucket: bucket.clone(),
                default: Some((Mode::Compliance, Period::Days(9))),
            },
        ),
        (
            "release",
            Some(Grant::Release),
            Command::Delete {
                name: name(),
                version: Some(version),
                bypass: false,
            },
        ),
        (
            "delete",
            Some(Grant::Delete),
            Command::Delete {
                name: name(),
                version: None,
                bypass: false,
            },
        ),
        (
            "remove bucket",
            Some(Grant::Delete),
            Command::DeleteBucket { name: bucket },
        ),
    ]
}

fn is_denied(answer: &Result<Answer, Refusal>) -> bool {
    matches!(
        answer,
        Err(Refusal::Policy(
            Policy::NotGranted(_) | Policy::ForeignBucket | Policy::OutsidePrefix
        ))
    )
}

#[test]
fn each_right_that_is_missing_refuses_exactly_its_operations() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    let version = put(&mut vault, &name("b", "k"), 10).unwrap();
    for missing in Grant::ALL {
        let grants = Grant::ALL.into_iter().filter(|grant| *grant != missing);
        become_client(
            &mut vault,
            Client {
                grants: grants.collect(),
                ..client("a")
            },
        );
        for (what, needs, command) in questions(&name("b", "k"), version) {
            let answer = vault.ask(command);
            let expected = needs == Some(missing);
            assert_eq!(
                is_denied(&answer),
                expected,
                "{what} without {missing}: {answer:?}"
            );
        }
        let created = done(&mut vault, make("b"));
        let listed = vault.ask(Command::ListBuckets);
        assert_eq!(
            created == denied(Policy::NotGranted(Grant::Put)),
            missing == Grant::Put
        );
        assert_eq!(listed.is_err(), missing == Grant::List);
    }
}

/// A marker hides and locks nothing: whoever may hide a key may show it again.
#[test]
fn a_marker_is_removed_without_the_right_to_release() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let grants = Grant::ALL
        .into_iter()
        .filter(|grant| *grant != Grant::Release);
    become_client(
        &mut vault,
        Client {
            grants: grants.collect(),
            ..client("a")
        },
    );
    let lock = Command::CreateBucket {
        name: "b".to_owned(),
        lock: true,
    };
    done(&mut vault, lock).unwrap();
    let stored = put(&mut vault, &name("b", "k"), 10).unwrap();
    let delete = |version| Command::Delete {
        name: name("b", "k"),
        version,
        bypass: false,
    };
    let hidden = vault.ask(delete(None)).unwrap();
    let Answer::Deleted { version, .. } = hidden else {
        panic!("{hidden:?}");
    };
    assert!(vault.get(&name("b", "k"), None, None).is_err());
    let nowhere = VersionId::from_bytes([7; 16]);
    done(&mut vault, delete(Some(nowhere))).unwrap();
    done(&mut vault, delete(version)).unwrap();
    vault.get(&name("b", "k"), None, None).unwrap();
    let denied = denied(Policy::NotGranted(Grant::Release));
    assert_eq!(done(&mut vault, delete(Some(stored))), denied);
}

#[test]
fn another_tenant_gets_nothing_of_a_bucket_by_any_question() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    let version = put(&mut vault, &name("b", "k"), 10).unwrap();
    become_client(&mut vault, client("c"));
    for (what, _, command) in questions(&name("b", "k"), version) {
        let answer = vault.ask(command);
        assert_eq!(answer.map(drop), denied(Policy::ForeignBucket), "{what}");
    }
    assert_eq!(done(&mut vault, make("b")), Err(Refusal::BucketTaken));
    assert_eq!(buckets(&mut vault), [""; 0]);
    done(&mut vault, make("c")).unwrap();
    assert_eq!(done(&mut vault, make("c")), Err(Refusal::BucketExists));
    assert_eq!(buckets(&mut vault), ["c"]);
    // Nor of the vault's own: its configuration and its rules.
    let config = Command::GetConfig {
        name: "clients".to_owned(),
    };
    assert_eq!(done(&mut vault, config), denied(Policy::OnlyVault));
    let config = Command::PutConfig {
        name: "clients".to_owned(),
        value: vec![1],
    };
    assert_eq!(done(&mut vault, config), denied(Policy::OnlyVault));
    let rule = Command::SetRule {
        bucket: "c".to_owned(),
        prefix: b"x".to_vec(),
        days: Some(1),
    };
    assert_eq!(done(&mut vault, rule), denied(Policy::OnlyVault));
    let undo = Command::Unrelease {
        name: name("c", "k"),
        version: stele_format::units::VersionId::default(),
    };
    assert_eq!(done(&mut vault, undo), denied(Policy::OnlyVault));
    // The list of another client may let it in.
    become_client(&mut vault, scoped("c", &["b"]));
    assert_eq!(buckets(&mut vault), ["b"]);
    assert_eq!(vault.get(&name("b", "k"), None, None), Ok(content(1, 10)));
    assert_eq!(
        done(
            &mut vault,
            Command::DeleteBucket {
                name: "b".to_owned()
            }
        ),
        denied(Policy::ForeignBucket)
    );
    // Owners survive a restart, and a rebuild of the index too.
    vault.stop();
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    assert_eq!(buckets(&mut vault), ["b"]);
    become_client(&mut vault, client("c"));
    assert_eq!(buckets(&mut vault), ["c"]);
}

#[test]
fn prefixes_bound_keys_and_listings() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    become_client(&mut vault, scoped("a", &["b/in/"]));
    put(&mut vault, &name("b", "in/k"), 10).unwrap();
    assert_eq!(
        put(&mut vault, &name("b", "out"), 10),
        denied(Policy::OutsidePrefix)
    );
    let answer = vault.ask(Command::List(list("b", "in/")));
    assert!(
        matches!(&answer, Ok(Answer::Listing(page)) if page.rows.len() == 1),
        "{answer:?}"
    );
    let answer = done(&mut vault, Command::List(list("b", "")));
    assert_eq!(answer, denied(Policy::OutsidePrefix));
    // A version id does not lead around a prefix.
    become_client(&mut vault, client("a"));
    let version = put(&mut vault, &name("b", "out"), 10).unwrap();
    become_client(&mut vault, scoped("a", &["b/in/"]));
    let delete = Command::Delete {
        name: name("b", "out"),
        version: Some(version),
        bypass: false,
    };
    assert_eq!(done(&mut vault, delete), denied(Policy::OutsidePrefix));
}

#[test]
fn a_key_that_is_gone_ends_its_streams_and_nobody_else_uses_them() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "k"), 10).unwrap();
    let stream = vault.open_put(&name("b", "k2"), object()).unwrap();
    let get = Command::OpenGet {
        name: name("b", "k"),
        version: None,
        range: None,
    };
    let Answer::Opened { stream: got, .. } = vault.ask(get).unwrap() else {
        panic!("not opened")
    };
    // Another key, even of the same owner, knows no such stream.
    become_client(
        &mut vault,
        Client {
            key_id: "KEYx".to_owned(),
            ..client("a")
        },
    );
    for command in [
        put_data(stream, 1, 10),
        commit(stream),
        Command::NextData { stream: got },
    ] {
        assert_eq!(done(&mut vault, command), Err(Refusal::NoSuchStream));
    }
    // A key that may no longer put or get cannot go on either.
    become_client(
        &mut vault,
        Client {
            grants: [Grant::List].into_iter().collect(),
            ..client("a")
        },
    );
    let no_put = denied(Policy::NotGranted(Grant::Put));
    let no_get = denied(Policy::NotGranted(Grant::Get));
    assert_eq!(done(&mut vault, put_data(stream, 1, 10)), no_put);
    assert_eq!(done(&mut vault, commit(stream)), no_put);
    assert_eq!(done(&mut vault, Command::NextData { stream: got }), no_get);
    // A revoked one is nobody. What it has open may be closed.
    vault.asker = Some(Asker::Nobody);
    let unknown = denied(Policy::UnknownClient);
    for command in [
        put_data(stream, 1, 10),
        commit(stream),
        Command::NextData { stream: got },
        Command::ListBuckets,
        make("c"),
        Command::GetConfig {
            name: "clients".to_owned(),
        },
    ] {
        assert_eq!(done(&mut vault, command), unknown);
    }
    done(&mut vault, Command::AbortPut { stream }).unwrap();
    done(&mut vault, Command::CloseGet { stream: got }).unwrap();
    vault.asker = None;
    assert_at_rest(&mut vault);
}

/// While a question of one tenant waits for the index, its bucket goes and another tenant makes one of
/// that name.
#[test]
fn a_bucket_made_anew_by_another_tenant_is_not_read() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    vault.index_busy = Some(Vec::new());
    let waiting = vault.send(Command::List(list("b", "")));
    let asked = vault.asked_of_index();
    assert_eq!(asked.len(), 1, "it waits");
    let remove = Command::DeleteBucket {
        name: "b".to_owned(),
    };
    done(&mut vault, remove).unwrap();
    become_client(&mut vault, client("c"));
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "secret"), 10).unwrap();
    vault.answer_index(asked);
    let answer = vault.replies.remove(&waiting).unwrap();
    assert_eq!(answer.map(drop), denied(Policy::ForeignBucket));
}

/// A question that is refused holds up nobody: it never waits for the bucket.
#[test]
fn a_stranger_is_refused_before_anybody_waits_for_it() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    vault.index_busy = Some(Vec::new());
    let marker = vault.send(Command::Delete {
        name: name("b", "k"),
        version: None,
        bypass: false,
    });
    become_client(&mut vault, client("c"));
    let remove = vault.send(Command::DeleteBucket {
        name: "b".to_owned(),
    });
    let answer = vault.replies.remove(&remove).expect("at once");
    assert_eq!(answer.map(drop), denied(Policy::ForeignBucket));
    let asked = vault.asked_of_index();
    vault.answer_index(asked);
    for _ in 0..1_000 {
        vault.turn();
    }
    assert!(matches!(
        vault.replies.remove(&marker),
        Some(Ok(Answer::Deleted { .. }))
    ));
}
