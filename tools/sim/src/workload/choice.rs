//! What clients do next, by the seed.

use stele_format::limits::{CHUNK_PLAIN_BYTES_MAX, INLINE_BODY_BYTES_MAX};
use stele_format::units::{UnixMillis, UploadId, VersionId};
use stele_store::policy::{Mode, Period, Retention, Rights};
use stele_store::request::{
    Checksum, Command, Conditions, LockWish, Metadata, NamedPart, Purpose, RangeWish,
};

mod listing;
mod upkeep;

use listing::list;

use super::Workload;
use super::task::{Fate, GetTask, PutTask, Task, name_of};
use crate::content::Content;
use crate::context::Context;
use crate::limits::{BODY_BYTES_MAX, DAY_MS, PART_BYTES_MIN};
use crate::oracle::deed::Deed;
use crate::oracle::model::{Bucket, Place};
use crate::oracle::{NUMBER, Oracle};
use crate::swarm::Swarm;
use crate::who::{Tenant, Who};

/// A first question and what it means.
type Operation = (Task, Command, Option<Deed>);

const BUCKETS: [&str; 3] = ["alpha", "beta", "gamma"];
const KEYS: [&str; 8] = [
    "a",
    "a/b",
    "a/c",
    "dump.sql",
    "locks/1",
    "locks/2",
    "x\u{e9}y",
    "snapshots/2026/07",
];

/// The vault itself or a client, with special rights now and then.
pub(super) fn who(context: &mut Context, swarm: &Swarm) -> Who {
    let mut draw = || context.rng.permille(swarm.privileged);
    let rights = Rights {
        governance_bypass: draw(),
        hold_off: draw(),
        lock_admin: draw(),
    };
    let is_client = context.rng.permille(swarm.clients);
    let tenant = is_client.then(|| context.rng.pick(&Tenant::ALL).copied());
    let tenant = tenant.flatten();
    Who { rights, tenant }
}

/// The next operation.
pub(super) fn operation(
    load: &mut Workload,
    context: &mut Context,
    oracle: &Oracle,
    swarm: &Swarm,
) -> Operation {
    if oracle.model.buckets.is_empty() || context.rng.permille(15) {
        return create_bucket(context);
    }
    let at = place(context, oracle);
    if context.rng.permille(swarm.uploads) {
        return put(load, context, swarm, at, None);
    }
    if context.rng.permille(swarm.upkeep) {
        return upkeep::operation(context, oracle, swarm, at);
    }
    match context.rng.below(100) {
        0..=27 => put(load, context, swarm, at, None),
        28..=41 => get(context, oracle, at),
        42..=47 => head(context, oracle, at),
        48..=53 => delete(context, oracle, at, false),
        54..=64 => delete(context, oracle, at, true),
        65..=70 => set_retention(context, oracle, at),
        71..=75 => set_hold(context, oracle, at),
        76..=78 => create_upload(load, context, at),
        79..=83 => part(load, context, oracle, swarm, at),
        84..=86 => complete(context, oracle, at),
        87 => abort(context, oracle, at),
        88..=93 => list(context, oracle, at),
        94 => set_default(context, at.bucket),
        95 => delete_bucket(context, oracle, at.bucket),
        96..=97 => config(context),
        _ => buckets(context, at.bucket),
    }
}

/// Mostly a bucket that exists, and one of few keys.
fn place(context: &mut Context, oracle: &Oracle) -> Place {
    let names: Vec<&String> = oracle.model.buckets.keys().collect();
    let bucket = match context.rng.pick(&names) {
        Some(name) if !context.rng.permille(20) => (*name).clone(),
        _ => context
            .rng
            .pick(&BUCKETS)
            .copied()
            .unwrap_or("alpha")
            .to_owned(),
    };
    let key = context
        .rng
        .pick(&KEYS)
        .copied()
        .unwrap_or("a")
        .as_bytes()
        .to_vec();
    Place { bucket, key }
}

fn bucket_of<'a>(oracle: &'a Oracle, at: &Place) -> Option<&'a Bucket> {
    oracle.model.buckets.get(&at.bucket)
}

/// None, one that is shown, one that was released, or one that never was.
fn version(context: &mut Context, oracle: &Oracle, at: &Place) -> Option<VersionId> {
    let key = oracle.model.key(at)?;
    match context.rng.below(10) {
        0..=2 => None,
        3..=8 => context.rng.pick(&key.versions).map(|version| version.id),
        _ => {
            let released: Vec<VersionId> =
                key.released.keys().chain(&key.destroyed).copied().collect();
            let foreign = VersionId::from_bytes([context.rng.next().to_le_bytes()[0]; 16]);
            Some(context.rng.pick(&released).copied().unwrap_or(foreign))
        }
    }
}

fn create_bucket(context: &mut Context) -> Operation {
    let name = context
        .rng
        .pick(&BUCKETS)
        .copied()
        .unwrap_or("alpha")
        .to_owned();
    let lock = context.rng.permille(400);
    let command = Command::CreateBucket {
        name: name.clone(),
        lock,
    };
    (
        Task::Single,
        command,
        Some(Deed::CreateBucket { name, lock }),
    )
}

fn delete_bucket(context: &mut Context, oracle: &Oracle, name: String) -> Operation {
    // An empty one is rare: then it goes.
    let empty = oracle
        .model
        .buckets
        .iter()
        .find(|(_, bucket)| bucket.is_empty());
    let name = match empty {
        Some((empty, _)) if context.rng.permille(700) => empty.clone(),
        _ => name,
    };
    let command = Command::DeleteBucket { name: name.clone() };
    (Task::Single, command, Some(Deed::DeleteBucket { name }))
}

fn set_default(context: &mut Context, bucket: String) -> Operation {
    let mode = if context.rng.permille(500) {
        Mode::Governance
    } else {
        Mode::Compliance
    };
    let default = match context.rng.below(8) {
        0 => None,
        1 => Some((mode, Period::Years(2))),
        2 => Some((mode, Period::Days(0))),
        _ => Some((
            mode,
            Period::Days(u32::try_from(context.rng.between(1, 5)).unwrap_or(1)),
        )),
    };
    let command = Command::SetDefaultRetention {
        bucket: bucket.clone(),
        default,
    };
    (
        Task::Single,
        command,
        Some(Deed::SetDefault { bucket, default }),
    )
}

/// A date soon over, some days or many years ahead, or in the past.
fn until(context: &mut Context) -> UnixMillis {
    let now = context.compliance_ms();
    let until = match context.rng.below(10) {
        0 => now.saturating_sub(context.rng.magnitude(DAY_MS)),
        1 => now + 200 * 365 * DAY_MS,
        2..=4 => now + context.rng.magnitude(5_000),
        _ => now + DAY_MS + context.rng.magnitude(60 * DAY_MS),
    };
    UnixMillis::new(until)
}

fn retention(context: &mut Context) -> Retention {
    let mode = if context.rng.permille(600) {
        Mode::Governance
    } else {
        Mode::Compliance
    };
    Retention {
        mode,
        until: until(context),
    }
}

fn lock(context: &mut Context) -> LockWish {
    match context.rng.below(10) {
        0..=6 => LockWish::default(),
        7 => LockWish {
            retention: None,
            hold: Some(context.rng.permille(700)),
        },
        8 => LockWish {
            retention: Some(retention(context)),
            hold: None,
        },
        _ => LockWish {
            retention: Some(retention(context)),
            hold: Some(true),
        },
    }
}

fn conditions(context: &mut Context, oracle: Option<&Oracle>, at: &Place) -> Conditions {
    let etag = oracle
        .and_then(|oracle| oracle.model.key(at)?.current())
        .map_or_else(|| "none".to_owned(), |version| version.etag.clone());
    match context.rng.below(30) {
        0 => Conditions {
            if_match: None,
            if_none_match: Some("*".to_owned()),
        },
        1 => Conditions {
            if_match: Some(etag),
            if_none_match: None,
        },
        2 => Conditions {
            if_match: None,
            if_none_match: Some(etag),
        },
        _ => Conditions::default(),
    }
}

/// Lengths around every edge, most of them small.
fn bytes(context: &mut Context, swarm: &Swarm) -> u64 {
    let chunk = u64::from(CHUNK_PLAIN_BYTES_MAX);
    let inline = u64::from(INLINE_BODY_BYTES_MAX);
    let edges = [0, 1, 4095, 4096, 4097, 8192, inline - 1, inline];
    let large_edges = [
        inline + 1,
        chunk - 1,
        chunk,
        chunk + 1,
        2 * chunk,
        2 * chunk + 5,
    ];
    let rng = &mut context.rng;
    if rng.permille(swarm.large) {
        // Most of them are just large enough to lie in a data segment, so that many do.
        return match rng.below(8) {
            0 => rng.pick(&large_edges).copied().unwrap_or(chunk),
            1 => rng.between(inline + 1, chunk),
            2 => rng.between(chunk, BODY_BYTES_MAX),
            _ => inline + rng.magnitude(64 << 10),
        };
    }
    match rng.below(20) {
        0..=2 => rng.pick(&edges).copied().unwrap_or(0),
        3..=17 => rng.magnitude(6000),
        _ => rng.magnitude(inline),
    }
}

fn fate(context: &mut Context, bytes: u64) -> Fate {
    let stop = context.rng.below(bytes.saturating_add(1));
    match context.rng.below(30) {
        0 => Fate::Abort(stop),
        1 => Fate::Forget(stop),
        _ => Fate::Commit,
    }
}

/// Values that are kept as they are; the gateway has verified them.
fn checksums(context: &mut Context, number: u64, always: bool) -> Vec<Checksum> {
    let mut sums = Vec::new();
    if always || context.rng.permille(200) {
        let value = number.to_be_bytes().to_vec();
        sums.push(Checksum {
            algorithm: 5,
            composite: false,
            value,
        });
    }
    if context.rng.permille(100) {
        let value = vec![context.rng.next().to_le_bytes()[0]; 32];
        sums.push(Checksum {
            algorithm: 4,
            composite: false,
            value,
        });
    }
    sums
}

fn metadata(context: &mut Context, number: u64) -> Metadata {
    let mut metadata = Metadata::default();
    metadata.user.push((NUMBER.to_owned(), number.to_string()));
    if context.rng.permille(200) {
        metadata
            .headers
            .push(("content-type".to_owned(), "application/x-tar".to_owned()));
        metadata.tags.push(("tier".to_owned(), "gold".to_owned()));
    }
    metadata
}

fn put(
    load: &mut Workload,
    context: &mut Context,
    swarm: &Swarm,
    at: Place,
    part: Option<(UploadId, u16, u64)>,
) -> Operation {
    let number = load.number();
    let content_bytes = part.map_or_else(|| bytes(context, swarm), |(_, _, bytes)| bytes);
    let content = Content {
        number,
        bytes: content_bytes,
    };
    let lock = if part.is_some() {
        LockWish::default()
    } else {
        lock(context)
    };
    let purpose = match part {
        Some((upload, number, _)) => Purpose::Part { upload, number },
        None => Purpose::Object {
            metadata: metadata(context, number),
            lock,
        },
    };
    let name = name_of(&at);
    let declared = context.rng.permille(700).then_some(content_bytes);
    let digest = context.rng.next().to_le_bytes();
    let md5 = context.rng.permille(150).then(|| [digest[0]; 16]);
    let task = PutTask {
        conditions: conditions(context, None, &at),
        checksums: checksums(context, number, part.is_some()),
        fate: fate(context, content_bytes),
        at,
        content,
        part: part.map(|(upload, number, _)| (upload, number)),
        lock,
        md5,
        stream: None,
        sent: 0,
    };
    let at_once = content_bytes <= u64::from(CHUNK_PLAIN_BYTES_MAX) && number.is_multiple_of(2);
    if at_once && task.fate == Fate::Commit {
        let (command, deed) = task.at_once(name, purpose);
        return (Task::Whole(content_bytes), command, Some(deed));
    }
    let opened = Deed::OpenPut {
        at: task.at.clone(),
        upload: part.map(|(upload, ..)| upload),
        lock,
    };
    let command = Command::OpenPut {
        name,
        purpose,
        content_bytes: declared,
    };
    (Task::Put(Box::new(task)), command, Some(opened))
}

fn range(context: &mut Context) -> Option<RangeWish> {
    let first = context.rng.magnitude(BODY_BYTES_MAX) - 1;
    match context.rng.below(6) {
        0 => Some(RangeWish::From(first, None)),
        1 => Some(RangeWish::From(
            first,
            Some(first + context.rng.magnitude(9000) - 1),
        )),
        2 => Some(RangeWish::Suffix(context.rng.magnitude(100_000) - 1)),
        _ => None,
    }
}

fn get(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let version = version(context, oracle, &at);
    let range = range(context);
    let command = Command::OpenGet {
        name: name_of(&at),
        version,
        range,
    };
    let deed = Deed::OpenGet {
        at: at.clone(),
        version,
        range,
    };
    let hasty = context.rng.permille(100);
    let patience = if hasty {
        context.rng.magnitude(BODY_BYTES_MAX)
    } else {
        u64::MAX
    };
    let task = GetTask {
        at,
        version: None,
        body: None,
        stream: None,
        offset: 0,
        end: 0,
        patience,
    };
    (Task::Get(Box::new(task)), command, Some(deed))
}

fn head(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let version = version(context, oracle, &at);
    let command = Command::Head {
        name: name_of(&at),
        version,
    };
    (Task::Single, command, Some(Deed::Head { at, version }))
}

fn delete(context: &mut Context, oracle: &Oracle, at: Place, named: bool) -> Operation {
    let version = if named {
        version(context, oracle, &at)
    } else {
        None
    };
    let bypass = context.rng.permille(300);
    let command = Command::Delete {
        name: name_of(&at),
        version,
        bypass,
    };
    (
        Task::Single,
        command,
        Some(Deed::Delete {
            at,
            version,
            bypass,
        }),
    )
}

fn set_retention(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let version = version(context, oracle, &at);
    let known = version.and_then(|id| oracle.model.key(&at)?.version(id));
    let later = known.and_then(|known| Some((known.retention.mode()?, known.retention.dates()?)));
    let wanted = match (context.rng.below(8), later) {
        (0, _) => None,
        (1..=4, Some((mode, (_, most)))) => {
            let until = UnixMillis::new(most + context.rng.magnitude(DAY_MS) - 1);
            Some(Retention { mode, until })
        }
        _ => Some(retention(context)),
    };
    let bypass = context.rng.permille(300);
    let command = Command::SetRetention {
        name: name_of(&at),
        version,
        retention: wanted,
        bypass,
    };
    (
        Task::Single,
        command,
        Some(Deed::SetRetention {
            at,
            version,
            wanted,
            bypass,
        }),
    )
}

fn set_hold(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let version = version(context, oracle, &at);
    let on = context.rng.permille(500);
    let command = Command::SetHold {
        name: name_of(&at),
        version,
        on,
    };
    (
        Task::Single,
        command,
        Some(Deed::SetHold { at, version, on }),
    )
}

fn create_upload(load: &mut Workload, context: &mut Context, at: Place) -> Operation {
    let number = load.number();
    let lock = lock(context);
    let metadata = metadata(context, number);
    let command = Command::CreateUpload {
        name: name_of(&at),
        metadata,
        lock,
        announced: None,
    };
    (
        Task::Single,
        command,
        Some(Deed::CreateUpload { at, number, lock }),
    )
}

/// An upload of this bucket if there is one, and its place; else one that never was.
fn upload(context: &mut Context, oracle: &Oracle, at: Place) -> (Place, UploadId) {
    let uploads: Vec<(UploadId, Vec<u8>)> = bucket_of(oracle, &at)
        .map(|bucket| {
            bucket
                .uploads
                .iter()
                .map(|(id, known)| (*id, known.key.clone()))
                .collect()
        })
        .unwrap_or_default();
    match context.rng.pick(&uploads) {
        Some((id, key)) if !context.rng.permille(30) => (
            Place {
                bucket: at.bucket,
                key: key.clone(),
            },
            *id,
        ),
        _ => {
            let key = bucket_of(oracle, &at).and_then(|bucket| bucket.keys.get(&at.key));
            let completed = key.and_then(|key| key.versions.last()?.upload);
            (at, completed.unwrap_or(UploadId::from_bytes([7; 16])))
        }
    }
}

fn part(
    load: &mut Workload,
    context: &mut Context,
    oracle: &Oracle,
    swarm: &Swarm,
    at: Place,
) -> Operation {
    let (at, upload) = upload(context, oracle, at);
    let number = u16::try_from(context.rng.between(1, 4)).unwrap_or(1);
    let bytes = if swarm.long_parts && number < 3 && context.rng.permille(500) {
        PART_BYTES_MIN + context.rng.magnitude(5000) - 1
    } else {
        bytes(context, swarm)
    };
    put(load, context, swarm, at, Some((upload, number, bytes)))
}

fn complete(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let (at, upload) = upload(context, oracle, at);
    let known = bucket_of(oracle, &at).and_then(|bucket| bucket.uploads.get(&upload));
    let mut parts: Vec<(u16, String)> = known
        .map(|known| {
            known
                .parts
                .iter()
                .map(|(n, part)| (*n, part.etag.clone()))
                .collect()
        })
        .unwrap_or_else(|| {
            // An upload that is over had so many parts.
            let bucket = bucket_of(oracle, &at);
            let over = bucket.and_then(|bucket| bucket.completed(&at.key, upload));
            let count = over.and_then(|version| u16::try_from(version.parts?).ok());
            (1..=count.unwrap_or(0))
                .map(|n| (n, String::new()))
                .collect()
        });
    let long = known.is_some_and(|known| {
        known
            .parts
            .values()
            .rev()
            .skip(1)
            .all(|part| part.content.bytes >= PART_BYTES_MIN)
    });
    // Most lists of short parts would be refused; one part alone may be short.
    if !long && !context.rng.permille(100) {
        let keep = context.rng.index(parts.len().max(1));
        parts = parts.into_iter().skip(keep).take(1).collect();
    }
    match context.rng.below(20) {
        0 => parts.reverse(),
        1 => parts.iter_mut().for_each(|(_, etag)| etag.push('x')),
        _ => {}
    }
    let named = parts
        .iter()
        .map(|(number, etag)| NamedPart {
            number: *number,
            etag: etag.clone(),
            checksums: Vec::new(),
        })
        .collect();
    let conditions = conditions(context, Some(oracle), &at);
    let command = Command::CompleteUpload {
        name: name_of(&at),
        upload,
        parts: named,
        checksums: Vec::new(),
        conditions: conditions.clone(),
    };
    (
        Task::Single,
        command,
        Some(Deed::Complete {
            at,
            upload,
            parts,
            conditions,
        }),
    )
}

fn abort(context: &mut Context, oracle: &Oracle, at: Place) -> Operation {
    let (at, upload) = upload(context, oracle, at);
    let command = Command::AbortUpload {
        name: name_of(&at),
        upload,
    };
    (
        Task::Single,
        command,
        Some(Deed::AbortUpload { at, upload }),
    )
}

fn config(context: &mut Context) -> Operation {
    let name = context
        .rng
        .pick(&["clients", "tls"])
        .copied()
        .unwrap_or("tls")
        .to_owned();
    if context.rng.permille(500) {
        let command = Command::GetConfig { name: name.clone() };
        return (Task::Single, command, Some(Deed::GetConfig { name }));
    }
    let length = usize::try_from(context.rng.magnitude(9_000)).unwrap_or(1);
    let value = vec![context.rng.next().to_le_bytes()[0]; length];
    let command = Command::PutConfig {
        name: name.clone(),
        value: value.clone(),
    };
    (Task::Single, command, Some(Deed::PutConfig { name, value }))
}

fn buckets(context: &mut Context, name: String) -> Operation {
    if context.rng.permille(500) {
        return (Task::Single, Command::ListBuckets, Some(Deed::ListBuckets));
    }
    let command = Command::HeadBucket { name: name.clone() };
    (Task::Single, command, Some(Deed::HeadBucket { name }))
}
