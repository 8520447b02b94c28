//! Listings and multipart uploads of the test engine.

use std::collections::BTreeSet;

use stele_format::units::UploadId;
use stele_gateway::message::{
    Answer, Checksum, ChecksumKind, Conditions, ListWish, ListedObject, ListedPart, ListedUpload,
    ListedVersion, LockWish, Metadata, NamedPart, ObjectName, Page, Refusal,
};

use super::{State, Upload, now};

/// Rolls sorted rows up into a page.
fn page<Row>(wish: &ListWish, rows: impl Iterator<Item = (String, String, Row)>) -> Page<Row> {
    let mut page = Page {
        rows: Vec::new(),
        common_prefixes: Vec::new(),
        next: None,
    };
    let mut seen = BTreeSet::new();
    let mut last: Option<(String, Option<String>)> = None;
    let most = usize::try_from(wish.entries_max).expect("small");
    let mut passed = wish.after_version.is_none();
    for (key, id, row) in rows {
        let Some(rest) = key.strip_prefix(&wish.prefix) else {
            continue;
        };
        let rolled = wish.delimiter.as_ref().and_then(|delimiter| {
            rest.find(delimiter.as_str())
                .map(|at| format!("{}{}", wish.prefix, &rest[..at + delimiter.len()]))
        });
        let place = rolled.clone().unwrap_or_else(|| key.clone());
        if let Some(after) = &wish.after {
            let same = &place == after && wish.after_version.is_some();
            if same && !passed {
                passed = wish.after_version.as_ref() == Some(&id);
                continue;
            }
            if &place < after || (&place == after && !same) {
                continue;
            }
        }
        if rolled.is_some() && seen.contains(&place) {
            continue;
        }
        if page.rows.len() + page.common_prefixes.len() == most {
            page.next = last.filter(|_| most > 0);
            return page;
        }
        last = Some((place.clone(), rolled.is_none().then_some(id)));
        match rolled {
            Some(prefix) => {
                seen.insert(prefix.clone());
                page.common_prefixes.push(prefix);
            }
            None => page.rows.push(row),
        }
    }
    page
}

impl State {
    fn keys<'s>(
        &'s self,
        bucket: &'s str,
    ) -> impl Iterator<Item = (&'s String, &'s Vec<super::Version>)> {
        let mine = self.objects.iter().filter(move |((b, _), _)| b == bucket);
        mine.map(|((_, key), versions)| (key, versions))
    }

    pub(super) fn list(&self, wish: &ListWish) -> Result<Page<ListedObject>, Refusal> {
        self.bucket(&wish.bucket)?;
        let rows = self.keys(&wish.bucket).filter_map(|(key, versions)| {
            let current = versions.last().filter(|version| !version.marker)?;
            let row = ListedObject {
                key: key.clone(),
                etag: current.info.etag.clone(),
                content_bytes: current.info.content_bytes,
                modified: current.info.modified,
            };
            Some((key.clone(), String::new(), row))
        });
        Ok(page(wish, rows))
    }

    pub(super) fn list_versions(&self, wish: &ListWish) -> Result<Page<ListedVersion>, Refusal> {
        self.bucket(&wish.bucket)?;
        let rows = self.keys(&wish.bucket).flat_map(|(key, versions)| {
            versions.iter().rev().enumerate().map(|(at, version)| {
                let row = ListedVersion {
                    key: key.clone(),
                    version: version.info.version,
                    marker: version.marker,
                    current: at == 0,
                    etag: version.info.etag.clone(),
                    content_bytes: version.info.content_bytes,
                    modified: version.info.modified,
                };
                (key.clone(), version.info.version.to_string(), row)
            })
        });
        Ok(page(wish, rows))
    }

    pub(super) fn list_uploads(&self, wish: &ListWish) -> Result<Page<ListedUpload>, Refusal> {
        self.bucket(&wish.bucket)?;
        let mut rows: Vec<_> = self
            .uploads
            .iter()
            .filter(|(_, upload)| upload.name.bucket == wish.bucket)
            .map(|(id, upload)| {
                let key = upload.name.key.clone();
                let row = ListedUpload {
                    key: key.clone(),
                    upload: *id,
                    started: upload.started,
                };
                (key, id.to_string(), row)
            })
            .collect();
        rows.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        Ok(page(wish, rows.into_iter()))
    }

    pub(super) fn create_upload(
        &mut self,
        name: ObjectName,
        metadata: Metadata,
        lock: LockWish,
        announced: Option<(ChecksumKind, bool)>,
    ) -> Result<Answer, Refusal> {
        self.bucket(&name.bucket)?;
        self.check_lock(&name.bucket, &lock)?;
        let id = UploadId::from(self.version());
        let parts = super::BTreeMap::new();
        self.uploads.insert(
            id,
            Upload {
                name,
                metadata,
                lock,
                started: now(),
                announced,
                parts,
            },
        );
        Ok(Answer::Upload(id))
    }

    pub(super) fn list_parts(
        &self,
        upload: UploadId,
        after: u16,
        parts_max: u32,
    ) -> Result<Answer, Refusal> {
        let upload = self.uploads.get(&upload).ok_or(Refusal::NoSuchUpload)?;
        let most = usize::try_from(parts_max).expect("small");
        let rows: Vec<_> = upload.parts.range(after + 1..).collect();
        let more = rows.len() > most;
        let rows = rows
            .into_iter()
            .take(most)
            .map(|(number, part)| ListedPart {
                number: *number,
                etag: part.etag.clone(),
                content_bytes: u64::try_from(part.content.len()).expect("small"),
                modified: part.modified,
                checksums: part.checksums.clone(),
            });
        Ok(Answer::Parts(rows.collect(), more))
    }

    pub(super) fn complete(
        &mut self,
        id: UploadId,
        named: &[NamedPart],
        checksums: Vec<Checksum>,
        conditions: &Conditions,
    ) -> Result<Answer, Refusal> {
        let Some(upload) = self.uploads.get(&id) else {
            let before = self.completed.get(&id);
            let before = before.filter(|(_, parts)| *parts == named.len());
            let (stored, _) = before.ok_or(Refusal::NoSuchUpload)?;
            return Ok(Answer::Stored(stored.clone()));
        };
        let mut content = Vec::new();
        for part in named {
            let missing = Refusal::Part {
                number: part.number,
            };
            let stored = upload.parts.get(&part.number).ok_or(missing.clone())?;
            if stored.etag != part.etag {
                return Err(missing);
            }
            if part
                .checksums
                .iter()
                .any(|sum| !stored.checksums.contains(sum))
            {
                return Err(missing);
            }
            content.extend_from_slice(&stored.content);
        }
        self.check_conditions(&upload.name, conditions)?;
        let upload = self.uploads.remove(&id).ok_or(Refusal::NoSuchUpload)?;
        let etag = format!("{:032x}-{}", self.number(), named.len());
        let sizes = named
            .iter()
            .map(|part| upload.parts[&part.number].content.len());
        let sizes = sizes
            .map(|size| u64::try_from(size).expect("small"))
            .collect();
        let (name, metadata, lock) = (upload.name, upload.metadata, upload.lock);
        let place = (name.bucket.clone(), name.key.clone());
        let stored = self.store(name, content, etag, metadata, lock, checksums)?;
        if let Some(version) = self.objects.entry(place).or_default().last_mut() {
            version.info.part_sizes = sizes;
        }
        self.completed.insert(id, (stored.clone(), named.len()));
        Ok(Answer::Stored(stored))
    }
}
