//! Nothing exists that is not exactly what the client said it would send.

use aws_lc_rs::digest::{SHA256, digest};
use s3s::crypto::{Checksum, Crc32c, Crc64Nvme, Sha1};
use stele_gateway::limits::{SLAB_PLAIN_BYTES_MAX, UPLOAD_STAGE_BYTES, UPLOAD_WHOLE_BYTES};

use crate::client::{Call, Reply};
use crate::sign::{Scope, sha256_hex};
use crate::world::{HOST, SLABS, World};
use crate::{crc32_base64, md5_base64, streamed};

const CONTENT: &[u8] = b"content that matters";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

/// One that reaches the engine in one question, and one that is opened before it is read.
fn contents() -> [Vec<u8>; 2] {
    [CONTENT.to_vec(), streamed()]
}

fn put() -> Call {
    Call::object("PUT", "locked", "key")
}

/// A PUT whose body is chunked without signatures, with a CRC-32 trailer.
fn unsigned_chunks(decoded: usize, body: Vec<u8>) -> Call {
    put()
        .payload(UNSIGNED_TRAILER)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &decoded.to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body(body)
}

fn chunks(content: &[u8], size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in content.chunks(size) {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body
}

fn trailer(content: &[u8]) -> String {
    format!(
        "0\r\nx-amz-checksum-crc32:{}\r\n\r\n",
        crc32_base64(content)
    )
}

/// A PUT whose chunks are signed, with or without a signed trailer.
fn signed_chunks(world: &World, content: &[u8], size: usize, trailed: bool) -> Call {
    let mut call = put()
        .payload(if trailed { SIGNED_TRAILER } else { SIGNED })
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &content.len().to_string());
    if trailed {
        call = call.header("x-amz-trailer", "x-amz-checksum-crc32");
    }
    let (_, _, mut previous) = call.sign(&world.key, HOST);
    let scope = call.scope.clone();
    let sign = |kind: &str, previous: &str, digests: &str| {
        let head = format!("AWS4-HMAC-SHA256-{kind}\n{}\n{}", scope.date, scope.text());
        Scope::sign(
            &scope,
            &world.key.secret,
            &format!("{head}\n{previous}\n{digests}"),
        )
    };
    let mut body = Vec::new();
    for chunk in content.chunks(size).chain([&[][..]]) {
        let digests = format!("{}\n{}", sha256_hex(b""), sha256_hex(chunk));
        previous = sign("PAYLOAD", &previous, &digests);
        body.extend(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).bytes());
        body.extend_from_slice(chunk);
        if !chunk.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
    }
    if trailed {
        let line = format!("x-amz-checksum-crc32:{}\n", crc32_base64(content));
        let signature = sign("TRAILER", &previous, &sha256_hex(line.as_bytes()));
        body.extend(format!("{}\r\n", line.trim_end()).bytes());
        body.extend(format!("x-amz-trailer-signature:{signature}\r\n").bytes());
    }
    body.extend_from_slice(b"\r\n");
    call.body(body)
}

async fn stored(world: &World, call: Call, content: &[u8]) -> Reply {
    world.engine.with(|state| state.objects.clear());
    let reply = world.call(call).await.expect(200);
    let version = world.engine.object("locked", "key").expect("stored");
    assert!(version.content == content, "other content was stored");
    assert!(reply.header("x-amz-version-id").is_some());
    reply
}

#[tokio::test]
async fn every_checksum_form_is_accepted_when_right() {
    for content in contents() {
        accepts_every_checksum_form(&content).await;
    }
}

async fn accepts_every_checksum_form(content: &[u8]) {
    let world = &World::start().await;
    world.bucket("locked").await;
    stored(world, put().body(content), content).await;

    let md5 = put()
        .payload(UNSIGNED)
        .header("content-md5", &md5_base64(content))
        .body(content);
    let reply = stored(world, md5, content).await;
    let etag = reply.header("etag").expect("an ETag");
    assert_eq!(etag.len(), 34, "the MD5 in quotes: {etag}");

    let base64 = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
    for (name, value) in [
        ("x-amz-checksum-crc32", crc32_base64(content)),
        ("x-amz-checksum-crc32c", base64(&Crc32c::checksum(content))),
        (
            "x-amz-checksum-crc64nvme",
            base64(&Crc64Nvme::checksum(content)),
        ),
        ("x-amz-checksum-sha1", base64(&Sha1::checksum(content))),
        (
            "x-amz-checksum-sha256",
            base64(digest(&SHA256, content).as_ref()),
        ),
    ] {
        let call = put().payload(UNSIGNED).header(name, &value).body(content);
        let reply = stored(world, call, content).await;
        assert_eq!(reply.header(name), Some(value.as_str()));
        let mut body = chunks(content, 7);
        body.extend(format!("0\r\n{name}:{value}\r\n\r\n").bytes());
        let mut call = unsigned_chunks(content.len(), body);
        call.headers.retain(|(n, _)| n != "x-amz-trailer");
        let reply = stored(world, call.header("x-amz-trailer", name), content).await;
        assert_eq!(reply.header(name), Some(value.as_str()));
    }
}

#[tokio::test]
async fn chunked_bodies_are_decoded_whatever_their_shape() {
    for content in contents() {
        decodes_chunks(&content).await;
    }
}

async fn decodes_chunks(content: &[u8]) {
    let world = &World::start().await;
    world.bucket("locked").await;
    for size in [1, 7, 1000] {
        let mut body = chunks(content, size);
        body.extend(trailer(content).bytes());
        let call = unsigned_chunks(content.len(), body);
        stored(world, call.clone(), content).await;
        // Without a Content-Length, in HTTP chunks, as newer SDKs send it.
        stored(
            world,
            Call {
                length: false,
                ..call
            },
            content,
        )
        .await;
        stored(world, signed_chunks(world, content, size, false), content).await;
        stored(world, signed_chunks(world, content, size, true), content).await;
    }
    let kept = world
        .engine
        .object("locked", "key")
        .expect("stored")
        .info
        .metadata;
    assert!(
        kept.headers.is_empty(),
        "aws-chunked is no content encoding"
    );
}

#[tokio::test]
async fn content_of_one_slab_reaches_the_engine_in_one_question() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (bytes, opened) in [
        (0, 0),
        (1, 0),
        (UPLOAD_WHOLE_BYTES, 0),
        (UPLOAD_WHOLE_BYTES + 1, 0),
        (UPLOAD_STAGE_BYTES, 0),
        (UPLOAD_STAGE_BYTES + 1, 0),
        (SLAB_PLAIN_BYTES_MAX, 0),
        (SLAB_PLAIN_BYTES_MAX + 1, 1),
    ] {
        let content = vec![7; bytes];
        world.engine.with(|state| state.opened = 0);
        world.call(put().body(content.clone())).await.expect(200);
        let version = world.engine.object("locked", "key").expect("stored");
        assert!(version.content == content, "{bytes} bytes");
        let seen = world.engine.with(|state| state.opened);
        assert_eq!(seen, opened, "{bytes} bytes");
    }
    assert_eq!(world.slabs.in_use(), 0);
}

#[tokio::test]
async fn short_content_beyond_the_bound_travels_in_a_slab() {
    for (wholes_max, slabs) in [(1, 0), (0, 1)] {
        let world = World::start_with(|config| config.wholes_max = wholes_max).await;
        world.bucket("locked").await;
        // One after the other: each gives its turn back, also one that is refused.
        let wrong = put().body(b"short".to_vec());
        let wrong = wrong.header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
        world.call(wrong).await.expect(400);
        for content in [b"short".as_slice(), b"other"] {
            world.call(put().body(content.to_vec())).await.expect(200);
            let version = world.engine.object("locked", "key").expect("stored");
            assert_eq!(version.content, content, "at most {wholes_max}");
        }
        assert_eq!(world.slabs.high_water(), slabs, "at most {wholes_max}");
        assert_eq!(world.slabs.in_use(), 0);
    }
}

#[tokio::test]
async fn a_large_body_travels_in_full_slabs() {
    let world = World::start().await;
    world.bucket("locked").await;
    let content: Vec<u8> = (0..5_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut body = chunks(&content, 1 << 20);
    body.extend(trailer(&content).bytes());
    world
        .call(unsigned_chunks(content.len(), body))
        .await
        .expect(200);
    assert_eq!(
        world
            .engine
            .object("locked", "key")
            .expect("stored")
            .content,
        content
    );
    let slabs = world.engine.with(|state| state.slab_bytes.clone());
    assert_eq!(slabs, [1_044_480, 1_044_480, 1_044_480, 1_044_480, 822_080]);
    assert!(world.slabs.high_water() <= 2);
    assert_eq!(world.slabs.in_use(), 0);
}

/// Sends a call that must be refused and looks that it left nothing behind.
async fn refused(world: &World, what: &str, call: Call, status: u16, code: &str) {
    let commits = world.engine.with(|state| state.commits);
    let reply = world.call(call).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (status, code),
        "{what}: {}",
        reply.text()
    );
    assert!(
        world.engine.object("locked", "key").is_none(),
        "{what} left an object"
    );
    assert_eq!(
        world.engine.with(|state| state.commits),
        commits,
        "{what} was committed"
    );
}

#[tokio::test]
async fn broken_promises_leave_nothing_behind() {
    for content in contents() {
        refuses_broken_promises(&content).await;
    }
}

async fn refuses_broken_promises(content: &[u8]) {
    let world = &World::start().await;
    world.bucket("locked").await;
    let wrong = b"other content";
    let md5 = |text: &str| put().header("content-md5", text).body(content);
    refused(
        world,
        "wrong MD5",
        md5(&md5_base64(wrong)),
        400,
        "BadDigest",
    )
    .await;
    refused(world, "short MD5", md5("AAAA"), 400, "InvalidDigest").await;
    let call = put().payload(&sha256_hex(wrong)).body(content);
    refused(
        world,
        "wrong payload hash",
        call,
        400,
        "XAmzContentSHA256Mismatch",
    )
    .await;
    for (name, value) in [
        ("x-amz-checksum-crc32", crc32_base64(wrong)),
        ("x-amz-checksum-crc32c", "AAAAAA==".to_owned()),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=".to_owned()),
        (
            "x-amz-checksum-sha1",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(),
        ),
    ] {
        let call = put().header(name, &value).body(content);
        refused(world, name, call, 400, "BadDigest").await;
    }
    let call = put().header("x-amz-checksum-crc32", "AAAA").body(content);
    refused(world, "malformed checksum", call, 400, "InvalidRequest").await;
    let call = put()
        .header("x-amz-sdk-checksum-algorithm", "CRC32")
        .body(content);
    refused(
        world,
        "algorithm without value",
        call,
        400,
        "InvalidRequest",
    )
    .await;
    let call = put().payload(UNSIGNED).body(content);
    refused(world, "no digest at all", call, 400, "InvalidRequest").await;
    world
        .until("uploads were aborted", |world| world.slabs.in_use() == 0)
        .await;
}

#[tokio::test]
async fn broken_chunked_bodies_leave_nothing_behind() {
    for content in contents() {
        refuses_broken_chunks(&content).await;
    }
}

async fn refuses_broken_chunks(content: &[u8]) {
    let world = &World::start().await;
    world.bucket("locked").await;
    let data = chunks(content, 7);
    let body = |tail: &str| [data.clone(), tail.as_bytes().to_vec()].concat();
    let good = trailer(content);
    let length = content.len();
    let incomplete = "IncompleteBody";
    for (what, decoded, body, code) in [
        ("no final chunk", length, body(""), incomplete),
        ("too little data", length + 30, body(&good), incomplete),
        ("too much data", length - 1, body(&good), incomplete),
        ("no trailer", length, body("0\r\n\r\n"), incomplete),
        (
            "wrong trailer",
            length,
            body(&trailer(b"other")),
            "BadDigest",
        ),
        (
            "foreign trailer",
            length,
            body("0\r\nx-amz-meta-a:b\r\n\r\n"),
            "MalformedTrailerError",
        ),
        ("half a chunk", length, data[..5].to_vec(), incomplete),
        ("bad chunk size", length, b"zz\r\n".to_vec(), incomplete),
        (
            "a huge chunk size",
            length,
            b"ffffffffffffffff\r\nabc".to_vec(),
            incomplete,
        ),
        ("nothing", length, Vec::new(), incomplete),
    ] {
        refused(world, what, unsigned_chunks(decoded, body), 400, code).await;
    }
    let mut call = unsigned_chunks(length, body(&good));
    call.headers
        .retain(|(name, _)| name != "x-amz-decoded-content-length");
    refused(
        world,
        "no decoded length",
        call,
        411,
        "MissingContentLength",
    )
    .await;
    let mut call = unsigned_chunks(length, body(&good));
    call.headers.retain(|(name, _)| name != "x-amz-trailer");
    refused(world, "no announcement", call, 400, "InvalidRequest").await;
    let call = put()
        .payload(UNSIGNED)
        .header("content-md5", &md5_base64(content))
        .body(content);
    let call = Call {
        length: false,
        ..call
    };
    refused(world, "no length at all", call, 411, "MissingContentLength").await;
}

#[tokio::test]
async fn forged_chunks_leave_nothing_behind() {
    for content in contents() {
        refuses_forged_chunks(&content).await;
    }
}

async fn refuses_forged_chunks(content: &[u8]) {
    let world = &World::start().await;
    world.bucket("locked").await;
    for trailed in [false, true] {
        let good = signed_chunks(world, content, 7, trailed);
        let text = String::from_utf8(good.body.clone()).expect("text");
        let forged = Call {
            body: text.replacen("content", "C0ntent", 1).into(),
            ..good.clone()
        };
        refused(world, "changed data", forged, 403, "SignatureDoesNotMatch").await;
        let short = good.body.len() - 100;
        let cut = Call {
            body: good.body[..short].to_vec(),
            ..good.clone()
        };
        refused(world, "cut off", cut, 400, "IncompleteBody").await;
        let unsigned = Call {
            body: chunks(content, 7),
            ..good
        };
        refused(world, "no signatures", unsigned, 400, "IncompleteBody").await;
    }
    let good = signed_chunks(world, content, 7, true);
    let text = String::from_utf8(good.body.clone()).expect("text");
    let (before, after) = text.split_once("x-amz-checksum-crc32:").expect("a trailer");
    let changed = format!("{before}x-amz-checksum-crc32:AAAAAA=={}", &after[8..]);
    let forged = Call {
        body: changed.into(),
        ..good
    };
    refused(
        world,
        "changed trailer",
        forged,
        403,
        "SignatureDoesNotMatch",
    )
    .await;
}

#[tokio::test]
async fn a_connection_dropped_at_any_byte_leaves_nothing_behind() {
    let world = World::start().await;
    world.bucket("locked").await;
    let mut body = chunks(CONTENT, 7);
    body.extend(trailer(CONTENT).bytes());
    let calls = [
        put()
            .header("content-md5", &md5_base64(CONTENT))
            .body(CONTENT),
        unsigned_chunks(CONTENT.len(), body),
        signed_chunks(&world, CONTENT, 7, true),
    ];
    for call in calls {
        let wire = call.wire(&world.key, HOST);
        let body_at = wire.len() - call.body.len();
        let step = (call.body.len() / 12).max(1);
        for cut in [1, body_at / 2]
            .into_iter()
            .chain((body_at..wire.len()).step_by(step))
        {
            let mut connection = world.connect().await;
            connection.send(&wire[..cut]).await;
            drop(connection);
        }
        let last = wire.len() - 1;
        let mut connection = world.connect().await;
        connection.send(&wire[..last]).await;
        drop(connection);
    }
    world
        .until("all uploads were aborted", |world| {
            world.engine.with(|s| s.idle())
        })
        .await;
    assert!(world.engine.object("locked", "key").is_none());
    assert_eq!(world.engine.with(|state| state.commits), 0);
    world
        .until("all slabs came back", |world| world.slabs.in_use() == 0)
        .await;
}

#[tokio::test]
async fn one_huge_chunk_needs_no_more_memory_than_any_other() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.engine.with(|state| state.forget_content = true);
    let announced = 512 << 20;
    let head = unsigned_chunks(announced, Vec::new()).header("content-length", "536870999");
    let mut connection = world.connect().await;
    connection.send(&head.wire(&world.key, HOST)).await;
    connection
        .send(format!("{announced:x}\r\n").as_bytes())
        .await;
    let piece = vec![0u8; 1 << 20];
    let sent = 48;
    for _ in 0..sent {
        connection.send(&piece).await;
    }
    let enough = (sent - 2) << 20;
    world
        .until("most of it arrived", |w| {
            w.engine.with(|s| s.received_bytes) > enough
        })
        .await;
    assert!(
        world.slabs.high_water() <= 2,
        "{}",
        world.slabs.high_water()
    );
    drop(connection);
    world
        .until("the upload was aborted", |world| {
            world.engine.with(|s| s.idle())
        })
        .await;
    assert_eq!(world.engine.with(|state| state.commits), 0);
    world
        .until("all slabs came back", |world| world.slabs.in_use() == 0)
        .await;
}

#[tokio::test]
async fn a_signed_chunk_has_a_limit() {
    let world = World::start().await;
    world.bucket("locked").await;
    let body = format!(
        "{:x};chunk-signature={}\r\n",
        (16 << 20) + 1,
        "0".repeat(64)
    );
    let call = put()
        .payload(SIGNED)
        .header("x-amz-decoded-content-length", &(32 << 20).to_string())
        .body(body);
    refused(&world, "a large signed chunk", call, 400, "EntityTooLarge").await;
}

#[tokio::test]
async fn many_uploads_share_the_slabs() {
    let world = World::start().await;
    world.bucket("locked").await;
    let content: Vec<u8> = (0..2_500_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let names: Vec<String> = (0..3 * SLABS).map(|n| format!("key{n}")).collect();
    let puts = names.iter().map(|name| {
        let call = Call::object("PUT", "locked", name).body(content.clone());
        let (wire, address, tls) = (
            call.wire(&world.key, HOST),
            world.address,
            world.tls.clone(),
        );
        tokio::spawn(async move {
            let connection = crate::client::Connection::open(address, tls).await;
            let mut connection = connection.expect("a connection");
            connection.send(&wire).await;
            connection.reply("PUT").await.expect("an answer").status
        })
    });
    let puts: Vec<_> = puts.collect();
    for put in puts {
        assert_eq!(put.await.expect("no panic"), 200);
    }
    for name in &names {
        let stored = world.engine.object("locked", name).expect("stored");
        assert!(stored.content == content, "{name}");
    }
    assert!(world.slabs.high_water() <= SLABS);
    assert_eq!(world.slabs.in_use(), 0);
}

#[tokio::test]
async fn too_large_an_upload_is_refused_before_its_body() {
    let world = World::start().await;
    world.bucket("locked").await;
    let call = put()
        .payload(UNSIGNED)
        .header("content-md5", &md5_base64(b""))
        .header("content-length", "5368709121")
        .header("expect", "100-continue");
    refused(&world, "5 GiB and a byte", call, 400, "EntityTooLarge").await;
    assert_eq!(world.engine.with(|state| state.received_bytes), 0);
}
