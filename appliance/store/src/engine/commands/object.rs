//! Objects: begin and commit an upload, HEAD, GET.

use stele_format::limits::{KEY_BYTES_MAX, OBJECT_BYTES_MAX};
use stele_format::manifest::{Manifest, ManifestKind};
use stele_format::record::{Body, ClientTag, Commit, RecordType, ReleaseReason};
use stele_format::units::{BucketId, ByteCount, ObjectId, VersionId};

use super::multipart::may_replace;
use super::{After, Facts, Outcome, delete, tags};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::view::{Stop, View};
use crate::fact;
use crate::index::rows::{BucketRow, Current, NameRow, VersionRow};
use crate::keys::counter::KeyClass;
use crate::limits::{METADATA_BYTES_MAX, UPLOAD_BYTES_MAX};
use crate::policy::retention::{InitialLock, check_date};
use crate::policy::{BucketKind, BucketPolicy, check_bound, default_for, initial_lock};
use crate::read::{Content, Download};
use crate::request::{
    Answer, Checksum, Conditions, LockWish, Metadata, ObjectInfo, ObjectName, Purpose, RangeWish,
    Refusal,
};

/// A version that a request names.
pub(crate) struct Found {
    pub(crate) bucket: BucketId,
    pub(crate) kind: BucketKind,
    pub(crate) object: ObjectId,
    pub(crate) row: VersionRow,
}

/// Finds the version a request names, or the current one.
pub(crate) fn find_version(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<Found, Stop> {
    let (bucket, bucket_row) = facts.bucket(&name.bucket)?;
    let name_row = view.name(bucket, &name.key)?;
    let (object, wanted) = match (name_row, version) {
        (Some(NameRow { object, .. }), Some(version)) => (object, version),
        (None, Some(_)) => return Err(Refusal::NoSuchVersion.into()),
        (
            Some(NameRow {
                object,
                current: Some(current),
            }),
            None,
        ) if !current.marker => (object, current.version),
        (row, None) => {
            let marker = row
                .and_then(|row| row.current)
                .map(|current| current.version);
            return Err(Refusal::NoSuchKey { marker }.into());
        }
    };
    let row = view
        .version(object, wanted)?
        .ok_or(Refusal::NoSuchVersion)?;
    if row.marker {
        return Err(Refusal::IsMarker {
            version: row.version,
            modified: row.modified,
        }
        .into());
    }
    Ok(Found {
        bucket,
        kind: bucket_row.kind,
        object,
        row,
    })
}

/// Whether an upload may begin; refusing here saves the client the body.
pub(crate) fn may_open(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    purpose: &Purpose,
    content_bytes: Option<u64>,
) -> Result<(), Stop> {
    let (bucket, row) = facts.bucket(&name.bucket)?;
    if name.key.is_empty() || name.key.len() > KEY_BYTES_MAX {
        return Err(Refusal::TooLarge {
            bytes_max: KEY_BYTES_MAX as u64,
        }
        .into());
    }
    if content_bytes.is_some_and(|bytes| bytes > UPLOAD_BYTES_MAX) {
        return Err(Refusal::TooLarge {
            bytes_max: UPLOAD_BYTES_MAX,
        }
        .into());
    }
    match purpose {
        Purpose::Object { metadata, lock } => {
            check_metadata(metadata)?;
            check_wish(facts, row, &name.key, *lock)?;
        }
        Purpose::Part { upload, number } => {
            let row = view.upload(bucket, &name.key, *upload)?;
            may_replace(view, &row, *upload, *number)?;
        }
    }
    Ok(())
}

/// Metadata must fit the manifest.
pub(crate) fn check_metadata(metadata: &Metadata) -> Result<(), Refusal> {
    let pairs = metadata
        .headers
        .iter()
        .chain(&metadata.user)
        .chain(&metadata.tags);
    let bytes: usize = pairs
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    if bytes + metadata.storage_class.len() > METADATA_BYTES_MAX as usize {
        return Err(Refusal::MetadataTooLarge {
            bytes_max: METADATA_BYTES_MAX,
        });
    }
    Ok(())
}

/// The lock that a client wishes for is one that it may have. Bound and date are judged here alone, so that no bound
/// that is set while an upload is under way undoes it, and no date that passes.
pub(crate) fn check_wish(
    facts: &Facts<'_>,
    bucket: &BucketRow,
    key: &[u8],
    wish: LockWish,
) -> Result<(), Refusal> {
    if let Some(retention) = wish.retention {
        check_bound(bucket.max_days, retention.until, facts.time)?;
    }
    lock_of(facts, bucket, key, wish)?;
    if let Some(retention) = wish.retention {
        check_date(retention.until, facts.time)?;
    }
    Ok(())
}

/// The lock a new version gets for a wish that was granted.
pub(crate) fn lock_of(
    facts: &Facts<'_>,
    bucket: &BucketRow,
    key: &[u8],
    wish: LockWish,
) -> Result<InitialLock, Refusal> {
    let policy = BucketPolicy {
        kind: bucket.kind,
        default: default_for(bucket.default, &bucket.rules, key),
        floor_ms: facts.new_bucket.floor_ms,
    };
    initial_lock(&policy, wish.retention, wish.hold, facts.time).map_err(Refusal::Policy)
}

/// What a finished upload stream brings to its commit.
pub(crate) struct Upload<'a> {
    pub(crate) name: &'a ObjectName,
    pub(crate) metadata: &'a Metadata,
    pub(crate) lock: LockWish,
    pub(crate) content_bytes: u64,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) checksums: &'a [Checksum],
    pub(crate) conditions: &'a Conditions,
    pub(crate) content: &'a Content,
    /// Sizes of the parts of a multipart object.
    pub(crate) parts: Vec<u64>,
}

/// The new version's record, and in a `plain` bucket the release of the one it overwrites.
pub(crate) fn commit(
    facts: &Facts<'_>,
    view: &View<'_>,
    upload: &Upload<'_>,
    complete: Option<stele_format::units::UploadId>,
) -> Result<Outcome, Stop> {
    let (bucket, row) = facts.bucket(&upload.name.bucket)?;
    if upload.content_bytes > OBJECT_BYTES_MAX {
        return Err(Refusal::TooLarge {
            bytes_max: OBJECT_BYTES_MAX,
        }
        .into());
    }
    let name_row = view.name(bucket, &upload.name.key)?;
    let current = name_row.as_ref().and_then(|row| row.current.as_ref());
    check_conditions(upload.conditions, current)?;
    let lock = lock_of(facts, row, &upload.name.key, upload.lock)?;
    let etag = match (upload.md5, upload.parts.len()) {
        (Some(md5), 0) => md5.iter().map(|byte| format!("{byte:02x}")).collect(),
        (_, 0) => facts.opaque_etag(1),
        (_, parts) => facts.opaque_etag(u32::try_from(parts).unwrap_or(u32::MAX)),
    };
    let versioned = row.kind != BucketKind::Plain;
    let object = name_row
        .as_ref()
        .map_or_else(|| facts.fresh_object(), |row| row.object);
    let overwritten = match (&name_row, versioned) {
        (
            Some(NameRow {
                object,
                current: Some(current),
            }),
            false,
        ) => Some(delete::release(
            facts,
            view,
            bucket,
            *object,
            current.version,
            ReleaseReason::Overwritten,
            true,
        )?),
        _ => None,
    };
    let body = Commit {
        placement: upload.content.placement(),
        entries: upload.content.cited.clone(),
    };
    let draft = Draft {
        origin: Origin::Request {
            id: facts.id,
            last: overwritten.is_none(),
        },
        kind: if complete.is_some() {
            RecordType::Complete
        } else {
            RecordType::Commit
        },
        bucket,
        object,
        version: VersionSlot::Fresh,
        retention: lock.retention,
        hold: lock.hold == Some(true),
        body: match complete {
            Some(upload) => Body::Complete(body, upload),
            None => Body::Commit(body),
        },
        sealed: Sealed::Leaf(Box::new(manifest(upload, &etag)), KeyClass::Object),
        inline: None,
        client: ClientTag::NONE,
    };
    let checksums = upload.checksums.to_vec();
    let after = After::Stored {
        versioned,
        part: false,
        etag,
        checksums,
    };
    Ok(Outcome::Write(
        std::iter::once(draft).chain(overwritten).collect(),
        after,
    ))
}

fn manifest(upload: &Upload<'_>, etag: &str) -> Manifest {
    Manifest {
        kind: ManifestKind::Object,
        name: upload.name.key.clone(),
        content_bytes: ByteCount::new(upload.content_bytes),
        etag: etag.to_owned(),
        entries: upload.content.entries.clone(),
        part_sizes: upload.parts.iter().copied().map(ByteCount::new).collect(),
        ..fact::manifest_of_metadata(upload.metadata, upload.checksums)
    }
}

/// Conditions hold or fail against what is current when the record is sequenced. Where one asks for an
/// object and there is none, that is what the client is told.
fn check_conditions(conditions: &Conditions, current: Option<&Current>) -> Result<(), Refusal> {
    let marker = current.filter(|current| current.marker);
    let marker = marker.map(|current| current.version);
    let current = current
        .filter(|current| !current.marker)
        .map(|current| current.etag.as_str());
    if conditions.if_match.is_some() && current.is_none() {
        return Err(Refusal::NoSuchKey { marker });
    }
    let matches = |wanted: &str| current.is_some_and(|etag| wanted == "*" || wanted == etag);
    let unmet = conditions
        .if_match
        .as_deref()
        .is_some_and(|wanted| !matches(wanted))
        || conditions.if_none_match.as_deref().is_some_and(matches);
    if unmet {
        Err(Refusal::Precondition)
    } else {
        Ok(())
    }
}

/// What is known of a version, and how to read it.
pub(crate) fn open(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
    range: Option<RangeWish>,
) -> Result<Outcome, Stop> {
    let (info, found, manifest, record) = look(facts, view, name, version)?;
    let (first, count) = resolve(range, info.content_bytes)?;
    let content = Content::of_record(&manifest, record);
    let download = Download::new(content, first, count, found.row.location);
    Ok(Outcome::Download(Box::new(download), Box::new(info)))
}

/// HEAD.
pub(crate) fn head(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<Outcome, Stop> {
    let (info, ..) = look(facts, view, name, version)?;
    Ok(Outcome::Answer(Answer::Object(Box::new(info))))
}

type Looked = (
    ObjectInfo,
    Found,
    Manifest,
    std::sync::Arc<crate::read::VerifiedRecord>,
);

fn look(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
) -> Result<Looked, Stop> {
    let found = find_version(facts, view, name, version)?;
    let record = view.record(&found.row.location);
    let rehomed = found.row.rehomed.map(|location| view.record(&location));
    let tags = tags::replaced(facts, view, &found.row);
    view.settle()?;
    let damaged = || Stop::Damaged(found.row.location);
    let record = record.ok_or_else(damaged)?;
    let newer = rehomed.flatten();
    let sealed = newer.as_ref().unwrap_or(&record);
    let manifest = fact::open_manifest(sealed, facts.keys, facts.pool)
        .ok_or_else(|| Stop::Damaged(found.row.manifest_location()))?;
    let mut metadata = fact::metadata_of(&manifest);
    if let Some(tags) = tags? {
        metadata.tags = tags;
    }
    let info = ObjectInfo {
        object: found.object,
        version: found.row.version,
        versioned: found.kind != BucketKind::Plain,
        content_bytes: manifest.content_bytes.get(),
        etag: found.row.etag.clone(),
        modified: found.row.modified,
        metadata,
        checksums: fact::checksums_of(&manifest),
        retention: found.row.retention,
        hold: found.row.hold,
        part_sizes: manifest
            .part_sizes
            .iter()
            .map(|bytes| bytes.get())
            .collect(),
        lock_enabled: found.kind != BucketKind::Plain,
    };
    Ok((info, found, manifest, record))
}

/// First byte and count of a range, as HTTP has it.
fn resolve(range: Option<RangeWish>, content_bytes: u64) -> Result<(u64, u64), Refusal> {
    let unsatisfiable = Refusal::Range { content_bytes };
    match range {
        None => Ok((0, content_bytes)),
        Some(RangeWish::From(first, last)) => {
            let last = last
                .unwrap_or(u64::MAX)
                .min(content_bytes.saturating_sub(1));
            if first >= content_bytes || last < first {
                return Err(unsatisfiable);
            }
            Ok((first, last - first + 1))
        }
        Some(RangeWish::Suffix(count)) => {
            let count = count.min(content_bytes);
            if count == 0 {
                return Err(unsatisfiable);
            }
            Ok((content_bytes - count, count))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check_conditions, resolve};
    use crate::index::rows::Current;
    use crate::request::{Conditions, RangeWish, Refusal};
    use stele_format::units::{ByteCount, UnixMillis, VersionId};

    #[test]
    fn ranges_resolve_as_http_has_them() {
        let from = |first, last| Some(RangeWish::From(first, last));
        for (range, bytes, expected) in [
            (None, 10, Some((0, 10))),
            (None, 0, Some((0, 0))),
            (from(0, None), 10, Some((0, 10))),
            (from(3, Some(5)), 10, Some((3, 3))),
            (from(3, Some(99)), 10, Some((3, 7))),
            (from(9, Some(9)), 10, Some((9, 1))),
            (from(10, None), 10, None),
            (from(5, Some(4)), 10, None),
            (from(0, None), 0, None),
            (Some(RangeWish::Suffix(4)), 10, Some((6, 4))),
            (Some(RangeWish::Suffix(40)), 10, Some((0, 10))),
            (Some(RangeWish::Suffix(0)), 10, None),
        ] {
            assert_eq!(resolve(range, bytes).ok(), expected, "{range:?} of {bytes}");
        }
    }

    #[test]
    fn conditions_are_judged_against_the_current_object() {
        let current = |marker| Current {
            version: VersionId::default(),
            marker,
            content_bytes: ByteCount::new(1),
            etag: "e".to_owned(),
            modified: UnixMillis::new(1),
        };
        let wish = |if_match: Option<&str>, if_none_match: Option<&str>| Conditions {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
        };
        for (conditions, current, met) in [
            (wish(None, None), None, true),
            (wish(Some("e"), None), Some(current(false)), true),
            (wish(Some("f"), None), Some(current(false)), false),
            (wish(Some("*"), None), None, false),
            (wish(Some("e"), None), Some(current(true)), false),
            (wish(None, Some("*")), None, true),
            (wish(None, Some("*")), Some(current(false)), false),
            (wish(None, Some("*")), Some(current(true)), true),
            (wish(None, Some("e")), Some(current(false)), false),
            (wish(None, Some("f")), Some(current(false)), true),
        ] {
            let judged = check_conditions(&conditions, current.as_ref());
            assert_eq!(judged.is_ok(), met, "{conditions:?}");
            let there = current.is_some_and(|current| !current.marker);
            let absent = matches!(judged, Err(Refusal::NoSuchKey { .. }));
            assert_eq!(
                absent,
                conditions.if_match.is_some() && !there,
                "{conditions:?}"
            );
        }
    }
}
