//! DeleteObject and DeleteObjects. Deleting is idempotent: what is not there is deleted.

use std::collections::VecDeque;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    Error, ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::document;
use crate::error::{invalid_argument, invalid_request, malformed_xml, wrong_answer};
use crate::limits::{DELETE_AHEAD, DELETE_KEYS_MAX, KEY_BYTES_MAX};
use crate::link::{Pending, settle};
use crate::message::{Answer, BucketKind, Refusal, Request};
use crate::refused::Feature;
use crate::service::{Caller, Service, context, name, plain};
use crate::text::xml_safe_escaped;
use stele_format::units::VersionId;

/// What came of one deletion.
struct Outcome {
    marker: bool,
    version: Option<VersionId>,
    versioned: bool,
}

fn outcome(answer: Result<Answer, Refusal>, named: Option<VersionId>) -> S3Result<Outcome> {
    match answer {
        Ok(Answer::Deleted {
            marker,
            version,
            versioned,
        }) => Ok(Outcome {
            marker,
            version,
            versioned,
        }),
        Ok(_) => Err(wrong_answer()),
        Err(Refusal::NoSuchKey { .. } | Refusal::NoSuchVersion) => Ok(Outcome {
            marker: false,
            version: named,
            versioned: named.is_some(),
        }),
        Err(refusal) => Err(refusal.into()),
    }
}

/// A version `null` where versions have ids is not there either.
fn absent(error: S3Error) -> S3Result<Outcome> {
    match *error.code() == S3ErrorCode::NoSuchVersion {
        true => Ok(Outcome {
            marker: false,
            version: None,
            versioned: false,
        }),
        false => Err(error),
    }
}

/// Whether governance is to be bypassed. Where there are no locks, who asks for it takes the bucket for another one.
async fn bypass(caller: &Caller, bucket: &str, wish: Option<bool>) -> S3Result<bool> {
    let wish = wish.unwrap_or(false);
    if wish && caller.bucket(bucket).await?.kind == BucketKind::Plain {
        return Err(invalid_argument(
            "x-amz-bypass-governance-retention is only applicable to buckets with Object Lock",
        ));
    }
    Ok(wish)
}

pub(crate) async fn one(
    service: &Service,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let named = input.version_id.as_deref();
    let version = match caller.version(&input.bucket, named).await {
        Ok(version) => version,
        Err(error) => {
            absent(error)?;
            return plain(DeleteObjectOutput {
                version_id: input.version_id,
                ..DeleteObjectOutput::default()
            });
        }
    };
    let wish = input.bypass_governance_retention;
    let bypass = bypass(&caller, &input.bucket, wish).await?;
    let name = name(&input.bucket, &input.key);
    let answer = caller
        .ask(Request::Delete {
            name,
            version,
            bypass,
        })
        .await;
    let outcome = outcome(answer, version)?;
    let shown = outcome.version.filter(|_| outcome.versioned);
    plain(DeleteObjectOutput {
        delete_marker: (outcome.versioned && outcome.marker).then_some(true),
        request_charged: None,
        version_id: shown.map(|version| version.to_string()),
    })
}

pub(crate) async fn many(
    service: &Service,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    if !context(&request)?.described.promised.has_explicit() {
        return Err(invalid_request(
            "missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        ));
    }
    let caller = service.caller(&request)?;
    let input = request.input;
    let quiet = input.delete.quiet.unwrap_or(false);
    let objects = input.delete.objects;
    if objects.is_empty() || objects.len() > DELETE_KEYS_MAX {
        return Err(malformed_xml(
            "between 1 and 1000 keys can be deleted at once",
        ));
    }
    // A carriage return came as a reference.
    let is_unsafe = |object: &ObjectIdentifier| {
        let version = object.version_id.as_deref().unwrap_or_default();
        !xml_safe_escaped(&object.key) || !xml_safe_escaped(version)
    };
    if objects.iter().any(is_unsafe) {
        return Err(malformed_xml(
            "a key or a version id contains a character that XML does not allow",
        ));
    }
    // A bucket that is not there is one error, not a thousand.
    caller.bucket(&input.bucket).await?;
    let wish = input.bypass_governance_retention;
    let bypass = bypass(&caller, &input.bucket, wish).await?;
    let mut output = Collected {
        quiet,
        deleted: Vec::new(),
        errors: Vec::new(),
    };
    let mut asked = VecDeque::new();
    for object in objects {
        if asked.len() == DELETE_AHEAD {
            output.settle(asked.pop_front()).await;
        }
        asked.push_back(ask(&caller, &input.bucket, object, bypass).await);
    }
    while !asked.is_empty() {
        output.settle(asked.pop_front()).await;
    }
    let output = DeleteObjectsOutput {
        deleted: Some(output.deleted),
        errors: Some(output.errors),
        request_charged: None,
    };
    let written = document::write(&output)?;
    let mut response = S3Response::new(DeleteObjectsOutput::default());
    response.extensions.insert(written);
    Ok(response)
}

/// A deletion under way.
struct Asked {
    object: ObjectIdentifier,
    version: Option<VersionId>,
    pending: S3Result<Pending>,
}

async fn ask(caller: &Caller, bucket: &str, object: ObjectIdentifier, bypass: bool) -> Asked {
    let mut version = None;
    let pending = match check(caller, bucket, &object).await {
        Ok(named) => {
            version = named;
            let request = Request::Delete {
                name: name(bucket, &object.key),
                version: named,
                bypass,
            };
            caller.post(request, None).await.map_err(S3Error::from)
        }
        Err(error) => Err(error),
    };
    Asked {
        object,
        version,
        pending,
    }
}

async fn check(
    caller: &Caller,
    bucket: &str,
    object: &ObjectIdentifier,
) -> S3Result<Option<VersionId>> {
    if object.key.is_empty() || object.key.len() > KEY_BYTES_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::KeyTooLongError,
            "a key must have 1 to 1024 bytes",
        ));
    }
    let conditional =
        object.e_tag.is_some() || object.last_modified_time.is_some() || object.size.is_some();
    if conditional {
        return Err(Feature::ConditionalDelete.error());
    }
    caller.version(bucket, object.version_id.as_deref()).await
}

/// The answers so far.
struct Collected {
    quiet: bool,
    deleted: Vec<DeletedObject>,
    errors: Vec<Error>,
}

impl Collected {
    async fn settle(&mut self, asked: Option<Asked>) {
        let Some(Asked {
            object,
            version,
            pending,
        }) = asked
        else {
            return;
        };
        let result = match pending {
            Ok(pending) => {
                let answer = settle(pending).await.map(|done| done.answer);
                outcome(answer, version)
            }
            Err(error) => absent(error),
        };
        match result {
            Ok(_) if self.quiet => {}
            Ok(outcome) => self.deleted.push(deleted(object, &outcome)),
            Err(error) => self.errors.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                version_id: object.version_id,
            }),
        }
    }
}

fn deleted(object: ObjectIdentifier, outcome: &Outcome) -> DeletedObject {
    let marker = outcome.versioned && outcome.marker;
    let marker_version = outcome.version.filter(|_| marker);
    DeletedObject {
        delete_marker: marker.then_some(true),
        delete_marker_version_id: marker_version.map(|version| version.to_string()),
        key: Some(object.key),
        version_id: object.version_id,
    }
}
