//! Checksums of multipart uploads: what was announced, given, computed and told.

use s3s::crypto::{Checksum, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};

use crate::client::Call;
use crate::world::World;

const PARTS: [&[u8]; 3] = [b"first ", b"", b"third"];

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn sum(algorithm: &str, bytes: &[u8]) -> Vec<u8> {
    match algorithm {
        "CRC32" => Crc32::checksum(bytes).to_vec(),
        "CRC32C" => Crc32c::checksum(bytes).to_vec(),
        "CRC64NVME" => Crc64Nvme::checksum(bytes).to_vec(),
        "SHA1" => Sha1::checksum(bytes).to_vec(),
        "SHA256" => Sha256::checksum(bytes).to_vec(),
        other => panic!("{other}"),
    }
}

/// The checksum of the whole as S3 writes it.
fn whole(algorithm: &str, composite: bool) -> String {
    if composite {
        let sums: Vec<u8> = PARTS.iter().flat_map(|part| sum(algorithm, part)).collect();
        format!("{}-{}", base64(&sum(algorithm, &sums)), PARTS.len())
    } else {
        base64(&sum(algorithm, &PARTS.concat()))
    }
}

/// An upload with all its parts; parts have checksums of their own where this says so.
async fn uploaded(
    world: &World,
    headers: &[(&str, &str)],
    given: Option<&str>,
) -> (String, String) {
    let mut create = Call::object("POST", "locked", "big").query("uploads", "");
    for (name, value) in headers {
        create = create.header(name, value);
    }
    let upload = world.call(create).await.expect(200).one("UploadId");
    let mut named = String::new();
    for (number, content) in (1..).zip(PARTS) {
        let mut put = Call::object("PUT", "locked", "big")
            .query("uploadId", &upload)
            .query("partNumber", &format!("{number}"))
            .body(content);
        if let Some(algorithm) = given {
            let header = format!("x-amz-checksum-{}", algorithm.to_lowercase());
            put = put.header(&header, &base64(&sum(algorithm, content)));
        }
        let reply = world.call(put).await.expect(200);
        let etag = reply.header("etag").expect("an ETag");
        named += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    (upload, document)
}

fn complete((upload, document): &(String, String)) -> Call {
    Call::object("POST", "locked", "big")
        .query("uploadId", upload)
        .body(document.as_str())
}

#[tokio::test]
async fn what_an_upload_announces_is_computed_and_told() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (algorithm, kind, composite) in [
        ("CRC32", None, true),
        ("CRC32", Some("FULL_OBJECT"), false),
        ("CRC32C", Some("COMPOSITE"), true),
        ("CRC32C", Some("FULL_OBJECT"), false),
        ("CRC64NVME", None, false),
        ("SHA256", None, true),
    ] {
        for given in [None, Some(algorithm)] {
            let mut headers = vec![("x-amz-checksum-algorithm", algorithm)];
            headers.extend(kind.map(|kind| ("x-amz-checksum-type", kind)));
            let upload = uploaded(&world, &headers, given).await;
            let told = if composite {
                "COMPOSITE"
            } else {
                "FULL_OBJECT"
            };
            let expected = whole(algorithm, composite);
            let reply = world.call(complete(&upload)).await.expect(200);
            let element = format!("Checksum{algorithm}");
            assert_eq!(reply.one(&element), expected, "{algorithm} {kind:?}");
            assert_eq!(reply.one("ChecksumType"), told);
            let header = format!("x-amz-checksum-{}", algorithm.to_lowercase());
            for method in ["GET", "HEAD"] {
                let call = Call::object(method, "locked", "big");
                let call = call.header("x-amz-checksum-mode", "ENABLED");
                let reply = world.call(call).await.expect(200);
                assert_eq!(reply.header(&header), Some(expected.as_str()), "{method}");
                assert_eq!(reply.header("x-amz-checksum-type"), Some(told), "{method}");
            }
            let attributes = Call::object("GET", "locked", "big")
                .query("attributes", "")
                .header("x-amz-object-attributes", "Checksum,ObjectParts");
            let reply = world.call(attributes).await.expect(200);
            assert_eq!(reply.one(&element), expected);
            assert_eq!(reply.one("ChecksumType"), told);
            assert_eq!(reply.one("PartsCount"), "3");
        }
    }
}

#[tokio::test]
async fn a_part_with_another_algorithm_than_announced_is_refused() {
    let world = World::start().await;
    world.bucket("locked").await;
    let headers = [("x-amz-checksum-algorithm", "SHA256")];
    let (upload, _) = uploaded(&world, &headers, None).await;
    let part = Call::object("PUT", "locked", "big")
        .query("uploadId", &upload)
        .query("partNumber", "4")
        .header("x-amz-checksum-crc32", &base64(&sum("CRC32", b"x")))
        .body("x");
    let reply = world.call(part).await;
    reply.refused(400, "InvalidRequest");
    assert!(reply.one("Message").contains("SHA256"), "{}", reply.text());
}

#[tokio::test]
async fn a_digest_is_not_taken_where_no_content_comes() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "source", b"content").await;
    let begin = || Call::object("POST", "locked", "big").query("uploads", "");
    let upload = world.call(begin()).await.expect(200).one("UploadId");
    let copy = || {
        let call = Call::object("PUT", "locked", "copy");
        call.header("x-amz-copy-source", "/locked/source")
    };
    let part = || copy().query("uploadId", &upload).query("partNumber", "1");
    let digests = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"].map(|name| {
        let value = base64(&sum(name, b"content"));
        (format!("x-amz-checksum-{}", name.to_lowercase()), value)
    });
    // Whether or not it is right, and that of no content is none.
    let md5 = [b"content".as_slice(), b""].map(crate::md5_base64);
    let md5 = md5.map(|value| ("content-md5".to_owned(), value));
    for (name, value) in digests.iter().chain(&md5) {
        for call in [begin(), copy(), part()] {
            let what = format!("{} {:?} {name}", call.method, call.query);
            let reply = world.call(call.header(name, value)).await;
            assert_eq!(reply.status, 400, "{what} {}", reply.text());
            let why = reply.one("Message");
            assert!(why.contains("no content comes"), "{what}: {why}");
            assert!(why.ends_with(name), "{what}: {why}");
        }
    }
    assert!(world.engine.object("locked", "copy").is_none());
    let uploads = Call::bucket("GET", "locked").query("uploads", "");
    assert_eq!(
        world.call(uploads).await.expect(200).all("UploadId").len(),
        1
    );
    // Which algorithm is wanted may be said, and it is computed and shown.
    let algorithm = "x-amz-checksum-algorithm";
    let copied = world.call(copy().header(algorithm, "SHA256")).await;
    let expected = base64(&sum("SHA256", b"content"));
    assert_eq!(copied.expect(200).one("ChecksumSHA256"), expected);
}

#[tokio::test]
async fn what_the_completing_client_says_must_be_so() {
    let world = World::start().await;
    world.bucket("locked").await;
    let announced = [("x-amz-checksum-algorithm", "CRC32")];
    let full = [
        ("x-amz-checksum-algorithm", "CRC32"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ];
    let right = whole("CRC32", true);
    let right_full = whole("CRC32", false);
    let wrong_count = right.replace("-3", "-2");
    let wrong = format!("{}-3", base64(&[1, 2, 3, 4]));
    let wrong_full = base64(&[1, 2, 3, 4]);
    type Headers<'h> = &'h [(&'h str, &'h str)];
    let cases: [(Headers<'_>, Headers<'_>, u16, &str); 11] = [
        (&announced, &[("x-amz-checksum-crc32", &right)], 200, ""),
        (
            &announced,
            &[("x-amz-checksum-crc32", &wrong)],
            400,
            "BadDigest",
        ),
        (
            &announced,
            &[("x-amz-checksum-crc32", &wrong_count)],
            400,
            "BadDigest",
        ),
        (
            &announced,
            &[("x-amz-checksum-crc32c", &right)],
            400,
            "InvalidRequest",
        ),
        (
            &announced,
            &[("x-amz-checksum-crc32", "short")],
            400,
            "InvalidRequest",
        ),
        (
            &announced,
            &[("x-amz-checksum-type", "FULL_OBJECT")],
            400,
            "InvalidRequest",
        ),
        (
            &announced,
            &[("x-amz-checksum-type", "OTHER")],
            400,
            "InvalidRequest",
        ),
        (&full, &[("x-amz-checksum-crc32", &right_full)], 200, ""),
        (
            &full,
            &[("x-amz-checksum-crc32", &wrong_full)],
            400,
            "BadDigest",
        ),
        // Nothing was announced, and no part has a checksum: there is nothing to verify it by.
        (
            &[],
            &[("x-amz-checksum-crc32", &right)],
            400,
            "InvalidRequest",
        ),
        (&[], &[], 200, ""),
    ];
    for (begun, said, status, code) in cases {
        let upload = uploaded(&world, begun, None).await;
        let mut call = complete(&upload);
        for (name, value) in said {
            call = call.header(name, value);
        }
        let reply = world.call(call).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{begun:?} {said:?} {}",
            reply.text()
        );
    }
    // Nothing was announced, but every part has one: it can be verified, and is kept.
    let upload = uploaded(&world, &[], Some("CRC32")).await;
    let call = complete(&upload).header("x-amz-checksum-crc32", &right);
    assert_eq!(
        world.call(call).await.expect(200).one("ChecksumCRC32"),
        right
    );
}
