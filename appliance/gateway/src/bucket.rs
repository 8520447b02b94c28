//! Buckets: making, listing, and the questions clients ask about them.

use aws_lc_rs::digest::{SHA256, digest};
use s3s::dto::{
    Bucket, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput,
    CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput, GetBucketCorsInput,
    GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, GetBucketReplicationInput,
    GetBucketReplicationOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetBucketVersioningInput, GetBucketVersioningOutput, GetBucketWebsiteInput,
    GetBucketWebsiteOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput, HeadBucketInput,
    HeadBucketOutput, Initiator, ListBucketsInput, ListBucketsOutput, Owner,
    PutBucketVersioningInput, PutBucketVersioningOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::error::{custom, invalid_argument, malformed_xml, not_implemented, wrong_answer};
use crate::limits::LIST_ENTRIES_MAX;
use crate::message::{Answer, BucketKind, Request};
use crate::refused::Feature;
use crate::service::{Service, plain};
use crate::text::{hex, timestamp, xml_safe};

/// The vault itself, as S3 names accounts.
pub(crate) const OWNER_ID: &str =
    "7374656c6500000000000000000000000000000000000000000000000000766c";
const OWNER_NAME: &str = "vault";

/// The region that S3 shows as an empty location.
const REGION_WITHOUT_LOCATION: &str = "us-east-1";

/// An owner as S3 names accounts. The id tells owners apart and says nothing else.
pub(crate) fn owner(name: &str) -> Owner {
    let (id, shown) = match name {
        "" => (OWNER_ID.to_owned(), OWNER_NAME),
        name => {
            let text = format!("stele owner {name}");
            (hex(digest(&SHA256, text.as_bytes()).as_ref()), name)
        }
    };
    Owner {
        display_name: Some(shown.to_owned()),
        id: Some(id),
    }
}

/// Who began an upload: any key of the owner may have, and S3 names accounts.
pub(crate) fn initiator(owner: &Owner) -> Initiator {
    Initiator {
        display_name: owner.display_name.clone(),
        id: owner.id.clone(),
    }
}

pub(crate) async fn list(
    service: &Service,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = service.caller(&request)?;
    let Answer::Buckets(mut all) = caller.ask(Request::ListBuckets).await? else {
        return Err(wrong_answer());
    };
    let input = request.input;
    if input
        .bucket_region
        .as_deref()
        .is_some_and(|region| region != &*service.region)
    {
        all.clear();
    }
    let most = match input.max_buckets {
        None => usize::MAX,
        Some(most) => usize::try_from(most)
            .ok()
            .filter(|most| (1..=10_000).contains(most))
            .ok_or_else(|| invalid_argument("max-buckets must lie between 1 and 10000"))?,
    };
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let prefix = input.prefix.as_deref().unwrap_or_default();
    if !xml_safe(prefix) {
        return Err(invalid_argument("no name of a bucket has such a prefix"));
    }
    let after = input.continuation_token.as_deref();
    if after.is_some_and(str::is_empty) {
        return Err(invalid_argument("the continuation token is empty"));
    }
    let after = after.unwrap_or_default();
    all.retain(|bucket| bucket.name.starts_with(prefix) && bucket.name.as_str() > after);
    let more = all.len() > most;
    all.truncate(most);
    let next = all
        .last()
        .filter(|_| more)
        .map(|bucket| bucket.name.clone());
    let buckets = all.into_iter().map(|bucket| Bucket {
        bucket_region: Some(service.region.to_string()),
        creation_date: Some(timestamp(bucket.created)),
        name: Some(bucket.name),
    });
    plain(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: next,
        owner: Some(caller.owner()),
        prefix: input.prefix,
    })
}

pub(crate) async fn create(
    service: &Service,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let configuration = input.create_bucket_configuration;
    if configuration.is_some_and(|c| c.bucket.is_some() || c.location.is_some()) {
        return Err(not_implemented("directory buckets are not implemented"));
    }
    let lock = input.object_lock_enabled_for_bucket.unwrap_or(false);
    let wish = Request::CreateBucket {
        name: input.bucket.clone(),
        lock,
    };
    match caller.ask(wish).await? {
        Answer::Bucket(info) => plain(CreateBucketOutput {
            location: Some(format!("/{}", info.name)),
        }),
        _ => Err(wrong_answer()),
    }
}

pub(crate) async fn head(
    service: &Service,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    plain(HeadBucketOutput {
        bucket_region: Some(service.region.to_string()),
        ..HeadBucketOutput::default()
    })
}

pub(crate) async fn delete(
    service: &Service,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let caller = service.caller(&request)?;
    caller
        .order(Request::DeleteBucket {
            name: request.input.bucket,
        })
        .await?;
    plain(DeleteBucketOutput::default())
}

pub(crate) async fn location(
    service: &Service,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    let region = service.region.to_string();
    let location = (region != REGION_WITHOUT_LOCATION).then_some(region);
    plain(GetBucketLocationOutput {
        location_constraint: location.map(BucketLocationConstraint::from),
    })
}

pub(crate) async fn get_versioning(
    service: &Service,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let bucket = service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    let enabled = bucket.kind != BucketKind::Plain;
    let status = BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED);
    plain(GetBucketVersioningOutput {
        mfa_delete: None,
        status: enabled.then_some(status),
    })
}

pub(crate) async fn put_versioning(
    service: &Service,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let bucket = service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    let wish = request.input.versioning_configuration;
    if wish
        .mfa_delete
        .is_some_and(|mfa| mfa.as_str() != "Disabled")
    {
        return Err(Feature::Mfa.error());
    }
    let status = wish
        .status
        .ok_or_else(|| malformed_xml("the Status is missing"))?;
    match (status.as_str(), bucket.kind) {
        (BucketVersioningStatus::ENABLED, BucketKind::Plain) => Err(not_implemented(
            "versioning of a plain bucket cannot be switched on; create the bucket with \
             x-amz-bucket-object-lock-enabled: true",
        )),
        (BucketVersioningStatus::ENABLED, _) => plain(PutBucketVersioningOutput::default()),
        (BucketVersioningStatus::SUSPENDED, BucketKind::Plain) => Err(not_implemented(
            "versioning of a plain bucket cannot be suspended; it was never on",
        )),
        (BucketVersioningStatus::SUSPENDED, _) => Err(Feature::Suspend.error()),
        _ => Err(malformed_xml("the Status must be Enabled or Suspended")),
    }
}

/// Questions about things that a bucket of this vault never has: one documented error each.
macro_rules! absent {
    ($($function:ident, $input:ident, $output:ident => $error:expr;)*) => {
        $(
            pub(crate) async fn $function(
                service: &Service,
                request: S3Request<$input>,
            ) -> S3Result<S3Response<$output>> {
                service.caller(&request)?.bucket(&request.input.bucket).await?;
                Err($error)
            }
        )*
    };
}

fn none(code: S3ErrorCode, what: &'static str) -> S3Error {
    S3Error::with_message(code, what)
}

absent! {
    get_policy, GetBucketPolicyInput, GetBucketPolicyOutput
        => none(S3ErrorCode::NoSuchBucketPolicy, "the bucket policy does not exist");
    get_policy_status, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput
        => none(S3ErrorCode::NoSuchBucketPolicy, "the bucket policy does not exist");
    get_encryption, GetBucketEncryptionInput, GetBucketEncryptionOutput
        => custom(
            hyper::StatusCode::NOT_FOUND,
            "ServerSideEncryptionConfigurationNotFoundError",
            "there is no encryption configuration: the vault encrypts everything by itself",
        );
    get_cors, GetBucketCorsInput, GetBucketCorsOutput
        => none(S3ErrorCode::NoSuchCORSConfiguration, "the CORS configuration does not exist");
    get_tagging, GetBucketTaggingInput, GetBucketTaggingOutput
        => none(S3ErrorCode::NoSuchTagSet, "the bucket has no tags");
    get_website, GetBucketWebsiteInput, GetBucketWebsiteOutput
        => none(S3ErrorCode::NoSuchWebsiteConfiguration, "the bucket is not a website");
    get_replication, GetBucketReplicationInput, GetBucketReplicationOutput
        => none(
            S3ErrorCode::ReplicationConfigurationNotFoundError,
            "the replication configuration was not found",
        );
    get_ownership, GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput
        => none(
            S3ErrorCode::OwnershipControlsNotFoundError,
            "the bucket ownership controls were not found",
        );
    get_public_access, GetPublicAccessBlockInput, GetPublicAccessBlockOutput
        => custom(
            hyper::StatusCode::NOT_FOUND,
            "NoSuchPublicAccessBlockConfiguration",
            "there is no public access block: nothing is ever public",
        );
}

/// How many entries of a listing a client wants, at most what S3 gives at once.
pub(crate) fn entries(wish: Option<i32>) -> S3Result<u32> {
    match wish {
        None => Ok(LIST_ENTRIES_MAX),
        Some(wish) => u32::try_from(wish)
            .map(|wish| wish.min(LIST_ENTRIES_MAX))
            .map_err(|_| invalid_argument("the number of entries must not be negative")),
    }
}
