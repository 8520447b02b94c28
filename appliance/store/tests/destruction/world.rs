//! A vault with people, and what they do with it.

use stele_format::digest::Digest;
use stele_format::record::{Scope, VersionRef, scope_digest};
use stele_format::sshsig::PublicKey;
use stele_format::statement::{
    Act, Answer as Said, Cut, Erase, Found, FoundKey, Head, Kind, Name, Nonce, Request, Role,
    Second, Statement, Verb,
};
use stele_format::units::{LogIndex, UnixMillis, UploadId, VersionId};
use stele_store::policy::approval::Accepted;
use stele_store::policy::{Mode, Retention};
use stele_store::request::{
    Answer, CensusRow, Command, Conditions, LockWish, Metadata, NamedPart, ObjectName, PeopleView,
    Purpose, Refusal, Tombstoned,
};

use crate::authenticator::SoftKey;
use crate::support::{Rig, Running, content};

pub const DAY_MS: u64 = 86_400_000;

/// Name, role, and the number of the key.
pub const FOUNDERS: [(&str, Role, u64); 6] = [
    ("oona", Role::Operator, 1),
    ("otto", Role::Operator, 2),
    ("anna", Role::Approver, 3),
    ("axel", Role::Approver, 4),
    ("sara", Role::Officer, 5),
    ("sven", Role::Officer, 6),
];

pub fn person(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// Somebody who is enrolled later, or never.
pub const LATER: (&str, u64) = ("nina", 77);

pub fn key_of(name: &str) -> SoftKey {
    let founders = FOUNDERS.iter().map(|(name, _, seed)| (*name, *seed));
    let mut people = founders.chain([LATER]);
    SoftKey::new(people.find(|(other, _)| *other == name).unwrap().1)
}

/// A vault with people.
pub fn founded(disks: usize) -> (Rig, Running) {
    founded_in(Rig::create(disks))
}

/// The same in a vault that is there.
pub fn founded_in(mut rig: Rig) -> (Rig, Running) {
    let mut vault = rig.start();
    let keys = FOUNDERS.iter().map(|(name, role, seed)| FoundKey {
        person: person(name),
        role: *role,
        key: PublicKey::from_blob(&SoftKey::new(*seed).blob("ssh:")).unwrap(),
    });
    let kind = Kind::Found(Found {
        keys: keys.collect(),
        policies: Vec::new(),
    });
    let names: Vec<&str> = FOUNDERS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        state(&mut vault, kind, &names).map(|(_, accepted)| accepted),
        Ok(Accepted::Founded)
    );
    (rig, vault)
}

pub fn view(vault: &mut Running) -> PeopleView {
    match vault.ask(Command::People).unwrap() {
        Answer::People(view) => *view,
        other => panic!("unexpected {other:?}"),
    }
}

/// Signs and states something.
pub fn state(
    vault: &mut Running,
    kind: Kind,
    signers: &[&str],
) -> Result<(LogIndex, Accepted), Refusal> {
    let origin = view(vault).origin;
    let text = Statement::new(origin, kind).unwrap().to_text();
    let signatures = signers.iter().map(|name| key_of(name).sign(&text));
    let command = Command::State {
        signatures: signatures.collect(),
        text,
        note: Some(b"salt and reason".to_vec()),
    };
    match vault.ask(command)? {
        Answer::Stated { index, accepted } => Ok((index, accepted.unwrap())),
        other => panic!("unexpected {other:?}"),
    }
}

/// Asks for something.
pub fn request(vault: &mut Running, act: Act, by: &str) -> Result<LogIndex, Refusal> {
    let now = view(vault);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&now.log_records.to_le_bytes());
    let kind = Kind::Request(Request {
        act,
        head: Head {
            size: now.log_records,
            root: now.log_root,
        },
        nonce: Nonce(nonce),
        reason: Digest::of(b"salt and reason"),
        by: person(by),
    });
    state(vault, kind, &[by]).map(|(index, _)| index)
}

/// Answers a request.
pub fn say(
    vault: &mut Running,
    verb: Verb,
    request: LogIndex,
    by: &str,
) -> Result<Accepted, Refusal> {
    let kind = said(vault, verb, request, by);
    state(vault, kind, &[by]).map(|(_, accepted)| accepted)
}

fn said(vault: &mut Running, verb: Verb, request: LogIndex, by: &str) -> Kind {
    let now = view(vault);
    let found = now.requests.iter().find(|one| one.request == request);
    Kind::Answer(Said {
        verb,
        request,
        digest: found.unwrap().digest,
        by: person(by),
    })
}

/// The command that answers a request, for whoever sends it without waiting.
pub fn answer_of(vault: &mut Running, verb: Verb, request: LogIndex, by: &str) -> Command {
    let kind = said(vault, verb, request, by);
    let origin = view(vault).origin;
    let text = Statement::new(origin, kind).unwrap().to_text();
    Command::State {
        signatures: vec![key_of(by).sign(&text)],
        text,
        note: None,
    }
}

/// Stores a version that nothing locks for longer than `days`.
pub fn put(
    vault: &mut Running,
    name: &ObjectName,
    seed: usize,
    bytes: usize,
    days: u64,
) -> VersionId {
    put_as(vault, name, seed, bytes, Some((Mode::Compliance, days)))
}

pub fn put_as(
    vault: &mut Running,
    name: &ObjectName,
    seed: usize,
    bytes: usize,
    lock: Option<(Mode, u64)>,
) -> VersionId {
    let now = view(vault).time.lock.get();
    let purpose = Purpose::Object {
        metadata: Metadata {
            user: vec![("n".to_owned(), seed.to_string())],
            ..Metadata::default()
        },
        lock: LockWish {
            retention: lock.map(|(mode, days)| Retention {
                mode,
                until: UnixMillis::new(now + days * DAY_MS),
            }),
            hold: None,
        },
    };
    let stream = vault.open_put(name, purpose).unwrap();
    vault.feed(stream, &content(seed, bytes)).unwrap();
    vault.commit(stream).unwrap().version.unwrap()
}

/// Every version of the vault.
pub fn census(vault: &mut Running) -> Vec<CensusRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        match vault.ask(Command::Census { after }).unwrap() {
            Answer::Census(page) => {
                rows.extend(page.rows);
                match page.resume {
                    None => return rows,
                    resume => after = resume,
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Records a list, a few versions to the piece, and says what a request says of it.
pub fn list(vault: &mut Running, versions: &[VersionId], cut: Cut, governance: bool) -> Erase {
    let rows = census(vault);
    let mut chosen: Vec<&CensusRow> = rows
        .iter()
        .filter(|row| versions.contains(&row.version))
        .collect();
    chosen.sort_by_key(|row| row.version.ordinal());
    let entries: Vec<VersionRef> = chosen
        .iter()
        .map(|row| VersionRef {
            object: row.object,
            version: row.version,
        })
        .collect();
    let digest = scope_digest(&entries);
    let pieces: Vec<&[VersionRef]> = entries.chunks(3).collect();
    for (ordinal, piece) in (0..).zip(&pieces) {
        let scope = Scope {
            digest,
            ordinal,
            pieces: u32::try_from(pieces.len()).unwrap(),
            entries: piece.to_vec(),
        };
        vault.ask(Command::PutScope(scope)).unwrap();
    }
    let stored = || chosen.iter().map(|row| row.stored);
    let ends = chosen.iter().filter_map(|row| row.lock.retention);
    Erase {
        scope: digest,
        count: entries.len() as u64,
        bytes: chosen.iter().map(|row| row.content_bytes).sum(),
        cut,
        governance,
        oldest: Second::of(stored().min().unwrap()).unwrap(),
        newest: Second::of(stored().max().unwrap()).unwrap(),
        latest_retention: ends
            .map(|retention| retention.until)
            .max()
            .and_then(Second::not_before),
    }
}

/// Asked for, approved and rested. In a vault of a handful of versions every list is a large part of
/// them, so that it takes two approvers and a week.
pub fn ripe(vault: &mut Running, erase: Erase) -> LogIndex {
    let early = erase.governance;
    let request = request(vault, Act::Erase(erase), "oona").unwrap();
    say(vault, Verb::Approve, request, "anna").unwrap();
    say(vault, Verb::Approve, request, "axel").unwrap();
    if early {
        say(vault, Verb::Approve, request, "sara").unwrap();
    }
    vault.sleep(7 * DAY_MS);
    request
}

pub fn tombstone(
    vault: &mut Running,
    request: LogIndex,
    ordinal: u32,
) -> Result<Tombstoned, Refusal> {
    match vault.ask(Command::Tombstone { request, ordinal })? {
        Answer::Tombstoned(done) => Ok(done),
        other => panic!("unexpected {other:?}"),
    }
}

/// Works a request's list off to its end; how many were destroyed, and how many kept.
pub fn work_off(vault: &mut Running, request: LogIndex) -> Result<(u32, usize), Refusal> {
    let (mut destroyed, mut kept) = (0, 0);
    for ordinal in 0.. {
        let done = tombstone(vault, request, ordinal)?;
        destroyed += done.destroyed;
        kept += done.kept.len();
        if done.last {
            break;
        }
    }
    Ok((destroyed, kept))
}

/// Gives what stays in the request's month later keys; how many.
pub fn rehome(vault: &mut Running, request: LogIndex) -> u32 {
    let (mut after, mut all) = (None, 0);
    loop {
        match vault.ask(Command::Rehome { request, after }).unwrap() {
            Answer::Rehomed { versions, resume } => {
                all += versions;
                match resume {
                    None => return all,
                    resume => after = resume,
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

pub fn upload(vault: &mut Running, name: &ObjectName) -> UploadId {
    let command = Command::CreateUpload {
        name: name.clone(),
        metadata: Metadata::default(),
        lock: LockWish::default(),
        announced: None,
    };
    match vault.ask(command).unwrap() {
        Answer::Upload(upload) => upload,
        other => panic!("unexpected {other:?}"),
    }
}

/// Stores a part; its ETag.
pub fn part(
    vault: &mut Running,
    name: &ObjectName,
    upload: UploadId,
    number: u16,
    seed: usize,
    bytes: usize,
) -> String {
    let stream = vault
        .open_put(name, Purpose::Part { upload, number })
        .unwrap();
    vault.feed(stream, &content(seed, bytes)).unwrap();
    vault.commit(stream).unwrap().etag
}

pub fn complete(
    vault: &mut Running,
    name: &ObjectName,
    upload: UploadId,
    etags: &[String],
) -> VersionId {
    let parts = (1..).zip(etags).map(|(number, etag)| NamedPart {
        number,
        etag: etag.clone(),
        checksums: Vec::new(),
    });
    let command = Command::CompleteUpload {
        name: name.clone(),
        upload,
        parts: parts.collect(),
        checksums: Vec::new(),
        conditions: Conditions::default(),
    };
    match vault.ask(command).unwrap() {
        Answer::Stored(stored) => stored.version.unwrap(),
        other => panic!("unexpected {other:?}"),
    }
}
