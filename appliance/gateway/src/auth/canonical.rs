//! The canonical request of Signature Version 4: the one form in which client and vault hash a
//! request's head. It is made here and hashed where the secrets are.
//!
//! Source: the AWS documentation, "Create a signed AWS API request", step 1, with S3's rule that the
//! path is encoded once and never shortened.

use hyper::HeaderMap;
use hyper::http::request::Parts;
use s3s::S3Result;

use crate::auth::Signed;
use crate::claim::Canonical;
use crate::error::head_too_large;
use crate::limits::CANONICAL_BYTES_MAX;
use crate::text::{percent_decode, percent_encode};

/// What covers the body when nothing does.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Most canonical requests are shorter, bytes.
const CAPACITY_BYTES: usize = 1024;
/// The query parameter that carries the signature itself.
const SIGNATURE: &str = "X-Amz-Signature";

/// The canonical request, with the path as it came where that is another one than S3 makes of it: some clients sign
/// the path as they send it.
pub(super) fn request(
    signed: &Signed,
    parts: &Parts,
    path: &str,
    query: &[(String, String)],
) -> S3Result<Canonical> {
    let encoded = percent_decode(path).map(|path| percent_encode(&path));
    let encoded = encoded.as_deref().unwrap_or(path);
    let mut text = Vec::with_capacity(CAPACITY_BYTES);
    for line in [parts.method.as_str(), encoded, &canonical_query(query)] {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    push_headers(&mut text, &parts.headers, &signed.names)?;
    text.push(b'\n');
    text.extend_from_slice(signed.names.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(payload(&parts.headers, query).as_bytes());
    let raw = (encoded != path).then(|| path.to_owned());
    let raw_bytes = raw.as_ref().map_or(0, String::len);
    match text.len() + raw_bytes <= CANONICAL_BYTES_MAX {
        true => Ok(Canonical::new(text, raw)),
        false => Err(head_too_large()),
    }
}

fn canonical_query(query: &[(String, String)]) -> String {
    let encode = |text: &str| percent_encode(text).replace('/', "%2F");
    let mut pairs: Vec<_> = query
        .iter()
        .filter(|(name, _)| name != SIGNATURE)
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.join("&")
}

/// One line for each signed name, in the order in which they were signed. A name may come often, and each time its
/// values, so that the length is looked at on the way.
fn push_headers(text: &mut Vec<u8>, headers: &HeaderMap, names: &str) -> S3Result {
    for name in names.split(';') {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        for (number, value) in headers.get_all(name).iter().enumerate() {
            if number > 0 {
                text.push(b',');
            }
            push_trimmed(text, value.as_bytes());
        }
        text.push(b'\n');
        if text.len() > CANONICAL_BYTES_MAX {
            return Err(head_too_large());
        }
    }
    Ok(())
}

/// Blanks at the ends go, runs of blanks become one.
fn push_trimmed(line: &mut Vec<u8>, value: &[u8]) {
    let words = value
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if number > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(word);
    }
}

fn payload<'a>(headers: &'a HeaderMap, query: &'a [(String, String)]) -> &'a str {
    let header = headers.get("x-amz-content-sha256");
    let header = header.and_then(|value| value.to_str().ok());
    let query = query.iter().find(|(n, _)| n == "X-Amz-Content-Sha256");
    let query = query.map(|(_, value)| value.as_str());
    header.or(query).unwrap_or(UNSIGNED)
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use stele_format::units::UnixMillis;

    use crate::guard::host::Domains;
    use crate::refusal::Refusal;
    use crate::text::query_pairs;

    use super::*;

    /// The key of the examples in the AWS documentation.
    const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    /// 2013-05-24T00:00:00Z.
    const SIGNED_MS: u64 = 1_369_353_600_000;
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    struct Example {
        method: &'static str,
        target: &'static str,
        headers: &'static [(&'static str, &'static str)],
        names: &'static str,
        signature: &'static str,
    }

    fn verify(example: &Example, signature: &str) -> Result<(), Refusal> {
        let mut request = Request::builder()
            .method(example.method)
            .uri(example.target);
        for (name, value) in example.headers {
            request = request.header(*name, *value);
        }
        let credential = format!("{KEY_ID}/20130524/us-east-1/s3/aws4_request");
        let presigned = example.target.contains("X-Amz-");
        if !presigned {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={}, Signature={signature}",
                example.names
            );
            request = request
                .header("authorization", value)
                .header("x-amz-date", "20130524T000000Z");
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        if presigned {
            let target = format!("{}&X-Amz-Signature={signature}", example.target);
            parts.uri = target.parse().expect("a target");
        }
        let query = query_pairs(parts.uri.query().unwrap_or_default()).expect("a query");
        let signed = Signed::of(&parts.headers, &query).expect("well formed");
        let claim = signed
            .claim(&parts, parts.uri.path(), &query)
            .expect("short");
        let now = UnixMillis::new(SIGNED_MS);
        let domains = Domains::new(["s3.amazonaws.com".to_owned()]);
        claim.verify(SECRET, &domains, now).map(drop)
    }

    /// Examples of the AWS documentation, "Signature Calculations for the Authorization Header" and
    /// "Authenticating Requests: Using Query Parameters", with their published signatures.
    const EXAMPLES: [Example; 5] = [
        Example {
            method: "GET",
            target: "/test.txt",
            headers: &[
                ("host", "examplebucket.s3.amazonaws.com"),
                ("range", "bytes=0-9"),
                ("x-amz-content-sha256", EMPTY),
            ],
            names: "host;range;x-amz-content-sha256;x-amz-date",
            signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        },
        Example {
            method: "PUT",
            target: "/test$file.text",
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("host", "examplebucket.s3.amazonaws.com"),
                (
                    "x-amz-content-sha256",
                    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                ),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            names: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        },
        Example {
            method: "GET",
            target: "/?lifecycle",
            headers: &[
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", EMPTY),
            ],
            names: "host;x-amz-content-sha256;x-amz-date",
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        },
        Example {
            method: "GET",
            target: "/?max-keys=2&prefix=J",
            headers: &[
                ("host", "examplebucket.s3.amazonaws.com"),
                ("x-amz-content-sha256", EMPTY),
            ],
            names: "host;x-amz-content-sha256;x-amz-date",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        },
        Example {
            method: "GET",
            target: "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=\
                     AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                     &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host",
            headers: &[("host", "examplebucket.s3.amazonaws.com")],
            names: "host",
            signature: "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        },
    ];

    #[test]
    fn the_published_examples_verify() {
        for example in &EXAMPLES {
            let verified = verify(example, example.signature);
            assert_eq!(verified, Ok(()), "{} {}", example.method, example.target);
        }
    }

    #[test]
    fn one_other_digit_does_not() {
        for example in &EXAMPLES {
            let (digit, rest) = example.signature.split_at(1);
            let other = if digit == "0" { "1" } else { "0" };
            let verified = verify(example, &format!("{other}{rest}"));
            assert_eq!(verified, Err(Refusal::Signature), "{}", example.target);
        }
    }

    #[test]
    fn a_header_that_is_named_often_makes_no_endless_request() {
        let request = Request::builder().header("x-long", "a".repeat(1024));
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let signed = |count| Signed {
            key_id: KEY_ID.to_owned(),
            day: "20130524".to_owned(),
            region: "us-east-1".to_owned(),
            date: "20130524T000000Z".to_owned(),
            names: vec!["x-long"; count].join(";"),
            signature: [0; 32],
            expires_s: None,
        };
        let length = |count| super::request(&signed(count), &parts, "/", &[]).is_ok();
        assert!(length(100) && !length(128) && !length(1_000_000));
    }

    #[test]
    fn blanks_in_headers_are_folded() {
        let mut line = Vec::new();
        push_trimmed(&mut line, b"  a \t b  c ");
        assert_eq!(line, b"a b c");
    }
}
