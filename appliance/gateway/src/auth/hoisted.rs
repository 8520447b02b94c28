//! Presigned URLs whose signer put headers into the query, as the AWS SDKs for Go and JavaScript do.
//!
//! The canonical query of Signature Version 4 covers every parameter but the signature, so such a header is
//! signed like one among the signed headers. From here on it is one: what the vault does with a header, and
//! which it refuses, is decided in one place.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use s3s::S3Result;

use super::PRESIGN_PARTS;
use crate::error::{invalid_argument, invalid_request};

/// What belongs to the signature itself, beside [`PRESIGN_PARTS`].
const OF_SIGNATURE: [&str; 2] = ["X-Amz-Content-Sha256", "X-Amz-Security-Token"];

/// Whether a parameter of a presigned URL is a header.
pub(crate) fn is_header(name: &str) -> bool {
    name.get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
        && !PRESIGN_PARTS.contains(&name)
        && !OF_SIGNATURE.contains(&name)
}

/// Takes the headers out of the query of a presigned URL whose signature covers it.
///
/// # Errors
/// A name or value that no header has, and a header that comes twice.
pub(crate) fn take(query: &mut Vec<(String, String)>, headers: &mut HeaderMap) -> S3Result<()> {
    for (name, value) in query.extract_if(.., |(name, _)| is_header(name)) {
        let header = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (header, HeaderValue::from_bytes(value.as_bytes())) else {
            return Err(invalid_argument("a parameter of the query is no header"));
        };
        if headers.contains_key(&name) {
            return Err(invalid_request(format!("duplicate header: {name}")));
        }
        headers.insert(name, value);
    }
    Ok(())
}
