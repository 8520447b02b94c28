//! Lifecycle configurations: kept are rules by which unfinished multipart uploads are given up, by prefix.
//! Nothing else of a lifecycle is the client's to decide here, and nothing else is accepted.

use std::collections::BTreeSet;

use s3s::dto::{
    AbortIncompleteMultipartUpload, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    ExpirationStatus, GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    LifecycleRule, LifecycleRuleFilter, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::error::{invalid_argument, malformed_xml};
use crate::limits::{
    LIFECYCLE_DAYS_MAX, LIFECYCLE_ID_BYTES_MAX, LIFECYCLE_PREFIX_BYTES_MAX,
    LIFECYCLE_RULE_COUNT_MAX,
};
use crate::message::{Request, UploadRule};
use crate::refused::Feature;
use crate::service::{Service, plain};

pub(crate) async fn get(
    service: &Service,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let bucket = service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    if bucket.uploads.is_empty() {
        return Err(S3Error::with_message(
            S3ErrorCode::NoSuchLifecycleConfiguration,
            "the lifecycle configuration does not exist",
        ));
    }
    plain(GetBucketLifecycleConfigurationOutput {
        rules: Some(bucket.uploads.into_iter().map(shown).collect()),
        ..GetBucketLifecycleConfigurationOutput::default()
    })
}

pub(crate) async fn put(
    service: &Service,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let wish = input
        .lifecycle_configuration
        .ok_or_else(|| malformed_xml("the LifecycleConfiguration is missing"))?;
    let rules = parse(wish.rules)?;
    let bucket = input.bucket;
    caller
        .order(Request::SetUploadRules { bucket, rules })
        .await?;
    plain(PutBucketLifecycleConfigurationOutput::default())
}

pub(crate) async fn delete(
    service: &Service,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let caller = service.caller(&request)?;
    let bucket = request.input.bucket;
    let rules = Vec::new();
    caller
        .order(Request::SetUploadRules { bucket, rules })
        .await?;
    plain(DeleteBucketLifecycleOutput::default())
}

fn shown(rule: UploadRule) -> LifecycleRule {
    let status = if rule.disabled {
        ExpirationStatus::DISABLED
    } else {
        ExpirationStatus::ENABLED
    };
    LifecycleRule {
        abort_incomplete_multipart_upload: Some(AbortIncompleteMultipartUpload {
            days_after_initiation: i32::try_from(rule.days).ok(),
        }),
        expiration: None,
        filter: Some(LifecycleRuleFilter {
            prefix: Some(rule.prefix),
            ..LifecycleRuleFilter::default()
        }),
        id: Some(rule.id),
        noncurrent_version_expiration: None,
        noncurrent_version_transitions: None,
        prefix: None,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

/// The rules of a document, each with an id of its own.
pub(crate) fn parse(wishes: Vec<LifecycleRule>) -> S3Result<Vec<UploadRule>> {
    if wishes.is_empty() {
        return Err(malformed_xml(
            "a lifecycle configuration has at least one rule",
        ));
    }
    if wishes.len() > LIFECYCLE_RULE_COUNT_MAX {
        return Err(invalid_argument(
            "a bucket of this vault has at most 32 lifecycle rules",
        ));
    }
    let mut rules = wishes
        .into_iter()
        .map(rule)
        .collect::<S3Result<Vec<UploadRule>>>()?;
    let given = rules.iter().filter(|rule| !rule.id.is_empty());
    let mut ids: BTreeSet<String> = given.map(|rule| rule.id.clone()).collect();
    if ids.len() < rules.iter().filter(|rule| !rule.id.is_empty()).count() {
        return Err(invalid_argument("each rule needs an ID of its own"));
    }
    let mut free = (1_u32..).map(|number| format!("rule-{number}"));
    for rule in rules.iter_mut().filter(|rule| rule.id.is_empty()) {
        rule.id = free
            .by_ref()
            .find(|id| !ids.contains(id))
            .unwrap_or_default();
        ids.insert(rule.id.clone());
    }
    Ok(rules)
}

fn rule(wish: LifecycleRule) -> S3Result<UploadRule> {
    let other = wish.expiration.is_some()
        || wish.noncurrent_version_expiration.is_some()
        || wish.noncurrent_version_transitions.is_some()
        || wish.transitions.is_some();
    if other {
        return Err(Feature::Lifecycle.error());
    }
    let abort = wish
        .abort_incomplete_multipart_upload
        .ok_or_else(|| malformed_xml("a lifecycle rule needs an action"))?;
    let days = abort
        .days_after_initiation
        .and_then(|days| u32::try_from(days).ok())
        .filter(|days| (1..=LIFECYCLE_DAYS_MAX).contains(days))
        .ok_or_else(|| invalid_argument("DaysAfterInitiation must be between 1 and 36500"))?;
    let disabled = match wish.status.as_str() {
        ExpirationStatus::ENABLED => false,
        ExpirationStatus::DISABLED => true,
        _ => return Err(malformed_xml("the Status must be Enabled or Disabled")),
    };
    let prefix = prefix(wish.filter, wish.prefix)?;
    let id = wish.id.unwrap_or_default();
    if id.len() > LIFECYCLE_ID_BYTES_MAX || prefix.len() > LIFECYCLE_PREFIX_BYTES_MAX {
        return Err(invalid_argument(
            "the ID of a rule has at most 255 bytes, its prefix at most 1024",
        ));
    }
    Ok(UploadRule {
        id,
        prefix,
        days,
        disabled,
    })
}

/// The prefix a rule is for, in the place where S3 has it now or had it before.
fn prefix(filter: Option<LifecycleRuleFilter>, old: Option<String>) -> S3Result<String> {
    let Some(filter) = filter else {
        return Ok(old.unwrap_or_default());
    };
    let narrower = filter.and.is_some()
        || filter.tag.is_some()
        || filter.object_size_greater_than.is_some()
        || filter.object_size_less_than.is_some();
    if narrower {
        // S3 does not have it for this action either.
        return Err(invalid_argument(
            "AbortIncompleteMultipartUpload can be filtered by prefix only",
        ));
    }
    if old.is_some() {
        return Err(malformed_xml("a rule has either a Filter or a Prefix"));
    }
    Ok(filter.prefix.unwrap_or_default())
}
