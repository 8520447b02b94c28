//! What the vault must hold, by everything it has acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::units::{BucketId, ObjectId, UnixMillis, UploadId, VersionId};
use stele_store::policy::{BucketKind, LifecycleRule, Mode, Period, PrefixRule, Retention};
use stele_store::request::{BucketInfo, Checksum, LockWish};

use crate::content::{Body, Content};

/// A bucket and a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Bucket name.
    pub bucket: String,
    /// Object key.
    pub key: Vec<u8>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.bucket, String::from_utf8_lossy(&self.key))
    }
}

/// What is believed about a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// Acknowledged or read.
    Exact(Option<Retention>),
    /// From a default: the vault's clock decided the date, within these bounds.
    Within {
        /// The mode.
        mode: Mode,
        /// Not before.
        least: u64,
        /// Not after.
        most: u64,
    },
}

/// Whether a lock holds, as far as the clocks let an observer know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Certainly.
    Yes,
    /// Perhaps.
    Maybe,
    /// Certainly not.
    No,
}

impl Belief {
    /// The mode, if there is a retention.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Belief::Exact(retention) => retention.map(|retention| retention.mode),
            Belief::Within { mode, .. } => Some(*mode),
        }
    }

    /// Earliest and latest date it may have.
    #[must_use]
    pub fn dates(&self) -> Option<(u64, u64)> {
        match self {
            Belief::Exact(retention) => {
                retention.map(|retention| (retention.until.get(), retention.until.get()))
            }
            Belief::Within { least, most, .. } => Some((*least, *most)),
        }
    }

    /// Whether it holds when the vault's time for releasing lies between these.
    #[must_use]
    pub fn holds(&self, earliest_ms: u64, latest_ms: u64) -> Holds {
        match self.dates() {
            Some((least, _)) if least > latest_ms => Holds::Yes,
            Some((_, most)) if most > earliest_ms => Holds::Maybe,
            _ => Holds::No,
        }
    }

    /// Whether a retention read later agrees.
    #[must_use]
    pub fn agrees(&self, found: Option<Retention>) -> bool {
        match self {
            Belief::Exact(believed) => *believed == found,
            Belief::Within { mode, least, most } => found.is_some_and(|found| {
                found.mode == *mode && (*least..=*most).contains(&found.until.get())
            }),
        }
    }
}

/// A version or a delete marker that S3 shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// A delete marker.
    pub marker: bool,
    /// Its content.
    pub body: Body,
    /// The number its metadata carries; none when a crash left open which of several it is.
    pub number: Option<u64>,
    /// Its ETag, empty for a marker.
    pub etag: String,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
    /// Its retention.
    pub retention: Belief,
    /// Its legal hold.
    pub hold: bool,
    /// When it was stored, once that was read.
    pub modified: Option<UnixMillis>,
    /// Compliance time between which it was stored, milliseconds.
    pub stored_ms: (u64, u64),
    /// Its tags, once they were set or read.
    pub tags: Option<Vec<(String, String)>>,
    /// Parts if multipart.
    pub parts: Option<u32>,
    /// The upload it was, if multipart.
    pub upload: Option<UploadId>,
}

impl Version {
    /// A delete marker.
    #[must_use]
    pub fn marker(id: VersionId, stored_ms: (u64, u64)) -> Self {
        Self {
            id,
            marker: true,
            body: Body::default(),
            number: None,
            etag: String::new(),
            checksums: Vec::new(),
            retention: Belief::Exact(None),
            hold: false,
            modified: None,
            stored_ms,
            tags: None,
            parts: None,
            upload: None,
        }
    }
}

/// One key: what S3 shows of it, and what it must not show again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// Shown, oldest first.
    pub versions: Vec<Version>,
    /// Released, and to be had again.
    pub released: BTreeMap<VersionId, Version>,
    /// Destroyed.
    pub destroyed: BTreeSet<VersionId>,
    /// The object's id, once that was read.
    pub object: Option<ObjectId>,
}

impl Key {
    /// The newest version, unless it is a marker.
    #[must_use]
    pub fn current(&self) -> Option<&Version> {
        self.versions.last().filter(|version| !version.marker)
    }

    /// A version by id.
    #[must_use]
    pub fn version(&self, id: VersionId) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// A version by id, to change it.
    pub fn version_mut(&mut self, id: VersionId) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.id == id)
    }

    /// A version by id, to change it, also if it is not shown.
    pub fn known_mut(&mut self, id: VersionId) -> Option<&mut Version> {
        let shown = self.versions.iter_mut().find(|version| version.id == id);
        shown.or_else(|| self.released.get_mut(&id))
    }

    /// Takes a version out of what is shown.
    pub fn release(&mut self, id: VersionId) {
        if let Some(at) = self.versions.iter().position(|version| version.id == id) {
            self.released.insert(id, self.versions.remove(at));
        }
    }

    /// Shows a released version again.
    pub fn unrelease(&mut self, id: VersionId) {
        self.versions.extend(self.released.remove(&id));
        self.versions.sort_by_key(|version| version.id.ordinal());
    }

    /// A version is no more.
    pub fn destroy(&mut self, id: VersionId) {
        self.release(id);
        self.released.remove(&id);
        self.destroyed.insert(id);
    }

    /// Whether it was shown once and is not any more.
    #[must_use]
    pub fn is_gone(&self, id: VersionId) -> bool {
        self.released.contains_key(&id) || self.destroyed.contains(&id)
    }
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its content.
    pub content: Content,
    /// Its ETag.
    pub etag: String,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
}

/// An open multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key.
    pub key: Vec<u8>,
    /// The number its metadata carries; none when a crash left open which of several it is.
    pub number: Option<u64>,
    /// The lock the object will get.
    pub lock: LockWish,
    /// Compliance time between which it began, milliseconds.
    pub began_ms: (u64, u64),
    /// Its parts.
    pub parts: BTreeMap<u16, Part>,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its id.
    pub id: BucketId,
    /// Its kind.
    pub kind: BucketKind,
    /// Whose it is; empty for the vault's own.
    pub owner: String,
    /// Its default retention.
    pub default: Option<(Mode, Period)>,
    /// What keys with a prefix get instead.
    pub rules: Vec<PrefixRule>,
    /// Most days of retention that may be wished for.
    pub max_days: Option<u32>,
    /// When that was answered to have been set, milliseconds of compliance time: what was asked before may have been judged
    /// before.
    pub bound_set_ms: u64,
    /// Its lifecycle rules.
    pub lifecycle: Vec<LifecycleRule>,
    /// Its keys.
    pub keys: BTreeMap<Vec<u8>, Key>,
    /// Its open uploads.
    pub uploads: BTreeMap<UploadId, Upload>,
}

impl Bucket {
    /// One as it is told, with nothing in it.
    #[must_use]
    pub fn of(info: &BucketInfo) -> Self {
        Self {
            id: info.id,
            kind: info.kind,
            owner: info.owner.as_str().to_owned(),
            default: info.default,
            rules: info.rules.to_vec(),
            max_days: info.max_days,
            bound_set_ms: 0,
            lifecycle: info.lifecycle.to_vec(),
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// What a key gets for which no lock is wished: the longest prefix decides for how long, the bucket in which mode.
    #[must_use]
    pub fn default_of(&self, key: &[u8]) -> Option<(Mode, Period)> {
        let (mode, period) = self.default?;
        let mut of_key: Vec<&PrefixRule> = self.rules.iter().collect();
        of_key.retain(|rule| key.starts_with(&rule.prefix));
        of_key.sort_by_key(|rule| rule.prefix.len());
        let days = of_key.last().map(|rule| Period::Days(rule.days));
        Some((mode, days.unwrap_or(period)))
    }

    /// Sets the rule of a prefix, or takes it away.
    pub fn set_rule(&mut self, prefix: &[u8], days: Option<u32>) {
        self.rules.retain(|rule| rule.prefix != prefix);
        let prefix = prefix.to_vec();
        self.rules
            .extend(days.map(|days| PrefixRule { prefix, days }));
        self.rules.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    }

    /// The version that an upload became, if it is shown.
    #[must_use]
    pub fn completed(&self, key: &[u8], upload: UploadId) -> Option<&Version> {
        let versions = &self.keys.get(key)?.versions;
        versions.iter().find(|one| one.upload == Some(upload))
    }

    /// Whether S3 shows anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.keys.values().all(|key| key.versions.is_empty())
    }

    /// Whether S3 shows versions of it.
    #[must_use]
    pub fn versioned(&self) -> bool {
        self.kind.has_lock()
    }
}

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// Buckets by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// Configuration values by name.
    pub configs: BTreeMap<String, Vec<u8>>,
}

impl Model {
    /// A key that has or had versions.
    #[must_use]
    pub fn key(&self, place: &Place) -> Option<&Key> {
        self.buckets.get(&place.bucket)?.keys.get(&place.key)
    }

    /// A key, made if need be.
    pub fn key_mut(&mut self, place: &Place) -> Option<&mut Key> {
        Some(
            self.buckets
                .get_mut(&place.bucket)?
                .keys
                .entry(place.key.clone())
                .or_default(),
        )
    }

    /// Versions and markers shown.
    #[must_use]
    pub fn version_count(&self) -> usize {
        let keys = self
            .buckets
            .values()
            .flat_map(|bucket| bucket.keys.values());
        keys.map(|key| key.versions.len() + key.released.len() + key.destroyed.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Belief, Holds};
    use stele_format::units::UnixMillis;
    use stele_store::policy::{Mode, Retention};

    #[test]
    fn a_lock_holds_for_sure_only_when_every_clock_agrees() {
        let exact = |until| {
            let until = UnixMillis::new(until);
            Belief::Exact(Some(Retention {
                mode: Mode::Compliance,
                until,
            }))
        };
        for (belief, earliest, latest, holds) in [
            (Belief::Exact(None), 0, 0, Holds::No),
            (exact(10), 5, 9, Holds::Yes),
            (exact(10), 5, 10, Holds::Maybe),
            (exact(10), 10, 12, Holds::No),
            (
                Belief::Within {
                    mode: Mode::Governance,
                    least: 5,
                    most: 9,
                },
                1,
                4,
                Holds::Yes,
            ),
            (
                Belief::Within {
                    mode: Mode::Governance,
                    least: 5,
                    most: 9,
                },
                1,
                5,
                Holds::Maybe,
            ),
            (
                Belief::Within {
                    mode: Mode::Governance,
                    least: 5,
                    most: 9,
                },
                8,
                20,
                Holds::Maybe,
            ),
            (
                Belief::Within {
                    mode: Mode::Governance,
                    least: 5,
                    most: 9,
                },
                9,
                20,
                Holds::No,
            ),
        ] {
            assert_eq!(
                belief.holds(earliest, latest),
                holds,
                "{belief:?} {earliest}..{latest}"
            );
        }
    }
}
