//! Clients of a vault, who remember what they stored.

use std::collections::VecDeque;

use stele_format::units::{UnixMillis, UploadId, VersionId};
use stele_sim::rng::Rng;
use stele_store::policy::{Mode, Retention};
use stele_store::request::{
    Answer, Command, Conditions, LockWish, Metadata, NamedPart, ObjectName, Purpose, Refusal,
    RequestId,
};

use crate::picture::Picture;
use crate::support::{Running, content, name, put_whole};
use crate::world::{DAY_MS, part, put, upload};

/// Keys of a bucket: few, so that names have several versions.
const KEY_COUNT: u64 = 12;
/// Content up to this size rides in the journal.
const SMALL_BYTES_MAX: usize = 16 << 10;

/// A version somebody was told of.
#[derive(Clone)]
pub struct Stored {
    pub name: ObjectName,
    pub version: VersionId,
    pub seed: usize,
    pub bytes: usize,
}

/// An upload that is open, and its only part.
#[derive(Clone)]
pub struct Begun {
    pub name: ObjectName,
    pub upload: UploadId,
    pub etag: Option<String>,
    pub seed: usize,
    pub bytes: usize,
}

#[derive(Default)]
pub struct Clients {
    pub buckets: Vec<String>,
    pub stored: Vec<Stored>,
    pub begun: Vec<Begun>,
    /// Tags that were set and not seen in the log yet.
    pub tags: VecDeque<String>,
    /// Parts of uploads may be lost.
    pub may_lack: bool,
    /// Numbers that were given.
    last: usize,
}

impl Clients {
    fn number(&mut self) -> usize {
        self.last += 1;
        self.last
    }

    fn pick_name(&self, rng: &mut Rng) -> ObjectName {
        let bucket = rng.pick(&self.buckets).expect("a bucket");
        name(bucket, &format!("k{}", rng.below(KEY_COUNT)))
    }

    /// After something was lost, clients use what is there.
    pub fn go_on_with(&mut self, picture: &Picture) {
        self.buckets.clone_from(&picture.buckets);
        let is_there = |begun: &Begun| picture.uploads.contains(&begun.upload);
        self.begun.retain(is_there);
    }

    /// Does something; time passes, or not.
    pub fn step(&mut self, vault: &mut Running, rng: &mut Rng) {
        match rng.below(20) {
            _ if self.buckets.is_empty() => self.make_bucket(vault),
            0 => self.make_bucket(vault),
            1..=6 => self.put_many(vault, rng),
            7 | 8 => self.put_locked(vault, rng),
            9 => self.put_large(vault, rng),
            10 | 11 => self.begin_upload(vault, rng),
            12 => self.complete_upload(vault, rng),
            13 => self.retain(vault, rng),
            14 => self.hold(vault, rng),
            15 => self.tag(vault, rng),
            16 => self.delete(vault, rng),
            _ => vault.pass(100 * rng.below(5)),
        }
    }

    fn make_bucket(&mut self, vault: &mut Running) {
        let bucket = format!("b{}", self.number());
        vault.bucket(&bucket, true);
        self.buckets.push(bucket);
    }

    /// Several requests at once, which may share a frame.
    fn put_many(&mut self, vault: &mut Running, rng: &mut Rng) {
        let mut asked: Vec<(RequestId, ObjectName, usize, usize)> = Vec::new();
        for _ in 0..rng.between(1, 5) {
            let (name, seed) = (self.pick_name(rng), self.number());
            let bytes = rng.index(SMALL_BYTES_MAX);
            let purpose = Purpose::Object {
                metadata: Metadata::default(),
                lock: LockWish::default(),
            };
            let content = content(seed, bytes);
            let command = put_whole(&name, purpose, &content, Conditions::default());
            asked.push((vault.send(command), name, seed, bytes));
        }
        for (id, name, seed, bytes) in asked {
            while !vault.replies.contains_key(&id) {
                vault.turn();
            }
            let Some(Ok(Answer::Stored(stored))) = vault.replies.remove(&id) else {
                panic!("{name:?} is not stored")
            };
            let version = stored.version.unwrap();
            self.remember(name, version, seed, bytes);
        }
    }

    fn remember(&mut self, name: ObjectName, version: VersionId, seed: usize, bytes: usize) {
        self.stored.push(Stored {
            name,
            version,
            seed,
            bytes,
        });
    }

    pub fn put_locked(&mut self, vault: &mut Running, rng: &mut Rng) {
        let (name, seed) = (self.pick_name(rng), self.number());
        let bytes = rng.index(4_000);
        let version = put(vault, &name, seed, bytes, rng.between(1, 20));
        self.remember(name, version, seed, bytes);
    }

    fn put_large(&mut self, vault: &mut Running, rng: &mut Rng) {
        let (name, seed) = (self.pick_name(rng), self.number());
        let bytes = 100_000 + rng.index(700_000);
        let version = put(vault, &name, seed, bytes, 1);
        self.remember(name, version, seed, bytes);
    }

    fn begin_upload(&mut self, vault: &mut Running, rng: &mut Rng) {
        let (name, seed) = (self.pick_name(rng), self.number());
        let bytes = 1 + rng.index(100_000);
        let upload = upload(vault, &name);
        let etag = rng
            .permille(900)
            .then(|| part(vault, &name, upload, 1, seed, bytes));
        self.begun.push(Begun {
            name,
            upload,
            etag,
            seed,
            bytes,
        });
    }

    fn complete_upload(&mut self, vault: &mut Running, rng: &mut Rng) {
        let with_part = self.begun.iter().position(|begun| begun.etag.is_some());
        let Some(at) = with_part.filter(|_| rng.permille(800)) else {
            return;
        };
        let begun = self.begun.remove(at);
        let Some(etag) = begun.etag else { return };
        let part = NamedPart {
            number: 1,
            etag,
            checksums: Vec::new(),
        };
        let command = Command::CompleteUpload {
            name: begun.name.clone(),
            upload: begun.upload,
            parts: vec![part],
            checksums: Vec::new(),
            conditions: Conditions::default(),
        };
        match vault.ask(command) {
            Ok(Answer::Stored(stored)) => {
                let version = stored.version.unwrap();
                self.remember(begun.name, version, begun.seed, begun.bytes);
            }
            Err(Refusal::Part { .. }) if self.may_lack => {}
            other => panic!("not completed: {other:?}"),
        }
    }

    fn retain(&mut self, vault: &mut Running, rng: &mut Rng) {
        let Some(one) = rng.pick(&self.stored) else {
            return;
        };
        let days = rng.between(1, 40);
        let until = UnixMillis::new(vault.now.wall.get() + days * DAY_MS);
        let mode = match rng.below(2) {
            0 => Mode::Compliance,
            _ => Mode::Governance,
        };
        self.change(
            vault,
            Command::SetRetention {
                name: one.name.clone(),
                version: Some(one.version),
                retention: Some(Retention { mode, until }),
                bypass: false,
            },
        );
    }

    fn hold(&mut self, vault: &mut Running, rng: &mut Rng) {
        let Some(one) = rng.pick(&self.stored) else {
            return;
        };
        self.change(
            vault,
            Command::SetHold {
                name: one.name.clone(),
                version: Some(one.version),
                on: rng.permille(600),
            },
        );
    }

    fn delete(&mut self, vault: &mut Running, rng: &mut Rng) {
        let Some(one) = rng.pick(&self.stored) else {
            return;
        };
        self.change(
            vault,
            Command::Delete {
                name: one.name.clone(),
                version: Some(one.version),
                bypass: false,
            },
        );
    }

    fn tag(&mut self, vault: &mut Running, rng: &mut Rng) {
        let value = format!("t{}", self.number());
        let Some(one) = rng.pick(&self.stored) else {
            return;
        };
        let set = Command::SetTags {
            name: one.name.clone(),
            version: Some(one.version),
            tags: vec![("t".to_owned(), value.clone())],
        };
        if self.change(vault, set) {
            self.tags.push_back(value);
        }
    }

    /// Whether it was done: locks and what is gone may refuse it, a vault that cannot write may not.
    fn change(&self, vault: &mut Running, command: Command) -> bool {
        match vault.ask(command) {
            Ok(_) => true,
            Err(
                Refusal::Policy(_)
                | Refusal::NoSuchVersion
                | Refusal::NoSuchKey { .. }
                | Refusal::NoSuchBucket,
            ) => false,
            Err(other) => panic!("refused: {other:?}"),
        }
    }
}
