//! Tags of a version, and what a set of tags may be.

use std::collections::BTreeSet;

use hyper::StatusCode;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag, TagSet,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::error::{custom, invalid_argument, malformed_xml, wrong_answer};
use crate::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX};
use crate::message::{Answer, Request};
use crate::service::{Caller, Service, name, plain};
use crate::text::{query_pairs, xml_safe};

/// Key and value.
type Pair = (String, String);

fn invalid(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidTag, message)
}

/// Tags as the `x-amz-tagging` header writes them.
pub(crate) fn parse(text: &str) -> S3Result<Vec<Pair>> {
    let tags = query_pairs(text).filter(|tags| named_once(tags));
    check(tags.ok_or_else(|| {
        invalid_argument(
            "the header x-amz-tagging must be UTF-8, URL-encoded as query parameters, without tag name duplicates",
        )
    })?)
}

/// Of a header S3 calls the rest of what is wrong with tags InvalidTag, and this an argument that is none.
fn named_once(tags: &[Pair]) -> bool {
    let mut names = BTreeSet::new();
    tags.iter()
        .all(|(key, _)| !key.is_empty() && names.insert(key))
}

/// S3's rules for a set of tags.
fn check(tags: Vec<Pair>) -> S3Result<Vec<Pair>> {
    if tags.len() > TAGS_MAX {
        return Err(custom(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "an object may have at most 10 tags",
        ));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        let key_chars = key.chars().count();
        if key_chars == 0 || key_chars > TAG_KEY_CHARS_MAX {
            return Err(invalid("a tag key must have 1 to 128 characters"));
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return Err(invalid("a tag value may have at most 256 characters"));
        }
        if key.starts_with("aws:") {
            return Err(invalid("tag keys beginning with aws: are reserved"));
        }
        // They are given back as XML.
        if !xml_safe(key) || !xml_safe(value) {
            return Err(invalid(
                "a tag contains a character that XML does not allow",
            ));
        }
        if tags.iter().skip(at + 1).any(|(other, _)| other == key) {
            return Err(invalid("a tag key is given twice"));
        }
    }
    Ok(tags)
}

fn of_document(tags: TagSet) -> S3Result<Vec<Pair>> {
    let pair = |tag: Tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => Ok((key, value)),
        _ => Err(malformed_xml("a Tag must have a Key and a Value")),
    };
    check(tags.into_iter().map(pair).collect::<S3Result<_>>()?)
}

/// Replaces the tags of the version a client names, or of the one that is current. The engine says which one that
/// was: a question of ours would need the right to read.
async fn replace(
    caller: &Caller,
    (bucket, key): (&str, &str),
    version: Option<&str>,
    tags: Vec<Pair>,
) -> S3Result<Option<String>> {
    let wish = Request::SetTags {
        name: name(bucket, key),
        version: caller.version(bucket, version).await?,
        tags,
    };
    match caller.ask(wish).await? {
        Answer::Tagged { version, versioned } => Ok(versioned.then(|| version.to_string())),
        _ => Err(wrong_answer()),
    }
}

pub(crate) async fn get(
    service: &Service,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let version = caller
        .version(&input.bucket, input.version_id.as_deref())
        .await?;
    let info = caller
        .head(name(&input.bucket, &input.key), version)
        .await?;
    let version_id = info.versioned.then(|| info.version.to_string());
    let tags = info.metadata.tags.into_iter();
    plain(GetObjectTaggingOutput {
        tag_set: tags
            .map(|(key, value)| Tag {
                key: Some(key),
                value: Some(value),
            })
            .collect(),
        version_id,
    })
}

pub(crate) async fn put(
    service: &Service,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let tags = of_document(input.tagging.tag_set)?;
    let at = (input.bucket.as_str(), input.key.as_str());
    let version_id = replace(&caller, at, input.version_id.as_deref(), tags).await?;
    plain(PutObjectTaggingOutput { version_id })
}

pub(crate) async fn delete(
    service: &Service,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let caller = service.caller(&request)?;
    let input = request.input;
    let at = (input.bucket.as_str(), input.key.as_str());
    let version_id = replace(&caller, at, input.version_id.as_deref(), Vec::new()).await?;
    plain(DeleteObjectTaggingOutput { version_id })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn tags_are_decoded_and_bounded() {
        let tags = parse("a=1&b%20c=%E2%82%AC&d").expect("good tags");
        let expected = [("a", "1"), ("b c", "\u{20ac}"), ("d", "")];
        assert!(
            tags.iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .eq(expected)
        );
        let many = |count: usize| -> String { (0..count).map(|n| format!("k{n}=v&")).collect() };
        let long = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        let code = |text: &str| parse(text).map_err(|error| error.code().as_str().to_owned());
        for text in [many(10), long(128, 256), "\u{20ac}".repeat(128)] {
            assert!(parse(&text).is_ok(), "{text}");
        }
        assert_eq!(code(&many(11)), Err("BadRequest".to_owned()));
        for text in ["=v", "a=1&a=2", "a&b&%61=2", "a=%ff", "a=%zz"] {
            assert_eq!(code(text), Err("InvalidArgument".to_owned()), "{text}");
        }
        for text in ["a=%00", "aws:a=1", &long(129, 1), &long(1, 257)] {
            assert_eq!(code(text), Err("InvalidTag".to_owned()), "{text}");
        }
    }
}
