//! What is stored beside the content: headers, user metadata, tags. Everything here is derived from
//! what the client sent and never logged.

use hyper::header::HeaderMap;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::error::invalid_argument;
use crate::limits::{TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX, USER_METADATA_BYTES_MAX};
use crate::message::Metadata;
use crate::text::query_pairs;

/// Headers that are kept and given back with the content.
const KEPT: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// The only storage class there is.
pub(crate) const STORAGE_CLASS: &str = "STANDARD";

/// Collects the metadata of an upload. `user` comes from the S3 library, decoded.
pub(crate) fn collect(
    headers: &HeaderMap,
    user: Option<s3s::dto::Metadata>,
    tagging: Option<&str>,
) -> S3Result<Metadata> {
    let mut user: Vec<(String, String)> = user.unwrap_or_default().into_iter().collect();
    user.sort();
    let bytes: usize = user.iter().map(|(n, v)| n.len() + v.len()).sum();
    if bytes > USER_METADATA_BYTES_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::MetadataTooLarge,
            format!("your metadata headers exceed {USER_METADATA_BYTES_MAX} bytes"),
        ));
    }
    Ok(Metadata {
        headers: kept(headers)?,
        user,
        tags: tagging.map_or(Ok(Vec::new()), parse_tags)?,
        storage_class: STORAGE_CLASS.to_owned(),
    })
}

fn kept(headers: &HeaderMap) -> S3Result<Vec<(String, String)>> {
    let mut kept = Vec::new();
    for name in KEPT {
        let Some(value) = headers.get(name) else {
            continue;
        };
        let value = value
            .to_str()
            .map_err(|_| invalid_argument(format!("the header {name} is not plain text")))?;
        let value = match name {
            "content-encoding" => without_aws_chunked(value),
            _ => value.to_owned(),
        };
        if !value.is_empty() {
            kept.push((name.to_owned(), value));
        }
    }
    Ok(kept)
}

/// `aws-chunked` describes the transfer, not the content.
fn without_aws_chunked(value: &str) -> String {
    let others = value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    others
        .filter(|word| !word.eq_ignore_ascii_case("aws-chunked"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Tags as the `x-amz-tagging` header writes them.
pub(crate) fn parse_tags(text: &str) -> S3Result<Vec<(String, String)>> {
    let invalid = |message| S3Error::with_message(S3ErrorCode::InvalidTag, message);
    let tags = query_pairs(text).ok_or_else(|| invalid("the tags are not URL-encoded"))?;
    if tags.len() > TAGS_MAX {
        return Err(invalid("an object may have at most 10 tags"));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        let key_chars = key.chars().count();
        if key_chars == 0 || key_chars > TAG_KEY_CHARS_MAX {
            return Err(invalid("a tag key must have 1 to 128 characters"));
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return Err(invalid("a tag value may have at most 256 characters"));
        }
        if tags.iter().skip(at + 1).any(|(other, _)| other == key) {
            return Err(invalid("a tag key is given twice"));
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunked_is_not_stored_as_an_encoding() {
        let check = |value, expected| assert_eq!(without_aws_chunked(value), expected, "{value}");
        check("aws-chunked", "");
        check("aws-chunked,gzip", "gzip");
        check("gzip, AWS-Chunked , br", "gzip,br");
        check("gzip", "gzip");
    }

    #[test]
    fn tags_are_decoded_and_bounded() {
        let tags = parse_tags("a=1&b%20c=%E2%82%AC&d").expect("good tags");
        let expected = [("a", "1"), ("b c", "\u{20ac}"), ("d", "")];
        assert!(
            tags.iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .eq(expected)
        );
        let many: String = (0..11).map(|n| format!("k{n}=v&")).collect();
        let long = format!("{}=v", "k".repeat(129));
        for text in ["=v", "a=1&a=2", "a=%ff", &many, &long] {
            assert!(parse_tags(text).is_err(), "{text}");
        }
    }

    #[test]
    fn too_much_user_metadata_is_refused() {
        let user = |bytes| Some([("k".to_owned(), "v".repeat(bytes))].into_iter().collect());
        assert!(collect(&HeaderMap::new(), user(USER_METADATA_BYTES_MAX - 1), None).is_ok());
        assert!(collect(&HeaderMap::new(), user(USER_METADATA_BYTES_MAX), None).is_err());
    }
}
