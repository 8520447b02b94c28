//! The S3 operations this vault answers, each handed to its family's file. Every operation that is
//! not named here is answered with NotImplemented by the S3 library.

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use s3s::dto::Owner;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, dto};
use tokio::sync::Semaphore;

use crate::bucket::owner;
use crate::error::wrong_answer;
use crate::front::RequestContext;
use crate::limits::{RECEIPT_HEADER, VAULT_KEYS_PREFIX};
use crate::link::{Pending, Session, settle};
use crate::message::{
    Answer, BucketInfo, BucketKind, Delivered, ObjectInfo, ObjectName, Refusal, Request,
};
use crate::refused::Feature;
use crate::slab::{Slab, Slabs};
use crate::text::base64;
use crate::turns::Turn;
use crate::{acl, bucket, lifecycle, list, lock, multipart, object, unconfigured};
use stele_format::units::VersionId;

/// What all operations share.
#[derive(Clone)]
pub(crate) struct Service {
    pub slabs: Slabs,
    pub region: Arc<str>,
    /// For short content that is read before the engine hears of it.
    pub wholes: Arc<Semaphore>,
}

impl Service {
    pub(crate) fn new(slabs: Slabs, region: String, wholes_max: usize) -> Self {
        Self {
            slabs,
            region: region.into(),
            wholes: Arc::new(Semaphore::new(wholes_max)),
        }
    }

    /// Who asks in this request.
    pub(crate) fn caller<T>(&self, request: &S3Request<T>) -> S3Result<Caller> {
        let context = context(request)?;
        Ok(Caller(context.session.clone()))
    }
}

/// What the guard found out about this request.
pub(crate) fn context<T>(request: &S3Request<T>) -> S3Result<Arc<RequestContext>> {
    request
        .extensions
        .get::<Arc<RequestContext>>()
        .cloned()
        .ok_or_else(wrong_answer)
}

/// An answer without special headers.
pub(crate) fn plain<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

/// An answer with the receipt of what was stored, where there is one.
pub(crate) fn with_receipt<T>(output: T, receipt: Option<String>) -> S3Result<S3Response<T>> {
    let mut response = S3Response::new(output);
    let value = receipt.map(|text| HeaderValue::from_str(&base64(text.as_bytes())));
    if let Some(Ok(value)) = value {
        let name = HeaderName::from_static(RECEIPT_HEADER);
        response.headers.insert(name, value);
    }
    Ok(response)
}

/// One client's way to the engine.
#[derive(Clone)]
pub(crate) struct Caller(Session);

impl From<Session> for Caller {
    fn from(session: Session) -> Self {
        Self(session)
    }
}

impl Caller {
    /// Asks the engine.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, Refusal> {
        check_vault_keys(&request)?;
        self.0.ask(request).await.map(|done| done.answer)
    }

    /// Asks the engine without waiting.
    pub(crate) async fn post(
        &self,
        request: Request,
        slab: Option<Slab>,
    ) -> Result<Pending, Refusal> {
        check_vault_keys(&request)?;
        self.0.post(request, slab).await
    }

    /// Whose key it is.
    pub(crate) fn owner(&self) -> Owner {
        owner(self.0.owner())
    }

    /// Whose share of what is scarce it takes from.
    pub(crate) fn party(&self) -> &str {
        self.0.party()
    }

    /// Memory for what its client may leave lying.
    pub(crate) async fn memory(&self, bytes: usize) -> Result<Turn, Refusal> {
        self.0.memory(bytes).await
    }

    /// Asks for something whose only answer is that it was done.
    pub(crate) async fn order(&self, request: Request) -> S3Result<()> {
        done(self.ask(request).await)
    }

    /// A bucket by name.
    pub(crate) async fn bucket(&self, name: &str) -> S3Result<BucketInfo> {
        match self
            .ask(Request::HeadBucket {
                name: name.to_owned(),
            })
            .await?
        {
            Answer::Bucket(info) => Ok(info),
            _ => Err(wrong_answer()),
        }
    }

    /// A version of an object.
    pub(crate) async fn head(
        &self,
        name: ObjectName,
        version: Option<VersionId>,
    ) -> S3Result<ObjectInfo> {
        match self.ask(Request::Head { name, version }).await? {
            Answer::Object(info) => Ok(*info),
            _ => Err(wrong_answer()),
        }
    }

    /// The version a client names with `versionId`; none means the current one. `null` is what
    /// plain buckets show as every object's version.
    pub(crate) async fn version(
        &self,
        bucket: &str,
        named: Option<&str>,
    ) -> S3Result<Option<VersionId>> {
        match named {
            None => Ok(None),
            Some("null") => match self.bucket(bucket).await?.kind {
                BucketKind::Plain => Ok(None),
                _ => Err(Refusal::NoSuchVersion.into()),
            },
            Some(text) => match VersionId::parse_hex(text) {
                Some(version) => Ok(Some(version)),
                None => Err(crate::error::invalid_argument(
                    "invalid version id specified",
                )),
            },
        }
    }
}

/// No key of the vault itself comes into being, whatever a client does.
fn check_vault_keys(request: &Request) -> Result<(), Refusal> {
    let (Request::OpenPut { name, .. }
    | Request::Put { name, .. }
    | Request::CreateUpload { name, .. }
    | Request::Delete { name, .. }) = request
    else {
        return Ok(());
    };
    if name.key.starts_with(VAULT_KEYS_PREFIX) {
        Err(Refusal::VaultKey)
    } else {
        Ok(())
    }
}

/// The result of a posted request whose only answer is that it was done.
pub(crate) async fn settle_done(pending: Pending) -> S3Result<()> {
    done(settle(pending).await.map(|Delivered { answer, .. }| answer))
}

fn done(answer: Result<Answer, Refusal>) -> S3Result<()> {
    match answer? {
        Answer::Done => Ok(()),
        _ => Err(wrong_answer()),
    }
}

/// An object's address.
pub(crate) fn name(bucket: &str, key: &str) -> ObjectName {
    ObjectName {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    }
}

/// A length as S3's types carry it.
pub(crate) fn length(bytes: u64) -> Result<i64, S3Error> {
    i64::try_from(bytes).map_err(|_| wrong_answer())
}

/// Hands operations to the functions that answer them.
macro_rules! operations {
    (
        answered { $($operation:ident, $input:ident, $output:ident => $answer:path;)* }
        refused { $($no:ident, $no_input:ident, $no_output:ident => $feature:ident;)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Service {
            $(
                async fn $operation(
                    &self,
                    request: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    $answer(self, request).await
                }
            )*
            $(
                async fn $no(
                    &self,
                    request: S3Request<dto::$no_input>,
                ) -> S3Result<S3Response<dto::$no_output>> {
                    self.caller(&request)?;
                    Err(Feature::$feature.error())
                }
            )*
        }
    };
}

operations! {
    answered {
    list_buckets, ListBucketsInput, ListBucketsOutput => bucket::list;
    create_bucket, CreateBucketInput, CreateBucketOutput => bucket::create;
    head_bucket, HeadBucketInput, HeadBucketOutput => bucket::head;
    delete_bucket, DeleteBucketInput, DeleteBucketOutput => bucket::delete;
    get_bucket_location, GetBucketLocationInput, GetBucketLocationOutput => bucket::location;
    get_bucket_versioning, GetBucketVersioningInput, GetBucketVersioningOutput
        => bucket::get_versioning;
    put_bucket_versioning, PutBucketVersioningInput, PutBucketVersioningOutput
        => bucket::put_versioning;
    get_bucket_acl, GetBucketAclInput, GetBucketAclOutput => acl::get_bucket;
    get_bucket_lifecycle_configuration, GetBucketLifecycleConfigurationInput,
        GetBucketLifecycleConfigurationOutput => lifecycle::get;
    put_bucket_lifecycle_configuration, PutBucketLifecycleConfigurationInput,
        PutBucketLifecycleConfigurationOutput => lifecycle::put;
    delete_bucket_lifecycle, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput
        => lifecycle::delete;
    get_bucket_policy, GetBucketPolicyInput, GetBucketPolicyOutput => bucket::get_policy;
    get_bucket_policy_status, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput
        => bucket::get_policy_status;
    get_bucket_encryption, GetBucketEncryptionInput, GetBucketEncryptionOutput
        => bucket::get_encryption;
    get_bucket_cors, GetBucketCorsInput, GetBucketCorsOutput => bucket::get_cors;
    get_bucket_tagging, GetBucketTaggingInput, GetBucketTaggingOutput => bucket::get_tagging;
    get_bucket_website, GetBucketWebsiteInput, GetBucketWebsiteOutput => bucket::get_website;
    get_bucket_replication, GetBucketReplicationInput, GetBucketReplicationOutput
        => bucket::get_replication;
    get_bucket_ownership_controls, GetBucketOwnershipControlsInput,
        GetBucketOwnershipControlsOutput => bucket::get_ownership;
    get_public_access_block, GetPublicAccessBlockInput, GetPublicAccessBlockOutput
        => bucket::get_public_access;

    put_bucket_acl, PutBucketAclInput, PutBucketAclOutput => acl::put_bucket;
    get_bucket_accelerate_configuration, GetBucketAccelerateConfigurationInput,
        GetBucketAccelerateConfigurationOutput => unconfigured::accelerate;
    get_bucket_logging, GetBucketLoggingInput, GetBucketLoggingOutput => unconfigured::logging;
    get_bucket_notification_configuration, GetBucketNotificationConfigurationInput,
        GetBucketNotificationConfigurationOutput => unconfigured::notification;
    get_bucket_request_payment, GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput
        => unconfigured::request_payment;
    get_bucket_analytics_configuration, GetBucketAnalyticsConfigurationInput,
        GetBucketAnalyticsConfigurationOutput => unconfigured::analytics;
    get_bucket_inventory_configuration, GetBucketInventoryConfigurationInput,
        GetBucketInventoryConfigurationOutput => unconfigured::inventory;
    get_bucket_metrics_configuration, GetBucketMetricsConfigurationInput,
        GetBucketMetricsConfigurationOutput => unconfigured::metrics;
    get_bucket_intelligent_tiering_configuration, GetBucketIntelligentTieringConfigurationInput,
        GetBucketIntelligentTieringConfigurationOutput => unconfigured::tiering;
    list_bucket_analytics_configurations, ListBucketAnalyticsConfigurationsInput,
        ListBucketAnalyticsConfigurationsOutput => unconfigured::all_analytics;
    list_bucket_inventory_configurations, ListBucketInventoryConfigurationsInput,
        ListBucketInventoryConfigurationsOutput => unconfigured::all_inventory;
    list_bucket_metrics_configurations, ListBucketMetricsConfigurationsInput,
        ListBucketMetricsConfigurationsOutput => unconfigured::all_metrics;
    list_bucket_intelligent_tiering_configurations,
        ListBucketIntelligentTieringConfigurationsInput,
        ListBucketIntelligentTieringConfigurationsOutput => unconfigured::all_tiering;

    put_object, PutObjectInput, PutObjectOutput => object::put::put;
    get_object, GetObjectInput, GetObjectOutput => object::get::get;
    head_object, HeadObjectInput, HeadObjectOutput => object::get::head;
    copy_object, CopyObjectInput, CopyObjectOutput => object::copy::object;
    upload_part_copy, UploadPartCopyInput, UploadPartCopyOutput => object::copy::part;
    get_object_attributes, GetObjectAttributesInput, GetObjectAttributesOutput
        => object::attributes::get;
    get_object_acl, GetObjectAclInput, GetObjectAclOutput => acl::get_object;
    put_object_acl, PutObjectAclInput, PutObjectAclOutput => acl::put_object;
    get_object_tagging, GetObjectTaggingInput, GetObjectTaggingOutput => object::tagging::get;
    put_object_tagging, PutObjectTaggingInput, PutObjectTaggingOutput => object::tagging::put;
    delete_object_tagging, DeleteObjectTaggingInput, DeleteObjectTaggingOutput
        => object::tagging::delete;
    delete_object, DeleteObjectInput, DeleteObjectOutput => object::delete::one;
    delete_objects, DeleteObjectsInput, DeleteObjectsOutput => object::delete::many;

    list_objects, ListObjectsInput, ListObjectsOutput => list::objects;
    list_objects_v2, ListObjectsV2Input, ListObjectsV2Output => list::objects_v2;
    list_object_versions, ListObjectVersionsInput, ListObjectVersionsOutput => list::versions;
    list_multipart_uploads, ListMultipartUploadsInput, ListMultipartUploadsOutput
        => list::uploads;

    create_multipart_upload, CreateMultipartUploadInput, CreateMultipartUploadOutput
        => multipart::create;
    upload_part, UploadPartInput, UploadPartOutput => multipart::part;
    complete_multipart_upload, CompleteMultipartUploadInput, CompleteMultipartUploadOutput
        => multipart::complete;
    abort_multipart_upload, AbortMultipartUploadInput, AbortMultipartUploadOutput
        => multipart::abort;
    list_parts, ListPartsInput, ListPartsOutput => multipart::list_parts;

    get_object_retention, GetObjectRetentionInput, GetObjectRetentionOutput
        => lock::get_retention;
    put_object_retention, PutObjectRetentionInput, PutObjectRetentionOutput
        => lock::put_retention;
    get_object_legal_hold, GetObjectLegalHoldInput, GetObjectLegalHoldOutput => lock::get_hold;
    put_object_legal_hold, PutObjectLegalHoldInput, PutObjectLegalHoldOutput => lock::put_hold;
    get_object_lock_configuration, GetObjectLockConfigurationInput,
        GetObjectLockConfigurationOutput => lock::get_configuration;
    put_object_lock_configuration, PutObjectLockConfigurationInput,
        PutObjectLockConfigurationOutput => lock::put_configuration;
    }
    refused {
    put_bucket_encryption, PutBucketEncryptionInput, PutBucketEncryptionOutput => Encryption;
    delete_bucket_encryption, DeleteBucketEncryptionInput,
        DeleteBucketEncryptionOutput => Encryption;
    put_bucket_website, PutBucketWebsiteInput, PutBucketWebsiteOutput => Website;
    delete_bucket_website, DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput => Website;
    put_bucket_cors, PutBucketCorsInput, PutBucketCorsOutput => Cors;
    delete_bucket_cors, DeleteBucketCorsInput, DeleteBucketCorsOutput => Cors;
    put_bucket_policy, PutBucketPolicyInput, PutBucketPolicyOutput => Policy;
    delete_bucket_policy, DeleteBucketPolicyInput, DeleteBucketPolicyOutput => Policy;
    put_bucket_ownership_controls, PutBucketOwnershipControlsInput,
        PutBucketOwnershipControlsOutput => Ownership;
    delete_bucket_ownership_controls, DeleteBucketOwnershipControlsInput,
        DeleteBucketOwnershipControlsOutput => Ownership;
    put_public_access_block, PutPublicAccessBlockInput, PutPublicAccessBlockOutput => PublicAccess;
    delete_public_access_block, DeletePublicAccessBlockInput,
        DeletePublicAccessBlockOutput => PublicAccess;
    put_bucket_replication, PutBucketReplicationInput, PutBucketReplicationOutput => Replication;
    delete_bucket_replication, DeleteBucketReplicationInput,
        DeleteBucketReplicationOutput => Replication;
    put_bucket_notification_configuration, PutBucketNotificationConfigurationInput,
        PutBucketNotificationConfigurationOutput => Notification;
    put_bucket_inventory_configuration, PutBucketInventoryConfigurationInput,
        PutBucketInventoryConfigurationOutput => Inventory;
    delete_bucket_inventory_configuration, DeleteBucketInventoryConfigurationInput,
        DeleteBucketInventoryConfigurationOutput => Inventory;
    put_bucket_analytics_configuration, PutBucketAnalyticsConfigurationInput,
        PutBucketAnalyticsConfigurationOutput => Analytics;
    delete_bucket_analytics_configuration, DeleteBucketAnalyticsConfigurationInput,
        DeleteBucketAnalyticsConfigurationOutput => Analytics;
    put_bucket_metrics_configuration, PutBucketMetricsConfigurationInput,
        PutBucketMetricsConfigurationOutput => Metrics;
    delete_bucket_metrics_configuration, DeleteBucketMetricsConfigurationInput,
        DeleteBucketMetricsConfigurationOutput => Metrics;
    put_bucket_intelligent_tiering_configuration, PutBucketIntelligentTieringConfigurationInput,
        PutBucketIntelligentTieringConfigurationOutput => Tiering;
    delete_bucket_intelligent_tiering_configuration, DeleteBucketIntelligentTieringConfigurationInput,
        DeleteBucketIntelligentTieringConfigurationOutput => Tiering;
    put_bucket_logging, PutBucketLoggingInput, PutBucketLoggingOutput => Logging;
    put_bucket_tagging, PutBucketTaggingInput, PutBucketTaggingOutput => BucketTags;
    delete_bucket_tagging, DeleteBucketTaggingInput, DeleteBucketTaggingOutput => BucketTags;
    put_bucket_request_payment, PutBucketRequestPaymentInput,
        PutBucketRequestPaymentOutput => RequestPayment;
    put_bucket_accelerate_configuration, PutBucketAccelerateConfigurationInput,
        PutBucketAccelerateConfigurationOutput => Acceleration;
    create_session, CreateSessionInput, CreateSessionOutput => Session;
    get_object_torrent, GetObjectTorrentInput, GetObjectTorrentOutput => Torrent;
    select_object_content, SelectObjectContentInput, SelectObjectContentOutput => Select;
    restore_object, RestoreObjectInput, RestoreObjectOutput => Restore;
    post_object, PostObjectInput, PostObjectOutput => Form;
    }
}
