//! Clients as tenants, asked of the engine itself: whoever asks past the gateway is judged here.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod expiry;
mod model;
mod quotas;
mod rights;
mod rules;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;

use stele_format::units::{UploadId, VersionId};
use stele_store::policy::{
    Asker, Client, Grants, OwnerId, Quota, Quotas, Rate, Refusal as Policy, Rights, Scope,
};
use stele_store::request::{
    Answer, Command, ListWish, LockWish, Metadata, ObjectName, Purpose, Refusal, StreamId,
};
use support::steps::object;
use support::{Running, content};

fn owner(text: &str) -> OwnerId {
    OwnerId::new(text).unwrap()
}

fn client(text: &str) -> Client {
    Client {
        key_id: format!("KEY{text}"),
        owner: owner(text),
        grants: Grants::all(),
        special: Rights::default(),
        scopes: Vec::new(),
        rate: Rate::default(),
        quotas: Arc::default(),
    }
}

fn quota(text: &str, bytes_max: Option<u64>, versions_max: Option<u64>) -> Arc<Quotas> {
    let quota = Quota {
        bytes_max,
        versions_max,
    };
    Arc::new(BTreeMap::from([(owner(text), quota)]))
}

fn scoped(text: &str, scopes: &[&str]) -> Client {
    Client {
        scopes: scopes.iter().map(|s| Scope::parse(s).unwrap()).collect(),
        ..client(text)
    }
}

/// Goes on as this client.
fn become_client(vault: &mut Running, client: Client) {
    vault.asker = Some(Asker::Client(Arc::new(client)));
}

fn denied<T>(policy: Policy) -> Result<T, Refusal> {
    Err(Refusal::Policy(policy))
}

fn done(vault: &mut Running, command: Command) -> Result<(), Refusal> {
    vault.ask(command).map(drop)
}

fn make(bucket: &str) -> Command {
    Command::CreateBucket {
        name: bucket.to_owned(),
        lock: false,
    }
}

fn put(vault: &mut Running, name: &ObjectName, bytes: usize) -> Result<VersionId, Refusal> {
    let stream = vault.open_put(name, object())?;
    feed(vault, stream, &content(1, bytes))?;
    Ok(vault.commit(stream)?.version.unwrap())
}

/// Sends a body; where it is refused, the client goes away.
fn feed(vault: &mut Running, stream: StreamId, content: &[u8]) -> Result<(), Refusal> {
    vault.feed(stream, content).inspect_err(|_| {
        vault.ask(Command::AbortPut { stream }).unwrap();
    })
}

fn list(bucket: &str, prefix: &str) -> ListWish {
    ListWish {
        bucket: bucket.to_owned(),
        prefix: prefix.as_bytes().to_vec(),
        entries_max: 10,
        ..ListWish::default()
    }
}

fn buckets(vault: &mut Running) -> Vec<String> {
    match vault.ask(Command::ListBuckets).unwrap() {
        Answer::Buckets(buckets) => buckets.into_iter().map(|bucket| bucket.name).collect(),
        other => panic!("unexpected {other:?}"),
    }
}

fn upload(vault: &mut Running, name: &ObjectName) -> UploadId {
    let begin = Command::CreateUpload {
        announced: None,
        name: name.clone(),
        metadata: Metadata::default(),
        lock: LockWish::default(),
    };
    match vault.ask(begin).unwrap() {
        Answer::Upload(upload) => upload,
        other => panic!("unexpected {other:?}"),
    }
}

fn put_part(
    vault: &mut Running,
    name: &ObjectName,
    upload: UploadId,
    number: u16,
    bytes: usize,
) -> Result<String, Refusal> {
    let stream = vault.open_put(name, Purpose::Part { upload, number })?;
    feed(vault, stream, &content(2, bytes))?;
    Ok(vault.commit(stream)?.etag)
}
