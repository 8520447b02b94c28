//! How much an owner may store, and how fast a key may write.

use std::sync::Arc;

use stele_format::units::VersionId;
use stele_store::limits::{
    BUCKET_OF_CLIENT_COUNT_MAX, FEW_DIVISOR, REQUEST_COUNT_MAX, REQUEST_OF_OWNER_COUNT_MAX,
    STREAM_COUNT_MAX, STREAM_OF_OWNER_COUNT_MAX,
};
use stele_store::policy::{Client, OwnerId, Rate, Refusal as Policy, Usage};
use stele_store::request::{Answer, Command, Conditions, NamedPart, Refusal, RequestId};

use crate::support::steps::{assert_at_rest, commit, object, put_data};
use crate::support::{Rig, Running, content, name, put_whole};
use crate::{
    become_client, client, denied, done, list, make, owner, put, put_part, quota, scoped, upload,
};

#[test]
fn content_that_is_all_at_hand_is_held_against_the_quota() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let bounded = Client {
        quotas: quota("a", Some(10_000), None),
        ..client("a")
    };
    become_client(&mut vault, bounded);
    done(&mut vault, make("b")).unwrap();
    let put = |key, bytes| put_whole(&name("b", key), object(), &content(1, bytes), anyhow());
    assert_eq!(
        done(&mut vault, put("k", 10_001)),
        denied(Policy::QuotaBytes { max: 10_000 })
    );
    assert_at_rest(&mut vault);
    vault.ask(put("k", 10_000)).unwrap();
    assert_eq!(
        done(&mut vault, put("l", 1)),
        denied(Policy::QuotaBytes { max: 10_000 })
    );
    assert_at_rest(&mut vault);
}

fn capacity(vault: &mut Running) -> (u64, u64) {
    match vault.ask(Command::Capacity).unwrap() {
        Answer::Capacity {
            total_bytes,
            free_bytes,
        } => (total_bytes, free_bytes),
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn whose_owner_has_a_quota_is_told_what_it_may_store_and_not_what_others_do() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let bounded = |bytes_max, versions_max| Client {
        quotas: quota("a", bytes_max, versions_max),
        ..client("a")
    };
    let most = 1_000_000;
    become_client(&mut vault, bounded(Some(most), None));
    done(&mut vault, make("a1")).unwrap();
    assert_eq!(capacity(&mut vault), (most, most));
    put(&mut vault, &name("a1", "k"), 300_000).unwrap();
    assert_eq!(capacity(&mut vault), (most, 700_000));
    become_client(&mut vault, client("b"));
    done(&mut vault, make("b1")).unwrap();
    let before = capacity(&mut vault);
    for number in 0..40 {
        put(&mut vault, &name("b1", &format!("k{number}")), 2_000_000).unwrap();
    }
    let pool = capacity(&mut vault);
    assert!(
        pool.0 == before.0 && pool.1 < before.1,
        "{before:?} {pool:?}"
    );
    become_client(&mut vault, bounded(Some(most), None));
    assert_eq!(capacity(&mut vault), (most, 700_000));
    // Less than the quota fits, or none is of bytes.
    become_client(&mut vault, bounded(Some(u64::MAX), None));
    assert_eq!(capacity(&mut vault), (300_000 + pool.1, pool.1));
    become_client(&mut vault, bounded(None, Some(9)));
    assert_eq!(capacity(&mut vault), pool);
    vault.stop();
}

fn anyhow() -> Conditions {
    Conditions::default()
}

#[test]
fn bytes_are_refused_before_they_are_taken_or_while_they_come() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let bounded = || Client {
        quotas: quota("a", Some(1_000_000), None),
        ..client("a")
    };
    become_client(&mut vault, bounded());
    done(&mut vault, make("b")).unwrap();
    let full: Result<(), Refusal> = denied(Policy::QuotaBytes { max: 1_000_000 });
    let open = |bytes| Command::OpenPut {
        name: name("b", "k"),
        purpose: object(),
        content_bytes: Some(bytes),
    };
    assert_eq!(done(&mut vault, open(1_000_001)), full);
    // What open uploads declared is promised: together they do not pass the quota either.
    let Answer::Stream(first) = vault.ask(open(600_000)).unwrap() else {
        panic!("no stream")
    };
    assert_eq!(done(&mut vault, open(400_001)), full);
    let Answer::Stream(second) = vault.ask(open(400_000)).unwrap() else {
        panic!("no stream")
    };
    done(&mut vault, Command::AbortPut { stream: first }).unwrap();
    vault.feed(second, &content(1, 400_000)).unwrap();
    vault.commit(second).unwrap();
    // Without a declared length it is refused in the middle, and its client hears why to the end.
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.feed(stream, &content(1, 1_044_480 / 2)).unwrap();
    done(&mut vault, Command::AbortPut { stream }).unwrap();
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    assert_eq!(vault.feed(stream, &content(1, 700_000)), full);
    assert_eq!(done(&mut vault, put_data(stream, 1, 10)), full);
    assert_eq!(done(&mut vault, commit(stream)), full);
    // The quota was lowered after the bytes came.
    let stream = vault.open_put(&name("b", "k"), object()).unwrap();
    vault.feed(stream, &content(1, 600_000)).unwrap();
    become_client(
        &mut vault,
        Client {
            quotas: quota("a", Some(999_999), None),
            ..client("a")
        },
    );
    assert_eq!(
        done(&mut vault, commit(stream)),
        denied(Policy::QuotaBytes { max: 999_999 })
    );
    become_client(&mut vault, bounded());
    put(&mut vault, &name("b", "k"), 600_000).unwrap();
    assert_eq!(put(&mut vault, &name("b", "k"), 1).map(drop), full);
    // No bytes, no refusal.
    put(&mut vault, &name("b", "k"), 0).unwrap();
    vault.asker = None;
    assert_at_rest(&mut vault);
}

#[test]
fn versions_are_counted_whoever_writes_them_and_for_the_owner_of_the_bucket() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let quotas = quota("a", None, Some(3));
    let of = |client: Client| Client {
        quotas: Arc::clone(&quotas),
        ..client
    };
    become_client(&mut vault, of(client("a")));
    done(&mut vault, make("b")).unwrap();
    let first = put(&mut vault, &name("b", "k"), 10).unwrap();
    become_client(&mut vault, of(scoped("c", &["b"])));
    put(&mut vault, &name("b", "k"), 10).unwrap();
    let marker = || Command::Delete {
        name: name("b", "k"),
        version: None,
        bypass: false,
    };
    // Several at once: one is left.
    let ids: Vec<_> = (0..3).map(|_| vault.send(marker())).collect();
    for _ in 0..1_000 {
        vault.turn();
    }
    let answers = ids.iter().map(|id| vault.replies.remove(id).unwrap());
    let taken = answers.filter(Result::is_ok).count();
    assert_eq!(taken, 1);
    let full = denied(Policy::QuotaVersions { max: 3 });
    assert_eq!(done(&mut vault, marker()), full);
    assert_eq!(put(&mut vault, &name("b", "k2"), 10).map(drop), full);
    let upload = upload(&mut vault, &name("b", "m"));
    let etag = put_part(&mut vault, &name("b", "m"), upload, 1, 100).unwrap();
    let complete = Command::CompleteUpload {
        name: name("b", "m"),
        upload,
        parts: vec![NamedPart {
            number: 1,
            etag,
            checksums: Vec::new(),
        }],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    assert_eq!(done(&mut vault, complete), full);
    // Reading, locking and holding go on.
    assert_eq!(
        vault.get(&name("b", "k"), Some(first), None),
        Ok(content(1, 10))
    );
    let hold = Command::SetHold {
        name: name("b", "k"),
        version: Some(first),
        on: true,
    };
    assert_eq!(done(&mut vault, hold), Ok(()));
    let usage = &vault.engine.status().usage[&owner("a")];
    assert_eq!(
        *usage,
        Usage {
            bytes: 120,
            versions: 3
        }
    );
}

/// DELETE of a key, or of one version; of a marker the id.
fn delete(
    vault: &mut Running,
    key: &str,
    version: Option<VersionId>,
) -> Result<Option<VersionId>, Refusal> {
    let command = Command::Delete {
        name: name("b", key),
        version,
        bypass: false,
    };
    vault.ask(command).map(|answer| match answer {
        Answer::Deleted { version, .. } => version,
        other => panic!("unexpected {other:?}"),
    })
}

#[test]
fn where_no_version_is_left_each_object_can_still_be_hidden_once() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let bounded = |versions| Client {
        quotas: quota("a", None, Some(versions)),
        ..client("a")
    };
    become_client(&mut vault, bounded(3));
    done(&mut vault, make("b")).unwrap();
    for key in ["k1", "k2", "k2"] {
        put(&mut vault, &name("b", key), 10).unwrap();
    }
    let full = Refusal::Policy(Policy::QuotaVersions { max: 3 });
    // What was lowered below what is stored hides as well.
    become_client(&mut vault, bounded(1));
    let marker = delete(&mut vault, "k1", None).unwrap();
    become_client(&mut vault, bounded(3));
    // A marker over a marker, or over nothing, hides nothing.
    assert_eq!(delete(&mut vault, "k1", None), Err(full.clone()));
    assert_eq!(delete(&mut vault, "nothing", None), Err(full.clone()));
    // Hiding and showing again would go on for ever.
    delete(&mut vault, "k1", marker).unwrap();
    assert_eq!(delete(&mut vault, "k1", None), Err(full.clone()));
    // Of several at once one hides, of two versions only the newest is covered.
    let hide = || Command::Delete {
        name: name("b", "k2"),
        version: None,
        bypass: false,
    };
    let ids: Vec<_> = (0..3).map(|_| vault.send(hide())).collect();
    for _ in 0..1_000 {
        vault.turn();
    }
    let answers = ids.iter().map(|id| vault.replies.remove(id).unwrap());
    assert_eq!(answers.filter(Result::is_ok).count(), 1);
    // Markers count as before: what is stored comes in again when they fit.
    assert_eq!(vault.engine.status().usage[&owner("a")].versions, 5);
    become_client(&mut vault, bounded(5));
    let refused = put(&mut vault, &name("b", "k1"), 10).map(drop);
    assert_eq!(refused, denied(Policy::QuotaVersions { max: 5 }));
    become_client(&mut vault, bounded(6));
    put(&mut vault, &name("b", "k1"), 10).unwrap();
    delete(&mut vault, "k1", None).unwrap();
    vault.asker = None;
    assert_at_rest(&mut vault);
}

#[test]
fn a_key_writes_no_faster_than_its_rate() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    become_client(
        &mut vault,
        Client {
            rate: Rate {
                writes_per_minute: Some(2),
                bytes_per_second: None,
            },
            ..client("a")
        },
    );
    put(&mut vault, &name("b", "k"), 10).unwrap();
    let marker = Command::Delete {
        name: name("b", "k"),
        version: None,
        bypass: false,
    };
    done(&mut vault, marker).unwrap();
    let too_fast = denied(Policy::TooFast);
    assert_eq!(put(&mut vault, &name("b", "k"), 10).map(drop), too_fast);
    done(&mut vault, Command::List(list("b", ""))).unwrap();
    vault.sleep(30_000);
    put(&mut vault, &name("b", "k"), 10).unwrap();
    assert_eq!(put(&mut vault, &name("b", "k"), 10).map(drop), too_fast);
    // Tags are as much of the log as any other record.
    let tags = || Command::SetTags {
        name: name("b", "k"),
        version: None,
        tags: Vec::new(),
    };
    assert_eq!(done(&mut vault, tags()), too_fast);
    vault.sleep(30_000);
    done(&mut vault, tags()).unwrap();
    assert_eq!(done(&mut vault, tags()), too_fast);
}

#[test]
fn one_owner_has_a_quarter_of_all_streams_and_others_go_on() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("a")).unwrap();
    for _ in 0..STREAM_OF_OWNER_COUNT_MAX {
        vault.open_put(&name("a", "k"), object()).unwrap();
    }
    let second = Client {
        key_id: "SECOND".to_owned(),
        ..client("a")
    };
    for asker in [client("a"), second] {
        become_client(&mut vault, asker);
        let refused = vault.open_put(&name("a", "k"), object());
        assert_eq!(refused.map(drop), Err(Refusal::Busy));
    }
    become_client(&mut vault, client("b"));
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "k"), 10).unwrap();
}

#[test]
fn however_many_owners_have_all_streams_they_can_get_those_with_few_have_some() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    let mut opened = |owner: &str| {
        become_client(&mut vault, client(owner));
        done(&mut vault, make(owner)).unwrap();
        let opens = || vault.open_put(&name(owner, "k"), object()).is_ok();
        std::iter::repeat_with(opens).take_while(|one| *one).count()
    };
    let few = STREAM_COUNT_MAX / FEW_DIVISOR;
    for owner in ["a", "b", "c"] {
        assert_eq!(opened(owner), STREAM_OF_OWNER_COUNT_MAX);
    }
    for owner in ["d", "e", "f", "g", "h", "i", "j", "k"] {
        assert_eq!(opened(owner), few, "{owner}");
    }
    assert_eq!(opened("l"), 0, "there are no more");
}

#[test]
fn the_owner_of_the_vault_leaves_others_as_many_streams_as_one_has() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    let own = || Client {
        owner: OwnerId::default(),
        ..client("a")
    };
    become_client(&mut vault, own());
    done(&mut vault, make("a")).unwrap();
    for _ in 0..STREAM_COUNT_MAX / 2 {
        vault.open_put(&name("a", "k"), object()).unwrap();
    }
    let refused = vault.open_put(&name("a", "k"), object());
    assert_eq!(refused.map(drop), Err(Refusal::Busy));
}

/// Asks for what is not in memory while the index is busy: it is under way until that answers.
fn ask_for_rows(vault: &mut Running, bucket: &str, times: usize) -> Vec<RequestId> {
    let head = || Command::Head {
        name: name(bucket, "k"),
        version: None,
    };
    (0..times).map(|_| vault.send(head())).collect()
}

#[test]
fn one_owner_has_a_quarter_of_all_requests_and_others_go_on() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    for of in ["b", "a"] {
        become_client(&mut vault, client(of));
        done(&mut vault, make(of)).unwrap();
    }
    let stream = vault.open_put(&name("a", "k"), object()).unwrap();
    vault.index_busy = Some(Vec::new());
    let mut waiting = ask_for_rows(&mut vault, "a", REQUEST_OF_OWNER_COUNT_MAX);
    assert!(vault.replies.is_empty());
    let second = Client {
        key_id: "SECOND".to_owned(),
        ..client("a")
    };
    for asker in [client("a"), second] {
        become_client(&mut vault, asker);
        assert_eq!(done(&mut vault, Command::ListBuckets), Err(Refusal::Busy));
    }
    become_client(&mut vault, client("a"));
    // What it has begun it may end.
    let ending = vault.send(commit(stream));
    become_client(&mut vault, client("b"));
    done(&mut vault, Command::ListBuckets).unwrap();
    waiting.extend(ask_for_rows(&mut vault, "b", 1));
    let asked = vault.asked_of_index();
    vault.answer_index(asked);
    for id in waiting {
        let reply = vault.replies.remove(&id);
        assert!(matches!(reply, Some(Err(Refusal::NoSuchKey { .. }))));
    }
    while !vault.replies.contains_key(&ending) {
        vault.turn();
    }
    assert!(matches!(vault.replies.remove(&ending), Some(Ok(_))));
}

#[test]
fn the_owner_of_the_vault_leaves_others_as_many_requests_as_one_has() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    let own = Client {
        owner: OwnerId::default(),
        ..client("a")
    };
    become_client(&mut vault, client("b"));
    done(&mut vault, make("b")).unwrap();
    become_client(&mut vault, own.clone());
    done(&mut vault, make("a")).unwrap();
    vault.index_busy = Some(Vec::new());
    ask_for_rows(&mut vault, "a", REQUEST_COUNT_MAX / 2);
    assert_eq!(done(&mut vault, Command::ListBuckets), Err(Refusal::Busy));
    become_client(&mut vault, client("b"));
    ask_for_rows(&mut vault, "b", REQUEST_OF_OWNER_COUNT_MAX - 1);
    assert!(vault.replies.is_empty(), "all of its share is free");
    done(&mut vault, Command::ListBuckets).unwrap();
    ask_for_rows(&mut vault, "b", 1);
    assert_eq!(done(&mut vault, Command::ListBuckets), Err(Refusal::Busy));
    vault.asker = None;
    ask_for_rows(&mut vault, "b", REQUEST_COUNT_MAX / 4);
    assert_eq!(done(&mut vault, Command::ListBuckets), Err(Refusal::Busy));
}

#[test]
fn one_owner_has_so_many_buckets_and_deleted_ones_are_none_of_them() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    for number in 0..BUCKET_OF_CLIENT_COUNT_MAX {
        done(&mut vault, make(&format!("a{number}"))).unwrap();
    }
    let too_many = Err(Refusal::TooManyBuckets {
        buckets_max: BUCKET_OF_CLIENT_COUNT_MAX,
    });
    assert_eq!(done(&mut vault, make("more")), too_many);
    let delete = Command::DeleteBucket {
        name: "a7".to_owned(),
    };
    done(&mut vault, delete).unwrap();
    done(&mut vault, make("more")).unwrap();
    assert_eq!(done(&mut vault, make("again")), too_many);
    become_client(&mut vault, client("b"));
    done(&mut vault, make("b")).unwrap();
}

/// Attack 23: a client fills the pool and then goes on with markers.
#[test]
fn no_client_takes_the_last_of_the_reserve() {
    let mut rig = Rig::create(1);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    put(&mut vault, &name("b", "first"), 10).unwrap();
    let full =
        (0..200).find_map(|at| put(&mut vault, &name("b", &format!("k{at}")), 2_000_000).err());
    assert_eq!(full, Some(Refusal::Full));
    assert!(vault.engine.status().full);
    let long = "x".repeat(1_000);
    let refused = (0..20_000).find_map(|at| {
        let name = name("b", &format!("{long}{at}"));
        let hold = Command::Delete {
            name,
            version: None,
            bypass: false,
        };
        done(&mut vault, hold).err()
    });
    assert_eq!(refused, Some(Refusal::Full));
    // The vault itself can still say who may do what, and everything can be read.
    vault.asker = None;
    for at in 0..20 {
        let value = vec![at; 10_000];
        done(
            &mut vault,
            Command::PutConfig {
                name: "clients".to_owned(),
                value,
            },
        )
        .unwrap();
    }
    assert_eq!(
        vault.get(&name("b", "first"), None, None),
        Ok(content(1, 10))
    );
    vault.stop();
    let mut vault = rig.start();
    assert_eq!(vault.engine.status().read_only, None);
    assert_eq!(
        vault.get(&name("b", "first"), None, None),
        Ok(content(1, 10))
    );
}
