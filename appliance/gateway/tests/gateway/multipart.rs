//! Objects made of parts.

use crate::client::Call;
use crate::world::{HOST, World};
use crate::{crc32_base64, md5_base64};

async fn begin(world: &World, call: Call) -> String {
    world
        .call(call.query("uploads", ""))
        .await
        .expect(200)
        .one("UploadId")
}

fn part(id: &str, number: &str, content: &[u8]) -> Call {
    Call::object("PUT", "locked", "big")
        .query("uploadId", id)
        .query("partNumber", number)
        .body(content)
}

fn complete(id: &str, parts: &[(&str, &str)]) -> Call {
    let parts: String = parts
        .iter()
        .map(|(number, etag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        })
        .collect();
    let xml = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    Call::object("POST", "locked", "big")
        .query("uploadId", id)
        .body(xml)
}

#[tokio::test]
async fn lock_12_parts_become_an_object_with_its_lock() {
    let world = World::start().await;
    world.bucket("locked").await;
    let create = Call::object("POST", "locked", "big")
        .header("content-type", "text/x-big")
        .header("x-amz-meta-site", "Z\u{fc}rich")
        .header("x-amz-object-lock-mode", "COMPLIANCE")
        .header(
            "x-amz-object-lock-retain-until-date",
            "2140-01-01T00:00:00Z",
        )
        .header("x-amz-object-lock-legal-hold", "ON")
        .header("x-amz-checksum-algorithm", "CRC32");
    let id = begin(&world, create).await;
    let sum = crc32_base64(b"first ");
    let first = part(&id, "1", b"first ").header("x-amz-checksum-crc32", &sum);
    let first = world.call(first).await.expect(200);
    assert_eq!(first.header("x-amz-checksum-crc32"), Some(sum.as_str()));
    let first = first.header("etag").expect("an ETag").to_owned();
    let second = part(&id, "2", b"second").payload("UNSIGNED-PAYLOAD");
    world
        .call(second.clone())
        .await
        .refused(400, "InvalidRequest");
    let second = second.header("content-md5", &md5_base64(b"second"));
    let second = world.call(second).await.expect(200);
    let second = second.header("etag").expect("an ETag").to_owned();

    let listed = Call::object("GET", "locked", "big").query("uploadId", &id);
    let reply = world.call(listed.clone()).await.expect(200);
    assert_eq!(reply.all("PartNumber"), ["1", "2"]);
    assert_eq!(reply.all("Size"), ["6", "6"]);
    // The upload announced it, so the vault computes it where the client does not.
    assert_eq!(reply.all("ChecksumCRC32"), [sum, crc32_base64(b"second")]);
    assert_eq!(reply.one("ChecksumType"), "COMPOSITE");
    // Also where nothing follows.
    assert_eq!(
        (reply.one("IsTruncated"), reply.one("NextPartNumberMarker")),
        ("false".into(), "2".into())
    );
    let none = world.call(listed.clone().query("max-parts", "0")).await;
    assert_eq!(none.expect(200).one("IsTruncated"), "false");
    let page = world.call(listed.query("max-parts", "1")).await.expect(200);
    assert_eq!(
        (page.one("IsTruncated"), page.one("NextPartNumberMarker")),
        ("true".into(), "1".into())
    );
    let uploads = world
        .call(Call::bucket("GET", "locked").query("uploads", ""))
        .await
        .expect(200);
    assert_eq!(
        (uploads.one("Key"), uploads.one("UploadId")),
        ("big".into(), id.clone())
    );
    for page in [&reply, &uploads] {
        let owner = page.one("Owner");
        assert!(owner.contains("<ID>"), "{}", page.text());
        assert_eq!(page.one("Initiator"), owner, "{}", page.text());
    }

    let named = [("1", first.as_str()), ("2", second.as_str())];
    let swapped = [named[1], named[0]];
    world
        .call(complete(&id, &swapped))
        .await
        .refused(400, "InvalidPartOrder");
    world
        .call(complete(&id, &[]))
        .await
        .refused(400, "MalformedXML");
    let wrong = [("1", "\"00000000000000000000000000000000\"")];
    world
        .call(complete(&id, &wrong))
        .await
        .refused(400, "InvalidPart");
    let size = |bytes: &str| complete(&id, &named).header("x-amz-mp-object-size", bytes);
    world.call(size("13")).await.refused(400, "InvalidRequest");
    let reply = world.call(size("12")).await.expect(200);
    assert!(
        reply.one("ETag").trim_matches('"').ends_with("-2"),
        "{}",
        reply.text()
    );
    assert!(reply.header("x-amz-version-id").is_some());
    let place = format!("https://{HOST}/locked/big");
    assert_eq!(reply.one("Location"), place);

    let got = world
        .call(Call::object("GET", "locked", "big"))
        .await
        .expect(200);
    assert_eq!(got.body, b"first second");
    assert_eq!(got.header("content-type"), Some("text/x-big"));
    let site = got.header("x-amz-meta-site");
    assert_eq!(site, Some("=?UTF-8?B?WsO8cmljaA==?="));
    assert_eq!(got.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
    assert_eq!(got.header("x-amz-object-lock-legal-hold"), Some("ON"));
    let version = got.header("x-amz-version-id").expect("a version");
    let delete = Call::object("DELETE", "locked", "big").query("versionId", version);
    world.call(delete).await.refused(403, "AccessDenied");
}

/// Statement 12 for each lock by itself: only the header and the right together lift one, and only GOVERNANCE.
#[tokio::test]
async fn lock_12_each_lock_of_an_upload_is_enforced_on_the_completed_version() {
    let mode = "x-amz-object-lock-mode";
    let until = (
        "x-amz-object-lock-retain-until-date",
        "2140-01-01T00:00:00Z",
    );
    let hold = ("x-amz-object-lock-legal-hold", "ON");
    for (lock, bypassable) in [
        (&[(mode, "GOVERNANCE"), until][..], true),
        (&[(mode, "COMPLIANCE"), until], false),
        (&[hold], false),
        (&[(mode, "GOVERNANCE"), until, hold], false),
    ] {
        let world = World::start().await;
        world.bucket("locked").await;
        world.engine.with(|state| state.rights = true);
        let create = || {
            let call = Call::object("POST", "locked", "big");
            let lock = lock.iter();
            lock.fold(call, |call, (name, value)| call.header(name, value))
        };
        let id = begin(&world, create()).await;
        let stored = world.call(part(&id, "1", b"content")).await.expect(200);
        let etag = stored.header("etag").expect("an ETag").to_owned();
        let completed = world.call(complete(&id, &[("1", &etag)])).await.expect(200);
        let version = completed.header("x-amz-version-id").expect("a version");
        let head = Call::object("HEAD", "locked", "big").query("versionId", version);
        let head = world.call(head).await.expect(200);
        for (name, value) in lock {
            let shown = head.header(name).expect("a lock");
            assert!(shown.starts_with(&value[..value.len() - 1]), "{lock:?}");
        }
        let delete = || Call::object("DELETE", "locked", "big").query("versionId", version);
        let bypass = || delete().header("x-amz-bypass-governance-retention", "true");
        world.call(delete()).await.refused(403, "AccessDenied");
        world.engine.with(|state| state.rights = false);
        world.call(bypass()).await.refused(403, "AccessDenied");
        world.engine.with(|state| state.rights = true);
        let bypassed = world.call(bypass()).await;
        assert_eq!(bypassed.status == 204, bypassable, "{lock:?}");
        // What is not completed is not protected.
        let other = begin(&world, create()).await;
        world.call(part(&other, "1", b"x")).await.expect(200);
        let abort = Call::object("DELETE", "locked", "big").query("uploadId", &other);
        world.call(abort).await.expect(204);
    }
}

/// The answer of the first time was lost, so the client asks again.
#[tokio::test]
async fn an_upload_that_was_completed_is_answered_the_same_once_more() {
    let world = World::start().await;
    world.bucket("locked").await;
    let create = Call::object("POST", "locked", "big")
        .header("x-amz-checksum-algorithm", "CRC32")
        .header("x-amz-checksum-type", "FULL_OBJECT");
    let id = begin(&world, create).await;
    let sent = world.call(part(&id, "1", b"content")).await.expect(200);
    let etag = sent.header("etag").expect("an ETag");
    let ask = || complete(&id, &[("1", etag)]);
    let first = world.call(ask()).await.expect(200);
    let sum = crc32_base64(b"content");
    assert_eq!(first.one("ChecksumCRC32"), sum);
    let again = ask().header("x-amz-checksum-crc32", &sum);
    for again in [ask(), again] {
        let again = world.call(again).await.expect(200);
        assert_eq!(again.text(), first.text());
        let version = "x-amz-version-id";
        assert_eq!(again.header(version), first.header(version));
    }
    let wrong = ask().header("x-amz-checksum-crc32", &crc32_base64(b"other"));
    world.call(wrong).await.refused(400, "BadDigest");
    let other = complete(&id, &[("1", etag), ("2", etag)]);
    world.call(other).await.refused(404, "NoSuchUpload");
    world
        .call(part(&id, "1", b"content"))
        .await
        .refused(404, "NoSuchUpload");
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let world = World::start().await;
    world.bucket("locked").await;
    let id = begin(&world, Call::object("POST", "locked", "big")).await;
    let wrong = part(&id, "1", b"x").header("content-md5", &md5_base64(b"y"));
    world.call(wrong).await.refused(400, "BadDigest");
    let abort = || Call::object("DELETE", "locked", "big").query("uploadId", &id);
    world.call(abort()).await.expect(204);
    world.call(abort()).await.refused(404, "NoSuchUpload");
    world
        .call(part(&id, "1", b"x"))
        .await
        .refused(404, "NoSuchUpload");
    world
        .call(part("nonsense", "1", b"x"))
        .await
        .refused(404, "NoSuchUpload");
    world
        .call(complete(&id, &[("1", "\"e\"")]))
        .await
        .refused(404, "NoSuchUpload");
    assert!(world.engine.object("locked", "big").is_none());
}

#[tokio::test]
async fn part_numbers_and_checksum_types_are_checked() {
    let world = World::start().await;
    world.bucket("locked").await;
    let id = begin(&world, Call::object("POST", "locked", "big")).await;
    for number in ["0", "10001", "-1", "x"] {
        world
            .call(part(&id, number, b"x"))
            .await
            .refused(400, "InvalidArgument");
    }
    world.call(part(&id, "10000", b"x")).await.expect(200);
    let create = |algorithm: &str, kind: &str| {
        Call::object("POST", "locked", "big")
            .query("uploads", "")
            .header("x-amz-checksum-algorithm", algorithm)
            .header("x-amz-checksum-type", kind)
    };
    for (algorithm, kind, status) in [
        ("CRC32", "COMPOSITE", 200),
        ("CRC32C", "FULL_OBJECT", 200),
        ("CRC64NVME", "FULL_OBJECT", 200),
        ("CRC64NVME", "COMPOSITE", 400),
        ("SHA256", "FULL_OBJECT", 400),
        ("MD4", "COMPOSITE", 400),
        ("CRC32", "OTHER", 400),
    ] {
        assert_eq!(
            world.call(create(algorithm, kind)).await.status,
            status,
            "{algorithm} {kind}"
        );
    }
}

#[tokio::test]
async fn more_parts_than_an_object_has_are_refused() {
    let world = World::start().await;
    world.bucket("locked").await;
    let id = begin(&world, Call::object("POST", "locked", "big")).await;
    // As many as a document has room for.
    for count in [10_001, 1_100_000] {
        let parts = "<Part/>".repeat(count);
        let xml = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let call = Call::object("POST", "locked", "big").query("uploadId", &id);
        let reply = world.call(call.body(xml)).await;
        reply.refused(400, "MalformedXML");
    }
}

#[tokio::test]
async fn attributes_list_the_parts_of_an_object_page_by_page() {
    let world = World::start().await;
    world.bucket("locked").await;
    let id = begin(&world, Call::object("POST", "locked", "big")).await;
    let mut etags = Vec::new();
    for (number, content) in [("2", &b"first"[..]), ("5", b"second "), ("9", b"3")] {
        let put = world.call(part(&id, number, content)).await.expect(200);
        etags.push((number, put.header("etag").expect("an ETag").to_owned()));
    }
    let named: Vec<_> = etags.iter().map(|(n, etag)| (*n, etag.as_str())).collect();
    world.call(complete(&id, &named)).await.expect(200);
    let ask = |key: &str, headers: &[(&str, &str)]| {
        let mut call = Call::object("GET", "locked", key)
            .query("attributes", "")
            .header("x-amz-object-attributes", "ObjectParts");
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call
    };
    let (most, marker) = ("x-amz-max-parts", "x-amz-part-number-marker");
    // As `partNumber` of GET counts them.
    let all = (["1", "2", "3"], ["5", "7", "1"]);
    for (headers, from, to, truncated, next) in [
        (&[][..], 0, 3, "false", "3"),
        (&[(most, "2")], 0, 2, "true", "2"),
        (&[(most, "2"), (marker, "2")], 2, 3, "false", "3"),
        (&[(marker, "3")], 3, 3, "false", "0"),
        (&[(most, "0")], 0, 0, "false", "0"),
    ] {
        let reply = world.call(ask("big", headers)).await.expect(200);
        let said = reply.text();
        assert_eq!(reply.all("PartNumber"), all.0[from..to], "{said}");
        assert_eq!(reply.all("Size"), all.1[from..to], "{said}");
        assert_eq!(reply.one("IsTruncated"), truncated, "{said}");
        assert_eq!(reply.one("NextPartNumberMarker"), next, "{said}");
        assert_eq!(reply.one("PartsCount"), "3", "{said}");
    }
    for (name, value) in [(most, "-1"), (marker, "-1"), (marker, "65536")] {
        let call = ask("big", &[(name, value)]);
        world.call(call).await.refused(400, "InvalidArgument");
    }
    world.put("locked", "whole", b"content").await;
    let whole = world.call(ask("whole", &[])).await.expect(200);
    assert!(whole.all("ObjectParts").is_empty(), "{}", whole.text());
}
