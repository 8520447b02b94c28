//! What destruction means for the index: versions that nothing opens, manifests under new leaves,
//! tombstones.

use std::collections::{BTreeMap, BTreeSet};

use stele_format::record::VersionRef;
use stele_format::units::{
    BucketId, KeyIndex, LogIndex, Month, ObjectId, UnixMillis, UploadId, VersionId,
};

use super::{ApplyError, Change, Context, put};
use crate::index::bundle::Scan;
use crate::index::fact::ManifestFacts;
use crate::index::keys;
use crate::index::rows::{
    Current, Leaves, NameRow, ObjectRow, RecordLocation, Table, TableRow, TombstoneRow, VersionRow,
};

/// A piece of a request's tombstones, as a fact states it.
pub(super) struct Piece<'a> {
    pub(super) request: LogIndex,
    pub(super) ordinal: u32,
    pub(super) at: UnixMillis,
    pub(super) last: bool,
    pub(super) month: Option<Month>,
    pub(super) entries: &'a [VersionRef],
}

impl Context<'_> {
    /// A version whose manifest does not open gets a row all the same, so that what later records say of
    /// it finds one.
    pub(super) fn version_closed(
        &self,
        bucket: BucketId,
        object: ObjectId,
        row: &VersionRow,
        completes: Option<UploadId>,
    ) -> Result<Vec<Change>, ApplyError> {
        let key = keys::version(object, row.version);
        if let Some(known) = self.find::<VersionRow>(&key)? {
            return if known.version == row.version {
                Ok(Vec::new())
            } else {
                Err(self.conflict(Table::Versions))
            };
        }
        let mut changes = Vec::new();
        let object_key = keys::object(object);
        if self.find::<ObjectRow>(&object_key)?.is_none() {
            let nameless = ObjectRow {
                bucket,
                name: Vec::new(),
            };
            changes.push(put(object_key, &nameless));
        }
        let mut row = row.clone();
        if let Some(upload) = completes {
            let ended = self.upload_ended(upload)?;
            changes.extend(ended.changes);
            row.other_leaves = ended.leaves;
        }
        changes.push(put(key, &row));
        self.effect.borrow_mut().closed += 1;
        Ok(changes)
    }

    pub(super) fn rehomed(
        &self,
        object: ObjectId,
        version: VersionId,
        (key_index, location): (KeyIndex, RecordLocation),
        content: Option<&ManifestFacts>,
    ) -> Result<Vec<Change>, ApplyError> {
        let mut row = self.version(object, version)?;
        if row.rehomed == Some(location) && !row.closed {
            return Ok(Vec::new());
        }
        row.other_leaves = Leaves::of(row.other_leaves.iter().chain([row.key_index]));
        row.key_index = key_index;
        row.rehomed = Some(location);
        // The manifest takes the tags along.
        row.tags = None;
        let key = keys::version(object, version);
        let opens = content.filter(|_| row.closed);
        let Some(content) = opens else {
            return Ok(vec![put(key, &row)]);
        };
        row.closed = false;
        row.etag.clone_from(&content.etag);
        row.content_bytes = content.content_bytes;
        row.parts = content.parts;
        let mut changes = self.named(object, &row, &content.name)?;
        changes.push(put(key, &row));
        Ok(changes)
    }

    /// A version that was closed has its name again, and may be the newest of it.
    fn named(
        &self,
        object: ObjectId,
        row: &VersionRow,
        name: &[u8],
    ) -> Result<Vec<Change>, ApplyError> {
        let object_row: ObjectRow = self.require(&keys::object(object))?;
        let bucket = object_row.bucket;
        let mut changes = Vec::new();
        if object_row.name.is_empty() {
            let named = ObjectRow {
                bucket,
                name: name.to_vec(),
            };
            changes.push(put(keys::object(object), &named));
        } else if object_row.name != name {
            return Err(self.conflict(Table::Objects));
        }
        let name_key = keys::name(bucket, name);
        let known = self.find::<NameRow>(&name_key)?;
        if known.as_ref().is_some_and(|known| known.object != object) {
            return Err(self.conflict(Table::Names));
        }
        let mut current = known.and_then(|known| known.current);
        let newer = current
            .as_ref()
            .is_none_or(|current| current.version.ordinal() < row.version.ordinal());
        if row.is_shown() && newer {
            current = Some(Current::of(row));
        }
        changes.push(put(name_key, &NameRow { object, current }));
        let mut effect = self.effect.borrow_mut();
        effect.closed -= 1;
        effect.usage(bucket, i128::from(row.content_bytes.get()), 0);
        Ok(changes)
    }

    pub(super) fn tombstoned(&self, piece: &Piece<'_>) -> Result<Vec<Change>, ApplyError> {
        let key = keys::tombstone(piece.request, piece.ordinal);
        if self.find::<TombstoneRow>(&key)?.is_some() {
            return Ok(Vec::new());
        }
        let mut by_object: BTreeMap<ObjectId, BTreeSet<VersionId>> = BTreeMap::new();
        for entry in piece.entries {
            let versions = by_object.entry(entry.object).or_default();
            versions.insert(entry.version);
        }
        let (mut changes, mut leaves) = (Vec::new(), Vec::new());
        for (object, versions) in &by_object {
            changes.extend(self.versions_gone(*object, versions, &mut leaves)?);
        }
        let row = TombstoneRow {
            at: piece.at,
            last: piece.last,
            month: piece.month,
            entries: piece.entries.to_vec(),
            leaves: Leaves::of(leaves),
        };
        changes.push(put(key, &row));
        Ok(changes)
    }

    /// Versions of one object are gone; with the last one its name is.
    fn versions_gone(
        &self,
        object: ObjectId,
        gone: &BTreeSet<VersionId>,
        leaves: &mut Vec<KeyIndex>,
    ) -> Result<Vec<Change>, ApplyError> {
        let object_row: ObjectRow = self.require(&keys::object(object))?;
        let mut changes = Vec::new();
        for version in gone {
            let row = self.version(object, *version)?;
            leaves.extend(row.leaves());
            self.forget(object_row.bucket, &row);
            changes.push((Table::Versions, keys::version(object, *version), None));
        }
        let left = self.has_others(object, gone)?;
        if !left {
            changes.push((Table::Objects, keys::object(object), None));
        }
        if object_row.name.is_empty() {
            return Ok(changes);
        }
        let key = keys::name(object_row.bucket, &object_row.name);
        if !left {
            changes.push((Table::Names, key, None));
            return Ok(changes);
        }
        let name_row: NameRow = self.require(&key)?;
        let current = name_row.current.as_ref();
        if current.is_some_and(|current| gone.contains(&current.version)) {
            let current = self.newest_but(object, gone)?;
            changes.push(put(key, &NameRow { object, current }));
        }
        Ok(changes)
    }

    /// Whether an object has a version that does not go. A page may be short although more rows follow: what
    /// was deleted since the file was written still takes its place there.
    fn has_others(&self, object: ObjectId, gone: &BTreeSet<VersionId>) -> Result<bool, ApplyError> {
        let mut scan = versions_scan(object, gone.len());
        loop {
            let merged = self.rows.scan(&scan)?;
            for (_, value) in &merged.rows {
                if !gone.contains(&VersionRow::decode(value)?.version) {
                    return Ok(true);
                }
            }
            match merged.resume {
                None => return Ok(false),
                Some(resume) => scan.from = resume,
            }
        }
    }

    /// The newest version that S3 may show and that does not go.
    fn newest_but(
        &self,
        object: ObjectId,
        gone: &BTreeSet<VersionId>,
    ) -> Result<Option<Current>, ApplyError> {
        let mut scan = versions_scan(object, gone.len());
        loop {
            let merged = self.rows.scan(&scan)?;
            for (_, value) in &merged.rows {
                let row = VersionRow::decode(value)?;
                if row.is_shown() && !gone.contains(&row.version) {
                    return Ok(Some(Current::of(&row)));
                }
            }
            match merged.resume {
                None => return Ok(None),
                Some(resume) => scan.from = resume,
            }
        }
    }

    fn forget(&self, bucket: BucketId, row: &VersionRow) {
        let mut effect = self.effect.borrow_mut();
        if row.closed {
            effect.closed -= 1;
        }
        let bytes = i128::from(row.content_bytes.get());
        effect.usage(bucket, -bytes, -1);
    }
}

/// One version more than so many of an object, newest first.
pub(super) fn versions_scan(object: ObjectId, gone: usize) -> Scan {
    Scan::prefix(Table::Versions, keys::object(object), gone + 1)
}
