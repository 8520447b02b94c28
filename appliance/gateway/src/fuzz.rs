//! What must hold for any bytes a stranger sends: one function for each thing here that reads them.
//!
//! None may panic, none may say yes to what contradicts itself, and none may need more memory than its limits
//! say; the driver (`examples/gateway_fuzz`) mutates the samples and looks at the memory of the process.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::dto::{
    AccessControlPolicy, BucketLifecycleConfiguration, CompletedMultipartUpload,
    CreateBucketConfiguration, Delete, ObjectLockConfiguration, ObjectLockLegalHold,
    ObjectLockRetention, Tagging, VersioningConfiguration,
};
use s3s::xml::{Deserialize, Deserializer};
use tokio::io::AsyncWriteExt;

use crate::auth::{Signed, strip};
use crate::chain::ChunkChain;
use crate::chunked::{Decoder, Step};
use crate::claim::{Canonical, Claim, SigningKey};
use crate::elements::check_elements;
use crate::front::check_document;
use crate::guard::host::{Domains, to_path_style};
use crate::guard::inspect;
use crate::limits::{DOMAINS, HEAD_MS_MAX};
use crate::message::{self, ChecksumKind};
use crate::server::http;
use crate::text::query_pairs;

/// A reader, what it starts from, and words that are put in on the way.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads one input; panics where something does not hold.
    pub run: fn(&[u8]),
    /// Inputs that it understands.
    pub samples: &'static [&'static [u8]],
    /// Words of its language.
    pub words: &'static [&'static [u8]],
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "http",
        run: connection,
        samples: &[
            b"GET /bucket/key?versionId=1 HTTP/1.1\r\nHost: bucket.s3.localhost\r\nx-amz-date: 20261126T000000Z\r\n\
              x-amz-content-sha256: UNSIGNED-PAYLOAD\r\nAuthorization: AWS4-HMAC-SHA256 Credential=K/20261126/us-east-1/s3/aws4_request, \
              SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\r\n\r\n",
            b"PUT /b-1/a%2Fb?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20261126%2Feu%2Fs3%2Faws4_request&X-Amz-Date=20261126T000000Z\
              &X-Amz-Expires=60&X-Amz-SignedHeaders=host&x-amz-meta-a=b&X-Amz-Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f \
              HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
            b"POST /b-1?delete HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"POST /b-1?delete HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nx-amz-trailer: a\r\n\r\n\
              GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0a\x01\x05\0\0\0\x01\x82\x84\x87\x41\x04host",
        ],
        words: &[
            b"\r\n", b"\r\n\r\n", b"\0", b"%00", b"%2e%2e/", b"?acl", b"&partNumber=1", b"Content-Length: 18446744073709551615\r\n",
            b"Transfer-Encoding: chunked\r\n", b"x-amz-object-lock-mode: COMPLIANCE\r\n", b"x-amz-decoded-content-length: 5\r\n",
            b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n", b"x-amz-trailer: x-amz-checksum-crc32\r\n",
            b"Content-MD5: AAAA\r\n", b"Host: a\r\n", b"HTTP/1.0", b"\xff", b"\xf0\x9f\x90\x80", b"x-amz-meta-a: b\r\n", b"\0\0\x01\x09\0\0\0\0\x01",
        ],
    },
    Target {
        name: "sigv4",
        run: signature,
        samples: &[
            b"versionId=1\nauthorization: AWS4-HMAC-SHA256 Credential=K/20261126/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, \
              Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\nhost: h\nx-amz-date: 20261126T000000Z",
            b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20261126%2Feu%2Fs3%2Faws4_request&X-Amz-Date=20261126T000000Z&X-Amz-Expires=60\
              &X-Amz-SignedHeaders=host&X-Amz-Signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\nhost: h",
        ],
        words: &[
            b"Credential=", b"SignedHeaders=", b"Signature=", b";host", b"/s3/aws4_request", b"AWS4-HMAC-SHA256", b"=", b",", b"&", b"%", b"%2F",
            b"X-Amz-Expires=604800", b"\nx-amz-content-sha256: UNSIGNED-PAYLOAD", b"20260230T999999Z", b"\xe2\x82\xac", b"99999999999999999999",
        ],
    },
    Target {
        name: "chunked",
        run: chunks,
        samples: &[
            b"\x05\x005\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
            b"\x05\x032;chunk-signature=0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            b"\x03\x013\r\nabc\r\n0\r\n\r\n",
        ],
        words: &[
            b"\r\n", b"0\r\n", b"0\r\n\r\n", b"ffffffffffffffff", b"7fffffff", b"10000000", b";chunk-signature=", b"x-amz-checksum-crc32:",
            b"x-amz-trailer-signature:", b"\n\r\n", b"AAAAAA==", b";a=b", b"-1", b"+5",
        ],
    },
    Target {
        name: "xml",
        run: document,
        samples: &[
            b"<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>1</VersionId></Object></Delete>",
            b"<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag>\
              <ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></CompleteMultipartUpload>",
            b"<LifecycleConfiguration><Rule><ID>1</ID><Filter><Prefix>a</Prefix></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload>\
              <DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>",
            b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days>\
              </DefaultRetention></Rule></ObjectLockConfiguration>",
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
            b"<LegalHold><Status>ON</Status></LegalHold>",
            b"<?xml version=\"1.0\"?><Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
            b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
            b"<CreateBucketConfiguration><LocationConstraint>eu</LocationConstraint></CreateBucketConfiguration>",
        ],
        words: &[
            b"<", b">", b"</", b"/>", b"&lt;", b"&#x0;", b"&#1114112;", b"&bomb;", b"<!DOCTYPE a [<!ENTITY b \"cc\">]>", b"<![CDATA[", b"]]>", b"<!--", b"-->",
            b"<?xml version=\"1.1\" encoding=\"UTF-16\"?>", b"<Rule>", b"</Rule>", b"<Object>", b"<Key>", b"<Days>-1</Days>", b"<Days>2147483648</Days>",
            b" xmlns:a=\"b\"", b"<a:Key>", b"\xff\xfe", b"9999-12-31T23:59:59Z", b"\0",
        ],
    },
];

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
}

/// A whole connection: whatever arrives, each request is looked at as the front does, and it ends.
fn connection(input: &[u8]) {
    let h2 = input.starts_with(b"PRI");
    let serve = async {
        let (mut client, server) = tokio::io::duplex(input.len().max(1));
        // Bytes and then nobody: nothing is left to wait for.
        client.write_all(input).await.expect("there is room for it");
        drop(client);
        let service = hyper::service::service_fn(|request| looked_at(request, input.len()));
        let connection = http(h2, Duration::from_millis(HEAD_MS_MAX))
            .serve_connection(TokioIo::new(server), service)
            .into_owned();
        connection.await.ok();
    };
    RUNTIME.with(|runtime| runtime.block_on(serve));
}

/// A request of a connection on which no more than so many bytes came.
async fn looked_at(
    request: Request<Incoming>,
    came: usize,
) -> Result<Response<s3s::Body>, Infallible> {
    let (parts, body) = request.into_parts();
    look_at_head(parts);
    let announced = body.size_hint().exact();
    let (bytes, is_whole) = read_body(body, came).await;
    assert!(bytes <= came, "a body out of nothing");
    let as_announced = announced.is_none_or(|announced| announced == bytes as u64);
    assert!(!is_whole || as_announced, "another length");
    Ok(Response::new(s3s::Body::empty()))
}

/// How long a body is, as far as it comes, and whether it was whole; no more than a little beyond `most` is read.
async fn read_body(mut body: Incoming, most: usize) -> (usize, bool) {
    let mut bytes: usize = 0;
    while bytes <= most {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return (bytes, true),
            Some(Err(_broken)) => return (bytes, false),
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
        }
    }
    (bytes, false)
}

fn look_at_head(mut parts: Parts) {
    let domains = Domains::new(DOMAINS.map(str::to_owned));
    if let Ok(sent) = to_path_style(&mut parts, &domains)
        && let Ok((claim, _)) = inspect(&mut parts, &sent)
    {
        assert!(wanted(&claim, &[]), "what passes wants nothing");
        strip(&mut parts);
        let query = query_pairs(parts.uri.query().unwrap_or_default()).unwrap_or_default();
        let mut names = query.iter().map(|(name, _)| name.to_ascii_lowercase());
        assert!(
            !names.any(|name| name.starts_with("x-amz-")),
            "a signature is left"
        );
        assert!(
            parts.uri.path().starts_with('/'),
            "a path without a beginning"
        );
    }
}

/// A query and headers, one a line.
fn signature(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let Some(query) = query_pairs(lines.next().unwrap_or_default()) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let Ok(signed) = Signed::of(&headers, &query) else {
        return;
    };
    assert!(!signed.key_id.is_empty(), "nobody signed it");
    let names: Vec<&str> = signed.names.split(';').collect();
    let unsigned = headers
        .keys()
        .find(|name| name.as_str().starts_with("x-amz-") && !names.contains(&name.as_str()));
    assert!(unsigned.is_none(), "{unsigned:?} is not signed");
    let mut request = Request::builder()
        .uri("/bucket/key")
        .body(())
        .expect("a request");
    *request.headers_mut() = headers;
    let (parts, ()) = request.into_parts();
    let Ok(claim) = signed.claim(&parts, "/bucket/key", &query) else {
        return;
    };
    wanted(&claim, &[]);
    let now = stele_format::units::UnixMillis::new(1_795_651_200_000);
    assert!(
        claim
            .verify("another secret", &Domains::default(), now)
            .is_err(),
        "a signature that is none"
    );
}

/// Looks at what a claim says that its client wants, as if its signature were right, and at which of some questions
/// serve that; whether it says anything.
pub fn wanted(claim: &Claim, questions: &[message::Request]) -> bool {
    let domains = Domains::new(DOMAINS.map(str::to_owned));
    let serves = |question| claim.would_admit(&domains, question);
    let served = questions.iter().filter(|one| serves(one) == Some(true));
    let listings = served.filter(|one| matches!(one, message::Request::ListBuckets));
    let everything = serves(&message::Request::Capacity) == Some(true);
    assert!(
        !everything || listings.count() == 0,
        "one request is for two things"
    );
    serves(&message::Request::ListBuckets).is_some()
}

/// How long the content is to be, which kind of body it is, and the body.
fn chunks(input: &[u8]) {
    let Some((&[announced, kind], body)) = input.split_first_chunk::<2>() else {
        return;
    };
    let decoder = || {
        let trailers = (kind & 1 == 0).then(|| vec![ChecksumKind::Crc32]);
        Decoder::new(announced.into(), kind & 2 == 2, trailers)
    };
    let whole = decoded(decoder(), body, body.len());
    let pieces = decoded(decoder(), body, 1 + usize::from(kind >> 2));
    assert_eq!(whole, pieces, "it depends on how the body comes");
    if let Some(content) = whole {
        assert_eq!(content.len(), usize::from(announced), "another length");
        assert!(kind & 2 == 0, "signed by nobody");
    }
}

fn chain() -> ChunkChain {
    let request = Canonical::new(b"GET\n/\n\n\n\n\n".to_vec(), None);
    let claim = Claim::signed("K", "secret", "20261126T000000Z", "us-east-1", request);
    ChunkChain::new(
        &SigningKey::derive("secret", &claim.day, &claim.region),
        &claim,
    )
}

/// The content, if the decoder says that it is complete and its signatures are right.
fn decoded(mut decoder: Decoder, body: &[u8], step: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    for piece in body.chunks(step.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Step::Data(data) = decoder.step(&mut input).ok()? {
            content.extend_from_slice(&data);
        }
        assert!(content.len() <= body.len(), "more than came");
    }
    decoder.finish().ok()?;
    chain().verify(&decoder.take_proofs()).ok()?;
    Some(content)
}

/// A document, as every kind that clients send.
fn document(input: &[u8]) {
    if check_elements(input).is_err() {
        return;
    }
    let Ok(bytes) = check_document(Bytes::copy_from_slice(input)) else {
        return;
    };
    if let Some(Delete { objects, .. }) = read(&bytes) {
        let keys: usize = objects.iter().map(|object| object.key.len()).sum();
        assert!(keys <= input.len(), "keys out of nothing");
    }
    if let Some(wish) = read::<BucketLifecycleConfiguration>(&bytes)
        && let Ok(rules) = crate::lifecycle::parse(wish.rules)
    {
        let acts = |rule: &crate::message::LifecycleRule| {
            rule.upload_days.is_some() || rule.current.is_some() || rule.noncurrent.is_some()
        };
        let fine = |rule: &crate::message::LifecycleRule| !rule.id.is_empty() && acts(rule);
        assert!(rules.iter().all(fine), "a rule that cannot be kept");
    }
    read::<AccessControlPolicy>(&bytes);
    read::<CompletedMultipartUpload>(&bytes);
    read::<CreateBucketConfiguration>(&bytes);
    read::<ObjectLockConfiguration>(&bytes);
    read::<ObjectLockLegalHold>(&bytes);
    read::<ObjectLockRetention>(&bytes);
    read::<Tagging>(&bytes);
    read::<VersioningConfiguration>(&bytes);
}

fn read<'xml, T: Deserialize<'xml>>(bytes: &'xml [u8]) -> Option<T> {
    let mut reader = Deserializer::new(bytes);
    let value = T::deserialize(&mut reader).ok()?;
    reader.expect_eof().ok()?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::TARGETS;

    #[test]
    fn every_sample_is_read_and_holds() {
        for target in TARGETS {
            for sample in target.samples {
                (target.run)(sample);
            }
        }
    }

    #[test]
    fn samples_of_bodies_and_documents_are_understood() {
        let find = |name: &str| TARGETS.iter().find(|target| target.name == name);
        let chunked = find("chunked").expect("a target");
        for at in [0, 2] {
            let (head, body) = chunked.samples[at].split_at(2);
            let trailers = (head[1] == 0).then(|| vec![crate::message::ChecksumKind::Crc32]);
            let decoder = crate::chunked::Decoder::new(head[0].into(), false, trailers);
            assert!(super::decoded(decoder, body, body.len()).is_some(), "{at}");
        }
        let xml = find("xml").expect("a target");
        assert!(super::read::<super::Delete>(xml.samples[0]).is_some());
        let parts = super::read::<super::CompletedMultipartUpload>(xml.samples[1]);
        assert!(parts.is_some());
        let rules = super::read::<super::BucketLifecycleConfiguration>(xml.samples[2]);
        assert!(rules.is_some());
    }
}
