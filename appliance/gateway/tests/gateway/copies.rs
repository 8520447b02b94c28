//! CopyObject, UploadPartCopy and GetObjectAttributes.

use std::time::Duration;

use stele_gateway::message::{LockMode, Refusal};

use crate::client::Call;
use crate::md5_base64;
use crate::world::World;

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const HOLD: &str = "x-amz-object-lock-legal-hold";
const FAR: &str = "2140-01-01T00:00:00Z";
const BYPASS: &str = "x-amz-bypass-governance-retention";
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

type Headers = [(&'static str, &'static str)];

/// The locks that a source can have.
const LOCKS: [&Headers; 4] = [
    &[(MODE, "GOVERNANCE"), (UNTIL, FAR)],
    &[(MODE, "COMPLIANCE"), (UNTIL, FAR)],
    &[(HOLD, "ON")],
    &[(MODE, "COMPLIANCE"), (UNTIL, FAR), (HOLD, "ON")],
];

fn with(call: Call, headers: &Headers) -> Call {
    let headers = headers.iter();
    headers.fold(call, |call, (name, value)| call.header(name, value))
}

fn copy(from: &str, bucket: &str, key: &str) -> Call {
    Call::object("PUT", bucket, key).header("x-amz-copy-source", from)
}

/// A vault whose bucket has `source` with everything an object can have.
async fn with_source() -> (World, String) {
    source_in(World::start().await).await
}

async fn source_in(world: World) -> (World, String) {
    world.bucket("locked").await;
    let put = Call::object("PUT", "locked", "source")
        .header("content-type", "text/plain")
        .header("x-amz-meta-one", "1")
        .header("x-amz-tagging", "a=1")
        .header("content-md5", &md5_base64(b"content"))
        .header("x-amz-object-lock-legal-hold", "ON")
        .body("content");
    let stored = world.call(put).await.expect(200);
    let version = stored.header("x-amz-version-id").expect("a version");
    let version = version.to_owned();
    (world, version)
}

#[tokio::test]
async fn a_copy_has_the_content_and_all_but_the_lock() {
    let (world, version) = with_source().await;
    let reply = world
        .call(copy("/locked/source", "locked", "copy"))
        .await
        .expect(200);
    let source = world
        .call(Call::object("HEAD", "locked", "source"))
        .await
        .expect(200);
    assert_eq!(
        reply.header("x-amz-copy-source-version-id"),
        Some(version.as_str())
    );
    assert!(reply.header("x-amz-version-id").is_some());
    assert_eq!(reply.one("ETag"), source.header("etag").expect("an ETag"));
    assert!(!reply.one("LastModified").is_empty());
    let copied = world
        .call(Call::object("GET", "locked", "copy"))
        .await
        .expect(200);
    assert_eq!(copied.body, b"content");
    assert_eq!(copied.header("content-type"), Some("text/plain"));
    assert_eq!(copied.header("x-amz-meta-one"), Some("1"));
    assert_eq!(copied.header("x-amz-tagging-count"), Some("1"));
    assert_eq!(copied.header("x-amz-object-lock-legal-hold"), None);
}

/// A client that hears nothing for a minute gives up: as S3 has it, 200 comes first, and how it ended then.
#[tokio::test]
async fn a_copy_that_takes_long_is_answered_before_it_is_done() {
    let world = World::start_with(|config| config.silence = Duration::from_millis(1)).await;
    let (world, _) = source_in(world).await;
    world
        .engine
        .with(|state| state.slow = Duration::from_millis(10));
    let ask = copy("locked/source", "locked", "copy");
    let reply = world.call(ask).await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/xml"));
    assert!(reply.header("x-amz-request-id").is_some());
    let text = reply.text();
    let prolog = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    let document = text.strip_prefix(prolog).expect("a prolog");
    assert!(
        document.starts_with("\n") && document.trim_start().starts_with("<CopyObjectResult"),
        "{text}"
    );
    let copied = world.call(Call::object("HEAD", "locked", "copy")).await;
    let copied = copied.expect(200);
    assert_eq!(reply.one("ETag"), copied.header("etag").expect("an ETag"));
    // What is none takes its time as before.
    let head = Call::object("HEAD", "locked", "copy").header("x-amz-copy-source", "locked/source");
    let reply = world.call(head).await.expect(200);
    assert!(reply.header("x-amz-version-id").is_some());
    let failed = world.call(copy("locked/none", "locked", "other")).await;
    assert_eq!(failed.expect(200).one("Code"), "NoSuchKey");
}

#[tokio::test]
async fn directives_say_what_is_replaced() {
    let (world, _) = with_source().await;
    let metadata = copy("locked/source", "locked", "copy")
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-two", "2")
        .header("content-type", "text/x-new");
    world.call(metadata).await.expect(200);
    let copied = world
        .call(Call::object("HEAD", "locked", "copy"))
        .await
        .expect(200);
    assert_eq!(copied.header("content-type"), Some("text/x-new"));
    assert_eq!(copied.header("x-amz-meta-one"), None);
    assert_eq!(copied.header("x-amz-meta-two"), Some("2"));
    assert_eq!(copied.header("x-amz-tagging-count"), Some("1"));
    let tags = copy("locked/source", "locked", "copy")
        .header("x-amz-tagging-directive", "REPLACE")
        .header("x-amz-tagging", "b=2&c=3");
    world.call(tags).await.expect(200);
    let tags = world
        .call(Call::object("GET", "locked", "copy").query("tagging", ""))
        .await;
    assert_eq!(tags.all("Key"), ["b", "c"]);
    for (name, value) in [
        ("x-amz-metadata-directive", "MERGE"),
        ("x-amz-tagging-directive", "MERGE"),
        ("x-amz-tagging", "b=2"),
    ] {
        let call = copy("locked/source", "locked", "copy").header(name, value);
        world.call(call).await.refused(400, "InvalidArgument");
    }
}

/// Mode, date and hold, as reads tell them.
async fn lock_of(world: &World, place: (&str, &str), version: &str) -> [Option<String>; 3] {
    let call = Call::object("HEAD", place.0, place.1).query("versionId", version);
    let reply = world.call(call).await.expect(200);
    [MODE, UNTIL, HOLD].map(|name| reply.header(name).map(str::to_owned))
}

async fn stored(world: &World, call: Call) -> String {
    let reply = world.call(call).await.expect(200);
    let version = reply.header("x-amz-version-id").expect("a version");
    version.to_owned()
}

#[tokio::test]
async fn lock_13_a_copy_takes_the_lock_of_its_own_request() {
    let (world, _) = with_source().await;
    world.bucket("default").await;
    let far = || Some("2140-01-01T00:00:00.000Z".to_owned());
    for bucket in ["locked", "default"] {
        for mode in ["GOVERNANCE", "COMPLIANCE"] {
            let asked = [(MODE, mode), (UNTIL, FAR)];
            let call = with(copy("locked/source", bucket, "copy"), &asked);
            let version = stored(&world, call).await;
            let lock = lock_of(&world, (bucket, "copy"), &version).await;
            assert_eq!(lock, [Some(mode.to_owned()), far(), None], "{bucket}");
        }
    }
    let call = with(copy("locked/source", "locked", "copy"), &[(HOLD, "ON")]);
    let version = stored(&world, call).await;
    let lock = lock_of(&world, ("locked", "copy"), &version).await;
    assert_eq!(lock, [None, None, Some("ON".to_owned())]);
}

/// Buckets with what a version in them has that asks for nothing.
async fn with_buckets(world: &World) -> [(&'static str, Option<(LockMode, u64)>); 4] {
    for bucket in ["locked", "governed", "default", "plain"] {
        world.bucket(bucket).await;
    }
    let xml = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
               <DefaultRetention><Mode>GOVERNANCE</Mode><Days>2</Days></DefaultRetention></Rule>\
               </ObjectLockConfiguration>";
    let put = Call::bucket("PUT", "governed").query("object-lock", "");
    world.call(put.document(xml)).await.expect(200);
    [
        ("locked", None),
        ("governed", Some((LockMode::Governance, 2 * DAY_MS))),
        ("default", Some((LockMode::Compliance, DAY_MS))),
        ("plain", None),
    ]
}

#[tokio::test]
async fn lock_13_a_copy_gets_the_default_of_its_bucket_and_no_lock_of_its_source() {
    let world = World::start().await;
    let buckets = with_buckets(&world).await;
    for lock in LOCKS {
        let source = with(Call::object("PUT", "locked", "source").body("x"), lock);
        world.call(source).await.expect(200);
        for (bucket, default) in buckets {
            for directive in ["COPY", "REPLACE"] {
                let call = copy("locked/source", bucket, "copy");
                let call = call.header("x-amz-metadata-directive", directive);
                world.call(call).await.expect(200);
                let what = format!("{lock:?} to {bucket}, {directive}");
                let info = world.engine.object(bucket, "copy").expect("stored").info;
                assert_eq!(info.hold, None, "{what}");
                let given = info.retention.map(|retention| {
                    let period_ms = retention.until.get() - info.modified.get();
                    (retention.mode, period_ms)
                });
                let as_due = match (given, default) {
                    (None, None) => true,
                    (Some((mode, ms)), Some((wanted, wanted_ms))) => {
                        mode == wanted && ms.abs_diff(wanted_ms) < HOUR_MS
                    }
                    _ => false,
                };
                assert!(as_due, "{what}: {given:?}, not {default:?}");
                // And reads say no more than that.
                let head = world.call(Call::object("HEAD", bucket, "copy")).await;
                let head = head.expect(200);
                assert_eq!(head.header(MODE).is_some(), default.is_some(), "{what}");
                assert_eq!(head.header(HOLD), None, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn lock_13_after_a_copy_onto_itself_the_old_version_stays_locked() {
    for lock in LOCKS {
        let world = World::start().await;
        world.bucket("locked").await;
        let place = ("locked", "key");
        let put = Call::object("PUT", "locked", "key").header("x-amz-meta-one", "1");
        let old = stored(&world, with(put.body("kept"), lock)).await;
        let before = lock_of(&world, place, &old).await;
        let itself = copy("locked/key", "locked", "key")
            .header("x-amz-metadata-directive", "REPLACE")
            .header("x-amz-meta-two", "2");
        let new = stored(&world, itself).await;
        assert_ne!(new, old);
        assert_eq!(lock_of(&world, place, &old).await, before, "{lock:?}");
        assert_eq!(lock_of(&world, place, &new).await, [None, None, None]);
        let delete = |version| Call::object("DELETE", "locked", "key").query("versionId", version);
        for call in [delete(&old), delete(&old).header(BYPASS, "true")] {
            world.call(call).await.refused(403, "AccessDenied");
        }
        let get = Call::object("GET", "locked", "key").query("versionId", &old);
        let kept = world.call(get).await.expect(200);
        assert_eq!(kept.body, b"kept");
        let metadata = ["x-amz-meta-one", "x-amz-meta-two"].map(|name| kept.header(name));
        assert_eq!(metadata, [Some("1"), None]);
        // What replaced it is not locked, and uncovers it.
        world.call(delete(&new)).await.expect(204);
        let head = world.call(Call::object("HEAD", "locked", "key")).await;
        let head = head.expect(200);
        assert_eq!(head.header("x-amz-version-id"), Some(old.as_str()));
    }
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_and_nothing_stored() {
    let (world, version) = with_source().await;
    let etag = format!("\"{}\"", "0".repeat(32));
    let past = "Wed, 21 Oct 2015 07:28:00 GMT";
    let plain = |from: &str| copy(from, "locked", "copy");
    let check = async |call: Call, status, code| {
        world.call(call).await.refused(status, code);
        assert!(world.engine.object("locked", "copy").is_none());
    };
    check(plain("locked/nothing"), 404, "NoSuchKey").await;
    check(plain("nowhere/source"), 404, "NoSuchBucket").await;
    check(plain("locked"), 400, "InvalidArgument").await;
    let unknown = format!("locked/source?versionId={}", "0".repeat(32));
    check(plain(&unknown), 404, "NoSuchVersion").await;
    let source = "locked/source";
    for (name, value) in [
        ("x-amz-copy-source-if-match", etag.as_str()),
        ("x-amz-copy-source-if-none-match", "*"),
        ("x-amz-copy-source-if-unmodified-since", past),
        (
            "x-amz-copy-source-if-unmodified-since",
            "Sunday, 06-Nov-94 08:49:37 GMT",
        ),
        (
            "x-amz-copy-source-if-modified-since",
            "Wed Jan  1 00:00:00 2070",
        ),
    ] {
        let call = plain(source).header(name, value);
        check(call, 412, "PreconditionFailed").await;
    }
    check(plain(source).header("if-match", "*"), 404, "NoSuchKey").await;
    let call = plain(source).header("x-amz-checksum-algorithm", "MD7");
    check(call, 400, "InvalidRequest").await;
    let call = plain(source).header("x-amz-source-expected-bucket-owner", "somebody");
    check(call, 403, "AccessDenied").await;
    // Half a part would be all of an object.
    for (name, value) in [("partNumber", "3"), ("uploadId", "u"), ("versionId", "v")] {
        let call = plain(source).query(name, value);
        check(call, 400, "InvalidArgument").await;
    }
    let itself = || copy(source, "locked", "source");
    world.call(itself()).await.refused(400, "InvalidRequest");
    for (name, value) in [
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-server-side-encryption", "AES256"),
    ] {
        world.call(itself().header(name, value)).await.expect(200);
    }
    // An old version may become the current one again.
    let old = format!("locked/source?versionId={version}");
    world.call(copy(&old, "locked", "source")).await.expect(200);
}

/// When it was stored is asked afterwards, and is not worth an error.
#[tokio::test]
async fn what_was_copied_is_answered_so_whatever_comes_after() {
    let (world, _) = with_source().await;
    let begin = Call::object("POST", "locked", "parts").query("uploads", "");
    let upload = world.call(begin).await.expect(200).one("UploadId");
    let part = copy("locked/source", "locked", "parts").query("partNumber", "1");
    for call in [
        copy("locked/source", "locked", "copy"),
        part.query("uploadId", &upload),
    ] {
        for refusal in [Refusal::Busy, Refusal::NoSuchUpload] {
            world
                .engine
                .with(|state| state.refuse_after_commit = Some(refusal));
            let reply = world.call(call.clone()).await.expect(200);
            assert_eq!(reply.one("LastModified"), "", "{}", reply.text());
            assert_ne!(reply.one("ETag"), "", "{}", reply.text());
            world.engine.with(|state| state.refuse = None);
            let reply = world.call(call.clone()).await.expect(200);
            assert_ne!(reply.one("LastModified"), "", "{}", reply.text());
        }
    }
    assert!(world.engine.object("locked", "copy").is_some());
}

#[tokio::test]
async fn a_marker_is_no_source() {
    let (world, _) = with_source().await;
    let deleted = world
        .call(Call::object("DELETE", "locked", "source"))
        .await
        .expect(204);
    let marker = deleted.header("x-amz-version-id").expect("a marker");
    let current = copy("locked/source", "locked", "copy");
    world.call(current).await.refused(404, "NoSuchKey");
    let named = format!("locked/source?versionId={marker}");
    let named = copy(&named, "locked", "copy");
    world.call(named).await.refused(400, "InvalidRequest");
}

#[tokio::test]
async fn a_copy_of_many_pieces_is_whole_and_its_checksum_right() {
    let world = World::start().await;
    world.bucket("locked").await;
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|n| u8::try_from(n % 251).expect("small"))
        .collect();
    world.put("locked", "big", &content).await;
    let call = copy("locked/big", "locked", "copy").header("x-amz-checksum-algorithm", "CRC32");
    let reply = world.call(call).await.expect(200);
    assert_eq!(reply.one("ChecksumCRC32"), crate::crc32_base64(&content));
    assert_eq!(reply.one("ChecksumType"), "FULL_OBJECT");
    let copied = world.engine.object("locked", "copy").expect("stored");
    assert!(copied.content == content);
}

#[tokio::test]
async fn a_source_that_breaks_off_leaves_no_copy() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "big", &vec![7; 5_000_000]).await;
    world
        .engine
        .with(|state| state.break_download_after = Some(2));
    let reply = world.call(copy("locked/big", "locked", "copy")).await;
    assert_eq!(reply.status, 500);
    world
        .until("the upload is given up", |world| {
            world.engine.with(|state| state.aborts == 1)
        })
        .await;
    assert!(world.engine.object("locked", "copy").is_none());
}

#[tokio::test]
async fn parts_are_copied_with_and_without_a_range() {
    let (world, version) = with_source().await;
    let id = world
        .call(Call::object("POST", "locked", "big").query("uploads", ""))
        .await
        .expect(200)
        .one("UploadId");
    let part = |number: &str| {
        copy("locked/source", "locked", "big")
            .query("uploadId", &id)
            .query("partNumber", number)
    };
    let whole = world.call(part("1")).await.expect(200);
    assert_eq!(
        whole.header("x-amz-copy-source-version-id"),
        Some(version.as_str())
    );
    let ranged = part("2").header("x-amz-copy-source-range", "bytes=1-3");
    let ranged = world.call(ranged).await.expect(200);
    for (range, status, code) in [
        ("bytes=1-7", 400, "InvalidArgument"),
        ("bytes=7-7", 416, "InvalidRange"),
        ("bytes=3-1", 400, "InvalidArgument"),
        ("1-3", 400, "InvalidArgument"),
    ] {
        let call = part("3").header("x-amz-copy-source-range", range);
        world.call(call).await.refused(status, code);
    }
    let listed = Call::object("GET", "locked", "big").query("uploadId", &id);
    let listed = world.call(listed).await.expect(200);
    assert_eq!(listed.all("Size"), ["7", "3"]);
    assert_eq!(listed.all("ETag"), [whole.one("ETag"), ranged.one("ETag")]);
}

#[tokio::test]
async fn a_full_vault_refuses_copies_as_it_does_uploads() {
    let (world, _) = with_source().await;
    world
        .engine
        .with(|state| state.refuse = Some(Refusal::Full));
    let call = copy("locked/source", "locked", "copy");
    world.call(call).await.refused(503, "SlowDown");
}

#[tokio::test]
async fn attributes_are_those_asked_for() {
    let (world, version) = with_source().await;
    let ask = |attributes: &str| {
        Call::object("GET", "locked", "source")
            .query("attributes", "")
            .header("x-amz-object-attributes", attributes)
    };
    let reply = world
        .call(ask("ETag,ObjectSize, StorageClass"))
        .await
        .expect(200);
    assert_eq!(reply.one("ObjectSize"), "7");
    assert_eq!(reply.one("StorageClass"), "STANDARD");
    // Without quotes: in this answer alone S3 writes it so.
    let head = Call::object("HEAD", "locked", "source");
    let head = world.call(head).await.expect(200);
    let quoted = head.header("etag").expect("an ETag");
    assert_eq!(format!("\"{}\"", reply.one("ETag")), quoted);
    let length = reply.body.len().to_string();
    assert_eq!(reply.header("content-length"), Some(length.as_str()));
    assert_eq!(reply.header("x-amz-version-id"), Some(version.as_str()));
    let reply = world.call(ask("ObjectSize")).await.expect(200);
    assert!(reply.all("ETag").is_empty());
    // Some SDKs give each a line of its own.
    let lines = ask("ETag")
        .header("x-amz-object-attributes", "ObjectSize,StorageClass")
        .header("x-amz-object-attributes", "ObjectParts");
    let reply = world.call(lines).await.expect(200);
    assert_eq!(reply.one("ObjectSize"), "7");
    assert_eq!(reply.one("StorageClass"), "STANDARD");
    assert_eq!(format!("\"{}\"", reply.one("ETag")), quoted);
    let lines = ask("ETag").header("x-amz-object-attributes", "Owner");
    world.call(lines).await.refused(400, "InvalidArgument");
    for attributes in ["Owner", ""] {
        world
            .call(ask(attributes))
            .await
            .refused(400, "InvalidArgument");
    }
    let missing = Call::object("GET", "locked", "nothing")
        .query("attributes", "")
        .header("x-amz-object-attributes", "ETag");
    world.call(missing).await.refused(404, "NoSuchKey");
}
