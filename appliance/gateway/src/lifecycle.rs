//! Lifecycle configurations: rules by which unfinished multipart uploads are given up, current versions are hidden
//! and those that are not are released, by prefix and size. What else S3 has rules for is refused as a whole.

use std::collections::BTreeSet;

use s3s::dto::{
    AbortIncompleteMultipartUpload, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput,
    ExpirationStatus, GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, TransitionDefaultMinimumObjectSize,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::document;
use crate::error::{invalid_argument, malformed_xml};
use crate::limits::{
    LIFECYCLE_BYTES_MAX, LIFECYCLE_DAYS_MAX, LIFECYCLE_ID_BYTES_MAX, LIFECYCLE_KEPT_MAX,
    LIFECYCLE_PREFIX_BYTES_MAX, LIFECYCLE_RULE_COUNT_MAX,
};
use crate::message::{CurrentExpiry, FilterForm, LifecycleRule as Rule, NoncurrentExpiry, Request};
use crate::refused::Feature;
use crate::service::{Service, plain};
use crate::text::{millis, timestamp, xml_safe, xml_shown};

const DAY_MS: u64 = 86_400_000;

pub(crate) async fn get(
    service: &Service,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let bucket = service
        .caller(&request)?
        .bucket(&request.input.bucket)
        .await?;
    let rules: Vec<LifecycleRule> = bucket.lifecycle.into_iter().map(shown).collect();
    if rules.is_empty() {
        return Err(S3Error::with_message(
            S3ErrorCode::NoSuchLifecycleConfiguration,
            "the lifecycle configuration does not exist",
        ));
    }
    let mut output = GetBucketLifecycleConfigurationOutput {
        rules: Some(rules),
        transition_default_minimum_object_size: Some(default_size()),
    };
    let written = document::write(&output)?;
    output.rules = None;
    let mut response = S3Response::new(output);
    response.extensions.insert(written);
    Ok(response)
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
        .order(Request::SetLifecycle { bucket, rules })
        .await?;
    plain(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(default_size()),
    })
}

/// The smallest object that a transition takes where its rule says none. There are no transitions, and clients wait
/// until it is what they set, so the guard lets no other through.
fn default_size() -> TransitionDefaultMinimumObjectSize {
    let size = TransitionDefaultMinimumObjectSize::ALL_STORAGE_CLASSES_128K;
    TransitionDefaultMinimumObjectSize::from_static(size)
}

pub(crate) async fn delete(
    service: &Service,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    let caller = service.caller(&request)?;
    let (bucket, rules) = (request.input.bucket, Vec::new());
    caller
        .order(Request::SetLifecycle { bucket, rules })
        .await?;
    plain(DeleteBucketLifecycleOutput::default())
}

/// A rule as the client gave it. What XML cannot carry in it is of a time when such rules were taken; to leave it out
/// would make a rule for other keys of it.
fn shown(rule: Rule) -> LifecycleRule {
    let status = if rule.disabled {
        ExpirationStatus::DISABLED
    } else {
        ExpirationStatus::ENABLED
    };
    let abort = |days| AbortIncompleteMultipartUpload {
        days_after_initiation: i32::try_from(days).ok(),
    };
    let (prefix, filter) = shown_filter(&rule);
    LifecycleRule {
        abort_incomplete_multipart_upload: rule.upload_days.map(abort),
        expiration: rule.current.map(expiration),
        filter,
        id: Some(xml_shown(&rule.id)),
        noncurrent_version_expiration: rule.noncurrent.map(noncurrent),
        noncurrent_version_transitions: None,
        prefix,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

/// What a rule is for, as its prefix or its filter.
fn shown_filter(rule: &Rule) -> (Option<String>, Option<LifecycleRuleFilter>) {
    let form = rule.form;
    let prefix = Some(xml_shown(&rule.prefix));
    let over = rule.bytes_min.checked_sub(1);
    let over = over.and_then(|bytes| i64::try_from(bytes).ok());
    let below = Some(rule.bytes_below).filter(|bytes| *bytes != 0);
    let below = below.and_then(|bytes| i64::try_from(bytes).ok());
    let filter = LifecycleRuleFilter::default();
    let filter = match form {
        FilterForm::Prefix => return (prefix, None),
        FilterForm::Whole => filter,
        FilterForm::FilterPrefix => LifecycleRuleFilter { prefix, ..filter },
        FilterForm::FilterSize => LifecycleRuleFilter {
            object_size_greater_than: over,
            object_size_less_than: below,
            ..filter
        },
        FilterForm::AndPrefix | FilterForm::AndSizes => LifecycleRuleFilter {
            and: Some(LifecycleRuleAndOperator {
                object_size_greater_than: over,
                object_size_less_than: below,
                prefix: prefix.filter(|_| form == FilterForm::AndPrefix),
                tags: None,
            }),
            ..filter
        },
    };
    (None, Some(filter))
}

fn expiration(wish: CurrentExpiry) -> LifecycleExpiration {
    let mut shown = LifecycleExpiration::default();
    match wish {
        CurrentExpiry::Days(days) => shown.days = i32::try_from(days).ok(),
        CurrentExpiry::From(at) => shown.date = Some(timestamp(at)),
        CurrentExpiry::LoneMarker => shown.expired_object_delete_marker = Some(true),
    }
    shown
}

fn noncurrent(wish: NoncurrentExpiry) -> NoncurrentVersionExpiration {
    let kept = Some(wish.kept).filter(|kept| *kept != 0);
    NoncurrentVersionExpiration {
        newer_noncurrent_versions: kept.and_then(|kept| i32::try_from(kept).ok()),
        noncurrent_days: i32::try_from(wish.days).ok(),
    }
}

/// The rules of a document, each with an id of its own, in their order.
pub(crate) fn parse(mut wishes: Vec<LifecycleRule>) -> S3Result<Vec<Rule>> {
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
    name(&mut wishes)?;
    wishes.into_iter().map(rule).collect()
}

/// Gives an id to those that have none.
fn name(wishes: &mut [LifecycleRule]) -> S3Result<()> {
    let given = || wishes.iter().filter_map(|rule| rule.id.as_ref());
    let given = given().filter(|id| !id.is_empty());
    let count = given.clone().count();
    let mut ids: BTreeSet<String> = given.cloned().collect();
    if ids.len() < count {
        return Err(invalid_argument("each rule needs an ID of its own"));
    }
    let mut free = (1_u32..).map(|number| format!("rule-{number}"));
    for rule in wishes.iter_mut() {
        let id = rule.id.take().filter(|id| !id.is_empty());
        let id = id.or_else(|| free.find(|id| !ids.contains(id)));
        ids.extend(id.clone());
        rule.id = id;
    }
    Ok(())
}

/// What a rule is for.
struct Filter {
    form: FilterForm,
    prefix: String,
    bytes_min: u64,
    bytes_below: u64,
}

fn rule(wish: LifecycleRule) -> S3Result<Rule> {
    if wish.noncurrent_version_transitions.is_some() || wish.transitions.is_some() {
        return Err(Feature::Lifecycle.error());
    }
    let disabled = match wish.status.as_str() {
        ExpirationStatus::ENABLED => false,
        ExpirationStatus::DISABLED => true,
        _ => return Err(malformed_xml("the Status must be Enabled or Disabled")),
    };
    let filter = filter(wish.filter, wish.prefix)?;
    let id = wish.id.unwrap_or_default();
    if id.len() > LIFECYCLE_ID_BYTES_MAX || filter.prefix.len() > LIFECYCLE_PREFIX_BYTES_MAX {
        return Err(invalid_argument(
            "the ID of a rule has at most 255 bytes, its prefix at most 1024",
        ));
    }
    if !xml_safe(&id) || !xml_safe(&filter.prefix) {
        return Err(invalid_argument(
            "the ID or the prefix of a rule has characters with which it could not be shown",
        ));
    }
    let abort = wish.abort_incomplete_multipart_upload;
    let upload_days = abort
        .map(|abort| days(abort.days_after_initiation, "DaysAfterInitiation"))
        .transpose()?;
    let current = wish.expiration.map_or(Ok(None), expires)?;
    let noncurrent = wish.noncurrent_version_expiration.map(goes).transpose()?;
    if upload_days.is_none() && current.is_none() && noncurrent.is_none() {
        return Err(malformed_xml("a lifecycle rule needs an action"));
    }
    let sized = filter.bytes_min != 0 || filter.bytes_below != 0;
    if sized && (upload_days.is_some() || current == Some(CurrentExpiry::LoneMarker)) {
        // S3 does not have it either: neither an upload nor a marker has a size.
        return Err(invalid_argument(
            "AbortIncompleteMultipartUpload and ExpiredObjectDeleteMarker cannot be filtered by size",
        ));
    }
    Ok(Rule {
        id,
        form: filter.form,
        prefix: filter.prefix,
        bytes_min: filter.bytes_min,
        bytes_below: filter.bytes_below,
        disabled,
        upload_days,
        current,
        noncurrent,
    })
}

fn days(days: Option<i32>, what: &str) -> S3Result<u32> {
    days.and_then(|days| u32::try_from(days).ok())
        .filter(|days| (1..=LIFECYCLE_DAYS_MAX).contains(days))
        .ok_or_else(|| invalid_argument(format!("{what} must be between 1 and 36500")))
}

/// Nothing where it only says that markers do not go.
fn expires(wish: LifecycleExpiration) -> S3Result<Option<CurrentExpiry>> {
    match (wish.days, wish.date, wish.expired_object_delete_marker) {
        (Some(count), None, None | Some(false)) => {
            Ok(Some(CurrentExpiry::Days(days(Some(count), "Days")?)))
        }
        (None, Some(date), None | Some(false)) => {
            let at = millis(&date).ok_or_else(|| invalid_argument("the Date is out of range"))?;
            if at.get() == 0 || at.get() % DAY_MS != 0 {
                return Err(invalid_argument("the Date must be a midnight UTC"));
            }
            Ok(Some(CurrentExpiry::From(at)))
        }
        (None, None, Some(true)) => Ok(Some(CurrentExpiry::LoneMarker)),
        (None, None, Some(false)) => Ok(None),
        _ => Err(malformed_xml(
            "an Expiration has one of Days, Date and ExpiredObjectDeleteMarker",
        )),
    }
}

fn goes(wish: NoncurrentVersionExpiration) -> S3Result<NoncurrentExpiry> {
    let kept = match wish.newer_noncurrent_versions {
        None => Some(0),
        Some(kept) => u32::try_from(kept)
            .ok()
            .filter(|kept| (1..=LIFECYCLE_KEPT_MAX).contains(kept)),
    };
    Ok(NoncurrentExpiry {
        days: days(wish.noncurrent_days, "NoncurrentDays")?,
        kept: kept
            .ok_or_else(|| invalid_argument("NewerNoncurrentVersions must be between 1 and 100"))?,
    })
}

/// What a rule is for, in the places where S3 has it now or had it before.
fn filter(wish: Option<LifecycleRuleFilter>, old: Option<String>) -> S3Result<Filter> {
    let wish = match (wish, old) {
        (Some(wish), None) => wish,
        (None, Some(old)) => return sized(FilterForm::Prefix, Some(old), None, None),
        // With neither it would be for the whole bucket, of which it says nothing.
        _ => return Err(malformed_xml("a rule has either a Filter or a Prefix")),
    };
    let (over, below) = (wish.object_size_greater_than, wish.object_size_less_than);
    let tags = wish.tag.is_some() || wish.and.as_ref().is_some_and(|and| and.tags.is_some());
    let given = [
        wish.prefix.is_some(),
        wish.tag.is_some(),
        over.is_some(),
        below.is_some(),
        wish.and.is_some(),
    ];
    match given.into_iter().filter(|given| *given).count() {
        0 => return sized(FilterForm::Whole, None, None, None),
        1 if tags => return Err(Feature::Lifecycle.error()),
        1 => {}
        _ => {
            return Err(malformed_xml(
                "a Filter has one condition, or several inside And",
            ));
        }
    }
    match (wish.and, wish.prefix) {
        (Some(and), _) => {
            let form = match and.prefix {
                Some(_) => FilterForm::AndPrefix,
                None => FilterForm::AndSizes,
            };
            let (over, below) = (and.object_size_greater_than, and.object_size_less_than);
            sized(form, and.prefix, over, below)
        }
        (None, Some(prefix)) => sized(FilterForm::FilterPrefix, Some(prefix), None, None),
        (None, None) => sized(FilterForm::FilterSize, None, over, below),
    }
}

fn sized(
    form: FilterForm,
    prefix: Option<String>,
    over: Option<i64>,
    below: Option<i64>,
) -> S3Result<Filter> {
    let bytes = |count: Option<i64>| count.map(u64::try_from).transpose();
    let invalid = || {
        invalid_argument("the sizes of a Filter are at most 5 TiB and leave room for some object")
    };
    let (Ok(over), Ok(below)) = (bytes(over), bytes(below)) else {
        return Err(invalid());
    };
    let bytes_min = over.map_or(0, |over| over.saturating_add(1));
    let too_large = over
        .max(below)
        .is_some_and(|bytes| bytes > LIFECYCLE_BYTES_MAX);
    if too_large || below.is_some_and(|below| below <= bytes_min) {
        return Err(invalid());
    }
    Ok(Filter {
        form,
        prefix: prefix.unwrap_or_default(),
        bytes_min,
        bytes_below: below.unwrap_or_default(),
    })
}
