//! Everything a client may say about its content beforehand, and the proof that it was true.
//!
//! Invariant: `Digests::verify` succeeds only when every value the client gave, in a header or in
//! a trailer, equals what was computed over all bytes that were received. An MD5 is computed only
//! when the client sent one.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use hyper::HeaderMap;
use s3s::crypto::{Checksum as Hasher, Crc32, Crc32c, Crc64Nvme, Md5};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::error::{checksum_text, invalid_request};
use crate::message::{Checksum, ChecksumKind};
use crate::text::base64_decode;

/// All algorithms with their header names.
pub(crate) const KINDS: [(ChecksumKind, &str); 5] = [
    (ChecksumKind::Crc32, "x-amz-checksum-crc32"),
    (ChecksumKind::Crc32c, "x-amz-checksum-crc32c"),
    (ChecksumKind::Sha1, "x-amz-checksum-sha1"),
    (ChecksumKind::Sha256, "x-amz-checksum-sha256"),
    (ChecksumKind::Crc64Nvme, "x-amz-checksum-crc64nvme"),
];

/// What is wrong with a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DigestFault {
    #[error("the Content-MD5 you specified does not match what was computed")]
    Md5,
    #[error("the x-amz-content-sha256 you specified does not match what was computed")]
    Payload,
    #[error("the {} you specified does not match what was computed", checksum_text(*.0))]
    Checksum(ChecksumKind),
    #[error("the value of a checksum trailer is invalid")]
    Trailer,
}

/// What a client promised about its content.
#[derive(Debug, Default)]
pub(crate) struct Promised {
    /// Content-MD5.
    pub md5: Option<[u8; 16]>,
    /// SHA-256 of the whole payload, from the signature.
    pub payload: Option<[u8; 32]>,
    /// Checksum headers.
    pub checksums: Vec<Checksum>,
    /// Checksums announced as trailers.
    pub trailers: Vec<ChecksumKind>,
}

impl Promised {
    /// Reads the promises out of the headers of a request whose body they describe; `payload` comes
    /// from the signature and `trailers_follow` says whether this kind of body can carry any.
    pub(crate) fn from_headers(
        headers: &HeaderMap,
        payload: Option<[u8; 32]>,
        trailers_follow: bool,
    ) -> S3Result<Self> {
        let mut promised = Self {
            payload,
            ..Self::default()
        };
        if let Some(value) = header(headers, "content-md5")? {
            let md5 = base64_decode(value).and_then(|v| v.try_into().ok());
            promised.md5 = Some(md5.ok_or_else(|| {
                S3Error::with_message(
                    S3ErrorCode::InvalidDigest,
                    "the Content-MD5 you specified is not the base64 of 16 bytes",
                )
            })?);
        }
        promised.checksums = checksum_headers(headers)?;
        promised.trailers = announced(headers, trailers_follow)?;
        promised.check_announced_algorithm(headers)?;
        Ok(promised)
    }

    /// Whether the client gave a digest of its own beside the signature.
    pub(crate) fn has_explicit(&self) -> bool {
        self.md5.is_some() || !self.checksums.is_empty() || !self.trailers.is_empty()
    }

    /// An SDK that names an algorithm must also send its value.
    fn check_announced_algorithm(&self, headers: &HeaderMap) -> S3Result {
        let Some(name) = header(headers, "x-amz-sdk-checksum-algorithm")? else {
            return Ok(());
        };
        let Some(kind) = parse_kind(name) else {
            return Err(invalid_request("the checksum algorithm is not supported"));
        };
        if self.checksums.iter().any(|c| c.kind == kind) || self.trailers.contains(&kind) {
            return Ok(());
        }
        // Content-MD5 is what older SDKs send in its place.
        if self.md5.is_some() {
            return Ok(());
        }
        Err(invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found",
        ))
    }
}

fn checksum_headers(headers: &HeaderMap) -> S3Result<Vec<Checksum>> {
    let mut checksums = Vec::new();
    for (kind, name) in KINDS {
        if let Some(value) = header(headers, name)? {
            let value = decode(kind, value).ok_or_else(|| {
                invalid_request(format!("the value of the {name} header is invalid"))
            })?;
            checksums.push(Checksum {
                kind,
                composite: false,
                value,
            });
        }
    }
    Ok(checksums)
}

/// The algorithm S3 calls by this name, in any case.
pub(crate) fn parse_kind(name: &str) -> Option<ChecksumKind> {
    KINDS
        .iter()
        .map(|(kind, _)| *kind)
        .find(|k| checksum_text(*k).eq_ignore_ascii_case(name))
}

/// Decodes a checksum value and checks its length.
pub(crate) fn decode(kind: ChecksumKind, value: &str) -> Option<Vec<u8>> {
    let bytes = base64_decode(value.trim())?;
    let expected = match kind {
        ChecksumKind::Crc32 | ChecksumKind::Crc32c => 4,
        ChecksumKind::Crc64Nvme => 8,
        ChecksumKind::Sha1 => 20,
        ChecksumKind::Sha256 => 32,
    };
    (bytes.len() == expected).then_some(bytes)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> S3Result<Option<&'h str>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let value = value
        .to_str()
        .map_err(|_| invalid_request(format!("the value of the {name} header is invalid")))?;
    Ok(Some(value.trim()))
}

fn announced(headers: &HeaderMap, trailers_follow: bool) -> S3Result<Vec<ChecksumKind>> {
    let Some(names) = header(headers, "x-amz-trailer")? else {
        return Ok(Vec::new());
    };
    if !trailers_follow {
        return Err(invalid_request(
            "x-amz-trailer was sent, but this body cannot have trailers",
        ));
    }
    let mut kinds = Vec::new();
    for name in names.split(',').map(str::trim) {
        let kind = KINDS
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name));
        let Some((kind, _)) = kind else {
            return Err(invalid_request(
                "the value in the x-amz-trailer header is not supported",
            ));
        };
        if kinds.contains(kind) {
            return Err(invalid_request("x-amz-trailer names a checksum twice"));
        }
        kinds.push(*kind);
    }
    Ok(kinds)
}

/// What was proved about a content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// MD5, if it was computed.
    pub md5: Option<[u8; 16]>,
    /// Checksums that the client gave and that were right.
    pub checksums: Vec<Checksum>,
}

/// Computed values by algorithm.
type Sums = Vec<(ChecksumKind, Vec<u8>)>;

/// The running digests of one body.
#[derive(Default)]
pub(crate) struct Digests {
    md5: Option<Md5>,
    crc32: Option<Crc32>,
    crc32c: Option<Crc32c>,
    crc64nvme: Option<Crc64Nvme>,
    sha1: Option<Context>,
    sha256: Option<Context>,
    /// Kept even where the client does not give it.
    kept: Option<ChecksumKind>,
}

impl Digests {
    /// Exactly the digests that the promises need.
    pub(crate) fn new(promised: &Promised) -> Self {
        let mut digests = Self::default();
        if promised.md5.is_some() {
            digests.md5 = Some(Md5::new());
        }
        if promised.payload.is_some() {
            digests.enable(ChecksumKind::Sha256);
        }
        let given = promised.checksums.iter().map(|c| c.kind);
        for kind in given.chain(promised.trailers.iter().copied()) {
            digests.enable(kind);
        }
        digests
    }

    /// Digests of a content about which nothing was promised.
    pub(crate) fn to_compute(md5: bool, kind: Option<ChecksumKind>) -> Self {
        let mut digests = Self {
            md5: md5.then(Md5::new),
            ..Self::default()
        };
        if let Some(kind) = kind {
            digests.enable(kind);
        }
        digests
    }

    /// What they came to.
    pub(crate) fn computed(self) -> Verified {
        let (md5, sums) = self.finish();
        let checksums = sums.into_iter().map(|(kind, value)| Checksum {
            kind,
            composite: false,
            value,
        });
        Verified {
            md5,
            checksums: checksums.collect(),
        }
    }

    /// Also computes and keeps this one.
    pub(crate) fn keep(&mut self, kind: ChecksumKind) {
        self.kept = Some(kind);
        self.enable(kind);
    }

    fn enable(&mut self, kind: ChecksumKind) {
        match kind {
            ChecksumKind::Crc32 => self.crc32 = Some(Crc32::new()),
            ChecksumKind::Crc32c => self.crc32c = Some(Crc32c::new()),
            ChecksumKind::Crc64Nvme => self.crc64nvme = Some(Crc64Nvme::new()),
            ChecksumKind::Sha1 => self.sha1 = Some(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            ChecksumKind::Sha256 => self.sha256 = Some(Context::new(&SHA256)),
        }
    }

    /// Takes in the next bytes of content.
    pub(crate) fn update(&mut self, data: &[u8]) {
        if let Some(hasher) = &mut self.md5 {
            hasher.update(data);
        }
        if let Some(hasher) = &mut self.crc32 {
            hasher.update(data);
        }
        if let Some(hasher) = &mut self.crc32c {
            hasher.update(data);
        }
        if let Some(hasher) = &mut self.crc64nvme {
            hasher.update(data);
        }
        if let Some(hasher) = &mut self.sha1 {
            hasher.update(data);
        }
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(data);
        }
    }

    /// Holds the result against the promises and the values of the trailers that came.
    pub(crate) fn verify(
        self,
        promised: &Promised,
        trailers: &[(ChecksumKind, String)],
    ) -> Result<Verified, DigestFault> {
        let kept = self.kept;
        let (md5, sums) = self.finish();
        if promised.md5 != md5 {
            return Err(DigestFault::Md5);
        }
        let computed = |kind| {
            sums.iter()
                .find(|(k, _)| *k == kind)
                .map(|(_, v)| v.as_slice())
        };
        if let Some(payload) = promised.payload
            && computed(ChecksumKind::Sha256) != Some(payload.as_slice())
        {
            return Err(DigestFault::Payload);
        }
        let mut checksums = promised.checksums.clone();
        for (kind, value) in trailers {
            let value = decode(*kind, value).ok_or(DigestFault::Trailer)?;
            checksums.push(Checksum {
                kind: *kind,
                composite: false,
                value,
            });
        }
        for checksum in &checksums {
            if computed(checksum.kind) != Some(checksum.value.as_slice()) {
                return Err(DigestFault::Checksum(checksum.kind));
            }
        }
        if let Some(kind) = kept
            && let Some(value) = computed(kind)
        {
            checksums.push(Checksum {
                kind,
                composite: false,
                value: value.to_vec(),
            });
        }
        checksums.sort_by_key(|c| c.kind);
        checksums.dedup();
        Ok(Verified { md5, checksums })
    }

    fn finish(self) -> (Option<[u8; 16]>, Sums) {
        let mut sums = Vec::new();
        if let Some(hasher) = self.crc32 {
            sums.push((ChecksumKind::Crc32, hasher.finalize().to_vec()));
        }
        if let Some(hasher) = self.crc32c {
            sums.push((ChecksumKind::Crc32c, hasher.finalize().to_vec()));
        }
        if let Some(hasher) = self.crc64nvme {
            sums.push((ChecksumKind::Crc64Nvme, hasher.finalize().to_vec()));
        }
        if let Some(hasher) = self.sha1 {
            sums.push((ChecksumKind::Sha1, hasher.finish().as_ref().to_vec()));
        }
        if let Some(hasher) = self.sha256 {
            sums.push((ChecksumKind::Sha256, hasher.finish().as_ref().to_vec()));
        }
        (self.md5.map(Hasher::finalize), sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Values of "123456789" from the algorithms' catalogues.
    const CHECK: &[u8] = b"123456789";
    const SUMS: [(ChecksumKind, &str); 5] = [
        (ChecksumKind::Crc32, "y/Q5Jg=="),
        (ChecksumKind::Crc32c, "4waSgw=="),
        (ChecksumKind::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (
            ChecksumKind::Sha256,
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ),
        (ChecksumKind::Crc64Nvme, "rosUhgp5mIg="),
    ];

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (n.parse().expect("name"), v.parse().expect("value")))
            .collect()
    }

    fn verify(
        promised: &Promised,
        content: &[u8],
        trailers: &[(ChecksumKind, String)],
    ) -> Result<Verified, DigestFault> {
        let mut digests = Digests::new(promised);
        for piece in content.chunks(4) {
            digests.update(piece);
        }
        digests.verify(promised, trailers)
    }

    #[test]
    fn each_algorithm_is_verified_from_header_and_trailer() {
        for ((kind, value), (_, name)) in SUMS.into_iter().zip(KINDS) {
            let promised = Promised::from_headers(&headers(&[(name, value)]), None, false);
            let promised = promised.expect("a good header");
            assert!(verify(&promised, CHECK, &[]).is_ok(), "{name}");
            let fault = verify(&promised, b"12345678", &[]);
            assert_eq!(fault, Err(DigestFault::Checksum(kind)), "{name}");

            let promised = Promised::from_headers(&headers(&[("x-amz-trailer", name)]), None, true);
            let promised = promised.expect("a good trailer announcement");
            let trailers = [(kind, value.to_owned())];
            let verified = verify(&promised, CHECK, &trailers).expect("right");
            assert_eq!(verified.checksums.len(), 1);
            let fault = verify(&promised, b"x", &trailers);
            assert_eq!(fault, Err(DigestFault::Checksum(kind)), "{name}");
            let fault = verify(&promised, CHECK, &[(kind, "AAAA".to_owned())]);
            assert_eq!(fault, Err(DigestFault::Trailer), "{name}");
        }
    }

    #[test]
    fn md5_and_payload_are_verified() {
        let md5 = headers(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")]);
        let promised = Promised::from_headers(&md5, None, false).expect("a good header");
        assert!(verify(&promised, CHECK, &[]).expect("right").md5.is_some());
        assert_eq!(verify(&promised, b"", &[]), Err(DigestFault::Md5));
        let payload = base64_decode(SUMS[3].1).and_then(|v| v.try_into().ok());
        let promised = Promised::from_headers(&HeaderMap::new(), payload, false).expect("good");
        assert!(!promised.has_explicit());
        assert!(
            verify(&promised, CHECK, &[])
                .expect("right")
                .checksums
                .is_empty()
        );
        assert_eq!(verify(&promised, b"", &[]), Err(DigestFault::Payload));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let cases: [(&[(&'static str, &str)], bool); 9] = [
            (&[("content-md5", "short")], false),
            (&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCwAA")], false),
            (&[("x-amz-checksum-crc32", "AAAAAAAA")], false),
            (&[("x-amz-checksum-sha256", "!")], false),
            (&[("x-amz-trailer", "x-amz-checksum-crc32")], false),
            (&[("x-amz-trailer", "x-amz-meta-a")], true),
            (
                &[("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-crc32")],
                true,
            ),
            (&[("x-amz-sdk-checksum-algorithm", "CRC32")], true),
            (&[("x-amz-sdk-checksum-algorithm", "MD4")], true),
        ];
        for (pairs, trailers) in cases {
            let result = Promised::from_headers(&headers(pairs), None, trailers);
            assert!(result.is_err(), "{pairs:?}");
        }
    }
}
