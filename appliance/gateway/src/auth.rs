//! Who asks: client keys, the shape of SigV4 requests, and what must be signed.
//!
//! The signature over the request head is verified by the S3 library; here stands what it leaves
//! out. A request passes `Signed::of` only if it uses SigV4 in exactly one form and signs every
//! `x-amz-*` header it carries, so that nobody can add to a signed request.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use zeroize::Zeroizing;

use crate::error::{access_denied, invalid_argument, invalid_request};
use crate::limits::PRESIGNED_S_MAX;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The clients that may speak to the vault: access key id and secret. Clones share the set, which
/// may change at any time.
#[derive(Clone, Default)]
pub struct Clients(Arc<RwLock<HashMap<String, Zeroizing<String>>>>);

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients(..)")
    }
}

impl Clients {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a client or gives it another secret.
    pub fn insert(&self, key_id: impl Into<String>, secret: Zeroizing<String>) {
        self.write(|clients| {
            clients.insert(key_id.into(), secret);
        });
    }

    /// Removes a client; its next request is refused.
    pub fn remove(&self, key_id: &str) {
        self.write(|clients| {
            clients.remove(key_id);
        });
    }

    /// Puts another set in the place of this one.
    pub fn replace(&self, clients: impl IntoIterator<Item = (String, Zeroizing<String>)>) {
        let new: HashMap<_, _> = clients.into_iter().collect();
        self.write(|clients| *clients = new);
    }

    fn secret(&self, key_id: &str) -> Option<SecretKey> {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        clients
            .get(key_id)
            .map(|secret| SecretKey::from(secret.as_str()))
    }

    fn write(&self, change: impl FnOnce(&mut HashMap<String, Zeroizing<String>>)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait::async_trait]
impl S3Auth for Clients {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.secret(access_key).ok_or_else(|| {
            S3Error::with_message(
                S3ErrorCode::InvalidAccessKeyId,
                "the access key id you provided does not exist in this vault",
            )
        })
    }
}

/// Lets nobody in without a verified signature; what a client may do, the engine decides.
pub(crate) struct SignedOnly;

#[async_trait::async_trait]
impl S3Access for SignedOnly {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        match cx.credentials() {
            Some(_) => Ok(()),
            None => Err(access_denied("anonymous access is not allowed")),
        }
    }
}

/// How a request says who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Day of the credential scope, `YYYYMMDD`.
    pub day: String,
    /// Region of the credential scope; any is accepted.
    pub region: String,
    /// `x-amz-date` or `X-Amz-Date` as sent.
    pub date: String,
    /// The claimed signature, hexadecimal.
    pub signature: String,
    /// Whether it is a presigned URL.
    pub presigned: bool,
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
        let (signed, names) = match (authorization, presigned) {
            (None, false) => return Err(access_denied("anonymous access is not allowed")),
            (Some(_), true) => {
                return Err(invalid_argument(
                    "only one way of signing a request is allowed",
                ));
            }
            (Some(value), false) => from_header(value.to_str().ok(), headers)?,
            (None, true) => from_query(query)?,
        };
        check_signed_headers(headers, &names)?;
        Ok(signed)
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

fn from_header(value: Option<&str>, headers: &HeaderMap) -> S3Result<(Signed, String)> {
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
    let date = headers
        .get("x-amz-date")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    Ok((scope.signed(date, signature, false), names.to_owned()))
}

fn from_query(query: &[(String, String)]) -> S3Result<(Signed, String)> {
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
    let signed = scope.signed(get("X-Amz-Date")?, get("X-Amz-Signature")?, true);
    Ok((signed, get("X-Amz-SignedHeaders")?.to_owned()))
}

/// The parts of a credential that matter here; the key id is read by the S3 library.
struct Scope<'a> {
    day: &'a str,
    region: &'a str,
}

impl<'a> Scope<'a> {
    fn parse(credential: &'a str) -> Option<Self> {
        let parts: Vec<&str> = credential.split('/').collect();
        match parts.as_slice() {
            [key_id, day, region, "s3", "aws4_request"] if !key_id.is_empty() => {
                Some(Self { day, region })
            }
            _ => None,
        }
    }

    fn signed(&self, date: &str, signature: &str, presigned: bool) -> Signed {
        Signed {
            day: self.day.to_owned(),
            region: self.region.to_owned(),
            date: date.to_owned(),
            signature: signature.to_owned(),
            presigned,
        }
    }
}

/// Every `x-amz-*` header and the host must be among the signed names.
fn check_signed_headers(headers: &HeaderMap, names: &str) -> S3Result {
    let signed: Vec<&str> = names.split(';').collect();
    if !signed.contains(&"host") {
        return Err(access_denied("the host header is not signed"));
    }
    for name in headers.keys().map(hyper::header::HeaderName::as_str) {
        if name.starts_with("x-amz-") && !signed.contains(&name) {
            return Err(access_denied(format!(
                "there were headers present in the request which were not signed: {name}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
