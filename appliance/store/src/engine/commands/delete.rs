//! S3 DELETE: a marker, or the release of a version, which the vault takes back. Nothing here destroys.

use stele_format::digest::Digest;
use stele_format::manifest::{Manifest, ManifestKind};
use stele_format::record::{Body, ClientTag, RecordType, Release, ReleaseReason, VersionRef};
use stele_format::statement::Act;
use stele_format::units::{BucketId, ObjectId, UnixMillis, VersionId};

use super::{After, Facts, Outcome};
use crate::draft::{Draft, Origin, Sealed, VersionSlot};
use crate::engine::view::{Stop, View};
use crate::fact;
use crate::index::rows::{BucketRow, NameRow, ScopeRow, VersionRow};
use crate::index::{Fact, keys};
use crate::keys::counter::KeyClass;
use crate::policy::approval::RequestState;
use crate::policy::{BucketKind, Grant, Rights, may_release};
use crate::request::{Answer, ObjectName, Refusal};

/// DELETE with or without a version id.
pub(crate) fn delete(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: Option<VersionId>,
    bypass: bool,
    rights: Rights,
) -> Result<Outcome, Stop> {
    let (bucket, row) = facts.bucket(&name.bucket)?;
    let versioned = row.kind != BucketKind::Plain;
    let name_row = view.name(bucket, &name.key)?;
    match (version, versioned) {
        (None, true) => {
            let first = hides_first(facts, view, row, name_row.as_ref())?;
            let object = name_row.map_or_else(|| facts.fresh_object(), |row| row.object);
            let draft = marker(facts, bucket, object, &name.key);
            let after = After::Marker { versioned, first };
            Ok(Outcome::Write(vec![draft], after))
        }
        (None, false) => {
            let current = name_row.and_then(|row| Some((row.object, row.current?.version)));
            let answer = After::Deleted {
                marker: false,
                version: None,
                versioned,
            };
            match current {
                None => Ok(Outcome::Answer(nothing_there(None, versioned))),
                Some((object, version)) => {
                    let draft = release(
                        facts,
                        view,
                        bucket,
                        object,
                        version,
                        ReleaseReason::Overwritten,
                        true,
                    )?;
                    Ok(Outcome::Write(vec![draft], answer))
                }
            }
        }
        (Some(version), _) => {
            let Some(name_row) = name_row else {
                return Ok(Outcome::Answer(nothing_there(Some(version), versioned)));
            };
            let Some(row) = view.version(name_row.object, version)? else {
                return Ok(Outcome::Answer(nothing_there(Some(version), versioned)));
            };
            if !row.marker {
                facts.asker.has(Grant::Release)?;
            }
            let lock = facts.lock_of(&row);
            facts.note(may_release(lock, bypass, rights, facts.time)?);
            let why = if row.marker {
                ReleaseReason::MarkerRemoved
            } else {
                ReleaseReason::ClientDelete
            };
            let draft = release(facts, view, bucket, name_row.object, version, why, true)?;
            let after = After::Deleted {
                marker: row.marker,
                version: Some(version),
                versioned,
            };
            Ok(Outcome::Write(vec![draft], after))
        }
    }
}

/// Whether a marker hides an object, and none lies over the same version, also not one that was taken away again: of
/// such markers there are no more than versions. Only a quota asks for it.
fn hides_first(
    facts: &Facts<'_>,
    view: &View<'_>,
    bucket: &BucketRow,
    name: Option<&NameRow>,
) -> Result<bool, Stop> {
    let quota = facts.asker.quota(&bucket.owner);
    let current = name.and_then(|row| Some((row.object, row.current.as_ref()?)));
    match current {
        Some((object, current)) if quota.is_some() && !current.marker => {
            let newest = view.newest(object)?;
            Ok(newest.is_some_and(|row| !row.marker))
        }
        _ => Ok(false),
    }
}

/// S3 answers a DELETE of what is not there as if it had been.
fn nothing_there(version: Option<VersionId>, versioned: bool) -> Answer {
    Answer::Deleted {
        marker: false,
        version,
        versioned,
    }
}

pub(crate) fn marker(facts: &Facts<'_>, bucket: BucketId, object: ObjectId, key: &[u8]) -> Draft {
    let manifest = Manifest {
        kind: ManifestKind::DeleteMarker,
        name: key.to_vec(),
        ..Manifest::default()
    };
    Draft {
        origin: Origin::Request {
            id: facts.id,
            last: true,
        },
        kind: RecordType::DeleteMarker,
        bucket,
        object,
        version: VersionSlot::Fresh,
        retention: None,
        hold: false,
        body: Body::DeleteMarker,
        sealed: Sealed::Leaf(Box::new(manifest), KeyClass::Object),
        inline: None,
        client: ClientTag::NONE,
    }
}

/// The record that releases a version: gone from S3, kept by the vault.
pub(crate) fn release(
    facts: &Facts<'_>,
    view: &View<'_>,
    bucket: BucketId,
    object: ObjectId,
    version: VersionId,
    why: ReleaseReason,
    last: bool,
) -> Result<Draft, Stop> {
    view.foresee(&Fact::Released {
        object,
        version,
        reason: fact::release_code(why),
        at: UnixMillis::ZERO,
    })?;
    let row = view
        .version(object, version)?
        .ok_or(Refusal::NoSuchVersion)?;
    let mut draft = Draft::of_engine(RecordType::Release, Body::Release(Release { reason: why }));
    draft.origin = Origin::Request { id: facts.id, last };
    draft.bucket = bucket;
    draft.object = object;
    draft.version = VersionSlot::Version(version);
    draft.retention = row.retention;
    draft.hold = row.hold == Some(true);
    Ok(draft)
}

/// Takes a release back. In a plain bucket only where the key shows nothing: it has one version at a time, and
/// this hides none.
pub(crate) fn unrelease(
    facts: &Facts<'_>,
    view: &View<'_>,
    name: &ObjectName,
    version: VersionId,
) -> Result<Outcome, Stop> {
    let (bucket, bucket_row) = facts.bucket(&name.bucket)?;
    let name_row = view.name(bucket, &name.key)?;
    let NameRow { object, current } = name_row.ok_or(Refusal::NoSuchVersion)?;
    let row: Option<VersionRow> = view.row(keys::version(object, version))?;
    let row = row
        .filter(|row| row.version == version && !row.closed)
        .ok_or(Refusal::NoSuchVersion)?;
    if row.released.is_none() {
        return Err(Refusal::NotReleased.into());
    }
    if bucket_row.kind == BucketKind::Plain && current.is_some() {
        return Err(Refusal::KeyTaken.into());
    }
    check_not_destroyed(facts, view, version)?;
    view.foresee(&Fact::Unreleased { object, version })?;
    let mut draft = Draft::of_engine(RecordType::Unrelease, Body::Unrelease);
    draft.origin = Origin::Request {
        id: facts.id,
        last: true,
    };
    draft.bucket = bucket;
    draft.object = object;
    draft.version = VersionSlot::Version(version);
    draft.retention = row.retention;
    draft.hold = row.hold == Some(true);
    Ok(Outcome::Write(vec![draft], After::Done))
}

/// Whoever takes a release back must not be told that it is, just before the version is destroyed.
fn check_not_destroyed(facts: &Facts<'_>, view: &View<'_>, version: VersionId) -> Result<(), Stop> {
    for shown in facts.approvals.requests(facts.compliance) {
        let Act::Erase(erase) = &shown.act else {
            continue;
        };
        if shown.state != RequestState::Executing {
            continue;
        }
        if is_listed(view, &erase.scope, version)? {
            let request = shown.request;
            return Err(Refusal::BeingDestroyed { request }.into());
        }
    }
    Ok(())
}

/// Whether a version is on a recorded list. Lists ascend over all their pieces, so few of these are read.
fn is_listed(view: &View<'_>, list: &Digest, version: VersionId) -> Result<bool, Stop> {
    let piece = |ordinal| view.row::<ScopeRow>(keys::scope(list, ordinal));
    let ordinal_of = |entry: &VersionRef| entry.version.ordinal();
    let Some(first) = piece(0)? else {
        return Ok(false);
    };
    let (mut low, mut high) = (0, first.pieces);
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(ScopeRow { entries, .. }) = piece(middle)? else {
            return Ok(false);
        };
        let wanted = version.ordinal();
        if entries
            .first()
            .is_some_and(|entry| wanted < ordinal_of(entry))
        {
            high = middle;
        } else if entries
            .last()
            .is_some_and(|entry| wanted > ordinal_of(entry))
        {
            low = middle + 1;
        } else {
            return Ok(entries.iter().any(|entry| entry.version == version));
        }
    }
    Ok(false)
}
