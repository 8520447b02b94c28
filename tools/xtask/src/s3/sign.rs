//! AWS Signature Version 4 in its header form, checked against AWS's published examples.

use aws_lc_rs::{digest, hmac};
use std::fmt::Write;

/// SHA-256 of nothing, in hex.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who signs.
pub struct Credentials {
    /// Access key id.
    pub access: String,
    /// Secret key.
    pub secret: String,
    /// Region of the credential scope.
    pub region: String,
}

/// What is signed. Names of `headers` are in lower case; `path` is already percent-encoded.
pub struct Subject<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Encoded path.
    pub path: &'a str,
    /// Encoded canonical query, sorted.
    pub query: &'a str,
    /// Every header that is to be signed, sorted by name.
    pub headers: &'a [(String, String)],
    /// `x-amz-content-sha256`.
    pub payload: &'a str,
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// SHA-256 in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Percent-encoding as SigV4 wants it; `/` is kept where asked.
pub fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The encoded, sorted query of these pairs.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            format!(
                "{}={}",
                encode(name.as_bytes(), false),
                encode(value.as_bytes(), false)
            )
        })
        .collect();
    encoded.sort();
    encoded.join("&")
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

/// The value of the `Authorization` header. `moment` is `YYYYMMDDTHHMMSSZ`.
pub fn authorization(credentials: &Credentials, moment: &str, subject: &Subject) -> String {
    let Credentials {
        access,
        secret,
        region,
    } = credentials;
    let Subject {
        method,
        path,
        query,
        headers,
        payload,
    } = subject;
    let day = moment.split('T').next().unwrap_or(moment);
    let names = headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>()
        .join(";");
    let lines = headers
        .iter()
        .fold(String::new(), |mut out, (name, value)| {
            let _ = writeln!(out, "{name}:{}", value.trim());
            out
        });
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
    let scope = format!("{day}/{region}/s3/aws4_request");
    let digest = sha256_hex(canonical.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}");
    let key = ["s3", "aws4_request"].iter().fold(
        mac(&mac(format!("AWS4{secret}").as_bytes(), day), region),
        |key, step| mac(&key, step),
    );
    let signature = hex(&mac(&key, &to_sign));
    format!(
        "AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, \
         Signature={signature}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: &str = "20130524T000000Z";

    /// Examples from "Signature Calculations for the Authorization Header" of the S3 API guide.
    fn check(method: &str, path: &str, pairs: &[(&str, &str)], more: &[(&str, &str)], want: &str) {
        let credentials = Credentials {
            access: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let fixed = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-date", MOMENT),
        ];
        let mut headers: Vec<(String, String)> = fixed
            .iter()
            .chain(more)
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        headers.sort();
        let payload = headers
            .iter()
            .find(|(name, _)| name == "x-amz-content-sha256");
        let payload = payload.map(|(_, value)| value.clone()).unwrap();
        let query = query(pairs);
        let subject = Subject {
            method,
            path,
            query: &query,
            headers: &headers,
            payload: &payload,
        };
        let header = authorization(&credentials, MOMENT, &subject);
        assert!(header.ends_with(&format!("Signature={want}")), "{header}");
    }

    #[test]
    fn published_example_get_with_range() {
        check(
            "GET",
            "/test.txt",
            &[],
            &[
                ("range", "bytes=0-9"),
                ("x-amz-content-sha256", EMPTY_SHA256),
            ],
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
    }

    #[test]
    fn published_example_put() {
        let body = sha256_hex(b"Welcome to Amazon S3.");
        check(
            "PUT",
            "/test%24file.text",
            &[],
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-content-sha256", &body),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
    }

    #[test]
    fn published_example_query() {
        let hash = [("x-amz-content-sha256", EMPTY_SHA256)];
        check(
            "GET",
            "/",
            &[("lifecycle", "")],
            &hash,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            "GET",
            "/",
            &[("prefix", "J"), ("max-keys", "2")],
            &hash,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn encoding_keeps_only_unreserved_bytes() {
        assert_eq!(encode(b"a/b c+\xff~", true), "a/b%20c%2B%FF~");
        assert_eq!(encode(b"a/b", false), "a%2Fb");
    }
}
