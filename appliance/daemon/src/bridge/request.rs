//! Questions, from the gateway's words to the engine's.

use stele_gateway::message as gateway;
use stele_gateway::message::Request as Ask;
use stele_gateway::slab::Slab;
use stele_store::request as store;
use stele_store::request::Command;

use super::{
    checksum_number, checksums_down, default_down, lifecycle, metadata_down, retention_down,
};

/// Translates a question and the content that goes with it, without copying. None for one that is not
/// the engine's to answer, or lacks its content. One match on purpose: the compiler finds the question
/// that was forgotten.
pub fn to_store(request: Ask, slab: Option<Slab>) -> Option<Command> {
    Some(match request {
        Ask::SignIn { .. } | Ask::VerifyChunks { .. } => return None,
        Ask::ListBuckets => Command::ListBuckets,
        Ask::CreateBucket { name, lock } => Command::CreateBucket { name, lock },
        Ask::HeadBucket { name } => Command::HeadBucket { name },
        Ask::DeleteBucket { name } => Command::DeleteBucket { name },
        Ask::SetDefaultRetention { bucket, default } => Command::SetDefaultRetention {
            bucket,
            default: default.map(default_down),
        },
        Ask::SetLifecycle { bucket, rules } => Command::SetLifecycle {
            bucket,
            rules: rules.into_iter().map(lifecycle::down).collect(),
        },
        Ask::OpenPut {
            name,
            purpose,
            content_bytes,
        } => Command::OpenPut {
            name: object(name),
            purpose: purpose_down(purpose),
            content_bytes,
        },
        Ask::Put {
            name,
            purpose,
            content: _,
            md5,
            checksums,
            conditions,
        } => Command::Put {
            name: object(name),
            purpose: purpose_down(purpose),
            whole: Box::new(store::Whole {
                piece: slab.map(piece),
                md5,
                checksums: checksums_down(checksums),
                conditions: conditions_down(conditions),
            }),
        },
        Ask::PutData { stream } => Command::PutData {
            stream: stream_down(stream),
            piece: piece(slab?),
        },
        Ask::CommitPut {
            stream,
            md5,
            checksums,
            conditions,
        } => Command::CommitPut {
            stream: stream_down(stream),
            md5,
            checksums: checksums_down(checksums),
            conditions: conditions_down(conditions),
        },
        Ask::AbortPut { stream } => Command::AbortPut {
            stream: stream_down(stream),
        },
        Ask::OpenGet {
            name,
            version,
            range,
        } => Command::OpenGet {
            name: object(name),
            version,
            range: range.map(range_down),
        },
        Ask::NextData { stream } => Command::NextData {
            stream: stream_down(stream),
        },
        Ask::CloseGet { stream } => Command::CloseGet {
            stream: stream_down(stream),
        },
        Ask::Head { name, version } => Command::Head {
            name: object(name),
            version,
        },
        Ask::Delete {
            name,
            version,
            bypass,
        } => Command::Delete {
            name: object(name),
            version,
            bypass,
        },
        Ask::List(wish) => Command::List(list_down(wish)),
        Ask::ListVersions(wish) => Command::ListVersions(list_down(wish)),
        Ask::SetRetention {
            name,
            version,
            retention,
            bypass,
        } => Command::SetRetention {
            name: object(name),
            version,
            retention: retention.map(retention_down),
            bypass,
        },
        Ask::SetHold { name, version, on } => Command::SetHold {
            name: object(name),
            version,
            on,
        },
        Ask::SetTags {
            name,
            version,
            tags,
        } => Command::SetTags {
            name: object(name),
            version,
            tags,
        },
        Ask::Capacity => Command::Capacity,
        Ask::CreateUpload {
            name,
            metadata,
            lock,
            checksum,
        } => Command::CreateUpload {
            name: object(name),
            metadata: metadata_down(metadata),
            lock: lock_down(lock),
            announced: checksum.map(|(kind, composite)| (checksum_number(kind), composite)),
        },
        Ask::HeadUpload { name, upload } => Command::HeadUpload {
            name: object(name),
            upload,
        },
        Ask::ListParts {
            name,
            upload,
            after,
            parts_max,
        } => Command::ListParts {
            name: object(name),
            upload,
            after,
            parts_max,
        },
        Ask::ListUploads(wish) => Command::ListUploads(list_down(wish)),
        Ask::CompleteUpload {
            name,
            upload,
            parts,
            checksums,
            conditions,
        } => Command::CompleteUpload {
            name: object(name),
            upload,
            parts: parts.into_iter().map(part_down).collect(),
            checksums: checksums_down(checksums),
            conditions: conditions_down(conditions),
        },
        Ask::AbortUpload { name, upload } => Command::AbortUpload {
            name: object(name),
            upload,
        },
    })
}

fn stream_down(stream: gateway::StreamId) -> store::StreamId {
    store::StreamId(stream.0)
}

fn object(name: gateway::ObjectName) -> store::ObjectName {
    store::ObjectName {
        bucket: name.bucket,
        key: name.key.into_bytes(),
    }
}

fn piece(slab: Slab) -> store::Piece {
    let Slab { buffer, start, len } = slab;
    store::Piece { buffer, start, len }
}

fn lock_down(lock: gateway::LockWish) -> store::LockWish {
    store::LockWish {
        retention: lock.retention.map(retention_down),
        hold: lock.hold,
    }
}

fn purpose_down(purpose: gateway::Purpose) -> store::Purpose {
    match purpose {
        gateway::Purpose::Object { metadata, lock } => store::Purpose::Object {
            metadata: metadata_down(metadata),
            lock: lock_down(lock),
        },
        gateway::Purpose::Part { upload, number } => store::Purpose::Part { upload, number },
    }
}

fn range_down(range: gateway::RangeWish) -> store::RangeWish {
    match range {
        gateway::RangeWish::From { first, last } => store::RangeWish::From(first, last),
        gateway::RangeWish::Suffix(bytes) => store::RangeWish::Suffix(bytes),
    }
}

fn conditions_down(conditions: gateway::Conditions) -> store::Conditions {
    let gateway::Conditions {
        if_match,
        if_none_match,
    } = conditions;
    store::Conditions {
        if_match,
        if_none_match,
    }
}

fn part_down(part: gateway::NamedPart) -> store::NamedPart {
    let gateway::NamedPart {
        number,
        etag,
        checksums,
    } = part;
    store::NamedPart {
        number,
        etag,
        checksums: checksums_down(checksums),
    }
}

fn list_down(wish: gateway::ListWish) -> store::ListWish {
    store::ListWish {
        bucket: wish.bucket,
        prefix: wish.prefix.into_bytes(),
        delimiter: wish.delimiter.map(String::into_bytes),
        after: wish.after.map(String::into_bytes),
        after_version: wish.after_version,
        entries_max: wish.entries_max,
    }
}
