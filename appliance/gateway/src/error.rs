//! From refusals to what S3 clients understand: one place for every code, status and sentence.

use hyper::StatusCode;
use hyper::header::{
    ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LAST_MODIFIED, RETRY_AFTER,
};
use s3s::{S3Error, S3ErrorCode};
use stele_format::units::VersionId;

use crate::body::BodyFault;
use crate::chunked::ChunkFault;
use crate::digest::DigestFault;
use crate::message::{ChecksumKind, LockMode, Refusal};
use crate::text::{http_date_text, instant_text};

/// Seconds after which a client may try again while the vault cannot serve.
const RETRY_AFTER_S: u16 = 5;

/// An error with a code that the S3 library does not know.
pub(crate) fn custom(status: StatusCode, code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// 400: a request's head, or what of it was signed, is too long.
pub(crate) fn head_too_large() -> S3Error {
    custom(
        StatusCode::BAD_REQUEST,
        "RequestHeaderSectionTooLarge",
        "your request header section exceeds the maximum allowed size",
    )
}

/// 400 InvalidRequest.
pub(crate) fn invalid_request(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidRequest, message)
}

/// 400 InvalidArgument.
pub(crate) fn invalid_argument(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

/// 400 MalformedXML.
pub(crate) fn malformed_xml(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::MalformedXML, message)
}

/// 501 NotImplemented.
pub(crate) fn not_implemented(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::NotImplemented, message)
}

/// 403 AccessDenied.
pub(crate) fn access_denied(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message)
}

/// 500: the engine gave an answer that does not belong to the question.
pub(crate) fn wrong_answer() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::InternalError,
        "the engine gave an unexpected answer",
    )
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        let mut error = S3Error::with_message(code(&refusal), sentence(&refusal));
        if matches!(refusal, Refusal::QuotaExceeded(_)) {
            error.set_status_code(StatusCode::FORBIDDEN);
        }
        if let Some(headers) = headers(&refusal) {
            error.set_headers(headers);
        }
        error
    }
}

fn code(refusal: &Refusal) -> S3ErrorCode {
    match refusal {
        Refusal::UnknownKey => S3ErrorCode::InvalidAccessKeyId,
        Refusal::Signature => S3ErrorCode::SignatureDoesNotMatch,
        Refusal::Skewed => S3ErrorCode::RequestTimeTooSkewed,
        Refusal::NotYet | Refusal::Expired | Refusal::NoSession => S3ErrorCode::AccessDenied,
        Refusal::NoSuchBucket => S3ErrorCode::NoSuchBucket,
        Refusal::NoSuchKey { .. } => S3ErrorCode::NoSuchKey,
        Refusal::NoSuchVersion => S3ErrorCode::NoSuchVersion,
        Refusal::IsMarker { .. } => S3ErrorCode::MethodNotAllowed,
        Refusal::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        Refusal::BucketExists => S3ErrorCode::BucketAlreadyOwnedByYou,
        Refusal::BucketTaken => S3ErrorCode::BucketAlreadyExists,
        Refusal::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
        Refusal::TooManyBuckets { .. } | Refusal::TooManyBucketsMade { .. } => {
            S3ErrorCode::TooManyBuckets
        }
        Refusal::Locked { .. }
        | Refusal::Held
        | Refusal::NeedsRight(_)
        | Refusal::NotAllowed(_)
        | Refusal::Weaker
        | Refusal::VaultKey => S3ErrorCode::AccessDenied,
        // S3 has no code for quotas; this is the one that other stores answer with.
        Refusal::QuotaExceeded(_) => S3ErrorCode::Custom("QuotaExceeded".into()),
        Refusal::NoLockOnBucket => S3ErrorCode::InvalidRequest,
        // S3 has no such limit.
        Refusal::PartsReplaced { .. } => S3ErrorCode::InvalidRequest,
        Refusal::RetentionDate(_) => S3ErrorCode::InvalidArgument,
        Refusal::Range { .. } => S3ErrorCode::InvalidRange,
        Refusal::Precondition => S3ErrorCode::PreconditionFailed,
        Refusal::Part { .. } => S3ErrorCode::InvalidPart,
        Refusal::PartOrder => S3ErrorCode::InvalidPartOrder,
        Refusal::PartTooSmall { .. } => S3ErrorCode::EntityTooSmall,
        Refusal::TooLarge { .. } => S3ErrorCode::EntityTooLarge,
        Refusal::Checksum => S3ErrorCode::BadDigest,
        Refusal::MetadataTooLarge { .. } => S3ErrorCode::MetadataTooLarge,
        // Clients wait and try again: a full vault may be given disks or a list of what has expired.
        Refusal::Busy | Refusal::TooFast | Refusal::Full => S3ErrorCode::SlowDown,
        // Not 404: a client would take that for what became of it.
        Refusal::MayBeLost(_) | Refusal::ReadOnly(_) | Refusal::Rebuilding | Refusal::Stopping => {
            S3ErrorCode::ServiceUnavailable
        }
        // Not 503: that would say that nothing was done.
        Refusal::Damaged { .. }
        | Refusal::NoSuchStream
        | Refusal::NotSigned
        | Refusal::Unanswered => S3ErrorCode::InternalError,
    }
}

fn sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Locked { mode, until } => format!(
            "the version is locked by {} retention until {}",
            mode_text(*mode),
            instant_text(*until)
        ),
        Refusal::NoLockOnBucket => "the bucket is missing an Object Lock configuration".to_owned(),
        other => other.to_string(),
    }
}

fn headers(refusal: &Refusal) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    match refusal {
        Refusal::NoSuchKey {
            marker: Some(version),
        } => marker_headers(&mut headers, *version),
        Refusal::IsMarker { version, modified } => {
            marker_headers(&mut headers, *version);
            headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
            let modified = HeaderValue::try_from(http_date_text(*modified)).ok()?;
            headers.insert(LAST_MODIFIED, modified);
        }
        Refusal::Range { content_bytes } => {
            let value = HeaderValue::try_from(format!("bytes */{content_bytes}")).ok()?;
            headers.insert(CONTENT_RANGE, value);
        }
        Refusal::Busy
        | Refusal::TooFast
        | Refusal::Full
        | Refusal::Rebuilding
        | Refusal::Stopping => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        _ => return None,
    }
    // Headers of an error replace those that the XML body came with.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Some(headers)
}

fn marker_headers(headers: &mut HeaderMap, version: VersionId) {
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    if let Ok(value) = HeaderValue::try_from(version.to_string()) {
        headers.insert("x-amz-version-id", value);
    }
}

/// S3's word for a lock mode.
pub(crate) fn mode_text(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
    }
}

/// S3's word for a checksum algorithm.
pub(crate) fn checksum_text(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::Crc32 => "CRC32",
        ChecksumKind::Crc32c => "CRC32C",
        ChecksumKind::Sha1 => "SHA1",
        ChecksumKind::Sha256 => "SHA256",
        ChecksumKind::Crc64Nvme => "CRC64NVME",
    }
}

impl From<BodyFault> for S3Error {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Incomplete => S3Error::with_message(
                S3ErrorCode::IncompleteBody,
                "the body is not as long as the request said",
            ),
            BodyFault::Stalled => S3Error::with_message(
                S3ErrorCode::RequestTimeout,
                "the body did not arrive in time",
            ),
            BodyFault::TooLarge { bytes_max } => S3Error::with_message(
                S3ErrorCode::MaxMessageLengthExceeded,
                format!("the request body is larger than {bytes_max} bytes"),
            ),
            BodyFault::Crowded => Refusal::Busy.into(),
            BodyFault::Taken => S3Error::with_message(
                S3ErrorCode::InternalError,
                "the request body was read before",
            ),
            BodyFault::Malformed(message) => malformed_xml(message),
            BodyFault::Refused(feature) => feature.error(),
            BodyFault::Chunk(fault) => fault.into(),
            BodyFault::Digest(fault) => fault.into(),
        }
    }
}

impl From<ChunkFault> for S3Error {
    fn from(fault: ChunkFault) -> Self {
        let code = match fault {
            ChunkFault::Framing
            | ChunkFault::Truncated
            | ChunkFault::Length
            | ChunkFault::TrailerMissing => S3ErrorCode::IncompleteBody,
            ChunkFault::ChunkTooLarge { .. } => S3ErrorCode::EntityTooLarge,
            ChunkFault::TrailerMalformed | ChunkFault::TrailerUnannounced => {
                return custom(
                    StatusCode::BAD_REQUEST,
                    "MalformedTrailerError",
                    "the trailer is malformed or was not announced in x-amz-trailer",
                );
            }
        };
        S3Error::with_message(code, fault.to_string())
    }
}

impl From<DigestFault> for S3Error {
    fn from(fault: DigestFault) -> Self {
        let message = fault.to_string();
        match fault {
            DigestFault::Payload => custom(
                StatusCode::BAD_REQUEST,
                "XAmzContentSHA256Mismatch",
                "the provided x-amz-content-sha256 header does not match what was computed",
            ),
            DigestFault::Md5 | DigestFault::Checksum(_) => {
                S3Error::with_message(S3ErrorCode::BadDigest, message)
            }
            DigestFault::Trailer => invalid_request(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{RetentionDateFault, Right};
    use stele_format::units::UnixMillis;

    fn check(refusal: Refusal, status: u16, code: &str) {
        let error = S3Error::from(refusal.clone());
        assert_eq!(error.code().as_str(), code, "{refusal:?}");
        let actual = error.status_code().map(|s| s.as_u16());
        assert_eq!(actual, Some(status), "{refusal:?}");
        assert!(
            error.message().is_some_and(|m| !m.is_empty()),
            "{refusal:?}"
        );
    }

    #[test]
    fn every_refusal_has_its_code_and_status() {
        let until = UnixMillis::new(4_102_444_800_000);
        let version = VersionId::parse_hex("0123456789abcdef0123456789abcdef").expect("an id");
        check(Refusal::NotSigned, 500, "InternalError");
        check(Refusal::NotYet, 403, "AccessDenied");
        check(Refusal::NoSuchBucket, 404, "NoSuchBucket");
        check(
            Refusal::NoSuchKey {
                marker: Some(version),
            },
            404,
            "NoSuchKey",
        );
        check(Refusal::NoSuchVersion, 404, "NoSuchVersion");
        let modified = until;
        check(
            Refusal::IsMarker { version, modified },
            405,
            "MethodNotAllowed",
        );
        check(Refusal::NoSuchUpload, 404, "NoSuchUpload");
        check(Refusal::BucketExists, 409, "BucketAlreadyOwnedByYou");
        check(Refusal::BucketTaken, 409, "BucketAlreadyExists");
        check(Refusal::NotAllowed("no".into()), 403, "AccessDenied");
        check(Refusal::QuotaExceeded("no".into()), 403, "QuotaExceeded");
        check(Refusal::TooFast, 503, "SlowDown");
        check(Refusal::BucketNotEmpty, 409, "BucketNotEmpty");
        check(
            Refusal::TooManyBuckets { buckets_max: 1 },
            400,
            "TooManyBuckets",
        );
        check(
            Refusal::TooManyBucketsMade { buckets_max: 1 },
            400,
            "TooManyBuckets",
        );
        check(
            Refusal::Locked {
                mode: LockMode::Compliance,
                until,
            },
            403,
            "AccessDenied",
        );
        check(Refusal::Held, 403, "AccessDenied");
        check(Refusal::NeedsRight(Right::HoldOff), 403, "AccessDenied");
        assert_eq!(
            Refusal::NeedsRight(Right::LockAdmin).to_string(),
            "the key lacks the right lock-admin, which two people grant"
        );
        check(Refusal::Weaker, 403, "AccessDenied");
        check(Refusal::VaultKey, 403, "AccessDenied");
        check(Refusal::NoLockOnBucket, 400, "InvalidRequest");
        check(
            Refusal::RetentionDate(RetentionDateFault::Past),
            400,
            "InvalidArgument",
        );
        check(Refusal::Range { content_bytes: 3 }, 416, "InvalidRange");
        check(Refusal::Precondition, 412, "PreconditionFailed");
        check(Refusal::Part { number: 1 }, 400, "InvalidPart");
        check(Refusal::PartOrder, 400, "InvalidPartOrder");
        check(Refusal::PartTooSmall { number: 1 }, 400, "EntityTooSmall");
        check(
            Refusal::PartsReplaced { count_max: 1 },
            400,
            "InvalidRequest",
        );
        check(Refusal::TooLarge { bytes_max: 1 }, 400, "EntityTooLarge");
        check(Refusal::Checksum, 400, "BadDigest");
        check(
            Refusal::MetadataTooLarge { bytes_max: 1 },
            400,
            "MetadataTooLarge",
        );
        check(Refusal::Busy, 503, "SlowDown");
        check(Refusal::Full, 503, "SlowDown");
        check(
            Refusal::ReadOnly("two disks are missing".into()),
            503,
            "ServiceUnavailable",
        );
        check(
            Refusal::MayBeLost("journal bytes are missing".into()),
            503,
            "ServiceUnavailable",
        );
        check(Refusal::Rebuilding, 503, "ServiceUnavailable");
        check(Refusal::Stopping, 503, "ServiceUnavailable");
        check(Refusal::Unanswered, 500, "InternalError");
        check(
            Refusal::Damaged {
                segment: 1,
                place: "frame 2".into(),
            },
            500,
            "InternalError",
        );
        check(Refusal::NoSuchStream, 500, "InternalError");
    }

    #[test]
    fn a_lock_refusal_says_until_when() {
        let until = UnixMillis::new(4_102_444_800_000);
        let error = S3Error::from(Refusal::Locked {
            mode: LockMode::Compliance,
            until,
        });
        let message = error.message().unwrap_or_default();
        assert!(message.contains("COMPLIANCE"), "{message}");
        assert!(message.contains("2100-01-01T00:00:00.000Z"), "{message}");
    }

    #[test]
    fn a_hidden_key_tells_the_marker() {
        let version = VersionId::parse_hex("0123456789abcdef0123456789abcdef").expect("an id");
        let error = S3Error::from(Refusal::NoSuchKey {
            marker: Some(version),
        });
        let headers = error.headers().expect("headers");
        assert_eq!(headers["x-amz-delete-marker"], "true");
        assert_eq!(
            headers["x-amz-version-id"],
            "0123456789abcdef0123456789abcdef"
        );
    }
}
