//! The keys of parts that were sent again are kept with their upload: one upload takes so many of them and no more.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod support;

use stele_format::units::UploadId;
use stele_store::limits::PART_REPLACED_COUNT_MAX;
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, NamedPart, ObjectName, Purpose, Refusal,
    Stored,
};
use support::{Rig, Running, name};

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

    let complete = Command::CompleteUpload {
        name: key.clone(),
        upload,
        parts: vec![NamedPart {
            number: 2,
            etag: last.etag,
            checksums: Vec::new(),
        }],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    vault.ask(complete).unwrap();
    assert_eq!(vault.get(&key, None, None).unwrap(), b"content");
    vault.stop();
}
