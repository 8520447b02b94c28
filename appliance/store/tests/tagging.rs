//! Tags of versions: they come back over restarts and a lost index, change nothing else, and lie on no
//! disk in the clear.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_format::units::VersionId;
use stele_store::policy::{Mode, Retention};
use stele_store::request::{
    Answer, Command, LockWish, Metadata, ObjectInfo, ObjectName, Purpose, Refusal,
};
use support::{Rig, Running, content, name};

type Tags = Vec<(String, String)>;

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn put(vault: &mut Running, name: &ObjectName, tags: Tags) -> VersionId {
    let until = stele_format::units::UnixMillis::new(1_700_000_000_000 + 86_400_000);
    let purpose = Purpose::Object {
        metadata: Metadata {
            tags,
            user: vec![("owner".to_owned(), "lab".to_owned())],
            ..Metadata::default()
        },
        lock: LockWish {
            retention: Some(Retention {
                mode: Mode::Compliance,
                until,
            }),
            hold: Some(true),
        },
    };
    let stream = vault.open_put(name, purpose).unwrap();
    vault.feed(stream, &content(1, 1000)).unwrap();
    vault.commit(stream).unwrap().version.unwrap()
}

fn set(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    tags: Tags,
) -> Result<VersionId, Refusal> {
    let command = Command::SetTags {
        name: name.clone(),
        version,
        tags,
    };
    match vault.ask(command)? {
        Answer::Tagged {
            version,
            versioned: true,
        } => Ok(version),
        other => panic!("unexpected {other:?}"),
    }
}

fn head(vault: &mut Running, name: &ObjectName, version: Option<VersionId>) -> ObjectInfo {
    let command = Command::Head {
        name: name.clone(),
        version,
    };
    match vault.ask(command).unwrap() {
        Answer::Object(info) => *info,
        other => panic!("unexpected {other:?}"),
    }
}

#[test]
fn tags_of_each_version_survive_restarts_crashes_and_a_lost_index() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let object = name("b", "k");
    let first = put(&mut vault, &object, tags(&[("stored", "with")]));
    let second = put(&mut vault, &object, tags(&[("stored", "with")]));
    let third = put(&mut vault, &object, Tags::new());
    set(
        &mut vault,
        &object,
        Some(first),
        tags(&[("a", "1"), ("b", "2")]),
    )
    .unwrap();
    let again = set(&mut vault, &object, Some(first), tags(&[("a", "3")]));
    assert_eq!(again, Ok(first));
    set(&mut vault, &object, Some(second), Tags::new()).unwrap();
    let current = set(&mut vault, &object, None, tags(&[("current", "yes")]));
    assert_eq!(current, Ok(third));
    let expected = [
        (first, tags(&[("a", "3")])),
        (second, Tags::new()),
        (third, tags(&[("current", "yes")])),
    ];
    let check = |vault: &mut Running| {
        for (version, tags) in &expected {
            let info = head(vault, &object, Some(*version));
            assert!(info.metadata.tags == *tags, "{version}");
            assert_eq!(info.metadata.user.len(), 1, "{version}");
        }
    };
    check(&mut vault);
    drop(vault);
    rig.crash();
    let mut vault = rig.start();
    check(&mut vault);
    vault.stop();
    let mut vault = rig.start();
    check(&mut vault);
    vault.stop();
    for handle in rig.handles.iter().take(2).flatten() {
        let noise = vec![0x5a_u8; 64 << 10];
        (0..16).for_each(|part| handle.tamper((1 << 20) + (256 << 10) + part * (64 << 10), &noise));
    }
    let mut vault = rig.start();
    assert!(vault.report.index_rebuilt);
    check(&mut vault);
    vault.stop();
}

#[test]
fn tagging_changes_neither_date_nor_lock_nor_etag_nor_content() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let object = name("b", "k");
    let version = put(&mut vault, &object, Tags::new());
    let before = head(&mut vault, &object, None);
    vault.sleep(5_000);
    set(&mut vault, &object, None, tags(&[("a", "1")])).unwrap();
    let after = head(&mut vault, &object, None);
    assert_eq!(after.metadata.tags, tags(&[("a", "1")]));
    let untagged = ObjectInfo {
        metadata: before.metadata.clone(),
        ..after
    };
    assert!(untagged == before);
    let got = vault.get(&object, Some(version), None).unwrap();
    assert!(got == content(1, 1000));
}

#[test]
fn markers_missing_versions_and_released_ones_take_no_tags() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let object = name("b", "k");
    let delete = |version| Command::Delete {
        name: object.clone(),
        version,
        bypass: false,
    };
    let released = vault.put(&object, b"free").version;
    vault.ask(delete(released)).unwrap();
    let Answer::Deleted {
        version: marker, ..
    } = vault.ask(delete(None)).unwrap()
    else {
        panic!("no marker")
    };
    let one = || tags(&[("a", "1")]);
    let refused = set(&mut vault, &object, marker, one()).unwrap_err();
    assert!(matches!(refused, Refusal::IsMarker { .. }), "{refused:?}");
    let refused = set(&mut vault, &object, None, one()).unwrap_err();
    assert!(matches!(refused, Refusal::NoSuchKey { .. }), "{refused:?}");
    let refused = set(&mut vault, &object, released, one()).unwrap_err();
    assert_eq!(refused, Refusal::NoSuchVersion);
    let refused = set(&mut vault, &name("b", "never"), None, one()).unwrap_err();
    assert!(matches!(refused, Refusal::NoSuchKey { .. }), "{refused:?}");
}

#[test]
fn a_tag_lies_on_no_disk_in_the_clear() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let object = name("b", "k");
    put(&mut vault, &object, Tags::new());
    let word = "patient-jane-doe-4711";
    set(&mut vault, &object, None, tags(&[(word, word)])).unwrap();
    vault.stop();
    for handle in rig.handles.iter().flatten() {
        let bytes = handle.peek(0, usize::try_from(support::DISK_BYTES).unwrap());
        let found = bytes.windows(word.len()).any(|at| at == word.as_bytes());
        assert!(!found, "a tag in the clear");
    }
}

#[test]
fn a_multipart_upload_remembers_what_it_announced() {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    let object = name("b", "k");
    for announced in [None, Some((2, false)), Some((4, true))] {
        let create = Command::CreateUpload {
            name: object.clone(),
            metadata: Metadata::default(),
            lock: LockWish::default(),
            announced,
        };
        let Answer::Upload(upload) = vault.ask(create).unwrap() else {
            panic!("no upload")
        };
        drop(vault);
        rig.crash();
        vault = rig.start();
        let ask = Command::HeadUpload {
            name: object.clone(),
            upload,
        };
        match vault.ask(ask).unwrap() {
            Answer::UploadInfo(told) => assert_eq!(told, announced),
            other => panic!("unexpected {other:?}"),
        }
    }
}
