//! Uploads that nobody finishes: by which rules the vault gives them up, and who may ask.

use stele_format::units::UploadId;
use stele_store::policy::{Asker, FilterForm, LifecycleRule, Refusal as Policy};
use stele_store::request::{Answer, Command, ObjectName, Refusal};

use crate::support::{Rig, Running, name};
use crate::{become_client, client, denied, done, make, upload};

const DAY_MS: u64 = 86_400_000;

fn rule(id: &str, prefix: &str, days: u32) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        form: FilterForm::Prefix,
        prefix: prefix.as_bytes().to_vec(),
        bytes_min: 0,
        bytes_below: 0,
        disabled: false,
        upload_days: Some(days),
        current: None,
        noncurrent: None,
    }
}

fn set(vault: &mut Running, rules: Vec<LifecycleRule>) -> Result<(), Refusal> {
    let bucket = "b".to_owned();
    done(vault, Command::SetLifecycle { bucket, rules })
}

/// The keys of all that are to be given up, asked for page by page.
fn old(vault: &mut Running) -> Vec<(ObjectName, UploadId)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        match vault.ask(Command::ListOldUploads { after }).unwrap() {
            Answer::OldUploads { uploads, next } => {
                all.extend(uploads);
                after = next;
            }
            other => panic!("unexpected {other:?}"),
        }
        if after.is_none() {
            all.sort();
            return all;
        }
    }
}

#[test]
fn uploads_are_old_by_the_rules_of_their_bucket_in_compliance_time_also_after_a_restart() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let (wal, full) = (name("b", "wal/1"), name("b", "full/1"));
    let begun = (upload(&mut vault, &wal), upload(&mut vault, &full));
    set(&mut vault, vec![rule("1", "wal/", 2)]).unwrap();
    assert_eq!(old(&mut vault), []);
    // The wall clock alone makes nothing old.
    vault.jump(90 * DAY_MS);
    assert_eq!(old(&mut vault), []);
    vault.pause(2 * DAY_MS);
    assert_eq!(old(&mut vault), [(wal.clone(), begun.0)]);
    // What the time is by then stands in the log.
    done(&mut vault, make("c")).unwrap();
    vault.stop();
    let mut vault = rig.start();
    match vault.ask(Command::HeadBucket { name: "b".into() }).unwrap() {
        Answer::Bucket(info) => assert_eq!(*info.lifecycle, [rule("1", "wal/", 2)]),
        other => panic!("unexpected {other:?}"),
    }
    assert_eq!(old(&mut vault), [(wal.clone(), begun.0)]);
    let (name, upload) = old(&mut vault).remove(0);
    done(&mut vault, Command::AbortUpload { name, upload }).unwrap();
    assert_eq!(old(&mut vault), []);
    vault.pause(5 * DAY_MS);
    assert_eq!(old(&mut vault), [(full, begun.1)]);
}

#[test]
fn only_who_may_change_a_bucket_sets_its_rules_and_only_the_vault_asks_what_is_old() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    become_client(&mut vault, client("a"));
    done(&mut vault, make("b")).unwrap();
    set(&mut vault, vec![rule("1", "", 1)]).unwrap();
    let invalid = denied(Policy::LifecycleRuleInvalid);
    assert_eq!(set(&mut vault, vec![rule("", "", 1)]), invalid);
    let ask = Command::ListOldUploads { after: None };
    assert_eq!(done(&mut vault, ask), denied(Policy::OnlyVault));
    become_client(&mut vault, client("z"));
    let foreign = denied(Policy::ForeignBucket);
    assert_eq!(set(&mut vault, Vec::new()), foreign);
    vault.asker = Some(Asker::Vault(stele_store::policy::Rights::default()));
    match vault.ask(Command::HeadBucket { name: "b".into() }).unwrap() {
        Answer::Bucket(info) => assert_eq!(*info.lifecycle, [rule("1", "", 1)]),
        other => panic!("unexpected {other:?}"),
    }
}

/// What is gone in memory and still in the index file hides no upload behind it.
#[test]
fn a_bucket_with_an_open_upload_stays_also_when_the_ones_before_it_were_aborted() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    done(&mut vault, make("b")).unwrap();
    let names = ["1", "2", "3"].map(|key| name("b", key));
    let uploads: Vec<UploadId> = names.iter().map(|name| upload(&mut vault, name)).collect();
    vault.stop();
    let mut vault = rig.start();
    let drop_bucket = || Command::DeleteBucket {
        name: "b".to_owned(),
    };
    for (name, upload) in names.into_iter().zip(uploads) {
        let refused = done(&mut vault, drop_bucket());
        assert_eq!(refused, Err(Refusal::BucketNotEmpty), "{upload}");
        done(&mut vault, Command::AbortUpload { name, upload }).unwrap();
    }
    done(&mut vault, drop_bucket()).unwrap();
}
