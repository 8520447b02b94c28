//! The words of S3 that this vault understands, or at least refuses by its own handlers.

use hyper::Method;
use s3s::path::S3Path;

use crate::refused::Feature;

/// Headers outside `x-amz-*` that may come once only.
pub(super) const SINGLE: [&str; 12] = [
    "authorization",
    "content-disposition",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "host",
    "if-match",
    "if-none-match",
    "range",
    "transfer-encoding",
    "expires",
];

/// Headers of `x-amz-*` that may come more than once: SDKs for Go and Rust give each word of theirs a line.
pub(super) const LISTS: [&str; 2] = [
    "x-amz-object-attributes",
    "x-amz-optional-object-attributes",
];

/// Headers of conditions that name ETags.
pub(super) const CONDITIONS: [&str; 2] = ["if-match", "if-none-match"];

/// Headers of conditions that say a date.
pub(super) const DATES: [&str; 4] = [
    "if-modified-since",
    "if-unmodified-since",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
];

/// `x-amz-*` headers, without the prefix, that are read somewhere behind the guard.
pub(super) const HEADERS: [&str; 36] = [
    "bucket-object-lock-enabled",
    "bypass-governance-retention",
    "checksum-algorithm",
    "checksum-crc32",
    "checksum-crc32c",
    "checksum-crc64nvme",
    "checksum-mode",
    "checksum-sha1",
    "checksum-sha256",
    "checksum-type",
    "content-sha256",
    "copy-source",
    "copy-source-if-match",
    "copy-source-if-modified-since",
    "copy-source-if-none-match",
    "copy-source-if-unmodified-since",
    "copy-source-range",
    "date",
    "decoded-content-length",
    "expected-bucket-owner",
    "max-parts",
    "metadata-directive",
    "mp-object-size",
    "object-attributes",
    "object-lock-legal-hold",
    "object-lock-mode",
    "object-lock-retain-until-date",
    "optional-object-attributes",
    "part-number-marker",
    "sdk-checksum-algorithm",
    "source-expected-bucket-owner",
    "tagging",
    "tagging-directive",
    "te",
    "trailer",
    "user-agent",
];

/// Of these headers those that clients send empty, too, where they have nothing to say.
pub(super) const MAY_BE_EMPTY: [&str; 2] = ["tagging", "user-agent"];

/// Query parameters of a presigned URL.
pub(super) const PRESIGNED: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// What a write is, as far as there are headers for it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    CreateBucket,
    SetLifecycle,
    DeleteMany,
    Put,
    Copy,
    PartCopy,
    BeginUpload,
    CompleteUpload,
    SetRetention,
    Delete,
    Other,
}

impl Write {
    /// The write with this method and these query parameters. `copies` says that it names a source.
    pub(super) fn of(
        (method, copies): (&Method, bool),
        path: &S3Path,
        query: &[(String, String)],
    ) -> Self {
        let names = query.iter().map(|(name, _)| name.as_str());
        let mut what: Vec<_> = names
            .filter(|name| *name != "versionId" && self::query(method, path).contains(name))
            .collect();
        what.sort_unstable();
        match (path, method.as_str(), what.as_slice()) {
            (S3Path::Bucket { .. }, "PUT", []) => Self::CreateBucket,
            (S3Path::Bucket { .. }, "PUT", ["lifecycle"]) => Self::SetLifecycle,
            (S3Path::Bucket { .. }, "POST", ["delete"]) => Self::DeleteMany,
            (S3Path::Object { .. }, "PUT", []) if copies => Self::Copy,
            (S3Path::Object { .. }, "PUT", []) => Self::Put,
            (S3Path::Object { .. }, "PUT", ["partNumber", "uploadId"]) if copies => Self::PartCopy,
            (S3Path::Object { .. }, "PUT", ["retention"]) => Self::SetRetention,
            (S3Path::Object { .. }, "POST", ["uploads"]) => Self::BeginUpload,
            (S3Path::Object { .. }, "POST", ["uploadId"]) => Self::CompleteUpload,
            (S3Path::Object { .. }, "DELETE", []) => Self::Delete,
            _ => Self::Other,
        }
    }
}

const OF_COPIES: [Write; 2] = [Write::Copy, Write::PartCopy];
const OF_NEW_VERSIONS: [Write; 3] = [Write::Put, Write::Copy, Write::BeginUpload];

/// Headers that say what content comes to.
pub(super) const DIGESTS: [&str; 6] = [
    "content-md5",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

/// Writes with which no content comes, so that nothing is held against [`DIGESTS`].
pub(super) const WITHOUT_CONTENT: [Write; 3] = [Write::Copy, Write::PartCopy, Write::BeginUpload];

/// Writes that read [`CONDITIONS`].
pub(super) const CONDITIONAL_WRITES: [Write; 3] = [Write::Put, Write::Copy, Write::CompleteUpload];

/// Headers, without the prefix `x-amz-`, that would be overlooked by other writes than those that read them, and what
/// these others say.
pub(super) const WRITE_HEADERS: [(&str, &[Write], Feature); 16] = [
    (
        "bucket-object-lock-enabled",
        &[Write::CreateBucket],
        Feature::LockElsewhere,
    ),
    (
        "bypass-governance-retention",
        &[Write::DeleteMany, Write::SetRetention, Write::Delete],
        Feature::LockElsewhere,
    ),
    (
        "checksum-type",
        &[Write::BeginUpload, Write::CompleteUpload],
        Feature::HeaderElsewhere,
    ),
    ("copy-source-if-match", &OF_COPIES, Feature::HeaderElsewhere),
    (
        "copy-source-if-modified-since",
        &OF_COPIES,
        Feature::HeaderElsewhere,
    ),
    (
        "copy-source-if-none-match",
        &OF_COPIES,
        Feature::HeaderElsewhere,
    ),
    (
        "copy-source-if-unmodified-since",
        &OF_COPIES,
        Feature::HeaderElsewhere,
    ),
    (
        "copy-source-range",
        &[Write::PartCopy],
        Feature::HeaderElsewhere,
    ),
    (
        // s3cmd says what becomes of the metadata when it begins a copy in parts, too.
        "metadata-directive",
        &[Write::Copy, Write::PartCopy, Write::BeginUpload],
        Feature::HeaderElsewhere,
    ),
    (
        "mp-object-size",
        &[Write::CompleteUpload],
        Feature::HeaderElsewhere,
    ),
    (
        "object-lock-legal-hold",
        &OF_NEW_VERSIONS,
        Feature::LockElsewhere,
    ),
    ("object-lock-mode", &OF_NEW_VERSIONS, Feature::LockElsewhere),
    (
        "object-lock-retain-until-date",
        &OF_NEW_VERSIONS,
        Feature::LockElsewhere,
    ),
    ("tagging", &OF_NEW_VERSIONS, Feature::TagsElsewhere),
    ("tagging-directive", &[Write::Copy], Feature::TagsElsewhere),
    (
        "transition-default-minimum-object-size",
        &[Write::SetLifecycle],
        Feature::HeaderElsewhere,
    ),
];

/// Sub-resources of an object that are written as XML documents.
pub(super) const OBJECT_DOCUMENTS: [&str; 4] = ["acl", "legal-hold", "retention", "tagging"];

/// Query parameters that mean something for this method and path. A parameter outside this list
/// would be overlooked by the router, and `DELETE /bucket/key?something` would delete the key.
pub(super) fn query(method: &Method, path: &S3Path) -> &'static [&'static str] {
    match (path, method.as_str()) {
        (S3Path::Root, "GET") => &[
            "bucket-region",
            "continuation-token",
            "max-buckets",
            "prefix",
        ],
        (S3Path::Root, _) => &[],
        (S3Path::Bucket { .. }, "GET" | "HEAD") => &BUCKET_GET,
        (S3Path::Bucket { .. }, "PUT") => &BUCKET_PUT,
        (S3Path::Bucket { .. }, "POST") => &["delete"],
        (S3Path::Bucket { .. }, "DELETE") => &BUCKET_DELETE,
        (S3Path::Object { .. }, "GET" | "HEAD") => &OBJECT_GET,
        (S3Path::Object { .. }, "PUT") => &[
            "acl",
            "legal-hold",
            "partNumber",
            "retention",
            "tagging",
            "uploadId",
            "versionId",
        ],
        (S3Path::Object { .. }, "POST") => &[
            "restore",
            "select",
            "select-type",
            "uploadId",
            "uploads",
            "versionId",
        ],
        (S3Path::Object { .. }, "DELETE") => &["tagging", "uploadId", "versionId"],
        _ => &[],
    }
}

const BUCKET_GET: [&str; 39] = [
    "accelerate",
    "acl",
    "analytics",
    "continuation-token",
    "cors",
    "delimiter",
    "encoding-type",
    "encryption",
    "fetch-owner",
    "id",
    "intelligent-tiering",
    "inventory",
    "key-marker",
    "lifecycle",
    "list-type",
    "location",
    "logging",
    "marker",
    "max-keys",
    "max-uploads",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "prefix",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "start-after",
    "tagging",
    "upload-id-marker",
    "uploads",
    "version-id-marker",
    "versioning",
    "versions",
    "website",
    "session",
];

const BUCKET_PUT: [&str; 21] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "tagging",
    "versioning",
    "website",
];

const BUCKET_DELETE: [&str; 14] = [
    "analytics",
    "cors",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "metrics",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "tagging",
    "website",
];

const OBJECT_GET: [&str; 17] = [
    "acl",
    "attributes",
    "legal-hold",
    "max-parts",
    "part-number-marker",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "retention",
    "tagging",
    "torrent",
    "uploadId",
    "versionId",
];
