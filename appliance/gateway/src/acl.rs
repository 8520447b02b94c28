//! Access lists: there is one, and nothing else can be set.

use s3s::dto::{PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput, PutObjectAclOutput};
use s3s::{S3Request, S3Response, S3Result};

use crate::error::invalid_request;
use crate::refused::Feature;
use crate::service::{Service, name, plain};

/// The guard lets only those canned lists through that say what is so anyway.
fn says_nothing_new(canned: bool, document: bool) -> S3Result<()> {
    match (canned, document) {
        (_, true) => Err(Feature::Acl.error()),
        (true, false) => Ok(()),
        (false, false) => Err(invalid_request("the request names no access control list")),
    }
}

pub(crate) async fn put_bucket(
    service: &Service,
    request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    caller.bucket(&input.bucket).await?;
    says_nothing_new(input.acl.is_some(), input.access_control_policy.is_some())?;
    plain(PutBucketAclOutput::default())
}

pub(crate) async fn put_object(
    service: &Service,
    request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    caller
        .head(name(&input.bucket, &input.key), version)
        .await?;
    says_nothing_new(input.acl.is_some(), input.access_control_policy.is_some())?;
    plain(PutObjectAclOutput::default())
}
