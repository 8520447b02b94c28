//! What S3 can do and this vault does not, by its nature or not yet: one documented error each.
//!
//! This is the only place where such a refusal gets its code and its sentence, and the table in
//! `docs/s3.md` is made of it. Nothing in it is ever accepted silently.

use hyper::StatusCode;
use hyper::header::HeaderName;
use s3s::{S3Error, S3ErrorCode};

use crate::error::custom;

/// One row of the table.
pub(crate) struct Row {
    /// How clients ask for it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the documentation's table is checked against it")
    )]
    pub asked: &'static str,
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// S3 error code of the answer.
    pub code: &'static str,
    /// Why, in the words of the answer.
    pub why: &'static str,
}

macro_rules! features {
    ($($name:ident: $asked:literal => $status:ident $code:literal, $why:literal;)*) => {
        /// What is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Feature {
            $($name,)*
        }

        impl Feature {
            /// All of them, in the order of the table.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its row.
            pub(crate) const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        asked: $asked,
                        status: StatusCode::$status,
                        code: $code,
                        why: $why,
                    },)*
                }
            }
        }
    };
}

features! {
    Acl: "`x-amz-acl` other than `private` and `bucket-owner-full-control`, `x-amz-grant-*`, PUT `?acl` with a document"
        => BAD_REQUEST "AccessControlListNotSupported",
        "everything belongs to the vault's owner; there are no access control lists";
    Suspend: "PUT `?versioning` with `Suspended` on a bucket with Object Lock"
        => CONFLICT "InvalidBucketState",
        "an Object Lock configuration is present on this bucket, so the versioning state cannot be changed";
    CustomerKeys: "`x-amz-server-side-encryption-customer-*`"
        => NOT_IMPLEMENTED "NotImplemented",
        "the vault encrypts everything under keys of its own; keys of clients are not accepted";
    Kms: "`x-amz-server-side-encryption` other than `AES256`, `-aws-kms-key-id`, `-context`, `-bucket-key-enabled`"
        => NOT_IMPLEMENTED "NotImplemented",
        "the vault encrypts everything under keys of its own; there is no key management service";
    Encryption: "PUT and DELETE `?encryption`"
        => NOT_IMPLEMENTED "NotImplemented",
        "the vault encrypts everything by itself; this cannot be configured";
    StorageClass: "`x-amz-storage-class` other than `STANDARD`"
        => BAD_REQUEST "InvalidStorageClass",
        "the only storage class of this vault is STANDARD";
    Website: "PUT and DELETE `?website`, `x-amz-website-redirect-location`"
        => NOT_IMPLEMENTED "NotImplemented",
        "a vault serves no websites";
    Cors: "PUT and DELETE `?cors`"
        => NOT_IMPLEMENTED "NotImplemented",
        "a vault does not serve browsers, so cross-origin rules are not kept";
    Policy: "PUT and DELETE `?policy`"
        => NOT_IMPLEMENTED "NotImplemented",
        "what a client may do is decided by people at the vault, not by bucket policies";
    Ownership: "PUT and DELETE `?ownershipControls`"
        => NOT_IMPLEMENTED "NotImplemented",
        "everything belongs to the vault's owner; this cannot be configured";
    PublicAccess: "PUT and DELETE `?publicAccessBlock`"
        => NOT_IMPLEMENTED "NotImplemented",
        "nothing is ever public; this cannot be configured";
    Lifecycle: "PUT `?lifecycle` with transitions, a filter by tags, or another `x-amz-transition-default-minimum-object-size` than `all_storage_classes_128K`"
        => NOT_IMPLEMENTED "NotImplemented",
        "a lifecycle rule of this vault is for a prefix and sizes, and moves nothing to another storage class";
    Form: "POST of an HTML form (POST policy)"
        => NOT_IMPLEMENTED "NotImplemented",
        "uploads by HTML form are not accepted";
    Replication: "PUT and DELETE `?replication`"
        => NOT_IMPLEMENTED "NotImplemented",
        "this version makes no copies outside the vault";
    Notification: "PUT `?notification`"
        => NOT_IMPLEMENTED "NotImplemented",
        "a vault calls nobody when objects come";
    Inventory: "PUT and DELETE `?inventory`"
        => NOT_IMPLEMENTED "NotImplemented",
        "a vault writes no inventories into buckets";
    Analytics: "PUT and DELETE `?analytics`"
        => NOT_IMPLEMENTED "NotImplemented",
        "a vault writes no analyses into buckets";
    Metrics: "PUT and DELETE `?metrics`"
        => NOT_IMPLEMENTED "NotImplemented",
        "how the vault fares is said by `stele status --json` at the vault";
    Tiering: "PUT and DELETE `?intelligent-tiering`"
        => NOT_IMPLEMENTED "NotImplemented",
        "there is one storage class, so nothing moves between tiers";
    Logging: "PUT `?logging`"
        => NOT_IMPLEMENTED "NotImplemented",
        "every write is a record of the vault's own log; access logs are not written into buckets";
    BucketTags: "PUT and DELETE `?tagging` of a bucket, `Tags` when one is made"
        => NOT_IMPLEMENTED "NotImplemented",
        "buckets of this vault have no tags";
    RequestPayment: "PUT `?requestPayment`"
        => NOT_IMPLEMENTED "NotImplemented",
        "nobody pays for requests to a vault";
    Acceleration: "PUT `?accelerate`"
        => NOT_IMPLEMENTED "NotImplemented",
        "transfer acceleration is not implemented";
    Session: "GET `?session`"
        => NOT_IMPLEMENTED "NotImplemented",
        "directory buckets and their sessions are not implemented";
    Torrent: "GET `?torrent`"
        => NOT_IMPLEMENTED "NotImplemented",
        "torrents are not served";
    Select: "POST `?select`"
        => NOT_IMPLEMENTED "NotImplemented",
        "the vault does not look into objects, so it cannot query them";
    Restore: "POST `?restore`"
        => NOT_IMPLEMENTED "NotImplemented",
        "every object can be read at any time, so there is nothing to restore";
    Rename: "PUT `?renameObject`, `x-amz-rename-source*`"
        => NOT_IMPLEMENTED "NotImplemented",
        "what is stored keeps its name; copy it instead";
    Append: "`x-amz-write-offset-bytes`"
        => NOT_IMPLEMENTED "NotImplemented",
        "what is stored is never changed, so nothing can be appended";
    Mfa: "`x-amz-mfa`, `MfaDelete`"
        => NOT_IMPLEMENTED "NotImplemented",
        "MFA delete is not implemented: clients never destroy anything";
    EventHold: "`x-amz-object-lock-event-hold*`"
        => NOT_IMPLEMENTED "NotImplemented",
        "event holds are not implemented; a legal hold keeps a version as long as it is ON";
    OtherLock: "any other `x-amz-object-lock-*`"
        => NOT_IMPLEMENTED "NotImplemented",
        "this vault does not know that kind of lock, and a lock it does not know it cannot keep";
    LockElsewhere: "`x-amz-object-lock-*` on a write other than PutObject, CopyObject and CreateMultipartUpload, `x-amz-bypass-governance-retention` on one other than PutObjectRetention, DeleteObject and DeleteObjects, `x-amz-bucket-object-lock-enabled` on one other than CreateBucket"
        => BAD_REQUEST "InvalidArgument",
        "this operation takes no such header, and nothing would come of it";
    TagsElsewhere: "`x-amz-tagging` on a write other than PutObject, CopyObject and CreateMultipartUpload, `x-amz-tagging-directive` on one other than CopyObject"
        => BAD_REQUEST "InvalidArgument",
        "this operation stores no tags from a header";
    HeaderElsewhere: "`x-amz-copy-source-if-*` on a write other than CopyObject and UploadPartCopy, `x-amz-copy-source-range` on one other than UploadPartCopy, `x-amz-metadata-directive` on one other than these and CreateMultipartUpload, `x-amz-checksum-type` on one other than CreateMultipartUpload and CompleteMultipartUpload, `x-amz-mp-object-size` on one other than CompleteMultipartUpload, `x-amz-transition-default-minimum-object-size` on one other than PutBucketLifecycleConfiguration"
        => BAD_REQUEST "InvalidArgument",
        "this operation takes no such header, and what it asks for would not be done";
    DigestElsewhere: "Content-MD5 and the value of an `x-amz-checksum-*` on CopyObject, UploadPartCopy and CreateMultipartUpload"
        => BAD_REQUEST "InvalidArgument",
        "no content comes with this operation, so nothing would be compared with it";
    SecurityToken: "`x-amz-security-token`"
        => BAD_REQUEST "InvalidToken",
        "this vault issues no temporary credentials";
    ConditionalDelete: "`If-Match` and the like on DELETE, `x-amz-if-match-*` on DELETE and abort"
        => NOT_IMPLEMENTED "NotImplemented",
        "conditional deletion is not implemented";
    ConditionalWrite: "`If-Match` and `If-None-Match` on PUT and POST other than PutObject, CopyObject and CompleteMultipartUpload"
        => NOT_IMPLEMENTED "NotImplemented",
        "of writes, only those that make a version can depend on an ETag";
    DatedWrite: "`If-Modified-Since` and `If-Unmodified-Since` on PUT and POST"
        => NOT_IMPLEMENTED "NotImplemented",
        "a write can depend on an ETag (`If-Match`, `If-None-Match`), not on a date";
}

impl Feature {
    /// The answer to whoever asks for it.
    pub(crate) fn error(self) -> S3Error {
        let row = self.row();
        custom(row.status, row.code, row.why)
    }

    /// The answer to a header that asks for it.
    pub(crate) fn error_about(self, header: &HeaderName) -> S3Error {
        let row = self.row();
        let message = format!("{}: {header}", row.why);
        let mut error = S3Error::with_message(S3ErrorCode::Custom(row.code.into()), message);
        error.set_status_code(row.status);
        error
    }

    /// What an `x-amz-*` header, given without that prefix, asks for.
    pub(crate) fn of_header(rest: &str) -> Option<Self> {
        const BEGINNINGS: [(&str, Feature); 15] = [
            ("acl", Feature::Acl),
            ("grant-", Feature::Acl),
            ("if-match-", Feature::ConditionalDelete),
            ("mfa", Feature::Mfa),
            ("object-lock-event-hold", Feature::EventHold),
            ("object-lock-", Feature::OtherLock),
            ("rename-source", Feature::Rename),
            ("security-token", Feature::SecurityToken),
            ("server-side-encryption-customer-", Feature::CustomerKeys),
            (
                "copy-source-server-side-encryption-customer-",
                Feature::CustomerKeys,
            ),
            ("server-side-encryption", Feature::Kms),
            ("storage-class", Feature::StorageClass),
            ("transition-default-minimum-object-size", Feature::Lifecycle),
            ("website-redirect-location", Feature::Website),
            ("write-offset-bytes", Feature::Append),
        ];
        let mut known = BEGINNINGS.iter();
        known
            .find(|(beginning, _)| rest.starts_with(beginning))
            .map(|(_, feature)| *feature)
    }

    /// What a query parameter that no operation of the vault has asks for.
    pub(crate) fn of_query(name: &str) -> Option<Self> {
        match name {
            "renameObject" => Some(Self::Rename),
            "session" => Some(Self::Session),
            "select" => Some(Self::Select),
            "restore" => Some(Self::Restore),
            "torrent" => Some(Self::Torrent),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Feature;

    /// The table as the users' documentation shows it.
    fn table() -> String {
        let row = |feature: &Feature| {
            let row = feature.row();
            let status = row.status.as_u16();
            format!("| {} | {status} {} | {} |\n", row.asked, row.code, row.why)
        };
        let rows: String = Feature::ALL.iter().map(row).collect();
        format!("| asked for | answer | why |\n|---|---|---|\n{rows}")
    }

    #[test]
    fn the_documentation_shows_this_table() {
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where");
        let path = std::path::Path::new(&package).join("../../docs/s3.md");
        let text = std::fs::read_to_string(path).expect("docs/s3.md");
        let table = table();
        assert!(
            text.contains(&table),
            "docs/s3.md does not hold this table:\n{table}"
        );
    }

    #[test]
    fn a_header_is_refused_by_the_row_that_speaks_of_it() {
        for (header, feature) in [
            ("acl", Some(Feature::Acl)),
            ("grant-full-control", Some(Feature::Acl)),
            ("server-side-encryption", Some(Feature::Kms)),
            ("server-side-encryption-aws-kms-key-id", Some(Feature::Kms)),
            (
                "server-side-encryption-customer-key",
                Some(Feature::CustomerKeys),
            ),
            ("object-lock-event-hold-id", Some(Feature::EventHold)),
            ("object-lock-something", Some(Feature::OtherLock)),
            ("write-offset-bytes", Some(Feature::Append)),
            ("something-new", None),
        ] {
            assert_eq!(Feature::of_header(header), feature, "{header}");
        }
    }
}
