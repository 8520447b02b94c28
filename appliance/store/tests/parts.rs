//! Uploads in parts: those sent again take a bounded number of keys, and an upload that was completed says so again.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_format::units::{LogIndex, UploadId, VersionId};
use stele_store::index::Scan;
use stele_store::index::message::IndexRequest;
use stele_store::index::rows::Table;
use stele_store::limits::PART_REPLACED_COUNT_MAX;
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, NamedPart, ObjectName, Purpose, Refusal,
    Stored,
};
use support::steps::{object, turns};
use support::{Rig, Running, content, name};

fn begin(vault: &mut Running, name: &ObjectName) -> UploadId {
    let create = Command::CreateUpload {
        name: name.clone(),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    };
    let Answer::Upload(upload) = vault.ask(create).unwrap() else {
        panic!("no upload")
    };
    upload
}

fn send(
    vault: &mut Running,
    name: &ObjectName,
    upload: UploadId,
    number: u16,
    content: &[u8],
) -> Result<Stored, Refusal> {
    let stream = vault.open_put(name, Purpose::Part { upload, number })?;
    vault.feed(stream, content)?;
    vault.commit(stream)
}

fn complete(name: &ObjectName, upload: UploadId, parts: &[(u16, &Stored)]) -> Command {
    let part = |(number, stored): &(u16, &Stored)| NamedPart {
        number: *number,
        etag: stored.etag.clone(),
        checksums: Vec::new(),
    };
    Command::CompleteUpload {
        name: name.clone(),
        upload,
        parts: parts.iter().map(part).collect(),
        checksums: Vec::new(),
        conditions: Conditions::default(),
    }
}

/// What a completion is told: version, ETag and number of the record.
type Told = (Option<VersionId>, String, LogIndex);

fn completed(vault: &mut Running, complete: Command) -> Result<Told, Refusal> {
    match vault.ask(complete)? {
        Answer::Stored(stored) => Ok((stored.version, stored.etag, stored.log_index)),
        other => panic!("unexpected {other:?}"),
    }
}

/// Two uploads of one part each, the first of which was completed: what completes each, and what that one was told.
fn done_and_open(vault: &mut Running) -> ([impl Fn() -> Command + use<>; 2], Told) {
    vault.bucket("b", false);
    let [done, open] = ["done", "open"].map(|key| {
        let key = name("b", key);
        let upload = begin(vault, &key);
        let part = send(vault, &key, upload, 1, b"content").unwrap();
        move || complete(&key, upload, &[(1, &part)])
    });
    let told = completed(vault, done()).unwrap();
    ([done, open], told)
}

/// Clients with thousands of parts ask page by page, and the gateway for one part after each copy.
#[test]
fn a_page_of_parts_reads_no_more_than_it_shows() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = name("b", "k");
    let upload = begin(&mut vault, &key);
    for number in [1, 2, 5, 10_000] {
        send(&mut vault, &key, upload, number, b"content").unwrap();
    }
    for (after, parts_max, expected, more) in [
        (0, 1, &[1][..], true),
        (0, 3, &[1, 2, 5], true),
        (0, 4, &[1, 2, 5, 10_000], false),
        (2, 1, &[5], true),
        (4, 1, &[5], true),
        (9_999, 1, &[10_000], false),
        (10_000, 1, &[], false),
        (u16::MAX, 1, &[], false),
        (0, 0, &[], false),
    ] {
        vault.index_busy = Some(Vec::new());
        let id = vault.send(Command::ListParts {
            name: key.clone(),
            upload,
            after,
            parts_max,
        });
        while let asked = vault.asked_of_index()
            && !asked.is_empty()
        {
            for request in &asked {
                let IndexRequest::Query(query) = request else {
                    continue;
                };
                let parts = |scan: &&Scan| scan.table == Table::Parts;
                for scan in query.scans.iter().filter(parts) {
                    assert!(scan.limit <= parts_max as usize + 1, "{after}: {scan:?}");
                }
            }
            vault.index_busy = Some(Vec::new());
            vault.answer_index(asked);
        }
        vault.index_busy = None;
        while !vault.replies.contains_key(&id) {
            vault.turn();
        }
        let Answer::Parts(parts, follows) = vault.replies.remove(&id).unwrap().unwrap() else {
            panic!("no parts")
        };
        let numbers: Vec<u16> = parts.iter().map(|part| part.number).collect();
        assert_eq!((&numbers[..], follows), (expected, more), "after {after}");
    }
}

#[test]
fn a_full_vault_answers_a_completion_again_and_makes_no_other() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    let ([done, open], told) = done_and_open(&mut vault);
    let filling = |vault: &mut Running, number: usize| -> Result<Stored, Refusal> {
        let stream = vault.open_put(&name("b", &format!("k{number}")), object())?;
        vault.feed(stream, &content(number, 3_000_000))?;
        vault.commit(stream)
    };
    let full = (0..1000).find_map(|number| filling(&mut vault, number).err());
    assert_eq!(full, Some(Refusal::Full));
    assert_eq!(completed(&mut vault, done()), Ok(told));
    assert_eq!(completed(&mut vault, open()), Err(Refusal::Full));
    vault.stop();
}

#[test]
fn a_vault_that_only_reads_answers_a_completion_again_and_makes_no_other() {
    let mut rig = Rig::create(4);
    let mut vault = rig.start();
    let ([done, open], told) = done_and_open(&mut vault);
    turns(&mut vault);
    let last = *rig.frames_of(true).last().unwrap();
    for lost in &rig.disks_of(&last)[..2] {
        rig.handles[*lost].as_ref().unwrap().fail_writes_from(0);
    }
    let begun = vault.ask(Command::CreateUpload {
        name: name("b", "k"),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    });
    assert!(begun.is_err(), "{begun:?}");
    turns(&mut vault);
    assert_eq!(completed(&mut vault, done()), Ok(told));
    let refused = completed(&mut vault, open());
    assert!(matches!(refused, Err(Refusal::ReadOnly(_))), "{refused:?}");
}

/// Whoever missed the answer, as in a power cut, asks again.
#[test]
fn an_upload_that_was_completed_is_answered_the_same_while_its_version_is_current() {
    let mut rig = Rig::create(2);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let (key, other) = (name("b", "k"), name("b", "other"));
    let upload = begin(&mut vault, &key);
    let part = send(&mut vault, &key, upload, 1, b"content").unwrap();
    let ask = |vault: &mut Running, name: &ObjectName, parts: &[(u16, &Stored)]| {
        completed(vault, complete(name, upload, parts))
    };
    let whole = [(1, &part)];
    let first = ask(&mut vault, &key, &whole).unwrap();
    assert_eq!(ask(&mut vault, &key, &whole), Ok(first.clone()));
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    assert_eq!(ask(&mut vault, &key, &whole), Ok(first.clone()));

    let gone = Err(Refusal::NoSuchUpload);
    assert_eq!(ask(&mut vault, &other, &whole), gone);
    assert_eq!(ask(&mut vault, &key, &[(1, &part), (2, &part)]), gone);
    let again = Purpose::Part { upload, number: 1 };
    assert_eq!(vault.open_put(&key, again), Err(Refusal::NoSuchUpload));
    // Another version is current: no retry of the first one comes that late.
    vault.put(&key, b"newer");
    assert_eq!(ask(&mut vault, &key, &whole), gone);
    assert_eq!(vault.get(&key, first.0, None).unwrap(), b"content");
    vault.stop();
}

#[test]
fn a_part_that_is_sent_again_without_end_is_refused_and_the_upload_can_be_completed() {
    let mut rig = Rig::create(2);
    let mut vault = rig.start();
    vault.bucket("b", false);
    let key = name("b", "k");
    let upload = begin(&mut vault, &key);
    for _ in 0..=PART_REPLACED_COUNT_MAX {
        send(&mut vault, &key, upload, 1, b"").unwrap();
    }
    let count_max = PART_REPLACED_COUNT_MAX;
    let again = Purpose::Part { upload, number: 1 };
    // Before any of its content is taken.
    let refused = vault.open_put(&key, again).unwrap_err();
    assert_eq!(refused, Refusal::PartsReplaced { count_max });

    // A start knows of them too; what replaces nothing is taken, also in another upload.
    vault.stop();
    let mut vault = rig.start();
    let refused = send(&mut vault, &key, upload, 1, b"again").unwrap_err();
    assert_eq!(refused, Refusal::PartsReplaced { count_max });
    let last = send(&mut vault, &key, upload, 2, b"content").unwrap();
    let other = begin(&mut vault, &key);
    send(&mut vault, &key, other, 1, b"other").unwrap();
    send(&mut vault, &key, other, 1, b"again").unwrap();

    vault.ask(complete(&key, upload, &[(2, &last)])).unwrap();
    assert_eq!(vault.get(&key, None, None).unwrap(), b"content");
    vault.stop();
}
