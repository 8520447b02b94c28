//! Objects as clients read them.

use crate::client::Call;
use crate::world::{HOST, World};
use stele_gateway::message::Refusal;

#[tokio::test]
async fn an_object_comes_back_with_everything_that_was_stored() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "a/b c+d")
        .header("content-type", "text/plain; charset=utf-8")
        .header("cache-control", "no-store")
        .header("content-disposition", "attachment; filename=\"x\"")
        .header("content-encoding", "gzip")
        .header("content-language", "de")
        .header("expires", "Wed, 21 Oct 2099 07:28:00 GMT")
        .header("x-amz-meta-one", "1")
        .header("x-amz-meta-two", "second value")
        .header("x-amz-tagging", "a=1&b=%C3%A4")
        .header("x-amz-acl", "private")
        .header("x-amz-storage-class", "STANDARD")
        .body("hello");
    let stored = world.call(put).await.expect(200);
    let version = stored
        .header("x-amz-version-id")
        .expect("a version")
        .to_owned();
    for method in ["GET", "HEAD"] {
        let reply = world
            .call(Call::object(method, "locked", "a/b c+d"))
            .await
            .expect(200);
        let check = |name, value| assert_eq!(reply.header(name), Some(value), "{method} {name}");
        check("content-type", "text/plain; charset=utf-8");
        check("cache-control", "no-store");
        check("content-disposition", "attachment; filename=\"x\"");
        check("content-encoding", "gzip");
        check("content-language", "de");
        check("expires", "Wed, 21 Oct 2099 07:28:00 GMT");
        check("x-amz-meta-one", "1");
        check("x-amz-meta-two", "second value");
        check("x-amz-tagging-count", "2");
        check("x-amz-version-id", &version);
        check("content-length", "5");
        check("accept-ranges", "bytes");
        assert_eq!(reply.header("etag"), stored.header("etag"));
        assert!(
            reply
                .header("last-modified")
                .is_some_and(|date| date.ends_with("GMT"))
        );
        assert!(reply.header("x-amz-request-id").is_some());
        assert_eq!(
            reply.body,
            if method == "GET" { &b"hello"[..] } else { b"" }
        );
    }
    let tags = world
        .call(Call::object("GET", "locked", "a/b c+d").query("tagging", ""))
        .await;
    assert_eq!(tags.all("Key"), ["a", "b"]);
    assert_eq!(tags.all("Value"), ["1", "\u{e4}"]);
    let overridden = Call::object("GET", "locked", "a/b c+d")
        .query("versionId", &version)
        .query("response-content-type", "application/x-other");
    let reply = world.call(overridden).await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/x-other"));
}

/// What clients send as a value, and what they get.
const USER_METADATA: [(&str, &str); 7] = [
    ("north", "north"),
    ("Z\u{fc}rich", "=?UTF-8?B?WsO8cmljaA==?="),
    // What is ASCII comes back as it came, also where it is no word of RFC 2047 or more than one.
    ("=?UTF-8?Q?Z=C3=BCrich?=", "=?UTF-8?Q?Z=C3=BCrich?="),
    ("=?ISO-8859-1?Q?Z=FCrich?=", "=?ISO-8859-1?Q?Z=FCrich?="),
    (
        "=?UTF-8?B?QQ==?= and =?UTF-8?B?Qg==?=",
        "=?UTF-8?B?QQ==?= and =?UTF-8?B?Qg==?=",
    ),
    ("=?UTF-8?B?no?=", "=?UTF-8?B?no?="),
    ("=?why?=", "=?why?="),
];

#[tokio::test]
async fn user_metadata_beyond_ascii_comes_back_in_words_of_rfc_2047() {
    let world = World::start().await;
    world.bucket("plain").await;
    for (sent, told) in USER_METADATA {
        let put = Call::object("PUT", "plain", "key").header("x-amz-meta-site", sent);
        world.call(put.body("content")).await.expect(200);
        let put = Call::object("PUT", "plain", "url").query("x-amz-meta-site", sent);
        let put = put.body("content").presigned(&world.key, HOST, 60);
        world.raw("PUT", &put).await.expect(200);
        let copy = Call::object("PUT", "plain", "copy").header("x-amz-copy-source", "plain/key");
        world.call(copy).await.expect(200);
        let replace = Call::object("PUT", "plain", "replaced")
            .header("x-amz-copy-source", "plain/copy")
            .header("x-amz-metadata-directive", "REPLACE")
            .header("x-amz-meta-site", sent);
        world.call(replace).await.expect(200);
        for key in ["key", "url", "copy", "replaced"] {
            for method in ["GET", "HEAD"] {
                let reply = world.call(Call::object(method, "plain", key)).await;
                let reply = reply.expect(200);
                assert_eq!(
                    reply.header("x-amz-meta-site"),
                    Some(told),
                    "{method} {key} {sent}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "empty", b"").await;
    let reply = world
        .call(Call::object("GET", "locked", "empty"))
        .await
        .expect(200);
    assert_eq!(
        (reply.body.as_slice(), reply.header("content-length")),
        (&b""[..], Some("0"))
    );
    assert_eq!(reply.header("content-type"), Some("binary/octet-stream"));
    let ranged = Call::object("GET", "locked", "empty").header("range", "bytes=0-0");
    world.call(ranged).await.refused(416, "InvalidRange");
}

#[tokio::test]
async fn ranges_are_answered_with_206() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"0123456789").await;
    for (range, content, said) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=3-", "3456789", "bytes 3-9/10"),
        ("bytes=3-100", "3456789", "bytes 3-9/10"),
        ("bytes=-4", "6789", "bytes 6-9/10"),
        ("bytes=-40", "0123456789", "bytes 0-9/10"),
    ] {
        for method in ["GET", "HEAD"] {
            let call = Call::object(method, "locked", "key").header("range", range);
            let reply = world.call(call).await.expect(206);
            assert_eq!(
                reply.header("content-range"),
                Some(said),
                "{method} {range}"
            );
            let length = content.len().to_string();
            assert_eq!(reply.header("content-length"), Some(length.as_str()));
            assert_eq!(reply.text(), if method == "GET" { content } else { "" });
        }
    }
    let call = Call::object("GET", "locked", "key").header("range", "bytes=10-");
    let reply = world.call(call).await;
    reply.refused(416, "InvalidRange");
    assert_eq!(reply.header("content-range"), Some("bytes */10"));
}

/// What GET and HEAD by part answer.
async fn check_part(
    world: &World,
    key: &str,
    number: &str,
    content: &str,
    said: &str,
    parts: Option<&str>,
) {
    for method in ["GET", "HEAD"] {
        let call = Call::object(method, "locked", key).query("partNumber", number);
        let reply = world.call(call).await.expect(206);
        assert_eq!(reply.header("content-range"), Some(said), "{method}");
        assert_eq!(reply.header("x-amz-mp-parts-count"), parts);
        assert_eq!(reply.text(), if method == "GET" { content } else { "" });
    }
}

#[tokio::test]
async fn parts_are_read_by_their_number() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"0123456789").await;
    world.put("locked", "parts", b"0123456789").await;
    world.engine.with(|state| {
        let place = ("locked".to_owned(), "parts".to_owned());
        let versions = state.objects.get_mut(&place).expect("stored");
        versions[0].info.part_sizes = vec![4, 5, 1];
    });
    check_part(&world, "key", "1", "0123456789", "bytes 0-9/10", None).await;
    let parts = Some("3");
    check_part(&world, "parts", "1", "0123", "bytes 0-3/10", parts).await;
    check_part(&world, "parts", "2", "45678", "bytes 4-8/10", parts).await;
    check_part(&world, "parts", "3", "9", "bytes 9-9/10", parts).await;
    let call = |number: &str| Call::object("GET", "locked", "parts").query("partNumber", number);
    for (call, status, code) in [
        (call("4"), 416, "InvalidPartNumber"),
        (call("0"), 400, "InvalidArgument"),
        (call("10001"), 400, "InvalidArgument"),
        (
            call("1").header("range", "bytes=0-1"),
            400,
            "InvalidRequest",
        ),
    ] {
        world.call(call).await.refused(status, code);
    }
    // An empty object has one part without bytes.
    world.put("locked", "empty", b"").await;
    let empty = Call::object("GET", "locked", "empty").query("partNumber", "1");
    assert_eq!(world.call(empty).await.expect(200).body, b"");
}

#[tokio::test]
async fn reads_may_have_conditions() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "key")
        .header("cache-control", "no-cache")
        .header("expires", "0")
        .body("content");
    world.call(put).await.expect(200);
    let head = world
        .call(Call::object("HEAD", "locked", "key"))
        .await
        .expect(200);
    let etag = head.header("etag").expect("an ETag").to_owned();
    let date = head.header("last-modified").expect("a date").to_owned();
    let past = "Wed, 21 Oct 2015 07:28:00 GMT";
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", date.as_str(), 304),
        ("if-modified-since", past, 200),
        ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 200),
        ("if-modified-since", "Sun Nov  6 08:49:37 1994", 200),
        ("if-unmodified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 412),
        ("if-unmodified-since", "Sun Nov  6 08:49:37 1994", 412),
        ("if-unmodified-since", past, 412),
        ("if-unmodified-since", date.as_str(), 200),
    ] {
        for method in ["GET", "HEAD"] {
            let call = Call::object(method, "locked", "key").header(name, value);
            let reply = world.call(call).await;
            assert_eq!(reply.status, status, "{method} {name}: {value}");
            if status == 304 {
                for (name, expected) in [
                    ("etag", Some(etag.as_str())),
                    ("last-modified", Some(date.as_str())),
                    ("cache-control", Some("no-cache")),
                    ("expires", Some("0")),
                    ("content-type", None),
                ] {
                    assert_eq!(reply.header(name), expected, "{method} {name}");
                }
            }
        }
    }
    world
        .until("no download is open", |world| {
            world.engine.with(|state| state.idle())
        })
        .await;
}

#[tokio::test]
async fn writes_may_have_conditions() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = |name: &str, value: &str| {
        Call::object("PUT", "locked", "key")
            .header(name, value)
            .body("content")
    };
    for wanted in ["*", "\"00000000000000000000000000000000\""] {
        let reply = world.call(put("if-match", wanted)).await;
        reply.refused(404, "NoSuchKey");
    }
    let first = world.call(put("if-none-match", "*")).await.expect(200);
    world
        .call(put("if-none-match", "*"))
        .await
        .refused(412, "PreconditionFailed");
    let etag = first.header("etag").expect("an ETag");
    world.call(put("if-match", etag)).await.expect(200);
    world
        .call(put("if-match", etag))
        .await
        .refused(412, "PreconditionFailed");
}

#[tokio::test]
async fn versions_are_read_by_id() {
    let world = World::start().await;
    world.bucket("locked").await;
    let old = world.put("locked", "key", b"old").await;
    let new = world.put("locked", "key", b"newer").await;
    assert_ne!(old, new);
    let get = |id: &str| Call::object("GET", "locked", "key").query("versionId", id);
    assert_eq!(world.call(get(&old)).await.expect(200).body, b"old");
    assert_eq!(world.call(get(&new)).await.expect(200).body, b"newer");
    let unknown = "ffffffffffffffffffffffffffffffff";
    world.call(get(unknown)).await.refused(404, "NoSuchVersion");
    world
        .call(get("nonsense"))
        .await
        .refused(400, "InvalidArgument");
    world.call(get("")).await.refused(400, "InvalidArgument");
    world.call(get("null")).await.refused(404, "NoSuchVersion");
    // What is not there is deleted.
    for id in [unknown, "null"] {
        let delete = Call::object("DELETE", "locked", "key").query("versionId", id);
        world.call(delete).await.expect(204);
    }
    assert_eq!(world.call(get(&new)).await.expect(200).body, b"newer");
}

#[tokio::test]
async fn a_plain_bucket_looks_unversioned() {
    let world = World::start().await;
    world.bucket("plain").await;
    assert_eq!(world.put("plain", "key", b"content").await, "");
    let reply = world
        .call(Call::object("GET", "plain", "key"))
        .await
        .expect(200);
    assert_eq!(reply.header("x-amz-version-id"), None);
    let null = Call::object("GET", "plain", "key").query("versionId", "null");
    assert_eq!(world.call(null).await.expect(200).body, b"content");
    let reply = world
        .call(Call::object("DELETE", "plain", "key"))
        .await
        .expect(204);
    assert_eq!(reply.header("x-amz-delete-marker"), None);
    world
        .call(Call::object("GET", "plain", "key"))
        .await
        .refused(404, "NoSuchKey");
    let bare = Call::object("PUT", "plain", "key")
        .payload("UNSIGNED-PAYLOAD")
        .body("bare");
    world.call(bare).await.expect(200);
}

#[tokio::test]
async fn checksums_are_told_when_asked_for() {
    let world = World::start().await;
    world.bucket("locked").await;
    let sum = crate::crc32_base64(b"0123456789");
    let put = Call::object("PUT", "locked", "key")
        .header("x-amz-checksum-crc32", &sum)
        .body("0123456789");
    world.call(put).await.expect(200);
    let get = || Call::object("GET", "locked", "key");
    let silent = world.call(get()).await.expect(200);
    assert_eq!(silent.header("x-amz-checksum-crc32"), None);
    let asked = world
        .call(get().header("x-amz-checksum-mode", "ENABLED"))
        .await
        .expect(200);
    assert_eq!(asked.header("x-amz-checksum-crc32"), Some(sum.as_str()));
    assert_eq!(asked.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    // The checksum of the whole says nothing about a part.
    let part = get()
        .header("x-amz-checksum-mode", "ENABLED")
        .header("range", "bytes=0-1");
    let part = world.call(part).await.expect(206);
    assert_eq!(part.header("x-amz-checksum-crc32"), None);
}

#[tokio::test]
async fn names_are_opaque() {
    let world = World::start().await;
    world.bucket("locked").await;
    let long = "k".repeat(1024);
    let odd = [
        "../../etc/passwd",
        "a\u{1}b\r\nc",
        "/leading",
        "a//b/",
        "\u{1f600} %41&?#",
        ".",
    ];
    for name in odd.into_iter().chain([long.as_str()]) {
        world.put("locked", name, name.as_bytes()).await;
        let reply = world
            .call(Call::object("GET", "locked", name))
            .await
            .expect(200);
        assert_eq!(reply.body, name.as_bytes(), "{name:?}");
        assert!(world.engine.object("locked", name).is_some(), "{name:?}");
    }
    let longer = "k".repeat(1025);
    let put = Call::object("PUT", "locked", &longer).body("x");
    world.call(put).await.refused(400, "KeyTooLongError");
    let mut invalid = Call::object("PUT", "locked", "x").body("x");
    invalid.path = "/locked/%FF%FE".to_owned();
    world.call(invalid).await.refused(400, "InvalidURI");
}

#[tokio::test]
async fn a_large_object_is_streamed() {
    let world = World::start().await;
    world.bucket("locked").await;
    let content: Vec<u8> = (0..6_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    world.put("locked", "key", &content).await;
    let reply = world
        .call(Call::object("GET", "locked", "key"))
        .await
        .expect(200);
    assert!(reply.complete && reply.body == content);
    let call = Call::object("GET", "locked", "key").header("range", "bytes=1000000-4999999");
    let reply = world.call(call).await.expect(206);
    assert!(reply.body == content[1_000_000..5_000_000]);
    world
        .until("no download is open", |world| {
            world.engine.with(|state| state.idle())
        })
        .await;
}

#[tokio::test]
async fn a_refusal_in_mid_stream_breaks_the_connection() {
    let world = World::start().await;
    world.bucket("locked").await;
    let content = vec![7u8; 5_000_000];
    world.put("locked", "key", &content).await;
    world
        .engine
        .with(|state| state.break_download_after = Some(2));
    let reply = world
        .call(Call::object("GET", "locked", "key"))
        .await
        .expect(200);
    assert_eq!(reply.header("content-length"), Some("5000000"));
    assert!(!reply.complete, "a broken download must not look whole");
    assert!(reply.body.len() < content.len());
    world
        .until("no download is open", |world| {
            world.engine.with(|state| state.idle())
        })
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_closes_its_download() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", &vec![7u8; 9_000_000]).await;
    let mut connection = world.connect().await;
    connection
        .send(&Call::object("GET", "locked", "key").wire(&world.key, HOST))
        .await;
    world
        .until("the download is open", |world| {
            !world.engine.with(|state| state.idle())
        })
        .await;
    drop(connection);
    world
        .until("the download was closed", |world| {
            world.engine.with(|state| state.idle())
        })
        .await;
}

#[tokio::test]
async fn a_change_without_an_answer_is_not_called_refused() {
    let world = World::start().await;
    world.bucket("plain").await;
    let put = Call::object("PUT", "plain", "key").body("content");
    world.call(put).await.expect(200);
    world.engine.with(|state| state.silent = true);
    let delete = Call::object("DELETE", "plain", "key");
    world.call(delete).await.refused(500, "InternalError");
    world.engine.with(|state| state.silent = false);
    assert_eq!(
        world.call(Call::object("GET", "plain", "key")).await.status,
        404
    );
}

#[tokio::test]
async fn the_engines_refusals_reach_the_client() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = || Call::object("PUT", "locked", "key").body("content");
    for (refusal, status, code) in [
        (Refusal::Full, 503, "SlowDown"),
        (Refusal::Busy, 503, "SlowDown"),
        (Refusal::Rebuilding, 503, "ServiceUnavailable"),
        (
            Refusal::ReadOnly("one disk is left".to_owned()),
            503,
            "ServiceUnavailable",
        ),
    ] {
        world.engine.with(|state| state.refuse = Some(refusal));
        world.call(put()).await.refused(status, code);
        world
            .call(Call::bucket("GET", "locked"))
            .await
            .refused(status, code);
    }
    world.engine.with(|state| state.refuse = None);
    world.call(put()).await.expect(200);
    let missing = Call::object("PUT", "nothere", "key").body("content");
    world.call(missing).await.refused(404, "NoSuchBucket");
    let wide = Call::object("PUT", "locked", "key").header("x-amz-meta-a", &"v".repeat(3000));
    world.call(wide).await.refused(400, "MetadataTooLarge");
}

/// Whoever stores something gets the engine's proof of it in one header, whichever way it came; a part
/// is no version and has none.
#[tokio::test]
async fn what_is_stored_is_answered_with_its_receipt() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = || Call::object("PUT", "locked", "key").body("content");
    let without = world.call(put()).await.expect(200);
    assert_eq!(without.header("x-stele-receipt"), None);
    let text = "c2sp.org/tlog-proof@v1\nindex 1\n\n\u{2014} a proof\n".repeat(40);
    world
        .engine
        .with(|state| state.receipt = Some(text.clone()));
    let expected = base64_simd::STANDARD.encode_to_string(&text);
    let check = |reply: &crate::client::Reply| {
        assert_eq!(reply.header("x-stele-receipt"), Some(expected.as_str()));
    };
    check(&world.call(put()).await.expect(200));
    let copy = Call::object("PUT", "locked", "copy").header("x-amz-copy-source", "/locked/key");
    check(&world.call(copy).await.expect(200));
    let create = Call::object("POST", "locked", "big").query("uploads", "");
    let id = world.call(create).await.expect(200).one("UploadId");
    let part = Call::object("PUT", "locked", "big")
        .query("partNumber", "1")
        .query("uploadId", &id)
        .body("part");
    let part = world.call(part).await.expect(200);
    assert_eq!(part.header("x-stele-receipt"), None);
    let etag = part.header("etag").expect("an ETag");
    let complete = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = Call::object("POST", "locked", "big")
        .query("uploadId", &id)
        .body(complete);
    check(&world.call(complete).await.expect(200));
}
