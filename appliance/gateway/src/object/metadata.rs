//! What is stored beside the content: headers, user metadata, tags. Everything here is derived from
//! what the client sent and never logged.

use hyper::header::HeaderMap;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::error::invalid_argument;
use crate::limits::USER_METADATA_BYTES_MAX;
use crate::message::Metadata;
use crate::object::tagging;

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
    tags: Option<&str>,
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
        tags: tags.map_or(Ok(Vec::new()), tagging::parse)?,
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
    fn too_much_user_metadata_is_refused() {
        let user = |bytes| Some([("k".to_owned(), "v".repeat(bytes))].into_iter().collect());
        assert!(collect(&HeaderMap::new(), user(USER_METADATA_BYTES_MAX - 1), None).is_ok());
        assert!(collect(&HeaderMap::new(), user(USER_METADATA_BYTES_MAX), None).is_err());
    }
}
