//! Records and facts: one decoder, used live and in replay, says what a record means for the index;
//! and the translations between the media's words and the engine's.

use std::collections::BTreeMap;

use stele_format::label::VaultFlags;
use stele_format::manifest::{
    BucketBody, BucketKind as MediaKind, BucketRule as MediaRule, Checksum as MediaChecksum,
    ChecksumAlgorithm, ChecksumType, ChunkKey as MediaKey, ConfigBody, Manifest,
};
use stele_format::record::{
    Abandoned, Alloc, Body, EpochReason, EpochStart, Forgetful, Genesis, LockMode, Marker,
    Part as PartBody, Placed, Placement, RecordHeader, ReleaseReason, SealNote,
};
use stele_format::units::{
    DiskId, Epoch, LaneId, PoolId, SegmentId, UnitCount, UnixMillis, UploadId,
};

use crate::index::Fact;
use crate::index::fact::ManifestFacts;
use crate::index::rows::{BucketRow, Leaves, PartRow, RecordLocation, UploadRow, VersionRow};
use crate::keys::message::open_message;
use crate::keys::state::KeyState;
use crate::policy::{BucketKind, Mode, OwnerId, Period, PrefixRule, Retention};
use crate::pool::Place;
use crate::read::VerifiedRecord;
use crate::request::{Checksum, Metadata};
use crate::segment::SealedSegment;
use crate::sequence::{LogHead, context_of};

/// What a record's sealed attachment says.
pub(crate) enum Opened {
    /// Nothing was sealed.
    Nothing,
    /// A manifest.
    Manifest(Box<Manifest>),
    /// A body under the box key.
    BoxKey(Vec<u8>),
    /// A manifest whose leaf was cut.
    Cut,
}

/// Why a record's sealed attachment could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// The leaf was cut: destroyed.
    #[error("the key of this record was cut")]
    Cut,
    /// It does not open or decode.
    #[error("the sealed part of a record does not open under its key")]
    Damaged,
}

/// Opens the sealed attachment of a record.
pub(crate) fn open(
    record: &VerifiedRecord,
    keys: &KeyState,
    pool: PoolId,
) -> Result<Opened, OpenFault> {
    let context = context_of(&record.header, pool);
    let Some(sealed) = record.attachment(0) else {
        return Ok(Opened::Nothing);
    };
    if record.header.sealed {
        let plain =
            open_message(&keys.box_key, &context, sealed).map_err(|_| OpenFault::Damaged)?;
        return Ok(Opened::BoxKey(plain.to_vec()));
    }
    let leaf = keys
        .tree
        .leaf(record.header.key_index)
        .ok_or(OpenFault::Cut)?;
    let plain = open_message(leaf.secret(), &context, sealed).map_err(|_| OpenFault::Damaged)?;
    let manifest = Manifest::decode(&plain).map_err(|_| OpenFault::Damaged)?;
    Ok(Opened::Manifest(Box::new(manifest)))
}

/// Opens the manifest of a record.
pub(crate) fn open_manifest(
    record: &VerifiedRecord,
    keys: &KeyState,
    pool: PoolId,
) -> Option<Manifest> {
    match open(record, keys, pool) {
        Ok(Opened::Manifest(manifest)) => Some(*manifest),
        _ => None,
    }
}

/// Opens a configuration value.
pub(crate) fn open_config(
    record: &VerifiedRecord,
    keys: &KeyState,
    pool: PoolId,
) -> Option<Vec<u8>> {
    let Ok(Opened::BoxKey(bytes)) = open(record, keys, pool) else {
        return None;
    };
    ConfigBody::decode(&bytes)
        .ok()
        .map(|body| body.value.to_vec())
}

/// Opens the note of a statement; none if it has none.
pub(crate) fn open_note(
    record: &VerifiedRecord,
    keys: &KeyState,
    pool: PoolId,
) -> Result<Option<Vec<u8>>, OpenFault> {
    let Some(sealed) = record.attachment(0) else {
        return Ok(None);
    };
    let context = context_of(&record.header, pool);
    let plain = open_message(&keys.box_key, &context, sealed).map_err(|_| OpenFault::Damaged)?;
    Ok(Some(plain.to_vec()))
}

/// What a record means for the index.
pub(crate) fn facts(
    header: &RecordHeader,
    body: &Body,
    opened: Opened,
    location: RecordLocation,
) -> Vec<Fact> {
    let fact = match (body, opened) {
        (Body::Bucket, Opened::BoxKey(bytes)) => {
            BucketBody::decode(&bytes).ok().map(|body| Fact::BucketPut {
                id: header.bucket,
                row: bucket_row(&body),
            })
        }
        (Body::BucketDelete, _) => Some(Fact::BucketDeleted { id: header.bucket }),
        (Body::Config, Opened::BoxKey(bytes)) => {
            ConfigBody::decode(&bytes).ok().map(|body| Fact::ConfigPut {
                name: body.name,
                location,
            })
        }
        (Body::Commit(_) | Body::DeleteMarker, Opened::Manifest(manifest)) => {
            Some(version_added(header, body, *manifest, location, None))
        }
        (Body::Complete(_, upload), Opened::Manifest(manifest)) => Some(version_added(
            header,
            body,
            *manifest,
            location,
            Some(*upload),
        )),
        (Body::Retention, _) => Some(Fact::RetentionSet {
            object: header.object,
            version: header.version,
            retention: retention_of(header),
        }),
        (Body::Hold, _) => Some(Fact::HoldSet {
            object: header.object,
            version: header.version,
            on: header.hold,
            at: header.compliance_ms,
        }),
        (Body::Tags, _) => Some(Fact::TagsSet {
            object: header.object,
            version: header.version,
            location,
        }),
        (Body::Release(release), _) => Some(Fact::Released {
            object: header.object,
            version: header.version,
            reason: release_code(release.reason),
            at: header.wall_ms,
        }),
        (Body::Unrelease, _) => Some(Fact::Unreleased {
            object: header.object,
            version: header.version,
        }),
        (Body::Upload, Opened::Manifest(manifest)) => {
            Some(upload_opened(header, *manifest, location))
        }
        // Its parts may have other leaves: they are gathered under it until it ends.
        (Body::Upload, Opened::Cut) => Some(upload_opened(header, Manifest::default(), location)),
        (Body::Part(part), Opened::Manifest(manifest)) => {
            Some(part_added(header, part, *manifest, location))
        }
        (Body::Abort, _) => Some(Fact::UploadAborted {
            upload: UploadId::from(header.version),
        }),
        (Body::Commit(_) | Body::DeleteMarker, Opened::Cut) => {
            Some(version_closed(header, body, location, None))
        }
        (Body::Complete(_, upload), Opened::Cut) => {
            Some(version_closed(header, body, location, Some(*upload)))
        }
        (Body::Rehome, opened) => Some(rehomed(header, opened, location)),
        _ => return destruction::facts(header, body, location),
    };
    fact.into_iter().collect()
}

/// What a manifest that nothing opens leaves to be said.
fn version_closed(
    header: &RecordHeader,
    body: &Body,
    location: RecordLocation,
    completes: Option<UploadId>,
) -> Fact {
    let manifest = Manifest::default();
    let Fact::VersionAdded {
        bucket,
        object,
        mut row,
        ..
    } = version_added(header, body, manifest, location, completes)
    else {
        unreachable!("a version is added");
    };
    row.marker = matches!(body, Body::DeleteMarker);
    row.closed = true;
    Fact::VersionClosed {
        bucket,
        object,
        row,
        completes,
    }
}

fn rehomed(header: &RecordHeader, opened: Opened, location: RecordLocation) -> Fact {
    let content = match opened {
        Opened::Manifest(manifest) => Some(Box::new(ManifestFacts {
            name: manifest.name,
            etag: manifest.etag,
            content_bytes: manifest.content_bytes,
            parts: u32::try_from(manifest.part_sizes.len()).unwrap_or(u32::MAX),
        })),
        _ => None,
    };
    Fact::Rehomed {
        object: header.object,
        version: header.version,
        key_index: header.key_index,
        location,
        content,
    }
}

/// What records of people and of destruction mean: everything in them is clear.
mod destruction {
    use stele_format::record::{Body, KeyChange, LostSpan, RecordHeader};

    use crate::index::Fact;
    use crate::index::rows::{
        CosignedRow, DestroyedRow, EnactedRow, ForcedRow, RecordLocation, ScopeRow, StatementRow,
    };

    pub(super) fn facts(header: &RecordHeader, body: &Body, location: RecordLocation) -> Vec<Fact> {
        let at = header.compliance_ms;
        let fact = match body {
            Body::Statement(statement) => Fact::StatementMade {
                index: header.log_index,
                row: StatementRow {
                    at,
                    wall: header.wall_ms,
                    // Whoever applies it knows.
                    versions: 0,
                    text: statement.text.clone(),
                    signatures: statement.signatures.clone(),
                    location,
                },
            },
            Body::Scope(scope) => Fact::ScopePiece {
                digest: scope.digest,
                ordinal: scope.ordinal,
                row: ScopeRow {
                    pieces: scope.pieces,
                    entries: scope.entries.clone(),
                },
            },
            Body::Tombstone(tombstone) => Fact::Tombstoned {
                request: tombstone.request,
                ordinal: tombstone.ordinal,
                at,
                last: tombstone.last,
                month: tombstone.month,
                entries: tombstone.entries.clone(),
            },
            Body::Destroyed(destroyed) => Fact::Destroyed {
                request: destroyed.request,
                row: DestroyedRow {
                    index: header.log_index,
                    at,
                    generation: destroyed.generation,
                    disks: destroyed.disks.clone(),
                    absent: destroyed.absent.clone(),
                    anchor: destroyed.anchor,
                },
            },
            Body::Enacted(request) | Body::LogKey(KeyChange { request, .. }) => Fact::Enacted {
                request: *request,
                row: EnactedRow {
                    index: header.log_index,
                    at,
                },
            },
            Body::ForcedOpen(forced) => Fact::ForcedOpen {
                index: header.log_index,
                row: ForcedRow {
                    at,
                    request: forced.request,
                    opening: forced.opening,
                    last: forced.last,
                    durable: forced.durable,
                    left: forced.left.clone(),
                    missing: forced.lost.iter().map(LostSpan::records).collect(),
                },
            },
            Body::Cosigned(note) => Fact::Cosigned {
                index: header.log_index,
                row: CosignedRow {
                    at,
                    wall: header.wall_ms,
                    note: note.clone(),
                },
            },
            _ => return Vec::new(),
        };
        vec![fact]
    }
}
fn version_added(
    header: &RecordHeader,
    body: &Body,
    manifest: Manifest,
    location: RecordLocation,
    completes: Option<UploadId>,
) -> Fact {
    let marker = matches!(
        manifest.kind,
        stele_format::manifest::ManifestKind::DeleteMarker
    );
    let row = VersionRow {
        version: header.version,
        marker,
        released: None,
        content_bytes: manifest.content_bytes,
        etag: manifest.etag,
        modified: header.wall_ms,
        stored: header.wall_ms.max(header.compliance_ms),
        retention: retention_of(header),
        hold: header.hold.then_some(true),
        unheld: None,
        key_index: header.key_index,
        location,
        parts: u32::try_from(manifest.part_sizes.len()).unwrap_or(u32::MAX),
        tags: None,
        rehomed: None,
        other_leaves: Leaves::default(),
        closed: false,
        span: body.placement().and_then(Placement::span),
    };
    Fact::VersionAdded {
        bucket: header.bucket,
        name: manifest.name,
        object: header.object,
        row,
        completes,
    }
}

fn upload_opened(header: &RecordHeader, manifest: Manifest, location: RecordLocation) -> Fact {
    let wishes = manifest.lock_wishes;
    let retention = wishes.and_then(|wishes| {
        Some(Retention {
            mode: Mode::from_code(wishes.mode.get())?,
            until: wishes.until,
        })
    });
    Fact::UploadOpened {
        upload: UploadId::from(header.version),
        row: UploadRow {
            bucket: header.bucket,
            object: None,
            name: manifest.name,
            started: header.wall_ms,
            began: header.compliance_ms,
            retention,
            hold: wishes.filter(|wishes| wishes.hold).map(|_| true),
            key_index: header.key_index,
            location,
            announced: manifest.announced.map(|(algorithm, coverage)| {
                (algorithm.get(), coverage == ChecksumType::Composite)
            }),
            replaced: Leaves::default(),
        },
    }
}

fn part_added(
    header: &RecordHeader,
    part: &PartBody,
    manifest: Manifest,
    location: RecordLocation,
) -> Fact {
    let checksums = manifest
        .checksums
        .iter()
        .map(|checksum| (checksum.algorithm.get(), checksum.value.clone()))
        .collect();
    Fact::PartAdded {
        bucket: header.bucket,
        upload: UploadId::from(header.version),
        number: part.number,
        row: PartRow {
            etag: manifest.etag,
            content_bytes: manifest.content_bytes,
            modified: header.wall_ms,
            location,
            key_index: header.key_index,
            checksums,
            span: part.placement.span(),
        },
    }
}

/// Retention as a header states it.
fn retention_of(header: &RecordHeader) -> Option<Retention> {
    let mode = Mode::from_code(header.mode.get())?;
    Some(Retention {
        mode,
        until: header.retain_until_ms,
    })
}

/// The media's lock mode.
pub(crate) fn lock_mode(retention: Option<Retention>) -> LockMode {
    match retention.map(|retention| retention.mode) {
        None => LockMode::None,
        Some(Mode::Governance) => LockMode::Governance,
        Some(Mode::Compliance) => LockMode::Compliance,
    }
}

/// A chunk key as manifests hold it.
pub(crate) fn manifest_key(key: &crate::keys::chunk::ChunkKey) -> MediaKey {
    MediaKey::new(*key.expose())
}

/// Why a version was released, as rows keep it.
pub(crate) const fn release_code(reason: ReleaseReason) -> u8 {
    match reason {
        ReleaseReason::ClientDelete => 0,
        ReleaseReason::Overwritten => 1,
        ReleaseReason::MarkerRemoved => 2,
        ReleaseReason::Expired => 3,
    }
}

/// A bucket row as its record's body.
pub(crate) fn bucket_body(row: &BucketRow) -> BucketBody {
    let (default_mode, default_days, default_years) = match row.default {
        None => (LockMode::None, 0, 0),
        Some((mode, period)) => {
            let mode = match mode {
                Mode::Governance => LockMode::Governance,
                Mode::Compliance => LockMode::Compliance,
            };
            match period {
                Period::Days(days) => (mode, days, 0),
                Period::Years(years) => (mode, 0, years),
            }
        }
    };
    BucketBody {
        name: row.name.clone(),
        kind: match row.kind {
            BucketKind::DefaultLocked => MediaKind::DefaultLocked,
            BucketKind::ClientLocked => MediaKind::ClientLocked,
            BucketKind::Plain => MediaKind::Plain,
        },
        default_mode,
        default_days,
        default_years,
        created_ms: row.created,
        owner: row.owner.as_str().to_owned(),
        rules: row
            .rules
            .iter()
            .map(|rule| MediaRule {
                prefix: rule.prefix.clone(),
                days: rule.days,
            })
            .collect(),
        lifecycle: row.lifecycle.clone(),
        max_days: row.max_days.unwrap_or_default(),
    }
}

fn bucket_row(body: &BucketBody) -> BucketRow {
    let period = match (body.default_days, body.default_years) {
        (0, years) => Period::Years(years),
        (days, _) => Period::Days(days),
    };
    BucketRow {
        name: body.name.clone(),
        kind: match body.kind {
            MediaKind::DefaultLocked => BucketKind::DefaultLocked,
            MediaKind::ClientLocked => BucketKind::ClientLocked,
            MediaKind::Plain => BucketKind::Plain,
        },
        default: Mode::from_code(body.default_mode.get()).map(|mode| (mode, period)),
        created: body.created_ms,
        owner: OwnerId::of_record(&body.owner),
        rules: body
            .rules
            .iter()
            .map(|rule| PrefixRule {
                prefix: rule.prefix.clone(),
                days: rule.days,
            })
            .collect(),
        lifecycle: body.lifecycle.clone(),
        max_days: Some(body.max_days).filter(|days| *days != 0),
        deleted: false,
    }
}

/// A configuration value as its record's body.
pub(crate) fn config_body(name: &str, value: &[u8]) -> ConfigBody {
    ConfigBody {
        name: name.to_owned(),
        value: zeroize::Zeroizing::new(value.to_vec()),
    }
}

/// A manifest that holds metadata and checksums and nothing else yet.
pub(crate) fn manifest_of_metadata(metadata: &Metadata, checksums: &[Checksum]) -> Manifest {
    Manifest {
        content_headers: metadata.headers.iter().cloned().collect::<BTreeMap<_, _>>(),
        user_metadata: metadata.user.clone(),
        tags: metadata.tags.clone(),
        storage_class: metadata.storage_class.clone(),
        checksums: checksums.iter().filter_map(media_checksum).collect(),
        ..Manifest::default()
    }
}

fn media_checksum(checksum: &Checksum) -> Option<MediaChecksum> {
    Some(MediaChecksum {
        algorithm: ChecksumAlgorithm::new(checksum.algorithm)?,
        coverage: if checksum.composite {
            ChecksumType::Composite
        } else {
            ChecksumType::FullObject
        },
        value: checksum.value.clone(),
    })
}

/// A checksum announced for an upload, as manifests hold it.
pub(crate) fn announced(wish: (u8, bool)) -> Option<(ChecksumAlgorithm, ChecksumType)> {
    let coverage = if wish.1 {
        ChecksumType::Composite
    } else {
        ChecksumType::FullObject
    };
    Some((ChecksumAlgorithm::new(wish.0)?, coverage))
}

/// The metadata of a manifest.
pub(crate) fn metadata_of(manifest: &Manifest) -> Metadata {
    Metadata {
        headers: manifest.content_headers.clone().into_iter().collect(),
        user: manifest.user_metadata.clone(),
        tags: manifest.tags.clone(),
        storage_class: manifest.storage_class.clone(),
    }
}

/// The checksums of a manifest.
pub(crate) fn checksums_of(manifest: &Manifest) -> Vec<Checksum> {
    manifest
        .checksums
        .iter()
        .map(|checksum| Checksum {
            algorithm: checksum.algorithm.get(),
            composite: checksum.coverage == ChecksumType::Composite,
            value: checksum.value.clone(),
        })
        .collect()
}

/// The first record of a pool.
pub(crate) fn genesis_body(
    disks: Vec<DiskId>,
    unit_bytes: u32,
    segment_units: u32,
    flags: VaultFlags,
    created: UnixMillis,
) -> Body {
    Body::Genesis(Genesis {
        format: Genesis::FORMAT.to_owned(),
        disks,
        unit_bytes,
        segment_units: UnitCount::new(segment_units),
        flags,
        created_ms: created,
    })
}

/// The record that opens the epoch of a start.
pub(crate) fn epoch_body(
    previous: Epoch,
    abandoned: Vec<Abandoned>,
    forgetful: Vec<Forgetful>,
) -> Body {
    Body::Epoch(EpochStart {
        previous,
        reason: EpochReason::Start,
        abandoned,
        forgetful,
    })
}

/// The record that opens an epoch because the keys of the one before are used up.
pub(crate) fn epoch_body_of_writer(previous: Epoch) -> Body {
    Body::Epoch(EpochStart {
        previous,
        reason: EpochReason::CounterFull,
        abandoned: Vec::new(),
        forgetful: Vec::new(),
    })
}

/// The record that allocates a segment.
pub(crate) fn alloc_body(segment: SegmentId, lane: LaneId, units: u32, places: &[Place]) -> Body {
    let placements = places
        .iter()
        .map(|place| Placed {
            disk: place.disk,
            first_unit: place.first_unit,
        })
        .collect();
    Body::Alloc(Alloc {
        segment,
        lane,
        units: UnitCount::new(units),
        placements,
    })
}

/// The record that says a segment is sealed.
pub(crate) fn seal_body(
    segment: SegmentId,
    lane: LaneId,
    sealed: &SealedSegment,
    log: Option<&LogHead>,
) -> Body {
    Body::Seal(SealNote {
        segment,
        lane,
        units_kept: UnitCount::new(sealed.units_kept),
        seal: sealed.digest,
        log: log.map(|log| log.frontier.clone()),
    })
}

/// The idle marker.
pub(crate) fn marker_body(log: &LogHead) -> Body {
    Body::Marker(Marker {
        log: log.frontier.clone(),
    })
}
