//! What a request must look like before the S3 library sees it.
//!
//! The rule is: nothing is silently accepted. A header or query parameter that this vault does not
//! know could be a promise it does not keep (a lock, an encryption key, a checksum), so it is
//! refused by name. What passes is described by a `Described`, which the handlers rely on.

use aws_lc_rs::digest::{SHA256, digest};
use hyper::Method;
use hyper::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use s3s::dto::CopySource;
use s3s::path::{ParseS3PathError, S3Path, parse_path_style};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::auth::{Signed, hoisted};
use crate::claim::Claim;
use crate::digest::Promised;
use crate::error::{head_too_large, invalid_argument, invalid_request, not_implemented};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, QUERY_PARAMETERS_MAX};
use crate::object::metadata::{Taken, join_lines, take};
use crate::refused::Feature;
use crate::text::{hex32, http_date, percent_decode, query_pairs};

pub(crate) mod host;
mod known;

use known::Write;

/// How the body is covered by the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// By its SHA-256.
    Whole([u8; 32]),
    /// Not at all.
    Unsigned,
    /// `aws-chunked`, with or without a signature per chunk and trailers.
    Streaming {
        /// Each chunk is signed.
        signed: bool,
        /// Trailers follow.
        trailer: bool,
    },
}

impl Payload {
    /// Whether it names a digest that no empty body has.
    pub(crate) fn contradicts_nothing(self) -> bool {
        matches!(self, Self::Whole(whole) if whole != digest(&SHA256, b"").as_ref())
    }
}

/// What becomes of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyUse {
    /// Object content: the handler reads it.
    Upload,
    /// At most a small XML document: the S3 library reads it.
    Document,
}

/// A request that passed.
#[derive(Debug)]
pub(crate) struct Described {
    /// How the signature covers the body.
    pub payload: Payload,
    /// What the client says about the body beforehand.
    pub promised: Promised,
    /// `Content-Length`.
    pub content_bytes: Option<u64>,
    /// `x-amz-decoded-content-length`.
    pub decoded_bytes: Option<u64>,
    /// What becomes of the body.
    pub body: BodyUse,
    /// What is stored of the head and is not for the S3 library.
    pub taken: Taken,
    /// Whose the client says that buckets are: bucket and id.
    pub owners: Vec<(String, String)>,
    /// Where the client sent it: a URL without a query, or a path where no host was named.
    pub address: String,
}

/// Checks the head of a request in path style, and says what is to be verified. `sent_path` is the path that the client
/// signed. Headers that a presigned URL has in its query are among the headers afterwards.
///
/// # Errors
/// Whatever is wrong with it, as S3 says it.
pub(crate) fn inspect(parts: &mut Parts, sent_path: &str) -> S3Result<(Claim, Described)> {
    check_size(&parts.headers)?;
    check_single_headers(&parts.headers)?;
    check_coding(&parts.headers)?;
    let path = parse_path(parts.uri.path())?;
    let mut query = match parts.uri.query() {
        Some(query) => query_pairs(query)
            .ok_or_else(|| invalid_argument("the query string is not percent-encoded UTF-8"))?,
        None => Vec::new(),
    };
    // Browsers sign a policy in the form, and nothing that is looked at here.
    refuse_forms(parts)?;
    let signed = Signed::of(&parts.headers, &query)?;
    // As it was signed: with what is a header in the query where the client put it.
    let claim = signed.claim(parts, sent_path, &query)?;
    if signed.is_presigned() {
        hoisted::take(&mut query, &mut parts.headers)?;
        check_size(&parts.headers)?;
    }
    let is_write = !matches!(parts.method, Method::GET | Method::HEAD);
    check_headers(&parts.headers, is_write)?;
    date_alike(&mut parts.headers);
    if !is_write && path.as_object().is_some() {
        range_alike(&mut parts.headers);
    }
    join_lines(&mut parts.headers);
    check_query(&parts.method, &path, &query)?;
    check_write_headers(parts, &path, &query)?;

    let body = body_use(parts, &path, &query)?;
    let payload = payload(&parts.headers, &signed)?;
    if body == BodyUse::Document && matches!(payload, Payload::Streaming { .. }) {
        return Err(not_implemented(
            "aws-chunked bodies are only accepted for object content",
        ));
    }
    let decoded_bytes = number(&parts.headers, "x-amz-decoded-content-length")?;
    if decoded_bytes.is_some() && !matches!(payload, Payload::Streaming { .. }) {
        // The frames of its chunks would be stored as content.
        return Err(invalid_argument(
            "x-amz-decoded-content-length needs one of the STREAMING-* words in x-amz-content-sha256",
        ));
    }
    let promised = promises(parts, &query, payload)?;
    // The S3 library reads it as far as it is a number.
    number(&parts.headers, "x-amz-mp-object-size")?;
    let described = Described {
        payload,
        promised,
        content_bytes: number(&parts.headers, CONTENT_LENGTH.as_str())?,
        decoded_bytes,
        body,
        taken: take(&mut parts.headers),
        owners: owners(&parts.headers, &path),
        address: address(&parts.headers, sent_path),
    };
    Ok((claim, described))
}

/// Where the client sent the request.
fn address(headers: &HeaderMap, sent_path: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.map_or_else(
        || sent_path.to_owned(),
        |host| format!("https://{host}{sent_path}"),
    )
}

/// Whose the client says that buckets are. A source that names no bucket is refused elsewhere.
fn owners(headers: &HeaderMap, path: &S3Path) -> Vec<(String, String)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let source = text("x-amz-copy-source").map(CopySource::parse);
    let source = match source {
        Some(Ok(CopySource::Bucket { bucket, .. })) => Some(bucket.to_string()),
        _ => None,
    };
    let here = match path {
        S3Path::Root => None,
        S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(bucket.to_string()),
    };
    let pairs = [
        (here, text("x-amz-expected-bucket-owner")),
        (source, text("x-amz-source-expected-bucket-owner")),
    ];
    let said = pairs
        .into_iter()
        .filter_map(|(bucket, owner)| Some((bucket?, owner?.to_owned())));
    said.collect()
}

fn check_size(headers: &HeaderMap) -> S3Result {
    let bytes: usize = headers
        .iter()
        .map(|(n, v)| n.as_str().len() + v.len())
        .sum();
    if bytes > HEAD_BYTES_MAX || headers.len() > HEADERS_MAX {
        return Err(head_too_large());
    }
    Ok(())
}

/// A doubled header may be read differently by different readers, so none is accepted where the meaning matters; nor
/// blanks at the ends, which HTTP/1 never has and HTTP/2 passes on, and without which a header is signed.
fn check_single_headers(headers: &HeaderMap) -> S3Result {
    for name in headers.keys() {
        let of_s3 = name.as_str().starts_with("x-amz-");
        let single = of_s3 && !known::LISTS.contains(&name.as_str())
            || known::SINGLE.contains(&name.as_str());
        if single && headers.get_all(name).iter().nth(1).is_some() {
            return Err(invalid_request(format!("duplicate header: {name}")));
        }
        let matters = of_s3 && !name.as_str().starts_with("x-amz-meta-") || *name == HOST;
        let value = headers.get(name).map(HeaderValue::as_bytes);
        if matters && value.is_some_and(|value| value.trim_ascii() != value) {
            return Err(invalid_request(format!(
                "header {name} begins or ends with a blank"
            )));
        }
    }
    Ok(())
}

/// Of transfer codings there is one, by which a body ends where its chunks do; the HTTP library takes one before it for none,
/// and drops a length beside it.
fn check_coding(headers: &HeaderMap) -> S3Result {
    let coding = headers.get(TRANSFER_ENCODING).map(HeaderValue::as_bytes);
    match coding.is_none_or(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        true => Ok(()),
        false => Err(invalid_request(
            "the one transfer coding that is accepted is chunked",
        )),
    }
}

fn parse_path(path: &str) -> S3Result<S3Path> {
    let decoded = percent_decode(path).ok_or_else(|| {
        S3Error::with_message(
            S3ErrorCode::InvalidURI,
            "the path is not percent-encoded UTF-8",
        )
    })?;
    parse_path_style(&decoded).map_err(|error| match error {
        ParseS3PathError::InvalidPath => {
            S3Error::with_message(S3ErrorCode::InvalidURI, "the path must begin with /")
        }
        ParseS3PathError::InvalidBucketName => S3Error::with_message(
            S3ErrorCode::InvalidBucketName,
            "the specified bucket name is not valid",
        ),
        ParseS3PathError::KeyTooLong => {
            S3Error::with_message(S3ErrorCode::KeyTooLongError, "your key is too long")
        }
    })
}

fn check_headers(headers: &HeaderMap, is_write: bool) -> S3Result {
    for (name, value) in headers {
        let prefixed = name.as_str().strip_prefix("x-amz-");
        let rest = prefixed.unwrap_or_default();
        let is_condition = is_write && known::CONDITIONS.contains(&name.as_str());
        let reads = known::HEADERS.contains(&rest) || is_condition;
        // The S3 library takes it for none, and what it was to say would be left out.
        if reads && value.is_empty() && !known::MAY_BE_EMPTY.contains(&rest) {
            return Err(invalid_argument(format!("the header {name} is empty")));
        }
        if prefixed.is_none() {
            continue;
        }
        if rest.starts_with("meta-") || known::HEADERS.contains(&rest) {
            continue;
        }
        let allowed: &[&str] = match rest {
            "acl" => &["private", "bucket-owner-full-control"],
            "server-side-encryption" => &["AES256"],
            "storage-class" => &["STANDARD"],
            "object-ownership" => &["BucketOwnerEnforced"],
            "request-payer" => &["requester"],
            "transition-default-minimum-object-size" => &["all_storage_classes_128K"],
            _ => &[],
        };
        if !allowed.iter().any(|known| value == known) {
            return Err(refused_header(name, rest));
        }
    }
    Ok(())
}

/// The dates of conditions in the one form that the S3 library reads. What is none it refuses.
fn date_alike(headers: &mut HeaderMap) {
    for name in known::DATES {
        let Some(value) = headers.get_mut(name) else {
            continue;
        };
        let date = value.to_str().ok().and_then(http_date);
        let written = date.and_then(|at| httpdate::fmt_http_date(at).try_into().ok());
        if let Some(written) = written {
            *value = written;
        }
    }
}

/// A range in the one form that the S3 library reads, which holds no number beyond all lengths and knows the unit in
/// one case only. What is not one range in bytes asks for nothing, as in S3 (RFC 9110, 14.2).
fn range_alike(headers: &mut HeaderMap) {
    let Some(value) = headers.remove(RANGE) else {
        return;
    };
    let written = value.to_str().ok().and_then(bounded);
    let written = written.and_then(|range| HeaderValue::try_from(range).ok());
    if let Some(written) = written {
        headers.insert(RANGE, written);
    }
}

/// A range whose numbers lie within what any content may have; the same bytes of all there is.
fn bounded(range: &str) -> Option<String> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let size = |text: &str| {
        let text = text.trim_start_matches('0');
        (text.len(), text.to_owned())
    };
    let is_bytes = unit.eq_ignore_ascii_case("bytes") && digits(first) && digits(last);
    let is_range = !first.is_empty() || !last.is_empty();
    let ends_before = !first.is_empty() && !last.is_empty() && size(last) < size(first);
    if !is_bytes || !is_range || ends_before {
        return None;
    }
    let number = |text: &str| match text {
        "" => String::new(),
        text => {
            let number: u64 = text.parse().unwrap_or(u64::MAX);
            number.min(i64::MAX.unsigned_abs()).to_string()
        }
    };
    Some(format!("bytes={}-{}", number(first), number(last)))
}

fn refused_header(name: &HeaderName, rest: &str) -> S3Error {
    match Feature::of_header(rest) {
        Some(feature) => feature.error_about(name),
        None => not_implemented(format!(
            "a header you provided implies functionality that is not implemented: {name}"
        )),
    }
}

fn check_query(method: &Method, path: &S3Path, query: &[(String, String)]) -> S3Result {
    if query.len() > QUERY_PARAMETERS_MAX {
        return Err(invalid_argument("the query has too many parameters"));
    }
    let value = |wanted| query.iter().find(|(name, _)| name == wanted);
    let select = (value("select"), value("select-type"));
    // One without the other is taken for another operation.
    if !matches!(select, (None, None))
        && !matches!(select, (Some(_), Some((_, kind))) if kind == "2")
    {
        return Err(invalid_argument("select needs select-type=2"));
    }
    for (name, value) in query {
        if query.iter().filter(|(other, _)| other == name).count() > 1 {
            return Err(invalid_argument("a query parameter is given twice"));
        }
        let fine = match name.as_str() {
            "X-Amz-Security-Token" => {
                return Err(Feature::SecurityToken.error());
            }
            "X-Amz-Content-Sha256" => value == "UNSIGNED-PAYLOAD",
            name if known::PRESIGNED.contains(&name) => true,
            name if name.to_ascii_lowercase().starts_with("x-amz-") => false,
            name if name.starts_with("x-") => true,
            name => known::query(method, path).contains(&name),
        };
        if !fine && let Some(feature) = Feature::of_query(name) {
            return Err(feature.error());
        }
        if !fine {
            return Err(not_implemented(format!(
                "a query parameter you provided implies functionality that is not implemented: \
                 {}",
                name.escape_default()
            )));
        }
    }
    Ok(())
}

/// What a header asks of a write that does not read it would be taken for done.
fn check_write_headers(parts: &Parts, path: &S3Path, query: &[(String, String)]) -> S3Result {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let copies = parts.headers.contains_key("x-amz-copy-source");
    let write = Write::of((&parts.method, copies), path, query);
    for name in parts.headers.keys() {
        let rest = name.as_str().strip_prefix("x-amz-").unwrap_or_default();
        let mut known = known::WRITE_HEADERS.iter();
        if let Some((_, read, feature)) = known.find(|(header, ..)| *header == rest)
            && !read.contains(&write)
        {
            return Err(feature.error_about(name));
        }
        if known::WITHOUT_CONTENT.contains(&write) && known::DIGESTS.contains(&name.as_str()) {
            return Err(Feature::DigestElsewhere.error_about(name));
        }
        check_condition(name, &parts.method, write)?;
    }
    Ok(())
}

/// Deletions refuse every condition; of the other writes some read those that name an ETag.
fn check_condition(name: &HeaderName, method: &Method, write: Write) -> S3Result {
    let tagged = known::CONDITIONS.contains(&name.as_str());
    let dated = [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].contains(name);
    match (tagged, dated) {
        (false, false) => Ok(()),
        _ if *method == Method::DELETE => Err(Feature::ConditionalDelete.error()),
        (_, true) => Err(Feature::DatedWrite.error()),
        _ if known::CONDITIONAL_WRITES.contains(&write) => Ok(()),
        _ => Err(Feature::ConditionalWrite.error()),
    }
}

fn refuse_forms(parts: &Parts) -> S3Result {
    let form = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"multipart/form-data")
    });
    if form && parts.method == Method::POST {
        return Err(Feature::Form.error());
    }
    Ok(())
}

fn body_use(parts: &Parts, path: &S3Path, query: &[(String, String)]) -> S3Result<BodyUse> {
    let has = |name: &str| query.iter().any(|(n, _)| n == name);
    let stores = parts.method == Method::PUT
        && path.as_object().is_some()
        && !known::OBJECT_DOCUMENTS.iter().any(|name| has(name));
    if !stores {
        return Ok(BodyUse::Document);
    }
    // Of copies, too: the S3 library would take half a part for all of an object.
    if has("versionId") {
        return Err(invalid_argument(
            "this operation does not accept a version-id",
        ));
    }
    if has("partNumber") != has("uploadId") {
        return Err(invalid_argument(
            "partNumber and uploadId must be given together",
        ));
    }
    match parts.headers.contains_key("x-amz-copy-source") {
        true => Ok(BodyUse::Document),
        false => Ok(BodyUse::Upload),
    }
}

fn payload(headers: &HeaderMap, signed: &Signed) -> S3Result<Payload> {
    let Some(value) = headers.get("x-amz-content-sha256") else {
        return if signed.is_presigned() {
            Ok(Payload::Unsigned)
        } else {
            Err(invalid_request(
                "missing required header for this request: x-amz-content-sha256",
            ))
        };
    };
    let streaming = |signed, trailer| Ok(Payload::Streaming { signed, trailer });
    match value.to_str().unwrap_or_default() {
        "UNSIGNED-PAYLOAD" => Ok(Payload::Unsigned),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => streaming(true, false),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => streaming(true, true),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => streaming(false, true),
        text if text.starts_with("STREAMING-AWS4-ECDSA-") => Err(invalid_request(
            "the authorization mechanism you have provided is not supported; \
             please use AWS4-HMAC-SHA256",
        )),
        text => hex32(text).map(Payload::Whole).ok_or_else(|| {
            invalid_argument(
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING-* words \
                 or a SHA-256 in hexadecimal",
            )
        }),
    }
}

/// The checksum headers of CompleteMultipartUpload speak of the object, not of the request's body,
/// so only its MD5 and signature count here.
fn promises(parts: &Parts, query: &[(String, String)], payload: Payload) -> S3Result<Promised> {
    let whole = match payload {
        Payload::Whole(digest) => Some(digest),
        _ => None,
    };
    let trailers_follow = matches!(payload, Payload::Streaming { trailer: true, .. });
    let completes =
        parts.method == Method::POST && query.iter().any(|(name, _)| name == "uploadId");
    if !completes {
        return Promised::from_headers(&parts.headers, whole, trailers_follow);
    }
    let mut headers = HeaderMap::new();
    if let Some(md5) = parts.headers.get("content-md5") {
        headers.insert("content-md5", md5.clone());
    }
    Promised::from_headers(&headers, whole, false)
}

fn number(headers: &HeaderMap, name: &str) -> S3Result<Option<u64>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_argument(format!(
            "{name} must be a number of bytes"
        )));
    }
    let number = text.parse();
    number
        .map(Some)
        .map_err(|_| invalid_argument(format!("{name} is too large")))
}

#[cfg(test)]
mod tests;
