//! Virtual-host addressing: the bucket in the host name becomes the first part of the path, as in
//! path style, so that everything behind knows one form only.

use std::borrow::Cow;

use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use s3s::S3Result;

use crate::error::invalid_request;

/// Names under which the vault is reached. In front of them, a bucket may stand.
#[derive(Debug, Clone, Default)]
pub struct Domains(Vec<String>);

impl Domains {
    /// Domains in any case, without a port.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(
            names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// The bucket that a host names. A host that is no domain of ours, such as an address, names
    /// none.
    fn bucket<'a>(&self, host: &'a str) -> Option<&'a str> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        // A shorter domain may be the end of a longer one: the longest counts.
        let mut found: Option<&str> = None;
        for domain in &self.0 {
            let length = name.len().checked_sub(domain.len());
            let Some((front, end)) = length.and_then(|at| name.split_at_checked(at)) else {
                continue;
            };
            if !end.eq_ignore_ascii_case(domain) {
                continue;
            }
            let bucket = match front {
                "" => "",
                front => match front.strip_suffix('.') {
                    Some(bucket) => bucket,
                    None => continue,
                },
            };
            if found.is_none_or(|longer| bucket.len() < longer.len()) {
                found = Some(bucket);
            }
        }
        found.filter(|bucket| !bucket.is_empty())
    }

    /// A path as it is in path style, if it is another one.
    fn moved(&self, host: &str, path: &str) -> Option<String> {
        let bucket = self.bucket(host)?;
        Some(match path {
            "/" | "" => format!("/{bucket}"),
            path => format!("/{bucket}{path}"),
        })
    }

    /// The path in path style of what a client sent to a host.
    pub(crate) fn path_style<'p>(&self, host: &str, path: &'p str) -> Cow<'p, str> {
        self.moved(host, path)
            .map_or(Cow::Borrowed(path), Cow::Owned)
    }
}

/// Turns a request into path style and returns the path that the client sent and signed. A request
/// of HTTP/2, which names its host elsewhere, gets a host header.
///
/// # Errors
/// A host that is not plain text, or two that differ.
pub(crate) fn to_path_style(parts: &mut Parts, domains: &Domains) -> S3Result<String> {
    let sent = parts.uri.path().to_owned();
    let authority = parts.uri.authority().map(|name| name.as_str().to_owned());
    if let (false, Some(authority)) = (parts.headers.contains_key(HOST), authority)
        && let Ok(value) = HeaderValue::try_from(authority)
    {
        parts.headers.insert(HOST, value);
    }
    let host = match parts.headers.get(HOST) {
        Some(value) if differs(parts, value) => {
            return Err(invalid_request(
                "the target names another host than the Host header",
            ));
        }
        Some(value) => value
            .to_str()
            .map_err(|_| invalid_request("the Host header is not plain text"))?,
        None => return Ok(sent),
    };
    let Some(path) = domains.moved(host, &sent) else {
        return Ok(sent);
    };
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    parts.uri = target
        .parse()
        .map_err(|_| invalid_request("the Host header names no bucket"))?;
    Ok(sent)
}

/// Whether a request is for one host and says that it is for another.
fn differs(parts: &Parts, header: &HeaderValue) -> bool {
    let target = parts.uri.authority();
    let same = |target: &str| target.as_bytes().eq_ignore_ascii_case(header.as_bytes());
    target.is_some_and(|target| !same(target.as_str()))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn the_bucket_before_a_domain_goes_into_the_path() {
        let domains = Domains::new(["localhost".to_owned(), "S3.localhost".to_owned()]);
        let check = |host: &str, target: &str, expected: &str| {
            let request = Request::builder().uri(target).header("host", host).body(());
            let (mut parts, ()) = request.expect("a request").into_parts();
            let sent = to_path_style(&mut parts, &domains).expect("plain text");
            assert_eq!(parts.uri.to_string(), expected, "{host} {target}");
            assert_eq!(sent, target.split('?').next().unwrap_or_default());
        };
        check("localhost", "/b/k", "/b/k");
        check("localhost:8443", "/b/k", "/b/k");
        check("s3.localhost:8443", "/b/k?x", "/b/k?x");
        check("bucket.s3.localhost:8443", "/k?x=1", "/bucket/k?x=1");
        check("a.b.S3.LOCALHOST", "/", "/a.b");
        check(
            "bucket.s3.localhost",
            "/?list-type=2",
            "/bucket?list-type=2",
        );
        check("bucket.localhost", "/k", "/bucket/k");
        check("xs3.localhost", "/k", "/xs3/k");
        check("127.0.0.1:8443", "/b/k", "/b/k");
        check("[::1]:8443", "/b/k", "/b/k");
        check("other.example", "/b/k", "/b/k");
        check("notlocalhost", "/b/k", "/b/k");
    }
}
