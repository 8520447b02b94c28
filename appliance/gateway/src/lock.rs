//! Object Lock: retention, legal holds, bucket defaults. The gateway checks the form; whether a
//! change is allowed, the engine decides.

use s3s::dto::{
    DefaultRetention, GetObjectLegalHoldInput, GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    ObjectLockRule, PutObjectLegalHoldInput, PutObjectLegalHoldOutput,
    PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput, PutObjectRetentionInput,
    PutObjectRetentionOutput, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::error::{
    custom, invalid_argument, invalid_request, malformed_xml, mode_text, wrong_answer,
};
use crate::limits::{RETENTION_DAYS_MAX, RETENTION_YEARS_MAX};
use crate::message::{
    Answer, BucketKind, LockMode, LockWish, ObjectInfo, Period, Refusal, Request, Retention,
    RetentionDateFault,
};
use crate::service::{Service, context, name, plain};
use crate::text::{millis, timestamp};

/// The lock headers of an upload.
pub(crate) fn wish(
    mode: Option<&ObjectLockMode>,
    until: Option<&Timestamp>,
    hold: Option<&ObjectLockLegalHoldStatus>,
) -> S3Result<LockWish> {
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = parse_mode(mode.as_str()).ok_or_else(|| {
                invalid_argument("x-amz-object-lock-mode must be GOVERNANCE or COMPLIANCE")
            })?;
            Some(Retention {
                mode,
                until: millis(until).ok_or_else(past)?,
            })
        }
        _ => {
            return Err(invalid_argument(
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be \
                 supplied",
            ));
        }
    };
    let hold =
        match hold {
            None => None,
            Some(status) => Some(parse_hold(status).ok_or_else(|| {
                invalid_argument("x-amz-object-lock-legal-hold must be ON or OFF")
            })?),
        };
    Ok(LockWish { retention, hold })
}

fn past() -> S3Error {
    Refusal::RetentionDate(RetentionDateFault::Past).into()
}

fn parse_mode(text: &str) -> Option<LockMode> {
    match text {
        "GOVERNANCE" => Some(LockMode::Governance),
        "COMPLIANCE" => Some(LockMode::Compliance),
        _ => None,
    }
}

fn parse_hold(status: &ObjectLockLegalHoldStatus) -> Option<bool> {
    match status.as_str() {
        ObjectLockLegalHoldStatus::ON => Some(true),
        ObjectLockLegalHoldStatus::OFF => Some(false),
        _ => None,
    }
}

/// S3's word for a hold.
pub(crate) fn hold_status(on: bool) -> ObjectLockLegalHoldStatus {
    ObjectLockLegalHoldStatus::from_static(match on {
        true => ObjectLockLegalHoldStatus::ON,
        false => ObjectLockLegalHoldStatus::OFF,
    })
}

/// Statements about locks must carry a digest of their own.
fn require_digest<T>(request: &S3Request<T>) -> S3Result<()> {
    match context(request)?.described.promised.has_explicit() {
        true => Ok(()),
        false => Err(invalid_request(
            "missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        )),
    }
}

fn require_lock(info: &ObjectInfo) -> S3Result<()> {
    match info.lock_enabled {
        true => Ok(()),
        false => Err(Refusal::NoLockOnBucket.into()),
    }
}

fn not_locked(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::NoSuchObjectLockConfiguration, message)
}

pub(crate) async fn get_retention(
    service: &Service,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let info = caller
        .head(name(&input.bucket, &input.key), version)
        .await?;
    require_lock(&info)?;
    let retention = info
        .retention
        .ok_or_else(|| not_locked("the version has no retention"))?;
    plain(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention {
            mode: Some(ObjectLockRetentionMode::from_static(mode_text(
                retention.mode,
            ))),
            retain_until_date: Some(timestamp(retention.until)),
        }),
    })
}

pub(crate) async fn put_retention(
    service: &Service,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<S3Response<PutObjectRetentionOutput>> {
    require_digest(&request)?;
    let caller = service.caller(&request)?;
    let input = request.input;
    let retention = parse_retention(input.retention.unwrap_or_default())?;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let name = name(&input.bucket, &input.key);
    let bypass = input.bypass_governance_retention.unwrap_or(false);
    caller
        .order(Request::SetRetention {
            name,
            version,
            retention,
            bypass,
        })
        .await?;
    plain(PutObjectRetentionOutput::default())
}

fn parse_retention(wish: ObjectLockRetention) -> S3Result<Option<Retention>> {
    match (wish.mode, wish.retain_until_date) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => {
            let mode = parse_mode(mode.as_str())
                .ok_or_else(|| malformed_xml("the Mode must be GOVERNANCE or COMPLIANCE"))?;
            Ok(Some(Retention {
                mode,
                until: millis(&until).ok_or_else(past)?,
            }))
        }
        _ => Err(malformed_xml("Mode and RetainUntilDate must both be given")),
    }
}

pub(crate) async fn get_hold(
    service: &Service,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let info = caller
        .head(name(&input.bucket, &input.key), version)
        .await?;
    require_lock(&info)?;
    let on = info
        .hold
        .ok_or_else(|| not_locked("no legal hold was ever set on the version"))?;
    plain(GetObjectLegalHoldOutput {
        legal_hold: Some(ObjectLockLegalHold {
            status: Some(hold_status(on)),
        }),
    })
}

pub(crate) async fn put_hold(
    service: &Service,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
    require_digest(&request)?;
    let caller = service.caller(&request)?;
    let input = request.input;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let on = status
        .as_ref()
        .and_then(parse_hold)
        .ok_or_else(|| malformed_xml("the Status must be ON or OFF"))?;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let name = name(&input.bucket, &input.key);
    caller.order(Request::SetHold { name, version, on }).await?;
    plain(PutObjectLegalHoldOutput::default())
}

pub(crate) async fn get_configuration(
    service: &Service,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    let bucket = service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    if bucket.kind == BucketKind::Plain {
        return Err(S3Error::with_message(
            S3ErrorCode::ObjectLockConfigurationNotFoundError,
            "the bucket has no Object Lock configuration",
        ));
    }
    let rule = bucket.default.map(|(mode, period)| {
        let (days, years) = match period {
            Period::Days(days) => (i32::try_from(days).ok(), None),
            Period::Years(years) => (None, i32::try_from(years).ok()),
        };
        let mode = Some(ObjectLockRetentionMode::from_static(mode_text(mode)));
        ObjectLockRule {
            default_retention: Some(DefaultRetention { days, mode, years }),
        }
    });
    plain(GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
            rule,
        }),
    })
}

pub(crate) async fn put_configuration(
    service: &Service,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
    require_digest(&request)?;
    let caller = service.caller(&request)?;
    let input = request.input;
    let wish = input
        .object_lock_configuration
        .ok_or_else(|| malformed_xml("the ObjectLockConfiguration is missing"))?;
    let default = parse_default(wish)?;
    let wish = Request::SetDefaultRetention {
        bucket: input.bucket,
        default,
    };
    match caller.ask(wish).await {
        Ok(Answer::Done) => plain(PutObjectLockConfigurationOutput::default()),
        Ok(_) => Err(wrong_answer()),
        // Here S3 speaks of the bucket's state, elsewhere of the request.
        Err(Refusal::NoLockOnBucket) => Err(S3Error::with_message(
            S3ErrorCode::InvalidBucketState,
            "versioning must be Enabled on the bucket to apply an Object Lock configuration",
        )),
        Err(refusal) => Err(refusal.into()),
    }
}

/// The default of a configuration document; none clears it.
fn parse_default(wish: ObjectLockConfiguration) -> S3Result<Option<(LockMode, Period)>> {
    let enabled = wish.object_lock_enabled;
    if enabled.is_some_and(|word| word.as_str() != ObjectLockEnabled::ENABLED) {
        return Err(malformed_xml("ObjectLockEnabled must be Enabled"));
    }
    let Some(rule) = wish.rule else {
        return Ok(None);
    };
    let default = rule
        .default_retention
        .ok_or_else(|| malformed_xml("a Rule needs a DefaultRetention"))?;
    let mode = default.mode.as_ref().map(ObjectLockRetentionMode::as_str);
    let mode = mode
        .and_then(parse_mode)
        .ok_or_else(|| malformed_xml("the Mode must be GOVERNANCE or COMPLIANCE"))?;
    let period = match (default.days, default.years) {
        (Some(days), None) => Period::Days(in_range(days, RETENTION_DAYS_MAX)?),
        (None, Some(years)) => Period::Years(in_range(years, RETENTION_YEARS_MAX)?),
        _ => return Err(malformed_xml("either Days or Years must be given")),
    };
    Ok(Some((mode, period)))
}

fn in_range(wish: i32, most: u32) -> S3Result<u32> {
    u32::try_from(wish)
        .ok()
        .filter(|wish| (1..=most).contains(wish))
        .ok_or_else(|| {
            custom(
                hyper::StatusCode::BAD_REQUEST,
                "InvalidRetentionPeriod",
                "the default retention period must be between 1 day and 36500 days or 100 years",
            )
        })
}

#[cfg(test)]
mod tests;
