//! Answers, from the engine's words to the gateway's.

use std::sync::Arc;

use stele_gateway::message as gateway;
use stele_gateway::slab::Slab;
use stele_store::policy::BucketKind;
use stele_store::request as store;
use stele_store::request::Answer;

use super::{
    checksum_kind, checksums_up, default_up, key_up, lifecycle, metadata_up, retention_up,
};

/// Translates an answer, with its content beside it and without copying. None for an answer that no
/// question of the gateway has.
pub fn to_gateway(answer: Answer) -> Option<(gateway::Answer, Option<Slab>)> {
    if let Answer::Data(piece) = answer {
        return Some((gateway::Answer::Data, Some(slab(piece))));
    }
    Some((plain(answer)?, None))
}

fn plain(answer: Answer) -> Option<gateway::Answer> {
    Some(match answer {
        Answer::Done => gateway::Answer::Done,
        Answer::Buckets(buckets) => {
            // Without rules: a list of many buckets must fit in one answer.
            let listed = |info: store::BucketInfo| {
                bucket(store::BucketInfo {
                    lifecycle: Arc::default(),
                    ..info
                })
            };
            gateway::Answer::Buckets(buckets.into_iter().map(listed).collect())
        }
        Answer::Bucket(info) => gateway::Answer::Bucket(bucket(info)),
        Answer::Stream(stream) => gateway::Answer::Stream(gateway::StreamId(stream.0)),
        Answer::Stored(stored) => gateway::Answer::Stored(gateway::Stored {
            version: stored.version,
            versioned: stored.versioned,
            etag: stored.etag,
            checksums: checksums_up(stored.checksums),
            receipt: stored.receipt,
        }),
        Answer::Opened {
            stream,
            info,
            range,
        } => gateway::Answer::Opened {
            stream: gateway::StreamId(stream.0),
            info: Box::new(object(*info)),
            range,
        },
        Answer::End => gateway::Answer::End,
        Answer::Object(info) => gateway::Answer::Object(Box::new(object(*info))),
        Answer::Deleted {
            marker,
            version,
            versioned,
        } => gateway::Answer::Deleted {
            marker,
            version,
            versioned,
        },
        Answer::Tagged { version, versioned } => gateway::Answer::Tagged { version, versioned },
        Answer::Listing(listing) => gateway::Answer::Listing(page(listing, listed_object)),
        Answer::VersionListing(listing) => {
            gateway::Answer::VersionListing(page(listing, listed_version))
        }
        Answer::Upload(upload) => gateway::Answer::Upload(upload),
        Answer::Parts(parts, more) => {
            gateway::Answer::Parts(parts.into_iter().map(listed_part).collect(), more)
        }
        Answer::UploadInfo(announced) => {
            let announced =
                announced.and_then(|(number, composite)| Some((checksum_kind(number)?, composite)));
            gateway::Answer::UploadInfo(announced)
        }
        Answer::Capacity {
            total_bytes,
            free_bytes,
        } => gateway::Answer::Capacity {
            total_bytes,
            free_bytes,
        },
        Answer::Uploads(listing) => gateway::Answer::Uploads(page(listing, listed_upload)),
        // Clients ask for none of these.
        Answer::Data(_)
        | Answer::Config(_)
        | Answer::OldUploads { .. }
        | Answer::Expiring { .. }
        | Answer::Census(_)
        | Answer::Recorded(_)
        | Answer::Stated { .. }
        | Answer::People(_)
        | Answer::Effect(_)
        | Answer::Note(_)
        | Answer::Held { .. }
        | Answer::Rehomed { .. }
        | Answer::ReleasedListing(_)
        | Answer::Tombstoned(_) => return None,
    })
}

fn slab(piece: store::Piece) -> Slab {
    let store::Piece { buffer, start, len } = piece;
    Slab { buffer, start, len }
}

fn bucket(info: store::BucketInfo) -> gateway::BucketInfo {
    let kind = match info.kind {
        BucketKind::DefaultLocked => gateway::BucketKind::DefaultLocked,
        BucketKind::ClientLocked => gateway::BucketKind::ClientLocked,
        BucketKind::Plain => gateway::BucketKind::Plain,
    };
    let default = info.default.map(default_up);
    gateway::BucketInfo {
        name: info.name,
        kind,
        created: info.created,
        default,
        owner: info.owner.as_str().to_owned(),
        lifecycle: info.lifecycle.iter().map(lifecycle::up).collect(),
    }
}

fn object(info: store::ObjectInfo) -> gateway::ObjectInfo {
    gateway::ObjectInfo {
        version: info.version,
        versioned: info.versioned,
        content_bytes: info.content_bytes,
        etag: info.etag,
        modified: info.modified,
        metadata: metadata_up(info.metadata),
        checksums: checksums_up(info.checksums),
        retention: info.retention.map(retention_up),
        hold: info.hold,
        part_sizes: info.part_sizes,
        lock_enabled: info.lock_enabled,
    }
}

fn page<Row, GatewayRow>(
    page: store::Page<Row>,
    row: fn(Row) -> GatewayRow,
) -> gateway::Page<GatewayRow> {
    gateway::Page {
        rows: page.rows.into_iter().map(row).collect(),
        common_prefixes: page.common_prefixes.into_iter().map(key_up).collect(),
        next: page.next.map(|(key, version)| (key_up(key), version)),
    }
}

fn listed_object(row: store::ListedObject) -> gateway::ListedObject {
    gateway::ListedObject {
        key: key_up(row.key),
        etag: row.etag,
        content_bytes: row.content_bytes,
        modified: row.modified,
    }
}

fn listed_version(row: store::ListedVersion) -> gateway::ListedVersion {
    gateway::ListedVersion {
        key: key_up(row.key),
        version: row.version,
        marker: row.marker,
        current: row.current,
        etag: row.etag,
        content_bytes: row.content_bytes,
        modified: row.modified,
    }
}

fn listed_upload(row: store::ListedUpload) -> gateway::ListedUpload {
    gateway::ListedUpload {
        key: key_up(row.key),
        upload: row.upload,
        started: row.started,
    }
}

fn listed_part(row: store::ListedPart) -> gateway::ListedPart {
    gateway::ListedPart {
        number: row.number,
        etag: row.etag,
        content_bytes: row.content_bytes,
        modified: row.modified,
        checksums: checksums_up(row.checksums),
    }
}
