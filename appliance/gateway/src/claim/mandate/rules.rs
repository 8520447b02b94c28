//! Which questions serve what was signed: one rule for each.

use s3s::path::S3Path;
use stele_format::units::{UploadId, VersionId};

use super::{Mandate, Method, Query, Source, Sub, Version};
use crate::message::{ListWish, LockWish, ObjectName, Purpose, Request};
use crate::sosapi::{self, Which};

impl Mandate {
    /// Whether a question serves what was signed. The content of a body is not known here: keys that DeleteObjects
    /// names, parts, tags and rules stand in it.
    #[must_use]
    pub fn admits(&self, request: &Request) -> bool {
        match request {
            // They make sessions and serve bodies; nothing behind them answers.
            Request::SignIn { .. } | Request::VerifyChunks { .. } => false,
            // Their stream was opened by a question that was admitted.
            Request::PutData { .. }
            | Request::CommitPut { .. }
            | Request::AbortPut { .. }
            | Request::NextData { .. }
            | Request::CloseGet { .. } => true,

            Request::ListBuckets => self.method == Method::Get && self.place == S3Path::Root,
            Request::HeadBucket { name } => self.touches(name),
            Request::CreateBucket { name, lock } => {
                self.is_of_bucket(Method::Put, None, name) && *lock == self.bucket_lock
            }
            Request::DeleteBucket { name } => self.is_of_bucket(Method::Delete, None, name),
            Request::SetDefaultRetention { bucket, .. } => {
                self.is_of_bucket(Method::Put, Some(Sub::ObjectLock), bucket)
            }
            Request::SetLifecycle { bucket, rules } => {
                let method = match rules.is_empty() {
                    true => Method::Delete,
                    false => Method::Put,
                };
                self.is_of_bucket(method, Some(Sub::Lifecycle), bucket)
            }
            Request::List(wish) => self.lists(None, wish),
            Request::ListVersions(wish) => self.lists(Some(Sub::Versions), wish),
            Request::ListUploads(wish) => self.lists(Some(Sub::Uploads), wish),

            Request::OpenGet { name, version, .. } => {
                self.is_of_object(Method::Get, None, name)
                    && self.query.upload.is_none()
                    && self.reads(&name.bucket, self.query.version, *version)
                    || self.copies_from(name, *version)
            }
            Request::Head { name, version } => self.looks_at(name, *version),
            Request::Capacity => self.asks_for_capacity(),

            Request::Put { name, purpose, .. } | Request::OpenPut { name, purpose, .. } => {
                self.is_of_object(Method::Put, None, name) && self.stores(purpose)
            }
            Request::Delete {
                name,
                version,
                bypass,
            } => self.deletes(name, *version) && self.may(*bypass),
            Request::SetRetention {
                name,
                version,
                bypass,
                ..
            } => {
                self.is_of_object(Method::Put, Some(Sub::Retention), name)
                    && self.changes(&name.bucket, *version)
                    && self.may(*bypass)
            }
            Request::SetHold { name, version, .. } => {
                self.is_of_object(Method::Put, Some(Sub::LegalHold), name)
                    && self.changes(&name.bucket, *version)
            }
            Request::SetTags {
                name,
                version,
                tags,
            } => {
                let puts = self.is_of_object(Method::Put, Some(Sub::Tagging), name);
                let clears = self.is_of_object(Method::Delete, Some(Sub::Tagging), name);
                (puts || clears && tags.is_empty()) && self.changes(&name.bucket, *version)
            }

            Request::CreateUpload { name, lock, .. } => {
                self.is_of_object(Method::Post, Some(Sub::Uploads), name) && self.locks(lock)
            }
            Request::HeadUpload { name, upload } => {
                self.is_of_upload(Method::Get, name, *upload)
                    || self.is_of_upload(Method::Post, name, *upload)
                    || self.is_of_upload(Method::Put, name, *upload)
            }
            Request::ListParts {
                name,
                upload,
                after,
                parts_max,
            } => {
                let page = (*after, *parts_max);
                self.is_of_upload(Method::Get, name, *upload)
                    || self.is_of_upload(Method::Post, name, *upload)
                    || self.is_of_upload(Method::Put, name, *upload) && self.is_its_part(page)
            }
            Request::CompleteUpload { name, upload, .. } => {
                self.is_of_upload(Method::Post, name, *upload)
            }
            Request::AbortUpload { name, upload } => {
                self.is_of_upload(Method::Delete, name, *upload)
            }
        }
    }

    /// Whether exactly this of it was signed: the thing itself, or one of its parts.
    fn is(&self, method: Method, sub: Option<Sub>) -> bool {
        let subs = &self.query.subs;
        self.method == method && sub.map_or(subs.is_empty(), |sub| subs.contains(&sub))
    }

    fn is_of_bucket(&self, method: Method, sub: Option<Sub>, name: &str) -> bool {
        let here = matches!(&self.place, S3Path::Bucket { bucket } if **bucket == *name);
        here && self.is(method, sub)
    }

    fn is_of_object(&self, method: Method, sub: Option<Sub>, name: &ObjectName) -> bool {
        self.names(name) && self.is(method, sub)
    }

    fn is_of_upload(&self, method: Method, name: &ObjectName, upload: UploadId) -> bool {
        self.is_of_object(method, None, name) && self.query.upload == Some(Some(upload))
    }

    fn names(&self, name: &ObjectName) -> bool {
        let S3Path::Object { bucket, key } = &self.place else {
            return false;
        };
        **bucket == *name.bucket && **key == *name.key
    }

    /// Whether something in this bucket was signed, or is copied out of it.
    pub(super) fn touches(&self, name: &str) -> bool {
        let here = match &self.place {
            S3Path::Root => None,
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(&**bucket),
        };
        let there = self.source.as_ref().map(|source| &*source.name.bucket);
        here == Some(name) || there == Some(name)
    }

    /// A page of the listing: where it begins is said by the pages before.
    fn lists(&self, sub: Option<Sub>, wish: &ListWish) -> bool {
        let delimiter = wish.delimiter.as_deref().unwrap_or_default();
        self.is_of_bucket(Method::Get, sub, &wish.bucket)
            && self.query.prefix.as_deref() == Some(&*wish.prefix)
            && self.query.delimiter.as_deref() == Some(delimiter)
    }

    /// The version that was signed, or that the engine said is current.
    fn reads(&self, bucket: &str, signed: Version, asked: Option<VersionId>) -> bool {
        match signed {
            Version::Null if !self.is_plain(bucket) => false,
            Version::Current | Version::Null => asked.is_none() || asked == self.told,
            Version::Id(version) => asked == Some(version),
            Version::Malformed => false,
        }
    }

    /// The version that was signed, and no other.
    fn changes(&self, bucket: &str, asked: Option<VersionId>) -> bool {
        match self.query.version {
            Version::Null if !self.is_plain(bucket) => false,
            Version::Current | Version::Null => asked.is_none(),
            Version::Id(version) => asked == Some(version),
            Version::Malformed => false,
        }
    }

    fn is_plain(&self, bucket: &str) -> bool {
        self.plain.iter().any(|plain| plain == bucket)
    }

    fn looks_at(&self, name: &ObjectName, version: Option<VersionId>) -> bool {
        let reads = matches!(self.method, Method::Get | Method::Head)
            || self.is(Method::Put, Some(Sub::Acl));
        // When a copy was stored, its answer says.
        let stored = self.copies().is_some() && self.reads(&name.bucket, Version::Current, version);
        self.names(name)
            && (reads && self.reads(&name.bucket, self.query.version, version) || stored)
            || self.copies_from(name, version)
    }

    /// What is copied, if this is a copy.
    fn copies(&self) -> Option<&Source> {
        let source = self.source.as_ref();
        source.filter(|_| self.is(Method::Put, None))
    }

    fn copies_from(&self, name: &ObjectName, version: Option<VersionId>) -> bool {
        self.copies().is_some_and(|source| {
            source.is(name) && self.reads(&name.bucket, source.version, version)
        })
    }

    /// Whether what is stored is what was signed: all of an object, or a part by its number and its upload.
    fn stores(&self, purpose: &Purpose) -> bool {
        let Query { upload, part, .. } = self.query;
        let named = match (purpose, upload, part) {
            (Purpose::Object { lock, .. }, None, None) => self.locks(lock),
            (Purpose::Part { upload, number }, Some(signed), Some(part)) => {
                (signed, part) == (Some(*upload), Some(*number))
            }
            _ => false,
        };
        named && self.query.version == Version::Current
    }

    /// Whether a lock is the one that was signed: neither less nor more.
    fn locks(&self, lock: &LockWish) -> bool {
        self.lock.as_ref() == Some(lock)
    }

    fn deletes(&self, name: &ObjectName, version: Option<VersionId>) -> bool {
        let one = self.is_of_object(Method::Delete, None, name)
            && self.query.upload.is_none()
            && self.changes(&name.bucket, version);
        one || self.is_of_bucket(Method::Post, Some(Sub::Delete), &name.bucket)
    }

    fn may(&self, bypass: bool) -> bool {
        !bypass || self.bypass
    }

    /// After a copy, of the parts of its upload the one that was copied.
    fn is_its_part(&self, (after, parts_max): (u16, u32)) -> bool {
        let before = self.query.part.flatten();
        let before = before.and_then(|number| number.checked_sub(1));
        self.copies().is_some() && before == Some(after) && parts_max == 1
    }

    fn asks_for_capacity(&self) -> bool {
        let reads = matches!(self.method, Method::Get | Method::Head);
        let S3Path::Object { key, .. } = &self.place else {
            return false;
        };
        reads && sosapi::which(key) == Some(Which::Capacity)
    }
}

impl Source {
    fn is(&self, name: &ObjectName) -> bool {
        let key = match self.folded {
            true => self.name.key == folded(&name.key),
            false => self.name.key == name.key,
        };
        key && self.name.bucket == name.bucket
    }
}

/// A key as a canonical header shows it: each run of blanks is one.
fn folded(key: &str) -> String {
    let mut folded = String::with_capacity(key.len());
    for letter in key.chars() {
        let blank = matches!(letter, ' ' | '\t');
        if !(blank && folded.ends_with(' ')) {
            folded.push(if blank { ' ' } else { letter });
        }
    }
    folded
}
