//! Headers that say how something is to be stored, or whether: they are heeded or refused.

use crate::client::Call;
use crate::world::{HOST, World};

const PAST: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
const FUTURE: &str = "Sat, 01 Jan 2140 00:00:00 GMT";

/// A vault with an object and an upload of one part.
async fn with_object() -> (World, String) {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "key", b"content").await;
    let begun = Call::object("POST", "locked", "key").query("uploads", "");
    let upload = world.call(begun).await.expect(200).one("UploadId");
    (world, upload)
}

fn put() -> Call {
    Call::object("PUT", "locked", "key").body("other")
}

fn copy() -> Call {
    Call::object("PUT", "locked", "key").header("x-amz-copy-source", "/locked/source")
}

fn begin() -> Call {
    Call::object("POST", "locked", "key").query("uploads", "")
}

fn part(upload: &str) -> Call {
    let call = Call::object("PUT", "locked", "key").query("partNumber", "1");
    call.query("uploadId", upload)
}

fn complete(upload: &str, etag: &str) -> Call {
    let part = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let xml = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
    let call = Call::object("POST", "locked", "key").query("uploadId", upload);
    call.body(xml)
}

#[tokio::test]
async fn a_write_that_depends_on_a_date_is_refused() {
    let (world, upload) = with_object().await;
    world.put("locked", "source", b"source").await;
    let stored = world.call(part(&upload).body("part")).await.expect(200);
    let etag = stored.header("etag").expect("an ETag").to_owned();
    for call in [put(), copy(), complete(&upload, &etag)] {
        for (name, value) in [
            ("if-unmodified-since", PAST),
            ("if-unmodified-since", FUTURE),
            ("if-modified-since", PAST),
            ("if-modified-since", "Wed Jan  1 00:00:00 2070"),
        ] {
            let what = format!("{} {:?} {name}", call.method, call.query);
            let reply = world.call(call.clone().header(name, value)).await;
            let refused = (reply.status, reply.code());
            assert_eq!(refused, (501, "NotImplemented".to_owned()), "{what}");
            let why = reply.one("Message");
            assert!(why.contains("not on a date"), "{what}: {why}");
        }
    }
    let get = Call::object("GET", "locked", "key");
    assert_eq!(world.call(get).await.expect(200).body, b"content");
    world.call(complete(&upload, &etag)).await.expect(200);
}

#[tokio::test]
async fn a_header_is_refused_where_nothing_reads_it() {
    let (world, upload) = with_object().await;
    world.put("locked", "source", b"source").await;
    let tagging = || {
        let call = Call::object("PUT", "locked", "key").query("tagging", "");
        call.document("<Tagging><TagSet></TagSet></Tagging>")
    };
    let range = ("x-amz-copy-source-range", "bytes=0-1");
    let directive = ("x-amz-metadata-directive", "REPLACE");
    let size = ("x-amz-mp-object-size", "7");
    let kind = ("x-amz-checksum-type", "COMPOSITE");
    let minimum = (
        "x-amz-transition-default-minimum-object-size",
        "all_storage_classes_128K",
    );
    let if_match = ("x-amz-copy-source-if-match", "\"x\"");
    let if_none_match = ("x-amz-copy-source-if-none-match", "\"x\"");
    let if_modified = ("x-amz-copy-source-if-modified-since", PAST);
    let if_unmodified = ("x-amz-copy-source-if-unmodified-since", FUTURE);
    for (call, headers) in [
        (copy(), &[range, size, kind, minimum][..]),
        (
            put(),
            &[
                range,
                directive,
                size,
                kind,
                minimum,
                if_match,
                if_none_match,
                if_modified,
                if_unmodified,
            ],
        ),
        (
            part(&upload).body("x"),
            &[range, directive, size, kind, if_match],
        ),
        (begin(), &[range, size, if_match]),
        (complete(&upload, "x"), &[range, directive, if_match]),
        (tagging(), &[range, directive, size, kind, if_match]),
    ] {
        for (name, value) in headers {
            let what = format!("{} {:?} {name}", call.method, call.query);
            let reply = world.call(call.clone().header(name, value)).await;
            let refused = (reply.status, reply.code());
            assert_eq!(refused, (400, "InvalidArgument".to_owned()), "{what}");
            let why = reply.one("Message");
            assert!(why.ends_with(name), "{what}: {why}");
        }
    }
    let get = Call::object("GET", "locked", "key");
    assert_eq!(world.call(get).await.expect(200).body, b"content");
    // Where S3 or clients have them they stay.
    for call in [
        copy().header(directive.0, directive.1),
        copy().header(if_none_match.0, if_none_match.1),
        begin().header(directive.0, "COPY"),
        begin()
            .header(kind.0, kind.1)
            .header("x-amz-checksum-algorithm", "CRC32"),
        part(&upload)
            .header("x-amz-copy-source", "/locked/source")
            .header(range.0, range.1),
    ] {
        world.call(call).await.expect(200);
    }
}

#[tokio::test]
async fn a_header_that_says_nothing_is_refused_and_nothing_stored() {
    let (world, _) = with_object().await;
    let make = || Call::bucket("PUT", "other");
    let range = copy().query("partNumber", "1").query("uploadId", "u");
    for (call, name) in [
        (put(), "x-amz-object-lock-mode"),
        (put(), "x-amz-object-lock-retain-until-date"),
        (put(), "x-amz-object-lock-legal-hold"),
        (copy(), "x-amz-object-lock-legal-hold"),
        (begin(), "x-amz-object-lock-legal-hold"),
        (make(), "x-amz-bucket-object-lock-enabled"),
        (range, "x-amz-copy-source-range"),
        (put(), "if-match"),
        (put(), "if-none-match"),
        (copy(), "if-match"),
        (copy(), "if-none-match"),
    ] {
        let reply = world.call(call.clone().header(name, "")).await;
        reply.refused(400, "InvalidArgument");
        assert!(reply.one("Message").contains(name), "{}", reply.text());
        if name.starts_with("x-amz-") {
            // As some SDKs presign it.
            let method = call.method.clone();
            let url = call.query(name, "").presigned(&world.key, HOST, 60);
            let reply = world.raw(&method, &url).await;
            reply.refused(400, "InvalidArgument");
            assert!(reply.one("Message").contains(name), "{}", reply.text());
        }
    }
    let versions = Call::bucket("GET", "locked").query("versions", "");
    let versions = world.call(versions).await.expect(200);
    assert_eq!(versions.all("VersionId").len(), 1);
    world.call(Call::bucket("HEAD", "other")).await.expect(404);
    // What clients do send so.
    let put = put()
        .header("x-amz-meta-note", "")
        .header("x-amz-tagging", "");
    world.call(put).await.expect(200);
}

#[tokio::test]
async fn a_condition_is_refused_where_nothing_reads_it() {
    let (world, upload) = with_object().await;
    let object = |method: &str, what: &str| Call::object(method, "locked", "key").query(what, "");
    let hold = "<LegalHold><Status>ON</Status></LegalHold>";
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    let delete = "<Delete><Object><Key>key</Key></Object></Delete>";
    let conditional = "of writes, only those that make a version";
    let deletes = "conditional deletion";
    for (call, words) in [
        (part(&upload).body("part"), conditional),
        (
            part(&upload).header("x-amz-copy-source", "/locked/key"),
            conditional,
        ),
        (begin(), conditional),
        (object("PUT", "legal-hold").document(hold), conditional),
        (object("PUT", "tagging").document(tags), conditional),
        (
            Call::bucket("POST", "locked")
                .query("delete", "")
                .document(delete),
            conditional,
        ),
        (Call::bucket("PUT", "other"), conditional),
        (object("DELETE", "tagging"), deletes),
        (Call::object("DELETE", "locked", "key"), deletes),
        (
            Call::object("DELETE", "locked", "key").query("uploadId", &upload),
            deletes,
        ),
        (Call::bucket("DELETE", "locked"), deletes),
    ] {
        for (name, value) in [("if-match", "\"x\""), ("if-none-match", "*")] {
            let reply = world.call(call.clone().header(name, value)).await;
            reply.refused(501, "NotImplemented");
            assert!(reply.one("Message").contains(words), "{}", reply.text());
        }
    }
    let uploads = world.call(object("GET", "tagging")).await.expect(200);
    assert!(uploads.all("Tag").is_empty());
    let get = Call::object("GET", "locked", "key");
    assert_eq!(world.call(get).await.expect(200).body, b"content");
}

#[tokio::test]
async fn a_write_depends_on_one_strong_etag() {
    let (world, upload) = with_object().await;
    let head = Call::object("HEAD", "locked", "key");
    let etag = world.call(head).await.expect(200);
    let etag = etag.header("etag").expect("an ETag").to_owned();
    let (weak, list) = (format!("W/{etag}"), format!("\"other\", {etag}"));
    let stored = world.call(part(&upload).body("part")).await.expect(200);
    let part_etag = stored.header("etag").expect("an ETag").to_owned();
    for call in [put(), copy(), complete(&upload, &part_etag)] {
        let call = || call.clone();
        world.put("locked", "source", b"source").await;
        for (name, value, status) in [
            ("if-match", weak.as_str(), 412),
            ("if-none-match", weak.as_str(), 412),
            ("if-match", list.as_str(), 400),
            ("if-none-match", list.as_str(), 400),
            ("if-match", "\"a\" \"b\"", 400),
            ("if-none-match", "\"a\", W/\"a\", \"b", 400),
        ] {
            let reply = world.call(call().header(name, value)).await;
            let what = format!("{} {name}: {value}", call().path);
            assert_eq!(reply.status, status, "{what}: {}", reply.text());
        }
    }
    let both = format!("{weak}, {etag}");
    world
        .call(put().header("if-match", &both))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_read_may_list_etags() {
    let (world, _) = with_object().await;
    let head = Call::object("HEAD", "locked", "key");
    let etag = world.call(head).await.expect(200);
    let etag = etag.header("etag").expect("an ETag").to_owned();
    let with = format!("\"other\", {etag}, W/\"more\"");
    let weak = format!("\"other\",W/{etag}");
    for method in ["GET", "HEAD"] {
        for (name, value, status) in [
            ("if-match", with.as_str(), 200),
            ("if-match", weak.as_str(), 412),
            ("if-match", "\"other\", \"more\"", 412),
            ("if-none-match", with.as_str(), 304),
            ("if-none-match", weak.as_str(), 304),
            ("if-none-match", "\"other\", \"more\"", 200),
            ("if-match", "\"other\" \"more\"", 400),
        ] {
            let call = Call::object(method, "locked", "key").header(name, value);
            let reply = world.call(call).await;
            assert_eq!(reply.status, status, "{method} {name}: {value}");
        }
    }
    for (name, value, status) in [
        ("x-amz-copy-source-if-match", with.as_str(), 200),
        ("x-amz-copy-source-if-none-match", with.as_str(), 412),
    ] {
        let copy = Call::object("PUT", "locked", "copy");
        let copy = copy.header("x-amz-copy-source", "/locked/key");
        let reply = world.call(copy.header(name, value)).await;
        assert_eq!(reply.status, status, "{name}: {value}");
    }
}

#[tokio::test]
async fn expires_is_kept_as_it_was_written() {
    let (world, _) = with_object().await;
    for written in ["0", "-1", "in a week", "2140-01-01T00:00:00Z", PAST] {
        let begun = world
            .call(begin().header("expires", written))
            .await
            .expect(200);
        let upload = begun.one("UploadId");
        let stored = world.call(part(&upload).body("part")).await.expect(200);
        let etag = stored.header("etag").expect("an ETag").to_owned();
        let copied = Call::object("PUT", "locked", "key")
            .header("x-amz-copy-source", "/locked/key")
            .header("x-amz-metadata-directive", "REPLACE");
        for call in [
            put().header("expires", written),
            copied.header("expires", written),
            complete(&upload, &etag),
        ] {
            world.call(put()).await.expect(200);
            let what = format!("{} {:?}", call.method, call.query);
            world.call(call).await.expect(200);
            for method in ["GET", "HEAD"] {
                let reply = world.call(Call::object(method, "locked", "key")).await;
                let reply = reply.expect(200);
                assert_eq!(reply.header("expires"), Some(written), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_in_several_lines_is_kept_as_one() {
    let (world, _) = with_object().await;
    let put = [
        ("cache-control", "no-cache"),
        ("cache-control", "private"),
        ("content-encoding", "aws-chunked"),
        ("content-encoding", "gzip"),
        ("content-encoding", "br"),
        ("content-language", "de"),
        ("content-language", "en"),
    ];
    let put = put.into_iter().fold(self::put(), |call, (name, value)| {
        call.unsigned_header(name, value)
    });
    world.call(put).await.expect(200);
    let get = Call::object("GET", "locked", "key");
    let reply = world.call(get).await.expect(200);
    for (name, value) in [
        ("cache-control", "no-cache, private"),
        ("content-encoding", "gzip,br"),
        ("content-language", "de, en"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    // Not a list: one of them would be lost.
    let twice = self::put()
        .unsigned_header("content-disposition", "inline")
        .unsigned_header("content-disposition", "attachment");
    world.call(twice).await.refused(400, "InvalidRequest");
}
