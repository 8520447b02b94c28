//! Access lists: there is one, which says that everything in a bucket is its owner's, and nothing else can
//! be set.

use s3s::dto::{
    GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, Grant, Grantee,
    Owner, Permission, PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput,
    PutObjectAclOutput, Type,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::bucket::owner;
use crate::error::invalid_request;
use crate::refused::Feature;
use crate::service::{Caller, Service, name, plain};

/// The guard lets only those canned lists through that say what is so anyway.
fn says_nothing_new(canned: bool, document: bool) -> S3Result<()> {
    match (canned, document) {
        (_, true) => Err(Feature::Acl.error()),
        (true, false) => Ok(()),
        (false, false) => Err(invalid_request("the request names no access control list")),
    }
}

/// The only list there is.
fn private(owner: &Owner) -> Vec<Grant> {
    let grantee = Grantee {
        display_name: owner.display_name.clone(),
        email_address: None,
        id: owner.id.clone(),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let permission = Permission::from_static(Permission::FULL_CONTROL);
    vec![Grant {
        grantee: Some(grantee),
        permission: Some(permission),
    }]
}

/// Looks once whether the object, or the version of it that is named, is there.
async fn exists(caller: &Caller, bucket: &str, key: &str, version: Option<&str>) -> S3Result<()> {
    let version = caller.version(bucket, version).await?;
    caller.head(name(bucket, key), version).await.map(drop)
}

pub(crate) async fn get_bucket(
    service: &Service,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let caller = service.caller(&request)?;
    let owner = owner(&caller.bucket(&request.input.bucket).await?.owner);
    plain(GetBucketAclOutput {
        grants: Some(private(&owner)),
        owner: Some(owner),
    })
}

pub(crate) async fn get_object(
    service: &Service,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    exists(
        &caller,
        &input.bucket,
        &input.key,
        input.version_id.as_deref(),
    )
    .await?;
    let owner = owner(&caller.bucket(&input.bucket).await?.owner);
    plain(GetObjectAclOutput {
        grants: Some(private(&owner)),
        owner: Some(owner),
        request_charged: None,
    })
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
    exists(
        &caller,
        &input.bucket,
        &input.key,
        input.version_id.as_deref(),
    )
    .await?;
    says_nothing_new(input.acl.is_some(), input.access_control_policy.is_some())?;
    plain(PutObjectAclOutput::default())
}
