use super::*;
use crate::chain::ChunkChain;
use crate::claim::{Canonical, Claim, SigningKey};
use crate::refusal::Refusal;
use proptest::prelude::*;

// The worked example of the public S3 documentation for signed chunks with a trailer.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
const CHUNK_SIGNATURES: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];
const TRAILER_SIGNATURE: &str = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";

fn chain() -> ChunkChain {
    let claim = Claim {
        key_id: "KEY".to_owned(),
        day: "20130524".to_owned(),
        region: "us-east-1".to_owned(),
        date: "20130524T000000Z".to_owned(),
        request: Canonical::new(Vec::new(), None),
        signature: hex32(SEED).expect("64 digits"),
    };
    ChunkChain::new(
        &SigningKey::derive(SECRET, &claim.day, &claim.region),
        &claim,
    )
}

fn example(crlf: &str) -> Vec<u8> {
    let [first, second, last] = CHUNK_SIGNATURES;
    let mut body = format!("10000;chunk-signature={first}\r\n").into_bytes();
    body.extend(std::iter::repeat_n(b'a', 0x10000));
    body.extend(format!("\r\n400;chunk-signature={second}\r\n").bytes());
    body.extend(std::iter::repeat_n(b'a', 0x400));
    body.extend(format!("\r\n0;chunk-signature={last}\r\n").bytes());
    body.extend(format!("x-amz-checksum-crc32c:sOO8/Q=={crlf}").bytes());
    body.extend(format!("x-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n\r\n").bytes());
    body
}

type Decoded = Result<(Vec<u8>, Vec<(ChecksumKind, String)>), ChunkFault>;

/// Feeds a signed body in pieces of `step` bytes and has each signature verified; none when one is wrong.
fn decode_signed(
    bytes: u64,
    trailers: Option<&[ChecksumKind]>,
    body: &[u8],
    step: usize,
) -> Option<Decoded> {
    let mut decoder = Decoder::new(bytes, true, trailers.map(<[ChecksumKind]>::to_vec));
    let decoded = decode(&mut decoder, body, step);
    match chain().verify(&decoder.take_proofs()) {
        Ok(()) => Some(decoded),
        Err(refusal) => {
            assert_eq!(refusal, Refusal::Signature);
            None
        }
    }
}

/// Feeds the body in pieces of `step` bytes.
fn decode(decoder: &mut Decoder, body: &[u8], step: usize) -> Decoded {
    let mut content = Vec::new();
    for piece in body.chunks(step.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Step::Data(data) = decoder.step(&mut input)? {
            content.extend_from_slice(&data);
        }
    }
    Ok((content, decoder.finish()?))
}

fn unsigned(bytes: u64, trailers: &[ChecksumKind]) -> Decoder {
    Decoder::new(bytes, false, Some(trailers.to_vec()))
}

const CRC32: &[ChecksumKind] = &[ChecksumKind::Crc32];
const CRC32C: Option<&[ChecksumKind]> = Some(&[ChecksumKind::Crc32c]);

#[test]
fn the_documented_example_decodes_in_pieces_of_any_size() {
    for crlf in ["\r\n", "\n\r\n"] {
        for step in [1, 2, 3, 1000, 65_536, 1 << 20] {
            let decoded = decode_signed(66_560, CRC32C, &example(crlf), step);
            let (content, trailers) = decoded.expect("signed").expect("right");
            assert_eq!(content.len(), 66_560);
            assert_eq!(trailers, [(ChecksumKind::Crc32c, "sOO8/Q==".to_owned())]);
        }
    }
}

#[test]
fn every_flipped_byte_of_a_signed_body_is_noticed() {
    let body = example("\r\n");
    // The content is uniform, so a few places in it stand for all.
    let places = (0..100)
        .chain([5000, 65_000, 65_620])
        .chain(body.len() - 1400..body.len() - 4);
    for place in places {
        let mut bad = body.clone();
        bad[place] ^= 1;
        // Hexadecimal digits and header names may be written in either case.
        let same = bad.eq_ignore_ascii_case(&body);
        let decoded = decode_signed(66_560, CRC32C, &bad, 4096);
        let believed = decoded.is_some_and(|decoded| decoded.is_ok());
        assert!(same || !believed, "byte {place}");
    }
}

#[test]
fn every_truncation_of_a_signed_body_is_noticed() {
    let body = example("\r\n");
    // The line ends at the very end may be missing; nothing else may.
    for length in (0..200)
        .chain([70, 60_000, 65_700])
        .chain(body.len() - 200..body.len() - 4)
    {
        let decoded = decode_signed(66_560, CRC32C, &body[..length], 4096);
        let believed = decoded.is_some_and(|decoded| decoded.is_ok());
        assert!(!believed, "{length} bytes");
    }
}

#[test]
fn signed_chunks_without_trailers_decode() {
    let mut chain = chain();
    let mut body = Vec::new();
    for data in [&b"hello "[..], b"world", b""] {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, data).as_ref());
        let signature = chain.extend(Signed::Chunk, &sha256);
        body.extend(format!("{:x};chunk-signature={signature}\r\n", data.len()).bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    let decoded = decode_signed(11, None, &body, 7);
    assert_eq!(decoded, Some(Ok((b"hello world".to_vec(), Vec::new()))));
    let unfinished = &body[..body.len() - 90];
    let decoded = decode_signed(11, None, unfinished, 7);
    assert_eq!(decoded, Some(Err(ChunkFault::Truncated)));
}

#[test]
fn unsigned_bodies_good_and_hostile() {
    let check = |bytes: u64, body: &str, expected: Result<&str, ChunkFault>| {
        for step in [1, 5, 1000] {
            let decoded = decode(&mut unsigned(bytes, CRC32), body.as_bytes(), step);
            let content = decoded.map(|(content, _)| content);
            assert_eq!(
                content,
                expected.map(|text| text.as_bytes().to_vec()),
                "{body:?}"
            );
        }
    };
    const T: &str = "x-amz-checksum-crc32:AAAAAA==";
    check(5, &format!("5\r\nhello\r\n0\r\n{T}\r\n\r\n"), Ok("hello"));
    check(
        5,
        &format!("2\r\nhe\r\n3\r\nllo\r\n0\r\n{T}\r\n\r\n"),
        Ok("hello"),
    );
    check(5, &format!("0005\r\nhello\r\n0\r\n\r\n{T}"), Ok("hello"));
    check(0, &format!("0\r\n{T}\r\n\r\n"), Ok(""));
    check(
        5,
        "5\r\nhello\r\n0\r\nX-Amz-Checksum-CRC32: AAAAAA==\n\r\n",
        Ok("hello"),
    );

    check(5, "", Err(ChunkFault::Truncated));
    check(5, "5", Err(ChunkFault::Truncated));
    check(5, "5\r\nhel", Err(ChunkFault::Truncated));
    check(5, "5\r\nhello", Err(ChunkFault::Truncated));
    check(5, "5\r\nhello\r\n", Err(ChunkFault::Truncated));
    check(5, "5\r\nhello\r\n0", Err(ChunkFault::Truncated));
    check(5, "5\r\nhello\r\n0\r\n", Err(ChunkFault::TrailerMissing));
    check(
        5,
        "5\r\nhello\r\n0\r\n\r\n",
        Err(ChunkFault::TrailerMissing),
    );
    check(
        6,
        &format!("5\r\nhello\r\n0\r\n{T}\r\n\r\n"),
        Err(ChunkFault::Length),
    );
    check(
        4,
        &format!("5\r\nhello\r\n0\r\n{T}\r\n\r\n"),
        Err(ChunkFault::Length),
    );
    check(9, "ffffffffffffffff\r\n", Err(ChunkFault::Length));
    check(9, "10000000000000000\r\n", Err(ChunkFault::Framing));
    check(5, "\r\n", Err(ChunkFault::Framing));
    check(5, "+5\r\nhello\r\n", Err(ChunkFault::Framing));
    check(5, " 5\r\nhello\r\n", Err(ChunkFault::Framing));
    check(5, "5\nhello\r\n", Err(ChunkFault::Framing));
    check(5, "5;a=b\r\nhello\r\n", Err(ChunkFault::Framing));
    check(5, "5\r\nhelloXX0\r\n", Err(ChunkFault::Framing));
    let doubled = format!("0\r\n{T}\r\n{T}\r\n\r\n");
    check(0, &doubled, Err(ChunkFault::TrailerMalformed));
    check(
        0,
        "0\r\nnonsense\r\n\r\n",
        Err(ChunkFault::TrailerMalformed),
    );
    let foreign = format!("0\r\n{T}\r\nx-amz-checksum-sha1:AA==\r\n\r\n");
    check(0, &foreign, Err(ChunkFault::TrailerUnannounced));
    let unknown = format!("0\r\n{T}\r\nx-amz-meta-a:b\r\n\r\n");
    check(0, &unknown, Err(ChunkFault::TrailerUnannounced));
    let signature = format!("0\r\n{T}\r\nx-amz-trailer-signature:{SEED}\r\n\r\n");
    check(0, &signature, Err(ChunkFault::TrailerUnannounced));
}

#[test]
fn memory_stays_bounded_by_the_limits() {
    let line = "0".repeat(CHUNK_LINE_BYTES_MAX + 1);
    assert_eq!(
        decode(&mut unsigned(5, CRC32), line.as_bytes(), 100),
        Err(ChunkFault::Framing)
    );
    let tail = format!("0\r\n{}", "a".repeat(TRAILER_BYTES_MAX + 1));
    assert_eq!(
        decode(&mut unsigned(0, CRC32), tail.as_bytes(), 100),
        Err(ChunkFault::Framing)
    );
    let huge = SIGNED_CHUNK_BYTES_MAX + 1;
    let header = format!("{huge:x};chunk-signature={SEED}\r\n");
    let mut decoder = Decoder::new(huge, true, None);
    let fault = ChunkFault::ChunkTooLarge {
        bytes_max: SIGNED_CHUNK_BYTES_MAX,
    };
    assert_eq!(decode(&mut decoder, header.as_bytes(), 100), Err(fault));
    // An unsigned chunk of any size is handed out piece by piece.
    let mut decoder = unsigned(1 << 40, CRC32);
    let mut input = Bytes::from_static(b"10000000000\r\nfirst");
    assert_eq!(
        decoder.step(&mut input),
        Ok(Step::Data(Bytes::from_static(b"first")))
    );
    assert!(decoder.held.is_empty());
}

proptest! {
    #[test]
    fn no_input_makes_the_decoder_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        step in 1usize..50,
        bytes in 0u64..100,
    ) {
        let _any = decode(&mut unsigned(bytes, CRC32), &body, step);
        let _any = decode(&mut Decoder::new(bytes, true, None), &body, step);
    }

    #[test]
    fn any_split_into_chunks_and_pieces_gives_the_content(
        chunks in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 1..200), 0..8),
        step in 1usize..300,
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend(format!("{:X}\r\n", chunk.len()).bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        let content = chunks.concat();
        let bytes = u64::try_from(content.len()).expect("small");
        let (decoded, _) = decode(&mut unsigned(bytes, CRC32), &body, step).expect("well formed");
        prop_assert_eq!(decoded, content);
    }
}
