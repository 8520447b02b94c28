//! What a vault shows, against what clients stored and what the log says of it.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::LockMode;
use stele_format::units::{UploadId, VersionId};
use stele_store::policy::Mode;
use stele_store::request::{Answer, Command, ListWish, ObjectName, Refusal};

use crate::archive::{Archive, Fate, Marks};
use crate::clients::{Clients, Stored};
use crate::support::locks::head;
use crate::support::{Running, content};

/// Everything a vault shows.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Picture {
    pub buckets: Vec<String>,
    pub versions: BTreeMap<VersionId, Marks>,
    pub uploads: BTreeSet<UploadId>,
}

/// Takes it, and reads every version to its last byte.
pub fn take(vault: &mut Running, clients: &Clients) -> Picture {
    let Ok(Answer::Buckets(buckets)) = vault.ask(Command::ListBuckets) else {
        panic!("no list of buckets")
    };
    let mut picture = Picture::default();
    for bucket in buckets {
        let wish = ListWish {
            bucket: bucket.name.clone(),
            entries_max: u32::MAX,
            ..ListWish::default()
        };
        match vault.ask(Command::ListUploads(wish.clone())) {
            Ok(Answer::Uploads(page)) => {
                let uploads = page.rows.iter().map(|row| row.upload);
                picture.uploads.extend(uploads);
            }
            other => panic!("no list of uploads: {other:?}"),
        }
        let rows = match vault.ask(Command::ListVersions(wish)) {
            Ok(Answer::VersionListing(page)) => page.rows,
            other => panic!("no list of versions: {other:?}"),
        };
        for row in rows {
            let stored = clients.stored.iter();
            let mut stored = stored.filter(|one| one.version == row.version);
            let stored = stored.next().expect("a version that somebody stored");
            assert_eq!(stored.name.bucket, bucket.name);
            assert_eq!(stored.name.key, row.key);
            let marks = marks(vault, stored);
            reads(vault, stored);
            picture.versions.insert(row.version, marks);
        }
        picture.buckets.push(bucket.name);
    }
    picture
}

fn reads(vault: &mut Running, stored: &Stored) {
    let read = vault.get(&stored.name, Some(stored.version), None);
    let same = read.as_deref() == Ok(&content(stored.seed, stored.bytes)[..]);
    assert!(same, "{stored:?} reads otherwise: {:?}", read.err());
}

fn marks(vault: &mut Running, stored: &Stored) -> Marks {
    let info = head(vault, &stored.name, Some(stored.version)).expect("a version that is listed");
    Marks {
        mode: match info.retention.map(|retention| retention.mode) {
            None => LockMode::None,
            Some(Mode::Governance) => LockMode::Governance,
            Some(Mode::Compliance) => LockMode::Compliance,
        },
        until_ms: info.retention.map_or(0, |retention| retention.until.get()),
        hold: info.hold == Some(true),
        tags: info.metadata.tags.first().map(|(_, value)| value.clone()),
    }
}

impl Picture {
    /// Whether this is what the log says: whatever was not given up is there, and nothing that was.
    pub fn check(&self, clients: &Clients, log: &Archive) {
        for stored in &clients.stored {
            let shown = self.versions.get(&stored.version);
            match log.fate(stored.version) {
                Fate::There(marks) => assert_eq!(shown, Some(&marks), "{stored:?}"),
                Fate::Gone => assert_eq!(shown, None, "{stored:?} is back"),
                Fate::Either => {}
            }
        }
        for begun in &clients.begun {
            let shown = self.uploads.contains(&begun.upload);
            match log.fate_of_upload(begun.upload) {
                Fate::There(()) => assert!(shown, "upload {} is gone", begun.upload),
                Fate::Gone => assert!(!shown, "upload {} is back", begun.upload),
                Fate::Either => {}
            }
        }
    }
}

/// A vault that is only read shows right bytes or says that it may lack something.
pub fn check_only_read(vault: &mut Running, clients: &Clients, log: &Archive) {
    for stored in &clients.stored {
        match vault.get(&stored.name, Some(stored.version), None) {
            Ok(read) => assert!(read == content(stored.seed, stored.bytes), "{stored:?}"),
            Err(Refusal::MayBeLost(_)) => {}
            Err(other) => assert_eq!(
                log.fate(stored.version),
                Fate::Gone,
                "{stored:?}: {other:?}"
            ),
        }
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ObjectName { bucket, key } = &self.name;
        let key = String::from_utf8_lossy(key);
        let (seed, bytes) = (self.seed, self.bytes);
        write!(
            f,
            "{bucket}/{key} {} (content {seed}, {bytes} bytes)",
            self.version
        )
    }
}
