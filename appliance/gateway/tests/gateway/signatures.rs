//! Who may speak, and what must be signed.

use zeroize::Zeroizing;

use crate::client::Call;
use crate::sign::{Key, Scope};
use crate::world::{HOST, World};

#[tokio::test]
async fn a_signed_request_is_served_under_its_key() {
    let world = World::start().await;
    world.call(Call::bucket("GET", "")).await.expect(200);
    assert_eq!(
        world.engine.with(|state| state.last_client.clone()),
        "CLIENT1"
    );
}

#[tokio::test]
async fn wrong_keys_and_other_signatures_are_refused() {
    let world = World::start().await;
    let call = Call::bucket("GET", "");
    let stranger = Key {
        id: "STRANGER".to_owned(),
        secret: "x".to_owned(),
    };
    let reply = world.raw("GET", &call.wire(&stranger, HOST)).await;
    reply.refused(403, "InvalidAccessKeyId");
    let thief = Key {
        id: world.key.id.clone(),
        secret: "guessed".to_owned(),
    };
    let reply = world.raw("GET", &call.wire(&thief, HOST)).await;
    reply.refused(403, "SignatureDoesNotMatch");
    world
        .raw("GET", &call.anonymous(HOST))
        .await
        .refused(403, "AccessDenied");

    let v2 = Call::bucket("GET", "").header("authorization", "AWS CLIENT1:c2lnbmF0dXJl");
    world
        .raw("GET", &v2.anonymous(HOST))
        .await
        .refused(400, "InvalidRequest");
    let v2 = Call::bucket("GET", "")
        .query("AWSAccessKeyId", "CLIENT1")
        .query("Signature", "c2ln")
        .query("Expires", "9999999999");
    world
        .raw("GET", &v2.anonymous(HOST))
        .await
        .refused(400, "InvalidRequest");
    let v4a = String::from_utf8(call.wire(&world.key, HOST)).expect("text");
    let v4a = v4a.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256");
    world
        .raw("GET", v4a.as_bytes())
        .await
        .refused(400, "InvalidRequest");
}

#[tokio::test]
async fn a_stale_or_early_date_is_refused() {
    let world = World::start().await;
    for seconds in [-1000, 1000, -86_400 * 40] {
        let mut call = Call::bucket("GET", "");
        call.scope = Scope::shifted(seconds);
        world.call(call).await.refused(403, "RequestTimeTooSkewed");
    }
    let mut call = Call::bucket("GET", "");
    call.scope = Scope::shifted(-600);
    world.call(call).await.expect(200);
}

#[tokio::test]
async fn a_signed_date_header_tells_the_time_where_there_is_no_other() {
    let world = World::start().await;
    world.bucket("locked").await;
    let call = |seconds: i64| {
        let mut call = Call::object("PUT", "locked", "key").body("content");
        call.scope = Scope::shifted(seconds);
        call
    };
    for seconds in [0, -600] {
        let mut dated = call(seconds);
        dated.dated = Some(dated.scope.http_date());
        world.call(dated.clone()).await.expect(200);
        dated.dated = Some(dated.scope.date.clone());
        world.call(dated).await.expect(200);
    }
    for seconds in [-1000, 1000] {
        let mut dated = call(seconds);
        dated.dated = Some(dated.scope.http_date());
        world.call(dated).await.refused(403, "RequestTimeTooSkewed");
    }
    // Another second than the one that was signed for.
    let mut other = call(-1);
    other.dated = Some(Scope::shifted(-2).http_date());
    world
        .call(other)
        .await
        .refused(403, "SignatureDoesNotMatch");
    for date in ["", "today", "Mon, 31 Feb 2026 00:00:00 GMT", "2026-11-28"] {
        let mut malformed = call(0);
        malformed.dated = Some(date.to_owned());
        world.call(malformed).await.refused(403, "AccessDenied");
    }
    // It counts neither beside x-amz-date nor unsigned.
    let stale = Scope::shifted(-86_400).http_date();
    let both = call(0).header("date", &stale);
    world.call(both).await.expect(200);
    let date = Scope::shifted(0).http_date();
    let wire = call(0)
        .unsigned_header("date", &date)
        .wire(&world.key, HOST);
    let wire = String::from_utf8(wire).expect("text");
    let (start, rest) = wire.split_once("x-amz-date: ").expect("a date");
    let (_, end) = rest.split_once("\r\n").expect("a line");
    let unsigned = format!("{start}{end}").replace(";x-amz-date", "");
    let reply = world.raw("PUT", unsigned.as_bytes()).await;
    reply.refused(403, "AccessDenied");
}

#[tokio::test]
async fn nothing_can_be_added_to_a_signed_request() {
    let world = World::start().await;
    world.bucket("locked").await;
    let version = world.put("locked", "key", b"content").await;
    let call = || Call::object("DELETE", "locked", "key").query("versionId", &version);
    let injected = call().unsigned_header("x-amz-bypass-governance-retention", "true");
    world.call(injected).await.refused(403, "AccessDenied");
    let wire = String::from_utf8(call().wire(&world.key, HOST)).expect("text");
    let tampered = wire.replace("locked/key?", "locked/other?");
    world
        .raw("DELETE", tampered.as_bytes())
        .await
        .refused(403, "SignatureDoesNotMatch");
    assert!(world.engine.object("locked", "key").is_some());
}

#[tokio::test]
async fn presigned_urls_work_until_they_expire() {
    let world = World::start().await;
    world.bucket("plain").await;
    world.put("plain", "key", b"content").await;
    let mut get = Call::object("GET", "plain", "key");
    let reply = world
        .raw("GET", &get.presigned(&world.key, HOST, 60))
        .await
        .expect(200);
    assert_eq!(reply.body, b"content");
    get.scope = Scope::shifted(-120);
    let reply = world.raw("GET", &get.presigned(&world.key, HOST, 60)).await;
    reply.refused(403, "AccessDenied");
    get.scope = Scope::shifted(2000);
    let reply = world.raw("GET", &get.presigned(&world.key, HOST, 60)).await;
    reply.refused(403, "AccessDenied");
    assert!(reply.text().contains("not yet valid"), "{}", reply.text());
    let mut injected = Call::object("PUT", "plain", "other").body("x");
    injected = injected.unsigned_header("x-amz-storage-class", "STANDARD");
    let reply = world
        .raw("PUT", &injected.presigned(&world.key, HOST, 60))
        .await;
    reply.refused(403, "AccessDenied");
    let put = Call::object("PUT", "plain", "other").body("by url");
    world
        .raw("PUT", &put.presigned(&world.key, HOST, 60))
        .await
        .expect(200);
    assert_eq!(
        world
            .engine
            .object("plain", "other")
            .expect("stored")
            .content,
        b"by url"
    );
}

#[tokio::test]
async fn clients_can_be_replaced_while_serving() {
    let world = World::start().await;
    let fresh = Key {
        id: "CLIENT2".to_owned(),
        secret: "another secret".to_owned(),
    };
    let call = Call::bucket("GET", "");
    world
        .raw("GET", &call.wire(&fresh, HOST))
        .await
        .refused(403, "InvalidAccessKeyId");
    world
        .clients
        .replace([(fresh.id.clone(), Zeroizing::new(fresh.secret.clone()))]);
    world.raw("GET", &call.wire(&fresh, HOST)).await.expect(200);
    world.call(call).await.refused(403, "InvalidAccessKeyId");
}

#[tokio::test]
async fn what_the_vault_does_not_know_is_refused_by_name() {
    let world = World::start().await;
    world.bucket("locked").await;
    for (name, value) in [
        ("x-amz-object-lock-event-hold", "ON"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-checksum-sha512", "AAAA"),
    ] {
        let call = Call::object("PUT", "locked", "key")
            .header(name, value)
            .body("x");
        let reply = world.call(call).await;
        reply.refused(501, "NotImplemented");
        assert!(reply.one("Message").contains(name), "{}", reply.text());
    }
    assert_eq!(world.engine.with(|state| state.objects.len()), 0);
}

#[tokio::test]
async fn the_bucket_may_stand_in_the_host_name() {
    let world = World::start().await;
    world.bucket("locked").await;
    let host = "locked.s3.localhost";
    let put = Call::bucket("PUT", "a%20key/x").body("content");
    world
        .raw("PUT", &put.wire(&world.key, host))
        .await
        .expect(200);
    assert!(world.engine.object("locked", "a key/x").is_some());
    let list = Call::bucket("GET", "").query("list-type", "2");
    let reply = world
        .raw("GET", &list.wire(&world.key, host))
        .await
        .expect(200);
    assert_eq!(reply.one("Key"), "a key/x");
    // A signature for one bucket is none for another.
    let wire = String::from_utf8(list.wire(&world.key, host)).expect("text");
    let moved = wire.replace("locked.s3", "other1.s3");
    let reply = world.raw("GET", moved.as_bytes()).await;
    reply.refused(403, "SignatureDoesNotMatch");
    let url = Call::bucket("GET", "a%20key/x").presigned(&world.key, host, 60);
    assert_eq!(world.raw("GET", &url).await.expect(200).body, b"content");
}

#[tokio::test]
async fn headers_in_the_query_of_a_presigned_url_are_headers() {
    let world = World::start().await;
    world.bucket("locked").await;
    let put = || Call::object("PUT", "locked", "key").body("content");
    let send = |call: &Call| call.presigned(&world.key, HOST, 60);
    let call = put()
        .query("x-amz-meta-site", "north")
        .query("X-Amz-Storage-Class", "STANDARD")
        .query("x-amz-tagging", "a=b")
        .query("x-amz-object-lock-legal-hold", "ON")
        .query("x-amz-sdk-checksum-algorithm", "CRC32")
        .query("x-amz-checksum-crc32", "/sUwqQ==");
    world.raw("PUT", &send(&call)).await.expect(200);
    let stored = world.engine.object("locked", "key").expect("stored").info;
    assert_eq!(
        stored.metadata.user,
        [("site".to_owned(), "north".to_owned())]
    );
    assert_eq!(stored.metadata.tags, [("a".to_owned(), "b".to_owned())]);
    assert_eq!(stored.hold, Some(true));
    assert_eq!(stored.checksums.len(), 1);
    // They are believed only as far as headers are.
    for (name, value, status, code) in [
        ("x-amz-checksum-crc32", "AAAAAA==", 400, "BadDigest"),
        (
            "x-amz-server-side-encryption-customer-key",
            "a",
            501,
            "NotImplemented",
        ),
        ("X-Amz-Storage-Class", "GLACIER", 400, "InvalidStorageClass"),
        ("x-amz-something-new", "a", 501, "NotImplemented"),
        ("x-amz-meta-\u{e4}", "a", 400, "InvalidArgument"),
        ("x-amz-meta-a", "a\nb", 400, "InvalidArgument"),
    ] {
        let call = put().query(name, value);
        let reply = world.raw("PUT", &send(&call)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{name}: {}",
            reply.text()
        );
    }
    let twice = put().header("x-amz-meta-a", "b").query("x-amz-meta-a", "b");
    world
        .raw("PUT", &send(&twice))
        .await
        .refused(400, "InvalidRequest");
    // What was not signed is not in the canonical query, so it does not match.
    let url = String::from_utf8(send(&put())).expect("text");
    let added = url.replace(
        "X-Amz-Expires",
        "x-amz-object-lock-legal-hold=ON&X-Amz-Expires",
    );
    let reply = world.raw("PUT", added.as_bytes()).await;
    reply.refused(403, "SignatureDoesNotMatch");
    // In a request whose signature stands in its header they are unknown parameters, as before.
    let reply = world.call(put().query("x-amz-meta-site", "north")).await;
    reply.refused(501, "NotImplemented");
}
