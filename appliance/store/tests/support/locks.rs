//! Steps of clients that care about locks.

use stele_format::units::{UnixMillis, VersionId};
use stele_store::policy::{self, Mode, Period, Retention, Rights};
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, NamedPart, ObjectInfo, ObjectName, Purpose,
    Refusal,
};

use super::{Rig, Running, content};

pub const START: u64 = 1_700_000_000_000;
pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;
pub const ALL_RIGHTS: Rights = Rights {
    governance_bypass: true,
    hold_off: true,
    lock_admin: true,
};

pub fn until(mode: Mode, hours: u64) -> Retention {
    Retention {
        mode,
        until: UnixMillis::new(START + hours * HOUR),
    }
}

pub fn lock(retention: Option<Retention>, hold: Option<bool>) -> LockWish {
    LockWish { retention, hold }
}

pub fn open(vault: &mut Running, name: &ObjectName, lock: LockWish) -> Result<(), Refusal> {
    let purpose = Purpose::Object {
        metadata: Metadata::default(),
        lock,
    };
    let stream = vault.open_put(name, purpose)?;
    vault.ask(Command::AbortPut { stream }).map(|_done| ())
}

pub fn put(vault: &mut Running, name: &ObjectName, lock: LockWish, seed: usize) -> VersionId {
    let purpose = Purpose::Object {
        metadata: Metadata {
            user: vec![("seed".to_owned(), seed.to_string())],
            ..Metadata::default()
        },
        lock,
    };
    let stream = vault.open_put(name, purpose).expect("a vault that does so");
    vault
        .feed(stream, &content(seed, 300))
        .expect("a vault that does so");
    vault
        .commit(stream)
        .expect("a vault that does so")
        .version
        .expect("a vault that does so")
}

pub fn multipart(vault: &mut Running, name: &ObjectName, lock: LockWish, seed: usize) -> VersionId {
    multipart_after(vault, (name, lock, seed), |_vault| ()).expect("a vault that does so")
}

/// An upload that is completed after something else happened.
pub fn multipart_after(
    vault: &mut Running,
    (name, lock, seed): (&ObjectName, LockWish, usize),
    meanwhile: impl FnOnce(&mut Running),
) -> Result<VersionId, Refusal> {
    let Answer::Upload(upload) = vault
        .ask(Command::CreateUpload {
            name: name.clone(),
            metadata: Metadata::default(),
            lock,
            announced: None,
        })
        .expect("a vault that does so")
    else {
        panic!("no upload")
    };
    let stream = vault
        .open_put(name, Purpose::Part { upload, number: 1 })
        .expect("a vault that does so");
    vault
        .feed(stream, &content(seed, 300))
        .expect("a vault that does so");
    let etag = vault.commit(stream).expect("a vault that does so").etag;
    let complete = Command::CompleteUpload {
        name: name.clone(),
        upload,
        parts: vec![NamedPart {
            number: 1,
            etag,
            checksums: Vec::new(),
        }],
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    meanwhile(vault);
    match vault.ask(complete)? {
        Answer::Stored(stored) => Ok(stored.version.expect("a vault that does so")),
        other => panic!("unexpected {other:?}"),
    }
}

pub fn head(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<ObjectInfo, Refusal> {
    let command = Command::Head {
        name: name.clone(),
        version,
    };
    vault.ask(command).map(|answer| match answer {
        Answer::Object(info) => *info,
        other => panic!("unexpected {other:?}"),
    })
}

pub fn delete(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    bypass: bool,
) -> Result<Option<VersionId>, Refusal> {
    let command = Command::Delete {
        name: name.clone(),
        version,
        bypass,
    };
    vault.ask(command).map(|answer| match answer {
        Answer::Deleted { version, .. } => version,
        other => panic!("unexpected {other:?}"),
    })
}

pub fn retain(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    retention: Option<Retention>,
    bypass: bool,
) -> Result<(), Refusal> {
    let command = Command::SetRetention {
        name: name.clone(),
        version,
        retention,
        bypass,
    };
    vault.ask(command).map(|_done| ())
}

pub fn hold(
    vault: &mut Running,
    name: &ObjectName,
    version: Option<VersionId>,
    on: bool,
) -> Result<(), Refusal> {
    let command = Command::SetHold {
        name: name.clone(),
        version,
        on,
    };
    vault.ask(command).map(|_done| ())
}

pub fn set_default(
    vault: &mut Running,
    bucket: &str,
    default: Option<(Mode, Period)>,
) -> Result<(), Refusal> {
    let command = Command::SetDefaultRetention {
        bucket: bucket.to_owned(),
        default,
    };
    vault.ask(command).map(|_done| ())
}

pub fn is_locked(result: Result<Option<VersionId>, Refusal>) -> bool {
    matches!(
        result,
        Err(Refusal::Policy(
            policy::Refusal::Locked { .. } | policy::Refusal::Held
        ))
    )
}

pub fn check_content(vault: &mut Running, name: &ObjectName, version: VersionId, seed: usize) {
    let got = vault
        .get(name, Some(version), None)
        .expect("a vault that does so");
    assert!(got == content(seed, 300), "content of {version}");
}

/// A running vault with a bucket in which clients set locks.
pub fn vault() -> (Rig, Running) {
    let mut rig = Rig::create(3);
    let mut vault = rig.start();
    vault.bucket("b", true);
    (rig, vault)
}

/// The disks' index areas are lost, so that the next start makes the index out of the journal.
pub fn lose_index(rig: &Rig) {
    for handle in rig.handles.iter().take(2).flatten() {
        let noise = vec![0x5a_u8; 64 << 10];
        (0..16).for_each(|part| handle.tamper((1 << 20) + (256 << 10) + part * (64 << 10), &noise));
    }
}
