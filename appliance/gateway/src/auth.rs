//! Who asks: the shape of SigV4 requests, what must be signed, and what exactly was.
//!
//! A request passes `Signed::of` only if it uses SigV4 in exactly one form and signs every
//! `x-amz-*` header it carries, so that nobody can add to a signed request. What it claims is
//! verified on the engine's side, which has the secrets.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, DATE};
use hyper::http::request::Parts;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::claim::{ALGORITHM, Claim};
use crate::error::{access_denied, invalid_argument, invalid_request};
use crate::limits::PRESIGNED_S_MAX;
use crate::text::{basic_date, hex32, percent_decode};

mod canonical;
pub(crate) mod hoisted;

/// How a request says who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Access key id.
    pub key_id: String,
    /// Day of the credential scope, `YYYYMMDD`.
    pub day: String,
    /// Region of the credential scope; any is accepted.
    pub region: String,
    /// `x-amz-date` or `X-Amz-Date` as sent, or what a `Date` header says, in the same form.
    pub date: String,
    /// Names of the signed headers, separated by semicolons.
    pub names: String,
    /// The claimed signature.
    pub signature: [u8; 32],
    /// Seconds for which a presigned URL is good; none for a signed header.
    pub expires_s: Option<u64>,
}

impl Signed {
    /// Reads the signature out of a request's head.
    ///
    /// # Errors
    /// Anonymous requests, other signature versions, several at once, malformed ones, and ones that
    /// leave an `x-amz-*` header unsigned.
    pub(crate) fn of(headers: &HeaderMap, query: &[(String, String)]) -> S3Result<Self> {
        let has = |name: &str| query.iter().any(|(n, _)| n == name);
        let authorization = headers.get(AUTHORIZATION);
        if has("AWSAccessKeyId") || has("Signature") {
            return Err(unsupported());
        }
        let presigned = query
            .iter()
            .any(|(n, _)| PRESIGN_PARTS.contains(&n.as_str()));
        let signed = match (authorization, presigned) {
            (None, false) => return Err(access_denied("anonymous access is not allowed")),
            (Some(_), true) => {
                return Err(invalid_argument(
                    "only one way of signing a request is allowed",
                ));
            }
            (Some(value), false) => from_header(value.to_str().ok(), headers)?,
            (None, true) => from_query(query)?,
        };
        check_signed_headers(headers, &signed.names)?;
        Ok(signed)
    }

    /// Whether it is a presigned URL.
    pub(crate) fn is_presigned(&self) -> bool {
        self.expires_s.is_some()
    }

    /// What is to be verified. `path` is the one the client sent, `query` is decoded.
    ///
    /// # Errors
    /// A head that is longer in its canonical form than any may be.
    pub(crate) fn claim(
        &self,
        parts: &Parts,
        path: &str,
        query: &[(String, String)],
    ) -> S3Result<Claim> {
        Ok(Claim {
            key_id: self.key_id.clone(),
            day: self.day.clone(),
            region: self.region.clone(),
            date: self.date.clone(),
            request: canonical::request(self, parts, path, query)?,
            signature: self.signature,
        })
    }
}

/// The request's head without its signature and without what was a header in it, which have done their
/// work and are nobody else's business.
pub(crate) fn strip(parts: &mut Parts) {
    parts.headers.remove(AUTHORIZATION);
    let Some(query) = parts.uri.query() else {
        return;
    };
    let is_signature = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode(name).is_some_and(|name| name.to_ascii_lowercase().starts_with("x-amz-"))
    };
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| !is_signature(pair))
        .collect();
    let rest = match rest.is_empty() {
        true => parts.uri.path().to_owned(),
        false => format!("{}?{}", parts.uri.path(), rest.join("&")),
    };
    // Parts of a valid target are a valid target.
    if let Ok(uri) = rest.parse() {
        parts.uri = uri;
    }
}

const PRESIGN_PARTS: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

fn unsupported() -> S3Error {
    invalid_request(
        "the authorization mechanism you have provided is not supported; \
         please use AWS4-HMAC-SHA256",
    )
}

fn malformed(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::AuthorizationHeaderMalformed, message)
}

fn malformed_query(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::AuthorizationQueryParametersError, message)
}

fn from_header(value: Option<&str>, headers: &HeaderMap) -> S3Result<Signed> {
    let value = value.ok_or_else(|| malformed("the Authorization header is not plain text"))?;
    let rest = value.strip_prefix(ALGORITHM).ok_or_else(unsupported)?;
    if !rest.starts_with(' ') {
        return Err(unsupported());
    }
    let (mut credential, mut names, mut signature) = (None, None, None);
    for part in rest.split(',').map(str::trim) {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| malformed("a part has no value"))?;
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut names,
            "Signature" => &mut signature,
            _ => return Err(malformed("there is an unknown part")),
        };
        if place.replace(value).is_some() {
            return Err(malformed("a part is given twice"));
        }
    }
    let missing = || malformed("Credential, SignedHeaders and Signature are required");
    let names = names.ok_or_else(missing)?;
    let signature = signature.ok_or_else(missing)?;
    let scope = Scope::parse(credential.ok_or_else(missing)?)
        .ok_or_else(|| malformed("the credential is malformed; the service must be s3"))?;
    let signature =
        hex32(signature).ok_or_else(|| malformed("the signature must be 64 hexadecimal digits"))?;
    let date = signed_date(headers, names)?;
    Ok(scope.signed(&date, names, signature, None))
}

/// When a request was signed: `x-amz-date` says it or, where there is none, a `Date` header that is signed.
fn signed_date(headers: &HeaderMap, names: &str) -> S3Result<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("x-amz-date") {
        return Ok(text("x-amz-date").unwrap_or_default().to_owned());
    }
    let signed = names.split(';').any(|name| name == DATE.as_str());
    let date = text(DATE.as_str()).filter(|_| signed);
    date.and_then(basic_date).ok_or_else(|| {
        access_denied("the request needs x-amz-date or a signed Date header that is valid")
    })
}

fn from_query(query: &[(String, String)]) -> S3Result<Signed> {
    let get = |name: &str| {
        let mut values = query
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(malformed_query("each X-Amz-* parameter must be given once")),
        }
    };
    if get("X-Amz-Algorithm")? != ALGORITHM {
        return Err(unsupported());
    }
    let expires: u64 = get("X-Amz-Expires")?
        .parse()
        .map_err(|_| malformed_query("X-Amz-Expires must be a number of seconds"))?;
    if expires == 0 || expires > PRESIGNED_S_MAX {
        return Err(malformed_query(
            "X-Amz-Expires must lie between 1 and 604800 seconds",
        ));
    }
    let scope = Scope::parse(get("X-Amz-Credential")?)
        .ok_or_else(|| malformed_query("the credential is malformed; the service must be s3"))?;
    let signature = hex32(get("X-Amz-Signature")?)
        .ok_or_else(|| malformed_query("the signature must be 64 hexadecimal digits"))?;
    let names = get("X-Amz-SignedHeaders")?;
    // They stand in a line of what is signed.
    if names.contains('\n') {
        return Err(malformed_query(
            "X-Amz-SignedHeaders must be names of headers",
        ));
    }
    Ok(scope.signed(get("X-Amz-Date")?, names, signature, Some(expires)))
}

/// The parts of a credential.
struct Scope<'a> {
    key_id: &'a str,
    day: &'a str,
    region: &'a str,
}

impl<'a> Scope<'a> {
    fn parse(credential: &'a str) -> Option<Self> {
        let parts: Vec<&str> = credential.split('/').collect();
        match parts.as_slice() {
            [key_id, day, region, "s3", "aws4_request"] if !key_id.is_empty() => Some(Self {
                key_id,
                day,
                region,
            }),
            _ => None,
        }
    }

    fn signed(
        &self,
        date: &str,
        names: &str,
        signature: [u8; 32],
        expires_s: Option<u64>,
    ) -> Signed {
        Signed {
            key_id: self.key_id.to_owned(),
            day: self.day.to_owned(),
            region: self.region.to_owned(),
            date: date.to_owned(),
            names: names.to_owned(),
            signature,
            expires_s,
        }
    }
}

/// Every `x-amz-*` header and the host must be among the signed names, each of which stands there once: what is signed
/// has a line for each.
fn check_signed_headers(headers: &HeaderMap, names: &str) -> S3Result {
    let mut signed: Vec<&str> = names.split(';').collect();
    signed.sort_unstable();
    if signed.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid_request("a header is signed twice"));
    }
    if signed.binary_search(&"host").is_err() {
        return Err(access_denied("the host header is not signed"));
    }
    for name in headers.keys().map(hyper::header::HeaderName::as_str) {
        if name.starts_with("x-amz-") && signed.binary_search(&name).is_err() {
            return Err(access_denied(format!(
                "there were headers present in the request which were not signed: {name}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
