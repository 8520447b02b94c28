//! What an acknowledged change does to the model.

use stele_format::units::{UploadId, VersionId};
use stele_store::policy::{Mode, Period, Retention};
use stele_store::request::{Answer, LockWish, Stored};

use super::Oracle;
use super::deed::{Asked, Deed};
use super::model::{Belief, Bucket, Part, Place, Upload, Version};
use super::rules::{self, Times};
use crate::content::{Body, Content};
use crate::error::Violation;
use crate::limits::DAY_MS;

impl Oracle {
    /// Enters an acknowledged change.
    pub(super) fn apply(
        &mut self,
        asked: &Asked,
        answer: &Answer,
        times: Times,
    ) -> Result<(), Violation> {
        match (&asked.deed, answer) {
            (Deed::CreateBucket { name, .. }, Answer::Bucket(info)) => {
                let mut bucket = Bucket::of(info);
                bucket.owner = asked.who.owner();
                self.model.buckets.insert(name.clone(), bucket);
            }
            (Deed::DeleteBucket { name }, Answer::Done) => {
                self.model.buckets.remove(name);
            }
            (Deed::SetDefault { bucket, default }, Answer::Done) => {
                if let Some(bucket) = self.model.buckets.get_mut(bucket) {
                    bucket.default = *default;
                }
            }
            (Deed::Put { .. } | Deed::Part { .. } | Deed::Complete { .. }, Answer::Stored(s)) => {
                self.stored(asked, s, times)?;
            }
            (
                Deed::Delete { at, version, .. },
                Answer::Deleted {
                    marker,
                    version: made,
                    ..
                },
            ) => {
                self.deleted((asked, times), at, *version, (*marker, *made))?;
            }
            (
                Deed::SetRetention {
                    at,
                    version,
                    wanted,
                    ..
                },
                Answer::Done,
            ) => {
                self.change(at, *version, |version| {
                    version.retention = Belief::Exact(*wanted)
                });
            }
            (Deed::SetHold { at, version, on }, Answer::Done) => {
                self.change(at, *version, |version| version.hold = *on);
            }
            (Deed::CreateUpload { at, number, lock }, Answer::Upload(id)) => {
                self.upload(at, *id, (Some(*number), *lock), times);
            }
            (Deed::AbortUpload { at, upload }, Answer::Done) => {
                if let Some(bucket) = self.model.buckets.get_mut(&at.bucket) {
                    bucket.uploads.remove(upload);
                }
            }
            (Deed::PutConfig { name, value }, Answer::Done) => {
                let old = self.model.configs.insert(name.clone(), value.clone());
                for asked in self.asked.values_mut() {
                    if matches!(&asked.deed, Deed::GetConfig { name: of } if of == name) {
                        asked.overtaken.push(old.clone());
                    }
                }
            }
            (Deed::Upkeep(upkeep), answer) => {
                if !self.kept_up(asked, upkeep, answer, times)? {
                    return Err(Self::strange(asked, answer));
                }
            }
            _ => return Err(Self::strange(asked, answer)),
        }
        Ok(())
    }

    /// Enters an open upload.
    pub(super) fn upload(
        &mut self,
        at: &Place,
        id: UploadId,
        (number, lock): (Option<u64>, LockWish),
        times: Times,
    ) {
        let parts = std::collections::BTreeMap::new();
        let upload = Upload {
            key: at.key.clone(),
            number,
            lock,
            began_ms: times.between_ms(),
            parts,
        };
        if let Some(bucket) = self.model.buckets.get_mut(&at.bucket) {
            bucket.uploads.insert(id, upload);
        }
    }

    fn stored(&mut self, asked: &Asked, stored: &Stored, times: Times) -> Result<(), Violation> {
        // Who asks once more for an upload to be completed is told what it became, of which a frame long ago has the proof.
        let again = match &asked.deed {
            Deed::Complete { at, upload, .. } => self.is_blind() || self.is_completed(at, *upload),
            _ => false,
        };
        if let Some(receipts) = self.receipts.as_mut()
            && !(again && stored.receipt.is_none())
        {
            receipts.take(stored)?;
        }
        match &asked.deed {
            Deed::Put {
                at,
                content,
                lock,
                checksums,
                md5,
                ..
            } => {
                self.check_etag(asked, &stored.etag, md5.as_ref(), 1)?;
                let version = stored
                    .version
                    .ok_or_else(|| wrong(asked, "no version id"))?;
                let new = Version {
                    id: version,
                    marker: false,
                    body: Body::of(*content),
                    number: Some(content.number),
                    etag: stored.etag.clone(),
                    checksums: checksums.clone(),
                    retention: self.first_lock(at, *lock, times),
                    hold: lock.hold == Some(true),
                    modified: None,
                    stored_ms: times.between_ms(),
                    tags: None,
                    parts: None,
                    upload: None,
                };
                self.add(asked, at, new)
            }
            Deed::Part {
                at,
                upload,
                number,
                content,
                checksums,
                md5,
            } => {
                self.check_etag(asked, &stored.etag, md5.as_ref(), 1)?;
                let part = Part {
                    content: *content,
                    etag: stored.etag.clone(),
                    checksums: checksums.clone(),
                };
                let bucket = self.model.buckets.get_mut(&at.bucket);
                if let Some(upload) = bucket.and_then(|bucket| bucket.uploads.get_mut(upload)) {
                    upload.parts.insert(*number, part);
                }
                Ok(())
            }
            Deed::Complete {
                at, upload, parts, ..
            } => {
                self.check_etag(asked, &stored.etag, None, parts.len())?;
                let version = stored
                    .version
                    .ok_or_else(|| wrong(asked, "no version id"))?;
                self.completed(asked, at, *upload, (version, &stored.etag), parts, times)
            }
            _ => Ok(()),
        }
    }

    fn completed(
        &mut self,
        asked: &Asked,
        at: &Place,
        upload: UploadId,
        (version, etag): (VersionId, &str),
        parts: &[(u16, String)],
        times: Times,
    ) -> Result<(), Violation> {
        let bucket = self.model.buckets.get_mut(&at.bucket);
        let Some(bucket) = bucket else {
            return self.unless_blind(asked, "no such bucket");
        };
        let Some(known) = bucket.uploads.remove(&upload) else {
            // Asked once more: the answer is that of the first time.
            let before = bucket.completed(&at.key, upload);
            return match before {
                Some(before) if (before.id, &*before.etag) == (version, etag) => Ok(()),
                _ => self.unless_blind(asked, "no such upload"),
            };
        };
        let contents: Vec<Content> = parts
            .iter()
            .filter_map(|(number, _)| Some(known.parts.get(number)?.content))
            .collect();
        let new = Version {
            id: version,
            marker: false,
            body: Body(contents),
            number: known.number,
            etag: etag.to_owned(),
            checksums: Vec::new(),
            retention: self.first_lock(at, known.lock, times),
            hold: known.lock.hold == Some(true),
            modified: None,
            stored_ms: times.between_ms(),
            tags: None,
            parts: Some(u32::try_from(parts.len()).unwrap_or(u32::MAX)),
            upload: Some(upload),
        };
        self.add(asked, at, new)
    }

    fn is_completed(&self, at: &Place, upload: UploadId) -> bool {
        let bucket = self.model.buckets.get(&at.bucket);
        bucket.is_some_and(|bucket| bucket.completed(&at.key, upload).is_some())
    }

    fn unless_blind(&self, asked: &Asked, why: &'static str) -> Result<(), Violation> {
        if self.is_blind() {
            Ok(())
        } else {
            Err(wrong(asked, why))
        }
    }

    fn check_etag(
        &self,
        asked: &Asked,
        etag: &str,
        md5: Option<&[u8; 16]>,
        parts: usize,
    ) -> Result<(), Violation> {
        let multipart = matches!(asked.deed, Deed::Complete { .. });
        let right = match md5 {
            Some(md5) if !multipart => {
                etag == md5
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            }
            _ => etag.split_once('-').is_some_and(|(hex, count)| {
                hex.len() == 32
                    && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && count.parse() == Ok(parts)
            }),
        };
        if right {
            Ok(())
        } else {
            Err(wrong(asked, etag))
        }
    }

    /// The lock a new version starts with.
    pub(super) fn first_lock(&self, at: &Place, wish: LockWish, times: Times) -> Belief {
        let Some(bucket) = self.model.buckets.get(&at.bucket) else {
            return Belief::Exact(None);
        };
        match (wish.retention, bucket.default_of(&at.key)) {
            (Some(retention), _) => Belief::Exact(Some(retention)),
            (None, Some((mode, period))) if bucket.versioned() => within(mode, period, times),
            _ => Belief::Exact(None),
        }
    }

    /// Enters a new newest version.
    pub(super) fn add(&mut self, asked: &Asked, at: &Place, new: Version) -> Result<(), Violation> {
        let blind = self.is_blind();
        let number = new.number;
        let id = new.id;
        let bucket = self.model.buckets.get_mut(&at.bucket);
        let Some(bucket) = bucket else {
            return if blind {
                Ok(())
            } else {
                Err(wrong(asked, "success without a bucket"))
            };
        };
        let plain = !bucket.versioned();
        let key = bucket.keys.entry(at.key.clone()).or_default();
        let newest = key.versions.last().map(|version| version.id.ordinal());
        if newest.is_some_and(|newest| newest >= id.ordinal()) && !blind {
            return Err(wrong(asked, "a version id that is not newer than the last"));
        }
        if plain && let Some(old) = key.versions.last().map(|version| version.id) {
            key.release(old);
        }
        key.versions.push(new);
        if let Some(number) = number {
            self.made.insert(id, number);
        }
        Ok(())
    }

    fn deleted(
        &mut self,
        (asked, times): (&Asked, Times),
        at: &Place,
        version: Option<VersionId>,
        (marker, made): (bool, Option<VersionId>),
    ) -> Result<(), Violation> {
        let versioned = self
            .model
            .buckets
            .get(&at.bucket)
            .is_some_and(Bucket::versioned);
        match (version, versioned) {
            (None, true) => {
                let id = made
                    .filter(|_| marker)
                    .ok_or_else(|| wrong(asked, "no marker"))?;
                self.add(asked, at, Version::marker(id, times.between_ms()))
            }
            (None, false) => {
                let Some(key) = self.model.key_mut(at) else {
                    return Ok(());
                };
                if let Some(old) = key.versions.last().map(|version| version.id) {
                    key.release(old);
                }
                Ok(())
            }
            (Some(id), _) => {
                let Some(key) = self.model.key_mut(at) else {
                    return Ok(());
                };
                if key.version(id).is_some() {
                    key.release(id);
                }
                Ok(())
            }
        }
    }

    /// Changes the version a question meant.
    pub(super) fn change(
        &mut self,
        at: &Place,
        version: Option<VersionId>,
        change: impl FnOnce(&mut Version),
    ) {
        let Ok((_, found)) = rules::find(&self.model, at, version) else {
            return;
        };
        let id = found.id;
        if let Some(version) = self.model.key_mut(at).and_then(|key| key.version_mut(id)) {
            change(version);
        }
    }
}

/// A default retention counts from a moment between question and answer, by the later clock.
pub(super) fn within(mode: Mode, period: Period, times: Times) -> Belief {
    let length = match period {
        Period::Days(days) => u64::from(days) * DAY_MS,
        Period::Years(years) => u64::from(years) * 365 * DAY_MS,
    };
    Belief::Within {
        mode,
        least: times.since_ms + length,
        most: times.until_ms + DAY_MS + length,
    }
}

/// The lock a version of unknown outcome may have started with, for comparing what a survey found.
pub(super) fn lock_agrees(belief: Belief, found: Option<Retention>) -> bool {
    belief.agrees(found)
}

fn wrong(asked: &Asked, got: &str) -> Violation {
    Violation::Answer {
        deed: asked.deed.to_string(),
        expected: "an answer that fits".to_owned(),
        got: got.to_owned(),
    }
}
