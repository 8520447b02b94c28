//! Requests that two readers could read differently: this one reads them in one way, or refuses them.

use crate::client::Call;
use crate::world::{HOST, World};

#[tokio::test]
async fn no_request_has_two_readings() {
    let world = World::start().await;
    world.bucket("locked").await;
    let call = || Call::object("PUT", "locked", "key").body("content");
    let wire = |call: Call| String::from_utf8(call.wire(&world.key, HOST)).expect("text");
    let plain = wire(call());
    let head = "content-length: 7\r\n";
    assert!(plain.contains(head), "{plain}");
    let forms = [
        (
            "two lengths",
            plain.replace(head, "content-length: 7\r\ncontent-length: 6\r\n"),
        ),
        (
            "a list of lengths",
            plain.replace(head, "content-length: 7, 6\r\n"),
        ),
        (
            "a signed length",
            plain.replace(head, "content-length: +7\r\n"),
        ),
        (
            "a negative length",
            plain.replace(head, "content-length: -7\r\n"),
        ),
        (
            "a hexadecimal length",
            plain.replace(head, "content-length: 0x7\r\n"),
        ),
        (
            "a blank before the colon",
            plain.replace(head, "content-length : 7\r\n"),
        ),
        (
            "an unknown coding",
            plain.replace(head, "transfer-encoding: xchunked\r\n"),
        ),
        (
            "a coding before chunked",
            plain.replace(head, "transfer-encoding: gzip, chunked\r\n"),
        ),
        (
            "chunked that is not last",
            plain.replace(head, "transfer-encoding: chunked, gzip\r\n"),
        ),
        (
            "a folded header",
            plain.replace(head, "content-length:\r\n 7\r\n"),
        ),
        (
            "a bare carriage return",
            plain.replace(head, "content-length: 7\rx: y\r\n"),
        ),
        (
            "a zero byte",
            plain.replace(head, "content-length: 7\0\r\n"),
        ),
        ("no version", plain.replacen(" HTTP/1.1", "", 1)),
        ("another version", plain.replacen("HTTP/1.1", "HTTP/3.0", 1)),
    ];
    for (form, bytes) in forms {
        let mut connection = world.connect().await;
        connection.send(bytes.as_bytes()).await;
        // Either an answer that refuses, or none and an end.
        if let Some(reply) = connection.reply("PUT").await {
            assert!(reply.status >= 400, "{form}: {}", reply.status);
        }
        assert!(world.engine.object("locked", "key").is_none(), "{form}");
    }
}

#[tokio::test]
async fn what_follows_a_length_is_not_read_as_part_of_it() {
    let world = World::start().await;
    world.bucket("locked").await;
    // The body ends where its chunks do, and the rest is the next request.
    let call = Call::object("PUT", "locked", "one").body("content");
    let wire = String::from_utf8(call.wire(&world.key, HOST)).expect("text");
    let both = wire.replace(
        "content-length: 7\r\n",
        "content-length: 7\r\ntransfer-encoding: chunked\r\n",
    );
    let mut connection = world.connect().await;
    connection.send(both.as_bytes()).await;
    if let Some(reply) = connection.reply("PUT").await {
        assert!(reply.status >= 400, "{}", reply.status);
    }
    assert!(world.engine.object("locked", "one").is_none());
}

/// An upload of the kind that needs no length, with these headers in the place of one and its body in HTTP chunks; what is
/// answered to it and to another request behind it on the connection.
async fn chunked(world: &World, framing: &str) -> (Option<u16>, Option<u16>) {
    let sum = crate::crc32_base64(b"content");
    let body = format!("7\r\ncontent\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
    let call = Call::object("PUT", "locked", "key")
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", "7")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body(body.clone());
    let wire = String::from_utf8(call.wire(&world.key, HOST)).expect("text");
    let length = format!("\r\ncontent-length: {}\r\n", body.len());
    assert!(wire.contains(&length), "{wire}");
    let framing = framing.replace("LENGTH", &body.len().to_string());
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let wire = wire.replace(&length, &format!("\r\n{framing}"));
    both(world, "PUT", &wire.replace(&body, &chunks)).await
}

/// The answers to a request and to another one behind it.
async fn both(world: &World, method: &str, first: &str) -> (Option<u16>, Option<u16>) {
    let get = Call::object("GET", "locked", "other").wire(&world.key, HOST);
    let mut connection = world.connect().await;
    connection.send(&[first.as_bytes(), &get].concat()).await;
    let first = connection.reply(method).await.map(|reply| reply.status);
    let second = connection.reply("GET").await.map(|reply| reply.status);
    (first, second)
}

const FINE: (Option<u16>, Option<u16>) = (Some(200), Some(200));

#[tokio::test]
async fn a_body_has_one_transfer_coding() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "other", b"other").await;
    for framing in [
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
    ] {
        let (first, _) = chunked(&world, framing).await;
        assert_eq!(first, Some(400), "{framing}");
        assert!(world.engine.object("locked", "key").is_none(), "{framing}");
    }
}

/// The chunks count, whatever a length says before or behind their coding (RFC 9112, 6.3): nothing of one request is read
/// as another one.
#[tokio::test]
async fn a_body_in_chunks_ends_where_they_do() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "other", b"other").await;
    for framing in [
        "Transfer-Encoding: Chunked\r\n",
        "content-length: LENGTH\r\ntransfer-encoding: chunked\r\n",
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 999\r\n",
    ] {
        let (first, second) = chunked(&world, framing).await;
        assert_eq!(first, Some(200), "{framing}");
        // Where a length was said, too, the connection ends or goes on behind the chunks.
        assert!(second.is_none_or(|status| status == 200), "{framing}");
        let place = ("locked".to_owned(), "key".to_owned());
        let stored = world.engine.with(|state| state.objects.remove(&place));
        let stored = stored.expect("stored");
        assert_eq!(stored.len(), 1, "{framing}");
        assert_eq!(stored[0].content, b"content", "{framing}");
    }
}

#[tokio::test]
async fn a_line_may_end_without_its_carriage_return() {
    let world = World::start().await;
    world.bucket("locked").await;
    world.put("locked", "other", b"other").await;
    let call = Call::object("PUT", "locked", "key").body("content");
    let wire = String::from_utf8(call.wire(&world.key, HOST)).expect("text");
    // RFC 9112, 2.2: it is what ends a line, and whoever takes it for something else sees no request at all.
    let bare = wire.replace("\r\n", "\n");
    assert_eq!(both(&world, "PUT", &bare).await, FINE);
    let stored = world.engine.object("locked", "key").expect("stored");
    assert_eq!(stored.content, b"content");
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let world = World::start().await;
    world.bucket("locked").await;
    let wire = |key: &str, target: &str| {
        let call = Call::object("PUT", "locked", key).body("content");
        let wire = String::from_utf8(call.wire(&world.key, HOST)).expect("text");
        wire.replacen("PUT /", &format!("PUT {target}/"), 1)
    };
    for target in [
        "http://other.example",
        "https://locked.localhost",
        "https://localhost:1",
        "https://a@localhost",
    ] {
        let reply = world.raw("PUT", wire("key", target).as_bytes()).await;
        reply.refused(400, "InvalidRequest");
        assert!(reply.one("Message").contains("another host"), "{target}");
        assert!(world.engine.object("locked", "key").is_none(), "{target}");
    }
    let same = wire("same", "https://LOCALHOST");
    world.raw("PUT", same.as_bytes()).await.expect(200);
    assert!(world.engine.object("locked", "same").is_some());
}
